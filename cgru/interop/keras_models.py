"""Keras 3 layers (any backend) and models that are chains of them, converted both ways."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from cgru.activations import Activation as Function
from cgru.activations import ours, parameter, softmax
from cgru.bidirectional import Bidirectional
from cgru.gru import GRU
from cgru.interop import gates
from cgru.interop.gates import KERAS, Refusal, array, refusal
from cgru.interop.graph_reader import dense, embedding
from cgru.interop.joins import append
from cgru.layers import Activation, Conv1D, Dense, Dropout, Embedding, Flip, LayerNorm, Pool, Scale
from cgru.network import Network
from cgru.variant import Variant

__all__ = ["from_keras", "to_keras"]

NAMES = {function.name: function for function in gates.FUNCTIONS}
CLASSES = {"ReLU": "relu", "LeakyReLU": "leaky_relu", "ELU": "elu"}  # activation layers -> function
MERGES = {"concat": "concat", "sum": "sum", "ave": "mean", "mul": "mul"}
POOLS = {"GlobalAveragePooling1D": "mean", "GlobalMaxPooling1D": "max"}

LAST = "keepdims is False and the features come last here"
# By class: options that must have one value here, and the reason for refusing another.
REQUIRED: dict[str, tuple[tuple[str, Any, str], ...]] = {
    "Softmax": (("axis", -1, "expected axis -1, that of the features, got {}"),),
    "LayerNormalization": (("rms_scaling", False, "rms_scaling is False here"),),
    "Conv1D": (
        ("data_format", "channels_last", "the features come last here"),
        ("groups", 1, "expected groups 1, got {}"),
    ),
    "Dropout": (("noise_shape", None, "noise_shape is None here, got {}"),),
    "Embedding": (("mask_zero", False, "mask_zero is False here, where lengths say which steps are real"),),
    **dict.fromkeys(POOLS, (("keepdims", False, LAST), ("data_format", "channels_last", LAST))),
}

# --- from there ---


def from_keras(source: Any) -> Network:
    """Convert a Keras `GRU`, a `Bidirectional` of one, or a model that is a chain of layers to a network.

    A layer by itself becomes a network without a head. Its `predict(X, lengths, h0)` returns all states, whatever the
    layer's `return_sequences` is. The network of a model returns what the model does.

    A model is Sequential or functional. It may have these layers; any other is refused by name:

    - `Embedding`, `GRU`, `Bidirectional`, `Dropout`, `LayerNormalization`, `Dense` (by itself or in a
      `TimeDistributed`);
    - `Activation`, `ReLU`, `LeakyReLU`, `ELU`, `Softmax` over the features;
    - `GlobalAveragePooling1D`, `GlobalMaxPooling1D`;
    - `Conv1D` without groups;
    - `BatchNormalization` as it predicts, which becomes a `Scale`.

    `Masking` is refused too, since the steps that it skips may be anywhere in a sequence. Masks become `lengths`. The
    outputs of `go_backwards` are in the order of processing, through a `Flip`. The states of a stateful layer and
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
        raise TypeError(f"source: expected a layer or a model of Keras's own, got {got}")
    if kind in ("GRU", "Bidirectional"):
        return Network(_convert(source, "", every=True))
    if not hasattr(source, "layers"):
        raise refuse("expected a GRU, a Bidirectional or a model")
    layers = _model_layers(source, refuse)
    _check_dtypes(source, layers)
    chain: list[Any] = []
    for i, layer in enumerate(layers):
        for own in _convert(layer, f"layer {i}, "):
            append(chain, own)
    return Network(chain)


def _class_name(layer: Any) -> str:
    """Return the class name of a Keras layer; "" for a subclass, which may compute something else."""
    kind = type(layer)
    if kind.__module__ == "cgru.keras":
        kind = kind.__bases__[-1]
    return kind.__name__ if kind.__module__.partition(".")[0] == "keras" else ""


def _refusal(layer: Any, place: str = "") -> Refusal:
    """Return a function that makes the error for a reason, naming the layer and its `place` in the model."""
    return refusal(f"source: {place}{type(layer).__name__} {getattr(layer, 'name', '?')!r} cannot be had here")


