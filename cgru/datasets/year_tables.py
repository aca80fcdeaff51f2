"""Tables of years by months or quarters, each of whose cells is a step of one series, as tables with a row a step."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from cgru.datasets.date_parts import months_in, part_of
from cgru.datasets.table import Table

__all__ = ["Unfolded", "unfolded"]

YEAR = r"1[4-9]\d\d|20\d\d|21\d\d"
QUARTER = r"(?i)(?:q|qtr|quarter|quartal|trim|t)[ ._-]?([1-4])|([1-4])\.? ?(?:q|qtr|quarter|quartal|trim)"


class Unfolded(NamedTuple):
    """A table with a row for each step, its columns of times and values, and what was guessed, in words."""

    table: Table
    time: str
    target: str
    notes: tuple[str, ...]


class _Cells(NamedTuple):
    """Where the steps stand: of each, the row, the column, and the time; the columns that have another role."""

    rows: np.ndarray
    columns: list[str]
    times: list[str]
    used: set[str]


def unfolded(table: Table, id: str | None = None, time: str | None = None) -> Unfolded | None:
    """Return the table with a row for each month or quarter, where it has a row for each year or a column for each.

    `id` is the column that says which series a row belongs to, `time` that with the years or months; None: whatever
    looks so. None where the table is another. TypeError or ValueError, with the place, for a cell that is no number.
    """
    free = [name for name in table.names if name not in (id, time)]
    found = _by_years(table, free, time) or (_by_months(table, free, time) if id is None else None)
    if found is None:
        return None
    step = "quarter" if "Q" in found.times[0] else "month"
    numbers = {name: table.numbers(name) for name in dict.fromkeys(found.columns)}
    values = np.array([numbers[name][row] for row, name in zip(found.rows, found.columns, strict=True)])
    called = {step: np.array(found.times, object), "value": values}
    if id is not None:
        called[id] = table.column(id)[found.rows]

    def read(name: str) -> tuple[np.ndarray, np.ndarray]:
        column = called[name]
        return column, np.isnan(column) if name == "value" else np.zeros(len(column), bool)

    def place(i: int) -> str:
        return f"{table.place(int(found.rows[i]))} under {found.columns[i]}"

    years = "rows are years and columns" if found.columns[0] != found.columns[1] else "columns are years and rows"
    notes = [f"{years} are {step}s: read as one series"]
    left = [name for name in table.names if name not in {*found.columns, *found.used, id}]
    notes += [f"left out, as no {step} is called so: {', '.join(left)}"] if left else []
    return Unfolded(Table(list(called), len(values), read, place, na=table.na), step, "value", tuple(notes))


def _by_years(table: Table, free: Sequence[str], time: str | None) -> _Cells | None:
    """Return the steps of a table with a row for each year, whose columns are all twelve months, or four quarters."""
    columns = _steps(free)
    rest = [name for name in free if name not in columns]
    named = [name for name in rest if part_of(name) == "year"] or [name for name in rest[:1] if name in table.names[:1]]
    year = time or next((name for name in named if _has_years(table, name)), None)
    if not columns or year is None or not _has_years(table, year):
        return None
    years = table.column(year).astype(np.int64)
    rows = np.repeat(np.arange(table.rows), len(columns))
    times = [f"{years[row]}{step}" for row in range(table.rows) for step in columns.values()]
    return _Cells(rows, list(columns) * table.rows, times, {year})


def _by_months(table: Table, free: Sequence[str], time: str | None) -> _Cells | None:
    """Return the steps of a table with a column for each year, whose rows are all twelve months, or four quarters."""
    years = [name for name in free if re.fullmatch(YEAR, name.strip())]
    rest = [name for name in free if name not in years]
    if len(years) < 2 or table.rows not in (4, 12):
        return None
    for name in [time] if time else rest:
        values, missing = table.read(name)
        texts = [str(value).strip().removesuffix(".0") for value in values.tolist()]
        steps = {} if missing.any() else _steps(texts)
        if len(steps) == table.rows:
            rows = np.tile([texts.index(text) for text in steps], len(years))
            columns = [year for year in years for _ in steps]
            return _Cells(rows, columns, [f"{year.strip()}{step}" for year in years for step in steps.values()], {name})
    return None


def _steps(names: Sequence[str]) -> dict[str, str]:
    """Return the names that are all months or all quarters of a year, by time, and what to write behind the year."""
    named = {name: months_in([name]) for name in names}
    months = months_in([name for name, found in named.items() if found])
    if sorted(months.values()) == list(range(1, 13)):
        return {name: f"-{month:02}" for name, month in sorted(months.items(), key=lambda each: each[1])}
    quarters = {name: found[1] or found[2] for name in names if (found := re.fullmatch(QUARTER, name.strip()))}
    if sorted(quarters.values()) == list("1234"):
        return {name: f"Q{quarter}" for name, quarter in sorted(quarters.items(), key=lambda each: each[1])}
    return {}


def _has_years(table: Table, name: str) -> bool:
    """Return whether a column has whole numbers that may be years."""
    values, missing = table.read(name)
    if values.dtype.kind not in "iuf" or missing.any():
        return False
    return bool(((values % 1 == 0) & (values >= 1000) & (values < 3000)).all())
