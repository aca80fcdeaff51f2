"""Classes by their names, and samples as lists of arrays."""

import numpy as np
import pytest
from helpers import refuses
from network_cases import LABELS, LENGTHS, RNG, E, M, S, X, made, same, weights

import cgru

NAMES = np.array(["cat", "ape", "bee"])  # in no order
STRINGS = NAMES[LABELS]
PLACES = np.array([2, 0, 1])[LABELS]  # in sorted order


def kinds_of(strings):
    yield strings
    yield strings.astype(object)
    yield strings.tolist()
    pandas = pytest.importorskip("pandas")
    yield pandas.Series(strings)
    yield pandas.Series(strings, dtype="category")


def test_classes_without_names_are_numbers():
    for head, due in ((cgru.Dense(1, "sigmoid"), ("0", "1")), (cgru.Dense(3, "softmax"), ("0", "1", "2"))):
        assert cgru.Network([cgru.GRU(2), head]).data_spec.labels == due
    named = {"class_names": ["a", "b", "c"]}
    assert cgru.Network([cgru.GRU(2), cgru.Dense(3, "softmax")], **named).data_spec.labels == ("a", "b", "c")
    assert cgru.Network([cgru.GRU(2), cgru.Dense(2, "softmax")], classes=[-1, 1]).data_spec.labels == ("-1", "1")


def test_strings_train_as_their_places_do():
    due = made(class_names=("ape", "bee", "cat"))
    history = due.fit(X, PLACES, epochs=3, validation=(X[:9], PLACES[:9]), class_weight={2: 3.0})
    for strings in kinds_of(STRINGS):
        net = made()
        found = net.fit(X, strings, epochs=3, validation=(X[:9], strings[:9]), class_weight={"cat": 3.0})
        assert net.class_names == ("ape", "bee", "cat")
        assert found.validation_loss == history.validation_loss
        assert same(weights(net), weights(due))
        assert net.evaluate(X, strings) == due.evaluate(X, PLACES)
        assert set(net.predict_classes(X)) <= set(NAMES)


def test_names_that_the_network_has():
    net = made(class_names=("dog", "bee", "ape"))
    net.fit(X[:4], ["ape", "dog", "ape", "ape"], epochs=1)
    assert net.class_names == ("dog", "bee", "ape")
    due = made()
    due.fit(X[:4], np.array([2, 0, 2, 2]), epochs=1)
    assert same(weights(net), weights(due))


def test_two_classes_and_one_unit():
    net = made(cgru.Dense(1, "sigmoid"), optimizer=cgru.Adam(0.02))
    net.fit(X, np.where(LABELS == 1, "yes", "no"), epochs=60, batch_size=7)
    assert net.class_names == ("no", "yes")
    assert (net.predict_classes(X) == np.where(LABELS == 1, "yes", "no")).mean() > 0.8


def test_names_at_steps_where_padding_is_not_looked_at():
    y = NAMES[RNG.integers(0, 3, (M, S))]
    real = np.arange(S) < LENGTHS[:, None]
    for padding in ("", "cat"):
        net = cgru.Network([cgru.GRU(4, sequences=True), cgru.Dense(3, "softmax")], seed=1)
        net.fit(X, np.where(real, y, padding), lengths=LENGTHS, epochs=2)
        assert net.class_names == ("ape", "bee", "cat")
        due = cgru.Network([cgru.GRU(4, sequences=True), cgru.Dense(3, "softmax")], seed=1)
        due.fit(X, np.searchsorted(["ape", "bee", "cat"], y), lengths=LENGTHS, epochs=2)
        assert same(weights(net), weights(due))


# --- samples as lists, and as others store them ---


def test_sequences_of_one_long_step_are_asked_about():
    net = made()
    with pytest.warns(UserWarning, match=r"^X: 24 sequences of one step of 16 features; \(m, channels, steps\), as"):
        net.fit(RNG.standard_normal((M, 1, 16)), LABELS, epochs=1)
    net.fit(RNG.standard_normal((M, 1, 16)), LABELS, epochs=1)  # whoever saw it has heard it
    made().fit(RNG.standard_normal((M, 1, 15)), LABELS, epochs=1)


def test_a_list_of_arrays_is_padded():
    parts = [X[i, :n] for i, n in enumerate(LENGTHS)]
    due = made()
    due.fit(X, LABELS, lengths=LENGTHS, epochs=3, validation=(X[:5], LABELS[:5], LENGTHS[:5]))
    array = np.empty(M, object)
    array[:] = parts
    for given in (parts, tuple(parts), array, [part.tolist() for part in parts]):
        net = made()
        net.fit(given, LABELS, epochs=3, validation=(given[:5], LABELS[:5]))
        assert same(weights(net), weights(due))
        np.testing.assert_array_equal(net.predict(given), due.predict(X, LENGTHS))
        assert net.evaluate(given, LABELS) == due.evaluate(X, LABELS, LENGTHS)


