"""Networks of any layers: exact gradients, outputs at each step, tokens, dropout, truncated backpropagation, files."""

import copy
import re

import numpy as np
import pytest
from helpers import watched

import cgru
from cgru import reference
from cgru.layers.layer import Layer
from cgru.passes import Pass

RNG = np.random.default_rng(0)
M, S, E, V, K = 9, 7, 3, 6, 4
X = RNG.standard_normal((M, S, E))
TOKENS = RNG.integers(0, V, (M, S))
LENGTHS = RNG.integers(1, S + 1, M)
LENGTHS[0] = S
REAL = reference.mask(LENGTHS, S)[:, :, 0]
LABELS, STEP_LABELS = RNG.integers(0, K, M), RNG.integers(0, K, (M, S))
SHARES, STEP_SHARES = RNG.random((M, K)), RNG.random((M, S, K))
REALS = RNG.standard_normal((M, S, K))


def states(units, **options):
    return cgru.GRU(units, sequences=True, **options)


def softmax(units=K, **options):
    return cgru.Dense(units, cgru.softmax, **options)


def weights(net):
    return {key: array.copy() for key, array in net.parameters().items()}


def masked(*shape, rate=0.4):
    layer = cgru.Dropout(rate)
    layer.mask = (RNG.random(shape) >= rate) / (1 - rate)
    return layer


class Twins(Layer):
    """A layer of a user's own: two GRUs side by side, their parameters under names of two parts."""

    piecewise = False

    def __init__(self, units):
        super().__init__()
        self.pair = {"left": states(units), "right": states(units, activate=cgru.elu)}
        self.d["u"], self.trainable = 2 * units, True

    @property
    def parameter_names(self):
        return tuple(f"{side}.{name}" for side, layer in self.pair.items() for name in layer.parameter_names)

    def output_shape(self, shape):
        return *shape[:2], self.d["u"]

    def compute_shapes(self, A):
        for layer in self.pair.values():
            layer.compute_shapes(A)

    def initialize_parameters(self):
        for side, layer in self.pair.items():
            layer.np_rng = self.np_rng
            layer.initialize_parameters()
            self.p |= {f"{side}.{name}": array for name, array in layer.p.items()}

    def run(self, A, lengths=None):
        return TwinsPass({side: layer.run(A, lengths) for side, layer in self.pair.items()})


class TwinsPass(Pass):
    def __init__(self, pair):
        self.pair = pair
        super().__init__(np.concatenate([each.A for each in pair.values()], axis=2), {})

    def backward(self, dA):
        return sum(each.backward(d) for each, d in zip(self.pair.values(), np.split(dA, 2, axis=2), strict=True))

    def gradients(self):
        return {f"d{side}.{name[1:]}": g for side, each in self.pair.items() for name, g in each.gradients().items()}


STACKS = {
    "depth": lambda: ([states(4), states(3), states(4), cgru.GRU(3), softmax()], X, LABELS),
    "mean": lambda: (
        [cgru.Embedding(V, 3), states(4), masked(M, S, 4), states(3), cgru.Pool("mean"), softmax()],
        TOKENS,
        LABELS,
    ),
    "max": lambda: ([cgru.Embedding(V, 3), masked(M, S, 3), states(4), cgru.Pool("max"), softmax()], TOKENS, LABELS),
    "side by side": lambda: ([states(4), cgru.Pool("max+last+mean"), cgru.Dense(5, cgru.tanh), softmax()], X, LABELS),
    "last": lambda: ([states(4), cgru.Pool("last"), cgru.Dense(3, cgru.tanh), masked(M, 3), softmax()], X, LABELS),
    "bag of words": lambda: ([cgru.Embedding(V, 5), cgru.Pool(), cgru.Dense(K)], TOKENS, SHARES),
    "pooled inputs": lambda: ([masked(M, S, E), cgru.Dense(4, cgru.elu), cgru.Pool("max"), softmax()], X, LABELS),
    "classes at steps": lambda: (
        [states(4), masked(M, S, 4), states(3), softmax(se_hPars={"softmax_temperature": 1.4})],
        X,
        STEP_LABELS,
    ),
    "probabilities at steps": lambda: (
        [cgru.Dense(5, cgru.tanh), states(4), softmax()],
        X,
        STEP_SHARES / STEP_SHARES.sum(axis=2, keepdims=True),
    ),
    "labels at steps": lambda: ([cgru.Embedding(V, 3), states(4), cgru.Dense(K)], TOKENS, STEP_SHARES),
    "binary at steps": lambda: ([states(4), cgru.Dense(1)], X, STEP_LABELS > 1),
    "reals at steps": lambda: ([states(4), cgru.Dense(3, cgru.elu), cgru.Dense(K, cgru.tanh)], X, REALS),
    "one real at steps": lambda: ([states(4), cgru.Dense(1, cgru.identity)], X, REALS[:, :, 0]),
    "a layer of one's own": lambda: ([states(4), Twins(2), cgru.GRU(3), softmax()], X, LABELS),
}


