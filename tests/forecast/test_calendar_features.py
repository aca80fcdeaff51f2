import numpy as np
import pytest

from cgru.forecast import calendar, season_of
from cgru.forecast.calendar_features import cycles_of


def turn(share):
    """The sine and cosine of that share of a cycle."""
    return [np.sin(2 * np.pi * share), np.cos(2 * np.pi * share)]


def dates(start, step, unit, n=60):
    return np.datetime64(start, unit) + step * np.arange(n)


@pytest.mark.parametrize(
    ("times", "season"),
    [
        (dates("1950", 1, "Y"), 1),
        (dates("1565", 5, "Y"), 1),
        (dates("2000-01", 6, "M"), 2),
        (dates("2000-01", 3, "M"), 4),
        (dates("2000-01", 3, "M", 2), 4),
        (dates("2000-02", 2, "M"), 6),
        (dates("2000-01", 1, "M"), 12),
        (dates("2001-02", 1, "M", 2), 13),  # February alone
        (dates("2000-02", 1, "M", 12).astype("datetime64[D]") - np.timedelta64(1, "D"), 12),  # ends of months
        (dates("2020-01-01", 7, "D"), 52),
        (dates("2020-01-01", 14, "D"), 26),
        (dates("2020-01-01", 1, "D"), 7),
        (dates("2020-01-01", 2, "D"), 1),
        (np.busday_offset("2020-01-01", np.arange(60), roll="forward"), 5),
        (dates("2020-03-28", 1, "D", 5).astype("datetime64[m]") - np.arange(5) // 2 * np.timedelta64(15, "m"), 7),
        (dates("2020-01-01T00", 1, "h"), 24),
        (dates("2020-01-01T00", 6, "h"), 4),
        (dates("2020-01-01T00", 7, "h"), 1),
        (dates("2020-01-01T00:00", 30, "m"), 48),
        (dates("2020-01-01T00:00", 5, "m"), 288),
        (dates("2020-01-01T00:00", 1, "m"), 60),
        (dates("2020-01-01T00:00:00", 30, "s"), 120),
        (dates("2020-01-01T00:00:00", 1, "s"), 60),
        (dates("2020-01-01T00:00:00", 100, "ms"), 600),
        (dates("2020-01-01T00", 1, "h", 1), 1),
    ],
)
def test_the_season_of_a_step(times, season):
    assert season_of(times) == season


def test_the_calendar():
    hours = np.datetime64("2024-01-03T00:00") + np.arange(4) * np.timedelta64(6, "h")  # a Wednesday
    np.testing.assert_allclose(calendar(hours), [[*turn(i / 4), *turn(2 / 7)] for i in range(4)], atol=1e-12)
    days = np.array(["2023-12-31", "2024-01-01", "2024-01-02"], "datetime64[D]")
    due = [[*turn(6 / 7), *turn(364 / 365)], [*turn(0), *turn(0)], [*turn(1 / 7), *turn(1 / 366)]]
    np.testing.assert_allclose(calendar(days.astype("datetime64[s]")), due, atol=1e-12)
    for times in (dates("2021-07-01", 7, "D"), dates("2021-07", 1, "M"), dates("2021-07", 3, "M")):
        assert calendar(times).shape == (60, 2)
        np.testing.assert_allclose(calendar(times)[0], turn(181 / 365), atol=1e-12)
    noon = np.array(["2024-07-02T12:00", "2024-07-02T18:00"], "datetime64[m]")
    np.testing.assert_allclose(calendar(noon, ["year", "day"])[0], [*turn(183.5 / 366), *turn(0.5)], atol=1e-12)


def test_the_cycles_of_a_step():
    steps = [(np.timedelta64(23, "h"), ("day", "week")), (np.timedelta64(1, "D"), ("week", "year"))]
    for step, due in [*steps, (np.timedelta64(7, "D"), ("year",)), (np.timedelta64(366, "D"), ())]:
        assert cycles_of(np.datetime64("2024-01-01") + np.arange(3) * step) == due
    assert cycles_of(np.arange(3)) == cycles_of(np.array(["2024"], "M8[D]")) == ()


@pytest.mark.parametrize(
    ("times", "cycles", "argument"),
    [
        (np.arange(3), None, "times"),
        (np.zeros((2, 2), "M8[D]"), None, "times"),
        (np.array(["NaT"], "M8[D]"), ["day"], "times"),
        (dates("1950", 1, "Y"), None, "cycles"),
        (np.zeros(3, "M8[D]"), ["month"], "cycles"),
        (np.zeros(3, "M8[D]"), [], "cycles"),
    ],
)
def test_refusals(times, cycles, argument):
    with pytest.raises(ValueError, match=f"^{argument}: expected"):
        calendar(times, cycles)
    if argument == "times":
        with pytest.raises(ValueError, match=r"^times: expected"):
            season_of(times)
