"""Plan a call by a cost model: its memory layout, how it reads inputs and weights, and its workspace.

Costs are in units of the time in which one vector is multiplied and added, where nothing else is said.
"""

cimport numpy as cnp

from cgru.core.checks cimport contiguous_rows
from cgru.core.kernels cimport (
    bind, cgru_array, CGRU_LAYER_NORM, CGRU_RESET_AFTER, CGRU_RESET_BEFORE, CGRU_STEPS, kernels, new_call, odd_lines,
    samples_at_once, set_lengths, set_zoneout, view, whole_lines,
)
from cgru.core.memory cimport time_major
from cgru.core.threads cimport FEW, at_once, worth

cnp.import_array()

cdef enum:
    L1 = 32 << 10  # bytes of the L1 cache
    L2 = 1 << 20  # bytes of the L2 cache
    L2_BANDWIDTH = 32  # bytes a cycle
    L3_BANDWIDTH = 12
    WIDE = 8  # features of a unit in wide inputs
    ACTIVATION_COST = 60  # the three gates of a vector, and the elementwise work around them
    MOST_TRANSPOSED = 8  # units that may have features in the lanes
    STREAMED = 4 << 20  # bytes of gradients, from which on they would push everything else out of the last cache
    ROW_COST = 40  # a row with units in the lanes, beside its vectors
    LANE_SUM_COST = 8  # summing the lanes of a vector, beside half a product for each lane
    PACKING_COST = 40  # packing the weights, in the unit of `_skips_packing`; their transposes cost half of it
    TILED_PACKING_COST = 26  # packing the weights, in reads of unpacked weights in tiles
    TILED_ROWS = 8  # rows of a tile
    FEWEST_TILED = 3  # rows whose sums hide the latency of an addition
    MOST_TILED = 3 << 20  # bytes of weights that are read in tiles
    READ_TOGETHER = 4  # rows that share each reading of unpacked rows of weights
    WAITING_STEPS = 10  # steps for each such row and one more, during which weights beyond L2 are not worth packing
    MEMBER_CYCLES = 8 << 10  # of a step: what a member of a crew has to do, so that two meetings are worth while
    ASKED_CYCLES = 20 << 10  # the same where each step has a crew of its own
    ASLEEP = 12  # times the work makes threads worth while that are asleep
    PREFETCHED_ROWS = 16  # rows, steps of samples, whose computing takes longer than a read from memory
    MOST_LANES = 16  # of any instruction set
    THREADED_BLOCK = 1 << 21  # bytes of a block for each thread
    PROJECTED = 4  # samples up to which a block has the CGRU_STEPS steps whose dX may be computed at once


# The sizes that depend on the variant, in parts of `up` numbers: a row forward, a row backward, and the biases and
# gains behind the packed weights forward and backward. `terms` are those of the gradients; `ways` counts the forms of
# hp that they multiply without masks: hp, and r * hp.
cdef struct Sizes:
    int forward, backward, behind, behind_back, terms, ways

cdef Sizes[3] SIZES
SIZES[CGRU_RESET_BEFORE] = Sizes(3, 4, 4, 0, 3, 2)
SIZES[CGRU_RESET_AFTER] = Sizes(3, 5, 4, 0, 4, 1)
SIZES[CGRU_LAYER_NORM] = Sizes(7, 11, 10, 6, MOST_TERMS, 1)

# Tests force these choices: 1 wherever it is possible, 0 never, -1 by the cost model.
cdef int lanes_choice = -1, unpacked_choice = -1, crew_choice = -1
cdef tuple UNPACKED = (False, True, "tiles", "inputs")
cdef Py_ssize_t streamed_inputs = 10 << 20  # bytes of dX, from which on it and X do not fit the last cache
cdef Py_ssize_t block_choice = 0  # steps of a block of the backward pass; 0: by the size of the L2 cache

cdef double SHARE_WORK = 4e6  # operations that make a further share of the sums worth while


def use_samples_in_lanes(choice=None):
    """Put one sample in each SIMD lane where possible (True), never (False), or by the cost model (None); for tests."""
    global lanes_choice
    lanes_choice = -1 if choice is None else choice


