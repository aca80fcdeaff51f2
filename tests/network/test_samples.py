"""Samples: what of them counts, and their pieces."""

import network_cases
import numpy as np
import pytest
from network_cases import LABELS, made

from cgru.network.samples import Data, labelled, set_aside

RNG = np.random.default_rng(0)
M, S = 4, 7
X = np.arange(M * S * 2.0).reshape(M, S, 2)
STEPS = np.arange(M * S).reshape(M, S)
LENGTHS = np.array([7, 2, 3, 5])


def test_what_counts():
    whole, steps = Data(X, np.arange(M), LENGTHS), Data(X, STEPS, LENGTHS, per_step=True)
    assert (whole.count, steps.count, Data(X, STEPS, None, per_step=True).count) == (4, 17, 28)
    A = RNG.standard_normal((M, 3))
    assert whole.rows(A) is whole.unrowed(A) is A
    A = RNG.standard_normal((M, S, 3))
    rows = steps.rows(A)
    assert rows.shape == (17, 3)
    np.testing.assert_array_equal(steps.unrowed(rows), np.where(steps.real[:, :, None], A, 0))
    assert steps.unrowed(None) is None
    assert len(steps[1:3]) == 2
    assert steps[1:3].count == 5


@pytest.mark.parametrize("k", [1, 2, 3, 6, 7, 9])
@pytest.mark.parametrize("lengths", [None, LENGTHS])
def test_spans_hold_each_real_step_once(k, lengths):
    data = Data(X, STEPS, lengths, per_step=True)
    seen, before = [], 0
    for start, rows, piece in data.spans(k):
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
    last = data.last(k)
    assert last.X.shape[1] == min(k, S)
    before = [piece.X[piece.real][:, 0] for _, _, piece in data.without_last(k).spans(k)]
    for i, n in enumerate(data.steps):
        np.testing.assert_array_equal(last.X[i, : last.steps[i]], X[i, max(n - k, 0) : n])
    together = np.concatenate([*before, last.X[last.real][:, 0]])
    np.testing.assert_array_equal(np.sort(together), np.sort(X[data.real][:, 0]))
    np.testing.assert_array_equal(last.y, np.arange(M))


def test_a_share_is_stratified_and_the_same_each_time():
    labels, seed = np.repeat([0, 1, 2], [12, 8, 4]), np.random.SeedSequence(0)
    net = made()
    data = labelled(net, network_cases.X, labels, None)
    kept, held_out = set_aside(net, data, 0.25, seed)
    assert np.bincount(held_out.classes).tolist() == [3, 2, 1]
    assert len(kept) == 18
    everything = np.concatenate([kept.X, held_out.X])
    np.testing.assert_array_equal(np.sort(everything[:, 0, 0]), np.sort(network_cases.X[:, 0, 0]))
    np.testing.assert_array_equal(set_aside(net, data, 0.25, seed)[1].X, held_out.X)
    assert not np.array_equal(set_aside(net, data, 0.25, np.random.SeedSequence(1))[1].X, held_out.X)
    for share, count in ((1e-9, 1), (1 - 1e-9, 23)):
        assert len(set_aside(net, data, share, seed)[1]) == count


def test_a_fit_sets_the_same_samples_aside():
    fits = [made(seed=seed).fit(network_cases.X, LABELS, epochs=1, validation=0.25) for seed in (1, 1, 2)]
    first, second, other = (history.validation_loss for history in fits)
    assert first == second != other
