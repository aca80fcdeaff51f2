"""The compiled fit against the same fit as a loop of passes, which are tested by the reference."""

import signal
import threading
import time
from itertools import product
from types import SimpleNamespace

import numpy as np
import pytest

import cgru
from cgru.network import fit
from cgru.network.compiled import program
from cgru.network.compiled.engine import Engine, compiles
from cgru.network.loop import Loop
from cgru.network.samples import Data

RNG = np.random.default_rng(3)
M, S, E, V = 23, 7, 3, 5
X = RNG.standard_normal((M, S, E))
TOKENS = RNG.integers(0, V, (M, S))
LENGTHS = RNG.integers(1, S + 1, M)
CLASSES, STEP_CLASSES = RNG.integers(0, 3, M), RNG.integers(0, 3, (M, S))
SHARES = RNG.dirichlet(np.ones(3), M)
REALS, STEP_REALS = RNG.standard_normal((M, 2)), RNG.standard_normal((M, S, 2))
BINARY, STEP_BINARY = RNG.integers(0, 2, (M, 2)), RNG.integers(0, 2, (M, S, 2))


@pytest.fixture(autouse=True)
def watched_memory(monkeypatch):
    """Memory is full of NaN, so that who reads what nobody wrote is found out, and who writes past its end is, too."""
    given = []

    def empty(n, dtype):
        whole = np.full(n + 256, 0xFF, dtype)
        start = (1 - whole.ctypes.data) % 64  # what begins at the next line ends one byte before the end
        given.append(whole[start + n :])
        return whole[start : start + n]

    monkeypatch.setattr(program, "np", SimpleNamespace(**vars(np) | {"empty": empty}))
    yield
    for behind in given:
        assert (behind == 0xFF).all()


def states(u, **options):
    return cgru.GRU(u, sequences=True, **options)


def both(layer, merge="concat"):
    return cgru.Bidirectional(layer, merge=merge)


def fitted(monkeypatch, engine, make, X, y, options, fit_options):
    """The network and the history of a fit on that engine."""
    seen = []
    net = cgru.Network(make(), seed=5, **options)
    with monkeypatch.context() as patch:
        if engine is Loop:
            patch.setattr(fit, "compiles", lambda net: False)
        made = fit.Fit._engine
        patch.setattr(fit.Fit, "_engine", lambda run: seen.append(made(run)) or seen[-1])
        history = net.fit(X, y, **({"epochs": 3, "batch_size": 9} | fit_options))
    assert {type(one) for one in seen} == {engine}
    return net, history


def check(monkeypatch, make, X, y, *, dtype="float64", optimizer=None, loss=None, **fit_options):
    """Both engines train alike, to rounding."""
    options = {"dtype": dtype, "optimizer": cgru.SGD(0.1) if optimizer is None else optimizer, "loss": loss}
    ours, history = fitted(monkeypatch, Engine, make, X, y, options, fit_options)
    due, told = fitted(monkeypatch, Loop, make, X, y, options, fit_options)
    rtol = 1e-9 if dtype == "float64" else 2e-4
    for key, array in due.parameters().items():
        scale = np.abs(array).max()
        np.testing.assert_allclose(ours.parameters()[key], array, rtol=rtol, atol=rtol * scale, err_msg=key)
    for name in ("loss", "accuracy", "validation_loss", "validation_accuracy", "learning_rate"):
        a, b = getattr(history, name), getattr(told, name)
        assert a == b if None in b else a == pytest.approx(b, rel=rtol, abs=rtol), name
    kind = type(ours.optimizer).__name__
    for key, (steps, *arrays) in due.optimizer_state[kind].items():
        got, *found = ours.optimizer_state[kind][key]
        assert got == steps
        for a, b in zip(found, arrays, strict=True):
            np.testing.assert_allclose(a, b, rtol=1e-6 if rtol < 1e-6 else 1e-2, atol=rtol, err_msg=key)
    assert [layer.np_rng.random() for layer in ours.layers] == [layer.np_rng.random() for layer in due.layers]


