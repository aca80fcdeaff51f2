"""Convert an ONNX model to a network: one that `to_onnx` wrote exactly, and any other node by node.

Letters: m samples, s steps, e features of a step, u units, D directions. Nothing of a foreign graph is taken on trust:
its nodes become operations of `cgru.interop.graph_reader`, or are refused.
"""

from __future__ import annotations

import json
import math
import os
from collections.abc import Iterator, Mapping
from dataclasses import replace
from itertools import permutations
from typing import Any

import numpy as np

from cgru import layers as plain
from cgru.activations import CODES, FADING, identity
from cgru.bidirectional import PREFIXES
from cgru.interop.gates import FUNCTIONS, ONNX, Refusal, array, gate_options, gru_layer, refusal
from cgru.interop.graph_reader import BRANCHES, STAGES, OtherFeatures, Reader, TooShort, Unproved, Value, read
from cgru.interop.onnx_export import MARK, onnx_package, to_onnx
from cgru.layers import Activation
from cgru.network import Network, files
from cgru.network.network import from_parts
from cgru.variant import named

__all__ = ["from_onnx"]

Arrays = dict[str, np.ndarray]
ATTRIBUTES = {"activations", "activation_alpha", "activation_beta", "clip", "direction", "hidden_size", "layout"}
DIRECTIONS = {b"forward": 1, b"reverse": 1, b"bidirectional": 2}
STANDARD = ("", "ai.onnx")  # domains
KINDS = {1: "float32", 11: "float64", **dict(zip((2, 3, 4, 5, 6, 7, 12, 13), (
    "uint8", "int8", "uint16", "int16", "int32", "int64", "uint32", "uint64"), strict=True))}  # fmt: skip
NODES = {function.node: function for function in FUNCTIONS if function.own is not identity}
GATES = {function.node: function for function in FUNCTIONS if CODES.get(function.own, FADING) < FADING}
GATES["Affine"] = GATES.pop("Identity")
GROWING = ("ConstantOfShape", "Expand", "Tile")  # their last input says how large their output is
COMPUTED = ("Constant", "Add", "Sub", "Mul", "Div")  # of constants alone
LATEST = 13  # version in which these attributes are inputs
LATE = {"Squeeze": ("axes",), "Unsqueeze": ("axes",), "Reshape": ("shape",), "Split": ("split",),
        "Slice": ("starts", "ends", "axes")}  # fmt: skip
ENDLESS = 2**31 - 1  # from here on the end of a slice means: to the end of the axis
MOST_FOLDED = 64  # bytes of constants that nodes work on, for each of the model's
MOST_AXES = 64
MOST_BYTES = 1 << 28  # of an array that a node makes
SHOWN = 1000  # letters of the nodes that an array passed, in an error
LONGEST = 100  # letters of a name in errors, which are made for many nodes
REFUSE = refusal("source")


def from_onnx(source: Any) -> Network:
    """Convert an ONNX model to a network: a model that `to_onnx` wrote, or any model with supported nodes.

    The graph must have a GRU node. These nodes are layers:

    - GRU; MatMul or Gemm with constant weights, and Add. A product, its bias and its function become one `Dense`;
    - Relu, LeakyRelu, Elu, Sigmoid, Tanh, Softplus, Clip, Softmax and LogSoftmax over the features; Gelu and Swish,
      which PyTorch exports with `opset_version=20`, and as x Sigmoid(x);
    - Add, Sub, Mul and Div with one constant or one for each feature;
    - Add, Sub and Mul of two arrays at the same steps, and Concat of their features, which are `Add`, `Multiply` and
      `Concatenate`; for some features of an array, taken by Slice, Split or Gather, a `Select` stands;
    - LayerNormalization over the features, and BatchNormalization in inference;
    - Conv over the steps, which becomes `Frames` and a `Dense`;
    - as the first layer a Gather of tokens from a table;
    - ReduceMean, ReduceMax and ReduceSum over all steps, GlobalAveragePool and GlobalMaxPool, which are a `Pool`, as is
      the last step, taken by Gather or Slice;
    - all steps side by side, if a product fixes how many there are: `Frames` and `Pool("last")`;
    - attention: the sum over the steps, by ReduceSum, MatMul or Einsum, of states times a Softmax over the steps.

    Last states may be read instead of all states. Between layers only nodes that keep all numbers may stand: Identity,
    Dropout in inference, a Cast to the same type. So may the Transpose, Squeeze, Unsqueeze, Reshape and Flatten that
    exporters add, if they cut neither samples nor steps, also to shapes computed from those of arrays. The error names
    any other node that the outputs need.

    `predict(X, lengths, h0)` takes X (m, s, e) or tokens (m, s), whatever `layout` and the order of the axes are. It
    returns the graph's output in our order, (m, s, n) or (m, n), whatever it is there. If `sequence_lens` is an input
    of the graph it becomes `lengths`; an output of all steps must then be states of GRU nodes, as sums or side by side.
    If the nodes' `initial_h` are the layers of one input, taken out of it by Slice, Split or Gather, that input becomes
    `h0`; so do inputs for each layer, stacked. Missing biases are zeros. The graph must have one output, and last
    states at most beside it. If all are last states, `predict` returns those of the top layer, (m, directions x u).

    A part of a larger graph: cut it out by `onnx.utils.extract_model`.

    Args:
        source: an `onnx.ModelProto`, its bytes or the path of its file, or a `GraphProto`.

    Returns:
        A `cgru.Network` with the same numbers.

    Raises:
        ImportError: the onnx package is not installed.
        TypeError, ValueError: the source is something else, or a part of it has no counterpart here, with the reason.

    Examples:
        >>> net = cgru.Network([cgru.GRU(4), cgru.Dense(2)], seed=0)
        >>> A = net.predict(np.ones((2, 6, 3)))
        >>> again = cgru.interop.from_onnx(cgru.interop.to_onnx(net, dtype=np.float64))
        >>> np.array_equal(again.predict(np.ones((2, 6, 3))), A)
        True
    """
    onnx = onnx_package()
    source = _load(onnx, source)
    net = _restore(onnx, source) if isinstance(source, onnx.ModelProto) else None
    if net is not None:
        return net
    dialect = Dialect(onnx, source)
    source = source.graph if isinstance(source, onnx.ModelProto) else source
    if not isinstance(source, onnx.GraphProto):
        raise TypeError(f"source: expected an ONNX model or graph, or a path, got {type(source).__name__}")
    graph = Source(dialect, source)
    return Network(read(lambda *sizes: OnnxReader(graph, *sizes), graph.orders(), graph.sizes))


