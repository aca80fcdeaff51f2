"""Forecaster: small networks that correct two simple forecasts of a series, averaged.

n values of a series, e inputs beside it, m windows of `width` steps, q quantiles.
"""

from __future__ import annotations

import functools
import json
import os
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from cgru.core.checks import positive
from cgru.files import Archive, Header, replacing
from cgru.forecast.linear import ridge
from cgru.forecast.series import checked, filled, guess_season, seasonal_naive, windows
from cgru.gru import GRU
from cgru.layers.dense import Dense
from cgru.many import Job, Result, fit_many
from cgru.network.files import read_checked, read_json
from cgru.network.network import Network
from cgru.optimizers import Adam

__all__ = ["Forecaster", "load", "named", "needed", "several"]

FORMAT = 1
_GIVEN = ("horizon", "season", "width", "quantiles", "missing", "units", "epochs", "networks", "seed")
_MOMENTS = ("input_mean", "input_scale", "target_mean", "target_scale")

LEAST = 10  # windows to learn from
WIDTH = 12  # of a series without a season
BATCHES = (8, 32)  # windows of a batch at the least and at most
LEARNING_RATE = 5e-3
FLOOR = 0.1  # the least scale of a window, of that of its series


class Inputs(NamedTuple):
    """Windows as networks take them: Z (m, width, 1 + e), the forecasts that they correct, and the units of these.

    `naive`, `seasonal` (m, horizon) are in the units of the series; of `level` and `scale` (m, 1) the first is the last
    value of a window, the second the mean size of its values.
    """

    Z: np.ndarray
    naive: np.ndarray
    seasonal: np.ndarray
    level: np.ndarray
    scale: np.ndarray


