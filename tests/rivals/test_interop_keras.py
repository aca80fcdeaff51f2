"""`from_keras` and `to_keras` against Keras's layers: outputs, last states and every gradient, masked batches too.

Keras runs on its PyTorch backend here, unless KERAS_BACKEND names another one: then these tests skip. Every backend but
TensorFlow rounds a float64 result to float32 (`BIT64_TO_BIT32_DTYPE`); for the configurations in float64 that entry is
taken out, so that Keras's own code computes in float64.
"""

import numpy as np
import pytest
from helpers import keras_on_torch, some
from interop_cases import (
    SIZES,
    TOLERANCE,
    assert_same_layers,
    batch,
    gradients,
    mask,
    network,
    recurrent,
    there_and_back,
)

import cgru
from cgru import interop
from cgru.interop.gates import KERAS
from cgru.variant import RESET_AFTER, RESET_BEFORE

keras, torch = keras_on_torch()

from keras.src.backend.common import dtypes  # noqa: E402

pytestmark = pytest.mark.filterwarnings(r"ignore:::keras\.", r"ignore:::torch\.")
ACTIVATIONS = ("tanh", "tanh", "tanh", "relu", "leaky_relu", "elu", "linear", "sigmoid")
VARIANTS = (RESET_BEFORE, RESET_AFTER)
MERGES = ("concat", "sum", "ave", "mul")


@pytest.fixture
def precise(monkeypatch):
    """Lets Keras compute in float64."""
    monkeypatch.setitem(dtypes.BIT64_TO_BIT32_DTYPE, "float64", "float64")


def layer_of(rng, e, u, merge, backwards, dtype):
    """A Keras layer, built for e features, with random weights and biases."""
    activation = rng.choice(ACTIVATIONS)
    activation = (
        keras.layers.LeakyReLU(0.125, dtype=dtype)
        if activation == "leaky_relu" and rng.integers(2)
        else str(activation)
    )
    layer = keras.layers.GRU(
        u, activation, str(rng.choice(["sigmoid", "sigmoid", "tanh"])), use_bias=bool(rng.integers(0, 4)),
        reset_after=bool(rng.integers(2)), go_backwards=backwards, return_sequences=True, dtype=dtype,
        implementation=int(rng.integers(1, 3)),
    )  # fmt: skip
    if merge is not None:
        layer = keras.layers.Bidirectional(layer, merge, dtype=dtype)
    layer.build((None, None, e))
    layer.set_weights([rng.standard_normal(w.shape) / (2 * np.sqrt(len(w))) for w in layer.get_weights()])
    return layer


def run(layers, x, h0, real):
    """Outputs and last states; `real` (m, s) are the steps that are no padding, None: all."""
    states, at = [], 0
    for layer in layers:
        pair = [layer.forward_layer, layer.backward_layer] if hasattr(layer, "forward_layer") else []
        for part in [layer, *pair]:
            part.return_state = True
        count = len(pair) or 1
        x, *last = layer(x, mask=real, initial_state=list(h0[at : at + count]) if pair else h0[at])
        states += last
        at += count
    return x, torch.stack(states)


def assert_same_gradients(same, half, g, cell, tolerance):
    """Those of one direction, in Keras's layout; of the pair of biases of r and z each has that of our one."""
    W, R, into, back = KERAS.from_cgru({name[1:]: gradient for name, gradient in g.items()})
    kernel, recurrent_kernel, *bias = (weight.value.grad.numpy() for weight in cell.trainable_weights)
    same(W, kernel, tolerance, "kernel")
    same(R, recurrent_kernel, tolerance, "recurrent kernel")
    if bias:
        u = half.d["u"]
        same(into, bias[0][0] if half.variant is RESET_AFTER else bias[0], tolerance, "bias")
        if half.variant is RESET_AFTER:
            same(back[2 * u :], bias[0][1, 2 * u :], tolerance, "recurrent bias")


