"""Run jobs on the workers of an executor, in batches; a job whose worker died is sent once more, alone.

Goal: anything with `submit` will do. A batch shares one copy of the data on its way; it is a batch of jobs, never a
mini-batch of samples.

A pool of processes that breaks takes all jobs under way with it, and does not say which one was to blame. So a worker
on the same machine leaves a mark in the folder of results while it runs a job, and writes each result there when it is
done. Jobs with a mark are sent again one by one, after all others; jobs without one were only waiting. Results through
the pool's own pipe were rejected: a worker that is killed while it sends one leaves the pool waiting for ever.
"""

from __future__ import annotations

import os
import pickle
import queue
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import BrokenExecutor, CancelledError, Future, InvalidStateError, wait
from contextlib import suppress
from dataclasses import dataclass, replace
from itertools import accumulate
from pathlib import Path
from typing import Any

from cgru.core.threads import single_threaded
from cgru.many.jobs import Job, Result, SharedData, WorkerState, run
from cgru.many.store import read_result, write_result
from cgru.network.history import History

__all__ = ["Dispatcher", "fit_batch", "wait_for_next"]

Task = tuple[int, Any, Job]  # index among the jobs of the call, name, job

BATCH_SHARE = 64  # a batch costs 1 / 64 of what is left: the last batches are small, and no worker waits for long
MAX_JOBS = 100  # of a batch
MAX_UNDER_WAY = 128  # batches
MAX_IDLE = 3  # executors in a row that break before they begin a job
WORKER_STATE = WorkerState()  # of this worker process: networks that its batches fitted or made
POLL_SECONDS = 1.0
GRACE_SECONDS = 1.0  # after a Ctrl-C, for workers that got it, too, to return what they have done
PICKLES = "a function of a module, or functools.partial of one, instead of a lambda or local function"


def wait_for_next(done: queue.SimpleQueue[Any]) -> Any:
    """Return the next item of the queue `done`, waiting for it.

    The wait is cut into POLL_SECONDS, since a blocking `get` does not notice a Ctrl-C that came just before it.
    """
    while True:
        with suppress(queue.Empty):
            return done.get(timeout=POLL_SECONDS)


