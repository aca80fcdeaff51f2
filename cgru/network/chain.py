"""Chains of layers: check that layers fit one another, compute their shapes and steps, and run them.

m samples, s steps, e features per step, u units.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import partial, reduce
from itertools import accumulate, repeat
from operator import xor
from typing import Any

import numpy as np
from numpy.typing import DTypeLike

from cgru.core.checks import float_dtype
from cgru.core.lengths import mask
from cgru.layers.flip import flipped_boundaries
from cgru.layers.layer import Layer, Shape, class_attribute, mask_padding
from cgru.layers.steps import NEEDS, Steps
from cgru.passes import Pass

__all__ = [
    "Trace", "chain", "check_reads", "check_single_steps", "check_trains", "check_truncate",
    "checked_initial_states", "dtype_of", "features", "go_back", "input_features", "joint_steps", "leaf_inputs",
    "leaves", "lengths_at", "output_lengths", "output_mask", "parts_of", "passes", "per_step", "predicting",
    "rebuilt", "run", "shape_of", "step_arrays", "steppers", "stride", "unfold",
]  # fmt: skip

# What `run` keeps to go back: (key, pass) of each layer, or (key, (layer, outputs, traces)) of one with branches.
Trace = list[tuple[str, Any]]


def chain(layers: Any) -> tuple[Layer, ...]:
    """Check a list of layers and return it as a tuple; ValueError if a layer does not fit the one before it."""
    if not isinstance(layers, list | tuple):
        raise TypeError(f"layers: expected a list of layers, got {type(layers).__name__}")
    for i, layer in enumerate(layers):
        if not isinstance(layer, Layer):
            raise ValueError(f"layers: expected only Layers, got {type(layer).__name__} as layer {i}")
    shape_of(layers)
    within = [layer for _, layer in leaves(layers)]
    if not any("u" in layer.d for layer in within):
        kinds = [type(layer).__name__ for layer in layers]
        raise ValueError(f"layers: expected at least one layer with units, got {kinds}")
    if len(set(map(id, within))) < len(within):
        raise ValueError("layers: expected each layer object once, got one of them twice")
    for key, layer in leaves(layers):
        if layer.steps.needs == "series" and any(part.stateful for each in within for part in (each, *each.cells)):
            due = f"no stateful layer together with {layer!r}, layer {key}, which needs the whole series"
            raise ValueError(f"layers: expected {due}, got {list(layers)}")
    return tuple(layers)


def _inputs(layers: Any) -> Shape:
    """Return the shape of a chain's inputs, in letters."""
    return ("m", "s") if layers and "tokens" in layers[0].reads else ("m", "s", "e")


def parts_of(layer: Layer) -> tuple[Layer, ...]:
    """Return the layers that a composite layer such as Conv1D consists of; for any other, the layer itself."""
    return class_attribute(layer, "chain") or (layer,)


def unfold(layers: Sequence[Layer]) -> list[Layer]:
    """Return the layers with each composite layer, such as Conv1D, replaced by its parts."""
    found: list[Layer] = []
    for layer in layers:
        within = layer.branches
        found += [type(layer)(*map(unfold, within))] if within else parts_of(layer)
    return found


def leaves(layers: Sequence[Layer], at: str = "") -> list[tuple[str, Layer]]:
    """Return (key, layer) of all layers, with those in branches in place of the layer that has the branches.

    The key of layer 2 is `2`, that of layer 1 of branch 0 within it `2.0.1`.
    """
    found = []
    for i, layer in enumerate(layers):
        if layer.branches:
            for b, branch in enumerate(layer.branches):
                found += leaves(branch, f"{at}{i}.{b}.")
        else:
            found.append((f"{at}{i}", layer))
    return found


def leaf_inputs(layers: Sequence[Layer], shape: Shape) -> Iterator[Shape]:
    """Yield the input shape of each layer that `leaves` returns; `shape` is that of the chain's input."""
    for layer in layers:
        within = layer.branches
        for branch in within:
            yield from leaf_inputs(branch, shape)
        if not within:
            yield shape
        shape = layer.output_shape(shape)


