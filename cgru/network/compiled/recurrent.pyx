"""GRU and Bidirectional as stages of a compiled network."""

from libc.string cimport memcpy, memset

from cgru.core cimport backward, forward, gradients
from cgru.core.kernels cimport array_place, cgru_array, cgru_call, new_call
from cgru.network.compiled.numbers cimport ADD, HALVE, MULTIPLY, combine, draw, kept_by
from cgru.network.compiled.random cimport generator
from cgru.network.compiled.stage cimport PLACES, Arena, Piece, Recurrent, Size, Stage, nothing, take, timed

cdef enum:
    ONE, CONCAT, SUM, MEAN, MUL

cdef Py_ssize_t HH = array_place("hh"), Z = array_place("z"), DHH_ = array_place("dhh_"), DZ_ = array_place("dz_")
cdef dict MERGES = {None: ONE, "concat": CONCAT, "sum": SUM, "mean": MEAN, "mul": MUL}


# --- made ---

cdef int make_recurrent(Stage *stage, list layers, str merge, bint steps_out) except -1:
    """A stage of one or two `GRU`, but for its memory."""
    cdef Recurrent *part
    cdef Py_ssize_t u
    stage.forward, stage.backward = forward_recurrent, backward_recurrent
    stage.parts, stage.merge, stage.steps_out = len(layers), MERGES[merge], steps_out
    for i, layer in enumerate(layers):
        part = &stage.part[i]
        variant, u = layer.variant, layer.d["u"]
        part.call = new_call(1, 1, stage.n, u, stage.k.size, variant, layer.codes())
        part.call.reverse = layer.reverse
        for name in ("hh", "z", "r", *variant.caches, "dhh_", "dz_", "dr_", *variant.gradients):
            part.width[array_place(name)] = variant.width(name, u)
        if layer.training:
            part.dropout, part.zoneout = layer.dropout, layer.zoneout
            if part.dropout or part.zoneout:
                part.random = generator(layer.np_rng)
        else:
            part.call.zoneout = layer.zoneout
        stage.u += u if merge == "concat" or i == 0 else 0
    return 0


cdef void lay_recurrent(Stage *stage, Arena *arena, Size size, bint carries) noexcept:
    """Find room; `carries`: for states that go on from piece to piece as well."""
    cdef Py_ssize_t e = stage.n, u, place, outputs = size.many if stage.steps_out else size.m
    cdef int bytes = stage.k.size, i
    cdef Recurrent *part
    cdef bint shared = stage.merge == CONCAT and stage.steps_out  # the states of both, side by side
    cdef char *states = <char *>take(arena, size.many * stage.u, bytes) if shared else NULL
    for i in range(stage.parts):
        part = &stage.part[i]
        u = part.call.u
        part.columns, part.column = stage.u if shared else u, i * u if shared else 0
        part.states = states if shared else <char *>take(arena, size.many * u, bytes)
        if carries:
            part.start, part.carried = take(arena, size.m * u, bytes), take(arena, size.m * u, bytes)
        if stage.merge > CONCAT and not stage.steps_out:
            part.last = take(arena, size.m * u, bytes)
        if part.dropout:
            part.mask, part.masked = take(arena, size.m * e, bytes), take(arena, size.back * e, bytes)
        if part.zoneout:
            part.kept = take(arena, size.back * u, bytes)
        for place in range(PLACES):
            if place == DHH_ or place == DZ_:  # each is written where the other is read for the last time
                part.memory[place] = part.memory[HH if place == DHH_ else Z]
            elif part.width[place]:
                part.memory[place] = take(arena, size.back * part.width[place], bytes)
    if stage.merge > CONCAT or not stage.steps_out:
        stage.out = take(arena, outputs * stage.u, bytes)
    if stage.merge > SUM:
        stage.unmerged = take(arena, (size.back if stage.steps_out else size.m) * stage.u, bytes)
    if stage.parts == 2:
        stage.second = take(arena, size.back * e, bytes)


