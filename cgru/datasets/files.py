"""Data sets out of files: `.npz`, long and wide tables, the archive's `.ts`."""

from __future__ import annotations

import importlib
import os
import re
from collections.abc import Sequence
from typing import Any

import numpy as np

from cgru.datasets import missing_values
from cgru.datasets.column_names import as_names, check_choice, listed
from cgru.datasets.column_roles import ColumnRoles, assign_roles
from cgru.datasets.dataframes import notes_on_ids, pad_sequences, read_long, read_wide
from cgru.datasets.dataset import Dataset, Split, with_features, with_targets
from cgru.datasets.npz import read_npz
from cgru.datasets.table import Table, check_ids, table_of_frame
from cgru.datasets.text import DECIMAL, table_of_text
from cgru.datasets.time_differences import TIME_STEP, parse_gap
from cgru.datasets.ts import read_ts

__all__ = ["kind_of", "read", "table_of", "test_beside"]

Path = str | os.PathLike[str]
TABLES = (".csv", ".tsv", ".txt", ".tab", ".dat", ".data")
TWICE = r"column with name '(.*)' has more than one|Multiple matches for \S*?\((.*?)\)"  # Polars, PyArrow: columns
MANY = 20  # different integers that may be classes


def read(
    path: Path,
    *,
    test: Path | None = None,
    id: str | Sequence[str] | None = None,
    time: str | Sequence[str] | None = None,
    label: str | Sequence[str] | None = None,
    columns: Sequence[str] | None = None,
    ignore: Sequence[str] = (),
    groups: str | None = None,
    wide: bool | None = None,
    per_step: bool = False,
    task: str | None = None,
    missing: str = "refuse",
    na: missing_values.NA | None = None,
    split_at: str | float | None = None,
    time_step: bool = False,
    decimal: str | None = None,
    axes: str | None = None,
    features: Sequence[str] | None = None,
    targets: bool = True,
    time_format: str | None = None,
) -> Dataset:
    """Read the data set in an `.npz`, CSV and other text, Parquet, a `.ts` of the UCR/UEA archive, or a folder.

    An `.npz` holds `x` (or `X`), real numbers: (m, s, e), or (n, e), all samples' steps one after another, with
    `lengths` (m,) that sum to n. `lengths` may stand beside (m, s, e) too and then says how many steps of each sample
    are real. `y`, where there is one, holds integers, booleans or strings (m,), which are classes, or reals (m,) or
    (m, k). There may be a class for each step: (m, s), or beside x (n, e) also (n,); what stands past the lengths is
    not looked at. Where the file has a split, the names are `train_x`, `train_y`, `train_lengths` and `test_x`, ... .
    `class_names` (k,) and `feature_names` (e,) are optional. Other arrays are ignored; none is ever unpickled. In a
    folder they are `x.npy`, (m, s, e), `y.npy`, ...: mapped into memory, not read (`numpy.memmap`), but for x whose
    missing values are filled, or whose elements are not all wanted, or in another order.

    A table has a row for each step (long) or for each sequence (wide). What its columns are is asked for by name, or
    guessed from their names, which `notes` of the result then say. Where that is not clear it is refused.

    Args:
        path: the file. Text and `.ts` may be gzipped.
        test: a file of the same kind with the test split.
        id: of a table, the column that says which sequence a row belongs to, or several together; "" for none.
        time: the column that steps are sorted by, or several, which are joined: a date and a time of day, or parts of a
            date, such as year, month and day, by their names or in this order; "": they come as rows do.
        label: the column with what is to be learned, or several with numbers; "" for none.
        columns: those with the elements of a step, in this order, a time of numbers among them, too; None: all that are
            left.
        ignore: columns that are no elements.
        groups: the column that says which sequences belong together, such as the subject, the same in all rows of a
            sequence, or in an `.npz` or folder the array (m,) of that name, with a split train_NAME; it may be in `id`,
            too, and is no element. `groups` of the result has them, of the samples to train on.
        wide: whether each row is a sequence.
        per_step: whether the label is a class for each step, which may change within a sequence.
        task: "classification" or "regression", where integers are numbers or reals are classes; None: integers,
            booleans and strings are classes, reals are numbers. Many different integers in a table are refused.
        missing: "refuse", or how values that are missing are filled, each from its own sequence: "forward", the last
            one before (at the beginning the first one after), "interpolate", on the line between those before and
            after, or "zero".
        na: of a table, a word or several that mean a missing value too, such as "-" or -999, in any case; one that is a
            number means all numbers of that value, -999.0 too. None: those that always do, empty cells, NA and others.
        split_at: of a long table, a gap in time; rows of one id further apart are sequences of their own, whose
            ids are a/1, a/2, ... of a. A number in the unit of times that are numbers, of dates "30d", "6h", "10min",
            "2w" or "5s". None: none are.
        time_step: of a long table, whether the time since the row before is an element as well, called time_step, 0 in
            the first row: in seconds where times are dates, else in their own unit.
        decimal: the decimal sign of a text file, "." or ","; None: as its numbers look.
        axes: of x in an `.npz`: "mse", or "mes" for (m, e, s); None: "mse".
        features: the names of the elements that are wanted, in this order, such as `Network.feature_names`: where the
            file has names, they are taken by these, and others are left out.
        targets: whether targets are wanted; without these `y` is None, nobody looks at labels, and the file need not
            have any.
        time_format: how the times of a table are written, as for strptime, such as "%d/%m/%Y"; None: in any of the
            usual ways, where only one of them fits all.

    Raises:
        OSError: the file cannot be opened.
        ImportError: neither Polars nor pandas is installed, for Parquet.
        ValueError: anything else that is wrong, with the file, and the line and column or the array; of an `.npz` it is
            found in the headers of the arrays as far as these tell it, before x and y are read.
    """
    named = {"id": id, "time": time, "label": label, "columns": columns, "ignore": ignore, "groups": groups or ()}
    named = {name: None if value is None else as_names(value, name) for name, value in named.items()}
    spec = {"wide": wide, "per_step": per_step, "time_format": time_format, "split_at": split_at}
    spec = ColumnRoles(**named, **spec, time_step=time_step)
    if len(spec.groups) > 1:
        raise ValueError(f"groups: expected one name, got {', '.join(spec.groups)}")
    check_choice("decimal", decimal, DECIMAL)
    check_choice("task", task, (None, "classification", "regression"))
    check_choice("axes", axes, (None, "mse", "mes"))
    check_choice("missing", missing, missing_values.MISSING)
    options = {"missing": missing, "na": missing_values.as_words(na), "decimal": decimal, "axes": axes, "task": task}
    options |= {"targets": targets, "grouped": targets, "features": features}
    if split_at is not None:
        parse_gap(split_at)
    data = _read(path, spec, options)
    if test is None:
        beside = test_beside(path)
        note = f'{os.path.basename(beside or "")} lies beside it: test="{beside}" tests on it'
        return data._replace(notes=(*data.notes, note)) if beside else data
    known = data.reading or {}  # what was guessed of the one holds for the other
    decided = {name: as_names(known[name], name) for name in ("id", "time", "label", "columns") if name in known}
    decided |= {"wide": known["wide"]} if "wide" in known else {}
    options |= {"grouped": False, "features": features or data.feature_names}
    other = _read(test, spec._replace(**decided), options)
    return _with_test(data, other, test)


