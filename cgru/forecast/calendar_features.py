"""Calendar features of times, as inputs that are known in the future: hour of day, day of week, day of year.

n times, c = 2 for each cycle.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from cgru.datasets.days import weekday
from cgru.forecast.series import MIN_OTHER, autocorrelation, fill_missing

__all__ = ["calendar", "cycles_of", "helpful_cycles"]

DAY = np.timedelta64(86400, "s")


def _share_of_day(times: np.ndarray) -> np.ndarray:
    """Return how much of its day has passed at each time (n,), from 0 to 1."""
    return (times - times.astype("datetime64[D]")) / DAY


def _share_of_week(times: np.ndarray) -> np.ndarray:
    """Return how much of its week has passed at the beginning of each time's day (n,); Monday is 0."""
    return weekday(times.astype("datetime64[D]")) / 7


def _share_of_year(times: np.ndarray) -> np.ndarray:
    """Return how much of its year has passed at each time (n,), from 0 to 1."""
    years = times.astype("datetime64[Y]")
    first, next_first = years.astype(times.dtype), (years + np.timedelta64(1, "Y")).astype(times.dtype)
    return (times - first) / (next_first - first)


DAYS = {"day": 1, "week": 7, "year": 365.2425}  # lengths
CYCLES = {"day": _share_of_day, "week": _share_of_week, "year": _share_of_year}


def calendar(times: Any, cycles: Sequence[str] | None = None) -> np.ndarray:
    """Convert times to their places in the cycles of the calendar, for `known` of a forecast.

    A share of a cycle c becomes sin(2 pi c) and cos(2 pi c): of the day or of the year as it passes, of the week at the
    beginning of the day.

    Args:
        times: datetimes (n,) as NumPy reads them, of a series and of the horizon after it.
        cycles: some of "day", "week" (its days) and "year". None: by the median step between times, the day and the
            week for steps below a day, the week and the year below a week, the year below a year.

    Returns:
        Sines and cosines (n, c), two columns for each cycle.

    Raises:
        TypeError, ValueError: these are no times, or the cycles are unknown, or none is longer than a step.

    Examples:
        >>> times = np.arange("2024-01-01", "2024-01-02", 6, dtype="datetime64[h]")  # a Monday
        >>> cgru.forecast.calendar(times).shape
        (4, 4)
        >>> cgru.forecast.calendar(times, ["day"])[1].round(6).tolist()  # six o'clock
        [1.0, 0.0]
    """
    times = np.asarray(times)
    if times.dtype.kind != "M" or times.ndim != 1 or np.isnat(times).any():
        raise ValueError(f"times: expected datetimes (n,), got {times.dtype} of shape {times.shape}")
    times = times.astype("datetime64[us]")
    chosen = cycles_of(times) if cycles is None else tuple(cycles)
    if not chosen or not set(chosen) <= CYCLES.keys():
        due = f"some of {', '.join(CYCLES)}, longer than a step"
        raise ValueError(f"cycles: expected {due}, got {', '.join(map(repr, chosen)) or 'none'}")
    angles = [2 * np.pi * CYCLES[name](times) for name in chosen]
    return np.column_stack([wave(angle) for angle in angles for wave in (np.sin, np.cos)])


def cycles_of(times: np.ndarray) -> tuple[str, ...]:
    """Return the names of the cycles that `calendar` reads by default of `times` (n,), by the step between them.

    The day and the week for steps below a day, the week and the year below a week, the year below a year; else none,
    and none of times that are no datetimes.
    """
    if times.dtype.kind != "M" or len(times) < 2:
        return ()
    step = np.median(np.diff(times.astype("datetime64[s]"))) / DAY
    return ("day", "week") if step < 1 else ("week", "year") if step < 7 else ("year",) if step < 365 else ()


def helpful_cycles(y: np.ndarray, times: np.ndarray) -> tuple[str, ...]:
    """Return the cycles that inputs of the calendar help to forecast y (n,) with `times` (n,): `cycles_of`, or none.

    There are some if the longer of two cycles shows in the series: in what the mean of the shorter one leaves. The
    autocorrelation at its length, of which the series has two, is as high as that of a season, and by as much above the
    one at half of it, in whole shorter ones: a slow drift has both. A single cycle, the year of longer steps, is
    left to the season.
    """
    cycles = cycles_of(times)
    if len(cycles) < 2:
        return ()
    step = (times[-1] - times[0]).astype("timedelta64[s]") / (len(times) - 1)
    short, long = (round(DAYS[cycle] * DAY / step) for cycle in cycles)
    y, phases = fill_missing(y, "interpolate", "y"), np.arange(len(y)) % short
    found = autocorrelation(y - (np.bincount(phases, y) / np.bincount(phases))[phases])
    return cycles if long < len(found) and found[long] > MIN_OTHER + max(0, found[long // 2 // short * short]) else ()
