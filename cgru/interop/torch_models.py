"""PyTorch's `nn.GRU`, its state dict, and modules that are a chain with a GRU in it, as layers; and back.

Letters: m samples, s steps, n features of a step. A chain is read from the trace of `torch.fx`, node by node as one of
ONNX is (`cgru.interop.reader`). A node that does anything else with an array is refused.
"""

from __future__ import annotations

import copy
import operator
import re
import sys
from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from cgru.activations import identity, ours, sigmoid, softmax, tanh
from cgru.bidirectional import Bidirectional
from cgru.gru import GRU
from cgru.interop import gates
from cgru.interop.chain_builder import affine, dense, per_feature
from cgru.interop.gates import FUNCTIONS, TORCH, Refusal, array, refusal
from cgru.interop.onnx_values import FLOATS, LENGTHS, ONE, Axis, Node, Traced, Unproved, axis_index, flatten_axes
from cgru.interop.reader import Reader
from cgru.layers import Dropout, Frames
from cgru.network import Network

__all__ = ["from_torch", "to_torch"]

KEYS = ("weight_ih", "weight_hh", "bias_ih", "bias_hh")
KEY = re.compile(rf"({'|'.join(KEYS)})(?:_l(\d+)(_reverse)?)?")
SUFFIXES = ("", "_reverse")
HOOKS = ("_forward_hooks", "_forward_pre_hooks", "_backward_hooks", "_backward_pre_hooks")  # of the module itself
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
SHAPE_ATTRIBUTES = ("shape", "device", "dtype")  # attributes
TURNED_IN_PLACE = ("transpose_", "squeeze_", "unsqueeze_")  # they change the axes that other nodes see
MOVED_ZEROS = ("to", "type_as", "float", "double", "contiguous", "requires_grad_")


# --- from there ---


def from_torch(source: Any) -> Network:
    """Return a `torch.nn.GRU`, a `GRUCell`, the state dict of one, or a module that is a chain with one, as a network.

    A GRU by itself becomes a network without a head, whose `predict(X, lengths, h0)` gives all states of the last
    layer, (m, s, directions x u), for X (m, s, e) whatever `batch_first` was. Dropout between layers becomes `Dropout`
    layers, a layer whose parameters all have `requires_grad=False` is not `trainable`; a state dict knows of neither.
    No biases are zeros.

    The `forward(x)` of any other module is traced by `torch.fx` in `eval`, with the defaults of its other arguments. It
    may be a chain of these, each on the whole output of the one below: Embedding, Linear, GRU, Dropout, ReLU,
    LeakyReLU, ELU, Sigmoid, Tanh, Softmax over the features, ReLU6, Hardtanh and clamp, as modules, functions or
    methods; sums, differences, products and quotients with numbers and buffers (n,); `[0]` of a GRU; the last step or
    the last state (`[:, -1]`, `h[-1]`, `cat((h[-2], h[-1]), -1)`); mean, amax and max over the steps; attention:
    `a = softmax(score, 1)` with a score of each step y, `Linear(u, 1)` or `Linear(n, 1)` of tanh of `Linear(u, n)`, and
    `(a * y).sum(1)`, or that by bmm, matmul or einsum, which becomes `Pool("attention")`; transpose,
    permute, squeeze, unsqueeze, flatten and contiguous if they move no number; `unfold` over the steps with a flatten
    after it, which becomes `Frames` (the weights above it are reordered). A GRU starts from zeros: no state, or
    `torch.zeros` of x's sizes. The network takes X (m, s, e) or tokens (m, s) and returns (m, s, k) or (m, k), whatever
    the order of the first two axes is in the module. Anything else is refused by the name of its node before anything
    is made: control flow, packing, several inputs, branches, hooks, shared weights.

    Args:
        source: the module, with neither hooks nor parametrizations, or a mapping from `weight_ih_l0`, ... to tensors
            or arrays, float32 or float64.

    Raises:
        TypeError, ValueError: the source is something else, or its tensors do not fit together.
    """
    torch = sys.modules.get("torch")
    if torch is not None and isinstance(source, torch.nn.Module):
        recurrent = isinstance(source, torch.nn.RNNBase | torch.nn.RNNCellBase)
        if not recurrent and "quantized" not in type(source).__module__:
            return Network(_traced_layers(source))
    return Network(_gru_layers(source))


