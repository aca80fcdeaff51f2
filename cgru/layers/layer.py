"""What the layers in plain NumPy share, and with it the interface by which a network knows a layer.

m samples, s steps, n numbers that come in and u units that go out at each of them. Where A (m, s, n) comes with
`lengths` (m,), the steps past a sample's length are no part of it: whatever stands there is not looked at, and zeros
come out, forwards and backwards.
"""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from cgru.core.checks import generator, lengths_of, real
from cgru.parameters import gru_update_parameters
from cgru.core.lengths import mask

__all__ = ["Layer", "flat", "floats", "unflat", "unpadded"]

Arrays = dict[str, np.ndarray]
Shape = tuple[int | str, ...]  # a letter where a dimension is not known


class Layer:
    """A layer without anything to train: the dicts of the contract, the calls that do nothing, one thread at a time.

    A network calls `compute_shapes(A)`, `initialize_parameters()`, `forward(A, lengths)`, `predict(A, lengths)`,
    `backward(dX)` and `compute_gradients()`, asks `output_shape(shape)`, and reads `p, g, d, fc, bc, trainable`.
    """

    dtype: np.dtype  # of a layer that has one; others keep that of their input

    def __init__(self, rng: np.random.Generator | int | None = None) -> None:
        self.d: dict[str, int] = {}
        self.np_rng = generator(rng)
        self._own_rng = rng is not None  # a network gives its own generator to the layers that were given none
        self.trainable = False
        self.fs: dict[str, tuple[int, ...]] = {}
        self.bs: dict[str, tuple[int, ...]] = {}
        self.p: Arrays = {}
        self.fc: Arrays = {}
        self.bc: Arrays = {}
        self.g: Arrays = {}
        self.o: dict[str, Any] = {}
        self._went_back = False  # since the last forward
        self._real: np.ndarray | None = None  # the real steps of the last forward (m, s, 1); None: all
        self._lock = threading.RLock()

    def __getstate__(self) -> dict[str, Any]:
        """The layer's attributes, for pickle and copy."""
        return {name: value for name, value in vars(self).items() if name != "_lock"}

    def __setstate__(self, state: dict[str, Any]) -> None:
        """Take over what `__getstate__` gave."""
        vars(self).update(state)
        self._lock = threading.RLock()

    def output_shape(self, shape: Shape) -> Shape:
        """The shape of what comes out where an input of `shape` goes in; ValueError for one that it does not take."""
        return shape

    def compute_shapes(self, A: np.ndarray) -> None:
        """Set the dimensions `d`, letter by letter, and the shape of X in `fs`."""
        for letter in "msn":
            self.d.pop(letter, None)
        self.d |= zip("msn" if A.ndim == 3 else "mn", A.shape, strict=True)
        self.fs["X"] = A.shape

    def initialize_parameters(self) -> None:
        """There are no parameters."""

    def compute_gradients(self) -> None:
        """There are no gradients of parameters."""

    def update_parameters(self) -> None:
        """`p[name] -= lrate[e] * g['d' + name]`, in place, while `trainable`.

        See `cgru.parameters.gru_update_parameters`.
        """
        if self.trainable:
            gru_update_parameters(self)

    def update_shapes(self, cache: Mapping[str, np.ndarray], shapes: dict[str, tuple[int, ...]]) -> None:
        """`shapes[key] = cache[key].shape` for each key of `cache`."""
        shapes.update({key: value.shape for key, value in cache.items()})

    # --- for the layers built on it ---

    @contextlib.contextmanager
    def _alone(self, call: str) -> Iterator[None]:
        """Inside, no other thread is; an interrupt that cuts a call short does not lock out its own thread."""
        if not self._lock.acquire(blocking=False):
            raise RuntimeError(f"{call}: another thread is inside this layer; give each thread a layer of its own")
        try:
            yield
        finally:
            self._lock.release()

    def _ran(self, real: np.ndarray | None, **fc: np.ndarray) -> np.ndarray:
        """Keep what a forward made, and return its A."""
        self.compute_shapes(fc["X"])
        self._real, self._went_back = real, False
        self.fc.clear()
        self.fc |= fc
        self.update_shapes(self.fc, self.fs)
        return fc["A"]

    def _dA(self, dX: Any) -> np.ndarray:
        """The gradient that `backward` is given, zero where A is padding; RuntimeError before `forward`."""
        if "A" not in self.fc:
            raise RuntimeError("backward: expected forward to be called first")
        A = self.fc["A"]
        dA = real(dX, "dX", A.shape, A.dtype)
        return dA if self._real is None or dA.ndim == 2 else np.where(self._real, dA, A.dtype.type(0))

    def _back(self, **bc: np.ndarray) -> None:
        """Keep what a backward made."""
        self.bc.clear()
        self._went_back = True
        self.bc |= bc
        self.update_shapes(self.bc, self.bs)


def floats(A: Any, dtype: np.dtype | None = None) -> np.ndarray:
    """A (m, n) or (m, s, n), checked, no dimension 0, in `dtype`; None: floats as they are, integers in float64."""
    X = real(A, "A", dtype=dtype)
    if X.ndim not in (2, 3) or 0 in X.shape:
        raise ValueError(f"A: expected shape (m, n) or (m, s, n), at least one of each, got {X.shape}")
    return X if X.dtype.kind == "f" else X.astype(np.float64)


def unpadded(X: np.ndarray, lengths: Any) -> tuple[np.ndarray, np.ndarray | None]:
    """X with zeros past the lengths, and which of its steps are real, (m, s, 1); None where there are no lengths."""
    if lengths is None:
        return X, None
    if X.ndim != 3:
        raise ValueError(f"lengths: expected None for an input without steps, got them beside A of shape {X.shape}")
    steps = mask(lengths_of(lengths, *X.shape[:2]), X.shape[1])
    return np.where(steps, X, X.dtype.type(0)), steps


def flat(A: np.ndarray) -> np.ndarray:
    """A (m, n) as it is; (m, s, n) as (s m, n), with no copy where it lies time-major, as a GRU's arrays do."""
    return A if A.ndim == 2 else A.swapaxes(0, 1).reshape(-1, A.shape[2])


def unflat(rows: np.ndarray, like: np.ndarray) -> np.ndarray:
    """What `flat` made of an array with the samples and steps of `like`, back in place."""
    return rows if like.ndim == 2 else rows.reshape(like.shape[1], like.shape[0], -1).swapaxes(0, 1)
