from importlib.util import find_spec
from types import SimpleNamespace

import numpy as np
import pytest

from cgru.forecast import rivals as module
from cgru.forecast.rivals import climatology, exponential_smoothing

rng = np.random.default_rng(0)
t = np.arange(144)
SINE = 50 + 10 * np.sin(2 * np.pi * t / 12)
needs_ets = pytest.mark.skipif(not find_spec("statsmodels"), reason="no statsmodels")


def dates(start, n, unit, count=1):
    return (np.datetime64(start, unit) + count * np.arange(n)).astype("datetime64[s]")


# --- exponential smoothing ---


@needs_ets
@pytest.mark.parametrize("season", [1, 12])
def test_it_is_the_form_of_statsmodels_with_the_lowest_aicc(season):
    from statsmodels.tsa.holtwinters import ExponentialSmoothing

    y = SINE + 0.05 * t + rng.standard_normal(144)
    kinds, fits = (None, "add", "mul") if season > 1 else (None,), []
    for trend in (None, "add"):
        options = {"trend": trend, "damped_trend": trend == "add", "initialization_method": "heuristic"}
        for kind in kinds:
            made = ExponentialSmoothing(y / np.abs(y).max(), seasonal=kind, seasonal_periods=season, **options)
            fits.append(made.fit())
    due = min(fits, key=lambda fitted: fitted.aicc).forecast(6) * np.abs(y).max()
    np.testing.assert_allclose(exponential_smoothing(y, season, 6), due, rtol=1e-9)


@needs_ets
def test_a_form_without_numbers_is_passed_over(monkeypatch):
    def smoothing(y, *, trend, **_):
        lost = trend is None
        fitted = SimpleNamespace(aicc=-9.0 if lost else 1.0, forecast=lambda h: np.full(h, np.nan if lost else 0.5))
        return SimpleNamespace(fit=lambda: fitted)

    monkeypatch.setattr("statsmodels.tsa.holtwinters.ExponentialSmoothing", smoothing)
    np.testing.assert_array_equal(exponential_smoothing(np.arange(11.0), 1, 2), [5, 5])


@needs_ets
def test_series_that_need_no_smoothing():
    np.testing.assert_allclose(exponential_smoothing(1e4 + SINE, 12, 12), 1e4 + SINE[:12], atol=1)
    for value in (0.0, 7.0, -1e9):
        np.testing.assert_array_equal(exponential_smoothing(np.full(40, value), 4, 3), np.full(3, value))
    for n in (1, 9):  # too few
        np.testing.assert_array_equal(exponential_smoothing(SINE[:n], 4, 3), np.repeat(SINE[n - 1], 3))


@needs_ets
@pytest.mark.parametrize(
    ("n", "season", "goes_on"),
    [(11, 1, False), (23, 12, False), (24, 12, True), (15, 5, False), (16, 5, True), (30, 24, False)],
)
def test_a_short_series_is_smoothed_without_a_season(n, season, goes_on):
    y = 50 + 10 * np.sin(2 * np.pi * np.arange(n + 6) / max(season, 5)) + 0.1 * rng.standard_normal(n + 6)
    found = exponential_smoothing(y[:n], season, 6)
    assert (np.abs(found - y[n:]).max() < 2) == goes_on
    assert np.isfinite(found).all()


@needs_ets
def test_what_is_long_past_is_not_smoothed(monkeypatch):
    assert module.SMOOTHED == 500
    monkeypatch.setattr(module, "SMOOTHED", 50)
    y = np.r_[1e6 * rng.standard_normal(30), 5 + rng.standard_normal(50)]
    np.testing.assert_array_equal(exponential_smoothing(y, 1, 3), exponential_smoothing(y[30:], 1, 3))
    np.testing.assert_array_equal(exponential_smoothing(y, 15, 3), exponential_smoothing(y[20:], 15, 3))


# --- climatology ---


@pytest.mark.parametrize("start", ["2000-01-01", "2000-03-15", "1999-02-28"])
def test_months_are_the_mean_of_their_months(start):
    y = np.tile(np.arange(12.0), 3) + np.repeat([0.0, 1, 5], 12)
    months = np.datetime64(start, "M") + np.arange(36)
    times = months.astype("datetime64[D]") + (np.datetime64(start, "D") - np.datetime64(start, "M"))
    np.testing.assert_allclose(climatology(y, 1, 14, times.astype("datetime64[s]")), np.arange(14) % 12 + 2)
    np.testing.assert_allclose(climatology(y, 12, 14), np.arange(14) % 12 + 2)


def test_days_are_the_mean_of_the_days_around_them_in_all_years():
    n = 3 * 365
    times = dates("2001-01-01", n, "D")
    noise = rng.standard_normal(n)
    season = 10 * np.sin(2 * np.pi * np.arange(n + 30) / 365)
    found = climatology(season[:n] + noise, 1, 30, times)
    np.testing.assert_allclose(found, season[n:], atol=0.6)
    y = np.zeros(n)
    y[365 + 20] = 45.0  # one of 3 x 15 days
    assert climatology(y, 1, 30, times)[13:28] == pytest.approx(1.0)
    assert climatology(y, 1, 30, times)[[12, 28]] == pytest.approx(0)


def test_hours_have_the_season_of_the_day_beside_that_of_the_year():
    n = 2 * 365 * 24
    hours = np.arange(n + 48)
    y = 5 * np.sin(2 * np.pi * hours / (365 * 24)) + hours % 24
    found = climatology(y[:n], 24, 48, dates("2001-01-01", n, "h"))
    np.testing.assert_allclose(found, y[n:], atol=0.1)


def test_without_years_the_phases_of_the_season_are_averaged():
    np.testing.assert_allclose(climatology(np.array([1.0, 2, 3, 5, 8]), 2, 3), [3.5, 4, 3.5])


def test_less_than_a_year_and_years_themselves_have_no_time_of_the_year():
    y = rng.standard_normal(30)
    for times in (None, dates("2001-01-01", 30, "D"), dates("1900", 30, "Y")):
        np.testing.assert_allclose(climatology(y, 1, 2, times), y.mean())


def test_a_year_and_a_half_and_half_years_have_a_time_of_the_year():
    y = np.arange(18.0)
    months = (np.datetime64("2001-01", "M") + np.arange(18)).astype("datetime64[s]")
    np.testing.assert_allclose(climatology(y, 1, 8, months), [6, 7, 8, 9, 10, 11, 6, 7])
    halves = (np.datetime64("2001-01", "M") + 6 * np.arange(5)).astype("datetime64[s]")
    np.testing.assert_allclose(climatology(np.array([1.0, 5, 2, 6, 3]), 1, 2, halves), [5.5, 2])


def test_a_time_of_the_year_without_values_is_the_mean():
    y = np.arange(200.0)
    times = dates("2001-01-01", 200, "D", 2)  # every other day of 400
    assert np.isfinite(climatology(y, 1, 5, times)).all()