@pytest.mark.parametrize("lengths", [None, LENGTHS], ids=["whole", "ragged"])
@pytest.mark.parametrize("stack", STACKS)
def test_gradients_match_central_differences(stack, lengths):
    """One step of plain descent at rate 1 moves each parameter by its gradient."""
    layers, inputs, y = STACKS[stack]()
    net = cgru.Network(layers, optimizer=cgru.SGD(1.0), seed=1)
    net.predict(inputs[:1])
    for array in net.parameters().values():
        array += 0.1 * RNG.standard_normal(array.shape)
    start = weights(net)
    history = net.fit(inputs, y, lengths=lengths, epochs=1, batch_size=M, shuffle=False)
    moved = weights(net)
    for key, array in net.parameters().items():
        array[...] = start[key]
    for layer in layers:
        if isinstance(layer, cgru.Dropout):
            layer.predict = layer.forward  # so that evaluate has the same mask
    assert net.evaluate(inputs, y, lengths)["loss"] == pytest.approx(history.loss[0], rel=1e-12)
    for key, array in net.parameters().items():
        for _ in range(3):
            index = tuple(RNG.integers(array.shape))
            kept, sides = array[index], []
            for sign in (1, -1):
                array[index] = kept + sign * 1e-6
                sides.append(net.evaluate(inputs, y, lengths)["loss"])
            array[index] = kept
            gradient = start[key][index] - moved[key][index]
            assert gradient == pytest.approx((sides[0] - sides[1]) / 2e-6, rel=1e-5, abs=1e-9), key


@pytest.mark.parametrize("stack", STACKS)
def test_nothing_of_the_padding_counts(stack):
    layers, inputs, y = STACKS[stack]()
    nets = [cgru.Network(copy.deepcopy(layers), seed=1) for _ in range(2)]
    dirty, targets = inputs.copy(), np.array(y)
    dirty[~REAL] = V + 7 if inputs is TOKENS else np.nan
    if targets.shape[:2] == (M, S):
        targets = targets.astype(float) if targets.dtype == bool else targets
        targets[~REAL] = -100
        if targets.dtype.kind == "f":
            targets[~REAL] = np.nan
    clean, other = (
        net.fit(*data, lengths=LENGTHS, epochs=2, batch_size=M, shuffle=False)
        for net, data in zip(nets, ((inputs, y), (dirty, targets)), strict=True)
    )
    assert clean.loss == other.loss
    assert clean.accuracy == other.accuracy
    A = nets[1].predict(dirty, LENGTHS)
    np.testing.assert_array_equal(A, nets[0].predict(inputs, LENGTHS))
    if A.ndim == 3:
        assert not A[~REAL].any()


# --- outputs at each step ---


