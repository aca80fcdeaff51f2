"""Conv1D: its numbers by the sum that defines it, its paddings, and what it shares with Frames and Dense."""

from importlib.util import find_spec

import numpy as np
import pytest
from file_cases import edited, refused
from helpers import assert_close, refuses

import cgru
from cgru.layers.steps import PAST, STEP

RNG = np.random.default_rng(0)
M, S, N, U = 3, 23, 2, 4
WINDOWS = [
    (3,), (3, 1, "causal", 4), (4, 1, "same"), (5, 1, "same", 2), (3, 2, "causal", 2), (3, 1, "valid"), (2, 2, "valid"),
    (2, 5, "valid", 3), (3, 2, (4, 1)), (3, 3, 1), (1,), (1, 2, "valid"),
]  # fmt: skip


def convolved(x, W, b, stride, pad, dilation):
    """The convolution of one sample (s, n) with a kernel (k, n, u), sum by sum."""
    x = np.pad(x, (pad, (0, 0)))
    ends = range((len(W) - 1) * dilation, len(x), stride)
    return np.array([b + sum(x[t - p * dilation] @ W[-1 - p] for p in range(len(W))) for t in ends])


def zeros(layer):
    """The steps of zeros around a sample, of each padding by its name."""
    wide = (layer.kernel_size - 1) * layer.dilation
    named = {"causal": (wide, 0), "same": (wide // 2, -(-wide // 2)), "valid": (0, 0)}
    return named[layer.padding] if isinstance(layer.padding, str) else layer.padding


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("window", WINDOWS, ids=str)
def test_it_is_the_sum_that_defines_it(window, dtype):
    layer = cgru.Conv1D(U, *window, activate="tanh", dtype=dtype, rng=1)
    X, lengths = RNG.standard_normal((M, S, N)).astype(dtype), np.array([S, 13, 17])
    X[1, 13:] = X[2, 17:] = np.nan
    A = layer.forward(X, lengths)
    layer.p["b"][...] = RNG.standard_normal(U)
    A, W = layer.forward(X, lengths), layer.p["W"].reshape(layer.kernel_size, N, U)
    count = layer.steps.lengths(lengths)
    for x, s, a, f in zip(X, lengths, A, count, strict=True):
        due = np.tanh(convolved(x[:s], W, layer.p["b"][0], layer.stride, zeros(layer), layer.dilation))
        assert len(due) == f
        assert_close(a[:f], due, 1e-12 if dtype == np.float64 else 1e-5)
        assert not a[f:].any()
    assert (A.dtype, A.shape) == (dtype, (M, count[0], U))
    kept = layer.stride == 1 and zeros(layer) == ((layer.kernel_size - 1) * layer.dilation, 0)
    assert not kept or layer.steps == (STEP if layer.kernel_size == 1 else PAST)
    assert layer.output_shape(("m", "s", N)) == ("m", "s" if kept else "f", U)


def test_the_dicts():
    layer = cgru.Conv1D(U, 3, 2, "valid", activate="relu", rng=1)
    A = layer.forward(X := RNG.standard_normal((M, S, N)))
    dX = layer.backward(A)
    layer.compute_gradients()
    f = A.shape[1]
    assert layer.d == {"m": M, "s": S, "n": N, "u": U}
    assert layer.fs == {"X": X.shape, "W": (3 * N, U), "b": (1, U), "Z": (M, f, U), "A": (M, f, U)}
    assert layer.bs == {"dA": (M, f, U), "dZ": (M, f, U), "dX": X.shape}
    assert {name: g.shape for name, g in layer.g.items()} == {"dW": (3 * N, U), "db": (U,)}
    np.testing.assert_array_equal(layer.fc["X"], X)
    np.testing.assert_array_equal(np.maximum(layer.fc["Z"], 0), A)
    assert (layer.features, dX.shape) == (N, X.shape)
    assert (
        repr(layer) == "Conv1D(4, kernel_size=3, stride=2, padding='valid', dilation=1, activate=relu, dtype=float64)"
    )
    layer.p["W"] = np.zeros((3 * N, U))
    assert not layer.forward(X).any()
    assert cgru.Conv1D(dtype=np.float32).chain[1].dtype == np.float32


@pytest.mark.parametrize(
    ("error", "options"),
    [
        (TypeError, {"kernel_size": 2.0}), (ValueError, {"kernel_size": 0}), (ValueError, {"stride": 0}),
        (TypeError, {"dilation": "2"}), (ValueError, {"padding": "full"}), (TypeError, {"padding": 1.5}),
        (TypeError, {"padding": None}), (ValueError, {"padding": True}), (ValueError, {"padding": (1, -1)}),
        (TypeError, {"padding": (1, 2, 3)}), (ValueError, {"padding": "same", "stride": 2}),
        (ValueError, {"units": 0}), (TypeError, {"activate": 3}),
    ],
)  # fmt: skip
def test_arguments_are_refused_by_name(error, options):
    with refuses(error, next(iter(options))):
        cgru.Conv1D(**options)


def test_inputs_are_refused_by_name():
    layer = cgru.Conv1D(U, 3, padding="valid", rng=1)
    for X, lengths, name in (
        (np.zeros((M, S)), None, "A"), (np.zeros((M, 2, N)), None, "A"), (np.zeros((M, S, N)), [S, 2, 5], "lengths"),
    ):  # fmt: skip
        with refuses(ValueError, name):
            layer.forward(X, lengths)
    layer.forward(np.zeros((M, S, N)))
    with pytest.raises(ValueError, match=rf"^A: expected {N} features.*, {N + 1}\)$"):
        layer.predict(np.zeros((M, S, N + 1)))
    del layer.p["b"]
    with refuses(ValueError, "p['b']"):
        layer.predict(np.zeros((M, S, N)))
    with refuses(ValueError, "layers"):
        cgru.Network([cgru.GRU(3), layer])


@pytest.mark.parametrize("activate", ["softmax", "identity"])
@pytest.mark.parametrize("window", [(3,), (3, 2, (2, 1)), (4, 1, "same", 2)], ids=str)
def test_a_head(window, activate):
    """It has a loss at its own steps, as Frames with a Dense have: fits, scores and gradients of each sample agree."""
    nets = []
    for made in (True, False):
        conv = cgru.Conv1D(U, *window, activate=activate, rng=3)
        conv.make(np.zeros((1, 20, 5)))
        top = [conv] if made else [*conv.chain]
        nets.append(cgru.Network([cgru.GRU(5, sequences=True), *top], "cross_entropy" if activate == "softmax" else
                                 "mean_squared_error", seed=1))  # fmt: skip
    assert nets[0].per_step
    X, lengths = RNG.standard_normal((7, S, N)), np.array([23, 9, 12, 20, 23, 7, 15])
    n = nets[0].output_lengths(np.array([S]))[0]
    y = RNG.integers(0, U, (7, n)) if activate == "softmax" else RNG.standard_normal((7, n, U))
    for net in nets:
        net.make(X)
        for name, array in net.parameters().items():
            array[...] = np.random.default_rng(len(name)).standard_normal(array.shape)
    grads = [net.gradients(X, y, lengths, each=True) for net in nets]
    assert_close(grads[0]["1.W"], grads[1]["2.W"], 1e-12)
    first, second = (net.fit(X, y, lengths=lengths, epochs=2, batch_size=3, shuffle=False) for net in nets)
    np.testing.assert_allclose(first.loss, second.loss, rtol=1e-12)
    first, second = (net.evaluate(X, y, lengths=lengths)["loss"] for net in nets)
    np.testing.assert_allclose(first, second, rtol=1e-12)


@pytest.mark.parametrize("window", [(3, 1, "causal", 2), (4, 1, "same"), (3, 2, (1, 2), 2), (2, 3, "valid")], ids=str)
def test_onnx_counts_the_steps_of_each_sample(window):
    reference = pytest.importorskip("onnx.reference", reason="no onnx")
    net = cgru.Network([cgru.Conv1D(U, *window, activate="tanh"), cgru.Pool("mean"), cgru.Dense(2, "softmax")], seed=0)
    net.make(X := RNG.standard_normal((M, S, N)))
    given = {"X": X.astype(np.float32), "lengths": np.array([S, 13, 8], np.int32)}
    found = reference.ReferenceEvaluator(cgru.interop.to_onnx(net, lengths=True)).run(None, given)[0]
    assert_close(found, net.predict(X, given["lengths"]), 1e-5)


def test_a_stream_begins_rows_anew_and_waits_for_whole_windows():
    X = RNG.standard_normal((2, 9, N))
    layers = [cgru.Conv1D(U, 3, dilation=2), cgru.GRU(3, sequences=True), cgru.Dense(2, "identity")]
    net = cgru.Network(layers, seed=0)
    net.make(X)
    stream = cgru.Stream(net, 2)
    for t in range(9):
        out = stream.step(X[:, t], resets=[t == 4, False])
    assert_close(out[0], net.predict(X[:1, 4:])[0, -1], 1e-13)
    assert_close(out[1], net.predict(X[1:])[0, -1], 1e-13)
    with refuses(ValueError, "resets"):  # the windows of predict know no episodes
        net.predict(cgru.Sequences(X, resets=np.zeros((2, 9), bool)))
    centred = cgru.Network([cgru.Conv1D(U, 3, padding="same"), cgru.Dense(2, "identity")], seed=0)
    centred.make(X)
    stream = cgru.Stream(centred, 2)
    found = [None if y is None else y.copy() for y in map(stream.step, X.swapaxes(0, 1))]
    assert found[0] is None
    assert_close(np.concatenate([np.stack(found[1:], 1), stream.finish()], 1), centred.predict(X), 1e-13)
    with refuses(ValueError, "truncate"):
        net.fit(X, X, epochs=1, truncate=3)


def test_quantize_makes_frames_and_a_dense_of_it():
    net = cgru.Network([cgru.Conv1D(U, 3, activate="relu"), cgru.GRU(3), cgru.Dense(2)], seed=0, dtype=np.float32)
    net.make(X := RNG.standard_normal((M, S, N)).astype(np.float32))
    small = cgru.quantize(net, {0: "bfloat16"}, calibration=X)
    assert [type(layer).__name__ for layer in small.layers[:2]] == ["Frames", "Dense"]
    assert [layer.weights for layer in small.layers] == [None, "bfloat16", "int8", "int8"]
    found = cgru.quantization.compare_layers(net, small, X)
    assert [each["layer"] for each in found] == ["Frames", "Dense", "GRU", "Dense"]
    assert found[1]["snr"] > 30


def test_a_file_has_no_conv1d_of_other_weights(tmp_path):
    net = cgru.Network([cgru.Dense(U, "identity"), cgru.GRU(3), cgru.Dense(2)], seed=0)
    net.make(np.zeros((1, 9, N)))
    cgru.quantize(net).save(tmp_path / "net.npz")
    window = {"kernel_size": 1, "stride": 1, "padding": "valid", "dilation": 1}
    edited(tmp_path / "net.npz", lambda model: model["layers"][0].update({"class": "Conv1D"} | window))
    refused(tmp_path / "net.npz", "no other entries, got weights")


def test_a_class_of_its_own_is_not_taken_for_it():
    class Own(cgru.Conv1D):
        pass

    net = cgru.Network([Own(U, 3), cgru.GRU(3), cgru.Dense(2)], seed=0)
    net.make(np.zeros((1, 9, N)))
    writers = [cgru.interop.to_onnx] if find_spec("onnx") else []
    for call in (cgru.Stream, cgru.quantize, lambda net: cgru.export_c(net, "own.c"), *writers):
        with pytest.raises(ValueError, match=r"^(source|net): .*Own|^(source|net): .*Conv1D"):
            call(net)
