"""The layer forward: one step, then the sequence as a loop of it. The equations are those of cgru/reference.py.

Whatever is given here is trusted: the layer has checked it. All arrays are of one dtype, float32 or float64.
"""

cimport numpy as cnp
from libc.string cimport memset

from cgru.core.kernels cimport (
    ANYHOW, CGRU_C, CGRU_HH, CGRU_R, CGRU_STEPS, CGRU_Z, IN_COLUMNS, Lie, add_operand, along_e, by_rows, call_of,
    cgru_array, cgru_call, cgru_dots, cgru_kernels, cgru_matrix, cgru_operand, cgru_product, cgru_weights, hoists,
    in_pieces, is_brief, is_single, kernels, let_lie, lie_of, look_for_signals, new_product, odd_lines, pack, pack_bias,
    pack_gains, samples_at_once, steps_of_row, steps_of_single, transpose, weights, whole, whole_lines, with_operand,
)
from cgru.core.memory cimport Workspace
from cgru.core.threads cimport available, block_rows, share, worth

cnp.import_array()

cdef enum:
    PACKING = 40  # the weights; see `is_brief`


cdef void inputs(const Forward *f, Py_ssize_t t, Py_ssize_t row, Py_ssize_t rows) noexcept nogil:
    """x U + b of some rows, for the steps among which t is: their rows are the steps, so a tile is full."""
    cdef const cgru_call *call = f.call
    cdef Py_ssize_t size = f.k.size, first = t - t % CGRU_STEPS, i, sample, steps
    cdef cgru_product product
    cdef cgru_dots dots
    cdef cgru_operand x
    cdef char *to
    cdef int part
    for i in range(row, row + rows):
        steps = steps_of_row(call, i, first)
        if steps == 0:
            continue
        sample = call.order[i] if call.order != NULL else i
        to = <char *>call.rows + (i * call.ld + call.pre) * size
        x = cgru_operand(
            <char *>call.X.data + (sample * call.X.sample + first * call.X.step) * size, call.X.step, call.e
        )
        if f.dots.W != NULL:
            dots = f.dots
            dots.x, dots.out = x, cgru_array(to, 3 * call.up, call.up, 1)
            f.k.dots(&dots, steps)
            continue
        for part in range(1 if is_single(call) else 2):
            product = f.inputs[part]
            product.operand[0] = x
            product.out = cgru_array(to + part * 2 * call.up * size, 3 * call.up, 0, 1)
            f.k.product(&product, 0, 0, steps)


cdef void step(const Forward *f, const Products *each, Py_ssize_t t, Py_ssize_t row, Py_ssize_t rows) noexcept nogil:
    """Take `rows` rows from hp to h; where the x U + b stand there already, the products are those of hp alone."""
    cdef int part, parts = 3 if f.call.seen else 1
    # x = X[:, t];  hp as each gate sees it
    f.k.load(f.call, t, row, rows)
    if f.call.seen:
        f.k.see(f.call, row, rows)
    if f.call.norm:
        # 1. a = x [Ur Uz Uhh];  b = hp [Vr Vz Vhh]
        f.k.product(&each.of_X, t, row, rows)
        for part in range(parts):
            f.k.product(&each.of_hp[part], t, row, rows)
        # 2. nU = normal(a);  nV = normal(b);  r, z;  hh = activate(gU nU + bhh + r * (gV nV + chh));  h
        f.k.norm_forward(&f.norm, t, row, rows)
    elif f.call.after:
        # 1. r = activate_reset(x Ur + hp Vr + br);  z = activate_update(x Uz + hp Vz + bz)
        for part in range(min(parts, 2)):
            f.k.product(&each.gates[part], t, row, rows)
        # 2. r * c, c = hp Vhh + chh
        f.k.product(&each.of_hp[0], t, row, rows)
        # 3. hh = activate(x Uhh + bhh + r * c);  h = z * hp + (1 - z) * hh
        f.k.product(&each.candidate, t, row, rows)
    else:
        # 1. r = activate_reset(x Ur + hp Vr + br), r * hp;  z = activate_update(x Uz + hp Vz + bz)
        for part in range(min(parts, 2)):
            f.k.product(&each.gates[part], t, row, rows)
        # 2. hh = activate(x Uhh + (r * hp) Vhh + bhh);  h = z * hp + (1 - z) * hh
        f.k.product(&each.candidate, t, row, rows)


