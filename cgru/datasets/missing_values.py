"""Missing values: how they are filled from values of the same sequence, or refused with a cure."""

from __future__ import annotations

import csv
from collections.abc import Iterable, Mapping, Sequence
from types import MappingProxyType
from typing import Any, NamedTuple

import numpy as np

__all__ = [
    "MISSING", "Filling", "cure_of_missing", "fill", "fill_samples", "indicator_name", "notes_on_filled",
    "notes_on_sentinels", "parse_filling",
]  # fmt: skip

MISSING = ("refuse", "forward", "interpolate", "zero", "decay")
LEFT = ("refuse", "decay")  # the methods that fill nothing
INDICATOR = "+indicator"  # behind a method: with a feature that is 1 where a value was missing
SENTINELS = (-99999, -9999, -999.9, -999, -200, -99.9, -99, -9, 99, 999, 9999, 99999)  # usual marks of a missing number


class Filling(NamedTuple):
    """The parsed argument `missing`: how missing values are filled, by column.

    A method is one of `MISSING`, but for "refuse" also with `INDICATOR` behind it.

    Attributes:
        others: the method of all columns that are not named.
        named: the methods of the others, by column.
    """

    others: str = MISSING[0]
    named: Mapping[str, str] = MappingProxyType({})

    def __str__(self) -> str:
        """Return the text that `parse_filling` reads: a=zero,b=forward."""
        parts = [f"{name}={how}" for name, how in self.named.items()]
        parts = [self.others, *parts] if self.others != MISSING[0] or not parts else parts
        quoted = (part.replace('"', '""') for part in parts)
        return ",".join(f'"{part}"' if "," in part or '"' in part else part for part in quoted)

    @property
    def decays(self) -> bool:
        """Return whether values of some column stay missing, for a model whose first layer reads that."""
        return "decay" in (self.others, *self.named.values())

    @property
    def marks(self) -> bool:
        """Return whether some column gets an indicator where a value of it is missing."""
        return any(how.endswith(INDICATOR) for how in (self.others, *self.named.values()))

    def methods(self, names: Sequence[str]) -> list[str]:
        """Return the method of each column, without indicators; ValueError if one is named that there is not."""
        if lost := [name for name in self.named if name not in names]:
            raise ValueError(f"missing: expected some of the features {', '.join(names)}, got {lost[0]!r}")
        return [self.named.get(name, self.others).removesuffix(INDICATOR) for name in names]

    def indicated(self, names: Sequence[str], gone: np.ndarray) -> list[str]:
        """Return the columns that get an indicator, by whether some value of each is `gone` (e,).

        A named column gets one in any case, so that later data have the same features.
        """
        some = [name for name, lost in zip(names, gone, strict=True) if lost or name in self.named]
        return [name for name in some if self.named.get(name, self.others).endswith(INDICATOR)]

    def settled(self, names: Sequence[str]) -> Filling:
        """Return what reads later data to the same features: only the columns `names` get an indicator."""
        others = self.others.removesuffix(INDICATOR)
        return Filling(others, {**dict.fromkeys(names, others + INDICATOR), **self.named})

    def replaced(self, other: Filling) -> Filling:
        """Return this filling with the columns that `other` names filled as it says, or `other` if it is for all.

        An indicator that a column has stays, so that the features do.
        """
        if other.others != MISSING[0] or not other.named:
            return other
        more = dict(other.named)
        for name, how in other.named.items():
            if self.named.get(name, "").endswith(INDICATOR) and how != MISSING[0]:
                more[name] = how.removesuffix(INDICATOR) + INDICATOR
        return Filling(self.others, {**self.named, **more})


def parse_filling(missing: Any) -> Filling:
    """Parse the argument `missing`: a method, or name=method,..., also with a method of all others, or a dict.

    Raise TypeError for another type, ValueError for an unknown method, or for a column that has two.
    """
    if isinstance(missing, Mapping):
        pairs = list(missing.items())
    elif isinstance(missing, str):
        parts = next(csv.reader([missing], skipinitialspace=True), [])
        pairs = [(name.strip(), how.strip()) for name, _, how in (part.rpartition("=") for part in parts)]
    else:
        raise TypeError(f"missing: expected a method, or a dict of methods by column, got {missing!r}")
    for name, how in pairs or [("", missing)]:
        if how not in MISSING and how not in [each + INDICATOR for each in MISSING if each not in LEFT]:
            due = f"{', '.join(MISSING)}" + f', or one with "{INDICATOR}" behind it' * ("+" in str(how))
            raise ValueError(f"missing: expected one of {due}, got {how!r}{f' for {name}' if name else ''}")
    if twice := [name for i, (name, _) in enumerate(pairs) if name in dict(pairs[:i])]:
        raise ValueError(f"missing: expected one method for {twice[0] or 'all other columns'}, got several")
    named = dict(pairs)
    return Filling(named.pop("", MISSING[0]), named)


