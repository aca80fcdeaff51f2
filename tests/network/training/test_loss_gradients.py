"""Network.gradients: against an update of plain descent, central differences, and one sample at a time."""

import copy

import numpy as np
import pytest
from network_cases import LABELS, LENGTHS, REALS, RNG, M, S, X, padded, same, weights

import cgru
from cgru import reference
from cgru.network.training import loss_gradients as gradients

V = 7
TOKENS = RNG.integers(0, V, (M, S))
STEP_LABELS, STEP_REALS = RNG.integers(0, 3, (M, S)), RNG.standard_normal((M, S, 2))
AT_LEAST_2 = np.maximum(LENGTHS, 2)
WEIGHTS, STEP_WEIGHTS = RNG.integers(0, 4, M) / 2, RNG.integers(0, 3, (M, S)) / 2
WEIGHTS[:2], STEP_WEIGHTS[3] = (0, 1), 0


def quartic(A, Y):
    return ((A - Y) ** 4).mean(axis=1), 4 * (A - Y) ** 3 / A.shape[1]


def states(u, **options):
    return cgru.GRU(u, sequences=True, **options)


STACKS = {  # layers, loss, inputs, targets
    "classes": lambda: ([states(4), cgru.GRU(3, learn_h0=True), cgru.Dense(3, "softmax")], None, X, LABELS),
    "smoothed": lambda: ([cgru.GRU(4), cgru.Dense(3, "softmax")], "cross_entropy(0.2)", X, LABELS),
    "warm": lambda: (
        [cgru.GRU(4), cgru.Dense(3, "softmax", se_hPars={"softmax_temperature": 2.5})], None, X, LABELS,
    ),
    "binary": lambda: ([cgru.GRU(4), cgru.Dense(1)], None, X, LABELS > 0),
    "mse": lambda: ([cgru.GRU(4), cgru.Dense(2, "identity")], None, X, REALS),
    "huber": lambda: ([cgru.GRU(4), cgru.Dense(2, "tanh")], "huber(0.3)", X, REALS),
    "quantile": lambda: ([cgru.GRU(4), cgru.Dense(4, "identity")], "quantile(0.1, 0.7)", X, REALS),
    "poisson": lambda: ([cgru.GRU(4), cgru.Dense(2, "identity")], "poisson", X, np.floor(np.exp(REALS))),
    "gaussian": lambda: ([cgru.GRU(4), cgru.Dense(4, "identity")], "gaussian", X, REALS),
    "own": lambda: ([cgru.GRU(4), cgru.Dense(2, "identity")], quartic, X, REALS),
    "tokens": lambda: (
        [cgru.Embedding(V, 3), cgru.Dropout(0.4), cgru.Bidirectional(states(4, layer_norm=True)),
         cgru.Pool("last+mean+attention", 2), cgru.Dense(3, "softmax")], None, TOKENS, LABELS,
    ),
    "steps": lambda: (
        [cgru.Scale(), states(4, reset_after=True, reverse=True), cgru.LayerNorm(), cgru.Dense(4, "tanh"),
         cgru.Dense(3, "softmax")], None, X, STEP_LABELS,
    ),
    "reals at steps": lambda: ([states(4, dropout=0.3, zoneout=0.2), cgru.Dense(2, "identity")], None, X, STEP_REALS),
    "frames": lambda: (
        [cgru.Normalize(), cgru.Frames(2, 1), states(4), cgru.Scale(), cgru.Pool("attention"),
         cgru.Dense(2, "identity")], None, X, REALS,
    ),
    "stateful": lambda: ([states(4, stateful=True), cgru.Dense(3, "softmax")], None, X, STEP_LABELS),
}  # fmt: skip


def made(stack, dtype=np.float64):
    """A network with random parameters and a standardisation, its inputs and targets."""
    layers, loss, inputs, y = STACKS[stack]()
    net = cgru.Network(layers, loss, cgru.SGD(1.0), seed=1, dtype=dtype)
    net.make(inputs)
    for array in net.parameters().values():
        array += 0.2 * np.random.default_rng(3).standard_normal(array.shape)
    if inputs.ndim == 3:
        net.mean, net.scale = np.array([0.5, -1, 2]), np.array([2, 0.5, 3.0])
    return net, inputs, y


def dense(gradient):
    """The gradient of each sample of the whole parameter, of a table too."""
    return gradient.dense(V) if hasattr(gradient, "dense") else gradient


