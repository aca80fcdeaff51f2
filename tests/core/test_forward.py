"""The compiled forward pass against the reference, over levels, dtypes, odd sizes, ragged batches, strides, threads."""

from itertools import cycle

import numpy as np
import pytest
from helpers import (
    ODD,
    SHAPES,
    TOLERANCE,
    assert_close,
    compiled,
    expected,
    random_batch,
    random_layer,
    random_parameters,
)

import cgru
from cgru import reference
from cgru.variant import VARIANTS

CACHES = ("h", "hp", "hh_", "hh", "z", "z_", "r", "r_")


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
@pytest.mark.parametrize("ragged", [False, True])
@pytest.mark.pairwise
def test_caches_over_odd_sizes(level, dtype, ragged):
    for m, s, e, u in SHAPES:
        layer = random_layer(e, u, dtype=dtype, sequences=True)
        X, lengths, h0 = random_batch(m, s, e, u, ragged, dtype)
        A = layer.forward(X, lengths, h0)
        due = expected(layer, X, h0, lengths)
        for name in CACHES:
            assert layer.fc[name].dtype == dtype
            assert_close(layer.fc[name], due[name], TOLERANCE[layer.dtype], (m, s, e, u, name))
        real = 1 if lengths is None else reference.mask(lengths, s)
        assert_close(A, due["h"] * real, TOLERANCE[layer.dtype], (m, s, e, u))
        np.testing.assert_array_equal(layer.predict(X, lengths, h0), A)
        layer.sequences = False
        last = layer.forward(X, lengths, h0)
        np.testing.assert_array_equal(last, layer.fc["h"][:, -1])
        np.testing.assert_array_equal(layer.predict(X, lengths, h0), last)


def test_larger_than_a_block(level):
    for dtype in (np.float64, np.float32):
        layer = random_layer(5, 70, dtype=dtype)
        X, lengths, h0 = random_batch(300, 4, 5, 70, True, dtype)
        due = expected(layer, X, h0, lengths)["h"][:, -1]
        assert_close(layer.forward(X, lengths, h0), due, TOLERANCE[layer.dtype])


@pytest.mark.parametrize("f", [cgru.identity, cgru.relu, cgru.lrelu, cgru.elu, cgru.sigmoid, cgru.tanh])
def test_every_activation_in_every_place(level, f):
    for gate in ("activate", "activate_update", "activate_reset"):
        layer = random_layer(3, 9, se_hPars={"LRELU_alpha": 0.2, "ELU_alpha": 0.7}, sequences=True, **{gate: f})
        X, _, h0 = random_batch(4, 5, 3, 9, False)
        layer.forward(X, h0=h0)
        due = expected(layer, X, h0, None)
        for name in CACHES:
            assert_close(layer.fc[name], due[name], 1e-12, (gate, name))


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_strided_input_runs_as_it_lies(dtype):
    layer = random_layer(6, 8, dtype=dtype, sequences=True)
    X, _, h0 = random_batch(5, 7, 6, 8, False, dtype)
    due = layer.predict(X, h0=h0)
    time_major = np.ascontiguousarray(X.transpose(1, 0, 2)).transpose(1, 0, 2)
    every_other = np.zeros((10, 14, 6), dtype)[::2, ::2]
    every_other[...] = X
    backward = np.ascontiguousarray(X[::-1, ::-1])[::-1, ::-1]
    transposed = np.ascontiguousarray(X.transpose(2, 0, 1)).transpose(1, 2, 0)
    frozen = X.copy()
    frozen.flags.writeable = False
    swapped = X.astype(X.dtype.newbyteorder())
    records = np.zeros((5, 7), dtype=[("flag", "i1"), ("x", dtype, (6,))])  # strides that are no whole elements
    records["x"] = X
    for other in (time_major, every_other, backward, transposed, frozen, swapped, records["x"], X.tolist()):
        np.testing.assert_array_equal(layer.predict(other, h0=h0), due)
        np.testing.assert_array_equal(layer.forward(other, h0=h0), due)
    layer.forward(time_major, h0=h0)
    assert layer.fc["X"] is time_major  # no copy
    one = np.broadcast_to(X[:1], X.shape)
    np.testing.assert_array_equal(layer.predict(one)[3], layer.predict(X[:1].repeat(5, 0))[3])


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
@pytest.mark.parametrize("ragged", [False, True])
def test_bit_for_bit_the_same_for_any_number_of_threads(dtype, ragged, threads, level):
    layer = random_layer(17, 33, dtype=dtype, sequences=True)
    X, lengths, h0 = random_batch(67, 33, 17, 33, ragged, dtype)
    results = []
    for n in (1, 2, 3, 5):
        threads(n)
        results.append([layer.predict(X, lengths, h0), layer.forward(X, lengths, h0), layer.fc["r"].copy()])
    for other in results[1:]:
        for got, due in zip(other, results[0], strict=True):
            np.testing.assert_array_equal(got, due)


