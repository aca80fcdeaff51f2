import re
import sys

import numpy as np
import pytest

from cgru.forecast import Backtest, Forecaster, backtest
from cgru.forecast.backtest import choose_cycles, choose_season
from cgru.forecast.delivery import MEAN, widening
from cgru.forecast.rivals import climatology

rng = np.random.default_rng(0)
t = np.arange(120)
NOISY = 50 + 10 * np.sin(2 * np.pi * t / 12) + 0.1 * t + rng.standard_normal(120)
QUICK = {"networks": 2, "epochs": 2, "units": 4}


@pytest.fixture(autouse=True)
def no_ets(request, monkeypatch):
    """Leave exponential smoothing, which takes the most time here, to the tests that ask for statsmodels."""
    if "with_ets" in request.fixturenames:
        pytest.importorskip("statsmodels")
        return
    monkeypatch.setattr("cgru.forecast.delivery.why_no_ets", lambda: "left out")


@pytest.fixture
def with_ets():
    """Let the test have exponential smoothing."""


# --- nothing from after an origin ---


def spoiled(values, origin):
    """Other values from that origin on, of another size, with another season."""
    other = values.copy()
    other[origin:] = 1e6 * np.random.default_rng(1).standard_normal(other[origin:].shape)
    return other


def alone(found):
    """The forecasts of single models: the weights of the mean come from the other origins."""
    return [(model, values) for model, values in found.forecasts.items() if model != MEAN]


@pytest.mark.parametrize("options", [{}, {"quantiles": (0.1, 0.9)}, {"season": 6, "width": 10}])
@pytest.mark.parametrize("which", [0, 2])
def test_what_comes_after_an_origin_changes_no_bit_of_its_forecasts(options, which):
    options = {"model": "GRU", **options}  # whose interval other origins do not widen
    found = backtest(NOISY, 6, 3, **options, **QUICK)
    other = backtest(spoiled(NOISY, found.origins[which]), 6, 3, **options, **QUICK)
    assert other.origins.tolist() == found.origins.tolist()
    for model, values in alone(found):
        np.testing.assert_array_equal(other.forecasts[model][: which + 1], values[: which + 1], model)
    if options.get("quantiles"):
        np.testing.assert_array_equal(other.intervals[: which + 1], found.intervals[: which + 1])
    assert other.season == found.season
    assert (other.actual[which] != found.actual[which]).all()


@pytest.mark.slow
def test_nor_do_inputs_and_other_series_that_come_after_it():
    many, X = [NOISY, NOISY[20:] ** 2], [rng.standard_normal((120, 2)), rng.standard_normal((100, 2))]
    found = backtest(many, 6, 3, X=X, **QUICK)
    assert found.origins.tolist() == [102, 82, 108, 88, 114, 94]
    for i in (0, 2, 4):
        places = found.origins[i : i + 2]
        others = [spoiled(each, place) for each, place in zip(many, places, strict=True)]
        beside = [spoiled(each, place) for each, place in zip(X, places, strict=True)]
        other = backtest(others, 6, 3, X=beside, **QUICK)
        for model, values in alone(found):
            np.testing.assert_array_equal(other.forecasts[model][: i + 2], values[: i + 2], model)


def test_what_is_known_of_the_future_is_read_up_to_the_horizon():
    known, X = rng.standard_normal((126, 1)), rng.standard_normal((120, 1))
    given = {"season": 12, "width": 12, **QUICK}
    found = backtest(NOISY, 6, 2, X=X, known=known, **given)
    origin = found.origins[0]
    other = backtest(spoiled(NOISY, origin), 6, 2, X=spoiled(X, origin), known=known, **given)
    far = backtest(NOISY, 6, 2, X=X, known=spoiled(known, origin + 6), **given)
    near = backtest(NOISY, 6, 2, X=X, known=spoiled(known, origin + 5), **given)
    for model, values in alone(found):
        np.testing.assert_array_equal(other.forecasts[model][0], values[0], model)
        np.testing.assert_array_equal(far.forecasts[model][0], values[0], model)
        assert (near.forecasts[model][0] != values[0]).any() == (model in ("GRU", "linear"))


