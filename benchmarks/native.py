"""C and C++ beside the benchmark, which the system's compiler turns into libraries at run time."""

from __future__ import annotations

import ctypes
import os
import shlex
import subprocess
import tempfile
from functools import cache
from pathlib import Path

DEFAULT = {"CC": "cc", "CXX": "c++"}


@cache
def library(source: Path, *flags: str) -> ctypes.CDLL:
    """The functions of one file, compiled for this machine by `$CC`, or `$CXX` where it is C++.

    Raises:
        RuntimeError: there is no such compiler, or it does not take the file.
    """
    name = "CXX" if source.suffix == ".cpp" else "CC"
    compiler = shlex.split(os.environ.get(name, DEFAULT[name]))
    complaints = []
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        file = Path(folder, "library.so")
        for native in ("-march=native", "-mcpu=native"):  # the name of the same thing differs by processor
            command = [*compiler, "-O3", native, "-shared", "-fPIC", *flags, str(source), "-o", str(file)]
            try:
                done = subprocess.run(command, capture_output=True, text=True, errors="replace", check=False)
            except OSError as error:
                raise RuntimeError(f"no compiler: {error}") from None
            if done.returncode == 0:
                return ctypes.CDLL(str(file))
            complaints += [line for line in done.stderr.splitlines() if "error" in line][:1]
    raise RuntimeError("; ".join([f"{compiler[0]} does not compile {source.name}", *dict.fromkeys(complaints)]))
