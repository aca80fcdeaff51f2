"""Many small fits, as nested cross-validation makes them: `python -m benchmarks.many`.

All 1,890 fits of the task (`fits/task.py`) go through `cgru.fit_many` once, which says how many epochs they have. Then,
size by size, our fits and epochs of PyTorch's and JAX's take turns on the same cores, in float32, from the same first
weights; each is first checked for equal work.
"""

from __future__ import annotations

import argparse
import os
import sys
import warnings
from collections.abc import Iterator
from functools import partial
from importlib import import_module
from itertools import cycle, islice
from random import Random
from statistics import median
from time import perf_counter
from typing import TYPE_CHECKING, Any

import numpy as np

from benchmarks import machine, readme, report
from benchmarks.fits import base, ours
from benchmarks.fits.task import Task
from benchmarks.plan import cores
from benchmarks.processes import rows_from
from benchmarks.timing import ratios

if TYPE_CHECKING:
    from benchmarks.fits.base import Fits

SECTION = "many"  # the name of the section in docs/speed.md
MODULES = {"PyTorch": "torch", "JAX": "jax"}
TARGETS = {"PyTorch": 15, "JAX": 3, "threads": 1.9, "dask": 1.8}  # below these a figure is in bold
HANDED_OUT = {4: 1.5, 16: 1.15}  # units, and the ratio above which it is in bold
ROUNDS, SAMPLE = 3, 16  # at least; our fits in a sample
SPREAD = {"threads": 20, "dask": 60}  # fits of each size where all are mixed
FIRST, TOLERANCE = 5, 2e-5  # epochs after which the losses are still the same to rounding
EPOCHS = 20  # of a fit to batches that are handed out
FITS = {"memory": 10_000, "overhead": 200, "grid": 5}  # the last: epochs
WORKERS = {  # one core each
    "OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "CGRU_NUM_THREADS": "1",
    "XLA_FLAGS": "--xla_cpu_multi_thread_eigen=false intra_op_parallelism_threads=1",
}  # fmt: skip


def rivals() -> tuple[list[type[Fits]], dict[str, str]]:
    """Those that are installed, and why the others cannot run."""
    found, missing = [], {}
    for name, module in MODULES.items():
        try:
            found += import_module(f"benchmarks.fits.{module}").CLASSES
        except ImportError as error:
            missing[name] = str(error)
    return found, missing


def rows(task: Task, most: int, seconds: float, parts: tuple[str, ...]) -> Iterator[dict]:
    """On what is measured; then what is, `seconds` for each size and each part. `most` is how many cores there are."""
    import joblib

    import cgru

    cgru.set_num_threads(1)  # where a fit is alone
    os.environ.pop("BENCHMARK_THREADS", None)
    os.environ.update(WORKERS)
    warnings.filterwarnings("ignore", "A worker stopped")  # joblib's for what JAX compiles; another one begins
    found, missing = rivals()
    yield {
        "part": "about",
        **machine.here(),
        "cores": most,
        "versions": list(dict.fromkeys([f"cgru {cgru.__version__}", *(kind.version for kind in found)])),
        "names": [ours.NAME, *(kind.name for kind in found)],
        "missing": missing,
        "task": task._asdict(),
    }
    yield ours.whole(task, most)
    with joblib.Parallel(n_jobs=most, batch_size=1) as pool:
        share = partial(shared, pool)
        yield same(task, found, share)
        for u in task.sizes:
            yield size(task, u, most, found, share, seconds)
    yield ours.threads(task, SPREAD["threads"], most, seconds)
    yield ours.grid(task, FITS["grid"], most, seconds)
    yield ours.overhead(task, FITS["overhead"], seconds)
    yield ours.batches(HANDED_OUT, EPOCHS, seconds)
    if "dask" in parts:
        yield ours.dask(task, SPREAD["dask"], most, seconds)
    if "memory" in parts:
        yield ours.memory(task, FITS["memory"], most)


def shared(pool: Any, function: Any, tasks: list[tuple]) -> list:
    """What `function` returns for each of these arguments, each a worker's."""
    import joblib

    return pool(joblib.delayed(function)(*each) for each in tasks)


