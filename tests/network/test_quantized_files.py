"""The file of a model whose weights have fewer bytes: what comes back, and what is refused."""

import json
import tracemalloc

import numpy as np
import pytest
from file_cases import LABELS, LENGTHS, RNG, X, edited, refused, rewritten
from helpers import refuses
from quantized_cases import quantized

import cgru


def quantised(kind="int8", dtype=np.float64):
    both = cgru.Bidirectional(cgru.GRU(4, cgru.lrelu, sequences=True, se_hPars={"LRELU_alpha": 0.2}), "mul")
    layers = [
        both,
        cgru.Dropout(0.1),
        cgru.GRU(5, activate_reset="tanh", reset_after=True, learn_h0=True, zoneout=0.25, reverse=True, sequences=True),
        cgru.Pool("last+mean"),
        cgru.Dense(3, "softmax", se_hPars={"softmax_temperature": 1.5}),
    ]
    net = cgru.Network(layers, seed=3, class_names=["a", "b", "c"], dtype=dtype)
    net.predict(X)
    net.mean, net.scale = np.arange(3.0), np.arange(1.0, 4)
    for layer in net.layers:
        for value in layer.p.values():
            value += RNG.standard_normal(value.shape) * 0.1
    return cgru.quantize(net, kind, calibration=X)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("kind", ["int8", "bfloat16"])
def test_a_loaded_quantised_network_is_the_same(tmp_path, kind, dtype):
    net = quantised(kind, dtype)
    net.save(tmp_path / "model")
    with np.load(tmp_path / "model", allow_pickle=False) as npz:
        assert npz["format"] == 1
        assert npz["0.forward.Uz"].dtype == npz["4.W"].dtype == {"int8": np.int8, "bfloat16": np.uint16}[kind]
        assert ("0.backward.scale_Vhh" in npz) == ("4.scale_W" in npz) == (kind == "int8")
        description = json.loads(str(npz["model"]))
    classes = ["Bidirectional", "Dropout", "GRU", "Pool", "Dense"]
    assert [layer["class"] for layer in description["layers"]] == classes
    assert [description["layers"][at]["units"] for at in (2, 4)] == [5, 3]
    twin = cgru.load(tmp_path / "model")
    np.testing.assert_array_equal(twin.predict(X, LENGTHS), net.predict(X, LENGTHS))
    assert twin.evaluate(X, LABELS, LENGTHS) == net.evaluate(X, LABELS, LENGTHS)
    for name in ("loss", "class_names", "seed", "dtype"):
        assert getattr(twin, name) == getattr(net, name)
    for ours, theirs in zip(net.layers, twin.layers, strict=True):
        assert type(ours) is type(theirs)
        assert ours.p.keys() == theirs.p.keys()
        assert repr(ours) == repr(theirs)
        assert getattr(ours.weights, "x_bound", None) == getattr(theirs.weights, "x_bound", None)
        for name, array in ours.p.items():
            np.testing.assert_array_equal(theirs.p[name], array)
            assert theirs.p[name].dtype == array.dtype
    middle = twin.layers[2]
    assert (middle.zoneout, middle.reverse, middle.learn_h0, middle.reset_after) == (0.25, True, True, True)
    assert (middle.activate_reset, twin.layers[0].halves[1].se_hPars) == (cgru.tanh, {"LRELU_alpha": 0.2})
    assert twin.layers[0].halves[1].reverse
    with pytest.raises(ValueError, match="expected layers that train"):
        twin.fit(X, LABELS, epochs=1)
    twin.save(tmp_path / "again")
    np.testing.assert_array_equal(cgru.load(tmp_path / "again").predict(X), net.predict(X))


@pytest.mark.parametrize("kind", ["int8", "bfloat16"])
def test_a_quantised_network_of_tokens(tmp_path, kind):
    net = cgru.Network([cgru.Embedding(11, 4), cgru.GRU(5)], seed=1)
    tokens = RNG.integers(0, 11, (6, 5))
    net.predict(tokens)
    net = cgru.quantize(net, kind)
    net.save(tmp_path / "model.npz")
    twin = cgru.load(tmp_path / "model.npz")
    np.testing.assert_array_equal(twin.predict(tokens), net.predict(tokens))
    assert twin.layers[0].weights == kind
    assert twin.layers[0].p.keys() == net.layers[0].p.keys()
    rewritten(tmp_path / "model.npz", **{"0.E": np.zeros((11, 4))})
    refused(tmp_path / "model.npz", r"0.E: expected (int8|uint16) \(11, 4\), got float64")


