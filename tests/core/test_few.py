"""Few units: lanes are samples. Against the reference, against lanes that are units, and when which are taken."""

import itertools

import numpy as np
import pytest
from helpers import (
    TOLERANCE,
    assert_all_same,
    assert_close,
    compiled,
    double,
    random_batch,
    random_layer,
    random_parameters,
)

import cgru
from cgru import reference
from cgru.activations import code_of, sigmoid, tanh
from cgru.core import driver, kernels, plan
from cgru.core.memory import time_major
from cgru.variant import RESET_AFTER, RESET_BEFORE

VARIANTS = (RESET_BEFORE, RESET_AFTER)
CODES = tuple(code_of(f, None) for f in (tanh, sigmoid, sigmoid))


@pytest.fixture
def lanes():
    """Sets what lanes are: True: samples, False: units, None: what the model says."""
    yield plan.use_samples_in_lanes
    plan.use_samples_in_lanes()


def laid(array):
    """The same numbers (m, s, n), lying as a layer has them where lanes are samples."""
    copy = time_major(None, *array.shape, array.dtype, array.shape[0])
    copy[...] = array
    return copy


def in_lanes(array):
    return array.strides[0] == array.itemsize


def case(variant, m, s, e, u, dtype, ragged=False, zoneout=None):
    """What `compiled` takes, but for the options."""
    p = random_parameters(variant, e, u, dtype)
    X, lengths, h0 = random_batch(m, s, e, u, ragged, dtype)
    rng = np.random.default_rng(4)
    dA, dstate = rng.standard_normal((m, s, u)).astype(dtype), rng.standard_normal((m, u)).astype(dtype)
    if ragged:
        dA[~reference.mask(lengths, s)[:, :, 0]] = np.nan
    kept = (rng.random((m, s, u)) < 0.3).astype(dtype) if zoneout == "mask" else zoneout
    return p, X, h0, lengths, dA, dstate, kept


def defined(variant, p, X, h0, lengths, dA, dstate, kept, reverse):
    """What the reference says."""
    options = {**variant.options, "reverse": reverse, "zoneout": None if kept is None else np.asarray(kept, np.float64)}
    p, X, h0, dA, dstate = double(p), *(np.asarray(a, np.float64) for a in (X, h0, dA, dstate))
    fc = reference.forward(p, X, h0, lengths, **options)
    bc = reference.backward(p, fc, dA, lengths, dstate=dstate, **options)
    g = reference.gradients(p, fc, bc, lengths, **options)
    first, last = reference.ends(len(X), X.shape[1], lengths, reverse)
    at = np.arange(len(X))
    return fc | {"last": fc["h"][at, last]}, bc | {"dh0": bc["dh"][at, first]}, g


