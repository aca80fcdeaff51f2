"""Samples: what of them counts, and their pieces."""

import network_cases
import numpy as np
import pytest
from helpers import assert_all_close, refuses
from network_cases import LABELS, REALS, made, same, weights

import cgru
from cgru.network.data.streaming import split_validation
from cgru.network.data.training_data import Data, check_data, class_weights

RNG = np.random.default_rng(0)
M, S = 4, 7
X = np.arange(M * S * 2.0).reshape(M, S, 2)
STEPS = np.arange(M * S).reshape(M, S)
LENGTHS = np.array([7, 2, 3, 5])


def test_what_counts():
    whole, steps = Data(X, np.arange(M), LENGTHS), Data(X, STEPS, LENGTHS, per_step=True)
    assert (whole.count, steps.count, Data(X, STEPS, None, per_step=True).count) == (4, 17, 28)
    A = RNG.standard_normal((M, 3))
    assert whole.rows(A) is whole.scatter(A) is A
    A = RNG.standard_normal((M, S, 3))
    rows = steps.rows(A)
    assert rows.shape == (17, 3)
    np.testing.assert_array_equal(steps.scatter(rows), np.where(steps.real[:, :, None], A, 0))
    assert steps.scatter(None) is None
    assert len(steps[1:3]) == 2
    assert steps[1:3].count == 5


@pytest.mark.parametrize("k", [1, 2, 3, 6, 7, 9])
@pytest.mark.parametrize("lengths", [None, LENGTHS])
def test_spans_hold_each_real_step_once(k, lengths):
    data = Data(X, STEPS, lengths, per_step=True)
    seen, before = [], 0
    for start, rows, piece in data.step_slices(k):
        assert start == before
        assert piece.X.shape[1] <= k
        assert len(piece) == len(rows) > 0
        np.testing.assert_array_equal(piece.X[piece.real][:, 0], 2 * piece.y[piece.real])
        np.testing.assert_array_equal(piece.y[:, 0], STEPS[rows, start])
        seen.extend(piece.y[piece.real])
        before += k
    np.testing.assert_array_equal(np.sort(seen), np.sort(STEPS[data.real]))


@pytest.mark.parametrize("k", [1, 2, 3, 6, 7, 9])
@pytest.mark.parametrize("lengths", [None, LENGTHS])
def test_the_last_steps_and_those_before_them(k, lengths):
    data = Data(X, np.arange(M), lengths)
    before, last = data.split_last_steps(k)
    assert last.X.shape[1] == min(k, S)
    before = [piece.X[piece.real][:, 0] for _, _, piece in before.step_slices(k)]
    for i, n in enumerate(data.steps):
        np.testing.assert_array_equal(last.X[i, : last.steps[i]], X[i, max(n - k, 0) : n])
    together = np.concatenate([*before, last.X[last.real][:, 0]])
    np.testing.assert_array_equal(np.sort(together), np.sort(X[data.real][:, 0]))
    np.testing.assert_array_equal(last.y, np.arange(M))


@pytest.mark.parametrize("name", ["X", "y", "lengths", "sample_weight", "tokens"])
def test_what_is_masked_is_no_number(name):
    """As netCDF4 reads what is missing: below the mask stands 1e20 or the like."""
    given = {"X": network_cases.X, "y": LABELS, "lengths": network_cases.LENGTHS, "sample_weight": REALS[:, 0] ** 2}
    net = made()
    if name == "tokens":
        name, given["X"], net = (
            "X",
            np.ones(network_cases.X.shape[:2], int),
            cgru.Network([cgru.Embedding(2, 3), *net.layers]),
        )
    given[name] = np.ma.masked_array(given[name])
    net.fit(**given, epochs=1)
    given[name][3] = np.ma.masked
    with pytest.raises(ValueError, match=f"^{name}: expected plain numbers, got masked ones; fill"):
        net.fit(**given, epochs=1)


