"""Who does the work of `cgru many` where its own threads do not: processes, Dask, MPI."""

from __future__ import annotations

import contextlib
import functools
import multiprocessing
import os
import shutil
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Executor, ProcessPoolExecutor

from cgru.cli.arguments import RequestError, as_request_error
from cgru.many.dispatch import Executors

__all__ = ["executor_of"]

BEGIN = 60.0  # seconds within which MPI begins its workers
SPAWN = "from mpi4py.futures import MPIPoolExecutor as Pool; Pool(1).submit(int).result()"
MPI_CURE = "mpiexec -n 4 python -m mpi4py.futures -m cgru many PLAN --executor mpi has three workers"


@contextlib.contextmanager
def executor_of(threads: int | None, processes: int | None, executor: str | None) -> Iterator[Executors | None]:
    """What `fit_many` takes as its executor; None: none, it has threads."""
    given = [name for name, value in locals().items() if value is not None]
    if len(given) > 1:
        raise RequestError(f"argument --{given[1]}: expected none beside --{given[0]}")
    kind, _, address = (executor or "").partition(":")
    if processes:
        # Anew, as a fork would hold the lock on the results after this process was killed.
        context = multiprocessing.get_context("spawn")
        yield functools.partial(ProcessPoolExecutor, processes, context, _end_with_parent)
    elif kind == "dask":
        with _dask(address) as found:
            yield found
    elif kind == "mpi":
        yield _mpi()
    else:
        yield None


def _end_with_parent() -> None:
    """Let this process end when the one that began it was killed."""

    def watch() -> None:
        multiprocessing.parent_process().join()
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()


@contextlib.contextmanager
def _dask(address: str) -> Iterator[Executor]:
    try:
        from distributed import Client
    except ImportError:
        raise RequestError("argument --executor: distributed is not installed; pip install distributed") from None
    with contextlib.ExitStack() as stack:
        with as_request_error("argument --executor: "):
            client = stack.enter_context(Client(address))
        yield client.get_executor()


def _mpi() -> Callable[[], Executor]:
    try:
        from mpi4py.futures import MPIPoolExecutor
    except ImportError:
        raise RequestError("argument --executor: mpi4py is not installed; pip install mpi4py") from None
    from mpi4py import MPI

    managed = any(name.startswith(("PMI_", "PMIX_", "OMPI_")) for name in os.environ)  # begun by mpiexec, or by srun
    if MPI.COMM_WORLD.Get_size() == 1 and not managed:
        _check_spawn()
    return MPIPoolExecutor


def _check_spawn() -> None:
    """Refuse where MPI cannot begin a worker by itself: mpi4py would wait for it for ever, and hold all other threads.

    A process of its own tries that.
    """
    if shutil.which("mpiexec") is None:
        raise RequestError(f"argument --executor: expected mpiexec on the PATH, to begin workers, got none; {MPI_CURE}")
    silent = dict.fromkeys(("stdin", "stdout", "stderr"), subprocess.DEVNULL)
    try:
        subprocess.run([sys.executable, "-c", SPAWN], **silent, env=dict(os.environ), timeout=BEGIN, check=True)
    except subprocess.SubprocessError:
        due = f"MPI to begin a worker within {BEGIN:g} s"
        raise RequestError(f"argument --executor: expected {due}, got none; {MPI_CURE}") from None
