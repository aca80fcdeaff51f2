import numpy as np
import pytest

import cgru
from cgru.layers.flip import flipped_boundaries

RNG = np.random.default_rng(0)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("lengths", [None, np.array([4, 1, 3])])
def test_each_sample_within_its_length(lengths, dtype):
    X, dA = RNG.standard_normal((2, 3, 4, 2)).astype(dtype)
    n = [4] * 3 if lengths is None else lengths
    due, dX = np.zeros_like(X), np.zeros_like(X)
    for i, length in enumerate(n):
        due[i, :length] = X[i, :length][::-1]
        dX[i, :length] = dA[i, :length][::-1]
        X[i, length:] = np.nan
    layer = cgru.Flip()
    for A in (layer.forward(X, lengths), layer.predict(X, lengths)):
        assert A.dtype == dtype
        np.testing.assert_array_equal(A, due)
    np.testing.assert_array_equal(layer.backward(dA), dX)
    assert layer.fs == {"X": (3, 4, 2), "A": (3, 4, 2)}


@pytest.mark.parametrize("lengths", [None, np.array([4, 1, 3])])
def test_boundaries_are_those_of_a_layer_in_reverse(lengths):
    X, decay = RNG.standard_normal((3, 4, 2)), RNG.random((3, 4))
    got = flipped_boundaries(decay, lengths)
    for i, n in enumerate([4] * 3 if lengths is None else lengths):
        np.testing.assert_array_equal(got[i, :n], [1, *decay[i, 1:n][::-1]])
    flip, (forward, back) = cgru.Flip(), (cgru.GRU(5, sequences=True, reverse=way, rng=1) for way in (False, True))
    due = back.predict(X, lengths, decay=decay)
    turned = forward.predict(flip.predict(X, lengths), lengths, decay=got)
    np.testing.assert_allclose(flip.predict(turned, lengths), due, atol=1e-15)
