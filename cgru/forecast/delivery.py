"""The forecast that is delivered: that of one model, or a weighted mean of several, with its intervals.

k origins, h = horizon, q quantiles.
"""

from __future__ import annotations

import json
import os
from collections.abc import Collection, Mapping, Sequence
from typing import Any

import numpy as np

from cgru.datasets.time_frequency import infer_frequency
from cgru.files import Archive, atomic_write
from cgru.forecast.calendar_features import calendar
from cgru.forecast.forecaster import (
    FORMAT,
    Forecaster,
    inputs_by_name,
    is_list_of_series,
    series_by_name,
    unwrap_single,
)
from cgru.forecast.rivals import CLIMATOLOGY, ETS, RIVALS, TWO_SEASONS, dates_of, rivals, why_no_ets
from cgru.forecast.series import fill_missing
from cgru.network.files import read_checked, read_json

__all__ = ["GRU", "MEAN", "Delivery", "check_model", "forecast_all", "load", "models_of", "widen", "widening"]

GRU, MEAN = "GRU", "mean of the best"
MODELS = (GRU, "linear", "naive", "seasonal naive", *RIVALS)
READERS = {GRU, "linear"}  # of inputs
SAVED = ("weights", "second", "widening", "dated", "cycles")
WIDEST = 10.0  # times the networks' own interval


