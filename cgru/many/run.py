"""`fit_many`: run many fits, each on one thread of this process or on the workers of an executor."""

from __future__ import annotations

import os
import pickle
import warnings
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, suppress
from dataclasses import replace
from queue import Empty, SimpleQueue
from tempfile import TemporaryDirectory
from threading import Thread
from typing import Any

from cgru.core.checks import callable_, flag, positive
from cgru.core.threads import get_num_threads, single_threaded
from cgru.layers import Layer
from cgru.many.executors import POLL_SECONDS, Dispatcher, Task
from cgru.many.jobs import Job, Result, SharedData, WorkerState, changed_by_fit, run
from cgru.many.store import Store, read_result, write_result
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
    executor: Any = None,
    store: str | os.PathLike[str] | None = None,
    keep: bool = True,
    progress: bool = False,
    callback: Callable[[Result], Any] | None = None,
) -> list[Result]:
    """Fit the network of each job, several at a time; return their results in the order of the jobs.

    Each result is bit for bit that of `network.fit` alone, on any number of threads. Networks, layers, losses, lengths
    and seeds may differ. Jobs begin in their order: put the longest first. A job that is refused, or diverges, has its
    error in its result; the others go on.

    On an executor each job runs on one thread of a worker. Results are the same bits where the processors have the same
    instruction set. The network of a job stays unchanged; its result has a copy that was fitted.

    Jobs are sent in batches, each with the data that all share. Give large data as paths of files that the workers see.
    A job that cannot be pickled fails alone. A job whose worker died is run once more, while no other runs; the second
    time it has a RuntimeError. A pool of processes breaks at the first death: give a function that makes it, so that
    another one takes over. All machines need the same version of cgru.

    Ctrl-C stops running fits after their current epoch, and begins no other batch. The results so far are returned
    under a RuntimeWarning that says how many they are. All others have a KeyboardInterrupt as their error.

    Args:
        jobs: `Job`s, each with a name and a network of its own (layers and generators, but for frozen layers), and a
            checkpoint where there is one. A network is fitted in place; one that is given as a function is made when
            its turn comes, with layers that no other has.
        X: the data that jobs share, as `Network.fit` takes them, or, like those that follow, the path of an `.npy`
            file, which is mapped into memory. A running job copies its `rows` of them.
        y: the targets of the shared data, likewise.
        lengths: the real steps of each sample, likewise.
        sample_weight: the weight of each sample, likewise.
        groups: the group of each sample, likewise.
        threads: how many jobs run at once, one a thread; None: `get_num_threads()`.
        executor: fit on its workers instead of threads: any object with `submit`, as of `concurrent.futures`
            (processes), loky, Dask (`client.get_executor()`) or mpi4py (`MPIPoolExecutor`), or a function without
            arguments that makes one. An executor that this function made is shut down in the end, a given one is not.
        store: a folder for the results, made where there is none. A result is written there when it comes. The next
            call with the same folder reads it instead of running the job, unless the job, its data, the code of its
            functions, or the version of cgru have changed. Errors are not stored. The files are pickles: use your own
            only.
        keep: whether results have the networks and histories. False: scores alone, so that memory use stays constant
            where jobs make their networks.
        progress: whether to show a bar over the jobs, by tqdm.
        callback: called with each `Result` as it comes, in the caller's thread.

    Returns:
        The result of each job.

    Raises:
        TypeError, ValueError: an argument is invalid, before any fit.
        OSError: a file of the data cannot be read, or one of the store cannot be written.

    Examples:
        >>> X, y = np.ones((20, 5, 2)), np.arange(20) % 2
        >>> def make(units):
        ...     return cgru.Network([cgru.GRU(units), cgru.Dense(2, "softmax")], seed=0)
        >>> jobs = [cgru.Job(make(units), f"{units} units", epochs=2) for units in (1, 2, 4)]
        >>> results = cgru.fit_many(jobs, X, y)
        >>> [result.name for result in results], results[0].scores["epochs"]
        (['1 units', '2 units', '4 units'], 2)
    """
    flag(keep, "keep")
    flag(progress, "progress")
    if callback is not None:
        callable_(callback, "callback")
    if executor is not None and threads is not None:
        raise ValueError(f"threads: expected None together with executor, got {threads!r}")
    if executor is not None and not hasattr(executor, "submit") and not callable(executor):
        due = "an object with submit, or a function that makes one"
        raise TypeError(f"executor: expected {due}, got {type(executor).__name__}")
    threads = get_num_threads() if threads is None else positive(threads, "threads")
    shared = SharedData(X, y, lengths, sample_weight, groups)
    opened = shared.opened()
    if not isinstance(jobs, Iterable):
        raise TypeError(f"jobs: expected Jobs, got {type(jobs).__name__}")
    jobs = list(jobs)
    names = _names(jobs)
    known = None if store is None else Store(store, opened, keep)
    paths = [] if known is None else [known.path(job) for job in jobs]
    found = {i: replace(result, name=names[i]) for i, path in enumerate(paths) if (result := read_result(path))}
    tasks = [(i, names[i], job) for i, job in enumerate(jobs) if i not in found]
    with ExitStack() as stack:
        bar = stack.enter_context(tqdm_class()(total=len(jobs), unit="fit")) if progress else None

        def tell(result: Result) -> None:
            """Advance the progress bar, and call the callback with a result."""
            if bar is not None:
                bar.update()
            if callback is not None:
                callback(result)

        with suppress(KeyboardInterrupt):  # then some results are missing
            for result in list(found.values()):
                tell(result)
            if executor is None:
                is_told = progress or callback is not None
                run_on_threads(tasks, opened, keep, threads, paths, found, tell if is_told else None)
            elif tasks:
                folder = stack.enter_context(TemporaryDirectory("", "cgru-", ignore_cleanup_errors=True))
                paths = paths or [os.path.join(folder, str(i)) for i in range(len(jobs))]
                Dispatcher(shared, keep, executor, paths, known is not None, found, tell).run(tasks)
    if len(found) < len(jobs):
        done = f"{len(found)} of {len(jobs)} jobs are done"
        warnings.warn(f"fit_many: interrupted; {done}", RuntimeWarning, stacklevel=2)
    return [found.get(i) or Result(name, error=KeyboardInterrupt("not done")) for i, name in enumerate(names)]


