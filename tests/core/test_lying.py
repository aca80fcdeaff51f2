"""Weights that are read where they lie: against packed ones, against the reference, and when they are taken."""

import itertools

import numpy as np
import pytest
from helpers import ODD, TOLERANCE, assert_close, compiled, random_batch, random_parameters

import cgru
from cgru import reference
from cgru.core import kernels, plan
from cgru.variant import RESET_AFTER, RESET_BEFORE

VARIANTS = (RESET_BEFORE, RESET_AFTER)
SIZES = [*itertools.product(ODD, ODD), (70, 40), (3, 100)]


@pytest.fixture
def lying():
    """Sets whether weights are read where they lie: True, False, None: what the model says. Lanes are units."""
    plan.use_samples_in_lanes(False)
    yield plan.use_unpacked_weights
    plan.use_unpacked_weights()
    plan.use_samples_in_lanes()


def case(variant, m, s, e, u, dtype, ragged=False, state=True):
    """What `compiled` takes, but for the options."""
    p = random_parameters(variant, e, u, dtype)
    X, lengths, h0 = random_batch(m, s, e, u, ragged, dtype)
    rng = np.random.default_rng(4)
    dA, dstate = rng.standard_normal((m, s, u)).astype(dtype), rng.standard_normal((m, u)).astype(dtype)
    return p, X, h0 if state else None, lengths, dA, dstate


def in_columns(p):
    """The same parameters, their columns contiguous."""
    return {name: np.asfortranarray(value) for name, value in p.items()}


def check(lying, variant, given, **options):
    """Forward has the bits that packed weights give, unless columns lie and any order will do; backward has another."""
    lying(False)
    due = compiled(variant, *given, **options)
    lying(True)
    got = compiled(variant, *given, **options)
    where = given[1].shape, given[0]["Vz"].shape
    for way in ("tiles", "inputs"):
        lying(way)
        for part, wanted in zip(compiled(variant, *given, **options), due, strict=True):
            for name, value in part.items():
                np.testing.assert_array_equal(value, wanted[name], str((way, where, name)))
    lying(True)
    for name, value in got[0].items():
        np.testing.assert_array_equal(value, due[0][name], str((where, name)))
    columns = compiled(variant, in_columns(given[0]), *given[1:], **options)
    loose = compiled(variant, in_columns(given[0]), *given[1:], **options, loose=True)
    for name, value in columns[0].items():
        np.testing.assert_array_equal(value, due[0][name], str((where, name)))
    for found in (got, columns, loose):
        for part, wanted in zip(found, due, strict=True):
            for name, value in part.items():
                assert_close(value, wanted[name], TOLERANCE[value.dtype], (where, name))
    return got


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
@pytest.mark.parametrize("variant", VARIANTS, ids=str)
def test_odd_sizes(level, lying, variant, dtype):
    every = itertools.product([(1, 1), (1, 9), (2, 3), (3, 2), (7, 2), (17, 1)], SIZES)
    for (m, s), (e, u) in itertools.islice(every, 0, None, 4):  # nearly each (m, s) with each e and each u
        check(lying, variant, case(variant, m, s, e, u, dtype))


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
@pytest.mark.parametrize("ragged", [False, True], ids=["even", "ragged"])
@pytest.mark.parametrize("reverse", [False, True], ids=["onward", "reverse"])
@pytest.mark.parametrize("state", [False, True], ids=["from zero", "from h0"])
@pytest.mark.parametrize("variant", VARIANTS, ids=str)
@pytest.mark.pairwise
def test_every_option(lying, variant, state, reverse, ragged, dtype):
    for m, s, zoneout, dh in ((1, 1, None, True), (1, 40, 0.3, True), (5, 3, 0.3, False), (4, 1, None, False)):
        given = case(variant, m, s, 50, 33, dtype, ragged, state)
        check(lying, variant, given, reverse=reverse, zoneout=zoneout, dh=dh)


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_against_the_reference(level, lying, dtype):
    for variant, m in itertools.product(VARIANTS, (1, 3, 6)):
        p, X, h0, lengths, dA, dstate = given = case(variant, m, 5, 40, 37, dtype)
        got = check(lying, variant, given)
        fc = reference.forward(p, X, h0, lengths, **variant.options)
        bc = reference.backward(p, fc, dA, lengths, dstate=dstate, **variant.options)
        for name in ("h", "hh_", "z", "r"):
            assert_close(got[0][name], fc[name], TOLERANCE[np.dtype(dtype)], name)
        for name in ("dX", "dh", "dhh_", "dz_", "dr_"):
            assert_close(got[1][name], bc[name], TOLERANCE[np.dtype(dtype)], name)


def test_pieces_and_threads_do_not_matter(lying, threads):
    for m in (1, 3, 20):
        p, *given = case(RESET_BEFORE, m, 7, 60, 50, np.float32)
        lying(True)
        for lain in (p, in_columns(p)):
            results = []
            try:
                for piece, many in itertools.product(((), (1,), (3,), (None, 1)), (1, 2)):
                    kernels.use_pieces(*piece)
                    threads(many)
                    results.append(compiled(RESET_BEFORE, lain, *given, loose=True))
            finally:
                kernels.use_pieces()
            for due, *others in zip(*results, strict=True):
                for other, (name, value) in itertools.product(others, due.items()):
                    np.testing.assert_array_equal(other[name], value, f"{m}, {name}")


def test_weights_of_any_strides(lying):
    lying(True)
    for order in ("F", "C"):
        p, *rest = case(RESET_BEFORE, 2, 3, 40, 35, np.float64)
        due = compiled(RESET_BEFORE, p, *rest)
        wide = {name: np.full((len(value), 50), np.nan) for name, value in p.items()}
        for name, value in p.items():
            wide[name][:, :35] = value
        other = {name: np.asarray(value[:, :35], order=order if order == "F" else "K") for name, value in wide.items()}
        for part, wanted in zip(compiled(RESET_BEFORE, other, *rest), due, strict=True):
            assert_close(wanted, part, 1e-13)


def test_a_state_that_is_not_there_meets_no_weights(lying):
    lying(True)
    for m in (1, 2):
        p, X, _, lengths, dA, _ = case(RESET_BEFORE, m, 1, 40, 35, np.float64)
        for name in ("Vz", "Vr", "Vhh"):
            p[name][...] = np.nan
        fc, _, g = compiled(RESET_BEFORE, p, X, None, lengths, dA, dh=False)
        assert np.isfinite(fc["h"]).all()
        assert not g["dVz"].any()


def test_few_steps_give_the_same_whatever_the_model_says():
    layer = cgru.GRU(120, rng=0, sequences=True)
    X = np.random.default_rng(1).standard_normal((2, 30, 90))
    whole = layer.predict(X)
    for s in (1, 3, 8, 20):
        np.testing.assert_array_equal(layer.predict(X[:, :s]), whole[:, :s])
