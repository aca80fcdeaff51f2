"""Growth: the time against s, m and u, each doubled five times, and the exponent of the line through it."""

from __future__ import annotations

from collections.abc import Iterator
from math import log
from statistics import linear_regression, median

from benchmarks.cases import Case
from benchmarks.grid import ready
from benchmarks.rivals import contenders
from benchmarks.shapes import GROWTH_FROM, growing
from benchmarks.timing import round_robin


def rows(names: tuple[str, ...], seconds: float) -> Iterator[dict]:
    """A row for each axis and kind of work: in float32, on one thread, the times in ms and every library's exponent."""
    found, _ = contenders(names)
    for axis in GROWTH_FROM:
        for work in ("inference", "training"):
            shapes = growing(axis)
            sizes = [getattr(shape, axis) for shape in shapes]
            ms: dict[str, list[float]] = {}
            for shape in shapes:
                rivals, _ = ready(Case(shape, "float32"), work, found)
                times = round_robin({name: rival.call(work) for name, rival in rivals.items()}, seconds)
                for name, each in times.items():
                    ms.setdefault(name, []).append(median(each))
            yield {
                "part": "growth",
                "axis": axis,
                "work": work,
                "from": str(shapes[0]),
                "sizes": sizes,
                "ms": ms,
                "exponent": {name: exponent(sizes, at) for name, at in ms.items() if len(at) == len(sizes)},
            }


def exponent(sizes: list[int], ms: list[float]) -> float:
    """The slope of the least-squares line through log(ms) against log(size)."""
    return linear_regression([log(size) for size in sizes], [log(at) for at in ms]).slope
