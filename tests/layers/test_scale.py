"""Scale: its numbers and gradients, padding, and a network with it."""

import numpy as np
import pytest
from helpers import assert_close

import cgru

RNG = np.random.default_rng(0)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("shape", [(1, 1, 1), (7, 3, 17), (17, 5, 33), (7, 33)])
def test_forward_and_back(shape, dtype):
    X, dA = RNG.standard_normal((2, *shape)).astype(dtype)
    scale, shift = RNG.standard_normal((2, shape[-1])).astype(dtype)
    layer = cgru.Scale(scale, shift, dtype=dtype)
    assert layer.features == shape[-1]
    for A in (layer.forward(X), layer.predict(X)):
        assert A.dtype == dtype
        np.testing.assert_array_equal(A, X * scale + shift)
    np.testing.assert_array_equal(layer.backward(dA), dA * scale)
    layer.compute_gradients()
    axes = tuple(range(X.ndim - 1))
    tolerance = 1e-12 if dtype == np.float64 else 1e-5
    assert_close(layer.g["dscale"], (dA * X).sum(axis=axes)[None], tolerance)
    assert_close(layer.g["dshift"], dA.sum(axis=axes)[None], tolerance)


def test_one_of_the_two():
    np.testing.assert_array_equal(cgru.Scale([2, 3]).p["shift"], [[0, 0]])
    np.testing.assert_array_equal(cgru.Scale(shift=[[2, 3]]).p["scale"], [[1, 1]])
    assert cgru.Scale(np.ones(2), dtype=np.float32).p["scale"].dtype == np.float32
