"""Decay missing values and compute the decay factors of the states of a `GRUD`, by the C code of simd/fading.h.

m samples, s steps, e features, u units.
"""

import numpy as np

cimport numpy as cnp

from cgru.core.kernels cimport CGRU_FADING, cgru_fading, kernels, view
from cgru.core.lengths import mask
from cgru.core.linear cimport Linear, execute

cnp.import_array()


cdef class Fading:
    """The computation in front of the GRU of a `GRUD`, for a batch or a step; all arguments are checked before.

    Attributes:
        X: the input.
        fc: delta, last, gx, xm and gh, as `forward` of cgru/grud_reference.py returns them; each run fills them.
        seen: (last, age, time) after the last steps, from which the next run goes on.
    """

    def __cinit__(self, cnp.ndarray X not None, dict p not None, times, lengths, seen, double unit):
        """Prepare runs on X (m, s, e) that continue from the values `seen` before; the parameters are copied."""
        cdef cgru_fading *f = &self.loops
        cdef Py_ssize_t m = X.shape[0], s = X.shape[1], e = X.shape[2]
        cdef cnp.ndarray last, age, time, W = p["Wgx"].copy(), b = p["bgx"].copy(), delta
        self.rates, self.lengths = Linear(p["Wgh"], p["bgh"], (CGRU_FADING, 0.0)), lengths
        self.seen = last, age, time = tuple([each.copy() for each in seen])
        sizes = {"delta": e, "last": e, "gx": e, "xm": 2 * e, "gh": self.rates.u}
        self.fc = {name: np.zeros((s, m, n), X.dtype).swapaxes(0, 1) for name, n in sizes.items()}
        self.X, self.held, f.m, f.s, f.e, f.unit = X, (W, b, times), m, s, e, unit
        if lengths is not None:
            f.length = <const Py_ssize_t *>cnp.PyArray_DATA(lengths)
        if times is not None:
            f.times, f.row, f.step = <const double *>cnp.PyArray_DATA(times), s, 1
        f.last, f.age, f.time = cnp.PyArray_DATA(last), cnp.PyArray_DATA(age), <double *>cnp.PyArray_DATA(time)
        f.X, f.W, f.b, f.xm = view(X), cnp.PyArray_DATA(W), cnp.PyArray_DATA(b), view(self.fc["xm"])
        f.delta, f.before, f.gx = view(self.fc["delta"]), view(self.fc["last"]), view(self.fc["gx"])
        delta, self.gh = self.fc["delta"], self.fc["gh"]
        cdef void *gh = cnp.PyArray_DATA(self.gh)
        self.rates.prepare(&self.call, cnp.PyArray_DATA(delta), e, s * m, gh, gh)

    cpdef cnp.ndarray run(self, cnp.ndarray given):
        """Run all steps; return the decay factors of the states, multiplied by the factors `given` (m, s, n), if any.

        A step at which all given factors are 0 forgets what was seen.
        """
        self.given, self.loops.anew.data = given, NULL
        if given is not None:
            self.loops.anew, self.loops.units = view(given), given.shape[2]
        kernels(cnp.PyArray_ITEMSIZE(self.gh)).fade(&self.loops)
        execute(&self.call)
        if self.lengths is not None:
            self.gh[~mask(self.lengths, self.loops.s)[:, :, 0]] = 0
        return self.gh if given is None else self.gh * given

    def backward(self, cnp.ndarray dxm not None, cnp.ndarray dgh not None):
        """Backpropagate dL/dxm and dL/dgh; return dX, dgx_ (m, s, e) and dgh_ (m, s, u), zero in the padding."""
        cdef cgru_fading f = self.loops
        cdef cnp.ndarray later = np.zeros((f.m, f.e), dxm.dtype)
        dX, dgx_ = (np.zeros((f.s, f.m, f.e), dxm.dtype).swapaxes(0, 1) for _ in range(2))
        dxm = np.ascontiguousarray(dxm.swapaxes(0, 1)).swapaxes(0, 1)  # as xm lies
        f.dxm, f.dX, f.dgx_, f.later = view(dxm), view(dX), view(dgx_), cnp.PyArray_DATA(later)
        kernels(cnp.PyArray_ITEMSIZE(dxm)).fade_backward(&f)
        return {"dX": dX, "dgx_": dgx_, "dgh_": np.where(self.gh < 1, -dgh * self.gh, dgh.dtype.type(0))}
