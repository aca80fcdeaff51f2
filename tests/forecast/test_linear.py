import numpy as np

from cgru.forecast import linear

rng = np.random.default_rng(0)


def late(m):
    return np.arange(m) >= m - m // 5


def test_the_weights_are_the_least_of_what_is_penalised(monkeypatch):
    monkeypatch.setattr(linear, "PENALTIES", np.array([0.3]))
    A, B = rng.standard_normal((40, 3)), rng.standard_normal((40, 2))
    W, b = linear.ridge(A, B, late(40))
    E = A @ W + b - B
    np.testing.assert_allclose(E.sum(axis=0), 0, atol=1e-12)
    np.testing.assert_allclose(A.T @ E + 0.3 * 40 * W, 0, atol=1e-12)


def test_more_inputs_than_windows_that_are_exact_lines():
    A = rng.standard_normal((10, 30))
    A[late(10)] = A[:2]  # late rows that are known, so that no penalty is the best
    B = A[:, :2] + 5
    W, b = linear.ridge(A, B, late(10))
    assert np.abs(A @ W + b - B).max() < 0.01


def test_the_penalty_is_the_one_that_does_best_on_late_rows():
    A = rng.standard_normal((100, 30))
    noise = rng.standard_normal((100, 1))
    exact, _ = linear.ridge(A, A[:, :1], late(100))
    shrunk, _ = linear.ridge(A, noise, late(100))
    ((least, _),) = linear._ridge_path(A, A[:, :1], linear.PENALTIES[:1])
    ((most, _),) = linear._ridge_path(A, noise, linear.PENALTIES[-1:])
    np.testing.assert_array_equal(exact, least)
    np.testing.assert_array_equal(shrunk, most)


def test_late_rows_choose_though_they_are_learned_from_in_the_end():
    A = rng.standard_normal((50, 2))
    B = A[:, :1].copy()
    changed = B.copy()
    changed[-1] += 10
    assert not np.array_equal(linear.ridge(A, B, late(50))[0], linear.ridge(A, changed, late(50))[0])


def test_the_penalties():
    np.testing.assert_allclose(linear.PENALTIES, [1e-4, 1e-3, 1e-2, 1e-1, 1])
