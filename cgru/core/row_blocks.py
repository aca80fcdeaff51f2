"""Arrays too large to be copied or looked at as a whole: a block of rows at a time, read when it is asked for."""

from __future__ import annotations

import math
import mmap
from collections.abc import Iterator
from typing import Any

import numpy as np

__all__ = ["BLOCK", "Rows", "at_once", "mapped", "rows_of", "slices"]

BLOCK = 1 << 20  # numbers that are looked at, or converted, at once
TOKEN = 16  # numbers that one becomes, as far as is known
ROWS = 8, 1024  # of samples that are predicted at once, at least and at most


class Rows:
    """Some rows of an array in a file, which are read when they are asked for: `Rows(X, rows)[at]` is X[rows[at]]."""

    def __init__(self, array: Any, rows: np.ndarray) -> None:
        self.array, self.rows = array, rows
        self.dtype, self.ndim, self.shape = array.dtype, array.ndim, (len(rows), *array.shape[1:])

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, at: Any) -> np.ndarray:
        return self.array[self.rows[at]]


def mapped(array: Any) -> bool:
    """Whether the numbers of an array lie in a file."""
    while isinstance(array, np.ndarray | memoryview):
        array = array.base if isinstance(array, np.ndarray) else array.obj
    return isinstance(array, mmap.mmap | Rows)


def rows_of(array: Any, rows: np.ndarray) -> Any:
    """These rows (indices) of an array, without a copy where it lies in a file; None stays None."""
    if array is None:
        return None
    return Rows(array, rows) if mapped(array) else array[rows]


def at_once(shape: tuple[int, ...]) -> int:
    """How many samples (m, s, e), or of tokens (m, s), are predicted at once where nobody says: fewer of long ones."""
    (least, most), vector = ROWS, 1 if len(shape) > 2 else TOKEN
    return max(least, min(most, 4 * BLOCK // max(1, vector * math.prod(shape[1:]))))


def slices(shape: tuple[int, ...]) -> Iterator[slice]:
    """The rows of an array of that shape, as many at a time as have up to `BLOCK` numbers, but one at least."""
    size = max(1, BLOCK // max(1, math.prod(shape[1:])))
    return (slice(start, start + size) for start in range(0, shape[0], size))
