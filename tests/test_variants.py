"""The variants that run compiled, reset after the product and reverse: each level, dtype, size against the oracle."""

import itertools

import numpy as np
import pytest
from helpers import ODD, TOLERANCE, assert_close, double, random_batch, random_layer

from cgru import reference

VARIANTS = [
    {"reset_after": True},
    {"reverse": True},
    {"reset_after": True, "reverse": True},
    {"zoneout": 0.3},
    {"zoneout": 0.3, "reset_after": True, "reverse": True},
    {"layer_norm": True},
    {"zoneout": 0.3, "layer_norm": True, "reverse": True},
    {"recurrent_dropout": 0.4},
    {"recurrent_dropout": 0.4, "reset_after": True, "reverse": True},
    {"recurrent_dropout": 0.4, "zoneout": 0.3, "layer_norm": True},
]


def check(m, s, e, u, dtype, ragged, variant, fresh=False):
    layer = random_layer(e, u, dtype=dtype, sequences=True, **variant)
    X, lengths, h0 = random_batch(m, s, e, u, ragged, dtype)
    h0 = None if fresh else h0
    masked, variant = "recurrent_dropout" in variant, {k: v for k, v in variant.items() if k != "recurrent_dropout"}
    if "zoneout" in variant:  # by a mask in training, its expectation in prediction
        expected = reference.forward(double(layer.p), np.nan_to_num(X).astype(np.float64), h0, lengths, **variant)["h"]
        got = layer.predict(X, lengths, h0)
        real = slice(None) if lengths is None else reference.mask(lengths, s)[:, :, 0]
        assert_close(got[real], expected[real], TOLERANCE[np.dtype(dtype)], (m, s, e, u, "expectation"))
        layer.masks = {"zoneout": (np.random.default_rng(6).random((m, s, u)) < 0.3).astype(dtype)}
        variant = variant | layer.masks
    if masked:
        drawn = np.random.default_rng(7).random((3, m, u)) < 0.6
        layer.masks = (layer.masks or {}) | {"recurrent_masks": (drawn / 0.6).astype(dtype)}
        variant = variant | layer.masks
    rng = np.random.default_rng(5)
    dA, dstate = rng.standard_normal((m, s, u)).astype(dtype), rng.standard_normal((m, u)).astype(dtype)
    A = layer.forward(X, lengths, h0)
    layer.backward(dA, dstate)
    layer.compute_gradients()

    p, clean = double(layer.p), np.where(np.isnan(X), 0, X).astype(np.float64)
    fc = reference.forward(p, clean, h0, lengths, **variant)
    bc = reference.backward(p, fc, dA.astype(np.float64), lengths, dstate=dstate, **variant)
    g = reference.gradients(p, fc, bc, lengths, **variant)
    tolerance, where = TOLERANCE[np.dtype(dtype)], (m, s, e, u, ragged, variant)
    tolerance *= 5 if layer.layer_norm else 1  # of three numbers whose variance may be next to nothing
    real = slice(None) if lengths is None else reference.mask(lengths, s)[:, :, 0]
    for name, due in fc.items():
        if name in ("X", "zoneout"):
            continue
        assert layer.fc[name].dtype == dtype
        assert_close(layer.fc[name], due, tolerance, (where, name))
    for name, due in bc.items():
        assert_close(layer.bc[name], due, 10 * tolerance, (where, name))
    for name, due in g.items():
        assert_close(layer.g[name], due, 10 * tolerance, (where, name))
    assert_close(A[real], fc["h"][real], tolerance, where)
    if not layer.masks:
        np.testing.assert_array_equal(layer.predict(X, lengths, h0), A)
        layer.sequences = False
        np.testing.assert_array_equal(layer.predict(X, lengths, h0), layer.state)


@pytest.mark.parametrize("variant", VARIANTS, ids=str)
@pytest.mark.parametrize("ragged", [False, True], ids=["full", "ragged"])
@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_against_the_reference(level, dtype, ragged, variant):
    for e, u in itertools.product((1, 7, 17), ODD):
        for m, s in ((1, 1), (1, 9), (2, 7), (7, 5), (17, 3)):
            check(m, s, e, u, dtype, ragged, variant)


@pytest.mark.parametrize("fresh", [False, True])
@pytest.mark.parametrize("variant", [{}, *VARIANTS[:4]], ids=str)
@pytest.mark.parametrize("ragged", [False, True], ids=["full", "ragged"])
@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_wide_layers_of_few_samples(level, dtype, ragged, variant, fresh):
    """Their inputs are multiplied many steps at a time: a block of them, a part of one, one and a part."""
    for (m, e, u), s in itertools.product(((1, 40, 50), (2, 100, 33), (3, 300, 17)), (1, 4, 32, 75)):
        check(m, s, e, u, dtype, ragged, variant, fresh)


@pytest.mark.parametrize("variant", [{}, *VARIANTS], ids=str)
@pytest.mark.parametrize("ragged", [False, True], ids=["full", "ragged"])
@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_without_an_initial_state(level, dtype, ragged, variant):
    for (m, s), (e, u) in itertools.product(((1, 1), (7, 1), (33, 1), (1, 5), (33, 3)), ((1, 7), (7, 33))):
        check(m, s, e, u, dtype, ragged, variant, fresh=True)


@pytest.mark.parametrize("variant", VARIANTS, ids=str)
@pytest.mark.parametrize("ragged", [False, True], ids=["full", "ragged"])
def test_any_number_of_threads_gives_the_same_bits(threads, ragged, variant):
    due = None
    for number in (1, 2, 3):
        threads(number)
        layer = random_layer(33, 65, sequences=True, **variant)
        X, lengths, h0 = random_batch(67, 31, 33, 65, ragged)
        A = layer.forward(X, lengths, h0)
        dX = layer.backward(np.cos(np.arange(A.size)).reshape(A.shape))
        layer.compute_gradients()
        got = {"A": A, "dX": dX, **layer.g}
        due = due or got
        for name, value in got.items():
            np.testing.assert_array_equal(value, due[name], name)
