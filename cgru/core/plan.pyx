"""Which way a call goes, and the memory that it takes, by a cost model."""

cimport numpy as cnp

from cgru.core.checks cimport rows as contiguous_rows
from cgru.core.kernels cimport (
    bind, CGRU_LAYER_NORM, CGRU_RESET_AFTER, CGRU_RESET_BEFORE, CGRU_STEPS, kernels, new_call, odd_lines,
    samples_at_once, set_lengths, set_zoneout, whole_lines,
)
from cgru.core.threads cimport worth

cnp.import_array()

cdef enum:
    L1 = 32 << 10  # bytes
    L2 = 1 << 20  # likewise
    READ = 32  # bytes a cycle that an L2 cache gives
    ACTIVATIONS = 60  # of the three gates of a vector, and what stands around them, in products
    TRANSPOSED = 8  # a vector of the inputs of so many samples, likewise
    ADDED_UP = 8  # the lanes of a vector, in products, and half a product for each lane
    PACKING = 40  # the weights, in the unit of `_is_brief`; their transposes half of it
    MOST_LANES = 16  # of any level


# What a variant's call has, in parts of `up` numbers: a row forward, a row back, and what stands behind the packed
# weights forward and back. And the terms of its gradients, and in how many ways these see hp without masks.
cdef struct Sizes:
    int forward, backward, behind, behind_back, terms, ways

cdef Sizes[3] SIZES
SIZES[CGRU_RESET_BEFORE] = Sizes(3, 4, 4, 0, 3, 2)
SIZES[CGRU_RESET_AFTER] = Sizes(3, 5, 4, 0, 4, 1)
SIZES[CGRU_LAYER_NORM] = Sizes(7, 11, 10, 6, MOST_TERMS, 1)

# Whether lanes are samples, and weights are read where they lie: 1 wherever it can be, 0 never, -1 by the model.
cdef int lanes_choice = -1, lying_choice = -1

cdef double FEW_WORK = 4e6  # operations for which it pays to have sums of their own


def use_samples_in_lanes(choice=None):
    """From now on True: let lanes be samples wherever they can be; False: never; None: as at first. For the tests."""
    global lanes_choice
    lanes_choice = -1 if choice is None else choice


def use_weights_where_they_lie(choice=None):
    """From now on True: read weights where they lie wherever it can be; False: never; None: as at first. For tests."""
    global lying_choice
    lying_choice = -1 if choice is None else choice


# --- lanes and inputs ---

cdef inline bint _is_simple(const cgru_call *call) noexcept nogil:
    """Whether the products see the rows themselves: not normalised, no masks on the state."""
    return call.variant != CGRU_LAYER_NORM and call.recurrent.data == NULL


cdef bint may_have_samples_in_lanes(const cgru_kernels *k, const cgru_call *call) noexcept nogil:
    return _is_simple(call) and (call.u <= 3 * k.lanes or lanes_choice == 1)


cdef void choose_lanes(const cgru_kernels *k, cgru_call *call) noexcept nogil:
    cdef bint few = call.m > 1 and lanes_choice != 0 and may_have_samples_in_lanes(k, call)
    if few and lanes_choice != 1:
        few = _pays_samples_in_lanes(k, call)
    call.column = call.m if few else 1


