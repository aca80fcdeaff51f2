"""`Sequences`: checked once and then constant; what stands in them gets to the layers that read it, with its samples.

Episodes that end within sequences are those sequences cut there: that is the oracle of all this.
"""

import pickle
import re

import numpy as np
import pytest
from helpers import assert_all_close

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
    net.fit(cgru.Sequences(X, LENGTHS, decay=DECAY, times=TIMES), Y, epochs=2, batch_size=5, **options)
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
    net.fit(cgru.Sequences(X, LENGTHS, decay=DECAY), Y[:, 0], epochs=1, truncate=3)
    A, decay = next((A, decay) for A, decay, _ in echo.seen if A.shape[:2] == (M, 3))
    for row, own in zip(A.reshape(-1, E), decay.ravel(), strict=True):
        i, t = np.argwhere((row == X).all(axis=2))[0]
        assert own == DECAY[i, t]


def test_padding_is_not_looked_at():
    net, echo = echoing()
    decay, times = (np.where(np.arange(S) < LENGTHS[:, None], a, np.nan) for a in (DECAY, TIMES))
    net.predict(cgru.Sequences(X, LENGTHS, decay=decay, times=times))
    (_, got, at) = echo.seen[-1]
    for i, steps in enumerate(LENGTHS):
        np.testing.assert_array_equal(got[i], [*DECAY[i, :steps], *[1] * (S - steps)])
        np.testing.assert_array_equal(at[i], [*TIMES[i, :steps], *[TIMES[i, steps - 1]] * (S - steps)])


def test_the_dtype_is_that_of_the_network():
    echo = Echo()
    net = cgru.Network([echo, cgru.Dense(1, "identity")], dtype=np.float32)
    net.predict(cgru.Sequences(X, resets=RESETS, times=TIMES.astype(np.float32)))
    _, decay, times = echo.seen[-1]
    assert (decay.dtype, times.dtype) == (np.float32, np.float64)
    np.testing.assert_array_equal(decay, ~RESETS)


def test_lists_of_sequences_have_lists_beside_them():
    net, echo = echoing()
    ragged = [[a[i, :n] for i, n in enumerate(LENGTHS)] for a in (X, RESETS, TIMES)]
    net.predict(cgru.Sequences(ragged[0], resets=ragged[1], times=ragged[2]))
    for i, n in enumerate(LENGTHS):
        np.testing.assert_array_equal(echo.seen[0][1][i, :n], ~RESETS[i, :n])
    net.predict(cgru.Sequences(ragged[0], resets=RESETS[:, : LENGTHS.max()].tolist()))
    np.testing.assert_array_equal(echo.seen[1][1], echo.seen[0][1])
    short = np.minimum(LENGTHS, S - 2)
    net.predict(cgru.Sequences(X, short, resets=[r[:n] for r, n in zip(RESETS, short, strict=True)]))
    np.testing.assert_array_equal(echo.seen[-1][1], ~RESETS | (np.arange(S) >= short[:, None]))
    net.predict(cgru.Sequences(X, short, resets=Array(RESETS)))
    np.testing.assert_array_equal(echo.seen.pop()[1], echo.seen.pop()[1])
    objects = np.empty(2, object)
    objects[:] = [RESETS[0, :4], RESETS[1, :4]]
    net.predict(cgru.Sequences(X[:2, :4], resets=objects))
    np.testing.assert_array_equal(echo.seen[2][1], ~RESETS[:2, :4])


def test_batches_have_their_own():
    net, echo = echoing()
    first, second = cgru.Sequences(X[:5], resets=RESETS[:5]), cgru.Sequences(X[5:], LENGTHS[5:], decay=DECAY[5:])
    sets = [(first, Y[:5]), (second, Y[5:], None, None)]
    net.fit([*sets, (X, Y)], epochs=1, validation=(cgru.Sequences(X, resets=RESETS), Y))
    seen = [None if decay is None else decay.shape for _, decay, _ in echo.seen]
    assert seen == [(5, S), (7, S), None, (M, S)]
    due = [net.predict(first), net.predict(X[5:])]
    for given in ([sets[0], X[5:]], [first, (X[5:],)], iter([(first,), X[5:]])):
        for got, each in zip(net.predict(given), due, strict=True):
            np.testing.assert_array_equal(got, each)
    assert net.evaluate(sets[:1]) == net.evaluate(first, Y[:5])


