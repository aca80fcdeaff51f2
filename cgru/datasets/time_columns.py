"""Times of a table: ISO 8601, numbers, epochs by `time_unit`, and anything else by `time_format`.

Nothing is guessed: other texts are refused. The refusal names a format if exactly one of the common ones reads them.
"""

from __future__ import annotations

import datetime
import re
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from cgru.datasets.columns import Columns, ColumnsError
from cgru.datasets.table import Table

__all__ = [
    "CLOCKS", "Step", "Times", "common_formats", "compact_form", "in_order_of_rows", "infer_step", "parse_iso",
    "read_times",
]  # fmt: skip

ISO = r"^(\d{4}-\d\d(?:-\d\d(?:[T ]\d\d(?::\d\d(?::\d\d(?:[.,]\d+)?)?)?)?)?)(?: ?(Z|UTC|[+-]\d\d:?\d\d))?$"
DATES = (
    "%d.%m.%Y", "%d/%m/%Y", "%m/%d/%Y", "%Y/%m/%d", "%d-%m-%Y", "%m-%d-%Y", "%d.%m.%y", "%m/%d/%y", "%d/%m/%y",
    "%Y%m%d", "%d-%b-%Y", "%d-%b-%y", "%d %b %Y", "%b %d, %Y", "%B %d, %Y", "%m/%Y", "%b %Y", "%Y-%b", "%Y %m",
    "%Y %m %d",
)  # fmt: skip
CLOCKS = ("%H:%M", "%H:%M:%S", "%H:%M:%S.%f", "%M:%S.%f", "%I:%M %p", "%I:%M:%S %p")
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
        cyclic: whether they have no date, so that they may begin again.
    """

    values: np.ndarray
    is_dated: bool
    texts: np.ndarray
    cyclic: bool = False

    @property
    def seconds(self) -> np.ndarray:
        """Return the times in seconds, or numbers as they are, from the first one on."""
        apart = self.values - self.values[0]
        return apart / 1e6 if self.is_dated else apart.astype(np.float64)


def read_times(table: Table, names: Sequence[str]) -> Times:
    """Return the times in a column, or in several joined with spaces; ColumnsError with a cure for any others."""
    how = table.columns
    texts = np.array([" ".join(parts) for parts in zip(*map(table.texts, names), strict=True)], object)
    gone = np.any([table.values(name, plain=True)[1] for name in names], axis=0)
    if gone.any():
        lost = np.flatnonzero(gone)
        cure = table.without(lost) or in_order_of_rows(how, names)
        raise ColumnsError("time", f"none in {table.locate(lost[0])}", "a time in each row", cure)
    if len(names) == 1 and table.is_time(names[0]):
        return _typed_times(table, names[0], texts)
    numbers, odd = table.parsed(names[0]) if len(names) == 1 else (np.zeros(0), np.ones(1, bool))
    if how.time_unit:
        if odd.any():
            raise ColumnsError("time_unit", repr(texts[int(odd.argmax())]), "numbers since 1970", {"time_unit": None})
        return Times(np.round(numbers * SECONDS[how.time_unit] * 1e6).astype(np.int64), True, texts)
    if how.time_format:
        values = _strptime(texts, how.time_format)
        if isinstance(values, str):
            raise _unreadable(table, names, texts, values, f"times in the form {how.time_format}")
        return Times(values, True, texts, not re.search("%[dDjFxcYyGsU]", how.time_format))
    if not odd.any():
        if form := compact_form(numbers):
            got = f"{texts[0]}, which looks like a date"
            raise ColumnsError("time_format", got, "numbers that count", {"time_format": form})
        whole = not (numbers % 1).any() and np.abs(numbers).max() < 2**53
        return Times(numbers.astype(np.int64) if whole else numbers, False, texts)
    values = parse_iso(texts)
    if values is None:
        bad = next((text for text in texts if parse_iso(np.array([text], object)) is None), texts[0])
        raise _unreadable(table, names, texts, bad, "times in ISO 8601 or numbers")
    return Times(values, True, texts)


def in_order_of_rows(how: Columns, names: Sequence[str]) -> dict[str, Any]:
    """Return the cure that keeps the order of the rows, and leaves out columns that were taken for the time."""
    return {"time": (), "ignore": tuple(dict.fromkeys((*how.ignore, *names)))}


def _typed_times(table: Table, name: str, texts: np.ndarray) -> Times:
    """Return the times of a column of dates, times of day or durations."""
    import polars as pl

    cells = table.frame[name]
    if cells.dtype == pl.Time:
        return Times(cells.cast(pl.Int64).to_numpy() // 1000, True, texts, True)
    if cells.dtype == pl.Duration:
        return Times(cells.dt.total_microseconds().to_numpy() / 1e6, False, texts)
    return Times(cells.cast(pl.Datetime("us")).cast(pl.Int64).to_numpy(), True, texts)  # of a time zone in UTC


def compact_form(numbers: np.ndarray) -> str:
    """Return the format of numbers that are all dates such as 20240131 or 202401, or ""."""
    low, high = numbers.min(), numbers.max()
    if low == high or not 190001 <= low <= high < 1e14 or (numbers % 1).any():
        return ""
    texts = [str(int(number)) for number in np.unique(numbers)]
    form = COMPACT.get(len(texts[0]), "")
    is_date = form and len(texts[-1]) == len(texts[0]) and texts[0][:4] >= "1900" and texts[-1][:4] <= "2100"
    return form if is_date and not isinstance(_strptime(texts, form), str) else ""


def parse_iso(texts: np.ndarray) -> np.ndarray | None:
    """Return texts (n,) in ISO 8601 as microseconds since 1970, in UTC if they have offsets; None for others."""
    import polars as pl

    cells = pl.Series(texts.tolist(), dtype=pl.String)
    times, zones = cells.str.extract(ISO, 1), cells.str.extract(ISO, 2)
    has_zone = zones.is_not_null()
    if times.null_count() or has_zone.any() != has_zone.all() or not (times.str.contains(":") | ~has_zone).all():
        return None
    try:
        times = times.str.replace(" ", "T", literal=True).str.replace(",", ".", literal=True)
        values = times.to_numpy().astype("datetime64[us]").astype(np.int64)
        if has_zone.any():
            shifts = {zone: datetime.datetime.strptime(zone.replace("UTC", "Z"), "%z").utcoffset() for zone in {*zones}}
            values -= [shifts[zone] // MICROSECOND for zone in zones]
    except ValueError:  # no such day
        return None
    return values


def _strptime(texts: Sequence[str], form: str) -> np.ndarray | str:
    """Return texts as microseconds since 1970 by a format of strptime, or the first that it does not read."""
    found = dict.fromkeys(texts)
    for text in found:
        try:
            moment = datetime.datetime.strptime(text, form)
            found[text] = (moment.replace(tzinfo=moment.tzinfo or EPOCH.tzinfo) - EPOCH) // MICROSECOND
        except (ValueError, re.error, OverflowError):
            return text
    return np.array([found[text] for text in texts], np.int64)


def common_formats(texts: Sequence[str]) -> list[str]:
    """Return the common formats that read all texts, dates and times of day."""
    some = [*texts[:20], *texts[-20:]]
    forms = [*DATES, *CLOCKS]
    forms += [f"{day} {clock}" for day in ("%Y-%m-%d", *DATES) if "%d" in day for clock in (*CLOCKS, "%H")]
    forms = [form for form in forms if not isinstance(_strptime(some, form), str)]
    return [form for form in forms if not isinstance(_strptime(texts, form), str)]


def _unreadable(table: Table, names: Sequence[str], texts: np.ndarray, bad: str, due: str) -> ColumnsError:
    """Return the error of times that cannot be read; its cure is a format, lines to leave out, or the rows' order."""
    got, cure = f"{bad!r} in {table.locate(int(np.argmax(texts == bad)))}", in_order_of_rows(table.columns, names)
    forms = common_formats(texts)
    odd = np.array([re.search(r"\d", text) is None for text in texts])
    if not forms and odd.any() and (found := table.without(np.flatnonzero(odd))):  # a footer or a row of units
        return ColumnsError("time", got, due, found)
    rising = [form for form in forms if (np.diff(_strptime(texts, form)) >= 0).all()]
    if len(forms) == 1 or len(rising) == 1:
        cure = {"time_format": (rising if len(rising) == 1 else forms)[0]}
    due += f", not of two forms ({', '.join(forms)})" if len(forms) > 1 else ""
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
        """Return the times that are some steps behind another.

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
            Reals (n,), whole ones unless a time is between two steps.

        Examples:
            >>> cgru.datasets.Step(5, "numbers").places(np.array([0, 5, 15])).tolist()
            [0.0, 1.0, 3.0]
        """
        if self.unit == "months":
            months = times.astype("datetime64[M]").astype(np.int64)
            found = (months - months[0]) / self.count
            is_exact = (found % 1 == 0) & (self.at(times[0], found.astype(np.int64)) == times)
            return np.where(is_exact, found, found + 0.5)
        apart = times - times[0]
        size = self.count * 1e6 if self.unit == "seconds" else self.count
        return apart.astype(np.float64) / size


