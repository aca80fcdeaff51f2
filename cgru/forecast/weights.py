"""Weights of models in the mean of their forecasts, from their errors at the origins of a backtest.

M models, k origins, h = horizon. Errors are in units of their series, so that all origins count alike.
"""

from __future__ import annotations

import numpy as np

__all__ = ["weigh", "weigh_apart"]

WITHIN = 1.1  # times the lowest error, up to which a model has a share


def weigh(errors: np.ndarray) -> np.ndarray:
    """Return weights (M,) with a sum of 1 for models with these errors (M, k, h), NaN where no value is known.

    The model with the lowest mean absolute error and those within a tenth of it have equal weights, all others 0.
    """
    sizes = np.nanmean(np.abs(errors), axis=(1, 2))
    chosen = sizes <= WITHIN * sizes.min()
    return chosen / chosen.sum()


def weigh_apart(errors: np.ndarray, apart: np.ndarray) -> np.ndarray:
    """Return weights (M, k) for each origin from the errors (M, k, h) at the others, where `apart` (k, k) is true.

    They are equal for an origin without others.
    """
    known = ~np.isnan(errors).all(axis=(0, 2))
    equal = np.full(len(errors), 1 / len(errors))
    used = apart & known
    return np.stack([weigh(errors[:, row]) if row.any() else equal for row in used], axis=1)
