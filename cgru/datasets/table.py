"""The type `Table`: a table of a file or a DataFrame, whose columns are read as numbers, words or times."""

from __future__ import annotations

import os
import re
import zipfile
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from cgru.datasets.columns import Columns, ColumnsError
from cgru.datasets.dataset import check_bytes
from cgru.datasets.text_tables import MARK, NUMBER, decode, kept_lines, split_cells

__all__ = ["Table", "check_installed", "factorize", "kind_of", "table_of"]

KINDS = {
    ".npz": "npz", ".ts": "ts", ".parquet": "parquet", **dict.fromkeys((".json", ".jsonl", ".ndjson"), "json"),
    **dict.fromkeys((".xlsx", ".xlsb", ".xls", ".ods"), "excel"),
    **dict.fromkeys((".csv", ".tsv", ".txt", ".tab", ".dat", ".data"), "text"),
}  # fmt: skip
MISSING = ("", "na", "n/a", "#n/a", "nan", "null", "none", "?")  # markers of a missing number
NO_TEXT = ("", "nan", "null", "#n/a", "?")  # markers of missing text, in which NA and none may be names
CANONICAL = r"^(0|-?[1-9]\d{0,17})$"  # integers: 007 is a code
MOST_SKIPPED = 50  # lines that a cure leaves out
GROUPED = r"^[+-]?[1-9]\d{0,2}(\.\d{3})+$"  # 1.029, which 0.029 is not


class Table(NamedTuple):
    """A table from a file or a DataFrame.

    Attributes:
        frame: a DataFrame of Polars, whose columns are text, integers or reals; all columns of a text file are text.
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
        """Return the place of a row for error messages, such as "line 7"."""
        return f"{'line' if self.is_file_of_text else 'row'} {self.lines[row]}"

    def is_text(self, name: str) -> bool:
        """Return whether the cells of a column are text, such as all of a text file."""
        return str(self.frame[name].dtype) == "String"

    def is_number(self, name: str) -> bool:
        """Return whether all cells of a column are numbers or missing."""
        return not self.parsed(name)[1].any()

    def parsed(self, name: str) -> tuple[np.ndarray, np.ndarray]:
        """Return a column as numbers (n,), NaN where one is missing, and a mask of cells that are no numbers."""
        import polars as pl

        cells, odd, how = self.frame[name], np.zeros(len(self.frame), bool), self.columns
        if self.is_text(name):
            text = cells.str.strip_chars().str.to_lowercase().fill_null("")
            gone = text.is_in([*MISSING, *(word.lower() for word in how.na)])
            if how.value_units:
                units = "|".join(re.escape(unit.lower()) for unit in how.value_units)
                own = text.str.extract(rf"^[+-]?(?:{units})|(?:{units})$", 0).str.strip_chars("+-")
                if own.filter(~gone).n_unique() == 1:
                    text = text.str.replace(rf"^([+-]?)(?:{units})\s*|\s*(?:{units})$", "${1}")
            decimal = how.decimal or ("," if how.thousands == "." else ".")
            if how.thousands:
                sign, point = map(re.escape, (how.thousands, decimal))
                grouped = text.str.contains(rf"^[+-]?\d{{1,3}}({sign}\d{{3}})+({point}\d*)?$")
                text = text.str.replace_all(how.thousands, "", literal=True).zip_with(grouped, text)
            if decimal == ",":
                text = text.str.replace_all(".", "no number", literal=True).str.replace_all(",", ".", literal=True)
            text = text.replace({"true": "1", "false": "0"})
            is_number = text.str.contains(f"^{NUMBER}$")
            cells, odd = text.set(~is_number, None).str.strip_prefix("+"), (~is_number & ~gone).to_numpy()
        values = cells.cast(pl.Float64).to_numpy().copy()
        values[np.isin(values, [float(word) for word in how.na if re.fullmatch(NUMBER, word)])] = np.nan
        return values, odd | np.isinf(values)

    def values(self, name: str, plain: bool = False) -> tuple[np.ndarray, np.ndarray]:
        """Return a column as classes, ids or words (n,), and the mask of missing ones.

        Integers are int64, other numbers float64, and all others strings. `plain`: all are strings.
        """
        import polars as pl

        texts = pl.Series(self.texts(name), dtype=pl.String)
        missing = texts.str.to_lowercase().is_in([*NO_TEXT, *(word.lower() for word in self.columns.na)])
        there, gone = texts.filter(~missing), missing.to_numpy()
        if len(there) and not plain and there.str.contains(CANONICAL).all():
            return texts.set(missing, "0").cast(pl.Int64).to_numpy(), gone
        is_code = plain or not len(there) or there.str.contains(r"^[+-]?0\d|^[a-zA-Z]|^\d{19}").any()
        if not is_code and self.is_number(name):
            return self.parsed(name)[0], gone
        return np.array(texts.to_list(), object), gone

    def column(self, name: str, role: str, plain: bool = False, otherwise: Any = None) -> np.ndarray:
        """Return the `values` of a column that has a role; refuse missing ones, and suggest skipping their lines.

        Where these are many, the cure is `otherwise`.
        """
        found, gone = self.values(name, plain)
        if gone.any():
            got, cure = f"none of {name} in {self.locate(gone.argmax())}", self.without(np.flatnonzero(gone))
            raise ColumnsError(role, got, "a value in each row", cure or otherwise)
        return found

    def without(self, rows: Sequence[int]) -> dict[str, str] | None:
        """Return the options that skip some rows, None if there are too many."""
        lines = self.lines[rows]
        runs = np.split(lines, np.flatnonzero(np.diff(lines) > 1) + 1)
        if len(runs) > MOST_SKIPPED or len(rows) > len(self.lines) // 2:
            return None
        marks = {cell[:1] for i, cell in enumerate(self.texts(self.names[0])) if i in rows}
        if self.is_file_of_text and len(marks) == 1 and not self.columns.comment and re.match(MARK, *marks):
            return {"comment": marks.pop()}
        skipped = [self.columns.skip_lines, *(f"{run[0]}-{run[-1]}" for run in runs)]
        return {"skip_lines": ",".join(filter(None, skipped))}

    def texts(self, name: str) -> list[str]:
        """Return the cells of a column as text (n,), "" where one is missing; 1.0 is 1."""
        import polars as pl

        cells = self.frame[name]
        cells = cells if self.is_text(name) else cells.cast(pl.String).str.strip_suffix(".0")
        return cells.str.strip_chars().fill_null("").to_list()


def factorize(columns: Sequence[np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    """Number distinct rows in order of appearance; return their first rows (k,) and each row's number."""
    import polars as pl

    frame = pl.DataFrame({str(i): values.tolist() for i, values in enumerate(columns)})
    firsts = frame.with_row_index("row").select(pl.col("row").first().over(frame.columns))
    return np.unique(firsts.to_series().to_numpy(), return_inverse=True)