CHAINS = {
    "last": lambda: [cgru.GRU(5), cgru.Dense(3, "softmax")],
    "one unit": lambda: [cgru.GRU(1), cgru.Dense(3, "softmax")],
    "wide": lambda: [cgru.GRU(33), cgru.Dense(3, "softmax")],
    "after": lambda: [cgru.GRU(5, reset_after=True), cgru.Dense(3, "softmax")],
    "norm": lambda: [cgru.GRU(5, layer_norm=True), cgru.Dense(3, "softmax")],
    "reverse": lambda: [cgru.GRU(5, reverse=True), cgru.Dense(3, "softmax")],
    "pools": lambda: [states(4), cgru.Pool("max"), cgru.Dense(3, "softmax")],
    "mean": lambda: [states(4), cgru.Pool("mean"), cgru.Dense(6, "tanh"), cgru.Dense(3, "softmax")],
    "stack": lambda: [states(4), states(5, reverse=True), cgru.Flip(), cgru.GRU(3), cgru.Dense(3, "softmax")],
    "dense below": lambda: [cgru.Dense(4, "elu"), cgru.GRU(3), cgru.Dense(3, "softmax")],
    "softmax below": lambda: [cgru.Dense(4, "softmax"), cgru.GRU(3), cgru.Dense(3, "softmax")],
    "both": lambda: [both(cgru.GRU(4)), cgru.Dense(3, "softmax")],
    "both states": lambda: [both(states(4)), cgru.Pool("last"), cgru.Dense(3, "softmax")],
    "both twice": lambda: [both(states(4)), both(cgru.GRU(3)), cgru.Dense(3, "softmax")],
    "dropouts": lambda: [
        states(4, dropout=0.3), cgru.Dropout(0.4), cgru.GRU(5, zoneout=0.2), cgru.Dropout(0.2),
        cgru.Dense(3, "softmax"),
    ],
    "recurrent dropout": lambda: [
        states(4, recurrent_dropout=0.4, zoneout=0.1),
        cgru.GRU(17, recurrent_dropout=0.2, dropout=0.3, reset_after=True), cgru.Dense(3, "softmax"),
    ],
    "both drop what was": lambda: [
        both(states(4, recurrent_dropout=0.3, layer_norm=True)), both(cgru.GRU(3, recurrent_dropout=0.2)),
        cgru.Dense(3, "softmax"),
    ],
    "dropped pool": lambda: [states(4), cgru.Dropout(0.4), cgru.Pool("mean"), cgru.Dense(3, "softmax")],
    "dropped flip": lambda: [both(states(3)), cgru.Dropout(0.1), cgru.Flip(), cgru.GRU(2), cgru.Dense(3, "softmax")],
    "dropped wide": lambda: [states(2), cgru.Dropout(0.4), cgru.Dropout(0.2), cgru.GRU(49), cgru.Dense(3, "softmax")],
    "dropped dense": lambda: [
        states(2), cgru.Dropout(0.4), cgru.Dense(4, "tanh"), cgru.Pool("max"), cgru.Dense(3, "softmax"),
    ],
    "both drop": lambda: [both(states(4, dropout=0.3, zoneout=0.2)), cgru.GRU(3), cgru.Dense(3, "softmax")],
    "not now": lambda: [states(4, dropout=0.3, zoneout=0.4), cgru.GRU(3), cgru.Dense(3, "softmax")],
    "other activations": lambda: [
        cgru.GRU(5, cgru.relu, cgru.tanh, cgru.elu), cgru.Dense(3, "softmax", se_hPars={"softmax_temperature": 2.5})
    ],
    "clipped": lambda: [both(cgru.GRU(5, clip_gradients=True)), cgru.Dense(3, "softmax")],
}  # fmt: skip


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("lengths", [None, LENGTHS], ids=["whole", "ragged"])
@pytest.mark.parametrize("chain", CHAINS)
def test_every_chain_trains_as_its_passes_do(monkeypatch, chain, lengths, dtype):
    def make():
        layers = CHAINS[chain]()
        if chain == "not now":
            layers[0].training = False
        return layers

    check(monkeypatch, make, X, CLASSES, lengths=lengths, dtype=dtype, validation=0.3, standardize=True)


@pytest.mark.parametrize("merge", ["concat", "sum", "mean", "mul"])
@pytest.mark.parametrize("every", [False, True])
@pytest.mark.parametrize("lengths", [None, LENGTHS], ids=["whole", "ragged"])
def test_every_merge(monkeypatch, merge, every, lengths):
    def make():
        layer = states(4) if every else cgru.GRU(4)
        return [states(3), both(layer, merge), cgru.Dense(3, "softmax")]

    check(monkeypatch, make, X, STEP_CLASSES if every else CLASSES, lengths=lengths)


