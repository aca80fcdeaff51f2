"""Conversion of tables to sequences: long tables, a row for each step, and wide ones, a row for each sequence."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from cgru.core.lengths import padded
from cgru.datasets import missing_values
from cgru.datasets.column_names import as_arg, as_names, ignoring, is_part_of_date, listed, numbered
from cgru.datasets.column_roles import ColumnRoles, assign_roles
from cgru.datasets.computed_features import encode, expand, indicator_name, source_columns, with_indicators
from cgru.datasets.dataset import LONGEST, check_padding
from cgru.datasets.date_parts import join_parts
from cgru.datasets.missing_values import Filling, parse_filling
from cgru.datasets.table import Table, factorize_rows, table_of_frame
from cgru.datasets.time_differences import TIME_STEP, notes_on_gaps, parse_gap
from cgru.datasets.time_parsing import are_times, date_format_of, describe_slip, rank_times, times_as_numbers
from cgru.datasets.where import Locator, first_true
from cgru.datasets.windows import parse_windows, split_alone, window_bounds

__all__ = ["Sequences", "StepSequences", "from_frame", "order_of_steps", "pad_sequences", "read_long", "read_wide"]

FEW = 20  # at most so many different words may be classes


class Sequences(NamedTuple):
    """The sequences of a table, in the order in which they first appear.

    Attributes:
        X: the inputs of each sequence (s_i, e).
        y: the targets: (m,), or (m, k) of several labels; for each step a class (m, s) or numbers (m, s, k); or None.
        ids: the id of each sequence (m,).
        columns: the names of the e features.

    Examples:
        >>> import polars
        >>> frame = polars.DataFrame({"id": ["x", "x", "y"], "a": [1, 2, 3], "label": ["yes", "yes", "no"]})
        >>> X, y, ids, columns = cgru.datasets.from_frame(frame, "id", label="label")
        >>> [x.shape for x in X], y.tolist(), ids.tolist(), columns
        ([(2, 1), (1, 1)], ['yes', 'no'], ['x', 'y'], ['a'])
    """

    X: list[np.ndarray]
    y: np.ndarray | None
    ids: np.ndarray
    columns: list[str]


class StepSequences(NamedTuple):
    """`Sequences` that have an array with a number for each step beside X.

    Attributes:
        X: as for `Sequences`, with NaN where nothing was measured.
        y: as for `Sequences`.
        ids: as for `Sequences`.
        columns: as for `Sequences`.
        beside: {"times": for each sequence the times of its steps (s_i,)}, as `Network.fit` takes them.

    Examples:
        >>> import polars
        >>> frame = polars.DataFrame({"id": ["x", "x", "y"], "time": [3, 7, 2], "a": [1.5, None, 0.5]})
        >>> found = cgru.datasets.from_frame(frame, "id", time="time", missing="decay")
        >>> [times.tolist() for times in found.beside["times"]], found.X[0].ravel().tolist()
        ([[0.0, 4.0], [0.0]], [1.5, nan])
    """

    X: list[np.ndarray]
    y: np.ndarray | None
    ids: np.ndarray
    columns: list[str]
    beside: dict[str, list[np.ndarray]]


def from_frame(
    frame: Any,
    id: str | Sequence[str],
    *,
    time: str | Sequence[str] | None = None,
    label: str | Sequence[str] | None = None,
    columns: Sequence[str] | None = None,
    ignore: str | Sequence[str] = (),
    categories: str | Sequence[str] | Mapping[str, Sequence[str]] = (),
    per_step: bool = False,
    missing: str | Mapping[str, str] = "refuse",
    na: missing_values.NA | None = None,
    split_at: str | float | None = None,
    time_step: bool = False,
    time_format: str | None = None,
    windows: str | int | Sequence[int] | None = None,
) -> Sequences | StepSequences:
    """Convert a long DataFrame, a row for each step, to sequences.

    Args:
        frame: a DataFrame of pandas, Polars or any other library that narwhals reads.
        id: the column that identifies the sequence of a row, or several columns together. The rows of a sequence need
            not be adjacent.
        time: the column that the steps of a sequence are sorted by: numbers, dates, or strings of either. Several, such
            as a date and a time of day, are joined. None: steps keep the order of the rows.
        label: the column with the target of a sequence, the same in all its rows. Several columns of numbers make
            targets (m, k). None: there are no targets.
        columns: the features of a step; a time that is a number may be among them. None: all other columns, which must
            be numbers or booleans. The names in `Sequences.columns` select the same features of later data.
        ignore: columns that are no features.
        categories: columns that are encoded one-hot, as for `read`; a dict of their values, which later data need.
        per_step: whether there is a label, or several with numbers, for each step, which may change within a sequence.
        missing: "refuse" missing values, or fill them by "forward", "interpolate" or "zero", or leave them by "decay",
            as for `read`. "decay" with `time` makes a `StepSequences` with the times. By column, and with indicators,
            as for `read`; name the columns with indicators, so that later data have the same.
        na: one or more additional markers of a missing value, as for `read`.
        split_at: the gap in time at which a sequence is split in two, as for `read`.
        time_step: whether the time since the row before is added as a feature, as for `read`.
        time_format: the format of the times, as for strptime, such as "%d/%m/%Y". None: any usual format, if only one
            fits all times.
        windows: the length and the hop of windows that sequences are cut into, as for `read`.

    Returns:
        The sequences; with `missing="decay"` and `time` a `StepSequences`.

    Raises:
        ImportError: narwhals is not installed.
        TypeError: `frame` is no DataFrame, or a feature has no numbers.
        ValueError: a column or value is missing, two steps of a sequence have the same time, or a label changes within
            a sequence; with the place.

    Examples:
        >>> import polars
        >>> days = ["2024-05-02", "2024-05-01", "2024-05-01"]
        >>> frame = polars.DataFrame({"id": ["x", "y", "x"], "day": days, "a": [1, 2, 3]})
        >>> found = cgru.datasets.from_frame(frame, "id", time="day")
        >>> [x.ravel().tolist() for x in found.X]  # sorted by day
        [[3.0, 1.0], [2.0]]
    """
    table = table_of_frame(frame, na=missing_values.as_words(na))
    if isinstance(columns, str):
        raise TypeError(f"columns: expected a list of names, got {columns!r}")
    named = {"id": id, "time": time or (), "label": label or (), "ignore": ignore}
    named = {role: as_names(names, role) for role, names in named.items()}
    taken = [name for names in named.values() for name in names]
    known, filling = as_categories(categories), parse_filling(missing)
    names = tuple(name for name in table.names if name not in taken) if columns is None else tuple(columns)
    sources = source_columns(names, known, filling)
    index = [name for name in getattr(getattr(frame, "index", None), "names", ()) if name not in table.names]
    if lost := [name for name in taken if name in index]:
        cure = "frame.reset_index() has it there"
        raise ValueError(f"frame: expected {listed(lost)} among its columns, got an index; {cure}")
    if not names:
        raise ValueError(f"columns: expected at least one beside {', '.join(taken)}, got none")
    options = {"per_step": per_step, "time_format": time_format, "split_at": split_at, "time_step": time_step}
    options |= {"categories": known, "windows": None if windows is None else parse_windows(windows)}
    roles, _ = assign_roles(table, ColumnRoles(**named, columns=sources, wide=False, **options))
    read = read_long(table, roles, filling)
    found: Any = read.sequences
    if read.times is not None:
        found = StepSequences(*found, {"times": read.times})
    if sources == names:
        return found
    if lost := [name for name in names if name not in found.columns]:
        raise ValueError(f"columns: expected some of the features {listed(found.columns)}, got {lost[0]!r}")
    order = [found.columns.index(name) for name in names]
    return found._replace(X=[x[:, order] for x in found.X], columns=list(names))


def as_categories(value: str | Sequence[str] | Mapping[str, Sequence[str]]) -> dict[str, tuple[str, ...]]:
    """Return the argument `categories`, names or a dict of values by name, as a dict; () for values not known yet."""
    known = value if isinstance(value, Mapping) else {}
    return {name: as_names(known.get(name, ()), "categories") for name in as_names(value, "categories")}


# --- a row for each step ---


class ReadSequences(NamedTuple):
    """Sequences read from a table, with what else was found.

    Attributes:
        sequences: the sequences.
        notes: sentences about what was guessed.
        groups: the group of each sequence (m,), or None; of windows without a column of groups the series.
        filling: how later data are filled, so that they have the same features.
        rows: for each sequence the rows of the table that are its steps (s_i,); None: each row is a sequence.
        times: for each sequence the times of its steps (s_i,), from 0 on, in seconds or as the table has them; None
            unless values stay missing and there is a column of times.
    """

    sequences: Sequences
    notes: list[str]
    groups: np.ndarray | None
    filling: Filling
    rows: list[np.ndarray] | None = None
    times: list[np.ndarray] | None = None


def read_long(table: Table, roles: ColumnRoles, filling: Filling, parted: bool = False) -> ReadSequences:
    """Read the sequences from a long table by its column roles, filling missing values; errors as of `from_frame`.

    If `parted`, an only series is cut into parts before it is cut into windows, so that there are groups.
    """
    ids, codes = factorize_rows(table, roles.id)
    kind = "/".join(roles.id) or "series"
    called, form = " ".join(roles.time), roles.time_format
    written = table.together(roles.time, whole=form is not None) if roles.time else np.arange(table.rows)
    times = rank_times(written, called, table.locate, form if roles.time else None)
    order = np.lexsort((times, codes))
    sequence, codes, times = codes, codes[order], times[order]
    if (again := first_true((np.diff(codes) == 0) & (np.diff(times) == 0))) is not None:
        first, second = order[again : again + 2].tolist()
        got = f"{written[second]} of {kind} {ids[codes[again]]}"
        where = f"{table.locate(first)} and again in {table.locate(second)}"
        cure = f'time="" with ignore={as_arg(roles.time)} takes rows as they stand'
        raise ValueError(f"{called}: expected times that differ within a sequence, got {got} in {where}; {cure}")
    features = _features(table, roles, filling, sequence)[order]
    notes = missing_values.notes_on_sentinels(features, roles.columns)
    if form is None and len(roles.time) == 1 and written.dtype.kind in "iu":
        guessed = date_format_of(written)
        if guessed not in ("", "%Y%m"):  # six digits may be any number
            roles = roles._replace(time_format=guessed)
            if roles.time_step or roles.split_at is not None:
                notes.append(f'{called} has dates such as {written[0]} (time_format="{guessed}")')
    is_timed = filling.decays and bool(roles.time)
    apart, seconds = _time_differences(roles, written[order], lambda i: table.locate(int(order[i])), is_timed)
    if roles.split_at is not None:
        ids, codes = _split_at_gaps(ids, codes, apart > _gap_in_unit(roles, seconds))
    inside = np.diff(codes) == 0
    if apart.size:
        notes += notes_on_gaps(apart[inside], seconds, called)
    starts = np.flatnonzero(np.diff(codes, prepend=-1))
    begins, whose = starts, f"{kind} {{}}".format
    if parted and roles.windows and not roles.groups and len(starts) == 1:  # before values are filled from others
        begins, whose = split_alone(len(order), roles.windows), "part {} of the only series".format
        ids = 1 + np.arange(len(begins))
    gone = np.isnan(features)
    counts = _fill(np.split(features, begins[1:]), filling, roles.columns, lambda i: whose(ids[i]))
    filled = missing_values.notes_on_filled(counts, filling, roles.columns)
    features, columns = expand(features, roles.columns, roles.categories)
    indicated = filling.indicated(roles.columns, gone.any(axis=0))
    features, columns = (
        with_indicators(features, gone, roles.columns, indicated),
        [*columns, *map(indicator_name, indicated)],
    )
    if roles.time_step:
        features = np.column_stack([features, np.append(0.0, np.where(inside, apart, 0.0))])
        columns.append(TIME_STEP)

    def constant(name: str, cure: str) -> np.ndarray:
        """Return the value of a column in each sequence (m,); raise ValueError, with the `cure`, if one has several."""
        values = table.column(name)[order]
        if (other := first_true(values != values[starts][codes])) is not None:
            row = table.locate(int(order[other]))
            raise ValueError(f"{name}: expected one value for each {kind}, got another in {row}; {cure}")
        return _as_strings(values[starts])

    together = None
    for name in roles.groups:
        together = constant(name, "a sequence belongs to one group")
    bounds = list(zip(begins.tolist(), [*begins[1:].tolist(), len(order)], strict=True))
    if begins is not starts:
        notes.append(f"the only series is cut into {len(begins)} parts, so that whole ones can be held back")
    if roles.windows:
        ids, together, bounds, more = _cut(bounds, ids, together, roles.windows)
        notes += more

    def label_of_windows(name: str) -> np.ndarray:
        """Return the value of a column in the last step of each window (m,), with a note if it changes within one."""
        values = _as_strings(table.column(name)[order])
        if any((values[start:end] != values[end - 1]).any() for start, end in bounds):
            notes.append(f"{name} of a window is that of its last step; per_step=True learns that of each")
        return values[[end - 1 for _, end in bounds]]

    y, cure = None, "per_step=True takes a target for each step"
    if roles.per_step:
        y = _targets_of_steps(table, roles.label, order, bounds)
    elif roles.label:
        y = _stack_labels([label_of_windows(name) if roles.windows else constant(name, cure) for name in roles.label])
        notes += _notes_on_targets(y, roles.label)
    X, rows = ([each[start:end] for start, end in bounds] for each in (features, order))
    sequences = Sequences(X, y, ids, columns)
    timed = None
    if is_timed:
        clock = np.append(0.0, np.cumsum(apart))
        timed = [clock[start:end] - clock[start] for start, end in bounds]
    return ReadSequences(sequences, notes + filled, together, filling.settled(indicated), rows, timed)


def _cut(
    bounds: list[tuple[int, int]], ids: np.ndarray, groups: np.ndarray | None, windows: tuple[int, int]
) -> tuple[np.ndarray, np.ndarray, list[tuple[int, int]], list[str]]:
    """Cut series into windows; return (ids of the windows (m,), their groups (m,), their bounds, notes).

    `bounds` has the first step of each series, and that behind the last; `ids` and `groups` are those of the series.
    Without `groups` these are the series.
    """
    length, hop = windows
    cut = [window_bounds(*each, windows) for each in bounds]
    series = np.repeat(np.arange(len(cut)), list(map(len, cut)))
    names = np.array([f"{each}/{j}" for each, some in zip(ids, cut, strict=True) for j in range(1, len(some) + 1)])
    found = [each for some in cut for each in some]
    size = f"{length} steps every {hop}, the last up to the end of its series or part"
    notes = [f'{len(names)} windows of {size} (windows="{length},{hop}")']
    lost = bounds[-1][1] - len(set().union(*(range(*each) for each in found))) if hop > length else 0
    if lost:
        notes.append(f"{lost} rows between windows are left out, since these begin every {hop} and have {length}")
    return names, (ids if groups is None else groups)[series], found, notes


def _time_differences(
    roles: ColumnRoles, written: np.ndarray, locate: Locator, is_needed: bool
) -> tuple[np.ndarray, bool]:
    """Return (differences (n - 1,) of the times (n,) as `written` in the table, whether these are in seconds).

    If times have no differences, return an empty array, or raise ValueError if they are needed (`is_needed`, or by
    `split_at` or `time_step`).
    """
    is_needed = is_needed or roles.split_at is not None or roles.time_step
    if not roles.time:
        for name in ("split_at", "time_step"):
            if getattr(roles, name):
                raise ValueError(f"{name}: expected a column of times beside it, got none")
        return np.zeros(0), False
    try:
        if "hhmm" in roles.time[0].lower() and written.dtype.kind in "iu" and roles.time_format is None:
            written = join_parts(["clock"], roles.time, [written], locate)  # hhmm: 100 is one hour, no 100 minutes
        clock, seconds = times_as_numbers(written, roles.time_format, " ".join(roles.time), locate)
    except ValueError:
        if is_needed:
            raise
        return np.zeros(0), False
    return np.diff(clock), seconds


def _gap_in_unit(roles: ColumnRoles, seconds: bool) -> float:
    """Return `split_at` in the unit of the times; raise ValueError if one is in seconds and the other is not."""
    gap, timed = parse_gap(roles.split_at)
    if timed != seconds:
        due = "a time such as 30d or 6h, since {} has dates" if seconds else "a number, since {} has numbers"
        raise ValueError(f"split_at: expected {due.format(' '.join(roles.time))}, got {roles.split_at!r}")
    return gap


def _split_at_gaps(ids: np.ndarray, codes: np.ndarray, far: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Split sequences (`codes`, into ids) after rows marked `far` (n - 1,); return (new ids, each row's sequence (n,)).

    `codes` (n,) is the index of each row's id in `ids`. The parts of sequence a are called a/1, a/2, ...
    """
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


