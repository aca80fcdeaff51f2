"""Which layers can follow which, in which dtype, and what comes out at the end.

m samples, s steps, e elements per step, u units.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import DTypeLike

from cgru.core.checks import float_dtype, real
from cgru.core.lengths import mask
from cgru.layers.layer import Layer, Shape

__all__ = [
    "chain", "check_pieces", "dtype_of", "elements", "input_elements", "output_lengths", "output_mask", "per_step",
    "shape_of", "starts", "steppers", "stride",
]  # fmt: skip


def chain(layers: Any) -> tuple[Layer, ...]:
    """`layers` as a tuple, refused where one cannot follow another."""
    if not isinstance(layers, list | tuple):
        raise TypeError(f"layers: expected a list of layers, got {type(layers).__name__}")
    for i, layer in enumerate(layers):
        if not isinstance(layer, Layer):
            raise ValueError(f"layers: expected a Layer in each place, got {type(layer).__name__} as layer {i}")
    if not any("u" in layer.d for layer in layers):
        kinds = [type(layer).__name__ for layer in layers]
        raise ValueError(f"layers: expected at least one layer with units, got {kinds}")
    if len(set(map(id, layers))) < len(layers):
        raise ValueError("layers: expected each layer object once, got one of them twice")
    shape_of(layers)
    return tuple(layers)


def shape_of(layers: Any) -> Shape:
    """The shape of what comes out at the end, by letters; ValueError where a layer does not fit what comes to it."""
    shape: Shape = ("m", "s") if layers[0].tokens_in else ("m", "s", "e")
    for i, layer in enumerate(layers):
        name = f"layer {i}, {type(layer).__name__}"
        got = "(" + ", ".join(map(str, shape)) + ")"
        if layer.tokens_in and i > 0:
            raise ValueError(f"layers: expected integer tokens (m, s), which come in at layer 0, for {name}, got {got}")
        due = layer.elements
        if i > 0 and due is not None and not isinstance(shape[-1], str) and shape[-1] != due:
            raise ValueError(f"layers: expected parameters for {shape[-1]} elements in layer {i}, got {due}")
        try:
            if due is not None and isinstance(shape[-1], str):
                input_elements(layers[:i], due)
            shape = layer.output_shape(shape)
        except ValueError as error:
            advice = "; sequences=True returns all" if hasattr(layers[i - 1], "sequences") else ""
            raise ValueError(f"layers: expected a chain that fits: {name}: {error}, got {got}{advice}") from None
    return shape


def per_step(layers: Any) -> bool:
    """Return whether what comes out at the end is (m, s, k)."""
    return len(shape_of(layers)) == 3


def dtype_of(layers: Sequence[Layer], dtype: DTypeLike | None) -> np.dtype:
    """The one dtype of all layers; ValueError where they were given unlike ones."""
    chosen = None if dtype is None else float_dtype(dtype)
    where = "in dtype"
    for i, layer in enumerate(layers):
        if not layer.parameter_names or not ("dtype" in layer.given or layer.p):
            continue
        if chosen is not None and layer.dtype != chosen:
            raise ValueError(f"layers: expected one dtype, got {chosen} {where} and {layer.dtype} in layer {i}")
        chosen, where = layer.dtype, f"in layer {i}"
    return np.dtype(np.float64) if chosen is None else chosen


def input_elements(layers: Sequence[Layer], n: int) -> int:
    """Return how many elements go into the lowest of the layers, none of which knows, where `n` come out at the top."""
    for layer in reversed(layers):
        n = layer.input_elements(n)
    return n


def elements(layers: Sequence[Layer]) -> int | None:
    """Return how many elements the parameters are made for; None where there are none yet, or for tokens."""
    if layers[0].tokens_in:
        return None
    for i, layer in enumerate(layers):
        n = layer.elements
        if n is not None or "u" in layer.d:
            return n if n is None or i == 0 else input_elements(layers[:i], n)
    return None


# --- steps ---


def steppers(layers: Sequence[Layer]) -> tuple[Layer, ...]:
    """Return the layers that change the number of steps, from the lowest on."""
    return tuple([layer for layer in layers if layer.changes_steps])


def output_lengths(layers: Sequence[Layer], lengths: np.ndarray, name: str = "lengths") -> np.ndarray:
    """Return how many steps come out at the end of samples of so many; ValueError by `name` for too few of them."""
    for layer in layers:
        lengths = layer.lengths(lengths, name)
    return lengths


def output_mask(layers: Sequence[Layer], m: int, s: int, lengths: np.ndarray | None) -> np.ndarray:
    """Return which steps come out of real ones, (m, n) booleans, of m samples of s steps."""
    n = output_lengths(layers, np.array([s]))[0]
    return np.ones((m, n), bool) if lengths is None else mask(output_lengths(layers, lengths), n)[:, :, 0]


def stride(layers: Sequence[Layer]) -> int:
    """Return how many steps go in for one that comes out, of layers that run piece by piece."""
    return math.prod(layer.stride for layer in layers)


def check_pieces(layers: Sequence[Layer], k: int) -> None:
    """Raise ValueError where pieces of k steps, one after another, do not give what whole sequences do."""
    for i, layer in enumerate(layers):
        if not layer.piecewise or layer.stride is None:
            raise ValueError(f"truncate: expected layers that can run piece by piece, got {layer!r} as layer {i}")
    if k % stride(layers):
        made = ", ".join(map(repr, steppers(layers)))
        raise ValueError(
            f"truncate: expected a multiple of {stride(layers)}, the steps of an output of {made}, got {k}"
        )


def starts(layers: Sequence[Layer], h0: Any, m: int) -> list[np.ndarray | None]:
    """`h0` for m samples, for each recurrent layer and direction, checked; None where it is not given."""
    cells = [cell for layer in layers for cell in layer.cells]
    if h0 is None:
        return [None] * len(cells)
    if len(cells) == 1 and np.ndim(h0) == 2:
        h0 = [h0]
    due = f"(m, u) for each of {len(cells)} layers and directions"
    if not hasattr(h0, "__len__"):
        raise ValueError(f"h0: expected {due}, got {type(h0).__name__}")
    if isinstance(h0, np.ndarray) and h0.ndim != 3:
        raise ValueError(f"h0: expected {due}, an array ({len(cells)}, m, u) or a list, got shape {h0.shape}")
    if len(h0) != len(cells):
        raise ValueError(f"h0: expected {due}, got {len(h0)} of them")
    return [
        real(state, f"h0[{i}]", (m, cell.d["u"]), cell.dtype)
        for i, (state, cell) in enumerate(zip(h0, cells, strict=True))
    ]
