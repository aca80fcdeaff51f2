"""Compute the scores of a report from targets and outputs by scikit-learn, as dicts and lists that JSON can take.

n rows, which are samples or the real steps of all; k outputs. None is an undefined number, such as the recall of a
class without rows.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from cgru import losses

__all__ = ["BINS", "classification", "confidences", "regression"]

BINS = 10  # of probabilities, all of the same width
KINDS = ("precision", "recall", "f1")
FIFTHS = (0.2, 0.4, 0.6, 0.8)


def _finite(value: Any) -> Any:
    """Return a float, or None for NaN and infinity."""
    return float(value) if math.isfinite(value) else None


def _metrics() -> Any:
    """Import `sklearn.metrics`; ImportError with the cure if it is missing."""
    try:
        from sklearn import metrics
    except ImportError:
        raise ImportError("cgru.report: scikit-learn is missing: pip install scikit-learn") from None
    return metrics


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
    metrics = _metrics()
    predicted, labels, places = loss.classes(A), y.ndim > 1, np.arange(len(names))
    found = {"task": "labels" if labels else "classes", "accuracy": float((predicted == y).mean())}
    truth, guessed = (y, predicted) if labels else (y[:, None] == places, predicted[:, None] == places)
    rows, scores = truth.sum(axis=0), metrics.precision_recall_fscore_support
    if not labels:
        from scipy.stats import binomtest

        right = binomtest(int((predicted == y).sum()), len(y)).proportion_ci(method="wilson")
        found["accuracy_interval"] = [float(right.low), float(right.high)]
        found["most_frequent"] = {"name": names[rows.argmax()], "share": float(rows.max() / len(y))}
        found["confusion"] = metrics.confusion_matrix(y, predicted, labels=places).tolist()
    *columns, _ = scores(y, predicted, labels=places, zero_division=np.nan)
    P = np.column_stack([1 - A, A]) if not labels and A.shape[1] == 1 else A
    found["classes"] = [
        {"name": str(names[i]), **{kind: _finite(column[i]) for kind, column in zip(KINDS, columns, strict=True)}}
        | {"roc_auc": float(metrics.roc_auc_score(truth[:, i], P[:, i])) if 0 < rows[i] < len(y) else None}
        | {"support": int(rows[i]), "predicted": int(guessed[:, i].sum())}
        for i in places
    ]
    averages = found["averages"] = {how: dict.fromkeys(KINDS) for how in ("macro", "weighted")}
    for how in averages if rows.any() else ():
        *values, _ = scores(y, predicted, labels=np.flatnonzero(rows), average=how, zero_division=0)
        averages[how] = dict(zip(KINDS, map(float, values), strict=True))
    return found | {"calibration": _calibration(y, A)}


def _calibration(y: np.ndarray, A: np.ndarray) -> dict[str, Any]:
    """Return the calibration curve of scikit-learn as bins, and the expected calibration error.

    The error is the mean of |confidence - accuracy| over the bins, weighted by their counts (Guo et al., 2017,
    arXiv:1706.04599).
    """
    from sklearn.calibration import calibration_curve

    right, confidence = confidences(y, A)
    ends = np.linspace(0, 1, BINS + 1)
    counts = np.bincount(np.searchsorted(ends[1:-1], confidence), minlength=BINS)
    places = np.flatnonzero(counts)
    accuracy, mean = calibration_curve(right, confidence, n_bins=BINS, pos_label=True)
    bins = [
        {"low": i / BINS, "high": (i + 1) / BINS, "confidence": float(c), "accuracy": float(a), "count": int(counts[i])}
        for i, c, a in zip(places.tolist(), mean, accuracy, strict=True)
    ]
    return {"error": float(np.average(np.abs(mean - accuracy), weights=counts[places])), "bins": bins}


def confidences(y: np.ndarray, A: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return whether each prediction came true (n,), and the confidence in it (n,).

    With several classes, y (n,) and A (n, k), the confidence is the probability of the predicted class. With two
    classes, A (n, 2) or (n, 1), it is the probability of the second class. With several labels, y (n, k), it is the
    probability of each label.
    """
    if y.ndim == 1 and A.shape[1] == 2:
        A = A[:, 1:]
    if y.ndim == 1 and A.shape[1] > 1:
        return A.argmax(axis=1) == y, np.minimum(A.max(axis=1).astype(np.float64), 1)
    return y.ravel() == 1, np.minimum(A.ravel().astype(np.float64), 1)  # rounding may have made it more than 1


# --- numbers ---


def regression(Y: np.ndarray, A: np.ndarray, loss: losses.Loss, names: Sequence[str]) -> dict[str, Any]:
    """Return the errors of outputs A (n, k) for targets Y (n, targets), and how well `loss` predicts uncertainty."""
    metrics = _metrics()
    points = loss.point(A.astype(np.float64))
    each = A.astype(np.float64).reshape(*Y.shape, -1)
    outputs = []
    for i, name in enumerate(names):
        y, point = Y[:, i], points[:, i]
        places = np.searchsorted(np.quantile(y, FIFTHS), y)
        found = {
            "name": name,
            **_errors(y, point, metrics),
            "median": float(metrics.median_absolute_error(y, point)),
            "max": float(metrics.max_error(y, point)),
            "r2": _finite(metrics.r2_score(y, point, force_finite=False)) if np.ptp(y) > 0 else None,
            "by_target": [
                {"low": float(y[rows].min()), "high": float(y[rows].max()), "count": int(rows.sum())}
                | _errors(y[rows], point[rows], metrics)
                for rows in (places == place for place in np.unique(places))
            ],
        }
        promised = loss.certainty(y, each[:, i], metrics).items()
        outputs.append(found | {key: _finite(value) if isinstance(value, float) else value for key, value in promised})
    whole = _errors(Y.ravel(), points.ravel(), metrics)
    return {"task": "regression", "rmse": whole["rmse"], "mae": whole["mae"], "outputs": outputs}


def _errors(y: np.ndarray, point: np.ndarray, metrics: Any) -> dict[str, float]:
    """Return RMSE, mean absolute error and bias (above 0: predicted too high) of point predictions."""
    return {
        "rmse": float(metrics.root_mean_squared_error(y, point)),
        "mae": float(metrics.mean_absolute_error(y, point)),
        "bias": float((point - y).mean()),
    }
