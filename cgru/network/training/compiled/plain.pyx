"""The compiled layers that are not recurrent, and the head, which is a Dense with a loss.

Each stage has a `*_forward`, X to A, and a `*_backward`, dA to dX and gradients; arrays lie as stage.pxd describes.

    Dropout      A = X * mask
    Flip         A[t] = X[length - 1 - t]
    Pool         A = mean, maximum or last of X over the steps, or their sum weighted by attention
    Frames       A[j] = X[j hop - before + p dilation] for each p < length, with zeros past the ends, side by side
    Normalize    A = (X - mean) / deviation over the steps, and perhaps log(deviation) and mean, side by side
    LayerNorm    A = (X - mean) / sqrt(variance + eps) * scale + shift over the features
    Difference   A[t] = X[t] - X[t - 1], perhaps behind X[t]
    Embedding    A = E[tokens]
    Dense        A = activate(X W + b)
    elementwise  A = activate(X), or min(max(X * scale + shift, low), high)
"""

import numpy as np

cimport numpy as cnp
from cpython.pycapsule cimport PyCapsule_GetPointer
from libc.math cimport INFINITY
from libc.string cimport memcpy, memset

from cgru.core cimport gradients
from cgru.core.kernels cimport (
    CGRU_ADD, CGRU_ATTENTION, CGRU_COPY, CGRU_MULTIPLY, CGRU_NO_LOSS, CGRU_R, CGRU_ZERO, add_operand,
    cgru_activation, cgru_array, cgru_batch_linear, cgru_call, cgru_extent, cgru_gradients, cgru_kernels, cgru_loss,
    cgru_matrix, cgru_pool, cgru_product, new_product, pack, pack_bias, time_major_array, transpose, whole_lines,
)
from cgru.core.plan cimport GRADIENTS, largest_workspace_size
from cgru.core.threads cimport share, worth
from cgru.network.training.compiled.stage cimport (
    Arena, Piece, Size, Stage, address, assign, extent_of, in_lanes, input_as_rows, no_array, rows_at, time_major,
)

cnp.import_array()

cdef extern from "simd/cgru.h":
    enum: CGRU_IDENTITY

cdef enum:
    BLOCK_ROWS = 512  # rows of a block of a Dense, which one thread computes


# --- what only a stage of each kind knows ---

cdef struct Bounds:
    double low, high


cdef struct Mask:
    double rate
    bitgen_t *random  # the generator of a Dropout
    void *numbers  # (s, m, n) its mask


cdef struct Pooling:
    int how[5]  # the poolings, whose results stand side by side
    int count  # how many of these
    Py_ssize_t *chosen  # (m, u) the step that each number of a maximum, or of the last step, comes from
    Py_ssize_t scores  # columns of activate(X W + b), of which attention makes scores; 0: there is no attention
    void *hidden  # (s, m, scores) these; in the backward pass their gradients
    double *attention  # (s, m) the weights of the steps


cdef struct Framing:
    Py_ssize_t length, hop, before, zeros, fills, dilation  # the options of a Frames


cdef void *reserve(Py_ssize_t bytes, list memory) except NULL:
    """Return `bytes` zero bytes of memory, which lives as long as the list `memory`."""
    cdef cnp.ndarray own = np.zeros(bytes, np.uint8)
    memory.append(own)
    return cnp.PyArray_DATA(own)


