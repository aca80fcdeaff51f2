"""Networks in which `Frames` change the number of steps: outputs, targets and weights are those of the frames."""

import numpy as np
import pytest
from helpers import assert_all_close, refuses
from network_cases import same, weights

import cgru
from cgru.network.training import fit
from cgru.reference import mask

RNG = np.random.default_rng(0)
M, S, E, K = 9, 17, 2, 3
X = RNG.standard_normal((M, S, E))
LENGTHS = np.array([17, 4, 9, 17, 10, 13, 8, 6, 17])


def made(*frames, per_step=True, seed=1, dtype=np.float64, **options):
    layers = [cgru.GRU(4, sequences=True), cgru.Frames(*frames), cgru.GRU(5, sequences=per_step)]
    return cgru.Network([*layers, cgru.Dense(K, "softmax")], seed=seed, dtype=dtype, **options)


# --- use ---


@pytest.mark.parametrize("pad", [True, False, (2, 1)])
def test_what_is_padding_counts_nowhere(pad):
    net = made(4, 3, pad)
    net.make(X)
    frames = net.output_lengths(LENGTHS)
    A = net.predict(np.where(mask(LENGTHS, S), X, np.nan), LENGTHS)
    assert A.shape == (M, net.output_lengths(np.array([S]))[0], K)
    for x, k, a, n in zip(X, LENGTHS, A, frames, strict=True):
        alone = net.predict(x[None, :k])[0]
        assert len(alone) == n
        np.testing.assert_allclose(a[:n], alone, rtol=1e-12)
        assert not a[n:].any()
    classes = net.predict_classes(X, LENGTHS)
    np.testing.assert_array_equal(classes == -1, ~mask(frames, A.shape[1])[:, :, 0])
    whole = made(4, 3, pad, per_step=False)
    np.testing.assert_allclose(whole.predict(X, LENGTHS)[1], whole.predict(X[1:2, :4])[0], rtol=1e-12)


def test_zeros_come_in_after_the_standardisation():
    net = cgru.Network([cgru.Frames(4, 3), cgru.Dense(2, "identity")], seed=0)
    net.fit(5 + X, RNG.standard_normal((M, 6, 2)), epochs=1, standardize=True)
    x = (X[0] + 5 - net.mean) / net.scale
    last = np.concatenate([x[15], x[16], np.zeros(2 * E)])
    np.testing.assert_allclose(net.predict(5 + X)[0, -1], last @ net.head.p["W"] + net.head.p["b"][0], rtol=1e-12)


def test_outputs_are_scored_at_their_own_steps():
    net = made(4, 3)
    n = net.output_lengths(np.array([S]))[0]
    y, w = RNG.integers(0, K, (M, n)), RNG.random((M, n))
    net.make(X)
    A, there = net.predict(X, LENGTHS), mask(net.output_lengths(LENGTHS), n)[:, :, 0]
    each = -np.log(np.take_along_axis(A, y[:, :, None], axis=2)[:, :, 0], where=there, out=np.zeros(y.shape))
    hits = A.argmax(axis=2) == y
    for given, own in ((None, np.ones((M, n))), (w, w), (w[:, 0], np.repeat(w[:, :1], n, axis=1))):
        found = net.evaluate(X, y, LENGTHS, sample_weight=given, each=True)
        np.testing.assert_allclose(found["loss"], (own * each)[there].sum() / own[there].sum())
        np.testing.assert_allclose(found["accuracy"], (own * hits)[there].sum() / own[there].sum())
        np.testing.assert_allclose(found["losses"], each)
    count = net.evaluate(X, y, LENGTHS, metrics={"rows": lambda y, A: len(A) if len(y) == len(A) else -1})["rows"]
    assert count == there.sum()


# --- training ---


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("per_step", [True, False])
@pytest.mark.parametrize(
    ("frames", "truncate"), [((4,), None), ((4,), 8), ((3, None, False), 6), ((3, 1), None), ((2, 3, (1, 2)), None)]
)
@pytest.mark.pairwise
def test_a_compiled_fit_is_that_of_the_loop(monkeypatch, frames, truncate, per_step, dtype):
    """With masks, validation, weights, penalties, batches of like length, and a last one of a single sample."""
    found = []
    for compiled in (True, False):
        bottom = cgru.Bidirectional(cgru.GRU(3, sequences=True)) if truncate is None else cgru.GRU(3, sequences=True)
        layers = [
            bottom,
            cgru.Dropout(0.3),
            cgru.Frames(*frames),
            cgru.GRU(18, sequences=True, dropout=0.2, zoneout=0.1),
        ]
        layers += [cgru.Frames(2), cgru.GRU(3, sequences=per_step, learn_h0=True), cgru.Dense(K, "softmax")]
        net = cgru.Network(layers, seed=1, dtype=dtype)
        n = net.output_lengths(np.array([S]))[0]
        rows = (M + 1, n) if per_step else (M + 1,)
        rng = np.random.default_rng(2)
        y, w, A = rng.integers(0, K, rows), rng.random(rows) + 0.1, np.concatenate([X, X[:1]])
        lengths = np.append(np.maximum(LENGTHS, 6), S)
        if not compiled:
            monkeypatch.setattr(fit, "compiles", lambda model: False)
        options = {
            "truncate": 2 * truncate if truncate else None,
            "bucket": True,
            "penalties": cgru.Penalties(activity_l1=1e-3),
            "standardize": True,
        }
        history = net.fit(
            A, y, lengths=lengths, epochs=3, batch_size=3, sample_weight=w, validation=(A, y, lengths, w), **options
        )  # fmt: skip
        found.append((history.loss + history.validation_loss + history.accuracy, weights(net)))
    (values, ours), (due, theirs) = found
    tolerance = 1e-12 if dtype == np.float64 else 2e-5
    np.testing.assert_allclose(values, due, rtol=tolerance)
    assert_all_close(theirs, ours, rtol=tolerance, atol=tolerance)