def test_tokens_as_lists():
    tokens = [[1, 2, 3], [4], [0, 1]]
    net, due = (cgru.Network([cgru.Embedding(5, 2), cgru.GRU(3), cgru.Dense(2, "softmax")], seed=1) for _ in range(2))
    net.fit(tokens, [0, 1, 0], epochs=2)
    due.fit([[1, 2, 3], [4, 0, 0], [0, 1, 0]], [0, 1, 0], lengths=[3, 1, 2], epochs=2)
    assert same(weights(net), weights(due))


def test_classes_of_lists_at_steps():
    y = NAMES[RNG.integers(0, 3, (M, S))]
    parts, real = [X[i, :n] for i, n in enumerate(LENGTHS)], np.arange(S) < LENGTHS[:, None]
    net = cgru.Network([cgru.GRU(4, sequences=True), cgru.Dense(3, "softmax")], seed=1)
    net.fit(parts, np.where(real, y, ""), epochs=1)
    assert net.class_names == ("ape", "bee", "cat")
    said = net.predict_classes(parts)
    assert (said[~real] == "").all()
    np.testing.assert_array_equal(said, net.predict_classes(X, LENGTHS))


def test_one_unit_has_two_names():
    assert made(cgru.Dense(1), class_names=np.array(["no", "yes"])).class_names == ("no", "yes")


# --- the names of features ---


def test_names_of_elements_are_kept(tmp_path):
    names = [f"e{i}" for i in range(E)]
    for given in (names, tuple(names), np.array(names)):
        net = made(feature_names=given)
        assert net.feature_names == tuple(names)
    net.fit(X, LABELS, epochs=1)
    net.save(tmp_path / "named")
    assert cgru.load(tmp_path / "named").feature_names == tuple(names)
    assert cgru.quantize(net).feature_names == tuple(names)
    assert made().feature_names is None
    with np.load(tmp_path / "named") as archive:
        assert "feature_names" in str(archive["model"])
    net.feature_names = None
    net.save(tmp_path / "plain")
    with np.load(tmp_path / "plain") as archive:
        assert "feature_names" not in str(archive["model"])  # so that it is what it was before there were any
    assert cgru.load(tmp_path / "plain").feature_names is None
    net.feature_names = np.array(names)
    net.save(tmp_path / "named")
    assert cgru.load(tmp_path / "named").feature_names == tuple(names)


@pytest.mark.parametrize("attribute", ["feature_names", "class_names"])
def test_names_that_do_not_fit_get_into_no_file(tmp_path, attribute):
    net = made()
    net.make(X)
    for wrong, error in ((["a"], ValueError), ("abc", TypeError)):
        setattr(net, attribute, wrong)
        with pytest.raises(error, match=f"^{attribute}: expected "):
            net.save(tmp_path / "net")
    assert not list(tmp_path.iterdir())


def test_a_file_whose_names_do_not_fit_is_no_model(tmp_path):
    net = made(feature_names=("a", "b", "c", "d")[:E])
    net.make(X)
    net.save(tmp_path / "net")
    with np.load(tmp_path / "net") as archive:
        arrays = dict(archive)
    arrays["model"] = np.array(str(arrays["model"]).replace('["a", ', "["))
    with open(tmp_path / "few", "wb") as file:
        np.savez(file, **arrays)
    with pytest.raises(ValueError, match=rf"few is not a cgru model: feature_names: expected {E} different names, got"):
        cgru.load(tmp_path / "few")


def test_as_many_features_as_names():
    assert made(feature_names=["a"]).predict(X[..., :1]).shape[0] == M


# --- values of classes ---

VALUES = [
    np.array([1, 2, 3]),
    np.array([-1, 1, 4], np.int8),
    np.array([10, 20, 30], ">i4"),
    np.array([0, 2, 3], np.uint64),
    np.array([False, True]),
    np.array([0.5, 1.0, 2.25], np.float32),
    np.array(["b", "a", "c d"], "U9"),
    np.array(["b", "a\0", "ü"], object),
]


