"""Checks of layers in a chain: which can follow which, in which dtype, and the shape and steps of the outputs.

m samples, s steps, e features per step, u units.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import accumulate, repeat
from operator import xor
from typing import Any

import numpy as np
from numpy.typing import DTypeLike

from cgru.core.checks import float_dtype
from cgru.core.lengths import mask
from cgru.layers.flip import flipped_boundaries
from cgru.layers.layer import Layer, Shape, class_attribute
from cgru.passes import Pass

__all__ = [
    "chain", "check_reads", "check_trains", "check_truncate", "checked_initial_states", "dtype_of", "features",
    "go_back", "input_features", "output_lengths", "output_mask", "per_step", "run", "shape_of", "step_arrays",
    "steppers", "stride", "unfolded",
]  # fmt: skip


def chain(layers: Any) -> tuple[Layer, ...]:
    """Check a list of layers and return it as a tuple; ValueError where a layer cannot follow the one before."""
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
    for i, layer in enumerate(layers):
        if layer.steps.needs == "series" and any(part.stateful for each in layers for part in (each, *each.cells)):
            due = f"none that is stateful beside {layer!r}, layer {i}, which needs the whole series"
            raise ValueError(f"layers: expected {due}, got {list(layers)}")
    shape_of(layers)
    return tuple(layers)


def shape_of(layers: Any) -> Shape:
    """Return the shape of the outputs of the chain, with letters for unknown sizes.

    ValueError where a layer does not fit its input.
    """
    shape: Shape = ("m", "s") if "tokens" in layers[0].reads else ("m", "s", "e")
    for i, layer in enumerate(layers):
        if i > 0 and {"tokens", "missing"} & {*layer.reads}:
            name, got = _names(layers, i, shape)
            due = "integer tokens (m, s)" if "tokens" in layer.reads else "values that may be missing"
            raise ValueError(f"layers: expected {due}, which come in at layer 0, for {name}, got {got}")
        due = layer.features
        if i > 0 and due is not None and not isinstance(shape[-1], str) and shape[-1] != due:
            raise ValueError(f"layers: expected parameters for {shape[-1]} features in layer {i}, got {due}")
        try:
            if due is not None and isinstance(shape[-1], str):
                input_features(layers[:i], due)
            shape = layer.output_shape(shape)
        except ValueError as error:
            name, got = _names(layers, i, shape)
            advice = "; sequences=True returns all" if hasattr(layers[i - 1], "sequences") else ""
            raise ValueError(f"layers: expected a chain that fits: {name}: {error}, got {got}{advice}") from None
    return shape


def _names(layers: Any, i: int, shape: Shape) -> tuple[str, str]:
    """Return layer i and the shape of its input as texts for errors."""
    return f"layer {i}, {type(layers[i]).__name__}", "(" + ", ".join(map(str, shape)) + ")"


def per_step(layers: Any) -> bool:
    """Return whether the outputs of the chain are (m, s, k), one for each step."""
    return len(shape_of(layers)) == 3


def dtype_of(layers: Sequence[Layer], dtype: DTypeLike | None) -> np.dtype:
    """Return the dtype of all layers: `dtype`, else the one that layers have, else float64; ValueError for two."""
    chosen = None if dtype is None else float_dtype(dtype)
    where = "in dtype"
    for i, layer in enumerate(layers):
        if not layer.parameter_names or not ("dtype" in layer.given or layer.p):
            continue
        if chosen is not None and layer.dtype != chosen:
            raise ValueError(f"layers: expected one dtype, got {chosen} {where} and {layer.dtype} in layer {i}")
        chosen, where = layer.dtype, f"in layer {i}"
    return np.dtype(np.float64) if chosen is None else chosen


def input_features(layers: Sequence[Layer], n: int) -> int:
    """Return how many features go into the lowest layer where `n` come out of the highest; none has parameters."""
    for layer in reversed(layers):
        n = layer.input_features(n)
    return n


def features(layers: Sequence[Layer]) -> int | None:
    """Return the number of input features of the parameters; None where there are none yet, and for tokens."""
    if "tokens" in layers[0].reads:
        return None
    for i, layer in enumerate(layers):
        n = layer.features
        if n is not None or "u" in layer.d:
            return n if n is None or i == 0 else input_features(layers[:i], n)
    return None


def unfolded(layers: Sequence[Layer]) -> list[tuple[int, Layer]]:
    """Return the layers with their numbers; where a layer's own class makes a `chain` of others, these in its place."""
    return [(i, part) for i, layer in enumerate(layers) for part in class_attribute(layer, "chain") or (layer,)]


# --- steps ---


def steppers(layers: Sequence[Layer]) -> tuple[Layer, ...]:
    """Return the layers that change the number of steps, the lowest first."""
    return tuple([layer for layer in layers if layer.steps.count])


def output_lengths(layers: Sequence[Layer], lengths: np.ndarray, name: str = "lengths") -> np.ndarray:
    """Return how many output steps samples of these `lengths` have; ValueError by `name` where one is too short."""
    for layer in layers:
        lengths = layer.steps.lengths(lengths, name)
    return lengths


def output_mask(layers: Sequence[Layer], m: int, s: int, lengths: np.ndarray | None) -> np.ndarray:
    """Return which steps of the outputs are real, (m, n) booleans, for m samples of s steps with these `lengths`."""
    n = output_lengths(layers, np.array([s]))[0]
    return np.ones((m, n), bool) if lengths is None else mask(output_lengths(layers, lengths), n)[:, :, 0]


