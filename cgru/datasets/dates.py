"""Parser of dates and times of day as text, in one format for all texts of a column.

The shape of a text is the text with 0 for each digit: "00.00.0000 00:00" for "31.12.2024 18:30". A column has few
shapes. The possible meanings of a shape's digits, its layouts, are found once for each shape (`_layouts`). Then the
digits of all texts of a shape are read by array operations (`_read`).
"""
# ruff: noqa: RUF001

from __future__ import annotations

import functools
import itertools
import re
import unicodedata
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np

from cgru.datasets.days import first_day, first_monday, weekday
from cgru.datasets.month_names import folded, months_of, weekdays_of

__all__ = ["Dates", "dates_in", "forms_of", "months_by_name"]

DAY = 86_400_000_000  # microseconds
ISO = "Y-M-D"
PIVOT = 69  # years of two digits: 69 to 99 are of the 20th century, 00 to 68 of the 21st, as for strptime

# Patterns of a canonical shape, in which each word is one letter. B is the name of a month, A that of a weekday, a and
# p are AM and PM. Q, W, H, T and Z stand for quarter, week, hour, time and UTC. The groups are digits: year (Y, or y of
# two digits), Month, Day, quarter, week, day of the week (u) or of the year (j); hour, minute, second, fraction; hours
# and minutes of a zone's offset (oh, om).
_COLONS = r"(?P<h>00?):(?P<m>00)(?::(?P<s>00)(?:[.,](?P<f>0{1,9}))?)?(?: ?(?P<half>[ap])| ?H)?"
_BASIC = r"(?P<h>00)(?P<m>00)(?:(?P<s>00)(?:[.,](?P<f>0{1,9}))?)?"
_BETWEEN = r"(?P<between>T|, ?| |_| - |:)"
_ZONE = r"(?P<zone> ?(?P<named>Z? ?(?P<sign>[+-])(?P<oh>00?)(?::?(?P<om>00))?|Z))?"
_CLOCKS = {"hm": _COLONS, "h12": r"(?P<h>00?) ?(?P<half>[ap])", "hH": r"(?P<h>00?) ?H(?: ?(?P<m>00))?"}
_BEHIND = {  # what may stand behind a date
    **{kind: f"{_BETWEEN}{clock}{_ZONE}" for kind, clock in _CLOCKS.items()},
    "h.m": rf"(?P<between> )(?P<h>00?)\.(?P<m>00)(?:\.(?P<s>00))?{_ZONE}",  # alone 10.11.12 may be a date
    "": r"(?P<zone>(?P<named>Z|(?P<sign>[+-])(?P<oh>00):(?P<om>00)))",
}
_BEHIND_ISO = {"h": f"(?P<between>[T ])(?P<h>00){_ZONE}", "hms": f"(?P<between>T){_BASIC}{_ZONE}"}
_BEHIND_DIGITS = {"hms": f"(?P<between>[T_ -]?){_BASIC}{_ZONE}"}  # behind 20241231
_S = r"(?P<sep>[-/.] ?| )"
_DATES = {
    ISO: rf"(?P<Y>0000){_S}(?P<M>00?)(?P=sep)(?P<D>00?)",
    "D-M-Y": rf"(?P<D>00?){_S}(?P<M>00?)(?P=sep)(?P<Y>0000)",
    "M-D-Y": r"(?P<M>00?)(?P<sep>[-/ ])(?P<D>00?)(?P=sep)(?P<Y>0000)",
    "D-M-y": r"(?P<D>00?)(?P<sep>\. ?|/)(?P<M>00?)(?P=sep)(?P<y>00)",
    "M-D-y": r"(?P<M>00?)(?P<sep>/)(?P<D>00?)(?P=sep)(?P<y>00)",
    "D B Y": r"(?P<D>00?)[-/. ,]{0,2}B[-/. ,]{0,2}(?P<Y>0000)",
    "D B y": r"(?P<D>00?)[-/. ]{0,2}B[-/. ']{0,2}(?P<y>00)",
    "B D Y": r"B[-/. ]{0,2}(?P<D>00?)[-/. ,]{1,2}(?P<Y>0000)",
    "B D y": r"B[-/. ]{0,2}(?P<D>00?), ?'?(?P<y>00)",
    "Y B D": r"(?P<Y>0000)[-/. ,]{0,2}B[-/. ,]{0,2}(?P<D>00?)",
    "Y D B": r"(?P<Y>0000)[-/. ,]{1,2}(?P<D>00?)[-/. ,]{0,2}B",
    "YMD": r"(?P<Y>0000)(?P<M>00)(?P<D>00)",
    "Y-j": r"(?P<Y>0000)-(?P<j>000)",
    "Y-W-u": r"(?P<Y>0000)-?W(?P<w>00)-?(?P<u>0)",
    "B D hm Y": rf"B (?P<D>00?),? {_COLONS}{_ZONE} (?P<Y>0000)",
}
_PARTS = {  # dates that are months, quarters or weeks, without a time of day
    "Y-M": r"(?P<Y>0000)(?P<sep>[-/])(?P<M>00?)",
    "M-Y": r"(?P<M>00?)(?P<sep>[-/])(?P<Y>0000)",
    "YMm": r"(?P<Y>0000)[-: ]?M(?P<M>00?)",
    "B Y": r"B[-/. ,]{0,2}(?P<Y>0000)",
    "Y B": r"(?P<Y>0000)[-/. :,]{0,2}B",
    "B 'y": r"B ?'(?P<y>00)",
    "B y": r"B[-/. ]?(?P<y>00)",
    "y B": r"(?P<y>00)[-/. ]?B",
    "YQ": r"(?P<Y>0000)[-: /]{0,2}Q(?P<q>0)",
    "QY": r"Q ?(?P<q>0)[-: /.,']{0,2}(?P<Y>0000)",
    "qQY": r"(?P<q>0)[. ]{0,2}Q[-: /.,]{0,2}(?P<Y>0000)",
    "Qy": r"Q(?P<q>0)[-/ '](?P<y>00)",
    "qQy": r"(?P<q>0)Q[-/ ']?(?P<y>00)",
    "Y-W": r"(?P<Y>0000)[-/ ]?W ?(?P<w>00?)",
    "WY": r"W ?(?P<w>00?)[-: /.,]{0,2}(?P<Y>0000)",
    "wWY": r"(?P<w>00?)[. ]{0,2}W[-: /.,]{0,2}(?P<Y>0000)",
}
_DIGITS = str.maketrans({**dict.fromkeys("123456789", "0"), "−": "-", "’": "'"})
_ZONES = dict.fromkeys(["utc", "gmt", "ut", "z", "wet"], 0) | {"west": 1, "cet": 1, "mez": 1}
_ZONES |= {"cest": 2, "mesz": 2, "eet": 2, "eest": 3}
_QUARTERS = "quarter quartal quartals trimestre trim kvartal kvartaal kwartaal kwartal kw квартал кв"
_WEEKS = "week wk kw woche semaine semana settimana uke uge vecka tydzien tyden"  # KW is a quarter in Polish, too
_SIGNS = {"am": "a", "pm": "p", "πm": "a", "μm": "p", "t": "T", "w": "W", "q": "Q", "k": "Q", "h": "H", "m": "M"}
_SIGNS |= {"年": "-", "년": "-", "月": "-", "월": "-", "日": " ", "일": " "}
_SIGNS |= {"時": ":", "时": ":", "시": ":", "分": ":", "분": ":", "秒": "", "초": ""}
_SIGNS |= {"uhr": "H"} | dict.fromkeys(_QUARTERS.split(), "Q") | dict.fromkeys(_ZONES, "Z")
_ORDINALS = "st nd rd th er re e"  # ignored right behind digits: 1st
_FILLERS = "de del d di of the den det der el le am um at a as alle les las kl klo o το στις la"  # ignored before words
_YEARS = "г года год р року r roku rok gada m d"  # ignored behind digits: words for "year"


