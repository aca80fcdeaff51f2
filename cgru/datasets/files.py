"""`cgru.datasets.read`: data sets from `.npz` files, long and wide tables, and `.ts` files of the UCR/UEA archive."""

from __future__ import annotations

import importlib
import os
import re
from collections.abc import Mapping, Sequence
from typing import Any, BinaryIO

import numpy as np

from cgru.core.lengths import padded
from cgru.datasets import missing_values
from cgru.datasets.column_names import as_names, check_choice, listed
from cgru.datasets.column_roles import NAMED, ColumnRoles, assign_roles
from cgru.datasets.computed_features import indicator_name, source_columns, with_indicators
from cgru.datasets.dataframes import as_categories, notes_on_ids, order_of_steps, pad_sequences, read_long, read_wide
from cgru.datasets.dataset import DENSEST, LONGEST, PADDED, Dataset, Split, StepSplit, with_features, with_targets
from cgru.datasets.missing_values import Filling, parse_filling
from cgru.datasets.npz import read_npz
from cgru.datasets.table import Table, check_ids, table_of_frame
from cgru.datasets.text import DECIMAL, table_of_text
from cgru.datasets.time_differences import TIME_STEP, parse_gap
from cgru.datasets.ts import read_ts
from cgru.datasets.windows import parse_windows

__all__ = ["kind_of", "read", "table_of", "test_beside"]

