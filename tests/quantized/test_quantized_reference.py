"""The definition of int8 and bfloat16 weights: against float64, against cgru/reference.py, and number by number."""

import itertools

import numpy as np
import pytest
from helpers import assert_close, random_batch, random_parameters
from quantized_cases import KINDS, coded, random_coded, weights_of

import cgru
from cgru.core.lengths import mask
from cgru.quantized import quantized_reference as reference
from cgru.variant import named


def test_columns():
    rng = np.random.default_rng(0)
    W = rng.standard_normal((50, 7)) * [1, 1e-3, 1e3, 1e-20, 1e20, 1e30, 1]
    W[:, 6] = 0
    W[3, 6] = -2
    codes, scale = reference.quantize_columns(W)
    assert (codes.dtype, codes.shape, scale.dtype, scale.shape) == (np.int8, (50, 7), np.float32, (1, 7))
    np.testing.assert_allclose(scale[0], np.abs(W).max(axis=0) / 127, rtol=1e-6)
    np.testing.assert_array_equal(np.abs(codes).max(axis=0), 127)
    assert (np.abs(codes * scale.astype(np.float64) - W) <= 0.5001 * scale).all()
    np.testing.assert_array_equal(codes[:, 6], np.where(W[:, 6] == 0, 0, -127))


def test_halves_go_to_the_even_code():
    codes, scale = reference.quantize_columns(np.array([[127.0], [0.5], [1.5], [2.5], [-0.5], [-1.5], [126.5], [-127]]))
    assert codes[:, 0].tolist() == [127, 0, 2, 2, 0, -2, 126, -127]
    assert scale.tolist() == [[1.0]]
    codes, scale = reference.quantize_rows(np.array([[127, 0.5, 1.5, 2.5, -0.5, -1.5, 126.5, -127]], np.float32))
    assert codes.tolist() == [[127, 0, 2, 2, 0, -2, 126, -127]]
    assert scale.tolist() == [[1.0]]


def test_columns_of_nothing():
    """Zeros, and what is so small that no inverse would be a number."""
    codes, scale = reference.quantize_columns(np.array([[0, 1e-30, 1e-45, 1.3e-28], [0, -1e-30, 0, 1e-28]]))
    np.testing.assert_array_equal(codes[:, :3], 0)
    np.testing.assert_array_equal(scale[:, :3], 0)
    assert codes[:, 3].tolist() == [127, 98]
    assert scale[0, 3] == pytest.approx(1.3e-28 / 127)


@pytest.mark.parametrize("bound", [0.0, 0.5, 3.0])
def test_rows(bound):
    rng = np.random.default_rng(1)
    x = rng.standard_normal((6, 40)).astype(np.float32) * np.float32([[1], [1e-3], [0.1], [1e20], [1e-25], [10]])
    codes, scale = reference.quantize_rows(x, bound)
    most = np.abs(x).max(axis=1, keepdims=True)
    np.testing.assert_allclose(scale, np.maximum(most, bound) / 127, rtol=1e-6)
    assert scale.dtype == np.float32
    assert codes.dtype.kind == "i"
    assert np.abs(codes).max() == 127
    assert (np.abs(codes * scale.astype(np.float64) - x) <= 0.5001 * scale).all()


def test_rows_of_nothing_and_of_what_is_not_finite():
    x = np.float32(
        [[0, 0, 0], [1e-30, -1e-31, 1e-45], [1, np.nan, 2], [1, np.inf, 2], [-np.inf, 0, 0], [3e-30, 0, -3e-30]]
    )
    for bound, due in ((0.0, 0.0), (1e-30, 0.0), (127.0, 1.0)):
        codes, scale = reference.quantize_rows(x, bound)
        np.testing.assert_array_equal(codes[:5], 0)
        np.testing.assert_array_equal(scale[:, 0][:2], due)
        assert np.isnan(scale[2:5]).all()
        assert codes[5].tolist() == ([0, 0, 0] if due else [127, 0, -127])


