"""What a file of sequences holds. m samples, s steps, e elements per step."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

__all__ = ["Dataset", "Split", "with_features", "with_targets"]


class Split(NamedTuple):
    """Samples of a data set: `X` (m, s, e); `lengths` (m,), None if all are s.

    `y` is (m,), or (m, k) reals, or classes at steps (m, s), or None. `ids` (m,), of a table, say which sequence of it
    each sample is.
    """

    X: np.ndarray
    y: np.ndarray | None
    lengths: np.ndarray | None
    ids: np.ndarray | None = None


class Dataset(NamedTuple):
    """What a file holds. Without a split all of it is `train`; a file may hold the test split alone.

    `class_names` are those in the file: the names of the classes 0, 1, ... in `y`, or those that `y` spells out.
    `feature_names` (e,) are those of the elements of a step, such as the columns of a table. `notes` say what was
    guessed, filled or left out; `cgru.datasets.described(data)` says all that was read. `reading` has the arguments of
    `cgru.datasets.read` by which another file is read as this was; None: there are none. `target_names` (k,) are those
    of the targets of a regression, the columns of a table. `times` (m, s), of a table that was read without targets,
    are those of the steps of `train` as they stand there, "" where a sample has no step. `groups` (m,), strings or
    numbers, say which samples of `train` belong together, where that was asked for.
    """

    train: Split | None
    test: Split | None
    class_names: tuple[str, ...] | None
    feature_names: tuple[str, ...] | None = None
    notes: tuple[str, ...] = ()
    reading: Mapping[str, Any] | None = None
    target_names: tuple[str, ...] | None = None
    times: np.ndarray | None = None
    groups: np.ndarray | None = None


def with_targets(data: Dataset, names: Sequence[str] | None) -> Dataset:
    """Return `data` with its targets in the order of these names; as it is where either has no names.

    ValueError where they are not the same names.
    """
    there = data.target_names
    if there is not None and names is not None and sorted(there) != sorted(names):
        raise ValueError(f"label: expected {', '.join(names)}, got {', '.join(there)}")
    return _ordered(data, "target_names", names, lambda split, order: split._replace(y=split.y[:, order]))


def with_features(data: Dataset, names: Sequence[str] | None) -> Dataset:
    """Return `data` with the elements of these names alone, in this order; as it is where either has no names.

    ValueError where some are not there.
    """
    there = data.feature_names
    if lost := [name for name in names or () if there is not None and name not in there]:
        got = f"{', '.join(there)}, none called {', '.join(lost)}"
        raise ValueError(f"expected the elements {', '.join(names)}, got {got}")
    return _ordered(data, "feature_names", names, lambda split, order: split._replace(X=split.X[:, :, order]))


def _ordered(
    data: Dataset, field: str, names: Sequence[str] | None, take: Callable[[Split, list[int]], Split]
) -> Dataset:
    """Return `data` with both splits as `take` leaves them, by the places of `names` among those of the `field`."""
    there = getattr(data, field)
    if there is None or names is None or there == tuple(names):
        return data
    order = [there.index(name) for name in names]
    train, test = (split and take(split, order) for split in (data.train, data.test))
    return data._replace(train=train, test=test, **{field: tuple(names)})
