"""Weighted mean and standard deviation of columns, computed block by block. n rows, c columns."""

from __future__ import annotations

import numpy as np

__all__ = ["RunningMeanVariance", "mean_and_deviation"]

ROUNDING = 4 * np.finfo(np.float64).eps  # numbers whose relative difference is no larger count as the same


def mean_and_deviation(rows: np.ndarray, weights: np.ndarray | None = None) -> tuple[np.ndarray, np.ndarray]:
    """Return the weighted mean and standard deviation of each column of rows (n, c); a deviation of 0 becomes 1."""
    found = RunningMeanVariance()
    found.add(rows, weights)
    return found.result()


class RunningMeanVariance:
    """A running weighted mean and standard deviation of each column, for rows that are added block by block.

    Blocks are joined as by Chan, Golub and LeVeque (1983, The American Statistician 37). Means and deviations are in
    units of the largest number of their column, so that no square overflows or underflows.
    A row with weight 2 counts as two rows, one with weight 0 is ignored.
    """

    def __init__(self) -> None:
        """Start without rows."""
        self.n: float = 0  # the number of rows, or the sum of their weights in units of 2 ** `exponent`
        self.exponent: int | None = None
        self.largest = self.low = self.high = self.mean = self.deviation = np.zeros(0)

    def add(self, rows: np.ndarray, weights: np.ndarray | None = None) -> None:
        """Add rows (n, c) with weights (n,); None means that all weights are 1."""
        if weights is not None:
            counted = (weights > 0) & (weights < np.inf)
            rows, weights = rows[counted], weights[counted]
        if not len(rows):
            return
        rows, count = rows.astype(np.float64), len(rows)
        if weights is not None:
            if self.exponent is None:
                self.exponent = int(np.frexp(weights.max())[1])  # so that no sum of weights overflows
            weights = np.ldexp(weights, -self.exponent)
            count = weights.sum()
        low, high = rows.min(axis=0), rows.max(axis=0)
        largest = np.maximum(np.abs(low), np.abs(high))
        rows /= _unit_of(largest)
        mean = np.average(rows, axis=0, weights=weights)
        deviation = np.sqrt(np.average(np.square(rows - mean), axis=0, weights=weights))
        if not self.n:
            self.n, self.largest, self.low, self.high = count, largest, low, high
            self.mean, self.deviation = mean, deviation
            return
        top, n = np.maximum(self.largest, largest), self.n + count
        ours, theirs = self.largest / _unit_of(top), largest / _unit_of(top)
        apart, share = mean * theirs - self.mean * ours, count / n
        squares = (1 - share) * np.square(self.deviation * ours) + share * np.square(deviation * theirs)
        self.deviation = np.sqrt(squares + share * (1 - share) * np.square(apart))
        self.mean = self.mean * ours + share * apart
        self.n, self.largest, self.low, self.high = n, top, np.minimum(self.low, low), np.maximum(self.high, high)

    def constant(self) -> np.ndarray:
        """Return for each column whether all of its numbers are equal up to rounding, as 0.3 and 0.1 + 0.2 are."""
        unit = _unit_of(self.largest)
        return self.high / unit - self.low / unit <= ROUNDING

    def result(self) -> tuple[np.ndarray, np.ndarray]:
        """Return the mean and standard deviation of each column, (c,) each; the deviation of a constant column is 1."""
        unit = _unit_of(self.largest)
        scale = np.where(self.constant(), 0.0, self.deviation) * unit
        return self.mean * unit, np.where(scale == 0, 1.0, scale)


def _unit_of(largest: np.ndarray) -> np.ndarray:
    """Return the largest magnitude in each column, or 1 if that is 0."""
    return np.where(largest == 0, 1.0, largest)
