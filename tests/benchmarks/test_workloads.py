"""The workloads: each fits the same with its rivals, and prints its table."""

import re
import shutil
from pathlib import Path

import pytest

EXAMPLE = Path(__file__).resolve().parents[2] / "examples" / "tiny_rnns.py"


@pytest.mark.slow
@pytest.mark.skipif(not EXAMPLE.is_file(), reason="examples/ does not lie beside the tests")
def test_tiny_rnns(run, folder):
    pytest.importorskip("matplotlib", reason="no matplotlib")
    (folder / "examples").mkdir(exist_ok=True)
    shutil.copy(EXAMPLE, folder / "examples")
    done = run("-m", "benchmarks.workloads", "tiny_rnns", "--quick")
    assert done.returncode == 0, done.stderr
    rows = re.findall(r"^\| (\d) \| (.+) \|$", done.stdout, re.MULTILINE)
    assert [units for units, _ in rows] == ["1", "2", "3", "4"]
    assert all(float(cell) > 0 for _, cells in rows for cell in cells.split(" | "))


def test_an_unknown_workload(refused):
    assert "workload" in refused("workloads.__main__", "nothing")
