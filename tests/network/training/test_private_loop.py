"""Fits with `optimizers.DP`, against clipping, noise and random batches in NumPy, one sample at a time."""

import copy
import math
import pickle

import numpy as np
import pytest
from checkpoint_cases import StopError, epochs, stopping
from helpers import assert_close, refuses
from layer_cases import LAYERS, MORE, TOKENED
from network_cases import LABELS, LENGTHS, REALS, M, S, X, padded, weights

import cgru
from cgru.layers.embedding import TokenGradients
from cgru.network.training import private_loop
from cgru.optimizers import DP, clipped_sums

V = 7
RNG = np.random.default_rng(5)
TOKENS, STEP_LABELS = RNG.integers(0, V, (M, S)), RNG.integers(0, 3, (M, S))
GAPS = np.where(RNG.random(X.shape) < 0.3, np.nan, X)


def softmax():
    return cgru.Dense(3, "softmax")


STACKS = {  # layers, inputs, targets
    "gru": lambda: ([cgru.GRU(5, learn_h0=True), softmax()], X, LABELS),
    "stack": lambda: (
        [cgru.GRU(7, sequences=True, reset_after=True), cgru.GRU(3, layer_norm=True), softmax()], X, LABELS,
    ),
    "regression": lambda: ([cgru.GRU(4), cgru.Dense(2, "identity")], X, REALS),
    "steps": lambda: (
        [cgru.Bidirectional(cgru.GRU(4, sequences=True)), cgru.LayerNorm(), cgru.Dense(3, "softmax")], X, STEP_LABELS,
    ),
    "tokens": lambda: ([cgru.Embedding(V, 3), cgru.GRU(4), softmax()], TOKENS, LABELS),
    "switching": lambda: ([cgru.SwitchingGRU(3, V), softmax()], TOKENS, LABELS),
    "gaps": lambda: ([cgru.GRUD(4), softmax()], GAPS, LABELS),
    "branches": lambda: (
        [cgru.Conv1D(4, 3, padding="same"), cgru.Concatenate([], cgru.GRU(3, sequences=True)),
         cgru.Pool("mean+attention", 2), softmax()], X, LABELS,
    ),
}  # fmt: skip


def made(layers, inputs, optimizer, dtype=np.float64, seed=1):
    net = cgru.Network(layers, optimizer=optimizer, dtype=dtype, seed=seed)
    net.make(inputs)
    net.mean, net.scale = (np.zeros(3), np.ones(3)) if inputs.dtype.kind == "f" else (None, None)
    return net


def small(optimizer, **options):
    return made([cgru.GRU(5), softmax()], X, optimizer, **options)


def clipped(net, inputs, y, lengths, rows, max_norm):
    """The sum of the clipped gradients of the samples in `rows`, each from a call of its own."""
    due = {key: np.zeros_like(array, np.float64) for key, array in net.parameters().items()}
    trained = {f"{i}.{name}" for i, layer in enumerate(net.layers) if layer.trainable for name in layer.p}
    due = {key: array for key, array in due.items() if key in trained}
    for i in rows:
        g = net.gradients(inputs[i : i + 1], y[i : i + 1], None if lengths is None else lengths[i : i + 1])
        norm = math.sqrt(sum(np.square(g[key], dtype=np.float64).sum() for key in due))
        for key in due:
            due[key] += g[key] * min(1, max_norm / norm)
    return due


@pytest.mark.parametrize("lengths", [None, LENGTHS], ids=["whole", "ragged"])
@pytest.mark.parametrize("dtype", [np.float64, np.float32])
@pytest.mark.parametrize("stack", STACKS)
def test_a_step_is_that_of_single_samples(stack, dtype, lengths, monkeypatch):
    monkeypatch.setattr(private_loop, "LEAST", 5)  # in blocks, of which the last is short
    monkeypatch.setattr(private_loop, "STEPS", 0)
    layers, inputs, y = STACKS[stack]()
    if lengths is not None and inputs is X:
        inputs = padded(inputs, lengths, np.nan)
    net = made(layers, inputs, DP(cgru.SGD(1.0), 0.3, 0), dtype)
    before = weights_of(net)
    due = clipped(net, inputs, y, lengths, range(M), 0.3)
    history = net.fit(inputs, y, lengths=lengths, epochs=1, batch_size=M)
    moved = {key: M * (before[key].astype(np.float64) - array) for key, array in net.parameters().items()}
    assert_close(moved, due, 1e-12 if dtype == np.float64 else 1e-4)
    whole = made(STACKS[stack]()[0], inputs, "sgd", dtype).evaluate(inputs, y, lengths)
    assert history[0].loss == pytest.approx(whole["loss"], rel=1e-5)
    assert history[0].accuracy == whole.get("accuracy")


