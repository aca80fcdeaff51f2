"""Regular times."""

import datetime
import zoneinfo

import numpy as np
import pytest

from cgru.datasets.time_frequency import Frequency, infer_frequency
from cgru.datasets.time_parsing import parse_times
from cgru.datasets.time_zones import Clock


def continued(texts, form=None):
    """How the step of these times is called, and the two that come after them."""
    times = parse_times(texts, "t", form)
    calendar = infer_frequency(times.values, "t")
    n = int(calendar.places(times.values)[-1]) + 1
    assert n == len(texts)
    return str(calendar), times.written(calendar.at(times.values[-1], np.array([1, 2])))


@pytest.mark.parametrize(
    ("texts", "step", "due"),
    [
        (["1999-10", "1999-11", "1999-12"], "monthly", ["2000-01", "2000-02"]),
        (["1999-08-01", "1999-09-01", "1999-10-01"], "monthly", ["1999-11-01", "1999-12-01"]),
        (["2023-10-15", "2023-11-15", "2023-12-15"], "monthly", ["2024-01-15", "2024-02-15"]),
        (["2023-11-30", "2023-12-31", "2024-01-31"], "monthly", ["2024-02-29", "2024-03-31"]),
        (["2023-10-30", "2023-11-30", "2023-12-30"], "monthly", ["2024-01-30", "2024-02-29"]),
        (["2023-01-30", "2023-02-28", "2023-03-30"], "monthly", ["2023-04-30", "2023-05-30"]),
        (
            ["2023-03-29 06:30", "2023-07-29 06:30", "2023-11-29 06:30"],
            "every 4 months",
            ["2024-03-29 06:30", "2024-07-29 06:30"],
        ),
        (["2022-05-29", "2022-08-29", "2022-11-29"], "quarterly", ["2023-02-28", "2023-05-29"]),
        (["2023-03-31", "2023-06-30", "2023-09-30"], "quarterly", ["2023-12-31", "2024-03-31"]),
        (["1959Q2", "1959Q3", "1959Q4"], "quarterly", ["1960Q1", "1960Q2"]),
        (["1970 q3", "1970 q4", "1971 q1"], "quarterly", ["1971Q2", "1971Q3"]),
        (["2001-01-01", "2002-01-01", "2003-01-01"], "yearly", ["2004-01-01", "2005-01-01"]),
        (["2021-02-28", "2022-02-28", "2023-02-28"], "yearly", ["2024-02-29", "2025-02-28"]),
        (["2023-12-29", "2024-01-29", "2024-02-28", "2024-03-29"], "monthly", ["2024-04-29", "2024-05-29"]),
        (["2022-12-30", "2023-01-30", "2023-02-28", "2023-03-30"], "monthly", ["2023-04-30", "2023-05-30"]),
        (
            ["2022-12-31", "2023-01-31", "2023-02-28", "2023-03-28", "2023-04-28"],
            "monthly",
            ["2023-05-28", "2023-06-28"],
        ),
        (["2024-01-30", "2024-02-29", "2024-03-29", "2024-04-29"], "monthly", ["2024-05-29", "2024-06-29"]),
        (
            ["2022-12-30", "2023-01-31", "2023-02-28", "2023-03-31"],
            "monthly, on weekdays",
            ["2023-04-28", "2023-05-31"],
        ),
        (
            ["2023-04-03", "2023-05-01", "2023-06-01", "2023-07-03"],
            "monthly, on weekdays",
            ["2023-08-01", "2023-09-01"],
        ),
        (
            ["2023-11-01", "2023-12-01", "2024-01-02", "2024-02-01", "2024-03-01", "2024-04-01"],  # after a holiday
            "monthly, on weekdays",
            ["2024-05-01", "2024-06-03"],
        ),
        (["2023-06-30", "2023-09-29", "2023-12-29"], "quarterly, on weekdays", ["2024-03-29", "2024-06-28"]),
        (
            ["2022-01-03", "2022-04-01", "2022-07-01", "2022-10-03"],
            "quarterly, on weekdays",
            ["2023-01-02", "2023-04-03"],
        ),
        (["2020-12-31", "2021-12-31", "2022-12-30", "2023-12-29"], "yearly, on weekdays", ["2024-12-31", "2025-12-31"]),
        (["2020-02-29", "2021-02-28", "2022-02-28"], "yearly", ["2023-02-28", "2024-02-29"]),
        (
            ["2023-12-30 17:00", "2024-01-30 17:00", "2024-02-28 17:00"],
            "monthly",
            ["2024-03-30 17:00", "2024-04-30 17:00"],
        ),
        (
            ["2024-01-15", "2024-02-19", "2024-03-18", "2024-04-15"],
            "monthly, on the third Monday",
            ["2024-05-20", "2024-06-17"],
        ),
        (
            ["2024-01-29", "2024-02-26", "2024-03-25", "2024-04-29"],
            "monthly, on the last Monday",
            ["2024-05-27", "2024-06-24"],
        ),
        (
            ["2023-11-07", "2024-02-06", "2024-05-07", "2024-08-06"],
            "quarterly, on the first Tuesday",
            ["2024-11-05", "2025-02-04"],
        ),
        (
            ["2024-01-01", "2024-01-15", "2024-02-01", "2024-02-15", "2024-03-01", "2024-03-15"],
            "2 times a month",
            ["2024-04-01", "2024-04-15"],
        ),
        (
            ["2023-12-31", "2024-01-15", "2024-01-31", "2024-02-15", "2024-02-29", "2024-03-15"],
            "2 times a month",
            ["2024-03-31", "2024-04-15"],
        ),
        (
            [f"2024-{month:02}-{day:02}" for month in (1, 2, 3) for day in (1, 11, 21)],
            "3 times a month",
            ["2024-04-01", "2024-04-11"],
        ),
        (
            [f"2024-03-{day:02}" for day in range(3, 22) if day % 7 not in (1, 2)],
            "on 5 days a week",  # from Sunday to Thursday
            ["2024-03-24", "2024-03-25"],
        ),
        (
            [f"2024-01-{day:02}" for day in range(1, 28) if day % 7],
            "on 6 days a week",
            ["2024-01-29", "2024-01-30"],
        ),
        (["2001-01", "2001-03", "2001-05"], "every 2 months", ["2001-07", "2001-09"]),
        (["1968-12-26", "1968-12-27", "1968-12-28"], "daily", ["1968-12-29", "1968-12-30"]),
        (["2024-02-14", "2024-02-21", "2024-02-28"], "weekly", ["2024-03-06", "2024-03-13"]),
        (["2024-02-14", "2024-02-24", "2024-03-05"], "every 10 days", ["2024-03-15", "2024-03-25"]),
        (["2024-03-07", "2024-03-08", "2024-03-11", "2024-03-12"], "on weekdays", ["2024-03-13", "2024-03-14"]),
        (
            ["2024-03-07 17:00", "2024-03-08 17:00", "2024-03-11 17:00", "2024-03-12 17:00"],
            "on weekdays",
            ["2024-03-13 17:00", "2024-03-14 17:00"],
        ),
        ([f"2024-03-{day:02}" for day in range(7, 12)], "daily", ["2024-03-12", "2024-03-13"]),
        (["2024-03-04", "2024-03-05", "2024-03-06"], "daily", ["2024-03-07", "2024-03-08"]),
        ([f"2024-01-{day:02}" for day in range(1, 29)], "daily", ["2024-01-29", "2024-01-30"]),
        (
            ["2024-01-01 20:00", "2024-01-01 22:00", "2024-01-02 00:00"],
            "every 2 hours",
            ["2024-01-02 02:00", "2024-01-02 04:00"],
        ),
        (
            ["2024-02-29 22:00", "2024-02-29 23:00", "2024-03-01 00:00"],
            "hourly",
            ["2024-03-01 01:00", "2024-03-01 02:00"],
        ),
        (
            ["2021-05-01T23:00:00Z", "2021-05-01T23:30:00Z", "2021-05-02T00:00:00Z"],
            "every 30 minutes",
            ["2021-05-02 00:30:00Z", "2021-05-02 01:00:00Z"],
        ),
        (
            ["2021-05-01 00:00:00+02:00", "2021-05-01 00:00:01+02:00", "2021-05-01 00:00:02+02:00"],
            "every second",
            ["2021-05-01 00:00:03+02:00", "2021-05-01 00:00:04+02:00"],
        ),
        (
            ["2021-05-01 00:00:00.0", "2021-05-01 00:00:00.1", "2021-05-01 00:00:00.2"],
            "every 0.1 seconds",
            ["2021-05-01 00:00:00.300000", "2021-05-01 00:00:00.400000"],
        ),
        ([1700, 1701, 1702], "numbered", ["1703", "1704"]),
        ([1700.0, 1705.0, 1710.0], "every 5", ["1715", "1720"]),
        ([202311, 202312, 202313], "numbered", ["202314", "202315"]),
        ([179910, 179911, 179912], "numbered", ["179913", "179914"]),
        ([20240228, 20240229, 20240230], "numbered", ["20240231", "20240232"]),
    ],
)
def test_times_are_read_and_continued(texts, step, due):
    assert continued(texts) == (step, due)


