"""A `torch.nn.GRU` or its state dict as layers, and back; modules that are a chain with one in it, as layers.

m samples, s steps, n elements of a step. A chain is had by its trace, `torch.fx`'s, read node by node. Nothing is taken
on trust, as in `cgru.interop.onnx_from`: an array is known where it is all the output of the newest layer, axis by
axis; a node that does anything else with it is refused.
"""

from __future__ import annotations

import copy
import operator
import re
import sys
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from cgru.activations import identity, ours, sigmoid, softmax, tanh
from cgru.bidirectional import Bidirectional
from cgru.gru import GRU
from cgru.interop import gates
from cgru.interop.gates import FUNCTIONS, TORCH, Refusal, array, refusal
from cgru.interop.pieces import Pieces, affine, dense, embedding, per_element
from cgru.layers import Activation, Clip, Dropout, Frames, Pool
from cgru.network import Network

__all__ = ["from_torch", "to_torch"]

KEYS = ("weight_ih", "weight_hh", "bias_ih", "bias_hh")
KEY = re.compile(rf"({'|'.join(KEYS)})(?:_l(\d+)(_reverse)?)?")
SUFFIXES = ("", "_reverse")
HOOKS = ("_forward_hooks", "_forward_pre_hooks", "_backward_hooks", "_backward_pre_hooks")  # of the module itself
# The operations and what they take after the array, by function, method and, "name_" of a method in place, its name.
TAKES: dict[str, dict[str, Any]] = {
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
    "squeeze": {"dim": None},
    "unsqueeze": {"dim": None},
    "flatten": {"start_dim": 0, "end_dim": -1},
    "contiguous": {},
    "clone": {},
    "mean": {"dim": None, "keepdim": False, "dtype": None},
    "amax": {"dim": None, "keepdim": False},
    "unfold": {"dimension": None, "size": None, "step": None},
    "max": {"dim": None, "keepdim": False},
}
NAMES = {function.name: function for function in FUNCTIONS if function.own not in (identity, softmax)}
SIGNS = {"add": "add", "iadd": "add", "sub": "sub", "isub": "sub", "mul": "mul", "imul": "mul", "truediv": "div",
         "itruediv": "div", "div": "div"}  # fmt: skip
SIZES = ("size", "dim")  # methods
LOOKS = ("shape", "device", "dtype")  # attributes
TURNED_IN_PLACE = ("transpose_", "squeeze_", "unsqueeze_")  # after which another node has other axes
MOVED_ZEROS = ("to", "type_as", "float", "double", "contiguous", "requires_grad_")


# --- from there ---


def from_torch(source: Any) -> Network:
    """A `torch.nn.GRU`, a `torch.nn.GRUCell`, the state dict of one, or a module that is a chain with one in it.

    A GRU by itself becomes a network without a head, whose `predict(X, lengths, h0)` gives all states of the last
    layer, (m, s, directions x u), for X (m, s, e) whatever `batch_first` was. Dropout between layers becomes `Dropout`
    layers, a layer whose parameters all have `requires_grad=False` is not `trainable`; a state dict knows of neither.
    No biases are zeros.

    Of any other module `forward(x)` is traced by `torch.fx`, as it is in `eval`, with the defaults of all that it takes
    beside x. It may be a chain, each on all the output of the one below, of Embedding, Linear, GRU, Dropout, ReLU,
    LeakyReLU, ELU, Sigmoid, Tanh, Softmax over the elements, ReLU6, Hardtanh and clamp, as modules, functions or
    methods; of sums, differences, products and quotients with numbers and buffers (n,); of `[0]` of a GRU, the last
    step or the last state (`[:, -1]`, `h[-1]`, `cat((h[-2], h[-1]), -1)`), mean, amax and max over the steps;
    transpose, permute, squeeze, unsqueeze, flatten and contiguous where they move no number; of `unfold` over the steps
    and a flatten behind it, which are `Frames` (weights upon it are put into its order). A GRU starts from nothing, or
    from `torch.zeros` by x's sizes. The network takes X (m, s, e) or tokens (m, s) and gives (m, s, k) or (m, k)
    whatever the order of the first two axes is there. Anything else is refused by the name of its node, before
    anything is made: control flow, packing, several inputs, branches, hooks, shared weights.

    Args:
        source: the module, with neither hooks nor parametrizations, or a mapping from `weight_ih_l0`, ... to tensors
            or arrays, float32 or float64.

    Raises:
        TypeError, ValueError: the source is something else, or its tensors do not belong together.
    """
    torch = sys.modules.get("torch")
    if torch is not None and isinstance(source, torch.nn.Module):
        recurrent = isinstance(source, torch.nn.RNNBase | torch.nn.RNNCellBase)
        if not recurrent and "quantized" not in type(source).__module__:
            return Network(_chained(source))
    return Network(_gru_layers(source))


