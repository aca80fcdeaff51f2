"""Few samples on two threads: how many times as fast as on one, alone and beside a busy process.

    python -m benchmarks.few_samples [--seconds 0.3]

Beside it stands what two threads reach that only read the weights (`read.c`), and the ratio due: that of the list, or
0.9 of the reading, if that is less. One and two threads take turns; given are medians of ratios. The busy process
computes on the second core; the ratio is then that of two threads' time to one's.
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
from benchmarks.native import library

# m, s, e, u; both directions; what two threads over one should reach, predicting and training
SHAPES = (
    ((1, 100, 400, 1024), False, (1.7, 1.5)),
    ((1, 200, 128, 512), False, (1.5, 1.4)),
    ((4, 100, 128, 512), False, (1.5, 1.4)),
    ((1, 300, 64, 128), True, (1.7, None)),
    ((1, 300, 256, 256), False, (0.95, 0.95)),
    ((2, 200, 128, 256), False, (0.95, 0.95)),
    ((1, 300, 64, 128), False, (0.95, 0.95)),
    ((8, 60, 64, 256), False, (0.95, 0.95)),
    ((8, 100, 32, 64), False, (0.95, 0.95)),
)
STREAMS = ((64, 128), (64, 256), (128, 512), (400, 1024))  # e, u of layers that run step by step
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


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seconds", type=float, default=0.3, help="of each measurement")
    seconds = parser.parse_args().seconds
    cores = sorted(os.sched_getaffinity(0))
    if len(cores) < 2:
        sys.exit("few_samples: expected two cores, got one")
    print("| m, s, e, u | work | one thread, ms | two over one | due | reading | beside a busy process |")
    print("| --- | --- | --- | --- | --- | --- | --- |")
    for shape, both, due in SHAPES:
        _, s, e, u = shape
        read = reading(3 * (1 + both) * u * (u + e) * 4, s)
        for (work, call), wanted in zip(calls(shape, both).items(), due, strict=True):
            ms, ratio = speedups({1: call, 2: call}, seconds)
            with busy_core(cores[-1]):
                beside = 1 / speedups({1: call, 2: call}, seconds)[1]
            least = "" if wanted is None else f"{min(wanted, 0.9 * read):.2f}"
            name = ", ".join(map(str, shape)) + both * ", both directions"
            print(f"| {name} | {work} | {ms:.2f} | {ratio:.2f} | {least} | {read:.2f} | {beside:.2f} |", flush=True)
    for e, u in STREAMS:
        by_threads, read = steps(e, u), reading(3 * u * (u + e) * 4, STEPS)
        ms, ratio = speedups(by_threads, seconds)
        with busy_core(cores[-1]):
            beside = 1 / speedups(by_threads, seconds)[1]
        name = f"1, {STEPS}, {e}, {u} | stream"
        print(f"| {name} | {ms:.2f} | {ratio:.2f} | 0.95 | {read:.2f} | {beside:.2f} |", flush=True)


if __name__ == "__main__":
    main()
