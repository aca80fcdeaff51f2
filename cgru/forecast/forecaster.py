"""Forecaster: an ensemble of small networks that predict the errors of two baseline forecasts.

n values of a series, e inputs beside it, c inputs known in the future, m windows of `width` steps, q quantiles.
"""

from __future__ import annotations

import functools
import json
import os
from collections.abc import Collection, Sequence
from typing import Any, NamedTuple

import numpy as np

from cgru.core.checks import positive
from cgru.files import Archive, Header, atomic_write
from cgru.forecast.linear import ridge
from cgru.forecast.series import as_float64, fill_missing, guess_season, seasonal_naive, windows
from cgru.gru import GRU
from cgru.layers.dense import Dense
from cgru.many import Job, Result, fit_many
from cgru.network.files import read_json
from cgru.network.network import Network
from cgru.optimizers import Adam

__all__ = ["FORMAT", "Forecaster", "is_list_of_series", "min_length", "series_by_name", "unwrap_single"]

FORMAT = 2  # the newest format; files of networks alone, without known inputs, are written as 1
_SETTINGS = ("horizon", "season", "width", "quantiles", "missing", "units", "epochs", "networks", "seed")
_STANDARDIZED = ("input_mean", "input_scale", "target_mean", "target_scale")

MIN_WINDOWS = 10  # training windows
DEFAULT_WIDTH = 12  # for a series without a season
BATCH_RANGE = (8, 32)  # smallest and largest batch size
LEARNING_RATE = 5e-3
MIN_SCALE = 0.1  # the smallest scale of a window, as a share of its series' scale


