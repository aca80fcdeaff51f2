"""Years, months, days, ... in columns of their own."""

import numpy as np
import pytest

from cgru.datasets.date_parts import join_parts, months_in, order_of_parts, part_of, parts_in


def joined(names, *columns):
    columns = [np.array(each, object if isinstance(each[0], str) else None) for each in columns]
    parts = order_of_parts(names, columns)
    return parts and join_parts(parts, names, columns, "row {}".format)


def refused(names, *columns):
    with pytest.raises(ValueError, match=r": expected ") as caught:
        joined(names, *columns)
    return str(caught.value)


@pytest.mark.parametrize(
    ("names", "parts"),
    [
        ("name Year mo DAY hr wind", "year month day hour"),
        ("sale_year sale_month price", "year month"),
        ("obsYear obsMonth obsDay", "year month day"),
        ("année mois jour", "year month day"),
        ("Jahr Monat Tag Stunde", "year month day hour"),
        ("año mes día hora minuto", "year month day hour minute"),
        ("anno mese giorno", "year month day"),
        ("rok miesiąc dzień", "year month day"),
        ("jaar maand dag uur", "year month day hour"),
        ("год месяц день", "year month day"),
        ("YY MM DD hh mm WDIR", "year month day hour minute"),
        ("mm YY MM DD hh", "year month day hour minute"),
        ("YY month DD hh mm", "year month day hour minute"),
        ("y m d", "year month day"),
        ("MM YYYY", "year month"),
        ("Month Day Ozone", "month day"),
        ("day time temp", "day clock"),
        ("year quarter", "year quarter"),
        ("Year doy", "year yday"),
        ("year week", "year week"),
        ("day_of_month month year", "year month day"),
        ("day_of_year year", "year yday"),
        ("hour_of_day year month day", "year month day hour"),
        ("hour min", "hour minute"),
        ("hour min max", ""),
        ("year day", ""),
        ("day_of_week hour", ""),
        ("x y z d", ""),
        ("y m", ""),
        ("Y y m d", ""),
        ("ax ay az month", ""),
        ("year1 month1 year2 month2", ""),
        ("start_year start_month birth_year birth_month", ""),
        ("year a b", ""),
    ],
)  # fmt: skip
def test_columns_are_parts_by_their_names(names, parts):
    found = parts_in(names.split())
    assert " ".join(found) == parts
    assert set(found.values()) <= set(names.split())


def test_what_a_part_is_called():
    assert [part_of(name) for name in ("Day of Week", "day_of_the_month", "Minute of Hour", "jour de l'année")] == [
        None, "day", "minute", "yday",
    ]  # fmt: skip
    assert part_of("month day") is None


def test_months_by_name():
    words = "January jan. mars März août déc. sept enero 07 3月 M05 mrt Okt ott maj янв. kwi Ağustos juil"
    found = [months_in([word])[word] for word in words.split()]
    assert found == [1, 1, 3, 3, 8, 12, 9, 1, 7, 3, 5, 3, 10, 10, 5, 1, 4, 8, 7]
    assert [months_in([word]) for word in ("13", "0", "jui", "ju", "total", "", "Marching")] == [{}] * 7
    assert months_in(["lis", "lip", "3"]) == {"lis": 11, "lip": 7, "3": 3}  # in Polish
    assert months_in(["lis", "lip", "stu"]) == {"lis": 10, "lip": 6, "stu": 11}  # in Croatian
    assert months_in(["lis", "March"]) == {}


def test_parts_are_joined_in_any_order():
    due = np.array(["1975-06-27", "1976-02-29"], "datetime64[us]")
    assert (joined(["year", "month", "day"], [1975, 1976], [6, 2], [27, 29]) == due).all()
    assert (joined(["day", "month", "year"], [27, 29], ["juin", "févr."], [1975, 1976]) == due).all()
    assert (joined(["A", "B", "C"], [1975.0, 1976.0], [6, 2], [27, 29]) == due).all()
    assert (joined(["year", "B", "day"], [1975, 1976], ["Jun", "Feb"], ["27", "29"]) == due).all()
    assert joined(["A", "B", "C"], [75, 76], [6, 2], [27, 29]) is None
    assert joined(["A", "B"], [999], [6]) is None
    assert joined(["A", "B"], [1000], [6])[0] == np.datetime64("1000-06-01")
    assert joined(["A", "B"], [9999], [6])[0] == np.datetime64("9999-06-01")
    assert joined(["A", "B"], [10000], [6]) is None
    assert joined(["day", "time"], ["2024-01-01"], ["08:00"]) is None
    assert joined(["day", "year"], [1], [2024]) is None
    assert joined(["year", "year "], [2024], [2024]) is None


def test_parts_of_a_day():
    names = ["Y", "month", "day", "hour", "minute", "second"]
    assert joined(names, [2020], [1], [2], [24], [0], [1.5])[0] == np.datetime64("2020-01-03T00:00:01.5")
    names = ["YY", "MM", "DD", "hh", "mm"]
    assert joined(names, [2020], [1], [2], [23], [50])[0] == np.datetime64("2020-01-02T23:50")
    for times, due in ((["18:30", "7.05"], ["18:30", "07:05"]), ([1830, 705], ["18:30", "07:05"])):
        found = joined(["year", "month", "day", "time"], [2024, 2024], [1, 2], [3, 4], times)
        assert (found == np.array([f"2024-01-03T{due[0]}", f"2024-02-04T{due[1]}"], "datetime64[us]")).all()
    assert joined(["year", "month", "day", "hour"], [2024], [1], [3], [1800])[0] == np.datetime64("2024-01-03T18")
    assert joined(["year", "month", "day", "time"], [2024], [1], [3], [18])[0] == np.datetime64("2024-01-03T18")
    assert joined(["year", "month", "day", "time"], [2024], [1], [3], ["18:30:20"])[0] == np.datetime64(
        "2024-01-03T18:30:20"
    )