def _features(table: Table, roles: ColumnRoles, filling: Filling, sequence: np.ndarray) -> np.ndarray:
    """Return the features of all rows (n, e) as numbers, NaN where one is missing.

    `sequence` (n,) is the index of each row's sequence, for the advice in errors. If values are missing that `filling`
    refuses, raise ValueError that names all their columns and the cure. Other errors are those of `_numbers`.
    """
    features, methods = np.column_stack(list(_numbers(table, roles).values())), filling.methods(roles.columns)
    gone = np.isnan(features)
    for name, how, lost in zip(roles.columns, methods, gone.T, strict=True):
        if name in roles.categories and how in ("interpolate", "decay") and lost.any():
            cure = f"{filling.cure([name], missing_values.MISSING[1])} takes the one before"
            done = "to be interpolated" if how == "interpolate" else "that decay"
            raise ValueError(f"{name}: expected no categories {done}, got some that are missing; {cure}")
    gone &= [how == missing_values.MISSING[0] for how in methods]
    counts = dict(zip(roles.columns, gone.sum(axis=0).tolist(), strict=True))
    lost = {name: count for name, count in counts.items() if count}
    if lost:
        first = next(iter(lost))
        row = table.locate(int(gone[:, roles.columns.index(first)].argmax()))
        cure = missing_values.advise(gone, sequence, roles.columns, filling)
        raise ValueError(_missing_error(lost, first, row, cure))
    return features


