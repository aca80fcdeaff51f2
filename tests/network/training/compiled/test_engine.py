"""The compiled fit against the same fit as a loop of passes, which are tested by the reference."""

import numpy as np
import pytest
from engine_cases import (
    BINARY,
    CHAINS,
    CLASSES,
    DECAY,
    LENGTHS,
    REALS,
    RESETS,
    SHARES,
    STEP_BINARY,
    STEP_CLASSES,
    STEP_REALS,
    STEP_WEIGHTS,
    WEIGHTS,
    M,
    S,
    X,
    begin_somewhere,
    both,
    states,
)
from helpers import assert_all_same, refuses

import cgru
from cgru import losses
from cgru.network.training import fit
from cgru.network.training.compiled.engine import Engine
from cgru.network.training.loop import Loop


def fitted(monkeypatch, engine, make, X, y, options, fit_options):
    """The network and the history of a fit on that engine."""
    seen = []
    net = cgru.Network(make(), seed=5, **options)
    begin_somewhere(net, X)
    with monkeypatch.context() as patch:
        if engine is Loop:
            patch.setattr(fit, "compiles", lambda net: False)
        made = fit.Fit._engine
        patch.setattr(fit.Fit, "_engine", lambda run: seen.append(made(run)) or seen[-1])
        history = net.fit(X, y, **({"epochs": 3, "batch_size": 9} | fit_options))
    assert {type(one) for one in seen} == {engine}
    return net, history


def check(
    monkeypatch, make, X, y, *, dtype="float64", optimizer=None, loss=None, lengths=None, decay=None, **fit_options
):
    """Both engines train alike, to rounding."""
    X = X if y is None else cgru.Sequences(X, lengths, decay=decay)
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


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("lengths", [None, LENGTHS], ids=["whole", "ragged"])
@pytest.mark.parametrize("chain", CHAINS)
@pytest.mark.pairwise
def test_every_chain_trains_as_its_passes_do(monkeypatch, chain, lengths, dtype):
    def make():
        layers = CHAINS[chain]()
        if chain == "not now":
            layers[0].training = False
        return layers

    check(monkeypatch, make, X, CLASSES, lengths=lengths, dtype=dtype, validation=0.3, standardize=True)


# --- states that begin anew and fade ---


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("memory", [None, "low"])
@pytest.mark.parametrize("lengths", [None, LENGTHS], ids=["whole", "ragged"])
@pytest.mark.parametrize("chain", [name for name, make in CHAINS.items() if any(layer.cells for layer in make())])
@pytest.mark.pairwise
def test_every_chain_with_factors(monkeypatch, chain, lengths, memory, dtype):
    given = {"lengths": lengths, "memory": memory, "dtype": dtype, "decay": DECAY}
    check(monkeypatch, CHAINS[chain], X, CLASSES, validation=0.3, epochs=2, **given)


@pytest.mark.parametrize("memory", [None, "low"])
@pytest.mark.parametrize("learn_h0", [False, True])
@pytest.mark.parametrize("every", [False, True])
@pytest.mark.parametrize("lengths", [None, LENGTHS], ids=["whole", "ragged"])
@pytest.mark.parametrize("truncate", [1, 2, 3])
@pytest.mark.pairwise
def test_factors_meet_the_states_that_a_piece_begins_with(monkeypatch, truncate, lengths, every, learn_h0, memory):
    def make():
        first = states(4, learn_h0=learn_h0, reset_after=True)
        return [first, cgru.GRU(3, sequences=every, learn_h0=learn_h0), cgru.Dense(2, "identity")]

    y = STEP_REALS if every else REALS
    check(monkeypatch, make, X, y, lengths=lengths, truncate=truncate, decay=DECAY, memory=memory)


@pytest.mark.parametrize("below", [[], [cgru.Flip]], ids=["steps", "flipped"])
@pytest.mark.parametrize("reverse", [False, True])
@pytest.mark.parametrize("learn_h0", [False, True])
def test_factors_meet_the_states_of_the_batch_before(monkeypatch, learn_h0, reverse, below):
    def make():
        kind, flips = {"learn_h0": learn_h0, "stateful": True}, [flip() for flip in below]
        return [*flips, both(states(4, **kind)), cgru.GRU(3, reverse=reverse, **kind), cgru.Dense(2, "identity")]

    options = {"lengths": LENGTHS[:20], "shuffle": False, "batch_size": 5}
    check(monkeypatch, make, X[:20], REALS[:20], decay=DECAY[:20], **options)