class Dates(NamedTuple):
    """One reading of the texts of a column as dates, all in the same form.

    Attributes:
        form: the form that all texts share.
        valid: the mask (n,) of texts that are dates in that form; the other arrays are undefined for others.
        microseconds: local time since 1970 (n,).
        nanoseconds: the rest below a microsecond (n,), 0 to 999.
        offsets: the UTC offset in minutes (n,), positive to the east.
        zoned: the mask of texts with a time zone (n,).
        zone: the time zone's text in the first of the texts, or "".
        written: "month", "quarter", "day", "minute", "second" or "microsecond" for ISO formats, else a format of
            strftime.
        dated: whether the form has a date, rather than a time of day alone.
    """

    form: str
    valid: np.ndarray
    microseconds: np.ndarray
    nanoseconds: np.ndarray
    offsets: np.ndarray
    zoned: np.ndarray
    zone: str
    written: str
    dated: bool

    @property
    def utc(self) -> np.ndarray:
        """Return the times in UTC, as microseconds since 1970 (n,)."""
        return self.microseconds - self.offsets * 60_000_000


class _Layout(NamedTuple):
    """One meaning of the digits and words of a shape.

    Attributes:
        date: the key of the date's pattern, "" for a time of day alone.
        sep: the separator within the date.
        clock: the parts of the time of day.
        spans: the start and end of the digits of each role.
        month: the name of the month, or "".
        weekdays: the weekdays that the text may name; None if it names none.
        half: "a" for AM, "p" for PM, or "".
        zone: the start and end of the time zone.
        sign: the sign of its offset.
        minutes: the offset of a time zone with a name.
        written: the format of strftime that writes such a text, or "quarter".
    """

    date: str
    sep: str
    clock: str
    spans: dict[str, tuple[int, int]]
    month: str
    weekdays: frozenset[int] | None
    half: str
    zone: tuple[int, int] | None
    sign: str
    minutes: int
    written: str

    def form(self, mixed: bool) -> str:
        """Return the form, which all texts of a column must share; with `mixed` all ISO dates have the same form."""
        is_iso = self.date == ISO and self.sep == "-"
        return f"{self.date}{self.sep.strip()} {'' if mixed and is_iso else self.clock}"


