"""Means and deviations of what comes block by block. n rows of c columns."""

from __future__ import annotations

import numpy as np

__all__ = ["Moments", "moments"]

ROUNDING = 4 * np.finfo(np.float64).eps  # of a number; others that are no further from it should be the same


def moments(rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The mean and deviation of each column of rows (n, c), as `Moments.result`."""
    found = Moments()
    found.add(rows)
    return found.result()


class Moments:
    """Those of all rows so far, joined as Chan, Golub and LeVeque do (1983, The American Statistician 37).

    Means and deviations are in units of the largest number of their column, so that no square overflows or vanishes.
    """

    def __init__(self) -> None:
        self.n = 0
        self.largest = self.low = self.high = self.mean = self.deviation = np.zeros(0)

    def add(self, rows: np.ndarray) -> None:
        """Take rows (n, c) in."""
        if not len(rows):
            return
        rows = rows.astype(np.float64)
        low, high = rows.min(axis=0), rows.max(axis=0)
        largest = np.maximum(np.abs(low), np.abs(high))
        rows /= _unit(largest)
        mean, deviation = rows.mean(axis=0), rows.std(axis=0)
        if not self.n:
            self.n, self.largest, self.low, self.high = len(rows), largest, low, high
            self.mean, self.deviation = mean, deviation
            return
        top, n = np.maximum(self.largest, largest), self.n + len(rows)
        ours, theirs = self.largest / _unit(top), largest / _unit(top)
        apart, share = mean * theirs - self.mean * ours, len(rows) / n
        squares = (1 - share) * np.square(self.deviation * ours) + share * np.square(deviation * theirs)
        self.deviation = np.sqrt(squares + share * (1 - share) * np.square(apart))
        self.mean = self.mean * ours + share * apart
        self.n, self.largest, self.low, self.high = n, top, np.minimum(self.low, low), np.maximum(self.high, high)

    def result(self) -> tuple[np.ndarray, np.ndarray]:
        """The mean and deviation of each column, (c,); 1 for that of one that never changes but for rounding."""
        unit = _unit(self.largest)
        same = self.high / unit - self.low / unit <= ROUNDING  # as 0.3 and 0.1 + 0.2 are
        scale = np.where(same, 0.0, self.deviation) * unit
        return self.mean * unit, np.where(scale == 0, 1.0, scale)


def _unit(largest: np.ndarray) -> np.ndarray:
    return np.where(largest == 0, 1.0, largest)
