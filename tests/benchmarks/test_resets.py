"""The comparison of ways to train over episodes that end inside a batch: its options, its ways, and what it says."""

import json

import pytest


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (["--steps", "3"], "unrecognized arguments: --steps 3"),
        (["--seconds", "0"], "--seconds: expected a positive number, got 0.0"),
        (["--readme", "benchmarks/stream.py"], "expected <!-- resets --> and then <!-- /resets -->"),
    ],
)
def test_bad_options(refused, arguments, complaint):
    assert complaint in refused("resets", *arguments)


@pytest.mark.nightly
def test_a_short_run(run, folder):
    """All ways, of a small shape, each checked for equal results."""
    pytest.importorskip("torch", reason="no torch")
    readme = folder / "README.md"
    readme.write_text("# before\n<!-- resets -->\nold\n<!-- /resets -->\n# after\n")
    program = """
import sys
from benchmarks import resets
from benchmarks.shapes import Shape
resets.SHAPE, resets.EPISODE, resets.COSTS = Shape(3, 9, 4, 5), 3, (Shape(2, 5, 3, 4),)
resets.rows_from = lambda function, *given, threads: function(*given)
sys.exit(resets.main(sys.argv[1:]))
"""
    done = run("-c", program, "--seconds", "0.001", "--cost", "--json", "resets.json", "--readme", "README.md")
    assert done.returncode == 0, done.stderr
    about, *rows = json.loads((folder / "resets.json").read_text())["rows"]
    assert 3 <= about["parts"] <= 27
    assert [row["part"] for row in rows] == ["resets"] * 2 + ["cost"] * 2 + ["resets"] * 2
    assert set(rows[0]["ms"]) == {
        "nn.GRU, split and padded", "nn.GRU, split and packed", "nn.GRUCell", "cgru.torch.GRU", "cgru.GRU",
    }  # fmt: skip
    assert rows[2]["ratio"]["cgru.torch.GRU"].keys() == {"resets", "decay"}
    section = readme.read_text()
    assert section.startswith("# before\n<!-- resets -->\nMeasured on one core and two of")
    assert "| 2, 5, 3, 4, float64 |" in section
    assert section.endswith("<!-- /resets -->\n# after\n")


def test_parts(module):
    """Of two environments of four steps, of which one begins anew at its second and one at its last."""
    torch = pytest.importorskip("torch", reason="no torch")
    begins = torch.zeros(4, 2, dtype=torch.bool)
    begins[1, 0] = begins[3, 1] = True
    part, place, lengths = module("resets").parts(begins)
    assert part.tolist() == [0, 1, 1, 1, 2, 2, 2, 3]
    assert place.tolist() == [0, 0, 1, 2, 0, 1, 2, 0]
    assert lengths.tolist() == [1, 3, 3, 1]


def test_what_is_said(module):
    resets = module("resets")
    rows = [
        {"part": "resets", "threads": threads, "dtype": "float32", "ms": {"nn.GRUCell": 12.0, resets.OURS: 4.0},
         "ratio": {"nn.GRUCell": ratio}}
        for threads, ratio in ((2, 3.5), (1, 2.9))
    ]  # fmt: skip
    assert resets.table(rows) == [
        "| ms; times as long | one thread, float32 | 2 threads, float32 |",
        "| --- | --- | --- |",
        "| nn.GRUCell | 12; **2.90** | 12; 3.50 |",
        "| cgru.torch.GRU | 4 | 4 |",
    ]
    cost = {"part": "cost", "shape": "1, 2, 3, 4", "dtype": "float32", "ratio": {"a": {"resets": 1.07, "decay": 1.15}}}
    assert resets.cost_table([cost])[::2] == [
        "| m, s, e, u | a: resets, decay |",
        "| 1, 2, 3, 4, float32 | **1.07**, 1.15 |",
    ]
    assert resets.cost_table(rows) == []
