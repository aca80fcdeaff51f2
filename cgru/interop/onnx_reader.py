"""A foreign ONNX graph, read node by node: a layer for each GRU, and what is known of every array between them.

m samples, s steps, e elements per step, u units, D directions. Nothing is taken on trust: an array counts as X, as an
initial state, as lengths or as an output only where all the nodes behind it are known to keep its numbers (see
`cgru.interop.onnx_values`); anything else is refused with the node that it comes from.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import numpy as np

from cgru.activations import Activation, elu, identity, lrelu, sigmoid, tanh
from cgru.interop.gates import ONNX, array, cells, filled
from cgru.interop.onnx_to import ACTIVATIONS
from cgru.interop.onnx_values import MOVES, Axis, Node, Unproved, Value, alike, joined

__all__ = ["Reader"]

NAMED: dict[str, Activation] = {name: f for f, name in ACTIVATIONS.items()} | {"Affine": identity}
# Of the functions that take one, where none is given: ONNX names none for Affine, ONNX Runtime takes 0.
ALPHAS = {"LeakyRelu": 0.01, "Elu": 1.0, "Affine": 0.0}
KEYS = {lrelu: "LRELU_alpha", elu: "ELU_alpha"}
ATTRIBUTES = {"activations", "activation_alpha", "activation_beta", "clip", "direction", "hidden_size", "layout"}
DIRECTIONS = {"forward": 1, "reverse": 1, "bidirectional": 2}
STANDARD = ("", "ai.onnx")  # domains
FOLDED = {*MOVES, "Constant", "Concat"} - {"Dropout"}  # what is computed where all inputs are constants
CLEAN = {*FOLDED, "Expand", "Tile"}  # what makes zeros of zeros

Refusal = Callable[[str], Exception]


class Reader:
    """Goes through a graph in its order. `layers` are what it comes to; ValueError where they would not be the same.

    `arrays` are the weights that are inputs of the graph, `opsets` the versions by domain, `functions` what the model
    defines itself, by domain and name.
    """

    def __init__(
        self, onnx: Any, graph: Any, arrays: dict[str, Any], opsets: dict[str, int], functions: set[tuple[str, str]]
    ) -> None:
        self.onnx, self.opsets, self.functions = onnx, opsets, functions
        self.layers: list[Any] = []
        self.steps, self.samples = Axis("s"), Axis("m")  # of X, as soon as a GRU says which they are
        self.starts: list[tuple[str, Value | None]] = []  # of each layer, what its node is called and what its h0 is
        self.lengths: list[str] = []  # the input that they are, "" for none, of each layer
        self.arrays: dict[str, np.ndarray] = self.initializers(graph) | arrays
        self.computed: dict[str, str] = {}  # those of them that are made in the graph: where
        self.zeros: set[str] = set()
        self.values: dict[str, Value] = {}
        self.foreign = {tensor.values.name: "a sparse initializer" for tensor in graph.sparse_initializer}
        for given in graph.input:
            if given.name not in self.arrays and given.name not in self.foreign:
                self.values[given.name] = _input(given)
        unknown = arrays.keys() - {given.name for given in graph.input}
        if unknown:
            raise ValueError(f"weights: expected the names of inputs, got {sorted(unknown)[0]!r}, which is none")
        for i, node in enumerate(graph.node):
            self.read(node, f"node {i}, {node.op_type} {node.name!r}")
        if not self.layers:
            kinds = ", ".join(sorted({node.op_type for node in graph.node})) or "none at all"
            raise ValueError(f"source: expected a GRU node of ONNX's own in the graph itself, got {kinds}")
        self.check_starts()
        self.check_roles()
        for value in graph.output:
            self.check_output(value.name)

    def initializers(self, graph: Any) -> dict[str, np.ndarray]:
        """The constants of the graph by name."""
        for tensor in graph.initializer:
            if tensor.data_location == self.onnx.TensorProto.EXTERNAL:
                raise ValueError(
                    f"source: expected initializers with their data, got {tensor.name!r}, whose data are in another "
                    "file: give the path of the model, not what was read from it"
                )
        return {tensor.name: self.onnx.numpy_helper.to_array(tensor) for tensor in graph.initializer}

    # --- what a node makes ---

    def read(self, proto: Any, place: str) -> None:
        """Note what a node makes: constants, zeros, a known value, a layer, or what only its name is known of."""
        for name in proto.output:
            if name and (name in self.arrays or name in self.values or name in self.zeros or name in self.foreign):
                raise ValueError(f"source: expected each array to be made once, got {name!r} from {place} again")
        attributes = {a.name: self.onnx.helper.get_attribute_value(a) for a in proto.attribute}
        own = proto.domain in STANDARD and ("", proto.op_type) not in self.functions
        kind = proto.op_type if own else f"{proto.domain}.{proto.op_type}"
        node = Node(kind, proto.input, proto.output, attributes, self.arrays, self.opsets.get("", 0))
        if kind == "GRU":
            self.gru(node, place)
        elif kind in FOLDED and all(name in self.arrays for name in node.inputs if name):
            self.arrays |= zip(node.outputs, self.folded(proto, place), strict=True)
            self.computed |= dict.fromkeys(node.outputs, place)
        elif self.makes_zeros(node):
            self.zeros |= set(node.outputs)
        else:
            self.move(node, place)

    def folded(self, proto: Any, place: str) -> list[Any]:
        """The constants that a node makes of constants."""
        plain = self.onnx.NodeProto()
        plain.CopyFrom(proto)
        plain.domain = ""
        try:
            evaluator = self.onnx.reference.ReferenceEvaluator(plain, opsets=self.opsets)
            return evaluator.run(None, {name: self.arrays[name] for name in proto.input if name})
        except Exception as error:  # it fails in as many ways as there are nodes
            raise ValueError(f"source: {place} of constants cannot be computed: {error}") from None

    def makes_zeros(self, node: Node) -> bool:
        """Whether a node makes zeros, of whatever shape, as exporters do for an h0 that nobody gave."""
        if node.kind == "ConstantOfShape":
            value = node.attributes.get("value")
            return value is None or not self.onnx.numpy_helper.to_array(value).any()
        data = node.inputs if node.kind == "Concat" else node.inputs[:1]
        return node.kind in CLEAN and len(data) > 0 and all(map(self.is_zero, data))

    def is_zero(self, name: str) -> bool:
        """Whether an array is known to be zeros."""
        return name in self.zeros or (name in self.arrays and not np.any(self.arrays[name]))

    def move(self, node: Node, place: str) -> None:
        """Follow a value through a node that keeps its numbers; what any other makes is foreign from here on."""
        self.foreign |= dict.fromkeys(filter(None, node.outputs), place)
        behind = next((self.foreign[name] for name in node.inputs if name in self.foreign), None)
        try:
            made = self.moved(node)
        except Unproved as why:
            taken = [f", of {self.whence(name)}" for name in node.inputs if name in self.values]
            self.foreign |= dict.fromkeys(filter(None, node.outputs), behind or f"{place} ({why}{''.join(taken)})")
            return
        for name, value in zip(node.outputs, made, strict=False):
            if name:
                del self.foreign[name]
                self.values[name] = replace(value, path=(*value.path, place))

    def moved(self, node: Node) -> list[Value]:
        """The values that a node makes; Unproved where they may be others than those it takes."""
        if node.kind == "Concat":
            return [joined([self.known(name) for name in node.inputs], node.attributes.get("axis", 1))]
        if node.kind not in MOVES:
            raise Unproved("nothing of its kind may stand there")
        return MOVES[node.kind](self.known(node.inputs[0]), node)

    def known(self, name: str) -> Value:
        """The value of that name; Unproved where nothing is known of it."""
        if name not in self.values:
            raise Unproved(f"of its input {name!r} nothing is known")
        return self.values[name]

    def whence(self, name: str) -> str:
        """Where an array comes from, for an error."""
        if name in self.values:
            return self.came(self.values[name])
        if name in self.arrays or name in self.zeros:
            return f"a constant of {self.computed[name]}" if name in self.computed else "a constant"
        return self.foreign.get(name, "nowhere")

    def came(self, value: Value) -> str:
        """The same of a value."""
        what = {"input": f"the input {value.origin!r}", "states": "all states", "ends": "last states"}[value.kind]
        return " by way of ".join([what, *value.path])

    # --- GRU nodes ---

    def gru(self, node: Node, place: str) -> None:
        """Make a layer of a node."""
        X, W, R, B, lengths, h0 = (*node.inputs, *[""] * 6)[:6]

        def refuse(why: str) -> Exception:
            return ValueError(f"source: {place} cannot be had here: {why}")

        attributes = node.attributes
        unknown = attributes.keys() - ATTRIBUTES - ONNX.options(ONNX.variant({})).keys()
        if unknown:
            raise refuse(f"its attribute {sorted(unknown)[0]} is unknown")
        layout, direction = attributes.get("layout", 0), attributes.get("direction", b"forward").decode()
        if direction not in DIRECTIONS or layout not in (0, 1):
            raise refuse(f"direction {direction!r} or layout {layout} is unknown")
        if "clip" in attributes:
            raise refuse("it has a clip, which no layer here does")
        D, variant = DIRECTIONS[direction], ONNX.variant(attributes)
        parts = [ONNX.ours(*part, variant) for part in self.weights(W, R, B, D, refuse)]
        e, u = parts[0]["Uz"].shape
        if attributes.get("hidden_size", u) != u:
            raise refuse(f"its hidden_size is {attributes['hidden_size']}, that of R {u}")
        self.check_input(X, W, layout, e, refuse)
        self.starts.append((place, self.start(h0, layout, D, refuse)))
        self.lengths.append(self.steps_of(lengths, refuse))
        options = self.options(attributes, D, refuse)
        self.layers.append(filled(parts, variant, sequences=True, reverse=direction == "reverse", **options))
        self.note(node, place, layout, Axis("d", D), Axis("u", u))

    def note(self, node: Node, place: str, layout: int, d: Axis, u: Axis) -> None:
        """What is known of the outputs of the newest layer."""
        number, dtype = len(self.layers) - 1, self.onnx.helper.np_dtype_to_tensor_dtype(self.layers[-1].dtype)
        axes = (self.samples, self.steps, d, u) if layout else (self.steps, d, self.samples, u)
        last = (self.samples, d, u) if layout else (d, self.samples, u)
        for name, kind, own in zip(node.outputs, ("states", "ends"), (axes, last), strict=False):
            if name:
                self.values[name] = Value(kind, number, own, dtype, "d", self.parts(number), (place,))
        self.out = u if d.size == 1 else d if u.size == 1 else Axis("d u", d.size * u.size)  # of what goes further up

    def check_input(self, X: str, W: str, layout: int, e: int, refuse: Refusal) -> None:
        """That X is the output of the layer below, or of the first layer an input of the graph."""
        value = self.values.get(X)
        if value is None:
            raise refuse(f"its input {X!r} comes from {self.whence(X)}; expected a chain of GRU nodes")
        number = len(self.layers) - 1
        if number < 0:
            if value.kind != "input" or value.parts is not None or len(value.axes) != 3:
                raise refuse(f"expected {X!r} to be a whole input of the graph, (m, s, e), got {self.whence(X)}")
            self.samples, self.steps, elements = (value.axes[i] for i in ((0, 1, 2) if layout else (1, 0, 2)))
            if elements.size not in (None, e):
                raise refuse(f"{X!r} has {elements.size} elements, {W!r} takes {e}: {self.whence(W)}")
            if e > 1 and elements.name != self.last_axis(str(value.origin)):
                raise refuse(f"expected the elements to be the last axis of {X!r}, got {self.whence(X)}")
            self.input = value.origin
            return
        if value.kind != "states" or value.parts != self.parts(number):
            due = "all the output of the GRU node below it"
            raise refuse(f"its input {X!r} comes from {self.whence(X)}; expected {due}")
        due = (self.samples, self.steps, self.out) if layout else (self.steps, self.samples, self.out)
        if not alike(value.axes, due):
            raise refuse(
                f"its input {X!r}, {self.whence(X)}, does not have the axes of the output of the node below it"
            )

    def last_axis(self, name: str) -> str:
        """The name of the last axis of an input of the graph, as it came in."""
        return self.values[name].axes[-1].name

    def parts(self, number: int) -> tuple[tuple[int, int], ...]:
        """The directions of a layer, as they are among the parts of its states."""
        return tuple((number, d) for d, _ in enumerate(cells(self.layers[number])))

    def start(self, h0: str, layout: int, D: int, refuse: Refusal) -> Value | None:
        """What a node starts from: zeros (None), or an input of the graph or layers of it; else it is refused."""
        if not h0 or self.is_zero(h0):
            return None
        value = self.values.get(h0)
        if value is None or value.kind != "input":
            due = "initial_h to be zeros or an input of the graph, or layers of one"
            raise refuse(f"expected {due}, got {h0!r} from {self.whence(h0)}")
        if len(value.axes) != 3:
            raise refuse(f"expected {h0!r} with 3 axes, got {len(value.axes)} from {self.whence(h0)}")
        at = 1 if layout else 0
        others = [axis.name for i, axis in enumerate(value.axes) if i != at and axis.size != 1]
        names = sorted(axis.name for axis in self.values[str(value.origin)].axes)
        turned = others != sorted(others) or (value.axes[2].size != 1 and value.axes[2].name != names[-1])
        aside = value.parts is not None and value.stack in (*others, names[-1])
        if turned or aside or value.axes[at].size not in (None, D):
            raise refuse(
                f"{h0!r}, {self.whence(h0)}, is not made of its layers as they are: its axes or sizes are others"
            )
        return value

    def steps_of(self, lengths: str, refuse: Refusal) -> str:
        """The input that lengths are; refused for anything else."""
        if not lengths:
            return ""
        value = self.values.get(lengths)
        if value is None or value.kind != "input" or value.parts is not None:
            raise refuse(
                f"expected sequence_lens to be an input of the graph, got {lengths!r} from {self.whence(lengths)}"
            )
        return str(value.origin)

    def weights(self, W: str, R: str, B: str, D: int, refuse: Refusal) -> Iterator[tuple[Any, ...]]:
        """W, R and the two biases of each direction, checked."""
        for name in (W, R, *filter(None, [B])):
            if name not in self.arrays:
                got = f"it comes from {self.whence(name)}"
                raise refuse(f"{name!r} is neither an initializer nor among the weights that were given: {got}")
        Ws, Rs = array(self.arrays[W], W), array(self.arrays[R], R)
        e, u = ((value.shape or (0,))[-1] for value in (Ws, Rs))
        Bs = array(self.arrays[B], B) if B else np.zeros((D, 6 * u), Ws.dtype)
        for name, value, due in ((W, Ws, (D, 3 * u, e)), (R, Rs, (D, 3 * u, u)), (B, Bs, (D, 6 * u))):
            if value.shape != due or value.dtype != Ws.dtype:
                got = f"{value.dtype} {value.shape}, {self.whence(name)}"
                raise refuse(f"expected {name!r} {Ws.dtype} {due}, got {got}")
        return ((Ws[d], Rs[d], *np.split(Bs[d], 2)) for d in range(D))

    def options(self, attributes: Any, D: int, refuse: Refusal) -> dict[str, Any]:
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

    # --- the whole ---

    def check_starts(self) -> None:
        """That the initial states are the layers of one input in their order, or an input for each, or all zeros."""
        if all(value is None for _, value in self.starts):
            return
        name, at = None, 0
        whole = [value.origin for _, value in self.starts if value is not None and value.parts is None]
        if len(whole) == len(self.starts) == len(set(whole)):
            return
        for number, (place, value) in enumerate(self.starts):
            count = len(self.parts(number))
            due = tuple(range(at, at + count))
            if value is None or value.parts != due or name not in (None, value.origin):
                raise ValueError(
                    "source: expected initial_h of all GRU nodes to be the layers of one input in their order, or an "
                    f"input for each, got another at {place}: {'zeros' if value is None else self.came(value)}"
                )
            name, at = value.origin, at + count
            size = next((axis.size for axis in self.values[str(name)].axes if axis.name == value.stack), None)
        if size not in (None, at):
            raise ValueError(
                f"source: expected states of {at} layers and directions, got {size}, in {self.came(self.starts[-1][1])}"
            )

    def check_roles(self) -> None:
        """That no input of the graph is two things at once, and that all nodes have the same lengths."""
        if len(set(self.lengths)) > 1:
            got = ", ".join(
                f"{name or 'none'} at {place}" for name, (place, _) in zip(self.lengths, self.starts, strict=True)
            )
            raise ValueError(
                f"source: expected sequence_lens of all GRU nodes to be one input, or none of any, got {got}"
            )
        roles = {"X": {self.input}, "initial_h": {v.origin for _, v in self.starts if v}, "lengths": set(self.lengths)}
        found = [name for names in roles.values() for name in names if name]
        for name in found:
            if found.count(name) > 1:
                both = " and ".join(role for role, names in roles.items() if name in names)
                raise ValueError(f"source: expected an input for one thing, got {name!r} for {both}")

    def check_output(self, name: str) -> None:
        """That an output is all states of the last layer, or last states of layers one after the other."""
        value, last = self.values.get(name), len(self.layers) - 1
        every = [part for number in range(last + 1) for part in self.parts(number)]
        if value is not None and value.kind != "input":
            parts = list(value.parts)
            at = every.index(parts[0])
            due = every[at : at + len(parts)] if value.kind == "ends" else list(self.parts(last))
            units = ("u",) if value.kind == "ends" else ("u", self.out.name)
            if parts == due and value.axes and (value.axes[-1].size == 1 or value.axes[-1].name in units):
                return
        raise ValueError(
            "source: expected outputs that are the states of the last GRU node, or last states, got "
            f"{name!r}, from {self.whence(name)}"
        )


def _input(given: Any) -> Value:
    """An input of the graph; where nothing is said of its axes there are three, for it is of use nowhere else."""
    tensor = given.type.tensor_type
    sizes = [dim.dim_value if dim.dim_value > 0 else None for dim in tensor.shape.dim]
    sizes = sizes if tensor.HasField("shape") else [None] * 3
    axes = tuple(Axis(str(i), size) for i, size in enumerate(sizes))
    return Value("input", given.name, axes, tensor.elem_type)
