"""The layer backward: one step, then the sequence as a loop of it. The equations are those of cgru/reference.py.

Whatever is given here is trusted: the layer has checked it. All arrays are of one dtype, float32 or float64.
"""

cimport numpy as cnp
from libc.string cimport memset

from cgru.core.kernels cimport (
    ANYHOW, CGRU_HH, CGRU_R, CGRU_STEPS, CGRU_Z, IN_ROWS, Lie, add_operand, along_e, by_rows, call_of, cgru_array,
    cgru_call, cgru_kernels, cgru_matrix, cgru_operand, cgru_product, cgru_weights, hoists, in_pieces, is_brief,
    is_single, kernels, let_lie, lie_of, look_for_signals, mask_of, new_product, odd_lines, pack, pack_gains,
    samples_at_once, steps_of_row, steps_of_single, transpose, weights, whole, whole_lines, with_operand,
)
from cgru.core.memory cimport Workspace
from cgru.core.threads cimport available, block_rows, share, worth

cnp.import_array()

cdef enum:
    PACKING = 20  # the weights, of which the transposes are read; see `is_brief`


cdef cgru_operand steps_of(const cgru_array *array, Py_ssize_t sample, Py_ssize_t first, Py_ssize_t u,
                           int size) noexcept nogil:
    """The rows that a sample's steps from `first` on have there."""
    return cgru_operand(<char *>array.data + (sample * array.sample + first * array.step) * size, array.step, u)


cdef void inputs(const Backward *b, Py_ssize_t t, Py_ssize_t row, Py_ssize_t rows) noexcept nogil:
    """dX of some rows, for the steps among which t is: their rows are the steps, so a tile is full."""
    cdef const cgru_call *call = b.call
    cdef Py_ssize_t first = t - t % CGRU_STEPS, i, sample, steps
    cdef cgru_product product = b.dX
    cdef int size = b.k.size
    for i in range(row, row + rows):
        steps = steps_of_row(call, i, first)
        if steps == 0:
            continue
        sample = call.order[i] if call.order != NULL else i
        product.operand[0] = steps_of(&call.dhh_, sample, first, call.u, size)
        product.operand[1] = steps_of(&call.dz_, sample, first, call.u, size)
        product.operand[2] = steps_of(&call.dr_, sample, first, call.u, size)
        product.out.data = <char *>call.dX.data + (sample * call.dX.sample + first * call.dX.step) * size
        b.k.product(&product, 0, 0, steps)


cdef void states(const Backward *b, Py_ssize_t t, Py_ssize_t row, Py_ssize_t rows, bint fresh) noexcept nogil:
    """What goes back to hp: of all gates together, or, where each saw another one, of one after the other."""
    cdef int part
    for part in range(0 if fresh else b.parts):
        b.k.product(&b.state[part], t, row, rows)


cdef void step(const Backward *b, Py_ssize_t t, Py_ssize_t row, Py_ssize_t rows, bint fresh) noexcept nogil:
    """Take `rows` rows from dhn to dh, which is not wanted of a `fresh` step, whose hp is zero."""
    # 1. dh_ = dA + dhn;  dhh_ = dh_ * (1 - z) * activate'(hh_);  dz_ = dh_ * (hp - hh) * activate_update'(z_)
    #    dh = dh_ * z;  and where the reset comes after, dr_ = dhh_ * c * activate_reset'(r_);  dc = dhh_ * r
    b.k.gates_backward(b.call, t, row, rows)
    if b.call.norm:
        # 2. dU_, dV_ = dL/da, dL/db from gU (dr_, dz_, dhh_), gV (dr_, dz_, dc)
        b.k.norm_backward(&b.norm, t, row, rows)
        # 3. dh += dV_ [Vr Vz Vhh]^T
        states(b, t, row, rows, fresh)
        # 4. dX = dU_ [Ur Uz Uhh]^T, below
    elif b.call.after:
        # 2. dh += dc Vhh^T + dz_ Vz^T + dr_ Vr^T
        states(b, t, row, rows, fresh)
        # 3. dX = dhh_ Uhh^T + dz_ Uz^T + dr_ Ur^T, below
    else:
        # 2. dr_ = (dhh_ Vhh^T) * hp * activate_reset'(r_);  dh += (dhh_ Vhh^T) * r
        b.k.product(&b.no_reset if fresh else &b.reset, t, row, rows)
        # 3. dh += dz_ Vz^T + dr_ Vr^T
        states(b, t, row, rows, fresh)
        # 4. dX = dhh_ Uhh^T + dz_ Uz^T + dr_ Ur^T, below
    if b.call.dX.data and not b.later:
        b.k.product(&b.dX, t, row, rows)


