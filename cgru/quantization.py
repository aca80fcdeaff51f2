"""`quantize`: make a network with int8 or bfloat16 weights, and measure the error that this causes.

Letters: m samples, s steps, e features of a step, u units.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from cgru.bidirectional import Bidirectional
from cgru.core.lengths import mask
from cgru.core.row_blocks import default_batch_size
from cgru.gru import GRU
from cgru.integer_layer import IntegerLayer
from cgru.layers import Dense, Embedding
from cgru.layers.layer import Layer
from cgru.network import chain
from cgru.network.data.training_data import check_inputs
from cgru.network.network import Network
from cgru.optimizers import check_number
from cgru.quantized import quantized_reference as reference
from cgru.quantized.integer_forms import COPIES, FORMS, bits_for
from cgru.quantized.stored_weights import StoredWeights

__all__ = ["bytes_of", "compare_layers", "noise", "output_noise", "quantize"]

Arrays = dict[str, np.ndarray]

STORED = (GRU, Dense, Embedding)  # layers whose weights are stored
MAX_BFLOAT16 = reference.dequantize(np.uint16(0x7F7F))  # the largest finite one


def quantize(
    net: Network,
    weights: str | Mapping[int, str] = "int8",
    *,
    activations: str | None = None,
    calibration: Any = None,
    lengths: Any = None,
    limit: float | None = None,
) -> Network:
    """Return a copy of `net` with int8 or bfloat16 weights; its states and biases are float32.

    Weights of other layers than GRUs, `Dense` and `Embedding`, such as those of a `Pool("attention")`, are float32. A
    `Conv1D` becomes `Frames` and a quantised `Dense`. The new network predicts, evaluates, streams (`cgru.Stream`,
    `cgru.Cell`), and is saved and loaded, as any other; it does not train. `net` stays as it is.

    int8: every column of weights is a scale times integers from -127 to 127. Each row that it is multiplied with is
    quantised too: an input row scaled by its largest number, a state between -1 and 1 by 1. bfloat16: weights are
    rounded to 8 bits of mantissa. A single sample reads them so; several samples run at the speed of float32, over a
    copy of the weights in float32.

    With `activations="int16"` the network computes with integers alone, for a microcontroller without floating point:
    int8 weights, int16 inputs, states and outputs, sums of 32 bits. `predict`, a `Stream` and exported C have the same
    bits on every machine. Inputs and outputs remain floats in Python. The layers may be `GRU` with tanh or sigmoid as
    `activate` and sigmoid gates, `Dense` with softmax, sigmoid, tanh, relu or identity, `Conv1D`, `Embedding`, `Scale`,
    `Clip`, `Pool` without attention, `Frames`, `Select` and `Dropout`.

    Args:
        net: a network with parameters; its GRUs without layer normalisation and not `stateful`, activations cgru's own.
        weights: "int8" or "bfloat16", or a dict with those of layers by number; a layer that is not in it has int8.
        activations: "int16": integers alone, whose scales `calibration` gives: they have room for twice the largest
            number met, and larger ones are limited; None: floats.
        calibration: inputs X (m, s, e), or tokens (m, s), as `predict` takes them. Input rows of each layer then share
            one scale if they stay within the range met here; other rows have a scale of their own.
        lengths: (m,) the real steps of each sample of `calibration`; None: all.
        limit: with calibration and int8, the least signal-to-noise ratio of a layer's outputs in dB, for the inputs
            that it gets in `net`. A layer with a lower ratio gets bfloat16 weights.

    Returns:
        A new network.

    Raises:
        TypeError, ValueError: an argument is invalid, or a layer cannot be quantised, which is named.
        RuntimeError: there are no parameters yet.

    Examples:
        >>> net = cgru.Network([cgru.GRU(16, dtype=np.float32), cgru.Dense(3, "softmax", dtype=np.float32)], seed=0)
        >>> X = np.random.default_rng(0).standard_normal((8, 20, 5))
        >>> A = net.predict(X)
        >>> small = cgru.quantize(net, calibration=X)
        >>> bool(np.abs(small.predict(X) - A).max() < 0.05)
        True
        >>> small.layers[0].weights
        'int8'
        >>> integers = cgru.quantize(net, activations="int16", calibration=X)
        >>> bool(np.abs(integers.predict(X) - A).max() < 0.05)
        True
    """
    if not isinstance(net, Network):
        raise TypeError(f"net: expected a cgru.Network, got {type(net).__name__}")
    kinds = _weights_by_layer(net, weights)
    if limit is not None:
        check_number(limit, "limit")
        if calibration is None:
            raise ValueError("limit: expected calibration data with it, got None")
        if "int8" not in kinds.values():
            raise ValueError("limit: expected an int8 layer, which may become bfloat16, got only bfloat16")
    if activations not in (None, "int16"):
        raise ValueError(f"activations: expected None or 'int16', got {activations!r}")
    if activations and (calibration is None or limit is not None or {*kinds.values()} != {"int8"}):
        due = "calibration, which their scales come from, int8 weights in all layers, and no limit with int16"
        given = "no calibration" if calibration is None else f"{' and '.join(sorted({*kinds.values()}))}, limit={limit}"
        raise ValueError(f"activations: expected {due}, got {given}")
    if lengths is not None and calibration is None:
        raise ValueError("lengths: expected None without calibration, whose samples they belong to, got some")
    tree = chain.unfold(net.layers)
    within = dict(chain.leaves(tree))
    for key, layer in within.items():
        _check(layer, key)
    bounds, tops = dict.fromkeys(kinds, 0.0), dict.fromkeys(kinds, 0.0)
    if calibration is not None:
        calibration, lengths, _ = check_inputs(net.data_spec, calibration, lengths, "calibration ")
        for block in _layer_calls(net, tree, calibration, lengths):
            for key, (A, steps, outputs) in block.items():
                bounds[key] = max(bounds[key], _max_abs(A, steps))
                tops[key] = max(tops[key], _max_abs(outputs, within[key].steps.real(outputs, steps)))
    layers = {key: _quantize_layer(layer, kinds[key], bounds[key]) for key, layer in within.items()}
    if activations is not None:
        shapes = chain.leaf_inputs(tree, (1, 1, *calibration.shape[2:]))
        for layer, shape in zip(layers.values(), shapes, strict=True):
            layer.compute_shapes(np.zeros(shape, np.intp))
        layers = _integer_layers(layers, bounds, tops)
    if limit is not None:
        for key, found in _noises(net, layers, calibration, lengths).items():
            if kinds[key] == "int8" and layers[key].weights and not found["snr"] >= limit:  # NaN: not finite
                layers[key] = _quantize_layer(within[key], "bfloat16", bounds[key])
    names = {name: getattr(net, name) for name in ("class_names", "classes", "feature_names", "target_names")}
    small = Network(chain.rebuilt(tree, layers.__getitem__), net.loss, seed=net.seed, **names)
    small.mean, small.scale = copy.deepcopy((net.mean, net.scale))
    return small


def bytes_of(net: Network) -> list[int]:
    """Return the bytes of each layer's parameters, in memory and in a file."""
    return [sum(array.nbytes for array in layer.p.values()) for _, layer in chain.leaves(chain.unfold(net.layers))]


