"""The time from row to row within a sequence: its differences, the largest, and where it cuts a sequence in two."""

from __future__ import annotations

import contextlib
import re
from datetime import datetime
from typing import Any

import numpy as np

from cgru.datasets.dates import dates_in
from cgru.datasets.times import Place, times_of

__all__ = ["TIME_STEP", "as_gap", "clock_of", "on_gaps", "spoken"]

TIME_STEP = "time_step"  # the name of the element
UNITS = {"w": 604800.0, "d": 86400.0, "h": 3600.0, "min": 60.0, "s": 1.0}
FAR = 20  # times the usual difference, beyond which the largest one may mean another sequence
SEVERAL = 8  # differences, before one of them is usual


def as_gap(value: Any) -> tuple[float, bool]:
    """Return a gap as a number, and whether it is of seconds: 30 is no time, "30d", "6h", "10min" and "2w" are.

    TypeError or ValueError for what is none.
    """
    text = value.strip().lower() if isinstance(value, str) else ""
    found = re.fullmatch(r"(\d+\.?\d*|\.\d+) *(w|d|h|min|m|s)?", text)
    if found:
        number, unit = float(found[1]), found[2]
    elif isinstance(value, (int, float)) and not isinstance(value, bool):
        number, unit = float(value), None
    else:
        raise ValueError(f"split_at: expected a number, or a time such as 30d, 6h or 10min, got {value!r}")
    if not 0 < number < np.inf:
        raise ValueError(f"split_at: expected a gap above 0, got {value!r}")
    return number * UNITS.get("min" if unit == "m" else unit, 1.0), unit is not None


def clock_of(
    values: np.ndarray, form: str | None = None, name: str = "", place: Place = "row {}".format
) -> tuple[np.ndarray, bool]:
    """Return times (n,), which `ranks` takes, as numbers, and whether these are seconds, of dates and times of day.

    Times that are numbers keep their own unit. `form` is how they are written, as for strptime. ValueError, with the
    `name` and the `place`, for dates whose readings lie differently far apart, though they have one order, and for what
    has no difference.
    """
    kind = values.dtype.kind
    if kind in "mM":
        unit = f"{'datetime' if kind == 'M' else 'timedelta'}64[us]"
        return values.astype(unit).astype(np.int64) / 1e6, True
    if form is not None:
        return times_of(values, "", form).values.astype(np.int64) / 1e6, True
    if kind in "iu":
        times_of(values, name, None, place)  # which refuses dates, such as 20240131
    if kind != "O":
        return values.astype(np.float64), False
    distinct, codes = np.unique(values, return_inverse=True)
    if not all(isinstance(value, str) for value in distinct):
        try:
            return np.array([_seconds(value) for value in distinct])[codes], True
        except AttributeError:
            got = type(distinct[0]).__name__
            raise ValueError(f"{name}: expected dates or numbers, which are so far apart, got {got}") from None
    with contextlib.suppress(ValueError):
        return distinct.astype(np.float64)[codes], False
    readings = [dates.utc for dates in dates_in(distinct.tolist(), mixed=True)]
    if any((np.diff(each) != np.diff(readings[0])).any() for each in readings):
        times_of(values, name, None, place)  # which says what they may be
    return readings[0][codes] / 1e6, True


def _seconds(value: Any) -> float:
    """Return a date, a moment, a time of day, a span or the start of a period of pandas in seconds."""
    value = getattr(value, "start_time", value)
    if hasattr(value, "total_seconds"):
        return value.total_seconds()
    if isinstance(value, datetime):
        zone = value.utcoffset()
        return (value.replace(tzinfo=None) - datetime(1970, 1, 1)).total_seconds() - (
            zone.total_seconds() if zone else 0
        )
    if hasattr(value, "toordinal"):
        return 86400.0 * value.toordinal()
    return value.hour * 3600 + value.minute * 60 + value.second + value.microsecond / 1e6


def spoken(gap: float, seconds: bool) -> str:
    """Return a gap in words that `as_gap` takes, rounded: 5.2d, 90min, or a number."""
    if not seconds:
        return f"{gap:.3g}" if gap < 1e15 else f"{gap:g}"
    unit = next((unit for unit, size in UNITS.items() if gap >= size and unit != "w"), "s")
    return f"{float(f'{gap / UNITS[unit]:.3g}'):g}{unit}"


def on_gaps(apart: np.ndarray, seconds: bool, names: str) -> list[str]:
    """Return what to say of the differences (n,) of times where one is far larger than usual: a line or none."""
    if len(apart) < SEVERAL:
        return []
    usual, largest = float(np.median(apart)), float(apart.max())
    if largest <= FAR * usual:
        return []
    cut = spoken(np.sqrt(usual * largest), seconds)
    return [
        f"{names}: the largest gap within a sequence is {spoken(largest, seconds)}, the usual one "
        f'{spoken(usual, seconds)}; split_at="{cut}" makes sequences of what lies further apart'
    ]
