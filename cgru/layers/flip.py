"""Flip: a layer that reverses the steps of each sequence."""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np

from cgru.core.decay import entering
from cgru.core.lengths import mask
from cgru.layers.layer import Fields, LayerPass, SequenceLayer, checked_sequences, mask_padding
from cgru.layers.steps import Steps

__all__ = ["Flip", "flipped_boundaries"]


class Flip(SequenceLayer):
    """A layer that reverses the real steps of each sample of (m, s, n); padding stays at the end.

    Above a `GRU` with `reverse=True` it puts the states into the order in which they were computed, as Keras does with
    `go_backwards=True`. The dtype stays.

    Args:
        rng: kept as `np_rng`; the layer draws nothing.
        dtype: of no effect, since the layer has no parameters.

    Attributes:
        d: dimensions m, s, n.
        fc: X and A (m, s, n).
        bc: dA and dX (m, s, n).

    Examples:
        >>> X = np.array([[1.0, 2.0, 3.0, 0.0]])[:, :, None]
        >>> cgru.Flip().forward(X, lengths=[3])[0, :, 0]
        array([3., 2., 1., 0.])
    """

    steps = Steps(needs="sequence", reverses=True)
    fields = Fields()
    stage: ClassVar[dict[str, Any]] = {"kind": "flip"}

    def __repr__(self) -> str:
        return "Flip()"

    def onnx_node(self, graph: Any, A: str) -> str:
        """Add the array named A with its real steps reversed to an ONNX graph; return the name of the result."""
        if graph.steps:
            return graph.op("ReverseSequence", A, graph.lengths(), batch_axis=0, time_axis=1)
        ends = (graph.integers(end) for end in (-1, np.iinfo(np.int64).min, 1, -1))
        return graph.op("Slice", A, *ends)

    def run(self, A: np.ndarray, lengths: np.ndarray | None = None) -> LayerPass:
        """Apply the layer to A (m, s, n); return a pass whose output has the steps reversed."""
        X, steps = mask_padding(checked_sequences(A), lengths)
        return LayerPass(steps, lambda dA, _: _flipped(dA, steps), X=X, A=_flipped(X, steps))


def flipped_boundaries(decay: np.ndarray, lengths: np.ndarray | None) -> np.ndarray:
    """Return the factors (m, s) of each boundary before a step, reordered for reversed sequences.

    The first step, before which there is no other, has 1.
    """
    real = None if lengths is None else mask(lengths, decay.shape[1])
    return _flipped(entering(decay[:, :, None], lengths, True), real)[:, :, 0]


def _flipped(X: np.ndarray, real: np.ndarray | None) -> np.ndarray:
    """Return X with the real steps of each sample reversed; `real` is their mask (m, s, 1), None for all."""
    if real is None:
        return X[:, ::-1]
    m, s, _ = X.shape
    order = (real.sum(axis=1) - 1 - np.arange(s)) % s  # the padding is zeros, so its order does not matter
    return X[np.arange(m)[:, None], order]
