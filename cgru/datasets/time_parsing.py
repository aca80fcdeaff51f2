"""Times out of columns: numbers, dates and times of day, to sort by, to subtract, or to count with.

`rank_times` are for sorting, those of `clock_of` for differences, those of `parse_times` for what is to be continued.
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

LOOKED_AT = 100  # different times, to find out what form most have
MONTHS = "Jan Feb Mar Apr May Jun Jul Aug Sep Oct Nov Dec"  # as strptime reads them
COUNTED = (("%Y%m", 1), ("%Y%m%d", 100), ("%Y%m%d%H", 10**4), ("%Y%m%d%H%M", 10**6), ("%Y%m%d%H%M%S", 10**8))
DUE_DATED = "times like 1959-01, 1959-01-31, 1959-01-31 12:00, 1959Q1 or whole numbers, all of one form"


class Times(NamedTuple):
    """Times as they were read: `values` (n,), datetime64[us] or int64, and the `form` in which they are written.

    `form` is "number", "month", "quarter", "day", "minute", "second", "microsecond", or a format of strftime; `zone` is
    what stood behind each. Where `values` are in UTC, `offsets` (n,), timedelta64[us], are what was written less these;
    `zones` is how the first of them was. Of decimal years, whose form is "year", `spelled` writes them, a `note` says
    what was taken for what, and `frequency` is the rule of those that are counted, None of months.
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
        """Return `values` (k,), times like these, in the same form, with `offsets` (k,) from UTC if there are some.

        ValueError where that could not be read again.
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
    offset = zone.replace(":", "") or "+0000"
    return moment.strftime(form.replace("%Y", f"{moment.year:04}").replace("%z", offset).replace("%Z", "UTC"))


def _zone(offset: timedelta, like: str) -> str:
    """Return an offset from UTC as ISO 8601 writes it, with a space before it or without a colon in it like another."""
    text = datetime(2000, 1, 1, tzinfo=timezone(offset)).isoformat()[19:]
    text = text if ":" in like or "Z" in like else text.replace(":", "")
    return f" {text}" if like[:1] == " " else text


def rank_times(values: np.ndarray, name: str, locate: Locator | None = None, form: str | None = None) -> np.ndarray:
    """Return the rank of each time (n,): of numbers by size, of dates and texts that are dates by date.

    Args:
        values: of a column (n,).
        name: of the column, for errors.
        locate: says in words where a row stands.
        form: how the times are written, as for strptime; None: as they look.

    ValueError for texts that are no times, with the place of the first that is unlike most, and for dates that may
    be read in several ways.
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
    """Return times (n,), which `rank_times` takes, as numbers, and whether these are seconds, of dates and times of day.

    Times that are numbers keep their own unit. `form` is how they are written, as for strptime. ValueError, with the
    `name` and the place, for dates whose readings lie differently far apart, though they have one order, and for what
    has no difference.
    """
    kind = values.dtype.kind
    if form is not None or kind in "iu":  # of these dates are refused, such as 20240131
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
    """Return a date, a moment, a time of day, a span or the start of a period of pandas in seconds."""
    value = getattr(value, "start_time", value)
    if hasattr(value, "total_seconds"):
        return value.total_seconds()
    if isinstance(value, datetime):
        return value.replace(tzinfo=value.tzinfo or timezone.utc).timestamp()
    if hasattr(value, "toordinal"):
        return 86400.0 * value.toordinal()
    return value.hour * 3600 + value.minute * 60 + value.second + value.microsecond / 1e6


def are_times(values: np.ndarray, form: str | None = None) -> bool:
    """Return whether some values (n,) that are no numbers can be sorted by as dates, times of day or spans."""
    if values.dtype.kind in "mM":
        return True
    return not why_no_times(values, form=form) and all(isinstance(value, (str, date, time)) for value in values)


def why_no_times(values: np.ndarray, name: str = "", locate: Locator | None = None, form: str | None = None) -> str:
    """Return why some values (n,) cannot be sorted by as times, in words; "" where they can."""
    try:
        rank_times(values, name, locate, form)
    except (TypeError, ValueError) as error:
        return str(error)
    return ""


