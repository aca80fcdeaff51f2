"""Cross-validation splits: stratified folds, folds of whole groups, a scikit-learn splitter, given pairs of rows.

m samples.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from cgru.network.data.split import draw_held_out
from cgru.network.network import Network

__all__ = ["Splittable", "classes_of"]

Seed = Sequence[int]
RowSplit = tuple[Any, Any]  # rows to train on (None: all), rows held out (None: none)


@dataclass(frozen=True)
class Splittable:
    """Samples, or a selection of them, to split into training and held-out rows.

    X, y: arrays of all samples, for a splitter.
    classes: (m,) integers where each sample has one class, else None.
    groups: (m,) integers; samples of one group stay together. None: no groups.
    rows: the selected samples; None: all. The rows of a split count among all samples.
    """

    X: Any
    y: np.ndarray
    classes: np.ndarray | None = None
    groups: np.ndarray | None = None
    rows: np.ndarray | None = None

    def __len__(self) -> int:
        return len(self.X if self.rows is None else self.rows)

    def within(self, rows: np.ndarray) -> Splittable:
        """Return a selection: the samples `rows`, which count among all samples."""
        return replace(self, rows=rows)

    def splits(self, folds: Any, seed: Seed, name: str) -> list[RowSplit]:
        """Return the splits (train rows, test rows) that the argument `folds`, called `name`, specifies.

        folds: their number, drawn from `seed`; or a splitter of scikit-learn; or a list of pairs (train, test) of rows.

        ValueError where a sample or group is on both sides, or there are too few. TypeError for another type.
        """
        if isinstance(folds, int | np.integer) and not isinstance(folds, bool):
            fold = self._fold_of_each(int(folds), seed, name)
            return [self._sides(fold == i) for i in range(folds)]
        if hasattr(folds, "split") and not isinstance(folds, str | type):
            y = self.y if self.classes is None or self.y.ndim == 1 else self.classes
            pairs = list(folds.split(self._of(self.X), self._of(y), self._of(self.groups)))
        elif isinstance(folds, list | tuple):
            pairs = list(folds)
        else:
            due = "an integer, a splitter of scikit-learn or a list of pairs (train, test)"
            got = f"the class {folds.__name__}" if isinstance(folds, type) else type(folds).__name__
            raise TypeError(f"{name}: expected {due}, got {got}")
        if not pairs:
            raise ValueError(f"{name}: expected one split at least, got none")
        return [self._check_pair(pair, f"{name}[{i}]") for i, pair in enumerate(pairs)]

    def share(self, share: float, seed: Seed) -> RowSplit:
        """Return a split that holds out a share at random, as `Network.fit` does.

        It is stratified by class, or holds out whole groups.
        """
        return self._sides(draw_held_out(len(self), share, seed, self._of(self.classes), self._of(self.groups)))

    def _sides(self, held_out: np.ndarray) -> RowSplit:
        """Return (rows to train on, rows held out), by the booleans `held_out` (n,) of the selection."""
        return self._as_rows_of_all(np.flatnonzero(~held_out)), self._as_rows_of_all(np.flatnonzero(held_out))

    def _of(self, array: Any) -> Any:
        """Return the part of an array of all samples that belongs to the selection."""
        return array if array is None or self.rows is None else array[self.rows]

    def _as_rows_of_all(self, rows: np.ndarray) -> np.ndarray:
        """Convert rows that count within the selection to rows that count among all samples."""
        return rows if self.rows is None else self.rows[rows]

    def _shuffled(self, rng: np.random.Generator) -> np.ndarray:
        """Return a random order of the samples, sorted by class."""
        order, classes = rng.permutation(len(self)), self._of(self.classes)
        return order if classes is None else order[np.argsort(classes[order], kind="stable")]

    def _fold_of_each(self, k: int, seed: Seed, name: str) -> np.ndarray:
        """Draw the fold of each sample, 0 to k - 1: stratified by class, or whole groups, even in size."""
        if k < 2:
            raise ValueError(f"{name}: expected at least 2, got {k}")
        rng, groups = np.random.default_rng(seed), self._of(self.groups)
        if groups is None:
            _check_count(len(self), k, "samples", name)
            fold = np.empty(len(self), np.intp)
            fold[self._shuffled(rng)] = np.arange(len(self)) % k
            return fold
        _, group_of_each, sizes = np.unique(groups, return_inverse=True, return_counts=True)
        _check_count(len(sizes), k, "groups", name)
        fold, load = np.empty(len(sizes), np.intp), np.zeros(k)
        # Greedy: the largest group first, into the smallest fold. Sizes are jittered, so that repeats differ.
        for group in np.argsort(-sizes * rng.uniform(0.5, 1, len(sizes))):
            fold[group] = load.argmin()
            load[fold[group]] += sizes[group]
        return fold[group_of_each]

    def _check_pair(self, pair: Any, name: str) -> RowSplit:
        """Check a pair (train, test) of rows, and that no sample or group is in both; return rows of all samples."""
        if not isinstance(pair, list | tuple) or len(pair) != 2:
            raise TypeError(f"{name}: expected a pair (train, test), got {type(pair).__name__}")
        train, test = _as_indices(pair[0], len(self), f"{name} train"), _as_indices(pair[1], len(self), f"{name} test")
        in_both = np.intersect1d(train, test)
        if in_both.size:
            raise ValueError(f"{name}: expected each sample in train or in test, got {in_both[0]} in both")
        groups = self._of(self.groups)
        if groups is not None and np.isin(groups[train], groups[test]).any():
            raise ValueError(f"{name}: expected groups that are in train or in test, got one that is in both")
        return self._as_rows_of_all(train), self._as_rows_of_all(test)


def _check_count(count: int, k: int, what: str, name: str) -> None:
    """Check that there are at least k samples or groups (`what`) for k folds; ValueError otherwise."""
    if count < k:
        raise ValueError(f"{name}: expected at most {count}, as many as there are {what}, got {k}")


def _as_indices(value: Any, m: int, name: str) -> np.ndarray:
    """Check the rows `name` of a pair, integers (n,) or booleans (m,); return them as integers."""
    rows = np.asarray(value)
    if rows.dtype == bool and rows.shape == (m,):
        rows = np.flatnonzero(rows)
    if rows.ndim != 1 or rows.dtype.kind not in "iu" or not rows.size:
        raise ValueError(f"{name}: expected integers (n,) or booleans ({m},), got shape {rows.shape} of {rows.dtype}")
    wrong = rows[(rows < 0) | (rows >= m)]
    if wrong.size:
        raise ValueError(f"{name}: expected integers from 0 to {m - 1}, got {wrong[0]}")
    if len(np.unique(rows)) < len(rows):
        raise ValueError(f"{name}: expected each row once, got some more often")
    return rows.astype(np.intp, copy=False)


def classes_of(net: Network, y: np.ndarray) -> np.ndarray | None:
    """Return the class of each sample, (m,) integers from 0 on, to stratify by; None if there are no such classes.

    None where `net` does not predict one class a sample, or y (class numbers or one-hot rows) has no such classes.
    """
    if net.per_step or not net.data_spec.predicts_one_class:
        return None
    if y.ndim == 2 and y.shape[1] == 1:
        y = y[:, 0]
    if y.ndim == 2 and np.isin(y, (0, 1)).all() and (y.sum(axis=1) == 1).all():
        y = y.argmax(axis=1)
    if y.ndim != 1 or (y.dtype.kind == "f" and not np.isin(y, (0, 1)).all()):
        return None
    return np.unique(y, return_inverse=True)[1]
