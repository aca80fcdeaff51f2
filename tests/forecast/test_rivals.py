import sys
from types import SimpleNamespace

import numpy as np
import pytest

from cgru.forecast import rivals as module
from cgru.forecast.rivals import (
    CLIMATOLOGY,
    ETS,
    TWO_SEASONS,
    climatology,
    dates_of,
    exponential_smoothing,
    guess_second,
    rivals,
    two_seasons,
    why_no_ets,
)

rng = np.random.default_rng(0)
t = np.arange(144)
SINE = 50 + 10 * np.sin(2 * np.pi * t / 12)
needs_ets = pytest.mark.skipif(bool(why_no_ets()), reason="no statsmodels")


def dates(start, n, unit, count=1):
    return (np.datetime64(start, unit) + count * np.arange(n)).astype("datetime64[s]")


# --- exponential smoothing ---


@needs_ets
@pytest.mark.parametrize("unit", [1e-20, 1.0, 1e20])
def test_a_trend_and_a_season_go_on(unit):
    y = unit * (SINE + 0.1 * t)
    due = unit * (50 + 10 * np.sin(2 * np.pi * (144 + np.arange(12)) / 12) + 0.1 * (144 + np.arange(12)))
    np.testing.assert_allclose(exponential_smoothing(y, 12, 12), due, atol=unit)


@needs_ets
def test_a_season_that_grows_with_the_level_is_multiplied():
    y = np.exp(0.01 * t) * SINE
    due = np.exp(0.01 * (144 + np.arange(12))) * (50 + 10 * np.sin(2 * np.pi * (144 + np.arange(12)) / 12))
    assert np.abs(1e3 * exponential_smoothing(1e-3 * y, 12, 12) - due).max() < 0.05 * due.max()
    for first in (-1.0, 0.0):  # takes the additive one, without an error
        assert np.isfinite(exponential_smoothing(np.r_[first, y[1:]], 12, 12)).all()


@needs_ets
def test_a_form_without_numbers_is_passed_over(monkeypatch):
    def smoothing(y, *, trend, **_):
        lost = trend is None
        fitted = SimpleNamespace(aicc=-9.0 if lost else 1.0, forecast=lambda h: np.full(h, np.nan if lost else 0.5))
        return SimpleNamespace(fit=lambda: fitted)

    monkeypatch.setattr("statsmodels.tsa.holtwinters.ExponentialSmoothing", smoothing)
    np.testing.assert_array_equal(exponential_smoothing(np.arange(11.0), 1, 2), [5, 5])


@needs_ets
def test_a_small_season_on_a_high_level_is_none_the_less_one():
    np.testing.assert_allclose(exponential_smoothing(1e4 + SINE, 12, 12), 1e4 + SINE[:12], atol=1)


@needs_ets
@pytest.mark.parametrize("value", [0.0, 7.0, -1e9])
def test_a_constant_is_repeated(value):
    np.testing.assert_array_equal(exponential_smoothing(np.full(40, value), 4, 3), np.full(3, value))


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
@pytest.mark.parametrize("n", [1, 9])
def test_too_few_values_to_smooth_are_repeated(n):
    y = rng.standard_normal(n)
    np.testing.assert_array_equal(exponential_smoothing(y, 4, 3), np.repeat(y[-1], 3))


@needs_ets
def test_what_is_long_past_is_not_smoothed(monkeypatch):
    assert module.SMOOTHED == 500
    monkeypatch.setattr(module, "SMOOTHED", 50)
    y = np.r_[1e6 * rng.standard_normal(30), 5 + rng.standard_normal(50)]
    np.testing.assert_array_equal(exponential_smoothing(y, 1, 3), exponential_smoothing(y[30:], 1, 3))
    np.testing.assert_array_equal(exponential_smoothing(y, 15, 3), exponential_smoothing(y[20:], 15, 3))


def test_without_statsmodels(monkeypatch):
    monkeypatch.setitem(sys.modules, "statsmodels.tsa.holtwinters", None)
    assert why_no_ets() == "ETS: statsmodels is missing: pip install statsmodels"


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


# --- dates ---


