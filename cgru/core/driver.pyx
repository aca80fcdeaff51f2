"""Run forward and backward calls: the loops over blocks of rows and over steps, and the products of each step."""

cimport numpy as cnp
from libc.string cimport memset

from cgru.core cimport backward, forward
from cgru.core.crew cimport Crew, close_crew, multiply, open_crew, share_single_sample
from cgru.core.kernels cimport (
    CGRU_STEPS, bind_weights, cgru_array, cgru_feature_product, cgru_operand, cgru_product, check_signals, in_pieces,
    kernels, steps_of_row, steps_of_single, transpose, with_operand,
)
from cgru.core.memory cimport Workspace
from cgru.core.plan cimport (
    BACKWARD, FORWARD, SAMPLES_IN_LANES, SINGLE_SAMPLE, UNITS_IN_LANES, UNPACKED_COLUMNS, UNPACKED_TILES, call_of,
    plan_of, whole_vectors,
)
from cgru.core.products cimport add_batched_inputs, pack_weights
from cgru.core.threads cimport available, block_rows, cgru_part, gather_members, share

cnp.import_array()


# What a layout does: build the products of a step, forward and backward, and run all steps of one block of rows.
cdef struct LayoutCalls:
    void (*forward)(Run *, char *) noexcept nogil
    void (*backward)(Run *, char *) noexcept nogil
    cgru_part *run

cdef LayoutCalls[3] LAYOUTS
LAYOUTS[<int>UNITS_IN_LANES] = LayoutCalls(forward.build_products, backward.build_products, _run_block)
LAYOUTS[<int>SAMPLES_IN_LANES] = LayoutCalls(forward.build_batch_simd, backward.build_batch_simd, _run_lanes)
LAYOUTS[<int>SINGLE_SAMPLE] = LayoutCalls(
    forward.build_single_sample, backward.build_single_sample, _run_single_sample
)


# --- products ---

cdef void _split_products(Run *run) noexcept nogil:
    """Split each product of a forward step into a product of x and a product of hp."""
    cdef cgru_product all
    cdef int n, x
    run.fresh_products = run.products
    for n in range(run.products):
        all, x = run.each[n], run.x_operand[n]
        run.fresh[n] = with_operand(&all, x)
        if x < 0 or not run.call.projections:
            continue
        if n == 0:
            run.feature_product.bias = all.bias
        add_batched_inputs(run, &run.fresh[n], 3 * run.call.up, 2 * run.batched_products * run.call.up)
        run.each[n] = with_operand(&all, 1 - x if all.operands > 1 else -1)
        run.each[n].bias = NULL
        run.fresh[n] = with_operand(&run.each[n], -1)


cdef void prepare(Run *run, const Plan *plan, cgru_call *call, void *packed, void *rows,
                  const cgru_weights *w) noexcept nogil:
    """Fill `run` for a call, and pack the weights `w` into `packed`, unless w is NULL and `packed` has them."""
    cdef const LayoutCalls *layout = &LAYOUTS[<int>plan.layout]
    run.plan, run.call, run.start, run.stop, run.packs = plan[0], call, 0, call.m, w != NULL
    if w != NULL:
        run.w = w[0]
    run.sums, run.feature_product.W, run.norm.call = <char *>packed + plan.packed_size * plan.k.size, NULL, NULL
    run.products = run.fresh_products = run.batched_products = run.packings = 0
    call.rows, call.ld, call.projections, call.masked = rows, plan.row_size, plan.projections, plan.masked
    call.staged = plan.staged if call.dX.data != NULL else 0
    run.crew, run.single.share_sums = NULL, NULL
    run.batched_arrays[0] = &call.X  # backward sets others
    call.far = plan.far
    (layout.backward if plan.direction == BACKWARD else layout.forward)(run, <char *>packed)
    pack_weights(run)
    if plan.splits_products:
        _split_products(run)


cdef inline void _multiply(const Run *run, const cgru_product *product, Py_ssize_t t, Py_ssize_t row,
                           Py_ssize_t rows) noexcept nogil:
    """Compute a product for some rows, with the crew of threads if the run has one."""
    if run.crew == NULL:
        run.plan.k.product(product, t, row, rows)
    else:
        multiply(run.crew, product, t, row, rows)


# --- steps ---

