"""`resets`, `decay` and `times` beside X: checked, and handed to the layers that read them with their samples.

Episodes that end within sequences are those sequences cut there: that is the oracle of all this.
"""

import re
from types import MappingProxyType

import numpy as np
import pytest
from helpers import assert_all_close, refuses

import cgru
from cgru.layers.layer import Layer, LayerPass

RNG = np.random.default_rng(0)
M, S, E = 12, 9, 2
X = RNG.standard_normal((M, S, E))
Y = RNG.standard_normal((M, S, 1))
LENGTHS = RNG.integers(4, S + 1, M)
RESETS = RNG.random((M, S)) < 0.3
DECAY = np.where(RNG.random((M, S)) < 0.4, 1, RNG.random((M, S)))
TIMES = np.cumsum(RNG.random((M, S)), axis=1)


class Echo(Layer):
    """Keeps what it reads; passes A on, with the factors added."""

    reads = ("decay", "times")

    def __init__(self):
        super().__init__()
        self.seen = []

    def run(self, A, lengths=None, decay=None, times=None):
        self.seen.append((A.copy(), decay, times))
        return LayerPass(None, lambda dA, _: dA, X=A, A=A if decay is None else A + decay[:, :, None])


def at(array, value, i=3, t=2):
    array = array.copy()
    array[i, t] = value
    return array


class Array:
    """Of another package."""

    def __init__(self, array):
        self.array = array

    def __array__(self, dtype=None, copy=None):
        return self.array


def echoing(*below):
    echo = Echo()
    return cgru.Network([*below, echo, cgru.Dense(1, "identity")], seed=1), echo


def gru(u=5, **options):
    return cgru.GRU(u, sequences=True, **options)


def cut(lengths=None):
    """Each episode as a sample: the rows of X, its first steps and its lengths."""
    found = []
    for i, steps in enumerate([S] * M if lengths is None else lengths):
        starts = [0, *(t for t in range(1, steps) if RESETS[i, t])]
        found += [(i, start, stop - start) for start, stop in zip(starts, [*starts[1:], steps], strict=True)]
    return found


def episodes(A, lengths=None):
    """Each episode of A (m, s, n) as a sample, padded with zeros, and their lengths."""
    parts = cut(lengths)
    padded = np.zeros((len(parts), S, A.shape[2]))
    for row, (i, start, steps) in zip(padded, parts, strict=True):
        row[:steps] = A[i, start : start + steps]
    return padded, np.array([steps for *_, steps in parts])


# --- who gets what ---


@pytest.mark.parametrize(
    "options", [{}, {"validation": 0.25, "bucket": True}, {"truncate": 2}], ids=["all", "split", "pieces"]
)
def test_each_sample_keeps_its_own(options):
    net, echo = echoing()
    net.fit(X, Y, lengths=LENGTHS, decay=DECAY, times=TIMES, epochs=2, batch_size=5, **options)
    steps = 0
    for A, decay, times in echo.seen:
        assert A.shape[:2] == decay.shape == times.shape
        for row, own, at in zip(A.reshape(-1, E), decay.ravel(), times.ravel(), strict=True):
            i, t = np.argwhere((row == X).all(axis=2))[0]
            if t < LENGTHS[i]:
                assert (own, at) == (DECAY[i, t], TIMES[i, t])
                steps += 1
    assert steps >= 2 * LENGTHS.sum()


def test_the_last_steps_have_theirs():
    echo = Echo()
    net = cgru.Network([echo, cgru.Pool("last"), cgru.Dense(1, "identity")], seed=1)
    net.fit(X, Y[:, 0], lengths=LENGTHS, decay=DECAY, epochs=1, truncate=3)
    A, decay = next((A, decay) for A, decay, _ in echo.seen if A.shape[:2] == (M, 3))
    for row, own in zip(A.reshape(-1, E), decay.ravel(), strict=True):
        i, t = np.argwhere((row == X).all(axis=2))[0]
        assert own == DECAY[i, t]


def test_padding_is_not_looked_at():
    net, echo = echoing()
    decay, times = (np.where(np.arange(S) < LENGTHS[:, None], a, np.nan) for a in (DECAY, TIMES))
    net.predict(X, LENGTHS, decay=decay, times=times)
    (_, got, at) = echo.seen[-1]
    for i, steps in enumerate(LENGTHS):
        np.testing.assert_array_equal(got[i], [*DECAY[i, :steps], *[1] * (S - steps)])
        np.testing.assert_array_equal(at[i], [*TIMES[i, :steps], *[TIMES[i, steps - 1]] * (S - steps)])


