"""Windows of a long series: so many steps every so many, the last one up to the end of the series."""

from __future__ import annotations

import re
from collections.abc import Sequence

import numpy as np

__all__ = ["parse_windows", "split_alone", "window_bounds"]

PARTS = 12  # of the only series: enough for the folds by which input layers are chosen


def parse_windows(value: str | int | Sequence[int]) -> tuple[int, int]:
    """Parse the argument `windows`: (length, hop), "length,hop" or a length, which is the hop, too."""
    numbers = [each.strip() for each in value.split(",")] if isinstance(value, str) else np.atleast_1d(value).tolist()
    if not 1 <= len(numbers) <= 2 or not all(re.fullmatch(r"0*[1-9]\d{0,8}", str(number)) for number in numbers):
        raise ValueError(f"windows: expected a length and a hop of at least 1, such as 100,50, got {value!r}")
    return int(numbers[0]), int(numbers[-1])


def window_bounds(start: int, end: int, windows: tuple[int, int]) -> list[tuple[int, int]]:
    """Return (first step, step behind the last) of each window of the steps from `start` to before `end`.

    The last window ends there, so that each step is in one, unless the hop is longer than the windows. A series that is
    no longer than a window is one itself.
    """
    length, hop = windows
    last = max(start, end - length)
    return [(first, min(first + length, end)) for first in (*range(start, last, hop), last)]


def split_alone(steps: int, windows: tuple[int, int]) -> np.ndarray:
    """Return where the parts of the only series begin, of which some can be held back.

    A part has room for two windows side by side, or for one where there are two parts.
    """
    parts = max(1, min(2, steps // windows[0]), min(PARTS, steps // (2 * windows[0])))
    return np.arange(parts) * steps // parts
