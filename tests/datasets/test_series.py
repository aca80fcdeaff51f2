"""Series out of tables."""

import sys

import numpy as np
import pytest

from cgru.datasets.series import read_series, series_from_frame

pytest.importorskip("narwhals")
MONTHS = [f"2024-{month:02}" for month in range(1, 7)]


@pytest.fixture(params=["pandas", "polars"])
def table(request):
    return pytest.importorskip(request.param).DataFrame


@pytest.fixture
def csv(tmp_path):
    pytest.importorskip("pandas")

    def write(text):
        (tmp_path / "s.csv").write_text(text)
        return tmp_path / "s.csv"

    return write


def test_one_series_sorted_by_time(table):
    (one,) = series_from_frame(table({"month": MONTHS[::-1], "y": [6, 5, 4, 3, 2, 1]}))
    assert (one.name, one.time, str(one.calendar)) == ("y", "month", "monthly")
    assert one.y.tolist() == [1, 2, 3, 4, 5, 6]
    assert one.y.dtype == np.float64
    assert one.X is None
    assert one.written([0, 5, 6]) == ["2024-01", "2024-06", "2024-07"]


def test_series_beside_each_other_and_what_is_known_beside_them(table):
    frame = table({"when": MONTHS, "a": range(6), "b": range(10, 16), "x": range(20, 26), "name": ["z"] * 6})
    a, b = series_from_frame(frame, target=["b", "a"], inputs=["x"])
    assert (a.name, b.name) == ("b", "a")
    assert a.y.tolist() == list(range(10, 16))
    assert a.X.tolist() == b.X.tolist() == [[each] for each in range(20, 26)]
    (one,) = series_from_frame(frame, target="a")
    assert one.y.tolist() == list(range(6))


def test_series_below_each_other(table):
    frame = table({"t": [3, 1, 2, 1, 3, 2], "shop": [7, 8, 7, 7, 8, 8], "y": [3.0, 10, 2, 1, 30, 20], "x": range(6)})
    one, other = series_from_frame(frame, target="y", id="shop", time="t", inputs=["x"])
    assert (one.name, other.name) == ("7", "8")
    assert one.y.tolist() == [1, 2, 3]
    assert other.y.tolist() == [10, 20, 30]
    assert one.X.ravel().tolist() == [3, 2, 0]
    assert one.written([3]) == ["4"]


def test_without_times_rows_are_steps(table):
    (one,) = series_from_frame(table({"y": [3, 1, 2]}))
    assert one.y.tolist() == [3, 1, 2]
    assert (one.time, str(one.calendar), one.written([0, 3])) == ("step", "numbered", ["0", "3"])
    (one,) = series_from_frame(table({"a": [1, 2], "y": [3, 1]}), target="y")
    assert one.time == "step"


@pytest.mark.parametrize("name", ["Date", "TIME", "year", "anything"])
def test_the_column_of_times_is_found(table, name):
    values = [2001, 2002, 2003] if name == "year" else MONTHS[:3]
    columns = {name: values, "y": [1, 2, 3]}
    if name != "anything":  # which is the first
        columns = {"y": [1, 2, 3], name: values}
    assert series_from_frame(table(columns), target="y")[0].time == name


def test_a_column_of_datetimes_is_found(table):
    days = np.arange("2024-01-01", "2024-01-04", dtype="datetime64[D]").astype("datetime64[us]")
    (one,) = series_from_frame(table({"y": [1, 2, 3], "so": days}))
    assert (one.time, one.written([3])) == ("so", ["2024-01-04"])


def test_times_of_a_zone_are_told_in_utc(table):
    utc = np.arange("2024-03-30T22", "2024-03-31T04", dtype="datetime64[h]").astype("datetime64[us]")
    frame = table({"t": utc, "y": range(6)})
    if hasattr(frame, "with_columns"):
        frame = frame.with_columns(frame["t"].dt.replace_time_zone("UTC").dt.convert_time_zone("Europe/Berlin"))
    else:
        frame["t"] = frame["t"].dt.tz_localize("UTC").dt.tz_convert("Europe/Berlin")  # the hour that is left out in it
    (one,) = series_from_frame(frame)
    assert (str(one.calendar), one.written([0, 6])) == ("hourly", ["2024-03-30 22:00:00Z", "2024-03-31 04:00:00Z"])