Path = str | os.PathLike[str]
TABLES = (".csv", ".tsv", ".txt", ".tab", ".dat", ".data")
TWICE = r"column with name '(.*)' has more than one|Multiple matches for [^\s(]*\((.*?)\)"  # errors of Polars, PyArrow
MANY = 20  # at most so many different integers are surely classes


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
    categories: str | Sequence[str] | Mapping[str, Sequence[str]] = (),
    wide: bool | None = None,
    per_step: bool = False,
    task: str | None = None,
    missing: str | Mapping[str, str] = "refuse",
    na: missing_values.NA | None = None,
    split_at: str | float | None = None,
    time_step: bool = False,
    decimal: str | None = None,
    axes: str | None = None,
    features: Sequence[str] | None = None,
    targets: bool = True,
    time_format: str | None = None,
    windows: str | int | Sequence[int] | None = None,
    parts: bool = True,
    steps: Sequence[str] = (),
) -> Dataset:
    r"""Read a data set from an `.npz`, CSV or other text, Parquet, a `.ts` of the UCR/UEA archive, or a folder.

    An `.npz` holds real numbers `x` (or `X`): (m, s, e), or the steps of all samples one after another (n, e) with
    `lengths` (m,) that sum to n. Beside x (m, s, e), `lengths` (m,) are optional and give the real steps of each
    sample. An optional `y` holds integers, booleans or strings (m,), which are classes, or reals (m,) or (m, k). It may
    hold a class for each step: (m, s), or beside x (n, e) also (n,); or reals for each step: (m, s, k). Values past the
    lengths are ignored. With a split the names are `train_x`, `train_y`, `train_lengths`, `test_x`, ... . `class_names`
    (k,) and `feature_names` (e,) are optional. Other arrays are ignored; none is ever unpickled.

    A folder holds these arrays as files `x.npy`, (m, s, e), `y.npy`, ... . They are mapped into memory (`numpy.memmap`)
    rather than read, except for x if missing values are filled, or features are selected or reordered.

    A table has a row for each step (long) or for each sequence (wide). The roles of its columns are passed by name, or
    guessed from names and values; the `notes` of the result tell the guesses. Ambiguous roles are refused.

    Args:
        path: the file. Text and `.ts` may be gzipped.
        test: a file of the same kind with the test split.
        id: of a table, the column that identifies the sequence of a row, or several together; "" for none.
        time: the column that steps are sorted by; "": steps keep the order of the rows. Several columns are joined: a
            date and a time of day, or parts of a date, such as year, month and day, by their names or in this order.
        label: the column with the target, or several with numbers; "" for none.
        columns: the features of a step, in this order; a time that is a number may be among them. None: all columns
            without another role.
        ignore: columns that are no features.
        groups: the column that says which sequences belong together, such as the subject, the same in all rows of a
            sequence. It may be in `id`, too, and is no feature. In an `.npz` or folder it is the array (m,) of that
            name, with a split train_NAME. `groups` of the result has those of the training samples.
        categories: of a long table, columns that are encoded one-hot: values a and b of column c become the features
            c_a and c_b, 1 where that is the value and else 0. Or a dict with the values of each column, as in `reading`
            of the result: another value is refused, and a missing value that is filled with zero is none of them.
        wide: whether each row is a sequence.
        per_step: whether there is a label, or several with numbers, for each step, which may change within a sequence.
        task: "classification" or "regression", if integers are numbers or reals are classes. None: integers, booleans
            and strings are classes, reals are numbers. Many different integers in a table are refused.
        missing: "refuse" missing values, or fill them from their own sequence:

            - "forward" takes the last value before, at the beginning the first one after.
            - "interpolate" is linear in the number of steps.
            - "zero" takes 0.
            - "decay" leaves NaN, for a `cgru.GRUD`, and reads the times of the steps of a table into a `StepSplit`.

            By feature: a dict, or "a=interpolate,b=zero", in which "forward,b=zero" fills all others, too. With
            "+indicator" behind a method a feature missingindicator_b is added, 1 where b was missing; without a name
            for each feature of which a value is missing in the training data.
        na: of a table, one or more additional markers of a missing value, such as "-" or -999, in any case. A number
            stands for all numbers of that value, -999.0 too. Empty cells, NA and some more always are missing.
        split_at: of a long table, the gap in time at which rows of one id are split into sequences; those of id a are
            called a/1, a/2, ... . For times that are numbers it is a number, for dates "30d", "6h", "10min", "2w" or
            "5s". None: no split.
        time_step: of a long table, whether to add the time since the row before as a feature, called time_step, 0 in
            the first row. It is in seconds if times are dates, else in their own unit.
        decimal: the decimal sign of a text file, "." or ","; None: guessed from its numbers.
        axes: the axes of x in an `.npz`: "mse", or "mes" for (m, e, s); None: "mse".
        features: the names of the features to take, in this order, such as `Network.feature_names`; others are left
            out. Ignored if the file has no names.
        targets: whether to read targets. If not, `y` is None, and the file needs no labels.
        time_format: the format of the times of a table, as for strptime, such as "%d/%m/%Y". None: any usual format, if
            only one fits all times.
        windows: of a long table, the length and the hop of windows that sequences are cut into, such as (100, 50) or
            "100,50". The last one ends where its sequence does, and a sequence that is no longer than a window is one.
            Without an id all rows are one sequence. The label is that of each step with `per_step`, else that of the
            last step of a window.

            `groups` of the result are the sequences, if no column is named, so that no held-back window has a step that
            is trained on. An only sequence is cut into twelve parts for that.
        parts: whether an only sequence is cut into parts before windows. Later data, by `features`, and test data are
            not; `reading` of the result says so, too.
        steps: the columns of a wide table that data were trained on, in order of their steps, as in `reading`. They
            tell a header with numbers from a row, and a note says where there are others.

    Returns:
        The data set, its splits (m, s, e) padded with zeros.

    Raises:
        OSError: the file cannot be opened.
        ImportError: neither Polars nor pandas is installed, for Parquet.
        ValueError: anything else is invalid; with the file, and the line and column or the array. In an `.npz` the
            headers of the arrays are checked before x and y are read.

    Examples:
        >>> import pathlib
        >>> rows = ["id,time,a,b,label", "x,0,1,5,yes", "x,1,2,6,yes", "y,0,3,7,no", "y,1,4,8,no"]
        >>> _ = pathlib.Path("data.csv").write_text("\n".join(rows))
        >>> data = cgru.datasets.read("data.csv", id="id", time="time", label="label")
        >>> data.train.X.tolist(), data.train.y.tolist(), data.feature_names
        ([[[1.0, 5.0], [2.0, 6.0]], [[3.0, 7.0], [4.0, 8.0]]], ['yes', 'no'], ('a', 'b'))
    """
    named = {"id": id, "time": time, "label": label, "columns": columns, "ignore": ignore, "groups": groups or ()}
    named = {name: None if value is None else as_names(value, name) for name, value in named.items()}
    spec = {"wide": wide, "per_step": per_step, "time_format": time_format, "split_at": split_at}
    spec |= {"categories": as_categories(categories), "windows": None if windows is None else parse_windows(windows)}
    spec = ColumnRoles(**named, **spec, time_step=time_step)
    if len(spec.groups) > 1:
        raise ValueError(f"groups: expected one name, got {', '.join(spec.groups)}")
    check_choice("decimal", decimal, DECIMAL)
    check_choice("task", task, (None, "classification", "regression"))
    check_choice("axes", axes, (None, "mse", "mes"))
    options = {
        "missing": parse_filling(missing),
        "na": missing_values.as_words(na),
        "decimal": decimal,
        "axes": axes,
        "task": task,
    }
    options |= {"targets": targets, "grouped": targets, "features": features}
    options["parts"] = parts and targets and features is None  # of later data none are held back
    options["steps"] = as_names(steps, "steps")
    if split_at is not None:
        parse_gap(split_at)
    data = _read(path, spec, options)
    if test is None:
        beside = test_beside(path)
        note = f'{os.path.basename(beside or "")} lies beside it: test="{beside}" tests on it'
        return data._replace(notes=(*data.notes, note)) if beside else data
    known = data.reading or {}  # guesses for the training file hold for the test file
    decided = {name: as_names(known[name], name) for name in ("id", "time", "label", "columns") if name in known}
    decided |= {name: known[name] for name in ("wide", "categories") if name in known}
    options |= {"grouped": False, "parts": False, "features": features or data.feature_names}
    options["steps"] = known.get("steps", ())
    options |= {"missing": parse_filling(known["missing"])} if "missing" in known else {}
    other = _read(test, spec._replace(**decided), options)
    return _with_test(data, other, test)


