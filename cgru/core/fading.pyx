"""Values that fade where they are missing: the loops of cgru/fading.py, in float32 or float64.

m samples, s steps, e features.
"""

import numpy as np

cimport numpy as cnp
from cython cimport floating
from libc.math cimport isnan

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


cdef void _remember(const Fading *f, Py_ssize_t i, Py_ssize_t t, floating kind) noexcept nogil:
    """Write delta, the values last seen and the argument of gx of a step, and x and the mask to xm; `kind` as above."""
    cdef const floating *x = <const floating *>_at(f.X, i, t, sizeof(floating))
    cdef floating *xm = <floating *>_at(f.xm, i, t, sizeof(floating))
    cdef floating *delta = <floating *>_at(f.delta, i, t, sizeof(floating))
    cdef floating *before = <floating *>_at(f.before, i, t, sizeof(floating))
    cdef floating *gx = <floating *>_at(f.gx, i, t, sizeof(floating))
    cdef floating *last = <floating *>f.last + i * f.e
    cdef const floating *W = <const floating *>f.W
    cdef const floating *b = <const floating *>f.b
    cdef double *age = f.age + i * f.e
    cdef double time = f.time[i], now = 0 if isnan(time) else time + 1, since
    cdef Py_ssize_t c
    cdef bint begins = isnan(time) or _begins(f, i, t, kind)
    cdef floating value
    if f.times != NULL:
        now = f.times[i * f.row + t * f.step]
    since = 0 if begins else (now - time) / f.unit
    for c in range(f.e):
        value = x[c * f.X.column]
        if begins:
            last[c] = 0
            age[c] = 0
        age[c] += since
        delta[c], before[c] = <floating>age[c], last[c]
        gx[c] = delta[c] * W[c] + b[c]
        xm[(f.e + c) * f.xm.column] = not isnan(value)
        if not isnan(value):
            xm[c * f.xm.column] = last[c] = value
            age[c] = 0
    f.time[i] = now


cdef void _fade_step(const cgru_kernels *k, const Fading *f, Py_ssize_t t, floating kind) noexcept nogil:
    """Run a step of all rows."""
    cdef cgru_activation fading = cgru_activation(CGRU_FADING, 0)
    cdef Py_ssize_t i, c
    cdef floating *xm
    cdef const floating *before
    cdef const floating *gx
    for i in range(f.m):
        if f.length == NULL or t < f.length[i]:
            _remember(f, i, t, kind)
    for i in range(f.m):
        if f.length != NULL and t >= f.length[i]:
            continue
        xm = <floating *>_at(f.xm, i, t, sizeof(floating))
        before = <const floating *>_at(f.before, i, t, sizeof(floating))
        gx = <const floating *>_at(f.gx, i, t, sizeof(floating))
        k.activation(fading, gx, <void *>gx, f.e)
        for c in range(f.e):
            if xm[(f.e + c) * f.xm.column] == 0:
                xm[c * f.xm.column] = gx[c] * before[c]


cdef void fade(const cgru_kernels *k, const Fading *fading) noexcept nogil:
    """Write xm = [xh | mask], delta, gx and the values last seen of all steps."""
    cdef Py_ssize_t t
    for t in range(fading.s):
        if k.size == 4:
            _fade_step[float](k, fading, t, 0)
        else:
            _fade_step[double](k, fading, t, 0)


cdef void _back_step(const Fading *f, Py_ssize_t i, Py_ssize_t t, floating kind) noexcept nogil:
    """Write dX and dgx_ of a step, and add to the sums."""
    cdef const floating *d = <const floating *>_at(f.dxm, i, t, sizeof(floating))
    cdef const floating *xm = <const floating *>_at(f.xm, i, t, sizeof(floating))
    cdef const floating *delta = <const floating *>_at(f.delta, i, t, sizeof(floating))
    cdef const floating *before = <const floating *>_at(f.before, i, t, sizeof(floating))
    cdef const floating *gx = <const floating *>_at(f.gx, i, t, sizeof(floating))
    cdef floating *dX = <floating *>_at(f.dX, i, t, sizeof(floating))
    cdef floating *dgx_ = <floating *>_at(f.dgx_, i, t, sizeof(floating))
    cdef floating *later = <floating *>f.later + i * f.e
    cdef floating *dW = <floating *>f.dW
    cdef floating *db = <floating *>f.db
    cdef floating above, into
    cdef Py_ssize_t c
    cdef bint there, begins = f.dX.data != NULL and _begins(f, i, t, kind)
    for c in range(f.e):
        above, there = d[c * f.dxm.column], xm[(f.e + c) * f.xm.column] != 0
        into = 0 if there or gx[c] >= 1 else -above * before[c] * gx[c]
        if f.dX.data != NULL:
            dX[c] = above + later[c] if there else 0
            later[c] = 0 if there or begins else later[c] + above * gx[c]
        if f.dgx_.data != NULL:
            dgx_[c] = into
        if f.dW != NULL:
            dW[c] += into * delta[c]
            db[c] += into


cdef void fade_backward(const cgru_kernels *k, const Fading *fading) noexcept nogil:
    """Backpropagate dxm: write dX and dgx_, or add to dW and db, the last step first."""
    cdef Py_ssize_t i, t
    for t in range(fading.s - 1, -1, -1):
        for i in range(fading.m):
            if fading.length != NULL and t >= fading.length[i]:
                continue
            if k.size == 4:
                _back_step[float](fading, i, t, 0)
            else:
                _back_step[double](fading, i, t, 0)


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
        f.last, f.age = cnp.PyArray_DATA(last), <double *>cnp.PyArray_DATA(age)
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
        f.dxm, f.dX, f.dgx_, f.later = view(dxm), view(dX), view(dgx_), cnp.PyArray_DATA(later)
        fade_backward(kernels(cnp.PyArray_ITEMSIZE(X)), &f)
        return dX, dgx_
