"""Sequences for the tests of the estimators."""

import numpy as np

SMALL = {"units": 8, "epochs": 20, "inputs": "raw"}
FEW = {"units": 4, "budget": 0, "random_state": 0}


def waves(m=60, s=12, e=2, seed=0):
    """Sequences (m, s, e), and whether the first feature rises before it falls."""
    rng = np.random.default_rng(seed)
    up = rng.integers(0, 2, m)
    X = 0.3 * rng.standard_normal((m, s, e))
    X[:, :, 0] += np.where(up[:, None], 1, -1) * np.sin(np.arange(s) * 2 * np.pi / s)
    return X, np.where(up, "up", "down")
