"""The stages of a compiled network that are not recurrent, and the head, a Dense with a loss.

Each stage has a `*_forward`, X to A, and a `*_backward`, dA to dX and gradients; arrays lie as stage.pxd describes.

    Dropout      A = X * mask
    Flip         A[t] = X[length - 1 - t]
    Pool         A = mean, maximum or last of X over the steps
    Frames       A[j] = X[j hop - before : j hop - before + length], with zeros past the ends, side by side
    Embedding    A = E[tokens]
    Dense        A = activate(X W + b)
    elementwise  A = activate(X), or min(max(X * scale + shift, low), high)
"""

from cython cimport floating
from libc.math cimport INFINITY
from libc.string cimport memcpy, memset

from cgru.core cimport gradients
from cgru.core.kernels cimport (
    CGRU_NO_LOSS, CGRU_R, add_operand, cgru_array, cgru_call, cgru_criterion, cgru_few_linear, cgru_gradients,
    cgru_kernels, cgru_matrix, cgru_product, new_product, pack, pack_bias, transpose, whole_lines,
)
from cgru.core.plan cimport GRADIENTS, most_numbers
from cgru.core.threads cimport share, worth
from cgru.network.training.compiled.numbers cimport COPY, MULTIPLY, add, bound, combine, draw, in_rows, kept_by
from cgru.network.training.compiled.random cimport generator
from cgru.network.training.compiled.stage cimport Arena, Piece, Size, Stage, in_lanes, laid, live, take, timed

cdef enum:
    AVERAGE, LARGEST, LAST  # the poolings of a Pool
    MANY = 512  # rows of a block of a Dense, which one thread computes

cdef enum:
    LENGTH, HOP, BEFORE, ZEROS, FILLS  # indices of Frames' options in `Stage.numbers`

cdef dict HOW = {"mean": AVERAGE, "max": LARGEST, "last": LAST}


cdef int make_plain(Stage *stage, dict said, random) except -1:
    """Set up a stage, without its memory, from the dict that `Layer.stage` returned."""
    kind = said["kind"]
    stage.u, stage.steps_out = said.get("units", stage.n), stage.steps_in
    stage.activates = "activate" in said
    if stage.activates:
        stage.activate.code, stage.activate.alpha = said["activate"]
    if kind == "dense":
        stage.forward, stage.backward = _dense, _dense_back
    elif kind == "elementwise":
        stage.forward, stage.backward = _each, _each_back
        low, high = said.get("low"), said.get("high")
        stage.low, stage.high = -INFINITY if low is None else low, INFINITY if high is None else high
    elif kind == "dropout":
        stage.forward, stage.backward, stage.hands_on = _drop, _drop_back, True
        if said["rate"] is not None:
            stage.rate, stage.random = said["rate"], generator(random)
    elif kind == "pool":
        stage.forward, stage.backward, stage.steps_out = _pool, _pool_back, False
        for how in said["parts"]:
            stage.how[stage.hows] = HOW[how]
            stage.hows += 1
        stage.u = stage.hows * stage.n
    elif kind == "embedding":
        stage.forward, stage.backward, stage.steps_out = _look_up, _add_up, True
        stage.n = said["tokens"]
    elif kind == "frames":
        stage.forward, stage.backward, stage.lengths = _frame, _unframe, _count_frames
        for i, number in enumerate(said["numbers"]):
            stage.numbers[i] = number
        stage.u, stage.stride = stage.numbers[LENGTH] * stage.n, stage.numbers[HOP]
    elif kind == "flip":
        stage.forward, stage.backward = _flip, _flip_back
    else:
        raise ValueError(f"stage: expected one that is compiled, got {kind!r}")
    return 0


cdef inline Py_ssize_t _rows_of(Py_ssize_t m, Py_ssize_t s, bint each) noexcept nogil:
    """Return the number of rows: of m samples at s steps, or without `each` step m."""
    return m * s if each else m


