"""Data as it lies: what the command reads from tables, and what it says of it."""

import csv
import gzip
import os
import shlex
import sys
import time

import numpy as np
import pytest
from cli_cases import QUICK, pipe, posix, refused, run

import cgru
from cgru.cli.data import as_options

rng = np.random.default_rng(0)


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
    run("fit", "train.csv", "--time", "day", "--test", "test.csv", *QUICK, "-o", "model.npz", cwd=folder)
    return folder


def test_what_was_read_is_said_before_the_training(folder, tmp_path):
    _, err = run("fit", folder / "train.csv", "--time", "day", "--epochs", 1, cwd=tmp_path)
    lines = err.splitlines()
    assert lines[0] == f"{folder / 'train.csv'}: 2 classes, sequences of 3 to 4 steps of 2 features"
    assert lines[1:6] == [
        "20 sequences to train on",
        "features: temp, hum",
        "classes: ill 10, well 10",
        "note: patient says which sequence a row belongs to (--id patient)",
        "note: label has the labels (--label label)",
    ]
    assert lines[6].startswith("chosen: ")
    assert lines[7].startswith("note: a line on the mean")
    assert lines[8].startswith("epoch 1/1")
    assert cgru.load(tmp_path / "cgru-model.npz").feature_names == ("temp", "hum")
    assert run("fit", folder / "train.csv", "--time", "day", "--epochs", 1, "-q", cwd=tmp_path)[1] == ""


def test_data_says_it_and_trains_nothing(folder):
    before = sorted(folder.iterdir())
    out, err = run("data", "train.csv", "--time", "day", "--test", "test.csv", cwd=folder)
    assert err == ""
    assert out.splitlines()[:4] == [
        "20 samples of 3 to 4 steps of 2 features",
        "4 to test on of 3 to 4 steps of 2 features",
        "features: temp, hum",
        "classes: ill 10, well 10",
    ]
    assert sorted(folder.iterdir()) == before


def test_a_model_takes_columns_by_their_names(folder, tmp_path):
    ordered = run("predict", "model.npz", "test.csv", "--time", "day", cwd=folder)[0]
    assert run("predict", "model.npz", "other.csv", "--time", "day", cwd=folder)[0] == ordered
    assert ordered.splitlines()[0].split("\t")[0] == "p50"
    text = (folder / "other.csv").read_text().replace("temp", "heat")
    (tmp_path / "other.csv").write_text(text)
    error = refused("predict", folder / "model.npz", "other.csv", "--time", "day", cwd=tmp_path)
    assert "expected the columns temp, hum, got hum, note, patient, day, heat, none called temp" in error
    _, err = run("evaluate", "model.npz", "other.csv", "--time", "day", cwd=folder, code=2)
    assert "label: expected one of the columns hum, note, patient, day, temp, got 'label'" in err
    out, err = run("evaluate", "model.npz", "test.csv", "--time", "day", cwd=folder)
    assert "all of test.csv: loss" in out
    assert "note: read as the model's own data were, --id patient, --label label" in err


