"""Samples compared with those of the training: in words, and features that are far outside."""

import numpy as np
import pytest

import cgru
from cgru.reports.comparison import is_held_out, outside, outside_in_words, seen, seen_in_words

RNG = np.random.default_rng(0)
X = RNG.standard_normal((60, 8, 2)) * [8, 0] + [20, 0.1]
Y = np.arange(60) % 2
LENGTHS = RNG.integers(1, 9, 60)


def found(**changes):
    return {"samples": 9, "compared": 9, "trained": 0, "validated": 0, "whole": True, "shrunk": False} | changes


@pytest.mark.parametrize(
    ("changes", "words", "held_out"),
    [
        ({}, "none of 9 samples was among the training data", True),
        ({"samples": 1, "compared": 1}, "none of 1 sample was among the training data", True),
        ({"trained": 2}, "2 of 9 samples were among the training data", False),
        ({"trained": 1}, "1 of 9 samples was among the training data", False),
        ({"trained": 9}, "no held-out data: the model was trained on these 9 samples", False),
        (
            {"samples": 1, "compared": 1, "trained": 1},
            "no held-out data: the model was trained on this sample",
            False,
        ),
        ({"validated": 9}, "these 9 samples chose the epoch: expect less of new data", False),
        (
            {"validated": 9, "shrunk": True},
            "these 9 samples chose the epoch and the shrinkage: expect less of new data",
            False,
        ),
        (
            {"trained": 2, "validated": 3},
            "2 of 9 samples were among the training data; 3 of 9 samples chose the epoch: expect less of new data",
            False,
        ),
        ({"compared": 4}, "none of 4 samples was among the training data; the other 5 of 9 cannot be compared", False),
        (
            {"compared": 4, "trained": 4},
            "4 of 4 samples were among the training data; the other 5 of 9 cannot be compared",
            False,
        ),
        ({"compared": 0}, "they cannot be compared with the training data", False),
        (
            {"whole": False},
            "none of 9 samples was among the training data; whether it was trained on these before that is not known",
            False,
        ),
        ({"whole": False, "trained": 9}, "no held-out data: the model was trained on these 9 samples", False),
    ],
)
def test_what_the_network_has_seen_in_words(changes, words, held_out):
    assert seen_in_words(found(**changes)) == words
    assert is_held_out(found(**changes)) is held_out


def test_nothing_is_claimed_of_a_network_that_does_not_remember():
    net = cgru.Network([cgru.GRU(2), cgru.Dense(2, "softmax")], seed=0)
    net.fit(X, Y, epochs=1, standardize=True)
    assert seen(net, X) is None
    assert not is_held_out(None)
    assert seen_in_words(None) == "whether the model was trained on these is not known"
    assert outside(net, 1e6 * X) == []


@pytest.fixture(scope="module")
def net():
    """Trained on temperatures in Celsius, and a feature that never changes."""
    net = cgru.Network([cgru.GRU(2), cgru.Dense(2, "softmax")], seed=0, feature_names=["temp", "bias"])
    net.fit(X, Y, epochs=1, remember_samples=True)
    return net


def told(net, *given):
    return outside_in_words(outside(net, *given))


def test_what_was_trained_on_is_counted(net):
    assert seen(net, X)["trained"] == seen(net, X)["compared"] == 60
    assert not is_held_out(seen(net, X))
    assert is_held_out(seen(net, X + 1))


@pytest.mark.parametrize("seed", range(20))
def test_ordinary_data_are_not_questioned(net, seed):
    rng = np.random.default_rng(seed)
    for m in (1, 2, 5, 40):
        levels = 20 + 8 * rng.standard_normal((m, 1, 1))  # of each sample its own
        other = np.concatenate([levels + rng.standard_normal((m, 8, 1)), np.full((m, 8, 1), 0.1)], axis=2)
        assert told(net, other.astype(np.float32)) == []


def test_other_units_are_noted(net):
    low, high = net.remembered.low, net.remembered.high
    for scale, shift, name in (([1.8, 1], [32, 0], "temp"), ([1, 1], [-100, 0], "temp"), ([1, 1], [0, 0.001], "bias")):
        other, j = X * scale + shift, ["temp", "bias"].index(name)
        (note,) = told(net, other)
        share = ((other[..., j] < low[j]) | (other[..., j] > high[j])).mean()
        due = f"{name}: {share:.0%} of values are outside the training range, {low[j]:.4g} to {high[j]:.4g}; "
        assert note == due + "is it in the same unit?"


def test_a_quarter_of_the_values_far_outside(net):
    width = net.remembered.high[0] - net.remembered.low[0]
    for share, step, count in ((0.25, 0.11, 1), (0.24, 0.11, 0), (1.0, 0.09, 0)):
        other = np.full((100, 1, 2), X[0, 0])
        other[: round(100 * share), :, 0] = net.remembered.high[0] + step * width
        assert len(told(net, other)) == count


def test_padding_is_not_looked_at(net):
    far = X.copy()
    far[np.arange(8) >= LENGTHS[:, None]] = 1e6
    assert told(net, far, LENGTHS) == []
    assert len(told(net, far)) == 2


def test_a_few_features_are_named():
    wide = RNG.standard_normal((10, 3, 8))
    net = cgru.Network([cgru.GRU(2), cgru.Dense(2, "softmax")], seed=0)
    net.fit(wide, Y[:10], epochs=1, remember_samples=True)
    lines = told(net, wide + 1e3)
    assert [line.partition(":")[0] for line in lines[:5]] == [f"feature {j}" for j in range(5)]
    assert lines[5:] == ["3 more features are as far outside"]