cdef void _project_inputs(const Run *run, Py_ssize_t t, Py_ssize_t row, Py_ssize_t rows) noexcept nogil:
    """Compute x U + b (forward) or dX (backward) of some rows, for the CGRU_STEPS steps that include step t.

    The rows of these products are the steps of one sample, so that a tile is full even for few samples.
    """
    cdef const cgru_call *call = run.call
    cdef const cgru_kernels *k = run.plan.k
    cdef Py_ssize_t first = t - t % CGRU_STEPS, i, sample, steps
    cdef const cgru_array *source
    cdef cgru_product product
    cdef cgru_feature_product features
    cdef char *to
    cdef int n, o
    if _project_together(run, first, row, rows):
        return
    for i in range(row, row + rows):
        steps = steps_of_row(call, i, first)
        if steps == 0:
            continue
        sample = call.order[i] if call.order != NULL else i
        if run.plan.direction == FORWARD:
            to = <char *>call.rows + (i * call.ld + call.projections) * k.size
        else:
            to = _row_at(&call.dX, sample, first, k.size)
        if run.feature_product.W != NULL:
            features = run.feature_product
            features.x = cgru_operand(_row_at(&call.X, sample, first, k.size), call.X.step, call.e)
            features.out = cgru_array(to, 3 * call.up, call.up, 1)
            k.feature_product(&features, steps)
            continue
        for n in range(run.batched_products):
            product = run.batched[n]
            for o in range(product.operands):
                source = run.batched_arrays[o]
                product.operand[o].rows, product.operand[o].ld = _row_at(source, sample, first, k.size), source.step
            product.out.data = to + product.column * k.size
            _multiply(run, &product, 0, 0, steps)


cdef bint _project_together(const Run *run, Py_ssize_t first, Py_ssize_t row, Py_ssize_t rows) noexcept nogil:
    """Compute x U + b of all steps of some samples in one product, if these rows of X are evenly spaced in memory.

    Return whether that was so. The weights are then read once for all samples.
    """
    cdef const cgru_call *call = run.call
    cdef const cgru_array *X = &call.X
    cdef Py_ssize_t steps = min(call.s - first, <Py_ssize_t>CGRU_STEPS), each = 3 * call.up
    cdef bint by_sample = X.sample == steps * X.step
    cdef bint by_step = rows == call.m and (steps == 1 or X.step == rows * X.sample)
    cdef cgru_array to = cgru_array(NULL, each, call.ld, 1) if by_sample else cgru_array(NULL, call.ld, each, 1)
    cdef Py_ssize_t start, most
    cdef cgru_product product
    cdef int n
    if (run.plan.direction != FORWARD or run.crew != NULL or rows == 1 or call.running != NULL or call.order != NULL
            or run.feature_product.W != NULL or not (by_sample or by_step)):
        return False
    most = rows * steps if run.batched[0].sums == NULL else CGRU_STEPS
    for n in range(run.batched_products):
        product = run.batched[n]
        product.operand[0].rows = _row_at(X, row, first, run.plan.k.size)
        product.operand[0].ld = X.step if by_sample else X.sample
        product.group = steps if by_sample else rows
        product.out = to
        product.out.data = <char *>call.rows + (row * call.ld + call.projections + product.column) * run.plan.k.size
        start = 0
        while start < rows * steps:
            run.plan.k.product(&product, 0, start, min(most, rows * steps - start))
            start += most
    return True


cdef inline char *_row_at(const cgru_array *array, Py_ssize_t i, Py_ssize_t t, int size) noexcept nogil:
    """Return the address of sample i at step t in an array."""
    return <char *>array.data + (i * array.sample + t * array.step) * size


cdef void _step(Run *run, bint fresh, Py_ssize_t t, Py_ssize_t row, Py_ssize_t rows) noexcept nogil:
    """Run step t of some rows, forward or backward; `fresh`: without a previous state, by the products that skip it."""
    cdef const cgru_kernels *k = run.plan.k
    cdef bint back = run.plan.direction == BACKWARD
    cdef cgru_product *products = &run.fresh[0] if fresh else &run.each[0]
    cdef int n
    if back:
        k.gates_backward(run.call, t, row, rows)
        if run.norm.call != NULL:
            k.norm_backward(&run.norm, t, row, rows)
    else:
        if run.call.decay.data != NULL:
            k.decay_state(run.call, t, row, rows)
        k.load_x(run.call, t, row, rows)
        if run.call.masked:
            k.mask_state(run.call, row, rows)
    for n in range(run.fresh_products if fresh else run.products):
        _multiply(run, &products[n], t, row, rows)
    if back and run.call.staged:
        k.stream_input(run.call, t, row, rows)
    if back and run.call.decay.data != NULL:
        k.decay_backward(run.call, t, row, rows)
    if run.norm.call != NULL and not back:
        k.norm_forward(&run.norm, t, row, rows)


cdef bint _is_padded(const Run *run) noexcept nogil:
    """Return whether outputs are also written in the padding, where the backward pass of a reverse call reads h."""
    cdef const cgru_call *call = run.call
    cdef bint goes_back = call.hh.data != NULL or call.hp.data != NULL
    return call.padded if run.plan.direction == BACKWARD else goes_back and (call.padded or call.reverse)


