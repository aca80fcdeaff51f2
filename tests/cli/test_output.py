"""The files that the command writes, and what may be written over."""

import csv
import os
import sys

import numpy as np
import pytest
from cli_cases import posix

from cgru.cli.arguments import RequestError
from cgru.cli.output import (
    STDOUT,
    Predictions,
    check_output,
    check_page,
    check_plot,
    require,
    save_figure,
    table_writer,
    write_predictions,
)

OUTPUTS = np.arange(6.0).reshape(3, 2) / 4
NAMES = ("no", "yes")


def test_what_is_in_use_is_not_written_over(tmp_path):
    data, other = tmp_path / "data.npz", tmp_path / "other.npz"
    data.write_bytes(b"data")
    check_output(str(other), str(data), None)
    check_output(str(data))
    for path in (data, tmp_path / "." / "data.npz"):
        with pytest.raises(RequestError, match="this would overwrite what the command reads or writes elsewhere"):
            check_output(str(path), None, str(data))


@posix
def test_a_link_to_what_is_in_use(tmp_path):
    data, link = tmp_path / "data.npz", tmp_path / "link.npz"
    data.write_bytes(b"data")
    link.symlink_to("data.npz")
    for path, used in ((link, data), (data, link)):
        with pytest.raises(RequestError, match=f"^{path}: this would overwrite"):
            check_output(str(path), str(used))


def test_what_could_not_be_written_in_the_end(tmp_path):
    with pytest.raises(FileNotFoundError, match="does not exist"):
        check_output(str(tmp_path / "no" / "model"))
    with pytest.raises(OSError, match="too long"):
        check_output(str(tmp_path / ("n" * 300)))
    with pytest.raises(RequestError, match="path: expected the name of a file"):
        check_output("")


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
        (
            np.array(["no", "ü", "yes"]),
            NAMES,
            [["class", "no", "yes"], ["no", "0.0", "0.25"], ["ü", "0.5", "0.75"], ["yes", "1.0", "1.25"]],
        ),
        (
            np.array([0, 1, 1]),
            ("a", "b", "c"),
            [["class", "output_0", "output_1"], ["0", "0.0", "0.25"], ["1", "0.5", "0.75"], ["1", "1.0", "1.25"]],
        ),
    ],
)
def test_csv(tmp_path, classes, names, due):
    write_predictions(str(tmp_path / "out.csv"), Predictions(OUTPUTS, classes, names))
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
        check_plot(str(tmp_path / "curve.png"))


def test_where_no_curve_can_be_drawn(tmp_path):
    pytest.importorskip("matplotlib")
    with pytest.raises(RequestError, match=r"^argument --plot: .*png"):
        check_plot(str(tmp_path / "curve.txt"))
    with pytest.raises(FileNotFoundError):
        check_plot(str(tmp_path / "no" / "curve.png"))
    with pytest.raises(RequestError, match="overwrite"):
        check_plot(str(tmp_path / "data.png"), None, str(tmp_path / "data.png"))
    check_plot(str(tmp_path / "CURVE.PNG"))
    assert os.listdir(tmp_path) == []


# --- pages ---


def test_packages_are_looked_for_before_the_work(monkeypatch, tmp_path):
    monkeypatch.setitem(sys.modules, "sklearn", None)
    require("--report")
    with pytest.raises(RequestError, match=r"^argument --report: scikit-learn is not installed; pip install scikit-le"):
        require("--report", "scikit-learn")
    with pytest.raises(RequestError, match=r"^argument --html: scikit-learn is not installed"):
        check_page(str(tmp_path / "page.html"))
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    with pytest.raises(RequestError, match=r"^argument --html: matplotlib is not installed"):
        check_page(str(tmp_path / "page.html"))


def test_pages_go_where_they_can(tmp_path):
    pytest.importorskip("sklearn", reason="no scikit-learn")
    with pytest.raises(RequestError, match=r"^argument --html: .*html"):
        check_page(str(tmp_path / "page"))
    with pytest.raises(RequestError, match="overwrite"):
        check_page(str(tmp_path / "page.htm"), None, str(tmp_path / "page.htm"))
    check_page(str(tmp_path / "PAGE.HTML"))
    assert os.listdir(tmp_path) == []


def test_a_table_that_a_terminal_shows(capsys, monkeypatch):
    monkeypatch.setattr("sys.stdout.isatty", lambda: True)
    with table_writer(STDOUT) as write:
        write(["=1", "b\x1b[31m", -1.5])
    assert capsys.readouterr().out == "'=1,b\\x1b[31m,-1.5\n"