def test_names_of_classes_at_frames(engine):
    net = made(4, class_names=["c", "a", "b"])
    y = np.array(["a", "b", "c"])[RNG.integers(0, K, (M, 5))]
    net.fit(X, y, epochs=1)
    assert net.predict_classes(X, LENGTHS)[1].tolist()[1:] == [""] * 4
    found = cgru.Network(made(4).layers, seed=0)
    found.fit(X, np.where(mask(found.output_lengths(LENGTHS), 5)[:, :, 0], y, "padding"), lengths=LENGTHS, epochs=1)
    assert found.class_names == ("a", "b", "c")


def test_weights_of_frames_weigh_the_statistics_by_sample():
    """A step stands in none, one or several frames: it weighs what its sample does on average."""
    w, there = RNG.random((M, 5)), mask(made(4).output_lengths(LENGTHS), 5)[:, :, 0]
    net, other = made(4), made(4)
    y = RNG.integers(0, K, (M, 5))
    net.fit(X, y, lengths=LENGTHS, sample_weight=w, epochs=1, standardize=True)
    each = (w * there).sum(axis=1) / there.sum(axis=1)
    other.fit(X, y, lengths=LENGTHS, sample_weight=each, epochs=1, standardize=True)
    np.testing.assert_allclose(net.mean, other.mean)
    np.testing.assert_allclose(net.scale, other.scale)


def test_a_stateful_fit_begins_frames_anew_with_each_batch(engine):
    net = cgru.Network([cgru.Frames(4), cgru.GRU(3, sequences=True, stateful=True), cgru.Dense(K, "softmax")], seed=0)
    net.fit(X[:8], RNG.integers(0, K, (8, 5)), epochs=1, batch_size=4, shuffle=False)
    net.reset_states()
    first, second = net.predict(X[:4, :9]), net.predict(X[:4, 9:])
    net.reset_states()
    frames = net.layers[0]
    both = np.concatenate([frames.predict(X[:4, :9]), frames.predict(X[:4, 9:])], axis=1)
    due = net.head.predict(net.layers[1].predict(both))
    np.testing.assert_allclose(np.concatenate([first, second], axis=1), due, rtol=1e-12)


# --- refused ---


@pytest.mark.parametrize("pad", [False, (1, 1)])
def test_a_sample_shorter_than_a_frame_is_refused_by_its_index(pad, engine):
    net, due = made(8, 4, pad), r"X: expected at least the \d steps that make a frame, got 4 in sample 1"
    net.make(X)
    before, n = weights(net), net.output_lengths(np.array([S]))[0]
    y = RNG.integers(0, K, (M, n))
    for call in (
        lambda: net.predict(X, LENGTHS),
        lambda: net.evaluate(X, y, LENGTHS),
        lambda: net.fit(X, y, lengths=LENGTHS, epochs=1),
    ):
        with pytest.raises(ValueError, match=f"^{due}"):
            call()
    with pytest.raises(ValueError, match=f"^validation {due}"):
        net.fit(X, y, epochs=1, validation=(X, y, LENGTHS))
    with refuses(ValueError, "X"):
        net.predict(X[:, :3])
    assert same(weights(net), before)
    assert not net.history


def test_targets_of_another_number_of_steps_are_refused():
    net = made(4)
    with refuses(ValueError, "y"):
        net.fit(X, np.zeros((M, S), int), epochs=1)
    with refuses(ValueError, "sample_weight"):
        net.fit(X, np.zeros((M, 5), int), sample_weight=np.ones((M, S)), epochs=1)


@pytest.mark.parametrize("frames", [(3, 1), (2, 3), (3, 3, (3, 0)), (3, 3, (0, 3))])
def test_truncate_needs_patches(frames):
    net = made(*frames)
    y = np.zeros((M, net.output_lengths(np.array([S]))[0]), int)
    with refuses(ValueError, "truncate"):
        net.fit(X, y, epochs=1, truncate=6)


def test_truncate_is_a_multiple_of_all_patches():
    net = cgru.Network([cgru.Frames(2), *made(3).layers], seed=0)
    y = np.zeros((M, 3), int)
    with refuses(ValueError, "truncate"):
        net.fit(X, y, epochs=1, truncate=8)
    net.fit(X, y, epochs=1, truncate=12)
