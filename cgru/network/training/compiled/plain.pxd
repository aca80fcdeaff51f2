"""The stages that are no GRU: Embedding, Dropout, Pool, Flip, elementwise ones, and Dense, among others as the head."""

from cgru.core.kernels cimport cgru_loss
from cgru.network.training.compiled.stage cimport Arena, Piece, Size, Stage


# Make a stage, but for its memory, of what a layer says of it; `random` is what a Dropout draws from.
cdef int make_plain(Stage *stage, dict said, random) except -1
cdef void lay_plain(Stage *stage, Arena *arena, Size size) noexcept
cdef Py_ssize_t plain_scratch(const Stage *stage, Py_ssize_t m, Py_ssize_t s, bint back) noexcept

# The loss of a head's outputs, how many of them are right (of a classification), and with `back` dL/dZ in their place.
cdef int head_forward(Stage *stage, const Piece *piece, const cgru_loss *loss, bint back, double *value,
                      double *right) except -1 nogil
cdef int head_backward(Stage *stage, const Piece *piece) except -1 nogil
