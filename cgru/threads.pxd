"""How many threads a piece of work is worth."""

cdef int threads_for(double flop) noexcept nogil
cdef Py_ssize_t block_rows(Py_ssize_t m, Py_ssize_t row_bytes, int threads, bint ragged) noexcept nogil
