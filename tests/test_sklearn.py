"""The estimators as scikit-learn checks them, and on sequences."""

import importlib
import os
import pickle
import sys
import warnings

import numpy as np
import pytest
from helpers import assert_close, refuses
from sklearn_cases import FEW, SMALL, waves

sklearn = pytest.importorskip("sklearn", reason="no scikit-learn")

from sklearn.base import clone  # noqa: E402
from sklearn.exceptions import ConvergenceWarning  # noqa: E402
from sklearn.utils.estimator_checks import check_estimator  # noqa: E402

import cgru  # noqa: E402
from cgru.estimators import recipe  # noqa: E402
from cgru.sklearn import GRUClassifier, GRURegressor  # noqa: E402

# Few epochs learn little.
pytestmark = pytest.mark.filterwarnings("ignore:GRU.* nothing was learned:sklearn.exceptions.ConvergenceWarning")

ANY_LENGTH = "sequences of another length may be predicted: a column of (m, s) is a step, not a feature"
EXCLUDED = {
    "check_n_features_in_after_fitting": ANY_LENGTH,
    "check_estimators_partial_fit_n_features": ANY_LENGTH,
    "check_classifiers_train": ANY_LENGTH,
    "check_regressors_train": ANY_LENGTH,
    "check_methods_subset_invariance": "float32: a batch of another size rounds otherwise, by 2e-7",
    "check_sample_weight_equivalence_on_dense_data": "batches and dropout are drawn: repeated samples draw others",
}


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("budget", [0, pytest.param(10, marks=pytest.mark.nightly)])
@pytest.mark.parametrize("kind", [GRUClassifier, GRURegressor])
def test_what_scikit_learn_checks(kind, budget):
    checks = check_estimator(kind(**SMALL, budget=budget), on_fail=None, on_skip=None, expected_failed_checks=EXCLUDED)
    failed = [(check["check_name"], check["exception"]) for check in checks if check["status"] == "failed"]
    assert failed == []
    assert sum(check["status"] == "passed" for check in checks) > 50


def test_classes_and_their_probabilities():
    X, y = waves()
    test, due = waves(seed=1)
    model = GRUClassifier(**SMALL, random_state=0).fit(X, y)
    assert model.classes_.tolist() == ["down", "up"]
    assert model.n_features_in_ == 2
    assert model.score(test, due) > 0.95
    P = model.predict_proba(test)
    np.testing.assert_allclose(P.sum(axis=1), 1)
    np.testing.assert_array_equal(model.classes_[P.argmax(axis=1)], model.predict(test))
    assert len(model.loss_curve_) == model.n_iter_ == 20
    assert model.loss_curve_[-1] < model.loss_curve_[0]
    np.testing.assert_array_equal(P, clone(model).fit(X, y).predict_proba(test))
    np.testing.assert_array_equal(P, pickle.loads(pickle.dumps(model)).predict_proba(test))
    other = clone(model).set_params(random_state=1).fit(X, y).predict_proba(test)
    assert (other != P).any()
    with pytest.raises(ValueError, match="X has 3 features, but GRUClassifier is expecting 2 features"):
        model.predict(np.zeros((2, 5, 3)))


