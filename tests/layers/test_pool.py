"""Pool: mean, maximum and last over the real steps, sums weighted by attention, and their gradients."""

import numpy as np
import pytest
from export_cases import made, needs_cc

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


@pytest.mark.parametrize("lengths", [None, [100_000, 99_999]])
def test_a_mean_over_many_steps_keeps_its_digits(lengths):
    """A sum in float32 is off by 5e-4 here; the mean is the rounded one of float64."""
    X = (RNG.standard_normal((2, 100_000, 3)) + 100).astype(np.float32)
    due = cgru.Pool("mean").predict(X.astype(np.float64), lengths)
    np.testing.assert_array_equal(cgru.Pool("mean").predict(X, lengths), due.astype(np.float32))


# --- attention ---

SIZES = [(1, 1, 1), (1, 7, 17), (7, 17, 1), (17, 1, 33), (33, 7, 7), (7, 33, 17)]  # m, s, n


def some_lengths(m, s, rng=RNG):
    lengths = rng.integers(1, s + 1, m)
    lengths[rng.integers(m)] = s
    return lengths


def attentive(how="attention", hidden=None, n=N, seed=1, **options):
    """A layer with random parameters, none of them zero."""
    layer, rng = cgru.Pool(how, hidden, **options), np.random.default_rng(seed)
    layer.make(np.zeros((1, 1, n)))
    for array in layer.p.values():
        array[...] = rng.standard_normal(array.shape)
    return layer


def written_out(layer, X, lengths):
    """The weights and the weighted sum of each sample, step by step."""
    p = layer.p
    for x, k in zip(X, lengths, strict=True):
        if layer.hidden is None:
            scores = np.array([xt @ p["W"][:, 0] + p["b"][0, 0] for xt in x[:k]])
        else:
            scores = np.array([np.tanh(xt @ p["W"] + p["b"][0]) @ p["V"][:, 0] for xt in x[:k]])
        a = np.exp(scores) / np.exp(scores).sum()
        yield np.pad(a, (0, len(x) - k)), sum(weight * xt for weight, xt in zip(a, x[:k], strict=True))


@pytest.mark.parametrize("hidden", [None, 1, 7, 33])
@pytest.mark.parametrize("ragged", [False, True])
@pytest.mark.parametrize("size", SIZES)
def test_attention_is_a_weighted_sum(size, ragged, hidden):
    m, s, n = size
    X = RNG.standard_normal(size)
    lengths = some_lengths(m, s) if ragged else None
    real = np.full(m, s) if lengths is None else lengths
    layer = attentive(hidden=hidden, n=n)
    dirty = np.where((np.arange(s) < real[:, None])[:, :, None], X, np.nan)
    A = layer.forward(dirty, lengths)
    due = list(written_out(layer, X, real))
    np.testing.assert_allclose(A, [out for _, out in due], rtol=1e-11, atol=1e-13)
    np.testing.assert_allclose(layer.fc["a"], [a for a, _ in due], rtol=1e-11, atol=1e-13)
    np.testing.assert_array_equal(layer.predict(dirty, lengths), A)
    h = hidden or 1
    shapes = {"W": (n, h), "b": (1, h)} | ({"V": (h, 1)} if hidden else {})
    assert {name: array.shape for name, array in layer.p.items()} == shapes
    assert layer.fs == {"X": size, "A": (m, n), "a": (m, s)} | ({"H": (m, s, h)} if hidden else {}) | shapes
    assert layer.features == n
    if hidden is not None:
        np.testing.assert_allclose(layer.fc["H"][0, 0], np.tanh(X[0, 0] @ layer.p["W"] + layer.p["b"][0]), rtol=1e-12)


def test_what_is_added_to_all_scores_has_no_gradient():
    """Not even that of rounding, which Adam would scale up to whole steps."""
    layer = attentive(dtype=np.float32)
    layer.backward(np.ones_like(layer.forward(RNG.standard_normal((M, S, N)))))
    layer.compute_gradients()
    np.testing.assert_array_equal(layer.g["db"], np.zeros(1, np.float32))
    before = layer.predict(np.ones((M, S, N)))
    layer.p["b"] += 5
    np.testing.assert_array_equal(layer.predict(np.ones((M, S, N))), before)


