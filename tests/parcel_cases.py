"""Functions that tests of batches of jobs send to workers, which import this module; and whole runs of their own.

`python -m parcel_cases NAME` fits there, where a test can end it; it prints what has come of it.
"""

import multiprocessing
import os
import random
import signal
import sys
import threading
import time
from concurrent.futures import ProcessPoolExecutor
from functools import partial

import pytest
from network_cases import LABELS, LENGTHS, REALS, X, made, same, weights

import cgru

SHARED = {"X": X, "y": LABELS, "lengths": LENGTHS}
posix = pytest.mark.skipif(os.name != "posix", reason="signals, locks and links of POSIX")
METHODS = multiprocessing.get_all_start_methods()


def pool(method=METHODS[0], workers=2):
    """A function that makes one."""
    return partial(ProcessPoolExecutor, workers, mp_context=multiprocessing.get_context(method))


def small(n, **options):
    return [cgru.Job(partial(made, seed=i), i, epochs=1, **options) for i in range(n)]


def mixed(n=12, network=made):
    """Jobs of several kinds; their networks are made where they run."""
    head = partial(cgru.Dense, 2, "identity")
    jobs = [
        cgru.Job(partial(network, units=1 + i % 5, seed=i), ("a", i), epochs=2, rows=range(i % 3, 20)) for i in range(n)
    ]
    own = {"X": X, "y": REALS, "rows": slice(None), "test_rows": range(5), "metrics": {"w": worst}}
    jobs.append(cgru.Job(made(head(), seed=3), "own", epochs=3, **own))
    jobs.append(cgru.Job(made(units=20, seed=4), "validated", epochs=2, validation_rows=range(20, 24), rows=range(20)))
    return jobs


def worst(y, A):
    return abs(y - A).max()


def slow(**given):
    time.sleep(0.01)
    return made(**given)


def die():
    os.kill(os.getpid(), signal.SIGKILL)


def die_late():
    time.sleep(0.3)
    die()


def die_once(path):
    """The first time."""
    try:
        with open(path, "x"):
            pass
    except FileExistsError:
        return made()
    return die()


def interrupted():
    raise KeyboardInterrupt


HERE = made()


def again():
    """The same one each time."""
    return HERE


class Unlike:
    """Is not read again as it was written."""

    def __str__(self):
        return "no 7"

    def __reduce__(self):
        return int, (str(self),)


class UnlikeError(Exception):
    """Holds such: what `tblib`, which Dask imports, makes of an error's own class can be read."""


def unlike():
    raise UnlikeError(Unlike())


def holding_a_lambda():
    net = made()
    net.note = lambda: None
    return net


class Here:
    """Can be read in no other process."""

    def __init__(self):
        self.pid = os.getpid()

    def __setstate__(self, state):
        if state["pid"] != os.getpid():
            raise ValueError("foreign")


def holding_here():
    net = made()
    net.note = Here()
    return net


def equal(results, due):
    """Whether all went well with the same bits."""
    return all(
        a.error is None
        and (a.name, a.scores, a.history.loss) == (b.name, b.scores, b.history.loss)
        and same(weights(a.network), weights(b.network))
        for a, b in zip(results, due, strict=True)
    )


class Killer:
    """Kills one of the processes at random moments, so many times."""

    def __init__(self, processes, seed, times=3):
        self.processes, self.random, self.times, self.killed = processes, random.Random(seed), times, 0
        self.over = threading.Event()
        self.thread = threading.Thread(target=self._kill)

    def _kill(self):
        while self.killed < self.times and not self.over.wait(self.random.uniform(0.01, 0.3)):
            found = self.processes()
            if found:
                try:
                    os.kill(self.random.choice(found), signal.SIGKILL)
                    self.killed += 1
                except ProcessLookupError:  # it was quicker
                    pass

    def __enter__(self):
        self.thread.start()
        return self

    def __exit__(self, *error):
        self.over.set()
        self.thread.join()


def children():
    return [process.pid for process in multiprocessing.active_children()]


def in_dask(what, seed):
    from distributed import Client, LocalCluster

    options = {"n_workers": 2, "threads_per_worker": 1, "dashboard_address": None}
    with LocalCluster(**options) as cluster, Client(cluster) as client:
        if what == "equal":
            due = cgru.fit_many(mixed(), **SHARED)
            for executor in (client.get_executor(), client.get_executor):
                print("equal:", equal(cgru.fit_many(mixed(), **SHARED, executor=executor), due))
        if what == "killed":
            due = cgru.fit_many(mixed(150, slow), **SHARED)
            with Killer(lambda: [info["pid"] for info in workers(client)], seed) as killer:
                results = cgru.fit_many(mixed(150, slow), **SHARED, executor=client.get_executor())
            print("equal:", equal(results, due), "killed:", killer.killed > 0)
            print(*{repr(result.error) for result in results if result.error}, sep="\n", end="")
        if what == "guilty":
            due = cgru.fit_many(mixed(), **SHARED)
            jobs = [cgru.Job(die, "guilty", epochs=1), *mixed()]
            first, *others = cgru.fit_many(jobs, **SHARED, executor=client.get_executor())
            print("equal:", equal(others, due), first)


def workers(client):
    return [{"pid": pid} for pid in client.run(os.getpid, on_error="ignore").values() if isinstance(pid, int)]


def in_mpi():
    from mpi4py.futures import MPIPoolExecutor

    due = cgru.fit_many(mixed(), **SHARED)
    with MPIPoolExecutor() as executor:
        print("equal:", equal(cgru.fit_many(mixed(), **SHARED, executor=executor), due))


def interruptible():
    def tell(result):
        done.append(result)
        if len(done) == 20:
            print("begun", flush=True)

    done = []
    results = cgru.fit_many(mixed(2000, slow), **SHARED, executor=partial(ProcessPoolExecutor, 2), callback=tell)
    done = sum(result.error is None for result in results)
    not_done = sum(isinstance(result.error, KeyboardInterrupt) for result in results)
    print(done, not_done)


if __name__ == "__main__":
    name, *arguments = sys.argv[1:]
    {"dask": in_dask, "mpi": in_mpi, "interruptible": interruptible}[name](*arguments)
