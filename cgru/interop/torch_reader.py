"""A reader of a PyTorch module's trace by `torch.fx` as a chain of layers, node by node.

Operations that only move numbers run on labels, by PyTorch's own code (`cgru.interop.graph_reader`). Sizes of arrays
are numbers in each run.

Letters: m samples, s steps, n features of a step, u units.
"""

from __future__ import annotations

import operator
import sys
from dataclasses import dataclass, replace
from itertools import permutations
from typing import Any

import numpy as np

from cgru.activations import identity, softmax
from cgru.interop.gates import FUNCTIONS, Refusal, array
from cgru.interop.graph_reader import ENDS, Reader, Unproved, Value, read
from cgru.interop.torch_trace import line_of, traced_graph
from cgru.interop.torch_weights import array_of, check_plain, gru_layers, is_trainable, kind_of
from cgru.layers import Activation, Dropout, Pool

__all__ = ["traced_layers"]

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
    "mean": {"dim": None, "keepdim": False, "dtype": None},
    "sum": {"dim": None, "keepdim": False, "dtype": None},
    "amax": {"dim": None, "keepdim": False},
    "max": {"dim": None, "keepdim": False},
    "unfold": {"dimension": None, "size": None, "step": None},
}
NAMES = {function.name: function for function in FUNCTIONS if function.own not in (identity, softmax)}
SIGNS = {"add": "add", "iadd": "add", "sub": "sub", "isub": "sub", "mul": "mul", "imul": "mul", "truediv": "div",
         "itruediv": "div", "div": "div"}  # fmt: skip
BOUNDS = {"relu6": (0, 6), "hardtanh": ("min_val", "max_val"), "clamp": ("min", "max")}  # numbers, or arguments
POOLS = {"mean": "mean", "amax": "max", "max": "max", "sum": "sum"}
PRODUCTS = {"bmm": "bij,bjk->bik", "matmul": "bij,bjk->bik"}  # as torch.einsum writes them
MOVERS = ("transpose", "swapaxes", "permute", "squeeze", "unsqueeze", "flatten", "view", "reshape", "unflatten",
          "contiguous", "clone", "movedim", "t", "select", "narrow", "unbind", "chunk")  # fmt: skip
SPREADS = ("expand", "repeat")  # of weights alone
KEPT = ("contiguous", "clone", "detach", "to", "type_as", "float", "double", "cpu", "cuda", "requires_grad_")
LENGTH_METHODS = ("long", "int", "tolist", "numpy")
MAKERS = ("zeros", "zeros_like", "new_zeros", "empty", "arange")
NUMBERS = (int, float)
INDICES = (int, slice, list, type(None), type(Ellipsis))


@dataclass(frozen=True)
class Given:
    """An input of the module beside x: lengths or initial states, as its use tells."""

    name: str
    last: bool = False  # whether it is one less: the last step of each sample, if it is lengths


@dataclass(frozen=True)
class Packed:
    """A packed sequence of an array; `rows` is its `batch_first`."""

    value: Value
    rows: bool


@dataclass(eq=False)
class Weight:
    """A parameter or buffer of the module, which values may be `of`."""

    tensor: Any

    @property
    def trainable(self) -> bool:
        """Return whether it is a parameter that requires a gradient."""
        return bool(self.tensor.requires_grad)


def traced_layers(source: Any, refuse: Refusal) -> list[Any]:
    """Return the layers of a module, which is traced in `eval`; ValueError if it is no chain of them."""
    whole, graph, names = traced_graph(source, refuse)
    nn = sys.modules["torch"].nn
    called = [whole.get_submodule(node.target) for node in graph.nodes if node.op == "call_module"]
    if not any(kind_of(module) is nn.GRU for module in called):
        raise refuse("expected a torch.nn.GRU in it, got none")
    tokens = any(kind_of(module) is nn.Embedding for module in called)
    orders = ["".join(letters) for of in (("ms",) if tokens else ("mse", "ms")) for letters in permutations(of)]
    return read(
        lambda *sizes: TorchReader((source, whole, graph, names, tokens), *sizes),
        orders, lambda order, m, s: (m, s),
    )  # fmt: skip


