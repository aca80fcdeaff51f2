"""Clip: a layer that limits each number to a range."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from cgru.layers.layer import Fields, Layer, LayerPass, as_floats, mask_padding, zero_padding

__all__ = ["Clip"]


class Clip(Layer):
    """A layer that limits each number x of (m, s, n) or (m, n) to min(max(x, low), high).

    The shape, the dtype and NaN stay. At padded steps the outputs are zero. The derivative is 1 from `low` to `high`,
    both included, and 0 beyond.

    Args:
        low: the lower bound; None: there is none.
        high: the upper bound; None: there is none.

    Attributes:
        d: dimensions m, n, and with steps s.
        fc: X and A.
        bc: dA and dX, of the same shape.

    Raises:
        TypeError, ValueError: a bound is not a finite number, or `low` is above `high`.

    Examples:
        >>> layer = cgru.Clip(0, 6)
        >>> layer.forward(np.array([[-1.0, 3.0, 9.0]]))
        array([[0., 3., 6.]])
        >>> layer.backward(np.ones((1, 3)))
        array([[0., 1., 0.]])
    """

    fields = Fields({"low": None, "high": None})

    def __init__(self, low: float | None = None, high: float | None = None) -> None:
        super().__init__()
        self.low, self.high = _checked_bound(low, "low"), _checked_bound(high, "high")
        if self.low is not None and self.high is not None and self.low > self.high:
            raise ValueError(f"high: expected at least low, {self.low:g}, got {self.high:g}")

    def __repr__(self) -> str:
        return f"Clip({self.low}, {self.high})"

    @property
    def stage(self) -> dict[str, Any]:
        """Return a dict that describes this layer, with its bounds, to the compiled training code."""
        return {"kind": "elementwise", "low": self.low, "high": self.high}

    def c_text(self, c: Any) -> Any:
        """Return this layer's `Part` of an exported C file, made by the `Writer` c."""
        value = "x[i]"
        for bound, worse in ((self.low, "<"), (self.high, ">")):
            if bound is not None:
                limit = c.number(bound, f"bounds of layer {c.i}")
                value = f"(({value} {worse} {limit}) ? {limit} : {value})"
        return c.elementwise(f"Clip, from {self.low} to {self.high}", value)

    def onnx_node(self, graph: Any, A: str) -> str:
        """Add a Clip node on the array named A to an ONNX graph; return the name of its output."""
        bounds = {"low": self.low, "high": self.high}
        names = ["" if bound is None else graph.layer_array(name, bound) for name, bound in bounds.items()]
        return graph.real(graph.op("Clip", A, *names))

    def run(self, A: np.ndarray, lengths: np.ndarray | None = None) -> LayerPass:
        """Apply the layer to A; return a pass whose output is A limited to the bounds."""
        X, steps = mask_padding(as_floats(A), lengths)
        within = X
        for bound, choose in ((self.low, np.maximum), (self.high, np.minimum)):
            within = within if bound is None else choose(within, X.dtype.type(bound))
        unclipped = within == X  # true where no bound changed the number
        return LayerPass(steps, lambda dA, _: dA * unclipped, X=X, A=zero_padding(within, steps))


def _checked_bound(value: float | None, name: str) -> float | None:
    """Check a bound and return it as a float, or None; TypeError or ValueError for anything but a finite number."""
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float | np.integer | np.floating):
        raise TypeError(f"{name}: expected a number or None, got {type(value).__name__}")
    if not math.isfinite(value):
        raise ValueError(f"{name}: expected a finite number or None, got {value}")
    return float(value)
