"""The times of a regular series: read, checked, and continued."""

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
_SPANS = {"months": 12e4, "weekdays": 4e6, "seconds": 3.2e11}  # more than ten thousand years of each
WEEKDAYS = "1111100"
HOLIDAYS = 5  # weekdays one after the other
NAMES = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")
NTH = ("first", "second", "third", "fourth", "fifth", "last")
_NAMES = {
    ("months", 1): "monthly", ("months", 3): "quarterly", ("months", 12): "yearly",
    ("seconds", 3600): "hourly", ("seconds", 86400): "daily", ("seconds", 7 * 86400): "weekly",
}  # fmt: skip
_UNITS = (("day", 86400.0), ("hour", 3600.0), ("minute", 60.0), ("second", 1.0))


class Frequency(NamedTuple):
    """The rule by which the times of a regular series follow each other.

    Attributes:
        unit: "months", "weekdays", "seconds" (any share of them) or "numbers".
        count: how many of these lie between one time and the next.
        days: of months, the days of each that are taken, several only of single months; the last where it has fewer.
        february: the last day that may be taken in a February.
        roll: of months, "" or where a day is moved to that is no weekday: "preceding" or "following".
        week: of weekdays, which days from Monday to Sunday there are, as NumPy writes them.
        nth: of months, which of the days in `week` it is, 0 the first and -1 the last; None: it is one of `days`.
        clock: where times, in UTC, follow each other by the clock on the wall, that clock; else None.
        hour: of such times, what the clock shows of the day; None: what it shows at the first.
        per_year: of numbers, how many steps a year has; 0: nobody knows.
        seasons: of numbers, how many steps a season may well have.
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
            return (known or f"every {self.count} months") + self._restricted
        name, size = next((each for each in _UNITS if self.count % each[1] == 0), ("second", 1.0))
        return f"every {self.count / size:g} {name}s" if self.count != size else f"every {name}"

    @property
    def _restricted(self) -> str:
        if self.nth is not None:
            return f", on the {NTH[self.nth]} {NAMES[self.week.index('1')]}"
        return ", on weekdays" if self.roll else ""

    @property
    def likely(self) -> tuple[int, ...]:
        """How many steps a season may well have: a year of months, a week of days, a day of hours."""
        if self.unit == "months":
            return (12 * len(self.days) // self.count,) if self.count in (1, 2, 3, 4, 6) else ()
        if self.unit == "weekdays":
            return (self.week.count("1"),)
        if self.unit == "seconds":
            spans = [span for span in (86400, 7 * 86400) if span % self.count == 0 and span > self.count]
            return (52,) if self.count == 7 * 86400 else tuple(int(span // self.count) for span in spans)
        return self.seasons

    def places(self, times: np.ndarray) -> np.ndarray:
        """Return how many steps after the first each of `times` (n,) is, as floats."""
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
        """Return the times so many steps after `first`, one of a series.

        ValueError for times past the year 9999, and for numbers that 64 bits do not hold.
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
        """Return whether each of sorted `times` (n,) is one of those that follow the first by this rule."""
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
        """Return where holidays explain that `times` (n,) are before a last weekday that is `due`, or behind a first.

        They do for a few days, and for a third of six times or more at most.
        """
        dates, expected = times.astype("datetime64[D]"), due.astype("datetime64[D]")
        if not self.roll or len(times) < 6 or 3 * (dates != expected).sum() > len(times):
            return np.zeros(len(times), bool)
        late = np.busday_count(expected, dates) * (1 if self.roll == "following" else -1)
        return np.is_busday(dates) & (late >= 0) & (late <= HOLIDAYS)

    def _drifts(self, times: np.ndarray) -> bool:
        """Return whether the day of the month, once a month has fewer, stays so and ends at that of `days`.

        pandas makes 2023-01-31, 02-28, 03-28 of steps of `DateOffset(months=1)`.
        """
        if self.unit != "months":
            return False
        into, lengths = _into(times)
        kept = (into[1:] == np.minimum(into[:-1], lengths[1:])).all()
        return bool(kept) and self.days == (into[-1],)

    def _shown(self, first: Any, places: np.ndarray) -> np.ndarray:
        """Return what the clock shows so many steps after the moment `first`."""
        return Frequency._replace(self, clock=None).at(self._walls(np.array([first]))[0], places)

    def _walls(self, moments: np.ndarray) -> np.ndarray:
        """Return what the clock shows at `moments` (n,), at its `hour` of the nearest day where it has one."""
        walls = self.clock.local(moments)
        return walls if self.hour is None else _dates(walls, self.hour) + self.hour

    def _dates_at(self, first: np.datetime64, places: np.ndarray) -> np.ndarray:
        """Return the dates so many steps after that of `first`."""
        if self.unit == "weekdays":
            return np.busday_offset(first, places, roll="preceding", weekmask=self.week)
        month, k = np.datetime64(first, "M"), len(self.days)
        steps = self._slots(np.array([first]), np.array([month])) + places * int(self.count)
        months = month + (steps // k).astype("timedelta64[M]")
        return self._dates(months, np.array(self.days)[steps % k])

    def _slots(self, dates: np.ndarray, months: np.ndarray) -> Any:
        """Return which of the `days` of its month each of `dates` (n,) has reached, 0 for the first."""
        return sum((dates >= self._dates(months, day)).astype(np.int64) for day in self.days[1:])

    def _dates(self, months: np.ndarray, days: Any) -> np.ndarray:
        """Return the dates of these `days` in `months` (n,)."""
        if self.nth is not None:
            return np.busday_offset(first_day(months, self.nth < 0), self.nth, roll="forward", weekmask=self.week)
        last = np.minimum(lengths_of_months(months), np.where(months.astype(np.int64) % 12 == 1, self.february, 31))
        dates = first_day(months) + (np.minimum(days, last) - 1).astype("timedelta64[D]")
        return np.busday_offset(dates, 0, roll=self.roll) if self.roll else dates


def infer_frequency(
    times: np.ndarray, name: str, quoted: Locator | None = None, clock: Clock | None = None
) -> Frequency:
    """Return the rule that sorted `times` (n,), in UTC where they have a `clock`, follow: all of them, or most.

    Steps of less than a day are steps in UTC; others, and those that are irregular there, are steps of the clock.
    ValueError, with times as they are `quoted` by their places, for times that are there twice, and for one that lies
    between the steps.
    """
    quoted = quoted or (lambda i: _said(times[i]))
    if (again := first_true(times[1:] == times[:-1])) is not None:
        raise ValueError(f"{name}: expected each time once, got {quoted(again)} twice")
    if len(times) < 3:
        raise ValueError(f"{name}: expected at least 3 times, to know the step between them, got {len(times)}")
    wrong = []
    for found in _candidates(times, clock):
        wrong.append((found, np.flatnonzero(~found.fits(times))))
        if not wrong[-1][1].size:
            return found
    found, (i, *_) = min(wrong, key=lambda each: each[1].size)
    where = f"{quoted(i)} after {quoted(i - 1)}" if i else f"{quoted(0)} before {quoted(1)}"
    raise ValueError(f"{name}: expected regular times, {found} as most are, got {where}")


def _candidates(times: np.ndarray, clock: Clock | None) -> Iterator[Frequency]:
    """Yield the rules that sorted `times` (n,) may follow, the most likely first."""
    if times.dtype.kind == "i":
        yield Frequency("numbers", int(_most(np.diff(times))))
        return
    elapsed = Frequency("seconds", _most(np.diff(times)) / _MICROSECOND / 1e6)
    if clock is None:
        yield from _by_date(times, times - times.astype("datetime64[D]"))
        yield elapsed
        return
    walls = clock.local(times)
    hours = walls - walls.astype("datetime64[D]")
    hour = _most(hours)
    shown = _dates(walls, hour)
    step = _most(np.diff(shown)) / _MICROSECOND / 1e6
    if elapsed.count < 86400:
        yield elapsed
    elif step:
        for found in _by_date(shown + hour, np.array([hour])):
            yield found._replace(clock=clock, hour=hour)
        yield Frequency("seconds", step, clock=clock, hour=hour)
        yield elapsed
    yield Frequency("seconds", _most(np.diff(walls)) / _MICROSECOND / 1e6, clock=clock)


def _by_date(times: np.ndarray, hours: np.ndarray) -> Iterator[Frequency]:
    """Yield the rules of months and weekdays that `times` (n,), at `hours` of their days, may follow."""
    if (hours != hours[0]).any():
        return
    dates, months = times.astype("datetime64[D]"), times.astype("datetime64[M]")
    apart = np.diff(months.astype(np.int64))
    into, lengths = _into(times)
    if apart.min() > 0:
        count = int(_most(apart))
        rules = _month_rules(into, lengths, weekday(dates))
        yield from (Frequency("months", count, **rule) for rule in rules)
    else:
        yield from (Frequency("months", 1, days) for days in _days_of_months(into, lengths, apart))
    if week := _week(dates):
        yield Frequency("weekdays", 1, week=week)


def _month_rules(into: np.ndarray, lengths: np.ndarray, weekdays: np.ndarray) -> Iterator[dict[str, Any]]:
    """Yield which day of the month may be meant by days (n,) `into` months of these `lengths`, on `weekdays`."""
    if (into == lengths).all():  # of February or April alone the last is meant
        yield {"days": (31,)}
    highest, usual = int(into.max()), int(_most(into))
    yield {"days": (highest,)}
    yield {"days": (highest,), "february": 28}
    yield {"days": (31,), "roll": "preceding"}
    yield {"days": (1,), "roll": "following"}
    week = "".join("1" if day == _most(weekdays) else "0" for day in range(7))
    yield {"week": week, "nth": int(_most((into - 1) // 7))}
    yield {"week": week, "nth": -1}
    yield {"days": (int(into[-1]),)}
    yield {"days": (usual,)}
    yield {"days": (31,)}


def _days_of_months(into: np.ndarray, lengths: np.ndarray, apart: np.ndarray) -> Iterator[tuple[int, ...]]:
    """Yield the two or three days of each month that times may fall on; none where too few are there to tell."""
    starts = np.flatnonzero(np.r_[True, apart > 0])
    sizes = np.diff(np.r_[starts, len(into)])
    k = int(_most(sizes[1:-1])) if len(sizes) > 2 else 0
    if k not in (2, 3) or len(into) < 3 * k:
        return
    whole = starts[sizes == k, None] + np.arange(k)
    is_last = (into[whole] == lengths[whole]).all(axis=0)
    for chosen in (_most, np.max):
        yield tuple(31 if last else int(chosen(days)) for last, days in zip(is_last, into[whole].T, strict=True))


def _week(dates: np.ndarray) -> str:
    """Return the days of the week that sorted `dates` (n,) fall on, as NumPy writes them; "" for all, and few dates."""
    if _most(np.diff(dates)) != _DAY:
        return ""
    there = np.isin(np.arange(7), weekday(dates))
    week = "".join("1" if day else "0" for day in there)
    if not there[5:].any() and (np.diff(dates) == 3 * _DAY).any():
        return WEEKDAYS
    return week if week.count("1") in (5, 6) and len(dates) >= 3 * week.count("1") else ""


def _dates(walls: np.ndarray, hour: np.timedelta64) -> np.ndarray:
    """Return the date that each of `walls` (n,) is nearest to the `hour` of, in microseconds."""
    half = np.timedelta64(12, "h")
    return (walls - hour + half).astype("datetime64[D]").astype("datetime64[us]")


def _into(times: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the day of the month of each of `times` (n,), and how many days that month has."""
    return (times.astype("datetime64[D]") - first_day(times)).astype(np.int64) + 1, lengths_of_months(times)


def _most(steps: np.ndarray) -> Any:
    values, counts = np.unique(steps, return_counts=True)
    return values[np.argmax(counts)]


def _said(time: Any) -> str:
    return str(time).removesuffix(".000000").removesuffix("T00:00:00")


def _too_late(first: Any) -> ValueError:
    return ValueError(f"horizon: expected times up to the year 9999, got steps beyond after {_said(first)}")
