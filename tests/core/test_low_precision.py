"""Layers of int8 and bfloat16 weights at every level of the machine, against cgru/quantized/quantized_reference.py."""

import itertools
import signal

import numpy as np
import pytest
from helpers import alarm, assert_close, random_batch
from quantized_cases import (
    KINDS,
    NarrowGRU,
    coded,
    narrow_levels,
    narrow_linear,
    on_a_tie,
    quantum,
    random_coded,
    weights_of,
)

import cgru
from cgru.activations import CODES, FADING, identity
from cgru.core import kernels, low_precision
from cgru.core.lengths import mask
from cgru.core.linear import Linear
from cgru.quantized import quantized_reference as reference
from cgru.variant import RESET_BEFORE

SIZES = (1, 7, 17, 33, 65, 130)
SHAPES = (
    (1, 1, 1), (1, 7, 17), (3, 33, 7), (17, 5, 33), (2, 64, 80), (9, 1, 65), (5, 130, 129), (4, 17, 130), (6, 65, 1),
    (2, 300, 70), (3, 7, 260),
)  # fmt: skip
BOTH = [False, True]


def batch(m, s, e, u, ragged=False, seed=1):
    """X, lengths and h0 within 1; NaN stands past the lengths."""
    X, lengths, h0 = random_batch(m, s, e, u, ragged, np.float32, seed)
    return X, lengths, np.tanh(h0)


def step_is_due(p, layer, X, h0, gates=(cgru.tanh, cgru.sigmoid, cgru.sigmoid), x_bound=0.0, bound=1.0, zoneout=0.0):
    """One step from h0 against the reference: within 1e-6, or a quantum where a code of r * h may be either of two."""
    got, last = layer.forward(X[:, :1].copy(), None, h0, every=True)
    np.testing.assert_array_equal(got[:, 0], last)
    x = X[:, 0]
    due = reference.forward(p, x[:, None], h0, None, *gates, x_bound=x_bound, bound=bound, zoneout=zoneout)[:, 0]
    sums = np.abs(due).max(axis=1, initial=1, keepdims=True)
    within = np.full((len(X), 1), 1e-6)
    if "chh" not in p and p["Uz"].dtype == np.int8:
        r = reference.product(x, p["Ur"], p["scale_Ur"], x_bound) + p["br"]
        r = gates[2](r + reference.product(h0, p["Vr"], p["scale_Vr"], bound))
        rh = r * h0
        within[on_a_tie(rh, bound)] += 2 * quantum(p, max(bound, np.abs(rh).max()))
        assert within.min() == within[~on_a_tie(rh, bound)].min(initial=within.max())
    assert (np.abs(last - due) <= within * sums).all(), (np.abs(last - due) / sums).max()
    return within


# --- against the definition ---


@pytest.mark.parametrize("after", BOTH, ids=["before", "after"])
@pytest.mark.parametrize("kind", KINDS)
def test_a_step_of_any_size(narrow_level, kind, after):
    strict = []
    for m, e, u in SHAPES:
        p = random_coded(kind, e, u, after)
        X, _, h0 = batch(m, 1, e, u)
        for x_bound, zoneout in ((0.0, 0.0), (2.0, 0.0), (5.0, 0.25)):  # the second: some rows go beyond it
            layer = NarrowGRU(p, x_bound=x_bound, bound=1.0, zoneout=zoneout)
            strict += list(step_is_due(p, layer, X, h0, x_bound=x_bound, zoneout=zoneout) < 2e-6)
    assert np.mean(strict) > 0.9  # of the rows few stand on a tie


@pytest.mark.parametrize("after", BOTH, ids=["before", "after"])
@pytest.mark.parametrize("kind", KINDS)
def test_whole_sequences(narrow_level, kind, after):
    """Ragged, both ways, from a state: a code that is rounded the other way moves a state by a few quanta at most."""
    for (m, e, u), reverse, ragged in itertools.product(SHAPES, BOTH, BOTH):
        p = random_coded(kind, e, u, after, gain=0.7)
        X, lengths, h0 = batch(m, 6, e, u, ragged)
        layer = NarrowGRU(p, bound=1.0)
        h, last = layer.forward(X, lengths, h0, reverse=reverse, every=True)
        due = reference.forward(p, X, h0, lengths, bound=1.0, reverse=reverse)
        real = np.ones((m, 6, 1), bool) if lengths is None else mask(lengths, 6)
        within = 2e-6 if kind == "bfloat16" else 2 * quantum(p) + 2e-6
        assert np.abs(h - due * real).max() < within, (m, e, u)
        np.testing.assert_array_equal(h[~real[:, :, 0]], 0)
        end = np.zeros(m, int) if reverse else np.full(m, 5) if lengths is None else lengths - 1
        np.testing.assert_array_equal(last, h[np.arange(m), end])
        only, same = layer.forward(X, lengths, h0, reverse=reverse)
        assert only is None
        np.testing.assert_array_equal(same, last)