def _numbers(table: Table, roles: ColumnRoles) -> dict[str, np.ndarray]:
    """Return each feature's column as numbers (n,), by name; raise TypeError that names all columns without numbers."""
    numbers, wrong = {}, {}
    for name in roles.columns:
        try:
            values = roles.categories.get(name)
            numbers[name] = table.numbers(name) if values is None else encode(table, name, values)
        except TypeError as error:
            values, missing = table.read(name)
            slip = "" if missing.any() else describe_slip(values, name, table.locate)
            wrong[name] = slip or f"{error}{'' if roles.wide else _advice(table, name, roles)}"
    words = [name for name in wrong if not roles.wide or table.is_text(name)]  # others are steps with a typo
    if wrong and not words:
        raise TypeError("; ".join(wrong.values()))
    if wrong:
        cure = f'columns="..." says which are features, unless it is the id{"" if roles.wide else ", time"} or label'
        again = [name for name in words if not roles.wide and _may_be_categories(table, name)]
        encodes = f", categories={as_arg(again)} encodes {'it' if len(again) == 1 else 'them'} one-hot" if again else ""
        raise TypeError("; ".join([*wrong.values(), f"{cure}, {ignoring(words)}{encodes}"]))
    return numbers


def _may_be_categories(table: Table, name: str) -> bool:
    """Return whether a column is text that is no time, each there twice on average or more."""
    words, missing = table.words(name)
    return table.is_text(name) and 2 * len(set(words[~missing])) <= table.rows and not are_times(words[~missing])


