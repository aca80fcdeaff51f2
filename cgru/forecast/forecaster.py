"""Forecaster: an ensemble of small networks that predict the errors of two simple forecasts, and its rivals.

n values of a series, e inputs, c inputs known in the future, m windows of `width` steps, k series, q quantiles.
"""

from __future__ import annotations

import functools
import json
import os
from collections.abc import Collection, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from cgru.core.checks import positive
from cgru.estimators.recipe import Recipe
from cgru.files import Archive, atomic_write
from cgru.forecast.ridge import ridge
from cgru.forecast.rivals import climatology, exponential_smoothing, why_no_ets
from cgru.forecast.series_windows import History, seasonal_naive, windows
from cgru.many import Job, Result, fit_many
from cgru.network import files
from cgru.network.network import Network, from_parts, to_parts

__all__ = ["ETS", "GRU", "MODELS", "Forecaster", "load", "min_length", "models_of"]

GRU, LINEAR, NAIVE, SEASONAL, ETS, CLIMATOLOGY = "GRU", "linear", "naive", "seasonal naive", "ETS", "climatology"
MODELS = (GRU, LINEAR, NAIVE, SEASONAL, ETS, CLIMATOLOGY)

FORMAT = 3  # of its files
_SETTINGS = (
    "horizon", "season", "width", "quantiles", "missing", "units", "epochs", "networks", "seed", "weights", "widening",
    "dated",
)  # fmt: skip
_ARRAYS = ("input_mean", "input_scale", "target_mean", "target_scale", "linear", "bias", "effect")

MIN_WINDOWS = 10  # training windows
DEFAULT_WIDTH = 12  # for a series without a season
BATCH_RANGE = (8, 32)  # smallest and largest batch size
LEARNING_RATE = 5e-3
MIN_SCALE = 0.1  # the smallest scale of a window, as a share of its series' scale


class Windows(NamedTuple):
    """Windows as inputs of the networks, their naive forecasts, and their scaling.

    `Z` (m, width, 1 + e + b c) has (value - level) / scale, the inputs, and the known inputs as of `_fold`.
    `level` (m, 1) is the last value of a window, `scale` (m, 1) the mean absolute value. `naive` and `seasonal`
    (m, horizon) are in the units of the series. `change` (m, horizon, c) are the known inputs of each value to come,
    less those of the value that `seasonal` repeats for it.
    """

    Z: np.ndarray
    naive: np.ndarray
    seasonal: np.ndarray
    level: np.ndarray
    scale: np.ndarray
    change: np.ndarray


