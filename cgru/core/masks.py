"""The masks of a GRU layer's dropout, recurrent dropout and zoneout: drawn, or handed in.

m samples, s steps, e elements per step, u unit cells. What each mask does stands in cgru/reference.py.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from cgru.core.checks import real, rows

__all__ = ["RATES", "checked", "drawn", "masked"]

RATES = {"input_mask": "dropout", "recurrent_masks": "recurrent_dropout", "zoneout": "zoneout"}


def drawn(
    rates: Mapping[str, float],
    shape: tuple[int, int, int, int],
    rng: np.random.Generator,
    handed: Mapping[str, Any] | None,
    dtype: np.dtype,
) -> dict[str, np.ndarray]:
    """The masks of one training pass, those of the names in `RATES` that are on.

    Args:
        rates: the share that is dropped (zoneout: kept as it was) by the name of its mask; 0: no mask.
        shape: m, s, e, u.
        rng: draws the masks that are not handed in, in the order of `RATES`, always in float64.
        handed: masks to take as they are, whatever the rate; None: draw all.
        dtype: of the masks.

    Returns:
        `input_mask` (m, e) and `recurrent_masks` (3, m, u), 0 or 1 / (1 - rate); `zoneout` (m, s, u), 1 or 0.

    Raises:
        TypeError, ValueError: a mask that is handed in is not what it should be; nothing is drawn.
    """
    masks = checked(handed, shape, dtype)
    for name in RATES:
        share = rates[name]
        if share and name not in masks:
            chosen = rng.random(_shapes(shape)[name]) < share
            masks[name] = chosen.astype(dtype) if name == "zoneout" else ~chosen / dtype.type(1 - share)
    return masks


def checked(
    handed: Mapping[str, Any] | None, shape: tuple[int, int, int, int], dtype: np.dtype
) -> dict[str, np.ndarray]:
    """The masks handed in for a call of the shape m, s, e, u; TypeError or ValueError where one does not fit."""
    shapes = _shapes(shape)
    for name in handed or ():
        if name not in shapes:
            raise ValueError(f"masks: expected some of {', '.join(shapes)}, got {name!r}")
    return {name: rows(real(mask, ("masks", name), shapes[name], dtype)) for name, mask in (handed or {}).items()}


def _shapes(shape: tuple[int, int, int, int]) -> dict[str, tuple[int, ...]]:
    m, s, e, u = shape
    return {"input_mask": (m, e), "recurrent_masks": (3, m, u), "zoneout": (m, s, u)}


def masked(X: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """X (m, s, e) times its mask (m, e) at each step, with no word about infinity in the padding."""
    with np.errstate(invalid="ignore"):
        return rows(X * mask[:, None])