def compare_layers(net: Network, small: Network, X: Any, lengths: Any = None) -> list[dict[str, Any]]:
    """Return the quantisation error of each layer's outputs.

    Each is a dict: `layer`; `weights` (None: the layer has no quantised weights); `bytes` of `net` in its own dtype;
    `small_bytes`; and the `noise` of its outputs for the inputs that it gets in `net`.
    """
    sizes, small_sizes, found = bytes_of(net), bytes_of(small), []
    layers, within = (dict(chain.leaves(chain.unfold(each.layers))) for each in (net, small))
    noises = _noises(net, within, *check_inputs(net.data_spec, X, lengths)[:2])
    for i, (key, apart) in enumerate(noises.items()):
        said = {"layer": type(layers[key]).__name__, "weights": getattr(within[key], "weights", None)}
        found.append(said | {"bytes": sizes[i], "small_bytes": small_sizes[i]} | apart)
    return found


def output_noise(net: Network, small: Network, X: Any, lengths: Any = None) -> dict[str, float]:
    """Return the error of the outputs of the quantised network `small` compared with those of `net`."""
    X, lengths, _ = check_inputs(net.data_spec, X, lengths)
    found = _Noise()
    for rows in _row_blocks(X):
        steps = None if lengths is None else lengths[rows]
        outputs = (each.predict(X[rows], steps) for each in (net, small))
        found.add(*outputs, None if steps is None else net.output_lengths(steps))
    return found.result()


