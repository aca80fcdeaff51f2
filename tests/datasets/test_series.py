"""Series out of tables."""

import re
import sys

import numpy as np
import pytest

from cgru.datasets.series import read_series, series_from_frame

MONTHS = [f"2024-{month:02}" for month in range(1, 7)]


@pytest.fixture(params=["pandas", "polars"])
def table(request):
    pytest.importorskip("narwhals")
    return pytest.importorskip(request.param).DataFrame


@pytest.fixture
def csv(tmp_path):
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


def test_an_index_of_pandas_has_the_times():
    pytest.importorskip("narwhals")
    pandas = pytest.importorskip("pandas")
    days = pandas.DatetimeIndex(["2024-01-03", "2024-01-01", "2024-01-02"])
    for index in (days, days.rename("seen"), days.to_period("D"), days.strftime("%Y-%m-%d").rename("seen")):
        (one,) = series_from_frame(pandas.DataFrame({"y": [3, 1, 2]}, index))
        assert (one.y.tolist(), one.written([3]), one.time) == ([1, 2, 3], ["2024-01-04"], index.name or "index")
    shops = pandas.MultiIndex.from_product([["a", "b"], days], names=["shop", "day"])
    one, other = series_from_frame(pandas.DataFrame({"y": range(6)}, shops), id="shop")
    assert (one.name, one.y.tolist(), other.y.tolist(), other.time) == ("a", [1, 2, 0], [4, 5, 3], "day")
    (one,) = series_from_frame(pandas.DataFrame({"y": [3, 1, 2]}, [7, 5, 6]))
    assert (one.y.tolist(), one.time) == ([3, 1, 2], "step")
    both = pandas.DataFrame({"day": days[::-1], "y": [2, 1, 3]}, days.rename("day"))
    assert series_from_frame(both)[0].y.tolist() == [1, 2, 3]
    with pytest.raises(TypeError, match="frame: expected a DataFrame of pandas or Polars, got Series"):
        series_from_frame(pandas.Series([1, 2, 3], days))


def test_without_times_rows_are_steps(table):
    (one,) = series_from_frame(table({"y": [3, 1, 2]}))
    assert (one.y.tolist(), one.notes) == ([3, 1, 2], ())
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


def test_times_of_a_zone_are_told_as_its_clocks_show_them(table):
    utc = np.arange("2024-03-30T22", "2024-03-31T04", dtype="datetime64[h]").astype("datetime64[us]")
    frame = table({"t": utc, "y": range(6)})
    if hasattr(frame, "with_columns"):
        frame = frame.with_columns(frame["t"].dt.replace_time_zone("UTC").dt.convert_time_zone("Europe/Berlin"))
    else:
        frame["t"] = frame["t"].dt.tz_localize("UTC").dt.tz_convert("Europe/Berlin")  # the hour that is left out in it
    (one,) = series_from_frame(frame)
    assert (str(one.calendar), one.written([0, 6])) == (
        "hourly",
        ["2024-03-30 23:00:00+01:00", "2024-03-31 06:00:00+02:00"],
    )


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
    _, one = read_series(csv(",0,1\n1821,5,8\n1822,6,9\n1823,7,9\n"), target=["0", "1"])
    assert (one.y.tolist(), one.notes) == ([8, 9, 9], ("the first line, with 0, 1, is taken for a header",))
    assert refused(csv, ",0,2\n1821,5,8\n").startswith("expected a line of names at the top, got values: nan, 0, 2")
    (one,) = read_series(csv(",a\n2024-01,5\n2024-02,6\n2024-03,7\n"))
    assert (one.name, one.time, one.written([3])) == ("a", "time", ["2024-04"])
    (one,) = read_series(csv(",quarter,y\n0,2024Q1,5\n1,2024Q2,6\n2,2024Q3,7\n"))
    assert (one.name, one.time, one.written([3])) == ("y", "quarter", ["2024Q4"])
    assert one.notes == ("left out the first column, which has no name and counts the rows",)
    (one,) = read_series(csv(",quarter,y\n7,2024Q1,5\n3,2024Q2,6\n4,2024Q3,7\n"))
    assert (one.name, one.time) == ("y", "quarter")
    assert refused(csv, "quarter,,y\n2024Q1,5,1\n") == "expected a name for each column, got none for column 2"


