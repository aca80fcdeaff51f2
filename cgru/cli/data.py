"""The data that the `cgru` command is given: read as it was asked for, and told what was guessed."""

from __future__ import annotations

import contextlib
import os
import re
import shlex
import sys
from collections.abc import Callable, Collection, Mapping
from dataclasses import fields
from typing import Any

import cgru
from cgru.cli.arguments import Reading, RequestError, as_request_error
from cgru.datasets import Dataset, load_japanese_vowels, read
from cgru.datasets.column_names import as_arg
from cgru.datasets.dataset import with_targets
from cgru.datasets.files import kind_of, test_beside
from cgru.datasets.summary import looks_swapped

__all__ = [
    "AXES", "READING", "data_for", "data_of", "in_keys", "in_options", "notes_of", "read_as", "reading_in_words",
    "swapped",
]  # fmt: skip

READING = tuple(each.name for each in fields(Reading))
SEVERAL = tuple(each.name for each in fields(Reading) if each.type.startswith("tuple"))  # which may be several names
EMBEDDED = "Japanese Vowels"
AXES = 'axes="mes" takes it so, axes="mse" says that it is right'
OPTION = re.compile(rf"\b({'|'.join((*READING, 'test'))})=(\"[^\"]*\"|\[[^\]]*\]|[^\s,;)]*)")


def data_of(path: str | None, reading: Reading, test: str | None) -> tuple[Dataset, str, str | None]:
    """Read the data set to train on; return it, what to call it, and the file to test on.

    That is `test`, else one that lies beside `path`, else None. Without a path it is the embedded data set.
    """
    options, notes = _said(reading), ()
    if path is None:
        return _embedded(options if test is None else {**options, "test": test}), EMBEDDED, None
    if test is None:
        test = test_beside(path)
        notes = () if test is None else (f"{os.path.basename(test)}, which lies beside it, is to test on",)
    options["test"] = test
    data = read_as(path, options)
    return _with_axes(data._replace(notes=notes + data.notes), path, options), path, test


def data_for(net: cgru.Network, path: str | None, reading: Reading, targets: bool = True) -> tuple[Dataset, str]:
    """Read the data set with the features and targets that `net` has, by name where both have names.

    Return it, and what to call it; without a path it is the embedded data set.
    """
    options = _said(reading)
    if path is None:
        return _embedded(options), EMBEDDED
    known = _as_it_was_trained(net, path, targets)
    taken = {name: value for name, value in known.items() if name not in options}
    if "time" in options:
        taken.pop("time_format", None)  # which is that of another column
    unsaid = {"groups"} if targets else {"groups", "label"}  # the label is left out if it is there
    said = reading_in_words({name: value for name, value in taken.items() if name not in unsaid})
    options |= {**taken, "features": net.feature_names, "targets": targets}
    try:
        try:
            data = read_as(path, options)
        except RequestError as error:
            if "groups" not in taken or "groups: expected one of" not in str(error):
                raise
            data = read_as(path, options | {"groups": None})  # which training alone asks for
    except RequestError as error:
        if said and any(f"{name}:" in str(error) for name in taken):
            raise RequestError(f"{error}; the model's own data were read with {in_options(said)}") from error.__cause__
        raise
    with as_request_error(f"{path}: "):
        data = with_targets(data, net.target_names)
    notes = (f"read as the model's own data were, {said}",) if said else ()
    own = tuple(note for note in data.notes if not re.search(r"\b(test|groups)=", note))  # which training takes
    return data._replace(notes=notes + own + _by_order(net, data)), path


def _said(reading: Reading) -> dict[str, Any]:
    """Return what the user says of how to read a file."""
    return {name: value for name, value in vars(reading).items() if value is not None}


def _embedded(said: Mapping[str, Any]) -> Dataset:
    """Load the embedded data set, of which nothing may be `said`."""
    for name in said:
        raise RequestError(f"argument {_option(name)}: needs DATA, the embedded {EMBEDDED} being what they are")
    return load_japanese_vowels()


def read_as(path: str, options: Mapping[str, Any], told: Callable[[str], str] | None = None) -> Dataset:
    """`cgru.datasets.read`, its errors in the words of the command: `in_options`, unless they are `told` otherwise."""
    try:
        with as_request_error():
            return read(path, **options)
    except ImportError as error:
        raise RequestError(str(error)) from None
    except RequestError as error:
        raise RequestError((told or in_options)(str(error))) from error.__cause__


