"""Times that are decimal years, 1959.0833: the months, or equal parts of years, that they mean."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence

import numpy as np

from cgru.datasets.days import first_day, lengths_of_months
from cgru.datasets.time_frequency import Frequency
from cgru.datasets.time_parsing import Times
from cgru.datasets.where import first_true

__all__ = ["decimal_years", "odd_year"]

YEARS = (1000, 3000)  # between which numbers may be years
EARLY = 0.1  # of a month by which its first day may lie before a twelfth of the year
APART = 0.2  # of a month, between its first and last place in it that days of other months have
PARTS = {52: (52,), 53: (52,), 365: (7, 365), 366: (7, 365)}  # likely seasons, of weeks and days


def decimal_years(values: np.ndarray, cells: Sequence[str] | None = None) -> Times | None:
    """Return what `values` (n,) mean as decimal years, by their `cells` as text; None where they are none.

    They are months, of which each has one place in its month, 1959.0833, 1959.083 or 1959.0849 for the first of
    February; months behind the point, 1959.1 for October beside 1959.12; or else equal parts of years, without a gap.
    """
    if values.dtype.kind != "f" or len(values) < 3 or not np.isfinite(values).all() or (values % 1 == 0).all():
        return None
    if not ((values >= YEARS[0]) & (values < YEARS[1])).all():
        return None
    texts = [repr(value) for value in values.tolist()] if cells is None else [cell.strip() for cell in cells]
    lengths = {len(found[1]) if (found := re.search(r"[.,](\d+)$", text)) else 0 for text in texts}
    digits, short = max(lengths), len(lengths) > 1

    def spelled(years: np.ndarray) -> list[str]:
        texts = [f"{year:.{digits}f}" for year in years.tolist()]
        return [text.rstrip("0").rstrip(".") for text in texts] if short else texts

    found = _behind_the_point(values, digits, short)
    found = found or _months(values, digits, spelled) or _parts(values, digits, spelled)
    if found is None or found.frequency is not None:
        return found
    first = int(np.argmin(values))
    return found._replace(note=f"decimal years: {texts[first]} is {found.values[first].astype('datetime64[M]')}")


def odd_year(values: np.ndarray) -> int | None:
    """Return the place of the first of `values` (n,) that is no month as most are; None where most are none."""
    if values.dtype.kind != "f" or not ((values >= YEARS[0]) & (values < YEARS[1])).all():
        return None
    into = values * 12 - np.floor(values * 12 + EARLY)
    odd = np.abs(into - np.median(into)) > EARLY
    return first_true(odd) if odd.mean() <= 1 / 5 else None


def _behind_the_point(values: np.ndarray, digits: int, short: bool) -> Times | None:
    """Return what 1871.01 to 1871.12 mean, the last two digits a month."""
    months = np.round(values % 1 * 100)
    if digits > 2 or not ((months >= 1) & (months <= 12)).all() or not (months == 12).any():
        return None
    found = _as_months(np.floor(values) * 12 + months - 1)

    def spelled(times: np.ndarray) -> list[str]:
        texts = [str(each).replace("-", ".") for each in times.astype("datetime64[M]")]
        return [text.rstrip("0") if short and text.endswith(".10") else text for text in texts]

    return Times(found, "year", spelled=spelled)


def _months(values: np.ndarray, digits: int, spelled: Callable[[np.ndarray], list[str]]) -> Times | None:
    """Return the months that lie at the same place in their months; written as such where that is not found exactly."""
    numbers = np.floor(values * 12 + EARLY)
    if np.ptp(values * 12 - numbers) > APART:
        return None
    for months in (_as_months(numbers), _as_months(numbers - 1)):  # the last of a month is early in the next, too
        for years in _places(months, values):
            if (np.abs(years(months) - values) <= 10.0**-digits + 1e-9).all():
                return Times(months, "year", spelled=lambda times, years=years: spelled(years(times)))
    return Times(_as_months(numbers), "month")


def _as_months(numbers: np.ndarray) -> np.ndarray:
    """Return the months that are so many after the year 0."""
    return (numbers.astype(np.int64) - 12 * 1970).astype("datetime64[M]").astype("datetime64[us]")


def _places(months: np.ndarray, values: np.ndarray) -> Iterator[Callable[[np.ndarray], np.ndarray]]:
    """Yield what may make decimal years, as `values` (n,), of `months` (n,).

    Each is one place in all months: a share of a twelfth of the year, a share of the days of the month, or a day.
    """

    def twelfths(times: np.ndarray, place: float) -> np.ndarray:
        number = times.astype("datetime64[M]").astype(np.int64)
        return 1970 + (number + place) / 12

    def days(times: np.ndarray, share: float, day: float) -> np.ndarray:
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
    """Return the equal parts of years that lie one behind the other."""
    known, places = np.unique(values, return_inverse=True)
    first, n = known[0], len(known)
    if n < 8 or not 1 <= known[-1] - first < (n - 1) / 1.5:
        return None
    count = (n - 1) / (known[-1] - first)
    whole = round(count)
    exact = round(first * whole) / whole  # of which 15 digits may be there
    first = exact if abs(exact - first) <= 10.0**-digits else first
    for per_year in (whole, count):
        if (np.abs(first + np.arange(n) / per_year - known) <= 10.0**-digits + 1e-9).all():
            frequency = Frequency("numbers", 1, per_year=whole, seasons=PARTS.get(whole, (whole,)))
            found = Times(places, "year", spelled=lambda times, f=per_year: spelled(first + times / f))
            return found._replace(note=f"decimal years, {whole} steps in each", frequency=frequency)
    return None
