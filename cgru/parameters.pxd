"""Weight gradients, without the GIL: memory is handed in, the arrays are those of the call."""

from cgru.core.kernels cimport cgru_call, cgru_gradients, cgru_kernels


cdef int shares_of(const cgru_kernels *k, const cgru_call *call) noexcept nogil
cdef Py_ssize_t gradients_room(const cgru_call *call, int shares) noexcept nogil
cdef void sum_gradients(const cgru_kernels *k, const cgru_call *call, const cgru_gradients *g, int shares,
                        void *memory) noexcept nogil
