"""Targets in units of their own."""

import re

import numpy as np
import pytest
from checkpoint_cases import stopping
from helpers import assert_all_same, refuses
from network_cases import LENGTHS, RNG, M, S, X, padded, weights

import cgru
from cgru.network.training.target_scaling import shrinkage

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
    net = cgru.Network([cgru.GRU(5, sequences=True), cgru.Dense(2, "identity")], optimizer=cgru.Adam(0.02), seed=1)
    noise = np.random.default_rng(2).standard_normal((M, S))  # its own: other tests may have drawn before
    y = np.stack([noise * 50 + 7, np.full((M, S), 0.1)], axis=2)
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
        before = weights(net)
    net.optimizer = cgru.SGD(1e300)
    with pytest.raises(RuntimeError, match="diverged"):
        net.fit(X, FAR, epochs=3, batch_size=3, standardize_targets=True)
    if made_before:
        assert_all_same(before, weights(net))
    else:
        np.testing.assert_allclose(net.predict(X), np.broadcast_to(FAR.mean(axis=0), Y.shape), atol=5e3)


@pytest.mark.parametrize(
    ("net", "message"),
    [
        (made("poisson", 2), "standardize_targets: "),
        (cgru.Network([cgru.GRU(2), cgru.Dense(2, "softmax")]), "standardize_targets: "),
        (cgru.Network([cgru.GRU(2), cgru.Dense(2, "tanh")]), "standardize_targets: "),
        (made(own, 3), "standardize_targets: "),
    ],
)
def test_refusals(net, message):
    y = np.abs(Y) if net.loss != "cross_entropy" else np.arange(M) % 2
    with pytest.raises(ValueError, match=r"^" + re.escape(message)):
        net.fit(X, y, standardize_targets=True)
    assert not net.head.p
    with refuses(TypeError, "standardize_targets"):
        net.fit(X, y, standardize_targets=1)


BESIDE = "whose deviations float32 can tell beside their mean, .*; subtract their mean, or train in float64"


@pytest.mark.parametrize(
    ("y", "words"),
    [
        (1e9 + Y, BESIDE),
        (1e-44 * Y, BESIDE),
        (1e39 * Y, r"below 3.4e\+38, which float32 can hold, .*; divide them, or train in float64"),
        (np.full_like(Y, 1e39), r"below 3.4e\+38, which float32 can hold"),
    ],
)
def test_units_that_a_dtype_has_not_are_refused(y, words):
    net = made(dtype=np.float32)
    with pytest.raises(ValueError, match=f"^y: expected targets {words}"):
        net.fit(X, y, standardize_targets=True)
    assert not net.head.p
    made().fit(X, y, standardize_targets=True, epochs=1)


@pytest.mark.parametrize("value", [1e9, -3e37, 0.1])
def test_a_target_that_never_changes_is_predicted(value):
    y = Y.copy()
    y[:, 1] = value
    net = made(dtype=np.float32)
    net.fit(X, y, standardize_targets=True, shrink=True, validation=0.25, epochs=20)
    np.testing.assert_allclose(net.predict(X)[:, 1], value, rtol=1e-6)


def test_targets_that_weigh_nothing_do_not_decide_the_units():
    weights, wild = np.ones(M), FAR.copy()
    weights[::3], wild[::3] = 0, 1e12
    due, net = made(), made()
    due.fit(X, FAR, epochs=3, standardize_targets=True, sample_weight=weights)
    net.fit(X, wild, epochs=3, standardize_targets=True, sample_weight=weights)
    np.testing.assert_allclose(net.predict(X), due.predict(X))


