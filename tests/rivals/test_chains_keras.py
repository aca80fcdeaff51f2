"""`from_keras` with functions as layers, or a Dense at each step: Keras's numbers, or refused by name."""

import functools

import numpy as np
import pytest
from helpers import keras_on_torch

import cgru
from cgru import interop

keras, _ = keras_on_torch()

from keras import layers  # noqa: E402
from keras.src.backend.common import dtypes  # noqa: E402

pytestmark = pytest.mark.filterwarnings(r"ignore:::keras\.", r"ignore:::torch\.")
FUNCTIONS = {
    "Activation": lambda **given: layers.Activation("tanh", **given),
    "an ELU in it": lambda **given: layers.Activation(layers.ELU(0.5, dtype=given["dtype"]), **given),
    "ReLU": layers.ReLU,
    "LeakyReLU": lambda **given: layers.LeakyReLU(negative_slope=0.2, **given),
    "ELU": lambda **given: layers.ELU(0.7, **given),
    "Softmax": layers.Softmax,
    **{name: functools.partial(layers.Activation, name) for name in ("gelu", "silu", "softplus", "log_softmax")},
    "linear": lambda **given: layers.Activation("linear", **given),
}


def check(chain, s, dtype, same, monkeypatch):
    """That a chain on (m, s, 3) has Keras's numbers, with random weights; return both models."""
    monkeypatch.setitem(dtypes.BIT64_TO_BIT32_DTYPE, "float64", "float64")  # else it rounds results to float32
    model = keras.Sequential([keras.Input((s, 3), dtype=dtype), *chain])
    for weight in model.weights:
        weight.assign(np.random.default_rng(0).random(weight.shape) - (0 if "variance" in weight.path else 0.5))
    X = np.random.default_rng(1).standard_normal((5, s, 3)).astype(dtype)
    net = interop.from_keras(model)
    same(net.predict(X), keras.ops.convert_to_numpy(model(X)), 1e-5 if dtype == "float32" else 1e-10)
    return model, net


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("kind", FUNCTIONS)
def test_the_numbers_of_keras(kind, dtype, same, monkeypatch):
    f, at_each = functools.partial(FUNCTIONS[kind], dtype=dtype), layers.Dense(5, dtype=dtype)
    chain = [
        layers.TimeDistributed(at_each, dtype=dtype), f(), layers.GRU(6, return_sequences=True, dtype=dtype), f(),
        layers.GlobalAveragePooling1D(dtype=dtype), layers.Dense(2, dtype=dtype), f(),
    ]  # fmt: skip
    _, net = check(chain, 4, dtype, same, monkeypatch)
    assert [type(layer) for layer in net.layers if layer.p] == [cgru.Dense, cgru.GRU, cgru.Dense]
    assert net.head is not None


def test_all_steps_side_by_side(same, monkeypatch):
    """Of a longer series the last steps; a stream waits for so many."""
    chain = [layers.GRU(6, return_sequences=True), layers.Flatten(), layers.Dense(2, "gelu")]
    _, net = check(chain, 4, "float32", same, monkeypatch)
    X = np.random.default_rng(2).standard_normal((3, 9, 3)).astype(np.float32)
    whole = cgru.Network(net.layers[:1]).predict(X)[:, -4:].reshape(3, -1)
    same(net.predict(X), net.layers[-1].predict(whole), 1e-6)
    stream = cgru.Stream(net, 3)
    for x in X.swapaxes(0, 1):
        A = stream.step(x)
    same(A, net.predict(X), 1e-6)


@pytest.mark.parametrize(
    ("layer", "words"),
    [
        (lambda: layers.Softmax(axis=1), "layer 1, Softmax 'foreign'.* expected axis -1"),
        (lambda: layers.ReLU(max_value=6), "layer 1, ReLU 'foreign'.* without max_value"),
        (lambda: layers.Activation("mish"), "layer 1, Activation 'foreign'.* got .mish"),
        (lambda: layers.Activation(lambda x: x * 2), "layer 1, Activation 'foreign'.* expected activations among"),
        (lambda: layers.TimeDistributed(layers.ReLU()), "layer 1, TimeDistributed 'foreign'.* expected a Dense in it"),
        (lambda: layers.LayerNormalization(axis=1), "layer 1, LayerNormalization 'foreign'.* expected axis -1"),
        (lambda: layers.LayerNormalization(rms_scaling=True), "layer 1, LayerNormalization 'foreign'.* rms_scaling"),
        (lambda: layers.LayerNormalization(scale=False), "layer 1, LayerNormalization 'foreign'.* expected scale=True"),
        (lambda: layers.BatchNormalization(axis=1), "layer 1, BatchNormalization 'foreign'.* expected axis -1"),
        (lambda: layers.Conv1D(3, 2, groups=3), "layer 1, Conv1D 'foreign'.* expected groups 1, got 3"),
        (lambda: layers.Conv1D(3, 2, 2, padding="same"), "layer 1, Conv1D 'foreign'.* padding .same. depends on"),
        (lambda: layers.Conv1D(3, 2, data_format="channels_first"), "layer 1, Conv1D 'foreign'.* the last axis"),
        (lambda: layers.PReLU(), "layer 1, PReLU 'foreign'.* expected one of GRU"),
    ],
)
def test_refused_by_name(layer, words):
    foreign = layer()
    foreign.name = "foreign"
    model = keras.Sequential([keras.Input((4, 3)), layers.GRU(6, return_sequences=True), foreign])
    with pytest.raises(ValueError, match=words):
        interop.from_keras(model)