@pytest.mark.parametrize("validation", [None, 0.3])
def test_files_give_the_bits_of_arrays(tmp_path, monkeypatch, validation, engine):
    monkeypatch.setattr("cgru.core.row_blocks.BLOCK", 40)
    for name, array in (("x", X), ("y", Y), ("resets", RESETS)):
        np.save(tmp_path / name, array)
    files = [np.load(tmp_path / f"{name}.npy", mmap_mode="r") for name in ("x", "y", "resets")]
    found = []
    for x, y, resets in ((X, Y, RESETS), files, (files[0], Y, RESETS.tolist())):
        net = cgru.Network([gru(), cgru.Dense(1, "identity")], seed=1)
        history = net.fit(cgru.Sequences(x, LENGTHS, resets=resets), y, epochs=2, batch_size=5, validation=validation)
        found.append((history.loss, net.predict(cgru.Sequences(x, resets=resets)).tolist()))
    assert found[0] == found[1] == found[2]
    net.fit(*files[:2], epochs=1)  # without


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
        got, _ = episodes(own.predict(cgru.Sequences(X, lengths, resets=RESETS)), lengths)
        np.testing.assert_allclose(got, due.predict(A, n), atol=1e-13)
        a, b = own.evaluate(cgru.Sequences(X, lengths, resets=RESETS), Y), due.evaluate(A, B, n)
        assert a["loss"] == pytest.approx(b["loss"], rel=1e-12)
        gradients = own.gradients(cgru.Sequences(X, lengths, resets=RESETS), Y)
        assert_all_close(gradients, due.gradients(A, B, n), atol=1e-13)
    else:  # the layer in reverse is the same
        due = cgru.Network([gru(4, learn_h0=True, reverse=True), gru(3), cgru.Dense(1, "identity")], seed=1)
        due.make(A)
        for there, here in zip(due.parameters().values(), own.parameters().values(), strict=True):
            there[...] = here
    options = {"epochs": 2, "shuffle": False, "batch_size": 100}
    history = own.fit(cgru.Sequences(X, lengths, resets=RESETS), Y, **options)
    assert history.loss == pytest.approx(due.fit(A, B, lengths=n, **options).loss, rel=1e-11)
    for array, there in zip(own.parameters().values(), due.parameters().values(), strict=True):
        np.testing.assert_allclose(array, there, rtol=1e-9, atol=1e-11)


def test_classes_gradients_of_samples_and_given_states():
    y = RNG.integers(0, 3, M)
    net = cgru.Network([gru(4), cgru.GRU(5), cgru.Dense(3, "softmax")], seed=1)
    A = net.predict(cgru.Sequences(X, resets=RESETS))
    assert np.abs(A - net.predict(X)).max() > 1e-3
    np.testing.assert_array_equal(net.predict_classes(cgru.Sequences(X, resets=RESETS)), A.argmax(axis=1))
    (got,) = net.predict_classes([(cgru.Sequences(X, resets=RESETS), y)])
    np.testing.assert_array_equal(got, A.argmax(axis=1))
    each, whole = (net.gradients(cgru.Sequences(X, decay=DECAY), y, each=each) for each in (True, False))
    for key, g in each.items():
        np.testing.assert_allclose(g.mean(axis=0), whole[key], atol=1e-14)
    h0, first = [RNG.standard_normal((M, u)) for u in (4, 5)], np.ones((M, S))
    first[:, 0] = 0  # it meets the given states
    np.testing.assert_array_equal(net.predict(cgru.Sequences(X, decay=first), h0=h0), net.predict(X))
    A, states = net.predict(cgru.Sequences(X, decay=DECAY), h0=h0, return_state=True)
    first[:, 0] = DECAY[:, 0]
    again, _ = net.predict(cgru.Sequences(X[:, :1], decay=first[:, :1]), h0=h0, return_state=True)
    due = net.predict(X[:, :1], h0=[h * DECAY[:, :1] for h in h0])
    np.testing.assert_allclose(again, due, atol=1e-15)
    assert [state.shape for state in states] == [(M, 4), (M, 5)]


