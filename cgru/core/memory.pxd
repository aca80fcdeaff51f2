"""Memory for the compiled modules, all of it allocated by Python."""

cimport numpy as cnp


cdef class Workspace:
    cdef cnp.ndarray memory
    cdef char *free
    cdef Py_ssize_t itemsize
    cdef void *take(self, Py_ssize_t numbers) noexcept
