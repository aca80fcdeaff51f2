"""The FMA peak of a core, from a few lines of C that the system's compiler turns into a library at run time."""

from __future__ import annotations

import ctypes
import os
import shlex
import subprocess
import tempfile
from collections.abc import Callable
from pathlib import Path
from time import perf_counter

SOURCE = Path(__file__).with_name("peak.c")
FLAGS = ("-O3", "-ffp-contract=fast", "-funroll-loops", "-shared", "-fPIC")
NAMES = {"float32": "float", "float64": "double"}


class Peak:
    """The C functions, compiled for this machine.

    Raises:
        RuntimeError: there is no C compiler that makes them; `$CC`, else `cc`, is asked.
    """

    def __init__(self) -> None:
        compiler = shlex.split(os.environ.get("CC", "cc"))
        with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
            library = Path(folder, "peak.so")
            for native in ("-march=native", "-mcpu=native"):  # the name of the same thing differs by processor
                command = [*compiler, *FLAGS, native, str(SOURCE), "-o", str(library)]
                try:
                    if subprocess.run(command, capture_output=True, check=False).returncode == 0:
                        break
                except OSError as error:
                    raise RuntimeError(f"no C compiler: {error}") from None
            else:
                raise RuntimeError(f"{compiler[0]} does not compile {SOURCE.name}")
            self._library = ctypes.CDLL(str(library))
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