cdef void _run_block(void *work, Py_ssize_t part) noexcept nogil:
    """Run all steps of block number `part` of rows, forward or backward; called by `share`, `work` is a Run."""
    cdef Run *run = <Run *>work
    cdef const cgru_kernels *k = run.plan.k
    cdef const cgru_call *call = run.call
    cdef bint back = run.plan.direction == BACKWARD, padded = _is_padded(run), fresh
    cdef bint batched = run.batched_products > 0 or run.feature_product.W != NULL
    cdef Py_ssize_t row = run.start + part * run.rows, s = call.s, n, t
    cdef Py_ssize_t rows = min(run.rows, run.stop - row), live = rows
    cdef Py_ssize_t turn = CGRU_STEPS - 1 if call.reverse else 0  # t % CGRU_STEPS where a batch of inputs begins
    if run.first:
        k.load_h0(call, row, rows)
    for n in range(s):
        t = s - 1 - n if (call.reverse != 0) != back else n
        if call.running:
            live = max(0, min(rows, call.running[t] - row))
        if batched and not back and (n == 0 or t % CGRU_STEPS == turn):
            _project_inputs(run, t, row, rows)
        if live > 0:
            fresh = run.plan.fresh and (n == s - 1 and run.last if back else n == 0 and run.first)
            _step(run, fresh, t, row, live)
        if live < rows and padded:
            (k.pad_backward if back else k.pad)(call, t, row + live, rows - live)
        if batched and back and (n == s - 1 or t % CGRU_STEPS == turn):
            _project_inputs(run, t, row, rows)
    if run.last and call.last.data:
        k.store_last(call, row, rows)


cdef void _run_lanes(void *work, Py_ssize_t part) noexcept nogil:
    """Run all steps of block number `part` of samples, one per SIMD lane; called by `share`, `work` is a Run."""
    cdef Run *run = <Run *>work
    cdef const cgru_kernels *k = run.plan.k
    cdef Py_ssize_t row = run.start + part * run.rows, n = min(run.rows, run.stop - row)
    (k.batch_forward if run.plan.direction == FORWARD else k.batch_backward)(
        &run.batch_simd, row, n, run.first, run.last
    )


cdef void _run_single_sample(void *work, Py_ssize_t part) noexcept nogil:
    """Run all steps of a single sample, with batched input projection; `first` and `last` as in `run_steps`."""
    cdef Run *run = <Run *>work
    cdef const cgru_kernels *k = run.plan.k
    cdef const cgru_call *call = run.call
    cdef bint back = run.plan.direction == BACKWARD
    cdef Py_ssize_t steps = steps_of_single(call), blocks = (steps + CGRU_STEPS - 1) // CGRU_STEPS, n, t
    if run.first:
        k.load_h0(call, 0, 1)
    if call.reverse:  # the state that a reverse call begins with lies in the padding
        _pad_single(run, steps)
    run.single.fresh = run.first and run.plan.fresh
    if back:
        k.single_backward(&run.single, steps)
    elif not call.projections:
        k.single_forward(&run.single, 0, steps)
    for n in range(blocks if call.projections or back and call.dX.data else 0):
        t = CGRU_STEPS * (blocks - 1 - n if call.reverse else n)
        _project_inputs(run, t, 0, 1)
        if not back:
            k.single_forward(&run.single, t, min(steps, t + CGRU_STEPS))
            run.single.fresh = False
    if not call.reverse:
        _pad_single(run, steps)
    if run.last and call.last.data:
        k.store_last(call, 0, 1)


cdef void _pad_single(const Run *run, Py_ssize_t steps) noexcept nogil:
    """Write the padding of a single sample that has `steps` real steps, if the call requires it."""
    cdef Py_ssize_t t
    for t in range(steps, run.call.s if _is_padded(run) else steps):
        (run.plan.k.pad_backward if run.plan.direction == BACKWARD else run.plan.k.pad)(run.call, t, 0, 1)


# --- calls ---

cdef void run_steps(Run *run, bint first, bint last) noexcept nogil:
    """Run all steps of a prepared call on threads; `first`, `last`: whether the sequence starts or ends with them."""
    cdef const Plan *plan = &run.plan
    cdef const cgru_call *call = run.call
    cdef Py_ssize_t m = run.stop - run.start, read = call.u if plan.direction == BACKWARD else call.e + call.u
    run.first, run.last, run.rows = first, last, m  # one block where products share their sums
    if plan.weights <= UNPACKED_TILES and run.crew == NULL:
        run.rows = whole_vectors(plan, block_rows(m, call.ld * plan.k.size, 3 * call.u * read * plan.k.size,
                                                  plan.threads, call.running != NULL))
    m = (m + run.rows - 1) // run.rows
    share(LAYOUTS[<int>plan.layout].run, run, m, plan.threads)


