"""Readers of time series in tables: a row for each time, and a column for each series or a column of ids."""

from __future__ import annotations

import contextlib
import functools
import os
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import numpy as np

from cgru.datasets import missing_values as filling
from cgru.datasets.column_names import ROWS, TIMES, as_arg, as_names, check_choice, date_and_time, is_called, time_hint
from cgru.datasets.date_parts import order_of_parts, parts_in
from cgru.datasets.decimal_years import decimal_years, odd_year
from cgru.datasets.files import table_of
from cgru.datasets.table import INDEX, Table, check_ids, factorize_rows, table_of_frame
from cgru.datasets.text import DECIMAL
from cgru.datasets.time_columns import LOOKED_AT, find_hour, id_candidates
from cgru.datasets.time_frequency import Frequency, infer_frequency
from cgru.datasets.time_parsing import Times, parse_times
from cgru.datasets.time_zones import Clock, clock_of_zone
from cgru.datasets.where import Locator
from cgru.datasets.year_tables import Unfolded, unfold

__all__ = ["Series", "read_series", "series_from_frame"]

TIMES_TOO = f"{TIMES}|month|quarter|week|year|period|monat|quartal|woche|jahr|tag"  # names, in lower case
# The form in which joined times are written, by their smallest part.
SMALLEST = {"second": "second", "minute": "minute", "clock": "minute", "hour": "minute", "day": "day", "yday": "day",
            "week": "day", "month": "month", "quarter": "quarter"}  # fmt: skip
HOLIDAYS, HOLIDAYS_SHARE = 10, 0.1  # missing weekdays that may be holidays: in succession, and as a share of all


@dataclass(frozen=True)
class Series:
    r"""One time series with regular times.

    Attributes:
        name: the column, or the value of the id column.
        y: the values (n,), NaN for a missing one; the first and the last are not missing.
        X: the inputs at each step (n, e), or None.
        times: the times (n,), in UTC if there is a `clock`; 0, 1, ... if the table has no times. Beside `known` they go
            on to its end (n + f,).
        calendar: the frequency of the times.
        time: the column of times, or several joined with spaces, or "step" if there is none.
        notes: sentences about what was guessed.
        clock: converts times to local time; None for times without a known time zone or UTC offsets.
        known: inputs known in the future (n + f, c), for the f steps after y too that the table has; or None.

    Examples:
        >>> import pathlib
        >>> rows = ["month,sales", "2024-01,5", "2024-02,7", "2024-03,6"]
        >>> _ = pathlib.Path("sales.csv").write_text("\n".join(rows))
        >>> (series,) = cgru.datasets.read_series("sales.csv")
        >>> series.name, series.y.tolist(), series.written([2, 3])  # the step after the last one, too
        ('sales', [5.0, 7.0, 6.0], ['2024-03', '2024-04'])
        >>> series.times_at([3]).astype("datetime64[D]").tolist()
        [datetime.date(2024, 4, 1)]
    """

    name: str
    y: np.ndarray
    X: np.ndarray | None
    times: Times
    calendar: Frequency
    time: str
    notes: tuple[str, ...] = ()
    clock: Clock | None = None
    known: np.ndarray | None = None

    def times_at(self, places: Any) -> np.ndarray:
        """Return the times at the steps `places`, which may be in the future: local times if they have a time zone.

        Args:
            places: indices of steps (k,), from 0.

        Returns:
            The times (k,).

        Raises:
            ValueError: a time is past the year 9999.
        """
        moments = self._moments(np.asarray(places))
        return moments if self.clock is None else self.clock.local(moments)

    def written(self, places: Any) -> list[str]:
        """Format the times at the steps `places` as the table has them.

        Args:
            places: as for `times_at`.

        Returns:
            The texts.
        """
        moments = self._moments(np.asarray(places))
        return self.times.written(moments, None if self.clock is None else self.clock.offsets_at(moments))

    def _moments(self, places: np.ndarray) -> np.ndarray:
        """Return the times at the steps `places`, in UTC if they have a `clock`."""
        known, last = self.times.values, len(self.times.values) - 1
        times = self.calendar.at(known[last], np.maximum(places - last, 0))
        return np.where(places <= last, known[np.minimum(places, last)], times)