def test_beside(path: Path) -> str | None:
    """Return NAME_TEST.ts where `path` is NAME_TRAIN.ts and both are there, as the archive has them; else None."""
    found = re.fullmatch(r"(.*)_TRAIN(\.ts(?:\.gz)?)", os.fspath(path))
    other = f"{found[1]}_TEST{found[2]}" if found else ""
    return other if other and os.path.exists(other) else None


def _with_test(data: Dataset, other: Dataset, path: Path) -> Dataset:
    """The one with the other as its test split; ValueError where they do not belong together."""
    where = os.fspath(path)
    if data.test is not None or other.test is not None:
        raise ValueError(f"{where}: expected no test split of its own where test names a file, got one")
    if None not in (data.class_names, other.class_names) and data.class_names != other.class_names:
        got = listed(other.class_names)
        raise ValueError(f"{where}: class_names: expected those of the other file, got {got}")
    if data.train is not None and data.train.y is not None and other.train.y is None:
        raise ValueError(f"{where}: expected something to learn, to test on, as the other file has, got none")
    due, got = (each.train.X.shape[2] for each in (data, other) if each.train is not None)
    if due != got:
        raise ValueError(f"{where}: expected {due} elements a step, as the other file has, got {got}")
    try:
        other = with_targets(other, data.target_names)
    except ValueError as error:
        raise ValueError(f"{where}: {error}, which the other file has not") from None
    notes = tuple(f"{os.path.basename(where)}: {note}" for note in other.notes if note not in data.notes)
    return data._replace(test=other.train, notes=data.notes + notes)


