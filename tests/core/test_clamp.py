"""The values that gates and states are held at: what is taken, and what is refused by which words."""

import numpy as np
import pytest

from cgru.core.clamp import held

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
    ("clamp", "error", "match"),
    [
        ([1], TypeError, "^clamp: expected a dict or None, got list$"),
        ({"z": 1, "hh": 1}, ValueError, "^clamp: expected some of z, r, h, got 'hh'$"),
        ({"z": "a"}, TypeError, r"^clamp\['z'\]: expected real numbers, got dtype <U1$"),
        ({"r": 1j}, TypeError, r"^clamp\['r'\]: expected real numbers, got dtype complex128$"),
        ({"h": [1, None]}, TypeError, r"^clamp\['h'\]: expected real numbers, got dtype object$"),
        (
            {"z": np.ones((3, 2))},
            ValueError,
            r"^clamp\['z'\]: expected a shape that broadcasts to \(m, s, u\), \(2, 3, 4\), got \(3, 2\)$",
        ),
        ({"z": np.ones((1, 2, 3, 4))}, ValueError, r"^clamp\['z'\]: expected a shape .*, got \(1, 2, 3, 4\)$"),
        (
            {"z": 1, "r": [[0], [np.inf], [np.inf]]},
            ValueError,
            r"^clamp\['r'\]: expected finite numbers, or NaN .* decides, got inf in sample 0, step 1, unit 0$",
        ),
    ],
)
def test_what_does_not_fit_is_refused(clamp, error, match):
    with pytest.raises(error, match=match):
        held(clamp, SHAPE, None, np.dtype(float))