@pytest.mark.parametrize("values", VALUES, ids=lambda values: values.dtype.str)
def test_classes_come_back_as_their_own_values(tmp_path, values):
    k = len(values)
    places = LABELS % k
    due = made(cgru.Dense(k, "softmax"))
    options = {"epochs": 3, "validation": (X[:9], places[:9]), "class_weight": {0: 3.0}}
    history = due.fit(X, places, **options)
    net = made(cgru.Dense(k, "softmax"), classes=values)
    y = values[places]
    options |= {"validation": (X[:9], y[:9]), "class_weight": {values.tolist()[0]: 3.0}}
    assert net.fit(X, y, **options).validation_loss == history.validation_loss
    assert same(weights(net), weights(due))
    assert net.class_names is None
    net.save(tmp_path / "net.npz")
    with np.load(tmp_path / "net.npz", allow_pickle=False) as npz:
        assert all(npz[name].dtype.kind in "fiU" for name in npz.files)
    for twin in (net, cgru.load(tmp_path / "net.npz"), cgru.quantize(net)):
        found = twin.predict_classes(X)
        assert found.dtype == values.dtype
        assert twin.classes.tolist() == values.tolist()
        if not twin.layers[0].weights:
            np.testing.assert_array_equal(found, values[due.predict_classes(X)])
    twin = cgru.load(tmp_path / "net.npz")
    assert twin.evaluate(X, y) == due.evaluate(X, places)
    assert twin.evaluate(X, y.tolist()) == due.evaluate(X, places)
    assert twin.evaluate(X, np.eye(k)[places]) == due.evaluate(X, np.eye(k)[places])
    twin.fit(X, y, epochs=1)
    batches = made(cgru.Dense(k, "softmax"), classes=values)
    batches.fit([(X, y)], epochs=1)


def test_classes_of_other_numbers():
    net = made(classes=[1, 2, 4])
    net.fit(X, np.array([1, 2, 4])[LABELS], epochs=1)
    assert net.evaluate(X, np.array([1.0, 2.0, 4.0])[LABELS])["loss"] > 0  # the same in another dtype
    one = made(cgru.Dense(1, "sigmoid"), classes=[-1, 1])
    one.fit(X, np.where(LABELS == 1, 1, -1), epochs=1)
    assert set(one.predict_classes(X)) <= {-1, 1}


def test_large_classes_of_another_dtype_are_told_apart():
    """NumPy compares int64 with uint64 as floats, which do not hold them all."""
    values = 2**53 + np.arange(3, dtype=np.int64)
    net = made(classes=values)
    net.fit(X, values[LABELS], epochs=1)
    y = values[LABELS].astype(np.uint64)
    assert net.evaluate(X, y) == net.evaluate(X, values[LABELS])
    with pytest.raises(ValueError, match=rf"^y: expected classes, .*, got {2**53 + 3}$"):
        net.evaluate(X, y + np.uint64(1))


def test_classes_at_steps():
    net = cgru.Network([cgru.GRU(2, sequences=True), cgru.Dense(2, "softmax")], classes=["b", "a"], seed=0)
    y = np.where(np.arange(M * S).reshape(M, S) % 3 == 1, "a", "b")
    y[np.arange(S) >= LENGTHS[:, None]] = "?"
    net.fit(X, y, lengths=LENGTHS, epochs=1)
    found = net.predict_classes(X, LENGTHS)
    assert set(found[np.arange(S) >= LENGTHS[:, None]]) <= {""}


def test_objects_that_cannot_be_saved(tmp_path):
    net = made()
    net.fit(X, LABELS, epochs=1)
    net.classes = np.array([None, 1, "a"], object)
    with pytest.raises(TypeError, match=r"^classes: .* got NoneType, int, str$"):
        net.save(tmp_path / "net.npz")
    assert list(tmp_path.iterdir()) == []


def test_several_binary_outputs_stay_numbers_whatever_they_are_called():
    net = cgru.Network([cgru.GRU(2), cgru.Dense(3, "sigmoid")], class_names=["a", "b", "c"], seed=0)
    found = net.predict_classes(np.zeros((4, 2, 1)))
    assert (found.shape, found.dtype.kind) == ((4, 3), "i")


TWO = np.where(LABELS == 1, "a", "b")
STEPS = [cgru.GRU(2, sequences=True), cgru.Dense(2, "softmax")]
DOGS = {"class_names": ("dog", "bee", "ape")}


