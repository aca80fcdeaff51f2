"""Long tables."""

import datetime
import re
import sys

import numpy as np
import pytest

import cgru
from cgru.datasets import from_frame
from cgru.datasets.dataframes import as_categories

pytest.importorskip("narwhals")
ROWS = {
    "subject": ["b", "a", "b", "a", "a", "c"],
    "when": [2, 5, 1, 3, 4, 0],
    "x": [1.0, 2.0, 3.0, 4.0, 5.0, 6.0],
    "on": [True, False, False, True, True, False],
    "group": ["ill", "well", "ill", "well", "well", "ill"],
}


@pytest.fixture(params=["pandas", "polars"])
def table(request):
    return pytest.importorskip(request.param).DataFrame


def test_sequences_are_sorted_and_come_as_they_first_appear(table):
    X, y, ids, columns = from_frame(table(ROWS), "subject", time="when", label="group")
    assert ids.tolist() == ["b", "a", "c"]
    assert columns == ["x", "on"]
    assert y.tolist() == ["ill", "well", "ill"]
    assert [x.tolist() for x in X] == [[[3, 0], [1, 1]], [[4, 1], [5, 1], [2, 0]], [[6, 0]]]


def test_without_time_rows_stay_in_their_order(table):
    X, y, ids, _ = from_frame(table(ROWS), "subject", columns=["x"])
    assert y is None
    assert [x[:, 0].tolist() for x in X] == [[1, 3], [2, 4, 5], [6]]
    assert ids.tolist() == ["b", "a", "c"]


def test_dates_and_a_fit(table):
    rows = ROWS | {"when": np.array(ROWS["when"], "datetime64[D]").astype("datetime64[us]")}
    X, y, *_ = from_frame(table(rows), "subject", time="when", label="group")
    assert X[1][:, 0].tolist() == [4, 5, 2]
    net = cgru.Network([cgru.GRU(2), cgru.Dense(2, "softmax")], seed=0)
    net.fit(X, y, epochs=2)
    assert net.class_names == ("ill", "well")


@pytest.mark.parametrize(
    ("change", "options", "error", "message"),
    [
        ({}, {"id": "who"}, ValueError, "id: expected one of the columns subject, when, x, on, group, got 'who'"),
        ({}, {"time": "hour"}, ValueError, "time: expected one of the columns"),
        ({}, {"columns": ["x", "y"]}, ValueError, "columns: expected one of the columns"),
        ({}, {"columns": "x"}, TypeError, "columns: expected a list of names, got 'x'"),
        ({}, {"columns": ["x", "x"]}, ValueError, "columns: expected each once, and none of subject, got x, x"),
        ({}, {"columns": ["x", "subject"]}, ValueError, "columns: expected each once, and none of subject"),
        ({}, {"time_format": "%Y"}, ValueError, "time_format: expected a column of times beside it, got none"),
        ({}, {"columns": []}, ValueError, "columns: expected at least one beside subject, got none"),
        ({}, {}, TypeError,
         "group: expected numbers, got 'ill' in row 0; label=\"group\" learns it; columns=\"...\" says which are"),
        ({"when": [2, 5, 1, 3, 3, 0]}, {"time": "when", "label": "group"}, ValueError,
         "when: expected times that differ within a sequence, got 3 of subject a in row 3 and again in row 4"),
        ({"group": ["ill", "well", "ill", "well", "ill", "ill"]}, {"label": "group"}, ValueError,
         "group: expected one value for each subject, got another in row 4"),
        ({"x": [1.0, 2.0, 3.0, None, 5.0, 6.0]}, {"label": "group"}, ValueError,
         "x: expected a value in each row, got none in row 3"),
        ({"x": [1.0, 2.0, 3.0, 4.0, np.nan, 6.0]}, {"label": "group"}, ValueError,
         "x: expected a value in each row, got none in row 4"),
        ({"subject": ["b", "a", None, "a", "a", "c"]}, {"label": "group"}, ValueError,
         "subject: expected a value in each row, got none in row 2"),
    ],
)  # fmt: skip
def test_refusals(table, change, options, error, message):
    with pytest.raises(error, match="^" + re.escape(message)):
        from_frame(table(ROWS | change), **({"id": "subject"} | options))


