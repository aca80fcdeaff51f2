"""The number of threads, and the thread pool that compiled work runs on. threads.pyx documents the functions."""

cdef extern from "thread_pool.h":
    ctypedef void cgru_part(void *work, Py_ssize_t part) noexcept nogil
    ctypedef void cgru_task(void *memory, int member, int members) noexcept nogil


cdef enum:
    FEW = 8  # samples that threads do not share: so many at least run through all steps together

cdef int threads_for(double flop) noexcept nogil
cdef int available() noexcept nogil
cdef int worth(double flop, int most) noexcept nogil
cdef int at_once(int most) noexcept nogil
cdef Py_ssize_t block_rows(Py_ssize_t m, Py_ssize_t row_bytes, Py_ssize_t weight_bytes, int threads,
                           bint ragged) noexcept nogil
cdef void share(cgru_part *do_part, void *work, Py_ssize_t parts, int threads) noexcept nogil
# The crew of the pool, as thread_pool.h documents it; crew.pyx uses it.
cdef void *open_pool_crew(int threads, size_t bytes) noexcept nogil
cdef int ready_members() noexcept nogil
cdef int gather_members() noexcept nogil
cdef void post_task(cgru_task *task) noexcept nogil
cdef bint await_member(int member) noexcept nogil
cdef void close_pool_crew() noexcept nogil
cdef void await_late_members() noexcept nogil
