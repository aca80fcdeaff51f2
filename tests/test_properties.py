"""Whatever the sizes, lengths, dtype, activations and strides: forward, backward and gradients equal the reference."""

import numpy as np
from helpers import TOLERANCE, assert_close, double, random_batch, random_layer
from hypothesis import given, settings
from hypothesis import strategies as st

import cgru
from cgru import reference

GATE = st.sampled_from([cgru.sigmoid, cgru.tanh])
SIZE = st.integers(1, 40)


@settings(max_examples=50, deadline=None, derandomize=True)
@given(
    m=SIZE,
    s=st.integers(1, 12),
    e=SIZE,
    u=SIZE,
    ragged=st.booleans(),
    sequences=st.booleans(),
    dtype=st.sampled_from([np.float64, np.float32]),
    activations=st.tuples(st.sampled_from([cgru.identity, cgru.elu, cgru.tanh]), st.just(cgru.sigmoid), GATE),
    axes=st.permutations([0, 1, 2]),
    threads=st.integers(1, 3),
    seed=st.integers(0, 1000),
)
def test_equal_to_the_reference(m, s, e, u, ragged, sequences, dtype, activations, axes, threads, seed):
    before = cgru.get_num_threads()
    cgru.set_num_threads(threads)
    try:
        compare(m, s, e, u, ragged, sequences, dtype, activations, axes, seed)
    finally:
        cgru.set_num_threads(before)


def compare(m, s, e, u, ragged, sequences, dtype, activations, axes, seed):
    layer = random_layer(e, u, seed, dtype=dtype, sequences=sequences)
    layer.activate, layer.activate_update, layer.activate_reset = activations
    X, lengths, h0 = random_batch(m, s, e, u, ragged, dtype, seed)
    X = np.ascontiguousarray(X.transpose(axes)).transpose(np.argsort(axes))  # the same numbers, lying in another order
    A = layer.forward(X, lengths, h0)
    dA = np.random.default_rng(seed).standard_normal(A.shape).astype(dtype)
    layer.backward(dA)
    layer.compute_gradients()

    p = double(layer.p)
    fc = reference.forward(p, X.astype(np.float64), h0.astype(np.float64), lengths, *activations)
    every = dA
    if not sequences:
        every = np.zeros((m, s, u))
        every[np.arange(m), (np.full(m, s) if lengths is None else lengths) - 1] = dA
    bc = reference.backward(p, fc, every.astype(np.float64), lengths, *activations)
    g = reference.gradients(p, fc, bc, lengths)
    np.testing.assert_array_equal(layer.predict(X, lengths, h0), A)
    for got, due in ((layer.fc, fc), (layer.bc, bc), (layer.g, g)):
        for name in due.keys() - {"X"}:
            assert_close(got[name], due[name], 50 * TOLERANCE[layer.dtype], name)
