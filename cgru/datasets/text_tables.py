"""Split text files such as CSV, gzipped or not, into cells.

Polars splits the lines; a file with quotes goes through the csv module. Every line must have as many cells as the
first: a preamble, a row of units or a footer is refused, with the lines to skip as the cure.
"""

from __future__ import annotations

import contextlib
import csv
import gzip
import io
import os
import re
import zlib
from typing import Any

import numpy as np

from cgru.datasets.columns import Columns, ColumnsError

__all__ = ["NUMBER", "decode", "kept_lines", "split_cells"]

DENSEST = 100  # bytes of text for each of a gzip file: tables have 2 to 20, a decompression bomb 1000
WIDEST = 1 << 11  # columns, each of which takes time
SAMPLE = 200  # records by which the separator is chosen
SEPARATORS = "\t;|,"  # the comma comes last, as it may be within numbers
NUMBER = r"[+-]?(\d+(\.\d*)?|\.\d+)([eE][+-]?\d+)?"
MARK = r"[^\w\s.+\"'-]"  # a sign that begins neither a number nor a name


def decode(path: str | os.PathLike[str]) -> tuple[str, list[str]]:
    """Return the text of a file, gzipped or not, and notes on its encoding.

    The encoding is UTF-8, UTF-16 after a byte order mark, or else Windows-1252. Raise ValueError for a binary file.
    """
    with open(path, "rb") as file:
        raw = file.read()
    if raw[:2] == b"\x1f\x8b":
        most = DENSEST * len(raw)
        try:
            raw = gzip.GzipFile(fileobj=io.BytesIO(raw)).read(most + 1)
        except (EOFError, OSError, zlib.error) as error:
            raise ValueError(f"expected a whole gzip file: {error}") from None
        if len(raw) > most:
            raise ValueError(f"expected at most {DENSEST} times as many bytes unpacked, got more; gunzip unpacks it")
    if not raw.strip(b"\xef\xbb\xbf\xff\xfe\0 \r\n\t"):
        raise ValueError("expected a table, got an empty file")
    is_utf16 = raw[:2] in (b"\xff\xfe", b"\xfe\xff")
    if b"\0" in raw and not is_utf16:
        raise ValueError(f"expected text, got a binary file, with a zero at byte {raw.index(0)}")
    for encoding in ("utf-16",) if is_utf16 else ("utf-8-sig", "cp1252"):
        with contextlib.suppress(UnicodeDecodeError):
            text = raw.decode(encoding).replace("\u2212", "-")  # a typographic minus
            return text, ["it is not UTF-8, and is read as Windows-1252"] * (encoding == "cp1252")
    raise ValueError("expected text in UTF-8, UTF-16 or Windows-1252, got other bytes")


def split_cells(text: str, columns: Columns) -> tuple[Any, np.ndarray]:
    """Split a text into cells; return (records (n,), lists of texts in Polars, their line numbers (n,)).

    Lines that `columns` leaves out, and records without a value, are left out. Raise ColumnsError unless all have as
    many cells as the first.
    """
    import polars as pl

    lines = text.replace("\r\n", "\n").replace("\r", "\n").split("\n")
    kept = kept_lines(columns, len(lines))
    if columns.comment:
        kept &= [not line.lstrip().startswith(columns.comment) for line in lines]
    numbers = np.flatnonzero(kept)
    lines = [lines[i] for i in numbers]
    separator = columns.separator or _guess_separator([line for line in lines if line.strip()][:SAMPLE])
    if separator == " ":  # runs of white space
        lines = [" ".join(line.split()) for line in lines]
    if '"' in text:
        records, numbers = _quoted(lines, numbers, separator)
        cells = pl.Series(records, dtype=pl.List(pl.String))
    else:
        cells = pl.Series(lines, dtype=pl.String).str.split(separator)
    cells = cells.list.eval(pl.element().str.strip_chars())
    filled = (cells.list.eval(pl.element().str.len_bytes()).list.sum() > 0).to_numpy()
    cells, numbers = cells.filter(filled), numbers[filled] + 1
    if not len(cells):
        raise ValueError("expected a table, got no values")
    widths = cells.list.len().to_numpy()
    if widths.max() > WIDEST:
        raise ValueError(f"expected at most {WIDEST} columns, got {widths.max()}")
    if len(widths) > 1 < widths[0] and (widths[1:] == widths[0] + 1).all():
        if (cells[1:].list.get(-1) == "").all():  # a separator ends each row
            cells = cells.list.head(int(widths[0]))
        else:  # R writes names of rows without a name for their column
            cells = pl.concat([pl.Series([["", *cells[0]]]), cells[1:]])
    elif (widths != widths[0]).any():
        raise _ragged(cells, widths, numbers, columns)
    return cells, numbers


def kept_lines(columns: Columns, n: int) -> np.ndarray:
    """Return the mask of the lines (n,) that `skip_lines` keeps."""
    kept = np.ones(n, bool)
    for part in (columns.skip_lines or "0").split(","):
        first, _, last = part.rpartition("-")
        kept[max(int(first or 1), 1) - 1 : int(last)] = False
    return kept


def _quoted(lines: list[str], numbers: np.ndarray, separator: str) -> tuple[list[list[str]], np.ndarray]:
    """Return the records of lines with quotes, and the index of the first line of each."""
    reader = csv.reader((f"{line}\n" for line in lines), delimiter=separator, skipinitialspace=True, strict=True)
    records, starts = [], [0]
    try:
        for record in reader:
            records.append(record)
            starts.append(reader.line_num)
    except csv.Error as error:
        raise ValueError(f"line {numbers[starts[-1]] + 1}: expected cells as CSV has them: {error}") from None
    return records, numbers[starts[:-1]]


def _guess_separator(lines: list[str]) -> str:
    """Return the separator that splits most lines into as many cells; refuse spaces."""
    found = []
    for rank, separator in enumerate(SEPARATORS):
        with contextlib.suppress(csv.Error):
            widths = [len(record) for record in csv.reader(lines, delimiter=separator, skipinitialspace=True)]
            usual = max(widths, key=widths.count, default=0)
            found += [(widths.count(usual), -rank, separator)] * (usual > 1)
    if not found and min((len(line.split()) for line in lines), default=0) > 1:
        raise ColumnsError("separator", "spaces", "tabs, ;, | or commas between the cells", {"separator": " "})
    return max(found)[2] if found else ","


def _ragged(cells: Any, widths: np.ndarray, numbers: np.ndarray, columns: Columns) -> ColumnsError:
    """Return the error for lines with different numbers of cells; it suggests skipping the unusual ones.

    Lines with the usual number of cells stay. Odd ones in front are a preamble, with all lines above the header.
    """
    usual = int(np.bincount(widths).argmax())
    odd, head = np.flatnonzero(widths != usual), int(np.argmax(widths == usual))
    first = cells[int(odd[0])].to_list()
    got = f"{len(first)} in line {numbers[odd[0]]}: {', '.join(first)[:60]!r}"
    sign, *others = {cells[int(i)][0][:1] for i in odd}
    cure = None
    if not others and re.fullmatch(MARK, sign) and not cells[head][0].startswith(sign):
        cure = {"comment": sign}
    elif len(odd) - head <= 20 and usual > 1:
        above = str(numbers[head] - 1) if head else ""
        below = [f"{line}-{line}" for line in numbers[odd[odd > head]]]
        cure = {"skip_lines": ",".join(filter(None, [columns.skip_lines, above, *below]))}
    return ColumnsError("skip_lines", got, f"{usual} cells in each line, as most have", cure)