cdef bint ends_fresh(const cgru_call *call) noexcept nogil:
    """Whether V has no part in the last step to go back through."""
    return call.fresh and call.dh.data == NULL and call.last.data == NULL


cdef void block(void *work, Py_ssize_t part) noexcept nogil:
    """Take one block of rows back through the sequence."""
    cdef Backward *b = <Backward *>work
    cdef Py_ssize_t row = b.start + part * b.rows, s = b.call.s, n, t
    cdef Py_ssize_t rows = min(b.rows, b.stop - row)
    cdef Py_ssize_t live = rows
    cdef Py_ssize_t turn = CGRU_STEPS - 1 if b.call.reverse else 0  # where a block of steps ends
    if b.call.few:
        b.k.few_backward(&b.few, row, rows, b.first, b.last)
        return
    if b.first:
        b.k.start(b.call, row, rows)
    for n in range(s):
        t = n if b.call.reverse else s - 1 - n
        if b.call.running:
            live = max(0, min(rows, b.call.running[t] - row))
        if live < rows and b.call.padded:
            b.k.pad_backward(b.call, t, row + live, rows - live)
        if live > 0:
            step(b, t, row, live, n == s - 1 and b.last and ends_fresh(b.call))
        if b.later and (n == s - 1 or t % CGRU_STEPS == turn):
            inputs(b, t, row, rows)
    if b.last and b.call.last.data:
        b.k.finish(b.call, row, rows)


cdef Py_ssize_t pack_room(const cgru_call *call) noexcept nogil:
    """Numbers that the packed weights take."""
    return 3 * call.u * (call.up + call.ep) + (6 * call.up if call.norm else 0)


cdef Py_ssize_t row_room(const cgru_kernels *k, const cgru_call *call) noexcept nogil:
    """Numbers that a row takes."""
    if call.few:
        return 1 + 5 * call.u + max(call.u, call.e)
    return odd_lines((11 if call.norm else 4 + call.after) * call.up, k.size)


cdef Py_ssize_t rows_room(const cgru_kernels *k, const cgru_call *call) noexcept nogil:
    """Numbers that the rows take."""
    return whole(k, call, call.m) * row_room(k, call)


cdef void prepare(Backward *b, const cgru_kernels *k, cgru_call *call, void *packed, void *rows,
                  const cgru_weights *w) noexcept nogil:
    """A pass over `call` whose weights, transposed, of `pack_room` numbers, and rows, of `rows_room`, lie there. The
    weights are packed from `w`, or, where that is NULL, stand there already.
    """
    lay_out(b, k, call, packed, rows, w, NULL, ANYHOW)


cdef void lay_out(Backward *b, const cgru_kernels *k, cgru_call *call, void *packed, void *rows, const cgru_weights *w,
                  const cgru_weights *lying, Lie lie) noexcept nogil:
    """`prepare`; where weights are to be read where they lie, these are `lying`, as `by_rows` gives them, and `w` has
    none.
    """
    b.k, b.call, b.threads, b.ragged, b.start, b.stop = k, call, 1, False, 0, call.m
    b.lies = lie != ANYHOW
    b.later = call.dX.data != NULL and hoists(k, call)
    call.rows, call.ld, call.pre, call.seen = rows, row_room(k, call), 0, 0
    if call.few:
        lay_out_few(b, <char *>packed, w)
    elif call.norm:
        lay_out_norm(b, <char *>packed, w)
    elif is_single(call) and not b.lies:
        lay_out_single(b, <char *>packed, w)
    elif call.after:
        lay_out_after(b, <char *>packed, w)
    else:
        lay_out_before(b, <char *>packed, w)
    if b.lies:
        let_all_lie(b, <char *>packed + pack_room(call) * k.size, lying, lie == IN_ROWS)


