"""LayerNorm: a layer that normalises the features of each step, then applies a learned scale and shift."""

from __future__ import annotations

from string import Template
from typing import Any

import numpy as np
from numpy.typing import DTypeLike

from cgru.core.checks import real
from cgru.layers.layer import Arrays, Fields, LayerPass, zero_padding
from cgru.layers.scale import Scale, affine_gradients

__all__ = ["LayerNorm"]

C = """\
/* layer $i: LayerNorm, $n features */
$scale
$shift
static void layer_$i(real *y, const real *x) {
    real mean = 0;
    real squares = 0;
    for (int i = 0; i < $n; i++) { mean += x[i]; }
    mean /= (real)$n;
    for (int i = 0; i < $n; i++) { squares += (x[i] - mean) * (x[i] - mean); }
    const real factor = inverse_root((squares / (real)$n) + $eps);
    for (int i = 0; i < $n; i++) { y[i] = ((x[i] - mean) * factor * scale_$i.values[i]) + shift_$i.values[i]; }
}
"""


class LayerNorm(Scale):
    """Layer normalisation: normalise the features of each step, then apply a learned scale and shift to each.

    A = (X - mean) / sqrt(variance + eps) * scale + shift (Ba, Kiros and Hinton, 2016, arXiv:1607.06450). Mean and
    variance are those of the n features of one step of one sample, computed in float64. `Normalize` goes along the
    steps instead; the normalised products inside a GRU are its `layer_norm`. Scale begins at one and shift at zero;
    both are trained if `trainable`. At padded steps the outputs are zero.

    Args:
        eps: what is added to the variance, above 0.
        dtype: float64 or float32; None: float64, or the dtype of the network.

    Attributes:
        d: dimensions m, n, and with steps s.
        p: scale and shift (1, n).
        fc: X and A.
        bc: dA and dX.
        g: dscale and dshift (1, n), summed over samples and steps.

    Raises:
        TypeError, ValueError: an argument is invalid.

    Examples:
        >>> A = cgru.LayerNorm().forward(np.array([[1.0, 2.0, 3.0], [10.0, 20.0, 30.0]]))
        >>> A.round(3)
        array([[-1.225,  0.   ,  1.225],
               [-1.225,  0.   ,  1.225]])
    """

    fields = Fields({"eps": None}, dtype=True)

    def __init__(self, eps: float = 1e-5, *, dtype: DTypeLike | None = None) -> None:
        super().__init__(dtype=dtype)
        self.eps = float(real(eps, "eps", ()))
        if not 0 < self.eps < np.inf:
            raise ValueError(f"eps: expected a finite number above 0, got {eps}")

    @property
    def stage(self) -> dict[str, Any]:
        """Return a dict that describes this layer to the compiled training code."""
        return {"kind": "layer_norm", "eps": self.eps}

    def __repr__(self) -> str:
        return f"LayerNorm({self.eps:g}, dtype={self.dtype.name})"

    def c_text(self, c: Any) -> Any:
        """Return this layer's `Part` of an exported C file, made by the `Writer` c."""
        scale, shift = (c.array(name, values) for name, values in c.p.items())
        words = {"i": c.i, "n": c.n, "scale": scale, "shift": shift, "eps": c.number(self.eps, f"eps of layer {c.i}")}
        return c.function(f"LayerNorm, {c.n} features", c.n, Template(C).substitute(words))

    def onnx_node(self, graph: Any, A: str) -> str:
        """Add a LayerNormalization node on the array named A to an ONNX graph; return the name of its output.

        In float64 its nodes are written out: those of ONNX compute mean and variance in float32.
        """
        scale, shift = graph.parameters(self)
        if graph.dtype == np.float32:
            return graph.real(graph.op("LayerNormalization", A, scale, shift, axis=-1, epsilon=self.eps))
        centred = graph.op("Sub", A, graph.op("ReduceMean", A, graph.integers(-1)))
        variance = graph.op("ReduceMean", graph.op("Mul", centred, centred), graph.integers(-1))
        deviation = graph.op("Sqrt", graph.op("Add", variance, graph.layer_array("eps", self.eps)))
        normal = graph.op("Mul", graph.op("Div", centred, deviation), scale)
        return graph.real(graph.op("Add", normal, shift))

    @classmethod
    def of(cls, scale: np.ndarray, shift: np.ndarray | None, eps: float) -> LayerNorm:
        """Make a layer with this scale and shift, in their dtype.

        Args:
            scale: (n,) the factors.
            shift: (n,) what is added; None: zeros.
            eps: what is added to the variance, above 0.

        Returns:
            The layer, with parameters.

        Examples:
            >>> layer = cgru.LayerNorm.of(np.ones(3, np.float32), None, 1e-5)
            >>> layer.dtype.name, layer.p["scale"].shape
            ('float32', (1, 3))
        """
        layer = cls(eps, dtype=scale.dtype)
        layer.p["scale"] = np.array(scale[None])
        layer.p["shift"] = np.zeros_like(layer.p["scale"]) if shift is None else np.array(shift[None])
        layer.checked_parameters()
        return layer

    def run(self, A: np.ndarray, lengths: np.ndarray | None = None) -> LayerNormPass:
        """Apply the layer to A; return a pass whose output is A normalised over its last axis, scaled and shifted."""
        X, steps, scale, shift = self._checked(A, lengths)
        normal, factor = normalised(X, self.eps)
        made = (normal * scale + shift).astype(X.dtype, copy=False)
        return LayerNormPass(steps, normal, factor, scale, X=X, A=zero_padding(made, steps))


class LayerNormPass(LayerPass):
    """One forward pass of a `LayerNorm`."""

    def __init__(
        self, steps: np.ndarray | None, normal: np.ndarray, factor: np.ndarray, scale: np.ndarray, **own: np.ndarray
    ) -> None:
        super().__init__(steps, **own)
        self._normal, self._factor, self._scale = normal, factor, scale  # as in `normalised`; (1, n)

    def _compute_backward(self, dA: np.ndarray) -> dict[str, np.ndarray]:
        """Return {"dA", "dX"}; dX = (d - mean(d) - N mean(d N)) / sqrt(variance + eps), with d = dA * scale."""
        N, d = self._normal, dA * self._scale.astype(np.float64)
        slope = (d * N).mean(axis=-1, keepdims=True)
        dX = (d - d.mean(axis=-1, keepdims=True) - N * slope) * self._factor
        return {"dA": dA, "dX": dX.astype(dA.dtype, copy=False)}

    def gradients(self, each: bool = False) -> Arrays:
        """Return dscale = sum of dA * N and dshift = sum of dA, (1, n); RuntimeError before `backward`.

        With `each` return the sums over the steps of each sample, (m, 1, n).
        """
        return affine_gradients(self._require_backward()["dA"], self._normal, each)


def normalised(X: np.ndarray, eps: float) -> tuple[np.ndarray, np.ndarray]:
    """Return (N, factor), N = (X - mean) * factor over the last axis, with factor = 1 / sqrt(variance + eps).

    Both are float64, as are the sums.
    """
    centred = X - X.mean(axis=-1, keepdims=True, dtype=np.float64)
    factor = 1 / np.sqrt(np.square(centred).mean(axis=-1, keepdims=True) + eps)
    return centred * factor, factor