cdef bint _pays_samples_in_lanes(const cgru_kernels *k, const cgru_call *call) noexcept nogil:
    """Say whether it pays that lanes are samples, by the vectors of work of a step. With units in lanes a row takes for
    each vector of its units three columns of e + u products, and three activations; with samples in lanes a vector of
    samples takes that for each unit, a fifth more since its caches lie further apart, and its e inputs have to be
    transposed. Rows leave a ragged batch where their samples end; lanes wait for the last.
    """
    cdef Py_ssize_t vectors = (call.m + k.lanes - 1) // k.lanes, t, e
    cdef double each, rows = call.m
    e = 0 if _is_along_e(k, call) else call.e  # that cost what they cost
    each = 3.0 * (e + call.u) + ACTIVATIONS
    if call.running != NULL:
        rows = 0
        for t in range(call.s):
            rows += <double>call.running[t] / call.s
    return vectors * (1.2 * call.u * each + TRANSPOSED * e) < rows * (call.up // k.lanes) * each


cdef Py_ssize_t input_column(const cgru_kernels *k, const cgru_call *call) noexcept nogil:
    return 1 if _is_along_e(k, call) else call.column


cdef cnp.ndarray readable(const cgru_call *call, cnp.ndarray array):
    return array if call.column > 1 else contiguous_rows(array)


cdef bint _is_along_e(const cgru_kernels *k, const cgru_call *call) noexcept nogil:
    """Whether lanes are elements in the products with U, of few units under wide inputs; for any number of samples.

    By the vectors that a row multiplies: three for each element, or three for each unit and vector of elements, and
    the time in which their lanes are added up.
    """
    if not _is_simple(call) or call.up > k.lanes or call.e <= 2 * k.lanes:
        return False
    return call.u * (call.ep // k.lanes + ADDED_UP + k.lanes // 2) < call.e


cdef double _hoists_below(const cgru_kernels *k, const cgru_call *call) noexcept nogil:
    """Return below how many rows U meets the inputs of CGRU_STEPS steps at once, not those of each step with its state.

    Where the weights outgrow L1 a step with few rows waits for them, at READ bytes a cycle, longer than it
    multiplies, at two vectors a cycle. Many steps at once only multiply, and write and read again what comes out.
    """
    cdef double e = call.e
    if not _is_simple(call) or (call.e + call.u) * 3.0 * call.u * k.size < L1:
        return 0
    return e / READ / (e / (2 * k.lanes * k.size) + 2.0 / READ)


cdef Inputs _inputs(const Plan *plan, const cgru_call *call) noexcept nogil:
    cdef const cgru_kernels *k = plan.k
    cdef bint along = _is_along_e(k, call)
    cdef double row, vector
    if plan.layout == SAMPLES:  # rows have to be contiguous
        along = along and (call.dX.column if plan.direction == BACKWARD else call.X.column) == 1
        if along and plan.direction == GRADIENTS:
            # By the cycles measured: a row is collected, and multiplied in vectors of elements; or a vector of samples
            # is transposed and multiplied by each unit.
            row = 80 + 10 * call.u + call.e * (0.8 + 1.5 * call.u / k.lanes)
            vector = 6.0 * (call.u + 1) * call.e
            along = call.m * row < (call.m + k.lanes - 1) // k.lanes * vector
        return ALONG_E if along else EACH_STEP
    if along:
        return ALONG_E
    if plan.layout == SINGLE and (plan.direction == BACKWARD or plan.weights != PACKED):  # the sums are the same
        return MANY_STEPS
    return MANY_STEPS if plan.direction != GRADIENTS and call.m < _hoists_below(k, call) else EACH_STEP


# --- weights ---

cdef bint _is_brief(const Plan *plan, const cgru_call *call) noexcept nogil:
    """Whether a call is over before it pays to pack its weights, which are then read where they lie.

    A step of m rows then takes longer, by about m + 2 of some unit of time, m for sums that wait in a cache and 2 for
    rows that begin anywhere in a cache line. Packing takes `packing` units, half as much again where the weights leave
    the cache in between.
    """
    cdef const cgru_kernels *k = plan.k
    cdef Py_ssize_t bytes = 3 * (call.e + call.u) * call.u * k.size
    cdef Py_ssize_t packing = PACKING if plan.direction == FORWARD else PACKING // 2
    cdef bint can = _is_simple(call) and call.column == 1 and call.m <= CGRU_STEPS and not _is_along_e(k, call)
    if not can or lying_choice == 0:
        return False
    if lying_choice == 1:
        return True
    return bytes > L1 and call.s * (call.m + 2) < packing * (1.5 if bytes > L2 else 1)


cdef Weights _weights(const Plan *plan, const cgru_call *call, const cgru_weights *w) noexcept nogil:
    cdef bint rows = True, columns = plan.direction == BACKWARD or call.loose
    cdef Py_ssize_t e = call.e, u = call.u
    cdef int gate
    if w == NULL or not _is_brief(plan, call):
        return PACKED
    for gate in range(3):
        rows &= w.U[gate].column == w.V[gate].column == 1 and w.U[gate].row >= u and w.V[gate].row >= u
        columns &= w.U[gate].row == w.V[gate].row == 1 and w.U[gate].column >= e and w.V[gate].column >= u
    return IN_ROWS if rows else IN_COLUMNS if columns else PACKED


# --- memory ---

cdef Py_ssize_t _row(Plan *plan, const cgru_call *call) noexcept nogil:
    """Return the numbers of a row, and set where in it the parts are that not every call has."""
    cdef Py_ssize_t up = call.up, e = call.e, u = call.u, more = 0, own = SIZES[call.variant].forward * up + call.ep
    plan.projections = plan.masked = 0
    if plan.layout == SAMPLES:
        return 1 + 5 * u + max(u, e) if plan.direction == BACKWARD else 3 + 2 * e + 7 * u
    if plan.direction == BACKWARD:
        return odd_lines(SIZES[call.variant].backward * up, plan.k.size)
    if plan.layout == SINGLE:
        own = 6 * up
    if plan.ahead:
        plan.projections, more = own, 3 * min(call.s, <Py_ssize_t>CGRU_STEPS) * up
    if call.recurrent.data != NULL:
        plan.masked, more = own, 3 * up
    return own + more if plan.layout == SINGLE else odd_lines(own + more, plan.k.size)


cdef void _measure(Plan *plan, const cgru_call *call, Py_ssize_t m) noexcept nogil:
    """Set the sizes of the workspace, for m samples."""
    cdef const cgru_kernels *k = plan.k
    cdef Py_ssize_t e = call.e, u = call.u, up = call.up, ep = call.ep, sums
    if plan.direction == GRADIENTS:
        _measure_sums(plan, call, m)
        return
    if plan.direction == FORWARD:
        plan.packed = (3 * u + SIZES[call.variant].behind) * up + 3 * max(e * up, u * ep)
        sums = 3 * CGRU_STEPS * up
    else:
        plan.packed = 3 * u * (up + ep) + SIZES[call.variant].behind_back * up
        sums = CGRU_STEPS * max(up, ep)
    plan.rows_from = whole_lines(plan.packed + (sums if plan.weights != PACKED else 0), k.size)
    plan.row = _row(plan, call)
    plan.rows = whole(plan, samples_at_once(m, plan.row * k.size))
    plan.numbers = plan.rows_from + plan.rows * plan.row


cdef int terms_of(const cgru_call *call) noexcept nogil:
    """Return how many terms the gradients have."""
    return 1 if call.linear else SIZES[call.variant].terms


cdef Py_ssize_t operands_of(const cgru_call *call) noexcept nogil:
    """Numbers of a row that are collected of X, and of hp in each way in which the terms see it: with a mask for each
    gate three, else one that is not reset, and r * hp.
    """
    return call.ep + (3 if call.recurrent.data != NULL else SIZES[call.variant].ways) * call.u


cdef Py_ssize_t _share(const cgru_call *call, Py_ssize_t m) noexcept nogil:
    """Numbers that the rows collected by one share of the gradients take."""
    cdef Py_ssize_t terms = terms_of(call) * (call.up + min(call.u, <Py_ssize_t>MOST_LANES))
    return (operands_of(call) + terms) * min(m * call.s, DEPTH)


cdef void _measure_sums(Plan *plan, const cgru_call *call, Py_ssize_t m) noexcept nogil:
    """Each share is some of the panels of the terms' columns, through all rows: no sum is shared. Where lanes are
    samples, some of these, whose sums are added up in their order.
    """
    cdef const cgru_kernels *k = plan.k
    cdef Py_ssize_t vectors = (m + k.lanes - 1) // k.lanes
    if plan.sums_in_lanes:
        plan.shared, plan.multiple = vectors, k.lanes
        plan.shares = <int>min(vectors, FEW_PARTS, 1 + operations(call) * m / call.m / FEW_WORK)
        plan.numbers = vectors * k.lanes + plan.shares * k.batch_gradient_size(call, terms_of(call), 0)
        return
    plan.shared, plan.multiple = terms_of(call) * k.panel_count(call.u), 1
    plan.shares = <int>min(plan.shared, MOST_SHARES, plan.threads)
    plan.share = _share(call, m)
    plan.numbers = plan.shares * plan.share


# --- plans ---

cdef void _choose(Plan *plan, const cgru_call *call) noexcept nogil:
    """Set the layout and the inputs, and what follows from them."""
    cdef bint alone = call.m == 1 and _is_simple(call) and (plan.direction == FORWARD or plan.weights == PACKED)
    plan.layout = SAMPLES if call.column > 1 else SINGLE if alone else UNITS
    plan.inputs = _inputs(plan, call)
    _follow(plan, call)


cdef void _follow(Plan *plan, const cgru_call *call) noexcept nogil:
    plan.ahead = plan.inputs != EACH_STEP
    plan.inner = 0 if plan.inputs == ALONG_E else call.e
    plan.multiple = plan.k.lanes if plan.layout == SAMPLES else 1
    plan.sums_in_lanes = plan.layout == SAMPLES and plan.inputs != ALONG_E


cdef Plan plan_of(const cgru_kernels *k, const cgru_call *call, const cgru_weights *w, Direction direction,
                  int most) noexcept nogil:
    cdef Plan plan
    plan.k, plan.direction = k, direction
    plan.weights = _weights(&plan, call, w)
    _choose(&plan, call)
    plan.threads = worth(operations(call), most)
    if direction == FORWARD:
        plan.fresh = call.h0.data == NULL
    else:  # back through such a step
        plan.fresh = call.fresh and call.dh.data == NULL and call.last.data == NULL
    _measure(&plan, call, call.m)
    plan.takes_apart = direction == FORWARD and plan.layout == UNITS and (plan.fresh or plan.projections)
    plan.without_V = plan.weights == PACKED and call.s == 1 and plan.fresh and plan.layout == UNITS
    return plan


cdef Py_ssize_t packed_rows(const cgru_kernels *k, const cgru_call *call) noexcept nogil:
    cdef Py_ssize_t forward, backward
    cdef Plan plan
    plan.k, plan.weights, plan.direction = k, PACKED, FORWARD
    _choose(&plan, call)
    forward, plan.direction = _row(&plan, call), BACKWARD
    backward = _row(&plan, call)
    return max(call.m * max(forward, backward), _share(call, call.m))


cdef Py_ssize_t most_numbers(const cgru_kernels *k, const cgru_call *call, Direction direction,
                             int most) noexcept nogil:
    cdef Py_ssize_t numbers = 0, ahead = call.m if _is_along_e(k, call) else <Py_ssize_t>_hoists_below(k, call) + 1
    cdef Plan plan
    cdef int layout, inputs
    plan.k, plan.direction, plan.weights, plan.threads = k, direction, IN_ROWS, worth(operations(call), most)
    for layout in range(SAMPLES + 1 if may_have_samples_in_lanes(k, call) else SAMPLES):
        for inputs in range(ALONG_E + 1):
            plan.layout, plan.inputs = <Layout>layout, <Inputs>inputs
            _follow(&plan, call)
            _measure(&plan, call, min(call.m, 1 if layout == SINGLE else ahead if inputs != EACH_STEP else call.m))
            numbers = max(numbers, plan.numbers)
    return numbers


cdef cgru_call call_of(variant, Py_ssize_t u, dict arrays, tuple activations, order, running) except *:
    cdef cnp.ndarray X = arrays["X"]
    cdef int size = cnp.PyArray_ITEMSIZE(X)
    cdef cgru_call call = new_call(cnp.PyArray_DIM(X, 0), cnp.PyArray_DIM(X, 1), cnp.PyArray_DIM(X, 2), u, size,
                                   variant, activations)
    set_lengths(&call, order, running)
    set_zoneout(&call, arrays.get("zoneout"))
    for name, array in arrays.items():
        if name != "zoneout" and array is not None:
            bind(&call, name, array)
    choose_lanes(kernels(size), &call)
    if lanes_choice != 1 and call.r.sample != 1:
        call.column = 1
    return call