@pytest.mark.parametrize("count", [1, 2, 4])
def test_few_sequences_of_integers_to_validate_with_are_no_batches(count):
    sequences, y = [np.arange(3 * n).reshape(n, 3) for n in (2, 4, 3, 2)][:count], np.arange(count) % 3
    spec, lengths = made().data_spec, np.array([2, 4, 3, 2])[:count]
    data = check_data(spec, network_cases.X, network_cases.LABELS, None)
    _, held_out = split_validation(spec, data, (sequences, y), np.random.SeedSequence(0))
    np.testing.assert_array_equal(held_out.steps, lengths)
    np.testing.assert_array_equal(held_out.y, y)
    batch = network_cases.X, network_cases.LABELS
    _, batches = split_validation(spec, data, (list(batch), batch), np.random.SeedSequence(0))
    assert not batches.whole


def test_a_fit_sets_the_same_samples_aside():
    fits = [made(seed=seed).fit(network_cases.X, LABELS, epochs=1, validation=0.25) for seed in (1, 1, 2)]
    first, second, other = (history.validation_loss for history in fits)
    assert first == second != other


# --- weights ---

SAMPLES, SOME = network_cases.X, np.arange(24) % 4 * 1.0


def tagger(**options):
    return cgru.Network([cgru.GRU(4, sequences=True), cgru.Dense(3, "softmax")], seed=1, **options)


def trained(net, y=LABELS, rows=slice(None), **options):
    """Its parameters and what is told of its losses."""
    history = net.fit(SAMPLES[rows], y[rows], shuffle=False, **{"epochs": 2} | options)
    return weights(net), history.loss + history.accuracy + history.validation_loss


def test_a_weight_is_so_many_samples(engine):
    nets = [made(optimizer=cgru.SGD(0.5)) for _ in range(2)]
    many = np.repeat(np.arange(24), SOME.astype(int))
    ours, told = trained(nets[0], batch_size=24, sample_weight=SOME)
    due, loss = trained(nets[1], batch_size=99, rows=many)
    assert told[:4] == pytest.approx(loss[:4], rel=1e-12)
    assert_all_close(ours, due, rtol=1e-9, atol=1e-12)
    assert nets[0].evaluate(SAMPLES, LABELS, sample_weight=SOME) == pytest.approx(
        nets[1].evaluate(SAMPLES[many], LABELS[many]), rel=1e-9
    )


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("size", [1.0, 0.1, 1e308, 5e-324])
def test_equal_weights_are_none(engine, size, dtype):
    for y, shape in ((LABELS, (24,)), (np.tile(LABELS[:, None], 6), (24, 6))):
        options = {"lengths": network_cases.LENGTHS, "validation": 0.25, "batch_size": 5}
        make = (lambda: made(dtype=dtype)) if y.ndim == 1 else (lambda: tagger(dtype=dtype))
        due, told = trained(make(), y, **options)
        by_weight, of_it = trained(make(), y, sample_weight=np.full(shape, size), **options)
        assert same(by_weight, due)
        assert of_it == told


def test_ratios_alone_count(engine):
    due, told = trained(made(), sample_weight=SOME)
    for size in (4.0, 2.0**-900, 2.0**1021):
        by_weight, of_it = trained(made(), sample_weight=SOME * size)
        assert same(by_weight, due)
        assert of_it == told


def test_what_weighs_nothing_is_left_out(engine):
    """And of a batch of such samples there is no update, whatever the optimizer carries along."""
    batches = np.arange(24) // 4 % 3 > 0
    due, told = trained(made(optimizer=cgru.Adam(0.1)), rows=batches, batch_size=4)
    net = made(optimizer=cgru.Adam(0.1))
    ours, of_it = trained(net, batch_size=4, sample_weight=batches)
    assert of_it[:4] == pytest.approx(told[:4], rel=1e-12)
    assert_all_close(ours, due, rtol=1e-9, atol=1e-12)
    assert {steps for steps, *_ in net.optimizer_state["Adam"].values()} == {8}


def test_weights_of_padded_steps_are_not_looked_at(engine):
    lengths, y = network_cases.LENGTHS, np.tile(LABELS[:, None], 6)
    own = RNG.random((24, 6))
    due, told = trained(tagger(), y, lengths=lengths, sample_weight=own)
    past = np.arange(6) >= lengths[:, None]
    for dirt in (np.nan, -1.0, 1e300):
        ours, of_it = trained(tagger(), y, lengths=lengths, sample_weight=np.where(past, dirt, own))
        assert same(ours, due)
        assert of_it == told
    own = RNG.random(24)
    due = trained(tagger(), y, lengths=lengths, sample_weight=np.tile(own[:, None], 6))[0]
    assert same(trained(tagger(), y, lengths=lengths, sample_weight=own.tolist())[0], due)


