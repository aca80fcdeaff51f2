"""Targets in units of their own."""

import re

import numpy as np
import pytest
from network_cases import LENGTHS, RNG, M, S, X, padded

import cgru

UNITS = np.array([1e3, 1e-3]), np.array([5e4, -7.0])  # scale and shift of the targets
Y = RNG.standard_normal((M, 2))
FAR = Y * UNITS[0] + UNITS[1]
LOSSES = {
    "mean_squared_error": 2, "huber(0.3)": 2, "quantile(0.1, 0.5, 0.9)": 6, "gaussian": 4,
}  # fmt: skip


def own(A, Y):
    return np.square(A - Y).sum(axis=1), 2 * (A - Y)


def made(loss="mse", k=2, **options):
    return cgru.Network([cgru.GRU(5), cgru.Dense(k, "identity")], loss=loss, seed=1, **options)


def parameters(net):
    return {key: array.copy() for key, array in net.parameters().items()}


def standardized(y):
    return (y - y.mean(axis=0)) / y.std(axis=0)


def back(A, loss):
    """Outputs for standardised targets in the units of FAR, spelled out."""
    mean, scale = FAR.mean(axis=0), FAR.std(axis=0)
    found = np.empty_like(A)
    for target in range(2):
        for i in range(each := A.shape[1] // 2):
            column = target * each + i
            found[:, column] = A[:, column] * scale[target] + mean[target]
            if loss == "gaussian" and i == 1:
                found[:, column] = A[:, column] + np.log(scale[target] ** 2)
    return found


@pytest.mark.parametrize("loss", [*LOSSES, own])
def test_a_fit_is_that_of_standardized_targets(loss):
    k = LOSSES.get(loss, 2)
    ours, theirs = made(loss, k), made(loss, k)
    options = {"lengths": LENGTHS, "epochs": 4, "batch_size": 7}
    near = standardized(FAR)
    history = ours.fit(X, FAR, **options, standardize_targets=True, validation=(X[:5], FAR[:5], LENGTHS[:5]))
    due = theirs.fit(X, near, **options, validation=(X[:5], near[:5], LENGTHS[:5]))
    np.testing.assert_allclose(history.loss, due.loss, rtol=1e-9)
    np.testing.assert_allclose(history.validation_loss, due.validation_loss, rtol=1e-9)
    np.testing.assert_allclose(ours.predict(X), back(theirs.predict(X), loss), rtol=1e-9)
    # A second fit goes on from there.
    history = ours.fit(X, FAR, **options, standardize_targets=True)
    np.testing.assert_allclose(history.loss, theirs.fit(X, near, **options).loss, rtol=1e-6)
    np.testing.assert_allclose(ours.predict(X), back(theirs.predict(X), loss), rtol=1e-6)


@pytest.mark.parametrize("mine", [False, True], ids=["compiled", "loop"])
def test_whoever_looks_sees_the_units_of_y(mine):
    loss = own if mine else "mse"
    net, seen, losses = made(loss), [], []

    def look(epoch):
        seen.append(net.predict(X))
        losses.append(net.evaluate(X, FAR)["loss"])

    def error(y, A):
        return np.square(A - y).mean()

    plain = made(loss)
    due = plain.fit(X, FAR, epochs=3, standardize_targets=True)
    history = net.fit(X, FAR, epochs=3, standardize_targets=True, callback=look, metrics={"error": error})
    assert history.loss == due.loss  # to the bit: looking changes nothing
    np.testing.assert_array_equal(net.predict(X), plain.predict(X))
    np.testing.assert_array_equal(seen[-1], net.predict(X))
    assert losses[-1] == net.evaluate(X, FAR)["loss"]
    np.testing.assert_allclose([each["error"] for each in history.metrics], [error(FAR, A) for A in seen])


def test_steps_and_equal_targets():
    net = cgru.Network([cgru.GRU(5, sequences=True), cgru.Dense(2, "identity")], seed=1)
    y = np.stack([RNG.standard_normal((M, S)) * 50 + 7, np.full((M, S), 0.1)], axis=2)
    history = net.fit(
        X, padded(y, LENGTHS, np.nan), lengths=LENGTHS, epochs=300, batch_size=M, standardize_targets=True
    )
    real = np.arange(S) < LENGTHS[:, None]
    assert history.loss[-1] < 0.5
    np.testing.assert_allclose(net.predict(X)[real][:, 0].mean(), y[real][:, 0].mean(), atol=4)
    np.testing.assert_allclose(net.predict(X)[real][:, 1], 0.1, atol=1)  # one unit is one


def test_what_a_callback_sets_is_in_the_units_of_y():
    net, seen = made(), []

    def shift(epoch):
        if epoch.epoch == 1:
            net.head.p["b"] += 1e6
            seen.append(net.predict(X))

    history = net.fit(X, FAR, epochs=2, batch_size=M, standardize_targets=True, callback=shift)
    error = (seen[0] - FAR) / FAR.std(axis=0)
    assert history.loss[1] == pytest.approx(np.square(error).mean(), rel=1e-6)


@pytest.mark.parametrize("made_before", [False, True])
def test_a_fit_that_is_stopped_before_its_first_epoch(made_before):
    net = made()
    if made_before:
        net.make(X)
        before = parameters(net)
    net.optimizer = cgru.SGD(1e300)
    with pytest.raises(RuntimeError, match="diverged"):
        net.fit(X, FAR, epochs=3, batch_size=3, standardize_targets=True)
    if made_before:
        for key, array in parameters(net).items():
            np.testing.assert_array_equal(array, before[key])
    else:
        np.testing.assert_allclose(net.predict(X), np.broadcast_to(FAR.mean(axis=0), Y.shape), atol=5e3)


@pytest.mark.parametrize(
    ("net", "message"),
    [
        (made("poisson", 2), "standardize_targets: expected False for poisson, got True"),
        (
            cgru.Network([cgru.GRU(2), cgru.Dense(2, "softmax")]),
            'standardize_targets: expected False without a head with activate="identity", got True for softmax',
        ),
        (
            cgru.Network([cgru.GRU(2), cgru.Dense(2, "tanh")]),
            'standardize_targets: expected False without a head with activate="identity", got True for tanh',
        ),
        (
            made(own, 3),
            "standardize_targets: expected False for",
        ),
    ],
)
def test_refusals(net, message):
    y = np.abs(Y) if net.loss != "cross_entropy" else np.arange(M) % 2
    with pytest.raises(ValueError, match="^" + re.escape(message)):
        net.fit(X, y, standardize_targets=True)
    assert not net.head.p
    with pytest.raises(TypeError, match=r"^standardize_targets: expected"):
        net.fit(X, y, standardize_targets=1)


def test_a_resumed_fit_ends_in_the_same_bits(tmp_path):
    path = tmp_path / "run.npz"
    options = {"epochs": 5, "batch_size": 7, "standardize_targets": True, "validation": 0.25}

    def stop(epoch):
        if epoch.epoch == 3:
            raise KeyboardInterrupt

    due, stopped, net = made(), made(), made()
    due.fit(X, FAR, **options)
    with pytest.raises(KeyboardInterrupt):
        stopped.fit(X, FAR, **options, checkpoint=path, checkpoint_seconds=0, callback=stop)
    np.testing.assert_allclose(stopped.predict(X).mean(axis=0), FAR.mean(axis=0), rtol=0.5)
    for made_before in (False, True):  # the numbers of a network that goes on are those in the file
        again = made()
        if made_before:
            again.make(X)
        again.fit(X, FAR, **options, checkpoint=path, resume=True)
        for key, array in parameters(again).items():
            np.testing.assert_array_equal(array, due.parameters()[key])
    with pytest.raises(ValueError, match="standardize_targets: expected True, got False"):
        net.fit(X, FAR, **options | {"standardize_targets": False}, checkpoint=path, resume=True)
