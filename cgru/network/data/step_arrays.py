"""Check arrays beside X with one number a step: `resets` or `decay` of the states, and `times`. m samples, s steps.

Layers read them by the names in their `reads`: "decay", of which `resets` are a case, and "times".
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from cgru.core.checks import real
from cgru.core.decay import decay_of
from cgru.core.lengths import padded
from cgru.core.row_blocks import slices
from cgru.core.times import times_of
from cgru.network import chain
from cgru.network.data_spec import DataSpec

__all__ = [
    "STEP_ARRAYS",
    "check_mapped_step_arrays",
    "check_names",
    "check_step_arrays",
    "given_step_arrays",
    "rectangles",
]

STEP_ARRAYS = {"resets": "decay", "decay": "decay", "times": "times"}  # the arguments, and what layers read of each

Given = Mapping[str, Any]  # arrays by the names of arguments; None: not given


def given_step_arrays(resets: Any, decay: Any, times: Any) -> dict[str, Any]:
    """Return those that are not None by the names of the arguments."""
    if resets is None and decay is None and times is None:  # nothing more is spent on a call without them
        return {}
    given = {"resets": resets, "decay": decay, "times": times}
    return {name: value for name, value in given.items() if value is not None}


def check_step_arrays(
    spec: DataSpec, given: Given, shape: tuple[int, ...], lengths: np.ndarray | None, name: str = "", first: int = 0
) -> dict[str, np.ndarray]:
    """Check the arrays `given` beside inputs of `shape` (m, s, ...); return what layers read, by its name, each (m, s).

    A list of m arrays (s_i,), such as X may be one, is padded. "decay" is of the network's dtype and 1 in the padding,
    "times" float64 and there the last real time. Padding is not looked at. TypeError or ValueError, with the prefix
    `name`, also where no layer, or not every recurrent layer, can read one. `first` is the number of the first sample.
    """
    found = _check_shapes(spec, given, shape, lengths, name)
    m, s = shape[:2]
    decay = decay_of(found.get("resets"), found.get("decay"), m, s, None, lengths, spec.layers[-1].dtype, name, first)
    read = {"decay": None if decay is None else decay[:, :, 0]}
    read["times"] = times_of(found.get("times"), m, s, lengths, f"{name}times", first)
    if read["times"] is None and spec.timed:
        raise ValueError(
            f"{name}times: expected those of the steps, as the network was trained with, whose unit is "
            f"{spec.layers[0].unit:.6g}, got None"
        )
    return {each: array for each, array in read.items() if array is not None}


def check_mapped_step_arrays(
    spec: DataSpec, given: Given | None, shape: tuple[int, ...], lengths: np.ndarray | None, name: str = ""
) -> dict[str, Any]:
    """Check the arrays `given` beside memory-mapped inputs as `check_step_arrays`; return them as they are.

    A block of samples is read at a time.
    """
    found = _check_shapes(spec, given, shape, lengths, name)
    for rows in slices(shape[:2]) if found else ():
        part = {each: array[rows] for each, array in found.items()}
        size = len(next(iter(part.values()))), shape[1]
        check_step_arrays(spec, part, size, None if lengths is None else lengths[rows], name, rows.start)
    return found


def _check_shapes(
    spec: DataSpec, given: Given | None, shape: tuple[int, ...], lengths: np.ndarray | None, name: str
) -> dict[str, Any]:
    """Return the arrays that are `given` as (m, s), once layers can read them."""
    check_names(given or {}, name)
    for each, value in (given or {}).items():
        if value is not None:
            chain.check_reads(spec.layers, STEP_ARRAYS[each], name + each)
    return rectangles(given or {}, shape, lengths, name)


def check_names(given: Given, name: str = "") -> None:
    """Raise ValueError, with the prefix `name`, for an array beside X of another name than those of `STEP_ARRAYS`."""
    for each in given:
        if each not in STEP_ARRAYS:
            raise ValueError(f"{name}{each}: expected one of {', '.join(STEP_ARRAYS)} beside X, got this name")


def rectangles(
    given: Given, shape: tuple[int, ...], lengths: np.ndarray | None, name: str = ""
) -> dict[str, np.ndarray]:
    """Return the arrays that are `given` beside inputs of `shape` as (m, s); ValueError for other shapes.

    Lists of m arrays (s_i,) are padded; memory-mapped arrays are not read.
    """
    m, s = shape[:2]
    found = {each: value for each, value in given.items() if value is not None}
    for each, value in found.items():
        found[each] = _as_rectangle(value, m, s, lengths, name + each)
        if found[each].shape != (m, s):
            due = f"({m}, {s}), a number for each step of X"
            raise ValueError(f"{name}{each}: expected shape {due}, got {found[each].shape}")
    return found


def _as_rectangle(value: Any, m: int, s: int, lengths: np.ndarray | None, name: str) -> np.ndarray:
    """Return a list of m arrays (s_i,) padded to (m, s), once their lengths are those of X; anything else as array."""
    if isinstance(value, np.ndarray) and value.dtype != object:
        return value
    if not isinstance(value, np.ndarray | list | tuple) or len(value) != m or any(np.ndim(row) != 1 for row in value):
        return real(value, name)
    array, own = padded(value, name)
    steps = np.full(m, s) if lengths is None else lengths
    wrong = np.flatnonzero(own != steps)
    if wrong.size and (own != s).any():
        i = wrong[0]
        raise ValueError(f"{name}[{i}]: expected {steps[i]} steps, as X[{i}] has, got {own[i]}")
    return np.pad(array, ((0, 0), (0, s - array.shape[1])))
