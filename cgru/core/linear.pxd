"""A linear layer: A = activate(X W + b)."""

cimport numpy as cnp

from cgru.core.kernels cimport cgru_activation, cgru_call, cgru_kernels, cgru_product
from cgru.core.low_precision cimport LowPrecisionProduct
from cgru.core.memory cimport Workspace

# A prepared call, which may be executed any number of times. It must not be moved, since it points into itself. Its
# Linear and its arrays have to outlive it.
cdef struct LinearCall:
    const cgru_kernels *k
    cgru_call call
    cgru_product product
    cgru_activation activate
    char *Z
    char *A
    Py_ssize_t rows  # of a part, which one thread computes
    double flop
    int most  # threads
    const LowPrecisionProduct *narrow  # NULL: weights are floats
    char *memory  # workspace of `narrow`, so many bytes for each thread
    Py_ssize_t bytes

# Run a prepared call.
cdef void execute(LinearCall *call) noexcept
# Write the activation of Z (m, u) into A (m, u), which may be Z. Softmax is taken over each row.
cdef void activated(const cgru_kernels *k, cgru_activation f, const void *Z, void *A, Py_ssize_t m,
                    Py_ssize_t u) noexcept nogil


cdef class Linear:
    cdef const cgru_kernels *k
    cdef readonly Py_ssize_t n, u
    cdef cgru_activation activate
    cdef readonly bint activated
    cdef Workspace memory
    cdef void *weights
    cdef void *bias
    cdef LowPrecisionProduct narrow
    cdef bint is_narrow  # whether the weights are int8 or bfloat16

    # Fill `call` for X (m, n), rows `ld` apart, and its results Z (m, u) and A (m, u). A may be Z, or NULL: Z alone.
    # Return the memory that the call must have, as long as it is executed.
    cdef Workspace prepare(self, LinearCall *call, const void *X, Py_ssize_t ld, Py_ssize_t m, void *Z, void *A)
    cdef tuple _multiply(self, cnp.ndarray X, bint in_place)
