"""The C functions of cell.pxd with one argument that is hostile: answered by a code, with nothing written."""

from __future__ import annotations

import ctypes
from collections.abc import Callable
from typing import Any

import numpy as np

import cgru
from cgru import cell as module
from fuzz.networks import Dice

OK, ALIGNMENT = 0, 7
COUNTS = (0, -1, -(2**63), 2**62, 2**63 - 1)  # none is right
# For each function its arguments: an array that is read or written, with "?" one that may be NULL; m, s, n are counts.
CALLS = {
    "step": "m x h work",
    "step_decay": "m x gx n h0? h work",
    "sequence": "m s X h H? work",
    "sequence_decay": "m s X g n h0? h H? work",
    "forward": "m s X h H? cache work",
    "backward": "m s dH? h dX? cache work",
    "gradients": "m s X grad cache work",
    "update": "grad rate",
}


def function(name: str, result: Any = ctypes.c_int) -> Callable[..., int]:
    """Return a function of the cell's C interface that takes pointers and counts."""
    capsule = module.__pyx_capi__[name]
    of, at = ctypes.pythonapi.PyCapsule_GetName, ctypes.pythonapi.PyCapsule_GetPointer
    of.restype, of.argtypes = ctypes.c_char_p, [ctypes.py_object]
    at.restype, at.argtypes = ctypes.c_void_p, [ctypes.py_object, ctypes.c_char_p]
    return ctypes.CFUNCTYPE(result)(at(capsule, of(capsule)))


def case(seed: int) -> str:
    """Call a function as it should be, then with one hostile argument; return its name."""
    dice = Dice(seed)
    m, s, e, u = dice.number(1, 6), dice.number(1, 6), dice.number(1, 20), dice.number(1, 20)
    dtype = np.dtype(dice.among(np.float32, np.float64))
    kind = {dice.among("reset_after", "layer_norm"): dice.chance()}
    layer = cgru.GRU(u, sequences=True, dtype=dtype, rng=seed, **kind)
    layer.make(np.zeros((1, 1, e)))
    cell = cgru.Cell(layer, batch=m)
    n = dice.among(1, u)
    shapes = {
        "x": (m, e), "X": (m, s, e), "h": (m, u), "h0": (u,), "H": (m, s, u), "g": (m, s, n), "gx": (m, n),
        "dH": (m, s, u), "dX": (m, s, e), "grad": (sum(a.size for a in layer.p.values()),),
    }  # fmt: skip
    arrays = {name: moved(dice.rng.random(shape).astype(dtype), 0) for name, shape in shapes.items()}
    for name in ("workspace", "cache"):
        room = function(f"{name}_bytes", ctypes.c_ssize_t)
        size = room(ctypes.c_void_p(cell.address), ctypes.c_ssize_t(m), ctypes.c_ssize_t(s))
        arrays[name.replace("workspace", "work")] = moved(np.zeros(size, np.uint8), 0)
    counts = {"m": m, "s": s, "n": n}
    name = dice.among(*CALLS)
    places = CALLS[name].split()

    def call(name: str, hostile: str = "", value: Any = None, dtype: np.dtype = dtype) -> int:
        """Call a function with one argument replaced, or an array's size beside it ("size of work")."""
        given: list[Any] = [ctypes.c_void_p(value if hostile == "cell" else cell.address)]
        for place in CALLS[name].replace("?", "").split():
            own = value if place == hostile else counts.get(place)
            if place == "rate":
                given.append(ctypes.c_double(0.01))
            elif place in counts:
                given.append(ctypes.c_ssize_t(own))
            else:
                given.append(ctypes.c_void_p(own if place == hostile else arrays[place].ctypes.data))
                if place in ("work", "cache"):
                    size = value if hostile == f"size of {place}" else arrays[place].nbytes
                    given.append(ctypes.c_ssize_t(size))
        return function(f"__pyx_fuse_{int(dtype == np.float64)}{name}")(*given)

    if "cache" in places:  # which is not read before it is written
        assert call("forward") == OK
    if name == "gradients":
        assert call("backward") == OK
    assert call(name) == OK
    kept = {key: array.tobytes() for key, array in (arrays | dict(layer.p)).items()}
    for hostile, value, expected in hostilities(dice, places, arrays, dtype, m):
        other = np.dtype(np.float64 if dtype == np.float32 else np.float32)
        code = call(name, hostile, value, other if hostile == "dtype" else dtype)
        if expected is not None:
            assert code == expected, (name, hostile, value, code)
        else:
            assert code != OK, (name, hostile, value)
        if code != OK:
            for key, array in (arrays | dict(layer.p)).items():
                assert array.tobytes() == kept[key], (name, hostile, value, f"{key} was written")
    return name


def hostilities(dice: Dice, places: list[str], arrays: dict[str, Any], dtype: np.dtype, m: int) -> Any:
    """Yield (place, value, the code that is due; None: any but OK), those that may be fine last."""
    yield "cell", 0, None
    yield "dtype", None, None
    for place in places:
        name = place.removesuffix("?")
        if name in ("m", "s", "n"):
            yield name, dice.among(*COUNTS, *([m + 1] if name == "m" else [])), None
            continue
        if name == "rate":
            continue
        if name in ("work", "cache"):
            yield f"size of {name}", dice.among(0, -1, arrays[name].nbytes - 1 if name == "cache" else 8), None
        yield name, arrays[name].ctypes.data + dice.number(1, dtype.itemsize - 1), ALIGNMENT
        if not place.endswith("?"):
            yield name, 0, None
    for place in places:
        if place.endswith("?"):
            yield place.removesuffix("?"), 0, OK
            return


def moved(array: np.ndarray, offset: int) -> np.ndarray:
    """Return a copy whose address is `offset` bytes beyond a line, with room for a misaligned view behind it."""
    room = np.zeros(array.nbytes + 192, np.uint8)
    start = -room.ctypes.data % 64 + offset
    copy = room[start : start + array.nbytes].view(array.dtype).reshape(array.shape)
    copy[...] = array
    return copy