def rebuilt(layers: Sequence[Layer], made: Callable[[str], Layer], at: str = "") -> list[Layer]:
    """Return a chain of the same structure, with layer `made(key)` in place of each layer that `leaves` returns."""
    found = []
    for i, layer in enumerate(layers):
        within = enumerate(layer.branches)
        branches = [rebuilt(branch, made, f"{at}{i}.{b}.") for b, branch in within]
        found.append(type(layer)(*branches) if branches else made(f"{at}{i}"))
    return found


def shape_of(layers: Any, shape: Shape | None = None) -> Shape:
    """Return the shape of a chain's outputs, with letters for unknown sizes; `shape` is that of the inputs.

    ValueError where a layer does not fit its input.
    """
    shape = _inputs(layers) if shape is None else shape
    for i, layer in enumerate(layers):
        if i > 0 and {"tokens", "missing"} & {*layer.reads}:
            name, got = _names(layers, i, shape)
            due = "integer tokens (m, s)" if "tokens" in layer.reads else "values that may be missing"
            raise ValueError(f"layers: expected {due}, which only layer 0 can read, for {name}, got {got}")
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
    """Return the name of layer i and the shape of its input as texts for error messages."""
    return f"layer {i}, {type(layers[i]).__name__}", "(" + ", ".join(map(str, shape)) + ")"


def per_step(layers: Any) -> bool:
    """Return whether a chain has outputs at each step, (m, s, k)."""
    return len(shape_of(layers)) == 3


def dtype_of(layers: Sequence[Layer], dtype: DTypeLike | None) -> np.dtype:
    """Return the dtype of all layers: `dtype`, or else the one that layers have; float64 if none has one."""
    chosen = None if dtype is None else float_dtype(dtype)
    where = "in dtype"
    for key, layer in leaves(layers):
        if not layer.parameter_names or not ("dtype" in layer.given or layer.p):
            continue
        if chosen is not None and layer.dtype != chosen:
            raise ValueError(f"layers: expected one dtype, got {chosen} {where} and {layer.dtype} in layer {key}")
        chosen, where = layer.dtype, f"in layer {key}"
    return np.dtype(np.float64) if chosen is None else chosen


def input_features(layers: Sequence[Layer], n: int) -> int:
    """Return the number of input features of layers without parameters, given the number `n` of output features."""
    for layer in reversed(layers):
        n = layer.input_features(n)
    return n


def features(layers: Sequence[Layer]) -> int | None:
    """Return the number of input features that the parameters are made for; None before, and for tokens."""
    if "tokens" in layers[0].reads:
        return None
    for i, layer in enumerate(layers):
        n = layer.features
        if n is not None or "u" in layer.d:
            return n if n is None or i == 0 else input_features(layers[:i], n)
    return None


# --- steps ---


def steppers(layers: Sequence[Layer]) -> tuple[Layer, ...]:
    """Return the layers that change the number of steps, in their order."""
    return tuple([layer for layer in layers if layer.steps.count])


def output_lengths(layers: Sequence[Layer], lengths: np.ndarray, name: str = "lengths") -> np.ndarray:
    """Return the numbers of output steps of samples with these `lengths`; ValueError if a sample is too short."""
    for layer in layers:
        lengths = layer.steps.lengths(lengths, name)
    return lengths


def lengths_at(layers: Sequence[Layer], key: str, lengths: np.ndarray) -> np.ndarray:
    """Return how many steps the layer with this key gets from samples with these `lengths`."""
    i, _, within = key.partition(".")
    lengths = output_lengths(layers[: int(i)], lengths)
    if not within:
        return lengths
    b, _, rest = within.partition(".")
    return lengths_at(layers[int(i)].branches[int(b)], rest, lengths)