@pytest.mark.parametrize("seed", some(40, range(200)))
def test_random_configurations(same, request, seed):
    rng = np.random.default_rng(seed)
    dtype = ("float64", "float32")[seed % 2]
    if dtype == "float64":
        request.getfixturevalue("precise")
    tolerance = TOLERANCE[dtype]
    m, s, e, u = (int(n) for n in rng.choice(SIZES, 4))
    s, depth, ragged = min(s, 6), int(rng.choice([1, 1, 2, 3])), bool(rng.integers(2))
    layers, width, directions = [], e, 0
    for _ in range(depth):
        merge = None if rng.integers(2) else str(rng.choice(MERGES))
        backwards = merge is None and not ragged and bool(rng.integers(2))  # Keras does not turn the mask round
        layers.append(layer_of(rng, width, u, merge, backwards, dtype))
        width, directions = 2 * u if merge == "concat" else u, directions + 1 + (merge is not None)
    lengths, X, h0, dA, dstates = batch(rng, s, ragged, dtype, (m, s, e), *[(directions, m, u)], (m, s, width),
                                        (directions, m, u))  # fmt: skip
    real = None if lengths is None else torch.tensor(mask(lengths, s))

    source = layers[0] if depth == 1 else keras.Sequential([keras.Input((None, e), dtype=dtype), *layers])
    net = interop.from_keras(source)
    x, h = torch.tensor(np.nan_to_num(X), requires_grad=True), torch.tensor(h0, requires_grad=True)
    Y, last = run(layers, x, h, real)
    Y = Y if real is None else Y * real[:, :, None]  # Keras repeats the last output past the length
    ((Y * torch.tensor(dA)).sum() + (last * torch.tensor(dstates)).sum()).backward()

    A, states = net.predict(X, lengths, h0, return_state=True)
    assert A.dtype == states.dtype == dtype
    same(A, Y.detach().numpy(), tolerance, "outputs")
    same(states, last.detach().numpy(), tolerance, "last states")
    A, states, dX, dh0 = there_and_back(net, X, lengths, h0, dA, dstates)
    same(A, Y.detach().numpy(), tolerance, "outputs of forward")
    same(states, last.detach().numpy(), tolerance, "states of forward")
    same(dX, x.grad.numpy(), tolerance, "dX")
    same(dh0, h.grad.numpy(), tolerance, "dh0")
    ours = [layer for layer in net.layers if layer.cells]
    for layer, theirs in zip(ours, layers, strict=True):
        cells = (theirs.forward_layer, theirs.backward_layer) if hasattr(theirs, "forward_layer") else (theirs,)
        for half, g, cell in zip(layer.cells, gradients(layer), cells, strict=True):
            assert_same_gradients(same, half, g, cell, tolerance)

    back = interop.to_keras(net)
    weights = iter(back.get_weights())
    for layer in layers:
        cells = (layer.forward_layer, layer.backward_layer) if hasattr(layer, "forward_layer") else (layer,)
        for cell in cells:
            due = cell.get_weights()
            if len(due) == 2:
                due.append(np.zeros((2, 3 * u) if cell.reset_after else 3 * u, dtype))
            if cell.reset_after:  # a pair of biases comes back as (sum, 0)
                due[2][0, : 2 * u] += due[2][1, : 2 * u]
                due[2][1, : 2 * u] = 0
            for value in due:
                np.testing.assert_array_equal(next(weights), value)
    assert_same_layers(interop.from_keras(back).layers, net.layers)


@pytest.mark.parametrize("seed", range(30))
def test_random_layers_from_here(same, request, seed):
    rng = np.random.default_rng(seed)
    dtype = ("float64", "float32")[seed % 2]
    if dtype == "float64":
        request.getfixturevalue("precise")
    m, s, e, u = (int(n) for n in rng.choice(SIZES, 4))
    s, D, ragged = min(s, 6), 1 + seed % 3 % 2, bool(rng.integers(2))
    alphas = {"LRELU_alpha": 0.25, "ELU_alpha": 0.5}
    layer = recurrent(
        rng, e, u, D, dtype, VARIANTS[rng.integers(2)], activate=getattr(cgru, rng.choice(["tanh", "elu", "lrelu"])),
        se_hPars=alphas, merge=str(rng.choice(["concat", "sum", "mean", "mul"])),
    )  # fmt: skip
    lengths, X, h0 = batch(rng, s, ragged, dtype, (m, s, e), (D, m, u))
    theirs = interop.to_keras(layer)
    real = None if lengths is None else torch.tensor(mask(lengths, s))
    Y, last = run([theirs], torch.tensor(np.nan_to_num(X)), torch.tensor(h0), real)
    Y = Y if real is None else Y * real[:, :, None]
    A, states = cgru.Network([layer]).predict(X, lengths, h0, return_state=True)
    same(A, Y.detach().numpy(), TOLERANCE[dtype])
    same(states, last.detach().numpy(), TOLERANCE[dtype])
    back = interop.from_keras(theirs)
    assert_same_layers(back.layers, [layer])
    key = {"elu": "ELU_alpha", "lrelu": "LRELU_alpha"}.get(layer.activation["activate"])
    assert back.layers[0].se_hPars == ({key: alphas[key]} if key else None)