cdef void let_all_lie(Backward *b, void *sums, const cgru_weights *w, bint across) noexcept nogil:
    """Let all products read the weights where they lie: it is their transposes that a product wants."""
    let_lie(&b.state[0], b.call.u, across, sums, &w.V[CGRU_Z], &w.V[CGRU_R], &w.V[CGRU_HH])
    let_lie(&b.reset, b.call.u, across, sums, &w.V[CGRU_HH], NULL, NULL)
    let_lie(&b.dX, b.call.e, across, sums, &w.U[CGRU_HH], &w.U[CGRU_Z], &w.U[CGRU_R])


cdef void lay_out_state(Backward *b, int gates, const int *gate, const char *const *d, char *to,
                        const cgru_weights *w) noexcept nogil:
    """dh += d V^T of some gates, whose d stand at `d` in the first row."""
    cdef const cgru_call *call = b.call
    cdef Py_ssize_t u = call.u, up = call.up
    cdef cgru_product *product
    cdef int n
    b.parts = gates if call.recurrent.data != NULL else 1
    for n in range(b.parts):
        b.state[n] = new_product(b.k, call, b.k.state_backward, up, to + n * u * up * b.k.size, NULL)
        b.state[n].mask = mask_of(call, gate[n], b.k.size)
    for n in range(gates):
        add_operand(&b.state[n if b.parts > 1 else 0], d[n], call.ld, u)
    for n in range(0 if w == NULL else gates):
        product = &b.state[n if b.parts > 1 else 0]
        pack(b.k, product, 0 if b.parts > 1 else n * u, 0, transpose(w.V[gate[n]]), u, u)


cdef void lay_out_before(Backward *b, char *to, const cgru_weights *w) noexcept nogil:
    """The products of a step with the reset before; the rows are dh | dhh_ | dz_ | dr_."""
    cdef const cgru_call *call = b.call
    cdef Py_ssize_t u = call.u, up = call.up, size = b.k.size
    cdef char *dhh_ = <char *>call.rows + up * size
    cdef char *dz_ = dhh_ + up * size
    b.reset = new_product(b.k, call, b.k.reset_backward, up, to, NULL)
    b.reset.mask = mask_of(call, CGRU_HH, size)
    add_operand(&b.reset, dhh_, call.ld, u)
    b.no_reset = with_operand(&b.reset, -1)
    if w != NULL:
        pack(b.k, &b.reset, 0, 0, transpose(w.V[CGRU_HH]), u, u)
    lay_out_state(b, 2, [CGRU_Z, CGRU_R], [dz_, dz_ + up * size], to + u * up * size, w)
    lay_out_dX(b, to + 3 * u * up * size, w)


cdef void lay_out_after(Backward *b, char *to, const cgru_weights *w) noexcept nogil:
    """The products of a step with the reset after; the rows are dh | dhh_ | dz_ | dr_ | dc."""
    cdef Py_ssize_t step = b.call.up * b.k.size
    cdef char *dz_ = <char *>b.call.rows + 2 * step
    lay_out_state(b, 3, [CGRU_Z, CGRU_R, CGRU_HH], [dz_, dz_ + step, dz_ + 2 * step], to, w)
    lay_out_dX(b, to + 3 * b.call.u * step, w)


cdef void lay_out_dX(Backward *b, char *to, const cgru_weights *w) noexcept nogil:
    """The product of a step's dX, from dhh_ | dz_ | dr_."""
    cdef const cgru_call *call = b.call
    cdef Py_ssize_t part
    b.dX = new_product(b.k, call, b.k.put if b.later else b.k.input_backward, call.e, to, NULL)
    for part in range(1, 4):
        add_operand(&b.dX, <char *>call.rows + part * call.up * b.k.size, call.ld, call.u)
    if b.later:  # whose rows are steps, whatever number of them
        b.dX.out, b.dX.chains = cgru_array(NULL, call.dX.step, 0, 1), 1
    if w != NULL:
        pack_U(b, w)