def kind_of(path: Path) -> str:
    """What a file is, by its first bytes or its name: "npz", "parquet", "ts" or "text"; ValueError for others.

    A folder of arrays is an "npz".
    """
    if os.path.isdir(path):
        return "npz"
    name = os.fspath(path).lower().removesuffix(".gz")
    with open(path, "rb") as file:
        first = file.read(4)
    ending = os.path.splitext(name)[1]
    if not first and ending not in (".npz", ".ts", *TABLES):  # whose readers say so themselves
        raise ValueError("expected a data set, got an empty file")
    if ending == ".parquet" and first[:4] != b"PAR1":
        raise ValueError("expected a Parquet file, got one that does not begin with PAR1, as those do")
    if ending in (".xlsx", ".xls", ".ods"):
        raise ValueError("expected a text file, got a spreadsheet: save it as CSV")
    if first[:4] == b"PAR1":
        return "parquet"
    if first[:2] == b"PK" or ending == ".npz":
        return "npz"
    if ending == ".ts" or ending in TABLES:
        return "ts" if ending == ".ts" else "text"
    raise ValueError(f"it is no .npz archive, and its name does not end in .parquet, .ts, {', '.join(TABLES)}")


def _read(path: Path, spec: ColumnRoles, options: dict[str, Any]) -> Dataset:
    task = options["task"]
    try:
        kind = kind_of(path)
        is_table = kind in ("text", "parquet")
        _check_options(kind, spec, options)
        if kind == "npz":
            name = "".join(spec.groups)
            data = _filled(read_npz(path, options["axes"], name, options["grouped"]), options["missing"])
            if spec.columns is not None and data.feature_names is None:
                due = "none without feature_names in the file, which say what there is"
                raise ValueError(f"columns: expected {due}, got some")
            data = with_features(data, spec.columns)
        elif kind == "ts":
            X, y, notes = read_ts(path, options["missing"], options["targets"])
            X, lengths = pad_sequences(X)
            data = Dataset(Split(X, y, lengths), None, None, None, tuple(notes))
        else:
            table, notes = table_of(path, options["decimal"], na=options["na"])
            if kind == "text" and len(table.names) == 1:
                due = "expected columns that tabs, ;, |, commas or, on each line as many, spaces separate"
                raise ValueError(f"{due}, got one, {table.names[0]}")
            data = _of_table(table, notes, spec, options)
        if not is_table and options["missing"] != "refuse":
            data = data._replace(reading={"missing": options["missing"]})
        data = with_features(data, options["features"])
        notes = data.notes if task or is_table else (*data.notes, *_doubts(data.train or data.test))
        train, test = (_as_task(split, task, is_table) for split in (data.train, data.test))
        data = data._replace(train=train, test=test, notes=notes)
        return data if _has_numbers(data.train) else data._replace(target_names=None)
    except (TypeError, ValueError) as error:
        raise ValueError(f"{os.fspath(path)}: {error}") from None


def _check_options(kind: str, spec: ColumnRoles, options: dict[str, Any]) -> None:
    """ValueError for what says nothing of such a file."""
    unsaid = ColumnRoles()._asdict()
    given = {name for name, value in spec._asdict().items() if value not in ((), unsaid[name])}
    given |= {name for name in ("na", "decimal", "axes") if options[name]}
    table = {*ColumnRoles._fields, "na"}
    fits = {"npz": {"axes", "columns", "groups"}, "ts": set(), "parquet": table, "text": table | {"decimal"}}
    for name in sorted(given - fits[kind]):
        raise ValueError(f"{name}: expected nothing, since it says nothing of such a file, {kind}, got some")


# --- tables ---


def table_of(
    path: Path, decimal: str | None = None, index: bool = False, na: Sequence[str] = ()
) -> tuple[Table, list[str]]:
    """The table in a file of text, as `table_of_text`, or Parquet, and what was guessed of it; errors as `read`."""
    kind = kind_of(path)
    if kind == "text":
        return table_of_text(path, decimal, index, na)
    if kind != "parquet":
        raise ValueError(f"expected a table as text or Parquet, got a file of another kind, {kind}")
    if decimal is not None:
        raise ValueError(f"decimal: expected nothing, since it says nothing of such a file, {kind}, got some")
    return _parquet(path, na), []


