"""An ONNX model as a network: what `to_onnx` wrote exactly as it was, any other as a chain of layers.

Letters: m samples, s steps, e features of a step, u units, D directions. Nothing of a foreign graph is taken on trust.
An array counts as X, as the output of a layer, as an initial state, as lengths or as an output only if all nodes behind
it are layers here (`cgru.interop.onnx_layers`) or are known to keep its numbers (`cgru.interop.onnx_values`). Anything
else is refused with the node that it comes from.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from cgru import layers as plain
from cgru.bidirectional import PREFIXES
from cgru.interop.gates import ONNX, Refusal, array, gru_layer, refusal
from cgru.interop.onnx_export import MARK, onnx_package, to_onnx
from cgru.interop.onnx_layers import gru_options
from cgru.interop.onnx_values import (
    AXES,
    FLOATS,
    LARGEST,
    MOVERS,
    ONE,
    UNKNOWN,
    Axis,
    Node,
    Traced,
    Unproved,
    extent,
)
from cgru.interop.reader import LONGEST, Reader
from cgru.network import Network, files
from cgru.network.network import from_parts
from cgru.variant import named

__all__ = ["from_onnx", "gru_nodes"]

Arrays = dict[str, np.ndarray]
ATTRIBUTES = {"activations", "activation_alpha", "activation_beta", "clip", "direction", "hidden_size", "layout"}
DIRECTIONS = {"forward": 1, "reverse": 1, "bidirectional": 2}
STANDARD = ("", "ai.onnx")  # domains
FOLDED = {*MOVERS, "Constant", "Concat"} - {"Dropout"}  # nodes that are computed if all inputs are constants
MOST_FOLDED = 64  # bytes of constants that nodes work on, for each of the model's
REFUSE = refusal("source")
SIZED = {"Identity", "Cast", "Unsqueeze", "Squeeze", "Reshape", "Gather", "Slice", "Concat", "Mul"}  # nodes of sizes
CLEAN = {*FOLDED, "Expand", "Tile"}  # nodes that make zeros of zeros


def from_onnx(source: Any, weights: Mapping[str, Any] | None = None) -> Network:
    """Convert an ONNX model to a network: the one that `to_onnx` wrote, or the chain of layers that the model is.

    The chain must have a GRU node. Each layer reads the whole output of the one below. These nodes are layers:

    - GRU; MatMul or Gemm with constant weights, and Add. A product, its bias and its function become one `Dense`;
    - Relu, LeakyRelu, Elu, Sigmoid, Tanh, Softmax over the features, Clip;
    - Add, Sub, Mul and Div with one constant or one for each feature;
    - LayerNormalization over the features, and BatchNormalization in inference;
    - Conv over the steps, which becomes `Frames` and a `Dense`;
    - as the first layer a Gather of tokens from a table;
    - ReduceMean and ReduceMax over all steps, which are a `Pool`, as is the last step, taken by Gather or Slice.

    Last states may be read instead of all states. Between layers only nodes that keep all numbers may stand: Identity,
    Dropout in inference, a Cast to the same type. So may the Transpose, Squeeze, Unsqueeze, Reshape and Flatten that
    exporters add, if no axis is cut, also to shapes computed from those of arrays. Any other node is refused by name,
    and so is one that reads the outputs of two layers.

    `predict(X, lengths, h0)` takes X (m, s, e) or tokens (m, s), whatever `layout` and the order of the axes are. It
    returns the graph's output in our order, (m, s, n) or (m, n). If `sequence_lens` is an input of the graph it becomes
    `lengths`; only GRU nodes may then follow the first GRU node. If the nodes' `initial_h` are the layers of one input,
    taken out of it by Slice, Split or Gather, that input becomes `h0`; so do inputs for each layer, stacked. Missing
    biases are zeros. The outputs of the graph must be those of the last layer, or last states. If all are last states,
    `predict` returns those of the top layer, (m, directions x u).

    One GRU of a graph that is no chain: `from_onnx(*gru_nodes(path)[name])`.

    Args:
        source: an `onnx.ModelProto`, its bytes or the path of its file, a `GraphProto` or a `NodeProto`.
        weights: arrays for the W, R and B that are inputs of the graph, by their names there.

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
    opsets, functions = {"": onnx.defs.onnx_opset_version()}, set()
    if isinstance(source, onnx.ModelProto):
        opsets = {"" if opset.domain == "ai.onnx" else opset.domain: opset.version for opset in source.opset_import}
        functions = {("" if own.domain == "ai.onnx" else own.domain, own.name) for own in source.functions}
        net = _restore(onnx, source)
        if net is not None:
            return net
        source = source.graph
    if isinstance(source, onnx.NodeProto):
        inputs = [onnx.ValueInfoProto(name=name) for name in source.input if name]
        outputs = [onnx.ValueInfoProto(name=name) for name in source.output if name]
        source = onnx.helper.make_graph([source], "node", inputs, outputs)
    if not isinstance(source, onnx.GraphProto):
        raise TypeError(f"source: expected an ONNX model, graph or node, or a path, got {type(source).__name__}")
    return Network(OnnxReader(onnx, source, dict(weights or {}), opsets, functions).chain.layers)


