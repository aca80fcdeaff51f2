"""Executors that run the fits of `cgru many` in other processes: a process pool, Dask, MPI."""

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

SPAWN_LIMIT = 60.0  # seconds for MPI to begin a worker
SPAWN = "from mpi4py.futures import MPIPoolExecutor as Pool; Pool(1).submit(int).result()"
MPI_CURE = "mpiexec -n 4 python -m mpi4py.futures -m cgru many PLAN --executor mpi has three workers"


@contextlib.contextmanager
def executor_of(threads: int | None, processes: int | None, executor: str | None) -> Iterator[Executors | None]:
    """Yield the `executor` argument of `fit_many`: a process pool, Dask's or MPI's; None for threads.

    At most one of the arguments is given. executor: "dask:ADDRESS" or "mpi".
    """
    given = [name for name, value in locals().items() if value is not None]
    if len(given) > 1:
        raise RequestError(f"argument --{given[1]}: expected none beside --{given[0]}")
    kind, _, address = (executor or "").partition(":")
    if processes:
        # spawn: a fork would inherit the lock on the results, and hold it after this process was killed.
        context = multiprocessing.get_context("spawn")
        yield functools.partial(ProcessPoolExecutor, processes, context, _end_with_parent)
    elif kind == "dask":
        try:
            from distributed import Client
        except ImportError:
            raise RequestError("argument --executor: distributed is not installed; pip install distributed") from None
        with as_request_error("argument --executor: "):
            client = Client(address)
        with client:
            yield client.get_executor()
    elif kind == "mpi":
        yield _mpi_executor()
    else:
        yield None


def _end_with_parent() -> None:
    """Start a thread that ends this process, a worker of the pool, when its parent process was killed."""

    def watch() -> None:
        """Wait for the end of the parent process, then end this one."""
        multiprocessing.parent_process().join()
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()


def _mpi_executor() -> Callable[[], Executor]:
    """Return mpi4py's `MPIPoolExecutor`, once it is known that MPI can begin workers."""
    try:
        from mpi4py.futures import MPIPoolExecutor
    except ImportError:
        raise RequestError("argument --executor: mpi4py is not installed; pip install mpi4py") from None
    from mpi4py import MPI

    managed = any(name.startswith(("PMI_", "PMIX_", "OMPI_")) for name in os.environ)  # started by mpiexec or srun
    if MPI.COMM_WORLD.Get_size() == 1 and not managed:
        _check_spawn()
    return MPIPoolExecutor


def _check_spawn() -> None:
    """Check, in another process, that MPI can begin a worker; RequestError otherwise.

    mpi4py would wait for that worker for ever, holding the GIL.
    """
    if shutil.which("mpiexec") is None:
        raise RequestError(f"argument --executor: expected mpiexec on the PATH, to begin workers, got none; {MPI_CURE}")
    silent = dict.fromkeys(("stdin", "stdout", "stderr"), subprocess.DEVNULL)
    try:
        subprocess.run([sys.executable, "-c", SPAWN], **silent, env=dict(os.environ), timeout=SPAWN_LIMIT, check=True)
    except subprocess.SubprocessError:
        due = f"MPI to begin a worker within {SPAWN_LIMIT:g} s"
        raise RequestError(f"argument --executor: expected {due}, got none; {MPI_CURE}") from None