def _gru_layers(source: Any) -> list[Any]:
    """Return the layers of a `torch.nn.GRU`, a `GRUCell` or a state dict, with all states; see `from_torch`."""
    module = None if isinstance(source, Mapping) else source
    tensors = source if module is None else _parameters(module)
    rate = float(getattr(module, "dropout", 0.0))
    found = _arrays_by_layer(tensors)
    depth, directions = 1 + max(layer for layer, _ in found), 1 + max(direction for _, direction in found)
    if len(found) != depth * directions:
        raise ValueError(f"source: expected all layers and directions, got {len(found)} of {depth * directions}")
    layers: list[Any] = []
    for number in range(depth):
        parts = [_gru_parameters(found[number, d], number) for d in range(directions)]
        layers.append(gates.gru_layer(parts, TORCH.variant({}), sequences=True))
        if module is not None:
            own = (p for key, p in tensors.items() if int(KEY.fullmatch(key).group(2) or 0) == number)
            layers[-1].trainable = _is_trainable(own, f"layer {number}", refusal("source"))
        if rate and number < depth - 1:
            layers.append(Dropout(rate))
    return layers


def _kind_of(value: Any) -> type:
    """Return the class of a tensor or module; for a `cgru.torch` module the PyTorch class that it stands for."""
    kind = type(value)
    return kind.__mro__[1] if kind.__module__ == "cgru.torch.modules" else kind


def _check_calls(module: Any, refuse: Refusal) -> None:
    """Refuse a module whose call may do something else than its class says: hooks, replaced methods."""
    for hooks in HOOKS:
        for hook in getattr(module, hooks, None) or ():
            hook = getattr(module, hooks)[hook]
            raise refuse(f"it has a hook, {getattr(hook, '__qualname__', hook)!r} among its {hooks}: remove it first")
    if gates.overridden(module):
        raise refuse(f"its {gates.overridden(module)} is another than that of its class")


def _check_plain(module: Any, due: list[str], refuse: Refusal) -> None:
    """Refuse a module whose parameters are not exactly the names `due`, or are not plain tensors."""
    torch, parameters = sys.modules["torch"], dict(module.named_parameters())
    if sorted(parameters) != sorted(due):
        raise refuse(f"expected the parameters {', '.join(due)}, got {', '.join(parameters)}")
    for name, parameter in parameters.items():
        if _kind_of(parameter) is not torch.nn.Parameter or _kind_of(parameter.data) is not torch.Tensor:
            kinds = f"{type(parameter).__name__} of a {type(parameter.data).__name__}"
            raise refuse(f"{name} is no plain parameter, but a {kinds}")
        if parameter._backward_hooks or parameter._post_accumulate_grad_hooks:
            raise refuse(f"{name} has a hook on its gradient: remove it first")


def _parameters(module: Any) -> dict[str, Any]:
    """Return the parameters of a GRU module by name; refuse one that may compute something else with them."""
    torch, kind = sys.modules.get("torch"), _kind_of(module)
    if torch is None or kind not in (torch.nn.GRU, torch.nn.GRUCell):
        quantized = ", the quantized one: convert the module of floats" if "quantized" in kind.__module__ else ""
        got = f"{kind.__module__}.{kind.__qualname__}".removeprefix("builtins.")
        raise TypeError(f"source: expected a torch.nn.GRU, a GRUCell or a state dict, got {got}{quantized}")
    refuse = refusal(f"source: {module} cannot be had here")
    _check_calls(module, refuse)
    parameters = dict(module.named_parameters())
    layers = range(getattr(module, "num_layers", 1))
    keys = [key for key in KEYS if module.bias or not key.startswith("bias")]
    due = keys
    if kind is torch.nn.GRU:
        suffixes = SUFFIXES if module.bidirectional else SUFFIXES[:1]
        due = [f"{key}_l{number}{suffix}" for number in layers for suffix in suffixes for key in keys]
        if module.proj_size:
            raise refuse(f"expected proj_size 0, got {module.proj_size}")
        if [*map(id, module._flat_weights)] != [id(parameters.get(name)) for name in due]:
            raise refuse(f"it computes with other tensors than its parameters {', '.join(due)}")
    _check_plain(module, due, refuse)
    return parameters