class Forecaster:
    """Forecasts the next `horizon` values of a series, all at once.

    Each of several small networks, a GRU and a `Dense` of `horizon` outputs, reads the last `width` values and says how
    far a simple forecast will be off: every other one corrects the seasonal naive forecast (the last season again;
    without a season the last value), every other one a linear model of the same windows. Their forecasts are averaged.
    What a network reads and says is in units of the window: less its last value, over the mean size of its values; a
    trend may lead anywhere, and what grows with the level may grow on.

    Args:
        horizon: how many values to forecast.
        season: how many steps a season has, 1 for none; None: `guess_season` of what it is fitted to.
        width: how many values a network reads, at least a season; None: two seasons, 12 without a season, or as many
            as leave ten windows to learn from.
        quantiles: the levels of an interval, such as (0.1, 0.9); the forecast is then the median. None: no interval.
        missing: "refuse" NaN, or "interpolate" over it, within what each call is given.
        units, epochs, networks: of each network; passes over the windows; how many networks.
        seed: makes a fit repeatable bit for bit, on any number of threads.

    After a fit `season_` and `width_` are what was used, and `windows_` from how many windows it learned. TypeError or
    ValueError for arguments that cannot be.
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
        self.quantiles = _levels(quantiles)
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

    def __repr__(self) -> str:
        return f"Forecaster({self.horizon}, season={self.season}, width={self.width}, quantiles={self.quantiles})"

    # --- training ---

    def fit(self, y: Any, X: Any = None, *, threads: int | None = None, progress: bool = False) -> Forecaster:
        """Learn from y, and return self.

        y: the series (n,), or a list of several, which one model learns. X: what else is known at each step of it up to
        the present (n, e), or a list of such. `threads` and `progress` as for `cgru.fit_many`.

        ValueError for a series that is too short, with what is needed, and for values that are missing.
        """
        jobs = self.jobs(y, X)
        return self.take(fit_many(jobs, threads=threads, progress=progress))

    def jobs(self, y: Any, X: Any = None, name: tuple[Any, ...] = ()) -> list[Job]:
        """The first half of `fit`: the fits of its networks, for `fit_many` beside others; `name` begins their names.

        `take` is to get their results, in this order.
        """
        series, inputs = self._given(y, X)
        self.networks_ = []
        longest = max(series, key=len)
        self.season_ = guess_season(longest) if self.season is None else self.season
        self.width_ = self._width(len(longest))
        found, future, late = self._windows(series, inputs)
        self.windows_ = len(future)
        self.input_mean_, deviation = _moments(found.Z.reshape(-1, found.Z.shape[2]))
        self.input_scale_ = _divisors(deviation)
        Z = (found.Z - self.input_mean_) / self.input_scale_
        self.linear_ = ridge(Z.reshape(len(Z), -1), (future - found.level) / found.scale, late)
        errors = [(future - simple) / found.scale for simple in self._simple(found, Z)]
        moments = [_moments(error) for error in errors]
        self.target_mean_, self.target_scale_ = (np.stack(each) for each in zip(*moments, strict=True))
        targets = [(error - mean) / _divisors(scale) for error, (mean, scale) in zip(errors, moments, strict=True)]
        least, most = BATCHES
        options = {"epochs": self.epochs, "batch_size": min(most, max(least, len(Z) // 10))}
        builds = [functools.partial(self._network, i) for i in range(self.networks)]
        return [Job(build, (*name, i), X=Z, y=targets[i % 2], **options) for i, build in enumerate(builds)]

    def take(self, results: Sequence[Result]) -> Forecaster:
        """The second half of `fit`: the networks, out of the results of `jobs`; an error of one is raised."""
        for result in results:
            if result.error is not None:
                raise result.error
        self.networks_ = [result.network for result in results]
        return self

    def _network(self, i: int) -> Network:
        loss = f"quantile({', '.join(map(str, self._outputs))})" if self.quantiles else "huber"
        adam = Adam(LEARNING_RATE, clip_norm=1.0, schedule="one_cycle")
        layers = [GRU(self.units), Dense(self.horizon * len(self._outputs), "identity")]
        return Network(layers, loss, adam, seed=self.seed + i, dtype=np.float32)

    @property
    def _outputs(self) -> list[float]:
        """The quantiles that a network says of each value, the median among them."""
        return sorted({0.5, *self.quantiles})

    def _width(self, n: int) -> int:
        """How wide a window is; ValueError for n values that are too few."""
        season, least = self.season_, needed(self.horizon, self.season_, self.width)
        if self.width is not None and self.width < season:
            raise ValueError(f"width: expected at least a season, {season}, got {self.width}")
        if n < least:
            due = f"at least {least} values for a season of {season} and a horizon of {self.horizon}"
            raise ValueError(f"y: expected {due}, got {n}; a shorter horizon, season or width needs fewer")
        return self.width or min(max(2 * season, WIDTH), season + n - least)

    # --- what is read ---

    def _given(self, y: Any, X: Any) -> tuple[list[np.ndarray], list[np.ndarray]]:
        """The series (n,) and the inputs (n, e) of each, e = 0 where there are none, without NaN."""
        found = named(y)
        series = [filled(each, self.missing, name) for name, each in found.items()]
        if X is None:
            return series, [np.empty((len(each), 0)) for each in series]
        X = list(X) if several(y) else [X]
        if len(X) != len(series):
            raise ValueError(f"X: expected inputs for each of {len(series)} series, got {len(X)}")
        inputs = []
        for each, values, name in zip(series, X, [name.replace("y", "X") for name in found], strict=True):
            inputs.append(filled(checked(values, name, 2), self.missing, name))
            due, got = (len(each), inputs[0].shape[1]), inputs[-1].shape
            if got != due:
                raise ValueError(f"{name}: expected shape {due}, as its series, got {got}")
        return series, inputs

    def _windows(self, series: list[np.ndarray], inputs: list[np.ndarray]) -> tuple[Inputs, np.ndarray, np.ndarray]:
        """All windows, what followed each (m, horizon), and which are the last fifth of their series (m,)."""
        found, futures, late = [], [], []
        for each, values in zip(series, inputs, strict=True):
            if len(each) < self.width_ + self.horizon:
                continue  # it may be forecast, but there is nothing to learn from
            past, future = windows(each, self.width_, self.horizon)
            beside, _ = windows(values, self.width_, self.horizon)
            found.append(self._inputs(past, beside, each))
            futures.append(future)
            late.append(np.arange(len(past)) >= len(past) - max(1, len(past) // 5))
        parts = map(np.concatenate, zip(*found, strict=True))
        return Inputs(*parts), np.concatenate(futures), np.concatenate(late)

    def _inputs(self, past: np.ndarray, beside: np.ndarray, series: np.ndarray) -> Inputs:
        """Windows `past` (m, width) of a series, `beside` them its inputs (m, width, e)."""
        level = past[:, -1:]
        scale = np.maximum(np.abs(past).mean(axis=1, keepdims=True), FLOOR * np.abs(series).mean())
        scale[scale == 0] = 1
        naive = np.repeat(level, self.horizon, axis=1)
        Z = np.concatenate([((past - level) / scale)[:, :, None], beside], axis=2)
        return Inputs(Z, naive, seasonal_naive(past, self.season_, self.horizon), level, scale)

    def _simple(self, found: Inputs, Z: np.ndarray) -> list[np.ndarray]:
        """The two forecasts (m, horizon) that networks correct, of windows that are Z once they are standardised."""
        weights, bias = self.linear_
        return [found.seasonal, (Z.reshape(len(Z), -1) @ weights + bias) * found.scale + found.level]

    # --- use ---

    def predict(self, y: Any, X: Any = None) -> Any:
        """The next `horizon` values (horizon,) after y (n,), or a list of them where y is a list of series.

        y and X as for `fit`; of y at least `width_` values, and better all: of them the scale of a window takes note.
        """
        middle = self._outputs.index(0.5)
        return _like(y, [values[:, middle] for values in self._quantiles(y, X)])

    def predict_quantiles(self, y: Any, X: Any = None) -> Any:
        """The same for each of the `quantiles`, (horizon, q)."""
        if not self.quantiles:
            raise ValueError("predict_quantiles: expected a Forecaster with quantiles, got None")
        chosen = [self._outputs.index(level) for level in self.quantiles]
        return _like(y, [values[:, chosen] for values in self._quantiles(y, X)])

    def baselines(self, y: Any, X: Any = None) -> dict[str, Any]:
        """What simpler models say, each as `predict`: "naive", the last value again, "seasonal naive", "linear"."""
        found, Z = self._last(y, X)
        seasonal, linear = self._simple(found, Z)
        said = {"naive": found.naive, "seasonal naive": seasonal, "linear": linear}
        return {name: _like(y, list(values)) for name, values in said.items()}

    def _last(self, y: Any, X: Any) -> tuple[Inputs, np.ndarray]:
        """The last window of each series, and as networks take it."""
        if not self.networks_:
            raise RuntimeError("fit: expected to be called before predict")
        found = []
        series, inputs = self._given(y, X)
        for i, (each, values) in enumerate(zip(series, inputs, strict=True)):
            if len(each) < self.width_:
                name = f"y[{i}]" if several(y) else "y"
                raise ValueError(f"{name}: expected at least {self.width_} values, got {len(each)}")
            if 1 + values.shape[1] != len(self.input_mean_):
                raise ValueError(f"X: expected {len(self.input_mean_) - 1} inputs a step, got {values.shape[1]}")
            found.append(self._inputs(each[None, -self.width_ :], values[None, -self.width_ :], each))
        parts = Inputs(*map(np.concatenate, zip(*found, strict=True)))
        return parts, (parts.Z - self.input_mean_) / self.input_scale_

    def _quantiles(self, y: Any, X: Any) -> list[np.ndarray]:
        """(horizon, outputs) for each series: the mean of all networks, of each output by itself, in order."""
        found, Z = self._last(y, X)
        simple = self._simple(found, Z)
        said = np.zeros((len(Z), self.horizon, len(self._outputs)))
        for i, network in enumerate(self.networks_):
            errors = network.predict(Z).reshape(said.shape) * self.target_scale_[i % 2][:, None]
            errors += self.target_mean_[i % 2][:, None]
            said += errors * found.scale[:, :, None] + simple[i % 2][:, :, None]
        return list(np.sort(said / len(self.networks_)))

    # --- its file ---

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write it to `path`, exactly that name, for `cgru.forecast.load`: an `.npz` without pickled objects.

        RuntimeError before a fit, ValueError where settings or networks are no longer those of it; the errors of
        `Network.save` for the file.
        """
        if not self.networks_:
            raise RuntimeError("save: expected a Forecaster that was fitted")
        given = {name: getattr(self, name) for name in _GIVEN}
        stacked = [dict(network.parameters()) for network in self.networks_]
        due = {name: header for name, header in self._shapes(len(self.input_mean_)).items() if "." in name}
        for each in stacked:
            if {name: Header((self.networks, *array.shape), array.dtype) for name, array in each.items()} != due:
                raise ValueError("networks_: expected those of fit, in float32 and as the settings say, got others")
        arrays = {name: np.stack([each[name] for each in stacked]) for name in stacked[0]}
        arrays |= {name: getattr(self, name + "_") for name in _MOMENTS}
        arrays |= dict(zip(("weights", "bias"), self.linear_, strict=True))
        text = json.dumps({**given, "season_": self.season_, "width_": self.width_})
        with replacing(path) as file:
            np.savez(file, format=np.array(FORMAT), forecaster=np.array(text), **arrays)

    @classmethod
    def _from_archive(cls, archive: Archive) -> Forecaster:
        """What `save` wrote; KeyError or ValueError for what it did not, before an array is read."""
        headers = archive.headers
        given = read_json("forecaster", archive)
        if not isinstance(given, dict) or given.keys() != {*_GIVEN, "season_", "width_"}:
            raise ValueError("forecaster: expected a JSON object of its settings")
        found = {name: positive(given.pop(name), name) for name in ("season_", "width_")}
        self = cls(**given)
        vars(self).update(found)
        due = self._shapes(headers["input_mean"].shape[0] if headers["input_mean"].shape else 0)
        if headers.keys() - {"forecaster"} != due.keys():
            raise ValueError(f"expected the arrays {', '.join(due)}, got {', '.join(headers)}")
        for name, header in due.items():
            if headers[name] != header:
                raise ValueError(f"{name}: expected {header.dtype} {header.shape}, got {headers[name]}")
        arrays = {name: archive.read(name) for name in due}
        self.linear_ = arrays.pop("weights"), arrays.pop("bias")
        self.networks_ = [self._network(i) for i in range(self.networks)]
        for name, array in arrays.items():
            place, _, parameter = name.partition(".")
            if not parameter:
                setattr(self, name + "_", array)
                continue
            for network, values in zip(self.networks_, array, strict=True):
                network.layers[int(place)].p[parameter] = values.copy()
        return self

    def _shapes(self, elements: int) -> dict[str, Header]:
        """What arrays its file has, for so many elements a step."""
        outputs = self.horizon * len(self._outputs)
        gru = GRU(self.units).variant.shapes(elements, self.units)
        layers = {f"0.{name}": shape for name, shape in gru.items()}
        layers |= {"1.W": (self.units, outputs), "1.b": (1, outputs)}
        due = {name: Header((self.networks, *shape), np.dtype(np.float32)) for name, shape in layers.items()}
        scales = dict.fromkeys(_MOMENTS[:2], (elements,)) | dict.fromkeys(_MOMENTS[2:], (2, self.horizon))
        scales |= {"weights": (self.width_ * elements, self.horizon), "bias": (self.horizon,)}
        return due | {name: Header(shape, np.dtype(np.float64)) for name, shape in scales.items()}