cdef bint is_padded(const cgru_call *call) noexcept nogil:
    """Whether anything is written past a sample's length. Forward's way back in `reverse` reads h there."""
    return call.hh.data != NULL and (call.padded or call.reverse)


cdef void block(void *work, Py_ssize_t part) noexcept nogil:
    """Take one block of rows through the sequence."""
    cdef Forward *f = <Forward *>work
    cdef Py_ssize_t row = f.start + part * f.rows, s = f.call.s, n, t
    cdef Py_ssize_t rows = min(f.rows, f.stop - row)
    cdef Py_ssize_t live = rows
    cdef bint padded = is_padded(f.call)
    cdef Py_ssize_t turn = CGRU_STEPS - 1 if f.call.reverse else 0  # where a block of steps begins
    if f.call.few:
        f.k.few_forward(&f.few, row, rows, f.first, f.last)
        return
    if f.first:
        f.k.start(f.call, row, rows)
    for n in range(s):
        t = s - 1 - n if f.call.reverse else n
        if f.call.running:
            live = max(0, min(rows, f.call.running[t] - row))
        if f.call.pre and (n == 0 or t % CGRU_STEPS == turn):
            inputs(f, t, row, rows)
        if live > 0:
            step(f, &f.fresh if n == 0 and f.first and f.call.h0.data == NULL else &f.each, t, row, live)
        if live < rows and padded:
            f.k.pad(f.call, t, row + live, rows - live)
    if f.last and f.call.last.data:
        f.k.finish(f.call, row, rows)


cdef Py_ssize_t pack_room(const cgru_call *call) noexcept nogil:
    """Numbers that the packed weights take."""
    return (3 * call.u + (10 if call.norm else 4)) * call.up + 3 * max(call.e * call.up, call.u * call.ep)


cdef Py_ssize_t row_room(const cgru_kernels *k, const cgru_call *call) noexcept nogil:
    """Numbers that a row takes."""
    cdef Py_ssize_t inputs = 3 * min(call.s, <Py_ssize_t>CGRU_STEPS) * call.up if hoists(k, call) else 0
    if call.few:
        return 3 + 2 * call.e + 7 * call.u
    if is_single(call):
        return 6 * call.up + inputs
    return odd_lines(seen_from(call) + (3 * call.up if call.recurrent.data != NULL else inputs), k.size)


cdef Py_ssize_t seen_from(const cgru_call *call) noexcept nogil:
    """Where in a row the parts that every call of several samples has are over."""
    return (7 if call.norm else 3) * call.up + call.ep


cdef Py_ssize_t rows_room(const cgru_kernels *k, const cgru_call *call) noexcept nogil:
    """Numbers that the rows take."""
    return whole(k, call, call.m) * row_room(k, call)


cdef void prepare(Forward *f, const cgru_kernels *k, cgru_call *call, void *packed, void *rows,
                  const cgru_weights *w) noexcept nogil:
    """A pass over `call` whose weights, of `pack_room` numbers, and rows, of `rows_room`, lie there. The weights are
    packed from `w`, or, where that is NULL, stand there already.
    """
    lay_out(f, k, call, packed, rows, w, NULL, ANYHOW)


