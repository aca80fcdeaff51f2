"""One driver for both directions: what a call does with the products that forward.pyx and backward.pyx lay out."""

cimport numpy as cnp
from libc.string cimport memset

from cgru.core.backward cimport lay_out_backward
from cgru.core.forward cimport lay_out_forward
from cgru.core.kernels cimport (
    CGRU_STEPS, cgru_array, cgru_feature_product, cgru_operand, cgru_product, in_pieces, kernels, look_for_signals,
    steps_of_row, steps_of_single, transpose, weights, with_operand,
)
from cgru.core.memory cimport Workspace
from cgru.core.plan cimport BACKWARD, FORWARD, IN_COLUMNS, PACKED, SAMPLES, SINGLE, call_of, plan_of, whole
from cgru.core.products cimport take_ahead
from cgru.core.threads cimport available, block_rows, share

cnp.import_array()


# --- products ---

cdef void _take_apart(Run *run) noexcept nogil:
    """The products of a step forward, as the variant has laid them out, taken apart: what x adds, and what hp does."""
    cdef cgru_product all
    cdef int n, x
    run.fresh_products = run.products
    for n in range(run.products):
        all, x = run.each[n], run.of_x[n]
        run.fresh[n] = with_operand(&all, x)
        if x < 0 or not run.call.projections:
            continue
        if n == 0:
            run.feature_product.bias = all.bias
        take_ahead(run, &run.fresh[n], 3 * run.call.up, 2 * run.ahead_products * run.call.up)
        run.each[n] = with_operand(&all, 1 - x if all.operands > 1 else -1)
        run.each[n].bias = NULL
        run.fresh[n] = with_operand(&run.each[n], -1)


cdef void prepare(Run *run, const Plan *plan, cgru_call *call, void *packed, void *rows,
                  const cgru_weights *w) noexcept nogil:
    run.plan, run.call, run.start, run.stop, run.packs = plan[0], call, 0, call.m, w != NULL
    if w != NULL:
        run.w = w[0]
    run.sums, run.feature_product.W, run.norm.call = <char *>packed + plan.packed * plan.k.size, NULL, NULL
    run.products = run.fresh_products = run.ahead_products = 0
    call.rows, call.ld, call.projections, call.masked = rows, plan.row, plan.projections, plan.masked
    if plan.direction == BACKWARD:
        lay_out_backward(run, <char *>packed)
    else:
        lay_out_forward(run, <char *>packed)
    if plan.takes_apart:
        _take_apart(run)


# --- steps ---

cdef void _inputs(const Run *run, Py_ssize_t t, Py_ssize_t row, Py_ssize_t rows) noexcept nogil:
    """x U + b, or dX, of some rows, for the steps among which t is: their rows are the steps, so a tile is full."""
    cdef const cgru_call *call = run.call
    cdef const cgru_kernels *k = run.plan.k
    cdef Py_ssize_t first = t - t % CGRU_STEPS, i, sample, steps
    cdef const cgru_array *of
    cdef cgru_product product
    cdef cgru_feature_product features
    cdef char *to
    cdef int n, o
    for i in range(row, row + rows):
        steps = steps_of_row(call, i, first)
        if steps == 0:
            continue
        sample = call.order[i] if call.order != NULL else i
        if run.plan.direction == FORWARD:
            to = <char *>call.rows + (i * call.ld + call.projections) * k.size
        else:
            to = _at(&call.dX, sample, first, k.size)
        if run.feature_product.W != NULL:
            features = run.feature_product
            features.x = cgru_operand(_at(&call.X, sample, first, k.size), call.X.step, call.e)
            features.out = cgru_array(to, 3 * call.up, call.up, 1)
            k.feature_product(&features, steps)
            continue
        for n in range(run.ahead_products):
            product = run.ahead[n]
            for o in range(product.operands):
                of = run.read[o]
                product.operand[o].rows, product.operand[o].ld = _at(of, sample, first, k.size), of.step
            product.out.data = to + product.column * k.size
            k.product(&product, 0, 0, steps)


cdef inline char *_at(const cgru_array *array, Py_ssize_t i, Py_ssize_t t, int size) noexcept nogil:
    return <char *>array.data + (i * array.sample + t * array.step) * size


