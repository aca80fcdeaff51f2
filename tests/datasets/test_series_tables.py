"""Series for forecasts, and the step of their times."""

import numpy as np
import pytest

from cgru.datasets import ColumnsError, read, read_series, series_from_frame
from cgru.datasets.time_columns import infer_step, parse_iso

pl = pytest.importorskip("polars")
N = np.nan


def dates(*texts):
    return np.array(texts, "datetime64[us]")


@pytest.mark.parametrize(
    ("times", "step", "later"),
    [
        (dates("2024-01-01", "2024-02-01", "2024-03-01"), "1 month", "2024-04-01"),
        (dates("2023-11-30", "2023-12-31", "2024-01-31"), "1 month", "2024-02-29"),
        (dates("2023-12-30", "2024-01-30", "2024-02-29"), "1 month", "2024-03-30"),
        (dates("2024-01-01", "2024-04-01", "2024-10-01"), "3 months", "2025-01-01"),
        (dates("2020-06-30", "2021-06-30"), "1 year", "2022-06-30"),
        (dates("2024-01-01", "2024-01-08", "2024-01-22"), "1 week", "2024-01-29"),
        (dates("2024-02-28T22:00", "2024-02-28T23:00"), "1 hour", "2024-02-29T00:00"),
        (np.array([1, 3, 5]), "2", 7),
        (np.array([0.1, 0.2, 0.4]), "0.1", 0.5),
        (np.array([3]), "1", 4),
    ],
)
def test_the_step_goes_on(times, step, later):
    found = infer_step(times)
    assert str(found) == step
    (after,) = found.at(times[-1], [1])
    assert after == pytest.approx(later) if isinstance(later, float) else after == np.array(later, times.dtype)
    places = found.places(times)
    assert places[-1] >= len(times) - 1


@pytest.mark.parametrize("times", [dates("2024-01-01", "2024-01-02", "2024-01-03T12:30"), np.array([0, 2, 5])])
def test_irregular_times_are_refused(times):
    with pytest.raises(ColumnsError) as found:
        infer_step(times)
    assert (found.value.argument, found.value.cure["time"]) == ("time", ())


@pytest.mark.parametrize(
    ("text", "due"),
    [
        ("2024-01-31", "2024-01-31"), ("2024-01", "2024-01-01"), ("2024-01-31 12:30", "2024-01-31T12:30"),
        ("2024-01-31T12:30:05.25", "2024-01-31T12:30:05.25"), ("2024-01-31T12:30Z", "2024-01-31T12:30"),
        ("2024-01-31 12:30+0130", "2024-01-31T11:00"), ("2024-01-31 12:30:00-05:00", "2024-01-31T17:30"),
        ("2024-01-31 24:30", None), ("2024-02-30", None), ("31.01.2024", None), ("2024-W05", None), ("now", None),
        ("2024-1-31", None), ("1706700600", None), ("NaT", None), ("", None),
    ],
)  # fmt: skip
def test_only_iso_8601_is_read_without_a_format(text, due):
    found = parse_iso(np.array([text], object))
    assert (None if isinstance(found, str) else found.astype("M8[us]")[0]) == (due and np.datetime64(due, "us"))


def test_series_of_columns_and_of_ids():
    table = {"date": ["2024-01", "2024-02", "2024-03"], "a": [1, 2, 3], "b": [4.5, None, 6], "c": [1, 0, 1]}
    one, two = series_from_frame(pl.DataFrame(table), label=["a", "b"], inputs="c")
    assert (one.name, two.name, one.y.tolist(), one.X.tolist()) == ("a", "b", [1, 2, 3], [[1], [0], [1]])
    np.testing.assert_array_equal(two.y, [4.5, N, 6])
    assert (str(one.step), one.time, one.written([0, 3])) == ("1 month", "date", ["2024-01-01", "2024-04-01"])
    assert one.times_at([3]).astype("datetime64[D]").astype(str).tolist() == ["2024-04-01"]
    long = pl.DataFrame({"shop": ["b", "a", "b", "a"], "time": [1, 1, 2, 2], "y": [1, 2, 3, 4]})
    found = series_from_frame(long, id="shop")
    assert [(each.name, each.y.tolist(), each.written([2])) for each in found] == [
        ("b", [1, 3], ["3"]),
        ("a", [2, 4], ["3"]),
    ]


@pytest.mark.parametrize("ids", [("1.10", "1.1"), ("1e3", "1000"), ("12345678901234567890", "12345678901234567891")])
def test_ids_that_are_one_number_are_not_one_id(tmp_path, ids):
    rows = [f"{name},2024-01-0{3 * i + k},{k}" for i, name in enumerate(ids) for k in (1, 2, 3)]
    (tmp_path / "t.csv").write_text("\n".join(["id,date,y", *rows]))
    assert [(each.name, len(each.y)) for each in read_series(tmp_path / "t.csv", label="y")] == [(i, 3) for i in ids]
    assert read(tmp_path / "t.csv", label="", targets=False).train.ids.tolist() == [*ids]