def sample_weights(net, lengths, given):
    """What the samples weigh in the common gradient."""
    if not net.per_step:
        return np.ones(M) if given is None else given
    real = reference.mask(np.full(M, S) if lengths is None else lengths, S)[:, :, 0]
    return (real * (1 if given is None else given.reshape(M, -1))).sum(axis=1)


def assert_near(got, due, dtype, what=""):
    tolerance = 1e-13 if dtype == np.float64 else 5e-6
    np.testing.assert_allclose(got, due, rtol=0, atol=tolerance * max(1, np.abs(due).max()), err_msg=what)


@pytest.mark.parametrize("weighted", [False, True], ids=["", "weighted"])
@pytest.mark.parametrize("lengths", [None, AT_LEAST_2], ids=["whole", "ragged"])
@pytest.mark.parametrize("dtype", [np.float64, np.float32])
@pytest.mark.parametrize("stack", STACKS)
@pytest.mark.pairwise
def test_of_each_sample_and_of_all(stack, dtype, lengths, weighted):
    net, inputs, y = made(stack, dtype)
    if lengths is not None and inputs.ndim == 3:
        inputs = padded(inputs, lengths, np.nan)
    given = None if not weighted else STEP_WEIGHTS if net.per_step else WEIGHTS
    before = copy.deepcopy(net)
    whole = net.gradients(inputs, y, lengths, sample_weight=given)
    each = net.gradients(inputs, y, lengths, sample_weight=given, each=True)
    assert list(whole) == list(each) == list(net.parameters())
    w = sample_weights(net, lengths, given)
    for key, p in net.parameters().items():
        assert whole[key].shape == p.shape
        assert dense(each[key]).shape == (M, *p.shape)
        assert whole[key].dtype == dense(each[key]).dtype == dtype
        assert_near(np.average(dense(each[key]), axis=0, weights=w), whole[key], dtype, key)
    for i in (0, 2, 3, 5):
        one = slice(i, i + 1)
        if w[i] == 0:
            assert not any(dense(each[key])[i].any() for key in each)
            continue
        more = {} if given is None else {"sample_weight": given[one]}
        alone = net.gradients(inputs[one], y[one], lengths if lengths is None else lengths[one], **more)
        for key, due in alone.items():
            assert_near(dense(each[key])[i], due, dtype, key)
    assert same(weights(net), weights(before))
    for layer, other in zip(net.layers, before.layers, strict=True):
        for cell, kept in zip(layer.cells or (layer,), other.cells or (other,), strict=True):
            assert cell.np_rng.bit_generator.state == kept.np_rng.bit_generator.state
            assert getattr(cell, "training", None) == getattr(kept, "training", None)
            assert getattr(cell, "state", None) is None
            assert cell.last is None


@pytest.mark.parametrize("lengths", [None, AT_LEAST_2], ids=["whole", "ragged"])
@pytest.mark.parametrize("stack", STACKS)
def test_an_update_of_plain_descent_moves_by_the_gradient(stack, lengths):
    net, inputs, y = made(stack)
    for layer in net.layers:
        for part in (layer, *layer.cells):
            part.training = False  # nothing is dropped out, as in `gradients`
    weight = STEP_WEIGHTS if net.per_step else WEIGHTS
    found, start = net.gradients(inputs, y, lengths, sample_weight=weight), weights(net)
    net.fit(inputs, y, lengths=lengths, sample_weight=weight, epochs=1, batch_size=M, shuffle=False)
    for key, array in net.parameters().items():
        assert_near(start[key] - array, found[key], np.float64, key)


@pytest.mark.parametrize("stack", ["tokens", "frames", "reals at steps", "quantile"])
def test_central_differences_of_what_evaluate_says(stack):
    """Zoneout as its expectation, and dropout as none."""
    net, inputs, y = made(stack)
    found, rng = net.gradients(inputs, y, AT_LEAST_2), np.random.default_rng(4)
    for key, array in net.parameters().items():
        step, kept = rng.standard_normal(array.shape), array.copy()
        losses = []
        for size in (1e-5, -1e-5):
            array[...] = kept + size * step
            losses.append(net.evaluate(inputs, y, AT_LEAST_2)["loss"])
        array[...] = kept
        np.testing.assert_allclose((found[key] * step).sum(), (losses[0] - losses[1]) / 2e-5, rtol=1e-6, atol=1e-8)