@pytest.mark.parametrize("lengths", [None, LENGTHS])
def test_losses_are_means_over_the_real_steps(lengths):
    real = np.ones((M, S), bool) if lengths is None else REAL
    net = cgru.Network([states(4), softmax()], seed=1)
    A = net.predict(X, lengths)
    assert A.shape == (M, S, K)
    got = net.evaluate(X, STEP_LABELS, lengths)
    picked = np.take_along_axis(A, STEP_LABELS[:, :, None], axis=2)[:, :, 0][real]
    assert got["loss"] == pytest.approx(-np.log(picked).mean(), rel=1e-12)
    assert got["accuracy"] == pytest.approx((A.argmax(axis=2) == STEP_LABELS)[real].mean(), rel=1e-12)
    assert net.evaluate(X, np.eye(K)[STEP_LABELS], lengths) == pytest.approx(got)

    several = cgru.Network([states(4), cgru.Dense(K)], seed=1)
    A, Y = several.predict(X, lengths)[real], STEP_SHARES[real]
    got = several.evaluate(X, STEP_SHARES, lengths)
    assert got["loss"] == pytest.approx(-(Y * np.log(A) + (1 - Y) * np.log(1 - A)).mean(), rel=1e-12)
    assert got["accuracy"] == pytest.approx(((A > 0.5) == (Y > 0.5)).mean(), rel=1e-12)

    regression = cgru.Network([states(4), cgru.Dense(K, cgru.identity)], seed=1)
    error = np.square(regression.predict(X, lengths) - REALS)[real].mean()
    assert regression.evaluate(X, REALS, lengths) == pytest.approx({"loss": error}, rel=1e-12)


def test_an_epoch_weighs_its_batches_by_their_real_steps():
    net = cgru.Network([states(4), softmax()], optimizer=cgru.SGD(1e-300), seed=1)
    history = net.fit(X, STEP_LABELS, lengths=LENGTHS, epochs=1, batch_size=4)
    due = net.evaluate(X, STEP_LABELS, LENGTHS)
    assert history.loss[0] == pytest.approx(due["loss"], rel=1e-12)
    assert history.accuracy[0] == pytest.approx(due["accuracy"], rel=1e-12)


def test_classes_at_steps():
    net = cgru.Network([states(4), softmax()], seed=1)
    classes = net.predict_classes(X, LENGTHS)
    np.testing.assert_array_equal(classes[REAL], net.predict(X, LENGTHS).argmax(axis=2)[REAL])
    assert (classes[~REAL] == -1).all()
    names = np.array(["a", "bb", "c", "d"])
    named = cgru.Network([states(4), softmax()], seed=1, class_names=names)
    np.testing.assert_array_equal(named.predict_classes(X, LENGTHS), np.where(REAL, names[classes], ""))
    np.testing.assert_array_equal(named.predict_classes(X)[REAL], names[classes][REAL])

    binary = cgru.Network([states(4), cgru.Dense(1)], seed=1)
    above = binary.predict(X, LENGTHS)[:, :, 0] > 0.5
    np.testing.assert_array_equal(binary.predict_classes(X, LENGTHS), np.where(REAL, above, -1))
    several = cgru.Network([states(4), cgru.Dense(K)], seed=1)
    due = np.where(REAL[:, :, None], several.predict(X, LENGTHS) > 0.5, -1)
    np.testing.assert_array_equal(several.predict_classes(X, LENGTHS), due)
    broken = X.copy()
    broken[3, 0, 0] = np.nan
    with pytest.raises(ValueError, match="sample 3"):
        net.predict_classes(broken, LENGTHS)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_learns_to_repeat_the_token_before(dtype):
    tokens = RNG.integers(0, V, (64, 12))
    lengths = RNG.integers(2, 13, 64)
    y = np.concatenate([np.zeros((64, 1), int), tokens[:, :-1]], axis=1)
    layers = [cgru.Embedding(V, 8, dtype=dtype), states(24, dtype=dtype), cgru.Dropout(0.1), softmax(V, dtype=dtype)]
    net = cgru.Network(layers, optimizer=cgru.Adam(0.02), seed=0, class_names=list("uvwxyz"))
    history = net.fit(tokens, y, lengths=lengths, epochs=40, batch_size=16, validation=0.25, patience=15)
    assert net.evaluate(tokens, y, lengths)["accuracy"] > 0.97
    assert min(history.validation_loss) < 0.3
    assert max(history.accuracy) <= 1
    assert net.predict(tokens).dtype == dtype
    assert all(array.dtype == dtype for array in weights(net).values())


