"""What bad input gets: each check raises before anything is touched and names the argument, what came, what was due."""

from collections.abc import Mapping, MutableMapping
from typing import Any

import numpy as np

from cgru.variant import Variant

def real(
    value: Any, name: str | tuple[str, str], shape: tuple[int | str, ...] | None = None, dtype: np.dtype | None = None
) -> np.ndarray:
    """`value` as real numbers, cast to `dtype` where given, of `shape`: numbers in it must match, letters may vary.

    No copy is made where none is needed. A name (dict, key) stands for that entry. TypeError for what is not real,
    ValueError for another shape.
    """

def entry(
    source: dict[str, Any], of: str, key: str, shape: tuple[int | str, ...], dtype: np.dtype | None = None
) -> np.ndarray:
    """`real` of `source[key]`, quickly where nothing is to be done; `of` is the name of the dict in errors."""

def entries(
    source: dict[str, Any], of: str, names: tuple[str, ...], shape: tuple[int | str, ...], dtype: np.dtype
) -> dict[str, np.ndarray]:
    """`entry` of each name, copied only where its last axis is not contiguous."""

def has(source: dict[str, Any], names: tuple[str, ...]) -> bool:
    """Whether all the names are in `source`."""

def rows(array: np.ndarray) -> np.ndarray:
    """`array`, copied only where its last axis is not contiguous."""

def shapes_of(cache: Mapping[str, np.ndarray], shapes: MutableMapping[str, tuple[int, ...]]) -> None:
    """Set `shapes[k] = cache[k].shape` for each key of the cache."""

def sequences(value: Any, name: str, dtype: np.dtype | None = None) -> np.ndarray:
    """`value` as real numbers of shape (m, s, e) with at least one sample, step and element."""

def integers(value: Any, name: str) -> np.ndarray:
    """`value` as an array of an integer dtype; TypeError for any other, booleans among them."""

def lengths_of(value: Any, m: int, s: int, name: str = "lengths") -> np.ndarray | None:
    """`lengths` (m,) as intp, each from 1 to s; None stays None."""

def positive(value: Any, name: str) -> int:
    """`value` as an int of at least 1."""

def flag(value: Any, name: str) -> bool:
    """`value`, True or False."""

def rate(value: Any, name: str) -> float:
    """`value` as a float of at least 0 and below 1: the share that is dropped, or kept as it was."""

def mapping(value: Any, name: str) -> Any:
    """`value`, a mapping or None."""

def callable_(value: Any, name: str) -> Any:
    """`value`, which can be called."""

def float_dtype(value: Any, name: str = "dtype") -> np.dtype:
    """`value` as numpy.dtype, float32 or float64."""

def generator(rng: np.random.Generator | int | None) -> np.random.Generator:
    """`rng` as a Generator."""

def parameters(
    p: dict[str, Any], e: int, u: int, dtype: np.dtype, source: str = "p", variant: Variant = ...
) -> dict[str, np.ndarray]:
    """The parameters of a GRU layer in `dtype`, those of the variant, checked against e elements and u units.

    RuntimeError where there are none; ValueError for one that is missing or misshapen, or, naming `source`, where they
    were made for another number of elements; TypeError for one that is not real.
    """
