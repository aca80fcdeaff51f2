"""Memory for the compiled modules, all of it allocated by Python: a call's workspace, and the arrays of a layer."""

import numpy as np

cimport numpy as cnp
from cpython.dict cimport PyDict_GetItem
from cpython.object cimport PyObject

cnp.import_array()

cdef extern from "Python.h":
    Py_ssize_t Py_REFCNT(PyObject *) noexcept


cdef enum:
    MAX_PIECES = 130  # of a workspace, each up to 63 bytes away from the one before


cdef class Workspace:
    """Room for so many numbers, cut into pieces that begin at a cache line."""

    def __init__(self, Py_ssize_t numbers, Py_ssize_t itemsize):
        cdef cnp.npy_intp size = numbers * itemsize + 64 * MAX_PIECES
        self.memory = cnp.PyArray_EMPTY(1, &size, cnp.NPY_UINT8, 0)
        self.itemsize = itemsize
        self.free = <char *>cnp.PyArray_DATA(self.memory)

    cdef void *take(self, Py_ssize_t numbers) noexcept:
        cdef char *piece = <char *>((<size_t>self.free + 63) // 64 * 64)
        self.free = piece + numbers * self.itemsize
        return piece


cdef class Buffers:
    """Named arrays that are handed out again only while nobody else holds them.

    A view of an array holds that array itself (NumPy keeps no chain of views), so the array's reference count says
    whether anyone but this object could still see it.
    """

    cdef dict arrays

    def __init__(self):
        self.arrays = {}

    def take(self, str name not None, tuple shape not None, dtype):
        """The array of that name, its contents unspecified: the one of the last call where it fits and is free."""
        cdef PyObject *kept = PyDict_GetItem(self.arrays, name)
        if kept != NULL and Py_REFCNT(kept) == 1:
            array = <object>kept
            if array.shape == shape and array.dtype == dtype:
                return array
        self.arrays[name] = array = np.empty(shape, dtype)
        return array
