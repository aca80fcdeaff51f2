"""The times of a regular series: read, checked, and continued."""

from __future__ import annotations

import datetime
import re
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np

__all__ = ["Calendar", "Times", "calendar_of", "times_of"]

_ISO = re.compile(r"\d{4}-\d\d(-\d\d([T ]\d\d:\d\d(:\d\d(\.\d{1,6})?)?)?)?")
_QUARTER = re.compile(r"(\d{4})[ -]?Q([1-4])", re.IGNORECASE)
_ZONE = re.compile(r"(Z|[+-]\d\d:?\d\d)$")
_DAY = np.timedelta64(1, "D")
_NAMES = {
    ("months", 1): "monthly", ("months", 3): "quarterly", ("months", 12): "yearly", ("business days", 1): "on weekdays",
    ("seconds", 3600): "hourly", ("seconds", 86400): "daily", ("seconds", 7 * 86400): "weekly",
}  # fmt: skip
_UNITS = (("day", 86400.0), ("hour", 3600.0), ("minute", 60.0), ("second", 1.0))


class Times(NamedTuple):
    """Times as they were read: `values` (n,), datetime64[us] or int64, and the `form` in which they are written.

    `form` is "number", "month", "quarter", "day", "minute", "second", "microsecond", or a format of strftime; `zone` is
    what stood behind each.
    """

    values: np.ndarray
    form: str
    zone: str = ""

    def written(self, values: np.ndarray) -> list[str]:
        """`values`, times like these, in the same form."""
        if self.form == "number":
            return [str(int(value)) for value in values]
        if "%" in self.form:
            return [value.item().replace(tzinfo=datetime.timezone.utc).strftime(self.form) for value in values]
        if self.form == "quarter":
            months = values.astype("datetime64[M]").astype(int)
            return [f"{1970 + month // 12}Q{month % 12 // 3 + 1}" for month in months.tolist()]
        unit = {"month": "M", "day": "D", "minute": "m", "second": "s", "microsecond": "us"}[self.form]
        return [f"{text.replace('T', ' ')}{self.zone}" for text in np.datetime_as_string(values, unit=unit).tolist()]


def times_of(
    column: Sequence[Any], name: str, form: str | None = None, place: Callable[[int], str] = "row {}".format
) -> Times:
    """The times in a column: strings, integers (years, or any count, but no 202401), or datetimes.

    Strings are 1959-01, 1959-01-31, 1959-01-31 12:00 (:00), with a zone or none, or 1959Q1; with `form`, of strptime,
    whatever that says. Those of several zones are taken in UTC. ValueError for one that is not, with its `place`, so
    that no day is taken for a month.
    """
    values = np.asarray(column)
    if values.dtype.kind == "M":
        return _datetimes(values.astype("datetime64[us]"), name, place)
    if values.dtype.kind in "iuf" and form is None:
        if values.dtype.kind == "f" and not ((values == np.floor(values)) & (np.abs(values) < 2**53)).all():
            raise ValueError(f"{name}: expected times, such as 1959-01, or whole numbers, got others")
        return Times(_counts(values.astype(np.int64), name), "number")
    texts = [str(value).strip() for value in values.tolist()]
    if form is not None:
        parsed = [_parsed(text, form) for text in texts]
        if None in parsed:
            i = parsed.index(None)
            raise ValueError(f"{name}: expected times of the form {form}, got {texts[i]!r} in {place(i)}")
        parsed = [time.replace(tzinfo=None) - (time.utcoffset() or datetime.timedelta()) for time in parsed]
        return Times(np.array(parsed, "datetime64[us]"), form)
    zones = [found[0] if (found := _ZONE.search(text)) and ":" in text else "" for text in texts]
    if "" in zones and any(zones):
        i = zones.index("")
        raise ValueError(f"{name}: expected a time zone in each row or in none, got {texts[i]!r} in {place(i)}")
    several = len(set(zones)) > 1  # of a place whose clocks change
    texts = [text.removesuffix(zone).strip() for text, zone in zip(texts, zones, strict=True)]
    for i, text in enumerate(texts):
        if not (_ISO.fullmatch(text) or _QUARTER.fullmatch(text)) or len(text) != len(texts[0]):
            raise ValueError(
                f"{name}: expected times like 1959-01, 1959-01-31, 1959-01-31 12:00, 1959Q1 or whole numbers, all of "
                f"one form, got {text!r} in {place(i)}; any other needs its format, such as %d.%m.%Y"
            )
    quarter = _QUARTER.fullmatch(texts[0])
    if quarter:
        texts = [f"{found[1]}-{3 * int(found[2]) - 2:02}" for found in map(_QUARTER.fullmatch, texts)]
    try:
        parsed = np.array(texts, "datetime64[us]")
    except ValueError as error:
        raise ValueError(f"{name}: expected dates of the calendar: {error}") from None
    size = {7: "month", 10: "day", 16: "minute", 19: "second"}.get(len(texts[0]), "microsecond")
    if several:
        size = "minute" if len(texts[0]) < 16 else size
        return Times(parsed - np.array([_offset(zone) for zone in zones], "timedelta64[m]"), size, "Z")
    return Times(parsed, "quarter" if quarter else size, zones[0])


def _offset(zone: str) -> int:
    """How many minutes "+02:00" is before UTC, or "+0200", or "Z"."""
    digits = zone[1:].replace(":", "") or "0000"
    return int(zone[0] + digits[:2]) * 60 + int(zone[0] + digits[2:]) if zone != "Z" else 0


def _counts(values: np.ndarray, name: str) -> np.ndarray:
    """`values` (n,), unless all may be dates: from 202312 to 202401 it is a month, not 89 of something."""
    for form, *ends in (("%Y%m", 180001, 219912), ("%Y%m%d", 18000101, 21991231)):
        if all(ends[0] <= value <= ends[1] and _parsed(str(value), form) for value in values.tolist()):
            raise ValueError(
                f"{name}: expected counts, or times like 1959-01, got {values[0]}; it needs its format, {form}"
            )
    return values


def _datetimes(values: np.ndarray, name: str, place: Callable[[int], str]) -> Times:
    lost = np.flatnonzero(np.isnat(values))
    if lost.size:
        raise ValueError(f"{name}: expected a time in each row, got none in {place(int(lost[0]))}")
    for form, unit in (("day", "D"), ("second", "s")):
        if (values.astype(f"datetime64[{unit}]") == values).all():
            return Times(values, form)
    return Times(values, "microsecond")


def _parsed(text: str, form: str) -> datetime.datetime | None:
    try:
        return datetime.datetime.strptime(text, form)
    except ValueError:
        return None


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