class _ColumnSpec(NamedTuple):
    """The options of `series_from_frame`, with names of columns as tuples."""

    target: tuple[str, ...] | None = None
    time: tuple[str, ...] | None = None
    id: str | None = None
    inputs: tuple[str, ...] = ()
    known: tuple[str, ...] = ()
    time_format: str | None = None
    gaps: bool = False

    @classmethod
    def of(cls, **options: Any) -> _ColumnSpec:
        """Build the spec from the options as the user passes them."""
        names = {role: options.get(role) for role in ("target", "time", "inputs", "known")}
        return cls(**options | {role: as_names(each, role) for role, each in names.items() if each is not None})


def read_series(
    path: str | os.PathLike[str], *, decimal: str | None = None, na: filling.NA | None = None, **options: Any
) -> list[Series]:
    r"""Read the series in a table, a text file (with NumPy alone) or Parquet, by the same rules as `read`.

    Args:
        path: the file.
        decimal: the decimal sign of a text file, "." or ","; None: guessed from its numbers.
        na: one or more additional markers of a missing value, as for `read`.
        **options: those of `series_from_frame`.

    Returns:
        The series, sorted by time.

    Raises:
        OSError: the file cannot be opened.
        ImportError: no library for Parquet is installed.
        ValueError: anything else is invalid; with the file, line and column.

    Examples:
        >>> import pathlib
        >>> rows = ["day,shop,sales", *(f"2024-05-0{day},{shop},{day}" for shop in "ab" for day in (3, 1, 2))]
        >>> _ = pathlib.Path("shops.csv").write_text("\n".join(rows))
        >>> found = cgru.datasets.read_series("shops.csv", target="sales", time="day", id="shop")
        >>> [(series.name, series.y.tolist()) for series in found]
        [('a', [1.0, 2.0, 3.0]), ('b', [1.0, 2.0, 3.0])]
    """
    check_choice("decimal", decimal, DECIMAL)
    spec, words = _ColumnSpec.of(**options), filling.as_words(na)
    try:
        table, notes = table_of(path, decimal, index=True, na=words)
        if not table.has_header:
            first = ", ".join(str(table.read(name)[0][0]) for name in table.names[:5])
            raise ValueError(f"expected a line of names at the top, got values: {first}")
        found = []
        for each in _series(table, spec):
            columns = each.y[:, None] if each.X is None else np.column_stack([each.y, each.X])
            doubts = filling.notes_on_sentinels(columns, [each.name, *spec.inputs])
            doubts += [] if each.known is None else filling.notes_on_sentinels(each.known, spec.known)
            found.append(replace(each, notes=(*notes, *each.notes, *doubts)))
        return found
    except (TypeError, ValueError) as error:
        raise ValueError(f"{os.fspath(path)}: {error}") from None


def series_from_frame(
    frame: Any,
    *,
    target: str | Sequence[str] | None = None,
    time: str | Sequence[str] | None = None,
    id: str | None = None,
    inputs: Sequence[str] = (),
    known: Sequence[str] = (),
    time_format: str | None = None,
    gaps: bool = False,
) -> list[Series]:
    """Convert a DataFrame of pandas, Polars or any other library that narwhals reads to series, each sorted by time.

    A year table, of years by months or quarters, is one series, unless a target is named.

    Args:
        frame: the table. A pandas index that has times or a name is a column, too.
        target: the column to forecast, or several, each a series. None: the only column of numbers without another
            role.
        time: the column of times: dates in text, integers, datetimes or decimal years. "": each row is a step. Several
            columns are joined: parts of a date, such as a year and a month, or a date and a time of day.

            None: guessed among the columns without another role. A column called as times are (time, date, month, year,
            ...) or of datetimes is taken first, if no time is twice in a series. Then come columns whose text is times,
            decimal years, and a first column without numbers or name. If there is none, each row is a step.
        id: the column that identifies the series of a row; None: all rows are one series.
        inputs: columns that are known beside the target. In these and in targets, true is 1 and false 0.
        known: columns of inputs that are known in the future, too. The rows after the last value of a target, in which
            its cell is empty, have their values of the future.
        time_format: the format of the times, as for strptime; None: guessed.
        gaps: whether times may be missing, which are filled with NaN; else the first gap is refused, with its place.

    Returns:
        The series.

    Raises:
        ImportError: narwhals is not installed.
        TypeError, ValueError: a column is missing or has no numbers, or a time is missing, double or between two steps;
            with the place.

    Examples:
        >>> import polars
        >>> frame = polars.DataFrame({"month": ["2024-02", "2024-01", "2024-04"], "sales": [7, 5, 6]})
        >>> (series,) = cgru.datasets.series_from_frame(frame, target="sales", time="month", gaps=True)
        >>> series.y.tolist(), series.written([2])
        ([5.0, 7.0, nan, 6.0], ['2024-03'])
    """
    names = {"target": target, "time": time, "inputs": inputs, "known": known}
    spec = _ColumnSpec.of(**names, id=id, time_format=time_format, gaps=gaps)
    return _series(table_of_frame(_with_index(frame), "series_from_frame"), spec)


