import copy
import json
import sys
from importlib.util import find_spec

import numpy as np
import pytest

import cgru
from cgru.forecast import Forecaster, forecaster, load
from cgru.forecast.forecaster import MODELS, min_length, models_of
from cgru.forecast.ridge import ridge
from cgru.forecast.rivals import climatology, exponential_smoothing
from cgru.forecast.series_windows import History

rng = np.random.default_rng(0)
t = np.arange(120)
SINE = 50 + 10 * np.sin(2 * np.pi * t / 12)
NOISY = SINE + 0.1 * t + rng.standard_normal(120)
TIMES = np.datetime64("2000-01", "M") + t
QUICK = {"networks": 2, "epochs": 3, "units": 4}
PROMO = (np.random.default_rng(3).random(132) < 0.3).astype(float)[:, None]
SOLD = 100 + 5 * np.sin(2 * np.pi * np.arange(132) / 12) + 20 * PROMO[:, 0]


@pytest.fixture(scope="module")
def noisy():
    return Forecaster(6, season=12, quantiles=(0.1, 0.9), **QUICK).fit(NOISY)


@pytest.fixture(scope="module")
def promoted():
    return Forecaster(12, season=12, width=12, quantiles=(0.1, 0.9), **QUICK).fit(SOLD[:120], known=PROMO[:120])


def with_weights(model, **weights):
    """The same fitted model, whose forecast is made by other models."""
    other = copy.copy(model)
    other.weights = weights
    return other


def jobs(model, y, X=None, known=None, **rest):
    return model.jobs(History.of(y, X, known, None, (0, model.horizon)), **rest)


# --- series whose future is known ---


@pytest.mark.parametrize(
    ("y", "season", "due", "off"),
    [
        (SINE, 12, 50 + 10 * np.sin(2 * np.pi * (120 + np.arange(5)) / 12), 0.01),
        (1000 + 2.0 * t, 1, 1000 + 2.0 * (120 + np.arange(5)), 2),
        (1000 - 3.0 * t, 1, 1000 - 3.0 * (120 + np.arange(5)), 3),
        (np.repeat([10.0, 20.0], [80, 40]), 1, np.full(5, 20.0), 0.5),
        (t % 4, 4, np.arange(5) % 4, 1e-3),
        (1e9 + t % 4, 4, 1e9 + np.arange(5) % 4, 1e-3),
        *((np.full(60, value), 1, np.full(5, value), 1e-9 * abs(value)) for value in (0.0, 7.0, -1e9, 1e-30)),
    ],
)
def test_a_series_goes_on(y, season, due, off):
    model = Forecaster(5, season=season, quantiles=(0.1, 0.9), networks=4).fit(y)
    np.testing.assert_allclose(model.predict(y), due, rtol=0, atol=off + 1e-12 * (off == 0))
    assert model.width_ == max(12, 2 * season)


@pytest.mark.parametrize("unit", [1e-20, 1e20])
def test_the_unit_of_a_series_changes_nothing(unit):
    one = Forecaster(6, season=12, **QUICK).fit(NOISY).predict(NOISY)
    other = Forecaster(6, season=12, **QUICK).fit(unit * NOISY).predict(unit * NOISY)
    np.testing.assert_allclose(other / unit, one, rtol=1e-4)


def test_windows_of_zeros_among_others():
    y = np.zeros(100)
    y[::25] = 3
    assert np.isfinite(Forecaster(3, **QUICK).fit(y).predict(y)).all()


# --- what the networks read ---


def test_networks_are_of_the_recipe(noisy):
    (gru, dense) = noisy.networks_[0].layers
    assert (gru.d["u"], gru.sequences, dense.d["u"], noisy.networks_[0].dtype) == (4, False, 18, np.float32)
    assert len({float(network.layers[0].p["Uz"][0, 0]) for network in noisy.networks_}) == 2