cdef int make_plain(Stage *stage, dict description, random, list memory) except -1:
    """Set up a compiled layer without its memory, from the dict of `Layer.stage`; `memory` keeps objects alive."""
    cdef Bounds *bounds
    cdef Mask *mask
    cdef Pooling *pooling
    cdef Framing *framing
    cdef Py_ssize_t *columns
    cdef Join *join
    kind = description["kind"]
    stage.u, stage.steps_out = description.get("units", stage.n * description.get("times", 1)), stage.steps_in
    stage.plan, stage.workspace = _plan, plain_workspace
    stage.slots, stage.gradient_slots = <void **>&stage.W, <void **>&stage.dW
    stage.activates = "activate" in description
    if stage.activates:
        stage.activate.code, stage.activate.alpha = description["activate"]
    if kind == "dense":
        stage.forward, stage.backward = _dense_forward, _dense_backward
        if stage.steps_in:
            stage.fill, stage.fill_size = _fill_dense, _packed_size(stage)
    elif kind == "elementwise":
        stage.forward, stage.backward = _elementwise_forward, _elementwise_backward
        stage.own = bounds = <Bounds *>reserve(sizeof(Bounds), memory)
        low, high = description.get("low"), description.get("high")
        bounds.low, bounds.high = -INFINITY if low is None else low, INFINITY if high is None else high
    elif kind == "dropout":
        stage.forward, stage.backward, stage.may_return_input = _dropout_forward, _dropout_backward, True
        if description["rate"] is not None:
            stage.own = mask = <Mask *>reserve(sizeof(Mask), memory)
            mask.rate, mask.random = description["rate"], bit_generator_of(random)
    elif kind == "pool":
        stage.forward, stage.backward, stage.steps_out = _pool_forward, _pool_backward, False
        stage.own = pooling = <Pooling *>reserve(sizeof(Pooling), memory)
        for how in description["parts"]:
            pooling.how[pooling.count] = how
            pooling.count += 1
        stage.u, pooling.scores = pooling.count * stage.n, description.get("scores", 0)
    elif kind == "embedding":
        stage.forward, stage.backward, stage.steps_out = _embedding_forward, _embedding_backward, True
        stage.n = description["tokens"]
    elif kind == "frames":
        stage.forward, stage.backward, stage.lengths = _frames_forward, _frames_backward, _count_frames
        stage.own = framing = <Framing *>reserve(sizeof(Framing), memory)
        framing.length, framing.hop, framing.before, framing.zeros, framing.fills, framing.dilation = (
            description["numbers"]
        )
        stage.u, stage.stride = framing.length * stage.n, framing.hop
    elif kind == "join":
        join = <Join *>stage.own
        stage.forward, join.how = _join_forward, JOINING[description["how"]]
        if join.how == CGRU_COPY:
            stage.u = 0
            for i in range(stage.joins):
                stage.u += join.widths[i]
    elif kind == "select":
        stage.forward, stage.backward = _select_forward, _select_backward
        features = description["features"]
        stage.u, stage.may_return_input = len(features), features == [*range(features[0], features[0] + len(features))]
        stage.own = columns = <Py_ssize_t *>reserve(stage.u * sizeof(Py_ssize_t), memory)
        for i in range(stage.u):
            columns[i] = features[i]
    elif kind == "flip":
        stage.forward, stage.backward = _flip_forward, _flip_backward
    elif kind == "layer_norm":
        stage.forward, stage.backward = _layer_norm_forward, _layer_norm_backward
        stage.own = bounds = <Bounds *>reserve(sizeof(Bounds), memory)
        bounds.low = description["eps"]
    elif kind == "normalize":
        stage.forward, stage.backward = _normalize_forward, _normalize_backward
    elif kind == "difference":
        stage.forward, stage.backward = _difference_forward, _difference_backward
    else:
        raise ValueError(f"stage: expected one that is compiled, got {kind!r}")
    return 0


cdef dict JOINING = {"concatenate": CGRU_COPY, "add": CGRU_ADD, "multiply": CGRU_MULTIPLY}


cdef inline Py_ssize_t _count_rows(Py_ssize_t m, Py_ssize_t s, bint each) noexcept nogil:
    """Return the number of rows: m samples times s steps, or m if the layer has no outputs at `each` step."""
    return m * s if each else m


cdef void _plan(Stage *stage, Arena *arena, Size _, Size size, bint carries) noexcept:
    """Assign the memory of a compiled layer from `arena`; `size` is the size of its outputs."""
    cdef int bytes = stage.k.size
    cdef Pooling *pooling
    cdef Py_ssize_t numbers = (size.many if stage.steps_out else size.m) * stage.u
    stage.out = assign(arena, numbers, bytes)
    if stage.lengths != NULL:
        stage.running = <Py_ssize_t *>assign(arena, size.s + 1, sizeof(Py_ssize_t))
        stage.length = <Py_ssize_t *>assign(arena, size.m, sizeof(Py_ssize_t))
    if stage.forward == _dropout_forward and stage.own != NULL:
        (<Mask *>stage.own).numbers = assign(arena, numbers, bytes)
    if stage.forward == _pool_forward:
        pooling = <Pooling *>stage.own
        pooling.chosen = <Py_ssize_t *>assign(arena, size.m * stage.u, sizeof(Py_ssize_t))
        stage.Z = assign(arena, size.many * pooling.scores, bytes)
        pooling.hidden = assign(arena, size.many * pooling.scores, bytes)
        pooling.attention = <double *>assign(arena, size.many if pooling.scores else 0, sizeof(double))
    if stage.forward == _embedding_forward:
        stage.tokens = <Py_ssize_t *>assign(arena, size.many, sizeof(Py_ssize_t))
    if stage.forward == _dense_forward:
        stage.Z = assign(arena, numbers, bytes)


# --- Dropout, Flip ---

cdef bitgen_t *bit_generator_of(rng) except NULL:
    """Return the C struct of a `numpy.random.Generator`, which the caller keeps alive and locks."""
    return <bitgen_t *>PyCapsule_GetPointer(rng.bit_generator.capsule, "BitGenerator")


cdef void draw_mask(const cgru_kernels *k, bitgen_t *random, double rate, bint keeps, void *to, const Piece *piece,
                    Py_ssize_t steps, Py_ssize_t n) noexcept nogil:
    """Draw a mask `to` (steps, m, n) of dropout or, with `keeps`, of zoneout.

    The numbers drawn are those of `Generator.random`, sample by sample in the order of the batch, not of the rows.
    """
    cdef Py_ssize_t slot, row, t
    for slot in range(piece.slots):
        row = piece.row[slot]
        for t in range(steps if row < piece.m else 0):
            k.draw_mask(random.next_double, random.state, rate, keeps, <char *>to + (t * piece.m + row) * n * k.size, n)


