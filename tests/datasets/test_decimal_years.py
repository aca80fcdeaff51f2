"""Decimal years."""

import numpy as np
import pytest

from cgru.datasets.decimal_years import decimal_years, odd_year
from cgru.datasets.series import read_series, series_from_frame


def as_r(values):
    """As R writes them."""
    return [f"{value:.15g}" for value in values]


def by_days(first, n, digits, share=0.0, day=0):
    """Months from the first on, by the days of their years: at this share of each, or on this day."""
    months = np.datetime64(first) + np.arange(n).astype("timedelta64[M]")
    years = months.astype("datetime64[Y]")
    starts, ends = (each.astype("datetime64[D]") for each in (years, years + np.timedelta64(1, "Y")))
    into = (months.astype("datetime64[D]") - starts).astype(int)
    lengths = ((months + np.timedelta64(1, "M")).astype("datetime64[D]") - months.astype("datetime64[D]")).astype(int)
    values = 1970 + years.astype(int) + (into + share * lengths + day) / (ends - starts).astype(int)
    return [f"{value:.{digits}f}" for value in values]


def read(tmp_path, times, name="time", **options):
    rows = [f"{time},{i % 5}\n" for i, time in enumerate(times)]
    (tmp_path / "s.csv").write_text("".join([f"{name},y\n", *rows]))
    (one,) = read_series(tmp_path / "s.csv", **options)
    return one


K = np.arange(60)
LAST = [f"{1871 + i // 12}.{i % 12 + 1:02}" for i in K]


@pytest.mark.parametrize(
    ("times", "step", "first"),
    [
        (as_r(1949 + K / 12), "monthly", "1949 is 1949-01"),
        (as_r(1959 + (K + 7) / 12), "monthly", "1959.58333333333 is 1959-08"),
        ([f"{1749 + k / 12:.3f}" for k in K], "monthly", "1749.000 is 1749-01"),
        ([f"{2001 + (k + 0.5) / 12:.4f}" for k in K], "monthly", "2001.0417 is 2001-01"),
        ([f"{1995 + k / 12:.2f}" for k in K], "monthly", "1995.00 is 1995-01"),
        (as_r(1945.25 + K / 4), "quarterly", "1945.25 is 1945-04"),
        ([f"{1945.125 + k / 4}" for k in K], "quarterly", "1945.125 is 1945-02"),
        (as_r(1700.5 + K), "yearly", "1700.5 is 1700-07"),
        (as_r(1990 + K / 2), "every 6 months", "1990 is 1990-01"),
        (by_days("1958-03", 60, 4, day=15), "monthly", "1958.2027 is 1958-03"),  # as CO2 of Mauna Loa
        (by_days("1749-01", 60, 3, share=0.5), "monthly", "1749.042 is 1749-01"),  # as sunspots
        (by_days("2019-11", 60, 5), "monthly", "2019.83288 is 2019-11"),
        (by_days("2019-01", 60, 5, share=1, day=-1), "monthly", "2019.08219 is 2019-01"),
        ([f"{2001 + (k + 0.3) / 12:.6f}" for k in K], "monthly", "2001.025000 is 2001-01"),
        (LAST, "monthly", "1871.01 is 1871-01"),
        ([each.removesuffix("0") for each in LAST], "monthly", "1871.01 is 1871-01"),
    ],
)
def test_decimal_years_are_months(tmp_path, times, step, first):
    one = read(tmp_path, times[:-6])
    assert (one.time, str(one.calendar), one.notes) == ("time", step, (f"time has decimal years: {first}",))
    assert one.written(np.arange(60)) == times
    if step == "monthly":
        assert one.calendar.likely == (12,)


@pytest.mark.parametrize(
    ("per_year", "name", "likely"),
    [(52, "52 a year", (52,)), (260, "260 a year", (260,)), (365.25, "365 a year", (7, 365)), (24, "24 a year", (24,))],
)
def test_other_parts_of_years_are_counted(tmp_path, per_year, name, likely):
    times = as_r(1991.5 + np.arange(130, 1030) / per_year)
    one = read(tmp_path, times[:-10])
    assert (str(one.calendar), one.calendar.likely) == (name, likely)
    assert one.notes == (f"time has decimal years, {round(per_year)} steps in each",)
    if per_year % 1 == 0:
        assert one.written(range(900)) == times
    np.testing.assert_allclose(np.array(one.written(range(900)), float), np.array(times, float), rtol=1e-13)
    again = read(tmp_path, times[:-10][::-1])
    assert again.written([0, 899]) == one.written([0, 899])


