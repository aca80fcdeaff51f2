"""A Numba function that calls a step of `cgru.Cell`: a GRU that hears its own output, which no sequence call can run.

    pip install numba
    python numba_step.py

Cython keeps the functions that cgru/cell.pxd declares in `cgru.cell.__pyx_capi__`, by name, as capsules that hold an
address. Numba reads one with `get_cython_function_address`; a ctypes function type says how it is called. Pointers are
declared as integers, since that is what `Cell.address` and `array.ctypes.data` are.
"""

import ctypes
import time

import numba
import numpy as np
from numba.extending import get_cython_function_address

import cgru

size, pointer = ctypes.c_ssize_t, ctypes.c_size_t
# int step(cell, m, x, h, workspace, bytes): __pyx_fuse_0 is of float, __pyx_fuse_1 of double
step = ctypes.CFUNCTYPE(ctypes.c_int, pointer, size, pointer, pointer, pointer, size)(
    get_cython_function_address("cgru.cell", "__pyx_fuse_1step")
)
workspace_bytes = ctypes.CFUNCTYPE(size, pointer, size, size)(
    get_cython_function_address("cgru.cell", "workspace_bytes")
)


@numba.njit(nogil=True)
def sing(cell: int, w: np.ndarray, h: np.ndarray, workspace: np.ndarray, y: np.ndarray) -> int:
    """Fill y (n,) with y[t] = h w, h being the state after a step on y[t - 1]; the code that a step answered with."""
    x = np.zeros(1)
    for t in range(len(y)):
        code = step(cell, 1, x.ctypes.data, h.ctypes.data, workspace.ctypes.data, workspace.size)
        if code:
            return code
        y[t] = x[0] = (h * w).sum()
    return 0


def main(n: int = 10_000, units: int = 32) -> None:
    """Print how far the numbers are from those of `cgru.Stream`, and what a step takes."""
    rng = np.random.default_rng(0)
    layer = cgru.GRU(units, rng=rng)
    layer.compute_shapes(np.empty((1, 1, 1)))
    layer.initialize_parameters()
    w, h0 = rng.standard_normal(units), rng.standard_normal(units)

    cell = cgru.Cell(layer)  # to be kept for as long as its address is used
    workspace, y, h = np.empty(workspace_bytes(cell.address, 1, 1), np.uint8), np.empty(n), h0.copy()
    sing(cell.address, w, h.copy(), workspace, y[:1])  # compiles
    begin = time.perf_counter()
    if code := sing(cell.address, w, h, workspace, y):
        raise SystemExit(f"cell_code {code}, see cgru/cell.pxd")
    spent = time.perf_counter() - begin

    stream, due, x = cgru.Stream(layer), np.empty(n), np.zeros(1)
    stream.state = h0[None]
    for t in range(n):
        due[t] = x[0] = (stream.step(x) * w).sum()
    print(f"largest difference from cgru.Stream: {np.abs(y - due).max():.1e}, of {np.abs(due).max():.1f}")
    print(f"{spent / n * 1e6:.2f} us a step")


if __name__ == "__main__":
    main()
