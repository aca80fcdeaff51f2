"""Helpers for one series: checks, filling of missing values, windows, season.

n values, e inputs, m windows of `width` steps, each followed by `horizon` values to forecast.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from cgru.core.checks import positive

__all__ = ["MIN_OTHER", "as_float64", "autocorrelation", "fill_missing", "guess_season", "seasonal_naive", "windows"]

MIN_EXPECTED, MIN_OTHER = 0.2, 0.3  # autocorrelation that a season needs: one at a likely lag, and any other


def as_float64(values: Any, name: str, ndim: int = 1) -> np.ndarray:
    """Return `values` (n,), or (n, e) for ndim 2, as a float64 array, with NaN where one is masked.

    Raise TypeError if they are no real numbers, ValueError for another shape, infinities or numbers above 1e100.
    """
    if isinstance(values, np.ma.MaskedArray) and values.dtype.kind in "biuf":
        values = values.astype(np.float64).filled(np.nan)
    array = np.asarray(values)
    if array.dtype.kind not in "biuf":
        raise TypeError(f"{name}: expected real numbers, got dtype {array.dtype}")
    if array.ndim != ndim or not array.size:
        due = ("(n,)", "(n, e)")[ndim - 1]
        raise ValueError(f"{name}: expected shape {due} and at least one value, got {array.shape}")
    array = array.astype(np.float64)
    wild = np.argwhere(np.isinf(array) | (np.abs(array) > 1e100))
    if wild.size:
        place = tuple(wild[0].tolist())
        raise ValueError(f"{name}: expected numbers up to 1e100, got {array[place]} at {_format_index(place)}")
    return array


def _format_index(index: tuple[int, ...]) -> str:
    """Return the indices of an array's element as text, joined with commas."""
    return ", ".join(map(str, index))


def fill_missing(values: np.ndarray, missing: str, name: str) -> np.ndarray:
    """Return `values` (n,) or (n, e) with each NaN filled, or refused.

    `missing` "refuse" raises ValueError with the place of the first NaN. "interpolate" fills linearly between the
    neighbours, and at both ends with the nearest value. This looks ahead: pass only what is known at a forecast's
    origin, never the whole series.
    """
    lost = np.isnan(values)
    if not lost.any():
        return values
    if missing == "refuse":
        place = _format_index(tuple(np.argwhere(lost)[0].tolist()))
        raise ValueError(f'{name}: expected a value at each step, got none at {place}; missing="interpolate" fills it')
    columns = values.reshape(len(values), -1).copy()
    for column in columns.T:
        known = np.flatnonzero(~np.isnan(column))
        if not known.size:
            raise ValueError(f"{name}: expected at least one value, got none in {len(column)} steps")
        column[:] = np.interp(np.arange(len(column)), known, column[known])
    return columns.reshape(values.shape)


def windows(series: Any, width: int, horizon: int) -> tuple[np.ndarray, np.ndarray]:
    """Return all sliding windows of `width` steps of a series, and the `horizon` values after each, the oldest first.

    Args:
        series: (n,) or (n, e).
        width: steps of a window.
        horizon: steps that follow it.

    Returns:
        Two views, (m, width) and (m, horizon), of a series (n, e) with a last axis e; m = n - width - horizon + 1.

    Raises:
        TypeError, ValueError: the series is shorter than `width` + `horizon`, or has another shape, or a size is no
            positive integer.

    Examples:
        >>> past, future = cgru.forecast.windows(np.arange(6), 3, 2)
        >>> past.tolist(), future.tolist()
        ([[0, 1, 2], [1, 2, 3]], [[3, 4], [4, 5]])
    """
    values = np.asarray(series)
    width, horizon = positive(width, "width"), positive(horizon, "horizon")
    if values.ndim not in (1, 2):
        raise ValueError(f"series: expected shape (n,) or (n, e), got {values.shape}")
    if len(values) < width + horizon:
        due = f"at least {width + horizon} values for a width of {width} and a horizon of {horizon}"
        raise ValueError(f"series: expected {due}, got {len(values)}")
    whole = np.moveaxis(np.lib.stride_tricks.sliding_window_view(values, width + horizon, axis=0), -1, 1)
    return whole[:, :width], whole[:, width:]


def seasonal_naive(past: np.ndarray, season: int, horizon: int) -> np.ndarray:
    """Forecast by repeating the last season of each row.

    Args:
        past: the known values (m, width), at least a season each.
        season: the length of the season; 1 repeats the last value.
        horizon: the number of values to forecast.

    Returns:
        The forecasts (m, horizon).

    Raises:
        ValueError: `past` has one axis, or its rows are shorter than a season.

    Examples:
        >>> cgru.forecast.seasonal_naive(np.array([[9, 1, 2, 3]]), 3, 5).tolist()
        [[1, 2, 3, 1, 2]]
    """
    if past.ndim < 2 or past.shape[1] < season:
        raise ValueError(f"past: expected (m, width) with a width of at least {season}, got shape {past.shape}")
    return past[:, past.shape[1] - season + np.arange(horizon) % season]


def autocorrelation(y: np.ndarray) -> np.ndarray:
    """Return the autocorrelation of y (n,) at lags 0 to n / 2, after removing its linear trend.

    The sums are computed by an FFT padded to 2 n. All zeros if y is a straight line.
    """
    n = len(y)
    t = np.arange(n) - (n - 1) / 2
    rest = y - y.mean()
    rest = rest - t * (t @ rest) / (t @ t or 1)
    if np.abs(rest).max() <= 1e-9 * np.abs(y).max():
        return np.zeros(n // 2 + 1)
    power = np.abs(np.fft.rfft(rest / np.abs(rest).max(), 2 * n)) ** 2
    sums = np.fft.irfft(power)[: n // 2 + 1]
    return sums / sums[0] * n / (n - np.arange(len(sums)))


def guess_season(y: Any, likely: Sequence[int] = ()) -> int:
    """Guess the length of a season of y in steps, from its autocorrelation.

    If some lags are `likely`, only these are considered. The first with a peak above 0.2 is taken, or above 0.3 if the
    lag is a third of the series or longer. Without likely lags, peaks above 0.3 at lags below a third of the series are
    considered. The first is taken that is at most two standard errors, 2 / sqrt(n), below the highest.

    The autocorrelation is that of the rest x after removing the linear trend, at lag k
    r_k = (sum x_t x_(t + k) / (n - k)) / (sum x_t^2 / n).

    Args:
        y: the series (n,); missing values are interpolated.
        likely: lags at which a season is likely, such as 12 for months.

    Returns:
        The length; 1 if the series shows no season.

    Raises:
        TypeError, ValueError: y is no series of real numbers.

    Examples:
        >>> cgru.forecast.guess_season(np.sin(np.arange(60) * np.pi / 6))
        12
        >>> cgru.forecast.guess_season(np.arange(60) ** 2)
        1
    """
    r = autocorrelation(fill_missing(as_float64(y, "y"), "interpolate", "y"))
    peaks = [k for k in range(2, len(r) - 1) if r[k] > max(r[k - 1], MIN_EXPECTED) and r[k] >= r[k + 1]]
    third = len(y) // 3
    if likely:
        return next((k for k in likely if k in peaks and (k < third or r[k] > MIN_OTHER)), 1)
    peaks = [k for k in peaks if k < third and r[k] > MIN_OTHER]
    high = max((r[k] for k in peaks), default=0.0)
    return next((k for k in peaks if r[k] > high - 2 / np.sqrt(len(y))), 1)  # two standard errors of an autocorrelation
