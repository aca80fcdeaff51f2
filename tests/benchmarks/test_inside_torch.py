"""The comparison inside PyTorch: its options, its pairs, and what it says."""

import json

import pytest

HEADS = "|  | shapes | inference, float32 | inference, float64 | training, float32 | training, float64 |"


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (["nowhere"], "unrecognized arguments: nowhere"),
        (["--seconds", "0"], "--seconds: expected a positive number, got 0.0"),
        (["--seconds", "nan"], "--seconds: expected a positive number, got nan"),
        (["--random", "-1"], "--random: expected no negative number, got -1"),
        (["--readme", "nowhere.md"], "nowhere.md"),
        (["--readme", "benchmarks/stream.py"], "expected <!-- inside torch --> and then <!-- /inside torch -->"),
    ],
)
def test_bad_options(refused, arguments, complaint):
    assert complaint in refused("inside_torch", *arguments)


@pytest.mark.nightly
def test_a_short_run(run, folder):
    """All kinds of pairs, of small shapes, each checked for equal results."""
    pytest.importorskip("torch", reason="no torch")
    readme = folder / "README.md"
    readme.write_text("# before\n<!-- inside torch -->\nold\n<!-- /inside torch -->\n# after\n")
    program = """
import sys
from benchmarks import inside_torch, shapes
from benchmarks.shapes import Shape
shapes.GRID[:] = [Shape(2, 5, 3, 4), Shape(1, 1, 3, 4), Shape(3, 5, 3, 4, ragged=True)]
inside_torch.MIDDLE[:] = [Shape(2, 5, 3, 4)]
shapes.drawn = lambda n, seed: [Shape(2, 3, seed, 4)] * n
inside_torch.rows_from = lambda function, *given: function(*given)
sys.exit(inside_torch.main(sys.argv[1:]))
"""
    options = ["--seconds", "0.001", "--random", "1", "--seed", "7", "--json", "inside.json", "--readme", "README.md"]
    done = run("-c", program, *options)
    assert done.returncode == 0, done.stderr
    about, *rows = json.loads((folder / "inside.json").read_text())["rows"]
    assert about["seed"] == 7
    groups = list(dict.fromkeys(row["group"] for row in rows))
    assert groups == [
        "the grid", "one step", "packed", "random shapes", "two layers", "three layers", "both directions",
        "two layers, both directions", "a cell",
    ]  # fmt: skip
    assert {row["shape"] for row in rows if row["group"] == "random shapes"} == {"2, 3, 7, 4"}
    for row in rows:
        assert row["ms"].keys() == {"cgru.torch", "torch.nn", *(["padded"] if row["group"] == "packed" else [])}
        assert row["ratio"].keys() == {"torch.nn"}
        assert 0.01 < row["ratio"]["torch.nn"] / (row["ms"]["torch.nn"] / row["ms"]["cgru.torch"]) < 100
        assert (row["over padded"] is None) == (row["group"] != "packed")
    section = readme.read_text()
    assert section.startswith("# before\n<!-- inside torch -->\nMeasured on one core of")
    assert HEADS in section
    assert "A packed batch took" in section
    assert section.endswith("<!-- /inside torch -->\n# after\n")


def test_what_is_said(module):
    inside = module("inside_torch")
    rows = [
        {"part": "pair", "group": group, "shape": "1, 2, 3, 4", "work": work, "dtype": dtype, "ms": {},
         "ratio": {"torch.nn": ratio}, "over padded": over}
        for group, work, dtype, ratio, over in (
            ("the grid", "inference", "float32", 2.0, None),
            ("the grid", "inference", "float32", 0.5, None),
            ("packed", "training", "float64", 4.0, 1.25),
            ("packed", "training", "float64", 9.0, 0.5),
        )
    ]  # fmt: skip
    assert inside.table(rows)[2:] == [
        "| the grid | 1 | 1.00; **0.50** |  |  |  |",
        "| packed | 1 |  |  |  | 6.00; 4.00 |",
    ]
    assert inside.padded(rows) == "A packed batch took 1.25 times as long as the padded one at the most."
    assert inside.padded(rows[:2]) == ""
    assert inside.line(rows[0] | {"ms": {"cgru.torch": 0.12345}}) == (
        "the grid: 1, 2, 3, 4, float32, inference: 2.00 (ms: cgru.torch 0.123)"
    )


def test_another_result_is_an_error(module):
    torch = pytest.importorskip("torch", reason="no torch")
    inside = module("inside_torch")
    a, zero = torch.ones(3), torch.zeros(3)
    inside.compare([(a, a), (zero, zero)], "float32")
    with pytest.raises(RuntimeError, match=r"differ by 1\.0e-03 of 1\.0e\+00 in float32"):
        inside.compare([(a + 0.001, a)], "float32")
    with pytest.raises(RuntimeError, match="differ by nan"):
        inside.compare([(a * torch.nan, a)], "float64")
