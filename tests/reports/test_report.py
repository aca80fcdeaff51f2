"""Reports of networks: every kind of head, ragged batches, and what is refused."""

import json
import os
import sys

import numpy as np
import pytest

import cgru
from cgru import reference
from cgru.reports.report_text import as_html, text

pytest.importorskip("sklearn", reason="no scikit-learn")

RNG = np.random.default_rng(0)
M, S = 40, 6
X = RNG.standard_normal((M, S, 3))
LENGTHS = RNG.integers(1, S + 1, M)
CLASSES = RNG.integers(0, 3, M)


def network(head, loss=None, sequences=False, **options):
    net = cgru.Network([cgru.GRU(4, sequences=sequences), head], loss, seed=0, **options)
    net.make(X)
    return net


RESETS = RNG.random((M, S)) < 0.5


def test_states_that_begin_anew():
    net = network(cgru.Dense(3, "softmax"))
    due = net.evaluate(cgru.Sequences(X, LENGTHS, resets=RESETS), CLASSES)
    for given in ({"resets": RESETS.tolist()}, {"decay": 1.0 - RESETS}):
        report = cgru.report(net, cgru.Sequences(X, LENGTHS, **given), CLASSES)
        assert report["loss"] == due["loss"] != cgru.report(net, X, CLASSES, LENGTHS)["loss"]
        assert report["accuracy"] == pytest.approx(due["accuracy"])


@pytest.mark.nightly  # for its pictures
def test_the_page_draws_states_that_begin_anew(tmp_path, monkeypatch):
    pytest.importorskip("matplotlib", reason="no matplotlib")
    from cgru import plot

    net, drawn, own = network(cgru.Dense(3, "softmax")), [], plot.states
    monkeypatch.setattr(plot, "states", lambda *given, **more: drawn.append(plot.gates(*given, **more)) or own(*given))
    cgru.report(net, cgru.Sequences(X, LENGTHS, resets=RESETS), CLASSES).save(tmp_path / "page.html")
    first = plot.gates(net, cgru.Sequences(X[:1], LENGTHS[:1], resets=RESETS[:1]))["h"][:, : LENGTHS[0]]
    np.testing.assert_array_equal(drawn[0]["h"], first)


def test_classes():
    net = network(cgru.Dense(3, "softmax"), class_names=["a", "b", "c"])
    report = cgru.report(net, X, CLASSES, LENGTHS)
    assert isinstance(report, dict)
    json.dumps(report, allow_nan=False)
    due = net.evaluate(X, CLASSES, LENGTHS)
    assert (report["loss"], report["loss_name"]) == (due["loss"], "cross_entropy")
    assert report["accuracy"] == pytest.approx(due["accuracy"])
    assert (report["samples"], report["count"], report["per_step"]) == (M, M, False)
    assert [each["name"] for each in report["classes"]] == ["a", "b", "c"]
    assert np.sum(report["confusion"]) == M
    assert str(report) == repr(report) == text(report)
    assert report._repr_html_() == as_html(report)
    assert cgru.report(net, X, np.array(["a", "b", "c"])[CLASSES], LENGTHS) == report
    assert cgru.report(net, [x[:n] for x, n in zip(X, LENGTHS, strict=True)], CLASSES) == report
    assert cgru.report(net, X, np.eye(3)[CLASSES], LENGTHS)["confusion"] == report["confusion"]
    net.head.activate = cgru.log_softmax
    assert str(cgru.report(net, X, CLASSES, LENGTHS)) == str(report).replace("softmax", "log_softmax")


@pytest.mark.parametrize("k", [1, 3])
def test_padded_steps_count_nowhere(k):
    net = network(cgru.Dense(k, "softmax" if k > 1 else "sigmoid"), sequences=True)
    y = RNG.integers(0, max(k, 2), (M, S))
    report = cgru.report(net, X, y, LENGTHS)
    real = reference.mask(LENGTHS, S)[:, :, 0]
    assert (report["samples"], report["count"], report["per_step"]) == (M, LENGTHS.sum(), True)
    assert np.sum(report["confusion"]) == LENGTHS.sum()
    assert [each["support"] for each in report["classes"]] == np.bincount(y[real], minlength=max(k, 2)).tolist()
    assert sum(each["count"] for each in report["calibration"]["bins"]) == LENGTHS.sum()
    other = X.copy()
    other[~real] = 9
    assert cgru.report(net, other, np.where(real, y, 0), LENGTHS) == report


def test_two_classes_of_one_output():
    net = network(cgru.Dense(1))
    report = cgru.report(net, X, CLASSES % 2)
    assert report["accuracy"] == pytest.approx(net.evaluate(X, CLASSES % 2)["accuracy"])
    assert [each["name"] for each in report["classes"]] == ["0", "1"]
    assert cgru.report(net, X, (CLASSES % 2) * 0.8 + 0.1)["confusion"] == report["confusion"]


def test_labels():
    net = network(cgru.Dense(3))
    Y = RNG.integers(0, 2, (M, 3))
    report = cgru.report(net, X, Y)
    assert report["task"] == "labels"
    assert report["accuracy"] == pytest.approx(net.evaluate(X, Y)["accuracy"])
    assert [each["support"] for each in report["classes"]] == Y.sum(axis=0).tolist()


