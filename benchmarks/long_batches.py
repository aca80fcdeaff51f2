"""Batches that outgrow the caches: how an update keeps up with a prediction.

    python -m benchmarks.long_batches --readme docs/speed.md

For each shape, on one thread, in float32: the GFLOP/s of a layer's prediction, forward pass, backward pass, gradients
and gradients of each sample, each counted as the work of one forward pass; then, for each way of `fit(memory=...)`, the
time of an epoch of one batch over that of the prediction, and the MiB that the fit takes. The network is
`[GRU(u, sequences=True), Dense(2, "softmax")]` with Adam and a class at each step. Behind the shapes stand the
microseconds of a step of an update of few samples with many steps.
"""

from __future__ import annotations

import argparse
import tracemalloc
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from statistics import median
from time import perf_counter

import numpy as np

import cgru
from benchmarks import inside_torch, machine, readme, report

SECTION = "long batches"  # the name of the section in docs/speed.md
SHAPES = (
    "16,60,24,40",
    "64,60,32,64",
    "64,200,32,64",
    "64,2000,32,64",
    "41,60,11,22",
    "41,498,11,22",
    "64,498,128,128",
)
GROWING = 1_000, 10_000, 100_000  # steps of 4 samples of 4 features, 32 units
WAYS = {"normal": {}, "low": {"memory": "low"}}


def samples(m: int, s: int, e: int) -> tuple[np.ndarray, np.ndarray]:
    """Return random inputs (m, s, e) in float32, and a class at each step."""
    rng = np.random.default_rng(0)
    return rng.standard_normal((m, s, e), np.float32), rng.integers(0, 2, (m, s))


def fit(X: np.ndarray, y: np.ndarray, u: int, epochs: int, way: str) -> list[float]:
    """Fit a network with one update an epoch; return the seconds of each epoch but the first."""
    ends: list[float] = []
    net = cgru.Network([cgru.GRU(u, sequences=True), cgru.Dense(2, "softmax")], seed=0, dtype=np.float32)
    net.optimizer = cgru.Adam(1e-3)
    how = {"epochs": epochs + 1, "batch_size": len(X)} | WAYS[way]
    net.fit(X, y, callback=lambda _: ends.append(perf_counter()), **how)
    return [after - before for before, after in pairwise(ends)]


def peak(X: np.ndarray, y: np.ndarray, u: int, way: str) -> float:
    """Return the MiB that NumPy's arrays take at most during a fit, beside those of its arguments."""
    tracemalloc.start()
    fit(X, y, u, 1, way)
    most = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    return most / 2**20


def parts(X: np.ndarray, u: int, rounds: int) -> dict[str, list[float]]:
    """Return the seconds of a layer's passes over X, by name, one for each round."""
    gru = cgru.GRU(u, sequences=True, dtype="float32")
    dA = np.random.default_rng(1).standard_normal((*X.shape[:2], u), np.float32)
    calls = {
        "predict": lambda: gru.predict(X),
        "forward": lambda: gru.forward(X),
        "backward": lambda: gru.backward(dA),
        "gradients": gru.compute_gradients,
        "each": lambda: gru.last.gradients(each=True),
    }
    gru.compute_shapes(X)
    gru.initialize_parameters()
    seconds: dict[str, list[float]] = {name: [] for name in calls}
    for _ in range(rounds + 1):
        for name, call in calls.items():
            start = perf_counter()
            call()
            seconds[name].append(perf_counter() - start)
    return {name: each[1:] for name, each in seconds.items()}


def rows(shapes: list[str], ways: list[str], growing: list[int], rounds: int) -> Iterator[dict]:
    """Yield what it is measured on, then a row for each shape, and one for each number of steps."""
    yield {"part": "about", **machine.here(), "versions": [f"cgru {cgru.__version__}"]}
    for shape in shapes:
        m, s, e, u = map(int, shape.split(","))
        X, y = samples(m, s, e)
        flop = 6 * m * s * u * (e + u)
        n = max(2, round(rounds * min(1, 3e9 / flop)))
        passes = parts(X, u, n)
        row = {"part": "long", "shape": shape.replace(",", ", ")}
        row |= {name: f"{flop / median(each) / 1e9:.0f}" for name, each in passes.items()}
        for way in ways:
            row[way] = f"{median(fit(X, y, u, n, way)) / median(passes['predict']):.1f}"
            row[f"{way}, MiB"] = f"{peak(X, y, u, way):.3g}"
        yield row
    for s in growing:
        X, y = samples(4, s, 4)
        n = max(2, round(rounds * 1000 / s))
        row = {"part": "growing", "shape": f"4, {s}, 4, 32"}
        yield row | {f"{way}, us a step": f"{median(fit(X, y, 32, n, way)) / s * 1e6:.2f}" for way in ways}


def tables(rows: list[dict]) -> list[str]:
    """Return the lines of both tables."""
    lines = []
    for name in ("long", "growing"):
        if found := [{**row} for row in report.part(rows, name)]:
            heads = ["m, s, e, u", *list(found[0])[2:]]
            lines += [*report.table(heads, [list(row.values())[1:] for row in found]), ""]
    return lines[:-1]


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.long_batches", description=__doc__.splitlines()[0])
    add = parser.add_argument
    add("--shape", nargs="*", default=list(SHAPES), metavar="M,S,E,U", help="the shapes")
    add("--ways", nargs="*", default=list(WAYS), choices=list(WAYS), help="of fit(memory=...)")
    add("--growing", nargs="*", default=list(GROWING), type=int, metavar="S", help="numbers of steps")
    add("--rounds", type=int, default=20, help="of each call; fewer of long ones (default: 20)")
    add("--readme", type=Path, metavar="FILE", help=f"rewrite, in this page, {' ... '.join(readme.markers(SECTION))}")
    given = parser.parse_args(arguments)
    cgru.set_num_threads(1)
    found = []
    for each in rows(given.shape, given.ways, given.growing, given.rounds):
        found.append(each)
        print(inside_torch.about(each) if each["part"] == "about" else tables([each])[-1], flush=True)
    if given.readme:
        readme.rewrite(given.readme, "\n".join([inside_torch.about(found[0]), "", *tables(found)]), SECTION)


if __name__ == "__main__":
    main()
