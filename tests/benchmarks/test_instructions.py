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


def test_the_start_drops_out(instructions):
    totals = {11: 1000 + 3 * 50, 12: 1000 + 6 * 50, 21: 5000, 22: 5007}
    report = "11\t1\t3\tstep\n12\t2\t3\tstep\n21\t1\t2\tstep, int8\n22\t2\t2\tstep, int8\n"
    assert instructions.counts(report, totals.__getitem__) == {"step": 50, "step, int8": 4}
    assert instructions.total("events: Ir\nfn=f\n1 7\nsummary: 1234\n") == 1234
    assert instructions.compiler_in(b"GCC: (GNU) 13.2.1\0Debian clang version 19.1.7\0") == "Clang 19.1"


def test_what_is_beyond_five_percent_is_a_change_in_either_direction(instructions):
    figures = {"a": 1000, "b": 1000, "c": 1000, "d": 1000}
    found = {"a": 1050, "b": 1051, "c": 949, "d": 950, "e": 7}
    assert instructions.changes(found, figures) == [
        "b: 1,051 instructions, +5.1% of the 1,000 so far",
        "c: 949 instructions, -5.1% of the 1,000 so far",
        "e: 7 instructions, and no figure to compare with",
    ]
    assert [line.split() for line in instructions.lines({"a": 1050, "long": 7}, figures)] == [
        ["a", "1,050", "1,000", "+5.0%"],
        ["long", "7"],
    ]


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


def test_what_has_no_figures_is_not_counted(instructions, tmp_path, counted, monkeypatch, capsys):
    file = tmp_path / "figures.json"
    file.write_text('{"GCC 9.9, Python 3.4, NumPy 5.6": {"step": 1}}')
    counted()
    assert instructions.main(["--figures", str(file)]) == 0
    assert "no figures for GCC 1.2, Python 3.4, NumPy 5.6" in capsys.readouterr().out
    monkeypatch.undo()
    monkeypatch.setattr(instructions.shutil, "which", lambda name: None)
    assert instructions.main([]) == 0


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


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no forks here")
def test_a_fork_that_fails_is_told(run):
    done = run("-c", "from benchmarks.instructions import in_a_child; in_a_child(lambda: 1 / 0)")
    assert "ZeroDivisionError" in done.stderr
    assert done.stderr.splitlines()[-1].startswith("RuntimeError: process ")
