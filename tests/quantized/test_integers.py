"""`quantize(activations="int16")`: layers of integers near those of floats, the same in each way to run them."""

import copy
import pickle

import numpy as np
import pytest
from integer_cases import F4, LAYERS, codes, gru, integers, loss_of, network, streamed

import cgru
from cgru.integer_layer import IntegerLayer
from cgru.quantization import bytes_of, compare_layers, output_noise
from cgru.quantized import integer_forms as forms


@pytest.mark.parametrize("name", LAYERS)
def test_outputs_are_near_those_of_floats(name):
    net, X = network(name)
    small = cgru.quantize(net, activations="int16", calibration=X)
    assert output_noise(net, small, X)["snr"] > 27
    for each in compare_layers(net, small, X):
        assert each["snr"] > (30 if each["weights"] == "int8" else 60), each
    assert sum(bytes_of(small)) < sum(bytes_of(net))


@pytest.mark.parametrize("name", LAYERS)
def test_all_ways_have_the_same_bits(name, tmp_path):
    net, X = integers(name)
    A = net.predict(X)
    net.save(tmp_path / "small.npz")
    for other in (cgru.load(tmp_path / "small.npz"), pickle.loads(pickle.dumps(net)), copy.deepcopy(net)):
        assert np.array_equal(other.predict(X), A)
        assert list(map(repr, other.layers)) == list(map(repr, net.layers))
    for x, a in zip(X[:2], A, strict=False):
        assert np.array_equal(net.predict(x[None])[0], a)
        rows = streamed(net, x)
        assert np.array_equal(rows if net.per_step else rows[-1], a)
    assert np.abs(codes(net, A)).max() <= 2**15 - 1


@pytest.mark.parametrize("name", LAYERS)
def test_padding_is_not_read(name):
    net, X = integers(name)
    lengths = np.array([16, 9, 5, 12, 7, 8])
    A = net.predict(X, lengths)
    for x, a, length in zip(X, A, lengths, strict=True):
        due = net.predict(x[None, :length])[0]
        assert np.array_equal(a[: len(due)] if net.per_step else a, due)
        assert not (net.per_step and a[len(due) :].any())


def test_inputs_are_rounded_and_limited():
    assert forms.as_codes([0.5, -0.5, 1.49, 40000, -np.inf, np.nan, -2.5], 0).tolist() == [
        1,
        -1,
        1,
        32767,
        -32767,
        0,
        -3,
    ]
    assert forms.as_codes([0.75], 2).tolist() == [3]
    assert [forms.bits_for(top) for top in (0, 1.0, 0.49, 20000.0, 1e-38)] == [15, 13, 15, -1, 100]
    layer = IntegerLayer(cgru.Clip(-3, 5.5), 12, 11)
    X = np.array([[-7.0, 0.1, 5.2, 7.9]])
    assert layer.predict(X).tolist() == [[-3.0, 205 / 2**11, 5.2001953125, 5.5]]


@pytest.mark.parametrize(
    ("function", "due", "most"),
    [
        (forms.integer_tanh, np.tanh, 1.2e-4),
        (forms.integer_sigmoid, lambda x: 1 / (1 + np.exp(-x)), 8e-5),
        (lambda a: forms.integer_softmax(a[:, None] * np.array([0, 1])), lambda x: 1 / (1 + np.exp([x, -x])).T, 4e-4),
    ],
)
def test_curves(function, due, most):
    a = np.arange(-(2**17), 2**17, 7)
    found = function(a)
    assert np.abs(found / 2**15 - due(a / 2**forms.FRACTION)).max() < most
    assert np.abs(found).max() <= forms.TOP
    if found.ndim == 1:
        assert (np.diff(found) >= 0).all()


def test_factors():
    ratio = np.append(np.geomspace(1e-9, 0.2499, 1000), [0, -0.1])
    factors, shifts = forms.factors_for(ratio)
    assert factors.dtype == np.int16
    assert shifts.min() >= 1
    assert np.abs(factors / 2.0 ** (16 + shifts.astype(int)) - ratio).max() < 0.25 / 2**14
    x = np.array([2**31 - 1, -(2**31), 12345])
    for factor, shift in ((32767, 1), (-32767, 3), (20000, 30)):
        due = np.floor((np.floor(x * factor / 2**16) + 2.0 ** (shift - 1)) / 2.0**shift)
        assert forms.scaled(x, np.int64(factor), np.array(shift)).tolist() == due.tolist()
    with pytest.raises(ValueError, match="too large"):
        forms.factors_for(np.array([0.25]))


def test_states_can_be_given_and_are_returned():
    net, X = integers("stack")
    body = net.layers[0]
    whole, (last,) = body.predict_on(X, None, (None,))
    first, (half,) = body.predict_on(X[:, :7], None, (None,))
    rest, (end,) = body.predict_on(X[:, 7:], None, (half,))
    assert np.array_equal(np.concatenate([first, rest], axis=1), whole)
    assert np.array_equal(last, end)
    stream = cgru.Stream(net)
    for x in X[0, :7]:
        stream.step(x)
    other = cgru.Stream(net)
    other.state = stream.state
    stream.refresh()
    assert np.array_equal(stream.step(X[0, 7]), other.step(X[0, 7]))
    assert np.array_equal(stream.step(X[0, 0], resets=True), streamed(net, X[0])[0])


def test_a_learned_start_beyond_one_keeps_its_size():
    net, X = network("stack")
    net.layers[0].p["h0"][...] = np.linspace(-3, 3, 5)
    small = cgru.quantize(net, activations="int16", calibration=X)
    assert small.layers[0].y_bits == 13
    assert output_noise(net, small, X)["snr"] > 27


