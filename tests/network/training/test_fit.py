"""Training: that it learns, repeats, stops, survives what is raised in it, and what it refuses."""

import copy
import gc
import pickle
import signal
import threading

import numpy as np
import pytest
from helpers import assert_all_close, refuses, watched
from network_cases import LABELS, LENGTHS, REALS, RNG, E, M, S, X, made, padded, same, weights

import cgru
from cgru.network.training import fit


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_smoothed_targets_are_trained_and_those_given_are_scored(tmp_path, dtype, engine):
    """The fit is one to shares smoothed by hand, and the losses that it tells of validation are plain."""
    nets = [
        made(cgru.Dense(3, cgru.softmax, dtype=dtype), dtype, loss=loss)
        for loss in ("cross_entropy(0.3)", "cross_entropy")
    ]
    options = {"lengths": LENGTHS, "epochs": 6, "batch_size": 7, "shuffle": False, "patience": 2}
    weights, double = RNG.random(M), 1.0 + (LABELS == 1)
    own = {"sample_weight": weights, "class_weight": {1: 2.0}, "validation": (X, LABELS, LENGTHS)}
    history = nets[0].fit(X, LABELS, **options, **own)
    own = {"sample_weight": weights * double, "validation": (X, LABELS, LENGTHS, double)}
    by_hand = nets[1].fit(X, 0.7 * np.eye(3)[LABELS] + 0.1, **options, **own)
    tolerance = 1e-4 if dtype == np.float32 else 1e-9
    np.testing.assert_allclose(history.loss, by_hand.loss, rtol=tolerance)
    np.testing.assert_allclose(history.validation_loss, by_hand.validation_loss, rtol=tolerance)
    assert_all_close(nets[1].parameters(), nets[0].parameters(), rtol=0, atol=tolerance)
    nets[0].save(tmp_path / "smoothed")
    found = cgru.load(tmp_path / "smoothed")
    assert found.loss == "cross_entropy(0.3)"
    told = found.evaluate(X, LABELS, LENGTHS, sample_weight=double, each=True)
    A = found.predict(X, LENGTHS).astype(np.float64)
    np.testing.assert_allclose(told["losses"], -np.log(A[np.arange(M), LABELS]), rtol=max(tolerance, 1e-7))
    assert told["loss"] == pytest.approx(min(history.validation_loss), rel=1e-6)


@pytest.mark.parametrize(
    ("head", "y", "loss"),
    [
        ((3, cgru.softmax), LABELS, "cross_entropy"),
        ((3, cgru.softmax), np.eye(3)[LABELS], "cross_entropy"),
        ((1, cgru.sigmoid), (LABELS == 1).astype(int), "binary_cross_entropy"),
        ((1, cgru.sigmoid), LABELS == 1, "binary_cross_entropy"),
        ((3, cgru.sigmoid), np.eye(3)[LABELS], "binary_cross_entropy"),
        ((2, cgru.identity), REALS, "mean_squared_error"),
        ((1, cgru.tanh), np.tanh(REALS[:, 0]), "mean_squared_error"),
    ],
)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_learns(head, y, loss, dtype):
    net = made(cgru.Dense(*head, dtype=dtype), dtype, units=16, optimizer=cgru.Adam(0.02))
    assert net.loss == loss
    before = net.evaluate(X, y, LENGTHS)
    history = net.fit(padded(X, LENGTHS, np.nan), y, lengths=LENGTHS, epochs=60, batch_size=7)
    after = net.evaluate(X, y, LENGTHS)
    assert after["loss"] < 0.2 * before["loss"]
    assert len(history.loss) == 60
    assert history.loss[-1] < 0.3 * history.loss[0]
    if loss == "mean_squared_error":
        assert history.accuracy == [None] * 60
    else:
        assert after["accuracy"] == 1
        assert history.accuracy[-1] > 0.95
    assert all(array.dtype == dtype for array in weights(net).values())


@pytest.mark.parametrize(
    ("loss", "k", "due"),
    [
        ("huber(100)", 1, lambda y: [y.mean()]),
        ("quantile", 1, lambda y: [np.median(y)]),
        ("quantile(0.1, 0.9)", 2, lambda y: np.quantile(y, [0.1, 0.9])),
        ("poisson", 1, lambda y: [np.log(y.mean())]),
        ("gaussian", 2, lambda y: [y.mean(), np.log(y.var())]),
    ],
)
def test_what_a_loss_of_numbers_says_of_what_cannot_be_told_apart(loss, k, due):
    y = np.random.default_rng(4).gamma(2.0, 1.0, 51)
    net = made(cgru.Dense(k, "identity"), optimizer=cgru.Adam(0.05, schedule="cosine"), loss=loss)
    history = net.fit(np.zeros((51, 1, E)), y, epochs=300, batch_size=51)
    assert history.accuracy == [None] * 300
    np.testing.assert_allclose(net.predict(np.zeros((1, 1, E)))[0], due(y), rtol=0.03, atol=0.01)
    assert net.evaluate(X, RNG.random(M)).keys() == {"loss"}
    with refuses(ValueError, "predict_classes"):
        net.predict_classes(X)


