"""What single tools of benchmarks/ measure."""

import re
import sys
from pathlib import Path

import numpy as np
import pytest

import cgru


def test_kernels(module, monkeypatch, capsys):
    kernels = module("kernels")
    due = {"a": np.array([1.0, -4.0]), "b": np.array([0.01])}
    assert kernels.error(due, due) == 0
    assert kernels.error({"a": np.array([1.0, -4.2]), "b": due["b"]}, due) == pytest.approx(0.05)
    assert kernels.error({"a": due["a"], "b": np.array([np.nan])}, due) == np.inf
    assert kernels.error(due, {"a": due["a"]}) == np.inf

    def kernel(got):
        ready = (lambda: {"x": np.array([got])}), (lambda: {"x": np.array([1.0])})
        return kernels.Kernel(("put",), lambda shape, dtype: ready, ((1, 1, 1, 1),), (1, 1, 1, 1), dtypes=("float64",))

    monkeypatch.setattr(kernels, "KERNELS", {"right": kernel(1.0), "wrong": kernel(1.1)})
    monkeypatch.setattr(kernels, "SECONDS", 1e-4)
    assert [kernels.main(["test", "right"]), kernels.main(["test"]), kernels.main(["perf", "right"])] == [0, 1, 0]
    right, _, wrong, head, _, row = capsys.readouterr().out.splitlines()
    assert ("more than 1" in right, "more than 1 at " in wrong) == (False, True)
    assert row.count("|") == head.count("|")


@pytest.mark.nightly
def test_this_build_compared_with_itself(module):
    builds, shape = module("builds"), module("shapes").Shape
    found = list(builds.compared(Path(cgru.__file__).parents[1], [shape(2, 3, 4, 5)], 0.01))
    assert len(found) == 4
    assert all(new > 0 and again > 0 for _, new, again in found)


@pytest.mark.slow
def test_two_runs_have_the_same_bits_and_a_changed_one_fails(module, folder, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(folder)
    bits, chosen = module("bits"), ["--level", "scalar", "--only", "fit option"]
    assert bits.main(chosen) == 0
    (tmp_path / "old.txt").write_text(listing := capsys.readouterr().out)
    assert bits.main([*chosen, "--against", str(tmp_path / "old.txt")]) == 0
    (tmp_path / "old.txt").write_text(listing[:-2] + "\n")
    assert bits.main([*chosen, "--against", str(tmp_path / "old.txt")]) == 1
    assert "1 differ" in capsys.readouterr().out


@pytest.mark.skipif(sys.platform != "linux", reason="processes are limited as on Linux")
@pytest.mark.parametrize(
    "only", [pytest.param("model", marks=pytest.mark.slow), pytest.param("", marks=pytest.mark.nightly)]
)
def test_no_file_costs_more_than_it_may(run, only):
    done = run("-m", "benchmarks.opening", "--kilobytes", "20" if only else "1000", "--only", only)
    assert done.returncode == 0, done.stdout
    assert "TOO MUCH" not in done.stdout
    assert len(done.stdout.splitlines()) > (4 if only else 25), done.stdout
    assert not re.search(r"\| (killed|MemoryError) \|", re.sub(r".*(Parquet|ONNX).*", "", done.stdout))
