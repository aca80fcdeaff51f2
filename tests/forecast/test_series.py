import numpy as np
import pytest

from cgru.forecast import guess_season, seasonal_naive, windows
from cgru.forecast.series import as_float64, autocorrelation, fill_missing

rng = np.random.default_rng(0)


def test_windows_of_a_line():
    past, future = windows(np.arange(6.0), 3, 2)
    np.testing.assert_array_equal(past, [[0, 1, 2], [1, 2, 3]])
    np.testing.assert_array_equal(future, [[3, 4], [4, 5]])


def test_windows_of_several_channels():
    series = np.arange(10).reshape(5, 2)
    past, future = windows(series, 2, 1)
    assert past.shape == (3, 2, 2)
    np.testing.assert_array_equal(past[1], series[1:3])
    np.testing.assert_array_equal(future[:, 0], series[2:])


def test_windows_of_a_series_that_is_just_long_enough():
    past, future = windows([1, 2, 3], 2, 1)
    assert past.tolist() == [[1, 2]]
    assert future.tolist() == [[3]]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (([1, 2], 2, 1), "at least 3 values for a width of 2 and a horizon of 1, got 2"),
        ((np.zeros((2, 2, 2)), 1, 1), r"\(n,\) or \(n, e\), got \(2, 2, 2\)"),
        (([1, 2], 0, 1), "width"),
        (([1, 2], 1, 0), "horizon"),
    ],
)
def test_windows_refuses(arguments, words):
    with pytest.raises(ValueError, match=words):
        windows(*arguments)


def test_the_last_season_again():
    past = np.arange(10.0).reshape(2, 5)
    np.testing.assert_array_equal(seasonal_naive(past, 3, 7), [[2, 3, 4, 2, 3, 4, 2], [7, 8, 9, 7, 8, 9, 7]])
    np.testing.assert_array_equal(seasonal_naive(past, 1, 2), [[4, 4], [9, 9]])
    np.testing.assert_array_equal(seasonal_naive(past, 5, 2), past[:, :2])
    for wrong in (past[0], past[:, :4]):
        with pytest.raises(ValueError, match=r"^past: expected \(m, width\) with a width of at least 5, got shape"):
            seasonal_naive(wrong, 5, 2)


def test_autocorrelation_is_that_of_the_rest_beside_the_line():
    y = rng.standard_normal(90)
    line = np.polynomial.Polynomial.fit(np.arange(90), y, 1)(np.arange(90))
    rest = y - line
    sums = np.array([rest[k:] @ rest[: 90 - k] for k in range(46)])
    due = sums / sums[0] * 90 / (90 - np.arange(46))
    np.testing.assert_allclose(autocorrelation(1e80 * (y + 5 + 0.3 * np.arange(90))), due, atol=1e-8)
    np.testing.assert_array_equal(autocorrelation(np.arange(9.0)), np.zeros(5))
    np.testing.assert_array_equal(autocorrelation(np.zeros(6)), np.zeros(4))
    assert autocorrelation(np.ones(1)).tolist() == [0]
    assert autocorrelation(np.array([1.0, 5])).tolist() == [0, 0]


@pytest.mark.parametrize("season", [2, 5, 12, 29])
def test_the_season_of_a_sine_on_a_slope(season):
    t = np.arange(100)
    assert guess_season(10 + 0.5 * t + np.cos(2 * np.pi * t / season)) == season


def test_series_without_a_season():
    assert guess_season(np.arange(50.0)) == 1
    assert guess_season(np.ones(50)) == 1
    assert guess_season(rng.standard_normal(400)) == 1
    assert guess_season(np.repeat([0.0, 5.0], 40)) == 1
    assert guess_season([1, 2, 1]) == 1