def test_a_model_knows_how_its_data_were_read(tmp_path):
    """Columns whose names tell nothing, in rows of any order, some of them missing: said for the training, and kept."""
    lines = [
        [f"p{i}", f"2024-01-{t:02}", t * (-1) ** i + i, ["no", "yes"][i % 2]] for i in range(12) for t in range(1, 9)
    ]
    lines[30][2] = ""
    rng.shuffle(lines)
    header = ["well", "measured", "level", "trend"]
    write(tmp_path / "wells.csv", header, lines)
    options = ("--id", "well", "--time", "measured", "--label", "trend", "--missing", "interpolate")
    run("fit", "wells.csv", *options, *QUICK, "--epochs", 30, cwd=tmp_path)
    net = cgru.load(tmp_path / "cgru-model.npz")
    due = {"id": ["well"], "time": "measured", "wide": False, "missing": "interpolate"}
    assert net.reading == due | {"label": ["trend"], "per_step": False}
    asked, err = run("evaluate", "cgru-model.npz", "wells.csv", *options, cwd=tmp_path)
    assert "as the model's own" not in err
    out, err = run("evaluate", "cgru-model.npz", "wells.csv", cwd=tmp_path)
    assert out == asked
    told = "--id well, --time measured, --missing interpolate, --label trend"
    assert f"note: read as the model's own data were, {told}\n" in err
    data = cgru.datasets.read(tmp_path / "wells.csv", **net.reading)
    np.testing.assert_array_equal(
        run("predict", "cgru-model.npz", "wells.csv", cwd=tmp_path)[0].split()[1::2],
        net.predict_classes(data.train.X, data.train.lengths),
    )
    write(tmp_path / "untimed.csv", ["well", "level"], [[well, level or 0] for well, _, level, _ in lines])
    error = refused("predict", "cgru-model.npz", "untimed.csv", cwd=tmp_path)
    assert "time: expected one of the columns well, level, got 'measured'" in error
    assert error.endswith("were read with --id well, --time measured, --missing interpolate\n")
    out, _ = run("predict", "cgru-model.npz", "untimed.csv", "--time", "", cwd=tmp_path)
    assert len(out.splitlines()) == 12
    run("quantize", "cgru-model.npz", "wells.csv", "-o", "small.npz", cwd=tmp_path)
    assert cgru.load(tmp_path / "small.npz").reading == net.reading
    write(tmp_path / "sites.csv", ["site", *header], [["north", *line] for line in lines])
    run("fit", "sites.csv", "--id", "site,well", *options[2:], *QUICK, "--epochs", 1, cwd=tmp_path)
    _, err = run("evaluate", "cgru-model.npz", "sites.csv", cwd=tmp_path)
    assert "were, --id site,well, --time measured," in err


@pytest.mark.parametrize(
    "options", [("--ignore", "age1"), ("--columns", "t0,t1,t2,t3,t4,t5")], ids=["ignore", "columns"]
)
def test_a_model_of_wide_tables_knows_which_columns_are_steps(tmp_path, options):
    """Else the labels of a table, and what was left out, were steps of it: a model takes any number of these."""
    header = ["case", "class1", "age1", *(f"t{j}" for j in range(6))]
    lines = [[f"p{i}", 1 + i % 2, 20 + 3 * i, *rng.normal(i % 2, 1, 6).round(3)] for i in range(20)]
    write(tmp_path / "wide.csv", header, lines)
    write(tmp_path / "unlabelled.csv", [header[0], *header[2:]], [[line[0], *line[2:]] for line in lines])
    write(tmp_path / "steps.csv", [header[0], *header[3:]], [[line[0], *line[3:]] for line in lines])
    fit = ("--wide", "--id", "case", "--label", "class1", *options)
    trained, _ = run("fit", "wide.csv", *fit, *QUICK, "--epochs", 5, cwd=tmp_path)
    out, err = run("evaluate", "cgru-model.npz", "wide.csv", cwd=tmp_path)
    assert out.split(": ")[1].split(";")[0] == trained.split(";")[0].removeprefix("training ")
    assert f"--wide, {' '.join(options)}, --label class1\n" in err
    X = np.array([line[3:] for line in lines])[:, :, None]
    due = [f"p{i}\t{name}" for i, name in enumerate(cgru.load(tmp_path / "cgru-model.npz").predict_classes(X))]
    for name in ("wide.csv", "unlabelled.csv"):
        out, err = run("predict", "cgru-model.npz", name, cwd=tmp_path)
        assert out.splitlines() == due
        assert "--label" not in err
    out, _ = run("predict", "cgru-model.npz", "wide.csv", "--ignore", "age1,class1", "--columns", "", cwd=tmp_path)
    assert out.splitlines() == due
    if options[0] == "--ignore":
        error = refused("predict", "cgru-model.npz", "steps.csv", cwd=tmp_path)
        assert "ignore: expected one of the columns case, t0, t1, t2, t3, t4, t5, got 'age1'; the model's own" in error
    out, _ = run("predict", "cgru-model.npz", "steps.csv", "--ignore", "", cwd=tmp_path)
    assert out.splitlines() == due


