"""What a network remembers of its samples: hashes that say which are the same, and the range of each feature."""

import pickle

import numpy as np
import pytest
from helpers import refuses
from network_cases import LABELS, LENGTHS, REALS, M, S, X, made, padded

import cgru
from cgru.network import sample_hashes
from cgru.network.data.streaming import Batches
from cgru.network.sample_hashes import HashSet, SampleHasher, SampleHashes, hash_samples


def compared(net, X, lengths=None):
    """How many of X the network was trained on, and how many others it was validated with."""
    found = net.remembered.compared(X, lengths)
    return found["trained"], found["validated"]


# --- hashes ---


def test_hashes_are_the_same_on_each_machine():
    """Files hold them: these numbers must never change."""
    assert hash_samples(np.arange(12.0).reshape(2, 3, 2)).tolist() == KNOWN
    assert hash_samples(np.array([[1, 2, 3]])).tolist() == TOKENS


KNOWN = [10401441785464955180, 15720521770948465180]
TOKENS = [17736807001600611563]


def test_copies_have_the_same_hash():
    values = X.astype(np.float32).astype(np.float64)
    due = hash_samples(values, LENGTHS)
    assert due.dtype == np.uint64
    assert len(set(due.tolist())) == M
    for copy in (
        values.astype(np.float32),
        values.astype(">f8"),
        values[:, ::-1][:, ::-1],
        padded(values, LENGTHS, np.nan),
        np.concatenate([values, np.ones((M, 3, 3))], axis=1),
        values + 1e-12,
    ):
        np.testing.assert_array_equal(hash_samples(copy, LENGTHS), due)
    order = np.random.default_rng(0).permutation(M)
    np.testing.assert_array_equal(hash_samples(values[order], LENGTHS[order]), due[order])
    whole = np.arange(24).reshape(2, 4, 3)
    np.testing.assert_array_equal(hash_samples(whole), hash_samples(whole.astype(np.float64)))
    np.testing.assert_array_equal(hash_samples(whole, np.array([4, 4])), hash_samples(whole))
    np.testing.assert_array_equal(hash_samples(np.zeros((1, 2, 1))), hash_samples(-np.zeros((1, 2, 1))))
    np.testing.assert_array_equal(hash_samples(np.full((1, 1, 1), 1e300)), hash_samples(np.full((1, 1, 1), np.inf)))


def test_other_samples_have_other_hashes():
    zeros = [hash_samples(np.zeros((1, s, e)))[0] for s in range(1, 5) for e in range(1, 5) if s * e < 5]
    one = np.zeros((6, 2, 3))
    one.reshape(6, 6)[range(6), range(6)] = 1
    small = np.random.default_rng(0).integers(0, 4, (5000, 3, 2)).astype(float)
    assert len(set(hash_samples(one).tolist())) == 6
    assert len(set(zeros)) == len({(s * e) for s in range(1, 5) for e in range(1, 5) if s * e < 5})
    assert len(set(hash_samples(small).tolist())) == len(np.unique(small, axis=0))
    assert hash_samples(X[:1], [3]) != hash_samples(X[:1], [4])


def test_tokens():
    tokens = np.random.default_rng(0).integers(0, 9, (M, S))
    due = hash_samples(tokens, LENGTHS)
    np.testing.assert_array_equal(hash_samples(tokens.astype(np.uint8), LENGTHS), due)
    np.testing.assert_array_equal(hash_samples(padded(tokens[..., None], LENGTHS, 0)[..., 0], LENGTHS), due)
    assert (hash_samples(tokens + 1, LENGTHS) != due).all()


def test_many_samples_and_long_ones(monkeypatch):
    due = hash_samples(X, LENGTHS)
    for size in (1, 20, 100):
        monkeypatch.setattr(sample_hashes, "AT_ONCE", size)
        np.testing.assert_array_equal(hash_samples(X, LENGTHS), due)


