"""Convert a network to an ONNX graph.

Letters: m samples, s steps, e features of a step, u units, D directions. All arrays between layers are batch-major.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from functools import partial, reduce
from typing import Any

import numpy as np
from numpy.typing import DTypeLike

from cgru.activations import CODES, FADING, identity, log_softmax, ours, parameter, silu, softmax
from cgru.bidirectional import Bidirectional
from cgru.core.checks import flag, float_dtype
from cgru.gru import GRU
from cgru.interop import gates
from cgru.interop.gates import FUNCTION_OF, ONNX, Function
from cgru.layers import Activation, Dense
from cgru.layers.layer import class_attribute
from cgru.network import Network, chain, files

__all__ = ["MARK", "onnx_package", "to_onnx"]

OPSET, IR = 20, 9  # supported by ONNX Runtime since 1.17
MARK = "cgru"  # the metadata entry with the description of our layers
REDUCTIONS = {"sum": "ReduceSum", "mean": "ReduceMean", "mul": "ReduceProd"}


def onnx_package() -> Any:
    """Import and return the onnx package; ImportError, with advice, if it is not installed."""
    try:
        import onnx
        import onnx.reference
    except ImportError:
        raise ImportError("ONNX is missing: pip install onnx") from None
    return onnx


def to_onnx(
    net: Network | GRU | Bidirectional | list | tuple,
    *,
    dtype: DTypeLike = np.float32,
    lengths: bool = False,
    states: bool = False,
) -> Any:
    """Convert a network, a layer or a list of layers to an ONNX model that computes what `predict` does.

    Its input X is (m, s, e), or integer tokens (m, s), batch-major. Its output Y is what `predict` returns. The
    standardisation is in the graph; dropout is not, since it does nothing in inference. `from_onnx` restores whole
    models exactly, bit for bit if `dtype` is that of the layers.

    Args:
        net: the network, layer or layers to write, with parameters.
        dtype: float32 or float64, of all in the graph. ONNX Runtime computes a GRU in float32 alone.
        lengths: whether there is an input `lengths` (m,), int32: the real steps of each sample.
        states: whether there are an input `h0` and an output `states`, (layers x directions, m, u); not of `learn_h0`.

    Returns:
        An `onnx.ModelProto`.

    Raises:
        ImportError: the onnx package is not installed.
        RuntimeError: there are no parameters yet.
        TypeError, ValueError: an argument is invalid, or ONNX cannot express a layer, with the reason.

    Examples:
        >>> net = cgru.Network([cgru.GRU(4), cgru.Dense(2)], seed=0)
        >>> A = net.predict(np.ones((2, 6, 3)))
        >>> model = cgru.interop.to_onnx(net, lengths=True)
        >>> [each.name for each in model.graph.input], [each.name for each in model.graph.output]
        (['X', 'lengths'], ['Y'])
    """
    onnx = onnx_package()
    layers = gates.checked_layers(net)
    dtype, lengths, states = float_dtype(dtype), flag(lengths, "lengths"), flag(states, "states")
    gates.with_parameters(layers)
    settings = dict.fromkeys(("loss", "class_names", "classes", "target_names", "seed"))
    mean = scale = None
    if isinstance(net, Network):
        settings, mean, scale = {name: getattr(net, name) for name in settings}, net.mean, net.scale
    model = str(files.pack(layers, settings, {})["model"])
    graph = Graph(onnx, dtype, lengths, states)
    A = graph.standardise("X", mean, scale)
    A = graph.chain(layers, A)
    proto = onnx.helper.make_model(
        graph.finish(A, layers),
        opset_imports=[onnx.helper.make_opsetid("", OPSET)],
        ir_version=IR,
        producer_name="cgru",
    )
    mark = {"model": model, "lengths": lengths, "states": states}
    onnx.helper.set_model_props(proto, {MARK: json.dumps(mark)})
    onnx.checker.check_model(proto)
    return proto


class Graph:
    """An ONNX graph that is built layer by layer; layers take and return the names of arrays (m, s, n) or (m, n).

    A layer's `onnx_node` uses `op`, `array`, `layer_array`, `parameters` and `integers`, and for samples with padding
    `steps`, `real`, `mask` and `lengths`.
    """

    def __init__(self, onnx: Any, dtype: np.dtype, lengths: bool, states: bool) -> None:
        """Start an empty graph of this dtype; `lengths` and `states` are the arguments of `to_onnx`."""
        self.onnx, self.dtype, self.states = onnx, dtype, states
        self.number = onnx.helper.np_dtype_to_tensor_dtype(dtype)
        self.nodes: list[Any] = []
        self.arrays: dict[str, np.ndarray] = {}
        self.ragged = lengths
        self.steps = lengths  # whether the newest output has steps, some of them padding
        self.masked: str | None = None
        # Of the newest output: the name of its real steps, (m,) INT32, and of an array with all its steps.
        self.real_steps, self.counted = "lengths", "X"
        self.last: list[str] = []  # the last states of the layers, (D, m, u) each
        self.cells: list[GRU] = []

    # --- pieces ---

    def op(self, kind: str, *inputs: str, outputs: int = 1, **attributes: Any) -> Any:
        """Add a node that reads the arrays named `inputs`; return the name of its output, or a list of names."""
        names = [f"{kind}_{len(self.nodes)}" + (f"_{k}" if k else "") for k in range(outputs)]
        self.nodes.append(self.onnx.helper.make_node(kind, inputs, names, name=names[0], **attributes))
        return names[0] if outputs == 1 else names

    def array(self, name: str, value: Any, dtype: Any = None) -> str:
        """Add or replace the constant array `name`; return `name`."""
        self.arrays[name] = np.array(value, dtype or self.dtype, order="C")
        return name

    def integers(self, *values: int) -> str:
        """Add a constant array of INT64 numbers; return its name."""
        return self.array("_".join(map(str, ("integers", *values))), values, np.int64)

    def whole(self, value: int) -> str:
        """Add a single INT64 constant; return its name."""
        return self.array(f"whole_{value}", value, np.int64)

    def mask(self) -> str:
        """Add nodes for the mask (m, s, 1) of real steps, unless they exist; return its name."""
        if self.masked is None:
            number = self.array("one", 1, np.int32), self.array("zero", 0, np.int32)
            s = self.count(self.counted)
            steps = self.op("Range", number[1], self.op("Cast", s, to=self.onnx.TensorProto.INT32), number[0])
            real = self.op("Less", steps, self.op("Unsqueeze", self.real_steps, self.integers(1)))
            self.masked = self.op("Unsqueeze", real, self.integers(2))
        return self.masked

    def lengths(self) -> str:
        """Add a node for the number of real steps of each sample, as INT64; return its name."""
        return self.op("Cast", self.real_steps, to=self.onnx.TensorProto.INT64)

    def count(self, A: str) -> str:
        """Add nodes for the number of steps of A (m, s, ...), as INT64; return its name."""
        return self.op("Gather", self.op("Shape", A), self.array("axis", 1, np.int64))

    def change_steps(self, A: str, lengths: str | None) -> str:
        """Continue from array A, which has a new number of steps; return its name after zeroing steps past `lengths`.

        `lengths` is the name of INT64 numbers; None if all steps are real.
        """
        if lengths is not None:
            self.real_steps = self.op("Cast", lengths, to=self.onnx.TensorProto.INT32)
        self.counted, self.masked = A, None
        return self.real(A)

    def real(self, A: str, other: float = 0.0) -> str:
        """Add a node that replaces padded steps of A (m, s, n) by `other`; return its name."""
        return self.op("Where", self.mask(), A, self.array(f"padding_{other:g}", other)) if self.steps else A

    # --- layers ---

    def standardise(self, X: str, mean: np.ndarray | None, scale: np.ndarray | None) -> str:
        """Add nodes that standardise the input, in float64 as `predict` does; return the output's name."""
        if mean is None:
            return X
        X = self.op("Cast", X, to=self.onnx.TensorProto.DOUBLE)
        X = self.op("Div", self.op("Sub", X, self.array("mean", mean, np.float64)),
                    self.array("scale", scale, np.float64))  # fmt: skip
        return self.op("Cast", X, to=self.number)

    def chain(self, layers: Sequence[Any], A: str, at: str = "") -> str:
        """Add a chain of layers that reads A; return its output's name. `at` is the prefix of the layers' keys."""
        for i, layer in enumerate(layers):
            A = self.layer(A, layer, f"{at}{i}")
        return A

    def branches(self, layer: Any, A: str, kind: str) -> str:
        """Add the branches of a layer that reads A, and nodes of a kind that join them; return the output's name."""
        key, ends = self.i, []
        before = self.steps, self.real_steps, self.counted, self.masked
        for b, branch in enumerate(layer.branches):
            self.steps, self.real_steps, self.counted, self.masked = before
            ends.append(self.chain(branch, A, f"{key}.{b}.") if branch else self.real(A))
        if kind == "Concat":
            return self.op(kind, *ends, axis=-1)
        return reduce(partial(self.op, kind), ends)

    def layer(self, A: str, layer: Any, i: str) -> str:
        """Add the layer with key i that reads A; return its output's name."""
        self.i, self.refuse = i, gates.refusal(f"net: layer {i}, {layer!r}, cannot be exported to ONNX")
        write = class_attribute(layer, "onnx_node")
        if write is None:
            raise self.refuse("ONNX has no such layer")
        return write(self, A)

    def layer_array(self, name: str, value: Any) -> str:
        """Add a constant array of the layer that is being added; return its name."""
        return self.array(f"{self.i}.{name}", value)

    def parameters(self, layer: Any) -> list[str]:
        """Add a layer's parameters as constants; return their names. Not for GRUs."""
        return [self.layer_array(name, value) for name, value in gates.exported_parameters(layer).items()]

    def recurrent(self, layer: GRU | Bidirectional, A: str) -> str:
        """Add a GRU node that reads A, with transposes and the merge of directions; return the output's name."""
        cell, halves = ONNX.checked_cell(layer, self.refuse), layer.cells
        D, first = len(halves), len(self.cells)
        self.cells += halves
        parts = zip(*(ONNX.from_cgru(half.p) for half in halves), strict=True)
        W, R, b_x, b_h = (np.stack(part) for part in parts)
        arrays = {"W": W, "R": R, "B": np.concatenate([b_x, b_h], axis=1)}
        weights = [self.layer_array(name, value) for name, value in arrays.items()]
        h0 = ""
        if cell.learn_h0:
            if self.states:
                raise self.refuse("expected no learned h0 with states=True, whose input h0 would replace it")
            h0 = self.layer_array("h0", np.stack([half.p["h0"] for half in halves]))
            m = self.op("Slice", self.op("Shape", "X"), self.integers(0), self.integers(1))
            shape = (self.integers(D), m, self.integers(cell.d["u"]))
            h0 = self.op("Expand", h0, self.op("Concat", *shape, axis=0))
        if self.states:
            h0 = self.op("Slice", "h0", self.integers(first), self.integers(first + D), self.integers(0))
        X = self.op("Transpose", A, perm=(1, 0, 2))
        lengths = self.real_steps if self.steps else ""
        direction = "bidirectional" if D == 2 else "reverse" if cell.reverse else "forward"
        Y, Y_h = self.op("GRU", X, *weights, lengths, h0, outputs=2, hidden_size=cell.d["u"], direction=direction,
                         **ONNX.options(cell.variant), **self.activations(cell, D))  # fmt: skip
        self.last.append(Y_h)
        A = self.op("Transpose", Y, perm=(2, 0, 1, 3)) if cell.sequences else self.op("Transpose", Y_h, perm=(1, 0, 2))
        self.steps = self.steps and cell.sequences
        if D == 1:
            return self.op("Squeeze", A, self.integers(-2))
        if layer.merge == "concat":
            return self.op("Reshape", A, self.integers(0, 0, -1) if cell.sequences else self.integers(0, -1))
        return self.op(REDUCTIONS[layer.merge], A, self.integers(-2), keepdims=0)

    def activations(self, cell: GRU, D: int) -> dict[str, Any]:
        """Return the attributes of a GRU node for its activations; {} for ONNX's defaults."""
        functions = [FUNCTION_OF[ours(f)] for f in (cell.activate_update, cell.activate)]
        if any(CODES[function.own] > FADING for function in functions):
            raise self.refuse("expected activations of its gates that GRU nodes have, not GELU, SiLU and softplus")
        names = ["Affine" if function.own is identity else function.node for function in functions]
        if names == ["Sigmoid", "Tanh"]:
            return {}
        # A node passes alphas and betas in order to the functions that take one.
        alphas = [
            1.0 if function.own is identity else self.alpha(function, cell.se_hPars)
            for function in functions
            if function.own is identity or function.key
        ]
        betas = [0.0] * names.count("Affine")
        found = {"activations": names * D, "activation_alpha": alphas * D, "activation_beta": betas * D}
        return {name: values for name, values in found.items() if values}

    def alpha(self, function: Function, se_hPars: Any) -> float:
        """Return the alpha of an activation; raise an error if it is not exact in float32, as which ONNX stores it."""
        alpha = function.alpha(se_hPars, self.refuse)
        if self.dtype == np.float64 and float(np.float32(alpha)) != alpha:
            raise self.refuse(f"ONNX stores an alpha as float32, which {alpha!r} is not; expected dtype=float32")
        return alpha

    def activated(self, layer: Activation | Dense, Z: str) -> str:
        """Add nodes for the activation of Z, zero at padded steps; return the output's name."""
        f = ours(layer.activate)
        if f is None:
            raise self.refuse("its activation is not one of cgru's own")
        if f is softmax:
            T = parameter(layer.se_hPars, "softmax_temperature")
            A = self.op("Softmax", Z if T == 1 else self.op("Div", Z, self.layer_array("T", T)))
        elif f is log_softmax:
            A = self.op("LogSoftmax", Z)
        elif f is silu:  # as Swish nodes are newer than OPSET
            A = self.op("Mul", Z, self.op("Sigmoid", Z))
        elif f is identity:
            A = Z
        else:
            options = {"alpha": self.alpha(FUNCTION_OF[f], layer.se_hPars)} if FUNCTION_OF[f].key else {}
            A = self.op(FUNCTION_OF[f].node, Z, **options)
        return self.real(A)

    # --- the whole ---

    def finish(self, A: str, layers: tuple[Any, ...]) -> Any:
        """Return the complete graph, with A as its output."""
        helper, numbers = self.onnx.helper, self.onnx.TensorProto
        value, real = helper.make_tensor_value_info, self.number
        e = chain.features(layers) or "e"
        form = (numbers.INT64, ["m", "s"]) if "tokens" in layers[0].reads else (real, ["m", "s", e])
        inputs = [value("X", *form)]
        *shape, n = chain.shape_of(layers)
        self.nodes.append(helper.make_node("Identity", [A], ["Y"], name="Y"))
        outputs = [value("Y", real, [*shape, e if n == "e" else n])]
        if self.ragged:
            inputs.append(value("lengths", numbers.INT32, ["m"]))
        if self.states:
            units = {cell.d["u"] for cell in self.cells}
            if len(units) != 1:
                raise ValueError(f"states: expected recurrent layers with the same units for True, got {sorted(units)}")
            due = [len(self.cells), "m", units.pop()]
            inputs.append(value("h0", real, due))
            outputs.append(value("states", real, due))
            self.nodes.append(helper.make_node("Concat", self.last, ["states"], name="states", axis=0))
        constants = [self.onnx.numpy_helper.from_array(array, name) for name, array in self.arrays.items()]
        return helper.make_graph(self.nodes, "cgru", inputs, outputs, constants)
