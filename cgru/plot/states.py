"""Pictures of what a recurrent layer does: its states and gates over the steps of a sequence.

m samples, s steps, u unit cells. A network is looked at as it predicts: nothing is dropped out, zoneout has its
expectation, `stateful` layers begin anew; and it is left as it was.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike

from cgru.bidirectional import Bidirectional
from cgru.core.lengths import mask
from cgru.gru import GRU
from cgru.layers.layer import Layer, zero_padding
from cgru.network import Network
from cgru.network.data.training_data import check_inputs
from cgru.plot.panels import given, made, needed

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["gates", "states"]

NAMES = {"h": "state h", "z": "update gate z\n(1 keeps h)", "r": "reset gate r\n(0 hides h)", "hh": "candidate hh"}
SIDES = ("", "forward.", "backward.")
LINES = 8  # units; of more there is a heat map
STYLES = ("-", "--", "-.", ":")
MARKERS = ("", "o")  # with each of the styles


def gates(
    net: Network | GRU | Bidirectional, X: ArrayLike, lengths: ArrayLike | None = None, *, layer: int | None = None
) -> dict[str, np.ndarray]:
    """The states h, update gates z, reset gates r and candidate states hh of a recurrent layer, (m, s, u) each.

    They stand at the steps that they belong to, h after the step: h = z * (h before) + (1 - z) * hh. At padded steps
    are zeros. Of a Bidirectional the names are "forward.h", ..., "backward.hh".

    Args:
        net: a network, or a recurrent layer alone.
        X: what it takes, (m, s, e) or tokens (m, s); of a network raw, as for `predict`.
        lengths: (m,) the real steps of each sample; None: all.
        layer: which of the network's layers, counted from 0; None: the first recurrent one.

    Raises:
        TypeError, ValueError: an argument is not what it should be.
        RuntimeError: there are no parameters yet.
    """
    net, layer = _place(net, layer)
    X, lengths = check_inputs(net.data_spec, X, lengths)
    A = net.standardized(X)
    for below in net.layers[:layer]:
        A = _still(below).predict(A, lengths)
        lengths = below.output_lengths(A, lengths)
    fc = _still(net.layers[layer]).run(A, lengths).fc
    real = None if lengths is None else mask(lengths, A.shape[1])
    return {side + name: zero_padding(fc[side + name], real) for side in SIDES for name in NAMES if side + name in fc}


def states(
    net: Network | GRU | Bidirectional,
    X: ArrayLike,
    lengths: ArrayLike | None = None,
    *,
    sample: int = 0,
    layer: int | None = None,
    what: Sequence[str] = ("h", "z", "r"),
    axes: Any = None,
) -> Figure:
    """A picture of one sequence: a panel each for states and gates, over the steps; see `gates`.

    Up to 8 units are lines; more are the rows of a heat map. Of a Bidirectional the directions stand side by side.

    Args:
        net: as for `gates`.
        X: likewise.
        lengths: likewise.
        layer: likewise.
        sample: which of the samples in X, counted from 0.
        what: which panels, from top to bottom: some of "h", "z", "r" and "hh".
        axes: matplotlib's axes to draw into, one a panel, row by row; None: those of a figure of its own, which pyplot
            does not know of.

    Returns:
        The figure: `figure.savefig(path)` writes it, and a notebook shows it after `%matplotlib inline`.

    Raises:
        TypeError, ValueError: an argument is not what it should be; nothing is drawn.
        RuntimeError: there are no parameters yet.
        ImportError: matplotlib is not installed.
    """
    needed()
    from matplotlib.ticker import MaxNLocator

    names = (what,) if isinstance(what, str) else tuple(what) if isinstance(what, Sequence) else ()
    if not names or not all(isinstance(name, str) and name in NAMES for name in names):
        raise ValueError(f"what: expected some of {', '.join(NAMES)}, got {what!r}")
    net, layer = _place(net, layer)
    X, lengths = check_inputs(net.data_spec, X, lengths)
    sample = _index(sample, "sample", range(len(X)))
    s = X.shape[1] if lengths is None else lengths[sample]
    arrays = gates(net, X[[sample], :s], layer=layer)
    sides = [side for side in SIDES if side + names[0] in arrays]
    rows, columns = len(names), len(sides)
    size = (1 + 6 * columns, 0.6 + 1.7 * rows)
    panels = made(rows, columns, size, sharex=True, sharey="row") if axes is None else given(axes, rows, columns)
    for name, row in zip(names, panels, strict=True):
        parts = [arrays[side + name][0] for side in sides]
        u = parts[0].shape[1]
        draw = _lines if u <= LINES else _map
        for panel, part in zip(row, parts, strict=True):
            draw(panel, part, _limits(name, parts))
            panel.xaxis.set_major_locator(MaxNLocator("auto", steps=[1, 2, 5, 10], integer=True))
        row[0].set_ylabel(NAMES[name] if draw is _lines else "unit")
        if draw is _map:
            row[0].figure.colorbar(row[0].images[0], ax=list(row), label=NAMES[name])
    for panel, side in zip(panels[0], sides, strict=True):
        if side:
            panel.set_title(side.rstrip("."))
    for panel in panels[-1]:
        panel.set_xlabel("step")
    last = panels[0, -1]
    if draw is _lines and u > 1:
        owner, where = (last.figure, "outside right upper") if axes is None else (last, "best")
        owner.legend(handles=last.lines[-u:], loc=where, handlelength=4)
    return last.figure


# --- what is looked at ---


def _place(net: Any, layer: int | None) -> tuple[Network, int]:
    """The network, made around a layer alone, and the index of the layer; refused where it cannot be looked at."""
    if isinstance(net, Layer) and net.cells and net.trains:
        net = Network([copy.deepcopy(net)])
    if not isinstance(net, Network):
        raise TypeError(f"net: expected a Network, a GRU or a Bidirectional, got {type(net).__name__}")
    places = [i for i, each in enumerate(net.layers) if each.cells]
    if not places:
        raise ValueError(f"net: expected a recurrent layer in it, got {net!r}")
    layer = places[0] if layer is None else _index(layer, "layer", places, "a recurrent layer, ")
    if not all(each.p or not each.parameter_names for each in net.layers[: layer + 1]):
        raise RuntimeError(f"net: expected parameters, got {net!r}, which has seen no data")
    return net, layer


def _index(value: Any, name: str, places: Sequence[int], what: str = "") -> int:
    """`value` as an integer, one of the `places`."""
    if isinstance(value, bool) or not isinstance(value, int | np.integer):
        raise TypeError(f"{name}: expected an integer, got {type(value).__name__}")
    if value not in places:
        due = f"from 0 to {places[-1]}" if isinstance(places, range) else " or ".join(map(str, places))
        raise ValueError(f"{name}: expected {what}{due}, got {value}")
    return int(value)


def _still(layer: Layer) -> Layer:
    """A layer that may run without a trace: one with a state is copied, begins anew and drops nothing out."""
    if layer.cells:
        layer = copy.deepcopy(layer)
        layer.reset_state()
        layer.training = False
    return layer


# --- how it is drawn ---


def _limits(name: str, parts: list[np.ndarray]) -> tuple[float, float]:
    """Of the values that a row of panels shows: 0 and 1 for gates, else as far on both sides of zero."""
    largest = float(np.nan_to_num(np.abs(parts)).max())
    return (0.0, 1.0) if name in "zr" and np.min(parts) >= 0 and largest <= 1 else (-(largest or 1.0), largest or 1.0)


def _lines(panel: Axes, array: np.ndarray, limits: tuple[float, float]) -> None:
    """A line for each unit of (s, u), told apart without colours, too."""
    from matplotlib import colormaps

    (s, u), (low, high) = array.shape, limits
    for unit, values in enumerate(array.T):
        panel.plot(
            values,
            STYLES[unit % len(STYLES)],
            marker="o" if s == 1 else MARKERS[unit // len(STYLES)],
            markevery=max(1, s // 12),
            markersize=4,
            color=colormaps["viridis"](0.85 * unit / u),
            label=f"unit {unit}",
        )
    room = 0.04 * (high - low)
    panel.set_ylim(low - room, high + room)
    panel.grid(alpha=0.3)


def _map(panel: Axes, array: np.ndarray, limits: tuple[float, float]) -> None:
    """The units of (s, u) as rows, light where they are large."""
    low, high = limits
    panel.imshow(array.T, aspect="auto", interpolation="none", cmap="viridis", vmin=low, vmax=high)
    panel.yaxis.get_major_locator().set_params(integer=True)