@pytest.mark.parametrize("reset_after", [False, True])
def test_a_ragged_layer_that_goes_backwards(same, reset_after):
    m, s, e, u = 4, 6, 3, 5
    rng = np.random.default_rng(0)
    layer = keras.layers.GRU(u, reset_after=reset_after, go_backwards=True, return_sequences=True)
    lengths, X = batch(rng, s, True, "float32", (m, s, e))
    Y = layer(torch.tensor(np.nan_to_num(X)), mask=torch.tensor(mask(lengths, s))).detach().numpy()
    A = interop.from_keras(layer).predict(X, lengths)
    for i, length in enumerate(lengths):  # Keras processes the padding first
        same(A[i, :length], Y[i, s - length :], 1e-5)
        assert not A[i, length:].any()


def test_a_model_of_tokens(same, tmp_path):
    v, s, k = 9, 6, 3
    layers = keras.layers
    model = keras.Sequential([
        keras.Input((s,), dtype="int32"), layers.Embedding(v, 4),
        layers.GRU(5, return_sequences=True, dropout=0.2, recurrent_dropout=0.1), layers.Dropout(0.3),
        layers.Bidirectional(layers.GRU(2, reset_after=False)), layers.Dense(k, "softmax"),
    ])  # fmt: skip
    tokens = np.random.default_rng(0).integers(0, v, (7, s))
    net = interop.from_keras(model)
    assert net.loss == "cross_entropy"
    assert (net.layers[1].dropout, net.layers[1].recurrent_dropout, net.layers[2].rate) == (0.2, 0.1, 0.3)
    due = keras.ops.convert_to_numpy(model(tokens))
    same(net.predict(tokens), due, 1e-5)
    back = interop.to_keras(net)
    for ours, theirs in zip(back.get_weights(), model.get_weights(), strict=True):
        np.testing.assert_array_equal(ours, theirs)
    assert back.layers[1].dropout == 0.2
    net.save(tmp_path / "net.npz")
    np.testing.assert_array_equal(cgru.load(tmp_path / "net.npz").predict(tokens), net.predict(tokens))


@pytest.mark.parametrize("pool", ["GlobalAveragePooling1D", "GlobalMaxPooling1D"])
def test_a_functional_model(same, pool):
    layers = keras.layers
    inputs = keras.Input((None, 3))
    A = layers.GRU(4, return_sequences=True, go_backwards=True)(inputs)
    A = getattr(layers, pool)()(layers.GRU(5, return_sequences=True)(A))
    model = keras.Model(inputs, layers.Dense(1, keras.activations.sigmoid, use_bias=False)(A))
    X = np.random.default_rng(0).standard_normal((6, 5, 3)).astype(np.float32)
    net = interop.from_keras(model)
    same(net.predict(X), keras.ops.convert_to_numpy(model(X)), 1e-5)
    same(keras.ops.convert_to_numpy(interop.to_keras(net)(X)), net.predict(X), 1e-5)


def test_a_network_from_here(same):
    rng = np.random.default_rng(0)
    stack = [
        cgru.GRU(4, sequences=True, reverse=True, reset_after=True, dropout=0.2), cgru.Flip(), cgru.Dropout(0.1),
        cgru.Bidirectional(cgru.GRU(3), "mul"), cgru.Dense(5, cgru.elu), cgru.Dense(2, cgru.softmax),
    ]  # fmt: skip
    net = network(rng, 3, "float64", stack=stack)
    model = interop.to_keras(net)
    X = rng.standard_normal((4, 6, 3))
    same(keras.ops.convert_to_numpy(model(X)), net.predict(X), 1e-5)
    assert_same_layers(interop.from_keras(model).layers, net.layers)