def test_the_dtype_is_that_of_the_network():
    echo = Echo()
    net = cgru.Network([echo, cgru.Dense(1, "identity")], dtype=np.float32)
    net.predict(X, resets=RESETS, times=TIMES.astype(np.float32))
    _, decay, times = echo.seen[-1]
    assert (decay.dtype, times.dtype) == (np.float32, np.float64)
    np.testing.assert_array_equal(decay, ~RESETS)


def test_lists_of_sequences_have_lists_beside_them():
    net, echo = echoing()
    ragged = [[a[i, :n] for i, n in enumerate(LENGTHS)] for a in (X, RESETS, TIMES)]
    net.predict(ragged[0], resets=ragged[1], times=ragged[2])
    for i, n in enumerate(LENGTHS):
        np.testing.assert_array_equal(echo.seen[0][1][i, :n], ~RESETS[i, :n])
    net.predict(ragged[0], resets=RESETS[:, : LENGTHS.max()].tolist())
    np.testing.assert_array_equal(echo.seen[1][1], echo.seen[0][1])
    short = np.minimum(LENGTHS, S - 2)
    net.predict(X, short, resets=[r[:n] for r, n in zip(RESETS, short, strict=True)])
    np.testing.assert_array_equal(echo.seen[-1][1], ~RESETS | (np.arange(S) >= short[:, None]))
    net.predict(X, short, resets=Array(RESETS))
    np.testing.assert_array_equal(echo.seen.pop()[1], echo.seen.pop()[1])
    objects = np.empty(2, object)
    objects[:] = [RESETS[0, :4], RESETS[1, :4]]
    net.predict(X[:2, :4], resets=objects)
    np.testing.assert_array_equal(echo.seen[2][1], ~RESETS[:2, :4])


def test_batches_have_their_own():
    net, echo = echoing()
    sets = [(X[:5], Y[:5], {"resets": RESETS[:5]}), (X[5:], Y[5:], LENGTHS[5:], None, {"decay": DECAY[5:]})]
    net.fit([*sets, (X, Y)], epochs=1, validation=(X, Y, MappingProxyType({"resets": RESETS})))
    seen = [None if decay is None else decay.shape for _, decay, _ in echo.seen]
    assert seen == [(5, S), (7, S), None, (M, S)]
    due = [net.predict(X[:5], resets=RESETS[:5]), net.predict(X[5:])]
    for given in ([sets[0], X[5:]], [(X[:5], {"resets": RESETS[:5], "times": None}), (X[5:], {})]):
        for got, each in zip(net.predict(given), due, strict=True):
            np.testing.assert_array_equal(got, each)
    assert net.evaluate(sets[:1]) == net.evaluate(X[:5], Y[:5], resets=RESETS[:5])


@pytest.mark.parametrize("validation", [None, 0.3])
def test_files_give_the_bits_of_arrays(tmp_path, monkeypatch, validation, engine):
    monkeypatch.setattr("cgru.core.row_blocks.BLOCK", 40)
    for name, array in (("x", X), ("y", Y), ("resets", RESETS)):
        np.save(tmp_path / name, array)
    files = [np.load(tmp_path / f"{name}.npy", mmap_mode="r") for name in ("x", "y", "resets")]
    found = []
    for x, y, resets in ((X, Y, RESETS), files, (files[0], Y, RESETS.tolist())):
        net = cgru.Network([gru(), cgru.Dense(1, "identity")], seed=1)
        history = net.fit(x, y, resets=resets, lengths=LENGTHS, epochs=2, batch_size=5, validation=validation)
        found.append((history.loss, net.predict(x, resets=resets).tolist()))
    assert found[0] == found[1] == found[2]
    net.fit(*files[:2], epochs=1)  # without
    resets = RESETS.astype(float)
    resets[9, 1] = 2
    with pytest.raises(ValueError, match=r"^decay: .*got 2.0 in sample 9, step 1"):
        net.fit(files[0], Y, decay=resets)
    with pytest.raises(ValueError, match=r"^validation decay: .*got -1.0 in sample 0, step 0"):
        net.fit(X, Y, validation=(files[0], Y, {"decay": at(DECAY, -1, 0, 0)}))
    resets[9, 1] = resets[np.arange(S) >= LENGTHS[:, None]] = np.nan
    with pytest.raises(ValueError, match=r"^decay: .*got nan in sample 9, step 1"):
        net.fit(files[0], Y, lengths=LENGTHS, decay=resets)
    resets[9, 1] = 0
    net.fit(files[0], Y, lengths=LENGTHS, decay=resets, epochs=1)


# --- what it means: episodes are samples ---


