"""Read the times of a table: ISO 8601, numbers, epochs (`time_unit`), or any `time_format`.

Nothing is guessed: other texts are refused. The refusal names a format if exactly one of the common ones reads them.
"""

from __future__ import annotations

import datetime
import re
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np

from cgru.datasets.columns import Columns, ColumnsError
from cgru.datasets.table import Table

__all__ = ["CLOCKS", "Step", "Times", "common_formats", "in_order_of_rows", "infer_step", "parse_iso", "read_times"]

ISO = (
    r"([1-9]\d{3}-\d\d(?:-\d\d(?:[T ]\d\d(:\d\d(?::\d\d(?:[.,]\d{1,6})?)?)?)?)?)(?:(?<=[.,]\d{6})\d+)?"
    r"( ?(?:Z|UTC|[+-]\d\d:?\d\d))?"
)
DATES = (
    "%d.%m.%Y", "%d/%m/%Y", "%m/%d/%Y", "%Y/%m/%d", "%d-%m-%Y", "%m-%d-%Y", "%d.%m.%y", "%m/%d/%y", "%d/%m/%y",
    "%Y%m%d", "%d-%b-%Y", "%d-%b-%y", "%d %b %Y", "%b %d, %Y", "%B %d, %Y", "%m/%Y", "%b %Y", "%Y-%b", "%Y %m",
    "%Y %m %d",
)  # fmt: skip
CLOCKS = ("%H:%M", "%H:%M:%S", "%H:%M:%S.%f", "%H:%M:%S,%f", "%M:%S.%f", "%I:%M %p", "%I:%M:%S %p")
COMPACT = {6: "%Y%m", 8: "%Y%m%d", 10: "%Y%m%d%H", 12: "%Y%m%d%H%M", 14: "%Y%m%d%H%M%S"}  # by the number of digits
SECONDS = {"d": 86400.0, "h": 3600.0, "min": 60.0, "s": 1.0, "ms": 1e-3, "us": 1e-6, "ns": 1e-9}
STEPS = {"months": {"year": 12, "month": 1},
         "seconds": {"week": 604800, "day": 86400, "hour": 3600, "minute": 60, "second": 1}}  # fmt: skip
EPOCH = datetime.datetime(1970, 1, 1, tzinfo=datetime.timezone.utc)
MICROSECOND = datetime.timedelta(microseconds=1)


class Times(NamedTuple):
    """Times of the rows of a table.

    Attributes:
        values: the times (n,), integers or reals; of dates microseconds since 1970 in UTC.
        is_dated: whether they are dates, or times of day.
        texts: the times as the table has them (n,).
        is_cyclic: whether they have no date, so that they may begin again.
    """

    values: np.ndarray
    is_dated: bool
    texts: np.ndarray
    is_cyclic: bool = False

    @property
    def seconds(self) -> np.ndarray:
        """Return the times since the first one: seconds for dates, else numbers unchanged in scale."""
        apart = self.values - self.values[0]
        return apart / 1e6 if self.is_dated else apart.astype(np.float64)


