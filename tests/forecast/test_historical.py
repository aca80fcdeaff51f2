import numpy as np
import pytest

from cgru.forecast import Forecaster, backtest, historical_forecasts

rng = np.random.default_rng(0)
t = np.arange(120)
NOISY = 50 + 10 * np.sin(2 * np.pi * t / 12) + 0.1 * t + rng.standard_normal(120)
KNOWN = rng.standard_normal((120, 1))
QUICK = {"networks": 2, "epochs": 1, "units": 2}


def test_each_is_the_forecast_of_a_fit_to_what_was_known():
    found = historical_forecasts(NOISY, 6, start=100, stride=7, quantiles=(0.1, 0.9), known=KNOWN, **QUICK)
    assert found.origins.tolist() == [100, 107, 114]
    assert (found.season, found.quantiles, found.intervals.shape) == (12, (0.1, 0.9), (3, 6, 2))
    for i, n in enumerate(found.origins):
        model = Forecaster(6, season=12, quantiles=(0.1, 0.9), **QUICK).fit(NOISY[:n], known=KNOWN[:n])
        there = {"y": NOISY[:n], "known": KNOWN[: n + 6]}
        np.testing.assert_array_equal(found.forecasts[i], model.predict(**there))
        np.testing.assert_array_equal(found.intervals[i], model.predict_quantiles(**there))
        np.testing.assert_array_equal(found.actual[i], NOISY[n : n + 6])


def test_they_are_those_of_a_backtest():
    found = historical_forecasts(NOISY, 6, start=102, X=KNOWN, **QUICK)
    other = backtest(NOISY, 6, 3, X=KNOWN, **QUICK)
    np.testing.assert_array_equal(found.forecasts, other.forecasts["GRU"])
    assert found.origins.tolist() == other.origins.tolist()
    assert found.intervals is None


def test_one_fit_for_all_origins():
    found = historical_forecasts(NOISY, 6, start=0.75, refit=False, X=KNOWN, **QUICK)
    model = Forecaster(6, season=12, **QUICK).fit(NOISY[:90], KNOWN[:90])
    assert found.origins.tolist() == [90, 96, 102, 108, 114]
    for values, n in zip(found.forecasts, found.origins, strict=True):
        np.testing.assert_array_equal(values, model.predict(NOISY[:n], KNOWN[:n]))


def test_nothing_that_was_not_known_is_read():
    given = {"start": 100, "season": 12, "refit": False, **QUICK}
    found = historical_forecasts(NOISY, 6, X=KNOWN, known=KNOWN, **given)
    y, X, known = NOISY.copy(), KNOWN.copy(), KNOWN.copy()
    y[106:] = X[106:] = known[112:] = 1e6
    other = historical_forecasts(y, 6, X=X, known=known, **given)
    np.testing.assert_array_equal(other.forecasts[:2], found.forecasts[:2])
    assert (other.forecasts[2] != found.forecasts[2]).all()
    known[111] = 1e6
    other = historical_forecasts(y, 6, X=X, known=known, **given)
    np.testing.assert_array_equal(other.forecasts[0], found.forecasts[0])
    assert (other.forecasts[1] != found.forecasts[1]).any()


def test_a_gap_of_known_inputs_is_filled_from_both_sides():
    known = np.arange(126.0)[:, None]
    found = historical_forecasts(NOISY, 6, start=100, known=known, missing="interpolate", **QUICK)
    known[[103, 120]] = np.nan
    other = historical_forecasts(NOISY, 6, start=100, known=known[:120], missing="interpolate", **QUICK)
    np.testing.assert_array_equal(other.forecasts, found.forecasts)


def test_several_series():
    many = [NOISY, NOISY[20:] ** 2]
    found = historical_forecasts(many, 6, start=88, known=[KNOWN, KNOWN[20:]], **QUICK)
    assert found.origins.tolist() == [108, 88, 114, 94]
    model = Forecaster(6, season=12, **QUICK).fit([NOISY[:108], many[1][:88]], known=[KNOWN[:108], KNOWN[20:108]])
    due = model.predict([NOISY[:108], many[1][:88]], known=[KNOWN[:114], KNOWN[20:114]])
    np.testing.assert_array_equal(found.forecasts[:2], due)


@pytest.mark.parametrize(
    ("n", "options", "due"),
    [
        (60, {}, [30, 36, 42, 48, 54]),
        (61, {"stride": 12}, [31, 43, 55]),
        (40, {}, [27, 33]),  # as much as a fit needs
        (33, {}, [27]),
        (40, {"start": 34}, [34]),
        (100, {"start": 0.29, "stride": 99}, [29]),
        (40, {"width": 15, "stride": 2}, [30, 32, 34]),
    ],
)
def test_origins(n, options, due):
    found = historical_forecasts(NOISY[:n], 6, season=12, refit=False, **options, **QUICK)
    assert found.origins.tolist() == due


def test_a_season_is_guessed_from_before_the_first_origin():
    y = np.r_[NOISY, 50 + 10 * np.sin(2 * np.pi * np.arange(120) / 5)]
    assert historical_forecasts(y, 6, stride=99, refit=False, **QUICK).season == 12
    assert historical_forecasts(y, 6, stride=99, refit=False, likely=(7,), **QUICK).season == 1


@pytest.mark.parametrize(
    ("options", "error", "words"),
    [
        ({"start": 26}, ValueError, "start: expected 27 to 114 of the 120 values of y, got 26"),
        ({"start": 115}, ValueError, "start: expected 27 to 114 of the 120 values of y, got 115"),
        ({"start": 0.001}, ValueError, "start: expected 27 to 114 .* got 1"),
        ({"start": 1.0}, TypeError, "start: expected an integer, got float"),
        ({"start": "half"}, TypeError, "start: expected an integer, got str"),
        ({"stride": 0}, ValueError, "stride: expected at least 1, got 0"),
        ({"y": NOISY[:32]}, ValueError, "y: expected at least 33 values for an origin and a horizon of 6, got 32"),
        ({"y": [NOISY, NOISY[:9]]}, ValueError, r"y\[1\]: expected at least 33 values .* got 9"),
        ({"known": KNOWN[1:]}, ValueError, r"known: expected shape \(120, 1\) or \(126, 1\)"),
        ({"y": [NOISY, NOISY], "X": [KNOWN]}, ValueError, "X: expected inputs for each of 2 series, got 1"),
        ({"X": KNOWN[1:]}, ValueError, r"X: expected shape \(120, 1\), as its series, got \(119, 1\)"),
        ({"nonsense": 1}, TypeError, "nonsense"),
    ],
)
def test_refusals(options, error, words):
    with pytest.raises(error, match=f"{words}"):
        historical_forecasts(**{"y": NOISY, "horizon": 6, "season": 12} | options)
