"""The layer backward: one step, then the sequence as a loop of it. The equations are those of cgru/reference.py.

Whatever is given here is trusted: layer.py has checked it. All arrays are of one dtype, float32 or float64.
"""

cimport numpy as cnp

from cgru.core.kernels cimport (
    CGRU_HH, CGRU_R, CGRU_Z, add_operand, array, cgru_array, cgru_call, cgru_kernels, cgru_matrix, cgru_weights,
    in_pieces, kernels, new_call, new_product, odd_lines, options, pack, steps_of_single, transpose, weights,
)
from cgru.core.memory cimport Workspace
from cgru.core.threads cimport block_rows, share, threads_for

cnp.import_array()


cdef void step(const Backward *b, Py_ssize_t t, Py_ssize_t row, Py_ssize_t rows) noexcept nogil:
    """Take `rows` rows from dhn to dh."""
    # dh_ = dA + dhn;  dhh_ = dh_ * (1 - z) * activate'(hh_);  dz_ = dh_ * (hp - hh) * activate_update'(z_)
    b.k.gates_backward(b.call, t, row, rows)
    # dr_ = (dhh_ Vhh^T) * hp * activate_reset'(r_);  dh = (dhh_ Vhh^T) * r + dh_ * z
    # or, where the reset comes after, dr_ = dhh_ * c * activate_reset'(r_);  dc = dhh_ * r;  dh = dc Vhh^T + dh_ * z
    if not b.call.after:
        b.k.product(&b.reset, t, row, rows)
    # dh += dz_ Vz^T + dr_ Vr^T
    b.k.product(&b.state, t, row, rows)
    # dX = dhh_ Uhh^T + dz_ Uz^T + dr_ Ur^T
    if b.call.dX.data:
        b.k.product(&b.dX, t, row, rows)


cdef void block(void *work, Py_ssize_t part) noexcept nogil:
    """Take one block of rows back through the sequence."""
    cdef Backward *b = <Backward *>work
    cdef Py_ssize_t row = part * b.rows, s = b.call.s, n, t
    cdef Py_ssize_t rows = min(b.rows, b.call.m - row)
    cdef Py_ssize_t live = rows
    if b.first:
        b.k.start(b.call, row, rows)
    for n in range(s):
        t = n if b.call.reverse else s - 1 - n
        if b.call.running:
            live = max(0, min(rows, b.call.running[t] - row))
        if live < rows:
            b.k.pad_backward(b.call, t, row + live, rows - live)
        if live > 0:
            step(b, t, row, live)
    if b.last and b.call.last.data:
        b.k.finish(b.call, row, rows)


cdef Py_ssize_t pack_room(const cgru_call *call) noexcept nogil:
    """Numbers that the packed weights take."""
    return 3 * call.u * (call.up + call.ep)


cdef Py_ssize_t rows_room(const cgru_kernels *k, const cgru_call *call) noexcept nogil:
    """Numbers that the rows take."""
    return call.m * odd_lines((4 + call.after) * call.up, k.size)


cdef void prepare(Backward *b, const cgru_kernels *k, cgru_call *call, void *packed, void *rows) noexcept nogil:
    """A pass over `call` whose weights, of `pack_room` numbers, and rows, of `rows_room`, lie there."""
    cdef Py_ssize_t u = call.u, up = call.up, size = k.size
    cdef char *dhh_ = <char *>rows + up * size
    cdef char *to = <char *>packed
    cdef int gate
    b.k, b.call, b.threads, b.ragged, b.steps = k, call, 1, False, steps_of_single(call)
    call.rows, call.ld = rows, rows_room(k, call) // call.m

    b.reset = new_product(k, call, k.reset_backward, up, to, NULL)
    add_operand(&b.reset, dhh_, call.ld, u)
    b.state = new_product(k, call, k.state_backward, up, to + (0 if call.after else u) * up * size, NULL)
    if call.after:
        add_operand(&b.state, dhh_ + 3 * up * size, call.ld, u)  # dc
    add_operand(&b.state, dhh_ + up * size, call.ld, u)  # dz_
    add_operand(&b.state, dhh_ + 2 * up * size, call.ld, u)  # dr_
    if call.m == 1:
        b.single.call = call
        for gate in range(3):
            b.single.V[gate] = cgru_matrix(to + gate * u * up * size, 0, 1)

    b.dX = new_product(k, call, k.put if call.m == 1 else k.input_backward, call.e, to + 3 * u * up * size, NULL)
    if call.m == 1:  # all steps together
        b.dX.out = cgru_array(call.dX.data, call.dX.step, 0)
        add_operand(&b.dX, call.dhh_.data, call.dhh_.step, u)
        add_operand(&b.dX, call.dz_.data, call.dz_.step, u)
        add_operand(&b.dX, call.dr_.data, call.dr_.step, u)
    else:
        add_operand(&b.dX, dhh_, call.ld, u)
        add_operand(&b.dX, dhh_ + up * size, call.ld, u)
        add_operand(&b.dX, dhh_ + 2 * up * size, call.ld, u)


