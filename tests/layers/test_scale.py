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


def test_padding_is_zero_and_not_looked_at():
    X, lengths = RNG.standard_normal((3, 4, 2)), np.array([4, 1, 2])
    real = (np.arange(4) < lengths[:, None])[:, :, None]
    layer = cgru.Scale([2, 3], [1, 1])
    A = layer.forward(np.where(real, X, np.nan), lengths)
    np.testing.assert_array_equal(A, np.where(real, X * [2, 3] + 1, 0))
    layer.backward(np.where(real, np.ones_like(X), np.nan))
    layer.compute_gradients()
    np.testing.assert_array_equal(layer.g["dshift"], [[7, 7]])


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_in_a_network(tmp_path, dtype):
    """Wherever it stands, with no numbers of its own at first."""
    X, y = RNG.standard_normal((9, 5, 3)).astype(dtype), np.arange(9) % 2
    layers = [
        cgru.Scale(),
        cgru.GRU(4, sequences=True),
        cgru.Scale(),
        cgru.Pool(),
        cgru.Scale(),
        cgru.Dense(2, "softmax"),
    ]
    net = cgru.Network(layers, seed=0, dtype=dtype)
    net.fit(X, y, epochs=3, standardize=True)
    assert all((layer.p["scale"] != 1).any() for layer in net.layers[::2][:2])
    net.save(tmp_path / "net.npz")
    again = cgru.load(tmp_path / "net.npz")
    np.testing.assert_array_equal(again.predict(X), net.predict(X))
    assert again.predict(X).dtype == dtype
    fixed = net.layers[2]
    fixed.trainable, before = False, fixed.p["scale"].copy()
    net.fit(X, y, epochs=2)
    np.testing.assert_array_equal(fixed.p["scale"], before)


def test_one_of_the_two():
    np.testing.assert_array_equal(cgru.Scale([2, 3]).p["shift"], [[0, 0]])
    np.testing.assert_array_equal(cgru.Scale(shift=[[2, 3]]).p["scale"], [[1, 1]])
    assert cgru.Scale(np.ones(2), dtype=np.float32).p["scale"].dtype == np.float32


def test_refused():
    for given in ([[1], [2]], np.zeros((1, 1, 2)), []):
        with pytest.raises(ValueError, match=r"^scale: expected a number for each feature"):
            cgru.Scale(given)
    with pytest.raises(ValueError, match=r"^shift: expected a number for each feature, .* got \(1, 3\)"):
        cgru.Scale([1, 2], [1, 2, 3])
    with pytest.raises(TypeError, match=r"^scale: expected real numbers"):
        cgru.Scale(["a"])
    with pytest.raises(ValueError, match=r"^A: expected shape \(m, s, 2\), the numbers of scale, got \(1, 1, 3\)"):
        cgru.Scale([1, 2]).predict(np.zeros((1, 1, 3)))
    with pytest.raises(RuntimeError, match="compute_shapes"):
        cgru.Scale().initialize_parameters()
    layer = cgru.Scale([1, 2])
    layer.p["shift"] = np.zeros((1, 3))
    with pytest.raises(ValueError, match=r"^p\['shift'\]: expected shape"):
        layer.predict(np.zeros((1, 1, 2)))
    with pytest.raises(ValueError, match="parameters for 4 features in layer 1, got 2"):
        cgru.Network([cgru.GRU(4), cgru.Scale([1, 2])])