cdef void lay_out(Forward *f, const cgru_kernels *k, cgru_call *call, void *packed, void *rows, const cgru_weights *w,
                  const cgru_weights *lying, Lie lie) noexcept nogil:
    """`prepare`; where weights are to be read where they lie, these are `lying`, as `by_rows` gives them, and `w` has
    no more than biases.
    """
    f.k, f.call, f.threads, f.ragged, f.start, f.stop = k, call, 1, False, 0, call.m
    f.lies = lie != ANYHOW
    call.rows, call.ld = rows, row_room(k, call)
    call.pre = 6 * call.up if is_single(call) else seen_from(call)
    if not (hoists(k, call) or f.lies and is_single(call)):  # of a single sample the sums are the same
        call.pre = 0
    call.seen = seen_from(call) if call.recurrent.data != NULL else 0
    f.dots.W = NULL
    if along_e(k, call) and (call.X.column == 1 or not call.few):
        lay_out_dots(f, <char *>packed, w)
    if call.few:
        lay_out_few(f, <char *>packed, w)
    elif call.norm:
        lay_out_norm(f, <char *>packed, w)
    elif is_single(call):
        lay_out_single(f, <char *>packed, w)
    elif call.after:
        lay_out_after(f, <char *>packed, w)
    else:
        lay_out_before(f, <char *>packed, w)
    if f.lies:
        let_all_lie(f, <char *>packed + pack_room(call) * k.size, lying, lie == IN_COLUMNS)
    if not is_single(call) and not call.few:
        part(f)


cdef void part(Forward *f) noexcept nogil:
    """The products of a step as the variant has laid them out, taken apart: what x adds, and what hp does."""
    cdef Products *each = &f.each
    cdef int n
    f.fresh = each[0]
    for n in range(3 if f.call.norm and f.call.seen else 1 if f.call.after else 0):
        f.fresh.of_hp[n] = with_operand(&each.of_hp[n], -1)
    if f.call.norm:
        return
    for n in range(2 if f.call.seen else 1):
        f.fresh.gates[n] = with_operand(&each.gates[n], 1)
    f.fresh.candidate = with_operand(&each.candidate, 0)
    if not f.call.pre:
        return
    f.dots.bias = each.gates[0].bias
    f.inputs[0], f.inputs[1] = f.fresh.gates[0], f.fresh.candidate
    f.inputs[0].epilogue = f.inputs[1].epilogue = f.k.put
    f.inputs[0].chains = f.inputs[1].chains = 1  # whatever number of steps there is
    each.gates[0] = with_operand(&each.gates[0], 0)
    each.candidate = with_operand(&each.candidate, -1 if f.call.after else 1)
    each.gates[0].bias = each.candidate.bias = NULL
    f.fresh.gates[0], f.fresh.candidate = with_operand(&each.gates[0], -1), with_operand(&each.candidate, -1)


cdef void lay_out_dots(Forward *f, char *to, const cgru_weights *w) noexcept nogil:
    """The transposes of U, behind whatever else there is; their bias where the other products had one."""
    cdef const cgru_call *call = f.call
    cdef Py_ssize_t u = call.u, up = call.up, size = f.k.size
    cdef int gate
    to += 3 * u * up * size
    f.dots.u, f.dots.up, f.dots.ep, f.dots.gate = u, up, call.ep, u * call.ep
    f.dots.bias, f.dots.W = to + (up * size if call.few else 0), to + 4 * up * size
    if w == NULL:
        return
    memset(<void *>f.dots.W, 0, 3 * u * call.ep * size)
    for gate in range(3):
        f.k.copy(transpose(w.U[gate]), u, call.e, <char *>f.dots.W + gate * u * call.ep * size, call.ep)
        if call.few:
            f.k.lay(w.b[gate], 1, u, <char *>f.dots.bias + gate * up * size)


cdef Py_ssize_t inner(const Forward *f) noexcept nogil:
    """The rows of U among the packed weights."""
    return f.call.e if f.dots.W == NULL else 0


