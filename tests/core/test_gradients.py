"""Weight gradients as they are written: added, anew, transposed, past the cache; against the reference."""

import numpy as np
import pytest
from helpers import TOLERANCE, assert_close, compiled, random_batch, random_parameters

from cgru.core import gradients
from cgru.variant import LAYER_NORM, RESET_AFTER, RESET_BEFORE

# m, s, e, u: a row, few units (lanes are samples), wide inputs, odd sizes, more rows than are summed at once
SHAPES = ((1, 1, 3, 5), (2, 1, 33, 17), (33, 3, 4, 3), (5, 4, 200, 2), (17, 2, 9, 33), (70, 5, 5, 33))
WIDE = (  # from 4 MiB on, or 8 where lines are gathered before; transposed or not
    (np.float64, (5, 1, 400, 448), False),
    (np.float32, (5, 1, 400, 448), True),
    (np.float64, (2, 1, 401, 450), False),
    (np.float64, (2, 1, 401, 450), True),
)


def case(variant, shape, dtype, ragged=False, reverse=False, h0=False):
    """Parameters, the gradients that are due, and what `gradients.run` takes to compute them."""
    m, s, e, u = shape
    p = random_parameters(variant, e, u, dtype)
    X, lengths, first = random_batch(m, s, e, u, ragged, dtype)
    dA = np.random.default_rng(2).standard_normal((m, s, u)).astype(dtype)
    fc, bc, due = compiled(variant, p, X, first if h0 else None, lengths, dA, reverse=reverse)
    bc.pop("dh0")
    order = running = None
    if ragged:
        order = np.argsort(-lengths, kind="stable").astype(np.intp)
        running = np.count_nonzero(lengths[:, None] > np.arange(s), axis=0).astype(np.intp)
    return due, (variant, {**fc, **bc, "X": X}, order, running, reverse, not h0)


def run(due, given, value, turned=False, **how):
    """Return the gradients computed into arrays full of a value; `turned`: into transposes of dU and dV."""
    variant, *rest = given
    g = {name: np.full(each.shape[::-1] if turned and len(each) > 1 else each.shape, value, each.dtype)
         for name, each in due.items()}  # fmt: skip
    gradients.run(variant, g, *rest, **how)
    return {name: g[name].T if turned and len(each) > 1 else g[name] for name, each in due.items()}


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
@pytest.mark.parametrize("variant", [RESET_BEFORE, RESET_AFTER, LAYER_NORM], ids=str)
@pytest.mark.parametrize(
    ("ragged", "reverse", "h0"), [(False, False, False), (False, True, False), (True, False, True)]
)
@pytest.mark.pairwise
def test_anew_over_anything_are_the_bits_of_those_added_to_zeros(level, dtype, variant, ragged, reverse, h0):
    for shape in SHAPES:
        due, given = case(variant, shape, dtype, ragged, reverse, h0)
        anew, added = run(due, given, np.nan, anew=True), run(due, given, 1)
        for name, each in due.items():
            np.testing.assert_array_equal(anew[name], each, str((shape, name)))
            assert_close(added[name], each + 1.0, TOLERANCE[each.dtype], (shape, name))


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
@pytest.mark.parametrize(
    ("ragged", "reverse", "h0"), [(False, False, False), (False, True, False), (True, False, True)]
)
def test_transposes(level, dtype, ragged, reverse, h0):
    for shape in SHAPES:
        due, given = case(RESET_AFTER, shape, dtype, ragged, reverse, h0)
        for value, how in ((np.nan, {"anew": True}), (1, {})):
            got = run(due, given, value, turned=True, by_units=True, **how)
            for name, each in due.items():
                assert_close(got[name], each + (0 if how else 1.0), TOLERANCE[each.dtype], (shape, name, value))


@pytest.mark.parametrize(("dtype", "shape", "turned"), WIDE)
def test_wide_ones_go_past_the_cache_on_any_number_of_threads(level, threads, dtype, shape, turned):
    due, given = case(RESET_AFTER, shape, dtype)
    how = {"anew": True, "by_units": turned}
    got = [(threads(n), run(due, given, np.nan, turned, **how))[1] for n in (1, 3)]
    for name, each in due.items():
        assert_close(got[0][name], each, TOLERANCE[each.dtype], name)
        np.testing.assert_array_equal(got[0][name], got[1][name], name)


# --- of each sample ---


def each(variant, g, arrays, order=None, running=None, reverse=False, fresh=False, turned=False, **how):
    """Return the gradients of each sample computed into arrays full of NaN; `turned`: into transposes."""
    m = len(arrays["X"])
    found = {name: np.full((m, *(value.shape[::-1] if turned else value.shape)), np.nan, value.dtype)
             for name, value in g.items()}  # fmt: skip
    gradients.run(variant, found, arrays, order, running, reverse, fresh, each=True, **how)
    return {name: value.swapaxes(1, 2) if turned else value for name, value in found.items()}