def test_steps_whose_names_have_no_order_are_taken_by_name(tmp_path):
    lines = [[1 + i % 2, *rng.normal(i % 2, 1, 3).round(3)] for i in range(20)]
    order = [3, 1, 0, 2]
    write(tmp_path / "meals.csv", ["label", "morning", "noon", "night"], lines)
    write(tmp_path / "other.csv", ["night", "morning", "label", "noon"], [[line[i] for i in order] for line in lines])
    write(tmp_path / "fewer.csv", ["night", "morning"], [[line[3], line[1]] for line in lines])
    run("fit", "meals.csv", "--wide", "--test", "other.csv", *QUICK, "--epochs", 3, cwd=tmp_path)
    for command in ("evaluate", "predict"):
        out, other = (run(command, "cgru-model.npz", f"{name}.csv", cwd=tmp_path)[0] for name in ("meals", "other"))
        assert out.replace("meals", "other") == other
    data = cgru.datasets.read(tmp_path / "meals.csv", wide=True, test=tmp_path / "other.csv")
    np.testing.assert_array_equal(data.train.X, data.test.X)
    error = refused("predict", "cgru-model.npz", "fewer.csv", cwd=tmp_path)
    assert "columns: expected one of the columns night, morning, got 'noon'; the model's own data were read" in error


def test_predictions_have_their_ids(folder, tmp_path):
    out, _ = run("predict", folder / "model.npz", folder / "other.csv", "--time", "day", cwd=tmp_path)
    printed = [line.split("\t") for line in out.splitlines()]
    assert [each[0] for each in printed] == ["p50", "p51", "p52", "p53"]
    for name in ("out.csv", "out.npz"):
        run("predict", folder / "model.npz", folder / "other.csv", "--time", "day", "-o", name, cwd=tmp_path)
    with open(tmp_path / "out.csv", newline="") as file:
        header, *lines = csv.reader(file)
    assert header == ["id", "class", "ill", "well"]
    assert [line[:2] for line in lines] == printed
    with np.load(tmp_path / "out.npz") as found:
        assert found["ids"].tolist() == ["p50", "p51", "p52", "p53"]


def test_predictions_at_steps_have_their_ids(tmp_path):
    lines = [[i, t, v, "high" if v > 0 else "low"] for i in (7, 3) for t, v in enumerate(rng.normal(size=i))]
    write(tmp_path / "steps.csv", ["id", "t", "v", "label"], lines)
    assert "per-step" in refused("fit", "steps.csv", *QUICK, cwd=tmp_path)
    run("fit", "steps.csv", "--per-step", *QUICK, cwd=tmp_path)
    out, _ = run("predict", "cgru-model.npz", "steps.csv", cwd=tmp_path)
    first, second, _ = out.split("\n\n")
    assert [line.split("\t")[0] for line in first.splitlines()] == ["7"] * 7
    assert [line.split("\t")[0] for line in second.splitlines()] == ["3"] * 3
    run("predict", "cgru-model.npz", "steps.csv", "-o", "out.csv", cwd=tmp_path)
    with open(tmp_path / "out.csv", newline="") as file:
        header, *found = csv.reader(file)
    assert header[:4] == ["id", "step", "t", "class"]
    assert [[each[0], each[2]] for each in found] == [[str(line[0]), str(line[1])] for line in lines]
    assert "(10 of 10)" in run("evaluate", "cgru-model.npz", "steps.csv", "--per-step", cwd=tmp_path)[0]


def test_names_go_on_into_a_quantised_model(folder, tmp_path):
    options = ("--time", "day", "-o", tmp_path / "small.npz")
    run("quantize", "model.npz", "test.csv", *options, cwd=folder)
    assert cgru.load(tmp_path / "small.npz").feature_names == ("temp", "hum")


def test_what_is_missing_is_refused_or_filled(folder, tmp_path):
    text = (folder / "train.csv").read_text().splitlines()
    cells = text[5].split(",")
    text[5] = ",".join([*cells[:2], "", *cells[3:]])
    (tmp_path / "gap.csv").write_text("\n".join(text))
    error = refused("fit", "gap.csv", "--time", "day", cwd=tmp_path)
    assert "gap.csv: temp: expected a value in each row, got none in line 6; --missing forward fills it" in error
    _, err = run("fit", "gap.csv", "--time", "day", "--missing", "forward", "--epochs", 1, cwd=tmp_path)
    assert "note: filled 1 missing values (forward): temp 1" in err