def test_times_in_a_form_of_their_own():
    assert continued(["30.11.2023", "31.12.2023", "31.01.2024"], "%d.%m.%Y") == (
        "monthly",
        ["29.02.2024", "31.03.2024"],
    )
    assert continued(["1991 Jul", "1991 Aug", "1991 Sep"], "%Y %b") == ("monthly", ["1991 Oct", "1991 Nov"])
    assert continued([199111, 199112, 199201], "%Y%m") == ("monthly", ["199202", "199203"])


def test_datetimes_are_written_as_exactly_as_they_need():
    days = np.arange("2024-01-01", "2024-01-04", dtype="datetime64[D]")
    assert continued(days.astype("datetime64[ns]"))[1] == ["2024-01-04", "2024-01-05"]
    assert continued(days[:3] + np.timedelta64(1, "h"))[1][0] == "2024-01-04 01:00:00"
    fine = np.datetime64("2024-01-01") + np.arange(3) * np.timedelta64(250, "ms")
    assert continued(fine) == ("every 0.25 seconds", ["2024-01-01 00:00:00.750000", "2024-01-01 00:00:01.000000"])
    assert continued([datetime.date(2024, 1, day) for day in (1, 2, 3)])[1][0] == "2024-01-04"


def test_places_of_times_with_gaps():
    times = parse_times(["2024-01", "2024-02", "2024-03", "2024-06"], "t").values
    assert infer_frequency(times, "t").places(times).tolist() == [0, 1, 2, 5]
    times = parse_times(["2024-03-07", "2024-03-08", "2024-03-11", "2024-03-12", "2024-03-19"], "t").values
    assert infer_frequency(times, "t").places(times).tolist() == [0, 1, 2, 3, 8]
    times = np.array([10, 12, 14, 20])
    assert infer_frequency(times, "t").places(times).tolist() == [0, 1, 2, 5]
    times = parse_times(["2024-01-01 00:00", "2024-01-01 01:00", "2024-01-01 02:00", "2024-01-01 09:00"], "t").values
    assert infer_frequency(times, "t").places(times).tolist() == [0, 1, 2, 9]


