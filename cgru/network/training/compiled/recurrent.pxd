"""The compiled layer of a GRU or a Bidirectional."""

from cgru.network.training.compiled.stage cimport Piece, Stage


cdef int make_recurrent(Stage *stage, list layers, dict description, bint low_memory, list memory) except -1
cdef Py_ssize_t wanted_column(Stage *stage, const Piece *piece) noexcept nogil
