"""Networks of any layers: exact gradients, outputs at each step, tokens, dropout, truncated backpropagation, files."""

import copy

import numpy as np
import pytest
from helpers import refuses, watched
from network_cases import weights

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
STEP_SHARES = RNG.random((M, S, K))


def states(units, **options):
    return cgru.GRU(units, sequences=True, **options)


def softmax(units=K, **options):
    return cgru.Dense(units, cgru.softmax, **options)


def masked(*shape, rate=0.4):
    layer = cgru.Dropout(rate)
    layer.mask = (RNG.random(shape) >= rate) / (1 - rate)
    return layer


class Twins(Layer):
    """A layer of a user's own: two GRUs side by side, their parameters under names of two parts."""

    steps = cgru.layers.Steps("sequence")

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
    "mean": lambda: (
        [cgru.Embedding(V, 3), states(4), masked(M, S, 4), states(3), cgru.Pool("mean"), softmax()],
        TOKENS,
        LABELS,
    ),
    "classes at steps": lambda: (
        [states(4), masked(M, S, 4), states(3), softmax(se_hPars={"softmax_temperature": 1.4})],
        X,
        STEP_LABELS,
    ),
    "labels at steps": lambda: ([cgru.Embedding(V, 3), states(4), cgru.Dense(K)], TOKENS, STEP_SHARES),
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


@pytest.mark.parametrize(("head", "y"), [((states(3), softmax()), STEP_LABELS), ((cgru.GRU(3), softmax()), LABELS)])
def test_no_layer_ever_sees_more_steps_than_asked_for(monkeypatch, head, y):
    net = cgru.Network([cgru.Embedding(V, 3), states(4), *copy.deepcopy(head)], seed=0)
    passes = watched(monkeypatch, net.layers[1])
    net.fit(TOKENS, y, lengths=LENGTHS, epochs=2, batch_size=4, truncate=2)
    seen = [ran.fc["X"] for ran in passes]
    assert max(A.shape[1] for A in seen) == 2
    # Each real step once an epoch, and no other.
    assert sum(A[:, :, 0].astype(bool).sum() for A in seen) == 2 * LENGTHS.sum()


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


def test_a_layer_of_ones_own_is_not_truncated():
    net = cgru.Network(STACKS["a layer of one's own"]()[0])
    with refuses(ValueError, "truncate"):
        net.fit(X, LABELS, truncate=2)