def test_not_a_number_stays_one():
    """NaN in a sample reaches that sample's states and no other's; infinity saturates the gates."""
    layer = random_layer(3, 5, sequences=True)
    X, _, _ = random_batch(4, 6, 3, 5, False)
    clean = layer.predict(X)
    X[1, 2, 0] = np.nan
    A = layer.predict(X)
    assert np.isnan(A[1, 2:]).all()
    kept = [0, 2, 3]
    np.testing.assert_array_equal(A[kept], clean[kept])
    np.testing.assert_array_equal(A[1, :2], clean[1, :2])
    X[1, 2, 0] = 1e200
    assert np.isfinite(layer.predict(X)).all()


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_one_step_at_a_time_gives_the_bits_of_the_sequence(level, dtype):
    """A single step of a single sample reads the weights as they lie, a sequence packs them."""
    for e, u in zip(cycle(ODD), (*ODD[::-1], *ODD[1:], 50, 130)):
        layer = random_layer(e, u, dtype=dtype, sequences=True)
        X, _, h0 = random_batch(1, 3, e, u, False, dtype)
        due = layer.predict(X, h0=h0)[0]
        for p in (layer.p, {name: np.asfortranarray(value) for name, value in layer.p.items()}):
            layer.p, h = p, h0
            for t in range(3):
                h = layer.predict(X[:, t : t + 1], h0=h)[:, 0]
                np.testing.assert_array_equal(h[0], due[t], f"e = {e}, u = {u}")


@pytest.mark.parametrize("variant", VARIANTS.values(), ids=str)
@pytest.mark.parametrize("shape", [(1, 1), (1, 4), (1, 5), (3, 2)])
@pytest.mark.pairwise
def test_every_parameter_lies_as_it_likes(level, variant, shape):
    """Read where they lie or packed: one row or one number for all, other rows and columns between, turned around."""
    e, u = 3, 9
    X, _, h0 = random_batch(*shape, e, u, False)
    dA = np.random.default_rng(4).standard_normal((*shape, u))

    def lain(name, value):
        apart = np.full((2 * len(value), 3 * value.shape[1]), np.nan)[::2, ::3]
        apart[...] = value
        yield apart
        yield np.asfortranarray(value)
        yield value[::-1, ::-1].copy()[::-1, ::-1]
        yield np.broadcast_to(value[:1], value.shape)
        yield np.broadcast_to(value[:1, :1], value.shape)

    for name in variant.names:
        p = random_parameters(variant, e, u)
        for value in lain(name, p[name].copy()):
            p[name] = value.copy()
            due = compiled(variant, p, X, h0, None, dA)
            p[name] = value
            for got, plain in zip(compiled(variant, p, X, h0, None, dA), due, strict=True):
                for key in plain:
                    np.testing.assert_array_equal(got[key], plain[key], f"{name} {value.strides}: {key}")
