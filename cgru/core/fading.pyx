"""Values that fade where they are missing, of one call: simd/fading.h computes them. m samples, s steps, e features."""

import numpy as np

cimport numpy as cnp

from cgru.core.kernels cimport cgru_fading, kernels, view

cnp.import_array()


cdef class Faded:
    """The input of a `GRUD` for a batch, with its caches; `GRUD` has checked all arguments.

    Attributes:
        fc: delta, last, gx and xm, as `forward` of cgru/grud_reference.py returns them.
        seen: (last, age, time) after the last steps.
    """

    cdef readonly dict fc
    cdef readonly tuple seen
    cdef cgru_fading fading
    cdef tuple held

    def __cinit__(self, cnp.ndarray X not None, cnp.ndarray W not None, cnp.ndarray b not None, times, lengths, anew,
                  seen, double unit):
        """Run X (m, s, e) from `seen`; anew is (m, s, n) factors, or None, of which all are 0 where a step forgets."""
        cdef cgru_fading *f = &self.fading
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
        kernels(cnp.PyArray_ITEMSIZE(X)).fade(f)

    def backward(self, cnp.ndarray dxm not None):
        """Return (dX, dgx_) (m, s, e) for dL/dxm (m, s, 2 e), zero past the lengths."""
        cdef cgru_fading f = self.fading
        cdef cnp.ndarray X = self.held[0], later = np.zeros((f.m, f.e), X.dtype)
        dX, dgx_ = (np.zeros((f.s, f.m, f.e), X.dtype).swapaxes(0, 1) for _ in range(2))
        dxm = np.ascontiguousarray(dxm.swapaxes(0, 1)).swapaxes(0, 1)  # as xm lies
        f.dxm, f.dX, f.dgx_, f.later = view(dxm), view(dX), view(dgx_), cnp.PyArray_DATA(later)
        kernels(cnp.PyArray_ITEMSIZE(X)).fade_backward(&f)
        return dX, dgx_