def _with_index(frame: Any) -> Any:
    """Return a pandas DataFrame with its index as columns, if the index has times or names; others unchanged."""
    index = getattr(frame, "index", None)
    if index is None or not hasattr(frame, "columns"):
        return frame
    names = set(getattr(index, "names", ())) - {None}
    times = str(getattr(index, "dtype", "")).startswith(("datetime64", "period"))
    return frame.reset_index() if (names or times) and not names & set(frame.columns) else frame


def _series(table: Table, spec: _ColumnSpec) -> list[Series]:
    """Convert a table to its series, by the specified columns and guesses; errors as of `series_from_frame`."""
    if (by_steps := _unfold_years(table, spec)) is not None:
        time = () if spec.time == () else (by_steps.time,)
        source, table, spec = table, by_steps.table, spec._replace(time=time, target=(by_steps.target,))
    id, inputs, known = spec.id, spec.inputs, spec.known
    time = _guess_time(table, spec) if spec.time is None else spec.time
    notes = () if by_steps is None else by_steps.notes
    if spec.time is None and len(time) > 1:
        notes += (f"{' with '.join(time)} is what steps are sorted by (time={as_arg(time)})",)
    for role, names in (("time", time), ("id", () if id is None else (id,)), ("inputs", inputs), ("known", known)):
        for name in names:
            if name not in table.names:
                raise ValueError(f"{role}: expected one of the columns {', '.join(table.names)}, got {name!r}")
    if len(set(time)) < len(time):
        raise ValueError(f"time: expected each column once, got {', '.join(time)}")
    left = _guess_time(table, spec) if spec.target is None and not time and len(table.names) > 1 else ()
    targets = _find_targets(table, spec.target, {*time, *left, id, *inputs, *known})
    if id is not None and len(targets) > 1:
        raise ValueError(f"target: expected one column beside id, got {', '.join(targets)}")
    numbers = {name: table.numbers(name) for name in targets}
    numbers |= {name: _numbers_of_input(table, name) for name in (*inputs, *known)}
    rows = {target: np.arange(table.rows) for target in targets}
    if id is not None:
        check_ids(table.column(id), id)
        labels = [str(label) for label in table.column(id).tolist()]
        places: dict[str, list[int]] = {}
        for row, label in enumerate(labels):
            places.setdefault(label, []).append(row)
        rows = {label: np.array(found) for label, found in places.items()}
    pair = date_and_time([name for name in table.names if name not in {id, *inputs, *known, *targets}])
    cure = f"; time={as_arg(pair)} joins the two" if pair and time == pair[:1] else ""
    try:
        times = _parse_columns(table, time, spec) if time else Times(np.arange(table.rows), "number")
    except ValueError as error:
        raise ValueError(f"{error}{cure}") from None
    zone = clock_of_zone(table.zoned[time[0]]) if time and time[0] in table.zoned else None
    if not time and spec.time is None and len(table.names) > 1:
        notes = (*notes, 'rows are steps, since no column has times (time="COL")')
    if times.note:
        notes = (*notes, f"{time[0]} has {times.note}")
    written = functools.cache(functools.partial(table.written, time))
    others = [name for name in table.names if name not in {*time, *targets, *inputs, *known}]
    looked_at = (table, others, time) if by_steps is None else (source, by_steps.left, (by_steps.years,))
    tells = functools.partial(id_candidates, *looked_at) if id is None else None
    header = "step" if not time else "time" if _is_index(time[0]) else " ".join(time)
    found = []
    for label, places in rows.items():
        where = " ".join(time) if id is None else f"{' '.join(time)} of {label}"
        order, clock = places[np.argsort(times.values[places], kind="stable")], zone
        own = times._replace(values=times.values[order] if time else np.arange(len(order)))
        if times.offsets is not None:
            own = own._replace(offsets=times.offsets[order])
            clock = Clock(None, own.values, own.offsets)

        def quoted(i: int, order: np.ndarray = order) -> str:
            """Return the text of the series' time i in the table."""
            return written()[order[i]]

        try:
            frequency = infer_frequency(own.values, where, quoted, clock) if time else Frequency("numbers", 1)
        except ValueError as error:
            raise ValueError(f"{error}{cure or _advise(own, tells)}") from None
        if own.frequency is not None and frequency == Frequency("numbers", 1):
            frequency = own.frequency
        y = numbers[label if id is None else targets[0]][order]
        X, ahead = (
            np.column_stack([numbers[name][order] for name in names]) if names else None for names in (inputs, known)
        )
        one = Series(label, y, X, own, frequency, header, (*notes, *_notes_on_offsets(own)), clock, ahead)
        found.append(_trim(_check_gaps(one, where, spec.gaps, quoted)))
    return found


