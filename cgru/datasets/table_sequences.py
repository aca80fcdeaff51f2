"""Sequences out of tables: long ones, a row for each step, and wide ones, a row for each sequence."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from cgru.core.lengths import padded
from cgru.datasets.column_roles import check_order, is_like, numbers_of, refuse
from cgru.datasets.columns import LONGEST, Columns, ColumnsError
from cgru.datasets.dataset import Dataset, Split, StepSplit, check_padding
from cgru.datasets.missing_values import (
    Filling,
    cure_of_missing,
    fill,
    indicator_name,
    notes_on_filled,
    notes_on_sentinels,
    parse_filling,
)  # fmt: skip
from cgru.datasets.table import Table, factorize
from cgru.datasets.time_columns import Times, parse_gap, read_times

__all__ = ["TIME_STEP", "pad_sequences", "read_long", "read_wide", "source_columns"]

TIME_STEP = "time_step"  # the name of the feature
PARTS = 12  # of an only sequence: enough for the folds by which input layers are chosen
TOTALS = ("total", "totals", "grand total", "sum", "all", "average", "mean", "gesamt", "summe")


class _Rows(NamedTuple):
    """The rows of a table in the order of the steps.

    Attributes:
        order: the row of the table of each step (n,).
        ids: the id of each sequence (m,).
        bounds: of each sequence the first step and the one behind the last.
    """

    order: np.ndarray
    ids: np.ndarray
    bounds: list[tuple[int, int]]

    def cut(self, values: np.ndarray) -> list[np.ndarray]:
        """Return values of the steps (n, ...) by sequence."""
        return [values[start:end] for start, end in self.bounds]


def read_long(table: Table, how: Columns, *, targets: bool, trained: bool) -> Dataset:
    """Read a table with a row for each step by its resolved columns.

    `trained`: the table is read as data were that a model was trained with, so that its targets may be few.
    Raise ColumnsError for times out of order, missing values, cells that are no numbers, and doubtful targets.
    """
    if not how.columns:
        raise refuse(table, "columns", "none besides those with other roles", "at least one feature")
    keys = [table.column(name, "id") for name in how.id]
    firsts, codes = factorize(keys) if keys else (np.zeros(1, np.intp), np.zeros(len(table.frame), np.intp))
    if not trained and len(firsts) == len(codes) > 1:
        due = "sequences of several rows (wide=True: each row is a sequence)"
        raise ColumnsError("id", f"a new one in each row, {' and '.join(how.id)}", due, {"wide": True})
    ids = _joined([key[firsts] for key in keys]) if keys else np.arange(1, 2)
    times = read_times(table, how.time) if how.time else None
    check_order(table, how, codes, times)
    order = np.lexsort((np.arange(len(codes)) if times is None else times.values, codes))
    numbers = numbers_of(table, how, [name for name in how.columns if name != TIME_STEP])
    features = np.column_stack([numbers[name] for name in numbers])[order] if numbers else np.zeros((len(order), 0))
    notes = [*notes_on_sentinels(features, list(numbers)), *_notes_on_ids(table, how)]
    apart = _apart(how, times, order)
    of = codes[order]
    if how.split_at is not None:
        ids, of = _split_at_gaps(ids, of, apart > parse_gap(how.split_at)[0])
    starts = np.flatnonzero(np.diff(of, prepend=-1))
    if how.windows and len(starts) == 1 and not how.groups and not trained and how.parts != 1:
        length, n = how.windows[0], len(order)
        parts = how.parts or max(1, min(2, n // length), min(PARTS, n // (2 * length)))
        if parts > 1:
            starts, ids = np.arange(parts) * n // parts, 1 + np.arange(parts)
            notes.append(f"the only sequence is cut into {parts} parts, so that whole ones can be held back")
    rows = _Rows(order, ids, list(zip(starts.tolist(), [*starts[1:].tolist(), len(order)], strict=True)))
    filling = parse_filling(how.missing)
    gone = np.isnan(features)
    own = np.repeat(np.arange(len(ids)), [end - start for start, end in rows.bounds])
    _refuse_missing(table, how, gone, list(numbers), own, order)
    notes += notes_on_filled(fill(features, filling.methods(list(numbers)), own), filling, list(numbers))
    features, names = _expand(features, list(numbers), how)
    indicated = filling.indicated(list(numbers), gone.any(axis=0))
    features = np.hstack([features, gone[:, [list(numbers).index(name) for name in indicated]]])
    names += map(indicator_name, indicated)
    if how.time_step:
        first = np.zeros(len(order), bool)
        first[[start for start, _ in rows.bounds]] = True
        features = np.column_stack([features, np.where(first, 0.0, np.append(0.0, apart))])
        names.append(TIME_STEP)
    if twice := [name for name, count in Counter(names).items() if count > 1]:
        raise ColumnsError("columns", f"{twice[0]} twice", "features of different names")
    groups = _constant(table, how, rows, codes, how.groups[0], "groups") if how.groups else None
    whole = rows
    if how.windows:
        rows, groups, more = _windows(rows, groups, how.windows)
        notes += more
    y = None
    if targets and how.label:
        y, more = _targets(table, how, rows, codes)
        notes += more
    written = None
    if times is not None and not targets:
        written = padded_texts([times.texts[order[start:end]] for start, end in rows.bounds])
    X, lengths = pad_sequences(rows.cut(features))
    samples = X, y, lengths, rows.ids if how.id or how.windows or table.nested else None
    split: Any = Split(*samples)
    if filling.decays and times is not None:
        clock = times.seconds[order]
        own = [each - each[0] for each in rows.cut(clock)]
        split = StepSplit(*samples, {"times": np.maximum.accumulate(padded(own)[0], axis=1)})
    if not trained and not how.windows:
        notes += _notes_on_still(whole.cut(features), names, how)
    settled = how.changed(missing=str(filling.settled(indicated)), parts=1)
    return Dataset(split, None, None, tuple(names), tuple(notes), settled, how.label or None, written, groups)


def padded_texts(texts: Sequence[np.ndarray]) -> np.ndarray:
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


def source_columns(features: Sequence[str], how: Columns) -> tuple[str, ...]:
    """Return the columns that features are, or are computed from, each once."""
    computed = {f"{name}_{value}": name for name, values in (how.categories or {}).items() for value in values}
    computed |= {indicator_name(name): name for name in parse_filling(how.missing).named}
    return tuple(dict.fromkeys(computed.get(name, name) for name in features if name != TIME_STEP or not how.time_step))


def _joined(keys: Sequence[np.ndarray]) -> np.ndarray:
    """Return the ids of sequences, those of several columns with slashes between."""
    if len(keys) == 1:
        return _short(keys[0], "id")
    return _short(np.array(["/".join(map(str, each)) for each in zip(*keys, strict=True)], object), "id")


def _short(values: np.ndarray, role: str) -> np.ndarray:
    """Return ids, groups or classes; objects as an array of strings, refused if one is very long."""
    if values.dtype != object:
        return values
    longest = max(values, key=len, default="")
    if len(longest) > LONGEST:
        raise ColumnsError(role, f"one of {len(longest)}", f"at most {LONGEST} characters")
    return values.astype(str)


def _apart(how: Columns, times: Times | None, order: np.ndarray) -> np.ndarray:
    """Return the differences (n - 1,) of the times, of dates in seconds; refuse options that have no times."""
    if times is None:
        for name in ("split_at", "time_step", "sort"):
            if getattr(how, name):
                raise ColumnsError(name, "none", "a column of times, by time")
        return np.zeros(max(0, len(order) - 1))
    if how.split_at is not None and parse_gap(how.split_at)[1] != times.is_dated:
        due = "a time such as 30d or 6h, as times are dates" if times.is_dated else "a number, as times are numbers"
        raise ColumnsError("split_at", how.split_at, due)
    return np.diff(times.seconds[order])


def _split_at_gaps(ids: np.ndarray, codes: np.ndarray, far: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Split sequences (`codes` (n,), into ids) after rows marked `far` (n - 1,); return their ids and codes.

    The parts of sequence a are called a/1, a/2, ...
    """
    begins = np.append(True, far | (np.diff(codes) != 0))
    whole = codes[begins]
    number = np.arange(len(whole)) - np.searchsorted(whole, whole) + 1
    cut = np.bincount(whole)[whole] > 1
    if not cut.any():
        return ids, codes
    known = set(map(str, ids.tolist()))
    sign = next(sign for sign in ("/", "#", "//", "##") if not any(f"{ids[i]}{sign}1" in known for i in whole[cut]))
    texts = [f"{ids[i]}{sign}{j}" if c else f"{ids[i]}" for i, j, c in zip(whole, number, cut, strict=True)]
    return np.array(texts), np.cumsum(begins) - 1


