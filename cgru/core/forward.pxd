"""The layer forward, without the GIL: its memory is handed in, its arrays are those of the call."""

from cgru.core.kernels cimport cgru_call, cgru_kernels, cgru_product, cgru_single, cgru_weights


cdef struct Forward:
    const cgru_kernels *k
    cgru_call *call
    cgru_product gates, candidate
    cgru_product recurrent  # where the reset comes after
    cgru_single single  # instead of the products, where there is one sample
    Py_ssize_t rows  # of a block
    int threads
    bint ragged
    bint first, last  # whether the steps to run are the first ones of the sequence, and the last


cdef Py_ssize_t pack_room(const cgru_call *call) noexcept nogil
cdef Py_ssize_t rows_room(const cgru_kernels *k, const cgru_call *call) noexcept nogil
cdef void prepare(Forward *f, const cgru_kernels *k, cgru_call *call, void *packed, void *rows) noexcept nogil
cdef void pack_weights(Forward *f, const cgru_weights *w) noexcept nogil
cdef void sequence(Forward *f, bint first, bint last) noexcept nogil
cdef int execute(cgru_call *call, const cgru_weights *w, const cgru_kernels *k) except -1