def test_an_index_in_a_frame_is_no_target(table):
    (one,) = series_from_frame(table({"Unnamed: 0": [1821, 1822, 1823], "y": [5, 6, 7]}))
    assert (one.name, one.time, one.written([3])) == ("y", "time", ["1824"])


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
    assert series_from_frame(frame)[0].written([3]) == ["04.01.2024"]
    odd = table({"day": ["1;1;24", "2;1;24", "3;1;24"], "y": [1, 2, 3]})
    with pytest.raises(ValueError, match=r"day: expected times like .* any other needs its format"):
        series_from_frame(odd)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({}, "target: expected the column to forecast, one of y, x$"),
        ({"target": "z"}, "target: expected one of the columns shop, y, x, name, got 'z'"),
        ({"target": "month", "time": "month"}, "target: expected one of the columns shop, y, x, name, got 'month'"),
        ({"target": ["y", "y"]}, "target: expected each column once, got y, y"),
        ({"target": "y", "inputs": ["y"]}, "target: expected one of the columns shop, x, name, got 'y'"),
        ({"target": "y", "time": "z"}, "time: expected one of the columns month, shop, y, x, name, got 'z'"),
        ({"target": "y", "id": "z"}, "id: expected one of the columns"),
        ({"target": "y", "inputs": ["z"]}, "inputs: expected one of the columns"),
        ({"target": ["y", "x"], "id": "shop"}, "target: expected one column beside id, got y, x"),
        ({"target": "y"}, "month: expected each time once, got 2024-01 twice"),
        ({"target": "y", "id": "name"}, "month of a: expected each time once, got 2024-01 twice$"),
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
    with pytest.raises(TypeError, match="month: expected numbers, got '2024-01' in row 0"):
        series_from_frame(table(words), target="month")
    with pytest.raises(ValueError, match="y: expected finite numbers, got infinity in row 1"):
        series_from_frame(table(words | {"y": [1.0, np.inf, 2.0]}))
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
    pytest.importorskip("narwhals")
    with pytest.raises(TypeError, match="frame: expected a DataFrame of pandas or Polars, got LazyFrame"):
        series_from_frame(pytest.importorskip("polars").LazyFrame({"y": [1, 2]}))
    with pytest.raises(TypeError, match="frame: expected a DataFrame of pandas or Polars, got list"):
        series_from_frame([1, 2])


def test_true_and_false_are_numbers_but_no_target_by_themselves(table):
    (one,) = series_from_frame(table({"month": MONTHS[:3], "y": [1, 2, 3], "open": [True, False, True]}))
    assert one.name == "y"
    (one,) = series_from_frame(
        table({"month": MONTHS[:3], "y": [1, 2, 3], "open": [True, False, True]}), inputs=["open"]
    )
    assert one.X.tolist() == [[1], [0], [1]]


def test_narwhals_is_asked_for_by_frames_alone(csv, monkeypatch):
    for name in ("narwhals", "narwhals.stable.v2", "pandas", "polars"):
        monkeypatch.setitem(sys.modules, name, None)
    assert read_series(csv("y\n1\n2\n"))[0].y.tolist() == [1, 2]
    with pytest.raises(ImportError, match=r"^series_from_frame: narwhals is missing: pip install narwhals"):
        series_from_frame([1, 2])


# --- files ---

GERMAN = "Datum;Besucher;Umsatz\n01.03.2024;12;1550,00\n02.03.2024;NA;1490,5\n03.03.2024;15;?\n04.03.2024;9;1600\n"


def refused(csv, text, **options):
    """Why a file is not read, after its name."""
    path = csv(text)
    with pytest.raises(ValueError, match=r".") as caught:
        read_series(path, **options)
    assert str(caught.value).startswith(f"{path}: ")
    return str(caught.value).removeprefix(f"{path}: ")


