"""The layer forward: one step, then the sequence as a loop of it. The equations are those of cgru/reference.py.

Whatever is given here is trusted: layer.py has checked it. All arrays are of one dtype, float32 or float64.
"""

cimport numpy as cnp

from cgru.core.kernels cimport (
    CGRU_C, CGRU_HH, add_operand, array, cgru_call, cgru_kernels, cgru_matrix, cgru_weights, in_pieces, kernels, new_call,
    new_product, odd_lines, options, pack, pack_bias, steps_of_single, weights,
)
from cgru.core.memory cimport Workspace
from cgru.core.threads cimport block_rows, share, threads_for

cnp.import_array()

cdef enum:
    FEW = 4  # steps that are over before the weights would be laid out


cdef void step(const Forward *f, Py_ssize_t t, Py_ssize_t row, Py_ssize_t rows) noexcept nogil:
    """Take `rows` rows from hp to h."""
    # x = X[:, t]
    f.k.load(f.call, t, row, rows)
    # r = activate_reset(x Ur + hp Vr + br), r * hp;  z = activate_update(x Uz + hp Vz + bz)
    f.k.product(&f.gates, t, row, rows)
    # hh = activate(x Uhh + (r * hp) Vhh + bhh);  h = z * hp + (1 - z) * hh
    # or, where the reset comes after, hh = activate(x Uhh + bhh + r * (hp Vhh + chh))
    if f.call.after:
        f.k.product(&f.recurrent, t, row, rows)
    f.k.product(&f.candidate, t, row, rows)


cdef void block(void *work, Py_ssize_t part) noexcept nogil:
    """Take one block of rows through the sequence."""
    cdef Forward *f = <Forward *>work
    cdef Py_ssize_t row = part * f.rows, s = f.call.s, n, t
    cdef Py_ssize_t rows = min(f.rows, f.call.m - row)
    cdef Py_ssize_t live = rows
    cdef bint cached = f.call.hh.data != NULL
    if f.first:
        f.k.start(f.call, row, rows)
    for n in range(s):
        t = s - 1 - n if f.call.reverse else n
        if f.call.running:
            live = max(0, min(rows, f.call.running[t] - row))
        if live > 0:
            step(f, t, row, live)
        if live < rows and cached:
            f.k.pad(f.call, t, row + live, rows - live)
    if f.last and f.call.last.data:
        f.k.finish(f.call, row, rows)


cdef Py_ssize_t pack_room(const cgru_call *call) noexcept nogil:
    """Numbers that the packed weights take."""
    return (3 * (call.u + call.e) + 4) * call.up


cdef Py_ssize_t rows_room(const cgru_kernels *k, const cgru_call *call) noexcept nogil:
    """Numbers that the rows take."""
    return 6 * call.up if call.m == 1 else call.m * odd_lines(3 * call.up + call.ep, k.size)


cdef void prepare(Forward *f, const cgru_kernels *k, cgru_call *call, void *packed, void *rows) noexcept nogil:
    """A pass over `call` whose weights, of `pack_room` numbers, and rows, of `rows_room`, lie there."""
    cdef Py_ssize_t u = call.u, e = call.e, up = call.up, size = k.size
    cdef char *h = <char *>rows
    cdef char *to = <char *>packed
    cdef char *x = h + up * size
    cdef int gate
    f.k, f.call, f.threads, f.ragged = k, call, 1, False
    call.rows, call.ld = rows, rows_room(k, call) // call.m
    if call.m == 1:
        f.single.call = call
        for gate in range(3):
            f.single.U[gate] = cgru_matrix(to, 0, 1)
            f.single.V[gate] = cgru_matrix(to + e * up * size, 0, 1)
            f.single.b[gate] = cgru_matrix(to + (e + u) * up * size, 0, 1)
            to += (e + u + 1) * up * size
        f.single.b[CGRU_C] = cgru_matrix(to, 0, 1)
        return
    f.gates = new_product(k, call, k.gates, 2 * up, to, to + 3 * (u + e) * up * size)
    add_operand(&f.gates, h, call.ld, u)
    add_operand(&f.gates, x, call.ld, e)
    f.candidate = new_product(k, call, k.candidate, up, to + 2 * (u + e) * up * size,
                              to + (3 * (u + e) + 2) * up * size)
    add_operand(&f.candidate, x, call.ld, e)
    if call.after:
        f.recurrent = new_product(k, call, k.recurrent, up, to + (2 * u + 3 * e) * up * size,
                                  to + (3 * (u + e) + 3) * up * size)
        add_operand(&f.recurrent, h, call.ld, u)
    else:
        add_operand(&f.candidate, x + call.ep * size, call.ld, u)


