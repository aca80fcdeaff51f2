"""Long calls run piece by piece: the bits of one piece, and a signal's handler is heard in between."""

import functools
import itertools
import signal
import tracemalloc

import numpy as np
import pytest
from helpers import alarm, compiled, random_batch, random_layer, random_parameters

import cgru
from cgru import reference
from cgru.activations import code_of, sigmoid, tanh
from cgru.core import driver, gradients
from cgru.variant import RESET_BEFORE, VARIANTS

CODES = tuple(code_of(f, None) for f in (tanh, sigmoid, sigmoid))


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
@pytest.mark.parametrize("reverse", [False, True], ids=["onward", "reverse"])
@pytest.mark.parametrize("variant", VARIANTS.values(), ids=str)
def test_a_call_in_pieces_gives_the_bits_of_a_whole_one(pieces, variant, reverse, dtype):
    shapes = ((1, 41, 5), (3, 41, 5), (33, 23, 5), (1, 41, 300), (2, 41, 300), (3, 41, 300))  # last: `_batching_limit`
    ways = zip(itertools.product(shapes, (False, True)), itertools.cycle((None, "mask", "mask")))
    for ((m, s, e), ragged), zoneout in ways:
        p = random_parameters(variant, e, 17, dtype)
        X, lengths, h0 = random_batch(m, s, e, 17, ragged, dtype)
        h0 = None if zoneout is None else h0
        rng = np.random.default_rng(4)
        dA, dstate = rng.standard_normal((m, s, 17)).astype(dtype), rng.standard_normal((m, 17)).astype(dtype)
        kept = None if zoneout is None else (rng.random((m, s, 17)) < 0.3).astype(dtype)
        results = []
        for piece in ((), (1,), (2,), (7,), (40,), (None, 1), (3, 8000)):
            pieces(*piece)
            results.append(compiled(variant, p, X, h0, lengths, dA, dstate, reverse, kept, dh=m != 2))
        for due, *others in zip(*results, strict=True):
            for other, (name, value) in itertools.product(others, due.items()):
                np.testing.assert_array_equal(other[name], value, f"{m}, {e}, {ragged}, {zoneout}, {name}")


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
@pytest.mark.parametrize("ragged", [False, True])
def test_gradients_of_each_sample_in_pieces(pieces, ragged, dtype):
    """Of many samples some at a time, and of long ones each by itself."""
    for m, s, u in ((150, 3, 5), (3, 41, 17), (20, 41, 3)):
        layer = random_layer(4, u, sequences=True, dtype=dtype)
        X, lengths, h0 = random_batch(m, s, 4, u, ragged, dtype)
        ran = layer.run(X, lengths, h0)
        ran.backward(np.random.default_rng(4).standard_normal(ran.A.shape))
        due = ran.gradients(each=True)
        for piece in (1, 7, 40):
            pieces(piece)
            for name, value in ran.gradients(each=True).items():
                np.testing.assert_array_equal(value, due[name], f"{m}, {piece}, {name}")


@pytest.mark.parametrize("reverse", [False, True], ids=["onward", "reverse"])
@pytest.mark.parametrize("variant", VARIANTS.values(), ids=str)
def test_without_padding_nothing_is_written_there(level, variant, reverse):
    for m, s, e, u in ((1, 9, 5, 7), (17, 9, 5, 7), (3, 41, 300, 17)):
        p = random_parameters(variant, e, u)
        X, lengths, h0 = random_batch(m, s, e, u, True)
        dA = np.random.default_rng(4).standard_normal((m, s, u))
        real = reference.mask(lengths, s)[:, :, 0]
        due, got = (compiled(variant, p, X, h0, lengths, dA, reverse=reverse, padded=each) for each in (True, False))
        for which in range(3):
            for name, value in got[which].items():
                same = slice(None) if value.ndim == 2 else real
                np.testing.assert_array_equal(value[same], due[which][name][same], name)
                if value.ndim == 3 and name not in ("h", "hp"):
                    assert np.isnan(value[~real]).all(), name


def test_rows_are_those_of_the_samples_that_run():
    """A row has an odd number of cache lines at least: many times the one number of its state."""
    m = 3_000_000
    p = random_parameters(RESET_BEFORE, 1, 1, np.float32)
    X, last = np.ones((m, 1, 1), np.float32), np.empty((m, 1), np.float32)
    tracemalloc.start()
    try:
        driver.run("forward", RESET_BEFORE, p, {"X": X, "last": last}, CODES)
        assert tracemalloc.get_traced_memory()[1] < m * 64 / 2
    finally:
        tracemalloc.stop()
    assert (last == last[0]).all()


def endless(*shape):
    """An array (m, s, n) or (m, n) whose steps are all the same memory."""
    memory = np.zeros((shape[0], 1, shape[-1]) if len(shape) == 3 else shape, np.float32)
    return np.lib.stride_tricks.as_strided(memory, shape, (memory.strides[0], 0, 4) if len(shape) == 3 else None)


@pytest.mark.skipif(not hasattr(signal, "setitimer"), reason="no alarms on this system")
@pytest.mark.parametrize("m", [1, 9])
@pytest.mark.parametrize("what", ["predict", "forward", "backward", "gradients", "each"])
def test_a_long_call_answers_a_signal(what, m):
    s, e, u = 20_000_000 // m, 2, 32  # many seconds
    p = random_parameters(RESET_BEFORE, e, u, np.float32)
    arrays = {"X": endless(m, s, e), "h0": endless(m, u), "last": endless(m, u), "dX": endless(m, s, e)}
    if what != "predict":
        arrays |= {name: endless(m, s, u) for name in ("h", "hp", "hh", "z", "r", "dh", "dhh_", "dz_", "dr_")}
    if what in ("gradients", "each"):
        g = {"d" + name: np.zeros((m, *p[name].shape), np.float32) for name in p}
        call = functools.partial(gradients.run, RESET_BEFORE, g, arrays, each=what == "each")
    else:
        direction = "backward" if what == "backward" else "forward"
        call = functools.partial(driver.run, direction, RESET_BEFORE, p, arrays, CODES)
    with alarm(0.05, 1.2):
        call()


@pytest.mark.slow
@pytest.mark.skipif(not hasattr(signal, "setitimer"), reason="no alarms on this system")
def test_a_call_of_many_samples_answers_a_signal():
    p = random_parameters(RESET_BEFORE, 1, 8, np.float32)
    arrays = {"X": np.zeros((3_000_000, 8, 1), np.float32), "last": np.empty((3_000_000, 8), np.float32)}
    with alarm(0.05, 1.5):
        driver.run("forward", RESET_BEFORE, p, arrays, CODES)


@pytest.mark.parametrize("reset_after", [False, True])
@pytest.mark.parametrize("ragged", [False, True])
def test_two_directions_at_once_in_pieces(pieces, crew, ragged, reset_after):
    layer = cgru.Bidirectional(cgru.GRU(17, rng=0, sequences=True, reset_after=reset_after))
    X, lengths, _ = random_batch(3, 41, 4, 17, ragged)
    layer.compute_shapes(X)
    layer.initialize_parameters()
    dA = np.random.default_rng(4).standard_normal((3, 41, 34))
    results = []
    for threads, piece in ((1, None), (2, None), (2, 1), (2, 7), (2, 40)):
        crew(threads)
        pieces(piece)
        ran = layer.run(X, lengths)
        results.append([ran.A, ran.backward(dA), *ran.gradients().values(), layer.predict(X, lengths)])
    for due, *others in zip(*results, strict=True):
        for other in others:
            np.testing.assert_array_equal(other, due)
