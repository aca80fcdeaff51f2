"""Methods that fill missing values, each from values of the same sequence."""

from __future__ import annotations

import csv
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

__all__ = ["INDICATOR", "LEFT", "MISSING", "decays", "fill", "fill_samples", "methods_of", "parse_missing"]

MISSING = ("refuse", "forward", "interpolate", "zero", "decay")
LEFT = ("refuse", "decay")  # the methods that fill nothing
INDICATOR = "+indicator"  # behind a method: with a feature that is 1 where a value was missing


def parse_missing(missing: Any) -> dict[str, str]:
    """Parse `missing`: a method, or name=method,..., or a dict; return the method of each name, "" for all others.

    Raise ValueError, with what was expected, for an unknown method, or for a column that has two.
    """
    pairs = [*missing.items()] if isinstance(missing, Mapping) else []
    for part in () if pairs else next(csv.reader([missing], skipinitialspace=True)) or [""]:
        name, _, method = part.rpartition("=")
        pairs.append((name.strip(), method.strip()))
    known = [*MISSING, *(method + INDICATOR for method in MISSING if method not in LEFT)]
    for i, (name, method) in enumerate(pairs):
        if method not in known or name in dict(pairs[:i]):
            raise ValueError(f"one of {', '.join(known)}, once for {name or 'all other columns'}")
    return dict(pairs)


def methods_of(missing: str, names: Sequence[str]) -> list[str]:
    """Return the method of each feature, maybe with an indicator; ValueError if another feature is named."""
    methods = parse_missing(missing)
    if lost := {*methods} - {"", *names}:
        raise ValueError(f"missing: expected some of the features {', '.join(names)}, got {lost.pop()!r}")
    return [methods.get(name, methods.get("", MISSING[0])) for name in names]


def decays(missing: str) -> bool:
    """Return whether some column uses "decay": its values stay NaN for a model that handles them."""
    return "decay" in parse_missing(missing).values()


def fill_samples(X: np.ndarray, lengths: np.ndarray | None, methods: Sequence[str]) -> None:
    """Fill the NaN of X (m, s, e) in place; raise ValueError if a sample has no value of a feature."""
    real = np.arange(X.shape[1]) < np.full(len(X), X.shape[1] if lengths is None else lengths)[:, None]
    values, owner = X[real], np.nonzero(real)[0]
    X[real] = fill(values, methods, owner)
    lost = np.isnan(values) & [how not in LEFT for how in methods]
    if lost.any():
        row, j = np.argwhere(lost)[0]
        raise ValueError(
            f'x: expected a value of feature {j} in sample {owner[row]}, got none; missing="zero" fills it'
        )


def fill(values: np.ndarray, methods: Sequence[str], owner: np.ndarray) -> np.ndarray:
    """Fill the NaN of values (n, e) in place by the method of each feature, and return them.

    They are sequences one after another: `owner` (n,) is the ascending index of each row's sequence. "forward" takes
    the last value before, or else the first one after. "interpolate" is linear in the number of steps, and takes the
    nearest value at the ends. "zero" takes 0. "refuse" and "decay" leave NaN. A feature without any value in a sequence
    stays NaN there, except for "zero".
    """
    for j, (how, column) in enumerate(zip(methods, values.T, strict=True)):
        own, there = np.flatnonzero(np.isnan(column)), np.flatnonzero(~np.isnan(column))
        if how == "zero":
            values[own, j] = 0
        elif own.size and there.size and how not in LEFT:
            at = np.searchsorted(there, own)
            before, after = there[(at - 1).clip(min=0)], there[at.clip(max=there.size - 1)]
            has_before = (before < own) & (owner[before] == owner[own])
            has_after = (after > own) & (owner[after] == owner[own])
            found = np.where(has_before, column[before], np.where(has_after, column[after], np.nan))
            if how == "interpolate":
                found = np.where(has_before & has_after, np.interp(own, there, column[there]), found)
            values[own, j] = found
    return values
