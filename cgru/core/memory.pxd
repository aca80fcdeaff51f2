"""Memory for the compiled modules, all of it allocated by Python."""

cimport numpy as cnp
from cpython.pyport cimport PY_SSIZE_T_MAX


cdef enum:
    LINE = 64  # bytes of a cache line, at which workspaces are cut


cdef inline Py_ssize_t lines_of(Py_ssize_t numbers, int size) noexcept nogil:
    """Bytes of so many numbers, in whole cache lines."""
    return (numbers * size + LINE - 1) // LINE * LINE


cdef inline bint fits(double numbers, int size) noexcept nogil:
    """Whether memory could have so many numbers at all, and sums of some such sizes do not overflow."""
    return numbers * size < PY_SSIZE_T_MAX / 2


cdef inline char *first_line(const void *memory) noexcept nogil:
    """Where the first cache line begins."""
    return <char *>((<size_t>memory + LINE - 1) // LINE * LINE)


cdef class Workspace:
    cdef cnp.ndarray memory
    cdef char *free
    cdef Py_ssize_t itemsize
    cdef void *take(self, Py_ssize_t numbers) noexcept


cpdef cnp.ndarray time_major(cnp.ndarray memory, Py_ssize_t m, Py_ssize_t s, Py_ssize_t n, cnp.dtype dtype,
                             Py_ssize_t column)


cdef class Buffers:
    cdef dict kept
    cpdef cnp.ndarray take(self, str name, Py_ssize_t m, Py_ssize_t s, Py_ssize_t n, cnp.dtype dtype,
                           Py_ssize_t column=*)
    cpdef tuple take_states(self, str name, Py_ssize_t m, Py_ssize_t s, Py_ssize_t n, cnp.dtype dtype,
                            Py_ssize_t column=*)
    cpdef dict take_gradients(self, variant, Py_ssize_t e, Py_ssize_t u, cnp.dtype dtype)
    cdef tuple _keep(self, str name, tuple views)
    cdef tuple _free(self, str name, int ndim, const cnp.npy_intp *shape, Py_ssize_t column, cnp.dtype dtype)
