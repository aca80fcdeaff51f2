"""The driver of a call, forward or back, over its plan: blocks of rows on threads, and steps in pieces.

forward.pxd and backward.pxd say which arrays a call wants.
"""

from cgru.core.kernels cimport cgru_call, cgru_kernels, cgru_weights
from cgru.core.plan cimport Direction, Plan
from cgru.core.products cimport Run

# A run over `call` whose packed weights, of `plan.packed` numbers, and rows, of `plan.row` numbers for each sample, lie
# there. The weights are packed from `w`, or, where that is NULL, stand there already.
cdef void prepare(Run *run, const Plan *plan, cgru_call *call, void *packed, void *rows,
                  const cgru_weights *w) noexcept nogil
# All steps of the call as it stands.
cdef void sequence(Run *run, bint first, bint last) noexcept nogil
# The whole call in memory of as many numbers as its plan says, on at most so many threads; a Ctrl-C ends it.
cdef int perform(cgru_call *call, const cgru_weights *w, const cgru_kernels *k, Direction direction, void *memory,
                 int most) except -1 nogil
# The same with memory of its own, on all threads.
cdef int execute(cgru_call *call, const cgru_weights *w, const cgru_kernels *k, Direction direction) except -1