def test_months_that_are_not_placed_alike_are_written_as_months(tmp_path):
    times = [f"{1990 + (k + 0.02 * (k % 3)) / 12:.4f}" for k in K]
    one = read(tmp_path, times)
    assert one.written([0, 60]) == ["1990-01", "1995-01"]


def test_decimal_years_are_found_by_what_they_are(tmp_path):
    one = read(tmp_path, as_r(1949 + K / 12), name="decimal", target="y")
    assert (one.time, one.written([60])) == ("decimal", ["1954"])
    one = read(tmp_path, as_r(1949 + K**1.1 / 12), name="level", target="y")
    assert (one.time, one.written([60])) == ("step", ["60"])
    one = read(tmp_path, ["1012.3", "1012.4", "1012.5"], name="pressure", target="y")
    assert one.time == "step"


def test_gaps_and_repeats_of_decimal_years(tmp_path):
    times = as_r(1949 + K / 12)
    with pytest.raises(ValueError, match=r"monthly, got a gap from 1949.5 to 1949.66666666667; gaps"):
        read(tmp_path, times[:7] + times[8:])
    one = read(tmp_path, times[:7] + times[8:], gaps=True)
    assert (len(one.y), np.flatnonzero(np.isnan(one.y)).tolist()) == (60, [7])
    assert one.written([7, 60]) == ["1949.58333333333", "1954"]
    with pytest.raises(ValueError, match=r"time: expected each time once, got 1949.5 twice"):
        read(tmp_path, [*times, times[6]])
    with pytest.raises(ValueError, match=r"decimal years that are the same part of a month, got 1949.63 in line 9"):
        read(tmp_path, [*times[:7], "1949.63", *times[8:]])


@pytest.mark.parametrize(
    "values",
    [
        [1949.0, 1950.0, 1951.0],
        [0.1, 0.2, 0.3],
        [1949.0, 1949.5],
        [2999.0, 2999.5, 3000.0, 3000.5],
        [999.0, 999.5, 1000.0, 1000.5],
        [1949.0, np.nan, 1949.5],
        [1949.1, 1949.37, 1950.9, 1951.33, 1952.02, 1953.3, 1954.2, 1954.99],
        [1949.0, 1949.01, 1949.02, 1949.03, 1949.04, 1949.05, 1949.06, 1949.07, 1949.08],
    ],
)
def test_what_are_no_decimal_years(values):
    assert decimal_years(np.array(values)) is None


def test_the_one_that_is_no_month():
    values = 1949 + K / 12
    values[7] += 0.04
    assert odd_year(values) == 7
    assert odd_year(values - 949) == 7  # from the year 1000 on
    for others in (
        values + 2000,
        values - 1000,
        1949 + K,
        values.astype(int),
        1949 + np.random.default_rng(0).random(60),
    ):
        assert odd_year(others) is None


@pytest.mark.parametrize("library", ["pandas", "polars"])
def test_decimal_years_in_a_frame(library):
    pytest.importorskip("narwhals")
    frame = pytest.importorskip(library).DataFrame({"year": 1949 + K / 12, "y": K})
    (one,) = series_from_frame(frame)
    assert (str(one.calendar), one.written([0, 60])) == ("monthly", ["1949", "1954"])


def test_decimal_commas_and_several_series(tmp_path):
    rows = [f"{name};{1990 + k / 4:.2f};{k}\n".replace(".", ",") for name in "ab" for k in range(12)]
    (tmp_path / "s.csv").write_text("".join(["land;jahr;y\n", *rows]))
    one, other = read_series(tmp_path / "s.csv", id="land")
    assert one.written([12]) == other.written([12]) == ["1993.00"]
    assert str(one.calendar) == "quarterly"