def test_beside(path: Path) -> str | None:
    """Return the path NAME_TEST.ts if `path` is NAME_TRAIN.ts and the former exists, as in the archive; else None."""
    found = re.fullmatch(r"(.*)_TRAIN(\.ts(?:\.gz)?)", os.fspath(path))
    other = f"{found[1]}_TEST{found[2]}" if found else ""
    return other if other and os.path.exists(other) else None


def _with_test(data: Dataset, other: Dataset, path: Path) -> Dataset:
    """Return `data` with the samples of `other` as test split; raise ValueError, with `path`, if they do not match."""
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
        raise ValueError(f"{where}: expected {due} features a step, as the other file has, got {got}")
    try:
        other = with_targets(other, data.target_names)
    except ValueError as error:
        raise ValueError(f"{where}: {error}, which the other file has not") from None
    notes = tuple(f"{os.path.basename(where)}: {note}" for note in other.notes if note not in data.notes)
    return data._replace(test=other.train, notes=data.notes + notes)


def kind_of(path: Path) -> str:
    """Return the kind of a file by its first bytes or name: "npz", "parquet", "ts" or "text".

    A folder is an "npz". Raise ValueError for any other file.
    """
    if os.path.isdir(path):
        return "npz"
    name = os.fspath(path).lower().removesuffix(".gz")
    with open(path, "rb") as file:
        first = file.read(4)
    ending = os.path.splitext(name)[1]
    if not first and ending not in (".npz", ".ts", *TABLES):  # these readers refuse empty files themselves
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
    """Read one file by the specified column roles and the other options of `read`; put its path before errors."""
    task = options["task"]
    try:
        kind = kind_of(path)
        is_table = kind in ("text", "parquet")
        _check_options(kind, spec, options)
        if kind == "npz":
            name = "".join(spec.groups)
            data = _fill(read_npz(path, options["axes"], name, options["grouped"]), options["missing"])
            if spec.columns is not None and data.feature_names is None:
                due = "none without feature_names in the file, which say what there is"
                raise ValueError(f"columns: expected {due}, got some")
            data = with_features(data, spec.columns)
        elif kind == "ts":
            X, y, notes = read_ts(path, options["missing"].others, options["targets"])
            X, lengths = pad_sequences(X)
            data = Dataset(Split(X, y, lengths), None, None, None, tuple(notes))
        else:
            called = [name for role in NAMED for name in getattr(spec, role) or ()]
            called += [*(options["features"] or ()), *options["steps"]]
            table, notes = table_of(path, options["decimal"], na=options["na"], called=called)
            if kind == "text" and len(table.names) == 1:
                due = "expected columns that tabs, ;, |, commas or, on each line as many, spaces separate"
                raise ValueError(f"{due}, got one, {table.names[0]}")
            data = _dataset_of_table(table, notes, spec, options)
        if kind == "ts" and options["missing"] != Filling():
            data = data._replace(reading={"missing": str(options["missing"])})
        data = with_features(data, options["features"])
        notes = data.notes if task else (*data.notes, *_notes_on_task(data.train or data.test, is_table))
        train, test = (_as_task(split, task, is_table) for split in (data.train, data.test))
        data = data._replace(train=train, test=test, notes=notes)
        return data if _has_numbers(data.train) else data._replace(target_names=None)
    except (TypeError, ValueError) as error:
        raise ValueError(f"{os.fspath(path)}: {error}") from None