cdef void _run_piece(void *work, bint first, bint last) noexcept nogil:
    """Run one piece of the steps of a call; called by `in_pieces`, `work` is a Run."""
    run_steps(<Run *>work, first, last)


cdef cgru_weights weights_of(const Plan *plan, const cgru_weights *w) noexcept nogil:
    """Return the weights as a plan reads them: transposed if their columns are contiguous, and without an unused V."""
    cdef cgru_weights used = w[0]
    cdef int gate
    for gate in range(3 if plan.weights == UNPACKED_COLUMNS else 0):
        used.U[gate], used.V[gate] = transpose(w.U[gate]), transpose(w.V[gate])
    if plan.without_V:
        memset(&used.V[0], 0, sizeof(used.V))
    return used


cdef void join_crew(Run *run, Crew *crew) noexcept nogil:
    """Make a prepared call compute its products with a crew of threads."""
    run.crew = crew
    if run.plan.packers > 1:  # they are awake, and about to come
        gather_members()
    share_single_sample(crew, &run.single)  # which products of several samples do not read


cdef int _run_call(const Plan *plan, cgru_call *call, const cgru_weights *w, void *memory,
                   Crew *crew) except -1 nogil:
    """Run a planned call in `memory`, as many samples at a time as planned; Ctrl-C stops it. `crew` may be NULL."""
    cdef Py_ssize_t start = 0
    cdef char *rows = <char *>memory + plan.rows_start * plan.k.size
    cdef cgru_weights used = weights_of(plan, w)
    cdef Run run
    while start < call.m:
        if start:
            check_signals()
        prepare(&run, plan, call, memory if crew == NULL else crew.packed,
                rows - start * plan.row_size * plan.k.size, &used if start == 0 else NULL)
        if crew != NULL:
            join_crew(&run, crew)
        run.start, run.stop = start, min(start + plan.rows_at_once, call.m)
        in_pieces(call, run.stop - start, 0, plan.k.size, (call.reverse != 0) != (plan.direction == BACKWARD),
                  _run_piece, &run)
        start += plan.rows_at_once
    return 0


cdef int run_in_workspace(cgru_call *call, const cgru_weights *w, const cgru_kernels *k, Direction direction,
                          void *memory, int most) except -1 nogil:
    """Plan and run a call on at most `most` threads, in memory that the caller allocated."""
    cdef Plan plan = plan_of(k, call, w, direction, most)
    cdef Crew crew
    if not open_crew(&crew, &plan, call, NULL):
        return _run_call(&plan, call, w, memory, NULL)
    try:
        return _run_call(&plan, call, w, memory, &crew)
    finally:
        close_crew()


cdef int execute(cgru_call *call, const cgru_weights *w, const cgru_kernels *k, Direction direction) except -1:
    """Plan a call, allocate a workspace, and run the call on all threads."""
    cdef Plan plan = plan_of(k, call, w, direction, available())
    cdef Crew crew
    if plan.members == 1 or not open_crew(&crew, &plan, call, NULL):
        return _run_allocated(&plan, call, w, NULL)
    try:
        return _run_allocated(&plan, call, w, &crew)
    finally:
        close_crew()


cdef int _run_allocated(const Plan *plan, cgru_call *call, const cgru_weights *w, Crew *crew) except -1:
    """Allocate a workspace and run a planned call in it."""
    cdef Workspace work = Workspace(plan.workspace_size, plan.k.size)
    cdef void *memory = work.take(plan.workspace_size)
    with nogil:
        _run_call(plan, call, w, memory, crew)
    return 0


def run(str direction not None, variant, dict p not None, dict arrays not None, tuple activations not None, order=None,
        running=None, *, bint reverse=False, bint fresh=False, bint padded=True, bint loose=False):
    """Run one call and write those of its output arrays that are in `arrays`; for tests.

    Args:
        direction: "forward", or "backward" for a call that has run forward.
        variant, p: a `cgru.variant.Variant` and its parameters.
        arrays: the arrays of forward.pxd or backward.pxd by name, all of one dtype. The optional entry "zoneout" is a
            mask (m, s, u) or a rate.
        activations: (code, alpha) of activate, activate_update and activate_reset, as of `code_of`.
        order, running: (m,) intp, the samples sorted by length, longest first, and (s,) intp, the number of samples
            that have each step; None: all samples have all steps.
        reverse, fresh, padded, loose: as of cgru_call.
    """
    cdef cgru_call call = call_of(variant, cnp.PyArray_DIM(p["Vz"], 0), arrays, activations, order, running)
    cdef cgru_weights w
    call.reverse, call.fresh, call.padded, call.loose = reverse, fresh, padded, loose
    bind_weights(&w, p, variant.names)
    execute(&call, &w, kernels(arrays["X"].itemsize), {"forward": FORWARD, "backward": BACKWARD}[direction])