def test_a_gap_before_an_origin_is_not_filled_from_after_it():
    y = NOISY.copy()
    found = backtest(y, 6, 3, missing="interpolate", **QUICK)
    origin = found.origins[0]
    y[origin - 2 : origin + 2] = np.nan
    found = backtest(y, 6, 3, missing="interpolate", **QUICK)
    other = backtest(spoiled(y, origin), 6, 3, missing="interpolate", **QUICK)
    for model, values in alone(found):
        np.testing.assert_array_equal(other.forecasts[model][0], values[0], model)
    assert found.forecasts["naive"][0, 0] == y[origin - 3]


def test_each_origin_is_a_fit_to_what_lies_before_it():
    found = backtest(NOISY, 6, 2, season=12, seed=5, **QUICK)
    for i, origin in enumerate(found.origins):
        model = Forecaster(6, season=12, seed=5, **QUICK).fit(NOISY[:origin])
        np.testing.assert_array_equal(found.forecasts["GRU"][i], model.predict(NOISY[:origin]))
        for name, values in model.baselines(NOISY[:origin]).items():
            np.testing.assert_array_equal(found.forecasts[name][i], values)
        np.testing.assert_array_equal(found.actual[i], NOISY[origin : origin + 6])


# --- where the origins lie ---


@pytest.mark.parametrize(
    ("n", "origins", "step", "due"),
    [
        (120, 3, None, [102, 108, 114]),  # a horizon apart
        (120, 1, None, [114]),
        (60, 5, None, [30, 36, 42, 48, 54]),
        (60, 10, None, [36, 38, 40, 42, 44, 46, 48, 50, 52, 54]),  # half of it stays before
        (40, 3, None, [28, 31, 34]),  # as much as a fit needs stays before
        (120, 3, 2, [110, 112, 114]),
        (45, 3, 6, [27, 33, 39]),
        (35, 3, None, [27, 28, 29]),
    ],
)
def test_origins(n, origins, step, due):
    found = backtest(NOISY[:n], 6, origins, step=step, season=12, **QUICK)
    assert found.origins.tolist() == due
    assert found.actual.shape == (origins, 6)


@pytest.mark.parametrize(
    ("n", "origins", "step", "least"), [(34, 3, None, 35), (44, 3, 6, 45), (32, 1, None, 33), (32, 1, 99, 33)]
)
def test_a_series_too_short(n, origins, step, least):
    with pytest.raises(ValueError, match=f"y: expected at least {least} values for {origins} origins and .* got {n}"):
        backtest(NOISY[:n], 6, origins, step=step, season=12, **QUICK)


def test_a_season_is_guessed_from_before_the_first_origin():
    y = np.r_[NOISY, 50 + 10 * np.sin(2 * np.pi * np.arange(120) / 5)]
    assert backtest(y, 30, 4, **QUICK).season == 12
    assert backtest(np.arange(60.0), 3, 2, **QUICK).season == 1
    slow = 10 * np.sin(2 * np.pi * t / 12)
    assert backtest(slow, 6, 2, likely=(24,), **QUICK).season == 24


def test_the_longest_of_several_says_the_season():
    assert backtest([np.arange(60.0), NOISY], 6, 2, **QUICK).season == 12


def test_a_likely_season_that_the_tests_are_too_early_for():
    def seasonal(n):
        return np.arange(n) % 12 + 0.1 * (np.arange(n) % 7)

    assert choose_season([seasonal(48)], 6, 2, (12,)) == (12, 12, 12)
    assert choose_season([seasonal(26)], 6, 2, (12,)) == (12, 1, 12)  # not enough to test one
    late = np.r_[np.arange(60.0), 20 * seasonal(60)]  # enough before the first origin to show one, if there were any
    assert choose_season([late], 6, 8, (12,)) == (1, 1, 12)
    assert choose_season([late], 6, 0, (12,)) == (12, 12, 12)


