"""Clip: no number below one bound or above another."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from cgru.layers.layer import Fields, Layer, LayerPass, floats, kept, unpadded

__all__ = ["Clip"]


class Clip(Layer):
    """min(max(x, low), high) of each number, (m, s, n) or (m, n) in and out, the dtype and NaN kept.

    At padded steps the outputs are zero. The derivative is 1 from `low` to `high`, both included, and 0 beyond.

    After the calls: `d` holds m, (s,) n; `fc` X and A; `bc` dA and dX, all of one shape.

    Args:
        low, high: the bounds; None: there is none on that side.

    Raises:
        TypeError, ValueError: a bound is no finite number, or `low` is above `high`.
    """

    stream = "elementwise"
    fields = Fields({"low": None, "high": None})
    onnx_kinds = ("Clip",)

    def __init__(self, low: float | None = None, high: float | None = None) -> None:
        super().__init__()
        self.low, self.high = _bound(low, "low"), _bound(high, "high")
        if self.low is not None and self.high is not None and self.low > self.high:
            raise ValueError(f"high: expected at least low, {self.low:g}, got {self.high:g}")

    def __repr__(self) -> str:
        return f"Clip({self.low}, {self.high})"

    @property
    def stage(self) -> dict[str, Any]:
        """The bounds of each number."""
        return {"kind": "elementwise", "low": self.low, "high": self.high}

    def c_text(self, c: Any) -> Any:
        """Return each number within the bounds, in C."""
        value = "x[i]"
        for bound, worse in ((self.low, "<"), (self.high, ">")):
            if bound is not None:
                limit = c.number(bound, f"bounds of layer {c.i}")
                value = f"({value} {worse} {limit} ? {limit} : {value})"
        return c.elementwise(f"Clip, from {self.low} to {self.high}", value)

    def onnx_node(self, graph: Any, A: str) -> str:
        """Put A within the bounds into the graph."""
        bounds = {"low": self.low, "high": self.high}
        names = ["" if bound is None else graph.own(name, bound) for name, bound in bounds.items()]
        return graph.real(graph.op("Clip", A, *names))

    @classmethod
    def from_node(cls, node: Any) -> Clip:
        """Return the layer that a Clip node is."""
        if node.at != 0:
            raise node.refusal("its bounds are no constants")
        low, high = node.number("min", 1), node.number("max", 2)
        if low == np.inf or high == -np.inf or (low is not None and high is not None and not low <= high):
            raise node.refusal(f"its bounds are {low} and {high}")
        return cls(*(None if bound is None or np.isinf(bound) else bound for bound in (low, high)))

    def run(self, A: np.ndarray, lengths: np.ndarray | None = None) -> ClipPass:
        """A within the bounds, of which sample i has `lengths[i]` real steps (None: all)."""
        X, steps = unpadded(floats(A), lengths)
        within = X
        for bound, choose in ((self.low, np.maximum), (self.high, np.minimum)):
            within = within if bound is None else choose(within, X.dtype.type(bound))
        return ClipPass(steps, X=X, A=kept(within, steps), free=within == X)


class ClipPass(LayerPass):
    """One run of a `Clip`."""

    def __init__(self, steps: np.ndarray | None, free: np.ndarray, **own: np.ndarray) -> None:
        super().__init__(steps, **own)
        self._free = free  # what no bound has changed

    def _back(self, dA: np.ndarray) -> dict[str, np.ndarray]:
        return {"dA": dA, "dX": dA * self._free}


def _bound(value: float | None, name: str) -> float | None:
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float | np.integer | np.floating):
        raise TypeError(f"{name}: expected a number or None, got {type(value).__name__}")
    if not math.isfinite(value):
        raise ValueError(f"{name}: expected a finite number or None, got {value}")
    return float(value)
