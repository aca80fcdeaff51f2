"""The clock of a place: what it shows at a moment in UTC, and which moment a time that it shows is."""

from __future__ import annotations

import datetime
import re
import zoneinfo

import numpy as np

__all__ = ["Clock", "clock_of_zone"]


class Clock:
    """A clock that is put forward and back, by the rules of a time zone or by the offsets that were seen.

    Moments are datetime64[us] in UTC, walls what the clock shows at them, offsets timedelta64[us], wall less moment.

    zone: the time zone; None: `moments` (n,), sorted, have the `offsets` (n,), and others that of the last one before.
    """

    def __init__(
        self, zone: datetime.tzinfo | None, moments: np.ndarray | None = None, offsets: np.ndarray | None = None
    ) -> None:
        self.zone, self.moments, self.offsets = zone, moments, offsets

    def offsets_at(self, moments: np.ndarray) -> np.ndarray:
        """Return the offset at each of `moments` (n,)."""
        if self.zone is None:
            return self._seen(self.moments, moments)
        utc = datetime.timezone.utc
        there = (moment.replace(tzinfo=utc).astimezone(self.zone) for moment in moments.tolist())
        return np.array([time.utcoffset() for time in there], "timedelta64[us]")

    def local(self, moments: np.ndarray) -> np.ndarray:
        """Return what the clock shows at `moments` (n,)."""
        return moments + self.offsets_at(moments)

    def moments_of(self, walls: np.ndarray, fold: int = 0) -> np.ndarray:
        """Return the moments at which the clock shows `walls` (n,).

        Of two such moments take the first, or for `fold` 1 the second. Where the clock is put forward past a time, take
        the offset from before, or for `fold` 1 from after that.
        """
        if self.zone is None:
            shown = np.maximum.accumulate(self.moments + self.offsets)
            return walls - self._seen(shown, walls, fold)
        there = (wall.replace(tzinfo=self.zone, fold=fold) for wall in walls.tolist())
        return walls - np.array([time.utcoffset() for time in there], "timedelta64[us]")

    def _seen(self, known: np.ndarray, times: np.ndarray, later: int = 0) -> np.ndarray:
        """Return the offset of the last `known` time (n,) up to each of `times` (k,), or of the one `later`."""
        places = np.searchsorted(known, times, side="right") - 1 + later
        return self.offsets[np.clip(places, 0, len(self.offsets) - 1)]


def clock_of_zone(name: str) -> Clock | None:
    """Return the clock of a time zone such as "Europe/Berlin" or "UTC+01:00".

    None for UTC, and for a zone that this machine does not know.
    """
    if name.upper() in ("UTC", "ETC/UTC", "Z", "UTC+00:00"):
        return None
    try:
        if fixed := re.fullmatch(r"(?:UTC)?([+-]\d\d:\d\d)", name):
            return Clock(datetime.datetime.fromisoformat(f"2000-01-01T00:00{fixed[1]}").tzinfo)
        return Clock(zoneinfo.ZoneInfo(name))
    except (zoneinfo.ZoneInfoNotFoundError, ValueError, OSError):
        return None
