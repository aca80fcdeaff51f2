"""Run the backward pass of a call and sum its gradients, block by block of steps."""

from cgru.core cimport driver, gradients
from cgru.core.gradients cimport Sums
from cgru.core.kernels cimport (
    CGRU_LAYER_NORM, CGRU_PLACE_dc, CGRU_PLACE_dhh_, CGRU_PLACE_dr_, CGRU_PLACE_dU_, CGRU_PLACE_dV_, CGRU_PLACE_dz_,
    CGRU_RESET_AFTER, CGRU_RESET_BEFORE, cgru_call, cgru_gradients, cgru_kernels, cgru_weights, in_pieces,
    time_major_array, whole_lines,
)
from cgru.core.plan cimport (
    BACKWARD, GRADIENTS, Plan, block_steps, largest_block_rows, largest_workspace_size, plan_of,
)
from cgru.core.products cimport Run


cdef struct Blocks:
    Run run
    Sums sums
    cgru_call whole  # the call with all steps; its arrays of a block begin where each block's do
    bint sums_gradients


# The arrays of which a block has its own, and their columns as multiples of u; a variant has the first of them.
cdef enum:
    MOST_ARRAYS = 6
cdef int[MOST_ARRAYS] PLACES
PLACES[:] = [CGRU_PLACE_dhh_, CGRU_PLACE_dz_, CGRU_PLACE_dr_, CGRU_PLACE_dc, CGRU_PLACE_dU_, CGRU_PLACE_dV_]
cdef int[MOST_ARRAYS] WIDTHS
WIDTHS[:] = [1, 1, 1, 1, 3, 3]
cdef int[3] COUNTS
COUNTS[CGRU_RESET_BEFORE], COUNTS[CGRU_RESET_AFTER], COUNTS[CGRU_LAYER_NORM] = 3, 4, MOST_ARRAYS


cdef Py_ssize_t _assign_arrays(cgru_call *call, Py_ssize_t rows, const cgru_kernels *k, char *memory) noexcept nogil:
    """Point the call to its arrays of a block of so many rows, in `memory`; return the numbers that they take."""
    cdef Py_ssize_t used = 0, width
    cdef int i
    for i in range(COUNTS[call.variant]):
        width = WIDTHS[i] * call.u
        call.array[PLACES[i]] = time_major_array(memory + used * k.size, width, call.m, call.column)
        used += whole_lines(rows * width, k.size)
    return used


cdef void _run_block(void *work, bint first, bint last) noexcept nogil:
    """Run one block of steps backward, whose Blocks is `work`, and sum its gradients; the callback of `in_pieces`."""
    cdef Blocks *blocks = <Blocks *>work
    cdef int i
    for i in range(COUNTS[blocks.whole.variant]):
        blocks.run.call.array[PLACES[i]] = blocks.whole.array[PLACES[i]]
    driver.run_steps(&blocks.run, first, last)
    if blocks.sums_gradients:
        gradients.run_steps(&blocks.sums, first, last)


cdef Py_ssize_t run_in_workspace(cgru_call *call, const cgru_weights *w, const cgru_gradients *g,
                                 const cgru_kernels *k, void *memory, int most) except -1 nogil:
    """Plan a call and run it backward in blocks; return the number of steps of a block."""
    cdef Plan backward = plan_of(k, call, w, BACKWARD, most), sums = plan_of(k, call, NULL, GRADIENTS, most)
    cdef Py_ssize_t steps = block_steps(k, call, most)
    cdef cgru_weights used = driver.weights_of(&backward, w)
    cdef Blocks blocks
    cdef char *free = <char *>memory
    free += _assign_arrays(call, call.m * steps, k, free) * k.size
    driver.prepare(&blocks.run, &backward, call, free, free + backward.rows_start * k.size, &used)
    free += whole_lines(backward.workspace_size, k.size) * k.size
    blocks.whole, blocks.sums_gradients = call[0], g != NULL
    if g != NULL:
        gradients.prepare(&blocks.sums, &sums, call, g, free, call.reverse)
    in_pieces(call, call.m, steps, k.size, not call.reverse, _run_block, &blocks)
    return steps


cdef Py_ssize_t blocks_size(const cgru_kernels *k, const cgru_call *call, int most) noexcept nogil:
    """Return the numbers of workspace that are enough for the call, with any layout and fewer samples or steps."""
    cdef cgru_call counted = call[0]
    cdef Py_ssize_t size = _assign_arrays(&counted, largest_block_rows(k, call, most), k, NULL)
    size += whole_lines(largest_workspace_size(k, call, BACKWARD, most), k.size)
    return size + largest_workspace_size(k, call, GRADIENTS, most)