def test_elements_that_do_not_meet_by_name(folder, tmp_path):
    x = np.ones((4, 3, 2))
    np.savez(tmp_path / "x.npz", x=x, y=["ill", "well"] * 2)
    _, err = run("predict", folder / "model.npz", "x.npz", cwd=tmp_path)
    assert err.startswith("note: the file has no names of features: they are taken for the model's, temp, hum\n")
    run("fit", "x.npz", "--epochs", 1, cwd=tmp_path)
    _, err = run("predict", "cgru-model.npz", folder / "other.csv", "--time", "day", "--ignore", "note", cwd=tmp_path)
    assert "note: the model has no names of features: they are taken in the order of the file, hum, temp\n" in err
    np.savez(tmp_path / "x.npz", x=x[..., :1], y=["ill", "well"] * 2)
    (tmp_path / "one.csv").write_text("id,t,a,label\n1,1,2,a\n1,2,2,a\n2,1,2,b\n")
    run("fit", "one.csv", "--epochs", 1, cwd=tmp_path)
    note = "note: a: 100 % of values lie below the training minimum, 2; is it in the same unit?\n"
    assert run("predict", "cgru-model.npz", "x.npz", cwd=tmp_path)[1] == note  # one cannot be taken for another


def test_a_model_knows_whether_its_targets_are_classes(tmp_path):
    lines = [[i, t, 10 * i + rng.normal(), 20 + i] for i in range(30) for t in range(3)]
    write(tmp_path / "x.csv", ["id", "t", "v", "age"], lines)
    error = refused("fit", "x.csv", "--label", "age", *QUICK, cwd=tmp_path)
    assert "label: expected integers of some classes, got 30 different ones of 30; --task classification or" in error
    for task, score in (("regression", "RMSE"), ("classification", "accuracy")):
        run("fit", "x.csv", "--label", "age", "--task", task, *QUICK, cwd=tmp_path)
        assert score in run("evaluate", "cgru-model.npz", "x.csv", "--label", "age", cwd=tmp_path)[0]
    (tmp_path / "x.json").write_text("{}")
    assert "x.json: it is no .npz archive" in refused("evaluate", "cgru-model.npz", "x.json", cwd=tmp_path)


# --- axes ---


@pytest.fixture(scope="module")
def swapped(tmp_path_factory):
    folder = tmp_path_factory.mktemp("swapped")
    x = np.cumsum(np.random.default_rng(0).standard_normal((20, 3, 40)), axis=2)
    np.savez(folder / "x.npz", X=x, Y=np.arange(20) % 2)
    np.savez(folder / "one.npz", X=x[:, :1], Y=np.arange(20) % 2)
    return folder


def test_axes_that_look_swapped_are_told(swapped, tmp_path):
    doubt = (
        "note: x (20, 3, 40) has more features than steps, and looks like (m, e, s): 3 features in 40 steps; "
        "--axes mes takes it so, --axes mse says that it is right"
    )
    assert doubt in run("data", "x.npz", cwd=swapped)[0].splitlines()
    assert doubt in run("fit", swapped / "x.npz", "--epochs", 1, cwd=tmp_path)[1].splitlines()
    assert run("data", "x.npz", "--axes", "mse", cwd=swapped)[0].startswith(
        "20 samples of 3 steps of 40 features\nclasses"
    )
    assert run("data", "x.npz", "--axes", "mes", cwd=swapped)[0].startswith(
        "20 samples of 40 steps of 3 features\nclasses"
    )
    run("fit", swapped / "one.npz", "--epochs", 1, cwd=tmp_path)  # without the library's own warning
    run("fit", swapped / "x.npz", "--axes", "mes", "--epochs", 1, cwd=tmp_path)
    error = refused("predict", "cgru-model.npz", swapped / "x.npz", cwd=tmp_path)
    assert "got 40; --axes mes takes (m, e, s)" in error
    assert run("predict", "cgru-model.npz", swapped / "x.npz", "--axes", "mes", cwd=tmp_path)[0].count("\n") == 20