def same(task: Task, found: list[type[Fits]], share: Any) -> dict:
    """By rival the largest difference of a loss, relative: in the first epochs, and after the last one.

    Raises:
        RuntimeError: one of the first is not the same to rounding.
    """
    names = {u: tuple(task.names(u)[:2]) for u in task.sizes}
    due = ours.fitted(task, [name for two in names.values() for name in two], 1, {"patience": None})
    due = {result.name: np.array([result.history.loss, result.history.validation_loss]).T for result in due}
    row: dict = {"part": "same", "first": {}, "last": {}}
    for kind in found:
        groups = [two[: kind.together] for two in names.values()]
        first, last = [], []
        for two, losses in zip(
            groups, share(base.trajectory, [(kind, task, two, task.epochs) for two in groups]), strict=True
        ):
            mine = np.stack([due[name] for name in two], axis=1)
            difference = np.abs(losses / mine - 1)
            first.append(difference[:FIRST].max())
            last.append(difference[-1].max())
        row["first"][kind.name], row["last"][kind.name] = float(max(first)), float(max(last))
        if not max(first) <= TOLERANCE:
            raise RuntimeError(f"{kind.name} and cgru differ by {max(first):.1e} in the first {FIRST} epochs")
    return row


def size(task: Task, u: int, most: int, found: list[type[Fits]], share: Any, seconds: float) -> dict:
    """Milliseconds of one core for an epoch of a fit of this size, all cores at work, and the ratios to ours."""
    names = task.names(u)

    def rival(kind: type[Fits]) -> float:
        endless = cycle(names)
        own = [tuple(islice(endless, kind.together)) for _ in range(most)]
        return float(np.mean(share(base.timed, [(kind, task, each) for each in own])))

    calls = {ours.NAME: lambda: ours.timed(task, names[:SAMPLE], most)}
    calls |= {kind.name: partial(rival, kind) for kind in found}
    for call in calls.values():
        call()  # the first one pays for what is made once
    times: dict[str, list[float]] = {name: [] for name in calls}
    order, shuffle, end = list(calls), Random(0).shuffle, perf_counter() + seconds
    while len(times[ours.NAME]) < ROUNDS or perf_counter() < end:
        shuffle(order)
        for name in order:
            times[name].append(calls[name]())
    ms = {name: median(each) for name, each in times.items()}
    return {"part": "size", "u": u, "ms": ms, "ratio": ratios(times, ours.NAME), "rounds": len(times[ours.NAME])}


# --- what is said of it ---


def about(row: dict) -> str:
    """What was measured, and on what."""
    task = Task(**row["task"])
    missing = "".join(f" Left out: {name} ({why})." for name, why in row["missing"].items())
    return (
        f"{len(task.names()):,} fits: {task.outer} times {task.outer - 1} folds, {task.seeds} seeds, {len(task.sizes)}"
        f" sizes, 50 sessions of {task.shortest} to {task.longest} steps in one batch, up to {task.epochs} epochs;"
        f" float32, on {row['cores']} cores of {row['machine']}, {row['instructions']}, {row['date']}, commit"
        f" {row['commit'] or 'unknown'}: {', '.join(row['versions'])}.{missing}"
    )


def method(rows: list[dict]) -> str:
    """How, and how equal the work is."""
    (checked,) = report.part(rows, "same")
    (whole,) = report.part(rows, "whole")
    text = (
        f"`fit_many` took {whole['seconds']:.1f} s for all fits. Each cell has the ms of one core for an epoch, with"
        " all cores at work. The times of cgru include all costs of a fit. Those of the others are epochs alone,"
        " without set-up and compilation. `total` assumes that the others divide their fits without loss."
    )
    if checked["last"]:
        first, last = (max(checked[key].values()) for key in ("first", "last"))
        text += (
            " From the same weights, the relative difference of the losses is at most"
            f" {first:.0e} in {FIRST} epochs, and {last:.0e} after {Task(**rows[0]['task']).epochs}."
        )
    return text


def total(rows: list[dict]) -> dict[str, float]:
    """Seconds for all fits on all cores, by who fits them."""
    weights = report.part(rows, "whole")[0]["epochs"]
    found = report.part(rows, "size")
    return {
        name: sum(n * row["ms"][name] for n, row in zip(weights, found, strict=True)) / 1e3 / rows[0]["cores"]
        for name in rows[0]["names"]
    }