def test_a_network_reads_the_window_in_its_own_units():
    model = Forecaster(2, season=2, width=3, networks=2)
    even, odd = jobs(model, np.arange(1.0, 21), name=("at",))
    assert (even.name, odd.name) == (("at", 0), ("at", 1))
    found = even.samples.X * model._input_scale + model._input_mean
    np.testing.assert_allclose(found[0, :, 0], np.array([-2, -1, 0]) / 2)  # 1, 2, 3 of mean size 2
    assert found.shape == (16, 3, 1)
    target = even.samples.y * model._target_scale[0] + model._target_mean[0]
    np.testing.assert_allclose(target[0], [(4 - 2) / 2, (5 - 3) / 2])  # compared with the last season
    linear = even.samples.X[0].ravel() @ model._linear + model._bias
    target = odd.samples.y * model._target_scale[1] + model._target_mean[1]
    np.testing.assert_allclose(target[0], [(4 - 3) / 2, (5 - 3) / 2] - linear)
    np.testing.assert_allclose(even.samples.y.std(axis=0), 1)
    y = np.r_[0, 0.001, np.full(18, 100.0)]  # a window of small values has a tenth of the unit of its series
    model = Forecaster(1, width=2, networks=1)
    found = jobs(model, y)[0].samples.X * model._input_scale + model._input_mean
    np.testing.assert_allclose(found[0, :, 0], [-0.001 / (0.1 * y.mean()), 0])


def test_windows_and_horizons_read_known_inputs():
    model = Forecaster(2, width=3, networks=2)
    known = np.column_stack([np.arange(40.0), np.arange(40) % 3])
    found = jobs(model, np.arange(1.0, 41), np.ones((40, 1)), known)[0].samples.X
    found = found * model._input_scale + model._input_mean
    assert found.shape == (36, 3, 2 + 2 * 2)
    np.testing.assert_allclose(found[5, :, 2:4], known[5:8], atol=1e-12)
    np.testing.assert_allclose(found[5, :, 4:], known[[8, 9, 9]], atol=1e-12)  # the horizon, its last step again


def test_the_last_fifth_of_each_series_chooses_the_penalty(monkeypatch):
    seen = []
    monkeypatch.setattr(forecaster, "ridge", lambda Z, errors, late: seen.append(late) or ridge(Z, errors, late))
    jobs(Forecaster(2, season=2, width=3, networks=1), [np.arange(34.0), np.arange(7.0)])
    np.testing.assert_array_equal(seen[0], np.repeat([False, True, False, True], [24, 6, 2, 1]))


def test_inputs_are_read():
    x = rng.standard_normal(200)
    y = np.r_[0, 10 * x[:-1]] + 100  # tomorrow's value is known today
    X = np.column_stack([x, 1000 + np.arange(200)])
    model = Forecaster(1, networks=4).fit(y[:199], X[:199])
    assert abs(model.predict(y[:199], X[:199])[0] - y[199]) < 2
    assert abs(with_weights(model, linear=1).predict(y[:199], X[:199])[0] - y[199]) < 0.5


def test_inputs_of_the_future_are_read(promoted):
    given = {"y": SOLD[:120], "known": PROMO}
    assert np.abs(promoted.predict(**given) - SOLD[120:]).max() < 4
    assert np.abs(with_weights(promoted, linear=1).predict(**given) - SOLD[120:]).max() < 4
    naive = with_weights(promoted, **{"seasonal naive": 1}).predict(**given)
    np.testing.assert_array_equal(naive, SOLD[108:120])
    other = PROMO.copy()
    other[-1] = 1 - other[-1]
    for model in (promoted, with_weights(promoted, linear=1)):
        change = np.abs(model.predict(SOLD[:120], known=other) - model.predict(**given))
        assert (change.argmax(), change.max() > 10) == (11, True)
    np.testing.assert_allclose(promoted._effect, 20 / SOLD[:120].mean(), rtol=0.05)
    spoiled = np.r_[PROMO[:120], np.full((12, 1), 7.0)]  # which a fit does not read
    again = Forecaster(12, season=12, width=12, quantiles=(0.1, 0.9), **QUICK).fit(SOLD[:120], known=spoiled)
    np.testing.assert_array_equal(again.predict(**given), promoted.predict(**given))