def test_weights_of_samples_to_validate_with(engine):
    own = np.arange(9.0)
    for lengths in (None, network_cases.LENGTHS[:9]):
        net = made()
        history = net.fit(SAMPLES, LABELS, epochs=1, validation=(SAMPLES[:9], LABELS[:9], lengths, own))
        due = net.evaluate(SAMPLES[:9], LABELS[:9], lengths, sample_weight=own)
        assert (history.validation_loss, history.validation_accuracy) == ([due["loss"]], [due["accuracy"]])
    data = check_data(made().data_spec, SAMPLES, LABELS, None, SOME)
    kept, held_out = split_validation(made().data_spec, data, 0.25, np.random.SeedSequence(0))
    for part in (kept, held_out):
        where = [np.flatnonzero((x == SAMPLES).all(axis=(1, 2)))[0] for x in part.X]
        np.testing.assert_array_equal(part.weights, SOME[where] / 4)  # by a power of two


def test_weights_of_classes(engine):
    per_class = np.array([2.0, 1.0, 0.25])
    due, told = trained(made(), sample_weight=SOME * per_class[LABELS])
    ours, of_it = trained(made(), sample_weight=SOME, class_weight={0: 2, np.int8(2): 0.25})
    assert same(ours, due)
    assert of_it == told
    steps = np.arange(24 * 6).reshape(24, 6) % 3
    due = trained(tagger(), steps, lengths=network_cases.LENGTHS, sample_weight=per_class[steps])[0]
    given = {"lengths": network_cases.LENGTHS, "class_weight": dict(enumerate(per_class))}
    assert same(trained(tagger(), steps, **given)[0], due)
    held_out = SAMPLES[:9], LABELS[:9]
    net = made()
    history = net.fit(SAMPLES, LABELS, epochs=1, validation=held_out, class_weight={0: 3})
    due = net.evaluate(*held_out, sample_weight=np.where(LABELS[:9] == 0, 3, 1))
    assert history.validation_loss == [pytest.approx(due["loss"], rel=1e-12)]


@pytest.mark.parametrize("whole", [True, False])
def test_weights_of_two_classes_of_one_unit(engine, whole):
    y = (LABELS == 1).astype(int if whole else float)
    nets = [made(cgru.Dense(1, "sigmoid")) for _ in range(2)]
    due = trained(nets[0], y, sample_weight=np.where(y == 1, 3.0, 1))[0]
    assert same(trained(nets[1], y, class_weight={1: 3})[0], due)


def test_balanced():
    """As scikit-learn has it: of what occurs."""
    net, y = made(), np.array([0] * 6 + [2] * 2)
    data = check_data(net.data_spec, SAMPLES[:8], y, None)
    np.testing.assert_allclose(class_weights(net.data_spec, data, "balanced"), [8 / 12, 1, 8 / 4])
    net, steps = tagger(), np.array([[0, 0, 1, 1, 1, 1], [0, 2, 1, 1, 1, 1]])
    data = check_data(net.data_spec, SAMPLES[:2], steps, np.array([3, 2]))
    np.testing.assert_allclose(class_weights(net.data_spec, data, "balanced"), [5 / 9, 5 / 3, 5 / 3])
    y = np.where(np.arange(24) < 6, 1, 0)
    due = trained(made(), y, sample_weight=np.where(y, 2.0, 2 / 3))[0]
    assert same(trained(made(), y, class_weight="balanced")[0], due)


ZEROS = np.zeros(24)


def test_other_refused_weights():
    net = made(cgru.Dense(2, "identity"))
    with refuses(ValueError, "class_weight"):
        net.fit(SAMPLES, REALS, class_weight="balanced")
    with refuses(ValueError, "sample_weight"):
        tagger().evaluate(SAMPLES, np.zeros((24, 6), int), sample_weight=np.ones((24, 1)))
    with refuses(ValueError, "sample_weight"):
        net.evaluate(SAMPLES, REALS, sample_weight=ZEROS)