def use_unpacked_weights(choice=None):
    """Choose when weights are read without packing them first; for tests.

    Args:
        choice: wherever possible (True), there in tiles ("tiles"), U alone in tiles ("inputs"), never (False), or by
            the cost model (None).
    """
    global unpacked_choice
    unpacked_choice = -1 if choice is None else UNPACKED.index(choice)


def use_crew(choice=None):
    """Use a crew of threads wherever possible (True), never (False) or by the cost model (None); for tests."""
    global crew_choice
    crew_choice = -1 if choice is None else choice


def use_streamed_inputs(bint always=False):
    """Write dX with streaming stores always (True), or only if X and dX exceed the caches (False); for tests."""
    global streamed_inputs
    streamed_inputs = 0 if always else 10 << 20


def use_block_steps(choice=None):
    """Set after how many backward steps the gradients are summed; None: as many as fit the L2 cache."""
    global block_choice
    block_choice = choice or 0


# --- lanes and inputs ---

cdef inline bint _is_plain(const cgru_call *call) noexcept nogil:
    """Return whether products read the state itself: no layer normalisation and no recurrent dropout masks."""
    return call.variant != CGRU_LAYER_NORM and call.recurrent.data == NULL


# Return whether a call of these sizes may have samples in its lanes, whatever its m and lengths.
cdef bint may_have_samples_in_lanes(const cgru_kernels *k, const cgru_call *call) noexcept nogil:
    return _is_plain(call) and (call.u <= 3 * k.lanes or lanes_choice == 1)


# Choose whether samples or units are in the lanes, and set `call.column` accordingly.
cdef void choose_lanes(const cgru_kernels *k, cgru_call *call) noexcept nogil:
    cdef bint samples_in_lanes = call.m > 1 and lanes_choice != 0 and may_have_samples_in_lanes(k, call)
    if samples_in_lanes and lanes_choice != 1:
        samples_in_lanes = _pays_samples_in_lanes(k, call)
    call.column = call.m if samples_in_lanes else 1


cdef bint _pays_samples_in_lanes(const cgru_kernels *k, const cgru_call *call) noexcept nogil:
    """Return whether one sample per SIMD lane is estimated to be faster than one unit per lane.

    With units in the lanes a row takes, for each vector of its units, three columns of e + u products and three
    activations. With samples in the lanes a vector of samples takes the same for each single unit. Its products take
    half as long again, because its caches are further apart and the inputs have to be transposed. In a ragged batch
    rows stop where their samples end, whereas lanes run until the longest sample of the vector ends.
    """
    cdef Py_ssize_t vectors = (call.m + k.lanes - 1) // k.lanes, t, e
    cdef double products, rows = call.m
    e = 0 if _features_in_lanes(k, call) else call.e  # then the inputs cost the same in both layouts
    products = 3.0 * (e + call.u)
    if call.running != NULL:
        rows = 0
        for t in range(call.s):
            rows += <double>call.running[t] / call.s
    return vectors * call.u * (1.5 * products + ACTIVATION_COST) < rows * (
        call.up // k.lanes * (products + ACTIVATION_COST) + ROW_COST
    )


# Return the column stride that X and dX should have: 1 with features in the lanes, else that of the call.
cdef Py_ssize_t input_column(const cgru_kernels *k, const cgru_call *call) noexcept nogil:
    return 1 if _features_in_lanes(k, call) else call.column


cdef cnp.ndarray readable(const cgru_call *call, cnp.ndarray array, bint fast=False):
    """Return `array`, or a copy if the call cannot read its strides, or with `fast` reads them slowly."""
    cdef bint samples = call.column > 1
    if not samples:
        return contiguous_rows(array)
    if not fast or cnp.PyArray_STRIDE(array, 0) == cnp.PyArray_ITEMSIZE(array):
        return array
    copy = time_major(None, array.shape[0], array.shape[1], array.shape[2], array.dtype, call.column)
    copy[...] = array
    return copy