# --- sources of tables ---


def check_installed(name: str, extra: str = "frames") -> None:
    """Raise ImportError, with the extra that has it, if a package is missing."""
    import importlib.util

    if importlib.util.find_spec(name) is None:
        raise ImportError(f'tables need {name}: pip install "cgru[{extra}]"')


def kind_of(path: str | os.PathLike[str]) -> str:
    """Return the kind of a file, by its first bytes or name: "npz" (also a folder), "ts", or the kind of a table.

    Raise ValueError for any other file.
    """
    if os.path.isdir(path):
        return "npz"
    ending = os.path.splitext(os.fspath(path).lower().removesuffix(".gz"))[1]
    with open(path, "rb") as file:
        first = file.read(4)
    if first == b"PAR1":
        return "parquet"
    if first[:2] == b"PK" and ending not in KINDS:
        return "npz"
    if ending not in KINDS or (KINDS[ending] == "parquet" and first):
        raise ValueError(f"expected a whole file whose name ends in {', '.join(KINDS)}, got another")
    return KINDS[ending]


def table_of(source: Any, columns: Columns) -> Table:
    """Read the table in a file, or convert a DataFrame of pandas, Polars or another library that narwhals reads."""
    check_installed("polars")
    if not isinstance(source, str | os.PathLike):
        return _table_of_frame(source, columns)
    path, kind = source, kind_of(source)
    if kind == "text":
        return _table_of_text(path, columns)
    if kind in ("npz", "ts"):
        raise ValueError(f"expected a table, got a file of another kind, {kind}")
    import polars as pl

    if kind == "excel":
        check_installed("fastexcel")
        if zipfile.is_zipfile(path):
            with zipfile.ZipFile(path) as archive:
                check_bytes(sum(each.file_size for each in archive.infolist()), path)
    try:
        with open(path, "rb") as file:  # of its name Polars may make a pattern or an address
            if kind == "parquet":
                lazy = pl.scan_parquet(file)
                check_bytes(8 * lazy.select(pl.len()).collect().item() * len(lazy.collect_schema()), path)
                file.seek(0)
                frame = pl.read_parquet(file)
            elif kind == "json":
                text = file.read()
                frame = (pl.read_json if text.lstrip()[:1] == b"[" else pl.read_ndjson)(text, infer_schema_length=None)
            else:
                return _table_of_sheet(file.read(), columns)
    except (KeyboardInterrupt, SystemExit, ValueError, MemoryError):
        raise
    except BaseException as error:  # a panic of Polars is no Exception
        raise ValueError(f"expected a whole file of its kind, {kind}: {str(error)[:300]}") from None
    return _typed(frame, columns)


