"""The GRU nodes of an ONNX model as a network.

m samples, s steps, e elements per step, u units, D directions.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from cgru.activations import Activation, elu, identity, lrelu, sigmoid, tanh
from cgru.bidirectional import PREFIXES
from cgru.interop.gates import ONNX, array, filled
from cgru.interop.onnx_to import ACTIVATIONS, MARK, onnx_package, to_onnx
from cgru.network import Network
from cgru.network import files as persistence

__all__ = ["from_onnx"]

NAMED: dict[str, Activation] = {name: f for f, name in ACTIVATIONS.items()} | {"Affine": identity}
ALPHAS = {"LeakyRelu": 0.01, "Elu": 1.0, "Affine": 1.0}  # of the functions that take one, where none is given
KEYS = {lrelu: "LRELU_alpha", elu: "ELU_alpha"}
MOVES = ("Transpose", "Squeeze", "Unsqueeze", "Reshape", "Concat", "Slice", "Split", "Identity", "Expand", "Gather")

Arrays = dict[str, np.ndarray]


def from_onnx(source: Any, weights: Mapping[str, Any] | None = None) -> Network:
    """A model that `to_onnx` wrote as it was; of any other its GRU nodes, a network without a head.

    Those nodes are a chain, each on the output of the one below it, with nothing in between but the `Transpose`,
    `Squeeze`, `Reshape` and `Identity` that exporters put there. `predict(X, lengths, h0)` then gives all states of the
    last one, (m, s, D u), for X (m, s, e), whatever `layout` is. Where `sequence_lens` or `initial_h` are inputs of the
    graph, they are `lengths` and `h0` here. Missing biases are zeros.

    Args:
        source: an `onnx.ModelProto`, its bytes or the path of its file, a `GraphProto` or a `NodeProto`.
        weights: arrays for those of W, R and B that are inputs, by the names that they have there.

    Raises:
        ImportError: the onnx package is not installed.
        TypeError, ValueError: the source is something else, or holds what has no counterpart here, with the reason.
    """
    onnx = onnx_package()
    if isinstance(source, str | os.PathLike | bytes):
        source = _loaded(onnx, source)
    opsets = None
    if isinstance(source, onnx.ModelProto):
        opsets = {opset.domain: opset.version for opset in source.opset_import}
        net = _own(onnx, source)
        if net is not None:
            return net
        source = source.graph
    if isinstance(source, onnx.NodeProto):
        inputs = [onnx.ValueInfoProto(name=name) for name in source.input if name]
        outputs = [onnx.ValueInfoProto(name=name) for name in source.output if name]
        source = onnx.helper.make_graph([source], "node", inputs, outputs)
    if not isinstance(source, onnx.GraphProto):
        raise TypeError(f"source: expected an ONNX model, graph or node, or a path, got {type(source).__name__}")
    return Network(Reader(onnx, source, dict(weights or {}), opsets).layers)


def _loaded(onnx: Any, source: Any) -> Any:
    from google.protobuf.message import DecodeError  # which onnx depends on

    try:
        return onnx.load_model_from_string(source) if isinstance(source, bytes) else onnx.load(os.fspath(source))
    except DecodeError as error:
        raise ValueError(f"source: expected an ONNX model, got something else ({error})") from None


# --- what to_onnx wrote ---


def _own(onnx: Any, proto: Any) -> Network | None:
    """The network that the model was written from; None where it was not, or was changed since."""
    marks = [entry.value for entry in proto.metadata_props if entry.key == MARK]
    if not marks:
        return None
    try:
        mark = json.loads(marks[0])
        found = {tensor.name: onnx.numpy_helper.to_array(tensor) for tensor in proto.graph.initializer}
        model = json.loads(mark.pop("model"))
        arrays, dtype = _unstacked(found, model["layers"])
        layers, settings, standardisation = persistence.unpacked({"model": np.array(json.dumps(model)), **arrays})
        net = Network(layers, **settings)
        if standardisation:
            net.mean, net.scale = standardisation["mean"], standardisation["scale"]
        again = to_onnx(net, dtype=dtype, **mark)
    except (KeyError, TypeError, ValueError):
        return None
    same = again.graph.SerializeToString(deterministic=True) == proto.graph.SerializeToString(deterministic=True)
    return net if same else None


def _unstacked(found: Arrays, layers: list[dict[str, Any]]) -> tuple[Arrays, np.dtype]:
    """The parameters by the names that a model file gives them, and their dtype, which the layers now have too."""
    arrays = {name: found[name] for name in ("mean", "scale") if name in found}
    dtype = next(value.dtype for name, value in found.items() if name.rpartition(".")[2] in ("W", "E"))
    for i, layer in enumerate(layers):
        part = layer.get("layer", layer)
        if "dtype" in part:
            part["dtype"] = dtype.name
        if part["class"] == "GRU":
            W, R, B = (found[f"{i}.{name}"] for name in "WRB")
            for d, prefix in enumerate(PREFIXES if part is not layer else ("",)):
                p = ONNX.ours(W[d], R[d], *np.split(B[d], 2), part["variant"] == "reset_after")
                arrays |= {f"{i}.{prefix}{name}": value for name, value in p.items()}
        elif part["class"] == "Dense":
            arrays |= {f"{i}.W": found[f"{i}.W"], f"{i}.b": found[f"{i}.b"][None]}
        elif part["class"] == "Embedding":
            arrays[f"{i}.E"] = found[f"{i}.E"]
    return arrays, dtype


# --- what others wrote ---


@dataclass(frozen=True)
class States:
    """All states of a layer, or the input: what its axes are, "m", "s", "d" and "u"."""

    axes: tuple[str, ...]
    layer: int  # -1: the input


class Reader:
    """Goes through a graph in its order, and makes a layer of each GRU node."""

    def __init__(self, onnx: Any, graph: Any, arrays: dict[str, Any], opsets: dict[str, int] | None) -> None:
        self.onnx, self.opsets = onnx, opsets
        self.layers: list[Any] = []
        self.arrays: dict[str, Any] = {t.name: onnx.numpy_helper.to_array(t) for t in graph.initializer} | arrays
        given = [value.name for value in graph.input if value.name not in self.arrays]
        self.sizes = {
            value.name: [dim.dim_value or None for dim in value.type.tensor_type.shape.dim]
            for value in (*graph.value_info, *graph.input)
        }
        self.states: dict[str, States] = {}  # what is known of an array, by its name
        self.ends: set[str] = set()  # last states, and what holds nothing else
        self.zeros: set[str] = set()
        self.given = set(given)  # what comes from the graph's inputs alone
        self.made: dict[str, str] = {}  # the node behind anything else
        for node in graph.node:
            self.read(node)
        if not self.layers:
            raise ValueError("source: expected a GRU node, got none")
        for value in graph.output:
            states = self.states.get(value.name)
            if value.name not in self.ends and (states is None or states.layer != len(self.layers) - 1):
                raise ValueError(
                    f"source: expected outputs that are the states of the last GRU node, got {value.name!r}, from "
                    f"{self.made.get(value.name, 'a node below it')}"
                )

    def read(self, node: Any) -> None:
        """Note what a node makes."""
        kind, inputs = node.op_type, [name for name in node.input if name]
        if kind == "GRU":
            self.gru(node)
            return
        if kind == "Constant" or (kind in MOVES and inputs and all(name in self.arrays for name in inputs)):
            evaluator = self.onnx.reference.ReferenceEvaluator(node, opsets=self.opsets)
            values = evaluator.run(None, {name: self.arrays[name] for name in inputs})
            self.arrays |= zip(node.output, values, strict=True)
            return
        data = [name for name in inputs if name not in self.arrays] if kind in MOVES else inputs
        moved = self.moved(node)
        if moved is not None:
            self.states[node.output[0]] = moved
        if kind in MOVES and data and all(map(self.ends.__contains__, data)):
            self.ends |= set(node.output)
        elif self.zero(node):
            self.zeros |= set(node.output)
        elif not self.given.isdisjoint(inputs) and all(name in self.given or name in self.arrays for name in inputs):
            self.given |= set(node.output)
        self.made |= dict.fromkeys(node.output, f"{kind} {node.name!r}")

    def attributes(self, node: Any) -> dict[str, Any]:
        return {a.name: self.onnx.helper.get_attribute_value(a) for a in node.attribute}

    def zero(self, node: Any) -> bool:
        """Whether a node makes zeros, as exporters do for an h0 that nobody gave."""
        if node.op_type == "ConstantOfShape":
            value = self.attributes(node).get("value")
            return value is None or not self.onnx.numpy_helper.to_array(value).any()
        data = list(node.input) if node.op_type == "Concat" else list(node.input[:1])
        return node.op_type in MOVES and bool(data) and all(map(self.is_zero, data))

    def is_zero(self, name: str) -> bool:
        return name in self.zeros or (name in self.arrays and not np.any(self.arrays[name]))

    def moved(self, node: Any) -> States | None:
        """The states that a node turns or squeezes, as they are then; None where it does something else."""
        kind, attributes = node.op_type, self.attributes(node)
        states = self.seen(node.input[0]) if node.input else None
        if states is None:
            return None
        axes = states.axes
        if kind == "Identity" or (kind == "Dropout" and len(node.input) < 3):
            return states
        if kind == "Transpose":
            order = attributes.get("perm", range(len(axes))[::-1])
            return States(tuple(axes[i] for i in order), states.layer) if len(order) == len(axes) else None
        if kind not in ("Squeeze", "Reshape") or states.layer < 0:
            return None
        D = self.directions
        numbers = attributes.get("axes") or (self.arrays.get(node.input[1]) if len(node.input) > 1 else None)
        if numbers is None:
            return None
        numbers = [int(n) for n in np.ravel(numbers)]
        if kind == "Squeeze":
            squeezed = len(numbers) == 1 and D == 1 and axes[numbers[0]] == "d"
            return States(tuple(axis for axis in axes if axis != "d"), states.layer) if squeezed else None
        *kept, last = numbers  # the directions side by side
        beside = axes[-2:] == ("d", "u") and len(numbers) == len(axes) - 1 and last in (-1, D * self.units)
        sizes = self.sizes.get(node.input[0], [None] * len(axes))
        if beside and all(n in (0, -1, size) for n, size in zip(kept, sizes, strict=False)) and numbers.count(-1) < 2:
            return States((*axes[:-2], "u"), states.layer)
        return None

    def seen(self, name: str) -> States | None:
        """What is known of an array; an input of the graph may turn out to be X."""
        return self.states.get(name, States(("0", "1", "e"), -1) if name in self.given else None)

    def gru(self, node: Any) -> None:
        """Make a layer of a node."""
        X, W, R, B, lengths, h0 = (*node.input, *[""] * 6)[:6]
        attributes = self.attributes(node)
        layout, direction = attributes.get("layout", 0), attributes.get("direction", b"forward").decode()

        def refuse(why: str) -> Exception:
            return ValueError(f"source: GRU node {node.name!r} cannot be had here: {why}")

        if direction not in ("forward", "reverse", "bidirectional"):
            raise refuse(f"direction {direction!r} is unknown")
        if "clip" in attributes:
            raise refuse("it has a clip, which no layer here does")
        self.check_input(X, layout, refuse)
        for name, what, zero in ((lengths, "sequence_lens", False), (h0, "initial_h", True)):
            if name and name not in self.given and not (zero and self.is_zero(name)):
                raise refuse(f"{what} is an input of the graph here, or missing, got an array of its own")
        D = 2 if direction == "bidirectional" else 1
        parts = self.weights(W, R, B, D, refuse)
        options = self.options(attributes, D, refuse)
        after = bool(attributes.get("linear_before_reset", 0))
        parameters = [ONNX.ours(*part, after) for part in parts]
        self.layers.append(filled(parameters, sequences=True, reverse=direction == "reverse", **options))
        self.directions, self.units = D, parameters[0]["Vz"].shape[0]
        order = (*self.order, "d", "u") if layout else (self.order[1], "d", self.order[0], "u")
        for name, last in zip(node.output, (False, True), strict=False):
            if name and last:
                self.ends.add(name)
            elif name:
                self.states[name] = States(order, len(self.layers) - 1)

    def check_input(self, X: str, layout: int, refuse: Any) -> None:
        """That X is the output of the layer below, or of the first layer an input of the graph."""
        states = self.seen(X)
        if states is None:
            raise refuse(f"its input {X!r} comes from {self.made.get(X, 'nowhere')}; expected a chain of GRU nodes")
        if states.layer != len(self.layers) - 1:
            raise refuse("its input is not the output of the node below it; expected a chain of GRU nodes")
        if states.layer < 0:
            if states.axes[2] != "e":
                raise refuse(f"the elements of {X!r} are not its last axis")
            self.order = states.axes[:2] if layout else states.axes[1::-1]  # samples, steps
            return
        due = (*self.order, "u") if layout else (*self.order[::-1], "u")
        if states.axes != due:
            raise refuse(f"its input {X!r} does not have the axes that the output of the node below it has")

    def weights(self, W: str, R: str, B: str, D: int, refuse: Any) -> Iterator[tuple[Any, ...]]:
        """W, R and the two biases of each direction, checked."""
        for name in (W, R, B):
            if name and name not in self.arrays:
                raise refuse(f"{name!r} is neither an initializer nor among the weights that were given")
        Ws, Rs = array(self.arrays[W], W), array(self.arrays[R], R)
        u = Rs.shape[-1]
        Bs = array(self.arrays[B], B) if B else np.zeros((D, 6 * u), Ws.dtype)
        e = Ws.shape[-1]
        for name, value, due in ((W, Ws, (D, 3 * u, e)), (R, Rs, (D, 3 * u, u)), (B, Bs, (D, 6 * u))):
            if value.shape != due or value.dtype != Ws.dtype:
                raise refuse(f"expected {name!r} {Ws.dtype} {due}, got {value.dtype} {value.shape}")
        return ((Ws[d], Rs[d], *np.split(Bs[d], 2)) for d in range(D))

    def options(self, attributes: dict[str, Any], D: int, refuse: Any) -> dict[str, Any]:
        """The activations, with their alphas."""
        names = [name.decode() for name in attributes.get("activations", [])] or ["Sigmoid", "Tanh"] * D
        alphas, betas = (list(attributes.get(f"activation_{kind}", [])) for kind in ("alpha", "beta"))
        found = []
        for name in names:
            known = next((own for own in NAMED if own.lower() == name.lower()), None)
            if known is None:
                raise refuse(f"its activations are some of {', '.join(NAMED)} here, got {name}")
            alpha = (alphas.pop(0) if alphas else ALPHAS[known]) if known in ALPHAS else 0.0
            beta = betas.pop(0) if known == "Affine" and betas else 0.0
            if known == "Affine" and (alpha, beta) != (1.0, 0.0):
                raise refuse(f"Affine is the identity here, with alpha 1 and beta 0, got {alpha:g} and {beta:g}")
            if known == "LeakyRelu" and alpha > 1:
                raise refuse(f"LeakyRelu has an alpha of at most 1 here, got {alpha:g}")
            found.append((NAMED[known], float(alpha)))
        if len(found) != 2 * D or found[:2] * D != found:
            raise refuse(f"its directions have the same two activations here, got {names}")
        (gates, first), (activate, second) = found[:2]
        tuned = [(KEYS[f], alpha) for f, alpha in ((gates, first), (activate, second)) if f in KEYS]
        if len(dict(tuned)) < len(set(tuned)):
            raise refuse("its two activations have the same alpha here")
        if (gates, activate) == (sigmoid, tanh):
            return {}
        options = {"activate": activate, "activate_update": gates, "activate_reset": gates}
        return options | {"se_hPars": dict(tuned) or None}