def test_semicolons_decimal_commas_and_missing_values(csv):
    one, other = read_series(csv(GERMAN), target=["Besucher", "Umsatz"], time_format="%d.%m.%Y")
    np.testing.assert_array_equal(one.y, [12, np.nan, 15, 9])
    np.testing.assert_array_equal(other.y, [1550, 1490.5, np.nan, 1600])
    assert (one.time, one.written([4]), one.notes) == ("Datum", ["05.03.2024"], ("numbers have a decimal comma",))
    assert refused(csv, GERMAN, time_format="%d.%m.%Y") == (
        "target: expected the column to forecast, one of Besucher, Umsatz"
    )


def test_the_decimal_sign_settles_what_has_two_readings(csv):
    text = "month;y\n2024-01;1,234\n2024-02;2,345\n2024-03;3,456\n"
    assert 'decimal="," says that it is' in refused(csv, text)
    (one,) = read_series(csv(text), decimal=",")
    assert (one.y.tolist(), one.notes) == ([1.234, 2.345, 3.456], ())
    with pytest.raises(ValueError, match=r"^decimal: expected one of \., ,, got ';'"):
        read_series("nowhere.csv", decimal=";")


def test_a_word_among_numbers_is_told_by_its_line(csv):
    text = "month,visitors\n\n2024-01,3\n2024-02,closed\n2024-03,4\n"
    for options in ({}, {"target": "visitors"}, {"gaps": True}):
        assert refused(csv, text, **options) == (
            "visitors: expected numbers, got 'closed' in line 4; na=\"closed\" takes it for missing"
        )
    assert refused(csv, "month,a,b,c\n2024-01,3,x,true\n2024-02,2,x 1,true\n2024-03,closed,4,true\n") == (
        "target: expected the column to forecast, of numbers alone, got a with 'closed' in line 4; na=\"closed\" takes "
        "it for missing; b with 'x' in line 2"
    )
    one = "month,a,b\n2024-01,3,1\n2024-02,x,4\n2024-03,5,6\n"
    assert refused(csv, one) == "target: expected the column to forecast, one of a, b"  # b is not all that may be meant
    assert refused(csv, one, target="a") == "a: expected numbers, got 'x' in line 3; na=\"x\" takes it for missing"
    for words in ("x,y,", "True,False,True", "0.5 kg,0.5 kg,1 kg"):
        text = "month,a,b\n" + "".join(f"2024-0{i + 1},{i},{word}\n" for i, word in enumerate(words.split(",")))
        assert read_series(csv(text))[0].name == "a"


def test_times_are_told_by_their_lines(csv):
    cure = '; time="COL" names another column, time="" takes rows as steps'
    why = refused(csv, "month,y\n2024-01,1\nFebruary,2\n2024-03,3\n")
    assert re.fullmatch(
        r"month: expected times like .*, got 'February' in line 3, unlike '2024-01'; any other .*" + cure, why
    )
    why = refused(csv, "month,y\n2024-01,1\nFebruary,2\n2024-03,3\n", time="month", time_format="%Y-%m")
    assert why == "month: expected times of the form %Y-%m, got 'February' in line 3"
    assert refused(csv, "month,y\n2024-01,1\n,2\n2024-03,3\n") == (
        "month: expected a value in each row, got none in line 3"
    )
    assert refused(csv, "month,y,s\n2024-01,1,a\n2024-02,2,\n", id="s") == (
        "s: expected a value in each row, got none in line 3"
    )


HOURS = "Date,Time,load\n" + "".join(f"2024-01-{1 + h // 24:02},{h % 24:02}:00,{h}\n" for h in range(21, 28))