def _load(onnx: Any, source: Any) -> Any:
    """Return the ONNX model that is given as bytes or a path; other objects are returned unchanged."""
    if not isinstance(source, str | os.PathLike | bytes):
        return source
    from google.protobuf.message import DecodeError  # which onnx depends on

    try:
        return onnx.load_model_from_string(source) if isinstance(source, bytes) else onnx.load(os.fspath(source))
    except (DecodeError, onnx.checker.ValidationError) as error:  # the latter of weights in other files
        raise ValueError(
            f"source: expected an ONNX model with all its weights, got one that onnx rejects: {error}"
        ) from None


def _tensor(onnx: Any, tensor: Any) -> np.ndarray:
    """Return a constant of a graph as an array; ValueError if its data are stored in another file."""
    if tensor.data_location == onnx.TensorProto.EXTERNAL:
        raise REFUSE(
            f"expected initializers with their data, got {tensor.name!r}, whose data are in another "
            "file: give the path of the model, not what was read from it"
        )
    try:
        return onnx.numpy_helper.to_array(tensor)
    except Exception as error:  # ValueError and more, by what of the tensor is damaged
        raise REFUSE(f"the numbers of {tensor.name[:LONGEST]!r} cannot be read: {error}") from None


# --- models that to_onnx wrote ---


def _restore(onnx: Any, proto: Any) -> Network | None:
    """Return the network from which `to_onnx` made this model; None for other or changed models."""
    marks = [entry.value for entry in proto.metadata_props if entry.key == MARK]
    try:
        mark = json.loads(marks[0])
        found = {tensor.name: onnx.numpy_helper.to_array(tensor) for tensor in proto.graph.initializer}
        model = json.loads(mark.pop("model"))
        arrays, dtype = _unstack(found, model["layers"])
        layers, settings, standardisation = files.unpack({"model": np.array(json.dumps(model)), **arrays})
        net = from_parts(layers, settings, standardisation)
        again = to_onnx(net, dtype=dtype, **mark)
    except (AttributeError, IndexError, KeyError, OverflowError, RuntimeError, TypeError, ValueError):
        return None
    return net if _fingerprint(again) == _fingerprint(proto) else None


def _fingerprint(proto: Any) -> tuple[Any, ...]:
    """Return everything of a model on which its outputs depend, to compare models."""
    opsets = sorted((opset.domain, opset.version) for opset in proto.opset_import)
    return proto.graph.SerializeToString(deterministic=True), opsets, len(proto.functions)


def _keyed(layers: list[dict[str, Any]], at: str = "") -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield (key, description) of each layer; in place of a layer with branches, those in its branches."""
    for i, layer in enumerate(layers):
        for b, branch in enumerate(layer.get("branches", ())):
            yield from _keyed(branch, f"{at}{i}.{b}.")
        if "branches" not in layer:
            yield f"{at}{i}", layer


def _unstack(found: Arrays, layers: list[dict[str, Any]]) -> tuple[Arrays, np.dtype]:
    """Return the parameters by their names in a model file, and their dtype.

    The dtype is written into the descriptions `layers` too.
    """
    arrays = {name: found[name] for name in ("mean", "scale") if name in found}
    dtype = next((value.dtype for name, value in found.items() if name.endswith((".W", ".E", ".scale"))), None)
    for i, layer in _keyed(layers):
        part = layer.get("layer", layer)
        if "dtype" in part:
            part["dtype"] = dtype.name
        if part["class"] != "GRU":
            names = getattr(plain, part["class"]).parameter_names
            keys = (f"{i}.{name}" for name in names)
            arrays |= {key: np.atleast_2d(found[key]) for key in keys if key in found}
            continue
        W, R, B = (found[f"{i}.{name}"] for name in "WRB")
        for d, prefix in enumerate(PREFIXES if part is not layer else ("",)):
            p = ONNX.to_cgru(W[d], R[d], *np.split(B[d], 2), named(part["variant"]))
            if part.get("learn_h0"):
                p["h0"] = found[f"{i}.h0"].reshape(len(W), 1, -1)[d]
            arrays |= {f"{i}.{prefix}{name}": value for name, value in p.items()}
    return arrays, dtype


# --- foreign models ---


class Dialect:
    """The operator version and the custom functions of an ONNX model, which define what its nodes mean."""

    def __init__(self, onnx: Any, source: Any) -> None:
        """Read the version and functions of a model; for a graph assume ONNX's newest version."""
        self.onnx, self.opset, self.functions = onnx, onnx.defs.onnx_opset_version(), set()
        if isinstance(source, onnx.ModelProto):
            self.opset = next((each.version for each in source.opset_import if each.domain in STANDARD), 0)
            self.functions = {own.name for own in source.functions if own.domain in STANDARD}

    def is_standard(self, proto: Any) -> bool:
        """Return whether a node is a standard ONNX operator, not a function of the model."""
        return proto.domain in STANDARD and proto.op_type not in self.functions


