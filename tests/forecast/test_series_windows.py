import numpy as np
import pytest

from cgru.forecast import windows
from cgru.forecast.series_windows import History, fill_missing, seasonal_naive

Y = np.arange(20.0)
TIMES = np.datetime64("2001-01", "M") + np.arange(20)


def test_windows():
    past, future = windows(np.arange(6.0), 3, 2)
    np.testing.assert_array_equal(past, [[0, 1, 2], [1, 2, 3]])
    np.testing.assert_array_equal(future, [[3, 4], [4, 5]])
    series = np.arange(10).reshape(5, 2)
    past, future = windows(series, 2, 1)
    assert past.shape == (3, 2, 2)
    np.testing.assert_array_equal(past[1], series[1:3])
    np.testing.assert_array_equal(future[:, 0], series[2:])
    assert [each.tolist() for each in windows([1, 2, 3], 2, 1)] == [[[1, 2]], [[3]]]


@pytest.mark.parametrize(
    ("arguments", "name"),
    [(([1, 2], 2, 1), "series"), ((np.zeros((2, 2, 2)), 1, 1), "series"), (([1, 2], 0, 1), "width"),
     (([1, 2], 1, 0), "horizon")],
)  # fmt: skip
def test_windows_refuses(arguments, name):
    with pytest.raises(ValueError, match=f"^{name}: expected"):
        windows(*arguments)


def test_the_last_season_again():
    past = np.arange(10.0).reshape(2, 5)
    np.testing.assert_array_equal(seasonal_naive(past, 3, 7), [[2, 3, 4, 2, 3, 4, 2], [7, 8, 9, 7, 8, 9, 7]])
    np.testing.assert_array_equal(seasonal_naive(past, 1, 2), [[4, 4], [9, 9]])


def test_a_series_is_copied_in_double_precision():
    given = np.array([3, 1], np.float32)
    (taken,) = History.of(given, None, None, None, (0,)).y
    assert taken.dtype == np.float64
    taken[0] = 9
    assert given[0] == 3
    masked = History.of(np.ma.masked_equal([3, 1], 1), None, None, None, (0,)).y
    np.testing.assert_array_equal(masked[0], [3, np.nan])
    assert History.of([True, False], None, None, None, (0,)).y[0].tolist() == [1, 0]


def test_what_was_known_at_an_origin():
    X, known = Y[:, None] + [0, 0.5], np.arange(23.0)[:, None]
    for y, given in ((Y, lambda values: values), ({"sales": Y}, lambda values: {"sales": values})):
        past = History.of(y, given(X), given(known), given(TIMES), (0, 3)).until(4, 3)
        assert (past.y[0].tolist(), len(past.X[0]), len(past.known[0])) == (list(range(16)), 16, 19)
        assert past.times[0][-1] == TIMES[15]
    assert past.names == ["sales"]
    assert past.in_form([1]) == {"sales": 1}
    assert History.of([Y, Y[1:]], None, None, None, (0,)).shortest == 19


def refused(error, argument, *given):
    with pytest.raises(error, match=rf"^{argument}: expected"):
        History.of(*given)


def test_dicts_are_matched_by_their_names():
    y, X = {"a": Y, "b": Y[1:]}, {"b": Y[1:, None], "a": -Y[:, None]}
    found = History.of(y, X, None, None, (0,))
    assert [each[1, 0] for each in found.X] == [-1, 2]


@pytest.mark.parametrize(
    ("error", "argument", "y", "X", "known", "times"),
    [
        (TypeError, "y", ["a"], None, None, None),
        (TypeError, "y", [1j], None, None, None),
        (ValueError, "y", [], None, None, None),
        (ValueError, "y", Y[:, None].T[None], None, None, None),
        (ValueError, "y", [1, np.inf], None, None, None),
        (ValueError, r"y\[1\]", [Y, -1e101 * Y], None, None, None),
        (ValueError, "sales", {"sales": np.inf * Y[1:]}, None, None, None),
        (ValueError, "y", {}, None, None, None),
        (ValueError, "X", {"a": Y, "b": Y}, {"a": Y[:, None], "c": Y[:, None]}, None, None),
        (ValueError, "X", Y, Y, None, None),
        (ValueError, "X", Y, Y[1:, None], None, None),
        (ValueError, "X", [Y, Y], [Y[:, None]], None, None),
        (ValueError, "X", [Y, Y], [Y[:, None], np.zeros((20, 2))], None, None),
        (ValueError, "known", Y, None, np.zeros((21, 1)), None),
        (ValueError, "known", Y, None, np.r_[Y, 1, 2, np.nan][:, None], None),
        (TypeError, "times", Y, None, None, Y),
        (ValueError, "times", Y, None, None, TIMES[1:]),
        (ValueError, "times", Y, None, None, TIMES[::-1]),
        (ValueError, "times", Y, None, None, np.r_[TIMES[:19], np.datetime64("NaT", "D")]),
        (ValueError, "times", [Y, Y], None, None, [TIMES]),
    ],
)
def test_refusals(error, argument, y, X, known, times):
    refused(error, argument, y, X, known, times, (0, 3))


def test_gaps_are_refused_by_place_or_filled():
    y = np.array([np.nan, 1, np.nan, np.nan, 4, np.nan])
    both = np.column_stack([y, np.arange(6.0)])
    np.testing.assert_array_equal(fill_missing(y, "interpolate", "y"), [1, 1, 2, 3, 4, 4])
    np.testing.assert_array_equal(fill_missing(both, "interpolate", "X").T, [[1, 1, 2, 3, 4, 4], np.arange(6)])
    assert np.isnan(y[0])
    history = History.of(Y[:6], both, None, None, (0,))
    np.testing.assert_array_equal(history.filled("interpolate").X[0][:, 0], [1, 1, 2, 3, 4, 4])
    with pytest.raises(ValueError, match=r"^X of y: expected a value at each step, got none at 0; missing="):
        history.filled("refuse")
    with pytest.raises(ValueError, match=r"^y: expected at least one value"):
        fill_missing(np.full(2, np.nan), "interpolate", "y")
