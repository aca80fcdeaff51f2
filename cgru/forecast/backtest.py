"""What forecasts would have been worth: made at several origins in the past from what was known there.

k origins of each series, h = horizon.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from cgru.core.checks import positive
from cgru.core.formatting import figure
from cgru.forecast.forecaster import Forecaster, named, needed, several
from cgru.forecast.series import filled, guess_season
from cgru.many import fit_many

__all__ = ["Backtest", "Settled", "backtest", "settled_season"]

GRU = "GRU"
ERRORS = ("MAE", "RMSE", "MASE")
SHOWN = 3  # seasons in which one shows itself


class Settled(NamedTuple):
    """The season of a forecast, that of its tests, and that which is guessed from all values; 1 for none."""

    season: int
    tested: int
    whole: int


@dataclass(frozen=True)
class Backtest:
    """What `backtest` found. Where there are several series, their origins follow each other in all arrays.

    Attributes:
        origins: how many values of its series were known at each (k,).
        season: how many steps it has, 1 for none.
        widths: how many values the networks read at a time (k,), fewer where little lay before an origin.
        windows: from how many stretches of so many values they learned (k,).
        actual: what came after each origin (k, h), NaN where that is missing.
        forecasts: of each model (k, h): "GRU", "linear", "naive", with a season "seasonal naive".
        errors: of each model its mean absolute error "MAE", the root of its mean squared error "RMSE", and "MASE", its
            MAE over that of the seasonal naive forecast of the next value within what was known, (k,) each. MASE is NaN
            where that is 0; all are where nothing of what came is known, and such an origin is judged nowhere.
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
        """By which error the models are compared: "MASE", or "MAE" where that is not known everywhere."""
        return "MASE" if all(np.isfinite(self._of(model, "MASE")).all() for model in self.errors) else "MAE"

    @property
    def best(self) -> str:
        """The model whose mean error is the lowest."""
        return min(self.errors, key=self._mean)

    @property
    def coverage(self) -> float | None:
        """The share of what came that lay between the outermost quantiles; None without two of them."""
        if self.intervals is None or self.intervals.shape[2] < 2:
            return None
        known = ~np.isnan(self.actual)
        inside = (self.intervals[:, :, 0] <= self.actual) & (self.actual <= self.intervals[:, :, -1])
        return float(inside[known].mean())

    def _of(self, model: str, error: str) -> np.ndarray:
        """One error of the model, at all origins after which something is known."""
        return self.errors[model][error][~np.isnan(self.errors[model]["MAE"])]

    def _mean(self, model: str) -> float:
        return float(self._of(model, self.judge).mean())

    def table(self) -> str:
        """The errors, mean ± standard deviation over the origins, a line a model, the best first."""
        lines = [["", *ERRORS]]
        for model in sorted(self.errors, key=self._mean):
            errors = [self._of(model, name) for name in ERRORS]
            lines.append([model, *(f"{figure(each.mean())} ± {figure(each.std(), 2)}" for each in errors)])
        widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
        return "\n".join("  ".join(map(str.ljust, line, widths)).rstrip() for line in lines)

    def verdict(self) -> str:
        """In words, whether the GRU was better than the others, and how sure that is."""
        judge = self.judge
        other = min((model for model in self.errors if model != GRU), key=self._mean)
        ours, theirs = self._mean(GRU), self._mean(other)
        difference = self._of(GRU, judge) - self._of(other, judge)
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
    likely: Sequence[int] = (),
    threads: int | None = None,
    progress: bool = False,
    **options: Any,
) -> Backtest:
    """Forecast what is known by now from several `origins` in the past, and measure the errors of several models.

    At each origin everything, scales, season, linear model and networks, is made anew from what lies before it. A
    season that is not given is guessed once, from what lies before the first origin.

    y: the series (n,), or a list of several, which one model learns and whose ends are the same moment. X: as for
        `Forecaster.fit`.
    horizon: how many values are forecast at each origin; the last origin leaves as many.
    origins, step: how many, and how many steps from one to the next; None: the horizon, so that no value is forecast
        twice, or fewer where the first half of the series would not stay whole before the first origin.
    likely: lags at which a season is to be expected, as for `guess_season`.
    threads, progress: of `fit_many`, which does the fits of all origins in one call.
    options: what a `Forecaster` takes beside the horizon.

    ValueError for a series that is too short, with what is needed, and as `Forecaster.fit`.
    """
    k = positive(origins, "origins")
    if step is not None:
        positive(step, "step")
    first = Forecaster(horizon, **options)
    found = named(y)
    for name, each in found.items():
        filled(each, first.missing, name)
    series = list(found.values())
    inputs = [None] * len(series) if X is None else list(X) if several(y) else [X]
    season = first.season or guess_season(_before(found, first.horizon, k, step), likely)
    options["season"] = season
    lefts = _lefts(found, first.horizon, k, step, needed(first.horizon, season, first.width))
    actual = np.stack([each[len(each) - left :][: first.horizon] for left in lefts for each in series])
    if np.isnan(actual).all():
        raise ValueError(f"y: expected at least one value after {k} origins, got none")

    made, jobs = [], []
    for left in lefts:
        part = [each[: len(each) - left] for each in series]
        beside = None if X is None else [each[: len(each) - left] for each in inputs]
        forecaster = Forecaster(first.horizon, **options)
        jobs += forecaster.jobs(part, beside, (left,))
        made.append((forecaster, part, beside))
    results = fit_many(jobs, threads=threads, progress=progress)
    size = first.networks
    said: dict[str, list[np.ndarray]] = {}
    intervals, scales = [], []
    for i, (forecaster, part, beside) in enumerate(made):
        forecaster.take(results[i * size : (i + 1) * size])
        for model, values in {GRU: forecaster.predict(part, beside), **forecaster.baselines(part, beside)}.items():
            said.setdefault(model, []).extend(values)
        if first.quantiles:
            intervals += forecaster.predict_quantiles(part, beside)
        scales += [_scale(each, season) for each in part]
    if season == 1:
        del said["seasonal naive"]  # which is the naive one
    forecasts = {model: np.stack(values) for model, values in said.items()}
    errors = {model: _errors(values, actual, np.array(scales)) for model, values in forecasts.items()}
    origins_ = np.array([len(each) - left for left in lefts for each in series])
    bands = np.stack(intervals) if intervals else None
    learned = [(forecaster.width_, forecaster.windows_) for forecaster, _, _ in made]
    widths, windows = np.repeat(learned, len(series), axis=0).T
    return Backtest(origins_, season, widths, windows, actual, forecasts, errors, bands, first.quantiles)


