"""Calendar arithmetic on arrays of datetime64: first days and lengths of months, weekdays, ISO weeks."""

from __future__ import annotations

from typing import Any

import numpy as np

__all__ = ["first_day", "first_monday", "lengths_of_months", "weekday"]


def first_day(times: Any, later: int = 0) -> Any:
    """Return the first day, as datetime64[D], of the month that is `later` months after the month of each time."""
    return (times.astype("datetime64[M]") + np.timedelta64(later, "M")).astype("datetime64[D]")


def lengths_of_months(times: np.ndarray) -> np.ndarray:
    """Return the number of days in the month of each of `times`."""
    return (first_day(times, 1) - first_day(times)).astype(np.int64)


def weekday(days: np.ndarray) -> np.ndarray:
    """Return the day of the week of each of `days`, Monday 0 to Sunday 6."""
    return (days.astype("datetime64[D]").astype(np.int64) + 3) % 7  # 1970-01-01 was a Thursday


def first_monday(january: np.ndarray) -> np.ndarray:
    """Return the Monday of ISO week 1 of each year whose first of January is given.

    By ISO 8601 that is the week with the fourth of January.
    """
    fourth = january + np.timedelta64(3, "D")
    return fourth - weekday(fourth).astype("timedelta64[D]")
