"""Parts of a date in several columns (year, month, day, hour, ...): found by the columns' names, and joined."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

import numpy as np

from cgru.datasets.days import first_day, first_monday
from cgru.datasets.month_names import folded, months_of
from cgru.datasets.where import Locator, first_true

__all__ = ["PART", "join_parts", "months_in", "order_of_parts", "part_of", "parts_in", "words_of"]

PARTS = ("year", "quarter", "month", "week", "yday", "day", "hour", "clock", "minute", "second")
# The parts that may follow each part, the largest first.
NEXT = {
    "year": ("month", "quarter", "week", "yday"), "month": ("day",), "yday": ("hour", "clock"),
    "day": ("hour", "clock"), "hour": ("minute",), "minute": ("second",),
}  # fmt: skip
# Words of some twenty languages, as `folded` leaves them.
WORDS = {
    "year": "year years yr yrs yyyy yy jahr jahre annee annees an ans ano anos anno anni jaar jaren ar rok roky lata "
    "rik yil god godina tahun vuosi ev metai aasta год рік ετος 年",
    "quarter": "quarter quarters qtr quartal trimestre kwartaal kvartal kwartal квартал 季度",
    "month": "month months mon mth mo mm monat monate mois mes meses mese mesi maand maanden manad maned maaned "
    "miesiac mesic mesiac mjesec mesec bulan kuukausi kk honap luna menuo kuu месяц місяць месец μηνας 月",
    "week": "week weeks wk kw woche wochen semaine semaines semana semanas settimana settimane setmana weken vecka "
    "uke uge tydzien tyden tyzden tjedan hafta minggu viikko het saptamana savaite неделя тиждень седмица εβδομαδα 周",
    "yday": "doy yday jday",
    "day": "day days dy dd mday dom tag tage jour jours dia dias giorno giorni dag dagen dagar dager dage dzien dni "
    "den dny dan gun hari paiva nap ziua diena paev день дни ден ημερα 日",
    "hour": "hour hours hr hrs hh stunde stunden heure heures hora horas ora ore uur uren timme timmar godzina godziny "
    "hodina saat sat jam tunti valanda tund час часы година ωρα 时",
    "clock": "time hhmm clock zeit uhrzeit uhr tijd tid czas aika vreme",
    "minute": "minute minutes min mins mi mn minuten minuto minutos minuti minuta minuut minut minutter minuutti perc "
    "dakika минута хвилина λεπτο",
    "second": "second seconds sec secs ss sekunde sekunden seconde secondes segundo segundos secondo secondi sekund "
    "sekunda sekunti saniye detik секунда",
}
LETTERS = {"y": "year", "m": "month", "d": "day", "h": "hour", "s": "second"}  # names, if several of them occur
OF = "of the|of|in|du|de l|de la|de|del|des|do|da|van de"  # day of month, jour du mois
BESIDE = {"no", "nr", "num", "number", "name", "utc", "gmt", "local", "obs", "date", "start", "the"}  # to ignore

RANGES = {
    "year": (1, 9999), "quarter": (1, 4), "month": (1, 12), "week": (1, 53), "yday": (1, 366), "day": (1, 31),
    "hour": (0, 24), "clock": (0, 86400), "minute": (0, 59), "second": (0, 59.999999),
}  # fmt: skip
SECONDS = {"week": 604800, "yday": 86400, "day": 86400, "hour": 3600, "clock": 1, "minute": 60, "second": 1}
DUE = {"month": "a month", "clock": "a time of day such as 18:30 or 1830", "yday": "a day of the year, 1 to 366"}

ROMAN = ["i", "ii", "iii", "iv", "v", "vi", "vii", "viii", "ix", "x", "xi", "xii"]  # of months

PART = {folded(word): part for part, words in WORDS.items() for word in words.split()}


def months_in(texts: Sequence[str]) -> dict[str, int]:
    """Return the month, 1 to 12, of each text, such as Jan, février, M03, III and 3; {} unless all are months.

    All names must be of one language; of several possible ones the first is taken.
    """
    words = {text: folded(text.strip()).rstrip(".") for text in texts}
    numbers = {text: int(found[1]) for text, word in words.items() if (found := re.fullmatch(r"m?(\d\d?)月?", word))}
    numbers |= {text: ROMAN.index(word) + 1 for text, word in words.items() if word in ROMAN}
    named = {text: months_of(word) for text, word in words.items() if text not in numbers}
    first = next(iter(named.values()), {})
    shared = [language for language in first if all(language in each for each in named.values())]
    if (named and not shared) or not all(1 <= number <= 12 for number in numbers.values()):
        return {}
    return {**numbers, **{text: each[shared[0]] for text, each in named.items()}}


def words_of(name: str) -> list[str]:
    """Split a column's name into `folded` words: obs and year for `obs_Year`, `obsYear` and `Obs. year`."""
    parts = re.sub(r"(?<=[a-z])(?=[A-Z])", " ", name.strip())
    return [folded(word) for word in re.findall(r"[^\W\d_]+", parts)]


