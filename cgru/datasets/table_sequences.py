"""Read sequences from tables: long ones have a row for each step, wide ones a row for each sequence."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from cgru.core.lengths import padded
from cgru.datasets.column_roles import check_order, compound_id, is_like, kind_of, numbers_of
from cgru.datasets.columns import LONGEST, Columns, ColumnsError
from cgru.datasets.dataset import Dataset, Split, check_padding
from cgru.datasets.missing_values import INDICATOR, MISSING, decays, fill, methods_of, parse_missing
from cgru.datasets.table import Table, factorize
from cgru.datasets.time_columns import Times, read_times
from cgru.network.data.samples import Sequences

__all__ = ["TIME_STEP", "Rows", "pad_sequences", "read_sequences", "rows_of"]

TIME_STEP = "time_step"  # the name of the feature
PARTS = 12  # of an only sequence: enough for the folds by which input layers are chosen
TOTALS = ("total", "totals", "grand total", "sum", "all", "average", "mean", "gesamt", "summe")


class Rows(NamedTuple):
    """The rows of a table, sorted by sequence and step.

    Attributes:
        order: the row of the table of each step (n,).
        ids: the id of each sequence (m,).
        starts, ends: the first step of each sequence, and the one behind the last (m,).
        codes: the index of the sequence of each row of the table (n,).
        clock: the times of the rows of the table, or None.
    """

    order: np.ndarray
    ids: np.ndarray
    starts: np.ndarray
    ends: np.ndarray
    codes: np.ndarray
    clock: Times | None

    def cut(self, values: np.ndarray) -> list[np.ndarray]:
        """Return values of the steps (n, ...) by sequence."""
        return [values[start:end] for start, end in zip(self.starts, self.ends, strict=True)]


def rows_of(table: Table, how: Columns) -> Rows:
    """Sort the rows of a table by sequence and time; ColumnsError for times that repeat or decrease."""
    keys = [table.column(name, "id") for name in how.id]
    for i, key in enumerate(keys):
        if key.dtype.kind == "f":  # as numbers 1.10 and 1.1 would be one
            keys[i] = table.column(how.id[i], "id", plain=True)
    keys = keys or [table.lines if how.wide else np.ones(len(table.frame), int)]
    firsts, codes = factorize(keys)
    clock = read_times(table, how.time) if how.time else None
    if not how.wide:
        check_order(table, how, codes, clock)
    order = np.lexsort((np.arange(len(codes)) if clock is None else clock.values, codes))
    names = ["/".join(map(str, each)) for each in zip(*(key[firsts] for key in keys), strict=True)]
    ids = _short(keys[0][firsts] if len(keys) == 1 else np.array(names, object), "id")
    starts = np.flatnonzero(np.diff(codes[order], prepend=-1))
    return Rows(order, ids, starts, np.append(starts[1:], len(order)), codes, clock)


def read_sequences(table: Table, how: Columns, *, targets: bool, trained: bool) -> Dataset:
    """Read the sequences of a table whose columns all have a role.

    `trained`: the table is read as data were that a model was trained with, so that its targets may be few.
    Raise ColumnsError for times out of order, missing values, cells that are no numbers, and doubtful targets.
    """
    if not how.columns:
        raise ColumnsError("columns", "none besides those with other roles", "at least one feature")
    numbers, notes = {}, []
    if how.wide:
        table, numbers = _unfolded(table, how)
    whole = rows_of(table, how)
    clock, n = whole.clock, len(whole.order)
    if not (trained or how.wide) and len(whole.ids) == n > 1:
        raise ColumnsError(
            "id", f"a new one in each row, {' and '.join(how.id)}", "several rows of one", {"wide": True}
        )
    if lost := [name for name in ("time_step", "sort") if clock is None and getattr(how, name)]:
        raise ColumnsError(lost[0], "none", "a column of times, by time")
    numbers = numbers or numbers_of(table, how, [name for name in how.columns if name != TIME_STEP])
    if how.windows and len(whole.ids) == 1 and not how.groups and not trained:
        length = how.windows[0]  # whole parts can be held back
        parts = how.parts or max(1, min(2, n // length), min(PARTS, n // (2 * length)))
        bounds, ids = np.arange(parts + 1) * n // parts, 1 + np.arange(parts) if parts > 1 else whole.ids
        whole = whole._replace(ids=ids, starts=bounds[:-1], ends=bounds[1:])
    features, names, missing = _filled(table, how, whole, numbers)
    if how.time_step:
        since = np.diff(clock.seconds[whole.order], prepend=0.0)
        since[whole.starts] = 0
        features, names = np.column_stack([features, since]), [*names, TIME_STEP]
    if twice := [name for name, count in Counter(names).items() if count > 1]:
        raise ColumnsError("columns", f"{twice[0]} twice", "features of different names")
    groups, rows = _constant(table, how, whole, how.groups[0], "groups") if how.groups else None, whole
    if how.windows:
        rows, of = _windows(whole, *how.windows)
        groups = (whole.ids if groups is None else groups)[of]
    y = _targets(table, how, rows) if targets and how.label else None
    written, passed = None, None
    if clock is not None and not targets:
        written = np.full((len(whole.ids), (whole.ends - whole.starts).max()), "", object)
        for i, texts in enumerate(whole.cut(clock.texts[whole.order])):
            written[i, : len(texts)] = texts
    if clock is not None and decays(how.missing):
        passed = padded([each - each[0] for each in rows.cut(clock.seconds[whole.order])])[0]
        passed = np.maximum.accumulate(passed, axis=1)
    X, lengths = pad_sequences(rows.cut(features))
    split = Split(Sequences(X, lengths, times=passed), y, rows.ids if how.id or how.windows or table.nested else None)
    above = [part for part in (how.skip_lines or "").split(",") if part and int(part.split("-")[-1]) < table.lines[0]]
    settled = how.changed(missing=missing, parts=1, columns=None if how.wide else how.columns)
    settled = settled.changed(skip_lines=",".join(above) or None)  # later files have other lines below the header
    for name, values in numbers.items():
        there = values[~np.isnan(values)]
        far = there[np.abs(there).argmax()] if len(there) else 0
        others = there[there != far]
        if re.fullmatch(r"(-9|99)9+(\.9+)?", f"{far:.10g}") and len(others) and abs(others).max() < abs(far) / 10:
            found = f"{others.min():g} to {others.max():g}"
            notes.append(f"{name} is {far:.10g} in some rows, in others {found}: na={far:.10g} takes it for missing")
    lasts = [last for name in how.id if (last := table.texts(name)[-1]).casefold() in TOTALS]
    notes += [f"the last row, {table.locate(-1)}, is of {last}: is it a sequence?" for last in lasts[:1]]
    return Dataset(split, None, None, tuple(names), tuple(notes), settled, how.label or None, written, groups)


def pad_sequences(sequences: Sequence[np.ndarray]) -> tuple[np.ndarray, np.ndarray | None]:
    """Pad sequences (s_i, e) to X (m, s, e); return it and the lengths (m,), None if all are s."""
    check_padding([len(x) for x in sequences], sequences[0].shape[1])
    X, lengths = padded(sequences)
    return X, None if (lengths == X.shape[1]).all() else lengths


def _short(values: np.ndarray, role: str) -> np.ndarray:
    """Convert ids, groups or classes from objects to strings; refuse very long ones."""
    if values.dtype != object:
        return values
    longest = max(values, key=len, default="")
    if len(longest) > LONGEST:
        raise ColumnsError(role, f"one of {len(longest)}", f"at most {LONGEST} characters")
    return values.astype(str)


def _windows(rows: Rows, length: int, hop: int) -> tuple[Rows, np.ndarray]:
    """Cut sequences into windows, the last up to the end; return them, and the sequence of each (m,)."""
    lasts = np.maximum(rows.starts, rows.ends - length)
    cut = [np.append(np.arange(start, last, hop), last) for start, last in zip(rows.starts, lasts, strict=True)]
    of, starts = np.repeat(np.arange(len(cut)), list(map(len, cut))), np.concatenate(cut)
    names = np.array([f"{id}/{j}" for id, own in zip(rows.ids, cut, strict=True) for j in range(1, len(own) + 1)])
    return rows._replace(ids=names, starts=starts, ends=np.minimum(starts + length, rows.ends[of])), of


# --- features ---


def _filled(
    table: Table, how: Columns, rows: Rows, numbers: dict[str, np.ndarray]
) -> tuple[np.ndarray, list[str], dict[str, str]]:
    """Return features (n, e) with missing values filled, indicators and one-hot categories, and their names.

    The third value is `missing` for later data, whose columns get the same indicators.
    """
    names, categories, known = list(numbers), how.categories or {}, parse_missing(how.missing)
    raw = np.column_stack([*numbers.values(), np.zeros((len(rows.order), 0))])[rows.order]
    gone, own = np.isnan(raw), np.repeat(np.arange(len(rows.starts)), rows.ends - rows.starts)
    given = methods_of(how.missing, names)
    methods = [each.removesuffix(INDICATOR) for each in given]
    for i, name in enumerate(names):  # words have no values between
        methods[i] = MISSING[0] if name in categories and methods[i] in ("interpolate", "decay") else methods[i]
    values = fill(raw.copy(), methods, own)
    left = np.isnan(values) & [method != "decay" for method in methods]
    if left.any():
        still = np.isnan(fill(raw, ["forward"] * len(names), own)).any(axis=0)
        raise _missing_error(table, how, rows, dict(zip(names, given, strict=True)), gone, left, still)
    columns, called, later = [np.zeros((len(values), 0))], [], known | {"": known.get("", "").removesuffix(INDICATOR)}
    for name, column in zip(names, values.T, strict=True):
        words = categories.get(name)
        columns.append(column[:, None] if words is None else column[:, None] == np.arange(1, len(words) + 1))
        called += [name] if words is None else [f"{name}_{word}" for word in words]
    for name, lost, method in zip(names, gone.T, given, strict=True):
        if method.endswith(INDICATOR) and (lost.any() or name in known):
            columns.append(lost[:, None])
            called.append(f"missingindicator_{name}")
            later[name] = method
    later = {name: method for name, method in later.items() if method}
    return np.hstack(columns).astype(np.float64), called, later or {"": MISSING[0]}


def _missing_error(
    table: Table, how: Columns, rows: Rows, given: dict[str, str], gone: np.ndarray, left: np.ndarray, still: np.ndarray
) -> ColumnsError:
    """Return the error for missing values `left` (n, e) that the methods `given` of features do not fill.

    gone, still: what is missing (n, e), and the features (e,) of which values would be after "forward".
    """
    names, kept = list(given), table.columns.columns
    empty = [name for name, own in zip(names, gone.T, strict=True) if own.all() and not how.wide]
    more = {}
    for name, own, lacks in zip(names, left.T, still, strict=True):
        if own.any() and name not in empty:
            more[name] = ("zero" if lacks else "forward") + INDICATOR * given[name].endswith(INDICATOR)
    known = {name: method for name, method in parse_missing(how.missing).items() if method != MISSING[0]}
    is_plain = not known and {*more.values()} == {"forward"}
    cure: dict[str, Any] = {"missing": Columns(missing="forward" if is_plain else known | more).missing} if more else {}
    if empty:
        cure |= {"columns": [name for name in kept if name not in empty]} if kept else {"ignore": (*how.ignore, *empty)}
    first = int(left.any(axis=1).argmax())
    got = f"none of {names[int(left[first].argmax())]} in {table.locate(rows.order[first])} ({gone.sum()} missing)"
    return ColumnsError("missing", got, "a value in each row", cure)


# --- targets ---


def _constant(table: Table, how: Columns, rows: Rows, name: str, role: str) -> np.ndarray:
    """Return the value of a column in each sequence (m,); refuse one that has several.

    The cure is a compound id if another column tells the parts apart, else for labels a target for each step.
    """
    values = _short(table.column(name, role), role)
    first = values[rows.order[rows.starts]]
    other = values[rows.order] != np.repeat(first, rows.ends - rows.starts)
    if other.any():

        def is_one(of: np.ndarray) -> bool:
            """Return whether each sequence has one value."""
            return bool((values == values[np.unique(of, return_index=True)[1]][of]).all())

        more, got = compound_id(table, how, rows.codes, is_one), table.locate(rows.order[other.argmax()])
        cure = {"id": more} if more else {"per_step": True} if role == "label" else {"groups": ()}
        raise ColumnsError(role, f"another {name} in {got}", "one value for each sequence", cure)
    return first


def _targets(table: Table, how: Columns, rows: Rows) -> np.ndarray:
    """Return the targets: one for each sequence, one for each window (that of its last step), or one for each step."""
    found = []
    if how.task != "classification":
        numbers_of(table, how, [name for name in how.label if kind_of(table, name) == "number"], "label")
    for name in how.label:
        if how.per_step or how.windows:
            values = _short(table.column(name, "label"), "label")[rows.order]
            found.append(values if how.per_step else values[rows.ends - 1])
        else:
            found.append(_constant(table, how, rows, name, "label"))
    words = [name for name, values in zip(how.label, found, strict=True) if values.dtype.kind not in "if"]
    if words and len(found) > 1:
        cure = {"label": words[:1], "ignore": (*how.ignore, *(name for name in how.label if name != words[0]))}
        raise ColumnsError("label", f"words in {words[0]}", "one label, or several with numbers", cure)
    y = found[0] if len(found) == 1 else np.stack(found, axis=1).astype(np.float64)
    if how.per_step:
        if y.ndim == 1 and y.dtype.kind == "f":
            y = y[:, None] if (y % 1).any() else y.astype(np.int64)  # 1.0 is the class 1
        y = padded(rows.cut(y))[0]
    return y


# --- a row for each sequence ---


def _unfolded(table: Table, how: Columns) -> tuple[Table, dict[str, np.ndarray]]:
    """Convert a wide table to a long one, a row for each step; return it and the features of the steps.

    Columns whose names differ only in a number at the end are the steps of one feature, in the order of the numbers.
    Otherwise all columns are the steps of one, in their order. Empty cells at the end of a row end its sequence.
    """
    for name in ("time", "categories", "per_step", "time_step", "windows", "sort"):
        if getattr(how, name):
            raise ColumnsError(name, "one for each sequence (wide=True)", "a row for each step", None)
    others = [name for name in how.columns if not re.search(r"\d\W*$", name) and not is_like(name, "label")]
    if table.columns.columns is None and 2 * len(others) < len(how.columns) and others:
        due = "names with a number, as most have, or another role"
        for k in () if how.id else range(1, len(others) + 1):
            if len(factorize([table.values(name)[0] for name in others[:k]])[0]) == len(table.frame):
                raise ColumnsError("columns", others[0], due, {"id": others[:k]})
        numbers_of(table, how, how.columns)  # first refuses words
        raise ColumnsError("columns", others[0], due, {"ignore": (*how.ignore, *others)})
    numbers = numbers_of(table, how, how.columns)
    names, steps = _steps_of_columns(how.columns)
    X = np.stack([numbers[name] for step in steps for name in step], axis=1).reshape(len(table.frame), len(steps), -1)
    there = ~np.isnan(X).all(axis=2)
    ends = np.where(there.any(axis=1), X.shape[1] - there[:, ::-1].argmax(axis=1), 0)
    if (empty := np.flatnonzero(ends == 0)).size:
        raise ColumnsError("columns", f"none in {table.locate(empty[0])}", "values in each row", table.without(empty))
    if how.id and len(factorize([table.column(name, "id") for name in how.id])[0]) < len(ends):
        raise ColumnsError("wide", "some in several rows", "each id in one row", {"wide": False})
    rows, values = np.repeat(np.arange(len(ends)), ends), X[np.arange(X.shape[1]) < ends[:, None]]
    long = table._replace(frame=table.frame.drop(how.columns)[rows], lines=table.lines[rows])
    return long, dict(zip(names, values.T, strict=True))


def _steps_of_columns(columns: Sequence[str]) -> tuple[list[str], list[tuple[str, ...]]]:
    """Return the names of the features of a wide table, and the columns of each step."""
    stems: dict[str, dict[int, str]] = {}
    for name in columns:
        if found := re.fullmatch(r"(.*[^\d\n])?(\d{1,18})", name):
            stems.setdefault((found[1] or "").rstrip(" _.-"), {})[int(found[2])] = name
    numbers = sorted(next(iter(stems.values()), {}))
    alike = len(numbers) * len(stems) == len(columns) and all(sorted(each) == numbers for each in stems.values())
    are_dates = any(re.search(r"\d", stem) for stem in stems) or (numbers and 1900 <= numbers[0] <= 2100)
    if not alike or (len(stems) > 1 and are_dates):
        return ["value"], [(name,) for name in columns]
    ordered = [tuple(each[number] for each in stems.values()) for number in numbers]
    return list(stems) if len(stems) > 1 else ["value"], ordered
