"""Reader of tables in text files: CSV in many dialects, as spreadsheets and programs write it."""

from __future__ import annotations

import contextlib
import io
import itertools
import math
import os
import re
from collections.abc import Collection, Iterable, Iterator, Sequence

import numpy as np

from cgru.datasets import missing_values
from cgru.datasets.column_names import IDS, LABELS, check_lengths, is_called
from cgru.datasets.table import INDEX, Table

__all__ = ["DECIMAL", "read_text", "table_of_text"]

DECIMAL = (None, ".", ",")
DENSEST = 100  # bytes of text for each of a gzip file: tables have 2 to 20, a decompression bomb 1000
CHUNK = 1 << 15  # records that are parsed at once
ENOUGH = 5  # numbers in a first line that are no chance where they step evenly
MANY = 8  # numbers in a first line that are no chance where they do not
LOOKED_AT = 1000  # records that are sampled to guess the dialect
SEPARATORS = "\t;|,"  # the comma comes last, as it may be within numbers
MISSING = {"", "na", "n/a", "#n/a", "nan", "null", "none", "?"}  # markers of a missing number
NO_TEXT = {"", "nan", "null", "#n/a", "?"}  # markers of missing text, in which NA and none may be names
NUMBER = r"[+-]?(\d+([.,]\d*)?|[.,]\d+)([eE][+-]?\d+)?"
WITH_COMMA = r"[+-]?\d*,\d+([eE][+-]?\d+)?"
THOUSANDS = r"[+-]?[1-9]\d{0,2}(,\d{3})+"
CODE = r"(?m)^[^\S\n]*[+-]?0\d"  # 007 is a code and no number
PLATE = r"(?m)^[^\S\n]*\d+[eE]\d"  # 1E2 is a code and no number in a column without decimal points


def read_text(path: str | os.PathLike[str]) -> tuple[str, list[str]]:
    """Read and decode a text file, gzipped or not; return its text, and notes on the guessed encoding.

    The encoding is UTF-8, UTF-16 after a byte order mark, or else taken for Windows-1252. Raise ValueError for an empty
    or binary file.
    """
    with open(path, "rb") as file:
        raw = file.read()
    if raw[:2] == b"\x1f\x8b":
        import gzip
        import zlib

        try:
            most = DENSEST * len(raw)
            raw = gzip.GzipFile(fileobj=io.BytesIO(raw)).read(most + 1)
        except (EOFError, OSError, zlib.error) as error:
            raise ValueError(f"expected a whole gzip file: {error}") from None
        if len(raw) > most:
            raise ValueError(f"expected at most {DENSEST} times as many bytes unpacked, got more; gunzip unpacks it")
    if not raw.strip(b"\xef\xbb\xbf\xff\xfe\0 \r\n\t"):
        raise ValueError("expected a table, got an empty file")
    if raw[:2] in (b"\xff\xfe", b"\xfe\xff"):
        return _decoded(raw, "utf-16"), []
    if b"\0" in raw:
        raise ValueError(f"expected text, got a binary file, with a zero at byte {raw.index(0)}")
    try:
        return raw.decode("utf-8-sig"), []
    except UnicodeDecodeError as error:
        line = raw.count(b"\n", 0, error.start) + 1
        return _decoded(raw, "cp1252"), [f"it is no UTF-8 (line {line}): read as Windows-1252"]


def _decoded(raw: bytes, encoding: str) -> str:
    """Decode bytes; raise a ValueError that asks for UTF-8 if they are not in this encoding."""
    try:
        return raw.decode(encoding)
    except UnicodeDecodeError as error:
        raise ValueError(f"expected text in UTF-8: {error}") from None


