"""Series out of tables: a row for each time, a column for each series, or all series one under the other."""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from cgru.datasets.calendar import Calendar, Times, calendar_of, times_of
from cgru.datasets.table import check_ids

__all__ = ["Series", "read_series", "series_from_frame"]

_VALUE = re.compile(r"[-+.\d][-+.:eETZQ \d]*")  # a number or a time


@dataclass(frozen=True)
class Series:
    """One series.

    Attributes:
        name: the column, or the value of the id column.
        y: the values (n,), NaN where one is missing, the first and the last there.
        X: what is known beside it at each step, (n, e); None: nothing.
        times: (n,), regular; counted from 0 where the table has none.
        calendar: the step between them.
        time: the column that they come from, "step" without one.
    """

    name: str
    y: np.ndarray
    X: np.ndarray | None
    times: Times
    calendar: Calendar
    time: str

    def times_at(self, places: Any) -> np.ndarray:
        """The times at these places, which may lie beyond the last."""
        return self.calendar.at(self.times.values[0], np.asarray(places))

    def written(self, places: Any) -> list[str]:
        """The same as the table has them."""
        return self.times.written(self.times_at(places))


def read_series(path: str | os.PathLike[str], **options: Any) -> list[Series]:
    """The series in a CSV file, by pandas or else Polars; `options` as `series_from_frame`.

    ImportError where narwhals or both of these are not installed; ValueError for a file that is no table.
    """
    nw = _narwhals("read_series")
    for backend in ("pandas", "polars"):
        try:
            frame = nw.read_csv(os.fspath(path), backend=backend)
        except ModuleNotFoundError:
            continue
        except OSError:
            raise
        except Exception as error:  # each backend has parsers' errors of its own
            raise ValueError(f"{os.fspath(path)}: expected a CSV file with a line of names: {error}") from None
        if all(_VALUE.fullmatch(name) for name in frame.columns):
            got = ", ".join(frame.columns[:5])
            raise ValueError(f"{os.fspath(path)}: expected a line of names at the top, got values: {got}")
        return series_from_frame(frame.to_native(), **options)
    raise ImportError("read_series: pandas is missing: pip install pandas")


def series_from_frame(
    frame: Any,
    *,
    target: str | Sequence[str] | None = None,
    time: str | None = None,
    id: str | None = None,
    inputs: Sequence[str] = (),
    time_format: str | None = None,
    gaps: bool = False,
) -> list[Series]:
    """The series in a table of pandas, Polars or whatever else narwhals reads, each sorted by time.

    Args:
        frame: the table; its columns alone, an index of pandas becomes one by `reset_index()`.
        target: the column to forecast, or several, which are a series each; None: the one column of numbers that has
            no other role.
        time: the column of times, as `times_of` takes them; None: the first that is called so (time, date, month,
            year, ...) or holds datetimes, or the first of the table where it has no numbers or no name; where
            there is none, rows are steps.
        id: the column that says which series a row belongs to; None: all belong to one.
        inputs: columns that are known beside the target.
        time_format: how times are written, as for strptime, where they are not in ISO's form.
        gaps: whether times may be missing, as values may; else the first gap is refused, by place.

    ImportError: narwhals is not installed. ValueError or TypeError: a column is missing or has no numbers, a time is
    missing, twice there or between two steps; with the place.
    """
    nw = _narwhals("series_from_frame")
    try:
        table = nw.from_native(frame, eager_only=True)
    except TypeError:
        raise TypeError(f"frame: expected a DataFrame of pandas or Polars, got {type(frame).__name__}") from None
    if not len(table):
        raise ValueError("frame: expected at least one row, got none")
    time = _time(table, nw) if time is None else time
    for role, name in (("time", time), ("id", id), *(("inputs", name) for name in inputs)):
        if name is not None and name not in table.columns:
            raise ValueError(f"{role}: expected one of the columns {', '.join(table.columns)}, got {name!r}")
    targets = _targets(table, target, {time, id, *inputs})
    if id is not None and len(targets) > 1:
        raise ValueError(f"target: expected one column beside id, got {', '.join(targets)}")
    rows = {target: np.arange(len(table)) for target in targets}
    names = {target: target for target in targets}
    if id is not None:
        labels = _whole(table[id], id)
        check_ids(labels, id)
        labels = list(map(str, labels))
        rows = {label: np.flatnonzero(np.array(labels) == label) for label in dict.fromkeys(labels)}
        names = dict.fromkeys(rows, targets[0])
    times = None if time is None else times_of(_whole(table[time], time), time, time_format)
    if time is not None and getattr(table[time].dtype, "time_zone", None):
        times = times._replace(form=times.form.replace("day", "second"), zone="Z")  # UTC, in which days have 24 hours
    found = []
    for label, places in rows.items():
        where = time if id is None else f"{time} of {label}"
        y = _numbers(table[names[label]], names[label])[places]
        X = np.column_stack([_numbers(table[name], name)[places] for name in inputs]) if inputs else None
        if times is None:
            own, calendar = Times(np.arange(len(y)), "number"), Calendar("numbers", 1)
        else:
            order = np.argsort(times.values[places], kind="stable")
            own = times._replace(values=times.values[places][order])
            calendar = calendar_of(own.values, where)
            y, X, own = _regular(y[order], X if X is None else X[order], own, calendar, where, gaps)
        found.append(_trimmed(label, y, X, own, calendar, _called(time)))
    return found


