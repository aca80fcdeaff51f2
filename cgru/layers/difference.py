"""Difference: a layer that subtracts the previous step from each step."""

from __future__ import annotations

from string import Template
from typing import Any

import numpy as np

from cgru.layers.layer import (
    Fields,
    KeepingLayer,
    LayerPass,
    checked_sequences,
    mask_padding,
    zero_padding,
)
from cgru.layers.steps import PAST

__all__ = ["Difference"]

C = Template("""\
/* layer $i: the step, and its difference from the step before; 0 at the first */
static void layer_$i(real *rows, int *begun, const real *x) {
    for (int i = 0; i < $n; i++) {
        rows[$n + i] = *begun ? (x[i] - rows[i]) : (real)0;
        rows[i] = x[i];
    }
    *begun = 1;
}
""")


class Difference(KeepingLayer):
    """A layer that computes x_t - x_(t-1) of each feature, with 0 at the first step, for (m, s, n).

    With `keep` the series itself stands before its differences: (m, s, 2 n). The dtype stays, and so does the number of
    steps.

    The layer is causal: `Stream` and `export_c` carry one step. `truncate` refuses it, since the first difference of a
    piece needs a step of the piece before. In a network with `stateful` layers the differences begin anew with each
    batch. In a network the standardisation comes first, so that differences are in its units.

    Args:
        keep: whether the series stands before its differences.

    Attributes:
        d: dimensions m, s, n.
        fc: X (m, s, n) and A.
        bc: dA and dX, of their shapes.

    Raises:
        TypeError: `keep` is not a bool.

    Examples:
        >>> X = np.array([[1.0, 4.0, 2.0]])[:, :, None]
        >>> cgru.Difference().forward(X)[0]
        array([[ 1.,  0.],
               [ 4.,  3.],
               [ 2., -2.]])
    """

    steps = PAST
    most = 2
    fields = Fields(flags=("keep",))

    @property
    def stage(self) -> dict[str, Any]:
        """Return a dict that describes this layer to the compiled training code."""
        return {"kind": "difference", "times": self.parts}

    def c_text(self, c: Any) -> Any:
        """Return this layer's `Part` of an exported C file, whose state is the previous step."""
        i, n = c.i, c.n
        about = f"Difference from the step before, {n} features" + ", behind these" * self.keep
        result = f"state->rows_{i}" + f" + {n}" * (not self.keep)
        members = (f"$real rows_{i}[{2 * n}];", f"int begun_{i};")
        step = f"layer_{i}(state->rows_{i}, &state->begun_{i}, {c.x});"
        return c.part(about, self.parts * n, result, C.substitute(i=i, n=n), step, members)

    def onnx_node(self, graph: Any, A: str) -> str:
        """Add the differences of the steps of A to an ONNX graph; return the name of its output."""
        steps = graph.op("Range", graph.whole(-1), graph.op("Sub", graph.count(A), graph.whole(1)), graph.whole(1))
        before = graph.op("Gather", A, graph.op("Max", steps, graph.whole(0)), axis=1)
        D = graph.op("Sub", A, before)
        return graph.real(graph.op("Concat", A, D, axis=2) if self.keep else D)

    def run(self, A: np.ndarray, lengths: np.ndarray | None = None) -> DifferencePass:
        """Apply the layer to A (m, s, n); return a pass whose output is (m, s, 2 n), or without `keep` (m, s, n)."""
        X, steps = mask_padding(checked_sequences(A), lengths)
        n = X.shape[2]
        A = np.zeros((*X.shape[:2], self.parts * n), X.dtype)
        A[:, :, :-n] = X[:, :, : n if self.keep else 0]
        np.subtract(X[:, 1:], X[:, :-1], out=A[:, 1:, -n:])
        return DifferencePass(steps, X=X, A=zero_padding(A, steps))


class DifferencePass(LayerPass):
    """One forward pass of a `Difference`."""

    def _compute_backward(self, dA: np.ndarray) -> dict[str, np.ndarray]:
        *kept, dD = np.split(dA, dA.shape[2] // self._arrays["X"].shape[2], axis=2)
        dX = kept[0].copy() if kept else np.zeros_like(dD)
        dX[:, 1:] += dD[:, 1:]
        dX[:, :-1] -= dD[:, 1:]
        return {"dA": dA, "dX": dX}