def test_without_a_state_it_begins_at_zero(narrow_level):
    p = random_coded("int8", 5, 9)
    X, _, h0 = batch(3, 4, 5, 9)
    layer = NarrowGRU(p, bound=1.0)
    first, second = (layer.forward(X, None, h, every=True)[0] for h in (None, 0 * h0))
    np.testing.assert_array_equal(first, second)


@pytest.mark.parametrize("f", [f for f, code in CODES.items() if code < FADING], ids=lambda f: f.__name__)
@pytest.mark.parametrize("after", BOTH, ids=["before", "after"])
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.pairwise
def test_every_activation(narrow_level, kind, after, f):
    """One that knows no bound has none for its states, each of which gets a scale of its own."""
    options = {"LRELU_alpha": 0.2, "ELU_alpha": 0.7}
    bound = 1.0 if f in (cgru.tanh, cgru.sigmoid) else 0.0
    p = random_coded(kind, 9, 33, after, gain=0.6)
    X, _, h0 = batch(7, 1, 9, 33)
    for place in range(3):
        codes, gates = [cgru.tanh, cgru.sigmoid, cgru.sigmoid], [cgru.tanh, cgru.sigmoid, cgru.sigmoid]
        codes[place] = f
        gates[place] = cgru.activations.bind(f, options)
        layer = NarrowGRU(p, tuple(codes), options, bound=bound)
        step_is_due(p, layer, X, h0 * (1 if bound else 4), gates, bound=bound)


# --- integers ---


@pytest.mark.parametrize("k", [1, 2, 3, 4, 5, 7, 8, 15, 17, 33, 64, 65, 130, 2000])
def test_sums_of_integers_are_exact(narrow_level, k):
    """With a scale of 1 what comes out is the sum itself, 127 * 127 * k at its most, for tiles of all shapes."""
    rng = np.random.default_rng(k)
    for m, u in ((1, 1), (1, 130), (2, 33), (3, 65), (4, 17), (5, 64), (9, 7)):
        codes = rng.integers(-127, 128, (m, k))
        W = rng.integers(-127, 128, (k, u)).astype(np.int8)
        codes[0], W[:, 0] = 127, -127  # the extremes
        codes[-1], W[:, -1] = -127, 127
        ones, zeros = np.ones((1, u), np.float32), np.zeros((1, u), np.float32)
        layer = narrow_linear(W, ones, zeros, 127.0)
        due = (codes @ W.astype(int)).astype(np.float32)
        np.testing.assert_array_equal(layer.outputs(codes.astype(np.float32)), due)
        assert np.abs(due).max() == np.float32(127 * 127 * k)


@pytest.mark.parametrize("after", BOTH, ids=["before", "after"])
@pytest.mark.parametrize(("e", "u"), [(1, 1), (7, 17), (33, 7), (65, 130), (2000, 33), (3, 300)])
def test_the_sums_of_a_step_are_exact(narrow_level, e, u, after):
    """Identity all over, z = 0 and r = 1: a new state is x Uhh + h Vhh."""
    rng = np.random.default_rng(e)
    p = {}
    for name, shape in RESET_BEFORE.shapes(e, u).items():
        p[name] = np.zeros(shape, np.float32 if name[0] == "b" else np.int8)
        p["scale_" + name] = np.ones((1, u), np.float32)
    p["br"][...] = 1
    for name in ("Uhh", "Vhh"):
        p[name][...] = rng.integers(-127, 128, p[name].shape)
    if after:
        p["chh"] = np.zeros((1, u), np.float32)
    for m in (1, 2, 3, 4, 5, 9):
        x, h = rng.integers(-127, 128, (m, e)), rng.integers(-127, 128, (m, u))
        x[0], h[-1] = 127, -127
        layer = NarrowGRU(p, (identity,) * 3, x_bound=127.0, bound=127.0)
        _, last = layer.forward(x[:, None].astype(np.float32), None, h.astype(np.float32))
        first = (x @ p["Uhh"].astype(int)).astype(np.float32)
        second = (h @ p["Vhh"].astype(int)).astype(np.float32)
        np.testing.assert_array_equal(last, first + second)