def _is_trainable(parameters: Iterable[Any], whose: str, refuse: Refusal) -> bool:
    """Return whether parameters require gradients; refuse a mixture, which the error says `whose` it is."""
    flags = {bool(parameter.requires_grad) for parameter in parameters}
    if len(flags) > 1:
        raise refuse(f"expected requires_grad of all parameters of {whose} or of none, got both")
    return flags.pop()


def _arrays_by_layer(tensors: Mapping[str, Any]) -> dict[tuple[int, int], dict[str, np.ndarray]]:
    """Return the arrays of each (layer, direction), by their names in PyTorch."""
    found: dict[tuple[int, int], dict[str, np.ndarray]] = {}
    for key, tensor in tensors.items():
        match = KEY.fullmatch(key) if isinstance(key, str) else None
        if match is None:
            raise ValueError(f"source: expected the keys of a torch.nn.GRU (weight_ih_l0, ...), got {key!r}")
        name, layer, back = match.groups()
        place = found.setdefault((int(layer or 0), int(back is not None)), {})
        if name in place:
            raise ValueError(f"source: expected {name} of layer {layer or 0} once, got another, {key!r}")
        place[name] = array(tensor, f"source[{key!r}]")
    if not found:
        raise ValueError("source: expected the tensors of a torch.nn.GRU, got none")
    return found


def _gru_parameters(tensors: dict[str, np.ndarray], layer: int) -> dict[str, np.ndarray]:
    """Return our parameters for the tensors of one direction of a layer; ValueError if they do not fit."""
    missing = [key for key in KEYS[: 4 if len(tensors) > 2 else 2] if key not in tensors]
    if missing:
        raise ValueError(f"source: expected {missing[0]} of layer {layer}, which is missing")
    u, e = ((np.shape(tensors[key]) or (0,))[-1] for key in ("weight_hh", "weight_ih"))
    shapes = {"weight_ih": (3 * u, e), "weight_hh": (3 * u, u)}
    for key, value in tensors.items():
        due, dtype = shapes.get(key, (3 * u,)), tensors["weight_hh"].dtype
        if value.shape != due or value.dtype != dtype:
            raise ValueError(f"source: expected {key} of layer {layer} {dtype} {due}, got {value.dtype} {value.shape}")
    return TORCH.to_cgru(*(tensors.get(key) for key in KEYS), TORCH.variant({}))


# --- chains from there ---


def _traced_layers(source: Any) -> list[Any]:
    """Return the layers of a module; TypeError or ValueError if it is no chain of them."""
    torch = sys.modules["torch"]
    import torch.fx as fx

    start = f"source: {type(source).__name__} cannot be had here"
    refuse = refusal(start)
    for path, module in source.named_modules():
        _check_calls(module, refusal(f"{start}: {type(module).__name__} {path!r}"))

    class Whole(torch.nn.Module):
        """The module in `eval`, called with x alone and the defaults of its other arguments."""

        def __init__(self) -> None:
            """Copy the module, in `eval`."""
            super().__init__()
            self.model = copy.deepcopy(source).eval()

        def forward(self, x: Any) -> Any:
            """Return the module's output for x alone."""
            return self.model(x)

    try:
        whole = Whole()
        before = _attributes(whole.model)
        graph = fx.Tracer().trace(whole)
    except Exception as error:  # whatever the module raises on a tracing proxy
        raise refuse(f"torch.fx cannot trace it: {type(error).__name__}: {error}") from None
    after = _attributes(whole.model)
    for name in before | after:
        if name not in before or before[name] is not after.get(name):
            raise refuse(f"its forward sets {name}, so that the next call may do something else")
    return Trace(torch, source, whole, graph, refuse).chain.layers


def _attributes(model: Any) -> dict[str, Any]:
    """Return all attributes of the modules of a model, by name."""
    found = {}
    for path, module in model.named_modules():
        for name, value in vars(module).items():
            parts = value.items() if isinstance(value, dict) else [("", value)]
            found |= {".".join(filter(None, (path, name, str(key)))): part for key, part in parts}
    return found