@pytest.mark.parametrize("stack", ["tokens", "reals at steps", "stateful"])
def test_many_samples_run_in_blocks(stack, monkeypatch):
    net, inputs, y = made(stack)
    due = [net.gradients(inputs, y, AT_LEAST_2, each=each) for each in (False, True)]
    monkeypatch.setattr(gradients, "STEPS", 5 * S)
    found = [net.gradients(inputs, y, AT_LEAST_2, each=each) for each in (False, True)]
    for key in due[0]:
        assert_near(found[0][key], due[0][key], np.float64, key)
        assert_near(dense(found[1][key]), dense(due[1][key]), np.float64, key)
    monkeypatch.setattr(gradients, "STEPS", 1)
    assert_near(
        net.gradients(inputs, y, AT_LEAST_2)["0.E" if "0.E" in due[0] else "0.Uz"],
        next(iter(due[0].values())),
        np.float64,
    )


def test_batches_and_memory_mapped_samples(tmp_path):
    net, inputs, y = made("classes")
    due = [net.gradients(inputs, y, LENGTHS, sample_weight=WEIGHTS, each=each) for each in (False, True)]
    cuts = [(inputs[rows], y[rows], LENGTHS[rows], WEIGHTS[rows]) for rows in (slice(0, 5), slice(5, M))]
    np.save(tmp_path / "X.npy", inputs)
    mapped = np.load(tmp_path / "X.npy", mmap_mode="r")
    for each in (False, True):
        batches = net.gradients(cuts, each=each)
        read = net.gradients(mapped, y, LENGTHS, sample_weight=WEIGHTS, each=each)
        for key, value in due[each].items():
            assert_near(batches[key], value, np.float64, key)
            assert_near(read[key], value, np.float64, key)


def test_frozen_layers_have_gradients_and_missing_parameters_are_made():
    net = cgru.Network([states(3), cgru.GRU(2), cgru.Dense(3, "softmax")], seed=0)
    net.layers[0].trainable = False
    found = net.gradients(X, LABELS)
    assert list(found) == list(net.parameters())
    assert found["0.Uz"].any()


def test_what_is_refused():
    net, inputs, y = made("classes")
    with pytest.raises(TypeError, match="each: "):
        net.gradients(inputs, y, each=1)
    with pytest.raises(ValueError, match="y: "):
        net.gradients(inputs, y[:3])
    with pytest.raises(TypeError, match="y: "):
        net.gradients(inputs)
    with pytest.raises(ValueError, match="layers: "):
        cgru.Network([cgru.GRU(2)]).gradients(inputs, y)
    with pytest.raises(ValueError, match="layers: "):
        cgru.quantize(made("mse", np.float32)[0], "int8").gradients(inputs, REALS)


def test_a_layer_of_ones_own_without_gradients_of_each_sample():
    class Doubled(cgru.Scale):
        def run(self, A, lengths=None):
            ran = super().run(A, lengths)
            ran.__class__ = DoubledPass
            return ran

    class DoubledPass(type(cgru.Scale().run(np.ones((1, 1, 1))))):
        def gradients(self):
            return super().gradients()

    net = cgru.Network([Doubled(), cgru.GRU(2), cgru.Dense(3, "softmax")], seed=0)
    assert net.gradients(X, LABELS)["0.scale"].shape == (1, 3)
    due = r"each: expected layers whose passes have gradients\(each=True\), got Scale.* as layer 0"
    with pytest.raises(ValueError, match=due):
        net.gradients(X, LABELS, each=True)


def test_numbers_that_are_not_finite_are_handed_on():
    net, inputs, _ = made("mse", np.float32)
    net.head.p["W"][...] = 1e30
    with np.errstate(all="raise", under="ignore"):
        assert not np.isfinite(net.gradients(inputs, REALS)["0.Uz"]).all()
        net.head.p["W"][...] = 1e38
        found = net.gradients(inputs, REALS, sample_weight=np.arange(M) % 2)  # an infinity times zero
    assert np.isnan(found["0.Uz"]).any()


def test_no_preactivations_are_kept(monkeypatch):
    run, asked = cgru.GRU.run, []
    monkeypatch.setattr(cgru.GRU, "run", lambda *given, **options: asked.append(options) or run(*given, **options))
    net, inputs, y = made("classes")
    net.gradients(inputs, y)
    assert asked == [{"preactivations": False}] * 2
