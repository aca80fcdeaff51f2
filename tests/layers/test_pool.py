"""Pool: mean, maximum and last over the real steps, and their gradients."""

import numpy as np
import pytest

import cgru

RNG = np.random.default_rng(0)
M, S, N = 4, 6, 3
LENGTHS = np.array([6, 1, 3, 4])


def pooled(how, x):
    return {"mean": x.mean(axis=0), "max": x.max(axis=0), "last": x[-1]}[how]


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("lengths", [None, LENGTHS])
@pytest.mark.parametrize("how", ["mean", "max", "last"])
def test_values_and_gradients(how, lengths, dtype):
    n = np.full(M, S) if lengths is None else lengths
    X = (RNG.standard_normal((M, S, N)) - 3).astype(dtype)  # all negative: zeros in padding would win a maximum
    dirty = np.where((np.arange(S) < n[:, None])[:, :, None], X, np.nan).astype(dtype)
    layer = cgru.Pool(how)
    A = layer.forward(dirty, lengths)
    np.testing.assert_allclose(A, [pooled(how, x[:k]) for x, k in zip(X, n, strict=True)], rtol=1e-6)
    np.testing.assert_array_equal(layer.predict(dirty, lengths), A)
    dA = RNG.standard_normal((M, N)).astype(dtype)
    dX = layer.backward(dA)
    due = np.zeros((M, S, N))
    for i, k in enumerate(n):
        for j in range(N):
            at = {"mean": slice(0, k), "max": X[i, :k, j].argmax(), "last": k - 1}[how]
            due[i, at, j] = dA[i, j] / (k if how == "mean" else 1)
    np.testing.assert_allclose(dX, due, rtol=1e-6)
    assert A.dtype == dX.dtype == dtype
    assert layer.d == {"m": M, "s": S, "n": N}
    assert layer.fs == {"X": (M, S, N), "A": (M, N)}
    assert layer.bs == {"dA": (M, N), "dX": (M, S, N)}
    assert repr(layer) == f"Pool({how!r})"


@pytest.mark.parametrize("lengths", [None, LENGTHS])
@pytest.mark.parametrize("how", ["last+mean+max", "max+last"])
def test_several_side_by_side(how, lengths):
    """Each as it is alone, and what goes back is their sum."""
    parts, X = how.split("+"), RNG.standard_normal((M, S, N))
    layer, alone = cgru.Pool(how), [cgru.Pool(part) for part in parts]
    A = layer.forward(X, lengths)
    np.testing.assert_array_equal(A, np.hstack([one.forward(X, lengths) for one in alone]))
    dA = RNG.standard_normal((M, N * len(parts)))
    dX = layer.backward(dA)
    due = sum(one.backward(d) for one, d in zip(alone, np.split(dA, len(parts), axis=1), strict=True))
    np.testing.assert_allclose(dX, due, rtol=1e-14)
    assert layer.output_shape(("m", "s", N)) == ("m", N * len(parts))
    with pytest.raises(ValueError, match="a layer with units below a Pool of"):
        cgru.Network([layer, cgru.Dense(2)])
    assert not layer.piecewise


def test_the_first_of_equals_gets_the_gradient():
    layer = cgru.Pool("max")
    layer.forward(np.ones((1, 3, 1)))
    np.testing.assert_array_equal(layer.backward([[1.0]])[0, :, 0], [1, 0, 0])


@pytest.mark.parametrize("how", ["mean", "max"])
def test_nan_passes_through(how):
    X = RNG.standard_normal((2, S, N))
    X[0, 2, 1] = np.nan
    A = cgru.Pool(how).predict(X)
    assert np.isnan(A).tolist() == [[False, True, False], [False] * 3]


def test_refusals():
    with pytest.raises(ValueError, match=r"^how: expected one of mean, max, last, or .* got 'sum'"):
        cgru.Pool("sum")
    for how in ("mean+mean", "mean+", "+", "mean, max"):
        with pytest.raises(ValueError, match=r"^how: expected one of mean, max, last, or some joined by \+, each once"):
            cgru.Pool(how)
    with pytest.raises(TypeError, match=r"^how: expected"):
        cgru.Pool(3)
    layer = cgru.Pool()
    for A in (np.ones((M, N)), np.ones((0, S, N))):
        with pytest.raises(ValueError, match=r"^A: expected"):
            layer.forward(A)
    with pytest.raises(ValueError, match=r"^lengths: expected"):
        layer.forward(np.ones((M, S, N)), LENGTHS + 1)
    with pytest.raises(RuntimeError, match="forward"):
        layer.backward(np.ones((M, N)))
    layer.forward(np.ones((M, S, N)))
    with pytest.raises(ValueError, match=r"^dX: expected shape \(4, 3\)"):
        layer.backward(np.ones((M, S, N)))


@pytest.mark.parametrize("lengths", [None, [100_000, 99_999]])
def test_a_mean_over_many_steps_keeps_its_digits(lengths):
    """A sum in float32 is off by 5e-4 here; the mean is the rounded one of float64."""
    X = (RNG.standard_normal((2, 100_000, 3)) + 100).astype(np.float32)
    due = cgru.Pool("mean").predict(X.astype(np.float64), lengths)
    np.testing.assert_array_equal(cgru.Pool("mean").predict(X, lengths), due.astype(np.float32))
