"""Divide the columns of each matrix product among threads, for calls with few samples.

A member computes sums alone: it gets copies of the operands and leaves tiles. The caller runs the epilogues, which read
and write its arrays. Sums are those of one thread, since a thread takes whole panels of columns.
"""

from libc.string cimport memcpy

from cgru.core.kernels cimport (
    CGRU_FINISH, CGRU_STEPS, CGRU_STORE, CGRU_WHOLE, cgru_operand, odd_lines, whole_lines,
)
from cgru.core.threads cimport await_member, close_pool_crew, open_pool_crew, post_task, ready_members


cdef bint open_crew(Crew *crew, Plan *plan, const cgru_call *call, const void *packed) noexcept nogil:
    """Open a crew of threads and divide its memory: the task, packed weights, operands, tiles and the caller's part."""
    cdef int size = plan.k.size
    cdef Py_ssize_t up = call.up, rows = max(call.m, <Py_ssize_t>CGRU_STEPS if plan.batches_inputs else 0)
    cdef Py_ssize_t width = max(3 * up, up + call.ep), head = (sizeof(Task) + 63) // 64 * 64
    cdef Py_ssize_t weights = whole_lines(plan.packed_size, size) if packed == NULL else 0
    # A product has three operands at most, each in an odd number of lines: less than two lines more than it has.
    cdef Py_ssize_t operands = whole_lines(max(6 * up, rows * (width + 6 * odd_lines(1, size))), size)
    cdef Py_ssize_t tiles = rows * width
    cdef char *memory
    if plan.members < 2:
        return False
    memory = <char *>open_pool_crew(plan.members, head + (weights + operands + tiles + 5 * up) * size)
    if memory == NULL:
        return False
    crew.task, crew.up = <Task *>memory, up
    crew.packed = memory + head if packed == NULL else NULL
    crew.operands = memory + head + weights * size
    crew.task.tiles = crew.operands + operands * size
    crew.own = <char *>crew.task.tiles + tiles * size
    crew.task.k = plan.k
    if packed == NULL:
        plan.workspace_size -= plan.rows_start
        plan.rows_start = 0
    if plan.packers == 1:
        ready_members()  # calls them in, so that they come while the weights are packed
    return True


cdef void close_crew() noexcept nogil:
    """Close the crew."""
    close_pool_crew()


# --- products ---

cdef void _multiply_part(void *memory, int member, int members) noexcept nogil:
    """Compute one thread's part of a product's columns; a task for `post_task`."""
    cdef Task *task = <Task *>memory
    task.k.product_columns(&task.product, CGRU_STORE, task.t, 0, task.rows, member, members, task.tiles)


cdef void multiply(Crew *crew, const cgru_product *product, Py_ssize_t t, Py_ssize_t row,
                   Py_ssize_t rows) noexcept nogil:
    """Compute a product: each thread of the crew does a part of the columns, and the caller applies the epilogue."""
    cdef Task *task = crew.task
    cdef const cgru_kernels *k = task.k
    cdef int members = ready_members() if product.operands else 1, member
    if members == 1:
        k.product(product, t, row, rows)
        return
    _copy_operands(crew, product, row, rows)
    task.t, task.rows = t, rows
    post_task(_multiply_part)
    k.product_columns(product, CGRU_WHOLE, t, row, rows, 0, members, NULL)
    for member in range(1, members):
        k.product_columns(product, CGRU_FINISH if await_member(member) else CGRU_WHOLE, t, row, rows, member, members,
                          task.tiles)


cdef void _copy_operands(Crew *crew, const cgru_product *product, Py_ssize_t row, Py_ssize_t rows) noexcept nogil:
    """Copy a product and its operands to the memory that the crew's threads read."""
    cdef Py_ssize_t ld, i
    cdef int size = crew.task.k.size, o
    cdef char *to = crew.operands
    cdef cgru_operand a
    crew.task.product = product[0]
    for o in range(product.operands):
        a = product.operand[o]
        ld = odd_lines(a.k, size)
        crew.task.product.operand[o] = cgru_operand(to, ld, a.k)
        for i in range(rows):
            memcpy(to, <const char *>a.rows + (row + i) * a.ld * size, a.k * size)
            to += ld * size


# --- a single sample ---

cdef void share_single_sample(Crew *crew, cgru_single_sample *single) noexcept nogil:
    """Make the single-sample kernels call `_share_sums` for the products with V, so that a crew shares them."""
    cdef int gate
    single.share_sums, single.crew, single.sums = _share_sums, crew, crew.own
    for gate in range(3):
        single.V[gate].row = 1


cdef void _add_part(void *memory, int member, int members) noexcept nogil:
    """Compute one thread's part of the sums of a single sample; a task for `post_task`."""
    cdef Task *task = <Task *>memory
    task.k.row_sums_part(&task.sums, task.t, member, members)


cdef void _share_sums(void *crew_, const cgru_row_sums *sums, Py_ssize_t t) noexcept nogil:
    """Compute the sums of a single sample, each thread of the crew in its part of the columns."""
    cdef Crew *crew = <Crew *>crew_
    cdef Task *task = crew.task
    cdef const cgru_kernels *k = task.k
    cdef int members = ready_members(), member, n, size = k.size
    cdef Py_ssize_t start, end
    if members == 1:
        k.row_sums_part(sums, t, 0, 1)
        return
    task.t, task.sums = t, sums[0]
    for n in range(sums.count):
        task.sums.a[n] = crew.operands + n * crew.up * size
        task.sums.sum[n] = crew.operands + (3 + n) * crew.up * size
        if n and sums.a[n] == sums.a[0]:  # all of them, or none
            task.sums.a[n] = task.sums.a[0]
        else:
            memcpy(<void *>task.sums.a[n], sums.a[n], sums.u * size)
        if n and sums.sum[n] == sums.sum[0]:
            task.sums.sum[n] = task.sums.sum[0]
        else:
            memcpy(task.sums.sum[n], sums.sum[n], crew.up * size)
    post_task(_add_part)
    k.row_sums_part(sums, t, 0, members)
    for member in range(1, members):
        if not await_member(member):
            k.row_sums_part(sums, t, member, members)
            continue
        start, end = k.row_part_start(sums.u, member, members), k.row_part_start(sums.u, member + 1, members)
        for n in range(sums.count):
            memcpy(<char *>sums.sum[n] + start * size, <char *>task.sums.sum[n] + start * size, (end - start) * size)