HEADS = [
    ("softmax", None, CLASSES, STEP_CLASSES),
    ("softmax", None, SHARES, np.repeat(SHARES[:, None], S, axis=1)),
    ("sigmoid", None, BINARY, STEP_BINARY),
    ("softmax", "binary_cross_entropy", BINARY, STEP_BINARY),
    ("softmax", "mse", REALS, STEP_REALS),
    ("sigmoid", "mse", REALS, STEP_REALS),
    ("identity", None, REALS, STEP_REALS),
    ("relu", None, REALS, STEP_REALS),
]


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("lengths", [None, LENGTHS], ids=["whole", "ragged"])
@pytest.mark.parametrize("per_step", [False, True])
@pytest.mark.parametrize(("activate", "loss", "y", "step_y"), HEADS)
def test_every_head(monkeypatch, activate, loss, y, step_y, per_step, lengths, dtype):
    k = 3 if len(np.unique(y)) == 3 or y is SHARES else 2
    y = step_y if per_step else y

    def make():
        return [states(4) if per_step else cgru.GRU(4), cgru.Dense(k, activate)]

    check(monkeypatch, make, X, y, loss=loss, lengths=lengths, dtype=dtype, validation=0.3)


@pytest.mark.parametrize("every", [False, True])
@pytest.mark.parametrize("lengths", [None, LENGTHS], ids=["whole", "ragged"])
def test_tokens(monkeypatch, every, lengths):
    def make():
        return [cgru.Embedding(V, 3), states(4) if every else cgru.GRU(4), cgru.Dense(3, "softmax")]

    check(monkeypatch, make, TOKENS, STEP_CLASSES if every else CLASSES, lengths=lengths)


OPTIMIZERS = [
    cgru.SGD(0.1, momentum=0.9),
    cgru.SGD(0.1, momentum=0.9, nesterov=True, clip_norm=0.01),
    cgru.SGD(0.1, schedule="linear"),
    cgru.Adam(0.01),
    cgru.Adam(0.01, beta_1=0.8, beta_2=0.9, epsilon=1e-4, weight_decay=0.1, clip_norm=0.1, schedule="cosine"),
]


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("optimizer", OPTIMIZERS, ids=range(len(OPTIMIZERS)))
def test_every_optimizer(monkeypatch, optimizer, dtype):
    check(monkeypatch, CHAINS["both twice"], X, CLASSES, optimizer=optimizer, dtype=dtype)


@pytest.mark.parametrize("scale", [1e-30, 1e-12, 1.0, 1e12, 1e18])
@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_gradients_of_any_size_are_clipped(monkeypatch, scale, dtype):
    def make():
        return [cgru.GRU(5, clip_gradients=True), cgru.Dense(2, "identity")]

    optimizer = cgru.SGD(0.1, clip_norm=1e-3 * min(scale, 1.0))
    check(monkeypatch, make, X, scale * REALS, optimizer=optimizer, dtype=dtype, epochs=1)


@pytest.mark.parametrize("truncate", [1, 2, 5, 7, 20])
@pytest.mark.parametrize("lengths", [None, LENGTHS], ids=["whole", "ragged"])
@pytest.mark.parametrize("every", [False, True])
def test_truncated(monkeypatch, truncate, lengths, every):
    def make():
        return [states(4, dropout=0.2), cgru.Dropout(0.1),
                states(3) if every else cgru.GRU(3, zoneout=0.3, recurrent_dropout=0.2),
                cgru.Dense(3, "softmax")]  # fmt: skip

    y = STEP_CLASSES if every else CLASSES
    check(monkeypatch, make, X, y, lengths=lengths, truncate=truncate, optimizer=cgru.SGD(0.1, schedule="linear"))


@pytest.mark.parametrize("lengths", [None, LENGTHS[:21]], ids=["whole", "ragged"])
@pytest.mark.parametrize("reverse", [False, True])
def test_stateful(monkeypatch, lengths, reverse):
    def make():
        return [states(4, stateful=True), cgru.GRU(3, stateful=True, reverse=reverse), cgru.Dense(3, "softmax")]

    options = {"lengths": lengths, "batch_size": 7, "shuffle": False, "validation": (X[:5], CLASSES[:5])}
    check(monkeypatch, make, X[:21], CLASSES[:21], **options)


@pytest.mark.parametrize(
    ("m", "e", "u"), [(1, 40, 120), (2, 9, 150), (3, 130, 2), (23, 150, 3), (23, 300, 1), (7, 40, 97)]
)
@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("lengths", [None, LENGTHS], ids=["whole", "ragged"])
@pytest.mark.parametrize("truncate", [None, 2])
def test_wide_layers_and_wide_inputs(monkeypatch, m, e, u, dtype, lengths, truncate):
    wide = np.random.default_rng(1).standard_normal((M, S, e))

    def make():
        return [states(u), cgru.GRU(2), cgru.Dense(3, "softmax")]

    options = {"lengths": lengths, "truncate": truncate, "batch_size": m, "validation": 0.3}
    check(monkeypatch, make, wide, CLASSES, dtype=dtype, **options)


