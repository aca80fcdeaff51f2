"""The command: times cgru and its rivals, prints Markdown tables, writes JSON, a picture and reports."""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path

from benchmarks import picture, plan, readme, report, shapes
from benchmarks.progress import Progress
from benchmarks.rivals import MODULES

PARTS = {
    "grid": "the grid of shapes",
    "updates": "whole updates, as a fit makes them",
    "growth": "time against s, m and u",
    "memory": "memory of a training step",
}
FULL, QUICK = 3.0, 0.15  # seconds for a cell
SHAPES = 30  # drawn at random, where all is measured


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


def duration(text: str) -> float:
    try:
        seconds = float(text)
    except ValueError:
        seconds = 0.0
    if not 0 < seconds < float("inf"):
        raise argparse.ArgumentTypeError(f"expected a positive number, got {text!r}")
    return seconds


def options(arguments: list[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks",
        description="Time cgru and its rivals: a grid of shapes, shapes drawn at random, whole updates, growth with"
        " size, peak memory of a training step.",
        epilog="Without --quick, --shape or a part all is measured, and it says beforehand how long that will take."
        " No file is written that is not named.",
    )
    add = parser.add_argument
    for name, text in PARTS.items():
        add(f"--{name}", dest="parts", action="append_const", const=name, help=f"only this part: {text}")
    add("--random", type=count, metavar="N", help=f"only this part: N shapes drawn at random (in all: {SHAPES})")
    add("--seed", type=int, action="append", metavar="S", help="of the random shapes; can be repeated (default: 1)")
    add("--quick", action="store_true", help="a few shapes for a short time, one thread, the grid alone")
    add("--threads", type=count, action="append", metavar="N", help="of the grid; can be repeated (default: 1, then 2)")
    add("--shape", type=shape, action="append", metavar="m,s,e,u[,ragged]", help="this shape; can be repeated")
    rivals = f"this rival, of {', '.join(MODULES)}; can be repeated"
    add("--rival", type=rival, action="append", metavar="NAME", help=rivals)
    add("--seconds", type=duration, metavar="T", help=f"seconds for a cell (default: {FULL:g}, quick: {QUICK:g})")
    add("--json", type=Path, metavar="FILE", help="write every number there")
    add("--plot", type=Path, metavar="FILE", help="draw speed over work there")
    source = "measure nothing, take the numbers of this --json file; can be repeated"
    add("--from", dest="source", type=Path, action="append", metavar="FILE", help=source)
    add("--report", type=Path, metavar="FILE", help="write all tables there, as Markdown")
    add("--readme", type=Path, metavar="FILE", help=f"rewrite, in this page, {' ... '.join(readme.markers())}")
    given = parser.parse_args(arguments)
    try:  # before an hour is spent on it
        given.rows = [row for file in given.source or () for row in json.loads(file.read_text())["rows"]]
        if given.readme:
            readme.parts(given.readme)
    except (OSError, ValueError, KeyError) as error:
        parser.error(f"{error}")
    if given.plot and not find_spec("matplotlib"):
        parser.error("the picture needs matplotlib: pip install matplotlib")
    parts = [*(given.parts or ()), *(["random"] if given.random else [])]
    given.parts = parts or (["grid"] if given.quick or given.shape else [*PARTS, "random"])
    return given


def planned(given: argparse.Namespace) -> list[plan.Job]:
    """What these options ask to be measured."""
    threads = given.threads or ([1] if given.quick else [1, 2])
    for n in threads:
        if n > plan.cores():
            print(f"left out: {n} threads, this process may use {plan.cores()} cores", file=sys.stderr)
    return plan.jobs(
        given.parts,
        tuple(given.rival or ()),
        given.seconds or (QUICK if given.quick else FULL),
        threads=threads,
        chosen=given.shape,
        quick=given.quick,
        random=given.random or SHAPES,
        seeds=given.seed or [1],
    )


def measure(jobs: list[plan.Job], take: Callable[[dict], None]) -> None:
    """Hand over the rows of all jobs as they come, and show how far it is."""
    print(plan.told(jobs), file=sys.stderr, flush=True)
    progress, before = Progress(sum(job.rows for job in jobs)), 0
    try:
        for job in jobs:
            here = 0
            for row in job():
                with progress.aside():
                    take(row)
                here += row["part"] != "about"
                progress.to(before + here)
            before += job.rows  # a library that is not there has no row of memory
            progress.to(before)
    finally:
        progress.close()


def summary(rows: list[dict]) -> None:
    """What can be said only when all is measured."""
    tables = {
        "by region: geometric mean of the best rivals' times over ours, and the worst cell": report.regions(rows),
        "geometric means of the rivals' times over ours": report.means(rows),
        "random shapes": report.random(rows),
        "whole updates: best rival over ours, and ours over the layers alone": report.update_groups(rows),
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

    def take(row: dict) -> None:
        rows.append(row)
        say(row)

    try:
        if given.source:
            for row in given.rows:
                take(row)
        else:
            measure(planned(given), take)
    except (KeyboardInterrupt, RuntimeError) as error:
        whole = False
        print(f"\n{type(error).__name__} {error}; what was measured until now:")
    summary(rows)
    if given.json:
        given.json.write_text(json.dumps({"rows": rows}, indent=1))
    if given.plot and report.part(rows, "grid"):
        picture.draw(rows, given.plot)
    elif given.plot:
        print("\nno picture: it is one of the grid, of which nothing was measured")
    if given.report:
        given.report.write_text(readme.details(rows, drawn(given, given.report)), encoding="utf-8")
    if given.readme:
        readme.rewrite(given.readme, readme.section(rows, drawn(given, given.readme)))
    return int(not whole or any(row.get("left_out") for row in rows))


def drawn(given: argparse.Namespace, beside: Path) -> str | None:
    """The picture as a file names it: the one just drawn, else the one beside the numbers, if it is there."""
    for file in (given.plot, *(numbers.with_suffix(".png") for numbers in given.source or ())):
        if file and file.exists():
            return Path(os.path.relpath(file.resolve(), beside.resolve().parent)).as_posix()
    return None


if __name__ == "__main__":
    sys.exit(main())