def test_the_ways_in_which_sequences_come():
    """Lists of arrays, channels first, and one feature a step give what (m, s, e) gives; so do other lengths."""
    X, y = waves()
    due = GRUClassifier(**SMALL, random_state=0).fit(X, y)
    listed = GRUClassifier(**SMALL, random_state=0).fit(list(X), y)
    np.testing.assert_allclose(listed.predict_proba(list(X)), due.predict_proba(X), atol=1e-5)
    first = GRUClassifier(**SMALL, random_state=0, channels_first=True).fit(X.swapaxes(1, 2), y)
    np.testing.assert_array_equal(first.predict_proba(X.swapaxes(1, 2)), due.predict_proba(X))
    np.testing.assert_array_equal(first.predict_proba([x.T for x in X]), listed.predict_proba(list(X)))
    flat = GRUClassifier(**SMALL, random_state=0).fit(X[:, :, 0], y)
    deep = GRUClassifier(**SMALL, random_state=0).fit(X[:, :, :1], y)
    np.testing.assert_array_equal(flat.predict_proba(X[:, :, 0]), deep.predict_proba(X[:, :, :1]))
    assert (flat.n_features_in_, deep.n_features_in_) == (12, 1)
    assert flat.predict(X[:5, :7, 0]).shape == (5,)
    ragged = [x[: 6 + i % 7] for i, x in enumerate(X)]
    model = GRUClassifier(**SMALL, random_state=0).fit(ragged, y)
    assert model.score(ragged, y) > 0.9
    np.testing.assert_allclose(
        model.predict_proba(ragged)[:3], np.vstack([model.predict_proba([x]) for x in ragged[:3]]), atol=1e-6
    )
    with pytest.raises(ValueError, match=r"X\[1\]: "):
        model.predict([np.zeros((4, 2)), np.zeros((4, 3))])
    with pytest.raises(ValueError, match="X: "):
        model.predict(np.zeros((2, 3, 4, 5)))


def test_regressions_in_their_own_units():
    X, _ = waves()
    y = 1e6 + 1e4 * X[:, :, 1].mean(axis=1)
    model = GRURegressor(**SMALL, random_state=0).fit(X, y)
    assert model.score(X, y) > 0.5
    both = GRURegressor(**SMALL, random_state=0).fit(X, np.column_stack([y, -y]))
    assert both.predict(X).shape == (60, 2)
    assert both.score(X, np.column_stack([y, -y])) > 0.4
    assert model.predict(X).shape == (60,)
    constant = GRURegressor(units=2, epochs=1, random_state=0).fit(X, np.full(60, 7.0))
    assert_close(constant.target_scale_, np.ones(1), 0)


def test_weights():
    """A class or a sample of weight zero does not count; two is twice."""
    X, y = waves()
    wrong = np.where(np.arange(60) % 2, y, np.where(y == "up", "down", "up"))
    kept = GRUClassifier(**SMALL, random_state=0).fit(X, wrong, np.arange(60) % 2)
    assert kept.score(X, y) > 0.9
    one = GRUClassifier(**SMALL, random_state=0, class_weight={"up": 1.0, "down": 0.0}).fit(X, y)
    assert set(one.predict(X)) == {"up"}
    even = GRUClassifier(**SMALL, random_state=0, class_weight="balanced").fit(X, y)
    assert even.score(X, y) > 0.9


def test_what_weighs_nothing_decides_no_scale():
    X, _ = waves()
    y, weights = X[:, :, 1].mean(axis=1), np.tile([1.0, 2.0, 0.0], 20)
    wild, far = X.copy(), y.copy()
    wild[2::3], far[2::3] = 1e3, 1e6
    model = GRURegressor(units=2, epochs=1, early_stopping=False, random_state=0).fit(wild, far, weights)
    rows = np.repeat(np.arange(60), weights.astype(int))
    assert_close(model.target_mean_, [y[rows].mean()], 1e-12)
    assert_close(model.target_scale_, [y[rows].std()], 1e-12)
    assert_close(model.network_.scale, X[rows].reshape(-1, X.shape[2]).std(axis=0), 1e-9)


# --- fits that diverge ---


