"""Dense, the output layer: A = activate(X W + b), in plain NumPy.

m samples, s steps, n inputs, u units. The interface is that of EpyNN's Dense layer, so that it drops into an EpyNN
network.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from cgru import activations
from cgru.core.checks import callable_, float_dtype, positive, real
from cgru.core.kernels import matmul
from cgru.initializers import xavier
from cgru.layers.layer import Layer, Shape, flat, floats, unflat, unpadded

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

    def __init__(
        self,
        units: int = 1,
        activate: activations.Activation = activations.sigmoid,
        initialization: Callable[..., np.ndarray] = xavier,
        se_hPars: dict[str, Any] | None = None,
        *,
        dtype: Any = np.float64,
        rng: np.random.Generator | int | None = None,
    ) -> None:
        super().__init__(rng)
        self.d["u"] = positive(units, "units")
        self.activate = callable_(activate, "activate")
        self.initialization = callable_(initialization, "initialization")
        if se_hPars is not None and not isinstance(se_hPars, Mapping):
            raise TypeError(f"se_hPars: expected a dict or None, got {type(se_hPars).__name__}")
        self.se_hPars = se_hPars
        self.dtype = float_dtype(dtype)
        self.trainable = True
        self.activation = {"activate": activations.name_of(activate)}

    def __repr__(self) -> str:
        activate = activations.name_of(self.activate)
        return f"Dense(units={self.d['u']}, activate={activate}, dtype={self.dtype.name})"

    # --- shapes and parameters ---

    def output_shape(self, shape: Shape) -> Shape:
        """That of the input, with u in the place of n."""
        return *shape[:-1], self.d["u"]

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

    # --- forward and backward ---

    def forward(self, A: np.ndarray, lengths: np.ndarray | None = None) -> np.ndarray:
        """The outputs (m, u) for an input A (m, n), with what `backward` needs kept in `fc`.

        For all steps A (m, s, n) they are (m, s, u); sample i has `lengths[i]` real ones (None: all).
        """
        with self._alone("forward"):
            X, real, p = self._checked(A, lengths)
            self._went_back = False
            self.fc.clear()  # should the activation raise, there are no caches rather than old ones
            Z = self._linear(X, p)
            A = self._activated(Z)
            self.activation["activate"] = activations.name_of(self.activate)
            return self._ran(real, X=X, Z=Z, A=A if real is None else np.where(real, A, A.dtype.type(0)))

    def predict(self, A: np.ndarray, lengths: np.ndarray | None = None) -> np.ndarray:
        """The same numbers as `forward`; the layer is not touched, any number of threads may call it at once."""
        X, real, p = self._checked(A, lengths)
        A = self._activated(self._linear(X, p))
        return A if real is None else np.where(real, A, A.dtype.type(0))

    def backward(self, dX: np.ndarray) -> np.ndarray:
        """Take dL/dA in the shape that `forward` returned, fill `bc`, return dL/dX; RuntimeError before `forward`."""
        with self._alone("backward"):
            dA = self._dA(dX)
            return self._backward(self._through_activation(dA), dA)

    def compute_gradients(self) -> None:
        """Fill `g` with dW = X^T dZ and db, dZ summed over samples and steps; RuntimeError before `backward`."""
        X, dZ = self.fc.get("X"), self.bc.get("dZ")
        if X is None or dZ is None or not self._went_back:
            raise RuntimeError("compute_gradients: expected forward and backward to be called first")
        dZ = flat(dZ)
        self.g |= {"dW": matmul(flat(X).T, dZ), "db": dZ.sum(axis=0)}

    # --- what the above share with the network's training ---

    def _preactivations(self, A: np.ndarray) -> np.ndarray:
        """Z (m, u), with no cache kept."""
        X, _, p = self._checked(A)
        return self._linear(X, p)

    def _linear(self, X: np.ndarray, p: Arrays) -> np.ndarray:
        Z = matmul(flat(X), p["W"].astype(self.dtype, copy=False)) + p["b"].astype(self.dtype, copy=False)
        return unflat(Z, like=X)

    def _activated(self, Z: np.ndarray) -> np.ndarray:
        rows = flat(Z)
        A = real(activations.bind(self.activate, self.se_hPars)(rows), "activate", rows.shape, self.dtype)
        return unflat(A, like=Z)

    def _through_activation(self, dA: np.ndarray) -> np.ndarray:
        """dL/dZ: dA times the derivative, element by element or by the Jacobian of each sample."""
        Z, A, d = flat(self.fc["Z"]), flat(self.fc["A"]), flat(dA)
        if activations.ours(self.activate) is activations.softmax:  # its Jacobian need not be built
            T = self.dtype.type(activations.parameter(self.se_hPars, "softmax_temperature"))
            return unflat(A * (d - (d * A).sum(axis=1, keepdims=True)) / T, like=dA)
        D = real(activations.bind(self.activate, self.se_hPars)(Z, deriv=True), "activate", dtype=self.dtype)
        if D.shape == Z.shape:
            return unflat(d * D, like=dA)
        if D.shape == (*Z.shape, Z.shape[1]):
            return unflat((d[:, None, :] @ D)[:, 0], like=dA)
        raise ValueError(f"activate: expected derivatives of shape {Z.shape} or (m, u, u), got {D.shape}")

    def _backward(self, dZ: np.ndarray, dA: np.ndarray | None = None) -> np.ndarray:
        """dL/dX from dL/dZ: where `backward` goes on, and where a loss that has dL/dZ itself comes in, with no dA."""
        X = self.fc["X"]
        W = self._parameters(X.shape[-1])["W"].astype(self.dtype, copy=False)
        dX = unflat(matmul(flat(dZ), W.T), like=X)
        self._back(**({"dZ": dZ, "dX": dX} if dA is None else {"dA": dA, "dZ": dZ, "dX": dX}))
        return dX

    def _checked(self, A: Any, lengths: Any = None) -> tuple[np.ndarray, np.ndarray | None, Arrays]:
        """X, which of its steps are real (None: all), and the parameters."""
        X, p = floats(A, self.dtype), self._parameters()
        if X.shape[-1] != len(p["W"]):
            due = "(m, s, {})" if X.ndim == 3 else "(m, {})"
            raise ValueError(f"A: expected shape {due.format(len(p['W']))}, the rows of W, got {X.shape}")
        return *unpadded(X, lengths), p

    def _parameters(self, n: int | str = "n") -> Arrays:
        """W and b as they stand in `p`, refused where they are missing or do not fit."""
        if not self.p:
            raise RuntimeError("p: empty; expected compute_shapes and initialize_parameters before this call")
        shapes = {"W": (n, self.d["u"]), "b": (1, self.d["u"])}
        for name, shape in shapes.items():
            if name not in self.p:
                raise ValueError(f"p[{name!r}]: missing; expected an array of shape {shape}")
        return {name: real(self.p[name], f"p[{name!r}]", shape) for name, shape in shapes.items()}