cdef void lay_plain(Stage *stage, Arena *arena, Size size) noexcept:
    """Assign the memory of a stage; `size` is that of its outputs."""
    cdef int bytes = stage.k.size
    cdef Py_ssize_t numbers = (size.many if stage.steps_out else size.m) * stage.u
    stage.out = take(arena, numbers, bytes)
    if stage.lengths != NULL:
        stage.running = <Py_ssize_t *>take(arena, size.s + 1, sizeof(Py_ssize_t))
        stage.length = <Py_ssize_t *>take(arena, size.m, sizeof(Py_ssize_t))
    if stage.random != NULL:
        stage.mask = take(arena, numbers, bytes)
    if stage.forward == _pool:
        stage.chosen = <Py_ssize_t *>take(arena, size.m * stage.u, sizeof(Py_ssize_t))
    if stage.forward == _look_up:
        stage.tokens = <Py_ssize_t *>take(arena, size.many, sizeof(Py_ssize_t))
    if stage.forward == _dense:
        stage.Z = take(arena, numbers, bytes)


# --- Dropout, Flip ---

cdef int _drop(Stage *stage, const Piece *piece) except -1 nogil:
    """A = X * mask, drawn for each sample, step and number; A = X outside training."""
    cdef Py_ssize_t m = piece.m, n = stage.n
    cdef int size = stage.k.size
    if stage.random == NULL or not piece.training:
        stage.A = stage.X
        return 0
    in_rows(stage, piece)
    draw(stage.random, stage.rate, 0, kept_by(stage.rate, size), stage.mask, piece, piece.s if stage.steps_in else 1,
         n, size)
    stage.A = timed(stage.out, n, m)
    combine(MULTIPLY, stage.X, timed(stage.mask, n, m), stage.A, piece, stage.steps_in, n, size)
    return 0


cdef int _drop_back(Stage *stage, const Piece *piece) except -1 nogil:
    """dX = dA * mask"""
    cdef cgru_array mask = timed(stage.mask, stage.n, piece.m) if stage.random != NULL else stage.dA
    combine(COPY if stage.random == NULL else MULTIPLY, stage.dA, mask, stage.dX, piece, stage.steps_in, stage.n,
            stage.k.size)
    return 0


cdef inline char *_at(cgru_array a, Py_ssize_t i, Py_ssize_t t, int size) noexcept nogil:
    """Return the address of row i at step t."""
    return <char *>a.data + (i * a.sample + t * a.step) * size


cdef void _reverse(cgru_array a, cgru_array to, const Piece *piece, Py_ssize_t n, int size) noexcept nogil:
    """Copy the real steps of each row of `a` to `to` in reverse order."""
    cdef Py_ssize_t i, t
    for i in range(piece.m):
        for t in range(piece.length[i]):
            memcpy(_at(to, i, t, size), _at(a, i, piece.length[i] - 1 - t, size), n * size)


cdef int _flip(Stage *stage, const Piece *piece) except -1 nogil:
    """A = X with the real steps in reverse order."""
    stage.A = timed(stage.out, stage.n, piece.m)
    _reverse(in_rows(stage, piece), stage.A, piece, stage.n, stage.k.size)
    return 0


cdef int _flip_back(Stage *stage, const Piece *piece) except -1 nogil:
    """dX = dA with the real steps in reverse order."""
    _reverse(stage.dA, stage.dX, piece, stage.n, stage.k.size)
    return 0


# --- Pool ---

cdef void _pooled(int how, Py_ssize_t *chosen, cgru_array X, floating *A, Py_ssize_t i, Py_ssize_t n,
                  Py_ssize_t length) noexcept nogil:
    """Pool the n numbers of row i over `length` steps to A; `chosen` gets the step that a number comes from."""
    cdef const floating *x = <floating *>X.data + i * X.sample
    cdef Py_ssize_t c, t, at
    cdef double sum
    for c in range(n):
        at, sum = length - 1, 0
        if how == AVERAGE:
            for t in range(length):  # summed in double: over many steps float32 would lose digits
                sum += x[t * X.step + c]
            A[c] = <floating>(sum / length)
            continue
        if how == LARGEST:
            at = 0
            for t in range(length):
                if x[t * X.step + c] > x[at * X.step + c]:
                    at = t
        chosen[c] = at
        A[c] = x[at * X.step + c]