def dates_in(texts: Sequence[str], mixed: bool = False, form: str | None = None) -> list[Dates]:
    """Return all readings of texts as dates or times of day (none, one or several); `mixed`: some lack the time.

    Args:
        texts: the texts of the column.
        mixed: whether the column may have ISO dates both with and without a time of day.
        form: the only form to try; texts that do not have it are not `valid`. None: all forms that fit all texts.
    """
    texts = _plain(texts)
    written = "\n".join(texts).translate(_DIGITS).split("\n")
    rows_of = {written[0]: range(len(texts))} if texts else {}
    if len(texts) > written.count(written[0]):
        rows_of = {}
        for i, shape in enumerate(written):
            rows_of.setdefault(shape, []).append(i)
    known: list[tuple[Sequence[int], dict[str, _Layout]]] = []
    forms = set() if form is None else {form}
    for shape, rows in rows_of.items():
        layouts = {layout.form(mixed): layout for layout in reversed(_layouts(shape))}
        if form is None:
            forms = layouts.keys() & (forms or layouts.keys())
            if not forms:
                return []
        known.append((rows, layouts))
    found = []
    for each in sorted(forms):
        parts = [(rows, layouts[each]) for rows, layouts in known if each in layouts]
        for months, is_english in months_by_name({layout.month for _, layout in parts} - {""}):
            dates = _read(texts, parts, each, months, is_english)
            if form is not None or dates.valid.all():
                found.append(dates)
    return found


def forms_of(text: str) -> dict[str, str]:
    """Return the possible forms of a text, each with its format of strptime."""
    shape = _plain([text])[0].translate(_DIGITS)
    return {layout.form(mixed=False): layout.written for layout in _layouts(shape)}


def _plain(texts: Sequence[str]) -> Sequence[str]:
    """Return the texts normalised: single spaces, and letters composed with their accents (NFC)."""
    together = "\n".join(["", *texts, ""])
    odd = ("  ", "\n ", " \n", *"\t\r\v\f\x1c\x1d\x1e\x1f")
    if together.isascii() and not any(each in together for each in odd) and together.count("\n") == len(texts) + 1:
        return texts
    return [unicodedata.normalize("NFC", " ".join(text.split())) for text in texts]


