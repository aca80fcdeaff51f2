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
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, BrokenExecutor, CancelledError, Future, InvalidStateError, wait
from contextlib import suppress
from dataclasses import dataclass, replace
from itertools import chain
from pathlib import Path
from typing import Any

from cgru.core.threads import single_threaded
from cgru.many.jobs import Job, Result, SharedData, WorkerState, run
from cgru.many.store import read_result, write_result
from cgru.network.history import History

__all__ = ["POLL_SECONDS", "Dispatcher", "fit_batch"]

Task = tuple[int, Any, Job]  # index among the jobs of the call, name, job

BATCH_SHARE = 64  # a batch is 1 / 64 of what is left: the last batches are small, and no worker waits for long
MAX_JOBS = 100  # of a batch
MAX_UNDER_WAY = 128  # batches
MAX_IDLE = 3  # executors in a row that break before they begin a job
WORKER_STATE = WorkerState()  # of this worker process: networks that its batches fitted or made
POLL_SECONDS = 1.0  # a wait that does not end now and then would not notice a Ctrl-C that came just before it
GRACE_SECONDS = 1.0  # after a Ctrl-C, for workers that got it, too, to return what they have done
PICKLES = "a function of a module, or functools.partial of one, instead of a lambda or local function"


class Dispatcher:
    """Sends jobs to the workers of an executor, and stores their results.

    shared: the data that all jobs share.
    keep: whether results have their networks and histories.
    executor: an object with `submit`, or a function that makes one.
    paths: for each job the file for its result.
    stores: whether these are the files of a store, which get the results of workers that do not see them, too.
    results: a dict for the results, by index. Each is stored before `tell` is called with it.
    """

    def __init__(
        self,
        shared: SharedData,
        keep: bool,
        executor: Any,
        paths: Sequence[str],
        stores: bool,
        results: dict[int, Result],
        tell: Callable[[Result], None],
    ) -> None:
        """Pickle the shared data; nothing is sent yet."""
        self.make, self.pool = (None, executor) if hasattr(executor, "submit") else (executor, None)
        self.shared, self.keep, self.paths = pickle.dumps(shared.portable()), keep, paths
        self.stores, self.results, self.tell = stores, results, tell
        self.pending: dict[Future[Any], list[Task]] = {}  # the jobs of each future
        self.mark = Path(paths[0]).with_name(f"{os.urandom(8).hex()}.running")

    def run(self, tasks: list[Task]) -> None:
        """Run all jobs, in this order. After an exception send no more, and store the results of those that are done.

        An executor that broke is dropped. Nothing more is sent where there is no function that makes another, or
        MAX_IDLE in a row did nothing at all.
        """
        groups, retried, idle = deque([tasks]), set[int](), 0
        self.mark.touch()
        try:
            while groups:
                count = len(self.results)
                lost, error = self._run_group(groups.popleft())
                is_broken = isinstance(error, BrokenExecutor)
                waiting = [task for task in lost if is_broken and not self._own_mark(task).exists()]
                begun = [task for task in lost if task not in waiting]
                idle = 0 if begun or len(self.results) > count else idle + 1
                for task in begun:
                    if task[0] in retried:
                        text = f"its worker died twice, at last while it ran alone (out of memory?): {error}"
                        self._fail(task, RuntimeError, text, error)
                    else:
                        retried.add(task[0])
                        groups.append([task])
                        self._own_mark(task).unlink(missing_ok=True)
                if is_broken and self.make is not None and idle < MAX_IDLE:
                    self.pool.shutdown(wait=False)
                    self.pool = None
                    groups.extendleft([waiting] if waiting else [])
                elif is_broken:
                    cure = "give a function that makes an executor, or call again with the same store="
                    for task in (*waiting, *chain(*groups)):
                        self._fail(task, RuntimeError, f"the executor broke; {cure}: {error}", error)
                    groups.clear()
        finally:
            self._close()

    def _run_group(self, tasks: list[Task]) -> tuple[list[Task], BaseException | None]:
        """Run jobs in batches and store their results; return the jobs that got no result, and the error."""
        batches, lost, error = deque(_batches(tasks)), list[Task](), None
        while batches or self.pending:
            if batches and len(self.pending) < MAX_UNDER_WAY:
                try:
                    self._send(batches[0])
                    batches.popleft()
                except BrokenExecutor as broken:
                    lost, error = [*lost, *chain(*batches)], broken
                    batches.clear()
                continue
            for future in sorted(wait(self.pending, POLL_SECONDS, FIRST_COMPLETED).done, key=[*self.pending].index):
                found = self._receive(future)
                if found is not None and not isinstance(found, KeyboardInterrupt):
                    error = found
                    lost += self.pending[future]
                del self.pending[future]  # after a Ctrl-C before this line it is received once more
        return [task for task in lost if task[0] not in self.results], error

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
        """Pickle jobs and submit them to the executor; those that cannot be pickled fail."""
        pickled = []
        for task in tasks:
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
        self.pending[self.pool.submit(fit_batch, Message(self.shared, pickled, self.keep, str(self.mark)))] = tasks

    def _receive(self, future: Future[Any]) -> BaseException | None:
        """Store the results of a finished batch, returned or written to files; return its error, or None."""
        error = CancelledError("its batch of jobs was cancelled") if future.cancelled() else future.exception()
        returned = dict(future.result()) if error is None else {}
        for i, name, _ in self.pending[future]:
            data = returned.get(i)
            result = _unpickle(i, data, "a result of classes known here") if data else read_result(self.paths[i])
            if result is not None:
                if data and self.stores and result.error is None:
                    write_result(self.paths[i], data)
                self.results[i] = replace(result, name=name)
                self.tell(self.results[i])
        return error

    def _own_mark(self, task: Task) -> Path:
        """Return the path of the marker file that exists while a local worker runs a job."""
        return Path(f"{self.mark}.{task[0]}")

    def _fail(self, task: Task, kind: type[Exception], text: str, cause: BaseException | None = None) -> None:
        """Store an error as the result of a job, and report it."""
        error = kind(f"job {task[1]!r}: {text}")
        error.__cause__ = cause
        self.results[task[0]] = Result(task[1], error=error)
        self.tell(self.results[task[0]])


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
        """Return a random key for Dask, which else hashes every byte and runs equal calls only once."""
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
            if sees_mark and not has_error:  # others are tried again by the next call
                with suppress(OSError):
                    write_result(path, packed)
                    packed = None
            results.append((i, packed))
            own.unlink(missing_ok=True)
    return results


