"""Many fits, one a thread or on somebody else's workers."""

from __future__ import annotations

import os
import queue
import threading
import warnings
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Executor
from contextlib import closing, nullcontext, suppress
from typing import Any

from cgru.core.checks import callable_, flag, positive
from cgru.core.threads import get_num_threads, single_threaded
from cgru.layers import Layer
from cgru.many.dispatch import Executors, Parcels, taken
from cgru.many.jobs import Job, Result, Running, Samples, changed, cost_of, run
from cgru.network.network import Network
from cgru.network.progress import tqdm_class

__all__ = ["fit_many"]


def fit_many(
    jobs: Iterable[Job],
    X: Any = None,
    y: Any = None,
    *,
    lengths: Any = None,
    sample_weight: Any = None,
    groups: Any = None,
    threads: int | None = None,
    executor: Executors | None = None,
    keep: bool = True,
    progress: bool = False,
    callback: Callable[[Result], Any] | None = None,
) -> list[Result]:
    """Fit the network of each job, several at a time; return their results in the order of the jobs.

    Each is bit for bit what `network.fit` alone gives, on any number of threads. Networks, layers, losses, lengths and
    seeds may be any mixture. Those that take longest begin first. A job that is refused, or diverges, has its error in
    its result and stops no other.

    jobs: `Job`s, each with a name and a network of its own (layers and generators, but for what is frozen), and a
        checkpoint where there is one. A network is fitted in place; one that is given as a function is made when its
        turn comes, with layers that no other has.
    X, y, lengths, sample_weight, groups: what jobs share, as `Network.fit` takes it, or the names of `.npy`
        files, which are mapped into memory. Of its `rows` a job takes a copy, while it runs.
    threads: how many jobs run at once, one a thread; None: `get_num_threads()`.
    executor: fit on its workers in the place of threads: an Executor as of `concurrent.futures` (processes, Dask's
        `client.get_executor()`, mpi4py's `MPIPoolExecutor`), or a function without arguments that makes one. What
        fit_many made it shuts down, and makes anew when it breaks; what it was given it leaves open.
    keep: whether results have the networks and histories; False: scores alone, so that memory stays flat where jobs
        make their networks.
    progress: show a bar over the jobs, by tqdm.
    callback: called with each `Result` as it comes, in the caller's thread.

    On an executor's workers, each job on one thread of one of them, results are the same bits where the processors have
    the same instruction set. A job's own network stays as it is; its result has a copy that was fitted. Jobs are sent
    in parcels, and with each parcel go the samples that they share: large ones had better be names of files, which the
    workers must see, since on a cluster parcels wait beyond 256 MiB under way, and workers with them. What cannot be
    pickled is refused by that job's result. A worker that dies costs time alone, since its parcel is sent again, and a
    job that kills its workers again and again has a RuntimeError; but where an Executor that was given breaks for good,
    as one of processes does at the first death, all that is not yet done has that error. Where a Dask cluster has lost
    all workers, it waits for new ones; MPI ends as a whole when a rank dies. A worker with another version of cgru, or
    other code under the same number, does nothing: all that is not yet done has a RuntimeError that names both.

    Ctrl-C ends it: fits that are under way stop after their epoch, parcels that wait are not begun, and what is done
    is returned under a RuntimeWarning that says how much that is; the other results have a KeyboardInterrupt as their
    error.

    TypeError or ValueError, before any fit, for arguments that are not what they should be.
    """
    flag(keep, "keep")
    flag(progress, "progress")
    if callback is not None:
        callable_(callback, "callback")
    if executor is not None and threads is not None:
        raise ValueError(f"threads: expected None beside executor, got {threads!r}")
    if executor is not None and not isinstance(executor, Executor) and not callable(executor):
        raise TypeError(f"executor: expected an Executor or a function that makes one, got {type(executor).__name__}")
    threads = get_num_threads() if threads is None else positive(threads, "threads")
    shared = Samples(X, y, lengths, sample_weight, groups)
    opened = shared.opened()
    if not isinstance(jobs, Iterable):
        raise TypeError(f"jobs: expected Jobs, got {type(jobs).__name__}")
    jobs = list(jobs)
    names = _names(jobs)
    costs = [cost_of(job, opened) for job in jobs]
    order = sorted(range(len(jobs)), key=lambda i: -costs[i])
    tasks = [(i, names[i], jobs[i]) for i in order]
    kind = tqdm_class() if progress else None
    workers: Threads | Parcels
    if executor is None:
        workers = Threads(tasks, opened, keep, threads)
    else:
        workers = Parcels(tasks, [costs[i] for i in order], shared, keep, executor)
    bar = nullcontext() if kind is None else kind(total=len(jobs), unit="fit")
    with bar, closing(workers), suppress(KeyboardInterrupt):  # results then lack what is not done
        for result in workers:
            if kind is not None:
                bar.update()
            if callback is not None:
                callback(result)
    results = workers.results
    if len(results) < len(jobs):
        done = f"{len(results)} of {len(jobs)} jobs are done"
        warnings.warn(f"fit_many: interrupted; {done}", RuntimeWarning, stacklevel=2)
    return [results.get(i) or Result(name, error=KeyboardInterrupt("not done")) for i, name in enumerate(names)]