@pytest.mark.parametrize("hour", [6, 23])
def test_months_of_local_times(hour):
    """Summer time begins among them."""
    clock = Clock(zoneinfo.ZoneInfo("Europe/Berlin"))
    months = np.arange("2024-01", "2024-07", dtype="datetime64[M]").astype("datetime64[us]")
    times = clock.moments_of(months + np.timedelta64(hour, "h"))
    found = infer_frequency(times[:4], "t", clock=clock)
    assert (str(found), found.days, found.hour) == ("monthly", (1,), np.timedelta64(hour, "h"))
    np.testing.assert_array_equal(found.at(times[3], [1, 2]), times[4:])


def test_times_may_be_off_by_a_millionth_of_a_step():
    days = np.arange("2024-01-01", "2024-01-05", dtype="datetime64[D]").astype("datetime64[us]")
    days[1:3] += np.array([80, 90], "timedelta64[ms]")
    assert Frequency("seconds", 86400.0).fits(days).tolist() == [True, True, False, True]


@pytest.mark.parametrize(
    ("calendar", "likely"),
    [
        (Frequency("months", 1), (12,)),
        (Frequency("months", 2), (6,)),
        (Frequency("months", 3), (4,)),
        (Frequency("months", 4), (3,)),
        (Frequency("months", 12), ()),
        (Frequency("months", 5), ()),
        (Frequency("months", 6), (2,)),
        (Frequency("weekdays", 1), (5,)),
        (Frequency("weekdays", 1, week="1111110"), (6,)),
        (Frequency("months", 1, (1, 15)), (24,)),
        (Frequency("seconds", 7 * 86400.0), (52,)),
        (Frequency("seconds", 86400.0), (7,)),
        (Frequency("seconds", 3600.0), (24, 168)),
        (Frequency("seconds", 1800.0), (48, 336)),
        (Frequency("seconds", 7000.0), ()),
        (Frequency("numbers", 1), ()),
    ],
)
def test_seasons_that_are_likely(calendar, likely):
    assert calendar.likely == likely