ZEROS, SIZE = "zeros", "size"  # markers for values outside the chain
WINDOW = "w"  # the name of the axis of a frame's steps


class Trace(Reader):
    """A reader of a `torch.fx` trace, whose operations are described by ONNX nodes."""

    def __init__(self, torch: Any, source: Any, whole: Any, graph: Any, refuse: Refusal) -> None:
        """Read all nodes of the trace `graph` of the module `source` into layers; refuse what is not proved."""
        super().__init__()
        self.torch, self.whole, self.source = torch, whole, source
        self.modules = {f"model.{path}".rstrip("."): module for path, module in source.named_modules()}
        self.used: set[int] = set()  # parameters
        self.untraced: dict[str, Any] = {}  # by name: several values as a tuple, a constant, ZEROS or SIZE
        called = [self.modules[node.target] for node in graph.nodes if node.op == "call_module"]
        n = self.input_features(graph)
        self.framed_axis = ""  # the name of the axis that frames were cut along
        # Row order of the weights of the layer that will read flattened frames; None: no frames wait for a layer.
        self.row_order: np.ndarray | None = None
        tokens = any(_kind_of(module) is torch.nn.Embedding for module in called)
        axes = (Axis("0"), Axis("1")) if tokens else (Axis("0"), Axis("1"), Axis("2", n))
        for i, node in enumerate(graph.nodes):
            self.place = f"node {i}, {self.describe_node(node)}"
            try:
                if node.op == "placeholder":
                    made = Traced("input", node.name, axes, max(LENGTHS) if tokens else FLOATS["float32"])
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
            size = getattr(module, "in_features", getattr(module, "input_size", None))
            if size is not None:
                return size // length
        return None

    def describe_node(self, node: Any) -> str:
        """Return what a node is called in an error."""
        if node.op == "call_module":
            return f"{type(self.modules[node.target]).__name__} {node.target.removeprefix('model.')!r}"
        what = node.target if isinstance(node.target, str) else getattr(node.target, "__name__", str(node.target))
        return f"{what} {node.name!r}"

    def resolve(self, argument: Any) -> Any:
        """Return the traced value, tuple or constant of a node; any other argument as it is."""
        if not isinstance(argument, self.torch.fx.Node):
            return argument
        return self.values.get(argument.name, self.untraced.get(argument.name))

    def traced_value(self, argument: Any) -> Traced:
        """Return the traced value of an argument; Unproved if it has none."""
        value = self.resolve(argument)
        if not isinstance(value, Traced):
            raise Unproved(f"expected the output of the layer below, {self.chain.top_name}, got {argument}")
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
            nn.Identity: "contiguous",
        }  # fmt: skip
        kind = kinds.get(_kind_of(module))
        if kind is None:
            raise Unproved("nothing of its kind may stand there")
        for parameter in module.parameters():
            if id(parameter) in self.used:
                raise Unproved("its weights are those of another layer, too; expected each once")
        self.used |= set(map(id, module.parameters()))
        given = [*node.args, *node.kwargs.values()]
        if kind == self.read_gru:
            return self.read_gru(node, module)
        if len(given) != 1:
            raise Unproved(f"expected a call with one array, got {len(given)} arguments")
        if not isinstance(kind, str):
            return kind(given[0], module)
        options = {name: name != "training" and getattr(module, name, due) for name, due in ARGUMENTS[kind].items()}
        return self.read_operation(kind, given[0], options)

    def call_function(self, node: Any) -> Any:
        """Read the call of one of PyTorch's functions or of an operator."""
        torch, name = self.torch, getattr(node.target, "__name__", "")
        zeros = node.target is torch.zeros and all(self.resolve(value) is SIZE for value in node.all_input_nodes)
        if zeros or node.target is torch.zeros_like:
            return ZEROS
        readers = {getattr: self.read_attribute, operator.getitem: self.read_item, torch.cat: self.read_cat}
        if node.target in readers:
            return readers[node.target](node)
        if node.target is torch.einsum:
            return self.read_product(node, *node.args)
        if node.target in (torch.bmm, torch.matmul, operator.matmul):
            return self.read_product(node, PRODUCTS[name], *node.args)
        if node.target in (getattr(operator, name, None), getattr(torch, name, None)) and name in SIGNS:
            return self.read_arithmetic(SIGNS[name], node)
        functional = torch.nn.functional
        own = name != "unfold" and node.target in (getattr(torch, name, None), getattr(functional, name, None))
        if own and name in ARGUMENTS:
            return self.read_call(name, node)
        raise Unproved("nothing of its kind may stand there")

    def call_method(self, node: Any) -> Any:
        """Read the call of a tensor's method."""
        name = node.target
        first = self.resolve(node.args[0]) if node.args else None
        if first is None:
            raise Unproved("nothing of its kind may stand there")
        if name == "new_zeros":
            return ZEROS
        if name in SIZE_METHODS and (isinstance(first, Traced) or first is SIZE):
            return SIZE
        if first is ZEROS and name in MOVED_ZEROS:
            return first
        if name.rstrip("_") in SIGNS:
            return self.read_arithmetic(SIGNS[name.rstrip("_")], node)
        if name in PRODUCTS:
            return self.read_product(node, PRODUCTS[name], *node.args)
        if name in TURNED_IN_PLACE and len(node.args[0].users) > 1:
            raise Unproved("it turns an array in place that is used again")
        if name.removesuffix("_") in ARGUMENTS:
            return self.read_call(name.removesuffix("_"), node)
        raise Unproved("nothing of its kind may stand there")

    def get_attr(self, node: Any) -> Any:
        """Return a buffer of the model, or ZEROS for zeros that forward makes.

        Any other tensor made in forward may be noise and is refused.
        """
        owner, _, name = node.target.rpartition(".")
        value = getattr(self.modules[owner] if owner else self.whole, name, None)
        if _kind_of(value) is not self.torch.Tensor:
            raise Unproved(f"expected a buffer, got a {type(value).__name__}")
        if not owner and bool(value.any()):
            raise Unproved("expected a buffer, got a tensor that forward makes")
        return array_of(value) if owner else ZEROS

    def read_attribute(self, node: Any) -> Any:
        """Read an attribute of an array: a size, or the values that max returns."""
        value, name = self.resolve(node.args[0]), node.args[1]
        if name in SHAPE_ATTRIBUTES and (isinstance(value, Traced) or value is ZEROS):
            return SIZE
        if name == "values" and isinstance(value, tuple) and value[1] is None:
            return value[0]
        raise Unproved(f"its attribute {name} may not stand there")

    def read_item(self, node: Any) -> Any:
        """Read an index: into the results of a GRU or max, of the last step, or of one of the last states."""
        value, index = self.resolve(node.args[0]), node.args[1]
        if value is SIZE:
            return value
        if isinstance(value, tuple) and index in (0, 1, -1, -2):
            return value[index]
        if not isinstance(value, Traced):
            raise Unproved("it takes a part of what is not known")
        rank, index = len(value.axes), index if isinstance(index, tuple) else (index,)
        if Ellipsis in index:
            at = index.index(Ellipsis)
            index = (*index[:at], *[slice(None)] * (rank - len(index) + 1), *index[at + 1 :])
        taken = [i for i, item in enumerate(index) if item != slice(None)]
        one = len(index) <= rank and len(taken) == 1 and type(index[taken[0]]) is int
        if value.kind != "ends" and not (one and index[taken[0]] == -1 and self.is_step_axis(value, taken[0])):
            self.check_newest(value)
            raise Unproved(f"expected the last step alone to be taken, got {index}")
        if not one:
            raise Unproved(f"expected one of the last states to be taken, got {index}")
        return self.apply_onnx("Gather", node.args[0], index[taken[0]], axis=taken[0])

    def output(self, node: Any) -> None:
        """Refuse an output unless it is the newest, with at most the last states of the only GRU beside it."""
        first, *rest = node.args[0] if isinstance(node.args[0], tuple | list) else [node.args[0]]
        value, ends = self.resolve(first), [self.resolve(other) for other in rest]
        value = value[0] if isinstance(value, tuple) else value
        every = tuple(part for number, _ in enumerate(self.recurrent) for part in self.parts(number))
        if len(ends) > 1 or any(
            not isinstance(end, Traced) or (end.kind, end.parts) != ("ends", every) for end in ends
        ):
            raise Unproved("expected one output, and beside it at most the last states of the only GRU")
        if not isinstance(value, Traced) or not self.is_newest(value):
            raise Unproved(f"expected the output of the newest layer, {self.chain.top_name}, got {first}")
        names = [axis.name for axis in value.axes]
        if self.row_order is not None or WINDOW in names:
            raise Unproved("expected a Linear or a GRU behind unfold and flatten")
        if self.out.name in names[:-1]:
            raise Unproved(f"expected the features in the last axis, got axes {', '.join(names)}")
        if value.kind == "ends":
            self.chain.keep_last_state(self.place)

    # --- layers ---

    def with_trainable(self, layer: Any, module: Any) -> Any:
        """Return the layer, `trainable` as the parameters of its module are."""
        layer.trainable = _is_trainable(module.parameters(), "a layer", Unproved)
        return layer

    def read_linear(self, argument: Any, module: Any) -> Traced:
        """Add a Dense layer for a Linear module; return its output."""
        _check_plain(module, ["weight", "bias"] if module.bias is not None else ["weight"], Unproved)
        value, W = self.traced_value(argument), array(module.weight, f"{self.place}, weight").T
        n = self.feature_count(value)
        if n not in (None, len(W)):
            raise Unproved(f"expected {len(W)} features in the last axis, got {n}")
        layer = dense(W[self.take_row_order()], module.bias, f"{self.place}, weight", Unproved)
        return self.add_layer(self.with_trainable(layer, module), value, self.place, value.axes, layer.d["u"])

    def read_table(self, argument: Any, module: Any) -> Traced:
        """Add an Embedding layer for an Embedding module; return its output."""
        _check_plain(module, ["weight"], Unproved)
        if module.max_norm is not None:
            raise Unproved("expected max_norm None, for it changes the weights in a call")
        self.traced_value(argument)
        table = {"table": array(module.weight, f"{self.place}, weight")}
        made = self.read_embedding(Node("Gather", ["table", argument.name], [""], {}, table, OPSET), self.place)
        self.with_trainable(self.chain.layers[0], module)
        return made

    def read_gru(self, node: Any, module: Any) -> tuple[Traced, Traced]:
        """Add all layers of a GRU module; return (its states, its last states) as traced values."""
        given = dict(zip(("input", "hx"), node.args, strict=False)) | node.kwargs
        hx = given.get("hx")
        if hx is not None and self.resolve(hx) is not ZEROS:
            raise Unproved(f"expected it to start from nothing or from torch.zeros, got {hx}")
        self.traced_value(given.get("input"))
        self.check_input(
            given["input"].name, module.batch_first, module.input_size, f"it takes {module.input_size}", Unproved
        )
        if self.framed_axis not in ("", self.steps.name):
            raise Unproved("it goes over the samples, where unfold goes over the steps")
        first, layers, places = len(self.recurrent), _gru_layers(module), self.take_row_order()
        for cell in layers[0].cells:
            cell.p |= {name: cell.p[name][places] for name in cell.p if name.startswith("U")}
        for layer in layers:
            self.chain.add(layer, self.place)
            self.recurrent += [layer] if layer.cells else []
        parts = [self.parts(number) for number in range(first, len(self.recurrent))]
        u, D, count, dtype = module.hidden_size, len(parts[0]), self.chain.count, FLOATS["float32"]
        self.out = Axis("d u", D * u) if D > 1 else Axis("u", u)
        axes = (self.samples, self.steps, self.out) if module.batch_first else (self.steps, self.samples, self.out)
        last = (Axis("d", D * len(parts)), self.samples, Axis("u", u))
        states = Traced("states", count, axes, dtype, "d", parts[-1])
        return states, Traced("ends", count, last, dtype, "d", tuple(part for each in parts for part in each))

    def read_cat(self, node: Any) -> Traced:
        """Return the last states of both directions, concatenated."""
        given = dict(zip(("tensors", "dim"), node.args, strict=False)) | node.kwargs
        parts = [self.resolve(part) for part in given.get("tensors", ())]
        if not all(isinstance(part, Traced) and part.kind == "ends" and len(part.axes) == 2 for part in parts):
            raise Unproved("it joins what are no last states of one GRU")
        axes = (self.samples.name, "u")
        if given.get("dim") not in (1, -1) or any(tuple(axis.name for axis in part.axes) != axes for part in parts):
            raise Unproved("it does not join along the features")
        if len(parts) < 2 or len({part.origin for part in parts}) > 1:
            raise Unproved("it does not join several last states of one GRU")
        side = Axis("d u", sum(part.axes[1].size for part in parts))
        every = tuple(each for part in parts for each in part.parts)
        return replace(parts[0], axes=(parts[0].axes[0], side), parts=every)

    # --- frames ---

    def feature_count(self, value: Traced) -> int | None:
        """Return the number of features of the newest output, None if unknown; Unproved if frames are not flattened."""
        if any(axis.name == WINDOW for axis in value.axes):
            raise Unproved("expected a flatten behind unfold")
        return super().feature_count(value)

    def read_unfold(self, value: Traced, given: dict[str, Any]) -> Traced:
        """Add Frames for `x.unfold(dimension, size, step)` over the steps; frames' steps get an axis of their own."""
        at = axis_index(given["dimension"], len(value.axes))
        if self.chain.count == 0 and value.kind == "input":  # whose features may stand anywhere
            features = next((axis for axis in value.axes if axis.name == self.last_axis(str(value.origin))), ONE)
        else:
            self.check_newest(value)
            features = self.out
        others = [axis.name for i, axis in enumerate(value.axes) if i != at and axis.name != features.name]
        known = self.recurrent or self.framed_axis
        if len(value.axes) != 3 or len(others) != 1 or (known and value.axes[at].name != self.steps.name):
            raise Unproved("it is not over the steps of all samples, (m, s, n)")
        if self.row_order is not None:
            raise Unproved("expected a Linear or a GRU between two unfolds")
        try:
            layer = Frames(given["size"], given["step"], pad=False)
        except (TypeError, ValueError) as error:
            raise Unproved(str(error)) from None
        self.framed_axis, self.out = value.axes[at].name, features
        self.steps = value.axes[at]
        return self.add_layer(layer, value, self.place, (*value.axes, Axis(WINDOW, layer.length)))

    def read_flatten(self, value: Traced, start: int, stop: int) -> Traced:
        """Merge the axes from `start` to `stop`; features and steps of a frame, in any order, become its features."""
        both = [axis for axis in value.axes[start:stop] if axis.name in (self.out.name, WINDOW)]
        if len(both) < 2 or WINDOW not in (both[0].name, both[1].name):
            return flatten_axes(value, start, stop)
        if any(axis.size != 1 for axis in value.axes[start:stop] if axis not in both) or self.out.size is None:
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
        if all(each is SIZE or isinstance(each, int | float) for each in known):
            return SIZE
        if sign == "mul" and any(isinstance(each, Traced) and each.kind == "weights" for each in known):
            return self.read_weighted([self.traced_value(argument) for argument in node.args])
        at = next((i for i, each in enumerate(known) if isinstance(each, Traced)), None)
        if at is None or not isinstance(known[1 - at], np.ndarray | int | float):
            raise Unproved(f"expected an array and a number or a buffer, got {' and '.join(map(str, node.args))}")
        value, other = known[at], known[1 - at]
        c = other if isinstance(other, np.ndarray) else np.float64(other)
        dtype = next((array_of(p).dtype for p in self.source.parameters()), c.dtype)  # a number of Python's is of any
        if c.dtype not in (np.float32, np.float64) or (c.ndim and c.dtype != dtype):
            raise Unproved(f"expected {dtype}, got {c.dtype}")
        n = self.feature_count(value)
        found = per_feature(c, n, len(value.axes))
        if found is None:
            raise Unproved(f"expected one number, or one for each of {n} features, got {c.shape}")
        c, n = found
        if self.row_order is not None and c.size > 1:
            raise Unproved("expected a Linear or a GRU behind unfold and flatten first")
        if sign == "div" and (at or not np.isfinite(1 / c[c != 0]).all() or not c.all()):
            raise Unproved("it divides by zero, or by what is no constant")
        layer = affine(sign, c, at, n, dtype)
        layer.trainable = False
        return self.add_layer(layer, value, self.place, value.axes, n)


