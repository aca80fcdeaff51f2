"""Run jobs on the workers of an executor, in batches; a job whose worker died is sent once more, alone.

Goal: anything with `submit` will do. A batch shares one copy of the data on its way; it is a batch of jobs, never a
mini-batch of samples.

A pool of processes that breaks takes all jobs under way with it, and does not say which one was to blame. So a worker
on the same machine leaves a mark in the folder of results while it runs a job, and writes each result there when it is
done. Jobs with a mark are sent again one by one, after all others; jobs without one were only waiting. Results through
the pool's own pipe were rejected: a worker that is killed while it sends one leaves the pool waiting for ever.
"""

from __future__ import annotations

import copy
import os
import pickle
import queue
from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import BrokenExecutor, CancelledError, Future, InvalidStateError, wait
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from cgru.core.threads import single_threaded
from cgru.many.jobs import Job, Result, SharedData, WorkerState, run
from cgru.many.store import package, read_result, write_result
from cgru.network.history import History

__all__ = ["Dispatcher", "OtherVersionError", "fit_batch", "wait_for_next"]

Task = tuple[int, Any, Job]  # index among the jobs of the call, name, job

BATCH_SHARE = 64  # a batch costs 1 / 64 of what is left: the last batches are small, and no worker waits for long
MAX_JOBS = 100  # of a batch
MAX_UNDER_WAY = 128  # batches
MAX_BYTES_UNDER_WAY = 1 << 28  # summed over the batches
MAX_IDLE = 3  # executors in a row that break before they begin a job
WORKER_STATE = WorkerState()  # of this worker process: networks that its batches fitted or made
POLL_SECONDS = 1.0
GRACE_SECONDS = 1.0  # after a Ctrl-C, for workers that got it, too, to return what they have done
PICKLES = "a function of a module, or functools.partial of one, instead of a lambda or local function"


class OtherVersionError(RuntimeError):
    """A worker has another version of cgru than the process that sends it jobs."""


def wait_for_next(done: queue.SimpleQueue[Any]) -> Any:
    """Return the next item of the queue `done`, waiting for it.

    The wait is cut into POLL_SECONDS, since a blocking `get` does not notice a Ctrl-C that came just before it.
    """
    while True:
        with suppress(queue.Empty):
            return done.get(timeout=POLL_SECONDS)