def _of_table(table: Table, notes: list[str], spec: ColumnRoles, options: dict[str, Any]) -> Dataset:
    features, targets, missing = (options[name] for name in ("features", "targets", "missing"))
    trained = features is not None
    if spec.label and not targets:  # which need not be there, and are no elements where they are
        there = [name for name in table.names if name not in spec.ignore]
        spec = spec._replace(label=tuple(name for name in spec.label if name in there) or None)
    if spec.time_step:  # which no column has
        features = None if features is None else [name for name in features if name != TIME_STEP]
        columns = None if spec.columns is None else tuple(name for name in spec.columns if name != TIME_STEP)
        spec = spec._replace(columns=columns)
    if not options["grouped"]:
        spec = spec._replace(groups=tuple(name for name in spec.groups if name in table.names))
    if features is not None and spec.columns is None:
        lost = [name for name in features if name not in table.names]
        if not lost:
            spec = spec._replace(columns=tuple(features), ignore=())
        elif len(lost) < len(features):
            got = f"{listed(table.names)}, none called {listed(lost)}"
            raise ValueError(f"expected the columns {listed(features)}, got {got}")
    roles, guessed = assign_roles(table, spec)
    notes = notes + guessed + table.notes_on_texts(roles.columns)
    for name in roles.id:
        check_ids(table.column(name), name)
    if not targets:
        if spec.label and not table.has_header:  # which may be a file without labels
            said = 'has labels, as in training, and is left out (label="" takes all columns)'
            notes.append(f"{listed(roles.label)} {said}")
        roles = roles._replace(label=(), per_step=False)
    for name in ("per_step", "split_at", "time_step"):
        if roles.wide and getattr(roles, name):
            raise ValueError(f"{name}: expected a row for each step, got one for each sequence (wide=True)")
    if roles.time_step and TIME_STEP in roles.columns:
        raise ValueError(f"time_step: expected no column of elements that is called so, got {TIME_STEP}")
    found, counts, more, groups, rows = (read_wide if roles.wide else read_long)(table, roles, missing)
    more += [] if trained or roles.wide else notes_on_ids(table, roles, found)
    names = tuple(found.columns) if len(found.columns) > 1 or not roles.wide else None
    notes += more + missing_values.notes_on_filled(counts, missing, names or ["values"])
    time = list(roles.time) if len(roles.time) > 1 else "".join(roles.time)
    reading = {"id": list(roles.id), "time": time, "wide": roles.wide, "missing": missing}
    optional = {"na": list(options["na"])}
    optional |= {name: getattr(roles, name) for name in ("split_at", "time_step", "time_format")}
    if roles.wide:  # of a long one the names of the elements say it
        words = () if re.search(r"\d", "".join(roles.columns)) else roles.columns  # whose order names do not tell
        chosen = {"columns": spec.columns or words, "ignore": spec.ignore, "groups": spec.groups}
        optional |= {name: list(names) for name, names in chosen.items()}
    reading |= {name: value for name, value in optional.items() if value}
    if targets:
        reading |= {"label": list(roles.label), "per_step": roles.per_step}
    X, lengths = pad_sequences(found.X)
    is_timed = roles.time and not targets
    times = _times_of_steps(rows, table.written(roles.time), X.shape[:2]) if is_timed else None
    split = Split(X, found.y, lengths, found.ids if roles.id else None)
    return Dataset(split, None, None, names, tuple(notes), reading, roles.label or None, times, groups)


def _times_of_steps(rows: Sequence[np.ndarray], written: Sequence[str], shape: tuple[int, int]) -> np.ndarray:
    """Return the times (m, s) of the steps that are in these rows of a table."""
    texts, times = np.array(written, object), np.full(shape, "", object)
    for i, each in enumerate(rows):
        times[i, : len(each)] = texts[each]
    return times