cdef bint _features_in_lanes(const cgru_kernels *k, const cgru_call *call) noexcept nogil:
    """Return whether the products with U have one input feature per SIMD lane, for any number of samples.

    That suits few units with wide inputs. Compared are the vectors that a row multiplies: three for each feature, or
    three for each unit and vector of features, and the summing of their lanes. More units pay for the transposes of
    U in a call of a few steps; and bits do not depend on the number of steps.
    """
    if not _is_plain(call) or call.up > k.lanes or call.u > MOST_TRANSPOSED or call.e <= 2 * k.lanes:
        return False
    return call.u * (call.ep // k.lanes + LANE_SUM_COST + k.lanes // 2) < call.e


cdef double _batching_limit(const cgru_kernels *k, const cgru_call *call, Direction direction) noexcept nogil:
    """Return the number of rows below which one input projection for many steps is faster than one per step.

    It is the same for any number of steps, on which bits do not depend.

    Where the weights outgrow L1, a step with few rows waits longer for its weights, at L2_BANDWIDTH bytes a cycle, than
    it multiplies, at two vectors a cycle; the more so where they outgrow L2, U being a good part of them. A batched
    projection reads the weights once for CGRU_STEPS steps. Its cost is to write its result and read it again, which is
    little beside wide inputs; then whole tiles are reason enough. Backward each sample has a product of its own.
    """
    cdef double e = call.e, of_a_row = 3.0 * call.u * k.size
    cdef bint outgrows = direction == FORWARD and (call.e + call.u) * of_a_row >= L2 and e * of_a_row >= L2 // 2
    if not _is_plain(call) or (call.e + call.u) * of_a_row < L1:
        return 0
    return max(e / (L3_BANDWIDTH if outgrows else L2_BANDWIDTH) / (e / (2 * k.lanes * k.size) + 2.0 / L2_BANDWIDTH),
               2 * TILED_ROWS if direction == FORWARD and call.e >= WIDE * call.u else 0)


cdef Inputs _choose_inputs(const Plan *plan, const cgru_call *call) noexcept nogil:
    """Choose how the inputs are multiplied by U, in a plan whose layout and weights are already chosen.

    An only step without a state has the same bits in either way.
    """
    cdef const cgru_kernels *k = plan.k
    cdef bint several = plan.direction == BACKWARD or plan.direction == FORWARD and (call.s > 1 or not plan.fresh)
    cdef bint apart = not call.by_units  # dU^T = d^T X has its features in the lanes in any case
    cdef const cgru_array *inputs = &call.dX if plan.direction == BACKWARD else &call.X
    if apart and _features_in_lanes(k, call) and (plan.layout != SAMPLES_IN_LANES or inputs.column == 1):
        return FEATURES_IN_LANES
    if plan.layout == SAMPLES_IN_LANES:
        return PER_STEP
    if plan.layout == SINGLE_SAMPLE and (plan.direction == BACKWARD or plan.input_weights != PACKED):  # the same bits
        return BATCHED_STEPS
    return BATCHED_STEPS if several and call.m < _batching_limit(k, call, plan.direction) else PER_STEP


# --- weights ---

cdef Weights _unpacked_way(const Plan *plan, const cgru_call *call, const cgru_weights *w) noexcept nogil:
    """Return how a call can read its weights without packing, by rows if possible; PACKED if it cannot."""
    cdef int gate
    cdef bint rows = True, columns = plan.direction == BACKWARD or call.loose
    if w == NULL or not _is_plain(call) or call.column != 1 or _features_in_lanes(plan.k, call):
        return PACKED
    for gate in range(3):
        rows &= w.U[gate].column == w.V[gate].column == 1 and w.U[gate].row >= call.u and w.V[gate].row >= call.u
        columns &= w.U[gate].row == w.V[gate].row == 1 and w.U[gate].column >= call.e and w.V[gate].column >= call.u
    return UNPACKED_ROWS if rows else UNPACKED_COLUMNS if columns else PACKED


cdef bint _can_tile(const Plan *plan, const cgru_call *call, const cgru_weights *w) noexcept nogil:
    """Return whether unpacked weights with contiguous rows may be read in tiles.

    Weights that outgrow L2 and meet few rows are best read in order, which the processor foresees.
    """
    cdef Py_ssize_t bytes = 3 * (call.e + call.u) * call.u * plan.k.size
    cdef int gate
    cdef bint even = plan.direction == FORWARD and (bytes <= L2 or bytes <= MOST_TILED and (
        call.s >= FEWEST_TILED and call.m * call.s >= 2 * TILED_ROWS
    ))
    for gate in range(3):
        even &= w.U[gate].row == w.U[0].row and w.V[gate].row == w.V[0].row
    return even


cdef bint _waits_for_rows(const Plan *plan, const cgru_call *call, Weights way) noexcept nogil:
    """Return whether a call's steps are limited by reading unpacked weights that exceed the L2 cache.

    Wide inputs wait less, since their weights are read for many steps at once.
    """
    cdef Py_ssize_t bytes = 3 * (call.e + call.u) * call.u * plan.k.size
    cdef bint waits = bytes > L2 and call.m <= READ_TOGETHER and call.e <= call.u
    return plan.direction == FORWARD and way == UNPACKED_ROWS and waits


cdef bint _skips_packing(const Plan *plan, const cgru_call *call, Weights way, bint in_tiles) noexcept nogil:
    """Return whether a call is so short that reading its weights unpacked is faster than packing them.

    In tiles, a step costs one unit of time more than with packed weights, since vectors begin anywhere in a cache line,
    and one or two rows do not fill a tile. Row after row, a step of m rows takes about m + 2 units of another size
    longer: m for sums that wait in a cache, 2 for weight rows that begin anywhere. Packing takes `packing` units, and
    half as much again where the weights leave the cache before they are used by one or two rows, or in order. A step of
    few rows that waits for weights beyond L2 hardly takes longer unpacked, the less the more rows share the waiting.
    """
    cdef Py_ssize_t bytes = 3 * (call.e + call.u) * call.u * plan.k.size
    cdef double packing = TILED_PACKING_COST if in_tiles else PACKING_COST if plan.direction == FORWARD else (
        PACKING_COST // 2)
    if bytes > L2 and not (in_tiles and call.m >= FEWEST_TILED):
        packing *= 1.5
    if _waits_for_rows(plan, call, way):
        return call.s < WAITING_STEPS * (call.m + 1)
    if in_tiles:
        return call.s * (call.m + 1.5) < packing * call.m
    return call.m <= CGRU_STEPS and bytes > L1 and call.s * (call.m + 2) < packing


cdef void _choose_weights(Plan *plan, const cgru_call *call, const cgru_weights *w) noexcept nogil:
    """Choose packed weights, or unpacked ones if the call is short and their rows or columns are contiguous.

    Batched input projection reads U in tiles for longer, since it reads it once for a tile of steps.
    """
    cdef Weights way = _unpacked_way(plan, call, w)
    cdef bint in_tiles = way == UNPACKED_ROWS and _can_tile(plan, call, w), fills = call.m * call.s >= FEWEST_TILED
    cdef bint inputs, batches = call.m < _batching_limit(plan.k, call, plan.direction) and call.s > 1
    cdef bint unpacked = way != PACKED and _skips_packing(plan, call, way, in_tiles)
    cdef bint sums_in_tiles = in_tiles and call.m >= FEWEST_TILED
    if unpacked_choice >= 0:
        in_tiles &= unpacked_choice != 1
        sums_in_tiles &= in_tiles
        unpacked = unpacked_choice == 1 and call.m <= CGRU_STEPS or unpacked_choice == 2 and in_tiles
        inputs = fills = unpacked_choice > 1 and (call.m == 1 or batches)
    else:
        sums_in_tiles &= not _waits_for_rows(plan, call, way)
        inputs = unpacked or batches and (
            call.m * ((call.s + TILED_ROWS - 1) // TILED_ROWS) < TILED_PACKING_COST
        )
    plan.weights = PACKED if not unpacked else UNPACKED_TILES if sums_in_tiles else way
    plan.input_weights = UNPACKED_TILES if in_tiles and inputs and fills else plan.weights


# --- threads ---

cdef inline int _count_threads(const Plan *plan, const cgru_call *call, int most) noexcept nogil:
    """Return how many threads divide the samples of a call, or the sums of its gradients.

    Gradients of few samples follow calls that mostly ran on one thread, while the others fell asleep.
    """
    cdef double flop = operations(call)
    if plan.direction == GRADIENTS and call.m <= FEW:
        flop /= ASLEEP
    return worth(flop, most)


cdef bint _outgrows_packing(const Plan *plan, const cgru_call *call) noexcept nogil:
    """Return whether the weights are so large that packing them takes longer than waking the threads."""
    return 3 * (call.e + call.u) * call.u * plan.k.size > L2 or crew_choice == 1


cdef int count_members(const Plan *plan, const cgru_call *call, int most, bint asked) noexcept nogil:
    """Return how many threads divide the columns of each product, for calls with too few samples to divide.

    A step takes as long as the recurrent weights take from the L2 cache, or as its products take at two vectors a
    cycle. Each time that the threads meet, once or twice a step, costs them about a microsecond. Threads that are
    `asked` for are likely awake, so that a call of few steps is worth while, if these are long enough to gather them.
    """
    cdef double u = call.u, cycles
    if not plan.can_share_columns or plan.direction == GRADIENTS:
        return 1
    if crew_choice >= 0:
        return most if crew_choice == 1 else 1
    cycles = max(3 * u * u * plan.k.size / L2_BANDWIDTH, 1.5 * call.m * u * (call.e + u) / plan.k.lanes)
    most = 1 if call.m > FEW else at_once(most) if asked else worth(operations(call), at_once(most))
    return <int>min(most, max(1.0, cycles / (ASKED_CYCLES if asked else MEMBER_CYCLES)))


cdef bint pays_pair(const cgru_kernels *k, const cgru_call *call, int most) noexcept nogil:
    """Return whether two calls like this one, with few samples, should run at the same time on two threads.

    With more than two threads, each may gain more from a crew.
    """
    if most == 1 or call.m > FEW:
        return False
    if crew_choice >= 0:
        return crew_choice == 1
    most = worth(2 * operations(call), at_once(most))
    return most > 1 and plan_of(k, call, NULL, FORWARD, most).members <= 2


# --- memory ---

cdef inline bint _outgrow_caches(const cgru_kernels *k, const cgru_call *call) noexcept nogil:
    """Return whether X and dX exceed the last-level cache."""
    return call.m * call.s * call.e * k.size >= streamed_inputs


cdef Py_ssize_t _row_size(Plan *plan, const cgru_call *call) noexcept nogil:
    """Return how many numbers a workspace row has, and set the offsets of its parts (0 for a missing part)."""
    cdef Py_ssize_t up = call.up, e = call.e, u = call.u, more = 0, own = SIZES[call.variant].forward * up + call.ep
    cdef bint streams = _outgrow_caches(plan.k, call)
    plan.projections = plan.staged = plan.masked = 0
    if plan.layout == SAMPLES_IN_LANES:
        if plan.direction == FORWARD:
            return 3 + 2 * e + 7 * u
        plan.staged = streams and plan.packed_e == 0
        return 1 + 5 * u + max(u, e) + (e if plan.staged else 0)
    if plan.direction == BACKWARD:
        own = SIZES[call.variant].backward * up
        if streams and not plan.batches_inputs:
            plan.staged, more = own, call.ep
        return odd_lines(own + more, plan.k.size)
    if plan.layout == SINGLE_SAMPLE:
        own = 6 * up
    if plan.batches_inputs:
        plan.projections, more = own, 3 * min(call.s, <Py_ssize_t>CGRU_STEPS) * up
    if call.recurrent.data != NULL:
        plan.masked, more = own, 3 * up
    return odd_lines(own + more, plan.k.size)


cdef void _set_sizes(Plan *plan, const cgru_call *call, Py_ssize_t m) noexcept nogil:
    """Set all sizes of the plan's workspace, in numbers, for m samples."""
    cdef const cgru_kernels *k = plan.k
    cdef Py_ssize_t e = call.e, u = call.u, up = call.up, ep = call.ep, sums
    if plan.direction == GRADIENTS:
        _set_sum_sizes(plan, call, m)
        return
    if plan.direction == FORWARD:
        plan.packed_size = (3 * u + SIZES[call.variant].behind) * up + 3 * max(e * up, u * ep)
        sums = 3 * CGRU_STEPS * up
    else:
        plan.packed_size = 3 * u * (up + ep) + SIZES[call.variant].behind_back * up
        sums = CGRU_STEPS * max(up, ep)
    plan.rows_start = whole_lines(plan.packed_size + (sums if plan.weights > UNPACKED_TILES else 0), k.size)
    plan.row_size = _row_size(plan, call)
    plan.rows_at_once = whole_vectors(plan, m if call.whole else samples_at_once(m, plan.row_size * k.size))
    plan.workspace_size = plan.rows_start + plan.rows_at_once * plan.row_size


cdef int terms_of(const cgru_call *call) noexcept nogil:
    """Return the number of terms in the sums of the gradients; 1 for a linear layer."""
    return 1 if call.linear else SIZES[call.variant].terms


cdef Py_ssize_t operands_of(const cgru_call *call) noexcept nogil:
    """Return how many numbers of X and hp are copied from one row (one step of one sample) for the gradients.

    With recurrent dropout each of the three gates has its own masked hp. Otherwise there is hp, and with the reset
    before the product also r * hp.
    """
    if call.by_units:
        return call.ep + call.up
    return call.ep + (3 if call.recurrent.data != NULL else SIZES[call.variant].ways) * call.u


cdef Py_ssize_t _share_size(const cgru_call *call, Py_ssize_t m) noexcept nogil:
    """Return how many numbers of workspace one thread's part of the gradients needs for the rows it collects."""
    cdef Py_ssize_t terms = terms_of(call) * (call.up + min(call.u, <Py_ssize_t>MOST_LANES))
    return (operands_of(call) + terms) * min(m * call.s, DEPTH)


cdef void _set_sum_sizes(Plan *plan, const cgru_call *call, Py_ssize_t m) noexcept nogil:
    """Divide the work of the gradients into parts for threads, and set their number and sizes.

    Each share takes some column panels of the terms through all rows, so that no sum is divided. With samples in the
    lanes each share takes some of the samples, and the sums of the shares are added in a fixed order.
    """
    cdef const cgru_kernels *k = plan.k
    cdef Py_ssize_t vectors = (m + k.lanes - 1) // k.lanes
    if plan.sums_in_lanes:
        plan.work_items, plan.row_multiple = vectors, k.lanes
        plan.shares = <int>min(vectors, SAMPLE_SHARES, 1 + operations(call) * m / call.m / SHARE_WORK)
        vectors = (vectors + plan.shares - 1) // plan.shares
        plan.share_size = k.batch_gradient_size(call, plan.packed_e, terms_of(call), vectors * k.lanes)
        plan.wide_start = plan.share_size
        plan.share_size += 0 if plan.packed_e else k.batch_wide_size(call)
    else:
        plan.work_items, plan.row_multiple = terms_of(call) * k.panel_count(call.u), 1
        plan.shares = <int>min(plan.work_items, MOST_SHARES, plan.threads)
        plan.share_size = _share_size(call, m)
        plan.wide_start = (operands_of(call) + terms_of(call) * call.up) * min(m * call.s, DEPTH)
    if plan.packed_e:
        plan.wide_start = 0
    plan.workspace_size = plan.shares * plan.share_size


# --- plans ---

cdef void _set_layout(Plan *plan, const cgru_call *call) noexcept nogil:
    """Choose the memory layout and the handling of the inputs, and set the fields that depend on them."""
    cdef bint alone = call.m == 1 and _is_plain(call) and (plan.direction == FORWARD or plan.weights == PACKED)
    plan.layout = SAMPLES_IN_LANES if call.column > 1 else SINGLE_SAMPLE if alone else UNITS_IN_LANES
    plan.inputs = _choose_inputs(plan, call)
    _set_dependent_fields(plan, call)


cdef void _set_dependent_fields(Plan *plan, const cgru_call *call) noexcept nogil:
    """Set the fields of a plan that depend on its layout and its inputs."""
    cdef Py_ssize_t bytes = 3 * (call.e + call.u) * call.u * plan.k.size  # of the gradients
    bytes //= 1 if call.e == call.ep and call.u == call.up else 2  # else rows are gathered before, which takes longer
    plan.streams = call.m * call.s <= DEPTH and bytes >= STREAMED
    plan.batches_inputs = plan.inputs != PER_STEP
    plan.packed_e = 0 if plan.inputs == FEATURES_IN_LANES else call.e
    plan.row_multiple = plan.k.lanes if plan.layout == SAMPLES_IN_LANES else 1
    plan.can_share_columns = plan.layout != SAMPLES_IN_LANES and plan.weights == PACKED
    plan.sums_in_lanes = plan.layout == SAMPLES_IN_LANES
    plan.streams = _outgrow_caches(plan.k, call) if plan.sums_in_lanes else plan.streams
    plan.adds = plan.sums_in_lanes or plan.packed_e == 0


cdef Plan plan_of(const cgru_kernels *k, const cgru_call *call, const cgru_weights *w, Direction direction,
                  int most) noexcept nogil:
    """Return the plan of a call whose arrays are set, on at most `most` threads."""
    cdef Plan plan
    plan.k, plan.direction = k, direction
    if direction == FORWARD:
        plan.fresh = call.h0.data == NULL
    else:  # products with V are skipped where neither dh nor dL/dh0 of that step is wanted
        plan.fresh = call.fresh and call.dh.data == NULL and call.last.data == NULL and call.dhp.data == NULL
    _choose_weights(&plan, call, w)
    _set_layout(&plan, call)
    plan.threads, plan.far = _count_threads(&plan, call, most), 0
    if call.m * call.s * call.u * k.size > L2:
        plan.far = <int>max(1, PREFETCHED_ROWS // call.m)
    plan.members = count_members(&plan, call, most, False)
    if plan.members > 1 and plan.input_weights != PACKED:  # which a crew does not read; the same bits
        plan.input_weights = PACKED
        _set_layout(&plan, call)
    plan.packers = max(plan.threads, plan.members) if w != NULL and _outgrows_packing(&plan, call) else 1
    _set_sizes(&plan, call, call.m)
    plan.splits_products = direction == FORWARD and plan.layout == UNITS_IN_LANES and (plan.fresh or plan.projections)
    plan.without_V = plan.weights == PACKED and call.s == 1 and plan.fresh and plan.layout == UNITS_IN_LANES
    return plan


cdef Py_ssize_t rows_workspace_size(const cgru_kernels *k, const cgru_call *call) noexcept nogil:
    """Return how many numbers of workspace suffice for a call in any direction on one thread, without weights."""
    cdef Py_ssize_t forward, backward
    cdef Plan plan
    plan.k, plan.weights, plan.input_weights, plan.direction, plan.fresh = k, PACKED, PACKED, FORWARD, False
    _set_layout(&plan, call)
    forward, plan.direction = _row_size(&plan, call), BACKWARD
    backward = _row_size(&plan, call)
    return max(call.m * max(forward, backward), _share_size(call, call.m))


cdef Py_ssize_t _block_rows(const cgru_kernels *k, const cgru_call *call, int most) noexcept nogil:
    """Return how many rows (steps of samples) a block should have, so that its arrays fit the L2 caches.

    These are X and dX, and of the width u hp, hh, z, r, dA and three or four gradients. On several threads blocks are
    larger, since the threads meet twice in each.
    """
    cdef int threads = worth(operations(call), most)
    return (L2 // 2 if threads == 1 else THREADED_BLOCK * threads) // ((9 * call.u + 2 * call.e) * k.size)


cdef bint _may_have_crew(const cgru_kernels *k, const cgru_call *call, int most) noexcept nogil:
    """Return whether a crew of threads may divide the columns of the backward products."""
    cdef Plan plan = plan_of(k, call, NULL, BACKWARD, most)
    return plan.members > 1


# Return how many steps run backward before their gradients are summed, in a call on at most `most` threads. A crew runs
# all of them, since the threads that share the sums leave it first; but not where a block computes its caches `again`.
cdef Py_ssize_t block_steps(const cgru_kernels *k, const cgru_call *call, int most, bint again) noexcept nogil:
    cdef Py_ssize_t steps = max(_block_rows(k, call, most) // call.m, CGRU_STEPS if call.m <= PROJECTED else 1)
    if not again and _may_have_crew(k, call, most):
        return call.s
    return min(call.s, block_choice if block_choice else steps)


# Return the most rows, steps of samples, that such a block has in this call with fewer or shorter samples.
cdef Py_ssize_t largest_block_rows(const cgru_kernels *k, const cgru_call *call, int most, bint again) noexcept nogil:
    cdef Py_ssize_t rows = max(_block_rows(k, call, most), CGRU_STEPS * min(call.m, <Py_ssize_t>PROJECTED), call.m)
    cdef cgru_call small = call[0]
    small.m = min(call.m, <Py_ssize_t>FEW) if crew_choice != 1 else call.m
    if block_choice:
        rows = call.m * block_choice
    if not again and _may_have_crew(k, &small, most):
        rows = max(rows, small.m * small.s)
    return min(call.m * call.s, rows)


cdef Py_ssize_t largest_workspace_size(const cgru_kernels *k, const cgru_call *call, Direction direction,
                                       int most) noexcept nogil:
    """Return how many numbers of workspace suffice for the call in any layout, or with fewer samples or steps."""
    cdef Py_ssize_t size = 0, batched, m
    cdef Plan plan
    cdef int layout, inputs
    plan.k, plan.direction, plan.weights, plan.threads = k, direction, UNPACKED_ROWS, worth(operations(call), most)
    batched = call.m if _features_in_lanes(k, call) else <Py_ssize_t>_batching_limit(k, call, direction) + 1
    for layout in range(SAMPLES_IN_LANES + 1 if may_have_samples_in_lanes(k, call) else SAMPLES_IN_LANES):
        for inputs in range(FEATURES_IN_LANES + 1):
            plan.layout, plan.inputs = <Layout>layout, <Inputs>inputs
            m = 1 if layout == SINGLE_SAMPLE else call.m if inputs == PER_STEP else batched
            _set_dependent_fields(&plan, call)
            _set_sizes(&plan, call, min(call.m, m))
            size = max(size, plan.workspace_size)
    return size


cdef cgru_call call_on(cnp.ndarray X, Py_ssize_t u, variant, tuple activations, tuple ragged, zoneout,
                       cnp.ndarray recurrent) except *:
    """Return a call for inputs like X, with lengths, masks and layout set but without other arrays.

    `ragged` is (order, running) of `set_lengths`, or None.
    """
    cdef int size = cnp.PyArray_ITEMSIZE(X)
    cdef cgru_call call = new_call(cnp.PyArray_DIM(X, 0), cnp.PyArray_DIM(X, 1), cnp.PyArray_DIM(X, 2), u, size,
                                   variant, activations)
    if ragged is not None:
        set_lengths(&call, ragged[0], ragged[1])
    set_zoneout(&call, zoneout)
    if recurrent is not None:
        call.recurrent = view(recurrent)
    choose_lanes(kernels(size), &call)
    return call


cdef cgru_call call_of(variant, Py_ssize_t u, dict arrays, tuple activations, order, running) except *:
    """Return a call with the arrays of a dict, among them X, and with its lengths and layout set."""
    cdef cgru_call call = call_on(arrays["X"], u, variant, activations, (order, running), arrays.get("zoneout"),
                                  arrays.get("recurrent"))
    for name, array in arrays.items():
        if name != "zoneout" and array is not None:
            bind(&call, name, array)
    if lanes_choice != 1 and call.r.sample != 1:
        call.column = 1
    return call
