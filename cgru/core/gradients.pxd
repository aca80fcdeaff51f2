"""Weight gradients, without the GIL: memory is handed in, the arrays are those of the call.

The call of `execute` reads X, hp, r, dhh_, dz_, dr_, recurrent, of reset_after and layer_norm dc, of layer_norm nU, nV,
dU_, dV_, their shapes as in forward.pxd and backward.pxd, and adds to the arrays of `targets`, one for each parameter
of the variant. With `call.linear` it reads X and dr_ and adds to Ur and br alone.
"""

from cgru.core.kernels cimport (
    cgru_call, cgru_batch_gradients, cgru_gradients, cgru_kernels, cgru_outer_product, cgru_state_operand, cgru_term,
)
from cgru.core.plan cimport FEW_PARTS, MOST_SHARES, MOST_TERMS, Plan


cdef struct Sums:
    Plan plan
    const cgru_call *call
    const cgru_gradients *g
    cgru_term terms[MOST_TERMS]
    cgru_state_operand state_operands[3]  # hp as the terms' gates saw it
    cgru_outer_product outer[MOST_SHARES]  # one for each share of the terms' columns
    cgru_batch_gradients batch[FEW_PARTS]  # instead, where lanes are samples: one for each share of the samples
    bint first, last  # whether the steps to run are the first ones of the sum, and the last


cdef void prepare(Sums *sums, const Plan *plan, const cgru_call *call, const cgru_gradients *g,
                  void *memory) noexcept nogil
cdef void sequence(Sums *sums, bint first, bint last) noexcept nogil
cdef int perform(cgru_call *call, const cgru_gradients *g, const cgru_kernels *k, void *memory,
                 int most) except -1 nogil
cdef int execute(cgru_call *call, const cgru_gradients *g, const cgru_kernels *k) except -1
