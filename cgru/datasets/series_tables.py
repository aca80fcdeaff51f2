"""Time series out of tables, for forecasts: a row for each time, and a column for each series or a column of ids."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from cgru.datasets.column_roles import likely_roles, numbers_of, resolve_roles
from cgru.datasets.columns import Columns, ColumnsError
from cgru.datasets.missing_values import notes_on_sentinels
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
            [5, 20]
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


def series_from_frame(
    frame: Any, how: Columns | None = None, /, *, inputs: str | Sequence[str] = (), known: str | Sequence[str] = (),
    gaps: bool = False, **options: Any,
) -> list[Series]:  # fmt: skip
    """Convert a DataFrame of pandas, Polars or another library that narwhals reads to series, each sorted by time.

    Args:
        frame: the table. A pandas index that has a name is a column, too.
        how: as for `read_series`.
        inputs: as for `read_series`.
        known: as for `read_series`.
        gaps: as for `read_series`.
        **options: fields of `Columns`, which replace those in `how`.

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
    how = (how or Columns()).changed(**options)
    return with_whole_cure(frame, lambda table: _series(table, inputs, known, gaps), how)


def _series(table: Table, inputs: str | Sequence[str], known: str | Sequence[str], gaps: bool) -> list[Series]:
    """Convert a table to its series by its `columns`; errors as of `read_series`."""
    inputs, known = ([each] if isinstance(each, str) else list(each) for each in (inputs, known))
    how = table.columns
    given = how.id if how.id is not None else tuple(name for name in table.names if name.casefold() == "id")[:1]
    how = resolve_roles(table, how.changed(id=given, columns=how.columns or None))
    for role, names in (("inputs", inputs), ("known", known)):
        if lost := [name for name in names if name not in table.names]:
            raise ValueError(f"{role}: expected some of the columns {', '.join(table.names)}, got {lost[0]!r}")
    targets = how.label
    taken, is_timeless = {*targets, *inputs, *known, *how.id, *how.ignore}, not how.time and table.columns.time is None
    likely = likely_roles(table, how.changed(id=how.id or None, time=None, columns=None)) if is_timeless else {}
    time = likely.get("time", ())
    if not targets:
        targets = tuple(name for name in how.columns if name not in (*inputs, *known, *how.time))
        plain = [name for name in targets if name not in time]
        numeric = [name for name in plain if not table.parsed(name)[1].any()]
        targets = tuple(numeric) if len(numeric) == 1 else targets
        if len(targets) != 1:
            got, cure = ", ".join(targets) or "none", {"label": tuple((numeric or plain)[:1])} if plain else None
            raise ColumnsError("label", got, "the column to forecast, by label", cure)
    if is_timeless and (time or not how.label) and {*table.names} - {*taken, *targets}:
        id = {"id": likely["id"]} if likely.get("id") and table.columns.id is None and "wide" not in likely else {}
        raise ColumnsError("time", "none", "a column of times", id | {"time": tuple(time)})
    if how.id and len(targets) > 1:
        raise ColumnsError("label", ", ".join(targets), "one column where id tells the series apart")
    numbers = numbers_of(table, how, list(dict.fromkeys((*targets, *inputs, *known))), "label")
    rows, found, header = rows_of(table, how), [], " ".join(how.time) or "step"
    for id, (start, end) in zip(rows.ids, rows.bounds, strict=True):
        own = rows.order[start:end]
        at = np.arange(len(own)) if rows.clock is None else rows.clock.values[own]
        if rows.clock is not None and rows.clock.is_dated:
            at = at.astype("datetime64[us]")
        for target in targets:
            name = str(id) if how.id else target
            X, later = (np.column_stack([numbers[each][own] for each in names]) if names else None
                        for names in (inputs, known))  # fmt: skip
            columns = [numbers[each][own] for each in (target, *inputs, *known)]
            notes = (*table.notes, *notes_on_sentinels(np.column_stack(columns), [name, *inputs, *known]))
            where = f"{header} of {name}" if how.id else header
            step = Step(1, "numbers") if rows.clock is None else infer_step(at, where)
            one = Series(name, numbers[target][own], X, at, step, header, how.changed(parts=1), notes, later)
            found.append(_trimmed(_with_gaps(one, where, gaps)))
    return found


def _with_gaps(series: Series, where: str, gaps: bool) -> Series:
    """Return a series with NaN at missing times; refuse missing times unless `gaps`."""
    places = np.round(series.step.places(series.times)).astype(np.int64)
    n = int(places[-1]) + 1
    if n == len(places):
        return series
    if not gaps:
        first = int(np.argmax(np.diff(places) > 1))
        got = f"a gap between {' and '.join(series.written([first, first + 1]))}"
        due = f"{where} at each step of {series.step} (gaps=True, or --missing interpolate, fills them)"
        raise ColumnsError("time", got, due, in_order_of_rows(series.columns, series.columns.time))
    if n > 10 * len(places):
        raise ValueError(f"{where}: expected at least a tenth of all times, {series.step}, got {len(places)} of {n}")
    times, y = series.step.at(series.times[0], np.arange(n)), np.full(n, np.nan)
    times[places], y[places] = series.times, series.y
    more = {}
    for name in ("X", "known"):
        if (values := getattr(series, name)) is not None:
            more[name] = np.full((n, values.shape[1]), np.nan)
            more[name][places] = values
    return replace(series, y=y, times=times, **more)


def _trimmed(series: Series) -> Series:
    """Cut missing values off both ends of a series; refuse one without any value.

    Known inputs keep their steps after the last value, up to the last that has all of them.
    """
    values = np.flatnonzero(~np.isnan(series.y))
    if not values.size:
        raise ValueError(f"{series.name}: expected at least one value, got none")
    part = slice(values[0], values[-1] + 1)
    X, known, whole = None if series.X is None else series.X[part], None, part
    if series.known is not None:
        complete = np.flatnonzero(~np.isnan(series.known).any(axis=1))
        whole = slice(part.start, max(part.stop, complete.max(initial=-1) + 1))
        known = series.known[whole]
    return replace(series, y=series.y[part], X=X, times=series.times[whole], known=known)