def test_a_likely_season_needs_a_weaker_sign_and_its_multiples_do_not_win():
    t = np.arange(240)
    y = np.sin(2 * np.pi * t / 12) + np.random.default_rng(20).standard_normal(240) * 1.2
    assert 0.2 < autocorrelation(y)[12] < 0.3
    assert guess_season(y) == 1
    assert guess_season(y, (7, 12)) == 12
    assert guess_season(np.sin(2 * np.pi * t / 12), (24, 12)) == 24  # where it was to be expected
    assert guess_season(np.sin(2 * np.pi * t / 12), (6, 7)) == 1


def test_two_seasons_are_enough_where_one_is_likely():
    y = np.arange(60) % 12 + 0.5 * np.random.default_rng(0).standard_normal(60)
    assert [guess_season(y[:n], (12,)) for n in (25, 26, 36, 60)] == [1, 12, 12, 12]
    assert [guess_season(y[:n]) for n in (30, 38, 39)] == [1, 1, 12]
    faint = np.sin(2 * np.pi * np.arange(38) / 12) + np.random.default_rng(8).standard_normal(38)
    assert 0.2 < autocorrelation(faint)[12] < 0.3
    assert guess_season(faint, (12,)) == 1


def test_an_unlikely_season_needs_a_clear_sign():
    t = np.arange(240)
    y = np.sin(2 * np.pi * t / 12) + 0.9 * np.random.default_rng(1).standard_normal(240)
    r = autocorrelation(y)
    assert 0.3 < r[12] < 0.9 * r[24] < 0.5
    assert guess_season(y) == 12


def test_a_season_with_a_gap():
    y = np.sin(2 * np.pi * np.arange(60) / 6)
    y[10] = np.nan
    assert guess_season(y) == 6


@pytest.mark.parametrize(
    ("values", "ndim", "error", "words"),
    [
        (["a"], 1, TypeError, "real numbers, got dtype"),
        ([1j], 1, TypeError, "real numbers"),
        ([], 1, ValueError, r"shape \(n,\) and at least one value, got \(0,\)"),
        ([[1.0]], 1, ValueError, r"shape \(n,\)"),
        ([1.0], 2, ValueError, r"shape \(n, e\)"),
        ([1, np.inf], 1, ValueError, "got inf at 1"),
        ([[1, 0], [2, -1e101]], 2, ValueError, r"up to 1e100, got -1e\+101 at 1, 1"),
    ],
)
def test_what_is_no_series(values, ndim, error, words):
    with pytest.raises(error, match=f"what: expected .*{words}"):
        as_float64(values, "what", ndim)


def test_a_series_is_taken_as_a_copy_in_double_precision():
    given = np.arange(3, dtype=np.float32)
    taken = as_float64(given, "y")
    assert taken.dtype == np.float64
    assert as_float64([True, False], "y").tolist() == [1, 0]
    assert as_float64([1e100, np.nan], "y")[0] == 1e100
    np.testing.assert_array_equal(as_float64(np.ma.masked_equal([3, 1], 1), "y"), [3, np.nan])


def test_gaps_are_refused_by_place_or_filled():
    y = np.array([np.nan, 1, np.nan, np.nan, 4, np.nan])
    with pytest.raises(ValueError, match="y: expected a value at each step, got none at 0; missing="):
        fill_missing(y, "refuse", "y")
    with pytest.raises(ValueError, match="got none at 1, 0"):
        fill_missing(np.array([[0, 1], [np.nan, 1]]), "refuse", "X")
    np.testing.assert_array_equal(fill_missing(y, "interpolate", "y"), [1, 1, 2, 3, 4, 4])
    assert np.isnan(y[0])
    both = np.column_stack([y, np.arange(6.0)])
    np.testing.assert_array_equal(
        fill_missing(both, "interpolate", "X"), [[1, 0], [1, 1], [2, 2], [3, 3], [4, 4], [4, 5]]
    )
    with pytest.raises(ValueError, match="at least one value, got none in 2 steps"):
        fill_missing(np.full(2, np.nan), "interpolate", "y")
    whole = np.ones(2)
    assert fill_missing(whole, "refuse", "y") is whole
