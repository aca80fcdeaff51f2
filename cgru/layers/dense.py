"""Dense, the output layer: A = activate(X W + b), in plain NumPy.

m samples, s steps, n inputs, u units. The interface is that of EpyNN's Dense layer, so that it drops into an EpyNN
network.
"""

from __future__ import annotations

from collections.abc import MutableMapping
from typing import Any

import numpy as np
from numpy.typing import DTypeLike

from cgru import activations, initializers
from cgru.core.checks import mapping, positive, real
from cgru.core.kernels import matmul
from cgru.layers.layer import Layer, LayerPass, Shape, flat, floats, unflat, unpadded

__all__ = ["Dense"]

Arrays = dict[str, np.ndarray]


class Dense(Layer):
    """A fully connected layer of `units`, the head of a network: (m, u) for (m, n), or each step of (m, s, n) so.

    `activate` is a callable `f(x, deriv=False)`, looked up at each call; its derivative has the shape of x, (m, u), or
    is (m, u, u) as softmax's: element [i, j, k] is that of output j by input k. Steps come to it as more samples.
    `initialization` is a callable `f(shape, rng)`. `se_hPars` may hold `LRELU_alpha`, `ELU_alpha` and
    `softmax_temperature`. `rng` is a Generator, a seed or None, kept as `np_rng`. `dtype` is float64 or float32.

    After the calls: `d` holds m, n, u; `p` W (n, u) and b (1, u); `fc` X (m, n), Z and A (m, u); `bc` dA and dZ (m, u)
    and dX (m, n); `g` dW (n, u) and db (u,), summed over the samples; `fs` and `bs` the shapes. With steps `d` holds s,
    what is m stands for m, s, and where they are padding X, A and all gradients are zero. No call writes into an array
    that an earlier one returned or put there, the parameters excepted.

    TypeError or ValueError for an argument that does not fit.
    """

    parameter_names = ("W", "b")

    def __init__(
        self,
        units: int = 1,
        activate: activations.Activation | str = activations.sigmoid,
        initialization: initializers.Initializer | str = initializers.xavier,
        se_hPars: MutableMapping[str, Any] | None = None,
        *,
        dtype: DTypeLike | None = None,
        rng: np.random.Generator | int | None = None,
    ) -> None:
        super().__init__(rng, dtype)
        self.d["u"] = positive(units, "units")
        self.activate = activations.named(activate, "activate")
        self.initialization = initializers.named(initialization, "initialization")
        self.se_hPars = mapping(se_hPars, "se_hPars")
        self.trainable = True
        self.activation = {"activate": activations.name_of(self.activate)}

    def __repr__(self) -> str:
        activate = activations.name_of(self.activate)
        return f"Dense(units={self.d['u']}, activate={activate}, dtype={self.dtype.name})"

    # --- shapes and parameters ---

    def output_shape(self, shape: Shape) -> Shape:
        """That of the input, with u in the place of n."""
        return *shape[:-1], self.d["u"]

    @property
    def elements(self) -> int | None:
        """n, the rows of W; None where there is none yet."""
        return len(self.p["W"]) if np.ndim(self.p.get("W")) else None

    def compute_shapes(self, A: np.ndarray) -> None:
        """Set `d` and the shapes of X, W and b in `fs` for an input A (m, n) or (m, s, n)."""
        super().compute_shapes(floats(A))
        u = self.d["u"]
        self.fs |= {"W": (self.d["n"], u), "b": (1, u)}

    def initialize_parameters(self) -> None:
        """Draw W and set b to zero, in the shapes of `fs`; RuntimeError before `compute_shapes`."""
        if "W" not in self.fs:
            raise RuntimeError("initialize_parameters: expected compute_shapes to be called first")
        W = real(self.initialization(self.fs["W"], rng=self.np_rng), "initialization", self.fs["W"])
        self.p |= {"W": np.array(W, self.dtype), "b": np.zeros(self.fs["b"], self.dtype)}

    # --- forward ---

    def run(self, A: np.ndarray, lengths: np.ndarray | None = None) -> DensePass:
        """The outputs (m, u) for an input A (m, n); for all steps A (m, s, n) they are (m, s, u).

        Sample i has `lengths[i]` real steps (None: all).
        """
        X, real, p = self._checked(A, lengths)
        Z = self._linear(X, p)
        A = self._activated(Z)
        return DensePass(self, real, X=X, Z=Z, A=A if real is None else np.where(real, A, A.dtype.type(0)))

    def predict(self, A: np.ndarray, lengths: np.ndarray | None = None) -> np.ndarray:
        """The same numbers as `forward`; the layer is not touched, any number of threads may call it at once."""
        X, real, p = self._checked(A, lengths)
        A = self._activated(self._linear(X, p))
        return A if real is None else np.where(real, A, A.dtype.type(0))

    def _rerun(self, *arguments: Any) -> DensePass:
        ran = self.run(*arguments)
        self.activation["activate"] = activations.name_of(self.activate)
        return ran

    def _linear(self, X: np.ndarray, p: Arrays) -> np.ndarray:
        Z = matmul(flat(X), p["W"].astype(self.dtype, copy=False)) + p["b"].astype(self.dtype, copy=False)
        return unflat(Z, like=X)

    def _activated(self, Z: np.ndarray) -> np.ndarray:
        rows = flat(Z)
        A = real(activations.bind(self.activate, self.se_hPars)(rows), "activate", rows.shape, self.dtype)
        return unflat(A, like=Z)

    def _checked(self, A: Any, lengths: Any = None) -> tuple[np.ndarray, np.ndarray | None, Arrays]:
        """X, which of its steps are real (None: all), and the parameters."""
        X, real = unpadded(floats(A, self.dtype), lengths)
        self.make(X)
        p = self.parameters()
        if X.shape[-1] != len(p["W"]):
            due = "(m, s, {})" if X.ndim == 3 else "(m, {})"
            raise ValueError(f"A: expected shape {due.format(len(p['W']))}, the rows of W, got {X.shape}")
        return X, real, p

    def parameters(self, n: int | str = "n") -> Arrays:
        """W and b as they stand in `p`, refused where they are missing or do not fit."""
        shapes = {"W": (n, self.d["u"]), "b": (1, self.d["u"])}
        for name, shape in shapes.items():
            if name not in self.p:
                raise ValueError(f"p[{name!r}]: missing; expected an array of shape {shape}")
        return {name: real(self.p[name], f"p[{name!r}]", shape) for name, shape in shapes.items()}


