"""Values that are missing: words that mean one, and how they are filled, from their own sequence alone."""

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
NA = str | float | Sequence[str | float]  # words that mean a missing value
SENTINELS = (-99, -99.9, -200, -999, -999.9, -9999, -99999, 999, 9999, 99999)  # numbers that often stand for none


def as_words(na: NA | None) -> tuple[str, ...]:
    """Words that mean a missing value, one or several, numbers among them, as strings in lower case; None: none."""
    words = [na] if isinstance(na, (str, bytes, Real)) else [] if na is None else list(na)
    if wrong := [word for word in words if isinstance(word, (bool, np.bool_)) or not isinstance(word, (str, Real))]:
        raise TypeError(f"na: expected words that mean a missing value, strings or numbers, got {wrong[0]!r}")
    texts = [word if isinstance(word, str) else f"{float(word)!r}".removesuffix(".0") for word in words]
    return tuple(filter(None, (text.strip().lower() for text in texts)))


def numbers_in(words: Sequence[str], read: Callable[[str], float] = float) -> np.ndarray:
    """Those words that are numbers, by `read` and as Python writes them."""
    numbers = []
    for reader in (read, float):
        for word in words:
            with contextlib.suppress(ValueError):
                numbers.append(reader(word))
    return np.array(numbers, np.float64)


def is_any_of(values: np.ndarray, numbers: np.ndarray) -> np.ndarray:
    """Which of some values (n,), of any dtype, are one of the numbers; none where they are no numbers."""
    return np.isin(values, numbers) if values.dtype.kind in "iuf" else np.zeros(len(values), bool)


def notes_on_sentinels(values: np.ndarray, names: Sequence[str]) -> list[str]:
    """Which numbers in the columns of values (n, e) look as if they stood for missing ones, in words.

    One that often does, is there twice or more, and is further from all others than these are from each other.
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
    """Return what helps where values (n, e) are `gone`, in words; `sequence` (n,) numbers the sequence of each row.

    A value is filled from others of its sequence. A column that has none in some sequence can be left out, or have
    zeros there; one that has none at all can be left out.
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
    """Fill the NaN of each sequence (s_i, e), in place; return how many of each element were filled (e,).

    ValueError, in the words of `wrong`, where a sequence i has no value at all of an element j.
    """
    counts = np.zeros(e, np.intp)
    for i, sequence in enumerate(sequences if how != "refuse" else ()):
        counts += fill(sequence, how)
        if (lost := first_true(np.isnan(sequence[:1]).any(axis=0))) is not None:
            raise ValueError(wrong(i, lost))
    return counts


def fill(sequence: np.ndarray, how: str) -> np.ndarray:
    """The NaN of a sequence (s, e) filled, in place; how many of each element were (e,).

    "forward": the last value before, and where there is none the first one after; "interpolate": on the line between
    the values before and after, by the number of steps, and at the ends the nearest; "zero": 0. What has no value at
    all in the sequence stays NaN but for "zero".
    """
    gaps = np.isnan(sequence)
    for j in np.flatnonzero(gaps.any(axis=0)):
        own, there = gaps[:, j], np.flatnonzero(~gaps[:, j])
        if how == "zero":
            sequence[own, j] = 0
        elif there.size and how == "interpolate":
            sequence[own, j] = np.interp(np.flatnonzero(own), there, sequence[there, j])
        elif there.size:
            before = np.searchsorted(there, np.flatnonzero(own)) - 1
            sequence[own, j] = sequence[there[before.clip(min=0)], j]
    return gaps.sum(axis=0)


def notes_on_filled(counts: np.ndarray, how: str, names: Sequence[str]) -> list[str]:
    """What was filled, in words: a line or none."""
    some = [f"{name} {count}" for name, count in zip(names, counts.tolist(), strict=True) if count]
    shown = ", ".join(some[:9]) + (", ..." if len(some) > 9 else "")
    return [f"filled {counts.sum()} missing values ({how}): {shown}"] if some else []