def gru_nodes(source: Any) -> dict[str, tuple[Any, Arrays]]:
    """Return the GRU nodes of an ONNX model, so that each can run here: `from_onnx(*gru_nodes(path)[name])`.

    Args:
        source: an `onnx.ModelProto`, its bytes or the path of its file, or a `GraphProto`.

    Returns:
        A dict in the order of the graph, subgraphs after it: the node's name (for a node without a name, or with that
        of another, its first output) -> (the `NodeProto`, those of its inputs that are constants, by name). An initial
        state that is no constant becomes `h0` of `predict`.

    Raises:
        ImportError: the onnx package is not installed.
        TypeError, ValueError: the source is something else.

    Examples:
        >>> net = cgru.Network([cgru.GRU(4), cgru.Dense(2)], seed=0)
        >>> A = net.predict(np.ones((2, 6, 3)))
        >>> nodes = cgru.interop.gru_nodes(cgru.interop.to_onnx(net))
        >>> list(nodes)
        ['GRU_1']
        >>> cgru.interop.from_onnx(*nodes["GRU_1"]).predict(np.ones((2, 6, 3))).shape
        (2, 6, 4)
    """
    onnx = onnx_package()
    source = _load(onnx, source)
    graph = source.graph if isinstance(source, onnx.ModelProto) else source
    if not isinstance(graph, onnx.GraphProto):
        raise TypeError(f"source: expected an ONNX model or graph, or a path, got {type(source).__name__}")
    found: dict[str, tuple[Any, Arrays]] = {}
    _collect_nodes(onnx, graph, {}, found)
    return found


def _collect_nodes(onnx: Any, graph: Any, constants: dict[str, Any], found: dict[str, tuple[Any, Arrays]]) -> None:
    """Add the GRU nodes of a graph and of its subgraphs to `found`; `constants` are tensors of the graphs around it."""
    constants = constants | {tensor.name: tensor for tensor in graph.initializer}
    subgraphs = []
    for node in graph.node:
        for attribute in node.attribute:
            subgraphs += [attribute.g] * attribute.HasField("g") + [*attribute.graphs]
            if node.op_type == "Constant" and attribute.name == "value":
                constants[node.output[0]] = attribute.t
        if node.op_type == "Identity" and node.input[0] in constants:
            constants[node.output[0]] = constants[node.input[0]]
        if node.op_type == "GRU" and node.domain in STANDARD:
            name = node.name if node.name and node.name not in found else next(filter(None, node.output))
            weights = {key: _tensor(onnx, constants[key]) for key in node.input if key in constants}
            found[name] = node, weights
    for subgraph in subgraphs:
        _collect_nodes(onnx, subgraph, constants, found)