def output_mask(layers: Sequence[Layer], m: int, s: int, lengths: np.ndarray | None) -> np.ndarray:
    """Return the mask (m, n) of real output steps, for m samples of s steps with these `lengths`."""
    n = output_lengths(layers, np.array([s]))[0]
    return np.ones((m, n), bool) if lengths is None else mask(output_lengths(layers, lengths), n)[:, :, 0]


def stride(layers: Sequence[Layer]) -> int:
    """Return how many input steps give one output step, for layers that can run in pieces of a sequence."""
    return math.prod(layer.steps.stride for layer in layers)


def joint_steps(layers: Sequence[Layer]) -> Steps:
    """Return how a chain as a whole uses and changes the steps of a sequence."""
    needs = max((layer.steps.needs for layer in layers), key=NEEDS.index, default="step")
    count = partial(output_lengths, layers) if steppers(layers) else None
    return Steps(needs, stride(layers), count, reduce(xor, (layer.steps.reverses for layer in layers), False))


# --- arrays beside X, a number a step ---


def check_reads(layers: Sequence[Layer], what: str, name: str) -> None:
    """Raise ValueError if no layer reads the array `what`, or a layer that reads it gets other steps than X has.

    A state knows nothing of another's factors: "decay" is for all recurrent layers, or for none.
    """
    readers = [i for i, layer in enumerate(layers) if what in layer.reads]
    if not readers:
        cure = "; cgru.GRUD reads times, as the first layer" if what == "times" else ""
        raise ValueError(f"{name}: expected None, as no layer reads it, got some for {list(layers)}{cure}")
    for i, layer in enumerate(layers):
        for branch in layer.branches if i in readers else ():
            if any(what in each.reads or each.cells for each in branch):
                check_reads(branch, what, name)
        if what == "decay" and layer.cells and i not in readers:
            raise ValueError(f"{name}: expected None, as {layer!r}, layer {i}, does not read it, got some")
        if layer.steps.needs == "past" and not layer.steps.count and name.endswith("resets") and i < readers[-1]:
            raise ValueError(
                f"{name}: expected None, as {layer!r}, layer {i}, would carry the end of an episode to the next, got "
                "some; put it after them, or give a factor of 0 as decay, which resets their states alone"
            )
        if (layer.steps.count or (layer.steps.reverses and what != "decay")) and i < readers[-1]:
            above = next(j for j in readers if j > i)
            raise ValueError(
                f"{name}: expected layers that read it at the steps of X, got {type(layers[above]).__name__}, layer "
                f"{above}, after {layer!r}, layer {i}; put {type(layer).__name__} after it, or leave it out"
            )


def step_arrays(
    layers: Sequence[Layer], beside: Mapping[str, np.ndarray] | None, lengths: np.ndarray | None
) -> Iterable[dict[str, np.ndarray]]:
    """Return, for each layer, the arrays (m, s) given `beside` X that it reads, in its own order of the steps."""
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
    run_layer: Callable[..., Any],
    trace: Trace | None = None,
    at: str = "",
) -> tuple[np.ndarray, np.ndarray | None]:
    """Run the layers one after another; return the outputs, and the number of real output steps of each sample.

    `run_layer(key, layer, A, lengths, **given)` runs a layer of that key, as of `leaves`, which reads the arrays
    `given`. It returns the outputs or, where there is a list `trace`, a pass, which is added there.
    """
    for i, (layer, given) in enumerate(zip(layers, step_arrays(layers, beside, lengths), strict=False)):
        key, within = f"{at}{i}", layer.branches
        if within:
            traces: list[Trace | None] = [None if trace is None else [] for _ in within]
            parts = []
            for b, branch in enumerate(within):
                part, _ = run(branch, A, lengths, given, run_layer, traces[b], f"{key}.{b}.")
                parts.append(part if branch else mask_padding(part, lengths)[0])
            A, ran = layer.joined(parts), (layer, parts, traces)
        else:
            ran = run_layer(key, layer, A, lengths, **given)
            A = ran if trace is None else ran.A
        if trace is not None:
            trace.append((key, ran))
        lengths = None if lengths is None else layer.steps.real(A, lengths)
    return A, lengths