def test_quarters_weeks_and_days_of_the_year():
    due = ["2020-01-01", "2021-10-01"]
    assert (joined(["year", "Q"], [2020, 2021], [1, 10]) == np.array(due, "datetime64[us]")).all()  # then months
    assert (joined(["year", "qtr"], [2020, 2021], ["Q1", "q4"]) == np.array(due, "datetime64[us]")).all()
    due = ["2020-12-28", "2021-01-04", "2014-12-29"]
    assert (joined(["year", "week"], [2020, 2021, 2015], [53, 1, 1]) == np.array(due, "datetime64[us]")).all()
    assert joined(["year", "doy"], [2020], [366])[0] == np.datetime64("2020-12-31")


def test_years_of_two_digits_of_one_half_of_a_century_come_in_their_order():
    assert (np.diff(joined(["year", "month"], [1, 2, 50], [1, 1, 1])) > np.timedelta64(0, "us")).all()


def test_without_a_year_times_are_counted():
    hours = np.timedelta64(1, "h")
    assert (joined(["day", "time"], [346, 347], [2350, 0]) / hours).tolist() == [346 * 24 + 23 + 50 / 60, 347 * 24]
    assert (joined(["month", "day"], [1, 3], [2, 1]) / hours).tolist() == [24, 60 * 24]
    assert (joined(["hour", "minute"], [1, 2], [30, 0]) / hours).tolist() == [1.5, 2]
    assert (joined(["day", "hour"], [-1, 40], [0, 12]) / hours).tolist() == [-24, 972]


@pytest.mark.parametrize(
    ("names", "rows", "why"),
    [
        ("year month day", [(2023, 2, 29)], "day: expected a day of 2023-02, at most 28, got 29 in row 0"),
        ("year month day", [(2023, 1, 32)], "day: expected a day from 1 to 31, got 32 in row 0"),
        ("year month day", [(2023, 1, 0)], "day: expected a day from 1 to 31, got 0 in row 0"),
        ("day hour", [(1, 25)], "hour: expected an hour from 0 to 24, got 25 in row 0"),
        ("year month", [(0, 1)], "year: expected a year from 1 to 9999, got 0 in row 0"),
        ("year month", [(2023, 2), (2023, 13)], "month: expected a month, got 13 in row 1"),
        ("year month", [(2023, "May"), (2023, "Mya")], "month: expected a month, got 'Mya' in row 1"),
        ("year month", [(2023.5, 1)], "year: expected a year from 1 to 9999, got 2023.5 in row 0"),
        ("year month", [(98, 1), (3, 1)], "year: expected years of four digits, got 3 in row 1"),
        ("year month", [(110, 1), (60, 1)], "year: expected years of four digits, got 60 in row 1"),
        ("day hour", [("1", "7"), ("1", "q3")], "hour: expected an hour from 0 to 24, got 'q3' in row 1"),
        ("day hour", [(1, 99), (1, 100)], "hour: expected a time of day such as 18:30 or 1830, got 99 in row 0"),
        ("year quarter", [(2023, 5)], "quarter: expected a quarter from 1 to 4, got 5 in row 0"),
        ("year week", [(2021, 53)], "week: expected a week of 2021, at most 52, got 53 in row 0"),
        ("year doy", [(2021, 366)], "doy: expected a day of 2021, at most 365, got 366 in row 0"),
        ("day hour minute", [(1, 2, 60)], "minute: expected a minute from 0 to 59, got 60 in row 0"),
        ("day hour minute second", [(1, 2, 3, 60)], "second: expected a second from 0 to 59, got 60 in row 0"),
        ("day time", [(1, 860)], "time: expected a time of day such as 18:30 or 1830, got 860 in row 0"),
        ("day hour", [(1.5, 3)], "day: expected a whole number, got 1.5 in row 0"),
    ],
)  # fmt: skip
def test_a_part_out_of_range_is_refused_by_its_row(names, rows, why):
    assert refused(names.split(), *zip(*rows, strict=True)) == why


STORMS = "name,year,month,day,hour,wind\nAmy,1975,6,30,18,3\nAmy,1975,7,1,0,4\nAmy,1975,6,30,0,1\nBob,1975,6,1,0,5\n"


def test_a_time_may_be_its_parts(reads):
    data = reads(STORMS, id="name", time=["year", "month", "day", "hour"])
    assert data.train.X[0, :, 0].tolist() == [1, 3, 4]
    assert data.reading["time"] == ["year", "month", "day", "hour"]
    swapped = reads(STORMS, id="name", time=["hour", "day", "month", "year"])
    assert swapped.train.X.tolist() == data.train.X.tolist()


@pytest.mark.parametrize(
    ("names", "first", "last"),
    [
        ("year quarter", (1, 1), (9999, 4)),
        ("year week", (2020, 1), (2020, 53)),
        ("year yday", (2020, 1), (2020, 366)),
        ("year month day", (2020, 1, 1), (2020, 12, 31)),
    ],
)
def test_first_and_last_values_of_parts(names, first, last):
    names = names.split()
    assert order_of_parts(names, [np.array(each) for each in zip(first, last, strict=True)]) == names
