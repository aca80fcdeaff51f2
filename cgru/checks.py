"""What bad input gets: each check raises before anything is touched and names the argument, what came, what was due."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

__all__ = ["callable_", "float_dtype", "integers", "lengths_of", "positive", "real", "sequences"]


def real(value: Any, name: str, shape: Sequence[int | str] | None = None, dtype: Any = None) -> np.ndarray:
    """`value` as real numbers, cast to `dtype` where given, of `shape`: numbers in it must match, letters may vary.

    No copy is made where none is needed. TypeError for what is not real, ValueError for another shape.
    """
    try:
        array = np.asarray(value)
    except ValueError as error:  # rows of different lengths
        raise ValueError(f"{name}: expected a rectangular array, got {type(value).__name__} ({error})") from None
    if array.dtype.kind not in "fiub":
        raise TypeError(f"{name}: expected real numbers, got dtype {array.dtype}")
    if shape is not None and (
        array.ndim != len(shape)
        or any(isinstance(due, int) and due != got for due, got in zip(shape, array.shape, strict=True))
    ):
        due = ", ".join(map(str, shape)) + ("," if len(shape) == 1 else "")
        raise ValueError(f"{name}: expected shape ({due}), got {array.shape}")
    return array if dtype is None or array.dtype == dtype else array.astype(dtype)


def sequences(value: Any, name: str, dtype: Any = None) -> np.ndarray:
    """`value` as real numbers of shape (m, s, e) with at least one sample, step and element."""
    array = real(value, name, ("m", "s", "e"), dtype)
    if 0 in array.shape:
        what = ("samples", "steps", "elements")[array.shape.index(0)]
        raise ValueError(f"{name}: expected at least one of its {what}, got shape {array.shape}")
    return array


def integers(value: Any, name: str) -> np.ndarray:
    """`value` as an array of an integer dtype; TypeError for any other, booleans among them."""
    try:
        array = np.asarray(value)
    except ValueError as error:
        raise ValueError(f"{name}: expected integers, got {type(value).__name__} ({error})") from None
    if array.dtype.kind not in "iu":
        raise TypeError(f"{name}: expected integers, got dtype {array.dtype}")
    return array


def lengths_of(value: Any, m: int, s: int, name: str = "lengths") -> np.ndarray | None:
    """`lengths` (m,) as intp, each from 1 to s; None stays None."""
    if value is None:
        return None
    array = integers(value, name)
    if array.shape != (m,):
        raise ValueError(f"{name}: expected shape ({m},), one for each sample, got {array.shape}")
    wrong = array[(array < 1) | (array > s)]
    if wrong.size:
        raise ValueError(f"{name}: expected integers from 1 to {s}, the steps of the input, got {wrong[0]}")
    return array.astype(np.intp)


def positive(value: Any, name: str) -> int:
    """`value` as an int of at least 1."""
    if isinstance(value, bool | np.bool_) or not isinstance(value, int | np.integer):
        raise TypeError(f"{name}: expected an integer, got {type(value).__name__}")
    if value < 1:
        raise ValueError(f"{name}: expected at least 1, got {value}")
    return int(value)


def callable_(value: Any, name: str) -> Any:
    """`value`, which can be called."""
    if not callable(value):
        raise TypeError(f"{name}: expected a callable, got {type(value).__name__}")
    return value


def float_dtype(value: Any, name: str = "dtype") -> np.dtype:
    """`value` as numpy.dtype, float32 or float64."""
    try:
        dtype = np.dtype(value)
    except TypeError:
        raise TypeError(f"{name}: expected float32 or float64, got {value!r}") from None
    if dtype not in (np.float32, np.float64) or not dtype.isnative:
        raise ValueError(f"{name}: expected float32 or float64, got {dtype}")
    return dtype