@pytest.mark.parametrize("truncate", [None, 2])
def test_a_loss_of_the_users_trains_as_ours(truncate):
    def own(A, Y):
        return np.square(A - Y).mean(axis=1), 2 * (A - Y) / A.shape[1]

    y, weights = RNG.standard_normal((M, S, 2)), RNG.integers(0, 3, (M, S))
    options = {"lengths": LENGTHS, "epochs": 3, "batch_size": 7, "validation": 0.25, "truncate": truncate}
    nets = [
        cgru.Network([cgru.GRU(4, sequences=True), cgru.Dense(2, "tanh")], loss=loss, seed=1) for loss in (own, "mse")
    ]
    ours, theirs = (net.fit(X, y, sample_weight=weights, **options) for net in nets)
    np.testing.assert_allclose(ours.loss, theirs.loss, rtol=1e-9)
    np.testing.assert_allclose(ours.validation_loss, theirs.validation_loss, rtol=1e-9)
    for a, b in zip(*(net.parameters().values() for net in nets), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-8, atol=1e-10)


def test_repeats_bit_for_bit():
    def run(**options):
        net = made(stack=2, **options)
        histories = [net.fit(X, LABELS, lengths=LENGTHS, epochs=3, batch_size=5, validation=0.25) for _ in range(2)]
        return net, histories

    (first, a), (second, b), (other, _) = run(), run(), run(seed=2)
    assert same(weights(first), weights(second))
    assert [h.loss for h in a] == [h.loss for h in b]
    assert not same(weights(first), weights(other))


def test_a_second_fit_goes_on():
    schedule_free = cgru.Adam(0.01)
    once, twice = made(optimizer=schedule_free), made(optimizer=schedule_free)
    whole = once.fit(X, LABELS, epochs=6, batch_size=5)
    parts = [twice.fit(X, LABELS, epochs=3, batch_size=5) for _ in range(2)]
    assert same(weights(once), weights(twice))
    assert whole.loss == parts[0].loss + parts[1].loss == twice.history.loss == once.history.loss


def test_a_copy_goes_on_as_the_original():
    net = made(stack=2)
    net.fit(X, LABELS, epochs=2, standardize=True)
    for twin in (copy.deepcopy(net), pickle.loads(pickle.dumps(net))):
        assert twin.fit(X, LABELS, epochs=2).loss == copy.deepcopy(net).fit(X, LABELS, epochs=2).loss


def test_each_sample_is_seen_once_an_epoch(monkeypatch):
    net = made()
    net.predict(X)
    passes = watched(monkeypatch, net.layers[0])
    net.fit(X, LABELS, epochs=2, batch_size=10)
    seen = [ran.fc["X"][:, 0, 0] for ran in passes]
    assert [len(batch) for batch in seen] == [10, 10, 4] * 2
    epochs = [np.concatenate(seen[:3]), np.concatenate(seen[3:])]
    for epoch in epochs:
        np.testing.assert_array_equal(np.sort(epoch), np.sort(X[:, 0, 0]))
    assert not np.array_equal(*epochs)
    passes.clear()
    net.fit(X, LABELS, epochs=1, batch_size=10, shuffle=False)
    np.testing.assert_array_equal(np.concatenate([ran.fc["X"] for ran in passes]), X)


def test_parameters_are_updated_in_place_and_frozen_layers_not_at_all():
    net = made(stack=3)
    net.predict(X)
    held = {(i, name): array for i, layer in enumerate(net.layers) for name, array in layer.p.items()}
    net.layers[0].trainable = net.layers[2].trainable = False
    before = weights(net)
    net.fit(X, LABELS, epochs=1)
    after = weights(net)
    for (i, name), array in held.items():
        assert net.layers[i].p[name] is array
        key = f"{i}.{name}"
        assert np.array_equal(before[key], after[key]) == (i in (0, 2)), key
    for layer in net.layers:
        layer.trainable = False
    with pytest.raises(ValueError, match="trainable"):
        net.fit(X, LABELS)
    assert same(weights(net), after)


@pytest.mark.parametrize("preactivations", [None, True])
def test_training_keeps_no_preactivations_unless_asked(monkeypatch, preactivations):
    net = cgru.Network([cgru.GRU(4, preactivations=preactivations), cgru.Dense(3, cgru.softmax)])
    passes = watched(monkeypatch, net.layers[0])
    net.fit(X, LABELS, epochs=1)
    (ran,) = passes
    assert ("z_" in ran.fc) is bool(preactivations)
    assert not net.layers[0].fc  # the layer is not touched