class TorchReader(Reader):
    """A reader of a `torch.fx` trace of a module, for an x with its axes in this order, of m samples and s steps."""

    strict = False

    def __init__(self, trace: Any, order: str, m: int, s: int, e: int) -> None:
        """Take the trace: the module, the traced copy, its graph, the names of its inputs, whether x is tokens."""
        self.source, self.whole, self.graph, self.names, self.tokens = trace
        self.torch = sys.modules["torch"]
        self.modules = {f"model.{path}".rstrip("."): module for path, module in self.source.named_modules()}
        super().__init__(m, s, e if "e" in order else 1)
        self.order = order
        self.dtype = next((array_of(p).dtype for p in self.source.parameters()), np.dtype(np.float32))
        self.known: dict[str, Any] = {}  # values, and what is no array of the chain, by node
        self.used: set[int] = set()  # parameters
        self.roles: dict[str, str] = {}  # what inputs beside x are, by name
        self.grus = 0  # modules

    def run(self) -> None:
        """Read all nodes; Unproved for what is not proved."""
        names = iter(self.names)
        for i, node in enumerate(self.graph.nodes):
            self.place, self.progress = f"node {i}, {self.describe_node(node)}{line_of(node)}", i
            if node.op == "placeholder":
                self.known[node.name] = Given(next(names)) if i else self.x(node.name)
            else:
                self.known[node.name] = getattr(self, node.op)(node)

    def x(self, name: str) -> Value:
        """Return x as a value."""
        self.inputs.add(name)
        return Value(name, self.input_labels(self.order), "int64" if self.tokens else "float32")

    def describe_node(self, node: Any) -> str:
        """Return what a node is called in an error."""
        if node.op == "call_module":
            return f"{type(self.modules[node.target]).__name__} {node.target.removeprefix('model.')!r}"
        what = node.target if isinstance(node.target, str) else getattr(node.target, "__name__", str(node.target))
        return f"{what} {node.name!r}"

    def resolve(self, argument: Any) -> Any:
        """Return what is known of a node; any other argument unchanged, lists by their items."""
        if isinstance(argument, tuple | list):
            return type(argument)(map(self.resolve, argument))
        if isinstance(argument, dict):
            return {key: self.resolve(value) for key, value in argument.items()}
        if isinstance(argument, slice):
            return slice(*map(self.resolve, (argument.start, argument.stop, argument.step)))
        return self.known.get(argument.name) if isinstance(argument, self.torch.fx.Node) else argument

    def value(self, argument: Any) -> Value:
        """Return an argument that is an array of the chain; Unproved for any other."""
        if not isinstance(argument, Value) or isinstance(argument.of, Weight):
            what = argument
            if isinstance(argument, Given):
                what = self.roles.get(argument.name, f"an input beside x, {argument.name}")
            raise Unproved(f"expected the output of the layer below, {self.top.name}, got {what}")
        return argument

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
        given, options = self.resolve(node.args), self.resolve(node.kwargs)
        if kind == self.read_gru:
            return self.read_gru(module, *given, **options)
        given = [*given, *options.values()]
        if len(given) != 1:
            raise Unproved(f"expected a call with one array, got {len(given)} arguments")
        value = self.value(given[0])
        if not isinstance(kind, str):
            return kind(value, module)
        if kind in MOVERS:
            return self.move(kind, value, [module.start_dim, module.end_dim] if kind == "flatten" else [], {})
        options = {name: name != "training" and getattr(module, name, due) for name, due in ARGUMENTS[kind].items()}
        return self.operate(kind, value, options)

    def use(self, parameter: Any) -> None:
        """Note that a layer has a parameter; Unproved if another layer has it."""
        if id(parameter) in self.used:
            raise Unproved("its weights are those of another layer, too; expected each once")
        self.used.add(id(parameter))

    def call_function(self, node: Any) -> Any:
        """Read the call of one of PyTorch's functions or of an operator."""
        torch, name = self.torch, getattr(node.target, "__name__", "")
        functional, rnn = torch.nn.functional, torch.nn.utils.rnn
        given, options = self.resolve(node.args), self.resolve(node.kwargs)
        readers = {
            getattr: self.read_attribute, operator.getitem: self.read_item, torch.cat: self.read_cat,
            torch.concat: self.read_cat, torch.einsum: self.read_einsum, functional.pad: self.read_pad_call,
            functional.linear: self.read_linear_call, rnn.pack_padded_sequence: self.read_packing,
            rnn.pad_packed_sequence: self.read_unpacking,
        }  # fmt: skip
        if node.target in readers:
            return readers[node.target](*given, **options)
        owners = (operator, torch, functional, torch.Tensor)
        if not any(node.target is getattr(owner, name, None) for owner in owners) or name == "unfold":
            raise Unproved(self.strange(node))
        return self.read_call(node, name, [*given], options)

    def call_method(self, node: Any) -> Any:
        """Read the call of a tensor's method."""
        if node.target in ("transpose_", "squeeze_", "unsqueeze_") and len(node.args[0].users) > 1:
            raise Unproved("it turns an array in place that is used again")
        return self.read_call(node, node.target, [*self.resolve(node.args)], self.resolve(node.kwargs))

    def read_call(self, node: Any, name: str, given: list[Any], options: dict[str, Any]) -> Any:
        """Read the call of an operation, by its name, on an array or on what is none."""
        kept, name = name, name.rstrip("_")
        if not given and "input" in options:
            given = [options.pop("input")]
        first, *rest = given or [None]
        if name in MAKERS:
            return self.make(name, first, rest, options)
        if name in SIGNS or name == "floordiv":
            return self.read_arithmetic(SIGNS.get(name, name), given, options)
        if name in PRODUCTS:
            return self.read_matmul(name, *given, *options.values())
        if isinstance(first, Value) and name in ("size", "dim"):
            shape, at = first.labels.shape, [*rest, *options.values()]
            return len(shape) if name == "dim" else shape[at[0]] if at else shape
        if isinstance(first, Given) and name in (*KEPT, *LENGTH_METHODS):
            return first
        if isinstance(first, self.torch.Tensor) or (isinstance(first, Value) and isinstance(first.of, Weight)):
            return self.move_constant(kept, first, rest, options)
        if isinstance(first, Value) and name in MOVERS:
            return self.move(name, first, rest, options)
        if isinstance(first, Value) and name in ARGUMENTS:
            due = ARGUMENTS[name]
            known = {**dict(zip(due, rest, strict=False)), **options}
            plain = (*NUMBERS, str, type(None), tuple, list)
            if (
                len(rest) > len(due)
                or known.keys() - due.keys()
                or not all(isinstance(n, plain) for n in known.values())
            ):
                raise Unproved(f"expected the arguments {', '.join(due) or 'of an array alone'}, numbers")
            return self.operate(name, self.value(first), {**due, **known})
        if name == "detach" and isinstance(first, Value):
            raise Unproved("here gradients would go on to the layers below it; freeze them and leave it out")
        if name in (*MOVERS, *ARGUMENTS, *KEPT):
            self.value(first)
        raise Unproved(self.strange(node))

    def strange(self, node: Any) -> str:
        """Return why an operation is refused that is none of those that are known."""
        if sum(isinstance(self.resolve(each), Value) for each in node.all_input_nodes) > 1:
            return "it joins several arrays, and a network is one chain of layers, without branches and residuals"
        if "log_softmax" in str(node.target):
            return "there is no logarithm of softmax here; leave it out, or take softmax"
        return "nothing of its kind may stand there"

    def make(self, name: str, first: Any, rest: list[Any], options: dict[str, Any]) -> Any:
        """Return zeros, the numbers 0, 1, 2, ..., or for `empty` NaN: what nobody has set."""
        if name == "zeros_like":
            first = first.labels.shape if isinstance(first, Value) else tuple(first.shape)
        sizes = rest if name == "new_zeros" else [*rest] if first is None else [first, *rest]
        sizes += [options[key] for key in ("size", "end") if key in options]
        sizes = [*sizes[0]] if len(sizes) == 1 and isinstance(sizes[0], tuple | list) else sizes
        if not all(isinstance(size, int) for size in sizes):
            raise Unproved("expected sizes of x and numbers for its shape")
        if name == "arange":
            return self.torch.arange(*sizes)
        return self.torch.full(sizes, float("nan") if name == "empty" else 0.0)

    def move_constant(self, name: str, first: Any, rest: list[Any], options: dict[str, Any]) -> Any:
        """Return a weight, or an array that forward makes, moved or spread."""
        if name in ("zero_", "fill_") and not isinstance(first, Value) and rest in ([], [0]):
            return self.torch.zeros_like(first)
        if name == "detach" and isinstance(first, Value):
            return replace(first, of=Weight(first.of.tensor.detach()))
        if name in KEPT:
            return first
        if name in (*MOVERS, *SPREADS):
            return self.move(name, first, rest, options)
        raise Unproved("it computes with what is no array of the chain")

    def move(self, name: str, first: Any, rest: list[Any], options: dict[str, Any]) -> Any:
        """Return an array whose numbers are moved, by running the operation on its labels."""
        is_value = isinstance(first, Value)
        labels = self.torch.from_numpy(np.ascontiguousarray(first.labels)) if is_value else first
        if name == "squeeze":
            dims = [*rest, *options.values()]
            if not dims:
                raise Unproved("it does not say which axes")
            sizes = [labels.shape[dim] for dim in np.ravel(dims) if -labels.ndim <= dim < labels.ndim]
            if is_value and any(size != 1 and size in (self.m, self.top.s) for size in sizes):
                raise Unproved("it takes away an axis whose size need not be 1")
        try:
            made = getattr(labels, "reshape" if name == "view" else name)(*rest, **options)
        except (IndexError, RuntimeError, TypeError, ValueError) as error:
            if name in ("view", "reshape") and is_value and rest:
                self.guess_features(np.ravel(rest[-1])[-1])
            raise Unproved(f"it cannot be run on {tuple(labels.shape)}: {error}") from None
        if isinstance(made, tuple | list):
            return tuple(replace(first, labels=each.numpy()) if is_value else each for each in made)
        return replace(first, labels=made.numpy()) if is_value else made

    def get_attr(self, node: Any) -> Any:
        """Return a parameter or buffer of the model, or zeros that forward makes.

        Any other tensor made in forward may be noise and is refused.
        """
        owner, _, name = node.target.rpartition(".")
        value = getattr(self.modules[owner] if owner else self.whole, name, None)
        if kind_of(value) not in (self.torch.Tensor, self.torch.nn.Parameter):
            raise Unproved(f"expected a parameter or a buffer, got a {type(value).__name__}")
        if owner:
            return Value(Weight(value), np.arange(value.numel()).reshape(tuple(value.shape)))
        if bool(value.any()):
            raise Unproved("expected a parameter or a buffer, got a tensor that forward makes")
        return value

    def read_attribute(self, value: Any, name: str) -> Any:
        """Read an attribute of an array: its shape, or the values that max returns."""
        if name == "shape" and isinstance(value, Value):
            return tuple(value.labels.shape)
        if name == "shape" and isinstance(value, self.torch.Tensor):
            return tuple(value.shape)
        if name in ("device", "dtype", "shape") and isinstance(value, Value | Given | self.torch.Tensor):
            return None
        if name == "data" and isinstance(value, Value) and isinstance(value.of, Weight):
            return self.move_constant("detach", value, [], {})
        if name == "values" and isinstance(value, tuple) and value[1] is None:
            return value[0]
        raise Unproved(f"its attribute {name} may not stand there")

    def read_item(self, value: Any, index: Any) -> Any:
        """Read an index: into several values or sizes, or of an array."""
        if isinstance(value, tuple) and isinstance(index, int | slice):
            try:
                return value[index]
            except IndexError:
                raise Unproved(f"it takes {index} of {len(value)}") from None
        items = list(index) if isinstance(index, tuple) else [index]
        if isinstance(value, Value) and any(isinstance(item, Given) for item in items):
            return self.read_own_last(value, items)
        if not isinstance(value, Value) or not all(isinstance(item, INDICES) for item in items):
            raise Unproved("it takes a part of what is not known")
        axis, rank = 0, value.labels.ndim
        for i, item in enumerate(items):
            if item is Ellipsis:
                axis = rank - sum(each is not None for each in items[i + 1 :])
            elif isinstance(item, slice) and axis < rank:
                bounds = [n for n in (item.start, item.stop) if n is not None]
                if not all(isinstance(n, int) and abs(n) <= max(1, value.labels.shape[axis]) for n in bounds):
                    raise Unproved("its slice has a bound past the end of the axis, or one that is computed")
            axis += item is not None and item is not Ellipsis
        try:
            return replace(value, labels=value.labels[tuple(items)])
        except IndexError as error:
            raise Unproved(str(error)) from None

    def output(self, node: Any) -> None:
        """Refuse an output unless it is the newest, with at most the last states of all GRUs beside it."""
        given = self.resolve(node.args[0])
        first, *rest = given if isinstance(given, tuple | list) else [given]
        first = first[0] if isinstance(first, tuple) and first else first
        size = sum(ends.size for _, ends in self.recurrent)
        if len(rest) > 1 or any(not self.are_last_states(end) or end.labels.size != size for end in rest):
            raise Unproved("expected one output, and beside it at most the last states of the only GRU")
        if isinstance(first, Packed):
            raise Unproved("expected pad_packed_sequence before it")
        self.finish(self.value(first), directions=False)
        if "initial states" in self.roles.values() and self.grus > 1:
            raise Unproved("expected initial states that are given to the only GRU, got several: start them from zeros")

    # --- layers ---

    def read_linear(self, value: Value, module: Any) -> Value:
        """Add a Dense layer for a Linear module; return its output."""
        check_plain(module, ["weight", "bias"] if module.bias is not None else ["weight"], Unproved)
        W = array(module.weight, f"{self.place}, weight").T
        return self.linear(value, W, module.bias, trainable=self.trainable(module.parameters()))

    def trainable(self, parameters: Any) -> bool:
        """Return whether parameters of a layer require gradients; Unproved for a mixture."""
        return is_trainable(parameters, "a layer", Unproved)

    def numbers(self, weight: Any) -> np.ndarray:
        """Return the numbers of a value that is a weight; Unproved for any other."""
        if not isinstance(weight, Value) or not isinstance(weight.of, Weight):
            raise Unproved("expected parameters for its weights")
        return array_of(weight.of.tensor).ravel()[weight.labels]

    def read_linear_call(self, input: Any, weight: Any, bias: Any = None) -> Value:
        """Add a Dense layer for `linear(x, weight, bias)` of parameters; return its output."""
        W, b = self.numbers(weight), None if bias is None else self.numbers(bias)
        return self.linear(self.value(input), W.T, b, trainable=self.trainable(self.used_by(weight, bias)))

    def used_by(self, *weights: Any) -> list[Any]:
        """Note the parameters of these weights as used, and return them."""
        found = [each.of.tensor for each in weights if each is not None]
        found = [tensor for tensor in found if isinstance(tensor, self.torch.nn.Parameter)]
        for parameter in found:
            self.use(parameter)
        return found

    def read_matmul(self, name: str, first: Any = None, second: Any = None) -> Value:
        """Read a product of matrices: a Dense layer with a parameter on the right, else attention."""
        if not isinstance(second, Value) or not isinstance(second.of, Weight):
            return self.einsum(PRODUCTS[name], self.value(first), self.value(second))
        W = self.numbers(second)
        if W.ndim not in (1, 2):
            raise Unproved(f"expected a matrix or a vector, got {W.shape}")
        made = self.linear(
            self.value(first), W.reshape(len(W), -1), None, trainable=self.trainable(self.used_by(second))
        )
        return made if W.ndim == 2 else replace(made, labels=made.labels[..., 0])

    def read_einsum(self, equation: Any, *arguments: Any) -> Value:
        """Read the sum of states weighted by attention."""
        if not isinstance(equation, str) or len(arguments) != 2:
            raise Unproved("expected an equation and two arrays")
        return self.einsum(equation, *map(self.value, arguments))

    def read_batch_norm(self, value: Value, module: Any) -> Value:
        """Add a Scale for a BatchNorm1d module in inference; return its output."""
        if module.running_mean is None:
            raise Unproved("it has no running mean and variance; expected track_running_stats=True")
        if module.training:
            raise Unproved("in training it takes the statistics of each batch; call eval() on the model first")
        mean, variance = array_of(module.running_mean), array_of(module.running_var)
        scale, shift = (array_of(module.weight), array_of(module.bias)) if module.affine else (1.0, 0.0)
        return self.batch_norm(value, mean, variance, module.eps, scale, shift, self.trainable(module.parameters()))

    def read_layer_norm(self, value: Value, module: Any) -> Value:
        """Add a LayerNorm for a LayerNorm module over the features; return its output."""
        shape = module.normalized_shape
        scale = np.ones(shape, self.dtype) if module.weight is None else array_of(module.weight)
        shift = None if getattr(module, "bias", None) is None else array_of(module.bias)
        return self.layer_norm(value, scale, shift, module.eps, self.trainable(module.parameters()))

    def read_table(self, value: Value, module: Any) -> Value:
        """Add an Embedding layer for an Embedding module; return its output."""
        check_plain(module, ["weight"], Unproved)
        if module.max_norm is not None:
            raise Unproved("expected max_norm None, for it changes the weights in a call")
        made = self.embedding(value, array(module.weight, f"{self.place}, weight"), self.place)
        self.layers[0].trainable = self.trainable(module.parameters())
        return made

    def read_gru(
        self,
        module: Any,
        input: Any,
        hx: Any = None,
        resets: Any = None,
        decay: Any = None,
    ) -> tuple[Any, Value]:
        """Add all layers of a GRU module; return (its states, its last states) as values."""
        factor = [name for name, each in (("resets", resets), ("decay", decay)) if each is not None]
        if factor:
            raise Unproved(f"expected {factor[0]}=None: the network's `predict` takes it beside X")
        packed, rows = isinstance(input, Packed), input.rows if isinstance(input, Packed) else module.batch_first
        if self.ragged and not packed and self.top.s is not None:
            raise Unproved("it would go on over padding, where the GRU below it stops; expected it to be packed")
        places = self.recurrent_input(self.value(input.value if packed else input), rows, module.input_size)
        layers = gru_layers(module, self.initial_states(hx, module))
        first = len(self.recurrent)
        for layer in layers:
            if layer.cells:
                self.add_recurrent(layer, places)
                places = np.arange(self.top.n)
            else:
                self.push(layer, self.top.n, self.top.s)
        self.grus, self.ragged = self.grus + 1, packed
        C = np.arange(self.m * self.top.s * self.top.n).reshape(self.m, self.top.s, -1)
        states = Value(len(self.stages) - 1, C if rows else C.swapaxes(0, 1))
        ends = np.concatenate([own for _, own in self.recurrent[first:]])
        return (Packed(states, rows) if packed else states), Value(ENDS, ends)

    def initial_states(self, hx: Any, module: Any) -> np.ndarray | None:
        """Return the states that a GRU learned to begin with, None for zeros and those of `predict(h0=...)`."""
        if hx is None or (isinstance(hx, self.torch.Tensor) and not bool(hx.any())):
            return None
        if isinstance(hx, Given) and not hx.last:
            self.take_role(hx, "initial states")
            return None
        if not isinstance(hx, Value) or not isinstance(hx.of, Weight):
            due = "zeros, a parameter that is expanded to the samples, or an input beside x"
            raise Unproved(f"expected it to start from nothing or from {due}, got {hx}")
        tensor, L = hx.of.tensor, hx.labels
        shape = (module.num_layers * (2 if module.bidirectional else 1), self.m, module.hidden_size)
        if L.shape != shape or (L[:, :1] != L).any():
            raise Unproved(f"expected initial states (layers, 1, u) that are expanded to the samples, got {L.shape}")
        start = self.numbers(hx)[:, :1]
        parameter = isinstance(tensor, self.torch.nn.Parameter)
        if not start.any() and not parameter:
            return None
        weights = next(iter(module.parameters()))
        if hx.of.trainable != bool(weights.requires_grad):
            raise Unproved("expected initial states that are trained if the weights of the GRU are, and only then")
        if hx.of.trainable and len({*L[:, 0].ravel()}) < start.size:
            raise Unproved("what is trained for several layers at once would be trained for each; freeze it")
        if start.dtype != array_of(weights).dtype:
            raise Unproved(f"expected initial states in {array_of(weights).dtype}, got {start.dtype}")
        self.used_by(hx)
        return start

    # --- inputs beside x ---

    def take_role(self, given: Given, role: str) -> None:
        """Note what an input beside x is; Unproved if it is something else, or another input is that."""
        others = [name for name, own in self.roles.items() if own == role]
        if self.roles.setdefault(given.name, role) != role or any(name != given.name for name in others):
            raise Unproved(f"expected one input for the {role}, and for them alone, got {given.name}")

    def read_packing(
        self,
        input: Any,
        lengths: Any,
        batch_first: Any = False,
        enforce_sorted: Any = True,
    ) -> Packed:
        """Read `pack_padded_sequence`: the lengths become those of `predict`."""
        if not isinstance(lengths, Given) or lengths.last:
            raise Unproved(f"expected lengths that are an input beside x, got {lengths}")
        self.begin_padding()
        self.take_role(lengths, "lengths")
        return Packed(self.value(input), bool(batch_first))

    def read_unpacking(
        self, sequence: Any, batch_first: Any = False, padding_value: Any = 0.0, total_length: Any = None
    ) -> tuple[Any, Any]:
        """Read `pad_packed_sequence`; return (the states, zero at padding, their lengths)."""
        if not isinstance(sequence, Packed) or padding_value != 0:
            raise Unproved("expected a packed sequence, and zeros at padding")
        value, turned = sequence.value, bool(batch_first) != sequence.rows
        lengths = next((Given(name) for name, role in self.roles.items() if role == "lengths"), None)
        return replace(value, labels=value.labels.swapaxes(0, 1)) if turned else value, lengths

    def read_own_last(self, value: Value, index: list[Any]) -> Value:
        """Read `y[arange(m), lengths - 1]`: the last step of each sample, which lengths of `predict` tell."""
        samples = self.torch.arange(self.m)
        if len(index) != 2 or not isinstance(index[0], self.torch.Tensor) or not self.torch.equal(index[0], samples):
            raise Unproved("expected [arange(m), lengths - 1], with lengths that are an input beside x")
        if not isinstance(index[1], Given) or not index[1].last:
            raise Unproved("expected [arange(m), lengths - 1], with lengths that are an input beside x")
        value, top = self.settled(self.value(value)), self.top
        sample, step, feature = self.split(value.labels, top)
        shape = (self.m, top.s)
        if value.labels.ndim != 3 or value.labels.shape[:2] != shape or (step != np.arange(top.s)[:, None]).any():
            raise Unproved("it is not over the steps of all samples, (m, s, n)")
        if (sample != np.arange(self.m)[:, None, None]).any():
            raise Unproved("it is not over the steps of all samples, (m, s, n)")
        onward = all(len(layer.cells) == 1 and not layer.reverse for layer, _ in self.recurrent)
        if not (onward or self.ragged) or any(layer.changes_steps for layer in self.layers):
            raise Unproved("expected no Conv1d below it, and no GRU that goes back and reads padding")
        self.take_role(Given(index[1].name), "lengths")
        newest = self.layers[-1]
        if onward and self.states == self.newest:
            newest.sequences = False
        self.push(None if newest.cells and not newest.sequences else Pool("last"), top.n, None)
        return self.made(sample[:, 0] * top.n + feature[:, 0], value)

    def read_cat(self, tensors: Any, dim: Any = 0) -> Value:
        """Return values of the same array, such as the last states of both directions, concatenated."""
        parts = [*map(self.value, tensors)] if isinstance(tensors, tuple | list) else []
        if not parts or any(part.of != parts[0].of for part in parts):
            raise Unproved("it joins what are no last states of one GRU: a network is one chain, without branches")
        try:
            return replace(parts[0], labels=np.concatenate([part.labels for part in parts], dim))
        except (TypeError, ValueError) as error:
            raise Unproved(str(error)) from None

    # --- convolutions ---

    def read_pad_call(self, input: Any, pad: Any, mode: Any = "constant", value: Any = None) -> Value:
        """Read `pad(x, (before, after))` with zeros."""
        if mode != "constant":
            raise Unproved(f"expected padding with zeros, got {mode}")
        return self.padded(self.value(input), pad, value)

    def read_pad(self, value: Value, module: Any) -> Value:
        """Read a module that adds zeros around the last axis."""
        return self.padded(value, module.padding, module.value)

    def padded(self, value: Value, pad: Any, number: Any) -> Value:
        """Return an array with zeros, as labels -1, around its last axis, which a Conv1d then reads."""
        if number not in (None, 0) or not isinstance(pad, tuple | list) or len(pad) != 2:
            raise Unproved("expected (before, after) of the last axis, and zeros")
        if not all(isinstance(count, int) and count >= 0 for count in pad):
            raise Unproved(f"expected numbers of steps of at least 0, got {pad}")
        around = [(0, 0)] * (value.labels.ndim - 1) + [tuple(pad)]
        return replace(value, labels=np.pad(value.labels, around, constant_values=-1))

    def read_conv(self, value: Value, module: Any) -> Value:
        """Add Frames and a Dense for a Conv1d over the steps; return the output, (m, n, s)."""
        check_plain(module, ["weight", "bias"] if module.bias is not None else ["weight"], Unproved)
        for name, due in (("groups", 1), ("dilation", (1,)), ("padding_mode", "zeros")):
            if getattr(module, name) != due:
                raise Unproved(f"expected {name} {due}, got {getattr(module, name)}")
        (length,), (hop,) = module.kernel_size, module.stride
        pad = {"same": (length - 1) // 2, "valid": (0,)}.get(module.padding, module.padding)
        pads = (pad, length - 1 - pad) if module.padding == "same" else (*pad, *pad)
        W = array(module.weight, f"{self.place}, weight")
        return self.convolution(value, W, module.bias, hop, pads, self.trainable(module.parameters()))

    # --- operations ---

    def operate(self, kind: str, value: Value, given: dict[str, Any]) -> Any:
        """Return the output of the operation `kind` on an array."""
        dim, rank = given.get("dim"), value.labels.ndim
        if given.get("dtype") is not None or given.get("_stacklevel", 3) != 3:
            raise Unproved("expected no dtype")
        if "dim" in given:
            dims = dim if isinstance(dim, tuple | list) else (dim,)
            if len(dims) != 1 or not isinstance(dims[0], int) or not -rank <= dims[0] < rank:
                raise Unproved(f"expected one of {rank} axes, got {dim}")
            dim = dims[0] % rank
        if kind in NAMES:
            alpha = given.get("negative_slope", given.get("alpha", 0.0))
            options = NAMES[kind].checked_alpha(alpha, "its slope is", Unproved)
            return self.elementwise(value, Activation(NAMES[kind].own, options or None))
        if kind in BOUNDS:
            return self.elementwise(value, self.clip(*(given.get(bound, bound) for bound in BOUNDS[kind])))
        if kind == "dropout":
            if given["training"]:
                raise Unproved("it drops in inference too; expected training=self.training")
            return self.elementwise(value, Dropout(given["p"])) if given["p"] else value
        if kind in POOLS:
            made = self.pool(value, dim, bool(given["keepdim"]), POOLS[kind])
            return (made, None) if kind == "max" else made
        if kind == "softmax":
            return self.softmax(value, dim)
        at = given["dimension"]
        if not isinstance(at, int) or not -rank <= at < rank:
            raise Unproved(f"its axis {at} is none of {rank}")
        return self.frames(value, given["size"], given["step"], (0, 0), at % rank)

    def read_arithmetic(self, sign: str, given: list[Any], options: dict[str, Any]) -> Any:
        """Add a Scale for x + c, c - x, ... with c a number or one for each feature; return its output."""
        if len(given) != 2 or options:
            raise Unproved("expected two arguments and no others")
        if all(isinstance(each, NUMBERS) for each in given):
            whole = sign == "floordiv" and given[1] and given[0] % given[1] == 0
            if not whole and sign not in ("add", "sub", "mul"):
                raise Unproved("it divides sizes")
            return getattr(operator, sign)(*given)
        if sign == "sub" and isinstance(given[0], Given) and given[1] == 1:
            return replace(given[0], last=True)
        at = [i for i, each in enumerate(given) if isinstance(each, Value) and not isinstance(each.of, Weight)]
        if len(at) == 2 and sign == "mul":
            return self.joined(*given)
        if len(at) == 2:
            raise Unproved("it joins two arrays, and a network is one chain of layers, without branches and residuals")
        other = given[1 - at[0]] if at else None
        if sign == "floordiv" or not isinstance(other, (*NUMBERS, Value)):
            raise Unproved(f"expected an array and a number or a weight, got {other}")
        if not isinstance(other, Value):
            return self.affine(given[at[0]], sign, np.array(other, np.float64), bool(at[0]), self.dtype, False)
        c, value = self.numbers(other), self.settled(given[at[0]])
        if c.dtype != self.dtype:
            raise Unproved(f"expected {self.dtype}, got {c.dtype}")
        row = self.feature_row(value.labels, other.labels)
        if other.of.trainable and len({*row}) < len(row):
            raise Unproved(f"one number that is trained would be {len(row)} here, one for each feature; freeze it")
        self.used_by(other)
        return self.affine(value, sign, c, bool(at[0]), self.dtype, other.of.trainable)
