"""Allocate memory for the compiled modules: workspaces of calls, and arrays that a layer reuses."""

from math import prod

import numpy as np

cimport numpy as cnp
from cpython.object cimport PyObject
from cython cimport no_gc
from libc.string cimport memcmp

cnp.import_array()

cdef extern from "numpy/arrayobject.h":
    cnp.ndarray PyArray_View(cnp.ndarray array, void *descr, void *type)

cdef extern from "Python.h":
    PyObject *PyTuple_GET_ITEM(tuple, Py_ssize_t) noexcept


cdef extern from *:
    """
    /* Return whether an object has `count` references and nobody can have taken another one meanwhile.
     *
     * Without a GIL, the thread that made an object counts its own references apart from those of all others. A sum of
     * the two counts may be of no moment that ever was. So only that thread can tell, where the others have none. */
    static int cgru_has_references(PyObject *object, Py_ssize_t count) {
    #ifdef Py_GIL_DISABLED
        return _Py_IsOwnedByCurrentThread(object) && object->ob_ref_local == (uint32_t)count &&
               _Py_atomic_load_ssize(&object->ob_ref_shared) == 0;
    #else
        return Py_REFCNT(object) == count;
    #endif
    }
    """
    bint cgru_has_references(PyObject *object, Py_ssize_t count) noexcept


cdef enum:
    MAX_PIECES = 130  # of a workspace; up to 63 bytes are lost between two of them


cdef bint has_references(PyObject *object, Py_ssize_t count) noexcept:
    """Return whether an object has exactly `count` references, and no other thread can be taking one."""
    return cgru_has_references(object, count)


