"""Clip: its bounds, its derivative, padding, and a network with it."""

import numpy as np
import pytest

import cgru

RNG = np.random.default_rng(0)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize(
    ("low", "high"), [(None, None), (-0.5, None), (None, 0.25), (-0.5, 0.25), (1, 1), (1e-4, None)]
)
def test_forward_and_back(low, high, dtype):
    X, dA = RNG.standard_normal((2, 7, 5, 17)).astype(dtype)
    layer = cgru.Clip(low, high)
    due = X if low is None and high is None else np.clip(X, low, high)
    for A in (layer.forward(X), layer.predict(X)):
        assert A.dtype == dtype
        np.testing.assert_array_equal(A, due)
    dX = layer.backward(dA)
    assert dX.dtype == dtype
    np.testing.assert_array_equal(dX, np.where(due == X, dA, 0))
    assert np.isnan(layer.predict(np.full((1, 1, 1), np.nan))).all()
