"""Ragged batches: which steps of a sample are real, where it begins and ends, and in what order samples run.

m samples, s steps; lengths (m,) says how many steps of each sample are real.
"""

from __future__ import annotations

import numpy as np

__all__ = ["by_length", "ends", "mask"]


def mask(lengths: np.ndarray, s: int) -> np.ndarray:
    """(m, s, 1) booleans: whether step t of a sample is one of its `lengths` real ones."""
    return (np.arange(s) < np.asarray(lengths)[:, None])[:, :, None]


def ends(m: int, s: int, lengths: np.ndarray | None = None, reverse: bool = False) -> tuple[np.ndarray, np.ndarray]:
    """Two (m,) integers: the real step that runs first in each sample, and the one that runs last.

    With them `fc['h'][np.arange(m), last]` is the last state, and `bc['dh'][np.arange(m), first]` is dL/dh0.
    """
    start, end = np.zeros(m, int), np.full(m, s - 1) if lengths is None else np.asarray(lengths) - 1
    return (end, start) if reverse else (start, end)


def by_length(lengths: np.ndarray | None, s: int) -> tuple[np.ndarray, np.ndarray] | None:
    """The samples, longest first, and how many of them have each step; None where there are no lengths."""
    if lengths is None:
        return None
    order = np.argsort(-lengths, kind="stable").astype(np.intp)
    return order, np.count_nonzero(lengths[:, None] > np.arange(s), axis=0).astype(np.intp)
