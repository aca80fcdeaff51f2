"""Summary of a data set in words: its sizes, features and targets, and notes on suspicious values."""

from __future__ import annotations

import numpy as np

from cgru.core.lengths import mask
from cgru.datasets.dataset import Dataset, Split, real_steps
from cgru.datasets.missing_values import parse_filling
from cgru.network.presentation import figures

__all__ = ["described"]

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
    lines += [] if data.feature_names is None else [f"features: {_listed(data.feature_names)}"]
    lines += [*_targets(data.train or data.test, data), *(f"note: {note}" for note in data.notes)]
    for name, part in (("x", data.train), ("x to test on", data.test)):
        if part is not None and not parse_filling(data.columns.missing).decays:
            lost = sum(np.count_nonzero(~np.isfinite(part.X.X[rows][real])) for rows, real in real_steps(part))
            lines += [f'note: {name} has {lost} NaN or infinities; missing="forward" fills NaN'] * bool(lost)
    return lines


def _size(split: Split, what: str) -> str:
    """Return a line with the numbers of samples, steps and features of a split."""
    m, s, e = split.X.shape
    low, high = (s, s) if split.X.lengths is None else (split.X.lengths.min(), split.X.lengths.max())
    steps = f"{low}" if low == high else f"{low} to {high}"
    return f"{m} {what} of {steps} steps of {e} features"


def _targets(split: Split, data: Dataset) -> list[str]:
    """Return lines on the targets of a split: range and mean of numbers, or the counts of classes and their balance."""
    if (y := split.y) is None:
        return ["no targets"]
    are_numbers = y.dtype.kind == "f"
    at_steps = y.ndim == 2 + are_numbers
    if at_steps and split.X.lengths is not None:
        y = y[mask(split.X.lengths, y.shape[1])[:, :, 0]]
    if are_numbers and not np.isfinite(y).all():
        return ["targets: some are no finite numbers"]
    if are_numbers:
        columns, found = y.reshape(-1, *split.y.shape[1:][-1:] or [1]).T, []
        for i, column in enumerate(columns):
            low, high, mean = figures((column.min(), column.max(), column.mean()))
            name = data.target_names[i] if data.target_names and len(columns) > 1 else ""
            found.append(f"{name} from {low} to {high}, mean {mean}".lstrip())
        return [f"targets: numbers{', one a step,' * at_steps} {'; '.join(found[:SHOWN])}"]
    values, counts = (each.tolist() for each in np.unique(y, return_counts=True))
    names = data.class_names if y.dtype.kind in "iu" and data.class_names else ()
    called = [names[value] if names and 0 <= value < len(names) else str(value) for value in values]
    each = [f"{name} {n}" for name, n in zip(called, counts, strict=True)]
    lines, share = [f"classes{', one a step' * at_steps}: {_listed(each)}"], max(counts) / sum(counts)
    if len(counts) > 1 and share >= MOST:
        most = f"{share:.0%} are of class {called[int(np.argmax(counts))]}"
        lines.append(f"note: {most}; class weights (balanced) let all classes count the same")
    return lines


def _listed(names: list[str] | tuple[str, ...]) -> str:
    """Join the names with commas, only the first of many."""
    return ", ".join(names[:SHOWN]) + (f", ... ({len(names)} in all)" if len(names) > SHOWN else "")
