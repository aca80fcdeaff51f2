"""Reader of `.ts` files, the format of the UCR/UEA time series archive. s steps, e dimensions of a sample."""

from __future__ import annotations

import os
import re

import numpy as np

from cgru.datasets.columns import LONGEST
from cgru.datasets.text_tables import NUMBER, decode

__all__ = ["read_ts"]


def read_ts(
    path: str | os.PathLike[str], targets: bool = True
) -> tuple[list[np.ndarray], np.ndarray | None, list[str]]:
    """Read a `.ts` file; return its samples (s_i, e), NaN where a value is missing, their targets (m,), and notes.

    Without `targets` those are None. Raise ValueError, with the line number, for anything invalid, and for times.
    """
    text, notes = decode(path)
    lines = [(number, line.strip()) for number, line in enumerate(text.splitlines(), 1)]
    lines = [(number, line) for number, line in lines if line and line[0] not in "#%"]  # without comments
    start = next((i for i, (_, line) in enumerate(lines) if line.lower() == "@data"), len(lines))
    if not lines[start + 1 :]:
        raise ValueError("expected samples below a line @data, got none")
    tags = {}
    for number, line in lines[:start]:
        tag, *words = line.split(None, 1_000_000)
        if not re.match("@[a-z]+$", tag.lower()):
            raise ValueError(f"line {number}: expected a tag such as @classLabel true a b, got {line[:40]!r}")
        tags[tag.lower()] = [] if words and words[0].lower() == "false" else words or [""]
    of_classes, of_numbers = tags.get("@classlabel", []), tags.get("@targetlabel", [])
    if tags.get("@timestamps") or (of_classes and of_numbers):
        raise ValueError("expected no times, and either classes or targets, got @timestamps or both labels")
    due, X, y = tags.get("@dimensions") or tags.get("@dimension") or (["1"] if tags.get("@univariate") else []), [], []
    for number, line in lines[start + 1 :]:
        *parts, label = map(str.strip, line.split(":") if of_classes or of_numbers else (*line.split(":"), ""))
        X.append(_sample(parts, number))
        due = due or [str(len(parts))]
        if due != [str(len(parts))]:
            raise ValueError(f"line {number}: expected {' '.join(due)[:40]} dimensions, got {len(parts)}")
        is_right = 0 < len(label) <= LONGEST and label in (of_classes[1:] or [label])
        is_right = re.fullmatch(NUMBER, label) if of_numbers else is_right
        if targets and (of_classes or of_numbers) and not is_right:
            what = "a number to learn" if of_numbers else f"a class, {', '.join(of_classes[1:10])},"
            raise ValueError(f"line {number}: expected {what} at the end, got {label[:40]!r}")
        y.append(label)
    if not targets or not (of_classes or of_numbers):
        return X, None, notes
    whole = all(re.fullmatch(r"0|-?[1-9]\d{0,17}", each) for each in y)
    return X, np.array(y, np.float64 if of_numbers else np.int64 if whole else str), notes


def _sample(parts: list[str], number: int) -> np.ndarray:
    """Convert the dimensions of line `number` to a sample (s, e); "?" becomes NaN."""
    rows = [[cell.strip().lower().replace("?", "nan") for cell in part.split(",")] for part in parts]
    if wrong := [cell for row in rows for cell in row if cell != "nan" and not re.fullmatch(NUMBER, cell)]:
        raise ValueError(f"line {number}: expected numbers, or ? where one is missing, got {wrong[0][:40]!r}")
    X = np.array(rows, np.float64) if len({*map(len, rows)}) == 1 else np.full((1, 1), np.inf)
    if np.isinf(X).any():
        got = ", ".join(str(len(row)) for row in rows[:9]) or "none"
        raise ValueError(f"line {number}: expected finite numbers, in each dimension as many, got {got}")
    return X.T.copy()