def _missing_error(counts: Mapping[str, int], first: str, row: str, cure: str) -> str:
    """Return the error text on missing values: their `counts` by column, the `row` of the first, and the `cure`."""
    each = listed([f"{name} {count}" for name, count in counts.items()])
    several = "" if sum(counts.values()) == 1 else f" (missing: {each})"
    names = listed([first, *(name for name in counts if name != first)])
    return f"{names}: expected a value in each row, got none in {row}{several}; {cure}"


def _advice(table: Table, name: str, roles: ColumnRoles) -> str:
    """Return the advice which role a column without numbers may have, or "": time, or label if it has few values."""
    values, missing = table.read(name)
    if missing.any():
        return ""
    try:
        together = len(factorize_rows(table, (*roles.id, name))[0])
    except (TypeError, ValueError):  # cells that are lists or Series cannot be compared
        return ""
    if are_times(values):
        twice = "" if together == table.rows else ", but a sequence has a time in two rows"
        return "" if roles.time else f'; time="{name}" sorts by it{twice}'
    classes = len(set(map(str, values)))
    if roles.label or not 1 < classes <= min(FEW, table.rows // 2) or not table.is_text(name):
        return ""
    if together == len(factorize_rows(table, roles.id)[0]):
        return f'; label="{name}" learns it'
    return f'; label="{name}" with per_step=True learns it'


def _fill(X: Sequence[np.ndarray], filling: Filling, names: Sequence[str], where: Any) -> np.ndarray:
    """Fill the missing values of all sequences in place; return the count for each feature (e,). Errors use where(i).

    Raise ValueError, with the text `where(i)`, if sequence i has no value at all of a feature.
    """

    def wrong(i: int, j: int) -> str:
        """Return the error of sequence i without a value of feature j."""
        zero, decay = (filling.cure([names[j]], how) for how in ("zero", "decay"))
        cure = f'{zero} fills it with 0, {decay} in training needs none, ignore="NAME" in training leaves a column out'
        return f"{names[j]}: expected a value at least, got none in {where(i)}; {cure}"

    return missing_values.fill_each(X, filling.methods(names), wrong)


def _targets_of_steps(
    table: Table, label: Sequence[str], order: np.ndarray, bounds: Sequence[tuple[int, int]]
) -> np.ndarray:
    """Return the targets of each step, padded: a class (m, s), or of reals or several labels numbers (m, s, k).

    `order` has the sorted rows (n,), `bounds` of each sequence the first one, and that behind the last.
    """
    if not label:
        raise ValueError("per_step: expected a label, got none")
    values = _stack_labels([_as_strings(table.column(name)[order]) for name in label])
    if values.ndim == 1 and values.dtype.kind == "f" and not (values % 1).any():
        values = values.astype(np.int64)  # 1.0 is the class 1
    values = values.reshape(len(values), -1) if values.dtype.kind == "f" else values
    return padded([values[start:end] for start, end in bounds])[0]


def _stack_labels(labels: Sequence[np.ndarray]) -> np.ndarray:
    """Return one label as it is (m,), or several as numbers (m, k); raise ValueError for several with strings."""
    if len(labels) == 1:
        return labels[0]
    if words := [each for each in labels if each.dtype.kind not in "iuf"]:
        raise ValueError(f"label: expected one, or several with numbers, got {str(words[0][0])!r}")
    return np.stack(labels, axis=1).astype(np.float64)


def _notes_on_targets(y: np.ndarray | None, names: Sequence[str]) -> list[str]:
    """Return notes on numbers among the targets that seem to stand for a missing value."""
    is_number = y is not None and y.dtype.kind in "if"
    return missing_values.notes_on_sentinels(y.reshape(len(y), -1), names) if is_number else []


def _as_strings(values: np.ndarray) -> np.ndarray:
    """Return an array of objects that are all strings as an array of stripped strings; others as they are."""
    if all(isinstance(value, str) for value in values):
        if (longest := max(map(len, values), default=0)) > LONGEST:
            raise ValueError(f"expected classes and groups of at most {LONGEST} characters, got one of {longest}")
        return np.array([value.strip() for value in values])
    return values


def notes_on_ids(table: Table, roles: ColumnRoles, found: Sequences) -> list[str]:
    """Return notes on features that are constant within each sequence, and on an id that may contain a group."""
    notes = []
    if max(map(len, found.X)) > 1 and len(found.X) > 1:
        still = np.all([(x == x[0]).all(axis=0) for x in found.X], axis=0)
        still &= np.any([x[0] != found.X[0][0] for x in found.X], axis=0)  # the summary notes global constants
        still &= [name in roles.columns for name in found.columns]  # others are computed
        if names := [name for name, is_still in zip(found.columns, still, strict=True) if is_still]:
            verb = "does" if len(names) == 1 else "do"
            learns = "" if roles.label else f", label={as_arg(names[-1:])} learns {names[-1] if names[1:] else 'it'}"
            found_still = f"{listed(names)} {verb} not change within any sequence, as codes and properties do"
            notes.append(f"{found_still}: {ignoring(names)}{learns}")
    if len(roles.id) == 2 and not roles.groups and len(factorize_rows(table, roles.id[:1])[0]) < len(found.X):
        cure = f"groups={as_arg(roles.id[:1])} keeps them together where some are held back"
        notes.append(f"is {roles.id[0]} a group, whose sequences are alike? {cure}")
    return notes


# --- a row for each sequence ---


def read_wide(table: Table, roles: ColumnRoles, filling: Filling, parted: bool = False) -> ReadSequences:
    """Read the sequences from a wide table by its column roles, as `read_long` does from a long one.

    Columns whose names differ only in a number at the end are the steps of one feature, in the order of the numbers.
    There are several features if all names end in numbers, the same numbers for each feature. Names without letters,
    and those of months or quarters, make one feature. Empty cells at the end of a row end its sequence.
    """
    names, columns, notes = _columns_of_steps(roles.columns)
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
    gone, methods = [np.isnan(x) for x in sequences], filling.methods(called)
    refused = [how == missing_values.MISSING[0] for how in methods]
    lost = [(columns[step][j], i) for i, own in enumerate(gone) for step, j in np.argwhere(own & refused)]
    if lost:
        how = "zero" if any((own.all(axis=0) & refused).any() for own in gone) else missing_values.MISSING[1]
        of = [name for name, is_refused in zip(called, refused, strict=True) if is_refused]
        cure = f"{filling.cure(of, how)} fills {'it' if len(lost) == 1 else 'them'}"
        raise ValueError(_missing_error(Counter(name for name, _ in lost), lost[0][0], table.locate(lost[0][1]), cure))
    if (ends < X.shape[1]).any():
        notes.append(f"{(ends < X.shape[1]).sum()} sequences end before the last column")
    counts = _fill(sequences, filling, called, table.locate)
    filled = missing_values.notes_on_filled(counts, filling, called if len(names) > 1 else ["values"])
    indicated = filling.indicated(called, np.any([own.any(axis=0) for own in gone], axis=0))
    sequences = [with_indicators(x, own, called, indicated) for x, own in zip(sequences, gone, strict=True)]
    names = [*(called if indicated else names), *map(indicator_name, indicated)]
    ids = np.arange(table.rows) if not roles.id else factorize_rows(table, roles.id)[0]
    if len(ids) != table.rows:
        raise ValueError(f"{roles.id[0]}: expected each id in one row, as wide=True says, got one in several")
    y = _stack_labels([_as_strings(table.column(name)) for name in roles.label]) if roles.label else None
    notes += _notes_on_targets(y, roles.label)
    together = _as_strings(table.column(roles.groups[0])) if roles.groups else None
    return ReadSequences(Sequences(sequences, y, ids, names), notes + filled, together, filling.settled(indicated))


def _columns_of_steps(columns: Sequence[str]) -> tuple[list[str], list[tuple[str, ...]], list[str]]:
    """Group the columns of a wide table by step; return the features' names, the columns of each step, and notes."""
    steps: dict[str, dict[int, str]] = {}
    for name in columns:
        found = numbered(name)
        if found and (not found[0] or re.search(r"[^\W\d_]", found[0])):
            steps.setdefault(found[0], {})[found[1]] = name
    numbers = sorted(next(iter(steps.values()), {}))
    alike = len(numbers) * len(steps) == len(columns) and all(sorted(each) == numbers for each in steps.values())
    if not alike or (len(steps) > 1 and all(map(is_part_of_date, steps))):
        return [""], [(name,) for name in columns], ["steps are in the order of the columns, all of one feature"]
    ordered = [tuple(each[number] for each in steps.values()) for number in numbers]
    notes = [f"{len(steps)} features a step by the columns' names: {', '.join(steps)}"] if len(steps) > 1 else []
    apart = np.diff(numbers)
    if (apart != apart[:1]).any():
        i = int(apart.argmax())
        notes.append(f"a step may be missing: {ordered[i + 1][0]} is the next one after {ordered[i][0]}")
    if any([each[number] for number in numbers] != list(each.values()) for each in steps.values()):
        notes.append(f"steps are in the order of the columns' numbers, {numbers[0]} to {numbers[-1]}")
    return list(steps), ordered, notes


def order_of_steps(columns: Sequence[str]) -> list[str]:
    """Return the columns of a wide table in the order of their steps."""
    return [name for row in _columns_of_steps(columns)[1] for name in row]


def pad_sequences(sequences: Sequence[np.ndarray]) -> tuple[np.ndarray, np.ndarray | None]:
    """Pad sequences (s_i, e) to X (m, s, e); return it and the lengths (m,), None if all are s."""
    check_padding([len(x) for x in sequences], sequences[0].shape[1])
    X, lengths = padded(sequences)
    return X, None if (lengths == X.shape[1]).all() else lengths