def array_of(tensor: Any) -> np.ndarray:
    """Return a tensor's numbers as an array."""
    return tensor.detach().cpu().numpy()


# --- to there ---


def to_torch(net: Network | GRU | Bidirectional | list | tuple) -> Any:
    """Return a `torch.nn.GRU`, batch first, with the weights of a layer, a list or a network without a head.

    The layers are GRUs, or Bidirectionals that concatenate, of one width and direction, with `reset_after`, tanh and
    sigmoid; between them may stand `Dropout` of one rate. The module always returns all states and the last ones,
    whatever `sequences` of the last layer says. Of the two biases for r and z the second is zero. Parameters of layers
    that are not `trainable` have `requires_grad=False`. Its `state_dict()` is the state dict.

    Raises:
        ImportError: PyTorch is not installed.
        RuntimeError: there are no parameters yet.
        TypeError, ValueError: something that torch.nn.GRU cannot express, with the reason.
    """
    layers = gates.checked_layers(net)
    rate = _dropout_rate(layers, net)
    try:
        import torch
    except ImportError:
        raise ImportError("to_torch: PyTorch is missing: pip install torch") from None

    recurrent = [layer for layer in layers if layer.cells]
    dtype, first = gates.dtype_of(layers), recurrent[0].cells
    e, u = first[0].p["Uz"].shape
    module = torch.nn.GRU(
        e, u, len(recurrent), batch_first=True, dropout=rate, bidirectional=len(first) > 1,
        dtype=getattr(torch, dtype.name),
    )  # fmt: skip
    state = {}
    for number, layer in enumerate(recurrent):
        for suffix, half in zip(SUFFIXES, layer.cells, strict=False):
            for key, value in zip(KEYS, TORCH.from_cgru(half.p), strict=True):
                state[f"{key}_l{number}{suffix}"] = torch.from_numpy(value)
    module.load_state_dict(state)
    for number, layer in enumerate(recurrent):
        for name, parameter in module.named_parameters():
            if int(KEY.fullmatch(name).group(2)) == number:
                parameter.requires_grad_(bool(layer.trainable))
    return module