def test_stateful_layers_carry_states_over_the_boundary():
    net = cgru.Network([gru(4, stateful=True), cgru.Dense(1, "identity")], seed=1)
    whole = net.predict(cgru.Sequences(X, decay=DECAY))
    net.reset_states()
    parts = [net.predict(cgru.Sequences(X[:, at], decay=DECAY[:, at])) for at in (slice(0, 4), slice(4, S))]
    np.testing.assert_allclose(np.concatenate(parts, axis=1), whole, atol=1e-15)


# --- what is refused ---


def test_refusals():
    i = np.flatnonzero(LENGTHS != 4)[0]
    lost = np.where(np.arange(S) < LENGTHS[:, None], at(DECAY, np.nan), np.nan)
    for argument, given in (
        ("resets: expected booleans", {"resets": RESETS * 1.0}),
        ("decay: expected None with resets", {"resets": RESETS, "decay": DECAY}),
        (f"resets: expected shape ({M}, {S})", {"resets": RESETS[:, :5]}),
        (f"resets: expected shape ({M}, {S})", {"resets": [True] * M}),
        (f"resets: expected shape ({M}, {S})", {"resets": [[True] * 3] * 2}),
        (f"resets[{i}]: expected {LENGTHS[i]} steps", {"resets": [r[:4] for r in RESETS]}),
        (f"decay: expected shape ({M}, {S})", {"decay": np.ones((M, S, 5))}),
        ("decay: expected a rectangular array", {"decay": [[1.0], [1.0, 2.0]]}),
        ("decay: expected factors from 0 to 1, got nan in sample 3, step 2", {"decay": lost}),
        ("decay: expected factors from 0 to 1, got 1.5 in sample 3, step 2", {"decay": at(DECAY, 1.5)}),
        ("times: expected times that do not decrease, got -1.0 in sample 3, step 2", {"times": at(TIMES, -1.0)}),
        ("times: expected finite numbers, got inf in sample 3, step 2", {"times": at(TIMES, np.inf)}),
    ):
        with pytest.raises((TypeError, ValueError), match=f"^{re.escape(argument)}"):
            cgru.Sequences(X, LENGTHS, **given)
    with pytest.raises(ValueError, match=rf"^resets\[0\]: expected {S} steps, as X\[0\] has, got 4"):
        cgru.Sequences(X, resets=[r[:4] for r in RESETS])
    net, timed = cgru.Network([gru(), cgru.Dense(1, "identity")], seed=1), cgru.Sequences(X, LENGTHS, times=TIMES)
    for call in (
        lambda: net.predict(timed),
        lambda: net.evaluate(timed, Y),
        lambda: net.gradients(timed, Y),
        lambda: net.fit(timed, Y),
        lambda: net.fit([(timed, Y)]),
        lambda: net.fit(X, Y, validation=(timed, Y)),
    ):
        with pytest.raises(ValueError, match=r"times: expected None, as no layer reads it, got some for \[GRU"):
            call()
    for call in (net.fit, net.evaluate, net.gradients):
        with pytest.raises(TypeError, match=r"^y: expected targets"):
            call(timed)
    for call in (lambda: net.predict(timed, LENGTHS), lambda: net.evaluate(timed, Y, LENGTHS)):
        with pytest.raises(ValueError, match=r"^lengths: expected None with Sequences"):
            call()
    assert not any(layer.p for layer in net.layers)


class Deaf(cgru.GRU):
    reads = ()


