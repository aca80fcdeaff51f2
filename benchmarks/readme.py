"""The README's section, written from the rows of a report."""

from __future__ import annotations

from pathlib import Path

from benchmarks import report


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


def section(rows: list[dict], picture: str | None) -> str:
    """Machine, picture, the cells of one thread, the means, two threads, growth and memory; losses in bold."""
    about = report.part(rows, "about")[0]
    peak = [f"{gflops:.0f} ({dtype})" for dtype, gflops in about["peak"].items() if gflops]
    lines = [
        f"Measured on one core of {about['machine']}"
        + (f", FMA peak {' and '.join(peak)} GFLOP/s," if peak else "")
        + f" {about['date']}, commit {about['commit'] or 'unknown'}: {', '.join(about['versions'])}.",
        "",
    ]
    if picture:
        lines += [f"![Speed over the work of a call, one line a library]({picture})", ""]
    one = report.cells(rows, 1)
    tables = {
        "One thread. In each cell: our time in ms; how many times as long the best rival takes, and which it is (below"
        " 1 we lose, in bold); our share of the FMA peak.": report.by_shape(
            {key: report.brief(one[key]) for key in one}
        ),
        "Geometric means of the rivals' times over ours:": report.means(rows),
        "Our time on one thread over that on two:": report.scaling(rows, 2),
        "Time against size, float32, one thread, and the exponent of the fitted line:": report.growth(rows),
        "Rise of the resident memory in three training steps, MiB:": report.memory(rows),
    }
    for title, text in tables.items():
        if text:
            lines += [title, "", *text, ""]
    other = [each["label"] for name, each in about["contenders"].items() if name != each["label"]]
    if other:
        lines += [f"Not the same cell as ours, and the only one that it has: {', '.join(other)}.", ""]
    return "\n".join(lines)
