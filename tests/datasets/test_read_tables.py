"""What is made of a table whose columns are known: features, targets, windows, groups, filled values."""

import contextlib
import gzip

import numpy as np
import pytest

import cgru
from cgru.datasets import ColumnsError, from_frame, read

pl = pytest.importorskip("polars")
N = np.nan
ROWS = ["1,0,red,5,1,x", "1,1,blue,,2,x", "2,0,red,7,3,y", "2,1,,8,4,y", "2,2,green,9,5,y"]
GAPS = "\n".join(["id,time,color,rain,temp,label", *ROWS])
FULL = GAPS.replace("2,1,,", "2,1,red,").replace("blue,,", "blue,6,")
TRIALS = "subject,trial,site,time,a,label\n" + "".join(
    f"{'abcd'[i // 3]},{i % 3},s{i // 6},{t},{i + t / 10},{'yn'[i % 2]}\n" for i in range(12) for t in range(5)
)
STREAM = "time,load,state\n" + "".join(f"{t},{t % 11},{'ab'[t // 25 % 2]}\n" for t in range(200))


@contextlib.contextmanager
def refused(argument, fields=None):
    """A refusal of an argument, whose cure has these fields."""
    with pytest.raises(ColumnsError) as found:
        yield found
    assert found.value.argument == argument
    assert fields is None or (found.value.cure or {}).keys() == fields


def features(data, i=0):
    return data.train.X.X[i, : None if data.train.X.lengths is None else data.train.X.lengths[i]].tolist()


def test_text_is_encoded_one_hot_and_later_tables_in_the_same_way(reads):
    data = reads(FULL, categories="color")
    assert data.feature_names == ("color_blue", "color_green", "color_red", "rain", "temp")
    assert features(data) == [[0, 0, 1, 5, 1], [1, 0, 0, 6, 2]]
    assert features(data, 1) == [[0, 0, 1, 7, 3], [0, 0, 1, 8, 4], [0, 1, 0, 9, 5]]
    assert data.columns.to_dict()["categories"] == {"color": ["blue", "green", "red"]}
    later = reads("temp,rain,time,color,id\n1,2,0,green,7\n1,2,1,green,7\n", how=data.columns, targets=False)
    assert (features(later), later.train.y) == ([[0, 1, 0, 2, 1]] * 2, None)
    other = FULL.replace("red", "pink")
    with refused("categories", {"na", "missing"}):
        reads(other, how=data.columns)
    none = reads(other, how=data.columns, missing="color=zero", na="pink")
    assert features(none) == [[0, 0, 0, 5, 1], [1, 0, 0, 6, 2]]
    for how in ("interpolate", "decay"):
        with refused("missing"):
            reads(GAPS, categories="color", missing=how)
    with refused("columns"):
        reads(FULL.replace("temp", "color_red"), categories="color")


@pytest.mark.parametrize(
    ("missing", "rain"),
    [("forward", [5, 5]), ("interpolate", [5, 5]), ("zero", [5, 0]), ("color=forward,rain=zero", [5, 0]),
     ("decay", [5, N])],
)  # fmt: skip
def test_missing_values_are_filled_from_their_own_sequence(reads, missing, rain):
    data = reads(GAPS, ignore="color" if "color" not in missing else (), missing=missing,
                 categories="color" if "color" in missing else ())  # fmt: skip
    np.testing.assert_array_equal(data.train.X.X[0, :2, data.feature_names.index("rain")], rain)
    assert (data.train.X.times is not None) == (missing == "decay")


def test_what_is_missing_is_refused_with_what_fills_it(reads):
    with refused("missing", {"missing"}) as found:
        reads(GAPS, categories="color")
    assert found.value.cure == {"missing": "forward"}
    empty = FULL.replace("5,1,x", ",1,x").replace("6,2,x", ",2,x")
    with refused("missing") as found:
        reads(empty, ignore="color", missing="temp=zero")
    assert found.value.cure == {"missing": "temp=zero,rain=zero"}
    trained = reads(FULL, ignore="color", missing="forward")
    with refused("missing") as found:
        reads(empty, how=trained.columns)
    assert features(reads(empty, how=trained.columns, **found.value.cure)) == [[0, 1], [0, 2]]
    with refused("missing", {"ignore"}):
        none = GAPS.replace("temp", "temp,none").replace(",x", ",,x").replace(",y", ",,y")
        reads(none, ignore="color", missing="rain=zero")
    with refused("label", {"skip_lines"}):
        reads(FULL.replace("6,2,x", "6,2,"), ignore="color")


