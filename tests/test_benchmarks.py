"""The benchmark runs, compares equal work only, and says what it measured."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

SOURCE = Path(__file__).resolve().parent.parent / "benchmarks"

pytestmark = pytest.mark.skipif(not SOURCE.is_dir(), reason="benchmarks/ does not lie beside the tests")


@pytest.fixture
def run(tmp_path):
    """Run Python where benchmarks/ can be imported and no cgru/ hides the installed package."""
    shutil.copytree(SOURCE, tmp_path / "benchmarks", ignore=shutil.ignore_patterns("__pycache__"))

    def call(*arguments):
        return subprocess.run([sys.executable, *arguments], cwd=tmp_path, capture_output=True, text=True, timeout=300)

    return call


def test_table_and_json(run, tmp_path):
    done = run("-m", "benchmarks", "--quick", "--shape", "3,5,2,4", "--json", "out.json")
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert sum(line.startswith("| 3, 5, 2, 4 | ") for line in lines) == 4  # inference and training, in two dtypes
    assert {"## float64", "## float32"} <= set(lines)
    assert "one thread" in lines[0]
    columns = {line.count("|") for line in lines if line.startswith(("| 3, 5", "| m, s, e, u"))}
    assert len(columns) == 1

    report = json.loads((tmp_path / "out.json").read_text())
    assert "cgru" in report["versions"]
    for row in report["rows"]:
        assert row["work"] in ("inference", "training")
        assert row["ratio"]["cgru"] == 1
        assert len(row["ms"]) >= 2  # a rival at least
        assert all(0 < time < 1000 for times in row["times"].values() for time in times)


def test_says_what_stands_in_for_epynn(run):
    done = run("-m", "benchmarks", "--quick", "--shape", "1,2,1,1")
    if "EpyNN, ms" in done.stdout:
        assert "EpyNN is not installed" not in done.stdout
    else:
        assert "EpyNN is not installed" in done.stdout
        assert "cgru.reference, ms" in done.stdout


@pytest.mark.parametrize("shape", ["3,5,2", "3,5,2,0", "a,b,c,d"])
def test_bad_shape(run, shape):
    done = run("-m", "benchmarks", "--shape", shape)
    assert done.returncode == 2
    assert "four positive integers" in done.stderr


@pytest.mark.parametrize("method", ["predict", "train"])
def test_unequal_work_is_not_timed(run, method):
    done = run(
        "-c",
        "from benchmarks.rivals import Reference, check\n"
        "check(Reference, (3, 5, 2, 4), 'float64')\n"
        "class Wrong(Reference):\n"
        "    name = 'wrong'\n"
        f"    def {method}(self):\n"
        f"        return super().{method}() * 1.001\n"
        "check(Wrong, (3, 5, 2, 4), 'float64')\n",
    )
    assert f"RuntimeError: wrong and cgru differ by 1.0e-03 in {method}" in done.stderr


def test_a_missing_update_is_noticed(run):
    done = run(
        "-c",
        "from benchmarks.rivals import Reference, check\n"
        "class Lazy(Reference):\n"
        "    def train(self):\n"
        "        kept = {name: value.copy() for name, value in self.p.items()}\n"
        "        dX = super().train()\n"
        "        self.p = kept\n"
        "        return dX\n"
        "check(Lazy, (3, 5, 2, 4), 'float64')\n",
    )
    assert "differ by" in done.stderr
    assert "in predict" in done.stderr
