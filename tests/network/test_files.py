"""The model file: what comes back, and what is refused."""

import io
import json
import pickle
import tracemalloc
import zipfile

import numpy as np
import pytest
from file_cases import LABELS, LENGTHS, X, edited, made, member, refused, rewritten, with_member
from helpers import assert_all_same, refuses

import cgru
from cgru.network import files, read_extra
from cgru.variant import VARIANTS

# --- what comes back ---


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("standardize", [False, True])
def test_a_loaded_network_is_the_same(tmp_path, dtype, standardize):
    net = made(dtype)
    net.fit(X, LABELS, lengths=LENGTHS, epochs=2, standardize=standardize)
    net.layers[0].trainable = False
    net.save(tmp_path / "model")
    twin = cgru.load(tmp_path / "model")
    np.testing.assert_array_equal(twin.predict(X, LENGTHS), net.predict(X, LENGTHS))
    assert twin.predict(X).dtype == dtype
    assert twin.evaluate(X, LABELS, LENGTHS) == net.evaluate(X, LABELS, LENGTHS)
    assert twin.predict_classes(X).tolist() == net.predict_classes(X).tolist()
    for name in ("loss", "class_names", "seed"):
        assert getattr(twin, name) == getattr(net, name)
    assert (twin.mean is None) == (not standardize)
    for ours, theirs in zip(net.layers, twin.layers, strict=True):
        assert list(ours.p) == list(theirs.p)
        for name in ("activation", "initialization", "dtype", "trainable"):
            assert getattr(theirs, name) == getattr(ours, name)
        assert theirs.d["u"] == ours.d["u"]
    assert twin.layers[0].se_hPars == {"LRELU_alpha": 0.2}
    assert [layer.sequences for layer in twin.layers[:2]] == [True, False]
    assert [layer.clip_gradients for layer in twin.layers[:2]] == [False, True]


def test_a_loaded_network_can_be_fitted_further(model):
    _, path = model
    first, second = cgru.load(path), cgru.load(path)
    histories = [twin.fit(X, LABELS, lengths=LENGTHS, epochs=20).loss for twin in (first, second)]
    assert histories[0] == histories[1]
    assert histories[0][-1] < histories[0][0]
    np.testing.assert_array_equal(first.predict(X), second.predict(X))


def test_an_unfitted_network_that_has_seen_data(tmp_path):
    net = made(seed=None)
    with pytest.raises(RuntimeError, match="fit or predict first"):
        net.save(tmp_path / "model")
    assert not list(tmp_path.iterdir())
    A = net.predict(X)
    net.save(tmp_path / "model")
    np.testing.assert_array_equal(cgru.load(tmp_path / "model").predict(X), A)


def test_the_file_says_what_it_is(model):
    net, path = model
    with np.load(path, allow_pickle=False) as npz:
        assert npz["format"] == files.FORMAT
        description = json.loads(str(npz["model"]))
        np.testing.assert_array_equal(npz["1.Vhh"], net.layers[1].p["Vhh"])
        np.testing.assert_array_equal(npz["mean"], net.mean)
    assert [layer["class"] for layer in description["layers"]] == ["GRU", "GRU", "Dense"]
    assert description["layers"][0]["variant"] == "reset_before"
    assert description["layers"][1]["activate_reset"] == "identity"


@pytest.mark.parametrize("variant", VARIANTS)
@pytest.mark.parametrize("twins", [False, True])
def test_every_variant(tmp_path, variant, twins):
    layer = of_variant(variant, 4, zoneout=0.25, dtype=np.float32)
    net = cgru.Network([cgru.Bidirectional(layer, "mul") if twins else layer])
    due = net.predict(X)
    for value in layer.p.values():
        value += 0.125
    due = net.predict(X)
    net.save(tmp_path / "model")
    with np.load(tmp_path / "model") as npz:
        (description,) = json.loads(str(npz["model"]))["layers"]
    description = description.get("layer", description)
    assert description["variant"] == variant
    assert description["units"] == 4
    assert description["zoneout"] == 0.25
    twin = cgru.load(tmp_path / "model")
    np.testing.assert_array_equal(twin.predict(X), due)
    assert getattr(twin.layers[0], "forward_layer", twin.layers[0]).variant is VARIANTS[variant]


def of_variant(variant, units, **options):
    """A GRU of the variant of that name."""
    return cgru.GRU(units, **options, **({} if variant == "reset_before" else {variant: True}))