def test_indicators_stay_as_in_training(reads):
    data = reads(GAPS, ignore="color", missing="zero+indicator")
    assert (data.feature_names, features(data)) == (("rain", "temp", "missingindicator_rain"), [[5, 1, 0], [0, 2, 1]])
    later = reads(FULL, how=data.columns)
    assert (later.feature_names, features(later)[1]) == (data.feature_names, [6, 2, 0])
    with refused("columns"):
        reads(GAPS.replace("temp", "missingindicator_rain"), ignore="color", missing="rain=zero+indicator")
    wide = "id,a_1,a_2,b_1,b_2,label\n1,1,2,,4,x\n2,5,6,7,8,y\n"
    data = reads(wide, wide=True, missing="b=zero+indicator")
    assert data.feature_names == ("a", "b", "missingindicator_b")
    assert features(data) == [[1, 0, 1], [2, 4, 0]]


def test_values_that_decay_come_with_their_times(reads):
    rows = "x,2024-01-01 00:00,1,u\nx,2024-01-01 00:10,,u\ny,2024-03-01,2,v\ny,2024-03-02,4,v\n"
    data = reads(f"id,date,a,label\n{rows}", missing="decay")
    np.testing.assert_array_equal(data.train.X.X[0, :, 0], [1, N])
    np.testing.assert_array_equal(data.train.X.times, [[0, 600], [0, 86400]])
    assert not any("NaN" in line for line in cgru.datasets.described(data))


@pytest.mark.parametrize(
    ("times", "steps"),
    [
        (["0", "1", "9", "10"], [0, 1, 8, 1]), (["2024-01-01", "2024-01-02", "2024-01-03", "2024-01-05"],
        [0, 86400, 86400, 172800]), (["2024-01-01T00", "2024-01-01T01", "2024-01-01T02", "2024-01-01T04"],
        [0, 3600, 3600, 7200]),
    ],
)  # fmt: skip
def test_the_time_since_the_row_before_is_a_feature(reads, times, steps):
    content = "id,time,a\n" + "".join(f"{id},{time},{i}\n" for id in "xy" for i, time in enumerate(times))
    data = reads(content, time_step=True)
    assert data.train.X.X[:, :, 1].tolist() == [steps, steps]
    assert reads(content, how=data.columns).train.X.X.tolist() == data.train.X.X.tolist()
    for option in ("time_step", "sort"):
        with refused(option):
            reads(content, time="", ignore="time", **{option: True})


def test_ids_that_start_again_and_that_no_column_tells_apart(reads):
    rows = "".join(f"{i % 3},{t},{i + t},{'ab'[i % 2]}\n" for i in range(5) for t in range(6))
    with refused("time") as found:
        reads(f"patient,visit,x,label\n{rows}", id="patient")
    assert found.value.cure is None


def test_groups_are_a_column(reads):
    data = reads(TRIALS, id=["subject", "trial"], groups="site", ignore=())
    assert data.groups.tolist() == ["s0"] * 6 + ["s1"] * 6
    assert data.train.ids[:4].tolist() == ["a/0", "a/1", "a/2", "b/0"]
    assert (data.feature_names, data.train.X.shape) == (("a",), (12, 5, 1))
    own = reads(TRIALS, id=["subject", "trial"], groups="subject", ignore="site")
    assert own.groups.tolist() == [each for each in "abcd" for _ in range(3)]
    later = reads(TRIALS.replace("site", "place"), how=data.columns, targets=False)
    assert later.groups is None
    for option in ({"groups": "nobody"}, {"groups": "time", "time": ""}):
        with refused("groups"):
            reads(TRIALS, id=["subject", "trial"], ignore="site", **option)


