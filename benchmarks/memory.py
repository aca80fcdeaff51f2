"""Peak memory of a training step: each library in a process of its own."""

from __future__ import annotations

import ctypes
import gc
from collections.abc import Iterator
from pathlib import Path

from benchmarks.cases import Case
from benchmarks.rivals import named
from benchmarks.shapes import Shape

STEPS = 3


def rows(name: str, shape: Shape, dtype: str) -> Iterator[dict]:
    """One row: how many MiB the resident memory rises in three steps over what stood before the first.

    Before it stand the library, its layer and the data, and what it compiles. Nothing is yielded where the library does
    not take the case or is not installed. Where the system cannot tell (Linux can), the rise is None.
    """
    case = Case(shape, dtype)
    try:
        kind = named(name)
    except ImportError:
        return
    if not kind.takes(case, "training"):
        return
    rival = kind(case)
    rival.prepare()
    rise = None
    if forget_peak():
        before = status("VmRSS")
        for _ in range(STEPS):
            rival.train()
        rise = (status("VmHWM") - before) / 1024
    yield {"part": "memory", "shape": str(shape), "dtype": dtype, "name": name, "mib": rise}


def forget_peak() -> bool:
    """Give free memory back and start the high-water mark anew; whether that is possible."""
    gc.collect()
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if trim:
        trim(0)
    try:
        Path("/proc/self/clear_refs").write_text("5")
    except OSError:
        return False
    return True


def status(key: str) -> int:
    """A number of /proc/self/status, in KiB."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(key + ":"))
