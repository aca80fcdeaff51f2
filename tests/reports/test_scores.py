"""The scores of reports, compared with scikit-learn's and with formulas."""

import json
import math
import sys

import numpy as np
import pytest

from cgru import losses
from cgru.reports import scores

pytest.importorskip("sklearn", reason="no scikit-learn")

from sklearn import metrics

RNG = np.random.default_rng(0)
M = 300
P = RNG.dirichlet(np.ones(4), M)
Y = np.array([RNG.choice(4, p=p) for p in P])
NAMES = ["a", "b", "c", "d"]


def classified(y, A, names, loss="cross_entropy"):
    found = scores.classification(y, A, losses.named(loss), names)
    json.dumps(found, allow_nan=False)
    return found


def error_of(right, confidence):
    """The expected calibration error of ten bins, as its formula has it."""
    places = np.minimum(np.ceil(confidence * 10).astype(int) - 1, 9)
    means = [(right[places == i].mean() - confidence[places == i].mean()) * (places == i).sum() for i in set(places)]
    return np.abs(means).sum() / len(right)


def test_classes():
    found, guessed = classified(Y, P, NAMES), P.argmax(axis=1)
    due = metrics.classification_report(Y, guessed, target_names=NAMES, output_dict=True)
    for i, (each, name) in enumerate(zip(found["classes"], NAMES, strict=True)):
        scored = {"precision": each["precision"], "recall": each["recall"], "f1-score": each["f1"]}
        assert scored | {"support": each["support"]} == pytest.approx(due[name])
        assert each["predicted"] == (guessed == i).sum()
        assert each["roc_auc"] == pytest.approx(metrics.roc_auc_score(i == Y, P[:, i]))
    for how in ("macro", "weighted"):
        assert found["averages"][how]["f1"] == pytest.approx(due[f"{how} avg"]["f1-score"])
        assert found["averages"][how]["recall"] == pytest.approx(due[f"{how} avg"]["recall"])
    assert found["accuracy"] == pytest.approx(metrics.accuracy_score(Y, guessed))
    assert found["confusion"] == metrics.confusion_matrix(Y, guessed).tolist()
    assert found["most_frequent"] == {"name": NAMES[np.bincount(Y).argmax()], "share": np.bincount(Y).max() / M}
    assert found["calibration"]["error"] == pytest.approx(error_of(guessed == Y, P.max(axis=1)))
    assert sum(each["count"] for each in found["calibration"]["bins"]) == M
    assert all(each["low"] <= each["confidence"] <= each["high"] for each in found["calibration"]["bins"])


def test_classes_that_do_not_occur():
    y = np.minimum(Y, 1)
    found = classified(y, np.c_[P[:, 0], 1e-9 * P[:, 1], P[:, 2:]], NAMES)
    _, b, c, _ = found["classes"]
    assert (b["precision"], b["recall"], b["f1"]) == (None, 0, 0)
    assert (c["precision"], c["recall"], c["support"], c["roc_auc"]) == (0, None, 0, None)
    recalls = [each["recall"] for each in found["classes"][:2]]
    assert found["averages"]["macro"]["recall"] == pytest.approx(np.mean(recalls))
    assert found["averages"]["macro"]["precision"] == pytest.approx(found["classes"][0]["precision"] / 2)
    assert classified(np.array([0]), P[:1], NAMES)["classes"][0]["roc_auc"] is None


@pytest.mark.parametrize("k", [1, 2])
def test_two_classes(k):
    y, p = Y // 2, P[:, 2:].sum(axis=1)
    found = classified(y, np.c_[1 - p, p][:, -k:], ["no", "yes"], "cross_entropy" if k == 2 else "binary_cross_entropy")
    assert found["confusion"] == metrics.confusion_matrix(y, p > 0.5).tolist()
    assert [each["roc_auc"] for each in found["classes"]] == pytest.approx([metrics.roc_auc_score(y, p)] * 2)
    assert found["calibration"]["error"] == pytest.approx(error_of(y, p))


def test_labels():
    y = (RNG.random((M, 4)) < P).astype(int)
    found = classified(y, P, NAMES, "binary_cross_entropy")
    due = metrics.classification_report(y, P > 0.5, target_names=NAMES, output_dict=True, zero_division=np.nan)
    for i, (each, name) in enumerate(zip(found["classes"], NAMES, strict=True)):
        assert (each["precision"], each["support"]) == (pytest.approx(due[name]["precision"]), due[name]["support"])
        assert each["roc_auc"] == pytest.approx(metrics.roc_auc_score(y[:, i], P[:, i]))
    assert found["averages"]["macro"]["recall"] == pytest.approx(due["macro avg"]["recall"])
    assert found["task"] == "labels"
    assert found["accuracy"] == ((P > 0.5) == y).mean()
    assert found["calibration"]["error"] == pytest.approx(error_of(y.ravel(), P.ravel()))
    assert "confusion" not in found
    none = classified(0 * y, P, NAMES, "binary_cross_entropy")
    assert none["averages"]["macro"] == {"precision": None, "recall": None, "f1": None}


