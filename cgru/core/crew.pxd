"""A crew: threads that divide the columns of each matrix product of a call, for calls with few samples.

    if open_crew(&crew, &plan, &call, NULL):  # before the workspace is allocated; weights are packed into `crew.packed`
        multiply(&crew, &product, t, row, rows)  # in place of k.product(&product, t, row, rows), with the same bits
        close_crew()

The protocol by which they meet is that of thread_pool.c: members see nothing but the crew's memory, and packed weights
that the caller keeps elsewhere: before these change or are freed, `await_late_members` of threads.pxd returns.
"""

from cgru.core.kernels cimport cgru_call, cgru_kernels, cgru_product, cgru_row_sums, cgru_single_sample
from cgru.core.plan cimport Plan


# What lies at the beginning of the crew's memory: a task, with the operands and results of its members.
cdef struct Task:
    const cgru_kernels *k
    Py_ssize_t t, rows
    cgru_product product
    void *tiles
    cgru_row_sums sums


cdef struct Crew:
    Task *task
    char *packed  # NULL where the caller keeps them elsewhere, else room for `plan.packed_size` numbers
    char *operands  # room for the operands of a product, or of the sums of a single sample, and for these sums
    char *own  # of the caller alone: 5 up numbers for a single sample
    Py_ssize_t up


# Open a crew if the plan of a call wants one. Unless they lie in `packed` already, the packed weights then lie in its
# memory, and the workspace of the plan holds rows alone. False: the plan wants none, or the pool is busy; the call runs
# alone.
cdef bint open_crew(Crew *crew, Plan *plan, const cgru_call *call, const void *packed) noexcept nogil
# Close it; members may still be at work in its memory.
cdef void close_crew() noexcept nogil
# Compute a product with packed weights as `k.product` does, with those members that are ready.
cdef void multiply(Crew *crew, const cgru_product *product, Py_ssize_t t, Py_ssize_t row,
                   Py_ssize_t rows) noexcept nogil
# Let a prepared single sample, whose weights are packed, share its sums.
cdef void share_single_sample(Crew *crew, cgru_single_sample *single) noexcept nogil
