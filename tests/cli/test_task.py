"""What a data set asks to learn, the targets as a network takes them, and the units of a regression's targets."""

import numpy as np
import pytest

import cgru
from cgru.cli import task
from cgru.cli.arguments import RequestError
from cgru.cli.task import Task, at_steps, choose_network, targets, task_of
from cgru.core.lengths import mask
from cgru.datasets import Dataset, Split
from cgru.estimators.recipe import Recipe

rng = np.random.default_rng(0)
X = rng.standard_normal((30, 4, 2))
Y = np.stack([1e6 + 1e3 * X.sum(axis=(1, 2)), 1e-3 * X[:, 0, 0], np.full(30, 7.0)], axis=1)


LENGTHS = np.array([4, 1, 3])
CLASSES = np.array([3, 5, 3])


def split(y, lengths=None, X=X[:3]):
    return Split(cgru.Sequences(X, lengths), None if y is None else np.asarray(y))


def refused(words, call, *arguments):
    with pytest.raises(RequestError, match=words):
        call(*arguments)


# --- what is asked ---


@pytest.mark.parametrize(
    ("y", "given", "names", "train"),
    [
        ([3, 5, 3], None, ("3", "5"), [0, 1, 0]),
        ([10, 9, 10], None, ("9", "10"), [1, 0, 1]),
        (["b", "a", "b"], None, ("a", "b"), [1, 0, 1]),
        (["b", "a", "b"], ("b", "c", "a"), ("b", "c", "a"), [0, 2, 0]),
        ([2, 0, 2], ("b", "c", "a"), ("b", "c", "a"), [2, 0, 2]),
        ([True, False, True], None, ("False", "True"), [1, 0, 1]),
    ],
)
def test_classes(y, given, names, train):
    task = task_of(Dataset(split(y), None, given), "here")
    assert task.names == names
    assert task.train.tolist() == train
    assert task.test is None
    both = task_of(Dataset(split(y), split(y[::-1]), given), "here")
    assert both.test.tolist() == train[::-1]


def test_classes_at_steps():
    y = np.array([["a", "b", "a", "a"], ["b", "?", "?", "?"], ["a", "a", "b", "?"]])
    task = task_of(Dataset(split(y, LENGTHS), split(y[:1], X=X[:1]), None), "here")
    assert task.names == ("a", "b")
    assert task.train.tolist() == [[0, 1, 0, 0], [1, 0, 0, 0], [0, 0, 1, 0]]
    assert task.test.tolist() == [[0, 1, 0, 0]]
    assert at_steps(task.train)
    assert not at_steps(np.zeros((3, 4)))
    assert not at_steps(CLASSES)


def test_numbers():
    for shape in ((3,), (3, 1), (3, 2)):
        y = np.linspace(0.5, 2, np.prod(shape)).astype(np.float32).reshape(shape)
        task = task_of(Dataset(split(y), split(y[:1]), None), "here")
        assert task.names is None
        assert task.train.dtype == np.float64
        np.testing.assert_array_equal(task.train, y)
        np.testing.assert_array_equal(task.test, y[:1])


@pytest.mark.parametrize(
    ("train", "test", "given", "words"),
    [
        (None, split(CLASSES), None, "^here: train_x is missing"),
        (split(None), None, None, "^here: y is missing"),
        (split(None), split(CLASSES), None, "^here: train_y is missing"),
        (split([7, 7, 7]), None, None, "^here: y: expected at least two classes, got 7 alone"),
        (split(CLASSES), split(CLASSES / 2), None, r"^here: test_y: .* train_y, int64 \(m,\), got float64 \(3,\)"),
        (split(CLASSES / 2), split(CLASSES), None, r"^here: test_y: .*, float64 \(m,\), got int64 \(3,\)"),
        (split(np.ones((3, 2))), split(np.ones((3, 1))), None, r"^here: test_y: .*, float64 \(m, 2\), got .* \(3, 1\)"),
        (split(np.ones((3, 4), int)), split(CLASSES), None, r"^here: test_y: .*, int64 \(m, 4\)"),
        (split([1.0, np.inf, 0]), None, None, "^here: y: expected finite"),
        (split([1.0, -2e30, 0]), None, None, r"^here: y: expected finite numbers up to 1e30, got -2e\+30"),
        (split(CLASSES), split([3, 4, 3]), None, "^here: test_y: expected the classes 3, 5, got 4$"),
        (split([0, 1, 0]), split([0, 2, 0]), ("a", "b", "c"), "^here: test_y: expected the classes a, b, got c$"),
        (split([0, -1, 0]), None, ("a", "b"), "^here: y: expected the classes a, b, got -1$"),
        (split([0, 2, 0]), None, ("a", "b"), "^here: y: expected the classes a, b, got 2$"),
        (split([0, -1, 0]), split([0, 0, 0]), ("a", "b"), "^here: train_y: expected the classes a, b, got -1$"),
        (split(["x", "b", "a"]), None, tuple("abcdefghijklmn"), "expected the classes a, b, .*, l, ..., got x$"),
        (split(CLASSES), split(CLASSES / 2), "new", r"^new: y: .* y in here, int64 \(m,\), got float64 \(3,\)"),
        (split(CLASSES), split([3, 4, 3]), "new", "^new: y: expected the classes 3, 5, got 4$"),
        (split(None), split(CLASSES), "new", "^here: y is missing"),
        (split([1.0, np.inf, 0]), split([1.0, 2, 3]), "new", "^here: y: expected finite"),
    ],
)
def test_what_cannot_be_learned(train, test, given, words):
    """`given` are the names of classes, or "new", the file of the test split."""
    known, tested = (None, given) if given == "new" else (given, None)
    refused(words, task_of, Dataset(train, test, known), "here", tested)


