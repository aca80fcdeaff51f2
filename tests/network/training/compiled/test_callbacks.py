"""A compiled fit and what is the user's: callbacks, layers and parameters, threads, Ctrl-C."""

import copy
import signal
import threading
import time
from itertools import product

import numpy as np
import pytest
from engine_cases import CHAINS, CLASSES, LENGTHS, REALS, E, M, X, both, states
from helpers import assert_all_close, assert_all_same

import cgru
from cgru import losses
from cgru.network.data.training_data import Data
from cgru.network.training import fit
from cgru.network.training.compiled.engine import Engine, compiles
from cgru.network.training.loop import Loop


def trained(monkeypatch, callback, engine, epochs=4, **options):
    """The network of a fit with a callback, on that engine."""
    net = cgru.Network([states(4), cgru.GRU(3), cgru.Dense(3, "softmax")], optimizer=cgru.Adam(0.01), seed=5)
    with monkeypatch.context() as patch:
        if engine is Loop:
            patch.setattr(fit, "compiles", lambda net: False)
        history = net.fit(
            X, CLASSES, epochs=epochs, batch_size=9, callback=lambda epoch: callback(net, epoch), **options
        )
    return net, history


def halve(net, epoch):
    net.layers[0].p["Vz"] *= 0.5


def rebind(net, epoch):
    net.layers[1].p["bz"] = np.full_like(net.layers[1].p["bz"], 0.25 * epoch.epoch)


def freeze(net, epoch):
    net.layers[0].trainable = epoch.epoch % 2 == 0


def slower(net, epoch):
    net.optimizer = cgru.Adam(0.01 / epoch.epoch)


def another(net, epoch):
    net.optimizer = cgru.SGD(0.1, momentum=0.5) if epoch.epoch % 2 else cgru.Adam(0.01)


def average(net, epoch):
    net.optimizer = cgru.RMSprop(0.001, momentum=0.5 * (epoch.epoch % 2))


def reckon(net, epoch):
    net.loss = "quantile(0.2)" if epoch.epoch % 2 else "huber"


def drop(net, epoch):
    net.layers[0].dropout = 0.1 * epoch.epoch


def turn(net, epoch):
    net.layers[0].reverse = epoch.epoch % 2 == 1


def skip(net, epoch):
    net.layers[0].zoneout = 0.1 * epoch.epoch


def rest(net, epoch):
    net.layers[0].recurrent_dropout, net.layers[0].training = 0.3, epoch.epoch % 2 == 0


def reseed(net, epoch):
    net.layers[0].dropout, net.layers[0].np_rng = 0.3, np.random.default_rng(epoch.epoch)


def bend(net, epoch):
    net.layers[1].activate, net.layers[1].se_hPars = cgru.elu, {"ELU_alpha": 0.2 * epoch.epoch}


def shift(net, epoch):
    net.mean, net.scale = np.full(E, 0.1 * epoch.epoch), np.ones(E)


@pytest.mark.parametrize("validation", [None, (X[:7], (CLASSES[:7] + 1) % 3)], ids=["plain", "validated"])
@pytest.mark.parametrize(
    "callback", [halve, rebind, freeze, slower, another, average, reckon, drop, turn, skip, rest, reseed, bend, shift]
)
def test_a_callback_may_change_the_network(monkeypatch, callback, validation):
    ours, history = trained(monkeypatch, callback, Engine, validation=validation)
    due, told = trained(monkeypatch, callback, Loop, validation=validation)
    assert history.loss == pytest.approx(told.loss, rel=1e-9)
    if validation is not None:
        assert history.validation_loss == pytest.approx(told.validation_loss, rel=1e-9)
    assert_all_close(ours.parameters(), due.parameters(), rtol=1e-8, atol=1e-10)


@pytest.mark.parametrize("layout", ["C", "Fortran", "another dtype", "every other"])
@pytest.mark.parametrize("key", ["0.Uz", "0.bhh", "2.W"])
def test_a_number_that_a_callback_changes_is_seen_in_any_layout(monkeypatch, key, layout):
    i, name = int(key[0]), key[2:]

    def callback(net, epoch):
        p, shape = net.layers[i].p, net.layers[i].p[name].shape
        if epoch.epoch == 1:
            kept = {
                "C": p[name],
                "Fortran": np.asfortranarray(p[name]),
                "another dtype": p[name].astype(np.float32),
                "every other": np.zeros((shape[0], 2 * shape[1]))[:, ::2],
            }[layout]
            kept[...] = p[name]
            p[name] = kept
        elif epoch.epoch == 3:
            p[name][-1, -1] += 0.125

    ours, history = trained(monkeypatch, callback, Engine, epochs=5)
    due, told = trained(monkeypatch, callback, Loop, epochs=5)
    tolerance = 1e-3 if layout == "another dtype" else 1e-9
    assert history.loss == pytest.approx(told.loss, rel=tolerance)
    np.testing.assert_allclose(ours.parameters()[key], due.parameters()[key], rtol=tolerance, atol=tolerance)


