"""SampledDense: an output layer for very many classes, computed only for the classes that a batch needs."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, DTypeLike

from cgru import initializers
from cgru.core.checks import float_dtype, generator, integers, positive, real
from cgru.core.gradients import linear_gradients
from cgru.core.linear import Linear
from cgru.layers.dense import Dense
from cgru.optimizers import RowGradients

__all__ = ["SampledDense"]


class SampledDense:
    """An output layer for very many classes, which computes only the scores of chosen classes.

    It is for a loop of your own: a step computes `forward(A, classes)`, a loss such as `cgru.losses.sampled`,
    `backward` and `compute_gradients`, and `optimizer.step(layer)`, which changes the rows of these classes alone. For
    a `Network`, and to score all classes, `dense()` makes a `Dense` of it. Letters: m samples, n inputs, c chosen
    classes.

    Args:
        classes: k, how many classes there are.
        features: n, the width of the inputs.
        table: W itself, which is then shared and changed in place: that of an embedding of the same items, say. None:
            it is drawn.
        initialization: `f(shape, rng)` that draws W, or the name of one of cgru's.
        dtype: float64 or float32; None: that of the table, else float64.
        rng: a Generator, a seed or None, kept as `np_rng`.

    Attributes:
        p: W (k, n), a row for each class, and b (k,), zero at first.
        g: dW and db, the `RowGradients` of the chosen classes, after `compute_gradients`.
        o: the optimizer's state.
        trainable: whether `optimizer.step(layer)` changes the layer.

    Raises:
        TypeError, ValueError: an argument is invalid.

    Examples:
        >>> layer = cgru.SampledDense(1000, 5, rng=0)
        >>> A = np.random.default_rng(0).standard_normal((2, 5))
        >>> Z = layer.forward(A, [7, 3, 999])  # the targets of both samples, and one class more
        >>> loss, dZ = cgru.losses.sampled(Z)
        >>> layer.backward(dZ).shape
        (2, 5)
        >>> layer.compute_gradients()
        >>> layer.g["dW"].rows.tolist()
        [7, 3, 999]
        >>> cgru.Adagrad(0.1).step(layer)
        >>> np.allclose(layer.dense("identity").predict(A)[:, 7], layer.forward(A, [7])[:, 0])
        True
    """

    def __init__(
        self,
        classes: int,
        features: int,
        table: np.ndarray | None = None,
        initialization: initializers.Initializer | str = initializers.xavier,
        *,
        dtype: DTypeLike | None = None,
        rng: np.random.Generator | int | None = None,
    ) -> None:
        shape = positive(classes, "classes"), positive(features, "features")
        given = np.float64 if table is None else getattr(table, "dtype", np.float64)
        dtype = float_dtype(given if dtype is None else dtype)
        self.np_rng, self.trainable = generator(rng), True
        if table is None:
            draw = initializers.named(initialization, "initialization")
            W = np.array(real(draw(shape, rng=self.np_rng), "initialization", shape), dtype, order="C")
        elif real(table, "table", shape, dtype) is not table or not table.flags.carray:
            raise ValueError(f"table: expected a writable array of {dtype} in C order, to share it")
        else:
            W = table
        self.p = {"W": W, "b": np.zeros(shape[0], dtype)}
        self.g: dict[str, Any] = {}
        self.o: dict[str, Any] = {}
        self._last: tuple[Any, ...] | None = None
        self._dZ: np.ndarray | None = None

    def __repr__(self) -> str:
        k, n = self.p["W"].shape
        return f"SampledDense(classes={k}, features={n}, dtype={self.p['W'].dtype.name})"

    def forward(self, A: ArrayLike, classes: ArrayLike) -> np.ndarray:
        """Return the scores A W[classes]^T + b[classes] (m, c) of the chosen classes.

        Args:
            A: (m, n) the inputs.
            classes: (c,) integers from 0 to k - 1. The same class may come several times; its gradients are summed.

        Returns:
            The scores (m, c), before any activation.

        Raises:
            TypeError, ValueError: an argument is invalid.
        """
        W, b = self.p["W"], self.p["b"]
        A, classes = real(A, "A", dtype=W.dtype), integers(classes, "classes")
        if A.ndim != 2 or A.shape[1] != W.shape[1] or not len(A):
            raise ValueError(f"A: expected shape (m, {W.shape[1]}), got {A.shape}")
        if classes.ndim != 1 or not classes.size or classes.min() < 0 or classes.max() >= len(W):
            got = classes.shape if classes.ndim != 1 or not classes.size else (classes.min(), classes.max())
            raise ValueError(f"classes: expected (c,) integers from 0 to {len(W) - 1}, got {got}")
        rows = W.take(classes, axis=0)
        self._last, self._dZ = (A, classes, rows), None
        return Linear(rows.T, b[classes][None]).outputs(A)

    def backward(self, dZ: ArrayLike) -> np.ndarray:
        """Return the gradient of the inputs of the last `forward`.

        Args:
            dZ: (m, c) the gradient of the scores.

        Returns:
            dL/dA (m, n).

        Raises:
            RuntimeError: there was no `forward`.
            TypeError, ValueError: dZ does not fit it.
        """
        if self._last is None:
            raise RuntimeError("backward: expected a forward before it")
        A, classes, rows = self._last
        self._dZ = real(dZ, "dZ", (len(A), len(classes)), rows.dtype)
        return Linear(rows).outputs(self._dZ)

    def compute_gradients(self) -> None:
        """Compute the gradients `g` for the classes of the last `forward`, summed over samples.

        Raises:
            RuntimeError: there was no `backward` after the last `forward`.
        """
        if self._last is None or self._dZ is None:
            raise RuntimeError("compute_gradients: expected a backward after the last forward")
        A, classes, _ = self._last
        values = linear_gradients(self._dZ[None], A[None])[0][0]
        self.g = {
            "dW": RowGradients(classes, values),
            "db": RowGradients(classes, self._dZ.sum(axis=0)),
        }

    def dense(self, activate: Any = "softmax") -> Dense:
        """Return a `Dense` layer for all classes, with copies of the weights.

        Args:
            activate: its activation.

        Returns:
            The layer.
        """
        k, n = self.p["W"].shape
        layer = Dense(k, activate, dtype=self.p["W"].dtype)
        layer.make(np.empty((1, n), self.p["W"].dtype))
        layer.p |= {"W": np.ascontiguousarray(self.p["W"].T), "b": self.p["b"][None].copy()}
        return layer