def test_a_date_and_a_time_in_two_columns(csv):
    note = 'Date with Time is what steps are sorted by (time=["Date", "Time"])'
    for options, notes in (({}, (note,)), ({"time": ["Date", "Time"]}, ()), ({"target": "load"}, (note,))):
        (one,) = read_series(csv(HOURS), **options)
        assert (one.name, one.time, str(one.calendar), one.notes) == ("load", "Date Time", "hourly", notes)
        assert one.written([0, 7]) == ["2024-01-01 21:00", "2024-01-02 04:00"]
    (one,) = read_series(csv(HOURS.replace("-01-", "/1/").replace(":", ".")), time_format="%Y/%m/%d %H.%M")
    assert (one.time, one.written([7]), one.notes) == ("Date Time", ["2024/01/02 04.00"], (note,))
    (one,) = read_series(csv(HOURS), time_format="%H:%M %Y-%m-%d", time=["Time", "Date"])
    assert (one.time, one.written([7]), one.notes) == ("Time Date", ["04:00 2024-01-02"], ())
    (one,) = read_series(
        csv("y,M,D,v\n2024,1,30,1\n2024,1,31,2\n2024,2,1,3\n"), time=["y", "M", "D"], time_format="%Y %m %d"
    )
    assert (one.y.tolist(), str(one.calendar)) == ([1, 2, 3], "daily")


def test_a_date_beside_what_is_no_time_of_day_is_read_alone(csv):
    for clock in ("a", "5", "1.5", ""):
        lines = "".join(f"2024-01-{d:02},{clock},{d}\n" for d in range(1, 5))
        (one,) = read_series(csv("Date,Time,y,d\n" + lines.replace("\n", ",z\n")), target="y")
        assert (one.time, str(one.calendar), one.notes) == ("Date", "daily", ())


def test_a_date_whose_time_stands_beside_it(csv):
    cure = '; time=["Date", "Time"] joins the two'
    twice = "Date: expected each time once, got 2024-01-01 twice"
    assert refused(csv, HOURS, time="Date") == twice + cure
    assert refused(csv, HOURS.replace("load", "year"), time="Date", target="year") == twice + cure
    apart = '; id="COL" tells several series apart'
    assert refused(csv, HOURS.replace("Time", "when"), time="Date") == twice + apart
    assert refused(csv, HOURS.replace("load", "Day"), time="Date", target="Day") == twice + cure
    german = HOURS.replace("2024-01-01", "01.01.2024").replace("2024-01-02", "02.01.2024")
    assert str(read_series(csv(german))[0].calendar) == "hourly"
    words = german.replace(".01.2024", " of January")
    assert refused(csv, words).endswith('; time="COL" names another column, time="" takes rows as steps' + cure)
    assert refused(csv, german, time_format="%d.%m.%Y") == "Date: expected each time once, got 01.01.2024 twice" + cure
    why = (
        "Date Time: expected times like 1959-01, 1959-01-31, 1959-01-31 12:00, 1959Q1 or whole numbers, all of one form"
    )
    assert refused(csv, words, time=["Date", "Time"]).startswith(
        f"{why}, got '01 of January 21:00' in line 2; any other"
    )
    (one,) = read_series(csv(german), time_format="%d.%m.%Y %H:%M")
    assert str(one.calendar) == "hourly"


def test_several_times_that_are_none(csv):
    assert refused(csv, HOURS, time=["Date", "Date"]) == "time: expected each column once, got Date, Date"
    assert (
        refused(csv, HOURS, time=["Date", "Hour"]) == "time: expected one of the columns Date, Time, load, got 'Hour'"
    )
    whole = "Time: expected a date or a time of day beside another, got 21, a number"
    assert refused(csv, HOURS.replace(":00", "").replace(",0", ","), time=["Date", "Time"]) == whole
    assert refused(csv, HOURS.replace(",21:00", ","), time=["Date", "Time"]) == (
        "Time: expected a value in each row, got none in line 2"
    )
    assert refused(csv, HOURS, time=["Date", "Time"], target="Time") == (
        "target: expected one of the columns load, got 'Time'"
    )


