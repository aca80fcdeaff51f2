"""Losses of sampled softmax, as `SampledDense` needs them: the first columns are targets, the others negatives."""

from __future__ import annotations

import numpy as np

from cgru.core.checks import real
from cgru.optimizers import check_number

__all__ = ["bpr_max", "sampled"]


def sampled(Z: np.ndarray, log_q: np.ndarray | None = None) -> tuple[float, np.ndarray]:
    """Compute the sampled softmax cross-entropy of scores Z - log_q, where the target of sample i is column i.

    All other columns are its negatives: the targets of other samples, and classes that were drawn.

    Args:
        Z: (m, c) the scores of the chosen classes, c > m.
        log_q: (c,) finite: the logarithm of how probable it was that each class is among them (logQ correction; Bengio
            and Senecal, 2008, IEEE Transactions on Neural Networks 19); None: all alike, which pushes down the scores
            of classes that are drawn often.

    Returns:
        The mean loss of the samples, a float, and its gradient dL/dZ (m, c).

    Raises:
        TypeError, ValueError: an argument is invalid.

    Examples:
        >>> loss, dZ = cgru.losses.sampled(np.zeros((2, 3)))
        >>> round(loss, 4), dZ.round(3).tolist()  # log 3
        (1.0986, [[-0.333, 0.167, 0.167], [0.167, -0.333, 0.167]])
    """
    Z, at = _scores(Z), np.arange(len(Z))
    z = Z.copy() if log_q is None else Z - real(log_q, "log_q", Z.shape[1:], Z.dtype)
    z -= z.max(axis=1, keepdims=True)
    own = z[at, at]
    A = np.exp(z, out=z)
    sizes = A.sum(axis=1, keepdims=True)
    losses = np.log(sizes[:, 0]) - own
    A /= sizes * Z.dtype.type(len(Z))
    A[at, at] -= Z.dtype.type(1 / len(Z))
    return float(losses.mean(dtype=np.float64)), A


def bpr_max(Z: np.ndarray, penalty: float = 0.0) -> tuple[float, np.ndarray]:
    """Compute BPR-max (Hidasi and Karatzoglou, 2018, CIKM), where the target of sample i is column i.

    With o = elu(Z), and s the softmax of o over all columns but i, the negatives, the loss of sample i is
    -log(sum_j s_j sigmoid(o_i - o_j)) + penalty sum_j s_j o_j^2.

    Args:
        Z: (m, c) the scores of the chosen classes, c > m.
        penalty: at least 0.

    Returns:
        The mean loss of the samples, a float, and its gradient dL/dZ (m, c).

    Raises:
        TypeError, ValueError: an argument is invalid.

    Examples:
        >>> loss, dZ = cgru.losses.bpr_max(np.zeros((1, 3)))
        >>> round(loss, 4), dZ.tolist()  # log 2
        (0.6931, [[-0.5, 0.25, 0.25]])
    """
    check_number(penalty, "penalty")
    Z, at = _scores(Z), np.arange(len(Z))
    slope = np.exp(np.minimum(Z, 0))  # of elu
    o = np.maximum(Z, 0) + (slope - 1)
    own, others = o[at, at][:, None], o.copy()
    others[at, at] = -np.inf
    highest = others.max(axis=1, keepdims=True)
    s = np.exp(others - highest)
    sizes = s.sum(axis=1, keepdims=True)
    s /= sizes
    # exp(o_j) sigmoid(own - o_j) = exp(min(o_j, own)) / (1 + exp(-|own - o_j|)), which neither overflows nor vanishes.
    small = np.exp(-np.abs(own - o))
    lower = np.minimum(others, own)
    top = lower.max(axis=1, keepdims=True)
    w = np.exp(lower - top) / (1 + small)
    total = w.sum(axis=1, keepdims=True)
    w /= total
    squares = s * o
    sums = (squares * o).sum(axis=1, keepdims=True)
    behind = w * np.where(o > own, 1, small) / (1 + small)  # w (1 - sigmoid)
    G = s - w + behind + Z.dtype.type(penalty) * (squares * (o + 2) - s * sums)
    G[at, at] = -behind.sum(axis=1)
    G *= slope / Z.dtype.type(len(Z))
    losses = highest + np.log(sizes) - top - np.log(total) + penalty * sums
    return float(losses.mean(dtype=np.float64)), G


def _scores(Z: np.ndarray) -> np.ndarray:
    """Check the scores Z, and return them."""
    Z = real(Z, "Z")
    if Z.ndim != 2 or not 0 < len(Z) < Z.shape[1] or Z.dtype.kind != "f":
        raise ValueError(f"Z: expected floats (m, c), with more columns than rows, got {Z.shape} of {Z.dtype}")
    return Z
