"""Reader of `.ts` files, the format of the UCR/UEA time series archive. s steps, e dimensions of a sample."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator

import numpy as np

from cgru.datasets import missing_values
from cgru.datasets.columns import LONGEST
from cgru.datasets.text_tables import decode

__all__ = ["read_ts"]

TAGS = {
    "problemname", "timestamps", "missing", "univariate", "dimension", "dimensions", "equallength", "serieslength",
    "classlabel", "targetlabel",
}  # fmt: skip

Tags = dict[str, tuple[int, list[str]]]  # the header: for each @tag its line number and the words behind it


def read_ts(
    path: str | os.PathLike[str], missing: str, targets: bool = True
) -> tuple[list[np.ndarray], np.ndarray | None, list[str]]:
    """Read a `.ts` file; return its samples (s_i, e), their classes or targets (m,) or None, and notes.

    `missing` is as for `cgru.datasets.read`. With `targets` False classes and targets are ignored. Raise ValueError,
    with the line number, for anything invalid.
    """
    text, notes = decode(path)
    stripped = enumerate(map(str.strip, text.splitlines()), 1)
    lines = ((number, line) for number, line in stripped if line and line[0] not in "#%")  # without comments
    tags = _read_tags(lines)
    classes, numbers = _flag(tags, "classlabel"), _flag(tags, "targetlabel")
    if classes and numbers:
        raise ValueError("@targetlabel: expected classes or targets, got both")
    known = tags["classlabel"][1][1:] if classes else []
    X, y, places = [], [], []
    for number, line in lines:
        *parts, label = line.split(":") if classes or numbers else (*line.split(":"), "")
        X.append(_sample(parts, number, missing))
        places.append(number)
        if targets and (classes or numbers):
            y.append(_label(label.strip(), known, numbers, number))
    if not X:
        raise ValueError("expected samples below @data, got none")
    e, source = _dimensions(tags, X[0])
    for x, number in zip(X, places, strict=True):
        if x.shape[1] != e:
            raise ValueError(f"line {number}: expected {e} dimensions{source}, got {x.shape[1]}")
    steps = {len(x) for x in X}
    if len(steps) > 1 and _flag(tags, "equallength"):
        notes.append(f"its header says that all series are as long; they have {min(steps)} to {max(steps)} steps")
    counts = sum(missing_values.fill(x, [missing] * e) for x in X)
    if missing != "decay" and (lost := [i for i, x in enumerate(X) if np.isnan(x).any()]):
        due = 'a value at least in each dimension, got none; missing="zero" fills it'
        raise ValueError(f"line {places[lost[0]]}: expected {due}")
    names = ["values"] if e == 1 else [f"dimension {j + 1}:" for j in range(e)]
    notes += missing_values.notes_on_filled(counts, missing, names)
    return X, _targets(y), notes


def _targets(y: list[str | float]) -> np.ndarray | None:
    """Return targets or classes as an array, None for none; classes are integers if all look so, else strings."""
    if y and all(isinstance(each, str) and re.fullmatch(r"0|-?[1-9]\d{0,17}", each) for each in y):
        return np.array(list(map(int, y)))
    return np.array(y) if y else None


def _read_tags(lines: Iterator[tuple[int, str]]) -> Tags:
    """Read the tags up to @data, with names in lower case; leave `lines` at the first sample."""
    tags: Tags = {}
    for number, line in lines:
        if not line.startswith("@"):
            raise ValueError(f"line {number}: expected a tag such as @problemname, up to @data, got {line[:40]!r}")
        tag, *words = line[1:].split()
        tag = tag.lower()
        if tag == "data":
            if _flag(tags, "timestamps"):
                where = f"line {tags['timestamps'][0]}: @timestamps"
                raise ValueError(f"{where}: expected false, got true: no series with times")
            return tags
        if tag not in TAGS:
            raise ValueError(f"line {number}: expected one of @{', @'.join(sorted(TAGS))}, got @{tag}")
        tags[tag] = number, words
    raise ValueError("expected a line @data, got none")


def _flag(tags: Tags, tag: str) -> bool:
    """Return the value of a tag that is true or false; False if it is absent."""
    number, words = tags.get(tag, (0, ["false"]))
    word = words[0].lower() if words else ""
    if word not in ("true", "false"):
        raise ValueError(f"line {number}: @{tag}: expected true or false, got {word!r}")
    return word == "true"


def _dimensions(tags: Tags, first: np.ndarray) -> tuple[int, str]:
    """Return the number of dimensions, by the tags or else the first sample, and a text that names the tag."""
    for tag in ("dimensions", "dimension"):
        if tag in tags:
            number, words = tags[tag]
            if len(words) != 1 or not re.fullmatch(r"0*[1-9]\d{0,8}", words[0]):
                got = repr(" ".join(words)[:40])
                raise ValueError(f"line {number}: @{tag}: expected how many there are, got {got}")
            return int(words[0]), ", as @dimensions says"
    return (1, ", as @univariate says") if _flag(tags, "univariate") else (first.shape[1], "")


def _sample(parts: list[str], number: int, missing: str) -> np.ndarray:
    """Parse the dimensions of line `number` to a sample (s, e); raise ValueError unless all have the same steps."""
    rows = [_values(part, number, j, missing) for j, part in enumerate(parts, 1)]
    steps = [len(row) for row in rows]
    if len(set(steps)) != 1:
        got = "none" if not steps else ", ".join(map(str, steps[:9]))
        raise ValueError(f"line {number}: expected dimensions of as many steps, got {got}")
    return np.stack(rows, axis=1)


def _values(part: str, number: int, j: int, missing: str) -> np.ndarray:
    """Parse the numbers (s,) of dimension j in line `number`; "?" is NaN, refused with `missing` "refuse"."""
    cells = part.split(",")
    try:
        values = np.array(cells, dtype=object).astype(np.float64)
    except ValueError:
        values = np.array([_number(cell, number, j) for cell in cells])
    if np.isinf(values).any():
        raise ValueError(f"line {number}: expected finite numbers, got infinity in dimension {j}")
    if np.isnan(values).any() and missing == "refuse":
        got = f'none in dimension {j}, step {np.isnan(values).argmax() + 1}; missing="forward" fills it'
        raise ValueError(f"line {number}: expected a value for each step, got {got}")
    return values


def _number(cell: str, number: int, j: int) -> float:
    """Parse a cell of dimension j in line `number`; "?" is NaN."""
    if cell.strip() == "?":
        return np.nan
    try:
        return float(cell)
    except ValueError:
        got = f"{cell.strip()!r} in dimension {j}"
        times = ", which has times" if re.match(r"\s*\(", cell) else ""
        raise ValueError(f"line {number}: expected numbers, or ? where one is missing, got {got}{times}") from None


def _label(label: str, known: list[str], numbers: bool, number: int) -> str | float:
    """Parse the class, one of the `known`, or with `numbers` the target, at the end of line `number`."""
    if not numbers:
        if not label or (known and label not in known):
            raise ValueError(f"line {number}: expected a class, {', '.join(known[:9])}, got {label!r}")
        if len(label) > LONGEST:
            raise ValueError(f"line {number}: expected a class of at most {LONGEST} characters, got {len(label)}")
        return label
    try:
        value = float(label)
    except ValueError:
        value = np.nan
    if not np.isfinite(value):
        raise ValueError(f"line {number}: expected a number to be learned at the end, got {label!r}")
    return value
