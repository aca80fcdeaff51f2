"""The files that the command writes, and what may be written over."""

import csv
import os
import sys

import numpy as np
import pytest
from cli_cases import posix

from cgru.cli import output
from cgru.cli.arguments import RequestError
from cgru.cli.output import STDOUT, Predictions, require, save_figure, table_writer, write_predictions

OUTPUTS = np.arange(6.0).reshape(3, 2) / 4
NAMES = ("no", "yes")


@pytest.mark.parametrize(
    ("check", "path", "error", "word"),
    [
        (output.check_output, "data.png", RequestError, "overwrite"),
        (output.check_output, "./data.png", RequestError, "overwrite"),
        pytest.param(output.check_output, "link.png", RequestError, "overwrite", marks=posix),
        (output.check_output, "no/model", FileNotFoundError, "does not exist"),
        (output.check_output, "n" * 300, OSError, "too long"),
        (output.check_plot, "curve.txt", RequestError, "--plot: .*png"),
        (output.check_plot, "no/curve.png", FileNotFoundError, "exist"),
        (output.check_plot, "data.png", RequestError, "overwrite"),
        (output.check_page, "page", RequestError, "--html: .*html"),
        (output.check_page, "data.png", RequestError, "overwrite"),
        (output.check_predictions, "out.txt", RequestError, "-o: .*csv"),
        (output.check_predictions, "no/out.csv", FileNotFoundError, "does not exist"),
    ],
)
def test_where_nothing_can_be_written(tmp_path, check, path, error, word):
    for package in ("matplotlib", "sklearn"):
        pytest.importorskip(package)
    (tmp_path / "data.png").write_bytes(b"data")
    if path == "link.png":
        (tmp_path / path).symlink_to("data.png")
    with pytest.raises(error, match=word):
        check(str(tmp_path / path), None, str(tmp_path / "data.png"))


def test_where_all_can_be_written(tmp_path):
    for package in ("matplotlib", "sklearn"):
        pytest.importorskip(package)
    (tmp_path / "data").write_bytes(b"data")
    for name, path in (("plot", "C.PNG"), ("page", "PAGE.HTML"), ("output", "m"), ("output", "data")):
        check = getattr(output, f"check_{name}")
        check(str(tmp_path / path), None, str(tmp_path / "other"))
    assert os.listdir(tmp_path) == ["data"]
    with pytest.raises(RequestError, match="path: expected the name of a file"):
        output.check_output("")


# --- predictions ---


def lines(path):
    with open(path, newline="", encoding="utf-8") as file:
        return list(csv.reader(file))


def test_npz(tmp_path):
    path = tmp_path / "out.npz"
    write_predictions(str(path), Predictions(OUTPUTS, None, NAMES))
    with np.load(path) as written:
        assert written.files == ["outputs"]
        np.testing.assert_array_equal(written["outputs"], OUTPUTS)
    write_predictions(str(path), Predictions(OUTPUTS, np.array([1, 0, 1]), NAMES))
    with np.load(path) as written:
        assert written["classes"].tolist() == ["1", "0", "1"]


@pytest.mark.parametrize(
    ("classes", "names", "due"),
    [
        (None, (), [["output_0", "output_1"], ["0.0", "0.25"], ["0.5", "0.75"], ["1.0", "1.25"]]),
        (None, NAMES, [[*NAMES], ["0.0", "0.25"], ["0.5", "0.75"], ["1.0", "1.25"]]),
        (["no", "ü", "yes"], NAMES,
         [["class", "no", "yes"], ["no", "0.0", "0.25"], ["ü", "0.5", "0.75"], ["yes", "1.0", "1.25"]]),
        ([0, 1, 1], ("a", "b", "c"),
         [["class", "output_0", "output_1"], ["0", "0.0", "0.25"], ["1", "0.5", "0.75"], ["1", "1.0", "1.25"]]),
    ],
)  # fmt: skip
def test_csv(tmp_path, classes, names, due):
    write_predictions(
        str(tmp_path / "out.csv"), Predictions(OUTPUTS, None if classes is None else np.array(classes), names)
    )
    assert lines(tmp_path / "out.csv") == due


@pytest.mark.parametrize("named", [False, True])
def test_csv_of_steps(tmp_path, named):
    real = np.array([[True, False], [True, True]])
    outputs, classes = np.arange(4.0).reshape(2, 2, 1), np.array([["a", ""], ["b", "c"]])
    write_predictions(str(tmp_path / "out.csv"), Predictions(outputs, classes if named else None, ("step",), real))
    due = [
        ["sequence", "step", *(["class"] if named else []), "predicted_step"],
        *(
            [*place, *([name] if named else []), value]
            for place, name, value in zip(
                (["0", "0"], ["1", "0"], ["1", "1"]), "abc", ("0.0", "2.0", "3.0"), strict=True
            )
        ),
    ]
    assert lines(tmp_path / "out.csv") == due


def test_steps_of_a_table(tmp_path, capsys):
    real = np.array([[True, False], [True, True]])
    ids, times = np.array(["a", "b"]), ("step", np.array([[7, 0], [8, 9]]))
    found = Predictions(np.arange(4.0).reshape(2, 2, 1), None, ("y",), real, ids, times)
    write_predictions(str(tmp_path / "out.csv"), found)
    due = [["id", "step", "y"], ["a", "7", "0.0"], ["b", "8", "2.0"], ["b", "9", "3.0"]]
    assert lines(tmp_path / "out.csv") == due
    write_predictions(None, found)
    assert capsys.readouterr().out == "a\t7\t0.0\nb\t8\t2.0\nb\t9\t3.0\n"


# --- pictures ---


def test_a_figure_has_its_title(tmp_path):
    figure = pytest.importorskip("matplotlib.figure").Figure()
    save_figure(str(tmp_path / "curve.PNG"), figure, "a $title$")
    assert (tmp_path / "curve.PNG").read_bytes().startswith(b"\x89PNG")
    assert figure.get_suptitle() == "a $title$"
    assert not figure._suptitle.get_parse_math()


def test_without_matplotlib(monkeypatch, tmp_path):
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    with pytest.raises(RequestError, match=r"^argument --plot: matplotlib is not installed; pip install matplotlib$"):
        output.check_plot(str(tmp_path / "curve.png"))


# --- pages ---


def test_packages_are_looked_for_before_the_work(monkeypatch, tmp_path):
    monkeypatch.setitem(sys.modules, "sklearn", None)
    require("--report")
    with pytest.raises(RequestError, match=r"^argument --report: scikit-learn is not installed; pip install scikit-le"):
        require("--report", "scikit-learn")
    with pytest.raises(RequestError, match=r"^argument --html: scikit-learn is not installed"):
        output.check_page(str(tmp_path / "page.html"))
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    with pytest.raises(RequestError, match=r"^argument --html: matplotlib is not installed"):
        output.check_page(str(tmp_path / "page.html"))


def test_a_table_that_a_terminal_shows(capsys, monkeypatch):
    monkeypatch.setattr("sys.stdout.isatty", lambda: True)
    with table_writer(STDOUT) as write:
        write(["=1", "b\x1b[31m", -1.5])
    assert capsys.readouterr().out == "'=1,b\\x1b[31m,-1.5\n"
