"""Tables: what the command reads, refuses with the options that mend it, and keeps with a model."""

import csv
import gzip
import shlex

import numpy as np
import pytest
from cli_cases import QUICK, pipe, refused, run

import cgru
from cgru.cli.arguments import as_options, given, parser
from cgru.cli.data import columns_of
from cgru.datasets import Columns

rng = np.random.default_rng(0)
GIVEN = ("--id", "patient", "--time", "day")


def rows(first, count, classes=("ill", "well")):
    """(id, day, temp, hum, label) of so many sequences, easily told apart."""
    for i in range(first, first + count):
        for day in range(1, 4 + i % 2):
            yield [f"p{i}", f"2024-01-{day:02}", *(rng.normal(2 * (i % 2), 1, 2).round(3)), classes[i % 2]]


def write(path, header, lines):
    with open(path, "w", newline="") as file:
        csv.writer(file).writerows([header, *lines])


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A folder with train.csv, test.csv, model.npz fitted on them, and columns in another order in other.csv."""
    folder = tmp_path_factory.mktemp("tables")
    header = ["patient", "day", "temp", "hum", "label"]
    train, test = list(rows(0, 20)), list(rows(50, 4))
    write(folder / "train.csv", header, train)
    write(folder / "test.csv", header, test)
    write(
        folder / "other.csv", ["hum", "note", "patient", "day", "temp"], [[h, "?", p, d, t] for p, d, t, h, _ in test]
    )
    run("fit", "train.csv", *GIVEN, "--test", "test.csv", *QUICK, "-o", "model.npz", cwd=folder)
    return folder


def test_what_was_read_is_said_before_the_training(folder, tmp_path):
    _, err = run("fit", folder / "train.csv", *GIVEN, *QUICK, "--epochs", 1, cwd=tmp_path)
    assert err.splitlines()[:3] == [
        f"{folder / 'train.csv'}: 20 samples of 3 to 4 steps of 2 features", "features: temp, hum",
        "classes: ill 10, well 10",
    ]  # fmt: skip
    assert cgru.load(tmp_path / "cgru-model.npz").feature_names == ("temp", "hum")
    assert run("fit", folder / "train.csv", *GIVEN, "--epochs", 1, "--inputs", "raw", "-q", cwd=tmp_path)[1] == ""


def test_the_command_that_is_shown_works(folder, tmp_path):
    """A refusal lists the columns with three values each, and ends with the command that reads them."""
    for command in (["fit", folder / "train.csv", "--epochs", "1"], ["data", folder / "train.csv"]):
        out, err = run(*command, cwd=tmp_path, code=2 * (command[0] == "fit"))
        lines = (err or out).splitlines()
        told = [line for line in lines if line.startswith("  ")]
        assert [line.split()[:2] for line in told] == [
            ["patient", "id"], ["day", "time"], ["temp", "feature"], ["hum", "feature"], ["label", "label"],
        ]  # fmt: skip
        assert all(line.count(", ") == 2 for line in told[:4])
        shown = next(shlex.split(line) for line in lines if line.startswith("cgru ") and "--" in line)
        run(*shown[1:], "--epochs", 1, "--inputs", "raw", "-q", cwd=tmp_path)
        assert columns_of(tmp_path / "cgru-model.npz").id == ("patient",)


@pytest.mark.parametrize(
    "options",
    [
        {"id": ("a b", "c,d"), "time": (), "wide": True, "header": False, "na": ("-999", "-"), "skip_lines": "2-2"},
        {"windows": (100, 50), "missing": "a=zero", "comment": "#", "separator": ";", "categories": {"c": ()}},
        {"ignore": ("-x", '5" disk'), "time_format": "%d.%m.%Y", "decimal": ",", "sort": True},
    ],
)
def test_options_are_spelled_as_they_are_read(options):
    request = parser().parse_args(["data", "x.csv", *shlex.split(as_options(options))])
    assert Columns(**given(request)) == Columns(**options)


def test_data_says_it_and_trains_nothing(folder):
    before = sorted(folder.iterdir())
    out, err = run("data", "train.csv", *GIVEN, "--test", "test.csv", cwd=folder)
    assert (err, sorted(folder.iterdir())) == ("", before)
    assert out.splitlines()[:4] == [
        "20 samples of 3 to 4 steps of 2 features", "4 to test on of 3 to 4 steps of 2 features", "features: temp, hum",
        "classes: ill 10, well 10",
    ]  # fmt: skip


def test_a_model_takes_columns_by_their_names(folder, tmp_path):
    ordered = run("predict", "model.npz", "test.csv", cwd=folder)[0]
    assert run("predict", "model.npz", "other.csv", cwd=folder)[0] == ordered
    assert ordered.splitlines()[0].split("\t")[0] == "p50"
    text = (folder / "other.csv").read_text().replace("temp", "heat")
    (tmp_path / "other.csv").write_text(text)
    error = refused("predict", folder / "model.npz", "other.csv", cwd=tmp_path)
    assert "columns: expected some of the columns hum, note, patient, day, heat, got none called temp" in error
    assert "label: expected some of the columns" in run("evaluate", "model.npz", "other.csv", cwd=folder, code=2)[1]
    out, err = run("evaluate", "model.npz", "test.csv", cwd=folder)
    assert "all of test.csv: loss" in out
    assert "note: read as the model's own data were, --id patient --time day --label label" in err


def test_a_model_knows_how_its_data_were_read(tmp_path):
    """Columns whose names tell nothing, in rows of any order, some missing: said for the training, and kept."""
    lines = [[f"p{i}", f"{t}.1.2024", t * (-1) ** i + i, ["no", "yes"][i % 2]] for i in range(12) for t in range(1, 9)]
    lines[30][2] = "-"
    rng.shuffle(lines)
    write(tmp_path / "wells.csv", ["well", "measured", "level", "trend"], lines)
    given = ["--id", "well", "--time", "measured", "--label", "trend", "--time-format", "%d.%m.%Y", "--sort"]
    given += ["--missing", "forward", "--na", "-", "--time-step"]
    run("fit", "wells.csv", *given, *QUICK, "-o", "m.npz", cwd=tmp_path)
    columns = columns_of(tmp_path / "m.npz")
    assert (columns.na, columns.time_format, columns.sort) == (("-",), "%d.%m.%Y", True)
    data = cgru.datasets.read(tmp_path / "wells.csv", columns)
    assert (data.train.X.shape, data.feature_names) == ((12, 8, 2), ("level", "time_step"))
    out, _ = run("evaluate", "m.npz", "wells.csv", cwd=tmp_path)
    write(tmp_path / "moved.csv", ["trend", "level", "measured", "well"], [line[::-1] for line in sorted(lines)])
    assert run("evaluate", "m.npz", "moved.csv", cwd=tmp_path)[0].partition(":")[2] == out.partition(":")[2]
    run("quantize", "m.npz", "wells.csv", "-o", "small.npz", cwd=tmp_path)
    assert columns_of(tmp_path / "small.npz") == columns
    assert "--time-step" in run("info", "m.npz", cwd=tmp_path)[0]


def test_a_model_of_wide_tables(tmp_path):
    header = ["name", *(f"t{i}" for i in range(5)), "label"]
    write(tmp_path / "a.csv", header, [[f"n{i}", *rng.normal(i % 2, 1, 5).round(2), "ab"[i % 2]] for i in range(12)])
    run("fit", "a.csv", "--wide", "--id", "name", *QUICK, "-o", "m.npz", cwd=tmp_path)
    write(tmp_path / "b.csv", header[:6], [["x", *range(5)], ["y", *range(4), ""]])
    assert [line.split()[0] for line in run("predict", "m.npz", "b.csv", cwd=tmp_path)[0].splitlines()] == ["x", "y"]


def test_a_model_knows_whether_its_targets_are_classes(tmp_path):
    lines = [[i, t, 10 * i + rng.normal(), 20 + i] for i in range(30) for t in range(3)]
    write(tmp_path / "x.csv", ["id", "time", "v", "age"], lines)
    assert "--task regression" in refused("fit", "x.csv", "--label", "age", *QUICK, cwd=tmp_path)
    for task, score in (("regression", "RMSE"), ("classification", "accuracy")):
        run("fit", "x.csv", "--label", "age", "--task", task, *QUICK, cwd=tmp_path)
        assert score in run("evaluate", "cgru-model.npz", "x.csv", "--label", "age", cwd=tmp_path)[0]
    (tmp_path / "x.json").write_text("{}")
    assert "x.json: expected rows" in refused("evaluate", "cgru-model.npz", "x.json", cwd=tmp_path)


# --- axes ---


def test_axes_that_look_swapped_are_told(tmp_path):
    x = np.cumsum(np.random.default_rng(0).standard_normal((20, 3, 40)), axis=2)
    for name, array in {"x": x.swapaxes(1, 2), "swapped": x}.items():
        np.savez(tmp_path / f"{name}.npz", X=array, Y=np.arange(20) % 2)
    run("fit", "x.npz", "--epochs", 1, "--inputs", "raw", cwd=tmp_path)
    assert "got 40; x (m, e, s) becomes" in refused("predict", "cgru-model.npz", "swapped.npz", cwd=tmp_path)


# --- the archive's files ---


def test_a_test_file_of_the_archive(tmp_path):
    text = "@univariate true\n@classLabel true a b\n@data\n" + "1,2,3:a\n3,2,1:b\n" * 5
    (tmp_path / "Toy_TRAIN.ts").write_text(text)
    (tmp_path / "Toy_TEST.ts").write_text(text.replace(":b", ":c").replace("true a b", "true a c"))
    command = "fit", "Toy_TRAIN.ts", "--test", "Toy_TEST.ts", *QUICK, "--epochs", 1
    assert refused(*command, cwd=tmp_path) == "cgru: error: Toy_TEST.ts: y: expected the classes a, b, got c\n"
    (tmp_path / "Toy_TEST.ts").write_text(text)
    assert "test loss" in run(*command, cwd=tmp_path)[0]
    assert run("evaluate", "cgru-model.npz", "Toy_TRAIN.ts", cwd=tmp_path)[0].startswith("all of Toy_TRAIN.ts: loss")


# --- options ---


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["data"], ["DATA"]),
        (["data", "none.csv"], ["none.csv", "No such file"]),
        (["fit", "train.csv", "--id", "who"], ["id: expected some of the columns patient, day, ", "called who"]),
        (["fit", "train.csv", *GIVEN, "--columns", "temp,heat"], ["columns: expected some of", "called heat"]),
        (["fit", "train.csv", *GIVEN, "--label", "", "--ignore", "label"], ["label: expected the column"]),
        (["fit", "train.csv", *GIVEN, "--task", "regression"], ["task: expected numbers", "--task classification"]),
        (["fit", "train.csv", "--task", "both"], ["--task", "'both'"]),
        (["fit", "train.csv", "--missing", "mean"], ["--missing", "'mean'"]),
        (["fit", "train.csv", "--windows", "0"], ["--windows", "'0'"]),
        (["fit", "train.csv", "--decimal", ";"], ["--decimal", "';'"]),
        (["fit", "train.csv", *GIVEN, "-o", "train.csv"], ["train.csv", "overwrite"]),
        (["fit", "train.csv", "--test", "test.csv", "-o", "test.csv"], ["test.csv", "overwrite"]),
        (["fit", "train.csv", "--test", "t.csv", "--checkpoint", "t.csv"], ["t.csv", "overwrite"]),
        (["fit", "--id", "patient"], ["argument --id: needs DATA"]),
        (["fit", "--test", "test.csv"], ["argument --test: needs DATA"]),
        (["evaluate", "model.npz", "--per-step"], ["argument --per-step: needs DATA"]),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else value,
)  # fmt: skip
def test_refusals(folder, arguments, words):
    error = refused(*arguments, cwd=folder)
    for word in words:
        assert word in error


def test_errors_about_a_test_file_name_it(folder, tmp_path):
    header = ["patient", "day", "temp", "hum", "label"]
    write(tmp_path / "new.csv", header, rows(50, 4, ("ill", "flu")))
    train = ("fit", folder / "train.csv", *GIVEN, "--test", "new.csv")
    assert refused(*train, cwd=tmp_path) == "cgru: error: new.csv: y: expected the classes ill, well, got flu\n"
    write(tmp_path / "new.csv", header, ([*row[:4], "0.5"] for row in rows(50, 4)))
    assert refused(*train, "--task", "classification", cwd=tmp_path).startswith("cgru: error: new.csv: task: expected")
    error = refused(*train, cwd=tmp_path)
    assert error.startswith(f"cgru: error: new.csv: y: expected the kind of y in {folder / 'train.csv'}, <U4 (m,), got")


# --- standard input ---


@pytest.mark.parametrize("kind", ["csv", "gz", "npz", "ts", "parquet"])
def test_standard_input_is_read_as_the_file_is(folder, tmp_path, kind, monkeypatch):
    path, given = tmp_path / f"data.{kind}", () if kind in ("npz", "ts") else GIVEN
    table = (folder / "train.csv").read_bytes()
    if kind == "csv":
        path.write_bytes(table)
    elif kind == "gz":
        path = tmp_path / "data.csv.gz"
        path.write_bytes(gzip.compress(table))
    elif kind == "npz":
        np.savez(path, x=np.ones((4, 3, 2)), y=[1, 2, 1, 2])
    elif kind == "ts":
        path.write_text("@problemname a\n@classlabel true x y\n@data\n1,2,3:x\n2,3,4:y\n")
    else:
        pytest.importorskip("polars", reason="no polars").read_csv(table).write_parquet(path)
    due, _ = run("data", path, *given, cwd=tmp_path)
    pipe(path, monkeypatch)
    got, _ = run("data", "-", *given, cwd=tmp_path)
    assert got == due.replace(str(path), "standard input")


def test_standard_input_for_a_model(folder, tmp_path, monkeypatch):
    for command, rest in (("predict", ()), ("evaluate", ()), ("predict", ("-o", "out.csv"))):
        due, said = run(command, folder / "model.npz", folder / "test.csv", *rest, cwd=tmp_path)
        pipe(folder / "test.csv", monkeypatch)
        got, also_said = run(command, folder / "model.npz", "-", *rest, cwd=tmp_path)
        assert got == due.replace("test.csv", "standard input")
        assert also_said == said
    pipe(folder / "test.csv", monkeypatch)
    out, _ = run("predict", folder / "model.npz", "-", "-o", "-", cwd=tmp_path)
    assert out == (tmp_path / "out.csv").read_text()


def test_an_error_names_standard_input(folder, tmp_path, monkeypatch):
    (tmp_path / "bad.csv").write_text("id,x,q\n1,2,3\n1,no,4\n")
    pipe(tmp_path / "bad.csv", monkeypatch)
    assert refused("fit", "-", cwd=tmp_path).startswith("cgru: error: standard input: columns: expected numbers")
    assert list(tmp_path.iterdir()) == [tmp_path / "bad.csv"]
