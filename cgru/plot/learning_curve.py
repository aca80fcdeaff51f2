"""Plot of a fit: the learning curve."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from cgru.network import Epoch, Network
from cgru.network.estimator_network import Estimator, network_of
from cgru.plot.panels import DARK, LIGHT, panels_of

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["curve"]


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
