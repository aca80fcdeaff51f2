"""The benchmark of series with gaps: what it takes out, and what it fills."""

import numpy as np
import pytest


@pytest.fixture
def grud(module):
    return module("grud")


def test_gaps_of_steps_and_values(grud):
    rng = np.random.default_rng(0)
    X, times = grud.with_gaps([np.ones((100, 20)), np.full((1, 2), 3.0)], 0.6, rng)
    assert 55 < len(X[0]) < 85
    assert 0.5 < np.isnan(X[0]).mean() < 0.7
    assert times[0].tolist() == sorted(set(times[0].tolist()))
    assert (len(X[1]), times[1].tolist()) == (1, [0.0])


def test_values_are_filled_with_the_last_before(grud):
    X = np.array([[[np.nan, 1], [2, np.nan], [np.nan, np.nan], [0, 0]]])
    last, mask, since = grud.filled(X, np.array([[0.0, 1, 3, 3]]), np.array([3]))
    np.testing.assert_array_equal(last[0], [[0, 1], [2, 1], [2, 1], [0, 0]])
    np.testing.assert_array_equal(mask[0], [[0, 1], [1, 0], [0, 0], [0, 0]])
    np.testing.assert_allclose(since[0] / since[0, 1, 0], [[0, 0], [1, 1], [2, 3], [0, 0]])


def test_an_unknown_part_is_refused(refused):
    assert "argument part: invalid choice: 'nothing'" in refused("grud", "nothing")
    assert "names: expected none of the speed" in refused("grud", "speed", "GunPoint")


@pytest.mark.nightly
def test_a_score(grud):
    rng = np.random.default_rng(0)
    splits = ([rng.standard_normal((9, 2)) for _ in range(12)], np.arange(12) % 2)
    train = grud.prepared(splits, 0.5, rng, np.arange(2))
    assert 0 <= grud.score("GRUD", train, train, 0) <= 1