cdef void _step(Run *run, bint fresh, Py_ssize_t t, Py_ssize_t row, Py_ssize_t rows) noexcept nogil:
    """Take `rows` rows from hp to h, or from dhn to dh; the equations stand where the products are laid out."""
    cdef const cgru_kernels *k = run.plan.k
    cdef bint back = run.plan.direction == BACKWARD
    cdef cgru_product *products = &run.fresh[0] if fresh else &run.each[0]
    cdef int n
    if back:
        k.gates_backward(run.call, t, row, rows)
        if run.norm.call != NULL:
            k.norm_backward(&run.norm, t, row, rows)
    else:
        k.load_x(run.call, t, row, rows)
        if run.call.masked:
            k.mask_state(run.call, row, rows)
    for n in range(run.fresh_products if fresh else run.products):
        k.product(&products[n], t, row, rows)
    if run.norm.call != NULL and not back:
        k.norm_forward(&run.norm, t, row, rows)


cdef bint _is_padded(const Run *run) noexcept nogil:
    """Whether anything is written past a sample's length. Forward's way back in `reverse` reads h there."""
    cdef const cgru_call *call = run.call
    return call.padded if run.plan.direction == BACKWARD else call.hh.data != NULL and (call.padded or call.reverse)


cdef void _block(void *work, Py_ssize_t part) noexcept nogil:
    """Take one block of rows through the sequence, or back."""
    cdef Run *run = <Run *>work
    cdef const cgru_kernels *k = run.plan.k
    cdef const cgru_call *call = run.call
    cdef bint back = run.plan.direction == BACKWARD, padded = _is_padded(run), ahead = run.ahead_products > 0, fresh
    cdef Py_ssize_t row = run.start + part * run.rows, s = call.s, n, t
    cdef Py_ssize_t rows = min(run.rows, run.stop - row), live = rows
    cdef Py_ssize_t turn = CGRU_STEPS - 1 if call.reverse else 0  # the step on this side of many, back on the other
    ahead = ahead or run.feature_product.W != NULL
    if run.first:
        k.load_h0(call, row, rows)
    for n in range(s):
        t = s - 1 - n if (call.reverse != 0) != back else n
        if call.running:
            live = max(0, min(rows, call.running[t] - row))
        if ahead and not back and (n == 0 or t % CGRU_STEPS == turn):
            _inputs(run, t, row, rows)
        if live > 0:
            fresh = run.plan.fresh and (n == s - 1 and run.last if back else n == 0 and run.first)
            _step(run, fresh, t, row, live)
        if live < rows and padded:
            (k.pad_backward if back else k.pad)(call, t, row + live, rows - live)
        if ahead and back and (n == s - 1 or t % CGRU_STEPS == turn):
            _inputs(run, t, row, rows)
    if run.last and call.last.data:
        k.store_last(call, row, rows)


cdef void _lanes(void *work, Py_ssize_t part) noexcept nogil:
    """Likewise, where samples are lanes."""
    cdef Run *run = <Run *>work
    cdef const cgru_kernels *k = run.plan.k
    cdef Py_ssize_t row = run.start + part * run.rows, rows = min(run.rows, run.stop - row)
    (k.batch_backward if run.plan.direction == BACKWARD else k.batch_forward)(
        &run.batch, row, rows, run.first, run.last
    )


cdef void _single(Run *run, bint first, bint last) noexcept nogil:
    """All steps of a single sample, whose inputs are multiplied some steps at a time."""
    cdef const cgru_kernels *k = run.plan.k
    cdef const cgru_call *call = run.call
    cdef bint back = run.plan.direction == BACKWARD
    cdef Py_ssize_t steps = steps_of_single(call), blocks = (steps + CGRU_STEPS - 1) // CGRU_STEPS, n, t
    if first:
        k.load_h0(call, 0, 1)
    if call.reverse:  # h with the first state
        _pad_single(run, steps)
    run.single.fresh = first and run.plan.fresh
    if back:
        k.single_backward(&run.single, steps)
    elif not call.projections:
        k.single_forward(&run.single, 0, steps)
    for n in range(blocks if call.projections or back and call.dX.data else 0):
        t = CGRU_STEPS * (blocks - 1 - n if call.reverse else n)
        _inputs(run, t, 0, 1)
        if not back:
            k.single_forward(&run.single, t, min(steps, t + CGRU_STEPS))
            run.single.fresh = False
    if not call.reverse:
        _pad_single(run, steps)
    if last and call.last.data:
        k.store_last(call, 0, 1)


