"""Values that fade where they are missing: the loops of cgru/grud_reference.py, in float32 or float64.

m samples, s steps, e features.
"""

import numpy as np

cimport numpy as cnp
from cython cimport floating
from libc.math cimport isnan
from libc.string cimport memset

from cgru.core.kernels cimport cgru_activation, cgru_array, cgru_kernels, kernels, view

cnp.import_array()

cdef extern from "simd/cgru.h":
    enum: CGRU_FADING


cdef inline const char *_at(cgru_array a, Py_ssize_t i, Py_ssize_t t, int size) noexcept nogil:
    """Return the address of row i at step t."""
    return <const char *>a.data + (i * a.sample + t * a.step) * size


cdef bint _begins(const Fading *f, Py_ssize_t i, Py_ssize_t t, floating kind) noexcept nogil:
    """Return whether row i forgets at step t what was seen; `kind` only chooses the dtype."""
    cdef const floating *g = <const floating *>_at(f.anew, i, t, sizeof(floating))
    cdef Py_ssize_t c
    if f.anew.data == NULL:
        return False
    for c in range(f.units):
        if g[c * f.anew.column] != 0:
            return False
    return True


# Loops over the features of a row, for both dtypes, in C, since a compiler vectorises what is known not to overlap.
# `column` is the stride of x, `to` that of xh, there and d, there being the mask.
cdef extern from *:
    """
    #define LOOPS(T)                                                                                                  \\
        static inline void grow_##T(T *__restrict age, T *__restrict delta, T *__restrict gx, T *__restrict before,   \\
                                    const T *__restrict last, const T *__restrict W, const T *__restrict b, T since,  \\
                                    ptrdiff_t e) {                                                                    \\
            for (ptrdiff_t c = 0; c < e; c++) {                                                                       \\
                delta[c] = age[c] = age[c] + since;                                                                   \\
                gx[c] = delta[c] * W[c] + b[c];                                                                       \\
                before[c] = last[c];                                                                                  \\
            }                                                                                                         \\
        }                                                                                                             \\
        static inline void look_##T(const T *__restrict x, ptrdiff_t column, T *__restrict xh, T *__restrict there,   \\
                                    ptrdiff_t to, T *__restrict last, T *__restrict age, const T *__restrict gx,      \\
                                    ptrdiff_t e) {                                                                    \\
            for (ptrdiff_t c = 0; c < e; c++) {                                                                       \\
                const T value = x[c * column], faded = gx[c] * last[c], since = age[c], before = last[c];             \\
                xh[c * to] = value == value ? value : faded;                                                          \\
                there[c * to] = value == value ? (T)1 : (T)0;                                                         \\
                last[c] = value == value ? value : before;                                                            \\
                age[c] = value == value ? (T)0 : since;                                                               \\
            }                                                                                                         \\
        }                                                                                                             \\
        static inline void back_##T(const T *__restrict d, const T *__restrict there, ptrdiff_t to,                   \\
                                    const T *__restrict gx, const T *__restrict before, T *__restrict dgx_,           \\
                                    ptrdiff_t e) {                                                                    \\
            for (ptrdiff_t c = 0; c < e; c++) {                                                                       \\
                const T g = gx[c], into = -d[c * to] * before[c] * g, missed = there[c * to] == 0 ? into : (T)0;      \\
                dgx_[c] = g < 1 ? missed : (T)0;                                                                      \\
            }                                                                                                         \\
        }                                                                                                             \\
        static inline void sum_##T(const T *__restrict dgx_, const T *__restrict delta, T *__restrict dW,             \\
                                   T *__restrict db, ptrdiff_t e) {                                                   \\
            for (ptrdiff_t c = 0; c < e; c++) {                                                                       \\
                dW[c] += dgx_[c] * delta[c];                                                                          \\
                db[c] += dgx_[c];                                                                                     \\
            }                                                                                                         \\
        }
    LOOPS(float)
    LOOPS(double)
    """
    void grow_float(float *, float *, float *, float *, const float *, const float *, const float *, float,
                    Py_ssize_t) nogil
    void grow_double(double *, double *, double *, double *, const double *, const double *, const double *, double,
                     Py_ssize_t) nogil
    void look_float(const float *, Py_ssize_t, float *, float *, Py_ssize_t, float *, float *, const float *,
                    Py_ssize_t) nogil
    void look_double(const double *, Py_ssize_t, double *, double *, Py_ssize_t, double *, double *, const double *,
                     Py_ssize_t) nogil
    void back_float(const float *, const float *, Py_ssize_t, const float *, const float *, float *, Py_ssize_t) nogil
    void back_double(const double *, const double *, Py_ssize_t, const double *, const double *, double *,
                     Py_ssize_t) nogil
    void sum_float(const float *, const float *, float *, float *, Py_ssize_t) nogil
    void sum_double(const double *, const double *, double *, double *, Py_ssize_t) nogil


