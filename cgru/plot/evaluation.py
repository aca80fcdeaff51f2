"""Plots of a fit and of predictions: learning curve, confusion matrix, calibration, ROC, predicted against true.

scikit-learn counts and draws what it has a display for.

m samples, s steps, k outputs. For outputs at steps `lengths` (m,) has the number of real steps of each sample; padded
steps are ignored.
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike

from cgru import losses
from cgru.core.checks import lengths_of, real
from cgru.core.lengths import mask
from cgru.network import Epoch, Network
from cgru.network.estimator_network import Estimator, network_of
from cgru.network.presentation import shorten
from cgru.plot.panels import check_matplotlib, checked, new_axes

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["BINS", "calibration", "confidences", "confusion", "curve", "importance", "metrics_of", "predicted", "roc"]

DARK, LIGHT = "#1f4e79", "#d9822b"  # distinct in grey and for the colour-blind
MAX_LETTERS = 24  # of a class name in a plot
MAX_COUNTED = 20  # classes; a confusion matrix of more shows no counts
MAX_BARS = 20  # features in a plot of their importance
MAX_POINTS = 1000  # points in a plot of numbers, drawn from all
MAX_CURVES = 10  # classes in a plot of ROC curves
BINS = 10  # of probabilities, all of the same width
PANELS_PER_ROW = 3


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
    check_matplotlib()
    history = network_of(history)
    epochs = list(history.history if isinstance(history, Network) else history)
    if not all(isinstance(epoch, Epoch) for epoch in epochs):
        raise TypeError(f"history: expected a network or the epochs of a fit, got {type(history).__name__}")
    if not epochs:
        raise ValueError("history: expected one epoch at least, got none: a model from a file has no history")
    left = _panels(1, axes, (7, 4.5))[0]
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
    y: ArrayLike,
    predicted: ArrayLike,
    lengths: ArrayLike | None = None,
    *,
    class_names: Sequence[str] | None = None,
    axes: Any = None,
) -> Figure:
    """Plot the confusion matrix by scikit-learn: true classes by rows, predicted ones by columns.

    Args:
        y: the true classes, (m,) or at steps (m, s), integers or names.
        predicted: the predicted classes, of the same shape, as `predict_classes` returns them.
        lengths: (m,) the real steps of each sample, of classes at steps; None: all.
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
    check_matplotlib()
    display = metrics_of("cgru.plot.confusion").ConfusionMatrixDisplay
    true, guessed = np.asarray(y), np.asarray(predicted)
    if true.shape != guessed.shape or true.ndim not in (1, 2) or not true.size:
        raise ValueError(f"predicted: expected the shape of y, (m,) or (m, s), got {guessed.shape} for {true.shape}")
    steps = _real_steps(true.shape, lengths)
    true, guessed = true[steps], guessed[steps]
    both = np.concatenate([true, guessed])
    if both.dtype.kind not in "iubUO" or (both.dtype.kind in "iu" and both.min() < 0):
        got = f"{both.dtype} such as {both.min()}; predictions are -1 at padded steps, which lengths says"
        raise ValueError(f"y, predicted: expected classes, integers of at least 0 or names, got {got}")
    if both.dtype.kind == "O":
        true, guessed, both = (each.astype(str) for each in (true, guessed, both))
    labels = np.unique(both)
    if class_names is not None:
        known = np.asarray(class_names) if both.dtype.kind == "U" else np.arange(len(class_names))
        for lost in np.setdiff1d(labels, known):
            raise ValueError(f"class_names: expected a name for class {lost} too, got {len(class_names)} names")
        labels = known
    k, names = len(labels), labels if class_names is None else class_names
    short = [shorten(str(name), MAX_LETTERS) for name in names]
    side, letters = min(max(0.5 * k, 2.4), max(0.22 * k, 6.0)), max(map(len, short))
    margin = 0.5 + (0.075 if k <= MAX_COUNTED else 0.06) * letters
    panel = _panels(1, axes, (side + margin + 1.1, side + margin))[0]
    shown = {"include_values": k <= MAX_COUNTED, "cmap": "Blues", "xticks_rotation": "vertical"}
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "A single label was found", UserWarning)
        display.from_predictions(true, guessed, labels=labels, display_labels=short, ax=panel, **shown)
    for label in (*panel.get_xticklabels(), *panel.get_yticklabels()):
        label.set(parse_math=False, fontsize="small" if k <= MAX_COUNTED else "x-small")
    return panel.figure


