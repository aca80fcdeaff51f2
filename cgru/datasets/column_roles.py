"""Column roles: assign id, time, label and features to the columns of a table, as specified or guessed."""

from __future__ import annotations

import contextlib
import re
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from typing import NamedTuple

import numpy as np

from cgru.datasets.column_names import IDS, LABELS, ROWS, STEPS, TIMES, as_arg, ignoring, is_called, listed, may_be_step
from cgru.datasets.date_parts import part_of, words_of
from cgru.datasets.month_names import months_of, weekdays_of
from cgru.datasets.table import Table, all_rows_differ
from cgru.datasets.time_columns import find_one, find_time, id_candidates, is_temperature, known_by_name, rising_columns

__all__ = ["NAMED", "ColumnRoles", "assign_roles"]

NAMED = ("id", "time", "label", "columns", "ignore", "groups", "categories")

COUNTED = 10  # rows, from which on integers 0 to n - 1 in any order are row numbers and no measurements
# Roles that share a column with others.
SHARED = {"label": ("id",), "groups": ("id", "ignore"), "columns": ("time",), "categories": ("columns",)}


class ColumnRoles(NamedTuple):
    """The roles of the columns of a table, and the options for reading them.

    Before `assign_roles` None means "guess it", after it all roles are known.

    Attributes:
        id: the columns that identify the sequence of a row, () for none.
        time: the columns that the steps of a sequence are sorted by, () for none.
        label: the targets, () for none.
        columns: the features of a step.
        ignore: columns that are no features.
        groups: the column that says which sequences belong together, such as the subject, () for none.
        categories: the features that are encoded one-hot, with the values of each, () where they are not known yet.
        wide: whether a row is a whole sequence.
        per_step: whether there is a label, or several with numbers, for each step.
        time_format: the format of the times, as for strptime; None: guessed from the times.
        split_at: the gap in time that ends a sequence; None: no gap does.
        time_step: whether the time since the row before is added as a feature.
        windows: the length and the hop of the windows that sequences are cut into; None: they stay whole.
    """

    id: tuple[str, ...] | None = None
    time: tuple[str, ...] | None = None
    label: tuple[str, ...] | None = None
    columns: tuple[str, ...] | None = None
    ignore: tuple[str, ...] = ()
    groups: tuple[str, ...] = ()
    categories: Mapping[str, Sequence[str]] = MappingProxyType({})
    wide: bool | None = None
    per_step: bool = False
    time_format: str | None = None
    split_at: str | float | None = None
    time_step: bool = False
    windows: tuple[int, int] | None = None


def assign_roles(table: Table, spec: ColumnRoles) -> tuple[ColumnRoles, list[str]]:
    """Complete the specified roles by guesses; return (all roles of the columns, notes about the guesses).

    Raise ValueError for a column that does not exist, and for a role that is ambiguous or has no candidate; the error
    names the option that settles it.
    """
    used = _check_roles(table, {role: tuple(getattr(spec, role) or ()) for role in NAMED})
    free = [name for name in table.names if name not in used]
    notes: list[str] = []

    def chosen(role: str, find: Callable[[], tuple[str, ...]], words: str) -> tuple[str, ...]:
        """Return the columns specified for a role, else those that `find` returns, which get a note with `words`."""
        if getattr(spec, role) is not None:
            return getattr(spec, role)
        found = find()
        free[:] = [name for name in free if name not in found]
        notes.extend([f"{' with '.join(found)} {words} ({role}={as_arg(found)})"] if found else [])
        return found

    def times(alone: bool = spec.windows is not None) -> tuple[str, ...]:
        """Find the columns of times, without an id of all rows as one series if `alone`; a wide table has none."""
        given = [name for name in spec.columns or () if name not in (spec.label or ())]
        return () if spec.wide else find_time(table, free, given, id, spec.time_format, alone)

    id = chosen("id", lambda: _guess_id(table, free, spec.groups), "says which sequence a row belongs to")
    time = chosen("time", times, "is what steps are sorted by")
    if spec.time is None and time and not known_by_name(time):
        notes[-1] = notes[-1].replace(" is what", " rises within each sequence and is what")
    wide = _guess_wide(table, spec, id, time, free) if spec.wide is None else spec.wide
    if wide:
        notes += [] if spec.wide else ["each row is a sequence of its own (wide=True)"]
        if time:
            raise ValueError(f"time: expected none where each row is a sequence of its own, got {', '.join(time)}")
    elif not id and spec.windows and (not time or all_rows_differ(table, time)):
        several = "".join(
            f", unless id={as_arg((name,))} tells several" for name in id_candidates(table, free, time)[:1]
        )
        notes.append(f"all rows are one series{several}")
    elif not id and any(is_called(name, IDS) for name in spec.groups):
        cure = f"id={as_arg(spec.groups)} names them, and each is a group of its own without groups"
        raise ValueError(
            f"groups: expected another column than that of the sequences, got {listed(spec.groups)}; {cure}"
        )
    elif not id:
        due = "a column such as id or subject that says which sequence a row belongs to"
        if spec.time is None and not time:
            with contextlib.suppress(ValueError):
                time = times(alone=True)  # of one series
        cure = f"{_advise_id(table, free, time)}, wide=True says that each row is a sequence of its own"
        raise ValueError(f"expected {due}: {cure}; columns are {listed(table.names)}")
    if not wide and not time and spec.time is None:
        notes.append("steps come as rows do: no column of times")
    if wide and not id:
        id = chosen("id", lambda: _guess_wide_id(table, free), "says which sequence a row is, different in each")
    label = chosen("label", lambda: _guess_label(table, free, wide), "has the labels")
    if spec.columns is None:
        _check_features(table, free, id, wide, bool(time))
    columns = (*spec.columns, *(name for name in spec.categories if name not in spec.columns)) if spec.columns else ()
    columns = columns or tuple(name for name in table.names if name in free or name in spec.categories)
    if not columns:
        raise ValueError(f"columns: expected at least one beside {', '.join((*id, *time, *label))}, got none")
    if spec.time_format is not None and not time:
        raise ValueError('time_format: expected a column of times beside it, got none: time="..." names it')
    if spec.columns is None and not wide:
        notes += _notes_on_rising(rising_columns(table, [name for name in columns if name in free], id), time)
    categories = {name: tuple(known) or _categories_in(table, name) for name, known in spec.categories.items()}
    learned = [name for name, known in spec.categories.items() if not known]
    notes += [f"{name} is one-hot, {len(categories[name])} categories: {listed(categories[name])}" for name in learned]
    return spec._replace(id=id, time=time, label=label, columns=columns, wide=wide, categories=categories), notes