def _gru_layers(source: Any) -> list[Any]:
    """The layers of a `torch.nn.GRU`, a `GRUCell` or a state dict of one, all states coming out; see `from_torch`."""
    module = None if isinstance(source, Mapping) else source
    tensors = source if module is None else _parameters(module)
    rate = float(getattr(module, "dropout", 0.0))
    found = _stacked(tensors)
    depth, directions = 1 + max(layer for layer, _ in found), 1 + max(direction for _, direction in found)
    if len(found) != depth * directions:
        raise ValueError(f"source: expected all layers and directions, got {len(found)} of {depth * directions}")
    layers: list[Any] = []
    for number in range(depth):
        parts = [_ours(found[number, d], number) for d in range(directions)]
        layers.append(gates.filled(parts, TORCH.variant({}), sequences=True))
        if module is not None:
            own = (p for key, p in tensors.items() if int(KEY.fullmatch(key).group(2) or 0) == number)
            layers[-1].trainable = _trained(own, f"layer {number}", refusal("source"))
        if rate and number < depth - 1:
            layers.append(Dropout(rate))
    return layers


def _kind_of(value: Any) -> type:
    """The class of a tensor or a module, for which `cgru.torch` is what it stands in for."""
    kind = type(value)
    return kind.__mro__[1] if kind.__module__ == "cgru.torch.modules" else kind


def _check_calls(module: Any, refuse: Refusal) -> None:
    """Refuse a module whose call may do something else than its class says."""
    for hooks in HOOKS:
        for hook in getattr(module, hooks, None) or ():
            hook = getattr(module, hooks)[hook]
            raise refuse(f"it has a hook, {getattr(hook, '__qualname__', hook)!r} among its {hooks}: remove it first")
    if gates.rebound(module):
        raise refuse(f"its {gates.rebound(module)} is another than that of its class")


def _check_plain(module: Any, due: list[str], refuse: Refusal) -> None:
    """Refuse a module that has other parameters than those that are due, or any that are not plain tensors."""
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
    """The parameters of a module that computes with them what PyTorch's own does; refused where it may not."""
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


def _trained(parameters: Iterable[Any], whose: str, refuse: Refusal) -> bool:
    """Return whether parameters are to be trained; refused where some are and some are not."""
    flags = {bool(parameter.requires_grad) for parameter in parameters}
    if len(flags) > 1:
        raise refuse(f"expected requires_grad of all parameters of {whose} or of none, got both")
    return flags.pop()


def _stacked(tensors: Mapping[str, Any]) -> dict[tuple[int, int], dict[str, np.ndarray]]:
    """The arrays of each (layer, direction), by their names there."""
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


def _ours(tensors: dict[str, np.ndarray], layer: int) -> dict[str, np.ndarray]:
    missing = [key for key in KEYS[: 4 if len(tensors) > 2 else 2] if key not in tensors]
    if missing:
        raise ValueError(f"source: expected {missing[0]} of layer {layer}, which is missing")
    u, e = ((np.shape(tensors[key]) or (0,))[-1] for key in ("weight_hh", "weight_ih"))
    shapes = {"weight_ih": (3 * u, e), "weight_hh": (3 * u, u)}
    for key, value in tensors.items():
        due, dtype = shapes.get(key, (3 * u,)), tensors["weight_hh"].dtype
        if value.shape != due or value.dtype != dtype:
            raise ValueError(f"source: expected {key} of layer {layer} {dtype} {due}, got {value.dtype} {value.shape}")
    return TORCH.ours(*(tensors.get(key) for key in KEYS), TORCH.variant({}))


# --- chains from there ---


def _chained(source: Any) -> list[Any]:
    """The layers of a module; TypeError or ValueError where it is no chain of them."""
    torch = sys.modules["torch"]
    import torch.fx as fx

    start = f"source: {type(source).__name__} cannot be had here"
    refuse = refusal(start)
    for path, module in source.named_modules():
        _check_calls(module, refusal(f"{start}: {type(module).__name__} {path!r}"))

    class Whole(torch.nn.Module):
        """What forward takes beside x is its default here."""

        def __init__(self) -> None:
            super().__init__()
            self.model = copy.deepcopy(source).eval()

        def forward(self, x: Any) -> Any:
            return self.model(x)

    try:
        whole = Whole()
        before = _attributes(whole.model)
        graph = fx.Tracer().trace(whole)
    except Exception as error:  # whatever the module raises where it is given no tensor
        raise refuse(f"torch.fx cannot trace it: {type(error).__name__}: {error}") from None
    after = _attributes(whole.model)
    for name in before | after:
        if name not in before or before[name] is not after.get(name):
            raise refuse(f"its forward sets {name}, so that the next call may do something else")
    return Trace(torch, source, whole, graph, refuse).chain.layers