class Source:
    """An ONNX graph that is read: its constants, and the roles of its inputs.

    `roles` are "h0" of those that GRU nodes start from, whose layers times directions are `parts`, and units `units`,
    and "lengths" of those that they get as `sequence_lens`.
    """

    def __init__(self, dialect: Dialect, graph: Any) -> None:
        """Check all GRU nodes."""
        self.dialect, self.graph = dialect, graph
        if not any(node.op_type == "GRU" and dialect.is_standard(node) for node in graph.node):
            kinds = ", ".join(sorted({node.op_type[:LONGEST] for node in graph.node})) or "none at all"
            raise REFUSE(f"expected a standard GRU node in the main graph, got {kinds}")
        self.arrays = {tensor.name: _tensor(dialect.onnx, tensor) for tensor in graph.initializer}
        self.used: set[str] = set()  # arrays that are more than returned
        for node in reversed(graph.node):
            if node.op_type not in ("Cast", "Identity") or not self.used.isdisjoint(node.output):
                self.used |= {*node.input}
        self.room = (1 << 24) + MOST_FOLDED * graph.ByteSize()  # bytes of constants that nodes may work on
        self.foreign = {tensor.values.name: "a sparse initializer" for tensor in graph.sparse_initializer}
        self.inputs = [each for each in graph.input if each.name not in (*self.arrays, *self.foreign)]
        makers = {name: node for node in graph.node for name in node.output if name}
        names = [name for node in graph.node for name in node.output if name] + [each.name for each in self.inputs]
        twice = next((name for name in names if name in self.arrays or name in self.foreign), None)
        if twice is not None or len({*names}) < len(names):
            raise REFUSE(f"expected each array to be computed once, got {twice or 'one'} again")
        self.roles: dict[str, str] = {}
        self.units: dict[str, int] = {}
        self.parts: dict[str, int] = {}
        self.layout = False  # whether samples are the first axis of initial states
        for node in graph.node:
            if node.op_type != "GRU":
                continue
            self.layout |= any(a.name == "layout" and a.i for a in node.attribute)
            R = self.arrays.get(node.input[2]) if len(node.input) > 2 else None
            for place, role in ((4, "lengths"), (5, "h0")):
                name = self.root(node.input[place], makers) if len(node.input) > place else ""
                if any(each.name == name for each in self.inputs):
                    self.roles[name] = role
                    if role == "h0" and R is not None and R.ndim == 3:
                        self.parts[name] = self.parts.get(name, 0) + len(R)
                        self.units[name] = R.shape[2]

    def root(self, name: str, makers: Mapping[str, Any]) -> str:
        """Return the array at the start of a path of nodes to an array, following each node's first input."""
        for _ in makers:
            if name not in makers or not makers[name].input:
                break
            name = makers[name].input[0]
        return name

    def shape(self, given: Any) -> list[int]:
        """Return the axis sizes of an input, 0 for an unknown size; three axes (lengths: one) if it has no shape."""
        tensor = given.type.tensor_type
        if len(tensor.shape.dim) > MOST_AXES:
            got = f"{given.name[:LONGEST]!r} with {len(tensor.shape.dim)}"
            raise REFUSE(f"expected inputs of at most {MOST_AXES} axes, got {got}")
        if not tensor.HasField("shape"):
            return [0] * (1 if self.roles.get(given.name) == "lengths" else 3)
        return [max(0, dim.dim_value) for dim in tensor.shape.dim]

    def known_sizes(self, letters: str) -> dict[str, int]:
        """Return the sizes of X that the graph states, by letter, if the axes of X are `letters`."""
        X = next((each for each in self.inputs if self.is_X(each, letters)), None)
        sizes = {} if X is None else dict(zip(letters, self.shape(X), strict=True))
        return {letter: size for letter, size in ({"e": 0 if "e" in letters else 1} | sizes).items() if size}

    def is_X(self, given: Any, letters: str) -> bool:
        """Return whether an input can be X with the axes `letters`."""
        return given.name not in self.roles and len(self.shape(given)) == len(letters)

    def sizes(self, letters: str, m: int, s: int) -> tuple[int, int]:
        """Return the samples and steps of a trial run: those that the graph states, else m and s."""
        known = self.known_sizes(letters)
        return known.get("m", m if "m" in letters else 1), known.get("s", s)

    def orders(self) -> list[str]:
        """Return the possible axis orders of X, as strings of letters."""
        ranks = {len(self.shape(each)) for each in self.inputs if each.name not in self.roles}
        letters = [*map("".join, permutations("mse"))] if 3 in ranks or 2 not in ranks else []
        return letters + ["ms", "sm", "se", "es"] * (2 in ranks)


