"""Permutation importance of features and of steps: scikit-learn's numbers, and permutations by hand."""

import json

import numpy as np
import pytest

import cgru
from cgru import losses

pytest.importorskip("sklearn", reason="no scikit-learn")

from sklearn.inspection import permutation_importance
from sklearn.metrics import r2_score
from sklearn.utils import check_random_state

RNG = np.random.default_rng(0)
M, S, E = 30, 6, 3
X = RNG.standard_normal((M, S, E))
LENGTHS = RNG.integers(1, S + 1, M)
CLASSES = (X[:, :, 1].sum(axis=1) > 0).astype(int)


def network(head, loss=None, sequences=False, X=X, **options):
    net = cgru.Network([cgru.GRU(4, sequences=sequences), head], loss, cgru.Adam(0.05), seed=0, **options)
    net.make(X)
    return net


def donors(m, repeats, seed):
    """The samples in the orders of scikit-learn, each shuffled from the one before."""
    random = check_random_state(check_random_state(seed).randint(np.iinfo(np.int32).max + 1))
    order, shuffled = np.arange(m), np.arange(m)
    for _ in range(repeats):
        random.shuffle(order)
        shuffled = shuffled[order]
        yield shuffled


def by_hand(net, score, lengths, choose, repeats=3, seed=1):
    """What is lost where `choose(sample, step)`, an index into features, is taken from another sample."""
    n = np.full(M, S) if lengths is None else lengths
    lost = []
    for shuffled in donors(M, repeats, seed):
        mixed = X.copy()
        for i in range(M):
            for t in range(n[i]):
                of = choose(n[i], t)
                d = shuffled[i]
                mixed[i, t, of] = X[d, int((t + 0.5) * n[d] / n[i]), of]
        lost.append(score(net.predict(X, lengths)) - score(net.predict(mixed, lengths)))
    return lost


