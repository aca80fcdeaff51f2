"""The numbers of reports: counted by hand, and undefined where there is nothing to count."""

import json
import math
import sys

import numpy as np
import pytest

from cgru import losses
from cgru.reports import numbers

sklearn = pytest.importorskip("sklearn", reason="no scikit-learn")

RNG = np.random.default_rng(0)


def rows(*classes, k=3):
    """Probabilities that say these classes, the more of a one the surer."""
    A = np.full((len(classes), k), 0.1)
    A[range(len(classes)), classes] = 1 - 0.1 * (k - 1)
    return A


# --- classes ---


def test_classes():
    found = numbers.classification(
        np.array([0, 0, 0, 1, 1]), rows(0, 0, 1, 1, 0), losses.named("cross_entropy"), ["a", "b", "c"]
    )
    json.dumps(found, allow_nan=False)
    assert found["task"] == "classes"
    assert found["accuracy"] == pytest.approx(0.6)
    assert found["most_frequent"] == {"name": "a", "share": 0.6}
    assert found["confusion"] == [[2, 1, 0], [1, 1, 0], [0, 0, 0]]
    a, b, c = found["classes"]
    third = pytest.approx(2 / 3)
    assert a == {"name": "a", "precision": third, "recall": third, "f1": third, "support": 3, "predicted": 3}
    assert b == {"name": "b", "precision": 0.5, "recall": 0.5, "f1": 0.5, "support": 2, "predicted": 2}
    assert c == {"name": "c", "precision": None, "recall": None, "f1": None, "support": 0, "predicted": 0}
    assert found["averages"]["macro"]["recall"] == pytest.approx((2 / 3 + 0.5) / 2)
    assert found["averages"]["weighted"]["recall"] == pytest.approx(0.6)
    assert list(found["averages"]) == ["macro", "weighted"]


def test_a_class_that_is_never_predicted_counts_as_none_precise():
    """As one that is predicted and never there has no part in the averages but by what it takes from the others."""
    found = numbers.classification(
        np.array([0, 0, 1, 1]), rows(0, 2, 0, 0), losses.named("cross_entropy"), ["a", "b", "c"]
    )
    _, b, c = found["classes"]
    assert (b["precision"], b["recall"], b["f1"]) == (None, 0, 0)
    assert (c["precision"], c["recall"], c["predicted"]) == (0, None, 1)
    assert found["averages"]["macro"]["precision"] == pytest.approx((1 / 3 + 0) / 2)
    assert found["averages"]["macro"]["recall"] == pytest.approx((0.5 + 0) / 2)


def test_two_classes_of_one_output():
    A = np.array([[0.2], [0.5], [0.51], [0.9]])
    found = numbers.classification(np.array([0, 1, 1, 0]), A, losses.named("binary_cross_entropy"), ["no", "yes"])
    assert found["confusion"] == [[1, 1], [1, 1]]
    assert [each["confidence"] for each in found["calibration"]["bins"]] == pytest.approx([0.2, 0.505, 0.9])
    one = numbers.classification(np.array([1]), A[3:], losses.named("binary_cross_entropy"), ["no", "yes"])
    assert one["accuracy"] == 1
    assert one["classes"][0]["recall"] is None


def test_two_classes_of_two_outputs():
    found = numbers.classification(
        np.array([0, 1, 1]), rows(0, 1, 0, k=2), losses.named("cross_entropy"), ["no", "yes"]
    )
    assert found["confusion"] == [[1, 0], [1, 1]]
    low, high = found["calibration"]["bins"]
    assert (low["confidence"], low["accuracy"], low["count"]) == (pytest.approx(0.1), 0.5, 2)
    assert (high["confidence"], high["accuracy"], high["count"]) == (pytest.approx(0.9), 1, 1)


def test_labels():
    Y = np.array([[1, 0, 0], [1, 1, 0], [0, 1, 0], [0, 0, 0]])
    A = np.array([[0.9, 0.1, 0.1], [0.2, 0.8, 0.1], [0.3, 0.7, 0.6], [0.1, 0.9, 0.2]])
    found = numbers.classification(Y, A, losses.named("binary_cross_entropy"), ["a", "b", "c"])
    json.dumps(found, allow_nan=False)
    assert found["task"] == "labels"
    assert found["accuracy"] == pytest.approx(9 / 12)
    a, b, c = found["classes"]
    assert (a["precision"], a["recall"], a["support"], a["predicted"]) == (1, 0.5, 2, 1)
    assert (b["precision"], b["recall"], b["support"], b["predicted"]) == (pytest.approx(2 / 3), 1, 2, 3)
    assert (c["precision"], c["recall"], c["support"], c["predicted"]) == (0, None, 0, 1)
    assert found["averages"]["macro"]["recall"] == 0.75
    assert sum(each["count"] for each in found["calibration"]["bins"]) == 12
    none = numbers.classification(0 * Y, A, losses.named("binary_cross_entropy"), ["a", "b", "c"])
    assert none["averages"]["macro"] == {"precision": None, "recall": None, "f1": None}


# --- numbers ---