def _check_options(kind: str, spec: ColumnRoles, options: dict[str, Any]) -> None:
    """Raise ValueError for an option that does not apply to this kind of file."""
    default = ColumnRoles()._asdict()
    given = {name for name, value in spec._asdict().items() if value not in ((), default[name])}
    given |= {name for name in ("na", "decimal", "axes") if options[name]}
    if kind == "ts" and options["missing"] not in map(Filling, missing_values.MISSING):
        due = "a method alone, since features have no names in such a file, ts"
        raise ValueError(f"missing: expected {due}, got {options['missing']}")
    table = {*ColumnRoles._fields, "na"}
    fits = {"npz": {"axes", "columns", "groups"}, "ts": set(), "parquet": table, "text": table | {"decimal"}}
    for name in sorted(given - fits[kind]):
        raise ValueError(f"{name}: expected nothing, since it says nothing of such a file, {kind}, got some")


# --- tables ---


def table_of(
    path: Path, decimal: str | None = None, index: bool = False, na: Sequence[str] = (), called: Sequence[str] = ()
) -> tuple[Table, list[str]]:
    """Read the table in a text or Parquet file; return it, and notes on guesses. See `table_of_text`."""
    kind = kind_of(path)
    if kind == "text":
        return table_of_text(path, decimal, index, na, called)
    if kind != "parquet":
        raise ValueError(f"expected a table as text or Parquet, got a file of another kind, {kind}")
    if decimal is not None:
        raise ValueError(f"decimal: expected nothing, since it says nothing of such a file, {kind}, got some")
    return _parquet(path, na), []


def _dataset_of_table(table: Table, notes: list[str], spec: ColumnRoles, options: dict[str, Any]) -> Dataset:
    """Convert a table to a data set by the specified column roles; `reading` of it gets all roles that were found."""
    features, targets, missing = (options[name] for name in ("features", "targets", "missing"))
    trained = features is not None
    if spec.label and not targets:  # the file need not have labels; if it has, they are no features
        there = [name for name in table.names if name not in spec.ignore]
        spec = spec._replace(label=tuple(name for name in spec.label if name in there) or None)
    if features is not None:  # some are computed and no columns
        features = source_columns(features, spec.categories, missing)
    if spec.time_step:
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
        if spec.label and not table.has_header:  # the column may be a feature, as the file may lack labels
            note = 'has labels, as in training, and is left out (label="" takes all columns)'
            notes.append(f"{listed(roles.label)} {note}")
        roles = roles._replace(label=(), per_step=False)
    for name in ("categories", "per_step", "split_at", "time_step", "windows"):
        if roles.wide and getattr(roles, name):
            raise ValueError(f"{name}: expected a row for each step, got one for each sequence (wide=True)")
    if roles.time_step and TIME_STEP in roles.columns:
        raise ValueError(f"time_step: expected no column of features that is called so, got {TIME_STEP}")
    reader = read_wide if roles.wide else read_long
    found, more, groups, missing, rows, timed = reader(table, roles, missing, options["parts"])
    notes += more + ([] if trained or roles.wide else notes_on_ids(table, roles, found))
    names = tuple(found.columns) if len(found.columns) > 1 or not roles.wide else None
    time = list(roles.time) if len(roles.time) > 1 else "".join(roles.time)
    reading = {"id": list(roles.id), "time": time, "wide": roles.wide, "missing": str(missing)}
    optional = {"na": list(options["na"])}
    optional |= {name: getattr(roles, name) for name in ("split_at", "time_step", "time_format")}
    optional |= {"categories": {name: list(values) for name, values in roles.categories.items()}}
    optional |= {"windows": ",".join(map(str, roles.windows or ()))}
    if roles.windows:
        reading["parts"] = False
    if roles.wide and table.has_header:
        optional["steps"] = order_of_steps(roles.columns)
        notes += _notes_on_steps(optional["steps"], options["steps"])
    if roles.wide:  # a long table is read by feature_names
        words = () if re.search(r"\d", "".join(roles.columns)) else roles.columns  # no numbers, so the order is needed
        chosen = {"columns": spec.columns or words, "ignore": spec.ignore, "groups": spec.groups}
        optional |= {name: list(names) for name, names in chosen.items()}
    reading |= {name: value for name, value in optional.items() if value}
    if targets:
        reading |= {"label": list(roles.label), "per_step": roles.per_step}
    X, lengths = pad_sequences(found.X)
    is_timed = roles.time and not targets
    times = _times_of_steps(rows, table.written(roles.time), X.shape[:2]) if is_timed else None
    samples = X, found.y, lengths, found.ids if roles.id or roles.windows else None
    split: Any = Split(*samples)
    if timed is not None:  # the last time of a sample stands in its padding
        split = StepSplit(*samples, {"times": np.maximum.accumulate(padded(timed)[0], axis=1)})
    return Dataset(split, None, None, names, tuple(notes), reading, roles.label or None, times, groups)