def _windows(rows: _Rows, groups: np.ndarray | None, windows: tuple[int, int]) -> tuple[_Rows, np.ndarray, list[str]]:
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
    return _Rows(rows.order, names, found), (rows.ids if groups is None else groups)[of], notes


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
    filling, words = parse_filling(how.missing), how.categories or ()
    more, empty, lost = cure_of_missing(gone, sequence, names, filling, words)
    if more is None:
        return
    counts = {name: int(n) for name, n in zip(names, gone.sum(axis=0), strict=True) if n}
    every = {*more.values()} == {"forward"} and filling == Filling()
    cure: dict[str, Any] = {"missing": "forward" if every else str(Filling(filling.others, more))} if more else {}
    if empty:
        kept = table.columns.columns
        cure |= (
            {"ignore": (*how.ignore, *empty)} if kept is None else {"columns": tuple(n for n in kept if n not in empty)}
        )
    first = int(lost.argmax())
    name = next(name for name, one in zip(names, gone[first], strict=True) if one)
    each = ", ".join(f"{name} {n}" for name, n in list(counts.items())[:9])
    got = f"none of {name} in {table.locate(rows[first])} (missing: {each})"
    raise ColumnsError("missing", got, "a value in each row", cure)


# --- targets ---


def _constant(table: Table, how: Columns, rows: _Rows, codes: np.ndarray, name: str, role: str) -> np.ndarray:
    """Return the value of a column in each sequence (m,); refuse one that has several.

    The cure is a compound id if one column tells the parts apart, else for labels a target for each step.
    """
    values = _short(table.column(name, role), role)[rows.order]
    starts = np.array([start for start, _ in rows.bounds])
    of = np.repeat(np.arange(len(starts)), [end - start for start, end in rows.bounds])
    other = values != values[starts][of]
    if other.any():
        row = rows.order[int(other.argmax())]
        place = np.empty(len(codes), np.intp)
        place[np.lexsort((np.arange(len(codes)), codes))] = np.arange(len(codes))
        more = _constant_within(table, how, codes, name)
        cure = {"id": more} if more else {"per_step": True} if role == "label" else {"groups": ()}
        raise ColumnsError(role, f"another {name} in {table.locate(row)}", "one value for each sequence", cure)
    return values[starts]