def _names(jobs: list[Job]) -> list[Any]:
    """Return the name of each job; raise ValueError if two jobs share a name, a layer or a checkpoint."""
    owners: dict[Any, int] = {}
    names = []
    for i, job in enumerate(jobs):
        if not isinstance(job, Job):
            raise TypeError(f"jobs[{i}]: expected a Job, got {type(job).__name__}")
        names.append(i if job.name is None else job.name)
        for what, key in (*_owned(job), ("name", ("name", names[i]))):
            if (first := owners.setdefault(key, i)) != i:
                raise ValueError(f"jobs[{i}].{what}: expected one of its own, got that of jobs[{first}]")
    return names


def _owned(job: Job) -> Iterator[tuple[str, Any]]:
    """Yield (name, key) for everything that only one job may use: network, trained layers, generators, checkpoint."""
    if (checkpoint := job.options.get("checkpoint")) is not None:
        yield "checkpoint", os.path.realpath(checkpoint.path)
    for name, part in changed_by_fit(job.network) if isinstance(job.network, Network) else ():
        yield name, id(part)
        if isinstance(part, Layer) and "rng" in part.given:  # otherwise the network made the generator
            yield f"{name}.np_rng", id(part.np_rng)


def run_on_threads(
    tasks: list[Task],
    shared: SharedData,
    keep: bool,
    threads: int,
    paths: list[str],
    results: dict[int, Result],
    tell: Callable[[Result], None] | None,
) -> None:
    """Run jobs on threads of this process, each on one thread, and store their results, by index, in `results`.

    tasks: the jobs, in the order in which they begin.
    paths: for each job the file of the store for its result; [] without a store.
    tell: a function called with each stored result, in this thread. None: no job pays for waking this thread.
    """
    waiting, done, state = SimpleQueue[Task | None](), SimpleQueue[Result | BaseException | None](), WorkerState()

    def work() -> None:
        """Run jobs until none is left or the call is over; then put None into `done`, or an error: a full disk."""
        end = None
        try:
            with single_threaded():
                while not state.over.is_set() and (task := waiting.get()) is not None:
                    i, name, job = task
                    with suppress(KeyboardInterrupt):  # of the job's own code, or by `stop`: it is not done
                        result = run(job, name, shared, keep, state)
                        if state.over.is_set():  # the fit may have been cut short
                            break
                        if paths and result.error is None:
                            write_result(paths[i], pickle.dumps(result))
                        results[i] = result
                        if tell is not None:
                            done.put(result)
        except BaseException as error:
            end = error
        done.put(end)

    workers = [Thread(target=work, daemon=True) for _ in range(min(threads, len(tasks)))]
    for task in (*tasks, *(None for _ in workers)):
        waiting.put(task)
    try:
        for worker in workers:  # no pool of them, for which the end of the program would wait
            worker.start()
        for _ in workers:
            while isinstance(each := _next(done), Result):
                tell(each)
            if each is not None:
                raise each
    finally:
        state.over.set()
        for worker in workers:
            while worker.is_alive():
                state.stop()
                worker.join(0.01)


def _next(queue: SimpleQueue[Any]) -> Any:
    """Wait for the next item of a queue, waking up now and then to notice a Ctrl-C."""
    while True:
        with suppress(Empty):
            return queue.get(timeout=POLL_SECONDS)
