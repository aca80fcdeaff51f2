"""What is raced, and the data and first parameters of each kind, the same for every library."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

import cgru

RATE = 1e-3
EPSILON = 1e-3  # of Adam: so large that a rounding error of a gradient is no step of another sign, and work is compared
SPLIT = {"cross_entropy": "softmax", "binary_cross_entropy": "sigmoid", "mean_squared_error": "identity"}
EPOCH = 2e9  # flop of the layers in an epoch, which has one to four times
FEWEST = 32  # batches


class Kind(NamedTuple):
    """One kind of update: m samples a batch, s steps, e features, u units, k outputs after the last step or at `every`.

    `loss` as `cgru.Network` names it; k is 1 where it is binary.
    """

    m: int
    s: int
    e: int
    u: int
    k: int
    every: bool = False
    loss: str = "cross_entropy"
    layers: int = 1
    bidirectional: bool = False

    def __str__(self) -> str:
        words = [*map(str, self[:5]), "every step" if self.every else "last state"]
        if self.loss != "cross_entropy":
            words.append("binary" if "binary" in self.loss else "regression")
        if self.layers > 1:
            words.append(f"{self.layers} layers")
        return ", ".join(words + ["bidirectional"] * self.bidirectional)

    @property
    def flop(self) -> float:
        """Of the layers in an update, as `Case.flop` counts them."""
        ways = 1 + self.bidirectional
        inputs = self.e + (self.layers - 1) * self.u * ways
        return 3 * ways * 2.0 * self.m * self.s * 3 * self.u * (inputs + self.layers * self.u)


BINARY, REGRESSION = "binary_cross_entropy", "mean_squared_error"
KINDS = [
    Kind(32, 20, 8, 16, 9),
    Kind(50, 150, 3, 5, 2, every=True),
    Kind(27, 29, 12, 100, 9),
    Kind(64, 100, 32, 64, 10, every=True),
    Kind(8, 12, 4, 3, 2),
    Kind(100, 12, 6, 20, 1, loss=BINARY),
    Kind(64, 24, 5, 10, 1, every=True, loss=BINARY),
    Kind(16, 200, 8, 50, 1, loss=REGRESSION),
    Kind(32, 50, 10, 32, 3, every=True, loss=REGRESSION),
    Kind(8, 200, 16, 32, 5, every=True),
    Kind(100, 30, 40, 80, 4),
    Kind(16, 64, 24, 40, 6),
    Kind(32, 40, 16, 32, 6, layers=2),
    Kind(20, 100, 13, 40, 10, every=True, layers=2),
    Kind(27, 29, 12, 100, 9, bidirectional=True),
    Kind(32, 60, 20, 24, 5, every=True, bidirectional=True),
]
QUICK = [KINDS[0], KINDS[-1]]


class Job:
    """One kind in one dtype, with the data of an epoch.

    Attributes:
        batches: how many updates an epoch has.
        X: (batches m, s, e).
        y: integer classes or 0 and 1, (batches m,) or (batches m, s), for a regression reals with k beside.
    """

    def __init__(self, kind: Kind, dtype: str, batches: int | None = None) -> None:
        self.kind, self.dtype = kind, dtype
        self.batches = batches or FEWEST * int(min(4, max(1, EPOCH / FEWEST // kind.flop)))
        m, s, e, _, k = kind[:5]
        rng = np.random.default_rng(0)
        self.X = rng.standard_normal((self.batches * m, s, e), np.float32).astype(dtype)
        outputs = self.X.shape[: 1 + kind.every]
        if kind.loss == REGRESSION:
            self.y = rng.standard_normal((*outputs, k), np.float32).astype(dtype)
        else:
            self.y = rng.integers(0, max(2, k), outputs)

    def network(self, activate: str | None = None, reset_after: bool = False) -> cgru.Network:
        """A network of our layers; of one variant all have the same parameters, none of them zero."""
        kind, layers = self.kind, []
        for i in range(kind.layers):
            layer = cgru.GRU(kind.u, sequences=kind.every or i + 1 < kind.layers, reset_after=reset_after)
            layers.append(cgru.Bidirectional(layer) if kind.bidirectional else layer)
        head = cgru.Dense(kind.k, activate or SPLIT[kind.loss])
        adam = cgru.Adam(RATE, epsilon=EPSILON)
        net = cgru.Network([*layers, head], optimizer=adam, seed=0, dtype=self.dtype)
        net.make(self.X)
        rng = np.random.default_rng(1)
        for array in net.parameters().values():
            array += 0.1 * rng.standard_normal(array.shape)
        return net

    def orders(self) -> np.random.Generator:
        """What draws the order of the samples in an epoch."""
        return np.random.default_rng(2)
