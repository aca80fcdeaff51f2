"""Difference: against differences of each sample, central differences, and networks with it."""

import copy

import numpy as np
import pytest
from export_cases import assert_equal, gru, inputs, needs_cc, stacked
from export_cases import made as exported

import cgru
from cgru.core.lengths import mask
from cgru.network.training import fit
from cgru.network.training.compiled.engine import compiles

RNG = np.random.default_rng(0)
DTYPES = (np.float32, np.float64)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("keep", [True, False])
@pytest.mark.parametrize("n", [1, 7, 17, 33])
@pytest.mark.parametrize("s", [1, 7, 17, 33])
def test_values_and_gradients_are_those_of_each_sample(s, n, keep, dtype):
    layer, X = cgru.Difference(keep), RNG.standard_normal((3, s, n)).astype(dtype)
    for lengths in (None, np.array([s, 1, max(1, s - 1)])):
        real = np.full(3, s) if lengths is None else lengths
        there = mask(real, s)
        dirty = np.where(there, X, np.nan).astype(dtype)
        A = layer.forward(dirty, lengths)
        np.testing.assert_array_equal(layer.predict(dirty, lengths), A)
        dA = RNG.standard_normal(A.shape).astype(dtype)
        dX = layer.backward(dA)
        for a, d, dx, x, k in zip(A, dA, dX, X, real, strict=True):
            due, back = [x[0] - x[0], *(x[t] - x[t - 1] for t in range(1, k))], np.zeros((k, n), dtype)
            for t in range(k):
                back[t] = d[t, :n] if keep else 0
                back[t] += d[t, -n:] if t else 0
                back[t] -= d[t + 1, -n:] if t + 1 < k else 0
            np.testing.assert_array_equal(a[:k, -n:], due)
            np.testing.assert_array_equal(a[:k, :n], x[:k] if keep else due)
            np.testing.assert_array_equal(dx[:k], back)
            assert not a[k:].any()
            assert not dx[k:].any()
        assert (A.shape, A.dtype, dX.dtype) == ((3, s, (1 + keep) * n), dtype, dtype)
        assert layer.d == {"m": 3, "s": s, "n": n}
        assert layer.fs == {"X": X.shape, "A": A.shape}
        assert layer.bs == {"dA": A.shape, "dX": X.shape}


@pytest.mark.parametrize("keep", [True, False])
def test_central_differences(keep):
    layer, X, lengths = cgru.Difference(keep), RNG.standard_normal((2, 6, 2)), [6, 3]
    weights = RNG.standard_normal(layer.forward(X, lengths).shape)
    dX, found = layer.backward(weights), np.zeros(X.shape)
    for place in np.ndindex(X.shape):
        moved = np.zeros(X.shape)
        moved[place] = 1e-6
        up, down = (layer.predict(X + step, lengths) for step in (moved, -moved))
        found[place] = (weights * (up - down)).sum() / 2e-6
    np.testing.assert_allclose(dX, found, atol=1e-8)


def test_the_caches_are_none_of_the_callers_arrays():
    """What goes back is computed once more from dA, however often."""
    layer, X = cgru.Difference(), RNG.standard_normal((2, 5, 3))
    dA = RNG.standard_normal(layer.forward(X).shape)
    kept = dA.copy()
    first = layer.backward(dA).copy()
    np.testing.assert_array_equal(dA, kept)
    np.testing.assert_array_equal(layer.backward(dA), first)
    integers = cgru.Difference().predict(np.arange(6).reshape(1, 3, 2) ** 2)
    np.testing.assert_array_equal(integers, [[[0, 1, 0, 0], [4, 9, 4, 8], [16, 25, 12, 16]]])
    assert integers.dtype == np.float64


# --- networks ---

LENGTHS = np.array([17, 1, 9, 17, 2, 13, 8, 6, 17])
SERIES = RNG.standard_normal((9, 17, 2))
LABELS = np.arange(9) % 3


def made(dtype=np.float64, keep=True, **options):
    layers = [cgru.Difference(keep), cgru.GRU(3, sequences=True), cgru.Difference(), cgru.Dense(4, "tanh")]
    layers += [cgru.Difference(keep=False), cgru.GRU(18, sequences=True, **options), cgru.Difference(keep)]
    return cgru.Network([*layers, cgru.Pool("mean"), cgru.Dense(3, "softmax")], seed=1, dtype=dtype)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("keep", [True, False])
@pytest.mark.parametrize("lengths", [None, LENGTHS])
def test_a_compiled_fit_is_that_of_the_loop(monkeypatch, lengths, keep, dtype):
    found = []
    for compiled in (True, False):
        net = made(dtype, keep)
        assert compiles(net)
        if not compiled:
            monkeypatch.setattr(fit, "compiles", lambda model: False)
        history = net.fit(
            SERIES, LABELS, lengths=lengths, epochs=3, batch_size=4, standardize=True, validation=(SERIES, LABELS)
        )
        found.append((np.array([history.loss, history.validation_loss]), net.parameters()))
    (losses, ours), (due, theirs) = found
    rtol = 1e-11 if dtype == np.float64 else 5e-5
    np.testing.assert_allclose(losses, due, rtol=rtol)
    for key, array in ours.items():
        np.testing.assert_allclose(array, theirs[key], rtol=rtol, atol=rtol, err_msg=key)


