"""Flip: the steps of each sequence in the opposite order."""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np

from cgru.layers.layer import Fields, Layer, LayerPass, Shape, all_steps, unpadded

__all__ = ["Flip"]


class Flip(Layer):
    """All steps (m, s, n) in, the same steps out, of each sample the last real one first; padding stays at the end.

    Above a `GRU` with `reverse=True` it puts the states into the order in which they were computed: what Keras returns
    with `go_backwards=True`. The dtype is that of the input.

    After the calls: `d` holds m, s, n; `fc` X and A, `bc` dA and dX, all (m, s, n).
    """

    piecewise = False
    fields = Fields()
    stage: ClassVar[dict[str, Any]] = {"kind": "flip"}

    def __repr__(self) -> str:
        return "Flip()"

    def output_shape(self, shape: Shape) -> Shape:
        """(m, s, n) for the same; ValueError for any other."""
        if len(shape) != 3:
            raise ValueError("expected all steps (m, s, n)")
        return shape

    def compute_shapes(self, A: np.ndarray) -> None:
        """Set `d` and the shape of X in `fs` for an input A (m, s, n)."""
        super().compute_shapes(all_steps(A))

    def onnx_node(self, graph: Any, A: str) -> str:
        """Put the steps of each sample in the opposite order, within its length, into the graph."""
        if graph.steps:
            return graph.op("ReverseSequence", A, graph.lengths(), batch_axis=0, time_axis=1)
        ends = (graph.integers(end) for end in (-1, np.iinfo(np.int64).min, 1, -1))
        return graph.op("Slice", A, *ends)

    def run(self, A: np.ndarray, lengths: np.ndarray | None = None) -> FlipPass:
        """A (m, s, n), of which sample i has `lengths[i]` real steps (None: all), flipped."""
        X, steps = unpadded(all_steps(A), lengths)
        return FlipPass(steps, X=X, A=_flipped(X, steps))


class FlipPass(LayerPass):
    """One run of a `Flip`."""

    def _back(self, dA: np.ndarray) -> dict[str, np.ndarray]:
        return {"dA": dA, "dX": _flipped(dA, self._steps)}


def _flipped(X: np.ndarray, real: np.ndarray | None) -> np.ndarray:
    if real is None:
        return X[:, ::-1]
    m, s, _ = X.shape
    order = (real.sum(axis=1) - 1 - np.arange(s)) % s  # past the length any order of zeros does
    return X[np.arange(m)[:, None], order]