def test_further_words_for_what_is_missing(csv):
    text = GERMAN.replace("?", "-").replace("9;1600", "-999;1600")
    given = {"time_format": "%d.%m.%Y", "na": ["-", -999]}
    (one,) = read_series(csv(text), target="Besucher", inputs=["Umsatz"], **given)
    np.testing.assert_array_equal(one.y, [12, np.nan, 15])
    np.testing.assert_array_equal(one.X.ravel(), [1550, 1490.5, np.nan])
    (one,) = read_series(csv(text.replace("12;", "-999;")), target="Besucher", time_format="%d.%m.%Y")
    doubt = '{} has -999 2 times, far below all others (na="-999" takes it for missing)'
    assert one.notes == ("numbers have a decimal comma", doubt.format("Besucher"))
    beside = "month,y,x\n2024-01,1,-999\n2024-02,2,3\n2024-03,3,-999\n"
    (one,) = read_series(csv(beside), target="y", inputs=["x"])
    assert one.notes == (doubt.format("x"),)
    (one,) = read_series(csv(beside), target="y", known=["x"])
    assert one.notes == (doubt.format("x"),)
    words = beside.replace("-999", "yes").replace("3\n", "no\n")
    cure = "; write words as numbers, such as 1 for yes and 0 for no"
    for role in ("inputs", "known"):
        assert refused(csv, words, target="y", **{role: ["x"]}).endswith(cure)
    assert refused(csv, beside, target="y", na="2024-02") == (
        "month: expected a value in each row, got none, or one that na takes for missing in line 3"
    )
    with pytest.raises(TypeError, match=r"^na: expected words"):
        read_series("nowhere.csv", na=[None])


def test_columns_with_another_role_are_not_taken_for_the_times(csv):
    text = "branch,opened,visitors\n" + "".join(f"{b},{month},{i}\n" for b in "AB" for i, month in enumerate(MONTHS))
    one, other = read_series(csv(text), id="branch")
    assert (one.name, other.name, one.time, one.y.tolist()) == ("A", "B", "opened", [*range(6)])
    assert refused(csv, text).startswith("opened: expected each time once, got 2024-01 twice; id=")
    (one,) = read_series(csv("day,y\n3,1\n5,2\n1,3\n"), target="day", inputs=["y"])
    assert (one.y.tolist(), one.time) == ([3, 5, 1], "step")
    one, _ = read_series(csv("day,y,month\n3,1,2024-01\n5,2,2024-02\n1,3,2024-03\n"), target=["day", "y"])
    assert (one.y.tolist(), one.time) == ([3, 5, 1], "month")
    (one,) = read_series(csv("year,when,y\n3,2024-01,1\n5,2024-02,2\n1,2024-03,3\n"), inputs=["year"])
    assert (one.name, one.time) == ("y", "when")
    (one,) = read_series(csv("shop,y\nA,1\nA,2\n"), id="shop")
    assert (one.y.tolist(), one.time) == ([1, 2], "step")


def test_rows_are_steps_where_it_is_said(csv):
    text = "colour,y\nred,1\nblue,2\n"
    assert 'time="" takes rows as steps' in refused(csv, text)
    (one,) = read_series(csv(text), time="")
    assert (one.time, one.y.tolist()) == ("step", [1, 2])


def test_a_column_of_times_is_found_by_what_it_holds(csv):
    text = "unique_id,seen,y\n1,2024-01,1\n1,2024-02,2\n1,2024-03,3\n"
    (one,) = read_series(csv(text), target="y")
    assert (one.time, one.y.tolist(), one.notes) == ("seen", [1, 2, 3], ())
    (one,) = read_series(csv(text.replace("2024-", "1/")), target="y", time_format="%d/%m")
    assert one.time == "seen"
    (one,) = read_series(csv(text.replace("2024-03", "third")), target="y")  # by which nobody can sort
    assert (one.time, one.notes) == ("step", ('rows are steps, since no column has times (time="COL")',))
    (one,) = read_series(csv(text.replace("2024-03", "")), target="y", time="")
    assert (one.time, one.notes) == ("step", ())
    (one,) = read_series(csv(text.replace("seen", "ds").replace("2024-0", "")), target="y")
    assert one.time == "ds"


def test_times_that_are_no_series_say_what_helps(csv):
    twice = "shop,time,y\na,2024-01-01 02:00,1\na,2024-01-01 02:00,2\na,2024-01-01 03:00,3\n"
    clock = "; an hour that clocks repeat is to be in UTC"
    assert refused(csv, twice).endswith('02:00 twice; id="COL" tells several series apart' + clock)
    assert refused(csv, twice, id="shop").endswith("02:00 twice" + clock)
    assert refused(csv, "time,y\n1,1\n1,2\n2,3\n").endswith('got 1 twice; id="COL" tells several series apart')
    assert refused(csv, "time,y\n1,1\n2,2\n4,3\n3.5,4\n").endswith("got others; time=\"COL\" names another column, "
        'time="" takes rows as steps')  # fmt: skip
    days = "day,y\n2024-01-31,1\n2024-02-29,2\n2024-03-28,3\n2024-04-30,4\n"
    assert refused(csv, days).endswith('time="" takes rows as steps')


