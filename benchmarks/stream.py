"""One step of a stream, state carried: `python -m benchmarks.stream`.

Our step from C and from Python, the same step in Eigen with its sizes known to the compiler, and a call of ONNX Runtime
take turns in one process, on one core, in float32; each is first checked for equal work.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Iterator
from statistics import median, quantiles

import numpy as np

from benchmarks import grid, machine, readme, report
from benchmarks.cases import Case
from benchmarks.processes import rows_from
from benchmarks.rivals.base import Rival
from benchmarks.rivals.eigen import Eigen, built
from benchmarks.rivals.steps import FromC, FromPython, Steps
from benchmarks.shapes import Shape
from benchmarks.timing import ratios, round_robin

SIZES = ((8, 16), (16, 32), (32, 64), (32, 128), (64, 256))  # e and u of each layer
ONNX = "ONNX Runtime, run"
SECTION = "stream"  # the name of the section in docs/speed.md
FRAMES, TURNS = 20, 100  # a batch: so many frames that differ, so many times; few enough to stay in cache


def contenders() -> tuple[list[type[Rival]], dict[str, str]]:
    """Those that can run here, and why the others cannot."""
    found, missing = [FromC, FromPython], {}
    try:
        found.append(built(SIZES))
    except RuntimeError as error:
        missing[Eigen.name] = str(error)
    try:
        from benchmarks.rivals.onnxruntime import OnnxRuntime, Run

        found += [OnnxRuntime, Run]
    except ImportError as error:
        missing["ONNX Runtime"] = str(error)
    return found, missing


def rows(seconds: float) -> Iterator[dict]:
    """What is measured, and on what; then a row for each size, `seconds` for each."""
    found, missing = contenders()
    yield {
        "part": "about",
        **machine.here(),
        "versions": list(dict.fromkeys(rival.version for rival in found)),
        "names": [rival.name for rival in found],
        "missing": missing,
    }
    for e, u in SIZES:
        yield row(e, u, found, seconds)


def row(e: int, u: int, found: list[type[Rival]], seconds: float) -> dict:
    """Medians and quartiles in ns a step, ratios to our step from C, and what `Stream` adds to it.

    Raises:
        RuntimeError: our own step fails, or is not the layer's.
    """
    ready, left_out = grid.ready(Case(Shape(1, 1, e, u), "float32"), "step", found)
    for ours in (FromC.name, FromPython.name):
        if ours not in ready:
            raise RuntimeError(f"{ours} at ({e}, {u}): {left_out[ours]}")
    frames = np.random.default_rng(2).standard_normal((FRAMES, e), np.float32)
    times = round_robin({name: batch(rival, frames) for name, rival in ready.items()}, seconds)
    ns = {name: [1e6 * ms / (FRAMES * TURNS) for ms in each] for name, each in times.items()}
    return {
        "part": "stream",
        "size": [e, u],
        "ns": {name: median(each) for name, each in ns.items()},
        "quartiles": {name: quantiles(each, n=4)[::2] for name, each in ns.items()},
        "ratio": ratios(times, FromC.name),
        "more": median(b - a for a, b in zip(ns[FromC.name], ns[FromPython.name], strict=True)),
        "left_out": left_out,
    }


def batch(rival: Rival, frames: np.ndarray) -> Callable[[], object]:
    """A call that makes a batch of steps; ONNX Runtime steps on with the case's own frame."""
    if isinstance(rival, Steps):
        return rival.through(frames, TURNS)

    def run() -> None:
        for _ in range(FRAMES * TURNS):
            rival.step()

    return run


# --- what is said of it ---


def about(row: dict) -> list[str]:
    """What was measured, on what, and what is missing."""
    lines = [
        f"One step, float32, one core of {row['machine']}, {row['instructions']}, {row['date']}, commit"
        f" {row['commit'] or 'unknown'}: {', '.join(row['versions'])}. Times are medians in ns."
    ]
    if Eigen.name in row["names"]:
        lines.append(
            "The compiler knows the sizes of Eigen's step and may inline it; cgru's step is called through a pointer."
        )
    if ONNX in row["names"]:
        lines.append(
            "ONNX Runtime's inputs and outputs are bound once; its `run` takes the frame and the state and returns the"
            " new state."
        )
    return lines + [f"Left out: {name} ({why})." for name, why in row["missing"].items()]


def table(rows: list[dict]) -> list[str]:
    """The sizes, the times, and what the others take beside our step from C."""
    names = report.part(rows, "about")[0]["names"]
    heads = ["e, u", *names, f"{Eigen.name} / cgru from C", f"{ONNX} / cgru from C", "Stream minus C"]
    return report.table(heads, (line(row, names) for row in report.part(rows, "stream")))


def line(row: dict, names: list[str]) -> list[str]:
    times = [f"{row['ns'][name]:.{1 if row['ns'][name] < 100 else 0}f}" if name in row["ns"] else "" for name in names]
    beside = [ratio(row["ratio"].get(name)) for name in (Eigen.name, ONNX)]
    return [", ".join(map(str, row["size"])), *times, *beside, f"{row['more']:.0f}"]


def ratio(value: float | None) -> str:
    """How many times as long as ours, in bold where it is quicker."""
    if value is None:
        return ""
    return f"{value:.2f}" if value >= 1 else f"**{value:.2f}**"


# --- the command ---


def options(arguments: list[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.stream",
        description="Time one step of a stream: ours from C and from Python, Eigen's, a call of ONNX Runtime.",
    )
    return readme.options(parser, arguments, SECTION, "a size", 5.0)


def main(arguments: list[str] | None = None) -> int:
    given = options(arguments)
    found = []
    try:
        for each in rows_from(rows, given.seconds):
            found.append(each)
            if each["part"] == "about":
                print(*about(each), "", *table(found), sep="\n", flush=True)
            else:
                print(table([found[0], each])[-1], flush=True)
    except RuntimeError as error:
        print(error, file=sys.stderr)
        return 1
    for each in report.part(found, "stream"):
        for name, why in each["left_out"].items():
            print(f"left out at {tuple(each['size'])}: {name} ({why})")
    readme.write(given, found, [*about(found[0]), "", *table(found)], SECTION)
    return int(bool(found[0]["missing"]) or any(each["left_out"] for each in report.part(found, "stream")))


if __name__ == "__main__":
    sys.exit(main())