class Node:
    """One node of an ONNX graph, with all constants known so far."""

    def __init__(self, dialect: Dialect, arrays: Arrays, proto: Any, place: str) -> None:
        """Store the node's kind, inputs, outputs and attributes; raise an error for an attribute of the wrong type."""
        self.onnx, self.arrays, self.opset = dialect.onnx, arrays, dialect.opset
        self.kind = proto.op_type if dialect.is_standard(proto) else f"{proto.domain}.{proto.op_type}"
        self.inputs, self.outputs = [*proto.input], [*proto.output]
        defs = self.onnx.defs
        known = defs.get_schema(proto.op_type).attributes if defs.has(proto.op_type) else {}
        for attribute in proto.attribute:
            if attribute.name in known and int(known[attribute.name].type) != attribute.type:
                name = attribute.name[:LONGEST]
                raise REFUSE(f"{place} has an attribute {name} of the wrong type")
        self.attributes = {each.name: self.onnx.helper.get_attribute_value(each) for each in proto.attribute}
        self.proto = type(proto)()
        self.proto.CopyFrom(proto)
        self.proto.domain = ""

    def run(self, arrays: Mapping[str, Any]) -> list[Any]:
        """Compute the node's outputs from these arrays, by ONNX's reference implementation."""
        proto, opset, given = self.proto, self.opset, {name: arrays[name] for name in self.inputs if name}
        late = [self.attributes[key] for key in LATE.get(self.kind, ()) if key in self.attributes]
        if late:  # old versions, which the reference does not compute, or wrongly
            opset, given = (
                LATEST,
                {"A": given[self.inputs[0]], **{f"{i}": np.array(each) for i, each in enumerate(late)}},
            )
            others = {key: value for key, value in self.attributes.items() if key not in LATE[self.kind]}
            proto = self.onnx.helper.make_node(self.kind, list(given), self.outputs, **others)
        return self.onnx.reference.ReferenceEvaluator(proto, opsets={"": max(1, opset)}).run(None, given)

    def input(self, place: int) -> str:
        """Return the name of input number `place`; "" if it is left out."""
        return self.inputs[place] if place < len(self.inputs) else ""

    def constant(self, place: int, optional: bool = False) -> Any:
        """Return a constant input; None if it is left out and `optional`, else Unproved if it is not constant."""
        name = self.input(place)
        if name not in self.arrays and (name or not optional):
            raise Unproved(f"its input {name[:LONGEST]!r} is not constant")
        return self.arrays[name] if name else None

    def numbers(self, key: str, place: int) -> Any:
        """Return the numbers (k,) of attribute `key`, or of input `place` as in later versions; None for neither."""
        value = self.attributes.get(key)
        value = self.constant(place, True) if value is None else value
        return None if value is None else np.ravel(value)

    def number(self, key: str, place: int) -> float | None:
        """Return the number that is attribute `key` or input `place`; None for neither."""
        value = self.numbers(key, place)
        if value is not None and len(value) != 1:
            raise Unproved(f"its {key} is not a single number")
        return None if value is None else float(value[0])

    def axis(self, key: str, place: int) -> int:
        """Return the single axis given by attribute `key` or input `place`."""
        axes = self.numbers(key, place)
        if axes is None or len(axes) != 1:
            raise Unproved("it is not over a single axis")
        return int(axes[0])


