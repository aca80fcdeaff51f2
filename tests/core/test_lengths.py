"""Sequences of any lengths as one array."""

import numpy as np
import pytest
from helpers import refuses

from cgru.core.lengths import padded


def test_sequences_are_padded_with_zeros():
    whole, lengths = padded([[[1.0, 2]], [[3, 4], [5, 6]]])
    assert whole.tolist() == [[[1, 2], [0, 0]], [[3, 4], [5, 6]]]
    assert lengths.tolist() == [1, 2]


@pytest.mark.parametrize("other", [1.0, np.ones((0, 2)), np.ones((3, 1)), np.ones(2)])
def test_sequences_of_other_shapes_are_refused(other):
    with refuses(ValueError, "Z[1]"):
        padded([np.ones((3, 2)), other], "Z")