def _names(jobs: list[Job]) -> list[Any]:
    """The names of jobs, each its own; TypeError or ValueError for what are no jobs of one call."""
    owners: dict[Any, int] = {}
    for i, job in enumerate(jobs):
        if not isinstance(job, Job):
            raise TypeError(f"jobs[{i}]: expected a Job, got {type(job).__name__}")
        for what, key in _owned(job):
            first = owners.setdefault(key, i)
            if first != i:
                raise ValueError(f"jobs[{i}].{what}: expected one of its own, got that of jobs[{first}]")
    names = [i if job.name is None else job.name for i, job in enumerate(jobs)]
    places: dict[Any, int] = {}
    for i, name in enumerate(names):
        if places.setdefault(name, i) != i:
            raise ValueError(f"jobs[{i}].name: expected another than that of jobs[{places[name]}], got {name!r}")
    return names


def _owned(job: Job) -> Iterator[tuple[str, Any]]:
    """What no other job may have, by what it is: network, layers that a fit changes, generators, checkpoint."""
    checkpoint = job.options.get("checkpoint")
    if isinstance(checkpoint, str | os.PathLike):
        yield "checkpoint", os.path.realpath(checkpoint)
    if not isinstance(job.network, Network):
        return
    for name, part in changed(job.network):
        yield name, id(part)
        if isinstance(part, Layer) and "rng" in part.given:  # else the network has seen to it
            yield f"{name}.np_rng", id(part.np_rng)


class Threads:
    """Runs jobs, (place, name, job), in this order, one a thread; gives results as they come.

    `results` has them by place, each before it is given: a Ctrl-C between two lines loses none.
    """

    def __init__(self, tasks: list[tuple[int, Any, Job]], shared: Samples, keep: bool, threads: int) -> None:
        self.tasks, self.shared, self.keep = tasks, shared, keep
        self.results: dict[int, Result] = {}
        self.next, self.done, self.running = iter(tasks), queue.SimpleQueue[Result | None](), Running()
        self.threads = [threading.Thread(target=self._work, daemon=True) for _ in range(min(threads, len(tasks)))]

    def __iter__(self) -> Iterator[Result]:
        for thread in self.threads:
            thread.start()
        for _ in self.tasks:
            result = taken(self.done)
            if result is not None:
                yield result

    def close(self) -> None:
        """Begin no other job, stop those that run."""
        for thread in self.threads:
            while thread.ident is not None and thread.is_alive():
                self.running.stop()
                thread.join(0.01)

    def _work(self) -> None:
        with single_threaded():
            for i, name, job in self.next:  # a list's iterator gives each to one thread alone
                try:
                    result = run(job, name, self.shared, self.keep, self.running)
                except KeyboardInterrupt:  # of the job's own making, or all is over: it is not done
                    result = None
                if self.running.over.is_set():  # before its end, maybe
                    return
                if result is not None:
                    self.results[i] = result
                self.done.put(result)
