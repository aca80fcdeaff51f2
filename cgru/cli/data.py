"""Read the data files of the `cgru` command, by its options or as a model's own data were read."""

from __future__ import annotations

import contextlib
import os
import sys
import tempfile
from collections.abc import Iterator, Mapping
from typing import Any

import cgru
from cgru.cli.arguments import Reading, RequestError, as_options, as_request_error
from cgru.cli.terminal import echo
from cgru.datasets import Columns, Dataset, load_japanese_vowels, read
from cgru.datasets.dataset import with_targets
from cgru.datasets.dataset_summary import looks_swapped
from cgru.datasets.missing_values import parse_filling
from cgru.datasets.read_files import OF_OTHERS, kind_of, test_beside

__all__ = ["given_options", "model_data", "opened", "training_data", "with_axes"]

EMBEDDED = "Japanese Vowels"
STDIN = "-"
ENDINGS = {b"PK": ".npz", b"PAR1": ".parquet", b"\x1f\x8b": ".csv.gz", b"@": ".ts"}  # by a file's first bytes


@contextlib.contextmanager
def opened(path: str) -> Iterator[tuple[str, str]]:
    """Yield (a data file to read, its name for messages): of `-` a copy of standard input, else the path, twice.

    Whether standard input is an .npz, Parquet, a .ts or a table as text, its first bytes say.
    """
    if path != STDIN:
        yield path, path
        return
    with tempfile.TemporaryDirectory() as folder:
        content = sys.stdin.buffer.read()
        ending = next((ending for start, ending in ENDINGS.items() if content.startswith(start)), ".csv")
        copy = os.path.join(folder, f"stdin{ending}")
        with open(copy, "wb") as file:
            file.write(content)
        try:
            yield copy, "standard input"
        except RequestError as error:
            error.args = (str(error).replace(copy, "standard input"),)
            raise


def training_data(path: str | None, reading: Reading, test: str | None) -> tuple[Dataset, str, str | None]:
    """Read the data set to train on; return (data, its name for messages, the test file or None).

    The test file is `test`, else one of that name beside `path`. Without a path the data are the embedded data set.
    """
    options, notes = given_options(reading), ()
    if path is None:
        return _embedded(options if test is None else {**options, "test": test}), EMBEDDED, None
    if test == path == STDIN:
        raise RequestError("argument --test: expected a file, as DATA is standard input already, got -")
    if test is None:
        test = test_beside(path)
        notes = () if test is None else (f"{os.path.basename(test)}, which is in the same folder, is to test on",)
    with contextlib.ExitStack() as files:
        path, source = files.enter_context(opened(path))
        file, test = (None, None) if test is None else files.enter_context(opened(test))
        with as_request_error():
            data = read(path, test=file, **options)
        return with_axes(data._replace(notes=notes + data.notes), path, options), source, test


def model_data(net: cgru.Network, path: str | None, reading: Reading, targets: bool = True) -> tuple[Dataset, str]:
    """Read data for a trained model, with or without targets; return (data, their name for messages).

    Features and targets are matched to those of `net` by name where both have names. Options that are not given are
    those of the model's own training data. Without a path the data are the embedded data set.
    """
    options = given_options(reading)
    if path is None:
        return _embedded(options), EMBEDDED
    with opened(path) as (path, source), as_request_error():
        how = Columns.from_dict(net.reading or {})
        classifying = cgru.losses.classifies(net.loss)
        with as_request_error(f"{path}: "):
            is_table = kind_of(path) not in OF_OTHERS
        if not is_table:
            how = Columns(missing=how.missing, parts=1, task=None if classifying or not targets else "regression")
        else:
            how = how.changed(task=("classification" if classifying else "regression") if targets else None, parts=1)
        if (given := options.pop("categories", None)) and {*given} != {*(how.categories or ())}:
            due = ", ".join(how.categories or ()) or "none"
            raise RequestError(f"argument --categories: expected those of the model, {due}, got {', '.join(given)}")
        if "missing" in options:
            options["missing"] = str(parse_filling(how.missing).replaced(parse_filling(options["missing"])))
        if "time" in options:
            options.setdefault("time_format", None)  # it belongs to another column
        data = read(path, how, features=net.feature_names, targets=targets, **options)
        with as_request_error(f"{path}: "):
            data = with_targets(data, net.target_names)
        kept = {name: value for name, value in how.to_dict().items() if name not in ("parts", "task", *options)}
        told = (f"read as the model's own data were, {as_options(kept)}",) if kept else ()
        return data._replace(notes=told + data.notes + _notes_on_feature_order(net, data)), source


def given_options(reading: Any) -> dict[str, Any]:
    """Return the options of reading that the user has given."""
    return {name: value for name, value in vars(reading).items() if value is not None}


def _embedded(options: Mapping[str, Any]) -> Dataset:
    """Load the embedded data set; RequestError where there are `options` for a file."""
    for name in options:
        option = f"--{name.replace('_', '-')}"
        raise RequestError(f"argument {option}: needs DATA, the embedded {EMBEDDED} being what they are")
    return load_japanese_vowels()


def _notes_on_feature_order(net: cgru.Network, data: Dataset) -> tuple[str, ...]:
    """Return a note where features are matched by order, since the model or the file has no names."""
    ours, theirs = net.feature_names, data.feature_names
    if ours is None and theirs is not None:
        return (f"the model has no names of features: they are taken in the order of the file, {', '.join(theirs)}",)
    if ours is not None and theirs is None and len(ours) > 1:
        return (f"the file has no names of features: they are taken for the model's, {', '.join(ours)}",)
    return ()


def with_axes(data: Dataset, path: str, options: Mapping[str, Any]) -> Dataset:
    """Return `data`; where its axes look swapped, ask the user in a terminal, else add a note."""
    split = data.train or data.test
    if "axes" in options or split.ids is not None or not looks_swapped(split):
        return data
    m, s, e = split.X.shape
    doubt = f"x ({m}, {s}, {e}) has more features than steps, and looks like (m, e, s): {s} features in {e} steps"
    if sys.stdin is not None and sys.stdin.isatty() and sys.stderr is not None and sys.stderr.isatty():
        echo(f"{path}: {doubt}. Is it? [y/N] ", end="", file=sys.stderr, flush=True)
        if sys.stdin.readline().strip().lower() in ("y", "yes"):
            with as_request_error():
                return read(path, **{**options, "axes": "mes"})
        return data
    cure = "the option axes mes takes it so, mse says that it is right"
    return data._replace(notes=(*data.notes, f"{doubt}; {cure}"))
