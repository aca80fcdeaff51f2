"""Counts of instructions, without valgrind: which change fails, and that every version has figures for every call."""

import json

import pytest


@pytest.fixture(scope="module")
def instructions(module):
    return module("instructions")


@pytest.fixture
def counted(instructions, monkeypatch):
    """Let valgrind be there, and have counted what the test says."""

    def give(**found):
        monkeypatch.setattr(instructions, "missing", lambda: "")
        monkeypatch.setattr(instructions, "key", lambda: "GCC 1.2, Python 3.4, NumPy 5.6")
        monkeypatch.setattr(instructions, "count", lambda names: {name: found[name] for name in names})

    return give


def test_a_change_fails_until_it_is_accepted(instructions, tmp_path, counted, capsys):
    file = tmp_path / "figures.json"
    file.write_text(json.dumps({"other": {"step": 1}, "GCC 1.2, Python 3.4, NumPy 5.6": {"step": 100, "fit": 9}}))
    counted(step=105)
    assert instructions.main(["step", "--figures", str(file)]) == 0
    counted(step=106)
    assert instructions.main(["step", "--figures", str(file)]) == 1
    assert "step: 106 instructions, +6.0% of the 100 so far" in (said := capsys.readouterr().out)
    assert "python -m benchmarks.instructions --accept" in said
    assert instructions.main(["step", "--figures", str(file), "--accept"]) == 0
    assert json.loads(file.read_text()) == {
        "other": {"step": 1},
        "GCC 1.2, Python 3.4, NumPy 5.6": {"step": 106, "fit": 9},
    }


def test_every_version_has_figures_for_every_call(instructions):
    for name, figures in instructions.read(instructions.FIGURES).items():
        assert list(figures) == list(instructions.cases()), name


def test_every_call_runs(instructions):
    for n, prepare in instructions.cases().values():
        prepare()(1)
        assert n > 0
