import numpy as np
import pytest

from cgru.forecast.weights import weigh, weigh_apart

rng = np.random.default_rng(0)


def errors(*sizes, k=4, h=3):
    """Errors (M, k, h) of either sign and these mean sizes."""
    return np.array(sizes)[:, None, None] * rng.choice([-1.0, 1.0], (len(sizes), k, h))


@pytest.mark.parametrize(
    ("sizes", "due"),
    [
        ((3, 2, 5), (0, 1, 0)),
        ((2, 2.19, 2.21), (0.5, 0.5, 0)),
        ((1.09, 1.0, 1.05), (1 / 3, 1 / 3, 1 / 3)),
        ((0, 1, 0), (0.5, 0, 0.5)),
    ],
)
def test_those_within_a_tenth_of_the_lowest_share_alike(sizes, due):
    np.testing.assert_allclose(weigh(errors(*sizes)), due)


def test_missing_values_are_not_weighed():
    each = errors(1, 2)
    each[0, 0, 0] = 100
    np.testing.assert_array_equal(weigh(each), [0, 1])
    each[:, 0, 0] = np.nan
    np.testing.assert_array_equal(weigh(each), [1, 0])


def test_an_origin_is_weighed_by_those_apart_from_it():
    each = errors(1, 2)
    each[0, 3] = 50  # the first model is right but for the last origin
    apart = ~np.eye(4, dtype=bool)
    np.testing.assert_array_equal(weigh_apart(each, apart), [[0, 0, 0, 1], [1, 1, 1, 0]])
    apart[0, 3] = False
    np.testing.assert_array_equal(weigh_apart(each, apart)[:, 0], [1, 0])


def test_an_origin_without_others_has_equal_weights():
    each = errors(1, 2)
    np.testing.assert_array_equal(weigh_apart(each, np.zeros((4, 4), bool)), np.full((2, 4), 0.5))
    each[:, 1] = np.nan  # nothing is known of the only other
    apart = np.zeros((4, 4), bool)
    apart[0, 1] = True
    np.testing.assert_array_equal(weigh_apart(each, apart)[:, 0], [0.5, 0.5])
