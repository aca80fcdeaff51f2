"""Forecasts without a network: exponential smoothing by statsmodels, and a climatology.

n values of a series, h = horizon. All look at the known values alone.
"""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np

from cgru.forecast.calendar_features import share_of_year

__all__ = ["climatology", "exponential_smoothing", "why_no_ets"]

SMOOTHED = 500  # values that exponential smoothing is fitted to, or four seasons if these are more
LEAST_SMOOTHED = 10  # values that its heuristic start takes, and a season more
DAYS, HALF_WEEK = 365, 7  # phases of a year of short steps, and how many of them each side share a mean


def why_no_ets() -> str:
    """Return why there is no exponential smoothing, with the cure; "" if statsmodels is installed."""
    try:
        import statsmodels.tsa.holtwinters  # noqa: F401
    except ImportError:
        return "ETS: statsmodels is missing: pip install statsmodels"
    return ""


def exponential_smoothing(y: np.ndarray, season: int, horizon: int) -> np.ndarray:
    """Forecast (h,) by the form of exponential smoothing (ETS) with the lowest AICc, fitted by statsmodels.

    Forms have no or a damped trend, and no, an additive or (if all values are positive) a multiplicative season. The
    last value is repeated if none can be fitted.
    """
    from statsmodels.tsa.holtwinters import ExponentialSmoothing

    y = y[-max(SMOOTHED, 4 * season) :]
    unit = np.abs(y).max() or 1.0
    seasonal: list[str | None] = [None]
    if season > 1 and len(y) >= max(2 * season, LEAST_SMOOTHED + season + 1):
        seasonal += ["add", "mul"] if y.min() > 0 else ["add"]
    best, found = np.inf, np.full(horizon, y[-1])
    for kind in seasonal if len(y) >= LEAST_SMOOTHED and np.ptp(y) > 1e-9 * unit else ():
        for trend in (None, "add"):
            options: dict[str, Any] = {"trend": trend, "damped_trend": trend is not None, "seasonal": kind}
            options |= {"seasonal_periods": season, "initialization_method": "heuristic"}
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # of fits that have not converged, which AICc judges
                fitted = ExponentialSmoothing(y / unit, **options).fit()
                values = fitted.forecast(horizon) * unit
            if fitted.aicc < best and np.isfinite(values).all():
                best, found = fitted.aicc, values
    return found


def climatology(y: np.ndarray, season: int, horizon: int, times: np.ndarray | None = None) -> np.ndarray:
    """Forecast (h,) by the mean of y (n,) at the same time of the year, plus the mean of the rest by phase of season.

    The time of the year is a month, week, or quarter. Of shorter steps it is a day, whose mean is that of the days
    within a week of it. Without more than a year of `times` (n,) the mean of all values is used instead.
    """
    n = len(y)
    base = np.full(n + horizon, y.mean())
    years = np.empty(0) if times is None else times.astype("datetime64[Y]").astype(np.int64) + share_of_year(times)
    span = np.ptp(years) if n > 2 and len(years) else 0
    if 1 < span <= (n - 1) / 2:  # in steps of half a year at most
        step = span / (n - 1)
        years = np.r_[years, years[-1] + step * np.arange(1, horizon + 1)]
        size = min(round(1 / step), DAYS)
        phases = np.round((years - years[0]) * size).astype(np.int64) % size
        near = HALF_WEEK * size // DAYS if size == DAYS else 0
        sums, counts = (
            sum(np.roll(np.bincount(phases[:n], each, size), shift) for shift in range(-near, near + 1))
            for each in (y, np.ones(n))
        )
        base = np.where(counts > 0, sums / np.maximum(counts, 1), y.mean())[phases]
    phases = np.arange(n + horizon) % season
    rest = np.bincount(phases[:n], y - base[:n], season) / np.maximum(np.bincount(phases[:n], None, season), 1)
    return (base + rest[phases])[n:]
