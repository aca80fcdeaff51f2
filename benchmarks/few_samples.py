"""Few samples on two threads: how many times as fast as on one, alone and beside a busy process.

    python -m benchmarks.few_samples --readme docs/speed.md

Beside it stands what two threads reach that only read the weights (`read.c`). One and two threads take turns; given are
medians of ratios, in bold where two threads are slower. The busy process computes on the second core; the ratio is then
that of two threads' time to one's.
"""

from __future__ import annotations

import argparse
import ctypes
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from statistics import median

import numpy as np

import cgru
from benchmarks import inside_torch, machine, readme, report
from benchmarks.native import library

SECTION = "few samples"  # the name of the section in docs/speed.md
# m, s, e, u; both directions
SHAPES = (
    ((1, 100, 400, 1024), False),
    ((4, 100, 128, 512), False),
    ((1, 300, 64, 128), True),
    ((1, 300, 256, 256), False),
    ((8, 60, 64, 256), False),
)
STREAMS = ((64, 256), (128, 512), (400, 1024))  # e, u of layers that run step by step
STEPS = 20


def calls(shape: tuple[int, int, int, int], both: bool) -> dict[str, Callable[[], object]]:
    """Return the calls to time: a prediction and a training step without its update."""
    m, s, e, u = shape
    layer = cgru.GRU(u, sequences=True, rng=0, dtype="float32")
    if both:
        layer = cgru.Bidirectional(layer)
    X = np.random.default_rng(1).standard_normal((m, s, e)).astype(np.float32)
    dA = np.ones((m, s, u * (1 + both)), np.float32)
    layer.forward(X)

    def train() -> None:
        layer.forward(X)
        layer.backward(dA)
        layer.compute_gradients()

    return {"predicting": lambda: layer.predict(X), "training": train}


def steps(e: int, u: int) -> dict[int, Callable[[], object]]:
    """Return STEPS steps of a stream, by its number of threads."""
    layer = cgru.GRU(u, rng=0, dtype="float32")
    X = np.random.default_rng(1).standard_normal((1, STEPS, e)).astype(np.float32)
    layer.forward(X)

    def run(stream: cgru.Stream) -> None:
        for x in X[0]:
            stream.step(x)

    return {n: partial(run, cgru.Stream(layer, threads=n)) for n in (1, 2)}


def seconds_of(call: Callable[[], object], times: int) -> float:
    """Return the seconds that a call takes, the mean of so many."""
    start = time.perf_counter()
    for _ in range(times):
        call()
    return (time.perf_counter() - start) / times


def speedups(by_threads: dict[int, Callable[[], object]], seconds: float) -> tuple[float, float]:
    """Return the median ms on one thread, and the median of one thread's time over that of two, taken in turns."""
    cgru.set_num_threads(1)
    by_threads[1]()
    times = max(1, int(seconds / 20 / seconds_of(by_threads[1], 1)))
    one, ratio = [], []
    end = time.perf_counter() + 2 * seconds
    while time.perf_counter() < end or len(one) < 5:
        cgru.set_num_threads(1)
        one.append(seconds_of(by_threads[1], times))
        cgru.set_num_threads(2)
        ratio.append(one[-1] / seconds_of(by_threads[2], times))
    return 1e3 * median(one), median(ratio)


def reading(bytes_of_weights: int, steps: int) -> float:
    """Return how many times as fast as one two threads read so many bytes at each of some steps."""
    read = library(Path(__file__).with_name("read.c"), "-pthread").read_bytes
    read.restype, read.argtypes = ctypes.c_double, [ctypes.c_void_p, ctypes.c_ssize_t, ctypes.c_long, ctypes.c_int]
    data = np.ones(bytes_of_weights + 64, np.uint8)
    address = data.ctypes.data // 64 * 64 + 64
    read(address, bytes_of_weights - 64, steps, 2)
    return median(
        read(address, bytes_of_weights - 64, steps, 1) / read(address, bytes_of_weights - 64, steps, 2)
        for _ in range(15)
    )


@contextmanager
def busy_core(core: int) -> Iterator[None]:
    """Keep a core busy with another process while the context lasts."""
    process = subprocess.Popen([sys.executable, "-c", "while True: pass"])
    os.sched_setaffinity(process.pid, {core})
    try:
        time.sleep(0.2)
        yield
    finally:
        process.kill()
        process.wait()


def rows(seconds: float, core: int) -> Iterator[dict]:
    """Yield what it is measured on, then a row for each shape and work, `seconds` for each measurement."""
    yield {"part": "about", **machine.here(), "versions": [f"cgru {cgru.__version__}"]}
    for shape, both in SHAPES:
        _, s, e, u = shape
        read = reading(3 * (1 + both) * u * (u + e) * 4, s)
        name = ", ".join(map(str, shape)) + both * ", both directions"
        for work, call in calls(shape, both).items():
            yield measured(name, work, {1: call, 2: call}, read, seconds, core)
    for e, u in STREAMS:
        read = reading(3 * u * (u + e) * 4, STEPS)
        yield measured(f"1, {STEPS}, {e}, {u}, stream", "stream", steps(e, u), read, seconds, core)


def measured(
    shape: str, work: str, by_threads: dict[int, Callable[[], object]], read: float, seconds: float, core: int
) -> dict:
    """Return the row of a shape's work: both threads alone, and beside a process that keeps a core busy."""
    ms, ratio = speedups(by_threads, seconds)
    with busy_core(core):
        beside = 1 / speedups(by_threads, seconds)[1]
    return {
        "part": "few samples", "shape": shape, "work": work, "ms": ms, "ratio": ratio, "reading": read, "beside": beside
    }  # fmt: skip


def about(row: dict) -> str:
    """Return what was measured, and on what."""
    return inside_torch.about(row).replace("one core", "two cores", 1)


def table(rows: list[dict]) -> list[str]:
    """Return a line for each shape: a sequence has the figures of inference and of training in each cell."""
    found, lines = report.part(rows, "few samples"), []
    for shape in dict.fromkeys(row["shape"] for row in found):
        here = [row for row in found if row["shape"] == shape]
        two = "; ".join(report.bold(row["ratio"], row["ratio"] < report.NEAR) for row in here)
        ms, busy = "; ".join(f"{row['ms']:.3g}" for row in here), "; ".join(f"{row['beside']:.2f}" for row in here)
        lines.append([shape, ms, two, f"{here[0]['reading']:.2f}", busy])
    heads = ["m, s, e, u", "ms on one thread", "speed-up by two threads", "speed-up of reading"]
    return report.table([*heads, "time of two threads over one, next to a busy process"], lines)


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.few_samples", description=__doc__.splitlines()[0])
    given = readme.options(parser, arguments, SECTION, "a measurement", 0.3)
    cores = sorted(os.sched_getaffinity(0))
    if len(cores) < 2:
        sys.exit("few_samples: expected two cores, got one")
    found = []
    for each in rows(given.seconds, cores[-1]):
        found.append(each)
        print(about(each) if each["part"] == "about" else table([each])[-1], flush=True)
    readme.write(given, found, [about(found[0]), "", *table(found)], SECTION)


if __name__ == "__main__":
    main()
