"""The layer-normalised passes, compiled, against the reference: levels, dtypes, odd sizes, every option, threads."""

import itertools

import numpy as np
import pytest
from helpers import ODD, TOLERANCE, assert_close, compiled, double, random_batch, random_parameters

from cgru import reference
from cgru.activations import code_of, sigmoid, tanh
from cgru.core import driver
from cgru.variant import LAYER_NORM

CODES = tuple(code_of(f, None) for f in (tanh, sigmoid, sigmoid))
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
    assert_close(due, fc, tolerance, where)
    assert_close(due_back, bc, 20 * tolerance, where)
    assert_close(due_g, g, 20 * tolerance, where)


@pytest.mark.parametrize("ragged", [False, True], ids=["full", "ragged"])
@pytest.mark.parametrize("dtype", [np.float64, np.float32])
@pytest.mark.pairwise
def test_against_the_reference(level, dtype, ragged):
    """Each u, and each (m, s), meets each zoneout in each direction."""
    ways = itertools.cycle(itertools.product((None, "mask", "rate"), (False, True)))
    for (m, s), e, u in itertools.product(MS, (1, 7, 17), ODD):
        for zoneout, reverse in itertools.islice(ways, 1):
            check(m, s, e, u, dtype, ragged, reverse, zoneout)


@pytest.mark.parametrize("ragged", [False, True], ids=["full", "ragged"])
@pytest.mark.parametrize("dtype", [np.float64, np.float32])
@pytest.mark.pairwise
def test_any_number_of_threads_gives_the_same_bits(threads, level, dtype, ragged):
    p, X, h0, lengths, dA, dstate, kept = case(67, 31, 33, 65, dtype, ragged, "mask")
    results = []
    for number in (1, 2, 3, 5):
        threads(number)
        results.append(compiled(LAYER_NORM, p, X, h0, lengths, dA, dstate, False, kept))
    for due, *others in zip(*results, strict=True):
        for other, (name, value) in itertools.product(others, due.items()):
            np.testing.assert_array_equal(other[name], value, name)


@pytest.mark.parametrize("m", [1, 3])
def test_without_caches_the_same_states_come_out(level, m):
    p, X, h0, *_ = case(m, 5, 3, 9, np.float64, False, None)
    due, _, _ = compiled(LAYER_NORM, p, X, h0, None, None, pre=False)
    h, last = np.empty((m, 5, 9)), np.empty((m, 9))
    driver.run("forward", LAYER_NORM, p, {"X": X, "h0": h0, "last": last}, CODES)
    np.testing.assert_array_equal(last, due["last"])
    driver.run("forward", LAYER_NORM, p, {"X": X, "h0": h0, "h": h}, CODES)
    np.testing.assert_array_equal(h, due["h"])


def test_a_large_mean_leaves_its_digits_to_the_variance(level):
    p, X, h0, _, dA, *_ = case(3, 4, 3, 9, np.float64, False, None)
    for gate in ("Uz", "Ur", "Uhh"):
        p[gate] += 1e7
    X = np.abs(X)
    fc, bc, _ = compiled(LAYER_NORM, p, X, h0, None, dA)
    due = reference.forward(p, X, h0, layer_norm=True)
    assert_close(fc["nU"], due["nU"], 1e-7)
    assert_close(bc["dU_"], reference.backward(p, due, dA, layer_norm=True)["dU_"], 1e-6)


def test_a_row_without_variance_is_its_bias(level):
    """A state of zero has products of zero: nothing is divided by nothing."""
    p, X, _, _, dA, *_ = case(2, 1, 3, 9, np.float64, False, None)
    fc, bc, _ = compiled(LAYER_NORM, p, X, None, None, dA)
    assert not fc["nV"].any()
    np.testing.assert_array_equal(fc["c"], np.broadcast_to(p["chh"], (2, 1, 9)))
    np.testing.assert_allclose(fc["iV"], 1e5**0.5, rtol=1e-12)
    assert np.isfinite(bc["dh0"]).all()


def test_not_a_number_stays_in_its_sample(level):
    p, X, h0, _, dA, *_ = case(4, 6, 3, 9, np.float64, False, None)
    due = compiled(LAYER_NORM, p, X, h0, None, dA)[0]["h"]
    X[1, 2, 0] = np.nan
    h = compiled(LAYER_NORM, p, X, h0, None, dA)[0]["h"]
    assert np.isnan(h[1, 2:]).all()
    np.testing.assert_array_equal(h[[0, 2, 3]], due[[0, 2, 3]])
    np.testing.assert_array_equal(h[1, :2], due[1, :2])
