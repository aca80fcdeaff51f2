"""The command: times cgru and its rivals, prints Markdown tables, writes JSON, a picture and the README's section."""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

from benchmarks import grid, growth, machine, memory, picture, readme, report, shapes
from benchmarks.processes import rows_from
from benchmarks.rivals import MODULES

FOLDER = Path(__file__).parent
PARTS = ("grid", "growth", "memory")
FULL, QUICK = 3.0, 0.15  # seconds for a cell


def shape(text: str) -> shapes.Shape:
    try:
        return shapes.parse(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None


def rival(text: str) -> str:
    found = [name for name in MODULES if name.replace(" ", "").lower() == text.replace(" ", "").lower()]
    if not found:
        raise argparse.ArgumentTypeError(f"expected one of {', '.join(MODULES)}, got {text!r}")
    return found[0]


def count(text: str) -> int:
    if not text.isdecimal() or not int(text):
        raise argparse.ArgumentTypeError(f"expected a positive integer, got {text!r}")
    return int(text)


def options(arguments: list[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks",
        description="Time cgru and its rivals: the grid of shapes, growth with size, peak memory of a training step.",
        epilog="A run without --quick, --shape, --rival or a part measures all (half an hour) and writes results.json "
        "and results.png beside the benchmark.",
    )
    add = parser.add_argument
    for name, text in zip(
        PARTS, ("the grid of shapes", "time against s, m and u", "memory of a training step"), strict=True
    ):
        add(f"--{name}", dest="parts", action="append_const", const=name, help=f"only this part: {text}")
    add(
        "--quick", action="store_true", help="a few shapes for a short time, one thread, the grid alone: under a minute"
    )
    add(
        "--threads",
        type=count,
        action="append",
        metavar="N",
        help="so many threads; can be repeated (default: 1, then 2)",
    )
    add("--shape", type=shape, action="append", metavar="m,s,e,u[,ragged]", help="this shape; can be repeated")
    add(
        "--rival",
        type=rival,
        action="append",
        metavar="NAME",
        help=f"this rival, of {', '.join(MODULES)}; can be repeated",
    )
    add("--seconds", type=float, metavar="T", help=f"seconds for a cell (default: {FULL:g}, quick: {QUICK:g})")
    add("--json", type=Path, metavar="FILE", help="write every number there")
    add("--plot", type=Path, metavar="FILE", help="draw speed over work there")
    add(
        "--from", dest="source", type=Path, metavar="FILE", help="measure nothing, take the numbers of this --json file"
    )
    add("--readme", type=Path, metavar="FILE", help=f"rewrite the section {' ... '.join(readme.markers())}")
    given = parser.parse_args(arguments)
    given.numbers = given.source or given.json or FOLDER / "results.json"
    try:  # before half an hour is spent on it
        if given.source:
            given.source = json.loads(given.source.read_text())["rows"]
        if given.readme:
            readme.parts(given.readme)
    except (OSError, ValueError, KeyError) as error:
        parser.error(f"{error}")
    if not (given.quick or given.parts or given.shape or given.rival or given.source):
        given.json = given.json or FOLDER / "results.json"
        given.plot = given.plot or FOLDER / "results.png"
    if given.plot and not find_spec("matplotlib"):
        parser.error("the picture needs matplotlib: pip install matplotlib")
    given.parts = given.parts or (("grid",) if given.quick or given.shape else PARTS)
    given.threads = given.threads or ([1] if given.quick else [1, 2])
    given.seconds = given.seconds or (QUICK if given.quick else FULL)
    return given


def measure(given: argparse.Namespace) -> Iterator[dict]:
    """The rows of all parts, as they come."""
    names = tuple(given.rival or ())
    if "grid" in given.parts:
        chosen = given.shape or (shapes.QUICK if given.quick else shapes.GRID)
        for threads in given.threads:
            if threads > cores():
                print(f"\nleft out: {threads} threads, this process may use {cores()} cores")
                continue
            yield from rows_from(grid.rows, chosen, names, given.seconds, threads=threads)
    else:
        yield from rows_from(machine.about, names)
    if "growth" in given.parts:
        yield from rows_from(growth.rows, names, given.seconds / 6)
    if "memory" in given.parts:
        chosen = given.shape or ([shapes.QUICK[1]] if given.quick else shapes.MEMORY)
        for one in (each for each in chosen if "training" in each.works):
            for dtype in grid.DTYPES:
                for name in ("cgru", *(names or MODULES)):
                    yield from rows_from(memory.rows, name, one, dtype)


def cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def summary(rows: list[dict]) -> None:
    """What can be said only when all is measured."""
    tables = {
        "geometric means of the rivals' times over ours": report.means(rows),
        **{f"one thread over {n}": report.scaling(rows, n) for n in (2, 4, 8) if report.cells(rows, n)},
        "time against size, float32, one thread: exponents": report.growth(rows),
        "rise of the resident memory in three training steps, MiB": report.memory(rows),
    }
    for title, text in tables.items():
        if text:
            print(f"\n## {title}\n", *text, sep="\n")


def main(arguments: list[str] | None = None) -> int:
    given = options(arguments)
    rows, whole = [], True
    say = report.Printer()
    try:
        for row in given.source or measure(given):
            rows.append(row)
            say(row)
    except (KeyboardInterrupt, RuntimeError) as error:
        whole = False
        print(f"\n{type(error).__name__} {error}; what was measured until now:")
    summary(rows)
    if given.json:
        given.json.write_text(json.dumps({"rows": rows}, indent=1))
    if given.plot:
        picture.draw(rows, given.plot)
    if given.readme:
        readme.rewrite(given.readme, readme.section(rows, drawn(given)))
    return int(not whole or any(row.get("left_out") for row in rows))


def drawn(given: argparse.Namespace) -> str | None:
    """The picture as the README names it: the one just drawn, else the one beside the numbers, if it is there."""
    file = given.plot or given.numbers.with_suffix(".png")
    return Path(os.path.relpath(file.resolve(), given.readme.resolve().parent)).as_posix() if file.exists() else None


if __name__ == "__main__":
    sys.exit(main())
