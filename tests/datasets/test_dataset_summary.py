"""What is said of a data set."""

import numpy as np

import cgru
from cgru.datasets import Dataset, Split, described

X = np.arange(24.0).reshape(4, 3, 2)


def lines(y=None, lengths=None, x=X, test=None, **more):
    return described(Dataset(Split(cgru.Sequences(x, lengths), y), test, more.pop("class_names", None), **more))


def test_counts():
    assert lines() == ["4 samples of 3 steps of 2 features", "no targets"]
    assert lines(lengths=np.array([1, 3, 2, 2]))[0] == "4 samples of 1 to 3 steps of 2 features"
    assert lines(lengths=np.array([2, 2, 2, 2]))[0] == "4 samples of 2 steps of 2 features"
    assert lines(test=Split(cgru.Sequences(X[:1]), None))[:2] == [
        "4 samples of 3 steps of 2 features",
        "1 to test on of 3 steps of 2 features",
    ]
    alone = described(Dataset(None, Split(cgru.Sequences(X), np.array([0, 1, 1, 1])), None))
    assert alone[:2] == ["4 samples, to test on of 3 steps of 2 features", "classes: 0 1, 1 3"]


def test_names_and_notes():
    found = lines(feature_names=("a", "b"), notes=("one", "two"))
    assert found[1:] == ["features: a, b", "no targets", "note: one", "note: two"]
    many = tuple(f"e{i}" for i in range(13))
    assert lines(x=np.arange(156.0).reshape(4, 3, 13), feature_names=many)[1].endswith("e10, e11, ... (13 in all)")
    assert lines(x=np.arange(144.0).reshape(4, 3, 12), feature_names=many[:12])[1].endswith("e10, e11")


def test_classes():
    assert lines(np.array([0, 1, 1, 1]))[1:] == ["classes: 0 1, 1 3"]


def test_names_of_classes():
    y = np.array([0, 1, 1, 2])
    assert lines(y, class_names=("no", "yes"))[1] == "classes: no 1, yes 2, 2 1"
    assert lines(y)[1] == "classes: 0 1, 1 2, 2 1"
    assert lines(np.array(["b", "a", "a", "a"]), class_names=("x", "y"))[1] == "classes: a 3, b 1"


def test_classes_of_steps():
    y = np.array([[0, 1, 9], [0, 0, 0], [1, 9, 9], [1, 1, 9]])
    lengths = np.array([2, 3, 1, 2])
    assert lines(y, lengths)[1] == "classes, one a step: 0 4, 1 4"
    assert lines(y)[1] == "classes, one a step: 0 4, 1 4, 9 4"


def test_numbers():
    assert lines(np.array([1.0, 2, 3, 6]))[1:] == ["targets: numbers from 1 to 6, mean 3"]
    y = np.array([[1.0, 0], [2, 0], [3, 0], [6, 0]])
    assert lines(y)[1] == "targets: numbers from 1 to 6, mean 3; from 0 to 0, mean 0"
    named = Dataset(Split(cgru.Sequences(np.zeros((4, 2, 1))), y), None, None, target_names=("y", "z"))
    assert described(named)[1] == "targets: numbers y from 1 to 6, mean 3; z from 0 to 0, mean 0"
    assert lines(1e9 + np.arange(4.0))[1] == "targets: numbers from 1000000000 to 1000000003, mean 1000000002"
    y[1, 1] = np.inf
    assert lines(y)[1] == "targets: some are no finite numbers"


def test_numbers_at_steps():
    y = np.arange(24.0).reshape(4, 3, 2)
    assert lines(y)[1] == "targets: numbers, one a step, from 0 to 22, mean 11; from 1 to 23, mean 12"
    lengths = np.array([3, 3, 3, 1])
    y[3, 1:] = np.nan
    assert lines(y, lengths)[1] == "targets: numbers, one a step, from 0 to 18, mean 9; from 1 to 19, mean 10"
    assert lines(y)[1] == "targets: some are no finite numbers"
    assert lines(y[:, :, :1], lengths)[1] == "targets: numbers, one a step, from 0 to 18, mean 9"
