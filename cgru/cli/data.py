"""Read the data files of the `cgru` command, by its options or by those saved in a model."""

from __future__ import annotations

import contextlib
import os
import sys
import tempfile
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

import cgru
from cgru.cli.arguments import Request, RequestError, as_options, as_request_error, given
from cgru.datasets import Columns, ColumnsError, Dataset, load_japanese_vowels, read
from cgru.datasets.dataset import real_steps, with_features
from cgru.datasets.missing_values import decays, parse_missing
from cgru.datasets.read_files import OF_OTHERS
from cgru.datasets.table import kind_of
from cgru.network import read_extra

__all__ = ["check_finite", "columns_of", "is_table", "model_data", "opened", "training_data"]

EMBEDDED = "Japanese Vowels"
STDIN = "-"
ENDINGS = {b"PK": ".npz", b"PAR1": ".parquet", b"\x1f\x8b": ".csv.gz", b"@": ".ts"}  # by a file's first bytes


@contextlib.contextmanager
def opened(path: str) -> Iterator[str]:
    """Yield the path of a data file; for `-` that of a temporary copy of standard input."""
    if path != STDIN:
        yield path
        return
    with tempfile.TemporaryDirectory() as folder:
        content = sys.stdin.buffer.read()
        ending = next((ending for start, ending in ENDINGS.items() if content.startswith(start)), ".csv")
        copy = os.path.join(folder, f"standard input{ending}")
        with open(copy, "wb") as file:
            file.write(content)
        try:
            yield copy
        except ColumnsError as error:
            error.source = "standard input"
            raise


def training_data(request: Request) -> tuple[Dataset, str, str | None]:
    """Read the data set to train on; return (data, its name for messages, the test file or None).

    The test file is that of --test. Without DATA the data are the embedded ones.
    """
    options, test = given(request), request.test
    if request.data is None:
        return _embedded(options | given(request, "test")), EMBEDDED, None
    if test == request.data == STDIN:
        raise RequestError("argument --test: expected a file, as DATA is standard input already, got -")
    with as_request_error(), contextlib.ExitStack() as files:
        path = files.enter_context(opened(request.data))
        tested = None if test is None else files.enter_context(opened(test))
        data = read(path, test=tested, targets="required", **options)
    return data, _name(request.data), None if test is None else _name(test)


def model_data(net: cgru.Network, request: Request, targets: bool = True) -> tuple[Dataset, str]:
    """Read data for a trained model, with or without targets; return (data, their name for messages).

    Features and targets are matched to those of `net` by name where both have names. Options that are not given are
    those of the model's own training data. Without DATA the data are the embedded data set.
    """
    options = given(request)
    if request.data is None:
        return _embedded(options), EMBEDDED
    with as_request_error(), opened(request.data) as path:
        how, classifying = columns_of(request.model), cgru.losses.classifies(net.loss)
        task = None if not targets else "classification" if classifying else "regression"
        if not is_table(path, request.data):
            how = Columns(missing=how.missing, parts=1, task=None if classifying else task)
        else:  # a network that did not save them may have names of features
            how = (Columns(columns=net.feature_names) if how == Columns() else how).changed(task=task, parts=1)
        if (categories := options.pop("categories", None)) and {*categories} != {*(how.categories or ())}:
            due, got = ", ".join(how.categories or ["none"]), ", ".join(categories)
            raise RequestError(f"argument --categories: expected those of the model, {due}, got {got}")
        if "missing" in options:
            methods = parse_missing(options["missing"])
            options["missing"] = methods if "" in methods else parse_missing(how.missing) | methods
        if "time" in options:
            options.setdefault("time_format", None)  # it belongs to another column
        data = read(path, how, targets=targets, **options)
        source = _name(request.data)
        with as_request_error(f"{source}: "):
            data = with_features(data, net.feature_names)
        if None not in (data.target_names, net.target_names) and data.target_names != net.target_names:
            due, got = ", ".join(net.target_names), ", ".join(data.target_names)
            raise RequestError(f"{source}: label: expected {due}, got {got}")
        kept = {name: value for name, value in how.to_dict().items() if name not in ("parts", "task", *options)}
        told = (f"read as the model's own data were, {as_options(kept)}",) if kept else ()
        data = data._replace(notes=told + data.notes + _notes_on_feature_order(net, data))
    check_finite(data, source)
    return data, source


def columns_of(model: str) -> Columns:
    """Return the `Columns` that are saved in a model's file."""
    with as_request_error(f"{model}: "):
        return Columns.from_dict(read_extra(model).get("columns", {}))


def is_table(path: str, named: str) -> bool:
    """Return whether a file is a table; `named` is its name for errors."""
    with as_request_error(f"{_name(named)}: "):
        return kind_of(path) not in OF_OTHERS


def _name(path: str) -> str:
    """Return the name of a data file for messages."""
    return "standard input" if path == STDIN else path


def _embedded(options: Mapping[str, Any]) -> Dataset:
    """Load the embedded data set; RequestError where there are `options` for a file."""
    for name in options:
        raise RequestError(f"argument --{name.replace('_', '-')}: needs DATA, as {EMBEDDED} needs no options")
    return load_japanese_vowels()


def check_finite(data: Dataset, source: str, tested: str | None = None) -> None:
    """Raise RequestError for NaN or infinity in X, except NaN that a model handles; `tested` is the test file."""
    for split, where in ((data.train, source), (data.test, tested or source)):
        if split is None or decays(data.columns.missing):
            continue
        if not all(np.isfinite(split.X.X[rows][real]).all() for rows, real in real_steps(split)):
            x, cure = "x" if split is data.train or tested else "test_x", "--missing forward fills NaN"
            raise RequestError(f"{where}: {x}: expected finite numbers, got NaN or infinity; {cure}")


def _notes_on_feature_order(net: cgru.Network, data: Dataset) -> tuple[str, ...]:
    """Return a note if features are matched by their order, because the model or file has no names."""
    ours, theirs = net.feature_names, data.feature_names
    if (ours is None) == (theirs is None) or len(ours or theirs) == 1:
        return ()
    which = "model" if ours is None else "file"
    return (f"the {which} has no names of features: they are taken in this order, {', '.join(ours or theirs)}",)
