"""Batches that are handed out: the numbers of arrays in memory, or an error that says why not."""

import copy
import functools
import re

import numpy as np
import pytest
from blocks_cases import BEFORE, CLASSES, GOOD, LENGTHS, RNG, SOME, STEPS, E, M, X, came_of, network
from helpers import assert_all_close, refuses
from network_cases import same, weights

import cgru
from cgru.datasets import Dataset, Split
from cgru.network.data import streaming
from cgru.network.training.compiled import engine

pytestmark = pytest.mark.usefixtures("small_blocks")


class Again:
    """Hands the batches out as often as somebody asks, and counts that."""

    def __init__(self, batches):
        self.batches, self.times = batches, 0

    def __iter__(self):
        self.times += 1
        return iter(self.batches)


def cut(*arrays, size=32):
    return [tuple(None if a is None else a[i : i + size] for a in arrays) for i in range(0, M, size)]


@pytest.mark.parametrize("weight", [None, SOME])
@pytest.mark.parametrize("lengths", [None, LENGTHS])
@pytest.mark.parametrize("y", [CLASSES, STEPS])
def test_batches_are_the_updates_of_arrays(y, lengths, weight, engine):
    make = lambda: network(y.ndim == 2, optimizer=cgru.Adam(schedule="cosine"))  # noqa: E731
    options = {"class_weight": {0: 2.0}, "truncate": 4, "validation": (X, y, lengths)}
    due = came_of(make(), X, y, lengths, weight, shuffle=False, **options)
    for given in (cut(X, y, lengths, weight), Again(cut(X, y, lengths, weight))):
        ours = came_of(make(), given, **options)
        assert same(ours[0], due[0])
        np.testing.assert_allclose([e[0] for e in ours[1]], [e[0] for e in due[1]], rtol=1e-12)
        assert [e[1:4] for e in ours[1]] == [pytest.approx(e[1:4], rel=1e-12) for e in due[1]]
        assert [e[4] for e in ours[1]] == [e[4] for e in due[1]]
        assert ours[2] == pytest.approx(due[2], rel=1e-6)


def test_batches_are_standardised_by_all_of_them():
    due, ours = network(), network()
    due.fit(X, CLASSES, lengths=LENGTHS, shuffle=False, standardize=True, epochs=2)
    given = Again(cut(X, CLASSES, LENGTHS))
    ours.fit(given, standardize=True, epochs=2)
    np.testing.assert_allclose(ours.mean, due.mean, rtol=1e-12)
    np.testing.assert_allclose(ours.scale, due.scale, rtol=1e-12)
    assert given.times == 3  # a pass for the statistics, and no other
    ours.fit(given, standardize=True, epochs=1)
    assert given.times == 4


def test_targets_of_batches_in_units_and_balanced_classes():
    y = RNG.standard_normal((M, 1)) * 7 + 4
    nets = [network(head=cgru.Dense(1, "identity")) for _ in range(2)]
    options = {"standardize_targets": True, "epochs": 2}
    nets[0].fit(X, y, shuffle=False, **options)
    nets[1].fit(cut(X, y), **options)
    assert_all_close(weights(nets[1]), weights(nets[0]), rtol=1e-4, atol=1e-6)
    nets = [network() for _ in range(2)]
    nets[0].fit(X, CLASSES, shuffle=False, class_weight="balanced", epochs=2)
    nets[1].fit(cut(X, CLASSES), class_weight="balanced", epochs=2)
    assert same(weights(nets[0]), weights(nets[1]))


@pytest.mark.parametrize("per_step", [False, True])
def test_batches_of_all_sizes(per_step):
    """The room for one grows on the way, and changes no number."""
    y = STEPS if per_step else CLASSES
    sizes = [(3, 2), (7, 7), (1, 1), (60, 1), (2, 5), (150, 7)]
    given = [(X[:m, :s], y[:m, :s] if per_step else y[:m]) for m, s in sizes]
    ours, due = network(per_step), network(per_step)
    history = ours.fit(given, epochs=3, validation=given[::-1])
    due.make(X)
    for _ in range(3):
        for batch in given:
            due.fit([batch], epochs=1)
    assert same(weights(ours), weights(due)) or history.validation_loss[-1] > min(history.validation_loss)
    many = ours.evaluate(given)
    counts = [batch[1].size for batch in given]
    each = [ours.evaluate(*batch) for batch in given]
    for name in many:
        assert many[name] == pytest.approx(np.average([one[name] for one in each], weights=counts), rel=1e-6)


