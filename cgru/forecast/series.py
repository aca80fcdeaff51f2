"""A series: what it must be, its windows, its season. n values, m windows of `width` steps, then `horizon` to come."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from cgru.core.checks import positive

__all__ = ["autocorrelation", "checked", "filled", "guess_season", "seasonal_naive", "windows"]

LIKELY, ANY = 0.2, 0.3  # autocorrelations above which a season is believed: one that was to be expected, and any other


def checked(values: Any, name: str, ndim: int = 1) -> np.ndarray:
    """`values` (n,), or (n, e) for ndim 2, as float64, NaN where one is missing, or masked; TypeError or ValueError for
    others.
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
        raise ValueError(f"{name}: expected numbers up to 1e100, got {array[place]} at {_place(place)}")
    return array


def _place(place: tuple[int, ...]) -> str:
    return ", ".join(map(str, place))


def filled(values: np.ndarray, missing: str, name: str) -> np.ndarray:
    """`values` (n,) or (n, e) without NaN.

    With `missing` "refuse" ValueError, with the place, where there is one; with "interpolate" they lie on the line
    between their neighbours, and at an end they are the nearest value. What a cell gets depends on what comes after
    it, so fill what is known at an origin, never the whole series.
    """
    lost = np.isnan(values)
    if not lost.any():
        return values
    if missing == "refuse":
        place = _place(tuple(np.argwhere(lost)[0].tolist()))
        raise ValueError(f'{name}: expected a value at each step, got none at {place}; missing="interpolate" fills it')
    columns = values.reshape(len(values), -1).copy()
    for column in columns.T:
        known = np.flatnonzero(~np.isnan(column))
        if not known.size:
            raise ValueError(f"{name}: expected at least one value, got none in {len(column)} steps")
        column[:] = np.interp(np.arange(len(column)), known, column[known])
    return columns.reshape(values.shape)


def windows(series: Any, width: int, horizon: int) -> tuple[np.ndarray, np.ndarray]:
    """Every stretch of a series of `width` steps, and the `horizon` that follow it, the oldest first.

    series: (n,), or (n, e). Both returned arrays are views: (m, width) and (m, horizon), of (n, e) with e as the last
    axis; m = n - width - horizon + 1. ValueError where that is none.
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
    """The last `season` values of each row of `past` (m, width), over and over: (m, horizon). 1: the last value."""
    return past[:, past.shape[1] - season + np.arange(horizon) % season]


def autocorrelation(y: np.ndarray) -> np.ndarray:
    """Of y (n,) less its straight line, at lags 0 to n / 2; zeros where nothing is left of it."""
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
    """How many steps a season of y (n,) has, by its autocorrelation; 1 where there is none.

    Where some lags are `likely` (12 of months), the first at which the autocorrelation has a peak above 0.2, or above
    0.3 where there are but two such seasons, and no other; else, of all its peaks above 0.3 and up to a third of the
    series, the first that chance may have kept below the highest.
    """
    r = autocorrelation(filled(checked(y, "y"), "interpolate", "y"))
    peaks = [k for k in range(2, len(r) - 1) if r[k] > max(r[k - 1], LIKELY) and r[k] >= r[k + 1]]
    third = len(y) // 3
    if likely:
        return next((k for k in likely if k in peaks and (k < third or r[k] > ANY)), 1)
    peaks = [k for k in peaks if k < third and r[k] > ANY]
    high = max((r[k] for k in peaks), default=0.0)
    return next((k for k in peaks if r[k] > high - 2 / np.sqrt(len(y))), 1)  # two standard errors of an autocorrelation
