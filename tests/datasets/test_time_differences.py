"""The time between rows: said where it is far larger than usual, a cut or a feature where that is asked for."""

import datetime

import numpy as np
import pytest

from cgru.datasets import from_frame
from cgru.datasets.time_differences import format_gap, parse_gap
from cgru.datasets.time_parsing import times_as_numbers

pd = pytest.importorskip("pandas")

UTC, EAST = datetime.timezone.utc, datetime.timezone(datetime.timedelta(hours=2))
HOURS = [f"2024-01-{1 + h // 24:02} {h % 24:02}:00" for h in range(0, 60, 6)]
YEARS_LATER = [text.replace("2024", "2029") for text in HOURS[:4]]
STORMS = "name,date,wind\n" + "".join(f"Amy,{time},{i}\n" for i, time in enumerate(HOURS + YEARS_LATER))
STORMS += "".join(f"Bob,{time},{i}\n" for i, time in enumerate(HOURS[:3]))


def test_a_gap_far_larger_than_usual_is_said(reads):
    data = reads(STORMS, id="name")
    note = (
        "date: the largest gap within a sequence is 1820d, the usual one 6h; "
        'split_at="21.4d" makes sequences of what lies further apart'
    )
    assert data.notes[-1] == note
    assert len(data.train.X) == 2
    cut = reads(STORMS, id="name", split_at="21.4d")
    assert cut.train.ids.tolist() == ["Amy/1", "Amy/2", "Bob"]
    assert cut.train.lengths.tolist() == [10, 4, 3]
    assert cut.train.X[1, :4, 0].tolist() == [10, 11, 12, 13]
    assert not any("gap" in note for note in cut.notes)
    assert cut.reading["split_at"] == "21.4d"
    assert "split_at" not in data.reading


def test_usual_gaps_are_not_worth_a_note(reads):
    for days in (range(12), (0, 1, 2, 3, 4, 7, 8, 9, 10, 11, 25, 26), (0, 500), (0, 1, 2, 3, 4, 5, 6, 1000)):
        rows = "".join(f"a,{day},{day % 2}\n" for day in days)
        assert not any("gap" in note for note in reads(f"id,t,x\n{rows}").notes)
    rows = "".join(f"a,{day},{day % 2}\n" for day in (*range(9), 1000))
    said = [note for note in reads(f"id,t,x\n{rows}").notes if "gap" in note]
    assert said == [
        't: the largest gap within a sequence is 992, the usual one 1; split_at="31.5" makes sequences of what lies '
        "further apart"
    ]


@pytest.mark.parametrize("gap", [3, "3", "3.0", 3.9])
def test_times_that_are_numbers_are_cut_by_a_number(reads, refused, gap):
    table = "id,t,v,label\n7,1,1,a\n7,5,2,b\n7,8,3,b\n9,1,4,a\n"
    data = reads(table, split_at=gap)
    assert data.train.ids.tolist() == ["7/1", "7/2", "9"]
    assert data.train.y.tolist() == ["a", "b", "a"]
    assert data.train.X[..., 0].tolist() == [[1, 0], [2, 3], [4, 0]]
    assert reads(table.replace("5,2,b", "5,2,a").replace("8,3,b", "8,3,a"), split_at=4).train.ids.tolist() == [7, 9]
    assert refused(table, split_at="3d") == "split_at: expected a number, since t has numbers, got '3d'"


def test_ids_stay_different(reads):
    table = "id,t,v\na,1,1\na,9,2\na/1,1,3\na/1,2,4\na#1,1,3\n"
    assert reads(table, split_at=3).train.ids.tolist() == ["a//1", "a//2", "a/1", "a#1"]
    two = "who,trial,t,v\na,1,1,1\na,1,9,2\na,2,1,3\n"
    assert reads(two, id=["who", "trial"], split_at=3).train.ids.tolist() == ["a/1/1", "a/1/2", "a/2"]


def test_gaps_that_are_none_are_refused(reads, refused):
    why = "split_at: expected a number, or a time such as 30d, 6h or 10min, got "
    for gap in ("6 parsecs", "", "d", "-3", True, [3]):
        with pytest.raises(ValueError, match=r".") as error:
            reads(STORMS, id="name", split_at=gap)
        assert str(error.value) == f"{why}{gap!r}"
    for gap in (0, -1, "0d", np.inf, np.nan):
        with pytest.raises(ValueError, match=r"^split_at: expected a gap above 0, got"):
            reads(STORMS, id="name", split_at=gap)
    assert refused(STORMS, id="name", split_at=6) == (
        "split_at: expected a time such as 30d or 6h, since date has dates, got 6"
    )
    for option in ({"split_at": "3d"}, {"time_step": True}):
        why = f"{next(iter(option))}: expected a"
        assert (
            refused(STORMS, id="name", time="", columns=["wind"], **option)
            == f"{why} column of times beside it, got none"
        )
        assert refused("a,t0,t1\n1,2,3\n", wide=True, columns=["t0", "t1"], **option).startswith(
            f"{why} row for each step"
        )