cdef int _dropout_forward(Stage *stage, const Piece *piece) except -1 nogil:
    """Compute A = X * mask with a new mask in training; A = X otherwise."""
    cdef Py_ssize_t m = piece.m, n = stage.n
    cdef cgru_extent extent = extent_of(piece, stage.steps_in)
    cdef const Mask *mask = <const Mask *>stage.own
    if mask == NULL or not piece.training:
        stage.A = stage.X
        return 0
    input_as_rows(stage, piece)
    draw_mask(stage.k, mask.random, mask.rate, False, mask.numbers, piece, extent.s, n)
    stage.A = time_major(stage.out, n, m)
    stage.k.combine(CGRU_MULTIPLY, stage.X, time_major(mask.numbers, n, m), stage.A, extent, n)
    return 0


cdef int _dropout_backward(Stage *stage, const Piece *piece) except -1 nogil:
    """Compute dX = dA * mask."""
    cdef const Mask *own = <const Mask *>stage.own
    cdef cgru_array mask = stage.dA if own == NULL else time_major(own.numbers, stage.n, piece.m)
    stage.k.combine(CGRU_COPY if own == NULL else CGRU_MULTIPLY, stage.dA, mask, stage.dX,
                    extent_of(piece, stage.steps_in), stage.n)
    return 0


cdef void _reverse_steps(cgru_array a, cgru_array to, const Piece *piece, Py_ssize_t n, int size) noexcept nogil:
    """Copy the real steps of each row of `a` to `to` in reverse order."""
    cdef Py_ssize_t i, t
    for i in range(piece.m):
        for t in range(piece.length[i]):
            memcpy(address(to, i, t, size), address(a, i, piece.length[i] - 1 - t, size), n * size)


cdef int _flip_forward(Stage *stage, const Piece *piece) except -1 nogil:
    """Compute A: X with its real steps in reverse order."""
    stage.A = time_major(stage.out, stage.n, piece.m)
    _reverse_steps(input_as_rows(stage, piece), stage.A, piece, stage.n, stage.k.size)
    return 0


cdef int _flip_backward(Stage *stage, const Piece *piece) except -1 nogil:
    """Compute dX: dA with its real steps in reverse order."""
    _reverse_steps(stage.dA, stage.dX, piece, stage.n, stage.k.size)
    return 0


# --- joins, Select ---

cdef inline cgru_array _from_column(cgru_array a, Py_ssize_t column, int size) noexcept nogil:
    """Return a view of an array's columns from a column on."""
    a.data = <char *>a.data + column * a.column * size
    return a


cdef int _join_forward(Stage *stage, const Piece *piece) except -1 nogil:
    """Compute A: the branches' outputs concatenated, added or multiplied."""
    cdef cgru_extent extent = extent_of(piece, stage.steps_in)
    cdef const Join *join = <const Join *>stage.own
    cdef cgru_array to = time_major(stage.out, stage.u, piece.m), part = join.parts[0]
    cdef int j
    stage.A = to
    for j in range(stage.joins):
        if join.how == CGRU_COPY:
            stage.k.combine(CGRU_COPY, join.parts[j], join.parts[j], to, extent, join.widths[j])
            to = _from_column(to, join.widths[j], stage.k.size)
        elif j:
            stage.k.combine(join.how, part, join.parts[j], to, extent, stage.u)
            part = to
    return 0


cdef int _select_forward(Stage *stage, const Piece *piece) except -1 nogil:
    """Compute A: the selected columns of X, without a copy if they are next to each other."""
    cdef cgru_extent extent = extent_of(piece, stage.steps_in)
    cdef cgru_array x, A = time_major(stage.out, stage.u, piece.m)
    cdef const Py_ssize_t *columns = <const Py_ssize_t *>stage.own
    cdef Py_ssize_t j
    stage.A = A
    if stage.may_return_input:
        stage.A = _from_column(stage.X, columns[0], stage.k.size)
        return 0
    for j in range(stage.u):
        x = _from_column(stage.X, columns[j], stage.k.size)
        stage.k.combine(CGRU_COPY, x, x, _from_column(A, j, stage.k.size), extent, 1)
    return 0


cdef int _select_backward(Stage *stage, const Piece *piece) except -1 nogil:
    """Compute dX: dA at the selected columns, and zero at the others."""
    cdef cgru_extent extent = extent_of(piece, stage.steps_in)
    cdef cgru_array to
    cdef const Py_ssize_t *columns = <const Py_ssize_t *>stage.own
    cdef Py_ssize_t j
    stage.k.combine(CGRU_ZERO, stage.dX, stage.dX, stage.dX, extent, stage.n)
    for j in range(stage.u):
        to = _from_column(stage.dX, columns[j], stage.k.size)
        stage.k.combine(CGRU_ADD, to, _from_column(stage.dA, j, stage.k.size), to, extent, 1)
    return 0


# --- Pool ---

cdef Stage _score_stage(const Stage *stage) noexcept nogil:
    """Return a compiled Dense layer with which a Pool computes activate(X W + b) for attention scores."""
    cdef const Pooling *own = <const Pooling *>stage.own
    cdef Stage score = stage[0]
    score.forward, score.u, score.out = _dense_forward, own.scores, own.hidden
    return score


cdef cgru_pool _pooling(const Stage *stage, const Piece *piece) noexcept nogil:
    """Return the arguments of a Pool's reductions."""
    cdef const Pooling *own = <const Pooling *>stage.own
    cdef cgru_pool pool = cgru_pool(piece.m, stage.n, stage.u, piece.length, stage.X, stage.dA, stage.dX, stage.out,
                                    own.chosen, own.scores, own.hidden, stage.V, NULL, own.attention)
    if stage.trainable:
        pool.dV = stage.dV
    return pool


