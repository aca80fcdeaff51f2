"""Dropout: its masks, and when it is on."""

import copy
import pickle

import numpy as np
import pytest

import cgru

RNG = np.random.default_rng(0)
X = RNG.standard_normal((5, 40, 30)) + 5  # never zero
LENGTHS = np.array([40, 1, 7, 23, 40])
REAL = (np.arange(40) < LENGTHS[:, None])[:, :, None]


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


def test_padding_is_zero_and_not_looked_at():
    layer = cgru.Dropout(0.5, rng=1)
    dirty = np.where(REAL, X, np.nan)
    np.testing.assert_array_equal(layer.predict(dirty, LENGTHS), np.where(REAL, X, 0))
    out = layer.forward(dirty, LENGTHS)
    np.testing.assert_array_equal(out, np.where(REAL, X * layer.fc["mask"], 0))
    dX = layer.backward(np.where(REAL, np.ones_like(X), np.nan))
    np.testing.assert_array_equal(dX, np.where(REAL, layer.fc["mask"], 0))


def test_a_mask_that_is_handed_in():
    layer, other = cgru.Dropout(0.5, rng=1), cgru.Dropout(0.5, rng=2)
    A = layer.forward(X)
    other.mask = layer.fc["mask"]
    np.testing.assert_array_equal(other.forward(X), A)
    other.mask = np.arange(30) % 2
    np.testing.assert_array_equal(other.forward(X), X * (np.arange(30) % 2))
    for wrong in (np.ones((5, 40, 2)), np.ones((2, 5, 40, 30))):
        other.mask = wrong
        with pytest.raises(ValueError, match=r"^mask: expected a shape that broadcasts to \(5, 40, 30\)"):
            other.forward(X)
    other.mask = None
    assert not np.array_equal(other.forward(X), A)


def test_one_generator_gives_the_same_masks():
    first, second = (cgru.Dropout(0.5, rng=3) for _ in range(2))
    np.testing.assert_array_equal(first.forward(X), second.forward(X))
    twins = copy.deepcopy(first), pickle.loads(pickle.dumps(first))
    due = first.forward(X)
    for twin in twins:
        np.testing.assert_array_equal(twin.forward(X), due)


@pytest.mark.parametrize(
    ("rate", "error"),
    [(1, ValueError), (-0.1, ValueError), (np.nan, ValueError), ("0.5", TypeError), (True, TypeError)],
)
def test_refused_rates(rate, error):
    with pytest.raises(error, match=r"^rate: expected"):
        cgru.Dropout(rate)


def test_refused_calls():
    layer = cgru.Dropout()
    with pytest.raises(RuntimeError, match="forward"):
        layer.backward(X)
    for A in (X[0, 0], X[None], X[:0]):
        with pytest.raises(ValueError, match=r"^A: expected"):
            layer.forward(A)
    with pytest.raises(ValueError, match=r"^lengths: expected None"):
        layer.forward(X[:, 0], LENGTHS)
    layer.forward(X)
    with pytest.raises(ValueError, match=r"^dX: expected shape"):
        layer.backward(X[0])
    assert repr(layer) == "Dropout(0.5)"
