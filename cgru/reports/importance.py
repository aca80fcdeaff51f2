"""Permutation importance: how much of the score is lost where a feature, or a part of the time, is another sample's.

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

    Sample i gets them from sample d, in an order of the samples that scikit-learn's `permutation_importance` draws from
    the same seed: step t from the step at the same share of d's own length, (2 t + 1) n_d // (2 n_i), which is t where
    all lengths are the same. Block b of B has the steps with t B // n_i = b.

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
    repeats, blocks = positive(repeats, "repeats"), positive(blocks, "blocks")
    X = np.asarray(X[:])
    m, s = X.shape[:2]
    if m < 2:
        raise ValueError("importance: expected two samples at least to shuffle, got 1")
    n = np.full(m, s) if lengths is None else lengths
    blocks = min(blocks, int(n.max()))
    t = np.arange(s)
    block = np.where(mask(n, s)[:, :, 0], t * blocks // n[:, None], -1)
    parts: list[Any] = [(slice(None), slice(None), j) for j in range(len(names))] if X.ndim == 3 else []
    features = len(parts)
    parts += [block == b for b in range(blocks)]
    value, lost = score(X), np.empty((len(parts), repeats))
    mixed = X.copy()
    for i, donors in enumerate(_donors(m, repeats, seed)):
        steps = (2 * t + 1) * n[donors, None] // (2 * n[:, None])
        other = X[donors[:, None], np.minimum(steps, n[donors, None] - 1)]
        for part, row in zip(parts, lost, strict=True):
            mixed[part] = other[part]
            row[i] = value - score(mixed)
            mixed[part] = X[part]
    found = [
        {"importances_mean": float(row.mean()), "importances_std": float(row.std()), "importances": row.tolist()}
        for row in lost
    ]
    called = [*names[:features], *_block_names(blocks, s, (n == s).all())]
    named = [{"name": name} | each for name, each in zip(called, found, strict=True)]
    return {
        "value": value,
        "repeats": repeats,
        "predictions": lost.size + 1,
        "features": named[:features],
        "steps": named[features:],
    }


def _block_names(blocks: int, s: int, alike: bool) -> list[str]:
    """Return the first and the last step of each block, or where lengths are not `alike` its share of each sample."""
    ends = -(-np.arange(blocks + 1) * (s if alike else 100) // blocks)
    return [f"{low} to {high - 1}" if alike else f"{low} % to {high} %" for low, high in pairwise(ends)]


def _donors(m: int, repeats: int, seed: int) -> list[np.ndarray]:
    """Return the sample that each sample gets values from (m,), for each repetition."""
    from sklearn.utils import check_random_state

    random = check_random_state(check_random_state(seed).randint(np.iinfo(np.int32).max + 1))
    order, donors, found = np.arange(m), np.arange(m), []
    for _ in range(repeats):
        random.shuffle(order)
        donors = donors[order]
        found.append(donors)
    return found
