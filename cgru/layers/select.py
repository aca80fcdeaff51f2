"""Select: a layer that selects some of the features of each step, in any order."""

from __future__ import annotations

from collections.abc import Sequence
from string import Template
from typing import Any

import numpy as np

from cgru.core.checks import integers, positive
from cgru.layers.layer import Fields, Layer, LayerPass, Shape, as_floats, mask_padding

__all__ = ["Select"]


C = Template("""\
/* layer $i: selected features */
static const int selected_$i[$u] = {$selected};
static void layer_$i(real *y, const real *x) {
    for (int i = 0; i < $u; i++) { y[i] = x[selected_$i[i]]; }
}
""")


class Select(Layer):
    """A layer that selects u of the n features of each step, for inputs (m, s, n) or (m, n).

    A branch of a `Concatenate` or an `Add` begins with it, where it reads only some of the network's inputs.

    Args:
        features: the indices of the features, each at least 0, in the order in which they come out; a slice; or one
            index.
        inputs: n, the number of features that come in; None: that of the first input.

    Attributes:
        d: dimensions m, n, and with steps s.
        inputs: n; None before the first input.
        fc: X and A.
        bc: dA and dX.

    Raises:
        TypeError, ValueError: an argument is invalid.

    Examples:
        >>> cgru.Select([2, 0]).forward(np.array([[1.0, 2.0, 3.0]]))
        array([[3., 1.]])
        >>> cgru.Select(slice(1, None)).forward(np.array([[1.0, 2.0, 3.0]]))
        array([[2., 3.]])
    """

    fields = Fields({"selected": None}, options=("inputs",))

    def __init__(self, features: Sequence[int] | slice | int, inputs: int | None = None) -> None:
        super().__init__()
        self._selected = features
        if not isinstance(features, slice):
            self._selected = np.atleast_1d(integers(features, "features")).tolist()
            if not self._selected or min(self._selected) < 0:
                raise ValueError(f"features: expected one index or more, each at least 0, got {features!r}")
        self.inputs = None
        if inputs is not None:
            self._set_inputs(positive(inputs, "inputs"))

    def _set_inputs(self, n: int) -> None:
        """Set the number of input features; ValueError if some selected feature does not exist."""
        chosen = self._selected
        chosen = [*range(n)[chosen]] if isinstance(chosen, slice) else chosen
        if not chosen or max(chosen) >= n:
            raise ValueError(f"features: expected indices below {n}, the input features, got {self._selected}")
        self._selected, self.inputs = chosen, n

    @property
    def selected(self) -> list[int]:
        """Return the indices of the selected features; RuntimeError for a slice before the first input."""
        if isinstance(self._selected, slice):
            raise RuntimeError(f"features: expected a first input, to which the slice {self._selected} applies")
        return self._selected

    def __repr__(self) -> str:
        return f"Select({self._selected})"

    @property
    def features(self) -> int | None:
        """Return n, the number of input features; None before the first input."""
        return self.inputs

    @property
    def stage(self) -> dict[str, Any]:
        """Return a dict that describes this layer, with its indices, to the compiled training code."""
        return {"kind": "select", "features": self._selected}

    def output_shape(self, shape: Shape) -> Shape:
        """Return the shape of the outputs: that of the input with the number of selected features."""
        if isinstance(shape[-1], int) and self.inputs is None:
            width = len(Select(self._selected, shape[-1]).selected)
        else:
            width = "k" if isinstance(self._selected, slice) else len(self._selected)
        return *shape[:-1], width

    def input_features(self, n: int) -> int:
        """Raise ValueError, since the number of input features cannot be inferred from the outputs."""
        raise ValueError(f"expected inputs=n, the number of input features, in {self!r}")

    def make(self, A: np.ndarray) -> None:
        """Set the number of input features to that of A, unless it is set."""
        if self.inputs is None:
            self._set_inputs(np.shape(A)[-1])

    def onnx_node(self, graph: Any, A: str) -> str:
        """Add a node that selects features of the array named A to an ONNX graph; return the result's name."""
        return graph.op("Gather", A, graph.integers(*self._selected), axis=-1)

    def c_text(self, c: Any) -> Any:
        """Return this layer's `Part` of an exported C file, made by the `Writer` c."""
        u = len(self.selected)
        code = C.substitute(i=c.i, u=u, selected=", ".join(map(str, self.selected)))
        return c.function(f"Select, {u} of {c.n} features", u, code)

    def run(self, A: np.ndarray, lengths: np.ndarray | None = None) -> LayerPass:
        """Apply the layer to A; return a pass whose output is the selected features."""
        X, steps = mask_padding(as_floats(A), lengths)
        self.make(X)
        if X.shape[-1] != self.inputs:
            raise ValueError(f"A: expected {self.inputs} features, as at first in {self!r}, got shape {X.shape}")

        def input_gradient(dA: np.ndarray, own: dict[str, np.ndarray]) -> np.ndarray:
            dX = np.zeros_like(own["X"])
            np.add.at(dX, (..., self._selected), dA)
            return dX

        return LayerPass(steps, input_gradient, X=X, A=X[..., self._selected])
