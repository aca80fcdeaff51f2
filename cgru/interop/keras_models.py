"""Convert Keras 3 layers and models (any backend) to cgru, and back."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from cgru.activations import Activation as Function
from cgru.activations import log_softmax, ours, parameter, softmax
from cgru.bidirectional import Bidirectional
from cgru.gru import GRU
from cgru.interop import gates
from cgru.interop.gates import KERAS, Refusal, array, refusal
from cgru.interop.graph_reader import dense, embedding
from cgru.interop.joins import Node, chain_of
from cgru.layers import Activation, Conv1D, Dense, Dropout, Embedding, Flip, Frames, LayerNorm, Pool, Scale, Select
from cgru.network import Network, chain
from cgru.network.branches import KINDS
from cgru.variant import Variant

__all__ = ["from_keras", "to_keras"]

NAMES = {function.name: function for function in gates.FUNCTIONS}
CLASSES = {"ReLU": "relu", "LeakyReLU": "leaky_relu", "ELU": "elu"}  # activation layers -> function
MERGES = {"concat": "concat", "sum": "sum", "ave": "mean", "mul": "mul"}
POOLS = {"GlobalAveragePooling1D": "mean", "GlobalMaxPooling1D": "max"}

JOINS = {"Concatenate": "concatenate", "Add": "add", "Average": "add", "Subtract": "add", "Multiply": "multiply"}
JOINS |= {f"ops.{name}": how for name, how in JOINS.items() if name != "Average"}  # of which there is another one
PICKS = ("ops.Take", "ops.GetItem")
LIKE = ("ops.OnesLike", "ops.ZerosLike")
MASKS = ("ops.Any", "ops.LogicalOr", "ops.ExpandDims", "ops.Concatenate", *LIKE)  # what Keras makes masks of masks by
RNNS = ("GRU", "RNN")
RECURRENT = (*RNNS, "Bidirectional")
SEVERAL_STEPS = (*RECURRENT, "Conv1D", "Flatten", *POOLS)  # layers that read more than a step

LAST = "keepdims is False and expected the features in the last axis"
# By class: options that must have one value here, and the reason for refusing another.
REQUIRED: dict[str, tuple[tuple[str, Any, str], ...]] = {
    "Softmax": (("axis", -1, "expected axis -1, that of the features, got {}"),),
    "LayerNormalization": (("rms_scaling", False, "expected rms_scaling False"),),
    "Conv1D": (
        ("data_format", "channels_last", "expected the features in the last axis"),
        ("groups", 1, "expected groups 1, got {}"),
    ),
    "Flatten": (("data_format", "channels_last", "expected the features in the last axis"),),
    "Dropout": (("noise_shape", None, "expected noise_shape None, got {}"),),
    **dict.fromkeys(POOLS, (("keepdims", False, LAST), ("data_format", "channels_last", LAST))),
}

# --- from there ---


def from_keras(source: Any) -> Network:
    """Convert a Keras `GRU`, an `RNN` of GRU cells, a `Bidirectional` of one, or a model to a network.

    A layer by itself becomes a network without a head. Its `predict(X, lengths, h0)` returns all states, whatever the
    layer's `return_sequences` is. The network of a model returns what the model does.

    A model is Sequential or functional, and so are models in it. It may have these layers, each called once; any other
    is refused by name:

    - `Embedding`, `GRU`, `RNN` of a `GRUCell` or a stack of these, `Bidirectional`, `LayerNormalization`, `Dense` (by
      itself or in a `TimeDistributed`);
    - `Activation` ("gelu", "silu", "softplus" and "log_softmax" among them), `ReLU`, `LeakyReLU`, `ELU`, `Softmax` over
      the features;
    - `GlobalAveragePooling1D`, `GlobalMaxPooling1D`; `Flatten` where the steps are known;
    - `Concatenate` along the features, `Add`, `Average`, `Subtract`, `Multiply`, and x + y, x - y, x * y of arrays;
    - some features of an array, x[..., 1:3] and `keras.ops.take(x, [1, 0], -1)`, and without a mask the last step,
      x[:, -1];
    - `Dropout`; `SpatialDropout1D`, which predicts the same, but draws for each number here when it is trained further;
    - `Conv1D` without groups;
    - `BatchNormalization` as it predicts, which becomes a `Scale`.

    Several inputs are the columns of one X, in the order of `model.inputs`. All have the same steps. An input (m, n)
    among them is repeated at each step, and the last step is read. Several outputs are columns, too.

    The mask of a `Masking` layer or an `Embedding(mask_zero=True)` is not in the network: pass `lengths`. This gives
    the numbers of Keras where the masked steps are the last of each sample; turn padding in front of a sequence to its
    end. Outputs at padded steps are zero.

    The outputs of `go_backwards` are in the order of processing, through a `Flip`. The states of a stateful layer and
    `trainable` are kept. Regularizers, constraints and seeds are not.

    Args:
        source: the layer or model, built, so that it has weights of float32 or float64.

    Returns:
        A `cgru.Network` with the same numbers.

    Raises:
        TypeError, ValueError: the source is something else, or a part of it has no counterpart here, with the reason.
        RuntimeError: it is not built yet.

    Examples:
        >>> import keras
        >>> layer = keras.layers.GRU(4, return_sequences=True)
        >>> A = layer(np.ones((2, 6, 3), "float32"))
        >>> net = cgru.interop.from_keras(layer)
        >>> np.allclose(net.predict(np.ones((2, 6, 3))), keras.ops.convert_to_numpy(A), atol=1e-5)
        True
    """
    kind, refuse = _class_name(source), _refusal(source)
    if not kind:
        got = f"{type(source).__module__}.{type(source).__qualname__}"
        raise TypeError(f"source: expected a layer or a model of Keras, got {got}")
    if kind in RECURRENT:
        _check(source, refuse, source._flatten_layers())
        return Network(_convert(source, "", every=True))
    if not hasattr(source, "layers"):
        raise refuse(f"expected one of {', '.join(RECURRENT)} or a model")
    if not source.built or not source.layers:
        raise RuntimeError(f"source: expected a model that is built, got {source.name!r}, which is not: call it first")
    return Network(_Reader(source).read(source))


def _class_name(layer: Any) -> str:
    """Return the class name of a Keras layer or operation; "" for a subclass, which may compute anything."""
    kind = type(layer)
    if kind.__module__ == "cgru.keras":
        kind = kind.__bases__[-1]
    own, name = kind.__module__.partition(".")[0] == "keras", kind.__name__
    return ("ops." + name if ".ops." in kind.__module__ else name) if own else ""


def _refusal(layer: Any, place: str = "") -> Refusal:
    """Return a function that makes a ValueError from a reason; the message names the layer and its `place`."""
    return refusal(f"source: {place}{type(layer).__name__} {getattr(layer, 'name', '?')!r} cannot be converted")


def _check(layer: Any, refuse: Refusal, parts: Any) -> None:
    """Raise an error for a layer with a part that does not compute what its class and its weights say."""
    for part in parts:
        other = gates.overridden(part, ("build", "quantize"))  # which Keras wraps in every layer
        if other:
            raise refuse(f"its {other} was replaced on the object")
        if getattr(part, "quantization_mode", None) or getattr(part, "lora_enabled", False):
            raise refuse("it is quantized or has a low-rank update (LoRA), which cannot be converted")
        if part.compute_dtype != part.variable_dtype:
            raise refuse(f"it computes in {part.compute_dtype} with weights of {part.variable_dtype}")
        if part.compute_dtype != layer.compute_dtype:
            raise refuse(f"it computes in {layer.compute_dtype}, its {part.name!r} in {part.compute_dtype}")


class _Reader:
    """A reader that collects a Keras model's layers as graph nodes, from which `joins.chain_of` makes one chain.

    A mask becomes lengths: each layer that reads several steps must have it there, since it has lengths here.
    """

    def __init__(self, model: Any) -> None:
        self.nodes: list[Node] = []
        self.layers: list[Any] = []  # those that were read
        self.masked = [False]  # whether the input and each node have the mask
        makers = [layer for layer in model._flatten_layers() if _makes_mask(layer)]
        if len(makers) > 1:
            raise _refusal(makers[1])("expected only one layer that makes a mask")
        self.maker = makers[0] if makers else None

    def add(self, parents: list[int], how: list[Any] | str, refuse: Refusal) -> int:
        """Append a node, which is masked if all its parents are; return its number."""
        self.nodes.append(Node(tuple(parents), how, refuse))
        self.masked.append(all(self.masked[parent] for parent in parents))
        return len(self.nodes)

    def read(self, model: Any) -> list[Any]:
        """Return the chain of layers of a model."""
        refuse, shapes, given = _refusal(model), [each.shape for each in model.inputs or ()], [0]
        widths, steps = [each[-1] for each in shapes], {each[1] for each in shapes if len(each) == 3} - {None}
        if len(steps) > 1 or not {*map(len, shapes)} <= {2, 3} or (shapes[1:] and None in widths):
            raise refuse(f"expected inputs (m, s, n), all with the same steps, or (m, n), got {shapes}")
        if shapes[1:]:
            ends = np.cumsum(widths).tolist()
            for each, end in zip(shapes, ends, strict=True):
                static = [Pool("last")] if len(each) < max(map(len, shapes)) else []
                self.add([0], [Select(range(end - each[-1], end), ends[-1]), *static], refuse)
            given, widths = [*range(1, len(ends) + 1)], ends[-1:]
        outputs = self.model(model, given)
        output = self.add(outputs, "concatenate", refuse) if outputs[1:] else outputs[0]
        first = next(iter(self.layers), model)
        tokens = _class_name(first) == "Embedding"
        for each in model.inputs or ():
            if each.dtype not in (("int32", "int64", "float32") if tokens else (first.compute_dtype,)) + ("float64",):
                due = f"an input of {first.compute_dtype}, or integers for tokens"
                raise refuse(f"expected {due}, got {each.dtype}")
        n = widths[0] if widths and widths[0] is not None else "e"
        return chain_of(self.nodes, ("m", "s") if tokens and len(shapes[0]) == 2 else ("m", "s", n), output)

    def model(self, model: Any, given: list[int]) -> list[int]:
        """Read a model whose inputs are these nodes; return the nodes of its outputs."""
        refuse, kind = _refusal(model), _class_name(model)
        _check(model, refuse, [model])
        if kind == "Sequential":
            for layer in model.layers:
                given = self.layer(layer, given)
            return given
        if kind != "Functional":
            raise refuse("expected a Sequential or a functional model")
        known = dict(zip(map(id, model.inputs), given, strict=True))

        def values(tensors: list[Any], refuse: Refusal) -> list[int]:
            """Return the nodes of these tensors."""
            for tensor in tensors:
                if id(tensor) not in known:
                    made = getattr(tensor, "_keras_history", None)
                    got = f"that of {made.operation.name!r}" if made else type(tensor).__name__
                    raise refuse(f"expected the output of a layer of the model, got {got}")
            return [known[id(tensor)] for tensor in tensors]

        for _, nodes in sorted(model._nodes_by_depth.items(), reverse=True):
            for node in nodes:
                layer, kind = node.operation, _class_name(node.operation)
                refuse_layer = _refusal(layer, f"layer {len(self.layers)}, ")
                part = _picked(layer, *node.arguments.args) if kind in PICKS else []
                if part and id(node.arguments.args[0]) in known and (self.maker is None or type(part[0]) is Select):
                    given = values(node.arguments.args[:1], refuse_layer)
                    known[id(node.output_tensors[0])] = self.add(given, part, refuse_layer)
                    self.masked[-1] = False
                    continue
                tensors = self.tensors(node, refuse_layer)
                if kind.startswith("ops.") and not (kind in JOINS and {*map(id, tensors)} <= known.keys()):
                    continue  # the layer that reads it is refused, unless it is a mask
                if kind != "InputLayer":
                    made = self.layer(layer, values(tensors, refuse_layer))
                    known |= zip(map(id, node.output_tensors), made, strict=False)
        return values(model.outputs, refuse)

    def tensors(self, node: Any, refuse: Refusal) -> list[Any]:
        """Return the tensors that a node reads; raise an error if it was called with other arguments."""
        named = [*enumerate(node.arguments.args), *node.arguments.kwargs.items()]
        count = len(named) if _class_name(node.operation).startswith("ops.") else 1
        for name, value in named[count:]:
            own = value is None or value is False  # training=False is a default of the call
            if not (own or (name == "mask" and self.is_mask(value))):
                raise refuse(f"expected a call with only its input, got argument {name} too")
        lists = (value if isinstance(value, list | tuple) else [value] for _, value in named[:count])
        return [tensor for each in lists for tensor in each]

    def is_mask(self, mask: Any) -> bool:
        """Return whether a mask, or each of several, is one that Keras itself derived from the masking layer."""
        if isinstance(mask, list | tuple):
            return all(each is None or self.is_mask(each) for each in mask)
        operation, at, _ = getattr(mask, "_keras_history", (None, 0, 0))
        kind = _class_name(operation)
        if kind == "ops.NotEqual" and self.maker is not None:
            given, value = operation._inbound_nodes[at].arguments.args
            read = [each is given for node in self.maker._inbound_nodes for each in node.input_tensors]
            return any(read) and value == getattr(self.maker, "mask_value", 0)
        return kind in MASKS and (kind in LIKE or all(map(self.is_mask, operation._inbound_nodes[at].input_tensors)))

    def layer(self, layer: Any, given: list[int]) -> list[int]:
        """Read a layer or model whose inputs are these nodes; return the nodes of its outputs."""
        kind, place = _class_name(layer), f"layer {len(self.layers)}, "
        refuse = _refusal(layer, place)
        if kind in ("Sequential", "Functional") or kind.startswith("ops."):
            made = [self.join(layer, kind, given, refuse)] if "." in kind else self.model(layer, given)
            for node in made:
                self.masked[node] = False  # Keras forgets it here and there
            return made
        if any(layer is other for other in self.layers):
            raise refuse("expected a layer that is called once, got one that is called again")
        if kind not in READERS and kind not in JOINS:
            known = [name for name in [*READERS, *JOINS] if "ops." not in name]
            raise refuse(f"expected one of {', '.join(known)}")
        self.layers.append(layer)
        below = self.layers[0]
        if layer.compute_dtype != below.compute_dtype:
            raise refuse(f"it computes in {layer.compute_dtype}, {below.name!r} before it in {below.compute_dtype}")
        _check(layer, refuse, layer._flatten_layers())
        if kind in JOINS:
            return [self.join(layer, kind, given, refuse)]
        if len(given) > 1 or (kind == "Embedding" and given != [0]):
            raise refuse("expected it on one array" if len(given) > 1 else "expected tokens as the only input")
        made = _convert(layer, place)
        if self.maker is not None and made and kind in SEVERAL_STEPS:
            turned = getattr(layer, "go_backwards", False) and layer.return_sequences
            if turned or not (self.masked[given[0]] and layer.supports_masking):
                raise refuse(f"expected it to have the mask of {self.maker.name!r}, and steps in their order")
        node = self.add(given, made, refuse)
        self.masked[node] |= layer is self.maker
        return [node]

    def join(self, layer: Any, kind: str, given: list[int], refuse: Refusal) -> int:
        """Append a node for a layer or operation that joins other nodes; return its number."""
        output = layer._inbound_nodes[0].output_tensors[0]
        if JOINS[kind] == "concatenate" and layer.axis not in (-1, len(output.shape) - 1):
            raise refuse(f"expected axis -1, that of the features, got {layer.axis}")

        def scaled(node: int, factor: float) -> int:
            """Append a node that multiplies by a constant; return its number."""
            factors = np.full(output.shape[-1], factor)
            scale = Scale(factors, 0 * factors, dtype=output.dtype)
            scale.trainable = False
            return self.add([node], [scale], refuse)

        if kind in ("Subtract", "ops.Subtract"):
            given = [given[0], scaled(given[1], -1)]
        made = self.add(given, JOINS[kind], refuse)
        return scaled(made, 1 / len(given)) if kind == "Average" else made


def _picked(operation: Any, A: Any, *key: Any) -> list[Any]:
    """Return a Select or Pool for an indexing operation that picks features or the last step; [] for others."""
    *others, last = key[0] if len(key) == 1 and isinstance(key[0], tuple) else (Ellipsis, *key)
    rank, n, full = len(A.shape), A.shape[-1], [isinstance(each, slice) and each == slice(None) for each in others]
    steps = [*others[1:], last]
    if rank == 3 and full[:1] == [True] and len(steps) < 3 and type(steps[0]) is int and steps[0] == -1:
        return [Pool("last")] if steps[1:] in ([], [slice(None)]) else []
    whole = (len(others) == 1 and others[0] is Ellipsis) or (all(full) and len(others) == rank - 1)
    along = getattr(operation, "axis", -1) in (-1, rank - 1)
    if not (whole and along and rank > 1 and n) or not isinstance(last, slice | list | np.ndarray):
        return []
    with contextlib.suppress(IndexError):  # past the end
        columns = np.arange(n)[last]
        return [Select(columns.tolist(), n)] if columns.size else []
    return []


def _makes_mask(layer: Any) -> bool:
    """Return whether a layer creates a mask from its input."""
    return _class_name(layer) == "Masking" or (_class_name(layer) == "Embedding" and layer.mask_zero)


def _convert(layer: Any, place: str, **options: bool) -> list[Any]:
    """Convert a layer of a model to a list of one or two cgru layers; `place` names the layer in errors."""
    refuse = _refusal(layer, place)
    for name, due, why in REQUIRED.get(_class_name(layer), ()):
        if getattr(layer, name, due) != due:
            raise refuse(why.format(getattr(layer, name)))
    if _class_name(layer) == "TimeDistributed":
        if _class_name(layer.layer) != "Dense":
            raise refuse(f"expected a Dense in it, got {type(layer.layer).__name__}")
        return _convert(layer.layer, place)
    made = READERS[_class_name(layer)](layer, refuse, **options)
    for own in (each for each in made if each.p):
        trained, moving = len(layer.trainable_weights), 2 if _class_name(layer) == "BatchNormalization" else 0
        if trained not in (0, len(layer.weights) - moving):
            raise refuse("expected all of its weights to be trainable, or none")
        own.trainable = trained > 0
    return made


def _read_activation(layer: Any, refuse: Refusal) -> list[Any]:
    """Convert an activation layer."""
    f, alpha = _own_activation(layer.activation if _class_name(layer) == "Activation" else layer, refuse)
    return [Activation(f, alpha or None)]


def _read_flatten(layer: Any, refuse: Refusal) -> list[Any]:
    """Convert a Flatten of a known number of steps to Frames and a Pool; without steps to nothing."""
    (_, *steps, _) = layer._inbound_nodes[0].input_tensors[0].shape if layer._inbound_nodes else [None] * 3
    if len(steps) > 1 or None in steps:
        raise refuse("expected (m, n), or (m, s, n) with a known number of steps")
    return [Frames(steps[0], 1, False), Pool("last")] if steps else []


def _refuse_repeat(layer: Any, refuse: Refusal) -> list[Any]:
    """Raise an error for a RepeatVector, which has no counterpart."""
    raise refuse(
        "cgru has no layer that repeats a vector; convert two models, keras.Model(model.inputs, layer.input) and "
        "keras.Model(layer.output, model.outputs), and run the second on np.repeat(A[:, None], n, axis=1) of the first"
    )


def _read_dense(layer: Any, refuse: Refusal) -> list[Any]:
    """Convert a Dense layer."""
    W, b = _weight(layer, "kernel"), _weight(layer, "bias")
    activate, alpha = _own_activation(layer.activation, refuse)
    return [dense(W, b, "kernel", refuse, activate, alpha or None)]


def _read_convolution(layer: Any, refuse: Refusal) -> list[Any]:
    """Convert a Conv1D layer."""
    W, b = _weight(layer, "kernel"), _weight(layer, "bias")
    activate, alpha = _own_activation(layer.activation, refuse)
    (k, n, u), (stride,), (dilation,) = W.shape, layer.strides, layer.dilation_rate
    if layer.padding == "same" and stride > 1:
        raise refuse('padding "same" depends on the steps of a sample with strides; expected "valid" or "causal"')
    own = dense(W.reshape(k * n, u), b, "kernel", refuse, activate, alpha or None)
    made = Conv1D(u, k, stride, layer.padding, dilation, activate, se_hPars=own.se_hPars, dtype=own.dtype)
    made.p |= own.p
    return [made]


def _read_norm(layer: Any, refuse: Refusal) -> list[Any]:
    """Convert a LayerNormalization, or a BatchNormalization in inference."""
    if layer.axis not in (-1, [-1]):
        raise refuse(f"expected axis -1, that of the features, got {layer.axis}")
    scale, shift = _weight(layer, "gamma"), _weight(layer, "beta")
    if _class_name(layer) == "LayerNormalization":
        if scale is None:
            raise refuse("expected scale=True, for its number of features")
        return [LayerNorm.of(scale, shift, layer.epsilon)]
    mean, variance = _weight(layer, "moving_mean"), _weight(layer, "moving_variance")
    factor = (1 if scale is None else scale) / np.sqrt(variance.astype(np.float64) + layer.epsilon)
    return [Scale(factor, (0 if shift is None else shift) - mean * factor, dtype=mean.dtype)]


def _read_recurrent(layer: Any, refuse: Refusal, every: bool = False) -> list[Any]:
    """Convert a GRU, an RNN of GRU cells or a Bidirectional, with a Flip if Keras returns reversed outputs.

    With `every` it returns all states.
    """
    halves = (layer.forward_layer, layer.backward_layer) if _class_name(layer) == "Bidirectional" else (layer,)
    stacks = [getattr(half.cell, "cells", [half.cell]) if _class_name(half) in RNNS else [half] for half in halves]
    if any(_class_name(cell) != "GRUCell" for cells in stacks for cell in cells):
        raise refuse("expected one of GRU layers")
    flags, reverse = [bool(half.go_backwards) for half in halves], bool(halves[0].go_backwards)
    if len(stacks) > 1 and len(stacks[0]) > 1:
        raise refuse("expected two directions of one cell each, got a stack of cells")
    made = []
    for i, cells in enumerate(zip(*stacks, strict=True)):
        options, *others = (_gru_arguments(cell, half, refuse) for cell, half in zip(cells, halves, strict=True))
        if others and (others != [options] or flags != [False, True]):
            raise refuse("expected two layers that differ only in direction")
        options["sequences"] = every or options["sequences"] or i < len(stacks[0]) - 1
        variant = options.pop("variant")
        if others:
            if layer.merge_mode not in MERGES:
                raise refuse(f"expected merge_mode to be one of {', '.join(MERGES)}, got {layer.merge_mode!r}")
            options["merge"] = MERGES[layer.merge_mode]
        own = gates.gru_layer([_parameters(cell, variant) for cell in cells], variant, reverse=reverse, **options)
        for gru, half in zip(own.cells, halves, strict=True):
            states = [array(state, "states") for state in sys.modules["keras"].tree.flatten(half.states or ())]
            if any(state.any() for state in states):
                gru.state = states[i].copy()
        made.append(own)
    return [*made, Flip()] if reverse and own.sequences else made


def _gru_arguments(cell: Any, layer: Any, refuse: Refusal) -> dict[str, Any]:
    """Return the `cgru.GRU` arguments for a Keras GRU cell and its layer."""
    functions = [_own_activation(f, refuse) for f in (cell.activation, cell.recurrent_activation)]
    if {softmax, log_softmax} & dict(functions).keys():
        raise refuse("softmax is only supported in a Dense layer")
    return gates.gate_options(*functions, refuse) | {
        "variant": KERAS.variant_of_layer(cell),
        "sequences": bool(layer.return_sequences),
        "dropout": float(cell.dropout),
        "recurrent_dropout": float(cell.recurrent_dropout),
        "stateful": bool(layer.stateful),
    }


def _own_activation(f: Any, refuse: Refusal) -> tuple[Function, dict[str, float]]:
    """Return cgru's activation for a Keras activation, and its alpha as `se_hPars`."""
    name = CLASSES.get(_class_name(f), getattr(f, "__name__", None))
    known = NAMES.get(name)
    if _class_name(f) in CLASSES:
        alpha = getattr(f, "alpha", getattr(f, "negative_slope", None))
        if name == "relu" and (f.max_value is not None or f.negative_slope or f.threshold):
            raise refuse("expected a ReLU without max_value, negative_slope and threshold")
    elif known is None or f is not getattr(sys.modules["keras"].activations, name):
        raise refuse(f"expected activations among {', '.join(NAMES)}, got {name or f!r}")
    else:
        alpha = known.keras
    return known.own, known.checked_alpha(alpha, f"{name} has a negative_slope of", refuse)


