"""What the dates of a series tell: the season of their frequency, and their places in the calendar as inputs.

n times, c = 2 for each cycle.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

__all__ = ["calendar", "cycles_of", "season_of"]

MINUTE, HOUR, DAY, WEEK, YEAR = 60.0, 3600.0, 86400.0, 7 * 86400.0, 365.2425 * 86400  # seconds
SEASONS = ((WEEK, YEAR), (DAY, WEEK), (5 * MINUTE, DAY), (5.0, HOUR), (0.0, MINUTE))  # (least step, its season)
WHOLE = 0.1  # how far the steps of a season may be from a whole number


def season_of(times: Any) -> int:
    """Return the number of steps in a season, by the mean step between dates.

    | step | season | for example |
    | --- | --- | --- |
    | a year or more | none | |
    | a week or more | a year | 52 of weeks, 12 of months, 4 of quarters |
    | a day or more | a week | 7 of days, 5 of working days |
    | 5 minutes or more | a day | 24 of hours, 48 of half hours |
    | 5 seconds or more | an hour | 60 of minutes |
    | less | a minute | 60 of seconds |

    There is none if a step does not divide the week, day, hour or minute. Steps in a year are rounded.

    Args:
        times: the dates (n,) of a series, at regular steps.

    Returns:
        The number of steps, 1 for none.

    Raises:
        ValueError: these are no dates (n,).

    Examples:
        >>> cgru.forecast.season_of(np.arange("2020-01", "2022-01", dtype="datetime64[M]"))
        12
        >>> cgru.forecast.season_of(np.arange("1950", "1990", dtype="datetime64[Y]"))
        1
    """
    times = _as_times(times, "us")
    if len(times) < 2:
        return 1
    step = (times[-1] - times[0]) / np.timedelta64(1, "s") / (len(times) - 1)
    length = next(season for least, season in SEASONS if step >= 0.99 * least)  # clocks change
    steps = length / step
    return max(1, round(steps)) if length == YEAR or abs(steps - round(steps)) < WHOLE else 1


def _as_times(times: Any, unit: str) -> np.ndarray:
    """Return dates (n,) in a unit of NumPy; ValueError if they are none."""
    times = np.asarray(times)
    if times.dtype.kind != "M" or times.ndim != 1 or np.isnat(times).any():
        raise ValueError(f"times: expected datetime64 (n,) without NaT, got {times.dtype} of shape {times.shape}")
    return times.astype(f"datetime64[{unit}]")


def _share_of_day(times: np.ndarray) -> np.ndarray:
    """Return how much of its day has passed at each time (n,), from 0 to 1."""
    return (times - times.astype("datetime64[D]")) / np.timedelta64(1, "D")


def _share_of_week(times: np.ndarray) -> np.ndarray:
    """Return how much of its week has passed at the beginning of each time's day (n,); Monday is 0."""
    return (times.astype("datetime64[D]").astype(np.int64) + 3) % 7 / 7  # 1970-01-01 was a Thursday


def share_of_year(times: np.ndarray) -> np.ndarray:
    """Return how much of its year has passed at each time (n,), from 0 to 1."""
    years = times.astype("datetime64[Y]")
    first, next_first = years.astype(times.dtype), (years + np.timedelta64(1, "Y")).astype(times.dtype)
    return (times - first) / (next_first - first)


CYCLES = {"day": _share_of_day, "week": _share_of_week, "year": share_of_year}


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
        ValueError: these are no times, or the cycles are unknown, or none is longer than a step.

    Examples:
        >>> times = np.arange("2024-01-01", "2024-01-02", 6, dtype="datetime64[h]")  # a Monday
        >>> cgru.forecast.calendar(times).shape
        (4, 4)
        >>> cgru.forecast.calendar(times, ["day"])[1].round(6).tolist()  # six o'clock
        [1.0, 0.0]
    """
    times = _as_times(times, "us")
    chosen = cycles_of(times) if cycles is None else tuple(cycles)
    if not chosen or not set(chosen) <= CYCLES.keys():
        due = f"some of {', '.join(CYCLES)}, longer than a step"
        raise ValueError(f"cycles: expected {due}, got {', '.join(map(repr, chosen)) or 'none'}")
    angles = [2 * np.pi * CYCLES[name](times) for name in chosen]
    return np.column_stack([wave(angle) for angle in angles for wave in (np.sin, np.cos)])


def cycles_of(times: np.ndarray) -> tuple[str, ...]:
    """Return the names of the cycles that `calendar` reads by default of `times` (n,): none of times without dates."""
    if times.dtype.kind != "M" or len(times) < 2:
        return ()
    days = np.median(np.diff(times.astype("datetime64[s]"))) / np.timedelta64(1, "D")
    return ("day", "week") if days < 1 else ("week", "year") if days < 7 else ("year",) if days < 365 else ()
