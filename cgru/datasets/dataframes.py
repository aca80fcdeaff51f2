"""Sequences out of tables: long ones, a row for each step, and wide ones, a row for each sequence."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from cgru.core.lengths import padded
from cgru.datasets import missing_values
from cgru.datasets.column_names import NUMBERED, as_arg, as_names, check_choice, ignoring, is_part_of_date, listed
from cgru.datasets.column_roles import ColumnRoles, assign_roles
from cgru.datasets.date_parts import join_parts
from cgru.datasets.table import Table, factorize_rows, table_of_frame
from cgru.datasets.time_differences import TIME_STEP, notes_on_gaps, parse_gap
from cgru.datasets.time_parsing import are_times, date_format_of, describe_slip, rank_times, times_as_numbers
from cgru.datasets.where import Locator, first_true

__all__ = ["Sequences", "from_frame", "pad_sequences", "read_long", "read_wide"]

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
    ignore: str | Sequence[str] = (),
    per_step: bool = False,
    missing: str = "refuse",
    na: missing_values.NA | None = None,
    split_at: str | float | None = None,
    time_step: bool = False,
    time_format: str | None = None,
) -> Sequences:
    """The sequences in a long table, a row for each step.

    Args:
        frame: a DataFrame of pandas, Polars or whatever else narwhals reads.
        id: the column that says which sequence a row belongs to, or several that say it together; its rows may stand
            anywhere.
        time: the column that the steps of a sequence are sorted by, of numbers, dates, or strings that are either, or
            several, such as a date and a time of day, which are joined; None: they come as they stand.
        label: the column with the target of a sequence, the same in all its rows; several columns of numbers make
            targets (m, k); None: there is none.
        columns: those with the elements of a step, a time of numbers among them, too; None: all others, which must be
            numbers or booleans.
        ignore: columns that are no elements.
        per_step: whether the label is a class for each step, which may change within a sequence.
        missing: "refuse", or how elements without a value are filled: "forward", the last value before in the sequence
            (at its beginning the first one after); "interpolate", on the line between the values before and after, by
            the number of steps; or "zero".
        na: a word or several that mean a missing value too, as of `read`.
        split_at: a gap in time at which a sequence ends and another begins, as of `read`.
        time_step: whether the time since the row before is an element as well, as of `read`.
        time_format: how times are written, as for strptime, such as "%d/%m/%Y"; None: in any of the usual ways, where
            only one of them fits all.

    Raises:
        ImportError: narwhals is not installed.
        TypeError: `frame` is no table, or a column has no numbers.
        ValueError: a column is missing, a value is, two steps of a sequence are of the same time, or a label is not the
            same in all rows of a sequence; with its place.
    """
    table = table_of_frame(frame, na=missing_values.as_words(na))
    if isinstance(columns, str):
        raise TypeError(f"columns: expected a list of names, got {columns!r}")
    named = {"id": id, "time": time or (), "label": label or (), "ignore": ignore}
    named = {role: as_names(names, role) for role, names in named.items()}
    taken = [name for names in named.values() for name in names]
    names = tuple(name for name in table.names if name not in taken) if columns is None else tuple(columns)
    index = [name for name in getattr(getattr(frame, "index", None), "names", ()) if name not in table.names]
    if lost := [name for name in taken if name in index]:
        cure = "frame.reset_index() has it there"
        raise ValueError(f"frame: expected {listed(lost)} among its columns, got an index; {cure}")
    if not names:
        raise ValueError(f"columns: expected at least one beside {', '.join(taken)}, got none")
    options = {"per_step": per_step, "time_format": time_format, "split_at": split_at, "time_step": time_step}
    roles, _ = assign_roles(table, ColumnRoles(**named, columns=names, wide=False, **options))
    return read_long(table, roles, missing)[0]


# --- a row for each step ---


class ReadSequences(NamedTuple):
    """Sequences that were read from a table, how many values of each element were filled (e,), and notes in words.

    `groups` (m,) is None where there are none. `rows` says of each sequence which rows of the table its steps are
    (s_i,); None: each row is a sequence.
    """

    sequences: Sequences
    counts: np.ndarray
    notes: list[str]
    groups: np.ndarray | None
    rows: list[np.ndarray] | None = None


def read_long(table: Table, roles: ColumnRoles, missing: str) -> ReadSequences:
    """Return the sequences in a long table, and what is to be said of them. Errors as `from_frame`."""
    check_choice("missing", missing, missing_values.MISSING)
    ids, codes = factorize_rows(table, roles.id)
    called, form = " ".join(roles.time), roles.time_format
    written = table.together(roles.time, whole=form is not None) if roles.time else np.arange(table.rows)
    times = rank_times(written, called, table.locate, form if roles.time else None)
    order = np.lexsort((times, codes))
    sequence, codes, times = codes, codes[order], times[order]
    if (again := first_true((np.diff(codes) == 0) & (np.diff(times) == 0))) is not None:
        first, second = order[again : again + 2].tolist()
        got = f"{written[second]} of {'/'.join(roles.id)} {ids[codes[again]]}"
        where = f"{table.locate(first)} and again in {table.locate(second)}"
        cure = f'time="" with ignore={as_arg(roles.time)} takes rows as they stand'
        raise ValueError(f"{called}: expected times that differ within a sequence, got {got} in {where}; {cure}")
    elements = _elements(table, roles, missing, sequence)[order]
    notes = missing_values.notes_on_sentinels(elements, roles.columns)
    columns = list(roles.columns)
    if form is None and len(roles.time) == 1 and written.dtype.kind in "iu":
        guessed = date_format_of(written)
        if guessed not in ("", "%Y%m"):  # those may be any numbers
            roles = roles._replace(time_format=guessed)
            if roles.time_step or roles.split_at is not None:
                notes.append(f'{called} has dates such as {written[0]} (time_format="{guessed}")')
    apart, seconds = _apart(roles, written[order], lambda i: table.locate(int(order[i])))
    if roles.split_at is not None:
        ids, codes = _split(ids, codes, apart > _gap(roles, seconds))
    inside = np.diff(codes) == 0
    if apart.size:
        notes += notes_on_gaps(apart[inside], seconds, called)
    if roles.time_step:
        elements = np.column_stack([elements, np.append(0.0, np.where(inside, apart, 0.0))])
        columns.append(TIME_STEP)
    starts = np.flatnonzero(np.diff(codes, prepend=-1))
    X = np.split(elements, starts[1:])
    counts = _filled(X, missing, columns, lambda i: f"{'/'.join(roles.id)} {ids[i]}")

    def constant(name: str, cure: str) -> np.ndarray:
        """Return the one value of a column for each sequence (m,); ValueError where one has several."""
        values = table.column(name)[order]
        if (other := first_true(values != values[starts][codes])) is not None:
            row = table.locate(int(order[other]))
            raise ValueError(f"{name}: expected one value for each {'/'.join(roles.id)}, got another in {row}; {cure}")
        return _plain(values[starts])

    y = None
    if roles.per_step:
        y = _classes_of_steps(table, roles.label, order, starts)
    elif roles.label:
        cure = "per_step=True takes a class for each step"
        y = _joined([constant(name, cure) for name in roles.label])
        notes += _doubted(y, roles.label)
    together = None
    for name in roles.groups:
        together = constant(name, "a sequence belongs to one group")
    return ReadSequences(Sequences(X, y, ids, columns), counts, notes, together, np.split(order, starts[1:]))


def _apart(roles: ColumnRoles, written: np.ndarray, locate: Locator) -> tuple[np.ndarray, bool]:
    """Return how far each time (n,) is from the one before (n - 1,), and whether in seconds; () where nobody knows.

    ValueError, with the place, where that is to be known.
    """
    is_needed = roles.split_at is not None or roles.time_step
    if not roles.time:
        for name in ("split_at", "time_step"):
            if getattr(roles, name):
                raise ValueError(f"{name}: expected a column of times beside it, got none")
        return np.zeros(0), False
    try:
        if "hhmm" in roles.time[0].lower() and written.dtype.kind in "iu" and roles.time_format is None:
            written = join_parts(["clock"], roles.time, [written], locate)  # 100 is an hour after 0, and 60 none
        clock, seconds = times_as_numbers(written, roles.time_format, " ".join(roles.time), locate)
    except ValueError:
        if is_needed:
            raise
        return np.zeros(0), False
    return np.diff(clock), seconds


def _gap(roles: ColumnRoles, seconds: bool) -> float:
    """Return the gap that cuts sequences, in the unit of the times."""
    gap, timed = parse_gap(roles.split_at)
    if timed != seconds:
        due = "a time such as 30d or 6h, since {} has dates" if seconds else "a number, since {} has numbers"
        raise ValueError(f"split_at: expected {due.format(' '.join(roles.time))}, got {roles.split_at!r}")
    return gap


def _split(ids: np.ndarray, codes: np.ndarray, far: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the ids, and of each row its sequence, where sequences are cut at `far` (n - 1,): a/1, a/2, ... of a."""
    begins = np.append(True, far | (np.diff(codes) != 0))
    whole = codes[begins]
    number = np.arange(len(whole)) - np.searchsorted(whole, whole) + 1
    cut = np.bincount(whole)[whole] > 1
    if not cut.any():
        return ids, codes
    known = set(map(str, ids.tolist()))
    sep = next(sep for sep in ("/", "#", "//", "##") if not any(f"{ids[i]}{sep}1" in known for i in whole[cut]))
    texts = [f"{ids[i]}{sep}{j}" if c else f"{ids[i]}" for i, j, c in zip(whole, number, cut, strict=True)]
    return np.array(texts), np.cumsum(begins) - 1


