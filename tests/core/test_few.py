"""Few units: lanes are samples. Against the reference, against the other way, and when it is taken."""

import itertools

import numpy as np
import pytest
from helpers import TOLERANCE, assert_close, compiled, double, random_batch, random_parameters

from cgru import reference
from cgru.core import kernels
from cgru.variant import RESET_AFTER, RESET_BEFORE

VARIANTS = (RESET_BEFORE, RESET_AFTER)


@pytest.fixture
def lanes():
    yield kernels.use_samples_in_lanes
    kernels.use_samples_in_lanes()


def laid(array):
    """The same numbers, an axis' samples side by side."""
    return np.ascontiguousarray(array.T).T if array.ndim == 2 else np.moveaxis(np.moveaxis(array, 0, -1).copy(), -1, 0)


def case(variant, m, s, e, u, dtype, ragged=False, zoneout=None):
    p = random_parameters(variant, e, u, dtype)
    X, lengths, h0 = random_batch(m, s, e, u, ragged, dtype)
    rng = np.random.default_rng(4)
    dA, dstate = rng.standard_normal((m, s, u)).astype(dtype), rng.standard_normal((m, u)).astype(dtype)
    kept = (rng.random((m, s, u)) < 0.3).astype(dtype) if zoneout == "mask" else zoneout
    return p, X, h0, lengths, dA, dstate, kept


def defined(variant, p, X, h0, lengths, dA, dstate, kept, reverse):
    """What the reference says."""
    options = {**variant.options, "reverse": reverse, "zoneout": None if kept is None else np.asarray(kept, np.float64)}
    p, X, h0, dA, dstate = double(p), *(np.asarray(a, np.float64) for a in (X, h0, dA, dstate))
    fc = reference.forward(p, X, h0, lengths, **options)
    bc = reference.backward(p, fc, dA, lengths, dstate=dstate, **options)
    g = reference.gradients(p, fc, bc, lengths, **options)
    m, s, _ = X.shape
    first, last = reference.ends(m, s, lengths, reverse)
    at = np.arange(m)
    return fc | {"last": fc["h"][at, last]}, bc | {"dh0": bc["dh"][at, first]}, g


def check(variant, given, dtype, reverse=False):
    p, X, h0, lengths, dA, dstate, kept = given
    got = compiled(variant, p, X, h0, lengths, dA, dstate, reverse, kept)
    due = defined(variant, p, X, h0, lengths, dA, dstate, kept, reverse)
    for arrays, wanted in zip(got, due, strict=True):
        for name, value in arrays.items():
            assert_close(value, wanted[name], TOLERANCE[np.dtype(dtype)] * 4, (X.shape, p["Vz"].shape, name))


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
@pytest.mark.parametrize("variant", VARIANTS, ids=str)
def test_samples_in_lanes_against_the_reference(level, lanes, variant, dtype):
    lanes(True)
    for (m, s), (e, u) in itertools.product(((7, 1), (17, 7), (33, 2), (50, 3)), ((1, 1), (3, 5), (17, 2), (2, 17))):
        check(variant, case(variant, m, s, e, u, dtype), dtype)


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
@pytest.mark.parametrize("ragged", [False, True], ids=["even", "ragged"])
@pytest.mark.parametrize("reverse", [False, True], ids=["onward", "reverse"])
@pytest.mark.parametrize("zoneout", [None, "mask", 0.3])
@pytest.mark.parametrize("variant", VARIANTS, ids=str)
def test_every_option_with_samples_in_lanes(lanes, variant, zoneout, reverse, ragged, dtype):
    lanes(True)
    for m in (2, 17, 50):
        check(variant, case(variant, m, 7, 3, 5, dtype, ragged, zoneout), dtype, reverse)
