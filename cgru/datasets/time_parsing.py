"""Time parsing: columns of numbers, dates or times of day.

`rank_times` gives ranks to sort by, `times_as_numbers` numbers to subtract, `parse_times` times to continue.
"""

from __future__ import annotations

import collections
import re
from collections.abc import Callable, Sequence
from datetime import date, datetime, time, timedelta, timezone
from typing import Any, NamedTuple, NoReturn

import numpy as np

from cgru.datasets.dates import Dates, dates_in, forms_of, months_by_name
from cgru.datasets.month_names import folded, months_of
from cgru.datasets.where import Locator, first_true

__all__ = [
    "Times", "are_times", "date_format_of", "describe_slip", "parse_times", "rank_times", "times_as_numbers",
    "why_no_times",
]  # fmt: skip

LOOKED_AT = 100  # different texts that are sampled, to find the form of most
MONTHS = "Jan Feb Mar Apr May Jun Jul Aug Sep Oct Nov Dec"  # as strptime reads them
COUNTED = (("%Y%m", 1), ("%Y%m%d", 100), ("%Y%m%d%H", 10**4), ("%Y%m%d%H%M", 10**6), ("%Y%m%d%H%M%S", 10**8))
DUE_DATED = "times like 1959-01, 1959-01-31, 1959-01-31 12:00, 1959Q1 or whole numbers, all of one form"


class Times(NamedTuple):
    """Parsed times, and how to write further times in the same format.

    Attributes:
        values: datetime64[us] or int64 (n,).
        form: "number", "month", "quarter", "day", "minute", "second", "microsecond", a format of strftime, or "year" of
            decimal years.
        zone: the text of the time zone behind each time.
        offsets: the UTC offsets (n,), timedelta64[us], if they differ; `values` are then in UTC.
        zones: the text of the first offset.
        spelled: formats decimal years.
        note: what decimal years were taken for.
        frequency: the `Frequency` of decimal years that are equal parts of a year; None of months.
    """

    values: np.ndarray
    form: str
    zone: str = ""
    offsets: np.ndarray | None = None
    zones: str = "+00:00"
    spelled: Callable[[np.ndarray], list[str]] | None = None
    note: str = ""
    frequency: Any = None

    def written(self, values: np.ndarray, offsets: np.ndarray | None = None) -> list[str]:
        """Format `values` (k,) in the form of these times, with UTC `offsets` (k,) if these have some.

        Raise ValueError for a time that could not be read again.
        """
        if self.spelled is not None:
            return self.spelled(values)
        if self.form == "number":
            return [str(int(value)) for value in values]
        values = np.asarray(values, "datetime64[us]")
        zones = [self.zone] * len(values)
        if offsets is not None:
            values, zones = values + offsets, [_zone(offset, self.zones) for offset in offsets.tolist()]
        first, last = (1969, 2068) if "%y" in self.form else (1, 9999)
        years = values.astype("datetime64[Y]").astype(np.int64) + 1970
        wrong = years[(years < first) | (years > last)]
        if wrong.size:
            raise ValueError(f"expected times from {first} to {last}, which can be written, got the year {wrong[0]}")
        if self.form == "quarter":
            months = values.astype("datetime64[M]").astype(int)
            return [f"{1970 + month // 12}Q{month % 12 // 3 + 1}" for month in months.tolist()]
        if "%" in self.form:
            texts = [_written(value, self.form, zone) for value, zone in zip(values.tolist(), zones, strict=True)]
            zones = [""] * len(texts) if "%z" in self.form else zones
        else:
            unit = {"month": "M", "day": "D", "minute": "m", "second": "s", "microsecond": "us"}[self.form]
            texts = [text.replace("T", " ") for text in np.datetime_as_string(values, unit=unit).tolist()]
        return [text + zone for text, zone in zip(texts, zones, strict=True)]


def _written(moment: datetime, form: str, zone: str) -> str:
    """Format a time by a format of strftime, with four digits for years before 1000 and the given zone for %z."""
    offset = zone.replace(":", "") or "+0000"
    return moment.strftime(form.replace("%Y", f"{moment.year:04}").replace("%z", offset).replace("%Z", "UTC"))


