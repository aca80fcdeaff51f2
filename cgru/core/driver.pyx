"""One driver for both directions: what a call does with the products that forward.pyx and backward.pyx lay out."""

from libc.string cimport memset

from cgru.core.kernels cimport (
    CGRU_STEPS, add_operand, cgru_operand, in_pieces, look_for_signals, new_product, pack, pack_bias, steps_of_row,
    steps_of_single, transpose, with_operand,
)
from cgru.core.memory cimport Workspace
from cgru.core.plan cimport (
    BACKWARD, EACH_STEP, FORWARD, IN_COLUMNS, IN_ROWS, PACKED, SAMPLES, SINGLE, UNITS, plan_of, seen_from,
    whole,
)
from cgru.core.threads cimport available, block_rows, share


# --- products ---

cdef cgru_product *new_part(Run *run, cgru_epilogue *epilogue, Py_ssize_t columns, const void *weights,
                            const void *bias) noexcept nogil:
    cdef cgru_product *product = &run.each[run.products]
    run.of_x[run.products] = -1
    run.products += 1
    product[0] = new_product(run.plan.k, run.call, epilogue, columns, weights, bias)
    return product


cdef void multiply(cgru_product *product, const void *rows, Py_ssize_t ld, Py_ssize_t k,
                   const cgru_matrix *W) noexcept nogil:
    product.lies[product.operands] = W
    add_operand(product, rows, ld, k)


cdef void fill(Run *run, cgru_product *product, int gates, Py_ssize_t n, const cgru_matrix *b) noexcept nogil:
    cdef bint back = run.plan.direction == BACKWARD
    cdef Py_ssize_t k0 = 0, width = product.columns // gates
    cdef int gate, o
    cdef cgru_matrix W
    for gate in range(gates if run.packs and b != NULL else 0):
        pack_bias(run.plan.k, product, gate * width, b[gate], n)
    if run.plan.weights != PACKED:  # a product wants them as they lie, or their transposes
        product.width, product.across = n, run.plan.weights == (IN_ROWS if back else IN_COLUMNS)
        product.sums = run.sums
        return
    for o in range(product.operands):
        for gate in range(gates if run.packs else 0):
            W = product.lies[o][gate]
            pack(run.plan.k, product, k0, gate * width, transpose(W) if back else W, product.operand[o].k, n)
        k0 += product.operand[o].k
        product.lies[o] = NULL


cdef void take_ahead(Run *run, const cgru_product *product, Py_ssize_t ld, Py_ssize_t column) noexcept nogil:
    cdef cgru_product *ahead = &run.ahead[run.ahead_products]
    run.ahead_products += 1
    ahead[0] = product[0]
    ahead.epilogue, ahead.chains, ahead.column = run.plan.k.put, 1, column  # whatever number of steps there is
    ahead.out = cgru_array(NULL, ld, 0, 1)


cdef void _take_apart(Run *run) noexcept nogil:
    """The products of a step forward, as the variant has laid them out, taken apart: what x adds, and what hp does."""
    cdef cgru_product all
    cdef int n, x
    run.fresh_products = run.products
    for n in range(run.products):
        all, x = run.each[n], run.of_x[n]
        run.fresh[n] = with_operand(&all, x)
        if x < 0 or not run.call.pre:
            continue
        if n == 0:
            run.dots.bias = all.bias
        take_ahead(run, &run.fresh[n], 3 * run.call.up, 2 * run.ahead_products * run.call.up)
        run.each[n] = with_operand(&all, 1 - x if all.operands > 1 else -1)
        run.each[n].bias = NULL
        run.fresh[n] = with_operand(&run.each[n], -1)


cdef void begin(Run *run, const Plan *plan, cgru_call *call, void *packed, void *rows, const cgru_weights *w,
                lay_out_products *lay_out) noexcept nogil:
    run.plan, run.call, run.start, run.stop, run.packs = plan[0], call, 0, call.m, w != NULL
    if w != NULL:
        run.w = w[0]
    run.sums, run.dots.W = <char *>packed + plan.packed * plan.k.size, NULL
    run.products = run.fresh_products = run.ahead_products = 0
    call.rows, call.ld, call.pre, call.seen = rows, plan.row, 0, 0
    if plan.direction == FORWARD and plan.inputs != EACH_STEP and plan.layout != SAMPLES:
        call.pre = 6 * call.up if plan.layout == SINGLE else seen_from(call)
    if plan.direction == FORWARD and call.recurrent.data != NULL:
        call.seen = seen_from(call)
    lay_out(run, <char *>packed)
    if plan.direction == FORWARD and plan.layout == UNITS and (plan.fresh or call.pre):
        _take_apart(run)


# --- steps ---

