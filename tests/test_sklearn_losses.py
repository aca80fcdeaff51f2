"""Losses of `GRURegressor`: quantiles, counts, normal distributions, outliers."""

import warnings

import numpy as np
import pytest
from helpers import refuses, some

sklearn = pytest.importorskip("sklearn", reason="no scikit-learn")

from sklearn.exceptions import NotFittedError  # noqa: E402

import cgru  # noqa: E402
from cgru.sklearn import GRURegressor  # noqa: E402

# Few epochs learn little.
pytestmark = pytest.mark.filterwarnings("ignore:GRU.* nothing was learned:sklearn.exceptions.ConvergenceWarning")

LOSSES = ["mse", "huber(0.5)", "quantile", "quantile(0.3, 0.9)", "gaussian", "poisson"]


def counted(m=60, targets=1, seed=0):
    """Sequences, and counts whose rate is in their first steps: (m,), or (m, targets)."""
    rng = np.random.default_rng(seed)
    X = rng.standard_normal((m, 6, 1))
    y = rng.poisson(np.exp(2 + X[:, :targets, 0])).astype(float)
    return X, y[:, 0] if targets == 1 else y * [1.0, 100.0]


EACH = [(loss, 1 + (i + turn) % 2) for turn in (0, 1) for i, loss in enumerate(LOSSES)]


@pytest.mark.parametrize(("loss", "targets"), some(len(LOSSES), EACH))
def test_each_loss_predicts_in_the_units_of_y(loss, targets):
    X, y = counted(targets=targets)
    inputs = "auto" if loss.startswith("quantile") else "raw"
    model = GRURegressor(6, epochs=60, dropout=0.0, inputs=inputs, random_state=0, loss=loss).fit(X, y)
    found, net, own = cgru.losses.named(loss), model.network_, model._nets[0]
    assert (net.loss, net.head.d["u"]) == (found.name, targets * found.outputs)
    assert model.score(X, y) > 0.3
    points = found.point(net.predict(X)).reshape(y.shape)
    np.testing.assert_allclose(points, model.predict(X), rtol=1e-4, atol=1e-4)
    scaled = own.evaluate(X, (y.reshape(60, -1) - model.target_mean_) / model.target_scale_)["loss"]
    if loss == "gaussian":
        assert net.evaluate(X, y)["loss"] == pytest.approx(scaled + np.log(model.target_scale_).mean(), rel=1e-4)
    elif targets == 1 and loss != "huber(0.5)":  # whose delta is in deviations
        unit = model.target_scale_[0] ** (2 if loss == "mse" else 1)
        assert net.evaluate(X, y)["loss"] == pytest.approx(scaled * unit, rel=1e-4)