def _numbers_of_input(table: Table, name: str) -> np.ndarray:
    """Return the values of a column of inputs (n,); TypeError as of `Table.numbers`, with the cure for words."""
    try:
        return table.numbers(name)
    except TypeError as error:
        cure = "; write words as numbers, such as 1 for yes and 0 for no" if table.is_text(name) else ""
        raise TypeError(f"{error}{cure}") from None


def _notes_on_offsets(times: Times) -> tuple[str, ...]:
    """Return a note on times whose UTC offset changes, as the offsets of future times are a guess; else ()."""
    if times.offsets is None or (times.offsets == times.offsets[0]).all():
        return ()
    last = times.written(times.values[-1:], times.offsets[-1:])[0]
    why = "offsets do not tell when clocks change again"
    return (f"times to come have the offset from UTC of the last, {last}: {why}",)


def _unfold_years(table: Table, spec: _ColumnSpec) -> Unfolded | None:
    """Unfold a year table to a row for each step; return None for any other table, or if columns are specified."""
    time = spec.time or ()
    is_specified = spec.target is not None or spec.inputs or spec.known or spec.time_format or len(time) > 1
    if is_specified or not {*time, *filter(None, [spec.id])} <= set(table.names):
        return None
    return unfold(table, spec.id, "".join(time) or None, timed=spec.time != ())


def _advise(times: Times, tells: Callable[[], list[str]] | None) -> str:
    """Return the advice for `times` that are irregular or double; tells() finds columns that may be the id.

    `tells` finds columns that may be the `id`; None if an id is specified.
    """
    if not (times.values[1:] == times.values[:-1]).any():
        return '; time="" takes rows as steps'
    names = (tells()[:3] or ["COL"]) if tells else []
    cure = "; " + " or ".join(f'id="{name}"' for name in names) + " tells several series apart" if names else ""
    return cure + "; an hour that clocks repeat is to be in UTC" * (times.form in ("minute", "second"))


def _is_index(name: str) -> bool:
    """Return whether a column's name is the one that readers give to the index of a DataFrame."""
    return name.strip() in ("", INDEX, "__index_level_0__")