@pytest.mark.parametrize("kind", [{}, {"layer_norm": True, "learn_h0": True}], ids=["plain", "norm"])
@pytest.mark.parametrize(("m", "e", "u"), [(1, 5, 7), (9, 3, 1), (17, 2, 33), (3, 20, 65)])
@pytest.mark.pairwise
def test_factors_at_every_level(monkeypatch, level, m, e, u, kind):
    def make():
        return [states(u, **kind), both(states(3)), cgru.Dense(2, "identity")]

    rng = np.random.default_rng(u)
    A, y, n = rng.standard_normal((m, 17, e)), rng.standard_normal((m, 17, 2)), rng.integers(1, 18, m)
    resets = rng.random((m, 17)) < 0.2
    check(monkeypatch, make, A, y, lengths=n, decay=1.0 - resets, epochs=1, memory="low" if kind else None)


def test_batches_may_have_factors_or_none(monkeypatch):
    def make():
        return [states(4), cgru.GRU(3), cgru.Dense(2, "identity")]

    sizes = slice(9), slice(9, 18), slice(14, 23)  # all the same, so that memory is made anew for the factors alone
    beside = {}, {"resets": RESETS[9:18]}, {"decay": DECAY[14:]}
    batches = [(cgru.Sequences(X[at], **own), REALS[at]) for at, own in zip(sizes, beside, strict=True)]
    for some, held in ((batches, X), (batches[:1], cgru.Sequences(X, decay=DECAY)), (batches[1:], X)):
        check(monkeypatch, make, some, None, batch_size=None, validation=(held, REALS))


def test_factors_of_one_change_no_bit_and_memory_changes_none():
    found = []
    for decay, memory in ((None, None), (np.ones((M, S)), None), (DECAY, None), (DECAY, "low")):
        net = cgru.Network([both(states(17, learn_h0=True)), cgru.GRU(3), cgru.Dense(2, "identity")], seed=1)
        net.fit(cgru.Sequences(X, LENGTHS, decay=decay), REALS, epochs=2, batch_size=9, memory=memory)
        found.append(np.concatenate([array.ravel() for array in net.parameters().values()]))
    np.testing.assert_array_equal(found[0], found[1])
    np.testing.assert_array_equal(found[2], found[3])
    assert (found[0] != found[2]).any()


HEADS = [
    ("softmax", None, CLASSES, STEP_CLASSES),
    ("softmax", None, SHARES, np.repeat(SHARES[:, None], S, axis=1)),
    ("softmax", "cross_entropy(0.2)", CLASSES, STEP_CLASSES),
    ("softmax", "cross_entropy(0.6)", SHARES, np.repeat(SHARES[:, None], S, axis=1)),
    ("sigmoid", None, BINARY, STEP_BINARY),
    ("softmax", "binary_cross_entropy", BINARY, STEP_BINARY),
    ("softmax", "mse", REALS, STEP_REALS),
    ("sigmoid", "mse", REALS, STEP_REALS),
    ("identity", None, REALS, STEP_REALS),
    ("relu", None, REALS, STEP_REALS),
    ("identity", "huber(0.5)", REALS, STEP_REALS),
    ("tanh", "huber", REALS, STEP_REALS),
    ("identity", "quantile(0.1, 0.5, 0.9)", REALS, STEP_REALS),
    ("sigmoid", "quantile", REALS, STEP_REALS),
    ("identity", "poisson", BINARY, STEP_BINARY),
    ("relu", "poisson", np.abs(REALS), np.abs(STEP_REALS)),
    ("identity", "gaussian", REALS, STEP_REALS),
    ("softmax", "gaussian", REALS, STEP_REALS),
]


