"""Check arguments: raise an error that names the argument, or return it converted.

Compiled, because a layer's call on a small input takes microseconds and checks some twenty arrays.
"""

import sys
from collections.abc import Mapping

import numpy as np

cimport numpy as cnp
from libc.float cimport DBL_MAX, FLT_MAX

from cgru.variant import by_letter

cnp.import_array()

ctypedef fused number:
    float
    double
    cnp.int64_t


cdef bint _has_dtype(cnp.ndarray array, cnp.dtype dtype) noexcept:
    """Return whether an array has this dtype, in native byte order."""
    return cnp.PyArray_TYPE(array) == dtype.type_num and cnp.PyArray_ISNOTSWAPPED(array)


cdef bint _has_shape(cnp.ndarray array, tuple shape) except -1:
    """Return whether an array has this shape; a string in the shape matches any size."""
    cdef Py_ssize_t i
    if cnp.PyArray_NDIM(array) != len(shape):
        return False
    for i in range(len(shape)):
        due = shape[i]
        if not isinstance(due, str) and cnp.PyArray_DIM(array, i) != due:
            return False
    return True


cpdef cnp.ndarray real(value, name, tuple shape=None, cnp.dtype dtype=None):
    """Return `value` as an array of real numbers, checked against `shape` and cast to `dtype`, if given.

    Numbers in `shape` must match; letters stand for any number. No copy is made unless it is needed. `name` is that of
    the argument in errors, or (dict, key) for an entry of a dict. TypeError for other dtypes, ValueError for another
    shape.
    """
    cdef cnp.ndarray array
    if type(value) is np.ndarray:
        array = value
    else:
        _check_unmasked(value, name)
        try:
            array = np.asarray(value)
        except ValueError as error:  # rows of different lengths
            raise ValueError(
                f"{_label(name)}: expected a rectangular array, got {type(value).__name__} ({error})"
            ) from None
    if array.dtype.kind not in "fiub":
        raise TypeError(f"{_label(name)}: expected real numbers, got dtype {array.dtype}")
    if shape is not None and not _has_shape(array, shape):
        due = ", ".join(map(str, shape)) + ("," if len(shape) == 1 else "")
        raise ValueError(f"{_label(name)}: expected shape ({due}), got {np.shape(array)}")
    return array if dtype is None or (_has_dtype(array, dtype) and _has_item_strides(array)) else array.astype(dtype)


cdef int _check_unmasked(value, name) except -1:
    """Raise ValueError for a NumPy masked array with masked elements, since `numpy.asarray` would ignore the mask."""
    masked = sys.modules.get("numpy.ma")  # which another thread may just be importing
    if isinstance(value, getattr(masked, "MaskedArray", ())) and masked.is_masked(value):
        raise ValueError(f"{_label(name)}: expected plain numbers, got masked ones; fill or drop them")
    return 0


cdef str _label(name):
    """Return the name of an argument for an error message; a tuple (dict, key) is formatted only here, to save time."""
    return f"{name[0]}[{name[1]!r}]" if isinstance(name, tuple) else name


cdef bint _has_item_strides(cnp.ndarray array) noexcept:
    """Return whether strides are multiples of the item size, as the kernels need; packed records have others."""
    cdef int axis
    for axis in range(cnp.PyArray_NDIM(array)):
        if cnp.PyArray_STRIDE(array, axis) % cnp.PyArray_ITEMSIZE(array):
            return False
    return cnp.PyArray_ISALIGNED(array)


def aligned(array, dtype=None):
    """Return `array` in C order, aligned to its item size and cast to `dtype`, if given.

    No copy is made unless it is needed. `numpy.ascontiguousarray` does not align: a field of packed records or a buffer
    from an odd byte on keeps its address.
    """
    return np.require(array, dtype, ("C", "A"))


cpdef cnp.ndarray contiguous_rows(cnp.ndarray array):
    """Return `array` with a contiguous last axis; copy it only if the axis is not contiguous."""
    cdef int last = cnp.PyArray_NDIM(array) - 1
    return array if cnp.PyArray_STRIDE(array, last) == cnp.PyArray_ITEMSIZE(array) else np.ascontiguousarray(array)