# --- layouts of shapes ---


@functools.lru_cache(4096)
def _layouts(shape: str) -> tuple[_Layout, ...]:
    """Return all layouts of dates that a text of this `shape`, its digits written as 0, may have; () for no date."""
    if "0" not in shape or len(shape) > 80:
        return ()
    found = {}
    for canonical, places, words in _canonical(shape):
        for date, kind, groups in _matches(canonical):
            layout = _layout(date, kind, groups, canonical, places, words)
            found.setdefault((layout.date, layout.sep, layout.clock, layout.month, layout.weekdays), layout)
    return tuple(found.values())


Groups = dict[str, tuple[int, int]]  # the start and end of each group of a pattern


def _matches(canonical: str) -> Iterator[tuple[str, str, Groups]]:
    """Yield (key of the date pattern, kind of clock, groups) for each match of a canonical shape."""
    dates, after, alone = _patterns()
    first = alone["", "hm"].match(canonical)
    between = re.compile(",? ").match(canonical, first.end()) if first else None
    for date, pattern in dates.items():
        match = pattern.match(canonical)
        if match and match.end() == len(canonical):
            yield date, "", _groups(match)
        for kind, rest in after[date].items() if match else ():
            if clock := rest.fullmatch(canonical, match.end()):
                yield date, kind, _groups(match) | _groups(clock)
        if match := pattern.fullmatch(canonical, between.end()) if between else None:
            yield date, "hm first", _groups(first) | {"between": between.span()} | _groups(match)
    for (date, kind), pattern in alone.items():
        if match := pattern.fullmatch(canonical):
            yield date, kind, _groups(match)


def _groups(match: re.Match) -> Groups:
    """Return {group: (start, end)} for each group of a match that is not empty."""
    return {role: match.span(role) for role, text in match.groupdict().items() if text}


@functools.cache
def _patterns() -> tuple[dict[str, re.Pattern], dict[str, dict[str, re.Pattern]], dict[tuple[str, str], re.Pattern]]:
    """Return the patterns of dates by date, of what may follow by date and kind, and of parts and clocks alone."""
    dates = {
        date: re.compile(rf"(?:A,? ?)?(?P<date>{pattern}){'' if date == 'YMD' else '(?!0)'}\.?(?:,? ?A| \(A\))?")
        for date, pattern in _DATES.items()
    }
    usual, iso, basic = (
        {kind: re.compile(rest) for kind, rest in following.items()}
        for following in (_BEHIND, _BEHIND_ISO, _BEHIND_DIGITS)
    )
    after = {date: usual | (iso if date in (ISO, "YMD", "Y-j", "Y-W-u") else {}) for date in dates}
    after["YMD"] |= basic
    alone = {(part, ""): re.compile(pattern) for part, pattern in _PARTS.items()}
    alone |= {("", kind): re.compile(f"T?(?P<clock>{clock})") for kind, clock in _CLOCKS.items()}
    return dates, after, alone


def _canonical(shape: str) -> Iterator[tuple[str, list[tuple[int, int]], dict[str, str]]]:
    """Yield (canonical text with a letter for each word, place of each letter in `shape`, words) for each reading."""

    def blank(found: re.Match) -> str:
        """Return spaces of the same length, which keep the places of other letters."""
        return " " * len(found[0])

    shape = re.sub(r"(?i)\b([apπμ])\. ?[mμ]\b\.?", lambda found: f"{found[1]}m".ljust(len(found[0])), shape)
    place = re.search(r"[+-]00:?00(?: ?[\[(][^\d\])]*[\])])$", shape)  # behind an offset
    shape = re.sub(r" ?[\[(][^(\[]*$", blank, shape) if place else shape
    shape = re.sub(r"(?i)-feira\b|\bd'(?=[^\W\d_])", blank, shape)
    tokens = [(found[0], found.start()) for found in re.finditer(r"0+|(?:[^\W\d_][\u0300-\u036f]*)+|.", shape)]
    words = [
        _signs(token, shape[:start], shape[start + len(token) :]) if token[0].isalpha() else (token,)
        for token, start in tokens
    ]
    if not all(words) or sum(len(each) > 1 for each in words) > 4:
        return
    for signs in itertools.product(*words):
        letters: list[tuple[str, tuple[int, int]]] = []
        named = {}
        after_word = False
        for sign, (token, start) in zip(signs, tokens, strict=True):
            if token[0].isalpha():
                named[sign] = folded(token)
                letters += [(sign, (start, start + len(token)))] if sign else []
            elif not (after_word and token == "."):
                letters += [(sign[i], (start + i, start + i + 1)) for i in range(len(sign))]
            after_word = token[0].isalpha() and sign not in ("-", ":")
        text, places = _tidy(letters)
        yield text, places, named


