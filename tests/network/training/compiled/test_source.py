"""What a compiled fit reads: samples of any kind and layout, whatever stands where nothing counts."""

import copy
import functools
import pickle
import sys

import numpy as np
import pytest
from helpers import assert_all_close, assert_all_same, at_once

import cgru

RNG = np.random.default_rng(8)
M, S, E, V = 23, 7, 3, 5
X = RNG.standard_normal((M, S, E))
TOKENS = RNG.integers(0, V, (M, S))
LENGTHS = RNG.integers(1, S + 1, M)
PADDING = ~(np.arange(S) < LENGTHS[:, None])
CLASSES, STEP_CLASSES, STEP_REALS = RNG.integers(0, 3, M), RNG.integers(0, 3, (M, S)), RNG.standard_normal((M, S, 2))


def network(every=False, tokens=False, head=None, **options):
    layers = [cgru.GRU(4, sequences=every), cgru.Dense(3, "softmax") if head is None else head]
    return cgru.Network([*([cgru.Embedding(V, 3)] if tokens else []), *layers], seed=1, **options)


def trained(X, y, net=None, **options):
    """The parameters and the losses after two epochs."""
    net = network() if net is None else net
    history = net.fit(X, y, **{"epochs": 2, "batch_size": 9} | options)
    return net.parameters(), history.loss


def assert_same(got, due):
    assert got[1] == due[1]
    assert_all_same(got[0], due[0])


def unaligned(array):
    memory = np.zeros(array.nbytes + 1, np.uint8)
    result = np.ndarray(array.shape, array.dtype, memory.data, 1)
    result[...] = array
    return result


def frozen(array):
    array = array.copy()
    array.flags.writeable = False
    return array


LAYOUTS = [np.asfortranarray, unaligned, frozen, lambda array: np.repeat(array, 2, axis=0)[::2], list]


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("layout", LAYOUTS, ids=["Fortran", "unaligned", "read-only", "sparse", "list"])
def test_any_layout(layout, dtype):
    due = trained(X, CLASSES, network(dtype=dtype), lengths=LENGTHS)
    given = layout(X) if layout is not list else X.tolist()
    assert_same(trained(given, layout(CLASSES), network(dtype=dtype), lengths=layout(LENGTHS)), due)
    due = trained(X, STEP_REALS, network(True, head=cgru.Dense(2, "identity"), dtype=dtype))
    given = layout(STEP_REALS) if layout is not list else STEP_REALS.tolist()
    assert_same(trained(X, given, network(True, head=cgru.Dense(2, "identity"), dtype=dtype)), due)
    due = trained(TOKENS, STEP_CLASSES, network(True, True, dtype=dtype))
    assert_same(trained(layout(TOKENS), layout(STEP_CLASSES), network(True, True, dtype=dtype)), due)


def test_a_mean_and_scale_of_any_layout():
    nets = [network() for _ in range(2)]
    wide = np.array([0.5, 9, 1.5, 9, -2.5, 9], np.float32)
    nets[0].mean, nets[0].scale = wide[::2], np.abs(wide[::2])
    nets[1].mean, nets[1].scale = np.array([0.5, 1.5, -2.5]), np.array([0.5, 1.5, 2.5])
    assert_same(trained(X, CLASSES, nets[0]), trained(X, CLASSES, nets[1]))


@pytest.mark.parametrize("dtype", [np.int8, np.uint8, np.uint64, ">i4", ">i8"])
def test_classes_tokens_and_lengths_of_any_integers(dtype):
    due = trained(TOKENS, CLASSES, network(tokens=True), lengths=LENGTHS)
    given = (array.astype(dtype) for array in (TOKENS, CLASSES, LENGTHS))
    assert_same(trained(next(given), next(given), network(tokens=True), lengths=next(given)), due)


@pytest.mark.parametrize("past", [np.nan, np.inf, -1e300])
def test_padding_may_be_anything(past):
    dirty = np.where(PADDING[:, :, None], past, X)
    assert_same(trained(dirty, CLASSES, lengths=LENGTHS), trained(X, CLASSES, lengths=LENGTHS))
    for y, head in ((STEP_CLASSES, cgru.Dense(3, "softmax")), (STEP_REALS, cgru.Dense(2, "identity"))):
        due = trained(X, y, network(True, head=copy.deepcopy(head)), lengths=LENGTHS)
        y = np.where(PADDING if y.ndim == 2 else PADDING[:, :, None], 10**9 if y.ndim == 2 else past, y)
        assert_same(trained(dirty, y, network(True, head=head), lengths=LENGTHS), due)
    due = trained(TOKENS, CLASSES, network(tokens=True), lengths=LENGTHS)
    wild = np.where(PADDING, 10**12 if past > 0 else -7, TOKENS)
    assert_same(trained(wild, CLASSES, network(tokens=True), lengths=LENGTHS), due)