def test_what_overflows_beside_what_is_not_finite_is_silent():
    with np.errstate(all="raise"):
        codes, scale = reference.quantize_rows(np.float32([[1e30, np.nan]]), 1e-20)
    assert codes.tolist() == [[0, 0]]
    assert np.isnan(scale).all()


def test_bfloat16_is_the_nearest_of_65536_numbers():
    """Exact for each of them, and between two of them the nearer one, of a middle the even one."""
    bits = np.concatenate([np.arange(0x7F80), np.arange(0x8000, 0xFF80)]).astype(np.uint16)
    numbers = reference.dequantize(bits)
    assert numbers.dtype == np.float32
    np.testing.assert_array_equal(reference.bfloat16(numbers), bits)
    assert reference.bfloat16([1.0, -2.0, 3.140625, np.inf]).tolist() == [0x3F80, 0xC000, 0x4049, 0x7F80]
    rng = np.random.default_rng(2)
    which = rng.integers(0, 0x7F00, 1000).astype(np.uint16)
    low, high = (reference.dequantize(which + np.uint16(i)).astype(np.float64) for i in (0, 1))
    middle = (low + high) / 2
    np.testing.assert_array_equal(reference.bfloat16(middle), which + which % 2)
    exact = which > 0x0100  # middles of smaller ones are not all numbers of float32
    above, below = np.nextafter(np.float32(middle), np.float32(np.inf)), np.nextafter(np.float32(middle), np.float32(0))
    np.testing.assert_array_equal(reference.bfloat16(above)[exact], which[exact] + 1)
    np.testing.assert_array_equal(reference.bfloat16(below)[exact], which[exact])
    assert reference.bfloat16(np.float32(3.4e38)) == 0x7F80  # infinity


def test_floats_of_codes():
    codes = np.array([[127, -1], [0, 3]], np.int8)
    found = reference.dequantize(codes, np.array([[2, 0.5]], np.float32))
    assert found.tolist() == [[254, -0.5], [0, 1.5]]
    assert found.dtype == np.float32


@pytest.mark.parametrize("bound", [0.0, 1.0, 5.0])
def test_a_product_is_that_of_what_the_codes_stand_for(bound):
    rng = np.random.default_rng(3)
    x, W = rng.standard_normal((5, 300)).astype(np.float32), rng.standard_normal((300, 9))
    codes, scale = reference.quantize_columns(W)
    own, row = reference.quantize_rows(x, bound)
    due = (own * row.astype(np.float64)) @ (codes * scale.astype(np.float64))
    got = reference.product(x, codes, scale, bound)
    assert got.dtype == np.float32
    np.testing.assert_allclose(got, due, rtol=1e-6)
    assert np.abs(got - x @ W).max() < 1  # of some 17
    b = rng.standard_normal((1, 9)).astype(np.float32)
    np.testing.assert_array_equal(reference.linear(x, codes, scale, b, bound), got + b)
    bits = reference.bfloat16(W)
    np.testing.assert_allclose(reference.product(x, bits), x.astype(np.float64) @ reference.dequantize(bits), atol=1e-4)


@pytest.mark.parametrize("reverse", [False, True], ids=["onward", "reverse"])
@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
def test_bfloat16_is_the_layer_with_rounded_weights(after, reverse):
    for ragged, zoneout, start in itertools.product((False, True), (0.0, 0.25), (False, True)):
        p = random_coded("bfloat16", 5, 9, after)
        X, lengths, h0 = random_batch(4, 6, 5, 9, ragged, np.float32)
        h0 = h0 if start else None
        gates = (cgru.relu, cgru.tanh, cgru.sigmoid)
        got = reference.forward(p, X, h0, lengths, *gates, zoneout=zoneout, reverse=reverse)
        floats = {name: weights_of(p, name) if name[0] in "UV" else array for name, array in p.items()}
        floats = {name: array.astype(np.float64) for name, array in floats.items()}
        X64 = X.astype(np.float64)
        options = {"zoneout": zoneout or None, "reverse": reverse, "reset_after": after}
        due = cgru.reference.forward(floats, X64, h0, lengths, *gates, **options)["h"]
        real = np.ones((4, 6), bool) if lengths is None else mask(lengths, 6)[:, :, 0]
        assert got.dtype == np.float32
        assert_close(got[real], due[real], 1e-6)