def test_of_too_many_the_smallest_are_kept(monkeypatch):
    monkeypatch.setattr(sample_hashes, "MOST", 10)
    values = np.random.default_rng(0).integers(0, 2**63, 40, np.uint64)
    few = HashSet(np.sort(values[:10]))
    assert HashSet(np.zeros(0, np.uint64)).joined(values[:10]).complete
    assert few.joined(values[:5]).complete
    one = few.joined(values[10:])
    other = HashSet(np.zeros(0, np.uint64)).joined(values[20:]).joined(values[:20])
    for found in (one, other):
        assert not found.complete
        np.testing.assert_array_equal(found.values, np.sort(values)[:10])
    assert one.limit == np.sort(values)[9]


# --- fits ---


def test_a_fit_remembers_where_it_is_asked_to():
    net = made()
    net.fit(X, LABELS, epochs=1)
    assert net.remembered is None
    with refuses(TypeError, "remember_samples"):
        net.fit(X, LABELS, epochs=1, remember_samples=1)
    net = made()
    net.fit(X, LABELS, lengths=LENGTHS, epochs=1, validation=0.25, remember_samples=True)
    assert compared(net, X, LENGTHS) == (18, 6)
    assert compared(net, X[:5], LENGTHS[:5])[0] <= 5
    assert compared(net, X + 1, LENGTHS) == (0, 0)
    assert net.remembered.whole
    assert not net.remembered.shrunk
    assert net.remembered.compared(X, LENGTHS)["compared"] == M
    other = made()
    other.fit(X[:20], LABELS[:20], epochs=1, validation=(X[15:], LABELS[15:]), remember_samples=True)
    assert compared(other, X) == (20, 4)  # what it was trained on counts as that


def test_the_range_of_real_steps():
    net = made()
    far = padded(X, LENGTHS, 1e6)
    net.fit(far, LABELS, lengths=LENGTHS, epochs=1, remember_samples=True)
    real = np.concatenate([x[:n] for x, n in zip(X, LENGTHS, strict=True)])
    np.testing.assert_array_equal(net.remembered.low, real.min(axis=0))
    np.testing.assert_array_equal(net.remembered.high, real.max(axis=0))
    net.fit(X + 5, LABELS, epochs=1)
    np.testing.assert_array_equal(net.remembered.low, real.min(axis=0))
    np.testing.assert_array_equal(net.remembered.high, (X + 5).max(axis=(0, 1)))
    tokens = cgru.Network([cgru.Embedding(7, 3), cgru.GRU(4), cgru.Dense(3, "softmax")], seed=0)
    words = np.random.default_rng(0).integers(0, 7, (M, S))
    tokens.fit(words, LABELS, epochs=1, remember_samples=True)
    assert tokens.remembered.low is None
    assert compared(tokens, words) == (M, 0)


def test_a_fit_that_goes_on_has_seen_both():
    net = made()
    net.fit(X[:10], LABELS[:10], epochs=1, remember_samples=True)
    net.fit(X[10:15], LABELS[10:15], epochs=1)  # it remembers already
    assert compared(net, X) == (15, 0)
    assert net.remembered.whole
    net = made()
    net.fit(X[:10], LABELS[:10], epochs=1)
    net.fit(X[10:15], LABELS[10:15], epochs=1, remember_samples=True)
    assert compared(net, X) == (5, 0)
    assert not net.remembered.whole  # of others nothing is known


def test_what_was_not_trained_on_is_not_remembered():
    def stop(epoch):
        raise KeyboardInterrupt

    net = made()
    with pytest.raises(KeyboardInterrupt):
        net.fit(X, LABELS, epochs=3, callback=stop, remember_samples=True)
    assert compared(net, X) == (M, 0)
    net = made()
    with pytest.raises(KeyboardInterrupt):  # before the first epoch is over: its parameters are those at the start
        net.fit(X, LABELS, epochs=3, metrics={"own": lambda y, A: stop(None)}, remember_samples=True)
    assert net.remembered is None


def test_shrinkage():
    net = made(cgru.Dense(2, "identity"))
    net.fit(X, REALS, epochs=1, validation=0.25, standardize_targets=True, shrink=True, remember_samples=True)
    assert net.remembered.shrunk
    net.fit(X, REALS, epochs=1)
    assert net.remembered.shrunk