def _weight(layer: Any, name: str) -> np.ndarray | None:
    """Return a weight of a Keras layer; None for a bias that it does not have."""
    if not layer.built:
        raise RuntimeError(f"source: expected weights, got none yet in {layer.name!r}: build it or call it first")
    value = getattr(layer, name)
    return None if value is None else array(value, name)


def _parameters(cell: Any, variant: Variant) -> dict[str, np.ndarray]:
    """Return cgru's parameters for a Keras GRUCell."""
    W, R, b = (_weight(cell, name) for name in ("kernel", "recurrent_kernel", "bias"))
    both = (None, None) if b is None else b if b.ndim == 2 else (b, None)
    return KERAS.to_cgru(W, R, *both, variant)


# By class of Keras: the function that makes our layers.
READERS: dict[str, Callable[..., list[Any]]] = {
    **dict.fromkeys(RECURRENT, _read_recurrent),
    "Embedding": lambda layer, refuse: [embedding(_weight(layer, "embeddings"), "embeddings", refuse)],
    "Masking": lambda layer, refuse: [],
    "Flatten": _read_flatten,
    "RepeatVector": _refuse_repeat,
    **dict.fromkeys(("Dropout", "SpatialDropout1D"), lambda layer, refuse: [Dropout(layer.rate)]),
    "Dense": _read_dense,
    "TimeDistributed": _read_dense,
    "Conv1D": _read_convolution,
    "BatchNormalization": _read_norm,
    "LayerNormalization": _read_norm,
    "Activation": _read_activation,
    "Softmax": lambda layer, refuse: [Activation(softmax)],
    **dict.fromkeys(CLASSES, _read_activation),
    **dict.fromkeys(POOLS, lambda layer, refuse: [Pool(POOLS[_class_name(layer)])]),
}