def test_wide_batches_and_long_ones_do_not_add_up(monkeypatch):
    """Room for the rows of the one and the steps of the other would be that of a far larger batch."""
    taken, made = [], engine.Program

    def program(net, e, steps, batch, scored, *more):
        taken.append(max(rows * steps for rows, steps in (batch, scored)))
        return made(net, e, steps, batch, scored, *more)

    monkeypatch.setattr(engine, "Program", program)
    rng, ours = np.random.default_rng(0), network()
    given = [(rng.standard_normal((m, 1200 // m, E)), rng.integers(0, 3, m)) for m in (1200, 1, 40, 1200, 1)]
    ours.fit(given, epochs=2, validation=given[::-1])
    assert max(taken) == 1200
    taken.clear()
    ours.evaluate(given)
    assert max(taken) == 1200


def test_an_iterator_does_for_one_epoch():
    net = network()
    net.fit(iter(cut(X, CLASSES)), epochs=1)
    due = network()
    due.fit(cut(X, CLASSES), epochs=1)
    assert same(weights(net), weights(due))
    assert net.evaluate(iter(cut(X, CLASSES))) == net.evaluate(cut(X, CLASSES))
    net.fit(X, CLASSES, epochs=1, validation=iter(cut(X, CLASSES)))


def test_predictions_come_batch_by_batch():
    net = network(True)
    given = [(X[:9], STEPS[:9], LENGTHS[:9]), [X[9:12, :4], STEPS[9:12, :4]], (X[:2],), X[3:7], [X[0, :3], X[1]]]
    seen = []
    found = net.predict(seen.append(batch) or batch for batch in given)
    np.testing.assert_array_equal(next(found), net.predict(X[:9], LENGTHS[:9]))
    assert len(seen) == 1  # the others have not been asked for
    for ours, due in zip(found, (X[9:12, :4], X[:2], X[3:7], [X[0, :3], X[1]]), strict=True):
        np.testing.assert_array_equal(ours, net.predict(due))
    assert len(list(net.predict(cut(X, STEPS)))) == 5
    for call, beside in (
        (net.predict_classes, {"lengths": LENGTHS}),
        *((net.predict, {name: value}) for name, value in (("lengths", LENGTHS), ("h0", X), ("return_state", True))),
    ):
        with refuses(ValueError, "lengths, h0, return_state"):
            call(iter(given), **beside)
    found = np.concatenate(list(net.predict_classes(cut(X, CLASSES, LENGTHS))))
    np.testing.assert_array_equal(found, net.predict_classes(X, LENGTHS))


def test_metrics_of_batches():
    metrics = {"n": lambda y, A: len(y), "sum": lambda y, A: float(A.sum() + y.sum())}
    net = network()
    found = net.evaluate(cut(X, CLASSES, LENGTHS), metrics=metrics)
    due = net.evaluate(X, CLASSES, LENGTHS, metrics=metrics)
    assert found == pytest.approx(due, rel=1e-6)
    history = net.fit(cut(X, CLASSES), epochs=2, metrics=metrics)
    assert [each["n"] for each in history.metrics] == [M, M]
    each = net.evaluate(cut(X, CLASSES), each=True)["losses"]
    np.testing.assert_allclose(each, net.evaluate(X, CLASSES, each=True)["losses"], rtol=1e-5)


def test_a_batch_that_weighs_nothing_is_no_update():
    layers = cgru.GRU(5), cgru.Dense(3, "softmax")
    nets = [cgru.Network([*map(copy.deepcopy, layers)], optimizer=cgru.Adam(0.1), seed=0) for _ in range(2)]
    zeros = (X[:9], CLASSES[:9], None, np.zeros(9))
    nets[0].fit([(X, CLASSES, None, SOME), zeros], epochs=2)
    nets[1].fit([(X, CLASSES, None, SOME)], epochs=2)
    assert {steps for steps, *_ in nets[0].optimizer_state["Adam"].values()} == {2}
    assert nets[0].history.loss == nets[1].history.loss
    with refuses(ValueError, "sample_weight"):
        nets[0].evaluate([zeros])


@pytest.mark.parametrize(
    ("batch", "name"),
    [
        *(((A, CLASSES), "X: ") for A in (X[:, :, :2], X[0], X * np.nan)),
        *(((X, y), "y: ") for y in (CLASSES + 1, CLASSES[:3], np.array(["a"] * M))),
        ((X, CLASSES, LENGTHS + 9), "lengths: "),
        ((X, CLASSES, None, -SOME), "sample_weight: "),
        ((X,), BEFORE),
        (X, BEFORE),
        ({"X": X}, BEFORE),
    ],
    ids=range(11),
)
def test_a_wrong_batch_is_named_and_touches_nothing(batch, name):
    net, name = network(), re.escape(name)
    net.make(X)
    before = weights(net)
    for given in (net.fit, net.evaluate):
        with pytest.raises(ValueError, match=f"^batch 2: {name}"):
            given([GOOD, batch])
        assert same(weights(net), before)
    with pytest.raises(ValueError, match=f"^validation batch 2: {name}"):
        net.fit(X, CLASSES, validation=[GOOD, batch])
    assert same(weights(net), before)
    with pytest.raises(ValueError, match=f"^batch 1: {name}"):
        net.fit([batch])


@pytest.mark.parametrize(
    ("error", "argument", "options"),
    [
        *(
            (ValueError, next(iter(each)), each)
            for each in ({"batch_size": 32}, {"lengths": LENGTHS}, {"bucket": True})
        ),
        *((ValueError, next(iter(each)), each) for each in ({"sample_weight": SOME}, {"checkpoint": "x"})),
        *((ValueError, "validation", {"validation": each}) for each in (0.2, iter([GOOD]))),
        (ValueError, "validation X", {"validation": [(X[:, :, :2], CLASSES)]}),
        (TypeError, "validation", {"validation": "abc"}),
        (ValueError, "X", {"X": iter([GOOD])}),
        *(
            (ValueError, "X", {"X": iter([GOOD]), "epochs": 1, **each})
            for each in ({"standardize": True}, {"class_weight": "balanced"}, {"metrics": {"a": len}})
        ),
        (ValueError, "batches", {"X": []}),
        (TypeError, "y", {"X": X}),
        *(
            (TypeError, "X", {"X": x})
            for x in (Dataset(Split(cgru.Sequences(X), None), None, None), Split(cgru.Sequences(X), None), 5)
        ),
    ],
)
def test_what_batches_cannot_be_asked_for(options, error, argument):
    net = network()
    with refuses(error, argument):
        net.fit(**{"X": [GOOD]} | options)
    assert not net.layers[0].p


def test_what_else_batches_cannot_be():
    stateful = cgru.Network([cgru.GRU(4, stateful=True), cgru.Dense(3, "softmax")], seed=0)
    with refuses(ValueError, "layers"):
        stateful.fit([GOOD], shuffle=False)
    scheduled = network(optimizer=cgru.Adam(schedule="cosine"))
    with refuses(ValueError, "X"):
        scheduled.fit(iter([GOOD]), epochs=1)
    with refuses(ValueError, "each"):
        network(True).evaluate([(X, STEPS)], each=True)
    with refuses(ValueError, "X"):
        network().evaluate(iter([GOOD]), metrics={"a": lambda y, A: 0})


def test_batches_beside_targets_are_told_apart_from_samples():
    given = [GOOD] * 3
    for of in (network().fit, network().evaluate, functools.partial(cgru.report, network())):
        with pytest.raises(ValueError, match=r"^X: .* a tuple of different parts for sample 0; batches"):
            of(given, given[0][1])
    with pytest.raises(ValueError, match="a list of different parts for sample 1"):
        network().predict([[[1, 2, 3]], [[1, 2, 3], [1, 2]]])


class Worn:
    """Has no batches from the second time on, or more of them."""

    def __init__(self, *times):
        self.times = iter(times)

    def __iter__(self):
        return iter([GOOD] * next(self.times))


def test_batches_that_are_others_each_time():
    net = network()
    with refuses(ValueError, "batches"):
        net.fit(Worn(2, 0), epochs=2)
    assert len(net.history) == 1
    assert len(network().fit(Worn(2, 3, 1), epochs=3)) == 3
    net = network(optimizer=cgru.Adam(schedule="cosine"))
    with refuses(ValueError, "X"):
        net.fit(Worn(2, 2, 3), epochs=2)


class Counted(Again):
    """As a DataLoader of an IterableDataset: without a length, whatever its class says."""

    def __len__(self):
        raise TypeError("no length")


def test_a_schedule_needs_the_number_of_batches():
    rates = []
    for given, passes in ((Again(cut(X, CLASSES)), 3), (Counted(cut(X, CLASSES)), 3), (cut(X, CLASSES), None)):
        net = network(optimizer=cgru.Adam(schedule="cosine"))
        rates.append(net.fit(given, epochs=2).learning_rate)
        assert getattr(given, "times", None) == passes
    assert rates[0] == rates[1] == rates[2]
    plain = Counted(cut(X, CLASSES))
    network(optimizer=cgru.Adam(schedule=cgru.optimizers.Plateau())).fit(plain, epochs=2)
    network().fit(plain, epochs=2)
    assert plain.times == 4  # nobody counts where nobody asks


def test_a_loss_that_is_lost_says_in_which_batch():
    net = network(head=cgru.Dense(1, "identity"))
    given = [(X, np.zeros(M)), (X, np.full(M, 1e200))]
    with pytest.raises(RuntimeError, match=r"^the loss is inf at epoch 1, batch 2 of 2: training diverged"):
        net.fit(given)
    with pytest.raises(RuntimeError, match=r"^the loss is inf at epoch 1, batch 2: training diverged"):
        net.fit(Again(given))


def test_what_hands_out_batches():
    tokens = np.zeros((4, 3), int)
    for given in ([(X, CLASSES), [X, CLASSES]], Again([GOOD]), [(tokens, tokens[:, 0])]):
        assert streaming.is_batches(given) is True
    for given in (X, [X[0], X[1]], {"X": X}, "abc", [], X.tolist(), ([X[0], X[1]], [STEPS[0], STEPS[1]])):
        assert streaming.is_batches(given) is False


def test_tensors_do():
    torch = pytest.importorskip("torch")
    data = torch.utils.data.TensorDataset(torch.tensor(X), torch.tensor(CLASSES.astype(int)))
    loader = torch.utils.data.DataLoader(data, batch_size=32)
    ours, due = network(), network()
    ours.fit(loader, epochs=2)
    due.fit(X, CLASSES, epochs=2, shuffle=False)
    assert same(weights(ours), weights(due))
    assert ours.evaluate(loader) == pytest.approx(due.evaluate(X, CLASSES), rel=1e-6)
    assert sum(map(len, ours.predict(loader))) == M
