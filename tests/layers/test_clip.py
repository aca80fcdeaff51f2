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


def test_padding_is_zero():
    layer, lengths = cgru.Clip(2, 3), np.array([1, 2])
    A = layer.forward(np.zeros((2, 2, 1)), lengths)
    np.testing.assert_array_equal(A[:, :, 0], [[2, 0], [2, 2]])


def test_in_a_network(tmp_path):
    X = RNG.standard_normal((6, 5, 3))
    net = cgru.Network([cgru.Clip(-1, 1), cgru.GRU(4, sequences=True), cgru.Clip(high=0.1), cgru.Dense(2, "softmax")])
    net.fit(X, np.zeros((6, 5), int), epochs=2)
    net.save(tmp_path / "net.npz")
    again = cgru.load(tmp_path / "net.npz")
    np.testing.assert_array_equal(again.predict(X), net.predict(X))
    assert [repr(layer) for layer in again.layers] == [repr(layer) for layer in net.layers]


@pytest.mark.parametrize(
    ("bounds", "error", "words"),
    [
        ((np.nan,), ValueError, "^low: expected a finite number or None, got nan"),
        ((None, np.inf), ValueError, "^high: expected a finite number"),
        ((1, 0), ValueError, "^high: expected at least low, 1, got 0"),
        (("0",), TypeError, "^low: expected a number or None, got str"),
        ((True,), TypeError, "^low: expected a number or None, got bool"),
    ],
)
def test_refused(bounds, error, words):
    with pytest.raises(error, match=words):
        cgru.Clip(*bounds)
