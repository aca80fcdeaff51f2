"""fit_many on threads and on executors of threads and processes against single fits, to the bit."""

from __future__ import annotations

from concurrent.futures import Executor, ProcessPoolExecutor, ThreadPoolExecutor
from functools import cache
from multiprocessing import get_context

import numpy as np

import cgru
from cgru.core import kernels
from fuzz.fit import fitted, like
from fuzz.networks import Dice, problem


@cache
def processes() -> Executor:
    """Return an executor of two processes, made once."""
    return ProcessPoolExecutor(2, mp_context=get_context("spawn"))


def case(seed: int) -> str:
    """Fit some problems at once and one by one; return on what."""
    dice = Dice(seed)
    seeds = dice.rng.integers(0, 10**6, dice.number(1, 5)).tolist()
    way = dice.among("threads", "threads", "executor of threads", "processes")
    if way == "processes":
        kernels.use_level(kernels.levels()[0])  # that of a new process
    jobs = []
    for i, each in enumerate(seeds):
        given = problem(each)
        jobs.append(cgru.Job(given.net, i, X=given.X, y=given.y, **given.beside, **given.options))
    if way == "threads":
        results = cgru.fit_many(jobs, threads=dice.number(1, 4))
    elif way == "processes":
        results = cgru.fit_many(jobs, executor=processes())
    else:
        with ThreadPoolExecutor(dice.number(1, 3)) as executor:
            results = cgru.fit_many(jobs, executor=executor)
    assert [result.name for result in results] == list(range(len(seeds)))
    for result, each in zip(results, seeds, strict=True):
        due = fitted(problem(each))
        if isinstance(due, str):
            assert due.partition(": ")[2] in str(result.error), (result.error, due)
            continue
        assert result.error is None, result.error
        like((result.network, result.history), due, 0)
        X = problem(each).X
        np.testing.assert_array_equal(result.network.predict(X), due[0].predict(X))
    return way
