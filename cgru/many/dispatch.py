"""Run jobs on the workers of an executor: dispatch batches of jobs, and dispatch a batch again when its worker dies.

A batch here is a batch of jobs (`JobBatch`), never a mini-batch of samples.
"""

from __future__ import annotations

import copy
import functools
import os
import pickle
import queue
import sys
import zlib
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import BrokenExecutor, CancelledError, Executor, Future, InvalidStateError, wait
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cgru._version import __version__
from cgru.core.threads import single_threaded
from cgru.files import PREFIX, lock_temporary, remove_abandoned
from cgru.many.jobs import Job, Result, SharedData, WorkerState, run
from cgru.network.history import History

if TYPE_CHECKING:
    from tempfile import TemporaryDirectory

__all__ = ["Dispatcher", "Executors", "OtherVersionError", "fit_batch", "wait_for_next"]

Task = tuple[int, Any, Job]  # index among the jobs of the call, name, job
Executors = Executor | Callable[[], Executor]  # an executor, or a function that makes one

BATCH_SHARE = 64  # a batch costs 1 / 64 of what is left: the last batches are small, and no worker waits for long
MAX_JOBS = 100  # of a batch
MAX_UNDER_WAY = (128, 32, 8, 1)  # batches under way at once, indexed by how often any of them was lost; the last: alone
MAX_BYTES_UNDER_WAY = 1 << 28  # summed over the batches
MAX_LOST = len(MAX_UNDER_WAY) - 1  # losses after which a batch runs alone; as many again, and its job fails
MAX_FRUITLESS = 20  # executors made in a row that broke before any result came
WORKER_STATE = WorkerState()  # of this worker process: networks that its batches fitted or made
POLL_SECONDS = 1.0
GRACE_SECONDS = 1.0  # after a Ctrl-C, for workers that got it, too, to return what they have done

CURE = "install the same on all machines; what was not done is left to be done"

IMPORTED = "expected a result whose classes can be imported here"
_PICKLES = "a function of a module, or functools.partial of one, in the place of a lambda or local function"


class OtherVersionError(RuntimeError):
    """A worker has another version of cgru than the process that sends it jobs."""


def wait_for_next(done: queue.SimpleQueue[Any]) -> Any:
    """Return the next item of the queue `done`, waiting for it.

    The wait is cut into POLL_SECONDS, since a blocking `get` does not notice a Ctrl-C that came just before it.
    """
    while True:
        with suppress(queue.Empty):
            return done.get(timeout=POLL_SECONDS)


@functools.cache
def package() -> str:
    """Return the version of cgru with a checksum of its Python code, which tells builds of the same version apart."""
    code, root = 0, Path(__file__).parent.parent
    for path in sorted(root.rglob("*.py"), key=lambda path: path.relative_to(root).as_posix()):
        code = zlib.crc32(path.read_bytes().replace(b"\r\n", b"\n"), code)
    return f"{__version__} (code {code:08x})"


@dataclass(eq=False)
class JobBatch:
    """A batch of jobs that are sent to a worker together.

    tasks: its jobs, each with index and name.
    times_lost: how often its worker died.
    n_bytes: its pickled size.
    results_path: the file to which a worker on this machine writes its results.
    """

    tasks: list[Task]
    times_lost: int = 0
    n_bytes: int = 0
    results_path: str = ""