class DensePass(LayerPass):
    """One run of a `Dense`."""

    def __init__(self, layer: Dense, real: np.ndarray | None, **own: np.ndarray) -> None:
        super().__init__(real, **own)
        self.layer = layer

    def backward_linear(self, dZ: np.ndarray) -> np.ndarray:
        """Go back from dL/dZ, which a loss may have in place of dL/dA."""
        dZ = real(dZ, "dZ", self._own["Z"].shape, self._own["Z"].dtype)
        return self._went_back({"dZ": dZ, "dX": self._through_product(dZ)})

    def gradients(self) -> Arrays:
        """dW = X^T dZ and db (u,), dZ summed over samples and steps; RuntimeError before `backward`."""
        dZ = flat(self._gone_back()["dZ"])
        return {"dW": matmul(flat(self._own["X"]).T, dZ), "db": dZ.sum(axis=0)}

    def _back(self, dA: np.ndarray) -> Arrays:
        dZ = self._through_activation(dA)
        return {"dA": dA, "dZ": dZ, "dX": self._through_product(dZ)}

    def _through_product(self, dZ: np.ndarray) -> np.ndarray:
        X = self._own["X"]
        W = self.layer.parameters(X.shape[-1])["W"].astype(X.dtype, copy=False)
        return unflat(matmul(flat(dZ), W.T), like=X)

    def _through_activation(self, dA: np.ndarray) -> np.ndarray:
        """dL/dZ: dA times the derivative, element by element or by the Jacobian of each sample."""
        Z, A, d = flat(self._own["Z"]), flat(self._own["A"]), flat(dA)
        activate, se_hPars = self.layer.activate, self.layer.se_hPars
        if activations.ours(activate) is activations.softmax:  # its Jacobian need not be built
            T = A.dtype.type(activations.parameter(se_hPars, "softmax_temperature"))
            return unflat(A * (d - (d * A).sum(axis=1, keepdims=True)) / T, like=dA)
        D = real(activations.bind(activate, se_hPars)(Z, deriv=True), "activate", dtype=A.dtype)
        if D.shape == Z.shape:
            return unflat(d * D, like=dA)
        if D.shape == (*Z.shape, Z.shape[1]):
            return unflat((d[:, None, :] @ D)[:, 0], like=dA)
        raise ValueError(f"activate: expected derivatives of shape {Z.shape} or (m, u, u), got {D.shape}")
