"""Times to sort by: numbers, dates, and strings that are one or the other."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import date, datetime, time
from typing import Any

import numpy as np

__all__ = ["are_times", "ranks"]

# Day first and month first are told apart by the values alone, or not at all.
DATES = ("%d.%m.%Y", "%d/%m/%Y", "%m/%d/%Y", "%Y/%m/%d", "%Y-%m-%d", "%d-%m-%Y", "%m-%d-%Y", "%d.%m.%y", "%d/%m/%y",
         "%m/%d/%y")  # fmt: skip
CLOCKS = ("", " %H:%M", " %H:%M:%S", " %H:%M:%S.%f", " %I:%M %p", " %I:%M:%S %p")
DOTTED = (" %H.%M", " %H.%M.%S")  # behind a date alone: by itself 10.11.12 may be one
LOOKED_AT = 100  # times, to find out what form most have
FORMATS = [day + clock for clock in CLOCKS + DOTTED for day in DATES] + [clock.strip() for clock in CLOCKS[1:]]


def ranks(values: np.ndarray, name: str, place: Callable[[int], str] | None = None) -> np.ndarray:
    """The rank of each time (n,): numbers by size, dates and strings that are dates by date.

    ValueError, naming the column, for strings that are none, with the `place` of the first that is not what most are,
    or that are dates in more than one reading.
    """
    if values.dtype.kind not in "OUT":
        return np.unique(values, return_inverse=True)[1]
    try:
        distinct, codes = np.unique(values, return_inverse=True)
    except TypeError:
        raise TypeError(f"{name}: expected values of one kind, got several") from None
    if not all(isinstance(value, str) for value in distinct):
        return codes
    texts = distinct.tolist()
    found = _read(texts, name)
    if found is None:
        row = int(np.flatnonzero(values == _odd(texts))[0])
        got = f"{values[row]!r}{f' in {place(row)}' if place else ''}"
        raise ValueError(f"{name}: expected numbers or dates such as 2024-12-31 or 31.12.2024 18:30, got {got}")
    return np.unique(found, return_inverse=True)[1][codes]


def are_times(values: np.ndarray) -> bool:
    """Whether all of some values (n,) that are no numbers can be sorted by as dates, times of day or spans."""
    if values.dtype.kind in "mM":
        return True
    try:
        ranks(values, "")
    except (TypeError, ValueError):
        return False
    return all(isinstance(value, (str, date, time)) for value in values)


def _read(texts: list[str], name: str) -> np.ndarray | None:
    """What the texts stand for, in values that sort; None where they are no times of one form."""
    for read in (_number, _iso):
        found = _all(read, texts)
        if found is not None:
            return found
    readings = [_all(read, texts) for read in _written()]
    readings = [found for found in readings if found is not None]
    if not readings and _all(_zoned, texts) is not None:
        some = [next(text for text in texts if _zoned(text) == zoned) for zoned in (True, False)]
        raise ValueError(f"{name}: expected a time zone in each row or in none, got {some[0]!r} and {some[1]!r}")
    if not readings:
        return None
    orders = [np.unique(found, return_inverse=True)[1] for found in readings]
    if any((order != orders[0]).any() for order in orders):
        raise ValueError(
            f"{name}: expected dates with one reading, got {texts[0]!r}, whose day or month may come first; "
            "write them as 2024-12-31"
        )
    return readings[0]


def _written() -> list[Callable[[str], datetime]]:
    """What reads a date by each of the formats."""
    return [lambda text, form=form: _formed(text, form) for form in FORMATS]


def _formed(text: str, form: str) -> datetime:
    if form.endswith(DOTTED) and not re.search(r" \d\d?(\.\d\d){1,2}$", text):  # 18.5 may be half an hour
        raise ValueError(text)
    return datetime.strptime(text, form)


def _odd(texts: list[str]) -> str:
    """The first that is no time in the form that most of the first ones have."""
    readers = (_number, _iso, *_written())
    read = max(readers, key=lambda read: sum(_all(read, [text]) is not None for text in texts[:LOOKED_AT]))
    return next((text for text in texts if _all(read, [text]) is None), texts[0])


def _number(text: str) -> float:
    number = float(text)
    if "_" in text or number != number:  # _ separates digits for Python, and for others two numbers; nan is no time
        raise ValueError(text)
    return number


def _iso(text: str) -> datetime:
    """A date by ISO 8601, as a moment where it has a time zone."""
    if re.search(r"[T ]\d\d\.", text):  # whose dot Python takes for that of seconds
        raise ValueError(text)
    return datetime.fromisoformat(text[:-1] + "+00:00" if text.endswith(("Z", "z")) else text)


def _zoned(text: str) -> bool:
    """Whether a date by ISO 8601 has a time zone; ValueError where it is none."""
    return _iso(text.strip()).tzinfo is not None


def _all(read: Callable[[str], Any], texts: list[str]) -> np.ndarray | None:
    """All of them read; None where that is not possible, or some cannot be compared with others."""
    try:
        found = np.array([read(text.strip()) for text in texts])
        np.sort(found)  # a TypeError where some have a time zone and others none
    except (ValueError, TypeError):
        return None
    return found