def test_windows_of_a_stream(reads):
    data = reads(STREAM, windows="20,10", label="state")
    assert data.train.X.shape[1:] == (20, 1)
    assert len(set(data.groups.tolist())) == 5  # as many parts as hold two windows
    whole = reads(STREAM, how=data.columns)
    assert (len(whole.train.X), set(whole.groups.tolist())) == (19, {1})
    assert whole.train.y.tolist() == ["ab"[min(10 * i + 19, 199) // 25 % 2] for i in range(19)]
    steps = reads(STREAM, how=data.columns, per_step=True)
    assert steps.train.y.shape == (19, 20)
    apart = reads(STREAM, windows=(20, 50), label="state", parts=1)
    assert apart.train.X.X[:, 0, 0].tolist() == [t % 11 for t in (0, 50, 100, 150, 180)]
    ids = "id," + STREAM.replace("\n", "\nx,").removesuffix("x,")
    assert reads(ids, windows=300, label="state").train.ids.tolist() == ["x/1"]
    parts = reads(STREAM, windows=(20, 20), parts=2, label="state")
    assert parts.train.ids.tolist()[:6] == ["1/1", "1/2", "1/3", "1/4", "1/5", "2/1"]


def test_targets_of_steps_and_several_targets(reads):
    rows = "".join(f"{i},{t},{i + t},{t / 4},{10 * i + t}\n" for i in range(4) for t in range(2 + i % 2))
    content = "id,time,a,flow,level\n" + rows
    one = reads(content, label="flow", ignore="level", per_step=True)
    assert (one.train.y.shape, one.train.y[1, :, 0].tolist()) == ((4, 3, 1), [0, 0.25, 0.5])
    both = reads(content, label=["level", "flow"], per_step=True)
    assert (both.target_names, both.train.y[1].tolist()) == (("level", "flow"), [[10, 0], [11, 0.25], [12, 0.5]])
    assert both.train.y[0, 2].tolist() == [0, 0]
    classes = reads(content, label="level", ignore="flow", per_step=True)
    assert (classes.train.y.dtype.kind, classes.target_names) == ("i", None)
    numbers = reads(content, label="level", ignore="flow", per_step=True, task="regression")
    assert numbers.train.y.shape == (4, 3, 1)
    with refused("label", {"per_step"}):
        reads(content, label="level", ignore="flow")
    words = "id,time,a,p,q\n" + "".join(f"{i},{t},1,u{i % 2},{i}\n" for i in range(4) for t in range(2))
    with refused("label", {"label", "ignore"}):
        reads(words, label=["p", "q"])
    times = reads(content, how=both.columns, targets=False).times
    assert times.tolist() == [["0", "1", ""], ["0", "1", "2"], ["0", "1", ""], ["0", "1", "2"]]


@pytest.mark.parametrize(
    ("y", "task", "due"),
    [
        ([0, 1, 0, 1], None, "i"),
        ([0, 1, 0, 1], "regression", "f"), (["a", "b", "a", "b"], None, "U"),
        ([0.5, 1, 0, 1.5], None, "f"), ([True, False, True, False], None, "U"),
        (["1.0", "0.0", "1.0", "0.0"], "classification", "i"),
        (["1.0", "0.0", "1.0", "0.0"], None, None), (range(30), None, None), (["a", "b", "a", "b"], "regression", None),
        ([0.5, 1, 0, 1.5], "classification", None),
    ],
)  # fmt: skip
def test_the_task_is_said_or_sure(reads, y, task, due):
    content = "id,time,a,y\n" + "".join(f"{i},{t},{i * t},{each}\n" for i, each in enumerate(y) for t in range(2))
    if due is None:
        with refused("task", {"task"}) as found:
            reads(content, task=task)
        assert reads(content, **found.value.cure).train.y is not None
    else:
        assert reads(content, task=task).train.y.dtype.kind == due


def test_wide_tables(reads):
    steps = reads("id,t_10,t_2,t_1,label\n1,10,2,1,x\n2,11,3,2,y\n", wide=True)
    assert steps.train.X.X[:, :, 0].tolist() == [[1, 2, 10], [2, 3, 11]]
    months = reads("id,Jan 2020,Feb 2020,Jan 2021,Feb 2021\n1,1,2,3,4\n2,5,6,7,8\n", wide=True)
    assert months.train.X.X[:, :, 0].tolist() == [[1, 2, 3, 4], [5, 6, 7, 8]]
    quarters = reads("id,2001Q1,2001Q2,2002Q1,2002Q2\n1,1,2,3,4\n", wide=True)
    assert quarters.train.X.X[:, :, 0].tolist() == [[1, 2, 3, 4]]
    ends = reads("name,t1,t2,t3,label\na,1,,,x\nb,1,2,3,y\n", wide=True, id="name")
    assert (ends.train.X.lengths.tolist(), ends.train.ids.tolist()) == ([1, 3], ["a", "b"])
    later = reads("name,t1,t2\nc,1,2\n", how=ends.columns, targets=False)
    assert features(later) == [[1], [2]]
    for bad, option, argument in [
        ("a,,,,x", {}, "columns"), ("a,1,,3,x", {}, "missing"), ("b,1,2,3,x", {}, "wide"),
        ("a,1,2,3,x", {"windows": 2}, "windows"),
        ("a,1,two,3,x", {}, "columns"), ("a,1,2,3,", {}, "label"),
    ]:  # fmt: skip
        with refused(argument):
            reads(f"name,t1,t2,t3,label\n{bad}\nb,1,2,3,y\nc,1,2,3,x\n", wide=True, id="name", **option)


def test_a_table_to_test_on(reads, tmp_path):
    (tmp_path / "test.csv").write_text(FULL.replace("blue", "red"))
    data = reads(FULL, categories="color", test=tmp_path / "test.csv")
    assert data.test.X.X[0, :, :3].tolist() == [[0, 0, 1], [0, 0, 1], [0, 0, 0]]
    for wrong in (FULL.replace("temp", "warmth"), FULL.replace("blue", "pink")):
        (tmp_path / "test.csv").write_text(wrong)
        with pytest.raises(ValueError, match=r"test\.csv"):
            reads(FULL, categories="color", test=tmp_path / "test.csv")


def test_a_frame_is_read_as_its_file(tmp_path):
    pandas, pyarrow = pytest.importorskip("pandas"), pytest.importorskip("pyarrow")
    frame = pl.read_csv(FULL.encode())
    frame.write_csv(tmp_path / "t.csv")
    frame.write_parquet(tmp_path / "t.parquet")
    due = read(tmp_path / "t.csv", categories="color")
    frames = [frame, pandas.read_csv(tmp_path / "t.csv"), pyarrow.Table.from_pylist(frame.to_dicts())]
    frames.append(frames[1].set_index("id"))
    for data in [
        read(tmp_path / "t.parquet", categories="color"),
        *(from_frame(each, categories="color") for each in frames),
    ]:
        np.testing.assert_array_equal(data.train.X.X, due.train.X.X)
        assert (data.train.y.tolist(), data.train.ids.tolist()) == (due.train.y.tolist(), due.train.ids.tolist())
        assert data.columns == due.columns
    series = pandas.DataFrame({"id": [1, 2], "a": [pandas.Series([1.0, 2]), pandas.Series([3.0])], "label": ["x", "y"]})
    assert [features(from_frame(series), i) for i in (0, 1)] == [[[1], [2]], [[3]]]
    gaps = pandas.DataFrame({"id": [1, 1, 2, 2], "a": [1, None, 3, 4], "label": ["x", "x", None, None]})
    with refused("label", {"skip_lines"}):
        from_frame(gaps, missing="zero")
    later = from_frame(frame.drop("label"), due.columns, targets=False)
    np.testing.assert_array_equal(later.train.X.X, due.train.X.X)
    with pytest.raises(TypeError, match="frame"):
        from_frame([1, 2])


def test_spreadsheets(tmp_path):
    xlsxwriter = pytest.importorskip("xlsxwriter")
    pytest.importorskip("fastexcel")
    frame = pl.read_csv(FULL.encode())
    with xlsxwriter.Workbook(str(tmp_path / "t.xlsx")) as book:
        frame.write_excel(book, position="A1")
    with xlsxwriter.Workbook(str(tmp_path / "titled.xlsx")) as book:
        sheet = book.add_worksheet()
        sheet.write(0, 0, "Report")
        frame.write_excel(book, sheet, position="A3")
    due = from_frame(frame, categories="color").train.X.X
    np.testing.assert_array_equal(read(tmp_path / "t.xlsx", categories="color").train.X.X, due)
    with refused("skip_lines") as found:
        read(tmp_path / "titled.xlsx")
    cure = {"skip_lines": found.value.cure["skip_lines"], "categories": "color"}
    np.testing.assert_array_equal(read(tmp_path / "titled.xlsx", **cure).train.X.X, due)
    later = read(tmp_path / "titled.xlsx", **cure | {"skip_lines": "2,4-5"}, label="", ignore="label")
    np.testing.assert_array_equal(later.train.X.X[..., -2:], due[1:, :, -2:])


def test_limits_against_hostile_files(tmp_path):
    (tmp_path / "bomb.csv.gz").write_bytes(gzip.compress(b"id,a\n" + b"1,1\n" * 1_000_000))
    (tmp_path / "wide.csv").write_text("a," * 70_000)
    (tmp_path / "cut.csv.gz").write_bytes(gzip.compress(b"id,a\n1,1\n")[:-9])
    pl.DataFrame({"id": pl.repeat(1, 50_000_000, eager=True)}).write_parquet(tmp_path / "runs.parquet")
    (tmp_path / "half.parquet").write_bytes((tmp_path / "runs.parquet").read_bytes()[:50])
    (tmp_path / "none.parquet").write_bytes(b"id,a\n")
    (tmp_path / "odd.jsonl").write_text('{"id": 1}\n{"id"')
    (tmp_path / "odd.xlsx").write_text("PK\x03\x04")
    long = "".join(f"{i},1\n" for i in range(40_000)) + "x,1\n" * 40_000
    (tmp_path / "long.csv").write_text("id,a\n" + long)
    for path in sorted(tmp_path.iterdir()):
        with pytest.raises(ValueError, match=path.name):
            read(path, id="id", time="", label="")


def test_polars_is_needed_and_the_error_says_how_to_get_it(tmp_path, monkeypatch):
    import importlib.util

    (tmp_path / "t.csv").write_text(FULL)
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(ImportError, match=r"cgru\[frames\]"):
        read(tmp_path / "t.csv")