@pytest.mark.parametrize(
    ("layers", "words"),
    [
        ([cgru.Frames(2), gru()], r"GRU, layer 1, after Frames\(2, 2, pad=True\), layer 0; put Frames after it"),
        ([gru(), cgru.Frames(2), cgru.Bidirectional(gru())], r"Bidirectional, layer 2, after Frames"),
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
        net.predict(cgru.Sequences(X, **given))


def test_a_difference_does_not_look_over_the_end_of_an_episode():
    net = cgru.Network([cgru.Difference(), gru(), cgru.Dense(1, "identity")], seed=0)
    for call in (net.predict, lambda X: net.fit(X, Y, epochs=1)):
        with pytest.raises(ValueError, match=r"resets: expected None, as Difference\(keep=True\), layer 0, would"):
            call(cgru.Sequences(X, resets=RESETS))
    assert np.isfinite(net.predict(cgru.Sequences(X, decay=DECAY))).all()  # which are of the state alone
    above = cgru.Network([gru(), cgru.Difference(), cgru.Dense(1, "identity")], seed=0)
    assert above.predict(cgru.Sequences(X, resets=RESETS)).shape == (M, S, 1)


def test_times_do_not_go_behind_a_flip():
    net, _ = echoing(cgru.Flip())
    with pytest.raises(ValueError, match=re.escape("times: expected layers that read it at the steps of X, got Echo")):
        net.predict(cgru.Sequences(X, times=TIMES))


def test_frames_may_stand_above():
    net = cgru.Network([gru(), cgru.Frames(3), cgru.Pool("mean"), cgru.Dense(1, "identity")], seed=0)
    history = net.fit(cgru.Sequences(X, LENGTHS, decay=DECAY), Y[:, 0], epochs=1)
    assert np.isfinite(history.loss).all()


# --- the carrier ---


def whole():
    return cgru.Sequences(X, LENGTHS, decay=DECAY, times=TIMES)


def test_it_is_constant_and_keeps_the_users_X():
    resets, lengths = RESETS.copy(), LENGTHS.copy()
    found = cgru.Sequences(X, lengths, resets=resets)
    resets[...], lengths[...] = True, 1
    np.testing.assert_array_equal(found.resets, RESETS)
    np.testing.assert_array_equal(found.lengths, LENGTHS)
    assert np.shares_memory(found.X, X)
    for each in (found, found[1:], found[[2, 1]], pickle.loads(pickle.dumps(found))[:2]):
        for array in (each.X, each.lengths, each.resets):
            with pytest.raises(ValueError, match="read-only"):
                array[...] = 0
    with pytest.raises(AttributeError):
        found.lengths = None
    for call in (np.asarray, gru().forward):  # which would leave out what belongs to X
        with pytest.raises(TypeError, match="got Sequences, whose array is their X"):
            call(found)


@pytest.mark.parametrize(
    "at",
    [3, -1, slice(2, 9, 3), [4, 0, 4], np.arange(M) % 3 == 0, (np.array([1, 5]), ...), np.int64(2)],
    ids=["one", "last", "slice", "list", "mask", "scikit-learn", "numpy"],
)
def test_an_index_selects_samples_with_all_that_is_theirs(at):
    rows = np.atleast_1d(np.arange(M)[at])
    found = whole()[at]
    assert len(found) == len(rows)
    assert (found.shape, found.ndim, found.dtype) == ((len(rows), S, E), 3, X.dtype)
    for name, array in (("X", X), ("lengths", LENGTHS)):
        np.testing.assert_array_equal(getattr(found, name), array[rows])
    net, _ = echoing()
    np.testing.assert_array_equal(net.predict(found), net.predict(whole())[rows])


@pytest.mark.parametrize("at", [M, [0, M], np.ones(M + 1, bool), np.zeros((2, 2), int), "a", (1, 2)])
def test_no_index(at):
    with pytest.raises(IndexError):
        whole()[at]


def test_they_are_joined():
    parts = [
        whole()[:4],
        cgru.Sequences(X[4:, :7], np.minimum(LENGTHS[4:], 7), decay=DECAY[4:, :7], times=TIMES[4:, :7]),
    ]
    found = cgru.Sequences.concatenate(parts)
    assert found.shape == (M, S, E)
    net, _ = echoing()
    due = [net.predict(part) for part in parts]
    for row, own in zip(net.predict(found), [*due[0], *due[1]], strict=True):
        np.testing.assert_array_equal(row[: len(own)], own)
    assert cgru.Sequences.concatenate([cgru.Sequences(X)] * 2).lengths is None
    with pytest.raises(ValueError, match=r"^parts\[1\]: expected the same arrays and features as Sequences"):
        cgru.Sequences.concatenate([whole(), cgru.Sequences(X)])
    with pytest.raises(ValueError, match=r"^parts: expected at least one"):
        cgru.Sequences.concatenate([])


def test_it_says_what_it_has():
    assert repr(cgru.Sequences(X)) == f"Sequences({M} samples of {S} steps, {E} features)"
    tokens = cgru.Sequences(np.zeros((2, 3), int), [3, 1])
    assert repr(tokens) == "Sequences(2 samples of 1 to 3 steps, a number a step)"
    assert "features, decay, times)" in repr(whole())
    assert repr(whole()[[]]) == f"Sequences(0 samples of {S} steps, {E} features, decay, times)"
    assert repr(cgru.Sequences(X)[:1]) == f"Sequences(1 sample of {S} steps, {E} features)"


NOT_LEARNED = pytest.mark.filterwarnings("ignore:GRU.* nothing was learned")


@NOT_LEARNED
def test_scikit_learn_splits_them():
    selection = pytest.importorskip("sklearn.model_selection", reason="no scikit-learn")
    from cgru.sklearn import GRUClassifier

    samples, y = cgru.Sequences(X, LENGTHS, resets=RESETS), np.arange(M) % 2
    model = GRUClassifier(2, inputs="raw", bidirectional=False, budget=0, epochs=1, random_state=0)
    train, test, of_train, of_test = selection.train_test_split(samples, y, test_size=0.25, random_state=0)
    rows, held = selection.train_test_split(np.arange(M), test_size=0.25, random_state=0)
    np.testing.assert_array_equal(train.resets, RESETS[rows])
    np.testing.assert_array_equal(test.lengths, LENGTHS[held])
    assert (len(of_train), len(of_test)) == (9, 3)
    scores = selection.cross_val_score(model, samples, y, cv=3)
    folds = selection.StratifiedKFold(3).split(X, y)
    due = [model.fit(samples[a], y[a]).score(samples[b], y[b]) for a, b in folds]
    np.testing.assert_array_equal(scores, due)
    search = selection.GridSearchCV(model, {"units": [1, 2]}, cv=2).fit(samples, y)
    assert search.predict(samples).shape == (M,)
    with pytest.raises(ValueError, match=r"^channels_first: expected False with Sequences"):
        GRUClassifier(2, epochs=1, channels_first=True).fit(samples, y)


@NOT_LEARNED
def test_columns_of_data_frames_are_compared():
    pandas = pytest.importorskip("pandas", reason="no pandas")
    from cgru.sklearn import GRUClassifier

    frames = [pandas.DataFrame(x[:n], columns=["a", "b"]) for x, n in zip(X, LENGTHS, strict=True)]
    samples, turned = cgru.Sequences(frames), cgru.Sequences([frame[["b", "a"]] for frame in frames])
    assert samples.feature_names == ("a", "b")
    model = GRUClassifier(2, budget=0, epochs=1, random_state=0).fit(samples, np.arange(M) % 2)
    assert model.feature_names_in_.tolist() == ["a", "b"]
    net = cgru.Network([gru()], feature_names=["a", "b"], seed=0)
    np.testing.assert_array_equal(net.predict(samples), net.predict(frames))
    for call in (net.predict, model.predict):
        with pytest.raises(ValueError, match=r"^X: expected the columns a, b"):
            call(turned)
