"""Days of months, weeks and years, by the calendar of NumPy."""

from __future__ import annotations

from typing import Any

import numpy as np

__all__ = ["first_day", "first_monday", "lengths_of_months", "weekday"]


def first_day(times: Any, later: int = 0) -> Any:
    """Return the first day of the month that is `later` months after that of each of `times`, as datetime64[D]."""
    return (times.astype("datetime64[M]") + np.timedelta64(later, "M")).astype("datetime64[D]")


def lengths_of_months(times: np.ndarray) -> np.ndarray:
    """Return how many days the month of each of `times` has."""
    return (first_day(times, 1) - first_day(times)).astype(np.int64)


def weekday(days: np.ndarray) -> np.ndarray:
    """Return the day of the week of each of `days`, Monday 0 to Sunday 6."""
    return (days.astype("datetime64[D]").astype(np.int64) + 3) % 7  # 1970-01-01 was a Thursday


def first_monday(january: np.ndarray) -> np.ndarray:
    """Return the Monday of the first week by ISO 8601, which has the fourth of January, of years since `january`."""
    fourth = january + np.timedelta64(3, "D")
    return fourth - weekday(fourth).astype("timedelta64[D]")
