"""cgru.quantize: what the network that it makes predicts, and what it refuses."""

import copy
import os
import pickle

import numpy as np
import pytest
from helpers import assert_close, random_batch, refuses
from quantized_cases import KINDS

import cgru
from cgru import quantization
from cgru.layers.layer import Layer
from cgru.quantization import bytes_of, noise, quantize
from cgru.quantized import quantized_reference as reference

X, LENGTHS, _ = random_batch(12, 6, 5, 1, True)
FULL = np.random.default_rng(5).standard_normal((12, 6, 5))
LABELS = np.arange(12) % 3
TOKENS = np.random.default_rng(6).integers(0, 11, (12, 6))
SNR = {"int8": 25, "bfloat16": 37}  # dB, at least


def network(*layers, A=FULL, **options):
    """One whose parameters are all random."""
    net, rng = cgru.Network(list(layers), seed=1, **options), np.random.default_rng(7)
    net.predict(A)
    for layer in net.layers:
        for array in layer.p.values():
            array[...] = rng.standard_normal(array.shape) * (0.7 / np.sqrt(array.shape[0]))
    return net


def plain(**options):
    return network(cgru.GRU(8, sequences=True), cgru.GRU(7), cgru.Dense(3, "softmax"), **options)


NETWORKS = {
    "a stack": plain,
    "float32": lambda: plain(dtype=np.float32),
    "each step": lambda: network(cgru.GRU(8, sequences=True), cgru.Dense(4, "tanh"), cgru.Dense(2, "identity")),
    "no head": lambda: network(cgru.GRU(8, sequences=True, reset_after=True)),
    "backwards": lambda: network(cgru.GRU(8, reverse=True), cgru.Dense(1, "identity")),
    "learned start": lambda: network(cgru.GRU(8, learn_h0=True), cgru.Dense(1, "identity")),
    "zoneout and dropout": lambda: network(
        cgru.GRU(8, zoneout=0.3, dropout=0.5, recurrent_dropout=0.5, sequences=True),
        cgru.Dropout(0.5),
        cgru.GRU(8),
        cgru.Dense(1, "sigmoid"),
    ),
    "activations": lambda: network(
        cgru.GRU(8, "lrelu", "sigmoid", "tanh", se_hPars={"LRELU_alpha": 0.1}),
        cgru.Dense(3, "elu", se_hPars={"ELU_alpha": 0.5}),
        cgru.Dense(3, "softmax", se_hPars={"softmax_temperature": 1.5}),
    ),
    "number by number": lambda: network(
        cgru.Clip(-1.5, 1.0),
        cgru.Scale(np.arange(1, 6) / 3, np.arange(5) / 7),
        cgru.GRU(9, sequences=True),
        cgru.Flip(),
        cgru.Activation("relu"),
        cgru.GRU(8, sequences=True),
        cgru.Pool("last+mean+max"),
        cgru.Dense(2, "identity"),
    ),
    **{
        f"both ways, {merge}": lambda merge=merge: network(
            cgru.Bidirectional(cgru.GRU(8, sequences=True), merge),
            cgru.Bidirectional(cgru.GRU(7, reset_after=True), merge),
            cgru.Dense(2, "identity"),
        )
        for merge in ("concat", "sum", "mean", "mul")
    },
    "tokens": lambda: network(cgru.Embedding(11, 6), cgru.GRU(8), cgru.Dense(3, "softmax"), A=TOKENS),
}


def inputs(net):
    tokens = isinstance(net.layers[0], cgru.Embedding)
    return (TOKENS if tokens else FULL), (TOKENS if tokens else X)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", NETWORKS)
def test_it_predicts_what_the_network_does(name, kind):
    net = NETWORKS[name]()
    full, ragged = inputs(net)
    before = copy.deepcopy(net)
    for calibration in ({}, {"calibration": full}, {"calibration": ragged, "lengths": LENGTHS}):
        small = cgru.quantize(net, kind, **calibration)
        assert [type(layer) for layer in small.layers] == [type(each) for each in net.layers]
        assert {layer.dtype for layer in small.layers} == {np.dtype(np.float32)}
        assert small.dtype == np.float32
        for A, lengths in ((full, None), (ragged, LENGTHS)):
            due, got = net.predict(A, lengths), small.predict(A, lengths)
            assert got.dtype == np.float32
            assert got.shape == due.shape
            assert noise(due, got)["snr"] > SNR[kind], (name, calibration.keys())
            assert (got != due).any()
            if due.ndim == 3 and lengths is not None:
                np.testing.assert_array_equal(got[due == 0], 0)
        assert bytes_of(small) == [sum(array.nbytes for array in layer.p.values()) for layer in small.layers]
    for ours, theirs in zip(before.layers, net.layers, strict=True):  # which stays as it was
        for key, array in ours.p.items():
            np.testing.assert_array_equal(theirs.p[key], array)
            assert theirs.p[key].flags.writeable
            assert theirs.p[key].dtype == net.dtype


