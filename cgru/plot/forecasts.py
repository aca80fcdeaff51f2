"""Plot of a forecast: the last values of a series, what comes next with its interval, earlier forecasts.

n values, h steps of the horizon, k earlier origins, q quantiles.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike

from cgru.core.checks import positive
from cgru.plot.panels import DARK, LIGHT, panels_of

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["forecast"]


def forecast(
    y: ArrayLike,
    values: ArrayLike,
    *,
    intervals: ArrayLike | None = None,
    band: str = "interval",
    actual: ArrayLike | None = None,
    past: tuple[ArrayLike, ArrayLike] | None = None,
    times: ArrayLike | None = None,
    shown: int | None = None,
    axes: Any = None,
) -> Figure:
    """Plot the last values of a series and its forecast, dashed, with an interval, actual values and earlier forecasts.

    Args:
        y: the series (n,), with NaN for a missing value.
        values: the forecast of the values after it (h,).
        intervals: its quantiles (h, q), of which the first and the last bound a band.
        band: the name of the band in the legend.
        actual: the values after y that are known meanwhile, h of them or fewer.
        past: the origins (k,) of earlier forecasts, as numbers of values before them, and these forecasts (k, any), as
            `backtest` returns them.
        times: datetimes or numbers (n + h,) of the steps of y and of the forecast; None: 0, 1, ...
        shown: how many of the last values of y to plot; None: all.
        axes: matplotlib's axes to draw into, without a legend. None: a new figure with a legend.

    Returns:
        The figure.

    Raises:
        TypeError, ValueError: shapes do not fit; nothing is drawn.
        ImportError: matplotlib is not installed.

    Examples:
        >>> figure = cgru.plot.forecast(np.arange(20) % 4, [0.5, 1.5], intervals=[[0, 1], [1, 2]], actual=[0, 1])
        >>> [text.get_text() for text in figure.legends[0].get_texts()]
        ['known', 'interval', 'forecast', 'actual']
    """
    y, values = _row(y, "y"), _row(values, "values")
    n, h = len(y), len(values)
    bounds = values[:, None] if intervals is None else np.asarray(intervals, float)
    if bounds.ndim != 2 or len(bounds) != h:
        raise ValueError(f"intervals: expected ({h}, q), a row for each of the values, got {bounds.shape}")
    real = np.empty(0) if actual is None else _row(actual, "actual")
    if len(real) > h:
        raise ValueError(f"actual: expected at most {h} values, as many as the forecast has, got {len(real)}")
    origins, forecasts = _past(past, n)
    steps = np.arange(n + h) if times is None else np.asarray(times)
    if steps.shape != (n + h,):
        raise ValueError(f"times: expected ({n + h},), of y and the forecast, got {steps.shape}")
    begin = 0 if shown is None else max(0, n - positive(shown, "shown"))
    (axis,) = panels_of(axes, 1, 1, (7, 4.5))

    axis.plot(steps[begin:n], y[begin:], color="0.55", label="known")
    joined = np.vstack([np.full_like(bounds[:1], y[-1]), bounds])  # from the last value on
    if bounds.shape[1] > 1:
        axis.fill_between(steps[n - 1 :], joined[:, 0], joined[:, -1], color="0.85", label=band)
    axis.plot(steps[n - 1 :], np.r_[y[-1], values], "--", color="black", label="forecast")
    if len(real):
        axis.plot(steps[n - 1 : n + len(real)], np.r_[y[-1], real], color=DARK, label="actual")
    label = "earlier forecasts"
    for origin, row in zip(origins, forecasts, strict=True):
        if origin >= begin:
            axis.plot(steps[origin:][: len(row)], row[: n + h - origin], color=LIGHT, linewidth=1, label=label)
            label = None
    if axes is None:
        axis.figure.legend(loc="outside lower center", ncols=4, fontsize="small")
    return axis.figure


def _row(values: Any, name: str) -> np.ndarray:
    """Return `values` as floats (n,), at least one."""
    found = np.asarray(values, float)
    if found.ndim != 1 or not len(found):
        raise ValueError(f"{name}: expected numbers (n,), at least one, got shape {found.shape}")
    return found


def _past(past: Any, n: int) -> tuple[Any, Any]:
    """Return the origins (k,) of earlier forecasts, checked to lie in a series of n values, and the forecasts."""
    if past is None:
        return (), ()
    origins, forecasts = (np.asarray(each) for each in past)
    if origins.ndim != 1 or forecasts.ndim != 2 or len(forecasts) != len(origins):
        raise ValueError(f"past: expected origins (k,) and forecasts (k, h), got {origins.shape}, {forecasts.shape}")
    if origins.dtype.kind not in "iu" or ((origins < 1) | (origins > n)).any():
        raise ValueError(f"past: expected origins from 1 to {n}, numbers of values of y, got {origins}")
    return origins, forecasts