@pytest.mark.parametrize("weights", [np.arange(M) % 3, np.repeat([[2, 0, 1, 3]], M // 4, axis=0).ravel()])
def test_a_target_that_weighs_twice_counts_as_two_do(weights):
    net, twin = made(), made()
    net.fit(X, FAR, epochs=1, batch_size=500, standardize_targets=True, sample_weight=weights, shuffle=False)
    rows = np.repeat(np.arange(M), weights)
    twin.fit(X[rows], FAR[rows], epochs=1, batch_size=500, standardize_targets=True, shuffle=False)
    np.testing.assert_allclose(net.predict(X), twin.predict(X), rtol=1e-9)


@pytest.mark.parametrize("raised", [TypeError, KeyboardInterrupt])
def test_a_metric_that_raises_leaves_what_was_there(raised):
    def metric(y, A):
        raise raised

    for scaled in (False, True):
        net = made()
        net.fit(X, FAR, epochs=2, standardize_targets=True)
        before = weights(net)
        with pytest.raises(raised):
            net.fit(X, FAR, epochs=2, metrics={"it": metric}, standardize_targets=scaled)
        for key, array in weights(net).items():
            np.testing.assert_allclose(array, before[key], rtol=0 if key[0] == "0" else 1e-12, err_msg=key)


def test_a_head_that_a_callback_puts_there_is_in_the_units_of_y():
    net = made()
    own = {"W": np.zeros((5, 2)), "b": np.full((1, 2), 123.0)}

    def replace(epoch):
        if epoch.epoch == 1:
            net.head.p.update(own)

    net.optimizer = cgru.SGD(1e-300)
    net.fit(X, FAR, epochs=2, standardize_targets=True, callback=replace)
    np.testing.assert_allclose(net.predict(X), 123.0)
    assert own["b"].tolist() == [[123, 123]]


def test_a_resumed_fit_ends_in_the_same_bits(tmp_path):
    path = tmp_path / "run.npz"
    options = {"epochs": 5, "batch_size": 7, "standardize_targets": True, "validation": 0.25}

    due, stopped, net = made(), made(), made()
    due.fit(X, FAR, **options)
    with pytest.raises(KeyboardInterrupt):
        stopped.fit(X, FAR, **options, checkpoint=cgru.Checkpoint(path, 0), callback=stopping(3, KeyboardInterrupt))
    np.testing.assert_allclose(stopped.predict(X).mean(axis=0), FAR.mean(axis=0), rtol=0.5)
    for made_before in (False, True):  # the numbers of a network that goes on are those in the file
        again = made()
        if made_before:
            again.make(X)
        again.fit(X, FAR, **options, checkpoint=cgru.Checkpoint(path, resume=True))
        assert_all_same(due.parameters(), weights(again))
    with pytest.raises(ValueError, match="standardize_targets: "):
        net.fit(X, FAR, **options | {"standardize_targets": False}, checkpoint=cgru.Checkpoint(path, resume=True))


# --- shrinking ---


@pytest.mark.parametrize("loss", ["mse", "huber", "huber(1.0)", "huber(2)", "huber(0.5)"])
def test_every_spelling_of_a_loss_shrinks_or_not(loss):
    options = {"validation": 0.25, "standardize_targets": True, "epochs": 1}
    made(loss).fit(X, FAR, shrink=True, **options)
    net = made()
    net.loss = loss.replace("mse", "mean_squared_error")  # which may be set, too
    net.fit(X, FAR, shrink=True, **options)
    with refuses(ValueError, "shrink"):
        made("quantile(0.2)").fit(X, FAR, shrink=True, **options)


def test_shrinkage_is_the_slope_less_its_error_where_that_is_sure():
    A = RNG.standard_normal((200, 4))
    Y = np.stack(
        [
            0.5 * A[:, 0] + 0.01 * RNG.standard_normal(200),
            3 * A[:, 1],
            RNG.standard_normal(200),
            -A[:, 3] + 0.1 * RNG.standard_normal(200),
        ],
        axis=1,
    )
    k = shrinkage(A, Y)
    assert k[0] == pytest.approx(0.5, abs=5e-3)
    assert k[1:].tolist() == [1, 0, 0]
    # The slope and its error as a regression through the origin has them.
    noisy = 0.6 * A[:, :1] + RNG.standard_normal((200, 1))
    found = np.linalg.lstsq(A[:, :1], noisy[:, 0], rcond=None)
    error = np.sqrt(found[1][0] / 199 / np.square(A[:, 0]).sum())
    assert shrinkage(A[:, :1], noisy)[0] == pytest.approx(found[0][0] - error)
    weights = RNG.integers(0, 3, 200).astype(np.intp)
    rows = np.repeat(np.arange(200), weights)
    many = shrinkage(A[:, :1], noisy, 7.0 * weights)[0]
    assert many == pytest.approx(shrinkage(A[rows, :1], noisy[rows])[0], abs=0.03)
    some = weights > 0  # the others are not there
    assert many == pytest.approx(shrinkage(A[some, :1], noisy[some], weights[some])[0])
    assert many != shrinkage(A[:, :1], noisy)[0]


@pytest.mark.parametrize(("errors", "speaks"), [(2.9, False), (3.1, True), (-3.1, False)])
def test_three_errors_of_the_slope_speak_for_it(errors, speaks):
    n, A = 50, RNG.standard_normal((50, 1))
    noise = RNG.standard_normal((n, 1))
    noise -= A * (A * noise).sum() / np.square(A).sum()  # so that the slope is what it is
    error = np.sqrt(np.square(noise).sum() / (n - 1) / np.square(A).sum())
    due = min((errors - 1) * error, 1) if speaks else 0
    assert shrinkage(A, errors * error * A + noise)[0] == pytest.approx(due)


def test_nothing_speaks_for_what_is_one_sample_or_the_same_for_all():
    assert shrinkage(np.ones((1, 1)), np.ones((1, 1))).tolist() == [0]
    assert shrinkage(np.zeros((5, 2)), np.ones((5, 2))).tolist() == [0, 0]


@pytest.mark.parametrize("mine", [False, True], ids=["compiled", "loop"])
def test_a_fit_of_what_cannot_be_learned_says_the_mean(mine):
    rng = np.random.default_rng(5)
    x, y = rng.standard_normal((60, 4, 2)), rng.standard_normal((60, 2)) * [10, 1] + [500, 3]
    y[:, 1] = 5 + x[:, :, 0].sum(axis=1)  # which can be
    net, plain = made(own if mine else "mse"), made(own if mine else "mse")
    options = {
        "epochs": 40, "batch_size": 8, "standardize_targets": True, "validation": (x[40:], y[40:]), "patience": 20,
    }  # fmt: skip
    net.optimizer = plain.optimizer = cgru.Adam(0.02)
    net.fit(x[:40], y[:40], shrink=True, **options)
    plain.fit(x[:40], y[:40], **options)
    mean, scale = y[:40].mean(axis=0), y[:40].std(axis=0)
    np.testing.assert_allclose(net.predict(x)[:, 0], mean[0])
    A, Y = (plain.predict(x[40:]) - mean) / scale, (y[40:] - mean) / scale
    k = shrinkage(A, Y)
    assert 0.5 < k[1] <= 1
    np.testing.assert_allclose(net.predict(x)[:, 1], mean[1] + k[1] * (plain.predict(x)[:, 1] - mean[1]))


def test_shrinking_is_refused_where_nobody_could_say_how_far():
    for options in ({}, {"validation": 0.2}, {"standardize_targets": True}):
        with refuses(ValueError, "shrink"):
            made().fit(X, Y, shrink=True, **options)
    for loss, k in (("gaussian", 4), ("quantile", 2)):
        with pytest.raises(ValueError, match=f"^shrink: expected False for {loss}, got True"):
            made(loss, k).fit(X, Y, shrink=True, validation=0.2, standardize_targets=True)
