"""Read the data files of the `cgru` command, by its options or those of a model, with notes on what was guessed."""

from __future__ import annotations

import contextlib
import os
import re
import shlex
import sys
import tempfile
from collections.abc import Collection, Iterator, Mapping
from dataclasses import fields
from typing import Any

import cgru
from cgru.cli.arguments import Reading, RequestError, as_request_error
from cgru.cli.terminal import echo
from cgru.datasets import Dataset, load_japanese_vowels, read
from cgru.datasets.column_names import as_arg
from cgru.datasets.dataset import with_targets
from cgru.datasets.files import kind_of, test_beside
from cgru.datasets.missing_values import parse_filling
from cgru.datasets.summary import looks_swapped

__all__ = [
    "READING", "as_options", "model_data", "opened", "read_as", "reading_in_words", "spelled_notes",
    "training_data", "with_axes",
]  # fmt: skip

READING = tuple(each.name for each in fields(Reading))
SEVERAL = tuple(each.name for each in fields(Reading) if each.type.startswith("tuple"))  # take several names
EMBEDDED = "Japanese Vowels"
STDIN = "-"
ENDINGS = {b"PK": ".npz", b"PAR1": ".parquet", b"\x1f\x8b": ".csv.gz", b"@": ".ts"}  # by a file's first bytes
OPTION = re.compile(rf"\b({'|'.join((*READING, 'test'))})=(\"[^\"]*\"|\[(?:\"[^\"]*\"|[^\]\"[])*\]|[^\s,;)]*)")


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
            raise RequestError(str(error).replace(copy, "standard input")) from error.__cause__


def training_data(path: str | None, reading: Reading, test: str | None) -> tuple[Dataset, str, str | None]:
    """Read the data set to train on; return (data, its name for messages, the test file or None).

    The test file is `test`, else one of that name beside `path`. Without a path the data are the embedded data set.
    """
    options, notes = _given_options(reading), ()
    if path is None:
        return _embedded(options if test is None else {**options, "test": test}), EMBEDDED, None
    if test == path == STDIN:
        raise RequestError("argument --test: expected a file, as DATA is standard input already, got -")
    if test is None:
        test = test_beside(path)
        notes = () if test is None else (f"{os.path.basename(test)}, which lies beside it, is to test on",)
    with contextlib.ExitStack() as files:
        path, source = files.enter_context(opened(path))
        options["test"], test = (None, None) if test is None else files.enter_context(opened(test))
        data = read_as(path, options)
        return with_axes(data._replace(notes=notes + data.notes), path, options), source, test


def model_data(net: cgru.Network, path: str | None, reading: Reading, targets: bool = True) -> tuple[Dataset, str]:
    """Read data for a trained model, with or without targets; return (data, their name for messages).

    Features and targets are matched to those of `net` by name where both have names. Options that are not given are
    those of the model's own training data. Without a path the data are the embedded data set.
    """
    options = _given_options(reading)
    if path is None:
        return _embedded(options), EMBEDDED
    with opened(path) as (path, source):
        return _read_for_model(net, path, options, targets), source