def _load(onnx: Any, source: Any) -> Any:
    """Return the ONNX model in bytes or at a path, any other object unchanged; ValueError if it is no model."""
    if not isinstance(source, str | os.PathLike | bytes):
        return source
    from google.protobuf.message import DecodeError  # which onnx depends on

    try:
        return onnx.load_model_from_string(source) if isinstance(source, bytes) else onnx.load(os.fspath(source))
    except (DecodeError, onnx.checker.ValidationError) as error:  # the latter of weights in other files
        raise ValueError(
            f"source: expected an ONNX model with all its weights, got what onnx refuses: {error}"
        ) from None


def _tensor(onnx: Any, tensor: Any) -> np.ndarray:
    """Return a constant of a graph as an array; ValueError if its data are in another file, or are not its own."""
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
    """Return the network that `to_onnx` wrote as this model; None for others and if it was changed since."""
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
    """Return all of a model that its outputs depend on."""
    opsets = sorted((opset.domain, opset.version) for opset in proto.opset_import)
    return proto.graph.SerializeToString(deterministic=True), opsets, len(proto.functions)


def _unstack(found: Arrays, layers: list[dict[str, Any]]) -> tuple[Arrays, np.dtype]:
    """Return the parameters by their names in a model file, and their dtype.

    The dtype is written into the descriptions `layers` too.
    """
    arrays = {name: found[name] for name in ("mean", "scale") if name in found}
    dtype = next((value.dtype for name, value in found.items() if name.endswith((".W", ".E", ".scale"))), None)
    for i, layer in enumerate(layers):
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


