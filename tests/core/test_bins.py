"""Rows in bins, counted by hand."""

import numpy as np
import pytest

from cgru.core import bins

RNG = np.random.default_rng(0)


def test_calibration():
    A = np.array([[0.95], [1.0], [0.92], [0.15], [0.1], [0.0]])
    found = bins.calibration(np.array([1, 1, 0, 1, 0, 0]), A)
    low, some, high = found["bins"]
    assert low == {"low": 0.0, "high": 0.1, "confidence": 0.0, "accuracy": 0.0, "count": 1}
    assert some == {"low": 0.1, "high": 0.2, "confidence": pytest.approx(0.125), "accuracy": 0.5, "count": 2}
    assert (high["low"], high["high"], high["count"]) == (0.9, 1.0, 3)
    assert high["confidence"] == pytest.approx(2.87 / 3)
    assert high["accuracy"] == pytest.approx(2 / 3)
    assert found["error"] == pytest.approx((2 * 0.375 + 0.87) / 6)


def test_calibration_of_the_predicted_class():
    found = bins.calibration(
        np.array([0, 1, 2]), np.array([[0.8, 0.1, 0.1], [0.1, 0.8, 0.1], [0.8, 0.1, 0.1]], np.float32)
    )
    assert found["bins"] == [
        {"low": 0.8, "high": 0.9, "confidence": pytest.approx(0.8), "accuracy": pytest.approx(2 / 3), "count": 3}
    ]
    assert found["error"] == pytest.approx(0.8 - 2 / 3)


def test_what_is_calibrated_is_found_to_be():
    A = RNG.random((20000, 1))
    assert bins.calibration((RNG.random(20000) < A[:, 0]).astype(int), A)["error"] < 0.02
    assert bins.calibration((RNG.random(20000) < A[:, 0] ** 2).astype(int), A)["error"] > 0.1


def test_fifths():
    y = np.array([5.0, 0, 0, 0, 0, 0, 0, 1, 2, 9])
    parts = bins.quintiles(y)
    assert sum(part.sum() for part in parts) == 10
    assert [sorted(y[part]) for part in parts] == [[0] * 6, [1, 2], [5, 9]]
    assert [part.sum() for part in bins.quintiles(RNG.permutation(100))] == [20] * 5
