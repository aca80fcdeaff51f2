"""What is missing in a sequence."""

import numpy as np
import pytest

from cgru.datasets import gaps

N = np.nan


@pytest.mark.parametrize(
    ("how", "due"),
    [
        ("forward", [[1, 5], [1, 5], [1, 6], [4, 6]]),
        ("interpolate", [[1, 5], [2, 5], [3, 6], [4, 6]]),
        ("zero", [[1, 0], [0, 5], [0, 6], [4, 0]]),
    ],
)
def test_they_are_filled(how, due):
    x = np.array([[1, N], [N, 5], [N, 6], [4, N]])
    assert gaps.filled(x, how).tolist() == [2, 2]
    assert x.tolist() == due
    assert gaps.filled(x, how).tolist() == [0, 0]


@pytest.mark.parametrize(("how", "due"), [("forward", N), ("interpolate", N), ("zero", 0)])
def test_what_has_no_value_at_all(how, due):
    x = np.array([[N, 1], [N, 2]])
    assert gaps.filled(x, how).tolist() == [2, 0]
    np.testing.assert_array_equal(x, [[due, 1], [due, 2]])


def test_what_is_said():
    assert gaps.said(np.array([0, 0]), "zero", "ab") == []
    assert gaps.said(np.array([3, 0, 2]), "zero", "abc") == ["filled 5 missing values (zero): a 3, c 2"]
    assert gaps.said(np.ones(9, int), "zero", "abcdefghi")[0].endswith("h 1, i 1")
    assert gaps.said(np.ones(10, int), "zero", "abcdefghij")[0].endswith("i 1, ...")


def test_what_is_known():
    assert [gaps.check_missing(how) for how in gaps.MISSING] == list(gaps.MISSING)
    with pytest.raises(ValueError, match=r"^missing: expected one of refuse, forward, interpolate, zero, got 'mean'"):
        gaps.check_missing("mean")