cpdef cnp.ndarray entry(dict source, str of, str key, tuple shape, cnp.dtype dtype=None):
    """Check and convert the entry `source[key]` as `real` does; an error names it as in p['Uz']."""
    cdef cnp.ndarray array
    value = source[key]
    if type(value) is np.ndarray:
        array = value
        if dtype is not None and _has_dtype(array, dtype) and _has_item_strides(array) and _has_shape(array, shape):
            return array
    return real(value, (of, key), shape, dtype)


cpdef dict entries(dict source, str of, tuple names, tuple shape, cnp.dtype dtype):
    """Check and convert the entries with these names as `entry` does; return a dict of arrays with contiguous rows."""
    return {name: contiguous_rows(entry(source, of, name, shape, dtype)) for name in names}


cpdef bint has(dict source, tuple names) except -1:
    """Return whether all names are keys of `source`."""
    for name in names:
        if name not in source:
            return False
    return True


def shapes_of(cache, shapes):
    """Set `shapes[key]` to the shape of `cache[key]` for each key of the cache."""
    cdef tuple shape = None
    for name, value in cache.items():
        if shape is None or type(value) is not np.ndarray or not _has_shape(value, shape):
            shape = value.shape
        shapes[name] = shape


def sequences(value, name, cnp.dtype dtype=None):
    """Return `value` as real numbers of shape (m, s, e); ValueError without a sample, step or feature."""
    cdef cnp.ndarray array = real(value, name, None, dtype)
    cdef int axis
    if cnp.PyArray_NDIM(array) != 3:
        advice = f"; for one feature a step give {name}[:, :, None]" if cnp.PyArray_NDIM(array) == 2 else ""
        raise ValueError(f"{name}: expected shape (m, s, e), got {np.shape(array)}{advice}")
    for axis in range(3):
        if cnp.PyArray_DIM(array, axis) == 0:
            what = ("samples", "steps", "features")[axis]
            raise ValueError(f"{name}: expected at least one of its {what}, got shape {np.shape(array)}")
    return array


cdef bint _lie_within(const number *a, Py_ssize_t n, number low, number high) noexcept nogil:
    """Return whether all of n numbers are from `low` to `high`; False with a NaN."""
    cdef Py_ssize_t j
    cdef bint lost = False
    for j in range(n):
        lost |= not low <= a[j]
        lost |= not a[j] <= high
    return not lost


def within(cnp.ndarray array, low=None, high=None):
    """Return whether all numbers of an array are finite and, if both bounds are given, from `low` to `high`."""
    cdef Py_ssize_t n = cnp.PyArray_SIZE(array)
    cdef void *data = cnp.PyArray_DATA(array)
    cdef int kind = cnp.PyArray_TYPE(array) if cnp.PyArray_ISCARRAY_RO(array) else cnp.NPY_OBJECT
    cdef bint bounded = low is not None
    if kind == cnp.NPY_FLOAT32:
        return _lie_within[float](<float *>data, n, low if bounded else -FLT_MAX, high if bounded else FLT_MAX)
    if kind == cnp.NPY_FLOAT64:
        return _lie_within[double](<double *>data, n, low if bounded else -DBL_MAX, high if bounded else DBL_MAX)
    if kind == cnp.NPY_INT64 and bounded:
        return _lie_within[cnp.int64_t](<cnp.int64_t *>data, n, low, high)
    found = np.isfinite(array)
    if bounded:
        found &= (array >= low) & (array <= high)
    return bool(found.all())


def integers(value, name):
    """Check that `value` has an integer dtype, and return it as an array; TypeError for any other, including bool."""
    _check_unmasked(value, name)
    try:
        array = np.asarray(value)
    except ValueError as error:
        raise ValueError(f"{name}: expected integers, got {type(value).__name__} ({error})") from None
    if array.dtype.kind not in "iu":
        raise TypeError(f"{name}: expected integers, got dtype {array.dtype}")
    return array


def lengths_of(value, m, s, name="lengths"):
    """Check that `lengths` (m,) are integers from 1 to s, and return them as intp; None for None."""
    if value is None:
        return None
    array = integers(value, name)
    if array.shape != (m,):
        raise ValueError(f"{name}: expected shape ({m},), one for each sample, got {array.shape}")
    wrong = array[(array < 1) | (array > s)]
    if wrong.size:
        raise ValueError(f"{name}: expected integers from 1 to {s}, the steps of the input, got {wrong[0]}")
    return array.astype(np.intp)