@pytest.mark.parametrize("frozen", [(0,), (1,), (0, 2), (1, 2), (2,)])
def test_frozen_layers(monkeypatch, frozen):
    def make():
        layers = [states(4), cgru.GRU(3), cgru.Dense(3, "softmax")]
        for i in frozen:
            layers[i].trainable = False
        return layers

    check(monkeypatch, make, X, CLASSES, optimizer=cgru.Adam(0.01))


@pytest.mark.parametrize("given", [np.float32, np.float16, np.int8, ">f8"])
@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_inputs_of_any_dtype_and_layout(monkeypatch, given, dtype):
    wide = np.zeros((M, S + 2, 2 * E), given)
    wide[:, 1:-1, ::2] = 3 * X
    check(monkeypatch, CHAINS["last"], wide[:, 1:-1, ::2], CLASSES, dtype=dtype, standardize=True, lengths=LENGTHS)
    check(monkeypatch, CHAINS["last"], wide[::-1, -2:0:-1, ::2], CLASSES[::-1], dtype=dtype)


@pytest.mark.parametrize(("m", "size"), [*product([1, 2, 7], [1, 2, 5])])
def test_small_batches(monkeypatch, m, size):
    check(monkeypatch, CHAINS["both twice"], X[:m], CLASSES[:m], batch_size=size)


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("lengths", [None, LENGTHS], ids=["whole", "ragged"])
@pytest.mark.parametrize("chain", ["last", "after", "norm", "both twice", "dropouts", "dropped dense"])
def test_every_level(monkeypatch, level, chain, lengths, dtype):
    optimizer = cgru.Adam(0.01, clip_norm=0.1) if chain == "last" else cgru.SGD(0.1, momentum=0.5, nesterov=True)
    check(monkeypatch, CHAINS[chain], X, CLASSES, lengths=lengths, dtype=dtype, optimizer=optimizer, validation=0.3)


@pytest.mark.parametrize(("m", "s", "size"), [(9, 8, 8), (17, 16, 16), (35, 1, 17), (34, 3, 33)])
@pytest.mark.parametrize("every", [False, True])
@pytest.mark.parametrize("u", [1, 8, 17, 33])
def test_odd_sizes_stay_in_their_memory(monkeypatch, level, u, every, m, s, size):
    rng = np.random.default_rng(u)
    wide, y = rng.standard_normal((m, s, u)), rng.integers(0, u + 1, (m, s) if every else m)
    lengths = rng.integers(1, s + 1, m)
    lengths[0] = s

    def make():
        return [both(states(u), "mean"), states(u) if every else cgru.GRU(u), cgru.Dense(u + 1, "softmax")]

    check(monkeypatch, make, wide, y, lengths=lengths, dtype="float32", batch_size=size, epochs=1)


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("ragged", [False, True], ids=["whole", "ragged"])
def test_many_steps_of_many_classes_have_room(monkeypatch, level, ragged, dtype):
    rng = np.random.default_rng(1)
    lengths = np.array([300, 7, 299, 150, 1]) if ragged else None

    def make():
        return [states(1), cgru.Dense(65, "softmax")]

    long, y = rng.standard_normal((5, 300, 2)), rng.integers(0, 65, (5, 300))
    check(monkeypatch, make, long, y, lengths=lengths, dtype=dtype, batch_size=5, epochs=1)


# --- what a callback may do, and what else may happen ---


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


def drop(net, epoch):
    net.layers[0].dropout = 0.1 * epoch.epoch


def shift(net, epoch):
    net.mean, net.scale = np.full(E, 0.1 * epoch.epoch), np.ones(E)


@pytest.mark.parametrize("validation", [None, (X[:7], (CLASSES[:7] + 1) % 3)], ids=["plain", "validated"])
@pytest.mark.parametrize("callback", [halve, rebind, freeze, slower, another, drop, shift])
def test_a_callback_may_change_the_network(monkeypatch, callback, validation):
    ours, history = trained(monkeypatch, callback, Engine, validation=validation)
    due, told = trained(monkeypatch, callback, Loop, validation=validation)
    assert history.loss == pytest.approx(told.loss, rel=1e-9)
    if validation is not None:
        assert history.validation_loss == pytest.approx(told.validation_loss, rel=1e-9)
    for key, array in due.parameters().items():
        np.testing.assert_allclose(ours.parameters()[key], array, rtol=1e-8, atol=1e-10, err_msg=key)


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
    for key, array in due.parameters().items():
        np.testing.assert_allclose(ours.parameters()[key], array, rtol=1e-6, atol=1e-9, err_msg=key)


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
    for key, array in nets[1].parameters().items():
        np.testing.assert_allclose(nets[0].parameters()[key], array, rtol=1e-9, atol=1e-12, err_msg=key)
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
        for key, array in parameters.items():
            np.testing.assert_array_equal(array, found[0][2][key])


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


