"""Keras's layers (Keras 3, any backend) and models that are chains of them, both ways."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from cgru.activations import Activation, elu, identity, lrelu, ours, parameter, relu, sigmoid, softmax, tanh
from cgru.bidirectional import Bidirectional
from cgru.gru import GRU
from cgru.interop.gates import KERAS, array, cell_of, cells, dtype_of, filled, in_layers, tuning
from cgru.layers.dense import Dense
from cgru.layers.dropout import Dropout
from cgru.layers.embedding import Embedding
from cgru.layers.flip import Flip
from cgru.layers.pool import Pool
from cgru.network import Network

__all__ = ["from_keras", "to_keras"]

NAMES: dict[str, Activation] = {"tanh": tanh, "sigmoid": sigmoid, "relu": relu, "linear": identity, "softmax": softmax}
NAMES |= {"leaky_relu": lrelu, "elu": elu}
ALPHAS = {"leaky_relu": 0.2, "elu": 1.0}  # of the functions by these names
CLASSES = {"ReLU": "relu", "LeakyReLU": "leaky_relu", "ELU": "elu"}  # layers, which may stand for a function
KEYS = {"leaky_relu": "LRELU_alpha", "elu": "ELU_alpha"}
MERGES = {"concat": "concat", "sum": "sum", "ave": "mean", "mul": "mul"}
POOLS = {"GlobalAveragePooling1D": "mean", "GlobalMaxPooling1D": "max"}

Refusal = Callable[[str], Exception]

# --- from there ---


def from_keras(source: Any) -> Network:
    """A Keras `GRU`, a `Bidirectional` of one, or a model that is a chain of layers, as a network.

    A layer by itself becomes a network without a head whose `predict(X, lengths, h0)` gives all states, whatever its
    `return_sequences` is. A model (Sequential or functional) may hold `Embedding`, `GRU`, `Bidirectional`, `Dropout`,
    `Dense`, `GlobalAveragePooling1D` and `GlobalMaxPooling1D`, and gives what it gives there. The outputs of
    `go_backwards` come in the order of processing, through a `Flip`. Masks are `lengths` here.

    Args:
        source: the layer or model, built, so that it has weights of float32 or float64.

    Raises:
        TypeError, ValueError: the source is something else, or holds what has no counterpart here, with the reason.
        RuntimeError: it is not built yet.
    """
    if not type(source).__module__.startswith("keras"):
        raise TypeError(f"source: expected a layer or a model of Keras's own, got {type(source).__name__}")
    if _kind(source) in ("GRU", "Bidirectional"):
        return Network(_recurrent(source, _refusal(source), every=True))
    if not hasattr(source, "layers"):
        raise _refusal(source)("expected a GRU, a Bidirectional or a model")
    return Network([ours for layer in _chained(source) for ours in _converted(layer)])


def _kind(layer: Any) -> str:
    """The class of a layer, if it is Keras's own: one that was derived from it may compute something else."""
    return type(layer).__name__ if type(layer).__module__.startswith("keras") else ""


def _refusal(layer: Any) -> Refusal:
    kind, name = type(layer).__name__, getattr(layer, "name", "?")
    return lambda why: ValueError(f"source: {kind} {name!r} cannot be had here: {why}")


def _chained(model: Any) -> list[Any]:
    """The layers of a model but its input; refused where they are no chain."""
    refuse = _refusal(model)
    layers = [layer for layer in model.layers if _kind(layer) != "InputLayer"]
    if not model.built or not layers:
        raise RuntimeError(f"source: expected a model that is built, got {model.name!r}, which is not: call it first")
    if _kind(model) == "Sequential":
        return layers
    if _kind(model) != "Functional":
        raise refuse("expected a Sequential or a functional model")
    before = model.inputs
    for layer in layers:
        if len(before) != 1 or len(layer._inbound_nodes) != 1 or layer.input is not before[0]:
            raise refuse(f"expected a chain of layers, each on the one below it, got another input of {layer.name!r}")
        before = [layer.output]
    if len(model.outputs) != 1 or model.outputs[0] is not before[0]:
        raise refuse("expected the output of the last layer alone")
    return layers


def _converted(layer: Any) -> list[Any]:
    """A layer of a model as one or two of ours."""
    kind, refuse = _kind(layer), _refusal(layer)
    if kind in ("GRU", "Bidirectional"):
        return _recurrent(layer, refuse, every=False)
    if kind == "Dropout":
        if getattr(layer, "noise_shape", None) is not None:
            raise refuse(f"noise_shape is None here, got {layer.noise_shape}")
        return [Dropout(layer.rate)]
    if kind in POOLS:
        if layer.keepdims or layer.data_format != "channels_last":
            raise refuse("keepdims is False and the elements come last here")
        return [Pool(POOLS[kind])]
    if kind == "Embedding":
        if layer.mask_zero:
            raise refuse("mask_zero is False here, where lengths say which steps are real")
        E = array(_weights(layer)[0], "embeddings")
        made = Embedding(*E.shape, dtype=E.dtype)
        made.p["E"] = E.copy()
        return [made]
    if kind == "Dense":
        W, *b = (array(w, "weights") for w in _weights(layer))
        activate, alpha = _activation(layer.activation, refuse)
        made = Dense(W.shape[1], activate, se_hPars=alpha or None, dtype=W.dtype)
        made.p |= {"W": W.copy(), "b": b[0][None].copy() if b else np.zeros((1, W.shape[1]), W.dtype)}
        return [made]
    raise refuse(f"expected one of GRU, Bidirectional, Embedding, Dropout, Dense, {', '.join(POOLS)}")