def table_of_text(
    path: str | os.PathLike[str],
    decimal: str | None = None,
    index: bool = False,
    na: Sequence[str] = (),
    called: Collection[str] = (),
) -> tuple[Table, list[str]]:
    """Read the table in a text file; return it, and notes on guesses. `index`: keep a first column without a name.

    Empty lines, rows without a value, and nameless columns without a value are left out.

    Args:
        path: the file.
        decimal: the decimal sign, "." or ","; None: guessed from the numbers.
        index: whether to keep a first column without a name, unless it counts the rows.
        na: additional markers of a missing value, from `missing_values.as_words`.
        called: names of columns that the file should have, which tell a header with numbers from a row.

    Raises:
        ValueError: anything is invalid; with the line number.
    """
    text, notes = read_text(path)
    text = _blank_comments(text, notes)
    first_line = re.match(r"sep=(.)(?=\r?\n)", text)  # as Excel writes it
    separator, text = (first_line[1], text[first_line.end() :]) if first_line else (_guess_separator(text), text)
    if not separator:
        text, separator = "\n".join("\t".join(line.split()) for line in text.splitlines()), "\t"
        notes.append("spaces separate the columns")
    if not text.strip(f"{SEPARATORS} \r\n"):
        raise ValueError("expected a table, got no values")
    first = list(itertools.islice(_records(text, separator), LOOKED_AT))
    named = _is_header(first, called, notes)
    names = [name.strip() for name in first[0][1]] if named else [f"column_{i + 1}" for i in range(len(first[0][1]))]
    if named and len(first) == 1:
        raise ValueError(f"expected rows below the header in line {first[0][0]}, got none")

    def below(row: int) -> Iterator[tuple[int, list[str]]]:
        """Yield (line number, cells) of each record from `row` on, with cells that are in `na` emptied."""
        for line, record in itertools.islice(_records(text, separator), row + named, None):
            yield line, ["" if cell.strip().lower() in na else cell for cell in record] if na else record

    sign = _guess_decimal(itertools.islice(below(0), LOOKED_AT), separator) if decimal is None else decimal
    if separator == sign:
        raise ValueError(f"decimal: expected another sign than {separator!r}, which separates the columns")
    if decimal is None and sign == ",":
        notes.append("numbers have a decimal comma")
    wanted = missing_values.numbers_in(na, lambda word: _number(word, sign))
    parts: list[list[np.ndarray]] = [[] for _ in names]
    records, rows = below(0), 0
    while chunk := list(itertools.islice(records, CHUNK)):
        rows += len(chunk)
        for line, record in chunk:
            if len(record) != len(names):
                raise ValueError(f"line {line}: expected {len(names)} cells, as in the first, got {len(record)}")
        for part, cells in zip(parts, zip(*(record for _, record in chunk), strict=True), strict=True):
            values = _parse_column(cells, sign)
            gone = missing_values.is_any_of(values, wanted)
            part.append(np.where(gone, np.nan, values) if gone.any() else values)

    def cells_of(i: int) -> np.ndarray:
        """Read the cells of column i as text."""
        return _stripped(record[i] for _, record in below(0))

    is_mixed = [len({some.dtype == object for some in part}) > 1 for part in parts]  # with text in only some chunks
    joined = [cells_of(i) if is_mixed[i] else np.concatenate(part) for i, part in enumerate(parts)]
    kept = _check_names(names, joined, notes, index)
    columns = dict(zip(kept, joined, strict=True))
    columns.pop("", None)

    def locate(row: int) -> str:
        """Return where a row of the table is in the file, for errors."""
        return f"line {next(below(row))[0]}"

    def read(name: str) -> tuple[np.ndarray, np.ndarray]:
        """Return the values of a column (n,), and the mask of missing ones (n,)."""
        values = columns[name]
        if values.dtype == object:
            return values, np.array([value.strip().lower() in NO_TEXT for value in values])
        return values, np.isnan(values) if values.dtype.kind == "f" else np.zeros(len(values), bool)

    def number(cell: str) -> float:
        """Parse a cell as a number with the decimal `sign`; NaN if it is missing or one of the numbers of `na`."""
        value = _number(cell, sign)
        return math.nan if value in wanted else value

    found = Table(list(columns), rows, read, locate, number, named, na=na, decimal=sign)
    return found._replace(cells=lambda name: cells_of(kept.index(name))), notes


# --- the dialect ---


def _blank_comments(text: str, notes: list[str]) -> str:
    """Return the text with the lines at the top that begin with # blank, but the last if it looks like a header."""
    found = re.match(r"(#[^\r\n]*(\r\n|\r|\n))+", text)
    below = re.compile(r"\S[^\r\n]*").search(text, found.end()) if found else None
    if not below:
        return text
    (*above, last), first = found[0].splitlines(), below[0].strip()
    alike = [last.count(separator) == first.count(separator) for separator in SEPARATORS if separator in first]
    numbers = any(re.fullmatch(NUMBER, cell) for cell in re.split(rf"[{SEPARATORS} ]", first))
    if numbers and (any(alike) if alike else len(last.strip("# ").split()) == len(first.split())):
        last = re.sub(rf"^#+ *(?=[^{SEPARATORS} ])", "", last)  # a column may be called #
    else:
        above, last = [*above, last], ""
    if above:
        notes.append(f"lines at the top that begin with # are left out: {len(above)}")
    return "\n" * len(above) + last + "\n" * bool(last) + text[found.end() :]