def part_of(name: str) -> str | None:
    """Return the part of a date that a column's name means, such as "year"; None if it means none."""
    return _part(name)[0]


def _part(name: str) -> tuple[str | None, tuple[str, ...]]:
    """Return (the part of a date that a name means, or None; its other words)."""
    text = " ".join(words_of(name))
    phrase = re.fullmatch(rf"(.*\b)?(\w+) ({OF}) (\w+)", text)
    if phrase and phrase[2] in PART and phrase[4] in PART:
        inner, outer = PART[phrase[2]], PART[phrase[4]]
        part = {("day", "week"): None, ("day", "year"): "yday"}.get((inner, outer), inner)
        return part, tuple((phrase[1] or "").split())
    words = text.replace("julian day", "yday").split()
    parts = [PART.get(word) for word in words]
    if len([part for part in parts if part]) != 1:
        return None, ()
    beside = tuple(word for word, part in zip(words, parts, strict=True) if not part and word not in BESIDE)
    return next(filter(None, parts)), beside


def parts_in(names: Sequence[str]) -> dict[str, str]:
    """Find the columns that are the parts of one date by their names; return {part: name}, the largest part first.

    Names may share other words: `sale_year`, `sale_month`. Parts that do not follow the largest one without a gap are
    left out. {} if there are not two parts, or more than one date.
    """
    groups: dict[tuple[str, ...], dict[str, str]] = {}
    letters = {name: LETTERS[word] for name in names if (word := name.strip().lower()) in LETTERS}
    if {"year", "month", "day"} > set(letters.values()) or len(set(letters.values())) < len(letters):
        letters = {}
    for name in sorted(names, key=lambda name: name.strip() == "mm"):  # beside MM, the month, mm are minutes
        part, beside = (letters[name], ()) if name in letters else _part(name)
        group = groups.setdefault(beside, {})
        if part == "month" and part in group and name.strip().lower() == "mm":
            part = "minute"  # as in YY MM DD hh mm
        if part is None or (part == "minute" and any("max" in folded(each) for each in names)):  # min beside max
            continue
        if part in group:
            return {}
        group[part] = name
    found = [chain for group in groups.values() if len(chain := _chain(group)) > 1]
    return found[0] if len(found) == 1 else {}


def _chain(group: Mapping[str, str]) -> dict[str, str]:
    """Return the parts of a group from the largest on, up to the first gap."""
    part = next((part for part in PARTS if part in group), None)
    chain = {}
    while part is not None:
        chain[part] = group[part]
        part = next((part for part in NEXT.get(part, ()) if part in group), None)
    return chain


def order_of_parts(names: Sequence[str], columns: Sequence[np.ndarray]) -> list[str] | None:
    """Return the part of a date that each of several columns (n,) is, to be joined to one time; None if they are none.

    Parts are known by the columns' names, or else by their order: a year of four digits first, then ever smaller parts.
    None if they are no parts, such as a date and a time of day.
    """
    parts = [_part(name)[0] or LETTERS.get(name.strip().lower()) for name in names]
    if parts.count("month") == 2 and "minute" not in parts:  # YY MM DD hh mm
        second = max(i for i, part in enumerate(parts) if part == "month")
        parts[second] = "minute"
    before = None
    for i, part in enumerate(parts):
        if part is None:
            due = [each for each in NEXT.get(before, ()) if each not in parts] if before else []
            parts[i] = due[0] if due else "year" if not before and _are_years(columns[i]) else None
        before = parts[i]
    if None in parts or len(set(parts)) < len(parts) or len(_chain(dict(zip(parts, names, strict=True)))) < len(parts):
        return None
    return parts if all(map(_may_be, parts, columns)) else None


def _are_years(column: np.ndarray) -> bool:
    """Return whether all numbers of a column have the size of years."""
    return column.dtype.kind in "iuf" and bool(((column >= 1000) & (column <= 9999)).all())


def _may_be(part: str, column: np.ndarray) -> bool:
    """Return whether a column may have values of a part of a date: numbers, or the names of months or quarters."""
    if column.dtype.kind in "iuf":
        return True
    values = set(column.tolist())
    return column.dtype == object and any(each is not None for value in values for each in _numbers(part, [value]))