def test_cycles_of_the_calendar_are_chosen_before_the_first_origin():
    days = np.datetime64("2021-01-01") + np.arange(900)
    y = np.cos(2 * np.pi * np.arange(900) / 365.2425)
    assert choose_cycles([y[:9], y], [days[-9:], days], 7, 0) == ("week", "year")
    y = [np.r_[y[:760], np.full(140, 99.0)]]
    assert choose_cycles(y, [days], 20, 7) == ("week", "year")
    assert choose_cycles(y, [days], 20, 0) == ()
    assert choose_cycles([np.r_[np.full(140, 99.0), y[0][:760]]], [days], 20, 40) == ()
    assert choose_cycles(y, [days], 800, 7) == ()  # too short


# --- its errors ---


def test_errors_by_hand():
    y = np.tile([0.0, 2, 1], 20)
    y[-4:] += [1, -1, 1, -1]
    found = backtest(y, 2, 2, season=3, step=2, **QUICK)
    known = y[: found.origins[1]]
    scale = np.abs(known[3:] - known[:-3]).mean()
    wrong = found.forecasts["seasonal naive"][1] - y[-2:]
    errors = found.errors["seasonal naive"]
    assert errors["MAE"][1] == pytest.approx(np.abs(wrong).mean())
    assert errors["RMSE"][1] == pytest.approx(np.sqrt((wrong**2).mean()))
    assert errors["MASE"][1] == pytest.approx(np.abs(wrong).mean() / scale)
    assert np.isnan(errors["MASE"][0])  # nothing had ever changed
    assert found.judge == "MAE"


def test_values_that_are_missing_are_not_judged():
    y = NOISY.copy()
    y[-3:-1] = np.nan
    found = backtest(y, 6, 2, season=12, missing="interpolate", **QUICK)
    off = np.abs(found.forecasts["naive"][1] - y[-6:])
    assert found.errors["naive"]["MAE"][1] == pytest.approx(np.nanmean(off))
    assert np.isfinite(found.errors["naive"]["MASE"]).all()
    with pytest.raises(ValueError, match="y: expected a value at each step, got none at 117"):
        backtest(y, 6, 2, season=12, **QUICK)


def test_an_origin_after_which_nothing_is_known_is_judged_nowhere():
    y = NOISY.copy()
    y[-2] = np.nan
    found = backtest(y, 1, 3, season=12, missing="interpolate", **QUICK)
    assert np.isnan(found.errors["linear"]["MAE"]).tolist() == [False, True, False]
    assert found.judge == "MASE"
    assert "nan" not in found.table()
    assert found.table().count("±") == 3 * len(found.errors)
    assert re.search(r"better at \d of 2 origins", found.verdict())
    assert f"{found.errors['naive']['MASE'][[0, 2]].mean():.4g} ± " in found.table()
    y[-6:] = np.nan
    with pytest.raises(ValueError, match="y: expected at least one value after 3 origins, got none"):
        backtest(y, 2, 3, season=12, missing="interpolate", **QUICK)


def test_without_a_season_there_is_no_seasonal_model():
    found = backtest(NOISY, 6, 2, season=1, **QUICK)
    assert set(found.forecasts) == set(found.errors) >= {"GRU", "naive", "linear", "climatology", MEAN}
    assert "seasonal naive" not in found.errors
    assert "seasonal naive" in backtest(NOISY, 6, 2, season=2, **QUICK).errors
    found = backtest(NOISY, 6, 2, season=1, model="seasonal naive", **QUICK)
    np.testing.assert_array_equal(found.forecasts["seasonal naive"], found.forecasts["naive"])


# --- in words ---


