"""RTNeural, the C++ library of real-time audio, from a checkout of its source: the compiler knows the sizes."""

from __future__ import annotations

import ctypes
import subprocess
import weakref
from collections.abc import Callable, Iterable
from functools import partial
from pathlib import Path

import numpy as np

from benchmarks.cases import Case
from benchmarks.machine import commit
from benchmarks.native import library
from benchmarks.rivals.steps import Steps, array

SOURCE = Path(__file__).parent.with_name("rtneural_steps.cpp")
HEADER = Path("RTNeural", "RTNeural.h")
BACKENDS = {"Eigen": 32, "XSIMD": 64}  # the largest alignment, in bytes, that each of them takes
FLAGS = ("-std=c++17", "-w", "-DNDEBUG", "-fvisibility=hidden", "-DEIGEN_STACK_ALLOCATION_LIMIT=0")
GATES = ("z", "r", "hh")
LINE = 16  # numbers in a cache line, at which frames begin


class RTNeural(Steps):
    """One backend, which `built` fills in."""

    variant = "reset-after"
    library: ctypes.CDLL

    def __init__(self, case: Case) -> None:
        super().__init__(case)
        _, _, e, u, _ = case.shape
        b = np.vstack([case.joined("b", GATES), np.zeros((1, 3 * u), np.float32)])
        weights = map(np.ascontiguousarray, (case.joined("U", GATES), case.joined("V", GATES), b))
        self.model = self.library.rtneural_new(e, u, *map(array, weights))
        if not self.model:
            raise ValueError(f"shape: expected one of the sizes that RTNeural was built for, got ({case.shape})")
        weakref.finalize(self, self.library.rtneural_delete, ctypes.c_void_p(self.model))
        self.h = np.zeros((1, u), np.float32)

    def through(self, frames: np.ndarray, turns: int) -> Callable[[], None]:
        n, e = frames.shape
        stride = -(-e // LINE) * LINE
        room = np.zeros((n + 1) * stride, np.float32)
        X = room[-room.ctypes.data // 4 % LINE :][: n * stride].reshape(n, stride)
        X[:, :e] = frames
        sizes = map(ctypes.c_ssize_t, (n, stride, turns))
        return partial(self.library.rtneural_steps, ctypes.c_void_p(self.model), array(X), *sizes, array(self.h))


def built(checkout: Path, backend: str, sizes: Iterable[tuple[int, int]]) -> type[RTNeural]:
    """The rival with that backend, for layers of those e and u; Eigen is the system's, else RTNeural's own.

    Raises:
        RuntimeError: the compiler does not build it, say for want of the backend's own headers.
    """
    made = library(
        SOURCE,
        *FLAGS,
        f"-DRTNEURAL_USE_{backend.upper()}=1",
        f"-DRTNEURAL_DEFAULT_ALIGNMENT={BACKENDS[backend]}",
        "-DSIZES=" + " ".join(f"SIZE({e}, {u})" for e, u in sizes),
        f"-I{checkout}",
        *system_eigen(),
        *(f"-I{checkout / 'modules' / folder}" for folder in ("Eigen", "xsimd/include")),
    )
    made.rtneural_new.restype, made.rtneural_backend.restype = ctypes.c_void_p, ctypes.c_char_p
    made.rtneural_delete.restype = made.rtneural_steps.restype = None
    version = f"RTNeural {commit(checkout) or 'of unknown commit'} with {made.rtneural_backend().decode()}"
    return type(backend, (RTNeural,), {"name": f"RTNeural, {backend}", "version": version, "library": made})


def system_eigen() -> list[str]:
    """Where the system's Eigen lies, as compiler flags; none if pkg-config does not know."""
    try:
        done = subprocess.run(["pkg-config", "--cflags", "eigen3"], capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError):
        return []
    return done.stdout.split()
