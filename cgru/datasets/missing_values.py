"""Missing values: words and numbers that stand for one, and filling them from values of the same sequence."""

from __future__ import annotations

import contextlib
import csv
from collections.abc import Callable, Iterable, Mapping, Sequence
from numbers import Real
from types import MappingProxyType
from typing import Any, NamedTuple

import numpy as np

from cgru.core.row_blocks import slices
from cgru.datasets.where import first_true

__all__ = [
    "LEFT", "MISSING", "NA", "Filling", "advise", "as_words", "fill", "fill_each", "fill_samples", "is_any_of",
    "notes_on_filled", "notes_on_sentinels", "numbers_in", "parse_filling",
]  # fmt: skip

MISSING = ("refuse", "forward", "interpolate", "zero", "decay")
LEFT = ("refuse", "decay")  # the methods that fill nothing
INDICATOR = "+indicator"  # behind a method: with a feature that is 1 where a value was missing
NA = str | float | Sequence[str | float]  # the type of the argument `na`: markers of a missing value
SENTINELS = (-99, -99.9, -200, -999, -999.9, -9999, -99999, 999, 9999, 99999)  # usual markers of a missing number


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

    def cure(self, names: Sequence[str], how: str) -> str:
        """Return the argument `missing` that fills the columns `names` by the method `how`, and others as before.

        A column keeps its indicator, which a network was trained with.
        """
        kept = {
            name: how + INDICATOR * (self.named.get(name, self.others).endswith(INDICATOR) and how not in LEFT)
            for name in names
        }
        more = Filling(self.others, self.named | kept)
        return f'missing="{more if self.named else how}"'


REFUSING = Filling()


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


def as_words(na: NA | None) -> tuple[str, ...]:
    """Return the argument `na`, one marker of a missing value or several, as strings in lower case; () for None.

    Raise TypeError unless all are strings or numbers.
    """
    words = [na] if isinstance(na, (str, bytes, Real)) else [] if na is None else list(na)
    if wrong := [word for word in words if isinstance(word, (bool, np.bool_)) or not isinstance(word, (str, Real))]:
        raise TypeError(f"na: expected words that mean a missing value, strings or numbers, got {wrong[0]!r}")
    texts = [word if isinstance(word, str) else f"{float(word)!r}".removesuffix(".0") for word in words]
    return tuple(filter(None, (text.strip().lower() for text in texts)))


def numbers_in(words: Sequence[str], read: Callable[[str], float] = float) -> np.ndarray:
    """Return the numbers (k,) among the `words`, parsed by `read` and by `float`."""
    numbers = []
    for reader in (read, float):
        for word in words:
            with contextlib.suppress(ValueError):
                numbers.append(reader(word))
    return np.array(numbers, np.float64)


def is_any_of(values: np.ndarray, numbers: np.ndarray) -> np.ndarray:
    """Return a mask (n,) of the values (n,) that are one of the `numbers`; all False for values that are no numbers."""
    return np.isin(values, numbers) if values.dtype.kind in "iuf" else np.zeros(len(values), bool)


def notes_on_sentinels(values: np.ndarray, names: Sequence[str]) -> list[str]:
    """Return a note for each sentinel in the columns of values (n, e) that seems to stand for a missing value.

    It is one of `SENTINELS`, occurs twice or more, and is further from the range of the others than that is wide.
    """
    notes = []
    for name, column in zip(names, values.T, strict=True):
        odd = np.isin(column, SENTINELS)
        others = column[~(odd | np.isnan(column))] if odd.any() else odd[:0]
        if not others.size:
            continue
        low, high = others.min(), others.max()
        for word, count in zip(*np.unique(column[odd], return_counts=True), strict=True):
            if count > 1 and max(low - word, word - high) > high - low:
                where = "below" if word < low else "above"
                cure = f'na="{word:g}" takes it for missing'
                notes.append(f"{name} has {word:g} {count} times, far {where} all others ({cure})")
    return notes