def _attributes(model: Any) -> dict[str, Any]:
    """All that the modules of a model hold, by name."""
    found = {}
    for path, module in model.named_modules():
        for name, value in vars(module).items():
            parts = value.items() if isinstance(value, dict) else [("", value)]
            found |= {".".join(filter(None, (path, name, str(key)))): part for key, part in parts}
    return found


@dataclass(frozen=True)
class Known:
    """What a node makes.

    Attributes:
        kind: "array"; "output" of a GRU module, its states and last ones; "ends": all its last states, "end": some of
            them; "best": what max over steps returns; "size", "zeros" and "constant", which are no part of the chain.
        count: how many pieces there were when it was made.
        axes: of an array: "0" and "1", of which a GRU says which the samples and which the steps are; "n", the
            elements; and "one" for each of size 1.
        value: which of the last states; or of a constant its numbers.
    """

    kind: str
    count: int = 0
    axes: tuple[str, ...] = ()
    value: Any = None


class Trace:
    """Goes through the graph in its order; `chain` is what it comes to."""

    def __init__(self, torch: Any, source: Any, whole: Any, graph: Any, refuse: Refusal) -> None:
        self.torch, self.whole, self.chain = torch, whole, Pieces()
        self.modules = {f"model.{path}".rstrip("."): module for path, module in source.named_modules()}
        self.source = source
        self.order: tuple[str, ...] = ()  # of the first two axes, once a GRU says which they are
        self.recurrent: list[Any] = []  # the GRU modules
        self.used: set[int] = set()  # parameters
        self.known: dict[Any, Known] = {}
        called = [self.modules[node.target] for node in graph.nodes if node.op == "call_module"]
        self.n = self.elements(graph)
        self.window = 0  # steps of a frame, while its axis stands beside that of the elements
        self.element_major: np.ndarray | None = None  # the places in a frame there of ours, where they lie otherwise
        tokens = any(_kind_of(module) is torch.nn.Embedding for module in called)
        for i, node in enumerate(graph.nodes):
            self.place = f"node {i}, {self.named(node)}"
            if node.op == "placeholder":
                self.known[node] = Known("array", 0, ("0", "1") if tokens else ("0", "1", "n"))
            elif node.op == "output":
                self.check_output(node.args[0])
            else:
                self.known[node] = getattr(self, node.op)(node)
        if not self.recurrent:
            raise refuse("expected a torch.nn.GRU in it, got none")

    def elements(self, graph: Any) -> int | None:
        """How many elements x has, as the first module with weights says; None where none does."""
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

    def named(self, node: Any) -> str:
        """What a node is called in an error."""
        if node.op == "call_module":
            return f"{type(self.modules[node.target]).__name__} {node.target.removeprefix('model.')!r}"
        what = node.target if isinstance(node.target, str) else getattr(node.target, "__name__", str(node.target))
        return f"{what} {node.name!r}"

    def refuse(self, why: str) -> Exception:
        """The error for the node that is being read."""
        return ValueError(f"source: {self.place} cannot be had here: {why}")

    # --- nodes ---

    def call_module(self, node: Any) -> Known:
        """A module of PyTorch's own."""
        module, nn = self.modules[node.target], self.torch.nn
        kinds = {
            nn.Linear: self.linear, nn.Embedding: self.embedding, nn.GRU: self.gru, nn.Dropout: self.dropout,
            nn.ReLU: "relu", nn.ReLU6: "relu6", nn.Sigmoid: "sigmoid", nn.Tanh: "tanh", nn.Hardtanh: "hardtanh",
            nn.LeakyReLU: "leaky_relu", nn.ELU: "elu", nn.Softmax: "softmax", nn.Flatten: "flatten",
            nn.Identity: "contiguous",
        }  # fmt: skip
        kind = kinds.get(_kind_of(module))
        if kind is None:
            raise self.refuse("nothing of its kind may stand there")
        for parameter in module.parameters():
            if id(parameter) in self.used:
                raise self.refuse("its weights are those of another layer, too; expected each once")
        self.used |= set(map(id, module.parameters()))
        given = [*node.args, *node.kwargs.values()]
        if kind == self.gru:
            return self.gru(node, module)
        if len(given) != 1:
            raise self.refuse(f"expected a call with one array, got {len(given)} arguments")
        value = self.array(given[0])
        if not isinstance(kind, str):
            return kind(value, module)
        options = {name: getattr(module, name) for name in TAKES[kind] if hasattr(module, name)}
        return self.operation(kind, value, {**TAKES[kind], **options})

    def call_function(self, node: Any) -> Known:
        """A function of PyTorch's, or an operator."""
        torch, name = self.torch, getattr(node.target, "__name__", "")
        given = [self.known.get(value) for value in node.all_input_nodes]
        zeros = node.target is torch.zeros and all(value.kind == "size" for value in given)
        if zeros or node.target is torch.zeros_like:
            return Known("zeros")
        readers = {getattr: self.attribute, operator.getitem: self.item, torch.cat: self.joined}
        if node.target in readers:
            return readers[node.target](node)
        if node.target in (getattr(operator, name, None), getattr(torch, name, None)) and name in SIGNS:
            return self.arithmetic(SIGNS[name], node)
        functional = torch.nn.functional
        own = name != "unfold" and node.target in (getattr(torch, name, None), getattr(functional, name, None))
        if own and (name in ("permute", "swapaxes") or name in TAKES):
            return self.called(name, node)
        raise self.refuse("nothing of its kind may stand there")

    def call_method(self, node: Any) -> Known:
        """A method of a tensor."""
        name = node.target
        first = self.known.get(node.args[0]) if node.args else None
        if first is None:
            raise self.refuse("nothing of its kind may stand there")
        if name == "new_zeros":
            return Known("zeros")
        if name in SIZES and first.kind in ("array", "size", "ends"):
            return Known("size")
        if first.kind == "zeros" and name in MOVED_ZEROS:
            return first
        if name.rstrip("_") in SIGNS:
            return self.arithmetic(SIGNS[name.rstrip("_")], node)
        if name in TURNED_IN_PLACE and len(node.args[0].users) > 1:
            raise self.refuse("it turns an array in place that is used again")
        if name in ("permute", "swapaxes") or name.removesuffix("_") in TAKES:
            return self.called(name.removesuffix("_"), node)
        raise self.refuse("nothing of its kind may stand there")

    def get_attr(self, node: Any) -> Known:
        """A tensor: one of the model's buffers, or zeros that forward makes; what else it makes may be noise."""
        owner, _, name = node.target.rpartition(".")
        value = getattr(self.modules[owner] if owner else self.whole, name, None)
        if _kind_of(value) is not self.torch.Tensor:
            raise self.refuse(f"expected a buffer, got a {type(value).__name__}")
        if not owner and not bool(value.any()):
            return Known("zeros")
        if not owner:
            raise self.refuse("expected a buffer, got a tensor that forward makes")
        return Known("constant", value=array_of(value))

    def attribute(self, node: Any) -> Known:
        """The shape of an array, which is no part of the chain, or the values that max returns."""
        value, name = self.known.get(node.args[0]), node.args[1]
        if value is not None and value.kind in ("array", "ends", "zeros") and name in LOOKS:
            return Known("size")
        if value is not None and value.kind == "best" and name == "values":
            return replace(value, kind="array")
        raise self.refuse(f"its attribute {name} may not stand there")

    def item(self, node: Any) -> Known:
        """A part of what a GRU returns, or the last step of all."""
        value, index = self.known.get(node.args[0]), node.args[1]
        kind = value.kind if value is not None else ""
        if kind == "size":
            return value
        if kind == "output" and index in (0, 1, -1, -2):
            return self.known[node.args[0]].value[index]
        if kind == "best" and index == 0:
            return replace(value, kind="array")
        if kind == "best" and index == 1:
            return Known("indices")
        if kind == "ends" and isinstance(index, int) and -value.value <= index < value.value:
            return replace(value, kind="end", value=(index % value.value,))
        if kind != "array":
            raise self.refuse("it takes a part of what is not known")
        return self.last_step(value, index if isinstance(index, tuple) else (index,))

    # --- arrays ---

    def array(self, node: Any) -> Known:
        """All the output of the newest layer, which that node stands for."""
        value = self.known.get(node) if isinstance(node, self.torch.fx.Node) else None
        if value is None or value.kind not in ("array", "end"):
            raise self.refuse(f"expected all the output of the layer below, {self.chain.newest}, got {node}")
        if value.count != self.chain.count:
            raise self.refuse(f"it takes {node}, which is not the output of the layer below, {self.chain.newest}")
        if value.kind == "end":
            gru = self.recurrent[-1]
            D, depth = 1 + gru.bidirectional, gru.num_layers
            if value.value != tuple(range(D * (depth - 1), D * depth)):
                raise self.refuse("expected the last states of the uppermost layer, in all its directions")
            self.chain.ends(self.place)
            return Known("array", self.chain.count, value.axes)
        return value

    def put(self, layer: Any, axes: tuple[str, ...]) -> Known:
        """A layer upon the others."""
        self.chain.put(layer, self.place)
        return Known("array", self.chain.count, axes)

    def rows(self, value: Known, n: int) -> None:
        """Refuse an array whose last axis is not that of n elements."""
        if not value.axes or value.axes[-1] != "n" or "w" in value.axes or self.n not in (None, n):
            raise self.refuse(f"expected {n} elements in the last axis, got {self.n} of axes {value.axes}")

    def position(self, value: Known, dim: Any) -> int:
        """A dimension, counted from the first."""
        rank = len(value.axes)
        if isinstance(dim, bool) or not isinstance(dim, int) or not -rank <= dim < rank:
            raise self.refuse(f"expected one dimension of {rank}, got {dim}")
        return dim % rank

    def weighted(self, layer: Any, module: Any, axes: tuple[str, ...]) -> Known:
        """Put a layer that has the parameters of a module upon the others."""
        layer.trainable = _trained(module.parameters(), "a layer", self.refuse)
        self.n = layer.d["u"]
        return self.put(layer, axes)

    def linear(self, value: Known, module: Any) -> Known:
        """X W + b."""
        _check_plain(module, ["weight", "bias"] if module.bias is not None else ["weight"], self.refuse)
        W = array(module.weight, f"{self.place}, weight").T
        self.rows(value, len(W))
        W = W[self.step_major()]
        return self.weighted(dense(W, module.bias, f"{self.place}, weight", self.refuse), module, value.axes)

    def embedding(self, value: Known, module: Any) -> Known:
        """The vectors of tokens."""
        _check_plain(module, ["weight"], self.refuse)
        if self.chain.count or value.axes not in (("0", "1"), ("1", "0")):
            raise self.refuse("expected it first, upon tokens (m, s)")
        if module.max_norm is not None:
            raise self.refuse("expected max_norm None, for it changes the weights in a call")
        layer = embedding(module.weight, f"{self.place}, weight", self.refuse)
        return self.weighted(layer, module, (*value.axes, "n"))

    def gru(self, node: Any, module: Any) -> Known:
        """All layers of a GRU module."""
        given = dict(zip(("input", "hx"), node.args, strict=False)) | node.kwargs
        hx = given.get("hx")
        if hx is not None and self.known.get(hx, Known("")).kind != "zeros":
            raise self.refuse(f"expected it to start from nothing or from torch.zeros, got {hx}")
        value = self.array(given.get("input"))
        self.rows(value, module.input_size)
        if len(value.axes) != 3 or ("one" in value.axes[:2] and self.order):
            raise self.refuse(f"expected all steps (m, s, n), got axes {value.axes}")
        order = value.axes[:2] if module.batch_first else value.axes[1::-1]
        if self.order not in ((), order):
            raise self.refuse("it goes over the samples, where another GRU goes over the steps")
        self.order = order
        layers = _gru_layers(module)
        places = self.step_major()
        for half in layers[0].cells:
            half.p |= {name: half.p[name][places] for name in half.p if name.startswith("U")}
        for layer in layers:
            self.chain.put(layer, self.place)
        D = 1 + module.bidirectional
        self.n = D * module.hidden_size
        self.recurrent.append(module)
        count, samples = self.chain.count, order[0]
        states = Known("array", count, value.axes)
        ends = Known("ends", count, (samples, "n"), D * module.num_layers)
        return Known("output", count, value=(states, ends))

    def dropout(self, value: Known, module: Any) -> Known:
        """Nothing, in inference."""
        return self.operation("dropout", value, {"p": module.p, "training": False})

    def joined(self, node: Any) -> Known:
        """The last states of both directions, side by side."""
        given = dict(zip(("tensors", "dim"), node.args, strict=False)) | node.kwargs
        parts = [self.known.get(part) for part in given.get("tensors", ())]
        if not parts or any(part is None or part.kind != "end" or part.count != parts[0].count for part in parts):
            raise self.refuse("it joins what are no last states of one GRU")
        if given.get("dim") not in (1, -1):
            raise self.refuse("it does not join along the elements")
        return replace(parts[0], value=tuple(i for part in parts for i in part.value))

    # --- operations ---

    def called(self, name: str, node: Any) -> Known:
        """A function or method on one array."""
        first, *rest = node.args or [node.kwargs.get("input")]
        options = {key: value for key, value in node.kwargs.items() if key != "input"}
        if name == "permute":
            dims = rest[0] if rest and isinstance(rest[0], tuple | list) else rest
            return self.permuted(self.array(first), options.pop("dims", dims))
        kind = "transpose" if name == "swapaxes" else name
        due = TAKES[kind]
        if len(rest) > len(due) or options.keys() - (() if name == "swapaxes" else due.keys()):
            raise self.refuse(f"expected the arguments {', '.join(due) or 'of an array alone'}")
        given = {**due, **dict(zip(due, rest, strict=False)), **options}
        if any(isinstance(value, self.torch.fx.Node) for value in given.values()):
            raise self.refuse("expected numbers beside the array, got what is computed")
        value = self.known.get(first)
        if kind == "squeeze" and value is not None and value.kind == "ends" and given["dim"] == 0 and value.value == 1:
            return replace(value, kind="end", value=(0,))
        return self.operation(kind, self.array(first), given)

    def operation(self, kind: str, value: Known, given: dict[str, Any]) -> Known:
        """What an operation makes of an array, by name."""
        if given.get("dtype") is not None or given.get("_stacklevel", 3) != 3:
            raise self.refuse("expected no dtype")
        if kind in NAMES:
            key = "negative_slope" if kind == "leaky_relu" else "alpha"
            alpha = NAMES[kind].tuned(given.get(key), f"its {key} is", self.refuse)
            return self.put(Activation(NAMES[kind].own, alpha or None), value.axes)
        if kind in ("relu6", "hardtanh", "clamp"):
            names = ("min", "max") if kind == "clamp" else ("min_val", "max_val")
            bounds = (0, 6) if kind == "relu6" else [given[name] for name in names]
            try:
                return self.put(Clip(*bounds), value.axes)
            except (TypeError, ValueError) as error:
                raise self.refuse(str(error)) from None
        if kind == "softmax":
            if given["dim"] is None or value.axes[self.position(value, given["dim"])] != "n":
                raise self.refuse(f"expected dim to be that of the elements, got {given['dim']} of {value.axes}")
            self.rows(value, self.n or 0)
            return self.put(Activation(softmax), value.axes)
        if kind == "dropout":
            if given["training"]:
                raise self.refuse("it drops in inference too; expected training=self.training")
            return self.put(Dropout(given["p"]) if given["p"] else Activation(identity), value.axes)
        if kind == "unfold":
            return self.framed(value, given)
        if kind in ("mean", "amax", "max"):
            return self.pooled(kind, value, given["dim"], given["keepdim"])
        return self.reshaped(kind, value, given)

    def reshaped(self, kind: str, value: Known, given: dict[str, Any]) -> Known:
        """The same numbers, their axes in another order, or with others of size 1."""
        axes = list(value.axes)
        if kind == "transpose":
            i, j = (self.position(value, given[name]) for name in ("dim0", "dim1"))
            axes[i], axes[j] = axes[j], axes[i]
        elif kind == "unsqueeze":
            axes.insert(self.position(replace(value, axes=("one", *axes)), given["dim"]), "one")
        elif kind == "squeeze":
            at = self.position(value, given["dim"])
            if axes[at] == "one" or (axes[at] == "n" and self.n == 1):
                del axes[at]
            elif axes[at] != "n" or self.n is None:
                raise self.refuse("it takes away an axis whose size need not be 1")
        elif kind == "flatten":
            i, j = (self.position(value, given[name]) for name in ("start_dim", "end_dim"))
            long = [axis for axis in axes[i : j + 1] if axis != "one"]
            if sorted(long) == ["n", "w"]:
                long = self.joined_frames(long)
            if len(long) > 1:
                raise self.refuse("it makes one of several axes")
            axes[i : j + 1] = long or ["one"]
        return replace(value, axes=tuple(axes))

    def permuted(self, value: Known, dims: Any) -> Known:
        """The axes in another order."""
        if not isinstance(dims, tuple | list):
            raise self.refuse(f"expected the dimensions in an order, got {dims}")
        places = [self.position(value, dim) for dim in dims]
        if sorted(places) != list(range(len(value.axes))):
            raise self.refuse(f"expected each dimension once, got {dims}")
        return replace(value, axes=tuple(value.axes[i] for i in places))

    def framed(self, value: Known, given: dict[str, Any]) -> Known:
        """`x.unfold(dimension, size, step)` over the steps: frames, their steps in an axis of their own."""
        at = self.position(value, given["dimension"])
        others = [axis for axis in value.axes if axis not in ("n", value.axes[at])]
        if (
            sorted(value.axes) != ["0", "1", "n"]
            or value.axes[at] == "n"
            or self.order not in ((), (*others, value.axes[at]))
        ):
            raise self.refuse(
                f"it is not over the steps of all samples, (m, s, n): {given['dimension']} of {value.axes}"
            )
        if self.element_major is not None:
            raise self.refuse("expected a Linear or a GRU between two unfolds")
        try:
            layer = Frames(given["size"], given["step"], pad=False)
        except (TypeError, ValueError) as error:
            raise self.refuse(str(error)) from None
        self.order, self.window = (*others, value.axes[at]), layer.length
        return self.put(layer, (*value.axes, "w"))

    def joined_frames(self, axes: list[str]) -> list[str]:
        """The elements of the steps of a frame as one axis, whichever of the two came first; ours has steps first."""
        if self.n is None:
            raise self.refuse("it joins elements and steps, and how many there are is not known")
        if axes == ["n", "w"]:
            self.element_major = np.arange(self.n * self.window).reshape(self.n, self.window).T.ravel()
        self.n *= self.window
        return ["n"]

    def step_major(self) -> Any:
        """Which of their rows each row of ours is, in the weights of a layer that reads what there is."""
        places, self.element_major = self.element_major, None
        return slice(None) if places is None else places

    def steps_at(self, value: Known, at: int) -> bool:
        """Whether that axis is that of the steps."""
        return bool(self.order) and value.axes[at] == self.order[1] and self.n is not None and "n" in value.axes

    def pooled(self, kind: str, value: Known, dim: Any, keep: bool) -> Known:
        """What is left of the steps."""
        dim = dim[0] if isinstance(dim, tuple | list) and len(dim) == 1 else dim
        at = self.position(value, dim)
        if not self.steps_at(value, at):
            raise self.refuse(f"it is not over the steps, and them alone: dim {dim} of {value.axes}")
        axes = (*value.axes[:at], *(["one"] if keep else []), *value.axes[at + 1 :])
        made = self.put(Pool("mean" if kind == "mean" else "max"), axes)
        return replace(made, kind="best") if kind == "max" else made

    def last_step(self, value: Known, index: tuple[Any, ...]) -> Known:
        """`[:, -1]`, `[-1]`, `[:, -1, :]`, `[..., -1, :]`."""
        rank = len(value.axes)
        if Ellipsis in index:
            at = index.index(Ellipsis)
            index = (*index[:at], *[slice(None)] * (rank - len(index) + 1), *index[at + 1 :])
        taken = [i for i, item in enumerate(index) if item != slice(None)]
        if len(index) > rank or len(taken) != 1 or index[taken[0]] != -1 or not self.steps_at(value, taken[0]):
            raise self.refuse(f"expected the last step alone to be taken, got {index} of axes {value.axes}")
        if value.count != self.chain.count:
            raise self.refuse(f"it does not take the output of the layer below, {self.chain.newest}")
        self.chain.last(self.place)
        return Known("array", self.chain.count, tuple(axis for i, axis in enumerate(value.axes) if i != taken[0]))

    def arithmetic(self, sign: str, node: Any) -> Known:
        """x + c, c - x, ... for one number, or one for each element."""
        if len(node.args) != 2 or node.kwargs:
            raise self.refuse("expected two arguments and no others")
        known = [self.known.get(value) if isinstance(value, self.torch.fx.Node) else value for value in node.args]
        kinds = [value.kind if isinstance(value, Known) else type(value).__name__ for value in known]
        if all(kind in ("size", "int", "float") for kind in kinds):
            return Known("size")
        at = next((i for i, kind in enumerate(kinds) if kind in ("array", "end")), None)
        if at is None or kinds[1 - at] not in ("constant", "int", "float"):
            raise self.refuse(f"expected an array and a number or a buffer, got {' and '.join(kinds)}")
        value, other = self.array(node.args[at]), known[1 - at]
        c = other.value if isinstance(other, Known) else np.float64(other)
        dtype = self.dtype(c)
        if c.dtype not in (np.float32, np.float64) or (c.ndim and c.dtype != dtype):
            raise self.refuse(f"expected {dtype}, got {c.dtype}")
        found = per_element(c, self.n, len(value.axes))
        if found is None or not value.axes or value.axes[-1] != "n":
            raise self.refuse(f"expected one number, or one for each of {self.n} elements, got {c.shape}")
        c, n = found
        if "w" in value.axes or (self.element_major is not None and c.size > 1):
            raise self.refuse("expected a Linear or a GRU behind unfold and flatten first")
        self.n = n
        if sign == "div" and (at or not np.isfinite(1 / c[c != 0]).all() or not c.all()):
            raise self.refuse("it divides by zero, or by what is no constant")
        layer = affine(sign, c, at, n, dtype)
        layer.trainable = False
        return self.put(layer, value.axes)

    def dtype(self, c: np.ndarray) -> np.dtype:
        """That of the module's parameters; a number of Python's is of any."""
        parameters = [array_of(p).dtype for p in self.source.parameters()][:1]
        return parameters[0] if parameters else c.dtype

    # --- the whole ---

    def check_output(self, output: Any) -> None:
        """That the output is that of the newest layer; beside it the last states of the only GRU may stand."""
        first, *rest = output if isinstance(output, tuple | list) else [output]
        value = self.known.get(first) if isinstance(first, self.torch.fx.Node) else None
        states = value is not None and value.kind == "output"
        value = value.value[0] if states else value
        ends = [self.known.get(other) for other in rest]
        if any(end is None or end.kind != "ends" for end in ends) or len(ends) > 1 or (ends and self.recurrent[1:]):
            raise self.refuse("expected one output, and beside it at most the last states of the only GRU")
        if value is None or value.kind not in ("array", "end") or (states and value.count != self.chain.count):
            raise self.refuse(f"expected the output of the newest layer, {self.chain.newest}, got {first}")
        value = value if states else self.array(first)
        if self.element_major is not None or "w" in value.axes:
            raise self.refuse("expected a Linear or a GRU behind unfold and flatten")
        if "n" in value.axes and value.axes[-1] != "n":
            raise self.refuse(f"expected the elements in the last axis, got axes {value.axes}")


