"""Read time series for forecasts from tables: a row for each time; a column for each series, or a column of ids."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from cgru.datasets.column_roles import likely_roles, numbers_of, resolve_roles
from cgru.datasets.columns import Columns, ColumnsError
from cgru.datasets.read_files import with_whole_cure
from cgru.datasets.table import Table
from cgru.datasets.table_sequences import rows_of
from cgru.datasets.time_columns import Step, in_order_of_rows, infer_step

__all__ = ["Series", "read_series", "series_from_frame"]


@dataclass(frozen=True)
class Series:
    r"""One time series with regular times.

    Attributes:
        name: the column, or the value of the id column.
        y: the values (n,), NaN for a missing one; the first and the last are not missing.
        X: the inputs at each step (n, e), or None.
        times: the times (n,): datetime64, in UTC if they have offsets, or numbers; 0, 1, ... if the table has no
            times. With `known` they go on to its end (n + f,).
        step: the step between two times.
        time: the column of times, or several joined with spaces, or "step" if there is none.
        columns: how the table was read.
        notes: sentences about how the table was read.
        known: inputs known in the future (n + f, c), for the f steps after y too that the table has; or None.

    Examples:
        >>> import pathlib
        >>> rows = ["date,sales", "2024-01-31,5", "2024-02-29,7", "2024-03-31,6"]
        >>> _ = pathlib.Path("sales.csv").write_text("\n".join(rows))
        >>> (series,) = cgru.datasets.read_series("sales.csv")
        >>> series.name, series.y.tolist(), series.written([2, 3])  # the step after the last one, too
        ('sales', [5.0, 7.0, 6.0], ['2024-03-31', '2024-04-30'])
        >>> str(series.step)
        '1 month'
    """

    name: str
    y: np.ndarray
    X: np.ndarray | None
    times: np.ndarray
    step: Step
    time: str
    columns: Columns
    notes: tuple[str, ...] = ()
    known: np.ndarray | None = None

    def times_at(self, places: Any) -> np.ndarray:
        """Return the times at the steps `places`, which may be in the future.

        Args:
            places: indices of steps (k,), from 0.

        Returns:
            The times (k,).

        Raises:
            ValueError: a time is past the year 9999.

        Examples:
            >>> import polars
            >>> (series,) = cgru.datasets.series_from_frame(polars.DataFrame({"time": [0, 5, 10], "y": [1, 2, 3]}))
            >>> series.times_at([1, 4]).tolist()
            [5.0, 20.0]
        """
        places, last = np.asarray(places), len(self.times) - 1
        later = self.step.at(self.times[last], np.maximum(places - last, 0))
        found = np.where(places <= last, self.times[np.minimum(places, last)], later)
        if found.dtype.kind == "M" and (found >= np.datetime64("10000-01-01")).any():
            raise ValueError(f"{self.time}: expected times up to the year 9999, got {found.max()}")
        return found

    def written(self, places: Any) -> list[str]:
        """Format the times at the steps `places`, by `time_format` or ISO 8601.

        Args:
            places: as for `times_at`.

        Returns:
            The texts.

        Examples:
            >>> import polars
            >>> frame = polars.DataFrame({"date": ["2024-01-30", "2024-01-31"], "y": [1, 2]})
            >>> cgru.datasets.series_from_frame(frame)[0].written([0, 2])
            ['2024-01-30', '2024-02-01']
        """
        found = self.times_at(places)
        if found.dtype.kind != "M":
            return [f"{value:.12g}" for value in found.tolist()]
        form, both = self.columns.time_format, np.concatenate([self.times, found.ravel()])
        if form:
            return [each.strftime(form) for each in found.astype("datetime64[us]").tolist()]
        unit = next(unit for unit in ("D", "m", "s", "us") if (both.astype(f"datetime64[{unit}]") == both).all())
        return [text.replace("T", " ") for text in np.datetime_as_string(found, unit=unit).tolist()]


def read_series(
    path: str | os.PathLike[str], how: Columns | None = None, /, *, inputs: str | Sequence[str] = (),
    known: str | Sequence[str] = (), gaps: bool = False, **options: Any,
) -> list[Series]:  # fmt: skip
    r"""Read the series in a table, each sorted by time.

    Args:
        path: the file, as for `read`.
        how: what each column is, as for `read`. `label` is the column to forecast, or several, each a series; None:
            the column of that name, else the only one without another role. `id` is the column that tells series apart.
        inputs: columns that are known along with the target.
        known: columns of inputs that are known in the future, too. The rows after the last value of a target, in which
            its cell is empty, have their values of the future.
        gaps: whether times may be missing, which are filled with NaN; else the first gap is refused, with its place.
        **options: fields of `Columns`, which replace those in `how`.

    Returns:
        The series.

    Raises:
        OSError: the file cannot be opened.
        ImportError: Polars is not installed.
        ColumnsError: the table needs another option; `cure` has those that mend it.
        ValueError: anything else is invalid.

    Examples:
        >>> import pathlib
        >>> rows = ["date,shop,sales", *(f"2024-05-0{day},{shop},{day}" for shop in "ab" for day in (1, 2, 3))]
        >>> _ = pathlib.Path("shops.csv").write_text("\n".join(rows))
        >>> found = cgru.datasets.read_series("shops.csv", label="sales", id="shop")
        >>> [(series.name, series.y.tolist()) for series in found]
        [('a', [1.0, 2.0, 3.0]), ('b', [1.0, 2.0, 3.0])]
    """
    how = (how or Columns()).changed(**options)
    return with_whole_cure(path, lambda table: _series(table, inputs, known, gaps), how)


def series_from_frame(frame: Any, how: Columns | None = None, /, **options: Any) -> list[Series]:
    """Convert a DataFrame of pandas, Polars or another library that narwhals reads to series, each sorted by time.

    Args:
        frame: the table. A pandas index that has a name is a column, too.
        how: as for `read_series`.
        **options: as for `read_series`.

    Returns:
        The series.

    Raises:
        ImportError: narwhals or Polars is not installed.
        ColumnsError: the table needs another option; `cure` has those that mend it.
        TypeError, ValueError: anything else is invalid.

    Examples:
        >>> import polars
        >>> frame = polars.DataFrame({"date": ["2024-01", "2024-02", "2024-04"], "sales": [5, 7, 6]})
        >>> (series,) = cgru.datasets.series_from_frame(frame, gaps=True)
        >>> series.y.tolist(), series.written([2])
        ([5.0, 7.0, nan, 6.0], ['2024-03-01'])
    """
    return read_series(frame, how, **options)


def _series(table: Table, inputs: str | Sequence[str], known: str | Sequence[str], gaps: bool) -> list[Series]:
    """Convert a table to series by its `columns`; raises the errors of `read_series`."""
    inputs, known = ([each] if isinstance(each, str) else list(each) for each in (inputs, known))
    for role, names in (("inputs", inputs), ("known", known)):
        if lost := [name for name in names if name not in table.names]:
            raise ValueError(f"{role}: expected some of the columns {', '.join(table.names)}, got {lost[0]!r}")
    said = table.columns
    id = said.id if said.id is not None else [name for name in table.names if name.casefold() == "id"]
    how = resolve_roles(table, said.changed(id=id, columns=said.columns or None))
    is_timeless = not how.time and said.time is None
    likely = likely_roles(table, how.changed(id=how.id or None, time=None, columns=None)) if is_timeless else {}
    time = likely.get("time", ())
    if not (targets := how.label):
        targets = [name for name in how.columns if name not in (*inputs, *known, *how.time)]
        plain = [name for name in targets if name not in time]
        numeric = [name for name in plain if table.is_number(name)]
        numeric.sort(key=lambda name: (np.diff(table.parsed(name)[0]) > 0).all())  # counters come last
        targets = numeric if len(numeric) == 1 else targets
        if len(targets) != 1:
            cure = {"label": (numeric or plain)[:1]} if plain else None
            raise ColumnsError("label", ", ".join(targets) or "none", "the column to forecast, by label", cure)
    others = {*table.names} - {*targets, *inputs, *known, *how.id, *how.ignore}
    if is_timeless and others and (time or not how.label):
        id = {"id": likely["id"]} if likely.get("id") and said.id is None and "wide" not in likely else {}
        raise ColumnsError("time", "none", "a column of times", id | {"time": time})
    if how.id and len(targets) > 1:
        raise ColumnsError("label", ", ".join(targets), "one column where id tells the series apart")
    numbers = numbers_of(table, how, list(dict.fromkeys((*targets, *inputs, *known))), "label")
    rows, found, header = rows_of(table, how), [], " ".join(how.time) or "step"
    for id, own in zip(rows.ids, rows.cut(rows.order), strict=True):
        at, step = np.arange(len(own)), Step(1, "numbers")
        where = f"{header} of {id}" if how.id else header
        if rows.clock is not None:
            at = rows.clock.values[own].astype("datetime64[us]" if rows.clock.is_dated else None)
            step = infer_step(at, where)
        for target in targets:
            values = np.column_stack([numbers[each][own] for each in (target, *inputs, *known)])
            name, settled = str(id) if how.id else target, how.changed(parts=1)
            one = Series(name, values[:, 0], None, at, step, header, settled, table.notes)
            found.append(_whole(one, values, len(inputs), where, gaps))
    return found


def _whole(series: Series, values: np.ndarray, e: int, where: str, gaps: bool) -> Series:
    """Fill in a series from columns (n, 1 + e + c): its values, e inputs, and c inputs known in the future.

    Missing times get NaN, or are refused unless `gaps`. Missing values are cut off both ends of the series; known
    inputs keep their steps after the last value, up to the last that has all of them.
    """
    step, times = series.step, series.times
    places = step.places(times)
    n = int(places[-1]) + 1
    if n > len(places) and not gaps:
        first = int(np.argmax(np.diff(places) > 1))
        got, cure = series.written([first, first + 1]), in_order_of_rows(series.columns, series.columns.time)
        due = f"{where} at each step of {step} (gaps=True, or --missing interpolate, fills them)"
        raise ColumnsError("time", f"a gap between {' and '.join(got)}", due, cure)
    if n > 10 * len(places):
        raise ValueError(f"{where}: expected at least a tenth of all times, {step}, got {len(places)} of {n}")
    if n > len(places):
        given, found = times, values
        times, values = step.at(times[0], np.arange(n)), np.full((n, found.shape[1]), np.nan)
        times[places], values[places] = given, found
    there = np.flatnonzero(~np.isnan(values[:, 0]))
    if not there.size:
        raise ValueError(f"{series.name}: expected at least one value, got none")
    part = whole = slice(there[0], there[-1] + 1)
    X, known = values[part, 1 : e + 1] if e else None, None
    if values.shape[1] > e + 1:
        complete = np.flatnonzero(~np.isnan(values[:, e + 1 :]).any(axis=1))
        whole = slice(part.start, max(part.stop, complete.max(initial=-1) + 1))
        known = values[whole, e + 1 :]
    return replace(series, y=values[part, 0], X=X, times=times[whole], known=known)
