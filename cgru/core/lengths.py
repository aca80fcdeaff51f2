"""Helpers for batches of samples of different lengths: padding masks, first and last steps, order by length, times.

m samples, s steps; lengths (m,) are the numbers of real steps, and the others are padding.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from cgru.core.checks import real

__all__ = ["by_length", "check_go_on", "ends", "mask", "padded", "times_of"]


def mask(lengths: np.ndarray, s: int) -> np.ndarray:
    """Return a mask of the real steps, those that are not padding.

    Args:
        lengths: (m,) the real steps of each sample.
        s: the number of steps.

    Returns:
        Booleans (m, s, 1): True for the real steps of each sample, False for its padding.

    Examples:
        >>> cgru.reference.mask([3, 1], 3)[:, :, 0]
        array([[ True,  True,  True],
               [ True, False, False]])
    """
    return (np.arange(s) < np.asarray(lengths)[:, None])[:, :, None]


def ends(m: int, s: int, lengths: np.ndarray | None = None, reverse: bool = False) -> tuple[np.ndarray, np.ndarray]:
    """Return the step that runs first and the step that runs last, for each sample.

    With them `fc['h'][np.arange(m), last]` is the last state, and `bc['dh'][np.arange(m), first]` is dL/dh0.

    Args:
        m: the number of samples.
        s: the number of steps.
        lengths: (m,) the real steps of each sample; None: all.
        reverse: whether the steps run in reverse.

    Returns:
        Two arrays of indices (m,): of the step that runs first, and of the one that runs last.

    Examples:
        >>> first, last = cgru.reference.ends(2, 5, np.array([5, 3]))
        >>> first.tolist(), last.tolist()
        ([0, 0], [4, 2])
    """
    start, end = np.zeros(m, int), np.full(m, s - 1) if lengths is None else np.asarray(lengths) - 1
    return (end, start) if reverse else (start, end)


def by_length(lengths: np.ndarray | None, s: int) -> tuple[np.ndarray, np.ndarray] | None:
    """Return (sample indices, longest first; how many samples have each step, (s,)); None without lengths."""
    if lengths is None:
        return None
    order = np.argsort(-lengths, kind="stable").astype(np.intp)
    return order, np.count_nonzero(lengths[:, None] > np.arange(s), axis=0).astype(np.intp)


def padded(X: Sequence[Any], name: str = "X") -> tuple[np.ndarray, np.ndarray]:
    """Pad m arrays (s_i, ...) with zeros; return (m, s, ...) and lengths (m,). ValueError if shapes do not match."""
    arrays = [np.asarray(x) for x in X]
    for i, array in enumerate(arrays):
        due = arrays[0].shape[1:]
        if array.ndim == 0 or len(array) == 0 or array.shape[1:] != due:
            shape = f"({', '.join(['steps', *map(str, due)])})"
            raise ValueError(f"{name}[{i}]: expected shape {shape}, as {name}[0] has, at least one, got {array.shape}")
    lengths = np.array([len(array) for array in arrays])
    whole = np.zeros((len(arrays), lengths.max(), *arrays[0].shape[1:]), np.result_type(*arrays))
    for row, array in zip(whole, arrays, strict=True):
        row[: len(array)] = array
    return whole, lengths


def times_of(value: Any, m: int, s: int, lengths: np.ndarray | None) -> np.ndarray | None:
    """Check times (m, s), and return them in float64, with the last real time in the padding; None for None.

    TypeError or ValueError for another dtype or shape, a time that is not finite, or one below that of the step before.
    """
    if value is None:
        return None
    times = np.ascontiguousarray(real(value, "times", (m, s)), np.float64)
    if lengths is not None:
        times = np.take_along_axis(times, np.minimum(np.arange(s), lengths[:, None] - 1), axis=1)
    for wrong, due in (
        (~np.isfinite(times), "finite numbers"),
        (np.diff(times, prepend=times[:, :1]) < 0, "times that do not decrease"),
    ):
        if wrong.any():
            i, t = np.argwhere(wrong)[0]
            raise ValueError(f"times: expected {due}, got {times[i, t]} in sample {i}, step {t}")
    return times


def check_go_on(times: np.ndarray, ends: np.ndarray, first: int = 0) -> None:
    """Raise ValueError if steps at `times` (m, s) start before `ends` (m,), the time of the steps before them.

    `first` is the number of the first sample.
    """
    for i in np.flatnonzero(times[:, 0] < ends)[:1]:
        due = f"times from {ends[i]} on, the end of the previous steps"
        raise ValueError(f"times: expected {due}, got {times[i, 0]} in sample {first + i}, step 0")
