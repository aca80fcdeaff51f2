import numpy as np
import pytest

from cgru.forecast.ridge import PENALTIES, ridge

rng = np.random.default_rng(0)


@pytest.mark.parametrize("m", [40, 10])  # more and fewer rows than inputs
def test_it_is_scikit_learns_ridge_with_the_penalty_that_is_best_on_held_out_rows(m):
    linear_model = pytest.importorskip("sklearn.linear_model")
    A, B = rng.standard_normal((m, 20)), rng.standard_normal((m, 2))
    B += A[:, :2]
    late = np.arange(m) >= m - m // 5

    def fit(penalty, rows):
        return linear_model.Ridge(alpha=penalty * rows.sum()).fit(A[rows], B[rows])

    errors = [np.abs(fit(penalty, ~late).predict(A[late]) - B[late]).mean() for penalty in PENALTIES]
    due = fit(PENALTIES[np.argmin(errors)], late | ~late)
    weights, bias = ridge(A, B, late)
    np.testing.assert_allclose(weights, due.coef_.T, atol=1e-9)
    np.testing.assert_allclose(bias, due.intercept_, atol=1e-9)


def test_inputs_that_never_change_have_no_weight():
    weights, bias = ridge(np.ones((10, 3)), np.full((10, 1), 5.0), np.arange(10) > 7)
    np.testing.assert_array_equal(weights, np.zeros((3, 1)))
    np.testing.assert_allclose(bias, 5)
