"""Read batches of samples: arrange samples as rows, cut their steps into pieces, and read inputs and targets.

Where lengths differ, the longest row is first, so that the rows that have a step are the first so many. The user's
arrays are read with their strides; only the rows of a piece are copied, standardised, to the layout of the first stage.
Targets and weights go to arrays (s, m, ...), or (m, ...) where there is one for each sample.
"""

import numpy as np

cimport numpy as cnp
from libc.string cimport memcpy, memset

from cgru.core.checks import aligned, real
from cgru.core.kernels cimport cgru_call
from cgru.network.training.compiled.stage cimport assign, no_array

cnp.import_array()

cdef enum:
    STEPS_AT_ONCE = 16  # that are read of one row before those of the next

ctypedef fused number:
    float
    double


cdef class Source:
    """The arrays of samples with their targets, in the dtypes that the compiled training code reads.

    Args:
        X: (m, s, e), or tokens (m, s).
        y: (m,) or (m, n) classes, or (m, k) or (m, n, k) numbers; n is s, unless a layer changes the steps.
        lengths: (m,) the real steps of each sample; None: all.
        per_step: whether there is a target for each step.
        mean, scale: (e,) the standardisation of X; None: there is none.
        weights: the weight of each target, (m,) or (m, n); None: all are 1.
        times: (m, s) the times of the steps, for a first layer that reads them, in float64; None: there are none.
        decay: (m, s) the factors of states as they enter each step, in the dtype of the network; None: there are none.
    """

    def __cinit__(self, X, y, lengths, bint per_step, mean, scale, weights=None, times=None, decay=None):
        cdef Samples *to = &self.samples
        cdef cnp.ndarray held
        memset(to, 0, sizeof(Samples))
        to.m, to.s = X.shape[0], X.shape[1]
        if X.ndim == 2:
            X = aligned(X, np.intp)
        elif X.dtype not in (np.float32, np.float64) or not X.flags.aligned:
            X = X.astype(np.float64)
        held = X
        to.X, to.X_sample, to.X_step = <const char *>cnp.PyArray_DATA(held), held.strides[0], held.strides[1]
        if held.ndim == 3:
            to.e, to.X_element, to.X_size = held.shape[2], held.strides[2], cnp.PyArray_ITEMSIZE(held)
        if mean is not None:
            mean = aligned(real(mean, "mean", (to.e,)), np.float64)
            scale = aligned(real(scale, "scale", (to.e,)), np.float64)
            to.mean, to.scale = <double *>cnp.PyArray_DATA(mean), <double *>cnp.PyArray_DATA(scale)
        if lengths is not None:
            lengths = aligned(lengths, np.intp)
            to.lengths = <Py_ssize_t *>cnp.PyArray_DATA(lengths)
        classes = y.ndim == (2 if per_step else 1)
        y = np.asarray(y, np.intp if classes else np.float64)
        if not y.flags.aligned:
            y = y.copy()
        held = y
        to.per_step, to.n = per_step, y.shape[1] if per_step else 1
        to.k = 0 if classes else y.shape[y.ndim - 1]
        to.y, to.y_sample = <const char *>cnp.PyArray_DATA(held), held.strides[0]
        to.y_step = held.strides[1] if per_step else 0
        to.y_output = 0 if classes else held.strides[held.ndim - 1]
        if weights is not None:
            weights = aligned(weights, np.float64)
            to.weights = <double *>cnp.PyArray_DATA(weights)
        if times is not None:
            to.times = _step_array(times)
        if decay is not None:
            to.decay = _step_array(decay)
        self.held = X, y, lengths, mean, scale, weights, times, decay


cdef StepArray _step_array(cnp.ndarray held) noexcept:
    """Return the address and the strides of an array (m, s), with a number for each step."""
    return StepArray(<const char *>cnp.PyArray_DATA(held), held.strides[0], held.strides[1])


cdef void read_tokens(const Batch *batch, Py_ssize_t most, Py_ssize_t *to) noexcept nogil:
    """Copy the tokens of the current steps to `to` (s, m); a token outside 0 to `most` - 1 becomes 0.

    Tokens were checked before; the bound keeps memory safe if another thread changes them meanwhile.
    """
    cdef const Samples *samples = batch.samples
    cdef const Piece *piece = &batch.piece
    cdef Py_ssize_t i, t, token
    for i in range(piece.m):
        for t in range(piece.length[i]):
            token = (<const Py_ssize_t *>(samples.X + batch.sample[i] * samples.X_sample
                                          + (batch.start[i] + t) * samples.X_step))[0]
            to[t * piece.m + i] = token if 0 <= token < most else 0


