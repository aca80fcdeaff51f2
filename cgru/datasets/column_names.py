"""Patterns of column names that hint at a role (id, time, label, ...), and the format of names in messages."""

from __future__ import annotations

import re
from collections.abc import Sequence

from cgru.datasets.dataset import LONGEST
from cgru.datasets.date_parts import PART, words_of
from cgru.datasets.month_names import months_of, weekdays_of

__all__ = [
    "CLOCKS", "DATES", "IDS", "LABELS", "ROWS", "STEPS", "TIMES", "as_arg", "as_names", "check_choice",
    "check_lengths", "date_and_time", "ignoring", "is_called", "is_part_of_date", "listed", "may_be_step", "numbered",
    "time_hint",
]  # fmt: skip

# Regular expressions for names in lower case. They are compiled on first use, which keeps the import fast.
IDS = (
    "(unique[ _]?)?id|(subject|series|sequence|seq|case|sample|session|patient|participant|person|user|unit|trial|"
    "recording|record|device|machine|engine|run|track)([ _]?(id|no|nr|number))?"
)
TIMES = (
    r"(t|time|step|time[ _]?step|time[ _]?stamp|date|date[ _]?time|frame|tick|cycle|day|when|ds|zeit|uhrzeit|datum)"
    r"( ?[(\[](ms|s|secs?|seconds|min|minutes|h|hrs?|hours|d|days|utc|gmt)[)\]])?"
)
DATES = "date|day|datum"  # a date, beside which one of CLOCKS may be the time of day
CLOCKS = "time|uhrzeit|zeit"
LABELS = "label|labels|class|target|category|outcome|klasse"
ROWS = r"index|level_\d+|x(\.\d+)?|row([ _.]?(names?|id|no|nr|number))?"  # what pandas and R call the index of a frame
STEPS = r"(t|time|step|lag)?[ _.\-]*\d+"  # the columns of a wide table

# One of these words in a name, or a part of a date, hints that the column has times: surely, or perhaps.
TIME_WORDS = """
time times timestamp ts epoch unix date dates datum dato fecha zeit zeitpunkt temps tiempo tempo tijd tijdstip czas
vreme tid aika elapsed yyyymm yyyymmdd
"""
OTHER_WORDS = """
age ages alter edad eta idade leeftijd wiek alder yas vek period periods periode periodo okres epoca semester trimester
wave visit tick frame step schritt paso passo etape stap steg krok cycle zyklus ciclo
"""


def is_called(name: str, pattern: str) -> bool:
    """Return whether all of a column's name matches the regular expression `pattern`, in any case."""
    return re.fullmatch(pattern, name.strip().lower()) is not None


def check_lengths(names: Sequence[str]) -> None:
    """Raise ValueError for a name that is too long to be one."""
    if len(longest := max(names, key=len, default="")) > LONGEST:
        got = f"got {longest[:40]!r}... of {len(longest)}"
        raise ValueError(f"expected names of columns of at most {LONGEST} characters, {got}")


def numbered(name: str) -> tuple[str, int] | None:
    """Split a name into what is before the number at its end, and the number; None without one: ("x", 12) for x_12."""
    found = re.fullmatch(r"(.*[^\d\n])?(\d{1,18})", name)  # from the end, as trying each start would take n^2 steps
    return found and ((found[1] or "").rstrip(" _.-"), int(found[2]))


def time_hint(name: str) -> int:
    """Return how strongly a name hints at a column of times: 3 for Days and TIME0, 2 for age, 1 for hr, else 0."""
    words = words_of(name)
    if any(word in TIME_WORDS.split() or (word in PART and len(word) > 3) for word in words):
        return 3
    return 2 if any(word in OTHER_WORDS.split() for word in words) else int(any(word in PART for word in words))


def may_be_step(name: str) -> bool:
    """Return whether a name may be that of a step of a wide table: it has a number, a month or a weekday."""
    return any(map(str.isdecimal, name)) or any(months_of(word) or weekdays_of(word) for word in words_of(name))


def is_part_of_date(name: str) -> bool:
    """Return whether a name without its last number is a month, a weekday, a quarter or a year: Jan, 2001Q."""
    dated = re.fullmatch(r"q[1-4]|(18|19|20)\d\d[ _-]*[a-z]", name.strip().lower())
    return dated is not None or any(months_of(word) or weekdays_of(word) for word in words_of(name))


def as_names(value: str | Sequence[str], name: str) -> tuple[str, ...]:
    """Return one name or several as a tuple, () for "" or []; raise TypeError unless all are strings."""
    names = tuple(filter(None, (value,) if isinstance(value, str) else value))
    if not all(isinstance(each, str) for each in names):
        raise TypeError(f"{name}: expected names of columns, got {value!r}")
    return names


def check_choice(name: str, value: str | None, known: Sequence[str | None]) -> None:
    """Raise ValueError unless the `value` of the argument `name` is one of the `known` ones."""
    if value not in known:
        raise ValueError(f"{name}: expected one of {', '.join(filter(None, known))}, got {value!r}")


def date_and_time(names: Sequence[str]) -> tuple[str, ...]:
    """Return the column called as a date and the one called as a time of day; () unless there is one of each."""
    found = [[name for name in names if is_called(name, pattern)] for pattern in (DATES, CLOCKS)]
    return tuple(name for names in found for name in names) if all(len(names) == 1 for names in found) else ()


def as_arg(names: Sequence[str]) -> str:
    """Format the names as the value of an argument in code: "a", or for several ["a", "b"]."""
    quoted = [f'"{name}"' for name in names]
    return quoted[0] if len(names) == 1 else f"[{', '.join(quoted)}]"


def ignoring(names: Sequence[str]) -> str:
    """Return the advice to leave columns out that are no features: `ignore="a" leaves it out`."""
    return f"ignore={as_arg(names)} leaves {'it' if len(names) == 1 else 'them'} out"


def listed(names: Sequence[str]) -> str:
    """Join the names with commas, only the first 12 of many."""
    return ", ".join(names[:12]) + (", ..." if len(names) > 12 else "")