def describe_slip(values: np.ndarray, name: str, locate: Locator) -> str:
    """Return what is wrong, in words, with the first text of a column (n,) that is no time where most are; "" else."""
    some = [value for value in values[:LOOKED_AT].tolist() if isinstance(value, str)]
    most = 2 * sum(bool(dates_in([text])) for text in some) > len(some)
    return why_no_times(values, name, locate) if most else ""


def parse_times(column: Sequence[Any], name: str, form: str | None = None, locate: Locator = "row {}".format) -> Times:
    """Return the times in a column: texts, integers (years, or any count, but no 202401), or datetimes.

    Texts are dates in any form that `rank_times` takes, all with the same parts; with `form`, of strptime, whatever that
    says. Those of several zones are taken in UTC. ValueError for one that is not, with its place, and for dates that
    may be read in several ways, so that no day is taken for a month.
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
    if numbers is not None and not (dates_in(rows.texts) and all(map(_is_of_now, rows.texts))):
        return parse_times(numbers[rows.codes], name, None, locate)
    dates = rows.dates(lambda dates: dates.utc, dated=True)
    if (i := first_true(dates.nanoseconds != 0)) is not None:
        raise ValueError(
            f"{name}: expected times of whole microseconds, got {rows.texts[i]!r} in {locate(rows.row(i))}"
        )
    if len(np.unique(dates.offsets)) > 1:  # of a place whose clocks change
        written = dates.written if re.search("second|%[HI]", dates.written) else "minute"
        offsets = (dates.microseconds - dates.utc).astype("timedelta64[us]")
        return Times(dates.utc.astype("datetime64[us]")[rows.codes], written, "Z", offsets[rows.codes], dates.zone)
    return Times(dates.microseconds.astype("datetime64[us]")[rows.codes], dates.written, dates.zone)


class _Column:
    """The texts of a column, in the order of the file, and which of them each row has (`codes`).

    Where many rows have the same text it is there once.
    """

    def __init__(self, cells: list[str], name: str, locate: Locator | None):
        self.texts, self.codes, self.name, self.locate = cells, np.arange(len(cells)), name, locate
        some = cells[:: len(cells) // LOOKED_AT + 1]
        if 2 * len(set(some)) <= len(some):
            index = {text: i for i, text in enumerate(dict.fromkeys(cells))}
            self.texts, self.codes = list(index), np.array([index[cell] for cell in cells])

    def row(self, i: int) -> int:
        """Return the first row that has the text `i`."""
        return int(np.argmax(self.codes == i))

    def said(self, i: int) -> str:
        """Return the text `i` and its place, in words."""
        return f"{self.texts[i]!r}{f' in {self.locate(self.row(i))}' if self.locate else ''}"

    def dates(self, of: Callable[[Dates], np.ndarray], dated: bool = False) -> Dates:
        """Return the texts as dates; ValueError where they are none, or `of` differs from one reading to another.

        Where they are to be `dated`, times of day alone are none, nor ISO dates with and without a time of day.
        """
        found = self._readings(self.texts, dated)
        for dates in found:
            if (other := first_true(dates.zoned != dates.zoned[0])) is not None:
                raise ValueError(f"{self.name}: expected a time zone in each row or in none, got {self.said(other)}")
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
            raise ValueError(f"{self.name}: expected {due}, got {self.said(i)}{unlike}; {cure}")
        return found[0]

    @staticmethod
    def _readings(texts: list[str], dated: bool, form: str | None = None) -> list[Dates]:
        """Return the readings of texts that are `dated`, or of others too, which may be mixed."""
        return [dates for dates in dates_in(texts, not dated, form) if dates.dated or not dated]

    def refuse_both(self, one: Dates, other: Dates) -> NoReturn:
        """Raise ValueError: a text may be read in two ways."""
        i = first_true(one.utc != other.utc)
        moments = (each.utc[i].astype("datetime64[us]").astype("datetime64[m]") for each in (one, other))
        may_be = " or ".join(str(moment).replace("T00:00", "") for moment in moments)
        cure = "write months as numbers"
        if "%" in one.written and one.written != other.written:
            cure = f'time_format="{one.written}" or time_format="{other.written}" says which'
        got = f"{self.said(i)}, which may be {may_be}"
        raise ValueError(f"{self.name}: expected dates with one reading, got {got}; {cure}")

    def _odd(self, dated: bool) -> tuple[int, int | None]:
        """Return the first text that is no time in the form that most of the first ones have, and the first that is."""
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
    return np.unique(values, return_inverse=True)[1]


def _order(dates: Dates) -> np.ndarray:
    """Return the rank of each date (n,)."""
    if not dates.nanoseconds.any():
        return _ranked(dates.utc)
    return np.unique(np.stack([dates.utc, dates.nanoseconds]), axis=1, return_inverse=True)[1].ravel()


def _cells(values: np.ndarray) -> list[Any]:
    """Return the cells of a column; of numbers as they are written."""
    if values.dtype.kind == "f":
        return [f"{value:.0f}" if value % 1 == 0 else str(value) for value in values.tolist()]
    return list(map(str, values.tolist())) if values.dtype.kind in "iu" else values.tolist()


def _numbers(texts: list[str]) -> np.ndarray | None:
    """Return the numbers that texts are; None where one is none, or NaN, which is no time."""
    try:
        found = np.array([float(text) for text in texts])
    except ValueError:
        return None
    # _ separates digits for Python, and for others two numbers
    return None if np.isnan(found).any() or any("_" in text for text in texts) else found


def _is_of_now(text: str) -> bool:
    """Return whether digits that begin with a year begin with one that is likely."""
    return 1800 <= int(text.strip()[:4]) < 2200


def _formatted(column: _Column, form: str) -> tuple[np.ndarray, np.ndarray | None]:
    """Return the times that texts are by a format of strptime, in UTC where they have a zone, and then their offsets.

    Names of months may be those of any language. ValueError for the first that is none, with its place.
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
        raise ValueError(f"{column.name}: expected times of the form {form}, got {column.said(found.index(None))}")
    times = np.array([each.replace(tzinfo=None) for each in found], "datetime64[us]")
    if found[0].utcoffset() is None:
        return times, None
    offsets = np.array([each.utcoffset() for each in found], "timedelta64[us]")
    return times - offsets, offsets