def _check(layer: Any, refuse: Refusal, parts: Any) -> None:
    """Refuse a layer one of whose `parts` may compute something else than its class and its weights say."""
    for part in parts:
        other = gates.overridden(part, ("build", "quantize"))  # which Keras wraps in every layer
        if other:
            raise refuse(f"its {other} is another than that of its class")
        if getattr(part, "quantization_mode", None) or getattr(part, "lora_enabled", False):
            raise refuse("it is quantized or has a low-rank update (LoRA), which is none of its weights here")
        if part.compute_dtype != part.variable_dtype:
            raise refuse(f"it computes in {part.compute_dtype} with weights of {part.variable_dtype}")
        if part.compute_dtype != layer.compute_dtype:
            raise refuse(f"it computes in {layer.compute_dtype}, its {part.name!r} in {part.compute_dtype}")


def _model_layers(model: Any, refuse: Refusal) -> list[Any]:
    """Return the layers of a model without its input; refuse a model that is no chain."""
    layers = [layer for layer in model.layers if _class_name(layer) != "InputLayer"]
    if not model.built or not layers:
        raise RuntimeError(f"source: expected a model that is built, got {model.name!r}, which is not: call it first")
    _check(model, refuse, [model])
    if len(set(map(id, layers))) < len(layers):
        raise refuse("expected each layer once, got one that stands in two places")
    for i, layer in enumerate(layers):
        if _class_name(layer) not in READERS:
            raise _refusal(layer, f"layer {i}, ")(f"expected one of {', '.join(READERS)}")
    if _class_name(model) == "Sequential":
        return layers
    if _class_name(model) != "Functional":
        raise refuse("expected a Sequential or a functional model")
    if len(model.inputs) != 1 or len(model.outputs) != 1:
        raise refuse(f"expected one input and one output, got {len(model.inputs)} and {len(model.outputs)}")
    below = model.inputs[0]
    for i, layer in enumerate(layers):
        _check_call(layer, below, _refusal(layer, f"layer {i}, "))
        below = layer.output
    if model.outputs[0] is not below:
        raise refuse(
            f"expected the output of its last layer, {layers[-1].name!r}, got that of {_op_name(model.outputs[0])}"
        )
    return layers


def _check_call(layer: Any, below: Any, refuse: Refusal) -> None:
    """Refuse a layer of a functional model that is not called exactly once, on the output below alone."""
    nodes = layer._inbound_nodes
    if len(nodes) != 1:
        raise refuse(f"expected a layer that is called once, got one that is called {len(nodes)} times")
    arguments = nodes[0].arguments
    given = [*enumerate(arguments.args), *arguments.kwargs.items()]
    first, *more = arguments.keras_tensors
    if more or first is not below:
        made = " and ".join(map(_op_name, (first, *more)))
        raise refuse(f"expected it on the output of the layer below it alone, got that of {made}")
    for name, value in given:
        if not (value is below or value is None or value is False):  # training=False is a default of the call
            raise refuse(f"expected a call with its input alone, got argument {name} too")


def _op_name(tensor: Any) -> str:
    """Return the name of the operation behind a tensor, for an error."""
    return repr(tensor._keras_history.operation.name)


def _check_dtypes(model: Any, layers: list[Any]) -> None:
    """Refuse a model that computes in several dtypes, or that rounds its input to a lower precision."""
    dtype = layers[0].compute_dtype
    for i, layer in enumerate(layers):
        if layer.compute_dtype != dtype:
            refuse = _refusal(layer, f"layer {i}, ")
            raise refuse(f"it computes in {layer.compute_dtype}, {layers[0].name!r} below it in {dtype}")
    exact = ("int32", "int64", "float32", "float64") if _class_name(layers[0]) == "Embedding" else (dtype, "float64")
    for given in model.inputs or ():
        if given.dtype not in exact:
            raise _refusal(model)(f"expected an input of {dtype}, or integers for tokens, got {given.dtype}")


def _convert(layer: Any, place: str, **options: bool) -> list[Any]:
    """Convert a layer of a model to one or two of ours, as a list; `place` names it in errors."""
    refuse = _refusal(layer, place)
    _check(layer, refuse, layer._flatten_layers())
    for name, due, why in REQUIRED.get(_class_name(layer), ()):
        if getattr(layer, name, due) != due:
            raise refuse(why.format(getattr(layer, name)))
    if _class_name(layer) == "TimeDistributed":
        if _class_name(layer.layer) != "Dense":
            raise refuse(f"expected a Dense in it, got {type(layer.layer).__name__}")
        return _convert(layer.layer, place)
    made = READERS[_class_name(layer)](layer, refuse, **options)
    own = next((each for each in made if each.p), None)
    if own is not None:
        trained, moving = len(layer.trainable_weights), 2 if _class_name(layer) == "BatchNormalization" else 0
        if trained not in (0, len(layer.weights) - moving):
            raise refuse("a layer is trainable as a whole here, or not at all")
        own.trainable = trained > 0
    return made