cdef void lay_out_norm(Backward *b, char *to, const cgru_weights *w) noexcept nogil:
    """The products of a layer-normalised step, whose rows are dh | dhh_ | dz_ | dr_ | dc | dU_ | dV_, the last
    two of r, z and hh.
    """
    cdef const cgru_kernels *k = b.k
    cdef const cgru_call *call = b.call
    cdef Py_ssize_t u = call.u, e = call.e, up = call.up, size = k.size
    cdef char *dU_ = <char *>call.rows + 5 * up * size
    cdef char *dV_ = dU_ + 3 * up * size
    cdef char *gains = to + 3 * u * (up + call.ep) * size
    cdef int gate
    lay_out_state(b, 3, [CGRU_R, CGRU_Z, CGRU_HH], [dV_, dV_ + up * size, dV_ + 2 * up * size], to, w)
    b.dX = new_product(k, call, k.input_backward, e, to + 3 * u * up * size, NULL)
    for gate in range(CGRU_HH, CGRU_R - 1, -1):
        add_operand(&b.dX, dU_ + gate * up * size, call.ld, u)
    b.norm.call, b.norm.gains, b.norm.bias = call, gains, NULL
    if w == NULL:
        return
    pack_U(b, w)
    pack_gains(k, w, u, up, gains)


cdef void lay_out_single(Backward *b, char *to, const cgru_weights *w) noexcept nogil:
    """The weights of a single sample, and the one product of all its steps."""
    cdef const cgru_call *call = b.call
    cdef Py_ssize_t u = call.u, up = call.up, size = b.k.size
    cdef int gate, _gate
    b.single.call = call
    for gate in range(3):
        b.single.V[gate] = cgru_matrix(to + gate * u * up * size, 0, 1)
    b.dX = new_product(b.k, call, b.k.put, call.e, to + 3 * u * up * size, NULL)
    b.dX.out, b.dX.chains = cgru_array(NULL, call.dX.step, 0, 1), 1
    for _gate in range(3):
        add_operand(&b.dX, NULL, 0, u)
    if w == NULL:
        return
    for gate in range(3):
        b.k.lay(transpose(w.V[gate]), u, u, <void *>b.single.V[gate].data)
    pack_U(b, w)


cdef void lay_out_few(Backward *b, char *to, const cgru_weights *w) noexcept nogil:
    """The weights of few units, a row for each unit: Vhh, [Vz | Vr] and, where the reset comes after, Vhh behind these;
    and for each input [Uhh | Uz | Ur], or, where lanes are elements, the product of one dX.
    """
    cdef const cgru_call *call = b.call
    cdef Py_ssize_t u = call.u, e = call.e, size = b.k.size, K = 3 * u if call.after else 2 * u, part = u * size
    cdef char *reset = to + u * K * size
    cdef char *dX = to + 3 * u * u * size
    b.few.call, b.few.state, b.few.reset, b.few.input, b.few.wide = call, to, reset, dX, NULL
    if along_e(b.k, call) and call.dX.column == 1:
        b.dX = new_product(b.k, call, b.k.put, e, dX, NULL)
        add_operand(&b.dX, NULL, 3 * u, 3 * u)
        b.few.wide = &b.dX
    if w == NULL:
        return
    b.k.copy(w.V[CGRU_Z], u, u, to, K)
    b.k.copy(w.V[CGRU_R], u, u, to + part, K)
    if call.after:
        b.k.copy(w.V[CGRU_HH], u, u, to + 2 * part, K)
    else:
        b.k.copy(w.V[CGRU_HH], u, u, reset, u)
    if b.few.wide != NULL:
        pack_U(b, w)
        return
    b.k.copy(w.U[CGRU_HH], e, u, dX, 3 * u)
    b.k.copy(w.U[CGRU_Z], e, u, dX + part, 3 * u)
    b.k.copy(w.U[CGRU_R], e, u, dX + 2 * part, 3 * u)


cdef void pack_U(Backward *b, const cgru_weights *w) noexcept nogil:
    """The weights of dX, those of hh, z and r, as its operands stand."""
    cdef Py_ssize_t u = b.call.u, e = b.call.e
    pack(b.k, &b.dX, 0, 0, transpose(w.U[CGRU_HH]), u, e)
    pack(b.k, &b.dX, u, 0, transpose(w.U[CGRU_Z]), u, e)
    pack(b.k, &b.dX, 2 * u, 0, transpose(w.U[CGRU_R]), u, e)


