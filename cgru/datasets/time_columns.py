"""Guesses of the time columns of a long table, by names and values, and of ids."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from cgru.datasets.column_names import DATES, IDS, LABELS, TIMES, as_arg, date_and_time, is_called, time_hint
from cgru.datasets.date_parts import part_of, parts_in
from cgru.datasets.dates import dates_in
from cgru.datasets.table import Table, all_rows_differ, factorize_rows, take_rows
from cgru.datasets.time_parsing import are_times, date_format_of, rank_times, why_no_times

__all__ = ["LOOKED_AT", "find_hour", "find_one", "find_time", "id_candidates", "known_by_name", "rising_columns"]

LOOKED_AT = 1000  # rows that are sampled for a guess; errors in later rows are found when they are read
ENOUGH = 8  # differences within sequences that are needed to take a column for times by its values
CALENDAR = ("year", "quarter", "month", "week", "day")
MOSTLY = 0.75  # share of equal differences between sorted values that makes a column regular


class Trend(NamedTuple):
    """The course of a column's values within the sequences of a table.

    Attributes:
        kind: "dates", "whole" or "real" numbers, or "epoch" for whole numbers that are dates or times since 1970.
        count: the number of pairs of neighbouring rows within a sequence.
        longest: the number of rows of the longest sequence.
        rises: whether each value is above the one in the row before.
        repeats: whether a value is twice in a sequence.
        regular: whether no value repeats, and most differences between sorted values are equal or all sequences have
            the same few values.
    """

    kind: str
    count: int
    longest: int
    rises: bool
    repeats: bool
    regular: bool


@np.errstate(over="ignore", invalid="ignore")  # of the largest numbers that there are
def trend_of(values: np.ndarray, codes: np.ndarray, kind: str) -> Trend:
    """Return the `Trend` of values (n,) from row to row within each sequence (`codes`); `kind` is kept in it.

    `codes` (n,) is the index of each row's sequence.
    """
    order, lengths = np.argsort(codes, kind="stable"), np.bincount(codes)
    some = order[:LOOKED_AT]
    inside = codes[order][1:] == codes[order][:-1]
    apart = np.diff(values[order])[inside]
    rises = bool(apart.size and (apart > 0).all())
    if not rises and len(some) < len(order):  # of a long table judge by the first rows, which is fast
        first = trend_of(values[some], np.unique(codes[some], return_inverse=True)[1], kind)
        if first.repeats or not first.regular:
            return first._replace(rises=False)
    if not rises:
        apart = np.diff(values[np.lexsort((values, codes))])[inside]
    if not apart.size or (apart == 0).any():
        return Trend(kind, apart.size, lengths.max(), rises, True, False)
    alike = len(lengths) > 2 and lengths.max() > 3 and len(np.unique(values)) <= 1.5 * lengths.max()
    apart = np.round(apart / np.median(apart), 6)  # as 0.3 - 0.2 is not quite 0.1
    steps = np.unique(apart, return_counts=True)[1].max() / apart.size
    return Trend(kind, apart.size, lengths.max(), rises, False, bool(alike or steps >= MOSTLY))


def find_time(
    table: Table,
    free: Sequence[str],
    listed: Sequence[str],
    id: Sequence[str],
    form: str | None = None,
    alone: bool = False,
) -> tuple[str, ...]:
    """Guess the columns that steps are sorted by among those `free` or `listed`, by names and values; () for none.

    Args:
        table: the table.
        free: the names of columns without a role.
        listed: the names of columns specified as features; these may be times as well, by their names alone.
        id: the columns that identify a row's sequence.
        form: the strptime format of the times; with it no parts of a date are joined.
        alone: whether without an `id` all rows are one sequence.

    Raises:
        ValueError: the choice is ambiguous; with the options that settle it.
    """
    codes = factorize_rows(table, id)[1] if id or alone else np.arange(table.rows)
    found = _by_name(table, free, id) or _by_name(table, [name for name in listed if table.is_numeric(name)], id)
    parts = () if form else _date_parts(table, [*free, *listed], found, codes)
    others = [name for name in found if name not in parts]
    pair, why = date_and_time(found) if len(found) == 2 and not parts else (), ""
    if pair and not (why := _why_none(table, pair, form)):
        return pair
    if len(found) == 1 and not parts:
        return tuple(found) if form else _alone(table, found[0], free, codes)
    if not found and not parts:
        if form is None:
            return _by_values(table, free, codes)
        written = [name for name in free if not _why_none(table, (name,), form)]
        return tuple(written) if len(written) == 1 else ()
    if others:
        choices = [*((name,) for name in others), *([parts] if parts else [])]
        choices.sort(key=lambda names: _trend(table, names, codes).repeats)  # columns with a time twice come last
        got = f"{_joined(choices)}{f', which are none together ({why})' if why else ''}"
        raise ValueError(f"time: expected one column to be it, got {got}; {_cure(choices, free)} settles it")
    return parts


def id_candidates(table: Table, free: Sequence[str], time: Sequence[str]) -> list[str]:
    """Return the `free` columns that may be the id of a row's sequence, the likeliest first.

    A candidate has repeated values, in blocks of rows, or so that no time is twice in a sequence. Numbers not in blocks
    are candidates only if there are no others.
    """
    timed = [name for name in free if time_hint(name) > 1]
    times = [tuple(time)] if time else [(name,) for name in timed if not table.read(name)[1].any()]
    apart = [names for names in times if not all_rows_differ(table, names)]
    found = {}
    for name in free:
        values, missing = table.read(name)
        words = table.is_text(name)
        if name in timed or is_called(name, LABELS) or missing.any() or not (words or values.dtype.kind in "iu"):
            continue
        if words and are_times(values[:LOOKED_AT]):
            continue
        ids, codes = factorize_rows(table, (name,))
        blocks = len(ids) == 1 + np.count_nonzero(np.diff(codes))
        likely = any(all_rows_differ(table, (name, *names)) for names in apart) if apart else words or blocks
        if likely and 1 < len(ids) <= table.rows / 2:
            found[name] = (blocks, words, len(ids))
    sure = [name for name in found if any(found[name][:2])]
    return sorted(sure or found, key=found.__getitem__, reverse=True)


def known_by_name(names: Sequence[str]) -> bool:
    """Return whether columns are times by their names alone: several parts of a date, or one called as times are."""
    return len(names) > 1 or is_called(names[0], TIMES)


def find_one(role: str, pattern: str, names: Sequence[str]) -> tuple[str, ...]:
    """Return the only column whose name matches the pattern of a role, or (); raise ValueError if several match."""
    found = [name for name in names if is_called(name, pattern)]
    if len(found) > 1:
        together = f", or together, id={as_arg(found)}," * (role == "id")
        cure = f"{role}={as_arg(found[:1])} with ignore={as_arg(found[1:])}{together}"
        raise ValueError(f"{role}: expected one column to be it, got {', '.join(found)}; {cure} settles it")
    return tuple(found)


def rising_columns(table: Table, names: Sequence[str], id: Sequence[str]) -> list[str]:
    """Return the columns that rise from row to row in every sequence, told by `id`, as times do, over `ENOUGH` rows."""
    codes = factorize_rows(table, id)[1]
    trends = {name: _trend(table, (name,), codes) for name in names}
    return [name for name, trend in trends.items() if trend.rises and trend.count >= ENOUGH]


def is_temperature(table: Table, name: str, id: Sequence[str]) -> bool:
    """Return whether a column called T goes up and down, as temperatures do, instead of rising as times do."""
    if name.strip().lower() != "t" or not table.is_numeric(name):
        return False
    values = table.numbers(name)
    there = ~np.isnan(values)
    steps, ids = np.diff(values[there]), [table.column(each)[there] for each in id]
    steps = steps[np.all([each[1:] == each[:-1] for each in ids], axis=0)] if ids else steps  # within a sequence
    return bool(4 * (steps < 0).sum() > (steps > 0).sum())


def _by_name(table: Table, names: Sequence[str], id: Sequence[str]) -> list[str]:
    """Return the columns that are called as times are, without a T that is a temperature."""
    found = [name for name in names if is_called(name, TIMES)]
    return [name for name in found if not is_temperature(table, name, id)] or found


def _date_parts(table: Table, names: Sequence[str], found: Sequence[str], codes: np.ndarray) -> tuple[str, ...]:
    """Return the columns that are the parts of each row's date, unless `found` are others for times; () for none."""
    parts = parts_in(names)
    columns = tuple(parts.values())
    if not parts:
        return ()
    try:
        times = table.together(columns)
    except (TypeError, ValueError) as error:
        if "year" not in parts or set(found) - set(columns):
            return ()
        raise ValueError(f'{error}; ignore={as_arg(columns)} leaves them out, time="..." names another') from None
    if times.dtype.kind not in "mM":
        return ()
    trend = trend_of(times.astype(np.int64), codes, "dates")
    if trend.count and trend.repeats and not set(found) & set(columns):  # such as a date of birth
        return ()
    if "year" not in parts:
        _check_rises(table, trend, columns)
    return columns


