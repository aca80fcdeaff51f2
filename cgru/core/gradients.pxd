"""The gradients of a GRU's parameters, without the GIL, in memory that the caller allocates.

A call reads X, hp, r, dhh_, dz_, dr_ and recurrent. reset_after and layer_norm read dc, layer_norm also nU, nV, dU_ and
dV_. Their shapes are those of forward.pxd and backward.pxd. The gradients are added to the arrays of `cgru_gradients`,
one for each parameter of the variant, or with `call.anew` written there. With `call.linear` a call reads X and dr_ and
adds to Ur and br alone.
"""

from cgru.core.kernels cimport (
    cgru_call, cgru_gradients, cgru_kernels, cgru_outer_product, cgru_state_operand, cgru_term,
)
from cgru.core.plan cimport MOST_SHARES, MOST_TERMS, Plan


cdef struct Sums:
    Plan plan
    const cgru_call *call
    const cgru_gradients *g
    cgru_term terms[MOST_TERMS]
    cgru_state_operand state_operands[3]  # the forms of hp in the terms: reset, masked
    cgru_outer_product outer[MOST_SHARES]  # the shares
    bint first, last  # whether the steps to run include the first of the sum, and the last


# Fill `sums` for a call whose gradients are added or written to `g`. `memory` has room for `plan.workspace_size`
# numbers. With `ascends` the steps are summed from the first to the last.
cdef void prepare(Sums *sums, const Plan *plan, const cgru_call *call, const cgru_gradients *g, void *memory,
                  bint ascends) noexcept nogil
# Add the outer products of all steps of a call. `first` and `last` say whether the sum begins or ends with them.
cdef void run_steps(Sums *sums, bint first, bint last) noexcept nogil
# Plan and run a call in `memory`, on at most `most` threads. A Ctrl-C ends it.
cdef int run_in_workspace(cgru_call *call, const cgru_gradients *g, const cgru_kernels *k, void *memory,
                          int most) except -1 nogil
# Plan and run a call in a workspace that is allocated here, on all threads.
cdef int execute(cgru_call *call, const cgru_gradients *g, const cgru_kernels *k) except -1
# Write the gradients of each sample to `g`, whose arrays are (m, ...), in a workspace that is allocated here, on all
# threads. From one sample's gradient of a parameter to the next are `apart` times as many numbers as it has.
cdef int execute_each(const cgru_call *call, const cgru_gradients *g, Py_ssize_t apart, const cgru_kernels *k) except -1
