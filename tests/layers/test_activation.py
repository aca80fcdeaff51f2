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


@pytest.mark.parametrize("name", NAMED)
def test_padding_is_zero_and_not_looked_at(name):
    X, lengths = RNG.standard_normal((3, 4, 2)), np.array([4, 1, 2])
    real = (np.arange(4) < lengths[:, None])[:, :, None]
    layer = cgru.Activation(name)
    A = layer.forward(np.where(real, X, np.nan), lengths)
    np.testing.assert_array_equal(A, np.where(real, layer.predict(X), 0))
    dX = layer.backward(np.where(real, np.ones_like(X), np.nan))
    assert not np.where(real, 0, dX).any()


def test_a_callable_of_ones_own():
    def cube(x, deriv=False):
        return 3 * x**2 if deriv else x**3

    X = RNG.standard_normal((3, 4, 2))
    layer = cgru.Activation(cube)
    np.testing.assert_array_equal(layer.forward(X), X**3)
    np.testing.assert_array_equal(layer.backward(np.ones_like(X)), 3 * X**2)
    assert repr(layer) == "Activation(cube)"


def test_in_a_network(tmp_path):
    X, y = RNG.standard_normal((9, 5, 3)), np.arange(9) % 2
    layers = [
        cgru.Activation("elu", {"ELU_alpha": 0.5}),
        cgru.GRU(4, sequences=True),
        cgru.Activation("tanh"),
        cgru.Pool(),
        cgru.Dense(2, "softmax"),
    ]
    net = cgru.Network(layers, seed=0)
    history = net.fit(X, y, epochs=3)
    assert np.isfinite(history.loss).all()
    net.save(tmp_path / "net.npz")
    again = cgru.load(tmp_path / "net.npz")
    np.testing.assert_array_equal(again.predict(X), net.predict(X))
    assert again.layers[0].se_hPars == {"ELU_alpha": 0.5}


def test_refused():
    with pytest.raises(ValueError, match=r"^activate: expected"):
        cgru.Activation("gelu")
    with pytest.raises(ValueError, match=r"^A: expected"):
        cgru.Activation("relu").predict(np.zeros(3))
    layer = cgru.Activation(lambda x, deriv=False: np.ones((2, 2, 2, 2)) if deriv else x)
    layer.forward(np.zeros((2, 3)))
    with pytest.raises(ValueError, match=r"^activate: expected derivatives"):
        layer.backward(np.zeros((2, 3)))