def stride(layers: Sequence[Layer]) -> int:
    """Return how many input steps make one output step, in layers that can run some steps at a time."""
    return math.prod(layer.steps.stride for layer in layers)


# --- arrays beside X, a number a step ---


def check_reads(layers: Sequence[Layer], what: str, name: str) -> None:
    """Raise ValueError by `name` where no layer reads the array `what`, or a layer cannot read it at the steps of X.

    A state knows nothing of another's factors: "decay" is for all recurrent layers, or for none.
    """
    readers = [i for i, layer in enumerate(layers) if what in layer.reads]
    if not readers:
        cure = "; cgru.GRUD reads times, as the first layer" if what == "times" else ""
        raise ValueError(f"{name}: expected None, as no layer reads it, got some for {list(layers)}{cure}")
    for i, layer in enumerate(layers):
        if what == "decay" and layer.cells and i not in readers:
            raise ValueError(f"{name}: expected None, as {layer!r}, layer {i}, does not read it, got some")
        if layer.steps.needs == "past" and not layer.steps.count and name.endswith("resets") and i < readers[-1]:
            raise ValueError(
                f"{name}: expected None, as {layer!r}, layer {i}, would take the end of one episode into the next, got "
                "some; put it above them, or give a factor of 0 as decay, which resets their states alone"
            )
        if (layer.steps.count or (layer.steps.reverses and what != "decay")) and i < readers[-1]:
            above = next(j for j in readers if j > i)
            raise ValueError(
                f"{name}: expected layers that read it at the steps of X, got {type(layers[above]).__name__}, layer "
                f"{above}, behind {layer!r}, layer {i}; put {type(layer).__name__} above it, or leave it out"
            )


def step_arrays(
    layers: Sequence[Layer], beside: Mapping[str, np.ndarray] | None, lengths: np.ndarray | None
) -> Iterable[dict[str, np.ndarray]]:
    """Return for each layer the arrays `beside` X, (m, s), that it reads, by name, at the steps of its own input."""
    if not beside:
        return repeat({})
    turned = dict(beside)
    if "decay" in beside and any(layer.steps.reverses for layer in layers):
        turned["decay"] = flipped_boundaries(beside["decay"], lengths)
    flips = accumulate((layer.steps.reverses for layer in layers), xor, initial=False)
    return [
        {name: array for name, array in (turned if flipped else beside).items() if name in layer.reads}
        for layer, flipped in zip(layers, flips, strict=False)
    ]


# --- running, one layer after the other ---


def run(
    layers: Sequence[Layer],
    A: np.ndarray,
    lengths: np.ndarray | None,
    beside: Mapping[str, np.ndarray] | None,
    run_layer: Callable[..., np.ndarray],
) -> tuple[np.ndarray, np.ndarray | None]:
    """Run the layers one after the other; return the outputs, and how many steps of each sample are real in them.

    `run_layer(i, A, lengths, **given)` runs layer i, which reads the arrays `given`, and returns its outputs.
    """
    for i, (layer, given) in enumerate(zip(layers, step_arrays(layers, beside, lengths), strict=False)):
        A = run_layer(i, A, lengths, **given)
        lengths = layer.steps.real(A, lengths)
    return A, lengths


def go_back(
    passes: Sequence[Pass],
    lowest: int,
    dA: np.ndarray | None,
    dZ: np.ndarray | None = None,
    penalised: Callable[[int, Any], Any] = lambda i, dA: dA,
) -> Iterator[tuple[int, Pass]]:
    """Go back from the highest of `passes` to number `lowest`, from dL/dA, or the highest's dL/dZ; yield each of them.

    `penalised(i, dA)` returns dL/dA of pass i with the gradients of penalties.
    """
    for i in range(len(passes) - 1, lowest - 1, -1):
        dA = penalised(i, dA)
        dA = passes[i].backward(dA) if dZ is None else passes[i].backward_linear(dZ)
        dZ = None
        yield i, passes[i]


# --- layers that can be cut, trained, started ---


def check_truncate(layers: Sequence[Layer], k: int) -> None:
    """Raise ValueError where running k steps at a time does not give the same as running whole sequences."""
    for i, layer in enumerate(layers):
        if not layer.steps.piecewise:
            raise ValueError(f"truncate: expected layers that can run piece by piece, got {layer!r} as layer {i}")
    if k % stride(layers):
        made = ", ".join(map(repr, steppers(layers)))
        raise ValueError(
            f"truncate: expected a multiple of {stride(layers)}, the steps of an output of {made}, got {k}"
        )


def check_trains(layers: Sequence[Layer]) -> None:
    """Raise ValueError for a layer that cannot backpropagate."""
    for i, layer in enumerate(layers):
        if layer.weights:
            raise ValueError(
                f"layers: expected layers that train, got {layer!r} as layer {i}; fit the network that it was made "
                "of, and quantize that again"
            )


def checked_initial_states(layers: Sequence[Layer], h0: Any, m: int) -> list[np.ndarray | None]:
    """Check the initial states `h0` of m samples; return (m, u), or None, for each recurrent layer and direction."""
    cells = [(layer, cell) for layer in layers for cell in layer.cells]
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
        layer.checked_state(cell, state, f"h0[{i}]", m)
        for i, (state, (layer, cell)) in enumerate(zip(h0, cells, strict=True))
    ]