def units(loss, y):
    """How many a head has for targets `y`, classes or numbers."""
    return 3 if y.ndim == 1 else y.shape[1] * (1 if loss in (None, "mse") else losses.named(loss).outputs)


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("lengths", [None, LENGTHS], ids=["whole", "ragged"])
@pytest.mark.parametrize("per_step", [False, True])
@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize(("activate", "loss", "y", "step_y"), HEADS)
@pytest.mark.pairwise
def test_every_head(monkeypatch, activate, loss, y, step_y, weighted, per_step, lengths, dtype):
    k = units(loss, y)
    y, weights = (step_y, STEP_WEIGHTS) if per_step else (y, WEIGHTS)

    def make():
        return [states(4) if per_step else cgru.GRU(4), cgru.Dense(k, activate)]

    options = {"loss": loss, "lengths": lengths, "dtype": dtype}
    if weighted:
        options |= {"sample_weight": weights, "optimizer": cgru.Adam(0.01)}
        given = X[:9], y[:9], None if lengths is None else lengths[:9], weights[:9]
        check(monkeypatch, make, X, y, validation=given, **options)
    check(monkeypatch, make, X, y, validation=0.3, **options)


@pytest.mark.parametrize("truncate", [1, 3])
@pytest.mark.parametrize("loss", ["huber(0.5)", "quantile(0.2, 0.7)", "poisson", "gaussian"])
def test_losses_of_numbers_piece_by_piece(monkeypatch, level, loss, truncate):
    """Of few units, whose samples are the lanes, too."""

    def make():
        return [states(2), states(1), cgru.Dense(units(loss, REALS), "identity")]

    X_, y, lengths, weights = (np.concatenate([a, a]) for a in (X, np.abs(STEP_REALS), LENGTHS, STEP_WEIGHTS))
    check(monkeypatch, make, X_, y, loss=loss, lengths=lengths, truncate=truncate, sample_weight=weights, batch_size=34)


@pytest.mark.parametrize("size", [1, 9])
@pytest.mark.parametrize("truncate", [None, 1, 3, 20])
@pytest.mark.parametrize("lengths", [None, LENGTHS], ids=["whole", "ragged"])
@pytest.mark.parametrize("weights", [None, WEIGHTS, STEP_WEIGHTS], ids=["each", "by sample", "by step"])
@pytest.mark.pairwise
def test_pieces_by_weights(monkeypatch, weights, lengths, truncate, size):
    """Those that weigh nothing among them, which are run for their states and their masks alone."""
    every = weights is not None
    y, weights = (STEP_CLASSES, weights) if every else (CLASSES, WEIGHTS)

    def make():
        layers = [states(4, dropout=0.2), cgru.GRU(3, recurrent_dropout=0.1, sequences=every)]
        return [*layers, cgru.Dense(3, "softmax")]

    options = {"lengths": lengths, "truncate": truncate, "batch_size": size, "optimizer": cgru.Adam(0.01)}
    check(monkeypatch, make, X, y, sample_weight=weights, class_weight={1: 0.5, 2: 0}, **options)


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
@pytest.mark.parametrize("learn_h0", [False, True])
@pytest.mark.pairwise
def test_truncated(monkeypatch, truncate, lengths, every, learn_h0):
    def make():
        return [states(4, dropout=0.2, learn_h0=learn_h0), cgru.Dropout(0.1),
                states(3, learn_h0=learn_h0) if every else cgru.GRU(3, zoneout=0.3, recurrent_dropout=0.2),
                cgru.Dense(3, "softmax")]  # fmt: skip

    y = STEP_CLASSES if every else CLASSES
    check(monkeypatch, make, X, y, lengths=lengths, truncate=truncate, optimizer=cgru.SGD(0.1, schedule="linear"))


@pytest.mark.parametrize("pad", [True, False])
def test_the_last_frames_of_long_samples_are_the_shorter_ones(monkeypatch, pad):
    """Of 7 steps in frames of 3 the last piece has one step, of 6 it has three."""

    def make():
        return [cgru.Frames(3, pad=pad), cgru.GRU(4), cgru.Dense(3, "softmax")]

    check(monkeypatch, make, X, CLASSES, lengths=np.maximum(LENGTHS, 3), truncate=3, batch_size=9)


