"""Reader of `.ts` files, the format of the UCR/UEA time series archive. s steps, e dimensions of a sample."""

from __future__ import annotations

import os
import re

import numpy as np

from cgru.datasets.columns import LONGEST
from cgru.datasets.text_tables import NUMBER, decode

__all__ = ["read_ts"]

FLAGS = ("timestamps", "missing", "univariate", "equallength", "classlabel", "targetlabel")
TAGS = (*FLAGS, "problemname", "dimension", "dimensions", "serieslength")


def read_ts(
    path: str | os.PathLike[str], targets: bool = True
) -> tuple[list[np.ndarray], np.ndarray | None, list[str]]:
    """Read a `.ts` file; return its samples (s_i, e), NaN where a value is missing, their targets (m,), and notes.

    Without `targets` those are None. Raise ValueError, with the line number, for anything invalid, and for times.
    """
    text, notes = decode(path)
    stripped = enumerate(map(str.strip, text.splitlines()), 1)
    lines = [(number, line) for number, line in stripped if line and line[0] not in "#%"]  # without comments
    start = next((i for i, (_, line) in enumerate(lines) if line.lower() == "@data"), None)
    if start is None:
        raise ValueError("expected a line @data, got none")
    tags = {}
    for number, line in lines[:start]:
        tag, *words = line[1:].split()[:10_000] or [""]
        flag = "".join(words[:1]).lower()
        if line[0] != "@" or tag.lower() not in TAGS or (tag.lower() in FLAGS and flag not in ("true", "false")):
            raise ValueError(f"line {number}: expected a tag such as @classLabel true a b, got {line[:40]!r}")
        tags[tag.lower()] = words if flag != "false" else []
    if tags.get("timestamps") or (tags.get("classlabel") and tags.get("targetlabel")):
        raise ValueError("expected no times, and either classes or targets, got @timestamps or both labels")
    known, numbers = tags.get("classlabel", [])[1:], bool(tags.get("targetlabel"))
    labelled = bool(tags.get("classlabel") or numbers)
    due = tags.get("dimensions") or tags.get("dimension") or (["1"] if tags.get("univariate") else [])
    X, y = [], []
    for number, line in lines[start + 1 :]:
        *parts, label = line.split(":") if labelled else (*line.split(":"), "")
        X.append(_sample(parts, number))
        due = due or [str(len(parts))]
        if due != [str(len(parts))]:
            raise ValueError(f"line {number}: expected {' '.join(due)[:40]} dimensions, got {len(parts)}")
        if targets and labelled:
            y.append(_label(label.strip(), known, numbers, number))
    if not X:
        raise ValueError("expected samples below @data, got none")
    if y and all(isinstance(each, str) and re.fullmatch(r"0|-?[1-9]\d{0,17}", each) for each in y):
        y = [int(each) for each in y]
    return X, np.array(y) if y else None, notes


def _sample(parts: list[str], number: int) -> np.ndarray:
    """Parse the dimensions of line `number` to a sample (s, e); "?" is NaN."""
    rows = []
    for j, part in enumerate(parts, 1):
        try:
            cells = np.array(["nan" if cell.strip() == "?" else cell for cell in part.split(",")], object)
            rows.append(cells.astype(np.float64))
        except ValueError as error:
            got = f"{str(error).rpartition(': ')[2]} in dimension {j}"
            raise ValueError(f"line {number}: expected numbers, or ? where one is missing, got {got}") from None
    if len({len(row) for row in rows}) != 1 or np.isinf(rows).any():
        got = ", ".join(str(len(row)) for row in rows[:9]) or "none"
        raise ValueError(f"line {number}: expected finite numbers, in each dimension as many, got {got}")
    return np.stack(rows, axis=1)


def _label(label: str, known: list[str], numbers: bool, number: int) -> str | float:
    """Parse the class, one of the `known`, or with `numbers` the target, at the end of line `number`."""
    if not numbers and (not 0 < len(label) <= LONGEST or (known and label not in known)):
        raise ValueError(f"line {number}: expected a class, {', '.join(known[:9])}, got {label[:40]!r}")
    value = float(label) if re.fullmatch(NUMBER, label) else np.inf
    if numbers and np.isinf(value):
        raise ValueError(f"line {number}: expected a number to learn at the end, got {label[:40]!r}")
    return value if numbers else label
