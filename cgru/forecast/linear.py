"""The linear model that a forecast is measured against, and that half of its networks correct."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

__all__ = ["ridge"]

PENALTIES = 10.0 ** np.arange(-4, 1)  # of the squares of the weights, beside inputs whose mean square is 1


def ridge(A: np.ndarray, B: np.ndarray, late: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The weights (f, k) and the bias (k,) of a ridge regression of B (m, k) on A (m, f).

    Its penalty is that, of five, whose mean absolute error is the lowest on the rows that are `late` (m,) after a fit
    on the others.
    """
    errors = [np.abs(A[late] @ W + b - B[late]).mean() for W, b in _ridges(A[~late], B[~late], PENALTIES)]
    ((weights, bias),) = _ridges(A, B, PENALTIES[[int(np.argmin(errors))]])
    return weights, bias


def _ridges(A: np.ndarray, B: np.ndarray, penalties: np.ndarray) -> Iterable[tuple[np.ndarray, np.ndarray]]:
    """For each penalty the least |A W + b - B|^2 + penalty m |W|^2."""
    a, b = A.mean(axis=0), B.mean(axis=0)
    U, d, V = np.linalg.svd(A - a, full_matrices=False)
    inner = U.T @ B  # less b or not, since the columns of U have a mean of 0
    for penalty in penalties:
        W = V.T @ ((d / (d * d + penalty * len(A)))[:, None] * inner)
        yield W, b - a @ W
