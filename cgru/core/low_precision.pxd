"""Forward passes of layers with int8 or bfloat16 weights, computed in float32; see simd/low_precision.h."""

cimport numpy as cnp

from cgru.core.kernels cimport (
    cgru_call, cgru_low_precision_kernels, cgru_low_precision_layer, cgru_operand, cgru_quantized,
)
from cgru.core.memory cimport Workspace


cdef struct LowPrecisionCell:
    const cgru_low_precision_kernels *k
    cgru_call call  # sizes and activations, without arrays
    cgru_low_precision_layer layer  # the packed weights


# Return the bytes of workspace for m samples.
cdef Py_ssize_t layer_workspace(const LowPrecisionCell *cell, Py_ssize_t m) noexcept nogil
# Run a forward call of the cell, with its arrays, on this thread.
cdef void run_quantized(const LowPrecisionCell *cell, const cgru_call *call, void *memory) noexcept nogil


cdef class LowPrecisionGRU:
    cdef LowPrecisionCell cell
    cdef Workspace memory
    cdef readonly Py_ssize_t e, u, weight_bytes

    # Run a forward call with its arrays, h0 and `last` among them, the rows shared among threads.
    cdef int execute(self, const cgru_call *call) except -1
    cdef int _matrix(self, cgru_quantized *to, dict p, list names) except -1


cdef struct LowPrecisionProduct:
    const cgru_low_precision_kernels *k
    cgru_quantized W
    const void *b
    Py_ssize_t n
    double bound


# Return the bytes of workspace for m rows.
cdef Py_ssize_t product_workspace(const LowPrecisionProduct *product, Py_ssize_t m) noexcept nogil
# Write X W + b for m rows of X from number `row` on to the same rows of `to` (.., u).
cdef void multiply_quantized(const LowPrecisionProduct *product, const cgru_operand *X, Py_ssize_t row, Py_ssize_t m,
                             float *to, void *memory) noexcept nogil
# Pack W (n, u), int8 codes with their `scale` (1, u) or bits of bfloat16, and b (1, u); return their memory.
cdef Workspace pack_product(LowPrecisionProduct *product, cnp.ndarray W, cnp.ndarray b, cnp.ndarray scale,
                            double bound)