def _categories_in(table: Table, name: str) -> tuple[str, ...]:
    """Return the different values of a column as text, sorted; raise ValueError if all are missing."""
    words, missing = table.words(name)
    if missing.all():
        raise ValueError(f"categories: expected a value of {name} at least, got none; {ignoring((name,))}")
    return tuple(sorted(set(words[~missing])))


def _notes_on_rising(names: Sequence[str], time: Sequence[str]) -> list[str]:
    """Return a note on features `names` that rise within each sequence, as times do; an empty list for no names."""
    if not names:
        return []
    cure = ignoring(names) + ("" if time else f", time={as_arg(names[:1])} sorts by it")
    rise, are = ("rises", "is a feature") if len(names) == 1 else ("rise", "are features")
    return [f"{listed(names)} {rise} within each sequence, as times do, and {are} ({cure})"]


def _advise_id(table: Table, free: Sequence[str], time: Sequence[str]) -> str:
    """Return the advice which `id` to pass, with the most likely candidates among the `free` columns."""
    names = id_candidates(table, free, time)
    cures = [f'id="{name}"' for name in names[:3]] or ['id="..." names it']
    alone = not names or (time and all_rows_differ(table, time))
    one = ', one series alone is what `cgru forecast` takes, or windows="100,50" cuts' if alone else ""
    return f"{' or '.join(cures)}{' may be it' if names else ''}{one}"


def _check_roles(table: Table, roles: dict[str, Sequence[str]]) -> list[str]:
    """Return the columns that have a role; raise ValueError if one does not exist, or has two roles not `SHARED`."""
    taken: list[str] = []
    for role, names in roles.items():
        before = list(taken)
        for i, name in enumerate(names):
            if name not in table.names:
                why = "" if table.has_header else "; the first line is a row, as no header was seen"
                raise ValueError(f"{role}: expected one of the columns {listed(table.names)}, got {name!r}{why}")
            twice = any(name in roles.get(other, ()) for other in SHARED.get(role, ()))
            if name in names[:i] or (name in before and not twice):
                others = f", and none of {', '.join(before)}" if before else ""
                raise ValueError(f"{role}: expected each once{others}, got {', '.join(names)}")
            taken.append(name)
    return taken


def _guess_id(table: Table, free: Sequence[str], group: Sequence[str]) -> tuple[str, ...]:
    """Find the free column whose name is that of an id, and put such a column of `group` before it; () for none.

    If the `group` column has such a name, too, return both: ids may start again in each group, as trial 1 of each
    subject. Raise ValueError if several free columns have such a name.
    """
    named = [name for name in free if is_called(name, IDS)]
    rows = zip(*(table.read(name)[0].tolist() for name in named), strict=True)
    if len(named) > 1 and len(set(rows)) == table.rows:  # so the last one identifies a step
        *ids, step = named
        cure = f"id={as_arg(ids)} with time={as_arg((step,))} or with ignore={as_arg((step,))} settles it"
        raise ValueError(f"id: expected one column to be it, got {', '.join(named)}; {cure}")
    found = find_one("id", IDS, free)
    return (*(name for name in group if is_called(name, IDS)), *found) if found else ()


def _guess_wide_id(table: Table, free: Sequence[str]) -> tuple[str, ...]:
    """Find the only free text column with different values in all rows, not named like a label; () if there is none."""
    words = [name for name in free if table.rows > 2 and not is_called(name, LABELS) and table.is_text(name)]
    found = [name for name in words if _differs(table, name)]
    return tuple(found) if len(found) == 1 else ()