def _recurrent(layer: Any, refuse: Refusal, every: bool) -> list[Any]:
    """A GRU or a Bidirectional, and where its outputs come in the order of processing a Flip."""
    if _kind(layer) == "GRU":
        sequences, reverse = every or layer.return_sequences, bool(layer.go_backwards)
        made = filled([_parameters(layer)], **_options(layer, refuse), sequences=sequences, reverse=reverse)
        return [made, Flip()] if reverse and sequences else [made]
    halves = layer.forward_layer, layer.backward_layer
    if any(_kind(half) != "GRU" for half in halves):
        raise refuse("expected one of GRU layers")
    options, other = (_options(half, refuse) for half in halves)
    flags = halves[0].go_backwards, halves[1].go_backwards
    if options != other or flags != (False, True) or halves[0].reset_after != halves[1].reset_after:
        raise refuse("its two layers are to be alike but for their direction")
    if layer.merge_mode not in MERGES:
        raise refuse(f"merge_mode is one of {', '.join(MERGES)} here, got {layer.merge_mode!r}")
    merge, sequences = MERGES[layer.merge_mode], every or halves[0].return_sequences
    return [filled([_parameters(half) for half in halves], **options, sequences=sequences, merge=merge)]


def _options(layer: Any, refuse: Refusal) -> dict[str, Any]:
    activate, alphas = _activation(layer.activation, refuse)
    gates, others = _activation(layer.recurrent_activation, refuse)
    if softmax in (activate, gates):
        raise refuse("softmax is for a Dense layer here")
    if any(alphas.get(key, alpha) != alpha for key, alpha in others.items()):
        raise refuse("its two activations have the same alpha here")
    return {
        "activate": activate,
        "activate_update": gates,
        "activate_reset": gates,
        "se_hPars": (alphas | others) or None,
        "dropout": float(layer.dropout),
        "recurrent_dropout": float(layer.recurrent_dropout),
        "stateful": bool(layer.stateful),
    }


def _activation(f: Any, refuse: Refusal) -> tuple[Activation, dict[str, float]]:
    """Our activation for theirs, and its alpha as `se_hPars` has it."""
    kind = type(f)
    name, alpha = getattr(f, "__name__", None), ALPHAS.get(getattr(f, "__name__", ""))
    if kind.__name__ in CLASSES and kind.__module__.startswith("keras"):
        name = CLASSES[kind.__name__]
        alpha = getattr(f, "alpha", getattr(f, "negative_slope", None))
        if name == "relu" and (f.max_value is not None or f.negative_slope or f.threshold):
            raise refuse("a ReLU has no max_value, negative_slope or threshold here")
    elif not str(getattr(f, "__module__", "")).startswith("keras") or name not in NAMES:
        raise refuse(f"its activations are some of {', '.join(NAMES)} here, got {name or f!r}")
    if name == "leaky_relu" and alpha > 1:
        raise refuse(f"leaky_relu has a negative_slope of at most 1 here, got {alpha:g}")
    return NAMES[name], {KEYS[name]: float(alpha)} if name in KEYS else {}


def _weights(layer: Any) -> list[Any]:
    if layer.compute_dtype != layer.variable_dtype:
        raise _refusal(layer)(f"it computes in {layer.compute_dtype} with weights of {layer.variable_dtype}")
    weights = layer.get_weights()
    if not weights:
        raise RuntimeError(f"source: expected weights, got none yet in {layer.name!r}: build it or call it first")
    return weights


def _parameters(layer: Any) -> dict[str, np.ndarray]:
    W, R, *b = (array(w, "weights") for w in _weights(layer))
    both = (None, None) if not b else b[0] if layer.reset_after else (b[0], None)
    return KERAS.ours(W, R, *both, layer.reset_after)


# --- to there ---


