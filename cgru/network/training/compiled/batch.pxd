"""The rows of a batch, and the pieces that run at once: all steps of the rows, or some of them."""

from cgru.network.training.compiled.samples cimport Samples
from cgru.network.training.compiled.stage cimport Arena, Piece, Stage

cdef struct Batch:
    Piece piece  # the piece that runs now
    Py_ssize_t *sample  # (m) the index of each row's sample in the data
    Py_ssize_t *whole  # (m) the sample's length
    Py_ssize_t *slot  # (m) the sample's place in the batch
    Py_ssize_t *start  # (m) the first step of each row in the piece
    Py_ssize_t *length  # (m) the number of its steps in the piece
    Py_ssize_t *row  # (m) the row of each slot
    Py_ssize_t *running  # (s) memory for `Piece.running`
    Py_ssize_t *places  # (s + 2) counters for sorting by length


cdef void plan_batch(Batch *batch, Arena *arena, Py_ssize_t m, Py_ssize_t steps) noexcept
cdef void arrange_rows(Batch *batch, const Samples *samples, const Py_ssize_t *order, Py_ssize_t m) noexcept nogil
cdef Py_ssize_t steps_before(Py_ssize_t whole, Py_ssize_t last, Py_ssize_t stride) noexcept nogil
cdef void set_steps(Batch *batch, Py_ssize_t first, Py_ssize_t most, Py_ssize_t last, Py_ssize_t stride) noexcept nogil
cdef void set_last_steps(Batch *batch, Py_ssize_t most, Py_ssize_t stride) noexcept nogil
cdef void cut_piece(Batch *batch, Py_ssize_t steps) noexcept nogil
cdef const Piece *output_piece(Stage *stage) noexcept nogil
