import re
import sys

import numpy as np
import pytest

from cgru.forecast import Backtest, Forecaster, backtest, season_of
from cgru.forecast.backtest import MEAN, weigh, widening
from cgru.forecast.rivals import climatology

rng = np.random.default_rng(0)
t = np.arange(120)
NOISY = 50 + 10 * np.sin(2 * np.pi * t / 12) + 0.1 * t + rng.standard_normal(120)
TIMES = np.datetime64("2000-01", "M") + t
MODULE = sys.modules["cgru.forecast.backtest"]  # which the function of its name hides
QUICK = {"networks": 2, "epochs": 2, "units": 4}


@pytest.fixture(autouse=True)
def no_ets(monkeypatch):
    """Leave out exponential smoothing, which takes the most time here."""
    monkeypatch.setattr("cgru.forecast.forecaster.why_no_ets", lambda: "left out")
    monkeypatch.setattr(MODULE, "why_no_ets", lambda: "")  # imports statsmodels


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
def test_values_after_an_origin_change_no_bit_of_its_forecasts(options, which):
    options = {"model": "GRU", "times": TIMES, **options, **QUICK}  # whose interval other origins do not widen
    found = backtest(NOISY, 6, 3, **options)
    other = backtest(spoiled(NOISY, found.origins[which]), 6, 3, **options)
    for model, values in alone(found):
        np.testing.assert_array_equal(other.forecasts[model][: which + 1], values[: which + 1], model)
    if options.get("quantiles"):
        np.testing.assert_array_equal(other.intervals[: which + 1], found.intervals[: which + 1])
    assert (other.actual[which] != found.actual[which]).all()


@pytest.mark.slow
def test_nor_do_inputs_and_other_series_after_it():
    many, X = [NOISY, NOISY[20:] ** 2], [rng.standard_normal((120, 2)), rng.standard_normal((100, 2))]
    found = backtest(many, 6, 3, X=X, **QUICK)
    assert found.origins.tolist() == [102, 82, 108, 88, 114, 94]
    for i in (0, 2, 4):
        y, inputs = (
            [spoiled(*pair) for pair in zip(part, found.origins[i : i + 2], strict=True)] for part in (many, X)
        )
        other = backtest(y, 6, 3, X=inputs, **QUICK)
        for model, values in alone(found):
            np.testing.assert_array_equal(other.forecasts[model][: i + 2], values[: i + 2], model)


def test_known_inputs_are_read_up_to_the_horizon():
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
    y, options = NOISY.copy(), {"missing": "interpolate", **QUICK}
    origin = backtest(y, 6, 3, **options).origins[0]
    y[origin - 2 : origin + 2] = np.nan
    found, other = (backtest(each, 6, 3, **options) for each in (y, spoiled(y, origin)))
    for model, values in alone(found):
        np.testing.assert_array_equal(other.forecasts[model][0], values[0], model)
    assert found.forecasts["naive"][0, 0] == y[origin - 3]


def test_each_origin_is_a_fit_to_the_values_before_it():
    found = backtest(NOISY, 6, 2, season=12, seed=5, times=TIMES, **QUICK)
    for i, origin in enumerate(found.origins):
        model = Forecaster(6, season=12, seed=5, **QUICK).fit(NOISY[:origin])
        for name, values in alone(found):
            model.weights = {name: 1.0}
            due = model.predict(NOISY[:origin], times=TIMES[:origin])
            np.testing.assert_array_equal(values[i], due, name)
        np.testing.assert_array_equal(found.actual[i], NOISY[origin : origin + 6])


# --- origins and the season ---


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
        (34, 3, None, 35),
        (44, 3, 6, 45),
        (32, 1, None, 33),
        (32, 1, 99, 33),
    ],
)
def test_origins(n, origins, step, due):
    options = {"step": step, "season": 12, "networks": 1, "epochs": 1, "units": 1}
    if isinstance(due, int):
        with pytest.raises(ValueError, match=f"^y: expected at least {due} values for {origins} origins"):
            backtest(NOISY[:n], 6, origins, **options)
        return
    found = backtest(NOISY[:n], 6, origins, **options)
    assert found.origins.tolist() == due
    assert found.actual.shape == (origins, 6)


