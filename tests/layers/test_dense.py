"""Dense: against central differences, against EpyNN's Dense, and what it refuses."""

import copy

import numpy as np
import pytest
from helpers import assert_all_close, assert_close, refuses

import cgru

ACTIVATIONS = [cgru.identity, cgru.relu, cgru.lrelu, cgru.elu, cgru.sigmoid, cgru.tanh, cgru.softmax]


def rough(x, deriv=False):
    """A callable that is not ours, with a Jacobian that is not symmetric: each output sees its left neighbour too."""
    left = np.roll(x, 1, axis=1)
    if not deriv:
        return np.sin(x) + 0.5 * left * left
    m, u = x.shape
    D = np.zeros((m, u, u))
    for j in range(u):
        D[:, j, j] += np.cos(x[:, j])
        D[:, j, (j - 1) % u] += left[:, j]
    return D


def made(units=4, n=3, m=5, seed=0, **options):
    """A layer with parameters (b non-zero) and an input for it."""
    rng = np.random.default_rng(seed)
    layer = cgru.Dense(units, rng=seed, **options)
    X = rng.standard_normal((m, n)).astype(layer.dtype)
    layer.compute_shapes(X)
    layer.initialize_parameters()
    layer.p["b"][...] = rng.standard_normal((1, units))
    return layer, X


def snapshot(layer):
    return copy.deepcopy(
        {name: value for name, value in vars(layer).items() if name not in ("_lock", "last", "np_rng")}
    )


def same(a, b):
    if isinstance(a, dict):
        return list(a) == list(b) and all(same(a[key], b[key]) for key in a)
    return np.array_equal(a, b) if isinstance(a, np.ndarray) else a == b


# --- the numbers ---


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_what_the_caches_hold(dtype):
    layer, X = made(dtype=dtype, activate=cgru.tanh)
    A = layer.forward(X)
    dX = layer.backward(np.ones((5, 4)))
    layer.compute_gradients()
    assert layer.d == {"u": 4, "m": 5, "n": 3}
    assert layer.fs == {"X": (5, 3), "W": (3, 4), "b": (1, 4), "Z": (5, 4), "A": (5, 4)}
    assert layer.bs == {"dA": (5, 4), "dZ": (5, 4), "dX": (5, 3)}
    assert [list(cache) for cache in (layer.fc, layer.bc, layer.g)] == [
        ["X", "Z", "A"],
        ["dA", "dZ", "dX"],
        ["dW", "db"],
    ]
    assert dX is layer.bc["dX"]
    for cache in (layer.p, layer.fc, layer.bc, layer.g):
        assert all(array.dtype == dtype for array in cache.values())
    np.testing.assert_array_equal(layer.predict(X), A)
    assert_close(A, np.tanh(X @ layer.p["W"] + layer.p["b"]), 1e-6 if dtype == np.float32 else 1e-14)


def test_update_is_in_place_and_only_while_trainable():
    layer, X = made()
    layer.forward(X)
    layer.backward(np.ones((5, 4)))
    layer.compute_gradients()
    layer.lrate, layer.e = [0.5, 0.25], 1
    held, before = layer.p["W"], layer.p["W"].copy()
    layer.trainable = False
    layer.update_parameters()
    np.testing.assert_array_equal(held, before)
    layer.trainable = True
    layer.update_parameters()
    assert layer.p["W"] is held
    np.testing.assert_array_equal(held, before - 0.25 * layer.g["dW"])


def test_activation_and_its_parameters_are_looked_up_at_each_call():
    layer, X = made(activate=cgru.lrelu)
    Z = X @ layer.p["W"] + layer.p["b"]
    layer.se_hPars = {"LRELU_alpha": 0.5}
    assert_close(layer.predict(X), np.maximum(0.5 * Z, Z), 1e-14)
    layer.activate = cgru.identity
    assert_close(layer.forward(X), Z, 1e-14)
    assert layer.activation == {"activate": "identity"}
    assert repr(layer) == "Dense(units=4, activate=identity, dtype=float64)"


# --- at each step ---


@pytest.mark.parametrize("lengths", [None, np.array([4, 1, 3, 2, 4])])
@pytest.mark.parametrize("activate", [*ACTIVATIONS, rough], ids=lambda f: f.__name__)
def test_steps_are_so_many_more_samples(activate, lengths):
    layer, _ = made(activate=activate)
    rng = np.random.default_rng(2)
    X, dA = rng.standard_normal((5, 4, 3)), rng.standard_normal((5, 4, 4))
    real = np.ones((5, 4), bool) if lengths is None else np.arange(4) < lengths[:, None]
    rows = copy.deepcopy(layer)
    due = {"A": rows.forward(X[real]), "dX": rows.backward(dA[real])}
    rows.compute_gradients()

    dirty = np.where(real[:, :, None], X, np.nan)
    got = {"A": layer.forward(dirty, lengths), "dX": layer.backward(np.where(real[:, :, None], dA, np.nan))}
    layer.compute_gradients()
    for name, array in got.items():
        np.testing.assert_allclose(array[real], due[name], rtol=1e-12, atol=1e-14)
        assert not array[~real].any()
        assert layer.fc.get(name, layer.bc.get(name)) is array
    assert_all_close(layer.g, rows.g, rtol=1e-12, atol=1e-14)
    np.testing.assert_array_equal(layer.predict(dirty, lengths), got["A"])
    assert layer.d == {"u": 4, "m": 5, "s": 4, "n": 3}
    assert layer.bs == {"dA": (5, 4, 4), "dZ": (5, 4, 4), "dX": (5, 4, 3)}
    layer.forward(X[:, 0])
    assert layer.d == {"u": 4, "m": 5, "n": 3}


# --- what is refused ---


def test_compute_shapes_takes_another_width_but_no_other_rank():
    layer, X = made()
    A = layer.predict(X)
    with refuses(ValueError, "A"):
        layer.compute_shapes(np.zeros((2, 3, 4, 5)))
    layer.compute_shapes(np.zeros((2, 6)))
    np.testing.assert_array_equal(layer.predict(X), A)  # still, until there are other parameters
    layer.initialize_parameters()
    assert layer.forward(np.zeros((2, 6))).shape == (2, 4)


def test_a_callable_that_raises_leaves_all_as_it_was():
    def picky(x, deriv=False):
        if x.max() > 100:
            raise OverflowError("too large")
        return x if not deriv else np.ones_like(x)

    layer, X = made(activate=picky)
    layer.forward(X)
    before = snapshot(layer)
    large = 1e6 * np.abs(X) * np.sign(layer.p["W"][:, 0])
    with pytest.raises(OverflowError):
        layer.forward(large)
    layer.activate = 3
    with pytest.raises(TypeError, match="activate: "):
        layer.forward(X)
    layer.activate = picky
    assert same(snapshot(layer), before)
    layer.backward(np.zeros((5, 4)))


def test_settings_that_are_set_later_are_checked():
    layer, X = made(activate=cgru.softmax)
    layer.forward(X)
    layer.se_hPars = [1]
    for call in (layer.forward, layer.predict, lambda X: layer.backward(np.zeros((5, 4)))):
        with pytest.raises(TypeError, match="se_hPars: "):
            call(X)
    layer.se_hPars = None
    layer.activate = "relu"
    assert_close(layer.predict(X), cgru.relu(X @ layer.p["W"] + layer.p["b"]), 1e-14)
