"""Counts of instructions: their arithmetic, by which versions figures are kept, and what is said; without valgrind."""

import json
import os
import sys

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


VALGRIND = f"""#!{sys.executable}
import re, subprocess, sys

out = next(each for each in sys.argv if each.startswith("--cachegrind-out-file="))
done = subprocess.run(sys.argv[sys.argv.index(sys.executable) :], stdout=subprocess.PIPE, text=True)
print(done.stdout, end="")
for line in done.stdout.splitlines():
    process, times, n, _ = line.split("\\t")
    with open(out.partition("=")[2].replace("%p", process), "w") as file:
        print(f"events: Ir\\nsummary: {{1000 + 7 * int(times) * int(n)}}", file=file)
sys.exit(done.returncode)
"""


@pytest.mark.slow
@pytest.mark.skipif(not hasattr(os, "fork"), reason="no forks here")
def test_each_call_is_counted_in_forks_of_two_processes(instructions, tmp_path, monkeypatch, capfd):
    """By a valgrind that says that each call takes 7 instructions, whatever it does."""
    fake = tmp_path / "valgrind"
    fake.write_text(VALGRIND)
    fake.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=os.pathsep)
    monkeypatch.setattr(instructions, "LEVEL", "scalar")
    monkeypatch.setitem(instructions.HERE, "CGRU_SIMD", "scalar")
    assert instructions.missing() == ""
    assert instructions.count(["step", "fit", "job of many fits"]) == {"step": 7, "fit": 7, "job of many fits": 7}
    with pytest.raises(RuntimeError, match="a process under valgrind failed"):
        instructions.count(["leap"])
    assert "got 'leap'" in capfd.readouterr().err
    monkeypatch.setitem(instructions.HERE, "CGRU_SIMD", "no level")
    assert instructions.missing() == "cgru does not run at the level scalar"
