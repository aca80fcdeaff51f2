"""What a network takes, as those see it who check samples."""

import numpy as np
import pytest

import cgru
from cgru.network.data.streaming import Batches

RNG = np.random.default_rng(7)


def spec(*layers, **options):
    return cgru.Network([*layers, cgru.Dense(2, "softmax")], seed=1, **options).data_spec


def test_it_says_what_the_network_says():
    net = cgru.Network([cgru.GRU(4, sequences=True), cgru.Dense(2, "softmax")], seed=1, feature_names=["a", "b", "c"])
    assert (net.data_spec.per_step, net.data_spec.k, net.data_spec.features, net.data_spec.standardized) == (
        True, 2, None, None,
    )  # fmt: skip
    net.fit(RNG.standard_normal((4, 5, 3)), np.ones((4, 5), int), epochs=1, standardize=True)
    assert (net.data_spec.features, net.data_spec.standardized) == (3, 3)
    assert (net.data_spec.feature_names, net.data_spec.judge.name) == (("a", "b", "c"), "cross_entropy")


def test_all_batches_have_the_elements_of_the_first():
    X, y = RNG.standard_normal((4, 5, 3)), np.array([0, 1, 0, 1])
    batches = Batches(spec(cgru.GRU(4)), [(X, y), (X[:, :, :2], y)])
    with pytest.raises(ValueError, match=r"^batch 2: X: expected shape \(m, s, 3\), as the network was made for, got "):
        list(batches)


def test_batches_of_tokens_have_no_elements():
    tokens, y = RNG.integers(0, 9, (4, 5)), np.array([0, 1, 0, 1])
    batches = Batches(spec(cgru.Embedding(9, 2), cgru.GRU(4)), [(tokens, y), (tokens[:, :2], y)])
    assert [data.extent for data in batches] == [(4, 5), (4, 2)]


def test_times_are_due_once_a_network_was_trained_with_them():
    X, y = RNG.standard_normal((4, 5, 3)), np.array([0, 1, 0, 1])
    net = cgru.Network([cgru.GRUD(4), cgru.Dense(2, "softmax")], seed=1)
    assert not net.data_spec.timed
    net.fit(cgru.Sequences(X, times=np.arange(20.0).reshape(4, 5)), y, epochs=1)
    assert net.data_spec.timed
    assert not spec(cgru.GRU(4)).timed
