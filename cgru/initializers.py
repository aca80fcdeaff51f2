"""Weight initializers: `f(shape, rng)` returns a float64 array of that shape.

`orthogonal` and `xavier` draw as EpyNN's initializers of the same name, so that the same generator gives the same
weights.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from cgru.core import checks

__all__ = ["draw", "orthogonal", "standard_normal", "xavier"]

Initializer = Callable[..., np.ndarray]


def orthogonal(shape: tuple[int, int], rng: np.random.Generator) -> np.ndarray:
    """Draw a matrix with orthonormal columns, or orthonormal rows if it has fewer rows than columns.

    It is the Q of a standard-normal draw. The diagonal of R fixes each column's sign, so that Q is uniform over all
    such matrices (Mezzadri, "How to generate random matrices from the classical compact groups", 2007).

    Args:
        shape: the rows and columns.
        rng: the generator that draws.

    Returns:
        A float64 array of that shape.

    Examples:
        >>> W = cgru.initializers.orthogonal((5, 3), np.random.default_rng(0))
        >>> np.allclose(W.T @ W, np.eye(3))
        True
    """
    return _orthonormal(rng.standard_normal(shape))


def _orthonormal(W: np.ndarray) -> np.ndarray:
    """Return the factor Q of each matrix of W (..., rows, columns), with the signs that `orthogonal` documents."""
    wide = W.shape[-2] < W.shape[-1]
    Q, R = np.linalg.qr(W.swapaxes(-1, -2) if wide else W)
    Q *= np.sign(R.diagonal(axis1=-2, axis2=-1))[..., None, :]
    return Q.swapaxes(-1, -2) if wide else Q


def draw(initialize: Initializer, shapes: Sequence[tuple[int, int]], rng: np.random.Generator) -> list[Any]:
    """Draw one matrix for each of the shapes, in their order.

    Orthogonal matrices of one shape are factorised together, which takes a fraction of the time where they are small.

    Args:
        initialize: the function `f(shape, rng=rng)` that draws one.
        shapes: the rows and columns of each.
        rng: the generator that draws.

    Returns:
        A list of the matrices.

    Examples:
        >>> made = cgru.initializers.draw(cgru.initializers.xavier, [(5, 3), (3, 3)], np.random.default_rng(0))
        >>> [W.shape for W in made]
        [(5, 3), (3, 3)]
    """
    if initialize is not orthogonal:
        return [initialize(shape, rng=rng) for shape in shapes]
    normal = [rng.standard_normal(shape) for shape in shapes]
    stacks = {due: iter(_orthonormal(np.array([W for W in normal if W.shape == due]))) for due in set(shapes)}
    return [next(stacks[shape]) for shape in shapes]


def xavier(shape: tuple[int, int], rng: np.random.Generator) -> np.ndarray:
    """Draw normal numbers with standard deviation sqrt(2 / (rows + columns)) (Glorot and Bengio, 2010).

    Args:
        shape: the rows and columns.
        rng: the generator that draws.

    Returns:
        A float64 array of that shape.

    Examples:
        >>> W = cgru.initializers.xavier((200, 300), np.random.default_rng(0))
        >>> W.shape, np.allclose(W.std(), np.sqrt(2 / 500), rtol=0.02)
        ((200, 300), True)
    """
    return rng.standard_normal(shape) * np.sqrt(2 / sum(shape))


def standard_normal(shape: tuple[int, int], rng: np.random.Generator) -> np.ndarray:
    """Draw standard normal numbers, the default of PyTorch's `nn.Embedding`.

    Args:
        shape: the rows and columns.
        rng: the generator that draws.

    Returns:
        A float64 array of that shape.

    Examples:
        >>> cgru.initializers.standard_normal((5, 3), np.random.default_rng(0)).shape
        (5, 3)
    """
    return rng.standard_normal(shape)


NAMED: dict[str, Initializer] = {f.__name__: f for f in (orthogonal, xavier, standard_normal)}


def named(value: Any, argument: str) -> Initializer:
    """Return `value` if it is a callable, else the initializer of that name; TypeError or ValueError for others."""
    return checks.named_callable(value, argument, NAMED)