def test_layers_that_a_callback_makes_stateful_are_reset_from_then_on(monkeypatch, engine):
    net = cgru.Network([cgru.GRU(4), cgru.Dense(3, "softmax")], optimizer=cgru.Adam(0.01), seed=5)
    resets = []
    monkeypatch.setattr(cgru.GRU, "reset_state", lambda layer: resets.append(vars(layer).update(state=None)))

    def callback(epoch):
        net.layers[0].stateful = epoch.epoch == 2
        resets.append(epoch.epoch)

    validation = X[:7], CLASSES[:7]
    net.fit(X[:7], CLASSES[:7], epochs=4, batch_size=7, shuffle=False, validation=validation, callback=callback)
    assert [each for each in resets if each is not None] == [1, 2, 3, 4]
    assert resets.index(2) < resets.index(None) < resets.index(3)
    assert None not in resets[: resets.index(2)] + resets[resets.index(3) :]


def test_a_callback_sees_the_epoch_that_just_ended(monkeypatch):
    seen = []
    net, _ = trained(monkeypatch, lambda net, epoch: seen.append(net.layers[0].p["Uz"].copy()), Engine, epochs=3)
    assert not np.array_equal(seen[0], seen[1])
    np.testing.assert_array_equal(net.layers[0].p["Uz"], seen[2])
    once, _ = trained(monkeypatch, lambda net, epoch: None, Engine, epochs=1)
    np.testing.assert_array_equal(once.layers[0].p["Uz"], seen[0])


def test_an_activation_of_the_users_own_goes_on_as_a_loop(monkeypatch):
    def own(x, deriv=False):
        return 1 - np.tanh(x) ** 2 if deriv else np.tanh(x)

    def callback(net, epoch):
        net.layers[1].activate = own if epoch.epoch % 2 else cgru.tanh

    ours, _ = trained(monkeypatch, callback, Engine)
    due, _ = trained(monkeypatch, lambda net, epoch: None, Loop)
    assert_all_close(ours.parameters(), due.parameters(), rtol=1e-6, atol=1e-9)


class Own(cgru.GRU):
    """A layer of the user's."""


class Descent:
    """An optimizer of the user's."""

    def rate(self, fraction=0.0):
        return 0.1

    def step(self, p, g, state, fraction=0.0):
        for key, array in p.items():
            array -= 0.1 * np.reshape(g[key], array.shape)


@pytest.mark.parametrize(
    ("layer", "optimizer"),
    [
        (lambda: Own(4), cgru.SGD(0.1)),
        (lambda: cgru.GRU(4, lambda x, deriv=False: cgru.tanh(x, deriv)), cgru.SGD(0.1)),
        (lambda: both(Own(4)), cgru.SGD(0.1)),
        (lambda: cgru.GRU(4), Descent()),
    ],
    ids=["layer", "activation", "in a pair", "optimizer"],
)
def test_what_is_the_users_own_trains_too(layer, optimizer):
    plain = both(cgru.GRU(4)) if layer().cells[1:] else cgru.GRU(4)
    nets = [
        cgru.Network([each, cgru.Dense(3, "softmax")], optimizer=own, seed=2)
        for each, own in ((layer(), optimizer), (plain, cgru.SGD(0.1)))
    ]
    for net in nets:
        net.fit(X, CLASSES, lengths=LENGTHS, epochs=2, batch_size=9)
    assert_all_close(nets[0].parameters(), nets[1].parameters(), rtol=1e-9, atol=1e-12)
    assert nets[0].evaluate(X, CLASSES) == pytest.approx(nets[1].evaluate(X, CLASSES), rel=1e-9)


@pytest.mark.parametrize("chain", ["wide", "both twice", "norm", "mean", "last"])
@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_bits_do_not_depend_on_threads(chain, dtype):
    tall = np.tile(X, (8, 12, 6))  # so that threads are worth it
    y, kept, found = np.tile(CLASSES, 8), cgru.get_num_threads(), []
    try:
        for threads in (1, 2, 3):
            cgru.set_num_threads(threads)
            net = cgru.Network(CHAINS[chain](), dtype=dtype, seed=1)
            net.fit(tall, y, lengths=np.tile(LENGTHS * 12, 8), epochs=1, batch_size=92, validation=0.2)
            found.append((net.history.loss, net.history.validation_loss, net.parameters()))
    finally:
        cgru.set_num_threads(kept)
    for loss, validation_loss, parameters in found[1:]:
        assert (loss, validation_loss) == found[0][:2]
        assert_all_same(found[0][2], parameters)