class Dispatcher:
    """Dispatches jobs to the workers of an executor, in batches; an iterator over their results as they come.

    tasks: the jobs, in the order in which they are sent.
    costs: the cost of each job.
    shared: the data that all jobs share.
    keep: whether results have their networks and histories.
    executor: an Executor, or a function that makes one.
    results: the results by index. Each is stored before it is yielded, so that a Ctrl-C between two lines loses none.

    A batch whose worker died is sent again. Which batch killed its worker is not known: all that were under way are
    lost. Lost batches are sent after all others, with fewer beside them each time. A batch that was alone when its
    worker died is cut into its jobs. A job that keeps killing its worker alone fails.
    """

    def __init__(
        self, tasks: list[Task], costs: list[float], shared: SharedData, keep: bool, executor: Executors
    ) -> None:
        """Cut the jobs into batches, and make the folder for results; nothing is sent yet."""
        self.make = None if isinstance(executor, Executor) else executor
        self.pool = executor if isinstance(executor, Executor) else None
        self.shared, self.keep = pickle.dumps(shared.portable()), keep
        self.new_batches, self.lost_batches = _batches(tasks, costs), list[JobBatch]()
        self.next_batch: JobBatch | None = None
        self.pending: dict[Future[Any], JobBatch] = {}
        self.folder, self.claim = _make_results_folder()
        self.done: queue.SimpleQueue[Future[Any]] = queue.SimpleQueue()
        self.results: dict[int, Result] = {}
        self.ready = deque[Result]()  # still to be yielded
        self.broken: BaseException | None = None  # the error after which nothing more is sent
        self.fruitless = 0  # executors in a row that broke before any result came

    def __iter__(self) -> Iterator[Result]:
        while True:
            while self._can_send():
                self._send()
            if not self.ready and not self.pending:
                return
            if not self.ready:
                self._receive(wait_for_next(self.done))
            while self.ready:
                yield self.ready.popleft()

    def close(self) -> None:
        """Stop sending, cancel the batches that have not begun, and receive the results of those that are done."""
        try:
            running = [future for future in self.pending if not _cancel(future)]
            wait(running, GRACE_SECONDS)
            for future in running:
                if future.done():
                    self._receive(future)
        finally:  # after a second Ctrl-C, too
            self.new_batches, self.lost_batches, self.next_batch = iter(()), [], None
            if self.make is not None and self.pool is not None:
                pool, self.pool = self.pool, None
                pool.shutdown(wait=not self.pending)
            self.pending.clear()
            self.folder.cleanup()
            self.claim.close()

    def _can_send(self) -> bool:
        """Choose `next_batch`, a new one or the least often lost; return whether the limits let it be sent now."""
        if self.next_batch is None:
            self.next_batch = next(self.new_batches, None)
        if self.next_batch is None and self.lost_batches:
            self.next_batch = min(self.lost_batches, key=lambda batch: batch.times_lost)
            self.lost_batches.remove(self.next_batch)
        if self.next_batch is None or not self.pending:
            return self.next_batch is not None
        lost = max(batch.times_lost for batch in [self.next_batch, *self.pending.values()])
        n_bytes = sum(batch.n_bytes for batch in self.pending.values())
        return len(self.pending) < MAX_UNDER_WAY[min(lost, MAX_LOST)] and n_bytes < MAX_BYTES_UNDER_WAY

    def _send(self) -> None:
        """Pickle `next_batch` and submit it to the executor; jobs that cannot be pickled, or sent, fail."""
        batch, self.next_batch = self.next_batch, None
        if isinstance(self.broken, OtherVersionError):
            return self._fail(batch, str(self.broken), self.broken)
        if self.broken is not None:
            cure = "an executor that broke cannot go on; give a function that makes one in its place"
            if self.make is not None:
                cure = f"{MAX_FRUITLESS} executors broke one after the other before anything was done"
            return self._fail(batch, f"{cure}: {self.broken}", self.broken)
        pickled_jobs = []
        for i, name, job in batch.tasks:
            try:
                pickled_jobs.append((i, pickle.dumps(_with_absolute_paths(job))))
            except Exception as error:
                text = f"job {name!r}: expected what can be pickled, {_PICKLES}, got: {error}"
                self._add(i, Result(name, error=TypeError(text)))
        if not pickled_jobs:
            return None
        if self.pool is None:
            self.pool = _make_executor(self.make)
        batch.n_bytes = sum(len(data) for _, data in pickled_jobs)
        from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor  # slow to import

        is_local = isinstance(self.pool, ProcessPoolExecutor | ThreadPoolExecutor)  # of the standard library
        if not is_local:  # a local pool pickles a batch only when a worker takes it
            batch.n_bytes += len(self.shared)
        batch.results_path = os.path.join(self.folder.name, os.urandom(16).hex())
        message = BatchMessage(self.shared, pickled_jobs, self.keep, batch.results_path, is_local)
        try:
            future = self.pool.submit(fit_batch, message)
        except BrokenExecutor as error:
            self.lost_batches.append(batch)
            self._drop_executor(error)
            return None
        self.pending[future] = batch
        future.add_done_callback(self.done.put)
        return None

    def _add(self, i: int, result: Result) -> None:
        """Store the result of job i, then queue it to be yielded."""
        self.results[i] = result
        self.ready.append(result)

    def _receive(self, future: Future[Any]) -> None:
        """Store the results of a batch that ended. Where it ended with an error, requeue it or let its jobs fail."""
        batch = self.pending.get(future)
        if batch is None:  # lost with its executor, and requeued
            return
        error = CancelledError("its batch of jobs was cancelled") if future.cancelled() else future.exception()
        if error is None:
            answer = future.result()  # a worker that returns no tuple has an older cgru
            older = "an older version, which does not say its number", None
            version, results = answer if isinstance(answer, tuple) else older
            if version != package():
                due = f"executor: expected workers with cgru {package()}, as here, got one with {version}; {CURE}"
                self.broken = error = OtherVersionError(due)
        if error is None:
            self.fruitless = 0
            names = {i: name for i, name, _ in batch.tasks}
            if results is None:  # the worker wrote them to the file
                with open(batch.results_path, "rb") as file:
                    results = pickle.load(file)
            for i, data in results:
                self._add(i, replace(_unpickle(i, data, IMPORTED), name=names[i]))
        del self.pending[future]  # after a Ctrl-C before this line it is received once more
        if error is None:
            with suppress(OSError):  # no file: the results came through the future
                os.remove(batch.results_path)
        elif isinstance(error, OtherVersionError):
            self._fail(batch, str(error), error)
        elif isinstance(error, BrokenExecutor | CancelledError):
            self._requeue(batch, 1, error)
            self._drop_executor(error)
        elif (dask := sys.modules.get("distributed")) is not None and isinstance(error, dask.KilledWorker):
            self._requeue(batch, MAX_LOST, error)  # Dask has retried it as often
        elif isinstance(error, KeyboardInterrupt):
            return  # its jobs are not done
        elif batch.times_lost < MAX_LOST:  # an error of the executor, which may pass, as after the death of a worker
            batch.times_lost += 1
            self.lost_batches.append(batch)
        else:
            for i, name, _ in batch.tasks:
                self._add(i, Result(name, error=error))

    def _drop_executor(self, error: BaseException) -> None:
        """Drop an executor that broke, and requeue all its batches: not all of their futures need ever end.

        Without a function that makes a new executor, or after MAX_FRUITLESS of them, nothing more is sent.
        """
        for batch in self.pending.values():
            self._requeue(batch, 1, error)
        self.pending.clear()
        self.fruitless += 1
        if self.make is None or self.fruitless == MAX_FRUITLESS:
            self.broken = error
        if self.make is not None:
            pool, self.pool = self.pool, None
            pool.shutdown(wait=False)

    def _requeue(self, batch: JobBatch, times: int, error: BaseException) -> None:
        """Count `times` losses of a batch, then send it again, cut it into its jobs, or let its one job fail."""
        batch.times_lost += times
        if batch.times_lost > MAX_LOST and len(batch.tasks) > 1:  # nothing ran beside it
            self.lost_batches += [JobBatch([task], MAX_LOST) for task in batch.tasks]
        elif batch.times_lost < 2 * MAX_LOST:
            self.lost_batches.append(batch)
        else:
            text = "its worker died whenever it ran, at last with no other job under way (out of memory?)"
            self._fail(batch, f"{text}: {error}", error)

    def _fail(self, batch: JobBatch, text: str, cause: BaseException) -> None:
        """Store for each job of a batch a result whose error has this `text` and `cause`."""
        for i, name, _ in batch.tasks:
            error_class = OtherVersionError if isinstance(cause, OtherVersionError) else RuntimeError
            error = error_class(f"job {name!r}: {text}")
            error.__cause__ = cause
            self._add(i, Result(name, error=error))


