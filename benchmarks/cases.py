"""One shape in one dtype, the same for every rival: random parameters, input and gradient from above."""

from __future__ import annotations

import numpy as np

import cgru
from benchmarks.shapes import Shape

LRATE = 1e-6  # so small that the parameters stay where they are through thousands of steps


class Case:
    """What a rival is made from.

    Args:
        shape: m, s, e, u, and whether the samples have lengths of their own.
        dtype: "float64" or "float32".
        lrate: learning rate of a training step.
        p: parameters that take the place of random ones.

    Attributes:
        X: (m, s, e); what stands past a sample's length is random too.
        dA: (m, s, u), dL/dA; zero past a sample's length.
        lengths: (m,) integers from 1 to s, at least one of them s, or None.
        mask: (m, s, 1) booleans, which steps are real, or None.
    """

    def __init__(self, shape: Shape, dtype: str, lrate: float = LRATE, p: dict[str, np.ndarray] | None = None) -> None:
        self.shape, self.dtype, self.lrate = shape, dtype, lrate
        m, s, e, u, ragged = shape
        rng = np.random.default_rng(0)
        layer = cgru.GRU(u, rng=rng)
        layer.compute_shapes(np.empty((m, s, e)))
        layer.initialize_parameters()
        for name in ("bz", "br", "bhh"):
            layer.p[name] = 0.1 * rng.standard_normal(layer.p[name].shape)
        self.p = {name: value.astype(dtype) for name, value in layer.p.items()} | (p or {})
        self.X = rng.standard_normal((m, s, e), np.float32).astype(dtype)
        self.dA = rng.standard_normal((m, s, u), np.float32).astype(dtype)
        self.lengths = self.mask = None
        if ragged:
            self.lengths = rng.integers(1, s + 1, m)
            self.lengths[rng.integers(m)] = s
            self.mask = (np.arange(s) < self.lengths[:, None])[:, :, None]
            self.dA *= self.mask

    def parameters(self) -> dict[str, np.ndarray]:
        """Copies of the parameters, for a rival that changes its own."""
        return {name: value.copy() for name, value in self.p.items()}

    def joined(self, kind: str, gates: tuple[str, ...]) -> np.ndarray:
        """The parameters of one kind, `U`, `V` or `b`, side by side in a rival's order of the gates."""
        return np.hstack([self.p[kind + gate] for gate in gates])

    def flop(self, work: str) -> float:
        """That of the shape's forward pass as far as its steps are real; a training step is three times that."""
        real = 1.0 if self.lengths is None else self.lengths.sum() / (self.shape.m * self.shape.s)
        return (3 if work == "training" else 1) * self.shape.flop * float(real)
