"""The layers of a network, one upon the other: which can follow which, and what runs through them.

m samples, s steps, e elements per step, u units. A layer is whatever has the members of `INTERFACE`, as `GRU` and the
layers on `cgru.base.Layer` do. One without `output_shape` is recurrent: it takes all steps (m, s, e) and returns all
states (m, s, u) or the last ones (m, u), as its `sequences` says.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from cgru import reference
from cgru.bidirectional import Bidirectional
from cgru.gru import GRU
from cgru.layers.embedding import Embedding
from cgru.layers.layer import Layer, Shape

__all__ = [
    "INTERFACE",
    "chain",
    "forward",
    "halves",
    "initial_states",
    "made_for",
    "output_shape",
    "predict",
    "shape_of",
    "uncarried",
]

INTERFACE = (
    *("d", "p", "g", "fc", "bc", "trainable"),
    *("compute_shapes", "initialize_parameters", "forward", "predict", "backward", "compute_gradients"),
)

AnyLayer = GRU | Layer


def chain(layers: Any) -> tuple[AnyLayer, ...]:
    """`layers` as a tuple, refused where one cannot follow another."""
    if not isinstance(layers, list | tuple):
        raise TypeError(f"layers: expected a list of layers, got {type(layers).__name__}")
    for i, layer in enumerate(layers):
        missing = [name for name in INTERFACE if not hasattr(layer, name)]
        if missing:
            raise ValueError(
                f"layers: expected a layer in each place, got {type(layer).__name__} without {missing[0]} as layer {i}"
            )
    if not any("u" in layer.d for layer in layers):
        kinds = [type(layer).__name__ for layer in layers]
        raise ValueError(f"layers: expected at least one layer with units, got {kinds}")
    if len(set(map(id, layers))) < len(layers):
        raise ValueError("layers: expected each layer object once, got one of them twice")
    shape_of(layers)
    return tuple(layers)


def shape_of(layers: Any) -> Shape:
    """The shape of what comes out at the end, by letters; ValueError where a layer does not fit what comes to it."""
    shape: Shape = ("m", "s") if isinstance(layers[0], Embedding) else ("m", "s", "e")
    for i, layer in enumerate(layers):
        name = f"layer {i}, {type(layer).__name__}"
        got = "(" + ", ".join(map(str, shape)) + ")"
        if isinstance(layer, Embedding) and i > 0:
            raise ValueError(f"layers: expected integer tokens (m, s), which come in at layer 0, for {name}, got {got}")
        due = made_for(layer)
        if i > 0 and due is not None and shape[-1] not in ("e", due):
            raise ValueError(f"layers: expected parameters for {shape[-1]} elements in layer {i}, got {due}")
        try:
            shape = output_shape(layer, shape)
        except ValueError as error:
            advice = "; sequences=True returns all" if hasattr(layers[i - 1], "sequences") else ""
            raise ValueError(f"layers: expected a chain that fits: {name}: {error}, got {got}{advice}") from None
    return shape


def output_shape(layer: AnyLayer, shape: Shape) -> Shape:
    """The shape of what `layer` returns for an input of `shape`; ValueError for one that it does not take."""
    own = getattr(layer, "output_shape", None)
    if own is not None:
        return own(shape)
    if len(shape) != 3:
        raise ValueError("expected all steps (m, s, e)")
    return (*shape[:2], layer.d["u"]) if layer.sequences else (shape[0], layer.d["u"])


def made_for(layer: AnyLayer) -> int | None:
    """How many elements the parameters of `layer` are made for; None where it has none yet, or takes any number."""
    matrices = (a for name, a in layer.p.items() if name.rpartition(".")[2][:1] in ("U", "W"))
    return next(map(len, matrices), None)


def forward(layer: AnyLayer, A: np.ndarray, lengths: np.ndarray | None, h0: np.ndarray | None = None) -> np.ndarray:
    """The layer's forward pass in training; pre-activations are kept only where they are asked for."""
    own = None if isinstance(layer, Layer) else getattr(layer, "_forward", None)
    if own is None:
        return layer.forward(A, lengths)
    return own(A, lengths, h0=h0, preactivations=layer.preactivations is True)


def halves(layer: AnyLayer) -> tuple[GRU, ...]:
    """The layers in `layer` that have a state each: itself, one for each direction, or none."""
    if isinstance(layer, Bidirectional):
        return layer.halves
    return (layer,) if isinstance(layer, GRU) else ()


def predict(
    layer: AnyLayer, A: np.ndarray, lengths: np.ndarray | None, starts: list[np.ndarray | None]
) -> tuple[np.ndarray, list[np.ndarray]]:
    """What `layer` returns in inference and the last states (m, u) of its halves; `starts` are those before them."""
    own = halves(layer)
    if not own:
        return layer.predict(A, lengths), []
    parts = [half.predict(A, lengths, start) for half, start in zip(own, starts, strict=True)]
    states = [_last(part, half, lengths) for part, half in zip(parts, own, strict=True)]
    return parts[0] if len(own) == 1 else layer._merged(parts), states


def _last(A: np.ndarray, layer: GRU, lengths: np.ndarray | None) -> np.ndarray:
    """The last states (m, u) among what `layer` returned."""
    if A.ndim == 2:
        return A
    m, s, _ = A.shape
    return A[np.arange(m), reference.ends(m, s, lengths, layer.reverse)[1]]


# --- states, carried from one piece of a sequence to the next ---


def initial_states(layers: Any, m: int) -> dict[int, np.ndarray]:
    """Zeros (m, u) for each recurrent layer, by its index."""
    return {i: np.zeros((m, layer.d["u"]), layer.dtype) for i, layer in enumerate(layers) if isinstance(layer, GRU)}


def uncarried(layers: Any) -> str | None:
    """A layer that needs whole sequences, so that they cannot be cut into pieces; None where there is none."""
    for i, layer in enumerate(layers):
        whole = not layer.piecewise if isinstance(layer, Layer) else not isinstance(layer, GRU)
        if whole or getattr(layer, "reverse", False):
            return f"{layer!r} as layer {i}"
    return None