def test_any_number_of_threads_gives_the_same_bits():
    before, found = cgru.get_num_threads(), []
    try:
        for threads in (1, 4):
            cgru.set_num_threads(threads)
            net = made(np.float32)
            net.fit(SERIES, LABELS, lengths=LENGTHS, epochs=2, batch_size=4)
            found.append(net.parameters())
    finally:
        cgru.set_num_threads(before)
    for key, array in found[0].items():
        np.testing.assert_array_equal(array, found[1][key])


@pytest.mark.parametrize("keep", [True, False])
def test_files_copies_and_weights_of_fewer_bytes_keep_it(tmp_path, keep):
    net = made(np.float32, keep)
    due = net.predict(SERIES, LENGTHS)
    net.save(tmp_path / "net.npz")
    for other in (cgru.load(tmp_path / "net.npz"), copy.deepcopy(net)):
        assert repr(other.layers) == repr(net.layers)
        assert other.features == net.features == 2
        np.testing.assert_array_equal(other.predict(SERIES, LENGTHS), due)
    for kind in ("int8", "bfloat16"):
        small = cgru.quantize(net, kind, calibration=SERIES.astype(np.float32), lengths=LENGTHS)
        assert repr(small.layers[0]) == f"Difference(keep={keep})"
        assert np.abs(small.predict(SERIES, LENGTHS) - due).max() < 0.05


def test_stateful_differences_begin_anew_with_each_batch():
    net = cgru.Network([cgru.Difference(), cgru.GRU(3, sequences=True, stateful=True), cgru.Dense(3, "softmax")])
    first, second = net.predict(SERIES[:, :9]), net.predict(SERIES[:, 9:])
    net.reset_states()
    both = np.concatenate([net.layers[0].predict(part) for part in (SERIES[:, :9], SERIES[:, 9:])], axis=1)
    due = net.head.predict(net.layers[1].predict(both))
    np.testing.assert_allclose(np.concatenate([first, second], axis=1), due, rtol=1e-12)


@needs_cc
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("keep", [True, False])
def test_in_c(tmp_path, keep, dtype):
    """Below and above a state, each carrying its own last step; a new sequence begins with a difference of 0."""
    net = stacked(dtype, cgru.Difference(keep), gru(7, dtype), cgru.Difference(keep))
    X, model = inputs(net, dtype), exported(tmp_path, net, "-O1")
    for _ in range(2):
        assert_equal(model.run(X), net.predict(X[None])[0], dtype)
        model.init()
    about = f"Difference from the step before, 5 features{', behind these' * keep}\n"
    assert about in (tmp_path / "model.c").read_text()


# --- refused ---


def test_refused():
    for keep in (1, "yes", None):
        with pytest.raises(TypeError, match=r"^keep: expected True or False, got"):
            cgru.Difference(keep)
    layer = cgru.Difference()
    for call in (layer.forward, layer.compute_shapes):
        with pytest.raises(ValueError, match=r"^A: expected all steps \(m, s, n\), got shape \(3, 2\)"):
            call(np.ones((3, 2)))
    with pytest.raises(RuntimeError, match="forward"):
        layer.backward(np.ones((3, 2, 4)))
    layer.forward(np.ones((3, 4, 2)))
    with pytest.raises(ValueError, match=r"^dX: expected shape \(3, 4, 4\)"):
        layer.backward(np.ones((3, 4, 2)))
    with pytest.raises(ValueError, match=r"layer 1, Difference: expected all steps \(m, s, n\), got \(m, 4\)"):
        cgru.Network([cgru.GRU(4), layer, cgru.Dense(1)])
    dense = cgru.Dense(2)
    dense.forward(np.ones((1, 5)))
    with pytest.raises(ValueError, match="a multiple of 2 features, got 5"):
        cgru.Network([cgru.Difference(), dense])
    net = cgru.Network([cgru.Difference(), cgru.GRU(3), cgru.Dense(3, "softmax")])
    with pytest.raises(ValueError, match=r"^truncate: .*, got Difference\(keep=True\) as layer 0"):
        net.fit(SERIES, LABELS, truncate=2)


def test_shapes():
    for keep in (True, False):
        layer = cgru.Difference(keep)
        assert layer.output_shape(("m", "s", 5)) == ("m", "s", 10 if keep else 5)
        assert layer.output_shape((1, 1, 5)) == (1, 1, 10 if keep else 5)
        assert layer.input_features(10) == (5 if keep else 10)
        assert repr(layer) == f"Difference(keep={keep})"
    assert cgru.Difference().output_shape(("m", "s", "e")) == ("m", "s", "2 e")
    assert cgru.Difference(False).output_shape(("m", "s", "e")) == ("m", "s", "e")