def test_what_only_pandas_has():
    table = pytest.importorskip("pandas").DataFrame
    with pytest.raises(TypeError, match=r"^frame: expected columns whose names are strings, got 0"):
        from_frame(table({0: ["a"], 1: [2.0]}), 0)
    with pytest.raises(TypeError, match=r"^subject: expected values of one kind, got several"):
        from_frame(table({"subject": ["a", 1], "x": [1.0, 2.0]}), "subject")


def test_a_date_and_a_time_in_two_columns(table):
    days = np.array(["2024-02-01", "2024-01-31", "2024-02-01"], "datetime64[D]")
    for date in (days.astype("datetime64[ms]"), ["2024-02-01", "2024-01-31", "2024-02-01"], list(days.tolist())):
        for clock in (["09:30", "18:00", "00:30"], [datetime.time(9, 30), datetime.time(18), datetime.time(0, 30)]):
            frame = table({"id": [1, 1, 1], "day": date, "clock": clock, "x": [3, 1, 2]})
            X, *_, columns = from_frame(frame, "id", time=["day", "clock"])
            assert (X[0][:, 0].tolist(), columns) == ([1, 2, 3], ["x"])
    hours = {"id": [1, 1], "day": ["2024-02-01"] * 2, "x": [1, 2]}
    for hour in ([9, 18], [9.5, 18.3], [True, False]):
        with pytest.raises(
            TypeError, match=rf"^clock: expected a date or a time of day beside another, got {hour[0]}, a"
        ):
            from_frame(table(hours | {"clock": hour}), "id", time=["day", "clock"])
    assert from_frame(table(hours | {"hour": [18, 9]}), "id", time=["day", "hour"]).X[0].tolist() == [[2], [1]]
    seconds = np.array(["2024-02-01T09:30", "2024-02-01T00:30"], "datetime64[ms]")
    with pytest.raises(ValueError, match=r"^when day: expected numbers or dates such as"):
        from_frame(table(hours | {"when": seconds}), "id", time=["when", "day"])


def test_what_is_no_table_is_refused(table, monkeypatch):
    with pytest.raises(TypeError, match=r"^frame: expected a DataFrame of pandas or Polars, got dict"):
        from_frame(ROWS, "subject")
    with pytest.raises(ValueError, match=r"^frame: expected at least one row, got none"):
        from_frame(table({"subject": [], "x": []}), "subject")
    monkeypatch.setitem(sys.modules, "narwhals.stable.v2", None)
    with pytest.raises(ImportError, match=r"^from_frame: narwhals is missing: pip install narwhals"):
        from_frame(table(ROWS), "subject")


def test_several_columns_as_id_and_label(table):
    rows = {
        "who": ["a", "a", "b", "a"],
        "trial": [1, 2, 1, 1],
        "x": [1.0, 2.0, 3.0, 4.0],
        "p": [5, 6, 7, 5],
        "q": [0.5] * 4,
    }
    X, y, ids, columns = from_frame(table(rows), ["who", "trial"], label=["p", "q"])
    assert ids.tolist() == ["a/1", "a/2", "b/1"]
    assert [x.tolist() for x in X] == [[[1], [4]], [[2]], [[3]]]
    assert y.tolist() == [[5, 0.5], [6, 0.5], [7, 0.5]]
    assert columns == ["x"]


def test_a_class_for_each_step(table):
    y = from_frame(table(ROWS | {"group": list("xyxyxy")}), "subject", time="when", label="group", per_step=True).y
    assert y.tolist() == [["x", "x", ""], ["y", "x", "y"], ["y", "", ""]]