@pytest.mark.parametrize("kind", KINDS)
def test_what_the_parameters_become(kind):
    net = network(cgru.Embedding(11, 6), cgru.GRU(8, reset_after=True, learn_h0=True), cgru.Dense(3), A=TOKENS)
    small = quantize(net, kind)
    for layer, made in zip(net.layers, small.layers, strict=True):
        for name, array in layer.p.items():
            if name[0] not in "UVWE":
                np.testing.assert_array_equal(made.p[name], array.astype(np.float32))
                assert made.p[name].dtype == np.float32
            elif kind == "bfloat16":
                np.testing.assert_array_equal(made.p[name], reference.bfloat16(array))
            else:
                turned = array.T if name == "E" else array
                codes, scale = reference.quantize_columns(turned)
                np.testing.assert_array_equal(made.p[name], codes.T if name == "E" else codes)
                np.testing.assert_array_equal(made.p[f"scale_{name}"], scale.T if name == "E" else scale)
        assert len(made.p) == len(layer.p) + (sum(name[0] in "UVWE" for name in layer.p) if kind == "int8" else 0)
        assert not made.trainable
    assert [small.layers[1].reset_after, small.layers[1].learn_h0] == [True, True]


def test_settings_come_along():
    net = network(
        cgru.GRU(8, "relu", "tanh", "sigmoid", se_hPars={"ELU_alpha": 0.5}, zoneout=0.25, reverse=True),
        cgru.Dense(3, "softmax", se_hPars={"softmax_temperature": 2.0}),
        class_names=["a", "b", "c"],
    )
    small = quantize(net)
    assert (small.loss, small.class_names, small.seed) == ("cross_entropy", ("a", "b", "c"), 1)
    first, head = small.layers
    assert (first.zoneout, first.reverse, first.sequences) == (0.25, True, False)
    assert (first.weights, first.weights.x_bound) == ("int8", 0)
    assert (first.activate, first.activate_update, first.activate_reset) == (cgru.relu, cgru.tanh, cgru.sigmoid)
    assert first.se_hPars == {"ELU_alpha": 0.5}
    assert (head.activate, head.se_hPars) == (cgru.softmax, {"softmax_temperature": 2.0})
    assert quantize(network(cgru.GRU(3), cgru.Dense(2, "identity"), loss="huber")).loss == "huber"
    assert quantize(network(cgru.GRU(3))).loss is None


# --- which weights ---


def kinds_of(net):
    return [getattr(layer, "weights", None) for layer in net.layers]


def test_weights_layer_by_layer():
    net = network(cgru.GRU(8, sequences=True), cgru.Dropout(0.1), cgru.GRU(7), cgru.Dense(3, "softmax"))
    assert kinds_of(quantize(net)) == ["int8", None, "int8", "int8"]
    assert kinds_of(quantize(net, "bfloat16")) == ["bfloat16", None, "bfloat16", "bfloat16"]
    assert kinds_of(quantize(net, {2: "bfloat16"})) == ["int8", None, "bfloat16", "int8"]
    assert kinds_of(quantize(net, {np.int64(0): "bfloat16", 3: "int8"})) == ["bfloat16", None, "int8", "int8"]
    assert kinds_of(quantize(net, {})) == ["int8", None, "int8", "int8"]