@pytest.mark.parametrize(
    ("loss", "k", "key"),
    [
        ("mean_squared_error", 2, "r2"),
        ("huber(0.5)", 2, "r2"),
        ("quantile(0.1, 0.5, 0.9)", 6, "between"),
        ("gaussian", 4, "deviation"),
        ("poisson", 2, "dispersion"),
    ],
)
def test_numbers(loss, k, key):
    net = network(cgru.Dense(k, "identity"), loss)
    Y = RNG.random((M, 2))
    report = cgru.report(net, X, Y, LENGTHS)
    json.dumps(report, allow_nan=False)
    point = cgru.losses.named(loss).point(net.predict(X, LENGTHS))
    assert report["rmse"] == pytest.approx(np.sqrt(np.square(point - Y).mean()))
    assert report["loss"] == net.evaluate(X, Y, LENGTHS)["loss"]
    assert [each["name"] for each in report["outputs"]] == ["y[0]", "y[1]"]
    assert key in report["outputs"][1]


def test_numbers_at_steps():
    net = network(cgru.Dense(1, "identity"), sequences=True)
    report = cgru.report(net, X, RNG.random((M, S)), LENGTHS)
    assert report["count"] == sum(part["count"] for part in report["outputs"][0]["by_target"]) == LENGTHS.sum()
    assert report["outputs"][0]["name"] == "y"


def test_a_loss_of_the_users_own():
    def absolute(A, Y):
        return np.abs(A - Y[:, :1]).mean(axis=1), np.sign(A - Y[:, :1])

    net = network(cgru.Dense(1, "identity"), absolute)
    report = cgru.report(net, X, RNG.random(M))
    assert report["loss_name"] == "absolute"
    assert "absolute " in str(report)
    with pytest.raises(ValueError, match=r"^y: expected as many targets as Network.*outputs, 1, .* got 2$"):
        cgru.report(net, X, RNG.random((M, 2)))


def test_states_begin_anew():
    net = cgru.Network([cgru.GRU(4, stateful=True), cgru.Dense(3, "softmax")], seed=0)
    net.make(X)
    first = cgru.report(net, X, CLASSES)
    net.predict(X)
    assert cgru.report(net, X, CLASSES) == first
    assert net.layers[0].state is None


def test_tokens_and_small_weights():
    tokens = RNG.integers(0, 7, (M, S))
    net = cgru.Network([cgru.Embedding(7, 3), cgru.GRU(4), cgru.Dense(3, "softmax")], seed=0, dtype=np.float32)
    net.make(tokens)
    report = cgru.report(net, tokens, CLASSES, LENGTHS)
    assert report["count"] == M
    assert cgru.report(cgru.quantize(net), tokens, CLASSES, LENGTHS)["count"] == M


def test_names_of_targets():
    net = network(cgru.Dense(4, "identity"), "gaussian", target_names=["height", "weight"])
    report = cgru.report(net, X, RNG.random((M, 2)))
    assert [each["name"] for each in report["outputs"]] == ["height", "weight"]


def test_refused():
    net = network(cgru.Dense(3, "softmax"))
    for words, error, arguments in (
        ("net: expected a Network or an estimator of cgru.sklearn, got GRU", TypeError, (net.layers[0], X, CLASSES)),
        ("y: expected", ValueError, (net, X, CLASSES[:-1])),
        ("X: expected", ValueError, (net, X[:, :, :2], CLASSES)),
        ("lengths: expected", ValueError, (net, X, CLASSES, LENGTHS + S)),
        ("layers: expected a Dense", ValueError, (cgru.Network([cgru.GRU(2)]), X, CLASSES)),
    ):
        with pytest.raises(error, match=f"^{words}"):
            cgru.report(*arguments)
    net.head.p["W"][0, 0] = np.nan
    with pytest.raises(ValueError, match=r"^X: expected samples whose outputs are finite, got NaN or infinity"):
        cgru.report(net, X, CLASSES)


def test_without_scikit_learn(monkeypatch):
    monkeypatch.setitem(sys.modules, "sklearn", None)
    with pytest.raises(ImportError, match=r"^cgru\.report: scikit-learn is missing: pip install scikit-learn$"):
        cgru.report(network(cgru.Dense(3, "softmax")), X, CLASSES)


@pytest.mark.slow
def test_saved_whole_or_not_at_all(tmp_path, monkeypatch):
    pytest.importorskip("matplotlib")
    report = cgru.report(network(cgru.Dense(3, "softmax")), X, CLASSES)
    path = tmp_path / "page.html"
    report.save(path, title="A < B", about={"data": "the clinic's"}, note="small & old")
    page = path.read_text(encoding="utf-8")
    for words in ("<h1>A &lt; B</h1>", "<dt>data</dt><dd>the clinic&#x27;s</dd>", ">small &amp; old</p>"):
        assert words in page
    with pytest.raises(FileNotFoundError, match="does not exist"):
        report.save(tmp_path / "none" / "page.html")
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    with pytest.raises(ImportError, match=r"^cgru\.plot: matplotlib is missing"):
        report.save(path)
    assert path.read_text(encoding="utf-8") == page
    assert os.listdir(tmp_path) == ["page.html"]


def test_frames_are_the_steps_of_a_report():
    X, y, lengths = (
        np.random.default_rng(0).standard_normal((6, 9, 2)),
        np.arange(18).reshape(6, 3) % 2,
        [9, 8, 3, 4, 1, 6],
    )
    net = cgru.Network([cgru.Frames(3), cgru.GRU(2, sequences=True), cgru.Dense(2, "softmax")], seed=0)
    net.make(X)
    found = cgru.report(net, X, y, lengths)
    assert (found["samples"], found["count"], found["per_step"]) == (6, 3 + 3 + 1 + 2 + 1 + 2, True)
    assert cgru.plot.gates(net, X, lengths)["h"].shape == (6, 3, 2)