class Dispatcher:
    """Sends jobs to the workers of an executor; an iterator over their results as they come.

    tasks: the jobs, in the order in which they are sent.
    costs: the cost of each job.
    shared: the data that all jobs share.
    keep: whether results have their networks and histories.
    executor: an object with `submit`, or a function that makes one.
    folder, paths: the folder of results, and for each job the file for its result in it.
    results: the results by index. Each is stored before it is yielded, so that a Ctrl-C between two lines loses none.
    """

    def __init__(
        self,
        tasks: list[Task],
        costs: list[float],
        shared: SharedData,
        keep: bool,
        executor: Any,
        folder: str,
        paths: Sequence[str],
    ) -> None:
        """Cut the jobs into batches; nothing is sent yet."""
        self.make, self.pool = (None, executor) if hasattr(executor, "submit") else (executor, None)
        self.shared, self.keep, self.paths = pickle.dumps(shared.portable()), keep, paths
        self.batches, self.lost = deque(_batches(tasks, costs)), deque[Task]()
        self.pending: dict[Future[Any], tuple[list[Task], int]] = {}  # the jobs of each future, and their bytes
        self.done: queue.SimpleQueue[Future[Any]] = queue.SimpleQueue()
        self.results: dict[int, Result] = {}
        self.ready = deque[Result]()  # still to be yielded
        self.retried: set[int] = set()
        self.idle = 0  # executors in a row that broke before they began a job
        self.broken: BaseException | None = None  # the error after which nothing more is sent
        self.mark = Path(folder, f"{os.urandom(8).hex()}.running")
        self.mark.touch()

    def __iter__(self) -> Iterator[Result]:
        while True:
            while tasks := self._next():
                self._send(tasks)
            if not self.ready and not self.pending:
                return
            if not self.ready:
                self._receive(wait_for_next(self.done))
            while self.ready:
                yield self.ready.popleft()

    def close(self) -> None:
        """Stop sending, cancel the batches that have not begun, and receive the results of those that are done."""
        try:
            self.mark.unlink(missing_ok=True)  # workers begin no other job
            running = [future for future in self.pending if not _cancel(future)]
            wait(running, GRACE_SECONDS)
            for future in running:
                if future.done():
                    self._receive(future)
        finally:  # after a second Ctrl-C, too
            if self.make is not None and self.pool is not None:
                self.pool.shutdown(wait=not self.pending)
            for path in self.mark.parent.glob(f"{self.mark.name}*"):
                path.unlink(missing_ok=True)

    def _next(self) -> list[Task]:
        """Return the jobs to send now: a batch, or one lost job while nothing else is under way; [] for none."""
        n_bytes = sum(n_bytes for _, n_bytes in self.pending.values())
        if self.batches and (not self.pending or (len(self.pending) < MAX_UNDER_WAY and n_bytes < MAX_BYTES_UNDER_WAY)):
            return self.batches.popleft()
        return [self.lost.popleft()] if self.lost and not self.pending else []

    def _send(self, tasks: list[Task]) -> None:
        """Pickle jobs and submit them to the executor; those that cannot be pickled, or sent, fail."""
        pickled = []
        for i, name, job in tasks:
            if self.broken is not None:
                cure = "give a function that makes an executor, or call again with the same store="
                self._fail(i, name, RuntimeError(f"job {name!r}: the executor broke; {cure}: {self.broken}"))
                continue
            try:
                pickled.append((i, self.paths[i], pickle.dumps(_portable(job))))
            except Exception as error:
                self._fail(i, name, TypeError(f"job {name!r}: expected what can be pickled, {PICKLES}, got: {error}"))
        if not pickled:
            return
        if self.pool is None:
            pool = self.make()
            if not hasattr(pool, "submit"):
                due = "a function that makes an object with submit"
                raise TypeError(f"executor: expected {due}, got {type(pool).__name__} of it")
            self.pool = pool
        try:
            future = self.pool.submit(fit_batch, Message(self.shared, pickled, self.keep, str(self.mark)))
        except BrokenExecutor as error:
            self._drop_executor(error, tasks)
            return
        from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor  # slow to import

        # A pool of the standard library pickles a batch only when a worker takes it.
        travels = not isinstance(self.pool, ProcessPoolExecutor | ThreadPoolExecutor)
        self.pending[future] = tasks, len(self.shared) * travels + sum(len(data) for *_, data in pickled)
        future.add_done_callback(self.done.put)

    def _receive(self, future: Future[Any]) -> None:
        """Store the results of a batch that ended, and send its other jobs again."""
        if future not in self.pending:  # lost with its executor
            return
        error = CancelledError("its batch of jobs was cancelled") if future.cancelled() else future.exception()
        if isinstance(error, BrokenExecutor):
            self._drop_executor(error, [])
            return
        self._store(self.pending[future][0], dict(future.result()) if error is None else {}, error)
        del self.pending[future]  # after a Ctrl-C before this line it is received once more

    def _drop_executor(self, error: BaseException, tasks: list[Task]) -> None:
        """Drop an executor that broke, with all that is under way, and `tasks` that it did not take.

        Nothing more is sent where there is no function that makes another, or MAX_IDLE in a row did nothing at all.
        """
        waiting = tasks + [task for tasks, _ in self.pending.values() for task in tasks]
        done = self._store(waiting, {}, None)
        waiting = [task for task in waiting if task[0] not in self.results]
        begun = [task for task in waiting if Path(f"{self.mark}.{task[0]}").exists()]
        self.idle = 0 if done or begun else self.idle + 1
        self.pending.clear()
        self._store(begun, {}, error)
        again = [task for task in waiting if task not in begun]
        self.batches.extendleft([again] if again else [])
        if self.make is None or self.idle == MAX_IDLE:
            self.broken = error
        else:
            self.pool.shutdown(wait=False)
            self.pool = None

    def _store(self, tasks: list[Task], found: dict[int, bytes | None], error: BaseException | None) -> int:
        """Store the results of jobs, `found` or in their files; after an `error` lose the others. Return how many."""
        count = len(self.results)
        for i, name, job in tasks:
            data = found.get(i)
            result = (
                read_result(self.paths[i]) if data is None else _unpickle(i, data, "a result of classes known here")
            )
            if result is not None:
                self._add(i, replace(result, name=name))
            elif isinstance(error, OtherVersionError):
                self._fail(i, name, error)
            elif i in self.retried and error is not None:
                text = f"job {name!r}: its worker died twice, at last while it ran alone (out of memory?): {error}"
                self._fail(i, name, RuntimeError(text), error)
            elif error is not None and not isinstance(error, KeyboardInterrupt):
                self.retried.add(i)
                self.lost.append((i, name, job))
                Path(f"{self.mark}.{i}").unlink(missing_ok=True)
        return len(self.results) - count

    def _add(self, i: int, result: Result) -> None:
        """Store the result of job i, then queue it to be yielded."""
        self.results[i] = result
        self.ready.append(result)

    def _fail(self, i: int, name: Any, error: BaseException, cause: BaseException | None = None) -> None:
        """Store the error of job i."""
        error.__cause__ = cause
        self._add(i, Result(name, error=error))