def to_keras(net: Network | GRU | Bidirectional | list | tuple) -> Any:
    """A layer, a list of them or a network as a Keras layer where one is enough, else a `keras.Sequential`, built.

    `GRU` (one with `reverse` and all states needs a `Flip` above it, for Keras returns them in the order of
    processing), `Bidirectional`, `Dense`, `Embedding`, `Dropout`, and `Pool` of "mean" or "max". The second bias of r
    and z is zero. With `recurrent_dropout` Keras draws a mask of the input's `dropout` for each gate.

    Raises:
        ImportError: Keras is not installed.
        RuntimeError: there are no parameters yet.
        TypeError, ValueError: something that Keras cannot express, with the reason.
    """
    layers = in_layers(net)
    if isinstance(net, Network) and net.mean is not None:
        raise ValueError("net: cannot be a Keras model: it standardises its input, for which there is no exact layer")
    dtype = dtype_of(layers).name
    try:
        import keras
    except ImportError:
        raise ImportError("to_keras: Keras is missing: pip install keras, and one of its backends") from None

    made, weights = [], []
    for i, layer in enumerate(layers):
        if isinstance(layer, Flip) and i and type(layers[i - 1]) is GRU:
            continue  # go_backwards of the layer below
        theirs, values = _built(keras, layers, i, dtype)
        made.append(theirs)
        weights.append(values)
    e = None if isinstance(layers[0], Embedding) else next(_rows(layer) for layer in layers if layer.p)
    if len(made) == 1:
        made[0].build((None, None) if e is None else (None, None, e))
        result = made[0]
    else:
        given = keras.Input((None,), dtype="int32") if e is None else keras.Input((None, e), dtype=dtype)
        result = keras.Sequential([given, *made])
    for theirs, values in zip(made, weights, strict=True):
        if values:
            theirs.set_weights(values)
    return result


def _rows(layer: Any) -> int:
    """How many elements a layer takes at each step."""
    return next(len(value) for value in layer.p.values())


def _built(keras: Any, layers: tuple[Any, ...], i: int, dtype: str) -> tuple[Any, list[np.ndarray]]:
    """Layer i as one of Keras, and the weights that it is to get."""
    layer, make = layers[i], keras.layers

    def refuse(why: str) -> Exception:
        return ValueError(f"net: layer {i}, {layer!r}, cannot be one of Keras: {why}")

    if type(layer) in (GRU, Bidirectional):
        flipped = isinstance((*layers, None)[i + 1], Flip)
        return _built_recurrent(keras, layer, flipped, dtype, refuse)
    if type(layer) is Dense:
        activation = _named(keras, layer.activate, layer.se_hPars, dtype, refuse)
        return make.Dense(layer.d["u"], activation, dtype=dtype), [layer.p["W"], layer.p["b"][0]]
    if type(layer) is Embedding:
        return make.Embedding(layer.d["v"], layer.d["u"], dtype=dtype), [layer.p["E"]]
    if type(layer) is Dropout:
        return make.Dropout(layer.rate, dtype=dtype), []
    kinds = {how: kind for kind, how in POOLS.items()}
    if type(layer) is Pool and layer.how in kinds:
        return getattr(make, kinds[layer.how])(dtype=dtype), []
    raise refuse("there is no such layer")


def _built_recurrent(
    keras: Any, layer: GRU | Bidirectional, flipped: bool, dtype: str, refuse: Refusal
) -> tuple[Any, list[np.ndarray]]:
    """The same of a recurrent layer; `flipped`: whether a Flip follows."""
    cell = cell_of(layer, refuse)
    if cell.stateful:
        raise refuse("a stateful layer is made for a number of samples there, which this one is not")
    if (cell.reverse and cell.sequences) != flipped:
        raise refuse("states come in the order of processing there with go_backwards, and only so: as with a Flip")
    gru = keras.layers.GRU(
        cell.d["u"],
        _named(keras, cell.activate, cell.se_hPars, dtype, refuse),
        _named(keras, cell.activate_update, cell.se_hPars, dtype, refuse),
        dropout=cell.dropout,
        recurrent_dropout=cell.recurrent_dropout,
        return_sequences=cell.sequences,
        go_backwards=cell.reverse,
        reset_after=cell.reset_after,
        dtype=dtype,
    )
    values = [value for half in cells(layer) for value in _theirs(half)]
    if isinstance(layer, GRU):
        return gru, values
    modes = {merge: mode for mode, merge in MERGES.items()}
    return keras.layers.Bidirectional(gru, modes[layer.merge], dtype=dtype), values


def _theirs(half: GRU) -> list[np.ndarray]:
    W, R, into, back = KERAS.theirs(half.p)
    return [W, R, np.stack([into, back]) if half.reset_after else into]


def _named(keras: Any, f: Activation, se_hPars: Mapping[str, Any] | None, dtype: str, refuse: Refusal) -> Any:
    """Their activation for ours."""
    name = next((name for name, own in NAMES.items() if own is ours(f)), None)
    if name is None:
        raise refuse(f"{f!r} is not one of cgru's own activations")
    if name == "softmax" and parameter(se_hPars, "softmax_temperature") != 1:
        raise refuse("softmax has no temperature there")
    alpha = tuning(f, se_hPars)
    if name == "leaky_relu" and alpha > 1:
        raise refuse(f"leaky_relu with a slope above 1, {alpha:g}, is another function there")
    if name not in ALPHAS or alpha == ALPHAS[name]:
        return name
    if name == "elu":
        return keras.layers.ELU(alpha, dtype=dtype)
    return keras.layers.LeakyReLU(negative_slope=alpha, dtype=dtype)