@pytest.mark.parametrize("lengths", [None, LENGTHS], ids=["whole", "ragged"])
@pytest.mark.parametrize(
    "layers",
    [
        lambda: [gru()],
        lambda: [gru(4, reset_after=True, learn_h0=True), cgru.Dense(3, "tanh"), gru(3, layer_norm=True)],
        lambda: [cgru.Bidirectional(gru(4)), gru(3, reverse=True)],
        lambda: [cgru.Flip(), gru(4, learn_h0=True), cgru.Flip(), gru(3)],
    ],
    ids=["one", "stack", "both ways", "flips"],
)
def test_a_reset_is_the_begin_of_a_sample(engine, layers, lengths):
    own, due = (cgru.Network([*layers(), cgru.Dense(1, "identity")], seed=1) for _ in range(2))
    (A, n), (B, _) = episodes(X, lengths), episodes(Y, lengths)
    for net in (own, due):
        net.predict(X)  # makes the parameters
        for key, array in net.parameters().items():
            if key.endswith("h0"):
                array[...] = 0.5
    flips = any(isinstance(layer, cgru.Flip) for layer in own.layers)
    if not flips:  # which turns whole samples, not their episodes
        got, _ = episodes(own.predict(X, lengths, resets=RESETS), lengths)
        np.testing.assert_allclose(got, due.predict(A, n), atol=1e-13)
        a, b = own.evaluate(X, Y, lengths, resets=RESETS), due.evaluate(A, B, n)
        assert a["loss"] == pytest.approx(b["loss"], rel=1e-12)
        gradients = own.gradients(X, Y, lengths, resets=RESETS)
        assert_all_close(gradients, due.gradients(A, B, n), atol=1e-13)
    else:  # the layer in reverse is the same
        due = cgru.Network([gru(4, learn_h0=True, reverse=True), gru(3), cgru.Dense(1, "identity")], seed=1)
        due.make(A)
        for there, here in zip(due.parameters().values(), own.parameters().values(), strict=True):
            there[...] = here
    options = {"epochs": 2, "shuffle": False, "batch_size": 100}
    history = own.fit(X, Y, lengths=lengths, resets=RESETS, **options)
    assert history.loss == pytest.approx(due.fit(A, B, lengths=n, **options).loss, rel=1e-11)
    for array, there in zip(own.parameters().values(), due.parameters().values(), strict=True):
        np.testing.assert_allclose(array, there, rtol=1e-9, atol=1e-11)


def test_classes_gradients_of_samples_and_given_states():
    y = RNG.integers(0, 3, M)
    net = cgru.Network([gru(4), cgru.GRU(5), cgru.Dense(3, "softmax")], seed=1)
    A = net.predict(X, resets=RESETS)
    assert np.abs(A - net.predict(X)).max() > 1e-3
    np.testing.assert_array_equal(net.predict_classes(X, resets=RESETS), A.argmax(axis=1))
    (got,) = net.predict_classes([(X, {"resets": RESETS})])
    np.testing.assert_array_equal(got, A.argmax(axis=1))
    each, whole = (net.gradients(X, y, decay=DECAY, each=each) for each in (True, False))
    for key, g in each.items():
        np.testing.assert_allclose(g.mean(axis=0), whole[key], atol=1e-14)
    h0, first = [RNG.standard_normal((M, u)) for u in (4, 5)], np.ones((M, S))
    first[:, 0] = 0  # it meets the given states
    np.testing.assert_array_equal(net.predict(X, h0=h0, decay=first), net.predict(X))
    A, states = net.predict(X, h0=h0, decay=DECAY, return_state=True)
    first[:, 0] = DECAY[:, 0]
    again, _ = net.predict(X[:, :1], h0=h0, decay=first[:, :1], return_state=True)
    due = net.predict(X[:, :1], h0=[h * DECAY[:, :1] for h in h0])
    np.testing.assert_allclose(again, due, atol=1e-15)
    assert [state.shape for state in states] == [(M, 4), (M, 5)]


def test_stateful_layers_carry_states_over_the_boundary():
    net = cgru.Network([gru(4, stateful=True), cgru.Dense(1, "identity")], seed=1)
    whole = net.predict(X, decay=DECAY)
    net.reset_states()
    parts = [net.predict(X[:, at], decay=DECAY[:, at]) for at in (slice(0, 4), slice(4, S))]
    np.testing.assert_allclose(np.concatenate(parts, axis=1), whole, atol=1e-15)


# --- what is refused ---


def refused(argument, error=ValueError, layers=None, **given):
    net = cgru.Network([gru(), cgru.Dense(1, "identity")] if layers is None else layers, seed=1)
    for call, where in (
        (lambda: net.predict(X, LENGTHS, **given), ""),
        (lambda: net.evaluate(X, Y, LENGTHS, **given), ""),
        (lambda: net.gradients(X, Y, LENGTHS, **given), ""),
        (lambda: net.fit(X, Y, lengths=LENGTHS, **given), ""),
        (lambda: net.fit([(X, Y, LENGTHS, None, given)]), "batch 1: "),
        (lambda: net.fit(X, Y, validation=(X, Y, LENGTHS, None, given)), "validation "),
    ):
        with pytest.raises(error, match=f"^{where}{re.escape(argument)}: "):
            call()
    assert not any(layer.p for layer in net.layers)