def _constant_within(table: Table, how: Columns, codes: np.ndarray, name: str) -> tuple[str, ...] | None:
    """Return the id with one more column, called as ids are, by which column `name` is constant, or None."""
    values = factorize([table.values(name)[0]])[1]
    for other in table.names:
        if other in (*how.id, *how.time, name) or not is_like(other, "id") or table.is_time(other):
            continue
        firsts, of = factorize([codes, table.values(other)[0]])
        if len(firsts) <= len(codes) / 2 and (values == values[firsts][of]).all():
            return tuple(each for each in table.names if each in (*how.id, other))
    return None


def _targets(table: Table, how: Columns, rows: _Rows, codes: np.ndarray) -> tuple[np.ndarray, list[str]]:
    """Return the targets of the sequences, of windows or of steps, and notes."""
    notes, found = [], []
    for name in how.label:
        if not how.per_step and not how.windows:
            found.append(_constant(table, how, rows, codes, name, "label"))
            continue
        values = _short(table.column(name, "label"), "label")[rows.order]
        if not how.per_step:
            if any((values[start:end] != values[end - 1]).any() for start, end in rows.bounds):
                notes.append(f"{name} of a window is that of its last step; per_step learns that of each")
            values = values[[end - 1 for _, end in rows.bounds]]
        found.append(values)
    y = stacked(found, how)
    if how.per_step:
        if y.ndim == 1 and y.dtype.kind == "f" and not (y % 1).any():
            y = y.astype(np.int64)  # 1.0 is the class 1
        y = y[:, None] if y.ndim == 1 and y.dtype.kind == "f" else y
        y = padded(rows.cut(y))[0]
    return y, notes


def stacked(labels: Sequence[np.ndarray], how: Columns) -> np.ndarray:
    """Return one label unchanged (m,), or several as numbers (m, k); refuse several of which one has words."""
    if len(labels) == 1:
        return labels[0]
    words = [name for name, values in zip(how.label, labels, strict=True) if values.dtype.kind not in "biuf"]
    if words:
        due = "one label, or several with numbers"
        raise ColumnsError("label", f"words in {words[0]}", due, {"label": (words[0],), "ignore": (
            *how.ignore, *(name for name in how.label if name != words[0]))})  # fmt: skip
    return np.stack(labels, axis=1).astype(np.float64)


# --- notes ---


def _notes_on_ids(table: Table, how: Columns) -> list[str]:
    """Return a note on a last row that seems to have totals."""
    for name in how.id:
        last = table.texts(name)[-1]
        if last.casefold() in TOTALS:
            return [f"the last row, {table.locate(len(table.frame) - 1)}, is of {last}: is it a sequence?"]
    return []


def _notes_on_still(X: Sequence[np.ndarray], names: Sequence[str], how: Columns) -> list[str]:
    """Return notes on features that do not change within any sequence, and on an id whose first part may be a group."""
    if max(map(len, X)) == 1 or len(X) == 1:
        return []
    still = np.all([(x == x[0]).all(axis=0) for x in X], axis=0) & np.any([x[0] != X[0][0] for x in X], axis=0)
    found = [name for name, is_still in zip(names, still, strict=True) if is_still]
    notes = [f"constant within each sequence, as codes and properties are: {', '.join(found)}"] if found else []
    if len(how.id) > 1 and not how.groups:
        notes.append(f"as groups, {how.id[0]} keeps its sequences together where some are held back")
    return notes


