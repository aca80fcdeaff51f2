"""What is to be measured, process by process, and about how long it will take."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from importlib.util import find_spec
from typing import NamedTuple

from benchmarks import grid, growth, machine, memory, shapes
from benchmarks.processes import rows_from
from benchmarks.rivals import MODULES
from benchmarks.updates import kinds, race

# Seconds until a rival is compiled and checked at one shape, and a process has loaded all of them.
MAKING = {"EpyNN": 0.1, "PyTorch": 0.1, "JAX": 0.5, "ONNX Runtime": 0.1, "OpenVINO": 0.3, "Keras": 1.0}
LOADING = 8.0
CALLS = 8  # of each library, at the least, where one of them takes longer than its share of a cell's time
SPEED = 5e10  # flop a second that they reach together, roughly
EPOCHS = 12.0  # seconds for the rounds of whole epochs that a kind of update takes at the least


class Job(NamedTuple):
    """What one process measures: its function and arguments, how many rows it yields and the seconds they will take."""

    function: Callable[..., Iterator[dict]]
    arguments: tuple
    rows: int = 0
    seconds: float = LOADING
    threads: int = 1

    def __call__(self) -> Iterator[dict]:
        return rows_from(self.function, *self.arguments, threads=self.threads)


def cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def installed(names: tuple[str, ...]) -> list[str]:
    return [name for name in names or MODULES if find_spec(MODULES[name])]


def jobs(
    parts: tuple[str, ...],
    names: tuple[str, ...],
    seconds: float,
    *,
    threads: list[int],
    chosen: list[shapes.Shape] | None,
    quick: bool,
    random: int,
    seeds: list[int],
) -> list[Job]:
    """The processes of all `parts`; `seconds` is the time for a cell, the others are the options of the command."""
    found = []
    if "grid" in parts:
        these = chosen or (shapes.QUICK if quick else shapes.GRID)
        found += [_cells(these, names, seconds, n) for n in threads if n <= cores()]
    if "random" in parts:  # EpyNN in NumPy would take most of the time
        fast = names or tuple(name for name in MODULES if name != "EpyNN")
        found += [_cells(shapes.drawn(random, seed), fast, seconds, 1, seed) for seed in seeds]
    if "updates" in parts:
        these = kinds.QUICK if quick else kinds.KINDS
        each = max(seconds, EPOCHS) + 2 * sum(MAKING[name] for name in installed(names) if name in race.MODULES)
        found.append(Job(race.rows, (these, names, seconds), len(these), LOADING + len(these) * each))
    if "growth" in parts:
        n = 2 * len(shapes.GROWTH_FROM)
        each = seconds / 6 + sum(MAKING[name] for name in installed(names))
        found.append(Job(growth.rows, (names, seconds / 6), n, LOADING + n * (shapes.DOUBLINGS + 1) * each))
    if "memory" in parts:
        these = [one for one in chosen or shapes.MEMORY if "training" in one.works]
        found += [
            Job(memory.rows, (name, one, dtype), 1, LOADING / 2 + memory.STEPS * 3 * one.flop / SPEED)
            for one in these
            for dtype in grid.DTYPES
            for name in ("cgru", *(names or MODULES))
        ]
    if not {"grid", "random", "updates"} & {*parts}:
        found.insert(0, Job(machine.about, (names,)))
    return found


def _cells(these: list[shapes.Shape], names: tuple[str, ...], seconds: float, threads: int, *seed: int) -> Job:
    """A grid of all dtypes and works."""
    rivals = installed(names)
    rows, time = 0, LOADING
    for shape in these:
        for work in shape.works:
            flop = (3 if work == "training" else 1) * shape.flop * (1 + len(rivals))
            rows += len(grid.DTYPES)
            time += len(grid.DTYPES) * (max(seconds, CALLS * flop / SPEED) + sum(MAKING[name] for name in rivals))
    return Job(grid.rows, (these, names, seconds, *seed), rows, time, threads)


def told(jobs: list[Job]) -> str:
    """How much it is, in words."""
    minutes = sum(job.seconds for job in jobs) / 60
    time = f"{minutes / 60:.1f} hours" if minutes > 90 else f"{minutes:.0f} minutes" if minutes > 1.5 else "a minute"
    return f"{sum(job.rows for job in jobs)} rows to measure: about {time}"