class Windows(NamedTuple):
    """Windows as inputs of the networks, their naive forecasts, and their scaling.

    `Z` (m, width, 1 + e + b c) has (value - level) / scale, the inputs beside, and the known inputs as of `_fold`.
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
    network predicts the error of a baseline forecast. Networks 0, 2, ... correct the seasonal naive forecast (the last
    season, or value, again), networks 1, 3, ... a linear model of the same windows. The corrected forecasts are
    averaged. Inputs and outputs of a network are scaled by window: less its last value, over its mean absolute value.
    So forecasts can follow a trend beyond the range of the training data.

    Args:
        horizon: the number of values to forecast.
        season: the length of a season in steps, 1 for none; None: `guess_season` of the training data.
        width: the number of values that a network reads, at least a season. None: two seasons, 12 without a season;
            fewer where less than ten training windows would be left.
        quantiles: the levels of an interval, such as (0.1, 0.9); the forecast is then the median. None: no interval.
        missing: "refuse" NaN, or "interpolate" over it, within the data of each call.
        units: units of each GRU.
        epochs: epochs of each fit.
        networks: the number of networks.
        seed: makes a fit repeatable bit for bit, on any number of threads.

    Attributes:
        season_: the season in use after a fit.
        width_: the width in use after a fit.
        windows_: the number of training windows.
        known_: the number of inputs that are known in the future.
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
        season: int | None = None,
        width: int | None = None,
        quantiles: Sequence[float] | None = None,
        missing: str = "refuse",
        units: int = 16,
        epochs: int = 20,
        networks: int = 8,
        seed: int = 0,
    ) -> None:
        self.horizon = positive(horizon, "horizon")
        self.season = None if season is None else positive(season, "season")
        self.width = None if width is None else positive(width, "width")
        self.quantiles = _check_quantiles(quantiles)
        if missing not in ("refuse", "interpolate"):
            raise ValueError(f"missing: expected 'refuse' or 'interpolate', got {missing!r}")
        if self.width is not None and self.season is not None and self.width < self.season:
            raise ValueError(f"width: expected at least a season of {season}, got {width}")
        self.missing = missing
        self.units, self.epochs = positive(units, "units"), positive(epochs, "epochs")
        self.networks = positive(networks, "networks")
        if isinstance(seed, bool) or not isinstance(seed, int | np.integer) or seed < 0:
            raise ValueError(f"seed: expected an integer of at least 0, got {seed!r}")
        self.seed = int(seed)
        self.networks_: list[Network] = []
        self.known_ = 0

    def __repr__(self) -> str:
        return f"Forecaster({self.horizon}, season={self.season}, width={self.width}, quantiles={self.quantiles})"

    # --- training ---

    def fit(
        self, y: Any, X: Any = None, *, known: Any = None, threads: int | None = None, progress: bool = False
    ) -> Forecaster:
        """Fit to one series or several, and return self.

        Args:
            y: the series (n,), or a list of several, for one model.
            X: other inputs known at each step of y (n, e), or a list of them.
            known: inputs whose future is known, such as holidays (n, c), or a list of them. They may have the `horizon`
                rows after y, too, as `predict` needs them: these are not read.
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
        jobs = self.jobs(y, X, known=known)
        return self.take(fit_many(jobs, threads=threads, progress=progress))

    def jobs(self, y: Any, X: Any = None, name: tuple[Any, ...] = (), *, known: Any = None) -> list[Job]:
        """Return the fits of all networks as jobs for `fit_many`, so that fits of several forecasters run together.

        This is the first half of `fit`; pass the results to `take` in this order.

        Args:
            y: as for `fit`.
            X: as for `fit`.
            name: the beginning of each name: that of job i is (*name, i).
            known: as for `fit`.

        Returns:
            A job for each network.

        Raises:
            TypeError, ValueError: as from `fit`.

        Examples:
            >>> model = cgru.forecast.Forecaster(2, season=4, networks=2, epochs=1)
            >>> jobs = model.jobs(np.arange(40) % 4, name=("a",))
            >>> [job.name for job in jobs]
            [('a', 0), ('a', 1)]
            >>> model.take(cgru.fit_many(jobs)).predict(np.arange(40) % 4).shape
            (2,)
        """
        series, inputs, known = self._validated(y, X, known, (0, self.horizon))
        longest = max(series, key=len)
        season = guess_season(longest) if self.season is None else self.season
        width = self._width(len(longest), season)
        self.networks_, self.known_, self.season_, self.width_ = [], known[0].shape[1], season, width
        batch, future, held_out = self._cut(series, inputs, known)
        self.windows_ = len(future)
        self.input_mean_, deviation = _mean_and_deviation(batch.Z.reshape(-1, batch.Z.shape[2]))
        self.input_scale_ = _divisors(deviation)
        Z = (batch.Z - self.input_mean_) / self.input_scale_
        self.linear_ = ridge(Z.reshape(len(Z), -1), (future - batch.level) / batch.scale, held_out)
        self.effect_ = self._effect(batch, future, held_out)
        errors = [(future - simple) / batch.scale for simple in self._base_forecasts(batch, Z)]
        moments = [_mean_and_deviation(error) for error in errors]
        self.target_mean_, self.target_scale_ = (np.stack(each) for each in zip(*moments, strict=True))
        targets = [(error - mean) / _divisors(scale) for error, (mean, scale) in zip(errors, moments, strict=True)]
        least, most = BATCH_RANGE
        options = {"epochs": self.epochs, "batch_size": min(most, max(least, len(Z) // 10))}
        builds = [functools.partial(self._network, i) for i in range(self.networks)]
        return [Job(build, (*name, i), X=Z, y=targets[i % 2], **options) for i, build in enumerate(builds)]

    def take(self, results: Sequence[Result]) -> Forecaster:
        """Take the fitted networks from the results of `jobs`, and return self.

        This is the second half of `fit`.

        Args:
            results: the results of all jobs, in their order.

        Returns:
            The forecaster.

        Raises:
            Exception: the error of a failed fit.

        Examples:
            >>> model = cgru.forecast.Forecaster(2, season=4, networks=2, epochs=1)
            >>> model = model.take(cgru.fit_many(model.jobs(np.arange(40) % 4)))
            >>> len(model.networks_)
            2
        """
        for result in results:
            if result.error is not None:
                raise result.error
        self.networks_ = [result.network for result in results]
        return self

    def _network(self, i: int) -> Network:
        """Build network i, untrained."""
        loss = f"quantile({', '.join(map(str, self._output_levels))})" if self.quantiles else "huber"
        adam = Adam(LEARNING_RATE, clip_norm=1.0, schedule="one_cycle")
        layers = [GRU(self.units), Dense(self.horizon * len(self._output_levels), "identity")]
        return Network(layers, loss, adam, seed=self.seed + i, dtype=np.float32)

    @property
    def _output_levels(self) -> list[float]:
        """Return the sorted quantile levels that a network predicts of each value, the median among them."""
        return sorted({0.5, *self.quantiles})

    def _width(self, n: int, season: int) -> int:
        """Return the width of a window for a series of n values; raise ValueError if these are too few."""
        least = min_length(self.horizon, season, self.width)
        if self.width is not None and self.width < season:
            raise ValueError(f"width: expected at least a season, {season}, got {self.width}")
        if n < least:
            due = f"at least {least} values for a season of {season} and a horizon of {self.horizon}"
            raise ValueError(f"y: expected {due}, got {n}; a shorter horizon, season or width needs fewer")
        return self.width or min(max(2 * season, DEFAULT_WIDTH), season + n - least)

    # --- inputs ---

    @property
    def _features(self) -> int:
        """Return the number of features of a window's step that series and known inputs make, without those of X."""
        return 1 + self.known_ * -(-(self.width_ + self.horizon) // self.width_)

    @property
    def _inputs(self) -> int:
        """Return the number of inputs of X; RuntimeError before a fit."""
        if not hasattr(self, "linear_"):
            raise RuntimeError("fit: expected to be called before predict")
        return len(self.input_mean_) - self._features

    def blank_inputs(self, y: Any) -> dict[str, Any]:
        """Return inputs beside y that are 0, as arguments of `predict`, for the baselines that read none.

        Args:
            y: the series, as for `predict`.

        Returns:
            A dict of "X" and "known", None where the forecaster has no such inputs.

        Raises:
            RuntimeError: the forecaster is not fitted.

        Examples:
            >>> y = np.arange(40) % 4
            >>> model = cgru.forecast.Forecaster(2, season=4, networks=1, epochs=1).fit(y, np.ones((40, 3)))
            >>> blank = model.blank_inputs(y)
            >>> blank["X"].shape, blank["known"]
            ((40, 3), None)
        """
        made = {}
        for name, columns, ahead in (("X", self._inputs, 0), ("known", self.known_, self.horizon)):
            blank = [np.zeros((len(each) + ahead, columns)) for each in series_by_name(y).values()]
            made[name] = unwrap_single(y, blank) if columns else None
        return made

    def _validated(self, y: Any, X: Any, known: Any, ahead: tuple[int, ...]) -> list[list[np.ndarray]]:
        """Return lists of the series (n,), their inputs (n, e) and known inputs (n + one of `ahead`, c), without NaN.

        Inputs that are None have no columns.
        """
        found = series_by_name(y)
        checked = [[fill_missing(each, self.missing, name) for name, each in found.items()]]
        for argument, given, more in (("X", X, (0,)), ("known", known, ahead)):
            inputs = inputs_by_name(argument, given, y, [len(each) for each in found.values()], more)
            checked.append([fill_missing(each, self.missing, name) for name, each in inputs.items()])
        return checked

    def _cut(
        self, series: list[np.ndarray], inputs: list[np.ndarray], known: list[np.ndarray]
    ) -> tuple[Windows, np.ndarray, np.ndarray]:
        """Return the windows of all series, the values after each (m, horizon), and a mask of held-out windows (m,).

        Held out, to choose the linear model's penalty, is the last fifth of each series.
        """
        found, futures, held_out = [], [], []
        for each, values, ahead in zip(series, inputs, known, strict=True):
            if len(each) < self.width_ + self.horizon:
                continue  # long enough to be forecast, but without a training window
            past, future = windows(each, self.width_, self.horizon)
            beside, _ = windows(values, self.width_, self.horizon)
            whole = np.concatenate(windows(ahead[: len(each)], self.width_, self.horizon), axis=1)
            found.append(self._scale_windows(past, beside, whole, each))
            futures.append(future)
            held_out.append(np.arange(len(past)) >= len(past) - max(1, len(past) // 5))
        parts = map(np.concatenate, zip(*found, strict=True))
        return Windows(*parts), np.concatenate(futures), np.concatenate(held_out)

    def _scale_windows(self, past: np.ndarray, beside: np.ndarray, known: np.ndarray, series: np.ndarray) -> Windows:
        """Scale windows `past` (m, width) of one `series`, and join the inputs `beside` them (m, width, e).

        Known inputs (m, width + horizon, c) reach to the end of the horizon.
        """
        level = past[:, -1:]
        scale = np.maximum(np.abs(past).mean(axis=1, keepdims=True), MIN_SCALE * np.abs(series).mean())
        scale[scale == 0] = 1
        naive = np.repeat(level, self.horizon, axis=1)
        Z = np.concatenate([((past - level) / scale)[:, :, None], beside, _fold(known, self.width_)], axis=2)
        before, ahead = known[:, : self.width_], known[:, self.width_ :]
        change = ahead - seasonal_naive(before, self.season_, self.horizon)
        return Windows(Z, naive, seasonal_naive(past, self.season_, self.horizon), level, scale, change)

    def _effect(self, batch: Windows, future: np.ndarray, held_out: np.ndarray) -> np.ndarray:
        """Return the effect (c,) of a change of each known input, in scales of a window, by a ridge regression.

        It is one for all steps of the horizon, so that few windows suffice.
        """
        if not self.known_:
            return np.empty(0)
        change = batch.change.reshape(-1, self.known_)
        divisors = _divisors(_mean_and_deviation(change)[1])
        errors = ((future - batch.seasonal) / batch.scale).reshape(-1, 1)
        weights, _ = ridge(change / divisors, errors, np.repeat(held_out, self.horizon))
        return weights[:, 0] / divisors

    def _base_forecasts(self, batch: Windows, Z: np.ndarray) -> list[np.ndarray]:
        """Return both forecasts (m, horizon) that networks correct: the seasonal naive one and the linear model's.

        The seasonal naive one follows changes of known inputs. Z are the standardised inputs of the batch.
        """
        weights, bias = self.linear_
        seasonal = batch.seasonal + batch.change @ self.effect_ * batch.scale
        return [seasonal, (Z.reshape(len(Z), -1) @ weights + bias) * batch.scale + batch.level]

    # --- prediction ---

    def predict(self, y: Any, X: Any = None, *, known: Any = None) -> Any:
        """Forecast the `horizon` values after y.

        Args:
            y: the series (n,), at least `width_` values, or a list of several. Pass the whole series if you can, since
                its mean absolute value bounds the scale of a window from below.
            X: as for `fit`.
            known: as for `fit`, with the rows of the horizon: (n + horizon, c).

        Returns:
            The forecast (horizon,), or a list of them if y is a list.

        Raises:
            RuntimeError: the forecaster is not fitted.
            TypeError, ValueError: a series is too short, a value is missing, or inputs do not fit those of `fit`.

        Examples:
            >>> y, holiday = np.arange(40) % 4, np.arange(42)[:, None] % 7 == 0
            >>> model = cgru.forecast.Forecaster(2, season=4, networks=1, epochs=1).fit(y, known=holiday)
            >>> model.predict(y, known=holiday).shape
            (2,)
        """
        middle = self._output_levels.index(0.5)
        return unwrap_single(y, [values[:, middle] for values in self._predict_quantiles(y, X, known)])

    def predict_quantiles(self, y: Any, X: Any = None, *, known: Any = None) -> Any:
        """Forecast each of the `quantiles` of the values after y.

        Args:
            y: as for `predict`.
            X: as for `predict`.
            known: as for `predict`.

        Returns:
            The quantiles (horizon, q), or a list of them if y is a list.

        Raises:
            RuntimeError: the forecaster is not fitted.
            TypeError, ValueError: the forecaster has no quantiles; and as from `predict`.

        Examples:
            >>> y = np.arange(40) % 4
            >>> model = cgru.forecast.Forecaster(2, season=4, quantiles=(0.1, 0.9), networks=1, epochs=1).fit(y)
            >>> band = model.predict_quantiles(y)
            >>> band.shape, bool((band[:, 0] <= model.predict(y)).all())
            ((2, 2), True)
        """
        if not self.quantiles:
            raise ValueError("predict_quantiles: expected a Forecaster with quantiles, got None")
        chosen = [self._output_levels.index(level) for level in self.quantiles]
        return unwrap_single(y, [values[:, chosen] for values in self._predict_quantiles(y, X, known)])

    def baselines(self, y: Any, X: Any = None, *, known: Any = None) -> dict[str, Any]:
        """Forecast the values after y by the baselines.

        Args:
            y: as for `predict`.
            X: as for `predict`.
            known: as for `predict`.

        Returns:
            The forecasts by name, each as from `predict`: "naive", "seasonal naive" and "linear".

        Raises:
            RuntimeError: the forecaster is not fitted.
            TypeError, ValueError: as from `predict`.

        Examples:
            >>> y = np.arange(40) % 4
            >>> model = cgru.forecast.Forecaster(2, season=4, networks=1, epochs=1).fit(y)
            >>> model.baselines(y)["seasonal naive"].tolist()
            [0.0, 1.0]
        """
        batch, Z = self._last_windows(y, X, known)
        _, linear = self._base_forecasts(batch, Z)
        forecasts = {"naive": batch.naive, "seasonal naive": batch.seasonal, "linear": linear}
        return {name: unwrap_single(y, list(values)) for name, values in forecasts.items()}

    def _last_windows(self, y: Any, X: Any, known: Any) -> tuple[Windows, np.ndarray]:
        """Return the last window of each series, and its standardised inputs Z."""
        due, found = self._inputs, []
        checked = self._validated(y, X, known, (self.horizon,))
        for i, (each, values, ahead) in enumerate(zip(*checked, strict=True)):
            if len(each) < self.width_:
                name = f"y[{i}]" if is_list_of_series(y) else "y"
                raise ValueError(f"{name}: expected at least {self.width_} values, got {len(each)}")
            if ahead.shape[1] != self.known_:
                raise ValueError(f"known: expected {self.known_} inputs a step, as for fit, got {ahead.shape[1]}")
            if values.shape[1] != due:
                raise ValueError(f"X: expected {due} inputs a step, got {values.shape[1]}")
            last = (each[-self.width_ :], values[-self.width_ :], ahead[-self.width_ - self.horizon :])
            found.append(self._scale_windows(*(part[None] for part in last), each))
        parts = Windows(*map(np.concatenate, zip(*found, strict=True)))
        return parts, (parts.Z - self.input_mean_) / self.input_scale_

    def _predict_quantiles(self, y: Any, X: Any, known: Any) -> list[np.ndarray]:
        """Return the mean prediction of all networks for each series, (horizon, levels), sorted along the levels."""
        batch, Z = self._last_windows(y, X, known)
        if not self.networks_:
            raise RuntimeError("fit: expected to be called before predict")
        simple = self._base_forecasts(batch, Z)
        total = np.zeros((len(Z), self.horizon, len(self._output_levels)))
        for i, network in enumerate(self.networks_):
            errors = network.predict(Z).reshape(total.shape) * self.target_scale_[i % 2][:, None]
            errors += self.target_mean_[i % 2][:, None]
            total += errors * batch.scale[:, :, None] + simple[i % 2][:, :, None]
        return list(np.sort(total / len(self.networks_)))

    # --- files ---

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the fitted forecaster to the file `path`, for `cgru.forecast.load`.

        The file is an `.npz` without pickled objects.

        Args:
            path: the file, exactly that name.

        Raises:
            RuntimeError: the forecaster is not fitted.
            ValueError: settings or networks were changed after the fit.
            OSError, TypeError: as from `Network.save`.

        Examples:
            >>> y = np.arange(40) % 4
            >>> model = cgru.forecast.Forecaster(2, season=4, networks=1, epochs=1).fit(y)
            >>> model.save("forecaster.npz")
            >>> bool((cgru.forecast.load("forecaster.npz").predict(y) == model.predict(y)).all())
            True
        """
        with atomic_write(path) as file:
            np.savez(file, **self.pack())

    def pack(self) -> dict[str, np.ndarray]:
        """Return the fitted forecaster as the arrays of its file.

        Returns:
            The arrays by name.

        Raises:
            RuntimeError, ValueError: as from `save`.

        Examples:
            >>> model = cgru.forecast.Forecaster(2, season=4, networks=3, epochs=1).fit(np.arange(40) % 4)
            >>> model.pack()["1.W"].shape  # networks, units, horizon
            (3, 16, 2)
        """
        if not self.networks_:
            raise RuntimeError("save: expected a Forecaster that was fitted")
        given = {name: getattr(self, name) for name in _SETTINGS}
        stacked = [dict(network.parameters()) for network in self.networks_]
        due = {name: header for name, header in self._headers(len(self.input_mean_)).items() if "." in name}
        for each in stacked:
            if {name: Header((self.networks, *array.shape), array.dtype) for name, array in each.items()} != due:
                raise ValueError("networks_: expected those of fit, in float32 and as the settings say, got others")
        arrays = {name: np.stack([each[name] for each in stacked]) for name in stacked[0]}
        arrays |= {name: getattr(self, name + "_") for name in _STANDARDIZED}
        arrays |= dict(zip(("weights", "bias"), self.linear_, strict=True))
        found = {"season_": self.season_, "width_": self.width_}
        if self.known_:
            found["known_"], arrays["effect"] = self.known_, self.effect_
        text = json.dumps(given | found)
        return {"format": np.array(FORMAT if self.known_ else 1), "forecaster": np.array(text), **arrays}

    @classmethod
    def from_archive(cls, archive: Archive, others: Collection[str] = ()) -> Forecaster:
        """Build the forecaster from an archive that `save` wrote, or with `others` beside its arrays.

        Args:
            archive: the open archive.
            others: names of arrays that are not the forecaster's.

        Returns:
            The forecaster.

        Raises:
            KeyError, ValueError: the archive is another, before an array is read.

        Examples:
            >>> model = cgru.forecast.Forecaster(2, season=4, networks=1, epochs=1).fit(np.arange(40) % 4)
            >>> model.save("forecaster.npz")
            >>> cgru.forecast.load("forecaster.npz").width_  # calls this
            12
        """
        headers = archive.headers
        given = read_json("forecaster", archive)
        if not isinstance(given, dict) or given.keys() - {"known_"} != {*_SETTINGS, "season_", "width_"}:
            raise ValueError("forecaster: expected a JSON object of its settings")
        found = {name: positive(given.pop(name), name) for name in ("season_", "width_", "known_") if name in given}
        self = cls(**given)
        vars(self).update(found)
        due = self._headers(headers["input_mean"].shape[0] if headers["input_mean"].shape else 0)
        if headers.keys() - {"forecaster", *others} != due.keys():
            raise ValueError(f"expected the arrays {', '.join(due)}, got {', '.join(headers)}")
        for name, header in due.items():
            if headers[name] != header:
                raise ValueError(f"{name}: expected {header.dtype} {header.shape}, got {headers[name]}")
        arrays = {name: archive.read(name) for name in due}
        self.linear_ = arrays.pop("weights"), arrays.pop("bias")
        self.effect_ = np.empty(0)
        self.networks_ = [self._network(i) for i in range(self.networks)]
        for name, array in arrays.items():
            place, _, parameter = name.partition(".")
            if not parameter:
                setattr(self, name + "_", array)
                continue
            for network, values in zip(self.networks_, array, strict=True):
                network.layers[int(place)].p[parameter] = values.copy()
        return self

    def _headers(self, features: int) -> dict[str, Header]:
        """Return the shape and dtype of each array in its file, for windows with so many features a step."""
        outputs = self.horizon * len(self._output_levels)
        gru = GRU(self.units).variant.shapes(features, self.units)
        layers = {f"0.{name}": shape for name, shape in gru.items()}
        layers |= {"1.W": (self.units, outputs), "1.b": (1, outputs)}
        due = {name: Header((self.networks, *shape), np.dtype(np.float32)) for name, shape in layers.items()}
        scales = dict.fromkeys(_STANDARDIZED[:2], (features,)) | dict.fromkeys(_STANDARDIZED[2:], (2, self.horizon))
        scales |= {"weights": (self.width_ * features, self.horizon), "bias": (self.horizon,)}
        scales |= {"effect": (self.known_,)} if self.known_ else {}
        return due | {name: Header(shape, np.dtype(np.float64)) for name, shape in scales.items()}


def min_length(horizon: int, season: int, width: int | None = None) -> int:
    """Return the least length of a series to train on: that of ten windows of `width`, or else of a season."""
    return (season if width is None else width) + horizon + MIN_WINDOWS - 1


def _fold(known: np.ndarray, width: int) -> np.ndarray:
    """Return known inputs (m, s, c), of a window and its horizon, as features (m, width, b c) of the window's steps.

    Step i has the inputs of steps i, i + width, ... up to the end, or else of the last step.
    """
    m, s, c = known.shape
    b = -(-s // width)
    steps = np.minimum(np.arange(width)[:, None] + width * np.arange(b), s - 1)
    return known[:, steps].reshape(m, width, b * c)


def _check_quantiles(quantiles: Sequence[float] | None) -> tuple[float, ...]:
    """Return the levels as a tuple, () for None; raise TypeError or ValueError unless they rise within 0 and 1."""
    if quantiles is not None and not np.iterable(quantiles):
        raise TypeError(f"quantiles: expected levels, such as (0.1, 0.9), got {quantiles!r}")
    levels = () if quantiles is None else tuple(quantiles)
    for level in levels:
        if isinstance(level, bool) or not isinstance(level, float | int) or not 0 < level < 1:
            raise ValueError(f"quantiles: expected levels between 0 and 1, got {level!r}")
    if list(levels) != sorted(set(levels)):
        raise ValueError(f"quantiles: expected levels that rise, got {levels}")
    return levels


def is_list_of_series(y: Any) -> bool:
    """Return whether y is a list of series rather than one."""
    return isinstance(y, list | tuple) and len(y) > 0 and np.ndim(y[0]) > 0


def series_by_name(y: Any) -> dict[str, np.ndarray]:
    """Return each series of y, checked and as float64, by its name in errors: "y", or "y[i]" for a list."""
    series = {f"y[{i}]": each for i, each in enumerate(y)} if is_list_of_series(y) else {"y": y}
    return {name: as_float64(each, name) for name, each in series.items()}


def inputs_by_name(
    argument: str, values: Any, y: Any, lengths: Sequence[int], ahead: tuple[int, ...]
) -> dict[str, np.ndarray]:
    """Return the inputs beside each series of y, checked and as float64, by its name in errors; None has no columns.

    Args:
        argument: the argument that has them, "X" or "known".
        values: the inputs (n + one of `ahead`, e), or a list of them if y is a list.
        y: the series.
        lengths: their lengths.
        ahead: how many rows there may be after the last value of a series; none of them may be missing.
    """
    is_list = is_list_of_series(y)
    names = [f"{argument}[{i}]" if is_list else argument for i in range(len(lengths))]
    if values is None:
        return {name: np.empty((n + ahead[-1], 0)) for name, n in zip(names, lengths, strict=True)}
    values = list(values) if is_list else [values]
    if len(values) != len(lengths):
        raise ValueError(f"{argument}: expected inputs for each of {len(lengths)} series, got {len(values)}")
    found = {name: as_float64(each, name, 2) for name, each in zip(names, values, strict=True)}
    columns = found[names[0]].shape[1]
    for (name, each), n in zip(found.items(), lengths, strict=True):
        due = [(n + rows, columns) for rows in ahead]
        if each.shape not in due:
            what = "series and horizon" if any(ahead) else "series"
            raise ValueError(f"{name}: expected shape {' or '.join(map(str, due))}, as its {what}, got {each.shape}")
        if np.isnan(each[n:]).any():
            place = n + int(np.isnan(each[n:]).any(axis=1).argmax())
            raise ValueError(f"{name}: expected a value at each step of the horizon, got none at {place}")
    return found


def unwrap_single(y: Any, values: list[np.ndarray]) -> Any:
    """Return the list of `values`, one for each series, or its only item if y is no list."""
    return values if is_list_of_series(y) else values[0]


def _mean_and_deviation(values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the mean and standard deviation of each column; the deviation of a constant column is exactly 0."""
    mean, deviation = values.mean(axis=0), values.std(axis=0)
    return mean, np.where(deviation > 1e-12 * np.abs(values).max(axis=0), deviation, 0)


def _divisors(deviation: np.ndarray) -> np.ndarray:
    """Return standard deviations to divide by: 1 in the place of 0."""
    return np.where(deviation == 0, 1, deviation)