@no_gc  # which would free the memory before a subclass's __dealloc__; an array of bytes refers to nothing
cdef class Workspace:
    """Uninitialised memory for `numbers` numbers, handed out in pieces that begin at a cache line."""

    def __init__(self, Py_ssize_t numbers, Py_ssize_t itemsize):
        """Allocate memory for `numbers` numbers of `itemsize` bytes."""
        cdef cnp.npy_intp size = numbers * itemsize + 64 * MAX_PIECES
        self.memory = cnp.PyArray_EMPTY(1, &size, cnp.NPY_UINT8, 0)
        self.itemsize = itemsize
        self.free = <char *>cnp.PyArray_DATA(self.memory)

    cdef void *take(self, Py_ssize_t numbers) noexcept:
        """Return the address of the next `numbers` numbers of the workspace."""
        cdef char *piece = <char *>((<size_t>self.free + 63) // 64 * 64)
        self.free = piece + numbers * self.itemsize
        return piece


cpdef cnp.ndarray time_major(cnp.ndarray memory, Py_ssize_t m, Py_ssize_t s, Py_ssize_t n, cnp.dtype dtype,
                             Py_ssize_t column):
    """Return a time-major view (m, s, n) of contiguous `memory`; allocate it if None.

    If `column` is 1, the memory is (s, m, n); if it is m, the memory is (s, n, m).
    """
    if memory is None:
        memory = np.empty(s * m * n, dtype)
    return memory.reshape(s, m, n).swapaxes(0, 1) if column == 1 else memory.reshape(s, n, m).transpose(2, 0, 1)


cdef class Buffers:
    """A pool of named arrays (m, s, n); an array is reused only if nobody else refers to it or to a view of it.

    They are time-major, so that a step reads and writes one piece of memory, which the processor prefetches. Within a
    step the order is (m, n), or (n, m) by `column`. The pool hands out views, which it makes once. The base of a view
    is the array that owns the memory, never another view (NumPy keeps no chain). So the reference counts of the views
    and of their owner tell whether anyone else could see them. Any thread may take arrays: without a GIL, a thread
    reuses only those that it made.
    """

    def __init__(self):
        """Start with an empty pool."""
        self.kept = {}

    cpdef cnp.ndarray take(self, str name, Py_ssize_t m, Py_ssize_t s, Py_ssize_t n, cnp.dtype dtype,
                           Py_ssize_t column=1):
        """Return an uninitialised array (m, s, n): that of this name if it fits and is free, else a new one."""
        cdef cnp.npy_intp shape[3]
        shape[0], shape[1], shape[2] = m, s, n
        cdef tuple views = self._free(name, 3, shape, column, dtype)
        if views is None:
            views = self._keep(name, (time_major(None, m, s, n, dtype, column),))
        return views[0]

    cpdef tuple take_states(self, str name, Py_ssize_t m, Py_ssize_t s, Py_ssize_t n, cnp.dtype dtype,
                            Py_ssize_t column=1):
        """Return (array (m, s + 1, n), its view without the last step, that without the first), reused as by `take`."""
        cdef cnp.npy_intp shape[3]
        shape[0], shape[1], shape[2] = m, s + 1, n
        cdef tuple views = self._free(name, 3, shape, column, dtype)
        if views is None:
            owner = time_major(None, m, s + 1, n, dtype, column)
            views = self._keep(name, (owner[:], owner[:, :-1], owner[:, 1:]))
        return views

    cpdef dict take_gradients(self, variant, Py_ssize_t e, Py_ssize_t u, cnp.dtype dtype):
        """Return {'d' + name: uninitialised array} for the gradients of a variant's parameters, reused as by `take`.

        The first one begins at a cache line.
        """
        cdef tuple names = variant.names
        cdef cnp.npy_intp shape[2]
        shape[0], shape[1] = e, u
        cdef tuple views = self._free(names[0], 2, shape, 1, dtype)
        if views is None or len(views) != len(names):
            views = self._keep(names[0], one_behind_another(list(variant.shapes(e, u).values()), dtype))
        return dict(zip(variant.gradient_names, views))

    cdef tuple _keep(self, str name, tuple views):
        """Store views with their shapes and strides, since a user could change those in place; return the views."""
        self.kept[name] = views, tuple([(view.shape, view.strides) for view in views])
        return views

    cdef tuple _free(self, str name, int ndim, const cnp.npy_intp *shape, Py_ssize_t column, cnp.dtype dtype):
        """Return the stored views of `name`; None if one does not fit, is still in use, or was changed in place."""
        cdef tuple entry = self.kept.get(name), views, layouts
        if entry is None:
            return None
        views, layouts = entry[0], entry[1]
        if not has_references(<PyObject *>views, 2):  # another thread has the tuple alone so far, none of its views
            return None
        cdef Py_ssize_t i, count = len(views)
        cdef PyObject *view = PyTuple_GET_ITEM(views, 0)
        if not has_references(cnp.PyArray_BASE(<cnp.ndarray>view), count):
            return None
        if (not _laid_out(<cnp.ndarray>view, layouts[0])
                or memcmp(cnp.PyArray_DIMS(<cnp.ndarray>view), shape, ndim * sizeof(cnp.npy_intp))
                or cnp.PyArray_STRIDE(<cnp.ndarray>view, ndim - 1) != column * cnp.PyArray_ITEMSIZE(<cnp.ndarray>view)):
            return None
        for i in range(count):
            view = PyTuple_GET_ITEM(views, i)
            if (not has_references(view, 1) or not cnp.PyArray_ISWRITEABLE(<cnp.ndarray>view)
                    or not _laid_out(<cnp.ndarray>view, layouts[i])
                    or cnp.PyArray_TYPE(<cnp.ndarray>view) != dtype.type_num
                    or not cnp.PyArray_ISNOTSWAPPED(<cnp.ndarray>view)):
                return None
        return views


def one_behind_another(list shapes not None, cnp.dtype dtype not None):
    """Return a tuple of uninitialised arrays of these shapes, stored one after another from a cache line on.

    The system hands out one memory sooner than many: malloc has it at hand, once one as large was freed.
    """
    cdef Py_ssize_t numbers = sum([prod(shape) for shape in shapes]), start
    cdef cnp.ndarray owner = np.empty(numbers + LINE // dtype.itemsize, dtype)
    cdef tuple views = ()
    start = (LINE - <size_t>cnp.PyArray_DATA(owner) % LINE) % LINE // dtype.itemsize
    for shape in shapes:
        numbers = prod(shape)
        views += (owner[start:start + numbers].reshape(shape),)
        start += numbers
    return views


cdef bint _laid_out(cnp.ndarray view, tuple layout) noexcept:
    """Return whether a view still has the shape and strides in `layout`."""
    cdef tuple shape = <tuple>layout[0], strides = <tuple>layout[1]
    cdef Py_ssize_t i
    if cnp.PyArray_NDIM(view) != len(shape):
        return False
    for i in range(len(shape)):
        if cnp.PyArray_DIM(view, i) != <Py_ssize_t>shape[i] or cnp.PyArray_STRIDE(view, i) != <Py_ssize_t>strides[i]:
            return False
    return True


def views(dict arrays not None):
    """Return a dict of views of the arrays; setting a view's shape does not affect the array."""
    cdef dict shown = {}
    for name, array in arrays.items():
        shown[name] = PyArray_View(<cnp.ndarray?>array, NULL, NULL)
    return shown


def show(dict arrays not None, dict cache not None, dict shapes not None):
    """Set `cache[name]` to a view of each array, and `shapes[name]` to its shape."""
    cdef tuple shape = None
    cdef cnp.ndarray array
    for name, value in arrays.items():
        array = value
        cache[name] = PyArray_View(array, NULL, NULL)
        if shape is None or not _has_shape(array, shape):
            shape = np.shape(array)
        shapes[name] = shape


cdef bint _has_shape(cnp.ndarray array, tuple shape) noexcept:
    """Return whether an array has this shape."""
    cdef Py_ssize_t i
    if cnp.PyArray_NDIM(array) != len(shape):
        return False
    for i in range(len(shape)):
        if cnp.PyArray_DIM(array, i) != <Py_ssize_t>shape[i]:
            return False
    return True
