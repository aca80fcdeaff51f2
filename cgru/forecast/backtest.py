"""Backtest of a forecaster: its errors, and those of baselines, at several origins in the past.

k origins of each series, h = horizon, q quantiles. An origin is the step after the last known value.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np

from cgru.core.checks import positive
from cgru.core.formatting import figure
from cgru.forecast.calendar_features import helpful_cycles
from cgru.forecast.delivery import GRU, MEAN, Delivery, check_model, forecast_all, models_of, widen, widening
from cgru.forecast.forecaster import Forecaster, is_list_of_series, min_length, series_by_name
from cgru.forecast.historical import History, forecasters_at
from cgru.forecast.rivals import ETS, dates_of, guess_second, why_no_ets
from cgru.forecast.series import fill_missing, guess_season
from cgru.forecast.weights import weigh, weigh_apart

__all__ = ["AUTO", "Backtest", "SeasonChoice", "backtest", "choose_cycles", "choose_season"]

AUTO = "auto"
ERRORS = ("MAE", "RMSE", "MASE")
MOST_SMOOTHED = 300  # fits of exponential smoothing
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
        forecasts: the forecasts of each model (k, h): "GRU", "linear", "naive", "climatology", with statsmodels "ETS",
            with a season "seasonal naive", with a second one "two seasons"; and the "mean of the best", chosen for each
            origin by the errors at the others that share no value with it.
        errors: by model and name, (k,) each: "MAE", the mean absolute error, "RMSE", the root of the mean squared
            error, and "MASE", the MAE over that of the one-step seasonal naive forecast of the known values, the mean
            of |y_t - y_(t - season)| (Hyndman and Koehler, 2006, International Journal of Forecasting 22). MASE is NaN
            where the latter is 0. All are NaN at an origin without a known value after it, which no mean counts.
        intervals: the quantiles of the delivered forecast (k, h, q); None without `quantiles`. With "auto" they lie
            around the "mean of the best", whose models were chosen at the other origins, even if one is delivered.
        quantiles: their levels.
        delivered: the model whose forecast is delivered, or "mean of the best".
        weights: the share of each model in the delivered forecast, from the errors at all origins.
        second: the length of a second, longer season, 1 for none.
        widening: the factor of the networks' interval, see `Delivery.predict_quantiles`.
        notes: sentences about models that could not be compared.
        dated: whether the climatology reads times, an argument of a `Delivery`.
        options: the arguments of a `Forecaster` with which the models were made.
        columns: how many columns of X and of known inputs the models read.

    Examples:
        >>> y = np.arange(24) % 4
        >>> test = cgru.forecast.backtest(y, 2, origins=2, model="naive", season=1, networks=1, epochs=1)
        >>> test.errors["naive"]["MAE"].tolist()  # 3 for 0 and 1, 1 for 2 and 3
        [2.5, 1.5]
        >>> test.rows()[0], len(test.table().splitlines()) == len(test.errors) + 1
        (['', 'MAE', 'RMSE', 'MASE', 'delivered'], True)
        >>> test.verdict().startswith("delivered: naive; its MASE is ")
        True
        >>> model = test.deliver(y)  # fits to all of y
        >>> model.weights == test.delivery(model.forecaster).weights == {"naive": 1.0}
        True
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
    delivered: str = GRU
    weights: dict[str, float] = field(default_factory=lambda: {GRU: 1.0})
    second: int = 1
    widening: float = 1.0
    notes: tuple[str, ...] = ()
    dated: bool = False
    options: dict[str, Any] = field(default_factory=dict)
    columns: dict[str, int] = field(default_factory=lambda: {"X": 0, "known": 0})

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
        """Return the cells of `table`, the header first.

        Returns:
            The rows of the table, lists of texts.
        """
        lines = [["", *ERRORS, "delivered"]]
        for model in sorted(self.errors, key=self._mean):
            errors = [self._known_errors(model, name) for name in ERRORS]
            share = f"{100 * self.weights[model]:.0f}%" if model in self.weights else ""
            lines.append([model, *(f"{figure(each.mean())} ± {figure(each.std(), 2)}" for each in errors), share])
        return lines

    def table(self) -> str:
        """Return a text table of the errors, mean ± standard deviation over the origins, the best model first.

        Its last column has the share of each model in the delivered forecast.

        Returns:
            The table.
        """
        lines = self.rows()
        widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
        return "\n".join("  ".join(map(str.ljust, line, widths)).rstrip() for line in lines)

    def verdict(self) -> str:
        """Compare the delivered forecast with the best other model in a sentence, and say if it may be chance.

        Errors of a single winner are those at the origins that chose it, which flatters it.

        Returns:
            The sentence.
        """
        judge = self.judge
        other = min((model for model in self.errors if model not in (self.delivered, MEAN)), key=self._mean)
        ours, theirs = self._mean(self.delivered), self._mean(other)
        difference = self._known_errors(self.delivered, judge) - self._known_errors(other, judge)
        k, wins = len(difference), int((difference < 0).sum())
        sure = k > 2 and abs(difference.mean()) > 2 * difference.std(ddof=1) / np.sqrt(k)
        lower = "lower than" if ours < theirs else "higher than" if theirs < ours else "the same as"
        percent = f"{100 * abs(1 - ours / theirs):.1f}% " if ours != theirs and theirs else ""
        compared = "within 0.1% of" if percent == "0.0% " else percent + lower
        chance = "" if sure else "; this may be chance"
        return (
            f"delivered: {self.delivered}; its {judge} is {compared} that of the best other, {other}; "
            f"it is better at {wins} of {k} origins{chance}"
        )

    def deliver(
        self,
        y: Any,
        X: Any = None,
        *,
        times: Any = None,
        threads: int | None = None,
        progress: bool = False,
        **inputs: Any,
    ) -> Delivery:
        """Fit the networks to all of y, and return the model whose forecast is delivered.

        Args:
            y: as for `backtest`.
            X: as for `backtest`.
            times: as for `backtest`. `predict` of the result takes y, X and times, too.
            threads: as for `backtest`.
            progress: as for `backtest`.
            **inputs: other arguments of `Forecaster.fit`: `known`.

        Returns:
            The fitted model.

        Raises:
            TypeError, ValueError: X or known inputs have other columns than in the tests; and as from `Forecaster.fit`.
        """
        forecaster = Forecaster(self.actual.shape[1], **self.options)
        tested = self.columns
        for name, got in History.of(y, X, inputs.get("known"), forecaster).columns.items():
            if got != tested[name]:
                cure = f"pass {name}= to both backtest and deliver, or to neither"
                raise ValueError(f"{name}: expected {tested[name]} columns, as in the tests, got {got}; {cure}")
        return self.delivery(forecaster.fit(y, X, threads=threads, progress=progress, **inputs))

    def delivery(self, forecaster: Forecaster) -> Delivery:
        """Return the model whose forecast is delivered, with the networks of a fitted forecaster.

        Args:
            forecaster: the fitted forecaster.

        Returns:
            The model.
        """
        return Delivery(forecaster, self.weights, second=self.second, widening=self.widening, dated=self.dated)


def backtest(
    y: Any,
    horizon: int,
    origins: int = 10,
    *,
    step: int | None = None,
    X: Any = None,
    known: Any = None,
    times: Any = None,
    model: str = AUTO,
    second: int | None = None,
    likely: Sequence[int] = (),
    threads: int | None = None,
    progress: bool = False,
    **options: Any,
) -> Backtest:
    """Forecast past values of a series from several earlier `origins`, and compare the errors of GRU and rivals.

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
        times: the dates (n,) of y as datetime64, or a list of them, so that the climatology knows the time of the year.
        model: the model to deliver, by its name in `Backtest.forecasts`. "auto": the model with the lowest error alone,
            or where others are within a tenth of it the mean of them all.
        second: the length of a second season, longer than the first, 1 for none; None: guessed as that is, beside one.
        likely: lags at which a season is likely, as for `guess_season`.
        threads: as for `fit_many`, which runs the fits of all origins in one call.
        progress: as for `fit_many`.
        **options: arguments of `Forecaster`.

    Returns:
        The forecasts and errors of all models, and the model to deliver.

    Raises:
        ImportError: `model` needs statsmodels, which is not installed.
        TypeError, ValueError: a series is too short, with the length that it needs; another argument is invalid; and as
            from `Forecaster.fit`.

    Examples:
        >>> test = cgru.forecast.backtest(np.arange(24) % 4, 2, origins=2, season=1, networks=1, epochs=1)
        >>> test.origins.tolist(), test.forecasts["GRU"].shape
        ([20, 22], (2, 2))
        >>> "linear" in test.errors, test.judge
        (True, 'MASE')
    """
    k = positive(origins, "origins")
    for name, value in (("step", step), ("second", second)):
        if value is not None:
            positive(value, name)
    first = Forecaster(horizon, **options)
    history = History.of(y, X, known, first)
    found, series = history.series, list(history.series.values())
    known_times = dates_of(times, found, is_list_of_series(y))
    season = first.season or guess_season(_before_first_origin(found, first.horizon, k, step), likely)
    held_back = _held_back(found, first.horizon, k, step, min_length(first.horizon, season, first.width))
    longest = max(map(len, series))
    if second not in (None, 1) and not season < second <= longest:
        due = f"1 for none, or more than the season, {season}, and at most the {longest} values of y"
        raise ValueError(f"second: expected {due}, got {second}")
    if second is None and season == 1:
        second = 1
    elif second is None:
        before = max(series, key=len)[: -held_back[0]]
        second = guess_second(fill_missing(before, "interpolate", "y"), season, likely)
    if model != AUTO:
        check_model(model, season, second)
    names, notes = models_of(season, second), tuple(filter(None, [why_no_ets()]))
    if len(series) * k > MOST_SMOOTHED and model != ETS and ETS in names:
        names.remove(ETS)
        notes = (
            f"{ETS}: not compared, since {len(series) * k} fits take long; as the model to deliver it is compared",
        )
    if model not in (AUTO, MEAN, *names):
        names.append(model)  # the seasonal naive model without a season, which is the naive one
    options["season"] = season
    actual = history.actual(held_back)
    if np.isnan(actual).all():
        raise ValueError(f"y: expected at least one value after {k} origins, got none")

    made = forecasters_at(history, held_back, options, threads=threads, progress=progress)
    forecasts: dict[str, Any] = {}  # lists of (h,), stacked below
    intervals, scales = [], []
    for forecaster, there in made:
        dates = [None if t is None else t[: len(each)] for t, each in zip(known_times, there["y"], strict=True)]
        simple = forecast_all(forecaster, dates=dates, second=second, names=names, **there)
        for name, values in simple.items():
            forecasts.setdefault(name, []).extend(values)
        if first.quantiles:
            intervals += forecaster.predict_quantiles(**there)
        scales += [_mase_scale(each, season) for each in there["y"]]
    forecasts = {name: np.stack(values) for name, values in forecasts.items()}
    ends = np.repeat(held_back, len(series))
    apart = np.abs(ends[:, None] - ends) >= first.horizon
    scales = np.array(scales)
    units = np.where(scales > 0, scales, 1)[:, None]
    shares, means = _mean_of_best(forecasts, actual, units, apart)
    forecasts[MEAN] = means
    errors = {name: _errors(values, actual, scales) for name, values in forecasts.items()}
    learned = [(forecaster.width_, forecaster.windows_) for forecaster, _ in made]
    widths, windows = np.repeat(learned, len(series), axis=0).T
    weights = shares if model in (AUTO, MEAN) else {model: 1.0}
    delivered = MEAN if len(weights) > 1 else next(iter(weights))
    bands, factor = None, 1.0
    if intervals:
        bands = np.stack(intervals)
        if model != GRU:
            points = means if model == AUTO else forecasts[delivered]
            bands, factor = _moved_intervals(points, forecasts[GRU], bands, actual, apart, first.quantiles)
    return Backtest(
        history.origins(held_back), season, widths, windows, actual, forecasts, errors, bands, first.quantiles,
        delivered, weights, second, factor, notes, times is not None, options, history.columns,
    )  # fmt: skip


def _mean_of_best(
    forecasts: dict[str, np.ndarray], actual: np.ndarray, units: np.ndarray, apart: np.ndarray
) -> tuple[dict[str, float], np.ndarray]:
    """Return the weights above 0 of the best models at all origins, and their means (k, h) by the origins `apart`."""
    values = np.stack(list(forecasts.values()))
    errors = (values - actual) / units
    shares = dict(zip(forecasts, weigh(errors), strict=True))
    means = (weigh_apart(errors, apart)[:, :, None] * values).sum(axis=0)
    return {name: float(share) for name, share in shares.items() if share > 0}, means


def _moved_intervals(
    points: np.ndarray,
    medians: np.ndarray,
    bands: np.ndarray,
    actual: np.ndarray,
    apart: np.ndarray,
    levels: tuple[float, ...],
) -> tuple[np.ndarray, float]:
    """Return intervals (k, h, q) around the delivered `points` (k, h), and the factor of those to come.

    Each is as wide as the networks' `bands` (k, h, q) around their `medians`, times the factor that the errors at the
    origins `apart` ask for. An interval that is not on both sides of the median keeps its width.
    """
    if not levels[0] < 0.5 < levels[-1]:
        return widen(points, medians, bands, 1.0), 1.0
    errors, share = actual - points, levels[-1] - levels[0]
    below, above = medians - bands[:, :, 0], bands[:, :, -1] - medians
    factors = [widening(errors[row], below[row], above[row], share) for row in apart]
    moved = widen(points, medians, bands, np.array(factors)[:, None, None])
    return moved, widening(errors, below, above, share)


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