cdef void pack_weights(Forward *f, const cgru_weights *w) noexcept nogil:
    """Put the weights where `prepare` said that they are."""
    cdef Py_ssize_t u = f.call.u, e = f.call.e, up = f.call.up
    cdef int gate
    if f.call.m == 1:
        for gate in range(3):
            f.k.lay(w.U[gate], e, u, <void *>f.single.U[gate].data)
            f.k.lay(w.V[gate], u, u, <void *>f.single.V[gate].data)
            f.k.lay(w.b[gate], 1, u, <void *>f.single.b[gate].data)
        if f.call.after:
            f.k.lay(w.b[CGRU_C], 1, u, <void *>f.single.b[CGRU_C].data)
        return
    for gate in range(2):  # r and z side by side
        pack(f.k, &f.gates, 0, gate * up, w.V[gate], u, u)
        pack(f.k, &f.gates, u, gate * up, w.U[gate], e, u)
        pack_bias(f.k, &f.gates, gate * up, w.b[gate], u)
    pack(f.k, &f.candidate, 0, 0, w.U[CGRU_HH], e, u)
    pack_bias(f.k, &f.candidate, 0, w.b[CGRU_HH], u)
    if f.call.after:
        pack(f.k, &f.recurrent, 0, 0, w.V[CGRU_HH], u, u)
        pack_bias(f.k, &f.recurrent, 0, w.b[CGRU_C], u)
    else:
        pack(f.k, &f.candidate, e, 0, w.V[CGRU_HH], u, u)


cdef bint in_place(Forward *f, const cgru_weights *w) noexcept nogil:
    """Read the weights of a single sample where they lie, if that is possible and laying them out would not pay."""
    cdef int gate
    if f.call.m > 1 or f.call.s > FEW:
        return False
    for gate in range(3):
        if not (w.U[gate].column == w.V[gate].column == w.b[gate].column == 1):
            return False
        if w.U[gate].row < f.call.u or w.V[gate].row < f.call.u:
            return False
    if f.call.after and w.b[CGRU_C].column != 1:
        return False
    for gate in range(3):
        f.single.U[gate], f.single.V[gate], f.single.b[gate] = w.U[gate], w.V[gate], w.b[gate]
    f.single.b[CGRU_C] = w.b[CGRU_C]
    return True


cdef void sequence(Forward *f, bint first, bint last) noexcept nogil:
    """All steps of the call; where they are the `first` ones of a sequence, from h0, and where they are the `last`, into
    `last`.
    """
    cdef cgru_call *call = f.call
    cdef Py_ssize_t steps, t
    if call.m == 1:
        steps = steps_of_single(call)
        if first:
            f.k.start(call, 0, 1)
        if call.reverse and call.hh.data != NULL:  # with the first state
            for t in range(steps, call.s):
                f.k.pad(call, t, 0, 1)
        f.k.single_forward(&f.single, steps)
        if not call.reverse and call.hh.data != NULL:
            for t in range(steps, call.s):
                f.k.pad(call, t, 0, 1)
        if last and call.last.data:
            f.k.finish(call, 0, 1)
        return
    f.first, f.last = first, last
    f.rows = block_rows(call.m, call.ld * f.k.size, 3 * call.u * (call.e + call.u) * f.k.size, f.threads, f.ragged)
    share(block, f, (call.m + f.rows - 1) // f.rows, f.threads)


cdef void _piece(void *work, bint first, bint last) noexcept nogil:
    sequence(<Forward *>work, first, last)


cdef int execute(cgru_call *call, const cgru_weights *w, const cgru_kernels *k) except -1:
    """The whole call, with a workspace of its own, on as many threads as it is worth; a Ctrl-C ends it."""
    cdef Workspace work = Workspace(pack_room(call) + rows_room(k, call), k.size)
    cdef Forward f
    prepare(&f, k, call, work.take(pack_room(call)), work.take(rows_room(k, call)))
    f.threads = threads_for(6.0 * call.m * call.s * call.u * (call.e + call.u))
    f.ragged = call.running != NULL
    if not in_place(&f, w):
        with nogil:
            pack_weights(&f, w)
    return in_pieces(call, k.size, call.reverse, _piece, &f)


def run(dict p not None, dict arrays not None, tuple activations not None, order=None, running=None,
        bint reverse=False):
    """Run the sequences X and fill those of `h, hh, z, r, c, hh_, z_, r_` (m, s, u) and `last` (m, u) that are there.

    Past a sample's length `h` is filled with its last state, in reverse with the first, the others with zero; where no
    `hh` is wanted, nothing is written there.

    Args:
        p: the nine parameters; with `chh` as a tenth the reset gate is applied after the product.
        arrays: X (m, s, e) and the outputs, last axis contiguous; `h0` (m, u) C-contiguous, or none; `zoneout`, a mask
            (m, s, u) or a rate (), or none. All of one dtype.
        activations: (code, alpha) of activate, activate_update and activate_reset, as `cgru.activations.code_of` gives.
        order: (m,) intp, the samples, longest first; None: every sample has every step.
        running: (s,) intp, how many of them have each step.
        reverse: whether the steps run from the last to the first.
    """
    cdef cnp.ndarray X = arrays["X"]
    cdef const cgru_kernels *k = kernels(cnp.PyArray_ITEMSIZE(X))
    cdef cgru_call call = new_call(X, cnp.PyArray_DIM(p["Vz"], 0), activations, order, running)
    call.h0, call.X, call.h, call.last = (
        array(arrays, "h0"), array(arrays, "X"), array(arrays, "h"), array(arrays, "last")
    )
    call.r, call.z, call.hh = array(arrays, "r"), array(arrays, "z"), array(arrays, "hh")
    call.r_, call.z_, call.hh_ = array(arrays, "r_"), array(arrays, "z_"), array(arrays, "hh_")
    options(&call, p, arrays, reverse)

    cdef cgru_weights w
    weights(&w, p)
    execute(&call, &w, k)