# --- to there ---


def to_keras(net: Network | GRU | Bidirectional | list | tuple) -> Any:
    """Convert a layer, a list of layers or a network to a Keras layer, or a built model if several are needed.

    The model is `Sequential`, or functional if the network has branches.

    These layers are converted: `GRU`, `Bidirectional`, `Dense`, `Conv1D` with a padding by name, `Embedding`,
    `Dropout`, `Activation`, `LayerNorm`, `Pool` of "mean" or "max", `Select`, `Concatenate`, `Add` and `Multiply`. A
    `GRU` with `reverse` and all states needs a `Flip` above it, since Keras returns its states in the order of
    processing.

    The second bias of r and z is zero. Layers that are not `trainable` are not there either. With `recurrent_dropout`
    Keras draws a mask of the input's `dropout` for each gate. Loss, optimizer, `class_names` and `clip_gradients` stay
    here.

    Args:
        net: the layer, layers or network, with parameters.

    Returns:
        The Keras layer or model, built, with the same weights.

    Raises:
        ImportError: Keras is not installed.
        RuntimeError: there are no parameters yet.
        TypeError, ValueError: something that Keras cannot express, with the reason.

    Examples:
        >>> net = cgru.Network([cgru.GRU(4, sequences=True), cgru.Dense(2)], seed=0)
        >>> A = net.predict(np.ones((2, 6, 3)))
        >>> import keras
        >>> model = cgru.interop.to_keras(net)
        >>> np.allclose(keras.ops.convert_to_numpy(model(np.ones((2, 6, 3)))), A)
        True
    """
    layers = gates.checked_layers(net)
    if isinstance(net, Network) and net.mean is not None:
        raise ValueError("net: cannot be a Keras model: it standardises its input, for which there is no exact layer")
    dtype = gates.dtype_of(layers).name
    try:
        import keras
    except ImportError:
        raise ImportError("to_keras: Keras is missing: pip install keras, and one of its backends") from None

    made: list[tuple[Any, Any]] = []

    def run(layers: Sequence[Any], A: Any, at: str = "") -> Any:
        """Apply newly made Keras layers to the tensor A, and return their output."""
        kinds = [*map(type, layers)]
        for i, layer in enumerate(layers):
            refuse = refusal(f"net: layer {at}{i}, {layer!r}, cannot be converted to Keras")
            if layer.branches:
                parts = [run(branch, A, f"{at}{i}.{b}.") for b, branch in enumerate(layer.branches)]
                A = getattr(keras.layers, kinds[i].__name__)(dtype=dtype)(parts)
            elif kinds[i] is Select:
                A = keras.ops.take(A, np.array(layer.selected), axis=-1)
            elif kinds[i - 1 : i + 1] != [GRU, Flip]:  # go_backwards of the layer below
                made.append((_write_layer(keras, layer, kinds[i + 1 : i + 2] == [Flip], dtype, refuse), layer))
                A = made[-1][0](A)
        return A

    e = chain.features(layers)
    given = keras.Input((None,), dtype="int32") if e is None else keras.Input((None, e), dtype=dtype)
    output, plain = run(layers, given), {Select, *KINDS}.isdisjoint(map(type, layers))
    if plain and len(made) == 1:
        result = made[0][0]
    else:
        parts = [theirs for theirs, _ in made]
        result = keras.Sequential([given, *parts]) if plain else keras.Model(given, output)
    for theirs, layer in made:
        if layer.p:
            theirs.set_weights([*map(np.reshape, _weights(layer), [weight.shape for weight in theirs.weights])])
            theirs.trainable = bool(layer.trainable)
    return result


