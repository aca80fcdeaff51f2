"""The compiled layer of a GRU, or of a Bidirectional with its two GRUs and the merge of their outputs.

The arithmetic is that of cgru/core; here masks are drawn, states are carried from piece to piece, and outputs merged:
A = first, [first, second], first + second, (first + second) / 2 or first * second. States are (s + 2, m, u), one step
before the first and one behind the last, in lanes (s + 2, u, m).
"""

from cgru.core cimport blocks, driver
from cgru.core.blocks cimport Origin
from cgru.core.kernels cimport (
    CGRU_ADD, CGRU_COPY, CGRU_HALVE, CGRU_MULTIPLY, CGRU_PLACES, CGRU_ZERO, array_index, cgru_array, cgru_call,
    cgru_extent, cgru_kernels, new_call, steps_of_piece, time_major_array, whole_lines,
)
from cgru.core.plan cimport FORWARD, choose_lanes, input_column, largest_workspace_size, pays_pair
from cgru.core.threads cimport FEW, share
from cgru.network.training.compiled.plain cimport bit_generator_of, draw_mask, reserve
from cgru.network.training.compiled.stage cimport (
    Arena, Piece, Recurrent, Size, Stage, assign, begins, extent_of, input_as_rows, no_array, time_major,
)

cdef enum:
    ONE, CONCAT, SUM, MEAN, MUL

cdef dict MERGES = {None: ONE, "concat": CONCAT, "sum": SUM, "mean": MEAN, "mul": MUL}


# What only this stage knows.
cdef struct Merging:
    int how
    bint low_memory  # whether gates are computed anew in the backward pass instead of kept
    void *second  # (s, m, n) dX of the second GRU
    void *unmerged  # (2, s, m, u of one GRU) dL/d(outputs of each GRU), where they are merged by mean or product


# --- setting up ---

cdef int make_recurrent(Stage *stage, list layers, dict description, bint low_memory, list memory) except -1:
    """Set up the compiled layer of one or two GRUs without its memory, from the dict of `Layer.stage`."""
    cdef Merging *own = <Merging *>reserve(sizeof(Merging), memory)
    cdef Recurrent *part
    cdef Py_ssize_t u
    stage.forward, stage.backward, stage.plan, stage.workspace = _forward, _backward, _plan, _workspace
    own.how, own.low_memory = MERGES[description["merge"]], low_memory
    stage.own, stage.recurrent, stage.steps_out = own, True, description["sequences"]
    stage.parts, stage.part = len(layers), <Recurrent *>reserve(len(layers) * sizeof(Recurrent), memory)
    for i, layer in enumerate(layers):
        part = &stage.part[i]
        variant, u = layer.variant, layer.d["u"]
        part.call = new_call(1, 1, stage.n, u, stage.k.size, variant, layer.codes())
        part.call.reverse, part.call.padded, part.learned = layer.reverse, False, variant.learn_h0
        part.call.whole = True
        part.stateful, part.factored = layer.stateful, description.get("factored", False)
        for name in () if low_memory else ("hh", "z", "r", *variant.caches):
            part.width[array_index(name)] = variant.width(name, u)
        if layer.training:
            part.dropout, part.zoneout = layer.dropout, layer.zoneout
            part.recurrent_dropout = layer.recurrent_dropout
            if part.dropout or part.recurrent_dropout or part.zoneout:
                part.random = bit_generator_of(layer.np_rng)
        else:
            part.call.zoneout = layer.zoneout
        stage.u += u if own.how == CONCAT or i == 0 else 0
    return 0


