"""Numbers as text, for tables, reports and progress."""

from __future__ import annotations

from collections.abc import Sequence

__all__ = ["figure", "figures"]

MOST = 12  # digits that tell values apart


def figure(value: float, digits: int = 4) -> str:
    """Return the value with as many significant `digits`; what stands before the point is written out up to 1e12.

    With fewer than 4 digits, in a narrow bar, it is written out up to a million.
    """
    most = 1e12 if digits >= 4 else 1e6
    return f"{value:.0f}" if 10**digits <= abs(value) < most else f"{value:.{digits}g}"


def figures(values: Sequence[float], digits: int = 4) -> list[str]:
    """Return values that belong together with as many significant digits as tell them apart, `digits` at least.

    Values that differ by less than 1e-12 of their size look the same.
    """
    told = len({figure(value, MOST) for value in values})
    for count in range(digits, MOST + 1):
        found = [figure(value, count) for value in values]
        if len(set(found)) == told:
            break
    return found
