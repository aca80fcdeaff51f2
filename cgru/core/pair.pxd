"""Run the two GRU calls of a `Bidirectional` at the same time, each on its own thread."""

from cgru.core.kernels cimport cgru_call, cgru_kernels, cgru_weights
from cgru.core.plan cimport Direction

# Run two calls of one dtype, forward or backward, `calls` and `weights` of two each, at once where that pays.
cdef int execute_both(cgru_call *calls, const cgru_weights *weights, const cgru_kernels *k,
                      Direction direction) except -1