def test_schedule_runs_over_the_whole_fit():
    seen = []

    def schedule(fraction):
        seen.append(fraction)
        return 1 - fraction

    net = made(optimizer=cgru.SGD(0.5, schedule=schedule))
    history = net.fit(X, LABELS, epochs=4, batch_size=12)
    assert sorted(set(seen)) == pytest.approx(np.arange(8) / 8)
    assert history.learning_rate == pytest.approx([0.5 * (1 - f / 8) for f in (1, 3, 5, 7)])


# --- the callback, and what is raised ---


def test_callback_gets_each_epoch():
    events = []
    net = made()
    history = net.fit(X, LABELS, epochs=3, validation=0.25, callback=events.append)
    assert [(event.epoch, event.epochs) for event in events] == [(1, 3), (2, 3), (3, 3)]
    for name in ("loss", "accuracy", "validation_loss", "validation_accuracy", "learning_rate", "seconds"):
        assert [getattr(event, name) for event in events] == getattr(history, name)
    assert all(second > 0 for second in history.seconds)


class StopError(Exception):
    """What the tests raise."""


@pytest.mark.parametrize("error", [KeyboardInterrupt, StopError])
@pytest.mark.parametrize("when", [0, 1, 3])
def test_what_is_raised_within_an_epoch_leaves_the_last_whole_one(monkeypatch, error, when):
    net, twin = made(), made()
    net.predict(X)
    twin.predict(X)
    watched(monkeypatch, twin.layers[0])  # so that both run pass by pass
    if when:
        twin.fit(X, LABELS, epochs=when, batch_size=8)
    watched(monkeypatch, net.layers[0], 3 * when + 1, error)
    with pytest.raises(error):
        net.fit(X, LABELS, epochs=9, batch_size=8)
    assert same(weights(net), weights(twin))
    assert net.history.loss == twin.history.loss
    monkeypatch.undo()
    net.fit(X, LABELS, epochs=1, batch_size=8)  # usable


def test_the_bar_is_closed_whatever_is_raised(monkeypatch):
    pytest.importorskip("tqdm")
    seen = []

    class Bar:
        def __init__(self, epochs):
            seen.append(epochs)

        def __call__(self, epoch):
            seen.append(epoch.loss)

        def close(self):
            seen.append("closed")

    def stop(epoch):
        raise StopError

    monkeypatch.setattr(fit, "Bar", Bar)
    net = made()
    with pytest.raises(StopError):
        net.fit(X, LABELS, epochs=3, progress=True, callback=stop)
    net.fit(X, LABELS, epochs=1)
    assert seen == [3, net.history.loss[0], "closed"]


def test_interrupted_with_validation_keeps_the_best():
    held_out = (X[:8], (LABELS[:8] + 1) % 3)
    net = made(optimizer=cgru.Adam(0.05))

    def interrupt(event):
        if event.epoch == 12:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        net.fit(X, LABELS, epochs=30, validation=held_out, callback=interrupt)
    assert len(net.history.validation_loss) == 12
    assert net.evaluate(*held_out)["loss"] == pytest.approx(min(net.history.validation_loss), rel=1e-12)


@pytest.mark.skipif(not hasattr(signal, "setitimer"), reason="no interval timers here")
def test_a_signal_at_any_time_leaves_a_network_that_works():
    before = signal.signal(signal.SIGALRM, signal.default_int_handler)
    gc.disable()  # what a test tool hangs on to the collector may not raise, and an interrupt in it would be lost
    try:
        for delay in np.linspace(0.001, 0.05, 20):
            net = made(stack=2)
            net.predict(X)
            with pytest.raises(KeyboardInterrupt):  # noqa: PT012 the signal may come before fit does
                signal.setitimer(signal.ITIMER_REAL, delay)
                net.fit(X, LABELS, lengths=LENGTHS, epochs=10**6, batch_size=5)
            twins = [made(stack=2), made(stack=2)]  # of the epochs in the history; of one that was not entered yet
            for twin, more in zip(twins, (0, 1), strict=True):
                twin.predict(X)
                if len(net.history) + more:
                    twin.fit(X, LABELS, lengths=LENGTHS, epochs=len(net.history) + more, batch_size=5)
            assert any(same(weights(net), weights(twin)) for twin in twins)
            assert len(net.fit(X, LABELS, epochs=1)) == 1
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
        gc.enable()