def test_parameters_of_any_layout_and_dtype_stay_what_they_are():
    nets = [cgru.Network(CHAINS["last"](), seed=1, dtype="float32") for _ in range(2)]
    for net in nets:
        net.predict(X)
    wide = np.zeros((5, 10), np.float64)
    wide[:, ::2] = nets[0].layers[0].p["Vz"]
    nets[0].layers[0].p["Vz"] = view = wide[:, ::2]
    for net in nets:
        net.fit(X, CLASSES, epochs=2)
    assert nets[0].layers[0].p["Vz"] is view
    np.testing.assert_array_equal(view, nets[1].layers[0].p["Vz"])
    assert not wide[:, 1::2].any()


@pytest.mark.parametrize(
    ("layer", "name", "shape"), [(1, "Uz", (5, 3)), (1, "bz", (3,)), (2, "W", (2, 3)), (2, "b", (3,))]
)
def test_what_a_callback_breaks_is_refused(monkeypatch, layer, name, shape):
    def callback(net, epoch):
        net.layers[layer].p[name] = np.zeros(shape)

    with pytest.raises(ValueError, match=name):
        trained(monkeypatch, callback, Engine)


def test_scores_do_not_depend_on_how_many_run_at_once(monkeypatch):
    net = cgru.Network(CHAINS["both twice"](), seed=1)
    due = net.evaluate(X, CLASSES, LENGTHS)
    monkeypatch.setattr("cgru.network.training.compiled.engine.SCORED", 1)
    monkeypatch.setattr("cgru.network.training.compiled.engine.ROWS", (5, 5))
    assert net.evaluate(X, CLASSES, LENGTHS) == pytest.approx(due, rel=1e-12)
    monkeypatch.setattr(fit, "compiles", lambda net: False)
    assert net.evaluate(X, CLASSES, LENGTHS) == pytest.approx(due, rel=1e-12)


@pytest.mark.parametrize(("m", "s", "rows"), [(5, 4, 5), (2000, 4, 1024), (2000, 32, 512), (2000, 5000, 8)])
def test_how_many_rows_are_scored_at_once(m, s, rows):
    net = cgru.Network(CHAINS["last"](), seed=1)
    data = Data(np.broadcast_to(X[:1, :1], (m, s, E)), np.zeros(m, int), None)
    net.make(data.X)
    assert Engine(net, data, data, 0, None).room["scored"] == (rows, s, s)


@pytest.mark.parametrize("loss", ["gaussian", "quantile(0.1, 0.5, 0.9)", "cross", None])
def test_a_loss_that_does_not_fit_any_more_is_refused(monkeypatch, loss):
    def callback(net, epoch):
        net.loss = loss

    with pytest.raises(ValueError, match=r"^(loss|y): "):
        trained(monkeypatch, callback, Engine)


def test_a_first_epoch_that_fails_leaves_nothing(engine):
    net = cgru.Network([cgru.GRU(3), cgru.Dense(2, "identity")], seed=1, dtype="float32", optimizer=cgru.SGD(1e30))
    net.predict(X)
    net.layers[0].p["Vz"] = kept = net.layers[0].p["Vz"] + np.float64(1e-12)
    before = kept.copy()
    with pytest.raises(RuntimeError, match=r"epoch 1, batch \d+ of 12: training diverged"):
        net.fit(X, REALS, batch_size=2)
    assert net.optimizer_state == {}
    assert len(net.history) == 0
    assert net.layers[0].p["Vz"] is kept
    np.testing.assert_array_equal(kept, before)


def test_a_stateful_fit_begins_and_ends_without_states(engine):
    nets = [
        cgru.Network([cgru.GRU(3, stateful=True), cgru.Dense(3, "softmax")], seed=1, optimizer=cgru.SGD(0.1))
        for _ in range(2)
    ]
    nets[0].predict(X)
    for net in nets:
        net.fit(X, CLASSES, epochs=2, batch_size=M, shuffle=False)
        assert net.layers[0].state is None
        many = np.tile(X, (90, 1, 1)), np.tile(CLASSES, 90)  # of which no batch goes on where another ended
        assert net.evaluate(*many) == pytest.approx(net.evaluate(X, CLASSES), rel=1e-12)
    assert nets[0].history.loss == pytest.approx(nets[1].history.loss, rel=1e-12)


