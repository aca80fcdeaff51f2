"""Arrange the samples of a batch as rows, and cut the rows into pieces. Where lengths differ, the longest row is first,
so that the rows that have a step are the first so many.
"""

from libc.string cimport memset

from cgru.network.training.compiled.stage cimport assign


cdef Py_ssize_t *_take_integers(Arena *arena, Py_ssize_t n) noexcept:
    """Hand out memory for n integers."""
    return <Py_ssize_t *>assign(arena, n, sizeof(Py_ssize_t))


cdef void plan_batch(Batch *batch, Arena *arena, Py_ssize_t m, Py_ssize_t steps) noexcept:
    """Assign memory to a batch of up to m rows and `steps` steps."""
    batch.sample, batch.whole, batch.slot = _take_integers(arena, m), _take_integers(arena, m), _take_integers(arena, m)
    batch.start, batch.length, batch.row = _take_integers(arena, m), _take_integers(arena, m), _take_integers(arena, m)
    batch.running, batch.places = _take_integers(arena, steps + 1), _take_integers(arena, steps + 2)


cdef void arrange_rows(Batch *batch, const Samples *samples, const Py_ssize_t *order, Py_ssize_t m) noexcept nogil:
    """Set the rows of a batch to the samples order[0] to order[m - 1]; sort them by length where lengths differ.

    The sort is a stable counting sort, the longest first.
    """
    cdef Py_ssize_t i, place, length
    batch.piece.slots = m
    if samples.lengths == NULL:
        for i in range(m):
            batch.sample[i], batch.slot[i], batch.whole[i] = order[i], i, samples.s
        return
    memset(batch.places, 0, (samples.s + 2) * sizeof(Py_ssize_t))
    for i in range(m):  # counted by length; the sums below are then how many rows are longer
        batch.places[samples.s - samples.lengths[order[i]] + 1] += 1
    for length in range(samples.s + 1):
        batch.places[length + 1] += batch.places[length]
    for i in range(m):
        length = samples.lengths[order[i]]
        place = batch.places[samples.s - length]
        batch.places[samples.s - length] += 1
        batch.sample[place], batch.slot[place], batch.whole[place] = order[i], i, length


cdef const Py_ssize_t *_set_running(const Py_ssize_t *length, Py_ssize_t m, Py_ssize_t s,
                                    Py_ssize_t *running) noexcept nogil:
    """Write to `running` how many rows have each step, and return it; NULL where all rows have all steps."""
    cdef Py_ssize_t t, i = m
    if length[m - 1] == s:
        return NULL
    for t in range(s):
        while i and length[i - 1] <= t:
            i -= 1
        running[t] = i
    return running


cdef const Piece *output_piece(Stage *stage) noexcept nogil:
    """Set and return the piece of a stage's outputs, which the next stage runs; its own piece if it keeps the steps."""
    cdef Py_ssize_t i
    cdef Piece *to = &stage.output_piece
    if stage.lengths == NULL:
        return stage.piece
    to[0] = stage.piece[0]
    to.s, to.every, to.length = stage.lengths(stage, to.s), to.every * stage.stride, stage.length
    for i in range(to.m):
        stage.length[i] = stage.lengths(stage, stage.piece.length[i])
    to.running = _set_running(stage.length, to.m, to.s, stage.running)
    return to


cdef void cut_piece(Batch *batch, Py_ssize_t steps) noexcept nogil:
    """Set the piece from the rows' `start` and `length`: the rows with a step, `steps` long or (0) as the longest.

    `steps` is the piece's number of steps; 0: that of the longest row.
    """
    cdef Piece *piece = &batch.piece
    cdef Py_ssize_t i
    piece.m = 0
    while piece.m < piece.slots and batch.length[piece.m]:
        piece.m += 1
    piece.s = steps if steps else batch.length[0]
    for i in range(piece.slots):
        batch.row[batch.slot[i]] = i
    piece.running = _set_running(batch.length, piece.m, piece.s, batch.running)
    piece.every = 1
    piece.length, piece.slot, piece.row = batch.length, batch.slot, batch.row


cdef Py_ssize_t steps_before(Py_ssize_t whole, Py_ssize_t last, Py_ssize_t stride) noexcept nogil:
    """Return how many of a sample's `whole` steps stand before its `last` ones, as a multiple of `stride` or all."""
    return min(whole, (max(0, whole - last) + stride - 1) // stride * stride)


cdef void set_steps(Batch *batch, Py_ssize_t first, Py_ssize_t most, Py_ssize_t last, Py_ssize_t stride) noexcept nogil:
    """Set `start` and `length` of each row: up to `most` steps from `first` on, of those before the sample's `last`."""
    cdef Py_ssize_t i
    for i in range(batch.piece.slots):
        batch.start[i] = first
        batch.length[i] = max(0, min(steps_before(batch.whole[i], last, stride) - first, most))


cdef inline void _swap_with_previous(Py_ssize_t *column, Py_ssize_t j) noexcept nogil:
    """Swap entries j - 1 and j of an array."""
    column[j - 1], column[j] = column[j], column[j - 1]


cdef void set_last_steps(Batch *batch, Py_ssize_t most, Py_ssize_t stride) noexcept nogil:
    """Set `start` and `length` of each row to its last steps, up to `most`; sort the rows, the longest first."""
    cdef Py_ssize_t i, j
    for i in range(batch.piece.slots):
        batch.start[i] = steps_before(batch.whole[i], most, stride)
        batch.length[i] = batch.whole[i] - batch.start[i]
        j = i
        while j and batch.length[j - 1] < batch.length[j]:
            _swap_with_previous(batch.sample, j)
            _swap_with_previous(batch.whole, j)
            _swap_with_previous(batch.slot, j)
            _swap_with_previous(batch.start, j)
            _swap_with_previous(batch.length, j)
            j -= 1