def _numbers(part: str, values: Sequence[object]) -> list[float | None]:
    """Return the number that each value has as a part of a date, a clock in seconds; None for an invalid value."""
    if part != "month":
        return [_number(part, value) for value in values]
    texts = [value for value in values if isinstance(value, str)]
    months = months_in(texts) or {text: number for text in texts for number in months_in([text]).values()}
    return [months.get(value) if isinstance(value, str) else _number(part, value) for value in values]


def _number(part: str, value: object) -> float | None:
    """Return the number that a value has as a part of a date, a clock in seconds; None if it is invalid."""
    text = str(value).strip().lower().removesuffix(".0")
    if part == "quarter":
        text = re.sub(r"^[qt](?=[1-4]$)", "", text)
    if part == "clock":
        for pattern in (r"(\d\d?)[:.]([0-5]\d)(?:[:.]([0-5]\d))?", r"(?:(\d\d?)(?=\d\d))?([0-5]?\d)"):
            if clock := re.fullmatch(pattern, text):
                return sum(int(count or 0) * size for count, size in zip(clock.groups(), (3600, 60, 1), strict=False))
        return None
    return float(text) if re.fullmatch(r"-?\d+(\.\d+)?", text) else None


def join_parts(
    parts: Sequence[str], names: Sequence[str], columns: Sequence[np.ndarray], locate: Locator
) -> np.ndarray:
    """Join columns, each a part of a date, to times (n,): datetime64[us] with a year, else timedelta64[us].

    The result is datetime64[us] with a year among the parts, else timedelta64[us]; months and days without a year count
    from the beginning of a leap year. A quarter is its first month, a week its Monday by ISO 8601. A time of day may be
    1830, an hour 24. Raise ValueError, with the column and the place, for a value out of range, and for a day that its
    month does not have.
    """
    parts = list(map(_fitting, parts, columns))
    called = dict(zip(parts, names, strict=True))
    values = {}
    for part, name, column in zip(parts, names, columns, strict=True):
        values[part] = _checked(part, name, column, locate, counts=part == "day" and "month" not in called)
    year = values.get("year", np.full(len(columns[0]), 2000))
    if (year < 100).any() and np.ptp(year) >= 50:
        i = int(np.argmin(year))
        raise ValueError(f"{called['year']}: expected years of four digits, got {year[i]} in {locate(i)}")
    month = values.get("month", 3 * values["quarter"] - 2 if "quarter" in values else 1)
    months = (12 * (year - 1970) + month - 1).astype("datetime64[M]")
    first = first_day(months)
    ends = {"day": first_day(months, 1), "yday": first_day(months, 12)}
    if "week" in values:
        first, ends["week"] = first_monday(first), first_monday(ends["yday"])
    times = first.astype("datetime64[us]")
    for part in set(parts) & SECONDS.keys():
        days = part in ends and (part != "day" or "month" in values)
        if days:
            size = (ends[part] - first).astype(np.int64) * 86400 // SECONDS[part]
            if (i := first_true(values[part] > size)) is not None:
                whole = f"{part.replace('yday', 'day')} of {str(months[i])[: 7 if part == 'day' else 4]}"
                got = f"{values[part][i]} in {locate(i)}"
                raise ValueError(f"{called[part]}: expected a {whole}, at most {size[i]}, got {got}")
        times = times + np.round((values[part] - days) * SECONDS[part] * 1e6).astype("timedelta64[us]")
    return times if "year" in values else times - np.datetime64("2000-01-01", "us")


def _fitting(part: str, column: np.ndarray) -> str:
    """Return the corrected part: an "hour" above 99 is a clock, 1830, and a "clock" up to 24 is an hour."""
    if part in ("hour", "clock") and column.dtype.kind in "iuf":
        return "hour" if (column <= (24 if part == "clock" else 99)).all() else "clock"
    return part


def _checked(part: str, name: str, column: np.ndarray, locate: Locator, counts: bool) -> np.ndarray:
    """Return the numbers (n,) of a part's column; ValueError, with the place, for one out of range, unless it `counts`.

    Each must be in the part's range, but with `counts`, for days without a month, any integer is valid.
    """
    low, high = (-np.inf, np.inf) if counts else RANGES[part]
    distinct, codes = np.unique(column.astype(str) if column.dtype == object else column, return_inverse=True)
    numbers = _numbers(part, distinct.tolist())
    for i, (value, number) in enumerate(zip(distinct.tolist(), numbers, strict=True)):
        if number is None or not low <= number <= high or (part != "second" and number % 1):
            due = "a whole number"
            if not counts:
                due = DUE.get(part, f"{'an' if part == 'hour' else 'a'} {part} from {low} to {int(high)}")
            raise ValueError(f"{name}: expected {due}, got {value!r} in {locate(int(np.argmax(codes == i)))}")
    return np.array(numbers, np.float64)[codes] if part == "second" else np.array(numbers, np.int64)[codes]