def test_what_tools_keep_in_a_model_file(tmp_path):
    path, extra = tmp_path / "net.npz", {"columns": {"id": ["a"]}, "n": 1.5}
    net = cgru.Network([cgru.GRU(2), cgru.Dense(2, "softmax")], seed=0)
    net.make(X)
    net.save(path, extra)
    assert read_extra(path) == extra
    cgru.load(path).save(path)  # a network knows nothing of it
    assert read_extra(path) == {}
    with refuses(ValueError, "extra"):
        net.save(path, {"n": "x" * files.LONGEST})
    for text in ("[1]", "{", "1"):
        net.save(path)
        with np.load(path) as npz:
            np.savez(path, **npz, extra=np.array(text))
        cgru.load(path)  # which does not read it
        with pytest.raises(ValueError, match="is not a cgru model"):
            read_extra(path)


def test_names_of_targets(tmp_path):
    layers = [cgru.GRU(2), cgru.Dense(4, "identity")]
    net = cgru.Network(layers, "gaussian", target_names=["y", "z"], seed=0)
    net.make(X)
    net.save(tmp_path / "net.npz")
    with np.load(tmp_path / "net.npz") as npz:
        assert npz["format"] == files.FORMAT
    assert cgru.load(tmp_path / "net.npz").target_names == ("y", "z")
    assert cgru.losses.named("gaussian").output_names(("y",)) == ["y_mean", "y_log_variance"]
    assert cgru.losses.named("quantile(0.1, 0.9)").output_names(("y", "z")) == ["y_0.1", "y_0.9", "z_0.1", "z_0.9"]
    assert cgru.losses.named("poisson").output_names(("y",)) == ["y_log_rate"]
    assert cgru.losses.named("huber").output_names(("y", "z")) == ["y", "z"]
    for names, words in ((["y"], "expected 2 different names, got"), (["y", "y"], "expected 2 different names, got")):
        with pytest.raises(ValueError, match=f"^target_names: {words}"):
            cgru.Network(layers, "gaussian", target_names=names)
    with refuses(TypeError, "target_names"):
        cgru.Network(layers, "gaussian", target_names=[1, 2])
    with refuses(ValueError, "target_names"):
        cgru.Network([cgru.GRU(2), cgru.Dense(2, "softmax")], target_names=["y"])


@pytest.mark.parametrize(
    "array", [np.array(["a", "bc"], object), np.array(["a", "bc"]), np.array([[1.5], [2]]), [True]]
)
def test_arrays_in_json(array):
    text = json.loads(json.dumps(files.array_to_json(array, "x")))
    found = files.array_from_json(text)
    np.testing.assert_array_equal(found, array)
    assert (found.dtype, found.shape) == (np.asarray(array).dtype, np.shape(array))


def test_a_model_without_a_file():
    net = made()
    net.make(X)
    layers, settings, none = files.unpack(
        files.pack(net.layers, {name: getattr(net, name) for name in files.SETTINGS}, {})
    )
    assert (settings["class_names"], none) == (list(net.class_names), {})
    for ours, theirs in zip(net.layers, layers, strict=True):
        assert_all_same(theirs.p, ours.p)


# --- what is refused ---


def test_what_json_does_not_have():
    for array, got in (([None, 1], "NoneType"), (np.zeros(2, complex), "complex128"), (b"ab", r"\|S2")):
        with pytest.raises(TypeError, match=f"^x: expected booleans, numbers of up to 64 bits or strings to .* {got}$"):
            files.array_to_json(array, "x")


@pytest.fixture
def labelled(tmp_path):
    """A network with all that a file may hold, and its file."""
    net = cgru.Network([cgru.GRU(2), cgru.Dense(3, "softmax")], classes=[1, 2, 4], seed=0)
    net.fit(X, np.array([1, 2, 4])[LABELS], epochs=1, validation=0.2)
    net.save(tmp_path / "model.npz")
    return net, tmp_path / "model.npz"


def test_damaged_classes(labelled):
    _, path = labelled
    whole = path.read_bytes()
    for wrong in (
        {"dtype": "M8[D]"}, {"dtype": "M8"}, {"shape": [4]}, {"shape": [-1]}, {"shape": [3] + [1] * 99},
        {"shape": [10**9, 0], "values": []}, {"values": [[1] * 999] * 3}, {"values": {"a": 1}},
        {"values": ["1", "2", "3"]}, {"values": [1, 2, 3], "dtype": "O"}, {"values": ["a", "b", "c"], "dtype": "U"},
        {"dtype": ["<i8"]}, {"dtype": None}, {"values": [1, 2, 10**400]},
        {"values": [1, 2, 10**400], "dtype": "<f8"}, {"values": ["a", "b", "c"], "dtype": "<U5592406"},
        {"values": [1, 2, 2]},
    ):  # fmt: skip
        path.write_bytes(whole)
        edited(path, lambda model: model["classes"].update(wrong))  # noqa: B023
        refused(path)
    for change in (
        lambda model: model["classes"].pop("values"),
        lambda model: model.update(classes=3),
        lambda model: model.update(target_names=["y"]),
    ):
        path.write_bytes(whole)
        edited(path, change)
        refused(path)