def _elements(table: Table, roles: ColumnRoles, missing: str, sequence: np.ndarray) -> np.ndarray:
    """Return the numbers in the columns of the elements (n, e), NaN where they are missing and may be.

    `sequence` (n,) numbers the sequence of each row. Errors as `_numbers`, and ValueError that names all columns with
    missing values, and what helps.
    """
    elements = np.column_stack(list(_numbers(table, roles).values()))
    gone = np.isnan(elements)
    counts = dict(zip(roles.columns, gone.sum(axis=0).tolist(), strict=True))
    lost = {name: count for name, count in counts.items() if count}
    if lost and missing == "refuse":
        first = next(iter(lost))
        row = table.locate(int(gone[:, roles.columns.index(first)].argmax()))
        raise ValueError(_on_missing(lost, first, row, missing_values.advise(gone, sequence, roles.columns)))
    return elements


def _numbers(table: Table, roles: ColumnRoles) -> dict[str, np.ndarray]:
    """Return the numbers in each column of elements (n,); TypeError that names all without, and what helps."""
    numbers, wrong = {}, {}
    for name in roles.columns:
        try:
            numbers[name] = table.numbers(name)
        except TypeError as error:
            values, missing = table.read(name)
            slip = "" if missing.any() else describe_slip(values, name, table.locate)
            wrong[name] = slip or f"{error}{'' if roles.wide else _advice(table, name, roles)}"
    words = [name for name in wrong if not roles.wide or table.is_text(name)]  # else a step with a slip
    if wrong and not words:
        raise TypeError("; ".join(wrong.values()))
    if wrong:
        cure = f'columns="..." says which are elements, unless it is the id{"" if roles.wide else ", time"} or label'
        raise TypeError("; ".join([*wrong.values(), f"{cure}, {ignoring(words)}"]))
    return numbers