def _zone(offset: timedelta, like: str) -> str:
    """Format a UTC offset by ISO 8601, with the same space before it and colon in it as the text `like`."""
    text = datetime(2000, 1, 1, tzinfo=timezone(offset)).isoformat()[19:]
    text = text if ":" in like or "Z" in like else text.replace(":", "")
    return f" {text}" if like[:1] == " " else text


def rank_times(values: np.ndarray, name: str, locate: Locator | None = None, form: str | None = None) -> np.ndarray:
    """Return the rank of each time (n,): numbers by size, dates and texts with dates by date.

    Args:
        values: the column (n,).
        name: the name of the column, for errors.
        locate: describes a row, for errors.
        form: the format of the times, as for strptime; None: guessed from the texts.

    Raises:
        TypeError: the values have several types.
        ValueError: a text is no time (the first unlike most is named with its place), or dates have several readings
            with different orders.
    """
    if values.dtype.kind not in ("OUT" if form is None else "OUTiuf"):
        return _ranked(values)
    cells = _cells(values)
    if not all(isinstance(cell, str) for cell in cells):
        try:
            return _ranked(values)
        except TypeError:
            raise TypeError(f"{name}: expected values of one kind, got several") from None
    column = _Column(cells, name, locate)
    if form is not None:
        return _ranked(_formatted(column, form)[0])[column.codes]
    numbers = _numbers(column.texts)
    return (_order(column.dates(_order)) if numbers is None else _ranked(numbers))[column.codes]


def times_as_numbers(
    values: np.ndarray, form: str | None = None, name: str = "", locate: Locator = "row {}".format
) -> tuple[np.ndarray, bool]:
    """Convert times (n,) to numbers whose differences count; return them, and whether they are in seconds.

    Dates and times of day become seconds. Numbers keep their own unit. `form` is the format of the times, as for
    strptime. Raise ValueError, with `name` and place, for times without differences, and for dates with several
    readings whose differences are not the same (though their order is).
    """
    kind = values.dtype.kind
    if form is not None or kind in "iu":  # parse_times refuses integers that are dates, 20240131
        times = parse_times(values, name, form, locate).values.astype(np.int64)
        return (times * 1.0, False) if form is None else (times / 1e6, True)
    if kind in "mM":
        return values.astype(f"{kind}8[us]").astype(np.int64) / 1e6, True
    if kind != "O":
        return values.astype(np.float64), False
    if not all(isinstance(value, str) for value in values):
        try:
            return np.array([_seconds(value) for value in values]), True
        except AttributeError:
            got = type(values[0]).__name__
            raise ValueError(f"{name}: expected dates or numbers, which are so far apart, got {got}") from None
    column = _Column(values.tolist(), name, locate)
    if (numbers := _numbers(column.texts)) is not None:
        return numbers[column.codes], False
    return column.dates(lambda dates: np.diff(dates.utc)).utc[column.codes] / 1e6, True


def _seconds(value: Any) -> float:
    """Convert a date, time of day or timedelta, or the start of a Period, to seconds, comparable within one type."""
    value = getattr(value, "start_time", value)
    if hasattr(value, "total_seconds"):
        return value.total_seconds()
    if isinstance(value, datetime):
        return value.replace(tzinfo=value.tzinfo or timezone.utc).timestamp()
    if hasattr(value, "toordinal"):
        return 86400.0 * value.toordinal()
    return value.hour * 3600 + value.minute * 60 + value.second + value.microsecond / 1e6


def are_times(values: np.ndarray, form: str | None = None) -> bool:
    """Return whether values (n,) that are no numbers are dates, times of day or timedeltas that can be sorted."""
    if values.dtype.kind in "mM":
        return True
    return not why_no_times(values, form=form) and all(isinstance(value, (str, date, time)) for value in values)


