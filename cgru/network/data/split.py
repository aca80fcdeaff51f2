"""Choose which samples to hold out for validation: a random fraction, stratified by class, or whole groups.

m samples, g groups, k classes.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

__all__ = [
    "NO_WEIGHT", "check_share", "classes_to_split", "count_held_out", "draw_folds", "draw_held_out", "encode_groups",
]  # fmt: skip

Seed = np.random.SeedSequence | Sequence[int]
DRAWS = 16  # random orders of the groups; the one that splits the samples best is taken
NO_WEIGHT = "sample_weight: expected some above 0 among the held-out samples and among the others, got zeros"
LOOKS = 30_000  # groups to look at in all draws together: with many groups there are fewer draws


def check_share(value: Any, name: str, others: str = "") -> float:
    """Check that `value` is a fraction between 0 and 1, and return it as a float."""
    if isinstance(value, bool) or not isinstance(value, int | float | np.integer | np.floating):
        raise TypeError(f"{name}: expected a share{others}, got {type(value).__name__}")
    if not 0 < value < 1:
        raise ValueError(f"{name}: expected a share above 0 and below 1, got {value}")
    return float(value)


def count_held_out(m: int, share: float) -> int:
    """Return how many of m samples to hold out for a fraction `share`: at least one, and not all."""
    return min(max(round(share * m), 1), m - 1)


def draw_held_out(
    m: int, share: float, seed: Seed, classes: np.ndarray | None = None, groups: np.ndarray | None = None
) -> np.ndarray:
    """Draw the samples to hold out, as a mask (m,): a fraction, stratified by class, or whole groups.

    The split is stratified by `classes` (m,), integers from 0 on. No class loses its last training sample where that
    can be avoided. With `groups` (m,), whole groups are held out; which ones does not depend on the order of the
    samples.

    ValueError where there are fewer than two samples or groups, or each group has all samples of some class.
    """
    which = np.arange(m) if groups is None else np.unique(groups, return_inverse=True)[1]
    count = int(which.max(initial=-1)) + 1
    if count < 2:
        what = "sample" if groups is None else "group"
        raise ValueError(f"validation: expected at least 2 {what}s to set some aside, got {count} {what}")
    if groups is not None:
        return _draw_groups(which, share, seed, classes)[which]
    n, order = count_held_out(m, share), np.random.default_rng(seed).permutation(m)
    if classes is not None:
        order = order[np.argsort(classes[order], kind="stable")]
    chosen = np.zeros(m, bool)
    chosen[order[((np.arange(n) + 0.5) * m / n).astype(np.intp)]] = True
    if classes is not None:
        _keep_each_class(chosen, classes, order)
    return chosen


def _keep_each_class(chosen: np.ndarray, classes: np.ndarray, order: np.ndarray) -> None:
    """Unset a sample in the mask `chosen` (m,) for each class that would have no training sample left.

    A sample of the class with the most training samples is held out instead. Where no class has two left, fewer samples
    are held out, but at least one.
    """
    for lost in np.setdiff1d(classes[chosen], classes[~chosen]):
        left = np.bincount(classes[~chosen], minlength=classes.max() + 1)
        others = order[~chosen[order] & (left[classes[order]] > 1)]
        if others.size or chosen.sum() > 1:
            chosen[order[classes[order] == lost][0]] = False
            chosen[others[left[classes[others]].argsort()[-1:]]] = True


def _draw_groups(which: np.ndarray, share: float, seed: Seed, classes: np.ndarray | None) -> np.ndarray:
    """Draw the groups to hold out, as a mask (g,); `which` (m,) is each sample's group.

    Greedy: go through the groups in random order and take each that brings the held-out samples nearer to the `share`,
    of all samples and of each class. Of several such draws take the nearest.
    """
    kinds = np.zeros(len(which), np.intp) if classes is None else np.unique(classes, return_inverse=True)[1]
    sizes = np.zeros((which.max() + 1, kinds.max() + 1))  # samples of each class in each group
    np.add.at(sizes, (which, kinds), 1)
    total = sizes.sum(axis=0)
    fitting = np.flatnonzero((sizes < total).all(axis=1))
    if not fitting.size:
        cure = "choose the samples to validate with yourself"
        raise ValueError(f"groups: expected at least one that does not have all samples of a class, got none; {cure}")

    def distance(held: np.ndarray) -> np.ndarray:  # of held-out counts (..., classes) from the share
        """Return how far held-out counts (..., classes) are from the fraction of all samples and of each class."""
        return np.abs(held.sum(axis=-1) / len(which) - share) + np.abs(held / total - share).mean(axis=-1)

    rng, draws = np.random.default_rng(seed), []
    for _ in range(max(1, min(DRAWS, LOOKS // len(sizes)))):
        order = rng.permutation(fitting)
        first = order[distance(sizes[order]).argmin()]  # one must be taken, though it may be too large
        taken, held = [], np.zeros(len(total))
        now = distance(held)
        for group in order:
            more = held + sizes[group]
            if (then := distance(more)) < now and (more < total).all():
                taken.append(group)
                held, now = more, then
        draws.append((taken, held) if taken else ([first], sizes[first]))
    chosen = np.zeros(len(sizes), bool)
    chosen[min(draws, key=lambda draw: distance(draw[1]))[0]] = True
    return chosen


def encode_groups(value: Any, m: int) -> np.ndarray | None:
    """Encode `groups`, strings or numbers (m,), as integers (m,) from 0; None stays None.

    TypeError or ValueError where there is not one for each sample.
    """
    if value is None:
        return None
    # A list becomes an array of objects: in an array of strings a NaN would become the string "nan".
    array = np.asarray(value, object) if isinstance(value, list | tuple) else np.asarray(value)
    if array.shape != (m,):
        raise ValueError(f"groups: expected shape ({m},), one for each sample, got {array.shape}")
    try:
        lost = array != array  # NaN and other missing values
        if lost.any():
            raise ValueError(f"groups: expected a string or number for each sample, got {array[lost][0]}")
        return np.unique(array, return_inverse=True)[1]
    except TypeError:
        what = "a mixture that has no order, or some are missing"
        raise TypeError(f"groups: expected strings or numbers, got {what}") from None


def draw_folds(
    m: int,
    k: int,
    seed: Seed,
    classes: np.ndarray | None = None,
    groups: np.ndarray | None = None,
    name: str = "folds",
) -> np.ndarray:
    """Draw the cross-validation fold, 0 to k - 1, of each of m samples: stratified by class, or of whole groups.

    ValueError for fewer than two folds, or fewer samples or groups than folds, about the argument `name`.
    """
    which = np.arange(m) if groups is None else np.unique(groups, return_inverse=True)[1]
    sizes = np.bincount(which)
    if not 2 <= k <= len(sizes):
        what = "samples" if groups is None else "groups"
        raise ValueError(f"{name}: expected 2 to {len(sizes)}, the number of {what}, got {k}")
    rng, fold, load = np.random.default_rng(seed), np.empty(len(sizes), np.intp), np.zeros(k)
    if groups is None:
        order = rng.permutation(m)
        fold[order if classes is None else order[np.argsort(classes[order], kind="stable")]] = np.arange(m) % k
        return fold
    # Greedy: the largest group first, into the smallest fold. Sizes are jittered, so that seeds differ.
    for group in np.argsort(-sizes * rng.uniform(0.5, 1, len(sizes))):
        fold[group] = load.argmin()
        load[fold[group]] += sizes[group]
    return fold[which]


def classes_to_split(net: Any, y: np.ndarray) -> np.ndarray | None:
    """Return the class of each sample, (m,) integers from 0, for a stratified split.

    None where the network `net` does not predict one class a sample, or y (class numbers or one-hot rows) has none.
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