def test_calibration_is_the_largest_input_of_each_layer():
    net = plain()
    small = quantize(net, calibration=FULL)
    first = net.layers[0].predict(FULL)
    due = [np.abs(A).max() for A in (FULL, first, net.layers[1].predict(first))]
    assert [layer.weights.x_bound for layer in small.layers] == pytest.approx(due)
    assert [layer.weights.x_bound for layer in quantize(net).layers] == [0, 0, 0]
    both = quantize(network(cgru.Bidirectional(cgru.GRU(3)), cgru.Dense(1, "identity")), calibration=FULL).layers[0]
    assert [each.weights.x_bound for each in (both, *both.halves)] == pytest.approx([due[0]] * 3)
    big = X.copy()
    big[np.isnan(big)] = 1e5  # what is padding does not count
    small = quantize(net, calibration=big, lengths=LENGTHS)
    assert small.layers[0].weights.x_bound == pytest.approx(np.nanmax(np.abs(X)))
    short = np.minimum(LENGTHS, 2)  # nor do steps that a state would go on in
    last = net.layers[1].predict(net.layers[0].predict(X, short), short)
    made = quantize(net, calibration=X, lengths=short)
    assert made.layers[2].weights.x_bound == pytest.approx(np.abs(last).max())
    listed = quantize(net, calibration=[sample[:n] for sample, n in zip(X, LENGTHS, strict=True)])
    assert [layer.weights.x_bound for layer in listed.layers] == [layer.weights.x_bound for layer in small.layers]
    np.testing.assert_array_equal(small.predict(X, LENGTHS), listed.predict(X, LENGTHS))


def test_calibration_is_standardised_as_inputs_are():
    net = plain()
    net.mean, net.scale = np.arange(5.0), np.arange(1.0, 6)
    small = quantize(net, calibration=FULL)
    assert small.layers[0].weights.x_bound == pytest.approx(np.abs((FULL - net.mean) / net.scale).max())
    assert noise(net.predict(FULL), small.predict(FULL))["snr"] > SNR["int8"]
    np.testing.assert_array_equal(small.mean, net.mean)
    np.testing.assert_array_equal(small.scale, net.scale)
    net.mean[...] = 0
    np.testing.assert_array_equal(small.mean, np.arange(5.0))


def test_a_layer_below_the_limit_keeps_bfloat16():
    net = network(cgru.GRU(8, sequences=True), cgru.GRU(7), cgru.Dense(3, "identity"))
    W = net.layers[2].p["W"]
    W[0] *= 300  # which takes the precision of the other rows of its columns
    net.layers[1].p["Vhh"][...] = net.layers[1].p["Uhh"][...] = 0
    A, snr = FULL, []
    for layer, made in zip(net.layers, quantize(net, calibration=FULL).layers, strict=True):
        due = layer.predict(A)
        snr.append(noise(due, made.predict(A))["snr"])
        A = due
    order = np.sort(snr)
    for limit in (order[0] - 1, (order[0] + order[1]) / 2, (order[1] + order[2]) / 2, 500.0):
        small = quantize(net, calibration=FULL, limit=limit)
        assert kinds_of(small) == ["bfloat16" if each < limit else "int8" for each in snr]
        assert min(layer.weights.x_bound for layer in small.layers) > 0
    assert kinds_of(quantize(net, {1: "bfloat16"}, calibration=FULL, limit=0)) == ["int8", "bfloat16", "int8"]


def test_the_limit_is_for_real_steps():
    """Numbers in the padding decide nothing."""
    net = network(cgru.GRU(8, sequences=True), cgru.Dense(3, "identity"))
    found = []
    for filled in (0.0, 1e6, np.nan):
        A = np.where(np.isnan(X), filled, X)
        layer = quantize(net, calibration=A, lengths=LENGTHS).layers[0]
        found.append(noise(net.layers[0].predict(A, LENGTHS), layer.predict(A, LENGTHS), LENGTHS)["snr"])
        for limit, kind in ((found[0] - 0.1, "int8"), (found[0] + 0.1, "bfloat16")):
            assert quantize(net, calibration=A, lengths=LENGTHS, limit=limit).layers[0].weights == kind
    assert found[0] == found[1] == found[2]


def test_a_layer_whose_codes_overflow_is_below_any_limit():
    """The scales of a row and of a column, which meet in no product, are infinite in float32 when multiplied."""
    net = network(cgru.Scale(np.ones(5), np.zeros(5)), cgru.Dense(1, "identity"))
    net.layers[0].p["scale"][0, 0] = 1e22
    net.layers[1].p["W"][...] = [[0], [1e22], [0], [0], [0]]
    assert np.isnan(quantize(net, calibration=FULL).predict(FULL)).all()
    assert kinds_of(quantize(net, calibration=FULL, limit=0)) == [None, "bfloat16"]


def test_the_largest_weights_of_bfloat16():
    """They are finite there, so that zeros come out as they do in floats."""
    net = spoiled(cgru.GRU(3), "Uz", 3.38e38, cgru.Dense(1))
    small = quantize(net, "bfloat16")
    assert np.isfinite(small.predict(0 * FULL)).all()


