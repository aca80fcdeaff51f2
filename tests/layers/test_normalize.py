"""Normalize: against each sample's own mean and deviation, constants, and its shapes."""

import numpy as np
import pytest

import cgru
from cgru.core.lengths import mask

RNG = np.random.default_rng(0)
DTYPES = (np.float32, np.float64)


def normalized(x, keep):
    """The outputs of one sample (s, n), computed in float64; no feature of it is constant unless s is 1."""
    x = x.astype(np.float64)
    if len(x) == 1:
        parts = [0 * x, 0 * x, x]
    else:
        mean, deviation = x.mean(axis=0), x.std(axis=0)
        parts = [(x - mean) / deviation, np.tile(np.log(deviation), (len(x), 1)), np.tile(mean, (len(x), 1))]
    return np.concatenate(parts[: 3 if keep else 1], axis=1)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("keep", [True, False])
@pytest.mark.parametrize("n", [1, 7, 17, 33])
@pytest.mark.parametrize("s", [1, 7, 17, 33])
def test_values_are_those_of_each_sample(s, n, keep, dtype):
    layer, eps = cgru.Normalize(keep), np.finfo(dtype).eps
    X = (RNG.standard_normal((3, s, n)) * 10.0 ** RNG.integers(-3, 4, (3, 1, n)) + RNG.standard_normal(n)).astype(dtype)
    for lengths in (None, np.array([s, 1, max(1, s - 1)])):
        real = np.full(3, s) if lengths is None else lengths
        there = mask(real, s)
        dirty = np.where(there, X, np.nan).astype(dtype)
        A = layer.forward(dirty, lengths)
        np.testing.assert_array_equal(layer.predict(dirty, lengths), A)
        for a, x, k in zip(A, X, real, strict=True):
            np.testing.assert_allclose(a[:k], normalized(x[:k], keep), rtol=8 * eps, atol=1e4 * np.finfo(float).eps)
            assert not a[k:].any()
        dX = layer.backward(RNG.standard_normal(A.shape))
        assert not dX[~there[:, :, 0]].any()
        parts = 3 if keep else 1
        assert (A.shape, dX.shape, A.dtype, dX.dtype) == ((3, s, parts * n), X.shape, dtype, dtype)
        assert layer.d == {"m": 3, "s": s, "n": n}
        assert layer.fs == {"X": X.shape, "A": A.shape}
        assert layer.bs == {"dA": A.shape, "dX": X.shape}


@pytest.mark.parametrize("dtype", DTYPES)
def test_a_gradient_in_float32_is_summed_in_float64(dtype):
    """Over many steps at a large offset, where sums in float32 would lose all digits."""
    X = (RNG.standard_normal((2, 20_000, 1)) + 1000).astype(dtype)
    dA = (RNG.standard_normal((2, 20_000, 3)) + 100).astype(dtype)
    layer, due = cgru.Normalize(), cgru.Normalize()
    A, wanted = layer.forward(X), due.forward(X.astype(np.float64))
    np.testing.assert_array_equal(A, wanted.astype(dtype))
    np.testing.assert_array_equal(layer.backward(dA), due.backward(dA.astype(np.float64)).astype(dtype))


# --- constants ---


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("value", [0, 0.1, -3e7, 1e-30, 1e30])
def test_a_constant_becomes_zeros(value, dtype):
    """Its deviation counts as 1, and the gradient is that of the mean alone; the other feature is not touched."""
    X = RNG.standard_normal((2, 19, 2)).astype(dtype)
    X[:, :, 1] = value
    X[1, 9:] = np.nan
    layer, alone, lengths = cgru.Normalize(), cgru.Normalize(), [19, 9]
    A, other = layer.forward(X, lengths), alone.forward(X[:, :, :1], lengths)
    np.testing.assert_allclose(A[:, :, ::2], other, rtol=1e-12 if dtype == np.float64 else 1e-6)
    assert not A[:, :, [1, 3]].any()
    np.testing.assert_array_equal(A[:, :, 5], np.where(mask(np.array(lengths), 19)[:, :, 0], X[0, 0, 1], 0))
    dA = RNG.standard_normal(A.shape).astype(dtype)
    dX = layer.backward(dA)
    np.testing.assert_allclose(dX[:, :, :1], alone.backward(dA[:, :, ::2]), rtol=1e-5 if dtype == np.float32 else 1e-10)
    due = [dA[i, :k, 5].astype(np.float64).sum() / k for i, k in enumerate(lengths)]
    for d, k, mean in zip(dX, lengths, due, strict=True):
        np.testing.assert_allclose(d[:k, 1], mean, rtol=4 * np.finfo(dtype).eps)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("scale", [1, -1, 2.0**100, 2.0**-100])
