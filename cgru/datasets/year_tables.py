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
    """Where the steps stand: of each, the row, the column, and the time; the column of years or months."""

    rows: np.ndarray
    columns: list[str]
    times: list[str]
    used: str


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
    left = [name for name in table.names if name not in {*found.columns, found.used, id}]
    notes += [f"left out, as no {step} is called so: {', '.join(left)}"] if left else []
    over = [
        f"{_texts(table, found.used)[i]} in {table.place(i)}" for i in range(table.rows) if i not in set(found.rows)
    ]
    notes += [f"left out, as no {found.used or 'row'} is called so: {', '.join(over)}"] if over else []
    return Unfolded(Table(list(called), len(values), read, place, na=table.na), step, "value", tuple(notes))


def _by_years(table: Table, free: Sequence[str], time: str | None) -> _Cells | None:
    """Return the steps of a table with a row for each year, whose columns are all twelve months, or four quarters."""
    columns = _steps(free)
    rest = [name for name in free if name not in columns]
    named = [name for name in rest if part_of(name) == "year"] or [name for name in rest[:1] if name in table.names[:1]]
    found = ((name, _years(table, name)) for name in ([time] if time else named))
    year, years = next(((name, years) for name, years in found if years), ("", {}))
    if not columns or not years:
        return None
    rows = np.repeat(list(years), len(columns))
    times = [f"{each}{step}" for each in years.values() for step in columns.values()]
    return _Cells(rows, list(columns) * len(years), times, year)


def _by_months(table: Table, free: Sequence[str], time: str | None) -> _Cells | None:
    """Return the steps of a table with a column for each year, whose rows are all twelve months, or four quarters."""
    years = [name for name in free if re.fullmatch(YEAR, name.strip())]
    rest = [name for name in free if name not in years]
    if len(years) < 2:
        return None
    for name in [time] if time else rest:
        texts = _texts(table, name)
        steps = _steps(texts)
        others = [text for text in texts if text not in steps]
        if steps and len(steps) + len(others) == table.rows and _are_sums(others, table.rows):
            rows = np.tile([texts.index(text) for text in steps], len(years))
            columns = [year for year in years for _ in steps]
            return _Cells(rows, columns, [f"{year.strip()}{step}" for year in years for step in steps.values()], name)
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


def _texts(table: Table, name: str) -> list[str]:
    """Return the cells of a column as texts, "" where one is missing."""
    values, missing = table.read(name)
    texts = [str(value).strip().removesuffix(".0") for value in values.tolist()]
    return ["" if gone else text for text, gone in zip(texts, missing, strict=True)]


def _are_sums(texts: Sequence[str], rows: int) -> bool:
    """Return whether the rows of a table that are no steps are few, and called as means and totals are."""
    return 4 * len(texts) <= rows and all(re.search(r"[^\W\d_]", text) and not re.search(r"\d", text) for text in texts)


def _years(table: Table, name: str) -> dict[int, int]:
    """Return the year that each row of a column has, but for a few with means or totals; {} where others have none."""
    texts = _texts(table, name)
    years = {i: int(text) for i, text in enumerate(texts) if re.fullmatch(r"[12]\d{3}", text)}
    return years if _are_sums([text for i, text in enumerate(texts) if i not in years], table.rows) else {}