def alone(variant, g, arrays, i, steps, reverse, fresh):
    """Return the gradients of sample i as a batch of its own."""
    found = {name: np.full(value.shape, np.nan, value.dtype) for name, value in g.items()}
    own = {name: array[i : i + 1, :steps] for name, array in arrays.items() if array is not None}
    gradients.run(variant, found, own, None, None, reverse, fresh, anew=True)
    return found


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
@pytest.mark.parametrize("variant", [RESET_BEFORE, RESET_AFTER, LAYER_NORM], ids=str)
@pytest.mark.parametrize(
    ("ragged", "reverse", "h0"), [(False, False, False), (False, True, False), (True, False, True), (True, True, True)]
)
@pytest.mark.pairwise
def test_those_of_each_sample_are_the_bits_of_the_sample_alone(level, dtype, variant, ragged, reverse, h0):
    for shape in (*SHAPES, (3, 300, 4, 17)):
        due, (_, arrays, order, running, *how) = case(variant, shape, dtype, ragged, reverse, h0)
        found = each(variant, due, arrays, order, running, *how)
        for i in {0, 1 % shape[0], shape[0] - 1}:
            steps = shape[1] if running is None else int((running > np.flatnonzero(order == i)[0]).sum())
            for name, value in alone(variant, due, arrays, i, steps, *how).items():
                np.testing.assert_array_equal(found[name][i], value, str((shape, name, i)))
        for name, value in due.items():
            assert_close(found[name].sum(axis=0, dtype=np.float64), value, TOLERANCE[value.dtype] * 5, (shape, name))


def in_lanes(array):
    """The same numbers with the samples side by side."""
    return np.ascontiguousarray(array.transpose(1, 2, 0)).transpose(2, 0, 1)


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
@pytest.mark.parametrize("ragged", [False, True])
@pytest.mark.parametrize("variant", [RESET_BEFORE, RESET_AFTER], ids=str)
def test_those_of_each_sample_from_samples_in_lanes(level, threads, dtype, ragged, variant):
    """Or with only some arrays so, on any number of threads; transposed, too."""
    for shape in ((2, 3, 5, 3), (33, 3, 4, 3), (70, 2, 7, 9)):
        due, (_, arrays, *how) = case(variant, shape, dtype, ragged, h0=True)
        expected = each(variant, due, arrays, *how)
        for turned in ("Xr", "hpdhh_c", None):
            given = {name: in_lanes(array) if turned is None or name in turned else array
                     for name, array in arrays.items() if np.ndim(array) == 3}  # fmt: skip
            for n in (1, 3):
                threads(n)
                for by_units in (False, True) if variant is RESET_AFTER else (False,):
                    found = each(variant, due, given, *how, turned=by_units, by_units=by_units)
                    for name, value in expected.items():
                        assert_close(found[name], value, TOLERANCE[value.dtype], (shape, name))
                        if not by_units:
                            np.testing.assert_array_equal(found[name], value, str((shape, name, turned, n)))


@pytest.mark.parametrize(("dtype", "shape", "turned"), WIDE[:2])
def test_those_of_each_sample_past_the_cache(dtype, shape, turned):
    due, (_, arrays, *how) = case(RESET_AFTER, shape, dtype)
    found = each(RESET_AFTER, due, arrays, *how, turned=turned, by_units=turned)
    for name, value in due.items():
        assert_close(found[name].sum(axis=0), value, TOLERANCE[value.dtype] * 5, name)


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_those_of_a_product(level, dtype):
    rng = np.random.default_rng(0)
    for m, s, n, u in ((1, 1, 1, 1), (7, 3, 2, 17), (33, 2, 70, 2), (2, 300, 5, 3)):
        X, d = rng.standard_normal((m, s, n)).astype(dtype), rng.standard_normal((s, m, u)).astype(dtype).swapaxes(0, 1)
        for given in (X, in_lanes(X), X[:, ::-1]):
            dW, db = gradients.linear_gradients(given, d)
            assert_close(dW, np.matmul(given.swapaxes(1, 2), d, dtype=np.float64), TOLERANCE[X.dtype], (m, s, n, u))
            assert_close(db, d.sum(axis=1, dtype=np.float64), TOLERANCE[X.dtype], (m, s, n, u))


def test_those_of_many_samples_run_some_at_a_time(threads):
    """So many that a signal is looked for in between; all steps of a sample are the same memory."""
    x, d = np.random.default_rng(0).standard_normal((2, 1400, 1, 64), np.float32)
    for n in (1, 3):
        threads(n)
        dW, db = gradients.linear_gradients(*(np.broadcast_to(each, (1400, 64, 64)) for each in (x, d)))
        np.testing.assert_allclose(dW, 64 * x.swapaxes(1, 2) * d, rtol=1e-5)
        np.testing.assert_allclose(db, 64 * d[:, 0], rtol=1e-5)