class OnnxReader(Reader):
    """A reader of an ONNX graph for m samples and s steps, unless the graph states its own sizes."""

    def __init__(self, source: Source, letters: str, m: int, s: int, e: int) -> None:
        """Set up the inputs: X with its axes in the order `letters`, initial states and lengths."""
        super().__init__(m, s, source.known_sizes(letters).get("e", e))
        self.source, self.arrays, self.room = source, dict(source.arrays), source.room
        self.values: dict[str, Value] = {}
        self.foreign = dict(source.foreign)  # arrays of which nothing is known, and why
        self.initial: list[tuple[str, Value | None]] = []  # node, and initial states (D, m, u), None for zeros
        self.sizes: dict[str, int] = {}  # numbers of initial states
        self.sequence_lens: list[Any] = []  # the input with the lengths of each layer, None for none
        self.letters, self.single = letters, "m" not in letters
        sizes = {"m": m, "s": s, "e": self.stages[0].n}
        for given in source.inputs:
            name, shape, place = given.name, source.shape(given), f"the input {given.name[:LONGEST]!r}"
            kind = KINDS.get(given.type.tensor_type.elem_type, "other")
            role = source.roles.get(name)
            if role and len(shape) == (1 if role == "lengths" else 3):
                own = {"m": m, "d": source.parts.get(name, 1), "u": source.units.get(name, 1)}
                places = "m" if role == "lengths" else "mdu" if source.layout else "dmu"
                shape = [size or own[letter] for letter, size in zip(places, shape, strict=False)]
                self.values[name] = Value(name, np.arange(math.prod(shape)).reshape(shape), kind, place)
                self.sizes[name] = math.prod(shape)
            elif (
                source.is_X(given, letters)
                and not ("int" in kind and "e" in letters)
                and all(n in (0, sizes[x]) for n, x in zip(shape, letters, strict=True))
            ):
                self.values[name] = Value(name, self.input_labels(letters), kind, place)
                self.inputs.add(name)
            else:
                self.foreign[name] = f"the input {name[:LONGEST]!r}, whose axes are not samples, steps and features"

    def run(self) -> None:
        """Read all nodes, then check initial states and outputs; Unproved or ValueError for unsupported nodes."""
        for i, node in enumerate(self.source.graph.node):
            self.place, self.progress = f"node {i}, {node.op_type[:LONGEST]} {node.name[:LONGEST]!r}", i
            self.read_node(node)
        known = self.source.known_sizes(self.letters)
        unsaid = "e" in self.letters and "e" not in known
        if unsaid and (self.stages[0].n in known.values() or (self.stages[0].n == 1 and self.letters[2:] != "e")):
            raise Unproved("it is unknown which axis of X has the features: set its size")
        self.check_initial_states()
        self.check_outputs([value.name for value in self.source.graph.output])

    def read_node(self, proto: Any) -> None:
        """Store the outputs of a node: constants, values, or for an unsupported node the reason."""
        self.room -= sum(self.arrays[name].nbytes for name in proto.input if name in self.arrays)
        if self.room < 0:  # such as a chain of nodes that each double what they get, or many that share one
            raise REFUSE(f"{self.place} works on constants of more than {MOST_FOLDED} times the model's bytes in total")
        node = Node(self.source.dialect, self.arrays, proto, self.place)
        try:
            made = self.read_gru(node) if node.kind == "GRU" else self.compute(node)
        except (OtherFeatures, TooShort):
            raise
        except (Unproved, TypeError) as why:  # TypeError: weights that are no floats
            if node.kind == "GRU" and isinstance(why, TypeError):
                raise
            of = "".join(f", of {self.origin_of(name)}" for name in node.inputs if name in self.values)
            if node.kind == "GRU":
                raise Unproved(f"{why}{of}") from None
            own = f"{self.place} ({why}{of})"
            behind = next((self.foreign[name] for name in node.inputs if name in self.foreign), own)
            self.foreign |= dict.fromkeys(filter(None, node.outputs), behind)
            return
        for name, value in zip(node.outputs, made, strict=False):
            if isinstance(value, Value):
                self.values[name] = replace(
                    value, place=" by way of ".join(filter(None, (value.place, self.place)))[-SHOWN:]
                )
            else:
                self.arrays[name] = value

    def compute(self, node: Node) -> list[Any]:
        """Return the outputs of a node, adding a layer if it is one; Unproved if the node is not supported."""
        for name in filter(None, node.inputs):
            if name not in self.arrays and name not in self.values:
                raise Unproved(f"its input {name[:LONGEST]!r} is unknown")
        known = [name for name in node.inputs if name in self.values]
        if node.kind == "Shape" and known:
            sizes = np.array(self.values[known[0]].labels.shape)
            return [sizes[slice(node.attributes.get("start", 0), node.attributes.get("end"))]]
        if node.kind == "Gather" and known == node.inputs[1:]:
            if node.attributes.get("axis", 0) != 0:
                raise Unproved("it does not look up rows of a table")
            return [self.embedding(self.values[known[0]], self.arrays[node.inputs[0]], node.inputs[0])]
        if node.kind in MOVERS and not known:
            return computed(node, self.arrays)
        if node.kind in MOVERS and node.kind not in (*COMPUTED, *GROWING) and known[0] == node.inputs[0]:
            return self.move(node, known)
        if node.kind not in READERS or not known:
            cure = "; export a GELU with opset_version=20" if node.kind == "Erf" else ""
            raise Unproved(f"this kind of node is not supported{cure}")
        for name, due in REQUIRED.get(node.kind, {}).items():
            if node.attributes.get(name, due) != due:
                raise Unproved(f"expected {name} {due}, got {node.attributes[name]}")
        return [READERS[node.kind](self, node, *(self.values[name] for name in known))]

    # --- nodes that move numbers ---

    def move(self, node: Node, known: list[str]) -> list[Any]:
        """Return the outputs of a node that only moves elements, by running it on the element indices."""
        values = [self.values[name] for name in known]
        first = values[0]
        if len({value.of for value in values}) > 1:
            values = [self.placed(value) for value in values]
            first = values[0]
        if len({value.dtype for value in values}) > 1 or (len(known) > 1 and node.kind != "Concat"):
            raise Unproved(BRANCHES)
        if node.kind == "Concat" and len(known) < len(node.inputs):
            raise Unproved("it joins an array with constants")
        if node.kind == "Cast":
            to = KINDS.get(node.attributes.get("to"))
            if to != first.dtype and not ("int" in first.dtype and to in ("int32", "int64")):
                raise Unproved("it changes the type")
            return [replace(first, dtype=to)]
        if node.kind == "Squeeze" and node.numbers("axes", 1) is None and node.outputs[0] in self.source.used:
            raise Unproved("it does not specify its axes")
        arrays = {**self.arrays, **{name: self.values[name].labels for name in known}}
        return [replace(first, labels=made) for made in computed(node, arrays)]

    # --- GRU nodes ---

    def read_gru(self, node: Node) -> list[Value]:
        """Add the recurrent layer for a GRU node; return the node's outputs."""
        X, W, R, B, lengths, h0 = (*node.inputs, *[""] * 6)[:6]
        attributes = node.attributes
        unknown = attributes.keys() - ATTRIBUTES - ONNX.options(ONNX.variant({})).keys()
        if unknown:
            raise Unproved(f"its attribute {sorted(unknown)[0][:LONGEST]} is unknown")
        layout, direction = attributes.get("layout", 0), attributes.get("direction", b"forward")
        if direction not in DIRECTIONS or layout not in (0, 1):
            raise Unproved(f"direction {direction!r} or layout {layout} is unknown")
        if "clip" in attributes:
            raise Unproved("it has a clip, which is not supported")
        D, variant = DIRECTIONS[direction], ONNX.variant(attributes)
        parts = [ONNX.to_cgru(*part, variant) for part in self.weights(W, R, B, D)]
        e, u = parts[0]["Uz"].shape
        if attributes.get("hidden_size", u) != u:
            raise Unproved(f"its hidden_size is {attributes['hidden_size']}, that of R {u}")
        if X not in self.values:
            raise Unproved(f"its input {X[:LONGEST]!r} comes from {self.origin_of(X)}; expected the output of a layer")
        self.initial.append((self.place, self.initial_state(h0, layout, (D, self.m, u))))
        self.sequence_lens.append(self.lengths_input(lengths))
        options = gru_options(attributes, D, Unproved)
        below, places = self.recurrent_input(self.values[X], bool(layout), e)
        layer = gru_layer(parts, variant, sequences=True, reverse=direction == b"reverse", **options)
        stage = self.add_recurrent(layer, below, places)
        ends = self.last_states(stage)
        states = stage.first + np.arange(self.m * stage.s * stage.n).reshape(self.m, stage.s, D, u)
        found = (states, ends.swapaxes(0, 1)) if layout else (states.transpose(1, 2, 0, 3), ends)
        return [Value(STAGES, labels, layer.dtype.name) for labels in found]

    def origin_of(self, name: str) -> str:
        """Return a phrase for an error that says where an array comes from."""
        if name in self.values:
            return self.values[name].place
        return "a constant" if name in self.arrays else self.foreign.get(name, "nowhere")

    def initial_state(self, h0: str, layout: int, due: tuple[int, ...]) -> Value | None:
        """Return the initial state of a GRU node, (D, m, u), as part of an input of the graph; None for zeros."""
        if not h0 or (h0 in self.arrays and not np.any(self.arrays[h0])):
            return None
        value = self.values.get(h0)
        if value is not None and self.source.roles.get(value.of) == "h0" and value.labels.ndim == 3:
            found = replace(value, labels=value.labels.swapaxes(0, 1)) if layout else value
            if found.labels.shape == due:
                return found
        raise Unproved(
            f"expected initial_h to be zeros or an input of the graph, or layers of one, {due}, got {h0[:LONGEST]!r} "
            f"from {self.origin_of(h0)}"
        )

    def lengths_input(self, lengths: str) -> Any:
        """Return the graph input that a GRU node gets as `sequence_lens`, or None, and store that there is padding."""
        if not lengths:
            return None
        value = self.values.get(lengths)
        known = value is not None and self.source.roles.get(value.of) == "lengths"
        if not known or not np.array_equal(value.labels, range(self.m)):
            due = "sequence_lens to be an input of the graph"
            raise Unproved(f"expected {due}, got {lengths[:LONGEST]!r} from {self.origin_of(lengths)}")
        self.begin_padding()
        return value.of

    def weights(self, W: str, R: str, B: str, D: int) -> Iterator[tuple[Any, ...]]:
        """Check the weights of a GRU node; yield (W, R, first bias, second bias) for each of D directions."""
        for name in (W, R, *filter(None, [B])):
            if name not in self.arrays:
                got = f"it comes from {self.origin_of(name)}"
                raise Unproved(f"{name[:LONGEST]!r} is not an initializer: {got}")
        Ws, Rs = array(self.arrays[W], W), array(self.arrays[R], R)
        e, u = ((value.shape or (0,))[-1] for value in (Ws, Rs))
        Bs = array(self.arrays[B], B) if B else np.zeros((D, 6 * u), Ws.dtype)
        for name, value, due in ((W, Ws, (D, 3 * u, e)), (R, Rs, (D, 3 * u, u)), (B, Bs, (D, 6 * u))):
            if value.shape != due or value.dtype != Ws.dtype or 0 in due:
                raise Unproved(f"expected {name[:LONGEST]!r} {Ws.dtype} {due}, got {value.dtype} {value.shape}")
        return ((Ws[d], Rs[d], *np.split(Bs[d], 2)) for d in range(D))

    # --- the whole ---

    def check_initial_states(self) -> None:
        """Raise an error unless initial states are the layers of one input in order, one input each, or zeros."""
        if len({*self.sequence_lens}) > 1:
            raise Unproved("expected sequence_lens of all GRU nodes to be one input, or none of any")
        known = [value for _, value in self.initial if value is not None]
        if not known:
            return
        names = [value.of for value in known]
        groups = [[value] for value in known] if len({*names}) == len(names) else [known]
        for group in groups:
            whole = np.arange(self.sizes[group[0].of])
            stacked = np.concatenate([value.labels for value in group])
            stacked = stacked.swapaxes(0, 1) if self.source.layout else stacked
            if len(known) < len(self.initial) or not np.array_equal(stacked.ravel(), whole):
                self.place = self.initial[0][0]
                due = "the layers of one input in their order, or an input for each, or zeros of all"
                raise Unproved(f"expected initial_h of all GRU nodes to be {due}")

    def check_outputs(self, names: list[str]) -> None:
        """Raise an error for outputs that `predict` cannot return; if all are last states, choose the top layer's."""
        found = []
        for name in names:
            self.place = f"output {name[:LONGEST]!r}"
            if name not in self.values:
                raise Unproved(f"it comes from {self.origin_of(name)}")
            found.append((self.place, self.values[name]))
        own = {*self.last_states([*self.recurrent][-1]).ravel()} if self.recurrent else {}
        main = [each for each in found if not self.are_last_states(each[1])]
        main = main or [each for each in found if {*each[1].labels.ravel()} == own][:1] or found[:1]
        for place, value in main:
            self.place = f"{place}, from {value.place},"
            self.finish(value, directions=True)
        if len({value.labels.tobytes() for _, value in main}) > 1:
            raise Unproved("expected one output, and with it only last states")
        if any(value is not None for _, value in self.initial):
            self.check_order()


