"""Which columns of a table are what: as it was asked for, or as their names say."""

from __future__ import annotations

import contextlib
import re
from collections import Counter
from collections.abc import Callable, Collection, Sequence
from typing import NamedTuple

import numpy as np

from cgru.datasets.table import Table
from cgru.datasets.times import are_times

__all__ = ["LOOKED_AT", "NUMBERED", "TIMES", "Asked", "Roles", "as_names", "date_and_time", "roles_of", "spelled"]

# What columns are called, in lower case. Patterns are compiled when they are used: that takes as long as all else here.
IDS = (
    "(unique[ _]?)?id|(subject|series|sequence|seq|case|sample|session|patient|participant|person|user|unit|trial|"
    "recording|record|device|machine|engine|run|track)([ _]?(id|no|nr|number))?"
)
TIMES = (
    r"(t|time|step|time[ _]?step|time[ _]?stamp|date|date[ _]?time|frame|tick|cycle|day|when|ds|zeit|uhrzeit|datum)"
    r"( ?[(\[](ms|s|secs?|seconds|min|minutes|h|hrs?|hours|d|days|utc|gmt)[)\]])?"
)
DATES = "date|day|datum"  # and what may stand beside one of these, with the time of that day
CLOCKS = "time|uhrzeit|zeit"
LOOKED_AT = 1000  # rows, to find out whether both are what they are called: what else there is, is told later
LABELS = "label|labels|class|target|category|outcome|klasse"
ROWS = r"index|level_\d+|x(\.\d+)?|row([ _.]?(names?|id|no|nr|number))?"  # what pandas and R call the index of a frame
NUMBERED = r"(.*?)[ _.\-]*(\d+)"
SHARED = {"label": ("id",), "groups": ("id", "ignore")}  # roles of which a column may have both
STEPS = r"(t|time|step|lag)?[ _.\-]*\d+"  # of a table with a row a sequence


class Asked(NamedTuple):
    """What was said of the columns of a table; None: whatever their names say.

    id, time, label: names of columns; () for none.
    columns: with the elements of a step; `ignore`: to be left out of these.
    wide: whether a row is a whole sequence.
    groups: of the column that says which sequences belong together, such as the subject, of whom there are several.
    """

    id: tuple[str, ...] | None = None
    time: tuple[str, ...] | None = None
    label: tuple[str, ...] | None = None
    columns: tuple[str, ...] | None = None
    ignore: tuple[str, ...] = ()
    wide: bool | None = None
    groups: tuple[str, ...] = ()


class Roles(NamedTuple):
    """Which columns say to which sequence a row belongs, when it comes, what is to be learned, and the elements.

    `groups` is the column that says which sequences belong together, () for none.
    """

    id: tuple[str, ...]
    time: tuple[str, ...]
    label: tuple[str, ...]
    columns: tuple[str, ...]
    wide: bool
    groups: tuple[str, ...] = ()


def as_names(value: str | Sequence[str], name: str) -> tuple[str, ...]:
    """One name or several, as a tuple; none of "" or []."""
    names = tuple(filter(None, (value,) if isinstance(value, str) else value))
    if not all(isinstance(each, str) for each in names):
        raise TypeError(f"{name}: expected names of columns, got {value!r}")
    return names


def roles_of(table: Table, asked: Asked) -> tuple[Roles, list[str]]:
    """The roles of the columns, and what was guessed of them, in words.

    ValueError, naming the option that settles it, where names say too little or too much, and for columns that are not
    there.
    """
    given = {name: value or () for name, value in asked._asdict().items() if name != "wide"}
    check_names(table, given)
    used = {name for names in given.values() for name in names}
    free = [name for name in table.names if name not in used]
    notes: list[str] = []

    def chosen(role: str, find: Callable[[], tuple[str, ...]], words: str) -> tuple[str, ...]:
        """Those that were asked for, else those found, which are free no longer."""
        if getattr(asked, role) is not None:
            return getattr(asked, role)
        found = find()
        free[:] = [name for name in free if name not in found]
        notes.extend([f"{' with '.join(found)} {words} ({role}={spelled(found)})"] if found else [])
        return found

    id = chosen("id", lambda: _ids(free, asked.groups), "says which sequence a row belongs to")
    time = chosen("time", lambda: () if asked.wide else _times(table, free, id), "is what steps are sorted by")
    wide = _is_wide(table, asked, id, time, free) if asked.wide is None else asked.wide
    if wide:
        notes += [] if asked.wide else ["each row is a sequence of its own (wide=True)"]
        if time:
            raise ValueError(f"time: expected none where each row is a sequence of its own, got {', '.join(time)}")
    elif not id:
        raise ValueError(
            'expected a column such as id or subject that says which sequence a row belongs to: id="..." names it, '
            f"wide=True says that each row is a sequence of its own; columns are {few(table.names)}"
        )
    elif not time and asked.time is None:
        notes.append("steps come as rows do: no column of times")
    if wide and not id:
        id = chosen("id", lambda: _different(table, free), "says which sequence a row is, different in each")
    label = chosen("label", lambda: _label(table, free, wide), "has the labels")
    if asked.columns is None:
        _check_left(table, free, id, wide, bool(time))
    columns = asked.columns or tuple(free)
    if not columns:
        raise ValueError(f"columns: expected at least one beside {', '.join((*id, *time, *label))}, got none")
    return Roles(id, time, label, columns, wide, asked.groups), notes