def made(k=4, judge="MASE", intervals=None, quantiles=(), actual=None, delivered="GRU", **means):
    """A backtest whose models have these errors: numbers, or one for each origin."""
    errors = {}
    for model, value in means.items():
        each = np.broadcast_to(np.asarray(value, float), k)
        errors[model] = {"MAE": 2 * each, "RMSE": 3 * each, "MASE": each if judge == "MASE" else each * np.nan}
    return Backtest(np.arange(k), 12, np.full(k, 24), np.arange(k), actual, {}, errors, intervals, quantiles,
                    delivered, {delivered: 1.0})  # fmt: skip


@pytest.mark.parametrize(
    ("found", "words"),
    [
        (
            made(GRU=1, linear=2, naive=3, **{MEAN: 1.5}),
            "50.0% lower than that of the best other, linear; it is better at 4 of 4 origins",
        ),
        (
            made(GRU=2, linear=3, naive=1),
            "100.0% higher than that of the best other, naive; it is better at 0 of 4 origins",
        ),
        (
            made(GRU=1, naive=1),
            "the same as that of the best other, naive; it is better at 0 of 4 origins; this may be chance",
        ),
        (
            made(GRU=[1, 1, 1, 4], naive=[2, 2, 2, 2]),
            "12.5% lower than that of the best other, naive; it is better at 3 of 4 origins; this may be chance",
        ),
        (
            made(k=2, GRU=1, naive=2),
            "50.0% lower than that of the best other, naive; it is better at 2 of 2 origins; this may be chance",
        ),
        (
            made(k=3, GRU=0.9996, naive=1),
            "within 0.1% of that of the best other, naive; it is better at 3 of 3 origins",
        ),
        (
            made(k=3, GRU=1.0006, naive=1),
            "0.1% higher than that of the best other, naive; it is better at 0 of 3 origins",
        ),
        (
            made(k=3, GRU=1, naive=0),
            "higher than that of the best other, naive; it is better at 0 of 3 origins",
        ),
        (
            made(k=3, GRU=0, naive=0),
            "the same as that of the best other, naive; it is better at 0 of 3 origins; this may be chance",
        ),
    ],
)
def test_what_is_delivered(found, words):
    assert found.verdict() == f"delivered: GRU; its MASE is {words}"


def test_what_is_delivered_is_compared_by_mae_where_there_is_no_mase():
    found = made(k=3, judge="MAE", GRU=2, naive=1, delivered="naive")
    due = "50.0% lower than that of the best other, GRU; it is better at 3 of 3 origins"
    assert found.verdict() == f"delivered: naive; its MAE is {due}"


def test_what_is_sure_is_twice_the_standard_error_away():
    differences = np.array([0.0, 1, 2, 3])  # of mean 1.5 and standard error 0.645
    assert "chance" not in made(GRU=10 - differences, naive=10).verdict()
    assert "chance" in made(GRU=10.3 - differences, naive=10).verdict()


def test_the_table():
    found = made(GRU=[1, 3, 2, 2], linear=1.5, naive=12.34567)
    assert found.best == "linear"
    assert found.table().splitlines() == [
        "        MAE        RMSE       MASE       delivered",
        "linear  3 ± 0      4.5 ± 0    1.5 ± 0",
        "GRU     4 ± 1.4    6 ± 2.1    2 ± 0.71   100%",
        "naive   24.69 ± 0  37.04 ± 0  12.35 ± 0",
    ]


def test_how_much_an_interval_holds():
    actual = np.array([[1.0, 2], [np.nan, 4]])
    band = np.stack([np.zeros((2, 2)), np.full((2, 2), 9.0), np.array([[1, 1], [9, 9]])], axis=2)
    found = made(GRU=1, naive=1, actual=actual, intervals=band, quantiles=(0.1, 0.5, 0.9))
    assert found.coverage == pytest.approx(2 / 3)
    assert made(GRU=1, intervals=band[:, :, :1], actual=actual, quantiles=(0.1,)).coverage is None
    assert made(GRU=1).coverage is None
    low = made(GRU=1, actual=np.full((1, 1), 3.0), intervals=np.array([[[3.0, 4]]]), quantiles=(0.1, 0.9))
    assert low.coverage == 1