def _write_layer(keras: Any, layer: Any, flipped: bool, dtype: str, refuse: Refusal) -> Any:
    """Return a new Keras layer for a layer, without its weights; `flipped`: whether a Flip follows."""
    make, kind = keras.layers, type(layer)
    if layer.cells:
        return _write_recurrent(keras, layer, flipped, dtype, refuse)
    if kind in (Dense, Conv1D):
        activation = _keras_activation(keras, layer.activate, layer.se_hPars, dtype, refuse)
        if kind is Dense:
            return make.Dense(layer.d["u"], activation, dtype=dtype)
        if not isinstance(layer.padding, str) or layer.stride > 1 < layer.dilation:
            raise refuse("Keras supports only named padding, and a stride or dilation of 1")
        options = {"padding": layer.padding, "dilation_rate": layer.dilation, "activation": activation}
        return make.Conv1D(layer.d["u"], layer.kernel_size, layer.stride, **options, dtype=dtype)
    if kind is Activation:
        return make.Activation(_keras_activation(keras, layer.activate, layer.se_hPars, dtype, refuse), dtype=dtype)
    if kind is Embedding:
        return make.Embedding(layer.d["v"], layer.d["u"], dtype=dtype)
    if kind is Dropout:
        return make.Dropout(layer.rate, dtype=dtype)
    if kind is LayerNorm:
        return make.LayerNormalization(epsilon=layer.eps, dtype=dtype)
    for name, how in POOLS.items():
        if kind is Pool and layer.how == how:
            return getattr(make, name)(dtype=dtype)
    raise refuse("Keras has no such layer")


