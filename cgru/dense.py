"""Dense, the output layer: A = activate(X W + b), in plain NumPy.

m samples, n inputs, u units. The interface is that of EpyNN's Dense layer, so that it drops into an EpyNN network.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from cgru import activations
from cgru.checks import callable_, float_dtype, generator, positive, real
from cgru.initializers import xavier
from cgru.kernels import matmul
from cgru.parameters import gru_update_parameters

__all__ = ["Dense"]

Arrays = dict[str, np.ndarray]


class Dense:
    """A fully connected layer of `units`, the head of a network.

    `activate` is a callable `f(x, deriv=False)`, looked up at each call; its derivative has the shape of x, (m, u), or
    is (m, u, u) as softmax's: element [i, j, k] is that of output j by input k. `initialization` is a callable
    `f(shape, rng)`. `se_hPars` may hold `LRELU_alpha`, `ELU_alpha` and `softmax_temperature`. `rng` is a Generator, a
    seed or None, kept as `np_rng`. `dtype` is float64 or float32.

    After the calls: `d` holds m, n, u; `p` W (n, u) and b (1, u); `fc` X (m, n), Z and A (m, u); `bc` dA and dZ (m, u)
    and dX (m, n); `g` dW (n, u) and db (u,), summed over the samples; `fs` and `bs` the shapes. No call writes into an
    array that an earlier one returned or put there, the parameters excepted.

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
        self.d: dict[str, int] = {"u": positive(units, "units")}
        self.activate = callable_(activate, "activate")
        self.initialization = callable_(initialization, "initialization")
        if se_hPars is not None and not isinstance(se_hPars, Mapping):
            raise TypeError(f"se_hPars: expected a dict or None, got {type(se_hPars).__name__}")
        self.se_hPars = se_hPars
        self.dtype = float_dtype(dtype)
        self.np_rng = generator(rng)
        self._own_rng = rng is not None  # a network gives its own generator to the layers that were given none
        self.trainable = True
        self.activation = {"activate": activations.name_of(activate)}
        self.fs: dict[str, tuple[int, ...]] = {}
        self.bs: dict[str, tuple[int, ...]] = {}
        self.p: Arrays = {}
        self.fc: Arrays = {}
        self.bc: Arrays = {}
        self.g: Arrays = {}
        self.o: dict[str, Any] = {}
        self._went_back = False  # since the last forward
        self._lock = threading.RLock()

    def __repr__(self) -> str:
        activate = activations.name_of(self.activate)
        return f"Dense(units={self.d['u']}, activate={activate}, dtype={self.dtype.name})"

    def __getstate__(self) -> dict[str, Any]:
        """The layer's attributes, for pickle and copy."""
        return {name: value for name, value in vars(self).items() if name != "_lock"}

    def __setstate__(self, state: dict[str, Any]) -> None:
        """Take over what `__getstate__` gave."""
        vars(self).update(state)
        self._lock = threading.RLock()

    # --- shapes and parameters ---

    def compute_shapes(self, A: np.ndarray) -> None:
        """Set `d` and the shapes of X, W and b in `fs` for an input A (m, n)."""
        m, n = self._input(A).shape
        u = self.d["u"]
        self.d |= {"m": m, "n": n}
        self.fs |= {"X": (m, n), "W": (n, u), "b": (1, u)}

    def initialize_parameters(self) -> None:
        """Draw W and set b to zero, in the shapes of `fs`; RuntimeError before `compute_shapes`."""
        if "W" not in self.fs:
            raise RuntimeError("initialize_parameters: expected compute_shapes to be called first")
        W = real(self.initialization(self.fs["W"], rng=self.np_rng), "initialization", self.fs["W"])
        self.p |= {"W": np.array(W, self.dtype), "b": np.zeros(self.fs["b"], self.dtype)}

    def update_parameters(self) -> None:
        """`p[name] -= lrate[e] * g['d' + name]`, in place, while `trainable`.

        See `cgru.parameters.gru_update_parameters`.
        """
        if self.trainable:
            gru_update_parameters(self)

    def update_shapes(self, cache: Mapping[str, np.ndarray], shapes: dict[str, tuple[int, ...]]) -> None:
        """`shapes[key] = cache[key].shape` for each key of `cache`."""
        shapes.update({key: value.shape for key, value in cache.items()})

    # --- forward and backward ---

    def forward(self, A: np.ndarray) -> np.ndarray:
        """The outputs (m, u) for an input A (m, n), with what `backward` needs kept in `fc`."""
        self._enter("forward")
        try:
            X, p = self._checked(A)
            self._went_back = False
            self.fc.clear()  # should the activation raise, there are no caches rather than old ones
            Z = self._linear(X, p)
            A = self._activated(Z)
            self.compute_shapes(X)
            self.activation["activate"] = activations.name_of(self.activate)
            self.fc |= {"X": X, "Z": Z, "A": A}
            self.update_shapes(self.fc, self.fs)
            return A
        finally:
            self._lock.release()

    def predict(self, A: np.ndarray) -> np.ndarray:
        """The same numbers as `forward`; the layer is not touched, any number of threads may call it at once."""
        return self._activated(self._preactivations(A))

    def backward(self, dX: np.ndarray) -> np.ndarray:
        """Take dL/dA (m, u), fill `bc`, return dL/dX (m, n); RuntimeError before `forward`."""
        self._enter("backward")
        try:
            if "A" not in self.fc:
                raise RuntimeError("backward: expected forward to be called first")
            dA = real(dX, "dX", self.fc["A"].shape, self.dtype)
            return self._backward(self._through_activation(dA), dA)
        finally:
            self._lock.release()

    def compute_gradients(self) -> None:
        """Fill `g` with dW = X^T dZ and db, dZ summed over the samples; RuntimeError before `backward`."""
        X, dZ = self.fc.get("X"), self.bc.get("dZ")
        if X is None or dZ is None or not self._went_back:
            raise RuntimeError("compute_gradients: expected forward and backward to be called first")
        self.g |= {"dW": matmul(X.T, dZ), "db": dZ.sum(axis=0)}

    # --- what the above share with the network's training ---

    def _preactivations(self, A: np.ndarray) -> np.ndarray:
        """Z (m, u), with no cache kept."""
        return self._linear(*self._checked(A))

    def _linear(self, X: np.ndarray, p: Arrays) -> np.ndarray:
        return matmul(X, p["W"].astype(self.dtype, copy=False)) + p["b"].astype(self.dtype, copy=False)

    def _activated(self, Z: np.ndarray) -> np.ndarray:
        return real(activations.bind(self.activate, self.se_hPars)(Z), "activate", Z.shape, self.dtype)

    def _through_activation(self, dA: np.ndarray) -> np.ndarray:
        """dL/dZ: dA times the derivative, element by element or by the Jacobian of each sample."""
        Z, A = self.fc["Z"], self.fc["A"]
        if activations.ours(self.activate) is activations.softmax:  # its Jacobian need not be built
            return (
                A
                * (dA - (dA * A).sum(axis=1, keepdims=True))
                / self.dtype.type(activations.parameter(self.se_hPars, "softmax_temperature"))
            )
        D = real(activations.bind(self.activate, self.se_hPars)(Z, deriv=True), "activate", dtype=self.dtype)
        if D.shape == Z.shape:
            return dA * D
        if D.shape == (*Z.shape, Z.shape[1]):
            return (dA[:, None, :] @ D)[:, 0]
        raise ValueError(f"activate: expected derivatives of shape {Z.shape} or (m, u, u), got {D.shape}")

    def _backward(self, dZ: np.ndarray, dA: np.ndarray | None = None) -> np.ndarray:
        """dL/dX from dL/dZ: where `backward` goes on, and where a loss that has dL/dZ itself comes in, with no dA."""
        W = self._parameters(self.fc["X"].shape[1])["W"].astype(self.dtype, copy=False)
        dX = matmul(dZ, W.T)
        self.bc.clear()
        self._went_back = True
        self.bc |= {"dZ": dZ, "dX": dX} if dA is None else {"dA": dA, "dZ": dZ, "dX": dX}
        self.update_shapes(self.bc, self.bs)
        return dX

    def _enter(self, call: str) -> None:
        """Take the lock, by which a call that an interrupt cut short does not lock out its own thread."""
        if not self._lock.acquire(blocking=False):
            raise RuntimeError(f"{call}: another thread is inside this layer; give each thread a layer of its own")

    def _input(self, A: Any) -> np.ndarray:
        X = real(A, "A", ("m", "n"), self.dtype)
        if 0 in X.shape:
            raise ValueError(f"A: expected at least one sample and one element, got shape {X.shape}")
        return X

    def _checked(self, A: Any) -> tuple[np.ndarray, Arrays]:
        X, p = self._input(A), self._parameters()
        if X.shape[1] != len(p["W"]):
            raise ValueError(f"A: expected shape (m, {len(p['W'])}), the rows of W, got {X.shape}")
        return X, p

    def _parameters(self, n: int | str = "n") -> Arrays:
        """W and b as they stand in `p`, refused where they are missing or do not fit."""
        if not self.p:
            raise RuntimeError("p: empty; expected compute_shapes and initialize_parameters before this call")
        shapes = {"W": (n, self.d["u"]), "b": (1, self.d["u"])}
        for name, shape in shapes.items():
            if name not in self.p:
                raise ValueError(f"p[{name!r}]: missing; expected an array of shape {shape}")
        return {name: real(self.p[name], f"p[{name!r}]", shape) for name, shape in shapes.items()}
