"""Weight gradients, without the GIL: memory is handed in, the arrays are those of the call."""

from cgru.core.kernels cimport cgru_call, cgru_gradients, cgru_kernels


cdef Py_ssize_t gradients_room(const cgru_call *call, int shares) noexcept nogil
cdef void sum_gradients(const cgru_kernels *k, const cgru_call *call, const cgru_gradients *g, int shares,
                        void *memory) noexcept nogil
cdef int execute(cgru_call *call, const cgru_gradients *g, const cgru_kernels *k) except -1
cdef int run(dict g, dict caches, order, running) except -1