def _in_english(column: _Column) -> list[str]:
    """Return the texts with the names of months as strptime knows them, where they have one meaning."""
    words = {word for text in column.texts for word in re.findall(r"[^\W\d_]{3,}", text)}
    words = {word for word in words if months_of(folded(word))}
    found = months_by_name({folded(word) for word in words})
    if len(found) > 1:
        return column.texts
    pattern = re.compile("|".join(sorted(map(re.escape, words), key=len, reverse=True)) or "(?!)")
    names = {word: MONTHS.split()[found[0][0][folded(word)] - 1] for word in words}
    return [pattern.sub(lambda word: names[word[0]], text) for text in column.texts]


def _parsed(text: str, form: str) -> datetime | None:
    """Return the time that a text is by a format of strptime; None where it is none."""
    if not re.search("%[YyGcx]", form):  # a leap year, since the 29th of February may be meant
        text, form = f"2000 {text}", f"%Y {form}"
    try:
        return datetime.strptime(text.strip(), form)
    except ValueError:
        return None


def date_format_of(values: np.ndarray) -> str:
    """Return the format of dates that whole numbers (n,) may all be, 202401 or 20240131; "" where one is none."""
    for form, size in COUNTED:
        in_range = ((values >= 180001 * size) & (values < 220001 * size)).all()
        if in_range and all(_parsed(str(int(value)), form) for value in np.unique(values).tolist()):
            return form
    return ""


def _datetimes(values: np.ndarray, name: str, locate: Locator) -> Times:
    if (lost := first_true(np.isnat(values))) is not None:
        raise ValueError(f"{name}: expected a time in each row, got none in {locate(lost)}")
    for form, unit in (("day", "D"), ("second", "s"), ("microsecond", "us")):
        if (values.astype(f"datetime64[{unit}]") == values).all():
            return Times(values.astype("datetime64[us]"), form)
    i = first_true(values.astype("datetime64[us]") != values)
    raise ValueError(f"{name}: expected times of whole microseconds, got {values[i]} in {locate(i)}")
