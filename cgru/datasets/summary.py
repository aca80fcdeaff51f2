"""A data set in words: how much there is of what, and what may be wrong with it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

import numpy as np

from cgru.core.formatting import figures
from cgru.core.lengths import mask
from cgru.core.row_blocks import slices
from cgru.datasets.dataset import Dataset, Split

__all__ = ["classes_in", "described", "details", "looks_swapped"]

RARE = 5  # samples of a class, of which more are to be had
MOST = 0.9  # of all samples
SHOWN = 12  # names
LONG = 16  # elements


def described(data: Dataset) -> list[str]:
    """What was read, a line for each thing: samples and steps, elements, targets, notes."""
    names = ("samples", "to test on") if data.train is not None else ("", "samples, to test on")
    lines = [_counted(split, name) for split, name in zip((data.train, data.test), names, strict=True) if split]
    return [*lines, *details(data)]


def details(data: Dataset) -> list[str]:
    """The same but for the counts of samples and steps."""
    lines = []
    if data.feature_names is not None:
        lines.append(f"elements: {_listed(data.feature_names)}")
    split = data.train or data.test
    lines += _targets(split, data)
    lines += [f"note: {note}" for note in (*data.notes, *_lost(data))]
    still = _still(split)
    if still.size and len(split.X) > 1:
        names = data.feature_names or [str(j) for j in range(split.X.shape[2])]
        lines.append(f"note: always the same value: element {_listed([names[j] for j in still])}")
    return lines


def classes_in(split: Split, class_names: tuple[str, ...] | None) -> dict[str, int]:
    """How many samples, or steps, of each class there are."""
    y, found = split.y, Counter()
    for rows in slices(y.shape):
        block = y[rows]
        if y.ndim == 2 and split.lengths is not None:
            block = block[mask(split.lengths[rows], y.shape[1])[:, :, 0]]
        values, counts = np.unique(block, return_counts=True)
        found.update(dict(zip(values.tolist(), counts.tolist(), strict=True)))
    names = class_names if y.dtype.kind in "iu" and class_names else ()
    called = {value: names[value] if names and 0 <= value < len(names) else str(value) for value in found}
    return {called[value]: count for value, count in sorted(found.items())}


def looks_swapped(split: Split) -> bool:
    """Whether X is more likely (m, e, s): many elements change as slowly from one to the next as steps should."""
    X, (_, s, e) = split.X, split.X.shape
    if split.lengths is not None or e < LONG or e <= s:
        return False
    if s == 1:
        return True
    X = X[next(slices(X.shape))][:256].astype(np.float64)
    along = [np.abs(np.diff(X, axis=axis)).mean() for axis in (1, 2)]
    return bool(along[1] < along[0] / 2)


def _counted(split: Split, what: str) -> str:
    m, s, e = split.X.shape
    low, high = (s, s) if split.lengths is None else (split.lengths.min(), split.lengths.max())
    steps = f"{low}" if low == high else f"{low} to {high}"
    return f"{m} {what} of {steps} steps of {e} elements"


def _targets(split: Split, data: Dataset) -> list[str]:
    y, class_names = split.y, data.class_names
    if y is None:
        return ["no targets"]
    if y.dtype.kind == "f":
        if not np.isfinite(y).all():
            return ["targets: some are no finite numbers"]
        columns = y.reshape(len(y), -1).T
        names = data.target_names if len(columns) > 1 else None
        found = []
        for name, column in zip(names or [""] * len(columns), columns, strict=True):
            low, high, mean = figures((column.min(), column.max(), column.mean()))
            found.append(f"{name} from {low} to {high}, mean {mean}".lstrip())
        return [f"targets: numbers {'; '.join(found[:SHOWN])}"]
    counts = classes_in(split, class_names)
    each = {name: f"{name} {n}" for name, n in counts.items()}
    lines = [f"classes{', one a step' if y.ndim == 2 else ''}: {_listed(list(each.values()))}"]
    if rare := [each[name] for name, n in counts.items() if n < RARE]:
        lines.append(f"note: few of a class: {_listed(rare)}")
    most = max(counts, key=lambda name: counts[name])
    share = counts[most] / sum(counts.values())
    if len(counts) > 1 and share >= MOST:
        lines.append(f"note: {share:.0%} are of class {most}; class weights (balanced) let all classes count the same")
    return lines


def _lost(data: Dataset) -> list[str]:
    """What to say of values that are missing."""
    for name, split in (("x", data.train), ("x to test on", data.test)):
        if split is None or split.X.dtype.kind != "f":
            continue
        count, first = 0, None
        for start, X, real in _blocks(split):
            lost = np.argwhere(~np.isfinite(X) & real)
            if len(lost) and first is None:
                first = "sample {}, step {}, element {}".format(start + lost[0][0], *lost[0][1:])
            count += len(lost)
        if count:
            return [f'{name} has {count} NaN or infinities, the first in {first}; missing="forward" fills NaN']
    return []


def _still(split: Split) -> np.ndarray:
    """The elements (j,) that never change."""
    first = split.X[0 if split.lengths is None else np.argmax(split.lengths > 0), 0]
    still = np.ones(len(first), bool)
    for _, X, real in _blocks(split):
        still &= ((first == X) | ~real).all(axis=(0, 1))
    return np.flatnonzero(still)


def _blocks(split: Split) -> Iterator[tuple[int, np.ndarray, np.ndarray]]:
    """X some samples at a time, which may lie in a file: the first of them, they, and which of their steps are real."""
    s = split.X.shape[1]
    for rows in slices(split.X.shape):
        X = split.X[rows]
        steps = np.full(len(X), s) if split.lengths is None else split.lengths[rows]
        yield rows.start, X, mask(steps, s)


def _listed(names: list[str] | tuple[str, ...]) -> str:
    return ", ".join(names[:SHOWN]) + (f", ... ({len(names)} in all)" if len(names) > SHOWN else "")