def test_one_model_of_several_series():
    many = {"a": NOISY, "b": 1000 * NOISY[:90], "c": NOISY[:26]}
    known = {"a": PROMO[:126], "b": PROMO[:96], "c": PROMO[:32]}
    model = Forecaster(6, season=12, quantiles=(0.1, 0.9), **QUICK).fit(many, known=known)
    found = model.predict(many, known=known)
    assert list(found) == ["a", "b", "c"]
    for name, y in many.items():
        np.testing.assert_allclose(found[name], model.predict(y, known=known[name]), rtol=1e-6)
    bands = model.predict_quantiles([*many.values()], known=[*known.values()])
    assert [each.shape for each in bands] == [(6, 2)] * 3
    assert len(jobs(model, many, known=known)[0].samples.X) == (120 - 29) + (90 - 29)  # the third is too short


# --- the other models, and means of them ---


@pytest.mark.parametrize("name", [name for name in MODELS if name != "ETS" or find_spec("statsmodels")])
def test_the_other_models(noisy, name):
    model = with_weights(noisy, **{name: 1.0})
    due = {
        "naive": lambda: np.repeat(NOISY[-1], 6),
        "seasonal naive": lambda: NOISY[108:114],
        "ETS": lambda: exponential_smoothing(NOISY, 12, 6),
        "climatology": lambda: climatology(NOISY, 12, 6, TIMES.astype("datetime64[s]")),
        "linear": lambda: noisy.forecasts(History.of(NOISY, None, None, None, (6,)), ["linear"])[0]["linear"][0],
        "GRU": lambda: noisy.predict(NOISY),
    }
    found = model.predict(NOISY, times=TIMES)
    np.testing.assert_array_equal(found, due[name]())
    bands = model.predict_quantiles(NOISY, times=TIMES)  # those of the networks, moved
    np.testing.assert_allclose(bands - found[:, None], noisy.predict_quantiles(NOISY) - noisy.predict(NOISY)[:, None])


def test_a_mean_of_models(noisy):
    model = with_weights(noisy, GRU=0.75, naive=0.25)
    found = model.predict(NOISY)
    np.testing.assert_allclose(found, 0.75 * noisy.predict(NOISY) + 0.25 * NOISY[-1])
    model.widening = 2.0
    width = np.diff(noisy.predict_quantiles(NOISY))
    np.testing.assert_allclose(np.diff(model.predict_quantiles(NOISY)), 2 * width)
    model.dated = True
    assert model.predict(NOISY).tolist() == found.tolist()
    model.weights = {"climatology": 1.0}
    with pytest.raises(ValueError, match=r"^times: expected"):
        model.predict(NOISY)


def test_without_statsmodels(noisy, monkeypatch):
    monkeypatch.setitem(sys.modules, "statsmodels.tsa.holtwinters", None)
    assert models_of(12) == ["GRU", "linear", "naive", "seasonal naive", "climatology"]
    assert models_of(1) == ["GRU", "linear", "naive", "climatology"]
    with pytest.raises(ImportError, match="pip install statsmodels"):
        with_weights(noisy, ETS=1.0).predict(NOISY)


def test_values_before_the_window_change_nothing_but_the_least_scale(noisy):
    np.testing.assert_array_equal(noisy.predict(NOISY), noisy.predict(NOISY[-24:].tolist()))


# --- quantiles ---


def test_quantiles(noisy):
    found, middle = noisy.predict_quantiles(NOISY), noisy.predict(NOISY)
    assert found.shape == (6, 2)
    assert ((found[:, 0] < middle) & (middle < found[:, 1])).all()
    level = Forecaster(6, season=12, quantiles=[0.5], **QUICK).fit(NOISY)
    np.testing.assert_array_equal(level.predict_quantiles(NOISY)[:, 0], level.predict(NOISY))
    low = Forecaster(6, season=12, quantiles=(0.2,), **QUICK).fit(NOISY)
    assert (low.predict_quantiles(NOISY)[:, 0] < low.predict(NOISY)).all()
    with pytest.raises(ValueError, match=r"^quantiles: expected"):
        Forecaster(6, season=12, **QUICK).fit(NOISY).predict_quantiles(NOISY)