def _pickled(result: Result) -> tuple[bytes, bool]:
    """Pickle a result; return (bytes, whether it has an error). An error replaces what cannot be pickled."""
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
    """Unpickle a job or a result; if that fails, return a failed result of job `i` that says what was `expected`."""
    try:
        return pickle.loads(data)
    except Exception as error:
        return Result(i, error=RuntimeError(f"expected {expected}, got {type(error).__name__}: {error}"))


def _batches(tasks: list[Task]) -> Iterator[list[Task]]:
    """Split jobs into batches that get smaller towards the end."""
    while tasks:
        n = min(MAX_JOBS, max(1, len(tasks) // BATCH_SHARE))
        yield tasks[:n]
        tasks = tasks[n:]


def _cancel(future: Future[Any]) -> bool:
    """Cancel a future; return False if it already runs or is done.

    Before Python 3.12 a pool of processes that breaks, as at a Ctrl-C, sets its error on every future that waits. On a
    cancelled one that raises InvalidStateError, and the thread that manages the pool dies: its pipe stays full, and the
    interpreter never ends. Hence `set_exception` is wrapped here to ignore that error.
    """
    original = future.set_exception

    def set_exception(error: BaseException | None) -> None:
        """Set the exception of the future unless it is already cancelled."""
        with suppress(InvalidStateError):
            original(error)

    future.set_exception = set_exception
    return future.cancel()
