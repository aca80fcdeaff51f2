"""Run the two predictions of a `Bidirectional` at once, each on a thread of its own."""

from cgru.core.kernels cimport cgru_call, cgru_kernels, cgru_weights

# Run two forward calls without caches, `calls` and `weights` of two each, at once where that pays, else in turn.
cdef int execute_both(cgru_call *calls, cgru_weights *weights, const cgru_kernels *k) except -1
