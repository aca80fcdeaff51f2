"""The compiled linear layer: against NumPy, whatever the strides, the threads and the temperature."""

import numpy as np
import pytest
from helpers import ODD, assert_close

import cgru
from cgru.activations import CODES
from cgru.core.linear import LOG_SOFTMAX_CODE, SOFTMAX_CODE, Linear

RNG = np.random.default_rng(0)
TOLERANCE = {np.float64: 1e-13, np.float32: 1e-5}


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("u", [1, 4, 9, 33, 100])
@pytest.mark.parametrize("n", [1, 3, 17])
@pytest.mark.parametrize("m", ODD)
@pytest.mark.pairwise
def test_matches_numpy(m, n, u, dtype):
    X, W, b = (RNG.standard_normal(shape).astype(dtype) for shape in ((m, n), (n, u), (1, u)))
    Z = X.astype(float) @ W + b
    assert_close(Linear(W).outputs(X), Z - b, TOLERANCE[dtype])
    for f, code in CODES.items():
        linear = Linear(W, b, (code, 0.25))
        got, A = linear.both(X)
        due = f(Z, **{"se_hPars": {"LRELU_alpha": 0.25, "ELU_alpha": 0.25}} if f in (cgru.lrelu, cgru.elu) else {})
        assert_close(got, Z, TOLERANCE[dtype])
        assert_close(A, due, TOLERANCE[dtype])
        np.testing.assert_array_equal(linear.outputs(X), A)
    A = Linear(W, b, (LOG_SOFTMAX_CODE, 1.0)).outputs(X)
    assert_close(A, cgru.log_softmax(Z), 10 * TOLERANCE[dtype])
    for temperature in (1.0, 0.3):
        linear = Linear(W, b, (SOFTMAX_CODE, temperature))
        got, A = linear.both(X)
        assert_close(A, cgru.softmax(Z, se_hPars={"softmax_temperature": temperature}), 10 * TOLERANCE[dtype])
        np.testing.assert_array_equal(linear.outputs(X), A)
        assert A.dtype == got.dtype == dtype
    assert Linear(W, b).both(X)[1] is None


@pytest.mark.parametrize("transposed", [False, True])
def test_any_strides(transposed):
    X, W, b = (
        RNG.standard_normal((6, 10))[::-2, ::2],
        RNG.standard_normal((9, 14))[1:6, ::2],
        RNG.standard_normal((2, 7)),
    )
    W = np.asfortranarray(W) if transposed else W
    assert_close(Linear(W, b[1:]).outputs(X), X @ W + b[1:], 1e-14)


def test_the_same_bits_for_any_number_of_threads():
    X, W, b = RNG.standard_normal((3001, 60)), RNG.standard_normal((60, 50)), RNG.standard_normal((1, 50))
    kept, got = cgru.get_num_threads(), []
    try:
        for threads in (1, 2, 3, 8):
            cgru.set_num_threads(threads)
            got.append(Linear(W, b, (SOFTMAX_CODE, 1.0)).outputs(X))
    finally:
        cgru.set_num_threads(kept)
    for each in got[1:]:
        np.testing.assert_array_equal(each, got[0])
    assert_close(got[0], cgru.softmax(X @ W + b), 1e-13)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("temperature", [1e-300, 1e-30, 1e300])
def test_softmax_at_any_temperature(dtype, temperature):
    Z = np.array([[1.0, 3.0, -1e30, 3.0], [0.0, 0.0, 0.0, 0.0]], dtype)
    A = Linear(np.eye(4, dtype=dtype), None, (SOFTMAX_CODE, temperature)).outputs(Z)
    first = [0, 0.5, 0, 0.5] if temperature < 1 else [0.25] * 4
    np.testing.assert_array_equal(A, np.array([first, [0.25] * 4], dtype))


def test_softmax_of_what_is_no_number():
    A = Linear(np.eye(3), None, (SOFTMAX_CODE, 1.0)).outputs(np.array([[1.0, np.nan, 2.0], [1.0, 1.0, 1.0]]))
    assert np.isnan(A[0]).all()
    np.testing.assert_array_equal(A[1], [1 / 3] * 3)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_products_of_any_size(level, dtype):
    rng = np.random.default_rng(0)
    sizes = (1, 2, 3, 7, 8, 9, 16, 17, 33, 49, 97)
    for m in sizes:
        for n in sizes:
            for k in (1, 2, 5, 31, 64):
                A, B = rng.standard_normal((m, k)).astype(dtype), rng.standard_normal((k, n)).astype(dtype)
                due = A.astype(np.float64) @ B.astype(np.float64)
                tolerance = 1e-5 if dtype == np.float32 else 1e-14
                for left, right in ((A, B), (A.T.copy().T, B.T.copy().T), (np.tile(A, 2)[:, :k], B)):
                    np.testing.assert_allclose(Linear(right).outputs(left), due, atol=tolerance * 10, rtol=0)
