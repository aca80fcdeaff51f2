"""Compare this build with an older one, cell by cell and in turns: `python -m benchmarks.builds OLD`.

OLD is a folder with a built `cgru` in it. Three processes on one core take turns at each cell: this build, the old one,
and the old one once more, which says how far apart the same build is from itself.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from statistics import geometric_mean, median

ROOT = Path(__file__).resolve().parent.parent
DTYPES = ("float32", "float64")
SAMPLE = 2.0  # milliseconds that a process works at a time
ROUNDS = 7  # at the least
MOST = 1.03  # times the old time that no cell may take, unless an old build takes that of the other


class Build:
    """A process that runs the `cgru` of a folder, cell by cell."""

    def __init__(self, folder: Path) -> None:
        command = [sys.executable, "-W", "ignore", __file__, "--inside", str(folder)]
        environment = os.environ | {"BENCHMARK_THREADS": "1"}
        self.process = subprocess.Popen(
            command, env=environment, text=True, stdin=subprocess.PIPE, stdout=subprocess.PIPE
        )

    def ask(self, *question: object) -> float:
        """Put a question to the process and return its answer: ms a call; RuntimeError where it has none."""
        assert self.process.stdin
        assert self.process.stdout
        print(json.dumps(question), file=self.process.stdin, flush=True)
        if not (answer := self.process.stdout.readline()):
            raise RuntimeError(f"the process of a build ended with code {self.process.wait()}")
        return float(answer)

    def close(self) -> None:
        self.process.communicate()


def serve(folder: str) -> None:
    """Answer questions: a cell to prepare, or how many calls of it to time."""
    sys.path[:0] = [folder]
    import cgru

    assert Path(cgru.__file__).is_relative_to(Path(folder).resolve()), f"{folder}: expected a built cgru in it"
    sys.path[0] = str(ROOT)  # the benchmark is this one for both
    from benchmarks.cases import Case
    from benchmarks.rivals.ours import Cgru
    from benchmarks.shapes import Shape
    from benchmarks.timing import sample

    call = None
    for line in sys.stdin:
        question = json.loads(line)
        if len(question) == 3:
            call = Cgru(Case(Shape(*question[0]), question[1])).call(question[2])
            question = [1]
        assert call
        call()  # caches belonged to another process
        print(sample(call, question[0]), flush=True)


def ratios(builds: list[Build], cell: tuple, seconds: float) -> tuple[float, list[float]]:
    """Return the first build's ms at a cell, and every other build's time over it: medians of the rounds."""
    once = max(build.ask(*cell) for build in builds)
    repeats = max(1, round(SAMPLE / once))
    rounds = max(ROUNDS, round(seconds * 1e3 / (len(builds) * repeats * once)))
    times = [[build.ask(repeats) for build in builds] for _ in range(rounds)]
    others = range(1, len(builds))
    return median(first for first, *_ in times), [median(each[i] / each[0] for each in times) for i in others]


def cells(shapes: list) -> list[tuple]:
    """Return shape, dtype and work of every cell."""
    return [(shape, dtype, work) for dtype in DTYPES for shape in shapes for work in shape.works]


def judged(rows: list[tuple[str, float, float]], most: float = MOST) -> tuple[list[str], list[str]]:
    """Return lines on all cells, each (name, new over old, old over old), and on those that became slower."""
    noise = sorted(abs(again - 1) for _, _, again in rows)
    bound = max(most, 1 + noise[int(0.95 * (len(noise) - 1))])
    slower = sorted((row for row in rows if row[1] > bound), key=lambda row: -row[1])
    mean, worst = geometric_mean(new for _, new, _ in rows), max(new for _, new, _ in rows)
    lines = [
        f"{len(rows)} cells, new over old: geometric mean {mean:.3f}, worst {worst:.3f}",
        f"the old build over itself: 95 % within {noise[int(0.95 * (len(noise) - 1))]:.1%}",
        f"slower by more than {bound - 1:.1%}: {len(slower) or 'none'}",
    ]
    return lines, [f"{name}: {new:.3f} of the old time, the old build again {again:.3f}" for name, new, again in slower]


def compared(old: Path, shapes: list, seconds: float) -> Iterator[tuple[str, float, float]]:
    """Yield each cell's name, its time over that of the old build, and the old build's over its own."""
    import cgru

    builds = [Build(old), Build(Path(cgru.__file__).parent.parent), Build(old)]
    try:
        for shape, dtype, work in cells(shapes):
            _, (new, again) = ratios(builds, (shape, dtype, work), seconds)
            yield f"{shape} {dtype} {work}", new, again
    finally:
        for build in builds:
            build.close()


def options(arguments: list[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.builds",
        description="Time this build and an older one in turns, cell by cell; fail where one is slower than before.",
    )
    parser.add_argument("old", type=Path, metavar="OLD", help="the folder of the older build")
    parser.add_argument("--random", type=int, metavar="N", help="N shapes drawn at random instead of the grid")
    parser.add_argument("--seed", type=int, default=1, metavar="S", help="of these (default: %(default)s)")
    parser.add_argument("--seconds", type=float, default=0.5, metavar="T", help="for a cell (default: %(default)s)")
    given = parser.parse_args(arguments)
    if not (given.old / "cgru" / "__init__.py").is_file():
        parser.error(f"OLD: expected a folder with a built cgru in it, got {given.old}")
    return given


def main(arguments: list[str] | None = None) -> int:
    from benchmarks import shapes

    given = options(arguments)
    these = shapes.drawn(given.random, given.seed) if given.random else shapes.GRID
    found = []
    for row in compared(given.old, these, given.seconds):
        found.append(row)
        print("{}: {:.3f} ({:.3f})".format(*row), flush=True)
    lines, slower = judged(found)
    print("", *lines, *slower, sep="\n")
    return int(bool(slower))


if __name__ == "__main__":
    if sys.argv[1:2] == ["--inside"]:
        serve(sys.argv[2])
    else:
        sys.exit(main())