def test_the_season_is_that_of_the_times():
    assert season_of(TIMES) == 12
    found = backtest(NOISY, 6, 2, times=TIMES, **QUICK)
    assert (found.season, found.deliver(NOISY).season) == (12, 12)
    assert backtest(NOISY, 6, 2, **QUICK).season == 1  # whatever the values show
    assert backtest(NOISY, 6, 2, times=TIMES, season=5, **QUICK).season == 5
    assert backtest([NOISY, NOISY[60:]], 6, 2, times=[TIMES, TIMES[60:]], **QUICK).season == 12
    for n, season in ((34, 12), (33, 1)):  # 12 + 6 + 9 values before the first of two origins
        assert backtest(NOISY[:n], 6, 2, times=TIMES[:n], **QUICK).season == season
    assert backtest(NOISY[:26], 1, 2, times=TIMES[:26], **QUICK).season == 12
    assert backtest(NOISY[:25], 1, 2, times=TIMES[:25], **QUICK).season == 1  # less than two before the first


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


def test_missing_values_are_not_judged():
    y = NOISY.copy()
    y[-3:-1] = np.nan
    found = backtest(y, 6, 2, season=12, missing="interpolate", **QUICK)
    off = np.abs(found.forecasts["naive"][1] - y[-6:])
    assert found.errors["naive"]["MAE"][1] == pytest.approx(np.nanmean(off))
    assert np.isfinite(found.errors["naive"]["MASE"]).all()
    with pytest.raises(ValueError, match="y: expected a value at each step, got none at 117"):
        backtest(y, 6, 2, season=12, **QUICK)
    found = backtest(y[:-1], 1, 3, season=12, missing="interpolate", **QUICK)
    assert np.isnan(found.errors["linear"]["MAE"]).tolist() == [False, True, True]
    assert found.judge == "MASE"
    assert "nan" not in found.table()
    assert re.search(r"better at \d of 1 origins", found.verdict())
    y[-6:] = np.nan
    with pytest.raises(ValueError, match="y: expected at least one value after 3 origins, got none"):
        backtest(y, 2, 3, season=12, missing="interpolate", **QUICK)


# --- in words ---


def made(k=4, judge="MASE", intervals=None, quantiles=(), actual=None, delivered="GRU", **means):
    """A backtest whose models have these errors: numbers, or one for each origin."""
    errors = {}
    for model, value in means.items():
        each = np.broadcast_to(np.asarray(value, float), k)
        errors[model] = {"MAE": 2 * each, "RMSE": 3 * each, "MASE": each if judge == "MASE" else each * np.nan}
    options = {"weights": {delivered: 1.0}}
    return Backtest(np.arange(k), 12, actual, {}, errors, intervals, quantiles, delivered, options)


@pytest.mark.parametrize(
    ("found", "words"),
    [
        (
            made(GRU=1, linear=2, naive=3, **{MEAN: 1.5}),
            "50.0% lower than that of the best other, linear; it is better at 4 of 4 origins",
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
            made(k=3, GRU=0.9996, naive=1),
            "within 0.1% of that of the best other, naive; it is better at 3 of 3 origins",
        ),
    ],
)
def test_what_is_delivered(found, words):
    assert found.verdict() == f"delivered: GRU; its MASE is {words}"


def test_what_is_delivered_is_compared_by_mae_where_there_is_no_mase():
    found = made(k=3, judge="MAE", GRU=2, naive=1, delivered="naive")
    due = "50.0% lower than that of the best other, GRU; it is better at 3 of 3 origins"
    assert found.verdict() == f"delivered: naive; its MAE is {due}"


def test_the_table():
    found = made(GRU=[1, 3, 2, 2], linear=1.5, naive=12.34567)
    assert found.best == "linear"
    assert [line.split() for line in found.table().splitlines()[2:]] == [
        ["linear", "3", "±", "0", "4.5", "±", "0", "1.5", "±", "0"],
        ["GRU", "4", "±", "1.4", "6", "±", "2.1", "2", "±", "0.71", "100%"],
        ["naive", "24.69", "±", "0", "37.04", "±", "0", "12.35", "±", "0"],
        ["Mean", "±", "standard", "deviation", "over", "the", "origins."],
    ]


