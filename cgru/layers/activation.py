"""Activation: a layer that applies an elementwise activation, or softmax over the features."""

from __future__ import annotations

from collections.abc import MutableMapping
from typing import Any

import numpy as np

from cgru import activations
from cgru.core.checks import mapping, real
from cgru.core.kernels import activation as compiled
from cgru.layers.layer import (
    Fields,
    Layer,
    LayerPass,
    activation_code,
    activation_gradient,
    as_floats,
    flatten_steps,
    mask_padding,
    unflatten,
    zero_padding,
)

__all__ = ["Activation"]


class Activation(Layer):
    """A layer that applies an activation to inputs (m, s, n) or (m, n), and keeps their shape and dtype.

    Use it where no `Dense` stands below that could have the activation: above a `GRU`, a `Scale` or a `Pool`. cgru's
    own activations except softmax are compiled. At padded steps the outputs are zero.

    Args:
        activate: a callable `f(x, deriv=False)`, or the name of one of cgru's; looked up at each call. Its derivative
            has the shape of x, or for rows (m, n) it is (m, n, n), as softmax's.
        se_hPars: may hold `LRELU_alpha`, `ELU_alpha` and `softmax_temperature`.

    Attributes:
        d: dimensions m, n, and with steps s.
        fc: X and A.
        bc: dA and dX, of the same shape.

    Raises:
        TypeError, ValueError: an argument is invalid.

    Examples:
        >>> layer = cgru.Activation("relu")
        >>> layer.forward(np.array([[-1.0, 2.0]]))
        array([[0., 2.]])
        >>> layer.backward(np.ones((1, 2)))
        array([[0., 1.]])
    """

    fields = Fields(callables=("activate",))

    def __init__(
        self, activate: activations.Activation | str, se_hPars: MutableMapping[str, Any] | None = None
    ) -> None:
        super().__init__()
        self.activate = activations.named(activate, "activate")
        self.se_hPars = mapping(se_hPars, "se_hPars")

    def __repr__(self) -> str:
        return f"Activation({activations.name_of(self.activate)})"

    @property
    def code(self) -> tuple[int, float] | None:
        """Return the compiled function's (code, parameter) of the current activation; None for a user-defined one."""
        return activation_code(self.activate, self.se_hPars)

    @property
    def stage(self) -> dict[str, Any] | None:
        """Return a dict that describes this layer to the compiled training code; None if it cannot run it."""
        return None if self.code is None else {"kind": "elementwise", "activate": self.code}

    def c_text(self, c: Any) -> Any:
        """Return this layer's `Part` of an exported C file, made by the `Writer` c."""
        return c.elementwise(f"Activation, {c.described()}", "x[i]", after=c.activated(c.n, c.n))

    def onnx_node(self, graph: Any, A: str) -> str:
        """Add the activation of the array named A to an ONNX graph; return the name of the result."""
        return graph.activated(self, A)

    def run(self, A: np.ndarray, lengths: np.ndarray | None = None) -> LayerPass:
        """Apply the layer to A; return a pass whose output is activate(A)."""
        X, steps = mask_padding(as_floats(A), lengths)
        f = activations.bind(activations.named(self.activate, "activate"), self.se_hPars)
        code = activations.code_of(self.activate, self.se_hPars)
        rows = flatten_steps(X)
        made = compiled(*code, rows) if code else real(f(rows), "activate", rows.shape, X.dtype)

        def input_gradient(dA: np.ndarray, own: dict[str, np.ndarray]) -> np.ndarray:
            return unflatten(activation_gradient(f, flatten_steps(own["X"]), flatten_steps(dA)), like=dA)

        return LayerPass(steps, input_gradient, X=X, A=zero_padding(unflatten(made, like=X), steps))