cdef void _fade_row(const cgru_kernels *k, const Fading *f, Py_ssize_t i, Py_ssize_t t,
                    floating kind) noexcept nogil:
    """Run step t of row i; `kind` only chooses the dtype. Arrays whose columns are adjacent take loops of their own."""
    cdef const floating *x = <const floating *>_at(f.X, i, t, sizeof(floating))
    cdef floating *xh = <floating *>_at(f.xm, i, t, sizeof(floating))
    cdef floating *there = xh + f.e * f.xm.column
    cdef floating *delta = <floating *>_at(f.delta, i, t, sizeof(floating))
    cdef floating *before = <floating *>_at(f.before, i, t, sizeof(floating))
    cdef floating *gx = <floating *>_at(f.gx, i, t, sizeof(floating))
    cdef floating *last = <floating *>f.last + i * f.e
    cdef floating *age = <floating *>f.age + i * f.e
    cdef cgru_activation fading = cgru_activation(CGRU_FADING, 0)
    cdef double time = f.time[i], now = 0 if isnan(time) else time + 1, since
    cdef bint begins = isnan(time) or _begins(f, i, t, kind)
    if f.times != NULL:
        now = f.times[i * f.row + t * f.step]
    if begins:
        memset(last, 0, f.e * sizeof(floating))
        memset(age, 0, f.e * sizeof(floating))
    since = 0 if begins else (now - time) / f.unit
    if floating is float:
        grow_float(age, delta, gx, before, last, <const float *>f.W, <const float *>f.b, <float>since, f.e)
    else:
        grow_double(age, delta, gx, before, last, <const double *>f.W, <const double *>f.b, since, f.e)
    k.activation(fading, gx, gx, f.e)
    if floating is float:
        if f.X.column == f.xm.column == 1:
            look_float(x, 1, xh, there, 1, last, age, gx, f.e)
        else:
            look_float(x, f.X.column, xh, there, f.xm.column, last, age, gx, f.e)
    elif f.X.column == f.xm.column == 1:
        look_double(x, 1, xh, there, 1, last, age, gx, f.e)
    else:
        look_double(x, f.X.column, xh, there, f.xm.column, last, age, gx, f.e)
    f.time[i] = now


cdef void fade(const cgru_kernels *k, const Fading *fading) noexcept nogil:
    """Write xm = [xh | mask], delta, gx and the values last seen of all steps."""
    cdef Py_ssize_t i, t
    for t in range(fading.s):
        for i in range(fading.m):
            if fading.length != NULL and t >= fading.length[i]:
                continue
            if k.size == 4:
                _fade_row[float](k, fading, i, t, 0)
            else:
                _fade_row[double](k, fading, i, t, 0)


cdef void _back_row(const Fading *f, Py_ssize_t i, Py_ssize_t t, floating kind) noexcept nogil:
    """Write dX and dgx_ of a step, and add to the sums, each where it is wanted. xm and dxm lie alike."""
    cdef const floating *d = <const floating *>_at(f.dxm, i, t, sizeof(floating))
    cdef const floating *there = <const floating *>_at(f.xm, i, t, sizeof(floating)) + f.e * f.xm.column
    cdef const floating *delta = <const floating *>_at(f.delta, i, t, sizeof(floating))
    cdef const floating *before = <const floating *>_at(f.before, i, t, sizeof(floating))
    cdef const floating *gx = <const floating *>_at(f.gx, i, t, sizeof(floating))
    cdef floating *dX = <floating *>_at(f.dX, i, t, sizeof(floating))
    cdef floating *dgx_ = <floating *>_at(f.dgx_, i, t, sizeof(floating))
    cdef floating *later = <floating *>f.later + i * f.e
    cdef Py_ssize_t c
    cdef bint measured, begins = f.dX.data != NULL and _begins(f, i, t, kind)
    if floating is float:
        if f.xm.column == 1:
            back_float(d, there, 1, gx, before, dgx_, f.e)
        else:
            back_float(d, there, f.xm.column, gx, before, dgx_, f.e)
        if f.dW != NULL:
            sum_float(dgx_, delta, <float *>f.dW, <float *>f.db, f.e)
    else:
        if f.xm.column == 1:
            back_double(d, there, 1, gx, before, dgx_, f.e)
        else:
            back_double(d, there, f.xm.column, gx, before, dgx_, f.e)
        if f.dW != NULL:
            sum_double(dgx_, delta, <double *>f.dW, <double *>f.db, f.e)
    for c in range(f.e if f.dX.data != NULL else 0):
        measured = there[c * f.xm.column] != 0
        dX[c] = d[c * f.xm.column] + later[c] if measured else 0
        later[c] = 0 if measured or begins else later[c] + d[c * f.xm.column] * gx[c]


