"""What the estimators choose, hold out and average: candidates, groups, ensembles."""

import pickle

import numpy as np
import pytest
from helpers import assert_close, refuses
from sklearn_cases import FEW, waves

sklearn = pytest.importorskip("sklearn", reason="no scikit-learn")

from sklearn.exceptions import ConvergenceWarning  # noqa: E402
from sklearn.model_selection import GridSearchCV, GroupKFold, cross_val_score  # noqa: E402
from sklearn.pipeline import make_pipeline  # noqa: E402
from sklearn.preprocessing import StandardScaler  # noqa: E402

import cgru  # noqa: E402
from cgru.estimators import recipe  # noqa: E402
from cgru.network.data.split import draw_held_out  # noqa: E402
from cgru.sklearn import GRUClassifier, GRURegressor  # noqa: E402

# Few epochs learn little.
pytestmark = pytest.mark.filterwarnings("ignore:GRU.* nothing was learned:sklearn.exceptions.ConvergenceWarning")


# --- groups ---


def seen_groups(monkeypatch):
    """The groups by which estimators hold samples out, fit by fit."""
    seen, own = [], draw_held_out

    def draw(m, share, seed, classes, groups):
        seen.append(groups)
        return own(m, share, seed, classes, groups)

    monkeypatch.setattr("cgru.estimators.sequence_estimator.draw_held_out", draw)
    return seen


def test_what_is_held_out_has_no_part_in_the_choice(monkeypatch):
    X, y = waves()
    chosen, fitted, own = [], [], cgru.estimators.model_selection.choose

    def choose(make, recipe, X, y, *, groups, **options):
        chosen.append((X, groups))
        return own(make, recipe, X, y, groups=groups, **options)

    def fit(self, X, y, *, validation, **options):
        fitted.append((X, validation[0]))
        return own_fit(self, X, y, validation=validation, **options)

    own_fit = cgru.Network.fit
    monkeypatch.setattr(cgru.estimators.model_selection, "choose", choose)
    monkeypatch.setattr(cgru.Network, "fit", fit)
    groups = np.arange(60) // 4
    options = {"units": 2, "epochs": 1, "budget": 0, "random_state": 0, "early_stopping": True}
    GRUClassifier(**options, ensemble=2).fit(X, y, groups=groups)
    (used, of), *_ = chosen
    assert (len(chosen), len(used), len(set(of))) == (1, 48, 12)
    for trained, validated in fitted:  # each member of the ensemble
        np.testing.assert_array_equal(trained.X, used.X)
        np.testing.assert_array_equal(np.sort(np.r_[trained.X, validated.X], axis=None), np.sort(X, axis=None))
    assert len(fitted) == 2


def test_a_warm_start_holds_out_the_same_samples(monkeypatch):
    X, y = waves()
    seen, own = [], cgru.Network.fit

    def fit(self, X, y, *, validation, **options):
        seen.append(validation[0])
        return own(self, X, y, validation=validation, **options)

    monkeypatch.setattr(cgru.Network, "fit", fit)
    model = GRUClassifier(2, epochs=1, budget=0, early_stopping=True, warm_start=True).fit(X, y).fit(X, y)
    pickle.loads(pickle.dumps(model)).fit(X, y)
    for each in seen[1:]:
        np.testing.assert_array_equal(each.X, seen[0].X)
    assert len(seen) == 3


@pytest.mark.parametrize(
    "options",
    [  # the last of each is the one that is named
        {"learning_rate": -1.0}, {"epochs": 0}, {"batch_size": 0}, {"ensemble": 0}, {"average": 2}, {"budget": -1.0},
        {"early_stopping": True, "n_iter_no_change": 0}, {"early_stopping": True, "validation_fraction": 1.0},
        {"causal": "yes"}, {"causal": True, "inputs": "normalize"}, {"inputs": "patches"}, {"missing": "zero"},
        *({"loss": loss} for loss in ("quantile(0.9, 0.1)", "huber(-1)", "gaussian(2)", "nonsense", 3)),
        *({"loss": loss} for loss in ("cross_entropy", "binary_cross_entropy", cgru.losses.huber)),
    ],
)  # fmt: skip
def test_what_is_invalid_is_refused_before_the_folds(monkeypatch, options):
    X, y = waves()
    monkeypatch.setattr(cgru.estimators.model_selection, "fit_many", None)
    for kind, targets in ((GRURegressor, X[:, 0, 0]), (GRUClassifier, y)):
        if kind is GRURegressor or "loss" not in options:
            with refuses((TypeError, ValueError), [*options][-1]):
                kind(**options).fit(X, targets)


