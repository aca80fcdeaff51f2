"""Conversion between UTC and local time, by a time zone or by the UTC offsets in the data."""

from __future__ import annotations

import datetime
import re
import zoneinfo

import numpy as np

__all__ = ["Clock", "clock_of_zone"]


class Clock:
    """Converter between UTC and local time with daylight saving, by a time zone or by UTC offsets in the data.

    `moments` are datetime64[us] in UTC, `walls` the local times (datetime64[us]) on a wall clock, `offsets`
    timedelta64[us], local time minus UTC.

    Args:
        zone: the time zone. None: a moment has the offset of the last known moment up to it.
        moments: the known moments (n,), sorted; None with a zone.
        offsets: their offsets (n,); None with a zone.
    """

    def __init__(
        self, zone: datetime.tzinfo | None, moments: np.ndarray | None = None, offsets: np.ndarray | None = None
    ) -> None:
        """Convert by a time zone; or, with None, by the `offsets` (n,) of the known, sorted `moments` (n,)."""
        self.zone, self.moments, self.offsets = zone, moments, offsets

    def offsets_at(self, moments: np.ndarray) -> np.ndarray:
        """Return the UTC offset at each of `moments` (n,)."""
        if self.zone is None:
            return self._seen(self.moments, moments)
        utc = datetime.timezone.utc
        there = (moment.replace(tzinfo=utc).astimezone(self.zone) for moment in moments.tolist())
        return np.array([time.utcoffset() for time in there], "timedelta64[us]")

    def local(self, moments: np.ndarray) -> np.ndarray:
        """Convert `moments` (n,) from UTC to local time."""
        return moments + self.offsets_at(moments)

    def moments_of(self, walls: np.ndarray, fold: int = 0) -> np.ndarray:
        """Convert local times `walls` (n,) to UTC; a time that occurs twice is the first, or with `fold` 1 the second.

        A local time that occurs twice is the first occurrence, or with `fold` 1 the second. One that the clock skips
        has the offset from before the change, or with `fold` 1 from after it.
        """
        if self.zone is None:
            shown = np.maximum.accumulate(self.moments + self.offsets)
            return walls - self._seen(shown, walls, fold)
        there = (wall.replace(tzinfo=self.zone, fold=fold) for wall in walls.tolist())
        return walls - np.array([time.utcoffset() for time in there], "timedelta64[us]")

    def _seen(self, known: np.ndarray, times: np.ndarray, later: int = 0) -> np.ndarray:
        """Return the offset of the last `known` time (n,) up to each of `times` (k,), or of one `later` in the list."""
        places = np.searchsorted(known, times, side="right") - 1 + later
        return self.offsets[np.clip(places, 0, len(self.offsets) - 1)]


def clock_of_zone(name: str) -> Clock | None:
    """Return the `Clock` of a zone such as "Europe/Berlin" or "UTC+01:00"; None for UTC and for zones not found.

    Zones come from the machine's database.
    """
    if name.upper() in ("UTC", "ETC/UTC", "Z", "UTC+00:00"):
        return None
    try:
        if fixed := re.fullmatch(r"(?:UTC)?([+-]\d\d:\d\d)", name):
            return Clock(datetime.datetime.fromisoformat(f"2000-01-01T00:00{fixed[1]}").tzinfo)
        return Clock(zoneinfo.ZoneInfo(name))
    except (zoneinfo.ZoneInfoNotFoundError, ValueError, OSError):
        return None
