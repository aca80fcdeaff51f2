"""Let single allocations of Python and NumPy fail, by a small library that is compiled when it is first asked for."""

from __future__ import annotations

import ctypes
import shutil
import subprocess
import sys
import sysconfig
import tempfile
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

__all__ = ["alive", "allocations", "call", "lacks"]

CC = shutil.which("gcc") or shutil.which("clang") or shutil.which("cc")
TRIED = (3, 11)  # the Python whose own crashes and leaks are spared
PAIRS = 2000  # that CPython keeps, until a garbage collection
SOURCE = Path(__file__).with_name("failing.c")


def lacks() -> str:
    """Return what is missing to build the library, or ""."""
    if CC is None or sys.platform != "linux":
        return "a C compiler on Linux"
    if sys.version_info[:2] != TRIED or sys.implementation.name != "cpython":
        return "CPython 3.11, whose own faults are known here"
    return "" if Path(sysconfig.get_path("include"), "Python.h").is_file() else "Python.h"


@cache
def library() -> ctypes.PyDLL:
    """Return the library, compiled and with its allocators in place."""
    with tempfile.TemporaryDirectory() as folder:
        path = f"{folder}/failing.so"
        include = [f"-I{sysconfig.get_path('include')}", f"-I{np.get_include()}"]
        subprocess.run([CC, "-shared", "-fPIC", "-O1", *include, str(SOURCE), "-o", path], check=True)
        made = ctypes.PyDLL(path)
    made.install.restype = made.call.restype = ctypes.py_object
    made.call.argtypes = [ctypes.py_object, ctypes.c_longlong]
    made.allocations.restype = made.alive.restype = ctypes.c_longlong
    made.install()
    return made


def call(f: Callable[[], Any], n: int = 0) -> Any:
    """Return f(), whose n-th allocation fails; 0: none. A few of Python and NumPy never do, see `failing.c`.

    Nor do tuples of two, without which CPython 3.11 crashes in `dict.items()` and leaks the arguments of functions: so
    many are freed before the call that Python has them at hand.
    """
    pairs = [(i, i) for i in range(PAIRS)]
    del pairs
    return library().call(f, n)


def allocations() -> int:
    """Return how many allocations the last `call` made."""
    return library().allocations()


def alive() -> int:
    """Return a count of blocks that grows with what is allocated and not freed."""
    return library().alive()
