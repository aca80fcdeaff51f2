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
    start = next((i for i, (_, line) in enumerate(lines) if line.lower() == "@data"), None)
    if start is None or start + 1 == len(lines):
        raise ValueError("expected samples below a line @data, got none")
    tags = {}
    for number, line in lines[:start]:
        tag, *words = line.split(None, 1_000_000)
        if line[0] != "@" or not re.match("@[a-z]+$", tag.lower()):
            raise ValueError(f"line {number}: expected a tag such as @classLabel true a b, got {line[:40]!r}")
        tags[tag.lower()] = [] if words and words[0].lower() == "false" else words or [""]
    labels = [tags.get(tag) or [] for tag in ("@classlabel", "@targetlabel")]
    if tags.get("@timestamps") or all(labels):
        raise ValueError("expected no times, and either classes or targets, got @timestamps or both labels")
    due, X, y = tags.get("@dimensions") or tags.get("@dimension") or (["1"] if tags.get("@univariate") else []), [], []
    for number, line in lines[start + 1 :]:
        *parts, label = line.split(":") if any(labels) else (*line.split(":"), "")
        X.append(_sample(parts, number))
        due = due or [str(len(parts))]
        if due != [str(len(parts))]:
            raise ValueError(f"line {number}: expected {' '.join(due)[:40]} dimensions, got {len(parts)}")
        label, known = label.strip(), labels[0][1:]
        is_right = (
            re.fullmatch(NUMBER, label) if labels[1] else 0 < len(label) <= LONGEST and label in (known or [label])
        )
        if targets and any(labels) and not is_right:
            what = "a number to learn" if labels[1] else f"a class, {', '.join(known[:9])},"
            raise ValueError(f"line {number}: expected {what} at the end, got {label[:40]!r}")
        y.append(label)
    if not targets or not any(labels):
        return X, None, notes
    whole = all(re.fullmatch(r"0|-?[1-9]\d{0,17}", each) for each in y)
    return X, np.array(y, np.float64 if labels[1] else np.int64 if whole else str), notes


def _sample(parts: list[str], number: int) -> np.ndarray:
    """Parse the dimensions of line `number` to a sample (s, e); "?" is NaN."""
    rows = []
    for part in parts:
        cells = ["nan" if (word := cell.strip().lower()) == "?" else word for cell in part.split(",")]
        wrong = [cell for cell in cells if cell != "nan" and not re.fullmatch(NUMBER, cell)]
        if wrong:
            raise ValueError(f"line {number}: expected numbers, or ? where one is missing, got {wrong[0][:40]!r}")
        rows.append(np.array(cells, np.float64))
    if len({*map(len, rows)}) != 1 or np.isinf(rows).any():
        got = ", ".join(str(len(row)) for row in rows[:9]) or "none"
        raise ValueError(f"line {number}: expected finite numbers, in each dimension as many, got {got}")
    return np.stack(rows, axis=1)