def _called(time: str | None) -> str:
    if time is None:
        return "step"
    return "time" if _is_index(time) else time


def _narwhals(caller: str) -> Any:
    try:
        import narwhals.stable.v2 as nw
    except ImportError:
        raise ImportError(f"{caller}: narwhals is missing: pip install narwhals pandas") from None
    return nw


def _is_index(name: str) -> bool:
    """Whether a column is the index of a frame that was written with it, as readers call it."""
    return name.strip() in ("", "Unnamed: 0")


_TIMES = ("time", "date", "datetime", "timestamp", "month", "quarter", "week", "day", "year", "period")


def _time(table: Any, nw: Any) -> str | None:
    """The column of times, where one can be told."""
    for name in table.columns:
        if name.lower() in _TIMES or table[name].dtype in (nw.Datetime, nw.Date):
            return name
    first = table.columns[0]
    kind = table[first].dtype
    if len(table.columns) > 1 and (_is_index(first) or not (kind.is_numeric() or kind == nw.Boolean)):
        return first
    return None


def _targets(table: Any, target: str | Sequence[str] | None, taken: set[str | None]) -> list[str]:
    if target is not None:
        targets = [target] if isinstance(target, str) else list(target)
        for name in targets:
            if name not in table.columns or name in taken:
                due = ", ".join(each for each in table.columns if each not in taken)
                raise ValueError(f"target: expected one of the columns {due}, got {name!r}")
        if len(set(targets)) < len(targets):
            raise ValueError(f"target: expected each column once, got {', '.join(targets)}")
        return targets
    others = [name for name in table.columns if name not in taken and not _is_index(name)]
    numeric = [name for name in others if table[name].dtype.is_numeric()]
    if len(numeric) != 1:
        raise ValueError(f"target: expected the column to forecast, one of {', '.join(numeric) or 'none with numbers'}")
    return numeric


def _whole(values: Any, name: str) -> Any:
    lost = np.flatnonzero(_lost(values))
    if lost.size:
        raise ValueError(f"{name}: expected a value in each row, got none in row {lost[0]}")
    return values.to_numpy()


def _lost(values: Any) -> np.ndarray:
    missing = np.asarray(values.is_null().to_numpy())
    if values.dtype.is_float():
        missing = missing | np.asarray(values.is_nan().fill_null(True).to_numpy())
    return missing


def _numbers(values: Any, name: str) -> np.ndarray:
    if not values.dtype.is_numeric():
        raise TypeError(f"{name}: expected numbers, got {_first_word(values)}")
    lost = _lost(values)
    numbers = np.full(len(lost), np.nan)
    numbers[~lost] = values.filter((~lost).tolist()).to_numpy()
    return numbers


def _first_word(values: Any) -> str:
    """What in a column is no number, with its row."""
    for i, value in enumerate(values.to_list()):
        try:
            float(value)
        except (TypeError, ValueError):
            if value is not None:
                return f"{value!r} in row {i}"
    return str(values.dtype)


def _regular(
    y: np.ndarray, X: np.ndarray | None, times: Times, calendar: Calendar, where: str, gaps: bool
) -> tuple[np.ndarray, np.ndarray | None, Times]:
    """The same with NaN at the steps that the table lacks, which are refused unless `gaps`."""
    places = np.round(calendar.places(times.values)).astype(np.int64)
    n = int(places[-1]) + 1
    if n == len(y):
        return y, X, times
    if not gaps:
        i = int(np.flatnonzero(np.diff(places) > 1)[0])
        last, following = times.written(times.values[i : i + 2])
        raise ValueError(
            f"{where}: expected regular times, {calendar}, got a gap from {last} to {following}; gaps=True fills it"
        )
    if n > 10 * len(y):
        raise ValueError(f"{where}: expected at least a tenth of all times, {calendar}, got {len(y)} of {n}")
    whole = np.full(n, np.nan)
    whole[places] = y
    beside = None
    if X is not None:
        beside = np.full((n, X.shape[1]), np.nan)
        beside[places] = X
    return whole, beside, times._replace(values=calendar.at(times.values[0], np.arange(n)))


def _trimmed(name: str, y: np.ndarray, X: np.ndarray | None, times: Times, calendar: Calendar, time: str) -> Series:
    """From the first value that is there to the last."""
    known = np.flatnonzero(~np.isnan(y))
    if not known.size:
        raise ValueError(f"{name}: expected at least one value, got none")
    part = slice(known[0], known[-1] + 1)
    return Series(name, y[part], X if X is None else X[part], times._replace(values=times.values[part]), calendar, time)
