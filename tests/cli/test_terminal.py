"""What the command prints: names from a file steer no terminal."""

import re
from pathlib import Path

import numpy as np
from cli_cases import run

import cgru
from cgru.cli import terminal


def test_controls_are_printed_as_escapes(capsys):
    terminal.echo("a\x1b[31m\x9b2J\rb\0", "\ud800\x7f", 3, sep="|")
    terminal.echo("tab\tline\né 中 \U0001f600", end="")
    assert capsys.readouterr().out == "a\\x1b[31m\\x9b2J\\rb\\x00|\\ud800\\x7f|3\ntab\tline\né 中 \U0001f600"


def test_the_command_prints_in_no_other_way():
    """But for a shell's script, which is no text from a file."""
    sources = [path for path in Path(terminal.__file__).parent.glob("*.py") if path.name != "terminal.py"]
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