cdef int _pool(Stage *stage, const Piece *piece) except -1 nogil:
    """A = the mean, the maximum or the last of X over each sample's steps, or several of these side by side."""
    cdef Py_ssize_t i, at
    cdef int part
    in_rows(stage, piece)
    stage.A = timed(stage.out, stage.u, piece.m)
    for i in range(piece.m):
        for part in range(stage.hows):
            at = i * stage.u + part * stage.n
            if stage.k.size == 4:
                _pooled[float](stage.how[part], stage.chosen + at, stage.X, <float *>stage.out + at, i, stage.n,
                               piece.length[i])
            else:
                _pooled[double](stage.how[part], stage.chosen + at, stage.X, <double *>stage.out + at, i, stage.n,
                                piece.length[i])
    return 0


cdef void _unpooled(int how, const Py_ssize_t *chosen, const floating *d, floating *to, Py_ssize_t step, Py_ssize_t n,
                    Py_ssize_t length) noexcept nogil:
    """Add the gradient d of one row's pooled numbers to the steps of its inputs, `to`, which lie `step` apart."""
    cdef Py_ssize_t c, t
    if how != AVERAGE:
        for c in range(n):
            to[chosen[c] * step + c] += d[c]
        return
    for t in range(length):
        for c in range(n):
            to[t * step + c] += d[c] / <floating>length


cdef int _pool_back(Stage *stage, const Piece *piece) except -1 nogil:
    """dX = dA at the chosen step, or dA / length at each step for a mean."""
    cdef Py_ssize_t i, t, n = stage.n
    cdef int part, size = stage.k.size, how
    cdef const Py_ssize_t *chosen
    cdef char *d
    cdef char *to
    for i in range(piece.m):
        to = _at(stage.dX, i, 0, size)
        for t in range(piece.length[i]):
            memset(to + t * stage.dX.step * size, 0, n * size)
        for part in range(stage.hows):
            how, chosen = stage.how[part], stage.chosen + i * stage.u + part * n
            d = _at(stage.dA, i, 0, size) + part * n * size
            if size == 4:
                _unpooled[float](how, chosen, <float *>d, <float *>to, stage.dX.step, n, piece.length[i])
            else:
                _unpooled[double](how, chosen, <double *>d, <double *>to, stage.dX.step, n, piece.length[i])
    return 0


# --- Frames ---

