"""The comparisons of long batches and of few samples on two threads: what they write into a page."""

import pytest


@pytest.mark.slow
def test_a_short_run(run, folder):
    readme = folder / "README.md"
    readme.write_text("# before\n<!-- long batches -->\nold\n<!-- /long batches -->\n# after\n")
    few = ("--shape", "4,20,3,5", "--growing", "30", "--rounds", "2")
    done = run("-m", "benchmarks.long_batches", *few, "--readme", "README.md")
    assert done.returncode == 0, done.stderr
    before, about, _, heads, _, row, _, growing_heads, _, growing, *after = readme.read_text().splitlines()[1:]
    assert (before, after) == ("<!-- long batches -->", ["<!-- /long batches -->", "# after"])
    assert about.startswith("Measured on one core of ")
    names = ["m, s, e, u", "predict", "forward", "backward", "gradients", "each"]
    assert heads == f"| {' | '.join([*names, 'normal', 'normal, MiB', 'low', 'low, MiB'])} |"
    assert row.startswith("| 4, 20, 3, 5 | ")
    assert growing_heads == "| m, s, e, u | normal | low |"
    assert growing.startswith("| 4, 30, 4, 32 | ")
    assert growing.count(" us a step") == 2


def test_two_threads_that_are_slower_are_in_bold(module):
    rows = [
        {"part": "few samples", "shape": "1, 2", "work": "stream", "ms": 1.234, "ratio": r, "reading": 2, "beside": 1}
        for r in (0.5, 1.5)
    ]
    table = module("few_samples").table(rows)
    assert table[2:] == [
        "| 1, 2 | stream | 1.23 | **0.50** | 2.00 | 1.00 |",
        "| 1, 2 | stream | 1.23 | 1.50 | 2.00 | 1.00 |",
    ]