cdef void _plan(Stage *stage, Arena *arena, Size size, Size _, bint carries) noexcept:
    """Assign the memory of a compiled layer from `arena`; with `carries` or if `stateful`, also for carried states."""
    cdef Py_ssize_t e = stage.n, u, place, outputs = size.many if stage.steps_out else size.m
    cdef int bytes = stage.k.size, i
    cdef Recurrent *part
    cdef Merging *own = <Merging *>stage.own
    cdef bint shared = own.how == CONCAT and stage.steps_out  # both write their states to one array, side by side
    cdef void *states = assign(arena, size.many * stage.u, bytes) if shared else NULL
    for i in range(stage.parts):
        part = &stage.part[i]
        u = part.call.u
        part.columns, part.column = stage.u if shared else u, i * u if shared else 0
        part.states = states if shared else assign(arena, size.many * u, bytes)
        part.begins = <bint *>assign(arena, size.m, sizeof(int))
        if carries or part.stateful or part.learned:
            part.start = assign(arena, size.m * u, bytes)
        if carries or part.stateful:
            part.carried, part.begun = assign(arena, size.m * u, bytes), <bint *>assign(arena, size.m, sizeof(int))
        if own.how > CONCAT and not stage.steps_out:
            part.last = assign(arena, size.m * u, bytes)
        if part.dropout:
            part.mask, part.masked = assign(arena, size.m * e, bytes), assign(arena, size.back * e, bytes)
        if part.recurrent_dropout:
            part.recurrent = assign(arena, 3 * size.m * u, bytes)
        if part.zoneout:
            part.kept = assign(arena, size.back * u, bytes)
        if stage.decays:
            part.decay = assign(arena, size.many, bytes)
        if stage.decays or part.factored:
            part.hp = assign(arena, size.back * u, bytes)
            part.dhp = assign(arena, size.back * u if part.learned or part.factored else 0, bytes)
        for place in range(CGRU_PLACES):
            if part.width[place]:
                part.memory[place] = assign(arena, size.back * part.width[place], bytes)
    if own.how > CONCAT or not stage.steps_out:
        stage.out = assign(arena, outputs * stage.u, bytes)
    if own.how > SUM:
        own.unmerged = assign(arena, 2 * (size.back if stage.steps_out else size.m) * stage.u, bytes)
    if stage.parts == 2:
        own.second = assign(arena, size.back * e, bytes)


