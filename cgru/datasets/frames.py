"""Sequences out of tables: long ones, a row for each step, and wide ones, a row for each sequence."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from cgru.core.lengths import padded
from cgru.datasets import gaps
from cgru.datasets.roles import NUMBERED, Roles, as_names, check_names
from cgru.datasets.table import Table, table_of_frame
from cgru.datasets.times import are_times, ranks

__all__ = ["Sequences", "from_frame", "long", "squared", "wide"]

FEW = 20  # different words that may be classes


class Sequences(NamedTuple):
    """What a table holds, sequence by sequence in the order in which they first appear.

    `X` arrays (s_i, e); `y` (m,), (m, k) of several labels, (m, s) with a class for each step, or None; `ids` (m,);
    `columns` the names of the e elements.
    """

    X: list[np.ndarray]
    y: np.ndarray | None
    ids: np.ndarray
    columns: list[str]


def from_frame(
    frame: Any,
    id: str | Sequence[str],
    *,
    time: str | Sequence[str] | None = None,
    label: str | Sequence[str] | None = None,
    columns: Sequence[str] | None = None,
    per_step: bool = False,
    missing: str = "refuse",
) -> Sequences:
    """The sequences in a long table, a row for each step.

    Args:
        frame: a DataFrame of pandas, Polars or whatever else narwhals reads.
        id: the column that says which sequence a row belongs to, or several that say it together; its rows may stand
            anywhere.
        time: the column that the steps of a sequence are sorted by, of numbers, dates, or strings that are dates, or
            several, such as a date and a time of day, which are joined; None: they come as they stand.
        label: the column with the target of a sequence, the same in all its rows; several columns of numbers make
            targets (m, k); None: there is none.
        columns: those with the elements of a step; None: all others, which must be numbers or booleans.
        per_step: whether the label is a class for each step, which may change within a sequence.
        missing: "refuse", or how elements without a value are filled: "forward", the last value before in the sequence
            (at its beginning the first one after); "interpolate", on the line between the values before and after, by
            the number of steps; or "zero".

    Raises:
        ImportError: narwhals is not installed.
        TypeError: `frame` is no table, or a column has no numbers.
        ValueError: a column is missing, a value is, two steps of a sequence are of the same time, or a label is not the
            same in all rows of a sequence; with its place.
    """
    table = table_of_frame(frame)
    if isinstance(columns, str):
        raise TypeError(f"columns: expected a list of names, got {columns!r}")
    ids, labels = as_names(id, "id"), () if label is None else as_names(label, "label")
    times = () if time is None else as_names(time, "time")
    taken = [*ids, *times, *labels]
    names = [name for name in table.names if name not in taken] if columns is None else columns
    roles = {"id": ids, "time": times, "label": labels, "columns": names}
    check_names(table, roles)
    if not names:
        raise ValueError(f"columns: expected at least one beside {', '.join(taken)}, got none")
    return long(table, Roles(ids, times, labels, tuple(names), wide=False), per_step, missing)[0]


# --- a row for each step ---


def long(
    table: Table, roles: Roles, per_step: bool, missing: str
) -> tuple[Sequences, np.ndarray, list[str], np.ndarray | None]:
    """The sequences in a long table, how many values of each element were filled (e,), what looks wrong, in words, and
    the group of each sequence (m,), None where there are no groups.

    Errors as `from_frame`.
    """
    gaps.check_missing(missing)
    ids, place = _groups(table, roles.id)
    written, called = table.together(roles.time) if roles.time else np.arange(table.rows), " ".join(roles.time)
    times = ranks(written, called, table.place)
    order = np.lexsort((times, place))
    place, times = place[order], times[order]
    again = np.flatnonzero((np.diff(place) == 0) & (np.diff(times) == 0))
    if again.size:
        first, second = order[again[0] : again[0] + 2].tolist()
        got = f"{written[second]} of {'/'.join(roles.id)} {ids[place[again[0]]]}"
        where = f"{table.place(first)} and again in {table.place(second)}"
        raise ValueError(f"{called}: expected times that differ within a sequence, got {got} in {where}")
    elements, wrong = np.empty((len(order), len(roles.columns))), []
    for j, name in enumerate(roles.columns):
        try:
            elements[:, j] = _elements(table, name, missing)[order]
        except TypeError as error:
            wrong.append(f"{error}{_advice(table, name, roles)}")
    if wrong:
        cure = 'columns="..." says which are elements, unless it is the id, time or label'
        raise TypeError("; ".join([*wrong, cure]))
    notes = gaps.doubted(elements, roles.columns)
    starts = np.flatnonzero(np.diff(place, prepend=-1))
    X = np.split(elements, starts[1:])
    counts = _filled(X, missing, roles.columns, lambda i: f"{'/'.join(roles.id)} {ids[i]}")
    y = None
    if per_step:
        y = _classes_of_steps(table, roles.label, order, starts)
    elif roles.label:
        cure = "per_step=True takes a class for each step"
        y = _joined([_constant(table, name, roles, order, starts, place, cure) for name in roles.label])
        notes += _doubted(y, roles.label)
    together = None
    for name in roles.groups:
        together = _constant(table, name, roles, order, starts, place, "a sequence belongs to one group")
    return Sequences(X, y, ids, list(roles.columns)), counts, notes, together


def _groups(table: Table, names: Sequence[str]) -> tuple[np.ndarray, np.ndarray]:
    """The ids (m,) in the order in which they first appear, and of each row which of them it has."""
    values = [table.column(name) for name in names]
    try:
        codes = [np.unique(each, return_inverse=True)[1] for each in values]
    except TypeError:
        raise TypeError(f"{names[0]}: expected values of one kind, got several") from None
    code = codes[0]
    for other in codes[1:]:
        code = np.unique(code * (other.max() + 1) + other, return_inverse=True)[1]
    _, first, place = np.unique(code, return_index=True, return_inverse=True)
    rank = np.empty(len(first), np.intp)
    rank[np.argsort(first)] = np.arange(len(first))
    first.sort()
    if len(values) == 1:
        return values[0][first], rank[place]
    return np.array(["/".join(map(str, row)) for row in zip(*(each[first] for each in values), strict=True)]), rank[
        place
    ]


def _elements(table: Table, name: str, missing: str) -> np.ndarray:
    """The numbers of a column (n,), NaN where they are missing and may be."""
    values = table.numbers(name)
    gone = np.flatnonzero(np.isnan(values))
    if gone.size and missing == "refuse":
        row, cure = table.place(int(gone[0])), f'missing="{gaps.MISSING[1]}" fills it'
        raise ValueError(f"{name}: expected a value in each row, got none in {row}; {cure}")
    return values


def _advice(table: Table, name: str, roles: Roles) -> str:
    """What a column without numbers may be, in words, or "": a time, or the classes where it has few values."""
    values, missing = table.read(name)
    if not roles.time and not missing.any() and are_times(values):
        return f'; time="{name}" sorts by it'
    words = {str(value) for value in values[~missing]}
    if roles.label or not 1 < len(words) <= min(FEW, table.rows // 2) or not table.is_text(name):
        return ""
    return f'; label="{name}" learns it'


def _filled(X: Sequence[np.ndarray], missing: str, names: Sequence[str], where: Any) -> np.ndarray:
    """How many values of each element were filled; ValueError where an element of a sequence has none at all."""
    counts = np.zeros(len(names), np.intp)
    for i, x in enumerate(X) if missing != "refuse" else ():
        counts += gaps.filled(x, missing)
        lost = np.flatnonzero(np.isnan(x[0]))
        if lost.size:
            raise ValueError(
                f'{names[lost[0]]}: expected a value at least, got none in {where(i)}; missing="zero" fills it'
            )
    return counts


def _constant(
    table: Table, name: str, roles: Roles, order: np.ndarray, starts: np.ndarray, place: np.ndarray, cure: str
) -> np.ndarray:
    """Return the one value of a column for each sequence (m,); ValueError, with the `cure`, where one has several."""
    values = table.column(name)[order]
    y = values[starts]
    other = np.flatnonzero(values != y[place])
    if other.size:
        row = table.place(int(order[other[0]]))
        raise ValueError(f"{name}: expected one value for each {'/'.join(roles.id)}, got another in {row}; {cure}")
    return _plain(y)


def _classes_of_steps(table: Table, label: Sequence[str], order: np.ndarray, starts: np.ndarray) -> np.ndarray:
    """The classes (m, s), padded with what stands for nothing."""
    if len(label) != 1:
        raise ValueError(f"per_step: expected one label, got {', '.join(label) or 'none'}")
    values = _plain(table.column(label[0])[order])
    if values.dtype.kind == "f" and not (values % 1).any():
        values = values.astype(np.int64)  # 1.0 is the class 1
    if values.dtype.kind == "f":
        raise ValueError(f"{label[0]}: expected a class for each step, integers or strings, got {values.dtype}")
    parts = np.split(values, starts[1:])
    y = np.zeros((len(parts), max(map(len, parts))), values.dtype)
    for row, part in zip(y, parts, strict=True):
        row[: len(part)] = part
    return y


def _joined(labels: Sequence[np.ndarray]) -> np.ndarray:
    """One label (m,), or several numbers (m, k)."""
    if len(labels) == 1:
        return labels[0]
    words = [each for each in labels if each.dtype.kind not in "iuf"]
    if words:
        raise ValueError(f"label: expected one, or several with numbers, got {str(words[0][0])!r}")
    return np.stack(labels, axis=1).astype(np.float64)


def _doubted(y: np.ndarray | None, names: Sequence[str]) -> list[str]:
    return [] if y is None or y.dtype.kind not in "if" else gaps.doubted(y.reshape(len(y), -1), names)


def _plain(values: np.ndarray) -> np.ndarray:
    """Strings among objects as strings, stripped."""
    if all(isinstance(value, str) for value in values):
        return np.array([value.strip() for value in values])
    return values


# --- a row for each sequence ---


def wide(table: Table, roles: Roles, missing: str) -> tuple[Sequences, np.ndarray, list[str], np.ndarray | None]:
    """The sequences in a wide table, as `long`, and among the notes what was guessed of its columns.

    Names that are alike but for a number at their end are the steps of one element, by that number; where all are so,
    with the same numbers, there may be several elements, whose names have letters: 2023-12 and 2024-12 are of one.
    Empty cells at the end of a row end its sequence.
    """
    gaps.check_missing(missing)
    names, columns, notes = _channels(roles.columns)
    X = np.stack([table.numbers(name) for row in columns for name in row], axis=1)
    X = X.reshape(table.rows, len(columns), len(names))
    called = names if len(names) > 1 else ["value"]
    notes += gaps.doubted(X.reshape(-1, len(names)), called)
    there = ~np.isnan(X).all(axis=2)
    ends = np.where(there.any(axis=1), X.shape[1] - there[:, ::-1].argmax(axis=1), 0)
    for i in np.flatnonzero(ends == 0):
        raise ValueError(f"expected values in each row, got none in {table.place(int(i))}")
    sequences = [x[:n].copy() for x, n in zip(X, ends.tolist(), strict=True)]
    if missing == "refuse":
        for i, x in enumerate(sequences):
            for step, j in np.argwhere(np.isnan(x)):
                raise ValueError(
                    f"{columns[step][j]}: expected a value in each row, got none in {table.place(i)}; "
                    f'missing="{gaps.MISSING[1]}" fills it'
                )
    if (ends < X.shape[1]).any():
        notes.append(f"{(ends < X.shape[1]).sum()} sequences end before the last column")
    counts = _filled(sequences, missing, called, table.place)
    ids = np.arange(table.rows) if not roles.id else _groups(table, roles.id)[0]
    if len(ids) != table.rows:
        raise ValueError(f"{roles.id[0]}: expected each id in one row, as wide=True says, got one in several")
    y = _joined([_plain(table.column(name)) for name in roles.label]) if roles.label else None
    together = _plain(table.column(roles.groups[0])) if roles.groups else None
    return Sequences(sequences, y, ids, names), counts, notes + _doubted(y, roles.label), together


def _channels(columns: Sequence[str]) -> tuple[list[str], list[tuple[str, ...]], list[str]]:
    """The names of the elements, the columns of each step, and what was guessed."""
    steps: dict[str, dict[int, str]] = {}
    for name in columns:
        match = re.fullmatch(NUMBERED, name)
        if match and (not match[1] or re.search(r"[^\W\d_]", match[1])):
            steps.setdefault(match[1], {})[int(match[2])] = name
    numbers = sorted(next(iter(steps.values()), {}))
    if len(numbers) * len(steps) != len(columns) or any(sorted(each) != numbers for each in steps.values()):
        return [""], [(name,) for name in columns], ["steps are in the order of the columns, all of one element"]
    ordered = [tuple(each[number] for each in steps.values()) for number in numbers]
    notes = [f"{len(steps)} elements a step by the columns' names: {', '.join(steps)}"] if len(steps) > 1 else []
    apart = np.diff(numbers)
    if (apart != apart[:1]).any():
        i = int(apart.argmax())
        notes.append(f"a step may be missing: {ordered[i + 1][0]} is the next one after {ordered[i][0]}")
    if any([each[number] for number in numbers] != list(each.values()) for each in steps.values()):
        notes.append(f"steps are in the order of the columns' numbers, {numbers[0]} to {numbers[-1]}")
    return list(steps), ordered, notes


def squared(sequences: Sequence[np.ndarray]) -> tuple[np.ndarray, np.ndarray | None]:
    """X (m, s, e) and the lengths (m,), None where all are s."""
    X, lengths = padded(sequences)
    return X, None if (lengths == X.shape[1]).all() else lengths