@pytest.mark.parametrize(
    ("options", "given", "error", "argument"),
    [  # y, or the arguments of `fit`
        ({}, {"y": TWO}, ValueError, "y: .* class_names says which are missing"),
        ({}, {"y": np.arange(M).astype(str)}, ValueError, "y: .*'16', ...; N classes need a head of N units"),
        ({}, {"y": (np.arange(M) % 9).astype(str)}, ValueError, "y: .* got 9, .*'8'; N classes need a head of N units"),
        ({"head": cgru.Dense(1, "identity")}, {"y": STRINGS}, TypeError, "y: expected real numbers, got dtype <U3"),
        ({"head": cgru.Dense(3, "sigmoid")}, {"y": STRINGS}, TypeError, "y: expected real numbers, got dtype <U3"),
        ({}, {"y": [["a"], ["b", "c"]]}, (TypeError, ValueError), "y: "),
        ({}, {"class_weight": {"cat": 1.0}}, ValueError, "class_weight: .* got 'cat'"),
        ({"class_names": ("a", "b", "c")}, {"class_weight": {"cat": 1.0}}, ValueError, "class_weight: .*a, b, c, or"),
        ({"classes": [1, 2, 4]}, {"class_weight": {0: 1.0}, "y": LABELS + 1}, ValueError, "y: .* got 3"),
        ({"classes": [1, 2, 3]}, {"class_weight": {0: 1.0}, "y": LABELS + 1}, ValueError, "class_weight: .* got 0"),
        ({"classes": [1, 2, 4]}, {}, ValueError, "y: .* got 0"),
        ({"classes": [1, 2, 4]}, {"y": LABELS + 0.5}, ValueError, "y: .* got 0.5"),
        (DOGS, {"y": STRINGS}, ValueError, "y: .* got 'cat'"),
        (DOGS, {"y": ["dog"] * M, "validation": (X[:1], ["zoo"])}, ValueError, "validation y: .* got 'zoo'"),
        ({}, {"X": [X[0, :2], X[1, :3, :2]], "y": [0, 1]}, ValueError, r"X\[1\]: .* got \(3, 2\)"),
        ({}, {"X": [X[0, :2], X[1, :0]], "y": [0, 1]}, ValueError, r"X\[1\]: .* got \(0, 3\)"),
        ({}, {"X": [X[0, :2], X[1, :3]], "y": [0, 1], "lengths": [2, 3]}, ValueError, "lengths: "),
        ({}, {"X": [X[0, :2, 0], X[1, :3, 0]], "y": [0, 1]}, ValueError, r"X: .* got \(2, 3\)"),
        ({}, {"X": [[[1, 2], [3]], [[4, 5], [6]]], "y": [0, 1]}, ValueError, "X: .* got a list of different"),
        ({"feature_names": ["a"]}, {}, ValueError, "X: "),
    ],
)
def test_a_fit_that_is_refused_touches_nothing(options, given, error, argument):
    net = made(**options)
    with pytest.raises(error, match=f"^{argument}"):
        net.fit(**{"X": X, "y": LABELS} | given)
    assert net.class_names == options.get("class_names")
    assert not net.head.p


NO_CLASSES = ("sigmoid", "identity")
NO_NAMES = {
    TypeError: {
        "class_names": ("abc", [1, "b", 2.5]), "feature_names": ("abc", {"a"}, ["a", 1]),
        "classes": (
            [1, "a", 2.5], [None, 1, "a"], np.array(["2024-01-01"] * 3, "M8[D]"), np.arange(3, dtype=np.longdouble),
            [1j, 2, 3],
        ),
    },
    ValueError: {
        "class_names": (["a", "b"], ["a", "b", "b"]), "feature_names": (["a", "a"], []),
        "classes": ([1, 2], [1, 2, 2], [1.0, 2.0, np.nan]),
    },
}  # fmt: skip


@pytest.mark.parametrize(("error", "name"), [(error, name) for error in NO_NAMES for name in NO_NAMES[error]])
def test_names_and_classes_that_are_refused(error, name):
    for value in NO_NAMES[error][name]:
        with refuses(error, name):
            made(cgru.Dense(3, "softmax"), **{name: value})
    for head, options in (("identity", {"class_names": [*"abc"]}), *((h, {"classes": [1, 2, 3]}) for h in NO_CLASSES)):
        with refuses(ValueError, *options):
            made(cgru.Dense(3, head), **options)


def test_other_networks_that_take_no_names_or_classes():
    for layers, options, argument in (
        ([cgru.GRU(2), cgru.Dense(1)], {"class_names": ["no"]}, "class_names"),
        (STEPS, {"classes": [1, 2]}, "classes"),
        ([cgru.GRU(2)], {"classes": [1, 2]}, "loss"),
    ):
        with pytest.raises(ValueError, match=f"^{argument}: expected"):
            cgru.Network(layers, **options)
    net = made()
    net.fit(X, LABELS, epochs=1)
    with refuses(TypeError, "y"):
        net.evaluate(X, STRINGS)
