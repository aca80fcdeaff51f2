"""Timing side by side: the contenders take turns in one process, so that a drift of the machine meets all of them."""

from __future__ import annotations

import gc
from collections.abc import Callable, Mapping
from random import Random
from statistics import median
from time import perf_counter_ns, sleep

from benchmarks import THREADS

SAMPLE = 3_000_000  # nanoseconds that a sample lasts at least: shorter calls are repeated within it
WARM = 20 * SAMPLE  # a shorter call is made once before the sample: caches and threads belonged to another library
PAUSE = 0.002 if THREADS > 1 else 0  # seconds in which another library's waiting threads cease to spin

Calls = Mapping[str, Callable[[], object]]


def sample(call: Callable[[], object], repeats: int) -> float:
    """Milliseconds a call, over so many calls."""
    start = perf_counter_ns()
    for _ in range(repeats):
        call()
    return (perf_counter_ns() - start) / repeats / 1e6


def round_robin(calls: Calls, seconds: float, rounds: int = 5) -> dict[str, list[float]]:
    """Milliseconds a call, one number for each contender and round: for `seconds`, but at least `rounds` rounds."""
    repeats = {}
    for name, call in calls.items():
        call()  # the first one pays for what is made once
        repeats[name] = max(1, round(SAMPLE / (sample(call, 1) * 1e6)))
    times: dict[str, list[float]] = {name: [] for name in calls}
    order, shuffle = list(calls), Random(0).shuffle
    gc.collect()
    gc.disable()
    try:
        end = perf_counter_ns() + seconds * 1e9
        while len(times[order[0]]) < rounds or perf_counter_ns() < end:
            shuffle(order)  # so that nobody always comes after the same one
            for name in order:
                sleep(PAUSE)
                if not times[name] or times[name][-1] * 1e6 < WARM:
                    calls[name]()
                times[name].append(sample(calls[name], repeats[name]))
    finally:
        gc.enable()
    return times


def ratios(times: Mapping[str, list[float]], ours: str) -> dict[str, float]:
    """Each contender's time over ours: the median of the ratios taken within each round."""
    return {
        name: median(b / a for a, b in zip(times[ours], each, strict=True))
        for name, each in times.items()
        if name != ours
    }
