"""Check the values that a GRU's gates and states are clamped at. cgru/reference.py documents their effect."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from cgru.core.checks import mapping, real
from cgru.core.lengths import mask

__all__ = ["held"]

NAMES = ("z", "r", "h")


def held(
    clamp: Mapping[str, Any] | None, shape: tuple[int, int, int], lengths: Any, dtype: np.dtype
) -> dict[str, np.ndarray]:
    """Check `clamp`, and return copies of its values of z, r or h in `dtype`, broadcast to `shape` (m, s, u).

    NaN stays, where the layer decides. Past a sample's length all is NaN, whatever stood there. None: {}.

    Raises:
        TypeError: `clamp` is no dict, or holds something else than real numbers.
        ValueError: a name is unknown, an array does not broadcast, or a number is infinite.
    """
    found = {}
    for name, value in (mapping(clamp, "clamp") or {}).items():
        if name not in NAMES:
            raise ValueError(f"clamp: expected some of {', '.join(NAMES)}, got {name!r}")
        array = np.array(real(value, ("clamp", name), dtype=dtype))
        try:
            array = np.broadcast_to(array, shape)
        except ValueError:
            raise ValueError(
                f"clamp[{name!r}]: expected a shape that broadcasts to (m, s, u), {shape}, got {array.shape}"
            ) from None
        if lengths is not None:
            array = np.where(mask(lengths, shape[1]), array, dtype.type(np.nan))
        if np.isinf(array).any():
            place = tuple(np.argwhere(np.isinf(array))[0].tolist())
            raise ValueError(
                f"clamp[{name!r}]: expected finite numbers, or NaN where the layer decides, got {array[place]} in "
                f"sample {place[0]}, step {place[1]}, unit {place[2]}"
            )
        found[name] = array
    return found
