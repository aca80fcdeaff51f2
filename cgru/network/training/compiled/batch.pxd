"""A batch in the compiled training code: its rows, the piece of their steps that runs next, and its samples."""

from cgru.core.kernels cimport cgru_array
from cgru.network.training.compiled.stage cimport Arena, Piece, Size, Stage

# One number for each step of the samples, with its strides in bytes.
cdef struct StepArray:
    const char *data  # NULL: there is none
    Py_ssize_t sample, step


# The arrays of the samples and their strides in bytes. m samples, s steps, e features, k targets.
cdef struct Samples:
    Py_ssize_t m, s, e, k
    Py_ssize_t n  # targets of a sample: its steps of outputs, or 1
    const char *X
    Py_ssize_t X_sample, X_step, X_element
    int X_size  # bytes of a number; 0: X are tokens, of Py_ssize_t
    const double *mean  # (e,) of the standardisation; NULL: there is none
    const double *scale
    const Py_ssize_t *lengths  # (m,) NULL: all steps
    const char *y  # float64 targets, or classes of Py_ssize_t
    Py_ssize_t y_sample, y_step, y_output  # y_output 0: y are classes
    const double *weights  # (m,) or (m, n); NULL: all are 1
    bint per_step  # whether there is a target for each step
    StepArray times  # the times of the steps, in float64
    StepArray decay  # the factors of states as they enter each step, in the dtype of the network


cdef struct Batch:
    const Samples *samples  # that the rows are drawn from
    Piece piece  # the piece that runs now
    Py_ssize_t *sample  # (m) the index of each row's sample in the data
    Py_ssize_t *whole  # (m) the sample's length
    Py_ssize_t *slot  # (m) the sample's place in the batch
    Py_ssize_t *start  # (m) the first step of each row in the piece
    Py_ssize_t *length  # (m) the number of its steps in the piece
    Py_ssize_t *row  # (m) the row of each slot
    Py_ssize_t *running  # (s) memory for `Piece.running`
    Py_ssize_t *places  # (s + 2) counters for sorting by length
    double *times  # (s, m) memory for `Piece.times`; NULL: no stage reads them


cdef void plan_batch(Batch *batch, Arena *arena, Size size, bint timed) noexcept
cdef void arrange_rows(Batch *batch, const Samples *samples, const Py_ssize_t *order, Py_ssize_t m) noexcept nogil
cdef Py_ssize_t steps_before(Py_ssize_t whole, Py_ssize_t last, Py_ssize_t stride) noexcept nogil
cdef void set_steps(Batch *batch, Py_ssize_t first, Py_ssize_t most, Py_ssize_t last, Py_ssize_t stride) noexcept nogil
cdef void set_last_steps(Batch *batch, Py_ssize_t most, Py_ssize_t stride) noexcept nogil
cdef void cut_piece(Batch *batch, Py_ssize_t steps) noexcept nogil
cdef const Piece *output_piece(Stage *stage) noexcept nogil

# Read the piece of a batch; `piece` is that of its outputs.
cdef void read_tokens(const Batch *batch, Py_ssize_t most, Py_ssize_t *to) noexcept nogil
cdef void read_X(const Batch *batch, cgru_array to, int size) noexcept nogil
cdef void read_times(Batch *batch) noexcept nogil
cdef void read_decay(const Batch *batch, Stage *stage) noexcept nogil
cdef void read_classes(const Batch *batch, const Piece *piece, Py_ssize_t *to) noexcept nogil
cdef void read_targets(const Batch *batch, const Piece *piece, void *to, int size) noexcept nogil
cdef double read_weights(const Batch *batch, const Piece *piece, double *to) noexcept nogil


cdef class Source:
    cdef Samples samples
    cdef tuple held