class Forecaster:
    """Model that forecasts the next `horizon` values of a series, all at once.

    It is an ensemble of small networks, each a GRU and a `Dense` of `horizon` outputs over the last `width` values. A
    network predicts the error of a simple forecast. Networks 0, 2, ... correct the seasonal naive forecast (the last
    season, or value, again), networks 1, 3, ... a linear model of the same windows. The corrected forecasts are
    averaged. Inputs and outputs of a network are scaled by window: less its last value, over its mean absolute value.
    So forecasts can follow a trend beyond the range of the training data.

    `backtest` may choose other models for the forecast. These are then in `weights`.

    Args:
        horizon: the number of values to forecast.
        season: the length of a season in steps, 1 for none; `season_of` has that of dates.
        width: the number of values that a network reads, at least a season. None: two seasons, 12 without a season;
            fewer where less than ten training windows would be left.
        quantiles: the levels of an interval, such as (0.1, 0.9); the forecast is then the median. None: no interval.
        missing: "refuse" NaN, or "interpolate" over it, within the data of each call.
        units: units of each GRU.
        epochs: epochs of each fit.
        networks: the number of networks.
        seed: makes a fit repeatable bit for bit, on any number of threads.
        weights: the share of each model in the forecast: "GRU" (the networks), "linear", "naive", "seasonal naive",
            "ETS" (exponential smoothing, by statsmodels) and "climatology". None: the networks alone.
        widening: the factor of the networks' interval, see `predict_quantiles`.
        dated: whether the climatology reads times, which `predict` then needs.

    Attributes:
        width_: the width in use after a fit.
        windows_: the number of training windows.
        networks_: the fitted networks.

    Raises:
        TypeError, ValueError: an argument is invalid.

    Examples:
        >>> y = np.sin(np.arange(60) * np.pi / 6) + 0.01 * np.arange(60)
        >>> model = cgru.forecast.Forecaster(6, season=12, networks=2, epochs=2).fit(y)
        >>> model.predict(y).shape, model.width_, model.windows_
        ((6,), 24, 31)
    """

    def __init__(
        self,
        horizon: int,
        *,
        season: int = 1,
        width: int | None = None,
        quantiles: Sequence[float] | None = None,
        missing: str = "refuse",
        units: int = 16,
        epochs: int = 20,
        networks: int = 8,
        seed: int = 0,
        weights: Mapping[str, float] | None = None,
        widening: float = 1.0,
        dated: bool = False,
    ) -> None:
        self.horizon, self.season = positive(horizon, "horizon"), positive(season, "season")
        self.width = None if width is None else positive(width, "width")
        self.quantiles = _check_quantiles(quantiles)
        if missing not in ("refuse", "interpolate"):
            raise ValueError(f"missing: expected 'refuse' or 'interpolate', got {missing!r}")
        if self.width is not None and self.width < self.season:
            raise ValueError(f"width: expected at least a season of {season}, got {width}")
        self.missing = missing
        self.units, self.epochs = positive(units, "units"), positive(epochs, "epochs")
        self.networks = positive(networks, "networks")
        if isinstance(seed, bool) or not isinstance(seed, int | np.integer) or seed < 0:
            raise ValueError(f"seed: expected an integer of at least 0, got {seed!r}")
        self.seed = int(seed)
        self.weights = {GRU: 1.0} if weights is None else {name: float(share) for name, share in weights.items()}
        if not self.weights or not self.weights.keys() <= set(MODELS):
            raise ValueError(f"weights: expected shares of {', '.join(MODELS)}, got {weights}")
        self.widening, self.dated = float(widening), bool(dated)
        self.networks_: list[Network] = []

    def __repr__(self) -> str:
        shares = ", ".join(f"{name} {share:.2g}" for name, share in self.weights.items())
        return f"Forecaster({self.horizon}, season={self.season}, quantiles={self.quantiles}: {shares})"

    # --- training ---

    def fit(
        self, y: Any, X: Any = None, *, known: Any = None, threads: int | None = None, progress: bool = False
    ) -> Forecaster:
        """Fit to one series or several, and return self.

        Args:
            y: the series (n,), or several, for one model: a list, or a dict by the names that errors have.
            X: other inputs known at each step of y (n, e), or a list or dict of them.
            known: inputs whose future is known, such as holidays (n, c), or a list or dict of them. They may have the
                `horizon` rows after y, too, as `predict` needs them: these are not read.
            threads: as for `cgru.fit_many`.
            progress: as for `cgru.fit_many`.

        Returns:
            The forecaster.

        Raises:
            TypeError, ValueError: a series is too short, with the length that it needs, or a value is missing, or is no
                number.

        Examples:
            >>> y = [np.arange(40) % 4, np.arange(50) % 4]  # two series
            >>> model = cgru.forecast.Forecaster(2, season=4, networks=1, epochs=1).fit(y)
            >>> [values.shape for values in model.predict(y)]
            [(2,), (2,)]
        """
        history = History.of(y, X, known, None, (0, self.horizon))
        return self.take(fit_many(self.jobs(history), threads=threads, progress=progress))

    def jobs(self, history: History, name: tuple[Any, ...] = ()) -> list[Job]:
        """Return the fits of all networks as jobs for `fit_many`, so that fits of several forecasters run together.

        This is the first half of `fit`.

        Args:
            history: the series, as `cgru.forecast.series_windows` checks them.
            name: the beginning of each name: that of job i is (*name, i).

        Returns:
            A job for each network.

        Raises:
            ValueError: as from `fit`.

        Examples:
            >>> from cgru.forecast.series_windows import History
            >>> history = History.of(np.arange(40) % 4, None, None, None, (0,))
            >>> model = cgru.forecast.Forecaster(2, season=4, networks=2, epochs=1)
            >>> jobs = model.jobs(history, ("a",))
            >>> [job.name for job in jobs], len(model.take(cgru.fit_many(jobs)).networks_)
            ([('a', 0), ('a', 1)], 2)
        """
        filled = history.filled(self.missing)
        lengths = list(map(len, filled.y))
        longest, shortest = (lengths.index(pick(lengths)) for pick in (max, min))
        self.width_ = self._width(lengths[longest], filled.names[longest])
        if lengths[shortest] < self.width_:  # there would be no window to forecast it from
            cure = "leave it out, or pass a smaller width"
            due = f"at least {self.width_} values, a window, got {lengths[shortest]}"
            raise ValueError(f"{filled.names[shortest]}: expected {due}; {cure}")
        batch, future, held_out = self._cut(filled)
        self.networks_, self.windows_ = [], len(future)
        self._columns = filled.X[0].shape[1], filled.known[0].shape[1]
        self._input_mean, deviation = _mean_and_deviation(batch.Z.reshape(-1, batch.Z.shape[2]))
        self._input_scale = _divisors(deviation)
        Z = (batch.Z - self._input_mean) / self._input_scale
        self._linear, self._bias = ridge(Z.reshape(len(Z), -1), (future - batch.level) / batch.scale, held_out)
        self._effect = self._effect_of(batch, future, held_out)
        errors = [(future - simple) / batch.scale for simple in self._base_forecasts(batch, Z)]
        moments = [_mean_and_deviation(error) for error in errors]
        self._target_mean, self._target_scale = (np.stack(each) for each in zip(*moments, strict=True))
        targets = [(error - mean) / _divisors(scale) for error, (mean, scale) in zip(errors, moments, strict=True)]
        least, most = BATCH_RANGE
        options = {"epochs": self.epochs, "batch_size": min(most, max(least, len(Z) // 10))}
        loss = f"quantile({', '.join(map(str, self._levels))})" if self.quantiles else "huber"
        recipe = Recipe(loss, self.units, 1, False, "last", dropout=0, recurrent_dropout=0, learning_rate=LEARNING_RATE)
        builds = [functools.partial(recipe.network, self.horizon, seed=self.seed + i) for i in range(self.networks)]
        return [Job(build, (*name, i), X=Z, y=targets[i % 2], **options) for i, build in enumerate(builds)]

    def take(self, results: Sequence[Result]) -> Forecaster:
        """Take the fitted networks from the results of `jobs`, and return self: the second half of `fit`.

        Args:
            results: the results of all jobs, in their order.

        Returns:
            The forecaster.

        Raises:
            Exception: the error of a failed fit.

        Examples:
            >>> model = cgru.forecast.Forecaster(2, season=4, networks=2, epochs=1)
            >>> model.take([cgru.Result(0, error=ValueError("no memory"))])
            Traceback (most recent call last):
            ValueError: no memory
        """
        for result in results:
            if result.error is not None:
                raise result.error
        self.networks_ = [result.network for result in results]
        return self

    @property
    def _levels(self) -> list[float]:
        """Return the sorted quantile levels that a network predicts of each value, the median among them."""
        return sorted({0.5, *self.quantiles})

    def _width(self, n: int, name: str) -> int:
        """Return the width of a window for a series of n values; raise ValueError if these are too few."""
        least = min_length(self.horizon, self.season, self.width)
        if n < least:
            due = f"at least {least} values for a season of {self.season} and a horizon of {self.horizon}"
            raise ValueError(f"{name}: expected {due}, got {n}; a shorter horizon, season or width needs fewer")
        return self.width or min(max(2 * self.season, DEFAULT_WIDTH), self.season + n - least)

    def _cut(self, history: History) -> tuple[Windows, np.ndarray, np.ndarray]:
        """Return the windows of all series, the values after each (m, horizon), and a mask of held-out windows (m,).

        Held out, to choose the linear model's penalty, is the last fifth of each series.
        """
        found, futures, held_out = [], [], []
        for y, X, known in zip(history.y, history.X, history.known, strict=True):
            if len(y) < self.width_ + self.horizon:
                continue  # long enough to be forecast, but without a training window
            past, future = windows(y, self.width_, self.horizon)
            inputs, _ = windows(X, self.width_, self.horizon)
            whole = np.concatenate(windows(known[: len(y)], self.width_, self.horizon), axis=1)
            found.append(self._scale_windows(past, inputs, whole, y))
            futures.append(future)
            held_out.append(np.arange(len(past)) >= len(past) - max(1, len(past) // 5))
        parts = map(np.concatenate, zip(*found, strict=True))
        return Windows(*parts), np.concatenate(futures), np.concatenate(held_out)

    def _scale_windows(self, past: np.ndarray, inputs: np.ndarray, known: np.ndarray, series: np.ndarray) -> Windows:
        """Scale windows `past` (m, width) of one `series`, and join the inputs (m, width, e).

        Known inputs (m, width + horizon, c) reach to the end of the horizon.
        """
        level = past[:, -1:]
        scale = np.maximum(np.abs(past).mean(axis=1, keepdims=True), MIN_SCALE * np.abs(series).mean())
        scale[scale == 0] = 1
        naive = np.repeat(level, self.horizon, axis=1)
        Z = np.concatenate([((past - level) / scale)[:, :, None], inputs, _fold(known, self.width_)], axis=2)
        before, ahead = known[:, : self.width_], known[:, self.width_ :]
        change = ahead - seasonal_naive(before, self.season, self.horizon)
        return Windows(Z, naive, seasonal_naive(past, self.season, self.horizon), level, scale, change)

    def _effect_of(self, batch: Windows, future: np.ndarray, held_out: np.ndarray) -> np.ndarray:
        """Return the effect (c,) of a change of each known input, in scales of a window, by a ridge regression.

        It is one for all steps of the horizon, so that few windows suffice.
        """
        change = batch.change.reshape(len(batch.change) * self.horizon, -1)
        if not change.shape[1]:
            return np.empty(0)
        divisors = _divisors(_mean_and_deviation(change)[1])
        errors = ((future - batch.seasonal) / batch.scale).reshape(-1, 1)
        weights, _ = ridge(change / divisors, errors, np.repeat(held_out, self.horizon))
        return weights[:, 0] / divisors

    def _base_forecasts(self, batch: Windows, Z: np.ndarray) -> list[np.ndarray]:
        """Return both forecasts (m, horizon) that networks correct: the seasonal naive one and the linear model's.

        The seasonal naive one follows changes of known inputs. Z are the standardised inputs of the batch.
        """
        seasonal = batch.seasonal + batch.change @ self._effect * batch.scale
        return [seasonal, (Z.reshape(len(Z), -1) @ self._linear + self._bias) * batch.scale + batch.level]

    # --- prediction ---

    def predict(self, y: Any, X: Any = None, *, known: Any = None, times: Any = None) -> Any:
        """Forecast the `horizon` values after y.

        Args:
            y: the series (n,), at least `width_` values, or several as for `fit`. Pass the whole series if you can:
                exponential smoothing and the climatology are fitted to it, and its mean absolute value bounds the scale
                of a window from below.
            X: as for `fit`.
            known: as for `fit`, with the rows of the horizon: (n + horizon, c).
            times: the dates (n,) of y as datetime64, or a list or dict of them, which the climatology reads.

        Returns:
            The forecast (horizon,), or a list or dict of them if y is one.

        Raises:
            RuntimeError: the forecaster is not fitted.
            ImportError: exponential smoothing has a share, and statsmodels is not installed.
            TypeError, ValueError: a series is too short, a value or `times` are missing, or inputs do not fit those of
                `fit`.

        Examples:
            >>> y, holiday = np.arange(40) % 4, np.arange(42)[:, None] % 7 == 0
            >>> model = cgru.forecast.Forecaster(2, season=4, networks=1, epochs=1).fit(y, known=holiday)
            >>> model.predict(y, known=holiday).shape
            (2,)
        """
        history, points, _ = self._predict(y, X, known, times)
        return history.in_form(points)

    def predict_quantiles(self, y: Any, X: Any = None, *, known: Any = None, times: Any = None) -> Any:
        """Forecast each of the `quantiles` of the values after y.

        They are the networks' quantiles, as far from the forecast as they are from the networks' median, times
        `widening`: quantile = forecast + widening (network's quantile - network's median).

        Args:
            y: as for `predict`.
            X: as for `predict`.
            known: as for `predict`.
            times: as for `predict`.

        Returns:
            The quantiles (horizon, q), or a list or dict of them if y is one.

        Raises:
            ImportError, RuntimeError: as from `predict`.
            TypeError, ValueError: the forecaster has no quantiles; and as from `predict`.

        Examples:
            >>> y = np.arange(40) % 4
            >>> model = cgru.forecast.Forecaster(2, season=4, quantiles=(0.1, 0.9), networks=1, epochs=1).fit(y)
            >>> band = model.predict_quantiles(y)
            >>> band.shape, bool((band[:, 0] <= model.predict(y)).all())
            ((2, 2), True)
        """
        if not self.quantiles:
            raise ValueError("quantiles: expected a Forecaster with some, got None")
        history, points, bands = self._predict(y, X, known, times)
        return history.in_form(list(points[:, :, None] + self.widening * bands))

    def _predict(self, y: Any, X: Any, known: Any, times: Any) -> tuple[History, np.ndarray, np.ndarray]:
        """Return the series, their forecasts (k, h), and the networks' quantiles less their median (k, h, q)."""
        history = History.of(y, X, known, times, (self.horizon,))
        if self.dated and CLIMATOLOGY in self.weights and times is None:
            raise ValueError("times: expected the dates of y, which the climatology of this model reads, got None")
        made, bands = self.forecasts(history, self.weights)
        return history, sum(share * made[name] for name, share in self.weights.items()), bands

    def forecasts(self, history: History, names: Collection[str]) -> tuple[dict[str, np.ndarray], np.ndarray]:
        """Forecast series by several models.

        Args:
            history: the series, with known inputs up to the end of the horizon.
            names: the models.

        Returns:
            The forecasts (k, h) by model, and the networks' quantiles less their median (k, h, q).

        Raises:
            ImportError, RuntimeError, ValueError: as from `predict`.

        Examples:
            >>> from cgru.forecast.series_windows import History
            >>> history = History.of(np.arange(40) % 4, None, None, None, (2,))
            >>> model = cgru.forecast.Forecaster(2, season=4, networks=2, epochs=1).fit(history.given)
            >>> forecasts, _ = model.forecasts(history, ["naive", "seasonal naive"])
            >>> {name: values.tolist() for name, values in forecasts.items()}
            {'naive': [[3.0, 3.0]], 'seasonal naive': [[0.0, 1.0]]}
        """
        if not self.networks_:
            raise RuntimeError("fit: expected to be called before predict")
        if ETS in names and (why := why_no_ets()):
            raise ImportError(why)
        filled = history.filled(self.missing)
        for argument, part, due in zip(("X", "known"), (filled.X, filled.known), self._columns, strict=True):
            if part[0].shape[1] != due:
                raise ValueError(f"{argument}: expected {due} inputs a step, as for fit, got {part[0].shape[1]}")
        found = []
        for name, y, X, known in zip(filled.names, filled.y, filled.X, filled.known, strict=True):
            if len(y) < self.width_:
                raise ValueError(f"{name}: expected at least {self.width_} values, got {len(y)}")
            last = (y[-self.width_ :], X[-self.width_ :], known[-self.width_ - self.horizon :])
            found.append(self._scale_windows(*(part[None] for part in last), y))
        batch = Windows(*map(np.concatenate, zip(*found, strict=True)))
        Z = (batch.Z - self._input_mean) / self._input_scale
        simple = self._base_forecasts(batch, Z)
        ensemble = self._ensemble(batch, Z, simple)
        middle = ensemble[:, :, self._levels.index(0.5)]
        made = {GRU: middle, LINEAR: simple[1], NAIVE: batch.naive, SEASONAL: batch.seasonal}
        if ETS in names:
            made[ETS] = np.stack([exponential_smoothing(y, self.season, self.horizon) for y in filled.y])
        if CLIMATOLOGY in names:
            dates = filled.times or [None] * len(filled.y)
            pairs = zip(filled.y, dates, strict=True)
            made[CLIMATOLOGY] = np.stack([climatology(y, self.season, self.horizon, times) for y, times in pairs])
        chosen = [self._levels.index(level) for level in self.quantiles]
        return {name: made[name] for name in names}, ensemble[:, :, chosen] - middle[:, :, None]

    def _ensemble(self, batch: Windows, Z: np.ndarray, simple: list[np.ndarray]) -> np.ndarray:
        """Return the mean prediction of all networks for each window, (k, horizon, levels), sorted along the levels."""
        total = np.zeros((len(Z), self.horizon, len(self._levels)))
        for i, network in enumerate(self.networks_):
            errors = network.predict(Z).reshape(total.shape) * self._target_scale[i % 2][:, None]
            errors += self._target_mean[i % 2][:, None]
            total += errors * batch.scale[:, :, None] + simple[i % 2][:, :, None]
        return np.sort(total / len(self.networks_))

    # --- files ---

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the fitted forecaster to the file `path`, for `cgru.forecast.load`.

        The file is an `.npz` without pickled objects.

        Args:
            path: the file, exactly that name.

        Raises:
            RuntimeError: the forecaster is not fitted.
            OSError, TypeError, ValueError: as from `Network.save`.

        Examples:
            >>> y = np.arange(40) % 4
            >>> model = cgru.forecast.Forecaster(2, season=4, networks=1, epochs=1).fit(y)
            >>> model.save("forecaster.npz")
            >>> bool((cgru.forecast.load("forecaster.npz").predict(y) == model.predict(y)).all())
            True
        """
        if not self.networks_:
            raise RuntimeError("save: expected a Forecaster that was fitted")
        text = {name: getattr(self, name) for name in _SETTINGS}
        found = {"width": self.width_, "windows": self.windows_, "columns": self._columns}
        arrays = {"format": np.array(FORMAT), "forecaster": np.array(json.dumps({"settings": text, **found}))}
        arrays |= {name: getattr(self, f"_{name}") for name in _ARRAYS}
        for i, net in enumerate(self.networks_):
            arrays |= {f"{i}.{name}": array for name, array in files.pack(*to_parts(net)).items()}
        with atomic_write(path) as file:
            np.savez(file, **arrays)


def load(path: str | os.PathLike[str]) -> Forecaster:
    """Read the Forecaster that `save` wrote to `path`; it forecasts bit for bit the same.

    Args:
        path: the file.

    Returns:
        The fitted forecaster.

    Raises:
        ValueError: the file is damaged, foreign or of another format.
        OSError: it cannot be read.

    Examples:
        >>> cgru.forecast.Forecaster(2, season=4, networks=1, epochs=1).fit(np.arange(40) % 4).save("forecaster.npz")
        >>> cgru.forecast.load("forecaster.npz").horizon
        2
    """
    return files.read_checked(path, "forecaster", FORMAT, _from_archive)


def _from_archive(archive: Archive) -> Forecaster:
    """Build the forecaster from the arrays of its file; KeyError or ValueError for any other archive."""
    text = files.read_json("forecaster", archive)
    self = Forecaster(**text["settings"])
    self.width_, self.windows_ = (positive(text[name], name) for name in ("width", "windows"))
    e, c = self._columns = tuple(text["columns"])
    h, features = self.horizon, 1 + e + c * _folds(self.width_, self.horizon)
    shapes = ((features,), (features,), (2, h), (2, h), (self.width_ * features, h), (h,), (c,))
    for name, shape in zip(_ARRAYS, shapes, strict=True):
        if archive.headers[name] != (shape, np.float64):
            raise ValueError(f"{name}: expected float64 {shape}, got {archive.headers[name]}")
        setattr(self, f"_{name}", archive.read(name))
    packed: dict[str, dict[str, np.ndarray]] = {}
    for name in archive.headers.keys() - {"forecaster", *_ARRAYS}:
        place, _, rest = name.partition(".")
        packed.setdefault(place, {})[rest] = archive.read(name)
    if len(packed) != self.networks:
        raise ValueError(f"networks: expected {self.networks}, got {len(packed)}")
    self.networks_ = [from_parts(*files.unpack(packed[f"{i}"])) for i in range(self.networks)]
    for net in self.networks_:
        if net.predict(np.zeros((1, self.width_, features))).shape != (1, h * len(self._levels)):
            raise ValueError(f"networks: expected {h * len(self._levels)} outputs")
    return self


def models_of(season: int) -> list[str]:
    """Return the names of the models that forecast a series with this season, 1 for none, as installed."""
    there = {SEASONAL: season > 1, ETS: not why_no_ets()}
    return [name for name in MODELS if there.get(name, True)]


def min_length(horizon: int, season: int, width: int | None = None) -> int:
    """Return the least length of a series to train on: that of ten windows of `width`, or else of a season."""
    return (season if width is None else width) + horizon + MIN_WINDOWS - 1


def _folds(width: int, horizon: int) -> int:
    """Return how many steps of a window and its horizon `_fold` joins to one."""
    return -(-(width + horizon) // width)


def _fold(known: np.ndarray, width: int) -> np.ndarray:
    """Return known inputs (m, s, c), of a window and its horizon, as features (m, width, b c) of the window's steps.

    Step i has the inputs of steps i, i + width, ... up to the end, or else of the last step.
    """
    m, s, c = known.shape
    b = _folds(width, s - width)
    steps = np.minimum(np.arange(width)[:, None] + width * np.arange(b), s - 1)
    return known[:, steps].reshape(m, width, b * c)


def _check_quantiles(quantiles: Sequence[float] | None) -> tuple[float, ...]:
    """Return the levels as a tuple, () for None; raise ValueError unless they rise within 0 and 1."""
    if quantiles is None:
        return ()
    levels = np.atleast_1d(quantiles)
    if levels.dtype.kind != "f" or not (np.diff(np.r_[0, levels, 1]) > 0).all():
        raise ValueError(f"quantiles: expected levels between 0 and 1 that rise, got {quantiles!r}")
    return tuple(levels.tolist())


def _mean_and_deviation(values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the mean and standard deviation of each column; the deviation of a constant column is exactly 0."""
    mean, deviation = values.mean(axis=0), values.std(axis=0)
    return mean, np.where(deviation > 1e-12 * np.abs(values).max(axis=0), deviation, 0)


def _divisors(deviation: np.ndarray) -> np.ndarray:
    """Return standard deviations to divide by: 1 in the place of 0."""
    return np.where(deviation == 0, 1, deviation)