def check(variant, given, dtype, reverse=False):
    p, X, h0, lengths, dA, dstate, kept = given
    got = compiled(variant, p, X, h0, lengths, dA, dstate, reverse, kept)
    due = defined(variant, p, X, h0, lengths, dA, dstate, kept, reverse)
    for arrays, wanted in zip(got, due, strict=True):
        assert_close(wanted, arrays, TOLERANCE[np.dtype(dtype)] * 4, (X.shape, p["Vz"].shape))


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
@pytest.mark.parametrize("variant", VARIANTS, ids=str)
def test_samples_in_lanes_are_the_reference(level, lanes, variant, dtype):
    lanes(True)
    for (m, s), (e, u) in itertools.product(((7, 1), (17, 7), (33, 2), (50, 3)), ((1, 1), (3, 5), (17, 2), (2, 17))):
        check(variant, case(variant, m, s, e, u, dtype), dtype)
    for u in range(1, 17):
        check(variant, case(variant, 18, 3, u % 5 + 1, u, dtype), dtype)


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
@pytest.mark.parametrize("ragged", [False, True], ids=["even", "ragged"])
@pytest.mark.parametrize("reverse", [False, True], ids=["onward", "reverse"])
@pytest.mark.parametrize("zoneout", [None, "mask", 0.3])
@pytest.mark.parametrize("variant", VARIANTS, ids=str)
@pytest.mark.pairwise
def test_every_option_with_samples_in_lanes(lanes, variant, zoneout, reverse, ragged, dtype):
    lanes(True)
    for m, s in ((2, 7), (17, 1), (50, 7)):
        check(variant, case(variant, m, s, 3, 5, dtype, ragged, zoneout), dtype, reverse)


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
@pytest.mark.parametrize("reverse", [False, True], ids=["onward", "reverse"])
@pytest.mark.parametrize("variant", VARIANTS, ids=str)
@pytest.mark.pairwise
def test_states_past_a_samples_steps_are_not_looked_at(level, lanes, variant, reverse, dtype):
    lanes(True)
    p, X, h0, lengths, *rest = case(variant, 50, 7, 3, 5, dtype, ragged=True)
    real = reference.mask(lengths, 7)[:, :, 0]
    due, got = (compiled(variant, p, X, h0, lengths, *rest[:2], reverse, padded=each) for each in (True, False))
    for which, arrays in enumerate(got):
        for name, value in arrays.items():
            same = real if value.ndim == 3 else slice(None)
            np.testing.assert_array_equal(value[same], due[which][name][same], name)


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
@pytest.mark.parametrize("ragged", [False, True], ids=["even", "ragged"])
@pytest.mark.parametrize("variant", VARIANTS, ids=str)
@pytest.mark.pairwise
def test_either_way_gives_the_same_bits_but_for_the_sums_of_gradients(level, lanes, variant, ragged, dtype):
    p, X, *rest = case(variant, 50, 9, 3, 5, dtype, ragged)
    lanes(False)
    due = compiled(variant, p, X, *rest)
    lanes(True)
    for given in (X, laid(X)):
        got = compiled(variant, p, given, *rest)
        for part in (0, 1):
            assert_all_same(due[part], got[part])
        assert_close(due[2], got[2], TOLERANCE[np.dtype(dtype)])


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
@pytest.mark.parametrize("ragged", [False, True], ids=["even", "ragged"])
def test_pieces_give_the_bits_of_a_whole(lanes, pieces, ragged, dtype):
    lanes(True)
    for m, s in ((3, 41), (70, 23)):
        given = case(RESET_AFTER, m, s, 5, 6, dtype, ragged)
        results = []
        for piece in ((), (1,), (7,), (40,), (None, 1), (3, 8000)):
            pieces(*piece)
            results.append(compiled(RESET_AFTER, *given))
        for due, *others in zip(*results, strict=True):
            for other, (name, value) in itertools.product(others, due.items()):
                np.testing.assert_array_equal(other[name], value, f"{m}, {ragged}, {name}")


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
@pytest.mark.parametrize("ragged", [False, True], ids=["even", "ragged"])
def test_any_number_of_threads_gives_the_same_bits(lanes, threads, ragged, dtype):
    lanes(True)
    given = case(RESET_BEFORE, 203, 40, 7, 8, dtype, ragged)
    results = []
    for n in (1, 2, 3, 7):
        threads(n)
        results.append(compiled(RESET_BEFORE, *given))
    for due, *others in zip(*results, strict=True):
        for other, (name, value) in itertools.product(others, due.items()):
            np.testing.assert_array_equal(other[name], value, name)


def test_without_caches_padding_is_zero(lanes):
    lanes(True)
    p, X, h0, lengths, *_ = case(RESET_BEFORE, 21, 6, 3, 4, np.float32, ragged=True)
    fc = compiled(RESET_BEFORE, p, X, h0, lengths, None)[0]
    h, last = time_major(None, 21, 6, 4, h0.dtype, 21), np.empty_like(h0)
    order = np.argsort(-lengths, kind="stable").astype(np.intp)
    running = np.count_nonzero(lengths[:, None] > np.arange(6), axis=0).astype(np.intp)
    driver.run("forward", RESET_BEFORE, p, {"X": X, "h0": h0, "h": h, "last": last}, CODES, order, running)
    np.testing.assert_array_equal(h, np.where(reference.mask(lengths, 6), fc["h"], np.float32(0)))
    np.testing.assert_array_equal(last, fc["last"])