def test_strings_of_numpy():
    small = quantize(plain(), np.array(["int8", "bfloat16"])[1])
    assert kinds_of(small) == ["bfloat16"] * len(kinds_of(small))
    assert not any(isinstance(kind, np.str_) for kind in kinds_of(small))


def test_layers_of_the_users_own_without_a_product_come_along():
    class Halved(Layer):
        def predict(self, A, lengths=None):
            return A / 2

    net = network(Halved(), cgru.GRU(4), cgru.Activation(lambda x, deriv=False: x * 2))
    small = quantize(net)
    assert noise(net.predict(FULL), small.predict(FULL))["snr"] > SNR["int8"]
    assert type(small.layers[0]) is Halved
    assert small.layers[0] is not net.layers[0]


# --- noise ---


def test_noise():
    due = np.array([[3.0, 4.0], [0.0, 0.0]])
    assert noise(due, due) == {"largest": 0, "rms": 0, "snr": np.inf}
    found = noise(due, np.array([[3.5, 4.0], [0.0, 0.0]]))
    assert found == {"largest": 0.5, "rms": 0.25, "snr": pytest.approx(20)}
    steps = np.zeros((2, 3, 1))
    steps[:, 0] = 10
    found = noise(steps, steps + 1, np.array([1, 1]))
    assert found == {"largest": 1, "rms": 1, "snr": pytest.approx(20)}
    spoiled = steps.copy()
    spoiled[:, 1:] = np.nan
    assert noise(steps, spoiled + 1, np.array([1, 1])) == found
    assert noise(due, due + 1, np.array([1, 2]))["rms"] == 1  # without steps lengths are none
    assert noise(0 * due, due)["snr"] == -np.inf
    assert noise(0 * due, 0 * due)["snr"] == np.inf
    for large in (np.inf, 1e200):
        assert np.isnan(noise(due + large, due - large)["snr"])
    single = due.astype(np.float32)
    assert noise(single, single + np.float32(1e-3))["largest"] == pytest.approx(1e-3, rel=1e-3)


@pytest.mark.parametrize("rows", [5, 12])
def test_layers_and_outputs_are_compared_block_by_block(monkeypatch, rows):
    monkeypatch.setattr(quantization, "default_batch_size", lambda shape: rows)
    net = plain()
    small = quantize(net, {1: "bfloat16"}, calibration=X, lengths=LENGTHS)
    found = quantization.compare_layers(net, small, X, LENGTHS)
    assert [(each["layer"], each["weights"]) for each in found] == [
        ("GRU", "int8"), ("GRU", "bfloat16"), ("Dense", "int8")
    ]  # fmt: skip
    assert [each["bytes"] for each in found] == bytes_of(net)
    assert [each["small_bytes"] for each in found] == bytes_of(small)
    A, got = (each.layers[0].predict(X, LENGTHS) for each in (net, small))
    assert {key: found[0][key] for key in ("largest", "rms", "snr")} == pytest.approx(noise(A, got, LENGTHS))
    net = NETWORKS["each step"]()
    small = quantize(net)
    for A, lengths in ((X, LENGTHS), (FULL, None)):
        whole = noise(net.predict(A, lengths), small.predict(A, lengths), lengths)
        assert quantization.output_noise(net, small, A, lengths) == pytest.approx(whole)


# --- using it ---


def test_evaluate_and_classes():
    net = plain(class_names=["a", "b", "c"])
    y = net.predict_classes(FULL)
    small = quantize(net)
    assert (small.predict_classes(FULL) == y).mean() > 0.8
    due, got = net.evaluate(FULL, y), small.evaluate(FULL, y)
    assert got.keys() == due.keys()
    assert got["loss"] == pytest.approx(due["loss"], abs=0.02)
    A = small.predict(FULL)
    labels = [net.class_names.index(name) for name in y]
    assert got["loss"] == pytest.approx(-np.log(A[np.arange(12), labels]).mean(), rel=1e-5)
    each = small.evaluate(FULL, y, each=True)["losses"]
    np.testing.assert_allclose(each, -np.log(A[np.arange(12), labels]), rtol=1e-5)
    steps = quantize(network(cgru.GRU(8, sequences=True), cgru.Dense(2, "identity")))
    due = np.zeros((12, 6, 2))
    found = steps.evaluate(X, due, LENGTHS)
    A = steps.predict(X, LENGTHS)
    assert found["loss"] == pytest.approx(np.square(A).sum() / (2 * LENGTHS.sum()), rel=1e-5)