def tails(m=24, s=300):
    """Standardised series as a metered household's: from about -1 on, a few steps far above the others; 4 classes."""
    rng, y = np.random.default_rng(0), np.arange(m) % 4
    X = np.tile(rng.standard_normal((4, 4))[y], (1, s // 4)) + (rng.random((m, s)) < 0.01) * rng.exponential(9, (m, s))
    return (X - X.mean(axis=1, keepdims=True)) / X.std(axis=1, keepdims=True), y


@pytest.mark.parametrize("rate", [1.0, pytest.param(1e8, marks=pytest.mark.nightly), 3e38])
@pytest.mark.parametrize("early", [False, True])
@pytest.mark.parametrize("kind", [GRUClassifier, GRURegressor])
@pytest.mark.pairwise
def test_a_fit_never_raises_however_it_diverges(kind, early, rate):
    X, y = tails()
    model = kind(units=3, epochs=8, budget=0, learning_rate=rate, early_stopping=early, random_state=0)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        model.fit(X, y)
        if kind is GRUClassifier:
            assert np.isfinite(model.predict_proba(X)).all()
        assert np.isfinite(model.predict(X)).all()
    said = [str(warning.message) for warning in caught if "training diverged in" in str(warning.message)]
    history = model.network_.history
    if rate > 1e30:
        assert len(said) == 1
        assert said[0].startswith(f"{kind.__name__}: ")
    assert {warning.category for warning in caught} <= {ConvergenceWarning}
    assert {warning.filename for warning in caught} <= {__file__}
    assert len(model.loss_curve_) == model.n_iter_ == len(history)
    assert model.network_.optimizer.learning_rate == rate


def test_going_on_after_a_divergence():
    """Each call begins at the rate that was given, from the parameters that the one before ended with."""
    X, y = tails()
    model = GRUClassifier(units=3, epochs=4, learning_rate=3e38, budget=0, random_state=0, warm_start=True)
    for _ in range(2):
        with pytest.warns(ConvergenceWarning, match=r"^GRUClassifier: .*training diverged in epoch"):
            model.fit(X, y)
    for _ in range(3):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)
            model.partial_fit(X, y)
    assert np.isfinite(model.predict_proba(X)).all()


def test_held_out_samples_beyond_all_bounds():
    """A feature that never changes in training is 1e38 in one sample that is held out: finite, and no validation is."""
    X, _ = waves()
    y = X[:, :, 1].mean(axis=1)
    for sample in range(0, 60, 20):
        wild = np.concatenate([X, np.zeros((*X.shape[:2], 1))], axis=2)
        wild[sample, 3, -1] = 1e38
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)
            model = GRURegressor(units=2, epochs=3, inputs="raw", random_state=0).fit(wild, y)
        assert np.isfinite(model.predict(wild[1:5])).all()


def test_going_on():
    X, y = waves()
    model = GRUClassifier(**SMALL, random_state=0, warm_start=True).fit(X, y)
    net, first = model.network_, model.loss_curve_[-1]
    model.fit(X, y)
    assert model.network_.layers is net.layers
    assert model.n_iter_ == 40
    assert model.loss_curve_[-1] < first
    parts = GRUClassifier(**SMALL, random_state=0)
    with pytest.raises(ValueError, match="y: "):
        parts.partial_fit(X[y == "up"], y[y == "up"])
    parts = GRUClassifier(**SMALL, random_state=0).partial_fit(X[:5], y[:5], classes=["up", "down"])
    for _ in range(30):
        parts.partial_fit(X, y)
    assert parts.n_iter_ == 31
    assert parts.score(X, y) > 0.9
    with pytest.raises(ValueError, match="y: "):
        parts.partial_fit(X, np.full(60, "sideways"))


def test_early_stopping(capsys):
    X, y = waves()
    y = np.random.default_rng(1).permutation(y)  # nothing to be learned
    model = GRUClassifier(
        8, epochs=200, early_stopping=True, n_iter_no_change=3, validation_fraction=0.25, random_state=0, verbose=1
    ).fit(X, y)
    assert model.n_iter_ == len(model.validation_scores_) < 200
    first, *epochs = capsys.readouterr().out.splitlines()
    assert first.startswith("chosen: ")
    assert len(epochs) == model.n_iter_


def test_why_there_were_no_folds_is_told(capsys):
    X, y = waves(8)
    model = GRUClassifier(2, epochs=1, verbose=1).fit(X, y)
    assert model.candidate_scores_ == {}
    assert capsys.readouterr().out.startswith("chosen: raw, without folds: 8 samples are not enough\nepoch 1 of 1: ")
    GRUClassifier(2, epochs=1, verbose=1, inputs="raw").fit(X, y)
    assert "chosen" not in capsys.readouterr().out