cdef void _read_steps(const Samples *samples, const char *source, Py_ssize_t steps, number *to, Py_ssize_t step,
                      Py_ssize_t column) noexcept nogil:
    """Standardise `steps` steps of one sample, and copy them to `to`; `step` and `column` are strides of `to`."""
    cdef bint plain = samples.mean == NULL and samples.X_element == samples.X_size == sizeof(number)
    cdef Py_ssize_t t, c, e = samples.e
    cdef const char *at
    cdef double x
    for t in range(steps):
        at = source + t * samples.X_step
        if plain and column == 1:
            memcpy(to, at, e * sizeof(number))
        elif plain:
            for c in range(e):
                to[c * column] = (<const number *>at)[c]
        else:
            for c in range(e):
                x = (<const float *>at)[0] if samples.X_size == 4 else (<const double *>at)[0]
                if samples.mean != NULL:
                    x = (x - samples.mean[c]) / samples.scale[c]
                to[c * column] = <number>x
                at += samples.X_element
        to += step


cdef void read_X(const Batch *batch, cgru_array to, int size) noexcept nogil:
    """Standardise the inputs of the current steps, and copy them to `to` (m, s, e)."""
    cdef const Samples *samples = batch.samples
    cdef const Piece *piece = &batch.piece
    cdef Py_ssize_t i, t = 0, n, at
    cdef const char *source
    while t < piece.s:  # some steps of all rows at once, whose places in `to` are near each other
        for i in range(piece.m):
            n, at = min(piece.length[i] - t, <Py_ssize_t>STEPS_AT_ONCE), i * to.sample + t * to.step
            source = samples.X + batch.sample[i] * samples.X_sample + (batch.start[i] + t) * samples.X_step
            if size == 4:
                _read_steps[float](samples, source, n, <float *>to.data + at, to.step, to.column)
            else:
                _read_steps[double](samples, source, n, <double *>to.data + at, to.step, to.column)
        t += STEPS_AT_ONCE


cdef void read_times(Batch *batch) noexcept nogil:
    """Copy the times of the current steps, if the samples have times."""
    cdef const StepArray *times = &batch.samples.times
    cdef Piece *piece = &batch.piece
    cdef Py_ssize_t i, t
    cdef const char *at
    piece.times = NULL if times.data == NULL else batch.times
    for i in range(piece.m if piece.times != NULL else 0):
        for t in range(piece.length[i]):
            at = times.data + batch.sample[i] * times.sample + (batch.start[i] + t) * times.step
            batch.times[t * piece.m + i] = (<const double *>at)[0]


cdef void _read_decay(const Batch *batch, bint flipped, const cgru_call *call, number *to) noexcept nogil:
    """Copy the factors of the states before each step to `to` (s, m), with 1 where a sample has no earlier state.

    A factor belongs to the boundary before its step, which a layer in reverse meets at the step before.
    """
    cdef const StepArray *decay = &batch.samples.decay
    cdef const Piece *piece = &batch.piece
    cdef Py_ssize_t i, t, n, first = flipped and not call.reverse, last = call.reverse, m = piece.m
    cdef Py_ssize_t step = -decay.step if flipped else decay.step
    cdef const char *at
    for i in range(m):
        n = piece.length[i]
        at = decay.data + batch.sample[i] * decay.sample + batch.start[i] * decay.step
        at += (n - 1) * decay.step if flipped else call.reverse * decay.step
        if first:
            to[i] = 1
        if last:
            to[(n - 1) * m + i] = 1
        for t in range(first, n - last):
            to[t * m + i] = (<const number *>at)[0]
            at += step


cdef void read_decay(const Batch *batch, Stage *stage) noexcept nogil:
    """Set the decay factors of each GRU of a compiled layer; a NULL array if the samples have none."""
    cdef cgru_call *call
    cdef int i
    for i in range(stage.parts):
        call = &stage.part[i].call
        call.decay = no_array()
        if batch.samples.decay.data == NULL:
            continue
        call.decay = cgru_array(stage.part[i].decay, 1, batch.piece.m, 0)  # one factor for all units
        if stage.k.size == 4:
            _read_decay[float](batch, stage.flipped, call, <float *>call.decay.data)
        else:
            _read_decay[double](batch, stage.flipped, call, <double *>call.decay.data)


cdef inline const char *_target_address(const Samples *samples, Py_ssize_t sample, Py_ssize_t t) noexcept nogil:
    """Return the address of a sample's target at output step t."""
    return samples.y + sample * samples.y_sample + t * samples.y_step


