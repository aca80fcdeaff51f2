"""Forecasts from origins in the past of series, each made of what was known there: `historical_forecasts`.

k origins of each series, n values, h = horizon, q quantiles, c known inputs. An origin is the step after the last known
value; it is given by the number of values that lie after it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from cgru.core.checks import positive
from cgru.forecast.forecaster import Forecaster, inputs_by_name, min_length, series_by_name
from cgru.forecast.series import fill_missing, guess_season
from cgru.many import fit_many

__all__ = ["HistoricalForecasts", "History", "forecasters_at", "historical_forecasts"]


@dataclass(frozen=True)
class History:
    """Series that end at one moment, checked, with their inputs, to be cut at origins.

    Attributes:
        series: each series (n,) by its name in errors.
        X: the inputs beside each (n, e), or None.
        known: the known inputs of each (n or n + h, c), or None.
        horizon: h.
    """

    series: dict[str, np.ndarray]
    X: list[np.ndarray] | None
    known: list[np.ndarray] | None
    horizon: int

    @classmethod
    def of(cls, y: Any, X: Any, known: Any, settings: Forecaster) -> History:
        """Check series and known inputs as `settings` treat missing values; raise as `Forecaster.fit`."""
        series = series_by_name(y)
        for name, each in series.items():
            fill_missing(each, settings.missing, name)
        lengths = list(map(len, series.values()))
        if X is not None:  # gaps are filled at each origin, of what is known there
            X = list(inputs_by_name("X", X, y, lengths, (0,)).values())
        if known is not None:
            checked = inputs_by_name("known", known, y, lengths, (0, settings.horizon))
            known = [fill_missing(each, settings.missing, name) for name, each in checked.items()]
        return cls(series, X, known, settings.horizon)

    @property
    def columns(self) -> dict[str, int]:
        """Return how many columns X and known inputs have, by their names as arguments."""
        given = {"X": self.X, "known": self.known}
        return {name: 0 if each is None else each[0].shape[1] for name, each in given.items()}

    def until(self, left: int) -> dict[str, Any]:
        """Return what is known at the origin, as arguments of `Forecaster.predict`."""
        ends = [len(each) - left for each in self.series.values()]
        X = self.X and [each[:end] for each, end in zip(self.X, ends, strict=True)]
        known = self.known and [each[: end + self.horizon] for each, end in zip(self.known, ends, strict=True)]
        return {"y": [each[:end] for each, end in zip(self.series.values(), ends, strict=True)], "X": X, "known": known}

    def actual(self, held_back: Sequence[int]) -> np.ndarray:
        """Return the values after each origin of each series (k, h)."""
        values = self.series.values()
        return np.stack([each[len(each) - left :][: self.horizon] for left in held_back for each in values])

    def origins(self, held_back: Sequence[int]) -> np.ndarray:
        """Return the number of values before each origin of each series (k,)."""
        return np.array([len(each) - left for left in held_back for each in self.series.values()])


def forecasters_at(
    history: History, held_back: Sequence[int], options: dict[str, Any], *, refit: bool = True, **running: Any
) -> list[tuple[Forecaster, dict[str, Any]]]:
    """Return for each origin a fitted forecaster, and what is known there as arguments of its `predict`.

    Args:
        history: the series.
        held_back: the number of values after each origin, the earliest origin first.
        options: arguments of `Forecaster`.
        refit: fit one for each origin, to what is known there; False: one for all, to what is known at the first.
        running: arguments of `fit_many`, which runs all fits in one call.
    """
    known = [history.until(left) for left in held_back]
    models = [Forecaster(history.horizon, **options) for _ in (held_back if refit else held_back[:1])]
    jobs = [job for i, each in enumerate(models) for job in each.jobs(**known[i], name=(held_back[i],))]
    results, size = fit_many(jobs, **running), models[0].networks
    for i, each in enumerate(models):
        each.take(results[i * size : (i + 1) * size])
    return list(zip(models if refit else models * len(known), known, strict=True))


@dataclass(frozen=True)
class HistoricalForecasts:
    """Forecasts that `historical_forecasts` made at origins in the past, beside the actual values.

    With several series, k counts the origins of all of them: at each moment one of each series.

    Attributes:
        origins: the number of values of its series that were known at each origin (k,).
        season: its length in steps, 1 for none.
        actual: the values after each origin (k, h), NaN where one is missing.
        forecasts: the forecasts of these values (k, h). `forecasts[:, -1]` are those of the last step alone.
        intervals: the quantiles (k, h, q); None without `quantiles`.
        quantiles: their levels.

    Examples:
        >>> y = np.arange(48) % 4
        >>> found = cgru.forecast.historical_forecasts(y, 2, start=40, season=4, networks=1, epochs=1)
        >>> found.actual.tolist()
        [[0.0, 1.0], [2.0, 3.0], [0.0, 1.0], [2.0, 3.0]]
    """

    origins: np.ndarray
    season: int
    actual: np.ndarray
    forecasts: np.ndarray
    intervals: np.ndarray | None
    quantiles: tuple[float, ...]


def historical_forecasts(
    y: Any,
    horizon: int,
    *,
    start: float | None = None,
    stride: int | None = None,
    refit: bool = True,
    X: Any = None,
    known: Any = None,
    likely: Sequence[int] = (),
    threads: int | None = None,
    progress: bool = False,
    **options: Any,
) -> HistoricalForecasts:
    """Return the forecasts that a `Forecaster` would have made in the past, each of what was known at its origin.

    `backtest` compares such forecasts with baselines. If no season is given, it is guessed once from the values before
    the first origin.

    Args:
        y: the series (n,), or a list of several that end at the same moment, for one model.
        horizon: the number of values to forecast at each origin. No origin has fewer values after it.
        start: the number of values before the first origin of the shortest series, or as a float below 1 their share.
            None: half of the series, or more where a fit needs more.
        stride: the distance from one origin to the next; None: the horizon, so that no value is forecast twice.
        refit: fit anew at each origin, to the values before it; False: once, to those before the first origin.
        X: inputs as for `Forecaster.fit`.
        known: known inputs as for `Forecaster.fit`. A forecast reads them up to the end of its horizon.
        likely: lags at which a season is likely, as for `guess_season`.
        threads: as for `fit_many`, which runs all fits in one call.
        progress: as for `fit_many`.
        **options: arguments of `Forecaster`.

    Returns:
        The forecasts and the actual values.

    Raises:
        TypeError, ValueError: too few values lie before the first origin or after it; another argument is invalid; and
            as from `Forecaster.fit`.

    Examples:
        >>> y = np.arange(48) % 4
        >>> found = cgru.forecast.historical_forecasts(y, 2, start=40, refit=False, season=4, networks=1, epochs=1)
        >>> found.origins.tolist(), found.forecasts.shape
        ([40, 42, 44, 46], (4, 2))
    """
    settings = Forecaster(horizon, **options)
    stride = settings.horizon if stride is None else positive(stride, "stride")
    history = History.of(y, X, known, settings)
    name, n = min(((name, len(each)) for name, each in history.series.items()), key=lambda pair: pair[1])
    first = _count(start, n)
    longest = max(history.series.values(), key=len)
    season = settings.season or guess_season(longest[: len(longest) - n + first], likely)
    least, most = min_length(settings.horizon, season, settings.width), n - settings.horizon
    if least > most:
        due = f"at least {least + settings.horizon} values for an origin and a horizon of {settings.horizon}"
        raise ValueError(f"{name}: expected {due}, got {n}; a shorter horizon, season or width needs fewer")
    if start is None:
        first = min(max(first, least), most)
    if not least <= first <= most:
        raise ValueError(f"start: expected {least} to {most} of the {n} values of {name}, got {first}")
    held_back = range(n - first, settings.horizon - 1, -stride)
    made = forecasters_at(
        history, held_back, options | {"season": season}, refit=refit, threads=threads, progress=progress
    )
    forecasts = [values for model, known_there in made for values in model.predict(**known_there)]
    bands = [values for model, there in made if model.quantiles for values in model.predict_quantiles(**there)]
    return HistoricalForecasts(
        history.origins(held_back),
        season,
        history.actual(held_back),
        np.stack(forecasts),
        np.stack(bands) if bands else None,
        settings.quantiles,
    )


def _count(start: Any, n: int) -> int:
    """Return how many of n values lie before the first origin, by the argument `start`; None: half of them."""
    if start is None:
        return (n + 1) // 2
    if isinstance(start, float) and 0 < start < 1:
        return max(1, int(start * n + 1e-9))  # 0.29 * 100 is below 29
    return positive(start, "start")
