"""The layer-normalised passes, compiled, against the reference: levels, dtypes, odd sizes, every option, threads."""

import itertools

import numpy as np
import pytest
from helpers import ODD, TOLERANCE, assert_close, compiled, double, random_batch, random_parameters

from cgru import reference
from cgru.variant import LAYER_NORM

MS = [(1, 1), (1, 9), (2, 7), (7, 5), (17, 3)]


def case(m, s, e, u, dtype, ragged, zoneout):
    X, lengths, h0 = random_batch(m, s, e, u, ragged, dtype)
    rng = np.random.default_rng(5)
    dA, dstate = rng.standard_normal((m, s, u)).astype(dtype), rng.standard_normal((m, u)).astype(dtype)
    kept = {None: None, "mask": (rng.random((m, s, u)) < 0.3).astype(dtype), "rate": 0.3}[zoneout]
    return random_parameters(LAYER_NORM, e, u, dtype), X, h0, lengths, dA, dstate, kept


def check(m, s, e, u, dtype, ragged, reverse, zoneout):
    p, X, h0, lengths, dA, dstate, kept = case(m, s, e, u, dtype, ragged, zoneout)
    fc, bc, g = compiled(LAYER_NORM, p, X, h0, lengths, dA, dstate, reverse, kept)

    options = {"layer_norm": True, "reverse": reverse, "zoneout": kept}
    P, X, dA = double(p), np.nan_to_num(X).astype(np.float64), dA.astype(np.float64)
    due = reference.forward(P, X, h0, lengths, **options)
    due_back = reference.backward(P, due, dA, lengths, dstate=dstate, **options)
    first, last = reference.ends(m, s, lengths, reverse)
    every, where = np.arange(m), (m, s, e, u, ragged, reverse, zoneout)
    due["last"], due_back["dh0"] = due["h"][every, last], due_back["dh"][every, first]
    due_g = reference.gradients(P, due, due_back, lengths, **options)
    tolerance = TOLERANCE[np.dtype(dtype)]
    for name, value in fc.items():
        assert_close(value, due[name], tolerance, (where, name))
    for name, value in bc.items():
        assert_close(value, due_back[name], 20 * tolerance, (where, name))
    for name, value in g.items():
        assert_close(value, due_g[name], 20 * tolerance, (where, name))


@pytest.mark.parametrize("zoneout", [None, "mask", "rate"])
@pytest.mark.parametrize("reverse", [False, True], ids=["onward", "reverse"])
@pytest.mark.parametrize("ragged", [False, True], ids=["full", "ragged"])
@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_against_the_reference(level, dtype, ragged, reverse, zoneout):
    for e, u in itertools.product((1, 7, 17), ODD):
        for m, s in MS:
            check(m, s, e, u, dtype, ragged, reverse, zoneout)
