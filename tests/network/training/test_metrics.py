"""Metrics of the user's own, plateaus and batches of like length."""

import numpy as np
import pytest
from checkpoint_cases import stopping
from helpers import refuses
from network_cases import LABELS, LENGTHS, RNG, M, S, X, made, same, weights

import cgru
from cgru.network.training import fit


def right(y, A):
    return (A.argmax(axis=1) == y).mean()


def test_metrics_of_the_samples_to_validate_with():
    net, seen = made(), []
    history = net.fit(
        X[8:],
        LABELS[8:],
        epochs=4,
        validation=(X[:8], LABELS[:8], LENGTHS[:8]),
        metrics={"right": right, "rows": lambda y, A: len(y) + A.shape[1]},
        callback=lambda epoch: seen.append(epoch.metrics["right"]),
    )
    assert [each["right"] for each in history.metrics] == history.validation_accuracy == seen
    assert {each["rows"] for each in history.metrics} == {8 + 3}
    scores = net.evaluate(X[:8], LABELS[:8], LENGTHS[:8], metrics={"right": right})
    assert list(scores) == ["loss", "accuracy", "right"]
    assert scores["right"] == scores["accuracy"]


def test_metrics_change_nothing_and_without_validation_are_of_all_samples():
    plain, judged = made(dtype=np.float32), made(dtype=np.float32)
    due = plain.fit(X, LABELS, epochs=3)
    history = judged.fit(X, LABELS, epochs=3, metrics={"right": right})
    assert history.loss == due.loss
    assert same(weights(plain), weights(judged))
    assert history.metrics[-1]["right"] == plain.evaluate(X, LABELS)["accuracy"]
    assert due.metrics == [{}] * 3


def test_metrics_at_steps_see_what_is_real():
    y = RNG.standard_normal((M, S, 2))
    net = cgru.Network([cgru.GRU(4, sequences=True, stateful=True), cgru.Dense(2, "identity")], seed=1)
    shapes = []

    def look(y, A):
        shapes.append((y.shape, A.shape))
        return np.square(A - y).mean()

    history = net.fit(
        X, y, lengths=LENGTHS, epochs=2, batch_size=8, shuffle=False, validation=(X, y, LENGTHS), metrics={"mse": look}
    )
    assert shapes == [((LENGTHS.sum(), 2),) * 2] * 2
    np.testing.assert_allclose([each["mse"] for each in history.metrics], history.validation_loss)
    net.predict(X[:3])  # leaves states behind
    found = net.evaluate(X[:3], y[:3], LENGTHS[:3], metrics={"mse": lambda y, A: np.square(A - y).mean()})
    assert found["mse"] == pytest.approx(found["loss"])
    assert net.layers[0].state is None


@pytest.mark.parametrize("value", [[1.0, 2.0], "1", None, 1j])
def test_a_metric_is_a_number(value):
    net = made()
    with refuses(TypeError, "metrics['it']"):
        net.evaluate(X, LABELS, metrics={"it": lambda y, A: value})


def test_metrics_go_through_a_checkpoint(tmp_path):
    kept = {"checkpoint": cgru.Checkpoint(tmp_path / "fit.npz", 0, True)}
    metrics = {"odd": lambda y, A: np.nan, "even": right}
    net, due = made(), made()
    net.fit(X, LABELS, epochs=1)

    with pytest.raises(KeyboardInterrupt):
        net.fit(X, LABELS, epochs=4, metrics=metrics, **kept, callback=stopping(2, KeyboardInterrupt))
    again = made()
    history = again.fit(X, LABELS, epochs=4, metrics=metrics, **kept)
    due.fit(X, LABELS, epochs=1)
    whole = due.fit(X, LABELS, epochs=4, metrics=metrics)
    np.testing.assert_equal(history.metrics, whole.metrics)
    np.testing.assert_equal(again.history.metrics, due.history.metrics)
    with pytest.raises(ValueError, match="metrics: "):
        again.fit(X, LABELS, epochs=4, **kept)


# --- plateaus ---


def test_the_rate_falls_where_the_loss_stands(engine, tmp_path):
    schedule = cgru.optimizers.Plateau(factor=0.5, patience=2, least=0.2)
    net = made(optimizer=cgru.SGD(4.0, schedule=schedule))
    history = net.fit(X, LABELS, epochs=12, batch_size=5, validation=(X[:6], (LABELS[:6] + 1) % 3))
    due = [4.0 * schedule(schedule.stalls(history.validation_loss[:n])) for n in range(12)]
    assert history.learning_rate == due
    assert due[0] == 4 > due[-1] >= 0.8
    # The numbers are those of plain fits at these rates.
    again = made()
    losses = []
    for epoch in range(12):
        again.optimizer = cgru.SGD(due[epoch])
        losses += again.fit(X, LABELS, epochs=1, batch_size=5).loss
    assert history.loss == pytest.approx(losses)


def test_another_plateau_is_another_fit(tmp_path):
    kept = {"checkpoint": cgru.Checkpoint(tmp_path / "fit.npz", resume=True), "epochs": 2}
    made(optimizer=cgru.SGD(schedule="plateau")).fit(X, LABELS, **kept)
    net = made(optimizer=cgru.SGD(schedule=cgru.optimizers.Plateau(0.4)))
    with pytest.raises(ValueError, match=r"optimizer\.schedule: "):
        net.fit(X, LABELS, **kept)


def test_without_validation_it_is_the_training_loss():
    net = made(optimizer=cgru.SGD(1e-300, schedule="plateau"))
    history = net.fit(X, LABELS, epochs=12, batch_size=M, shuffle=False)
    assert history.learning_rate == [1e-300] * 6 + [0.5e-300] * 5 + [0.25e-300]


# --- batches of like length ---


class Order:
    """What the engine is given: the samples in their order, epoch by epoch."""

    def __init__(self, monkeypatch):
        self.orders = []
        whole = fit.Fit._order

        def noted(run):
            self.orders.append(whole(run))
            return self.orders[-1].copy()

        monkeypatch.setattr(fit.Fit, "_order", noted)


@pytest.mark.parametrize("m", [1, 7, 23, 24, 1000])
def test_batches_are_of_like_length(monkeypatch, m):
    seen = Order(monkeypatch)
    rng = np.random.default_rng(0)
    lengths, x, y = rng.integers(1, 51, m), rng.standard_normal((m, 50, 1)), rng.standard_normal((m, 1))
    net = cgru.Network([cgru.GRU(1), cgru.Dense(1, "identity")], seed=0)
    net.fit(x, y, lengths=lengths, epochs=3, batch_size=5, bucket=True)
    for order in seen.orders:
        assert sorted(order) == list(range(m))
    if m == 1000:
        first, second, _ = seen.orders
        spread = np.ptp(lengths[first].reshape(-1, 5), axis=1)
        assert spread.mean() < 2
        firsts = lengths[first].reshape(-1, 5)[:, 0]
        assert 0.3 < (np.diff(firsts) > 0).mean() < 0.7  # batches come in no order
        assert {frozenset(row) for row in first.reshape(-1, 5)} != {frozenset(row) for row in second.reshape(-1, 5)}
