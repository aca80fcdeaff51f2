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
from cgru.core.bins import calibration, quintiles

__all__ = ["of_classes", "of_numbers"]

SHARES = (0.5, 0.75, 0.9, 0.95, 1.0)  # of the rows, by the size of their errors
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


def of_classes(y: np.ndarray, A: np.ndarray, loss: losses.Loss, names: Sequence[str]) -> dict[str, Any]:
    """Return scores of classes y (n,) and probabilities A (n, k), or (n, 1) of the second of two, of a `loss`.

    Or of k outputs that each say yes or no: y (n, k) of 0 and 1, A (n, k). Averages are over the classes that `y` has,
    "macro" all alike and "weighted" by how many rows they have; there the precision of a class that is never predicted
    counts as 0.
    """
    predicted, labels = loss.classes(A), y.ndim > 1
    rows = y.sum(axis=0) if labels else np.bincount(y, minlength=len(names))
    found = {"task": "labels" if labels else "classes", "accuracy": float((predicted == y).mean())}
    if not labels:
        found["most_frequent"] = {"name": names[rows.argmax()], "share": float(rows.max() / len(y))}
    found |= _by_class(y, predicted, names, np.flatnonzero(rows))
    if not labels:
        found["confusion"] = _metrics().confusion_matrix(y, predicted, labels=range(len(names))).tolist()
    return found | {"calibration": calibration(y, A)}


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


def of_numbers(Y: np.ndarray, A: np.ndarray, loss: losses.Loss, names: Sequence[str]) -> dict[str, Any]:
    """Errors of what outputs A (n, k) of a `loss` say of the targets Y (n, targets), and of how sure they are."""
    metrics = _metrics()
    points = loss.point(A.astype(np.float64))
    each = A.astype(np.float64).reshape(*Y.shape, -1)
    outputs = []
    for i, name in enumerate(names):
        promised = loss.certainty(Y[:, i], each[:, i], metrics).items()
        kept = {key: _plain(value) if isinstance(value, float) else value for key, value in promised}
        outputs.append({"name": name, **_errors(Y[:, i], points[:, i], metrics), **kept})
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
            for rows in quintiles(y)
        ],
    }


def _means(y: np.ndarray, point: np.ndarray, metrics: Any) -> dict[str, float]:
    return {
        "rmse": float(metrics.root_mean_squared_error(y, point)),
        "mae": float(metrics.mean_absolute_error(y, point)),
        "bias": float((point - y).mean()),
    }
