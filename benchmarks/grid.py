"""The grid, and shapes drawn at random: every rival at every shape, in turns, each checked for equal work first."""

from __future__ import annotations

from collections.abc import Iterator
from statistics import median, quantiles

from benchmarks import THREADS
from benchmarks.cases import Case
from benchmarks.equality import check
from benchmarks.machine import about
from benchmarks.peak import Peak
from benchmarks.rivals import Cgru, Rival, contenders
from benchmarks.shapes import Shape
from benchmarks.timing import ratios, round_robin

DTYPES = ("float32", "float64")


def rows(shapes: list[Shape], names: tuple[str, ...], seconds: float, seed: int | None = None) -> Iterator[dict]:
    """What this process runs with, then a row for each cell, table by table; `seconds` is the time for a cell.

    `seed` is that of shapes which were drawn at random.
    """
    yield from about(names)
    found, _ = contenders(names)
    try:
        peak = Peak()
    except RuntimeError:
        peak = None
    for dtype in DTYPES:
        for work in ("inference", "training", "step"):
            for shape in shapes:
                if work in shape.works:
                    row = cell(shape, dtype, work, found, peak, seconds)
                    yield row if seed is None else row | {"part": "random", "seed": seed}


def cell(shape: Shape, dtype: str, work: str, found: list[type[Rival]], peak: Peak | None, seconds: float) -> dict:
    """Medians in ms, ratios to ours, and our share of the peak that was measured in the same rounds."""
    case = Case(shape, dtype)
    rivals, left_out = ready(case, work, found)
    calls = {name: rival.call(work) for name, rival in rivals.items()}
    if peak:
        calls["peak"] = peak.call(dtype)
    times = round_robin(calls, seconds)
    row = {"part": "grid", "threads": THREADS, "dtype": dtype, "work": work, **described(case, work)}
    if peak:
        reached = [THREADS * peak.call(dtype)() / at / 1e6 for at in times.pop("peak")]
        due = [case.flop(work) / ours / 1e6 for ours in times[Cgru.name]]
        row |= {"peak": median(reached), "share": median(a / b for a, b in zip(due, reached, strict=True))}
    return row | {
        "ms": {name: median(each) for name, each in times.items()},
        "quartiles": {name: quantiles(each, n=4)[::2] for name, each in times.items()},
        "ratio": ratios(times, Cgru.name),
        "left_out": left_out,
    }


def described(case: Case, work: str) -> dict:
    return {"shape": str(case.shape), "flop": case.flop(work)}


def ready(case: Case, work: str, found: list[type[Rival]]) -> tuple[dict[str, Rival], dict[str, str]]:
    """Those that can do this work and do the same as we, ready to be timed; and why another one is not among them."""
    rivals, left_out = {}, {}
    for rival in found:
        if not rival.takes(case, work):
            continue
        try:
            if rival is not Cgru:
                check(rival, case.shape, case.dtype, work)
            rivals[rival.name] = rival(case)
        except Exception as error:  # whatever a rival raises, the others go on
            if rival is Cgru:
                raise
            left_out[rival.name] = f"{type(error).__name__}: {error}"
    return rivals, left_out
