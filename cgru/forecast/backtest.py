"""Backtest of a forecaster: its errors, and those of baselines, at several origins in the past.

k origins of each series, h = horizon, q quantiles. An origin is the step after the last known value.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from cgru.core.checks import positive
from cgru.core.formatting import figure
from cgru.forecast.calendar_features import helpful_cycles
from cgru.forecast.forecaster import Forecaster, min_length, series_by_name
from cgru.forecast.historical import History, forecasters_at
from cgru.forecast.series import guess_season

__all__ = ["Backtest", "SeasonChoice", "backtest", "choose_cycles", "choose_season"]

GRU = "GRU"
ERRORS = ("MAE", "RMSE", "MASE")
SHOWN = 3  # seasons that are needed to recognise one


class SeasonChoice(NamedTuple):
    """The season of the forecast, of its backtest (`tested`), and as guessed from all values (`whole`); 1 is none."""

    season: int
    tested: int
    whole: int


@dataclass(frozen=True)
class Backtest:
    """Result of `backtest`: forecasts and errors of each model at each origin.

    With several series, k counts the origins of all of them: at each moment one of each series.

    Attributes:
        origins: the number of values of its series that were known at each origin (k,).
        season: its length in steps, 1 for none.
        widths: the width of the networks' windows (k,), smaller at an origin with few values before it.
        windows: the number of training windows (k,).
        actual: the values after each origin (k, h), NaN where one is missing.
        forecasts: those of each model (k, h): "GRU", "linear", "naive", with a season "seasonal naive".
        errors: by model and name, (k,) each: "MAE", the mean absolute error, "RMSE", the root of the mean squared
            error, and "MASE", the MAE over that of the one-step seasonal naive forecast of the known values. MASE is
            NaN where the latter is 0. All are NaN at an origin without a known value after it, which no mean counts.
        intervals: the quantiles of the GRU (k, h, q); None without `quantiles`.
        quantiles: their levels.
    """

    origins: np.ndarray
    season: int
    widths: np.ndarray
    windows: np.ndarray
    actual: np.ndarray
    forecasts: dict[str, np.ndarray]
    errors: dict[str, dict[str, np.ndarray]]
    intervals: np.ndarray | None
    quantiles: tuple[float, ...]

    @property
    def judge(self) -> str:
        """Return the name of the error that models are compared by: "MASE", or "MAE" if a MASE is NaN."""
        return "MASE" if all(np.isfinite(self._known_errors(model, "MASE")).all() for model in self.errors) else "MAE"

    @property
    def best(self) -> str:
        """Return the name of the model with the lowest mean error."""
        return min(self.errors, key=self._mean)

    @property
    def coverage(self) -> float | None:
        """Return the share of actual values between the lowest and highest quantile; None without two quantiles."""
        if self.intervals is None or self.intervals.shape[2] < 2:
            return None
        known = ~np.isnan(self.actual)
        inside = (self.intervals[:, :, 0] <= self.actual) & (self.actual <= self.intervals[:, :, -1])
        return float(inside[known].mean())

    def _known_errors(self, model: str, error: str) -> np.ndarray:
        """Return an error of a model at the origins with a known value after them."""
        return self.errors[model][error][~np.isnan(self.errors[model]["MAE"])]

    def _mean(self, model: str) -> float:
        """Return the mean over the origins of the error by which models are judged."""
        return float(self._known_errors(model, self.judge).mean())

    def rows(self) -> list[list[str]]:
        """Return the cells of `table`, names of the errors first."""
        lines = [["", *ERRORS]]
        for model in sorted(self.errors, key=self._mean):
            errors = [self._known_errors(model, name) for name in ERRORS]
            lines.append([model, *(f"{figure(each.mean())} ± {figure(each.std(), 2)}" for each in errors)])
        return lines

    def table(self) -> str:
        """Return a text table of the errors, mean ± standard deviation over the origins, the best model first."""
        lines = self.rows()
        widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
        return "\n".join("  ".join(map(str.ljust, line, widths)).rstrip() for line in lines)

    def verdict(self) -> str:
        """Return a sentence that says whether the GRU beats the best other model, and whether that may be chance."""
        judge = self.judge
        other = min((model for model in self.errors if model != GRU), key=self._mean)
        ours, theirs = self._mean(GRU), self._mean(other)
        difference = self._known_errors(GRU, judge) - self._known_errors(other, judge)
        k, wins = len(difference), int((difference < 0).sum())
        sure = k > 2 and abs(difference.mean()) > 2 * difference.std(ddof=1) / np.sqrt(k)
        count = f"the GRU is better at {wins} of {k} origins" + ("" if sure else "; this may be chance")
        if ours < theirs:
            percent = 100 * (1 - ours / theirs)
            return f"the GRU wins: its {judge} is {percent:.1f}% lower than that of the {other} model; {count}"
        lower = f"has a {judge} {100 * (1 - theirs / ours):.1f}% lower" if theirs < ours else f"has the same {judge}"
        return f"the GRU does not win: the {other} model {lower}; {count}"


def backtest(
    y: Any,
    horizon: int,
    origins: int = 10,
    *,
    step: int | None = None,
    X: Any = None,
    known: Any = None,
    likely: Sequence[int] = (),
    threads: int | None = None,
    progress: bool = False,
    **options: Any,
) -> Backtest:
    """Forecast past values of a series from several earlier `origins`, and return the errors of the GRU and baselines.

    At each origin scales, linear model and networks are fitted anew to the values before it. If no season is given, it
    is guessed once from the values before the first origin.

    Args:
        y: the series (n,), or a list of several that end at the same moment, for one model.
        horizon: the number of values to forecast at each origin. The last origin is that many values before the end.
        origins: the number of origins.
        step: the distance from one origin to the next. None: the horizon, so that no value is forecast twice, or less
            so that the first half of the series stays before the first origin.
        X: inputs as for `Forecaster.fit`.
        known: known inputs as for `Forecaster.fit`. A forecast reads them up to the end of its horizon.
        likely: lags at which a season is likely, as for `guess_season`.
        threads: as for `fit_many`, which runs the fits of all origins in one call.
        progress: as for `fit_many`.
        options: arguments of `Forecaster`.

    Raises:
        ValueError: a series is too short, with the length that it needs; and as `Forecaster.fit`.
    """
    k = positive(origins, "origins")
    if step is not None:
        positive(step, "step")
    first = Forecaster(horizon, **options)
    history = History.of(y, X, known, first)
    found, series = history.series, list(history.series.values())
    season = first.season or guess_season(_before_first_origin(found, first.horizon, k, step), likely)
    options["season"] = season
    held_back = _held_back(found, first.horizon, k, step, min_length(first.horizon, season, first.width))
    actual = history.actual(held_back)
    if np.isnan(actual).all():
        raise ValueError(f"y: expected at least one value after {k} origins, got none")

    made = forecasters_at(history, held_back, options, threads=threads, progress=progress)
    forecasts: dict[str, Any] = {}  # lists of (h,), stacked below
    intervals, scales = [], []
    for forecaster, there in made:
        for model, values in {GRU: forecaster.predict(**there), **forecaster.baselines(**there)}.items():
            forecasts.setdefault(model, []).extend(values)
        if first.quantiles:
            intervals += forecaster.predict_quantiles(**there)
        scales += [_mase_scale(each, season) for each in there["y"]]
    if season == 1:
        del forecasts["seasonal naive"]  # the same as "naive"
    forecasts = {model: np.stack(values) for model, values in forecasts.items()}
    errors = {model: _errors(values, actual, np.array(scales)) for model, values in forecasts.items()}
    bands = np.stack(intervals) if intervals else None
    learned = [(forecaster.width_, forecaster.windows_) for forecaster, _ in made]
    widths, windows = np.repeat(learned, len(series), axis=0).T
    return Backtest(
        history.origins(held_back), season, widths, windows, actual, forecasts, errors, bands, first.quantiles
    )


def _held_back(found: dict[str, np.ndarray], horizon: int, k: int, step: int | None, least: int) -> list[int]:
    """Return how many values lie after each of k origins, falling to `horizon`; `least` must lie before the first.

    Raise ValueError if the shortest series has fewer than `least` values before the first origin.
    """
    name, n = min(((name, len(each)) for name, each in found.items()), key=lambda pair: pair[1])
    room, span = n - horizon - least, (k - 1) * (step or 1)  # from the first origin to the last
    if room < span:
        due = f"at least {least + horizon + span} values for {k} origins and a horizon of {horizon}"
        cure = "fewer origins, or a shorter horizon, season or width, need fewer"
        raise ValueError(f"{name}: expected {due}, got {n}; {cure}")
    if step is None and k > 1:
        step = min(horizon, max(1, min(room, n - horizon - n // 2) // (k - 1)))
    return [horizon + (step or 0) * i for i in reversed(range(k))]


def _before_first_origin(found: dict[str, np.ndarray], horizon: int, k: int, step: int | None = None) -> np.ndarray:
    """Return the values of the longest series before the first of k origins, placed as if there were no season."""
    left = _held_back(found, horizon, k, step, min_length(horizon, 1))[0]
    return max(found.values(), key=len)[:-left]


def choose_season(
    y: Sequence[np.ndarray], horizon: int, origins: int, likely: Sequence[int] = (), width: int | None = None
) -> SeasonChoice:
    """Choose the season for both the backtest and the forecast of series y, each (n,); `likely` as of `guess_season`.

    Without origins it is guessed from all values. Else it is guessed from the values before the first origin, as in
    `backtest`. If these are too few to show a likely season that all values show, the latter is taken. The backtest
    takes it, too, if there are enough values.
    """
    found = series_by_name(y)
    whole = guess_season(max(found.values(), key=len), likely)
    if not origins:
        return SeasonChoice(whole, whole, whole)
    before = _before_first_origin(found, horizon, origins)
    guessed = guess_season(before, likely)
    if guessed != 1 or whole not in likely or len(before) > SHOWN * whole:
        return SeasonChoice(guessed, guessed, whole)
    try:
        _held_back(found, horizon, origins, None, min_length(horizon, whole, width))
    except ValueError:
        return SeasonChoice(whole, 1, whole)
    return SeasonChoice(whole, whole, whole)


def choose_cycles(y: Sequence[np.ndarray], times: Sequence[np.ndarray], horizon: int, origins: int) -> tuple[str, ...]:
    """Choose the cycles of the calendar that series y, each (n,) with `times` (n,), are forecast with by default.

    As with the season, the longest series tells, up to the first origin; see `helpful_cycles`.
    """
    try:
        before = _before_first_origin(series_by_name(y), horizon, origins) if origins else max(y, key=len)
    except ValueError:  # too short, as `backtest` says
        return ()
    return helpful_cycles(before, max(times, key=len)[: len(before)])


def _mase_scale(known: np.ndarray, season: int) -> float:
    """Return the mean absolute error of one-step seasonal naive forecasts of `known` (n,); NaN if 0 or unknown."""
    steps = np.abs(known[season:] - known[:-season])
    steps = steps[~np.isnan(steps)]
    return float(steps.mean()) if steps.any() else np.nan


def _errors(forecasts: np.ndarray, actual: np.ndarray, scales: np.ndarray) -> dict[str, np.ndarray]:
    """Return MAE, RMSE and MASE (k,) of forecasts (k, h), ignoring NaN in `actual`; `scales` (k,) divide the MASE."""
    errors = np.ma.masked_invalid(forecasts - actual)
    mae = np.abs(errors).mean(axis=1).filled(np.nan)
    return {"MAE": mae, "RMSE": np.sqrt((errors**2).mean(axis=1)).filled(np.nan), "MASE": mae / scales}
