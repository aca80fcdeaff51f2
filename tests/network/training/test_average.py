"""`fit(average=...)`: the exponential mean of the parameters, which a network shows, beside those that are trained.

The mean has no share in the updates: those of a fit with it are those of one without, whose parameters are collected.
"""

import copy

import numpy as np
import pytest
from helpers import assert_all_close
from network_cases import weights

import cgru
from cgru.network.training import fit

RNG = np.random.default_rng(0)
M, S, E, K = 12, 5, 3, 3
X, Y, TARGETS = RNG.standard_normal((M, S, E)), RNG.integers(0, K, M), 50 + 9 * RNG.standard_normal((M, 2))
OTHERS = RNG.standard_normal((7, S, E)), RNG.integers(0, K, 7)
EPOCHS = 8


def made(optimizer=None, head=None, **options):
    net = cgru.Network(
        [cgru.GRU(4, sequences=True), cgru.GRU(3), head or cgru.Dense(K, "softmax")],
        optimizer=optimizer or cgru.Adam(0.1), seed=1, **options,
    )  # fmt: skip
    net.make(X)
    return net


def trained(net, **options):
    """The parameters at the start and after each epoch of one update, those of a fit without a mean."""
    found = [weights(net)]
    net.fit(X, **{"y": Y, "epochs": EPOCHS, "batch_size": M} | options, callback=lambda _: found.append(weights(net)))
    return found


def means(found, average, n=0):
    """The means after each update of what was `found`, from the first on, after n updates."""
    due = [found[0]]
    for i, p in enumerate(found[1:], n + 1):
        d = min(average, i / (i + 9))
        due.append({key: d * due[-1][key] + (1 - d) * array for key, array in p.items()})
    return due


def assert_close(one, other, tolerance=1e-12):
    assert one.keys() == other.keys()
    assert_all_close(other, one, rtol=tolerance, atol=tolerance)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("average", [0.05, 0.3, 0.999])
@pytest.mark.parametrize("optimizer", [cgru.SGD(0.5, momentum=0.9), cgru.Adam(0.1), cgru.RMSprop(0.05)])
@pytest.mark.pairwise
def test_callbacks_and_validation_see_the_mean(engine, optimizer, average, dtype):
    due = means(trained(made(optimizer, dtype=dtype)), average)
    net, seen, told = made(optimizer, dtype=dtype), [], []

    def callback(epoch):
        seen.append(weights(net))
        told.append(net.evaluate(*OTHERS)["loss"])

    metrics = {"first": lambda y, A: A[0, 0]}
    options = {"validation": OTHERS, "metrics": metrics, "average": average, "epochs": EPOCHS, "batch_size": M}
    history = net.fit(X, Y, callback=callback, **options)
    tolerance = 1e-5 if dtype == np.float32 else 1e-12
    for one, other in zip(seen, due[1:], strict=True):
        assert_close(one, other, tolerance)
    np.testing.assert_allclose(history.validation_loss, told, rtol=tolerance)
    outputs = made(dtype=dtype)
    for epoch, p in zip(history, seen, strict=True):
        for key, array in outputs.parameters().items():
            array[...] = p[key]
        assert epoch.metrics["first"] == pytest.approx(outputs.predict(OTHERS[0])[0, 0], rel=1e-5)
    assert_close(weights(net), seen[int(np.argmin(told))], 0)
    assert list(net.optimizer_state) == [type(optimizer).__name__]
    assert net.optimizer_state[type(optimizer).__name__]["0.Uz"][0] == int(np.argmin(told)) + 1


def test_the_training_is_what_it_is_without(engine):
    nets = made(), made()
    histories = [
        net.fit(X, Y, epochs=4, batch_size=5, average=average) for net, average in zip(nets, (None, 0.9), strict=True)
    ]
    assert histories[0].loss == histories[1].loss
    np.testing.assert_equal(*(net.optimizer_state for net in nets))


@pytest.mark.parametrize("u", [1, 7, 17, 33])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_odd_sizes(level, u, dtype):
    def network():
        net = cgru.Network([cgru.GRU(u), cgru.Dense(K, "softmax")], seed=1, dtype=dtype)
        net.make(X)
        return net

    net = network()
    net.fit(X, Y, epochs=EPOCHS, batch_size=M, average=0.4)
    assert_close(weights(net), means(trained(network()), 0.4)[-1], 1e-5 if dtype == np.float32 else 1e-12)


def test_another_fit_begins_with_the_mean_and_anew(engine):
    net, due = made(), made()
    net.fit(X, Y, epochs=EPOCHS, batch_size=M, average=0.9)
    for key, array in due.parameters().items():
        array[...] = net.parameters()[key]
    due.optimizer_state = copy.deepcopy(net.optimizer_state)
    net.fit(X, Y, epochs=EPOCHS, batch_size=M, average=0.9)
    assert_close(weights(net), means(trained(due), 0.9)[-1])
    before = weights(net)
    net.optimizer_state["fit"] = {key: [5, array + 1, array.copy()] for key, array in before.items()}
    net.optimizer = cgru.SGD(1e-300)
    net.fit(X, Y, epochs=1, average=0.9)
    assert_close(weights(net), before, 1e-14)


# --- what is not trained ---


def test_what_is_frozen_is_not_touched(engine):
    net, due = made(), made()
    for each in (net, due):
        each.layers[0].trainable = False
    before = weights(net)
    net.fit(X, Y, epochs=EPOCHS, batch_size=M, average=0.9)
    assert_close(weights(net), means(trained(due), 0.9)[-1])
    for key, array in before.items():
        if key.startswith("0."):
            np.testing.assert_array_equal(net.parameters()[key], array)