def check_names(table: Table, roles: dict[str, Collection[str]]) -> None:
    """ValueError where a column is not there, or has two roles."""
    taken: list[str] = []
    for role, names in roles.items():
        before = list(taken)
        for name in names:
            if name not in table.names:
                raise ValueError(f"{role}: expected one of the columns {few(table.names)}, got {name!r}")
            if name in taken and not any(name in roles[other] for other in SHARED.get(role, ())):
                others = f", and none of {', '.join(before)}" if before else ""
                raise ValueError(f"{role}: expected each once{others}, got {', '.join(names)}")
            taken.append(name)


def spelled(names: Sequence[str]) -> str:
    """The names as an argument has them: "a", or of several ["a", "b"]."""
    quoted = [f'"{name}"' for name in names]
    return quoted[0] if len(names) == 1 else f"[{', '.join(quoted)}]"


def few(names: Sequence[str]) -> str:
    """The names, or the first of many."""
    return ", ".join(names[:12]) + (", ..." if len(names) > 12 else "")


def _called(name: str, pattern: str) -> bool:
    return re.fullmatch(pattern, name.strip().lower()) is not None


def _one(role: str, pattern: str, names: Sequence[str]) -> tuple[str, ...]:
    """The column whose name fits; ValueError where several do."""
    found = [name for name in names if _called(name, pattern)]
    if len(found) > 1:
        pair = date_and_time(found)
        together = f", or both together, time={spelled(pair)}," if pair else ", or several together," * (role == "id")
        raise ValueError(
            f'{role}: expected one column to be it, got {", ".join(found)}; {role}="{found[0]}"{together} settles it'
        )
    return tuple(found)


def _ids(free: Sequence[str], groups: Sequence[str]) -> tuple[str, ...]:
    """Find the column called as ids are; beside that of `groups`, if that is called so too, both together.

    In each group ids may begin anew: trial 1 of one subject is not trial 1 of another.
    """
    found = _one("id", IDS, free)
    return (*(name for name in groups if _called(name, IDS)), *found) if found else ()


def date_and_time(names: Sequence[str]) -> tuple[str, ...]:
    """The one column that is called a date and the one that is called a time of day; () unless there is one of each."""
    found = [[name for name in names if _called(name, pattern)] for pattern in (DATES, CLOCKS)]
    return tuple(name for names in found for name in names) if all(len(names) == 1 for names in found) else ()


