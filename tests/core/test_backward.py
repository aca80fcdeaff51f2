"""The compiled backward pass against the reference, over levels, dtypes, odd sizes, ragged batches, threads."""

import numpy as np
import pytest
from helpers import SHAPES, TOLERANCE, assert_all_same, assert_close, double, expected, random_batch, random_layer

import cgru
from cgru import reference
from cgru.activations import bind

CACHES = ("dA", "dh_", "dh", "dhn", "dhh_", "dz_", "dr_", "dX")


def expected_backward(layer, fc, dA, lengths):
    functions = [
        bind(getattr(layer, gate), layer.se_hPars) for gate in ("activate", "activate_update", "activate_reset")
    ]
    return reference.backward(double(layer.p), fc, dA.astype(np.float64), lengths, *functions)


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
@pytest.mark.parametrize("ragged", [False, True])
@pytest.mark.pairwise
def test_caches_over_odd_sizes(level, dtype, ragged):
    for i, (m, s, e, u) in enumerate(SHAPES):  # each pair (e, u), and each (m, s), with either kind of output
        sequences = i % 2 == 0
        layer = random_layer(e, u, dtype=dtype, sequences=sequences)
        X, lengths, h0 = random_batch(m, s, e, u, ragged, dtype)
        A = layer.forward(X, lengths, h0)
        dA = np.random.default_rng(2).standard_normal(A.shape).astype(dtype)
        dX = layer.backward(dA)
        every = dA
        if not sequences:
            every = np.zeros((m, s, u), dtype)
            every[np.arange(m), (lengths if ragged else np.full(m, s)) - 1] = dA
        due = expected_backward(layer, expected(layer, X, h0, lengths), every, lengths)
        for name in CACHES:
            assert layer.bc[name].dtype == dtype
            assert_close(layer.bc[name], due[name], 10 * TOLERANCE[layer.dtype], (m, s, e, u, name))
        assert dX is layer.bc["dX"]


@pytest.mark.parametrize("f", [cgru.identity, cgru.relu, cgru.lrelu, cgru.elu, cgru.sigmoid, cgru.tanh])
def test_every_activation_in_every_place(level, f):
    for gate in ("activate", "activate_update", "activate_reset"):
        layer = random_layer(3, 9, se_hPars={"LRELU_alpha": 0.2, "ELU_alpha": 0.7}, sequences=True, **{gate: f})
        X, _, h0 = random_batch(4, 5, 3, 9, False)
        dA = np.random.default_rng(2).standard_normal(layer.forward(X, h0=h0).shape)
        layer.backward(dA)
        due = expected_backward(layer, expected(layer, X, h0, None), dA, None)
        for name in CACHES:
            assert_close(layer.bc[name], due[name], 1e-11, (gate, name))


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
@pytest.mark.parametrize("ragged", [False, True])
def test_bit_for_bit_the_same_for_any_number_of_threads(dtype, ragged, threads, level):
    layer = random_layer(17, 33, dtype=dtype)
    X, lengths, h0 = random_batch(67, 33, 17, 33, ragged, dtype)
    dA = np.random.default_rng(2).standard_normal((67, 33)).astype(dtype)
    results = []
    for n in (1, 2, 3, 5):
        threads(n)
        layer.forward(X, lengths, h0)
        layer.backward(dA)
        layer.compute_gradients()
        results.append({name: value.copy() for name, value in (layer.bc | layer.g).items()})
    for other in results[1:]:
        assert_all_same(other, results[0])