def _records(text: str, separator: str) -> Iterator[tuple[int, list[str]]]:
    """Yield the records that are not empty, each with the number of its first line."""
    import csv  # here, like gzip above, to keep the import of the package fast

    reader = csv.reader(io.StringIO(text, newline=""), delimiter=separator, skipinitialspace=True, strict=True)
    line = 1
    try:
        for record in reader:
            if any(map(str.strip, record)):
                yield line, record
            line = reader.line_num + 1
    except csv.Error as error:
        raise ValueError(f"line {line}: expected cells as CSV has them: {error}") from None


def _guess_separator(text: str) -> str:
    """Guess the separator of the cells; "" stands for spaces."""
    found = []
    for separator in SEPARATORS:
        try:
            widths = [len(record) for _, record in itertools.islice(_records(text, separator), 50)]
        except ValueError:
            continue
        if widths and widths[0] > 1:
            found.append((widths.count(widths[0]) == len(widths), separator))
    if found:
        return max(found, key=lambda each: each[0])[1]
    lines = [line for line in itertools.islice(io.StringIO(text), 50) if line.strip()]
    if lines and re.match(r'\s*"[^"]*" +"', lines[0]):
        due = "tabs, ;, | or commas to separate cells in quotes"
        raise ValueError(f"expected {due}, got spaces; R has these by write.csv")
    widths = {len(line.split()) for line in lines}
    return "" if len(widths) == 1 and '"' not in text and max(widths) > 1 else ","


def _is_header(records: Sequence[tuple[int, list[str]]], called: Collection[str], notes: list[str]) -> bool:
    """Return whether the first of the records is a header: names, or numbers that step as those of columns do.

    A record with numbers gets a note where it is one, or looks like one and is none. `called` are names of columns that
    the file should have. Raise ValueError if the record mixes names and numbers.
    """
    (line, record), *below = records
    cells = [cell.strip() for cell in record]
    numbers = [cell for cell in cells if re.fullmatch(NUMBER, cell)]
    if not numbers:
        return True
    rows = [row for _, row in below if len(row) == len(cells)]
    columns = not cells[0] and numbers == [*map(str, range(len(cells) - 1))]  # pandas' default names
    steps, known = len(numbers) > 2 and _direction(numbers) != 0, {*numbers}
    named = any(cell in called for cell in cells if cell not in known) or (steps and {*called} >= known)
    unnamed = not named and any(re.fullmatch(r"column_\d+", name) for name in called)
    shown = ", ".join([*numbers[:3], *["..."] * (len(numbers) > 3)])
    if columns or named or (steps and not unnamed and _steps_as_names(cells, numbers, rows)):
        notes.append(f"the first line, with {shown}, is taken for a header")
        return True
    if len(numbers) < len(cells) - 1:
        due = "a header with names, or numbers but for a label"
        raise ValueError(f"line {line}: expected {due}, got {numbers[0]} in it")
    doubt = f"; the first line, with {shown}, is taken for a row: a letter before its numbers makes them names"
    doubt = doubt if steps and len(numbers) >= ENOUGH else ""
    notes.append(f"no header: the columns are called column_1 to column_{len(cells)}{doubt}")
    return False


def _steps_as_names(cells: Sequence[str], numbers: Sequence[str], rows: Sequence[Sequence[str]]) -> bool:
    """Return whether the `cells` of a first line, whose `numbers` rise or fall, are names of the columns of `rows`.

    They are where a word stands above numbers, or is called as an id or a label is. Else the word is new, and the
    numbers step evenly as no row does, or there are many and no row rises or falls. Without a word they are integers
    by 1, or step evenly, or are also unlike all numbers below.
    """
    known = {*numbers}
    words = {i: cell for i, cell in enumerate(cells) if cell not in known and cell.lower() not in MISSING}
    under = {i: [row[i].strip() for row in rows] for i in words}
    if any(word in under[i] for i, word in words.items()):
        return False
    if any(is_called(word, IDS) or is_called(word, LABELS) for word in words.values()):
        return True
    if any(under[i] and all(re.fullmatch(NUMBER, cell) for cell in under[i]) for i in words):
        return True
    even, values = _are_even(numbers), _floats(numbers)
    counts = values[1] - values[0] == 1 and all(map(str.isdecimal, numbers))
    if even and values[1] > values[0] and (words or counts or not cells[0]):  # an index may have no name
        return True
    own = [[row[i].strip() for i, cell in enumerate(cells) if cell in known] for row in rows]
    own = [row for row in own if all(re.fullmatch(NUMBER, cell) for cell in row)]
    if not own or len(numbers) < ENOUGH:
        return False
    if even:
        return not any(map(_are_even, own))
    inside = np.concatenate([*map(_floats, own)])
    apart = values.min() > inside.max() or values.max() < inside.min()
    return bool((words or (apart and len(numbers) >= MANY)) and not any(map(_direction, own)))