def test_a_pool_of_the_last_is_a_gru_without_sequences():
    plain = cgru.Network([cgru.GRU(4, rng=1), softmax(rng=2)])
    pooled = cgru.Network([states(4, rng=1), cgru.Pool("last"), softmax(rng=2)])
    np.testing.assert_array_equal(pooled.predict(X, LENGTHS), plain.predict(X, LENGTHS))
    histories = [net.fit(X, LABELS, lengths=LENGTHS, epochs=3, shuffle=False).loss for net in (plain, pooled)]
    np.testing.assert_allclose(*histories, rtol=1e-12)


# --- dropout ---


def test_dropout_is_for_training_and_repeats_by_the_seed(monkeypatch):
    def made(rate, seed=1):
        return cgru.Network([states(8), cgru.Dropout(rate), cgru.GRU(4), softmax()], seed=seed)

    plain, net, twin = made(0), made(0.5), made(0.5)
    np.testing.assert_array_equal(net.predict(X), plain.predict(X))
    assert net.evaluate(X, LABELS) == plain.evaluate(X, LABELS)
    losses = [each.fit(X, LABELS, epochs=4, batch_size=4).loss for each in (net, twin, plain)]
    assert losses[0] == losses[1]
    assert losses[0] != losses[2]
    np.testing.assert_array_equal(net.predict(X), net.predict(X))
    passes = watched(monkeypatch, net.layers[1])
    for _ in range(2):  # the generator goes on from fit to fit
        net.fit(X, LABELS, epochs=1, batch_size=M)
    masks = [ran.fc["mask"] for ran in passes]
    assert not np.array_equal(*masks)
    assert set(np.unique(masks[0])) == {0, 2}
    assert len(np.unique(masks[0], axis=1)[0]) > 1  # new at each step


def test_frozen_layers_stay_and_what_is_below_them_needs_no_gradient(monkeypatch):
    layers = [cgru.Embedding(V, 3), states(4), cgru.Pool(), softmax()]
    net = cgru.Network(layers, seed=1)
    net.predict(TOKENS)
    layers[0].trainable = layers[1].trainable = False
    before, passes = weights(net), [watched(monkeypatch, layer) for layer in layers]
    net.fit(TOKENS, LABELS, lengths=LENGTHS, epochs=1)
    after = weights(net)
    assert [key for key in before if not np.array_equal(before[key], after[key])] == ["3.W", "3.b"]
    assert [bool(ran.bc) for ran, *_ in passes] == [False, False, False, True]
    layers[3].trainable = False
    with pytest.raises(ValueError, match="trainable"):
        net.fit(TOKENS, LABELS)


# --- truncated backpropagation ---


def moved_by(net, *data, **options):
    """The gradients of the fit's only update, by plain descent at rate 1."""
    before = weights(net)
    net.fit(*data, epochs=1, batch_size=M, shuffle=False, **options)
    after = weights(net)
    return {key: before[key] - after[key] for key in before}


def deep(head, seed=2):
    net = cgru.Network([states(4), cgru.Dropout(0), *head], optimizer=cgru.SGD(1.0), seed=seed)
    net.predict(X[:1])
    return net


@pytest.mark.parametrize("lengths", [None, LENGTHS])
@pytest.mark.parametrize(("head", "y"), [((states(3), softmax()), STEP_LABELS), ((cgru.GRU(3), softmax()), LABELS)])
@pytest.mark.parametrize("truncate", [S, S + 5, 10**30])
def test_truncating_nothing_changes_nothing(head, y, lengths, truncate):
    whole, cut = (deep(copy.deepcopy(head)) for _ in range(2))
    whole, cut = moved_by(whole, X, y, lengths=lengths), moved_by(cut, X, y, lengths=lengths, truncate=truncate)
    for key, gradient in whole.items():
        np.testing.assert_allclose(cut[key], gradient, rtol=1e-12, atol=1e-14)