def test_an_index_of_periods_is_the_time():
    pandas = pytest.importorskip("pandas")
    frame = pandas.DataFrame({"y": [1, 2, 3]}, index=pandas.period_range("2024-01", periods=3, freq="M"))
    (one,) = series_from_frame(frame.reset_index())
    assert (str(one.calendar), one.written([0, 3])) == ("monthly", ["2024-01", "2024-04"])
    (one,) = series_from_frame(pandas.DataFrame({"open": [True, False, True], "y": [1, 2, 3]}))
    assert one.time == "step"


def test_the_first_column_without_a_name_is_the_index(csv):
    (one,) = read_series(csv(",0\n1821,5\n1822,6\n1823,7\n"))
    assert (one.name, one.time, one.written([3])) == ("0", "time", ["1824"])
    (one,) = read_series(csv(",quarter,y\n0,2024Q1,5\n1,2024Q2,6\n2,2024Q3,7\n"))
    assert (one.name, one.time, one.written([3])) == ("y", "quarter", ["2024Q4"])


def test_missing_values_are_nan_and_ends_are_cut(table):
    frame = table({"month": MONTHS, "y": [None, 1.0, None, 3.0, 4.0, None], "x": [0.0, 1, 2, None, 4, 5]})
    (one,) = series_from_frame(frame, target="y", inputs=["x"])
    np.testing.assert_array_equal(one.y, [1, np.nan, 3, 4])
    np.testing.assert_array_equal(one.X, [[1], [2], [np.nan], [4]])
    assert one.written([0, 3]) == ["2024-02", "2024-05"]


def test_gaps_are_refused_by_place_or_become_missing_values(table):
    frame = table({"month": [MONTHS[i] for i in (0, 1, 2, 5)], "y": [0, 1, 2, 5], "x": [0, 1, 2, 5]})
    with pytest.raises(ValueError, match="month: expected regular times, monthly, got a gap from 2024-03 to 2024-06"):
        series_from_frame(frame, target="y")
    (one,) = series_from_frame(frame, target="y", inputs=["x"], gaps=True)
    np.testing.assert_array_equal(one.y, [0, 1, 2, np.nan, np.nan, 5])
    np.testing.assert_array_equal(one.X[:, 0], one.y)
    assert one.written(range(6)) == MONTHS
    with pytest.raises(ValueError, match="at least a tenth of all times, numbered, got 3 of 100"):
        series_from_frame(table({"t": [1, 2, 100], "y": [1, 2, 3]}), time="t", gaps=True)


def test_times_in_a_form_of_their_own(table):
    frame = table({"day": ["1.1.2024", "2.1.2024", "3.1.2024"], "y": [1, 2, 3]})
    assert series_from_frame(frame, time_format="%d.%m.%Y")[0].written([3]) == ["04.01.2024"]
    with pytest.raises(ValueError, match=r"day: expected times like .* any other needs its format"):
        series_from_frame(frame)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({}, "target: expected the column to forecast, one of y, x$"),
        ({"target": "z"}, "target: expected one of the columns shop, y, x, name, got 'z'"),
        ({"target": "month"}, "target: expected one of the columns shop, y, x, name, got 'month'"),
        ({"target": ["y", "y"]}, "target: expected each column once, got y, y"),
        ({"target": "y", "inputs": ["y"]}, "target: expected one of the columns shop, x, name, got 'y'"),
        ({"target": "y", "time": "z"}, "time: expected one of the columns month, shop, y, x, name, got 'z'"),
        ({"target": "y", "id": "z"}, "id: expected one of the columns"),
        ({"target": "y", "inputs": ["z"]}, "inputs: expected one of the columns"),
        ({"target": ["y", "x"], "id": "shop"}, "target: expected one column beside id, got y, x"),
        ({"target": "y"}, "month: expected each time once, got 2024-01-01 twice"),
        ({"target": "y", "id": "name"}, "month of a: expected each time once, got 2024-01-01 twice"),
    ],
)
def test_refusals(table, options, words):
    frame = table({"month": MONTHS[:3] * 2, "shop": ["b"] * 6, "y": range(6), "x": range(6), "name": ["a"] * 6})
    with pytest.raises(ValueError, match=words):
        series_from_frame(frame, **options)


