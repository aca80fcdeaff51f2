"""A reader of a PyTorch module's trace by `torch.fx` as a chain of layers, node by node.

Letters: m samples, s steps, n features of a step, u units. A node that is no layer by itself is described as one of
ONNX and read as that (`cgru.interop.reader`); one that does anything else with an array is refused.
"""

from __future__ import annotations

import operator
import sys
from dataclasses import replace
from typing import Any

import numpy as np

from cgru.activations import identity, softmax
from cgru.interop.chain_builder import affine, dense, per_feature
from cgru.interop.gates import FUNCTIONS, Refusal, array
from cgru.interop.onnx_values import (
    FLOATS,
    LENGTHS,
    ONE,
    UNKNOWN,
    Axis,
    Extent,
    Node,
    Traced,
    Unproved,
    axis_index,
    extent,
    flatten_axes,
    reshaped,
)
from cgru.interop.reader import Reader
from cgru.interop.torch_trace import SAMPLES, UNSET, ZEROS, Given, Packed, Padded, Weight, line_of, traced_graph
from cgru.interop.torch_weights import array_of, check_plain, gru_layers, is_trainable, kind_of
from cgru.layers import Dropout, Frames, LayerNorm

__all__ = ["TorchReader"]

# The operations by name of function or method ("name_" in place), and their arguments after the array.
ARGUMENTS: dict[str, dict[str, Any]] = {
    "relu": {"inplace": False},
    "relu6": {"inplace": False},
    "sigmoid": {},
    "tanh": {},
    "leaky_relu": {"negative_slope": 0.01, "inplace": False},
    "elu": {"alpha": 1.0, "inplace": False},
    "hardtanh": {"min_val": -1.0, "max_val": 1.0, "inplace": False},
    "softmax": {"dim": None, "_stacklevel": 3, "dtype": None},
    "dropout": {"p": 0.5, "training": True, "inplace": False},
    "clamp": {"min": None, "max": None},
    "transpose": {"dim0": None, "dim1": None},
    "swapaxes": {"axis0": None, "axis1": None},
    "permute": {"dims": None},
    "squeeze": {"dim": None},
    "unsqueeze": {"dim": None},
    "flatten": {"start_dim": 0, "end_dim": -1},
    "contiguous": {},
    "clone": {},
    "mean": {"dim": None, "keepdim": False, "dtype": None},
    "sum": {"dim": None, "keepdim": False, "dtype": None},
    "amax": {"dim": None, "keepdim": False},
    "unfold": {"dimension": None, "size": None, "step": None},
    "max": {"dim": None, "keepdim": False},
}
NAMES = {function.name: function for function in FUNCTIONS if function.own not in (identity, softmax)}
SIGNS = {"add": "add", "iadd": "add", "sub": "sub", "isub": "sub", "mul": "mul", "imul": "mul", "truediv": "div",
         "itruediv": "div", "div": "div"}  # fmt: skip
BOUNDS = {"relu6": (0, 6), "hardtanh": ("min_val", "max_val"), "clamp": ("min", "max")}  # numbers, or arguments
POOLS = {"mean": "ReduceMean", "amax": "ReduceMax", "max": "ReduceMax"}
PRODUCTS = {"bmm": "bij,bjk->bik", "matmul": "bij,bjk->bik"}  # as torch.einsum writes them
OPSET = 18  # of the ONNX nodes that describe operations
SIZE_METHODS = ("size", "dim")  # methods
RESHAPES = ("view", "reshape", "unflatten")
SPREADS = ("expand", "repeat", "unsqueeze")
KEPT = ("contiguous", "clone", "detach", "to", "type_as", "float", "double", "cpu", "cuda", "requires_grad_")
LENGTH_METHODS = ("long", "int", "tolist", "numpy")
SHAPE_ATTRIBUTES = ("shape", "device", "dtype")  # attributes
TURNED_IN_PLACE = ("transpose_", "squeeze_", "unsqueeze_")  # they change the axes that other nodes see
MOVED_ZEROS = (*KEPT, "unsqueeze", "squeeze", "view", "reshape", "expand", "repeat", "transpose", "permute", "zero_")
OVER_PADDING = "padding would count, which has no part in the network's result: take the last state, h[-1]"

WINDOW = "w"  # the name of the axis of a frame's steps