def test_a_quantised_network_without_parameters_or_with_others(tmp_path):
    with pytest.raises(RuntimeError, match="got no Uz in layer 0"):
        cgru.Network([quantized(cgru.GRU(3))]).save(tmp_path / "model")
    net = quantised()
    net.layers[2].p["Vz"] = net.layers[2].p["Vz"][:2]
    with refuses(ValueError, "layers"):
        net.save(tmp_path / "model")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"2.Uz": None}, "2.Uz"),
        ({"2.scale_Uz": None}, "2.scale_Uz"),
        ({"0.backward.scale_Vr": None}, "0.backward.scale_Vr"),
        ({"0.forward.Uz": None}, "0.forward.Uz"),
        ({"2.Vz": np.zeros((5, 4), np.int8)}, "2.Vz: "),
        ({"2.Vz": np.zeros((5, 5), np.uint8)}, "2.Vz: "),
        ({"2.Vz": np.zeros((5, 5), np.uint16)}, "2.Vz: "),
        ({"2.Vz": np.zeros((5, 5), np.float32)}, "2.Vz: "),
        ({"2.scale_Vz": np.zeros((5, 1), np.float32)}, "2.scale_Vz: "),
        ({"2.scale_Vz": np.zeros((1, 5))}, "2.scale_Vz: "),
        ({"2.h0": np.zeros((1, 5))}, "2.h0: "),
        ({"4.b": np.zeros((1, 3))}, "4.b: "),
        ({"4.scale_b": np.zeros((1, 3))}, "unknown array, 4.scale_b"),
    ],
)
def test_wrong_arrays_of_a_quantised_network(tmp_path, changes, words):
    quantised().save(tmp_path / "model.npz")
    rewritten(tmp_path / "model.npz", **changes)
    refused(tmp_path / "model.npz", words)


@pytest.mark.parametrize(
    "change",
    [
        lambda layers: layers[0].pop("layer"),
        lambda layers: layers[0].update(layer=dict(layers[4])),
        lambda layers: layers[0]["layer"].update(units=3),
        lambda layers: layers[0]["layer"].update(weights="bfloat16"),
        lambda layers: layers[2].update(weights="int4"),
        lambda layers: layers[2].pop("weights") and layers[2].update(weights="bfloat16"),
        lambda layers: layers[2].update(x_bound=-1),
        lambda layers: layers[2].update(x_bound="1"),
        lambda layers: layers[2].update(x_bound=float("nan")),
        lambda layers: layers[2].update(units=10**12),
        lambda layers: layers[2].update(activate="softmax"),
        lambda layers: layers[2].update(stateful=True),
        lambda layers: layers[2].update(variant="layer_norm"),
        lambda layers: layers[3].update(weights="int8", x_bound=0.0),
        lambda layers: layers[2].pop("zoneout") and layers[2].update(zoneout=1),
        lambda layers: layers[2].pop("weights"),
        lambda layers: layers[4].update(units=4),
        lambda layers: layers[4].pop("weights"),
    ],
)
def test_wrong_descriptions_of_a_quantised_network(tmp_path, change):
    quantised().save(tmp_path / "model.npz")
    edited(tmp_path / "model.npz", lambda model: change(model["layers"]))
    refused(tmp_path / "model.npz")


def test_a_quantised_network_that_is_refused_takes_no_memory(tmp_path):
    quantised().save(tmp_path / "model.npz")
    edited(tmp_path / "model.npz", lambda model: model["layers"][2].update(units=10**9))
    tracemalloc.start()
    try:
        refused(tmp_path / "model.npz", "Vz: expected at most 133144 rows of int8, .*1000000000")
        assert tracemalloc.get_traced_memory()[1] < 3e7
    finally:
        tracemalloc.stop()
