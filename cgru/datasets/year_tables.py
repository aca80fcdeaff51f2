"""Year tables, years by months or quarters: unfolded to a table with a row for each step of the series."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np

from cgru.datasets.date_parts import months_in, part_of
from cgru.datasets.table import Table

__all__ = ["Unfolded", "unfold"]

YEAR = r"1[4-9]\d\d|20\d\d|21\d\d"
TWO_YEARS = r"[12]\d{3} ?[-/\u2013] ?(?:\d\d)?\d\d"  # a fiscal year, 1990-91
QUARTER = r"(?i)(?:q|qtr|quarter|quartal|trim|t)[ ._-]?([1-4])|([1-4])\.? ?(?:q|qtr|quarter|quartal|trim)"


class Unfolded(NamedTuple):
    """A year table unfolded to a row for each step.

    Attributes:
        table: the new table.
        time: its column of times.
        target: its column of values.
        notes: sentences about what was guessed.
        years: the column of years or months in the year table.
        left: columns of the year table that are no steps.
    """

    table: Table
    time: str
    target: str
    notes: tuple[str, ...]
    years: str
    left: list[str]


class _Cells(NamedTuple):
    """The cells of a year table in the order of time.

    Attributes:
        rows: the row of each step.
        columns: the column of each step.
        times: the time of each step, as text.
        used: the column of years or months.
        doubt: the reason why the years of some steps are unknown, "" if they are known.
    """

    rows: np.ndarray
    columns: list[str]
    times: list[str]
    used: str
    doubt: str = ""


def unfold(table: Table, id: str | None = None, time: str | None = None, timed: bool = True) -> Unfolded | None:
    """Unfold a table with a row, or a column, for each year to one with a row for each month or quarter; else None.

    Args:
        table: the table.
        id: the column that identifies the series of a row.
        time: the column with the years or months; None: guessed.
        timed: whether times are needed. If so, months that may be of another year are refused.

    Returns:
        The unfolded table; None if `table` is no year table.

    Raises:
        TypeError, ValueError: a cell is no number, or the year of a month is unknown; with the place.
    """
    free = [name for name in table.names if name not in (id, time)]
    found = _by_years(table, free, time) or (_by_months(table, free, time) if id is None else None)
    if found is None:
        return None
    if found.doubt and timed:
        raise ValueError(f'{found.used}: expected {found.doubt}; time="" takes cells as steps')
    step = "quarter" if "Q" in found.times[0] else "month"
    numbers = {name: table.numbers(name) for name in dict.fromkeys(found.columns)}
    values = np.array([numbers[name][row] for row, name in zip(found.rows, found.columns, strict=True)])
    called = {step: np.array(found.times, object), "value": values}
    if id is not None:
        called[id] = table.column(id)[found.rows]

    def read(name: str) -> tuple[np.ndarray, np.ndarray]:
        """Return the values of a column (n,), and the mask of missing ones (n,)."""
        column = called[name]
        return column, np.isnan(column) if name == "value" else np.zeros(len(column), bool)

    def locate(i: int) -> str:
        """Return which cell of the year table value i is from, for errors."""
        return f"{table.locate(int(found.rows[i]))} under {found.columns[i]}"

    years = "rows are years and columns" if found.columns[0] != found.columns[1] else "columns are years and rows"
    notes = [f"{years} are {step}s: read as one series"]
    left = [name for name in table.names if name not in {*found.columns, found.used, id}]
    notes += [f"left out, as no {step} is called so: {', '.join(left)}"] if left else []
    texts = _texts(table, found.used)
    over = [f"{texts[i]} in {table.locate(i)}" for i in sorted(set(range(table.rows)) - set(found.rows.tolist()))]
    notes += [f"left out, as no {found.used or 'row'} is called so: {', '.join(over)}"] if over else []
    steps = Table(list(called), len(values), read, locate, na=table.na)
    return Unfolded(steps, step, "value", tuple(notes), found.used, left)


def _by_years(table: Table, free: Sequence[str], time: str | None) -> _Cells | None:
    """Return the cells of a table with a row for each year and a column for each month or quarter; else None."""
    columns = _steps(free)
    rest = [name for name in free if name not in columns]
    named = [name for name in rest if part_of(name) == "year"] or [name for name in table.names[:1] if name in rest]
    found = ((name, _years(table, name)) for name in ([time] if time else named))
    year, years = next(((name, years) for name, years in found if years), ("", {}))
    if not columns or not years:
        return None
    ordered, doubt = _as_they_stand(free, columns)
    rows = sorted(years, key=years.__getitem__)
    two = next((text for text in _texts(table, year) if re.fullmatch(TWO_YEARS, text)), "")
    doubt = f"a year in each row, got {two}, of which months may be of either" if two else doubt
    times = [f"{years[row]}{step}" for row in rows for step in ordered.values()]
    return _Cells(np.repeat(rows, len(columns)), list(ordered) * len(years), times, year, doubt)


def _by_months(table: Table, free: Sequence[str], time: str | None) -> _Cells | None:
    """Return the cells of a table with a column for each year and a row for each month or quarter; else None."""
    years = [name for name in free if re.fullmatch(YEAR, name.strip())]
    rest = [name for name in free if name not in years]
    if len(years) < 2:
        return None
    for name in [time] if time else rest:
        texts = _texts(table, name)
        steps = _steps(texts)
        others = [text for text in texts if text not in steps]
        if steps and len(steps) + len(others) == table.rows and _are_sums(others, table.rows):
            steps, doubt = _as_they_stand(texts, steps)
            rows = np.tile([texts.index(text) for text in steps], len(years))
            columns = [year for year in years for _ in steps]
            times = [f"{year.strip()}{step}" for year in years for step in steps.values()]
            return _Cells(rows, columns, times, name, doubt)
    return None


def _as_they_stand(names: Sequence[str], steps: Mapping[str, str]) -> tuple[dict[str, str], str]:
    """Return the steps of a year in order, and the reason to doubt that order or "".

    If `names` are in cyclic order but begin with another month, keep their order and doubt it: fiscal and hydrological
    years begin later, and their last months are of the next calendar year.
    """
    known, there = list(steps), [name for name in names if name in steps]
    first = known.index(there[0])
    if first == 0 or there != known[first:] + known[:first]:
        return dict(steps), ""
    got = f"got {there[0]} to {there[-1]}, of which some may be of another year"
    return {name: steps[name] for name in there}, f"steps from {known[0]} to {known[-1]}, {got}"


def _steps(names: Sequence[str]) -> dict[str, str]:
    """Return the names that are the 12 months or 4 quarters of a year, in order, with the suffix "-01" or "Q1" of each.

    {} unless all are there.
    """
    named = {name: months_in([name]) for name in names}
    months = months_in([name for name, found in named.items() if found])
    if sorted(months.values()) == list(range(1, 13)):
        return {name: f"-{month:02}" for name, month in sorted(months.items(), key=lambda each: each[1])}
    quarters = {name: found[1] or found[2] for name in names if (found := re.fullmatch(QUARTER, name.strip()))}
    if sorted(quarters.values()) == list("1234"):
        return {name: f"Q{quarter}" for name, quarter in sorted(quarters.items(), key=lambda each: each[1])}
    return {}


def _texts(table: Table, name: str) -> list[str]:
    """Return the cells of a column as text, "" for a missing one."""
    values, missing = table.read(name)
    texts = [str(value).strip().removesuffix(".0") for value in values.tolist()]
    return ["" if gone else text for text, gone in zip(texts, missing, strict=True)]


def _are_sums(texts: Sequence[str], rows: int) -> bool:
    """Return whether `texts`, the names of rows that are no steps, are few and words such as mean and total."""
    return 4 * len(texts) <= rows and all(re.search(r"[^\W\d_]", text) and not re.search(r"\d", text) for text in texts)


def _years(table: Table, name: str) -> dict[int, int]:
    """Return the year of each row by its index, except for a few rows of means or totals; {} if other rows lack one."""
    texts = _texts(table, name)
    years = {i: int(text[:4]) for i, text in enumerate(texts) if re.fullmatch(rf"[12]\d{{3}}|{TWO_YEARS}", text)}
    return years if _are_sums([text for i, text in enumerate(texts) if i not in years], table.rows) else {}