def test_numbers():
    y = np.arange(10.0)
    point = y + np.array([1, -1, 1, -1, 1, -1, 1, -1, 1, 3])
    found = numbers.regression(y[:, None], point[:, None], losses.named("mean_squared_error"), ["y"])
    json.dumps(found, allow_nan=False)
    assert found["task"] == "regression"
    assert found["rmse"] == pytest.approx(math.sqrt(18 / 10))
    assert found["mae"] == pytest.approx(1.2)
    (each,) = found["outputs"]
    assert (each["name"], each["mae"], each["bias"]) == ("y", pytest.approx(1.2), pytest.approx(0.4))
    assert each["rmse"] == pytest.approx(math.sqrt(1.8))
    assert each["r2"] == pytest.approx(1 - 18 / (10 * y.var()))
    assert [error["share"] for error in each["errors"]] == [0.5, 0.75, 0.9, 0.95, 1]
    assert [error["size"] for error in each["errors"]] == pytest.approx([1, 1, 1.2, 2.1, 3])
    assert [part["count"] for part in each["by_target"]] == [2] * 5
    last = each["by_target"][-1]
    assert (last["low"], last["high"], last["bias"], last["mae"]) == (8, 9, 2, 2)
    assert last["rmse"] == pytest.approx(math.sqrt(5))
    assert set(each) == {"name", "rmse", "mae", "bias", "r2", "errors", "by_target"}


def test_several_targets():
    Y = RNG.standard_normal((50, 2))
    found = numbers.regression(Y, Y + np.array([3, 4]), losses.named("huber(0.5)"), ["a", "b"])
    assert found["rmse"] == pytest.approx(math.sqrt(12.5))
    assert [each["rmse"] for each in found["outputs"]] == pytest.approx([3, 4])
    assert [each["name"] for each in found["outputs"]] == ["a", "b"]


def test_targets_that_are_all_alike():
    (each,) = numbers.regression(np.full((4, 1), 2.0), np.full((4, 1), 3.0), losses.named("huber"), ["y"])["outputs"]
    assert each["r2"] is None
    assert [(part["low"], part["high"], part["count"]) for part in each["by_target"]] == [(2, 2, 4)]
    (each,) = numbers.regression(np.ones((1, 1)), np.ones((1, 1)), losses.named("huber"), ["y"])["outputs"]
    assert (each["rmse"], each["r2"]) == (0, None)


# --- what losses promise ---


def test_quantiles():
    y = np.arange(1, 11.0)
    A = np.tile([3.0, 5.0, 9.0], (10, 1))
    (each,) = numbers.regression(y[:, None], A, losses.named("quantile(0.1, 0.5, 0.9)"), ["y"])["outputs"]
    found = [(part["promised"], part["found"]) for part in each["quantiles"]]
    assert found == [(0.1, 0.3), (0.5, 0.5), (0.9, 0.9)]
    assert each["between"] == {"promised": pytest.approx(0.8), "found": 0.7}
    assert each["bias"] == pytest.approx(5 - 5.5)
    (each,) = numbers.regression(y[:, None], A[:, 1:2], losses.named("quantile"), ["y"])["outputs"]
    assert each["quantiles"] == [{"promised": 0.5, "found": 0.5}]
    assert "between" not in each


def test_gaussian():
    n = 20000
    Y = RNG.standard_normal((n, 2)) * [2, 0.5] + 1
    A = np.tile([1, math.log(4), 1, math.log(1)], (n, 1))
    right, humble = numbers.regression(Y, A, losses.named("gaussian"), ["a", "b"])["outputs"]
    assert [part["promised"] for part in right["intervals"]] == [0.5, 0.8, 0.9, 0.95]
    assert [part["found"] for part in right["intervals"]] == pytest.approx([0.5, 0.8, 0.9, 0.95], abs=0.02)
    assert right["deviation"] == pytest.approx(1, abs=0.02)
    assert humble["deviation"] == pytest.approx(0.5, abs=0.02)
    assert humble["intervals"][0]["found"] > 0.75


def test_poisson():
    y = RNG.poisson(3.0, 20000).astype(float)
    (each,) = numbers.regression(y[:, None], np.full((20000, 1), math.log(3)), losses.named("poisson"), ["y"])[
        "outputs"
    ]
    assert each["dispersion"] == pytest.approx(1, abs=0.05)
    assert each["deviance"] == pytest.approx(1.1, abs=0.1)
    assert each["bias"] == pytest.approx(0, abs=0.05)
    far = numbers.regression(np.ones((2, 1)), np.full((2, 1), -1e4), losses.named("poisson"), ["y"])["outputs"][0]
    assert far["deviance"] > 1000


def test_a_loss_of_the_users_own():
    Y = RNG.standard_normal((9, 1))
    found = numbers.regression(Y, Y + 1, losses.named(lambda A, Y: (0, 0)), ["y"])
    assert found["rmse"] == pytest.approx(1)


def test_without_scikit_learn(monkeypatch):
    monkeypatch.setitem(sys.modules, "sklearn", None)
    with pytest.raises(ImportError, match=r"^cgru\.report: scikit-learn is missing: pip install scikit-learn$"):
        numbers.classification(np.ones((1, 2)), np.ones((1, 2)), losses.named("binary_cross_entropy"), "ab")


@pytest.mark.parametrize(
    ("right", "n", "due"),
    [(6, 8, (0.4093, 0.9285)), (0, 5, (0, 0.4345)), (30, 30, (0.8865, 1)), (364, 370, (0.9651, 0.9925))],
)
def test_the_interval_of_an_accuracy_is_wilsons(right, n, due):
    """Figures of statsmodels, `proportion_confint(right, n, method="wilson")`."""
    assert numbers.confidence_interval(right / n, n) == pytest.approx(due, abs=1e-4)