@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
@pytest.mark.parametrize("kind", KINDS)
def test_it_is_near_the_layer_of_floats(kind, after):
    """At the defaults, from zero: some thousandths of a state."""
    p = random_parameters(named("reset_after" if after else "reset_before"), 20, 30)
    X, _, _ = random_batch(6, 8, 20, 30, False)
    due = cgru.reference.forward(p, X, reset_after=after)["h"]
    got = reference.forward(coded(p, kind), X.astype(np.float32), bound=1.0)
    apart = np.abs(got - due).max()
    assert 1e-5 < apart < 0.03


def test_each_bound_is_that_of_its_own_rows():
    """x 1 / 8 of its bound has codes up to 16, and h likewise: an eighth of the levels, and so of the precision."""
    p = random_coded("int8", 20, 30)
    X, _, h0 = random_batch(6, 8, 20, 30, False, np.float32)
    h0 = np.tanh(h0)
    exact = {name: weights_of(p, name) if name[0] in "UV" else array for name, array in p.items()}
    due = cgru.reference.forward(exact, X, h0)["h"]
    apart = {}
    for bounds in itertools.product((8, 64), (1, 8)):
        got = reference.forward(p, X, h0, x_bound=bounds[0], bound=bounds[1])
        apart[bounds] = np.abs(got - due).mean()
    assert apart[8, 1] < 0.8 * min(apart[64, 1], apart[8, 8])
    wide = reference.forward(p, X, h0, x_bound=8.0, bound=1.0)
    np.testing.assert_array_equal(reference.forward(p, X[:, :, :], h0, None, x_bound=8, bound=1), wide)


def test_a_state_past_the_length_is_the_last_one():
    p = random_coded("int8", 3, 4)
    X, _, h0 = random_batch(2, 5, 3, 4, False, np.float32)
    X[0, 2:] = np.nan
    got = reference.forward(p, X, h0, np.array([2, 5]))
    assert np.isfinite(got).all()
    np.testing.assert_array_equal(got[0, 2:], got[0, [1, 1, 1]])
    back = reference.forward(p, X, h0, np.array([2, 5]), reverse=True)
    np.testing.assert_array_equal(back[0, 2:], h0[[0, 0, 0]])


def test_there_is_no_bound_unless_it_is_given():
    rng = np.random.default_rng(4)
    x, b = (rng.standard_normal(shape).astype(np.float32) * 0.01 for shape in ((3, 20), (1, 6)))
    W, scale = reference.quantize_columns(rng.standard_normal((20, 6)))
    for f in (reference.quantize_rows, lambda x, *bound: reference.product(x, W, scale, *bound)):
        for got, due in zip(f(x), f(x, 0.0), strict=True):
            np.testing.assert_array_equal(got, due)
    np.testing.assert_array_equal(reference.linear(x, W, scale, b), reference.linear(x, W, scale, b, 0.0))
    p = random_coded("int8", 20, 6)
    got = reference.forward(p, x[:, None], 0.01 * np.ones((3, 6)))
    np.testing.assert_array_equal(got, reference.forward(p, x[:, None], 0.01 * np.ones((3, 6)), x_bound=0, bound=0))


def test_padding_is_not_seen():
    """Not even where the state is there to be seen: a sample that has ended has no say in what its row is."""
    p = random_coded("int8", 3, 4)
    X, _, h0 = random_batch(1, 3, 3, 4, False, np.float32)
    for filled in (np.nan, np.inf, 1e30):
        X[0, 1:] = filled
        with np.errstate(all="raise"):
            got = reference.forward(p, X, h0, np.array([1]))
        np.testing.assert_array_equal(got[:, 0], reference.forward(p, X[:, :1], h0)[:, 0])


def test_products_beyond_the_largest_number_are_infinite():
    W = reference.bfloat16(np.float32([[2], [2]]))
    assert reference.product(np.float32([[3e38, 3e38], [1, 1]]), W).tolist() == [[np.inf], [4]]