def weights_of(net):
    return {key: array.copy() for key, array in net.parameters().items()}


@pytest.mark.parametrize("u", [1, 7, 17, 33])
@pytest.mark.parametrize("m", [1, 7, 17, 33])
def test_odd_sizes(m, u):
    inputs, y = RNG.standard_normal((m, 7, u)).astype(np.float32), RNG.integers(0, 3, m)
    net = cgru.Network([cgru.GRU(u), softmax()], optimizer=DP(cgru.SGD(1.0), 0.2, 0), dtype=np.float32, seed=0)
    net.make(inputs)
    before, due = weights_of(net), clipped(net, inputs, y, None, range(m), 0.2)
    net.fit(inputs, y, epochs=1, batch_size=m)
    assert_close({key: m * (before[key] - array) for key, array in net.parameters().items()}, due, 1e-4)


@pytest.mark.parametrize("name", LAYERS | MORE)
def test_without_a_clip_a_step_is_the_common_one(name):
    """Of all layers, in training, with masks; the oracle's loop in Python draws the same ones."""
    inputs = RNG.integers(0, 6, (M, S)) if name in TOKENED else X
    found = []
    for optimizer in (DP(cgru.SGD(1.0), 1e9, 0), Descent()):
        layer = (LAYERS | MORE)[name]()
        layers = [layer] if name in TOKENED else [cgru.Dense(3, "tanh"), layer]
        net = cgru.Network([*layers, softmax()], seed=1, optimizer=optimizer)
        y = STEP_LABELS if net.per_step else LABELS
        if net.per_step:
            y = y[:, : net.predict(inputs).shape[1]]
        net.fit(inputs, y, epochs=2, batch_size=M, **({} if isinstance(optimizer, DP) else {"shuffle": False}))
        found.append(net.parameters())
    assert_close(*found, 1e-11)


class Descent:
    """Plain descent, an optimizer of the user's own."""

    schedule = None

    def rate(self, fraction=0.0):
        return 1.0

    def step(self, p, g, state, fraction=0.0):
        for key, array in p.items():
            array -= g[key]


@pytest.mark.parametrize("size", [1, 7, 10, 24])
@pytest.mark.parametrize("optimizer", [cgru.SGD(0.3, schedule="linear"), cgru.Adam(0.02), Descent()])
def test_batches_and_noise_are_drawn(optimizer, size):
    net = small(DP(optimizer, 0.4, 0.7, seed=9))
    due, rng, state, updates = copy.deepcopy(net), np.random.default_rng(9), {}, math.ceil(M / size)
    for update in range(3 * updates):
        rows = np.flatnonzero(rng.random(M) < size / M)
        sums = clipped(due, X, LABELS, None, rows, 0.4)
        g = {key: (array + 0.28 * rng.standard_normal(array.shape)) / size for key, array in sums.items()}
        optimizer.step(due.parameters(), g, state, update / updates / 3)
    history = net.fit(X, LABELS, epochs=3, batch_size=size)
    assert_close(net.parameters(), due.parameters(), 1e-10)
    assert history[-1].learning_rate == optimizer.rate((3 * updates - 1) / updates / 3)
    assert net.optimizer_state.keys() == state.keys()


def test_the_noise_has_the_deviation_of_the_multiplier():
    net = made([cgru.GRU(64), softmax()], X, DP(cgru.SGD(1.0), 0.5, 3.0, seed=0))
    before, quiet = weights_of(net), copy.deepcopy(net)
    net.fit(X, LABELS, epochs=1, batch_size=M)
    quiet.optimizer = DP(cgru.SGD(1.0), 0.5, 0)
    quiet.fit(X, LABELS, epochs=1, batch_size=M)
    noise = np.concatenate([(net.parameters()[key] - quiet.parameters()[key]).ravel() for key in before])
    assert noise.size > 12_000
    assert np.std(noise) == pytest.approx(3.0 * 0.5 / M, rel=0.03)
    assert abs(noise.mean()) < 4 * noise.std() / math.sqrt(noise.size)