def notes_of(data: Dataset, told: Callable[[str], str] | None = None) -> list[str]:
    """The notes as the command tells them."""
    return [f"note: {(told or in_options)(note)}" for note in data.notes]


def _option(name: str) -> str:
    return f"--{name.replace('_', '-')}"


def in_options(text: str, several: Collection[str] = SEVERAL) -> str:
    """The text with the arguments that it advises spelled as options: id="a" as --id a.

    Options that take `several` names have those with a comma in quotes.
    """

    def spelled(found: re.Match) -> str:
        name, value = found.groups()
        if value in ("True", "False"):
            return _option(name if value == "True" else f"no_{name}")
        names = re.findall(r'"([^"]*)"', value) if value[:1] in ("[", '"') else [value]
        quoted = [f'"{each}"' if "," in each and name in several else each for each in names]
        text = shlex.quote(",".join(quoted))
        return f"{_option(name)}{'=' if text[:1] == '-' and name != 'na' else ' '}{text}"

    return OPTION.sub(spelled, text)


def in_keys(text: str) -> str:
    """The text with these arguments spelled as the keys of a plan: id="a" as id = "a"."""

    def spelled(found: re.Match) -> str:
        name, value = found.groups()
        return f"{name} = {value.lower()}" if value in ("True", "False") else f"{name} = {value}"

    return OPTION.sub(spelled, text)


def swapped(data: Dataset) -> str | None:
    """In words, that X looks like (m, e, s); None where it does not."""
    split = data.train or data.test
    if split.ids is not None or not looks_swapped(split):
        return None
    m, s, e = split.X.shape
    return f"x ({m}, {s}, {e}) has more elements than steps, and looks like (m, e, s): {s} elements in {e} steps"


def _as_it_was_trained(net: cgru.Network, path: str, targets: bool) -> dict[str, Any]:
    """Return how a file is read for `net` where nobody says: as what it was trained on.

    What files that are no tables have, they say themselves, but for missing values and the task.
    """
    with contextlib.suppress(ValueError):  # reading it will say why
        known = {name: value for name, value in (net.reading or {}).items() if name in READING}
        table, classifying = kind_of(path) in ("text", "parquet"), cgru.losses.classifies(net.loss)
        if not table:
            known = {name: value for name, value in known.items() if name == "missing"}
        elif net.target_names:
            known.setdefault("label", list(net.target_names))
        if table or not classifying:
            known["task"] = "classification" if classifying else "regression"
        of_targets = () if targets else ("per_step", "task")
        return {name: value for name, value in known.items() if name not in of_targets}
    return {}


def reading_in_words(reading: Mapping[str, Any]) -> str:
    """The arguments of `cgru.datasets.read` by which a file is read, those that say anything, as they are written."""
    words = []
    for name, value in reading.items():
        if name != "task" and value not in ("", [], False, "refuse"):
            names = [value] if isinstance(value, str) else value
            words.append(f"{name}={value if isinstance(value, (bool, int, float)) else as_arg(names)}")
    return ", ".join(words)


def _by_order(net: cgru.Network, data: Dataset) -> tuple[str, ...]:
    """What to say where elements do not meet by name."""
    ours, theirs = net.feature_names, data.feature_names
    if ours is None and theirs is not None:
        return (f"the model has no names of elements: they are taken in the order of the file, {', '.join(theirs)}",)
    if ours is not None and theirs is None and len(ours) > 1:
        return (f"the file has no names of elements: they are taken for the model's, {', '.join(ours)}",)
    return ()


def _with_axes(data: Dataset, path: str, options: Mapping[str, Any]) -> Dataset:
    """`data`, whose axes were asked about where they look swapped and nobody has said what they are."""
    doubt = None if "axes" in options else swapped(data)
    if doubt is None:
        return data
    if sys.stdin is not None and sys.stdin.isatty() and sys.stderr is not None and sys.stderr.isatty():
        print(f"{path}: {doubt}. Is it? [y/N] ", end="", file=sys.stderr, flush=True)
        if sys.stdin.readline().strip().lower() in ("y", "yes"):
            return read_as(path, {**options, "axes": "mes"})
        return data
    return data._replace(notes=(*data.notes, f"{doubt}; {AXES}"))
