"""Times of a table: ISO 8601, numbers, epochs by `time_unit`, and anything else by `time_format`.

Nothing is guessed: other texts are refused. The refusal names a format if exactly one of the common ones reads them.
"""

from __future__ import annotations

import datetime
import re
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from cgru.datasets.columns import DURATION, ColumnsError
from cgru.datasets.table import Table

__all__ = ["Step", "Times", "common_formats", "compact_form", "infer_step", "parse_gap", "parse_iso", "read_times"]

ISO = r"^[+-]?\d{4}-\d\d(-\d\d([T ]\d\d(:\d\d(:\d\d([.,]\d+)?)?)?)?)?$"
OFFSET = r" ?(Z|UTC|[+-]\d\d:?\d\d)$"
DATES = (
    "%Y-%m-%d", "%d.%m.%Y", "%d/%m/%Y", "%m/%d/%Y", "%Y/%m/%d", "%d-%m-%Y", "%m-%d-%Y", "%d.%m.%y", "%m/%d/%y",
    "%d/%m/%y", "%Y%m%d", "%d-%b-%Y", "%d-%b-%y", "%d %b %Y", "%b %d, %Y", "%B %d, %Y", "%Y.%m.%d", "%Y%m", "%m/%Y",
    "%b %Y", "%Y-%b", "%Y %m", "%Y %m %d",
)  # fmt: skip
CLOCKS = ("%H:%M", "%H:%M:%S", "%H:%M:%S.%f", "%I:%M %p", "%I:%M:%S %p", "%H", "%H.%M", "%H.%M.%S")
ALONE = ("%H:%M", "%H:%M:%S", "%H:%M:%S.%f", "%M:%S.%f", "%I:%M %p", "%I:%M:%S %p")
SECONDS = {"w": 604800.0, "d": 86400.0, "h": 3600.0, "min": 60.0, "s": 1.0, "ms": 1e-3, "us": 1e-6, "ns": 1e-9}


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
    rows = {"time": (), "ignore": tuple(dict.fromkeys((*how.ignore, *names)))}
    texts = np.array([" ".join(parts) for parts in zip(*map(table.texts, names), strict=True)], object)
    gone = np.array([not all(parts) for parts in zip(*map(table.texts, names), strict=True)])
    if len(names) == 1 and not table.is_time(names[0]):
        gone = table.values(names[0])[1]
    if gone.any():
        lost = np.flatnonzero(gone)
        raise ColumnsError(
            "time", f"none in {table.locate(lost[0])}", "a time in each row", table.without(lost) or rows
        )
    if len(names) == 1 and table.is_time(names[0]):
        return _typed_times(table, names[0], texts)
    numbers, odd = table.parsed(names[0]) if len(names) == 1 else (np.zeros(0), np.ones(1, bool))
    are_numbers = not odd.any()
    if how.time_unit:
        if not are_numbers:
            raise ColumnsError("time_unit", repr(texts[int(odd.argmax())]), "numbers since 1970", {"time_unit": None})
        return Times(np.round(numbers * SECONDS[how.time_unit] * 1e6).astype(np.int64), True, texts)
    if how.time_format:
        values = _strptime([text.removesuffix(".0") for text in texts] if are_numbers else texts, how.time_format)
        if isinstance(values, str):
            raise _unreadable(table, names, texts, values, f"times in the form {how.time_format}")
        return Times(values, True, texts, not re.search("%[dDjFxcYyGsU]", how.time_format))
    if are_numbers:
        form = compact_form(numbers)
        if form:
            cure = {"time_format": form}
            raise ColumnsError("time_format", f"{texts[0]}, which looks like a date", "numbers that count", cure)
        whole = not (numbers % 1).any() and np.abs(numbers).max() < 2**53
        return Times(numbers.astype(np.int64) if whole else numbers, False, texts)
    values = parse_iso(texts)
    if values is None:
        bad = next(text for text in texts if parse_iso(np.array([text], object)) is None)
        raise _unreadable(table, names, texts, bad, "times in ISO 8601 or numbers")
    return Times(values, True, texts)


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
    forms = (("%Y%m%d", 1), ("%Y%m", 0.01), ("%Y%m%d%H", 100), ("%Y%m%d%H%M", 10_000), ("%Y%m%d%H%M%S", 1_000_000))
    for form, size in forms:
        low, high = 19000101 * size, 21001232 * size
        if not (numbers % 1).any() and ((numbers >= low - 1) & (numbers < high)).all() and len(np.unique(numbers)) > 1:
            texts = [str(int(number)) for number in np.unique(numbers)]
            return "" if isinstance(_strptime(texts, form), str) else form
    return ""


def parse_iso(texts: np.ndarray) -> np.ndarray | None:
    """Return texts (n,) in ISO 8601 as microseconds since 1970, in UTC if they have offsets; None for others."""
    import polars as pl

    cells = pl.Series(texts.tolist(), dtype=pl.String)
    offsets = cells.str.extract(OFFSET, 1)
    with_offset = offsets.is_not_null() & cells.str.contains(":")
    cells = pl.select(pl.when(with_offset).then(cells.str.replace(OFFSET, "")).otherwise(cells)).to_series()
    if not cells.str.contains(ISO).all() or (with_offset.any() and not with_offset.all()):
        return None
    cells = cells.str.replace(" ", "T", literal=True).str.replace(",", ".", literal=True)
    try:
        values = cells.to_numpy().astype("datetime64[us]").astype(np.int64)
    except ValueError:  # no such day
        return None
    if with_offset.any():
        known, places = np.unique(offsets.to_numpy().astype(str), return_inverse=True)
        values -= np.array([_offset(each) for each in known])[places.reshape(-1)]
    return values


