"""Sequences in the containers of sktime, aeon and pandas: (m, e, s), lists of (e, s), long and nested DataFrames.

m samples, s steps, e features of a step.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from cgru.datasets.dataset import Dataset, Split, StepSplit

__all__ = ["to_container"]

CONTAINERS = ("numpy3D", "np-list", "pd-multiindex", "nested_univ")  # the names that sktime and aeon have for them


def to_container(data: Any, kind: str, columns: Sequence[str] | None = None) -> Any:
    """Convert sequences to a container of sktime, aeon and pandas.

    Args:
        data: a `Dataset`, of which (training, test) come back, None for a missing one; a `Split`; an array (m, s, e);
            or a list of arrays (s, e).
        kind: "numpy3D" is an array (m, e, s); "np-list" a list of arrays (e, s); "pd-multiindex" a DataFrame with a row
            a step, a column a feature, and (sample, step) as its index; "nested_univ" a DataFrame with a row a sample
            and a Series in each cell. Samples are called by their ids, where `data` has some, else 0, 1, ...
        columns: the names of the features; None: those of `data`, or "feature_0", ...

    Returns:
        The container, of a `Dataset` two.

    Raises:
        TypeError, ValueError: an argument is invalid, or "numpy3D" is asked for series of unlike lengths.
        ImportError: pandas is not installed.

    Examples:
        >>> train, test = cgru.datasets.to_container(cgru.datasets.load_japanese_vowels(), "np-list")
        >>> len(train), train[0].shape  # the first utterance has 20 steps
        (270, (12, 20))
    """
    if kind not in CONTAINERS:
        raise ValueError(f"kind: expected one of {', '.join(CONTAINERS)}, got {kind!r}")
    if isinstance(data, Dataset):
        names = data.feature_names if columns is None else columns
        return tuple(split and to_container(split, kind, names) for split in data[:2])
    X, ids, lengths = data, None, None
    if isinstance(data, Split | StepSplit):
        X, ids, lengths = data.X, data.ids, data.lengths
    X = [np.asarray(x)[: None if lengths is None else lengths[i]] for i, x in enumerate(X)]
    if not X or any(x.ndim != 2 or x.shape[1] != X[0].shape[1] for x in X):
        raise ValueError("data: expected an array (m, s, e) or a list of arrays (s, e), got others")
    if kind == "np-list":
        return [x.T for x in X]
    if kind == "numpy3D":
        if len(lengths := sorted({len(x) for x in X})) > 1:
            cure = 'kind="np-list" takes them'
            raise ValueError(f"data: expected sequences of one length, got {lengths[0]} to {lengths[-1]} steps; {cure}")
        return np.stack(X).swapaxes(1, 2)
    try:
        import pandas as pd
    except ImportError:
        raise ImportError("to_container: pandas is missing: pip install pandas") from None
    e = X[0].shape[1]
    columns = [name or f"feature_{j}" for j, name in enumerate([""] * e if columns is None else columns)]
    if len(set(columns)) < e or len(columns) > e:
        raise ValueError(f"columns: expected {e} different names, one a feature, got {', '.join(map(repr, columns))}")
    ids = range(len(X)) if ids is None else ids
    if len(set(ids)) < len(X):
        raise ValueError("data: expected ids that tell the samples apart, got some twice")
    if kind == "nested_univ":
        return pd.DataFrame({name: [pd.Series(x[:, j]) for x in X] for j, name in enumerate(columns)}, index=ids)
    frames = [pd.DataFrame(x, columns=columns) for x in X]
    return pd.concat(frames, keys=ids, names=["sample", "step"])