def _tidy(letters: list[tuple[str, tuple[int, int]]]) -> tuple[str, list[tuple[int, int]]]:
    """Join letters to a text without needless spaces and punctuation; return (the text, the place of each letter)."""
    kept: list[tuple[str, tuple[int, int]]] = []
    for letter, place in letters:
        if letter == " " and (not kept or kept[-1][0] == " "):
            continue
        if letter == "," and kept and kept[-1][0] == " ":
            kept.pop()
        kept.append((letter, place))
    while kept and kept[-1][0] in " .,:-":
        kept.pop()
    return "".join(letter for letter, _ in kept), [place for _, place in kept]


def _signs(word: str, before: str, after: str) -> tuple[str, ...]:
    """Return the canonical letters that a word may stand for, "" for a filler; () for a word that no date has.

    `before` and `after` are the rest of the shape.
    """
    name = folded(word)
    found = ["B"] if months_of(name) else []
    found += ["A"] if weekdays_of(name) else []
    is_filler = (
        (name in _FILLERS.split() and re.search(r"\w", after))
        or (name in _YEARS.split() and re.search(r"0[. ]*$", before))
        or (name in _ORDINALS.split() and before.endswith("0"))
    )
    found += [""] if is_filler else []
    found += [_SIGNS[each] for each in dict.fromkeys((word.casefold(), name)) if each in _SIGNS]
    found += ["Q"] if name == "t" else []  # T1 is a trimester
    found += ["W"] if name in _WEEKS.split() else []
    return tuple(found)


_ROLES = "Y y M D q w u j h m s f oh om"
_CODES = {"Y": "%Y", "y": "%y", "M": "%m", "D": "%d", "j": "%j", "h": "%H", "m": "%M", "s": "%S", "f": "%f",
          "half": "%p"}  # fmt: skip


def _layout(
    date: str, kind: str, groups: Groups, canonical: str, places: list[tuple[int, int]], words: dict[str, str]
) -> _Layout:
    """Return the layout of a match, with groups of the canonical text translated to places in the shape."""

    def text(role: str) -> str:
        """Return the canonical text of the group called `role`, "" if the match has none."""
        return canonical[slice(*groups.get(role, (0, 0)))]

    def span(role: str) -> tuple[int, int]:
        """Return the start and end in the shape of the group called `role`."""
        start, end = groups[role]
        return places[start][0], places[end - 1][1]

    clock = "".join(role for role in "hms" if role in groups) + ("12" if "half" in groups else "")
    clock += {"h.m": ".", "hm first": " first"}.get(kind, "")
    spans = {role: span(role) for role in groups if role in _ROLES.split()}
    month = words["B"] if "B" in canonical else ""
    weekdays = weekdays_of(words["A"]) if "A" in canonical else None
    zone = span("named") if "named" in groups else None
    minutes = 60 * _ZONES[words["Z"]] if "Z" in text("zone") else 0
    form, sign = _format(groups, canonical), text("sign")
    return _Layout(date, text("sep"), clock, spans, month, weekdays, text("half"), zone, sign, minutes, form)