@pytest.mark.parametrize("k", [1, 2, 7, 33, 65, 500])
def test_sums_of_bfloat16_are_exact(narrow_level, k):
    """Where they are of small integers."""
    rng = np.random.default_rng(k)
    for m, u in ((1, 1), (1, 130), (2, 33), (3, 65), (4, 17), (9, 64)):
        x, W = rng.integers(-99, 100, (m, k)), rng.integers(-99, 100, (k, u))
        b = rng.integers(-99, 100, (1, u)).astype(np.float32)
        layer = narrow_linear(reference.bfloat16(W), None, b)
        np.testing.assert_array_equal(layer.outputs(x.astype(np.float32)), (x @ W + b).astype(np.float32))


def test_int8_is_the_same_at_all_levels():
    """But for rounding: codes are the same bits, and so are the sums."""
    rng = np.random.default_rng(0)
    X = (rng.standard_normal((5, 70)) * 3).astype(np.float32)
    W, scale = reference.quantize_columns(rng.standard_normal((70, 33)))
    zero, before = np.zeros((1, 33), np.float32), kernels.level()
    try:
        for bound in (0.0, 4.0):
            found = []
            for level, vnni in narrow_levels():
                kernels.use_level(level, vnni=vnni)
                found.append(narrow_linear(W, scale, zero, bound).outputs(X))
            for other in found:
                np.testing.assert_array_equal(other, found[0])
            np.testing.assert_allclose(found[0], reference.product(X, W, scale, bound), rtol=3e-7)
    finally:
        kernels.use_level(before)


# --- unusual numbers ---


@pytest.mark.parametrize("kind", KINDS)
def test_a_product_of_unusual_rows(narrow_level, kind):
    """Zeros, tiny and huge numbers, rows within and beyond the bound, halves that round to the even code."""
    rng = np.random.default_rng(3)
    for (k, u), bound in itertools.product(((7, 17), (33, 65), (130, 7)), (0.0, 0.5, 254.0)):
        X = rng.standard_normal((9, k)).astype(np.float32)
        X[0] = 0
        X[1] *= 1e-35
        X[2] *= np.float32(1e30)
        X[3] *= 1e-29
        X[4] = np.float32(-0.0)
        X[5] = rng.integers(-126, 127, k) + 0.5
        X[5, 0] = 127  # the largest: codes are what the numbers are
        X[6] *= 0.1
        X[6, -1] = 0.5
        X[7] = 1.5e-45
        W = rng.standard_normal((k, u))
        p = coded({"U": W}, kind)
        b = rng.standard_normal((1, u)).astype(np.float32)
        layer = narrow_linear(p["U"], p.get("scale_U"), b, bound)
        got, due = layer.outputs(X), reference.linear(X, p["U"], p.get("scale_U"), b, bound)
        size = np.abs(X) @ np.abs(weights_of(p, "U")) + np.abs(b)
        assert (np.abs(got - due) <= 3e-6 * size).all()
        np.testing.assert_array_equal(got[[0, 4]], np.repeat(b, 2, axis=0))
        assert np.isfinite(got).all()
        if kind == "int8":  # what is that small counts as zero
            none = narrow_linear(p["U"], p["scale_U"], 0 * b, bound).outputs(X)
            np.testing.assert_array_equal(none[[0, 1, 4, 7]], 0)
            assert (none[[2, 5]] != 0).all()
            assert bound or (none[3] != 0).all()


def test_a_bound_of_almost_nothing(narrow_level):
    """Its inverse may be no number any more: it counts as none, and what is as small as zero."""
    rng = np.random.default_rng(3)
    for bound, size in itertools.product((1e-45, 1e-38, 1e-31), (0.0, 1e-40, 1e-32, 1.0)):
        X = (rng.standard_normal((3, 17)) * size).astype(np.float32)
        W, scale = reference.quantize_columns(rng.standard_normal((17, 9)))
        zero = np.zeros((1, 9), np.float32)
        got = narrow_linear(W, scale, zero, bound).outputs(X)
        if size < 1e-30:
            np.testing.assert_array_equal(got, 0)
        else:
            np.testing.assert_allclose(got, X @ reference.dequantize(W, scale), atol=0.1)