def _write_recurrent(keras: Any, layer: GRU | Bidirectional, flipped: bool, dtype: str, refuse: Refusal) -> Any:
    """Return a new Keras layer for a GRU or Bidirectional, without its weights; `flipped`: whether a Flip follows."""
    cell = KERAS.checked_cell(layer, refuse)
    if (cell.reverse and cell.sequences) != flipped:
        raise refuse("Keras has states in the order of processing: a Flip must follow a reverse layer only")
    gru = keras.layers.GRU(
        cell.d["u"],
        _keras_activation(keras, cell.activate, cell.se_hPars, dtype, refuse),
        _keras_activation(keras, cell.activate_update, cell.se_hPars, dtype, refuse),
        dropout=cell.dropout,
        recurrent_dropout=cell.recurrent_dropout,
        return_sequences=cell.sequences,
        go_backwards=cell.reverse,
        dtype=dtype,
        **KERAS.options(cell.variant),
    )
    if len(layer.cells) == 1:
        return gru
    modes = {merge: mode for mode, merge in MERGES.items()}
    return keras.layers.Bidirectional(gru, modes[layer.merge], dtype=dtype)


def _weights(layer: Any) -> list[np.ndarray]:
    """Return the parameters of a layer in the order that Keras's `set_weights` takes."""
    found = [] if layer.cells else [*gates.exported_parameters(layer).values()]
    for half in layer.cells:
        W, R, b_x, b_h = KERAS.from_cgru(half.p)
        found += [W, R, np.stack([b_x, b_h]) if KERAS.has_two_biases(half.variant) else b_x]
    return found


def _keras_activation(keras: Any, f: Function, se_hPars: Mapping[str, Any] | None, dtype: str, refuse: Refusal) -> Any:
    """Return Keras's activation for an activation of cgru."""
    known = gates.FUNCTION_OF.get(ours(f))
    if known is None:
        raise refuse(f"{f!r} is not one of cgru's own activations")
    if known.own is softmax and parameter(se_hPars, "softmax_temperature") != 1:
        raise refuse("Keras's softmax has no temperature")
    alpha = known.alpha(se_hPars, refuse)
    if alpha == known.keras:
        return known.name
    if known.name == "elu":
        return keras.layers.ELU(alpha, dtype=dtype)
    return keras.layers.LeakyReLU(negative_slope=alpha, dtype=dtype)