def _floats(numbers: Sequence[str]) -> np.ndarray:
    """Return numbers (n,) with a decimal point or comma as reals."""
    return np.array([float(number.replace(",", ".")) for number in numbers])


def _direction(numbers: Sequence[str]) -> int:
    """Return 1 if numbers rise at each step, -1 if they fall, else 0."""
    steps = np.diff(_floats(numbers))
    return int((steps > 0).all()) - int((steps < 0).all())


def _are_even(numbers: Sequence[str]) -> bool:
    """Return whether numbers rise or fall by equal steps."""
    steps = np.diff(_floats(numbers))
    return bool(steps.all() and np.ptp(steps) < 1e-6 * abs(steps.mean()))


def _guess_decimal(records: Iterable[tuple[int, list[str]]], separator: str) -> str:
    """Guess the decimal sign from the records; raise ValueError if all commas may separate thousands."""
    if separator == ",":
        return "."
    cells = [cell.strip() for _, record in records for cell in record if "," in cell]
    some = [cell for cell in cells if re.fullmatch(WITH_COMMA, cell)]
    if some and all(re.fullmatch(THOUSANDS, cell) for cell in some):
        cure = 'decimal="," says that it is, and without commas in the file there are none'
        raise ValueError(f"expected numbers with one reading, got {some[0]}, whose comma is decimal or not; {cure}")
    return "," if some else "."


def _check_names(names: list[str], columns: Sequence[np.ndarray], notes: list[str], index: bool) -> list[str]:
    """Return the names of the columns, "" for ones to leave out (a first one stays with `index`); add notes."""
    check_lengths(names)
    kept, places = list(names), {}
    for i, name in enumerate(names):
        if name and not re.fullmatch(r"Unnamed: \d+", name):
            if (first := places.setdefault(name, i)) < i:
                raise ValueError(f"expected columns of different names, got {name!r} as {first + 1} and {i + 1}")
            continue
        kept[i], values = "", columns[i]
        if i == 0 and values.dtype.kind == "i" and (np.diff(values) == 1).all() and values[0] in (0, 1):
            notes.append("left out the first column, which has no name and counts the rows")
        elif values.dtype == object or not np.isnan(values).all():
            if i or not index:
                cure = "; pandas leaves an index out by index=False" if i == 0 else ""
                raise ValueError(f"expected a name for each column, got none for column {i + 1}{cure}")
            kept[0] = INDEX
    return kept


# --- the cells ---


def _number(cell: str, sign: str) -> float:
    """Parse a cell as a number with the decimal `sign`, NaN if it is missing; raise ValueError if it is no number."""
    cell = cell.strip()
    if cell.lower() in MISSING:
        return math.nan
    if "_" in cell or (sign == "," and "." in cell):
        raise ValueError(cell)
    return float(cell.replace(",", ".") if sign == "," else cell)


def _parse_column(cells: Sequence[str], sign: str) -> np.ndarray:
    """Parse a column's cells, by the decimal `sign`, as integers, or else reals, NaN for missing ones, or else text."""
    joined, text = "\n".join(cells), np.array(cells, dtype=object)
    pointed = re.search("[.,]", joined)
    if "_" in joined or re.search(CODE, joined) or (not pointed and re.search(PLATE, joined)):
        return _stripped(cells)
    try:
        for dtype in (np.int64, np.float64) if sign == "." or not pointed else (np.int64,):
            with contextlib.suppress(ValueError):  # missing cells and decimal commas are parsed one by one below
                return text.astype(dtype)
        values = np.array([_number(cell, sign) for cell in cells])
    except (OverflowError, ValueError):  # OverflowError: very long integers are ids, and would be equal as reals
        return _stripped(cells)
    words = np.isnan(values).all() and any(cell.strip().lower() not in NO_TEXT for cell in cells)
    return _stripped(cells) if words else values


def _stripped(cells: Iterable[str]) -> np.ndarray:
    """Return cells as an array of stripped strings (objects)."""
    return np.array([cell.strip() for cell in cells], dtype=object)