cdef void sequence(Backward *b, bint first, bint last) noexcept nogil:
    """All steps of the call, from the one that ran last; where they are the `first` ones to go back through, from
    dL/d(last state), and where they are the `last`, to dL/dh0.
    """
    cdef cgru_call *call = b.call
    cdef Py_ssize_t steps, t
    if is_single(call) and not b.lies:
        steps = steps_of_single(call)
        if first:
            b.k.start(call, 0, 1)
        for t in range(steps, call.s if call.padded else steps):
            b.k.pad_backward(call, t, 0, 1)
        b.k.single_backward(&b.single, steps)
        t = 0
        while call.dX.data and t < steps:
            inputs(b, t, 0, 1)
            t += CGRU_STEPS
        if last and call.last.data:
            b.k.finish(call, 0, 1)
        return
    b.first, b.last = first, last
    cdef Py_ssize_t m = b.stop - b.start
    b.rows = whole(b.k, call, block_rows(m, call.ld * b.k.size, 3 * call.u * call.u * b.k.size, b.threads, b.ragged))
    if b.lies:
        b.rows = m  # the sums have one place
    share(block, b, (m + b.rows - 1) // b.rows, b.threads)


cdef void _piece(void *work, bint first, bint last) noexcept nogil:
    sequence(<Backward *>work, first, last)


cdef Py_ssize_t rows_place(const cgru_kernels *k, const cgru_call *call) noexcept nogil:
    """Where in the memory of `perform` the rows begin: behind the packed weights, and the sums of those that lie."""
    cdef Py_ssize_t sums = CGRU_STEPS * max(call.up, call.ep) if is_brief(k, call, PACKING) else 0
    return whole_lines(pack_room(call) + sums, k.size)


cdef Py_ssize_t room(const cgru_kernels *k, const cgru_call *call) noexcept nogil:
    """Numbers that `perform` takes: packed weights, and the rows of as many samples as run at once."""
    cdef Py_ssize_t row = row_room(k, call)
    return rows_place(k, call) + whole(k, call, samples_at_once(call.m, row * k.size)) * row


cdef int perform(cgru_call *call, const cgru_weights *w, const cgru_kernels *k, void *memory,
                 int most) except -1 nogil:
    """The whole call in memory of `room` numbers, on `most` threads where it is worth it; a Ctrl-C ends it."""
    cdef Py_ssize_t row = row_room(k, call), start = 0
    cdef Py_ssize_t some = whole(k, call, samples_at_once(call.m, row * k.size))
    cdef char *rows = <char *>memory + rows_place(k, call) * k.size
    cdef Lie lie = lie_of(w, call.e, call.u) if is_brief(k, call, PACKING) else ANYHOW
    cdef cgru_weights used = w[0], lying = by_rows(w, lie)
    cdef Backward b
    if lie != ANYHOW or call.s == 1 and ends_fresh(call) and not is_single(call) and not call.few:
        memset(&used.V[0], 0, sizeof(used.V))  # nothing is multiplied with them
    if lie != ANYHOW:
        memset(&used.U[0], 0, sizeof(used.U))
    while start < call.m:
        if start:
            look_for_signals()
        lay_out(&b, k, call, memory, rows - start * row * k.size, &used if start == 0 else NULL, &lying, lie)
        b.start, b.stop = start, min(start + some, call.m)
        b.threads = worth(6.0 * call.m * call.s * call.u * (call.e + call.u), most)
        b.ragged = call.running != NULL
        in_pieces(call, b.stop - b.start, k.size, not call.reverse, _piece, &b)
        start += some
    return 0


cdef int execute(cgru_call *call, const cgru_weights *w, const cgru_kernels *k) except -1:
    """`perform` with memory of its own."""
    cdef Workspace work = Workspace(room(k, call), k.size)
    cdef void *memory = work.take(room(k, call))
    cdef int most = available()
    with nogil:
        perform(call, w, k, memory, most)
    return 0


def run(variant, dict p not None, dict arrays not None, tuple activations not None, order=None, running=None,
        bint reverse=False, bint fresh=False, bint padded=True):
    """Go back through what `cgru.core.forward.run` ran: the same arguments, and the arrays of backward.pxd; `fresh`: it
    had no h0.
    """
    cdef cgru_call call = call_of(variant, cnp.PyArray_DIM(p["Vz"], 0), arrays, activations, order, running)
    cdef cgru_weights w
    call.reverse, call.fresh, call.padded = reverse, fresh, padded
    weights(&w, p, variant.names)
    execute(&call, &w, kernels(arrays["X"].itemsize))
