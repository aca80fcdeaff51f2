"""Sequences out of tables: long ones, a row for each step, and wide ones, with a row for each sequence."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from cgru.core.lengths import padded
from cgru.datasets import missing_values
from cgru.datasets.column_roles import check_order, compound_id, numbers_of
from cgru.datasets.columns import LONGEST, Columns, ColumnsError
from cgru.datasets.dataset import Dataset, Split, check_padding
from cgru.datasets.missing_values import Filling, indicator_name, parse_filling
from cgru.datasets.table import Table, factorize
from cgru.datasets.time_columns import Times, read_times
from cgru.network.data.samples import Sequences

__all__ = ["TIME_STEP", "Rows", "pad_sequences", "read_sequences", "rows_of"]

TIME_STEP = "time_step"  # the name of the feature
PARTS = 12  # of an only sequence: enough for the folds by which input layers are chosen
TOTALS = ("total", "totals", "grand total", "sum", "all", "average", "mean", "gesamt", "summe")


class Rows(NamedTuple):
    """The rows of a table in the order of the steps.

    Attributes:
        order: the row of the table of each step (n,).
        ids: the id of each sequence (m,).
        bounds: of each sequence the first step and the one behind the last.
        codes: the index of the sequence of each row of the table (n,).
        clock: the times of the rows of the table, or None.
    """

    order: np.ndarray
    ids: np.ndarray
    bounds: list[tuple[int, int]]
    codes: np.ndarray
    clock: Times | None

    def cut(self, values: np.ndarray) -> list[np.ndarray]:
        """Return values of the steps (n, ...) by sequence."""
        return [values[start:end] for start, end in self.bounds]

    def begun(self, starts: np.ndarray, ids: np.ndarray) -> Rows:
        """Return these rows with sequences that begin at other steps, and their ids."""
        ends = [*starts[1:].tolist(), len(self.order)]
        bounds = list(zip(starts.tolist(), ends, strict=True))
        return Rows(self.order, ids, bounds, self.codes, self.clock)


def rows_of(table: Table, how: Columns) -> Rows:
    """Return the rows of each sequence in order; ColumnsError for times that repeat or decrease."""
    keys = [table.column(name, "id") for name in how.id] or [table.lines] * how.wide
    for i, key in enumerate(keys):
        if key.dtype.kind == "f" and table.is_text(how.id[i]):  # as numbers 1.10 and 1.1 would be one
            keys[i] = table.column(how.id[i], "id", plain=True)
    firsts, codes = factorize(keys or [np.zeros(len(table.frame))])
    clock = read_times(table, how.time) if how.time else None
    if not how.wide:
        check_order(table, how, codes, clock)
    order = np.lexsort((np.arange(len(codes)) if clock is None else clock.values, codes))
    names = ["/".join(map(str, each)) for each in zip(*(key[firsts] for key in keys), strict=True)]
    ids = np.arange(1, 2) if not keys else _short(keys[0][firsts] if len(keys) == 1 else np.array(names, object), "id")
    return Rows(order, ids, [], codes, clock).begun(np.flatnonzero(np.diff(codes[order], prepend=-1)), ids)


def read_sequences(table: Table, how: Columns, *, targets: bool, trained: bool) -> Dataset:
    """Read the sequences of a table by its resolved columns.

    `trained`: the table is read as data were that a model was trained with, so that its targets may be few.
    Raise ColumnsError for times out of order, missing values, cells that are no numbers, and doubtful targets.
    """
    if not how.columns:
        raise ColumnsError("columns", "none besides those with other roles", "at least one feature")
    notes, numbers = [], None
    if how.wide:
        table, numbers, notes = _unfolded(table, how)
    whole = rows_of(table, how)
    order, clock = whole.order, whole.clock
    if not (trained or how.wide) and len(whole.ids) == len(order) > 1:
        due = "sequences of several rows (wide=True: each row is a sequence)"
        raise ColumnsError("id", f"a new one in each row, {' and '.join(how.id)}", due, {"wide": True})
    if numbers is None:
        numbers = numbers_of(table, how, [name for name in how.columns if name != TIME_STEP])
    names = list(numbers)
    features = np.column_stack([*numbers.values(), np.zeros((len(order), 0))])[order]
    notes += [*missing_values.notes_on_sentinels(features, names), *_notes_on_ids(table, how)]
    if lost := [name for name in ("time_step", "sort") if clock is None and getattr(how, name)]:
        raise ColumnsError(lost[0], "none", "a column of times, by time")
    if how.windows and len(whole.ids) == 1 and not how.groups and not trained:
        length, n = how.windows[0], len(order)
        parts = how.parts or max(1, min(2, n // length), min(PARTS, n // (2 * length)))
        if parts > 1:
            whole = whole.begun(np.arange(parts) * n // parts, 1 + np.arange(parts))
            notes.append(f"the only sequence is cut into {parts} parts, so that whole ones can be held back")
    rows, starts = whole, np.array([start for start, _ in whole.bounds])
    filling, gone = parse_filling(how.missing), np.isnan(features)
    own = np.searchsorted(starts, np.arange(len(order)), "right") - 1
    _refuse_missing(table, how, gone, names, own, order)
    notes += missing_values.notes_on_filled(missing_values.fill(features, filling.methods(names), own), filling, names)
    indicated = filling.indicated(names, gone.any(axis=0))
    marks = gone[:, [names.index(name) for name in indicated]]
    features, names = _expand(features, names, how)
    features, names = np.hstack([features, marks]), [*names, *map(indicator_name, indicated)]
    if how.time_step:
        since = np.diff(clock.seconds[order], prepend=0.0)
        since[starts] = 0
        features, names = np.column_stack([features, since]), [*names, TIME_STEP]
    if twice := [name for name, count in Counter(names).items() if count > 1]:
        raise ColumnsError("columns", f"{twice[0]} twice", "features of different names")
    groups = _constant(table, how, rows, how.groups[0], "groups") if how.groups else None
    if how.windows:
        rows, groups, more = _windows(rows, groups, how.windows)
        notes += more
    y = None
    if targets and how.label:
        y, more = _targets(table, how, rows)
        notes += more
    written = None
    if clock is not None and not targets:
        written = _padded_texts(whole.cut(clock.texts[order]))
    X, lengths = pad_sequences(rows.cut(features))
    passed = None
    if filling.decays and clock is not None:
        passed = padded([each - each[0] for each in rows.cut(clock.seconds[order])])[0]
        passed = np.maximum.accumulate(passed, axis=1)
    split = Split(Sequences(X, lengths, times=passed), y, rows.ids if how.id or how.windows or table.nested else None)
    settled = how.changed(missing=str(filling.settled(indicated)), parts=1, columns=None if how.wide else how.columns)
    return Dataset(split, None, None, tuple(names), tuple(notes), settled, how.label or None, written, groups)


def _padded_texts(texts: Sequence[np.ndarray]) -> np.ndarray:
    """Return texts of the steps of sequences as (m, s), "" past their lengths."""
    found = np.full((len(texts), max(map(len, texts))), "", object)
    for i, each in enumerate(texts):
        found[i, : len(each)] = each
    return found


def pad_sequences(sequences: Sequence[np.ndarray]) -> tuple[np.ndarray, np.ndarray | None]:
    """Pad sequences (s_i, e) to X (m, s, e); return it and the lengths (m,), None if all are s."""
    check_padding([len(x) for x in sequences], sequences[0].shape[1])
    X, lengths = padded(sequences)
    return X, None if (lengths == X.shape[1]).all() else lengths


def _short(values: np.ndarray, role: str) -> np.ndarray:
    """Return ids, groups or classes; objects as an array of strings, refused if one is very long."""
    if values.dtype != object:
        return values
    longest = max(values, key=len, default="")
    if len(longest) > LONGEST:
        raise ColumnsError(role, f"one of {len(longest)}", f"at most {LONGEST} characters")
    return values.astype(str)


def _windows(rows: Rows, groups: np.ndarray | None, windows: tuple[int, int]) -> tuple[Rows, np.ndarray, list[str]]:
    """Cut sequences into windows; return them, their groups (m,), without `groups` the sequences, and notes."""
    length, hop = windows
    cut = []
    for start, end in rows.bounds:
        last = max(start, end - length)
        cut.append([(first, min(first + length, end)) for first in (*range(start, last, hop), last)])
    of = np.repeat(np.arange(len(cut)), list(map(len, cut)))
    names = np.array([f"{id}/{j}" for id, own in zip(rows.ids, cut, strict=True) for j in range(1, len(own) + 1)])
    found = [each for own in cut for each in own]
    notes = [f"{len(names)} windows of {length} steps every {hop}, the last up to the end of its sequence or part"]
    lost = len(rows.order) - len(set().union(*(range(*each) for each in found))) if hop > length else 0
    if lost:
        notes.append(f"{lost} rows between windows are left out, since these begin every {hop} and have {length}")
    return rows._replace(ids=names, bounds=found), (rows.ids if groups is None else groups)[of], notes


def _expand(features: np.ndarray, names: list[str], how: Columns) -> tuple[np.ndarray, list[str]]:
    """Replace the places of categories in features (n, e) by one-hot features; return these and their names."""
    columns, called = [np.zeros((len(features), 0))], []
    for name, column in zip(names, features.T, strict=True):
        values = (how.categories or {}).get(name)
        columns.append(column[:, None] if values is None else column[:, None] == np.arange(1, len(values) + 1))
        called += [name] if values is None else [f"{name}_{value}" for value in values]
    return np.hstack(columns).astype(np.float64), called


def _refuse_missing(
    table: Table, how: Columns, gone: np.ndarray, names: Sequence[str], sequence: np.ndarray, rows: np.ndarray
) -> None:
    """Refuse missing values `gone` (n, e) that nothing fills; `rows` (n,) are those of the table."""
    filling = parse_filling(how.missing)
    more, empty, lost = missing_values.cure_of_missing(gone, sequence, names, filling, how.categories or ())
    if more is None:
        return
    every = {*more.values()} == {"forward"} and filling == Filling()
    cure: dict[str, Any] = {"missing": "forward" if every else str(Filling(filling.others, more))} if more else {}
    if empty and (kept := table.columns.columns) is None:
        cure["ignore"] = (*how.ignore, *empty)
    elif empty:
        cure["columns"] = tuple(name for name in kept if name not in empty)
    first = int(lost.argmax())
    each = [f"{name} {n}" for name, n in zip(names, gone.sum(axis=0), strict=True) if n]
    got = f"none of {names[int(gone[first].argmax())]} in {table.locate(rows[first])} (missing: {', '.join(each[:9])})"
    raise ColumnsError("missing", got, "a value in each row", cure)


# --- targets ---


def _constant(table: Table, how: Columns, rows: Rows, name: str, role: str) -> np.ndarray:
    """Return the value of a column in each sequence (m,); refuse one that has several.

    The cure is a compound id if another column tells the parts apart, else for labels a target for each step.
    """
    values = _short(table.column(name, role), role)
    starts = np.array([start for start, _ in rows.bounds])
    own = np.repeat(rows.order[starts], np.diff([*starts, len(rows.order)]))
    other = values[rows.order] != values[own]
    if other.any():

        def is_one(of: np.ndarray) -> bool:
            """Return whether each sequence has one value."""
            return bool((values == values[np.unique(of, return_index=True)[1]][of]).all())

        more = compound_id(table, how, rows.codes, is_one)
        cure = {"id": more} if more else {"per_step": True} if role == "label" else {"groups": ()}
        got = f"another {name} in {table.locate(rows.order[other.argmax()])}"
        raise ColumnsError(role, got, "one value for each sequence", cure)
    return values[rows.order[starts]]


def _targets(table: Table, how: Columns, rows: Rows) -> tuple[np.ndarray, list[str]]:
    """Return the targets of the sequences, of windows or of steps, and notes."""
    notes, found = [], []
    for name in how.label:
        if not how.per_step and not how.windows:
            found.append(_constant(table, how, rows, name, "label"))
            continue
        values = _short(table.column(name, "label"), "label")[rows.order]
        if not how.per_step:
            if any((values[start:end] != values[end - 1]).any() for start, end in rows.bounds):
                notes.append(f"{name} of a window is that of its last step; per_step learns that of each")
            values = values[[end - 1 for _, end in rows.bounds]]
        found.append(values)
    words = [name for name, values in zip(how.label, found, strict=True) if values.dtype.kind not in "biuf"]
    if words and len(found) > 1:
        rest = (*how.ignore, *(name for name in how.label if name != words[0]))
        cure = {"label": (words[0],), "ignore": rest}
        raise ColumnsError("label", f"words in {words[0]}", "one label, or several with numbers", cure)
    y = found[0] if len(found) == 1 else np.stack(found, axis=1).astype(np.float64)
    if how.per_step:
        if y.ndim == 1 and y.dtype.kind == "f":
            y = y[:, None] if (y % 1).any() else y.astype(np.int64)  # 1.0 is the class 1
        y = padded(rows.cut(y))[0]
    return y, notes


# --- notes ---


def _notes_on_ids(table: Table, how: Columns) -> list[str]:
    """Return notes on a last row that seems to have totals, and on an id whose first part may be a group."""
    lasts = [last for name in how.id if (last := table.texts(name)[-1]).casefold() in TOTALS]
    notes = [f"the last row, {table.locate(-1)}, is of {last}: is it a sequence?" for last in lasts[:1]]
    if len(how.id) > 1 and not how.groups and not how.parts:
        notes.append(f"as groups, {how.id[0]} keeps its sequences together where some are held back")
    return notes


# --- a row for each sequence ---


def _unfolded(table: Table, how: Columns) -> tuple[Table, dict[str, np.ndarray], list[str]]:
    """Return a wide table with each row repeated for each of its steps, the features of the steps, and notes.

    Columns whose names differ only in a number at the end are the steps of one feature, in the order of the numbers.
    Otherwise all columns are the steps of one, in their order. Empty cells at the end of a row end its sequence.
    """
    for name in ("time", "categories", "per_step", "time_step", "windows", "sort"):
        if getattr(how, name):
            raise ColumnsError(name, "one for each sequence (wide=True)", "a row for each step", None)
    names, steps, notes = _steps_of_columns(how.columns)
    numbers = numbers_of(table, how, how.columns)
    X = np.stack([numbers[name] for step in steps for name in step], axis=1).reshape(len(table.frame), len(steps), -1)
    if (empty := np.isnan(X).all(axis=(0, 1))).any():
        lost = [step[int(empty.argmax())] for step in steps]
        raise ColumnsError("columns", f"none in any of {lost[0]}, ...", "values", {"ignore": (*how.ignore, *lost)})
    there = ~np.isnan(X).all(axis=2)
    ends = np.where(there.any(axis=1), X.shape[1] - there[:, ::-1].argmax(axis=1), 0)
    if not ends.all():
        empty = np.flatnonzero(ends == 0)
        raise ColumnsError("columns", f"none in {table.locate(empty[0])}", "values in each row", table.without(empty))
    again = len(ends) - len(factorize([table.column(name, "id") for name in how.id])[0]) if how.id else 0
    if again:
        raise ColumnsError("wide", f"{again} ids in several rows", "each id in one row", {"wide": False})
    if short := np.count_nonzero(ends < X.shape[1]):
        notes.append(f"{short} sequences end before the last column")
    rows, values = np.repeat(np.arange(len(ends)), ends), X[np.arange(X.shape[1]) < ends[:, None]]
    long = table._replace(frame=table.frame.drop(how.columns)[rows], lines=table.lines[rows])
    return long, dict(zip(names, values.T, strict=True)), notes


def _steps_of_columns(columns: Sequence[str]) -> tuple[list[str], list[tuple[str, ...]], list[str]]:
    """Return the features of a wide table, the columns of each step, and notes."""
    stems: dict[str, dict[int, str]] = {}
    for name in columns:
        found = re.fullmatch(r"(.*[^\d\n])?(\d{1,18})", name)
        if found:
            stems.setdefault((found[1] or "").rstrip(" _.-"), {})[int(found[2])] = name
    numbers = sorted(next(iter(stems.values()), {}))
    alike = len(numbers) * len(stems) == len(columns) and all(sorted(each) == numbers for each in stems.values())
    are_dates = any(re.search(r"\d", stem) for stem in stems) or (numbers and 1900 <= numbers[0] <= 2100)
    if not alike or (len(stems) > 1 and are_dates):
        return ["value"], [(name,) for name in columns], ["steps are in the order of the columns, all of one feature"]
    ordered = [tuple(each[number] for each in stems.values()) for number in numbers]
    notes = [f"{len(stems)} features a step by the columns' names: {', '.join(stems)}"] if len(stems) > 1 else []
    if any([each[number] for number in numbers] != list(each.values()) for each in stems.values()):
        notes.append(f"steps are in the order of the columns' numbers, {numbers[0]} to {numbers[-1]}")
    return list(stems) if len(stems) > 1 else ["value"], ordered, notes
