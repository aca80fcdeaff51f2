"""What is measured of `cgru.fit_many`: all fits, samples of them, threads, workers, memory, a job's own cost.

Beside it, what batches cost that are handed out one by one.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import partial
from itertools import product
from statistics import median
from time import perf_counter

import numpy as np

import cgru
from benchmarks.fits.task import Maker, Name, Task
from benchmarks.memory import status
from benchmarks.timing import ratios, round_robin
from cgru import initializers

NAME = "cgru.fit_many"
SIZE = 5  # units, of the job whose own cost is measured


def fitted(task: Task, names: Iterable[Name], threads: int | None, options: dict | None = None, **how: object) -> list:
    """The results of these fits, with other `options` of them; RuntimeError where one failed."""
    X, y, lengths = task.data()
    jobs = [task.job(name, **options or {}) for name in names]
    found = cgru.fit_many(jobs, X, y, lengths=lengths, threads=threads, **how)
    for result in found:
        if result.error is not None:
            raise RuntimeError(f"{NAME}: {result.name}: {result.error!r}")
    return found


def whole(task: Task, threads: int) -> dict:
    """All fits of the task once: seconds, and how many epochs each size had."""
    start = perf_counter()
    found = fitted(task, task.names(), threads, keep=False)
    seconds, epochs = perf_counter() - start, dict.fromkeys(task.sizes, 0)
    for result in found:
        epochs[result.name.u] += result.scores["epochs"]
    return {"part": "whole", "fits": len(found), "seconds": seconds, "epochs": list(epochs.values())}


def timed(task: Task, names: list[Name], threads: int) -> float:
    """Milliseconds of one thread for an epoch of a fit, all that a whole fit costs shared out over its epochs."""
    start = perf_counter()
    found = fitted(task, names, threads, keep=False)
    return 1e3 * (perf_counter() - start) * threads / sum(result.scores["epochs"] for result in found)


def mixed(task: Task, n: int) -> list[Name]:
    """`n` fits of each size."""
    return [name for u in task.sizes for name in task.names(u)[:n]]


def threads(task: Task, n: int, most: int, seconds: float) -> dict:
    """How many times as fast so many threads are as one, on `n` fits of each size."""
    names = mixed(task, n)
    calls = {who: partial(fitted, task, names, count, keep=False) for who, count in (("all", most), ("one", 1))}
    return {"part": "threads", "threads": most, "ratio": ratios(round_robin(calls, seconds), "all")["one"]}


def grid(task: Task, n: int, most: int, seconds: float) -> dict:
    """Seconds of a `cgru.grid` on the task's sessions, and how many times as long as `fit_many` with its jobs takes."""
    X, y, lengths = task.data()
    options = {**task.options(), "patience": None, "epochs": n}

    def searched() -> None:
        found = cgru.grid(
            made, X, y, lengths=lengths, folds=task.outer, inner_folds=2, seeds=task.seeds, threads=most,
            u=list(task.sizes), **options,
        )  # fmt: skip
        if any(record["error"] for record in found):
            raise RuntimeError(f"{NAME}: a fit of the grid failed")
        found.score()

    jobs = []
    for fold, inner, u, seed in product(range(task.outer), range(2), task.sizes, range(task.seeds)):
        is_test = np.arange(task.sessions) % task.outer == fold
        rest, test = np.flatnonzero(~is_test), np.flatnonzero(is_test)
        rows = {"rows": rest[inner::2], "validation_rows": rest[1 - inner :: 2], "test_rows": test}
        jobs.append(cgru.Job(partial(made, u, seed), **rows, **options))
    calls = {"grid": searched, "jobs": lambda: cgru.fit_many(jobs, X, y, lengths=lengths, threads=most, keep=False)}
    times = round_robin(calls, seconds)
    ratio = ratios(times, "jobs")["grid"]
    return {"part": "grid", "fits": len(jobs), "seconds": median(times["grid"]) / 1e3, "ratio": ratio}