def _table_of_sheet(content: bytes, columns: Columns) -> Table:
    """Read a sheet of an Excel file as a table; refuse a title above the names of the columns."""
    import polars as pl

    head, known = int(kept_lines(columns, 1000).argmax()), {"infer_schema_length": None, "drop_empty_rows": False}
    known |= {"read_options": {"header_row": head}, "raise_if_empty": False}
    sheets = {name: frame for name, frame in pl.read_excel(content, sheet_id=0, **known).items() if frame.width}
    if not sheets:
        raise ValueError("expected a table, got empty sheets")
    if len(sheets) > 1 if columns.sheet is None else columns.sheet not in sheets:
        largest = max(sheets, key=lambda name: sheets[name].height * sheets[name].width)
        due = f"one of the sheets {', '.join(sheets)}"
        raise ColumnsError("sheet", columns.sheet or "none", due, {"sheet": largest})
    frame = sheets[columns.sheet or next(iter(sheets))]
    bare = tuple(name for name in frame.columns if name.startswith("__UNNAMED__"))
    full = frame.select(pl.all_horizontal(pl.all().is_not_null())).to_series().arg_max()
    if 2 * len(bare) > len(frame.columns):
        cure = {"skip_lines": str(head + 1 + full)}
        raise ColumnsError("skip_lines", repr(frame.columns[0]), "a name for most columns", cure)
    return _typed(frame, columns, head + 2)._replace(nameless=bare)


def _table_of_frame(frame: Any, columns: Columns) -> Table:
    """Return the table of a DataFrame."""
    check_installed("narwhals")
    import narwhals.stable.v2 as nw
    import polars as pl

    index = [name for name in getattr(getattr(frame, "index", None), "names", ()) if name is not None]
    if index and not {*index} & {*frame.columns}:
        frame = frame.reset_index()
    try:
        found = nw.from_native(frame, eager_only=True)
    except TypeError as error:
        raise TypeError(f"frame: expected a DataFrame, got {type(frame).__name__}: {error}") from None
    if isinstance(frame, pl.DataFrame):
        return _typed(frame, columns)
    series = []
    for cells in found.iter_columns():
        values: Any = cells.to_numpy()
        if not cells.dtype.is_numeric():  # arrays and Series become lists
            pairs = zip(cells.is_null().to_list(), cells.to_list(), strict=True)
            values = [None if lost else value.tolist() if hasattr(value, "tolist") else value for lost, value in pairs]
        series.append(pl.Series(str(cells.name), values, strict=False))
    return _typed(pl.DataFrame(series), columns)


def _typed(frame: Any, columns: Columns, first: int = 1) -> Table:
    """Convert a Polars DataFrame to a table: lists become steps, all other types text or numbers.

    `first` is the number of the first row. Empty rows are left out.
    """
    import polars as pl

    empty = frame.select(pl.all_horizontal(pl.all().is_null())).to_series().to_numpy()
    rows = np.flatnonzero(kept_lines(columns, first - 1 + len(frame))[first - 1 :] & ~empty)
    frame, nested, lines, notes = _unnested(frame[rows]), "", rows + first, ()
    left = [name for name, dtype in frame.schema.items() if name in columns.ignore and not dtype.is_numeric()]
    frame = frame.with_columns(pl.lit("").alias(name) for name in left)
    lists = [name for name, dtype in frame.schema.items() if dtype.base_type() in (pl.List, pl.Array)]
    if lists:
        frame = frame.with_columns(pl.col(name).cast(pl.List(frame[name].dtype.inner)) for name in lists)
        sizes = [frame[name].list.len().fill_null(0) for name in lists]
        for name, own in zip(lists, sizes, strict=True):
            if (own != sizes[0]).any():
                raise _other_cells(columns, name, f"another number of values in row {(own != sizes[0]).arg_max() + 1}")
        nested = next(name for name in ("row", "row_number", "number_of_the_row") if name not in frame.columns)
        lines = np.repeat(lines, sizes[0])
        if lost := (sizes[0] == 0).sum():
            notes = (f"{lost} rows have no steps and are left out",)
        frame = _unnested(frame.filter(sizes[0] > 0).with_row_index(nested).explode(lists))
    for name, dtype in frame.schema.items():
        cells, base = frame[name], dtype.base_type()
        if base in (pl.List, pl.Array):  # within lists
            cells = cells.cast(pl.List(dtype.inner))
            own = [cells.list.get(j, null_on_oob=True).alias(f"{name}_{j}") for j in range(cells.list.len().max())]
            frame = frame.drop(name).with_columns(own)
        elif base in (pl.Struct, pl.Object):
            raise _other_cells(columns, name, str(dtype))
        elif base in (pl.Decimal, pl.Null, pl.Duration):
            cells = cells.dt.total_microseconds() / 1e6 if base == pl.Duration else cells.cast(pl.Float64)
            frame = frame.with_columns(cells.alias(name))
        elif not dtype.is_numeric():  # dates in ISO 8601
            cells = (cells.dt.cast_time_unit("us") if base == pl.Datetime else cells).cast(pl.String, strict=False)
            cells = cells.str.replace(r"\.0{6}", "").str.strip_suffix(" 00:00:00") if dtype.is_temporal() else cells
            frame = frame.with_columns(cells)
    return Table(frame, columns, lines, notes, nested=nested)


