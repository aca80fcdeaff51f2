"""The input of a GRUD's stage, in front of its GRU."""

from cgru.network.training.compiled.stage cimport Arena, Piece, Size, Stage


cdef int make_gaps(Stage *stage, double unit) except -1
cdef void plan_gaps(Stage *stage, Arena *arena, Size size, bint carried) noexcept
cdef Py_ssize_t gaps_workspace(const Stage *stage, Py_ssize_t m, Py_ssize_t s, bint back) noexcept
cdef void fade_forward(Stage *stage, const Piece *piece) noexcept nogil
cdef int fade_backward_of(Stage *stage, const Piece *piece) except -1 nogil