def test_gaps_as_numbers_and_in_words():
    assert [parse_gap(gap) for gap in ("2w", "1.5 D", "6h", "10min", "10m", "5s", "7", 7)] == [
        (1209600, True), (129600, True), (21600, True), (600, True), (600, True), (5, True), (7, False), (7, False),
    ]  # fmt: skip
    assert [format_gap(gap, True) for gap in (0.5, 90, 5400, 129600, 1e9)] == [
        "0.5s",
        "1.5min",
        "1.5h",
        "1.5d",
        "11600d",
    ]
    assert [format_gap(gap, False) for gap in (0.123456, 1234567, 3)] == ["0.123", "1.23e+06", "3"]
    for gap in (0.5, 90, 5400, 129600, 1.5e12 * 86400):
        assert parse_gap(format_gap(gap, True)) == (gap, True)
    for gap in (0.000012, 3, 1230000, 1.5e300):
        assert parse_gap(format_gap(gap, False)) == (gap, False)


@pytest.mark.parametrize(
    ("times", "apart"),
    [
        (["2024-01-01", "2024-01-03"], 172800),
        (["31.12.2023 18:30", "1.1.2024 06:00"], 41400),
        (["2024-01-01T00:00Z", "2024-01-01T02:00+01:00"], 3600),
        (["08:00", "09:30"], 5400),
        (["1.5", "4"], 2.5),
        (np.array(["2024-01-01", "2024-01-02"], "datetime64[ns]"), 86400),
        (np.array([1, 61], "timedelta64[s]"), 60),
        ([datetime.date(2024, 1, 1), datetime.date(2024, 2, 1)], 31 * 86400),
        ([datetime.datetime(2024, 1, 1), datetime.datetime(2024, 1, 1, 1)], 3600),
        ([datetime.datetime(2024, 1, 1, tzinfo=UTC), datetime.datetime(2024, 1, 1, 3, tzinfo=EAST)], 3600),
        ([datetime.time(8), datetime.time(9, 0, 1, 500000)], 3601.5),
        ([datetime.timedelta(0), datetime.timedelta(minutes=1)], 60),
        (np.array([3, 5]), 2),
        (np.array([0.25, 1]), 0.75),
    ],
)
def test_times_as_numbers(times, apart):
    values = times if isinstance(times, np.ndarray) else np.array(times, object)
    clock, seconds = times_as_numbers(values)
    assert np.diff(clock).tolist() == [apart]
    assert seconds == (values.dtype.kind not in "if" and list(times) != ["1.5", "4"])


def test_times_of_a_format_as_numbers():
    clock, seconds = times_as_numbers(np.array(["03/01/2024", "05/02/2024"], object), "%m/%d/%Y")
    assert (np.diff(clock).tolist(), seconds) == ([62 * 86400], True)


def test_the_time_since_the_row_before_is_an_element(reads):
    data = reads(STORMS, id="name", time_step=True, split_at="30d")
    assert data.feature_names == ("wind", "time_step")
    hours = (data.train.X[:, :, 1] / 3600).tolist()
    assert hours == [[0] + [6] * 9, [0, 6, 6, 6] + [0] * 6, [0, 6, 6] + [0] * 7]
    assert data.reading["time_step"] is True
    again = reads(STORMS, id="name", time_step=True, split_at="30d", features=("time_step", "wind"))
    assert again.train.X.tolist() == data.train.X[:, :, ::-1].tolist()
    numbers = reads("id,time_step,v\na,4,1\na,1.5,2\nb,7,3\n", time_step=True)
    assert numbers.train.X.tolist() == [[[2, 0], [1, 2.5]], [[3, 0], [0, 0]]]
    both = reads("id,t,v\na,4,1\na,1.5,2\n", time="t", columns=["v", "t", "time_step"], time_step=True)
    assert both.train.X.tolist() == [[[2, 1.5, 0], [1, 4, 2.5]]]


def test_a_column_that_is_called_time_step_is_no_second_one(refused):
    table = "id,t,time_step\na,1,1\na,2,2\n"
    why = "time_step: expected no column of features that is called so, got time_step"
    assert refused(table, time="t", time_step=True, ignore=[]).startswith("time_step: expected to know")
    assert refused(table + "b,1,3\n", time="t", time_step=True, columns=["time_step"]).endswith(
        ("at least one beside id, t, got none", why)
    )


