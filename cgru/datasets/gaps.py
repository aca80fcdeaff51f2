"""Values that are missing in sequences: filled from their own sequence, never from another."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

__all__ = ["MISSING", "check_missing", "filled", "said"]

MISSING = ("refuse", "forward", "interpolate", "zero")


def check_missing(missing: str) -> str:
    """`missing` where it is one of `MISSING`; ValueError."""
    if missing not in MISSING:
        raise ValueError(f"missing: expected one of {', '.join(MISSING)}, got {missing!r}")
    return missing


def filled(sequence: np.ndarray, how: str) -> np.ndarray:
    """The NaN of a sequence (s, e) filled, in place; how many of each element were (e,).

    "forward": the last value before, and where there is none the first one after; "interpolate": on the line between
    the values before and after, by the number of steps, and at the ends the nearest; "zero": 0. What has no value at
    all in the sequence stays NaN but for "zero".
    """
    gaps = np.isnan(sequence)
    for j in np.flatnonzero(gaps.any(axis=0)):
        own, there = gaps[:, j], np.flatnonzero(~gaps[:, j])
        if how == "zero":
            sequence[own, j] = 0
        elif there.size and how == "interpolate":
            sequence[own, j] = np.interp(np.flatnonzero(own), there, sequence[there, j])
        elif there.size:
            before = np.searchsorted(there, np.flatnonzero(own)) - 1
            sequence[own, j] = sequence[there[before.clip(min=0)], j]
    return gaps.sum(axis=0)


def said(counts: np.ndarray, how: str, names: Sequence[str]) -> list[str]:
    """What was filled, in words: a line or none."""
    some = [f"{name} {count}" for name, count in zip(names, counts.tolist(), strict=True) if count]
    few = ", ".join(some[:9]) + (", ..." if len(some) > 9 else "")
    return [f"filled {counts.sum()} missing values ({how}): {few}"] if some else []