def test_numbers_that_differ_by_rounding_are_constant(scale, dtype):
    """By at most 4 eps of the larger magnitude."""
    eps, layer = np.finfo(dtype).eps, cgru.Normalize()
    near, far = (np.array([[[1], [1 - k * eps], [1]]]) * scale for k in (4, 4.5))
    A = layer.predict(near.astype(dtype))
    assert not A[:, :, :2].any()
    np.testing.assert_allclose(A[:, :, 2], scale, rtol=1e-6)
    A = layer.predict(far.astype(dtype))
    np.testing.assert_allclose(A[0, :, 0] * np.sign(scale), [0.5**0.5, -(2**0.5), 0.5**0.5], rtol=1e-6)
    np.testing.assert_allclose(A[0, :, 1], np.log(4.5 * eps * abs(scale) * 2**0.5 / 3), rtol=1e-6)


def test_what_was_computed_in_two_ways_is_constant():
    assert not cgru.Normalize(keep=False).predict([[[0.3], [0.1 + 0.2]]]).any()


@pytest.mark.parametrize("size", [1e-300, 1e-170, 1e170, 1e300])
def test_no_square_overflows_or_underflows(size):
    X = RNG.standard_normal((2, 9, 3))
    A, due = cgru.Normalize().predict(X * size), cgru.Normalize().predict(X)
    np.testing.assert_allclose(A[:, :, :3], due[:, :, :3], rtol=1e-12)
    np.testing.assert_allclose(A[:, :, 3:6], due[:, :, 3:6] + np.log(size), rtol=1e-12)
    np.testing.assert_allclose(A[:, :, 6:], due[:, :, 6:] * size, rtol=1e-12, atol=1e-14 * size)


def test_a_large_offset_costs_no_digits_of_the_differences():
    X = RNG.integers(-4, 5, (3, 50, 2)) / 1024
    A, due = cgru.Normalize().predict(X + 2.0**32), cgru.Normalize().predict(X)
    np.testing.assert_allclose(A[:, :, 2:4], due[:, :, 2:4], rtol=1e-6)
    np.testing.assert_allclose(A[:, :, :2], due[:, :, :2], atol=1e-3)


@pytest.mark.parametrize("constant", [True, False])
def test_nan_comes_out_as_nan(constant):
    """Of its sample and feature alone."""
    X = np.full((2, 5, 2), 3.0) if constant else RNG.standard_normal((2, 5, 2))
    X[0, 2, 1] = np.nan
    lost = np.isnan(cgru.Normalize().predict(X))
    due = np.zeros((2, 5, 6), bool)
    due[0, :, 1::2] = True
    np.testing.assert_array_equal(lost, due)


def test_shapes():
    for keep, parts in ((True, 3), (False, 1)):
        layer = cgru.Normalize(keep)
        assert layer.output_shape(("m", "s", 5)) == ("m", "s", parts * 5)
        assert layer.output_shape((1, 1, 5)) == (1, 1, parts * 5)
        assert layer.input_features(15) == 15 // parts
        assert repr(layer) == f"Normalize(keep={keep})"
    assert cgru.Normalize().output_shape(("m", "s", "e")) == ("m", "s", "3 e")
    assert cgru.Normalize(False).output_shape(("m", "s", "e")) == ("m", "s", "e")
