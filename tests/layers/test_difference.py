"""Difference: against differences of each sample, and its shapes."""

import numpy as np
import pytest

import cgru
from cgru.core.lengths import mask

RNG = np.random.default_rng(0)
DTYPES = (np.float32, np.float64)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("keep", [True, False])
@pytest.mark.parametrize("n", [1, 7, 17, 33])
@pytest.mark.parametrize("s", [1, 7, 17, 33])
def test_values_and_gradients_are_those_of_each_sample(s, n, keep, dtype):
    layer, X = cgru.Difference(keep), RNG.standard_normal((3, s, n)).astype(dtype)
    for lengths in (None, np.array([s, 1, max(1, s - 1)])):
        real = np.full(3, s) if lengths is None else lengths
        there = mask(real, s)
        dirty = np.where(there, X, np.nan).astype(dtype)
        A = layer.forward(dirty, lengths)
        np.testing.assert_array_equal(layer.predict(dirty, lengths), A)
        dA = RNG.standard_normal(A.shape).astype(dtype)
        dX = layer.backward(dA)
        for a, d, dx, x, k in zip(A, dA, dX, X, real, strict=True):
            due, back = [x[0] - x[0], *(x[t] - x[t - 1] for t in range(1, k))], np.zeros((k, n), dtype)
            for t in range(k):
                back[t] = d[t, :n] if keep else 0
                back[t] += d[t, -n:] if t else 0
                back[t] -= d[t + 1, -n:] if t + 1 < k else 0
            np.testing.assert_array_equal(a[:k, -n:], due)
            np.testing.assert_array_equal(a[:k, :n], x[:k] if keep else due)
            np.testing.assert_array_equal(dx[:k], back)
            assert not a[k:].any()
            assert not dx[k:].any()
        assert (A.shape, A.dtype, dX.dtype) == ((3, s, (1 + keep) * n), dtype, dtype)
        assert layer.d == {"m": 3, "s": s, "n": n}
        assert layer.fs == {"X": X.shape, "A": A.shape}
        assert layer.bs == {"dA": A.shape, "dX": X.shape}


def test_the_caches_are_none_of_the_callers_arrays():
    """What goes back is computed once more from dA, however often."""
    layer, X = cgru.Difference(), RNG.standard_normal((2, 5, 3))
    dA = RNG.standard_normal(layer.forward(X).shape)
    kept = dA.copy()
    first = layer.backward(dA).copy()
    np.testing.assert_array_equal(dA, kept)
    np.testing.assert_array_equal(layer.backward(dA), first)
    integers = cgru.Difference().predict(np.arange(6).reshape(1, 3, 2) ** 2)
    np.testing.assert_array_equal(integers, [[[0, 1, 0, 0], [4, 9, 4, 8], [16, 25, 12, 16]]])
    assert integers.dtype == np.float64


# --- refused ---


def test_shapes():
    for keep in (True, False):
        layer = cgru.Difference(keep)
        assert layer.output_shape(("m", "s", 5)) == ("m", "s", 10 if keep else 5)
        assert layer.output_shape((1, 1, 5)) == (1, 1, 10 if keep else 5)
        assert layer.input_features(10) == (5 if keep else 10)
        assert repr(layer) == f"Difference(keep={keep})"
    assert cgru.Difference().output_shape(("m", "s", "e")) == ("m", "s", "2 e")
    assert cgru.Difference(False).output_shape(("m", "s", "e")) == ("m", "s", "e")