cdef void _pad_single(const Run *run, Py_ssize_t steps) noexcept nogil:
    cdef Py_ssize_t t
    for t in range(steps, run.call.s if _is_padded(run) else steps):
        (run.plan.k.pad_backward if run.plan.direction == BACKWARD else run.plan.k.pad)(run.call, t, 0, 1)


# --- calls ---

cdef void sequence(Run *run, bint first, bint last) noexcept nogil:
    cdef const Plan *plan = &run.plan
    cdef const cgru_call *call = run.call
    cdef Py_ssize_t m = run.stop - run.start, read = call.u if plan.direction == BACKWARD else call.e + call.u
    if plan.layout == SINGLE:
        _single(run, first, last)
        return
    run.first, run.last, run.rows = first, last, m  # the sums of weights that lie have one place
    if plan.weights == PACKED:
        run.rows = whole(plan, block_rows(m, call.ld * plan.k.size, 3 * call.u * read * plan.k.size, plan.threads,
                                          call.running != NULL))
    share(_lanes if plan.layout == SAMPLES else _block, run, (m + run.rows - 1) // run.rows, plan.threads)


cdef void _piece(void *work, bint first, bint last) noexcept nogil:
    sequence(<Run *>work, first, last)


cdef int _drive(const Plan *plan, cgru_call *call, const cgru_weights *w, void *memory) except -1 nogil:
    cdef Py_ssize_t start = 0
    cdef int gate
    cdef char *rows = <char *>memory + plan.rows_from * plan.k.size
    cdef cgru_weights used = w[0]
    cdef Run run
    for gate in range(3 if plan.weights == IN_COLUMNS else 0):
        used.U[gate], used.V[gate] = transpose(w.U[gate]), transpose(w.V[gate])
    if plan.without_V:
        memset(&used.V[0], 0, sizeof(used.V))
    while start < call.m:
        if start:
            look_for_signals()
        prepare(&run, plan, call, memory, rows - start * plan.row * plan.k.size, &used if start == 0 else NULL)
        run.start, run.stop = start, min(start + plan.rows, call.m)
        in_pieces(call, run.stop - start, plan.k.size, (call.reverse != 0) != (plan.direction == BACKWARD), _piece,
                  &run)
        start += plan.rows
    return 0


cdef int perform(cgru_call *call, const cgru_weights *w, const cgru_kernels *k, Direction direction, void *memory,
                 int most) except -1 nogil:
    cdef Plan plan = plan_of(k, call, w, direction, most)
    return _drive(&plan, call, w, memory)


cdef int execute(cgru_call *call, const cgru_weights *w, const cgru_kernels *k, Direction direction) except -1:
    cdef Plan plan = plan_of(k, call, w, direction, available())
    cdef Workspace work = Workspace(plan.numbers, k.size)
    cdef void *memory = work.take(plan.numbers)
    with nogil:
        _drive(&plan, call, w, memory)
    return 0


def run(str direction not None, variant, dict p not None, dict arrays not None, tuple activations not None, order=None,
        running=None, *, bint reverse=False, bint fresh=False, bint padded=True, bint loose=False):
    """Run a call "forward" or "backward" and fill what is there of its outputs; for the tests.

    Args:
        direction: "backward" goes back through what "forward" ran.
        variant, p: a `cgru.variant.Variant` and its parameters.
        arrays: those of forward.pxd or backward.pxd by name, of one dtype, and `zoneout`, a mask (m, s, u), a rate or
            none.
        activations: (code, alpha) of activate, activate_update and activate_reset, as of `code_of`.
        order, running: (m,) intp, the samples, longest first, and (s,) how many of them have each step; None: all.
        reverse, fresh, padded, loose: as of cgru_call.
    """
    cdef cgru_call call = call_of(variant, cnp.PyArray_DIM(p["Vz"], 0), arrays, activations, order, running)
    cdef cgru_weights w
    call.reverse, call.fresh, call.padded, call.loose = reverse, fresh, padded, loose
    weights(&w, p, variant.names)
    execute(&call, &w, kernels(arrays["X"].itemsize), {"forward": FORWARD, "backward": BACKWARD}[direction])
