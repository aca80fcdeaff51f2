"""Whole models with weights of fewer bytes: what is lost of their accuracy."""

import numpy as np
import pytest

import cgru
from cgru.estimators.recipe import Recipe
from cgru.quantization import noise

DATA = cgru.datasets.load_japanese_vowels()


def logits(net, X, lengths):
    """What comes before the softmax."""
    return np.concatenate([net.head.run(below).fc["Z"] for below, *_ in net.head_inputs(X, lengths, 1024)])


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(2))
def test_spoken_vowels(seed):
    """The model of `cgru fit`: within 0.3 points, logits at some 50 dB in int8 and 55 in bfloat16."""
    net = Recipe("cross_entropy").network(9, seed=seed)
    net.fit(DATA.train.X, DATA.train.y, epochs=71, batch_size=16, standardize=True)
    X, y, lengths = DATA.test.X.X, DATA.test.y, DATA.test.X.lengths
    due, accuracy = logits(net, X, lengths), net.evaluate(X, y, lengths)["accuracy"]
    assert accuracy > 0.95
    for weights, least in (("int8", 49), ("bfloat16", 54)):
        small = cgru.quantize(net, weights)
        assert abs(small.evaluate(X, y, lengths)["accuracy"] - accuracy) < 0.003
        assert noise(due, logits(small, X, lengths))["snr"] > least
