"""Read samples, targets and weights of a batch from NumPy's arrays without the GIL.

The arrays are read with their strides; only the rows of a piece are copied, standardised, to the layout of the first
stage. Targets and weights go to arrays (s, m, ...), or (m, ...) where there is one for each sample.
"""

import numpy as np

cimport numpy as cnp
from libc.string cimport memcpy, memset

from cgru.core.checks import aligned, real

cnp.import_array()

ctypedef fused number:
    float
    double


cdef class Source:
    """The arrays of samples with their targets, in the dtypes that the compiled code reads.

    Args:
        X: (m, s, e), or tokens (m, s).
        y: (m,) or (m, n) classes, or (m, k) or (m, n, k) numbers; n is s, unless a layer changes the steps.
        lengths: (m,) the real steps of each sample; None: all.
        per_step: whether there is a target for each step.
        mean, scale: (e,) the standardisation of X; None: there is none.
        weights: the weight of each target, (m,) or (m, n); None: all are 1.
    """

    def __init__(self, X, y, lengths, bint per_step, mean, scale, weights=None):
        """Convert what the compiled code cannot read, and keep all arrays alive; see the class for the arguments."""
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
        self.held = X, y, lengths, mean, scale, weights


cdef void read_tokens(const Samples *samples, const Piece *piece, const Py_ssize_t *sample, const Py_ssize_t *start,
                      Py_ssize_t most, Py_ssize_t *to) noexcept nogil:
    """Read the tokens of a piece to `to` (s, m): row i is sample[i] from step start[i] on; too large ones become 0.

    Tokens were checked before; the bound keeps memory safe if another thread changes them meanwhile.
    """
    cdef Py_ssize_t i, t, token
    for i in range(piece.m):
        for t in range(piece.length[i]):
            token = (<const Py_ssize_t *>(samples.X + sample[i] * samples.X_sample
                                          + (start[i] + t) * samples.X_step))[0]
            to[t * piece.m + i] = token if 0 <= token < most else 0


cdef void _read_steps(const Samples *samples, const char *source, Py_ssize_t steps, number *to, Py_ssize_t step,
                      Py_ssize_t column) noexcept nogil:
    """Read `steps` steps of one sample, standardised, to `to`; `step` and `column` are its strides in numbers."""
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


cdef void read_X(const Samples *samples, const Piece *piece, const Py_ssize_t *sample, const Py_ssize_t *start,
                 cgru_array to, int size) noexcept nogil:
    """Read the inputs of a piece, standardised, to `to` (m, s, e): row i is sample[i] from step start[i] on."""
    cdef Py_ssize_t i
    cdef const char *source
    for i in range(piece.m):
        source = samples.X + sample[i] * samples.X_sample + start[i] * samples.X_step
        if size == 4:
            _read_steps[float](samples, source, piece.length[i], <float *>to.data + i * to.sample, to.step, to.column)
        else:
            _read_steps[double](samples, source, piece.length[i], <double *>to.data + i * to.sample, to.step, to.column)


cdef inline const char *_target_address(const Samples *samples, Py_ssize_t sample, Py_ssize_t t) noexcept nogil:
    """Return the address of a sample's target at output step t."""
    return samples.y + sample * samples.y_sample + t * samples.y_step


cdef void read_classes(const Samples *samples, const Piece *piece, const Py_ssize_t *sample, const Py_ssize_t *start,
                       Py_ssize_t *to) noexcept nogil:
    """Read the class of each row i (sample[i] from step start[i] on), or of each of its steps, to `to`."""
    cdef Py_ssize_t i, t
    cdef const char *y
    for i in range(piece.m):
        y = _target_address(samples, sample[i], start[i] // piece.every)
        for t in range(piece.length[i] if samples.per_step else 1):
            to[t * piece.m + i] = (<const Py_ssize_t *>(y + t * samples.y_step))[0]


cdef void read_targets(const Samples *samples, const Piece *piece, const Py_ssize_t *sample, const Py_ssize_t *start,
                       void *to, int size) noexcept nogil:
    """Read the k targets of each row i (sample[i] from step start[i] on), or of each of its steps, to `to`."""
    cdef Py_ssize_t i, t, j, at
    cdef const char *target
    cdef double y
    for i in range(piece.m):
        for t in range(piece.length[i] if samples.per_step else 1):
            at = (t * piece.m + i) * samples.k
            target = _target_address(samples, sample[i], start[i] // piece.every + t)
            for j in range(samples.k):
                y = (<const double *>(target + j * samples.y_output))[0]
                if size == 4:
                    (<float *>to)[at + j] = <float>y
                else:
                    (<double *>to)[at + j] = y


cdef double read_weights(const Samples *samples, const Piece *piece, const Py_ssize_t *sample, const Py_ssize_t *start,
                         double *to) noexcept nogil:
    """Read the weight of each row i (sample[i] from step start[i] on), or of its steps, to `to`; return the sum.

    Without weights nothing is written, and the number of targets is returned.
    """
    cdef Py_ssize_t i, t, first
    cdef double sum = 0
    for i in range(piece.m):
        if samples.weights == NULL:
            sum += piece.length[i] if samples.per_step else 1
            continue
        first = sample[i] * samples.n + start[i] // piece.every if samples.per_step else sample[i]
        for t in range(piece.length[i] if samples.per_step else 1):
            to[t * piece.m + i] = samples.weights[first + t]
            sum += to[t * piece.m + i]
    return sum
