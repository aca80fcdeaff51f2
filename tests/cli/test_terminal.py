"""What the command prints: names from a file steer no output."""

import re
from pathlib import Path

import numpy as np
import pytest
from cli_cases import run

import cgru
from cgru.cli import output


def test_controls_are_printed_as_escapes(capsys):
    output.echo("a\x1b[31m\x9b2J\rb\0", "\ud800\x7f", 3, sep="|")
    output.echo("tab\tline\né 中 \U0001f600", end="")
    assert capsys.readouterr().out == "a\\x1b[31m\\x9b2J\\rb\\x00|\\ud800\\x7f|3\ntab\tline\né 中 \U0001f600"


@pytest.mark.parametrize("control", [0x202E, 0x2066, 0x200F, 0x061C, 0x2028, 0xFEFF, 0xE0041, 0x1B, 0x85])
def test_no_control_reaches_the_terminal(capsys, control):
    output.echo(f"a{chr(control)}b")
    output.write_predictions(None, output.Predictions(None, np.array([f"c{chr(control)}\td\n"]), ids=np.array(["a"])))
    escaped = chr(control).encode("unicode_escape").decode()
    assert capsys.readouterr().out == f"a{escaped}b\na\tc{escaped}\\td\\n\n"


CELLS = ["=1+1", "+cmd", "-2+3", "@SUM(A1)", "\t=1", "\r=1", "'quoted", "''", "\uff1d1", "-inf", "-"]
PLAIN = ["-1", "+1.5e-3", "-.5", "1=1", "a'b", "", 3, -2.5]


def test_cells_of_a_spreadsheet():
    assert [output.spreadsheet_safe(cell) for cell in CELLS] == [f"'{cell}" for cell in CELLS]
    assert [output.spreadsheet_safe(cell) for cell in PLAIN] == PLAIN


def test_no_name_is_a_formula_in_predictions(tmp_path):
    net = cgru.Network([cgru.GRU(2), cgru.Dense(2, "softmax")], class_names=["=1+1", "-1"], seed=0)
    net.make(np.zeros((1, 2, 1)))
    net.save(tmp_path / "model.npz")
    (tmp_path / "new.csv").write_text("id,time,x\n@a,0,1\n@a,1,2\n\u202eb,0,1\n\u202eb,1,2\n", encoding="utf-8")
    run("predict", "model.npz", "new.csv", "-o", "p.csv", cwd=tmp_path)
    header, *rows = (tmp_path / "p.csv").read_text(encoding="utf-8").splitlines()
    assert header == "id,class,'=1+1,-1"
    assert [row.split(",")[0] for row in rows] == ["'@a", "\u202eb"]
    assert {row.split(",")[1] for row in rows} <= {"'=1+1", "-1"}


def test_the_command_prints_in_no_other_way():
    """But for a shell's script, which is no text from a file."""
    sources = [path for path in Path(output.__file__).parent.glob("*.py") if path.name != "output.py"]
    found = [text for path in sources for text in re.findall(r"(?<!\w)print\(.*", path.read_text(encoding="utf-8"))]
    assert found == ["print(shtab.complete(parser(), request.shell))"]


def test_names_in_a_model(tmp_path):
    layers = [cgru.GRU(2), cgru.Dense(2, "softmax")]
    net = cgru.Network(layers, class_names=["a\ud800", "b\x1b[31m"], feature_names=["x\x07"], seed=0)
    net.predict(np.zeros((1, 2, 1)))
    net.save(tmp_path / "model.npz")
    out, _ = run("info", "model.npz", cwd=tmp_path)
    assert "a\\ud800, b\\x1b[31m" in out
    assert "x\\x07" in out
    np.savez(tmp_path / "data.npz", x=np.zeros((3, 2, 1)))
    out, _ = run("predict", "model.npz", "data.npz", cwd=tmp_path)
    assert set(out.split()) <= {"a\\ud800", "b\\x1b[31m"}
