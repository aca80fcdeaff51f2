"""Initializers of weights: `f(shape, rng)` returns a float64 array of that shape.

The draws of `orthogonal` and `xavier` are those of EpyNN's initializers of the same name, so that the same generator
gives the same weights.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from cgru.core import names

__all__ = ["orthogonal", "standard_normal", "xavier"]

Initializer = Callable[..., np.ndarray]


def orthogonal(shape: tuple[int, int], rng: np.random.Generator) -> np.ndarray:
    """A matrix of `shape` with orthonormal columns (rows, where there are fewer rows than columns).

    The Q of a standard-normal draw, each column's sign fixed by the diagonal of R, so that Q is spread evenly over
    all such matrices (Mezzadri, "How to generate random matrices from the classical compact groups", 2007).
    """
    W = rng.standard_normal(shape)
    wide = shape[0] < shape[1]
    Q, R = np.linalg.qr(W.T if wide else W)
    Q *= np.sign(np.diagonal(R))
    return Q.T if wide else Q


def xavier(shape: tuple[int, int], rng: np.random.Generator) -> np.ndarray:
    """Normal draws of standard deviation sqrt(2 / (rows + columns)) (Glorot and Bengio, 2010)."""
    return rng.standard_normal(shape) * np.sqrt(2 / sum(shape))


def standard_normal(shape: tuple[int, int], rng: np.random.Generator) -> np.ndarray:
    """Normal draws of mean 0 and deviation 1, as PyTorch's `nn.Embedding` has them."""
    return rng.standard_normal(shape)


NAMED: dict[str, Initializer] = {f.__name__: f for f in (orthogonal, xavier, standard_normal)}


def named(value: Any, argument: str) -> Initializer:
    """`value`, a callable, or the function of this module that it names; TypeError or ValueError for anything else."""
    return names.named(value, argument, NAMED)