@pytest.mark.slow
def test_an_interval_covers_what_it_promises():
    noise = np.random.default_rng(5).standard_normal(1200)
    model = Forecaster(4, quantiles=(0.1, 0.9)).fit(noise[:900])
    inside = []
    for i in range(900, 1196):
        low, high = model.predict_quantiles(noise[:i]).T
        inside.append((low <= noise[i : i + 4]) & (noise[i : i + 4] <= high))
    assert 0.7 < np.mean(inside) < 0.9


# --- lengths, gaps, seeds ---


def test_the_width_of_windows():
    least = min_length(6, 12)
    assert least == 12 + 6 + 9
    for n, width in ((least, 12), (30, 15), (120, 24)):
        assert Forecaster(6, season=12, **QUICK).fit(NOISY[:n]).width_ == width
    assert Forecaster(6, season=12, width=13, **QUICK).fit(NOISY).width_ == 13
    for options, n, due in (({}, least - 1, least), ({"width": 20}, least, 35)):
        with pytest.raises(ValueError, match=f"^y: expected at least {due} values"):
            Forecaster(6, season=12, **options, **QUICK).fit(NOISY[:n])
    for model, y in (
        (Forecaster(6, season=12, **QUICK).fit, [NOISY, NOISY[:23]]),
        (noisy_predict, [NOISY, NOISY[:23]]),
    ):
        with pytest.raises(ValueError, match=r"^y\[1\]: expected at least 24 values"):
            model(y)


def noisy_predict(y):
    return Forecaster(6, season=12, **QUICK).fit(NOISY).predict(y)


def test_a_refused_fit_changes_nothing(noisy):
    model, before = copy.copy(noisy), noisy.predict(NOISY)
    with pytest.raises(ValueError, match=r"^y: expected"):
        model.fit(NOISY[:20])
    np.testing.assert_array_equal(model.predict(NOISY), before)
    model = Forecaster(6, season=12, **QUICK)
    with pytest.raises(RuntimeError, match="boom"):
        model.take([cgru.Result(0, error=RuntimeError("boom")) for _ in jobs(model, NOISY)])
    with pytest.raises(RuntimeError, match="before predict"):
        model.predict(NOISY)


def test_gaps_are_refused_or_filled():
    y, known = NOISY.copy(), PROMO[:126].copy()
    y[[5, 60]] = known[50] = np.nan
    for given in ((y, PROMO[:126]), (NOISY, known)):
        with pytest.raises(ValueError, match="y: expected a value at each step, got none at 5"):
            Forecaster(6, season=12, **QUICK).fit(given[0], known=given[1])
    whole = y.copy()
    whole[[5, 60]] = (y[[4, 59]] + y[[6, 61]]) / 2
    one = Forecaster(6, season=12, missing="interpolate", **QUICK).fit(y)
    other = Forecaster(6, season=12, **QUICK).fit(whole)
    np.testing.assert_array_equal(one.predict(y), other.predict(whole))


def test_a_seed_makes_the_same_bits_on_any_number_of_threads(noisy):
    options = {"season": 12, "quantiles": (0.1, 0.9), **QUICK}
    np.testing.assert_array_equal(Forecaster(6, **options).fit(NOISY, threads=3).predict(NOISY), noisy.predict(NOISY))
    other = Forecaster(6, seed=1, **options).fit(NOISY)
    assert not np.array_equal(other.predict(NOISY), noisy.predict(NOISY))


# --- files ---


@pytest.mark.parametrize("known", [False, True])
def test_a_file_forecasts_the_same_bits(noisy, promoted, known, tmp_path):
    model, given = (promoted, {"y": SOLD[:120], "known": PROMO}) if known else (noisy, {"y": NOISY})
    model = with_weights(model, GRU=0.5, linear=0.25, climatology=0.25)
    model.widening, model.dated = 1.5, True
    model.save(tmp_path / "m")
    loaded = load(tmp_path / "m")
    assert (loaded.weights, loaded.widening, loaded.dated) == (model.weights, 1.5, True)
    for predict in ("predict", "predict_quantiles"):
        found, due = (getattr(each, predict)(**given, times=TIMES) for each in (loaded, model))
        np.testing.assert_array_equal(found, due)
    assert repr(loaded) == repr(model)
    loaded.save(tmp_path / "again")
    assert (tmp_path / "again").read_bytes() == (tmp_path / "m").read_bytes()


