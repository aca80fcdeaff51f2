"""Jobs on the workers of somebody else's executor: sent in parcels, and sent again where a worker dies."""

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
from cgru.many.jobs import Job, Result, Running, Samples, run
from cgru.network.history import History

if TYPE_CHECKING:
    from tempfile import TemporaryDirectory

__all__ = ["Executors", "OtherVersionError", "Parcels", "fit_parcel", "taken"]

Task = tuple[int, Any, Job]  # place, name, job
Executors = Executor | Callable[[], Executor]  # one, or what makes them

SHARE = 64  # a parcel is this part of what is left to be done, so that the last are small and no worker waits for long
MOST = 100  # jobs of a parcel
WINDOWS = (128, 32, 8, 1)  # parcels under way at once, where one of them was never lost, once, twice, more often
WEIGHT = 1 << 28  # bytes of these
LOST = len(WINDOWS) - 1  # times after which a parcel runs alone, and as many again after which its job is given up
FRUITLESS = 20  # pools, made one after the other, that broke before anything came back
HERE = Running()  # what the parcels of this worker have had
LOOK = 1.0  # seconds
GRACE = 1.0  # seconds in which workers that are interrupted, too, may still say what they have done

CURE = "install the same on all machines; what was not done is left to be done"

IMPORTED = "expected a result whose classes can be imported here"
_PICKLES = "a function of a module, or functools.partial of one, in the place of a lambda or local function"


class OtherVersionError(RuntimeError):
    """A worker has another version of cgru than the process that sends it jobs."""


def taken(done: queue.SimpleQueue[Any]) -> Any:
    """Wait for what is put into `done` next, LOOK seconds at a time: a wait does not see a Ctrl-C just before it."""
    while True:
        with suppress(queue.Empty):
            return done.get(timeout=LOOK)


@functools.cache
def package() -> str:
    """Return the version of cgru, with a checksum of its Python code, by which two of one number are told apart."""
    code, root = 0, Path(__file__).parent.parent
    for path in sorted(root.rglob("*.py"), key=lambda path: path.relative_to(root).as_posix()):
        code = zlib.crc32(path.read_bytes().replace(b"\r\n", b"\n"), code)
    return f"{__version__} (code {code:08x})"


@dataclass(eq=False)
class Parcel:
    """Jobs that travel together; how often it was lost, its bytes, and where its results may lie."""

    tasks: list[Task]
    lost: int = 0
    weight: int = 0
    place: str = ""