class TorchReader(Reader):
    """A reader of a `torch.fx` trace, whose operations are described by ONNX nodes."""

    def __init__(self, source: Any, refuse: Refusal) -> None:
        """Read all nodes of the trace of the module `source` into layers; refuse what is not proved."""
        super().__init__()
        self.torch, self.source = sys.modules["torch"], source
        self.whole, graph, names = traced_graph(source, refuse)
        self.modules = {f"model.{path}".rstrip("."): module for path, module in source.named_modules()}
        self.used: set[int] = set()  # parameters
        # By name, what is no array of the chain: several values, a shape, a size, a weight, an input beside x, zeros.
        self.untraced: dict[str, Any] = {}
        self.roles: dict[str, str] = {}  # what inputs beside x are, by name
        self.ragged = False  # whether steps past a sample's length are left out
        self.grus = 0  # modules
        called = [self.modules[node.target] for node in graph.nodes if node.op == "call_module"]
        self.hint = self.input_features(graph)
        # Row order of the weights of the layer that will read flattened frames; None: no frames wait for a layer.
        self.row_order: np.ndarray | None = None
        tokens = any(kind_of(module) is self.torch.nn.Embedding for module in called)
        axes = tuple(map(Axis, "01" if tokens or is_univariate(graph) else "012"))
        given = iter(names)
        for i, node in enumerate(graph.nodes):
            self.place = f"node {i}, {self.describe_node(node)}{line_of(node)}"
            try:
                if node.op == "placeholder":
                    made = Given(next(given))
                    if i == 0:
                        made = Traced("input", made.name, axes, max(LENGTHS) if tokens else FLOATS["float32"])
                else:
                    made = getattr(self, node.op)(node)
            except Unproved as why:
                raise ValueError(f"source: {self.place} cannot be had here: {why}") from None
            (self.values if isinstance(made, Traced) else self.untraced)[node.name] = made
        if not self.recurrent:
            raise refuse("expected a torch.nn.GRU in it, got none")

    def input_features(self, graph: Any) -> int | None:
        """Return the number of features of x, from the first module with weights; None if there is none."""
        length = 1
        for node in graph.nodes:
            if node.op == "call_method" and node.target == "unfold":
                size = node.kwargs.get("size", *node.args[2:3])
                length *= size if isinstance(size, int) and size > 0 else 1
            module = self.modules[node.target] if node.op == "call_module" else None
            sizes = ("in_features", "input_size", "in_channels", "num_features", "normalized_shape")
            size = next((getattr(module, name) for name in sizes if hasattr(module, name)), None)
            if size is not None:
                return (size[-1] if isinstance(size, tuple) else size) // length
        return None

    def describe_node(self, node: Any) -> str:
        """Return what a node is called in an error."""
        if node.op == "call_module":
            return f"{type(self.modules[node.target]).__name__} {node.target.removeprefix('model.')!r}"
        what = node.target if isinstance(node.target, str) else getattr(node.target, "__name__", str(node.target))
        return f"{what} {node.name!r}"

    def resolve(self, argument: Any) -> Any:
        """Return the traced value, tuple or constant of a node; any other argument as it is, lists by their items."""
        if isinstance(argument, tuple | list):
            return type(argument)(map(self.resolve, argument))
        if isinstance(argument, slice):
            return slice(*map(self.resolve, (argument.start, argument.stop, argument.step)))
        if not isinstance(argument, self.torch.fx.Node):
            return argument
        return self.values.get(argument.name, self.untraced.get(argument.name))

    def traced_value(self, argument: Any) -> Traced:
        """Return the traced value of an argument; Unproved if it has none."""
        value = self.resolve(argument)
        if isinstance(value, Padded):
            raise Unproved("expected a Conv1d on an array that was padded with zeros")
        if not isinstance(value, Traced):
            what = self.roles.get(value.name, "an input beside x") if isinstance(value, Given) else argument
            raise Unproved(f"expected the output of the layer below, {self.chain.top_name}, got {what}")
        return value

    def apply_onnx(self, kind: str, argument: Any, *constants: Any, **attributes: Any) -> Traced:
        """Return the output of an ONNX node of this kind on an argument and constants."""
        self.traced_value(argument)
        arrays = {f"constant {i}": np.array(constant) for i, constant in enumerate(constants)}
        node = Node(kind, [argument.name, *arrays], [""], attributes, arrays, OPSET)
        return self.trace_node(node, self.place)[0]

    # --- nodes ---

    def call_module(self, node: Any) -> Any:
        """Read the call of one of PyTorch's modules."""
        module, nn = self.modules[node.target], self.torch.nn
        kinds = {
            nn.Linear: self.read_linear, nn.Embedding: self.read_table, nn.GRU: self.read_gru, nn.Dropout: "dropout",
            nn.ReLU: "relu", nn.ReLU6: "relu6", nn.Sigmoid: "sigmoid", nn.Tanh: "tanh", nn.Hardtanh: "hardtanh",
            nn.LeakyReLU: "leaky_relu", nn.ELU: "elu", nn.Softmax: "softmax", nn.Flatten: "flatten",
            nn.Identity: "contiguous", nn.Conv1d: self.read_conv, nn.BatchNorm1d: self.read_batch_norm,
            nn.LayerNorm: self.read_layer_norm, nn.ConstantPad1d: self.read_pad, nn.ZeroPad1d: self.read_pad,
        }  # fmt: skip
        kind = kinds.get(kind_of(module))
        if kind is None:
            known = ", ".join(sorted(each.__name__ for each in kinds))
            raise Unproved(f"nothing of its kind may stand there, but {known}")
        for parameter in module.parameters():
            self.use(parameter)
        given = [*node.args, *node.kwargs.values()]
        if kind == self.read_gru:
            return self.read_gru(node, module)
        if len(given) != 1:
            raise Unproved(f"expected a call with one array, got {len(given)} arguments")
        if kind == self.read_pad:
            return self.read_pad(given[0], module.padding, module.value)
        if not isinstance(kind, str):
            return kind(given[0], module)
        options = {name: name != "training" and getattr(module, name, due) for name, due in ARGUMENTS[kind].items()}
        return self.read_operation(kind, given[0], options)

    def use(self, parameter: Any) -> None:
        """Note that a layer has a parameter; Unproved if another layer has it."""
        if id(parameter) in self.used:
            raise Unproved("its weights are those of another layer, too; expected each once")
        self.used.add(id(parameter))

    def call_function(self, node: Any) -> Any:
        """Read the call of one of PyTorch's functions or of an operator."""
        torch, name = self.torch, getattr(node.target, "__name__", "")
        functional, rnn = torch.nn.functional, torch.nn.utils.rnn
        if node.target in (torch.zeros, torch.zeros_like, torch.Tensor.new_zeros):
            if node.target is not torch.zeros_like:
                self.check_sizes(node)
            return ZEROS
        if node.target is torch.empty:
            return UNSET
        if node.target is torch.arange and [*map(self.resolve, node.args)] == [Extent(1, ("0",))]:
            return SAMPLES
        readers = {
            getattr: self.read_attribute, operator.getitem: self.read_item, torch.cat: self.read_cat,
            torch.concat: self.read_cat, torch.einsum: lambda node: self.read_product(node, *node.args),
            functional.pad: self.read_pad_call, functional.linear: self.read_linear_call,
            rnn.pack_padded_sequence: self.read_packing, rnn.pad_packed_sequence: self.read_unpacking,
        }  # fmt: skip
        if node.target in readers:
            return readers[node.target](node)
        if node.target in (torch.bmm, torch.matmul, operator.matmul):
            return self.read_matmul(name, node)
        if node.target in (getattr(operator, name, None), getattr(torch, name, None)) and name in SIGNS:
            return self.read_arithmetic(SIGNS[name], node)
        if name in RESHAPES and node.target is getattr(torch, name, None):
            return self.read_reshape(name, node)
        own = name != "unfold" and node.target in (getattr(torch, name, None), getattr(functional, name, None))
        if own and name in ARGUMENTS:
            return self.read_call(name, node)
        raise Unproved(self.strange(node))

    def call_method(self, node: Any) -> Any:
        """Read the call of a tensor's method."""
        name = node.target
        first, *rest = map(self.resolve, node.args or (None,))
        if first is None:
            raise Unproved(self.strange(node))
        if name == "new_zeros":
            self.check_sizes(node)
            return ZEROS
        if name in SIZE_METHODS and isinstance(first, Traced):
            sizes = tuple(map(extent, first.axes))
            at = rest or [*node.kwargs.values()]
            return len(sizes) if name == "dim" else sizes[axis_index(at[0], len(sizes))] if at else sizes
        if first is UNSET and (name, rest) in (("zero_", []), ("fill_", [0])):
            return ZEROS
        if first is ZEROS and name in MOVED_ZEROS:
            return ZEROS
        if isinstance(first, Weight):
            if name in SPREADS:
                return first.moved(name, rest or [*node.kwargs.values()])
            if name in KEPT:
                return first
        if isinstance(first, Given) and name in (*KEPT, *LENGTH_METHODS):
            return first
        if name.rstrip("_") in SIGNS:
            return self.read_arithmetic(SIGNS[name.rstrip("_")], node)
        if name in PRODUCTS:
            return self.read_matmul(name, node)
        if name in TURNED_IN_PLACE and len(node.args[0].users) > 1:
            raise Unproved("it turns an array in place that is used again")
        if name in RESHAPES and isinstance(first, Traced):
            return self.read_reshape(name, node)
        if name == "detach" and isinstance(first, Traced):
            raise Unproved("here gradients would go on to the layers below it; freeze them and leave it out")
        if name.removesuffix("_") in ARGUMENTS:
            return self.read_call(name.removesuffix("_"), node)
        raise Unproved(self.strange(node))

    def strange(self, node: Any) -> str:
        """Return why an operation is refused that is none of those that are known."""
        if sum(isinstance(self.resolve(each), Traced) for each in node.all_input_nodes) > 1:
            return "it joins several arrays, and a network is one chain of layers, without branches and residuals"
        if "log_softmax" in str(node.target):
            return "there is no logarithm of softmax here; leave it out, or take softmax"
        return "nothing of its kind may stand there"

    def check_sizes(self, node: Any) -> None:
        """Refuse initial states whose sizes are computed from numbers of an array."""
        for each in node.all_input_nodes:
            if not isinstance(self.resolve(each), Extent | int | tuple | Weight | Traced | Given):
                raise Unproved("expected sizes of x and numbers for its shape")

    def get_attr(self, node: Any) -> Any:
        """Return a parameter or buffer of the model, or ZEROS for zeros that forward makes.

        Any other tensor made in forward may be noise and is refused.
        """
        owner, _, name = node.target.rpartition(".")
        value = getattr(self.modules[owner] if owner else self.whole, name, None)
        kinds = (self.torch.Tensor, self.torch.nn.Parameter)
        if kind_of(value) not in kinds:
            raise Unproved(f"expected a parameter or a buffer, got a {type(value).__name__}")
        if not owner and bool(value.any()):
            raise Unproved("expected a parameter or a buffer, got a tensor that forward makes")
        if not owner:
            return ZEROS
        return Weight(array_of(value), value if kind_of(value) is kinds[1] else None)

    def read_attribute(self, node: Any) -> Any:
        """Read an attribute of an array: its shape, or the values that max returns."""
        value, name = self.resolve(node.args[0]), node.args[1]
        if name == "shape" and isinstance(value, Traced):
            return tuple(map(extent, value.axes))
        if name in SHAPE_ATTRIBUTES and (isinstance(value, Traced | Weight | Given) or value is ZEROS):
            return UNKNOWN
        if name == "data" and isinstance(value, Weight):
            return replace(value, parameter=None)
        if name == "values" and isinstance(value, tuple) and value[1] is None:
            return value[0]
        raise Unproved(f"its attribute {name} may not stand there")

    def read_item(self, node: Any) -> Any:
        """Read an index: into the results of a GRU or max, of the last step, or of one of the last states."""
        value, index = self.resolve(node.args[0]), self.resolve(node.args[1])
        if isinstance(value, Extent):
            return UNKNOWN
        if isinstance(value, tuple) and all(isinstance(size, int | Extent) for size in value):
            return value[index]
        if isinstance(value, tuple) and index in (0, 1, -1, -2):
            return value[index]
        if isinstance(value, Traced) and isinstance(index, tuple) and index[:1] == (SAMPLES,):
            return self.read_own_last(value, index)
        if not isinstance(value, Traced):
            raise Unproved("it takes a part of what is not known")
        rank, index = len(value.axes), index if isinstance(index, tuple) else (index,)
        if Ellipsis in index:
            at = index.index(Ellipsis)
            index = (*index[:at], *[slice(None)] * (rank - len(index) + 1), *index[at + 1 :])
        taken = [i for i, item in enumerate(index) if item != slice(None)]
        if len(taken) == 1 and isinstance(index[taken[0]], slice) and len(index) <= rank:
            return self.read_chomp(value, taken[0], index[taken[0]])
        one = len(index) <= rank and len(taken) == 1 and type(index[taken[0]]) is int
        if value.kind != "ends" and not (one and index[taken[0]] == -1 and self.is_step_axis(value, taken[0])):
            self.check_newest(value)
            if self.ragged:
                raise Unproved(OVER_PADDING)
            raise Unproved(f"expected the last step alone to be taken, got {index}")
        if not one:
            raise Unproved(f"expected one of the last states to be taken, got {index}")
        return self.apply_onnx("Gather", node.args[0], index[taken[0]], axis=taken[0])

    def output(self, node: Any) -> None:
        """Refuse an output unless it is the newest, with at most the last states of the only GRU beside it."""
        first, *rest = node.args[0] if isinstance(node.args[0], tuple | list) else [node.args[0]]
        value, ends = self.resolve(first), [self.resolve(other) for other in rest]
        value = value[0] if isinstance(value, tuple) and value else value
        every = tuple(part for number, _ in enumerate(self.recurrent) for part in self.parts(number))
        if len(ends) > 1 or any(
            not isinstance(end, Traced) or (end.kind, end.parts) != ("ends", every) for end in ends
        ):
            raise Unproved("expected one output, and beside it at most the last states of the only GRU")
        if isinstance(value, Packed):
            raise Unproved("expected pad_packed_sequence before it")
        if not isinstance(value, Traced) or not self.is_newest(value):
            raise Unproved(f"expected the output of the newest layer, {self.chain.top_name}, got {first}")
        names = [axis.name for axis in value.axes]
        if self.row_order is not None or WINDOW in names:
            raise Unproved("expected a Linear or a GRU behind unfold and flatten")
        if ONE in value.axes[: -1 if self.out.size == 1 else None]:
            raise Unproved("expected an output (m, s, n) or (m, n), got one with an axis of size 1 more: squeeze it")
        if self.out.size != 1 and names[-1:] != [self.out.name]:
            raise Unproved(f"expected the features in the last axis, got axes {', '.join(names)}")
        if value.kind == "ends":
            self.chain.keep_last_state(self.place)
        if "initial states" in self.roles.values() and self.grus > 1:
            raise Unproved("expected initial states that are given to the only GRU, got several: start them from zeros")

    # --- layers ---

    def with_trainable(self, layer: Any, module: Any) -> Any:
        """Return the layer, `trainable` as the parameters of its module are."""
        layer.trainable = is_trainable(module.parameters(), "a layer", Unproved)
        return layer

    def read_linear(self, argument: Any, module: Any) -> Traced:
        """Add a Dense layer for a Linear module; return its output."""
        check_plain(module, ["weight", "bias"] if module.bias is not None else ["weight"], Unproved)
        W = array(module.weight, f"{self.place}, weight").T
        return self.add_dense(self.traced_value(argument), W, module.bias, module.parameters())

    def add_dense(self, value: Traced, W: np.ndarray, b: Any, parameters: Any, at: int = -1) -> Traced:
        """Add a Dense layer with weights W (n, u) and bias b on the features, axis `at`; return its output."""
        n = self.feature_count(value, at)
        if n not in (None, len(W)):
            raise Unproved(f"expected {len(W)} features, got {n}")
        layer = dense(W[self.take_row_order()], b, f"{self.place}, weight", Unproved)
        layer.trainable = is_trainable(parameters, "a layer", Unproved)
        return self.add_layer(layer, value, self.place, value.axes, layer.d["u"], at)

    def read_linear_call(self, node: Any) -> Traced:
        """Add a Dense layer for `linear(x, weight, bias)` of parameters; return its output."""
        given = dict(zip(("input", "weight", "bias"), node.args, strict=False)) | node.kwargs
        weights = [self.resolve(given.get(name)) for name in ("weight", "bias")]
        if not all(isinstance(each, Weight) for each in weights[: 1 if weights[1] is None else 2]):
            raise Unproved("expected parameters for its weight and bias")
        W, b = (None if each is None else each.plain() for each in weights)
        return self.add_dense(self.traced_value(given["input"]), W.T, b, self.used_by(*weights))

    def used_by(self, *weights: Any) -> list[Any]:
        """Note the parameters of these weights as used, and return them."""
        found = [each.parameter for each in weights if each is not None and each.parameter is not None]
        for parameter in found:
            self.use(parameter)
        return found

    def read_matmul(self, name: str, node: Any) -> Traced:
        """Read a product of matrices: a Dense layer with a parameter on the right, else attention."""
        values = [self.resolve(each) for each in node.args]
        if len(values) != 2 or not isinstance(values[1], Weight):
            return self.read_product(node, PRODUCTS[name], *node.args)
        W = values[1].plain()
        if W.ndim not in (1, 2):
            raise Unproved(f"expected a matrix or a vector, got {W.shape}")
        parameters = self.used_by(values[1])
        made = self.add_dense(self.traced_value(node.args[0]), W.reshape(len(W), -1), None, parameters)
        return made if W.ndim == 2 else replace(made, axes=made.axes[:-1])

    def read_batch_norm(self, argument: Any, module: Any) -> Traced:
        """Add a Scale for a BatchNorm1d module in inference; return its output."""
        if module.running_mean is None:
            raise Unproved("it has no running mean and variance; expected track_running_stats=True")
        if module.training:
            raise Unproved("in training it takes the statistics of each batch; call eval() on the model first")
        if self.row_order is not None:
            raise Unproved("expected a Linear or a GRU behind unfold and flatten first")
        mean, variance = array_of(module.running_mean), array_of(module.running_var)
        scale, shift = (array_of(module.weight), array_of(module.bias)) if module.affine else (1.0, 0.0)
        layer, value = self.batch_norm(self.traced_value(argument), mean, variance, module.eps, scale, shift)
        return self.add_layer(self.with_trainable(layer, module), value, self.place, value.axes)

    def read_layer_norm(self, argument: Any, module: Any) -> Traced:
        """Add a LayerNorm for a LayerNorm module over the features; return its output."""
        value = self.traced_value(argument)
        n = self.feature_count(value)
        if len(module.normalized_shape) != 1 or n not in (None, *module.normalized_shape):
            raise Unproved(f"expected it over {n} features alone, got {module.normalized_shape}")
        if self.row_order is not None:
            raise Unproved("expected a Linear or a GRU behind unfold and flatten first")
        dtype = next((array_of(p).dtype for p in self.source.parameters()), np.dtype(np.float32))
        scale = np.ones(module.normalized_shape, dtype) if module.weight is None else array_of(module.weight)
        shift = None if getattr(module, "bias", None) is None else array_of(module.bias)
        layer = self.with_trainable(LayerNorm.of(scale, shift, module.eps), module)
        return self.add_layer(layer, value, self.place, value.axes, len(scale))

    def read_table(self, argument: Any, module: Any) -> Traced:
        """Add an Embedding layer for an Embedding module; return its output."""
        check_plain(module, ["weight"], Unproved)
        if module.max_norm is not None:
            raise Unproved("expected max_norm None, for it changes the weights in a call")
        self.traced_value(argument)
        table = {"table": array(module.weight, f"{self.place}, weight")}
        made = self.read_embedding(Node("Gather", ["table", argument.name], [""], {}, table, OPSET), self.place)
        self.with_trainable(self.chain.layers[0], module)
        return made

    def read_gru(self, node: Any, module: Any) -> tuple[Any, Traced]:
        """Add all layers of a GRU module; return (its states, its last states) as traced values."""
        given = dict(zip(("input", "hx", "resets", "decay"), node.args, strict=False)) | node.kwargs
        argument, rows = given.get("input"), module.batch_first
        factor = [name for name in ("resets", "decay") if given.get(name) is not None]
        if factor:
            raise Unproved(f"expected {factor[0]}=None: the network's `predict` takes it beside X")
        packed = self.resolve(argument)
        if isinstance(packed, Packed):
            name, rows = f"{argument.name} packed", packed.rows
            self.values[name] = packed.value
        else:
            self.traced_value(argument)
            name = argument.name
            if self.ragged:
                raise Unproved("it would go on over padding, where the GRU below it stops; expected it to be packed")
        self.check_input(name, rows, module.input_size, f"it takes {module.input_size}", Unproved)
        first, places = len(self.recurrent), self.take_row_order()
        layers = gru_layers(module, self.initial_states(given.get("hx"), module))
        for cell in layers[0].cells:
            cell.p |= {name: cell.p[name][places] for name in cell.p if name.startswith("U")}
        for layer in layers:
            self.chain.add(layer, self.place)
            self.recurrent += [layer] if layer.cells else []
        self.grus, self.ragged = self.grus + 1, isinstance(packed, Packed)
        parts = [self.parts(number) for number in range(first, len(self.recurrent))]
        u, D, count, dtype = module.hidden_size, len(parts[0]), self.chain.count, FLOATS["float32"]
        self.out = Axis("d u", D * u) if D > 1 else Axis("u", u)
        axes = (self.samples, self.steps, self.out) if rows else (self.steps, self.samples, self.out)
        last = (Axis("d", D * len(parts)), self.samples, Axis("u", u))
        states = Traced("states", count, axes, dtype, "d", parts[-1])
        ends = Traced("ends", count, last, dtype, "d", tuple(part for each in parts for part in each))
        return (Packed(states, rows) if isinstance(packed, Packed) else states), ends

    def initial_states(self, hx: Any, module: Any) -> np.ndarray | None:
        """Return the states that a GRU learned to begin with, None for zeros and those of `predict(h0=...)`."""
        start = self.resolve(hx)
        if start is None or start is ZEROS:
            return None
        if isinstance(start, Given) and not start.last:
            self.take_role(start, "initial states")
            return None
        if not isinstance(start, Weight):
            due = "zeros, a parameter that is expanded to the samples, or an input beside x"
            raise Unproved(f"expected it to start from nothing or from {due}, got {hx}")
        if not start.array.any() and start.parameter is None:
            return None
        shape = (module.num_layers * (2 if module.bidirectional else 1), 1, module.hidden_size)
        if start.array.shape != shape or (start.at, start.along) != (1, self.samples.name):
            where = "expanded to the samples of x" if start.along == self.samples.name else "as it is"
            raise Unproved(
                f"expected initial states {shape} expanded to the samples of x, got {start.array.shape} {where}"
            )
        weights = next(iter(module.parameters()))
        if start.trainable != bool(weights.requires_grad):
            raise Unproved("expected initial states that are trained if the weights of the GRU are, and only then")
        if start.array.dtype != array_of(weights).dtype:
            raise Unproved(f"expected initial states in {array_of(weights).dtype}, got {start.array.dtype}")
        self.used_by(start)
        return start.array

    # --- inputs beside x ---

    def take_role(self, given: Given, role: str) -> None:
        """Note what an input beside x is; Unproved if it is something else, or another input is that."""
        others = [name for name, own in self.roles.items() if own == role]
        if self.roles.setdefault(given.name, role) != role or any(name != given.name for name in others):
            raise Unproved(f"expected one input for the {role}, and for them alone, got {given.name}")

    def read_packing(self, node: Any) -> Packed:
        """Read `pack_padded_sequence`: the lengths become those of `predict`."""
        names = ("input", "lengths", "batch_first", "enforce_sorted")
        given = dict(zip(names, node.args, strict=False)) | node.kwargs
        value, lengths = self.traced_value(given["input"]), self.resolve(given["lengths"])
        if not isinstance(lengths, Given) or lengths.last:
            raise Unproved(f"expected lengths that are an input beside x, got {given['lengths']}")
        if (self.recurrent and not self.ragged) or any(layer.changes_steps for layer in self.chain.layers):
            raise Unproved("expected no GRU and no Conv1d below it, which would read padding")
        self.take_role(lengths, "lengths")
        return Packed(value, bool(given.get("batch_first", False)))

    def read_unpacking(self, node: Any) -> tuple[Any, Any]:
        """Read `pad_packed_sequence`; return (the states, zero at padding, their lengths)."""
        names = ("sequence", "batch_first", "padding_value", "total_length")
        given = dict(zip(names, node.args, strict=False)) | node.kwargs
        packed = self.resolve(given["sequence"])
        if not isinstance(packed, Packed) or given.get("padding_value", 0.0) != 0:
            raise Unproved("expected a packed sequence, and zeros at padding")
        axes = packed.value.axes
        if bool(given.get("batch_first", False)) != packed.rows:
            axes = (axes[1], axes[0], *axes[2:])
        lengths = next((Given(name) for name, role in self.roles.items() if role == "lengths"), None)
        return replace(packed.value, axes=axes), lengths

    def read_own_last(self, value: Traced, index: tuple[Any, ...]) -> Traced:
        """Read `y[arange(m), lengths - 1]`: the last step of each sample, which lengths of `predict` tell."""
        if len(index) != 2 or not isinstance(index[1], Given) or not index[1].last:
            raise Unproved("expected [arange(m), lengths - 1], with lengths that are an input beside x")
        if [axis.name for axis in value.axes[:2]] != [self.samples.name, self.steps.name] or not self.placed:
            raise Unproved("it is not over the steps of all samples, (m, s, n)")
        self.feature_count(value)
        onward = all(len(layer.cells) == 1 and not layer.reverse for layer in self.recurrent)
        if not (onward or self.ragged) or any(layer.changes_steps for layer in self.chain.layers):
            raise Unproved("expected no Conv1d below it, and no GRU that goes back and reads padding")
        self.take_role(Given(index[1].name), "lengths")
        self.chain.add_last_step(self.place)
        return self.add_layer(None, value, self.place, value.axes[:1] + value.axes[2:])

    def is_step_axis(self, value: Traced, at: int) -> bool:
        """Return whether axis `at` holds the steps of the newest output; Unproved if some of them are padding."""
        found = super().is_step_axis(value, at)
        if found and self.ragged:
            raise Unproved(OVER_PADDING)
        return found

    def read_cat(self, node: Any) -> Traced:
        """Return the last states of both directions, concatenated."""
        given = dict(zip(("tensors", "dim"), node.args, strict=False)) | node.kwargs
        parts = [self.resolve(part) for part in given.get("tensors", ())]
        if not all(isinstance(part, Traced) and part.kind == "ends" and len(part.axes) == 2 for part in parts):
            raise Unproved("it joins what are no last states of one GRU: a network is one chain, without branches")
        axes = (self.samples.name, "u")
        if given.get("dim") not in (1, -1) or any(tuple(axis.name for axis in part.axes) != axes for part in parts):
            raise Unproved("it does not join along the features")
        if len(parts) < 2 or len({part.origin for part in parts}) > 1:
            raise Unproved("it does not join several last states of one GRU")
        side = Axis("d u", sum(part.axes[1].size for part in parts))
        every = tuple(each for part in parts for each in part.parts)
        return replace(parts[0], axes=(parts[0].axes[0], side), parts=every)

    # --- frames ---

    def feature_count(self, value: Traced, at: int = -1) -> int | None:
        """Return the number of features of the newest output, None if unknown; Unproved if frames are not flattened."""
        if any(axis.name == WINDOW for axis in value.axes):
            raise Unproved("expected a flatten behind unfold")
        begins = self.out is None
        n = super().feature_count(value, at)
        if begins and n is None:
            self.out = replace(self.out, size=self.hint)
        return self.out.size

    def read_unfold(self, value: Traced, given: dict[str, Any]) -> Traced:
        """Add Frames for `x.unfold(dimension, size, step)` over the steps; frames' steps get an axis of their own."""
        at = axis_index(given["dimension"], len(value.axes))
        self.check_newest(value)
        if len(value.axes) != 3 or any(axis.merged for axis in value.axes):
            raise Unproved("it is not over the steps of all samples, (m, s, n)")
        if self.row_order is not None:
            raise Unproved("expected a Linear or a GRU between two unfolds")
        features = self.out or (value.axes[2] if at != 2 else value.axes[1])
        samples = next(axis for i, axis in enumerate(value.axes) if i != at and axis.name != features.name)
        if value.axes[at].name == features.name:
            raise Unproved("it is not over the steps of all samples, (m, s, n)")
        self.check_places(samples, value.axes[at])
        self.out = features if features.size is not None else replace(features, size=self.hint)
        layer = self.frames(given["size"], given["step"], False)
        axes = [self.out if axis.name == self.out.name else axis for axis in self.framed(value, at)]
        return self.add_layer(layer, value, self.place, (*axes, Axis(WINDOW, layer.length)))

    def frames(self, length: Any, hop: Any, pad: Any) -> Frames:
        """Return a Frames layer; Unproved for options that it does not have, and where it would read padding."""
        if self.ragged:
            raise Unproved("it would read padding, which the GRU below it left out")
        return super().frames(length, hop, pad)

    def framed(self, value: Traced, at: int) -> tuple[Axis, ...]:
        """Return the axes of frames of a value, whose steps, axis `at`, are others."""
        self.steps = Axis(value.axes[at].name + "'")
        return (*value.axes[:at], self.steps, *value.axes[at + 1 :])

    def read_pad_call(self, node: Any) -> Padded:
        """Read `pad(x, (before, after))` with zeros."""
        given = dict(zip(("input", "pad", "mode", "value"), node.args, strict=False)) | node.kwargs
        if given.get("mode", "constant") != "constant":
            raise Unproved(f"expected padding with zeros, got {given['mode']}")
        return self.read_pad(given["input"], given["pad"], given.get("value"))

    def read_pad(self, argument: Any, pad: Any, number: Any) -> Padded:
        """Return an array with zeros around its last axis, which a Conv1d then reads."""
        value = self.traced_value(argument)
        if number not in (None, 0) or not isinstance(pad, tuple | list) or len(pad) != 2:
            raise Unproved("expected (before, after) of the last axis, and zeros")
        if not all(isinstance(count, int) and count >= 0 for count in pad):
            raise Unproved(f"expected numbers of steps of at least 0, got {pad}")
        return Padded(value, *pad)

    def read_conv(self, argument: Any, module: Any) -> Traced:
        """Add Frames and a Dense for a Conv1d over the steps; return the output, (m, n, s)."""
        check_plain(module, ["weight", "bias"] if module.bias is not None else ["weight"], Unproved)
        given = self.resolve(argument)
        padded = given if isinstance(given, Padded) else Padded(self.traced_value(argument), 0, 0)
        value, (length,), (hop,) = padded.value, module.kernel_size, module.stride
        for name, due in (("groups", 1), ("dilation", (1,)), ("padding_mode", "zeros")):
            if getattr(module, name) != due:
                raise Unproved(f"expected {name} {due}, got {getattr(module, name)}")
        if self.row_order is not None:
            raise Unproved("expected a Linear or a GRU behind unfold and flatten first")
        pad = {"same": (length - 1) // 2, "valid": 0}.get(module.padding, module.padding)
        before, after = (pad, length - 1 - pad) if module.padding == "same" else (*pad, *pad) if pad else (0, 0)
        pads = before + padded.before, after + padded.behind
        W = array(module.weight, f"{self.place}, weight")
        made = self.add_convolution(value, W, module.bias, hop, pads, self.place)
        self.with_trainable(self.chain.layers[-1], module)
        return made

    def read_chomp(self, value: Traced, at: int, part: slice) -> Traced:
        """Take the last steps of a padded convolution off, of `[:, :, :-n]`: fewer zeros stand behind the steps."""
        below = self.chain.layers[-2:]
        self.check_newest(value)
        if len(below) < 2 or not isinstance(below[0], Frames) or value.axes[at].name != self.steps.name:
            raise Unproved(OVER_PADDING if self.ragged else f"expected the last step alone to be taken, got {part}")
        frames, conv = below
        before, after = frames.pad if isinstance(frames.pad, tuple) else (0, 0)
        off = -part.stop if isinstance(part.stop, int) else None
        if part.stop == Extent(1, (self.steps.name.removesuffix("'"),)):  # the steps before the convolution
            off = before + after - frames.length + 1
        if part.start not in (None, 0) or part.step not in (None, 1) or frames.hop != 1 or off is None:
            raise Unproved(f"expected the last steps of a convolution to be taken off, got {part}")
        if not (0 < off <= after and conv.is_head):
            raise Unproved(f"expected at most the {after} steps of padding to be taken off, got {off}")
        frames.pad = (before, after - off)
        name = self.steps.name.removesuffix("'")
        self.steps = Axis(name if before + after - off == frames.length - 1 else f"{self.steps.name}'")
        self.chain.change_top(self.place)
        return replace(value, origin=self.chain.count, axes=(*value.axes[:at], self.steps, *value.axes[at + 1 :]))

    def read_reshape(self, name: str, node: Any) -> Traced:
        """Read `view`, `reshape` or `unflatten` to sizes of x and numbers, none of which cuts an axis."""
        value, rest = self.traced_value(node.args[0]), [*node.args[1:], *node.kwargs.values()]
        if any(axis.name == WINDOW for axis in value.axes):
            raise Unproved("expected a flatten behind unfold")
        shape = self.resolve(rest)
        if name == "unflatten":
            at = axis_index(shape[0], len(value.axes))
            shape = [[*value.axes[:at], *shape[1], *value.axes[at + 1 :]]]
        shape = [*shape[0]] if len(shape) == 1 and isinstance(shape[0], tuple | list) else shape
        if shape.count(-1) > 1 or not all(isinstance(size, int | Extent | Axis) for size in shape):
            raise Unproved("expected a shape of numbers and sizes of x")
        if self.out is None and value.axes[-1].size is None and not value.axes[-1].merged:  # x, (..., e)
            value = replace(value, axes=(*value.axes[:-1], replace(value.axes[-1], size=self.hint)))
        return reshaped(value, shape)

    def read_flatten(self, value: Traced, start: int, stop: int) -> Traced:
        """Merge the axes from `start` to `stop`; features and steps of a frame, in any order, become its features."""
        if WINDOW not in [axis.name for axis in value.axes[start:stop]]:
            return flatten_axes(value, start, stop)
        both = [axis for axis in value.axes[start:stop] if axis.name in (self.out.name, WINDOW)]
        others = [axis for axis in value.axes[start:stop] if axis not in both and axis.size != 1]
        if len(both) < 2 or others or self.out.size is None:
            raise Unproved("it makes one of several axes, or of features whose number is not known")
        sizes = [axis.size for axis in both]
        if both[1].name == WINDOW:
            self.row_order = np.arange(sizes[0] * sizes[1]).reshape(sizes).T.ravel()
        self.out = Axis("n", sizes[0] * sizes[1])
        return replace(value, axes=(*value.axes[:start], self.out, *value.axes[stop:]))

    def take_row_order(self) -> Any:
        """Return the order of the weight rows of the layer that now reads flattened frames (an index), and clear it."""
        places, self.row_order = self.row_order, None
        return slice(None) if places is None else places

    # --- attention ---

    def add_attention(self, known: list[Any], kind: str, axes: tuple[Axis, ...]) -> Traced:
        """Add the attention pool of a product of weights and all states; return the product with these `axes`.

        Of the `kind` "weighted" it is not summed yet.
        """
        weights, value = sorted(known, key=lambda each: each.kind != "weights")
        if weights.origin != self.chain.count:
            raise Unproved("its weights are not those of the newest layer")
        others = [axis for axis in value.axes if axis.name not in (self.samples.name, self.steps.name)]
        whole = value.parts in (None, self.parts(len(self.recurrent) - 1)) and len(others) == len(value.axes) - 2 == 1
        if not whole or value.kind not in ("states", "made"):
            raise Unproved("it weighs something else than all the output of a layer, (m, s, n)")
        self.chain.add_attention(value.origin, self.place, Unproved)
        self.out = others[0]
        return Traced(kind, self.chain.count, axes, value.dtype)

    def read_weighted(self, known: list[Any]) -> Traced:
        """Read the product of attention weights (m, s, 1) and states (m, s, u), number by number."""
        weights, value = sorted(known, key=lambda each: each.kind != "weights")
        due = (*value.axes[:-1], ONE)
        if value.kind == "weights" or weights.axes != due:
            raise Unproved("expected weights of each step, (m, s, 1), and what they weigh, (m, s, n)")
        return self.add_attention(known, "weighted", value.axes)

    def read_product(self, node: Any, equation: Any, *arguments: Any) -> Traced:
        """Read the sum of states weighted by attention as a product of matrices, which is described for einsum."""
        known = [self.traced_value(argument) for argument in arguments]
        if node.kwargs or len(known) != 2 or [each.kind for each in known].count("weights") != 1:
            raise Unproved("expected the weights of a softmax over the steps, and what they weigh")
        letters, _, made = equation.replace(" ", "").partition("->")
        pairs = [*zip(letters.replace(",", ""), (axis for each in known for axis in each.axes), strict=False)]
        axes = dict(pairs)
        long = [axis.name for axis in axes.values() if axis.size != 1]
        fits = [*map(len, letters.split(","))] == [len(each.axes) for each in known] and {*made} <= {*axes}
        if not fits or any(axes[letter] != axis for letter, axis in pairs) or len({*long}) < len(long):
            raise Unproved(f"expected axes as in {equation}")
        if [axis.name for letter, axis in axes.items() if letter not in made and axis != ONE] != [self.steps.name]:
            raise Unproved("expected a sum over the steps alone")
        return self.add_attention(known, "made", tuple(axes[letter] for letter in made))

    # --- operations ---

    def read_call(self, name: str, node: Any) -> Any:
        """Read a function or method on one array."""
        first, *rest = node.args or [node.kwargs.get("input")]
        options = {key: value for key, value in node.kwargs.items() if key != "input"}
        due = ARGUMENTS[name]
        if name == "permute" and len(rest) > 1:
            rest = [rest]
        if len(rest) > len(due) or options.keys() - due.keys():
            raise Unproved(f"expected the arguments {', '.join(due) or 'of an array alone'}")
        given = {**due, **dict(zip(due, rest, strict=False)), **options}
        if any(isinstance(value, self.torch.fx.Node) for value in given.values()):
            raise Unproved("expected numbers beside the array, got what is computed")
        return self.read_operation(name, first, given)

    def read_operation(self, kind: str, argument: Any, given: dict[str, Any]) -> Any:
        """Return the output of the operation `kind` on an array."""
        value, dim = self.traced_value(argument), given.get("dim")
        rank = len(value.axes)
        if given.get("dtype") is not None or given.get("_stacklevel", 3) != 3:
            raise Unproved("expected no dtype")
        if kind in NAMES:
            alpha = given.get("negative_slope", given.get("alpha"))
            return self.apply_onnx(NAMES[kind].node, argument, **({} if alpha is None else {"alpha": alpha}))
        if kind in BOUNDS:
            low, high = (given.get(bound, bound) for bound in BOUNDS[kind])
            return self.apply_onnx("Clip", argument, min=low, max=high)
        if kind == "dropout":
            if given["training"]:
                raise Unproved("it drops in inference too; expected training=self.training")
            self.check_newest(value)
            return self.add_layer(Dropout(given["p"]), value, self.place, value.axes) if given["p"] else value
        if kind in POOLS:
            dims = dim if isinstance(dim, tuple | list) else (dim,)
            axes = [axis_index(each, rank) for each in dims]
            made = self.apply_onnx(POOLS[kind], argument, axes=axes, keepdims=given["keepdim"])
            return (made, None) if kind == "max" else made
        if kind == "sum":
            at = axis_index(dim[0] if isinstance(dim, tuple | list) and len(dim) == 1 else dim, rank)
            if (value.kind, value.origin) != ("weighted", self.chain.count) or value.axes[at].name != self.steps.name:
                raise Unproved("expected the sum over the steps of states times weights of a softmax over the steps")
            axes = (*value.axes[:at], *([ONE] if given["keepdim"] else []), *value.axes[at + 1 :])
            return replace(value, kind="made", axes=axes)
        if kind == "softmax":
            names = {self.samples.name, self.steps.name}
            single = all(axis.size == 1 or axis.name in names for axis in value.axes)
            if single and self.is_step_axis(value, axis_index(dim, rank)):
                return replace(value, kind="weights", axes=tuple(a if a.name in names else ONE for a in value.axes))
            return self.apply_onnx("Softmax", argument, axis=axis_index(dim, rank))
        if kind in ("transpose", "swapaxes"):
            i, j = (axis_index(each, rank) for each in given.values())
            perm = {i: j, j: i}
            return self.apply_onnx("Transpose", argument, perm=[perm.get(axis, axis) for axis in range(rank)])
        if kind == "permute":
            if not isinstance(given["dims"], tuple | list):
                raise Unproved(f"expected the dimensions in an order, got {given['dims']}")
            return self.apply_onnx("Transpose", argument, perm=[axis_index(each, rank) for each in given["dims"]])
        if kind == "flatten":
            start, end = (axis_index(each, rank) for each in given.values())
            return self.read_flatten(value, start, end + 1)
        if kind == "unfold":
            return self.read_unfold(value, given)
        known = kind == "squeeze" and dim is not None and value.axes[axis_index(dim, rank)].size not in (None, 1)
        if kind in ("squeeze", "unsqueeze") and not known:  # of a size that is known, and not 1, nothing is taken
            return self.apply_onnx(kind.capitalize(), argument, axes=None if dim is None else [dim])
        return value

    def read_arithmetic(self, sign: str, node: Any) -> Any:
        """Add a Scale for x + c, c - x, ... with c a number or one for each feature; return its output."""
        if len(node.args) != 2 or node.kwargs:
            raise Unproved("expected two arguments and no others")
        known = [self.resolve(argument) for argument in node.args]
        if all(isinstance(each, Extent | int | float) for each in known):
            return operator.mul(*known) if sign == "mul" else UNKNOWN
        if sign == "sub" and isinstance(known[0], Given) and known[1] == 1:
            return replace(known[0], last=True)
        if sign == "mul" and any(isinstance(each, Traced) and each.kind == "weights" for each in known):
            return self.read_weighted([self.traced_value(argument) for argument in node.args])
        at = next((i for i, each in enumerate(known) if isinstance(each, Traced)), None)
        if all(isinstance(each, Traced | Padded) for each in known):
            raise Unproved("it joins two arrays, and a network is one chain of layers, without branches and residuals")
        if at is None or not isinstance(known[1 - at], Weight | int | float):
            raise Unproved(f"expected an array and a number or a weight, got {' and '.join(map(str, node.args))}")
        value, other = known[at], known[1 - at]
        c = other.plain() if isinstance(other, Weight) else np.float64(other)
        dtype = next((array_of(p).dtype for p in self.source.parameters()), c.dtype)  # a number of Python's is of any
        if c.dtype not in (np.float32, np.float64) or (c.ndim and c.dtype != dtype):
            raise Unproved(f"expected {dtype}, got {c.dtype}")
        self.check_newest(value)
        n = self.feature_count(value) if c.size > 1 or self.out is not None else self.hint
        found = per_feature(c, n, len(value.axes))
        if found is None:
            raise Unproved(f"expected one number, or one for each of {n} features, got {c.shape}")
        c, n = found
        if isinstance(other, Weight) and other.trainable and c.size < n:
            raise Unproved(f"one number that is trained would be {n} here, one for each feature; freeze it")
        if self.row_order is not None and c.size > 1:
            raise Unproved("expected a Linear or a GRU behind unfold and flatten first")
        if sign == "div" and (at or not np.isfinite(1 / c[c != 0]).all() or not c.all()):
            raise Unproved("it divides by zero, or by what is no constant")
        layer = affine(sign, c, at, n, dtype)
        layer.trainable = isinstance(other, Weight) and other.trainable
        if isinstance(other, Weight):
            self.used_by(other)
        return self.add_layer(layer, value, self.place, value.axes, None if self.out is None else n)


def is_univariate(graph: Any) -> bool:
    """Return whether x is (m, s), whose steps get their one feature by `x.unsqueeze(-1)`."""
    x, *_ = graph.nodes
    return any(user.target == "unsqueeze" and user.args[1:] in ((-1,), (2,)) for user in x.users)