cdef void fade_backward(const cgru_kernels *k, const Fading *fading) noexcept nogil:
    """Backpropagate dxm: write dgx_, and dX where it is wanted, or add to dW and db, the last step first."""
    cdef Py_ssize_t i, t
    for t in range(fading.s - 1, -1, -1):
        for i in range(fading.m):
            if fading.length != NULL and t >= fading.length[i]:
                continue
            if k.size == 4:
                _back_row[float](fading, i, t, 0)
            else:
                _back_row[double](fading, i, t, 0)


cdef void _through_factors(const floating *g, floating *d, Py_ssize_t n) noexcept nogil:
    """Turn dL/dg of n factors g = exp(-max(0, x)) into dL/dx."""
    cdef Py_ssize_t j
    for j in range(n):
        d[j] = -d[j] * g[j] if g[j] < 1 else 0


cdef void fading_backward(const void *g, void *d, Py_ssize_t n, int size) noexcept nogil:
    """Turn dL/dg of n factors g = exp(-max(0, x)) into dL/dx, in place."""
    if size == 4:
        _through_factors[float](<const float *>g, <float *>d, n)
    else:
        _through_factors[double](<const double *>g, <double *>d, n)


cdef class Faded:
    """The input of a `GRUD` for a batch, with its caches; `GRUD` has checked all arguments.

    Attributes:
        fc: delta, last, gx and xm, as `forward` of cgru/grud_reference.py returns them.
        seen: (last, age, time) after the last steps.
    """

    cdef readonly dict fc
    cdef readonly tuple seen
    cdef Fading fading
    cdef tuple held

    def __cinit__(self, cnp.ndarray X not None, cnp.ndarray W not None, cnp.ndarray b not None, times, lengths, anew,
                  seen, double unit):
        """Run X (m, s, e) from `seen`; anew is (m, s, n) factors, or None, of which all are 0 where a step forgets."""
        cdef Fading *f = &self.fading
        cdef Py_ssize_t m = X.shape[0], s = X.shape[1], e = X.shape[2]
        cdef cnp.ndarray last, age, time
        last, age, time = (each.copy() for each in seen)
        self.seen = last, age, time
        f.m, f.s, f.e, f.unit = m, s, e, unit
        W, b = np.ascontiguousarray(W), np.ascontiguousarray(b)
        self.held = X, W, b, times, lengths, anew
        if lengths is not None:
            f.length = <const Py_ssize_t *>cnp.PyArray_DATA(lengths)
        if anew is not None:
            f.anew, f.units = view(anew), anew.shape[2]
        if times is not None:
            f.times, f.row, f.step = <const double *>cnp.PyArray_DATA(times), s, 1
        f.last, f.age = cnp.PyArray_DATA(last), cnp.PyArray_DATA(age)
        f.time, f.W, f.b = <double *>cnp.PyArray_DATA(time), cnp.PyArray_DATA(W), cnp.PyArray_DATA(b)
        self.fc = {name: np.zeros((s, m, e), X.dtype).swapaxes(0, 1) for name in ("delta", "last", "gx")}
        self.fc["xm"] = np.zeros((s, m, 2 * e), X.dtype).swapaxes(0, 1)
        f.X, f.xm = view(X), view(self.fc["xm"])
        f.delta, f.before, f.gx = view(self.fc["delta"]), view(self.fc["last"]), view(self.fc["gx"])
        fade(kernels(cnp.PyArray_ITEMSIZE(X)), f)

    def backward(self, cnp.ndarray dxm not None):
        """Return (dX, dgx_) (m, s, e) for dL/dxm (m, s, 2 e), zero past the lengths."""
        cdef Fading f = self.fading
        cdef cnp.ndarray X = self.held[0], later = np.zeros((f.m, f.e), X.dtype)
        dX, dgx_ = (np.zeros((f.s, f.m, f.e), X.dtype).swapaxes(0, 1) for _ in range(2))
        dxm = np.ascontiguousarray(dxm.swapaxes(0, 1)).swapaxes(0, 1)  # as xm lies
        f.dxm, f.dX, f.dgx_, f.later = view(dxm), view(dX), view(dgx_), cnp.PyArray_DATA(later)
        fade_backward(kernels(cnp.PyArray_ITEMSIZE(X)), &f)
        return dX, dgx_
