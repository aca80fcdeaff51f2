"""Days of months, weeks and years, beside Python's own calendar."""

import datetime

import numpy as np

from cgru.datasets.days import first_day, first_monday, lengths_of_months, weekday

DAYS = np.datetime64("1895-11-30") + 11 * np.arange(8000)  # into the year 2136


def test_first_days_of_months():
    months = [(12 * day.year + day.month - 1, day) for day in DAYS.tolist()]
    for later in (0, 1, 12):
        due = [datetime.date((month + later) // 12, (month + later) % 12 + 1, 1) for month, _ in months]
        assert first_day(DAYS, later).tolist() == due
    assert first_day(np.datetime64("2024-02-29T12", "us"), 1) == np.datetime64("2024-03-01")


def test_lengths_of_months():
    some = np.array(["2023-02", "2024-02-29", "1900-02", "2000-02", "2024-04", "2024-12-31"], "datetime64[D]")
    assert lengths_of_months(some).tolist() == [28, 29, 28, 29, 30, 31]


def test_weekdays():
    assert weekday(DAYS).tolist() == [day.weekday() for day in DAYS.tolist()]


def test_first_mondays():
    years = np.arange("1895", "2140", dtype="datetime64[Y]").astype("datetime64[D]")
    assert first_monday(years).tolist() == [datetime.date.fromisocalendar(day.year, 1, 1) for day in years.tolist()]