@pytest.mark.parametrize(
    ("texts", "words"),
    [
        (["01.2024.02"], "t: expected times like 1959-01, .* got '01.2024.02' in row 0; any other needs its format"),
        (["01/02/2024"], "t: expected dates with one reading, got '01/02/2024' in row 0, which may be 2024-02-01 or"),
        (["2024-01-01", "2024-01"], "got '2024-01' in row 1"),
        (["1959Q1", "1959-02"], "got '1959-02' in row 1"),
        (["2024-01-01", "2024-02-30"], "got '2024-02-30' in row 1, which no calendar or clock has"),
        (["2024-13"], "got '2024-13' in row 0, which no calendar or clock has"),
        (
            ["2024-01-01 00:00Z", "2024-01-01 01:00"],
            "a time zone in each row or in none, got '2024-01-01 01:00' in row 1",
        ),
        ([1.5, 2.5], "whole numbers"),
        ([2.0**53], "whole numbers"),
        (
            [202310, 202311, 202312, 202401],
            't: expected counts, .* got 202310; it needs its format: time_format="%Y%m"$',
        ),
        ([20240129.0, 20240130.0, 20240131.0], 'got 20240129; it needs its format: time_format="%Y%m%d"$'),
        (np.array(["2024-01-01", "NaT"], "datetime64[D]"), "expected a time in each row, got none in row 1"),
    ],
)
def test_what_is_no_time(texts, words):
    with pytest.raises(ValueError, match=words):
        parse_times(texts, "t")


@pytest.mark.parametrize("form", [None, "%Y-%m-%d %H:%M%z"])
def test_times_of_several_zones_are_in_utc(form):
    local = ["2024-03-31 00:00+01:00", "2024-03-31 01:00+0100", "2024-03-31 03:00+02:00", "2024-03-30 22:30-03:30"]
    local = [text.replace("+0100", "+01:00") for text in local] if form is None else local
    times = parse_times(local, "t", form)
    due = ["2024-03-30T23:00", "2024-03-31T00:00", "2024-03-31T01:00", "2024-03-31T02:00"]
    assert times.values.tolist() == np.array(due, "datetime64[us]").tolist()
    zone = "Z" if form is None else "+0000"
    assert times.written(times.values) == [text.replace("T", " ") + zone for text in due]


def test_days_of_several_zones_are_times_of_day():
    times = parse_times(["2024-03-30+01:00", "2024-03-31+00:00"], "t")
    assert times.written(times.values) == ["2024-03-29 23:00Z", "2024-03-31 00:00Z"]
    times = parse_times(["2024-03-30 00:00Z", "2024-03-30 00:00-01:00"], "t")
    assert times.written(times.values) == ["2024-03-30 00:00Z", "2024-03-30 01:00Z"]


