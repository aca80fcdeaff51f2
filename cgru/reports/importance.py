"""Permutation importance: how much of the score is lost if a feature, or a part of the time, is another sample's.

m samples, s steps, e features of a step; n_i is the number of real steps of sample i.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise
from typing import Any

import numpy as np

from cgru.core.checks import positive
from cgru.core.lengths import mask

__all__ = ["permutation_importance"]


def permutation_importance(
    score: Callable[[np.ndarray], float],
    X: np.ndarray,
    lengths: np.ndarray | None,
    names: list[str],
    *,
    repeats: int,
    blocks: int,
    seed: int,
) -> dict[str, Any]:
    """Return the importance of each feature and of each block of steps, as lists and numbers for JSON.

    scikit-learn's `permutation_importance` shuffles, not X, but the indices of the samples that each part of X comes
    from: a column of indices for each feature and block. Sample i gets step t of a part from the step of sample d at
    the same share of d's own length, (2 t + 1) n_d // (2 n_i), which is t where all lengths are the same. Block b of B
    has the steps with t B // n_i = b.

    Args:
        score: returns the score of the network for changed inputs, with the same lengths and targets.
        X: the inputs (m, s, e), or tokens (m, s), which have no features.
        lengths: (m,) the real steps; None: all.
        names: those of the features.
        repeats: how often the samples are shuffled.
        blocks: the number of blocks of steps, at most; the longest sample bounds it, too.
        seed: that of the shuffles.

    Raises:
        TypeError, ValueError: a number is invalid, or there is only one sample.
    """
    from sklearn import dummy, inspection

    repeats, blocks = positive(repeats, "repeats"), positive(blocks, "blocks")
    X = np.asarray(X[:])
    m, s = X.shape[:2]
    if m < 2:
        raise ValueError("importance: expected two samples at least to shuffle, got 1")
    n = np.full(m, s) if lengths is None else lengths
    blocks, t, order = min(blocks, int(n.max())), np.arange(s), np.arange(m)
    block = np.where(mask(n, s)[:, :, 0], t * blocks // n[:, None], -1)
    parts: list[Any] = [(slice(None), slice(None), j) for j in range(len(names))] if X.ndim == 3 else []
    features = len(parts)
    parts += [block == b for b in range(blocks)]
    value, mixed = score(X), X.copy()

    def score_mixed(_: Any, donors: np.ndarray, __: Any) -> float:
        """Return the score if each part of X comes from the samples in its column of `donors` (m, parts)."""
        for part, from_ in zip(parts, donors.T, strict=True):
            if (from_ != order).any():  # one at most
                steps = np.minimum((2 * t + 1) * n[from_, None] // (2 * n[:, None]), n[from_, None] - 1)
                mixed[part] = X[from_[:, None], steps][part]
                found = score(mixed)
                mixed[part] = X[part]
                return found
        return value

    own = np.tile(order[:, None], len(parts))
    options = {"scoring": score_mixed, "n_repeats": repeats, "random_state": seed}
    lost = inspection.permutation_importance(dummy.DummyRegressor(), own, order, **options).importances
    named = [
        {"name": name, "importances_mean": float(row.mean()), "importances_std": float(row.std())}
        | {"importances": row.tolist()}
        for name, row in zip([*names[:features], *_block_names(blocks, s, (n == s).all())], lost, strict=True)
    ]
    counts = {"value": value, "repeats": repeats, "predictions": lost.size + 1}
    return counts | {"features": named[:features], "steps": named[features:]}


def _block_names(blocks: int, s: int, alike: bool) -> list[str]:
    """Return the first and the last step of each block, or where lengths are not `alike` its share of each sample."""
    ends = -(-np.arange(blocks + 1) * (s if alike else 100) // blocks)
    return [f"{low} to {high - 1}" if alike else f"{low} % to {high} %" for low, high in pairwise(ends)]
