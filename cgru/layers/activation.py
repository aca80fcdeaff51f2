"""Activation: a function of each number, or softmax over the numbers of a step, as a layer of its own."""

from __future__ import annotations

from collections.abc import MutableMapping
from typing import Any

import numpy as np

from cgru import activations
from cgru.core.checks import mapping, real
from cgru.core.kernels import activation as compiled
from cgru.layers.layer import Fields, Layer, LayerPass, code_with_softmax, flat, floats, kept, through, unflat, unpadded

__all__ = ["Activation"]


class Activation(Layer):
    """Applies an activation, (m, s, n) or (m, n) in and out, the dtype kept; at padded steps the outputs are zero.

    For where no `Dense` stands below that could have it: above a `GRU`, a `Scale` or a `Pool`. cgru's own are compiled,
    softmax apart.

    After the calls: `d` holds m, (s,) n; `fc` X and A; `bc` dA and dX, all of one shape.

    Args:
        activate: a callable `f(x, deriv=False)`, or the name of one of cgru's; looked up at each call. Its derivative
            has the shape of x, or for rows (m, n) it is (m, n, n), as softmax's.
        se_hPars: may hold `LRELU_alpha`, `ELU_alpha` and `softmax_temperature`.

    Raises:
        TypeError, ValueError: an argument is not what it should be.
    """

    stream = "elementwise"
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
        """What a `Stream` calls the activation as it is now; None for a callable that is not cgru's own."""
        return code_with_softmax(self.activate, self.se_hPars)

    @property
    def stage(self) -> dict[str, Any] | None:
        """A function of each number, or softmax, where it is compiled."""
        return None if self.code is None else {"kind": "elementwise", "activate": self.code}

    def c_text(self, c: Any) -> Any:
        """Return the function of each number, or of all of them, in C."""
        return c.elementwise(f"Activation, {c.described()}", "x[i]", after=c.activated(c.n, c.n))

    def onnx_node(self, graph: Any, A: str) -> str:
        """Put activate(A) into the graph."""
        return graph.activated(self, A)

    def run(self, A: np.ndarray, lengths: np.ndarray | None = None) -> ActivationPass:
        """activate(A), of which sample i has `lengths[i]` real steps (None: all)."""
        X, steps = unpadded(floats(A), lengths)
        f = activations.bind(activations.named(self.activate, "activate"), self.se_hPars)
        code = activations.code_of(self.activate, self.se_hPars)
        made = real(f(flat(X)), "activate", flat(X).shape, X.dtype) if code is None else compiled(*code, flat(X))
        return ActivationPass(f, steps, X=X, A=kept(unflat(made, like=X), steps))


class ActivationPass(LayerPass):
    """One run of an `Activation`."""

    def __init__(self, f: activations.Activation, steps: np.ndarray | None, **own: np.ndarray) -> None:
        super().__init__(steps, **own)
        self._f = f

    def _back(self, dA: np.ndarray) -> dict[str, np.ndarray]:
        dX = through(self._f, flat(self._own["X"]), flat(dA))
        return {"dA": dA, "dX": unflat(dX, like=dA)}
