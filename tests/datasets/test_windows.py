"""Windows of long series."""

import time

import numpy as np
import pytest

from cgru import input_layers
from cgru.datasets import from_frame, windows
from cgru.datasets.time_differences import parse_gap


@pytest.mark.parametrize(
    ("value", "due"),
    [
        ("100,50", (100, 50)),
        (" 7 , 3 ", (7, 3)),
        ("9", (9, 9)),
        (9, (9, 9)),
        ((4, 2), (4, 2)),
        (np.array([4, 8]), (4, 8)),
    ],
    ids=str,
)
def test_lengths_and_hops(value, due):
    assert windows.parse_windows(value) == due


@pytest.mark.parametrize("value", ["", "0", "5,0", "5,", "1,2,3", "a", (), (2.5, 1), (3, -1), True, [1, 2, 3]], ids=str)
def test_what_is_neither(value):
    with pytest.raises(ValueError, match=r"^windows: expected a length and a hop of at least 1, such as 100,50, got "):
        windows.parse_windows(value)


def test_texts_of_options_are_searched_once():
    start = time.process_time()
    for parse, text in (
        (windows.parse_windows, "5" + " " * 100_000 + "x"),
        (parse_gap, "1" * 100_000 + "x"),
        (input_layers.parse, "frames" + " " * 100_000 + "x"),
    ):
        with pytest.raises(ValueError, match="expected"):
            parse(text)
    assert time.process_time() - start < 5  # from each place it takes a minute


@pytest.mark.parametrize(
    ("start", "end", "size", "due"),
    [
        (0, 10, (4, 2), [(0, 4), (2, 6), (4, 8), (6, 10)]),
        (0, 11, (4, 2), [(0, 4), (2, 6), (4, 8), (6, 10), (7, 11)]),
        (5, 14, (4, 4), [(5, 9), (9, 13), (10, 14)]),
        (3, 7, (4, 1), [(3, 7)]),
        (3, 6, (4, 1), [(3, 6)]),
        (0, 10, (2, 5), [(0, 2), (5, 7), (8, 10)]),
    ],
    ids=str,
)
def test_the_last_window_ends_where_the_series_does(start, end, size, due):
    assert windows.window_bounds(start, end, size) == due


@pytest.mark.parametrize(
    ("steps", "parts"), [(240, 12), (239, 11), (1000, 12), (60, 3), (59, 2), (20, 2), (19, 1), (3, 1)]
)
def test_an_only_series_is_split_into_parts_with_room_for_windows(steps, parts):
    starts = windows.split_alone(steps, (10, 5))
    sizes = np.diff([*starts, steps])
    assert (len(starts), starts[0]) == (parts, 0)
    assert sizes.min() >= min(steps, 20 if parts > 2 else 10)
    assert sizes.max() - sizes.min() <= 1


def stream(n, id=None):
    """A table of n steps, all values different; the label changes every seven."""
    rows = (f"{t},{t * 7 % 53},{'xy'[t // 7 % 2]}" for t in range(n))
    return "\n".join(
        ["t,a,label", *rows] if id is None else ["id,t,a,label", *(f"{id(t)},{row}" for t, row in enumerate(rows))]
    )