def _notes_on_steps(ours: Sequence[str], known: Sequence[str]) -> list[str]:
    """Return a note where the columns of steps are called otherwise than the `known` ones that stand in their place."""
    for i, pair in enumerate(zip(ours, known, strict=False)):
        if len({_as_number(name) for name in pair}) > 1:
            there, due = (", ".join(names[i : i + 2]) for names in (ours, known))
            return [
                f"steps are called {there}, ... where those that were trained on are {due}, ...: taken in this order"
            ]
    return []


def _as_number(name: str) -> float | str:
    """Return the number that a name is, with a decimal point or comma, or else the name."""
    try:
        return float(name.replace(",", "."))
    except ValueError:
        return name


def _times_of_steps(rows: Sequence[np.ndarray], written: Sequence[str], shape: tuple[int, int]) -> np.ndarray:
    """Return the times (m, s) of all steps as text, of `written` by the rows of each sample, "" past its length."""
    texts, times = np.array(written, object), np.full(shape, "", object)
    for i, each in enumerate(rows):
        times[i, : len(each)] = texts[each]
    return times


def _parquet(path: Path, na: Sequence[str]) -> Table:
    """Read a Parquet file with the first library that is installed, Polars, pandas or PyArrow."""
    try:
        import narwhals.stable.v2 as nw
    except ImportError:
        raise ImportError(f"{os.fspath(path)}: narwhals is missing: pip install narwhals polars") from None
    for backend in ("polars", "pandas", "pyarrow"):
        try:
            with open(path, "rb") as file:  # of its name a library may make a pattern, an address or another folder
                frame = nw.from_native(_read_parquet(backend, file), eager_only=True)
        except ImportError:
            continue
        except (KeyboardInterrupt, SystemExit):
            raise
        except BaseException as error:  # each library has its own for a damaged file; a panic of Polars is no Exception
            twice = re.search(TWICE, str(error)[: 10 * LONGEST])  # which has names of the file, of any length
            if twice:
                name = twice[1] or twice[2]
                raise ValueError(f"expected columns of different names, got {name!r} twice") from None
            raise ValueError(f"expected a Parquet file: {error}") from None
        return table_of_frame(frame, na=na)
    raise ImportError(f"{os.fspath(path)}: no library for Parquet is installed: pip install polars")


def _read_parquet(backend: str, file: BinaryIO) -> Any:
    """Return the frame in an open Parquet file, by the library of this name.

    Raise ValueError for a file that has far more cells than bytes, as runs of one value make them.
    """
    library = importlib.import_module(backend)
    if backend == "polars":
        lazy = library.scan_parquet(file)
        cells = lazy.select(library.len()).collect().item() * len(lazy.collect_schema())
    else:
        parquet = importlib.import_module("pyarrow.parquet")
        about = parquet.read_metadata(file)
        cells = about.num_rows * about.num_columns
    if 8 * cells > max(PADDED, DENSEST * os.fstat(file.fileno()).st_size):
        cure = "a DataFrame of it goes into from_frame"
        raise ValueError(f"at most {DENSEST} times as many bytes unpacked, got {cells} cells; {cure}")
    file.seek(0)
    return parquet.read_table(file) if backend == "pyarrow" else library.read_parquet(file)


# --- .npz, and targets ---


