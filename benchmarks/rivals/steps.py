"""Steps of a stream, many to a call, so that the call is not what is timed: what all share, and our own two."""

from __future__ import annotations

import ctypes
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

import cgru
from benchmarks.cases import Case
from benchmarks.native import library
from benchmarks.rivals.base import Rival
from benchmarks.rivals.ours import Cgru

SOURCE = Path(__file__).parent.with_name("cell_steps.c")


class Steps(Rival):
    """A stream of one sample, which keeps its state, `h` (1, u)."""

    dtypes, works = ("float32",), ("step",)
    h: np.ndarray

    def through(self, frames: np.ndarray, turns: int) -> Callable[[], object]:
        """A call that goes so many times through the frames (n, e), a step for each."""
        raise NotImplementedError

    def step(self) -> np.ndarray:
        """One step with the case's own frame, for the check of equal work."""
        self.through(self.case.X[0], 1)()
        return self.h


class FromPython(Steps):
    """`cgru.Stream`, a call a step."""

    name, version = "cgru.Stream", f"cgru {cgru.__version__}"

    def __init__(self, case: Case) -> None:
        super().__init__(case)
        self.stream = cgru.Stream(Cgru(case).layer)

    def through(self, frames: np.ndarray, turns: int) -> Callable[[], None]:
        step, each = self.stream.step, list(frames[:, None])

        def run() -> None:
            for _ in range(turns):
                for x in each:
                    h = step(x)
            self.h = np.array(h)

        return run


class FromC(Steps):
    """`step` of `cgru.cell`, called by a loop in C through its address, as any compiled code can."""

    name, version = "cgru from C", f"cgru {cgru.__version__}"

    def __init__(self, case: Case) -> None:
        super().__init__(case)
        self.cell = cgru.Cell(self.layer(case))
        self.h = np.zeros((1, case.shape.u), np.float32)
        asked = ctypes.CFUNCTYPE(ctypes.c_ssize_t, ctypes.c_void_p, ctypes.c_ssize_t, ctypes.c_ssize_t)
        self.workspace = np.empty(asked(address("workspace_bytes"))(self.cell.address, 1, 1), np.uint8)
        self.library = library(SOURCE)

    def layer(self, case: Case) -> Any:
        """What the cell is made from."""
        return Cgru(case).layer

    def through(self, frames: np.ndarray, turns: int) -> Callable[[], None]:
        step, cell = ctypes.c_void_p(address("__pyx_fuse_0step")), ctypes.c_void_p(self.cell.address)
        sizes = map(ctypes.c_ssize_t, (*frames.shape, turns))
        room = ctypes.c_ssize_t(self.workspace.nbytes)
        given = step, cell, array(frames), *sizes, array(self.h), array(self.workspace), room

        def run() -> None:  # holds self, with which the cell goes
            if code := self.library.cell_steps(*given):
                raise RuntimeError(f"step: expected 0, got the code {code}")

        return run


def array(of: np.ndarray) -> ctypes.c_void_p:
    """A pointer that keeps the array alive."""
    if not of.flags.c_contiguous:
        raise ValueError(f"expected a C-contiguous array, got strides {of.strides}")
    return of.ctypes.data_as(ctypes.c_void_p)


def address(name: str) -> int:
    """Where a function lies that `cgru.cell` offers to compiled code."""
    from cgru import cell

    api, capsule = ctypes.pythonapi, cell.__pyx_capi__[name]
    api.PyCapsule_GetName.argtypes, api.PyCapsule_GetName.restype = [ctypes.py_object], ctypes.c_char_p
    api.PyCapsule_GetPointer.argtypes = [ctypes.py_object, ctypes.c_char_p]
    api.PyCapsule_GetPointer.restype = ctypes.c_void_p
    return api.PyCapsule_GetPointer(capsule, api.PyCapsule_GetName(capsule))
