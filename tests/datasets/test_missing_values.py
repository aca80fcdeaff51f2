"""What is missing in a sequence."""

import numpy as np
import pytest

from cgru.datasets import Columns
from cgru.datasets.missing_values import INDICATOR, LEFT, MISSING, fill, fill_samples, methods_of, parse_missing

N = np.nan


@pytest.mark.parametrize(
    ("how", "due"),
    [
        ("forward", [[1, 5], [1, 5], [1, 6], [4, 6]]),
        ("interpolate", [[1, 5], [2, 5], [3, 6], [4, 6]]),
        ("zero", [[1, 0], [0, 5], [0, 6], [4, 0]]),
        ("refuse", [[1, N], [N, 5], [N, 6], [4, N]]),
        ("decay", [[1, N], [N, 5], [N, 6], [4, N]]),
    ],
)
def test_they_are_filled(how, due):
    x = np.array([[1, N], [N, 5], [N, 6], [4, N]])
    assert fill(x, [how] * 2, np.zeros(4)) is x
    np.testing.assert_array_equal(x, due)
    alone = np.array([[N, 1], [N, 2]])
    np.testing.assert_array_equal(fill(alone, [how] * 2, np.zeros(2))[:, 0], [0 if how == "zero" else N] * 2)


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_many_samples_are_filled_as_each_alone(dtype):
    """Of different lengths, with NaN behind them, which stay."""
    for seed in range(60):
        rng = np.random.default_rng(seed)
        m, s, e = rng.integers(1, (30, 9, 4))
        X = rng.standard_normal((m, s, e)).astype(dtype)
        X[rng.random(X.shape) < 0.4] = N
        X[rng.random(X.shape) < 0.05] = np.inf
        lengths = rng.integers(1, s + 1, m) if seed % 2 else None
        methods = rng.choice([*MISSING], e).tolist()
        alone = X.copy()
        for x, n in zip(alone, np.full(m, s) if lengths is None else lengths, strict=True):
            fill(x[:n], methods, np.zeros(n))
        filled = [how not in LEFT for how in methods]
        if np.isnan(alone[:, 0][:, filled]).any():
            with pytest.raises(ValueError, match=r"feature \d in sample \d+"):
                fill_samples(X, lengths, methods)
        else:
            fill_samples(X, lengths, methods)
            assert X.tobytes() == alone.tobytes()


@pytest.mark.parametrize(
    ("missing", "text", "methods"),
    [
        ("forward", "forward", ["forward"] * 3), ("a=zero", "a=zero", ["zero", "refuse", "refuse"]),
        ('a = zero, "b,c=interpolate"', 'a=zero,"b,c=interpolate"', ["zero", "interpolate", "refuse"]),
        ("forward,d=zero+indicator", "forward,d=zero+indicator", ["forward", "forward", "zero" + INDICATOR]),
        ({"b,c": "zero+indicator", "": "forward"}, '"b,c=zero+indicator",forward', ["forward", "zero" + INDICATOR,
        "forward"]), ({'5" disk': "zero", "": "refuse"}, '"5"" disk=zero",refuse', None),
        (" a = zero , b,c=interpolate", None, None), ("", None, None), ("a=mean", None, None),
        ("refuse+indicator", None, None), ("a=zero,a=forward", None, None), ("zero,forward", None, None),
        ({"a": None}, None, None),
    ],
    ids=str,
)  # fmt: skip
def test_a_method_for_each_column(missing, text, methods):
    if text is None:
        with pytest.raises(ValueError, match="once for"):
            parse_missing(missing)
        return
    assert Columns(missing=missing).missing == text
    assert Columns(missing=text).missing == text
    assert parse_missing(text) == parse_missing(missing)
    if methods:
        assert methods_of(text, ["a", "b,c", "d"]) == methods
    with pytest.raises(ValueError, match="'none'"):
        methods_of(f"{text},none=zero", ["a", "b,c", "d", '5" disk'])