@pytest.mark.parametrize("lengths", [None, LENGTHS])
@pytest.mark.parametrize("top", ["gru", "pool"])
def test_with_one_output_the_last_steps_of_each_sample_have_gradients(lengths, top):
    k = 3
    net = deep((cgru.GRU(3), softmax()) if top == "gru" else (states(3), cgru.Pool("last"), softmax()))
    low, _, high, *_, head = copy.deepcopy(net.layers)
    high.sequences = False
    got = moved_by(net, X, LABELS, lengths=lengths, truncate=k)
    due = {}
    for i in range(M):  # one sample after the other: the states before its last k steps, then these by themselves
        n = S if lengths is None else lengths[i]
        before, x = X[i : i + 1, : n - k] if n > k else None, X[i : i + 1, max(n - k, 0) : n]
        if before is None:
            h0 = [np.zeros((1, 4)), np.zeros((1, 3))]
        else:
            A = low.predict(before)
            h0 = [A[:, -1], high.predict(A)]
        top = head.run(high.forward(low.forward(x, h0=h0[0]), h0=h0[1]))
        dZ = (top.A - np.eye(K)[LABELS[i]]) / M
        low.backward(high.backward(top.backward_linear(dZ)))
        low.compute_gradients()
        high.compute_gradients()
        for index, g in ((0, low.g), (2, high.g), (len(net.layers) - 1, top.gradients())):
            for name, gradient in g.items():
                key = f"{index}.{name[1:]}"
                due[key] = due.get(key, 0) + gradient
    assert got.keys() == due.keys()
    for key, gradient in due.items():
        np.testing.assert_allclose(got[key], gradient.reshape(got[key].shape), rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("lengths", [None, LENGTHS])
def test_with_outputs_at_steps_each_piece_has_an_update(lengths):
    k = 3
    net = cgru.Network([states(4), states(3), softmax()], optimizer=cgru.SGD(0.3), seed=2)
    net.predict(X[:1])
    low, high, head = copy.deepcopy(net.layers)
    history = net.fit(X, STEP_LABELS, lengths=lengths, epochs=1, batch_size=M, shuffle=False, truncate=k)

    n = np.full(M, S) if lengths is None else lengths
    h = [np.zeros((M, 4)), np.zeros((M, 3))]
    total, steps = 0.0, 0
    for start in range(0, S, k):
        rows = np.flatnonzero(n > start)
        lasting = np.minimum(n[rows] - start, k)
        real = reference.mask(lasting, lasting.max())
        at = slice(start, start + lasting.max())
        A = low.forward(X[rows, at], lasting, h[0][rows])
        h[0][rows] = low.fc["h"][:, -1]
        A = high.forward(A, lasting, h[1][rows])
        h[1][rows] = high.fc["h"][:, -1]
        A = head.forward(A, lasting)
        Y = np.eye(K)[STEP_LABELS[rows, at]]
        total -= (np.log(np.where(real, A, 1)) * Y).sum()
        steps += real.sum()
        head.backward(np.where(real, -Y / np.where(real, A, 1), 0) / real.sum())
        low.backward(high.backward(head.bc["dX"]))
        for layer in (low, high, head):
            layer.compute_gradients()
            layer.lrate, layer.e = [0.3], 0
            layer.update_parameters()
    assert history.loss[0] == pytest.approx(total / steps, rel=1e-10)
    for ours, theirs in zip(net.layers, (low, high, head), strict=True):
        for name, array in ours.p.items():
            np.testing.assert_allclose(array, theirs.p[name], rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize(("head", "y"), [((states(3), softmax()), STEP_LABELS), ((cgru.GRU(3), softmax()), LABELS)])
def test_no_layer_ever_sees_more_steps_than_asked_for(monkeypatch, head, y):
    net = cgru.Network([cgru.Embedding(V, 3), states(4), *copy.deepcopy(head)], seed=0)
    passes = watched(monkeypatch, net.layers[1])
    net.fit(TOKENS, y, lengths=LENGTHS, epochs=2, batch_size=4, truncate=2)
    seen = [ran.fc["X"] for ran in passes]
    assert max(A.shape[1] for A in seen) == 2
    # Each real step once an epoch, and no other.
    assert sum(A[:, :, 0].astype(bool).sum() for A in seen) == 2 * LENGTHS.sum()


def test_a_truncated_fit_learns_what_lies_within_reach_of_its_states():
    tokens = RNG.integers(0, 2, (32, 60))
    y = np.cumsum(tokens, axis=1) % 2  # parity: each piece shows how to go on from the state before
    net = cgru.Network([cgru.Embedding(2, 4), states(16), cgru.Dense(1)], optimizer=cgru.Adam(0.02), seed=0)
    net.fit(tokens, y, epochs=80, batch_size=32, truncate=6)
    assert net.evaluate(tokens, y)["accuracy"] > 0.95


def test_long_samples_are_scored_a_few_at_a_time(monkeypatch):
    net = cgru.Network([states(1), cgru.Dense(1)], seed=0)
    tall = RNG.standard_normal((600, 2048, 1))
    y, seen, predict = tall[:, :, 0] > 0, [], net.layers[0].predict
    monkeypatch.setattr(net.layers[0], "predict", lambda A, lengths: seen.append(len(A)) or predict(A, lengths))
    got = net.evaluate(tall, y)
    assert seen == [512, 88]
    assert got["accuracy"] == pytest.approx(((net.predict(tall)[:, :, 0] > 0.5) == y).mean())


def test_the_schedule_runs_over_the_pieces():
    seen = []

    def schedule(fraction):
        seen.append(fraction)
        return 1.0

    net = cgru.Network([states(4), softmax()], optimizer=cgru.SGD(0.1, schedule=schedule), seed=0)
    net.fit(X[:, :6], STEP_LABELS[:, :6], epochs=2, batch_size=M, truncate=2)
    assert sorted(set(seen)) == pytest.approx([0, 1 / 6, 2 / 6, 3 / 6, 4 / 6, 5 / 6])


# --- files ---


def test_layers_of_ones_own_are_not_saved(tmp_path):
    net = cgru.Network(STACKS["a layer of one's own"]()[0])
    net.predict(X)
    with pytest.raises(ValueError, match="got Twins as layer 1"):
        net.save(tmp_path / "model.npz")


# --- what is refused ---


@pytest.mark.parametrize(
    ("layers", "words"),
    [
        (
            [states(4), cgru.GRU(3), states(3), softmax()],
            "layer 2, GRU: expected all steps (m, s, e), got (m, 3); sequ",
        ),
        ([cgru.GRU(3), cgru.Pool(), softmax()], "layer 1, Pool: expected all steps (m, s, n), got (m, 3); sequences=T"),
        ([states(3), cgru.Pool(), cgru.GRU(3), softmax()], "layer 2, GRU: expected all steps (m, s, e), got (m, 3)"),
        ([states(3), cgru.Embedding(V, 3), softmax()], "expected integer tokens (m, s), which come in at layer 0, for"),
        ([cgru.Dropout(), cgru.Pool()], "expected at least one layer with units, got ['Dropout', 'Pool']"),
        ([states(3), np.tanh, softmax()], "expected a Layer in each place, got ufunc as layer 1"),
    ],
)
def test_chains_that_do_not_fit(layers, words):
    with pytest.raises(ValueError, match="^layers: .*" + re.escape(words)):
        cgru.Network(layers)


def test_a_layer_of_ones_own_is_not_truncated():
    net = cgru.Network(STACKS["a layer of one's own"]()[0])
    with pytest.raises(ValueError, match=r"^truncate: expected .*Twins .* as layer 1"):
        net.fit(X, LABELS, truncate=2)


@pytest.mark.parametrize("how", ["mean", "max"])
def test_a_pool_of_whole_sequences_is_not_truncated(how):
    net = cgru.Network([states(4), cgru.Pool(how), softmax()])
    with pytest.raises(ValueError, match=rf"^truncate: expected .* piece, got Pool\('{how}'\) as layer 1"):
        net.fit(X, LABELS, truncate=2)