def read_times(table: Table, names: Sequence[str]) -> Times:
    """Read the times in a column, or in several joined with spaces; other texts are a ColumnsError."""
    how, form = table.columns, table.columns.time_format
    for name in names:
        table.column(name, "time", plain=True, otherwise=in_order_of_rows(how, names))
    texts = np.array([" ".join(parts) for parts in zip(*map(table.texts, names), strict=True)], object)
    numbers, odd = table.parsed(names[0])
    is_number = len(names) == 1 and not odd.any()
    if how.time_unit:
        if not is_number:
            raise ColumnsError("time_unit", repr(texts[int(odd.argmax())]), "numbers since 1970", {"time_unit": None})
        return Times(np.round(numbers * SECONDS[how.time_unit] * 1e6).astype(np.int64), True, texts)
    if is_number and not form:
        compact, different = COMPACT.get(len(texts[0]), ""), {*texts}
        are_dates = compact and len(different) > 1 and min(different) >= "1900" and max(different) < "2101"
        if are_dates and not isinstance(_moments(texts, compact), str):
            raise ColumnsError(
                "time_format", f"{texts[0]}, a date", "numbers that are no dates", {"time_format": compact}
            )
        is_whole = not (numbers % 1).any() and np.abs(numbers).max() < 2**53
        return Times(numbers.astype(np.int64) if is_whole else numbers, False, texts)
    values = _moments(texts, form) if form else parse_iso(texts)
    if isinstance(values, str):
        values = texts[int(odd.argmax())] if not form and 2 * odd.sum() < len(odd) else values  # the word among numbers
        raise _unreadable(table, names, texts, values, f"times in the form {form or 'ISO 8601, or numbers'}")
    return Times(values, True, texts, bool(form and not re.search("%[dDjFxcYyGsU]", form)))


def in_order_of_rows(how: Columns, names: Sequence[str]) -> dict[str, Any]:
    """Return the options that keep the order of the rows, and ignore the columns taken for the time."""
    return {"time": (), "ignore": tuple(dict.fromkeys((*how.ignore, *names)))}


def parse_iso(texts: Sequence[str]) -> np.ndarray | str:
    """Parse ISO 8601 texts (n,) to microseconds since 1970 (UTC); return the first text that is no time instead."""

    def parse(text: str) -> datetime.datetime:
        found = re.fullmatch(ISO, text)
        if not found or (found[3] and not found[2]):
            raise ValueError(text)
        zone = found[3] and datetime.datetime.strptime(found[3].strip().replace("UTC", "Z"), "%z").tzinfo
        return np.datetime64(found[1].replace(",", "."), "us").astype(object).replace(tzinfo=zone)

    return _moments(texts, parse)


def _moments(texts: Sequence[str], parse: str | Callable[[str], datetime.datetime]) -> np.ndarray | str:
    """Parse texts to microseconds since 1970 by a format or function; return the first unreadable text instead.

    It is also the first that has no offset from UTC where others have one.
    """
    found, zones = dict.fromkeys(texts), set()
    for text in found:
        try:
            moment = datetime.datetime.strptime(text, parse) if isinstance(parse, str) else parse(text)
            zones.add(moment.tzinfo is None)
            found[text] = (moment.replace(tzinfo=moment.tzinfo or EPOCH.tzinfo) - EPOCH) // MICROSECOND
        except (ValueError, re.error, OverflowError):
            return text
        if len(zones) > 1:
            return text
    return np.array([found[text] for text in texts], np.int64)


def common_formats(texts: Sequence[str]) -> list[str]:
    """Return those common formats of dates and times that read all texts."""
    forms = [*DATES, *CLOCKS]
    forms += [f"{day} {clock}" for day in ("%Y-%m-%d", *DATES) if "%d" in day for clock in (*CLOCKS, "%H")]
    for some in (texts[:20], texts[-20:], texts):
        forms = [form for form in forms if not isinstance(_moments(some, form), str)]
    return forms


def _unreadable(table: Table, names: Sequence[str], texts: np.ndarray, bad: str, due: str) -> ColumnsError:
    """Return the error for times that cannot be read; it suggests a format, lines to skip, or the order of the rows."""
    got, forms = f"{bad!r} in {table.locate(int(np.argmax(texts == bad)))}", common_formats(texts)
    odd = np.flatnonzero([re.search(r"\d", text) is None for text in texts])
    if not forms and odd.size and (cure := table.without(odd)):  # a footer or a row of units
        return ColumnsError("time", got, due, cure)
    due += f", not of two forms ({', '.join(forms)})" if len(forms) > 1 else ""
    cure = {"time_format": forms[0]} if len(forms) == 1 else in_order_of_rows(table.columns, names)
    return ColumnsError("time_format", got, due, cure)


# --- differences and steps ---