@posix
@pytest.mark.parametrize(("answer", "steps"), [("y", 40), ("Yes", 40), ("n", 3), ("", 3)])
def test_on_a_terminal_they_are_asked_about(swapped, answer, steps):
    import pty

    pid, terminal = pty.fork()
    if not pid:
        os.chdir(swapped)
        os.execv(sys.executable, [sys.executable, "-m", "cgru", "data", "x.npz"])
    said = b""
    with open(terminal, "r+b", buffering=0) as file:
        while b"[y/N]" not in said:
            said += file.read(1)
        file.write(f"{answer}\n".encode())
        try:
            while more := file.read(1000):
                said += more
        except OSError:  # the end of a terminal, on Linux
            pass
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
    assert f"20 samples of {steps} steps of".encode() in said
    assert b"looks like (m, e, s): 3 features in 40 steps. Is it? [y/N]" in said
    assert b"note: x (" not in said


# --- the archive's files ---


def test_a_test_file_that_lies_beside(tmp_path):
    text = "@univariate true\n@classLabel true a b\n@data\n" + "1,2,3:a\n3,2,1:b\n" * 5
    (tmp_path / "Toy_TRAIN.ts").write_text(text)
    assert "training loss" in run("fit", "Toy_TRAIN.ts", "--epochs", 1, cwd=tmp_path)[0]
    (tmp_path / "Toy_TEST.ts").write_text(text.replace(":b", ":c").replace("true a b", "true a c"))
    assert refused("fit", "Toy_TRAIN.ts", cwd=tmp_path) == (
        "cgru: error: Toy_TEST.ts: y: expected the classes a, b, got c\n"
    )
    (tmp_path / "Toy_TEST.ts").write_text(text)
    out, err = run("fit", "Toy_TRAIN.ts", "--epochs", 1, cwd=tmp_path)
    assert "test loss" in out
    assert "note: Toy_TEST.ts, which lies beside it, is to test on\n" in err
    assert run("evaluate", "cgru-model.npz", "Toy_TRAIN.ts", cwd=tmp_path)[0].startswith("all of Toy_TRAIN.ts: loss")
    other = tmp_path / "other.ts"
    other.write_text(text)
    assert (
        "to test on\n"
        not in run("fit", "Toy_TRAIN.ts", "--test", other, "--epochs", 1, cwd=tmp_path)[1].partition("note")[2]
    )


# --- options ---


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["data"], ["DATA"]),
        (["data", "none.csv"], ["none.csv", "No such file"]),
        (["fit", "train.csv", "--time", ""], ["train.csv: day: expected to know", "--ignore day leaves it out"]),
        (["fit", "train.csv", "--id", "who"], ["id: expected one of the columns patient, day, ", "got 'who'"]),
        (["fit", "train.csv", "--columns", "temp,heat"], ["columns: expected one of", "'heat'"]),
        (["fit", "train.csv", "--time", "day", "--label", "", "--ignore", "label"], ["y is missing", "--label names"]),
        (["fit", "train.csv", "--time", "day", "--axes", "mes"], ["axes: expected nothing"]),
        (["fit", "train.csv", "--time", "day", "--task", "regression"], ["task: expected classification of strings"]),
        (["fit", "train.csv", "--task", "both"], ["--task", "'both'"]),
        (["fit", "train.csv", "--missing", "mean"], ["--missing", "'mean'"]),
        (["fit", "train.csv", "--decimal", ";"], ["--decimal", "';'"]),
        (["fit", "train.csv", "--time", "day", "-o", "train.csv"], ["train.csv", "overwrite"]),
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


def test_columns_without_numbers_are_named_with_their_options(folder):
    error = refused("data", "train.csv", "--ignore", "temp", "--columns", "day,label", cwd=folder)
    assert "day: expected numbers, got '2024-01-01' in line 2; --time day sorts by it; label: expected" in error
    assert "--label label learns it; --columns ... says which are features" in error


def test_errors_about_a_test_file_name_it(folder, tmp_path):
    header = ["patient", "day", "temp", "hum", "label"]
    write(tmp_path / "new.csv", header, rows(50, 4, ("ill", "flu")))
    train = ("fit", folder / "train.csv", "--time", "day", "--test", "new.csv")
    assert refused(*train, cwd=tmp_path) == "cgru: error: new.csv: y: expected the classes ill, well, got flu\n"
    write(tmp_path / "new.csv", header, ([*row[:4], "0.5"] for row in rows(50, 4)))
    error = refused(*train, "--task", "classification", cwd=tmp_path)
    assert error.startswith("cgru: error: new.csv: task: expected regression")
    error = refused(*train, cwd=tmp_path)
    assert error.startswith(f"cgru: error: new.csv: y: expected the kind of y in {folder / 'train.csv'}, <U4 (m,), got")
    assert refused(*train[:4], "--label", "", "--ignore", "label", "--test", "new.csv", cwd=tmp_path).startswith(
        f"cgru: error: {folder / 'train.csv'}: y is missing"
    )