# --- nodes that move numbers ---


def computed(node: Node, arrays: Mapping[str, Any]) -> list[Any]:
    """Compute the outputs of a node that moves elements, by ONNX's reference implementation."""
    given = [arrays[name] for name in node.inputs if name]
    if node.kind in COMPUTED and len({each.dtype for each in given}) > 1:
        raise Unproved("it joins constants of several types")
    sizes = [np.size(each) for each in given]
    if node.kind in GROWING and given:
        sizes.append(math.prod(np.ravel(given[-1]).astype(float)) * sizes[0])
    if node.kind == "Gather" and len(sizes) == 2:
        sizes.append(sizes[0] * sizes[1])
    if not 8 * sum(map(abs, sizes)) < MOST_BYTES:
        raise Unproved("it may make an array that is too large")
    if node.kind == "Dropout" and (
        (node.opset < 7 and not node.attributes.get("is_test")) or (node.input(2) and np.any(node.constant(2)))
    ):
        raise Unproved("it applies dropout")
    try:
        if node.kind == "Slice":
            starts, ends, axes = (node.numbers(key, i + 1) for i, key in enumerate(("starts", "ends", "axes")))
            for start, end, axis in zip(starts, ends, range(len(starts)) if axes is None else axes, strict=True):
                if any(given[0].shape[axis] < abs(int(bound)) < ENDLESS for bound in (start, end)):
                    raise Unproved("its starts or ends are past the end of an axis")  # and would cut a longer one
        return node.run(arrays)
    except Unproved:
        raise
    except Exception as error:  # what the reference raises is not documented
        raise Unproved(f"it cannot be computed: {str(error)[:LONGEST]}") from None


