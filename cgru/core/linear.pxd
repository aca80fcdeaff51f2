"""The linear layer: rows times a matrix, plus a bias, and an activation."""

cimport numpy as cnp

from cgru.core.kernels cimport cgru_activation, cgru_kernels
from cgru.core.memory cimport Workspace

cdef enum:
    SOFTMAX = -1  # a code beside those of the kernels; its alpha is the temperature


cdef class Linear:
    cdef const cgru_kernels *k
    cdef readonly Py_ssize_t n, u
    cdef cgru_activation activate
    cdef bint activated
    cdef Workspace memory
    cdef void *weights
    cdef void *bias

    # X (m, n), rows `ld` apart; Z (m, u), and A (m, u), which may be Z, or NULL for Z alone.
    cdef void run(self, const void *X, Py_ssize_t ld, Py_ssize_t m, void *Z, void *A) noexcept
    cdef tuple made(self, cnp.ndarray X, bint in_place)