def infer_step(times: np.ndarray, where: str = "times") -> Step:
    """Return the step of sorted, different times (n,), datetime64 or numbers, of which some may be missing.

    Raise ColumnsError for times between two steps.
    """
    dated, steps = times.dtype.kind == "M", []
    if len(times) < 2:
        return Step(86400, "seconds") if dated else Step(1, "numbers")
    if dated:
        times = times.astype("datetime64[us]")
        months, days = times.astype("datetime64[M]"), times.astype("datetime64[D]")
        apart = np.diff(months.astype(np.int64))
        if apart.min() > 0:
            is_last = (days + np.timedelta64(1, "D")).astype("datetime64[M]") > months
            number = (days - months.astype("datetime64[D]")).astype(np.int64) + 1
            steps.append(Step(int(apart.min()), "months", 31 if is_last.all() else int(number.max())))
    least = np.diff(times).min()
    steps.append(Step(float(least.astype(np.int64)) / 1e6, "seconds") if dated else Step(least.item(), "numbers"))
    for step in steps:
        places = step.places(times)
        off = np.abs(places - np.round(places)) >= 1e-6 * np.maximum(1, places)
        if not off.any():
            return step
    got = f"{times[off.argmax() - 1]} and {times[off.argmax()]} one after the other"
    raise ColumnsError("time", got, f"{where} that are a multiple of one step apart", {"time": ()})