@pytest.mark.parametrize("hidden", [None, 3])
def test_large_scores_do_not_overflow(hidden):
    layer, X = attentive(hidden=hidden), 1e4 * RNG.standard_normal((M, S, N))
    if hidden:
        layer.p["V"] *= 1e4
    A = layer.predict(X)
    assert np.isfinite(A).all()
    score = X @ layer.p["W"] if hidden is None else np.tanh(X @ layer.p["W"] + layer.p["b"]) @ layer.p["V"]
    a = np.exp(score - score.max(axis=1, keepdims=True))
    np.testing.assert_allclose(A, (a * X).sum(axis=1) / a.sum(axis=1), rtol=1e-9)


@pytest.mark.parametrize("hidden", [None, 3])
def test_a_nan_fills_its_sample(hidden):
    X = RNG.standard_normal((2, S, N))
    for step in (0, 2):
        dirty = X.copy()
        dirty[0, step, 1] = np.nan
        assert np.isnan(attentive(hidden=hidden).predict(dirty)).tolist() == [[True] * N, [False] * N]


@pytest.mark.parametrize("hidden", [None, 2])
def test_a_weighted_sum_over_many_steps_keeps_its_digits(hidden):
    X = (RNG.standard_normal((2, 100_000, 3)) + 100).astype(np.float32)
    layers = [attentive(hidden=hidden, dtype=dtype) for dtype in (np.float32, np.float64)]
    for layer in layers:
        layer.p["W"] *= 1e-4
    A, due = (layer.predict(X, [100_000, 99_999]) for layer in layers)
    assert (A.dtype, layers[0].fc, due.dtype) == (np.float32, {}, np.float64)
    np.testing.assert_allclose(A, due, rtol=1e-6)


def test_initial_parameters_and_what_a_layer_says():
    layer = cgru.Pool("max+attention", 400, rng=0)
    layer.make(np.zeros((1, 1, 500)))
    assert abs(layer.p["W"].std() / np.sqrt(2 / 900) - 1) < 0.02
    assert abs(layer.p["V"].std() / np.sqrt(2 / 401) - 1) < 0.2
    assert not layer.p["b"].any()
    assert repr(layer) == "Pool('max+attention', hidden=400, dtype=float64)"
    assert repr(cgru.Pool("attention", dtype="float32")) == "Pool('attention', dtype=float32)"
    assert layer.trainable
    assert layer.given == {"rng"}
    assert not cgru.Pool("mean").trainable
    assert cgru.Pool("mean").parameter_names == ()
    assert cgru.Pool("attention").parameter_names == ("W", "b")
    assert cgru.Pool("attention", 3).parameter_names == ("W", "b", "V")
    assert cgru.Pool("attention").features is None
    assert [cgru.Pool(how).steps.piecewise for how in ("last", "max")] == [True, False]
    same = cgru.Pool("attention", 7, rng=3), cgru.Pool("attention", 7, rng=3)
    for each in same:
        each.make(np.zeros((1, 1, 5)))
    np.testing.assert_array_equal(same[0].p["V"], same[1].p["V"])
    assert cgru.Pool("mean", dtype="float32").predict(np.ones((1, 2, 3))).dtype == np.float64


# --- elsewhere ---


@needs_cc
def test_long_sequences_in_c_keep_their_digits(tmp_path):
    """A plain sum in float32 is off by 1e-4 here."""
    net = cgru.Network([cgru.Pool("attention", 3), cgru.Dense(1, "identity")], "mse", seed=0, dtype=np.float32)
    sample = (RNG.standard_normal((50_000, 3)) + 100).astype(np.float32)
    net.make(sample[None])
    net.layers[0].p["W"] *= 1e-3
    net.layers[1].p["W"][...] = 1
    np.testing.assert_allclose(made(tmp_path, net).run(sample), net.predict(sample[None])[0], rtol=1e-6)
