"""Few units under wide inputs: lanes are features. Against the reference, in any batch, and a step like a sequence."""

import itertools

import numpy as np
import pytest
from helpers import TOLERANCE, assert_close, compiled, double, random_batch, random_layer, random_parameters

import cgru
from cgru import reference
from cgru.core import kernels, plan
from cgru.core.memory import time_major
from cgru.variant import LAYER_NORM, RESET_AFTER, RESET_BEFORE

VARIANTS = (RESET_BEFORE, RESET_AFTER)
WIDE = ((33, 1), (277, 1), (130, 2), (161, 3), (401, 7))  # e, u


@pytest.fixture
def setting():
    yield
    plan.use_samples_in_lanes()
    plan.use_streamed_inputs()
    kernels.use_pieces()


def case(variant, m, s, e, u, dtype, ragged=False):
    """What `compiled` takes."""
    p = random_parameters(variant, e, u, dtype)
    X, lengths, h0 = random_batch(m, s, e, u, ragged, dtype)
    rng = np.random.default_rng(4)
    dA, dstate = rng.standard_normal((m, s, u)).astype(dtype), rng.standard_normal((m, u)).astype(dtype)
    return p, X, h0, lengths, dA, dstate


def check(variant, given, dtype, reverse=False):
    p, X, h0, lengths, dA, dstate = given
    got = compiled(variant, *given, reverse)
    options = {**variant.options, "reverse": reverse}
    p, X, h0, dA, dstate = double(p), *(np.asarray(a, np.float64) for a in (X, h0, dA, dstate))
    fc = reference.forward(p, X, h0, lengths, **options)
    bc = reference.backward(p, fc, dA, lengths, dstate=dstate, **options)
    for arrays, due in zip(got, (fc, bc, reference.gradients(p, fc, bc, lengths, **options)), strict=True):
        for name in arrays.keys() & due.keys():
            assert_close(arrays[name], due[name], TOLERANCE[np.dtype(dtype)] * 8, (X.shape, p["Vz"].shape, name))


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
@pytest.mark.parametrize("variant", VARIANTS, ids=str)
def test_wide_inputs_are_the_reference(level, setting, variant, dtype):
    for choice, (m, s), (e, u) in itertools.product((False, True), ((1, 33), (3, 7), (17, 2), (33, 1), (131, 2)), WIDE):
        plan.use_samples_in_lanes(choice)
        check(variant, case(variant, m, s, e, u, dtype), dtype)


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
@pytest.mark.parametrize("reverse", [False, True], ids=["onward", "reverse"])
@pytest.mark.parametrize("variant", VARIANTS, ids=str)
def test_ragged_and_in_reverse(setting, variant, reverse, dtype):
    for choice, (m, s), ragged in itertools.product(
        (False, True), ((1, 41), (3, 41), (18, 7), (131, 3)), (False, True)
    ):
        plan.use_samples_in_lanes(choice)
        check(variant, case(variant, m, s, 161, 3, dtype, ragged), dtype, reverse)


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
@pytest.mark.parametrize("variant", VARIANTS, ids=str)
@pytest.mark.pairwise
def test_the_bits_depend_on_nothing_but_the_shape(level, setting, threads, variant, dtype):
    for (m, s), ragged in itertools.product(((1, 41), (3, 41), (33, 23)), (False, True)):
        given, first = case(variant, m, s, 161, 3, dtype, ragged), {}
        for choice, n, piece in itertools.product((False, True), (1, 3), ((), (1,), (7,), (40,), (3, 8000))):
            plan.use_samples_in_lanes(choice)
            kernels.use_pieces(*piece)
            threads(n)
            fc, bc, g = compiled(variant, *given)
            for name, value in {**fc, **bc, **{(name, choice): value for name, value in g.items()}}.items():
                np.testing.assert_array_equal(value, first.setdefault(name, value), f"{m}, {ragged}, {name}")


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_inputs_that_lie_in_lanes(setting, dtype):
    plan.use_samples_in_lanes(True)
    p, X, *rest = case(RESET_BEFORE, 18, 5, 161, 3, dtype)
    turned = time_major(None, *X.shape, X.dtype, X.shape[0])
    turned[...] = X
    check(RESET_BEFORE, (p, turned, *rest), dtype)


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
@pytest.mark.parametrize("m", [1, 4])
def test_a_stream_and_few_steps_give_the_bits_of_many(level, dtype, m):
    for e, u in WIDE:
        layer = random_layer(e, u, dtype=dtype, sequences=True)
        X = np.random.default_rng(3).standard_normal((m, 41, e)).astype(dtype)
        stream, due = cgru.Stream(layer, m), layer.predict(X)
        np.testing.assert_array_equal(np.stack([stream.step(X[:, t]).copy() for t in range(41)], axis=1), due)
        np.testing.assert_array_equal(layer.predict(X[:, :2]), due[:, :2])
        np.testing.assert_array_equal(layer.run(X).fc["h"], due)


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
@pytest.mark.parametrize("variant", [*VARIANTS, LAYER_NORM], ids=str)
def test_input_gradients_past_the_caches_have_the_same_bits(level, setting, variant, dtype):
    for choice, (m, s), (e, u), reverse in (
        (True, (33, 3), (161, 3), False),
        (True, (7, 2), (17, 1), True),
        (False, (1, 3), (7, 2), False),
        (False, (7, 3), (33, 17), True),
        (False, (33, 2), (1, 5), False),
    ):
        plan.use_samples_in_lanes(choice)
        given, found = case(variant, m, s, e, u, dtype, ragged=True), []
        for always in (False, True):
            plan.use_streamed_inputs(always)
            found.append(compiled(variant, *given, reverse)[1]["dX"])
        np.testing.assert_array_equal(*found)
