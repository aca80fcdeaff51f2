"""The FMA peak of a core, from a few lines of C that the system's compiler turns into a library at run time."""

from __future__ import annotations

import ctypes
from collections.abc import Callable
from pathlib import Path
from time import perf_counter

from benchmarks.native import library

SOURCE = Path(__file__).with_name("peak.c")
NAMES = {"float32": "float", "float64": "double"}


class Peak:
    """The C functions, compiled for this machine; RuntimeError where no compiler makes them."""

    def __init__(self) -> None:
        self._library = library(SOURCE, "-ffp-contract=fast", "-funroll-loops")
        for name in NAMES.values():
            function = getattr(self._library, f"peak_{name}")
            function.argtypes, function.restype = [ctypes.c_long], ctypes.c_double

    @property
    def vector_bytes(self) -> int:
        return self._library.peak_bytes()

    def call(self, dtype: str, n: int = 50_000) -> Callable[[], float]:
        """A call that keeps one core at its peak for a millisecond or so and returns how many flop it did."""
        function = getattr(self._library, f"peak_{NAMES[dtype]}")
        return lambda: function(n)

    def gflops(self, dtype: str, times: int = 40) -> float:
        """The best of so many calls, in GFLOP/s."""
        call, best = self.call(dtype), 0.0
        for _ in range(times):
            start = perf_counter()
            flop = call()
            best = max(best, flop / (perf_counter() - start) / 1e9)
        return best
