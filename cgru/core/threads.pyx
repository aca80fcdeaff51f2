"""Set the number of threads, and decide how many of them a piece of compiled work uses.

The number is `CGRU_NUM_THREADS`, else `OMP_NUM_THREADS`, else the cores that the process may use. Results are bit for
bit the same for any number: threads share samples and output tiles, never a sum.
"""

import os
from contextlib import contextmanager

from cgru.core.checks import positive

cdef extern from "thread_pool.h":
    void cgru_share(cgru_part *do_part, void *work, Py_ssize_t parts, int threads) noexcept nogil
    void *cgru_crew_open(int threads, size_t bytes) noexcept nogil
    int cgru_crew_ready() noexcept nogil
    int cgru_crew_gather() noexcept nogil
    void cgru_crew_post(cgru_task *task) noexcept nogil
    int cgru_crew_wait(int member) noexcept nogil
    void cgru_crew_close() noexcept nogil
    void cgru_crew_left() noexcept nogil
    void cgru_crew_waits(int always) noexcept nogil
    long long cgru_crew_tasks() noexcept nogil

cdef extern from *:
    """
    static _Thread_local int cgru_alone; /* whether calls from this thread run on it alone */
    """
    int cgru_alone

# Operations below which waking a thread costs more than it saves: some tens of microseconds on one core.
cdef double SMALL = 4e6
# Bytes for the rows of a block that leave room for the weights in an L2 cache of a megabyte.
cdef Py_ssize_t ROWS_IN_L2 = 1 << 18
# Bytes of weights beyond which the last cache, which other cores share, may not keep them between two steps.
cdef Py_ssize_t LAST_CACHE = 1 << 22
cdef int _threads = 1, _cores = 1
cdef int MOST = 256  # as in thread_pool.c


def get_num_threads():
    """Return how many threads a call may use, by default `CGRU_NUM_THREADS`, `OMP_NUM_THREADS` or all cores.

    Small work runs on one thread all the same, and so does all work in a forked child.

    Returns:
        The number of threads.

    Examples:
        >>> cgru.get_num_threads() >= 1
        True
    """
    return _threads


def set_num_threads(n):
    """Set how many threads calls may use; results are bit for bit the same for any number.

    Args:
        n: the number of threads, at least 1; more than 256 count as 256.

    Raises:
        TypeError, ValueError: n is not an integer of at least 1.

    Examples:
        >>> before = cgru.get_num_threads()
        >>> cgru.set_num_threads(2)
        >>> cgru.get_num_threads()
        2
        >>> cgru.set_num_threads(before)
    """
    global _threads
    _threads = min(positive(n, "n"), MOST)


@contextmanager
def single_threaded():
    """Make calls from this thread run on it alone, within a `with` block."""
    global cgru_alone
    before = cgru_alone
    cgru_alone = True
    try:
        yield
    finally:
        cgru_alone = before


cdef int available() noexcept nogil:
    """Return how many threads a call from this thread may use."""
    return 1 if cgru_alone else _threads


cdef int threads_for(double flop) noexcept nogil:
    """Return how many threads to use for work of `flop` operations: all available ones, or 1 for little work."""
    return worth(flop, available())


cdef int worth(double flop, int most) noexcept nogil:
    """Return how many threads to use for work of `flop` operations: `most`, or 1 for little work."""
    return most if flop > SMALL else 1


cdef int at_once(int most) noexcept nogil:
    """Return how many of `most` threads can run at the same time, given the cores available at import."""
    return min(most, _cores)


cdef Py_ssize_t block_rows(Py_ssize_t m, Py_ssize_t row_bytes, Py_ssize_t weight_bytes, int threads,
                           bint ragged) noexcept nogil:
    """Return how many of m samples run all steps together as one block; `ragged`: their lengths differ.

    Each step reads the weights once for a block, so blocks are as large as the L2 cache allows for their rows. They are
    larger where the weights may have to come from memory. They are smaller where there would be no block for each
    thread, and smaller still for ragged batches, whose first blocks take longest.
    """
    cdef Py_ssize_t most = max(64 if weight_bytes > LAST_CACHE else FEW, ROWS_IN_L2 // row_bytes)
    cdef Py_ssize_t blocks = threads * (4 if ragged and threads > 1 else 1)
    if m > FEW * blocks:
        most = min(most, (m + blocks - 1) // blocks)
    elif threads > 1:
        most = FEW
    blocks = (m + most - 1) // most
    return (m + blocks - 1) // blocks


cdef void share(cgru_part *do_part, void *work, Py_ssize_t parts, int threads) noexcept nogil:
    """Call do_part(work, i) for each i < parts on up to `threads` threads, and return when all are done."""
    cgru_share(do_part, work, parts, threads)


cdef void *open_pool_crew(int threads, size_t bytes) noexcept nogil:
    """Open the thread pool's crew; return its memory, or NULL if the pool is busy."""
    return cgru_crew_open(threads, bytes)


cdef int ready_members() noexcept nogil:
    """Return how many threads, including the caller, take part in the next task."""
    return cgru_crew_ready()


cdef int gather_members() noexcept nogil:
    """Return what `ready_members` does, but wait some microseconds for a first other thread."""
    return cgru_crew_gather()


cdef void post_task(cgru_task *task) noexcept nogil:
    """Start a task, whose description is in the crew's memory."""
    cgru_crew_post(task)


cdef bint await_member(int member) noexcept nogil:
    """Return whether a thread has done its part, after waiting at most as long as the caller's own part took."""
    return cgru_crew_wait(member)


cdef void close_pool_crew() noexcept nogil:
    """Close the pool's crew, without waiting for its threads."""
    cgru_crew_close()


cdef void await_late_members() noexcept nogil:
    """Wait until no thread of a closed crew still reads the caller's memory."""
    cgru_crew_left()


def use_waits(always=None):
    """Wait for all threads of a crew to come, and then always (True) or never (False) for their parts.

    None: as long as the caller's own part took. For the tests.
    """
    cgru_crew_waits(-1 if always is None else always)


def count_shared_tasks():
    """Return how many tasks crews have shared so far; wait for the last crew's threads to leave.

    For the tests.
    """
    cgru_crew_left()
    return cgru_crew_tasks()


def _default_threads():
    """Return the number of threads that the environment sets, else the number of cores that the process may use."""
    for variable in ("CGRU_NUM_THREADS", "OMP_NUM_THREADS"):
        value = os.environ.get(variable, "").split(",")[0].strip()
        if value.isdecimal() and int(value) > 0:
            return int(value)
        if value and variable == "CGRU_NUM_THREADS":
            raise ImportError(f"CGRU_NUM_THREADS: expected an integer of at least 1, got {value!r}")
    return _cores


_cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
set_num_threads(_default_threads())
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=lambda: set_num_threads(1))  # a forked child is likely one of several workers