cdef void lay_out_before(Forward *f, char *to, const cgru_weights *w) noexcept nogil:
    """The products of a step with the reset before; the rows are h | x | r * h | z."""
    cdef const cgru_call *call = f.call
    cdef Py_ssize_t u = call.u, e = inner(f), up = call.up, size = f.k.size
    cdef char *x = <char *>call.rows + up * size
    cdef char *bias = to + 3 * (u + e) * up * size
    lay_out_gates(f, to, bias, w)
    f.each.candidate = new_product(f.k, call, f.k.candidate, up, to + 2 * (u + e) * up * size, bias + 2 * up * size)
    add_operand(&f.each.candidate, x, call.ld, e)
    add_operand(&f.each.candidate, x + call.ep * size, call.ld, u)
    if w != NULL:
        pack(f.k, &f.each.candidate, 0, 0, w.U[CGRU_HH], e, u)
        pack(f.k, &f.each.candidate, e, 0, w.V[CGRU_HH], u, u)
        pack_bias(f.k, &f.each.candidate, 0, w.b[CGRU_HH], u)


cdef void lay_out_after(Forward *f, char *to, const cgru_weights *w) noexcept nogil:
    """The products of a step with the reset after; the rows are h | x | r, then r * c | z."""
    cdef const cgru_call *call = f.call
    cdef Py_ssize_t u = call.u, e = inner(f), up = call.up, size = f.k.size
    cdef char *x = <char *>call.rows + up * size
    cdef char *bias = to + 3 * (u + e) * up * size
    lay_out_gates(f, to, bias, w)
    f.each.candidate = new_product(f.k, call, f.k.candidate, up, to + 2 * (u + e) * up * size, bias + 2 * up * size)
    add_operand(&f.each.candidate, x, call.ld, e)
    f.each.of_hp[0] = new_product(f.k, call, f.k.recurrent, up, to + (2 * u + 3 * e) * up * size, bias + 3 * up * size)
    add_operand(&f.each.of_hp[0], seen_by(f, CGRU_HH), call.ld, u)
    if w != NULL:
        pack(f.k, &f.each.candidate, 0, 0, w.U[CGRU_HH], e, u)
        pack_bias(f.k, &f.each.candidate, 0, w.b[CGRU_HH], u)
        pack(f.k, &f.each.of_hp[0], 0, 0, w.V[CGRU_HH], u, u)
        pack_bias(f.k, &f.each.of_hp[0], 0, w.b[CGRU_C], u)


cdef char *seen_by(const Forward *f, int gate) noexcept nogil:
    """hp in the first row, as a gate sees it."""
    return <char *>f.call.rows + (f.call.seen + gate * f.call.up if f.call.seen else 0) * f.k.size


cdef void lay_out_gates(Forward *f, char *to, char *bias, const cgru_weights *w) noexcept nogil:
    """The product of r and z, side by side, from h and x; or one of each."""
    cdef const cgru_call *call = f.call
    cdef Py_ssize_t u = call.u, e = inner(f), up = call.up, size = f.k.size, column
    cdef cgru_product *product
    cdef int gate, part, parts = 2 if call.seen else 1
    for part in range(parts):
        product = &f.each.gates[part]
        product[0] = new_product(
            f.k, call, f.k.gates, 2 // parts * up, to + part * (u + e) * up * size, bias + part * up * size
        )
        product.column = part * up
        add_operand(product, seen_by(f, part), call.ld, u)
        add_operand(product, <char *>call.rows + up * size, call.ld, e)
    for gate in range(0 if w == NULL else 2):
        product = &f.each.gates[gate if parts == 2 else 0]
        column = 0 if parts == 2 else gate * up
        pack(f.k, product, 0, column, w.V[gate], u, u)
        pack(f.k, product, u, column, w.U[gate], e, u)
        pack_bias(f.k, product, column, w.b[gate], u)