def _lefts(found: dict[str, np.ndarray], horizon: int, k: int, step: int | None, least: int) -> list[int]:
    """Return how many values each of k origins leaves; at the first the shortest series has `least` values or more."""
    name, n = min(((name, len(each)) for name, each in found.items()), key=lambda pair: pair[1])
    room, span = n - horizon - least, (k - 1) * (step or 1)  # from the first origin to the last
    if room < span:
        due = f"at least {least + horizon + span} values for {k} origins and a horizon of {horizon}"
        cure = "fewer origins, or a shorter horizon, season or width, need fewer"
        raise ValueError(f"{name}: expected {due}, got {n}; {cure}")
    if step is None and k > 1:
        step = min(horizon, max(1, min(room, n - horizon - n // 2) // (k - 1)))
    return [horizon + (step or 0) * i for i in reversed(range(k))]


def _before(found: dict[str, np.ndarray], horizon: int, k: int, step: int | None = None) -> np.ndarray:
    """Return what lies, of the longest series, before the first origin as it would be without a season."""
    left = _lefts(found, horizon, k, step, needed(horizon, 1))[0]
    return max(found.values(), key=len)[:-left]


def settled_season(
    y: Sequence[np.ndarray], horizon: int, origins: int, likely: Sequence[int] = (), width: int | None = None
) -> Settled:
    """Choose one season for the tests and the forecast of the series y, each (n,), that `likely` lags suggest.

    It is the one that is guessed from before the first origin, as `backtest` does; without origins that of the whole.
    Where so little lies there that it cannot show a likely season of the whole, that is taken, for the tests too if
    there are values enough.
    """
    found = named(y)
    whole = guess_season(max(found.values(), key=len), likely)
    if not origins:
        return Settled(whole, whole, whole)
    before = _before(found, horizon, origins)
    guessed = guess_season(before, likely)
    if guessed != 1 or whole not in likely or len(before) > SHOWN * whole:
        return Settled(guessed, guessed, whole)
    try:
        _lefts(found, horizon, origins, None, needed(horizon, whole, width))
    except ValueError:
        return Settled(whole, 1, whole)
    return Settled(whole, whole, whole)


def _scale(known: np.ndarray, season: int) -> float:
    """The mean error of the seasonal naive forecast of the next value; NaN where it is 0 or unknown."""
    steps = np.abs(known[season:] - known[:-season])
    steps = steps[~np.isnan(steps)]
    return float(steps.mean()) if steps.any() else np.nan


def _errors(forecasts: np.ndarray, actual: np.ndarray, scales: np.ndarray) -> dict[str, np.ndarray]:
    errors = np.ma.masked_invalid(forecasts - actual)
    mae = np.abs(errors).mean(axis=1).filled(np.nan)
    return {"MAE": mae, "RMSE": np.sqrt((errors**2).mean(axis=1)).filled(np.nan), "MASE": mae / scales}