@dataclass(frozen=True)
class BatchMessage:
    """A message to a worker: a batch of jobs, and the data and settings to run them.

    shared: the `SharedData`, pickled.
    jobs: the index of each job, and the job, pickled one by one: one that cannot be unpickled fails alone.
    keep: whether results have their networks and histories.
    results_path: the file for the results.
    is_local: whether the worker is certainly on the machine of that file.
    package: the version of cgru that sends.
    """

    shared: bytes
    jobs: list[tuple[int, bytes]]
    keep: bool
    results_path: str
    is_local: bool = False
    package: str = field(default_factory=package)

    def __dask_tokenize__(self) -> str:
        """Return a key for Dask, which would else hash every byte.

        No two messages have the same key: Dask runs calls with equal keys once.
        """
        return self.results_path


def fit_batch(message: BatchMessage) -> tuple[str, list[tuple[int, bytes]] | None]:
    """Fit the jobs of a message in this worker, each on one thread; return (version of its package, results or None).

    The version is this worker's `package()`. Where it is not that of the message, nothing is fitted.

    The results are (index, pickled result) of the jobs that were fitted, or None where they were written to the file
    `results_path`. A worker that sees the folder of that file writes them there. A pipe is not safe: a worker that is
    killed while it sends leaves half of a result there, and a pool of processes waits for the rest for ever.
    Once the folder is gone nobody waits for results, and no other job begins.

    No exception leaves this function, so that any that the future has is the executor's. A KeyboardInterrupt ends it
    with the results that there are.
    """
    if package() != message.package:
        return package(), None
    results, folder = [], os.path.dirname(message.results_path)
    sees_folder = message.is_local or os.path.isdir(folder)
    with suppress(KeyboardInterrupt), single_threaded():
        try:
            samples = pickle.loads(message.shared).opened()
        except Exception as error:
            return package(), [(i, _pickle_result(Result(i, error=error))) for i, _ in message.jobs]
        for i, data in message.jobs:
            if sees_folder and not os.path.isdir(folder):
                break
            job = _unpickle(i, data, "expected functions and classes of modules that the worker can import")
            result = job if isinstance(job, Result) else run(job, i, samples, message.keep, WORKER_STATE)
            results.append((i, _pickle_result(result)))
    try:
        with open(message.results_path, "xb") as file:
            pickle.dump(results, file)
    except OSError:  # the folder is on another machine
        return package(), results
    return package(), None


