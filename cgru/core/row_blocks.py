"""Read arrays that are too large to copy one block of rows at a time, lazily if they are memory-mapped."""

from __future__ import annotations

import math
import mmap
from collections.abc import Iterator
from typing import Any

import numpy as np

__all__ = ["BLOCK", "Rows", "default_batch_size", "is_mapped", "select_rows", "slices"]

BLOCK = 1 << 20  # numbers of a block
TOKEN = 16  # numbers that a token is assumed to become in an embedding
ROWS = 8, 1024  # the fewest and the most samples of a batch of predictions


class Rows:
    """Rows of a memory-mapped array, read only when they are indexed: `Rows(X, rows)[at]` reads X[rows[at]]."""

    def __init__(self, array: Any, rows: np.ndarray) -> None:
        """Select the rows with the indices `rows` of a memory-mapped array, without reading them."""
        self.array, self.rows = array, rows
        self.dtype, self.ndim, self.shape = array.dtype, array.ndim, (len(rows), *array.shape[1:])

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, at: Any) -> np.ndarray:
        return self.array[self.rows[at]]


def is_mapped(array: Any) -> bool:
    """Return whether an array is memory-mapped from a file."""
    while isinstance(array, np.ndarray | memoryview):
        array = array.base if isinstance(array, np.ndarray) else array.obj
    return isinstance(array, mmap.mmap | Rows)


def select_rows(array: Any, rows: np.ndarray) -> Any:
    """Return the rows with these indices: lazily if the array is memory-mapped, else as a copy; None for None."""
    if array is None:
        return None
    return Rows(array, rows) if is_mapped(array) else array[rows]


def default_batch_size(shape: tuple[int, ...]) -> int:
    """Return the default batch size of predictions for data (m, s, e) or tokens (m, s); smaller for long samples."""
    (least, most), vector = ROWS, 1 if len(shape) > 2 else TOKEN
    return max(least, min(most, 4 * BLOCK // max(1, vector * math.prod(shape[1:]))))


def slices(shape: tuple[int, ...]) -> Iterator[slice]:
    """Return an iterator of slices of an array's rows, each of at most `BLOCK` numbers or one row."""
    size = max(1, BLOCK // max(1, math.prod(shape[1:])))
    return map(slice, range(0, shape[0], size), range(size, shape[0] + size, size))