def _parquet(path: Path, na: Sequence[str]) -> Table:
    try:
        import narwhals.stable.v2 as nw
    except ImportError:
        raise ImportError(f"{os.fspath(path)}: narwhals is missing: pip install narwhals polars") from None
    for backend in ("polars", "pandas", "pyarrow"):
        try:
            importlib.import_module(backend)
            frame = nw.read_parquet(os.fspath(path), backend=backend)
        except ImportError:
            continue
        except Exception as error:  # each library has its own for what is damaged
            twice = re.search(TWICE, str(error))
            if twice:  # of Polars and of PyArrow
                name = twice[1] or twice[2]
                raise ValueError(f"expected columns of different names, got {name!r} twice") from None
            raise ValueError(f"expected a Parquet file: {error}") from None
        return table_of_frame(frame, na=na)
    raise ImportError(f"{os.fspath(path)}: no library for Parquet is installed: pip install polars")


# --- .npz, and targets ---


def _filled(data: Dataset, missing: str) -> Dataset:
    """`data` with what is missing in it filled, if that was asked for; else whoever uses it says that it is missing."""
    if missing == "refuse":
        return data
    e = (data.train or data.test).X.shape[2]
    splits, counts = {}, np.zeros(e, np.intp)
    for name, split in (("train", data.train), ("test", data.test)):
        if split is not None and split.X.dtype.kind == "f":
            X = np.array(split.X)
            steps = np.full(len(X), X.shape[1]) if split.lengths is None else split.lengths
            real = (x[:n] for x, n in zip(X, steps, strict=True))
            wrong = 'x: expected a value at least in sample {}, element {}, got none; missing="zero" fills it'.format
            counts += missing_values.fill_each(real, missing, e, wrong)
            splits[name] = split._replace(X=X)
    names = data.feature_names or [f"element {j}:" for j in range(e)]
    notes = missing_values.notes_on_filled(counts, missing, names)
    return data._replace(**splits, notes=(*data.notes, *notes))


def _has_numbers(split: Split | None) -> bool:
    """Whether the targets of a split are numbers to predict."""
    return split is not None and split.y is not None and split.y.dtype.kind == "f"


def _as_task(split: Split | None, task: str | None, table: bool) -> Split | None:
    """The split with targets of the kind that was asked for."""
    if split is None or split.y is None:
        return split
    y = split.y
    if task == "regression" and y.dtype.kind != "f":
        if y.dtype.kind not in "biu":
            raise ValueError(f"task: expected classification of strings, such as {str(y.flat[0])!r}, got regression")
        return split._replace(y=y.astype(np.float64))
    if task == "classification" and y.dtype.kind == "f":
        if y.ndim > 1:
            why = f"y {y.shape}, which y.argmax(axis=1) makes to classes if it is one-hot"
            raise ValueError(f"task: expected regression of several numbers a sample, got classification of {why}")
        if not np.isfinite(y).all() or (y % 1).any():
            raise ValueError("task: expected regression of reals that are not whole, got classification")
        return split._replace(y=y.astype(np.int64))
    if task is None and table and y.ndim == 1:
        _check_kind(y)
    return split


def _check_kind(y: np.ndarray) -> None:
    """ValueError where numbers in a table may be classes or may not."""
    if not _is_doubtful(y):
        return
    due, kind = ("reals", "that are whole") if y.dtype.kind == "f" else ("integers of some classes", f"of {len(y)}")
    cure = 'task="classification" or task="regression" settles it'
    raise ValueError(f"label: expected {due}, got {len(np.unique(y))} different ones {kind}; {cure}")


def _is_doubtful(y: np.ndarray) -> bool:
    """Return whether targets (m,) may be classes or numbers: integers that are many, or whole reals that are not."""
    if y.dtype.kind in "iu":
        return len(np.unique(y)) > max(MANY, len(y) // 2)
    is_whole = y.dtype.kind == "f" and np.isfinite(y).all() and not (y % 1).any()
    return is_whole and len(np.unique(y)) <= min(MANY, len(y) // 2)


def _doubts(split: Split) -> list[str]:
    """What to say of reals that are learned as numbers, as their dtype says, and may be meant for classes."""
    y = split.y
    if y is not None and y.ndim == 1 and _is_doubtful(y):
        found = f"y has {len(np.unique(y))} different"
        if y.dtype.kind == "f":
            return [f'{found} numbers, all whole: task="classification" takes them for classes']
        return [f'{found} integers of {len(y)}, which are learned as classes: task="regression" learns them as numbers']
    is_wide = _has_numbers(split) and y.ndim == 2 and y.shape[1] > 1
    if is_wide and np.isin(y, (0, 1)).all() and (y.sum(axis=1) == 1).all():
        return ["y looks one-hot, and is learned as numbers: y.argmax(axis=1) are the classes"]
    return []
