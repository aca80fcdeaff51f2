"""Embedding: what it looks up, its gradient, and what it refuses."""

import numpy as np
import pytest

import cgru
from cgru.layers.embedding import TokenGradients

RNG = np.random.default_rng(0)
V, U, M, S = 7, 3, 5, 6
TOKENS = RNG.integers(0, V - 1, (M, S))  # the last token never occurs
LENGTHS = np.array([6, 1, 3, 6, 2])
REAL = np.arange(S) < LENGTHS[:, None]


def made(dtype=np.float64, **options):
    layer = cgru.Embedding(V, U, dtype=dtype, rng=0, **options)
    layer.compute_shapes(TOKENS)
    layer.initialize_parameters()
    return layer


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("lengths", [None, LENGTHS])
def test_rows_and_their_gradients(dtype, lengths):
    layer = made(dtype)
    tokens = TOKENS if lengths is None else np.where(REAL, TOKENS, -9)
    A = layer.forward(tokens, lengths)
    real = REAL if lengths is not None else np.ones((M, S), bool)
    np.testing.assert_array_equal(A, np.where(real[:, :, None], layer.p["E"][TOKENS], 0))
    np.testing.assert_array_equal(layer.predict(tokens, lengths), A)
    dA = RNG.standard_normal((M, S, U)).astype(dtype)
    assert layer.backward(dA) is None
    layer.compute_gradients()
    due = np.zeros((V, U))
    np.add.at(due, TOKENS[real], dA[real].astype(np.float64))
    np.testing.assert_allclose(layer.g["dE"], due, rtol=1e-5 if dtype == np.float32 else 1e-13, atol=1e-6)
    assert not layer.g["dE"][V - 1].any()
    assert {a.dtype for a in (A, layer.g["dE"], layer.p["E"], layer.bc["dA"])} == {np.dtype(dtype)}
    assert layer.d == {"v": V, "u": U, "m": M, "s": S}
    assert layer.fs == {"X": (M, S), "E": (V, U), "A": (M, S, U)}
    assert layer.bs == {"dA": (M, S, U)}


def test_drawn_as_pytorch_draws():
    E = cgru.Embedding(400, 50, rng=3)
    E.compute_shapes(np.zeros((1, 1), int))
    E.initialize_parameters()
    np.testing.assert_array_equal(E.p["E"], np.random.default_rng(3).standard_normal((400, 50)))
    other = made(initialization=lambda shape, rng: rng.uniform(-0.05, 0.05, shape))
    assert np.abs(other.p["E"]).max() <= 0.05
    assert repr(other) == "Embedding(tokens=7, units=3, dtype=float64)"


# --- gradients of each sample ---


def test_gradients_of_each_sample_are_the_rows_of_its_tokens():
    layer, dA = cgru.Embedding(9, 2, rng=0), np.random.default_rng(1).standard_normal((3, 4, 2))
    ran = layer.run(np.array([[7, 2, 7, 7], [1, 1, 8, 8], [5, 0, 0, 3]]), [4, 2, 4])
    ran.backward(dA)
    tokens, rows = ran.gradients(each=True)["dE"]
    np.testing.assert_array_equal(tokens, [[2, 7, 0], [0, 1, 0], [0, 3, 5]])
    due = [[dA[0, 1], dA[0, [0, 2, 3]].sum(axis=0), [0, 0]], [[0, 0], dA[1, :2].sum(axis=0), [0, 0]],
           [dA[2, 1:3].sum(axis=0), dA[2, 3], dA[2, 0]]]  # fmt: skip
    np.testing.assert_allclose(rows, due, rtol=1e-15)
    dense = ran.gradients(each=True)["dE"].dense(9)
    assert dense.shape == (3, 9, 2)
    np.testing.assert_allclose(dense.sum(axis=0), ran.gradients()["dE"], rtol=1e-15)
    assert not dense[0, [0, 1, 3, 4, 5, 6, 8]].any()


def test_gradients_of_samples_with_other_numbers_of_tokens_are_joined():
    parts = [
        TokenGradients(np.array([[1]]), np.ones((1, 1, 2), np.float32)),
        TokenGradients(np.array([[0, 3], [2, 0]]), np.full((2, 2, 2), 5, np.float32)),
    ]
    tokens, rows = TokenGradients.joined(parts)
    np.testing.assert_array_equal(tokens, [[1, 0], [0, 3], [2, 0]])
    np.testing.assert_array_equal(rows[:, :, 0], [[1, 0], [5, 5], [5, 5]])
    assert rows.dtype == np.float32
