"""Which columns of a long table the steps of its sequences are sorted by, where nobody says."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from cgru.datasets.column_names import DATES, IDS, LABELS, TIMES, called, date_and_time, spelled, time_likeness
from cgru.datasets.date_parts import part_of, parts_in
from cgru.datasets.dates import dates_in
from cgru.datasets.table import Table, are_apart, groups, part_of_rows
from cgru.datasets.time_parsing import are_times, form_of_counts, ranks, why_not

__all__ = ["LOOKED_AT", "Course", "course_of", "find_time", "hour_of", "id_candidates", "is_known", "one_of", "rising"]

LOOKED_AT = 1000  # rows, to find out whether columns are what they are called: what else there is, is told later
ENOUGH = 8  # differences between rows of a sequence, in all, for a column to look like times by its values
CALENDAR = ("year", "quarter", "month", "week", "day")
MOSTLY = 0.75  # of the differences between sorted times are one step


class Course(NamedTuple):
    """How a column goes on within the sequences of a table.

    Attributes:
        kind: "dates", "whole" or "real" numbers, or "epoch" for whole ones that are dates or since 1970.
        count: how many pairs of neighbours within a sequence there are.
        longest: how many rows the longest sequence has.
        rises: whether each row has more than the one before.
        regular: whether no value is twice in a sequence, and most differences between sorted ones are the same, or all
            sequences have the same few values.
    """

    kind: str
    count: int
    longest: int
    rises: bool
    repeats: bool
    regular: bool


def course_of(values: np.ndarray, place: np.ndarray, kind: str) -> Course:
    """Return how `values` (n,), numbers or ranks of dates, go on within the sequences `place` (n,) as rows stand."""
    order, lengths = np.argsort(place, kind="stable"), np.bincount(place)
    some = order[:LOOKED_AT]
    inside = place[order][1:] == place[order][:-1]
    apart = np.diff(values[order])[inside]
    rises = bool(apart.size and (apart > 0).all())
    if not rises and len(some) < len(order):  # of a long table the first rows say most
        first = course_of(values[some], np.unique(place[some], return_inverse=True)[1], kind)
        if first.repeats or not first.regular:
            return first._replace(rises=False)
    if not rises:
        apart = np.diff(values[np.lexsort((values, place))])[inside]
    if not apart.size or (apart == 0).any():
        return Course(kind, apart.size, lengths.max(), rises, True, False)
    alike = len(lengths) > 2 and lengths.max() > 3 and len(np.unique(values)) <= 1.5 * lengths.max()
    apart = np.round(apart / np.median(apart), 6)  # 0.1 thrice is no 0.3
    steps = np.unique(apart, return_counts=True)[1].max() / apart.size
    return Course(kind, apart.size, lengths.max(), rises, False, bool(alike or steps >= MOSTLY))


def find_time(
    table: Table, free: Sequence[str], listed: Sequence[str], id: Sequence[str], form: str | None = None
) -> tuple[str, ...]:
    """Return the columns that steps are sorted by, by their names or values; () where none is known.

    `free` are names without a role. Columns that are `listed` as elements may be times as well, by their names alone.
    With `form`, of strptime, its times are written so, and no parts of a date are joined. ValueError, with the options
    that settle it, where that is not clear.
    """
    place = groups(table, id)[1] if id else np.arange(table.rows)
    found = _named(table, free, id) or _named(table, [name for name in listed if table.is_numeric(name)], id)
    parts = () if form else _parts(table, [*free, *listed], found, place)
    others = [name for name in found if name not in parts]
    pair, why = date_and_time(found) if len(found) == 2 and not parts else (), ""
    if pair and not (why := _why_none(table, pair, form)):
        return pair
    if len(found) == 1 and not parts:
        return tuple(found) if form else _alone(table, found[0], free, place)
    if not found and not parts:
        if form is None:
            return _by_values(table, free, place)
        written = [name for name in free if not _why_none(table, (name,), form)]
        return tuple(written) if len(written) == 1 else ()
    if others:
        choices = [*((name,) for name in others), *([parts] if parts else [])]
        choices.sort(key=lambda names: _course(table, names, place).repeats)  # a time that is there twice comes last
        got = f"{_listed(choices)}{f', which are none together ({why})' if why else ''}"
        raise ValueError(f"time: expected one column to be it, got {got}; {_cure(choices, free)} settles it")
    return parts


def id_candidates(table: Table, free: Sequence[str], time: Sequence[str]) -> list[str]:
    """Return the columns that may say which sequence a row belongs to, the likeliest first.

    Their values come again, in blocks of rows, or without a time twice in a sequence. Numbers in no blocks are none
    beside others.
    """
    timed = [name for name in free if time_likeness(name) > 1]
    times = [tuple(time)] if time else [(name,) for name in timed if not table.read(name)[1].any()]
    apart = [names for names in times if not are_apart(table, names)]
    found = {}
    for name in free:
        values, missing = table.read(name)
        words = table.is_text(name)
        if name in timed or called(name, LABELS) or missing.any() or not (words or values.dtype.kind in "iu"):
            continue
        if words and are_times(values[:LOOKED_AT]):
            continue
        ids, place = groups(table, (name,))
        blocks = len(ids) == 1 + np.count_nonzero(np.diff(place))
        likely = any(are_apart(table, (name, *names)) for names in apart) if apart else words or blocks
        if likely and 1 < len(ids) <= table.rows / 2:
            found[name] = (blocks, words, len(ids))
    sure = [name for name in found if any(found[name][:2])]
    return sorted(sure or found, key=found.__getitem__, reverse=True)


def is_known(names: Sequence[str]) -> bool:
    """Return whether columns of times are known by their names alone."""
    return len(names) > 1 or called(names[0], TIMES)


def one_of(role: str, pattern: str, names: Sequence[str]) -> tuple[str, ...]:
    """Return the column whose name fits, or (); ValueError where several do."""
    found = [name for name in names if called(name, pattern)]
    if len(found) > 1:
        together = f", or together, id={spelled(found)}," * (role == "id")
        cure = f"{role}={spelled(found[:1])} with ignore={spelled(found[1:])}{together}"
        raise ValueError(f"{role}: expected one column to be it, got {', '.join(found)}; {cure} settles it")
    return tuple(found)


def rising(table: Table, names: Sequence[str], id: Sequence[str]) -> list[str]:
    """Return the columns of numbers that rise in every sequence from row to row, as times do, where there are many."""
    place = groups(table, id)[1]
    courses = {name: _course(table, (name,), place) for name in names}
    return [name for name, course in courses.items() if course.rises and course.count >= ENOUGH]


def wanders(table: Table, name: str, id: Sequence[str]) -> bool:
    """Return whether a column T goes up and down, as temperatures do, and not on, as times in most tables."""
    if name.strip().lower() != "t" or not table.is_numeric(name):
        return False
    values = table.numbers(name)
    there = ~np.isnan(values)
    steps, ids = np.diff(values[there]), [table.column(each)[there] for each in id]
    steps = steps[np.all([each[1:] == each[:-1] for each in ids], axis=0)] if ids else steps  # within a sequence
    return bool(4 * (steps < 0).sum() > (steps > 0).sum())


def _named(table: Table, names: Sequence[str], id: Sequence[str]) -> list[str]:
    """Return the columns that are called as times are; T may be a temperature."""
    found = [name for name in names if called(name, TIMES)]
    return [name for name in found if not wanders(table, name, id)] or found


def _parts(table: Table, names: Sequence[str], found: Sequence[str], place: np.ndarray) -> tuple[str, ...]:
    """Return the columns that are parts of the date of each row; () where there are none, or they mean another date."""
    parts = parts_in(names)
    columns = tuple(parts.values())
    if not parts:
        return ()
    try:
        times = table.together(columns)
    except (TypeError, ValueError) as error:
        if "year" not in parts or set(found) - set(columns):
            return ()
        raise ValueError(f'{error}; ignore={spelled(columns)} leaves them out, time="..." names another') from None
    if times.dtype.kind not in "mM":
        return ()
    course = course_of(times.astype(np.int64), place, "dates")
    if course.count and course.repeats and not set(found) & set(columns):  # such as those of a birth
        return ()
    if "year" not in parts:
        _check_rises(table, course, columns)
    return columns


def _why_none(table: Table, pair: Sequence[str], form: str | None) -> str:
    """Return why two columns are not a date and the time of that day; "" where they are."""
    try:
        together = table.together(pair, whole=form is not None)
    except (TypeError, ValueError) as error:
        return str(error)
    some = together[:: table.rows // LOOKED_AT + 1]
    return "" if are_times(some, form) else why_not(together, " ".join(pair), table.place, form)


def _alone(table: Table, name: str, free: Sequence[str], place: np.ndarray) -> tuple[str, ...]:
    """Return the only column that is called a time, or a date with the hour of that day."""
    _check_there(table, name)
    hour = hour_of(table, name, free, place) if called(name, DATES) else ()
    is_part = part_of(name) not in (None, "clock")  # a day is that of a month, perhaps
    if not hour and (is_part or _begins_anew(table, name)):
        _check_rises(table, _course(table, (name,), place), (name,))
    return name, *hour


def hour_of(table: Table, name: str, free: Sequence[str], place: np.ndarray) -> tuple[str, ...]:
    """Return the columns with the time of day beside a column of dates that come again within a sequence; or ().

    They are an hour, perhaps a minute and a second, or a clock, 18:30 or 1830. ValueError for several clocks.
    """
    if not _course(table, (name,), place).repeats:
        return ()
    parts: dict[str | None, list[str]] = {}
    for each in free:
        parts.setdefault("clock" if _has_clock(table, each) else part_of(each), []).append(each)
    hours: tuple[str, ...] = ()
    for part in ("hour" if "hour" in parts else "clock", "minute", "second"):
        found = parts.get(part, ())
        if len(found) > 1 and part == "clock" and not _course(table, (name, found[0]), place).repeats:
            cure = f"time={spelled((name, found[0]))} settles it"
            raise ValueError(f"time: expected one time of day beside {name}, got {', '.join(found)}; {cure}")
        if len(found) != 1:
            break
        hours = (*hours, *found)
        if not _course(table, (name, *hours), place).repeats:
            return hours
    return ()


def _begins_anew(table: Table, name: str) -> bool:
    """Return whether times are those of a day, 18:30 or 1830, after which they begin anew."""
    values = table.column(name)
    if values.dtype.kind in "iu":
        return bool((values > 99).any() and ((values >= 0) & (values <= 2400) & (values % 100 < 60)).all())
    return _has_clock(table, name)


def _has_clock(table: Table, name: str) -> bool:
    """Return whether the words of a column are times of day."""
    texts = [value for value in table.read(name)[0][:LOOKED_AT].tolist() if isinstance(value, str)]
    readings = dates_in(texts) if texts else []
    return bool(readings) and not readings[0].dated


def _check_rises(table: Table, course: Course, names: Sequence[str]) -> None:
    """ValueError for times that fall within a sequence as rows stand, which may mean another order."""
    if course.count and not course.rises and not course.repeats:
        due = "to know whether steps are sorted by it, since it falls within a sequence as rows stand"
        cure = f"time={spelled(names)} sorts by it, {_otherwise(table, names)}"
        raise ValueError(f"{' with '.join(names)}: expected {due}: {cure}")


def _check_there(table: Table, name: str) -> None:
    """ValueError for times some of which are missing."""
    try:
        table.column(name)
    except ValueError as error:
        raise ValueError(f"{error}; {_otherwise(table, (name,))}") from None


def _otherwise(table: Table, names: Sequence[str]) -> str:
    """Return what to pass where columns are no times; what would be refused as an element is left out."""
    is_refused = any(called(name, TIMES) or not table.is_numeric(name) for name in names)
    return f'time="" {"with" if is_refused else "takes it for an element,"} ignore={spelled(names)} leaves it out'


def _by_values(table: Table, free: Sequence[str], place: np.ndarray) -> tuple[str, ...]:
    """Return the column that looks like times by its values, and perhaps by its name, which rises as rows stand."""
    found: dict[str, Course] = {}
    for name in free:
        if _has_dates(table, name) and (hour := hour_of(table, name, free, place)):
            return name, *hour
        if called(name, LABELS) or called(name, IDS):
            continue
        course = _course(table, (name,), place)
        if course.count and not course.repeats and _is_like(course, name):
            found[name] = course
    best = max((_likeness(name, course) for name, course in found.items() if course.rises), default=None)
    first = [name for name, course in found.items() if course.rises and _likeness(name, course) == best]
    if len(first) > 1:
        choices = [(name,) for name in first]
        cure = f"time={spelled(first[:1])} settles it"
        raise ValueError(f'time: expected one column to be it, got {_listed(choices)}; {cure}, time="" takes none')
    for name, course in found.items():
        if not first:
            _check_rises(table, course, (name,))
    for name in free if not found else ():
        rows = np.flatnonzero(~table.read(name)[1])
        if table.rows / 2 < len(rows) < table.rows and not called(name, f"{LABELS}|{IDS}"):
            course = _course(part_of_rows(table, rows), (name,), place[rows])
            if course.count >= (1 if time_likeness(name) else ENOUGH) and not course.repeats and _is_like(course, name):
                _check_there(table, name)
    return tuple(first)


def _is_like(course: Course, name: str) -> bool:
    """Return whether a column looks like times; numbers whose name says little need be many."""
    likeness, many = time_likeness(name), course.count >= ENOUGH and course.longest > 2
    whole = course.kind == "whole"
    if course.kind in ("dates", "epoch") or (course.regular and (many or (whole and likeness))):
        return True
    if course.rises and ((whole and likeness) or (many and likeness > 1)):
        return True
    return whole and (part_of(name) in CALENDAR or (many and likeness == 3))


def _likeness(name: str, course: Course) -> tuple[int, ...]:
    """Return what speaks for a column of times; the most telling comes first."""
    return course.kind == "dates", course.kind == "epoch", time_likeness(name), course.kind == "whole", course.regular


def _course(table: Table, names: tuple[str, ...], place: np.ndarray) -> Course:
    """Return how columns go on within sequences; they repeat where they are no numbers or dates without a gap."""
    none = Course("", 0, 0, rises=False, repeats=True, regular=False)
    try:
        values = table.together(names)
    except (TypeError, ValueError):
        return none
    if values.dtype.kind in "iu":
        return course_of(values.astype(np.int64), place, "epoch" if _are_moments(values) else "whole")
    if values.dtype.kind == "f" and np.isfinite(values).all():
        return course_of(values, place, "real" if (values % 1).any() else "whole")
    if values.dtype.kind not in "OmM" or not are_times(values[:LOOKED_AT]) or not are_times(values):
        return none
    return course_of(ranks(values, ""), place, "dates")


def _are_moments(values: np.ndarray) -> bool:
    """Return whether whole numbers (n,) may be days, 20240131, or seconds from 1995 to 2040, or thousandths, ..."""
    since = any(((values >= 8e8 * size) & (values < 2.2e9 * size)).all() for size in (1, 1e3, 1e6, 1e9))
    return since or form_of_counts(values) not in ("", "%Y%m")


def _has_dates(table: Table, name: str) -> bool:
    """Return whether a column has dates, as some of its rows say."""
    values, missing = table.read(name)
    if values.dtype.kind in "iu":
        return form_of_counts(values) == "%Y%m%d"
    return values.dtype.kind in "OM" and not missing.any() and are_times(values[:LOOKED_AT])


def _listed(choices: Sequence[Sequence[str]]) -> str:
    return ", ".join(" with ".join(names) for names in choices)


def _cure(choices: Sequence[Sequence[str]], free: Sequence[str]) -> str:
    """Return what to pass for the first choice, others being left out, or for the last of several columns."""
    cures = []
    for names in (choices[0], *(each for each in choices[1:] if len(each) > 1)):
        rest = [name for each in choices for name in each if name not in names and name in free]
        cures.append(f"time={spelled(names)} with ignore={spelled(rest)}")
    return ", or ".join(cures)
