"""Summary of a data set in words: its sizes, features and targets, and notes on suspicious values."""

from __future__ import annotations

import numpy as np

from cgru.core.lengths import mask
from cgru.datasets.dataset import Dataset, Split, real_steps
from cgru.datasets.missing_values import parse_filling
from cgru.network.presentation import figures

__all__ = ["classes_in", "described", "details"]

MOST = 0.9  # a class with this share of all samples, or more, gets a note
SHOWN = 12  # names in a line


def described(data: Dataset) -> list[str]:
    """Describe a data set in lines of text: samples and steps, features, targets, notes.

    Args:
        data: the data set.

    Returns:
        The lines.

    Examples:
        >>> cgru.datasets.described(cgru.datasets.load_japanese_vowels())[0]
        '270 samples of 7 to 26 steps of 12 features'
    """
    names = ("samples", "to test on") if data.train is not None else ("", "samples, to test on")
    lines = [_size(split, name) for split, name in zip((data.train, data.test), names, strict=True) if split]
    return [*lines, *details(data)]


def details(data: Dataset) -> list[str]:
    """Return the lines of `described` without the counts of samples and steps."""
    lines = [] if data.feature_names is None else [f"features: {_listed(data.feature_names)}"]
    lines += [*_targets(data.train or data.test, data), *(f"note: {note}" for note in data.notes)]
    for name, part in (("x", data.train), ("x to test on", data.test)):
        if part is not None and not parse_filling(data.columns.missing).decays:
            lost = sum(np.count_nonzero(~np.isfinite(part.X.X[rows][real])) for rows, real in real_steps(part))
            lines += [f'note: {name} has {lost} NaN or infinities; missing="forward" fills NaN'] * bool(lost)
    return lines


def classes_in(split: Split, class_names: tuple[str, ...] | None) -> dict[str, int]:
    """Return the number of samples of each class by its name; of steps if the split has a class for each step."""
    y, names = split.y, class_names if split.y.dtype.kind in "iu" and class_names else ()
    if y.ndim == 2 and split.X.lengths is not None:
        y = y[mask(split.X.lengths, y.shape[1])[:, :, 0]]
    values, counts = (each.tolist() for each in np.unique(y, return_counts=True))
    called = [names[value] if names and 0 <= value < len(names) else str(value) for value in values]
    return dict(zip(called, counts, strict=True))


def _size(split: Split, what: str) -> str:
    """Return a line with the numbers of samples, steps and features of a split."""
    m, s, e = split.X.shape
    low, high = (s, s) if split.X.lengths is None else (split.X.lengths.min(), split.X.lengths.max())
    steps = f"{low}" if low == high else f"{low} to {high}"
    return f"{m} {what} of {steps} steps of {e} features"


def _targets(split: Split, data: Dataset) -> list[str]:
    """Return lines on the targets of a split: range and mean of numbers, or the counts and balance of classes."""
    y, class_names = split.y, data.class_names
    if y is None:
        return ["no targets"]
    if y.dtype.kind == "f":
        if y.ndim == 3 and split.X.lengths is not None:
            y = y[mask(split.X.lengths, y.shape[1])[:, :, 0]]
        if not np.isfinite(y).all():
            return ["targets: some are no finite numbers"]
        columns = y.reshape(-1, *y.shape[1:][-1:] or [1]).T
        names = data.target_names if len(columns) > 1 else None
        found = []
        for name, column in zip(names or [""] * len(columns), columns, strict=True):
            low, high, mean = figures((column.min(), column.max(), column.mean()))
            found.append(f"{name} from {low} to {high}, mean {mean}".lstrip())
        return [f"targets: numbers{', one a step,' if split.y.ndim == 3 else ''} {'; '.join(found[:SHOWN])}"]
    counts = classes_in(split, class_names)
    lines = [
        f"classes{', one a step' if y.ndim == 2 else ''}: {_listed([f'{name} {n}' for name, n in counts.items()])}"
    ]
    most = max(counts, key=lambda name: counts[name])
    share = counts[most] / sum(counts.values())
    if len(counts) > 1 and share >= MOST:
        lines.append(f"note: {share:.0%} are of class {most}; class weights (balanced) let all classes count the same")
    return lines


def _listed(names: list[str] | tuple[str, ...]) -> str:
    """Join the names with commas, only the first of many."""
    return ", ".join(names[:SHOWN]) + (f", ... ({len(names)} in all)" if len(names) > SHOWN else "")