@pytest.mark.parametrize(
    "arrays",
    [
        {"bias": None}, {"more": np.zeros(1)}, {"bias": np.zeros(7)}, {"bias": np.zeros(6, np.float32)},
        {"input_mean": np.zeros(())}, {"effect": np.zeros(2)}, {"0.0.Uz": np.zeros((1, 5), np.float32)},
        {"1.model": None}, {"format": np.array(4)}, {"forecaster": np.array("[]")}, {"forecaster": None},
        {"settings": {"horizon": 0}}, {"settings": {"units": "x"}}, {"settings": {"networks": 1}},
        {"settings": {"networks": 10**9}}, {"settings": {"weights": {"x": 1}}}, {"settings": {"quantiles": [0.1]}},
        {"settings": {"more": 1}},
    ],
)  # fmt: skip
def test_a_file_that_is_damaged(noisy, tmp_path, arrays):
    path = tmp_path / "m.npz"
    noisy.save(path)
    with np.load(path) as file:
        kept = dict(file)
    if "settings" in arrays:
        text = json.loads(str(kept["forecaster"]))
        text["settings"] |= arrays["settings"]
        arrays = {"forecaster": np.array(json.dumps(text))}
    np.savez(path, **{name: array for name, array in (kept | arrays).items() if array is not None})
    with pytest.raises(ValueError, match=r"m.npz is not a cgru forecaster"):
        load(path)


def test_files_of_other_kinds(noisy, tmp_path):
    net = cgru.Network([cgru.GRU(2), cgru.Dense(1, "identity")], seed=0)
    net.predict(np.zeros((1, 2, 1)))
    net.save(tmp_path / "net.npz")
    noisy.save(tmp_path / "m.npz")
    for read, name in ((load, "net.npz"), (cgru.load, "m.npz")):
        with pytest.raises(ValueError, match="which cgru"):
            read(tmp_path / name)


def test_it_is_fitted_first(tmp_path):
    for call in (lambda model: model.predict(NOISY), lambda model: model.save(tmp_path / "m")):
        with pytest.raises(RuntimeError, match="fit"):
            call(Forecaster(6))
    assert list(tmp_path.iterdir()) == []


# --- refusals ---


@pytest.mark.parametrize(
    ("argument", "wrong"),
    [
        ("horizon", 0), ("season", 0), ("width", 0), ("width", 11), ("quantiles", (0, 0.5)), ("quantiles", (0.5, 1.0)),
        ("quantiles", (0.9, 0.1)), ("quantiles", (0.1, 0.1)), ("quantiles", ("0.1",)), ("quantiles", (True,)),
        ("quantiles", 1), ("missing", "drop"), ("units", 0), ("epochs", 0), ("networks", 0), ("seed", -1),
        ("seed", 1.5), ("seed", True), ("weights", {"mean of the best": 1.0}), ("weights", {}),
    ],
)  # fmt: skip
def test_refused_arguments(argument, wrong):
    with pytest.raises((TypeError, ValueError), match=f"^{argument}: expected"):
        Forecaster(**{"horizon": 3, "season": 12} | {argument: wrong})


@pytest.mark.parametrize(
    ("argument", "given"),
    [("known", {}), ("known", {"known": np.hstack([PROMO, PROMO])}), ("known", {"known": PROMO[:120]}),
     ("X", {"known": PROMO, "X": PROMO[:120]})],
)  # fmt: skip
def test_inputs_that_do_not_fit(promoted, argument, given):
    with pytest.raises(ValueError, match=f"^{argument}: expected"):
        promoted.predict(SOLD[:120], **given)
