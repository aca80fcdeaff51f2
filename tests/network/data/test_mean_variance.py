"""Means and deviations, however the rows come in blocks."""

import numpy as np
import pytest

from cgru.network.data.mean_variance import RunningMeanVariance, mean_and_deviation

RNG = np.random.default_rng(0)


@pytest.mark.parametrize("size", [1, 2, 7, 64, 1000])
@pytest.mark.parametrize("scale", [1.0, 1e-300, 1e298, 1e-3])
def test_blocks_join_to_what_all_rows_say(size, scale):
    rows = (RNG.standard_normal((200, 4)) + np.array([0, 3, -1e3, 1e6])) * scale
    rows[:, 3] *= np.arange(200)  # whose largest comes last
    found = RunningMeanVariance()
    for start in range(0, len(rows), size):
        found.add(rows[start : start + size])
    found.add(rows[:0])
    unit = np.abs(rows).max(axis=0)
    mean, deviation = found.result()
    np.testing.assert_allclose(mean / unit, (rows / unit).mean(axis=0), rtol=1e-12, atol=1e-15)
    np.testing.assert_allclose(deviation / unit, (rows / unit).std(axis=0), rtol=1e-10)


@pytest.mark.parametrize("size", [1, 7, 200])
@pytest.mark.parametrize("unit", [1.0, 1e-290, 1e305])
def test_weights_are_repetitions(size, unit):
    """In whatever unit they are: ratios alone count."""
    rows, times = RNG.standard_normal((200, 3)) + np.array([0, 1e3, -5]), RNG.integers(0, 4, 200)
    rows[times == 0] = 1e9
    found = RunningMeanVariance()
    for start in range(0, len(rows), size):
        found.add(rows[start : start + size], unit * times[start : start + size])
    due = np.repeat(rows, times, axis=0)
    np.testing.assert_allclose(found.result()[0], due.mean(axis=0), rtol=1e-12)
    np.testing.assert_allclose(found.result()[1], due.std(axis=0), rtol=1e-10)


def test_what_changes_only_where_nothing_weighs_is_constant():
    rows = np.array([[1e9, 1.0], [1e9, 2.0], [5.0, 3.0]])
    found = RunningMeanVariance()
    found.add(rows, np.array([1.0, 2.0, 0.0]))
    np.testing.assert_array_equal(found.constant(), [True, False])
    np.testing.assert_allclose(found.result()[1], [1, np.sqrt(2) / 3])


def test_one_block_is_numpy():
    rows = RNG.standard_normal((50, 3))
    largest = np.abs(rows).max(axis=0)
    mean, deviation = mean_and_deviation(rows)
    np.testing.assert_array_equal(mean, (rows / largest).mean(axis=0) * largest)
    np.testing.assert_array_equal(deviation, (rows / largest).std(axis=0) * largest)


def test_a_large_mean_does_not_drown_the_deviation():
    rows = RNG.standard_normal((4000, 1)) + 1e8
    found = RunningMeanVariance()
    for start in range(0, 4000, 100):
        found.add(rows[start : start + 100])
    np.testing.assert_allclose(found.result()[1], rows.std(axis=0), rtol=1e-7)


@pytest.mark.parametrize("value", [0.0, 0.1, -7.3, 1e-310])
def test_what_never_changes_has_a_deviation_of_one(value):
    found = RunningMeanVariance()
    for n in (3, 1, 50):
        found.add(np.full((n, 2), value))
    np.testing.assert_allclose(found.result()[0], value, rtol=1e-15)
    np.testing.assert_array_equal(found.result()[1], 1)


@pytest.mark.parametrize("unit", [1.0, -1e9, 5e307])
def test_what_changes_by_rounding_alone_has_a_deviation_of_one(unit):
    """Else a later value that was rounded otherwise would be many deviations away."""
    rows = np.repeat([0.3, 0.1 + 0.2, 3 * 0.1], 5)[:, None] * unit
    assert len(np.unique(rows)) > 1
    np.testing.assert_array_equal(mean_and_deviation(rows)[1], 1)
    rows[0] *= 1 + 1e-13
    np.testing.assert_allclose(mean_and_deviation(rows)[1], (rows / unit).std(axis=0) * abs(unit), rtol=0.01)
    assert mean_and_deviation(np.array([[1e308], [-1e308]]))[1] == 1e308


def test_zeros_beside_the_smallest_numbers():
    found = RunningMeanVariance()
    found.add(np.zeros((10, 1)))
    found.add(np.array([[2e-200], [4e-200]]))
    rows = np.array([0] * 10 + [2.0, 4.0])
    np.testing.assert_allclose(found.result()[0], rows.mean() * 1e-200)
    np.testing.assert_allclose(found.result()[1], rows.std() * 1e-200)


def test_integers_and_small_floats():
    rows = RNG.integers(-300, 300, (40, 2)).astype(np.int16)
    np.testing.assert_allclose(mean_and_deviation(rows)[1], rows.std(axis=0, dtype=float))
    assert mean_and_deviation(rows.astype(np.float16))[0].dtype == np.float64


def test_without_rows_there_are_no_columns():
    assert [each.shape for each in RunningMeanVariance().result()] == [(0,), (0,)]
