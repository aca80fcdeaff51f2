"""Series with their inputs and times, checked; and the windows that a model learns from.

n values, e inputs, c inputs known in the future, m windows of `width` steps, each followed by `horizon` values.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from cgru.core.checks import positive

__all__ = ["History", "seasonal_naive", "windows"]


@dataclass(frozen=True)
class History:
    """Several series, each with what is known next to it.

    Attributes:
        given: the argument y, whose form forecasts take.
        names: the name of each series in errors.
        y: the values (n,) of each series.
        X: the inputs (n, e) of each.
        known: the inputs known in the future (n or n + horizon, c) of each.
        times: the dates (n,) of each, in seconds; or None.
    """

    given: Any
    names: list[str]
    y: list[np.ndarray]
    X: list[np.ndarray]
    known: list[np.ndarray]
    times: list[np.ndarray] | None

    @classmethod
    def of(cls, y: Any, X: Any, known: Any, times: Any, ahead: Sequence[int]) -> History:
        """Check the arguments of `fit` and `predict`; known inputs have one of `ahead` more rows than the series.

        TypeError or ValueError for types or shapes that do not fit, infinite numbers, or a missing value of the future.
        """
        values = _listed(y, y)
        names = list(map(str, y)) if isinstance(y, Mapping) else [f"y[{i}]" for i in range(len(values))]
        names = names if _is_several(y) else ["y"]
        if not names:
            raise ValueError("y: expected at least one series, got none")
        series = [_as_float64(each, name) for name, each in zip(names, values, strict=True)]
        lengths = list(map(len, series))
        inputs = []
        for argument, given, rows in (("X", X, (0,)), ("known", known, ahead)):
            if given is None:
                inputs.append([np.empty((n + rows[-1], 0)) for n in lengths])
                continue
            found = [_as_float64(each, argument, 2) for each in _one_each(argument, given, y, lengths)]
            for each, name, n in zip(found, names, lengths, strict=True):
                due = [(n + more, found[0].shape[1]) for more in rows]
                if each.shape not in due:
                    shapes = " or ".join(map(str, due))
                    raise ValueError(f"{argument}: expected shape {shapes} for {name}, got {each.shape}")
                if np.isnan(each[n:]).any():
                    lost = n + int(np.isnan(each[n:]).any(axis=1).argmax())
                    raise ValueError(f"{argument}: expected a value at each step after {name}, got none at {lost}")
            inputs.append(found)
        if times is not None:
            given = _one_each("times", times, y, lengths)
            times = [_as_times(each, len(own), name) for each, own, name in zip(given, series, names, strict=True)]
        return cls(y, names, series, *inputs, times)

    def filled(self, missing: str) -> History:
        """Return the same with each NaN filled, or refused, as `fill_missing` does it."""
        rows = zip(self.names, self.y, self.X, self.known, strict=True)
        found = [
            [
                fill_missing(each, missing, what + name)
                for what, each in zip(("", "X of ", "known of "), parts, strict=True)
            ]
            for name, *parts in rows
        ]
        y, X, known = map(list, zip(*found, strict=True))
        return replace(self, y=y, X=X, known=known)

    def until(self, left: int, horizon: int) -> History:
        """Return what was known when there were `left` values fewer, with known inputs up to the end of the horizon."""
        ends = [len(each) - left for each in self.y]
        y, X = ([each[:end] for each, end in zip(part, ends, strict=True)] for part in (self.y, self.X))
        known = [each[: end + horizon] for each, end in zip(self.known, ends, strict=True)]
        times = self.times and [each[:end] for each, end in zip(self.times, ends, strict=True)]
        return replace(self, y=y, X=X, known=known, times=times)

    @property
    def shortest(self) -> int:
        """Return the number of values of the shortest series."""
        return min(map(len, self.y))

    def in_form(self, values: Sequence[np.ndarray]) -> Any:
        """Return the values of each series in the form of the argument y: one, a list, or a dict."""
        if isinstance(self.given, Mapping):
            return dict(zip(self.given, values, strict=True))
        return list(values) if _is_several(self.given) else values[0]


def _is_several(y: Any) -> bool:
    """Return whether y is a list or a dict of series rather than one."""
    return isinstance(y, Mapping) or (isinstance(y, list | tuple) and len(y) > 0 and np.ndim(y[0]) > 0)


def _listed(values: Any, y: Any) -> list[Any]:
    """Return an argument as a list with an item for each series in y; of a dict those that y names, if it is one."""
    if isinstance(values, Mapping):
        return [values[name] for name in y if name in values] if isinstance(y, Mapping) else []
    return list(values) if _is_several(y) else [values]


def _one_each(argument: str, values: Any, y: Any, lengths: Sequence[int]) -> list[Any]:
    """Return an argument as a list with one item for each series; ValueError for another number of items."""
    found = _listed(values, y)
    if len(found) != len(lengths):
        raise ValueError(f"{argument}: expected one for each of {len(lengths)} series, got {len(found)}")
    return found


def _as_float64(values: Any, name: str, ndim: int = 1) -> np.ndarray:
    """Return `values` (n,), or (n, e) for ndim 2, as a float64 array, with NaN where one is masked.

    TypeError if they are no real numbers, ValueError for another shape, infinities or numbers above 1e100.
    """
    if isinstance(values, np.ma.MaskedArray) and values.dtype.kind in "biuf":
        values = values.astype(np.float64).filled(np.nan)
    array = np.asarray(values)
    if array.dtype.kind not in "biuf":
        raise TypeError(f"{name}: expected real numbers, got dtype {array.dtype}")
    if array.ndim != ndim or not array.size:
        due = ("(n,)", "(n, e)")[ndim - 1]
        raise ValueError(f"{name}: expected shape {due} and at least one value, got {array.shape}")
    array = array.astype(np.float64)
    for place in map(tuple, np.argwhere(np.abs(array) > 1e100).tolist()):
        raise ValueError(f"{name}: expected numbers up to 1e100, got {array[place]} at {place}")
    return array


def _as_times(times: Any, n: int, name: str) -> np.ndarray:
    """Return the n times of a series in seconds; TypeError or ValueError unless they are dates that rise."""
    array = np.asarray(times)
    if array.dtype.kind != "M":
        raise TypeError(f"times: expected datetime64 for {name}, got dtype {array.dtype}")
    if array.shape != (n,):
        raise ValueError(f"times: expected shape {(n,)} for {name}, got {array.shape}")
    array = array.astype("datetime64[s]")
    if np.isnat(array).any() or (np.diff(array) <= np.timedelta64(0, "s")).any():
        raise ValueError(f"times: expected times that rise for {name}, got {array[0]} to {array[-1]}")
    return array


def fill_missing(values: np.ndarray, missing: str, name: str) -> np.ndarray:
    """Return `values` (n,) or (n, e) with each NaN filled, or refused.

    `missing` "refuse" raises ValueError with the place of the first NaN. "interpolate" fills linearly between the
    neighbours, and at both ends with the nearest value. This looks ahead: pass only what is known at a forecast's
    origin, never the whole series.
    """
    lost = np.isnan(values)
    if not lost.any():
        return values
    if missing == "refuse":
        place = np.argwhere(lost)[0, 0]
        raise ValueError(f'{name}: expected a value at each step, got none at {place}; missing="interpolate" fills it')
    columns = values.reshape(len(values), -1).copy()
    for column in columns.T:
        there = np.flatnonzero(~np.isnan(column))
        if not there.size:
            raise ValueError(f"{name}: expected at least one value, got none in {len(column)} steps")
        column[:] = np.interp(np.arange(len(column)), there, column[there])
    return columns.reshape(values.shape)


def windows(series: Any, width: int, horizon: int) -> tuple[np.ndarray, np.ndarray]:
    """Return all sliding windows of `width` steps of a series, and the `horizon` values after each, the oldest first.

    Args:
        series: (n,) or (n, e).
        width: steps of a window.
        horizon: steps that follow it.

    Returns:
        Two views, (m, width) and (m, horizon), of a series (n, e) with a last axis e; m = n - width - horizon + 1.

    Raises:
        TypeError, ValueError: the series is shorter than `width` + `horizon`, or has another shape, or a size is no
            positive integer.

    Examples:
        >>> past, future = cgru.forecast.windows(np.arange(6), 3, 2)
        >>> past.tolist(), future.tolist()
        ([[0, 1, 2], [1, 2, 3]], [[3, 4], [4, 5]])
    """
    values = np.asarray(series)
    width, horizon = positive(width, "width"), positive(horizon, "horizon")
    if values.ndim not in (1, 2):
        raise ValueError(f"series: expected shape (n,) or (n, e), got {values.shape}")
    if len(values) < width + horizon:
        due = f"at least {width + horizon} values for a width of {width} and a horizon of {horizon}"
        raise ValueError(f"series: expected {due}, got {len(values)}")
    whole = np.moveaxis(np.lib.stride_tricks.sliding_window_view(values, width + horizon, axis=0), -1, 1)
    return whole[:, :width], whole[:, width:]


def seasonal_naive(past: np.ndarray, season: int, horizon: int) -> np.ndarray:
    """Forecast (m, horizon) by repeating the last season of each row of `past` (m, width); 1 repeats the last value."""
    return past[:, past.shape[1] - season + np.arange(horizon) % season]