def test_a_callback_that_changes_nothing_costs_no_new_engine(monkeypatch):
    made = []
    monkeypatch.setattr(fit.Fit, "_compare_with_constant", lambda self: "")  # which has an engine of its own
    monkeypatch.setattr(fit, "Engine", lambda *arguments: made.append(Engine(*arguments)) or made[-1])
    trained(monkeypatch, lambda net, epoch: net.evaluate(X, CLASSES), None)
    assert [one.batch_size for one in made] == [9, 0, 0, 0, 0]  # those that score, too
    made.clear()
    trained(monkeypatch, freeze, None)
    assert len(made) == 1 + 4


def method(layer):
    layer.run = layer.run


def activation(layer):
    layer.activate = lambda x, deriv=False: cgru.tanh(x, deriv)


def mask(layer):
    layer.mask = np.ones((1, 1, 4))


def masks(layer):
    layer.masks = {}


def mixed(layer):
    layer.dtype = np.dtype(np.float32)


@pytest.mark.parametrize(
    ("where", "what"),
    [
        *product((0, 1, 2, 3, 4), (method,)),
        *product((0, 3, 4), (activation, mixed)),
        *product((0, 3), (masks,)),
        (1, mask),
    ],
)
def test_what_is_the_users_own_does_not_compile(where, what):
    layers = [states(4), cgru.Dropout(0.1), cgru.Flip(), both(cgru.GRU(4)), cgru.Dense(3, "softmax")]
    net = cgru.Network(layers, seed=1)
    assert compiles(net)
    layer = net.layers[where]
    what(layer.cells[-1] if where == 3 and what is not mixed else layer)
    assert not compiles(net)


@pytest.mark.parametrize("layer", [cgru.Scale(), cgru.Clip(0, 1), cgru.Activation("relu"), cgru.Pool("last")])
def test_a_class_built_on_a_layer_of_ours_does_not_compile(layer):
    def made(layer):
        return cgru.Network([cgru.GRU(3, sequences=True), layer, cgru.Dense(2)], "mse")

    assert compiles(made(copy.deepcopy(layer)))
    layer.__class__ = type("Own", (type(layer),), {})
    assert not compiles(made(layer))


def test_an_activation_of_the_users_does_not_compile():
    def own(x, deriv=False):
        return np.ones_like(x) if deriv else x

    layers = [cgru.GRU(3, sequences=True), cgru.Activation("tanh"), cgru.GRU(2), cgru.Dense(2)]
    net = cgru.Network(layers, "mse")
    assert compiles(net)
    net.layers[1].activate = own
    assert not compiles(net)


def test_all_losses_that_have_a_name_compile():
    for loss in (*losses.LOSSES, "huber(0.5)", "quantile(0.1, 0.9)"):
        assert compiles(cgru.Network([cgru.GRU(3), cgru.Dense(4, "softmax")], loss))
    assert not compiles(cgru.Network([cgru.GRU(3), cgru.Dense(4)], lambda A, Y: (A[:, 0], A)))
    assert not compiles(cgru.Network([cgru.GRU(3)]))


@pytest.mark.slow
def test_a_long_epoch_can_be_interrupted():
    net = cgru.Network([cgru.GRU(128), cgru.Dense(1)], seed=0, dtype="float32")
    tall = np.random.default_rng(0).standard_normal((4096, 100, 64), np.float32)
    net.predict(tall[:2])
    before = {key: array.copy() for key, array in net.parameters().items()}
    handler = signal.signal(signal.SIGINT, signal.default_int_handler)  # who runs in the background may ignore it
    try:
        threading.Timer(0.5, signal.raise_signal, (signal.SIGINT,)).start()
        start = time.thread_time()  # others use the machine too
        with pytest.raises(KeyboardInterrupt):
            net.fit(tall, np.zeros(len(tall)), epochs=50)
    finally:
        signal.signal(signal.SIGINT, handler)
    assert time.thread_time() - start < 3
    assert_all_same(before, net.parameters())


def test_the_penalty_of_a_layer_that_was_frozen_is_not_clipped_with(monkeypatch):
    def callback(net, epoch):
        net.optimizer = cgru.SGD(0.1, clip_norm=0.05)
        net.layers[0].trainable = False

    (ours, told), (due, loop) = (
        trained(monkeypatch, callback, engine, penalties=cgru.Penalties(l2=0.1)) for engine in (Engine, Loop)
    )
    np.testing.assert_allclose(told.loss, loop.loss, rtol=1e-12)
    assert_all_close(ours.parameters(), due.parameters(), rtol=1e-9, atol=1e-12)