def _read_for_model(net: cgru.Network, path: str, options: dict[str, Any], targets: bool) -> Dataset:
    """Read a file by the options that are given, and else by those of the model's own training data."""
    known = _reading_of_model(net, path, targets)
    if (given := options.pop("categories", None)) and set(given) != set(known.get("categories", ())):
        due = ", ".join(known.get("categories", ())) or "none"
        raise RequestError(f"argument --categories: expected those of the model, {due}, got {', '.join(given)}")
    taken = {name: value for name, value in known.items() if name not in options}
    if "missing" in options and "missing" in known:
        options["missing"] = str(parse_filling(known["missing"]).replaced(parse_filling(options["missing"])))
    if "time" in options:
        taken.pop("time_format", None)  # it belongs to another column
    not_mentioned = {"groups"} if targets else {"groups", "label"}  # the label is ignored where it is there
    shown = reading_in_words({name: value for name, value in taken.items() if name not in not_mentioned})
    options |= {**taken, "features": net.feature_names, "targets": targets}
    options["steps"] = (net.reading or {}).get("steps", ())
    try:
        try:
            data = read_as(path, options)
        except RequestError as error:
            if "groups" not in taken or "groups: expected one of" not in str(error):
                raise
            data = read_as(path, options | {"groups": None})  # groups are for training alone
    except RequestError as error:
        if shown and any(f"{name}:" in str(error) for name in taken):
            raise RequestError(f"{error}; the model's own data were read with {as_options(shown)}") from error.__cause__
        raise
    with as_request_error(f"{path}: "):
        data = with_targets(data, net.target_names)
    notes = (f"read as the model's own data were, {shown}",) if shown else ()
    kept_notes = tuple(note for note in data.notes if not re.search(r"\b(test|groups)=", note))  # they are for training
    return data._replace(notes=notes + kept_notes + _notes_on_feature_order(net, data))


def _given_options(reading: Reading) -> dict[str, Any]:
    """Return the options of reading that the user has given."""
    return {name: value for name, value in vars(reading).items() if value is not None}


def _embedded(options: Mapping[str, Any]) -> Dataset:
    """Load the embedded data set; RequestError where there are `options` for a file."""
    for name in options:
        raise RequestError(f"argument {_spell_option(name)}: needs DATA, the embedded {EMBEDDED} being what they are")
    return load_japanese_vowels()


def read_as(path: str, options: Mapping[str, Any]) -> Dataset:
    """Read a file by `cgru.datasets.read`; RequestError, its arguments spelled by `as_options`."""
    with as_request_error(spell=as_options):
        return read(path, **options)


def spelled_notes(data: Dataset) -> list[str]:
    """Return the notes of a data set for printing, their arguments spelled as options."""
    return [f"note: {as_options(note)}" for note in data.notes]


def _spell_option(name: str) -> str:
    """Return the option of an argument's name: "time_format" as --time-format."""
    return f"--{name.replace('_', '-')}"


def as_options(text: str, several: Collection[str] = SEVERAL) -> str:
    """Spell the arguments that a text advises as options: id="a" becomes --id a; `several` may take many names.

    several: the options that take several names; in these a name with a comma is quoted.
    """

    def spelled(found: re.Match) -> str:
        """Spell one argument, the match of `OPTION`, as an option."""
        name, value = found.groups()
        if value in ("True", "False"):
            return _spell_option(name if value == "True" else f"no_{name}")
        names = re.findall(r'"([^"]*)"', value) if value[:1] in ("[", '"') else [value]
        quoted = [f'"{each}"' if "," in each and name in several else each for each in names]
        text = shlex.quote(",".join(quoted))
        return f"{_spell_option(name)}{'=' if text[:1] == '-' and name != 'na' else ' '}{text}"

    return OPTION.sub(spelled, text)


def _reading_of_model(net: cgru.Network, path: str, targets: bool) -> dict[str, Any]:
    """Return the options by which the training data of `net` were read, as defaults for another file, with `targets`.

    For files that are no tables these are only `missing` and the task: such files describe themselves.
    """
    with contextlib.suppress(ValueError):  # reading the file raises the same error later
        given = (net.reading or {}).items()
        known = {name: value for name, value in given if name in READING and value is not None}
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
    """Spell arguments of `cgru.datasets.read` that differ from their default, as name="value", ..."""
    words = []
    for name, value in reading.items():
        if name not in ("task", "steps", "parts") and value not in ("", [], False, "refuse", None):
            names = [value] if isinstance(value, str) else value
            words.append(f"{name}={value if isinstance(value, (bool, int, float)) else as_arg(names)}")
    return ", ".join(words)


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
            return read_as(path, {**options, "axes": "mes"})
        return data
    cure = 'axes="mes" takes it so, axes="mse" says that it is right'
    return data._replace(notes=(*data.notes, f"{doubt}; {cure}"))