# --- when ---


@pytest.mark.parametrize(
    ("m", "e", "u", "taken"),
    [
        (50, 3, 5, {"avx512": (1, 1), "avx2": (1, 1), "scalar": (0, 0)}),
        (64, 2, 4, {"avx512": (1, 1), "avx2": (1, 1), "scalar": (0, 0)}),
        (256, 8, 8, {"avx512": (1, 1), "avx2": (1, 0), "scalar": (0, 0)}),
        (100, 1, 1, {"avx512": (1, 1), "avx2": (1, 1), "scalar": (0, 0)}),
        (64, 8, 12, {"avx512": (1, 1), "avx2": (1, 0), "scalar": (0, 0)}),
        (32, 8, 16, {"avx512": (1, 0), "avx2": (0, 0), "scalar": (0, 0)}),
        (64, 32, 64, {"avx512": (0, 0), "avx2": (0, 0), "scalar": (0, 0)}),
        (1, 3, 5, {"avx512": (0, 0), "avx2": (0, 0), "scalar": (0, 0)}),
    ],
)
def test_the_model_takes_what_was_measured_to_be_faster(level, m, e, u, taken):
    if kernels.level() not in taken:
        pytest.skip("not measured")
    for dtype, due in zip((np.float32, np.float64), taken[kernels.level()], strict=True):
        ran = random_layer(e, u, dtype=dtype).run(np.ones((m, 3, e), dtype))
        assert in_lanes(ran.fc["h"]) == due or u == 1, (dtype, due)


def test_the_model_counts_the_steps_that_a_ragged_batch_has(level):
    if kernels.level() != "avx512":
        pytest.skip("not measured")
    X, layer = np.ones((50, 30, 3)), random_layer(3, 5)
    for lengths, due in ((np.full(50, 30), True), (np.arange(50) % 30 + 1, False)):
        assert in_lanes(layer.run(X, lengths).fc["h"]) == due


def test_layer_norm_has_units_in_lanes(lanes):
    lanes(True)
    assert not in_lanes(random_layer(3, 5, layer_norm=True).run(np.ones((50, 3, 3))).fc["h"])


# --- the layer ---


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
@pytest.mark.parametrize(
    "options",
    [{}, {"reset_after": True}, {"reverse": True}, {"zoneout": 0.2}, {"dropout": 0.3}, {"preactivations": False}],
    ids=str,
)
@pytest.mark.parametrize("ragged", [False, True], ids=["even", "ragged"])
def test_a_layer_is_the_same_either_way(lanes, options, ragged, dtype):
    X, lengths, h0 = random_batch(50, 9, 3, 5, ragged, dtype)
    results = []
    for choice in (False, True):
        lanes(choice)
        layer = random_layer(3, 5, sequences=True, dtype=dtype, **options)
        A = layer.forward(X, lengths, h0)
        assert in_lanes(layer.fc["h"]) == choice
        dX = layer.backward(np.cos(A), np.sin(h0))
        layer.compute_gradients()
        own = dict(layer.g)
        cgru.parameters.gru_compute_gradients(layer)
        exact = {"A": A, "dX": dX, "dh0": layer.dh0, "state": layer.state, "P": layer.predict(X, lengths, h0)}
        results.append((exact | layer.fc | layer.bc, own, dict(layer.g)))
    assert_all_same(results[1][0], results[0][0])
    for part in (1, 2):
        assert_close(results[1][part], results[0][part], TOLERANCE[np.dtype(dtype)])


def test_the_next_layer_reads_it_where_it_lies(lanes):
    lanes(True)
    below, above = random_layer(3, 5, sequences=True), random_layer(5, 4)
    A = below.forward(np.ones((50, 9, 3)))
    above.forward(A)
    assert np.shares_memory(above.fc["X"], A)
    assert in_lanes(above.backward(np.ones((50, 4))))