def test_an_epoch_without_samples_is_noise_alone():
    class Nobody:
        bit_generator = np.random.default_rng(0).bit_generator

        def random(self, m):
            return np.ones(m)

        def standard_normal(self, shape):
            return np.ones(shape)

    net = small(DP(cgru.SGD(1.0), 0.5, 2.0))
    object.__setattr__(net.optimizer, "np_rng", Nobody())
    before = weights_of(net)
    history = net.fit(X, LABELS, epochs=1, batch_size=12)
    assert_close(net.parameters(), {key: array - 2 * 0.5 * 2.0 / 12 for key, array in before.items()}, 1e-12)
    found = net.evaluate(X, LABELS)
    assert (history[0].loss, history[0].accuracy) == (pytest.approx(found["loss"]), found["accuracy"])


def test_a_seed_repeats_a_fit_and_none_does_not():
    def trained(seed):
        net = small(DP(cgru.SGD(0.1), 1.0, 1.0, seed))
        net.fit(X, LABELS, epochs=2, batch_size=8)
        return weights(net)

    np.testing.assert_equal(trained(3), trained(3))
    assert (trained(None)["0.Uz"] != trained(None)["0.Uz"]).all()


@pytest.mark.parametrize("copied", [copy.copy, copy.deepcopy, lambda one: pickle.loads(pickle.dumps(one))])
def test_copies_draw_other_noise(copied):
    optimizer = DP("adam", 1.0, 1.0)
    another = copied(optimizer)
    assert optimizer == another
    assert repr(optimizer).startswith("DP(optimizer=Adam(learning_rate=0.001")
    assert (optimizer.np_rng.random(5) != another.np_rng.random(5)).all()


def test_a_fit_goes_on_from_its_checkpoint(tmp_path):
    def net(entropy):
        found = small(DP(cgru.Adam(0.05), 1.0, 1.0))
        object.__setattr__(found.optimizer, "np_rng", np.random.default_rng(entropy))
        return found

    path, options = tmp_path / "dp.npz", {"epochs": 6, "batch_size": 7, "validation": 0.25, "average": 0.9}
    due = net(3)
    history = due.fit(X, LABELS, **options)
    with pytest.raises(StopError):
        net(3).fit(X, LABELS, **options, callback=stopping(4), checkpoint=cgru.Checkpoint(path, seconds=0))
    again = net(4)
    found = again.fit(X, LABELS, **options, checkpoint=cgru.Checkpoint(path, resume=True))
    np.testing.assert_equal(weights(again), weights(due))
    np.testing.assert_equal(again.optimizer_state, due.optimizer_state)
    assert epochs(found) == epochs(history)
    for optimizer in (DP(cgru.Adam(0.06), 1.0, 1.0), DP(cgru.Adam(0.05), 2.0, 1.0), DP(cgru.Adam(0.05), 1.0, 0.9)):
        with pytest.raises(ValueError, match=r"another fit: optimizer\."):
            small(optimizer).fit(X, LABELS, **options, checkpoint=cgru.Checkpoint(path, resume=True))


def test_the_mean_of_the_parameters_is_shown():
    net, shown = small(DP(cgru.SGD(0.5), 0.5, 1.0, seed=2)), small(DP(cgru.SGD(0.5), 0.5, 1.0, seed=2))
    mean = weights_of(net)
    for update in range(4):
        net.fit(X, LABELS, epochs=1, batch_size=M)
        share = min(0.6, (update + 1) / (update + 10))
        mean = {key: share * mean[key] + (1 - share) * array for key, array in net.parameters().items()}
    shown.fit(X, LABELS, epochs=4, batch_size=M, average=0.6)
    assert_close(shown.parameters(), mean, 1e-12)


def test_the_state_of_the_optimizer_has_the_dtype_of_the_network():
    net = small(DP("adam", 0.5, 1.0), dtype=np.float32)
    net.fit(X, LABELS, epochs=1)
    assert {array.dtype for _, *arrays in net.optimizer_state["Adam"].values() for array in arrays} == {np.dtype("f4")}


def test_frozen_layers_have_no_share():
    net = made([cgru.Embedding(V, 3), cgru.GRU(4), softmax()], TOKENS, DP(cgru.SGD(1.0), 0.1, 0))
    net.layers[0].trainable = net.layers[2].trainable = False
    before, due = weights_of(net), clipped(net, TOKENS, LABELS, None, range(M), 0.1)
    net.fit(TOKENS, LABELS, epochs=1, batch_size=M)
    assert {key.partition(".")[0] for key in due} == {"1"}
    moved = {key: M * (before[key] - array) for key, array in net.parameters().items()}
    assert_close(moved, due, 1e-12)
    assert not any(array.any() for key, array in moved.items() if key not in due)