def test_states_come_and_go():
    both = cgru.Bidirectional(cgru.GRU(8, sequences=True))
    net = network(both, cgru.GRU(8, learn_h0=True), cgru.Dense(2, "identity"))
    small = quantize(net)
    h0 = np.tanh(np.random.default_rng(0).standard_normal((3, 12, 8)))
    for start in (None, h0, list(h0)):
        due, states = net.predict(FULL, h0=start, return_state=True)
        got, ends = small.predict(FULL, h0=start, return_state=True)
        assert ends.shape == states.shape == (3, 12, 8)
        assert ends.dtype == np.float32
        assert noise(states, ends)["snr"] > SNR["int8"]
        assert noise(due, got)["snr"] > SNR["int8"]
        np.testing.assert_array_equal(got, small.predict(FULL, h0=start))
    assert (small.predict(FULL, h0=h0) != small.predict(FULL)).any()
    with pytest.raises(ValueError, match="h0"):
        small.predict(FULL, h0=h0[:2])


def test_batches_give_the_same_bits():
    small = quantize(NETWORKS["both ways, concat"]())
    due = small.predict(FULL)
    for size in (1, 5, 12):
        np.testing.assert_array_equal(small.predict(FULL, batch_size=size), due)


def test_nan_comes_out_as_nan():
    for kind in KINDS:
        small = quantize(plain(), kind)
        A = FULL.copy()
        due = small.predict(A)
        A[3, 2, 1] = np.nan
        got = small.predict(A)
        assert np.isnan(got[3]).all()
        np.testing.assert_array_equal(np.delete(got, 3, axis=0), np.delete(due, 3, axis=0))
        with pytest.raises(ValueError, match="NaN outputs for sample 3"):
            small.predict_classes(A)


@pytest.mark.parametrize("name", ["both ways, mean", "tokens", "number by number"])
def test_copies(name):
    small = quantize(NETWORKS[name]())
    full, _ = inputs(small)
    for _ in range(2):
        twins = [pickle.loads(pickle.dumps(small)), copy.deepcopy(small)]
        due = small.predict(full)
        for twin in twins:
            np.testing.assert_array_equal(twin.predict(full), due)


def test_it_does_not_train():
    small = quantize(plain())
    due = small.predict(FULL)
    with refuses(ValueError, "layers"):
        small.fit(FULL, LABELS, epochs=1)
    net = cgru.Network([cgru.GRU(7), small.layers[2]])
    net.predict(FULL)
    with refuses(ValueError, "layers"):
        net.fit(FULL, LABELS, epochs=1)
    np.testing.assert_array_equal(small.predict(FULL), due)


@pytest.mark.parametrize(("kind", "share"), [("int8", 0.27), ("bfloat16", 0.505)])
def test_the_file_is_smaller(tmp_path, kind, share):
    net = network(cgru.GRU(256), cgru.Dense(10, "softmax"), A=np.zeros((1, 1, 64)), dtype=np.float32)
    net.save(tmp_path / "wide.npz")
    small = quantize(net, kind)
    small.save(tmp_path / "small.npz")
    wide, narrow = (os.path.getsize(tmp_path / name) for name in ("wide.npz", "small.npz"))
    assert narrow <= share * wide
    assert sum(bytes_of(small)) <= share * sum(bytes_of(net))


# --- what is refused ---


def own(x, deriv=False):
    return np.ones_like(x) if deriv else x


class OwnGRU(cgru.GRU):
    pass


class OwnDense(cgru.Dense):
    pass


class OwnEmbedding(cgru.Embedding):
    pass


class OwnBidirectional(cgru.Bidirectional):
    pass


def spoiled(layer, name, value, *others):
    net = network(layer, *others)
    net.layers[0].p[name][0, 0] = value
    return net


REFUSED_LAYERS = (
    lambda: [cgru.GRU(3, layer_norm=True)],
    lambda: [cgru.Dropout(0.1), cgru.Bidirectional(cgru.GRU(3, layer_norm=True))],
    lambda: [cgru.GRU(3, stateful=True)],
    lambda: [cgru.GRU(3, own)],
    lambda: [cgru.GRU(3), cgru.Dense(1, own)],
    lambda: [cgru.Bidirectional(cgru.GRU(3, activate_reset=own))],
    lambda: [OwnGRU(3)],
    lambda: [cgru.GRU(3), OwnDense(1)],
    lambda: [OwnBidirectional(cgru.GRU(3))],
    lambda: [cgru.Bidirectional(OwnGRU(3))],
)