cdef void _inputs(const Run *run, Py_ssize_t t, Py_ssize_t row, Py_ssize_t rows) noexcept nogil:
    """x U + b, or dX, of some rows, for the steps among which t is: their rows are the steps, so a tile is full."""
    cdef const cgru_call *call = run.call
    cdef const cgru_kernels *k = run.plan.k
    cdef Py_ssize_t first = t - t % CGRU_STEPS, i, sample, steps
    cdef const cgru_array *of
    cdef cgru_product product
    cdef cgru_dots dots
    cdef char *to
    cdef int n, o
    for i in range(row, row + rows):
        steps = steps_of_row(call, i, first)
        if steps == 0:
            continue
        sample = call.order[i] if call.order != NULL else i
        if run.plan.direction == FORWARD:
            to = <char *>call.rows + (i * call.ld + call.pre) * k.size
        else:
            to = _at(&call.dX, sample, first, k.size)
        if run.dots.W != NULL:
            dots = run.dots
            dots.x = cgru_operand(_at(&call.X, sample, first, k.size), call.X.step, call.e)
            dots.out = cgru_array(to, 3 * call.up, call.up, 1)
            k.dots(&dots, steps)
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
        if run.call.norm:
            k.norm_backward(&run.norm, t, row, rows)
    else:
        k.load(run.call, t, row, rows)
        if run.call.seen:
            k.see(run.call, row, rows)
    for n in range(run.fresh_products if fresh else run.products):
        k.product(&products[n], t, row, rows)
    if run.call.norm and not back:
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
    if run.plan.layout == SAMPLES:
        (k.few_backward if back else k.few_forward)(&run.few, row, rows, run.first, run.last)
        return
    ahead = ahead or run.dots.W != NULL
    if run.first:
        k.start(call, row, rows)
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
        k.finish(call, row, rows)


cdef void _single(Run *run, bint first, bint last) noexcept nogil:
    """All steps of a single sample, whose inputs are multiplied some steps at a time."""
    cdef const cgru_kernels *k = run.plan.k
    cdef const cgru_call *call = run.call
    cdef bint back = run.plan.direction == BACKWARD
    cdef Py_ssize_t steps = steps_of_single(call), blocks = (steps + CGRU_STEPS - 1) // CGRU_STEPS, n, t
    if first:
        k.start(call, 0, 1)
    if call.reverse:  # h with the first state
        _pad_single(run, steps)
    run.single.fresh = first and run.plan.fresh
    if back:
        k.single_backward(&run.single, steps)
    elif not call.pre:
        k.single_forward(&run.single, 0, steps)
    for n in range(blocks if call.pre or back and call.dX.data else 0):
        t = CGRU_STEPS * (blocks - 1 - n if call.reverse else n)
        _inputs(run, t, 0, 1)
        if not back:
            k.single_forward(&run.single, t, min(steps, t + CGRU_STEPS))
            run.single.fresh = False
    if not call.reverse:
        _pad_single(run, steps)
    if last and call.last.data:
        k.finish(call, 0, 1)


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
    share(_block, run, (m + run.rows - 1) // run.rows, plan.threads)


cdef void _piece(void *work, bint first, bint last) noexcept nogil:
    sequence(<Run *>work, first, last)


cdef int drive(const Plan *plan, cgru_call *call, const cgru_weights *w, void *memory,
               lay_out_products *lay_out) except -1 nogil:
    cdef Py_ssize_t start = 0
    cdef int gate
    cdef char *rows = <char *>memory + plan.rows_from * plan.k.size
    cdef cgru_weights used = w[0]
    cdef Run run
    for gate in range(3 if plan.weights == IN_COLUMNS else 0):
        used.U[gate], used.V[gate] = transpose(w.U[gate]), transpose(w.V[gate])
    if plan.weights == PACKED and call.s == 1 and plan.fresh and plan.layout == UNITS:
        memset(&used.V[0], 0, sizeof(used.V))  # nothing is multiplied with them
    while start < call.m:
        if start:
            look_for_signals()
        begin(&run, plan, call, memory, rows - start * plan.row * plan.k.size, &used if start == 0 else NULL, lay_out)
        run.start, run.stop = start, min(start + plan.rows, call.m)
        in_pieces(call, run.stop - start, plan.k.size, (call.reverse != 0) != (plan.direction == BACKWARD), _piece,
                  &run)
        start += plan.rows
    return 0


cdef int execute(cgru_call *call, const cgru_weights *w, const cgru_kernels *k, Direction direction,
                 lay_out_products *lay_out) except -1:
    cdef Plan plan = plan_of(k, call, w, direction, available())
    cdef Workspace work = Workspace(plan.numbers, k.size)
    cdef void *memory = work.take(plan.numbers)
    with nogil:
        drive(&plan, call, w, memory, lay_out)
    return 0
