"""Compute the numbers of a report from targets and outputs, as dicts and lists that JSON can take.

n rows, which are samples or the real steps of all; k outputs. None stands for an undefined number, such as
the recall of a class without rows. Metrics are computed by scikit-learn where it has them.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from cgru import losses
from cgru.core.bins import calibration, quintiles

__all__ = ["classification", "regression", "score"]

SHARES = (0.5, 0.75, 0.9, 0.95, 1.0)  # levels of the quantiles of absolute errors
AVERAGES = ("macro", "weighted")


def _metrics() -> Any:
    """Import `sklearn.metrics`; ImportError with the cure where it is missing."""
    try:
        from sklearn import metrics
    except ImportError:
        raise ImportError("cgru.report: scikit-learn is missing: pip install scikit-learn") from None
    return metrics


def _finite(value: Any) -> Any:
    """Return a float, or None for NaN and infinity."""
    return float(value) if math.isfinite(value) else None


def score(y: np.ndarray, A: np.ndarray, loss: losses.Loss) -> float:
    """Return what scikit-learn calls the score of outputs A (n, k): the accuracy, or of a regression the mean R2."""
    if loss.classifies:
        return float((loss.classes(A) == y).mean())
    return float(_metrics().r2_score(y, loss.point(A.astype(np.float64))))


# --- classes ---


def classification(y: np.ndarray, A: np.ndarray, loss: losses.Loss, names: Sequence[str]) -> dict[str, Any]:
    """Return the scores of a classification: accuracy, those of each class, confusion matrix, calibration.

    y: (n,) the true classes, or (n, k) of 0 and 1 for k independent labels.
    A: (n, k) probabilities, or (n, 1) those of the second of two classes.
    loss: that of the network.
    names: those of the classes.

    Averages are over the classes that y has: "macro" with equal weights, "weighted" by their numbers of rows. In these
    the precision of a class that is never predicted counts as 0.
    """
    predicted, labels = loss.classes(A), y.ndim > 1
    rows = y.sum(axis=0) if labels else np.bincount(y, minlength=len(names))
    found = {"task": "labels" if labels else "classes", "accuracy": float((predicted == y).mean())}
    if not labels:
        found["accuracy_interval"] = confidence_interval(found["accuracy"], len(y))
        found["most_frequent"] = {"name": names[rows.argmax()], "share": float(rows.max() / len(y))}
    found |= _class_scores(y, predicted, names, np.flatnonzero(rows))
    if not labels:
        found["confusion"] = _metrics().confusion_matrix(y, predicted, labels=range(len(names))).tolist()
    return found | {"calibration": calibration(y, A)}


def confidence_interval(share: float, n: int) -> list[float]:
    """Return the 95 % confidence interval of a share of n independent rows (Wilson, 1927, doi 10.2307/2276774)."""
    z = 1.96
    middle, half = share + z**2 / (2 * n), z * math.sqrt(share * (1 - share) / n + z**2 / (4 * n**2))
    return [max(0.0, (middle - half) / (1 + z**2 / n)), min(1.0, (middle + half) / (1 + z**2 / n))]


def _class_scores(y: np.ndarray, predicted: np.ndarray, names: Sequence[str], present: np.ndarray) -> dict[str, Any]:
    """Return precision, recall and F1 of each class, and their averages over the classes that are `present`."""
    scores = _metrics().precision_recall_fscore_support
    kinds = ("precision", "recall", "f1")
    places = range(len(names))
    *columns, support = scores(y, predicted, labels=places, zero_division=np.nan)
    totals = predicted.sum(axis=0) if predicted.ndim == 2 else np.bincount(predicted, minlength=len(names))
    classes = [
        {"name": str(names[i]), **{kind: _finite(column[i]) for kind, column in zip(kinds, columns, strict=True)}}
        | {"support": int(support[i]), "predicted": int(totals[i])}
        for i in places
    ]
    averages = {how: dict.fromkeys(kinds) for how in AVERAGES}
    if len(present):
        for how in AVERAGES:
            *values, _ = scores(y, predicted, labels=present, average=how, zero_division=0)
            averages[how] = dict(zip(kinds, map(_finite, values), strict=True))
    return {"classes": classes, "averages": averages}


# --- numbers ---


def regression(Y: np.ndarray, A: np.ndarray, loss: losses.Loss, names: Sequence[str]) -> dict[str, Any]:
    """Return the errors of outputs A (n, k) for targets Y (n, targets), and how well `loss` predicts uncertainty."""
    metrics = _metrics()
    points = loss.point(A.astype(np.float64))
    each = A.astype(np.float64).reshape(*Y.shape, -1)
    outputs = []
    for i, name in enumerate(names):
        promised = loss.certainty(Y[:, i], each[:, i], metrics).items()
        kept = {key: _finite(value) if isinstance(value, float) else value for key, value in promised}
        outputs.append({"name": name, **_target_errors(Y[:, i], points[:, i], metrics), **kept})
    return {
        "task": "regression",
        "rmse": float(metrics.root_mean_squared_error(Y.ravel(), points.ravel())),
        "mae": float(metrics.mean_absolute_error(Y, points)),
        "outputs": outputs,
    }


def _target_errors(y: np.ndarray, point: np.ndarray, metrics: Any) -> dict[str, Any]:
    """Return the errors of one target y (n,) by name: RMSE, bias (above 0: predicted too high), r2, by fifths of y."""
    sizes = np.quantile(np.abs(point - y), SHARES)
    return {
        **_error_means(y, point, metrics),
        "r2": _finite(metrics.r2_score(y, point, force_finite=False)) if np.ptp(y) > 0 else None,
        "errors": [{"share": share, "size": float(size)} for share, size in zip(SHARES, sizes, strict=True)],
        "by_target": [
            {"low": float(y[rows].min()), "high": float(y[rows].max()), "count": int(np.count_nonzero(rows))}
            | _error_means(y[rows], point[rows], metrics)
            for rows in quintiles(y)
        ],
    }


def _error_means(y: np.ndarray, point: np.ndarray, metrics: Any) -> dict[str, float]:
    """Return RMSE, mean absolute error and bias of point predictions, by `sklearn.metrics`."""
    return {
        "rmse": float(metrics.root_mean_squared_error(y, point)),
        "mae": float(metrics.mean_absolute_error(y, point)),
        "bias": float((point - y).mean()),
    }