def test_missing_values_decay():
    """By a GRUD, which reads the times of the steps, in a choice of its own and in ensembles, copies and files."""
    X, y = waves()
    X[np.random.default_rng(0).random(X.shape) < 0.4] = np.nan
    times = np.cumsum(np.random.default_rng(1).random(X.shape[:2]), axis=1)
    options = {"units": 3, "epochs": 2, "missing": "decay", "random_state": 0}
    model = GRUClassifier(**options).fit(
        cgru.Sequences(X, times=times), y, validation=(cgru.Sequences(X, times=times), y)
    )
    first, *_ = model.network_.layers
    assert isinstance(first, cgru.GRUD)
    assert first.unit == pytest.approx((times[:, -1] - times[:, 0]).mean() / (X.shape[1] - 1))
    assert set(model.candidate_scores_) <= {text for text in model.candidate_scores_ if text.startswith("raw")}
    assert model.predict_proba(cgru.Sequences(X, times=times)).shape == (len(X), len(np.unique(y)))
    with refuses(ValueError, "times"):
        model.predict_proba(X)
    again = GRUClassifier(**options, layers=2, budget=0, ensemble=2).fit(cgru.Sequences(list(X), times=list(times)), y)
    kinds = [type(layer).__name__ for layer in again.networks_[1].layers]
    assert kinds == ["GRUD", "Dropout", "Bidirectional", "Pool", "Dropout", "Dense"]
    due = GRURegressor(**options, budget=0, pool="last").fit(cgru.Sequences(X, times=times), np.arange(len(X)) * 1.0)
    assert [type(layer).__name__ for layer in due.network_.layers] == ["GRUD", "Dropout", "Dense"]
    for wrong, why in (("zero", "missing: "), ("decay", "inputs: ")):
        with pytest.raises(ValueError, match=f"^{why}"):
            GRUClassifier(units=3, epochs=1, missing=wrong, inputs="difference").fit(X, y)


def test_a_regression_of_noise_says_the_mean_and_so_it_is_told():
    rng = np.random.default_rng(0)
    X, y = rng.standard_normal((60, 5, 2)), rng.standard_normal(60) + 100
    words = "^GRURegressor: nothing was learned: .* the mean alone"
    with pytest.warns(ConvergenceWarning, match=words) as caught:
        model = GRURegressor(units=4, random_state=0).fit(X, y)
    assert {warning.filename for warning in caught} == {__file__}  # and not a line of the package's
    assert np.ptp(model.predict(X)) < 1e-4
    np.testing.assert_allclose(model.predict(X), y.mean(), atol=0.3)
    loose = GRURegressor(units=4, budget=0, epochs=60, random_state=0).fit(X, y)
    assert np.ptp(loose.predict(X)) > 0.5


def test_a_classifier_that_stays_at_the_majority_says_so():
    X, _ = waves()
    y = np.where(np.arange(60) % 4, "often", "rarely")
    with pytest.warns(ConvergenceWarning, match=r"^GRUClassifier: .* alone is 75.00% of .* right in 75.00%") as caught:
        GRUClassifier(units=2, epochs=1, learning_rate=1e-9, random_state=0).fit(0 * X, y)
    assert {warning.filename for warning in caught} == {__file__}


def test_a_refit_that_fails_changes_nothing():
    X, y = waves()
    model = GRUClassifier(**SMALL, random_state=0).fit(X, y)
    before = model.predict(X).tolist(), model.n_features_in_, model.loss_curve_
    for wrong in (-np.ones(60), np.ones(3), np.ones((60, 2))):
        with pytest.raises(ValueError, match=r"sample_weight|1d array|inconsistent numbers|expected"):
            model.fit(X[:, :, :1], np.where(y == "up", "a", "b"), sample_weight=wrong)
        assert (model.predict(X).tolist(), model.n_features_in_, model.loss_curve_) == before
    numbers = GRURegressor(**SMALL, warm_start=True).fit(X, np.c_[X[:, 0, 0], X[:, 1, 0]])
    with refuses(ValueError, "y"):
        numbers.fit(X, X[:, 0, 0])
    assert numbers.predict(X).shape == (60, 2)
    part = GRUClassifier(units=2).partial_fit(X, y, classes=["down", "left", "up"])
    with refuses(ValueError, "classes"):
        part.partial_fit(X, y, classes=["down", "up"])