def test_a_backtest_with_quantiles():
    found = backtest(NOISY, 6, 2, quantiles=(0.1, 0.9), **QUICK)
    assert found.intervals.shape == (2, 6, 2)
    assert 0 <= found.coverage <= 1
    assert backtest(NOISY, 6, 2, **QUICK).intervals is None


# --- how it runs ---


def test_it_is_the_same_on_any_number_of_threads(with_ets):
    one, three = (backtest(NOISY, 6, 2, threads=n, **QUICK) for n in (1, 3))
    for model, values in one.forecasts.items():
        np.testing.assert_array_equal(values, three.forecasts[model])
    assert "ETS" in one.forecasts


def test_all_fits_are_in_one_call(monkeypatch):
    module = sys.modules["cgru.forecast.historical"]
    calls, fit_many = [], module.fit_many
    monkeypatch.setattr(
        module, "fit_many", lambda jobs, **options: calls.append((len(jobs), options)) or fit_many(jobs, **options)
    )
    backtest(NOISY, 6, 3, threads=2, **QUICK)
    assert calls == [(6, {"threads": 2, "progress": False})]


@pytest.mark.parametrize(
    ("options", "error", "words"),
    [
        ({"origins": 0}, ValueError, "origins"),
        ({"horizon": 0}, ValueError, "horizon"),
        ({"step": 0}, ValueError, "step"),
        ({"nonsense": 1}, TypeError, "nonsense"),
        ({"y": [NOISY, NOISY * np.nan], "missing": "interpolate"}, ValueError, r"y\[1\]: expected at least one value"),
    ],
)
def test_refusals(options, error, words):
    with pytest.raises(error, match=words):
        backtest(**{"y": NOISY, "horizon": 6, "origins": 2} | options)


# --- what is delivered ---


def test_the_mean_at_an_origin_is_chosen_by_the_others():
    found = backtest(NOISY, 6, 4, season=12, **QUICK)
    models = [model for model in found.forecasts if model != MEAN]
    mae = np.array([found.errors[model]["MASE"] for model in models])
    for i in range(4):
        sizes = np.delete(mae, i, axis=1).mean(axis=1)
        best = [
            found.forecasts[model][i] for model, size in zip(models, sizes, strict=True) if size <= 1.1 * min(sizes)
        ]
        np.testing.assert_allclose(found.forecasts[MEAN][i], np.mean(best, axis=0))
    sizes = mae.mean(axis=1)
    best = [model for model, size in zip(models, sizes, strict=True) if size <= 1.1 * min(sizes)]
    assert found.weights == dict.fromkeys(best, 1 / len(best))
    assert found.delivered == (MEAN if len(best) > 1 else best[0])


def test_origins_that_share_values_do_not_choose_for_each_other():
    found = backtest(NOISY, 6, 3, step=2, season=12, **QUICK)
    models = [values for model, values in found.forecasts.items() if model != MEAN]
    np.testing.assert_allclose(found.forecasts[MEAN], np.mean(models, axis=0))


