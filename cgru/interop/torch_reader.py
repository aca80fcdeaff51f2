"""Convert a PyTorch module to layers by running its `forward` on tensors that only track element indices.

Goal: whatever way a module calls PyTorch, it is read, or refused.

Design: `forward` itself is called with an array that has labels and no numbers. Each function of PyTorch that gets it
comes to `Reader.call`: it runs on the labels, or adds a layer, or is refused. Parameters and buffers are such arrays,
too; everything else, such as sizes, is what Python makes of it. Sizes of the samples and steps are numbers that may not
be compared, since the result might differ for others. An array remembers which others share its memory: none of these
may be read after it was changed in place.

Rejected: `torch.fx` and `torch.export`. Their graphs say the same thing in several ways (a module, a function, a
method, an operator), know no zeros of the sizes of x, and need an interpreter of their own.

Letters: m samples, s steps, n features of a step, u units.
"""

from __future__ import annotations

import copy
import os
import traceback
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from functools import partialmethod
from itertools import permutations, product
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.nn.modules.module import register_module_forward_hook, register_module_forward_pre_hook
from torch.nn.utils.rnn import PackedSequence

from cgru.activations import gelu, identity, log_softmax, softmax, softplus
from cgru.interop.gates import FUNCTIONS, Refusal, array
from cgru.interop.graph_reader import BRANCHES, OtherFeatures, Reader, Unproved, Value, is_weights, read
from cgru.interop.torch_weights import KEYS, SUFFIXES, gru_layers, is_trainable
from cgru.layers import Activation, Dropout

__all__ = ["traced_layers"]

DIFFERENT = (gelu, identity, log_softmax, softmax, softplus)  # which are not called as the others
NAMES = {function.name: function for function in FUNCTIONS if function.own not in DIFFERENT}
SIGNS = {"add": "add", "iadd": "add", "sub": "sub", "rsub": "sub", "isub": "sub", "mul": "mul", "imul": "mul",
         "multiply": "mul", "div": "div", "rdiv": "div", "itruediv": "div", "true_divide": "div"}  # fmt: skip
POOLS = {"mean": "mean", "amax": "max", "max": "max", "sum": "sum"}
SIZES = ("shape", "size", "numel")
# Functions of an array's shape and dtype alone.
PLAIN = (*SIZES, "dim", "ndim", "dtype", "device", "is_cuda", "is_floating_point", "requires_grad", "layout",
         "is_contiguous", "new", "new_zeros", "new_ones", "new_full", "new_empty", "zeros_like", "ones_like",
         "empty_like")  # fmt: skip
MOVERS = ("transpose", "swapaxes", "permute", "squeeze", "unsqueeze", "flatten", "view", "reshape", "unflatten", "t",
          "contiguous", "movedim", "select", "narrow", "unbind", "chunk", "split", "getitem", "expand",
          "expand_as", "repeat", "index_select", "gather", "flip", "view_as", "tensor_split")  # fmt: skip
COPIES = ("cat", "concat", "concatenate", "hstack", "stack", "clone")  # movers that share no memory with their inputs
ALIASES = ("dropout", "unfold")  # layers that may share memory with their inputs
KEPT = ("to", "type_as", "float", "double", "long", "int", "cpu", "type")  # if the dtype stays
DETACHED = "gradients would reach the layers before a detach here; freeze them instead"
STORES = {"_parameters", "_buffers"}  # of a module, in which forward may set nothing
ROLES = {0: [()], 1: [("lengths",), ("h0",)], 2: [("lengths", "h0"), ("h0", "lengths")]}  # of inputs beside x


@dataclass(eq=False)
class Weight:
    """A parameter or buffer of the module; a `Value` may have elements `of` it."""

    tensor: Any

    @property
    def trainable(self) -> bool:
        """Return whether the weight is a parameter that requires a gradient."""
        return bool(self.tensor.requires_grad)


