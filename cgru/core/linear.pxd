"""The linear layer: rows times a matrix, plus a bias, and an activation."""

cimport numpy as cnp

from cgru.core.kernels cimport cgru_activation, cgru_call, cgru_kernels, cgru_product
from cgru.core.memory cimport Workspace

cdef enum:
    SOFTMAX = -1  # a code beside those of the kernels; its alpha is the temperature

# One call, to be made as often as one likes; it stays where it was prepared, and the Linear and the arrays live on.
cdef struct LinearCall:
    const cgru_kernels *k
    cgru_call call
    cgru_product product
    cgru_activation activate
    char *Z
    char *A
    Py_ssize_t rows  # of a part
    double flop

cdef void execute(LinearCall *call) noexcept
# A (m, u) = the activation, softmax among them, of Z, which may be A.
cdef void activated(const cgru_kernels *k, cgru_activation f, const void *Z, void *A, Py_ssize_t m,
                    Py_ssize_t u) noexcept nogil


cdef class Linear:
    cdef const cgru_kernels *k
    cdef readonly Py_ssize_t n, u
    cdef cgru_activation activate
    cdef bint activated
    cdef Workspace memory
    cdef void *weights
    cdef void *bias

    # X (m, n), rows `ld` apart; Z (m, u), and A (m, u), which may be Z, or NULL for Z alone.
    cdef void prepare(self, LinearCall *call, const void *X, Py_ssize_t ld, Py_ssize_t m, void *Z, void *A) noexcept
    cdef tuple made(self, cnp.ndarray X, bint in_place)