class Parcels:
    """Runs jobs, (place, name, job), in this order, on an executor's workers; gives results as they come.

    `results` has them by place, each before it is given: a Ctrl-C between two lines loses none. `costs` are those of
    the jobs. `executor` is an Executor, or makes one.

    A parcel whose worker died is sent again. Nobody says which parcel it was that killed a worker, so those that were
    under way are sent after all others, and with fewer beside them each time; one that was alone when its worker died
    is cut into its jobs, and a job that kills its workers alone is given up.
    """

    def __init__(self, tasks: list[Task], costs: list[float], shared: Samples, keep: bool, executor: Executors) -> None:
        self.make = None if isinstance(executor, Executor) else executor
        self.pool = executor if isinstance(executor, Executor) else None
        self.shared, self.keep = pickle.dumps(shared.portable()), keep
        self.fresh, self.again = _parcels(tasks, costs), list[Parcel]()
        self.turn: Parcel | None = None  # the next to be sent
        self.pending: dict[Future[Any], Parcel] = {}
        self.room, self.claim = _room()
        self.done: queue.SimpleQueue[Future[Any]] = queue.SimpleQueue()
        self.results: dict[int, Result] = {}
        self.ready = deque[Result]()  # those that are still to be given
        self.broken: BaseException | None = None  # why nothing more can be sent
        self.fruitless = 0

    def __iter__(self) -> Iterator[Result]:
        while True:
            while self._has_turn():
                self._send()
            if not self.ready and not self.pending:
                return
            if not self.ready:
                self._take(taken(self.done))
            while self.ready:
                yield self.ready.popleft()

    def close(self) -> None:
        """Send no other parcel, cancel those that wait, and take what is done."""
        try:
            running = [future for future in self.pending if not _cancelled(future)]
            wait(running, GRACE)
            for future in running:
                if future.done():
                    self._take(future)
        finally:  # after a second Ctrl-C, too
            self.fresh, self.again, self.turn = iter(()), [], None
            if self.make is not None and self.pool is not None:
                pool, self.pool = self.pool, None
                pool.shutdown(wait=not self.pending)
            self.pending.clear()
            self.room.cleanup()
            self.claim.close()

    def _has_turn(self) -> bool:
        if self.turn is None:
            self.turn = next(self.fresh, None)
        if self.turn is None and self.again:
            self.turn = min(self.again, key=lambda parcel: parcel.lost)
            self.again.remove(self.turn)
        if self.turn is None or not self.pending:
            return self.turn is not None
        lost = max(parcel.lost for parcel in [self.turn, *self.pending.values()])
        weight = sum(parcel.weight for parcel in self.pending.values())
        return len(self.pending) < WINDOWS[min(lost, LOST)] and weight < WEIGHT

    def _send(self) -> None:
        parcel, self.turn = self.turn, None
        if isinstance(self.broken, OtherVersionError):
            return self._refuse(parcel, str(self.broken), self.broken)
        if self.broken is not None:
            cure = "an executor that broke cannot go on; give a function that makes one in its place"
            if self.make is not None:
                cure = f"{FRUITLESS} executors broke one after the other before anything was done"
            return self._refuse(parcel, f"{cure}: {self.broken}", self.broken)
        sent = []
        for i, name, job in parcel.tasks:
            try:
                sent.append((i, pickle.dumps(_portable(job))))
            except Exception as error:
                text = f"job {name!r}: expected what can be pickled, {_PICKLES}, got: {error}"
                self._add(i, Result(name, error=TypeError(text)))
        if not sent:
            return None
        if self.pool is None:
            self.pool = _made(self.make)
        parcel.weight = sum(len(data) for _, data in sent)
        near = _is_pool(self.pool)
        if not near:  # a pool copies no more than its workers take
            parcel.weight += len(self.shared)
        parcel.place = os.path.join(self.room.name, os.urandom(16).hex())
        letter = Letter(self.shared, sent, self.keep, parcel.place, near)
        try:
            future = self.pool.submit(fit_parcel, letter)
        except BrokenExecutor as error:
            self.again.append(parcel)
            self._break(error)
            return None
        self.pending[future] = parcel
        future.add_done_callback(self.done.put)
        return None

    def _add(self, i: int, result: Result) -> None:
        self.results[i] = result
        self.ready.append(result)

    def _take(self, future: Future[Any]) -> None:
        parcel = self.pending.get(future)
        if parcel is None:  # it was lost with its executor
            return
        error = CancelledError("its parcel was cancelled") if future.cancelled() else future.exception()
        if error is None:
            answer = future.result()  # of a worker whose cgru does not say which it is, it is older
            older = "an older version, which does not say its number", None
            version, found = answer if isinstance(answer, tuple) else older
            if version != package():
                due = f"executor: expected workers with cgru {package()}, as here, got one with {version}; {CURE}"
                self.broken = error = OtherVersionError(due)
        if error is None:
            self.fruitless = 0
            names = {i: name for i, name, _ in parcel.tasks}
            if found is None:  # the worker has left them in the parcel's place
                with open(parcel.place, "rb") as file:
                    found = pickle.load(file)
            for i, data in found:
                self._add(i, replace(_unpickled(i, data, IMPORTED), name=names[i]))
        del self.pending[future]  # a Ctrl-C before this line has it taken once more
        if error is None:
            with suppress(OSError):  # where there is none, it came by itself
                os.remove(parcel.place)
        elif isinstance(error, OtherVersionError):
            self._refuse(parcel, str(error), error)
        elif isinstance(error, BrokenExecutor | CancelledError):
            self._lose(parcel, 1, error)
            self._break(error)
        elif (dask := sys.modules.get("distributed")) is not None and isinstance(error, dask.KilledWorker):
            self._lose(parcel, LOST, error)  # Dask has tried it as often
        elif isinstance(error, KeyboardInterrupt):
            return  # it is not done
        elif parcel.lost < LOST:  # the executor's own, which may pass: of a worker that just died, say
            parcel.lost += 1
            self.again.append(parcel)
        else:
            for i, name, _ in parcel.tasks:
                self._add(i, Result(name, error=error))

    def _break(self, error: BaseException) -> None:
        """The executor is of no more use; what is under way there is lost, though not all may ever say so."""
        for parcel in self.pending.values():
            self._lose(parcel, 1, error)
        self.pending.clear()
        self.fruitless += 1
        if self.make is None or self.fruitless == FRUITLESS:
            self.broken = error
        if self.make is not None:
            pool, self.pool = self.pool, None
            pool.shutdown(wait=False)

    def _lose(self, parcel: Parcel, times: int, error: BaseException) -> None:
        parcel.lost += times
        if parcel.lost > LOST and len(parcel.tasks) > 1:  # it was alone
            self.again += [Parcel([task], LOST) for task in parcel.tasks]
        elif parcel.lost < 2 * LOST:
            self.again.append(parcel)
        else:
            text = "its worker died whenever it ran, at last with no other job under way (out of memory?)"
            self._refuse(parcel, f"{text}: {error}", error)

    def _refuse(self, parcel: Parcel, text: str, cause: BaseException) -> None:
        for i, name, _ in parcel.tasks:
            kind = OtherVersionError if isinstance(cause, OtherVersionError) else RuntimeError
            error = kind(f"job {name!r}: {text}")
            error.__cause__ = cause
            self._add(i, Result(name, error=error))