# Kinds of nodes that move numbers, or compute constants.
MOVERS = ("Identity", "Dropout", "Cast", "Transpose", "Squeeze", "Unsqueeze", "Reshape", "Flatten", "Slice", "Split",
          "Gather", "Concat", *GROWING, *COMPUTED)  # fmt: skip


# --- nodes that are layers ---


def _matmul(reader: OnnxReader, node: Node, value: Value, *second: Value) -> Value:
    """Read a MatMul node: a Dense if its right operand is constant, else a sum weighted by attention."""
    if second:
        if value.labels.ndim != 3:
            raise Unproved(BRANCHES)
        return reader.einsum("bij,bjk->bik", value, *second)
    if node.inputs[0] not in reader.values:
        raise Unproved("its weights are the left operand")
    return reader.linear(value, node.constant(1), None)


def _gemm(reader: OnnxReader, node: Node, value: Value) -> Value:
    """Read a Gemm node on rows (m, n) as a Dense."""
    if value.labels.ndim != 2:
        raise Unproved("expected rows (m, n) as its input")
    W = node.constant(1)
    return reader.linear(value, W.T if node.attributes.get("transB") else W, node.constant(2, True))


def _arithmetic(reader: OnnxReader, node: Node, value: Value, *second: Value) -> Value:
    """Read an Add, Sub, Mul or Div node: a Scale for a constant, else a join or attention weights times states."""
    if second:
        return reader.joined(value, *second, node.kind.lower())
    first = node.inputs[0] not in reader.values
    constant = node.constant(1 - first)
    if constant.dtype not in (np.float32, np.float64):
        raise Unproved("expected a constant with one number, or one for each feature")
    return reader.affine(value, node.kind.lower(), constant, first)


def _function(reader: OnnxReader, node: Node, value: Value) -> Value:
    """Read the node of an elementwise activation."""
    function = NODES[node.kind]
    alpha = function.checked_alpha(node.attributes.get("alpha", function.onnx), "its alpha is", Unproved)
    return reader.elementwise(value, Activation(function.own, alpha or None))