def test_a_stream_without_an_id(reads, refused):
    assert "id=" in refused(stream(48))
    data = reads(stream(48), windows=(4, 2))
    steps = np.array([[first + start + t for t in range(4)] for first in range(0, 48, 8) for start in (0, 2, 4)])
    assert data.train.X.tolist() == (steps * 7 % 53)[:, :, None].tolist()
    assert data.groups.tolist() == (steps[:, 0] // 8 + 1).tolist()  # so that no step is in two groups
    assert data.train.ids.tolist() == [f"{part}/{j}" for part in range(1, 7) for j in (1, 2, 3)]
    assert data.train.y.tolist() == ["xy"[t // 7 % 2] for t in steps[:, -1]]
    assert (data.train.lengths, data.reading["windows"], data.reading["id"]) == (None, "4,2", [])
    assert data.notes[1:] == (
        "all rows are one series",
        'label has the labels (label="label")',
        "the only series is cut into 6 parts, so that whole ones can be held back",
        '18 windows of 4 steps every 2, the last up to the end of its series or part (windows="4,2")',
        "label of a window is that of its last step; per_step=True learns that of each",
    )
    whole = reads(stream(48), **data.reading, targets=False)  # as `predict` reads
    assert (set(whole.groups), len(whole.train.X), whole.train.ids.tolist()[::22]) == ({1}, 23, ["1/1", "1/23"])
    assert whole.times[22].tolist() == ["44", "45", "46", "47"]


def test_later_data_of_an_only_stream_stay_whole(reads, tmp_path):
    """What is fitted is cut into parts; test data and what a model reads are cut into the same windows."""
    (tmp_path / "test.csv").write_text(stream(48))
    data = reads(stream(48), windows=(4, 2), test=tmp_path / "test.csv")
    later = reads(stream(48), **data.reading, features=data.feature_names)
    assert (len(data.train.X), set(later.groups)) == (18, {1})
    assert later.train.X.tolist() == data.test.X.tolist()
    assert not any("parts" in note for note in later.notes)
    assert reads(stream(48), **data.reading).train.X.tolist() == later.train.X.tolist()
    assert data.reading == later.reading


def test_parts_of_an_only_stream_are_filled_from_their_own_values(reads, refused):
    rows = [f"{t},{'' if t in (7, 8) else t},x" for t in range(48)]
    text = "\n".join(["t,a,label", *rows])
    for how, due in (("forward", [6, 9]), ("interpolate", [6, 9])):
        data = reads(text, windows=(4, 4), missing=how)
        assert data.train.X[[1, 2], [3, 0], 0].tolist() == due
    whole = reads(text, windows=(4, 4), missing="interpolate", features=["a"])
    assert whole.train.X[[1, 2], [3, 0], 0].tolist() == [7, 8]
    rows[8:16] = [f"{t},,x" for t in range(8, 16)]
    why = refused("\n".join(["t,a,label", *rows]), windows=(4, 4), missing="forward")
    assert why.startswith("a: expected a value at least, got none in part 2 of the only series; ")


def test_rows_between_windows_are_said(reads):
    text = stream(24, lambda t: t // 12)
    assert (
        "6 rows between windows are left out, since these begin every 5 and have 3" in reads(text, windows=(3, 5)).notes
    )
    assert not any("left out" in note for note in reads(text, windows=(3, 3)).notes)


def test_the_label_at_each_step_of_a_window(reads):
    text = stream(21, lambda t: t // 20)
    data = reads(text, windows="8,6", per_step=True)
    assert data.train.y[:3].tolist() == [list("xxxxxxxy"), list("xyyyyyyy"), list("yyxxxxxx")]
    assert not any("last step;" in note for note in data.notes)
    numbers = reads(text.replace("x", "0.5").replace("y", "2"), windows="8,6", per_step=True)
    assert numbers.train.y[0].tolist() == [[0.5]] * 7 + [[2]]
    last = reads(text.replace("x", "0.5").replace("y", "2"), windows="8,6")
    assert last.train.y[:3].tolist() == [2, 2, 0.5]


def test_several_series_are_the_groups(reads, refused):
    data = reads(stream(12, lambda t: "ba"[t // 9]), windows=5)
    assert (data.train.ids.tolist(), data.groups.tolist()) == (["b/1", "b/2", "a/1"], ["b", "b", "a"])
    assert data.train.lengths.tolist() == [5, 5, 3]
    assert data.train.X[2, :, 0].tolist() == [63 - 53, 70 - 53, 77 - 53, 0, 0]
    text = stream(12, lambda t: f"{t // 4},{t // 8}").replace("id", "id,who")
    data = reads(text, windows=(2, 2), groups="who", test=None)
    assert data.groups.tolist() == [0, 0, 0, 0, 1, 1]
    alone = reads(stream(40, lambda t: "a,z").replace("id", "id,who"), windows=(2, 2), groups="who")
    assert set(alone.groups) == {"z"}  # as was said
    still = reads(stream(14, lambda t: t // 7), windows=(4, 3))
    assert not any("last step;" in note for note in still.notes)
    gaps = reads(stream(12, lambda t: 1).replace("\n1,8,", "\n1,88,").replace("\n1,9", "\n1,99"), windows=3, split_at=9)
    assert len(set(gaps.groups)) == 3


def test_what_may_tell_series_apart(reads):
    text = stream(12, lambda t: f"{t // 6 + 3},{t // 4 % 2}").replace("id,", "who,place,")
    assert 'all rows are one series, unless id="who" tells several' in reads(text, windows=3).notes
    assert len(reads(text, windows=3, id="who").train.X) == 4


@pytest.mark.parametrize("name", ["time_s", "t_s", "timeSec", "elapsed", "timestamp"])
def test_times_of_an_only_stream_are_found_as_with_an_id(reads, refused, name):
    text = "\n".join([f"{name},a,state", *(f"{t / 50:.2f},{t * 7 % 53},{'xy'[t // 7 % 2]}" for t in range(40))])
    for found in (reads(text, windows=5, label="state"), reads(stream(40).replace("t,", "t_s,", 1), windows=5)):
        assert found.feature_names == ("a",)
    assert 'one series alone is what `cgru forecast` takes, or windows="100,50" cuts' in refused(text)


def test_series_of_the_same_times_need_an_id(reads, refused):
    text = stream(12, lambda t: t // 6).replace("id,", "who,").replace("1,6,", "1,0,")
    assert 'id="who" may be it' in refused(text, windows=3)
    assert len(reads(text, windows=3, id="who").train.X) == 4
    assert 'one series alone is what `cgru forecast` takes, or windows="100,50" cuts' in refused(stream(12))


def test_test_data_are_cut_alike(reads, tmp_path):
    (tmp_path / "test.csv").write_text(stream(30))
    data = reads(stream(48), windows=(4, 2), test=tmp_path / "test.csv")
    assert len(data.test.X) == 14


def test_rows_are_steps_whatever_the_columns_are_called(reads):
    rows = "".join(f"{i % 5},{i * 3 % 7},{i * 5 % 11}\n" for i in range(12))
    assert reads(f"t1,t2,t3\n{rows}", windows=4).train.X.shape == (4, 4, 3)
    assert reads(f"t1,t2,t3\n{rows}").train.X.shape == (12, 3, 1)


def test_where_there_are_no_windows(refused):
    wide = "t0,t1,t2,label\n1,2,3,x\n4,5,6,y\n"
    due = "windows: expected a row for each step, got one for each sequence (wide=True)"
    assert refused(wide, wide=True, windows=2) == due
    assert refused("@data\n1,2\n", "x.ts", windows=2).startswith("windows: expected nothing, since it says nothing of")


def test_windows_of_a_frame():
    pandas = pytest.importorskip("pandas")
    pytest.importorskip("narwhals")
    frame = pandas.DataFrame({"id": [1] * 6, "a": np.arange(6), "label": list("xxyxyy")})
    found = from_frame(frame, "id", label="label", windows=(2, 2))
    assert [x[:, 0].tolist() for x in found.X] == [[0, 1], [2, 3], [4, 5]]  # without parts
    assert (found.y.tolist(), found.ids.tolist()) == (["x", "x", "y"], ["1/1", "1/2", "1/3"])