def table(rows: list[dict]) -> list[str]:
    """The sizes, the times, and how many times as long the best of each library takes; in bold what is below target."""
    names, libraries = rows[0]["names"], [name for name in MODULES if name in rows[0]["names"]]
    lines = []
    for row in report.part(rows, "size"):
        times = [f"{row['ms'][name]:.3f}" for name in names]
        lines.append([f"{row['u']} units", *times, *(beside(row["ratio"], library) for library in libraries)])
    if report.part(rows, "whole"):
        seconds = total(rows)
        ratio = {name: seconds[name] / seconds[ours.NAME] for name in names}
        times = [f"{seconds[name]:.0f} s" for name in names]
        lines.append(["total", *times, *(beside(ratio, library) for library in libraries)])
    return report.table(["ms an epoch", *names, *(f"{library} / cgru" for library in libraries)], lines)


def beside(ratio: dict[str, float], library: str) -> str:
    """The best of a library."""
    best = min(value for name, value in ratio.items() if name.startswith(library))
    return report.bold(best, best < TARGETS[library])


def rest(row: dict) -> str:
    """A part beside the sizes, in a sentence; empty where it is none."""
    if row["part"] in ("threads", "dask"):
        ratio = report.bold(row["ratio"], row["ratio"] < TARGETS[row["part"]])
        who = "threads are" if row["part"] == "threads" else "Dask workers of one thread are"
        return f"{row[row['part'].replace('dask', 'workers')]} {who} {ratio} times as fast as one."
    if row["part"] == "grid":
        many = f"`cgru.grid` of {row['fits']:,} short fits takes {row['seconds']:.1f} s"
        return f"{many}, {row['ratio']:.2f} times as long as `fit_many` with the same jobs."
    if row["part"] == "overhead":
        ms = row["ms"]
        return (
            f"A job of {ours.SIZE} units with one update takes {ms['job']:.2f} ms: {ms['draws']:.2f} for its first"
            f" weights, {ms['update']:.2f} for the update, {ms['rest']:.2f} for the rest."
        )
    if row["part"] == "batches":
        times = [report.bold(row["ratio"][str(u)], row["ratio"][str(u)] > most) for u, most in HANDED_OUT.items()]
        units, times = " and ".join(map(str, HANDED_OUT)), " and ".join(times)
        return f"Batches handed out one by one cost nets of {units} units {times} times as much as arrays."
    if row["part"] == "memory":
        (few, many), (before, after) = row["fits"], row["mib"]
        taken = f"The process takes {before:.1f} MiB after {few:,} fits, and {after:.1f} MiB after {many:,}"
        return f"{taken}, if no networks are kept."
    return ""


def text(rows: list[dict]) -> list[str]:
    said = list(filter(None, map(rest, rows)))
    return [about(rows[0]), "", method(rows), "", *table(rows), "", " ".join(said)]


# --- the command ---


def options(arguments: list[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.many",
        description="Time many small fits: cgru.fit_many, PyTorch under joblib, and JAX.",
    )
    add = parser.add_argument
    add("--cores", type=int, default=cores(), metavar="N", help="how many to use (default: all, %(default)s here)")
    add("--dask", action="store_true", help="also the workers of a LocalCluster")
    add("--memory", action="store_true", help=f"also the resident memory over {FITS['memory']:,} fits")
    given = readme.options(parser, arguments, SECTION, "a size", 15.0)
    if not 1 <= given.cores <= cores():
        parser.error(f"--cores: expected 1 to {cores()}, got {given.cores}")
    return given


def main(arguments: list[str] | None = None) -> int:
    given = options(arguments)
    parts = tuple(part for part in ("dask", "memory") if getattr(given, part))
    found: list[dict] = []
    try:
        for row in rows_from(rows, Task(), given.cores, given.seconds, parts, threads=given.cores, workers=True):
            found.append(row)
            if row["part"] == "size":
                print(table([found[0], row])[-1], flush=True)
            elif row["part"] in ("same", "whole"):
                print(f"- {row}", flush=True)
            else:
                print(about(row) if row["part"] == "about" else rest(row), flush=True)
    except RuntimeError as error:
        print(error, file=sys.stderr)
        return 1
    print("", *text(found), sep="\n")
    readme.write(given, found, text(found), SECTION)
    return int(bool(found[0]["missing"]))


if __name__ == "__main__":
    sys.exit(main())