NEW = {
    "LayerNormalization": lambda **given: layers.LayerNormalization(epsilon=0.01, **given),
    "LayerNormalization, no shift": lambda **given: layers.LayerNormalization(center=False, **given),
    "BatchNormalization": layers.BatchNormalization,
    "BatchNormalization, no scale": lambda **given: layers.BatchNormalization(scale=False, center=False, **given),
    "Conv1D": lambda **given: layers.Conv1D(4, 3, activation="relu", **given),
    "Conv1D, strided": lambda **given: layers.Conv1D(4, 3, strides=2, use_bias=False, **given),
    "Conv1D, same": lambda **given: layers.Conv1D(4, 4, padding="same", **given),
    "Conv1D, causal": lambda **given: layers.Conv1D(4, 3, strides=2, padding="causal", **given),
    "Conv1D, dilated": lambda **given: layers.Conv1D(4, 3, dilation_rate=2, padding="causal", **given),
    "Conv1D, dilated same": lambda **given: layers.Conv1D(4, 4, dilation_rate=3, padding="same", **given),
}


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("kind", NEW)
def test_convolutions_and_norms(kind, dtype, same, monkeypatch):
    new, gru = functools.partial(NEW[kind], dtype=dtype), functools.partial(layers.GRU, dtype=dtype)
    chain = [new(), gru(6, return_sequences=True), new(), gru(5), layers.Dense(2, dtype=dtype)]
    model, net = check(chain, 9, dtype, same, monkeypatch)
    trained = [layer.trainable for layer in net.layers if layer.p]
    assert trained == [bool(layer.trainable_weights) for layer in model.layers]
    model.layers[0].trainable = False
    assert [layer.trainable for layer in interop.from_keras(model).layers if layer.p] == [False, *trained[1:]]


@pytest.mark.parametrize("window", [(3,), (4, 1, "same", 3), (3, 2, "valid"), (2, 3, "causal"), (1,)], ids=str)
def test_convolutions_there_and_back(window, same):
    net = cgru.Network([cgru.Conv1D(4, *window, activate="relu"), cgru.GRU(3), cgru.Dense(2)], seed=0, dtype=np.float32)
    X = np.random.default_rng(0).standard_normal((3, 12, 6)).astype(np.float32)
    net.make(X)
    net.layers[0].p["b"] += 0.3
    model = interop.to_keras(net)
    same(net.predict(X), keras.ops.convert_to_numpy(model(X)), 1e-5)
    again = interop.from_keras(model)
    np.testing.assert_array_equal(again.predict(X), net.predict(X))
    assert repr(again.layers) == repr(net.layers)


@pytest.mark.parametrize("window", [(3, 1, (1, 0)), (3, 2, "valid", 2)], ids=str)
def test_convolutions_that_keras_has_not_are_refused(window):
    net = cgru.Network([cgru.Conv1D(4, *window), cgru.GRU(3), cgru.Dense(2)], seed=0)
    net.make(np.zeros((1, 12, 6)))
    with pytest.raises(ValueError, match="layer 0, Conv1D"):
        interop.to_keras(net)


def test_layer_norm_there_and_back(same):
    layers = [cgru.LayerNorm(0.01), cgru.GRU(4, sequences=True), cgru.LayerNorm(), cgru.Dense(2)]
    net = cgru.Network(layers, seed=0, dtype=np.float32)
    X = np.random.default_rng(0).standard_normal((3, 5, 6)).astype(np.float32)
    net.make(X)
    net.layers[0].p["scale"][...] = net.layers[0].p["shift"][...] = np.arange(6) - 2.5
    net.layers[2].trainable = False
    model = interop.to_keras(net)
    same(net.predict(X), keras.ops.convert_to_numpy(model(X)), 1e-5)
    again = interop.from_keras(model)
    np.testing.assert_array_equal(again.predict(X), net.predict(X))
    assert [layer.trainable for layer in again.layers] == [True, True, False, True]
