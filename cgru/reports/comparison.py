"""Compare samples with a network's training data: how many are the same, which features are out of range.

m samples, s steps, e features of a step.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from cgru.core.lengths import mask
from cgru.core.row_blocks import slices
from cgru.network import Network
from cgru.network.presentation import figures

__all__ = ["is_held_out", "outside", "outside_in_words", "seen", "seen_in_words"]

SHARE = 0.25  # a feature is reported if this share of its values lies far outside
MARGIN = 0.1  # of the training range: held-out data often exceed it a little
ROUNDING = 1e-6  # of a value: float32 compared with float64
MAX_LISTED = 5  # features that are listed


def seen(net: Network, X: np.ndarray, lengths: np.ndarray | None = None) -> dict[str, Any] | None:
    """Count the samples in X that `net` was trained on, as `SampleHashes.compared`; None where it does not remember."""
    return None if net.remembered is None else net.remembered.compared(X, lengths)


def is_held_out(found: Mapping[str, Any] | None) -> bool:
    """Return whether, by the result of `seen`, none of the samples took part in the training for certain."""
    if not found or not found["whole"] or found["compared"] < found["samples"]:
        return False
    return not (found["trained"] or found["validated"])


def seen_in_words(found: Mapping[str, Any] | None) -> str:
    """Return the result of `seen` in words: how many samples were training data, or that this is not known."""
    if found is None:
        return "whether the model was trained on these is not known"
    m, n, trained, validated = (found[name] for name in ("samples", "compared", "trained", "validated"))
    of = f"{n} sample" if n == 1 else f"{n} samples"
    chose = "chose the epoch and the shrinkage" if found["shrunk"] else "chose the epoch"
    parts = []
    if trained == m:
        parts.append(f"no held-out data: the model was trained on {_all(m)}")
    elif trained:
        parts.append(f"{trained} of {of} {'was' if trained == 1 else 'were'} among the training data")
    if validated:
        which = _all(m) if validated == m else f"{validated} of {of}"
        parts.append(f"{which} {chose}: expect less of new data")
    if n and not parts:
        parts.append(f"none of {of} was among the training data")
    if not found["whole"] and trained < m:
        parts.append("whether it was trained on these before that is not known")
    if n < m:
        which = f"the other {m - n} of {m} cannot be compared"
        parts.append(which if n else "they cannot be compared with the training data")
    return "; ".join(parts)


def _all(m: int) -> str:
    """Return "this sample" or "these m samples"."""
    return "this sample" if m == 1 else f"these {m} samples"


# --- features ---


def outside(net: Network, X: np.ndarray, lengths: np.ndarray | None = None) -> list[dict[str, Any]]:
    """Find the features with a quarter of their values or more far outside the range in the training data of `net`.

    Far outside is by more than a tenth of that range. Each feature is a dict of its `name`, the training range `low`
    and `high`, and the `share` of values outside it. The list is empty without `Network.remembered`, and for tokens.
    """
    kept = net.remembered
    if kept is None or kept.low is None or X.ndim < 3 or len(kept.low) != X.shape[2]:
        return []
    low, high = kept.low, kept.high
    far = np.maximum(MARGIN * (high - low), ROUNDING * np.maximum(np.abs(low), np.abs(high)))
    counts, steps = np.zeros((2, len(low)), np.int64), 0  # far outside, outside
    for rows in slices(X.shape):
        block = X[rows]
        values = block.reshape(-1, len(low)) if lengths is None else block[mask(lengths[rows], X.shape[1])[:, :, 0]]
        steps += len(values)
        counts += [((values < low - room) | (values > high + room)).sum(axis=0) for room in (far, 0)]
    names = [name or f"feature {j}" for j, name in enumerate(net.feature_names or [""] * len(low))]
    most, shares = counts / steps
    return [
        {"name": names[j], "low": float(low[j]), "high": float(high[j]), "share": float(shares[j])}
        for j in np.flatnonzero(most >= SHARE)
    ]


def outside_in_words(found: list[dict[str, Any]]) -> list[str]:
    """Return the result of `outside` in words, a line for each feature, five at most."""
    lines = []
    for each in found[:MAX_LISTED]:
        where = f"outside the training range, {' to '.join(figures((each['low'], each['high'])))}"
        lines.append(f"{each['name']}: {each['share']:.0%} of values are {where}; is it in the same unit?")
    if len(found) > MAX_LISTED:
        lines.append(f"{len(found) - MAX_LISTED} more features are as far outside")
    return lines
