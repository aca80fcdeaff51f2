"""Time differences between the rows of a sequence: `split_at` gaps parsed and formatted, and a note on large ones."""

from __future__ import annotations

import re
from typing import Any

import numpy as np

__all__ = ["TIME_STEP", "format_gap", "notes_on_gaps", "parse_gap"]

TIME_STEP = "time_step"  # the name of the feature
UNITS = {"w": 604800.0, "d": 86400.0, "h": 3600.0, "min": 60.0, "s": 1.0}  # in seconds
FAR = 20  # times the median difference: a larger one may separate two sequences
SEVERAL = 8  # differences that are needed to judge by their median


def parse_gap(value: Any) -> tuple[float, bool]:
    """Parse a gap, a number or a duration such as 30d; return (its size, whether that is in seconds).

    "30d", "6h", "10min" and "2w" are in seconds, 30 and "30" in the unit of the times. Raise ValueError for any other
    value.
    """
    text = value.strip().lower() if isinstance(value, str) else ""
    if found := re.fullmatch(r"((?:\d+(?:\.\d*)?|\.\d+)(?:e[+-]?\d+)?) *(w|d|h|min|m|s)?", text):
        number, unit = float(found[1]), found[2]
    elif isinstance(value, (int, float)) and not isinstance(value, bool):
        number, unit = float(value), None
    else:
        raise ValueError(f"split_at: expected a number, or a time such as 30d, 6h or 10min, got {value!r}")
    if not 0 < number < np.inf:
        raise ValueError(f"split_at: expected a gap above 0, got {value!r}")
    return number * UNITS.get("min" if unit == "m" else unit, 1.0), unit is not None


def format_gap(gap: float, seconds: bool) -> str:
    """Format a gap, in `seconds` or as a number, to three digits, so that `parse_gap` reads it again: 5.2d, 90min."""
    if not seconds:
        return f"{gap:.3g}"
    unit = next((unit for unit, size in UNITS.items() if gap >= size and unit != "w"), "s")
    return f"{float(f'{gap / UNITS[unit]:.3g}'):g}{unit}"


def notes_on_gaps(apart: np.ndarray, seconds: bool, names: str) -> list[str]:
    """Return a note if the largest of the time differences `apart` (n,) is far above the median, else an empty list."""
    if len(apart) < SEVERAL:
        return []
    usual, largest = float(np.median(apart)), float(apart.max())
    if largest <= FAR * usual:
        return []
    cut = format_gap(np.sqrt(usual * largest), seconds)
    gaps = f"{format_gap(largest, seconds)}, the usual one {format_gap(usual, seconds)}"
    cure = f'split_at="{cut}" makes sequences of what lies further apart'
    return [f"{names}: the largest gap within a sequence is {gaps}; {cure}"]