def made(u: int, seed: int) -> cgru.Network:
    """The network of a setting of the grid."""
    return Maker(Name(u, seed, 0, 0))()


def dask(task: Task, n: int, most: int, seconds: float) -> dict:
    """How many times as fast so many workers of a `LocalCluster` are as one, each with one thread; ImportError."""
    from distributed import Client, LocalCluster

    names = mixed(task, n)
    with (
        LocalCluster(n_workers=most, threads_per_worker=1, dashboard_address=":0") as cluster,
        Client(cluster) as client,
    ):
        addresses = list(client.scheduler_info()["workers"])
        pools = {"all": client.get_executor(), "one": client.get_executor(workers=addresses[:1])}
        calls = {who: partial(fitted, task, names, None, keep=False, executor=pool) for who, pool in pools.items()}
        return {"part": "dask", "workers": most, "ratio": ratios(round_robin(calls, seconds), "all")["one"]}


def memory(task: Task, n: int, most: int) -> dict:
    """The resident memory in MiB after a tenth of `n` fits of one epoch and after all, results without networks."""
    seen: list[int] = []
    names = [Name(SIZE, i, i % task.outer, 0) for i in range(n)]
    fitted(
        task, names, most, {"epochs": 1, "patience": None}, keep=False,
        callback=lambda result: seen.append(status("VmRSS")),
    )  # fmt: skip
    return {"part": "memory", "fits": [n // 10, n], "mib": [seen[n // 10 - 1] / 1024, seen[-1] / 1024]}


def batches(sizes: Iterable[int], epochs: int, seconds: float) -> dict:
    """How many times as long epochs of batches that are handed out one by one take as those of arrays, by units."""
    m, s, size = 640, 20, 32
    rng = np.random.default_rng(0)
    X, y = rng.standard_normal((m, s, 3), np.float32), rng.integers(0, 2, m)
    given = [(X[start : start + size], y[start : start + size]) for start in range(0, m, size)]
    ratio = {}
    for u in sizes:
        net = cgru.Network([cgru.GRU(u), cgru.Dense(2, "softmax")], seed=0, dtype="float32")
        calls = {
            "batches": partial(net.fit, given, epochs=epochs),
            "arrays": partial(net.fit, X, y, epochs=epochs, batch_size=size, shuffle=False),
        }
        ratio[str(u)] = ratios(round_robin(calls, seconds), "arrays")["batches"]
    return {"part": "batches", "ratio": ratio}


def overhead(task: Task, n: int, seconds: float) -> dict:
    """Milliseconds of a job with one epoch of one batch, of its draws alone, and of its update alone."""
    X, y, lengths = task.data()
    fold = task.fold(Name(SIZE, 0, 0, 0))
    plain = {"patience": None, "validation_rows": None}
    names = [Name(SIZE, seed, 0, 0) for seed in range(n)]
    data = {"X": X[fold.train], "y": y[fold.train], "lengths": lengths[fold.train], **task.options(), "patience": None}
    rng = np.random.default_rng(0)

    def fit(epochs: int) -> None:
        Maker(names[0])().fit(**data | {"epochs": epochs})

    def draw() -> None:
        for _ in range(n):
            initializers.draw(initializers.orthogonal, [(3, SIZE), (SIZE, SIZE)] * 3, rng)
            initializers.xavier((SIZE, 2), rng)

    jobs = [task.job(name, **plain | {"epochs": 1}) for name in names]
    calls = {
        "jobs": lambda: cgru.fit_many(jobs, X, y, lengths=lengths, threads=1, keep=False),
        "draws": draw,
        "long": lambda: fit(n + 1),
        "short": lambda: fit(1),
    }
    times = {name: np.array(each) for name, each in round_robin(calls, seconds).items()}
    update = times["long"] - times["short"]
    found = {
        "job": times["jobs"],
        "draws": times["draws"],
        "update": update,
        "rest": times["jobs"] - times["draws"] - update,
    }
    return {"part": "overhead", "ms": {name: median(each / n) for name, each in found.items()}}