def _read_activation(layer: Any, refuse: Refusal) -> list[Any]:
    """Convert an activation layer."""
    f, alpha = _own_activation(layer.activation if _class_name(layer) == "Activation" else layer, refuse)
    return [Activation(f, alpha or None)]


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
    """Convert a LayerNormalization, or a BatchNormalization as it predicts."""
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
    """Convert a GRU or Bidirectional layer (all states with `every`); add a Flip if outputs are in order of processing.

    With `every` it returns all states.
    """
    halves = (layer,) if _class_name(layer) == "GRU" else (layer.forward_layer, layer.backward_layer)
    if any(_class_name(half) != "GRU" or _class_name(half.cell) != "GRUCell" for half in halves):
        raise refuse("expected one of GRU layers")
    options, *others = (_gru_arguments(half, refuse) for half in halves)
    flags, reverse = [bool(half.go_backwards) for half in halves], bool(halves[0].go_backwards)
    if others and (others != [options] or flags != [False, True]):
        raise refuse("its two layers are to be alike but for their direction")
    options["sequences"] = every or options["sequences"]
    variant = options.pop("variant")
    if others:
        if layer.merge_mode not in MERGES:
            raise refuse(f"merge_mode is one of {', '.join(MERGES)} here, got {layer.merge_mode!r}")
        options["merge"] = MERGES[layer.merge_mode]
    made = gates.gru_layer([_parameters(half, variant) for half in halves], variant, reverse=reverse, **options)
    for own, half in zip(made.cells, halves, strict=True):
        states = [array(state, "states") for state in half.states or ()]
        if any(state.any() for state in states):
            own.state = states[0].copy()
    return [made, Flip()] if reverse and made.sequences and not others else [made]


def _gru_arguments(layer: Any, refuse: Refusal) -> dict[str, Any]:
    """Return our GRU's arguments for a Keras GRU."""
    functions = [_own_activation(f, refuse) for f in (layer.activation, layer.recurrent_activation)]
    if softmax in dict(functions):
        raise refuse("softmax is for a Dense layer here")
    return gates.gate_options(*functions, refuse) | {
        "variant": KERAS.variant_of_layer(layer),
        "sequences": bool(layer.return_sequences),
        "dropout": float(layer.dropout),
        "recurrent_dropout": float(layer.recurrent_dropout),
        "stateful": bool(layer.stateful),
    }


def _own_activation(f: Any, refuse: Refusal) -> tuple[Function, dict[str, float]]:
    """Return our activation for one of Keras, and its alpha as `se_hPars`."""
    name = CLASSES.get(_class_name(f), getattr(f, "__name__", None))
    known = NAMES.get(name)
    if _class_name(f) in CLASSES:
        alpha = getattr(f, "alpha", getattr(f, "negative_slope", None))
        if name == "relu" and (f.max_value is not None or f.negative_slope or f.threshold):
            raise refuse("a ReLU has no max_value, negative_slope or threshold here")
    elif known is None or f is not getattr(sys.modules["keras"].activations, name):
        raise refuse(f"its activations are some of {', '.join(NAMES)} here, got {name or f!r}")
    else:
        alpha = known.keras
    return known.own, known.checked_alpha(alpha, f"{name} has a negative_slope of", refuse)


def _weight(layer: Any, name: str) -> np.ndarray | None:
    """Return a weight of a layer; None for a bias that it does not have."""
    if not layer.built:
        raise RuntimeError(f"source: expected weights, got none yet in {layer.name!r}: build it or call it first")
    value = getattr(layer, name)
    return None if value is None else array(value, name)


def _parameters(layer: Any, variant: Variant) -> dict[str, np.ndarray]:
    """Return our parameters for a Keras GRU."""
    W, R, b = (_weight(layer.cell, name) for name in ("kernel", "recurrent_kernel", "bias"))
    both = (None, None) if b is None else b if b.ndim == 2 else (b, None)
    return KERAS.to_cgru(W, R, *both, variant)