@pytest.mark.parametrize(
    ("right", "n", "due"),
    [(6, 8, (0.4093, 0.9285)), (0, 5, (0, 0.4345)), (30, 30, (0.8865, 1)), (364, 370, (0.9651, 0.9925))],
)
def test_the_interval_of_an_accuracy_is_wilsons(right, n, due):
    """Figures of statsmodels, `proportion_confint(right, n, method="wilson")`."""
    y = (np.arange(n) < right).astype(int)
    found = classified(y, np.tile([0.1, 0.9], (n, 1)), ["no", "yes"])
    assert found["accuracy_interval"] == pytest.approx(due, abs=1e-4)


# --- numbers ---


def regressed(Y, A, loss, names):
    found = scores.regression(Y, A, losses.named(loss), names)
    json.dumps(found, allow_nan=False)
    return found


def test_numbers():
    y, A = RNG.standard_normal((M, 2)), RNG.standard_normal((M, 2))
    found = regressed(y, A, "huber(0.5)", ["a", "b"])
    assert found["rmse"] == pytest.approx(np.sqrt(np.square(A - y).mean()))
    assert found["mae"] == pytest.approx(metrics.mean_absolute_error(y, A))
    for i, each in enumerate(found["outputs"]):
        true, point = y[:, i], A[:, i]
        assert each["name"] == "ab"[i]
        assert each["rmse"] == pytest.approx(metrics.root_mean_squared_error(true, point))
        assert each["median"] == pytest.approx(np.median(np.abs(true - point)))
        assert each["max"] == pytest.approx(np.abs(true - point).max())
        assert each["r2"] == pytest.approx(metrics.r2_score(true, point))
        assert each["bias"] == pytest.approx((point - true).mean())
        order = np.argsort(true).reshape(5, -1)
        for part, rows in zip(each["by_target"], order, strict=True):
            assert (part["low"], part["high"], part["count"]) == (true[rows[0]], true[rows[-1]], M // 5)
            assert part["mae"] == pytest.approx(np.abs(true - point)[rows].mean())
            assert part["bias"] == pytest.approx((point - true)[rows].mean())


def test_targets_that_never_change():
    (each,) = regressed(np.full((4, 1), 2.0), np.full((4, 1), 3.0), "huber", ["y"])["outputs"]
    assert each["r2"] is None
    assert [(part["low"], part["high"], part["count"]) for part in each["by_target"]] == [(2, 2, 4)]
    (each,) = regressed(np.ones((1, 1)), np.ones((1, 1)), "huber", ["y"])["outputs"]
    assert (each["rmse"], each["r2"]) == (0, None)


def test_quantiles():
    y = np.arange(1, 11.0)
    A = np.tile([3.0, 5.0, 9.0], (10, 1))
    (each,) = regressed(y[:, None], A, "quantile(0.1, 0.5, 0.9)", ["y"])["outputs"]
    assert [(part["promised"], part["found"]) for part in each["quantiles"]] == [(0.1, 0.3), (0.5, 0.5), (0.9, 0.9)]
    assert each["between"] == {"promised": pytest.approx(0.8), "found": 0.7}
    assert each["bias"] == pytest.approx(5 - 5.5)
    (each,) = regressed(y[:, None], A[:, 1:2], "quantile", ["y"])["outputs"]
    assert each["quantiles"] == [{"promised": 0.5, "found": 0.5}]
    assert "between" not in each


def test_gaussian():
    n = 20000
    y = RNG.standard_normal((n, 2)) * [2, 0.5] + 1
    A = np.tile([1, math.log(4), 1, math.log(1)], (n, 1))
    right, humble = regressed(y, A, "gaussian", ["a", "b"])["outputs"]
    assert [part["promised"] for part in right["intervals"]] == [0.5, 0.8, 0.9, 0.95]
    assert [part["found"] for part in right["intervals"]] == pytest.approx([0.5, 0.8, 0.9, 0.95], abs=0.02)
    assert right["deviation"] == pytest.approx(1, abs=0.02)
    assert humble["deviation"] == pytest.approx(0.5, abs=0.02)


def test_poisson():
    y, A = RNG.poisson(3.0, 20000).astype(float)[:, None], np.full((20000, 1), math.log(3))
    (each,) = regressed(y, A, "poisson", ["y"])["outputs"]
    assert each["dispersion"] == pytest.approx(1, abs=0.05)
    assert each["deviance"] == pytest.approx(metrics.mean_poisson_deviance(y, np.exp(A)))
    (far,) = regressed(np.ones((2, 1)), np.full((2, 1), -1e4), "poisson", ["y"])["outputs"]
    assert far["deviance"] > 1000


def test_without_scikit_learn(monkeypatch):
    monkeypatch.setitem(sys.modules, "sklearn", None)
    with pytest.raises(ImportError, match=r"^cgru\.report: scikit-learn is missing: pip install scikit-learn$"):
        classified(np.ones((1, 2)), np.ones((1, 2)), "ab", "binary_cross_entropy")
