"""Plots of a fit and of predictions: learning curve, confusion matrix, calibration, ROC, predicted against true.

scikit-learn counts and draws what it has a display for.

n rows, which are samples, k outputs. Of outputs at steps pass the steps that are no padding as rows: `y[real]` and
`A[real]` with `real = net.output_mask(X, lengths)`.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike

from cgru import losses
from cgru.core.checks import real
from cgru.network import Epoch, Network
from cgru.network.estimator_network import Estimator, network_of
from cgru.network.presentation import shorten
from cgru.plot.panels import DARK, LIGHT, panels_of

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["BINS", "calibration", "confidences", "confusion", "curve", "metrics_of", "predicted", "roc"]

MAX_LETTERS = 24  # of a class name in a plot
MAX_COUNTED = 20  # classes; a confusion matrix of more shows no counts
MAX_POINTS = 1000  # points in a plot of numbers, drawn from all
MAX_CURVES = 10  # classes in a plot of ROC curves
BINS = 10  # of probabilities, all of the same width
PANELS_PER_ROW = 3
ROWS = "a row for each sample, or of outputs at steps for each step that is no padding"


def metrics_of(caller: str) -> Any:
    """Import `sklearn.metrics`; ImportError with the cure, in the name of the caller, where it is missing."""
    try:
        from sklearn import metrics
    except ImportError:
        raise ImportError(f"{caller}: scikit-learn is missing: pip install scikit-learn") from None
    return metrics


def curve(history: Network | Sequence[Epoch] | Estimator, *, axes: Any = None) -> Figure:
    """Plot the learning curve of a fit: loss and accuracy over the epochs, dashed for validation.

    Args:
        history: the History that `fit` returned, or a network, for all of its fits, or a fitted estimator of
            `cgru.sklearn` that is no ensemble.
        axes: matplotlib's axes to draw into; the accuracy gets a twin of them. None: a new figure.

    Returns:
        The figure.

    Raises:
        TypeError, ValueError: there are no epochs; nothing is drawn.
        ImportError: matplotlib is not installed.

    Examples:
        >>> X, y = np.ones((8, 5, 2)), np.arange(8) % 2
        >>> net = cgru.Network([cgru.GRU(4), cgru.Dense(2, "softmax")], seed=0)
        >>> figure = cgru.plot.curve(net.fit(X, y, epochs=3))
        >>> [panel.get_ylabel() for panel in figure.axes]
        ['loss', 'accuracy']
        >>> figure.savefig("curve.svg")
    """
    history = network_of(history)
    epochs = list(history.history if isinstance(history, Network) else history)
    if not all(isinstance(epoch, Epoch) for epoch in epochs):
        raise TypeError(f"history: expected a network or the epochs of a fit, got {type(history).__name__}")
    if not epochs:
        raise ValueError("history: expected at least one epoch, got none: a model from a file has no history")
    (left,) = panels_of(axes, 1, 1, (7, 4.5))
    left.set(xlabel="epoch", ylabel="loss")
    left.xaxis.get_major_locator().set_params(integer=True, min_n_ticks=1)
    panels = {"loss": left}
    if epochs[0].accuracy is not None:
        panels["accuracy"] = left.twinx()
        panels["accuracy"].set(ylabel="accuracy", ylim=(0, 1.01))
        panels["accuracy"].yaxis.set_major_formatter("{x:.0%}")
    for what, panel in panels.items():
        loss = what == "loss"
        for prefix, style in (("", "-"), ("validation_", "--")):
            values = [getattr(epoch, prefix + what) for epoch in epochs]
            if values[0] is not None:
                look = {"color": DARK if loss else LIGHT, "label": f"{prefix[:-1] or 'training'} {what}"}
                marker = "o" if len(epochs) == 1 else "" if loss else "s"  # one point makes no line
                some = {"marker": marker, "markevery": max(1, len(epochs) // 10), "markersize": 4}
                panel.plot(range(1, len(epochs) + 1), values, style, **look, **some)
    if all(loss > 0 for line in left.lines for loss in line.get_ydata()):
        left.set_yscale("log")
    lines = [line for panel in panels.values() for line in panel.lines]
    below = {"loc": "outside lower center", "ncols": 4} if axes is None else {}
    (left.figure if below else left).legend(handles=lines, fontsize="small", handlelength=3, **below)
    return left.figure


def confusion(
    y: ArrayLike, predicted: ArrayLike, *, class_names: Sequence[str] | None = None, axes: Any = None
) -> Figure:
    """Plot the confusion matrix by scikit-learn: true classes by rows, predicted ones by columns.

    Args:
        y: the true classes (n,), integers or names.
        predicted: the predicted classes (n,), as `predict_classes` returns them.
        class_names: the names of classes 0, 1, ..., all of which are shown. None: show those in y and `predicted`.
        axes: matplotlib's axes to draw into; None: a new figure.

    Returns:
        The figure.

    Raises:
        TypeError, ValueError: an argument is invalid; nothing is drawn.
        ImportError: matplotlib or scikit-learn is not installed.

    Examples:
        >>> figure = cgru.plot.confusion(["a", "b", "b"], ["a", "b", "a"])
        >>> [label.get_text() for label in figure.axes[0].get_yticklabels()]
        ['a', 'b']
    """
    metrics = metrics_of("cgru.plot.confusion")
    y, predicted = (each.astype(str) if each.dtype.kind == "O" else each for each in map(np.asarray, (y, predicted)))
    if y.shape != predicted.shape or y.ndim != 1 or not y.size:
        raise ValueError(f"predicted: expected (n,), {ROWS}, got {predicted.shape} for y of shape {y.shape}")
    labels = names = np.union1d(y, predicted)
    if class_names is not None:
        names = class_names
        labels = np.asarray(names) if labels.dtype.kind == "U" else np.arange(len(names))
        for lost in np.setdiff1d(np.union1d(y, predicted), labels):
            raise ValueError(f"class_names: expected a name for class {lost} too, got {len(names)} names")
    k, short = len(labels), [shorten(str(name), MAX_LETTERS) for name in names]
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "A single label was found", UserWarning)
        counts = metrics.confusion_matrix(y, predicted, labels=labels)
    side = 2 + 0.22 * k + 0.06 * max(map(len, short))
    (panel,) = panels_of(axes, 1, 1, (side + 0.6, side))
    shown = {"include_values": k <= MAX_COUNTED, "cmap": "Blues", "xticks_rotation": "vertical"}
    metrics.ConfusionMatrixDisplay(counts, display_labels=short).plot(ax=panel, **shown)
    for label in (*panel.get_xticklabels(), *panel.get_yticklabels()):
        label.set(parse_math=False, fontsize="small" if k <= MAX_COUNTED else "x-small")
    return panel.figure


def calibration(y: ArrayLike, A: ArrayLike, *, axes: Any = None) -> Figure:
    """Plot a reliability diagram by scikit-learn: how often predictions are right, by bins of their confidence.

    Points on the dotted line are calibrated, points below it overconfident.

    Args:
        y: the true classes (n,) as integers; for k independent labels (n, k) of 0 and 1.
        A: the outputs (n, k) that `predict` returns. The confidence is the probability of the most probable class; for
            two classes, (n, 2) or (n, 1), that of the second.
        axes: matplotlib's axes to draw into; None: a new figure.

    Returns:
        The figure.

    Raises:
        TypeError, ValueError: an argument is invalid; nothing is drawn.
        ImportError: matplotlib or scikit-learn is not installed.

    Examples:
        >>> figure = cgru.plot.calibration([0, 0, 1, 1], [0.25, 0.25, 0.75, 0.75])
        >>> figure.axes[0].lines[1].get_ydata().tolist()
        [0.0, 1.0]
    """
    metrics_of("cgru.plot.calibration")
    from sklearn.calibration import CalibrationDisplay

    y, A = _classes_and_probabilities(y, A)
    right, confidence = confidences(y, A)
    (panel,) = panels_of(axes, 1, 1, (5.0, 4.4))
    CalibrationDisplay.from_predictions(right, confidence, n_bins=BINS, ax=panel, color=DARK, pos_label=True)
    if y.ndim == 1 and A.shape[1] > 2:
        panel.set(xlabel="mean confidence in the predicted class", ylabel="fraction of right predictions")
    return panel.figure


def roc(y: ArrayLike, A: ArrayLike, *, class_names: Sequence[str] | None = None, axes: Any = None) -> Figure:
    """Plot ROC curves by scikit-learn: of two classes that of the second, of more or of labels each against the rest.

    Args:
        y: as for `calibration`.
        A: as for `calibration`.
        class_names: the names of the classes; None: 0, 1, .... The first ten that occur are drawn.
        axes: matplotlib's axes to draw into; None: a new figure.

    Returns:
        The figure.

    Raises:
        TypeError, ValueError: an argument is invalid; nothing is drawn.
        ImportError: matplotlib or scikit-learn is not installed.

    Examples:
        >>> figure = cgru.plot.roc([0, 0, 1, 1], [0.1, 0.4, 0.35, 0.8])
        >>> figure.axes[0].lines[0].get_label()
        '1 (AUC = 0.75)'
    """
    display = metrics_of("cgru.plot.roc").RocCurveDisplay
    y, A = _classes_and_probabilities(y, A)
    classes = np.arange(A.shape[1])
    if y.ndim == 1:
        if len(classes) < 3:
            classes, A = np.array([1]), A[:, -1:]
        y = y[:, None] == classes
    drawn = [i for i in range(len(classes)) if 0 < y[:, i].mean() < 1][:MAX_CURVES]
    if not drawn:
        raise ValueError("y: expected at least two classes, got one")
    (panel,) = panels_of(axes, 1, 1, (5.0, 4.4))
    for i in drawn:
        name = str(classes[i]) if class_names is None else shorten(class_names[classes[i]], MAX_LETTERS)
        display.from_predictions(y[:, i], A[:, i], name=name, plot_chance_level=i == drawn[-1], ax=panel)
    return panel.figure


def predicted(
    y: ArrayLike,
    A: ArrayLike,
    *,
    loss: str | losses.Function = "mean_squared_error",
    kind: str = "actual_vs_predicted",
    axes: Any = None,
) -> Figure:
    """Plot true against predicted numbers by scikit-learn, a panel for each target.

    At most 1,000 rows are drawn, a random sample of all.

    Args:
        y: the targets, (n,) or (n, targets).
        A: the outputs (n, k) that `predict` returns.
        loss: the loss of the network, which defines what its outputs are. The plot shows the mean for "gaussian", the
            quantile nearest the median for quantiles, the rate for "poisson".
        kind: "actual_vs_predicted", or "residual_vs_predicted" for true less predicted numbers.
        axes: matplotlib's axes to draw into, one for each target; None: a new figure.

    Returns:
        The figure.

    Raises:
        TypeError, ValueError: an argument is invalid; nothing is drawn.
        ImportError: matplotlib or scikit-learn is not installed.

    Examples:
        >>> figure = cgru.plot.predicted(np.ones((8, 2)), np.zeros((8, 2)))
        >>> [panel.get_title() for panel in figure.axes]
        ['y[0]', 'y[1]']
    """
    display = metrics_of("cgru.plot.predicted").PredictionErrorDisplay
    y, A, judge = real(y, "y").astype(np.float64), real(A, "A").astype(np.float64), losses.named(loss)
    y, A = (each[:, None] if each.ndim == 1 else each for each in (y, A))
    if y.ndim != 2 or not y.size or A.shape != (len(y), y.shape[1] * judge.outputs):
        due = f"{ROWS}, and {judge.outputs} outputs of each target of {judge}"
        raise ValueError(f"A: expected (n, k), {due}, got {A.shape} for y of shape {y.shape}")
    if not (np.isfinite(y).all() and np.isfinite(A).all()):
        raise ValueError("y, A: expected finite numbers, got NaN or infinity")
    some = {"kind": kind, "subsample": min(MAX_POINTS, len(y)), "random_state": 0}
    panels = panels_of(axes, y.shape[1], PANELS_PER_ROW, (4.2, 4.0))
    for i, (panel, true, point) in enumerate(zip(panels, y.T, judge.point(A).T, strict=True)):
        display.from_predictions(true, point, ax=panel, scatter_kwargs={"color": DARK, "alpha": 0.5}, **some)
        panel.set_title(f"y[{i}]" if len(panels) > 1 else "")
    return panels[0].figure


def _classes_and_probabilities(y: Any, A: Any) -> tuple[np.ndarray, np.ndarray]:
    """Return checked classes (n,), or labels (n, k), and their probabilities (n, k)."""
    A, y = real(A, "A"), np.asarray(y)
    A = A[:, None] if A.ndim == 1 else A
    if A.ndim != 2 or not A.size or y.shape not in (A.shape, A.shape[:1]) or y.dtype.kind not in "iub":
        due = f"expected classes as integers, {ROWS}"
        raise ValueError(f"y: {due}, got {y.dtype} of shape {y.shape} for outputs {A.shape}")
    if not ((A >= 0) & (A <= 1)).all():
        raise ValueError("A: expected probabilities from 0 to 1, as of a softmax or sigmoid head, got others")
    top = A.shape[1] if y.ndim == 1 and A.shape[1] > 1 else 2
    if y.min() < 0 or y.max() >= top:
        raise ValueError(f"y: expected classes from 0 to {top - 1}, got {y.min()} to {y.max()}")
    return y, A


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
