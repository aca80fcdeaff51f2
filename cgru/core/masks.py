"""Draw or check the masks of a GRU layer's dropout, recurrent dropout and zoneout, and what its gates are clamped at.

m samples, s steps, e features, u units. cgru/reference.py shows what each mask does, and clamping.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from cgru.core.checks import contiguous_rows, mapping, real
from cgru.core.lengths import mask

__all__ = ["RATES", "apply_input_mask", "check", "draw", "held"]

RATES = {"input_mask": "dropout", "recurrent_masks": "recurrent_dropout", "zoneout": "zoneout"}
CLAMPED = ("z", "r", "h")


def draw(
    rates: Mapping[str, float],
    shape: tuple[int, int, int, int],
    rng: np.random.Generator,
    given: Mapping[str, Any] | None,
    dtype: np.dtype,
) -> dict[str, np.ndarray]:
    """Return the masks of one training pass, named as in `RATES`: the given ones, and others drawn at their rates.

    Args:
        rates: the rate by the name of its mask; 0: no mask.
        shape: m, s, e, u.
        rng: draws the masks that are not given, in the order of `RATES`, always in float64.
        given: masks to use whatever the rate, of which copies are returned; None: draw all.
        dtype: of the masks.

    Returns:
        `input_mask` (m, e) and `recurrent_masks` (3, m, u), 0 or 1 / (1 - rate); `zoneout` (m, s, u), 1 or 0.

    Raises:
        TypeError, ValueError: a given mask has another dtype or shape, or an unknown name; nothing is drawn.
    """
    masks = {name: mask.copy() for name, mask in check(given, shape, dtype).items()}
    for name in RATES:
        share = rates[name]
        if share and name not in masks:
            chosen = rng.random(_shapes(shape)[name]) < share
            masks[name] = chosen.astype(dtype) if name == "zoneout" else ~chosen / dtype.type(1 - share)
    return masks


def check(given: Mapping[str, Any] | None, shape: tuple[int, int, int, int], dtype: np.dtype) -> dict[str, np.ndarray]:
    """Check given masks for a call of `shape` (m, s, e, u), and return them in `dtype`; {} for None."""
    shapes = _shapes(shape)
    for name in given or ():
        if name not in shapes:
            raise ValueError(f"masks: expected some of {', '.join(shapes)}, got {name!r}")
    return {
        name: contiguous_rows(real(mask, ("masks", name), shapes[name], dtype)) for name, mask in (given or {}).items()
    }


def _shapes(shape: tuple[int, int, int, int]) -> dict[str, tuple[int, ...]]:
    """Return the shape of each mask, by name, for a call of `shape` (m, s, e, u)."""
    m, s, e, u = shape
    return {"input_mask": (m, e), "recurrent_masks": (3, m, u), "zoneout": (m, s, u)}


def apply_input_mask(X: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """Return X (m, s, e) times its mask (m, e) at each step, without warnings about infinities in the padding."""
    with np.errstate(invalid="ignore"):
        return contiguous_rows(X * mask[:, None])


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
        if name not in CLAMPED:
            raise ValueError(f"clamp: expected some of {', '.join(CLAMPED)}, got {name!r}")
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
