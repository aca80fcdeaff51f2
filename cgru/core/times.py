"""Check the times of steps. m samples, s steps; lengths (m,) are the numbers of real steps, others are padding."""

from __future__ import annotations

from typing import Any

import numpy as np

from cgru.core.checks import real

__all__ = ["check_go_on", "times_of"]


def times_of(value: Any, m: int, s: int, lengths: np.ndarray | None) -> np.ndarray | None:
    """Check times (m, s), and return them in float64, with the last real time in the padding; None for None.

    TypeError or ValueError for another dtype or shape, a time that is not finite, or one below that of the step before.
    """
    if value is None:
        return None
    times = np.ascontiguousarray(real(value, "times", (m, s)), np.float64)
    if lengths is not None:
        times = np.take_along_axis(times, np.minimum(np.arange(s), lengths[:, None] - 1), axis=1)
    for wrong, due in (
        (~np.isfinite(times), "finite numbers"),
        (np.diff(times, prepend=times[:, :1]) < 0, "times that do not decrease"),
    ):
        if wrong.any():
            i, t = np.argwhere(wrong)[0]
            raise ValueError(f"times: expected {due}, got {times[i, t]} in sample {i}, step {t}")
    return times


def check_go_on(times: np.ndarray, ends: np.ndarray, first: int = 0) -> None:
    """Raise ValueError if steps at `times` (m, s) start before `ends` (m,), the time of the steps before them.

    `first` is the number of the first sample.
    """
    for i in np.flatnonzero(times[:, 0] < ends)[:1]:
        due = f"times from {ends[i]} on, the end of the previous steps"
        raise ValueError(f"times: expected {due}, got {times[i, 0]} in sample {first + i}, step 0")