def _pickle_result(result: Result) -> bytes:
    """Pickle a result; where its network or its error cannot be pickled, pickle one with an error in their place."""
    error = result.error
    try:
        data = pickle.dumps(result)
        if error is not None:
            pickle.loads(data)  # unpickling calls the exception's class with `args`, which it may refuse
        return data
    except Exception as why:
        replacement: Exception = RuntimeError(f"{type(error).__name__}: {error}")
        if error is None:
            replacement = TypeError(f"network: expected what can be pickled, {_PICKLES}, or keep=False, got: {why}")
        return pickle.dumps(replace(result, network=None, history=History(), error=replacement))


def _unpickle(i: int, data: bytes, expected: str) -> Any:
    """Unpickle a job or a result; where that fails return a result of job `i` whose error says what was `expected`."""
    try:
        return pickle.loads(data)
    except Exception as error:
        return Result(i, error=RuntimeError(f"{expected}, got {type(error).__name__}: {error}"))


def _with_absolute_paths(job: Job) -> Job:
    """Return a copy of the job whose file names are absolute paths, for a process with another working directory."""
    job = copy.copy(job)
    job.samples = job.samples.portable()
    checkpoint = job.options.get("checkpoint")
    if isinstance(checkpoint, str | os.PathLike):
        job.options = job.options | {"checkpoint": os.path.abspath(checkpoint)}
    return job


def _batches(tasks: list[Task], costs: list[float]) -> Iterator[JobBatch]:
    """Cut the jobs into batches, in order; each costs at most 1 / BATCH_SHARE of all that is left, or is one job."""
    left, at = sum(costs), 0
    while at < len(tasks):
        start, share, cost = at, left / BATCH_SHARE, 0.0
        while at < len(tasks) and at - start < MAX_JOBS and (at == start or cost + costs[at] <= share):
            cost += costs[at]
            at += 1
        left -= cost
        yield JobBatch(tasks[start:at])


def _make_executor(make: Callable[[], Executor]) -> Executor:
    """Return `make()`, checked to be an Executor."""
    executor = make()
    if not isinstance(executor, Executor):
        raise TypeError(f"executor: expected a function that makes an Executor, got {type(executor).__name__} of it")
    return executor


def _make_results_folder() -> tuple[TemporaryDirectory[str], ExitStack]:
    """Make a temporary folder for results; return (folder, its lock), and remove folders of processes that were killed.

    The lock shows other processes that the folder is in use.
    """
    from tempfile import TemporaryDirectory, gettempdir  # slow to import

    remove_abandoned(gettempdir(), PREFIX)
    while True:
        folder = TemporaryDirectory(prefix=PREFIX, ignore_cleanup_errors=True)  # a worker may still be writing
        try:
            descriptor = os.open(folder.name, os.O_RDONLY)
        except OSError:  # on Windows, which opens no folders
            return folder, ExitStack()
        claim = lock_temporary(folder.name, descriptor)
        os.close(descriptor)
        if claim is not None:
            return folder, claim
        folder.cleanup()


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
