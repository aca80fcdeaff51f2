"""The stage of a GRU or a Bidirectional."""

from cgru.network.training.compiled.stage cimport Arena, Piece, Size, Stage


cdef int make_recurrent(Stage *stage, list layers, str merge, bint steps_out, bint low_memory) except -1
cdef void plan_recurrent(Stage *stage, Arena *arena, Size size, bint carries) noexcept
cdef Py_ssize_t recurrent_workspace(const Stage *stage, Py_ssize_t m, Py_ssize_t s, bint back) noexcept
cdef Py_ssize_t wanted_column(Stage *stage, const Piece *piece) noexcept nogil
