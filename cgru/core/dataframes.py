"""Refuse DataFrames with nested cells or an index of several levels; the errors show code that converts them.

DataFrames are recognised by their attributes; no library is imported for it.
"""

from __future__ import annotations

from typing import Any, NoReturn

import numpy as np

__all__ = ["check_not_nested", "is_indexed", "refuse_indexed"]


def check_not_nested(X: Any, name: str) -> None:
    """Raise TypeError if the cells of a DataFrame, a Series or an object array hold whole series."""
    if not hasattr(X, "head") and not (isinstance(X, np.ndarray) and X.dtype == object and X.ndim == 2):
        return
    first = np.asarray(X[:1] if isinstance(X, np.ndarray) else X.head(1))
    cells = [cell for cell in first.flat if isinstance(cell, list | tuple) or getattr(cell, "ndim", 0)]
    if first.dtype != object or not cells:
        return
    kind, what = type(X).__name__, type(cells[0]).__name__
    if first.ndim == 1:
        cure = f"[np.c_[x] for x in {name}]"  # a Series: one feature a step
    else:
        rows = name if isinstance(X, np.ndarray) else f"{name}.to_numpy()"
        cure = f"[np.stack(list(map(np.asarray, row)), axis=-1) for row in {rows}]"
    got = f"{what} in the cells of a {kind}"
    raise TypeError(f"{name}: expected numbers, got {got}; {cure} is a list of arrays (s, e)")


def is_indexed(X: Any) -> bool:
    """Return whether X is a pandas DataFrame whose index has several levels, so that a row is likely one step."""
    return getattr(getattr(X, "index", None), "nlevels", 1) > 1


def refuse_indexed(X: Any, name: str) -> NoReturn:
    """Raise TypeError for X with an index of several levels, with the code that makes sequences of its rows."""
    *ids, time = (f"level_{i}" if own is None else str(own) for i, own in enumerate(X.index.names))
    rows = f"{name}.reset_index()" if hasattr(X, "columns") else f'{name}.rename("{name}").reset_index()'
    cure = f"cgru.datasets.from_frame({rows}.rename(columns=str), id={ids}, time={time!r}).X"
    got = f"a {type(X).__name__} of {len(X)} rows whose index has {len(ids) + 1} levels"
    raise TypeError(
        f"{name}: expected a sequence for each sample, got {got}; {cure} is a list of arrays (s, e), or "
        f"{name}.to_numpy() where each row is a sample"
    )