class Traced(torch.Tensor):
    """A tensor without numbers whose `value` tracks its elements; `reader` handles all functions called with it.

    `unproved` is why no other function may take it: it may only be returned, or kept in an attribute.
    """

    unproved = ""

    @classmethod
    def __torch_function__(cls, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Let the reader handle a PyTorch function that is called with this tensor."""
        found: list[Any] = []
        replaced((args, kwargs), found.append)
        with torch._C.DisableTorchFunctionSubclass():
            return found[0].reader.call(function, args, kwargs or {})

    @classmethod
    def __torch_dispatch__(cls, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Raise Unproved for an operation that would read the tensor's numbers."""
        raise Unproved("it reads the numbers of an array")


class Lengths(torch.Tensor):
    """The lengths of a trial run, or numbers computed from them; control flow may not depend on them."""

    @classmethod
    def __torch_function__(cls, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Run a PyTorch function on lengths, but raise Unproved for a conversion to bool."""
        if function is torch.Tensor.__bool__:
            raise Unproved("its result depends on lengths")
        return super().__torch_function__(function, types, args, kwargs or {})


class Size(int):
    """A number of samples or steps, or one computed from it; control flow may not depend on it."""

    __hash__ = int.__hash__


def _compare(name: str) -> Any:
    def compare(self: Size, other: Any) -> Any:
        if isinstance(other, int) and int(self) != int(other):
            raise Unproved("its result depends on the number of samples or steps")
        return getattr(int, name)(self, other)

    return compare


def _compute(name: str) -> Any:
    def compute(self: Size, other: Any) -> Any:
        made = getattr(int, name)(self, other)
        return Size(made) if isinstance(made, int) else made

    return compute


for each in ("eq", "ne", "lt", "le", "gt", "ge"):
    setattr(Size, f"__{each}__", _compare(f"__{each}__"))
for each in ("add", "radd", "sub", "rsub", "mul", "rmul", "floordiv", "mod"):
    setattr(Size, f"__{each}__", _compute(f"__{each}__"))


def replaced(argument: Any, by: Any) -> Any:
    """Return an argument with `by` applied to each `Traced` tensor in it, also within lists and dicts."""
    if isinstance(argument, Traced):
        return by(argument)
    if isinstance(argument, tuple | list):
        parts = [replaced(each, by) for each in argument]
        return tuple(parts) if isinstance(argument, tuple) else parts
    return {key: replaced(each, by) for key, each in argument.items()} if isinstance(argument, dict) else argument


def traced_layers(source: Any, count: int, refuse: Refusal) -> list[Any]:
    """Return the layers of a module whose `forward` takes `count` inputs; ValueError if a part is not supported."""
    for path, module in source.named_modules():
        if isinstance(module, nn.modules.batchnorm._BatchNorm) and module.training:
            raise refuse(f"in training {path!r} takes the statistics of each batch; call eval() on the model first")
    try:
        parts = [each for value in attributes(source).values()
                 for each in (value if isinstance(value, list | tuple) else [value])]  # fmt: skip
        # Arrays that a call left there, which cannot be copied.
        computed = {id(each): each.detach() for each in parts if isinstance(each, torch.Tensor) and not each.is_leaf}
        model = copy.deepcopy(source, computed).eval()
    except Exception as error:  # RuntimeError of tensors that are computed, TypeError of what cannot be copied, ...
        raise refuse(f"it cannot be copied: {error}") from None
    dtype = str(next((p.dtype for p in model.parameters()), torch.float32)).removeprefix("torch.")
    if dtype not in ("float32", "float64"):
        raise refuse(f"expected float32 or float64, got {dtype}")
    orders: list[Any] = []
    for letters, kind in (("mse", dtype), ("ms", "int64"), ("ms", dtype)):
        orders += product(map("".join, permutations(letters)), [kind], ROLES[count - 1])
    return read(lambda *sizes: TorchReader(model, dtype, *sizes), orders, lambda order, m, s: (m, s))


class TorchReader(Reader):
    """A reader of a PyTorch module, for an input x of m samples and s steps with its axes in a certain order.

    `order` is these axes, the dtype of x, and the roles of the other inputs.
    """

    strict = False
    is_over = False  # whether the module returned; what it keeps in attributes may not be read by the next call

    def __init__(self, model: Any, dtype: str, order: Any, m: int, s: int, e: int) -> None:
        """Store a copy of the module in eval mode, and make its inputs."""
        letters, kind, self.roles = order
        super().__init__(m, s, e if "e" in letters else 1)
        self.model, self.dtype, self.lengths = model, np.dtype(dtype), None
        self.inside: list[Any] = []  # the modules that are called
        self.grus = [module for module in model.modules() if getattr(module, "mode", "") == "GRU"]
        self.used: set[int] = set()  # parameters
        self.taken: list[str] = []  # roles of inputs that were read
        self.inputs.add("x")
        self.given = [self.wrap(Value("x", self.input_labels(letters), kind))]
        for role in self.roles:
            if role == "lengths":
                self.lengths = s - np.arange(m) % s
                self.given.append(torch.from_numpy(self.lengths.copy()).as_subclass(Lengths))
            else:
                module = self.grus[0]
                shape = (module.num_layers * (1 + module.bidirectional), m, module.hidden_size)
                labels = np.arange(np.prod(shape)).reshape(shape)
                self.given.append(self.wrap(Value("h0", labels, self.dtype.name)))

    def run(self) -> None:
        """Call the module, and collect its layers; Unproved for anything that is not supported."""
        with self.replaced_weights(), ExitStack() as stack:
            stack.callback(register_module_forward_pre_hook(self.enter).remove)
            stack.callback(register_module_forward_hook(lambda *_: self.inside.pop() and None).remove)
            enabled = torch.are_deterministic_algorithms_enabled()
            warns = torch.is_deterministic_algorithms_warn_only_enabled()
            stack.callback(torch.use_deterministic_algorithms, enabled, warn_only=warns)
            torch.use_deterministic_algorithms(True)  # so that what nobody has set is NaN
            before = attributes(self.model)
            try:
                made = self.model(*self.given)
                self.place = "its output"
                self.finish_all(made)
            except OtherFeatures:
                raise
            except Exception as error:  # whatever the module raises on arrays without numbers
                self.place = self.place_of(error)
                raise error if isinstance(error, Unproved) else Unproved(f"{type(error).__name__}: {error}") from None
            finally:
                after = attributes(self.model)
                changed = [name for name in before | after if before.get(name) is not after.get(name)]
                lasting = [name for name in changed if not is_left(name, after.get(name))]
                self.is_over = True
                if lasting:
                    raise ValueError(f"source: expected a forward without side effects, got one that sets {lasting[0]}")

    def place_of(self, error: Exception) -> str:
        """Return a phrase for an error: the PyTorch module or function in which it was raised, and the user's line."""
        path, last = "", self.inside[-1] if self.inside else self.model
        if type(last).__module__.startswith(("torch.nn", "cgru.torch")) and not [*last.children()]:
            path = next(path for path, module in self.model.named_modules() if module is last)
        return (f"{type(last).__name__} {path!r}" if path else self.place) + _line(error)

    def enter(self, module: Any, given: Any) -> None:
        """Store that a module is being called, and check a GRU's number of input features."""
        self.inside.append(module)
        if module in self.grus and given:
            data = given[0].data if isinstance(given[0], PackedSequence) else given[0]
            if isinstance(data, Traced):
                self.guess_features(self.rows(getattr(data, "whole", data.value))[0], module.input_size)

    @contextmanager
    def replaced_weights(self) -> Iterator[None]:
        """Replace all parameters and buffers, except those of GRUs, by tracking tensors inside a `with` block."""
        stores = [vars(module)[name] for module in self.model.modules() if not isinstance(module, nn.RNNBase)
                  for name in STORES]  # fmt: skip
        kept = [(store, dict(store)) for store in stores]
        try:
            for store, tensors in kept:
                for name, tensor in tensors.items():
                    if is_plain(tensor):
                        labels = np.arange(tensor.numel()).reshape(tuple(tensor.shape))
                        store[name] = self.wrap(Value(Weight(tensor), labels, str(tensor.dtype).split(".")[1]))
            yield
        finally:
            for store, tensors in kept:
                store.update(tensors)

    # --- values and tensors ---

    def wrap(self, made: Any, memory: list[int] | None = None) -> Any:
        """Return values as tracking tensors; anything else unchanged.

        `memory` is a list of how often the memory was changed that they may share with other tensors.
        """
        if made.__class__ in (tuple, list):
            return tuple(self.wrap(each, memory) for each in made)
        if not isinstance(made, Value):
            return made
        tensor = torch.Tensor._make_wrapper_subclass(Traced, made.labels.shape, dtype=getattr(torch, made.dtype))
        tensor.reader, tensor.value = self, made
        tensor.memory = [0] if memory is None else memory
        tensor.version = tensor.memory[0]
        return tensor

    def value(self, argument: Any) -> Value:
        """Return the `Value` of an argument that is a layer's output; Unproved for any other argument."""
        if not isinstance(argument, Traced) or isinstance(argument.value.of, Weight):
            what = type(argument).__name__
            raise Unproved(f"expected the output of a layer, got another {what}")
        self.check_memory([argument])
        return argument.value

    def check_memory(self, tensors: list[Any]) -> None:
        """Raise Unproved for tensors that were changed in place through another tensor."""
        if any(each.reader.is_over for each in tensors):
            raise Unproved("it reads an attribute that an earlier call set")
        if any(each.version != each.memory[0] for each in tensors):
            raise Unproved("expected arrays that are not changed in place afterwards")

    def numbers(self, weight: Any) -> np.ndarray:
        """Return the numbers of a weight as an array; Unproved for any other argument."""
        if not isinstance(weight, Traced) or not isinstance(weight.value.of, Weight):
            raise Unproved("expected parameters or buffers for its weights, not arrays that forward computes")
        return array(weight.value.of.tensor, self.place).ravel()[weight.value.labels]

    def trainable(self, *weights: Any) -> bool:
        """Store that a layer uses these weights; return whether they are trained."""
        found = [each.value.of.tensor if isinstance(each, Traced) else each for each in weights if each is not None]
        found = [tensor for tensor in found if isinstance(tensor, nn.Parameter)]
        for tensor in found:
            if id(tensor) in self.used:
                raise Unproved("its weights are used by another layer, too; expected each only once")
            self.used.add(id(tensor))
        return is_trainable(found, "a layer", Unproved)

    def call(self, function: Any, given: Any, options: Any) -> Any:
        """Return what a PyTorch function returns for tracking tensors, and add the layer that it represents."""
        kind = getattr(function, "__name__", str(function))
        name = function.__self__.__name__ if kind == "__get__" else kind.strip("_")
        self.place, self.progress = name, self.progress + 1
        found: list[Any] = []
        replaced((given, options), found.append)
        self.check_memory(found)
        unproved = next((each.unproved for each in found if each.unproved and name not in (*PLAIN, *KEPT)), "")
        if unproved:
            raise Unproved(unproved)
        if "out" in options:
            raise Unproved("it writes into an existing array")
        if torch.is_autocast_enabled("cpu"):
            raise Unproved("it computes in another dtype than that of its weights: expected no autocast")
        first = given[0] if given else next(iter(options.values()))
        if name in PLAIN or (name in KEPT and not isinstance(first, Traced)):
            made = function(*replaced(given, _stand_in), **replaced(options, _stand_in))
            return Size(made) if name == "numel" else self.sized(made) if name in SIZES else made
        if name in KEPT:
            before = _stand_in(first)
            if function(before, *replaced(given[1:], _stand_in), **options).dtype != before.dtype:
                raise Unproved("it changes the dtype")
            return first
        if name in (*MOVERS, *COPIES):
            made = self.move(name, function, given, options, found)
        elif name in ("detach", "data"):
            is_weight, made = isinstance(first.value.of, Weight), first.value
            unproved = "" if is_weight else DETACHED
            made = replace(made, of=Weight(made.of.tensor.detach())) if is_weight else made
        elif name in SIGNS:
            made = self.arithmetic(SIGNS[name], name.startswith("r"), *given, **options)
        elif name in NAMES:
            made = self.function(name, *given, **options)
        elif name in POOLS:
            made = self.reduce(name, *given, **options)
        else:
            handler = getattr(self, f"on_{name}", None)
            if handler is None:
                several = sum(not isinstance(each.value.of, Weight) for each in found) > 1
                raise Unproved(BRANCHES if several else "this function is not supported")
            made = handler(*given, **options)
        if name == "squeeze" and len(given) + len(options) == 1 and not isinstance(first.value.of, Weight):
            unproved = "squeeze() does not specify its axes"
        is_inplace = kind.startswith("__i") or (kind.endswith("_") and not kind.endswith("__"))
        if is_inplace or options.get("inplace"):
            first.value, first.unproved = made, unproved
            if name not in MOVERS:
                first.memory[0] += 1  # which other arrays may share
                first.version = first.memory[0]
            return first
        tensor = self.wrap(made, first.memory if name in (*MOVERS, *ALIASES, "detach", "data") else None)
        if unproved:
            tensor.unproved = unproved
        return tensor

    def sized(self, made: Any) -> Any:
        """Return tensor sizes, with numbers of samples or steps as `Size`, which cannot be compared."""
        if isinstance(made, tuple):
            return torch.Size(map(self.sized, made))
        return Size(made) if made in (self.m, self.stages[0].s) and made > 1 else made

    def move(self, name: str, function: Any, given: Any, options: Any, found: list[Any]) -> Any:
        """Return the result of a function that only moves elements, by running it on the element indices."""
        first = found[0].value
        if any(each.value.of != first.of for each in found):
            for each in found:
                each.value = self.placed(each.value)
            first = found[0].value
        if any(each.value.dtype != first.dtype for each in found):
            raise Unproved("it joins arrays of several dtypes")
        if name == "squeeze":
            dims = [*given[1:], *options.values()]
            sizes = np.take(first.labels.shape, np.ravel(dims).astype(int))
            if any(size != 1 and size in (self.m, *(stage.s for stage in self.stages)) for size in sizes):
                raise Unproved("it removes an axis whose size may not be 1")
        if name == "getitem":
            self.check_index(given[1] if isinstance(given[1], tuple) else (given[1],), first)
        try:
            made = function(*replaced(given, _labels), **replaced(options, _labels))
        except (IndexError, RuntimeError) as error:
            if name == "split" and isinstance(given[1], list | tuple):
                self.guess_axis(first, [*given[2:], *options.values(), 0][0], sum(given[1]))
            if name in ("view", "reshape") and all(isinstance(n, int | np.integer) for n in np.ravel(given[1:])):
                sizes, L = [*map(int, np.ravel(given[1:]))], first.labels
                self.guess_axis(first, -1, sizes[-1] if -1 in sizes else np.prod(sizes) * L.shape[-1] // L.size)
                if len(sizes) == 2 and sizes[0] == self.m:
                    self.guess_steps(self.settled(first)[0], sizes[1])
            raise Unproved(f"it cannot be run on {first.labels.shape}: {error}") from None
        if isinstance(made, tuple | list):
            if name == "chunk" and len(made) < given[1]:
                self.guess_axis(first, [*given[2:], *options.values(), 0][0], given[1])
            return [replace(first, labels=each.numpy()) for each in made]
        return replace(first, labels=made.as_subclass(torch.Tensor).numpy())

    def check_index(self, items: tuple[Any, ...], value: Value) -> None:
        """Raise Unproved for slices and indices that would act differently on a longer array."""
        axis, shape = 0, value.labels.shape
        for i, item in enumerate(items):
            if item is Ellipsis:
                axis = len(shape) - sum(each is not None for each in items[i + 1 :])
            elif isinstance(item, slice | int | list) and axis < len(shape):
                ends = (item.start, item.stop) if isinstance(item, slice) else [item] if isinstance(item, int) else item
                ends = [n for n in ends if n is not None]
                if not all(isinstance(n, int) for n in ends):
                    raise Unproved("it has a bound that is computed")
                more = not isinstance(item, slice)
                due = max((n + more if n >= 0 else -n for n in map(int, ends)), default=0)
                if due > max(1, shape[axis]):
                    self.guess_axis(value, axis, due + 1)
                    raise Unproved("it has a bound past the end of the axis")
            axis += item is not None and item is not Ellipsis

    def finish_all(self, made: Any) -> None:
        """Make layers from the module's result, which may include the last states of all GRUs."""
        first, *rest = made if made.__class__ in (tuple, list) else [made]
        if getattr(first, "unproved", "") == DETACHED:
            raise Unproved(DETACHED)
        size = self.m * sum(stage.n for stage in self.recurrent)
        for end in rest:
            value = self.value(end) if isinstance(end, Traced) else None
            if len(rest) > 1 or not self.are_last_states(value) or value.labels.size != size:
                raise Unproved("expected one output, and with it at most the last states of the only GRU")
        self.finish(self.value(first), directions=False)
        if self.taken:
            self.check_order()
        if "h0" in self.taken and (len(self.grus) > 1 or self.taken.count("h0") > 1):
            raise Unproved("expected initial states that are given to the only GRU, got several: start them from zeros")

    # --- functions that are layers ---

    def function(self, name: str, input: Any, *alphas: Any, inplace: bool = False, **named: Any) -> Value:
        """Add an elementwise activation with at most one parameter."""
        alpha, *rest = (*alphas, *named.values(), *(() if alphas or named else ({"leaky_relu": 0.01}.get(name, 1.0),)))
        if rest[bool(rest) and rest[0] is False :] or (name not in ("leaky_relu", "elu") and (alphas or named)):
            raise Unproved("expected no argument besides the array")
        options = NAMES[name].checked_alpha(alpha, "its slope is", Unproved)
        return self.elementwise(self.value(input), Activation(NAMES[name].own, options or None))

    def on_gelu(self, input: Any, approximate: str = "none") -> Value:
        """Add a GELU activation."""
        if approximate != "none":
            raise Unproved(f'expected approximate="none", the exact function, got {approximate!r}')
        return self.elementwise(self.value(input), Activation(gelu))

    def on_softplus(self, input: Any, beta: float = 1.0, threshold: float = 20.0) -> Value:
        """Add a softplus; beyond PyTorch's threshold of 20 its exact values differ from PyTorch's by 2e-9."""
        if threshold < 20 or beta != 1:
            raise Unproved(f"expected a threshold of at least 20 and beta 1, got {threshold} and {beta}")
        return self.elementwise(self.value(input), Activation(softplus))

    def on_clamp(self, input: Any, min: Any = None, max: Any = None) -> Value:
        """Add a Clip layer for `torch.clamp`."""
        return self.clip(self.value(input), min, max)

    def on_hardtanh(self, input: Any, min_val: float = -1.0, max_val: float = 1.0, inplace: bool = False) -> Value:
        """Add a Clip layer for `hardtanh`."""
        return self.on_clamp(input, min_val, max_val)

    def on_relu6(self, input: Any, inplace: bool = False) -> Value:
        """Add a Clip layer for `relu6`."""
        return self.on_clamp(input, 0, 6)

    def on_dropout(self, input: Any, p: float = 0.5, training: bool = True, inplace: bool = False) -> Value:
        """Add a Dropout layer."""
        if training:
            raise Unproved("it applies dropout in inference, too; expected training=self.training")
        value = self.value(input)
        if p and is_weights(value):
            raise Unproved("dropout of attention weights is not supported; set p of this Dropout to 0")
        return self.elementwise(value, Dropout(p)) if p else value

    def on_softmax(
        self, input: Any, dim: Any = None, dtype: Any = None, _stacklevel: int = 3, own: Any = softmax
    ) -> Value:
        """Add a softmax over the features, or return attention weights."""
        if not isinstance(dim, int) or dtype is not None:
            raise Unproved(f"expected one axis and no dtype, got {dim} and {dtype}")
        return self.softmax(self.value(input), dim, own)

    on_log_softmax = partialmethod(on_softmax, own=log_softmax)

    def on_adaptive_avg_pool1d(self, input: Any, output_size: Any, how: str = "mean") -> Value:
        """Add a pool over all steps, which are the last axis, for an adaptive pooling to one output."""
        if np.ravel(output_size).tolist() != [1]:
            raise Unproved(f"expected one output, got {output_size}")
        return self.pool(self.value(input), input.value.labels.ndim - 1, True, how)

    def on_adaptive_max_pool1d(self, input: Any, output_size: Any, return_indices: bool = False) -> Value:
        """Add a max pool over all steps, which are the last axis."""
        if return_indices:
            raise Unproved("expected the maxima without their indices")
        return self.on_adaptive_avg_pool1d(input, output_size, "max")

    def reduce(self, name: str, input: Any, dim: Any = None, keepdim: bool = False, dtype: Any = None) -> Any:
        """Add a pool over the steps, or the sum of an attention."""
        dims = dim if isinstance(dim, tuple | list) else (dim,)
        if len(dims) != 1 or not isinstance(dims[0], int) or dtype is not None:
            raise Unproved(f"expected one axis and no dtype, got {dim} and {dtype}")
        made = self.pool(self.value(input), dims[0] % len(input.value.labels.shape), bool(keepdim), POOLS[name])
        return made if name != "max" else torch.return_types.max((self.wrap(made), None))

    def on_unfold(self, input: Any, dimension: int, size: int, step: int) -> Value:
        """Add a Frames layer for `Tensor.unfold`."""
        return self.frames(self.value(input), size, step, (0, 0), dimension % len(input.value.labels.shape))

    def on_linear(self, input: Any, weight: Any, bias: Any = None) -> Value:
        """Add a Dense layer."""
        W, b = self.numbers(weight), None if bias is None else self.numbers(bias)
        return self.linear(self.value(input), W.T, b, trainable=self.trainable(weight, bias))

    def on_matmul(self, first: Any, second: Any) -> Value:
        """Read a matrix product: a Dense if the right operand is a weight, else a sum weighted by attention."""
        if isinstance(second, Traced) and not isinstance(second.value.of, Weight):
            return self.einsum("bij,bjk->bik", self.value(first), second.value)
        W = self.numbers(second)
        if W.ndim not in (1, 2):
            raise Unproved(f"expected a matrix or a vector, got {W.shape}")
        made = self.linear(self.value(first), W.reshape(len(W), -1), None, trainable=self.trainable(second))
        return made if W.ndim == 2 else replace(made, labels=made.labels[..., 0])

    on_bmm = on_matmul

    def on_einsum(self, equation: str, *operands: Any) -> Value:
        """Read an einsum as a sum of states weighted by attention."""
        if len(operands) != 2:
            raise Unproved("expected an equation and two arrays")
        return self.einsum(equation, *map(self.value, operands))

    def on_layer_norm(
        self, input: Any, normalized_shape: Any, weight: Any = None, bias: Any = None, eps: float = 1e-5
    ) -> Value:
        """Add a LayerNorm over the features."""
        scale = np.ones(tuple(normalized_shape), self.dtype) if weight is None else self.numbers(weight)
        shift = None if bias is None else self.numbers(bias)
        return self.normalization(self.value(input), scale, shift, eps, self.trainable(weight, bias))

    def on_batch_norm(
        self, input: Any, running_mean: Any, running_var: Any, weight: Any = None, bias: Any = None,
        training: bool = False, momentum: float = 0.1, eps: float = 1e-5,
    ) -> Value:  # fmt: skip
        """Add a Scale layer for a batch normalisation in inference."""
        if training or running_mean is None:
            raise Unproved("it uses the statistics of each batch; expected track_running_stats=True and eval()")
        scale, shift = (1.0, 0.0) if weight is None else (self.numbers(weight), self.numbers(bias))
        moments = self.numbers(running_mean), self.numbers(running_var)
        return self.batch_norm(self.value(input), *moments, eps, scale, shift, self.trainable(weight, bias))

    def on_embedding(self, input: Any, weight: Any, padding_idx: Any = None, max_norm: Any = None, **_: Any) -> Value:
        """Add an Embedding layer."""
        if max_norm is not None:
            raise Unproved("expected max_norm None, since it changes the weights in a call")
        return self.embedding(self.value(input), self.numbers(weight), self.place, self.trainable(weight))

    def on_pad(self, input: Any, pad: Any, mode: str = "constant", value: Any = None) -> Value:
        """Return an array with zero padding along its last axis, marked by -1, which a convolution then reads."""
        if mode != "constant" or value not in (None, 0) or len(pad) != 2 or min(pad) < 0:
            raise Unproved(f"expected zeros before and after the last axis, got {mode} {pad} of {value}")
        found = self.value(input)
        around = [(0, 0)] * (found.labels.ndim - 1) + [tuple(pad)]
        return replace(found, labels=np.pad(found.labels, around, constant_values=-1))

    def on_conv1d(
        self, input: Any, weight: Any, bias: Any = None, stride: Any = 1, padding: Any = 0, dilation: Any = 1,
        groups: int = 1,
    ) -> Value:  # fmt: skip
        """Add Frames and a Dense for a convolution over the steps; return an array (m, n, s)."""
        W, b = self.numbers(weight), None if bias is None else self.numbers(bias)
        hops = *np.ravel(stride), *np.ravel(dilation)
        if groups != 1:
            raise Unproved(f"expected groups 1, got {groups}")
        named = {"same": (W.shape[2] - 1) * hops[1], "valid": 0}
        around = named[padding] if isinstance(padding, str) else 2 * np.ravel(padding)[0]
        pads = around // 2, around - around // 2
        return self.convolution(self.value(input), W, b, hops, pads, self.trainable(weight, bias))

    def arithmetic(self, sign: str, first: bool, *given: Any) -> Value:
        """Add a Scale for an operation with a constant, such as x + c or (`first`) c - x; else join two arrays."""
        one, other = given
        if not isinstance(one, Traced) or isinstance(one.value.of, Weight):
            one, other, first = other, one, True
        value = self.value(one)
        if isinstance(other, Traced) and not isinstance(other.value.of, Weight):
            return self.joined(value, other.value, sign)
        if isinstance(other, int | float):
            return self.affine(value, sign, np.array(other, np.float64), first, self.dtype, False)
        c = self.numbers(other)
        if c.dtype != self.dtype:
            raise Unproved(f"expected {self.dtype}, got {c.dtype}")
        row, trained = self.feature_row(value, other.value.labels), other.value.of.trainable
        if trained and len({*row}) < len(row):
            raise Unproved(f"one trained number would become {len(row)}, one for each feature; freeze it")
        self.trainable(other)
        return self.affine(value, sign, c, first, self.dtype, trained)

    # --- GRUs ---

    def on_gru(self, input: Any, second: Any, third: Any, *rest: Any) -> tuple[Any, ...]:
        """Add all layers of a GRU; return all states and the last states."""
        packed = not isinstance(third, tuple | list)
        hx, (weights, biased, depth, rate, _, both, *first) = (third, rest) if packed else (second, (third, *rest))
        if self.ragged and not packed:
            raise Unproved("it would read padding, before which the GRU below it stops; expected a packed input")
        keys = [f"{key}_l{n}{suffix}" for n in range(depth) for suffix in SUFFIXES[: 1 + both]
                for key in KEYS[: 4 if biased else 2]]  # fmt: skip
        if not all(is_plain(each) and isinstance(each, nn.Parameter) for each in weights) or len(weights) != len(keys):
            raise Unproved("its weights are computed, or are not plain parameters")
        for each in weights:
            self.trainable(each)
        layers = gru_layers(dict(zip(keys, weights, strict=True)), self.initial_states(hx, weights[0]), rate)
        rows, value = (True, input.whole) if packed else (first[0], self.value(input))
        stage, places = self.recurrent_input(value, rows, weights[0].shape[1])
        ends = []
        for layer in layers:
            if layer.cells:
                stage = self.add_recurrent(layer, stage, places)
                places = np.arange(stage.n)
                ends.append(self.last_states(stage))
            else:
                stage = self.push(layer, stage.n, stage.s, stage)
        C = np.arange(self.m * stage.s * stage.n).reshape(self.m, stage.s, -1)
        states = self.made(stage, C if rows else C.swapaxes(0, 1), value)
        return self.packed(states) if packed else states, replace(states, labels=np.concatenate(ends))

    def initial_states(self, hx: Any, weight: Any) -> np.ndarray | None:
        """Return the learned initial states of a GRU; None for zeros, and for states that are the input h0."""
        if not isinstance(hx, Traced):
            if bool(hx.any()):
                raise Unproved("expected initial states that are None, zeros, a parameter or another input")
            return None
        value = hx.value
        if value.of == "h0" and np.array_equal(value.labels, self.given[1 + self.roles.index("h0")].value.labels):
            self.taken.append("h0")
            return None
        numbers = self.numbers(hx)
        if (value.labels[:, :1] != value.labels).any():
            raise Unproved(f"expected initial states (layers, 1, u) that are expanded to the samples, got {hx.shape}")
        start = numbers[:, :1]
        if not start.any() and not value.of.trainable:
            return None
        if value.of.trainable != bool(weight.requires_grad):
            raise Unproved("expected initial states that are trained exactly if the weights of the GRU are")
        if value.of.trainable and len({*value.labels[:, 0].ravel()}) < start.size:
            raise Unproved("a trained state that several layers share would be trained separately for each; freeze it")
        if start.dtype != self.dtype:
            raise Unproved(f"expected initial states in {self.dtype}, got {start.dtype}")
        self.trainable(hx)
        return start

    def packed(self, whole: Value) -> Any:
        """Return the packed data of an array (m, s, n) as a tracking tensor."""
        shape = int(self.lengths.sum()), whole.labels.shape[2]
        tensor = self.wrap(Value("packed steps", np.zeros(shape, int), whole.dtype))
        tensor.whole = whole
        return tensor

    def on_pack_padded_sequence(self, input: Any, lengths: Any, batch_first: bool) -> tuple[Any, Any]:
        """Store that an input is the lengths; return the packed data and the number of samples at each step."""
        if not isinstance(lengths, Lengths) or not np.array_equal(lengths.as_subclass(torch.Tensor), self.lengths):
            raise Unproved("expected lengths that are an input of the module")
        value = self.value(input)
        self.settled(value)
        self.begin_padding()
        labels = value.labels if batch_first else value.labels.swapaxes(0, 1)
        shape = torch.zeros(labels.shape[:2])
        _, sizes = torch._VF._pack_padded_sequence(shape, lengths.as_subclass(torch.Tensor), True)
        return self.packed(replace(value, labels=labels)), sizes

    def on_pad_packed_sequence(
        self, data: Any, sizes: Any, batch_first: bool, padding_value: float, total_length: int
    ) -> tuple[Any, Any]:
        """Return all states (m, s, n), zero in the padding, and the lengths."""
        if not hasattr(data, "whole") or padding_value != 0 or total_length != data.whole.labels.shape[1]:
            raise Unproved("expected a packed sequence, zeros at padding, and all steps of x")
        labels = data.whole.labels if batch_first else data.whole.labels.swapaxes(0, 1)
        return replace(data.whole, labels=labels), self.given[1 + self.roles.index("lengths")]


def _stand_in(tensor: Traced) -> Any:
    """Return a tensor with the same shape and dtype as a tracking tensor."""
    return torch.zeros((), dtype=getattr(torch, tensor.value.dtype)).expand(tensor.value.labels.shape)


def _labels(tensor: Traced) -> Any:
    """Return the element indices of a tracking tensor as an ordinary tensor."""
    return torch.from_numpy(np.ascontiguousarray(tensor.value.labels))


def is_plain(tensor: Any) -> bool:
    """Return whether a tensor is a plain leaf tensor of PyTorch, such as a parameter or buffer that is not computed."""
    return tensor.__class__ in (torch.Tensor, nn.Parameter) and tensor.is_leaf


def attributes(model: Any) -> dict[str, Any]:
    """Return all attributes of a model's modules, by dotted name."""
    found = {}
    for path, module in model.named_modules():
        for name, value in vars(module).items():
            parts = value.items() if isinstance(value, dict) else [("", value)]
            found |= {".".join(filter(None, (path, name, str(key)))): part for key, part in parts}
    return found


def is_left(name: str, value: Any) -> bool:
    """Return whether an attribute has only tracking tensors that a call left there, and is no parameter or buffer."""
    parts = value if isinstance(value, list | tuple) else [value]
    return bool(parts) and all(isinstance(each, Traced) for each in parts) and STORES.isdisjoint(name.split("."))


def _line(error: Exception) -> str:
    """Return " (file:line)" of the user's line in which an error was raised; "" if there is none."""
    own = [os.path.dirname(os.path.dirname(__file__)) + os.sep, os.path.dirname(torch.__file__) + os.sep]
    frames = [(frame.filename, frame.lineno) for frame in traceback.extract_tb(error.__traceback__)]
    found = [f" ({path}:{line})" for path, line in frames if not path.startswith((*own, "<"))]
    return found[-1] if found else ""
