"""The chart of the first page: three questions, five libraries: `python -m benchmarks.overview --picture FILE`.

All run on one core in float32. The rivals' times are without start and compilation. The thousand fits of cgru are one
call of `cgru.fit_many`, with all that it costs.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator
from functools import partial
from math import log
from pathlib import Path
from statistics import median

import cgru
from benchmarks import grid, machine, report
from benchmarks.cases import Case
from benchmarks.processes import rows_from
from benchmarks.rivals import contenders
from benchmarks.shapes import Shape
from benchmarks.timing import round_robin
from benchmarks.updates import race
from benchmarks.updates.kinds import Job, Kind

LIBRARIES = ("cgru", "Keras", "JAX", "PyTorch", "ONNX Runtime")
SMALL, TINY, STEP = Kind(16, 64, 24, 40, 6), Kind(50, 150, 3, 5, 2, every=True), Shape(1, 1, 16, 32)
FITS, EPOCHS = 1000, 20
SECONDS, QUICK = 5.0, 0.1  # for a question


def rows(seconds: float, fits: int) -> Iterator[dict]:
    """What is measured on; then the milliseconds of each library for each question."""
    yield machine.here()
    ms = race.cell(SMALL, "float32", race.trainers(), seconds)["ms"]
    yield {"question": f"Train a small GRU ({SMALL.u} units): one update", "ms": ms}
    yield {"question": f"One step at a time ({STEP.u} units): a call from Python", "ms": step(seconds)}
    ms = race.cell(TINY, "float32", race.trainers(), seconds)["ms"]
    ms = {name: FITS * EPOCHS * each for name, each in ms.items()} | {"cgru": FITS / fits * many(seconds, fits)}
    yield {"question": f"A thousand tiny fits ({TINY.u} units): {EPOCHS} updates each", "ms": ms}


def step(seconds: float) -> dict[str, float]:
    """Milliseconds of a step, the state carried on."""
    case = Case(STEP, "float32")
    found, _ = grid.ready(case, "step", contenders(LIBRARIES[1:])[0])
    calls = {name: rival.step for name, rival in found.items()}
    calls["cgru"] = partial(cgru.Stream(found["cgru"].layer).step, case.X[0])
    return {name: median(each) for name, each in round_robin(calls, seconds).items()}


def many(seconds: float, fits: int) -> float:
    """Milliseconds of so many tiny fits."""
    job = Job(TINY, "float32", batches=1)

    def network(seed: int) -> cgru.Network:
        layers = [cgru.GRU(TINY.u, sequences=True), cgru.Dense(TINY.k, "softmax")]
        return cgru.Network(layers, optimizer=cgru.Adam(), seed=seed, dtype="float32")

    def fit() -> None:
        jobs = [cgru.Job(partial(network, seed), batch_size=TINY.m, epochs=EPOCHS) for seed in range(fits)]
        for result in cgru.fit_many(jobs, job.X, job.y, threads=1, keep=False):
            if result.error is not None:
                raise RuntimeError(f"cgru.fit_many: {result.error!r}")

    return median(round_robin({"cgru": fit}, seconds, rounds=3)["cgru"])


def times(row: dict) -> dict[str, float]:
    """The milliseconds of each library's fastest way, of those that have one."""
    found = {name: [ms for way, ms in row["ms"].items() if way.split(",")[0] == name] for name in LIBRARIES}
    return {name: min(each) for name, each in found.items() if each}


def duration(ms: float) -> str:
    scale, unit = next(each for each in ((1e3, "s"), (1, "ms"), (1e-3, "µs"), (1e-6, "ns")) if ms >= each[0])
    return f"{ms / scale:.3g} {unit}"


# --- the picture ---

WIDTH, LEFT, RIGHT, ROW = 560, 112, 100, 16  # of the picture, left and right of the bars, and of a bar with its gap
LOW, HIGH = 0.5, 200  # multiples of our time, from the left end of the bars to the right
OURS, OTHERS = "#00766a", "#93aaa7"
SVG = """\
<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}" height="{height}"
font-family="system-ui, Helvetica, Arial, DejaVu Sans, sans-serif" font-size="13" fill="#222">
<rect width="{width}" height="{height}" rx="8" fill="#f7f9f9"/>
{parts}
</svg>
"""


def at(multiple: float) -> int:
    """Where a multiple of our time is, on a log scale."""
    return round(LEFT + (WIDTH - LEFT - RIGHT) * log(multiple / LOW) / log(HIGH / LOW))


def picture(about: dict, found: list[dict]) -> str:
    """Return an SVG: a group of bars for each question, as multiples of our time."""
    height = ROW * (len(found) * (len(LIBRARIES) + 1.5) + 3)
    parts, y = [], 4
    for tick in (1, 10, 100):
        parts.append(f'<path d="M{at(tick)} 26V{height - 50}" stroke="#d5dddc"/>')
        parts.append(f'<text x="{at(tick)}" y="{height - 36}" text-anchor="middle">{tick}</text>')
    for row in found:
        ms, y = times(row), y + ROW
        parts.append(f'<text x="10" y="{y}" font-weight="bold">{row["question"]}</text>')
        for name in LIBRARIES:
            y += ROW
            multiple = ms[name] / ms["cgru"] if name in ms else LOW
            label = "cannot train" if name not in ms else duration(ms[name])
            if multiple > 1:
                label = f'<tspan font-weight="bold">{multiple:.{int(multiple < 10)}f}</tspan>, {label}'
            colour = OURS if name == "cgru" else OTHERS
            parts.append(f'<text x="{LEFT - 8}" y="{y}" text-anchor="end">{name}</text>')
            parts.append(f'<rect x="{LEFT}" y="{y - 11}" width="{at(multiple) - LEFT}" height="13" fill="{colour}"/>')
            parts.append(f'<text x="{at(multiple) + 6}" y="{y}">{label}</text>')
        y += ROW // 2
    where = f"One core of {about['machine'].partition(',')[0]}, {about['instructions']}, float32"
    where = f"{where}, {about['date']}, commit {about['commit'] or 'unknown'}"
    parts.append(f'<text x="{at(1)}" y="{height - 22}">times as long as cgru (log scale), and the time itself</text>')
    parts.append(f'<text x="10" y="{height - 7}" font-size="10" fill="#555">{where}</text>')
    return SVG.format(width=WIDTH, height=f"{height:.0f}", parts="\n".join(parts))


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.overview",
        description="Time cgru, Keras, JAX, PyTorch and ONNX Runtime on three questions; draw the first page's chart.",
    )
    parser.add_argument("--quick", action="store_true", help="half a minute, for a first look")
    parser.add_argument("--picture", type=Path, metavar="FILE", help="write the chart there, as SVG")
    given = parser.parse_args(arguments)
    about, *found = rows_from(rows, *((QUICK, 20) if given.quick else (SECONDS, FITS)))
    lines = [
        [row["question"], *(duration(ms[name]) if name in ms else "" for name in LIBRARIES)]
        for row in found
        for ms in [times(row)]
    ]
    print(*report.table(["question", *LIBRARIES], lines), sep="\n")
    if given.picture:
        given.picture.write_text(picture(about, found), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
