"""Ridge regression on windows: a baseline of the backtest, and the forecast that half of the networks correct."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

__all__ = ["ridge"]

PENALTIES = 10.0 ** np.arange(-4, 1)  # of the squared weights, for standardised inputs


def ridge(A: np.ndarray, B: np.ndarray, held_out: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Fit a ridge regression of B (m, k) on A (m, f), its penalty chosen on rows `held_out`; return (weights, bias).

    Of the `PENALTIES` it takes the one with the lowest mean absolute error on the rows that are `held_out` (m,) after a
    fit to the others. The returned model is fitted to all rows.
    """
    models = _ridge_path(A[~held_out], B[~held_out], PENALTIES)
    errors = [np.abs(A[held_out] @ W + b - B[held_out]).mean() for W, b in models]
    ((weights, bias),) = _ridge_path(A, B, PENALTIES[[int(np.argmin(errors))]])
    return weights, bias


def _ridge_path(A: np.ndarray, B: np.ndarray, penalties: np.ndarray) -> Iterable[tuple[np.ndarray, np.ndarray]]:
    """Yield for each penalty the W and b that minimise |A W + b - B|^2 + penalty m |W|^2, by one SVD of A."""
    a, b = A.mean(axis=0), B.mean(axis=0)
    U, d, V = np.linalg.svd(A - a, full_matrices=False)
    inner = U.T @ B  # the same as U.T @ (B - b), since the columns of U have a mean of 0
    for penalty in penalties:
        W = V.T @ ((d / (d * d + penalty * len(A)))[:, None] * inner)
        yield W, b - a @ W
