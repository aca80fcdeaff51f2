"""Values that fade where they are missing: the loops of cgru/fading.py, in float32 or float64.

m samples, s steps, e features.
"""

import numpy as np

cimport numpy as cnp
from cython cimport floating
from libc.math cimport isnan
from libc.string cimport memcpy, memset

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


cdef inline void _grow(floating *age, floating *delta, floating since, Py_ssize_t e) noexcept nogil:
    """delta = age + since, which the ages become"""
    cdef Py_ssize_t c
    for c in range(e):
        delta[c] = age[c] = age[c] + since


cdef inline void _arguments(const floating *delta, const floating *W, const floating *b, floating *gx,
                            Py_ssize_t e) noexcept nogil:
    """gx = delta * W + b"""
    cdef Py_ssize_t c
    for c in range(e):
        gx[c] = delta[c] * W[c] + b[c]


cdef inline void _look(const floating *x, Py_ssize_t column, floating *xh, floating *there, Py_ssize_t to,
                       floating *last, floating *age, Py_ssize_t e) noexcept nogil:
    """Write x and the mask; values that were measured are the last ones from now on."""
    cdef Py_ssize_t c
    cdef bint measured
    for c in range(e):
        measured = x[c * column] == x[c * column]
        there[c * to] = measured
        last[c] = x[c * column] if measured else last[c]
        age[c] = 0 if measured else age[c]
        xh[c * to] = last[c]


cdef inline void _let_fade(floating *xh, const floating *there, Py_ssize_t to, const floating *gx,
                           const floating *before, Py_ssize_t e) noexcept nogil:
    """xh = gx * before where nothing was measured"""
    cdef Py_ssize_t c
    for c in range(e):
        xh[c * to] = xh[c * to] if there[c * to] != 0 else gx[c] * before[c]


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
    cdef double time = f.time[i], now = 0 if isnan(time) else time + 1
    cdef bint begins = isnan(time) or _begins(f, i, t, kind)
    if f.times != NULL:
        now = f.times[i * f.row + t * f.step]
    if begins:
        memset(last, 0, f.e * sizeof(floating))
        memset(age, 0, f.e * sizeof(floating))
    _grow(age, delta, <floating>(0 if begins else (now - time) / f.unit), f.e)
    _arguments(delta, <const floating *>f.W, <const floating *>f.b, gx, f.e)
    memcpy(before, last, f.e * sizeof(floating))
    k.activation(fading, gx, gx, f.e)
    if f.X.column == f.xm.column == 1:
        _look(x, 1, xh, there, 1, last, age, f.e)
        _let_fade(xh, there, 1, gx, before, f.e)
    else:
        _look(x, f.X.column, xh, there, f.xm.column, last, age, f.e)
        _let_fade(xh, there, f.xm.column, gx, before, f.e)
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


cdef inline void _through_fading(const floating *d, const floating *there, Py_ssize_t column, const floating *gx,
                                 const floating *before, floating *dgx_, Py_ssize_t e) noexcept nogil:
    """dgx_ = -d * before * gx where nothing was measured, and gx is below 1"""
    cdef Py_ssize_t c
    for c in range(e):
        dgx_[c] = -d[c * column] * before[c] * gx[c] if there[c * column] == 0 and gx[c] < 1 else 0


cdef inline void _add_sums(const floating *dgx_, const floating *delta, floating *dW, floating *db,
                           Py_ssize_t e) noexcept nogil:
    """dW += dgx_ * delta, db += dgx_"""
    cdef Py_ssize_t c
    for c in range(e):
        dW[c] += dgx_[c] * delta[c]
        db[c] += dgx_[c]


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
    if f.xm.column == 1:
        _through_fading(d, there, 1, gx, before, dgx_, f.e)
    else:
        _through_fading(d, there, f.xm.column, gx, before, dgx_, f.e)
    if f.dW != NULL:
        _add_sums(dgx_, delta, <floating *>f.dW, <floating *>f.db, f.e)
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
        fc: delta, last, gx and xm, as `forward` of cgru/fading.py returns them.
        seen: (last, age, time) after the last steps.
    """

    cdef readonly dict fc
    cdef readonly tuple seen
    cdef Fading fading
    cdef tuple held

    def __init__(self, cnp.ndarray X not None, cnp.ndarray W not None, cnp.ndarray b not None, times, lengths, anew,
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