@pytest.mark.parametrize("lengths", [None, LENGTHS[:21]], ids=["whole", "ragged"])
@pytest.mark.parametrize("reverse", [False, True])
@pytest.mark.parametrize("learn_h0", [False, True])
def test_stateful(monkeypatch, lengths, reverse, learn_h0):
    def make():
        last = cgru.GRU(3, stateful=True, reverse=reverse, learn_h0=learn_h0)
        return [states(4, stateful=True, learn_h0=learn_h0), last, cgru.Dense(3, "softmax")]

    options = {"lengths": lengths, "batch_size": 7, "shuffle": False, "validation": (X[:5], CLASSES[:5])}
    check(monkeypatch, make, X[:21], CLASSES[:21], **options)
    weights = np.where(np.arange(21) // 7 == 1, 0, WEIGHTS[:21])  # of the second batch the states alone
    check(monkeypatch, make, X[:21], CLASSES[:21], sample_weight=weights, **options)


@pytest.mark.parametrize(
    ("m", "e", "u"), [(1, 40, 120), (2, 9, 150), (3, 130, 2), (23, 150, 3), (23, 300, 1), (7, 40, 97)]
)
@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("lengths", [None, LENGTHS], ids=["whole", "ragged"])
@pytest.mark.parametrize("truncate", [None, 2])
@pytest.mark.pairwise
def test_wide_layers_and_wide_inputs(monkeypatch, m, e, u, dtype, lengths, truncate):
    samples = min(M, 5 * m)
    wide = np.random.default_rng(1).standard_normal((samples, S, e))
    lengths = lengths if lengths is None else lengths[:samples]

    def make():
        return [states(u), cgru.GRU(2), cgru.Dense(3, "softmax")]

    options = {"lengths": lengths, "truncate": truncate, "batch_size": m, "validation": 0.3}
    check(monkeypatch, make, wide, CLASSES[:samples], dtype=dtype, **options)


@pytest.mark.parametrize("frozen", [(0,), (1,), (0, 2), (1, 2), (2,)])
def test_frozen_layers(monkeypatch, frozen):
    def make():
        layers = [states(4), cgru.GRU(3), cgru.Dense(3, "softmax")]
        for i in frozen:
            layers[i].trainable = False
        return layers

    check(monkeypatch, make, X, CLASSES, optimizer=cgru.Adam(0.01))


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("lengths", [None, LENGTHS], ids=["whole", "ragged"])
@pytest.mark.parametrize("chain", ["last", "after", "norm", "both twice", "dropouts", "dropped dense"])
@pytest.mark.pairwise
def test_every_level(monkeypatch, level, chain, lengths, dtype):
    optimizer = cgru.Adam(0.01, clip_norm=0.1) if chain == "last" else cgru.SGD(0.1, momentum=0.5, nesterov=True)
    check(monkeypatch, CHAINS[chain], X, CLASSES, lengths=lengths, dtype=dtype, optimizer=optimizer, validation=0.3)


@pytest.mark.parametrize(("m", "s", "size"), [(9, 8, 8), (17, 16, 16), (35, 1, 17), (34, 3, 33)])
@pytest.mark.parametrize("every", [False, True])
@pytest.mark.parametrize("u", [1, 8, 17, 33])
@pytest.mark.pairwise
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


def test_a_stage_that_is_not_compiled_is_refused_by_name():
    class Odd(cgru.Clip):
        stage = {"kind": "odd"}  # noqa: RUF012

    net = cgru.Network([cgru.GRU(2), Odd(), cgru.Dense(3, "softmax")], seed=0)
    with refuses(ValueError, "stage"):
        net.fit(X, CLASSES, epochs=1)


@pytest.mark.parametrize("shuffle", [False, True])
def test_an_order_of_32_bits(monkeypatch, shuffle):
    """NumPy 1.26 counts so on Windows."""
    due, _ = fitted(monkeypatch, Engine, CHAINS["last"], X, CLASSES, {}, {"shuffle": shuffle})
    order = fit.Fit._order
    monkeypatch.setattr(fit.Fit, "_order", lambda run: order(run).astype(np.int32))
    found, _ = fitted(monkeypatch, Engine, CHAINS["last"], X, CLASSES, {}, {"shuffle": shuffle})
    assert_all_same(found.parameters(), due.parameters())
