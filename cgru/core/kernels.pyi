"""The typed door to the kernels in C: which instruction set is in use, and single kernels for the tests."""

from typing import Any

import numpy as np

LEVELS: tuple[str, ...]

def levels() -> tuple[str, ...]:
    """The levels that this build and this machine have, the fastest first: of avx512, avx2, baseline, scalar."""

def level() -> str:
    """The level in use: the fastest one, or what `CGRU_SIMD` in the environment names."""

def use_level(name: str) -> None:
    """Take level `name` from now on; ValueError where this build or this machine lacks it."""

def use_pieces(steps: int | None = None, rows_room: int | None = None) -> None: ...
def activation(code: int, alpha: float, x: Any) -> np.ndarray:
    """The compiled activation `code` (see `cgru.activations.CODES`) at x, float32 or float64 of any shape."""

def matmul(A: np.ndarray, B: np.ndarray) -> np.ndarray:
    """A (m, k) times B (k, n), both float32 or both float64, by the tile product, on one thread.

    The same bits come out whatever threads NumPy's BLAS would use. ValueError where shapes or dtypes do not fit.
    """
