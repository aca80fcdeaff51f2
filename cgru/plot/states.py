"""Plots of a recurrent layer: its states and gates over the steps of a sequence.

m samples, s steps, u units. The network runs as in prediction: no dropout, zoneout by its expectation, states of
`stateful` layers reset. It is left unchanged.
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
from cgru.network import Network, chain
from cgru.network.data.samples import Sequences, sequences_of, step_arrays
from cgru.network.data.training_data import check_inputs
from cgru.network.estimator_network import Estimator, with_inputs
from cgru.plot.panels import panels_of

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["gates", "states"]

LABELS = {"h": "state h", "z": "update gate z\n(1 keeps h)", "r": "reset gate r\n(0 hides h)", "hh": "candidate hh"}
DIRECTIONS = ("", "forward.", "backward.")


def gates(
    net: Network | GRU | Bidirectional | Estimator,
    X: ArrayLike,
    lengths: ArrayLike | None = None,
    *,
    layer: int | str | None = None,
) -> dict[str, np.ndarray]:
    """Return the states h, update gates z, reset gates r and candidate states hh of a recurrent layer, each (m, s, u).

    At each step h is the state after it: h = z * (h before) + (1 - z) * hh (Cho et al., 2014, arXiv:1406.1078). Padded
    steps have zeros.

    Args:
        net: a network, a recurrent layer alone, or a fitted estimator of `cgru.sklearn` that is no ensemble.
        X: its input, (m, s, e), tokens (m, s) or `Sequences`; of a network and an estimator as for `predict`.
        lengths: (m,) the real steps of each sample; None: all.
        layer: the index of the layer in the network, from 0, or within branches its key: "1.0.2" is layer 2 of branch 0
            of layer 1; None: the first recurrent one.

    Returns:
        The arrays by name: "h", "z", "r", "hh"; for a Bidirectional "forward.h", ..., "backward.hh".

    Raises:
        TypeError, ValueError: an argument is invalid.
        RuntimeError: there are no parameters yet.

    Examples:
        >>> net = cgru.Network([cgru.GRU(4), cgru.Dense(2, "softmax")], seed=0)
        >>> X = np.ones((3, 5, 2))
        >>> net.make(X)
        >>> found = cgru.plot.gates(net, X)
        >>> sorted(found), found["h"].shape
        (['h', 'hh', 'r', 'z'], (3, 5, 4))
        >>> h, z, hh = found["h"], found["z"], found["hh"]
        >>> bool(np.allclose(h[:, 1], z[:, 1] * h[:, 0] + (1 - z[:, 1]) * hh[:, 1]))
        True
    """
    net, X, lengths = with_inputs(net, X, lengths)
    net, place = _network_and_place(net, layer)
    X, lengths, beside = check_inputs(net.data_spec, X, lengths)
    found = {}

    def run_layer(key: str, layer: Layer, A: np.ndarray, lengths: np.ndarray | None, **given: np.ndarray) -> np.ndarray:
        """Return the outputs of a layer; keep what is asked for of the one at the place."""
        layer = _for_inference(layer)
        if key == place:
            fc, real = layer.run(A, lengths, **given).fc, None if lengths is None else mask(lengths, A.shape[1])
            names = (side + name for side in DIRECTIONS for name in LABELS)
            found.update((name, zero_padding(fc[name], real)) for name in names if name in fc)
        return layer.predict(A, lengths, **given)

    chain.run(_up_to(net, place), net.standardized(X), lengths, beside, run_layer)
    return found


def states(
    net: Network | GRU | Bidirectional | Estimator,
    X: ArrayLike,
    lengths: ArrayLike | None = None,
    *,
    sample: int = 0,
    layer: int | str | None = None,
    what: Sequence[str] = ("h", "z", "r"),
    axes: Any = None,
) -> Figure:
    """Plot states and gates of one sample over its steps as heat maps, a row for each unit; see `gates`.

    A Bidirectional has a column of panels for each direction.

    Args:
        net: as for `gates`.
        X: as for `gates`.
        lengths: as for `gates`.
        sample: the index of the sample in X, from 0.
        layer: as for `gates`.
        what: the panels from top to bottom: some of "h", "z", "r" and "hh".
        axes: matplotlib's axes to draw into, one for each panel, row by row; None: a new figure, not managed by pyplot.

    Returns:
        The figure: `figure.savefig(path)` writes it, and a notebook shows it after `%matplotlib inline`.

    Raises:
        TypeError, ValueError: an argument is invalid; nothing is drawn.
        RuntimeError: there are no parameters yet.
        ImportError: matplotlib is not installed.

    Examples:
        >>> net = cgru.Network([cgru.GRU(4), cgru.Dense(2, "softmax")], seed=0)
        >>> X = np.ones((3, 5, 2))
        >>> net.make(X)
        >>> figure = cgru.plot.states(net, X, what=("h", "z"))
        >>> figure.axes[0].images[0].get_array().shape  # four units, five steps
        (4, 5)
    """
    names = (what,) if isinstance(what, str) else tuple(what) if isinstance(what, Sequence) else ()
    if not names or not all(isinstance(name, str) and name in LABELS for name in names):
        raise ValueError(f"what: expected some of {', '.join(LABELS)}, got {what!r}")
    net, X, lengths = with_inputs(net, X, lengths)
    net, layer = _network_and_place(net, layer)
    samples = sequences_of(X, lengths)
    one = samples[_check_sample(sample, len(samples))]
    s = one.shape[1] if one.lengths is None else one.lengths[0]
    own = {name: array[:, :s] for name, array in step_arrays(one).items()}
    arrays = gates(net, Sequences(one.X[:, :s], **own), layer=layer)
    sides = [side for side in DIRECTIONS if side + names[0] in arrays]
    rows, columns = len(names), len(sides)
    size = (6 + 1 / columns, 1.7 + 0.6 / rows)
    panels = panels_of(axes, rows * columns, columns, size, sharex=True, sharey="row").reshape(rows, columns)
    from matplotlib.ticker import MaxNLocator

    for name, row in zip(names, panels, strict=True):
        parts = [arrays[side + name][0] for side in sides]
        low, high = _value_limits(name, parts)
        for panel, part in zip(row, parts, strict=True):
            shown = {"aspect": "auto", "interpolation": "none", "cmap": "viridis"}  # light where values are large
            panel.imshow(part.T, vmin=low, vmax=high, **shown)
            panel.yaxis.get_major_locator().set_params(integer=True)
            panel.xaxis.set_major_locator(MaxNLocator("auto", steps=[1, 2, 5, 10], integer=True))
        row[0].set_ylabel("unit")
        row[0].figure.colorbar(row[0].images[0], ax=list(row), label=LABELS[name])
    for panel, side in zip(panels[0], sides, strict=True):
        panel.set_title(side.rstrip("."))
    for panel in panels[-1]:
        panel.set_xlabel("step")
    return panels[0, 0].figure


# --- arguments ---


def _network_and_place(net: Any, layer: Any) -> tuple[Network, str]:
    """Check `net` and `layer`; return (network, key of the layer). A single layer becomes a network of its copy."""
    if isinstance(net, Layer) and net.cells and not net.weights:
        net = Network([copy.deepcopy(net)])
    if not isinstance(net, Network):
        raise TypeError(f"net: expected a Network, a GRU or a Bidirectional, got {type(net).__name__}")
    places = [key for key, each in chain.leaves(net.layers) if each.cells]
    if not places:
        raise ValueError(f"net: expected a recurrent layer in it, got {net!r}")
    if isinstance(layer, bool) or not isinstance(layer, int | np.integer | str | None):
        raise TypeError(f"layer: expected an integer or a key, got {type(layer).__name__}")
    place = places[0] if layer is None else str(layer)
    if place not in places:
        raise ValueError(f"layer: expected a recurrent layer, {' or '.join(places)}, got {layer}")
    if not all(each.p or not each.parameter_names for each in _up_to(net, place)):
        raise RuntimeError(f"net: expected parameters, got {net!r}, which has seen no data")
    return net, place


def _up_to(net: Network, place: str) -> Sequence[Layer]:
    """Return the layers up to the one at `place`, such as "1", or the one with the branch at "1.0.2"."""
    return net.layers[: int(place.partition(".")[0]) + 1]


def _check_sample(value: Any, m: int) -> int:
    """Return the index of a sample as an int, checked to be one of m."""
    if isinstance(value, bool) or not isinstance(value, int | np.integer):
        raise TypeError(f"sample: expected an integer, got {type(value).__name__}")
    if not 0 <= value < m:
        raise ValueError(f"sample: expected from 0 to {m - 1}, got {value}")
    return int(value)


def _for_inference(layer: Layer) -> Layer:
    """Return a layer that can run without changing it: a recurrent one is copied, reset, and set to inference."""
    if layer.cells:
        layer = copy.deepcopy(layer)
        layer.reset_state()
        layer.training = False
    return layer


# --- drawing ---


def _value_limits(name: str, parts: list[np.ndarray]) -> tuple[float, float]:
    """Return the limits of the values in a row of panels: (0, 1) for gates, else symmetric about zero."""
    largest = float(np.nan_to_num(np.abs(parts)).max())
    return (0.0, 1.0) if name in "zr" and np.min(parts) >= 0 and largest <= 1 else (-(largest or 1.0), largest or 1.0)