class Dispatcher:
    """Sends jobs to the workers of an executor, and stores their results.

    tasks: the jobs, in the order in which they are sent.
    costs: the cost of each job.
    shared: the data that all jobs share.
    keep: whether results have their networks and histories.
    executor: an object with `submit`, or a function that makes one.
    folder, paths: the folder of results, and for each job the file for its result in it.
    results: a dict for the results, by index. Each is stored before `tell` is called with it.
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
        results: dict[int, Result],
        tell: Callable[[Result], None],
    ) -> None:
        """Cut the jobs into batches; nothing is sent yet."""
        self.make, self.pool = (None, executor) if hasattr(executor, "submit") else (executor, None)
        self.shared, self.keep, self.paths = pickle.dumps(shared.portable()), keep, paths
        self.results, self.tell = results, tell
        self.batches, self.lost = deque(_batches(tasks, costs)), deque[Task]()
        self.pending: dict[Future[Any], list[Task]] = {}  # the jobs of each future
        self.done: queue.SimpleQueue[Future[Any]] = queue.SimpleQueue()
        self.retried: set[int] = set()
        self.idle = 0  # executors in a row that broke before they began a job
        self.broken: BaseException | None = None  # the error after which nothing more is sent
        self.mark = Path(folder, f"{os.urandom(8).hex()}.running")

    def run(self) -> None:
        """Run all jobs. After an exception send no more, and store the results of those that are done."""
        self.mark.touch()
        try:
            while self.batches or self.lost or self.pending:
                if self.batches and len(self.pending) < MAX_UNDER_WAY:
                    self._send(self.batches.popleft())
                elif self.pending:
                    self._receive(wait_for_next(self.done))
                else:
                    self._send([self.lost.popleft()])  # while nothing else is under way
        finally:
            self._close()

    def _close(self) -> None:
        """Cancel the batches that have not begun, and store the results of those that are done."""
        try:
            self.tell = lambda result: None
            self.mark.unlink(missing_ok=True)  # workers begin no other job
            running = [future for future in self.pending if not _cancel(future)]
            for future in wait(running, GRACE_SECONDS).done:
                self._receive(future)
        finally:  # after a second Ctrl-C, too
            if self.make is not None and self.pool is not None:
                self.pool.shutdown(wait=not self.pending)
            for path in self.mark.parent.glob(f"{self.mark.name}*"):
                path.unlink(missing_ok=True)

    def _send(self, tasks: list[Task]) -> None:
        """Pickle jobs and submit them to the executor; those that cannot be pickled, or sent, fail."""
        pickled = []
        for task in tasks:
            if self.broken is not None:
                cure = "give a function that makes an executor, or call again with the same store="
                self._fail(task, RuntimeError, f"the executor broke; {cure}: {self.broken}")
                continue
            try:
                pickled.append((task[0], self.paths[task[0]], pickle.dumps(task[2])))
            except Exception as error:
                self._fail(task, TypeError, f"expected what can be pickled, {PICKLES}, got: {error}")
        if not pickled:
            return
        if self.pool is None:
            self.pool = self.make()
            if not hasattr(self.pool, "submit"):
                pool, self.pool = type(self.pool).__name__, None
                raise TypeError(f"executor: expected a function that makes an object with submit, got {pool} of it")
        try:
            future = self.pool.submit(fit_batch, Message(self.shared, pickled, self.keep, str(self.mark)))
        except BrokenExecutor as error:
            self._drop_executor(error, tasks)
        else:
            self.pending[future] = tasks
            future.add_done_callback(self.done.put)

    def _receive(self, future: Future[Any]) -> None:
        """Store the results of a batch that ended, and send its other jobs again."""
        if future not in self.pending:  # lost with its executor
            return
        error = CancelledError("its batch of jobs was cancelled") if future.cancelled() else future.exception()
        if isinstance(error, BrokenExecutor):
            self._drop_executor(error, [])
            return
        tasks = self.pending[future]
        self._store(tasks, dict(future.result()) if error is None else {})
        if error is not None and not isinstance(error, KeyboardInterrupt):
            self._send_again(tasks, error)
        self.pending.pop(future, None)  # after a Ctrl-C before this line it is received once more

    def _drop_executor(self, error: BaseException, tasks: list[Task]) -> None:
        """Drop an executor that broke, with all that is under way, and `tasks` that it did not take.

        Nothing more is sent where there is no function that makes another, or MAX_IDLE in a row did nothing at all.
        """
        count, waiting = len(self.results), sum(self.pending.values(), tasks)
        self.pending.clear()
        self._store(waiting, {})
        waiting = [task for task in waiting if task[0] not in self.results]
        begun = [task for task in waiting if Path(f"{self.mark}.{task[0]}").exists()]
        again = [task for task in waiting if task not in begun]
        self.idle = 0 if begun or len(self.results) > count else self.idle + 1
        self._send_again(begun, error)
        self.batches.extendleft([again] if again else [])
        if self.make is None or self.idle == MAX_IDLE:
            self.broken = error
        else:
            self.pool.shutdown(wait=False)
            self.pool = None

    def _store(self, tasks: list[Task], found: dict[int, bytes | None]) -> None:
        """Store the results of jobs, `found` or in their files, and tell of them."""
        results = {}
        for i, name, _ in tasks:
            data = found.get(i)
            result = _unpickle(i, data, "a result of classes known here") if data else read_result(self.paths[i])
            if result is not None:
                results[i] = replace(result, name=name)
        self.results |= results
        for result in results.values():
            self.tell(result)

    def _send_again(self, tasks: list[Task], error: BaseException) -> None:
        """Send jobs without a result once more, alone; they fail where that has been done."""
        for task in (task for task in tasks if task[0] not in self.results):
            if task[0] in self.retried:
                text = f"its worker died twice, at last while it ran alone (out of memory?): {error}"
                self._fail(task, RuntimeError, text, error)
            else:
                self.retried.add(task[0])
                self.lost.append(task)
                Path(f"{self.mark}.{task[0]}").unlink(missing_ok=True)

    def _fail(self, task: Task, kind: type[Exception], text: str, cause: BaseException | None = None) -> None:
        """Store the error of a job, and tell of it."""
        i, name, _ = task
        error = kind(f"job {name!r}: {text}")
        error.__cause__ = cause
        self.results[i] = Result(name, error=error)
        self.tell(self.results[i])


@dataclass(frozen=True)
class Message:
    """A message to a worker: a batch of jobs, and the data and settings to run them.

    shared: the `SharedData`, pickled.
    jobs: the index of each job, the file for its result, and the job, pickled one by one: one that cannot be unpickled
        fails alone.
    keep: whether results have their networks and histories.
    mark: a file that is there while somebody waits for results; a worker that sees it writes them to their files.
    """

    shared: bytes
    jobs: list[tuple[int, str, bytes]]
    keep: bool
    mark: str

    def __dask_tokenize__(self) -> str:
        """Return a key for Dask, which would else hash every byte, and runs calls with equal keys once."""
        return os.urandom(16).hex()


def fit_batch(message: Message) -> list[tuple[int, bytes | None]]:
    """Fit the jobs of a message in this worker, each on one thread; return the index and the pickled result of each.

    None in the place of a result that was written to its file. A KeyboardInterrupt ends it with the results so far.
    """
    results: list[tuple[int, bytes | None]] = []
    sees_mark = os.path.exists(message.mark)
    with suppress(KeyboardInterrupt), single_threaded():
        try:
            samples = pickle.loads(message.shared).opened()
        except Exception as error:
            return [(i, _pickled(Result(i, error=error))[0]) for i, *_ in message.jobs]
        for i, path, data in message.jobs:
            if sees_mark and not os.path.exists(message.mark):
                break
            own = Path(f"{message.mark}.{i}")
            if sees_mark:
                own.touch()
            job = _unpickle(i, data, "functions and classes of modules that the worker can import")
            result = job if isinstance(job, Result) else run(job, i, samples, message.keep, WORKER_STATE)
            packed, has_error = _pickled(result)
            written = False
            if sees_mark and not has_error:  # others are tried again by the next call
                with suppress(OSError):
                    write_result(path, packed)
                    written = True
            results.append((i, None if written else packed))
            own.unlink(missing_ok=True)
    return results


def _pickled(result: Result) -> tuple[bytes, bool]:
    """Pickle a result, with an error instead where its network or error cannot be; return whether it has one, too."""
    error = result.error
    try:
        data = pickle.dumps(result)
        if error is not None:
            pickle.loads(data)  # unpickling calls the exception's class with `args`, which it may refuse
        return data, error is not None
    except Exception as why:
        due = f"network: expected what can be pickled, {PICKLES}, or keep=False, got: {why}"
        new = TypeError(due) if error is None else RuntimeError(f"{type(error).__name__}: {error}")
        return pickle.dumps(replace(result, network=None, history=History(), error=new)), True


def _unpickle(i: int, data: bytes, expected: str) -> Any:
    """Unpickle a job or a result; where that fails return a result of job `i` whose error says what was `expected`."""
    try:
        return pickle.loads(data)
    except Exception as error:
        return Result(i, error=RuntimeError(f"expected {expected}, got {type(error).__name__}: {error}"))


def _batches(tasks: list[Task], costs: list[float]) -> Iterator[list[Task]]:
    """Cut the jobs into batches, in order; each costs at most 1 / BATCH_SHARE of all that is left, or is one job."""
    left, at = sum(costs), 0
    while at < len(tasks):
        sums = list(accumulate(costs[at : at + MAX_JOBS]))
        n = max(1, sum(cost <= left / BATCH_SHARE for cost in sums))
        left -= sums[n - 1]
        yield tasks[at : at + n]
        at += n


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