@pytest.mark.parametrize("name", ["Vz", "W"])
def test_parameters_that_do_not_fit_are_refused(name):
    net = cgru.Network(CHAINS["last"](), seed=1)
    net.predict(X)
    layer = net.layers[name == "W"]
    layer.p[name] = layer.p[name][:, :-1].copy()
    with pytest.raises(ValueError, match=name):
        net.fit(X, CLASSES)
    with pytest.raises(ValueError, match=name):
        net.evaluate(X, CLASSES)


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
    monkeypatch.setattr("cgru.network.compiled.engine.SCORED", 1)
    monkeypatch.setattr("cgru.network.compiled.engine.ROWS", (5, 5))
    assert net.evaluate(X, CLASSES, LENGTHS) == pytest.approx(due, rel=1e-12)
    monkeypatch.setattr(fit, "compiles", lambda net: False)
    assert net.evaluate(X, CLASSES, LENGTHS) == pytest.approx(due, rel=1e-12)


@pytest.mark.parametrize(("m", "s", "rows"), [(5, 4, 5), (2000, 4, 1024), (2000, 32, 512), (2000, 5000, 8)])
def test_how_many_rows_are_scored_at_once(m, s, rows):
    net = cgru.Network(CHAINS["last"](), seed=1)
    data = Data(np.broadcast_to(X[:1, :1], (m, s, E)), np.zeros(m, int), None)
    net.make(data.X)
    assert Engine(net, data, data, 0, None).rows == rows


@pytest.mark.parametrize("engine", [Engine, Loop])
def test_a_first_epoch_that_fails_leaves_nothing(monkeypatch, engine):
    net = cgru.Network([cgru.GRU(3), cgru.Dense(2, "identity")], seed=1, dtype="float32", optimizer=cgru.SGD(1e30))
    net.predict(X)
    net.layers[0].p["Vz"] = kept = net.layers[0].p["Vz"] + np.float64(1e-12)
    before = kept.copy()
    if engine is Loop:
        monkeypatch.setattr(fit, "compiles", lambda net: False)
    with pytest.raises(RuntimeError, match=r"epoch 1, batch [23] of 3"):
        net.fit(X, REALS, batch_size=9)
    assert net.optimizer_state == {}
    assert len(net.history) == 0
    assert net.layers[0].p["Vz"] is kept
    np.testing.assert_array_equal(kept, before)


@pytest.mark.parametrize("engine", [Engine, Loop])
def test_a_stateful_fit_begins_and_ends_without_states(monkeypatch, engine):
    nets = [
        cgru.Network([cgru.GRU(3, stateful=True), cgru.Dense(3, "softmax")], seed=1, optimizer=cgru.SGD(0.1))
        for _ in range(2)
    ]
    nets[0].predict(X)
    if engine is Loop:
        monkeypatch.setattr(fit, "compiles", lambda net: False)
    for net in nets:
        net.fit(X, CLASSES, epochs=2, batch_size=M, shuffle=False)
        assert net.layers[0].state is None
        many = np.tile(X, (90, 1, 1)), np.tile(CLASSES, 90)  # of which no batch goes on where another ended
        assert net.evaluate(*many) == pytest.approx(net.evaluate(X, CLASSES), rel=1e-12)
    assert nets[0].history.loss == pytest.approx(nets[1].history.loss, rel=1e-12)


def test_a_callback_that_changes_nothing_costs_no_new_engine(monkeypatch):
    made = []
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


@pytest.mark.slow
def test_a_long_epoch_can_be_interrupted():
    net = cgru.Network([cgru.GRU(128), cgru.Dense(1)], seed=0, dtype="float32")
    tall = np.random.default_rng(0).standard_normal((4096, 100, 64), np.float32)
    net.predict(tall[:2])
    before = {key: array.copy() for key, array in net.parameters().items()}
    handler = signal.signal(signal.SIGINT, signal.default_int_handler)  # who runs in the background may ignore it
    try:
        threading.Timer(0.5, signal.raise_signal, (signal.SIGINT,)).start()
        start = time.perf_counter()
        with pytest.raises(KeyboardInterrupt):
            net.fit(tall, np.zeros(len(tall)), epochs=50)
    finally:
        signal.signal(signal.SIGINT, handler)
    assert time.perf_counter() - start < 3
    for key, array in net.parameters().items():  # no epoch has ended
        np.testing.assert_array_equal(array, before[key])