def test_few_samples_are_not_held_out():
    X, _ = waves(19)
    options = {**SMALL, "early_stopping": True}
    model = GRURegressor(**options, random_state=0).fit(X, X[:, 0, 0])
    assert not hasattr(model, "validation_scores_")
    assert hasattr(GRURegressor(**options).fit(*[np.r_[a, a[:1]] for a in (X, X[:, 0, 0])]), "validation_scores_")


# --- samples to validate with ---


def kept_loss(model, X, y, sample_weight=None):
    """The loss on samples as the fitted network computes it, and the lowest of the fit."""
    loss = model.network_.evaluate(X, y, sample_weight=sample_weight)["loss"]
    return loss, min(model.validation_scores_)


def test_a_classifier_validates_with_given_samples():
    (X, y), (V, v) = waves(), waves(30, s=9, seed=1)
    v = np.random.default_rng(1).permutation(v)  # which gets worse the more is learned
    options = {**FEW, "epochs": 200, "n_iter_no_change": 3}
    model = GRUClassifier(**options).fit(X, y, validation=(V, v))
    assert model.n_iter_ == len(model.validation_scores_) < 200
    assert np.argmin(model.validation_scores_) == model.n_iter_ - 4
    assert_close(*kept_loss(model, V, v), tolerance=1e-5)
    again = GRUClassifier(**options).fit(X, y, validation=[list(V), v.tolist()])
    np.testing.assert_array_equal(again.predict_proba(X), model.predict_proba(X))


def test_weights_of_samples_to_validate_with():
    (X, y), (V, v) = waves(), waves(30, seed=1)
    weights = np.arange(30) % 3
    model = GRUClassifier(**FEW, epochs=5).fit(X, y, validation=(V, v, weights))
    assert_close(*kept_loss(model, V, v, weights), tolerance=1e-5)
    some = GRUClassifier(**FEW, epochs=5).fit(X, y, validation=(V[weights > 0], v[weights > 0], weights[weights > 0]))
    assert_close(model.validation_scores_, some.validation_scores_, tolerance=1e-5)


@pytest.mark.parametrize("per_class", ["balanced", {"up": 3.0, "down": 1.0}])
def test_classes_weigh_the_same_to_validate_with(per_class):
    """Balanced by the counts of the training data, as in a share that is held out."""
    (X, y), (V, v) = waves(), waves(30, seed=1)
    y[:20] = "up"
    model = GRUClassifier(**FEW, epochs=4, class_weight=per_class).fit(X, y, validation=(V, v))
    counts = {name: (y == name).sum() for name in ("up", "down")}
    each = {name: 30 / counts[name] for name in counts} if per_class == "balanced" else per_class
    assert_close(*kept_loss(model, V, v, np.array([each[name] for name in v])), tolerance=1e-5)


@pytest.mark.parametrize("k", [0, 2])
def test_a_regressor_validates_in_the_units_of_y(k):
    rng = np.random.default_rng(0)
    X, V = rng.standard_normal((60, 6, 2)), rng.standard_normal((20, 6, 2))
    y, v = ((1e3 + 50 * A[:, :, : k or 1].sum(axis=1))[:, slice(None) if k else 0] for A in (X, V))
    model = GRURegressor(**FEW, epochs=60).fit(X, y, validation=(V, v))
    assert len(model.validation_scores_) == model.n_iter_
    assert np.sqrt(np.mean((model.predict(V) - v) ** 2)) < 0.5 * v.std()


def test_padding_of_samples_to_validate_with_counts_nowhere():
    (X, y), (V, v) = waves(), waves(30, seed=1)
    lengths = np.array([12, 5] * 15)
    ragged = [x[:n] for x, n in zip(V, lengths, strict=True)]
    model = GRUClassifier(**FEW, epochs=3).fit(X, y, validation=(ragged, v))
    assert_close(model.network_.evaluate(V, v, lengths)["loss"], min(model.validation_scores_), tolerance=1e-5)