def test_an_interval_of_what_is_delivered_is_widened_by_the_other_origins():
    options = {"season": 12, "quantiles": (0.1, 0.9), **QUICK}
    networks = backtest(NOISY, 6, 3, model="GRU", **options)
    found = backtest(NOISY, 6, 3, model="naive", **options)
    assert (networks.widening, networks.weights, networks.delivered) == (1.0, {"GRU": 1.0}, "GRU")
    medians, points = found.forecasts["GRU"], found.forecasts["naive"]
    below, above = medians - networks.intervals[:, :, 0], networks.intervals[:, :, 1] - medians
    errors = found.actual - points
    assert found.widening == widening(errors, below, above, 0.8)
    factor = widening(errors[1:], below[1:], above[1:], 0.8)
    np.testing.assert_allclose(found.intervals[0, :, 1], points[0] + factor * above[0])
    low = {**options, "quantiles": (0.1, 0.3)}
    networks, found = backtest(NOISY, 6, 2, model="GRU", **low), backtest(NOISY, 6, 2, model="naive", **low)
    assert found.widening == 1.0
    moved = networks.intervals - networks.forecasts["GRU"][:, :, None] + found.forecasts["naive"][:, :, None]
    np.testing.assert_allclose(found.intervals, moved)


def test_a_second_season_is_a_model():
    y = np.tile(np.arange(4.0), 40) + 5 * (np.arange(160) % 20 == 7)
    found = backtest(y, 4, 2, season=4, **QUICK)
    assert found.second == 20
    assert found.errors["two seasons"]["MAE"].max() < 0.5
    assert backtest(y, 4, 2, season=4, second=1, **QUICK).second == 1
    assert backtest(y, 4, 2, season=1, **QUICK).second == 1  # what has no season has no longer one
    with pytest.raises(ValueError, match="second: expected at least 1, got 0"):
        backtest(y, 4, 2, season=4, second=0, **QUICK)
    for wrong in (4, 161):
        due = f"second: expected 1 for none, or more than the season, 4, and at most the 160 values of y, got {wrong}"
        with pytest.raises(ValueError, match=due):
            backtest(y, 4, 2, season=4, second=wrong, **QUICK)
    with pytest.raises(ValueError, match="without a second season, got 'two seasons'"):
        backtest(y, 4, 2, season=4, second=1, model="two seasons", **QUICK)


def test_exponential_smoothing_of_many_series_is_left_out_and_told(with_ets, monkeypatch):
    module = sys.modules["cgru.forecast.backtest"]
    monkeypatch.setattr(module, "MOST_SMOOTHED", 3)
    found = backtest([NOISY, NOISY], 6, 2, season=12, **QUICK)
    assert "ETS" not in found.errors
    assert found.notes == ("ETS: not compared, since 4 fits take long; as the model to deliver it is compared",)
    assert "ETS" in backtest([NOISY, NOISY], 6, 2, season=12, model="ETS", **QUICK).errors
    assert backtest(NOISY, 6, 3, season=12, **QUICK).notes == ()


def test_dates_reach_the_climatology():
    times = (np.datetime64("2000-01", "M") + t).astype("datetime64[s]")
    found, other = (backtest(NOISY, 6, 2, season=1, times=each, **QUICK) for each in (times, None))
    assert (found.dated, other.dated) == (True, False)
    due = [climatology(NOISY[:origin], 1, 6, times[:origin]) for origin in found.origins]
    np.testing.assert_array_equal(found.forecasts["climatology"], due)
    assert (other.forecasts["climatology"][0] == NOISY[: found.origins[0]].mean()).all()


def test_what_is_delivered_reads_what_was_tested():
    x = np.arange(123.0)[:, None] % 5
    given = {"y": NOISY, "horizon": 3, "origins": 2, "season": 12, "model": "linear"}
    for name, values in (("X", x[:120]), ("known", x)):
        found = backtest(**given, **{name: values}, **QUICK)
        assert found.columns == {"X": 0, "known": 0} | {name: 1}
        cure = f"pass {name}= to both backtest and deliver, or to neither"
        with pytest.raises(ValueError, match=f"{name}: expected 1 columns, as in the tests, got 0; {cure}"):
            found.deliver(NOISY)
        found.deliver(NOISY, **{name: values})
    with pytest.raises(ValueError, match="known: expected 0 columns, as in the tests, got 1"):
        backtest(**given, **QUICK).deliver(NOISY, known=x)
