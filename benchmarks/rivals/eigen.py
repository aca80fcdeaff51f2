"""The step in Eigen, the C++ library of linear algebra, with sizes that the compiler knows: eigen_steps.cpp."""

from __future__ import annotations

import ctypes
import sysconfig
import weakref
from collections.abc import Callable, Iterable
from pathlib import Path

import numpy as np

from benchmarks.cases import Case
from benchmarks.native import library
from benchmarks.rivals.steps import Steps, array

SOURCE = Path(__file__).parent.with_name("eigen_steps.cpp")
# Where PyPI's cmeel-eigen and Debian's libeigen3-dev put the headers.
PLACES = (Path(sysconfig.get_path("purelib"), "cmeel.prefix/include/eigen3"), Path("/usr/include/eigen3"))
FLAGS = ("-std=c++17", "-DNDEBUG", "-fvisibility=hidden", "-DEIGEN_STACK_ALLOCATION_LIMIT=0")  # 0: any


class Eigen(Steps):
    """The sizes of `built`, which fills in the library."""

    name = "Eigen"
    library: ctypes.CDLL

    def __init__(self, case: Case) -> None:
        super().__init__(case)
        _, _, e, u, _ = case.shape
        gates, candidate = (np.vstack([case.joined(kind, of) for kind in "VUb"]) for of in (("r", "z"), ("hh",)))
        self.layer = ctypes.c_void_p(self.library.eigen_new(e, u, array(gates), array(candidate)))
        if not self.layer:
            raise ValueError(f"shape: expected one of the sizes that Eigen was built for, got ({case.shape})")
        weakref.finalize(self, self.library.eigen_delete, self.layer)
        self.h = np.zeros((1, u), np.float32)

    def through(self, frames: np.ndarray, turns: int) -> Callable[[], None]:
        given = array(frames), *map(ctypes.c_ssize_t, (len(frames), turns)), array(self.h)

        def run() -> None:  # holds self, with which the layer goes
            self.library.eigen_steps(self.layer, *given)

        return run


def built(sizes: Iterable[tuple[int, int]], places: Iterable[Path] = PLACES) -> type[Eigen]:
    """The rival for layers of those e and u.

    Raises:
        RuntimeError: Eigen is in none of the places, or the compiler does not build the step.
    """
    place = next((place for place in places if (place / "Eigen" / "Core").is_file()), None)
    if place is None:
        raise RuntimeError("not installed: pip install cmeel-eigen, or Debian's libeigen3-dev")
    listed = " ".join(f"SIZE({e}, {u})" for e, u in sizes)
    made = library(SOURCE, *FLAGS, f"-DSIZES={listed}", "-isystem", str(place))
    made.eigen_new.restype, made.eigen_version.restype = ctypes.c_void_p, ctypes.c_char_p
    made.eigen_delete.restype = made.eigen_steps.restype = None
    return type("Eigen", (Eigen,), {"version": f"Eigen {made.eigen_version().decode()}", "library": made})