def test_what_is_not_of_the_form_that_was_said():
    with pytest.raises(ValueError, match=r"t: expected times of the form %d.%m.%Y, got '2024-01-01' in row 1"):
        parse_times(["1.1.2024", "2024-01-01"], "t", "%d.%m.%Y")


@pytest.mark.parametrize(
    ("texts", "words"),
    [
        (["2024-01-01", "2024-01-02"], "t: expected at least 3 times, to know the step between them, got 2"),
        (["2024-01", "2024-02", "2024-02"], "t: expected each time once, got 2024-02-01 twice"),
        ([1, 2, 2, 3], "t: expected each time once, got 2 twice"),
        (
            ["2024-01-01", "2024-01-02", "2024-01-03", "2024-01-04 12:00"],
            "t: expected regular times, daily as most are, got 2024-01-04T12:00:00 after 2024-01-03",
        ),
        ([0, 2, 4, 5], "t: expected regular times, every 2 as most are, got 5 after 4"),
        (
            ["2023-11-29", "2023-12-29", "2024-01-29", "2024-02-27", "2024-03-29", "2024-04-29"],
            "t: expected regular times, monthly as most are, got 2024-02-27 after 2024-01-29",
        ),
        (
            ["2023-11-28", "2023-12-31", "2024-01-31", "2024-02-29"],
            "t: expected regular times, monthly as most are, got 2023-11-28 before 2023-12-31",
        ),
        (
            ["2023-06-30", "2023-07-31", "2023-08-31", "2023-09-29", "2023-10-20", "2023-11-30", "2023-12-29"],
            "monthly, on weekdays as most are, got 2023-10-20 after 2023-09-29",
        ),
        (
            ["2024-01-01", "2024-01-15", "2024-02-01", "2024-02-16", "2024-03-01", "2024-03-15", "2024-04-01"],
            "got 2024-02-16 after 2024-02-01",
        ),
        (
            ["2024-03-04", "2024-03-07", "2024-03-11", "2024-03-14"],
            "every 3 days as most are, got 2024-03-11 after 2024-03-07",
        ),
        (["2024-01", "2024-03", "2024-05", "2024-06"], "every 2 months as most are, got 2024-06-01 after 2024-05-01"),
    ],
)
def test_times_that_are_not_regular(texts, words):
    if "12:00" in str(texts):
        texts = [f"{text} 00:00"[:16] for text in texts]
    with pytest.raises(ValueError, match=words):
        infer_frequency(parse_times(texts, "t").values, "t")


@pytest.mark.parametrize(
    ("values", "k"),
    [
        (["9998-10-31", "9998-11-30", "9998-12-31"], 12),
        (["9999-12-25", "9999-12-26", "9999-12-27"], 4),
        (["9999-12-13", "9999-12-14", "9999-12-15", "9999-12-16", "9999-12-17", "9999-12-20"], 9),
        (["9997-01-01", "9998-01-01", "9999-01-01"], 0),
    ],
)
def test_no_time_lies_past_the_year_9999(values, k):
    times = parse_times(values, "t").values
    calendar = infer_frequency(times, "t")
    assert calendar.at(times[-1], [k])[0] < np.datetime64("10000-01-01")
    for beyond in (k + 1, k + 10**9, 2**62):
        with pytest.raises(ValueError, match=f"horizon: expected times up to the year 9999, got .* after {values[-1]}"):
            calendar.at(times[-1], [1, beyond])


def test_numbers_are_those_that_64_bits_hold():
    assert Frequency("numbers", 1).at(3, []).tolist() == []
    numbers = np.array([2**63 - 5, 2**63 - 3])
    assert Frequency("numbers", 2).at(numbers[-1], [1]).tolist() == [2**63 - 1]
    with pytest.raises(ValueError, match="horizon: expected numbers of 64 bits"):
        Frequency("numbers", 2).at(numbers[-1], [2])