@pytest.mark.parametrize("after", BOTH, ids=["before", "after"])
@pytest.mark.parametrize("kind", KINDS)
def test_a_step_of_unusual_rows(narrow_level, kind, after):
    """Of x and of h: zeros, tiny and huge numbers, beside those of others."""
    for (e, u), x_bound in itertools.product(((7, 33), (33, 5), (1, 1)), (0.0, 2.0)):
        p = random_coded(kind, e, u, after)
        X, _, h0 = batch(9, 1, e, u)
        X[0], X[4] = 0, -0.0
        X[1] *= 1e-35
        X[2] *= np.float32(1e30)
        h0[3], h0[4], h0[5] = 0, -0.0, 1e-35
        h0[6] *= np.float32(1e30)
        layer = NarrowGRU(p, x_bound=x_bound, bound=1.0)
        step_is_due(p, layer, X[:6], h0[:6], x_bound=x_bound)
        _, last = layer.forward(X, None, h0)
        due = reference.forward(p, X, h0, x_bound=x_bound, bound=1.0)[:, 0]
        np.testing.assert_array_equal(last[:6], layer.forward(X[:6].copy(), None, h0[:6])[1])
        np.testing.assert_allclose(last[6] / 1e30, due[6] / 1e30, atol=1e-6)


@pytest.mark.parametrize("after", BOTH, ids=["before", "after"])
@pytest.mark.parametrize("kind", KINDS)
def test_a_state_beyond_its_bound_has_a_scale_of_its_own(narrow_level, kind, after):
    p = random_coded(kind, 5, 33, after)
    X, _, h0 = batch(4, 1, 5, 33)
    h0[1] *= 40
    h0[2, 7] = 1.01
    step_is_due(p, NarrowGRU(p, bound=1.0), X, h0)


@pytest.mark.parametrize("after", BOTH, ids=["before", "after"])
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("reverse", BOTH, ids=["onward", "reverse"])
@pytest.mark.pairwise
def test_what_is_not_finite_is_that_of_its_sample(narrow_level, kind, after, reverse):
    """From its step on; all others have the bits that they have without it."""
    for (e, u), x_bound in itertools.product(((7, 33), (1, 5), (33, 17)), (0.0, 3.0)):
        p = random_coded(kind, e, u, after)
        X, _, h0 = batch(6, 5, e, u)
        layer = NarrowGRU(p, x_bound=x_bound, bound=1.0)
        plain, _ = layer.forward(X, None, h0, every=True, reverse=reverse)
        X[1, 2, -1], X[4, 3, 0], X[5, 0, 0] = np.nan, np.inf, -np.inf
        spoiled, last = layer.forward(X, None, h0, every=True, reverse=reverse)
        order = range(5)[::-1] if reverse else range(5)
        seen = np.zeros((6, 5), bool)
        for sample, step in ((1, 2), (4, 3), (5, 0)):
            seen[sample, list(order)[list(order).index(step) :]] = True
        np.testing.assert_array_equal(spoiled[~seen], plain[~seen])
        assert np.isnan(spoiled[1][seen[1]]).all()
        assert kind == "bfloat16" or np.isnan(spoiled[4:][seen[4:]]).all()  # else a sum may be infinite, a gate 0 or 1
        np.testing.assert_array_equal(last, spoiled[:, order[-1]])
        due = reference.forward(p, X, h0, bound=1.0, x_bound=x_bound, reverse=reverse)
        np.testing.assert_array_equal(np.isnan(spoiled), np.isnan(due))


@pytest.mark.parametrize("kind", KINDS)
def test_rows_of_a_product_that_are_not_finite(narrow_level, kind):
    for k in SIZES:
        X = np.random.default_rng(k).standard_normal((5, k)).astype(np.float32)
        p = coded({"U": np.random.default_rng(0).standard_normal((k, 9))}, kind)
        layer = narrow_linear(p["U"], p.get("scale_U"), np.ones((1, 9), np.float32), 2.0)
        plain = layer.outputs(X)
        X[[1, 3], [0, -1]] = np.nan, np.inf
        got = layer.outputs(X)
        np.testing.assert_array_equal(got[::2], plain[::2])
        assert np.isnan(got[1]).all()
        assert not np.isfinite(got[3]).any()
        assert kind == "bfloat16" or np.isnan(got[3]).all()


# --- any batch, any threads, any piece ---


@pytest.mark.parametrize("after", BOTH, ids=["before", "after"])
@pytest.mark.parametrize("kind", KINDS)
def test_a_sample_alone_has_the_bits_that_it_has_in_a_batch(narrow_level, kind, after):
    for m, s, e, u, ragged in ((11, 4, 7, 33, False), (11, 4, 33, 70, True)):
        p = random_coded(kind, e, u, after)
        X, lengths, h0 = batch(m, s, e, u, ragged)
        layer = NarrowGRU(p, bound=1.0)
        h, last = layer.forward(X, lengths, h0, every=True)
        for i in range(m):
            n = s if lengths is None else lengths[i]
            alone, end = layer.forward(X[i : i + 1, :n].copy(), None, h0[i : i + 1], every=True)
            np.testing.assert_array_equal(alone[0], h[i, :n])
            np.testing.assert_array_equal(end[0], last[i])