def test_known_inputs_gaps_and_ends(tmp_path):
    (tmp_path / "t.csv").write_text(
        "date,y,k\n01.01.2024,,1\n02.01.2024,5,2\n04.01.2024,7,4\n05.01.2024,,5\n06.01.2024,,\n"
    )
    with pytest.raises(ColumnsError) as found:
        read_series(tmp_path / "t.csv", known="k")
    assert found.value.cure == {"time_format": "%d.%m.%Y", "time": (), "ignore": ("date",)}
    (one,) = read_series(tmp_path / "t.csv", known="k", time_format="%d.%m.%Y", gaps=True)
    np.testing.assert_array_equal(one.y, [5, N, 7])
    np.testing.assert_array_equal(one.known[:, 0], [2, N, 4, 5])
    assert one.written([0, 2, 3]) == ["02.01.2024", "04.01.2024", "05.01.2024"]
    assert one.columns.time_format == "%d.%m.%Y"


@pytest.mark.parametrize(
    ("columns", "given", "argument", "cured"),
    [
        ({"month": ["2024-01", "2024-02"], "sales": [1, 2]}, {}, "time", {"time"}),
        ({"date": ["2024-01", "2024-02"], "a": [1, 2], "b": [3, 4]}, {}, "label", {"label"}),
        ({"date": ["2024-01", "2024-01"], "a": [1, 2], "shop": ["x", "y"]}, {"label": "a"}, "time", {"time", "ignore"}),
        ({"date": ["2024-01", "2024-03", "2024-04"], "a": [1, 2, 3]}, {}, "time", {"time", "ignore"}),
        ({"date": ["2024-02", "2024-01", "2024-03"], "a": [1, 2, 3]}, {}, "sort", {"sort"}),
        ({"date": ["1.2.24", "2.2.24", "15.2.24"], "a": [1, 2, 3]}, {}, "time_format", {"time_format"}),
        ({"date": ["2024-01", "2024-02"], "a": ["1,5", "2,5"]}, {}, "label", None),
    ],
)
def test_refusals_and_cures(columns, given, argument, cured):
    with pytest.raises(ColumnsError) as found:
        series_from_frame(pl.DataFrame(columns), **given)
    assert found.value.argument == argument
    assert cured is None or found.value.cure.keys() >= cured
    if found.value.cure:
        series_from_frame(pl.DataFrame(columns), **given | found.value.cure)


@pytest.mark.parametrize(
    ("text", "cured", "step"),
    [
        ("Monat;Absatz\n" + "".join(f"01.{m:02}.2023;{m},5\n" for m in range(1, 9)),
         {"label", "time", "decimal", "time_format"}, "1 month"),
        ("day,shop,sales\n" + "".join(f"2024-01-0{k},{s},{k}\n" for s in "ab" for k in range(1, 9)), {"id", "time"},
         "1 day"),
        ("Category: All\n\nWeek,jazz: (Worldwide)\n" + "".join(f"2024-01-{k:02},{k}\n" for k in (7, 14, 21)),
         {"skip_lines", "time"}, "1 week"),
        ("Month,Passengers\n" + "".join(f"1950-0{m},{m}\n" for m in range(1, 9)) + "Airline passengers,\n",
         {"time", "skip_lines"}, "1 month"),
        ("quarter,gdp\n" + "".join(f"{2000 + k // 4}Q{k % 4 + 1},{k}\n" for k in range(9)), {"time", "ignore"}, "1"),
        ("YEAR,SUNACTIVITY\n" + "".join(f"{y},{y % 11}.0\n" for y in range(1900, 1930)), {"time"}, "1"),
    ],
)  # fmt: skip
def test_series_of_strangers(text, cured, step, tmp_path):
    (tmp_path / "t.csv").write_text(text)
    with pytest.raises(ColumnsError) as found:
        read_series(tmp_path / "t.csv")
    assert found.value.cure.keys() == cured
    assert str(read_series(tmp_path / "t.csv", **found.value.cure)[0].step) == step


def test_rows_are_steps_without_times(tmp_path):
    (tmp_path / "t.csv").write_text("a\n1\n2\n3\n")
    (tmp_path / "none.npz").write_bytes(b"PK")
    for name, options in (("none.npz", {}), ("t.csv", {"label": "b"}), ("t.csv", {"known": "b"})):
        with pytest.raises(ValueError, match=name):
            read_series(tmp_path / name, **options)
    (one,) = read_series(tmp_path / "t.csv")
    assert (one.time, one.written([0, 3]), str(one.step)) == ("step", ["0", "3"], "1")