cdef void pack_weights(Backward *b, const cgru_weights *w) noexcept nogil:
    """Put the weights, transposed, where `prepare` said that they are."""
    cdef Py_ssize_t u = b.call.u, e = b.call.e, first = u if b.call.after else 0
    cdef int gate
    if b.call.m == 1:
        for gate in range(3):
            b.k.lay(transpose(w.V[gate]), u, u, <void *>b.single.V[gate].data)
    else:
        pack(b.k, &b.state if b.call.after else &b.reset, 0, 0, transpose(w.V[CGRU_HH]), u, u)
        pack(b.k, &b.state, first, 0, transpose(w.V[CGRU_Z]), u, u)
        pack(b.k, &b.state, first + u, 0, transpose(w.V[CGRU_R]), u, u)
    pack(b.k, &b.dX, 0, 0, transpose(w.U[CGRU_HH]), u, e)
    pack(b.k, &b.dX, u, 0, transpose(w.U[CGRU_Z]), u, e)
    pack(b.k, &b.dX, 2 * u, 0, transpose(w.U[CGRU_R]), u, e)


cdef void sequence(Backward *b, bint first, bint last) noexcept nogil:
    """All steps of the call, from the one that ran last; where they are the `first` ones to go back through, from
    dL/d(last state), and where they are the `last`, to dL/dh0.
    """
    cdef cgru_call *call = b.call
    cdef Py_ssize_t steps, t
    if call.m == 1:
        steps = steps_of_single(call)
        if first:
            b.k.start(call, 0, 1)
        for t in range(steps, call.s):
            b.k.pad_backward(call, t, 0, 1)
        b.k.single_backward(&b.single, steps)
        if last and call.dX.data:
            b.k.product(&b.dX, 0, 0, b.steps)
        if last and call.last.data:
            b.k.finish(call, 0, 1)
        return
    b.first, b.last = first, last
    b.rows = block_rows(call.m, call.ld * b.k.size, 3 * call.u * call.u * b.k.size, b.threads, b.ragged)
    share(block, b, (call.m + b.rows - 1) // b.rows, b.threads)


cdef void _piece(void *work, bint first, bint last) noexcept nogil:
    sequence(<Backward *>work, first, last)


cdef int execute(cgru_call *call, const cgru_weights *w, const cgru_kernels *k) except -1:
    """The whole call, with a workspace of its own, on as many threads as it is worth; a Ctrl-C ends it."""
    cdef Workspace work = Workspace(pack_room(call) + rows_room(k, call), k.size)
    cdef Backward b
    prepare(&b, k, call, work.take(pack_room(call)), work.take(rows_room(k, call)))
    b.threads = threads_for(6.0 * call.m * call.s * call.u * (call.e + call.u))
    b.ragged = call.running != NULL
    with nogil:
        pack_weights(&b, w)
    return in_pieces(call, k.size, not call.reverse, _piece, &b)


def run(dict p not None, dict arrays not None, tuple activations not None, order=None, running=None,
        bint reverse=False):
    """From `hp, hh, z, r` and `dA` (m, s, u) fill `dh_, dh, dhh_, dz_, dr_` (m, s, u) and `dX` (m, s, e).

    Where the reset gate is applied after the product, `c` is read and `dc` filled as well. All are zero past a sample's
    length.

    Args:
        p: the nine parameters; with `chh` as a tenth the reset gate is applied after the product.
        arrays: the caches, `zoneout` as in forward, and the outputs, last axis contiguous, and X for its shape; all of
            one dtype.
        activations: (code, alpha) of activate, activate_update and activate_reset, as `cgru.activations.code_of` gives.
        order: (m,) intp, the samples, longest first; None: every sample has every step.
        running: (s,) intp, how many of them have each step.
        reverse: whether the steps ran from the last to the first.
    """
    cdef cnp.ndarray X = arrays["X"]
    cdef const cgru_kernels *k = kernels(cnp.PyArray_ITEMSIZE(X))
    cdef cgru_call call = new_call(X, cnp.PyArray_DIM(p["Vz"], 0), activations, order, running)
    call.hp, call.hh, call.z, call.r = (
        array(arrays, "hp"), array(arrays, "hh"), array(arrays, "z"), array(arrays, "r")
    )
    call.dA, call.dh_, call.dh = array(arrays, "dA"), array(arrays, "dh_"), array(arrays, "dh")
    call.dhh_, call.dz_, call.dr_ = array(arrays, "dhh_"), array(arrays, "dz_"), array(arrays, "dr_")
    call.dX, call.dc = array(arrays, "dX"), array(arrays, "dc")
    options(&call, p, arrays, reverse)

    cdef cgru_weights w
    weights(&w, p)
    execute(&call, &w, k)
