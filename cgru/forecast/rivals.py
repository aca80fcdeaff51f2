"""Forecasts without a network, for the backtest: exponential smoothing, a climatology, a linear model of two seasons.

n values of a series, h = horizon. All look at the known values alone.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Collection
from typing import Any

import numpy as np

from cgru.forecast.linear import ridge
from cgru.forecast.series import guess_season, seasonal_naive, windows

__all__ = [
    "CLIMATOLOGY",
    "ETS",
    "RIVALS",
    "TWO_SEASONS",
    "climatology",
    "dates_of",
    "guess_second",
    "rivals",
    "why_no_ets",
]

RIVALS = ETS, CLIMATOLOGY, TWO_SEASONS = "ETS", "climatology", "two seasons"

SMOOTHED = 500  # values that exponential smoothing is fitted to, or four seasons if these are more
LEAST_SMOOTHED = 10  # values that its heuristic start takes, and a season more
DAYS, HALF_WEEK = 365, 7  # phases of a year of short steps, and how many of them each side share a mean
MIN_WINDOWS = 20  # training windows of two seasons


def rivals(
    y: np.ndarray,
    horizon: int,
    season: int,
    second: int,
    times: np.ndarray | None,
    width: int,
    names: Collection[str],
) -> dict[str, np.ndarray]:
    """Return the forecasts (h,) after y (n,) by the rivals of these names.

    Args:
        y: the known values.
        horizon: h.
        season: the length of the season in steps, 1 for none.
        second: that of a longer one, 1 for none, without which no model has two seasons.
        times: the dates (n,) of y, None for unknown ones.
        width: the last values that the linear model of two seasons reads.
        names: the names of models, others among them.
    """
    made: dict[str, Callable[[], np.ndarray]] = {
        ETS: lambda: exponential_smoothing(y, season, horizon),
        CLIMATOLOGY: lambda: climatology(y, season, horizon, times),
        TWO_SEASONS: lambda: two_seasons(y, season, second, horizon, width),
    }
    return {name: make() for name, make in made.items() if name in names}


# --- exponential smoothing ---


def why_no_ets() -> str:
    """Return why there is no exponential smoothing, with the cure; "" if statsmodels is installed."""
    try:
        import statsmodels.tsa.holtwinters  # noqa: F401
    except ImportError:
        return f"{ETS}: statsmodels is missing: pip install statsmodels"
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


# --- climatology ---


def dates_of(times: Any, series: dict[str, np.ndarray], are_several: bool) -> list[np.ndarray | None]:
    """Return the times (n,) of each series by name, in seconds; None for those without dates.

    Raise TypeError or ValueError, with the name, for other types, shapes, or times that do not rise.
    """
    if times is None:
        return [None] * len(series)
    times, found = list(times) if are_several else [times], []
    if len(times) != len(series):
        raise ValueError(f"times: expected those of {len(series)} series, got {len(times)}")
    for (name, y), each in zip(series.items(), times, strict=True):
        name = name.replace("y", "times")
        array = np.asarray(each)
        if array.dtype.kind != "M":
            raise TypeError(f"{name}: expected datetime64, got dtype {array.dtype}")
        if array.shape != y.shape:
            raise ValueError(f"{name}: expected shape {y.shape}, as its series, got {array.shape}")
        array = array.astype("datetime64[s]")
        if np.isnat(array).any() or (np.diff(array) <= np.timedelta64(0, "s")).any():
            raise ValueError(f"{name}: expected times that rise, got {array[0]} to {array[-1]}")
        found.append(array)
    return found


def _year_position(times: np.ndarray) -> np.ndarray:
    """Return times (n,) as years since 1970, with fractions."""
    years = times.astype("datetime64[Y]")
    starts, ends = (each.astype("datetime64[s]") for each in (years, years + np.timedelta64(1, "Y")))
    return years.astype(np.int64) + (times - starts) / (ends - starts)


def _has_years(times: np.ndarray | None) -> bool:
    """Return whether times hold more than one year, in steps of half a year at most."""
    if times is None or len(times) < 3:
        return False
    years = _year_position(times)
    return years[-1] - years[0] > 1 and years[-1] - years[0] <= (len(years) - 1) / 2


def climatology(y: np.ndarray, season: int, horizon: int, times: np.ndarray | None = None) -> np.ndarray:
    """Forecast (h,) by the mean of y (n,) at the same time of the year, plus the mean of the rest by phase of season.

    The time of the year is a month, week, ... of its own, and of shorter steps a day, whose mean is that of the days
    within a week of it. Without more than a year of `times` (n,) the mean of all values stands for that of the year.
    """
    n = len(y)
    base = np.full(n + horizon, y.mean())
    if _has_years(times):
        years = _year_position(times)
        step = (years[-1] - years[0]) / (n - 1)
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


# --- two seasons ---


def guess_second(y: np.ndarray, season: int, likely: tuple[int, ...] = ()) -> int:
    """Return the length of a second, longer season of y (n,), guessed from what the mean of the first leaves; 1: none.

    It is one of the `likely` lags that are longer than `season`, if there are some, else any.
    """
    phases = np.arange(len(y)) % season
    rest = y - (np.bincount(phases, y) / np.bincount(phases))[phases]
    found = guess_season(rest, [lag for lag in likely if lag > season])
    return found if found > season else 1


def two_seasons(y: np.ndarray, season: int, second: int, horizon: int, width: int) -> np.ndarray:
    """Forecast (h,) by a ridge regression on the last `width` values and those a `second` season before each to come.

    The last second season is repeated if that leaves less than twenty training windows; the first in a shorter series.
    """
    size = max(width, second)
    if len(y) < size + horizon + MIN_WINDOWS:
        return seasonal_naive(y[None], second if second <= len(y) else season, horizon)[0]
    past, future = windows(y, size, horizon)
    read = np.r_[size - width : size, size - second + np.arange(min(horizon, second))]  # whole windows may be too many
    past = np.vstack([past[:, read], y[-size:][read]])
    level = past[:, width - 1 : width]
    scale = np.abs(y).mean() or 1.0
    A = (past - level) / scale
    deviation = A.std(axis=0)
    A = A / np.where(deviation > 1e-12 * np.abs(A).max(axis=0), deviation, 1)  # but for columns of one value
    rows = len(future)
    weights, bias = ridge(A[:-1], (future - level[:-1]) / scale, np.arange(rows) >= rows - rows // 5)
    return (A[-1] @ weights + bias) * scale + level[-1]