cdef Py_ssize_t _workspace(const Stage *stage, Py_ssize_t m, Py_ssize_t s, bint back) noexcept:
    """Return how many numbers of workspace the layer needs for m rows and s steps; `back`: also backward.

    Two GRU that run at once have few rows, and a half each.
    """
    cdef Py_ssize_t most = 0
    cdef cgru_call call
    cdef int i
    for i in range(2 * stage.parts):  # each GRU without recurrent dropout, as in scoring, and with it
        call = stage.part[i // 2].call
        call.m, call.s = m, s
        if i % 2 and stage.part[i // 2].recurrent_dropout:
            call.recurrent.data = &call
        most = max(most, _room_of(stage, &call, stage.threads, back))
        if stage.parts == 2 and stage.threads > 1:
            call.m = min(m, <Py_ssize_t>FEW)
            most = max(most, 2 * _room_of(stage, &call, 1, back))
    return most


cdef Py_ssize_t _room_of(const Stage *stage, const cgru_call *call, int threads, bint back) noexcept nogil:
    """Return how many numbers of workspace suffice for a call with at most these rows and steps."""
    cdef Py_ssize_t room = largest_workspace_size(stage.k, call, FORWARD, threads)
    if back:
        room = max(room, blocks.blocks_size(stage.k, call, threads, (<Merging *>stage.own).low_memory))
    return whole_lines(room, stage.k.size)


# --- forward ---

cdef Py_ssize_t wanted_column(Stage *stage, const Piece *piece) noexcept nogil:
    """Return the column stride that the layer's input should have: 1 for (s, m, n), or m for samples in SIMD lanes."""
    cdef Py_ssize_t column = piece.m if stage.parts else 1
    cdef cgru_call call
    cdef int i
    for i in range(stage.parts):
        call = _call_of(stage, &stage.part[i], piece)
        column = min(column, input_column(stage.k, &call))
    return column


cdef cgru_call _call_of(const Stage *stage, const Recurrent *part, const Piece *piece) noexcept nogil:
    """Return the call of one GRU for a piece, with sizes, recurrent dropout masks and layout but no arrays.

    Two GRU have the same lanes, since their outputs are merged.
    """
    cdef cgru_call call = part.call
    cdef int i
    call.m, call.s, call.running = piece.m, piece.s, piece.running
    if part.recurrent_dropout and piece.training:
        call.recurrent = cgru_array(part.recurrent, call.u, piece.m * call.u, 1)
    choose_lanes(stage.k, &call)
    for i in range(stage.parts if piece.training else 0):
        if stage.part[i].recurrent_dropout:
            call.column = 1
    return call


cdef int _forward(Stage *stage, const Piece *piece) except -1 nogil:
    """Run all GRUs of the layer and merge their outputs."""
    cdef cgru_array first, second
    cdef Py_ssize_t u = stage.part[0].call.u
    cdef int size = stage.k.size, i, how = (<Merging *>stage.own).how
    for i in range(stage.parts):
        _prepare_forward(stage, i, piece)
    if _run_at_once(stage):
        share(_forward_alone, stage, 2, 2)
    else:
        for i in range(stage.parts):
            driver.run_in_workspace(&stage.part[i].now, &stage.part[i].w, stage.k, FORWARD, stage.scratch,
                                    stage.threads)
    for i in range(stage.parts):
        if stage.part[i].carried != NULL and piece.carries:
            _carry_states(stage, &stage.part[i], piece)
    if how <= CONCAT:
        stage.A = _states_after(&stage.part[0], size) if stage.steps_out else time_major(stage.out, stage.u, piece.m)
        return 0
    stage.A = time_major_array(stage.out, stage.u, piece.m, stage.part[0].now.column if stage.steps_out else 1)
    first, second = _outputs_to_merge(stage, 0, piece), _outputs_to_merge(stage, 1, piece)
    extent = extent_of(piece, stage.steps_out)
    stage.k.combine(CGRU_MULTIPLY if how == MUL else CGRU_ADD, first, second, stage.A, extent, u)
    if how == MEAN:
        stage.k.combine(CGRU_HALVE, stage.A, stage.A, stage.A, extent, u)
    return 0


cdef inline cgru_array _states_after(const Recurrent *part, int size) noexcept nogil:
    """Return the states after each step, (s, m, u), as a view of `every`, which begins with the initial states."""
    cdef cgru_array states = part.every
    states.data = <char *>states.data + states.step * size
    return states


cdef cgru_array _outputs_to_merge(const Stage *stage, int i, const Piece *piece) noexcept nogil:
    """Return the outputs of GRU i before the merge: all its states, or its last states."""
    cdef const Recurrent *part = &stage.part[i]
    return _states_after(part, stage.k.size) if stage.steps_out else time_major(part.last, part.call.u, piece.m)


cdef inline bint _run_at_once(const Stage *stage) noexcept nogil:
    """Return whether two GRUs run at the same time, each on its own thread and in its half of `scratch`.

    These are so short that none looks for a signal.
    """
    cdef const cgru_call *call = &stage.part[0].now
    return stage.parts == 2 and call.s <= steps_of_piece(call, call.m) and pays_pair(stage.k, call, stage.threads)


cdef void _forward_alone(void *work, Py_ssize_t i) noexcept nogil:
    """Run GRU i forward on this thread; called by `share`, `work` is the Stage."""
    cdef Stage *stage = <Stage *>work
    cdef cgru_call *call = &stage.part[i].now
    cdef Py_ssize_t start = i * _room_of(stage, &stage.part[0].now, 1, False)
    driver.run_in_workspace(call, &stage.part[i].w, stage.k, FORWARD, <char *>stage.scratch + start * stage.k.size, 1)


cdef void _prepare_forward(Stage *stage, int i, const Piece *piece) noexcept nogil:
    """Prepare GRU i for a piece: set its arrays, draw its masks, and set its initial states."""
    cdef Recurrent *part = &stage.part[i]
    cdef cgru_call *call = &part.now
    cdef Py_ssize_t m = piece.m, u = part.call.u, place
    cdef int size = stage.k.size
    call[0] = _call_of(stage, part, piece)
    part.every = time_major_array(part.states, part.columns, m, call.column)
    part.every.data = <char *>part.every.data + part.column * part.every.column * size
    _set_initial_states(stage, part, piece)
    call.X = stage.X if call.column > 1 else input_as_rows(stage, piece)
    if part.random != NULL and piece.training:
        _draw_masks(stage, part, piece)
        if part.dropout:
            _apply_input_mask(stage, part, piece, call.X, time_major(part.masked, stage.n, m))
            call.X = time_major(part.masked, stage.n, m)
        if part.zoneout:
            call.kept = time_major(part.kept, u, m)
    elif part.zoneout:
        call.zoneout = part.zoneout
    if piece.training or stage.steps_out:
        call.h = _states_after(part, size)
    if piece.training:
        call.hp = part.every
        if call.reverse:
            call.hp.data = <char *>call.hp.data + 2 * call.hp.step * size
        if call.decay.data != NULL:
            call.hp = time_major_array(part.hp, u, m, call.column)
        for place in range(CGRU_PLACES):
            if part.width[place]:
                call.array[place] = time_major_array(part.memory[place], part.width[place], m, call.column)
    if call.decay.data != NULL and part.learned:
        call.start = cgru_array(<void *>part.w.h0.data, 0, 0, 1)
    if not stage.steps_out:
        call.last = time_major(part.last, u, m)
        if (<Merging *>stage.own).how <= CONCAT:
            call.last = time_major(<char *>stage.out + i * u * size, stage.u, m)


cdef void _set_initial_states(Stage *stage, Recurrent *part, const Piece *piece) noexcept nogil:
    """Set the initial state of each row: carried over from the piece before, learned, or zero.

    For training they are also put beside the first step that runs, where the backward pass reads the state before.
    """
    cdef Py_ssize_t i, u = part.call.u
    cdef cgru_array start = no_array(), learned = cgru_array(<void *>part.w.h0.data, 0, 0, 1)
    part.now.fresh = not part.learned
    for i in range(piece.m):
        part.begins[i] = begins(part, piece, i)
        part.now.fresh = part.now.fresh and part.begins[i]
    if not part.now.fresh:
        part.now.h0 = start = time_major(part.start, u, piece.m)
        for i in range(piece.m):
            if part.begins[i]:
                _copy_rows(stage, learned, 0, 0, start, i, 0, u, 1)
            else:
                _copy_rows(stage, time_major(part.carried, u, piece.slots), piece.slot[i], 0, start, i, 0, u, 1)
    if piece.training and not part.call.reverse:
        _copy_rows(stage, start, 0, 0, part.every, 0, 0, u, piece.m)
    for i in range(piece.m if piece.training and part.call.reverse else 0):
        _copy_rows(stage, start, i, 0, part.every, i, piece.length[i] + 1, u, 1)


cdef void _copy_rows(const Stage *stage, cgru_array source, Py_ssize_t i, Py_ssize_t t, cgru_array to, Py_ssize_t row,
                     Py_ssize_t step, Py_ssize_t n, Py_ssize_t rows) noexcept nogil:
    """Copy step t of rows from i on to step `step` of the rows of `to` from `row` on; zeros if there is no source."""
    cdef int how = CGRU_ZERO if source.data == NULL else CGRU_COPY
    to.data = <char *>to.data + (row * to.sample + step * to.step) * stage.k.size
    if source.data == NULL:
        source = to
    else:
        source.data = <char *>source.data + (i * source.sample + t * source.step) * stage.k.size
    stage.k.combine(how, source, source, to, cgru_extent(rows, 1, NULL), n)


cdef void _carry_states(Stage *stage, Recurrent *part, const Piece *piece) noexcept nogil:
    """Store the state after each row's last step for the next piece."""
    cdef Py_ssize_t i, u = part.call.u
    cdef cgru_array to = time_major(part.carried, u, piece.slots)
    for i in range(piece.m):
        part.begun[piece.slot[i]] = True
        _copy_rows(stage, part.every, i, 1 if part.call.reverse else piece.length[i], to, piece.slot[i], 0, u, 1)


cdef void _draw_masks(Stage *stage, Recurrent *part, const Piece *piece) noexcept nogil:
    """Draw all masks of one GRU, in the same order as cgru/core/masks.py."""
    cdef Py_ssize_t u = part.call.u
    cdef int gate
    cdef double rate = part.recurrent_dropout
    if part.dropout:
        draw_mask(stage.k, part.random, part.dropout, False, part.mask, piece, 1, stage.n)
    for gate in range(3 if rate else 0):
        draw_mask(stage.k, part.random, rate, False, <char *>part.recurrent + gate * piece.m * u * stage.k.size, piece,
                  1, u)
    if part.zoneout:
        draw_mask(stage.k, part.random, part.zoneout, True, part.kept, piece, piece.s, u)


cdef void _apply_input_mask(const Stage *stage, const Recurrent *part, const Piece *piece, cgru_array a,
                            cgru_array to) noexcept nogil:
    """Write `a` times the dropout mask (m, e), which is the same at each step, to `to`."""
    stage.k.combine(CGRU_MULTIPLY, a, cgru_array(part.mask, stage.n, 0, 1), to, extent_of(piece, True), stage.n)


# --- backward ---

cdef int _backward(Stage *stage, const Piece *piece) except -1 nogil:
    """Run all GRUs of the layer backward: sum their dX, and compute the gradients."""
    cdef Back back = Back(stage, piece)
    cdef int i
    if _run_at_once(stage):
        share(_backward_alone, &back, 2, 2)
    else:
        for i in range(stage.parts):
            _backward_one(stage, i, piece, stage.scratch, stage.threads)
    if stage.parts == 2 and stage.dX.data != NULL:
        stage.k.combine(CGRU_ADD, stage.dX, _dX_of(stage, 1), stage.dX, extent_of(piece, True), stage.n)
    return 0


cdef struct Back:
    Stage *stage
    const Piece *piece


cdef void _backward_alone(void *work, Py_ssize_t i) noexcept nogil:
    """Run GRU i backward on this thread; called by `share`, `work` is a Back."""
    cdef Back *back = <Back *>work
    cdef const cgru_kernels *k = back.stage.k
    cdef Py_ssize_t start = i * _room_of(back.stage, &back.stage.part[0].now, 1, True)
    _backward_one(back.stage, i, back.piece, <char *>back.stage.scratch + start * k.size, 1)


cdef cgru_array _dX_of(const Stage *stage, int i) noexcept nogil:
    """Return where GRU i writes its dX; a NULL array if it is not needed."""
    cdef cgru_array dX = stage.dX
    if dX.data != NULL and i == 1:
        dX.data = (<Merging *>stage.own).second
    return dX


cdef cgru_array _unmerged_dA(Stage *stage, int i, const Piece *piece) noexcept nogil:
    """Return the gradient of GRU i's outputs from the layer's dA, backpropagated through the merge."""
    cdef Py_ssize_t u = stage.part[0].call.u, rows = piece.m * (piece.s if stage.steps_out else 1)
    cdef const Merging *own = <const Merging *>stage.own
    cdef cgru_array dA = stage.dA, to
    cdef int how
    if own.how == CONCAT:
        dA.data = <char *>dA.data + i * u * dA.column * stage.k.size
    elif own.how > SUM:
        to = time_major_array(<char *>own.unmerged + i * rows * u * stage.k.size, u, piece.m, dA.column)
        how = CGRU_HALVE if own.how == MEAN else CGRU_MULTIPLY
        stage.k.combine(how, dA, _outputs_to_merge(stage, 1 - i, piece), to, extent_of(piece, stage.steps_out), u)
        return to
    return dA


cdef void _fill(void *work, Py_ssize_t start, Py_ssize_t steps, cgru_array dA) noexcept nogil:
    """Let the next layer write its dX of some steps to dA; called before each block, `work` is the Stage."""
    cdef Stage *stage = <Stage *>work
    stage.above.fill(stage.above, start, steps, dA, stage.fill_memory)


cdef int _backward_one(Stage *stage, int i, const Piece *piece, void *scratch, int threads) except -1 nogil:
    """Run GRU i backward on a piece: write dX, and add to the gradients of the parameters."""
    cdef Recurrent *part = &stage.part[i]
    cdef cgru_array dX = _dX_of(stage, i)
    cdef cgru_call call = part.now, forward = part.now
    cdef cgru_array dA = _unmerged_dA(stage, i, piece)
    cdef Origin origin
    cdef Py_ssize_t row
    forward.last = no_array()
    origin.forward, origin.fill, origin.work = NULL, NULL, stage
    if (<Merging *>stage.own).low_memory:
        origin.forward = &forward
    if stage.above != NULL:
        origin.fill, dA = _fill, time_major_array(NULL, stage.u, piece.m, stage.above.X.column)
    call.dX, call.h0, call.last = dX, no_array(), no_array()
    if part.learned and stage.trainable:
        call.last = time_major(part.start, call.u, piece.m)
    if call.decay.data != NULL and (part.learned or part.factored) and stage.trainable:
        call.dhp = time_major_array(part.dhp, call.u, piece.m, call.column)
    if stage.steps_out:
        call.dA = dA
    else:
        call.h0 = dA
    part.block = blocks.run_in_workspace(
        &call, &part.w, &part.g if stage.trainable else NULL, &origin, stage.k, scratch, threads
    )
    if dX.data != NULL and part.dropout:
        _apply_input_mask(stage, part, piece, dX, dX)
    for row in range(piece.m if call.last.data != NULL else 0):
        if part.begins[row]:
            stage.k.add_multiple(part.g.h0, 1, 1, <char *>part.start + row * call.u * stage.k.size, call.u)
    if call.dhp.data != NULL and part.learned:
        stage.k.add_restarts(call.decay, call.dhp, extent_of(piece, True), part.g.h0, call.u)
    return 0