def _format(groups: Groups, canonical: str) -> str:
    """Return the format of strftime for a match, with %b for the name of a month and without a zone; or "quarter"."""
    if "q" in groups:
        return "quarter"
    if "w" in groups:
        return "%G-W%V" + ("-%u" if "u" in groups else "")
    codes = _CODES | ({"h": "%I"} if "half" in groups else {})
    ends = [(*groups[role], code) for role, code in codes.items() if role in groups]
    ends += [(i, i + 1, "%b") for i, letter in enumerate(canonical) if letter == "B"]
    ends += [(*groups["zone"], "")] if "zone" in groups else []
    ends += [(i, i + 1, "h" * (letter == "H")) for i, letter in enumerate(canonical) if letter in "AH()"]
    written, last = "", 0
    for start, end, code in sorted(ends):
        written, last = f"{written}{canonical[last:start]}{code}", max(end, last)
    return (written + canonical[last:]).strip(" ,")


# --- reading the digits of texts ---


def months_by_name(names: set[str]) -> list[tuple[dict[str, int], bool]]:
    """Return names as months in each language that has all of them, and whether that is English.

    A column is of one language, so each language that has all names gives one meaning. If no language has all names,
    the meanings are the lowest and the highest month of each name in any language.
    """
    if not names:
        return [({}, True)]
    known = {name: months_of(name) for name in names}
    languages = set.intersection(*(set(each) for each in known.values()))
    found = {tuple(known[name][each] for name in known): each for each in sorted(languages, key=lambda e: e == "en")}
    if not found:
        found = {tuple(end(each.values()) for each in known.values()): "" for end in (min, max)}
    return [(dict(zip(known, months, strict=True)), language == "en") for months, language in found.items()]


def _read(
    texts: list[str], parts: list[tuple[Sequence[int], _Layout]], form: str, months: dict[str, int], is_english: bool
) -> Dates:
    """Read the digits of all texts as dates of a form; `parts` are (rows, layout), `months` the names' numbers.

    `months` are the numbers of the months' names; `is_english` says whether these are English.
    """
    n = len(texts)
    valid, zoned = np.zeros(n, bool), np.zeros(n, bool)
    microseconds, nanoseconds, offsets = (np.zeros(n, np.int64) for _ in range(3))
    is_told = any(_is_unambiguous(layout) for _, layout in parts)
    is_fine = False
    for rows, layout in parts:
        some = texts if len(rows) == n else [texts[i] for i in rows]
        together = "".join(some)
        kind, coding = (np.uint8, "ascii") if together.isascii() else (np.uint32, "utf-32-le")
        digits = np.frombuffer(together.encode(coding), kind).reshape(len(some), -1)
        found = _Digits(digits, layout.spans)
        days, right = _days(found, layout, months)
        time, rest, in_day = _time_of_day(found, layout)
        offset = layout.minutes + (60 * found.number("oh") + found.number("om")) * (-1 if layout.sign == "-" else 1)
        in_zone = (offset >= -12 * 60) & (offset <= 14 * 60) & (found.number("om") < 60)
        at = slice(None) if len(rows) == n else np.array(rows)
        valid[at], zoned[at] = right & in_day & in_zone, layout.zone is not None
        microseconds[at], nanoseconds[at], offsets[at] = days * DAY + time, rest, offset
        is_fine = is_fine or "f" in layout.spans
        if not is_told and "y" in layout.spans:  # Jan-12 may be a day, Jan-32 cannot
            y = found.number("y")
            is_told = bool(((y > 31) | (y == 0)).any())
    if not is_told:
        valid[:] = False
    rows, layout = parts[0]
    first = texts[rows[0]]
    start, end = layout.zone or (0, 0)
    zone = first[start:end] if first[start - 1 : start] != " " else f" {first[start:end]}"
    written = _written(layout, is_fine, is_english, max(map(len, months), default=0))
    dated = bool(layout.date)
    return Dates(form, valid, microseconds, nanoseconds, offsets, zoned, zone, written, dated)


def _is_unambiguous(layout: _Layout) -> bool:
    """Return whether a layout alone tells month and year from a day or quarter: Jan-12 and 1/2024 do not."""
    if layout.date in ("B y", "y B"):
        return False
    return layout.date not in ("Y-M", "M-Y") or layout.spans["M"][1] - layout.spans["M"][0] == 2  # else quarters