cdef int _pool_forward(Stage *stage, const Piece *piece) except -1 nogil:
    """Compute A: the mean, maximum, last step or attention-weighted sum of X over each sample's steps.

    Or several of these side by side.
    """
    cdef const Pooling *own = <const Pooling *>stage.own
    cdef cgru_pool pool
    cdef Stage score
    cdef int part
    input_as_rows(stage, piece)
    stage.A = time_major(stage.out, stage.u, piece.m)
    if own.scores:
        score = _score_stage(stage)
        _dense_forward(&score, piece)
    pool = _pooling(stage, piece)
    for part in range(own.count):
        stage.k.pool_forward(&pool, own.how[part], part)
    return 0


cdef int _attention_backward(Stage *stage, const Piece *piece, int part) except -1 nogil:
    """Compute the gradients of the scores in reduction number `part`, and what they add to dX.

    Without V, b is added to every score, which changes no weight: its gradient is zero, where rounding would leave
    noise.
    """
    cdef Stage score = _score_stage(stage)
    cdef cgru_pool pool = _pooling(stage, piece)
    stage.k.score_backward(&pool, part)
    score.dA = time_major(score.out, score.u, piece.m)
    _dense_backward(&score, piece)
    if stage.V == NULL:
        memset(stage.db, 0, stage.k.size)
    return 0


cdef int _pool_backward(Stage *stage, const Piece *piece) except -1 nogil:
    """Compute dX: dA at the chosen step, dA / length at each step for a mean, or by the attention weights."""
    cdef const Pooling *own = <const Pooling *>stage.own
    cdef cgru_pool pool = _pooling(stage, piece)
    cdef int part
    for part in range(own.count):
        if own.how[part] == CGRU_ATTENTION:
            _attention_backward(stage, piece, part)
    if stage.dX.data == NULL:
        return 0
    if own.scores == 0:  # else dX by way of the scores is there
        stage.k.combine(CGRU_ZERO, stage.dX, stage.dX, stage.dX, extent_of(piece, True), stage.n)
    for part in range(own.count):
        stage.k.pool_backward(&pool, own.how[part], part)
    return 0


# --- Frames ---