def advise(gone: np.ndarray, sequence: np.ndarray, names: Sequence[str], filling: Filling = REFUSING) -> str:
    """Return the advice how to fill or leave out the missing values `gone` (n, e), by each row's `sequence`, or "".

    `sequence` (n,) is the index of each row's sequence. A value can be filled from others of its sequence. A column
    without a value in some sequence can be left out, or filled with zeros; one without any value can be left out.
    `filling` fills the others.
    """
    found, filled = [], []
    counts = np.bincount(sequence)
    for name, column in zip(names, gone.T, strict=True):
        empty = int((np.bincount(sequence[column], minlength=len(counts)) == counts).sum())
        if column.all():
            found.append(f'{name} has no value at all, ignore="{name}" leaves it out')
        elif empty:
            where = f"{name} has no value in {empty} of {len(counts)} sequences"
            found.append(f'{where}, {filling.cure([name], "zero")} fills it, ignore="{name}" leaves it out')
        elif column.any():
            filled.append(name)
    if filled:
        what = ", ".join(filled) if found else "it" if len(filled) == 1 else "them"
        found.append(f"{filling.cure(filled, MISSING[1])} fills {what}")
    return "; ".join(found)


def fill_each(sequences: Iterable[np.ndarray], methods: Sequence[str], wrong: Callable[[int, int], str]) -> np.ndarray:
    """Fill the NaN of each sequence (s_i, e) in place by the method of each feature; return the counts (e,).

    Raise ValueError with the text `wrong(i, j)` if sequence i has no value of feature j, and that is not refused.
    """
    counts, filled = np.zeros(len(methods), np.intp), np.array([how not in LEFT for how in methods])
    for i, sequence in enumerate(sequences if filled.any() else ()):
        counts += fill(sequence, methods)
        if (lost := first_true(filled & np.isnan(sequence[:1]).any(axis=0))) is not None:
            raise ValueError(wrong(i, lost))
    return counts


def fill_samples(
    X: np.ndarray, lengths: np.ndarray | None, methods: Sequence[str], wrong: Callable[[int, int], str]
) -> np.ndarray:
    """Fill the NaN of X (m, s, e) as `fill_each` does those of its samples, but many at once, as they may be tiny."""
    counts, filled = np.zeros(len(methods), np.intp), np.array([how not in LEFT for how in methods])
    if not filled.any() or X.dtype.kind != "f":
        return counts
    steps = np.arange(X.shape[1])
    for at in slices(X.shape):
        block = X[at]
        if not np.isnan(block).any():
            continue
        real = np.broadcast_to(True if lengths is None else steps < lengths[at, None], block.shape[:2])
        values = block[real]
        counts += fill(values, methods, np.nonzero(real)[0])
        block[real] = values
        lost = real[:, :1] & filled & np.isnan(block[:, 0])
        if lost.any():
            i, j = np.argwhere(lost)[0]
            raise ValueError(wrong(at.start + i, j))
    return counts


def fill(values: np.ndarray, methods: Sequence[str], owner: np.ndarray | None = None) -> np.ndarray:
    """Fill the NaN of values (n, e) in place by the method of each feature; return the count for each (e,).

    They are a sequence, or several one after another: `owner` (n,) is the ascending index of each row's sequence.
    "forward" takes the last value before, or else the first one after. "interpolate" is linear in the number of steps,
    and takes the nearest value at the ends. "zero" takes 0. "refuse" and "decay" leave NaN. A feature without any value
    in a sequence stays NaN there, except for "zero".
    """
    missing = np.isnan(values) & [how not in LEFT for how in methods]
    for j in np.flatnonzero(missing.any(axis=0)):
        own, there, how = np.flatnonzero(missing[:, j]), np.flatnonzero(~missing[:, j]), methods[j]
        if how == "zero":
            values[own, j] = 0
        elif there.size:
            behind = np.searchsorted(there, own)
            before, after = there[(behind - 1).clip(min=0)], there[behind.clip(max=there.size - 1)]
            has_before, has_after = before < own, own < after
            if owner is not None:
                has_before &= owner[before] == owner[own]
                has_after &= owner[after] == owner[own]
            found = values[np.where(has_before, before, after), j]
            between = has_before & has_after
            if how == "interpolate" and between.any():
                found[between] = np.interp(own[between], there, values[there, j])
            known = has_before | has_after
            values[own[known], j] = found[known]
    return missing.sum(axis=0)


def notes_on_filled(counts: np.ndarray, how: Any, names: Sequence[str]) -> list[str]:
    """Return a note with the `counts` (e,) of filled values by feature; an empty list if there are none."""
    some = [f"{name} {count}" for name, count in zip(names, counts.tolist(), strict=True) if count]
    shown = ", ".join(some[:9]) + (", ..." if len(some) > 9 else "")
    return [f"filled {counts.sum()} missing values ({how}): {shown}"] if some else []
