import numpy as np
import pytest
from helpers import refuses

import cgru
from cgru.initializers import draw, named


@pytest.mark.parametrize("shape", [(1, 1), (5, 3), (3, 5), (4, 4), (1, 7)])
def test_orthogonal(shape):
    W = cgru.orthogonal(shape, np.random.default_rng(0))
    assert W.shape == shape
    assert W.dtype == np.float64
    gram = W @ W.T if shape[0] < shape[1] else W.T @ W
    np.testing.assert_allclose(gram, np.eye(min(shape)), atol=1e-14)


def test_orthogonal_signs_are_those_of_a_positive_diagonal():
    draw = np.random.default_rng(3).standard_normal((4, 4))
    W = cgru.orthogonal((4, 4), np.random.default_rng(3))
    R = W.T @ draw
    assert (np.diag(R) > 0).all()
    np.testing.assert_allclose(np.tril(R, -1), 0, atol=1e-14)


def test_matrices_that_are_drawn_together_have_the_bits_of_each_alone():
    shapes = [(3, 5), (5, 5), (3, 5), (5, 5), (7, 5), (1, 1), (3, 5)]
    rng = np.random.default_rng(4)
    due = [cgru.orthogonal(shape, rng) for shape in shapes]
    for got, each in zip(draw(cgru.orthogonal, shapes, np.random.default_rng(4)), due, strict=True):
        np.testing.assert_array_equal(got, each)


def test_an_initializer_of_the_users_own_draws_each_shape_in_its_turn():
    rng, seen = np.random.default_rng(0), []

    def own(shape, rng):
        seen.append((shape, rng))
        return len(seen)

    assert draw(own, [(2, 3), (3, 3), (2, 3)], rng) == [1, 2, 3]
    assert seen == [((2, 3), rng), ((3, 3), rng), ((2, 3), rng)]


def test_xavier():
    W = cgru.xavier((300, 500), np.random.default_rng(0))
    assert W.shape == (300, 500)
    assert W.std() == pytest.approx(np.sqrt(2 / 800), rel=0.02)
    draw = np.random.default_rng(0).standard_normal((300, 500))
    np.testing.assert_allclose(W, draw * np.sqrt(2 / 800))


def test_standard_normal():
    draw = np.random.default_rng(0).standard_normal((30, 50))
    np.testing.assert_array_equal(cgru.standard_normal((30, 50), np.random.default_rng(0)), draw)


def test_given_by_name():
    for name in ("orthogonal", "xavier", "standard_normal"):
        assert named(name, "initialization") is getattr(cgru, name)
    assert named(np.zeros, "initialization") is np.zeros
    with refuses(ValueError, "initialization"):
        named("glorot", "initialization")
