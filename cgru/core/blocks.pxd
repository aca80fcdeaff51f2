"""The backward pass with its gradients, block by block of steps, without the GIL.

A block runs backward, and its gradients are summed while its arrays are in the cache. The arrays dhh_, dz_, dr_, dc,
dU_ and dV_ of backward.pxd need memory for one block alone, which lies in the workspace. Sums run in the order of the
backward pass, from the last step that ran forward to the first. So their bits depend neither on the blocks nor on the
threads.
"""

from cgru.core.kernels cimport cgru_call, cgru_gradients, cgru_kernels, cgru_weights

# Run a call backward that has run forward, in `memory` of `blocks_size` numbers, and add the gradients to `g`, unless
# it is NULL. Return the number of steps of a block. A Ctrl-C ends the run.
cdef Py_ssize_t run_in_workspace(cgru_call *call, const cgru_weights *w, const cgru_gradients *g,
                                 const cgru_kernels *k, void *memory, int most) except -1 nogil
# Return the workspace that is enough for this call, with fewer or shorter samples and any layout of its arrays.
cdef Py_ssize_t blocks_size(const cgru_kernels *k, const cgru_call *call, int most) noexcept nogil