def calibration(y: ArrayLike, A: ArrayLike, lengths: ArrayLike | None = None, *, axes: Any = None) -> Figure:
    """Plot a reliability diagram by scikit-learn: how often predictions are right, by bins of their confidence.

    Points on the dotted line are calibrated, points below it overconfident.

    Args:
        y: the true classes as integers, (m,) or at steps (m, s); for k independent labels (m, k) of 0 and 1.
        A: the outputs that `predict` returns, (m, k), at steps (m, s, k). The confidence is the probability of the most
            probable class; for two classes, (m, 2) or (m, 1), that of the second.
        lengths: (m,) the real steps of each sample, of outputs at steps; None: all.
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
    check_matplotlib()
    metrics_of("cgru.plot.calibration")
    from sklearn.calibration import CalibrationDisplay

    y, A = _classes_and_probabilities(y, A, lengths)
    right, confidence = confidences(y, A)
    panel = _panels(1, axes, (5.0, 4.4))[0]
    CalibrationDisplay.from_predictions(right, confidence, n_bins=BINS, ax=panel, color=DARK, pos_label=True)
    if y.ndim == 1 and A.shape[1] > 2:
        panel.set(xlabel="mean confidence in the predicted class", ylabel="fraction of right predictions")
    return panel.figure


def roc(
    y: ArrayLike,
    A: ArrayLike,
    lengths: ArrayLike | None = None,
    *,
    class_names: Sequence[str] | None = None,
    axes: Any = None,
) -> Figure:
    """Plot ROC curves by scikit-learn: of two classes that of the second, of more or of labels each against the rest.

    Args:
        y: as for `calibration`.
        A: as for `calibration`.
        lengths: as for `calibration`.
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
    check_matplotlib()
    display = metrics_of("cgru.plot.roc").RocCurveDisplay
    y, A = _classes_and_probabilities(y, A, lengths)
    classes = np.arange(A.shape[1])
    if y.ndim == 1:
        if len(classes) < 3:
            classes, A = np.array([1]), A[:, -1:]
        y = y[:, None] == classes
    drawn = [i for i in range(len(classes)) if 0 < y[:, i].mean() < 1][:MAX_CURVES]
    if not drawn:
        raise ValueError("y: expected two classes at least, got one")
    panel = _panels(1, axes, (5.0, 4.4))[0]
    for i in drawn:
        name = str(classes[i]) if class_names is None else shorten(class_names[classes[i]], MAX_LETTERS)
        display.from_predictions(y[:, i], A[:, i], name=name, plot_chance_level=i == drawn[-1], ax=panel)
    return panel.figure