@pytest.mark.parametrize("options", [(), ("--validation", "0.2")])
@pytest.mark.slow
def test_a_test_on_what_was_trained_on_is_said(folder, tmp_path, options):
    lines = (folder / "train.csv").read_text().splitlines(True)
    (tmp_path / "same.csv").write_text("".join([lines[0], *lines[:0:-1]]))  # in another order
    quick = ("--time", "day", "--epochs", 1, "--html", "page.html", *options)
    out, _ = run("fit", folder / "train.csv", "--test", "same.csv", *quick, cwd=tmp_path)
    note = "no held-out data: the model was trained on these 20 samples"
    if options:
        note = "16 of 20 samples were among the training data; 4 of 20 samples chose the epoch: expect less of new data"
    assert out.splitlines()[0].endswith(f"; {note}")
    assert f'<p class="note">{note}</p>' in (tmp_path / "page.html").read_text()
    out, _ = run("fit", folder / "train.csv", "--test", folder / "test.csv", *quick, cwd=tmp_path)
    assert out.splitlines()[0].endswith(" of 4)")


def test_without_a_library_for_parquet(tmp_path, monkeypatch):
    (tmp_path / "x.parquet").write_bytes(b"PAR1")
    monkeypatch.setitem(sys.modules, "narwhals.stable.v2", None)
    assert "x.parquet: narwhals is missing: pip install narwhals polars" in refused("data", "x.parquet", cwd=tmp_path)


def test_names_with_commas_and_spaces(tmp_path):
    (tmp_path / "x.csv").write_text('id,"a,b",c d\n1,2,3\n1,4,5\n')
    out, _ = run("data", "x.csv", "--columns", '"a,b", c d', cwd=tmp_path)
    assert "features: a,b, c d\n" in out


def test_advice_is_told_as_options():
    assert as_options('id="a b" settles it; wide=True, wide=False') == "--id 'a b' settles it; --wide, --no-wide"
    assert as_options("(axes=mes) per_step=True; x=3") == "(--axes mes) --per-step; x=3"
    assert as_options('label="" where') == "--label '' where"
    assert as_options('ignore=["a[m]", "b"] leaves them out') == "--ignore 'a[m],b' leaves them out"


def test_advice_of_lists_that_do_not_end_is_searched_once():
    text = "id=[" * 100_000
    start = time.process_time()
    assert as_options(text).startswith("--id ")
    assert time.process_time() - start < 5  # each to the end would take minutes


def test_a_format_of_times_is_kept_with_the_model(tmp_path):
    """Days first, 3 of 4 of which could be months: what is learned is the order of the steps."""
    steps = [("03/01/2024", 1.0), ("01/02/2024", 2.0), ("02/03/2024", 3.0)]
    lines = [
        [f"p{i}", when, value if i % 2 else -value, "up" if i % 2 else "down"]
        for i in range(20)
        for when, value in (steps if i % 3 else steps[::-1])
    ]
    write(tmp_path / "visits.csv", ["patient", "date", "value", "label"], lines)
    why = refused("fit", "visits.csv", cwd=tmp_path)
    cure = "; --time-format %d/%m/%Y or --time-format %m/%d/%Y says which"
    assert "visits.csv: date: expected dates with one reading, got '02/03/2024' in line 2, which may be " in why
    assert why.rstrip().endswith(cure)
    assert cure in refused("data", "visits.csv", cwd=tmp_path)
    out, _ = run("data", "visits.csv", "--time-format", "%d/%m/%Y", cwd=tmp_path)
    assert "date is what steps are sorted by" in out
    run("fit", "visits.csv", "--time-format", "%d/%m/%Y", *QUICK, "-o", "model.npz", cwd=tmp_path)
    net = cgru.load(tmp_path / "model.npz")
    assert net.reading["time_format"] == "%d/%m/%Y"
    data = cgru.datasets.read(tmp_path / "visits.csv", **net.reading)
    assert data.train.X[:2, :, 0].tolist() == [[-1, -2, -3], [1, 2, 3]]
    for command in ("predict", "evaluate"):
        _, err = run(command, "model.npz", "visits.csv", cwd=tmp_path)
        assert "--time-format %d/%m/%Y" in err
    err = refused("predict", "model.npz", "visits.csv", "--time-format", "%Y-%m-%d", cwd=tmp_path)
    assert "visits.csv: date: expected times of the form %Y-%m-%d, got '02/03/2024' in line 2" in err
    names = ["--time", "day"]  # another column, whose form is its own
    write(tmp_path / "other.csv", ["patient", "day", "value", "label"], [[p, w[:2], v, c] for p, w, v, c in lines])
    _, err = run("evaluate", "model.npz", "other.csv", *names, cwd=tmp_path)
    assert "time-format" not in err