cdef Py_ssize_t recurrent_scratch(const Stage *stage, Py_ssize_t m, Py_ssize_t s, bint back) noexcept:
    """Numbers of memory that a piece takes while it runs."""
    cdef Py_ssize_t most = 0
    cdef cgru_call call
    cdef int i
    for i in range(stage.parts):
        call = stage.part[i].call
        call.m, call.s = m, s
        most = max(most, forward.room(stage.k, &call))
        if back:
            most = max(most, backward.room(stage.k, &call), gradients.room(stage.k, &call, stage.threads))
    return most


# --- forward ---

cdef int forward_recurrent(Stage *stage, const Piece *piece) except -1 nogil:
    """All parts, and their outputs merged."""
    cdef cgru_array first, second
    cdef Py_ssize_t u = stage.part[0].call.u
    cdef int size = stage.k.size, i
    for i in range(stage.parts):
        _forward(stage, i, piece)
    stage.A = timed(stage.out, stage.u, piece.m)
    if stage.merge <= CONCAT:
        if stage.steps_out:
            stage.A.data = stage.part[0].states + piece.m * stage.u * size
        return 0
    first, second = _outputs(stage, 0, piece), _outputs(stage, 1, piece)
    combine(MULTIPLY if stage.merge == MUL else ADD, first, second, stage.A, piece, stage.steps_out, u, size)
    if stage.merge == MEAN:
        combine(HALVE, stage.A, stage.A, stage.A, piece, stage.steps_out, u, size)
    return 0


cdef cgru_array _outputs(const Stage *stage, int i, const Piece *piece) noexcept nogil:
    """What a part's outputs are, where they are merged into others."""
    cdef const Recurrent *part = &stage.part[i]
    if stage.steps_out:
        return timed(part.states + piece.m * part.columns * stage.k.size, part.columns, piece.m)
    return timed(part.last, part.call.u, piece.m)


cdef int _forward(Stage *stage, int i, const Piece *piece) except -1 nogil:
    """One part."""
    cdef Recurrent *part = &stage.part[i]
    cdef cgru_call *call = &part.now
    cdef Py_ssize_t m = piece.m, u = part.call.u, place
    cdef int size = stage.k.size
    cdef char *states = part.states + part.column * size
    call[0] = part.call
    call.m, call.s, call.running, call.X = m, piece.s, piece.running, stage.X
    if part.random != NULL and piece.training:
        _draw_masks(stage, part, piece)
        if part.dropout:
            _mask_input(stage, part, piece, stage.X, timed(part.masked, stage.n, m))
            call.X = timed(part.masked, stage.n, m)
        if part.zoneout:
            call.kept = timed(part.kept, u, m)
    elif part.zoneout:
        call.zoneout = part.zoneout
    if piece.training or stage.steps_out:
        call.h = timed(states + m * part.columns * size, part.columns, m)
    if piece.training:
        call.hp = timed(states + (2 if call.reverse else 0) * m * part.columns * size, part.columns, m)
        for place in range(PLACES):
            if part.width[place]:
                (&call.h0)[place] = timed(part.memory[place], part.width[place], m)
    _begin(stage, part, piece)
    if not stage.steps_out:
        call.last = timed(part.last, u, m)
        if stage.merge <= CONCAT:
            call.last = timed(<char *>stage.out + i * u * size, stage.u, m)
    forward.perform(call, &part.w, stage.k, stage.scratch, stage.threads)
    if part.carried != NULL and piece.carries:
        _carry(stage, part, piece)
    return 0


cdef void _begin(Stage *stage, Recurrent *part, const Piece *piece) noexcept nogil:
    """The states before the step that runs first: where that step, of each row, looks for them."""
    cdef Py_ssize_t i, step, u = part.call.u
    cdef int size = stage.k.size
    cdef char *to
    cdef bint goes_on = part.carried != NULL and piece.carries and part.goes_on
    part.now.fresh = not goes_on
    if goes_on:
        for i in range(piece.m):
            memcpy(<char *>part.start + i * u * size, <char *>part.carried + piece.slot[i] * u * size, u * size)
        part.now.h0 = timed(part.start, u, piece.m)
    if not piece.training:
        return
    for i in range(piece.m):
        step = piece.length[i] + 1 if part.call.reverse else 0
        to = part.states + ((step * piece.m + i) * part.columns + part.column) * size
        if goes_on:
            memcpy(to, <char *>part.start + i * u * size, u * size)
        else:
            memset(to, 0, u * size)


