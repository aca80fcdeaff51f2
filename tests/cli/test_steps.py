"""Predictions at steps of a table."""

import csv

import numpy as np
import pytest
from cli_cases import number_in, refused, run

import cgru
from cgru.cli.data import columns_of
from cgru.datasets import read


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


WHEN = ("--time", "When", "--time-format", "%d.%m.%Y %H:%M", "--sort")
TIMES = ["02.01.2024 9:30", "1.1.2024 08:00", "31.12.2023 10:00", "03.01.2024 10:00", "1.1.2024 12:00"]


def test_each_step_has_its_time_as_the_table_has_it(folder):
    rows = [f"{site},{time},{i},{-i}" for i, (site, time) in enumerate(zip("xyxxy", TIMES, strict=True))]
    written(folder / "s.csv", "id,When,a,b", rows)
    header, found, lines = predicted(folder, "s.csv", *WHEN)
    assert header == ["id", "step", "When", "class", "calm", "windy"]
    due = [("x", "0", TIMES[2]), ("x", "1", TIMES[0]), ("x", "2", TIMES[3]), ("y", "0", TIMES[1]), ("y", "1", TIMES[4])]
    assert [tuple(row[:3]) for row in found] == due
    assert [line.split("\t") for line in lines] == [row[:4] for row in found]
    run("predict", "model.npz", "s.csv", *WHEN, "-o", "out.npz", cwd=folder)
    with np.load(folder / "out.npz") as arrays:
        assert arrays["times"].tolist() == [[TIMES[2], TIMES[0], TIMES[3]], [TIMES[1], TIMES[4], ""]]


def test_a_date_and_a_time(folder):
    written(folder / "s.csv", "id,date,time,a,b", ["7,2024-01-02,08:00,1,2", "7,2024-01-01,09:30,1,2"])
    header, found, _ = predicted(folder, "s.csv", "--time", "date,time", "--sort")
    assert (header[:3], [row[2] for row in found]) == (
        ["id", "step", "date time"],
        ["2024-01-01 09:30", "2024-01-02 08:00"],
    )


def test_numbers_keep_their_digits_and_a_step_its_name(folder):
    written(folder / "s.csv", "id,step,a,b", ["7,0.50,1,2", "7,0.25,1,2", "7,1.00,3,3"])
    header, found, _ = predicted(folder, "s.csv", "--time", "step", "--sort")
    assert header[:3] == ["id", "step", "class"]
    assert [row[1] for row in found] == ["0.25", "0.50", "1.00"]


def test_a_table_without_times_has_the_number_of_each_step(folder):
    written(folder / "s.csv", "id,a,b", ["7,1,2", "7,1,2"])
    header, found, lines = predicted(folder, "s.csv", "--time", "")
    assert (header[:3], [row[1] for row in found]) == (["id", "step", "class"], ["0", "1"])
    assert [line.count("\t") for line in lines] == [2, 2]


def test_times_of_a_parquet_file(folder):
    polars = pytest.importorskip("polars")
    pytest.importorskip("narwhals")
    days = polars.datetime_range(
        *(polars.datetime(2024, 3, day) for day in (30, 31)), "12h", time_zone="Europe/Berlin", eager=True
    )
    polars.DataFrame({"id": [1, 1, 1], "t": days, "a": [1.0, 2, 3], "b": [0.0, 1, 2]}).write_parquet(
        folder / "s.parquet"
    )
    _, found, _ = predicted(folder, "s.parquet", "--time", "t")
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
    assert [line.split("\t")[:2] for line in lines] == [["7", "0"], ["7", "1"], ["7", "2"], ["8", "0"]]


SHORT = ("--units", 4, "--epochs", 8, "--batch-size", 4, "--dropout", 0, "--learning-rate", 0.02)


def course(first, count, colors=("red", "blue")):
    """Sequences whose label at each step is the sum so far of what their colors stand for; some of rain is missing."""
    rng, lines = np.random.default_rng(first), ["id,time,color,rain,total,twice"]
    for i in range(first, first + count):
        total = 0.25
        for t in range(5 + i % 3):
            color = int(rng.integers(2))
            total += 1 - 2 * color
            lines.append(f"{i},{t},{colors[color]},{'' if rng.random() < 0.3 else 0.5},{total},{2 * total}")
    return "\n".join(lines)


@pytest.fixture(scope="module")
def fitted(tmp_path_factory):
    """A folder with train.csv, new.csv and model.npz, fitted on numbers at each step; and what was said."""
    folder = tmp_path_factory.mktemp("numbers")
    (folder / "train.csv").write_text(course(0, 24))
    (folder / "new.csv").write_text(course(50, 4))
    given = ("--per-step", "--label", "total", "--ignore", "twice", "--categories", "color")
    given += ("--missing", "rain=zero+indicator")
    return folder, run("fit", "train.csv", *given, *SHORT, "-o", "model.npz", cwd=folder)


@pytest.fixture
def numbers(fitted):
    return fitted[0]


