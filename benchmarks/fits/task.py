"""What is fitted: choices between two arms of a bandit, in nested cross-validation, by networks of several sizes."""

from __future__ import annotations

from functools import cache
from itertools import product
from typing import NamedTuple

import numpy as np

import cgru

RATE, L1 = 3e-2, 1e-4  # of Adam, and of the penalty on the recurrent matrices
EPSILON = 1e-5  # of Adam: so large that rounding makes no step of another sign, and work is compared


class Name(NamedTuple):
    """Which fit."""

    u: int
    seed: int
    outer: int
    inner: int


class Fold(NamedTuple):
    """Which sessions, integers (n,)."""

    train: np.ndarray
    validation: np.ndarray
    test: np.ndarray


class Task(NamedTuple):
    """Folds of 6 of the 62 sessions: 50 to train on, one batch, 6 to validate with, 6 to test on."""

    sizes: tuple[int, ...] = (1, 2, 3, 4, 5, 10, 20)
    seeds: int = 3
    outer: int = 10
    sessions: int = 62
    shortest: int = 30  # steps of a session
    longest: int = 150
    epochs: int = 100
    patience: int = 10

    def names(self, *sizes: int) -> list[Name]:
        """All fits of these sizes, or of all; of one size those of different folds first."""
        folds = range(self.seeds), range(self.outer - 1), range(self.outer)
        return [Name(u, seed, outer, inner) for u in sizes or self.sizes for seed, inner, outer in product(*folds)]

    def data(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """X (m, s, 3): the choice before, one-hot, and its reward; y (m, s): the choice; lengths (m,)."""
        return _data(self)

    def fold(self, name: Name) -> Fold:
        """The sessions of a fit; those that make no whole fold are always trained on."""
        order = np.random.default_rng(1).permutation(self.sessions)
        parts = order[: self.sessions - self.sessions % self.outer].reshape(self.outer, -1)
        test = parts[name.outer]
        validation = np.delete(parts, name.outer, axis=0)[name.inner]
        return Fold(np.setdiff1d(order, [*test, *validation]), np.sort(validation), np.sort(test))

    def options(self) -> dict:
        """Of `Network.fit`."""
        penalties = cgru.Penalties({"0.V*": L1})
        return {"epochs": self.epochs, "patience": self.patience, "batch_size": self.sessions, "penalties": penalties}

    def job(self, name: Name, **options: object) -> cgru.Job:
        """With other `options` where they are given; its network is made when its turn comes."""
        fold = self.fold(name)
        rows = {"rows": fold.train, "validation_rows": fold.validation}
        return cgru.Job(Maker(name), name, **rows | self.options() | options)


class Maker(NamedTuple):
    """Makes the network of a fit."""

    name: Name

    def __call__(self) -> cgru.Network:
        layers = [cgru.GRU(self.name.u, sequences=True, reset_after=True), cgru.Dense(2, "softmax")]
        adam = cgru.Adam(RATE, epsilon=EPSILON)
        return cgru.Network(layers, optimizer=adam, seed=self.name.seed, dtype="float32")


@cache
def _data(task: Task) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Whoever chooses learns two values by their rewards, whose chances change places now and then."""
    rng = np.random.default_rng(0)
    m, s = task.sessions, task.longest
    lengths = rng.integers(task.shortest, s + 1, m)
    X, y = np.zeros((m, s, 3), np.float32), np.zeros((m, s), np.int64)
    value, better = np.full((m, 2), 0.5), rng.integers(0, 2, m)
    for step in range(s):
        y[:, step] = rng.random(m) < 1 / (1 + np.exp(6 * (value[:, 0] - value[:, 1])))
        reward = rng.random(m) < np.where(y[:, step] == better, 0.8, 0.2)
        chosen = np.arange(m), y[:, step]
        value[chosen] += 0.4 * (reward - value[chosen])
        better ^= rng.random(m) < 0.04
        if step + 1 < s:
            X[:, step + 1, :2] = np.eye(2)[y[:, step]]
            X[:, step + 1, 2] = reward
    return X, y, lengths
