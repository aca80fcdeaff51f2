"""What predictions are worth: targets and outputs as plain numbers, in dicts and lists that JSON takes.

n rows, which are samples or the real steps of all; k outputs. None stands where a number is not defined, such as the
recall of a class that is not there. What scikit-learn computes is scikit-learn's.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from cgru import losses
from cgru.core.bins import calibration, fifths

__all__ = ["of_classes", "of_labels", "of_numbers"]

SHARES = (0.5, 0.75, 0.9, 0.95, 1.0)  # of the rows, by the size of their errors
LEVELS = (0.5, 0.8, 0.9, 0.95)  # of a gaussian's intervals
AVERAGES = ("macro", "weighted")


def _metrics() -> Any:
    try:
        from sklearn import metrics
    except ImportError:
        raise ImportError("cgru.report: scikit-learn is missing: pip install scikit-learn") from None
    return metrics


def _plain(value: Any) -> Any:
    """A float, or None where it is none."""
    return float(value) if math.isfinite(value) else None


# --- classes ---


def of_classes(y: np.ndarray, A: np.ndarray, names: Sequence[str]) -> dict[str, Any]:
    """Scores of classes y (n,) and the probabilities A (n, k), or (n, 1) of the second of two.

    Averages are over the classes that `y` has, "macro" all alike and "weighted" by how many rows they have; there the
    precision of a class that is never predicted counts as 0.
    """
    predicted = losses.classes(A, "cross_entropy" if A.shape[1] > 1 else "binary_cross_entropy").reshape(len(y))
    counts = _metrics().confusion_matrix(y, predicted, labels=range(len(names)))
    rows = counts.sum(axis=1)
    return {
        "task": "classes",
        "accuracy": float(np.trace(counts) / len(y)),
        "most_frequent": {"name": names[rows.argmax()], "share": float(rows.max() / len(y))},
        **_by_class(y, predicted, names, np.flatnonzero(rows)),
        "confusion": counts.tolist(),
        "calibration": calibration(y, A),
    }


def of_labels(Y: np.ndarray, A: np.ndarray, names: Sequence[str]) -> dict[str, Any]:
    """Scores of k outputs that each say yes or no, Y (n, k) of 0 and 1 and the probabilities A (n, k)."""
    predicted = losses.classes(A, "binary_cross_entropy")
    return {
        "task": "labels",
        "accuracy": float((predicted == Y).mean()),
        **_by_class(Y, predicted, names, np.flatnonzero(Y.any(axis=0))),
        "calibration": calibration(Y, A),
    }


def _by_class(y: np.ndarray, predicted: np.ndarray, names: Sequence[str], present: np.ndarray) -> dict[str, Any]:
    """Precision, recall and F1 of each class, and their averages over those that are `present`."""
    scores = _metrics().precision_recall_fscore_support
    kinds = ("precision", "recall", "f1")
    places = range(len(names))
    *columns, support = scores(y, predicted, labels=places, zero_division=np.nan)
    totals = predicted.sum(axis=0) if predicted.ndim == 2 else np.bincount(predicted, minlength=len(names))
    classes = [
        {"name": str(names[i]), **{kind: _plain(column[i]) for kind, column in zip(kinds, columns, strict=True)}}
        | {"support": int(support[i]), "predicted": int(totals[i])}
        for i in places
    ]
    averages = {how: dict.fromkeys(kinds) for how in AVERAGES}
    if len(present):
        for how in AVERAGES:
            *values, _ = scores(y, predicted, labels=present, average=how, zero_division=0)
            averages[how] = dict(zip(kinds, map(_plain, values), strict=True))
    return {"classes": classes, "averages": averages}


# --- numbers ---


def of_numbers(Y: np.ndarray, A: np.ndarray, loss: str | losses.Loss, names: Sequence[str]) -> dict[str, Any]:
    """Errors of what outputs A (n, k) of a `loss` say of the targets Y (n, targets), and of how sure they are."""
    metrics = _metrics()
    points = losses.point(A.astype(np.float64), loss)
    each = A.astype(np.float64).reshape(*Y.shape, -1)
    outputs = [
        {"name": name, **_errors(Y[:, i], points[:, i], metrics), **_certainty(Y[:, i], each[:, i], loss, metrics)}
        for i, name in enumerate(names)
    ]
    return {
        "task": "regression",
        "rmse": float(metrics.root_mean_squared_error(Y.ravel(), points.ravel())),
        "mae": float(metrics.mean_absolute_error(Y, points)),
        "outputs": outputs,
    }


def _errors(y: np.ndarray, point: np.ndarray, metrics: Any) -> dict[str, Any]:
    """Of one target (n,): errors are what is predicted less y, so that a bias above 0 says too much."""
    sizes = np.quantile(np.abs(point - y), SHARES)
    return {
        **_means(y, point, metrics),
        "r2": _plain(metrics.r2_score(y, point, force_finite=False)) if np.ptp(y) > 0 else None,
        "errors": [{"share": share, "size": float(size)} for share, size in zip(SHARES, sizes, strict=True)],
        "by_target": [
            {"low": float(y[rows].min()), "high": float(y[rows].max()), "count": int(np.count_nonzero(rows))}
            | _means(y[rows], point[rows], metrics)
            for rows in fifths(y)
        ],
    }


def _means(y: np.ndarray, point: np.ndarray, metrics: Any) -> dict[str, float]:
    return {
        "rmse": float(metrics.root_mean_squared_error(y, point)),
        "mae": float(metrics.mean_absolute_error(y, point)),
        "bias": float((point - y).mean()),
    }


def _certainty(y: np.ndarray, A: np.ndarray, loss: str | losses.Loss, metrics: Any) -> dict[str, Any]:
    """What a loss that predicts more than one number promises of a target (n,), outputs A (n, k), and what comes true.

    Of quantiles: how many targets are at most so large, and lie between the outermost two. Of a gaussian: how many lie
    in its central intervals, and the deviation of the errors in units of the predicted one, which should be 1. Of
    rates: the mean deviance, and the dispersion, which should be 1: the squared errors over the rates, on average.
    """
    from statistics import NormalDist  # which takes a while to import

    name, numbers = ("", ()) if callable(loss) else losses.parts(loss)
    if name == "quantile":
        below = [{"promised": q, "found": float((y <= a).mean())} for q, a in zip(numbers, A.T, strict=True)]
        low, high = np.argmin(numbers), np.argmax(numbers)
        inside = (A[:, low] <= y) & (y <= A[:, high])
        between = {"promised": numbers[high] - numbers[low], "found": float(inside.mean())}
        return {"quantiles": below} | ({"between": between} if low != high else {})
    if name == "gaussian":
        z = (y - A[:, 0]) * np.exp(-A[:, 1] / 2)
        limits = [NormalDist().inv_cdf((1 + level) / 2) for level in LEVELS]
        found = [float((np.abs(z) <= limit).mean()) for limit in limits]
        return {
            "intervals": [{"promised": p, "found": f} for p, f in zip(LEVELS, found, strict=True)],
            "deviation": _plain(np.sqrt(np.square(z).mean())),
        }
    if name == "poisson":
        rate = np.maximum(np.exp(A[:, 0]), np.finfo(np.float64).tiny)
        return {
            "deviance": _plain(metrics.mean_poisson_deviance(y, rate)),
            "dispersion": _plain((np.square(y - rate) / rate).mean()),
        }
    return {}
