"""The rows of a batch, and the pieces that they are cut into."""

from cgru.network.training.compiled.samples cimport Samples
from cgru.network.training.compiled.stage cimport Arena, Piece, Stage

cdef struct Batch:
    Piece piece
    Py_ssize_t *sample  # of each row
    Py_ssize_t *whole  # its length
    Py_ssize_t *slot
    Py_ssize_t *start  # of each row of the piece
    Py_ssize_t *length
    Py_ssize_t *row
    Py_ssize_t *running
    Py_ssize_t *places


cdef void lay_batch(Batch *batch, Arena *arena, Py_ssize_t m, Py_ssize_t steps) noexcept
cdef void arrange(Batch *batch, const Samples *samples, const Py_ssize_t *order, Py_ssize_t m) noexcept nogil
cdef Py_ssize_t steps_before(Py_ssize_t whole, Py_ssize_t last, Py_ssize_t stride) noexcept nogil
cdef void window(Batch *batch, Py_ssize_t first, Py_ssize_t most, Py_ssize_t last, Py_ssize_t stride) noexcept nogil
cdef void keep_last(Batch *batch, Py_ssize_t most, Py_ssize_t stride) noexcept nogil
cdef void cut(Batch *batch, Py_ssize_t steps) noexcept nogil
cdef const Piece *hand_on(Stage *stage) noexcept nogil