cdef void read_classes(const Batch *batch, const Piece *piece, Py_ssize_t *to) noexcept nogil:
    """Copy the class of each row, or of each of its steps, to `to`."""
    cdef const Samples *samples = batch.samples
    cdef Py_ssize_t i, t
    cdef const char *y
    for i in range(piece.m):
        y = _target_address(samples, batch.sample[i], batch.start[i] // piece.every)
        for t in range(piece.length[i] if samples.per_step else 1):
            to[t * piece.m + i] = (<const Py_ssize_t *>(y + t * samples.y_step))[0]


cdef void read_targets(const Batch *batch, const Piece *piece, void *to, int size) noexcept nogil:
    """Copy the k targets of each row, or of each of its steps, to `to`."""
    cdef const Samples *samples = batch.samples
    cdef Py_ssize_t i, t, j, at
    cdef const char *target
    cdef double y
    for i in range(piece.m):
        for t in range(piece.length[i] if samples.per_step else 1):
            at = (t * piece.m + i) * samples.k
            target = _target_address(samples, batch.sample[i], batch.start[i] // piece.every + t)
            for j in range(samples.k):
                y = (<const double *>(target + j * samples.y_output))[0]
                if size == 4:
                    (<float *>to)[at + j] = <float>y
                else:
                    (<double *>to)[at + j] = y


cdef double read_weights(const Batch *batch, const Piece *piece, double *to) noexcept nogil:
    """Copy the weight of each row, or of each of its steps, to `to`; return their sum.

    Without weights nothing is written, and the number of targets is returned.
    """
    cdef const Samples *samples = batch.samples
    cdef Py_ssize_t i, t, first
    cdef double sum = 0
    for i in range(piece.m):
        if samples.weights == NULL:
            sum += piece.length[i] if samples.per_step else 1
            continue
        first = batch.sample[i] * samples.n + batch.start[i] // piece.every if samples.per_step else batch.sample[i]
        for t in range(piece.length[i] if samples.per_step else 1):
            to[t * piece.m + i] = samples.weights[first + t]
            sum += to[t * piece.m + i]
    return sum


# --- rows and pieces ---

cdef Py_ssize_t *_take_integers(Arena *arena, Py_ssize_t n) noexcept:
    """Return memory for n integers from the arena."""
    return <Py_ssize_t *>assign(arena, n, sizeof(Py_ssize_t))


cdef void plan_batch(Batch *batch, Arena *arena, Size size, bint timed) noexcept:
    """Assign the memory of a batch; `timed`: some layer reads the times of steps."""
    cdef Py_ssize_t m = size.m, steps = size.s
    batch.times = <double *>assign(arena, size.many, sizeof(double)) if timed else NULL
    batch.sample, batch.whole, batch.slot = _take_integers(arena, m), _take_integers(arena, m), _take_integers(arena, m)
    batch.start, batch.length, batch.row = _take_integers(arena, m), _take_integers(arena, m), _take_integers(arena, m)
    batch.running, batch.places = _take_integers(arena, steps + 1), _take_integers(arena, steps + 2)


cdef void arrange_rows(Batch *batch, const Samples *samples, const Py_ssize_t *order, Py_ssize_t m) noexcept nogil:
    """Make the samples order[0] to order[m - 1] the rows of a batch, sorted by length if lengths differ.

    The sort is a stable counting sort, the longest first.
    """
    cdef Py_ssize_t i, place, length
    batch.samples, batch.piece.slots = samples, m
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
    """Write how many rows have each step to `running`, and return that; NULL if all rows have all steps."""
    cdef Py_ssize_t t, i = m
    if length[m - 1] == s:
        return NULL
    for t in range(s):
        while i and length[i - 1] <= t:
            i -= 1
        running[t] = i
    return running


cdef const Piece *output_piece(Stage *stage) noexcept nogil:
    """Return a description of a layer's output steps, which are the next layer's input steps."""
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
    """Set the current piece of the batch: all rows that have steps, `steps` long, or (0) as long as the longest.

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
    """Return how many of `whole` steps are processed before the `last` ones: a multiple of `stride`, or all."""
    return min(whole, (max(0, whole - last) + stride - 1) // stride * stride)


cdef void set_steps(Batch *batch, Py_ssize_t first, Py_ssize_t most, Py_ssize_t last, Py_ssize_t stride) noexcept nogil:
    """Select up to `most` steps of each row from step `first` on, without the sample's `last` steps."""
    cdef Py_ssize_t i
    for i in range(batch.piece.slots):
        batch.start[i] = first
        batch.length[i] = max(0, min(steps_before(batch.whole[i], last, stride) - first, most))


cdef inline void _swap_with_previous(Py_ssize_t *column, Py_ssize_t j) noexcept nogil:
    """Swap elements j - 1 and j of an array."""
    column[j - 1], column[j] = column[j], column[j - 1]


cdef void set_last_steps(Batch *batch, Py_ssize_t most, Py_ssize_t stride) noexcept nogil:
    """Select the last steps of each row, up to `most`, and sort the rows by their number, longest first."""
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