@pytest.mark.parametrize("lengths", [None, LENGTHS])
@pytest.mark.parametrize("loss", [None, "mean_squared_error", "quantile(0.1,0.5,0.9)"])
def test_permutations_by_hand(loss, lengths):
    if loss is None:
        net, y = network(cgru.Dense(2, "softmax")), CLASSES

        def score(A):
            return float((A.argmax(axis=1) == y).mean())
    else:
        net = network(cgru.Dense(2 * losses.named(loss).outputs, "identity"), loss)
        y = X[:, 0, :2] * [1, 3]

        def score(A):
            return r2_score(y, losses.named(loss).point(A))

    net.fit(X, y, lengths=lengths, epochs=5)
    report = cgru.report(net, X, y, lengths, importance=True, repeats=3, blocks=4, seed=1)
    found = report["importance"]
    json.dumps(report, allow_nan=False)
    assert found["score"] == ("accuracy" if loss is None else "R2")
    assert found["value"] == pytest.approx(score(net.predict(X, lengths)))
    assert (found["repeats"], found["predictions"]) == (3, (E + 4) * 3 + 1)
    assert [each["name"] for each in found["features"]] == ["feature 0", "feature 1", "feature 2"]
    due = [by_hand(net, score, lengths, lambda n, t, j=j: j) for j in range(E)]
    np.testing.assert_allclose([each["importances"] for each in found["features"]], due, atol=1e-12)
    due = [by_hand(net, score, lengths, lambda n, t, b=b: slice(None if t * 4 // n == b else 0)) for b in range(4)]
    np.testing.assert_allclose([each["importances"] for each in found["steps"]], due, atol=1e-12)
    for each in found["features"] + found["steps"]:
        assert each["importances_mean"] == pytest.approx(np.mean(each["importances"]))
        assert each["importances_std"] == pytest.approx(np.std(each["importances"]))
    named = ["0 to 1", "2 to 2", "3 to 4", "5 to 5"] if lengths is None else ["0 % to 25 %", "25 % to 50 %"]
    assert [each["name"] for each in found["steps"]][: len(named)] == named
    assert max(np.abs(each["importances_mean"]) for each in found["features"]) > 0
    if lengths is None:
        again = cgru.report(net, list(X), y, importance=True, repeats=3, blocks=4, seed=1)
        assert again["importance"] == found
        other = cgru.report(net, X, y, importance=True, repeats=3, blocks=4, seed=2)
        assert other["importance"] != found


@pytest.mark.filterwarnings("ignore:GRU.* nothing was learned")
@pytest.mark.parametrize("kind", ["GRUClassifier", "GRURegressor"])
def test_steps_of_a_table_have_the_numbers_of_scikit_learn(kind):
    from cgru import sklearn

    flat = X[:, :, 0]
    y = CLASSES if kind == "GRUClassifier" else flat[:, -1] + 5
    model = getattr(sklearn, kind)(4, epochs=5, random_state=0, budget=0).fit(flat, y)
    found = cgru.report(model, flat, y, importance=True)["importance"]
    due = permutation_importance(model, flat, y, random_state=0)
    np.testing.assert_allclose([each["importances"] for each in found["steps"]], due.importances, atol=1e-5)
    np.testing.assert_allclose([each["importances_std"] for each in found["steps"]], due.importances_std, atol=1e-5)
    assert found["value"] == pytest.approx(model.score(flat, y))
    assert [each["name"] for each in found["steps"]] == [f"{t} to {t}" for t in range(S)]


def test_outputs_at_steps_states_and_labels():
    net = network(cgru.Dense(2, "softmax"), sequences=True)
    y = (X[:, :, 2] > 0).astype(int)
    net.fit(X, y, lengths=LENGTHS, epochs=20)
    found = cgru.report(net, X, y, LENGTHS, importance=True)["importance"]
    mean = [each["importances_mean"] for each in found["features"]]
    assert mean[2] > max(0.1, *mean[:2])
    labels = network(cgru.Dense(2, "sigmoid"))
    found = cgru.report(labels, X, np.c_[CLASSES, 1 - CLASSES], importance=True)["importance"]
    assert found["value"] == labels.evaluate(X, np.c_[CLASSES, 1 - CLASSES])["accuracy"]
    stateful = cgru.Network([cgru.GRU(3, stateful=True), cgru.Dense(2, "softmax")], seed=0)
    stateful.make(X)
    due = cgru.report(stateful, X, CLASSES)
    assert cgru.report(stateful, X, CLASSES, importance=True)["importance"]["value"] == due["accuracy"]
    assert stateful.layers[0].state is None


def test_tokens_have_no_features_and_short_samples_few_blocks():
    tokens = RNG.integers(0, 3, (M, S))
    net = cgru.Network([cgru.Embedding(3, 2), cgru.GRU(2), cgru.Dense(2, "softmax")], seed=0)
    net.fit(tokens, CLASSES, epochs=1)
    report = cgru.report(net, tokens, CLASSES, importance=True)
    assert report["importance"]["features"] == []
    assert len(report["importance"]["steps"]) == S
    assert "Importance of features" not in str(report)
    assert "Importance of steps" in str(report)
    short = network(cgru.Dense(2, "softmax"))
    assert len(cgru.report(short, X[:, :2], CLASSES, importance=True)["importance"]["steps"]) == 2
    assert len(cgru.report(short, X[:2], CLASSES[:2], importance=True)["importance"]["steps"]) == S


def test_text_and_page(tmp_path):
    pytest.importorskip("matplotlib", reason="no matplotlib")
    net = network(cgru.Dense(2, "softmax"), feature_names=["tom", "dick", "harry"])
    net.fit(X, CLASSES, epochs=30)
    report = cgru.report(net, X, CLASSES, importance=True)
    _, part = str(report).split("Importance of features: accuracy lost when shuffled\n")
    lines = part.splitlines()
    due = sorted(report["importance"]["features"], key=lambda each: -each["importances_mean"])
    assert lines[0].split() == ["mean", "deviation"]
    assert [line.split()[0] for line in lines[1:4]] == [each["name"] for each in due]
    assert lines[1].split()[0] == "dick"
    assert lines[1].split()[1:] == [f"{due[0][f'importances_{of}']:.3f}" for of in ("mean", "std")]
    assert lines[4].startswith("5 shuffles of the samples, 46 predictions of all.")
    assert "Importance of steps: accuracy lost" in part
    report.save(tmp_path / "page.html")
    page = (tmp_path / "page.html").read_text()
    assert page.count("<h2>Importance of") == 3
    assert "Importance of" not in str(cgru.report(net, X, CLASSES))


def test_many_features_are_not_all_listed():
    wide = RNG.standard_normal((10, 3, 25))
    report = cgru.report(network(cgru.Dense(2, "softmax"), X=wide), wide, CLASSES[:10], importance=True, repeats=1)
    assert " 5 features more." in str(report).replace("\n", " ")
    assert len(report["importance"]["features"]) == 25


@pytest.mark.parametrize(
    ("options", "error", "words"),
    [
        ({"importance": 3}, TypeError, "importance: expected"),
        ({"repeats": 0}, ValueError, "repeats: expected"),
        ({"blocks": 1.5}, TypeError, "blocks: expected"),
    ],
)
def test_refused(options, error, words):
    net = network(cgru.Dense(2, "softmax"))
    with pytest.raises(error, match=f"^{words}"):
        cgru.report(net, X, CLASSES, **{"importance": True, **options})
    with pytest.raises(ValueError, match=r"^importance: expected two samples at least to shuffle, got 1$"):
        cgru.report(net, X[:1], CLASSES[:1], importance=True)