def _unnested(frame: Any) -> Any:
    """Return a DataFrame with each field of a struct as its own column: field b of column a becomes a.b."""
    for name, dtype in frame.schema.items():
        if fields := getattr(dtype, "fields", ()):
            own = [f"{name}.{field.name}" for field in fields]
            if not {*own} & {*frame.columns}:
                return _unnested(frame.with_columns(frame[name].struct.rename_fields(own)).unnest(name))
    return frame


def _other_cells(columns: Columns, name: str, got: str) -> ColumnsError:
    """Return the error for a column whose cells cannot be read; it suggests leaving the column out."""
    due = "numbers, text, times or lists of these, as many in all lists of a row"
    return ColumnsError("", f"{got} in {name}", due, {"ignore": (*columns.ignore, name)})


def _table_of_text(path: str | os.PathLike[str], columns: Columns) -> Table:
    """Read the table in a text file."""
    import polars as pl

    text, notes = decode(path)
    cells, lines = split_cells(text, columns)
    first = cells[0].to_list()
    if columns.header is None:
        _check_header(first, cells[1:40].to_list(), lines, columns)
    if columns.header is False:
        first = [f"column_{i + 1}" for i in range(len(first))]
    else:
        cells, lines = cells[1:], lines[1:]
    found: dict[str, Any] = {}
    nameless = []
    for i, name in enumerate(first):
        own = cells.list.get(i)
        if not name or re.fullmatch(r"Unnamed: \d+", name):  # as pandas writes it again
            counts = own.to_list() in ([*map(str, range(k, len(own) + k))] for k in (0, 1))
            if counts or not (own != "").any():  # an index, as pandas and R write it
                continue
            name = f"column_{i + 1}"
            nameless.append(name)
        if name in found:
            again = next(f"{name}_{j}" for j in range(2, len(first) + 2) if f"{name}_{j}" not in {*found, *first})
            notes.append(f"two columns are called {name}: the second is read as {again}")
            name = again
        found[name] = own
    return Table(pl.DataFrame(found), columns, lines, tuple(notes), tuple(nameless), is_file_of_text=True)


def _check_header(first: list[str], rows: list[list[str]], lines: np.ndarray, columns: Columns) -> None:
    """Refuse a first line that cannot be names: numbers, or mostly empty cells above full rows, as in a title.

    Numbers that rise or fall, as those of no row below do, are taken for names in the cure.
    """
    full = next((i for i, row in enumerate(rows, 1) if all(row)), None)
    names, has_number = [*filter(None, first)], [any(re.match(r"\d", cell) for cell in row) for row in rows[:2]]
    is_above_names = len({*names}) < len(names) and full == 1 and has_number == [False, True]
    if len({*names}) < len(names) < len(first) and has_number[:1] == [False] and not is_above_names:
        raise ColumnsError("header", f"{', '.join(names)!r} above others", "names in one line")
    if (len(names) < len(first) / 2 and full) or is_above_names:
        cure = {"skip_lines": ",".join(filter(None, [columns.skip_lines, str(lines[full] - 1)]))}
        raise ColumnsError("skip_lines", f"{', '.join(names)!r}", "a name of its own for most columns", cure)
    numbers = [[float(cell.replace(",", ".")) for cell in row if re.fullmatch(NUMBER, cell.replace(",", "."))]
               for row in (first, *rows[:5])]  # fmt: skip
    if numbers[0]:
        is_sorted = [len(row) > 2 and abs(np.sign(np.diff(row)).sum()) == len(row) - 1 for row in numbers]
        cure = {"header": bool(is_sorted[0]) and not any(is_sorted[1:])}
        raise ColumnsError("header", f"{numbers[0][:3]} in it", "names in the first line", cure)
