"""What every rival's fit is, and how long its epochs take."""

from __future__ import annotations

from functools import lru_cache
from time import perf_counter

import numpy as np

from benchmarks.fits.task import Name, Task

EPOCHS = 10  # at a time
LEAST = 0.2  # seconds that a sample lasts


class Fits:
    """One fit of a task, or `together` of one size side by side, in a process with one thread."""

    name: str
    version: str
    together = 1

    def __init__(self, task: Task, names: tuple[Name, ...]) -> None:
        raise NotImplementedError

    def epochs(self, n: int) -> np.ndarray:
        """`n` more epochs -> the losses of training and validation, (n, fits, 2).

        An epoch is an update, a pass over the validation sessions, and the best parameters kept.
        """
        raise NotImplementedError


def trajectory(kind: type[Fits], task: Task, names: tuple[Name, ...], n: int) -> np.ndarray:
    """The losses of the first `n` epochs, (n, fits, 2)."""
    return kind(task, names).epochs(n)


def timed(kind: type[Fits], task: Task, names: tuple[Name, ...]) -> float:
    """Milliseconds an epoch of one fit, without what is made and compiled once."""
    fits, n = _made(kind, task, names), 0
    start = perf_counter()
    while perf_counter() < start + LEAST:
        fits.epochs(EPOCHS)
        n += EPOCHS
    return 1e3 * (perf_counter() - start) / n / len(names)


@lru_cache
def _made(kind: type[Fits], task: Task, names: tuple[Name, ...]) -> Fits:
    """Ready: this process has made and compiled what it needs."""
    fits = kind(task, names)
    fits.epochs(EPOCHS)
    return fits