def test_samples_in_files_and_batches(tmp_path, small_blocks):
    np.save(tmp_path / "x.npy", X)
    mapped = made()
    held = (np.load(tmp_path / "x.npy", mmap_mode="r")[20:], LABELS[20:])
    mapped.fit(
        np.load(tmp_path / "x.npy", mmap_mode="r")[:20], LABELS[:20], epochs=2, validation=held, remember_samples=True
    )
    assert compared(mapped, X) == (20, 4)
    batches = [(X[i : i + 5], LABELS[i : i + 5]) for i in range(0, 20, 5)]
    for given in (batches, iter(batches)):
        net = made()
        validation = [(X[20:], LABELS[20:])]
        net.fit(given, epochs=1, validation=validation, remember_samples=True)
        assert compared(net, X) == (20, 4)
        np.testing.assert_array_equal(net.remembered.trained.values, mapped.remembered.trained.values)
        np.testing.assert_array_equal(net.remembered.low, mapped.remembered.low)


def test_more_than_are_kept(monkeypatch, tmp_path):
    """Whether a sample was seen is said of those that can be compared, and of no other."""
    monkeypatch.setattr(sample_hashes, "MOST", 8)
    net = made()
    net.fit(X[:16], LABELS[:16], epochs=1, remember_samples=True)
    found = net.remembered.compared(X)
    small = np.sort(hash_samples(X[:16]))[7]
    assert found["trained"] == 8
    assert found["compared"] == np.count_nonzero(hash_samples(X) <= small)
    assert found["samples"] == M
    batches = made()
    batches.fit([(X[i : i + 4], LABELS[i : i + 4]) for i in range(12, -1, -4)], epochs=1, remember_samples=True)
    np.testing.assert_array_equal(batches.remembered.trained.values, net.remembered.trained.values)
    net.save(tmp_path / "net.npz")
    assert cgru.load(tmp_path / "net.npz").remembered.compared(X) == found


def test_batches_without_an_end_take_no_more_memory(monkeypatch):
    monkeypatch.setattr(sample_hashes, "MOST", 8)
    watch = SampleHasher(SampleHashes(), shrunk=False)
    batches = watch.over(
        Batches(made().data_spec, [(X[i : i + 4], LABELS[i : i + 4]) for i in range(0, 24, 4)]), "trained"
    )
    for _ in range(3):
        for _ in batches:
            assert sum(map(len, watch.waiting["trained"])) < 8
    assert len(watch.result().trained.values) == 8


def test_it_stays_with_the_network(tmp_path):
    net = made(dtype=np.float32)
    net.fit(X, LABELS, epochs=1, validation=0.25, remember_samples=True)
    net.save(tmp_path / "net.npz")
    for twin in (cgru.load(tmp_path / "net.npz"), pickle.loads(pickle.dumps(net)), cgru.quantize(net)):
        assert twin.remembered.compared(X) == net.remembered.compared(X)
        np.testing.assert_array_equal(twin.remembered.low, net.remembered.low)
        np.testing.assert_array_equal(twin.remembered.high, net.remembered.high)


def test_a_resumed_fit_remembers(tmp_path):
    options = {"epochs": 4, "checkpoint": tmp_path / "c", "checkpoint_seconds": 0, "remember_samples": True}
    made().fit(X, LABELS, **options)
    for extra in ({}, {"remember_samples": True}):
        net = made()
        net.fit(X, LABELS, **{**options, **extra}, resume=True)
        assert compared(net, X) == (M, 0)


def test_a_resumed_fit_of_a_network_that_had_others(tmp_path):
    """Of the samples of fits before the one that goes on, a new network knows nothing."""
    options = {"epochs": 4, "checkpoint": tmp_path / "c", "checkpoint_seconds": 0, "remember_samples": True}
    net = made()
    net.fit(X[:10], LABELS[:10], epochs=2, remember_samples=True)
    net.fit(X[10:], LABELS[10:], **options)
    net.fit(X[10:], LABELS[10:], **options, resume=True)
    assert net.remembered.whole
    again = made()
    again.fit(X[10:], LABELS[10:], **options, resume=True)
    assert compared(again, X) == (M - 10, 0)
    assert not again.remembered.whole