def test_what_is_wrong_is_told_in_short(model):
    _, path = model
    edited(path, lambda model: model.update({"a" * 1_000_000: 1}))
    with pytest.raises(ValueError, match="model: ") as caught:
        cgru.load(path)
    assert len(str(caught.value)) < 2500


def test_missing_files_and_folders(tmp_path):
    with pytest.raises(FileNotFoundError):
        cgru.load(tmp_path / "nowhere.npz")
    with pytest.raises(OSError, match=tmp_path.name):
        cgru.load(tmp_path)


def test_foreign_files(tmp_path):
    path = tmp_path / "file.npz"
    for content in (b"", b"PK", b"PK\x03\x04", b"hello\n", b"\x93NUMPY", bytes(1000), pickle.dumps({"a": 1})):
        path.write_bytes(content)
        refused(path)
    with open(path, "wb") as file:
        np.save(file, X)
    refused(path, "no .npz")
    np.savez(path, x=X)
    refused(path, "format")
    np.savez(path, format=np.array(1), x=X)
    refused(path, "model.* missing")
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("format", "1")
    refused(path)
    np.savez(path, format=np.array({"a": 1}, dtype=object))
    refused(path, "format: expected a plain array .* got dtype object")


def test_newer_formats_and_variants(model):
    _, path = model
    edited(path, lambda model: model["layers"][0].update(variant="reset_inside"))
    refused(path, "variant: expected one of reset_before, reset_after, layer_norm, got 'reset_inside'")
    rewritten(path, format=np.array(3))
    refused(path, "format 3 is newer than 1")
    for number in (np.array(0), np.array(1.0), np.array([1]), np.array("1")):
        rewritten(path, format=number)
        refused(path, "format")


@pytest.mark.parametrize(
    "changes",
    [
        {"0.Uz": None}, {"2.b": None}, {"1.Vz": np.zeros((5, 4))}, {"0.Uz": np.zeros(3)}, {"0.Uz": np.array(3.0)},
        {"2.W": np.zeros((5, 3), np.float32)}, {"2.W": np.zeros((4, 3))}, {"1.bz": np.zeros((1, 5), complex)},
        {"3.W": np.zeros((5, 3))}, {"mean": None}, {"scale": np.ones(4)}, {"mean": np.zeros(3, np.float32)},
        {"model": np.array("{")}, {"model": np.array("[]")}, {"model": np.array("null")}, {"model": np.zeros(3)},
    ],
)  # fmt: skip
def test_wrong_arrays(model, changes):
    _, path = model
    rewritten(path, **changes)
    refused(path)


@pytest.mark.parametrize(
    "change",
    [
        lambda model: model.pop("layers"),
        lambda model: model.pop("loss"),
        lambda model: model.update(loss="hinge"),
        lambda model: model.update(layers=[]),
        lambda model: model.update(layers=3),
        lambda model: model["layers"].reverse(),
        lambda model: model["layers"].pop(),
        lambda model: model.update(class_names=["a"]),
        lambda model: model.update(seed="x"),
        lambda model: model.update(foreign=1),
        lambda model: model["layers"].insert(1, {"class": "Flip", "trainable": False, "foreign": 1}),
        lambda model: model["layers"][0].update({"class": "LSTM"}),
        lambda model: model["layers"][0].update(units=0),
        lambda model: model["layers"][0].update(units=10**12),
        lambda model: model["layers"][0].update(activate="eval"),
        lambda model: model["layers"][0].update(initialization=["orthogonal"]),
        lambda model: model["layers"][0].update(dtype="object"),
        lambda model: model["layers"][0].update(sequences=False),
        lambda model: model["layers"][0].update(rng=3, foreign=4),
        lambda model: model["layers"][0].pop("variant"),
        lambda model: model["layers"][2].pop("units"),
        lambda model: model["layers"][2].pop("trainable"),
        lambda model: model["layers"][0].pop("dtype"),
        lambda model: model["layers"][0].pop("sequences"),
        lambda model: model["layers"][0].update(sequences=1),
        lambda model: model["layers"][0].update(trainable="yes"),
        lambda model: model["layers"][0].update(rng=3),
        lambda model: model["layers"][0].update(se_hPars={"LRELU_alpha": "x"}),
        lambda model: model["layers"][0].update(se_hPars={"beta": 1}),
        lambda model: model["layers"][0].update(variant=["reset_after"]),
        lambda model: model["layers"][2].update(variant="reset_before"),
        lambda model: model["layers"][2].update(merge="sum"),
        lambda model: model.update(layers=["GRU"]),
        lambda model: model.update(layers={}),
        lambda model: model.update(layers=[{"class": "Flip", "trainable": False}]),
        lambda model: model["layers"].insert(
            0, {"class": "Bidirectional", "merge": "sum", "layer": {"class": "Bidirectional"}}
        ),
    ],
)
def test_wrong_descriptions(model, change):
    _, path = model
    edited(path, change)
    refused(path)


