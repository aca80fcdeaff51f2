"""Features that are computed from a column of a table: one-hot categories, and indicators of missing values.

They are called as scikit-learn calls them: color_red, missingindicator_rain.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from cgru.datasets.column_names import listed
from cgru.datasets.missing_values import Filling
from cgru.datasets.table import Table
from cgru.datasets.where import first_true

__all__ = ["encode", "expand", "indicator_name", "source_columns", "with_indicators"]


def indicator_name(name: str) -> str:
    """Return the name of the feature that is 1 where the feature `name` was missing."""
    return f"missingindicator_{name}"


def _one_hot_names(name: str, values: Sequence[str]) -> list[str]:
    """Return the names of the features of a column of categories."""
    return [f"{name}_{value}" for value in values]


def source_columns(
    features: Sequence[str], categories: Mapping[str, Sequence[str]], filling: Filling
) -> tuple[str, ...]:
    """Return the columns that the `features` are, or are computed from, these once."""
    computed = {each: name for name, values in categories.items() for each in _one_hot_names(name, values)}
    computed |= {indicator_name(name): name for name in filling.named}
    found: list[str] = []
    for name in features:
        source = computed.get(name, name)
        found += [source] if source == name or source not in (*features, *found) else []
    return tuple(found)


def encode(table: Table, name: str, values: Sequence[str]) -> np.ndarray:
    """Return a column of categories as numbers (n,): the place of each in `values` from 1 on, NaN where it is missing.

    So 0 is no category. Raise ValueError for a value that is not among them.
    """
    places, (words, missing) = {value: i for i, value in enumerate(values, 1)}, table.words(name)
    codes = np.array([np.nan if gone else places.get(word, 0) for word, gone in zip(words, missing, strict=True)])
    if (other := first_true(codes == 0)) is not None:
        cure = f'na="{words[other]}" takes it for missing'
        due = f"one of the categories {listed(values)}"
        raise ValueError(f"{name}: expected {due}, got {words[other]!r} in {table.locate(other)}; {cure}")
    return codes


def expand(
    features: np.ndarray, names: Sequence[str], categories: Mapping[str, Sequence[str]]
) -> tuple[np.ndarray, list[str]]:
    """Replace the numbers of categories in features (n, e) by one-hot features; return (features, their names).

    Raise ValueError if two have the same name.
    """
    if not categories:
        return features, list(names)
    columns, called = [], []
    for name, column in zip(names, features.T, strict=True):
        values = categories.get(name)
        columns.append(column[:, None] if values is None else column[:, None] == np.arange(1, len(values) + 1))
        called += [name] if values is None else _one_hot_names(name, values)
    if twice := [name for i, name in enumerate(called) if name in called[:i]]:
        raise ValueError(f"categories: expected features of different names, got {twice[0]} twice")
    return np.hstack(columns).astype(np.float64), called


def with_indicators(X: np.ndarray, gone: np.ndarray, names: Sequence[str], indicated: Sequence[str]) -> np.ndarray:
    """Append to X (..., e) the indicators of the features `indicated`, 1 where a value is `gone`, (..., names).

    Raise ValueError if another feature has the name of one.
    """
    if twice := [name for name in map(indicator_name, indicated) if name in names]:
        raise ValueError(f"missing: expected no feature with the name of an indicator, got {twice[0]}")
    which = [names.index(name) for name in indicated]
    return np.concatenate([X, gone[..., which]], axis=-1) if which else X