def test_samples_to_validate_with_shrink_a_regression_of_noise():
    rng = np.random.default_rng(0)
    X, y = rng.standard_normal((60, 6, 2)), rng.standard_normal(60)
    V, v = rng.standard_normal((40, 6, 2)), rng.standard_normal(40)
    model = GRURegressor(8, epochs=40, budget=0, random_state=0).fit(X, y, validation=(V, v))
    due = GRURegressor(8, epochs=40, budget=0, random_state=0).fit(X, y)
    assert model.predict(V).std() < 0.2 * due.predict(V).std()


def test_refused_samples_to_validate_with():
    (X, y), (V, v) = waves(), waves(30, seed=1)
    model = GRUClassifier(**FEW, epochs=1)

    early, numbers = GRUClassifier(early_stopping=True), GRURegressor(**FEW, epochs=1)
    for given in (
        (V,), 0.2, (V, ["left", *v[1:]]), (V, v[1:]), (V, v, [1.0]), (V[:, :, :1], v), (np.where(V > 0, V, np.nan), v),
        (V, v, -np.ones(30)),
    ):  # fmt: skip
        with pytest.raises(ValueError, match=r"^validation( sample_weight)?: "):
            model.fit(X, y, validation=given)
        assert not hasattr(model, "networks_")
    for kind, targets, given in (
        (early, y, (V, v)),
        (numbers, X[:, 0, 0], (V, np.ones((30, 2)))),
        (numbers, X[:, 0, 0], (V, np.full(30, np.nan))),
    ):
        with refuses(ValueError, "validation"):
            kind.fit(X, targets, validation=given)


def test_scaled_are_refused():
    X, y = waves()
    each = np.tile(y[:, None], 12)
    with refuses(ValueError, "y"):
        GRUClassifier(**SMALL).fit(X, each)
    with pytest.raises(ValueError, match=r"(?i)dim 3|got shape \(60, 12, 2\)"):
        GRURegressor(**SMALL).fit(X, X)


@pytest.mark.parametrize(
    ("options", "kinds"),
    [
        ({}, ["Bidirectional", "Pool", "Dropout", "Dense"]),
        ({"layers": 2}, ["Bidirectional", "Dropout", "Bidirectional", "Pool", "Dropout", "Dense"]),
        ({"layers": 2, "dropout": 0.0}, ["Bidirectional", "Bidirectional", "Pool", "Dense"]),
        ({"pool": "last", "bidirectional": False}, ["GRU", "Dropout", "Dense"]),
        ({"pool": "mean", "dropout": 0.0}, ["Bidirectional", "Pool", "Dense"]),
        ({"pool": "last+mean+attention", "dropout": 0.0}, ["Bidirectional", "Pool", "Dense"]),
    ],
)
def test_the_network_is_the_one_that_was_asked_for(options, kinds):
    X, y = waves()
    given = {"epochs": 1, "learning_rate": 0.01, "weight_decay": 0.2, "inputs": "raw"}
    net = GRUClassifier(3, **given, **options).fit(X, y).network_
    assert [type(layer).__name__ for layer in net.layers] == kinds
    assert [layer.rate for layer in net.layers if isinstance(layer, cgru.Dropout)] == [0.3] * kinds.count("Dropout")
    assert net.layers[-1].d["u"] == 2
    assert net.optimizer == cgru.Adam(0.01, weight_decay=0.2, clip_norm=1.0, schedule="one_cycle")
    assert net.dtype == np.float32
    np.testing.assert_allclose(net.mean, X.mean(axis=(0, 1)), atol=1e-12)
    parts = GRUClassifier(3, standardize=False, **options).partial_fit(X, y).network_
    assert parts.optimizer.schedule in (None, cgru.optimizers.constant)
    assert parts.mean is None