def why_no_times(values: np.ndarray, name: str = "", locate: Locator | None = None, form: str | None = None) -> str:
    """Return the reason why values (n,) cannot be sorted as times; "" if they can."""
    try:
        rank_times(values, name, locate, form)
    except (TypeError, ValueError) as error:
        return str(error)
    return ""


def describe_slip(values: np.ndarray, name: str, locate: Locator) -> str:
    """Describe the first text of a column (n,) that is no time, if most texts are times; else return ""."""
    some = [value for value in values[:LOOKED_AT].tolist() if isinstance(value, str)]
    most = 2 * sum(bool(dates_in([text])) for text in some) > len(some)
    return why_no_times(values, name, locate) if most else ""


def parse_times(column: Sequence[Any], name: str, form: str | None = None, locate: Locator = "row {}".format) -> Times:
    """Parse a column of times: texts, integers (years or any count, but no 202401), or datetimes.

    Texts are dates in any form that `rank_times` accepts, all with the same parts, or in the strptime format `form`.
    Times of several time zones are converted to UTC. Raise ValueError, with the place, for a text that is no date, and
    for dates with several readings, so that no day is taken for a month.
    """
    values = np.asarray(column)
    if values.dtype.kind == "M":
        return _datetimes(values, name, locate)
    if values.dtype.kind in "iuf" and form is None:
        if values.dtype.kind == "f" and not ((values == np.floor(values)) & (np.abs(values) < 2**53)).all():
            raise ValueError(f"{name}: expected times, such as 1959-01, or whole numbers, got others")
        if written := date_format_of(values):  # from 202312 to 202401 it is a month, not 89 of something
            cure = f'it needs its format: time_format="{written}"'
            raise ValueError(f"{name}: expected counts, or times like 1959-01, got {int(values[0])}; {cure}")
        return Times(values.astype(np.int64), "number")
    cells = _cells(values)
    rows = _Column(cells if values.dtype.kind in "UT" else list(map(str, cells)), name, locate)
    if form is not None:
        utc, offsets = _formatted(rows, form)
        return Times(utc[rows.codes], form, "", None if offsets is None else offsets[rows.codes])
    numbers = _numbers(rows.texts)
    likely = (1800 <= int(text.strip()[:4]) < 2200 for text in rows.texts)  # years of dates such as 20240131
    if numbers is not None and not (dates_in(rows.texts) and all(likely)):
        return parse_times(numbers[rows.codes], name, None, locate)
    dates = rows.dates(lambda dates: dates.utc, dated=True)
    if (i := first_true(dates.nanoseconds != 0)) is not None:
        raise ValueError(f"{name}: expected times of whole microseconds, got {rows.quote(i)}")
    if len(np.unique(dates.offsets)) > 1:  # local times with daylight saving
        written = dates.written if re.search("second|%[HI]", dates.written) else "minute"
        offsets = (dates.microseconds - dates.utc).astype("timedelta64[us]")
        return Times(dates.utc.astype("datetime64[us]")[rows.codes], written, "Z", offsets[rows.codes], dates.zone)
    return Times(dates.microseconds.astype("datetime64[us]")[rows.codes], dates.written, dates.zone)


