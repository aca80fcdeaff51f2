import numpy as np
import pytest

from cgru.forecast import calendar
from cgru.forecast.calendar_features import cycles_of, helpful_cycles


def turn(share):
    """The sine and cosine of that share of a cycle."""
    return [np.sin(2 * np.pi * share), np.cos(2 * np.pi * share)]


def test_hours_have_their_day_and_week():
    times = np.datetime64("2024-01-03T00:00") + np.arange(4) * np.timedelta64(6, "h")  # a Wednesday
    found = calendar(times)
    np.testing.assert_allclose(found, [[*turn(i / 4), *turn(2 / 7)] for i in range(4)], atol=1e-12)


def test_days_have_their_week_and_year():
    times = np.array(["2023-12-31", "2024-01-01", "2024-01-02"], "datetime64[D]")
    found = calendar(times.astype(str).astype("datetime64[s]"))
    due = [[*turn(6 / 7), *turn(364 / 365)], [*turn(0), *turn(0)], [*turn(1 / 7), *turn(1 / 366)]]
    np.testing.assert_allclose(found, due, atol=1e-12)


@pytest.mark.parametrize("step", ["7 days", "1 month", "3 months"])
def test_longer_steps_have_their_year(step):
    count, unit = step.split()
    times = np.datetime64("2021-07", unit[0].upper() if unit != "days" else "D") + int(count) * np.arange(9)
    found = calendar(times)
    assert found.shape == (9, 2)
    np.testing.assert_allclose(found[0], turn(181 / 365), atol=1e-12)


def test_the_cycles_asked_for():
    times = np.array(["2024-07-02T12:00", "2024-07-02T18:00"], "datetime64[m]")
    found = calendar(times, cycles=["year", "day"])
    np.testing.assert_allclose(found[0], [*turn(183.5 / 366), *turn(0.5)], atol=1e-12)


def test_the_cycles_of_a_step():
    day = np.datetime64("2024-01-01")
    assert cycles_of(day + np.arange(3) * np.timedelta64(23, "h")) == ("day", "week")
    assert cycles_of(day + np.arange(3)) == ("week", "year")
    assert cycles_of(day + 7 * np.arange(3)) == ("year",)
    assert cycles_of(day.astype("datetime64[Y]") + np.arange(3)) == ()
    assert cycles_of(np.arange(3)) == cycles_of(np.array([day])) == ()


def test_cycles_help_that_show():
    days, t = np.datetime64("2021-01-01") + np.arange(800), np.arange(800)
    yearly = np.cos(2 * np.pi * t / 365.2425)
    yearly[5] = np.nan
    assert helpful_cycles(yearly, days) == ("week", "year")
    assert helpful_cycles(yearly[:729], days[:729]) == ()  # less than two years
    assert helpful_cycles(yearly[:730], days[:730]) == ("week", "year")
    assert helpful_cycles(np.random.default_rng(0).standard_normal(800), days) == ()
    weekdays = np.busday_offset("2021-01-01", t, roll="forward")  # 261 a year
    assert helpful_cycles(np.cos(2 * np.pi * t / 261), weekdays) == ("week", "year")
    assert helpful_cycles(np.cos(2 * np.pi * t / 365), weekdays) == ()
    hours, daily = np.datetime64("2021-01-01T00") + t, 9 * np.cos(2 * np.pi * t / 24)
    assert helpful_cycles(np.cos(2 * np.pi * t / 168) + daily, hours) == ("day", "week")
    assert helpful_cycles(np.cos(2 * np.pi * t / 960) + daily, hours) == ()  # no week, but what drifts slowly
    changing = daily * (
        2 + np.cos(2 * np.pi * t / 960)
    )  # days that change slowly: those of half a week ago are as alike
    assert helpful_cycles(changing, hours) == ()
    assert helpful_cycles(daily, hours) == ()
    months = np.datetime64("1950-01") + t
    assert helpful_cycles(np.cos(2 * np.pi * t / 12), months) == ()  # the season says it


def test_each_second_day_is_no_day():
    """The mean of the day leaves it in the series, where it is against the week."""
    hours = np.arange(24 * 7 * 6)
    times = np.datetime64("2024-01-01") + hours.astype("timedelta64[h]")
    week = np.cos(2 * np.pi * hours / 168)
    assert helpful_cycles(week, times) == ("day", "week")
    assert helpful_cycles(week + (-1.0) ** (hours // 24), times) == ()


@pytest.mark.parametrize(
    ("times", "cycles", "words"),
    [
        (np.arange(3), None, r"times: expected datetimes \(n,\), got int64 of shape \(3,\)"),
        (np.zeros((2, 2), "M8[D]"), None, r"times: expected .* of shape \(2, 2\)"),
        (np.array(["NaT"], "M8[D]"), ["day"], "times: expected"),
        (np.zeros(3, "M8[Y]") + np.arange(3), None, "cycles: expected some of day, week, year, .* got none"),
        (np.zeros(3, "M8[D]"), ["month"], "cycles: expected .* got 'month'"),
        (np.zeros(3, "M8[D]"), [], "cycles: expected .* got none"),
    ],
)
def test_refusals(times, cycles, words):
    with pytest.raises(ValueError, match=f"^{words}"):
        calendar(times, cycles)