@pytest.mark.parametrize("kind", KINDS)
def test_the_bits_are_the_same_for_any_number_of_threads(threads, kind):
    p = random_coded(kind, 70, 65)
    for m, ragged, reverse in itertools.product((37, 90), BOTH, BOTH):
        X, lengths, h0 = batch(m, 12, 70, 65, ragged)
        layer, found = NarrowGRU(p, bound=1.0), []
        for n in (1, 2, 3, 8):
            threads(n)
            found.append(layer.forward(X, lengths, h0, every=True, reverse=reverse))
        for h, last in found[1:]:
            np.testing.assert_array_equal(h, found[0][0])
            np.testing.assert_array_equal(last, found[0][1])


def test_more_rows_of_a_product_than_run_together():
    rng = np.random.default_rng(0)
    X, W, b = (rng.standard_normal(shape).astype(np.float32) for shape in ((600, 9), (9, 5), (1, 5)))
    for kind in KINDS:
        p = coded({"U": W}, kind)
        layer = narrow_linear(p["U"], p.get("scale_U"), b, 1.0)
        out = layer.outputs(X)
        for rows in (slice(0, 1), slice(255, 258), slice(599, 600)):
            np.testing.assert_array_equal(layer.outputs(X[rows].copy()), out[rows])


@pytest.mark.parametrize("kind", KINDS)
def test_the_bits_of_a_product_are_the_same_for_any_number_of_threads(threads, kind):
    rng = np.random.default_rng(0)
    X, W, b = (rng.standard_normal(shape).astype(np.float32) for shape in ((1501, 100), (100, 65), (1, 65)))
    p, found = coded({"U": W}, kind), []
    layer = Linear(p["U"], b, (CODES[cgru.tanh], 0.0), p.get("scale_U"), 1.0)
    for n in (1, 2, 3, 8):
        threads(n)
        found.append((layer.outputs(X), *layer.both(X)))
    for same, Z, A in found:
        np.testing.assert_array_equal(Z, found[0][1])
        np.testing.assert_array_equal(same, A)
        np.testing.assert_array_equal(A, found[0][2])
    assert_close(A, np.tanh(Z), 1e-6)
    assert [each.shape for each in layer.both(X[:0])] == [(0, 65)] * 2


@pytest.mark.parametrize("reverse", BOTH, ids=["onward", "reverse"])
def test_a_call_in_pieces_gives_the_bits_of_a_whole_one(pieces, reverse):
    for kind, ragged in itertools.product(KINDS, BOTH):
        p = random_coded(kind, 5, 17)
        X, lengths, h0 = batch(9, 23, 5, 17, ragged)
        layer, found = NarrowGRU(p, bound=1.0), []
        for piece in ((), (1,), (7,), (22,)):
            pieces(*piece)
            found.append(layer.forward(X, lengths, h0, every=True, reverse=reverse))
        for h, last in found[1:]:
            np.testing.assert_array_equal(h, found[0][0])
            np.testing.assert_array_equal(last, found[0][1])


@pytest.mark.skipif(not hasattr(signal, "setitimer"), reason="no alarms on this system")
@pytest.mark.parametrize("m", [1, 9])
def test_a_long_call_answers_a_signal(m):
    """X (m, s, e), all steps of which are the same memory: many seconds of it."""
    s, e, u = 40_000_000 // m, 2, 32
    memory = np.zeros((m, 1, e), np.float32)
    X = np.lib.stride_tricks.as_strided(memory, (m, s, e), (memory.strides[0], 0, 4))
    layer = NarrowGRU(random_coded("int8", e, u), bound=1.0)
    with alarm(0.2, 1.2):
        layer.forward(X, None, None)


# --- the level ---


def test_the_level_is_that_in_use(narrow_level):
    level = kernels.level()
    assert narrow_level.startswith(level)
    layer = NarrowGRU(random_coded("int8", 3, 4))
    assert layer.packed.level == narrow_level
    kernels.use_level(level, vnni=False)
    assert low_precision.level() == level
    assert layer.packed.level == narrow_level  # what its weights were packed for


def test_weights_of_a_quarter_and_half_of_the_bytes():
    for kind, share in (("int8", 0.26), ("bfloat16", 0.5)):
        layer = NarrowGRU(random_coded(kind, 256, 256))
        assert layer.packed.weight_bytes <= share * 4 * 6 * 256 * 256
        assert (layer.packed.e, layer.packed.u) == (256, 256)
