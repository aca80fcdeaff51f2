"""Scale: a layer with a learned factor and shift for each feature."""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np
from numpy.typing import ArrayLike, DTypeLike

from cgru.core.checks import real
from cgru.layers.layer import Fields, Layer, LayerPass, as_floats, flatten_steps, mask_padding, zero_padding

__all__ = ["Scale", "affine_gradients"]

Arrays = dict[str, np.ndarray]


class Scale(Layer):
    """A layer with a learned factor and shift for each feature: A = X * scale + shift, for (m, s, n) or (m, n).

    Unlike the standardisation of a `Network` it may be anywhere in the chain, computes in the layer's dtype, and is
    trained if `trainable`. At padded steps the outputs are zero.

    Args:
        scale: n factors, (n,) or (1, n); None: ones. If shift is None too, n is the number of features of the first
            input.
        shift: n numbers likewise; None: zeros.
        dtype: float64 or float32; None: float64, or the dtype of the network.

    Attributes:
        d: dimensions m, n, and with steps s.
        p: scale and shift (1, n).
        fc: X and A.
        bc: dA and dX.
        g: dscale = sum of dA * X and dshift = sum of dA, (1, n), over samples and steps.

    Raises:
        TypeError, ValueError: an argument is invalid.

    Examples:
        >>> layer = cgru.Scale([2, 10], [0, 1])
        >>> layer.forward(np.array([[1.0, 1.0], [3.0, 0.5]]))
        array([[ 2., 11.],
               [ 6.,  6.]])
        >>> layer.backward(np.ones((2, 2)))
        array([[ 2., 10.],
               [ 2., 10.]])
    """

    parameter_names = ("scale", "shift")
    fields = Fields(dtype=True)
    stage: ClassVar[dict[str, Any]] = {"kind": "elementwise"}

    def __init__(
        self, scale: ArrayLike | None = None, shift: ArrayLike | None = None, *, dtype: DTypeLike | None = None
    ) -> None:
        super().__init__(dtype=dtype)
        self.trainable = True
        given = {"scale": scale, "shift": shift}
        rows = {name: real(np.atleast_2d(value), name) for name, value in given.items() if value is not None}
        for name, row in rows.items():
            due = next(iter(rows.values())).shape
            if row.ndim != 2 or len(row) != 1 or row.size == 0 or row.shape != due:
                raise ValueError(f"{name}: expected a number for each feature, (n,), both the same, got {row.shape}")
        if rows:
            self._fill_identity(next(iter(rows.values())).shape)
            for name, row in rows.items():
                self.p[name][...] = row

    def __repr__(self) -> str:
        return f"Scale(dtype={self.dtype.name})"

    @property
    def features(self) -> int | None:
        """Return n, the number of features; None before there are parameters."""
        return np.shape(self.p["scale"])[-1] if np.ndim(self.p.get("scale")) else None

    def initialize_parameters(self) -> None:
        """Set scale to ones and shift to zeros, in the shapes given in `fs`.

        Raises:
            RuntimeError: `compute_shapes` was not called before.
        """
        if "scale" not in self.fs:
            raise RuntimeError("initialize_parameters: expected compute_shapes to be called first")
        self._fill_identity(self.fs["scale"])

    def _fill_identity(self, shape: tuple[int, ...]) -> None:
        """Set scale to ones and shift to zeros of a given shape."""
        self.p |= {"scale": np.ones(shape, self.dtype), "shift": np.zeros(shape, self.dtype)}

    def c_text(self, c: Any) -> Any:
        """Return this layer's `Part` of an exported C file, made by the `Writer` c."""
        constants = [c.array(name, values) for name, values in c.p.items()]
        value = f"(x[i] * scale_{c.i}.values[i]) + shift_{c.i}.values[i]"
        return c.elementwise(f"Scale, {c.n} features", value, constants)

    def onnx_node(self, graph: Any, A: str) -> str:
        """Add A * scale + shift of the array named A to an ONNX graph; return the name of the result."""
        scale, shift = graph.parameters(self)
        return graph.real(graph.op("Add", graph.op("Mul", A, scale), shift))

    def run(self, A: np.ndarray, lengths: np.ndarray | None = None) -> ScalePass:
        """Apply the layer to A; return a pass whose output is A * scale + shift."""
        X, steps, scale, shift = self._checked(A, lengths)
        return ScalePass(steps, lambda dA, _: dA * scale, X=X, A=zero_padding(X * scale + shift, steps))

    def _checked(
        self, A: np.ndarray, lengths: np.ndarray | None
    ) -> tuple[np.ndarray, np.ndarray | None, np.ndarray, np.ndarray]:
        """Check the input A; return (X, zero in the padding; mask of real steps; scale; shift)."""
        X, steps = mask_padding(as_floats(A, self.dtype), lengths)
        self.make(X)
        scale, shift = self.checked_parameters()
        if X.shape[-1] != scale.size:
            due = "(m, s, {})" if X.ndim == 3 else "(m, {})"
            raise ValueError(f"A: expected shape {due.format(scale.size)}, the numbers of scale, got {X.shape}")
        return X, steps, scale, shift

    def arrays(self, e: int) -> dict[str, tuple[tuple[int, ...], np.dtype]]:
        """Return the shape and dtype of each parameter for inputs of e features."""
        return dict.fromkeys(self.parameter_names, ((1, e), self.dtype))


class ScalePass(LayerPass):
    """One forward pass of a `Scale`."""

    def gradients(self, each: bool = False) -> Arrays:
        """Return dscale = sum of dA * X and dshift = sum of dA, (1, n); RuntimeError before `backward`.

        With `each` return the sums over the steps of each sample, (m, 1, n).
        """
        return affine_gradients(self._require_backward()["dA"], self._arrays["X"], each)


def affine_gradients(dA: np.ndarray, N: np.ndarray, each: bool) -> Arrays:
    """Return the gradients dscale and dshift of A = N * scale + shift, in the dtype of dA."""
    if each:
        parts = {"dscale": dA * N, "dshift": dA}
        sums = {name: d.sum(axis=1, keepdims=True) if d.ndim == 3 else d[:, None] for name, d in parts.items()}
    else:
        dA, N = flatten_steps(dA), flatten_steps(N)
        sums = {"dscale": (dA * N).sum(axis=0, keepdims=True), "dshift": dA.sum(axis=0, keepdims=True)}
    return {name: d.astype(dA.dtype, copy=False) for name, d in sums.items()}
