"""Backtest of a forecaster: its errors, and those of simpler models, at several origins in the past.

k origins of each series, h = horizon, q quantiles, M models. An origin is the step after the last known value.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np

from cgru.core.checks import positive
from cgru.forecast.calendar_features import season_of
from cgru.forecast.forecaster import ETS, GRU, MODELS, Forecaster, min_length, models_of
from cgru.forecast.rivals import why_no_ets
from cgru.forecast.series_windows import History
from cgru.many import fit_many
from cgru.network.presentation import Table, figure, table_as_text

__all__ = ["AUTO", "MEAN", "Backtest", "backtest", "usable_season"]

AUTO, MEAN = "auto", "mean of the best"
ERRORS = ("MAE", "RMSE", "MASE")
MOST_SMOOTHED = 300  # fits of exponential smoothing
WITHIN = 1.1  # times the lowest error, up to which a model has a share
WIDEST = 10.0  # times the networks' own interval


@dataclass(frozen=True)
class Backtest:
    """Result of `backtest`: forecasts and errors of each model at each origin.

    With several series, k counts the origins of all of them: at each moment one of each series.

    Attributes:
        origins: the number of values of its series that were known at each origin (k,).
        season: its length in steps, 1 for none.
        actual: the values after each origin (k, h), NaN where one is missing.
        forecasts: the forecasts of each model (k, h): "GRU", "linear", "naive", "climatology", with statsmodels "ETS",
            with a season "seasonal naive"; and the "mean of the best", chosen for each origin by the errors at the
            others that share no value with it.
        errors: by model and name, (k,) each: "MAE", the mean absolute error, "RMSE", the root of the mean squared
            error, and "MASE", the MAE over that of the one-step seasonal naive forecast of the known values, the mean
            of |y_t - y_(t - season)| (Hyndman and Koehler, 2006, International Journal of Forecasting 22). MASE is NaN
            where the latter is 0. All are NaN at an origin without a known value after it, which no mean counts.
        intervals: the quantiles of the delivered forecast (k, h, q); None without `quantiles`. With "auto" they are
            around the "mean of the best", whose models were chosen at the other origins, even if one is delivered.
        quantiles: their levels.
        delivered: the model whose forecast is delivered, or "mean of the best".
        options: the arguments of a `Forecaster` of the delivered forecast. `weights` are the shares of the models, from
            the errors at all origins.
        columns: how many columns of X and of known inputs the models read.
        notes: sentences about models that could not be compared.

    Examples:
        >>> y = np.arange(24) % 4
        >>> test = cgru.forecast.backtest(y, 2, origins=2, model="naive", networks=1, epochs=1)
        >>> test.errors["naive"]["MAE"].tolist()  # 3 for 0 and 1, 1 for 2 and 3
        [2.5, 1.5]
        >>> test.table().splitlines()[1].split()
        ['MAE', 'RMSE', 'MASE', 'delivered']
        >>> test.verdict().startswith("delivered: naive; its MASE is ")
        True
        >>> test.deliver(y).weights  # fits to all of y
        {'naive': 1.0}
    """

    origins: np.ndarray
    season: int
    actual: np.ndarray
    forecasts: dict[str, np.ndarray]
    errors: dict[str, dict[str, np.ndarray]]
    intervals: np.ndarray | None
    quantiles: tuple[float, ...]
    delivered: str
    options: dict[str, Any]
    columns: tuple[int, int] = (0, 0)
    notes: tuple[str, ...] = field(default=())

    @property
    def weights(self) -> dict[str, float]:
        """Return the share of each model in the delivered forecast."""
        return self.options["weights"]

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
        there = ~np.isnan(self.actual)
        inside = (self.intervals[:, :, 0] <= self.actual) & (self.actual <= self.intervals[:, :, -1])
        return float(inside[there].mean())

    def _known_errors(self, model: str, error: str) -> np.ndarray:
        """Return an error of a model at the origins with a known value after them."""
        return self.errors[model][error][~np.isnan(self.errors[model]["MAE"])]

    def _mean(self, model: str) -> float:
        """Return the mean over the origins of the error by which models are judged."""
        return float(self._known_errors(model, self.judge).mean())

    def as_table(self) -> Table:
        """Return the errors, mean ± standard deviation over the origins, the best model first.

        The last column has the share of each model in the delivered forecast.

        Returns:
            The table, as a page shows it.

        Examples:
            >>> test = cgru.forecast.backtest(np.arange(24) % 4, 2, origins=2, networks=1, epochs=1)
            >>> test.as_table().header
            ['', 'MAE', 'RMSE', 'MASE', 'delivered']
        """
        rows = []
        for model in sorted(self.errors, key=self._mean):
            errors = [self._known_errors(model, name) for name in ERRORS]
            share = f"{self.weights[model]:.0%}" if model in self.weights else ""
            rows.append([model, *(f"{figure(each.mean())} ± {figure(each.std(), 2)}" for each in errors), share])
        note = "Mean ± standard deviation over the origins."
        if self.coverage is not None:
            low, high = self.quantiles[0], self.quantiles[-1]
            note += f" {self.coverage:.0%} of the values were between the quantiles {low} and {high}."
        series = (self.origins == self.origins[0]).sum()
        return Table(f"Errors at {len(self.origins) // series} origins", ["", *ERRORS, "delivered"], rows, note)

    def table(self) -> str:
        """Return the errors as text, mean ± standard deviation over the origins, the best model first.

        Returns:
            The table.
        """
        return table_as_text(self.as_table())

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
        self, y: Any, X: Any = None, *, known: Any = None, threads: int | None = None, progress: bool = False
    ) -> Forecaster:
        """Fit to all of y the model whose forecast is delivered.

        Args:
            y: as for `backtest`.
            X: as for `backtest`.
            known: as for `backtest`.
            threads: as for `fit_many`.
            progress: as for `fit_many`.

        Returns:
            The fitted model.

        Raises:
            TypeError, ValueError: X or known inputs have other columns than in the tests; and as from `Forecaster.fit`.
        """
        model = Forecaster(self.actual.shape[1], **self.options)
        history = History.of(y, X, known, None, (0, model.horizon))
        for name, part, due in zip(("X", "known"), (history.X, history.known), self.columns, strict=True):
            if part[0].shape[1] != due:
                cure = f"pass {name}= to both backtest and deliver, or to neither"
                raise ValueError(f"{name}: expected {due} columns, as in the tests, got {part[0].shape[1]}; {cure}")
        return model.take(fit_many(model.jobs(history), threads=threads, progress=progress))


def backtest(
    y: Any,
    horizon: int,
    origins: int = 10,
    *,
    season: int | None = None,
    step: int | None = None,
    X: Any = None,
    known: Any = None,
    times: Any = None,
    model: str = AUTO,
    threads: int | None = None,
    progress: bool = False,
    **options: Any,
) -> Backtest:
    """Forecast past values of a series from several earlier `origins`, and compare the errors of GRU and rivals.

    At each origin scales, linear model and networks are fitted again, to the values before it.

    Args:
        y: the series (n,), or several that end at the same moment, for one model: a list, or a dict by the names that
            errors have.
        horizon: the number of values to forecast at each origin. The last origin is that many values before the end.
        origins: the number of origins.
        season: the length of a season in steps, 1 for none. None: `season_of` the times, or none without times, or if
            less than two seasons are before the first origin.
        step: the distance from one origin to the next. None: the horizon, so that no value is forecast twice, or less
            so that the first half of the series stays before the first origin.
        X: inputs as for `Forecaster.fit`.
        known: known inputs as for `Forecaster.fit`. A forecast reads them up to the end of its horizon.
        times: the dates (n,) of y as datetime64, or a list or dict of them, which the season and the climatology need.
        model: the model to deliver, by its name in `Backtest.forecasts`. "auto": the model with the lowest error alone,
            or where others are within a tenth of it the mean of them all.
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
        >>> test = cgru.forecast.backtest(np.arange(24) % 4, 2, origins=2, networks=1, epochs=1)
        >>> test.origins.tolist(), test.forecasts["GRU"].shape
        ([20, 22], (2, 2))
        >>> "linear" in test.errors, test.judge
        (True, 'MASE')
    """
    k, step = positive(origins, "origins"), step if step is None else positive(step, "step")
    horizon = positive(horizon, "horizon")
    history = History.of(y, X, known, times, (0, horizon))
    if season is None:
        season = usable_season(history, horizon, k, step, options.get("width"))
    for name in options.keys() & {"weights", "widening", "dated"}:
        raise TypeError(f"{name}: expected no such argument, which the tests choose; model= fixes one model")
    options |= {"season": season, "dated": times is not None}
    first = Forecaster(horizon, **options)
    history.filled(first.missing)  # may refuse a missing value
    held_back = _held_back(history, horizon, k, step, min_length(horizon, season, first.width))
    names, notes = models_of(season), tuple(filter(None, [why_no_ets()]))
    if model == ETS and notes:
        raise ImportError(notes[0])
    if model not in (AUTO, MEAN, *MODELS):
        raise ValueError(f"model: expected one of {', '.join((AUTO, MEAN, *names))}, got {model!r}")
    if (fits := len(history.y) * k) > MOST_SMOOTHED and model != ETS and ETS in names:
        names.remove(ETS)
        notes = (f"{ETS}: not compared, since {fits} fits take long; as the model to deliver it is compared",)
    if model not in (AUTO, MEAN, *names):
        names.append(model)  # the seasonal naive model without a season, which is the naive one
    actual = np.stack([each[len(each) - left :][:horizon] for left in held_back for each in history.y])
    if np.isnan(actual).all():
        raise ValueError(f"y: expected at least one value after {k} origins, got none")

    there = [history.until(left, horizon) for left in held_back]
    models = [Forecaster(horizon, **options) for _ in held_back]
    jobs = [job for each, past in zip(models, there, strict=True) for job in each.jobs(past, (len(past.y[0]),))]
    results, size = fit_many(jobs, threads=threads, progress=progress), first.networks
    made, bands = [], []
    for i, (each, past) in enumerate(zip(models, there, strict=True)):
        found, band = each.take(results[i * size : (i + 1) * size]).forecasts(past, names)
        made.append(found)
        bands.append(band)
    forecasts = {name: np.concatenate([each[name] for each in made]) for name in names}
    scales = np.array([_mase_scale(each, season) for past in there for each in past.y])
    ends = np.repeat(held_back, len(history.y))
    apart = np.abs(ends[:, None] - ends) >= horizon
    shares, forecasts[MEAN] = _mean_of_best(forecasts, actual, np.where(scales > 0, scales, 1)[:, None], apart)
    errors = {name: _errors(values, actual, scales) for name, values in forecasts.items()}
    weights = shares if model in (AUTO, MEAN) else {model: 1.0}
    delivered = MEAN if len(weights) > 1 else next(iter(weights))
    intervals, factor = None, 1.0
    if first.quantiles:
        points, band = forecasts[MEAN if model == AUTO else delivered], np.concatenate(bands)
        factors = 1.0
        if model != GRU and first.quantiles[0] < 0.5 < first.quantiles[-1]:
            parts = actual - points, -band[:, :, 0], band[:, :, -1]
            share = first.quantiles[-1] - first.quantiles[0]
            factor = widening(*parts, share)
            factors = np.array([widening(*(each[row] for each in parts), share) for row in apart])[:, None, None]
        intervals = points[:, :, None] + factors * band
    return Backtest(
        np.array([len(each) for past in there for each in past.y]), season, actual, forecasts, errors, intervals,
        first.quantiles, delivered, options | {"weights": weights, "widening": factor},
        (history.X[0].shape[1], history.known[0].shape[1]), notes,
    )  # fmt: skip


def usable_season(
    history: History, horizon: int, origins: int, step: int | None = None, width: int | None = None
) -> int:
    """Return the season of the series' times; 1 for none, or if less than two are before the first origin.

    Without origins the whole series counts.
    """
    season = 1 if history.times is None else season_of(history.times[0])
    least = max(min_length(horizon, season, width), 2 * season)
    room = history.shortest - least - (horizon + (origins - 1) * (step or 1) if origins else 0)
    return season if room >= 0 else 1


def _held_back(history: History, horizon: int, k: int, step: int | None, least: int) -> list[int]:
    """Return how many values are after each of k origins, falling to `horizon`; `least` must be before the first.

    Raise ValueError if the shortest series has fewer than `least` values before the first origin.
    """
    n = history.shortest
    room, span = n - horizon - least, (k - 1) * (step or 1)  # from the first origin to the last
    if room < span:
        name = next(name for name, each in zip(history.names, history.y, strict=True) if len(each) == n)
        due = f"at least {least + horizon + span} values for {k} origins and a horizon of {horizon}"
        cure = "fewer origins, or a shorter horizon, season or width, need fewer"
        raise ValueError(f"{name}: expected {due}, got {n}; {cure}")
    if step is None and k > 1:
        step = min(horizon, max(1, min(room, n - horizon - n // 2) // (k - 1)))
    return [horizon + (step or 0) * i for i in reversed(range(k))]


# --- errors and shares ---


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


def _mean_of_best(
    forecasts: dict[str, np.ndarray], actual: np.ndarray, units: np.ndarray, apart: np.ndarray
) -> tuple[dict[str, float], np.ndarray]:
    """Return the weights above 0 of the best models at all origins, and their means (k, h) by the origins `apart`.

    For an origin without others `apart`, all models have the same weight.
    """
    values = np.stack(list(forecasts.values()))
    errors = (values - actual) / units
    shares = dict(zip(forecasts, weigh(errors), strict=True))
    rows = apart & ~np.isnan(errors).all(axis=(0, 2))
    equal = np.full(len(errors), 1 / len(errors))
    weights = np.stack([weigh(errors[:, row]) if row.any() else equal for row in rows], axis=1)
    means = (weights[:, :, None] * values).sum(axis=0)
    return {name: float(share) for name, share in shares.items() if share > 0}, means


def weigh(errors: np.ndarray) -> np.ndarray:
    """Return weights (M,) with a sum of 1 for models with these errors (M, k, h), NaN where no value is known.

    The model with the lowest mean absolute error and those within a tenth of it have equal weights, all others 0.
    """
    sizes = np.nanmean(np.abs(errors), axis=(1, 2))
    chosen = sizes <= WITHIN * sizes.min()
    return chosen / chosen.sum()


def widening(errors: np.ndarray, below: np.ndarray, above: np.ndarray, share: float) -> float:
    """Return the factor by which intervals `below` and `above` zero (k, h) contain the `share` of `errors` (k, h).

    It is shrunk to 1 where origins are few, and at most `WIDEST`. NaN errors are ignored.
    """
    distance = np.where(errors < 0, below, above)
    ratios = np.divide(np.abs(errors), distance, out=np.full(errors.shape, WIDEST), where=distance > 0)
    there = ~np.isnan(errors)
    if not there.any():
        return 1.0
    factor = float(np.quantile(ratios[there], share, method="weibull"))  # of few errors, nearer to the largest
    return float(np.clip(factor, 1 / WIDEST, WIDEST)) ** (len(errors) / (len(errors) + 2))