cdef void _carry(Stage *stage, Recurrent *part, const Piece *piece) noexcept nogil:
    """Keep the states after each row's last step."""
    cdef Py_ssize_t i, step, u = part.call.u
    cdef int size = stage.k.size
    cdef char *source
    part.goes_on = True
    for i in range(piece.m):
        if stage.steps_out or piece.training:
            step = 1 if part.call.reverse else piece.length[i]
            source = part.states + ((step * piece.m + i) * part.columns + part.column) * size
        else:
            source = <char *>part.now.last.data + i * part.now.last.sample * size
        memcpy(<char *>part.carried + piece.slot[i] * u * size, source, u * size)


cdef void _draw_masks(Stage *stage, Recurrent *part, const Piece *piece) noexcept nogil:
    """The masks of a run, in the order of cgru/core/masks.py, whatever the order of the rows."""
    cdef Py_ssize_t slot, row, t, m = piece.m, e = stage.n, u = part.call.u
    cdef int size = stage.k.size
    cdef double kept = kept_by(part.dropout, size)
    for slot in range(piece.slots if part.dropout else 0):
        row = piece.row[slot]
        if row < m:
            draw(part.random, part.dropout, 0, kept, <char *>part.mask + row * e * size, e, size)
    for slot in range(piece.slots if part.zoneout else 0):
        row = piece.row[slot]
        for t in range(piece.s if row < m else 0):
            draw(part.random, part.zoneout, 1, 0, <char *>part.kept + (t * m + row) * u * size, u, size)


cdef void _mask_input(const Stage *stage, const Recurrent *part, const Piece *piece, cgru_array a,
                      cgru_array to) noexcept nogil:
    """`to` = a times the mask (m, e) at each step."""
    combine(MULTIPLY, a, cgru_array(part.mask, stage.n, 0, 1), to, piece, True, stage.n, stage.k.size)


# --- backward ---

cdef int backward_recurrent(Stage *stage, const Piece *piece) except -1 nogil:
    """All parts, their dX summed, and the gradients."""
    cdef int i
    cdef cgru_array dX
    for i in range(stage.parts):
        dX = nothing()
        if stage.dX.data != NULL:
            dX = stage.dX if i == 0 else timed(stage.second, stage.n, piece.m)
        _backward(stage, i, piece, dX)
        if dX.data != NULL and i == 1:
            combine(ADD, stage.dX, dX, stage.dX, piece, True, stage.n, stage.k.size)
    return 0


cdef cgru_array _dA(Stage *stage, int i, const Piece *piece) noexcept nogil:
    """dL/d(the outputs of a part)."""
    cdef Py_ssize_t u = stage.part[0].call.u
    cdef cgru_array dA = stage.dA, to
    if stage.merge == CONCAT:
        dA.data = <char *>dA.data + i * u * stage.k.size
    elif stage.merge > SUM:
        to = timed(stage.unmerged, u, piece.m)
        combine(HALVE if stage.merge == MEAN else MULTIPLY, dA, _outputs(stage, 1 - i, piece), to, piece,
                stage.steps_out, u, stage.k.size)
        return to
    return dA


cdef int _backward(Stage *stage, int i, const Piece *piece, cgru_array dX) except -1 nogil:
    """One part."""
    cdef Recurrent *part = &stage.part[i]
    cdef cgru_call call = part.now
    cdef cgru_array dA = _dA(stage, i, piece)
    call.dX, call.h0, call.last = dX, nothing(), nothing()
    if stage.steps_out:
        call.dA = dA
    else:
        call.h0 = dA
    backward.perform(&call, &part.w, stage.k, stage.scratch, stage.threads)
    if dX.data != NULL and part.dropout and piece.training:
        _mask_input(stage, part, piece, dX, dX)
    if stage.trainable:
        gradients.perform(&call, &part.g, stage.k, stage.scratch, stage.threads)
    return 0
