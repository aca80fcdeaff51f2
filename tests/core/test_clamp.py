"""The values that gates and states are held at: what is taken, and what is refused by which words."""

import numpy as np
import pytest
from helpers import refuses

from cgru.core.masks import held

SHAPE = (2, 3, 4)


def test_copies_that_are_broadcast():
    z, h = np.arange(4.0), [[[0.5], [np.nan], [True]]]
    found = held({"z": z, "h": h, "r": 1}, SHAPE, None, np.dtype(np.float32))
    assert list(found) == ["z", "h", "r"]
    assert {array.dtype for array in found.values()} == {np.dtype(np.float32)}
    z[...] = 9
    np.testing.assert_array_equal(found["z"], np.broadcast_to(np.arange(4), SHAPE))
    np.testing.assert_array_equal(found["h"], np.broadcast_to(np.float32(h), SHAPE))
    np.testing.assert_array_equal(found["r"], np.ones(SHAPE))


def test_nothing():
    assert held(None, SHAPE, None, np.dtype(float)) == held({}, SHAPE, None, np.dtype(float)) == {}


def test_padding_is_not_looked_at():
    h = np.full(SHAPE, np.nan)
    h[1, 2, 3] = -np.inf
    found = held({"h": h, "z": np.ones((3, 1))}, SHAPE, np.array([3, 2]), np.dtype(float))
    assert np.isnan(found["h"]).all()
    due = np.ones(SHAPE)
    due[1, 2] = np.nan
    np.testing.assert_array_equal(found["z"], due)
    with pytest.raises(ValueError, match="got -inf in sample 1, step 2, unit 3"):
        held({"h": h}, SHAPE, np.array([2, 3]), np.dtype(float))


@pytest.mark.parametrize(
    ("clamp", "error", "argument"),
    [
        ([1], TypeError, "clamp"),
        ({"z": 1, "hh": 1}, ValueError, "clamp"),
        ({"z": "a"}, TypeError, "clamp['z']"),
        ({"r": 1j}, TypeError, "clamp['r']"),
        ({"h": [1, None]}, TypeError, "clamp['h']"),
        ({"z": np.ones((3, 2))}, ValueError, "clamp['z']"),
        ({"z": np.ones((1, 2, 3, 4))}, ValueError, "clamp['z']"),
        ({"z": 1, "r": [[0], [np.inf], [np.inf]]}, ValueError, "clamp['r']"),
    ],
)
def test_what_does_not_fit_is_refused(clamp, error, argument):
    with refuses(error, argument):
        held(clamp, SHAPE, None, np.dtype(float))
