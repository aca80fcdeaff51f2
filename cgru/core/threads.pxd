"""The number of threads for compiled work, and the pool that runs it. threads.pyx documents the functions."""

cdef extern from "thread_pool.h":
    ctypedef void cgru_part(void *work, Py_ssize_t part) noexcept nogil


cdef int threads_for(double flop) noexcept nogil
cdef int available() noexcept nogil
cdef int worth(double flop, int most) noexcept nogil
cdef Py_ssize_t block_rows(Py_ssize_t m, Py_ssize_t row_bytes, Py_ssize_t weight_bytes, int threads,
                           bint ragged) noexcept nogil
cdef void share(cgru_part *do_part, void *work, Py_ssize_t parts, int threads) noexcept nogil