def noise(expected: np.ndarray, found: np.ndarray, lengths: np.ndarray | None = None) -> dict[str, float]:
    """Return the error of `found` at real steps: the largest and RMS difference, and the signal-to-noise ratio in dB.

    The ratio is 10 log10 of the sum of squares of `expected` over that of the differences. It is infinite if there are
    none, NaN if a number is not finite.
    """
    both = _Noise()
    both.add(expected, found, lengths)
    return both.result()


class _Noise:
    """The error of outputs that come in blocks: a running version of `noise`."""

    def __init__(self) -> None:
        """Start with no outputs."""
        self.signal = self.difference = self.largest = np.float64(0)
        self.count = 0

    def add(self, expected: np.ndarray, found: np.ndarray, lengths: np.ndarray | None) -> None:
        """Add the errors of a block of outputs, without the padding."""
        expected, found = (np.asarray(A, np.float64) for A in (expected, found))
        if lengths is not None and expected.ndim == 3:
            real = mask(lengths, expected.shape[1])[:, :, 0]
            expected, found = expected[real], found[real]
        with np.errstate(invalid="ignore", over="ignore"):
            difference = np.square(found - expected)
            self.signal += np.square(expected).sum()
            self.difference += difference.sum()
        self.largest = np.maximum(self.largest, difference.max())
        self.count += difference.size

    def result(self) -> dict[str, float]:
        """Return the error over all blocks, in the form that `noise` returns."""
        with np.errstate(divide="ignore", invalid="ignore"):
            snr = 10 * np.log10(self.signal / self.difference) if self.difference else np.inf
            rms, largest = np.sqrt(self.difference / self.count), np.sqrt(self.largest)
        return {"largest": float(largest), "rms": float(rms), "snr": float(snr)}


def _row_blocks(X: np.ndarray) -> Iterator[slice]:
    """Yield slices of the samples that are small enough for all layers' outputs to fit into memory."""
    some = default_batch_size(X.shape)
    return (slice(start, start + some) for start in range(0, len(X), some))


def _noises(
    net: Network, layers: Mapping[str, Layer], X: np.ndarray, lengths: np.ndarray | None
) -> dict[str, dict[str, float]]:
    """Return the error of each quantised layer in `layers`, for the inputs that it gets in `net`."""
    found = {key: _Noise() for key in layers}
    for block in _layer_calls(net, chain.unfold(net.layers), X, lengths):
        for key, (A, steps, expected) in block.items():
            found[key].add(expected, layers[key].predict(A, steps), layers[key].steps.real(expected, steps))
    return {key: apart.result() for key, apart in found.items()}


def _weights_by_layer(net: Network, weights: Any) -> dict[str, str]:
    """Check `weights` and return the kind of weights for each layer; a layer in branches gets that of the branches."""
    count, given = len(net.layers), weights if isinstance(weights, Mapping) else {}
    if not isinstance(weights, str | Mapping):
        raise TypeError(f"weights: expected a string or a dict, got {type(weights).__name__}")
    for i in given:
        if isinstance(i, bool) or not isinstance(i, int | np.integer) or not 0 <= i < count:
            raise ValueError(f"weights: expected layers from 0 to {count - 1}, got {i!r}")
    kinds = [given.get(i, "int8") if isinstance(weights, Mapping) else weights for i in range(count)]
    of = [kind for kind, layer in zip(kinds, net.layers, strict=True) for _ in chain.leaves(chain.unfold([layer]))]
    keys = (key for key, _ in chain.leaves(chain.unfold(net.layers)))
    return {key: StoredWeights(kind) for key, kind in zip(keys, of, strict=True)}


