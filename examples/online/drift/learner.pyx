# cython: boundscheck=False, wraparound=False, cdivision=True
"""`Learner`: predict, compare, learn; once for each sample."""

import numpy as np

import cgru

from cgru cimport (
    CELL_OK, backward, cache_bytes, cgru_cell, forward, gradients, parameter_count, pointer, update, workspace_bytes,
)
from libc.math cimport sqrt
from libc.string cimport memcpy, memmove, memset


cdef class Learner:
    """A GRU of `units` on samples of `features` and a linear readout y = h w + b; the loss is (y - target)^2 / 2.

    Each step goes back over a window of the last `window` samples, at whose beginning the state is taken as given.
    `rate` is that of gradient descent, the gradient's norm is cut to `most`. Where learning diverges all the same,
    predictions are NaN.
    """

    cdef readonly object layer, cell
    cdef cgru_cell *inside
    cdef double[:, ::1] X, H  # (window, e) the last samples; (window, u) their states
    cdef double[::1] h, dh, w, g, workspace, cache
    cdef double b
    cdef public double rate
    cdef readonly double most

    def __init__(self, Py_ssize_t features, Py_ssize_t units, Py_ssize_t window=16, double rate=0.02, double most=1,
                 seed=None):
        if window < 2:
            raise ValueError(f"window: expected at least 2, got {window}")
        self.layer = cgru.GRU(units, rng=seed)
        self.layer.compute_shapes(np.empty((1, 1, features)))
        self.layer.initialize_parameters()
        self.cell = cgru.Cell(self.layer)
        self.inside = pointer(self.cell)
        self.X, self.H = np.zeros((window, features)), np.zeros((window, units))
        self.h, self.dh, self.w = np.zeros((3, units))
        self.g = np.zeros(parameter_count(self.inside))
        self.workspace = np.zeros(workspace_bytes(self.inside, 1, window) // sizeof(double) + 1)
        self.cache = np.zeros(cache_bytes(self.inside, 1, window) // sizeof(double) + 1)
        self.b, self.rate, self.most = 0, rate, most

    def learn(self, const double[:, ::1] X, const double[::1] targets):
        """What is predicted after each sample X (n, e), before its target (n,) is looked at and learned from."""
        if X.shape[1] != self.X.shape[1] or X.shape[0] != targets.shape[0]:
            raise ValueError(f"X, targets: expected ({targets.shape[0]}, {self.X.shape[1]}) and as many targets, got "
                             f"({X.shape[0]}, {X.shape[1]}) and {targets.shape[0]}")
        cdef double[::1] y = np.empty(X.shape[0])
        cdef int code = CELL_OK
        cdef Py_ssize_t t
        with nogil:
            for t in range(X.shape[0]):
                code = self._predict(&X[t, 0], &y[t])
                if code == CELL_OK and self.rate != 0:
                    code = self._learn(y[t] - targets[t])
                if code != CELL_OK:
                    break
        if code != CELL_OK:
            raise RuntimeError(f"cgru: cell_code {code}, see cgru/cell.pxd")
        return np.asarray(y)

    cdef int _predict(self, const double *x, double *y) noexcept nogil:
        """Move the window on by x, run through it, read y from the last state."""
        cdef Py_ssize_t s = self.X.shape[0], e = self.X.shape[1], u = self.h.shape[0], j
        memmove(&self.X[0, 0], &self.X[1, 0], (s - 1) * e * sizeof(double))
        memcpy(&self.X[s - 1, 0], x, e * sizeof(double))
        memcpy(&self.h[0], &self.H[0, 0], u * sizeof(double))
        cdef int code = forward(
            self.inside, 1, s, &self.X[0, 0], &self.h[0], &self.H[0, 0],
            &self.cache[0], self.cache.shape[0] * sizeof(double),
            &self.workspace[0], self.workspace.shape[0] * sizeof(double))
        y[0] = self.b
        for j in range(u):
            y[0] += self.h[j] * self.w[j]
        return code

    cdef int _learn(self, double dy) noexcept nogil:
        """One step down the gradient of the last prediction's loss, whose derivative is dy."""
        cdef Py_ssize_t s = self.X.shape[0], u = self.h.shape[0], j
        cdef Py_ssize_t room = self.cache.shape[0] * sizeof(double), bytes = self.workspace.shape[0] * sizeof(double)
        cdef double squares = dy * dy, rate
        cdef int code
        for j in range(u):
            self.dh[j] = dy * self.w[j]
            squares += dy * dy * self.h[j] * self.h[j]
        code = backward[double](self.inside, 1, s, NULL, &self.dh[0], NULL,
                                &self.cache[0], room, &self.workspace[0], bytes)
        if code != CELL_OK:
            return code
        memset(&self.g[0], 0, self.g.shape[0] * sizeof(double))
        code = gradients(self.inside, 1, s, &self.X[0, 0], &self.g[0],
                         &self.cache[0], room, &self.workspace[0], bytes)
        if code != CELL_OK:
            return code
        for j in range(self.g.shape[0]):
            squares += self.g[j] * self.g[j]
        rate = self.rate * min(1, self.most / sqrt(squares)) if squares > 0 else self.rate
        for j in range(u):
            self.w[j] -= rate * dy * self.h[j]
        self.b -= rate * dy
        return update(self.inside, &self.g[0], rate)
