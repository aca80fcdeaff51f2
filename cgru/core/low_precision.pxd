"""Layers whose weights are int8 or bfloat16; see simd/low_precision.h. float32 alone, forward alone."""

cimport numpy as cnp

from cgru.core.kernels cimport cgru_call, cgru_narrow, cgru_narrow_kernels, cgru_narrow_layer
from cgru.core.memory cimport Workspace


cdef struct LowPrecisionCell:
    const cgru_narrow_kernels *k
    cgru_call call  # without arrays
    cgru_narrow_layer layer  # of that call


# Bytes of memory for so many samples; and all steps of X (m, s, e), contiguous: h (m, u) in and out, H (m, s, u) or
# NULL.
cdef Py_ssize_t rows_workspace_bytes(const LowPrecisionCell *cell, Py_ssize_t m) noexcept nogil
cdef void run_low_precision(const LowPrecisionCell *cell, Py_ssize_t m, Py_ssize_t s, const float *X, float *h, float *H,
                          void *memory) noexcept nogil


cdef class LowPrecisionGRU:
    cdef LowPrecisionCell cell
    cdef Workspace memory
    cdef readonly Py_ssize_t e, u, weight_bytes

    cdef int _matrix(self, cgru_narrow *to, int number, dict p, list names) except -1


cdef struct LowPrecisionProduct:
    const cgru_narrow_kernels *k
    cgru_narrow W
    const void *b
    Py_ssize_t n
    double bound


# Bytes of memory for so many rows; and to (m, u) = X W + b for X (m, n), contiguous.
cdef Py_ssize_t product_workspace_bytes(const LowPrecisionProduct *product, Py_ssize_t m) noexcept nogil
cdef void run_product(const LowPrecisionProduct *product, const float *X, Py_ssize_t m, float *to,
                         void *memory) noexcept nogil


cdef class LowPrecisionLinear:
    cdef LowPrecisionProduct product
    cdef Workspace memory
    cdef readonly Py_ssize_t n, u

    cdef tuple _multiply(self, cnp.ndarray X, tuple activate)