def test_coverage():
    actual = np.array([[1.0, 2], [np.nan, 4]])
    band = np.stack([np.zeros((2, 2)), np.full((2, 2), 9.0), np.array([[1, 1], [9, 9]])], axis=2)
    found = made(GRU=1, naive=1, actual=actual, intervals=band, quantiles=(0.1, 0.5, 0.9))
    assert found.coverage == pytest.approx(2 / 3)
    assert "67% of the values were between the quantiles 0.1 and 0.9." in found.table().replace("\n", " ")
    assert made(GRU=1, intervals=band[:, :, :1], actual=actual, quantiles=(0.1,)).coverage is None
    assert made(GRU=1).coverage is None
    low = made(GRU=1, actual=np.full((1, 1), 3.0), intervals=np.array([[[3.0, 4]]]), quantiles=(0.1, 0.9))
    assert low.coverage == 1


# --- what is delivered ---


def test_the_best_and_those_within_a_tenth_share_alike():
    errors = np.array([1.0, 1.09, 1.11, 5])[:, None, None] * np.array([[1, -1], [np.nan, 1]])
    np.testing.assert_array_equal(weigh(errors), [0.5, 0.5, 0, 0])
    np.testing.assert_array_equal(weigh(0 * errors), [0.25] * 4)


def test_the_mean_at_an_origin_is_chosen_by_the_others():
    found = backtest(NOISY, 6, 4, season=12, **QUICK)
    names = [model for model, _ in alone(found)]
    mae = np.array([found.errors[model]["MASE"] for model in names])

    def best_of(sizes):
        return [name for name, size in zip(names, sizes, strict=True) if size <= 1.1 * min(sizes)]

    for i in range(4):
        best = [found.forecasts[name][i] for name in best_of(np.delete(mae, i, axis=1).mean(axis=1))]
        np.testing.assert_allclose(found.forecasts[MEAN][i], np.mean(best, axis=0))
    best = best_of(mae.mean(axis=1))
    assert found.weights == dict.fromkeys(best, 1 / len(best))
    assert found.delivered == (MEAN if len(best) > 1 else best[0])
    near = backtest(NOISY, 6, 3, step=2, season=12, **QUICK)  # all origins share values
    np.testing.assert_allclose(near.forecasts[MEAN], np.mean([values for _, values in alone(near)], axis=0))


def test_the_factor_makes_an_interval_contain_its_share():
    errors = np.linspace(-3, 3, 1998).reshape(999, 2)
    below, above = np.ones((999, 2)), np.full((999, 2), 2.0)
    factor = widening(errors, below, above, 0.75)
    assert ((errors >= -factor * below) & (errors <= factor * above)).mean() == pytest.approx(0.75, abs=0.01)
    errors[0] = np.nan
    assert widening(errors, below, above, 0.75) == pytest.approx(factor, rel=0.01)
    ones = np.ones((1, 50))  # few origins shrink it to 1
    for sizes, distance, due in ((8, 1, 2.0), (1e6, 1, 10 ** (1 / 3)), (0, 1, 0.1 ** (1 / 3)), (1, 0, 10 ** (1 / 3))):
        assert widening(sizes * ones, distance * ones, distance * ones, 0.8) == pytest.approx(due)
    assert widening(8 * np.ones((2, 50)), np.ones((2, 50)), np.ones((2, 50)), 0.8) == pytest.approx(8**0.5)
    assert widening(np.nan * ones, ones, ones, 0.8) == 1.0


def test_an_interval_of_the_delivered_forecast_is_widened_by_the_other_origins():
    options = {"season": 12, "quantiles": (0.1, 0.9), **QUICK}
    networks = backtest(NOISY, 6, 3, model="GRU", **options)
    found = backtest(NOISY, 6, 3, model="naive", **options)
    assert (networks.options["widening"], networks.weights, networks.delivered) == (1.0, {"GRU": 1.0}, "GRU")
    medians, points = found.forecasts["GRU"], found.forecasts["naive"]
    below, above = medians - networks.intervals[:, :, 0], networks.intervals[:, :, 1] - medians
    errors = found.actual - points
    assert found.options["widening"] == pytest.approx(widening(errors, below, above, 0.8))
    factor = widening(errors[1:], below[1:], above[1:], 0.8)
    np.testing.assert_allclose(found.intervals[0, :, 1], points[0] + factor * above[0])
    low = {**options, "quantiles": (0.1, 0.3)}
    networks, found = (backtest(NOISY, 6, 2, model=model, **low) for model in ("GRU", "naive"))
    assert found.options["widening"] == 1.0
    moved = networks.intervals - networks.forecasts["GRU"][:, :, None] + found.forecasts["naive"][:, :, None]
    np.testing.assert_allclose(found.intervals, moved)


