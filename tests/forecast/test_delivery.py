import numpy as np
import pytest

from cgru.forecast import Delivery, Forecaster, backtest, calendar, load
from cgru.forecast.delivery import MODELS, check_model, forecast_all, models_of, widen, widening
from cgru.forecast.rivals import climatology, why_no_ets

rng = np.random.default_rng(0)
t = np.arange(84)
NOISY = 50 + 10 * np.sin(2 * np.pi * t / 12) + 0.1 * t + rng.standard_normal(84)
TIMES = (np.datetime64("2000-01", "M") + t).astype("datetime64[s]")
MIXED = {"GRU": 0.5, "linear": 0.25, "climatology": 0.25}


@pytest.fixture(scope="module")
def forecaster():
    return Forecaster(3, season=12, quantiles=(0.1, 0.9), networks=2, epochs=2, units=4).fit(NOISY)


@pytest.fixture(scope="module")
def mixed(forecaster):
    return Delivery(forecaster, MIXED, widening=2.0, dated=True)


def test_the_mean_of_models(forecaster, mixed):
    due = 0.5 * forecaster.predict(NOISY) + 0.25 * forecaster.baselines(NOISY)["linear"]
    due += 0.25 * climatology(NOISY, 12, 3, TIMES)
    found = mixed.predict(NOISY, times=TIMES)
    np.testing.assert_allclose(found, due)
    several = mixed.predict([NOISY, NOISY[12:]], times=[TIMES, TIMES[12:]])
    assert len(several) == 2
    np.testing.assert_allclose(several[0], due, rtol=1e-6)
    np.testing.assert_allclose(several[1], mixed.predict(NOISY[12:], times=TIMES[12:]), rtol=1e-6)


@pytest.mark.parametrize("name", [name for name in MODELS if name != "ETS" or not why_no_ets()])
def test_one_model(forecaster, name):
    found = Delivery(forecaster, {name: 1.0}, second=24).predict(NOISY)
    due = forecast_all(forecaster, [NOISY], None, [None], 24, [name])
    assert list(due) == [name]
    np.testing.assert_array_equal(found, due[name][0])


def test_its_interval_is_that_of_the_networks_moved_and_widened(forecaster, mixed):
    point, median, band = (
        mixed.predict(NOISY, times=TIMES),
        forecaster.predict(NOISY),
        forecaster.predict_quantiles(NOISY),
    )
    found = mixed.predict_quantiles(NOISY, times=TIMES)
    np.testing.assert_allclose(found, point[:, None] + 2 * (band - median[:, None]))
    (several,) = mixed.predict_quantiles([NOISY], times=[TIMES])
    np.testing.assert_array_equal(several, found)
    assert mixed.quantiles == (0.1, 0.9)


def test_inputs_reach_the_networks():
    x = rng.standard_normal((84, 1))
    model = Forecaster(2, season=12, networks=1, epochs=1, units=2).fit(NOISY, x)
    found = Delivery(model, {"linear": 1.0}).predict(NOISY, x)
    np.testing.assert_array_equal(found, model.baselines(NOISY, x)["linear"])
    assert repr(Delivery(model, {"linear": 0.75, "GRU": 0.25})).endswith("quantiles=()), linear 0.75, GRU 0.25)")


def test_gaps_are_filled_for_all():
    y = NOISY.copy()
    y[40] = np.nan
    options = {"networks": 1, "epochs": 1, "units": 2}
    model = Forecaster(2, season=12, missing="interpolate", **options).fit(y)
    filled = np.where(np.isnan(y), (y[39] + y[41]) / 2, y)
    found = Delivery(model, {"climatology": 1.0}).predict(y)
    np.testing.assert_allclose(found, climatology(filled, 12, 2))


# --- the calendar ---