def test_all_states_of_a_layer_whatever_it_returns(same):
    layer = keras.layers.GRU(4)
    X = np.random.default_rng(0).standard_normal((3, 5, 2)).astype(np.float32)
    due = keras.ops.convert_to_numpy(layer(X))
    A, states = interop.from_keras(layer).predict(X, return_state=True)
    assert A.shape == (3, 5, 4)
    same(A[:, -1], due, 1e-5)
    same(states[0], due, 1e-5)
    model = keras.Sequential([keras.Input((5, 2)), layer])
    same(interop.from_keras(model).predict(X), due, 1e-5)


def built(layer):
    layer.build((None, None, 3))
    return layer


def of_two_dtypes():
    head = keras.layers.TimeDistributed(keras.layers.Dense(2, dtype="float32"), dtype="float64")
    inputs = keras.Input((4, 3), dtype="float64")
    return keras.Sequential([inputs, keras.layers.GRU(3, return_sequences=True, dtype="float64"), head])


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (of_two_dtypes, "it computes in float64, its 'dense.*' in float32"),
        (lambda: built(keras.layers.LSTM(3)), "LSTM 'lstm.* cannot be converted"),
        (lambda: built(keras.layers.GRU(3, "mish")), "expected activations among tanh, .*got 'mish'"),
        (lambda: built(keras.layers.GRU(3, np.tanh)), "expected activations among"),
        (lambda: built(keras.layers.GRU(3, "softmax")), "softmax is only supported in a Dense"),
        (lambda: built(keras.layers.GRU(3, keras.layers.ReLU(6.0))), "without max_value"),
        (lambda: built(keras.layers.GRU(3, keras.layers.ELU(0.5), "elu")), "the same alpha"),
        (
            lambda: built(keras.layers.GRU(3, keras.layers.LeakyReLU(1.5))),
            "a negative_slope of at most 1 here, got 1.5",
        ),
        (lambda: keras.layers.GRU(3), "expected weights, got none yet"),
        (lambda: built(keras.layers.GRU(3, dtype="mixed_float16")), "computes in float16"),
        (lambda: built(keras.layers.Bidirectional(keras.layers.GRU(3), merge_mode=None)), "expected merge_mode"),
        (lambda: built(keras.layers.Bidirectional(keras.layers.LSTM(3))), "expected one of GRU layers"),
        (lambda: keras.Sequential([keras.layers.GRU(3)]), "expected a model that is built"),
        (lambda: np.tanh, "a model of Keras, got numpy.ufunc"),
    ],
)
def test_refused_from_there(make, words):
    with pytest.raises((TypeError, ValueError, RuntimeError), match=words):
        interop.from_keras(make())


@pytest.mark.parametrize(
    ("layers", "words"),
    [
        ([cgru.GRU(3, zoneout=0.1)], "it has zoneout"),
        ([cgru.GRU(3, activate_reset=cgru.tanh)], "own activations for both z and r"),
        ([cgru.GRU(3, np.tanh)], "activate is not one of cgru's own"),
        ([cgru.GRU(3), cgru.Dense(2, np.tanh)], "layer 1, Dense.*tanh.* is not one of cgru's own activations"),
        ([cgru.GRU(3, stateful=True)], "it has stateful"),
        ([cgru.GRU(3, learn_h0=True)], "it has learn_h0, which the library lacks"),
        ([cgru.GRU(3, reverse=True, sequences=True)], "in the order of processing"),
        ([cgru.GRU(3, sequences=True), cgru.Flip()], "in the order of processing"),
        ([cgru.GRU(3, sequences=True), cgru.Dropout(), cgru.Flip()], "layer 2, Flip.., .*Keras has no such layer"),
        ([cgru.GRU(3, sequences=True), cgru.Pool("last")], "Keras has no such layer"),
        ([cgru.GRU(3), cgru.Dense(2, cgru.softmax, se_hPars={"softmax_temperature": 2})], "no temperature"),
        ([cgru.Bidirectional(cgru.GRU(3, reverse=True))], "is not forward"),
        ([cgru.GRU(3, cgru.lrelu, se_hPars={"LRELU_alpha": 2.0})], "a slope above 1"),
    ],
)
def test_refused_from_here(layers, words):
    cgru.Network(layers).predict(np.zeros((1, 1, 3)))  # makes the parameters
    with pytest.raises(ValueError, match=words):
        interop.to_keras(layers)
