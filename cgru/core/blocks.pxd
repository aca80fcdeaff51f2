"""The backward pass of a GRU, run block by block of steps together with the parameters' gradients, without the GIL.

A block runs backward, and its gradients are summed while its arrays are in the cache. The arrays dhh_, dz_, dr_, dc,
dU_ and dV_ of backward.pxd need memory for one block alone, which lies in the workspace. Sums run in the order of the
backward pass, from the last step that ran forward to the first. So their bits depend neither on the blocks nor on the
threads.
"""

from cgru.core.kernels cimport cgru_array, cgru_call, cgru_gradients, cgru_kernels, cgru_weights

# Write dL/d(states) of `steps` steps from `start` on to an array that begins with these.
ctypedef void fill_block(void *work, Py_ssize_t start, Py_ssize_t steps, cgru_array dA) noexcept nogil


# What a call runs backward from, beside its own arrays.
cdef struct Origin:
    const cgru_call *forward  # the forward call, whose caches each block computes anew; NULL: they were kept
    fill_block *fill  # writes the dA of a block, with `work`, to memory of the workspace with the strides of
    void *work  # the call's dA; NULL: the call has all of dA


# Run a call backward that has run forward, in `memory` of `blocks_size` numbers, and add the gradients to `g`, unless
# it is NULL. Return the number of steps of a block. A Ctrl-C ends the run.
cdef Py_ssize_t run_in_workspace(cgru_call *call, const cgru_weights *w, const cgru_gradients *g, const Origin *origin,
                                 const cgru_kernels *k, void *memory, int most) except -1 nogil
# Run a call backward in a workspace that is allocated here, on all threads, and add the gradients to `g`, unless NULL.
cdef int execute(cgru_call *call, const cgru_weights *w, const cgru_gradients *g, const cgru_kernels *k) except -1
# Return the workspace that is enough for this call, with fewer or shorter samples and any layout of its arrays.
# `again`: also to compute the caches anew.
cdef Py_ssize_t blocks_size(const cgru_kernels *k, const cgru_call *call, int most, bint again) noexcept nogil