cdef void lay_out_norm(Forward *f, char *to, const cgru_weights *w) noexcept nogil:
    """The products of a layer-normalised step, whose rows are h | x | a | b, a and b of r, z and hh."""
    cdef const cgru_kernels *k = f.k
    cdef const cgru_call *call = f.call
    cdef Py_ssize_t u = call.u, e = call.e, up = call.up, size = k.size
    cdef char *x = <char *>call.rows + up * size
    cdef char *a = x + call.ep * size
    cdef char *gains = to + 3 * (u + e) * up * size
    cdef char *bias = gains + 6 * up * size
    cdef int gate, part, parts = 3 if call.seen else 1
    f.each.of_X = new_product(k, call, k.put, 3 * up, to, NULL)
    add_operand(&f.each.of_X, x, call.ld, e)
    f.each.of_X.out = cgru_array(a, call.ld, 0, 1)
    for part in range(parts):
        f.each.of_hp[part] = new_product(k, call, k.put, 3 // parts * up, to + (3 * e + part * u) * up * size, NULL)
        add_operand(&f.each.of_hp[part], seen_by(f, part), call.ld, u)
        f.each.of_hp[part].out = cgru_array(a + (3 + part) * up * size, call.ld, 0, 1)
    f.norm.call, f.norm.gains, f.norm.bias = call, gains, bias
    if w == NULL:
        return
    for gate in range(3):
        pack(k, &f.each.of_X, 0, gate * up, w.U[gate], e, u)
        part = gate if parts == 3 else 0
        pack(k, &f.each.of_hp[part], 0, (gate - part) * up, w.V[gate], u, u)
    for gate in range(4):
        k.lay(w.b[gate], 1, u, bias + gate * up * size)
    pack_gains(k, w, u, up, gains)


cdef void lay_out_single(Forward *f, char *to, const cgru_weights *w) noexcept nogil:
    """The weights of a single sample."""
    cdef Py_ssize_t u = f.call.u, e = inner(f), up = f.call.up, size = f.k.size
    cdef int gate
    f.single.call, f.single.fresh, f.single.dots = f.call, False, NULL
    for gate in range(4):
        f.single.b[gate] = cgru_matrix(to + gate * up * size, 0, 1)
        if w != NULL and w.b[gate].data != NULL:
            f.k.lay(w.b[gate], 1, u, <void *>f.single.b[gate].data)
    to += 4 * up * size
    if f.dots.W != NULL:
        f.dots.bias, f.single.dots = f.single.b[0].data, &f.dots
    else:
        f.inputs[0] = new_product(f.k, f.call, f.k.put, 3 * up, to, f.single.b[0].data)
        f.inputs[0].chains = 1
        add_operand(&f.inputs[0], NULL, 0, e)
    f.single.U = to
    for gate in range(3):
        f.single.V[gate] = cgru_matrix(to + (3 * e + gate * u) * up * size, 0, 1)
        if w == NULL or w.V[gate].data == NULL:
            continue
        f.k.lay(w.V[gate], u, u, <void *>f.single.V[gate].data)
        if f.dots.W == NULL:
            pack(f.k, &f.inputs[0], 0, gate * up, w.U[gate], e, u)


cdef void lay_out_few(Forward *f, char *to, const cgru_weights *w) noexcept nogil:
    """The weights of few units, a row for each: those of its gates [b | V | U] and of its candidate [b | U | V]; where
    the reset comes after, that has its part of V, [b | V], for itself. Where the inputs have dots, neither U nor b.
    """
    cdef const cgru_call *call = f.call
    cdef Py_ssize_t u = call.u, e = inner(f), size = f.k.size, b = 1 if f.dots.W == NULL else 0, K = b + u + e
    cdef Py_ssize_t of_candidate = b + e if call.after else K
    cdef char *candidate = to + 2 * u * K * size
    cdef char *recurrent = candidate + u * of_candidate * size
    f.few.call, f.few.gates, f.few.candidate, f.few.recurrent, f.few.dots = call, to, candidate, recurrent, f.dots
    if w == NULL:
        return
    cdef int gate
    for gate in range(CGRU_R, CGRU_Z + 1):
        f.k.copy(transpose(w.b[gate]), u, b, to, K)
        f.k.copy(transpose(w.V[gate]), u, u, to + b * size, K)
        f.k.copy(transpose(w.U[gate]), u, e, to + (b + u) * size, K)
        to += u * K * size
    f.k.copy(transpose(w.b[CGRU_HH]), u, b, candidate, of_candidate)
    f.k.copy(transpose(w.U[CGRU_HH]), u, e, candidate + b * size, of_candidate)
    if call.after:
        f.k.copy(transpose(w.b[CGRU_C]), u, 1, recurrent, 1 + u)
        f.k.copy(transpose(w.V[CGRU_HH]), u, u, recurrent + size, 1 + u)
    else:
        f.k.copy(transpose(w.V[CGRU_HH]), u, u, candidate + (b + e) * size, of_candidate)


cdef void let_all_lie(Forward *f, void *sums, const cgru_weights *w, bint across) noexcept nogil:
    """Let all products read their weights where they lie."""
    cdef Products *each = &f.each
    cdef int gate
    if is_single(f.call):
        let_lie(&f.inputs[0], f.call.u, across, sums, &w.U[0], NULL, NULL)
        f.single.sums, f.single.across = sums, across
        for gate in range(3):
            f.single.V[gate] = w.V[gate]
        return
    let_lie(&each.gates[0], f.call.u, across, sums, &w.V[CGRU_R], &w.U[CGRU_R], NULL)
    let_lie(&each.candidate, f.call.u, across, sums, &w.U[CGRU_HH], &w.V[CGRU_HH], NULL)
    let_lie(&each.of_hp[0], f.call.u, across, sums, &w.V[CGRU_HH], NULL, NULL)


cdef void blocks_of_single(Forward *f, Py_ssize_t steps) noexcept nogil:
    """All steps of a single sample, whose inputs are multiplied some steps at a time."""
    cdef Py_ssize_t blocks = (steps + CGRU_STEPS - 1) // CGRU_STEPS, n, t
    for n in range(blocks):
        t = CGRU_STEPS * (blocks - 1 - n if f.call.reverse else n)
        inputs(f, t, 0, 1)
        f.k.single_forward(&f.single, t, min(steps, t + CGRU_STEPS))
        f.single.fresh = False


cdef void sequence(Forward *f, bint first, bint last) noexcept nogil:
    """All steps of the call; where they are the `first` ones of a sequence, from h0, and where they are the `last`,
    into `last`.
    """
    cdef cgru_call *call = f.call
    cdef Py_ssize_t steps, t
    cdef bint padded = is_padded(call)
    if is_single(call):
        steps = steps_of_single(call)
        if first:
            f.k.start(call, 0, 1)
        if call.reverse and padded:  # with the first state
            for t in range(steps, call.s):
                f.k.pad(call, t, 0, 1)
        f.single.fresh = first and call.h0.data == NULL
        if call.pre:
            blocks_of_single(f, steps)
        else:
            f.k.single_forward(&f.single, 0, steps)
        if not call.reverse and padded:
            for t in range(steps, call.s):
                f.k.pad(call, t, 0, 1)
        if last and call.last.data:
            f.k.finish(call, 0, 1)
        return
    f.first, f.last = first, last
    cdef Py_ssize_t m = f.stop - f.start
    f.rows = block_rows(m, call.ld * f.k.size, 3 * call.u * (call.e + call.u) * f.k.size, f.threads, f.ragged)
    f.rows = m if f.lies else whole(f.k, call, f.rows)  # the sums have one place
    share(block, f, (m + f.rows - 1) // f.rows, f.threads)


cdef void _piece(void *work, bint first, bint last) noexcept nogil:
    sequence(<Forward *>work, first, last)


cdef Py_ssize_t rows_place(const cgru_kernels *k, const cgru_call *call) noexcept nogil:
    """Where in the memory of `perform` the rows begin: behind the packed weights, and the sums of those that lie."""
    return whole_lines(pack_room(call) + (3 * CGRU_STEPS * call.up if is_brief(k, call, PACKING) else 0), k.size)


cdef Py_ssize_t room(const cgru_kernels *k, const cgru_call *call) noexcept nogil:
    """Numbers that `perform` takes: packed weights, and the rows of as many samples as run at once."""
    cdef Py_ssize_t row = row_room(k, call)
    if is_single(call) and is_brief(k, call, PACKING):
        row += 3 * CGRU_STEPS * call.up  # its inputs
    return rows_place(k, call) + whole(k, call, samples_at_once(call.m, row * k.size)) * row


cdef int perform(cgru_call *call, const cgru_weights *w, const cgru_kernels *k, void *memory,
                 int most) except -1 nogil:
    """The whole call in memory of `room` numbers, on `most` threads where it is worth it; a Ctrl-C ends it."""
    cdef Py_ssize_t row = row_room(k, call), start = 0
    cdef Py_ssize_t some = whole(k, call, samples_at_once(call.m, row * k.size))
    cdef char *rows = <char *>memory + rows_place(k, call) * k.size
    cdef Lie lie = lie_of(w, call.e, call.u) if is_brief(k, call, PACKING) else ANYHOW
    if lie == IN_COLUMNS and not call.loose:
        lie = ANYHOW
    cdef cgru_weights used = w[0], lying = by_rows(w, lie)
    cdef Forward f
    if lie != ANYHOW or call.s == 1 and call.h0.data == NULL and not is_single(call) and not call.few:
        memset(&used.V[0], 0, sizeof(used.V))  # nothing is multiplied with them
    if lie != ANYHOW:
        memset(&used.U[0], 0, sizeof(used.U))
    while start < call.m:
        if start:
            look_for_signals()
        lay_out(&f, k, call, memory, rows - start * row * k.size, &used if start == 0 else NULL, &lying, lie)
        f.start, f.stop = start, min(start + some, call.m)
        f.threads = worth(6.0 * call.m * call.s * call.u * (call.e + call.u), most)
        f.ragged = call.running != NULL
        in_pieces(call, f.stop - f.start, k.size, call.reverse, _piece, &f)
        start += some
    return 0


cdef int execute(cgru_call *call, const cgru_weights *w, const cgru_kernels *k) except -1:
    """`perform` with memory of its own."""
    cdef Py_ssize_t numbers = room(k, call)
    cdef Workspace work = Workspace(numbers, k.size)
    cdef void *memory = work.take(numbers)
    with nogil:
        perform(call, w, k, memory, available())
    return 0


def run(variant, dict p not None, dict arrays not None, tuple activations not None, order=None, running=None,
        bint reverse=False, bint padded=True, bint loose=False):
    """Run the sequences X and fill what is there of the outputs; for the tests, the layer's passes call `execute`.

    Args:
        variant, p: a `cgru.variant.Variant` and its parameters.
        arrays: those of forward.pxd by name, of one dtype, and `zoneout`, a mask (m, s, u) or a rate, or none.
        activations: (code, alpha) of activate, activate_update and activate_reset, as of `code_of`.
        order, running: (m,) intp, the samples, longest first, and (s,) how many of them have each step; None: all.
        reverse, padded, loose: as of cgru_call.
    """
    cdef cgru_call call = call_of(variant, cnp.PyArray_DIM(p["Vz"], 0), arrays, activations, order, running)
    cdef cgru_weights w
    call.reverse, call.padded, call.loose = reverse, padded, loose
    weights(&w, p, variant.names)
    execute(&call, &w, kernels(arrays["X"].itemsize))