def test_the_same_of_frames():
    frame = pd.DataFrame(
        {"id": [1, 1, 1, 2], "t": pd.to_datetime(["2024-01-01", "2024-03-01", "2024-01-02", "2024-01-01"]),
         "x": [1.0, 3, 2, 4], "note": list("abcd")}
    )  # fmt: skip
    found = from_frame(frame, "id", time="t", ignore="note", split_at="7d", time_step=True)
    assert [x.tolist() for x in found.X] == [[[1, 0], [2, 86400]], [[3, 0]], [[4, 0]]]
    assert found.ids.tolist() == ["1/1", "1/2", "2"]
    assert found.columns == ["x", "time_step"]
    filled = from_frame(frame, "id", time="t", ignore=["note"], na=3, missing="forward")
    assert filled.X[0].tolist() == [[1], [2], [2]]
    with pytest.raises(ValueError, match=r"^ignore: expected one of the columns id, t, x, note, got 'y'"):
        from_frame(frame, "id", time="t", ignore="y")
    with pytest.raises(TypeError, match=r'ignore="note" leaves it out$'):
        from_frame(frame, "id", time="t")
    nested = pd.DataFrame({"id": [1, 2], "dim_0": [pd.Series([1.0, 2.0]), pd.Series([3.0, 4.0])]})
    with pytest.raises(
        TypeError, match=r"^dim_0: expected numbers, got a Series, with several values, in row 0; columns="
    ):
        from_frame(nested, "id")


def test_dates_of_one_order_may_lie_differently_far_apart(reads, refused):
    """Days of one month, or the first days of several."""
    table = "id,date,a\n" + "".join(f"x,{d:02}/02/2024,{d % 3}\n" for d in range(1, 12))
    assert len(reads(table).notes) == 2
    for options in ({"time_step": True}, {"split_at": "3d"}):
        error = refused(table, **options)
        assert error.startswith("date: expected dates with one reading, got '01/02/2024' in line 2, which may be")
        assert 'time_format="%d/%m/%Y" or time_format="%m/%d/%Y" says which' in error
    for form, step in (("%d/%m/%Y", 1), ("%m/%d/%Y", 31)):
        assert reads(table, time_step=True, time_format=form).train.X[0, 1, 1] == step * 86400


def test_periods_of_pandas_are_as_far_apart_as_their_starts():
    months = pd.period_range("2024-01", periods=3, freq="M")
    frame = pd.DataFrame({"id": 1, "month": months[::-1], "a": range(3)})
    assert from_frame(frame, "id", time="month").X[0].tolist() == [[2], [1], [0]]
    assert from_frame(frame, "id", time="month", time_step=True).X[0][:, 1].tolist() == [0, 31 * 86400, 29 * 86400]


def test_times_without_differences_are_sorted_by_alone():
    class Lap(int):
        """What is no number for NumPy's objects."""

    frame = pd.DataFrame({"id": 1, "lap": np.array([Lap(2), Lap(1)], object), "a": range(2)})
    assert from_frame(frame, "id", time="lap").X[0].tolist() == [[1], [0]]
    with pytest.raises(ValueError, match="lap: expected dates or numbers, which are so far apart, got Lap"):
        from_frame(frame, "id", time="lap", time_step=True)


def test_an_index_is_no_column():
    frame = pd.DataFrame({"id": [1, 1], "t": [2, 1], "a": [3, 4]}).set_index(["id", "t"])
    with pytest.raises(ValueError, match=r"frame: expected id, t among its columns, got an index; frame.reset_index"):
        from_frame(frame, "id", time="t")
    assert from_frame(frame.reset_index(), "id", time="t").X[0].tolist() == [[4], [3]]


def test_a_clock_without_a_colon_counts_minutes_and_hours(reads, refused):
    table = "id,hhmm,a\n" + "".join(f"x,{clock},{i % 3}\n" for i, clock in enumerate((930, 1000, 1030, 1200)))
    assert reads(table, time_step=True).train.X[0, :, 1].tolist() == [0, 1800, 1800, 5400]
    assert reads(table, split_at="1h").train.ids.tolist() == ["x/1", "x/2"]
    assert refused(table.replace("1030", "1090"), time_step=True).startswith("hhmm: expected a time of day such as")


def test_dates_without_separators_are_days_apart(reads, refused):
    days = [f"2024{month:02}{day}" for month in (1, 2, 3) for day in (10, 20, 28)]
    table = "id,date,a\n" + "".join(f"x,{day},{i % 3}\n" for i, day in enumerate(days))
    assert not any("dates such as" in note for note in reads(table).notes)
    data = reads(table, time_step=True)
    assert (data.train.X[0, 1:, 1] / 86400).tolist() == [10, 8, 13, 10, 8, 11, 10, 8]
    assert 'date has dates such as 20240110 (time_format="%Y%m%d")' in data.notes
    assert reads(table, split_at="12d").train.ids.tolist() == ["x/1", "x/2"]
    later = table + "".join(f"x,2031010{i},{i}\n" for i in range(1, 5))
    assert any('split_at="' in note and 'd" makes' in note for note in reads(later).notes)
    months = "id,date,a\n" + "".join(f"x,2024{month:02},{month % 3}\n" for month in range(1, 12))
    assert refused(months, time_step=True).endswith('it needs its format: time_format="%Y%m"')