@pytest.mark.parametrize("layers", REFUSED_LAYERS)
def test_layers_that_are_refused(layers):
    with refuses(ValueError, "net"):
        quantize(network(*layers()))


def test_refused_networks():
    for error, net in (
        (TypeError, 3), (TypeError, cgru.GRU(3)), (ValueError, quantize(plain())),
        (RuntimeError, cgru.Network([cgru.GRU(3), cgru.Dense(1)])),
        (ValueError, network(OwnEmbedding(11, 3), cgru.GRU(3), A=TOKENS)),
        *((ValueError, spoiled(cgru.GRU(3), "Vz", value)) for value in (np.inf, -3.4e38, 1e39)),
        (ValueError, spoiled(cgru.GRU(3), "bz", np.nan)),
        (ValueError, spoiled(cgru.Bidirectional(cgru.GRU(3)), "backward.Uz", 1e39)),
        (ValueError, spoiled(cgru.Scale(np.ones(5), np.zeros(5)), "scale", 1e39, cgru.GRU(3))),
    ):  # fmt: skip
        with refuses(error, "net"):
            quantize(net)


def test_refused():
    for wrong in (3, "int4", {0: "int4"}, {0: ["int8"]}, {3: "int8"}, {-1: "int8"}, {True: "int8"}, {"0": "int8"}):
        with refuses(TypeError if wrong == 3 else ValueError, "weights"):
            quantize(plain(), wrong)
    wide = dict.fromkeys(range(3), "bfloat16")
    for options in ({}, {"calibration": FULL, "weights": wide}):
        with refuses(ValueError, "limit"):
            quantize(plain(), **options, limit=30)
    for limit in ("a", -1, np.nan):
        with refuses(TypeError if limit == "a" else ValueError, "limit"):
            quantize(plain(), calibration=FULL, limit=limit)
    for name, options in (
        ("lengths", {"lengths": LENGTHS}), ("calibration X", {"calibration": FULL[:, :, :3]}),
        ("calibration lengths", {"calibration": FULL, "lengths": [7] * 12}),
        *(("calibration", {"calibration": A}) for A in (X, FULL + np.inf, FULL * 1e39)),
        ("calibration", {"calibration": FULL * 0 + np.finfo(np.float32).max}),
    ):  # fmt: skip
        with refuses(ValueError, name):
            quantize(plain(), **options)
    with refuses(ValueError, "calibration"):
        quantize(plain(dtype=np.float32), calibration=FULL * 1e39)
    with refuses((TypeError, ValueError), "calibration X"):
        quantize(plain(), calibration="a")


def test_parameters_that_are_missing_or_do_not_fit():
    for key, value in (("Vz", None), ("Vz", np.ones((2, 8))), ("bhh", np.ones((1, 7))), ("Uz", np.float64(3))):
        net = plain()
        if value is None:
            del net.layers[0].p[key]
        else:
            net.layers[0].p[key] = value
        with pytest.raises(ValueError, match=rf"^p\['{key}'\]: expected"):
            quantize(net)


def test_weights_that_are_huge_or_tiny_in_float64():
    """A column that is nothing in float32 is zeros; what float32 has comes through."""
    net = network(cgru.GRU(3), cgru.Dense(2, "identity"))
    W = net.layers[1].p["W"]
    W[:, 0] = 1e-60
    W[:, 1] = [1e30, 2e30, -1e30]
    got = quantize(net).predict(FULL)
    np.testing.assert_array_equal(got[:, 0], np.float32(net.layers[1].p["b"][0, 0]))
    assert_close(got[:, 1] / 1e30, net.predict(FULL)[:, 1] / 1e30, 0.05)


def test_sums_of_more_than_32_bits_are_refused():
    head = cgru.Dense(1, "identity", dtype="float32")
    head.p |= {"W": np.ones((133_145, 1), np.float32), "b": np.zeros((1, 1), np.float32)}
    net = cgru.Network([head])
    with refuses(ValueError, "W"):
        cgru.quantize(net)
    assert cgru.quantize(net, "bfloat16").layers[0].weights == "bfloat16"
    head.p["W"] = head.p["W"][1:]
    small, X = cgru.quantize(net), np.ones((1, 133_144), np.float32)
    assert small.layers[0].predict(X)[0, 0] == 133_144
