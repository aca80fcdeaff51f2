"""The race: every trainer at every kind, in turns, each checked for equal work first."""

from __future__ import annotations

from collections.abc import Iterator
from importlib import import_module
from statistics import median, quantiles

import numpy as np

from benchmarks import THREADS
from benchmarks.machine import about
from benchmarks.timing import ratios, round_robin
from benchmarks.updates.base import Trainer
from benchmarks.updates.kinds import Job, Kind
from benchmarks.updates.ours import Cgru, Layers

MODULES = {"PyTorch": "torch", "JAX": "jax", "Keras": "keras"}
TOLERANCE = {"float64": 1e-9, "float32": 1e-5}  # of the loss, and of parameters that an update moves by 1e-3


def rows(kinds: list[Kind], names: tuple[str, ...], seconds: float) -> Iterator[dict]:
    """What this process runs with, then a row for each kind in float32; `seconds` is the time for one."""
    yield from about(names or tuple(MODULES))
    found = trainers(names)
    for kind in kinds:
        yield cell(kind, "float32", found, seconds)


def trainers(names: tuple[str, ...] = ()) -> list[type[Trainer]]:
    """Those that are installed, of the libraries in `names` or of all."""
    found = []
    for name in names or MODULES:
        try:
            found += import_module(f"benchmarks.updates.{MODULES[name]}").CLASSES
        except (ImportError, KeyError):  # `about` says what is missing; some libraries train nothing
            continue
    return found


def cell(kind: Kind, dtype: str, found: list[type[Trainer]], seconds: float) -> dict:
    """Medians in ms an update, the rivals' ratios to ours, and ours to the layers' compiled steps alone."""
    job = Job(kind, dtype)
    ready, left_out = {Cgru.name: Cgru(job)}, {}
    for trainer in found:
        try:
            other = trainer(job)
            check(Cgru(job, other.reset_after), other)
            ready[other.name] = other
        except Exception as error:  # whatever a rival raises, the others go on
            left_out[trainer.name] = f"{type(error).__name__}: {error}"
    calls = {name: each.epoch for name, each in ready.items()} | {Layers.name: Layers(job).step}
    times = round_robin(calls, seconds)
    for name, each in ready.items():
        times[name] = [at / each.updates for at in times[name]]
    return {
        "part": "updates",
        "threads": THREADS,
        "dtype": dtype,
        "kind": str(kind),
        "units": kind.u,
        "ms": {name: median(each) for name, each in times.items()},
        "quartiles": {name: quantiles(each, n=4)[::2] for name, each in times.items()},
        "layers": 1 / ratios({name: times[name] for name in (Cgru.name, Layers.name)}, Cgru.name)[Layers.name],
        "ratio": ratios({name: times[name] for name in ready}, Cgru.name),
        "left_out": left_out,
    }


def check(ours: Trainer, other: Trainer) -> None:
    """Raise RuntimeError where one update does not have the loss and does not leave the parameters that ours does."""
    kind, tolerance = ours.job.kind, TOLERANCE[ours.job.dtype]
    due, loss = ours.first(), other.first()
    if not abs(loss - due) <= tolerance * abs(due):
        raise RuntimeError(f"{other.name} has a loss of {loss:.7g} and cgru of {due:.7g} at ({kind})")
    mine, theirs = ours.parameters(), other.parameters()
    if mine.keys() != theirs.keys():
        raise RuntimeError(f"{other.name} has the parameters {sorted(theirs)} and cgru {sorted(mine)} at ({kind})")
    for name, value in mine.items():
        difference = np.abs(value - theirs[name]).max()
        if not difference <= tolerance:
            raise RuntimeError(f"{other.name} and cgru differ by {difference:.1e} in {name} after an update ({kind})")