def array_of(tensor: Any) -> np.ndarray:
    """A tensor's numbers."""
    return tensor.detach().cpu().numpy()


# --- to there ---


def to_torch(net: Network | GRU | Bidirectional | list | tuple) -> Any:
    """A `torch.nn.GRU`, batch first, with the weights of a layer, of a list of layers or of a network without a head.

    The layers are GRUs, or Bidirectionals that concatenate, of one width and direction, with `reset_after`, tanh and
    sigmoid; between them may stand `Dropout` of one rate. The module always returns all states and the last ones,
    whatever `sequences` of the last layer says. Of the two biases for r and z the second is zero. Parameters of layers
    that are not `trainable` have `requires_grad=False`. Its `state_dict()` is the state dict.

    Raises:
        ImportError: PyTorch is not installed.
        RuntimeError: there are no parameters yet.
        TypeError, ValueError: something that torch.nn.GRU cannot express, with the reason.
    """
    layers = gates.in_layers(net)
    rate = _checked(layers, net)
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
            for key, value in zip(KEYS, TORCH.theirs(half.p), strict=True):
                state[f"{key}_l{number}{suffix}"] = torch.from_numpy(value)
    module.load_state_dict(state)
    for number, layer in enumerate(recurrent):
        for name, parameter in module.named_parameters():
            if int(KEY.fullmatch(name).group(2)) == number:
                parameter.requires_grad_(bool(layer.trainable))
    return module


def _checked(layers: tuple[Any, ...], net: Any) -> float:
    """The rate of the dropout between the layers; refused where they are more than torch.nn.GRU can express."""
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
    """Refuse what no layer of a torch.nn.GRU is."""
    cell = gates.cell_of(layer, refuse)
    if (ours(cell.activate), ours(cell.activate_update)) != (tanh, sigmoid):
        raise refuse("its activations are tanh and sigmoid there")
    if cell.learn_h0:
        raise refuse("expected no learned h0, which there is none of: call it with h0=... of a layer without learn_h0")
    if cell.variant is not TORCH.variant({}):
        raise refuse(f"its variant is {cell.variant}, there it is {TORCH.variant({})}")
    for name in ("dropout", "recurrent_dropout", "stateful", "masks"):
        if getattr(cell, name):
            raise refuse(f"it has {name}, which there is none of")
    if cell.reverse:
        raise refuse("it runs in reverse, which a single direction does not there")
    if getattr(layer, "merge", "concat") != "concat":
        raise refuse(f"the directions are concatenated there, not merged by {layer.merge}")