@dataclass(frozen=True)
class Message:
    """A message to a worker: a batch of jobs, and the data and settings to run them.

    shared: the `SharedData`, pickled.
    jobs: the index of each job, the file for its result, and the job, pickled one by one: one that cannot be unpickled
        fails alone.
    keep: whether results have their networks and histories.
    mark: a file that is there while somebody waits for results; a worker that sees it writes them to their files.
    package: the version of cgru that sends.
    """

    shared: bytes
    jobs: list[tuple[int, str, bytes]]
    keep: bool
    mark: str
    package: str = field(default_factory=package)

    def __dask_tokenize__(self) -> str:
        """Return a key for Dask, which would else hash every byte, and runs calls with equal keys once."""
        return os.urandom(16).hex()


def fit_batch(message: Message) -> list[tuple[int, bytes | None]]:
    """Fit the jobs of a message in this worker, each on one thread; return the index and the pickled result of each.

    None in the place of a result that was written to its file. A KeyboardInterrupt ends it with the results so far.
    OtherVersionError where this worker has another cgru than the sender.
    """
    if package() != message.package:
        due = f"workers with cgru {message.package}, as here, got one with {package()}"
        raise OtherVersionError(f"executor: expected {due}; install the same on all machines")
    results: list[tuple[int, bytes | None]] = []
    sees_mark = os.path.exists(message.mark)
    with suppress(KeyboardInterrupt), single_threaded():
        try:
            samples = pickle.loads(message.shared).opened()
        except Exception as error:
            return [(i, _pickled(Result(i, error=error))[1]) for i, *_ in message.jobs]
        for i, path, data in message.jobs:
            if sees_mark and not os.path.exists(message.mark):
                break
            own = Path(f"{message.mark}.{i}")
            if sees_mark:
                own.touch()
            job = _unpickle(i, data, "functions and classes of modules that the worker can import")
            result = job if isinstance(job, Result) else run(job, i, samples, message.keep, WORKER_STATE)
            result, packed = _pickled(result)
            written = False
            if sees_mark and result.error is None:  # others are tried again by the next call
                with suppress(OSError):
                    write_result(path, packed)
                    written = True
            results.append((i, None if written else packed))
            own.unlink(missing_ok=True)
    return results


def _pickled(result: Result) -> tuple[Result, bytes]:
    """Return (result, pickled); where its network or error cannot be pickled, one with an error instead of it."""
    error = result.error
    try:
        data = pickle.dumps(result)
        if error is not None:
            pickle.loads(data)  # unpickling calls the exception's class with `args`, which it may refuse
        return result, data
    except Exception as why:
        replacement: Exception = RuntimeError(f"{type(error).__name__}: {error}")
        if error is None:
            replacement = TypeError(f"network: expected what can be pickled, {PICKLES}, or keep=False, got: {why}")
        result = replace(result, network=None, history=History(), error=replacement)
        return result, pickle.dumps(result)


def _unpickle(i: int, data: bytes, expected: str) -> Any:
    """Unpickle a job or a result; where that fails return a result of job `i` whose error says what was `expected`."""
    try:
        return pickle.loads(data)
    except Exception as error:
        return Result(i, error=RuntimeError(f"expected {expected}, got {type(error).__name__}: {error}"))


def _portable(job: Job) -> Job:
    """Return a copy of the job whose file names are absolute paths, for a process with another working directory."""
    job = copy.copy(job)
    job.samples = job.samples.portable()
    checkpoint = job.options.get("checkpoint")
    if isinstance(checkpoint, str | os.PathLike):
        job.options = job.options | {"checkpoint": os.path.abspath(checkpoint)}
    return job


def _batches(tasks: list[Task], costs: list[float]) -> Iterator[list[Task]]:
    """Cut the jobs into batches, in order; each costs at most 1 / BATCH_SHARE of all that is left, or is one job."""
    left, at = sum(costs), 0
    while at < len(tasks):
        start, share, cost = at, left / BATCH_SHARE, 0.0
        while at < len(tasks) and at - start < MAX_JOBS and (at == start or cost + costs[at] <= share):
            cost += costs[at]
            at += 1
        left -= cost
        yield tasks[start:at]


def _cancel(future: Future[Any]) -> bool:
    """Cancel a future; return False where it runs already, or is done.

    Before Python 3.12 a pool of processes that breaks, as at a Ctrl-C, sets its error on every future that waits. On a
    cancelled one that raises InvalidStateError, and the thread that manages the pool dies: its pipe stays full, and the
    interpreter never ends. Hence `set_exception` is wrapped here to ignore that error.
    """
    original = future.set_exception

    def set_exception(error: BaseException | None) -> None:
        """Set the exception of the future unless it is cancelled already."""
        with suppress(InvalidStateError):
            original(error)

    future.set_exception = set_exception
    return future.cancel()