def test_numbers_at_each_step_of_a_table(numbers, fitted):
    out, err = fitted[1]
    assert err.startswith("train.csv: 24 samples of 5 to 7 steps of 4 features\n")
    assert "targets: numbers, one a step, from " in err
    assert out.startswith("validation loss ")
    net = cgru.load(numbers / "model.npz")
    assert net.feature_names == ("color_blue", "color_red", "rain", "missingindicator_rain")
    assert (net.per_step, net.target_names) == (True, ("total",))
    out, err = run("evaluate", "model.npz", "new.csv", cwd=numbers)
    told = "--id id --time time --label total --columns color,rain --categories color --ignore twice --per-step"
    assert f"note: read as the model's own data were, {told} --missing rain=zero+indicator\n" in err
    data = read(numbers / "new.csv", columns_of(numbers / "model.npz"))
    real = net.output_mask(data.train.X, data.train.X.lengths)
    found = net.predict(data.train.X)[real]
    assert number_in(out, "RMSE") == pytest.approx(np.sqrt(np.square(found - data.train.y[real]).mean()), rel=1e-3)
    header, rows, lines = predicted(numbers, "new.csv")
    assert header == ["id", "step", "time", "total"]
    np.testing.assert_allclose([float(row[3]) for row in rows], found[:, 0], rtol=1e-5)
    assert lines[0].split("\t") == ["50", "0", "0", rows[0][3]]


def test_a_column_is_filled_otherwise_than_in_the_model_s_data(numbers):
    text = (numbers / "new.csv").read_text()
    (numbers / "green.csv").write_text(text.replace(",red,", ",green,", 1))
    error = refused("predict", "model.npz", "green.csv", cwd=numbers)
    assert "categories: expected one of blue, red, got 'green' of color in line" in error
    run("predict", "model.npz", "green.csv", "--na", "green", "--missing", "color=zero", cwd=numbers)
    zero, _ = run("predict", "model.npz", "new.csv", cwd=numbers)
    assert run("predict", "model.npz", "new.csv", "--missing", "rain=forward+indicator", cwd=numbers)[0] != zero
    assert "missingindicator_rain" in refused("predict", "model.npz", "new.csv", "--missing", "rain=zero", cwd=numbers)


def test_counts_at_steps_start_at_their_mean(tmp_path):
    rng, y = np.random.default_rng(0), np.array([[[1.0], [2], [99]], [[3], [99], [99]]])
    np.savez(tmp_path / "counts.npz", x=rng.standard_normal((2, 3, 1)), y=y, lengths=[2, 1])
    run("fit", "counts.npz", "--loss", "poisson", "--learning-rate", 1e-12, "--epochs", 1, "-o", "m.npz", cwd=tmp_path)
    assert cgru.load(tmp_path / "m.npz").head.p["b"] == pytest.approx(np.log(2))  # the mean of 1, 2 and 3


def test_numbers_at_steps_are_not_those_of_sequences(numbers):
    whole = ("--label", "total", "--no-per-step", "--ignore", "")
    (numbers / "whole.csv").write_text("id,time,color,rain,total\n1,0,red,1,0.5\n1,1,red,1,0.5\n")
    _, error = run("evaluate", "model.npz", "whole.csv", *whole, cwd=numbers, code=2)
    assert "whole.csv: y: expected numbers for each step, (m, s, k), as the model predicts, got shape (1,)" in error
    (numbers / "odd.csv").write_text(course(60, 1, ("red", "green")))
    error = refused("predict", "model.npz", "odd.csv", cwd=numbers)
    assert "odd.csv: categories: expected one of blue, red, got 'green' of color in line" in error
    assert "--na green" in error
    out, _ = run(
        "predict", "model.npz", "odd.csv", "--na", "green", "--missing", "zero,rain=zero+indicator", cwd=numbers
    )
    assert out
    error = refused("predict", "model.npz", "new.csv", "--categories", "rain", cwd=numbers)
    assert error == "cgru: error: argument --categories: expected those of the model, color, got rain\n"
    assert run("predict", "model.npz", "new.csv", "--categories", "color", cwd=numbers)[0]


def test_windows_of_a_stream(tmp_path):
    rng = np.random.default_rng(0)
    label = np.arange(300) // 25 % 2
    rows = (
        f"{t},{a:.3f},{('calm', 'wild')[i]}" for t, (a, i) in enumerate(zip(rng.normal(label, 0.3), label, strict=True))
    )
    (tmp_path / "stream.csv").write_text("\n".join(["time,a,label", *rows]))
    out, err = run(
        "fit", "stream.csv", "--windows", "10,5", "--validation", 0.25, *SHORT, "--inputs", "raw", cwd=tmp_path
    )
    assert "held back: 3 of 12 groups (series), 12 of 48 samples\n" in err
    assert out.startswith("validation loss")
    out, err = run("predict", "cgru-model.npz", "stream.csv", cwd=tmp_path)
    assert "--windows 10,5\n" in err
    assert [line.split("\t")[0] for line in out.splitlines()] == [f"1/{i}" for i in range(1, 60)]
    short = (f"{t},{a:.3f},{a:.3f}" for t, a in enumerate(rng.normal(0, 1, 70)))
    (tmp_path / "short.csv").write_text("\n".join(["time,a,label", *short]))
    for size, held in (("25,1", "held back: 1 of 2 groups"), ("40,1", "targets: numbers")):
        _, err = run("fit", "short.csv", "--windows", size, *SHORT, "--inputs", "raw", cwd=tmp_path)
        assert held in err
    assert "held back" not in err.replace("can be held back", "")  # the only part
    assert "argument --windows: expected a length and a hop" in refused(
        "fit", "stream.csv", "--windows", "x", cwd=tmp_path
    )