def _softmax(reader: OnnxReader, node: Node, value: Value) -> Value:
    """Read a Softmax or LogSoftmax node, which must be over the last axis only."""
    rank = value.labels.ndim
    axis = node.attributes.get("axis", -1 if node.opset >= 13 else 1)
    if not -rank <= axis < rank or (node.opset < 13 and axis not in (-1, rank - 1)):
        raise Unproved("it is not over the features of a step")
    return reader.softmax(value, axis, NODES[node.kind].own)


def _normalization(reader: OnnxReader, node: Node, value: Value) -> Value:
    """Read a LayerNormalization node over the features."""
    if node.attributes.get("axis", -1) not in (-1, value.labels.ndim - 1):
        raise Unproved("it is not over the features of a step")
    return reader.normalization(value, node.constant(1), node.constant(2, True), node.attributes.get("epsilon", 1e-5))


def _batch_norm(reader: OnnxReader, node: Node, value: Value) -> Value:
    """Read a BatchNormalization node in inference."""
    scale, shift, mean, variance = (node.constant(i) for i in range(1, 5))
    return reader.batch_norm(value, mean, variance, node.attributes.get("epsilon", 1e-5), scale, shift)


def _convolution(reader: OnnxReader, node: Node, value: Value) -> Value:
    """Read a Conv node over the steps."""
    W = node.constant(1)
    if W.ndim != 3:
        raise Unproved("expected constant weights of a convolution over one axis")
    hops = [node.attributes.get(name, [1])[0] for name in ("strides", "dilations")]
    pads, auto = node.attributes.get("pads", [0, 0]), node.attributes.get("auto_pad")
    if auto in (b"SAME_UPPER", b"SAME_LOWER") and hops == [1, 1]:
        pads = sorted(((W.shape[2] - 1) // 2, W.shape[2] // 2), reverse=auto == b"SAME_LOWER")
    elif auto not in (None, b"NOTSET"):
        raise Unproved(f"its auto_pad is {auto} with strides and dilations {hops}")
    return reader.convolution(value, W, node.constant(2, True), hops, pads)


def _reduction(reader: OnnxReader, node: Node, value: Value) -> Value:
    """Read a mean, maximum or sum over all steps, or a sum weighted by attention."""
    how = node.kind.removeprefix("Reduce").lower()
    return reader.pool(value, node.axis("axes", 1), bool(node.attributes.get("keepdims", 1)), how)


# By kind of node: what reads it, of those of its inputs that are no constants.
READERS: dict[str, Any] = {
    **dict.fromkeys((kind for kind, function in NODES.items() if function.own in CODES), _function),
    **dict.fromkeys(("Add", "Sub", "Mul", "Div"), _arithmetic),
    **dict.fromkeys(("ReduceMean", "ReduceMax", "ReduceSum"), _reduction),
    "MatMul": _matmul,
    "Gemm": _gemm,
    "Clip": lambda reader, node, value: reader.clip(value, node.number("min", 1), node.number("max", 2)),
    **dict.fromkeys(("Softmax", "LogSoftmax"), _softmax),
    "GlobalAveragePool": lambda reader, node, value: reader.pool(value, 2, True, "mean"),
    "GlobalMaxPool": lambda reader, node, value: reader.pool(value, 2, True, "max"),
    "LayerNormalization": _normalization,
    "BatchNormalization": _batch_norm,
    "Conv": _convolution,
    "Einsum": lambda reader, node, *values: reader.einsum(node.attributes["equation"].decode(), *values),
}
# By kind of node: the only values that these attributes may have here.
REQUIRED: dict[str, dict[str, Any]] = {
    **{kind: {"broadcast": 0, "axis": None} for kind in ("Add", "Sub", "Mul", "Div")},  # of versions before 7
    "Gelu": {"approximate": b"none"},
    "Swish": {"alpha": 1.0},
    "Gemm": {"transA": 0, "alpha": 1.0, "beta": 1.0},
    "BatchNormalization": {"training_mode": 0},
    "Conv": {"group": 1},
}


def gru_options(attributes: Any, D: int, refuse: Refusal) -> dict[str, Any]:
    """Return the `cgru.GRU` arguments for the activations of a GRU node with D directions."""
    names = [name.decode() for name in attributes.get("activations", [])] or ["Sigmoid", "Tanh"] * D
    alphas, betas = (list(attributes.get(f"activation_{kind}", [])) for kind in ("alpha", "beta"))
    found = []
    for name in names:
        known = next((own for own in GATES if own.lower() == name.lower()), None)
        if known is None:
            raise refuse(f"expected activations among {', '.join(GATES)}, got {name}")
        function = GATES[known]
        # ONNX has no default for the alpha of Affine; ONNX Runtime takes 0.
        alpha = alphas.pop(0) if alphas and (function.key or known == "Affine") else function.onnx
        beta = betas.pop(0) if known == "Affine" and betas else 0.0
        if known == "Affine" and (alpha, beta) != (1.0, 0.0):
            raise refuse(f"expected Affine to be the identity, with alpha 1 and beta 0, got {alpha:g} and {beta:g}")
        found.append((function.own, function.checked_alpha(alpha, f"{known} has an alpha of", refuse)))
    if len(found) != 2 * D or found[:2] * D != found:
        raise refuse(f"expected the same two activations in both directions, got {names}")
    return gate_options(found[1], found[0], refuse)