ZEROS = bytes(1 << 26)


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (lambda path: with_member(path, "0.Uz", member((10**8, 0))), "0.Uz is said to be .* rows of nothing"),
        (lambda path: with_member(path, "0.Uz", member((10**8, 4))), "0.Uz is said to be"),
        (lambda path: with_member(path, "3.W", member((1 << 23,)) + ZEROS, zipfile.ZIP_DEFLATED), "3.W is compressed"),
        (lambda path: with_member(path, "3.W", member((1 << 23,)) + ZEROS), "an unknown array, 3.W"),
        (lambda path: with_member(path, "2.W", member((1 << 21, 4)) + ZEROS), "2.W: "),
        (lambda path: with_member(path, "model", member((), "<U16777216") + ZEROS), "model: "),
        (lambda path: with_member(path, "mean", member((1 << 23,)) + ZEROS), "mean: "),
        (lambda path: rewritten(path, model=np.array("[" * 1_000_000)), "nested too deeply"),
        (lambda path: rewritten(path, model=np.array('{"a":' * 200_000)), "nested too deeply"),
        (lambda path: edited(path, lambda model: model["layers"][0].update(units=10**9)), "0.Uz: "),
        (lambda path: edited(path, lambda model: model["layers"][2].update(units=10**9)), "2.W: "),
    ],
    ids=range(11),
)
def test_what_is_refused_takes_no_memory(model, spoil, words):
    """No array is read before all are known to be due: tracemalloc sees what NumPy takes."""
    _, path = model
    spoil(path)
    tracemalloc.start()
    try:
        refused(path, words)
        assert tracemalloc.get_traced_memory()[1] < 3e7
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"layer": {"class": "Bidirectional"}}, "layer: "),
        ({"foreign": 1}, "Bidirectional: "),
        ({"merge": "least"}, "merge: "),
    ],
)
def test_wrong_twins(tmp_path, changes, words):
    net = cgru.Network([cgru.Bidirectional(cgru.GRU(2))])
    net.predict(X)
    net.save(tmp_path / "model.npz")
    edited(tmp_path / "model.npz", lambda model: model["layers"][0].update(changes))
    refused(tmp_path / "model.npz", words)


def test_nothing_of_a_pickle_is_run(tmp_path):
    class Trap:
        def __reduce__(self):
            return (pytest.fail, ("a pickle was loaded",))

    array = np.empty(1, object)
    array[0] = Trap()
    buffer = io.BytesIO()
    np.lib.format.write_array(buffer, array, allow_pickle=True)
    path = tmp_path / "trap.npz"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("format.npy", buffer.getvalue())
    refused(path, "got dtype object")


def test_a_loss_of_the_users_own_is_refused_and_one_by_name_comes_back(tmp_path):
    for loss in (lambda A, Y: (A[:, 0], A), "quantile(0.1, 0.5, 0.9)", "huber(0.25)"):
        net = cgru.Network([cgru.GRU(2), cgru.Dense(3, "identity")], loss=loss, seed=1)
        net.predict(np.zeros((1, 2, 3)))
        if callable(loss):
            with refuses(ValueError, "loss"):
                net.save(tmp_path / "own.npz")
            assert list(tmp_path.iterdir()) == []
        else:
            net.save(tmp_path / "net.npz")
            assert cgru.load(tmp_path / "net.npz").loss == loss


def test_arrays_in_descriptions_have_room_for_so_much(monkeypatch):
    monkeypatch.setattr(files, "MOST_BYTES", 64)
    for n, length in ((1, 16), (2, 8), (0, 16)):
        text = {"dtype": f"<U{length}", "shape": [n], "values": ["a"] * n}
        assert files.array_from_json(text).tolist() == ["a"] * n
        with pytest.raises(ValueError, match="dtype: "):
            files.array_from_json(text | {"dtype": f"<U{length + 1}"})