# By class of Keras: the function that makes our layers.
READERS: dict[str, Callable[..., list[Any]]] = {
    "GRU": _read_recurrent,
    "Bidirectional": _read_recurrent,
    "Embedding": lambda layer, refuse: [embedding(_weight(layer, "embeddings"), "embeddings", refuse)],
    "Dropout": lambda layer, refuse: [Dropout(layer.rate)],
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
    """Convert a layer, a list of them or a network to a Keras layer if one is enough, else a built `Sequential`.

    These layers are converted: `GRU`, `Bidirectional`, `Dense`, `Conv1D` with a padding by name, `Embedding`,
    `Dropout`, `LayerNorm`, and `Pool` of "mean" or "max". A `GRU` with `reverse` and all states needs a `Flip` above
    it, since Keras returns its states in the order of processing.

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

    made, kinds = [], [*map(type, layers)]
    for i, layer in enumerate(layers):
        if kinds[i - 1 : i + 1] == [GRU, Flip]:
            continue  # go_backwards of the layer below
        refuse = refusal(f"net: layer {i}, {layer!r}, cannot be one of Keras")
        flipped = kinds[i + 1 : i + 2] == [Flip]
        made.append((_write_layer(keras, layer, flipped, dtype, refuse), layer))
    e = None if "tokens" in layers[0].reads else next(layer.features for layer in layers if layer.p)
    if len(made) == 1:
        result = made[0][0]
        result.build((None, None) if e is None else (None, None, e))
    else:
        given = keras.Input((None,), dtype="int32") if e is None else keras.Input((None, e), dtype=dtype)
        result = keras.Sequential([given, *(theirs for theirs, _ in made)])
    for theirs, layer in made:
        if layer.p:
            theirs.set_weights([*map(np.reshape, _weights(layer), [weight.shape for weight in theirs.weights])])
            theirs.trainable = bool(layer.trainable)
    return result


def _write_layer(keras: Any, layer: Any, flipped: bool, dtype: str, refuse: Refusal) -> Any:
    """Return a layer as one of Keras, its weights not set; `flipped`: whether a Flip follows."""
    make, kind = keras.layers, type(layer)
    if layer.cells:
        return _write_recurrent(keras, layer, flipped, dtype, refuse)
    if kind in (Dense, Conv1D):
        activation = _keras_activation(keras, layer.activate, layer.se_hPars, dtype, refuse)
        if kind is Dense:
            return make.Dense(layer.d["u"], activation, dtype=dtype)
        if not isinstance(layer.padding, str) or layer.stride > 1 < layer.dilation:
            raise refuse("padding has a name there, and one of stride and dilation is 1")
        options = {"padding": layer.padding, "dilation_rate": layer.dilation, "activation": activation}
        return make.Conv1D(layer.d["u"], layer.kernel_size, layer.stride, **options, dtype=dtype)
    if kind is Embedding:
        return make.Embedding(layer.d["v"], layer.d["u"], dtype=dtype)
    if kind is Dropout:
        return make.Dropout(layer.rate, dtype=dtype)
    if kind is LayerNorm:
        return make.LayerNormalization(epsilon=layer.eps, dtype=dtype)
    for name, how in POOLS.items():
        if kind is Pool and layer.how == how:
            return getattr(make, name)(dtype=dtype)
    raise refuse("there is no such layer")


def _write_recurrent(keras: Any, layer: GRU | Bidirectional, flipped: bool, dtype: str, refuse: Refusal) -> Any:
    """Return a GRU or Bidirectional as one of Keras, its weights not set; `flipped`: whether a Flip follows."""
    cell = KERAS.checked_cell(layer, refuse)
    if (cell.reverse and cell.sequences) != flipped:
        raise refuse("states come in the order of processing there with go_backwards, and only so: as with a Flip")
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
    """Return the parameters of a layer as `set_weights` takes them."""
    found = [] if layer.cells else [*gates.exported_parameters(layer).values()]
    for half in layer.cells:
        W, R, b_x, b_h = KERAS.from_cgru(half.p)
        found += [W, R, np.stack([b_x, b_h]) if KERAS.has_two_biases(half.variant) else b_x]
    return found


def _keras_activation(keras: Any, f: Function, se_hPars: Mapping[str, Any] | None, dtype: str, refuse: Refusal) -> Any:
    """Return Keras's activation for ours."""
    known = gates.FUNCTION_OF.get(ours(f))
    if known is None:
        raise refuse(f"{f!r} is not one of cgru's own activations")
    if known.own is softmax and parameter(se_hPars, "softmax_temperature") != 1:
        raise refuse("softmax has no temperature there")
    alpha = known.alpha(se_hPars, refuse)
    if alpha == known.keras:
        return known.name
    if known.name == "elu":
        return keras.layers.ELU(alpha, dtype=dtype)
    return keras.layers.LeakyReLU(negative_slope=alpha, dtype=dtype)
