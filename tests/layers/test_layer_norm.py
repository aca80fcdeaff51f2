"""LayerNorm: its numbers and gradients, padding, a network with it, and what it refuses."""

import numpy as np
import pytest
from helpers import assert_close, refuses

import cgru

RNG = np.random.default_rng(0)
TOLERANCE = {np.float32: 1e-5, np.float64: 1e-12}


def layer_of(n, dtype, eps=1e-5):
    layer = cgru.LayerNorm(eps, dtype=dtype)
    scale, shift = RNG.standard_normal((2, 1, n)).astype(dtype)
    layer.p |= {"scale": scale, "shift": shift}
    return layer


def due_of(X, layer):
    """Row by row, as the equation says."""
    rows = []
    for x in X.reshape(-1, X.shape[-1]).astype(np.float64):
        rows.append((x - x.mean()) / np.sqrt(x.var() + layer.eps) * layer.p["scale"][0] + layer.p["shift"][0])
    return np.reshape(rows, X.shape)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("shape", [(1, 1, 1), (7, 3, 17), (17, 5, 33), (7, 33)])
@pytest.mark.parametrize("eps", [1e-5, 0.5])
def test_forward(shape, dtype, eps):
    layer, X = layer_of(shape[-1], dtype, eps), RNG.standard_normal(shape).astype(dtype) + 3
    assert layer.features == shape[-1]
    for A in (layer.forward(X), layer.predict(X)):
        assert A.dtype == dtype
        assert_close(A, due_of(X, layer), TOLERANCE[dtype])


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_offsets_and_constants(dtype):
    """No digit is lost at a large offset beyond those that the dtype lost; equal features are the shift."""
    layer, X = layer_of(16, dtype), RNG.standard_normal((5, 16)).astype(dtype) + dtype(1000)
    assert_close(layer.predict(X), due_of(X, layer), TOLERANCE[dtype])
    np.testing.assert_array_equal(layer.predict(np.full((1, 16), 3, dtype)), layer.p["shift"])


def test_numbers_of_one_s_own():
    scale, shift = np.array([2.0, 3]), np.array([1.0, -1])
    layer = cgru.LayerNorm.of(scale, shift, 0.5)
    np.testing.assert_array_equal(layer.p["scale"], [[2, 3]])
    np.testing.assert_array_equal(cgru.LayerNorm.of(scale, None, 0.5).p["shift"], [[0, 0]])
    scale[0] = 7
    assert layer.p["scale"][0, 0] == 2
    with refuses(ValueError, "p['shift']"):
        cgru.LayerNorm.of(scale, np.ones(3), 0.5)