def _written(layout: _Layout, is_fine: bool, is_english: bool, longest: int) -> str:
    """Return `Dates.written`: the precision of an ISO format (`is_fine`: microseconds), else the format of strftime.

    `longest` is the length of the longest month's name, which decides between %b and %B.
    """
    form = layout.written
    if form == "quarter" or form.startswith("%G"):
        return form
    finest = "month" if layout.date in _PARTS else "day"
    finest = next((unit for role, unit in (("s", "second"), ("h", "minute")) if role in layout.spans), finest)
    precision = "microsecond" if is_fine else finest
    if is_fine and "%f" not in form:
        form = form.replace("%S", "%S.%f")
    of_iso = "%Y-%m" if precision == "month" else "%Y-%m-%d"
    clocks = {"day": "", "month": "", "minute": "%H:%M", "second": "%H:%M:%S", "microsecond": "%H:%M:%S.%f"}[precision]
    is_iso = form in (f"{of_iso}{sep}{clocks}".rstrip(" T") for sep in " T")
    is_foreign = "%b" in form and not is_english
    if is_iso or is_foreign or layout.date in ("", "B D hm Y") or layout.clock.endswith("first"):
        return precision
    return form.replace("%b", "%B") if longest > 4 else form


class _Digits(NamedTuple):
    """The characters of texts of one shape (n, length), read as numbers by role."""

    digits: np.ndarray
    spans: dict[str, tuple[int, int]]

    def number(self, role: str, default: int = 0) -> Any:
        """Return the number with this role in each text (n,), or `default` if the shape has none."""
        if role not in self.spans:
            return default
        total = np.zeros(len(self.digits), np.int64)
        for i in range(*self.spans[role]):
            total = 10 * total + self.digits[:, i] - ord("0")
        return total


def _in_days(count: Any) -> np.ndarray:
    """Return a number of days as timedelta64[D], since NumPy takes no bare number in its place."""
    return np.asarray(count).astype("timedelta64[D]")


def _days(found: _Digits, layout: _Layout, months: dict[str, int]) -> tuple[Any, Any]:
    """Return the days since 1970 of each date (n,), and the mask of dates that exist."""
    if not layout.date:
        return 0, True
    year = found.number("Y")
    if "y" in found.spans:
        year = found.number("y")
        year = year + np.where(year < PIVOT, 2000, 1900)
    quarter = found.number("q", 1)
    month = months[layout.month] if layout.month else found.number("M", 1) + 3 * (quarter - 1)
    right = (year >= 1) & (month >= 1) & (month <= 12) & (quarter >= 1) & (quarter <= 4)
    months_since = (12 * (year - 1970) + np.where(right, month, 1) - 1).astype("datetime64[M]")
    first = first_day(months_since)
    if "w" in found.spans:
        week, day = found.number("w"), found.number("u", 1)
        monday = first_monday(first) + _in_days(7 * (week - 1))
        days, thursday = monday + _in_days(day - 1), monday + _in_days(3)
        right = right & (week >= 1) & (day >= 1) & (day <= 7) & (thursday < first_day(months_since, 12))
    else:
        role, months_in_all = ("j", 12) if "j" in found.spans else ("D", 1)
        day = found.number(role, 1)
        days = first + _in_days(day - 1)
        right = right & (day >= 1) & (days < first_day(months_since, months_in_all))
    if layout.weekdays is not None:
        right = right & np.isin(weekday(days), list(layout.weekdays))
    return days.astype(np.int64), right


def _time_of_day(found: _Digits, layout: _Layout) -> tuple[Any, Any, Any]:
    """Return microseconds since midnight, remaining nanoseconds, and the mask of valid times of day, each (n,).

    24:00 is the midnight at the end of the day.
    """
    hour, minute, second = (found.number(role) for role in "hms")
    fraction = 0
    if "f" in found.spans:
        start, end = found.spans["f"]
        fraction = found.number("f") * 10 ** (9 - end + start)
    right = (minute < 60) & (second < 60)
    if layout.half:
        right = right & (hour >= 1) & (hour <= 12)
        hour = hour % 12 + (12 if layout.half == "p" else 0)
    late = (hour == 24) & (minute == 0) & (second == 0) & (fraction == 0) & ("m" in found.spans)
    right = right & ((hour < 24) | late)
    return ((hour * 60 + minute) * 60 + second) * 1_000_000 + fraction // 1000, fraction % 1000, right