def test_refusals():
    refused("resets", TypeError, resets=RESETS * 1.0)
    i = np.flatnonzero(LENGTHS != 4)[0]
    for name, resets in (
        ("resets", RESETS[:, :5]), (f"resets[{i}]", [r[:4] for r in RESETS]), ("resets", [True] * M),
        ("resets", [[True] * 3] * 2),
    ):  # fmt: skip
        refused(name, resets=resets)
    for decay in (np.ones((M, S, 5)), at(DECAY, np.nan), at(DECAY, 1.5), [[1.0], [1.0, 2.0]]):
        refused("decay", decay=decay)
    for wrong in (-1.0, np.inf):
        refused("times", layers=[Echo(), cgru.Dense(1, "identity")], times=at(TIMES, wrong))
    refused("times", times=TIMES)
    net = cgru.Network([gru(), cgru.Dense(1, "identity")])
    for call, argument in (
        (lambda: net.predict(X, resets=RESETS, decay=DECAY), "decay"),
        (lambda: net.predict(X, resets=[r[:4] for r in RESETS]), "resets[0]"),
        (lambda: net.fit([(X, Y, {"gaps": TIMES})]), "batch 1: gaps"),
        *((lambda call=call: call([(X, Y)], resets=RESETS), "resets") for call in (net.fit, net.evaluate)),
        (lambda: net.gradients([(X, Y)], resets=RESETS), "resets"),
        (lambda: net.predict(iter([X]), decay=DECAY), "lengths, h0, return_state, resets, decay, times"),
    ):
        with refuses(ValueError, argument):
            call()


class Deaf(cgru.GRU):
    reads = ()


@pytest.mark.parametrize(
    ("layers", "words"),
    [
        ([cgru.Frames(2), gru()], r"GRU, layer 1, behind Frames\(2, 2, pad=True\), layer 0; put Frames above it"),
        ([gru(), cgru.Frames(2), cgru.Bidirectional(gru())], r"Bidirectional, layer 2, behind Frames"),
        ([gru(), Deaf(3, sequences=True)], r"None, as GRU\(.*\), layer 1, does not read it, got some"),
        ([cgru.Dense(4, "tanh")], r"None, as no layer reads it"),
    ],
    ids=["frames", "between", "deaf", "none"],
)
@pytest.mark.parametrize("given", [{"resets": RESETS}, {"decay": DECAY}], ids=["resets", "decay"])
def test_layers_that_cannot_read(layers, words, given):
    net = cgru.Network([*layers, cgru.Dense(1, "identity")])
    (name,) = given
    with pytest.raises(ValueError, match=f"^{name}: expected .*{words}"):
        net.predict(X, **given)


def test_a_difference_does_not_look_over_the_end_of_an_episode():
    net = cgru.Network([cgru.Difference(), gru(), cgru.Dense(1, "identity")], seed=0)
    for call in (net.predict, lambda X, **given: net.fit(X, Y, epochs=1, **given)):
        with pytest.raises(ValueError, match="resets: "):
            call(X, resets=RESETS)
    assert np.isfinite(net.predict(X, decay=DECAY)).all()  # which are of the state alone
    above = cgru.Network([gru(), cgru.Difference(), cgru.Dense(1, "identity")], seed=0)
    assert above.predict(X, resets=RESETS).shape == (M, S, 1)


def test_batches_to_predict_name_what_stands_beside():
    net = cgru.Network([gru(), cgru.Dense(1, "identity")], seed=0)
    with pytest.raises(ValueError, match="reset: "):
        list(net.predict([(X, Y, {"reset": RESETS})]))
    plain = cgru.Network([cgru.GRU(3), cgru.Dense(1, "identity")], seed=0)
    plain.fit([(X, Y[:, 0], {"resets": None})], epochs=1)


def test_times_do_not_go_behind_a_flip():
    net, _ = echoing(cgru.Flip())
    with pytest.raises(ValueError, match=re.escape("times: ")):
        net.predict(X, times=TIMES)


def test_frames_may_stand_above():
    net = cgru.Network([gru(), cgru.Frames(3), cgru.Pool("mean"), cgru.Dense(1, "identity")], seed=0)
    history = net.fit(X, Y[:, 0], lengths=LENGTHS, decay=DECAY, epochs=1)
    assert np.isfinite(history.loss).all()