class OnnxReader(Reader):
    """A reader of an ONNX graph, node by node, into `chain.layers`; ValueError if these would differ from it.

    `arrays` are weights that are inputs of the graph, `opsets` the versions by domain, `functions` the model's own
    functions by domain and name.
    """

    def __init__(
        self, onnx: Any, graph: Any, arrays: dict[str, Any], opsets: dict[str, int], functions: set[tuple[str, str]]
    ) -> None:
        """Read all nodes of the graph, then check its initial states, inputs and outputs; refuse what is not proved."""
        super().__init__()
        self.onnx, self.opsets, self.functions = onnx, opsets, functions
        self.initial: list[tuple[str, Traced | None]] = []  # node name and h0 of each layer
        self.lengths: list[str] = []  # name of the input with the lengths of each layer, "" for none
        self.arrays: dict[str, np.ndarray] = {tensor.name: _tensor(onnx, tensor) for tensor in graph.initializer}
        self.arrays |= arrays
        given = graph.ByteSize() + sum(np.asarray(array).nbytes for array in arrays.values())
        self.room = (1 << 24) + MOST_FOLDED * given  # bytes of constants that nodes may still work on
        self.computed: dict[str, str] = {}  # array made of constants -> its node
        self.zeros: set[str] = set()
        self.shapes: dict[str, list[Any]] = {}  # sizes by name, each an integer or an extent, as vectors
        self.foreign = {tensor.values.name: "a sparse initializer" for tensor in graph.sparse_initializer}
        for given in graph.input:
            if given.name not in self.arrays and given.name not in self.foreign:
                self.values[given.name] = _input(given)
        unknown = arrays.keys() - {given.name for given in graph.input}
        if unknown:
            raise ValueError(f"weights: expected the names of inputs, got {sorted(unknown)[0]!r}, which is none")
        if not any(node.op_type == "GRU" and self.is_standard(node) for node in graph.node):
            kinds = ", ".join(sorted({node.op_type[:LONGEST] for node in graph.node})) or "none at all"
            raise REFUSE(f"expected a GRU node of ONNX's own in the graph itself, got {kinds}")
        for i, node in enumerate(graph.node):
            self.read_node(node, f"node {i}, {node.op_type[:LONGEST]} {node.name[:LONGEST]!r}")
        self.check_initial_states()
        self.check_roles()
        self.check_outputs([value.name for value in graph.output])

    # --- nodes ---

    def read_node(self, proto: Any, place: str) -> None:
        """Record the outputs of a node: constants, zeros, traced values, or foreign arrays; add its layer."""
        for name in proto.output:
            if name and any(
                name in known for known in (self.arrays, self.values, self.zeros, self.shapes, self.foreign)
            ):
                raise REFUSE(f"expected each array to be made once, got {name!r} from {place} again")
        self.room -= sum(self.arrays[name].nbytes for name in proto.input if name in self.arrays)
        if self.room < 0:  # such as a chain of nodes that each double what they get, or many that share one
            raise REFUSE(f"{place} works on constants of more than {MOST_FOLDED} times the model's bytes in all")
        attributes = {a.name: self.attribute(a, proto.op_type, place) for a in proto.attribute}
        kind = proto.op_type if self.is_standard(proto) else f"{proto.domain}.{proto.op_type}"
        opset = self.opsets.get("", 0)
        node = Node(kind, proto.input, proto.output, attributes, self.arrays, opset, shapes=self.shapes)
        if kind == "GRU":
            self.read_gru(node, place)
        elif kind in FOLDED and all(name in self.arrays for name in node.inputs if name):
            self.arrays |= zip(node.outputs, self.fold_constants(proto, place), strict=True)
            self.computed |= dict.fromkeys(node.outputs, place)
        elif self.makes_zeros(node):
            self.zeros |= set(node.outputs)
        elif (sizes := self.sizes_of(node)) is not None and len(sizes) <= AXES:  # which Concat may double
            self.shapes |= dict.fromkeys(node.outputs, sizes)
        else:
            self.trace(node, place)

    def attribute(self, attribute: Any, kind: str, place: str) -> Any:
        """Return the value of an attribute; refuse one of another type than ONNX's own node of this kind has."""
        defs = self.onnx.defs
        known = defs.get_schema(kind).attributes if defs.has(kind) else {}
        if attribute.name in known and int(known[attribute.name].type) != attribute.type:
            raise REFUSE(f"{place} has another type of its attribute {attribute.name[:LONGEST]} than ONNX's")
        return self.onnx.helper.get_attribute_value(attribute)

    def is_standard(self, proto: Any) -> bool:
        """Return whether a node's kind is ONNX's own, and no function of the model."""
        return proto.domain in STANDARD and ("", proto.op_type) not in self.functions

    def fold_constants(self, proto: Any, place: str) -> list[Any]:
        """Return the outputs of a node whose inputs are all constants."""
        plain = self.onnx.NodeProto()
        plain.CopyFrom(proto)
        plain.domain = ""
        try:
            evaluator = self.onnx.reference.ReferenceEvaluator(plain, opsets=self.opsets)
            return evaluator.run(None, {name: self.arrays[name] for name in proto.input if name})
        except Exception as error:  # each kind of node raises its own
            raise REFUSE(f"{place} of constants cannot be computed: {error}") from None

    def makes_zeros(self, node: Node) -> bool:
        """Return whether a node makes zeros of any shape, as exporters do for an h0 that was not passed."""
        if node.kind == "ConstantOfShape":
            value = node.attributes.get("value")
            return value is None or not self.onnx.numpy_helper.to_array(value).any()
        data = node.inputs if node.kind == "Concat" else node.inputs[:1]
        return node.kind in CLEAN and len(data) > 0 and all(map(self.is_zero, data))

    def sizes_of(self, node: Node) -> list[Any] | None:
        """Return the sizes of traced arrays that a node makes, moves or multiplies, as a vector; None for any other."""
        if node.kind == "Shape" and node.input(0) in self.values:
            sizes = [*map(extent, self.values[node.input(0)].axes)]
            return sizes[slice(node.attributes.get("start", 0), node.attributes.get("end"))]
        names = [*filter(None, node.inputs)]
        if node.kind not in SIZED or not any(name in self.shapes for name in names):
            return None
        if not all(name in self.shapes or name in self.arrays for name in names):
            return None
        given = (self.shapes[name] if name in self.shapes else np.ravel(self.arrays[name]).tolist() for name in names)
        first, *rest = given
        if node.kind == "Gather":
            inside = rest and all(-len(first) <= i < len(first) for i in rest[0])
            return [first[i] for i in rest[0]] if inside else None
        if node.kind == "Slice":
            plain = [*map(len, rest[:2])] == [1, 1] and rest[2:] in ([], [[0]], [[0], [1]])
            return first[rest[0][0] : rest[1][0]] if plain else None
        if node.kind == "Mul":
            made = [one * other for one in first for other in rest[0]] if 1 in (len(first), len(rest[0])) else None
            return made and [UNKNOWN if isinstance(size, int) and abs(size) >= LARGEST else size for size in made]
        return [size for part in (first, *rest) for size in part] if node.kind == "Concat" else first

    def is_zero(self, name: str) -> bool:
        """Return whether an array is known to be zeros."""
        return name in self.zeros or (name in self.arrays and not np.any(self.arrays[name]))

    def trace(self, node: Node, place: str) -> None:
        """Record the outputs of a node that keeps the numbers or is a layer; mark those of any other as foreign."""
        self.foreign |= dict.fromkeys(filter(None, node.outputs), place)
        behind = next((self.foreign[name] for name in node.inputs if name in self.foreign), None)
        try:
            made = self.trace_node(node, place)
            if any(len(value.axes) > AXES for value in made):  # which Unsqueeze may add
                raise Unproved(f"it makes more than {AXES} axes")
        except (Unproved, TypeError) as why:  # TypeError: weights that are no floats
            taken = [f", of {self.origin_of(name)}" for name in node.inputs if name in self.values]
            self.foreign |= dict.fromkeys(filter(None, node.outputs), behind or f"{place} ({why}{''.join(taken)})")
            return
        for name, value in zip(node.outputs, made, strict=False):
            if name:
                del self.foreign[name]
                self.values[name] = replace(value, path=(value.path, place))

    def origin_of(self, name: str) -> str:
        """Return where an array comes from, in words for an error."""
        if name in self.values:
            return self.describe(self.values[name])
        if name in self.arrays or name in self.zeros:
            return f"a constant of {self.computed[name]}" if name in self.computed else "a constant"
        if name in self.shapes:
            return "sizes of an array"
        return self.foreign.get(name, "nowhere")

    # --- GRU nodes ---

    def read_gru(self, node: Node, place: str) -> None:
        """Add the recurrent layer of a GRU node."""
        X, W, R, B, lengths, h0 = (*node.inputs, *[""] * 6)[:6]
        refuse, attributes = refusal(f"source: {place} cannot be had here"), node.attributes
        unknown = attributes.keys() - ATTRIBUTES - ONNX.options(ONNX.variant({})).keys()
        if unknown:
            raise refuse(f"its attribute {sorted(unknown)[0]} is unknown")
        layout, direction = attributes.get("layout", 0), attributes.get("direction", b"forward").decode()
        if direction not in DIRECTIONS or layout not in (0, 1):
            raise refuse(f"direction {direction!r} or layout {layout} is unknown")
        if "clip" in attributes:
            raise refuse("it has a clip, which no layer here does")
        D, variant = DIRECTIONS[direction], ONNX.variant(attributes)
        parts = [ONNX.to_cgru(*part, variant) for part in self.checked_weights(W, R, B, D, refuse)]
        e, u = parts[0]["Uz"].shape
        if attributes.get("hidden_size", u) != u:
            raise refuse(f"its hidden_size is {attributes['hidden_size']}, that of R {u}")
        self.check_input(X, layout, e, f"{W!r} takes {e}: {self.origin_of(W)}", refuse)
        self.initial.append((place, self.initial_state(h0, layout, D, refuse)))
        self.lengths.append(self.lengths_input(lengths, refuse))
        self.recurrent.append(
            gru_layer(
                parts, variant, sequences=True, reverse=direction == "reverse", **gru_options(attributes, D, refuse)
            )
        )
        self.chain.add(self.recurrent[-1], place)
        self.record_outputs(node, place, layout, Axis("d", D), Axis("u", u))

    def record_outputs(self, node: Node, place: str, layout: int, d: Axis, u: Axis) -> None:
        """Record the outputs of the newest GRU node as traced values, with axes d (directions) and u (units)."""
        number, dtype = len(self.recurrent) - 1, FLOATS[self.recurrent[-1].dtype.name]
        axes = (self.samples, self.steps, d, u) if layout else (self.steps, d, self.samples, u)
        last = (self.samples, d, u) if layout else (d, self.samples, u)
        for name, kind, own in zip(node.outputs, ("states", "ends"), (axes, last), strict=False):
            if name:
                self.values[name] = Traced(kind, self.chain.count, own, dtype, "d", self.parts(number), ((), place))
        self.out = u if d.size == 1 else d if u.size == 1 else Axis("d u", d.size * u.size)  # of what goes further up

    def initial_state(self, h0: str, layout: int, D: int, refuse: Refusal) -> Traced | None:
        """Return the input that a GRU node starts from, or layers of it; None for zeros. Refuse anything else."""
        if not h0 or self.is_zero(h0):
            return None
        value = self.values.get(h0)
        if value is None or value.kind != "input":
            due = "initial_h to be zeros or an input of the graph, or layers of one"
            raise refuse(f"expected {due}, got {h0!r} from {self.origin_of(h0)}")
        if len(value.axes) != 3:
            raise refuse(f"expected {h0!r} with 3 axes, got {len(value.axes)} from {self.origin_of(h0)}")
        at = 1 if layout else 0
        others = [axis.name for i, axis in enumerate(value.axes) if i != at and axis.size != 1]
        names = sorted(axis.name for axis in self.values[str(value.origin)].axes)
        turned = others != sorted(others) or (value.axes[2].size != 1 and value.axes[2].name != names[-1])
        aside = value.parts is not None and value.stack in (*others, names[-1])
        if turned or aside or value.axes[at].size not in (None, D):
            raise refuse(
                f"{h0!r}, {self.origin_of(h0)}, is not made of its layers as they are: its axes or sizes are others"
            )
        return value

    def lengths_input(self, lengths: str, refuse: Refusal) -> str:
        """Return the input of the graph that `sequence_lens` is, "" for none; refuse anything else."""
        if not lengths:
            return ""
        value = self.values.get(lengths)
        if value is None or value.kind != "input" or value.parts is not None:
            raise refuse(
                f"expected sequence_lens to be an input of the graph, got {lengths!r} from {self.origin_of(lengths)}"
            )
        return str(value.origin)

    def checked_weights(self, W: str, R: str, B: str, D: int, refuse: Refusal) -> Iterator[tuple[Any, ...]]:
        """Yield (W, R, first bias, second bias) of each of D directions, checked."""
        for name in (W, R, *filter(None, [B])):
            if name not in self.arrays:
                got = f"it comes from {self.origin_of(name)}"
                raise refuse(f"{name!r} is neither an initializer nor among the weights that were given: {got}")
        Ws, Rs = array(self.arrays[W], W), array(self.arrays[R], R)
        e, u = ((value.shape or (0,))[-1] for value in (Ws, Rs))
        Bs = array(self.arrays[B], B) if B else np.zeros((D, 6 * u), Ws.dtype)
        for name, value, due in ((W, Ws, (D, 3 * u, e)), (R, Rs, (D, 3 * u, u)), (B, Bs, (D, 6 * u))):
            if value.shape != due or value.dtype != Ws.dtype:
                got = f"{value.dtype} {value.shape}, {self.origin_of(name)}"
                raise refuse(f"expected {name!r} {Ws.dtype} {due}, got {got}")
        return ((Ws[d], Rs[d], *np.split(Bs[d], 2)) for d in range(D))

    # --- the whole ---

    def check_initial_states(self) -> None:
        """Refuse initial states unless they are the layers of one input in order, an input for each, or zeros."""
        if all(value is None for _, value in self.initial):
            return
        name, at = None, 0
        whole = [value.origin for _, value in self.initial if value is not None and value.parts is None]
        if len(whole) == len(self.initial) == len(set(whole)):
            return
        for number, (place, value) in enumerate(self.initial):
            count = len(self.parts(number))
            due = tuple(range(at, at + count))
            if value is None or value.parts != due or name not in (None, value.origin):
                raise REFUSE(
                    "expected initial_h of all GRU nodes to be the layers of one input in their order, or an "
                    f"input for each, got another at {place}: {'zeros' if value is None else self.describe(value)}"
                )
            name, at = value.origin, at + count
            size = next((axis.size for axis in self.values[str(name)].axes if axis.name == value.stack), None)
        if size not in (None, at):
            raise REFUSE(
                f"expected states of {at} layers and directions, got {size}, in {self.describe(self.initial[-1][1])}"
            )

    def check_roles(self) -> None:
        """Refuse an input of the graph with two roles, and GRU nodes with different lengths."""
        if len(set(self.lengths)) > 1:
            got = ", ".join(
                f"{name or 'none'} at {place}" for name, (place, _) in zip(self.lengths, self.initial, strict=True)
            )
            raise REFUSE(f"expected sequence_lens of all GRU nodes to be one input, or none of any, got {got}")
        above = self.chain.above_recurrent()
        if above is not None and self.lengths[0]:
            raise REFUSE(
                f"expected nothing but GRU nodes above one where sequence_lens is an input, got {above}: at "
                "padded steps it would see zeros, which are no part of a sequence here"
            )
        roles = {"X": {self.input}, "initial_h": {v.origin for _, v in self.initial if v}, "lengths": set(self.lengths)}
        found = [name for names in roles.values() for name in names if name]
        for name in found:
            if found.count(name) > 1:
                both = " and ".join(role for role, names in roles.items() if name in names)
                raise REFUSE(f"expected an input for one thing, got {name!r} for {both}")

    def check_outputs(self, names: list[str]) -> None:
        """Refuse outputs that `predict` cannot return. Where all are last states, the top layer returns its last."""
        for name in names:
            self.check_output(name)
        found = [self.values[name] for name in names]
        if found and all(value.kind == "ends" for value in found):
            own = self.parts(len(self.recurrent) - 1)
            if all((value.origin, value.parts) != (self.chain.count, own) for value in found):
                raise REFUSE(
                    f"expected all states or the last states of {self.chain.top_name} among the outputs, got last "
                    f"states of other layers or directions alone: add an output of {self.chain.top_name}"
                )
            self.chain.keep_last_state("the last states")

    def check_output(self, name: str) -> None:
        """Refuse an output that is neither the newest output nor consecutive last states."""
        value, last = self.values.get(name), len(self.recurrent) - 1
        every = [part for number in range(last + 1) for part in self.parts(number)]
        if value is not None and ONE in value.axes[: -1 if self.out.size == 1 else None]:
            raise REFUSE(f"expected outputs (m, s, n) or (m, n), got {name!r} with an axis of size 1 more: squeeze it")
        if value is not None and value.kind in ("made", "states") and not self.is_newest(value):
            raise REFUSE(
                f"expected outputs of the last layer, {self.chain.top_name}, got {name!r}, from {self.origin_of(name)}"
            )
        if value is not None and value.kind == "made":
            if value.axes and (value.axes[-1].size == 1 or value.axes[-1].name == self.out.name):
                return
        elif value is not None and value.kind != "input":
            parts = list(value.parts)
            at = every.index(parts[0])
            due = every[at : at + len(parts)] if value.kind == "ends" else list(self.parts(last))
            units = ("u", "d u", self.out.name)
            if parts == due and value.axes and (value.axes[-1].size == 1 or value.axes[-1].name in units):
                return
        raise REFUSE(
            "expected outputs that are the states of the last GRU node, or last states, got "
            f"{name!r}, from {self.origin_of(name)}"
        )


def _input(given: Any) -> Traced:
    """Return an input of the graph as a traced value; without a shape it is taken to have three axes."""
    tensor = given.type.tensor_type
    if len(tensor.shape.dim) > AXES:
        raise REFUSE(f"expected inputs of at most {AXES} axes, got {given.name!r} with {len(tensor.shape.dim)}")
    sizes = [dim.dim_value if dim.dim_value > 0 else None for dim in tensor.shape.dim]
    sizes = sizes if tensor.HasField("shape") else [None] * 3
    axes = tuple(Axis(str(i), size) for i, size in enumerate(sizes))
    return Traced("input", given.name, axes, tensor.elem_type)