def _on_missing(counts: Mapping[str, int], first: str, row: str, cure: str) -> str:
    """Return what to say of columns with missing values: `counts` of each, the row of the first, and what helps."""
    each = listed([f"{name} {count}" for name, count in counts.items()])
    several = "" if sum(counts.values()) == 1 else f" (missing: {each})"
    names = listed([first, *(name for name in counts if name != first)])
    return f"{names}: expected a value in each row, got none in {row}{several}; {cure}"


def _advice(table: Table, name: str, roles: ColumnRoles) -> str:
    """What a column without numbers may be, in words, or "": a time, or the classes where it has few values."""
    values, missing = table.read(name)
    if missing.any():
        return ""
    try:
        together = len(factorize_rows(table, (*roles.id, name))[0])
    except (TypeError, ValueError):  # what is no table has series in its cells
        return ""
    if are_times(values):
        return f'; time="{name}" sorts by it' if not roles.time and together == table.rows else ""
    classes = len(set(map(str, values)))
    if roles.label or not 1 < classes <= min(FEW, table.rows // 2) or not table.is_text(name):
        return ""
    if together == len(factorize_rows(table, roles.id)[0]):
        return f'; label="{name}" learns it'
    return f'; label="{name}" with per_step=True learns it'


def _filled(X: Sequence[np.ndarray], missing: str, names: Sequence[str], where: Any) -> np.ndarray:
    """How many values of each element were filled; ValueError where an element of a sequence has none at all."""
    cure = 'missing="zero" fills it, ignore="NAME" leaves a column out'
    due = "expected a value at least, got none in"
    return missing_values.fill_each(X, missing, len(names), lambda i, j: f"{names[j]}: {due} {where(i)}; {cure}")


def _classes_of_steps(table: Table, label: Sequence[str], order: np.ndarray, starts: np.ndarray) -> np.ndarray:
    """The classes (m, s), padded with what stands for nothing."""
    if len(label) != 1:
        raise ValueError(f"per_step: expected one label, got {', '.join(label) or 'none'}")
    values = _plain(table.column(label[0])[order])
    if values.dtype.kind == "f" and not (values % 1).any():
        values = values.astype(np.int64)  # 1.0 is the class 1
    if values.dtype.kind == "f":
        raise ValueError(f"{label[0]}: expected a class for each step, integers or strings, got {values.dtype}")
    return padded(np.split(values, starts[1:]))[0]


def _joined(labels: Sequence[np.ndarray]) -> np.ndarray:
    """One label (m,), or several numbers (m, k)."""
    if len(labels) == 1:
        return labels[0]
    if words := [each for each in labels if each.dtype.kind not in "iuf"]:
        raise ValueError(f"label: expected one, or several with numbers, got {str(words[0][0])!r}")
    return np.stack(labels, axis=1).astype(np.float64)


def _doubted(y: np.ndarray | None, names: Sequence[str]) -> list[str]:
    return (
        [] if y is None or y.dtype.kind not in "if" else missing_values.notes_on_sentinels(y.reshape(len(y), -1), names)
    )


def _plain(values: np.ndarray) -> np.ndarray:
    """Strings among objects as strings, stripped."""
    if all(isinstance(value, str) for value in values):
        return np.array([value.strip() for value in values])
    return values


def notes_on_ids(table: Table, roles: ColumnRoles, found: Sequences) -> list[str]:
    """Return what to say of elements that do not change within a sequence, and of an id of two columns, in words."""
    notes = []
    if max(map(len, found.X)) > 1 and len(found.X) > 1:
        still = np.all([(x == x[0]).all(axis=0) for x in found.X], axis=0)
        still &= np.any([x[0] != found.X[0][0] for x in found.X], axis=0)  # else it is told that nothing changes
        if names := [name for name, is_still in zip(found.columns, still, strict=True) if is_still]:
            verb = "does" if len(names) == 1 else "do"
            learns = "" if roles.label else f", label={as_arg(names[-1:])} learns {names[-1] if names[1:] else 'it'}"
            found_still = f"{listed(names)} {verb} not change within any sequence, as codes and names do"
            notes.append(f"{found_still}: {ignoring(names)}{learns}")
    if len(roles.id) == 2 and not roles.groups and len(factorize_rows(table, roles.id[:1])[0]) < len(found.X):
        cure = f"groups={as_arg(roles.id[:1])} keeps them together where some are held back"
        notes.append(f"is {roles.id[0]} a group, whose sequences are alike? {cure}")
    return notes


# --- a row for each sequence ---


def read_wide(table: Table, roles: ColumnRoles, missing: str) -> ReadSequences:
    """The sequences in a wide table, as `long`, and among the notes what was guessed of its columns.

    Names that are alike but for a number at their end are the steps of one element, by that number; where all are so,
    with the same numbers, there may be several elements, whose names have letters: 2023-12 and 2024-12 are of one, and
    so are Jan 23 and 2024Q1.
    Empty cells at the end of a row end its sequence.
    """
    names, columns, notes = _channels(roles.columns)
    numbers = _numbers(table, roles)
    X = np.stack([numbers[name] for row in columns for name in row], axis=1)
    X = X.reshape(table.rows, len(columns), len(names))
    called = names if len(names) > 1 else ["value"]
    notes += missing_values.notes_on_sentinels(X.reshape(-1, len(names)), called)
    there = ~np.isnan(X).all(axis=2)
    ends = np.where(there.any(axis=1), X.shape[1] - there[:, ::-1].argmax(axis=1), 0)
    if (empty := first_true(ends == 0)) is not None:
        raise ValueError(f"expected values in each row, got none in {table.locate(empty)}")
    sequences = [x[:n].copy() for x, n in zip(X, ends.tolist(), strict=True)]
    lost = [(columns[step][j], i) for i, x in enumerate(sequences) for step, j in np.argwhere(np.isnan(x))]
    if lost and missing == "refuse":
        how = "zero" if any(np.isnan(x).all(axis=0).any() for x in sequences) else missing_values.MISSING[1]
        cure = f'missing="{how}" fills {"it" if len(lost) == 1 else "them"}'
        raise ValueError(_on_missing(Counter(name for name, _ in lost), lost[0][0], table.locate(lost[0][1]), cure))
    if (ends < X.shape[1]).any():
        notes.append(f"{(ends < X.shape[1]).sum()} sequences end before the last column")
    counts = _filled(sequences, missing, called, table.locate)
    ids = np.arange(table.rows) if not roles.id else factorize_rows(table, roles.id)[0]
    if len(ids) != table.rows:
        raise ValueError(f"{roles.id[0]}: expected each id in one row, as wide=True says, got one in several")
    y = _joined([_plain(table.column(name)) for name in roles.label]) if roles.label else None
    together = _plain(table.column(roles.groups[0])) if roles.groups else None
    return ReadSequences(Sequences(sequences, y, ids, names), counts, notes + _doubted(y, roles.label), together)


def _channels(columns: Sequence[str]) -> tuple[list[str], list[tuple[str, ...]], list[str]]:
    """The names of the elements, the columns of each step, and what was guessed."""
    steps: dict[str, dict[int, str]] = {}
    for name in columns:
        match = re.fullmatch(NUMBERED, name)
        if match and (not match[1] or re.search(r"[^\W\d_]", match[1])):
            steps.setdefault(match[1], {})[int(match[2])] = name
    numbers = sorted(next(iter(steps.values()), {}))
    alike = len(numbers) * len(steps) == len(columns) and all(sorted(each) == numbers for each in steps.values())
    if not alike or (len(steps) > 1 and all(map(is_part_of_date, steps))):
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


def pad_sequences(sequences: Sequence[np.ndarray]) -> tuple[np.ndarray, np.ndarray | None]:
    """X (m, s, e) and the lengths (m,), None where all are s."""
    X, lengths = padded(sequences)
    return X, None if (lengths == X.shape[1]).all() else lengths