def predicting(states: Iterable[np.ndarray | None] | None) -> tuple[Callable[..., np.ndarray], list[np.ndarray]]:
    """Return a `run_layer` function for predictions, and the list to which it appends the last states.

    `states` are the initial ones of all cells; None: the list stays empty.
    """
    before, after = iter(states or ()), []

    def run_layer(_: str, layer: Layer, A: np.ndarray, lengths: np.ndarray | None, **given: np.ndarray) -> np.ndarray:
        """Return the outputs of one layer."""
        if states is None:
            return layer.predict(A, lengths, **given)
        A, last = layer.predict_on(A, lengths, [next(before) for _ in layer.cells], **given)
        after.extend(last)
        return A

    return run_layer, after


def go_back(
    trace: Trace,
    dA: np.ndarray | None,
    dZ: np.ndarray | None = None,
    penalised: Callable[[str, Pass, Any], Any] = lambda key, ran, dA: dA,
) -> np.ndarray | None:
    """Backpropagate through the passes in `trace`, from dL/dA, or dL/dZ of the last layer; return dL/dX.

    `penalised(key, ran, dA)` returns dL/dA of a pass with the gradients of penalties.
    """
    for key, ran in reversed(trace):
        if isinstance(ran, tuple):
            layer, parts, traces = ran
            each = zip(traces, layer.split(dA, parts), strict=True)
            found = [go_back(own, d, None, penalised) for own, d in each]
            dA = None if None in map(type, found) else sum(found[1:], found[0])
        else:
            dA = penalised(key, ran, dA)
            dA = ran.backward(dA) if dZ is None else ran.backward_linear(dZ)
        dZ = None
    return dA


def passes(trace: Trace) -> Iterator[tuple[str, Pass]]:
    """Yield the key and the pass of each layer in `trace`, in the order of `leaves`."""
    for key, ran in trace:
        if isinstance(ran, tuple):
            for own in ran[2]:
                yield from passes(own)
        else:
            yield key, ran


# --- layers that can be cut, trained, started ---


def check_single_steps(layers: Sequence[Layer], name: str, needed: str) -> None:
    """Raise ValueError or RuntimeError, naming `name`, if the layers cannot run one step at a time.

    `needed` is what the class of each must define itself.
    """
    for i, layer in enumerate(layers):
        if layer.branches and layer.steps.count:
            due = "branches with an output at each step, to run a step at a time"
            raise ValueError(f"{name}: expected {due}, got {layer!r} as layer {i}")
    for key, layer in leaves(layers):
        if not layer.steps.causal:
            due = "layers that run a step at a time"
            raise ValueError(f"{name}: expected {due}, got {layer!r} as layer {key}, which needs later ones, too")
        if any(needed not in vars(type(part)) for part in parts_of(layer)):
            raise ValueError(f"{name}: expected cgru's own layers, got {type(layer).__name__} as layer {key}")
        if not layer.p and layer.parameter_names:
            raise RuntimeError(f"{name}: expected parameters, got none in layer {key}: fit or predict first")


def check_truncate(layers: Sequence[Layer], k: int) -> None:
    """Raise ValueError if running k steps at a time would give other results than running whole sequences."""
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
    for key, layer in leaves(layers):
        if layer.weights:
            raise ValueError(
                f"layers: expected layers that train, got {layer!r} as layer {key}; fit the network that it was made "
                "of, and quantize that again"
            )


def checked_initial_states(layers: Sequence[Layer], h0: Any, m: int) -> list[np.ndarray | None]:
    """Check the initial states `h0` of m samples; return one array (m, u), or None, for each layer and direction."""
    cells = [(layer, cell) for _, layer in leaves(layers) for cell in layer.cells]
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