def _differs(table: Table, name: str) -> bool:
    """Return whether a column has a different value in each row, and none missing."""
    return not table.read(name)[1].any() and all_rows_differ(table, (name,))


def _guess_label(table: Table, free: Sequence[str], wide: bool) -> tuple[str, ...]:
    """Find the label among the `free` columns, by its name or in a wide table as the only words; () if there is none.

    In a wide table without a header, the first or last column is the label if it looks like classes. Raise ValueError
    for several candidates.
    """
    found = find_one("label", LABELS, free)
    if not found and not {"x", "z"} & {name.lower() for name in free}:  # beside x or z, y is an axis and no label
        found = tuple(name for name in free if name.lower() == "y")[:1]
    if found or not wide:
        return found
    words = tuple(name for name in free if not table.is_numeric(name))
    words = tuple(filter(table.is_text, words)) or words  # text comes before a column of numbers with a typo
    if len(words) > 1:
        unlike = [name for name in words if _differs(table, name)]
        cure = f', id="{unlike[0]}" tells sequences by one that differs in each row' if unlike else ""
        first = next((name for name in words if name not in unlike), words[0])
        cure = f'label="{first}" settles it{cure}'
        raise ValueError(f"label: expected one column without numbers, got {listed(words)}; {cure}")
    if words or table.has_header:
        return words
    classes = [name for name in (free[0], free[-1]) if _are_classes(table, name)]
    if len(classes) == 2:
        cure = f'label="{classes[0]}" or "{classes[1]}", or label="" where there is none, settles it'
        raise ValueError(f"label: expected the first or the last column to have classes, got both; {cure}")
    return tuple(classes)


def _are_classes(table: Table, name: str) -> bool:
    """Return whether a column looks like numbered classes: few different integers, each of them several times."""
    values = table.numbers(name)
    if np.isnan(values).any() or (values % 1).any():
        return False
    return len(np.unique(values)) * 2 <= len(values)


def _guess_wide(table: Table, spec: ColumnRoles, id: Sequence[str], time: Sequence[str], free: Sequence[str]) -> bool:
    """Guess whether each row is a sequence: ids are unique, and columns are numbered like steps or have no names.

    Raise ValueError if ids are unique but columns do not look like steps.
    """
    once = bool(id) and table.rows > 1 and all_rows_differ(table, id)
    if time or spec.time == () or spec.id or spec.windows or (id and not once):
        wide = False
    elif table.has_header:
        steps = [name for name in spec.columns or free if is_called(name, STEPS)]
        wide = len(steps) >= max(3, len(free) - 1)
    else:
        wide = len(free) >= 8
    if once and not wide and not time:
        cure = "wide=True says that each row is a sequence of its own, wide=False that it is a step"
        raise ValueError(f"{'/'.join(id)}: expected a sequence of several rows for an id, got each once; {cure}")
    return wide


def _check_features(table: Table, free: Sequence[str], id: Sequence[str], wide: bool, timed: bool) -> None:
    """Raise ValueError for columns that are unlikely features, or if `wide` steps; `timed`: the times are known."""
    if wide:
        usual = Counter(map(_letters, free)).most_common(1)
        odd = [name for name in free if not may_be_step(name)]
        if not 0 < 2 * len(odd) <= len(free):
            odd = [name for name in free if _letters(name) != usual[0][0]]
            odd = odd if 2 * len(odd) < len(free) else []
    else:
        free = [name for name in free if not (timed and is_temperature(table, name, id))]
        odd = [name for name in free if is_called(name, IDS) or is_called(name, TIMES) or _counts_rows(table, name)]
    if odd:
        what = f"{'it is one' if len(odd) == 1 else 'they are some'} of the {'steps' if wide else 'features of a step'}"
        unlike = [name for name in odd if wide and not id and _differs(table, name)]
        years = [name for name in odd if wide and part_of(name) == "year"]
        raise ValueError(
            f'{listed(odd)}: expected to know whether {what}: columns="..." names all that are, '
            f"{ignoring(odd)}, label={as_arg(odd[:1])} learns it"
            + "".join(f", id={as_arg((name,))} tells sequences by it" for name in unlike[:1])
            + "; a series with a row for each year is what `cgru forecast` takes" * bool(years)
        )


def _counts_rows(table: Table, name: str) -> bool:
    """Return whether a column is the index of a DataFrame, perhaps filtered or shuffled, by its name and integers."""
    if not is_called(name, ROWS) or table.rows < 3:
        return False
    values, _ = table.read(name)
    if values.dtype.kind not in "iu":
        return False
    values = values.astype(np.int64)
    counted = len(values) >= COUNTED and values.min() in (0, 1) and (np.diff(np.sort(values)) == 1).all()
    return bool((np.diff(values) > 0).all() or counted)


def _letters(name: str) -> str:
    """Return the part of a name that all steps of a feature share: its letters, "month" for any month and so on.

    All names of months become "month", all of weekdays "weekday".
    """
    words = words_of(name)
    for kind, known in (("month", months_of), ("weekday", weekdays_of)):
        if any(map(known, words)):
            return " ".join(kind if known(word) else word for word in words)
    return re.sub(r"[\W\d_]+", "", name)