def test_warm_start_with_as_many_epochs_as_fit(monkeypatch):
    """What was chosen at first is not chosen again."""
    X, y = waves(12)
    model = GRUClassifier(1, bidirectional=False, pool="last", budget=0, warm_start=True)
    monkeypatch.setattr(recipe, "budget", lambda *_: (None, 2))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # the loss still falls
        assert model.fit(X, y).fit(X, y).n_iter_ == 4


@pytest.mark.parametrize(
    ("n_jobs", "threads"), [(None, 5), (3, 3), (-1, os.cpu_count()), (-2, os.cpu_count() - 1), (-99, 1)]
)
def test_threads(n_jobs, threads, monkeypatch):
    """Those that were asked for, while it trains and predicts; then those that there were."""
    X, y = waves()
    seen, before = [], cgru.get_num_threads()
    for name in ("fit", "predict"):
        own = getattr(cgru.Network, name)
        monkeypatch.setattr(
            cgru.Network,
            name,
            lambda *given, own=own, **named: seen.append(cgru.get_num_threads()) or own(*given, **named),
        )
    cgru.set_num_threads(5)
    try:
        GRUClassifier(units=2, epochs=1, n_jobs=n_jobs, budget=0).fit(X, y).predict(X)
        assert cgru.get_num_threads() == 5
    finally:
        cgru.set_num_threads(before)
    assert set(seen) == {max(threads, 1)}


def test_targets_are_scaled_as_in_the_first_part():
    X, _ = waves()
    model = GRURegressor(units=2).partial_fit(X, np.arange(60.0)).partial_fit(X, 100 + np.arange(60.0))
    np.testing.assert_allclose(model.target_mean_, [29.5])
    assert model.target_scale_ == pytest.approx(np.arange(60.0).std())


def test_it_says_what_is_missing(monkeypatch):
    monkeypatch.setitem(sys.modules, "sklearn.base", None)
    monkeypatch.delitem(sys.modules, "cgru.sklearn")
    with pytest.raises(ImportError, match=r"cgru\.sklearn: scikit-learn is missing: pip install scikit-learn"):
        importlib.import_module("cgru.sklearn")


@pytest.mark.parametrize("in_a_list", [False, True])
def test_missing_values_are_refused_with_what_fills_them(in_a_list):
    X, y = waves()
    model = GRUClassifier(units=3, epochs=1, budget=0).fit(X, y)
    X[3, 2, 1] = np.nan
    given = list(X) if in_a_list else X
    for call in (lambda: model.fit(given, y), lambda: model.predict(given)):
        with refuses(ValueError, "X"):
            call()
    with refuses(ValueError, "X"):
        model.fit(np.where(np.isnan(X), np.inf, X), y)


# --- what is kept ---

CLASSES = [
    np.array([1, 2, 3, 4]),
    np.array([-1, 1], np.int8),
    np.array([0, 2, 3], np.uint16),
    np.array([False, True]),
    np.array([1.0, 2.0], np.float32),
    np.array(["a", "bcd"], "U7"),
    np.array(["no", "yes"], object),
]


@pytest.mark.parametrize("classes", CLASSES, ids=lambda classes: classes.dtype.str)
def test_a_saved_classifier_has_the_classes_of_y(tmp_path, classes):
    """In the file of its network, which has no pickle, and in a pickle."""
    X, _ = waves()
    y = classes[np.arange(60) % len(classes)]
    weights = dict.fromkeys(classes.tolist(), 2.0)
    options = {"class_weight": weights, "early_stopping": True}
    model = GRUClassifier(units=3, epochs=2, budget=0, random_state=0, **options).fit(X, y)
    model.network_.save(tmp_path / "net.npz")
    net = cgru.load(tmp_path / "net.npz")
    assert net.predict_classes(X).dtype == y.dtype
    np.testing.assert_array_equal(net.predict_classes(X), model.predict(X))
    assert net.evaluate(X, y)["accuracy"] == pytest.approx(model.score(X, y))
    assert cgru.report(net, X, y)["classes"][0]["name"] == str(classes.tolist()[0])
    twin = pickle.loads(pickle.dumps(model))
    np.testing.assert_array_equal(twin.predict_proba(X), model.predict_proba(X))
    assert twin.predict(X).dtype == y.dtype
    for name in ("classes_", "n_features_in_", "loss_curve_", "n_iter_", "validation_scores_"):
        np.testing.assert_array_equal(getattr(twin, name), getattr(model, name))
    assert twin.get_params() == model.get_params()
    with np.load(tmp_path / "net.npz", allow_pickle=False) as npz:
        assert all(npz[name].dtype.kind != "O" for name in npz.files)