def test_a_callback_sets_another_optimizer():
    net = small(cgru.SGD(0.1))
    kinds = iter([DP(cgru.SGD(0.1), 1.0, 0.5), cgru.Adam(0.01), Descent()])

    def callback(epoch):
        net.optimizer = next(kinds)

    assert len(net.fit(X, LABELS, epochs=3, callback=callback)) == 3
    net = small(cgru.SGD(0.1))
    with pytest.raises(ValueError, match="standardize: expected False with the optimizer DP"):
        net.fit(X, LABELS, epochs=3, standardize=True, callback=lambda _: setattr(net, "optimizer", DP("sgd", 1, 1)))


# --- the sums of clipped gradients ---


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_a_sample_that_is_not_finite_adds_nothing(bad):
    p = {"W": np.zeros(2, np.float32), "E": np.zeros((4, 1), np.float32)}
    rows = np.array([[3.0, 4.0], [bad, 1.0], [0.5, 0.0]], np.float32)
    tokens = TokenGradients(np.array([[1, 0], [1, 2], [2, 3]]), np.array([[[0], [0]], [[1], [1]], [[0], [0.5]]]))
    found = clipped_sums(p, {"W": rows, "E": TokenGradients(tokens.tokens, tokens.rows.astype(np.float32))}, 1.0)
    np.testing.assert_allclose(found["W"], [1.1, 0.8], rtol=1e-6)
    np.testing.assert_allclose(found["E"].ravel(), [0, 0, 0, 0.5])
    for large, due in ((3e18, 0.6), (3e30, 0)):
        rows = np.array([[large, large * 4 / 3]], np.float32)
        np.testing.assert_allclose(clipped_sums({"W": p["W"]}, {"W": rows}, 1.0)["W"], [due, due * 4 / 3], rtol=1e-6)
    numbers = {"c": np.array(1.0)}  # parameters without axes
    assert clipped_sums(numbers, {"c": np.array([0.25, -3.0, 5.0])}, 1.0)["c"] == 0.25


def test_norms_of_large_parameters_are_exact():
    """Sums of a million squares in float32 would be wrong in the fifth digit."""
    rows = np.random.default_rng(0).lognormal(size=(2, 1000, 1000), sigma=3).astype(np.float32)
    found = clipped_sums({"W": rows[0]}, {"W": rows[:1]}, 1.0)["W"].astype(np.float64)
    assert math.sqrt(np.square(found).sum()) == pytest.approx(1.0, abs=1e-6)


def test_one_sample_does_not_end_a_fit():
    """Whether a fit ends must not tell who is in it."""
    y = REALS.astype(np.float64)
    y[3] = 1e200
    net = made([cgru.GRU(4), cgru.Dense(y.shape[1], "identity")], X, DP("sgd", 1.0, 1.0), np.float64)
    with np.errstate(over="ignore"):
        assert np.isfinite(net.fit(X, y, epochs=2, batch_size=4).loss).all()


def test_names_of_classes_are_not_taken_from_the_samples():
    net = cgru.Network([cgru.GRU(4), cgru.Dense(2, "softmax")], optimizer=DP("sgd", 1.0, 1.0))
    y = np.array(["no", "yes"] * len(X))[: len(X)]
    with refuses(ValueError, "class_names"):
        net.fit(X, y, epochs=1)
    named = cgru.Network(
        [cgru.GRU(4), cgru.Dense(2, "softmax")], optimizer=DP("sgd", 1.0, 1.0), class_names=["no", "yes"]
    )
    assert len(named.fit(X, y, epochs=1)) == 1


def test_a_loss_that_is_not_finite_is_a_divergence():
    net = made([cgru.GRU(4), cgru.Dense(2, "identity")], X, DP("sgd", 1.0, 1.0), np.float32)
    net.head.p["b"][...] = np.inf
    with pytest.raises(cgru.DivergenceError, match="the parameters are not all finite after epoch 1"):
        net.fit(X, REALS, epochs=1, batch_size=M)


# --- refusals ---