def test_a_format_of_times_is_advised():
    assert as_options('time_format="%d. %B %Y" reads it') == "--time-format '%d. %B %Y' reads it"


def weighed(shuffle=False, cows=range(24)):
    """(cow, week, farm, milk, kind) with irregular weeks; each cow comes twice, years apart."""
    own, found = np.random.default_rng(4), []
    for cow in cows:
        for week in (*np.cumsum(own.integers(1, 4, 6)), *(500 + np.cumsum(own.integers(1, 4, 6)))):
            found.append([f"c{cow}", week, 7 * cow, round(20 + cow % 2 * 5 + own.normal(), 1), "ab"[cow % 2]])
    order = own.permutation(len(found)) if shuffle else range(len(found))
    return [found[i] for i in order]


def test_times_gaps_and_differences_are_kept_with_the_model(tmp_path):
    header = ["cow", "Woche", "farm", "milk", "kind"]
    write(tmp_path / "train.csv", header, weighed())
    write(tmp_path / "moved.csv", header[::-1], [row[::-1] for row in weighed(shuffle=True)])
    write(tmp_path / "one.csv", header[:4], [row[:4] for row in weighed(shuffle=True) if row[0] == "c3"])
    said = run("data", "train.csv", "--id", "cow", "--label", "kind", cwd=tmp_path)[0].splitlines()
    assert "note: Woche rises within each sequence and is what steps are sorted by (--time Woche)" in said
    assert (
        said[-1]
        == "note: farm does not change within any sequence, as codes and properties do: --ignore farm leaves it out"
    )
    assert any(line.endswith("--split-at 31.5 makes sequences of what lies further apart") for line in said)
    fit = ("fit", "train.csv", "--id", "cow", "--label", "kind", "--ignore", "farm", "--split-at", "31", "--time-step")
    run(*fit, *QUICK, "-o", "m.npz", cwd=tmp_path)
    net = cgru.load(tmp_path / "m.npz")
    assert net.feature_names == ("milk", "time_step")
    assert net.reading | {"time": "Woche", "split_at": "31", "time_step": True} == net.reading
    outs = [run("evaluate", "m.npz", name, cwd=tmp_path) for name in ("train.csv", "moved.csv")]
    assert outs[0][0].partition(":")[2] == outs[1][0].partition(":")[2]
    taken = "note: read as the model's own data were, --id cow, --time Woche, --split-at 31, --time-step, --label kind"
    assert taken in outs[1][1].splitlines()
    assert not any("farm" in line for line in outs[1][1].splitlines())
    assert run("predict", "m.npz", "one.csv", cwd=tmp_path)[0].split() == ["c3/1", "b", "c3/2", "b"]
    assert refused(*fit[:-2], "3d", cwd=tmp_path).endswith("a number, since Woche has numbers, got '3d'\n")