def test_a_saved_regressor_predicts_in_the_units_of_y(tmp_path):
    X, _ = waves()
    level = X[:, :, 1].mean(axis=1)
    both = np.column_stack([5 + level, 1e3 * level])
    for i, y in enumerate((1e6 + 1e4 * level, both, both, np.full(60, 1e9), 1e60 * level)):
        model = GRURegressor(units=3, epochs=8, inputs="raw", random_state=0, early_stopping=bool(i % 2)).fit(X, y)
        due, net = model.predict(X), model.network_
        net.save(tmp_path / "net.npz")
        for predicts in (net.predict(X), cgru.load(tmp_path / "net.npz").predict(X)):
            tolerance = 1e-4 * np.ptp(due) + 1e-7 * np.abs(due).max() * (net.dtype == np.float32)
            assert_close(predicts.reshape(due.shape), due, tolerance)
        twin = pickle.loads(pickle.dumps(model))
        np.testing.assert_array_equal(twin.predict(X), due)
        np.testing.assert_array_equal(twin.network_.predict(X), net.predict(X))
        model.partial_fit(X, y)
        assert np.isfinite(twin.partial_fit(X, y).predict(X)).all()


def test_a_fit_in_many_parts_copies_no_epoch(monkeypatch):
    X, y = waves()
    model = GRURegressor(units=2, random_state=0).partial_fit(X, 1.0 * (y == "up"))
    monkeypatch.setattr(cgru.network.history.Epoch, "__reduce_ex__", pytest.fail)
    model.partial_fit(X, 1.0 * (y == "up"))
    assert len(model.network_.history) == 2
    assert model.network_.history is not model._nets[0].history


def test_names_of_targets():
    pandas = pytest.importorskip("pandas")
    X, _ = waves()
    Y = pandas.DataFrame(np.random.default_rng(0).standard_normal((60, 2)), columns=["height", "weight"])
    few = {"units": 3, "epochs": 1, "budget": 0, "random_state": 0}
    model = GRURegressor(**few).fit(X, Y)
    for each in (model, pickle.loads(pickle.dumps(model)), model.partial_fit(X, Y.to_numpy())):
        assert each.network_.target_names == ("height", "weight")
    assert cgru.report(model.network_, X, Y.to_numpy())["outputs"][1]["name"] == "weight"
    assert GRURegressor(**few).fit(X, Y["height"]).network_.target_names == ("height",)
    unnamed = (Y.to_numpy(), Y.set_axis([0, 1], axis=1), Y["height"].rename(None))
    for y in unnamed:
        assert GRURegressor(**few).fit(X, y).network_.target_names is None
    flat = pandas.DataFrame(X[:, :, 0], columns=[f"t{i}" for i in range(12)])
    model = GRURegressor(**few).fit(flat, Y["height"])
    twin = pickle.loads(pickle.dumps(model))
    assert twin.feature_names_in_.tolist() == list(flat)
    np.testing.assert_array_equal(twin.predict(flat), model.predict(flat))


@pytest.mark.parametrize("unit", [5000.0, 1e200, np.array([2.0, 400.0])])
def test_nothing_was_learned_is_said_in_any_unit_of_y(unit):
    X = np.random.default_rng(0).standard_normal((60, 5, 1))
    y = np.random.default_rng(1).standard_normal((60, np.size(unit)))
    with pytest.warns(ConvergenceWarning, match=r"^GRURegressor: nothing was learned: a constant alone .* loss of 1 "):
        GRURegressor(units=2, epochs=1, inputs="raw", random_state=0).fit(X, unit * y)