def predicted(
    y: ArrayLike,
    A: ArrayLike,
    lengths: ArrayLike | None = None,
    *,
    loss: str | losses.Function = "mean_squared_error",
    kind: str = "actual_vs_predicted",
    axes: Any = None,
) -> Figure:
    """Plot true against predicted numbers by scikit-learn, a panel for each target.

    At most 1,000 rows are drawn, a random sample of all.

    Args:
        y: the targets, (m,) or (m, targets), at steps (m, s) or (m, s, targets).
        A: the outputs that `predict` returns, (m, k) or (m, s, k).
        lengths: (m,) the real steps of each sample, of outputs at steps; None: all.
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
    check_matplotlib()
    display = metrics_of("cgru.plot.predicted").PredictionErrorDisplay
    y, A = real(y, "y").astype(np.float64), real(A, "A").astype(np.float64)
    A = A[:, None] if A.ndim == 1 else A
    judge = losses.named(loss)
    if A.ndim not in (2, 3) or not A.size or A.shape[-1] % judge.outputs:
        due = f"{judge.outputs} outputs of each target of {judge}"
        raise ValueError(f"A: expected (m, k) or (m, s, k), {due}, got {A.shape}")
    points = judge.point(A)
    if y.size != points.size or y.shape not in (points.shape, points.shape[:-1]):
        raise ValueError(f"y: expected {points.shape}, a target for each of the outputs, got {y.shape}")
    steps = _real_steps(A.shape[:-1], lengths)
    Y, points = y.reshape(points.shape)[steps], points[steps]
    if not (np.isfinite(Y).all() and np.isfinite(points).all()):
        raise ValueError("y, A: expected finite numbers, got NaN or infinity")
    some = {"kind": kind, "subsample": min(MAX_POINTS, len(Y)), "random_state": 0}
    panels = _panels(Y.shape[1], axes, (4.2, 4.0))
    for i, (panel, true, point) in enumerate(zip(panels, Y.T, points.T, strict=True)):
        display.from_predictions(true, point, ax=panel, scatter_kwargs={"color": DARK, "alpha": 0.5}, **some)
        panel.set_title(f"y[{i}]" if len(panels) > 1 else "")
    return panels[0].figure


def importance(report: Mapping[str, Any], *, axes: Any = None) -> Figure:
    """Plot the permutation importance of features and of steps, with the deviation over the shuffles.

    Args:
        report: a result of `cgru.report` with `importance=True`. Of many features the 20 most important are shown.
        axes: two of matplotlib's axes to draw into, or one where there are no features; None: a new figure.

    Returns:
        The figure.

    Raises:
        ValueError: the report has no importance; nothing is drawn.
        ImportError: matplotlib is not installed.

    Examples:
        >>> X, y = np.ones((8, 5, 2)), np.arange(8) % 2
        >>> net = cgru.Network([cgru.GRU(4), cgru.Dense(2, "softmax")], seed=0)
        >>> report = cgru.report(net, X, y, importance=True, repeats=2)
        >>> len(cgru.plot.importance(report).axes)
        2
    """
    check_matplotlib()
    found = report.get("importance")
    if found is None:
        raise ValueError("report: expected one with importance, as cgru.report(..., importance=True) makes it")
    ranked = sorted(found["features"], key=lambda each: -each["importances_mean"])[:MAX_BARS]
    parts = [(what, bars) for what, bars in (("features", ranked), ("steps", found["steps"])) if bars]
    height = 1.2 + 0.24 * max(len(bars) for _, bars in parts)
    for panel, (what, bars) in zip(_panels(len(parts), axes, (4.4, height)), parts, strict=True):
        mean, deviation = ([each[f"importances_{of}"] for each in bars] for of in ("mean", "std"))
        panel.barh(range(len(bars)), mean, xerr=deviation, color="#bcd2e8", edgecolor=DARK, ecolor="black")
        names = [shorten(each["name"], MAX_LETTERS) for each in bars]
        panel.set_yticks(range(len(bars)), names, parse_math=False, fontsize="small")
        panel.invert_yaxis()
        panel.axvline(0, color="black", linewidth=1)
        panel.set(title=what, xlabel=f"{found['score']} lost")
    return panel.figure


# --- arguments ---


def _real_steps(shape: tuple[int, ...], lengths: Any) -> np.ndarray:
    """Return a mask of the samples (m,), or of their steps (m, s), that are not padding."""
    if lengths is None:
        return np.ones(shape, bool)
    if len(shape) == 1:
        raise ValueError(f"lengths: expected None where there are no outputs at steps, got some beside {shape}")
    return mask(lengths_of(lengths, *shape, "lengths"), shape[1])[:, :, 0]


def _classes_and_probabilities(y: Any, A: Any, lengths: Any) -> tuple[np.ndarray, np.ndarray]:
    """Return checked classes (n,), or labels (n, k), and their probabilities (n, k), of samples or real steps."""
    A, y = real(A, "A"), np.asarray(y)
    A = A[:, None] if A.ndim == 1 else A
    if y.dtype.kind not in "iub":
        raise TypeError(f"y: expected classes as integers, got dtype {y.dtype}")
    if A.ndim not in (2, 3) or not A.size or y.shape not in (A.shape, A.shape[:-1]):
        raise ValueError(f"y: expected a class for each of the outputs, got {y.shape} for {A.shape}")
    if not (A >= 0).all() or not (A <= 1).all():
        raise ValueError("A: expected probabilities from 0 to 1, as of a softmax or sigmoid head, got others")
    steps = _real_steps(A.shape[:-1], lengths)
    y, A = y[steps], A[steps]
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


# --- drawing ---


def _panels(n: int, axes: Any, size: tuple[float, float]) -> np.ndarray:
    """Return n axes (n,): the caller's, or those of a new figure, each of that size in inches."""
    if axes is not None:
        return checked(axes, 1, n)[0]
    columns = min(n, PANELS_PER_ROW)
    rows = -(-n // columns)
    panels = new_axes(rows, columns, (size[0] * columns, size[1] * rows)).ravel()
    for panel in panels[n:]:
        panel.remove()
    return panels[:n]
