"""Timing side by side: the contenders take turns in one process, so that a drift of the machine meets all of them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from statistics import median
from time import perf_counter_ns

SAMPLE = 1_000_000  # nanoseconds that a sample lasts at least: shorter calls are repeated within it


def sample(call: Callable[[], object], repeats: int) -> float:
    """Milliseconds a call, over so many calls."""
    start = perf_counter_ns()
    for _ in range(repeats):
        call()
    return (perf_counter_ns() - start) / repeats / 1e6


def round_robin(calls: Mapping[str, Callable[[], object]], seconds: float, rounds: int = 5) -> dict[str, list[float]]:
    """Milliseconds a call, one number for each contender and round: for `seconds`, but at least `rounds` rounds."""
    repeats = {}
    for name, call in calls.items():
        call()  # the first one pays for what is made once
        repeats[name] = max(1, round(SAMPLE / (sample(call, 1) * 1e6)))
    times: dict[str, list[float]] = {name: [] for name in calls}
    end = perf_counter_ns() + seconds * 1e9
    while len(times[next(iter(calls))]) < rounds or perf_counter_ns() < end:
        for name, call in calls.items():
            times[name].append(sample(call, repeats[name]))
    return times


def summary(times: Mapping[str, list[float]]) -> tuple[dict[str, float], dict[str, float]]:
    """The median of each contender, in ms, and the median ratio to the first one, taken within each round."""
    ours = next(iter(times.values()))
    medians = {name: median(each) for name, each in times.items()}
    return medians, {name: median(b / a for a, b in zip(ours, each, strict=True)) for name, each in times.items()}
