"""The roles of a table's columns, from options or conventional names; errors suggest likely roles.

Names and values hint at roles only where something is refused, to fill the command to copy. What is read is what the
user said. A refusal has the next options to pass alone: `read_files.with_whole_cure` adds up those of all refusals.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from cgru.datasets.columns import ROLES, Columns, ColumnsError
from cgru.datasets.table import GROUPED, Table, factorize
from cgru.datasets.time_columns import CLOCKS, Times, common_formats, in_order_of_rows, parse_iso

__all__ = [
    "check_order", "compound_id", "is_like", "kind_of", "likely_roles", "listed", "numbers_of", "resolve_roles",
    "roles_and_values",
]  # fmt: skip

NAMES = {"id": ("id",), "time": ("date", "timestamp", "time"), "label": ("label", "target", "y", "class")}
LIKELY = {
    "id": r"(.*[ _.-])?(id|nr|no|number|uuid|key)|subject|series|case|sample|session|patient|person|user|unit|trial|"
    r"record|device|machine|engine|run|station|sensor|symbol|country|store|shop|customer|vehicle|site|name",
    "time": r"(.*[ _.-])?(t|times?|timestamp|ts|dates?|datetime|days?|hours?|minutes?|seconds?|month|week|year|quarter|"
    r"epoch|step|frame|tick|cycle|visit|wave|period|elapsed|n|index)([ _.(\[-].*)?",
    "clock": r"time|hours?|hr|hh|minute|clock|time[ _]of[ _]day",
    "label": r"(.*[ _.-])?(labels?|target|class|outcome|category|status|diagnosis|result|activity|state|died|"
    r"event|response|grade|quality|fail(ed|ure)?|fault|churn(ed)?|anomaly|rul|y)",
}
SAMPLE = 200  # different cells by which a column is judged
SHOWN = 20  # columns in an overview, and later ones that are the id, the time or the label
QUANTITY = r"[+-]?([$€£¥]?) ?[+-]?\d[\d.,'\s]*([^\d\s.,:;+'-]\S*)?"  # a number in any form, with a unit
FEW = 20  # at most so many different words may be classes or categories
SIGNS = [(",", None), (",", "."), (None, ","), *((sign, space) for space in " '\u00a0\u202f" for sign in (",", None))]


def resolve_roles(table: Table, how: Columns, *, targets: bool = True) -> Columns:
    """Return the options `how` with each role filled in with its columns of a table, () for none.

    Raise ColumnsError for a column that does not exist, two names for one role, and a table without an id.
    """
    for role in ("label", "groups") if not targets else ("groups",) * bool(how.parts):
        value = getattr(how, role)
        how = how.changed(**{role: value and [name for name in value if name in table.names]})
    said = [(role, name) for role in ROLES for name in getattr(how, role) or ()]
    folded = {name.casefold(): name for name in table.names}
    for role, name in said:
        if name not in table.names:
            cure = {role: [folded.get(each.casefold(), each) for each in getattr(how, role)]}
            cure = cure if {*cure[role]} <= {*table.names} else None
            raise ColumnsError(role, f"none called {name}", f"some of the columns {listed(table.names)}", cure)
    for role, known in NAMES.items():
        if getattr(how, role) is None and not (role == "time" and how.wide):
            taken = [name for other, name in said if (role, other) != ("time", "columns")]
            taken += ["y"] * ("x" in folded)  # an axis
            found = [name for name in table.names if name.casefold() in known and name not in taken]
            if len(found) > 1:
                first, *others = sorted(found, key=lambda name: known.index(name.casefold()))
                cure = {role: (first,), "ignore": (*how.ignore, *others)}
                if role == "time" and [kind_of(table, name) for name in (first, *others)] == ["date", "clock"]:
                    cure = {"time": (first, *others)}
                raise ColumnsError(role, " and ".join(found), f"one column that is the {role}", cure)
            how = how.changed(**{role: found or None})
    if how.id is None and not (how.wide or how.windows or table.nested):
        due = likely_roles(table, table.columns)
        what = 'the column that tells sequences apart (id="" if all rows are one)'
        raise ColumnsError("id", "none called id", what, due)
    id = (table.nested,) if table.nested and how.id is None else how.id or ()
    how = how.changed(id=id, time=how.time or (), label=how.label or ())
    if how.columns is None:
        taken = [table.nested, *how.id, *how.time, *how.label, *how.groups, *how.ignore]
        how = how.changed(columns=[name for name in table.names if name not in taken])
        if bare := [name for name in how.columns if name in table.nameless and name not in (how.categories or ())]:
            is_time = table.columns.time is None and not how.time and kind_of(table, bare[0]) == "date"
            cure = {"time": bare[:1]} if is_time else {"ignore": (*how.ignore, *bare)}
            raise ColumnsError("ignore", f"none for {bare[0]}", "a name for each one", cure)
    known = dict(how.categories or {})
    for name in [name for name, values in known.items() if not values]:
        words, gone = table.values(name, plain=True)
        known[name] = tuple(np.unique(words[~gone].astype(str)).tolist())
    return how.changed(categories=known or None)


def listed(names: Sequence[str]) -> str:
    """Join names with commas, at most the first twelve."""
    return ", ".join(names[:12]) + (", ..." if len(names) > 12 else "")


# --- features that are numbers ---


def numbers_of(table: Table, how: Columns, names: Sequence[str], role: str = "columns") -> dict[str, np.ndarray]:
    """Return columns as numbers (n,), NaN for missing cells; a categorical column becomes codes 1, 2, ....

    Raise ColumnsError for cells that are no numbers, and for columns whose points may separate thousands.
    """
    found, wrong, known = {}, {}, how.categories or {}
    for name in names:
        found[name], odd = _encoded(table, how, name) if name in known else table.parsed(name)
        if odd.any():
            wrong[name] = odd
    if wrong:
        name, odd = next(iter(wrong.items()))
        got = f"{table.texts(name)[odd.argmax()]!r} of {name} in {table.locate(odd.argmax())}"
        got += "" if len(wrong) == 1 else f" ({len(wrong)} columns have such: {listed(list(wrong))})"
        raise ColumnsError(
            role, got, "numbers in each column that no option names", _cure_of_words(table, how, names, wrong)
        )
    for name in names if table.is_file_of_text and how.decimal is how.thousands is None else ():
        if name not in known:
            _check_thousands(table, name)
    return found


def _encoded(table: Table, how: Columns, name: str) -> tuple[np.ndarray, np.ndarray]:
    """Encode a categorical column as 1, 2, ..., NaN for missing cells; refuse values that are not listed.

    The mask behind it has no odd cells.
    """
    (words, gone), values = table.values(name, plain=True), how.categories[name]
    if unknown := sorted({*words[~gone]} - {*values}):
        got = f"{unknown[0]!r} of {name} in {table.locate(np.argmax(words == unknown[0]))}"
        raise ColumnsError("categories", got, f"one of {listed(values)}", {"na": (*how.na, *unknown)})
    places = {value: float(i) for i, value in enumerate(values, 1)}
    return np.array([np.nan if lost else places[word] for word, lost in zip(words, gone, strict=True)]), gone & False


def _cure_of_words(table: Table, how: Columns, names: Sequence[str], wrong: dict[str, np.ndarray]) -> dict[str, Any]:
    """Suggest options for cells that are not numbers: decimal signs, lines to skip, missing values, or roles."""
    texts = {name: np.array(table.texts(name), object) for name in names if table.is_text(name) or name in wrong}
    units = {unit for name in wrong if (unit := _unit(texts[name]))} - {*how.value_units}
    if units and how.parts != 1:  # a model has learned its own
        return {"value_units": (*how.value_units, *sorted(units))}
    if not how.decimal and not how.thousands:
        signs = max(SIGNS, key=lambda signs: _read_by(table, how, texts, wrong, *signs))
        if _read_by(table, how, texts, wrong, *signs):
            return {name: sign for name, sign in zip(("decimal", "thousands"), signs, strict=True) if sign}
    units = np.zeros(len(table.frame), np.intp)  # rows of units, names or comments: words in two columns, or at the top
    for name, own in wrong.items():
        if own.sum() <= max(1, len(own) // 20):
            units += own & [re.search(r"\d", text) is None for text in texts[name]]
    units[0] *= 2
    if (units > 1).any() and (cure := table.without(np.flatnonzero(units > 1))):
        return cure
    words = {name: sorted(set(texts[name][odd])) for name, odd in wrong.items() if 2 * odd.sum() < len(odd)}
    if gaps := [word for found in words.values() if len(found) <= 3 for word in found]:
        return {"na": tuple(dict.fromkeys((*how.na, *gaps)))}
    said = table.columns
    cure = likely_roles(table, said if how.id in ((), (table.nested,)) and not how.wide else said.changed(id=how.id))
    left = [name for name in wrong if name not in {name for names in cure.values() for name in names}]
    fit = [name for name in left if _may_be_classes(table, name) and not is_like(name, "time")]
    if fit and not (cure.get("label") or how.label):
        cure["label"] = (left.pop(left.index(fit.pop())),)
    rest = [name for name in left if how.wide or name not in fit]
    if fit and not how.wide:
        cure["categories"] = {**(how.categories or {}), **dict.fromkeys(fit, ())}
    kept = tuple(name for name in said.columns or () if name not in rest)
    if rest:
        cure |= {"columns": kept} if kept else {"ignore": (*how.ignore, *rest)}
    return cure


def _read_by(
    table: Table, how: Columns, texts: dict[str, Any], wrong: Any, decimal: str | None, thousands: str | None
) -> int:
    """Count the columns of `texts` that are numbers with these signs; 0 if the `wrong` ones are not, or if in doubt."""
    again = table._replace(columns=how.changed(decimal=decimal, thousands=thousands))
    read = [name for name in texts if again.is_number(name)]
    cells = [cell for name in read if name in wrong for cell in texts[name] if cell]
    are_groups = all(re.match(r"[+-]?(0|[1-9]\d{0,2}([.,]\d{3})*)$", cell) for cell in cells)
    if not thousands and are_groups and any(len(re.split("[.,]", cell)) != 2 for cell in cells):
        return 0  # 985 and 1,029
    return len(read) if cells and any((thousands or decimal) in cell for name in read for cell in texts[name]) else 0


def _check_thousands(table: Table, name: str) -> None:
    """Refuse a column whose points may separate thousands: three digits follow each, other numbers are below 1000."""
    cells = table.frame[name].str.strip_chars()
    pointed = cells.filter(cells.str.contains(".", literal=True))
    others = cells.filter(~cells.str.contains(".", literal=True) & (cells != ""))
    if len(pointed) and pointed.str.contains(GROUPED).all() and others.str.contains(r"^[+-]?\d{1,3}$|\D").all():
        are_groups = others.str.contains(r"^[+-]?\d{1,3}$").any() or pointed.str.contains(r"\..*\.").any()
        texts = (table.frame[other] for other in table.names if other != name)
        are_groups |= any(each.str.contains(r"^\d\d?\.\d\d?\.\d{2,4}\b").all() for each in texts)  # German dates
        cure = {"thousands": "."} if are_groups else {"decimal": "."}
        raise ColumnsError("thousands", f"{pointed[0]} of {name}", "thousands='.' or decimal='.' to tell", cure)


# --- the order of the rows ---


def check_order(table: Table, how: Columns, codes: np.ndarray, times: Times | None) -> None:
    """Refuse a sequence whose times repeat or decrease, whose counter restarts, or whose rows are apart.

    `codes` (n,) are the sequences of the rows. Where another column tells the parts apart the cure is the compound id.
    """
    if times is None:
        _check_without_times(table, how, codes)
        return
    values, called, keeps = times.values, " ".join(how.time), in_order_of_rows(how, how.time)
    falls = _falls(codes, values)
    if row := _repeats(codes, values):
        got = f"{times.texts[row]} twice in a sequence, again in {table.locate(row)}"
        cure = _cure_of_repeats(table, how, codes, values) or (None if falls.size else keeps)
        raise ColumnsError("time", got, f"times ({called}) that differ within a sequence", cure)
    if falls.size and not how.sort:
        got = f"{times.texts[falls[0]]} after a later one in {table.locate(falls[0])}"
        more = compound_id(table, how, codes, lambda of: not _falls(of, values).size)
        has_no_date = times.is_cyclic or (not times.is_dated and values.min() >= 0 and values.max() < 60)
        cure = {"id": more} if more else keeps if has_no_date and _wraps(codes, values) else {"sort": True}
        raise ColumnsError("sort", got, f"times ({called}) that increase within a sequence", cure)


def _check_without_times(table: Table, how: Columns, codes: np.ndarray) -> None:
    """Check a table without times: refuse counters that restart, likely time columns, and rows that are apart."""
    restarts, is_said = False, table.columns.time is not None
    for name in table.names:
        values = table.parsed(name)[0]
        counts = len(values) >= 4 and (np.diff(values) == 1).mean() >= 0.5
        may_be_time = is_like(name, "time") and _may_be_time(table, name)
        taken = (*how.id, *how.label, *how.groups, *(how.categories or ()))
        if name in taken or not np.isfinite(values).all() or not (counts or may_be_time):
            continue
        if (row := _repeats(codes, values)) and counts:
            restarts = True
            if more := compound_id(table, how, codes, lambda of, values=values: not _repeats(of, values)):
                raise ColumnsError(
                    "id", f"{name} restarting in {table.locate(row)}", "counters that go on", {"id": more}
                )
        elif not row and not is_said and _falls(codes, values).size:
            cure = {"time": ()} if _wraps(codes, values) else {"time": (name,), "sort": True}
            raise ColumnsError("time", f"{name}, which may be it", "to know what tells the order of the steps", cure)
    if not is_said and how.id and (row := _again(codes)):
        more = compound_id(table, how, codes, lambda of: not _again(of))
        cure, got = {"id": more} if more else None if restarts else {"time": ()}, f"more of one in {table.locate(row)}"
        raise ColumnsError("time", got, "the rows of a sequence together, or a time", cure)


def _cure_of_repeats(table: Table, how: Columns, codes: np.ndarray, values: np.ndarray) -> dict[str, Any] | None:
    """Suggest options for times that repeat: a column with the time of day, or more id columns."""
    for name in table.names:
        is_hour = is_like(name, "clock") and (table.parsed(name)[0] < 24).all()
        is_clock = name not in (*how.id, *how.time) and (is_hour or kind_of(table, name) == "clock")
        if is_clock and not _repeats(codes, factorize([values, table.values(name, plain=True)[0]])[1]):
            return {"time": (*how.time, name)}
    more = compound_id(table, how, codes, lambda of: not _repeats(of, values))
    return {"id": more} if more else None


def _repeats(codes: np.ndarray, values: np.ndarray) -> int:
    """Return the first row whose value already occurred in its sequence; 0 if there is none."""
    order = np.lexsort((values, codes))
    again = order[1:][(np.diff(codes[order]) == 0) & (np.diff(values[order]) == 0)]
    return int(again.min(initial=len(codes)) % len(codes))


def _falls(codes: np.ndarray, values: np.ndarray) -> np.ndarray:
    """Return the rows whose value is below that of the previous row of their sequence."""
    inside = np.argsort(codes, kind="stable")
    return inside[1:][(np.diff(values[inside]) < 0) & (np.diff(codes[inside]) == 0)]


def _wraps(codes: np.ndarray, values: np.ndarray) -> bool:
    """Return whether the times of each sequence fall at most once, as clock times at midnight: 22, 23, 0, 1."""
    falls = codes[_falls(codes, values)]
    firsts, lasts = (dict(zip(codes[::way], values[::way], strict=True)) for way in (-1, 1))
    return len({*falls}) == len(falls) and all(lasts[code] < firsts[code] for code in falls)


def _again(codes: np.ndarray) -> int:
    """Return the first row whose sequence was interrupted by another one; 0 if there is none."""
    begins = np.append(True, np.diff(codes) != 0)
    begins[np.unique(codes, return_index=True)[1]] = False
    return int(begins.argmax())


def compound_id(
    table: Table, how: Columns, codes: np.ndarray, is_right: Callable[[np.ndarray], bool]
) -> tuple[str, ...] | None:
    """Search for one or two more id columns with which `is_right` accepts the sequences; return the id, or None.

    Words and columns called as ids come first.
    """
    taken = (*how.id, *how.time, *how.label)
    free = [name for name in table.names if name not in taken and not is_like(name, "time")]
    free = [name for name in free if _may_be_id(table, name)]
    free.sort(key=lambda name: (not is_like(name, "id"), kind_of(table, name) == "number", not table.is_number(name)))
    own = {name: table.values(name)[0] for name in free[:8]}
    for more in itertools.chain(*(itertools.combinations(own, k) for k in (1, 2))):
        firsts, of = factorize([codes, *(own[name] for name in more)])
        if len(firsts) <= len(codes) / 2 and is_right(of):
            return tuple(name for name in table.names if name in (*how.id, *more))
    return None


def _may_be_id(table: Table, name: str) -> bool:
    """Return whether a column may be part of an id: whole numbers or words that repeat, few missing."""
    values, gone = table.values(name)
    is_whole = values.dtype.kind != "f" or not (values % 1).any()
    return is_whole and gone.mean() <= 0.3 and 1 < len(np.unique(values)) <= len(values) / 2


# --- likely roles, for the command to copy ---


def roles_and_values(table: Table, how: Columns) -> list[str]:
    """Describe each column in a line: name, role and three values; of many columns only the first and main ones."""
    roles = {name: role for role in ROLES for name in getattr(how, role) or ()}
    known = {name: role for role, names in NAMES.items() if getattr(how, role) is None for name in names}
    known |= {"y": "feature"} if "x" in map(str.casefold, table.names) else {}
    roles = {name: roles.get(name) or known.get(name.casefold()) or "feature" for name in table.names}
    shown = [name for i, name in enumerate(table.names) if i < SHOWN or roles[name] in NAMES]
    width, lines = min(40, max(map(len, shown))), []
    for name in [name for name in shown if name != table.nested]:
        values = list(dict.fromkeys(filter(None, table.texts(name)[:1000])))[:3]
        words = ", ".join(value[:30] for value in values) or "no values"
        lines.append(f"  {name[:40]:{width}}  {roles[name].replace('columns', 'column'):10}  {words}")
    return lines + [f"  ... {len(roles) - len(shown)} more"] * (len(roles) > len(shown))


def likely_roles(table: Table, how: Columns) -> dict[str, Any]:
    """Suggest the id, time and label columns of a table that has no id, or that it is wide.

    Where they are not enough, later refusals add more: a time of day, or the other columns of an id.
    """
    taken = {table.nested, *(name for role in ROLES for name in getattr(how, role) or ())}
    free = [name for name in table.names if name not in taken][:300]  # wide tables have many
    kinds = {name: kind_of(table, name) for name in free}
    numbered = [name for name in free if kinds[name] == "number" and re.search(r"\d$", name)]
    labels = [name for name in free if is_like(name, "label") and kinds[name] in ("text", "number")]
    times = [name for name in free if name.casefold() in NAMES["time"] or kinds[name] == "date"]
    times += [name for name in free if kinds[name] != "text" and is_like(name, "time") and _may_be_time(table, name)]
    ids = [name for name in free if name not in (*labels, *times) and (is_like(name, "id") or kinds[name] == "text")]
    ids.sort(key=lambda name: not is_like(name, "id"))
    unique = [name for name in ids if len({*table.texts(name)}) == len(table.frame)]
    is_wide = len(numbered) > max(3, len(kinds) / 2) or (not times and any(kinds[name] == "text" for name in unique))
    ids = [name for name in ids if _may_be_id(table, name)]
    is_long = any(is_like(name, "id") for name in ids) and not {*times} <= {*numbered}
    if is_wide and how.id is None and table.columns.header is not False and not is_long:
        return {"wide": True} | ({"id": tuple(unique[:1])} if unique else {})
    last, of = table.names[-1], (*(how.id or ()), *ids[:1])
    if of and not labels and last in free and last not in (*ids, *times) and _is_constant(table, of, last):
        labels = [last]
    cure = {"id": tuple(ids[:1]), "time": tuple(times[:1]), "label": tuple(labels[:1])}
    needed = [role for role, names in cure.items() if getattr(how, role) is None and (names or role == "id")]
    return {role: cure[role] for role in needed if [name.casefold() in NAMES[role] for name in cure[role]] != [True]}


def kind_of(table: Table, name: str) -> str:
    """Return the kind of a column: "number", "date", "clock", "code" if all texts begin with a digit, or "text"."""
    if table.is_number(name):
        return "number"
    cells = [text for text in dict.fromkeys(table.texts(name)) if text][:SAMPLE]
    texts = [text for text in cells if re.search(r"\d", text)]
    if not texts or not isinstance(parse_iso(texts), str):
        return "date" if texts else "text"
    if forms := common_formats(texts):
        return "clock" if {*forms} <= {*CLOCKS} else "date"
    is_code = all(re.match(r"\W?\d", text) for text in cells)
    return "number" if _unit(cells) is not None else "code" if is_code else "text"


def _unit(texts: Sequence[str]) -> str | None:
    """Return the unit that all numbers in texts have, "" for none; None if some texts are not numbers."""
    found = [re.fullmatch(QUANTITY, text) for text in texts if text]
    units = {match[1] or match[2] or "" for match in found if match}
    return units.pop() if len(units) == 1 and all(found) else None


def _may_be_time(table: Table, name: str) -> bool:
    """Return whether a column may be a time: text, whole numbers, or numbers that mostly rise."""
    values, odd = table.parsed(name)
    return odd.any() or not (values % 1 > 0).any() or (np.diff(values) > 0).mean() > 0.6


def _is_constant(table: Table, id: Sequence[str], name: str) -> bool:
    """Return whether a column may be a label: constant within each sequence of an id, but not over all."""
    *ids, values = (table.values(each, plain=True)[0] for each in (*id, name))
    firsts = factorize(ids)[0]
    return len({*values}) > 1 and len(factorize([*ids, values])[0]) == len(firsts) < len(values)


def is_like(name: str, role: str) -> bool:
    """Return whether the name of a column suggests a role."""
    return re.fullmatch(LIKELY[role], re.sub(r"(?<=[a-z])(?=[A-Z])", "_", name).strip().lower()) is not None


def _may_be_classes(table: Table, name: str) -> bool:
    """Return whether a column may be a class: few distinct words, each in two rows on average, not all numbers."""
    values = np.unique(table.values(name, plain=True)[0].astype(str))
    return len(values) <= min(FEW, len(table.frame) // 2) and not all(re.match(r"\W?\d", value) for value in values)