def _guess_time(table: Table, spec: _ColumnSpec) -> tuple[str, ...]:
    """Guess the column of times, or several to join; return () if there is none."""
    target = spec.target or ()
    free = [name for name in table.names if name not in (spec.id, *spec.inputs, *spec.known, *target)]
    named = [name for name in free if is_called(name, TIMES_TOO)]
    if len(free) > (not target):  # beside others a hint in any language counts, too, but not of a column of reals
        hinted = [name for name in free if time_hint(name) and table.read(name)[0].dtype.kind in "iuOM"]
        named = [name for name in free if name in (*named, *hinted)]
    parts = tuple(parts_in(free).values())
    pair = date_and_time(free)
    if len(named) == 2 and pair and _read_times(table, pair, spec, every=table.rows // LOOKED_AT + 1):
        return pair
    codes = factorize_rows(table, (spec.id,))[1] if spec.id in table.names else np.zeros(table.rows, np.intp)
    dated = [name for name in free if name in named or table.read(name)[0].dtype.kind == "M"]
    choices = [*([parts] if parts else []), *((name,) for name in dated)]
    chosen = next((names for names in choices if len(choices) == 1 or _are_unique(table, names, spec, codes)), None)
    chosen = chosen or (parts if set(dated) <= set(parts) or _read_times(table, parts, spec) else tuple(dated[:1]))
    if set(chosen) < set(parts):  # such as a clock that begins anew each day
        chosen = parts
    if len(chosen) == 1 and spec.time_format is None:
        chosen += find_hour(table, chosen[0], [name for name in free if name not in chosen], codes)
    if chosen:
        return chosen
    for name in free:
        words = table.read(name)[0].dtype == object  # numbers may be anything
        if (words and _read_times(table, (name,), spec)) or _has_decimal_years(table, name, spec.time_format):
            return (name,)
    is_first = len(free) > (not target) and (_is_index(free[0]) or table.read(free[0])[0].dtype.kind not in "biuf")
    return tuple(free[:1]) if is_first else ()


def _read_times(table: Table, time: tuple[str, ...], spec: _ColumnSpec, every: int = 1) -> Times | None:
    """Parse the times in columns, of each `every`-th row; return None if they are no times, and without columns."""
    with contextlib.suppress(TypeError, ValueError):
        return _parse_columns(table, time, spec, every) if time else None
    return None


def _are_unique(table: Table, time: tuple[str, ...], spec: _ColumnSpec, codes: np.ndarray) -> bool:
    """Return whether columns have times, none twice in a series; `codes` (n,) is the index of each row's series."""
    times = _read_times(table, time, spec)
    if times is None:
        return False
    order = np.lexsort((times.values, codes))
    return not ((np.diff(times.values[order]).astype(np.int64) == 0) & (np.diff(codes[order]) == 0)).any()


def _parse_columns(table: Table, time: tuple[str, ...], spec: _ColumnSpec, every: int = 1) -> Times:
    """Parse the times in columns, of each `every`-th row; raise ValueError, with a cure, for no times."""
    values = table.together(time, whole=spec.time_format is not None)[::every]
    if (found := _parse_decimal_years(table, time, spec.time_format)) is not None:
        return found
    odd = odd_year(values) if spec.time_format is None else None
    if odd is not None:
        got = f"{values[odd]:.12g} in {table.locate(odd * every)}"
        raise ValueError(f"{time[0]}: expected decimal years that are the same part of a month, got {got}")
    if values.dtype.kind == "m":
        cure = 'time="" takes rows as steps'
        raise ValueError(f"{' '.join(time)}: expected a year among the parts of a date, got none; {cure}")
    try:
        times = parse_times(values, " ".join(time), spec.time_format, table.locate)
    except ValueError as error:
        cure = "" if spec.time else '; time="COL" names another column, time="" takes rows as steps'
        raise ValueError(f"{error}{cure}") from None
    if len(time) > 1 and values.dtype.kind == "M":
        parts = order_of_parts(time, [table.column(name) for name in time]) or ()
        form = next((form for part, form in SMALLEST.items() if part in parts), times.form)
        return times._replace(form=times.form if times.form == "microsecond" else form)
    return table.in_zone(time[0], times)


def _has_decimal_years(table: Table, name: str, form: str | None) -> bool:
    """Return whether a column has regular decimal years, at least 8; no measurement looks so."""
    found = _parse_decimal_years(table, (name,), form)
    try:
        return found is not None and table.rows >= 8 and bool(infer_frequency(np.unique(found.values), name))
    except ValueError:
        return False


def _parse_decimal_years(table: Table, time: tuple[str, ...], form: str | None) -> Times | None:
    """Parse a column of times as decimal years; return None for several columns, or if it has none."""
    values, missing = table.read(time[0])
    if len(time) > 1 or form is not None or values.dtype.kind != "f" or missing.any():
        return None
    return decimal_years(values, None if table.cells is None else table.cells(time[0]))


def _find_targets(table: Table, targets: tuple[str, ...] | None, taken: Collection[str | None]) -> Sequence[str]:
    """Check the specified targets, or guess the only column of numbers not `taken`; ValueError for none or many."""
    if targets is not None:
        for name in targets:
            if name not in table.names or name in taken:
                due = ", ".join(each for each in table.names if each not in taken)
                raise ValueError(f"target: expected one of the columns {due}, got {name!r}")
        if len(set(targets)) < len(targets):
            raise ValueError(f"target: expected each column once, got {', '.join(targets)}")
        return targets
    free = [name for name in table.names if name not in taken and not _is_index(name) and not _counts_rows(table, name)]
    numeric = [name for name in free if table.read(name)[0].dtype.kind in "iuf"]
    words = [name for name in free if table.read(name)[0].dtype == object]
    both = [name for name in words if not table.is_text(name) and not table.is_numeric(name)]  # one may be a typo
    if len(numeric + both) == 1 or len(free) == 1:  # errors in its cells are reported later
        return numeric or both or free
    if numeric or not free:
        some = ", ".join(name for name in free if name in numeric + both)
        raise ValueError(f"target: expected the column to forecast, one of {some or 'none with numbers'}")
    raise ValueError(f"target: expected the column to forecast, of numbers alone, got {_describe_words(table, free)}")


def _counts_rows(table: Table, name: str) -> bool:
    """Return whether a column is the index of a DataFrame by its name, and counts the rows."""
    values, _ = table.read(name)
    if not is_called(name, ROWS) or values.dtype.kind not in "iu" or len(table.names) < 2:
        return False
    return bool(values[0] == (name != "index") and (np.diff(values.astype(np.int64)) == 1).all())


def _describe_words(table: Table, names: Sequence[str]) -> str:
    """Describe the first cell that is no number in each of these columns, with its place."""
    found = []
    for name in names:
        try:
            table.numbers(name)
        except (TypeError, ValueError) as error:
            found.append(str(error).replace(": expected numbers, got", " with"))
    return "; ".join(found)


def _check_gaps(series: Series, where: str, gaps: bool, quoted: Locator) -> Series:
    """Return a series with NaN at missing times; raise ValueError for missing times unless `gaps`.

    A few missing weekdays are taken for holidays, which are no steps, with a note.
    """
    times, frequency = series.times, series.calendar
    places = np.round(frequency.places(times.values)).astype(np.int64)
    n = int(places[-1]) + 1
    if frequency.roll and frequency.clock is None:
        moved = np.flatnonzero(frequency.at(times.values[0], places) != times.values)
        if moved.size:
            which = "last" if frequency.roll == "preceding" else "first"
            note = f"{len(moved)} times are not the {which} weekday, as if that were a holiday"
            series = replace(series, notes=(*series.notes, f"{note}: {quoted(int(moved[0]))}"))
    if n == len(places):
        return series
    lost = np.diff(places) - 1
    first = int(np.flatnonzero(lost)[0])
    if not gaps and frequency.unit == "weekdays" and lost.max() <= HOLIDAYS and n - len(places) <= n * HOLIDAYS_SHARE:
        lack = f"{n - len(places)} weekdays that are not there, the first after {quoted(first)}"
        note = f"{lack}, are taken for holidays, which are no steps; gaps=True fills them"
        return replace(series, notes=(*series.notes, note))
    if not gaps:
        gap, cure = f"{quoted(first)} to {quoted(first + 1)}", 'gaps=True fills it, time="" takes rows as steps'
        raise ValueError(f"{where}: expected regular times, {frequency}, got a gap from {gap}; {cure}")
    if n > 10 * len(places):
        raise ValueError(f"{where}: expected at least a tenth of all times, {frequency}, got {len(places)} of {n}")
    whole, y = frequency.at(times.values[0], np.arange(n)), np.full(n, np.nan)
    whole[places], y[places] = times.values, series.y
    beside = {}
    for name in ("X", "known"):
        if (values := getattr(series, name)) is not None:
            beside[name] = np.full((n, values.shape[1]), np.nan)
            beside[name][places] = values
    return replace(series, y=y, times=times._replace(values=whole, offsets=None), **beside)


def _trim(series: Series) -> Series:
    """Cut missing values off both ends of a series; raise ValueError if all are missing.

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
    times = series.times._replace(values=series.times.values[whole])
    return replace(series, y=series.y[part], X=X, times=times, known=known)
