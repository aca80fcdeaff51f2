"""Run a planned forward or backward call: blocks of rows on threads, and steps in pieces.

forward.pxd and backward.pxd list the arrays of a call.
"""

from cgru.core.crew cimport Crew
from cgru.core.kernels cimport cgru_call, cgru_kernels, cgru_weights
from cgru.core.plan cimport Direction, Plan
from cgru.core.products cimport Run

# Fill `run` for `call`. `packed` has room for `plan.packed_size` numbers, `rows` for `plan.row_size` numbers a sample.
# The weights are packed from `w`; where that is NULL, `packed` holds them already.
cdef void prepare(Run *run, const Plan *plan, cgru_call *call, void *packed, void *rows,
                  const cgru_weights *w) noexcept nogil
# Return the weights as a plan reads them: transposed where their columns are contiguous, without V where none is read.
cdef cgru_weights weights_of(const Plan *plan, const cgru_weights *w) noexcept nogil
# Let a crew share the products of a prepared call.
cdef void join_crew(Run *run, Crew *crew) noexcept nogil
# Run all steps of a prepared call. `first` and `last` say whether they include the step that runs first, or last.
cdef void run_steps(Run *run, bint first, bint last) noexcept nogil
# Plan and run a call in `memory`, of `plan.workspace_size` numbers, on at most `most` threads. A Ctrl-C ends it.
cdef int run_in_workspace(cgru_call *call, const cgru_weights *w, const cgru_kernels *k, Direction direction,
                          void *memory, int most) except -1 nogil
# Plan and run a call in a workspace that is allocated here, on all threads.
cdef int execute(cgru_call *call, const cgru_weights *w, const cgru_kernels *k, Direction direction) except -1