cdef Py_ssize_t _count_frames(const Stage *stage, Py_ssize_t s) noexcept nogil:
    """Return the number of frames of s steps, as `Frames.lengths`."""
    cdef Py_ssize_t length = stage.numbers[LENGTH], hop = stage.numbers[HOP]
    if stage.numbers[FILLS]:
        return min((s + hop - 1) // hop, 1 + (max(0, s - length) + hop - 1) // hop)
    return 1 + (s + stage.numbers[ZEROS] - length) // hop


cdef int _frame(Stage *stage, const Piece *piece) except -1 nogil:
    """A[j] = the steps of frame j side by side, with zeros for steps that the sample does not have."""
    cdef Py_ssize_t i, j, p, t, m = piece.m, n = stage.n
    cdef int size = stage.k.size
    cdef char *to
    in_rows(stage, piece)
    stage.A = timed(stage.out, stage.u, m)
    for j in range(stage.handed.s):
        for i in range(live(&stage.handed, True, j)):
            for p in range(stage.numbers[LENGTH]):
                t = j * stage.numbers[HOP] - stage.numbers[BEFORE] + p
                to = _at(stage.A, i, j, size) + p * n * size
                if 0 <= t < piece.length[i]:
                    memcpy(to, _at(stage.X, i, t, size), n * size)
                else:
                    memset(to, 0, n * size)
    return 0


cdef int _unframe(Stage *stage, const Piece *piece) except -1 nogil:
    """dX[t] = dA summed over the frames that step t is part of."""
    cdef Py_ssize_t i, j, p, t, n = stage.n
    cdef int size = stage.k.size
    for i in range(piece.m):
        for t in range(piece.length[i]):
            memset(_at(stage.dX, i, t, size), 0, n * size)
    for p in range(stage.numbers[LENGTH]):
        for j in range(stage.handed.s):
            t = j * stage.numbers[HOP] - stage.numbers[BEFORE] + p
            for i in range(live(&stage.handed, True, j)):
                if 0 <= t < piece.length[i]:
                    add(_at(stage.dX, i, t, size), _at(stage.dA, i, j, size) + p * n * size, n, size)
    return 0


# --- Embedding ---

cdef int _look_up(Stage *stage, const Piece *piece) except -1 nogil:
    """A = E[tokens]"""
    cdef Py_ssize_t t, i, m = piece.m, bytes = stage.u * stage.k.size
    stage.A = timed(stage.out, stage.u, m)
    for t in range(piece.s):
        for i in range(live(piece, True, t)):
            memcpy(<char *>stage.out + (t * m + i) * bytes, stage.W + stage.tokens[t * m + i] * bytes, bytes)
    return 0


cdef int _add_up(Stage *stage, const Piece *piece) except -1 nogil:
    """dE[token] += dA, summed over all samples and steps with that token."""
    cdef Py_ssize_t t, i, m = piece.m, u = stage.u
    cdef int size = stage.k.size
    for t in range(piece.s):
        for i in range(live(piece, True, t)):
            add(stage.dW + stage.tokens[t * m + i] * u * size, _at(stage.dA, i, t, size), u, size)
    return 0


# --- Dense ---

cdef struct Work:
    Stage *stage
    const Piece *piece
    cgru_product product
    cgru_few_linear few  # in place of `product`, where X is in lanes
    cgru_criterion criterion  # the activation, the loss and their derivatives
    double *value  # (blocks) the loss of each block of rows
    double *right  # (blocks) the weight of its right classes
    char *work  # workspace of the criterion, for each block


cdef Work _work(Stage *stage, const Piece *piece) noexcept nogil:
    """Return the work of a stage on a piece, with all else zero."""
    cdef Work work
    memset(&work, 0, sizeof(Work))
    work.stage, work.piece = stage, piece
    return work


cdef inline bint _step_by_step(const Stage *stage, const Piece *piece) noexcept nogil:
    """Return whether blocks are steps: for ragged batches and arrays in lanes."""
    return stage.steps_in and (piece.running != NULL or in_lanes(stage.X))


cdef Py_ssize_t _parts(const Stage *stage, const Piece *piece) noexcept nogil:
    """Return the number of blocks of rows: a block is one step of a ragged batch or in lanes, else `MANY` rows."""
    if _step_by_step(stage, piece):
        return piece.s
    return (_rows_of(piece.m, piece.s, stage.steps_in) + MANY - 1) // MANY


cdef void _part(const Work *work, Py_ssize_t part, Py_ssize_t *row, Py_ssize_t *rows) noexcept nogil:
    """Set `row` and `rows` to the first row of block `part` and how many rows it has."""
    cdef const Piece *piece = work.piece
    if _step_by_step(work.stage, piece):
        row[0], rows[0] = part * piece.m, live(piece, True, part)
    else:
        row[0] = part * MANY
        rows[0] = min(MANY, _rows_of(piece.m, piece.s, work.stage.steps_in) - row[0])


cdef void _multiply(void *given, Py_ssize_t part) noexcept nogil:
    """Compute the product, and the criterion where there is one, for the rows of block `part`."""
    cdef Work *work = <Work *>given
    cdef const cgru_kernels *k = work.stage.k
    cdef Py_ssize_t row = 0, rows = 0
    cdef cgru_criterion criterion = work.criterion
    _part(work, part, &row, &rows)
    if rows == 0:
        return
    if work.few.n:
        k.few_linear(&work.few, part, rows)
        criterion.Z = _in_step(criterion.Z, work.few.out, part, k.size)
        criterion.dZ = _in_step(criterion.dZ, work.few.out, part, k.size)
    elif work.product.columns:
        k.product(&work.product, 0, row, rows)
    if criterion.k:
        criterion.work = work.work + part * _criterion_room(k, criterion.k) * k.size
        k.criterion(&criterion, row, rows, &work.value[part], &work.right[part])


cdef cgru_matrix _in_step(cgru_matrix rows, cgru_array lanes, Py_ssize_t t, int size) noexcept nogil:
    """Return a matrix of step t in lanes whose row numbers are t m + i, as those of (s, m, n) are."""
    if rows.data == NULL:
        return rows
    return cgru_matrix(<const char *>lanes.data + t * (lanes.step - lanes.column) * size, 1, lanes.column)


cdef Py_ssize_t _criterion_room(const cgru_kernels *k, Py_ssize_t outputs) noexcept nogil:
    """Return the numbers of workspace that the criterion takes for one block."""
    return whole_lines(2 * outputs * k.lanes, k.size)


cdef void _run(Work *work) noexcept nogil:
    """Compute all blocks, on as many threads as the work is worth."""
    cdef const Stage *stage = work.stage
    cdef double flop = 2.0 * (stage.n if stage.forward == _dense else 8) * stage.u
    flop *= _rows_of(work.piece.m, work.piece.s, stage.steps_in)
    share(_multiply, work, _parts(stage, work.piece), worth(flop, stage.threads))


cdef Py_ssize_t _packed_room(const Stage *stage) noexcept nogil:
    """Return the numbers of workspace for packed W, or its transpose, and b."""
    cdef Py_ssize_t lanes = stage.k.lanes
    if stage.forward != _dense:
        return 0
    return whole_lines(max((stage.n + 1) * (stage.u + lanes), stage.u * (stage.n + lanes)), stage.k.size)


cdef Py_ssize_t plain_scratch(const Stage *stage, Py_ssize_t m, Py_ssize_t s, bint back) noexcept:
    """Return the numbers of workspace for a piece of m rows and s steps, with `back` also in the backward pass."""
    cdef Piece piece
    cdef cgru_call call
    cdef Py_ssize_t parts, room
    if not stage.activates:
        return 0
    memset(&piece, 0, sizeof(Piece))
    piece.m, piece.s = m, s
    parts = max(s, _parts(stage, &piece))
    room = _packed_room(stage) + parts * (_criterion_room(stage.k, stage.u) + 2 * sizeof(double))
    if stage.forward != _dense:
        return room
    call = _sums(stage, &piece)
    return max(room, most_numbers(stage.k, &call, GRADIENTS, stage.threads)) if back else room


cdef Work _product(Stage *stage, const Piece *piece, cgru_array X, bint back, cgru_call *call) noexcept nogil:
    """Prepare X W + b, or with `back` X W^T: pack the weights; the caller sets where the result goes."""
    cdef const cgru_kernels *k = stage.k
    cdef cgru_matrix W = cgru_matrix(stage.W, stage.u, 1), b = cgru_matrix(stage.b, stage.u, 1)
    cdef Py_ssize_t n = stage.u if back else stage.n, u = stage.n if back else stage.u
    cdef Py_ssize_t columns = (u + k.lanes - 1) // k.lanes * k.lanes
    cdef char *memory = <char *>stage.scratch
    cdef Work work = _work(stage, piece)
    memset(call, 0, sizeof(cgru_call))
    call.m = _rows_of(piece.m, piece.s, stage.steps_in)
    work.product = new_product(k, call, k.put, u, memory, NULL if back else memory + n * columns * k.size)
    add_operand(&work.product, X.data, X.sample, n)
    pack(k, &work.product, 0, 0, transpose(W) if back else W, n, u)
    if not back:
        pack_bias(k, &work.product, 0, b, u)
    return work


cdef int _dense(Stage *stage, const Piece *piece) except -1 nogil:
    """Z = X W + b; A = activate(Z)"""
    cdef cgru_call call
    cdef Work work = _product(stage, piece, in_rows(stage, piece), False, &call)
    cdef Py_ssize_t u = stage.u
    work.product.out = cgru_array(stage.Z, u, 0, 1)
    stage.A = timed(stage.out, u, piece.m)
    work.criterion = _activation(stage, u)
    work.criterion.A = cgru_matrix(stage.out, u, 1)
    _finish(stage, piece, &work)
    return 0


cdef cgru_criterion _activation(const Stage *stage, Py_ssize_t u) noexcept nogil:
    """Return the criterion of an activation without a loss, over u columns."""
    cdef cgru_criterion criterion
    memset(&criterion, 0, sizeof(cgru_criterion))
    criterion.loss, criterion.activate, criterion.k = CGRU_NO_LOSS, stage.activate, u
    criterion.Z = cgru_matrix(stage.Z, u, 1)
    return criterion


cdef void _finish(Stage *stage, const Piece *piece, Work *work) noexcept nogil:
    """Run the work; the workspace behind the packed weights is for losses and the criterion."""
    cdef Py_ssize_t parts = _parts(stage, piece)
    cdef char *free = <char *>stage.scratch + _packed_room(stage) * stage.k.size
    work.value, work.right = <double *>free, <double *>free + parts
    work.work = free + (2 * parts * sizeof(double) + 63) // 64 * 64
    memset(work.value, 0, 2 * parts * sizeof(double))
    _run(work)


cdef int _dense_back(Stage *stage, const Piece *piece) except -1 nogil:
    """dZ = dA * activate'(Z), in the place of Z; then dX and gradients as for a head."""
    cdef Work work = _work(stage, piece)
    work.criterion = _activation(stage, stage.u)
    work.criterion.Y = cgru_matrix(stage.dA.data, stage.u, 1)
    work.criterion.dZ = cgru_matrix(stage.Z, stage.u, 1)
    _finish(stage, piece, &work)
    return head_backward(stage, piece)


# --- elementwise ---

cdef Work _elementwise(Stage *stage, const Piece *piece) noexcept nogil:
    """Prepare the activation of the rows of X."""
    cdef Work work = _work(stage, piece)
    work.criterion = _activation(stage, stage.n)
    work.criterion.Z = cgru_matrix(stage.X.data, stage.X.sample, 1)
    return work


cdef int _each(Stage *stage, const Piece *piece) except -1 nogil:
    """A = activate(X), or min(max(X * scale + shift, low), high)"""
    cdef Work work
    cdef Py_ssize_t t, n = stage.n, m = piece.m
    cdef int size = stage.k.size
    in_rows(stage, piece)
    stage.A = timed(stage.out, n, m)
    if stage.activates:
        work = _elementwise(stage, piece)
        work.criterion.A = cgru_matrix(stage.out, n, 1)
        _finish(stage, piece, &work)
        return 0
    for t in range(piece.s if stage.steps_in else 1):
        bound(_at(stage.X, 0, t, size), stage.X.sample, stage.W, stage.b, stage.low, stage.high,
              _at(stage.A, 0, t, size), live(piece, stage.steps_in, t), n, size)
    return 0


cdef void _bounded_back(const Stage *stage, const floating *x, const floating *d, floating *dx,
                        Py_ssize_t rows) noexcept nogil:
    """Compute one step's dx = d * scale and add to the gradients; without a scale, dx = d within the bounds, else 0."""
    cdef const floating *scale = <floating *>stage.W
    cdef floating *dscale = <floating *>stage.dW
    cdef floating *dshift = <floating *>stage.db
    cdef floating low = <floating>stage.low, high = <floating>stage.high, slope
    cdef Py_ssize_t i, c, n = stage.n
    for i in range(rows):
        for c in range(n):
            if scale != NULL:
                slope = scale[c]
            else:
                slope = x[c] >= low and x[c] <= high
            if dx != NULL:
                dx[i * n + c] = d[c] * slope
            if stage.trainable:
                dscale[c] += d[c] * x[c]
                dshift[c] += d[c]
        x += stage.X.sample
        d += stage.dA.sample


cdef int _each_back(Stage *stage, const Piece *piece) except -1 nogil:
    """dX = dA * activate'(X), or dA * scale with the gradients of scale and shift, or dA within the bounds."""
    cdef Work work
    cdef Py_ssize_t t, rows
    cdef int size = stage.k.size
    cdef char *dx
    if stage.activates:
        work = _elementwise(stage, piece)
        work.criterion.Y = cgru_matrix(stage.dA.data, stage.dA.sample, 1)
        work.criterion.dZ = cgru_matrix(stage.dX.data, stage.n, 1)
        _finish(stage, piece, &work)
        return 0
    for t in range(piece.s if stage.steps_in else 1):
        rows = live(piece, stage.steps_in, t)
        dx = NULL if stage.dX.data == NULL else _at(stage.dX, 0, t, size)
        if size == 4:
            _bounded_back[float](stage, <float *>_at(stage.X, 0, t, size), <float *>_at(stage.dA, 0, t, size),
                                 <float *>dx, rows)
        else:
            _bounded_back[double](stage, <double *>_at(stage.X, 0, t, size), <double *>_at(stage.dA, 0, t, size),
                                  <double *>dx, rows)
    return 0


# --- a head ---

cdef int head_forward(Stage *stage, const Piece *piece, const cgru_criterion *criterion, bint back, double *value,
                      double *right) except -1 nogil:
    """Compute Z = X W + b, the loss of activate(Z) against the targets, and with `back` dL/dZ in the place of Z.

    `value` is set to the loss, `right` to the weight of right classes.
    """
    cdef cgru_call call
    cdef Work work
    cdef Py_ssize_t part
    if in_lanes(stage.X):
        work = _few(stage, piece, False)
    else:
        work = _product(stage, piece, stage.X, False, &call)
        work.product.out = cgru_array(stage.Z, stage.u, 0, 1)
    work.criterion = criterion[0]
    work.criterion.activate, work.criterion.k = stage.activate, stage.u
    work.criterion.Z = cgru_matrix(stage.Z, stage.u, 1)
    if back:
        work.criterion.dZ = work.criterion.Z
    _finish(stage, piece, &work)
    value[0] = right[0] = 0
    for part in range(_parts(stage, piece)):
        value[0] += work.value[part]
        right[0] += work.right[part]
    return 0


cdef cgru_call _sums(const Stage *stage, const Piece *piece) noexcept nogil:
    """Return the call by which core/gradients computes dW = X^T dZ and db = sum of dZ, as if dZ were a gate's dr_."""
    cdef cgru_call call
    cdef Py_ssize_t lanes = stage.k.lanes
    memset(&call, 0, sizeof(cgru_call))
    call.m, call.s, call.e, call.u = piece.m, piece.s if stage.steps_in else 1, stage.n, stage.u
    call.running, call.linear = piece.running if stage.steps_in else NULL, True
    call.up, call.ep = (call.u + lanes - 1) // lanes * lanes, (call.e + lanes - 1) // lanes * lanes
    call.X, call.dr_ = stage.X, timed(stage.Z, stage.u, piece.m)
    return call


cdef Work _few(Stage *stage, const Piece *piece, bint back) noexcept nogil:
    """Prepare X W + b, or with `back` dZ W^T, where samples are in the lanes."""
    cdef Work work = _work(stage, piece)
    cdef cgru_array Z = laid(stage.Z, stage.u, piece.m, stage.X.column)
    work.few.W = cgru_matrix(stage.W, 1, stage.u) if back else cgru_matrix(stage.W, stage.u, 1)
    work.few.b = NULL if back else stage.b
    work.few.k, work.few.n = stage.u if back else stage.n, stage.n if back else stage.u
    work.few.X, work.few.out = Z if back else stage.X, stage.dX if back else Z
    return work


cdef int _few_back(Stage *stage, const Piece *piece) except -1 nogil:
    """Compute dX and the gradients of a head where samples are in the lanes."""
    cdef Work work
    if stage.dX.data != NULL:
        work = _few(stage, piece, True)
        _run(&work)
    if stage.trainable:
        work = _few(stage, piece, False)
        stage.k.few_linear_sums(&work.few, piece.m, piece.s, piece.running, stage.dW, stage.db)
    return 0


cdef int head_backward(Stage *stage, const Piece *piece) except -1 nogil:
    """dX = dZ W^T, dW += X^T dZ, db += sum of dZ"""
    cdef cgru_call call
    cdef cgru_gradients g
    cdef Work work
    if in_lanes(stage.X):
        return _few_back(stage, piece)
    if stage.dX.data != NULL:
        work = _product(stage, piece, timed(stage.Z, stage.u, piece.m), True, &call)
        work.product.out = cgru_array(stage.dX.data, stage.n, 0, 1)
        _run(&work)
    if stage.trainable:
        memset(&g, 0, sizeof(cgru_gradients))
        g.U[CGRU_R], g.b[CGRU_R] = stage.dW, stage.db
        call = _sums(stage, piece)
        gradients.perform(&call, &g, stage.k, stage.scratch, stage.threads)
    return 0