class Delivery:
    """Model that forecasts by one model of a backtest, or by the weighted mean of several.

    The networks and the linear model are those of `forecaster`. Exponential smoothing, climatology and the model of two
    seasons are fitted anew to the series that `predict` gets, so pass the whole of it.

    Args:
        forecaster: a fitted Forecaster.
        weights: the share of each model, by its name in `Backtest.forecasts`.
        second: the length of the second season, 1 for none.
        widening: the factor of the networks' interval, see `predict_quantiles`.
        dated: whether the climatology reads times.
        cycles: the cycles of the calendar, as of `calendar`, that the networks and the linear model read behind other
            known inputs. `predict` makes them of times.

    Raises:
        ValueError: a model is unknown.

    Examples:
        >>> y = np.arange(40) % 4
        >>> model = cgru.forecast.Forecaster(2, season=4, networks=1, epochs=1).fit(y)
        >>> delivery = cgru.forecast.Delivery(model, {"seasonal naive": 0.5, "naive": 0.5})
        >>> delivery.predict(y).tolist()  # means of 0, 1 and 3, 3
        [1.5, 2.0]
    """

    def __init__(
        self,
        forecaster: Forecaster,
        weights: Mapping[str, float],
        *,
        second: int = 1,
        widening: float = 1.0,
        dated: bool = False,
        cycles: Sequence[str] = (),
    ) -> None:
        for name in weights or [""]:
            if name not in MODELS:
                raise ValueError(f"weights: expected names of {', '.join(MODELS)}, got {name!r}")
        self.forecaster, self.weights = forecaster, {name: float(weight) for name, weight in weights.items()}
        self.second, self.widening, self.dated = int(second), float(widening), bool(dated)
        self.cycles = tuple(cycles)

    def __repr__(self) -> str:
        shares = ", ".join(f"{name} {weight:.2g}" for name, weight in self.weights.items())
        return f"Delivery({self.forecaster}, {shares})"

    @property
    def quantiles(self) -> tuple[float, ...]:
        """Return the levels of the quantiles."""
        return self.forecaster.quantiles

    def predict(self, y: Any, X: Any = None, *, known: Any = None, times: Any = None) -> Any:
        """Forecast the values after y.

        Inputs are read where the networks or the linear model have a share, and not asked for elsewhere.

        Args:
            y: as for `Forecaster.predict`.
            X: as for `Forecaster.predict`.
            known: as for `Forecaster.predict`, with or without the columns of the calendar.
            times: the dates (n,) of y as datetime64, or a list of them, that a climatology or the calendar reads.

        Returns:
            The forecast (horizon,), or a list of them if y is a list.

        Raises:
            ImportError: exponential smoothing has a share, and statsmodels is not installed.
            TypeError, ValueError: `times` are missing; and as from `Forecaster.predict`.
        """
        reads = not READERS.isdisjoint(self.weights)
        return self._predict(y, X, self._with_calendar(y, known, times) if reads else None, times)

    def _predict(self, y: Any, X: Any, known: Any, times: Any) -> Any:
        """Forecast as `predict`, with the columns of the calendar in `known`."""
        if ETS in self.weights and (why := why_no_ets()):
            raise ImportError(why)
        if CLIMATOLOGY in self.weights and self.dated and times is None:
            raise ValueError("times: expected the dates of y, which the climatology of this model reads, got None")
        dates = dates_of(times, series_by_name(y), is_list_of_series(y))
        found = forecast_all(self.forecaster, y, X, dates, self.second, self.weights, known=known)
        parts = zip(*(found[name] for name in self.weights), strict=True)
        return unwrap_single(y, [sum(map(np.multiply, self.weights.values(), part)) for part in parts])

    def _with_calendar(self, y: Any, known: Any, times: Any) -> Any:
        """Return known inputs as the networks read them, with those of the calendar behind the others."""
        if not self.cycles:
            return known
        horizon, due = self.forecaster.horizon, self.forecaster.known_
        others, series = due - 2 * len(self.cycles), series_by_name(y)
        given = inputs_by_name("known", known, y, list(map(len, series.values())), (horizon,))
        columns = next(iter(given.values())).shape[1]
        if columns == due:
            return known
        if columns != others:
            what = f"{others} inputs a step (or {due}, with those of {' and '.join(self.cycles)} of the calendar)"
            raise ValueError(f"known: expected {what}, got {columns}")
        if times is None:
            raise ValueError("times: expected the dates of y, whose calendar this model reads, got None")
        joined = []
        for each, when in zip(given.values(), dates_of(times, series, is_list_of_series(y)), strict=True):
            when = when.astype("datetime64[us]")
            ahead = infer_frequency(when, "times").at(when[-1], np.arange(1, horizon + 1))
            joined.append(np.hstack([each, calendar(np.r_[when, ahead], self.cycles)]))
        return unwrap_single(y, joined)

    def predict_quantiles(self, y: Any, X: Any = None, *, known: Any = None, times: Any = None) -> Any:
        """Forecast each of the quantiles of the values after y; inputs are always read.

        They are the networks' quantiles, as far from the delivered forecast as they are from the networks' median,
        times `widening`: quantile = forecast + widening (network's quantile - network's median).

        Args:
            y: as for `predict`.
            X: as for `predict`.
            known: as for `predict`.
            times: as for `predict`.

        Returns:
            The quantiles (horizon, q), or a list of them if y is a list.

        Raises:
            ImportError: as from `predict`.
            TypeError, ValueError: the forecaster has no quantiles; and as from `predict`.

        Examples:
            >>> y = np.arange(40) % 4
            >>> model = cgru.forecast.Forecaster(2, season=4, quantiles=(0.1, 0.5, 0.9), networks=1, epochs=1).fit(y)
            >>> delivery = cgru.forecast.Delivery(model, {"seasonal naive": 1.0}, widening=2.0)
            >>> delivery.predict_quantiles(y)[:, 1].tolist()  # the median is the forecast
            [0.0, 1.0]
        """
        known = self._with_calendar(y, known, times)
        points, medians, bands = (
            each if is_list_of_series(y) else [each]
            for each in (
                self._predict(y, X, known, times),
                self.forecaster.predict(y, X, known=known),
                self.forecaster.predict_quantiles(y, X, known=known),
            )
        )
        moved = [widen(*each, self.widening) for each in zip(points, medians, bands, strict=True)]
        return unwrap_single(y, moved)

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the model to the file `path`, for `cgru.forecast.load`.

        The file of networks alone is that of their Forecaster.

        Args:
            path: the file, exactly that name.

        Raises:
            RuntimeError, TypeError, ValueError, OSError: as from `Forecaster.save`.

        Examples:
            >>> y = np.arange(40) % 4
            >>> model = cgru.forecast.Forecaster(2, season=4, networks=1, epochs=1).fit(y)
            >>> cgru.forecast.Delivery(model, {"naive": 1.0}).save("delivery.npz")
            >>> cgru.forecast.load("delivery.npz").weights
            {'naive': 1.0}
        """
        if self.weights == {GRU: 1.0} and self.widening == 1 and not self.cycles:
            self.forecaster.save(path)
            return
        given = {name: getattr(self, name) for name in SAVED}
        arrays = self.forecaster.pack() | {"delivery": np.array(json.dumps(given)), "format": np.array(FORMAT)}
        with atomic_write(path) as file:
            np.savez(file, **arrays)


def load(path: str | os.PathLike[str]) -> Forecaster | Delivery:
    """Read the Forecaster or the Delivery that `save` wrote to `path`; it forecasts bit for bit the same.

    Args:
        path: the file.

    Returns:
        The fitted model.

    Raises:
        ValueError: the file is damaged, foreign or of a newer format.
        OSError: it cannot be read.

    Examples:
        >>> cgru.forecast.Forecaster(2, season=4, networks=1, epochs=1).fit(np.arange(40) % 4).save("forecaster.npz")
        >>> cgru.forecast.load("forecaster.npz").horizon
        2
    """
    return read_checked(path, "forecaster", FORMAT, _from_archive)


def _from_archive(archive: Archive) -> Forecaster | Delivery:
    """Build the model from an archive that `save` wrote; raise KeyError or ValueError for any other archive."""
    if "delivery" not in archive.headers:
        return Forecaster.from_archive(archive)
    given = read_json("delivery", archive)
    if not isinstance(given, dict) or given.keys() != set(SAVED):
        raise ValueError(f"delivery: expected a JSON object of {', '.join(SAVED)}")
    return Delivery(Forecaster.from_archive(archive, {"delivery"}), given.pop("weights"), **given)


def models_of(season: int, second: int) -> list[str]:
    """Return the names of the models that forecast a series with these seasons, 1 for none, as installed."""
    seasonal = {"seasonal naive": season > 1, TWO_SEASONS: second > 1, ETS: not why_no_ets()}
    return [name for name in MODELS if seasonal.get(name, True)]


def check_model(name: str, season: int, second: int) -> None:
    """Raise ValueError, or ImportError with the cure, if there is no model of this name for these seasons."""
    if name == ETS and (why := why_no_ets()):
        raise ImportError(why)
    if name not in (due := [*models_of(season, second), MEAN]) and name != "seasonal naive":
        why = " without a second season" if name == TWO_SEASONS else ""
        raise ValueError(f"model: expected one of {', '.join(due)}{why}, got {name!r}")


def forecast_all(
    forecaster: Forecaster,
    y: Any,
    X: Any,
    dates: Sequence[np.ndarray | None],
    second: int,
    names: Collection[str],
    **inputs: Any,
) -> dict[str, list[np.ndarray]]:
    """Return the forecasts (h,) of each series in y by the models of these names.

    `dates` has those of each series, or None; `inputs` are other arguments of `Forecaster.predict`.
    """
    series, several = series_by_name(y), is_list_of_series(y)
    beside = forecaster.blank_inputs(y) if READERS.isdisjoint(names) else {"X": X, **inputs}
    made = {GRU: forecaster.predict(y, **beside)} if GRU in names else {}
    made |= {name: each for name, each in forecaster.baselines(y, **beside).items() if name in names}
    found = {name: list(values) if several else [values] for name, values in made.items()}
    for (name, each), when in zip(series.items(), dates, strict=True):
        known = fill_missing(each, forecaster.missing, name)
        args = (forecaster.horizon, forecaster.season_, second, when, forecaster.width_, names)
        for model, values in rivals(known, *args).items():
            found.setdefault(model, []).append(values)
    return found


def widen(point: np.ndarray, median: np.ndarray, band: np.ndarray, factor: Any) -> np.ndarray:
    """Return the quantiles `band` (..., h, q), moved from `median` (..., h) to `point`, `factor` times as far."""
    return point[..., None] + factor * (band - median[..., None])


def widening(errors: np.ndarray, below: np.ndarray, above: np.ndarray, share: float) -> float:
    """Return the factor by which intervals `below` and `above` zero (k, h) hold the `share` of `errors` (k, h).

    It is drawn to 1 where origins are few, and at most `WIDEST`. NaN errors are ignored.
    """
    distance = np.where(errors < 0, below, above)
    ratios = np.divide(np.abs(errors), distance, out=np.full(errors.shape, WIDEST), where=distance > 0)
    known = ~np.isnan(errors)
    if not known.any():
        return 1.0
    factor = float(np.quantile(ratios[known], share, method="weibull"))  # of few errors, nearer to the largest
    return float(np.clip(factor, 1 / WIDEST, WIDEST)) ** (len(errors) / (len(errors) + 2))
