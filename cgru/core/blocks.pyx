"""Run a backward pass block by block of steps, and sum the parameters' gradients after each block."""

from cgru.core cimport driver, gradients
from cgru.core.crew cimport Crew, close_crew, open_crew
from cgru.core.gradients cimport Sums
from cgru.core.kernels cimport (
    CGRU_PLACE_c, CGRU_PLACE_dc, CGRU_PLACE_dhh_, CGRU_PLACE_dr_, CGRU_PLACE_dU_, CGRU_PLACE_dV_, CGRU_PLACE_dz_,
    CGRU_PLACE_hh, CGRU_PLACE_iU, CGRU_PLACE_iV, CGRU_PLACE_nU, CGRU_PLACE_nV, CGRU_PLACE_r, CGRU_PLACE_z, cgru_call,
    cgru_gradients, cgru_kernels, cgru_weights, in_pieces, slice_steps, time_major_array, whole_lines,
)
from cgru.core.memory cimport Workspace
from cgru.core.plan cimport (
    BACKWARD, FORWARD, GRADIENTS, Plan, block_steps, largest_block_rows, largest_workspace_size, plan_of,
)
from cgru.core.products cimport Run
from cgru.core.threads cimport available


cdef struct Blocks:
    Run run, again
    Sums sums
    cgru_call whole, forward  # backward and forward, with all steps
    cgru_call caches  # the forward call of one block, which computes its caches anew
    const Origin *origin
    Py_ssize_t done  # steps that have run
    bint sums_gradients


# Arrays of which a block has its own, and their columns as multiples of u (0: one column): the gradients, and the
# caches. A variant has so many, the first of its list.
cdef struct Arrays:
    int places[8]
    int widths[8]
    int counts[3]  # of each variant

cdef Arrays OF_GRADIENTS, OF_CACHES
OF_GRADIENTS.places[:] = [
    CGRU_PLACE_dhh_, CGRU_PLACE_dz_, CGRU_PLACE_dr_, CGRU_PLACE_dc, CGRU_PLACE_dU_, CGRU_PLACE_dV_, 0, 0
]
OF_GRADIENTS.widths[:] = [1, 1, 1, 1, 3, 3, 0, 0]
OF_GRADIENTS.counts[:] = [3, 4, 6]
OF_CACHES.places[:] = [
    CGRU_PLACE_hh, CGRU_PLACE_z, CGRU_PLACE_r, CGRU_PLACE_c, CGRU_PLACE_nU, CGRU_PLACE_nV, CGRU_PLACE_iU, CGRU_PLACE_iV
]
OF_CACHES.widths[:] = [1, 1, 1, 1, 3, 3, 0, 0]
OF_CACHES.counts[:] = [3, 4, 8]


cdef Py_ssize_t _assign(cgru_call *call, const Arrays *arrays, Py_ssize_t rows, const cgru_kernels *k,
                        char *memory) noexcept nogil:
    """Set the call's arrays to parts of `memory` for a block of `rows` rows; return how many numbers they take."""
    cdef Py_ssize_t used = 0, width
    cdef int i
    for i in range(arrays.counts[call.variant]):
        width = arrays.widths[i] * call.u if arrays.widths[i] else 1
        call.array[arrays.places[i]] = time_major_array(memory + used * k.size, width, call.m, call.column)
        used += whole_lines(rows * width, k.size)
    return used


cdef void _point_to_block(cgru_call *call, const cgru_call *whole, const Arrays *arrays) noexcept nogil:
    """Set the arrays of one block's call to those of the block, not of the whole sequence."""
    cdef int i
    for i in range(arrays.counts[call.variant]):
        call.array[arrays.places[i]] = whole.array[arrays.places[i]]


cdef void _compute_caches(Blocks *blocks, Py_ssize_t start, Py_ssize_t steps, bint begins) noexcept nogil:
    """Compute the forward caches of some steps again from the states before; `begins`: the sequence starts there."""
    cdef cgru_call *call = &blocks.caches
    cdef int size = blocks.run.plan.k.size
    slice_steps(call, &blocks.forward, start, steps, size)
    _point_to_block(call, &blocks.whole, &OF_CACHES)
    blocks.again.plan.fresh = begins and blocks.forward.h0.data == NULL
    if not begins:
        start += steps - 1 if call.reverse else 0
        call.h0 = blocks.whole.hp
        if call.decay.data != NULL:  # which hp has met already
            start += 1 if call.reverse else -1
            call.h0 = blocks.origin.forward.h
        call.h0.data = <char *>call.h0.data + start * call.h0.step * size
    driver.run_steps(&blocks.again, True, False)


cdef void _dismiss_crew(Blocks *blocks) noexcept nogil:
    """Close the crew of threads, if this run has one."""
    if blocks.run.crew != NULL:
        blocks.run.crew = NULL
        close_crew()


