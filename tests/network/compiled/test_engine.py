"""The compiled fit against the same fit as a loop of passes, which are tested by the reference."""

from itertools import product

import numpy as np
import pytest

import cgru
from cgru.network import fit
from cgru.network.compiled.engine import Engine
from cgru.network.loop import Loop

RNG = np.random.default_rng(3)
M, S, E, V = 23, 7, 3, 5
X = RNG.standard_normal((M, S, E))
TOKENS = RNG.integers(0, V, (M, S))
LENGTHS = RNG.integers(1, S + 1, M)
CLASSES, STEP_CLASSES = RNG.integers(0, 3, M), RNG.integers(0, 3, (M, S))
SHARES = RNG.dirichlet(np.ones(3), M)
REALS, STEP_REALS = RNG.standard_normal((M, 2)), RNG.standard_normal((M, S, 2))
BINARY, STEP_BINARY = RNG.integers(0, 2, (M, 2)), RNG.integers(0, 2, (M, S, 2))


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


@pytest.mark.parametrize("truncate", [1, 2, 5, 7, 20])
@pytest.mark.parametrize("lengths", [None, LENGTHS], ids=["whole", "ragged"])
@pytest.mark.parametrize("every", [False, True])
def test_truncated(monkeypatch, truncate, lengths, every):
    def make():
        return [states(4, dropout=0.2), cgru.Dropout(0.1), states(3) if every else cgru.GRU(3, zoneout=0.3),
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