def test_what_a_callback_freezes_stays_the_mean_and_begins_anew_later(engine):
    net, seen = made(), []

    def callback(epoch):
        seen.append(weights(net))
        net.layers[0].trainable = not 3 <= epoch.epoch < 6

    net.fit(X, Y, epochs=9, batch_size=M, average=0.999, callback=callback)
    first, second = ([{key: p[key] for key in p if key[0] == layer} for p in seen] for layer in "01")
    np.testing.assert_equal(first[3:6], first[2:3] * 3)
    assert all((first[6][key] != array).any() for key, array in first[5].items())
    assert all((second[i + 1][key] != array).any() for i in range(8) for key, array in second[i].items())


# --- callbacks that change the network ---


def test_numbers_that_a_callback_changes_begin_anew_as_it_leaves_them(engine):
    """The others go on: the mean of a matrix of which one row was set, at a rate so small that nothing else moves."""
    net, seen = made(cgru.SGD(0.5)), []

    def callback(epoch):
        if epoch.epoch == 4:
            net.optimizer = cgru.SGD(1e-300)
            net.head.p["W"][1] = 7.0
            net.layers[0].p["Uz"] = np.full((E, 4), 2.0)
        seen.append(weights(net))

    net.fit(X, Y, epochs=5, batch_size=M, average=0.999, callback=callback)
    raw = trained(made(cgru.SGD(0.5)), epochs=4)
    due = means([*raw, raw[-1]], 0.999)[-1]
    due["2.W"][1], due["0.Uz"][...] = 7, 2
    assert_close(seen[-1], due)


def test_a_callback_may_swap_layers_losses_and_shapes(engine):
    net = made()

    def callback(epoch):
        if epoch.epoch == 2:
            net.loss = "cross_entropy(0.2)"
        if epoch.epoch == 3:
            net.layers[0].dropout = 0.3
        if epoch.epoch == 4:
            net.layers[1].activate_hh = np.tanh  # from here on a loop in Python

    net.fit(X, Y, epochs=6, batch_size=5, average=0.9, callback=callback)
    assert all(np.isfinite(array).all() for array in net.parameters().values())


def test_from_compiled_to_the_loop_and_back(monkeypatch):
    raw = trained(made())
    net, real, kinds = made(), fit.compiles, []

    def callback(epoch):
        kinds.append(type(net._run.engine).__name__)
        monkeypatch.setattr(fit, "compiles", real if epoch.epoch > 4 else lambda net: False)
        net.optimizer = copy.copy(net.optimizer)
        net.layers[0].clip_gradients = not net.layers[0].clip_gradients  # far from what it clips: looked at anew

    net.fit(X, Y, epochs=EPOCHS, batch_size=M, average=0.7, callback=callback)
    assert {*kinds} == {"Engine", "Loop"}
    assert_close(weights(net), means(raw, 0.7)[-1], 1e-9)


def test_a_copy_in_a_callback_is_of_the_mean(engine):
    net, copies = made(), []
    net.fit(X, Y, epochs=2, batch_size=4, average=0.9, callback=lambda _: copies.append(copy.deepcopy(net)))
    assert_close(weights(copies[-1]), weights(net), 0)
    copies[0].fit(X, Y, epochs=1, average=0.9)
    assert list(copies[0].optimizer_state) == ["Adam"]


# --- beside other options ---


def test_targets_in_units_of_their_own(engine):
    options = {"y": TARGETS, "standardize_targets": True, "standardize": True}
    raw = trained(made(head=cgru.Dense(2, "identity")), **options)
    net, seen = made(head=cgru.Dense(2, "identity")), []
    net.fit(
        X, **options, epochs=EPOCHS, batch_size=M, average=0.8, callback=lambda _: seen.append(net.evaluate(X, TARGETS))
    )
    assert net.evaluate(X, TARGETS) == seen[-1]
    assert_close(weights(net), means(raw, 0.8)[-1], 1e-9)


def test_back_to_the_best_mean(engine):
    """A divergence goes back to parameters, their mean, and how far it has come."""

    for validation in (None, (X, X[:, -1, 0])):
        net, counts = cgru.Network([cgru.Pool("last"), cgru.Dense(1, "identity")], "mse", cgru.SGD(60.0), seed=1), []
        net.make(X)

        def count(epoch, net=net, counts=counts):
            counts.append(net.optimizer_state["fit"]["1.W"][0])

        with np.errstate(over="ignore", invalid="ignore"):
            history = net.fit(
                X, X[:, -1, 0], epochs=400, batch_size=M, recover=True, average=0.9, validation=validation,
                callback=count,
            )  # fmt: skip
        assert history.returns
        back = [i for i in range(1, len(counts)) if counts[i] != counts[i - 1] + 1]
        assert back
        assert np.isfinite(net.evaluate(X, X[:, -1, 0])["loss"])
        assert list(net.optimizer_state) == ["SGD"]


def test_ctrl_c_leaves_the_last_mean(engine):
    net, seen = made(), []

    def callback(epoch):
        seen.append(weights(net))
        if epoch.epoch == 3:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        net.fit(X, Y, epochs=9, batch_size=4, average=0.9, callback=callback)
    assert_close(weights(net), seen[-1], 0)
    assert list(net.optimizer_state) == ["Adam"]


def test_many_fits_and_batches():
    due = made()
    due.fit(X, Y, epochs=3, batch_size=4, shuffle=False, average=0.9)
    (result,) = cgru.fit_many([cgru.Job(made, X=X, y=Y, epochs=3, batch_size=4, shuffle=False, average=0.9)])
    assert_close(weights(result.network), weights(due), 0)
    net = made()
    net.fit([(X[i : i + 4], Y[i : i + 4]) for i in range(0, M, 4)], epochs=3, average=0.9)
    assert_close(weights(net), weights(due), 1e-12)