def _fill(data: Dataset, filling: Filling) -> Dataset:
    """Return `data` with NaN in X filled, and how as its `reading`; what is refused stays, to be refused later."""
    if filling == Filling():
        return data
    e = (data.train or data.test).X.shape[2]
    names = data.feature_names or [f"feature {j}:" for j in range(e)]
    methods, filled, splits, gone = filling.methods(names), {}, {}, {}
    for name, split in (("train", data.train), ("test", data.test)):
        if split is not None:
            X, flags = split.X, split.X.flags
            X = X if flags.writeable and flags.c_contiguous else np.array(X, order="C")  # such as a mapped one
            gone[name] = np.isnan(X) if filling.marks else None
            wrong = 'x: expected a value at least in sample {}, feature {}, got none; missing="zero" fills it'.format
            filled[name] = missing_values.fill_samples(X, split.lengths, methods, wrong)
            splits[name] = split._replace(X=X)
    notes = missing_values.notes_on_filled(sum(filled.values()), filling, names)
    indicated = filling.indicated(names, next(iter(filled.values())) > 0)  # by the training data, if there are any
    if indicated and data.feature_names is None:
        raise ValueError("missing: expected no indicators of a file without feature_names, got some")
    for name, split in splits.items() if indicated else ():
        splits[name] = split._replace(X=with_indicators(split.X, gone[name], names, indicated))
    called = (*names, *map(indicator_name, indicated)) if indicated else data.feature_names
    reading = {"missing": str(filling.settled(indicated))}
    return data._replace(**splits, notes=(*data.notes, *notes), feature_names=called, reading=reading)


def _has_numbers(split: Split | None) -> bool:
    """Return whether the targets of a split are reals, for regression."""
    return split is not None and split.y is not None and split.y.dtype.kind == "f"


def _as_task(split: Split | None, task: str | None, table: bool) -> Split | None:
    """Return the split with targets of the dtype of `task`; ValueError if they cannot be, or are doubtful in a `table`.

    Without a task, targets from a `table` that may be classes or numbers are refused. None stays None.
    """
    if split is None or split.y is None:
        return split
    y = split.y
    if task == "regression" and y.dtype.kind != "f":
        if y.dtype.kind not in "biu":
            raise ValueError(f"task: expected classification of strings, such as {str(y.flat[0])!r}, got regression")
        return split._replace(y=y.astype(np.float64).reshape(*y.shape, *[1] * (y.ndim - 1)))  # of steps (m, s, 1)
    if task == "classification" and y.dtype.kind == "f":
        y = y[:, :, 0] if y.shape[2:] == (1,) else y
        if y.ndim > 1 and y is split.y:
            why = f"y {y.shape}, which y.argmax(axis=1) makes to classes if it is one-hot"
            raise ValueError(f"task: expected regression of several numbers a sample, got classification of {why}")
        if not np.isfinite(y).all() or (y % 1).any():
            raise ValueError("task: expected regression of reals that are not whole, got classification")
        return split._replace(y=y.astype(np.int64))
    if task is None and table and (y.ndim == 1 or y.dtype.kind in "iu") and _is_doubtful(y.ravel()):
        due, kind = ("reals", "that are whole") if y.dtype.kind == "f" else ("integers of some classes", f"of {len(y)}")
        cure = 'task="classification" or task="regression" settles it'
        raise ValueError(f"label: expected {due}, got {len(np.unique(y))} different ones {kind}; {cure}")
    return split


def _is_doubtful(y: np.ndarray) -> bool:
    """Return whether targets (m,) may be classes or numbers: many different integers, or few different whole reals."""
    if y.dtype.kind in "iu":
        return len(np.unique(y)) > max(MANY, len(y) // 2)
    is_whole = y.dtype.kind == "f" and np.isfinite(y).all() and not (y % 1).any()
    return is_whole and len(np.unique(y)) <= min(MANY, len(y) // 2)


def _notes_on_task(split: Split, table: bool) -> list[str]:
    """Return a note on targets that may be meant as classes but have the dtype of numbers, or the reverse.

    Of a `table` only targets of steps are looked at: others that are doubtful are refused.
    """
    y, cure = split.y, 'which are learned as classes: task="regression" learns them as numbers'
    if table:
        found = len(np.unique(y)) if y is not None and y.ndim == 2 and y.dtype.kind in "iu" else 0
        return [f"there are {found} different integers at the steps, {cure}"] if found > MANY else []
    if y is not None and y.ndim == 1 and _is_doubtful(y):
        found = f"y has {len(np.unique(y))} different"
        if y.dtype.kind == "f":
            return [f'{found} numbers, all whole: task="classification" takes them for classes']
        return [f"{found} integers of {len(y)}, {cure}"]
    is_wide = _has_numbers(split) and y.ndim == 2 and y.shape[1] > 1
    if is_wide and np.isin(y, (0, 1)).all() and (y.sum(axis=1) == 1).all():
        return ["y looks one-hot, and is learned as numbers: y.argmax(axis=1) are the classes"]
    return []
