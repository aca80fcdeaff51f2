"""Time series frequency: inferred from the times of a series, and used to check and continue them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np

from cgru.datasets.days import first_day, lengths_of_months, weekday
from cgru.datasets.time_zones import Clock
from cgru.datasets.where import Locator, first_true

__all__ = ["Frequency", "infer_frequency"]

_DAY, _MICROSECOND = np.timedelta64(1, "D"), np.timedelta64(1, "us")
_END = np.datetime64("10000-01-01", "us")
_SPANS = {"months": 12e4, "weekdays": 4e6, "seconds": 3.2e11}  # ten thousand years in each unit, or more
WEEKDAYS = "1111100"  # Monday to Friday, as a weekmask of NumPy
HOLIDAYS = 5  # weekdays in succession
NAMES = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")
NTH = ("first", "second", "third", "fourth", "fifth", "last")
_NAMES = {
    ("months", 1): "monthly", ("months", 3): "quarterly", ("months", 12): "yearly",
    ("seconds", 3600): "hourly", ("seconds", 86400): "daily", ("seconds", 7 * 86400): "weekly",
}  # fmt: skip
_UNITS = (("day", 86400.0), ("hour", 3600.0), ("minute", 60.0))


class Frequency(NamedTuple):
    """The frequency of a regular series, like an offset of pandas: the rule from one time to the next.

    Attributes:
        unit: "months", "weekdays", "seconds" (fractions, too) or "numbers".
        count: the number of units from one time to the next.
        days: with months, the days of the month; several only if `count` is 1. A shorter month takes its last day.
        february: with months, the latest day in a February.
        roll: with months, where a day that is no weekday is moved to: "preceding", "following", or "" for no move.
        week: the weekmask of NumPy, Monday to Sunday, of "weekdays" and `nth`.
        nth: with months, the index of the day among those of `week` in the month, 0 the first and -1 the last; None:
            the day is in `days`.
        clock: the converter to local time, if times in UTC are regular in local time; else None.
        hour: with a clock, the local time of day; None: that of the first time.
        per_year: with numbers, the number of steps a year; 0 if unknown.
        seasons: with numbers, likely lengths of a season in steps.
    """

    unit: str
    count: float
    days: tuple[int, ...] = (31,)
    february: int = 29
    roll: str = ""
    week: str = WEEKDAYS
    nth: int | None = None
    clock: Clock | None = None
    hour: np.timedelta64 | None = None
    per_year: int = 0
    seasons: tuple[int, ...] = ()

    def __str__(self) -> str:
        if self.per_year:
            return f"{self.per_year} a year"
        if self.unit == "numbers":
            return f"every {self.count}" if self.count > 1 else "numbered"
        if self.unit == "weekdays":
            return "on weekdays" if self.week == WEEKDAYS else f"on {self.week.count('1')} days a week"
        if len(self.days) > 1:
            return f"{len(self.days)} times a month"
        known = _NAMES.get((self.unit, self.count))
        if known or self.unit == "months":
            days = ", on weekdays" if self.roll else ""
            if self.nth is not None:
                days = f", on the {NTH[self.nth]} {NAMES[self.week.index('1')]}"
            return (known or f"every {self.count} months") + days
        name, size = next((each for each in _UNITS if self.count % each[1] == 0), ("second", 1.0))
        return f"every {self.count / size:g} {name}s" if self.count != size else f"every {name}"

    @property
    def likely(self) -> tuple[int, ...]:
        """Return likely lengths of a season in steps: a year of months, a week of days, a day or week of hours."""
        if self.unit == "months":
            return (12 * len(self.days) // self.count,) if self.count in (1, 2, 3, 4, 6) else ()
        if self.unit == "weekdays":
            return (self.week.count("1"),)
        if self.unit == "seconds":
            spans = [span for span in (86400, 7 * 86400) if span % self.count == 0 and span > self.count]
            return (52,) if self.count == 7 * 86400 else tuple(int(span // self.count) for span in spans)
        return self.seasons

    def places(self, times: np.ndarray) -> np.ndarray:
        """Return the number of steps from the first of `times` (n,) to each, as floats."""
        if self.unit == "numbers":
            return (times - times[0]) / self.count
        if self.clock is not None:
            times = self._walls(times)
        if self.unit == "seconds":
            return (times - times[0]) / _MICROSECOND / (self.count * 1e6)
        dates = times.astype("datetime64[D]")
        if self.unit == "weekdays":
            return np.busday_count(dates[0], dates, weekmask=self.week).astype(float)
        months = times.astype("datetime64[M]")
        places = months.astype(np.int64) * len(self.days) + self._slots(dates, months)
        return (places - places[0]) / self.count

    def at(self, first: Any, places: Any) -> np.ndarray:
        """Return the times that are `places` steps after `first`, which is a time of the series.

        Raise ValueError for times past the year 9999, and for numbers beyond 64 bits.
        """
        places = np.asarray(places, np.int64)
        if self.clock is not None:
            return self.clock.moments_of(self._shown(first, places))
        far = int(np.abs(places).max(initial=0)) * self.count
        if self.unit == "numbers":
            if abs(int(first)) + far >= 2**63:
                raise ValueError(f"horizon: expected numbers of 64 bits, got steps beyond after {first}")
            return first + places * int(self.count)
        if far > _SPANS[self.unit]:
            raise _too_late(first)
        if self.unit == "seconds":
            times = first + (places * round(self.count * 1e6)).astype("timedelta64[us]")
        else:
            date = np.datetime64(first, "D")
            times = self._dates_at(date, places).astype("datetime64[us]") + (first - date)
        if (times >= _END).any():
            raise _too_late(first)
        return times

    def fits(self, times: np.ndarray) -> np.ndarray:
        """Return a mask of the sorted `times` (n,) that a whole number of steps separates from the first."""
        places = self.places(times)
        whole = np.round(places).astype(np.int64)
        if self.clock is None:
            right = np.abs(places - whole) <= 1e-6
            if self.unit in ("months", "weekdays"):
                due = self.at(times[0], whole)
                right &= (due == times) | self._drifts(times) | self._holidays(times, due)
        else:
            walls = self._shown(times[0], whole)
            right = np.any([self.clock.moments_of(walls, fold) == times for fold in (0, 1)], axis=0)
        return right & (np.diff(whole, prepend=-1) > 0)

    def _holidays(self, times: np.ndarray, due: np.ndarray) -> np.ndarray:
        """Return a mask of `times` (n,) that holidays may have moved away from the first or last weekday that is `due`.

        At most `HOLIDAYS` weekdays are explained so, in at most a third of six times or more.
        """
        dates, expected = times.astype("datetime64[D]"), due.astype("datetime64[D]")
        if not self.roll or len(times) < 6 or 3 * (dates != expected).sum() > len(times):
            return np.zeros(len(times), bool)
        late = np.busday_count(expected, dates) * (1 if self.roll == "following" else -1)
        return np.is_busday(dates) & (late >= 0) & (late <= HOLIDAYS)

    def _drifts(self, times: np.ndarray) -> bool:
        """Return whether a short month lowers the day of all later months, down to the one in `days`.

        Such are 2023-01-31, 02-28, 03-28, which repeated `DateOffset(months=1)` of pandas makes.
        """
        if self.unit != "months":
            return False
        into, lengths = _into(times)
        kept = (into[1:] == np.minimum(into[:-1], lengths[1:])).all()
        return bool(kept) and self.days == (into[-1],)

    def _shown(self, first: Any, places: np.ndarray) -> np.ndarray:
        """Return the local times that are `places` steps after the time `first`, which is in UTC."""
        return Frequency._replace(self, clock=None).at(self._walls(np.array([first]))[0], places)

    def _walls(self, moments: np.ndarray) -> np.ndarray:
        """Convert `moments` (n,) from UTC to local time, rounded to the nearest `hour` of a day unless that is None."""
        walls = self.clock.local(moments)
        return walls if self.hour is None else _dates(walls, self.hour) + self.hour

    def _dates_at(self, first: np.datetime64, places: np.ndarray) -> np.ndarray:
        """Return the dates that are `places` steps after the date `first`."""
        if self.unit == "weekdays":
            return np.busday_offset(first, places, roll="preceding", weekmask=self.week)
        month, k = np.datetime64(first, "M"), len(self.days)
        steps = self._slots(np.array([first]), np.array([month])) + places * int(self.count)
        months = month + (steps // k).astype("timedelta64[M]")
        return self._dates(months, np.array(self.days)[steps % k])

    def _slots(self, dates: np.ndarray, months: np.ndarray) -> Any:
        """Return the index of the last of `days` that each of `dates` (n,) has reached in its month."""
        return sum((dates >= self._dates(months, day)).astype(np.int64) for day in self.days[1:])

    def _dates(self, months: np.ndarray, days: Any) -> np.ndarray:
        """Return the dates of the given `days` in `months` (n,), after the rules for short months and weekdays."""
        if self.nth is not None:
            return np.busday_offset(first_day(months, self.nth < 0), self.nth, roll="forward", weekmask=self.week)
        last = np.minimum(lengths_of_months(months), np.where(months.astype(np.int64) % 12 == 1, self.february, 31))
        dates = first_day(months) + (np.minimum(days, last) - 1).astype("timedelta64[D]")
        return np.busday_offset(dates, 0, roll=self.roll) if self.roll else dates


def infer_frequency(
    times: np.ndarray, name: str, quoted: Locator | None = None, clock: Clock | None = None
) -> Frequency:
    """Infer the frequency of sorted `times` (n,), like pandas' `infer_freq`.

    Args:
        times: the times, in UTC if there is a `clock`, or integers.
        name: the name of the column, for errors.
        quoted: returns the text of time i, for errors.
        clock: converts UTC to local time. Steps below a day are regular in UTC, or else in local time; longer steps in
            local time.

    Raises:
        ValueError: there are less than 3 times, a time is double, or one is irregular.
    """
    quoted = quoted or (lambda i: _text(times[i]))
    if (again := first_true(times[1:] == times[:-1])) is not None:
        raise ValueError(f"{name}: expected each time once, got {quoted(again)} twice")
    if len(times) < 3:
        raise ValueError(f"{name}: expected at least 3 times, to know the step between them, got {len(times)}")
    wrong = []
    for found in _candidate_frequencies(times, clock):
        wrong.append((found, np.flatnonzero(~found.fits(times))))
        if not wrong[-1][1].size:
            return found
    found, (i, *_) = min(wrong, key=lambda each: each[1].size)
    where = f"{quoted(i)} after {quoted(i - 1)}" if i else f"{quoted(0)} before {quoted(1)}"
    raise ValueError(f"{name}: expected regular times, {found} as most are, got {where}")


def _candidate_frequencies(times: np.ndarray, clock: Clock | None) -> Iterator[Frequency]:
    """Yield the frequencies that sorted `times` (n,) may have, the most likely first."""
    if times.dtype.kind == "i":
        yield Frequency("numbers", int(_mode(np.diff(times))))
        return
    elapsed = Frequency("seconds", _mode(np.diff(times)) / _MICROSECOND / 1e6)
    if clock is None:
        yield from _by_date(times, times - times.astype("datetime64[D]"))
        yield elapsed
        return
    walls = clock.local(times)
    hours = walls - walls.astype("datetime64[D]")
    hour = _mode(hours)
    shown = _dates(walls, hour)
    step = _mode(np.diff(shown)) / _MICROSECOND / 1e6
    if elapsed.count < 86400:
        yield elapsed
    elif step:
        for found in _by_date(shown + hour, np.array([hour])):
            yield found._replace(clock=clock, hour=hour)
        yield Frequency("seconds", step, clock=clock, hour=hour)
        yield elapsed
    yield Frequency("seconds", _mode(np.diff(walls)) / _MICROSECOND / 1e6, clock=clock)


def _by_date(times: np.ndarray, hours: np.ndarray) -> Iterator[Frequency]:
    """Yield the frequencies of months and weekdays that `times` (n,), at `hours` of their days, may have."""
    if (hours != hours[0]).any():
        return
    dates, months = times.astype("datetime64[D]"), times.astype("datetime64[M]")
    apart = np.diff(months.astype(np.int64))
    into, lengths = _into(times)
    if apart.min() > 0:
        count = int(_mode(apart))
        rules = _month_rules(into, weekday(dates))
        yield from (Frequency("months", count, **rule) for rule in rules)
    else:
        yield from (Frequency("months", 1, days) for days in _days_of_months(into, lengths, apart))
    if week := _week(dates):
        yield Frequency("weekdays", 1, week=week)


def _month_rules(into: np.ndarray, weekdays: np.ndarray) -> Iterator[dict[str, Any]]:
    """Yield rules for the day of the month, as fields of `Frequency`; `into` (n,) are the days of the month of times.

    `into` (n,) are the days of the month of times, `weekdays` their weekdays.
    """
    yield {"days": (31,)}  # even if all are the 30th of April, the last day is meant
    highest, usual = int(into.max()), int(_mode(into))
    yield {"days": (highest,)}
    yield {"days": (highest,), "february": 28}
    yield {"days": (31,), "roll": "preceding"}
    yield {"days": (1,), "roll": "following"}
    week = "".join("1" if day == _mode(weekdays) else "0" for day in range(7))
    yield {"week": week, "nth": int(_mode((into - 1) // 7))}
    yield {"week": week, "nth": -1}
    yield {"days": (int(into[-1]),)}
    yield {"days": (usual,)}


def _days_of_months(into: np.ndarray, lengths: np.ndarray, apart: np.ndarray) -> Iterator[tuple[int, ...]]:
    """Yield the two or three days of each month that times may fall on, from their days of the month `into` (n,)."""
    starts = np.flatnonzero(np.r_[True, apart > 0])
    sizes = np.diff(np.r_[starts, len(into)])
    k = int(_mode(sizes[1:-1])) if len(sizes) > 2 else 0
    if k not in (2, 3) or len(into) < 3 * k:
        return
    whole = starts[sizes == k, None] + np.arange(k)
    is_last = (into[whole] == lengths[whole]).all(axis=0)
    for chosen in (_mode, np.max):
        yield tuple(31 if last else int(chosen(days)) for last, days in zip(is_last, into[whole].T, strict=True))


def _week(dates: np.ndarray) -> str:
    """Return the weekmask of sorted daily `dates` (n,) that skip days of the week; "" for others, or too few dates."""
    if _mode(np.diff(dates)) != _DAY:
        return ""
    there = np.isin(np.arange(7), weekday(dates))
    week = "".join("1" if day else "0" for day in there)
    if not there[5:].any() and (np.diff(dates) == 3 * _DAY).any():
        return WEEKDAYS
    return week if week.count("1") in (5, 6) and len(dates) >= 3 * week.count("1") else ""


def _dates(walls: np.ndarray, hour: np.timedelta64) -> np.ndarray:
    """Return for each local time of `walls` (n,) the date whose `hour` is nearest, as datetime64[us]."""
    half = np.timedelta64(12, "h")
    return (walls - hour + half).astype("datetime64[D]").astype("datetime64[us]")


def _into(times: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the day of the month of each of `times` (n,), and the number of days in that month."""
    return (times.astype("datetime64[D]") - first_day(times)).astype(np.int64) + 1, lengths_of_months(times)


def _mode(steps: np.ndarray) -> Any:
    """Return the most common value."""
    values, counts = np.unique(steps, return_counts=True)
    return values[np.argmax(counts)]


def _text(time: Any) -> str:
    """Format a time without a midnight or microseconds of 0."""
    return str(time).removesuffix(".000000").removesuffix("T00:00:00")


def _too_late(first: Any) -> ValueError:
    """Return the error for times past the year 9999."""
    return ValueError(f"horizon: expected times up to the year 9999, got steps beyond after {_text(first)}")