@pytest.mark.parametrize("loss", LOSSES)
def test_each_loss_goes_on_stops_early_and_is_averaged(loss):
    X, y = counted()
    options = {"units": 4, "epochs": 60, "dropout": 0.0, "inputs": "raw", "random_state": 0, "loss": loss}
    model = GRURegressor(**options, warm_start=True).fit(X, y)
    assert model.fit(X, y).partial_fit(X, y).n_iter_ == 121
    assert model.score(X, y) > 0.3
    early = GRURegressor(**options, early_stopping=True).fit(X, y, np.arange(60) % 3 + 1.0)
    assert len(early.validation_scores_) == early.n_iter_
    three = GRURegressor(**options, ensemble=3).fit(X, y)
    each = [cgru.losses.named(loss).point(net.predict(X))[:, 0] for net in three.networks_]
    np.testing.assert_allclose(three.predict(X), np.mean(each, axis=0), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("loss", ["huber", "quantile(0.1, 0.5)", "gaussian"])
def test_targets_that_float32_cannot_tell_apart(loss):
    X, y = counted()
    model = GRURegressor(4, epochs=100, inputs="raw", dropout=0.0, random_state=0, loss=loss).fit(X, 1e9 + y)
    assert model.network_.dtype == np.float64
    points = cgru.losses.named(loss).point(model.network_.predict(X))[:, 0]
    np.testing.assert_allclose(points - 1e9, model.predict(X) - 1e9, atol=1e-3)
    assert model.score(X, 1e9 + y) > 0.3


def test_quantiles_hold_what_they_promise():
    rng = np.random.default_rng(0)
    X = rng.standard_normal((1000, 4, 1))
    spread = np.exp(X[:, 0, 0] / 2)
    y = 1e6 + 1e3 * np.column_stack([spread * rng.standard_normal(1000), X[:, 1, 0] + rng.exponential(size=1000)])
    options = {"units": 8, "random_state": 0, "loss": "quantile(0.1, 0.5, 0.9)", "inputs": "raw", "ensemble": 2}
    model = GRURegressor(**options).fit(X[:600], y[:600])
    found = model.predict_quantiles(X[600:])
    assert found.shape == (400, 2, 3)
    np.testing.assert_allclose((y[600:, :, None] <= found).mean(axis=0), [[0.1, 0.5, 0.9]] * 2, atol=0.07)
    np.testing.assert_array_equal(found[:, :, 1], model.predict(X[600:]))
    assert np.corrcoef(np.ptp(found[:, 0], axis=1), spread[600:])[0, 1] > 0.8
    outputs = np.mean([net.predict(X[600:]) for net in model.networks_], axis=0)
    np.testing.assert_allclose(outputs.reshape(found.shape), found, atol=1)  # float32 at 1e6
    one = GRURegressor(2, epochs=1, budget=0, loss="quantile(0.9)").fit(X, y[:, 0])
    assert one.predict_quantiles(X).shape == (1000, 1, 1)
    np.testing.assert_array_equal(one.predict_quantiles(X)[:, 0, 0], one.predict(X))


@pytest.mark.parametrize("size", [0.1, 1e4])
def test_counts_of_any_size_have_their_rates(size):
    rng = np.random.default_rng(0)
    X = rng.standard_normal((300, 4, 1))
    rates = size * np.exp(X[:, 0, 0])
    y, weights = rng.poisson(rates).astype(float), np.repeat([1.0, 0.0], 150)
    model = GRURegressor(8, loss="poisson", random_state=0, inputs="raw").fit(X, y)
    assert np.corrcoef(np.log(model.predict(X)), X[:, 0, 0])[0, 1] > (0.8 if size < 1 else 0.98)
    np.testing.assert_allclose(model.predict(X).mean(), y.mean(), rtol=0.2)
    assert (model.target_mean_, model.target_scale_) == (0, 1)
    weighted = GRURegressor(2, loss="poisson", epochs=1, learning_rate=1e-9, inputs="raw", dropout=0.0, random_state=0)
    start = weighted.fit(0 * X, np.where(weights > 0, 7.0, 1e6), weights)
    np.testing.assert_allclose(start.predict(0 * X), 7, rtol=1e-4)


def test_losses_and_targets_that_are_refused():
    X, y = counted()
    model = GRURegressor(2, epochs=1, budget=0, random_state=0, loss="quantile").fit(X, y)
    due, state = model.predict(X), dict(vars(model))
    for loss in ("cross_entropy", cgru.losses.huber, "quantile(0.9, 0.1)", "nonsense"):
        for fit in (model.set_params(loss=loss).fit, GRURegressor(loss=loss).fit):
            with refuses(ValueError, "loss"):
                fit(X, y)
        assert dict(vars(model)) | {"loss": "quantile"} == state
    for call in (model.set_params(loss=None).partial_fit, model.set_params(warm_start=True).fit):
        with refuses(ValueError, "loss"):
            call(X, y)
    np.testing.assert_array_equal(model.predict(X), due)  # whatever is asked for since
    y[3] = -2
    for counts, place in ((y, "3"), (np.column_stack([abs(y), y]), "3, 1")):
        with pytest.raises(ValueError, match=rf"^y\[{place}\]: expected"):
            GRURegressor(loss="poisson").fit(X, counts)
    with pytest.raises(NotFittedError):
        GRURegressor(loss="quantile").predict_quantiles(X)
    for loss in (None, "huber", "gaussian", "poisson"):
        model = GRURegressor(2, epochs=1, budget=0, loss=loss).fit(X, abs(y))
        with refuses(AttributeError, "predict_quantiles"):
            model.predict_quantiles(X)


def test_outliers_are_no_reason_for_a_note():
    rng = np.random.default_rng(0)
    X = rng.standard_normal((100, 6, 1))
    y = X[:, 0, 0] + np.where(np.arange(100) % 20, 0, 30 * rng.standard_normal(100))
    for loss in ("huber(0.1)", "quantile"):
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            model = GRURegressor(8, loss=loss, inputs="raw", random_state=0).fit(X, y)
        assert np.corrcoef(model.predict(X), X[:, 0, 0])[0, 1] > 0.8
