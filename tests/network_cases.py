"""What the tests of networks share: samples with something to learn, small networks, their weights."""

import numpy as np

import cgru
from cgru import reference

RNG = np.random.default_rng(0)
M, S, E = 24, 6, 3
X = RNG.standard_normal((M, S, E))
LENGTHS = RNG.integers(1, S + 1, M)
LABELS = np.arange(M) % 3
X[range(M), 0, LABELS] += 3  # so that there is something to learn, also for samples of one step
REALS = RNG.standard_normal((M, 2))


def padded(X, lengths, value):
    """X with `value` past the lengths."""
    return np.where(reference.mask(lengths, X.shape[1]), X, value)


def make(units=2, seed=0):
    """For a grid, also in other processes, which find it by the name of this module."""
    return cgru.Network([cgru.GRU(units), cgru.Dense(3, cgru.softmax)], seed=seed)


def made(head=None, dtype=np.float64, units=5, stack=1, seed=1, **options):
    head = cgru.Dense(3, cgru.softmax, dtype=dtype) if head is None else head
    below = [cgru.GRU(units, sequences=True, dtype=dtype) for _ in range(stack - 1)]
    return cgru.Network([*below, cgru.GRU(units, dtype=dtype), head], seed=seed, **options)


def weights(net):
    return {f"{i}.{name}": array.copy() for i, layer in enumerate(net.layers) for name, array in layer.p.items()}


def same(a, b):
    return list(a) == list(b) and all(np.array_equal(a[key], b[key]) for key in a)
