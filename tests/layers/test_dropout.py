"""Dropout: its masks, and when it is on."""

import numpy as np
import pytest
from helpers import refuses

import cgru

RNG = np.random.default_rng(0)
X = RNG.standard_normal((5, 40, 30)) + 5  # never zero


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("shape", [(5, 40, 30), (200, 30)])
def test_drops_at_its_rate_and_keeps_the_mean(dtype, shape):
    layer = cgru.Dropout(0.3, rng=1)
    A = X.reshape(-1)[: np.prod(shape)].reshape(shape).astype(dtype)
    out = layer.forward(A)
    assert out.dtype == dtype
    assert (out == 0).mean() == pytest.approx(0.3, abs=0.02)
    np.testing.assert_allclose(out[out != 0], A[out != 0] / 0.7, rtol=1e-6)
    dA = RNG.standard_normal(shape).astype(dtype)
    dX = layer.backward(dA)
    np.testing.assert_array_equal(dX, dA * layer.fc["mask"])
    assert dX.dtype == dtype
    assert not np.array_equal(layer.forward(A), out)  # a new mask a call
    assert len(layer.d) == len(shape)


def test_on_in_forward_and_off_in_predict():
    layer = cgru.Dropout(0.5, rng=1)
    np.testing.assert_array_equal(layer.predict(X), X)
    assert not np.array_equal(layer.forward(X), X)
    layer.training = False
    np.testing.assert_array_equal(layer.forward(X), X)
    np.testing.assert_array_equal(layer.backward(X), X)
    np.testing.assert_array_equal(cgru.Dropout(0.0).forward(X), X)


def test_a_mask_that_is_handed_in():
    layer, other = cgru.Dropout(0.5, rng=1), cgru.Dropout(0.5, rng=2)
    A = layer.forward(X)
    other.mask = layer.fc["mask"]
    np.testing.assert_array_equal(other.forward(X), A)
    other.mask = np.arange(30) % 2
    np.testing.assert_array_equal(other.forward(X), X * (np.arange(30) % 2))
    for wrong in (np.ones((5, 40, 2)), np.ones((2, 5, 40, 30))):
        other.mask = wrong
        with refuses(ValueError, "mask"):
            other.forward(X)
    other.mask = None
    assert not np.array_equal(other.forward(X), A)
