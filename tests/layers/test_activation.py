"""Activation: the functions of cgru.activations, by steps, padded, in networks."""

import numpy as np
import pytest
from helpers import assert_close

import cgru
from cgru.activations import NAMED, bind

RNG = np.random.default_rng(0)
SIZES = [(1, 1, 1), (7, 3, 17), (17, 5, 33), (2, 9, 7)]


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("shape", [*SIZES, (7, 33)])
@pytest.mark.parametrize("name", NAMED)
@pytest.mark.pairwise
def test_forward_and_back(name, shape, dtype):
    X, dA = 2 * RNG.standard_normal((2, *shape)).astype(dtype)
    tuning = {"LRELU_alpha": 0.2, "ELU_alpha": 0.7, "softmax_temperature": 1.5}
    layer, f = cgru.Activation(name, tuning), bind(NAMED[name], tuning)
    tolerance = 1e-13 if dtype == np.float64 else 1e-6
    for A in (layer.forward(X), layer.predict(X)):
        assert A.dtype == dtype
        assert_close(A, f(X), tolerance)
    D = f(X.astype(np.float64), deriv=True)
    due = dA * D if D.ndim == X.ndim else (dA[..., None, :] @ D)[..., 0, :]
    dX = layer.backward(dA)
    assert dX.dtype == dtype
    assert_close(dX, due, 1e-12 if dtype == np.float64 else 1e-5)


def test_a_callable_of_ones_own():
    def cube(x, deriv=False):
        return 3 * x**2 if deriv else x**3

    X = RNG.standard_normal((3, 4, 2))
    layer = cgru.Activation(cube)
    np.testing.assert_array_equal(layer.forward(X), X**3)
    np.testing.assert_array_equal(layer.backward(np.ones_like(X)), 3 * X**2)
    assert repr(layer) == "Activation(cube)"