@pytest.mark.parametrize("others", [0, 2])
@pytest.mark.parametrize("weekdays", [False, True])
def test_the_calendar_is_made_of_times(others, weekdays, tmp_path):
    days = np.datetime64("2021-01-04") + np.arange(140)
    days = days[np.is_busday(days)] if weekdays else days
    y, known = rng.standard_normal(84), rng.standard_normal((87, others))
    whole = np.hstack([known, calendar(days[:87], ["week", "year"])])
    model = Forecaster(3, season=7, networks=1, epochs=1, units=2, quantiles=(0.1, 0.9)).fit(y, known=whole)
    made = Delivery(model, {"GRU": 1.0}, cycles=("week", "year"))
    made.save(tmp_path / "m")
    made = load(tmp_path / "m")
    assert made.cycles == ("week", "year")
    given = {"known": known if others else None, "times": days[:84]}
    np.testing.assert_array_equal(made.predict(y, **given), model.predict(y, known=whole))
    np.testing.assert_array_equal(made.predict(y, known=whole), model.predict(y, known=whole))
    due = model.predict_quantiles(y, known=whole)
    np.testing.assert_allclose(made.predict_quantiles(y, **given), due)
    several = {name: None if each is None else [each] for name, each in given.items()}
    np.testing.assert_array_equal(made.predict([y], **several)[0], model.predict(y, known=whole))
    with pytest.raises(ValueError, match="times: expected the dates of y, whose calendar this model reads, got None"):
        made.predict(y, known=given["known"])
    due = rf"known: expected {others} inputs a step \(or {others + 4}, with those of week and year of the calendar\)"
    with pytest.raises(ValueError, match=f"{due}, got 3"):
        made.predict(y, known=whole[:, :3], times=days[:84])
    with pytest.raises(ValueError, match="times: expected regular times"):
        made.predict(y, **given | {"times": days[:84] + np.timedelta64(1, "h") * (np.arange(84) == 9)})


def test_inputs_are_asked_for_where_a_model_reads_them(forecaster):
    X, known = rng.standard_normal((84, 1)), rng.standard_normal((87, 2))
    model = Forecaster(3, season=12, networks=1, epochs=1, units=2).fit(NOISY, X, known=known)
    weights = {"naive": 0.5, "seasonal naive": 0.25, "climatology": 0.25}
    due = Delivery(forecaster, weights).predict(NOISY)
    made = Delivery(model, weights, cycles=("year",))
    np.testing.assert_array_equal(made.predict(NOISY), due)
    np.testing.assert_array_equal(made.predict([NOISY, NOISY], [X, X])[1], due)
    with pytest.raises(ValueError, match="known: expected 2 inputs a step"):
        Delivery(model, weights | {"linear": 0.5}).predict(NOISY)


# --- refusals ---


def test_refusals(forecaster, mixed, monkeypatch):
    with pytest.raises(ValueError, match=r"weights: expected names of GRU, linear, .* got 'mean of the best'"):
        Delivery(forecaster, {"mean of the best": 1.0})
    with pytest.raises(ValueError, match=r"weights: expected names of GRU, .* got ''"):
        Delivery(forecaster, {})  # would forecast a 0
    with pytest.raises(ValueError, match="times: expected the dates of y, which the climatology of this model reads"):
        mixed.predict(NOISY)
    monkeypatch.setattr("cgru.forecast.delivery.why_no_ets", lambda: "ETS: statsmodels is missing")
    with pytest.raises(ImportError, match="ETS: statsmodels is missing"):
        Delivery(forecaster, {"ETS": 1.0}).predict(NOISY)
    with pytest.raises(ImportError, match="ETS: statsmodels is missing"):
        check_model("ETS", 12, 1)
    assert "ETS" not in models_of(12, 168)


def test_models_that_a_series_has():
    assert set(models_of(1, 1)) - {"ETS"} == {"GRU", "linear", "naive", "climatology"}
    assert set(models_of(4, 12)) - {"ETS"} == set(MODELS) - {"ETS"}
    for name, why in (("two seasons", " without a second season"), ("arima", "")):
        with pytest.raises(ValueError, match=f"model: expected one of GRU, .*, mean of the best{why}, got '{name}'"):
            check_model(name, 4, 1)
    check_model("seasonal naive", 1, 1)
    for name in (*models_of(4, 12), "mean of the best"):
        check_model(name, 4, 12)


# --- its file ---