def test_dates_are_checked():
    y = {"y": np.zeros(3)}
    times = dates("2001-01", 3, "M")
    assert dates_of(None, {"y[0]": 1, "y[1]": 2}, True) == [None, None]
    np.testing.assert_array_equal(dates_of(times.astype("datetime64[D]"), y, False)[0], times)
    np.testing.assert_array_equal(dates_of([times], {"y[0]": np.zeros(3)}, True)[0], times)
    with pytest.raises(TypeError, match="times: expected datetime64, got dtype int64"):
        dates_of(np.arange(3), y, False)
    with pytest.raises(ValueError, match=r"times\[0\]: expected shape \(4,\), as its series, got \(3,\)"):
        dates_of([times], {"y[0]": np.zeros(4)}, True)
    seconds = dates("2001-01-01", 3, "s")
    np.testing.assert_array_equal(dates_of(seconds, y, False)[0], seconds)
    for wrong in (times[::-1], times[[0, 0, 1]], np.array(["2001", "NaT", "2002"], "datetime64[D]")):
        with pytest.raises(ValueError, match="times: expected times that rise"):
            dates_of(wrong, y, False)
    with pytest.raises(ValueError, match="times: expected those of 2 series, got 1"):
        dates_of([times], {"y[0]": y, "y[1]": y}, True)


# --- two seasons ---

DAYS = np.arange(24 * 7 * 6)
TWO = 10 + 5 * np.sin(2 * np.pi * DAYS / 24) + 4 * (DAYS // 24 % 7 >= 5)


def test_the_second_season_is_what_the_first_leaves():
    assert guess_second(TWO + 0.1 * rng.standard_normal(len(TWO)), 24, (24, 168)) == 168
    assert guess_second(TWO, 168, (24, 168)) == 1
    assert guess_second(SINE, 12) == 1
    assert guess_second(SINE + 3 * (t % 36 == 5), 12) == 36
    assert guess_second(rng.standard_normal(200), 1) == 1
    assert guess_second(t * SINE, 12) == 1  # what is left of the first is no second


def test_both_seasons_go_on():
    np.testing.assert_allclose(two_seasons(TWO[:600], 24, 168, 24, 24), TWO[600:624], atol=0.3)
    daily = np.arange(120) % 7 + 5.0 * (np.arange(120) % 28 == 9)
    np.testing.assert_allclose(two_seasons(daily[:90], 7, 28, 30, 14), daily[90:], atol=0.3)  # beyond the second


def test_a_trend_and_a_level_beside_both_seasons():
    y = 1e6 * (TWO + 0.01 * DAYS)
    np.testing.assert_allclose(two_seasons(y[:600], 24, 168, 24, 24), y[600:624], rtol=0.02)


def test_a_series_too_short_for_windows_repeats_a_season():
    np.testing.assert_array_equal(two_seasons(TWO[:200], 24, 168, 24, 48), TWO[32:56])
    np.testing.assert_array_equal(two_seasons(TWO[:100], 24, 168, 24, 48), TWO[76:100])
    np.testing.assert_array_equal(two_seasons(np.zeros(300), 4, 12, 5, 8), np.zeros(5))
    trend = 3.0 * np.arange(12 + 5 + 20)
    np.testing.assert_allclose(two_seasons(trend, 4, 12, 5, 8), 3.0 * np.arange(37, 42), atol=1)
    np.testing.assert_array_equal(two_seasons(trend[1:], 4, 12, 5, 8), trend[-12:-7])


# --- all of them ---


def test_those_named_are_made(monkeypatch):
    monkeypatch.setattr(module, "exponential_smoothing", lambda y, season, horizon: (season, horizon))
    found = rivals(SINE, 3, 4, 12, None, 8, ["GRU", ETS, CLIMATOLOGY, TWO_SEASONS])
    assert list(found) == [ETS, CLIMATOLOGY, TWO_SEASONS]
    assert found[ETS] == (4, 3)
    np.testing.assert_array_equal(found[TWO_SEASONS], two_seasons(SINE, 4, 12, 3, 8))
    times = dates("2001-01", len(SINE), "M")
    found = rivals(SINE, 3, 4, 12, times, 8, [CLIMATOLOGY])
    assert list(found) == [CLIMATOLOGY]
    np.testing.assert_array_equal(found[CLIMATOLOGY], climatology(SINE, 4, 3, times))
