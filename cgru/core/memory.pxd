"""Workspaces and reusable arrays for the compiled modules, in memory that Python allocates."""

cimport numpy as cnp
from cpython.object cimport PyObject
from cpython.pyport cimport PY_SSIZE_T_MAX


cdef enum:
    LINE = 64  # bytes of a cache line; each part of a workspace begins at one


cdef inline Py_ssize_t lines_of(Py_ssize_t numbers, int size) noexcept nogil:
    """Return the bytes of `numbers` numbers, rounded up to whole cache lines."""
    return (numbers * size + LINE - 1) // LINE * LINE


cdef inline bint fits(double numbers, int size) noexcept nogil:
    """Return whether `numbers` numbers could fit into memory, so that adding a few such sizes cannot overflow."""
    return numbers * size < <double>PY_SSIZE_T_MAX / 2


cdef inline char *first_line(const void *memory) noexcept nogil:
    """Return the first address in `memory` that is the start of a cache line."""
    return <char *>((<size_t>memory + LINE - 1) // LINE * LINE)


cdef bint has_references(PyObject *object, Py_ssize_t count) noexcept


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
