"""Which samples train and which are held out: folds, even in classes or with whole groups; a splitter's; one's own.

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
Split = tuple[Any, Any]  # the rows to train on, None: all, and those held out, None: none


@dataclass(frozen=True)
class Splittable:
    """Samples, or some of them, that can be split.

    X, y: of all samples, arrays; what a splitter looks at.
    classes: (m,) integers where each sample has one class, else None.
    groups: (m,) integers; samples of one group stay together. None: each stands for itself.
    rows: which of the samples; None: all. What comes out are rows of all samples, too.
    """

    X: Any
    y: np.ndarray
    classes: np.ndarray | None = None
    groups: np.ndarray | None = None
    rows: np.ndarray | None = None

    def __len__(self) -> int:
        return len(self.X if self.rows is None else self.rows)

    def within(self, rows: np.ndarray) -> Splittable:
        """Of all samples these."""
        return replace(self, rows=rows)

    def splits(self, folds: Any, seed: Seed, name: str) -> list[Split]:
        """As `folds`, an argument of that `name`, says: a number of them, a splitter or pairs of rows.

        ValueError where that cannot be, or a sample or group is on both sides; TypeError for what is none of these.
        """
        if isinstance(folds, int | np.integer) and not isinstance(folds, bool):
            fold = self._dealt(int(folds), seed, name)
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
        return [self._checked(pair, f"{name}[{i}]") for i, pair in enumerate(pairs)]

    def share(self, share: float, seed: Seed) -> Split:
        """Such a share held out at random, as `Network.fit` sets it aside: even in classes, of whole groups."""
        return self._sides(draw_held_out(len(self), share, seed, self._of(self.classes), self._of(self.groups)))

    def _sides(self, out: np.ndarray) -> Split:
        """Return the rows to train on and those that are held `out` (n,)."""
        return self._whole(np.flatnonzero(~out)), self._whole(np.flatnonzero(out))

    def _of(self, array: Any) -> Any:
        return array if array is None or self.rows is None else array[self.rows]

    def _whole(self, rows: np.ndarray) -> np.ndarray:
        """Rows among these samples as rows of all."""
        return rows if self.rows is None else self.rows[rows]

    def _shuffled(self, rng: np.random.Generator) -> np.ndarray:
        """The samples in random order, class by class."""
        order, classes = rng.permutation(len(self)), self._of(self.classes)
        return order if classes is None else order[np.argsort(classes[order], kind="stable")]

    def _dealt(self, k: int, seed: Seed, name: str) -> np.ndarray:
        """The fold of each sample, from 0 to k - 1."""
        if k < 2:
            raise ValueError(f"{name}: expected at least 2, got {k}")
        rng, groups = np.random.default_rng(seed), self._of(self.groups)
        if groups is None:
            _enough(len(self), k, "samples", name)
            fold = np.empty(len(self), np.intp)
            fold[self._shuffled(rng)] = np.arange(len(self)) % k
            return fold
        _, which, sizes = np.unique(groups, return_inverse=True, return_counts=True)
        _enough(len(sizes), k, "groups", name)
        fold, load = np.empty(len(sizes), np.intp), np.zeros(k)
        # The largest first, or no fold could make up for them; but only about so, or all repeats were the same.
        for group in np.argsort(-sizes * rng.uniform(0.5, 1, len(sizes))):
            fold[group] = load.argmin()
            load[fold[group]] += sizes[group]
        return fold[which]

    def _checked(self, pair: Any, name: str) -> Split:
        if not isinstance(pair, list | tuple) or len(pair) != 2:
            raise TypeError(f"{name}: expected a pair (train, test), got {type(pair).__name__}")
        train, test = _indices(pair[0], len(self), f"{name} train"), _indices(pair[1], len(self), f"{name} test")
        both = np.intersect1d(train, test)
        if both.size:
            raise ValueError(f"{name}: expected each sample in train or in test, got {both[0]} in both")
        groups = self._of(self.groups)
        if groups is not None and np.isin(groups[train], groups[test]).any():
            raise ValueError(f"{name}: expected groups that are in train or in test, got one that is in both")
        return self._whole(train), self._whole(test)


def _enough(count: int, k: int, what: str, name: str) -> None:
    if count < k:
        raise ValueError(f"{name}: expected at most {count}, as many as there are {what}, got {k}")


def _indices(value: Any, m: int, name: str) -> np.ndarray:
    """Rows (n,), as integers or booleans (m,), as integers, each once."""
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
    """The class of each sample, (m,) integers from 0 on, where `net` says one and y has one for each; else None."""
    if net.per_step or not net.data_spec.predicts_one_class:
        return None
    if y.ndim == 2 and y.shape[1] == 1:
        y = y[:, 0]
    if y.ndim == 2 and np.isin(y, (0, 1)).all() and (y.sum(axis=1) == 1).all():
        y = y.argmax(axis=1)
    if y.ndim != 1 or (y.dtype.kind == "f" and not np.isin(y, (0, 1)).all()):
        return None
    return np.unique(y, return_inverse=True)[1]
