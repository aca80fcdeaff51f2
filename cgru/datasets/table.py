"""The type `Table`: columns read on demand, with missing values and a description of each row for errors."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from typing import Any, NamedTuple

import numpy as np

from cgru.datasets import missing_values
from cgru.datasets.column_names import check_lengths
from cgru.datasets.date_parts import join_parts, months_in, order_of_parts, part_of
from cgru.datasets.time_parsing import Times, date_format_of, parse_times
from cgru.datasets.time_zones import clock_of_zone
from cgru.datasets.where import Locator, first_true

__all__ = ["INDEX", "Table", "all_rows_differ", "check_ids", "factorize_rows", "table_of_frame", "take_rows"]

INDEX = "Unnamed: 0"  # the name that pandas gives to a first column without one

THOUSANDS = r"[+-]?\d{1,3}(([,.' \u00a0\u202f])\d{3}(\2\d{3})*)([.,]\d+)?"
BOOLEANS = {"true": 1.0, "false": 0.0}


class Table(NamedTuple):
    """A table from a file or a DataFrame, whose columns are read by name.

    Attributes:
        names: the names of the columns, each once.
        rows: the number of rows n.
        read: returns the values of a column (n,), and the mask of missing ones (n,).
        locate: describes a row for errors, such as "line 5".
        number: parses a cell of text as a number, NaN for a missing one; raises ValueError if it is no number.
        has_header: whether the file names the columns.
        zoned: the time zones of columns of datetimes that have one; `read` returns these in UTC.
        cells: returns the text of a column's cells in the file (n,); None for a DataFrame.
        na: the additional markers of a missing value that the caller passed; None if the reader takes none.
        decimal: the decimal sign of the file's numbers.
    """

    names: list[str]
    rows: int
    read: Callable[[str], tuple[np.ndarray, np.ndarray]]
    locate: Locator
    number: Callable[[Any], float] = float
    has_header: bool = True
    zoned: Mapping[str, str] = MappingProxyType({})
    cells: Callable[[str], np.ndarray] | None = None
    na: Sequence[str] | None = None
    decimal: str = "."

    def column(self, name: str) -> np.ndarray:
        """Return the values of a column (n,); raise ValueError if one is missing."""
        values, missing = self.read(name)
        if missing.any():
            row = self.locate(first_true(missing))
            which = ", or one that na takes for missing" if self.na else ""
            raise ValueError(f"{name}: expected a value in each row, got none{which} in {row}")
        if values.dtype == object and self.cells is None:
            for row, value in enumerate(values):
                if isinstance(value, bytes):  # `_decoded` left it since it is no UTF-8
                    raise ValueError(f"{name}: expected text in UTF-8, got {value!r} in {self.locate(row)}")
        return values

    def together(self, names: Sequence[str], whole: bool = False) -> np.ndarray:
        """Return the values of one column (n,), or of several joined to times or strings; with `whole` always strings.

        Names of months in a single column called month become numbers. Parts of a date (year, month, ...) are joined by
        `join_parts`. Others, such as a date and a time of day, are joined as strings with a space between; the text in
        the file is taken, since 18.30 may be a time. Numbers among these are refused, as their meaning is unknown. With
        `whole`, for a format of strptime, nothing is interpreted: all columns are strings, integers are allowed.
        """
        if len(names) == 1 and not (whole and self.cells):
            values = self.column(names[0])
            words = values.dtype == object and part_of(names[0]) == "month" and not whole
            months = months_in(list(map(str, values))) if words else {}
            return np.array([months[str(value)] for value in values]) if months else values
        columns = [self.column(name) for name in names]
        if parts := None if whole else order_of_parts(names, columns):
            return join_parts(parts, names, columns, self.locate)
        clock = None if whole else self._clock(names[1:], columns[1:])
        days = clock is not None and columns[0].dtype.kind in "iu" and date_format_of(columns[0]) == "%Y%m%d"
        texts = [self._texts(name, whole or days) for name in (names if clock is None else names[:1])]
        return np.array([" ".join(row) for row in zip(*texts, *filter(None, [clock]), strict=True)], object)

    def _clock(self, names: Sequence[str], columns: Sequence[np.ndarray]) -> list[str] | None:
        """Format columns of numbers as times of day "18:30": hour, minute, ..., or a clock 1830; None for others."""
        parts = order_of_parts(names, columns) if all(column.dtype.kind in "iuf" for column in columns) else None
        if not parts or parts[0] not in ("hour", "clock") or (parts[0] == "clock" and (columns[0] < 1000).all()):
            return None
        seconds = join_parts(parts, names, columns, self.locate).astype("timedelta64[s]").astype(np.int64).tolist()
        form = "{:02}:{:02}:{:02}" if "second" in parts else "{:02}:{:02}"
        return [form.format(each // 3600, each // 60 % 60, each % 60) for each in seconds]

    def written(self, names: Sequence[str]) -> list[str]:
        """Return the text of columns of times for each row, joined with spaces.

        Datetimes of a DataFrame are formatted by ISO 8601, in local time of their time zone.
        """
        return [" ".join(row) for row in zip(*map(self._as_written, names), strict=True)]

    def _as_written(self, name: str) -> Sequence[str]:
        """Return the text of each cell in a column (n,), with datetimes in local time."""
        values = self.read(name)[0]
        if self.cells is None and values.dtype.kind == "M":
            times, clock = self.in_zone(name, parse_times(values, name)), clock_of_zone(self.zoned.get(name, "UTC"))
            return times.written(times.values, None if clock is None else clock.offsets_at(times.values))
        return [str(value).strip() for value in (values.tolist() if self.cells is None else self.cells(name))]

    def in_zone(self, name: str, times: Times) -> Times:
        """Return `times` of a column, marked as UTC with a time of day if the column has a time zone."""
        if name not in self.zoned:
            return times
        return times._replace(form=times.form.replace("day", "second"), zone="Z")

    def _texts(self, name: str, whole: bool) -> list[str]:
        """Return the text of a date or time of day in each row; raise TypeError for numbers, which `whole` allows."""
        values = self.column(name)
        if values.dtype.kind == "M":
            days = values.astype("datetime64[D]")
            return np.datetime_as_string(days if (days == values).all() else values).tolist()
        kind = values.dtype.kind
        if (kind in "iub" and not whole) or (kind == "f" and self.cells is None):
            raise TypeError(f"{name}: expected a date or a time of day beside another, got {values[0]}, a number")
        if kind in "iuf" and self.cells is not None:
            return self.cells(name).tolist()
        return [str(value).strip() for value in values.tolist()]

    def numbers(self, name: str) -> np.ndarray:
        """Return the values of a column as float64 (n,), NaN for a missing one.

        Raise TypeError if one is no number or boolean, ValueError if one is infinite; with its place.
        """
        values, missing = self.read(name)
        if values.dtype == object:
            cells = zip(values, missing, strict=True)
            values = np.array([np.nan if gone else self._number(cell) for cell, gone in cells])
            if (wrong := first_true(values == None)) is not None:  # noqa: E711
                got, row = self.read(name)[0][wrong], self.locate(wrong)
                thousands = isinstance(got, str) and re.fullmatch(THOUSANDS, got.strip())
                why = ", with a separator of thousands; write all numbers without" if thousands else ""
                pointed = self.decimal == "," and isinstance(got, str) and re.fullmatch(r"[+-]?\d*\.\d*", got.strip())
                if pointed and not thousands:
                    cure = 'all of the file need one sign, decimal="." takes the point'
                    why = f", where a decimal comma is taken, as some numbers have: {cure}"
                if self.na is not None and isinstance(got, str) and self._only_word(name) == got:
                    why += f'; na="{got}" takes it for missing'
                nested = hasattr(got, "__len__") and not isinstance(got, str)
                shown = f"a {type(got).__name__}, with several values," if nested else repr(got)
                raise TypeError(f"{name}: expected numbers, got {shown} in {row}{why}")
            values = values.astype(np.float64)
        if values.dtype.kind not in "biuf":
            raise TypeError(f"{name}: expected numbers, got {values.dtype}")
        numbers = np.where(missing, np.nan, values.astype(np.float64))
        if (infinite := first_true(np.isinf(numbers))) is not None:
            raise ValueError(f"{name}: expected finite numbers, got infinity in {self.locate(infinite)}")
        return numbers

    def words(self, name: str) -> tuple[np.ndarray, np.ndarray]:
        """Return the values of a column as text (n,), whole numbers without a point, and the mask of missing ones."""
        values, missing = self.read(name)
        whole = (isinstance(value, float) and value.is_integer() for value in values.tolist())
        words = [
            f"{value:.0f}" if is_whole else str(value).strip() for value, is_whole in zip(values, whole, strict=True)
        ]
        return np.array(words, object), missing

    def notes_on_texts(self, names: Sequence[str]) -> list[str]:
        """Return a note on columns of a DataFrame whose strings are read as numbers; an empty list without any."""
        texts = [name for name in names if self.cells is None and any(isinstance(x, str) for x in self.read(name)[0])]
        return [f"strings in {', '.join(texts)} are taken for numbers"] if texts else []

    def is_numeric(self, name: str) -> bool:
        """Return whether a column has only numbers or booleans."""
        try:
            self.numbers(name)
        except (TypeError, ValueError):
            return False
        return True

    def is_text(self, name: str) -> bool:
        """Return whether a column is text without any number."""
        values, missing = self.read(name)
        if values.dtype != object:
            return False
        numbers = [self._number(cell) for cell in values[~missing]]
        return all(number is None or np.isnan(number) for number in numbers)

    def _only_word(self, name: str) -> str | None:
        """Return the only word among the numbers of a column, which may mark missing values; else None."""
        values, missing = self.read(name)
        cells = values[~missing].tolist()
        words = {cell for cell in cells if self._number(cell) is None}
        alone = len(words) == 1 and cells.count(*words) < len(cells)
        return words.pop() if alone and not re.search(r'[\d,"]', str(*words)) else None

    def _number(self, cell: Any) -> float | None:
        """Parse a cell of a column of objects as a number or boolean; return None if it is neither."""
        if isinstance(cell, str) and cell.strip().lower() in BOOLEANS:
            return BOOLEANS[cell.strip().lower()]
        try:
            return self.number(cell)
        except (TypeError, ValueError):
            return None


def table_of_frame(frame: Any, caller: str = "from_frame", na: Sequence[str] | None = None) -> Table:
    """Return a DataFrame as a `Table`; raise TypeError or ValueError for anything else, ImportError without narwhals.

    `na` are additional markers of a missing value, from `missing_values.as_words`. `caller` is named in errors.
    """
    try:
        import narwhals.stable.v2 as nw
    except ImportError:
        raise ImportError(f"{caller}: narwhals is missing: pip install narwhals") from None
    try:
        table = nw.from_native(frame, eager_only=True)
    except TypeError:
        raise TypeError(f"frame: expected a DataFrame of pandas or Polars, got {type(frame).__name__}") from None
    except nw.exceptions.DuplicateError:
        columns = frame.columns if hasattr(frame, "iloc") else frame.column_names  # of pandas, or else of PyArrow
        names = list(map(str, columns))
        twice = next(name for name in names if names.count(name) > 1)
        places = " and ".join(str(i + 1) for i, name in enumerate(names) if name == twice)
        raise ValueError(f"frame: expected columns of different names, got {twice!r} as {places}") from None
    if not len(table):
        raise ValueError("frame: expected at least one row, got none")
    if unnamed := [name for name in table.columns if not isinstance(name, str)]:
        raise TypeError(f"frame: expected columns whose names are strings, got {unnamed[0]!r}")
    check_lengths(table.columns)

    wanted = missing_values.numbers_in(na or ())

    def read(name: str) -> tuple[np.ndarray, np.ndarray]:
        """Return the values of a column (n,), and the mask of missing ones (n,)."""
        column = table[name]
        if name in zoned and column.dtype == nw.Unknown:  # narwhals does not know pandas' America/New_York
            column = nw.from_native(column.to_native().dt.tz_convert("UTC"), series_only=True)
        kind = column.dtype
        missing = np.asarray(column.is_null().to_numpy())
        if column.dtype.is_float():
            missing = missing | np.asarray(column.is_nan().fill_null(True).to_numpy())
        if missing.any() and (column.dtype.is_numeric() or column.dtype == nw.Boolean):
            column = column.cast(nw.Float64)
        values = np.asarray(column.to_numpy())
        if column.dtype.is_decimal():
            values = values.astype(np.float64)
        values = _decoded(values.astype(object)) if values.dtype.kind in "USTO" else values
        if na and kind.is_numeric():
            with np.errstate(over="ignore"):
                own = wanted.astype(np.float32) if kind == nw.Float32 else wanted
            missing = missing | missing_values.is_any_of(values, own)
        elif na and values.dtype == object:
            missing = missing | [isinstance(value, str) and value.strip().lower() in na for value in values]
        return values, missing

    def number(cell: Any) -> float:
        """Parse a cell as a number, NaN if it is one that `na` takes for missing."""
        value = float(cell)
        return np.nan if value in wanted and not isinstance(cell, bool) else value

    zoned = {name: zone for name in table.columns if (zone := _zone(table[name]))}
    return Table(list(table.columns), len(table), read, lambda row: f"row {row}", number, zoned=zoned, na=na)


def _zone(column: Any) -> str:
    """Return the name of the time zone of a narwhals column; "" if it has none."""
    own = getattr(column.to_native(), "dtype", None)
    return str(getattr(column.dtype, "time_zone", None) or getattr(own, "tz", None) or "")


def take_rows(table: Table, rows: np.ndarray) -> Table:
    """Return a table with the given `rows` (k,) of another."""
    cells = table.cells
    return table._replace(
        rows=len(rows),
        read=lambda name: tuple(each[rows] for each in table.read(name)),
        locate=lambda i: table.locate(int(rows[i])),
        cells=None if cells is None else lambda name: cells(name)[rows],
    )


def all_rows_differ(table: Table, names: Sequence[str]) -> bool:
    """Return whether each row has a different combination of values in these columns."""
    return len(factorize_rows(table, names)[0]) == table.rows


def factorize_rows(table: Table, names: Sequence[str]) -> tuple[np.ndarray, np.ndarray]:
    """Return the different values (m,) of the columns together, in order of appearance, and each row's index (n,).

    Values of several columns are joined to strings a/b. Without columns all rows are one.
    """
    if not names:
        return np.ones(1, np.intp), np.zeros(table.rows, np.intp)
    values = [table.column(name) for name in names]
    try:
        codes = [np.unique(each, return_inverse=True)[1] for each in values]
    except TypeError:
        raise TypeError(f"{names[0]}: expected values of one kind, got several") from None
    code = codes[0]
    for other in codes[1:]:
        code = np.unique(code * (other.max() + 1) + other, return_inverse=True)[1]
    _, first, inverse = np.unique(code, return_index=True, return_inverse=True)
    rank = np.empty(len(first), np.intp)
    rank[np.argsort(first)] = np.arange(len(first))
    first.sort()
    ids = [each[first] for each in values]
    names = ids[0] if len(ids) == 1 else np.array(["/".join(map(str, row)) for row in zip(*ids, strict=True)])
    return names, rank[inverse]


def _decoded(values: np.ndarray) -> np.ndarray:
    """Return objects (n,) with bytes decoded from UTF-8 if they are; Parquet may store text as bytes."""
    kept = values.copy()
    for i, value in enumerate(values):
        if isinstance(value, bytes):
            with contextlib.suppress(UnicodeDecodeError):
                kept[i] = value.decode()
    return kept


def check_ids(ids: np.ndarray, name: str) -> None:
    """Raise ValueError for ids that are reals, since 1.1 and 1.10 or very long integers would be the same."""
    odd = ids[(ids % 1 != 0) | (np.abs(ids) >= 2**53)] if ids.dtype.kind == "f" else ids[:0]
    if odd.size:
        got = f"{odd[0]}, a real, as which 1.1 and 1.10 are the same"
        cure = "a letter before them makes them strings"
        raise ValueError(f"{name}: expected integers or strings to tell sequences apart, got {got}; {cure}")