def test_groups_are_no_matter_where_nothing_is_held_out():
    X, y = waves()
    due, model = (
        GRUClassifier(4, epochs=2, budget=0, random_state=0).fit(X, y, groups=g) for g in (None, np.arange(60) // 4)
    )
    np.testing.assert_array_equal(model.predict_proba(X), due.predict_proba(X))
    with refuses(ValueError, "groups"):
        model.fit(X, y, groups=[1, 2, 3])


def test_searches_and_pipelines_pass_groups_on(monkeypatch):
    X, y = waves(e=1)
    groups = np.array([f"s{i // 4}" for i in range(60)])
    options = {"early_stopping": True, "epochs": 2, "random_state": 0, "budget": 0}
    with sklearn.config_context(enable_metadata_routing=True):
        model = make_pipeline(StandardScaler(), GRUClassifier(4, **options).set_fit_request(groups=True))
        search = GridSearchCV(model, {"gruclassifier__units": [2, 3]}, cv=GroupKFold(3), refit=False)
        seen = seen_groups(monkeypatch)
        search.fit(X[:, :, 0], y, groups=groups)
        assert [len(set(found)) for found in seen] == [10] * 6  # of 15, those that train
        seen.clear()
        scores = cross_val_score(model, X[:, :, 0], y, cv=GroupKFold(3), params={"groups": groups})
        assert len(scores) == len(seen) == 3
        assert all(len(set(found)) == 10 for found in seen)
        model[-1].set_fit_request(groups=False)
        model[-1].fit(X, y)
        seen.clear()
        search.fit(X[:, :, 0], y, groups=groups)
        assert seen == [None] * 6


def test_inputs_are_chosen_said_and_kept():
    rng = np.random.default_rng(0)
    y = np.arange(60) % 2
    shapes = np.where(y[:, None] == 1, np.sin(np.arange(12)), np.cos(np.arange(12)))
    X = (shapes + 0.1 * rng.standard_normal((60, 12))) * 10 ** rng.uniform(-3, 3, (60, 1))
    model = GRUClassifier(4, epochs=40, random_state=0).fit(X, y)
    assert model.inputs_.startswith("normalize")
    assert model.candidate_scores_[model.inputs_] > model.candidate_scores_["raw"] + 0.2
    assert isinstance(model.network_.layers[0], cgru.Normalize)
    assert model.score(X, y) > 0.9
    again = GRUClassifier(4, epochs=40, random_state=0, n_jobs=2).fit(X, y)
    assert (again.inputs_, again.candidate_scores_) == (model.inputs_, model.candidate_scores_)
    np.testing.assert_array_equal(again.predict_proba(X), model.predict_proba(X))
    loaded = pickle.loads(pickle.dumps(model))
    assert (loaded.inputs_, loaded.candidate_scores_) == (model.inputs_, model.candidate_scores_)
    np.testing.assert_array_equal(loaded.predict_proba(X), model.predict_proba(X))
    given = GRUClassifier(4, epochs=2, inputs="difference+frames(3)").fit(X, y)
    assert (given.inputs_, given.candidate_scores_) == ("difference+frames(3)", {})
    kinds = [type(layer).__name__ for layer in given.network_.layers]
    assert kinds[:4] == ["Difference", "Scale", "Frames", "Bidirectional"]


@pytest.mark.parametrize("kind", [GRUClassifier, GRURegressor])
def test_an_ensemble_averages_networks_of_several_seeds(kind):
    X, y = waves()
    y = y if kind is GRUClassifier else X[:, 0, 0]
    options = {"epochs": 5, "random_state": 0, "inputs": "raw"}
    model, one = (kind(4, ensemble=n, **options).fit(X, y) for n in (3, 1))
    outputs = [net.predict(X) for net in model.networks_]
    assert len(outputs) == 3
    assert len(model._nets) == 3
    np.testing.assert_array_equal(outputs[0], one.network_.predict(X))
    assert not np.allclose(outputs[0], outputs[1])
    assert not np.allclose(outputs[1], outputs[2])
    found = model.predict(X) if kind is GRURegressor else model.predict_proba(X)
    np.testing.assert_allclose(found, np.mean(outputs, axis=0).reshape(found.shape), rtol=1e-5, atol=1e-6)
    with refuses(AttributeError, "network_"):
        _ = model.network_
    again = pickle.loads(pickle.dumps(model))
    assert len(again.networks_) == 3
    np.testing.assert_array_equal(again.predict(X), model.predict(X))
    with refuses(ValueError, "ensemble"):
        model.partial_fit(X, y)
    with pytest.raises(AttributeError, match="not fitted"):
        _ = kind().network_


def test_a_causal_estimator_runs_step_by_step():
    X, y = waves()
    model = GRUClassifier(4, epochs=10, causal=True, random_state=0).fit(X, y)
    assert model.candidate_scores_
    assert not any("normalize" in text for text in model.candidate_scores_)
    stream = cgru.Stream(model.network_)
    outs = [out.copy() for out in map(stream.step, X[:1].swapaxes(0, 1)) if out is not None]
    out = [*outs, *stream.finish().swapaxes(0, 1)][-1][0]
    np.testing.assert_allclose(out, model.predict_proba(X[:1])[0], rtol=1e-4)


def test_the_mean_of_the_parameters():
    rng = np.random.default_rng(0)
    X, y = rng.standard_normal((12, 5, 3)), rng.integers(0, 2, 12)
    plain, averaged = (
        GRUClassifier(4, epochs=5, budget=0, average=average, random_state=0).fit(X, y) for average in (None, 0.9)
    )
    assert plain.loss_curve_ == averaged.loss_curve_
    assert (plain.predict_proba(X) != averaged.predict_proba(X)).any()
    one, other = (
        GRURegressor(3, epochs=5, budget=0, average=average, random_state=0).fit(X, X[:, 0]) for average in (None, 0.9)
    )
    assert (one.predict(X) != other.predict(X)).any()


def test_smoothed_labels():
    rng = np.random.default_rng(0)
    X, y = rng.standard_normal((12, 5, 3)), rng.integers(0, 2, 12)
    plain, smoothed = (
        GRUClassifier(4, epochs=5, loss=loss, random_state=0).fit(X, y) for loss in (None, "cross_entropy(0.3)")
    )
    assert (plain.network_.loss, smoothed.network_.loss) == ("cross_entropy", "cross_entropy(0.3)")
    assert plain.loss_curve_ != smoothed.loss_curve_
    for wrong in ("cross_entropy(1)", "mse", "binary_cross_entropy"):
        with refuses(ValueError, "loss"):
            GRUClassifier(4, epochs=1, loss=wrong).fit(X, y)


def test_an_ensemble_shares_lengths_weights_and_groups():
    X, _ = waves()
    ragged, weights, groups = [x[: 6 + i % 7] for i, x in enumerate(X)], np.arange(60) % 3, np.arange(60) // 4
    options = {**FEW, "epochs": 2, "early_stopping": True}
    several, one = (
        GRURegressor(**options, ensemble=n).fit(ragged, X[:, 0, 0], sample_weight=weights, groups=groups)
        for n in (2, 1)
    )
    assert_close(several.networks_[0].predict(X), one.networks_[0].predict(X), tolerance=1e-5)
    assert_close(several.validation_scores_, one.validation_scores_, tolerance=1e-5)


def test_a_warning_says_that_the_loss_still_falls(monkeypatch):
    X, y = waves()
    monkeypatch.setattr(recipe, "budget", lambda m, size, epochs: (16, epochs or 3))
    with pytest.warns(ConvergenceWarning, match="falls at the end, .*; more epochs may help") as caught:
        GRUClassifier(8, inputs="raw", random_state=0).fit(X, y)
    assert {warning.filename for warning in caught} == {__file__}
    GRUClassifier(8, epochs=3, inputs="raw", random_state=0).fit(X, y)  # their number is the user's


@pytest.mark.parametrize("options", [{"causal": True}, {"bidirectional": False}])
def test_one_direction_is_chosen_among_what_runs_step_by_step(options):
    X, y = waves()
    model = GRUClassifier(4, epochs=2, budget=1.0, random_state=0, **options).fit(X, y)
    assert len(model.candidate_scores_) > 3
    assert not any("normalize" in text for text in model.candidate_scores_)
    assert model.layers_ in (1, 2)
    assert model.pool_ in (recipe.POOL, "mean", "mean+max")
    assert (model.layers, model.pool) == (None, None)  # parameters stay as they were given
    stays = GRUClassifier(4, epochs=2, layers=1, pool="max", budget=0.5, random_state=0).fit(X, y)
    assert (stays.layers_, stays.pool_) == (1, "max")
    assert all("layers" not in text and "pool max" in text for text in stays.candidate_scores_)


# --- states that begin anew ---


def since_reset(m=24, s=40, seed=0):
    """Sequences of steps of one size, whether a reset stands late in them, and the resets."""
    rng = np.random.default_rng(seed)
    late = rng.integers(0, 2, m)
    resets = np.arange(s) == np.where(late, s - 2, 3)[:, None]
    return 1 + 0.1 * rng.standard_normal((m, s, 1)), np.where(late, "late", "early"), resets


OPTIONS = {"units": 4, "random_state": 0, "bidirectional": False}


def test_with_resets_no_layer_is_chosen_that_changes_the_steps_or_reads_all():
    X, y, resets = since_reset(s=50)
    options = OPTIONS | {"bidirectional": True, "epochs": 1}
    texts = list(GRUClassifier(**options).fit(cgru.Sequences(X, resets=resets), y).candidate_scores_)
    assert {text.partition(",")[0] for text in texts} == {"raw"}
    assert len(texts) > 2  # with other pools and more layers
    assert any("frames" in text for text in GRUClassifier(**options).fit(X, y).candidate_scores_)
    with pytest.raises(ValueError, match=r"resets: .*after Frames"):
        GRUClassifier(**OPTIONS, inputs="frames(2)", epochs=1).fit(cgru.Sequences(X, resets=resets), y)


@pytest.mark.parametrize("options", [{}, {"ensemble": 2}, {"early_stopping": True}], ids=["one", "two", "stopped"])
def test_resets_go_with_their_samples(options):
    X, y, resets = since_reset()
    found = GRUClassifier(**OPTIONS, inputs="raw", pool="last", learning_rate=0.03, epochs=25, **options)
    found.fit(cgru.Sequences(X, resets=resets), y)
    A = found.predict_proba(cgru.Sequences(X, resets=resets))
    assert_close(A, np.mean([net.predict(cgru.Sequences(X, resets=resets)) for net in found.networks_], axis=0), 1e-6)
    assert np.abs(A - found.predict_proba(X)).max() > 0.1
    assert_close(A, found.predict_proba(cgru.Sequences(X, decay=1.0 - resets)), 1e-12)
    assert_close(A, found.predict_proba(cgru.Sequences(list(X), resets=list(resets))), 1e-12)
    right = found.predict(cgru.Sequences(X, resets=resets)) == y
    assert found.score(cgru.Sequences(X, resets=resets), y) == right.mean() > 0.75
    assert found.score(cgru.Sequences(X, resets=resets), y, right) == 1
    assert found.score(cgru.Sequences(X, decay=1.0 - resets), y) == right.mean()
    assert found.score(X, y) < 0.7


def test_samples_to_validate_with_have_resets_of_their_own():
    X, y, resets = since_reset()
    losses = []
    for own in ({"resets": resets[16:]}, {"decay": 1.0 - resets[16:]}, {}):
        held = cgru.Sequences(X[16:], **own)
        found = GRUClassifier(**OPTIONS, inputs="raw", epochs=3)
        found.fit(cgru.Sequences(X[:16], resets=resets[:16]), y[:16], validation=(held, y[16:]))
        losses.append(found.validation_scores_)
    assert losses[0] == losses[1] != losses[2]
    curve = [*found.loss_curve_, found.networks_[0].evaluate(cgru.Sequences(X, resets=resets), y == "late")["loss"]]
    found.partial_fit(cgru.Sequences(X, resets=resets), y)
    assert len(found.loss_curve_) == len(curve)
    with pytest.raises(ValueError, match="resets: "):
        found.fit(cgru.Sequences(X[:16], resets=resets), y[:16])
