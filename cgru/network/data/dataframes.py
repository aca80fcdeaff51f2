"""Read sequences from DataFrames, in long form (a row per step) or nested form (a series per cell).

DataFrames are recognised by their attributes; no library is imported for it. m samples, s steps, e features of a step.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

__all__ = ["as_sequences", "is_indexed"]


def is_indexed(X: Any) -> bool:
    """Return whether X is a pandas object with a multi-level index, which suggests that each row is a step."""
    return getattr(getattr(X, "index", None), "nlevels", 1) > 1


def as_sequences(
    X: Any, name: str, channels_first: bool = False, y: Any = None
) -> tuple[list[np.ndarray], tuple[str, ...] | None] | None:
    """Return (the sequences (s, e) in a DataFrame or list of them, feature names or None); None if X is neither.

    Containers are: a DataFrame or a Series of pandas with an index of several levels, of which the last has the times
    and the others tell the samples apart, in the order in which they first appear; a DataFrame, or an object array
    (m, e), with a row a sample and a series in each cell; a Series with a sample in each cell; and a list of
    DataFrames, a sample each, of the same columns in the same order.

    Args:
        X: the container, or anything else.
        name: the name of the argument, for errors.
        channels_first: whether a whole sample in a cell is (e, s).
        y: the targets, for a check of their index.

    Raises:
        TypeError: a column or cell has no numbers.
        ValueError: series do not fit each other, or a sample has a time twice.
    """
    if isinstance(X, list | tuple):
        if not len(X) or not hasattr(X[0], "columns") or channels_first:  # where columns are steps
            return None
        sequences = _check_columns(X, name)
        X = X[0]
    elif is_indexed(X):
        sequences = _read_long(X, name, y)
    elif _is_nested(X):
        rows = np.asarray(X)
        read = _read_row if rows.ndim == 2 else _read_cell
        sequences = [read(row, f"{name}, row {i}", channels_first) for i, row in enumerate(rows)]
    else:
        return None
    names = tuple(getattr(X, "columns", ()))
    return sequences, names if names and all(isinstance(each, str) for each in names) else None


def _is_nested(X: Any) -> bool:
    """Return whether the cells of a DataFrame, Series or object array are series, judging by the first row."""
    is_array = isinstance(X, np.ndarray) and X.dtype == object and X.ndim == 2
    if not is_array and not hasattr(X, "head"):
        return False
    first = np.asarray(X[:1] if is_array else X.head(1))
    return first.dtype == object and any(isinstance(x, list | tuple) or getattr(x, "ndim", 0) for x in first.flat)


def _read_long(X: Any, name: str, y: Any) -> list[np.ndarray]:
    """Return the sequences (s, e) of a long pandas object, a row per step; see `as_sequences` for the arguments."""
    codes, samples = X.index.droplevel(-1).factorize()
    times = X.index.get_level_values(-1)
    if (codes < 0).any() or times.isna().any():
        raise ValueError(f"{name}: expected a sample and a time for each row in the index, got missing ones")
    values = []
    for each, column in X.items() if hasattr(X, "columns") else [(X.name, X)]:
        try:
            if getattr(column.dtype, "kind", "O") not in "biufO":
                raise TypeError(column.dtype)
            values.append(column.to_numpy(dtype=np.float64, na_value=np.nan))
        except (TypeError, ValueError) as error:
            raise TypeError(f"{name}: expected numbers, got others in column {each!r}: {error}") from None
    if any(isinstance(time, str) for time in times):
        cure = "pandas.to_datetime makes dates of text"
        raise TypeError(f"{name}: expected numbers or dates in the last level of the index, got text; {cure}")
    ranks = times.factorize(sort=True)[0]
    order = np.lexsort((ranks, codes))
    codes, ranks = codes[order], ranks[order]
    again = np.flatnonzero((np.diff(codes) == 0) & (np.diff(ranks) == 0))
    if len(again):
        got = f"{times[order[again[0]]]} twice in {samples[codes[again[0]]]}"
        cure = "; X.to_numpy() where each row is a sample"
        raise ValueError(f"{name}: expected times that differ within a sample, got {got}{cure}")
    own = getattr(y, "index", None)
    if hasattr(own, "droplevel") and set(own) == set(samples) and list(own) != list(samples):
        cure = f"y.loc[{name}.index.droplevel(-1).unique()] has them, or y.to_numpy() where they are in that order"
        raise ValueError(f"y: expected the samples of {name}, in the same order, got a different index; {cure}")
    return np.split(np.reshape(values, (-1, len(X))).T[order], np.flatnonzero(np.diff(codes)) + 1)


def _check_columns(X: Sequence[Any], name: str) -> list[Any]:
    """Return DataFrames as a list; ValueError if one has other columns than the first, or another order."""
    due = list(X[0].columns)
    for i, frame in enumerate(X):
        found = list(getattr(frame, "columns", ()))
        if found != due:
            names, got = (", ".join(map(str, each)) or "none" for each in (due, found))
            raise ValueError(f"{name}[{i}]: expected the columns of {name}[0], {names}, got {got}")
    return list(X)


def _read_row(row: np.ndarray, where: str, _: bool) -> np.ndarray:
    """Return the sequence (s, e) that the cells (e,) of a row form, with one feature per cell."""
    for j, cell in enumerate(row):
        if np.ndim(cell) != 1:
            raise TypeError(f"{where}: expected a series in each cell, got {np.ndim(cell)} axes in cell {j}")
        if len(cell) != len(row[0]):
            raise ValueError(f"{where}: expected series of the same length, got {len(row[0])} and {len(cell)} steps")
        if hasattr(cell, "iloc") and hasattr(row[0], "iloc") and not cell.index.equals(row[0].index):
            raise ValueError(f"{where}: expected series with the same index, got another in cell {j} than in cell 0")
    return np.stack([_numbers(cell, where) for cell in row], axis=1)


def _read_cell(cell: Any, where: str, channels_first: bool) -> np.ndarray:
    """Return the sample in a single cell, (s,), (s, e) or with `channels_first` (e, s), as a sequence (s, e)."""
    values = _numbers(cell, where)
    if values.ndim not in (1, 2):
        raise ValueError(f"{where}: expected (s,) or (s, e), got {values.ndim} axes")
    return values[:, None] if values.ndim == 1 else values.T if channels_first else values


def _numbers(cell: Any, where: str) -> np.ndarray:
    """Return a cell as a float64 array; TypeError, naming the cell, if it has no numbers."""
    try:
        return np.asarray(cell, np.float64)
    except (TypeError, ValueError) as error:
        raise TypeError(f"{where}: expected series of numbers, got others: {error}") from None