def _why_none(table: Table, pair: Sequence[str], form: str | None) -> str:
    """Return the reason why two columns are not a date and a time of day; "" if they are."""
    try:
        together = table.together(pair, whole=form is not None)
    except (TypeError, ValueError) as error:
        return str(error)
    some = together[:: table.rows // LOOKED_AT + 1]
    return "" if are_times(some, form) else why_no_times(together, " ".join(pair), table.locate, form)


def _alone(table: Table, name: str, free: Sequence[str], codes: np.ndarray) -> tuple[str, ...]:
    """Return the column `name`, called as times are, with the columns of the time of day if it is a date."""
    _check_there(table, name)
    hour = find_hour(table, name, free, codes) if is_called(name, DATES) else ()
    is_part = part_of(name) not in (None, "clock")  # a day may be that of a month
    if not hour and (is_part or _begins_anew(table, name)):
        _check_rises(table, _trend(table, (name,), codes), (name,))
    return name, *hour


def find_hour(table: Table, name: str, free: Sequence[str], codes: np.ndarray) -> tuple[str, ...]:
    """Find the columns of the time of day beside a column of dates that repeat within a sequence; return () for none.

    They are an hour, perhaps a minute and a second, or a clock, 18:30 or 1830. Raise ValueError for several clocks.
    """
    if not _trend(table, (name,), codes).repeats:
        return ()
    parts: dict[str | None, list[str]] = {}
    for each in free:
        parts.setdefault("clock" if _has_clock(table, each) else part_of(each), []).append(each)
    hours: tuple[str, ...] = ()
    for part in ("hour" if "hour" in parts else "clock", "minute", "second"):
        found = parts.get(part, ())
        if len(found) > 1 and part == "clock" and not _trend(table, (name, found[0]), codes).repeats:
            cure = f"time={as_arg((name, found[0]))} settles it"
            raise ValueError(f"time: expected one time of day beside {name}, got {', '.join(found)}; {cure}")
        if len(found) != 1:
            break
        hours = (*hours, *found)
        if not _trend(table, (name, *hours), codes).repeats:
            return hours
    return ()


def _begins_anew(table: Table, name: str) -> bool:
    """Return whether a column has times of day, 18:30 or 1830, which begin again each day."""
    values = table.column(name)
    if values.dtype.kind in "iu":
        return bool((values > 99).any() and ((values >= 0) & (values <= 2400) & (values % 100 < 60)).all())
    return _has_clock(table, name)


def _has_clock(table: Table, name: str) -> bool:
    """Return whether the texts of a column are times of day without a date."""
    texts = [value for value in table.read(name)[0][:LOOKED_AT].tolist() if isinstance(value, str)]
    readings = dates_in(texts) if texts else []
    return bool(readings) and not readings[0].dated


def _check_rises(table: Table, trend: Trend, names: Sequence[str]) -> None:
    """Raise ValueError for times that fall within a sequence, since the order of rows may be meant instead."""
    if trend.count and not trend.rises and not trend.repeats:
        due = "to know whether steps are sorted by it, since it falls within a sequence as rows stand"
        cure = f"time={as_arg(names)} sorts by it, {_otherwise(table, names)}"
        raise ValueError(f"{' with '.join(names)}: expected {due}: {cure}")


def _check_there(table: Table, name: str) -> None:
    """Raise ValueError, with a cure, if a column of times has missing values."""
    try:
        table.column(name)
    except ValueError as error:
        raise ValueError(f"{error}; {_otherwise(table, (name,))}") from None


def _otherwise(table: Table, names: Sequence[str]) -> str:
    """Return the advice what to pass if columns are no times: take them as features, or ignore them."""
    is_refused = any(is_called(name, TIMES) or not table.is_numeric(name) for name in names)
    return f'time="" {"with" if is_refused else "takes it for a feature,"} ignore={as_arg(names)} leaves it out'


def _by_values(table: Table, free: Sequence[str], codes: np.ndarray) -> tuple[str, ...]:
    """Return the column that looks most like times by values and name, rising within each sequence (`codes`), or ().

    Raise ValueError if several look the same, or if the only candidates fall or have missing values.
    """
    found: dict[str, Trend] = {}
    for name in free:
        if _has_dates(table, name) and (hour := find_hour(table, name, free, codes)):
            return name, *hour
        if is_called(name, LABELS) or is_called(name, IDS):
            continue
        trend = _trend(table, (name,), codes)
        if trend.count and not trend.repeats and _is_like(trend, name):
            found[name] = trend
    best = max((_sort_key(name, trend) for name, trend in found.items() if trend.rises), default=None)
    first = [name for name, trend in found.items() if trend.rises and _sort_key(name, trend) == best]
    if len(first) > 1:
        choices = [(name,) for name in first]
        cure = f"time={as_arg(first[:1])} settles it"
        raise ValueError(f'time: expected one column to be it, got {_joined(choices)}; {cure}, time="" takes none')
    for name, trend in found.items():
        if not first:
            _check_rises(table, trend, (name,))
    for name in free if not found else ():
        rows = np.flatnonzero(~table.read(name)[1])
        if table.rows / 2 < len(rows) < table.rows and not is_called(name, f"{LABELS}|{IDS}"):
            trend = _trend(take_rows(table, rows), (name,), codes[rows])
            if trend.count >= (1 if time_hint(name) else ENOUGH) and not trend.repeats and _is_like(trend, name):
                _check_there(table, name)
    return tuple(first)


def _is_like(trend: Trend, name: str) -> bool:
    """Return whether a column looks like times; numbers with a name that hints at nothing need many rows."""
    hint, many = time_hint(name), trend.count >= ENOUGH and trend.longest > 2
    whole = trend.kind == "whole"
    if trend.kind in ("dates", "epoch") or (trend.regular and (many or (whole and hint))):
        return True
    if trend.rises and ((whole and hint) or (many and hint > 1)):
        return True
    return whole and (part_of(name) in CALENDAR or (many and hint == 3))


def _sort_key(name: str, trend: Trend) -> tuple[int, ...]:
    """Return a sort key for how much a column looks like times."""
    return trend.kind == "dates", trend.kind == "epoch", time_hint(name), trend.kind == "whole", trend.regular


def _trend(table: Table, names: tuple[str, ...], codes: np.ndarray) -> Trend:
    """Return the trend of columns within each sequence (`codes`); one that `repeats` for no numbers or dates."""
    none = Trend("", 0, 0, rises=False, repeats=True, regular=False)
    try:
        values = table.together(names)
    except (TypeError, ValueError):
        return none
    if values.dtype.kind in "iu":
        return trend_of(values.astype(np.int64), codes, "epoch" if _are_moments(values) else "whole")
    if values.dtype.kind == "f" and np.isfinite(values).all():
        return trend_of(values, codes, "real" if (values % 1).any() else "whole")
    if values.dtype.kind not in "OmM" or not are_times(values[:LOOKED_AT]) or not are_times(values):
        return none
    return trend_of(rank_times(values, ""), codes, "dates")


def _are_moments(values: np.ndarray) -> bool:
    """Return whether whole numbers (n,) may be dates, 20240131, or Unix times in s, ms, us or ns of 1995 to 2040."""
    since = any(((values >= 8e8 * size) & (values < 2.2e9 * size)).all() for size in (1, 1e3, 1e6, 1e9))
    return since or date_format_of(values) not in ("", "%Y%m")


def _has_dates(table: Table, name: str) -> bool:
    """Return whether a column has dates, judged by its first rows."""
    values, missing = table.read(name)
    if values.dtype.kind in "iu":
        return date_format_of(values) == "%Y%m%d"
    return values.dtype.kind in "OM" and not missing.any() and are_times(values[:LOOKED_AT])


def _joined(choices: Sequence[Sequence[str]]) -> str:
    """Join choices of columns with commas, the columns of one with "with"."""
    return ", ".join(" with ".join(names) for names in choices)


def _cure(choices: Sequence[Sequence[str]], free: Sequence[str]) -> str:
    """Return the advice what to pass for the first choice, and for others of several columns."""
    cures = []
    for names in (choices[0], *(each for each in choices[1:] if len(each) > 1)):
        rest = [name for each in choices for name in each if name not in names and name in free]
        cures.append(f"time={as_arg(names)} with ignore={as_arg(rest)}")
    return ", or ".join(cures)