@pytest.mark.parametrize(
    ("change", "match"),
    [
        ({"max_norm": 0}, "max_norm: expected a number above 0"),
        ({"optimizer": DP("sgd", 1.0, 1.0)}, "optimizer: expected one whose steps are not private yet"),
        ({"max_norm": math.inf}, "max_norm: expected"),
        ({"noise_multiplier": -1}, "noise_multiplier: expected a number of at least 0"),
        ({"optimizer": "adamw"}, "optimizer: expected one of"),
        ({"optimizer": cgru.SGD(clip_norm=1.0)}, "clip_norm: expected None in DP, whose max_norm clips, got 1.0"),
        ({"optimizer": cgru.SGD(schedule="plateau")}, "schedule: expected one that reads no losses in DP"),
    ],
)
def test_settings_out_of_range(change, match):
    with pytest.raises(ValueError, match=match):
        DP(**{"optimizer": "sgd", "max_norm": 1.0, "noise_multiplier": 1.0} | change)


@pytest.mark.parametrize(
    ("options", "match"),
    [
        ({"standardize": True}, "standardize: expected False with the optimizer DP: it would come from the samples"),
        ({"class_weight": "balanced"}, "class_weight: expected None with"),
        ({"shuffle": False}, "shuffle: expected True with"),
        ({"bucket": True}, "bucket: expected False with"),
        ({"truncate": 2}, "truncate: expected None with"),
        ({"recover": True}, "recover: expected False with the optimizer DP"),
        ({"penalties": cgru.Penalties(l2=0.1)}, r"penalties: expected Penalties\(.*\) with .* weight_decay"),
        ({"sample_weight": np.arange(M)}, "sample_weight: expected None with"),
    ],
)
def test_options_that_would_break_privacy(options, match):
    net = small(DP("sgd", 1.0, 1.0))
    before = weights(net)
    with pytest.raises(ValueError, match=match):
        net.fit(X, LABELS, **options)
    np.testing.assert_equal(weights(net), before)


@pytest.mark.parametrize("options", [{}, {"shrink": True, "validation": 0.2}])
def test_targets_are_not_measured(options):
    net = made([cgru.GRU(4), cgru.Dense(2, "identity")], X, DP("sgd", 1.0, 1.0))
    with pytest.raises(ValueError, match="standardize_targets: expected False with the optimizer DP"):
        net.fit(X, REALS, standardize_targets=True, **options)


def test_data_and_layers_that_would_break_privacy(tmp_path):
    net = small(DP("sgd", 1.0, 1.0))
    np.save(tmp_path / "X.npy", X)
    for data in (([(X, LABELS)],), (np.load(tmp_path / "X.npy", mmap_mode="r"), LABELS)):
        with pytest.raises(ValueError, match="X: expected arrays in memory with the optimizer DP: each update draws"):
            net.fit(*data, epochs=1)
    both = cgru.Bidirectional(cgru.GRU(4, clip_gradients=True))
    for layer in (cgru.GRU(4, stateful=True), cgru.GRU(4, clip_gradients=True), both):
        net = cgru.Network([layer, softmax()], optimizer=DP("sgd", 1.0, 1.0))
        with pytest.raises(ValueError, match="layers: expected no layer that is stateful or has clip_gradients"):
            net.fit(X, LABELS, epochs=1)


def test_gaps_are_not_measured():
    optimizer = DP("sgd", 1.0, 1.0)
    times = np.tile(np.arange(S) * 0.5, (M, 1))
    timed = cgru.Sequences(GAPS, times=times)
    due = "layers: expected net.mean and net.scale, with times also unit=, with the optimizer DP: it would come"
    for layer, inputs, measured in ((cgru.GRUD(4), GAPS, None), (cgru.GRUD(4), timed, np.ones(3))):
        net = cgru.Network([layer, softmax()], optimizer=optimizer)
        net.mean = net.scale = measured
        with pytest.raises(ValueError, match=due):
            net.fit(inputs, LABELS, epochs=1)
    net = cgru.Network([cgru.GRUD(4, unit=0.5), softmax()], optimizer=optimizer)
    net.mean, net.scale = np.zeros(3), np.ones(3)
    net.fit(timed, LABELS, epochs=1)
    assert (net.mean == 0).all()


def test_a_layer_without_gradients_of_each_sample():
    class Doubled(cgru.Scale):
        def run(self, A, lengths=None):
            ran = super().run(A, lengths)
            ran.__class__ = DoubledPass
            return ran

    class DoubledPass(type(cgru.Scale().run(np.ones((1, 1, 1))))):
        def gradients(self):
            return super().gradients()

    net = cgru.Network([Doubled(), cgru.GRU(2), softmax()], optimizer=DP("sgd", 1.0, 1.0))
    with pytest.raises(
        ValueError, match=r"expected layers whose passes have gradients\(each=True\), got Scale.* layer 0"
    ):
        net.fit(X, LABELS, epochs=1, batch_size=M)