def test_what_training_alone_can_do_is_not_advised_elsewhere(tmp_path):
    header = ["farm", "cow", "week", "milk", "kind"]
    lines = [[row[0][-1], row[0], *row[1:2], *row[3:]] for row in weighed()]
    write(tmp_path / "train.csv", header, lines)
    two = ("--id", "farm,cow", "--time", "week", "--label", "kind")
    assert (
        "note: is farm a group, whose sequences are alike? --groups farm"
        in run("data", "train.csv", *two, cwd=tmp_path)[0]
    )
    run("fit", "train.csv", *two, *QUICK, "-o", "m.npz", cwd=tmp_path)
    assert "group" not in run("evaluate", "m.npz", "train.csv", cwd=tmp_path)[1]
    content = "@dimensions 1\n@classLabel true a b\n@data\n1,2,3:a\n4,5,6:b\n"
    for name in ("X_TRAIN.ts", "X_TEST.ts"):
        (tmp_path / name).write_text(content)
    run("fit", "X_TRAIN.ts", *QUICK, "-o", "x.npz", cwd=tmp_path)
    assert "beside" not in run("evaluate", "x.npz", "X_TRAIN.ts", cwd=tmp_path)[1]


def test_one_series_hears_of_forecasts(tmp_path):
    header = ["Year", "Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"]
    write(tmp_path / "air.csv", header, [[1949 + i, *range(12 * i, 12 * i + 12)] for i in range(5)])
    write(tmp_path / "eu.csv", ["date", "DAX"], [[f"2024-01-{i:02}", i] for i in range(1, 29)])
    for command, name in (("fit", "air.csv"), ("data", "air.csv"), ("fit", "eu.csv"), ("data", "eu.csv")):
        assert "one series alone is what `cgru forecast` takes" in refused(command, name, cwd=tmp_path)


def test_names_with_commas_and_dashes_are_quoted_in_what_is_advised(tmp_path):
    rows = [[f"c{i}", week, f"{week % 3}", "ab"[i % 2]] for i in range(6) for week in (3, 1, 2, 5, 4)]
    write(tmp_path / "a.csv", ["cow", "-week", "milk, kg", "breed, old"], rows)
    error = run("data", "a.csv", "--id", "cow", cwd=tmp_path, code=2)[1]
    assert "--time=-week sorts by it" in error
    option = shlex.split(error.partition("rows stand: ")[2].partition(" sorts by it")[0])
    error = run("data", "a.csv", "--id", "cow", *option, cwd=tmp_path, code=2)[1]
    label = shlex.split(error.partition("; ")[2].partition(" learns it")[0])
    asked = ("a.csv", "--id", "cow", *option, *label)
    assert "features: milk, kg" in run("data", *asked, cwd=tmp_path)[0]
    run("fit", *asked, *QUICK, "-o", "m.npz", cwd=tmp_path)
    said = run("info", "m.npz", cwd=tmp_path)[0]
    assert """--id cow, --time=-week, --label '"breed, old"'""" in said
    assert "read as the model's own data were" in run("predict", "m.npz", "a.csv", cwd=tmp_path)[1]


# --- standard input ---


@pytest.mark.parametrize("kind", ["csv", "gz", "npz", "ts", "parquet"])
def test_standard_input_is_read_as_the_file_is(folder, tmp_path, kind, monkeypatch):
    path = tmp_path / f"data.{kind}"
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
    due, _ = run("data", path, cwd=tmp_path)
    pipe(path, monkeypatch)
    got, _ = run("data", "-", cwd=tmp_path)
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


def test_standard_input_to_train_and_to_test_on(folder, tmp_path, monkeypatch):
    due, said = run("fit", folder / "train.csv", "--test", folder / "test.csv", *QUICK, cwd=tmp_path)
    for data, test in (("-", folder / "test.csv"), (folder / "train.csv", "-")):
        pipe(folder / ("train.csv" if data == "-" else "test.csv"), monkeypatch)
        got, also_said = run("fit", data, "--test", test, *QUICK, cwd=tmp_path)
        assert got.splitlines()[0] == due.splitlines()[0]
        assert also_said == said.replace(str(folder / "train.csv"), "standard input" if data == "-" else str(data))
    error = refused("fit", "-", "--test", "-", cwd=tmp_path)
    assert error == "cgru: error: argument --test: expected a file, as DATA is standard input already, got -\n"


def test_an_error_names_standard_input(folder, tmp_path, monkeypatch):
    (tmp_path / "bad.csv").write_text("id,x,y\n1,2,3\n1,no,4\n")
    pipe(tmp_path / "bad.csv", monkeypatch)
    assert refused("data", "-", cwd=tmp_path).startswith(
        "cgru: error: standard input: x: expected numbers, got 'no' in"
    )
    assert list(tmp_path.iterdir()) == [tmp_path / "bad.csv"]