cdef Py_ssize_t _count_frames(const Stage *stage, Py_ssize_t s) noexcept nogil:
    """Return the number of frames of s steps, as `Frames.count` does."""
    cdef const Framing *own = <const Framing *>stage.own
    cdef Py_ssize_t span = (own.length - 1) * own.dilation + 1, hop = own.hop
    if own.fills:
        return min((s + hop - 1) // hop, 1 + (max(0, s - span) + hop - 1) // hop)
    return 1 + (s + own.zeros - span) // hop


cdef int _frames_forward(Stage *stage, const Piece *piece) except -1 nogil:
    """Compute A[j]: the steps of frame j side by side, with zeros for steps outside the sample."""
    cdef const Framing *own = <const Framing *>stage.own
    cdef Py_ssize_t i, j, p, t, m = piece.m, n = stage.n
    cdef int size = stage.k.size
    cdef char *to
    input_as_rows(stage, piece)
    stage.A = time_major(stage.out, stage.u, m)
    for j in range(stage.output_piece.s):
        for i in range(rows_at(&stage.output_piece, True, j)):
            for p in range(own.length):
                t = j * own.hop - own.before + p * own.dilation
                to = address(stage.A, i, j, size) + p * n * size
                if 0 <= t < piece.length[i]:
                    memcpy(to, address(stage.X, i, t, size), n * size)
                else:
                    memset(to, 0, n * size)
    return 0


cdef int _frames_backward(Stage *stage, const Piece *piece) except -1 nogil:
    """Compute dX[t]: dA summed over all frames that contain step t."""
    cdef const Framing *own = <const Framing *>stage.own
    cdef Py_ssize_t i, j, p, t, n = stage.n
    cdef int size = stage.k.size
    cdef const char *d
    stage.k.combine(CGRU_ZERO, stage.dX, stage.dX, stage.dX, extent_of(piece, True), n)
    for p in range(own.length):
        for j in range(stage.output_piece.s):
            t = j * own.hop - own.before + p * own.dilation
            for i in range(rows_at(&stage.output_piece, True, j)):
                d = address(stage.dA, i, j, size) + p * n * size
                if 0 <= t < piece.length[i]:
                    stage.k.add_multiple(address(stage.dX, i, t, size), 1, 1, d, n)
    return 0


# --- Normalize ---

cdef int _normalize_forward(Stage *stage, const Piece *piece) except -1 nogil:
    """Compute A = (X - mean) / deviation over each row's steps; with 3 n outputs also log(deviation) and mean."""
    input_as_rows(stage, piece)
    stage.A = time_major(stage.out, stage.u, piece.m)
    stage.k.normalize_steps(stage.X, piece.length, piece.m, stage.n, stage.u > stage.n, stage.A)
    return 0


cdef int _normalize_backward(Stage *stage, const Piece *piece) except -1 nogil:
    """Compute dX = (dA - mean(dA) - A * mean(dA * A)) / deviation, and add what log(deviation) and mean contribute."""
    stage.k.normalize_steps_backward(stage.X, stage.dA, piece.length, piece.m, stage.n, stage.u > stage.n, stage.dX)
    return 0


# --- Difference ---

cdef int _difference_forward(Stage *stage, const Piece *piece) except -1 nogil:
    """Compute A[t] = X[t] - X[t - 1], 0 at the first step; with 2 n outputs X[t] comes before it."""
    cdef Py_ssize_t t
    cdef int size = stage.k.size
    cdef cgru_array X = input_as_rows(stage, piece)
    stage.A = time_major(stage.out, stage.u, piece.m)
    for t in range(piece.s):
        stage.k.subtract_rows(address(X, 0, t, size), X.sample, address(X, 0, t - 1, size) if t else NULL, X.sample,
                              address(stage.A, 0, t, size), rows_at(piece, True, t), stage.n, stage.u)
    return 0


cdef int _difference_backward(Stage *stage, const Piece *piece) except -1 nogil:
    """Compute dX[t] = dA[t] - dA[t + 1] of the differences, and add the dA[t] of X itself, if that is kept."""
    cdef Py_ssize_t i, t, n = stage.n
    cdef int size = stage.k.size
    cdef const char *d
    cdef char *to
    for t in range(piece.s):
        for i in range(rows_at(piece, True, t)):
            d, to = address(stage.dA, i, t, size), address(stage.dX, i, t, size)
            if stage.u > n:
                memcpy(to, d, n * size)
                d += n * size
            else:
                memset(to, 0, n * size)
            if t:
                stage.k.add_multiple(to, 1, 1, d, n)
            if t + 1 < piece.length[i]:
                stage.k.add_multiple(to, 1, -1, d + stage.dA.step * size, n)
    return 0


# --- Embedding ---

cdef int _embedding_forward(Stage *stage, const Piece *piece) except -1 nogil:
    """Compute A = E[tokens]."""
    cdef Py_ssize_t t, i, m = piece.m, bytes = stage.u * stage.k.size
    stage.A = time_major(stage.out, stage.u, m)
    for t in range(piece.s):
        for i in range(rows_at(piece, True, t)):
            memcpy(<char *>stage.out + (t * m + i) * bytes, stage.W + stage.tokens[t * m + i] * bytes, bytes)
    return 0


cdef int _embedding_backward(Stage *stage, const Piece *piece) except -1 nogil:
    """Add dA to the rows of dE of its tokens."""
    cdef Py_ssize_t t, i, m = piece.m, u = stage.u
    cdef int size = stage.k.size
    for t in range(piece.s):
        for i in range(rows_at(piece, True, t)):
            stage.k.add_multiple(stage.dW + stage.tokens[t * m + i] * u * size, 1, 1, address(stage.dA, i, t, size), u)
    return 0


# --- Dense ---

cdef struct Work:
    const Stage *stage
    const Piece *piece
    cgru_product product
    cgru_batch_linear batch_linear  # in place of `product`, where X is in lanes
    cgru_loss loss  # the activation, the loss and their derivatives
    double *value  # (blocks) the loss of each block of rows
    double *right  # (blocks) the weight of its right classes
    char *work  # workspace of the loss, for each block


cdef Work _new_work(const Stage *stage, const Piece *piece) noexcept nogil:
    """Return the description of a Dense's product and loss on a piece, with all other fields zero."""
    cdef Work work
    memset(&work, 0, sizeof(Work))
    work.stage, work.piece = stage, piece
    return work


cdef inline bint _blocks_are_steps(const Stage *stage, const Piece *piece) noexcept nogil:
    """Return whether each block of rows is one step: for ragged batches and one sample per SIMD lane."""
    return stage.steps_in and (piece.running != NULL or in_lanes(stage.X))


cdef Py_ssize_t _count_blocks(const Stage *stage, const Piece *piece) noexcept nogil:
    """Return the number of blocks of rows: one per step, or of `BLOCK_ROWS` rows each."""
    if _blocks_are_steps(stage, piece):
        return piece.s
    return (_count_rows(piece.m, piece.s, stage.steps_in) + BLOCK_ROWS - 1) // BLOCK_ROWS


cdef void _rows_of_block(const Work *work, Py_ssize_t part, Py_ssize_t *row, Py_ssize_t *rows) noexcept nogil:
    """Set `row` and `rows` to the first row of block number `part` and its number of rows."""
    cdef const Piece *piece = work.piece
    if _blocks_are_steps(work.stage, piece):
        row[0], rows[0] = part * piece.m, rows_at(piece, True, part)
    else:
        row[0] = part * BLOCK_ROWS
        rows[0] = min(BLOCK_ROWS, _count_rows(piece.m, piece.s, work.stage.steps_in) - row[0])


cdef void _compute_block(void *given, Py_ssize_t part) noexcept nogil:
    """Compute the product, and the loss if there is one, of block number `part`; called by `share`."""
    cdef Work *work = <Work *>given
    cdef const cgru_kernels *k = work.stage.k
    cdef Py_ssize_t row = 0, rows = 0
    cdef cgru_loss loss = work.loss
    _rows_of_block(work, part, &row, &rows)
    if rows == 0:
        return
    if work.batch_linear.n:
        k.batch_linear(&work.batch_linear, part, rows)
        loss.Z = _step_in_lanes(loss.Z, work.batch_linear.out, part, k.size)
        loss.dZ = _step_in_lanes(loss.dZ, work.batch_linear.out, part, k.size)
    elif work.product.columns:
        k.product(&work.product, 0, row, rows)
    if loss.k:
        loss.work = work.work + part * _loss_workspace_size(k, loss.k) * k.size
        k.loss(&loss, row, rows, &work.value[part], &work.right[part])


cdef cgru_matrix _step_in_lanes(cgru_matrix rows, cgru_array lanes, Py_ssize_t t, int size) noexcept nogil:
    """Return step t of an array with samples in SIMD lanes as a matrix with rows numbered as in (s, m, n)."""
    if rows.data == NULL:
        return rows
    return cgru_matrix(<const char *>lanes.data + t * (lanes.step - lanes.column) * size, 1, lanes.column)


cdef Py_ssize_t _loss_workspace_size(const cgru_kernels *k, Py_ssize_t outputs) noexcept nogil:
    """Return how many numbers of workspace the loss needs for one block."""
    return whole_lines(2 * outputs * k.lanes, k.size)


cdef void _compute_blocks(Work *work) noexcept nogil:
    """Compute all blocks, on as many threads as the work warrants."""
    cdef const Stage *stage = work.stage
    cdef double flop = 2.0 * (stage.n if stage.forward == _dense_forward else 8) * stage.u
    flop *= _count_rows(work.piece.m, work.piece.s, stage.steps_in)
    share(_compute_block, work, _count_blocks(stage, work.piece), worth(flop, stage.threads))


cdef Py_ssize_t _packed_size(const Stage *stage) noexcept nogil:
    """Return how many numbers the packed W (or its transpose) and b need."""
    cdef Py_ssize_t lanes = stage.k.lanes
    if stage.forward != _dense_forward:
        return 0
    return whole_lines(max((stage.n + 1) * (stage.u + lanes), stage.u * (stage.n + lanes)), stage.k.size)


cdef Py_ssize_t plain_workspace(const Stage *stage, Py_ssize_t m, Py_ssize_t s, bint back) noexcept:
    """Return how many numbers of workspace a compiled layer needs for m rows and s steps; `back`: also backward."""
    cdef Piece piece
    cdef cgru_call call
    cdef Py_ssize_t parts, room
    cdef Stage score
    if stage.forward == _pool_forward and (<Pooling *>stage.own).scores:
        score = _score_stage(stage)
        return plain_workspace(&score, m, s, back)
    if not stage.activates:
        return 0
    memset(&piece, 0, sizeof(Piece))
    piece.m, piece.s = m, s
    parts = max(s, _count_blocks(stage, &piece))
    room = _packed_size(stage) + parts * (_loss_workspace_size(stage.k, stage.u) + 2 * sizeof(double))
    if stage.forward != _dense_forward:
        return room
    call = _sums_call(stage, &piece)
    return max(room, largest_workspace_size(stage.k, &call, GRADIENTS, stage.threads)) if back else room


cdef Work _product_work(const Stage *stage, const Piece *piece, cgru_array X, bint back,
                        cgru_call *call) noexcept nogil:
    """Return the work of X W + b, or with `back` of X W^T, with packed weights; the caller sets the output."""
    cdef const cgru_kernels *k = stage.k
    cdef cgru_matrix W = cgru_matrix(stage.W, stage.u, 1), b = cgru_matrix(stage.b, stage.u, 1)
    cdef Py_ssize_t n = stage.u if back else stage.n, u = stage.n if back else stage.u
    cdef Py_ssize_t columns = (u + k.lanes - 1) // k.lanes * k.lanes
    cdef char *memory = <char *>stage.scratch
    cdef Work work = _new_work(stage, piece)
    memset(call, 0, sizeof(cgru_call))
    call.m = _count_rows(piece.m, piece.s, stage.steps_in)
    work.product = new_product(k, call, k.store_product, u, memory, NULL if back else memory + n * columns * k.size)
    add_operand(&work.product, X.data, X.sample, n)
    pack(k, &work.product, 0, 0, transpose(W) if back else W, n, u)
    if not back:
        pack_bias(k, &work.product, 0, b, u)
    return work


cdef int _dense_forward(Stage *stage, const Piece *piece) except -1 nogil:
    """Compute Z = X W + b and A = activate(Z), for a Dense that is not the head or has no loss."""
    cdef cgru_loss loss = _activation_criterion(stage, stage.u)
    cdef double value, right
    input_as_rows(stage, piece)
    stage.A = time_major(stage.out, stage.u, piece.m)
    loss.A = cgru_matrix(stage.out, stage.u, 1)
    return head_forward(stage, piece, &loss, False, &value, &right)


cdef Stage make_product(const Stage *stage, Py_ssize_t u, char *W, char *b) noexcept nogil:
    """Return a compiled Dense without activation that uses another layer's input and workspace."""
    cdef Stage dense = stage[0]
    dense.forward, dense.u, dense.W, dense.b, dense.parts = _dense_forward, u, W, b, 0
    dense.activates, dense.activate, dense.dX = True, cgru_activation(CGRU_IDENTITY, 0), no_array()
    return dense


cdef void dense_product(Stage *stage, const Piece *piece) noexcept nogil:
    """Compute Z = X W + b."""
    cdef cgru_call call
    cdef Work work = _product_work(stage, piece, stage.X, False, &call)
    work.product.out = cgru_array(stage.Z, stage.u, 0, 1)
    _compute_blocks(&work)


cdef cgru_loss _activation_criterion(const Stage *stage, Py_ssize_t u) noexcept nogil:
    """Return a `cgru_loss` that computes only the activation of u columns."""
    cdef cgru_loss loss
    memset(&loss, 0, sizeof(cgru_loss))
    loss.kind, loss.activate, loss.k = CGRU_NO_LOSS, stage.activate, u
    loss.Z = cgru_matrix(stage.Z, u, 1)
    return loss


cdef void _compute_in_workspace(Stage *stage, const Piece *piece, Work *work) noexcept nogil:
    """Run the work, with the workspace of its losses after the packed weights."""
    cdef Py_ssize_t parts = _count_blocks(stage, piece)
    cdef char *free = <char *>stage.scratch + _packed_size(stage) * stage.k.size
    work.value, work.right = <double *>free, <double *>free + parts
    work.work = free + (2 * parts * sizeof(double) + 63) // 64 * 64
    memset(work.value, 0, 2 * parts * sizeof(double))
    _compute_blocks(work)


cdef int _dense_backward(Stage *stage, const Piece *piece) except -1 nogil:
    """Compute dZ = dA * activate'(Z), overwriting Z; then dX and gradients as for a head."""
    cdef Work work = _new_work(stage, piece)
    work.loss = _activation_criterion(stage, stage.u)
    work.loss.Y = cgru_matrix(stage.dA.data, stage.dA.sample, 1)
    work.loss.dZ = cgru_matrix(stage.Z, stage.u, 1)
    _compute_in_workspace(stage, piece, &work)
    return head_backward(stage, piece)


# --- elementwise ---

cdef Work _activation_work(Stage *stage, const Piece *piece) noexcept nogil:
    """Return the work that applies the activation to the rows of X; the caller sets the output."""
    cdef Work work = _new_work(stage, piece)
    work.loss = _activation_criterion(stage, stage.n)
    work.loss.Z = cgru_matrix(stage.X.data, stage.X.sample, 1)
    return work


cdef int _elementwise_forward(Stage *stage, const Piece *piece) except -1 nogil:
    """Compute A = activate(X), or min(max(X * scale + shift, low), high)."""
    cdef const Bounds *own = <const Bounds *>stage.own
    cdef Work work
    input_as_rows(stage, piece)
    stage.A = time_major(stage.out, stage.n, piece.m)
    if stage.activates:
        work = _activation_work(stage, piece)
        work.loss.A = cgru_matrix(stage.out, stage.n, 1)
        _compute_in_workspace(stage, piece, &work)
    else:
        stage.k.scale_clip(stage.X, stage.W, stage.b, own.low, own.high, stage.A, extent_of(piece, stage.steps_in),
                           stage.n)
    return 0


cdef inline void *_gradients_of_scale(const Stage *stage) noexcept nogil:
    """Return where the gradients of a scale are added; NULL if there is no scale, or it is frozen."""
    return stage.dW if stage.trainable else NULL


cdef int _elementwise_backward(Stage *stage, const Piece *piece) except -1 nogil:
    """Compute dX and the gradients of scale and shift of an elementwise layer."""
    cdef const Bounds *own = <const Bounds *>stage.own
    cdef Work work
    cdef void *dscale = _gradients_of_scale(stage)
    if stage.activates:
        work = _activation_work(stage, piece)
        work.loss.Y = cgru_matrix(stage.dA.data, stage.dA.sample, 1)
        work.loss.dZ = cgru_matrix(stage.dX.data, stage.n, 1)
        _compute_in_workspace(stage, piece, &work)
    else:
        stage.k.scale_clip_backward(stage.X, stage.dA, stage.W, own.low, own.high, stage.dX,
                                    dscale, stage.db,
                                    extent_of(piece, stage.steps_in), stage.n)
    return 0


# --- LayerNorm ---

cdef int _layer_norm_forward(Stage *stage, const Piece *piece) except -1 nogil:
    """Compute A = N * scale + shift, N = (X - mean) / sqrt(variance + eps) over the features of a step."""
    input_as_rows(stage, piece)
    stage.A = time_major(stage.out, stage.n, piece.m)
    stage.k.normalize_rows(stage.X, stage.W, stage.b, (<Bounds *>stage.own).low, stage.A,
                           extent_of(piece, stage.steps_in), stage.n)
    return 0


cdef int _layer_norm_backward(Stage *stage, const Piece *piece) except -1 nogil:
    """Compute dX = (d - mean(d) - N * mean(d * N)) / sqrt(variance + eps), d = dA * scale; add to dscale and dshift."""
    cdef void *dscale = _gradients_of_scale(stage)
    stage.k.normalize_rows_backward(stage.X, stage.dA, stage.W, (<Bounds *>stage.own).low, stage.dX, dscale, stage.db,
                                    extent_of(piece, stage.steps_in), stage.n)
    return 0


# --- a head ---

cdef int head_forward(Stage *stage, const Piece *piece, const cgru_loss *loss, bint back, double *value,
                      double *right) except -1 nogil:
    """Compute Z = X W + b and the loss of activate(Z); with `back` overwrite Z by dL/dZ.

    `value` is set to the loss, `right` to the weight of right classes.
    """
    cdef cgru_call call
    cdef Work work
    cdef Py_ssize_t part
    if in_lanes(stage.X):
        work = _lanes_work(stage, piece, False)
    else:
        work = _product_work(stage, piece, stage.X, False, &call)
        work.product.out = cgru_array(stage.Z, stage.u, 0, 1)
    work.loss = loss[0]
    work.loss.activate, work.loss.k = stage.activate, stage.u
    work.loss.Z = cgru_matrix(stage.Z, stage.u, 1)
    if back:
        work.loss.dZ = work.loss.Z
    _compute_in_workspace(stage, piece, &work)
    value[0] = right[0] = 0
    for part in range(_count_blocks(stage, piece)):
        value[0] += work.value[part]
        right[0] += work.right[part]
    return 0


cdef cgru_call _sums_call(const Stage *stage, const Piece *piece) noexcept nogil:
    """Return a gradients call for dW = X^T dZ and db = sum of dZ, with dZ in the place of a gate's gradient."""
    cdef cgru_call call
    cdef Py_ssize_t lanes = stage.k.lanes
    memset(&call, 0, sizeof(cgru_call))
    call.m, call.s, call.e, call.u = piece.m, piece.s if stage.steps_in else 1, stage.n, stage.u
    call.running, call.linear = piece.running if stage.steps_in else NULL, True
    call.up, call.ep = (call.u + lanes - 1) // lanes * lanes, (call.e + lanes - 1) // lanes * lanes
    call.X, call.dr_ = stage.X, time_major(stage.Z, stage.u, piece.m)
    return call


cdef Work _lanes_work(const Stage *stage, const Piece *piece, bint back) noexcept nogil:
    """Return the work of X W + b, or with `back` of dX = dZ W^T, with one sample per SIMD lane."""
    cdef Work work = _new_work(stage, piece)
    cdef cgru_array Z = time_major_array(stage.Z, stage.u, piece.m, stage.X.column)
    work.batch_linear.W = cgru_matrix(stage.W, 1, stage.u) if back else cgru_matrix(stage.W, stage.u, 1)
    work.batch_linear.b = NULL if back else stage.b
    work.batch_linear.k, work.batch_linear.n = stage.u if back else stage.n, stage.n if back else stage.u
    work.batch_linear.X, work.batch_linear.out = Z if back else stage.X, stage.dX if back else Z
    return work


cdef int _lanes_backward(Stage *stage, const Piece *piece) except -1 nogil:
    """Compute the gradients of a head with one sample per SIMD lane."""
    cdef Work work
    if stage.trainable:
        work = _lanes_work(stage, piece, False)
        stage.k.batch_linear_gradients(&work.batch_linear, piece.m, piece.s, piece.running, stage.dW, stage.db)
    return 0


cdef void _compute_dX(const Stage *stage, const Piece *piece, int chains) noexcept nogil:
    """Compute dX = dZ W^T, with each number summed in `chains` partial sums."""
    cdef cgru_call call
    cdef Work work
    if in_lanes(stage.X):
        work = _lanes_work(stage, piece, True)
    else:
        work = _product_work(stage, piece, time_major(stage.Z, stage.u, piece.m), True, &call)
        work.product.out, work.product.chains = cgru_array(stage.dX.data, stage.n, 0, 1), chains
    _compute_blocks(&work)


cdef inline int _chains_of(const Stage *stage, const Piece *piece) noexcept nogil:
    """Return in how many partial sums dX is computed, as `new_product` does: more for a single row."""
    return 4 if _count_rows(piece.m, piece.s, stage.steps_in) == 1 else 1


cdef void _fill_dense(const Stage *stage, Py_ssize_t start, Py_ssize_t steps, cgru_array dX,
                      void *memory) noexcept nogil:
    """Write dX of some steps, from the dZ that `_dense_backward` or the loss computed."""
    cdef Stage part = stage[0]
    cdef Piece piece = stage.piece[0]
    piece.s = steps
    if piece.running != NULL:
        piece.running += start
    part.Z = <char *>part.Z + start * piece.m * part.u * part.k.size
    part.dX, part.scratch = dX, memory
    _compute_dX(&part, &piece, _chains_of(stage, stage.piece))


cdef int head_backward(Stage *stage, const Piece *piece) except -1 nogil:
    """Compute dX = dZ W^T, and add to dW and db."""
    cdef cgru_call call
    cdef cgru_gradients g
    if stage.dX.data != NULL:
        _compute_dX(stage, piece, _chains_of(stage, piece))
    if in_lanes(stage.X):
        return _lanes_backward(stage, piece)
    if stage.trainable:
        memset(&g, 0, sizeof(cgru_gradients))
        g.U[CGRU_R], g.b[CGRU_R] = stage.dW, stage.db
        call = _sums_call(stage, piece)
        gradients.run_in_workspace(&call, &g, stage.k, stage.scratch, stage.threads)
    return 0
