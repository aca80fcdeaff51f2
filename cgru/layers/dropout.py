"""Dropout: a layer that drops numbers at random in training, with a new mask at each step."""

from __future__ import annotations

from typing import Any

import numpy as np

from cgru.core import checks
from cgru.core.checks import real
from cgru.layers.layer import Fields, Layer, LayerPass, as_floats, mask_padding

__all__ = ["Dropout"]


class Dropout(Layer):
    """A layer that sets numbers to zero with probability `rate`, and divides the others by 1 - rate.

    Inputs and outputs are (m, s, n) or (m, n), the dtype stays. A mask is drawn from `np_rng` in each call of
    `forward`, for each step and each unit, as PyTorch does (Srivastava et al., 2014, JMLR 15, the inverted form,
    without scaling at inference). `forward` drops while `training` is True, as it is at first; `predict` never drops.
    So a `Network` drops only in `fit`.

    Args:
        rate: the share to drop, at least 0 and below 1.
        rng: a Generator, a seed or None, kept as `np_rng`.

    Attributes:
        training: whether `forward` drops.
        mask: a mask to use instead of a drawn one until this is set to None. It has the input's shape or one that
            broadcasts to it; `forward` multiplies its input by it.
        d: dimensions m, n, and with steps s.
        fc: X, A and mask, the mask of the last call, with values 0 and 1 / (1 - rate); all of one shape.
        bc: dA and dX, of that shape.

    Raises:
        TypeError, ValueError: an argument is invalid.

    Examples:
        >>> layer = cgru.Dropout(0.5, rng=0)
        >>> layer.mask = np.array([0.0, 2.0, 2.0])
        >>> layer.forward(np.ones((1, 3)))
        array([[0., 2., 2.]])
        >>> layer.predict(np.ones((1, 3)))
        array([[1., 1., 1.]])
    """

    draws = True
    fields = Fields({"rate": None})

    def __init__(self, rate: float = 0.5, *, rng: np.random.Generator | int | None = None) -> None:
        super().__init__(rng)
        self.rate = checks.rate(rate, "rate")
        self.training = True
        self.mask: np.ndarray | None = None

    def __repr__(self) -> str:
        return f"Dropout({self.rate:g})"

    @property
    def stage(self) -> dict[str, Any] | None:
        """Return a dict that describes this layer to the compiled training code; None if the user set a mask."""
        if self.training and self.mask is not None:
            return None
        return {"kind": "dropout", "rate": self.rate if self.training else None}

    def c_text(self, c: Any) -> Any:
        """Return a `Part` of an exported C file that computes nothing, made by the `Writer` c."""
        return c.part("Dropout, which only training has", c.n, c.x)

    def onnx_node(self, graph: Any, A: str) -> str:
        """Return A, the name of the input, since an ONNX graph has no dropout."""
        return A

    def run(self, A: np.ndarray, lengths: np.ndarray | None = None) -> LayerPass:
        """Apply dropout to A while `training`, else return A; the result is a pass."""
        X, steps = mask_padding(as_floats(A), lengths)
        mask = self._mask_for(X.shape, X.dtype)
        return LayerPass(steps, lambda dA, own: dA * own["mask"], X=X, mask=mask, A=X * mask)

    def predict(self, A: np.ndarray, lengths: np.ndarray | None = None) -> np.ndarray:
        """Return A unchanged except for zeros at padded steps."""
        return mask_padding(as_floats(A), lengths)[0]

    def _mask_for(self, shape: tuple[int, ...], dtype: np.dtype) -> np.ndarray:
        """Return the dropout mask for an input of this shape: the user's mask, or one drawn in training."""
        if not self.training:
            return np.broadcast_to(dtype.type(1), shape)
        if self.mask is None:
            return (self.np_rng.random(shape) >= self.rate).astype(dtype) / dtype.type(1 - self.rate)
        mask = real(self.mask, "mask", dtype=dtype).copy()  # which the pass keeps
        try:
            return np.broadcast_to(mask, shape)
        except ValueError:
            raise ValueError(f"mask: expected a shape that broadcasts to {shape}, got {mask.shape}") from None