def test_the_optimizer_goes_back_with_the_parameters():
    net, validation = made(optimizer=cgru.Adam(0.1)), (X, (LABELS + 1) % 3)
    history = net.fit(X, LABELS, epochs=6, batch_size=8, validation=validation)
    best = 1 + int(np.argmin(history.validation_loss))
    assert best < 6
    assert {steps[0] for steps in net.optimizer_state["Adam"].values()} == {3 * best}


def test_a_network_whose_parameters_are_cleared_takes_other_elements():
    net = made(stack=2)
    net.fit(X, LABELS, epochs=1)
    wide = RNG.standard_normal((M, S, E + 2))
    with pytest.raises(ValueError, match="X: "):
        net.fit(wide, LABELS)
    net.layers[0].p.clear()
    assert net.features is None
    assert np.isfinite(net.fit(wide, LABELS, epochs=2).loss).all()
    assert net.features == E + 2
    assert net.layers[0].p["Uz"].shape == (E + 2, 5)

    net.fit(wide, LABELS, epochs=1, standardize=True)
    net.layers[0].p.clear()
    with pytest.raises(ValueError, match="X: "):
        net.predict(X)
    net.mean = net.scale = None
    assert net.predict(X).shape == (M, 3)


def test_one_thread_at_a_time():
    net, caught, done = made(), [], []
    inside = threading.Event()

    def work():
        try:
            inside.wait(10)
            net.fit(X, LABELS, epochs=1)
        except RuntimeError as error:
            caught.append(str(error))

    def callback(event):
        inside.set()
        for thread in threads:
            thread.join(10)
        done.append(net.evaluate(X, LABELS))

    threads = [threading.Thread(target=work) for _ in range(3)]
    for thread in threads:
        thread.start()
    net.fit(X, LABELS, epochs=1, callback=callback)
    assert caught == ["fit: another thread is inside this network; give each thread its own network"] * 3
    assert len(done) == 1
    assert len(net.history) == 1
    net.fit(X, LABELS, epochs=1)
    assert len(pickle.loads(pickle.dumps(net)).fit(X, LABELS, epochs=1)) == 1


@pytest.mark.parametrize(
    ("spoil", "got"),
    [
        (lambda array: array.tolist(), "list"),
        (lambda array: array.astype(np.int64), "dtype int64"),
        (lambda array: np.broadcast_to(array, array.shape), "a read-only one"),
    ],
    ids=["list", "integers", "read-only"],
)
def test_parameters_that_cannot_be_written_are_refused(spoil, got):
    net = made()
    net.fit(X, LABELS, epochs=1)
    net.layers[1].p["W"] = spoil(net.layers[1].p["W"])
    with pytest.raises(TypeError, match=f"^parameter 1.W: expected a writable array of floats, got {got}$"):
        net.fit(X, LABELS, epochs=1, standardize=True)
    assert net.mean is None


def test_the_layers_are_not_touched():
    net = made(stack=2)
    net.fit(X, LABELS, epochs=2)
    for layer in net.layers:
        assert [layer.fc, layer.bc, layer.g] == [{}] * 3
        assert layer.last is None


@pytest.mark.parametrize("compiled", [True, False])
def test_a_fit_is_stopped_after_its_epoch(monkeypatch, compiled):
    net = made()
    net.predict(X)
    if not compiled:
        watched(monkeypatch, net.layers[0])
    history = net.fit(X, LABELS, epochs=50, callback=lambda epoch: epoch.epoch == 3 and net.stop())
    assert len(history) == 3
    net.stop()  # nothing runs
    assert len(net.fit(X, LABELS, epochs=2)) == 2


def test_a_validation_loss_as_low_as_the_best_is_no_better():
    net = made(optimizer=cgru.SGD(1e-300))
    history = net.fit(X, LABELS, lengths=LENGTHS, validation=(X, LABELS, LENGTHS), patience=2, epochs=9)
    assert len(set(history.validation_loss)) == 1
    assert len(history) == 3


def test_the_loop_counts_right_answers_as_compiled_fits_do(monkeypatch):
    histories = []
    for compiled in (True, False):
        with monkeypatch.context() as patch:
            patch.setattr(fit, "compiles", lambda model, compiled=compiled: compiled)
            net = made()
            histories.append(net.fit(X, LABELS, lengths=LENGTHS, batch_size=7, epochs=3))
    np.testing.assert_allclose(histories[0].accuracy, histories[1].accuracy, rtol=1e-12)


def test_a_fit_in_python_goes_on_after_a_callback(monkeypatch):
    """The loop and its running means are made once."""
    loops = []
    monkeypatch.setattr(fit, "compiles", lambda model: False)
    monkeypatch.setattr(fit, "Loop", lambda *given: loops.append(given) or LOOP(*given))
    made().fit(X, LABELS, lengths=LENGTHS, epochs=3, average=0.9, callback=lambda epoch: None)
    assert len(loops) == 1


LOOP = fit.Loop
