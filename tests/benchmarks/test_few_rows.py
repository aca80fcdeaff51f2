"""The comparison of wide layers on few rows: its options, its pairs, and what it says."""

import json

import pytest

HEADS = "| units | anew, float32 | anew, float64 | added, float32 | added, float64 | layer, float32 | layer, float64 |"


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (["--units", "many"], "argument --units: invalid int value: 'many'"),
        (["--units", "64", "0"], "--units: expected positive numbers, got 0"),
        (["--seconds", "0"], "--seconds: expected a positive number, got 0.0"),
        (["--readme", "benchmarks/stream.py"], "expected <!-- few rows --> and then <!-- /few rows -->"),
    ],
)
def test_bad_options(refused, arguments, complaint):
    assert complaint in refused("few_rows", *arguments)


@pytest.mark.nightly
def test_a_short_run(run, folder):
    """All ways of a pair, checked for equal results."""
    pytest.importorskip("torch", reason="no torch")
    readme = folder / "README.md"
    readme.write_text("# before\n<!-- few rows -->\nold\n<!-- /few rows -->\n# after\n")
    program = """
import sys
from benchmarks import few_rows
few_rows.ROWS, few_rows.STEPS = (2,), (1, 3)
few_rows.rows_from = lambda function, *given: function(*given)
sys.exit(few_rows.main(sys.argv[1:]))
"""
    done = run("-c", program, "--seconds", "0.001", "--units", "5", "--json", "few.json", "--readme", "README.md")
    assert done.returncode == 0, done.stderr
    _, *rows = json.loads((folder / "few.json").read_text())["rows"]
    assert [(row["shape"], row["dtype"]) for row in rows] == [
        ([5, 2, s], dtype) for s in (1, 3) for dtype in ("float32", "float64")
    ]
    for row in rows:
        assert row["ratio"].keys() == row["ms"].keys() == {"anew", "added", "layer"}
    section = readme.read_text()
    assert HEADS in section
    assert section.endswith("<!-- /few rows -->\n# after\n")


def test_what_is_said(module):
    """The geometric mean over rows and steps, and the worst of them, in bold where PyTorch is faster."""
    rows = [
        {
            "part": "few rows",
            "shape": [1024, m, 1],
            "dtype": dtype,
            "ratio": {"anew": anew, "added": 4.0, "layer": 2.0},
        }
        for dtype in ("float32", "float64")
        for m, anew in ((1, 0.5), (4, 8.0))
    ]
    cells = ["2.00; **0.50**", "2.00; **0.50**", "4.00; 4.00", "4.00; 4.00", "2.00; 2.00", "2.00; 2.00"]
    assert module("few_rows").table(rows)[::2] == [HEADS, f"| 1024 | {' | '.join(cells)} |"]
