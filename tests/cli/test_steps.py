"""Predictions at steps of a table."""

import csv

import numpy as np
import pytest
from cli_cases import run

import cgru


@pytest.fixture
def folder(tmp_path):
    net = cgru.Network(
        [cgru.GRU(2, sequences=True), cgru.Dense(2, "softmax")], class_names=("calm", "windy"), feature_names=["a", "b"]
    )
    net.fit(np.ones((4, 3, 2)), np.array([[0, 1, 1]] * 4), epochs=1)
    net.save(tmp_path / "model.npz")
    return tmp_path


def written(path, header, rows):
    path.write_text("\n".join([header, *rows]) + "\n")


def predicted(folder, *options):
    """The rows of a CSV file of predictions, with their header, and the lines without one."""
    out, _ = run("predict", "model.npz", *options, cwd=folder)
    run("predict", "model.npz", *options, "-o", "out.csv", cwd=folder)
    with open(folder / "out.csv", newline="", encoding="utf-8") as file:
        header, *rows = csv.reader(file)
    return header, rows, out.splitlines()


TIMES = ["02.01.2024 9:30", "1.1.2024 08:00", "31.12.2023 10:00", "03.01.2024 10:00", "1.1.2024 12:00"]


def test_each_step_has_its_time_as_the_table_has_it(folder):
    rows = [f"{site},{time},{i},{-i}" for i, (site, time) in enumerate(zip("xyxxy", TIMES, strict=True))]
    written(folder / "s.csv", "id,When,a,b", rows)
    header, found, lines = predicted(folder, "s.csv", "--time", "When")
    assert header == ["id", "step", "When", "class", "calm", "windy"]
    due = [("x", "0", TIMES[2]), ("x", "1", TIMES[0]), ("x", "2", TIMES[3]), ("y", "0", TIMES[1]), ("y", "1", TIMES[4])]
    assert [tuple(row[:3]) for row in found] == due
    assert [line.split("\t")[:2] for line in lines if line] == [[site, time] for site, _, time in due]
    assert [line.split("\t")[2] for line in lines if line] == [row[3] for row in found]
    run("predict", "model.npz", "s.csv", "--time", "When", "-o", "out.npz", cwd=folder)
    with np.load(folder / "out.npz") as arrays:
        assert arrays["times"].tolist() == [[TIMES[2], TIMES[0], TIMES[3]], [TIMES[1], TIMES[4], ""]]


def test_a_date_and_a_time_or_parts_of_one(folder):
    written(folder / "s.csv", "id,date,time,a,b", ["7,2024-01-02,08:00,1,2", "7,2024-01-01,09:30,1,2"])
    header, found, _ = predicted(folder, "s.csv")
    assert (header[:3], [row[2] for row in found]) == (
        ["id", "step", "date time"],
        ["2024-01-01 09:30", "2024-01-02 08:00"],
    )
    written(folder / "s.csv", "id,year,month,a,b", ["7,2024,02,1,2", "7,2024,01,1,2"])
    header, found, _ = predicted(folder, "s.csv")
    assert (header[2], [row[2] for row in found]) == ("year month", ["2024 01", "2024 02"])


def test_numbers_keep_their_digits_and_a_step_its_name(folder):
    written(folder / "s.csv", "id,step,a,b", ["7,0.50,1,2", "7,0.25,1,2", "7,1.00,3,3"])
    header, found, _ = predicted(folder, "s.csv")
    assert header[:3] == ["id", "step", "class"]
    assert [row[1] for row in found] == ["0.25", "0.50", "1.00"]


def test_a_table_without_times_has_the_number_of_each_step(folder):
    written(folder / "s.csv", "id,a,b", ["7,1,2", "7,1,2"])
    header, found, lines = predicted(folder, "s.csv", "--time", "")
    assert (header[:3], [row[1] for row in found]) == (["id", "step", "class"], ["0", "1"])
    assert [line.count("\t") for line in lines if line] == [1, 1]


def test_times_of_a_parquet_file(folder):
    polars = pytest.importorskip("polars")
    pytest.importorskip("narwhals")
    days = polars.datetime_range(
        *(polars.datetime(2024, 3, day) for day in (30, 31)), "12h", time_zone="Europe/Berlin", eager=True
    )
    polars.DataFrame({"id": [1, 1, 1], "t": days, "a": [1.0, 2, 3], "b": [0.0, 1, 2]}).write_parquet(
        folder / "s.parquet"
    )
    _, found, _ = predicted(folder, "s.parquet")
    assert [row[2] for row in found] == [
        "2024-03-30 00:00:00+01:00",
        "2024-03-30 12:00:00+01:00",
        "2024-03-31 00:00:00+01:00",
    ]


def test_frames_are_counted_as_steps(tmp_path):
    net = cgru.Network(
        [cgru.Frames(2), cgru.GRU(2, sequences=True), cgru.Dense(2, "softmax")], feature_names=["a", "b"]
    )
    net.make(np.ones((4, 5, 2)))
    net.save(tmp_path / "model.npz")
    written(tmp_path / "s.csv", "id,time,a,b", [f"{i},{t},{t},{i}" for i, s in ((7, 5), (8, 2)) for t in range(s)])
    header, rows, lines = predicted(tmp_path, "s.csv")
    assert header == ["id", "step", "class", "output_0", "output_1"] or header[:3] == ["id", "step", "class"]
    assert [row[:2] for row in rows] == [["7", "0"], ["7", "1"], ["7", "2"], ["8", "0"]]
    assert [line.split("\t")[0] for line in lines] == ["7", "7", "7", "", "8", ""]