def test_what_decays_has_its_times_beside_it():
    pd = pytest.importorskip("pandas")
    frame = pd.DataFrame({"id": [1, 1, 2], "t": [3.0, 7.5, 1.0], "a": [1.0, np.nan, 2.0], "b": [np.nan, 4.0, 5.0]})
    found = from_frame(frame, "id", time="t", columns=["b", "a"], missing="decay")
    np.testing.assert_array_equal(found.X[0], [[np.nan, 1], [4, np.nan]])
    assert [times.tolist() for times in found.beside["times"]] == [[0, 4.5], [0]]
    net = cgru.Network([cgru.GRUD(3), cgru.Dense(1, "identity")], seed=0)
    net.fit(found.X, [1.0, 2.0], epochs=1, **found.beside)
    assert net.layers[0].unit == 4.5
    assert len(from_frame(frame, "id", time="t", missing="zero")) == 4


@pytest.mark.parametrize("nullable", [False, True])
def test_what_is_missing_is_filled(table, nullable):
    rows = {"subject": list("aab"), "x": [1, None, 3], "on": [None, True, None], "r": [0.5, None, np.nan]}
    frame = table(rows)
    if nullable and hasattr(frame, "convert_dtypes"):
        frame = frame.convert_dtypes()
    assert [x.tolist() for x in from_frame(frame, "subject", missing="zero").X] == [
        [[1, 0, 0.5], [0, 1, 0]],
        [[3, 0, 0]],
    ]
    with pytest.raises(ValueError, match=r"^on: expected a value at least, got none in subject b; missing="):
        from_frame(frame, "subject", missing="forward")
    with pytest.raises(ValueError, match=r"^missing: expected one of"):
        from_frame(frame, "subject", missing="mean")


def test_strings_that_are_dates_are_sorted_as_dates(table):
    rows = {"id": [1, 1, 1], "when": ["1.2.2024", "31.12.2023", "10.1.2024"], "x": [3, 1, 2]}
    assert from_frame(table(rows), "id", time="when").X[0][:, 0].tolist() == [1, 2, 3]
    with pytest.raises(TypeError, match=r"^when: expected numbers, got '1.2.2024' in row 0"):
        from_frame(table(rows), "id")


def test_times_of_a_frame_are_named(table):
    days = np.array(ROWS["when"], "datetime64[D]").astype("datetime64[us]")
    with pytest.raises(
        TypeError, match=r'^when: expected numbers, got datetime64.*; time="when" sorts by it; columns='
    ):
        from_frame(table(ROWS | {"when": days}), "subject", label="group")


def test_a_format_of_times(table):
    rows = {"id": [1, 1, 1], "when": ["03/01/2024", "01/02/2024", "02/03/2024"], "a": [3, 1, 2]}
    with pytest.raises(ValueError, match=r"^when: expected dates with one reading, .*; time_format="):
        from_frame(table(rows), "id", time="when")
    for form, due in (("%d/%m/%Y", [3, 1, 2]), ("%m/%d/%Y", [1, 2, 3])):
        assert from_frame(table(rows), "id", time="when", time_format=form).X[0][:, 0].tolist() == due
    whole = rows | {"when": [20240301, 20240102, 20240203]}
    assert from_frame(table(whole), "id", time="when", time_format="%Y%d%m").X[0][:, 0].tolist() == [3, 1, 2]
    assert from_frame(table(rows | {"when": [3, 1, 2]}), "id", time="when").X[0][:, 0].tolist() == [1, 2, 3]


def test_two_columns_of_one_name_are_refused_by_it():
    pandas = pytest.importorskip("pandas", reason="pandas is not installed")
    frame = pandas.DataFrame([[1, 1, 2.0, 3.0]], columns=["id", "t", "a", "a"])
    with pytest.raises(ValueError, match=r"^frame: expected columns of different names, got 'a' as 3 and 4$"):
        from_frame(frame, "id", time="t")
    pyarrow = pytest.importorskip("pyarrow", reason="pyarrow is not installed")
    table = pyarrow.table([pyarrow.array([1.0])] * 3, names=["b", "b", "id"])
    with pytest.raises(ValueError, match=r"^frame: expected columns of different names, got 'b' as 1 and 2$"):
        from_frame(table, "id")


def test_categories_are_names_or_values_by_name():
    assert as_categories({"a": ["x", "y"], "b": "z"}) == {"a": ("x", "y"), "b": ("z",)}
    assert as_categories(["a", "b"]) == {"a": (), "b": ()}
    assert as_categories("a") == {"a": ()}
