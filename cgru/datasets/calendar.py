"""The times of a regular series: checked, and continued."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from cgru.datasets.times import Times, times_of

__all__ = ["Calendar", "Times", "calendar_of", "times_of"]

_DAY = np.timedelta64(1, "D")
_NAMES = {
    ("months", 1): "monthly", ("months", 3): "quarterly", ("months", 12): "yearly", ("business days", 1): "on weekdays",
    ("seconds", 3600): "hourly", ("seconds", 86400): "daily", ("seconds", 7 * 86400): "weekly",
}  # fmt: skip
_UNITS = (("day", 86400.0), ("hour", 3600.0), ("minute", 60.0), ("second", 1.0))


class Calendar(NamedTuple):
    """From one time to the next: `count` "months", "business days", "seconds" (any share of them) or "numbers".

    `day` is that of the month, or the last where a month has fewer.
    """

    unit: str
    count: float
    day: int = 31

    def __str__(self) -> str:
        if self.unit == "numbers":
            return f"every {self.count}" if self.count > 1 else "numbered"
        known = _NAMES.get((self.unit, self.count))
        if known or self.unit == "months":
            return known or f"every {self.count} months"
        name, size = next((each for each in _UNITS if self.count % each[1] == 0), ("second", 1.0))
        return f"every {self.count / size:g} {name}s" if self.count != size else f"every {name}"

    @property
    def likely(self) -> tuple[int, ...]:
        """How many steps a season may well have: a year of months, a week of days, a day of hours."""
        if self.unit == "months":
            return (12 // self.count,) if self.count in (1, 2, 3, 4, 6) else ()
        if self.unit == "business days":
            return (5,)
        if self.unit == "seconds":
            day, week = 86400, 7 * 86400
            if self.count == week:
                return (52,)
            return tuple(
                int(span // self.count) for span in (day, week) if span % self.count == 0 and span > self.count
            )
        return ()

    def places(self, times: np.ndarray) -> np.ndarray:
        """How many steps after the first each of `times` (n,) is, as floats."""
        if self.unit == "numbers":
            return (times - times[0]) / self.count
        if self.unit == "months":
            months = times.astype("datetime64[M]").astype(np.int64)
            return (months - months[0]) / self.count
        if self.unit == "business days":
            days = times.astype("datetime64[D]")
            return np.busday_count(days[0], days).astype(float)
        return (times - times[0]) / np.timedelta64(1, "us") / (self.count * 1e6)

    def at(self, first: Any, places: np.ndarray) -> np.ndarray:
        """The times so many steps after `first`, which is one of a series."""
        places = np.asarray(places, np.int64)
        if self.unit == "numbers":
            return first + places * int(self.count)
        if self.unit == "business days":
            days = np.datetime64(first, "D")
            return np.busday_offset(days, places).astype("datetime64[us]") + (first - days)
        if self.unit == "seconds":
            return first + (places * round(self.count * 1e6)).astype("timedelta64[us]")
        months = np.datetime64(first, "M") + (places * int(self.count)).astype("timedelta64[M]")
        days = months.astype("datetime64[D]") + (np.minimum(self.day, _lengths(months)) - 1).astype("timedelta64[D]")
        return days.astype("datetime64[us]") + (first - np.datetime64(first, "D"))


def calendar_of(times: np.ndarray, name: str) -> Calendar:
    """The step of sorted `times` (n,): the one that most of them are apart.

    ValueError with the place for times that are there twice, and for one that lies between the steps.
    """
    again = np.flatnonzero(times[1:] == times[:-1])
    if again.size:
        raise ValueError(f"{name}: expected each time once, got {_said(times[again[0]])} twice")
    if len(times) < 3:
        raise ValueError(f"{name}: expected at least 3 times, to know the step between them, got {len(times)}")
    found = _numbered(times) if times.dtype.kind == "i" else _dated(times)
    places = found.places(times)
    off = np.flatnonzero(np.abs(places - np.round(places)) > 1e-6)
    if not off.size:
        off = np.flatnonzero(np.diff(np.round(places)) == 0) + 1
    if off.size:
        where = f"{_said(times[off[0]])} after {_said(times[off[0] - 1])}"
        raise ValueError(f"{name}: expected regular times, {found} as most are, got {where}")
    return found


def _numbered(times: np.ndarray) -> Calendar:
    return Calendar("numbers", int(_most(np.diff(times))))


def _dated(times: np.ndarray) -> Calendar:
    days = times.astype("datetime64[D]")
    months = times.astype("datetime64[M]")
    alike = np.unique(times - days.astype("datetime64[us]")).size == 1
    into, lengths = (days - months.astype("datetime64[D]")).astype(int) + 1, _lengths(months)
    day = 31 if (into == lengths).all() else int(into.max())  # of February or April alone the last is meant
    if alike and (into == np.minimum(day, lengths)).all() and (apart := np.diff(months.astype(int))).min() > 0:
        return Calendar("months", int(_most(apart)), day)
    step = _most(np.diff(times))
    if alike and step == _DAY and np.is_busday(days).all() and (np.diff(days) == 3 * _DAY).any():
        return Calendar("business days", 1)
    return Calendar("seconds", step / np.timedelta64(1, "us") / 1e6)


def _lengths(months: np.ndarray) -> np.ndarray:
    """How many days `months` (n,) have."""
    return ((months + np.timedelta64(1, "M")).astype("datetime64[D]") - months.astype("datetime64[D]")).astype(int)


def _most(steps: np.ndarray) -> Any:
    values, counts = np.unique(steps, return_counts=True)
    return values[np.argmax(counts)]


def _said(time: Any) -> str:
    return str(time).removesuffix(".000000").removesuffix("T00:00:00")
