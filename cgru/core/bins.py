"""Group rows into bins: predicted probabilities by confidence, regression targets by quintile."""

from __future__ import annotations

from typing import Any

import numpy as np

__all__ = ["calibration", "quintiles"]

BINS = 10  # of predicted probabilities, all of the same width


def calibration(y: np.ndarray, A: np.ndarray) -> dict[str, Any]:
    """Return the calibration of predicted probabilities A: their expected calibration error and 10 bins by confidence.

    The confidence depends on the task. With several classes, y (n,) and A (n, k), it is the probability of the
    predicted class. With two classes, A (n, 2) or (n, 1), it is the probability of the second class. With several
    labels, y (n, k), it is the probability of each label. The expected calibration error is the mean of
    |confidence - accuracy| over the bins, weighted by their counts.
    """
    if y.ndim == 1 and A.shape[1] == 2:
        A = A[:, 1:]
    if y.ndim == 1 and A.shape[1] > 1:
        confidence, true = A.max(axis=1), A.argmax(axis=1) == y
    else:
        confidence, true = A.ravel(), y.ravel()
    confidence = confidence.astype(np.float64)
    bins = np.minimum((confidence * BINS).astype(np.intp), BINS - 1)
    counts = np.bincount(bins, minlength=BINS)
    found = []
    for i in np.flatnonzero(counts):
        there = bins == i
        found.append(
            {"low": float(i / BINS), "high": float((i + 1) / BINS), "confidence": float(confidence[there].mean())}
            | {"accuracy": float(true[there].mean()), "count": int(counts[i])}
        )
    error = sum(each["count"] * abs(each["confidence"] - each["accuracy"]) for each in found) / len(bins)
    return {"error": error, "bins": found}


def quintiles(y: np.ndarray) -> list[np.ndarray]:
    """Return a boolean mask (n,) for each fifth of the rows by y, the lowest first; fewer where many y are equal."""
    places = np.searchsorted(np.quantile(y, (0.2, 0.4, 0.6, 0.8)), y)
    return [places == i for i in np.unique(places)]