# --- a row for each sequence ---


def read_wide(table: Table, how: Columns, *, targets: bool, trained: bool) -> Dataset:
    """Read a table with a row for each sequence by its resolved columns.

    Columns whose names differ only in a number at the end are the steps of one feature, in the order of the numbers.
    Otherwise all columns are the steps of one, in their order. Empty cells at the end of a row end its sequence.
    """
    for name in ("categories", "per_step", "split_at", "time_step", "windows", "sort"):
        if getattr(how, name):
            raise ColumnsError(name, "one for each sequence (wide=True)", "a row for each step", None)
    called, steps, notes = _steps_of_columns(how.columns)
    numbers = numbers_of(table, how, how.columns)
    X = np.stack([numbers[name] for step in steps for name in step], axis=1).reshape(len(table.frame), len(steps), -1)
    names = called if len(called) > 1 else ["value"]
    notes += notes_on_sentinels(X.reshape(-1, len(names)), names)
    there = ~np.isnan(X).all(axis=2)
    ends = np.where(there.any(axis=1), X.shape[1] - there[:, ::-1].argmax(axis=1), 0)
    if not ends.all():
        empty = np.flatnonzero(ends == 0)
        raise ColumnsError("columns", f"none in {table.locate(empty[0])}", "values in each row", table.without(empty))
    if (ends < X.shape[1]).any():
        notes.append(f"{(ends < X.shape[1]).sum()} sequences end before the last column")
    sequences = [x[:n].copy() for x, n in zip(X, ends.tolist(), strict=True)]
    filling = parse_filling(how.missing)
    gone = [np.isnan(x) for x in sequences]
    rows = np.repeat(np.arange(len(ends)), ends)
    _refuse_missing(table, how, np.concatenate(gone), names, rows, rows)
    notes += notes_on_filled(sum(fill(x, filling.methods(names)) for x in sequences), filling, names)
    indicated = filling.indicated(names, np.any([own.any(axis=0) for own in gone], axis=0))
    at = [names.index(name) for name in indicated]
    sequences = [np.hstack([x, own[:, at]]) for x, own in zip(sequences, gone, strict=True)]
    features = (*names, *map(indicator_name, indicated)) if indicated or len(names) > 1 else None
    ids = None
    if how.id:
        keys = [table.column(name, "id") for name in how.id]
        firsts, _ = factorize(keys)
        if len(firsts) < len(ends):
            raise ColumnsError(
                "wide", f"{len(ends) - len(firsts)} ids in several rows", "each id in one row", {"wide": False}
            )
        ids = _joined(keys)
    y = None
    if targets and how.label:
        y = stacked([_short(table.column(name, "label"), "label") for name in how.label], how)
    groups = _short(table.column(how.groups[0], "groups"), "groups") if how.groups else None
    X, lengths = pad_sequences(sequences)
    settled = how.changed(missing=str(filling.settled(indicated)), parts=1)
    return Dataset(
        Split(X, y, lengths, ids), None, None, features, tuple(notes), settled, how.label or None, None, groups
    )


def _steps_of_columns(columns: Sequence[str]) -> tuple[list[str], list[tuple[str, ...]], list[str]]:
    """Return the features of a wide table, the columns of each step, and notes."""
    stems: dict[str, dict[int, str]] = {}
    for name in columns:
        found = re.fullmatch(r"(.*[^\d\n])?(\d{1,18})", name)
        if found:
            stems.setdefault((found[1] or "").rstrip(" _.-"), {})[int(found[2])] = name
    numbers = sorted(next(iter(stems.values()), {}))
    alike = len(numbers) * len(stems) == len(columns) and all(sorted(each) == numbers for each in stems.values())
    dated = len(stems) > 1 and any(
        re.search(r"\d|^(q|jan|mon|week|w|day|d)\w*$", stem, re.IGNORECASE) for stem in stems
    )
    if not alike or dated:
        return [""], [(name,) for name in columns], ["steps are in the order of the columns, all of one feature"]
    ordered = [tuple(each[number] for each in stems.values()) for number in numbers]
    notes = [f"{len(stems)} features a step by the columns' names: {', '.join(stems)}"] if len(stems) > 1 else []
    apart = np.diff(numbers)
    if (apart != apart[:1]).any():
        i = int(apart.argmax())
        notes.append(f"a step may be missing: {ordered[i + 1][0]} is the next one after {ordered[i][0]}")
    if any([each[number] for number in numbers] != list(each.values()) for each in stems.values()):
        notes.append(f"steps are in the order of the columns' numbers, {numbers[0]} to {numbers[-1]}")
    return list(stems), ordered, notes
