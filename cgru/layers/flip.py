"""Flip: the steps of each sequence in the opposite order."""

from __future__ import annotations

from typing import Any

import numpy as np

from cgru.layers.layer import Layer, Shape, floats, unpadded

__all__ = ["Flip"]


class Flip(Layer):
    """All steps (m, s, n) in, the same steps out, of each sample the last real one first; padding stays at the end.

    Above a `GRU` with `reverse=True` it puts the states into the order in which they were computed: what Keras returns
    with `go_backwards=True`. The dtype is that of the input.

    After the calls: `d` holds m, s, n; `fc` X and A, `bc` dA and dX, all (m, s, n).
    """

    reverse = True  # it needs whole sequences

    def __repr__(self) -> str:
        return "Flip()"

    def output_shape(self, shape: Shape) -> Shape:
        """(m, s, n) for the same; ValueError for any other."""
        if len(shape) != 3:
            raise ValueError("expected all steps (m, s, n)")
        return shape

    def compute_shapes(self, A: np.ndarray) -> None:
        """Set `d` and the shape of X in `fs` for an input A (m, s, n)."""
        super().compute_shapes(_steps(A))

    def forward(self, A: np.ndarray, lengths: np.ndarray | None = None) -> np.ndarray:
        """Return A (m, s, n), of which sample i has `lengths[i]` real steps (None: all), flipped, and fill `fc`."""
        with self._alone("forward"):
            X, real = unpadded(_steps(A), lengths)
            return self._ran(real, X=X, A=_flipped(X, real))

    def predict(self, A: np.ndarray, lengths: np.ndarray | None = None) -> np.ndarray:
        """The same numbers as `forward`; the layer is not touched, any number of threads may call it at once."""
        return _flipped(*unpadded(_steps(A), lengths))

    def backward(self, dX: np.ndarray) -> np.ndarray:
        """Take dL/dA (m, s, n), fill `bc`, return dL/dX, zero at padded steps."""
        with self._alone("backward"):
            dA = self._dA(dX)
            self._back(dA=dA, dX=_flipped(dA, self._real))
            return self.bc["dX"]


def _steps(A: Any) -> np.ndarray:
    X = floats(A)
    if X.ndim != 3:
        raise ValueError(f"A: expected all steps (m, s, n), got shape {X.shape}")
    return X


def _flipped(X: np.ndarray, real: np.ndarray | None) -> np.ndarray:
    if real is None:
        return X[:, ::-1]
    m, s, _ = X.shape
    order = (real.sum(axis=1) - 1 - np.arange(s)) % s  # past the length any order of zeros does
    return X[np.arange(m)[:, None], order]