def positive(value, name):
    """Check that `value` is an integer of at least 1, and return it."""
    if isinstance(value, (bool, np.bool_)) or not isinstance(value, (int, np.integer)):
        raise TypeError(f"{name}: expected an integer, got {type(value).__name__}")
    if value < 1:
        raise ValueError(f"{name}: expected at least 1, got {value}")
    return int(value)


def flag(value, name):
    """Check that `value` is True or False, and return it; TypeError for anything else."""
    if not isinstance(value, (bool, np.bool_)):
        raise TypeError(f"{name}: expected True or False, got {type(value).__name__}")
    return bool(value)


def rate(value, name):
    """Check that `value` is a dropout or zoneout rate, from 0 to below 1, and return it as a float."""
    if isinstance(value, (bool, np.bool_)) or not isinstance(value, (int, float, np.integer, np.floating)):
        raise TypeError(f"{name}: expected a number, got {type(value).__name__}")
    if not 0 <= value < 1:
        raise ValueError(f"{name}: expected a number of at least 0 and below 1, got {value}")
    return float(value)


def mapping(value, name):
    """Check that `value` is a mapping or None, and return it; TypeError for anything else."""
    if value is not None and not isinstance(value, Mapping):
        raise TypeError(f"{name}: expected a dict or None, got {type(value).__name__}")
    return value


def callable_(value, name):
    """Check that `value` is callable, and return it; TypeError for anything else."""
    if not callable(value):
        raise TypeError(f"{name}: expected a callable, got {type(value).__name__}")
    return value


def named_callable(value, argument, functions):
    """Return `value` if it is callable, else the function with that name; TypeError or ValueError if there is none."""
    if isinstance(value, str) and value in functions:
        return functions[value]
    if callable(value):
        return value
    names = ", ".join(map(repr, functions))
    if isinstance(value, str):
        raise ValueError(f"{argument}: expected one of {names}, or a callable, got {value!r}")
    raise TypeError(f"{argument}: expected a callable or one of {names}, got {type(value).__name__}")


def float_dtype(value, name="dtype"):
    """Check that `value` means native float32 or float64, and return it as a numpy.dtype."""
    try:
        dtype = np.dtype(value)
    except TypeError:
        raise TypeError(f"{name}: expected float32 or float64, got {value!r}") from None
    if dtype not in (np.float32, np.float64) or not dtype.isnative:
        raise ValueError(f"{name}: expected float32 or float64, got {dtype}")
    return dtype


def generator(rng):
    """Return a numpy Generator for `rng`: a Generator itself, or a new one for a seed or None."""
    try:
        return np.random.default_rng(rng)
    except (TypeError, ValueError) as error:
        raise type(error)(f"rng: expected a Generator, a seed or None, got {rng!r} ({error})") from None


def parameters(dict p, e, u, cnp.dtype dtype, variant, source="p"):
    """Check a GRU's parameters against its variant, e features and u units, and return them in `dtype`.

    `source` names the input in the error for parameters that were made for another number of features.

    Raises:
        RuntimeError: there are no parameters.
        ValueError: one is missing or has another shape.
        TypeError: one is not real.
    """
    if not p:
        raise RuntimeError("p: empty; expected compute_shapes and initialize_parameters before this call")
    cdef dict due = by_letter(e, u), checked = {}
    cdef str name
    for name in variant.names:
        if name not in p:
            raise ValueError(f"p[{name!r}]: missing; expected an array of shape {due[name[0]]}")
        if name == "Uz":
            _check_features(p, e, u, source)
        checked[name] = entry(p, "p", name, due[name[0]], dtype)
    return checked


cdef int _check_features(dict p, e, u, source) except -1:
    """Raise a ValueError about the input, if Uz, Ur and Uhh all have a different number of features than the input."""
    if type(p["Uz"]) is np.ndarray and _has_shape(p["Uz"], (e, u)):
        return 0
    shape = np.shape(p["Uz"])
    if len(shape) == 2 and shape[0] != e and shape == np.shape(p.get("Ur")) == np.shape(p.get("Uhh")):
        if shape[1] == u:
            raise ValueError(f"{source}: expected {shape[0]} features per step, as many as p was made for, got {e}")
    return 0
