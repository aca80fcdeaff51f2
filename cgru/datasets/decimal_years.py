"""Decimal years, 1959.0833: recognised as months or as equal parts of a year, and written again."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence

import numpy as np

from cgru.datasets.days import first_day, lengths_of_months
from cgru.datasets.time_frequency import Frequency
from cgru.datasets.time_parsing import Times
from cgru.datasets.where import first_true

__all__ = ["decimal_years", "odd_year"]

YEARS = (1000, 3000)  # the range of numbers that may be years
EARLY = 0.1  # of a month: the first day of a month may lie so far before its twelfth of the year
APART = 0.2  # of a month: positions within months may differ so much, as months differ in length
PARTS = {52: (52,), 53: (52,), 365: (7, 365), 366: (7, 365)}  # likely seasons by steps a year, of weeks and days


def decimal_years(values: np.ndarray, cells: Sequence[str] | None = None) -> Times | None:
    """Parse `values` (n,), whose text is `cells`, as decimal years; return None if they are none.

    They may be months, all at the same position in their months: 1959.0833, 1959.083 or 1959.0849 is the first of
    February. They may have the month as decimals: 1959.12, and 1959.1 for October. Else they must be equal parts of
    years, without a gap.
    """
    if values.dtype.kind != "f" or len(values) < 3 or not np.isfinite(values).all() or (values % 1 == 0).all():
        return None
    if not ((values >= YEARS[0]) & (values < YEARS[1])).all():
        return None
    texts = [repr(value) for value in values.tolist()] if cells is None else [cell.strip() for cell in cells]
    lengths = {len(found[1]) if (found := re.search(r"[.,](\d+)$", text)) else 0 for text in texts}
    digits, short = max(lengths), len(lengths) > 1

    def spelled(years: np.ndarray) -> list[str]:
        """Format years with the digits of the `cells`."""
        texts = [f"{year:.{digits}f}" for year in years.tolist()]
        return [text.rstrip("0").rstrip(".") for text in texts] if short else texts

    found = _behind_the_point(values, digits, short)
    found = found or _months(values, digits, spelled) or _parts(values, digits, spelled)
    if found is None or found.frequency is not None:
        return found
    first = int(np.argmin(values))
    return found._replace(note=f"decimal years: {texts[first]} is {found.values[first].astype('datetime64[M]')}")


def odd_year(values: np.ndarray) -> int | None:
    """Return the index of the first of decimal years (n,) that is off the months where four in five lie; else None."""
    if values.dtype.kind != "f" or not ((values >= YEARS[0]) & (values < YEARS[1])).all():
        return None
    into = values * 12 - np.floor(values * 12 + EARLY)
    odd = np.abs(into - np.median(into)) > EARLY
    return first_true(odd) if odd.mean() <= 1 / 5 else None


def _behind_the_point(values: np.ndarray, digits: int, short: bool) -> Times | None:
    """Parse years with the month as decimals, 1871.01 to 1871.12; return None for others. `short`: .1 for October."""
    months = np.round(values % 1 * 100)
    if digits > 2 or not ((months >= 1) & (months <= 12)).all() or not (months == 12).any():
        return None
    found = _as_months(np.floor(values) * 12 + months - 1)

    def spelled(times: np.ndarray) -> list[str]:
        """Format months as 1871.01 to 1871.12."""
        texts = [str(each).replace("-", ".") for each in times.astype("datetime64[M]")]
        return [text.rstrip("0") if short and text.endswith(".10") else text for text in texts]

    return Times(found, "year", spelled=spelled)


def _months(values: np.ndarray, digits: int, spelled: Callable[[np.ndarray], list[str]]) -> Times | None:
    """Parse years that are all at the same position in their months; None for others. `spelled` formats years.

    If no formula of `_formulas` gives the exact years again, times are written as months.
    """
    numbers = np.floor(values * 12 + EARLY)
    if np.ptp(values * 12 - numbers) > APART:
        return None
    for months in (_as_months(numbers), _as_months(numbers - 1)):  # the last of a month is early in the next, too
        for years in _formulas(months, values):
            if (np.abs(years(months) - values) <= 10.0**-digits + 1e-9).all():
                return Times(months, "year", spelled=lambda times, years=years: spelled(years(times)))
    return Times(_as_months(numbers), "month")


def _as_months(numbers: np.ndarray) -> np.ndarray:
    """Convert numbers of months since the year 0 to datetime64[us]."""
    return (numbers.astype(np.int64) - 12 * 1970).astype("datetime64[M]").astype("datetime64[us]")


def _formulas(months: np.ndarray, values: np.ndarray) -> Iterator[Callable[[np.ndarray], np.ndarray]]:
    """Yield functions that may turn `months` (n,) into their decimal years `values` (n,).

    Each takes one position in all months: a share of a twelfth of the year, a share of the month's days, or a day.
    """

    def twelfths(times: np.ndarray, place: float) -> np.ndarray:
        """Return years with months of equal length, at the share `place` of each."""
        number = times.astype("datetime64[M]").astype(np.int64)
        return 1970 + (number + place) / 12

    def days(times: np.ndarray, share: float, day: float) -> np.ndarray:
        """Return years with months of their days, at a share of each month plus `day` days."""
        year = times.astype("datetime64[Y]")
        before = (first_day(times) - first_day(year)).astype(np.int64)
        whole = (first_day(year, 12) - first_day(year)).astype(np.int64)
        return 1970 + year.astype(np.int64) + (before + share * lengths_of_months(times) + day) / whole

    start, end = (days(months, share, 0) for share in (0, 1))
    shares = (values - start) / (end - start)
    for place in (0.0, 0.5, float(np.mean((values - twelfths(months, 0)) * 12))):
        yield lambda times, place=place: twelfths(times, place)
    for share in (0.0, 0.5, float(shares.mean())):
        yield lambda times, share=share: days(times, share, 0)
    yield lambda times: days(times, 1, -1)
    length = np.mean((values - start) / (days(months, 0, 1) - start))
    for day in (max(0.0, float(np.round(length))), max(0.0, float(length))):
        yield lambda times, day=day: days(times, 0, day)


def _parts(values: np.ndarray, digits: int, spelled: Callable[[np.ndarray], list[str]]) -> Times | None:
    """Parse years that are consecutive equal parts of a year, as weeks are; else None. `spelled` formats years."""
    known, places = np.unique(values, return_inverse=True)
    first, n = known[0], len(known)
    if n < 8 or not 1 <= known[-1] - first < (n - 1) / 1.5:
        return None
    count = (n - 1) / (known[-1] - first)
    whole = round(count)
    exact = round(first * whole) / whole  # `first` before it was rounded in the file
    first = exact if abs(exact - first) <= 10.0**-digits else first
    for per_year in (whole, count):
        if (np.abs(first + np.arange(n) / per_year - known) <= 10.0**-digits + 1e-9).all():
            frequency = Frequency("numbers", 1, per_year=whole, seasons=PARTS.get(whole, (whole,)))
            found = Times(places, "year", spelled=lambda times, f=per_year: spelled(first + times / f))
            return found._replace(note=f"decimal years, {whole} steps in each", frequency=frequency)
    return None