def test_what_is_missing_or_no_number_is_told_by_place(table):
    words = {"month": MONTHS[:3], "y": ["1", "2,5", None], "shop": ["a", None, "a"]}
    with pytest.raises(TypeError, match="y: expected numbers, got '2,5' in row 1"):
        series_from_frame(table(words), target="y")
    with pytest.raises(TypeError, match="y: expected numbers, got "):
        series_from_frame(table(words | {"y": [True, False, True]}), target="y")
    with pytest.raises(ValueError, match="shop: expected a value in each row, got none in row 1"):
        series_from_frame(table(words | {"y": [1, 2, 3]}), target="y", id="shop")
    with pytest.raises(ValueError, match="month: expected a value in each row, got none in row 2"):
        series_from_frame(table({"month": [*MONTHS[:2], None], "y": [1, 2, 3]}))
    with pytest.raises(ValueError, match="y: expected at least one value, got none"):
        series_from_frame(table({"month": MONTHS[:3], "y": [np.nan] * 3}))
    with pytest.raises(ValueError, match="one of none with numbers"):
        series_from_frame(table({"month": MONTHS[:3]}))
    with pytest.raises(ValueError, match="at least one row"):
        series_from_frame(table({"y": []}))


def test_what_is_no_table():
    with pytest.raises(TypeError, match="frame: expected a DataFrame of pandas or Polars, got list"):
        series_from_frame([1, 2])


def test_files_that_are_no_tables(csv, tmp_path):
    for text in ("1949-01,112\n1949-02,118\n", "112\n118\n-1.5\n"):
        with pytest.raises(ValueError, match=r"s.csv: expected a line of names at the top, got values: 1"):
            read_series(csv(text))
    with pytest.raises(ValueError, match=r"s.csv: expected a CSV file with a line of names"):
        read_series(csv(""))
    with pytest.raises(FileNotFoundError):
        read_series(tmp_path / "none.csv")


def test_polars_reads_where_pandas_is_not(csv, monkeypatch):
    pytest.importorskip("polars")
    monkeypatch.setitem(sys.modules, "pandas", None)
    (one,) = read_series(csv("month,y\n2024-01,1\n2024-02,\n2024-03,3\n"))
    np.testing.assert_array_equal(one.y, [1, np.nan, 3])


def test_without_either_pandas_is_asked_for(csv, monkeypatch):
    import narwhals.stable.v2 as nw

    def lacking(path, backend):
        raise ModuleNotFoundError(backend)

    monkeypatch.setattr(nw, "read_csv", lacking)
    with pytest.raises(ImportError, match="read_series: pandas is missing: pip install pandas"):
        read_series(csv("month,y\n2024-01,1\n"))


def test_narwhals_is_asked_for(csv, monkeypatch):
    monkeypatch.setitem(sys.modules, "narwhals", None)
    monkeypatch.setitem(sys.modules, "narwhals.stable.v2", None)
    with pytest.raises(ImportError, match="read_series: narwhals is missing: pip install narwhals pandas"):
        read_series(csv("y\n1\n"))


def test_series_are_not_told_apart_by_reals(csv):
    with pytest.raises(
        ValueError, match=r"^shop: expected integers or strings to tell sequences apart, got 1\.1, a real"
    ):
        read_series(csv("shop,y\n1.1,1\n1.1,2\n1.10,3\n1.10,4\n"), target="y", id="shop")
    assert [one.name for one in read_series(csv("shop,y\n1,1\n1,2\n2,3\n2,4\n"), target="y", id="shop")] == ["1", "2"]