@dataclass(frozen=True)
class Letter:
    """What travels to a worker: the samples that all share and jobs, (place, job), all pickled; where results may lie,
    whether it is `near`, on the machine where that is, and what cgru they were made with.

    Jobs are pickled one by one, so that one which cannot be read is no other's misfortune.
    """

    shared: bytes
    jobs: list[tuple[int, bytes]]
    keep: bool
    place: str
    near: bool = False
    package: str = field(default_factory=package)

    def __dask_tokenize__(self) -> str:
        """What Dask knows it by, which would else read every byte; another each time: it takes equal calls for one."""
        return self.place


def fit_parcel(letter: Letter) -> tuple[str, list[tuple[int, bytes]] | None]:
    """What a worker does: fit jobs, each on one thread. Return its `package`, and (place, result), pickled, of those
    that were done.

    Where its `package` is another than that of the letter it does nothing.

    It raises nothing, so that what is raised is the executor's; a KeyboardInterrupt ends it with those that it has.

    A worker that sees the folder of `place` leaves them there, and returns None for them: one that is killed while it
    sends much through a pipe would leave half of it there, for whose rest a pool of processes waits for ever. Once that
    folder is gone nobody waits for results, and no other job begins.
    """
    if package() != letter.package:
        return package(), None
    found, room = [], os.path.dirname(letter.place)
    seen = letter.near or os.path.isdir(room)
    with suppress(KeyboardInterrupt), single_threaded():
        try:
            samples = pickle.loads(letter.shared).opened()
        except Exception as error:
            return package(), [(i, _written(Result(i, error=error))) for i, _ in letter.jobs]
        for i, data in letter.jobs:
            if seen and not os.path.isdir(room):
                break
            job = _unpickled(i, data, "expected functions and classes of modules that the worker can import")
            result = job if isinstance(job, Result) else run(job, i, samples, letter.keep, HERE)
            found.append((i, _written(result)))
    try:
        with open(letter.place, "xb") as file:
            pickle.dump(found, file)
    except OSError:  # it is on another machine
        return package(), found
    return package(), None


def _written(result: Result) -> bytes:
    error = result.error
    try:
        data = pickle.dumps(result)
        if error is not None:
            pickle.loads(data)  # an exception is made anew of what it gave to its base, which it may not take itself
        return data
    except Exception as why:
        told: Exception = RuntimeError(f"{type(error).__name__}: {error}")
        if error is None:
            told = TypeError(f"network: expected what can be pickled, {_PICKLES}, or keep=False, got: {why}")
        return pickle.dumps(replace(result, network=None, history=History(), error=told))


def _unpickled(i: int, data: bytes, due: str) -> Any:
    """Return a job or a result; where it cannot be read, a result of job `i` that says what was `due`."""
    try:
        return pickle.loads(data)
    except Exception as error:
        return Result(i, error=RuntimeError(f"{due}, got {type(error).__name__}: {error}"))


def _portable(job: Job) -> Job:
    """The job as another process can take it: names of files are whole paths."""
    job = copy.copy(job)
    job.samples = job.samples.portable()
    checkpoint = job.options.get("checkpoint")
    if isinstance(checkpoint, str | os.PathLike):
        job.options = job.options | {"checkpoint": os.path.abspath(checkpoint)}
    return job


def _parcels(tasks: list[Task], costs: list[float]) -> Iterator[Parcel]:
    left, at = sum(costs), 0
    while at < len(tasks):
        start, share, cost = at, left / SHARE, 0.0
        while at < len(tasks) and at - start < MOST and (at == start or cost + costs[at] <= share):
            cost += costs[at]
            at += 1
        left -= cost
        yield Parcel(tasks[start:at])


def _made(make: Callable[[], Executor]) -> Executor:
    executor = make()
    if not isinstance(executor, Executor):
        raise TypeError(f"executor: expected a function that makes an Executor, got {type(executor).__name__} of it")
    return executor


def _room() -> tuple[TemporaryDirectory[str], ExitStack]:
    """Make a folder for results, and what claims it; remove those of processes that were killed."""
    from tempfile import TemporaryDirectory, gettempdir  # which takes some milliseconds to import

    remove_abandoned(gettempdir(), PREFIX)
    while True:
        room = TemporaryDirectory(prefix=PREFIX, ignore_cleanup_errors=True)  # a worker may still write there
        try:
            descriptor = os.open(room.name, os.O_RDONLY)
        except OSError:  # on Windows, which opens no folders
            return room, ExitStack()
        claim = lock_temporary(room.name, descriptor)
        os.close(descriptor)
        if claim is not None:
            return room, claim
        room.cleanup()


def _is_pool(executor: Executor) -> bool:
    """Whether it is one of the standard library, on this machine."""
    from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor  # slow to import

    return isinstance(executor, ProcessPoolExecutor | ThreadPoolExecutor)


def _cancelled(future: Future[Any]) -> bool:
    """Cancel it; False where it runs, or is done.

    Before Python 3.12 a pool of processes that breaks, as at a Ctrl-C that they get, too, tells its error to all that
    wait, and dies of one that was cancelled: its pipe stays full, and the interpreter waits for that at its end.
    """
    tell = future.set_exception

    def set_exception(error: BaseException | None) -> None:
        with suppress(InvalidStateError):
            tell(error)

    future.set_exception = set_exception
    return future.cancel()