def test_numbers_that_are_just_small_enough():
    assert task_of(Dataset(split([1.0, -1e30, 0]), None, None), "here").train.min() == -1e30


def test_padding_is_not_looked_at():
    X3 = np.where(mask(LENGTHS, X.shape[1]), X[:3], np.nan)
    assert task_of(Dataset(split(CLASSES), split(CLASSES, LENGTHS, X3), None), "here").names == ("3", "5")


# --- the targets of a model ---


def model(*layers, **options):
    return cgru.Network([*(layers or [cgru.GRU(2), cgru.Dense(2, cgru.softmax)])], **options)


def of(names=None):
    """A data set with these names of classes."""
    return Dataset(None, None, names)


def test_names_of_classes():
    assert model(class_names=["no", "yes"]).data_spec.labels == ("no", "yes")
    assert model().data_spec.labels == ("0", "1")
    assert model(cgru.GRU(2), cgru.Dense(1)).data_spec.labels == ("0", "1")
    assert model(cgru.GRU(2), cgru.Dense(3, cgru.softmax)).data_spec.labels == ("0", "1", "2")


@pytest.mark.parametrize(
    ("names", "y", "given", "due"),
    [
        (["no", "yes"], ["yes", "no", "yes"], None, [1, 0, 1]),
        (["no", "yes"], [0, 1, 0], ["yes", "no"], [1, 0, 1]),
        (["3", "-5"], [-5, 3, 3], None, [1, 0, 0]),
        (None, [1, 0, 1], None, [1, 0, 1]),
    ],
)
def test_classes_meet_by_name(names, y, given, due):
    assert targets(model(class_names=names), split(y), of(given), "here").tolist() == due


def test_targets_at_steps():
    y = np.array([["a", "b", "a", "a"], ["b", "?", "?", "?"], ["a", "a", "b", "?"]])
    net = model(cgru.GRU(2, sequences=True), cgru.Dense(2, cgru.softmax), class_names=["a", "b"])
    assert targets(net, split(y, LENGTHS), of(), "here").tolist() == [[0, 1, 0, 0], [1, 0, 0, 0], [0, 0, 1, 0]]
    refused(r"^here: y: expected a class for each step, \(m, s\), .*\(3,\)", targets, net, split(y[:, 0]), of(), "here")
    refused(
        r"^here: y: expected a class for each sequence, \(m,\), .*\(3, 4\)", targets, model(), split(y), of(), "here"
    )


def test_targets_of_a_regression():
    net = model(cgru.GRU(2), cgru.Dense(1, cgru.identity))
    assert targets(net, split([1.0, 2.0, 3.0]), of(), "here").tolist() == [1, 2, 3]
    refused(
        "^here: y: expected real numbers.* int64; --task regression takes them for numbers$",
        targets,
        net,
        split(CLASSES),
        of(),
        "here",
    )


def test_classes_that_are_numbers_are_scored_as_their_values():
    net = model(classes=[5, 7])
    assert net.data_spec.labels == ("5", "7")
    assert targets(net, split([7, 5, 7]), of(), "here").tolist() == [7, 5, 7]
    assert targets(net, split(["7", "5", "7"]), of(), "here").tolist() == [7, 5, 7]
    refused("^here: y: expected the classes 5, 7, got 0, 1$", targets, net, split([0, 1, 0]), of(), "here")


@pytest.mark.parametrize(
    ("y", "given", "words"),
    [
        (None, None, "^here: y is missing"),
        (CLASSES, None, r"^here: y: expected the model's classes by name \(no, yes\), got integers"),
        ([0, 1, -1], ["no", "yes"], "^here: y: expected the classes no, yes, got -1$"),
        ([0, 1, 2], ["no", "yes"], "^here: y: expected the classes no, yes, got 2$"),
        (["no", "perhaps", "never"], None, "^here: y: expected the classes no, yes, got never, perhaps$"),
        ([0.5, 1, 0], None, "^here: y: .*got 0.0, 0.5, 1.0"),
    ],
)
def test_what_cannot_be_scored(y, given, words):
    refused(words, targets, model(class_names=["no", "yes"]), split(y), of(given), "here")


def test_a_model_without_a_loss():
    refused("no Dense at the end", targets, model(cgru.GRU(2)), split(CLASSES), of(), "here")


@pytest.mark.parametrize(("given", "due"), [("balanced", [2 / 3, 2]), ({"no": 1, "yes": 4}, [1, 4])])
def test_classes_weigh_what_the_folds_hold_out_too(monkeypatch, given, due):
    """As in an estimator, whose sample weights they are part of."""
    y, seen, own = np.array([0, 0, 0, 1] * 6), [], task.choose
    train = Split(cgru.Sequences(rng.standard_normal((24, 3, 1))), y)

    def choose(*args, **options):
        seen.append(options)
        return own(*args, **options)

    monkeypatch.setattr(task, "choose", choose)
    of, recipe = Task(("no", "yes"), y, None), Recipe("cross_entropy", units=2)
    options = {"epochs": 3, "batch_size": 8, "class_weight": given}
    _, choice = choose_network(of, recipe, train, None, options, seed=0, budget=1)
    assert "class_weight" not in seen[-1]
    np.testing.assert_allclose(seen[-1]["sample_weight"], np.array(due)[y])
    assert choice.measure == "weighted accuracy"
