"""The type `Table`: a table of a file or a DataFrame, whose columns are read as numbers, words or times."""

from __future__ import annotations

import os
import re
import zipfile
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from cgru.datasets.columns import Columns, ColumnsError
from cgru.datasets.dataset import DENSEST, PADDED
from cgru.datasets.text_tables import NUMBER, check_name_lengths, decode, kept_lines, split_cells

__all__ = ["SPREADSHEETS", "Table", "check_installed", "factorize", "table_of", "table_of_frame"]

SPREADSHEETS = (".xlsx", ".xlsb", ".xls", ".ods")
MISSING = ("", "na", "n/a", "#n/a", "nan", "null", "none", "?")  # markers of a missing number
NO_TEXT = ("", "nan", "null", "#n/a", "?")  # markers of missing text, in which NA and none may be names
CANONICAL = r"^(0|-?[1-9]\d{0,17})$"  # integers: 007 is a code
MOST_SKIPPED = 50  # lines that a cure leaves out
GROUPED = r"^[+-]?[1-9]\d{0,2}(\.\d{3})+$"  # 1.029, which 0.029 is not


class Table(NamedTuple):
    """A table from a file or a DataFrame.

    Attributes:
        frame: a DataFrame of Polars; all columns of a text file are text.
        columns: how cells are read.
        lines: the line of each row in the text file, or its number from 1 in another table (n,).
        notes: sentences about how the file was read.
        nameless: the columns that have no name in the file.
        nested: the column that numbers the rows of a table with lists in its cells, or "".
        is_file_of_text: whether it is from a text file.
    """

    frame: Any
    columns: Columns
    lines: np.ndarray
    notes: tuple[str, ...] = ()
    nameless: tuple[str, ...] = ()
    nested: str = ""
    is_file_of_text: bool = False

    @property
    def names(self) -> list[str]:
        """Return the names of the columns."""
        return self.frame.columns

    def locate(self, row: Any) -> str:
        """Return where row `row` is, for errors."""
        return f"{'line' if self.is_file_of_text else 'row'} {self.lines[row]}"

    def is_text(self, name: str) -> bool:
        """Return whether a column has text, which may be numbers."""
        import polars as pl

        return self.frame[name].dtype == pl.String

    def is_time(self, name: str) -> bool:
        """Return whether a column of a typed table has dates, times or durations."""
        return self.frame[name].dtype.is_temporal()

    def parsed(self, name: str) -> tuple[np.ndarray, np.ndarray]:
        """Return a column as numbers (n,), NaN where one is missing, and a mask of cells that are no numbers."""
        import polars as pl

        cells, odd = self.frame[name], np.zeros(len(self.frame), bool)
        wanted = [float(word) for word in self.columns.na if re.fullmatch(NUMBER.replace(",", ""), word)]
        if cells.dtype == pl.String:
            thousands, decimal = self.columns.thousands, self.columns.decimal
            decimal = decimal or ("," if thousands == "." else ".")
            cells = cells.str.strip_chars()
            gone = self._is_missing(cells, MISSING)
            if thousands:
                sign, point = map(re.escape, (thousands, decimal))
                grouped = cells.str.contains(rf"^[+-]?\d{{1,3}}({sign}\d{{3}})+({point}\d*)?$")
                plain = cells.str.replace_all(thousands, "", literal=True)
                cells = pl.select(pl.when(grouped).then(plain).otherwise(cells)).to_series()
            if decimal == ",":
                pointed, plain = cells.str.contains(".", literal=True), cells.str.replace(",", ".", literal=True)
                cells = pl.select(pl.when(pointed).then(pl.lit("x")).otherwise(plain)).to_series()
            cells = cells.str.to_lowercase().replace({"true": "1", "false": "0"})
            valid = cells.str.contains(rf"^{NUMBER.replace(',', '')}$").fill_null(False).to_numpy()
            cells = pl.select(pl.when(pl.Series(valid)).then(cells)).to_series().str.strip_prefix("+")
            odd = ~valid & ~gone
        elif not (cells.dtype.is_numeric() or cells.dtype in (pl.Boolean, pl.Null)):
            odd = ~cells.is_null().to_numpy()
            cells = pl.Series([None] * len(cells), dtype=pl.Float64)
        values = cells.cast(pl.Float64, strict=False).to_numpy().copy()
        values[np.isin(values, wanted)] = np.nan
        return values, odd | np.isinf(values)

    def _is_missing(self, cells: Any, words: Sequence[str]) -> np.ndarray:
        """Return the mask of texts that are missing, among these words or the markers in `na`."""
        known = [*words, *(word.lower() for word in self.columns.na)]
        return (cells.is_null() | cells.str.to_lowercase().is_in(known)).to_numpy()

    def values(self, name: str, plain: bool = False) -> tuple[np.ndarray, np.ndarray]:
        """Return a column as classes, ids or words (n,), and the mask of missing ones.

        Integers are int64, other numbers float64, booleans bool, and all others strings. `plain`: all are strings.
        """
        import polars as pl

        cells = self.frame[name]
        if cells.dtype.is_integer() or cells.dtype == pl.Boolean:
            gone = cells.is_null().to_numpy()
            found = cells.fill_null(0 if cells.dtype != pl.Boolean else False).to_numpy()
        elif cells.dtype.is_numeric():
            found, gone = self.parsed(name)[0], np.isnan(self.parsed(name)[0])
        else:
            texts = cells.str.strip_chars() if cells.dtype == pl.String else pl.Series(self.texts(name))
            gone = self._is_missing(texts, NO_TEXT)
            there = texts.filter(pl.Series(~gone))
            if not plain and len(there) and there.str.contains(CANONICAL).all():
                found = (
                    pl.select(pl.when(pl.Series(~gone)).then(texts)).to_series().cast(pl.Int64).fill_null(0).to_numpy()
                )
            elif (
                not plain
                and len(there)
                and not there.str.contains(r"^[+-]?0\d|^[a-zA-Z]").any()
                and not self.parsed(name)[1].any()
            ):
                found = self.parsed(name)[0]
                gone = gone | np.isnan(found)
            else:
                found = np.array(texts.fill_null("").to_list(), object)
        if plain and found.dtype != object:
            found = np.array([str(value).removesuffix(".0") for value in found.tolist()], object)
        return found, gone

    def column(self, name: str, role: str, plain: bool = False) -> np.ndarray:
        """Return the `values` of a column that has a role; refuse missing ones, without whose lines it is read."""
        found, gone = self.values(name, plain)
        if gone.any():
            rows = np.flatnonzero(gone)
            raise ColumnsError(
                role, f"none of {name} in {self.locate(rows[0])}", "a value in each row", self.without(rows)
            )
        return found

    def without(self, rows: Sequence[int]) -> dict[str, str] | None:
        """Return the cure that leaves out some rows, None if these are many."""
        if len(rows) > min(MOST_SKIPPED, len(self.lines) // 2):
            return None
        return {
            "skip_lines": ",".join([*filter(None, [self.columns.skip_lines]), *(f"{n}-{n}" for n in self.lines[rows])])
        }

    def texts(self, name: str) -> list[str]:
        """Return the cells of a column as text (n,), "" where one is missing; dates are in ISO 8601."""
        import polars as pl

        cells = self.frame[name]
        if cells.dtype == pl.String:
            return cells.str.strip_chars().fill_null("").to_list()
        if isinstance(cells.dtype, pl.Datetime) and cells.dtype.time_zone is None:
            cells = cells.dt.cast_time_unit("us")
        return ["" if value is None else str(value).removesuffix(" 00:00:00") for value in cells.to_list()]


def factorize(columns: Sequence[np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    """Return (the first row of each different row (k,), the index of each row's (n,)), in order of appearance."""
    codes = np.zeros(len(columns[0]), np.int64)
    for values in columns:
        known, own = np.unique(values, return_inverse=True)
        codes = np.unique(codes * len(known) + own.reshape(-1), return_inverse=True)[1].reshape(-1)
    firsts = np.unique(codes, return_index=True)[1]
    order = np.argsort(firsts)
    rank = np.empty_like(order)
    rank[order] = np.arange(len(order))
    return firsts[order], rank[codes]


# --- sources of tables ---


def check_installed(name: str, extra: str = "frames") -> None:
    """Raise ImportError, with the extra that has it, if a package is missing."""
    import importlib.util

    if importlib.util.find_spec(name) is None:
        raise ImportError(f'tables need {name}: pip install "cgru[{extra}]"')


def table_of(path: str | os.PathLike[str], kind: str, columns: Columns) -> Table:
    """Read the table in a file of a `kind`: "text", "parquet", "excel" or "jsonl"."""
    check_installed("polars")
    if kind == "text":
        return _table_of_text(path, columns)
    for name in ("header", "comment", "separator"):
        if getattr(columns, name) is not None:
            raise ColumnsError(name, repr(getattr(columns, name)), f"nothing for a file of {kind}", {name: None})
    import polars as pl

    if kind == "excel":
        check_installed("fastexcel")
        if zipfile.is_zipfile(path):
            with zipfile.ZipFile(path) as archive:
                _check_size(sum(each.file_size for each in archive.infolist()), path)
    try:
        with open(path, "rb") as file:  # of its name Polars may make a pattern or an address
            if kind == "parquet":
                lazy = pl.scan_parquet(file)
                _check_size(8 * lazy.select(pl.len()).collect().item() * len(lazy.collect_schema()), path)
                file.seek(0)
                frame = pl.read_parquet(file)
            elif kind == "jsonl":
                frame = pl.read_ndjson(file.read(), infer_schema_length=None)
            else:
                frame = pl.read_excel(file.read(), infer_schema_length=None)
    except (KeyboardInterrupt, SystemExit, ValueError, MemoryError):
        raise
    except BaseException as error:  # a panic of Polars is no Exception
        raise ValueError(f"expected a whole file of its kind, {kind}: {str(error)[:300]}") from None
    return _typed(frame, columns)


def _check_size(size: int, path: Any) -> None:
    """Raise ValueError for a file that is far larger unpacked than it is."""
    if size > max(PADDED, DENSEST * os.path.getsize(path)):
        due = f"at most {DENSEST} times as many bytes unpacked"
        raise ValueError(f"expected {due}, got {size}; a DataFrame of it goes into from_frame")


def table_of_frame(frame: Any, columns: Columns) -> Table:
    """Return the table of a DataFrame of pandas, Polars or another library that narwhals reads."""
    check_installed("narwhals")
    check_installed("polars")
    import narwhals.stable.v2 as nw
    import polars as pl

    index = getattr(frame, "index", None)
    names = [name for name in getattr(index, "names", ()) if name is not None]
    if names and not {*names} & {*frame.columns}:
        frame = frame.reset_index()
    try:
        found = nw.from_native(frame, eager_only=True)
    except TypeError as error:
        raise TypeError(f"frame: expected a DataFrame, got {type(frame).__name__}: {error}") from None
    if isinstance(frame, pl.DataFrame):
        return _typed(frame, columns)
    series = []
    for name in found.columns:
        column = found[name]
        if column.dtype.is_numeric() and not column.is_null().any() and "pandas" in str(type(frame)):
            series.append(pl.Series(str(name), column.to_numpy()))
            continue
        gone = column.is_null().to_list()
        cells = [None if lost else value for lost, value in zip(gone, column.to_list(), strict=True)]
        cells = [getattr(value, "tolist", lambda value=value: value)() for value in cells]  # arrays and Series
        series.append(pl.Series(str(name), cells, strict=False) if not _are_mixed(cells) else
                      pl.Series(str(name), [None if cell is None else str(cell) for cell in cells]))  # fmt: skip
    return _typed(pl.DataFrame(series), columns)


def _are_mixed(cells: Sequence[Any]) -> bool:
    """Return whether cells are of several types, such as text and numbers."""
    kinds = {type(cell) for cell in cells if cell is not None}
    return len(kinds) > 1 and not kinds <= {int, float, bool}


def _typed(frame: Any, columns: Columns) -> Table:
    """Return the table of a DataFrame of Polars: lists become steps, and rarer types text or numbers."""
    import polars as pl

    check_name_lengths(frame.columns)
    nested, lines = "", np.flatnonzero(kept_lines(columns, len(frame))) + 1
    frame = frame[lines - 1]
    lists = [name for name in frame.columns if frame[name].dtype.base_type() in (pl.List, pl.Array)
             and name not in columns.ignore]  # fmt: skip
    if lists:
        frame = frame.with_columns(pl.col(name).cast(pl.List(frame[name].dtype.inner)) for name in lists)
        sizes = frame.select(pl.col(name).list.len().fill_null(0) for name in lists)
        for name in lists[1:]:
            if (wrong := np.flatnonzero((sizes[name] != sizes[lists[0]]).to_numpy())).size:
                got = f"{sizes[name][int(wrong[0])]} in {name}, row {wrong[0] + 1}"
                cure = {"ignore": (*columns.ignore, name)}
                raise ColumnsError(
                    "", got, f"as many values in all lists of a row, {lists[0]} has another number", cure
                )
        nested = next(name for name in ("row", "row_number", "number_of_the_row") if name not in frame.columns)
        there = (sizes[lists[0]] > 0).to_numpy()
        lines = np.repeat(lines, sizes[lists[0]].to_numpy())
        frame = frame.filter(pl.Series(there)).with_row_index(nested).explode(lists)
        for name in lists:
            if frame[name].dtype.base_type() in (pl.List, pl.Array):
                cells = frame[name].cast(pl.List(frame[name].dtype.inner))
                width = int(cells.list.len().max() or 0)
                own = [cells.list.get(j, null_on_oob=True).alias(f"{name}_{j}") for j in range(width)]
                frame = frame.drop(name).with_columns(own)
    changed = {}
    for name, dtype in frame.schema.items():
        base = dtype.base_type()
        if base in (pl.Categorical, pl.Enum) or dtype == pl.Binary:
            changed[name] = pl.String
        elif base == pl.Decimal or dtype == pl.Null:
            changed[name] = pl.Float64
        elif base in (pl.Struct, pl.Object, pl.List, pl.Array) and name not in columns.ignore:
            cure = {"ignore": (*columns.ignore, name)}
            raise ColumnsError("", f"{dtype} in {name}", "numbers, text, times or lists of these", cure)
    frame = frame.with_columns(pl.col(name).cast(kind, strict=False) for name, kind in changed.items())
    if not len(frame):
        raise ValueError("expected rows, got none")
    return Table(frame, columns, lines, nested=nested)


def _table_of_text(path: str | os.PathLike[str], columns: Columns) -> Table:
    """Read the table in a text file."""
    import polars as pl

    text, notes = decode(path)
    cells, lines = split_cells(text, columns)
    width = int(cells[:1].list.len()[0])
    names = [f"column_{i + 1}" for i in range(width)]
    if columns.header is not False:
        first = cells[0].to_list()
        if columns.header is None:
            _check_header(first, cells[1:40].to_list(), lines, columns)
        names = [name or names[i] for i, name in enumerate(first)]
        check_name_lengths(names)
        nameless = [i for i, name in enumerate(first) if not name]
        cells, lines = cells[1:], lines[1:]
        if not len(cells):
            raise ValueError("expected rows below the names, got none")
    else:
        nameless = []
    found: dict[str, Any] = {}
    for i, name in enumerate(names):
        own = cells.list.get(i)
        if i in nameless:
            if not (own != "").any():
                continue
            numbers = own.cast(pl.Int64, strict=False)
            if numbers[0] in (0, 1) and (numbers.diff()[1:] == 1).all() and not numbers.is_null().any():
                notes.append(f"column {i + 1}, which has no name and counts the rows, is left out")
                continue
        if name in found:
            again = next(f"{name}_{j}" for j in range(2, width + 2) if f"{name}_{j}" not in {*found, *names})
            notes.append(f"two columns are called {name}: the second is read as {again}")
            name = again
        found[name] = own
    unnamed = tuple(names[i] for i in nameless if names[i] in found)
    return Table(pl.DataFrame(found), columns, lines, tuple(notes), unnamed, is_file_of_text=True)


def _check_header(first: list[str], rows: list[list[str]], lines: np.ndarray, columns: Columns) -> None:
    """Refuse a first line that has numbers, or hardly any text above full rows, as a title has.

    Numbers that rise or fall, as those of no row below do, are taken for names in the cure.
    """
    full = next((i for i, row in enumerate(rows, 1) if all(row)), None)
    if sum(map(bool, first)) < len(first) / 2 and full:
        cure = {"skip_lines": ",".join(filter(None, [columns.skip_lines, str(lines[full] - 1)]))}
        raise ColumnsError("skip_lines", f"{', '.join(filter(None, first))!r}", "a name for most columns", cure)
    numbers = [i for i, cell in enumerate(first) if re.fullmatch(NUMBER, cell)]
    if not numbers:
        return

    def direction(row: list[str]) -> int:
        """Return 1 if the numbers of a row rise, -1 if they fall, else 0."""
        try:
            steps = np.diff([float(row[i].replace(",", ".")) for i in numbers])
        except ValueError:
            return 0
        return int((steps > 0).all()) - int((steps < 0).all())

    are_names = len(numbers) > 2 and direction(first) != 0 and not any(map(direction, rows[:5]))
    got = ", ".join(first[i] for i in numbers[:3])
    raise ColumnsError("header", f"{got} in it", "names in the first line", {"header": are_names})
