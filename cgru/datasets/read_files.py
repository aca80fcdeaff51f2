"""`cgru.datasets.read` and `from_frame`: read data sets from files of any kind, and from DataFrames.

A refusal carries its whole cure: it is applied, and if the table is then refused again, that cure is added, so that
the options to copy read the table at the first try.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import numpy as np

from cgru.datasets.column_roles import likely_roles, resolve_roles, roles_and_values
from cgru.datasets.columns import ROLES, Columns, ColumnsError
from cgru.datasets.dataset import Dataset, Split, with_features
from cgru.datasets.missing_values import INDICATOR, LEFT, fill_samples, methods_of
from cgru.datasets.npz import read_npz
from cgru.datasets.table import Table, kind_of, table_of
from cgru.datasets.table_sequences import pad_sequences, read_sequences
from cgru.datasets.ts import read_ts
from cgru.network.data.samples import Sequences

__all__ = ["OF_OTHERS", "from_frame", "overview", "read", "with_whole_cure"]

Path = str | os.PathLike[str]
MANY = 20  # at most so many different integers are surely classes
# What says something of files that are no tables.
OF_OTHERS = {"npz": {"columns", "groups", "missing", "task"}, "ts": {"missing", "task"}}


def read(
    path: Path, how: Columns | None = None, /, *, test: Path | None = None, targets: bool | str = True, **options: Any
) -> Dataset:
    r"""Read a data set from a table (CSV, Parquet, Excel, JSON lines), an `.npz`, a `.ts`, or a folder of `.npy`.

    A table has a row for each step (long), or for each sequence (`wide=True`, or lists in its cells). `Columns` says
    what each column is. Whatever is not said and has no exact conventional name is refused, with the options to pass.

    An `.npz` holds real numbers `x` (or `X`): (m, s, e), or the steps of all samples one after another (n, e) with
    `lengths` (m,) that sum to n. With x (m, s, e), `lengths` (m,) are optional and give the real steps of each
    sample. An optional `y` holds integers, booleans or strings (m,), which are classes, or reals (m,) or (m, k). It may
    hold a class for each step: (m, s), or with x (n, e) also (n,); or reals for each step: (m, s, k). With a split the
    names are `train_x`, `train_y`, `train_lengths`, `test_x`, ... . `class_names` (k,) and `feature_names` (e,) are
    optional. Other arrays are ignored; none is ever unpickled.

    A folder holds these arrays as files `x.npy`, (m, s, e), `y.npy`, ... . They are mapped into memory (`numpy.memmap`)
    rather than read, except for x if missing values are filled, or features are selected or reordered.

    Args:
        path: the file. Text and `.ts` may be gzipped.
        how: what each column is; None: `Columns()`. The `columns` of another `Dataset` read this file as that one.
        test: a file of the same kind with the test split.
        targets: whether to read targets. If not, `y` is None, and the file needs no labels. "required" refuses a table
            without a label.
        **options: fields of `Columns`, which replace those in `how`.

    Returns:
        The data set, its splits (m, s, e) padded with zeros.

    Raises:
        OSError: the file cannot be opened.
        ImportError: Polars is not installed, for a table.
        ColumnsError: a table needs another option; `cure` has those that mend it.
        ValueError: anything else is invalid; with the file, and the line and column or the array.

    Examples:
        >>> import pathlib
        >>> rows = ["machine,time,heat,label", "A,0,1.5,fine", "A,1,2,fine", "B,0,3,failed", "B,1,4,failed"]
        >>> _ = pathlib.Path("machines.csv").write_text("\n".join(rows))
        >>> data = cgru.datasets.read("machines.csv", id="machine")
        >>> data.train.X.X.tolist(), data.train.y.tolist(), data.feature_names
        ([[[1.5], [2.0]], [[3.0], [4.0]]], ['fine', 'failed'], ('heat',))
        >>> later = cgru.datasets.read("machines.csv", data.columns, targets=False)
    """
    how = (how or Columns()).changed(**options)
    data = _read(path, how, targets)
    if test is None:
        return data
    other = _read(test, data.columns, True)
    with _errors_name(os.fspath(test)):
        return _with_test(data, with_features(other, data.feature_names), test)


def from_frame(frame: Any, how: Columns | None = None, /, *, targets: bool = True, **options: Any) -> Dataset:
    """Convert a DataFrame to a data set, as `read` reads a file.

    Args:
        frame: a DataFrame of pandas, Polars or any other library that narwhals reads. A named index is a column, too.
        how: what each column is; None: `Columns()`. The `columns` of another `Dataset` read this frame as that one.
        targets: whether to read targets. If not, `y` is None, and the frame needs no labels.
        **options: fields of `Columns`, which replace those in `how`.

    Returns:
        The data set; all samples are in `train`.

    Raises:
        ImportError: narwhals or Polars is not installed.
        TypeError: `frame` is no DataFrame.
        ColumnsError: the table needs another option; `cure` has those that mend it.
        ValueError: anything else is invalid.

    Examples:
        >>> import polars
        >>> days = ["2024-05-01", "2024-05-02", "2024-05-01"]
        >>> frame = polars.DataFrame({"id": ["x", "x", "y"], "date": days, "a": [1, 2, 3]})
        >>> data = cgru.datasets.from_frame(frame)
        >>> data.train.X.X.tolist(), data.train.X.lengths.tolist(), data.train.ids.tolist()
        ([[[1.0], [2.0]], [[3.0], [0.0]]], [2, 1], ['x', 'y'])
    """
    how = (how or Columns()).changed(**options)
    return with_whole_cure(frame, lambda table: _data_of(table, targets), how)


def overview(path: Path, how: Columns | None = None, /, **options: Any) -> tuple[list[str], ColumnsError | None, Any]:
    r"""Look at a table: its columns with three values each, and the options that read it.

    Args:
        path: the file.
        how: as for `read`.
        **options: as for `read`.

    Returns:
        A line for each column with its name, its role or likely role, and three values; the refusal without further
        options, which are its `cure`, or None; the data set, read with them, or None if no options are known.

    Raises:
        OSError: the file cannot be opened.
        ValueError: it is no table.

    Examples:
        >>> import pathlib
        >>> rows = ["machine,time,heat,label", "A,0,1.5,fine", "A,1,2,fine", "B,0,3,failed", "B,1,4,failed"]
        >>> _ = pathlib.Path("machines.csv").write_text("\n".join(rows))
        >>> lines, error, data = cgru.datasets.overview("machines.csv")
        >>> print("\n".join(lines), error.cure)
          machine  id          A, B
          time     time        0, 1
          heat     feature     1.5, 2, 3
          label    label       fine, failed {'id': ('machine',)}
    """
    how, refusal = (how or Columns()).changed(**options), None
    try:
        data = read(path, how)
    except ColumnsError as error:
        refusal, how = error, how.changed(**(error.cure or {}))
        data = read(path, how) if error.cure else None
    lines = refusal.overview.split("\n") if refusal and refusal.overview else []
    return lines if data is None else roles_and_values(table_of(path, how), how), refusal, data


def with_whole_cure(source: Any, use: Callable[[Table], Any], how: Columns) -> Any:
    """Call `use` with the table in a file or DataFrame, and return its result; errors suggest all options needed.

    A ColumnsError that it raises gets the whole cure, by which it raises no other, or None if that is not found. One
    about roles gets an overview of the columns. Errors about a file begin with its path.
    """
    with _errors_name(os.fspath(source) if isinstance(source, str | os.PathLike) else ""):
        try:
            if not len((table := table_of(source, how)).frame):
                raise ValueError("expected rows, got none")
            return use(table)
        except ColumnsError as first:
            error, last = first, first
        whole: dict[str, Any] = {}
        while last and (more := last.cure and _merged(how, whole, last.cure)) and more != whole:
            whole, last = more, None
            try:
                use(table_of(source, how.changed(**whole)))
            except (TypeError, ValueError) as other:
                last = other if isinstance(other, ColumnsError) else ColumnsError("", "", "")
        error.cure = None if last else whole
        if error.argument in ROLES:
            how = how.changed(**(error.cure or {}))
            with contextlib.suppress(ValueError):
                error.overview = "\n".join(roles_and_values(table_of(source, how), how))
        raise error from None


def _merged(how: Columns, whole: dict[str, Any], cure: dict[str, Any]) -> dict[str, Any]:
    """Merge the suggested options `whole` and `cure`; a column that gets a role in `cure` loses its others."""
    named, found = {name for role in ROLES for name in cure.get(role) or ()}, whole | cure
    for role in ROLES:
        value = whole.get(role, getattr(how, role))
        if role not in cure and value and named & {*value}:
            left = [name for name in value if name not in named]
            found[role] = {name: value[name] for name in left} if isinstance(value, dict) else tuple(left)
    return found


def _with_test(data: Dataset, other: Dataset, path: Path) -> Dataset:
    """Return `data` with the samples of `other`, of the file `path`, as test split; ValueError if they do not match."""
    if data.test is not None or other.test is not None:
        raise ValueError("expected no test split of its own where test names a file, got one")
    if None not in (data.class_names, other.class_names) and data.class_names != other.class_names:
        raise ValueError(f"class_names: expected those of the other file, got {', '.join(other.class_names)}")
    due, got = ((each.train.X.shape[2], each.train.y is None) for each in (data, other))
    if due[0] != got[0] or due < got:
        words = "{} features a step, and targets if the other file has some".format
        raise ValueError(f"expected {words(due[0])}, got {got[0]} and {'none' if got[1] else 'some'}")
    notes = (f"{os.path.basename(path)}: {note}" for note in other.notes if note not in data.notes)
    return data._replace(test=other.train, notes=(*data.notes, *notes))


@contextlib.contextmanager
def _errors_name(path: str) -> Iterator[None]:
    """Put the path of a file before the messages of errors; "" leaves them unchanged."""
    try:
        yield
    except ColumnsError as error:
        error.source = path
        raise
    except (TypeError, ValueError) as error:
        raise (ValueError(f"{path}: {error}") if path else error) from None


def _read(path: Path, how: Columns, targets: bool | str) -> Dataset:
    """Read one file by the options of `read`; put its path before errors."""
    with _errors_name(os.fspath(path)):
        if (kind := kind_of(path)) in OF_OTHERS:
            return _read_other(path, kind, how, targets)
    data = with_whole_cure(path, lambda table: _data_of(table, targets), how)
    if targets == "required":
        with_whole_cure(path, _check_label, data.columns)
    return data


def _read_other(path: Path, kind: str, how: Columns, targets: bool) -> Dataset:
    """Read a file that is no table: an `.npz`, a folder of arrays or a `.ts`."""
    if others := sorted(how.to_dict().keys() - OF_OTHERS[kind] - {"parts"}):
        cure = {each: getattr(Columns(), each) for each in others}
        raise ColumnsError(others[0], repr(getattr(how, others[0])), f"nothing for a file of {kind}", cure)
    if kind == "npz":
        data = read_npz(path, "" if how.parts or not targets else "".join(how.groups))
    else:
        X, y, notes = read_ts(path, targets)
        X, lengths = pad_sequences(X)
        data = Dataset(Split(Sequences(X, lengths), y), None, None, None, tuple(notes))
    methods = methods_of(how.missing, data.feature_names or [""] * (data.train or data.test).X.shape[2])
    if how.missing.endswith(INDICATOR):
        raise ValueError("missing: expected no indicators of a file that is no table, got some")
    splits = [_as_task(split and _with_filled(split, methods), how.task, False) for split in (data.train, data.test)]
    if how.columns is not None and data.feature_names is None:
        raise ValueError("columns: expected none without feature_names in the file, which say what there is, got some")
    data = data._replace(train=splits[0], test=splits[1], columns=Columns(missing=how.missing, task=how.task))
    return with_features(data, how.columns)


def _with_filled(split: Split, methods: list[str]) -> Split:
    """Return a split with the NaN of X filled; features with "refuse" keep theirs."""
    if {*methods} <= {*LEFT} or split.X.dtype.kind != "f":
        return split
    X = np.array(split.X.X, order="C")  # it may be mapped
    fill_samples(X, split.X.lengths, methods)
    return split._replace(X=replace(split.X, X=X))


# --- tables, and targets ---


def _data_of(table: Table, targets: bool | str) -> Dataset:
    """Read the data set of a table by its `columns`; the result has the columns of all roles."""
    how, trained = table.columns, table.columns.parts == 1
    roles = resolve_roles(table, how, targets=targets)
    data = read_sequences(table, roles, targets=bool(targets), trained=trained)
    split, notes = _as_task(data.train, how.task, True), (*table.notes, *data.notes)
    if split.y is not None and not trained and not how.task:
        _check_targets(split.y, roles, targets == "required")
    names = data.target_names if split.y is not None and split.y.dtype.kind == "f" else None
    return data._replace(train=split, notes=notes, target_names=names)


def _check_label(table: Table) -> None:
    """Refuse a table without a target; suggest the last column if it is constant in each sequence."""
    if not (how := table.columns).label:
        likely = likely_roles(table, how.changed(label=None, columns=None)).get("label")
        due = "the column with the target; a series to forecast needs none"
        raise ColumnsError("label", "none", due, {"label": likely} if likely else None)


def _check_targets(y: np.ndarray, how: Columns, are_required: bool) -> None:
    """Refuse a target that is constant, and classes that all differ."""
    found = np.unique(y, axis=0 if y.ndim == 2 and y.dtype.kind == "f" else None)
    ignore = tuple(dict.fromkeys((*how.ignore, *how.label)))
    none = None if are_required else {"label": (), "ignore": ignore, "per_step": False}
    if len(found) == 1 and len(y) > 1:
        raise ColumnsError("label", f"{found.ravel()[0]} alone", "a target that is not the same everywhere", none)
    if y.dtype.kind != "f" and y.ndim == 1 and len(found) == len(y) > 2:
        raise ColumnsError("label", f"{found[0]}, {found[1]}, ... once each", "classes of several sequences", none)


def _as_task(split: Split | None, task: str | None, is_table: bool) -> Split | None:
    """Convert the targets of a split to the dtype of `task`; refuse impossible ones, and doubtful ones of a table.

    Many different integers, or few different whole reals, may be classes or numbers. None stays None.
    """
    if split is None or (y := split.y) is None:
        return split
    is_real, other = y.dtype.kind == "f", {"task": "classification" if y.dtype.kind == "f" else "regression"}
    is_whole = np.isfinite(y).all() and not (y % 1).any() if is_real else y.dtype.kind in "biu"
    if task == "regression" and not is_real:
        if not is_whole:
            raise ColumnsError("task", str(y.flat[0]), "numbers for regression", {"task": "classification"})
        return split._replace(y=y.astype(np.float64).reshape(*y.shape, *[1] * (y.ndim - 1)))  # of steps (m, s, 1)
    if task == "classification" and is_real:
        y = y[:, :, 0] if y.shape[2:] == (1,) else y
        if not is_whole or (y.ndim > 1 and y is split.y):
            raise ColumnsError("task", f"reals of shape {y.shape}", "classes, not one-hot", {"task": "regression"})
        return split._replace(y=y.astype(np.int64))
    if task is None and is_table and is_whole and y.dtype.kind != "b" and y.ndim <= 2 - is_real:
        n, half = len(np.unique(y)), len(y) // 2 if y.ndim == 1 else 0
        if n <= min(MANY, half) if is_real else n > max(MANY, half):
            raise ColumnsError("task", f"{n} different whole numbers of {len(y)}", "classes or numbers", other)
    return split