class _Column:
    """A column of texts, factorized if many rows have the same text: row i has `texts[codes[i]]`."""

    def __init__(self, cells: list[str], name: str, locate: Locator | None):
        """Factorize the cells of the column `name`; `locate` says in errors where a row is."""
        self.texts, self.codes, self.name, self.locate = cells, np.arange(len(cells)), name, locate
        some = cells[:: len(cells) // LOOKED_AT + 1]
        if 2 * len(set(some)) <= len(some):
            index = {text: i for i, text in enumerate(dict.fromkeys(cells))}
            self.texts, self.codes = list(index), np.array([index[cell] for cell in cells])

    def quote(self, i: int) -> str:
        """Describe text number `i` and the first row with it, for errors."""
        return f"{self.texts[i]!r}{f' in {self.locate(int(np.argmax(self.codes == i)))}' if self.locate else ''}"

    def dates(self, of: Callable[[Dates], np.ndarray], dated: bool = False) -> Dates:
        """Return the reading of the texts as dates; raise ValueError for none, or several that differ in `of(dates)`.

        Raise ValueError if they are no dates, or have several readings for which `of(dates)` differs. If `dated`, times
        of day without a date are refused, and so are ISO dates of which only some have a time of day.
        """
        found = self._readings(self.texts, dated)
        for dates in found:
            if (other := first_true(dates.zoned != dates.zoned[0])) is not None:
                raise ValueError(f"{self.name}: expected a time zone in each row or in none, got {self.quote(other)}")
        for dates in found[1:]:
            if (of(dates) != of(found[0])).any():
                self.refuse_both(found[0], dates)
        if not found:
            due = DUE_DATED if dated else "numbers or dates such as 2024-12-31 or 31.12.2024 18:30"
            i, usual = self._odd(dated)
            unlike = "" if usual is None else f", unlike {self.texts[usual]!r}"
            forms = [form for form in forms_of(self.texts[i]).values() if "%" in form]
            # Jan-12 may be a day or a year, and 1/2024 a month or a quarter.
            is_part = forms and "%d" not in forms[0] and re.search(r"^\d\D|\D\d |%y", f"{self.texts[i]} {forms[0]}")
            if forms and not is_part and not dates_in([self.texts[i]]):
                unlike = ", which no calendar or clock has"
            form = forms[0] if forms and not unlike else "%d.%m.%Y"
            cure = f'any other needs its format: time_format="{form}"'
            raise ValueError(f"{self.name}: expected {due}, got {self.quote(i)}{unlike}; {cure}")
        return found[0]

    @staticmethod
    def _readings(texts: list[str], dated: bool) -> list[Dates]:
        """Return all readings of the texts; if `dated`, only those with a date, and the same parts in all texts."""
        return [dates for dates in dates_in(texts, not dated) if dates.dated or not dated]

    def refuse_both(self, one: Dates, other: Dates) -> NoReturn:
        """Raise ValueError that names the first text with different times in two readings, and the cure."""
        i = first_true(one.utc != other.utc)
        moments = (each.utc[i].astype("datetime64[us]").astype("datetime64[m]") for each in (one, other))
        may_be = " or ".join(str(moment).replace("T00:00", "") for moment in moments)
        cure = "write months as numbers"
        if "%" in one.written and one.written != other.written:
            cure = f'time_format="{one.written}" or time_format="{other.written}" says which'
        got = f"{self.quote(i)}, which may be {may_be}"
        raise ValueError(f"{self.name}: expected dates with one reading, got {got}; {cure}")

    def _odd(self, dated: bool) -> tuple[int, int | None]:
        """Return (index of the first text not in the most common form, index of the first that is or None)."""
        counts = collections.Counter()
        for text in self.texts[:LOOKED_AT]:
            counts.update({each.form for each in self._readings([text], dated)})
            counts.update(["number"] * (_numbers([text]) is not None))
        if not counts:
            return 0, None
        form = max(counts, key=counts.__getitem__)
        if form == "number":
            right = np.array([_numbers([text]) is not None for text in self.texts])
        else:
            right = np.any([dates.valid for dates in dates_in(self.texts, not dated, form)], axis=0)
        return int(np.argmin(right)), int(np.argmax(right))


def _ranked(values: np.ndarray) -> np.ndarray:
    """Return the rank of each value (n,); equal values have the same rank."""
    return np.unique(values, return_inverse=True)[1]


def _order(dates: Dates) -> np.ndarray:
    """Return the rank of each date (n,), to the nanosecond."""
    if not dates.nanoseconds.any():
        return _ranked(dates.utc)
    return np.unique(np.stack([dates.utc, dates.nanoseconds]), axis=1, return_inverse=True)[1].ravel()


def _cells(values: np.ndarray) -> list[Any]:
    """Return the cells of a column as a list, with numbers as text."""
    if values.dtype.kind == "f":
        return [f"{value:.0f}" if value % 1 == 0 else str(value) for value in values.tolist()]
    return list(map(str, values.tolist())) if values.dtype.kind in "iu" else values.tolist()


def _numbers(texts: list[str]) -> np.ndarray | None:
    """Parse texts as numbers (n,); return None if one is no number, or NaN."""
    try:
        found = np.array([float(text) for text in texts])
    except ValueError:
        return None
    # float("1_000") is 1000, but in a file 1_000 is hardly a number
    return None if np.isnan(found).any() or any("_" in text for text in texts) else found


def _formatted(column: _Column, form: str) -> tuple[np.ndarray, np.ndarray | None]:
    """Parse the texts by a format of strptime; return times, in UTC if they have a zone, and their offsets or None.

    Names of months may be of any language. Raise ValueError for the first text that does not fit, with its place.
    """
    if not isinstance(form, str):
        raise TypeError(f'time_format: expected a format of strptime, such as "%d.%m.%Y", got {form!r}')
    forms = forms_of(column.texts[0])
    fast = [dates for dates in dates_in(column.texts) if forms.get(dates.form) == form.replace("%B", "%b")]
    if len(fast) == 1 and fast[0].dated and not fast[0].zoned.any() and not fast[0].nanoseconds.any():
        return fast[0].utc.astype("datetime64[us]"), None
    found = [_parsed(text, form) for text in column.texts]
    if None in found and re.search("%[bB]", form):
        english = form.replace("%B", "%b")
        found = [_parsed(text, english) for text in _in_english(column)]
    if None in found:
        raise ValueError(f"{column.name}: expected times of the form {form}, got {column.quote(found.index(None))}")
    times = np.array([each.replace(tzinfo=None) for each in found], "datetime64[us]")
    if found[0].utcoffset() is None:
        return times, None
    offsets = np.array([each.utcoffset() for each in found], "timedelta64[us]")
    return times - offsets, offsets


def _in_english(column: _Column) -> list[str]:
    """Return the texts with the names of months in English, for strptime; unchanged if the names are ambiguous."""
    words = {word for text in column.texts for word in re.findall(r"[^\W\d_]{3,}", text)}
    words = {word for word in words if months_of(folded(word))}
    found = months_by_name({folded(word) for word in words})
    if len(found) > 1:
        return column.texts
    pattern = re.compile("|".join(sorted(map(re.escape, words), key=len, reverse=True)) or "(?!)")
    names = {word: MONTHS.split()[found[0][0][folded(word)] - 1] for word in words}
    return [pattern.sub(lambda word: names[word[0]], text) for text in column.texts]


def _parsed(text: str, form: str) -> datetime | None:
    """Parse a text by a format of strptime; return None if it does not fit."""
    if not re.search("%[YyGcx]", form):  # without a year take a leap year, which has the 29th of February
        text, form = f"2000 {text}", f"%Y {form}"
    try:
        return datetime.strptime(text.strip(), form)
    except ValueError:
        return None


def date_format_of(values: np.ndarray) -> str:
    """Return the strptime format by which all whole numbers (n,) are dates, such as 202401 or 20240131; else ""."""
    for form, size in COUNTED:
        in_range = ((values >= 180001 * size) & (values < 220001 * size)).all()
        if in_range and all(_parsed(str(int(value)), form) for value in np.unique(values).tolist()):
            return form
    return ""


def _datetimes(values: np.ndarray, name: str, locate: Locator) -> Times:
    """Return datetimes (n,) as `Times` in the coarsest form; raise ValueError for NaT and for nanoseconds."""
    if (lost := first_true(np.isnat(values))) is not None:
        raise ValueError(f"{name}: expected a time in each row, got none in {locate(lost)}")
    for form, unit in (("day", "D"), ("second", "s"), ("microsecond", "us")):
        if (values.astype(f"datetime64[{unit}]") == values).all():
            return Times(values.astype("datetime64[us]"), form)
    i = first_true(values.astype("datetime64[us]") != values)
    raise ValueError(f"{name}: expected times of whole microseconds, got {values[i]} in {locate(i)}")
