"""Checks of arrays: finite numbers within bounds, in every dtype and layout."""

import numpy as np
import pytest

from cgru.core.checks import within

LAYOUTS = {
    "contiguous": lambda a: a,
    "every other": lambda a: np.repeat(a, 2)[::2],
    "swapped": lambda a: a.astype(a.dtype.newbyteorder()),
    "read-only": lambda a: np.frombuffer(a.tobytes(), a.dtype),
    "two axes": lambda a: a.reshape(-1, 1),
}


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("dtype", ["float16", "float32", "float64", "int8", "int64", "uint64", "bool"])
def test_numbers_within_bounds(dtype, layout):
    for n in (1, 7, 33):
        a = np.ones(n, dtype)
        assert within(LAYOUTS[layout](a))
        assert within(LAYOUTS[layout](a), 0, 1)
        assert within(LAYOUTS[layout](a), 1, 1)
        if dtype != "bool":
            a[-1] = 3
        assert within(LAYOUTS[layout](a))
        assert within(LAYOUTS[layout](a), 0, 2) == (dtype == "bool")
        assert within(LAYOUTS[layout](a), 2, 3) == (n == 1 and dtype != "bool")


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("dtype", ["float16", "float32", "float64"])
def test_what_is_not_finite_is_within_no_bounds(dtype, layout):
    for n in (1, 7, 33):
        for bad in (np.nan, np.inf, -np.inf):
            for place in {0, n // 2, n - 1}:
                a = np.zeros(n, dtype)
                a[place] = bad
                assert not within(LAYOUTS[layout](a))
                assert not within(LAYOUTS[layout](a), -1, 1)
        limits = np.finfo(dtype)
        assert within(LAYOUTS[layout](np.full(n, limits.max)))
        assert within(LAYOUTS[layout](np.full(n, limits.min)))
        assert within(LAYOUTS[layout](np.full(n, -limits.tiny)))
        assert not within(LAYOUTS[layout](np.full(n, -limits.tiny)), 0, 1)


def test_nothing_is_within_any_bounds():
    assert within(np.zeros((0, 3)))
    assert within(np.zeros((0, 3), np.int64), 1, 2)