def _times(table: Table, free: Sequence[str], id: Sequence[str]) -> tuple[str, ...]:
    """The column called as times are, or two that are a date and the time of that day; T may be a temperature."""
    found = [name for name in free if _called(name, TIMES)]
    found = [name for name in found if not _wanders(table, name, id)] or found
    pair = date_and_time(found)
    if pair and len(found) == 2:
        with contextlib.suppress(TypeError, ValueError):  # what is no date or time of day
            together = table.together(pair)
            if are_times(together[:: table.rows // LOOKED_AT + 1]) or are_times(together):
                return pair
    return _one("time", TIMES, found)


def _different(table: Table, free: Sequence[str]) -> tuple[str, ...]:
    """The one column without numbers that differs in each row of several, and is called no label."""
    words = [name for name in free if table.rows > 2 and not _called(name, LABELS) and table.is_text(name)]
    found = [name for name in words if _differs(table, name)]
    return tuple(found) if len(found) == 1 else ()


def _differs(table: Table, name: str) -> bool:
    """Whether a column has another value in each row."""
    values, missing = table.read(name)
    return not missing.any() and len(set(values.tolist())) == table.rows


def _label(table: Table, free: Sequence[str], wide: bool) -> tuple[str, ...]:
    """The column with what is to be learned: by its name, or of a wide table the only one without numbers."""
    found = _one("label", LABELS, free)
    if not found and not {"x", "z"} & {name.lower() for name in free}:  # as the second axis of some it is an element
        found = tuple(name for name in free if name.lower() == "y")[:1]
    if found or not wide:
        return found
    words = tuple(name for name in free if not table.is_numeric(name))
    words = tuple(filter(table.is_text, words)) or words  # rather than numbers, one of which is wrong
    if len(words) > 1:
        unlike = [name for name in words if _differs(table, name)]
        cure = f', id="{unlike[0]}" tells sequences by one that differs in each row' if unlike else ""
        first = next((name for name in words if name not in unlike), words[0])
        raise ValueError(
            f'label: expected one column without numbers, got {few(words)}; label="{first}" settles it{cure}'
        )
    if words or table.named:
        return words
    classes = [name for name in (free[0], free[-1]) if _are_classes(table, name)]
    if len(classes) == 2:
        cure = f'label="{classes[0]}" or "{classes[1]}", or label="" where there is none, settles it'
        raise ValueError(f"label: expected the first or the last column to have classes, got both; {cure}")
    return tuple(classes)


def _are_classes(table: Table, name: str) -> bool:
    """Whether a column looks like numbered classes: few whole numbers, each of them several times."""
    values = table.numbers(name)
    if np.isnan(values).any() or (values % 1).any():
        return False
    return len(np.unique(values)) * 2 <= len(values)


def _is_wide(table: Table, asked: Asked, id: Sequence[str], time: Sequence[str], free: Sequence[str]) -> bool:
    """Whether each row is a sequence: no id comes twice, and columns are numbered as steps are, or have no names."""
    rows = zip(*(table.column(name).tolist() for name in id), strict=True)
    once = bool(id) and table.rows > 1 and len(set(rows)) == table.rows
    if time or asked.time == () or asked.id or (id and not once):
        wide = False
    elif table.named:
        steps = [name for name in asked.columns or free if _called(name, STEPS)]
        wide = len(steps) >= max(3, len(free) - 1)
    else:
        wide = len(free) >= 8
    if once and not wide and not time:
        raise ValueError(
            f"{'/'.join(id)}: expected a sequence of several rows for an id, got each once; wide=True says that each "
            "row is a sequence of its own, wide=False that it is a step"
        )
    return wide


def _check_left(table: Table, free: Sequence[str], id: Sequence[str], wide: bool, timed: bool) -> None:
    """ValueError for a column that is hardly an element of a step, or of a wide table hardly a step."""
    if wide:
        usual = Counter(map(_letters, free)).most_common(1)
        odd = (
            [name for name in free if not _called(name, NUMBERED)],
            [name for name in free if _letters(name) != usual[0][0]],
        )
        odd = next((names for names in odd if 0 < 2 * len(names) < len(free)), [])
    else:
        free = [name for name in free if not (timed and _wanders(table, name, id))]
        odd = [name for name in free if _called(name, IDS) or _called(name, TIMES) or _counts_rows(table, name)]
    for name in odd:
        raise ValueError(
            f"{name}: expected to know whether it is one of the {'steps' if wide else 'elements of a step'}: "
            f'columns="..." names all that are, ignore="{name}" leaves it out, label="{name}" learns it'
            + ("" if id or not wide or not _differs(table, name) else f', id="{name}" tells sequences by it')
        )


def _wanders(table: Table, name: str, id: Sequence[str]) -> bool:
    """Whether a column T goes up and down, as temperatures do, and not on, as times in most tables."""
    if name.strip().lower() != "t" or not table.is_numeric(name):
        return False
    values = table.numbers(name)
    there = ~np.isnan(values)
    steps, ids = np.diff(values[there]), [table.column(each)[there] for each in id]
    steps = steps[np.all([each[1:] == each[:-1] for each in ids], axis=0)] if ids else steps  # within a sequence
    return bool(4 * (steps < 0).sum() > (steps > 0).sum())


def _counts_rows(table: Table, name: str) -> bool:
    """Whether a column is the index of a frame, of which some rows may have been left out."""
    if not _called(name, ROWS) or table.rows < 3:
        return False
    values, _ = table.read(name)
    return bool(values.dtype.kind in "iu" and (np.diff(values.astype(np.int64)) > 0).all())


def _letters(name: str) -> str:
    """What is left of a name without its numbers, which steps of one element share."""
    return re.sub(r"[\W\d_]+", "", name)
