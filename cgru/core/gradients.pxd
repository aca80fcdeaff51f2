"""Weight gradients, without the GIL: memory is handed in, the arrays are those of the call.

The call of `execute` reads X, hp, r, dhh_, dz_, dr_, with reset_after and layer_norm dc, with layer_norm nU, nV, dU_, dV_,
shapes as in forward.pxd and backward.pxd, and adds to the arrays of `targets`, one for each parameter of the variant.
"""

from cgru.core.kernels cimport cgru_call, cgru_gradients, cgru_kernels


cdef Py_ssize_t gradients_room(const cgru_call *call, int shares) noexcept nogil
cdef void sum_gradients(const cgru_kernels *k, const cgru_call *call, const cgru_gradients *g, int shares,
                        void *memory) noexcept nogil
cdef int execute(cgru_call *call, const cgru_gradients *g, const cgru_kernels *k) except -1