cdef void _run_block(void *work, bint first, bint last) noexcept nogil:
    """Run one block of steps backward and sum its gradients; called by `in_pieces`, `work` is a Blocks."""
    cdef Blocks *blocks = <Blocks *>work
    cdef cgru_call *call = blocks.run.call
    cdef Py_ssize_t start = blocks.done if call.reverse else blocks.whole.s - blocks.done - call.s
    blocks.done += call.s
    _point_to_block(call, &blocks.whole, &OF_GRADIENTS)
    if blocks.origin.fill != NULL:
        call.dA = blocks.whole.dA
        blocks.origin.fill(blocks.origin.work, start, call.s, call.dA)
    if blocks.origin.forward != NULL:
        _point_to_block(call, &blocks.whole, &OF_CACHES)
        _compute_caches(blocks, start, call.s, last)
    driver.run_steps(&blocks.run, first, last)
    if last:
        _dismiss_crew(blocks)  # its threads share the sums
    if blocks.sums_gradients:
        gradients.run_steps(&blocks.sums, first, last)


cdef Py_ssize_t _divide(cgru_call *call, Py_ssize_t rows, bint again, const cgru_kernels *k, char *memory,
                        const Py_ssize_t *sizes, char **workspaces) noexcept nogil:
    """Divide memory into a block's dA and arrays of `rows` rows and the workspaces; return how many numbers it takes.

    The call gets the addresses of the arrays; `again`: also of caches. There is a workspace for each Direction.
    """
    cdef Py_ssize_t used = whole_lines(rows * call.u, k.size)
    cdef int i
    used += _assign(call, &OF_GRADIENTS, rows, k, memory + used * k.size)
    if again:
        used += _assign(call, &OF_CACHES, rows, k, memory + used * k.size)
    for i in range(3):
        workspaces[i] = memory + used * k.size
        used += whole_lines(sizes[i], k.size)
    return used


cdef Py_ssize_t run_in_workspace(cgru_call *call, const cgru_weights *w, const cgru_gradients *g, const Origin *origin,
                                 const cgru_kernels *k, void *memory, int most) except -1 nogil:
    """Plan a call and run it backward in blocks, in the given memory; return the number of steps of a block."""
    cdef bint again = origin.forward != NULL, shared
    cdef Plan forward, backward = plan_of(k, call, w, BACKWARD, most), sums = plan_of(k, call, NULL, GRADIENTS, most)
    cdef Py_ssize_t steps = block_steps(k, call, most, again)
    cdef Py_ssize_t *sizes = [0, backward.workspace_size, sums.workspace_size]
    cdef char *workspaces[3]
    cdef cgru_weights used
    cdef Blocks blocks
    cdef Crew crew
    if again:
        blocks.caches = origin.forward[0]
        blocks.caches.h.data = NULL  # states are there already
        forward = plan_of(k, &blocks.caches, w, FORWARD, most)
        sizes[<int>FORWARD] = forward.workspace_size
    _divide(call, steps * call.m, again, k, <char *>memory, sizes, workspaces)
    if origin.fill != NULL:
        call.dA.data = memory
    blocks.origin, blocks.done, blocks.sums_gradients = origin, 0, g != NULL
    if again:
        used = driver.weights_of(&forward, w)
        driver.prepare(&blocks.again, &forward, &blocks.caches, workspaces[<int>FORWARD],
                       workspaces[<int>FORWARD] + forward.rows_start * k.size, &used)
        blocks.forward = blocks.caches
    used = driver.weights_of(&backward, w)
    shared = steps == call.s and open_crew(&crew, &backward, call, NULL)
    driver.prepare(&blocks.run, &backward, call, crew.packed if shared else workspaces[<int>BACKWARD],
                   workspaces[<int>BACKWARD] + backward.rows_start * k.size, &used)
    if shared:
        driver.join_crew(&blocks.run, &crew)
    if g != NULL:
        gradients.prepare(&blocks.sums, &sums, call, g, workspaces[<int>GRADIENTS], call.reverse)
    blocks.whole = call[0]
    try:
        in_pieces(call, call.m, steps, k.size, not call.reverse, _run_block, &blocks)
    finally:
        _dismiss_crew(&blocks)
    return steps


cdef Py_ssize_t blocks_size(const cgru_kernels *k, const cgru_call *call, int most, bint again) noexcept nogil:
    """Return how many numbers of workspace suffice for the call in any layout, or with fewer samples or steps."""
    cdef cgru_call counted = call[0]
    cdef char *workspaces[3]
    cdef Py_ssize_t *sizes = [
        largest_workspace_size(k, call, FORWARD, most) if again else 0,
        largest_workspace_size(k, call, BACKWARD, most), largest_workspace_size(k, call, GRADIENTS, most),
    ]
    return _divide(&counted, largest_block_rows(k, call, most, again), again, k, NULL, sizes, workspaces)


cdef int execute(cgru_call *call, const cgru_weights *w, const cgru_gradients *g, const cgru_kernels *k) except -1:
    """Allocate a workspace and run a call backward in it, on all threads."""
    cdef Py_ssize_t size = blocks_size(k, call, available(), False)
    cdef Workspace work = Workspace(size, k.size)
    cdef void *memory = work.take(size)
    cdef Origin origin
    origin.forward, origin.fill, origin.work = NULL, NULL, NULL
    with nogil:
        run_in_workspace(call, w, g, &origin, k, memory, available())
    return 0