@pytest.mark.parametrize(("model", "threads"), [("auto", 3), ("linear", None)])
def test_the_delivered_model_is_the_one_that_was_tested(model, threads):
    x = np.arange(123.0)[:, None] % 5
    options = {"quantiles": (0.1, 0.9), "season": 12, "seed": 3, **QUICK}
    found = backtest(NOISY, 3, 4, model=model, times=TIMES, known=x, **options)
    made = found.deliver(NOISY, known=x, threads=threads)
    assert made.weights == found.weights
    assert sum(made.weights.values()) == pytest.approx(1)
    assert made.dated
    assert made.widening == found.options["widening"] != 1
    again = Forecaster(3, **options, weights=found.weights).fit(NOISY, known=x)
    given = {"known": x, "times": TIMES}
    np.testing.assert_array_equal(made.predict(NOISY, **given), again.predict(NOISY, **given))
    for argument, inputs in (("known", {}), ("X", {"known": x, "X": x[:120]})):
        with pytest.raises(ValueError, match=f"^{argument}: expected"):
            found.deliver(NOISY, **inputs)


# --- the other models ---


def test_models_that_a_series_has():
    assert "seasonal naive" not in backtest(NOISY, 6, 2, **QUICK).errors
    assert "seasonal naive" in backtest(NOISY, 6, 2, season=2, **QUICK).errors
    found = backtest(NOISY, 6, 2, model="seasonal naive", **QUICK)
    np.testing.assert_array_equal(found.forecasts["seasonal naive"], found.forecasts["naive"])


def test_exponential_smoothing_of_many_series_is_left_out_with_a_note(monkeypatch):
    monkeypatch.setattr("cgru.forecast.forecaster.why_no_ets", lambda: "")
    monkeypatch.setattr("cgru.forecast.forecaster.exponential_smoothing", lambda y, season, h: np.full(h, y[-1]))
    monkeypatch.setattr(MODULE, "MOST_SMOOTHED", 3)
    found = backtest([NOISY, NOISY], 6, 2, season=12, **QUICK)
    assert "ETS" not in found.errors
    assert len(found.notes) == 1
    assert "ETS" in backtest([NOISY, NOISY], 6, 2, season=12, model="ETS", **QUICK).errors
    assert backtest(NOISY, 6, 3, season=12, **QUICK).notes == ()


def test_dates_reach_the_climatology():
    found, other = (backtest(NOISY, 6, 2, season=1, times=each, **QUICK) for each in (TIMES, None))
    times = TIMES.astype("datetime64[s]")
    due = [climatology(NOISY[:origin], 1, 6, times[:origin]) for origin in found.origins]
    np.testing.assert_array_equal(found.forecasts["climatology"], due)
    assert (other.forecasts["climatology"][0] == NOISY[: found.origins[0]].mean()).all()


@pytest.mark.parametrize(
    ("argument", "options"),
    [
        ("origins", {"origins": 0}),
        ("horizon", {"horizon": 0}),
        ("step", {"step": 0}),
        ("season", {"season": 0}),
        ("model", {"model": "arima"}),
        ("weights", {"weights": {"GRU": 1}}),
        (".* argument 'nonsense'", {"nonsense": 1}),
        (r"y\[1\]", {"y": [NOISY, NOISY * np.nan], "missing": "interpolate"}),
    ],
)
def test_refusals(argument, options):
    with pytest.raises((TypeError, ValueError), match=rf"{argument}(: expected|$)"):
        backtest(**{"y": NOISY, "horizon": 6, "origins": 2} | options)
