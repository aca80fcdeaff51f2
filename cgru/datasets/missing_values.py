"""Missing values: words and numbers that stand for one, and filling them from values of the same sequence."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable, Sequence
from numbers import Real

import numpy as np

from cgru.datasets.where import first_true

__all__ = [
    "MISSING", "NA", "advise", "as_words", "fill", "fill_each", "is_any_of", "notes_on_filled", "notes_on_sentinels",
    "numbers_in",
]  # fmt: skip

MISSING = ("refuse", "forward", "interpolate", "zero")
NA = str | float | Sequence[str | float]  # the type of the argument `na`: markers of a missing value
SENTINELS = (-99, -99.9, -200, -999, -999.9, -9999, -99999, 999, 9999, 99999)  # usual markers of a missing number


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


def advise(gone: np.ndarray, sequence: np.ndarray, names: Sequence[str]) -> str:
    """Return the advice how to fill or leave out the missing values `gone` (n, e), by each row's `sequence`, or "".

    `sequence` (n,) is the index of each row's sequence. A value can be filled from others of its sequence. A column
    without a value in some sequence can be left out, or filled with zeros; one without any value can be left out.
    """
    found, filled = [], []
    counts = np.bincount(sequence)
    for name, column in zip(names, gone.T, strict=True):
        empty = int((np.bincount(sequence[column], minlength=len(counts)) == counts).sum())
        if column.all():
            found.append(f'{name} has no value at all, ignore="{name}" leaves it out')
        elif empty:
            where = f"{name} has no value in {empty} of {len(counts)} sequences"
            found.append(f'{where}, missing="zero" fills it, ignore="{name}" leaves it out')
        elif column.any():
            filled.append(name)
    if filled:
        what = ", ".join(filled) if found else "it" if len(filled) == 1 else "them"
        found.append(f'missing="{MISSING[1]}" fills {what}')
    return "; ".join(found)


def fill_each(sequences: Iterable[np.ndarray], how: str, e: int, wrong: Callable[[int, int], str]) -> np.ndarray:
    """Fill the NaN of each sequence (s_i, e) in place by the method `how`; return the count for each feature (e,).

    Raise ValueError with the text `wrong(i, j)` if sequence i has no value of feature j.
    """
    counts = np.zeros(e, np.intp)
    for i, sequence in enumerate(sequences if how != "refuse" else ()):
        counts += fill(sequence, how)
        if (lost := first_true(np.isnan(sequence[:1]).any(axis=0))) is not None:
            raise ValueError(wrong(i, lost))
    return counts


def fill(sequence: np.ndarray, how: str) -> np.ndarray:
    """Fill the NaN of a sequence (s, e) in place by the method `how`; return the count for each feature (e,).

    "forward" takes the last value before, or else the first one after. "interpolate" is linear in the number of steps,
    and takes the nearest value at the ends. "zero" takes 0. A feature without any value stays NaN, except for "zero".
    """
    missing = np.isnan(sequence)
    for j in np.flatnonzero(missing.any(axis=0)):
        own, there = missing[:, j], np.flatnonzero(~missing[:, j])
        if how == "zero":
            sequence[own, j] = 0
        elif there.size and how == "interpolate":
            sequence[own, j] = np.interp(np.flatnonzero(own), there, sequence[there, j])
        elif there.size:
            before = np.searchsorted(there, np.flatnonzero(own)) - 1
            sequence[own, j] = sequence[there[before.clip(min=0)], j]
    return missing.sum(axis=0)


def notes_on_filled(counts: np.ndarray, how: str, names: Sequence[str]) -> list[str]:
    """Return a note with the `counts` (e,) of filled values by feature; an empty list if there are none."""
    some = [f"{name} {count}" for name, count in zip(names, counts.tolist(), strict=True) if count]
    shown = ", ".join(some[:9]) + (", ..." if len(some) > 9 else "")
    return [f"filled {counts.sum()} missing values ({how}): {shown}"] if some else []
