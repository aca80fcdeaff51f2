"""Summary of a data set in words: its sizes, features and targets, and notes of its reader."""

from __future__ import annotations

import numpy as np

from cgru.core.lengths import mask
from cgru.datasets.dataset import Dataset, Split
from cgru.network.presentation import figures

__all__ = ["described"]

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
    lines = []
    for split, what in ((data.train, "samples"), (data.test, "to test on" if data.train else "samples, to test on")):
        if split:
            (m, s, e), lengths = split.X.shape, split.X.lengths
            steps = {s} if lengths is None else {lengths.min(), lengths.max()}
            lines.append(f"{m} {what} of {' to '.join(map(str, sorted(steps)))} steps of {e} features")
    lines += [f"features: {_listed(data.feature_names)}"] if data.feature_names else []
    return [*lines, _targets(data.train or data.test, data), *(f"note: {note}" for note in data.notes)]


def _targets(split: Split, data: Dataset) -> str:
    """Return a line on the targets of a split: range and mean of numbers, or the counts of classes."""
    if (y := split.y) is None:
        return "no targets"
    are_numbers = y.dtype.kind == "f"
    at_steps = y.ndim == 2 + are_numbers
    if at_steps and split.X.lengths is not None:
        y = y[mask(split.X.lengths, y.shape[1])[:, :, 0]]
    if are_numbers and not np.isfinite(y).all():
        return "targets: some are no finite numbers"
    if are_numbers:
        columns, found = y.reshape(-1, *split.y.shape[1:][-1:] or [1]).T, []
        for i, column in enumerate(columns):
            low, high, mean = figures((column.min(), column.max(), column.mean()))
            name = data.target_names[i] if data.target_names and len(columns) > 1 else ""
            found.append(f"{name} from {low} to {high}, mean {mean}".lstrip())
        return f"targets: numbers{', one a step,' * at_steps} {'; '.join(found[:SHOWN])}"
    names, each = data.class_names if y.dtype.kind in "iu" and data.class_names else (), []
    for value, count in zip(*(found.tolist() for found in np.unique(y, return_counts=True)), strict=True):
        each.append(f"{names[value] if names and 0 <= value < len(names) else value} {count}")
    return f"classes{', one a step' * at_steps}: {_listed(each)}"


def _listed(names: list[str] | tuple[str, ...]) -> str:
    """Join names with commas; of many only the first ones."""
    return ", ".join(names[:SHOWN]) + (f", ... ({len(names)} in all)" if len(names) > SHOWN else "")