def indicator_name(name: str) -> str:
    """Return the name of the feature that is 1 where the feature `name` was missing."""
    return f"missingindicator_{name}"


def notes_on_sentinels(values: np.ndarray, names: Sequence[str]) -> list[str]:
    """Return a note for each sentinel of the columns of values (n, e) that occurs twice, far from all other numbers."""
    notes = []
    for name, column in zip(names, values.T, strict=True):
        others = column[~(np.isin(column, SENTINELS) | np.isnan(column))]
        for word in np.intersect1d(column, SENTINELS) if others.size else ():
            count = np.count_nonzero(column == word)
            if count > 1 and max(others.min() - word, word - others.max()) > np.ptp(others):
                notes.append(f"{name} has {word:g} {count} times, far from all others: na takes it for missing")
    return notes


def cure_of_missing(
    gone: np.ndarray, sequence: np.ndarray, names: Sequence[str], filling: Filling, words: Iterable[str] = ()
) -> tuple[dict[str, str] | None, list[str], np.ndarray]:
    """Return how to fill values `gone` (n, e) that `filling` does not, columns without any, and the rows' mask.

    `sequence` (n,) is the index of each row's sequence. A value is taken from others of its sequence; where there are
    none, and for `words`, which have no values between, the method is another. None: `filling` fills all.
    """
    counts, more, empty, lost = np.bincount(sequence), {}, [], np.zeros(len(gone), bool)
    for name, column, how in zip(names, gone.T, filling.methods(names), strict=True):
        without = (np.bincount(sequence[column], minlength=len(counts)) == counts).any()
        wrong = how == MISSING[0] or (name in words and how in ("interpolate", "decay"))
        wrong = wrong or (how in MISSING[1:3] and without)
        if not column.any() or not wrong:
            continue
        lost |= column
        if column.all():
            empty.append(name)
        else:
            kept = INDICATOR * filling.named.get(name, filling.others).endswith(INDICATOR)
            more[name] = ("zero" if without else "forward") + kept
    return ({**filling.named, **more} if more or empty else None), empty, lost


def fill_samples(X: np.ndarray, lengths: np.ndarray | None, methods: Sequence[str]) -> np.ndarray:
    """Fill the NaN of X (m, s, e) in place; return the counts (e,). A feature that a sample lacks is a ValueError."""
    real = np.arange(X.shape[1]) < np.full(len(X), X.shape[1] if lengths is None else lengths)[:, None]
    values, owner = X[real], np.nonzero(real)[0]
    counts = fill(values, methods, owner)
    X[real] = values
    lost = np.isnan(values) & [how not in LEFT for how in methods]
    if lost.any():
        row, j = np.argwhere(lost)[0]
        due = f"a value at least of feature {j} in sample {owner[row]}"
        raise ValueError(f'x: expected {due}, got none; missing="zero" fills it')
    return counts


def fill(values: np.ndarray, methods: Sequence[str], owner: np.ndarray | None = None) -> np.ndarray:
    """Fill the NaN of values (n, e) in place by the method of each feature; return the count for each (e,).

    They are a sequence, or several one after another: `owner` (n,) is the ascending index of each row's sequence.
    "forward" takes the last value before, or else the first one after. "interpolate" is linear in the number of steps,
    and takes the nearest value at the ends. "zero" takes 0. "refuse" and "decay" leave NaN. A feature without any value
    in a sequence stays NaN there, except for "zero".
    """
    missing = np.isnan(values) & [how not in LEFT for how in methods]
    owner = np.zeros(len(values)) if owner is None else owner
    for j in np.flatnonzero(missing.any(axis=0)):
        own, there = np.flatnonzero(missing[:, j]), np.flatnonzero(~missing[:, j])
        if methods[j] == "zero":
            values[own, j] = 0
        elif there.size:
            at = np.searchsorted(there, own)
            before, after = there[(at - 1).clip(min=0)], there[at.clip(max=there.size - 1)]
            has_before = (before < own) & (owner[before] == owner[own])
            has_after = (after > own) & (owner[after] == owner[own])
            found = np.where(has_before, values[before, j], np.where(has_after, values[after, j], np.nan))
            if methods[j] == "interpolate":
                found = np.where(has_before & has_after, np.interp(own, there, values[there, j]), found)
            values[own, j] = found
    return missing.sum(axis=0)


def notes_on_filled(counts: np.ndarray, how: Any, names: Sequence[str]) -> list[str]:
    """Return a note with the `counts` (e,) of filled values by feature; an empty list if there are none."""
    some = [f"{name} {count}" for name, count in zip(names, counts.tolist(), strict=True) if count]
    shown = ", ".join(some[:9]) + (", ..." if len(some) > 9 else "")
    return [f"filled {counts.sum()} missing values ({how}): {shown}"] if some else []
