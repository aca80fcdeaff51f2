"""Layers whose weights are int8 or bfloat16; see simd/low_precision.h. float32 alone, forward alone."""

cimport numpy as cnp

from cgru.core.kernels cimport cgru_call, cgru_quantized, cgru_low_precision_kernels, cgru_low_precision_layer
from cgru.core.memory cimport Workspace


cdef struct NarrowCell:
    const cgru_low_precision_kernels *k
    cgru_call call  # without arrays
    cgru_low_precision_layer layer  # of that call


# Bytes of memory for so many samples; and all steps of X (m, s, e), contiguous: h (m, u) in and out, H (m, s, u) or
# NULL.
cdef Py_ssize_t narrow_room(const NarrowCell *cell, Py_ssize_t m) noexcept nogil
cdef void narrow_sequence(const NarrowCell *cell, Py_ssize_t m, Py_ssize_t s, const float *X, float *h, float *H,
                          void *memory) noexcept nogil


cdef class NarrowGRU:
    cdef NarrowCell cell
    cdef Workspace memory
    cdef readonly Py_ssize_t e, u, weight_bytes

    cdef int _matrix(self, cgru_quantized *to, int number, dict p, list names) except -1


cdef struct NarrowProduct:
    const cgru_low_precision_kernels *k
    cgru_quantized W
    const void *b
    Py_ssize_t n
    double bound


# Bytes of memory for so many rows; and to (m, u) = X W + b for X (m, n), contiguous.
cdef Py_ssize_t product_room(const NarrowProduct *product, Py_ssize_t m) noexcept nogil
cdef void narrow_product(const NarrowProduct *product, const float *X, Py_ssize_t m, float *to,
                         void *memory) noexcept nogil


cdef class NarrowLinear:
    cdef NarrowProduct product
    cdef Workspace memory
    cdef readonly Py_ssize_t n, u

    cdef tuple made(self, cnp.ndarray X, tuple activate)