def _dropout_rate(layers: tuple[Any, ...], net: Any) -> float:
    """Return the rate of the dropout between the layers; refuse layers that torch.nn.GRU cannot express."""
    if isinstance(net, Network) and net.mean is not None:
        raise ValueError("net: cannot be a torch.nn.GRU: it standardises its input")
    recurrent, rates = [i for i, layer in enumerate(layers) if layer.cells], []
    refusals = [refusal(f"net: layer {i}, {layer!r}, cannot be a torch.nn.GRU") for i, layer in enumerate(layers)]
    for i, layer in enumerate(layers):
        if hasattr(layer, "rate") and 0 < i < len(layers) - 1 and i - 1 in recurrent:
            rates.append(layer.rate)
        elif not layer.cells:
            raise refusals[i]("expected GRU or Bidirectional layers, and Dropout only between two of them")
    first = layers[recurrent[0]].cells
    for i in recurrent:
        _check_layer(layers[i], refusals[i])
        if len(layers[i].cells) != len(first) or layers[i].cells[0].d["u"] != first[0].d["u"]:
            raise refusals[i]("all layers have one width and the same directions there")
    if len(set(rates)) > 1 or len(rates) not in (0, len(recurrent) - 1):
        raise ValueError("net: cannot be a torch.nn.GRU: expected Dropout of one rate between all layers, or none")
    return rates[0] if rates else 0.0


def _check_layer(layer: GRU | Bidirectional, refuse: Refusal) -> None:
    """Refuse a layer that a torch.nn.GRU cannot have."""
    cell = TORCH.checked_cell(layer, refuse)
    if (ours(cell.activate), ours(cell.activate_update)) != (tanh, sigmoid):
        raise refuse("its activations are tanh and sigmoid there")
    if getattr(layer, "merge", "concat") != "concat":
        raise refuse(f"the directions are concatenated there, not merged by {layer.merge}")