def test_lengths_that_are_all_the_same():
    for n in (S, 4, 1):
        got, due = trained(X, CLASSES, lengths=np.full(M, n)), trained(X[:, :n], CLASSES)
        assert got[1] == pytest.approx(due[1], rel=1e-12)
        assert_all_close(got[0], due[0], rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("steps", [1, 3, S])
@pytest.mark.parametrize("given", [None, LENGTHS], ids=["whole", "ragged"])
def test_what_is_held_out_may_be_longer_or_more(given, steps):
    for few in (5, M):
        net, validation = network(), (X, CLASSES) if given is None else (X, CLASSES, given)
        net.fit(X[:few, :steps], CLASSES[:few], epochs=1, batch_size=2, validation=validation)
        assert net.evaluate(*validation)["loss"] == net.history.validation_loss[0]
        net.fit(X, CLASSES, epochs=1, batch_size=2, validation=(X[:few, :steps], CLASSES[:few]))
        assert net.evaluate(X[:few, :steps], CLASSES[:few])["loss"] == net.history.validation_loss[1]


def test_batches_and_pieces_larger_than_the_data():
    assert_same(trained(X, CLASSES, batch_size=2**62), trained(X, CLASSES, batch_size=M))
    got = trained(X, STEP_CLASSES, network(True), truncate=2**62)
    assert_same(got, trained(X, STEP_CLASSES, network(True), truncate=S))


@pytest.mark.parametrize(("mean", "scale"), [((1,), (1,)), ((E,), (E - 1,)), ((E,), None), ((E, 1), (E,))])
@pytest.mark.parametrize("late", [False, True])
def test_a_mean_or_scale_of_another_shape_is_refused(mean, scale, late):
    net = network()

    def spoil(epoch=None):
        net.mean, net.scale = np.zeros(mean), None if scale is None else np.ones(scale)

    if not late:
        spoil()
    with pytest.raises((TypeError, ValueError), match=r"^(X|mean|scale): "):
        net.fit(X, CLASSES, epochs=2, callback=spoil if late else None)


def test_what_a_callback_writes_into_the_data():
    """Numbers count from then on; tokens, classes and lengths stay within what was checked."""
    x, y, lengths = X.copy(), STEP_CLASSES.copy(), LENGTHS.copy()

    def callback(epoch):
        y[...], lengths[...] = 10**9, 10**9

    due = trained(X, STEP_CLASSES, network(True), lengths=LENGTHS)
    assert_same(trained(x, y, network(True), lengths=lengths, callback=callback), due)

    results = []
    for wild in (sys.maxsize, -1, 0):
        tokens = TOKENS.astype(np.intp, copy=True)
        write = functools.partial(lambda tokens, wild, epoch: tokens.fill(wild), tokens, wild)
        results.append(trained(tokens, CLASSES, network(tokens=True), callback=write))
    for got in results:
        assert_same(got, results[-1])
    with pytest.raises(RuntimeError, match=r"the loss is nan at epoch 2, batch 1 of 3"):
        trained(x, CLASSES, callback=lambda epoch: x.fill(np.nan))


# --- several at once ---


def test_networks_that_share_their_generators():
    """Two of them, asked for in either order: no fit waits for another for ever."""
    pair, turn = [np.random.default_rng(k) for k in range(2)], iter([0, 1, 0, 1])

    def work(k):
        first = next(turn)
        own = pair[first], pair[1 - first]
        layers = [cgru.GRU(4, sequences=True, dropout=0.3, rng=own[0]), cgru.Dropout(0.2, rng=own[1]), cgru.GRU(3)]
        net = cgru.Network([*layers, cgru.Dense(3, "softmax")], seed=1)
        return trained(X, CLASSES, net, epochs=60)[1]

    for loss in at_once(work):
        assert np.isfinite(loss).all()


@pytest.mark.parametrize("take", [lambda net: pickle.loads(pickle.dumps(net)), copy.deepcopy], ids=["pickle", "copy"])
def test_a_network_that_is_taken_in_a_callback_is_that_of_the_epoch(take):
    seen, net = [], network(optimizer=cgru.Adam(0.01))
    net.fit(X, CLASSES, epochs=4, batch_size=9, shuffle=False, callback=lambda epoch: seen.append(take(net)))
    due = net.parameters(), net.history.loss[3:]
    assert_same(trained(X, CLASSES, seen[2], epochs=1, shuffle=False), due)


def test_what_a_callback_raises_leaves_the_best_in_place():
    net, seen = network(optimizer=cgru.Adam(0.3)), []

    def callback(epoch):
        seen.append((epoch.validation_loss, {key: array.copy() for key, array in net.parameters().items()}))
        if epoch.epoch == 6:
            raise KeyError

    with pytest.raises(KeyError):
        net.fit(X, CLASSES, epochs=9, validation=(X, (CLASSES + 1) % 3), callback=callback)
    best = min(seen, key=lambda one: one[0])
    assert len(seen) == len(net.history) == 6
    assert best is not seen[-1]
    assert_all_same(best[1], net.parameters())
