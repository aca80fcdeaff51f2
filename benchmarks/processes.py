"""Measuring in a process of its own: one for each number of threads, one for each library whose memory is measured."""

from __future__ import annotations

import multiprocessing
import os
from collections.abc import Callable, Iterator
from multiprocessing.connection import Connection


def _serve(connection: Connection, function: Callable[..., Iterator[dict]], arguments: tuple) -> None:
    for row in function(*arguments):
        connection.send(row)
    connection.send(None)


def rows_from(
    function: Callable[..., Iterator[dict]], *arguments: object, threads: int = 1, workers: bool = False
) -> Iterator[dict]:
    """What `function(*arguments)` yields in a new process that is held to so many threads, as it comes.

    `workers`: whether that process starts others.

    Raises:
        RuntimeError: the process ended before the function did; what it had to say is on standard error.
    """
    context = multiprocessing.get_context("spawn")
    receiver, sender = context.Pipe(duplex=False)
    process = context.Process(target=_serve, args=(sender, function, arguments), daemon=not workers)
    os.environ["BENCHMARK_THREADS"] = str(threads)  # read by the package when the new process imports it
    try:
        process.start()
    finally:
        del os.environ["BENCHMARK_THREADS"]
    sender.close()
    try:
        while (row := receiver.recv()) is not None:
            yield row
    except EOFError:
        process.join()
        raise RuntimeError(f"{function.__module__}.{function.__name__} ended with code {process.exitcode}") from None
    process.join()
