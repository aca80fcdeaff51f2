"""What a stranger's file costs: the worst that are known stay within their bounds."""

import re
import subprocess
import sys

import pytest

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="processes are limited as on Linux")


def printed(folder, *arguments):
    command = [sys.executable, "-m", "benchmarks.opening", *arguments]
    done = subprocess.run(command, capture_output=True, text=True, cwd=folder)
    return done.returncode, done.stdout


@pytest.mark.parametrize("only", ["model", pytest.param("", marks=pytest.mark.nightly)], ids=lambda only: only or "all")
def test_no_file_costs_more_than_it_may(folder, only):
    status, table = printed(folder, "--kilobytes", "20" if only else "1000", "--only", only)
    assert status == 0, table
    assert "TOO MUCH" not in table
    assert len(table.splitlines()) > (4 if only else 25), table
    assert not re.search(r"\| (killed|MemoryError) \|", re.sub(r".*(Parquet|ONNX).*", "", table))


def test_a_cost_is_judged(module):
    opening = module("opening")
    Case, Cost, is_within = opening.Case, opening.Cost, opening.is_within
    case = Case("data", "", "x", print, 10, 2)
    assert is_within(case, Cost(10**6, 34_000_000, 2.5, "read"))
    assert is_within(case, Cost(10**6, 34_000_000, 2.5, "refused: why"))
    for cost in ((34_000_001, 2.5, "read"), (34_000_000, 2.51, "read"), (0, 0, "killed"), (0, 0, "MemoryError")):
        assert not is_within(case, Cost(10**6, *cost))
    assert is_within(case._replace(memory=float("inf")), Cost(1, 2, 3, "killed"))