def test_its_file_forecasts_the_same_bits(mixed, forecaster, tmp_path):
    mixed.save(tmp_path / "m")
    loaded = load(tmp_path / "m")
    assert (loaded.weights, loaded.second, loaded.widening, loaded.dated) == (MIXED, 1, 2.0, True)
    np.testing.assert_array_equal(loaded.predict(NOISY, times=TIMES), mixed.predict(NOISY, times=TIMES))
    found, due = (each.predict_quantiles(NOISY, times=TIMES) for each in (loaded, mixed))
    np.testing.assert_array_equal(found, due)
    loaded.save(tmp_path / "again")
    assert (tmp_path / "again").read_bytes() == (tmp_path / "m").read_bytes()
    Delivery(forecaster, {"linear": 1.0}, second=24).save(tmp_path / "m")
    assert load(tmp_path / "m").second == 24
    with np.load(tmp_path / "m") as file:
        assert file["format"] == 2  # which says "newer" where a Delivery is not known


def test_networks_alone_have_the_file_of_a_forecaster(forecaster, tmp_path):
    Delivery(forecaster, {"GRU": 1.0}).save(tmp_path / "m")
    assert isinstance(load(tmp_path / "m"), Forecaster)
    Delivery(forecaster, {"GRU": 1.0}, widening=1.5).save(tmp_path / "m")
    assert load(tmp_path / "m").widening == 1.5


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("[]", "delivery: expected a JSON object of weights, second, widening, dated, cycles"),
        ("{}", "delivery: expected a JSON object of weights, second, widening, dated, cycles"),
        (
            '{"weights": {"x": 1}, "second": 1, "widening": 1, "dated": false, "cycles": []}',
            "weights: expected names of GRU",
        ),
    ],
)
def test_a_file_that_is_none(mixed, tmp_path, text, words):
    mixed.save(tmp_path / "m.npz")
    with np.load(tmp_path / "m.npz") as file:
        kept = dict(file)
    np.savez(tmp_path / "m.npz", **kept | {"delivery": np.array(text)})
    with pytest.raises(ValueError, match=words):
        load(tmp_path / "m.npz")


# --- intervals ---


def test_quantiles_are_moved_and_widened():
    band = np.array([[[1.0, 5.0]], [[0.0, 8.0]]])
    moved = widen(np.array([[10.0], [20.0]]), np.array([[2.0], [4.0]]), band, np.array([1.0, 0.5])[:, None, None])
    np.testing.assert_array_equal(moved, [[[9, 13]], [[18, 22]]])


def test_the_factor_makes_an_interval_hold_its_share():
    errors = np.linspace(-3, 3, 1998).reshape(999, 2)
    below, above = np.ones((999, 2)), np.full((999, 2), 2.0)
    factor = widening(errors, below, above, 0.75)
    inside = (errors >= -factor * below) & (errors <= factor * above)
    assert inside.mean() == pytest.approx(0.75, abs=0.01)
    errors[0] = np.nan
    assert widening(errors, below, above, 0.75) == pytest.approx(factor, rel=0.01)


def test_few_origins_draw_the_factor_to_one():
    ones = np.ones((1, 50))
    assert widening(8 * ones, ones, ones, 0.8) == pytest.approx(2.0)
    assert widening(8 * np.ones((2, 50)), np.ones((2, 50)), np.ones((2, 50)), 0.8) == pytest.approx(8**0.5)
    assert widening(np.arange(1.0, 5)[None], ones[:, :4], ones[:, :4], 0.8) == pytest.approx(4 ** (1 / 3))
    assert widening(1e6 * ones, ones, ones, 0.8) == pytest.approx(10 ** (1 / 3))
    assert widening(0 * ones, ones, ones, 0.8) == pytest.approx(0.1 ** (1 / 3))
    assert widening(np.nan * ones, ones, ones, 0.8) == 1.0
    assert widening(ones, 0 * ones, 0 * ones, 0.8) == pytest.approx(10 ** (1 / 3))


# --- from a backtest ---


@pytest.mark.parametrize(("model", "threads"), [("auto", 3), ("linear", None)])
def test_a_backtest_delivers_what_it_chose(model, threads):
    options = {"networks": 2, "epochs": 2, "units": 4, "quantiles": (0.1, 0.9), "season": 12, "seed": 3}
    found = backtest(NOISY, 3, 4, model=model, times=TIMES, **options)
    made = found.deliver(NOISY, threads=threads)
    assert made.weights == found.weights
    assert sum(made.weights.values()) == pytest.approx(1)
    assert made.dated
    assert made.widening == found.widening != 1
    again = found.delivery(Forecaster(3, **options).fit(NOISY))
    np.testing.assert_array_equal(made.predict(NOISY, times=TIMES), again.predict(NOISY, times=TIMES))
