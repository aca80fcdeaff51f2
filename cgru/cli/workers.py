"""Who does the work of `cgru many` where its own threads do not: processes, Dask, MPI."""

from __future__ import annotations

import argparse
import contextlib
import functools
import multiprocessing
import os
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Executor, ProcessPoolExecutor

from cgru.cli.arguments import RequestError, as_request_error

__all__ = ["executor_of"]


@contextlib.contextmanager
def executor_of(arguments: argparse.Namespace) -> Iterator[Executor | Callable[[], Executor] | None]:
    """What `fit_many` takes as its executor; None: none, it has threads."""
    given = {name: value for name in ("threads", "processes", "executor") if (value := getattr(arguments, name))}
    if len(given) > 1:
        first, second, *_ = given
        raise RequestError(f"argument --{second}: expected none beside --{first}")
    kind, _, address = (arguments.executor or "").partition(":")
    if arguments.processes:
        # Anew, as a fork would hold the lock on the results after this process was killed.
        context = multiprocessing.get_context("spawn")
        yield functools.partial(ProcessPoolExecutor, arguments.processes, context, _end_with_parent)
    elif kind == "dask":
        with _dask(address) as executor:
            yield executor
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
    return MPIPoolExecutor
