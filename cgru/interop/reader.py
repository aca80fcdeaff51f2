"""A reader of another library's graph as a chain of layers, node by node; nodes are ONNX's or described by them.

Letters: m samples, s steps, n features of a step, u units. A value counts as the output of a layer only if all nodes
behind it are layers here, or are known to keep its numbers.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from cgru.interop.chain_builder import ChainBuilder, dense, embedding
from cgru.interop.gates import Refusal
from cgru.interop.onnx_layers import LAYERS, UNARY
from cgru.interop.onnx_values import (
    ENDLESS,
    FLOATS,
    LENGTHS,
    MOVERS,
    ONE,
    Axis,
    Node,
    Traced,
    Unproved,
    concatenated,
    long_axes,
    same_axes,
)  # fmt: skip
from cgru.layers import Frames, Pool, Scale

__all__ = ["LONGEST", "Reader"]

LONGEST = 100  # letters of a name in errors, which are made for many nodes


class Reader:
    """A chain that grows node by node, with the traced values of all arrays so far, by name."""

    def __init__(self) -> None:
        """Begin with an empty chain and no values."""
        self.chain = ChainBuilder()
        self.recurrent: list[Any] = []  # the recurrent layers
        self.steps, self.samples = Axis("s"), Axis("m")  # set to those of X when a layer shows which they are
        self.placed = False  # whether one has
        self.values: dict[str, Traced] = {}
        self.input: Any = None  # the name of the input that is X
        self.out: Axis | None = None  # the feature axis of the newest output, None until a layer shows which it is

    def trace_node(self, node: Node, place: str) -> list[Traced]:
        """Return the values that a node makes, adding a layer if it is one; Unproved if nothing is known of them."""
        if node.kind in LAYERS:
            return [self.read_layer(node, place)]
        if node.kind == "Conv":
            return [self.read_convolution(node, place)]
        if node.kind == "BatchNormalization":
            return [self.read_batch_normalization(node, place)]
        if node.kind in ("ReduceMean", "ReduceMax"):
            return [self.read_reduction(node, place)]
        if node.kind in ("Gather", "Slice") and node.input(0) in self.values:
            last = self.read_last_step(node, place)
            if last is not None:
                return [last]
        if node.kind == "Gather" and node.input(0) in node.arrays:
            return [self.read_embedding(node, place)]
        if node.kind == "Concat":
            return [concatenated([self.traced(name) for name in node.inputs], node.attributes.get("axis", 1))]
        if node.kind not in MOVERS:
            raise Unproved("nothing of its kind may stand there")
        return MOVERS[node.kind](self.traced(node.input(0)), node)

    def traced(self, name: str) -> Traced:
        """Return the traced value with that name; Unproved if there is none."""
        if name not in self.values:
            raise Unproved(f"of its input {name!r} nothing is known")
        return self.values[name]

    def origin_of(self, name: str) -> str:
        """Return where an array comes from, in words for an error."""
        return self.describe(self.values[name]) if name in self.values else "nowhere"

    def describe(self, value: Traced) -> str:
        """Return where a traced value comes from, in words for an error."""
        what = {"states": "all states", "ends": "last states", "made": "a layer", "weights": "attention weights",
                "weighted": "weighted states"}.get(value.kind)  # fmt: skip
        what = what or f"the input {str(value.origin)[:LONGEST]!r}"
        return " by way of ".join([what, *value.passed()])

    def check_newest(self, value: Traced) -> None:
        """Raise Unproved unless the value is the whole output of the top layer, or X if there is no layer yet."""
        if self.chain.count == 0:
            if value.kind != "input" or value.parts is not None or len(_plain(value.axes)) != 3:
                raise Unproved("it does not take a whole input of the graph, (m, s, e)")
        elif not self.is_newest(value):
            below = self.chain.top_name
            raise Unproved(f"it does not take the output of the layer below it, {below}: a network has no branches")

    def feature_count(self, value: Traced, at: int = -1) -> int | None:
        """Return the number of features of the newest output, None if unknown.

        Unproved unless `value` is the newest output and its axis `at` holds the features.
        """
        self.check_newest(value)
        axis = value.axes[at]
        if self.out is None and not axis.merged:
            self.out = axis
        if self.out is None or (axis.name != self.out.name and not axis.size == self.out.size == 1):
            where = "the last axis" if at == -1 else f"axis {at}"
            raise Unproved(f"the features are not {where} of what it takes")
        return self.out.size

    def check_places(self, samples: Axis, steps: Axis) -> None:
        """Note which axes are the samples and the steps; Unproved if others were."""
        if self.placed and (samples.name, steps.name) != (self.samples.name, self.steps.name):
            raise Unproved("it takes as steps what are the samples, or features, of another layer")
        self.samples, self.steps, self.placed = samples, steps, True

    def is_newest(self, value: Traced) -> bool:
        """Return whether a value is the whole output of the top layer, or its last states."""
        part_of = self.parts(len(self.recurrent) - 1) if self.recurrent else ()  # of the newest GRU
        whole = value.parts in (None, part_of)
        if value.kind == "ends" and self.out is not None:
            axes = (self.samples, self.out)
            return whole and value.origin == self.chain.count and long_axes(value.axes) == long_axes(axes)
        return whole and value.kind in ("states", "made") and value.origin == self.chain.count

    def add_layer(
        self, layer: Any, value: Traced, place: str, axes: tuple[Axis, ...], width: int | None = None, at: int = -1
    ) -> Traced:
        """Add a layer above `value` to the chain (None: no layer); return its output, with these axes, traced.

        `width` is the number of output features, if it differs from before; they are axis `at`.
        """
        if self.chain.count == 0:
            self.input = value.origin
        elif value.kind == "ends":
            self.chain.keep_last_state(place)
        if layer is not None:
            self.chain.add(layer, place)
        if width is not None:
            self.out = Axis("n", width)
            at %= len(axes)
            axes = (*axes[:at], self.out, *axes[at + 1 :])
        return Traced("made", self.chain.count, axes, value.dtype)

    def read_layer(self, node: Node, place: str) -> Traced:
        """Add the layer that a node is; return its output."""
        known = [i for i, name in enumerate(node.inputs) if name in self.values]
        if len(known) != 1:
            raise Unproved(f"it takes {len(known)} arrays that are neither constants nor foreign")
        value = self.values[node.inputs[known[0]]]
        if value.dtype not in FLOATS.values():
            raise Unproved("it does not take float32 or float64")
        if node.kind in UNARY:
            self.check_newest(value)
            return self.add_layer(LAYERS[node.kind](replace(node, at=known[0])), value, place, value.axes)
        n = self.feature_count(value)
        layer = LAYERS[node.kind](replace(node, at=known[0], n=n, rank=len(value.axes)))
        return self.add_layer(layer, value, place, value.axes, layer.d.get("u", layer.features))

    def read_convolution(self, node: Node, place: str) -> Traced:
        """Add Frames and a Dense for a Conv node over the steps; return the output, (m, n, s)."""
        value, W, b = self.traced(node.input(0)), node.constant(1), node.constant(2)
        if W is None or W.ndim != 3:
            raise Unproved("expected constant weights of a convolution over one axis")
        found = {"auto_pad": b"NOTSET", "group": 1, "dilations": [1]} | dict(node.attributes)
        for name, due in (("auto_pad", b"NOTSET"), ("group", 1), ("dilations", [1])):
            if found[name] != due:
                raise Unproved(f"expected {name} {due}, got {found[name]}")
        (hop,), pads = found.get("strides", [1]), found.get("pads", [0, 0])
        return self.add_convolution(value, W, b, hop, pads, place)

    def add_convolution(self, value: Traced, W: np.ndarray, b: Any, hop: int, pads: Any, place: str) -> Traced:
        """Add Frames and a Dense on an array (m, n, s) with weights W (u, n, length) and bias b; return the output.

        `pads` are the steps of zeros before and after each sample.
        """
        u, n, length = W.shape
        (before, after), features = pads, self.feature_count(value, 1) if len(value.axes) == 3 else 0
        if features not in (None, n) or any(axis.merged for axis in value.axes):
            raise Unproved(f"expected {n} features in axis 1 of three, got {features}")
        self.check_places(value.axes[0], value.axes[2])
        layer = self.frames(length, hop, (before, after) if before or after else False)
        axes = value.axes
        if hop > 1 or before + after != length - 1:  # the number of steps changes
            self.steps = Axis(value.axes[2].name + "'")
            axes = (*axes[:2], self.steps)
        made = self.add_layer(layer, value, place, axes, length * n, 1)
        own = dense(W.transpose(2, 1, 0).reshape(-1, u), b, place, Unproved)
        return self.add_layer(own, made, place, made.axes, u, 1)

    def frames(self, length: Any, hop: Any, pad: Any) -> Frames:
        """Return a Frames layer; Unproved for options that it does not have."""
        try:
            return Frames(length, hop, pad)
        except (TypeError, ValueError) as error:
            raise Unproved(str(error)) from None

    def read_batch_normalization(self, node: Node, place: str) -> Traced:
        """Add a Scale for a BatchNormalization node in inference; return its output."""
        if node.attributes.get("training_mode"):
            raise Unproved("in training it takes the statistics of each batch")
        scale, shift, mean, variance = (node.constant(i) for i in range(1, 5))
        value, eps = self.traced(node.input(0)), node.attributes.get("epsilon", 1e-5)
        return self.add_layer(*self.batch_norm(value, mean, variance, eps, scale, shift), place, value.axes)

    def batch_norm(
        self, value: Traced, mean: Any, variance: Any, eps: float, scale: Any, shift: Any
    ) -> tuple[Scale, Traced]:
        """Return (the Scale of a batch norm of features, axis 1 of `value`, in inference; `value`)."""
        n = self.feature_count(value, 1) if len(value.axes) in (2, 3) else 0
        if n not in (None, len(mean)):
            raise Unproved(f"expected {len(mean)} features in axis 1 of two or three, got {n}")
        if self.out is not None:
            self.out = replace(self.out, size=len(mean))
        factor = scale / np.sqrt(variance.astype(np.float64) + eps)
        return Scale(factor, shift - mean * factor, dtype=mean.dtype), value

    def read_embedding(self, node: Node, place: str) -> Traced:
        """Add an Embedding of tokens, which are an input of the graph; return its output."""
        value = self.traced(node.input(1))
        tokens = value.kind == "input" and value.parts is None and len(value.axes) == 2 and value.dtype in LENGTHS
        if self.chain.count or not tokens or node.attributes.get("axis", 0) != 0:
            raise Unproved("it looks up no whole input of the graph, integers (m, s)")
        layer = embedding(node.arrays[node.input(0)], node.input(0), Unproved)
        made = self.add_layer(layer, value, place, (*value.axes, ONE), layer.d["u"])
        return replace(made, dtype=FLOATS[layer.dtype.name])

    def is_step_axis(self, value: Traced, at: int) -> bool:
        """Return whether axis `at` of a value holds the steps of the newest output."""
        known = bool(self.recurrent) and value.kind in ("states", "made") and -len(value.axes) <= at < len(value.axes)
        return known and self.is_newest(value) and value.axes[at].name == self.steps.name != ""

    def add_pool(self, value: Traced, at: int, keep: bool, place: str, how: str) -> Traced:
        """Add the reduction `how` over axis `at`, the steps (with `keep` of size 1 afterwards); return its output."""
        if self.out is not None and self.out.size == 1:  # which may have no axis any more
            self.check_newest(value)
        else:
            self.feature_count(value)
        at %= len(value.axes)
        axes = (*value.axes[:at], *([ONE] if keep else []), *value.axes[at + 1 :])
        if how == "last":
            self.chain.add_last_step(place)
            return self.add_layer(None, value, place, axes)
        return self.add_layer(Pool(how), value, place, axes)

    def read_reduction(self, node: Node, place: str) -> Traced:
        """Add the mean or maximum over all steps; return its output."""
        value = self.traced(node.input(0))
        if value.kind in ("states", "made"):
            self.check_newest(value)
        axes = node.numbers("axes", 1)
        if axes is None or len(axes) != 1 or not self.is_step_axis(value, axes[0]):
            raise Unproved("it is not over the steps, and them alone, of the layer below it")
        keep, how = bool(node.attributes.get("keepdims", 1)), "mean" if node.kind == "ReduceMean" else "max"
        return self.add_pool(value, axes[0], keep, place, how)

    def read_last_step(self, node: Node, place: str) -> Traced | None:
        """Return the output of a node that takes the last step; None if it does something else."""
        value = self.values[node.input(0)]
        if node.kind == "Gather":
            at, indices = node.attributes.get("axis", 0), node.arrays.get(node.input(1))
            if indices is None or np.ravel(indices).tolist() != [-1] or indices.ndim > 1:
                return None
            keep = indices.ndim == 1
        else:
            starts, ends = node.numbers("starts", 1), node.numbers("ends", 2)
            axes, strides = node.numbers("axes", 3) or [0], node.numbers("steps", 4) or [1]
            if starts != [-1] or strides != [1] or len(axes) != 1 or len(ends or ()) != 1 or ends[0] < ENDLESS:
                return None
            at, keep = axes[0], True
        return self.add_pool(value, at, keep, place, "last") if self.is_step_axis(value, at) else None

    def check_input(self, X: str, layout: int, e: int, takes: str, refuse: Refusal) -> None:
        """Refuse X unless it is the output of the layer below, or an input of the graph for the first layer.

        `e` is the number of features that the GRU takes, and `takes` says so in the error.
        """
        value = self.values.get(X)
        if value is None:
            raise refuse(f"its input {X!r} comes from {self.origin_of(X)}; expected a chain of layers")
        first = self.chain.count == 0
        if first and (value.kind != "input" or value.parts is not None or len(_plain(value.axes)) != 3):
            raise refuse(f"expected {X!r} to be a whole input of the graph, (m, s, e), got {self.origin_of(X)}")
        if not first and (value.kind == "ends" or not self.is_newest(value)):
            due = f"all the output of the layer below it, {self.chain.top_name}"
            raise refuse(f"its input {X!r} comes from {self.origin_of(X)}; expected {due}")
        if first:
            self.input = value.origin
        if len(value.axes) == 3 and not self.placed and not any(axis.merged for axis in value.axes):
            self.samples, self.steps = (value.axes[i] for i in ((0, 1) if layout else (1, 0)))
            self.out, self.placed = self.out or value.axes[2], True
        features = None if self.out is None else self.out.size
        if features not in (None, e):
            whose = f"{X!r} has" if first else "the layer below it gives"
            raise refuse(f"{whose} {features} features, {takes}")
        due = (self.samples, self.steps, self.out) if layout else (self.steps, self.samples, self.out)
        if self.out is None or not same_axes(value.axes, due):
            raise refuse(
                f"its input {X!r}, {self.origin_of(X)}, does not have the axes of the output of the node below it"
            )

    def parts(self, number: int) -> tuple[tuple[int, int], ...]:
        """Return the (layer, direction) pairs of recurrent layer `number`, as in the `parts` of its states."""
        return tuple((number, d) for d, _ in enumerate(self.recurrent[number].cells))


def _plain(axes: tuple[Axis, ...]) -> list[Axis]:
    """Return the axes, those that were merged one by one."""
    return [part for axis in axes for part in (axis.merged or (axis,))]
