"""Sequences out of a long table, a row for each step, as pandas or Polars has it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

__all__ = ["Sequences", "from_frame"]


class Sequences(NamedTuple):
    """What a long table holds, sequence by sequence in the order in which they first appear.

    `X` arrays (s_i, e); `y` (m,) or None; `ids` (m,); `columns` the names of the e elements.
    """

    X: list[np.ndarray]
    y: np.ndarray | None
    ids: np.ndarray
    columns: list[str]


def from_frame(
    frame: Any, id: str, *, time: str | None = None, label: str | None = None, columns: Sequence[str] | None = None
) -> Sequences:
    """The sequences in a long table, a row for each step.

    Args:
        frame: a DataFrame of pandas, Polars or whatever else narwhals reads.
        id: the column that says which sequence a row belongs to; its rows may stand anywhere.
        time: the column that the steps of a sequence are sorted by; None: they come as they stand.
        label: the column with the target of a sequence, the same in all its rows; None: there is none.
        columns: those with the elements of a step; None: all others, which must be numbers or booleans.

    Raises:
        ImportError: narwhals is not installed.
        TypeError: `frame` is no table, or a column has no numbers.
        ValueError: a column is missing, a value is, two steps of a sequence are of the same time, or a label is not the
            same in all rows of a sequence; with its place.
    """
    try:
        import narwhals.stable.v2 as nw
    except ImportError:
        raise ImportError("from_frame: narwhals is missing: pip install narwhals") from None
    try:
        table = nw.from_native(frame, eager_only=True)
    except TypeError:
        raise TypeError(f"frame: expected a DataFrame of pandas or Polars, got {type(frame).__name__}") from None
    if not len(table):
        raise ValueError("frame: expected at least one row, got none")
    unnamed = [name for name in table.columns if not isinstance(name, str)]
    if unnamed:
        raise TypeError(f"frame: expected columns whose names are strings, got {unnamed[0]!r}")
    roles = {"id": id, "time": time, "label": label}
    taken = [name for name in roles.values() if name is not None]
    if columns is None:
        columns = [name for name in table.columns if name not in taken]
    elif isinstance(columns, str):
        raise TypeError(f"columns: expected a list of names, got {columns!r}")
    for role, name in [*roles.items(), *(("columns", name) for name in columns)]:
        if name is not None and name not in table.columns:
            raise ValueError(f"{role}: expected one of the columns {', '.join(table.columns)}, got {name!r}")
    if len(set(columns)) < len(columns) or set(columns) & set(taken):
        raise ValueError(f"columns: expected each once, and none of {', '.join(taken)}, got {', '.join(columns)}")
    if not columns:
        raise ValueError(f"columns: expected at least one beside {', '.join(taken)}, got none")

    def column(name: str) -> np.ndarray:
        values = table[name]
        missing = np.asarray(values.is_null().to_numpy())
        if values.dtype.is_float():
            missing = missing | np.asarray(values.is_nan().fill_null(True).to_numpy())
        if missing.any():
            raise ValueError(f"{name}: expected a value in each row, got none in row {np.flatnonzero(missing)[0]}")
        return np.asarray(values.to_numpy())

    try:
        ids, first, place = np.unique(column(id), return_index=True, return_inverse=True)
    except TypeError:
        raise TypeError(f"{id}: expected values of one kind, got several") from None
    rank = np.empty(len(ids), np.intp)
    rank[np.argsort(first)] = np.arange(len(ids))
    place = rank[place]
    times = np.arange(len(place)) if time is None else np.unique(column(time), return_inverse=True)[1]
    order = np.lexsort((times, place))
    place, times = place[order], times[order]
    again = np.flatnonzero((np.diff(place) == 0) & (np.diff(times) == 0))
    if again.size:
        row = order[again[0] + 1]
        raise ValueError(f"{time}: expected times that differ within a sequence, got one again in row {row}")

    elements = np.empty((len(order), len(columns)))
    for j, name in enumerate(columns):
        dtype = table[name].dtype
        if not (dtype.is_numeric() or dtype == nw.Boolean):
            raise TypeError(f"{name}: expected numbers, got {dtype}; columns says which are elements")
        elements[:, j] = column(name)[order]
    starts = np.flatnonzero(np.diff(place, prepend=-1))
    y = None
    if label is not None:
        values = column(label)[order]
        y = values[starts]
        other = np.flatnonzero(values != y[place])
        if other.size:
            row = order[other[0]]
            raise ValueError(f"{label}: expected one value for each {id}, got another in row {row}")
    return Sequences(np.split(elements, starts[1:]), y, ids[np.argsort(first)], list(columns))
