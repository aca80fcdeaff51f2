"""Format numbers and names for tables, reports and progress."""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence

__all__ = ["figure", "figures", "shorten", "width_of"]

MOST = 12  # digits beyond which values count as equal


def figure(value: float, digits: int = 4) -> str:
    """Return a value as text with `digits` significant digits; integer parts are written out below 1e12.

    With fewer than 4 digits, for a narrow progress bar, integer parts are written out below a million.
    """
    most = 1e12 if digits >= 4 else 1e6
    return f"{value:.0f}" if 10**digits <= abs(value) < most else f"{value:.{digits}g}"


def figures(values: Sequence[float], digits: int = 4) -> list[str]:
    """Return values as text, all with the fewest significant digits, at least `digits`, that tell them apart.

    Values that differ by less than 1e-12 of their size look the same.
    """
    told = len({figure(value, MOST) for value in values})
    for count in range(digits, MOST + 1):
        found = [figure(value, count) for value in values]
        if len(set(found)) == told:
            break
    return found


def shorten(name: str, columns: int) -> str:
    """Return a name on one line, cut to `columns` columns and ended by ... if it is longer."""
    name = "".join(letter if letter.isprintable() else "?" for letter in name)
    if width_of(name) <= columns:
        return name
    while width_of(name) > columns - 3:
        name = name[:-1]
    return name + "..."


def width_of(line: str) -> int:
    """Return the columns that a line takes in a terminal: wide East Asian letters take two, accents none."""
    return sum(
        0 if unicodedata.combining(letter) else 1 + (unicodedata.east_asian_width(letter) in "WF") for letter in line
    )
