"""The pages that are written from the rows of a report: a section of a page, and a file of all details."""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterable
from pathlib import Path

from benchmarks import report

METHOD = """\
After this page you know how long cgru and other libraries take for the same work, shape by shape. Measure it yourself,
in a clone:

    pip install -e ".[bench]"
    python -m benchmarks --grid --updates --random 30 --threads 1 --seconds 0.1 --report report.md

`python -m benchmarks --help` has all options. All libraries take turns in one process on one core, each with its best
settings there. Before a library is timed, its results are compared with ours. Times are medians. Ratios are medians of
the ratios within each round. m samples, s steps, e features, u units.

| word | meaning |
| --- | --- |
| inference | `predict` |
| a training step | `forward`, `backward`, `compute_gradients` and `update_parameters`, without pre-activations |
| an update | a batch of shuffled data, the layers, a `Dense` head after the last step or at each step, the loss, all \
gradients, Adam |
| shapes drawn at random | log-uniform in m (1 to 256), s, e and u (1 to 512), never a single step; 0.1 Mflop to 3 \
Gflop in a forward pass, since a shorter call is mostly the cost of the call |

| library | how it runs |
| --- | --- |
| cgru | updates: `Network.fit`, whole epochs |
| JAX | updates: a jitted update with donated state, or a whole epoch in one jitted scan |
| Keras | updates: `fit` on JAX, 32 updates in one compiled call |
| PyTorch | its cell is our `reset_after`; updates: a loop with the fused Adam |
| OpenVINO | float32 throughout (`INFERENCE_PRECISION_HINT` f32) |
| EpyNN | pins an old NumPy, so install it by hand: `pip install termcolor tabulate texttable Pygments matplotlib && \
pip install --no-deps epynn`; without it, our definition in NumPy takes its place in the grid |

After one update from the same parameters all libraries have the same loss and parameters."""


NEXT = """\
## Next

- [How fast it is](../docs/speed.md): one table for each question, and where cgru is slower
- [The defaults compared with other estimators](defaults.md), [forecasts compared with other models](forecasts.md)
- [What to do where it is slow](../docs/troubleshooting.md#it-is-slow)"""


def markers(name: str = "benchmark") -> tuple[str, str]:
    """What stands before a section and after it."""
    return f"<!-- {name} -->", f"<!-- /{name} -->"


def parts(readme: Path, name: str = "benchmark") -> tuple[str, str]:
    """The text up to the section and the text after it, each with its marker.

    Raises:
        ValueError: the markers are not there, once each and in this order.
    """
    start, end = markers(name)
    before, found, rest = readme.read_text(encoding="utf-8").partition(start)
    _, ended, after = rest.partition(end)
    if not found or not ended or start in rest or end in after:
        raise ValueError(f"{readme}: expected {start} and then {end}, once each")
    return before + start, end + after


def rewrite(readme: Path, text: str, name: str = "benchmark") -> None:
    """Put the newest section between the markers; errors are those of `parts`."""
    before, after = parts(readme, name)
    readme.write_text(f"{before}\n{text}\n{after}", encoding="utf-8")


def options(
    parser: argparse.ArgumentParser, arguments: list[str] | None, name: str, each: str, seconds: float
) -> argparse.Namespace:
    """What a comparison with a section of its own is told, checked before minutes are spent on it."""
    add = parser.add_argument
    add("--seconds", type=float, default=seconds, metavar="T", help=f"seconds for {each} (default: {seconds:g})")
    add("--json", type=Path, metavar="FILE", help="write every number there")
    add("--readme", type=Path, metavar="FILE", help=f"rewrite, in this page, {' ... '.join(markers(name))}")
    given = parser.parse_args(arguments)
    if not given.seconds > 0:
        parser.error(f"--seconds: expected a positive number, got {given.seconds}")
    try:
        if given.readme:
            parts(given.readme, vars(given).get("section", name))
    except (OSError, ValueError) as error:
        parser.error(f"{error}")
    return given


def write(given: argparse.Namespace, rows: list[dict], text: Iterable[str], name: str) -> None:
    """Write the files that `options` were given: all rows, and the lines of the section."""
    if given.json:
        given.json.write_text(json.dumps({"rows": rows}, indent=1))
    if given.readme:
        rewrite(given.readme, "\n".join(text), name)


def measured(rows: list[dict]) -> str:
    """On what, and what."""
    about = report.part(rows, "about")[0]
    peak = [f"{gflops:.0f} ({dtype})" for dtype, gflops in about["peak"].items() if gflops]
    return (
        f"Measured on one core of {about['machine']}, {about['instructions']}"
        + (f", FMA peak {' and '.join(peak)} GFLOP/s," if peak else ",")
        + f" {about['date']}, commit {about['commit'] or 'unknown'}: {', '.join(about['versions'])}."
    )


def image(picture: str | None) -> dict[str, list[str]]:
    return {"": [f"![Speed over the work of a call, one line a library]({picture})"]} if picture else {}


def together(tables: dict[str, list[str]]) -> list[str]:
    """Those that have lines, each below its title."""
    return [line for title, text in tables.items() if text for line in ([title, ""] if title else []) + [*text, ""]]


def section(rows: list[dict], picture: str | None) -> str:
    """A page's: a picture, the ratios by region, and those of whole updates."""
    tables = image(picture) | {
        "The best rival's time over cgru's, on one thread, by the work of a forward pass: the geometric mean, then the"
        " worst shape. Bold: cgru is slower.": report.regions(rows),
        "Whole updates, float32, one thread: the same ratio, then the time of an update over that of its compiled"
        f" layers alone (mean and largest). Bold: above {report.OVER}.": report.update_groups(rows),
    }
    return "\n".join([measured(rows), "", *together(tables)])


def details(rows: list[dict], picture: str | None) -> str:
    """Everything, as a file of its own."""
    about = report.part(rows, "about")[0]
    one = report.cells(rows, 1)
    tables = image(picture) | {
        "## By region\n\nThe time of the best rival over ours, on one thread: the geometric mean, and the worst cell."
        " Bold: below 1, where cgru is slower.": report.regions(rows),
        "## Shape by shape, one thread\n\nEach cell has our time in ms; how many times as long the best rival takes,"
        " and its name; our share of the FMA peak.": report.by_shape({key: report.brief(one[key]) for key in one}),
        "Geometric means of the rivals' times over ours:": report.means(rows),
        "## Shapes drawn at random": report.random(rows),
        "## Whole updates, ms, one thread\n\n`ratio` is the time of the best rival over ours. `over layers` is the time"
        " of our update over that of the compiled steps of its layers alone.": report.updates(rows),
        "## Threads\n\nOur time on one thread over that on two:": report.scaling(rows, 2),
        "## Growth\n\nTime by size, float32, one thread, and the exponent of the fitted line:": report.growth(rows),
        "## Memory\n\nRise of the resident memory in three training steps, MiB:": report.memory(rows),
    }
    other = [each["label"] for name, each in about["contenders"].items() if name != each["label"]]
    last = [f"Timed with another cell than ours, the only one that it has: {', '.join(other)}.", ""] if other else []
    parts = ["# How fast it is, in detail", "", METHOD, "", measured(rows), "", *together(tables), *last, NEXT, ""]
    return "\n".join(parts)
