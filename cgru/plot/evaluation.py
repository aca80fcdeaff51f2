"""Plots of a fit and of predictions: learning curve, confusion matrix, calibration, predicted against true, errors.

m samples, s steps, k outputs. For outputs at steps `lengths` (m,) has the number of real steps of each sample; padded
steps are ignored.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike

from cgru import losses
from cgru.core import bins
from cgru.core.checks import lengths_of, real
from cgru.core.formatting import shorten
from cgru.core.lengths import mask
from cgru.network import Epoch, Network
from cgru.network.estimators import Estimator, network_of
from cgru.plot.panels import check_matplotlib, checked, new_axes

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["calibration", "confusion", "curve", "importance", "predicted", "residuals"]

DARK, LIGHT = "#1f4e79", "#d9822b"  # distinct in grey and for the colour-blind
MAX_LETTERS = 24  # of a class name in a plot
MAX_COUNTED = 20  # classes; a confusion matrix of more shows no counts
MAX_BARS = 20  # features in a plot of their importance
MAX_POINTS = 2000  # for more rows `predicted` shows their density
PANELS_PER_ROW = 3


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
                panel.plot(
                    range(1, len(epochs) + 1),
                    values,
                    style,
                    marker="o" if len(epochs) == 1 else "" if loss else "s",  # one point makes no line
                    markevery=max(1, len(epochs) // 10),
                    markersize=4,
                    color=DARK if loss else LIGHT,
                    label=f"{prefix[:-1] or 'training'} {what}",
                )
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
    """Plot the confusion matrix: true classes by rows, predicted ones by columns, shaded by the share of the row.

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
        ImportError: matplotlib is not installed.

    Examples:
        >>> figure = cgru.plot.confusion(["a", "b", "b"], ["a", "b", "a"])
        >>> [label.get_text() for label in figure.axes[0].get_yticklabels()]
        ['a', 'b']
    """
    check_matplotlib()
    true, guessed = np.asarray(y), np.asarray(predicted)
    if true.shape != guessed.shape or true.ndim not in (1, 2) or not true.size:
        raise ValueError(f"predicted: expected the shape of y, (m,) or (m, s), got {guessed.shape} beside {true.shape}")
    steps = _real_steps(true.shape, lengths)
    names, true, guessed = _class_indices(true[steps], guessed[steps], class_names)
    k = len(names)
    counts = np.bincount(true * k + guessed, minlength=k * k).reshape(k, k)
    short = [shorten(name, MAX_LETTERS) for name in names]
    side, letters = min(max(0.5 * k, 2.4), max(0.22 * k, 6.0)), max(map(len, short))
    margin = 0.5 + (0.075 if k <= MAX_COUNTED else 0.06) * letters
    panel = _panels(1, axes, (side + margin + 1.1, side + margin))[0]
    shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    image = panel.imshow(shares, cmap="Blues", vmin=0, vmax=1, interpolation="none")
    if k <= MAX_COUNTED:
        for i, j in zip(*np.nonzero(counts), strict=True):
            color = "white" if shares[i, j] > 0.5 else "black"
            size = "small" if k <= 10 else "x-small"
            panel.text(j, i, f"{counts[i, j]}", ha="center", va="center", color=color, fontsize=size)
    size = "small" if k <= MAX_COUNTED else "x-small"
    panel.set_xticks(range(k), short, rotation=90, parse_math=False, fontsize=size)
    panel.set_yticks(range(k), short, parse_math=False, fontsize=size)
    panel.set(xlabel="predicted", ylabel="true")
    edges = np.arange(1, k) - 0.5
    panel.set_xticks(edges, minor=True)
    panel.set_yticks(edges, minor=True)
    panel.tick_params(which="minor", length=0)
    panel.grid(which="minor", color="#dddddd", linewidth=0.5)
    panel.figure.colorbar(image, ax=panel, label="share of the true class", shrink=0.8, format="{x:.0%}")
    return panel.figure


def calibration(y: ArrayLike, A: ArrayLike, lengths: ArrayLike | None = None, *, axes: Any = None) -> Figure:
    """Plot a reliability diagram: the accuracy of predictions by bins of their confidence.

    Bars on the dashed line are calibrated, bars below it overconfident. Above each bar is the number of its rows. The
    title has the expected calibration error, the mean of |accuracy - confidence| over the ten bins, weighted by their
    numbers of rows (Guo et al., 2017, arXiv:1706.04599).

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
        ImportError: matplotlib is not installed.

    Examples:
        >>> figure = cgru.plot.calibration([0, 0, 1, 1], [0.25, 0.25, 0.75, 0.75])
        >>> figure.axes[0].get_title()
        'expected calibration error 0.250'
    """
    check_matplotlib()
    A, y = real(A, "A"), np.asarray(y)
    A = A[:, None] if A.ndim == 1 else A
    if y.dtype.kind not in "iub":
        raise TypeError(f"y: expected classes as integers, got dtype {y.dtype}")
    if A.ndim not in (2, 3) or not A.size or y.shape not in (A.shape, A.shape[:-1]):
        raise ValueError(f"y: expected a class for each of the outputs, got {y.shape} beside {A.shape}")
    if not (A >= 0).all() or not (A <= 1).all():
        raise ValueError("A: expected probabilities from 0 to 1, as of a softmax or sigmoid head, got others")
    steps = _real_steps(A.shape[:-1], lengths)
    y, A = y[steps], A[steps]
    top = A.shape[1] if y.ndim == 1 and A.shape[1] > 1 else 2
    if y.min() < 0 or y.max() >= top:
        raise ValueError(f"y: expected classes from 0 to {top - 1}, got {y.min()} to {y.max()}")
    labels = ("predicted probability", "how often it came true")
    if y.ndim == 1 and A.shape[1] > 2:
        labels = ("confidence in the predicted class", "how often it was right")
    found = bins.calibration(y, A)
    panel = _panels(1, axes, (5.0, 4.4))[0]
    for each in found["bins"]:
        width = each["high"] - each["low"]
        middle = each["low"] + width / 2
        panel.bar(middle, each["accuracy"], 0.92 * width, color="#bcd2e8", edgecolor=DARK)
        panel.text(middle, 1.03, f"{each['count']}", ha="center", va="bottom", fontsize="small", rotation=90)
    panel.plot([0, 1], [0, 1], "--", color="black", linewidth=1)
    panel.plot(*([each[what] for each in found["bins"]] for what in ("confidence", "accuracy")), "o-", color=DARK)
    panel.set(xlim=(0, 1), ylim=(0, 1), xlabel=labels[0], ylabel=labels[1])
    panel.set_title(f"expected calibration error {found['error']:.3f}", fontsize="medium", pad=36)
    return panel.figure


def predicted(
    y: ArrayLike,
    A: ArrayLike,
    lengths: ArrayLike | None = None,
    *,
    loss: str | losses.Function = "mean_squared_error",
    axes: Any = None,
) -> Figure:
    """Plot predicted against true numbers, a panel for each target; correct predictions are on the dashed line.

    For more than 2,000 rows it shows their density.

    Args:
        y: the targets, (m,) or (m, targets), at steps (m, s) or (m, s, targets).
        A: the outputs that `predict` returns, (m, k) or (m, s, k).
        lengths: (m,) the real steps of each sample, of outputs at steps; None: all.
        loss: the loss of the network, which defines what its outputs are. The plot shows the mean for "gaussian", the
            quantile nearest the median for quantiles, the rate for "poisson".
        axes: matplotlib's axes to draw into, one for each target; None: a new figure.

    Returns:
        The figure.

    Raises:
        TypeError, ValueError: an argument is invalid; nothing is drawn.
        ImportError: matplotlib is not installed.

    Examples:
        >>> figure = cgru.plot.predicted(np.ones((8, 2)), np.zeros((8, 2)))
        >>> [panel.get_title() for panel in figure.axes]
        ['y[0]', 'y[1]']
    """
    check_matplotlib()
    from matplotlib import colormaps
    from matplotlib.colors import ListedColormap

    shades = ListedColormap(colormaps["Blues"](np.linspace(0.25, 1, 256)))  # the lightest still seen on white
    for panel, true, point in _panels_by_target(y, A, lengths, loss, axes, (4.2, 4.0)):
        low, high = min(true.min(), point.min()), max(true.max(), point.max())
        room = 0.04 * (high - low) or 0.04 * abs(high) or 1.0
        ends = (low - room, high + room)
        if len(true) > MAX_POINTS:
            dense = panel.hexbin(true, point, gridsize=40, bins="log", cmap=shades, mincnt=1, extent=ends * 2)
            panel.figure.colorbar(dense, ax=panel, label="count", shrink=0.8)
        else:
            panel.plot(true, point, "o", color=DARK, alpha=0.5, markersize=4, markeredgewidth=0)
        panel.plot(ends, ends, "--", color="black", linewidth=1)
        panel.set(xlim=ends, ylim=ends, aspect="equal", xlabel="true", ylabel="predicted")
    return panel.figure


def residuals(
    y: ArrayLike,
    A: ArrayLike,
    lengths: ArrayLike | None = None,
    *,
    loss: str | losses.Function = "mean_squared_error",
    axes: Any = None,
) -> Figure:
    """Plot the errors of a regression, predicted less true, by fifths of the true values, a panel for each target.

    A box has the middle half of the errors and the median, its whiskers reach from the 5th to the 95th percentile.

    Args:
        y: as for `predicted`.
        A: as for `predicted`.
        lengths: as for `predicted`.
        loss: as for `predicted`.
        axes: as for `predicted`.

    Returns:
        The figure.

    Raises:
        TypeError, ValueError: an argument is invalid; nothing is drawn.
        ImportError: matplotlib is not installed.

    Examples:
        >>> figure = cgru.plot.residuals(np.arange(10.0), np.zeros(10))
        >>> len(figure.axes[0].get_xticks())  # fifths
        5
    """
    check_matplotlib()
    for panel, true, point in _panels_by_target(y, A, lengths, loss, axes, (4.6, 3.4)):
        parts = bins.quintiles(true)
        lines = {"color": "black", "linewidth": 1}
        panel.boxplot(
            [(point - true)[rows] for rows in parts],
            whis=(5, 95),
            showfliers=False,
            widths=0.6,
            patch_artist=True,
            boxprops=lines | {"facecolor": "#bcd2e8"},
            medianprops=lines | {"linewidth": 2},
            whiskerprops=lines,
            capprops=lines,
        )
        panel.axhline(0, linestyle="--", color="black", linewidth=1)
        ends = [(true[rows].min(), true[rows].max()) for rows in parts]
        names = [f"{low:.3g}" if low == high else f"{low:.3g}\nto {high:.3g}" for low, high in ends]
        panel.set_xticks(range(1, len(parts) + 1), names, fontsize="x-small")
        panel.set(xlabel="true, from the lowest fifth to the highest", ylabel="predicted less true")
    return panel.figure


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


def _class_indices(
    true: np.ndarray, guessed: np.ndarray, class_names: Sequence[str] | None
) -> tuple[list[str], np.ndarray, np.ndarray]:
    """Return the names of the classes, and true and predicted classes (n,) as indices into them."""
    both = np.concatenate([true, guessed])
    if both.dtype.kind not in "iubUO" or (both.dtype.kind in "iu" and both.min() < 0):
        got = f"{both.dtype} such as {both.min()}; predictions are -1 at padded steps, which lengths says"
        raise ValueError(f"y, predicted: expected classes, integers of at least 0 or names, got {got}")
    if class_names is None or both.dtype.kind not in "iub":
        values, both = np.unique(both.astype(str) if both.dtype.kind == "O" else both, return_inverse=True)
        names = list(map(str, values.tolist()))
        if class_names is not None:
            unknown = [name for name in names if name not in class_names]
            if unknown:
                raise ValueError(f"class_names: expected all names in y and predicted, got none for {unknown[0]!r}")
            both = np.array([list(class_names).index(name) for name in names])[both]
            names = list(class_names)
    else:
        names = list(map(str, class_names))
        if both.max() >= len(names):
            raise ValueError(f"class_names: expected a name for class {both.max()} too, got {len(names)} names")
    return names, *np.split(both.astype(np.intp), 2)


def _panels_by_target(
    y: Any, A: Any, lengths: Any, loss_name: str | losses.Function, axes: Any, size: tuple[float, float]
) -> Iterator[tuple[Any, np.ndarray, np.ndarray]]:
    """Yield (panel, true values (n,), point predictions (n,)) for each target; `size` is a panel's in inches."""
    y, A = real(y, "y").astype(np.float64), real(A, "A").astype(np.float64)
    A = A[:, None] if A.ndim == 1 else A
    loss = losses.named(loss_name)
    if A.ndim not in (2, 3) or not A.size or A.shape[-1] % loss.outputs:
        due = f"{loss.outputs} outputs of each target of {loss}"
        raise ValueError(f"A: expected (m, k) or (m, s, k), {due}, got {A.shape}")
    points = loss.point(A)
    if y.size != points.size or y.shape not in (points.shape, points.shape[:-1]):
        raise ValueError(f"y: expected {points.shape}, a target for each of the outputs, got {y.shape}")
    steps = _real_steps(A.shape[:-1], lengths)
    Y, points = y.reshape(points.shape)[steps], points[steps]
    if not (np.isfinite(Y).all() and np.isfinite(points).all()):
        raise ValueError("y, A: expected finite numbers, got NaN or infinity")
    panels = _panels(Y.shape[1], axes, size)
    for i, panel in enumerate(panels if len(panels) > 1 else ()):
        panel.set_title(f"y[{i}]")
    return zip(panels, Y.T, points.T, strict=True)


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