def load(path: str | os.PathLike[str]) -> Forecaster:
    """The Forecaster that `save` wrote to `path`, which forecasts bit for bit the same.

    ValueError for a file that is damaged, foreign or of a newer format; OSError where it cannot be read.
    """
    return read_checked(path, "forecaster", FORMAT, Forecaster._from_archive)


def needed(horizon: int, season: int, width: int | None = None) -> int:
    """How many values a series must have to be learned from: ten windows of a season at the least."""
    return (season if width is None else width) + horizon + LEAST - 1


def _levels(quantiles: Sequence[float] | None) -> tuple[float, ...]:
    if quantiles is not None and not np.iterable(quantiles):
        raise TypeError(f"quantiles: expected levels, such as (0.1, 0.9), got {quantiles!r}")
    levels = () if quantiles is None else tuple(quantiles)
    for level in levels:
        if isinstance(level, bool) or not isinstance(level, float | int) or not 0 < level < 1:
            raise ValueError(f"quantiles: expected levels between 0 and 1, got {level!r}")
    if list(levels) != sorted(set(levels)):
        raise ValueError(f"quantiles: expected levels that rise, got {levels}")
    return levels


def several(y: Any) -> bool:
    """Whether y is a list of series."""
    return isinstance(y, list | tuple) and len(y) > 0 and np.ndim(y[0]) > 0


def named(y: Any) -> dict[str, np.ndarray]:
    """Return each series of y, as `checked`, by its name in errors."""
    series = {f"y[{i}]": each for i, each in enumerate(y)} if several(y) else {"y": y}
    return {name: checked(each, name) for name, each in series.items()}


def _like(y: Any, values: list[np.ndarray]) -> Any:
    return values if several(y) else values[0]


def _moments(values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Mean and deviation of each column; 0 for that of one in which nothing changes, of which nothing is to be said."""
    mean, deviation = values.mean(axis=0), values.std(axis=0)
    return mean, np.where(deviation > 1e-12 * np.abs(values).max(axis=0), deviation, 0)


def _divisors(deviation: np.ndarray) -> np.ndarray:
    """Deviations, 1 in the place of 0."""
    return np.where(deviation == 0, 1, deviation)