def test_ids_that_may_be_the_same_are_refused(csv):
    assert "s: expected integers or strings to tell sequences apart, got 1.1" in refused(
        csv, "s,y\n1.1,1\n1.10,2\n", id="s"
    )
    assert [one.name for one in read_series(csv("shop,y\n1,1\n1,2\n2,3\n"), target="y", id="shop")] == ["1", "2"]


def test_a_parquet_file(tmp_path):
    polars = pytest.importorskip("polars")
    pytest.importorskip("narwhals")
    path = tmp_path / "s.parquet"
    polars.DataFrame({"month": MONTHS, "y": [1.0, None, 3, 4, 5, 6]}).write_parquet(path)
    np.testing.assert_array_equal(read_series(path)[0].y, [1, np.nan, 3, 4, 5, 6])
    np.testing.assert_array_equal(read_series(path, na=4)[0].y, [1, np.nan, 3, np.nan, 5, 6])
    with pytest.raises(ValueError, match=r"s.parquet: decimal: expected nothing, .*, parquet, got some"):
        read_series(path, decimal=",")


def test_files_that_are_no_tables(csv, tmp_path):
    for text in ("1949-01,112\n1949-02,118\n", "112\n118\n-1.5\n"):
        assert re.match(r"expected a line of names at the top, got values: (1949-01, )?112(.0)?$", refused(csv, text))
    assert refused(csv, "") == "expected a table, got an empty file"
    np.savez(tmp_path / "s.npz", x=1)
    with pytest.raises(
        ValueError, match=r"s.npz: expected a table as text or Parquet, got a file of another kind, npz"
    ):
        read_series(tmp_path / "s.npz")
    with pytest.raises(FileNotFoundError):
        read_series(tmp_path / "none.csv")
    with pytest.raises(TypeError, match="unexpected keyword argument 'wide'"):
        read_series(csv("y\n1\n"), wide=True)


# --- weekdays without holidays ---


def weekdays(count, without=(), start="2023-12-18"):
    days = np.busday_offset(np.datetime64(start), np.arange(count)).astype(str)
    return [day for i, day in enumerate(days.tolist()) if i not in without]


def test_weekdays_without_holidays_are_taken_as_they_are(csv):
    days = weekdays(60, without=(5, 6, 10, 40))
    text = "day,close\n" + "".join(f"{day},{i}\n" for i, day in enumerate(days))
    (one,) = read_series(csv(text))
    assert (str(one.calendar), len(one.y), one.calendar.likely) == ("on weekdays", 56, (5,))
    assert one.notes == (
        "4 weekdays that are not there, the first after 2023-12-22, are taken for holidays, which are no steps; "
        "gaps=True fills them",
    )
    assert one.written([0, 5, 55, 56, 57]) == ["2023-12-18", "2023-12-27", "2024-03-08", "2024-03-11", "2024-03-12"]
    (filled,) = read_series(csv(text), gaps=True)
    assert (len(filled.y), int(np.isnan(filled.y).sum()), filled.notes) == (60, 4, ())
    assert filled.written([5, 60]) == ["2023-12-25", "2024-03-11"]


@pytest.mark.parametrize("without", [range(20, 31), range(5, 35, 4)])
def test_gaps_that_are_no_holidays_are_refused(csv, without):
    days = weekdays(60, without=tuple(without))
    i = without[0]
    why = refused(csv, "day,close\n" + "".join(f"{day},{k}\n" for k, day in enumerate(days)))
    assert f"on weekdays, got a gap from {days[i - 1]} to {days[i]}; gaps=True" in why


