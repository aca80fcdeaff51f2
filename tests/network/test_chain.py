"""How many features the layers of a chain take."""

import numpy as np
import pytest

import cgru
from cgru.network import chain


def test_features_are_those_of_the_lowest_layer_that_knows_them():
    norm = cgru.LayerNorm()
    assert chain.features([norm, cgru.GRU(2)]) is None
    norm.forward(np.ones((2, 5, 3)))
    assert chain.features([norm, cgru.GRU(2)]) == 3
    assert chain.features([cgru.Dropout(0.1), norm]) == 3


def test_features_below_the_layer_that_knows_them():
    layers = [cgru.Difference(keep=True), cgru.GRU(2, sequences=True), cgru.Difference(keep=True), cgru.Dense(1)]
    cgru.Network(layers, seed=0).make(np.ones((2, 5, 3)))
    assert chain.features(layers) == 3  # of the six that the GRU takes, half are differences


@pytest.mark.parametrize(("below", "advised"), [(cgru.GRU(2), True), (cgru.Pool("last"), False)])
def test_all_states_are_advised_where_a_layer_has_them(below, advised):
    with pytest.raises(ValueError, match="layer 2, Pool: ") as error:
        chain.shape_of([cgru.Dropout(0.1), below, cgru.Pool("last")])
    assert str(error.value).endswith("; sequences=True returns all") is advised