def _offset(text: str) -> int:
    """Return an offset from UTC such as +01:00 in microseconds."""
    if text in ("Z", "UTC"):
        return 0
    return int(f"{text[0]}1") * (int(text[1:3]) * 60 + int(text[-2:])) * 60_000_000


def _strptime(texts: Sequence[str], form: str) -> np.ndarray | str:
    """Return texts as microseconds since 1970 by a format of strptime, or the first that it does not read."""
    known, places = np.unique(np.array(texts, str), return_inverse=True)
    found = np.zeros(len(known), np.int64)
    epoch = datetime.datetime(1970, 1, 1)
    for i, text in enumerate(known.tolist()):
        try:
            moment = datetime.datetime.strptime(text, form)
        except (ValueError, re.error, OverflowError):
            return text
        if moment.tzinfo is not None:
            moment = moment.astimezone(datetime.timezone.utc).replace(tzinfo=None)
        found[i] = (moment - epoch) // datetime.timedelta(microseconds=1)
    return found[places.reshape(-1)]


def common_formats(texts: Sequence[str]) -> list[str]:
    """Return the common formats that read all texts, dates and times of day."""
    some = list(dict.fromkeys(list(texts[:20]) + list(texts[-20:])))
    forms = [*DATES, *(f"{day} {clock}" for day in DATES for clock in CLOCKS), *ALONE]
    forms = [form for form in forms if not isinstance(_strptime(some, form), str)]
    return [form for form in forms if not isinstance(_strptime(texts, form), str)]


def _unreadable(table: Table, names: Sequence[str], texts: np.ndarray, bad: str, due: str) -> ColumnsError:
    """Return the error of times that cannot be read; its cure is a format, lines to leave out, or the rows' order."""
    how, row = table.columns, int(np.flatnonzero(texts == bad)[0]) if (texts == bad).any() else 0
    forms = common_formats(texts)
    if not forms:  # a footer or a row of units among dates
        odd = np.flatnonzero([parse_iso(np.array([text], object)) is None for text in texts[:5]])
        odd = np.append(odd, len(texts) - 1) if parse_iso(texts[-1:]) is None else odd
        rest = np.delete(texts, odd)
        if odd.size > 0 and len(rest) > 2 and (parse_iso(rest) is not None or common_formats(rest)):
            return ColumnsError("time", f"{bad!r} in {table.locate(row)}", due, table.without(odd))
    cure: dict[str, Any] = {"time": (), "ignore": tuple(dict.fromkeys((*how.ignore, *names)))}
    if len(forms) == 1:
        cure = {"time_format": forms[0]}
    elif forms:
        rising = [form for form in forms if (np.diff(_strptime(texts, form)) >= 0).all()]
        cure = {"time_format": rising[0]} if len(rising) == 1 else cure
        due += f", not of two forms ({', '.join(forms)})"
    return ColumnsError("time_format", f"{bad!r} in {table.locate(row)}", due, cure)


# --- differences and steps ---


def parse_gap(text: str) -> tuple[float, bool]:
    """Return (the size of a gap such as 30d, in seconds or as a number, whether it is in seconds)."""
    found = re.fullmatch(DURATION, text)
    return float(found[1]) * SECONDS.get(found[2], 1.0), found[2] is not None


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
        return f"{self.count:g} {self.unit}" if self.unit != "numbers" else f"{self.count:g}"

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
        month = np.datetime64(last, "M") + places * int(self.count)
        ends = ((month + 1).astype("datetime64[D]") - month.astype("datetime64[D]")).astype(np.int64)
        days = month.astype("datetime64[D]") + (np.minimum(ends, self.day) - 1)
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
            whole = found % 1 == 0
            exact = self.at(times[0], found.astype(np.int64)) == times
            return np.where(whole & exact, found, found + 0.5)
        apart = times - times[0]
        size = self.count * 1e6 if self.unit == "seconds" else self.count
        return apart.astype(np.float64) / size


def infer_step(times: np.ndarray, where: str = "times") -> Step:
    """Return the step of sorted, different times (n,), datetime64 or numbers, of which some may be missing.

    Raise ColumnsError for times between two steps.
    """
    if len(times) < 2:
        return Step(1, "numbers") if times.dtype.kind != "M" else Step(86400, "seconds")
    steps = []
    if times.dtype.kind == "M":
        times = times.astype("datetime64[us]")
        months, days = times.astype("datetime64[M]"), times.astype("datetime64[D]")
        apart = np.diff(months.astype(np.int64))
        if (apart > 0).all():
            number = (days - months.astype("datetime64[D]")).astype(np.int64) + 1
            lasts = ((months + 1).astype("datetime64[D]") - days).astype(np.int64) == 1
            steps.append(Step(int(apart.min()), "months", 31 if lasts.all() else int(number.max())))
        steps.append(Step(float(np.diff(times).astype(np.int64).min()) / 1e6, "seconds"))
    else:
        steps.append(Step(np.diff(times).min().item(), "numbers"))
    for step in steps:
        places = step.places(times)
        if (np.abs(places - np.round(places)) < 1e-6 * np.maximum(1, places)).all():
            return step
    odd = int(np.argmax(np.abs(places - np.round(places)) > 1e-6))
    got = f"{times[odd - 1]} and {times[odd]}"
    raise ColumnsError(
        "time", f"{got} one after the other", f"{where} that are a multiple of one step apart", {"time": ()}
    )