def test_days_without_holidays_but_with_weekends_have_gaps(csv):
    days = [f"2024-01-{day:02}" for day in range(1, 31) if day != 15]
    why = refused(csv, "day,y\n" + "".join(f"{day},{i}\n" for i, day in enumerate(days)))
    assert "daily, got a gap from 2024-01-14 to 2024-01-16" in why


def test_times_that_cannot_be_continued_are_told(csv):
    (one,) = read_series(csv("day,y\n9999-12-28,1\n9999-12-29,2\n9999-12-30,3\n"))
    assert one.written([3]) == ["9999-12-31"]
    with pytest.raises(ValueError, match="horizon: expected times up to the year 9999, got steps beyond after 9999-12"):
        one.written([4])


def test_times_are_quoted_as_they_stand_in_the_file(csv):
    text = "when,y\n1.1.2024,1\n2.1.2024,2\n3.1.2024,3\n3.1.2024,4\n"
    assert "got 3.1.2024 twice" in refused(csv, text, time_format="%d.%m.%Y")
    text = text.replace("3.1.2024,4", "5.1.2024,4")
    assert "got a gap from 3.1.2024 to 5.1.2024; " in refused(csv, text, time_format="%d.%m.%Y")


@pytest.mark.parametrize("name", ["Año", "obs_year", "Fecha", "miesiąc", "Periodo", "datum_tid"])
def test_times_are_found_by_their_names_in_other_languages(csv, name):
    (one,) = read_series(csv(f"y,{name}\n3,2003\n2,2002\n1,2001\n"), target="y")
    assert (one.time, one.y.tolist()) == (name, [1, 2, 3])
    (one,) = read_series(csv(f"{name}\n3\n2\n1\n"))
    assert (one.name, one.time) == (name, "step")


def test_a_measurement_that_is_called_as_a_time_is_none(csv):
    (one,) = read_series(csv("temps,month\n3.5,2024-03\n2.5,2024-02\n1.5,2024-01\n"))
    assert (one.name, one.time) == ("temps", "month")


def test_the_last_weekday_of_a_month_may_be_a_holiday(csv):
    ends = ["2023-12-29", "2024-01-31", "2024-02-29", "2024-03-28", "2024-04-30", "2024-05-31"]
    text = "day,close\n" + "".join(f"{day},{i}\n" for i, day in enumerate(ends))
    (one,) = read_series(csv(text))
    assert (str(one.calendar), one.written([3, 6, 7])) == (
        "monthly, on weekdays",
        ["2024-03-28", "2024-06-28", "2024-07-31"],
    )
    assert one.notes == ("1 times are not the last weekday, as if that were a holiday: 2024-03-28",)
    starts = ["2023-09-01", "2023-10-02", "2023-11-01", "2023-12-01", "2024-01-02", "2024-02-01"]
    (one,) = read_series(csv("day,close\n" + "".join(f"{day},{i}\n" for i, day in enumerate(starts))))
    assert one.notes == ("1 times are not the first weekday, as if that were a holiday: 2024-01-02",)
    assert "got 2024-03-20 after 2024-02-29" in refused(csv, text.replace("2024-03-28", "2024-03-20"))
    assert "expected regular times" in refused(
        csv, text.replace("31,", "30,").replace("29,", "28,").replace("30,", "29,")
    )


def test_columns_that_may_tell_several_series_apart_are_named(csv):
    months = [f"{2000 + i // 12},{i % 12 + 1}" for i in range(24)]
    text = "series,year,month,rate,date\n"
    text += "".join(f"{name},{month},{i},2000-01-01\n" for name in ("Gov", "Min") for i, month in enumerate(months))
    error = refused(csv, text, target="rate")
    assert error == 'year month: expected each time once, got 2000 1 twice; id="series" tells several series apart'
    assert [each.name for each in read_series(csv(text), target="rate", id="series")] == ["Gov", "Min"]