class Step(NamedTuple):
    """The step of a regular series.

    Attributes:
        count: how many of the unit.
        unit: "seconds", "months" or "numbers".
        day: of months the day of the month; a shorter month has its last one.

    Examples:
        >>> step = cgru.datasets.Step(1, "months", 31)
        >>> step.at(np.datetime64("2024-01-31", "us"), [1]).astype("datetime64[D]").tolist()
        [datetime.date(2024, 2, 29)]
    """

    count: float
    unit: str
    day: int = 1

    def __str__(self) -> str:
        """Return the step in words."""
        sizes = STEPS.get(self.unit, {"": 1})
        word = next((word for word, size in sizes.items() if self.count % size == 0), [*sizes][-1])
        count = self.count / sizes[word]
        return f"{count:g} {word}{'s' * (word != '' and count != 1)}".rstrip()

    def at(self, last: Any, places: Any) -> np.ndarray:
        """Return the times a given number of steps after `last`.

        Args:
            last: a datetime64, or a number.
            places: the numbers of steps (k,).

        Returns:
            The times (k,).

        Examples:
            >>> cgru.datasets.Step(5, "numbers").at(10, [1, 2]).tolist()
            [15, 20]
        """
        places = np.asarray(places)
        if self.unit == "numbers":
            return last + places * (int(self.count) if float(self.count).is_integer() else self.count)
        if self.unit == "seconds":
            return last + (places * round(self.count * 1e6)).astype("timedelta64[us]")
        month = np.datetime64(last, "M") + (places * int(self.count)).astype("timedelta64[M]")
        after = (month + np.timedelta64(1, "M")).astype("datetime64[D]")
        ends = (after - month.astype("datetime64[D]")).astype(np.int64)
        days = month.astype("datetime64[D]") + (np.minimum(ends, self.day) - 1).astype("timedelta64[D]")
        return days.astype("datetime64[us]") + (last - np.datetime64(last, "D"))

    def places(self, times: np.ndarray) -> np.ndarray:
        """Return how many steps each time is behind the first.

        Args:
            times: datetime64 or numbers (n,), sorted.

        Returns:
            Integers (n,), for a time between two steps the nearest.

        Examples:
            >>> cgru.datasets.Step(5, "numbers").places(np.array([0, 5, 15])).tolist()
            [0, 1, 3]
        """
        size = self.count * {"numbers": 1, "seconds": 1e6, "months": 365.2425 / 12 * 86400e6}[self.unit]
        return np.round((times - times[0]).astype(np.float64) / size).astype(np.int64)


def infer_step(times: np.ndarray, where: str = "times") -> Step:
    """Infer the step of sorted, distinct times (n,), datetime64 or numbers; some may be missing.

    Raise ColumnsError for times between two steps.
    """
    steps = []
    if len(times) < 2:
        return Step(86400, "seconds") if times.dtype.kind == "M" else Step(1, "numbers")
    least = np.diff(times).min()
    if times.dtype.kind == "M":
        months, days = times.astype("datetime64[M]"), times.astype("datetime64[D]")
        if (apart := np.diff(months.astype(np.int64)).min()) > 0:
            is_last = (days + np.timedelta64(1, "D")).astype("datetime64[M]") > months
            number = (days - months.astype("datetime64[D]")).astype(np.int64) + 1
            steps.append(Step(int(apart), "months", 31 if is_last.all() else int(number.max())))
        steps.append(Step(float(least.astype(np.int64)) / 1e6, "seconds"))
    for step in steps or [Step(least.item(), "numbers")]:
        places = step.places(times)
        off = np.abs((step.at(times[0], places) - times).astype(np.float64)) > 1e-6 * least.astype(np.float64) * places
        if not off.any():
            return step
    got = f"{times[off.argmax() - 1]} and {times[off.argmax()]} one after the other"
    raise ColumnsError("time", got, f"{where} that are a multiple of one step apart", {"time": ()})