def test_outputs_small_beside_their_products_have_fewer_bits():
    net, X = network("before")
    net = cgru.Network([*net.layers[:1], cgru.Dense(1, "identity", **F4)], "mean_squared_error", **F4)
    net.predict(X)
    net.layers[1].p["W"][...] = 3e-4
    net.layers[1].p["b"][...] = -3e-4 * net.layers[0].predict(X).sum(axis=1).mean()
    for factor in (1, 1e3):
        net.layers[1].p["b"] *= factor
        net.layers[1].p["W"] *= factor
        small = cgru.quantize(net, activations="int16", calibration=X)
        assert output_noise(net, small, X)["snr"] > 20


def refused():
    """Of each name: layers or a network, and the options of `quantize`; what the error names."""
    return {
        "attention": ([gru(3), cgru.Pool("attention", **F4)], {}, r"net: layer 1, Pool"),
        "relu": ([gru(3, activate="relu")], {}, r"net: layer 0, GRU.*activate is relu"),
        "gate": ([gru(3, activate_reset="tanh")], {}, r"net: layer 0, GRU.*activate_reset"),
        "elu": ([gru(3), cgru.Dense(2, "elu", **F4)], {}, r"net: layer 1, Dense"),
        "log_softmax": ([gru(3), cgru.Dense(2, "log_softmax", **F4)], {}, r"net: layer 1, Dense"),
        "activation": ([gru(3), cgru.Activation("relu")], {}, r"net: layer 1, Activation"),
        "difference": ([cgru.Difference(), gru(3)], {}, r"net: layer 0, Difference"),
        "norm": ([cgru.LayerNorm(**F4), gru(3)], {}, r"net: layer 0, LayerNorm"),
        "both": ([cgru.Bidirectional(gru(3))], {}, r"net: layer 0, Bidirectional"),
        "reverse": ([gru(3, reverse=True)], {}, r"net: layer 0, GRU.*reverse"),
        "branches": ([cgru.Concatenate([gru(3)], [gru(2)])], {}, r"net: layer 0.0.0, GRU.*branches"),
        "wide": ([gru(3), cgru.Dense(3000, **F4), cgru.Dense(2, **F4)], {}, r"net: layer 2, Dense.*too many"),
        "raw": ([gru(3)], {"scale": 1e6}, r"net: layer 0, GRU.*standardize"),
        "none": ([gru(3)], {"calibration": None}, r"activations: expected calibration"),
        "limit": ([gru(3)], {"limit": 30}, r"activations: expected calibration.*limit=30"),
        "bfloat16": ([gru(3)], {"weights": "bfloat16"}, r"activations: expected calibration.*bfloat16"),
        "int8": ([gru(3)], {"activations": "int8"}, r"activations: expected None or 'int16'"),
    }


@pytest.mark.parametrize("name", refused())
def test_refused(name):
    layers, options, match = refused()[name]
    net = cgru.Network(layers, loss_of(layers), **F4, seed=0)
    X = np.random.default_rng(0).standard_normal((2, 8, 5)).astype(np.float32) * options.pop("scale", 1)
    net.predict(X)
    for layer in net.layers:
        if name == "wide" and "W" in layer.p:
            layer.p["W"][...] = 1.0
    with pytest.raises(ValueError, match=match):
        cgru.quantize(net, **{"activations": "int16", "calibration": X} | options)


def test_a_network_of_integers_does_not_train_nor_fade():
    net, X = integers("after")
    with pytest.raises(ValueError, match="train"):
        net.fit(X, np.ones((6, 16, 5)), epochs=1)
    with pytest.raises(ValueError, match="decay"):
        cgru.Stream(net).step(X[0, 0], decay=0.5)
    with pytest.raises(ValueError, match="decay"):
        net.predict(cgru.Sequences(X, decay=np.ones((6, 16))))
    with pytest.raises(RuntimeError, match="predict"):
        net.layers[1].run(X[:, :, :4].repeat(3, axis=2)).backward(np.ones((6, 16, 5)))
    with pytest.raises(ValueError, match="quantised"):
        cgru.quantize(net)


def test_a_layer_refuses_other_inputs():
    net, X = integers("before")
    pool = integers("sum")[0].layers[2]
    for layer, A in ((net.layers[0], X[:, :, :3]), (net.layers[0], X[:, 0]), (pool, X), (pool, X[:, 0, :3])):
        with pytest.raises(ValueError, match=r"^A: "):
            layer.predict(A)


def test_forged_files_are_refused():
    with pytest.raises(TypeError, match="layer"):
        IntegerLayer(cgru.Activation("relu"), 3, 3)
    for bits in (1.5, 1000, None):
        with pytest.raises(ValueError, match="y_bits"):
            IntegerLayer(cgru.Clip(), 3, bits)
    layer = integers("before")[0].layers[0]
    for key, value in (("bz", np.nan), ("scale_Vz", np.nan), ("scale_Uz", np.inf), ("br", 1e30)):
        other = copy.deepcopy(layer)
        other.p[key] = np.full_like(other.p[key], value)
        with pytest.raises(ValueError, match="too large"):
            other.predict(np.ones((1, 2, 5)))


def test_repr_and_summary_say_it():
    net, _ = integers("before")
    assert all("int16" in repr(layer) for layer in net.layers)
    assert net.layers[0].weights == "int8"
    assert str(net.summary()).count("int16") == 2


def test_bits_are_given_up_for_room_but_not_all():
    dense = integers("frames")[0].layers[-1].layer
    found = {top: IntegerLayer.fitted(dense, 12, top).y_bits - forms.bits_for(top) for top in (1, 0.004)}
    assert found[1] == 0
    assert -8 < found[0.004] < 0
    with pytest.raises(ValueError, match="too large"):
        IntegerLayer.fitted(dense, 12, 1e-6)