@pytest.mark.parametrize(("clock", "step"), [("hour", 1), ("hora", 1), ("hhmm", 100)])
def test_a_date_with_numbers_that_are_a_time_of_day(csv, clock, step):
    text = f"fecha,{clock},y\n" + "".join(f"2024-01-0{1 + i // 24},{i % 24 * step},{i}\n" for i in range(72))
    (one,) = read_series(csv(text))
    assert (one.time, str(one.calendar)) == (f"fecha {clock}", "hourly")
    assert one.written([72]) == ["2024-01-04 00:00"]
    (one,) = read_series(csv(text.replace("fecha", "YYYYMMDD").replace("2024-01-0", "2024010")))
    assert (one.time, one.written([72])) == (f"YYYYMMDD {clock}", ["20240104 00:00"])


def test_times_without_a_year_are_no_steps_but_rows_are(csv):
    """As in R's beaver1, where a clock begins anew at midnight."""
    times = [(346 + m // 1440, m % 1440 // 60 * 100 + m % 60) for m in range(520, 1660, 10)]
    text = "day,time,temp\n" + "".join(f"{day},{clock},{i}\n" for i, (day, clock) in enumerate(times))
    error = refused(csv, text)
    assert error == 'day time: expected a year among the parts of a date, got none; time="" takes rows as steps'
    assert read_series(csv(text), time="")[0].y.tolist() == list(range(len(times)))


# --- inputs known in the future ---


def test_known_inputs_go_on_after_the_last_value(csv):
    rows = [f"{month},{'' if i in (0, 4, 5) else i},{i % 2},{10 * i}" for i, month in enumerate(MONTHS)]
    path = csv("\n".join(["month,y,promo,x", *rows]))
    (one,) = read_series(path, target="y", known=["promo", "x"])
    assert one.y.tolist() == [1, 2, 3]
    assert one.known.tolist() == [[1, 10], [0, 20], [1, 30], [0, 40], [1, 50]]
    assert one.written([0, 4, 5]) == ["2024-02", "2024-06", "2024-07"]
    (one,) = read_series(path, known="promo", inputs="x")  # the only column left is the target
    assert (one.name, one.known.shape, one.X.tolist()) == ("y", (5, 1), [[10], [20], [30]])
    (one,) = read_series(path, target="y", inputs=["x"])
    assert (one.known, len(one.times.values)) == (None, 3)
    with pytest.raises(ValueError, match="known: expected one of the columns month, y, promo, x, got 'z'"):
        read_series(path, target="y", known=["z"])


def test_known_inputs_end_where_one_of_them_does(csv):
    rows = [
        f"{month},{'' if i > 2 else i},{'' if i in (1, 5) else i},{'' if i == 3 else 1}"
        for i, month in enumerate(MONTHS)
    ]
    (one,) = read_series(csv("\n".join(["month,y,a,b", *rows])), target="y", known=["a", "b"])
    np.testing.assert_array_equal(one.known, [[0, 1], [np.nan, 1], [2, 1], [3, np.nan], [4, 1]])
    (one,) = read_series(csv("month,y,a\n2024-01,1,\n2024-02,2,\n2024-03,3,\n"), target="y", known=["a"])
    assert np.isnan(one.known).tolist() == [[True]] * 3


def test_known_inputs_of_times_that_are_missing(csv):
    text = "day,y,a\n2024-01-01,1,1\n2024-01-02,2,2\n2024-01-03,3,3\n2024-01-05,5,5\n2024-01-07,,7\n2024-01-08,,8\n"
    (one,) = read_series(csv(text), target="y", known=["a"], gaps=True)
    np.testing.assert_array_equal(one.y, [1, 2, 3, np.nan, 5])
    np.testing.assert_array_equal(one.known[:, 0], [1, 2, 3, np.nan, 5, np.nan, 7, 8])


def test_times_to_come_are_those_of_the_table(csv):
    """Where a holiday lies among them the weekday after it is the next step."""
    days = [day for day in np.busday_offset("2024-01-01", np.arange(40)).astype(str) if day != "2024-02-20"]
    path = csv("\n".join(["day,y,a", *(f"{day},{'' if i > 34 else i},{i}" for i, day in enumerate(days))]))
    (one,) = read_series(path, target="y", known=["a"])
    assert one.written([34, 35, 36, 39]) == ["2024-02-16", "2024-02-19", "2024-02-21", "2024-02-26"]