def _check(layer: Layer, i: str) -> None:
    """Raise an error for a layer that cannot be quantised."""
    where = f"layer {i}, {layer!r}"
    if layer.weights:
        raise ValueError(f"net: expected float weights, got {where}, which is quantised")
    if layer.parameter_names and not layer.p:
        raise RuntimeError(f"net: {where}, has no parameters yet: fit or predict first")
    if "missing" in layer.reads:
        raise ValueError(f"net: {where}, reads values that may be missing, which has no quantised form")
    for cell in layer.cells:
        if cell.variant.layer_norm:
            raise ValueError(f"net: {where}, is layer-normalised, which has no quantised form")
        if cell.stateful:
            raise ValueError(f"net: {where}, is stateful, expected one that is not; a Stream carries states")
    kinds = *STORED, Bidirectional
    own = type(layer) in kinds and getattr(layer, "code", ()) is None
    if own or any(cell.codes() is None for cell in layer.cells):
        raise ValueError(f"net: {where}, has a user-defined activation, expected cgru's")
    if any(isinstance(each, kinds) and type(each) not in kinds for each in (layer, *layer.cells)):
        raise ValueError(f"net: {where}, is or has a user-defined class, expected one of cgru's")
    for name, array in layer.p.items():
        if not (np.abs(array) <= MAX_BFLOAT16).all():
            raise ValueError(
                f"net: {where}: expected parameters that are finite in float32 and bfloat16, got others in {name}"
            )


def _layer_calls(
    net: Network, layers: Sequence[Layer], X: np.ndarray, lengths: np.ndarray | None
) -> Iterator[dict[str, tuple]]:
    """Run X through `layers` block by block; yield each layer's inputs, lengths and outputs, by its key."""
    found: dict[str, tuple] = {}

    def run_layer(key: str, layer: Layer, A: np.ndarray, lengths: np.ndarray | None) -> np.ndarray:
        """Return the outputs of a layer, and store them with its inputs."""
        outputs = layer.predict(A, lengths)
        found[key] = A, lengths, outputs
        return outputs

    for rows in _row_blocks(X):
        steps = None if lengths is None else lengths[rows]
        with np.errstate(over="ignore", invalid="ignore"):
            chain.run(layers, net.standardized(X[rows]), steps, None, run_layer)
        yield found


def _max_abs(A: np.ndarray, steps: np.ndarray | None) -> float:
    """Return the largest |A| at real steps; ValueError if it is not finite."""
    real = A[mask(steps, A.shape[1])[:, :, 0]] if steps is not None and A.ndim == 3 else A
    most = float(np.abs(real).max())
    if not most < float(np.finfo(np.float32).max):
        raise ValueError(
            "calibration: expected finite numbers, got others, in float32, in it or in the output of a layer"
        )
    return most


def _integer_layers(
    layers: Mapping[str, Layer], bounds: Mapping[str, float], tops: Mapping[str, float]
) -> dict[str, Layer]:
    """Return int16 versions of a chain's layers, for inputs up to `bounds` and outputs up to `tops`."""
    found: dict[str, Layer] = {}
    bits: int | None = None
    for key, layer in layers.items():
        kind, where = type(layer), f"net: layer {key}, {layer!r}"
        if not kind.__module__.startswith("cgru.") or kind.__name__ not in (*FORMS, *COPIES) or "." in key:
            due = f"expected {', '.join((*FORMS, *COPIES))} or Conv1D, and no branches"
            raise ValueError(f"{where}, has no integer form; {due}")
        if getattr(layer, "reverse", False):
            raise ValueError(f"{where}, runs in reverse, which has no integer form")
        bits = bits_for(bounds[key]) if bits is None else bits
        if kind.__name__ in FORMS:
            try:
                layer = IntegerLayer.fitted(layer, bits, tops[key])
            except ValueError as error:
                raise ValueError(f"{where}: {error}") from None
            bits = layer.y_bits
        found[key] = layer
    return found


def _quantize_layer(layer: Layer, weights: str, bound: float) -> Layer:
    """Return a copy of the layer with quantised weights and float32 biases."""
    made = copy.deepcopy(layer)
    for part in made.cells or (made,):
        if type(part) in STORED:
            StoredWeights(weights, bound).apply(part)
            part.weights.packed(part)  # raises if an array is missing or has another shape
            continue
        p = {name: np.asarray(array, np.float32) for name, array in part.p.items()}
        part.p.clear()
        part.dtype = np.float32
        part.p |= p
    return made
