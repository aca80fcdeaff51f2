"""The roles of a table's columns: those that are passed, exact conventional names, and refusals with likely roles.

Names and values hint at roles only where something is refused, to fill the command to copy. What is read is what the
user said. A refusal has the next options to pass alone: `read_files.with_whole_cure` adds up those of all refusals.
"""

from __future__ import annotations

import difflib
import itertools
import re
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from cgru.datasets.columns import ROLES, Columns, ColumnsError
from cgru.datasets.table import GROUPED, Table, factorize
from cgru.datasets.time_columns import CLOCKS, Times, common_formats, compact_form, in_order_of_rows, parse_iso

__all__ = [
    "check_order", "compound_id", "is_like", "likely_roles", "listed", "numbers_of", "resolve_roles",
    "roles_and_values",
]  # fmt: skip

NAMES = {"id": ("id",), "time": ("date", "timestamp", "time"), "label": ("label", "target", "y", "class")}
LIKELY = {
    "id": r"(.*[ _.-])?(id|nr|no|number|uuid|key)|subject|series|case|sample|session|patient|person|user|unit|trial|"
    r"record|device|machine|engine|run|station|sensor|symbol|country|store|shop|customer|vehicle|site|name",
    "time": r"(.*[ _.-])?(t|times?|timestamp|ts|dates?|datetime|days?|hours?|minutes?|seconds?|month|week|year|quarter|"
    r"epoch|step|frame|tick|cycle|visit|wave|period|elapsed)([ _.(\[-].*)?",
    "clock": r"time|hours?|hr|hh|minute|clock|time[ _]of[ _]day",
    "label": r"(.*[ _.-])?(labels?|target|class|outcome|category|status|diagnosis|result|activity|state|failed|died|"
    r"event|response|grade|quality|y)",
}
SAMPLE = 200  # different cells by which a column is judged
SHOWN = 20  # columns in an overview, and later ones that are the id, the time or the label
FEW = 20  # at most so many different words may be classes or categories
SIGNS = ((",", None), (",", "."), (None, ","), (",", " "), (None, " "), (None, "'"), (None, "\u00a0"))


def resolve_roles(table: Table, how: Columns, *, targets: bool = True) -> Columns:
    """Return `how` with all roles of the columns of a table, () for none.

    Raise ColumnsError for a column that does not exist, two names for one role, and a table without an id.
    """
    kept = {of: tuple(name for name in getattr(how, of) or () if name in table.names) for of in ("label", "groups")}
    if not targets:
        how = how.changed(label=kept["label"] or (how.label and ()))
    if not targets or how.parts:
        how = how.changed(groups=kept["groups"])
    said = [(role, name) for role in ROLES for name in getattr(how, role) or ()]
    for role, name in said:
        if name not in table.names:
            folded = {each.casefold(): each for each in table.names}
            near = difflib.get_close_matches(name.casefold(), folded, 1)
            names = [folded[near[0]] if near and each == name else each for each in getattr(how, role)]
            due = f"some of the columns {listed(table.names)}"
            raise ColumnsError(role, f"none called {name}", due, {role: tuple(names)} if near else None)
    for role, known in NAMES.items():
        if getattr(how, role) is None:
            taken = {name for other, name in said if (role, other) != ("time", "columns")}
            found = tuple(name for name in table.names if name.casefold() in known and name not in taken)
            found = () if role == "time" and how.wide else found
            if len(found) > 1 or (role == "label" and _is_axis(table, found)):
                raise _two_names(table, how, role, found)
            how = how.changed(**{role: found or None})
    if how.id is None and not (how.wide or how.windows or table.nested):
        due = 'the column that tells sequences apart (id="" if all rows are one)'
        raise ColumnsError("id", "none called id", due, likely_roles(table, table.columns))
    id = (table.nested,) if table.nested and how.id is None else how.id or ()
    how = how.changed(id=id, time=how.time or (), label=how.label or ())
    if how.columns is None:
        taken = {table.nested, *how.id, *how.time, *how.label, *how.groups, *how.ignore}
        columns = tuple(name for name in table.names if name not in taken)
        if bare := [name for name in columns if name in table.nameless and name not in (how.categories or ())]:
            raise ColumnsError("ignore", f"none for {bare[0]}", "a name for each one", {"ignore": (*how.ignore, *bare)})
        how = how.changed(columns=columns)
    known = dict(how.categories or {})
    for name in [name for name, values in known.items() if not values]:
        words, gone = table.values(name, plain=True)
        known[name] = tuple(np.unique(words[~gone].astype(str)).tolist())
    return how.changed(categories=known or None)


def _is_axis(table: Table, found: Sequence[str]) -> bool:
    """Return whether the label found is a y with numbers next to an x or a z, which may be an axis."""
    y = [name for name in found if name.casefold() == "y" and not table.parsed(name)[1].any()]
    return bool(y) and bool({"x", "z"} & {*map(str.casefold, table.names)})


def _two_names(table: Table, how: Columns, role: str, found: Sequence[str]) -> ColumnsError:
    """Return the error of two columns that are called as one role is, or of a y that may be an axis."""
    known = [name for name in found if role != "label" or not _is_axis(table, [name])]
    first, *others = [*sorted(known, key=lambda name: NAMES[role].index(name.casefold())), None]
    cure = {role: (first,) if first else ()} | ({"ignore": (*how.ignore, *others[:-1])} if others[:-1] else {})
    if role == "time" and sorted(_kind(table, name) for name in found) == ["clock", "date"]:
        cure = {"time": tuple(sorted(found, key=lambda name: _kind(table, name) == "clock"))}
    return ColumnsError(role, " and ".join(found), f"one column that is the {role}", cure)


def listed(names: Sequence[str]) -> str:
    """Join the names with commas, only the first twelve."""
    return ", ".join(names[:12]) + (", ..." if len(names) > 12 else "")


# --- features that are numbers ---


def numbers_of(table: Table, how: Columns, names: Sequence[str], role: str = "columns") -> dict[str, np.ndarray]:
    """Return columns as numbers (n,), NaN where one is missing, and categories as places in their values, from 1 on.

    Raise ColumnsError for cells that are no numbers, and for columns whose points may separate thousands.
    """
    found, wrong = {}, {}
    for name in names:
        values = (how.categories or {}).get(name)
        found[name], odd = table.parsed(name) if values is None else (_encoded(table, how, name, values), None)
        if odd is not None and odd.any():
            wrong[name] = odd
    if wrong:
        name, odd = next(iter(wrong.items()))
        row = int(odd.argmax())
        got = f"{table.texts(name)[row]!r} of {name} in {table.locate(row)}"
        got += "" if len(wrong) == 1 else f" ({len(wrong)} columns have such: {listed(list(wrong))})"
        raise ColumnsError(role, got, "numbers in each column that no option names", _cure_of_words(table, how, wrong))
    for name in names if how.decimal is None and how.thousands is None else ():
        if name not in (how.categories or ()) and table.is_text(name):
            _check_thousands(table, name)
    return found


def _encoded(table: Table, how: Columns, name: str, values: Sequence[str]) -> np.ndarray:
    """Return a column of categories as places in `values` from 1 on, NaN where one is missing; refuse another value."""
    words, gone = table.values(name, plain=True)
    places = {value: float(i) for i, value in enumerate(values, 1)}
    codes = np.array([np.nan if lost else places.get(word, 0) for word, lost in zip(words, gone, strict=True)])
    if (codes == 0).any():
        row, cure = int((codes == 0).argmax()), {"na": (*how.na, *sorted(set(words[codes == 0])))}
        got = f"{words[row]!r} of {name} in {table.locate(row)}"
        raise ColumnsError("categories", got, f"one of the categories {listed(values)}", cure)
    return codes


def _cure_of_words(table: Table, how: Columns, wrong: dict[str, np.ndarray]) -> dict[str, Any]:
    """Return the cure for cells that are no numbers: signs, lines to leave out, missing values, or else roles."""
    texts = {name: np.array(table.texts(name), object) for name in wrong}
    best: tuple[int, dict[str, Any]] = (0, {})
    for decimal, thousands in SIGNS if table.is_file_of_text and not how.decimal and not how.thousands else ():
        again = table._replace(columns=how.changed(decimal=decimal, thousands=thousands))
        read = [name for name in wrong if not again.parsed(name)[1].any()]
        cells = [cell for name in read for cell in texts[name] if cell]
        are_groups = all(re.match(r"[+-]?(0|[1-9]\d{0,2}([.,]\d{3})*)$", cell) for cell in cells)
        if (decimal, thousands) == (",", None) and are_groups and any(len(re.split("[.,]", x)) != 2 for x in cells):
            continue  # 985 and 1,029
        if len(read) > best[0] and any((thousands or decimal) in cell for cell in cells):
            best = len(read), {"decimal": decimal, "thousands": thousands}
    if best[0]:
        return {name: sign for name, sign in best[1].items() if sign}
    if cure := _cure_of_rows(table, wrong):
        return cure
    words = {name: sorted(set(texts[name][odd])) for name, odd in wrong.items() if 2 * odd.sum() < len(odd)}
    if gaps := [word for found in words.values() if len(found) <= 3 for word in found]:
        return {"na": tuple(dict.fromkeys((*how.na, *gaps)))}
    said = table.columns
    cure = likely_roles(table, said if how.id in ((), (table.nested,)) and not how.wide else said.changed(id=how.id))
    left = [name for name in wrong if name not in {name for names in cure.values() for name in names}]
    fit = [name for name in left if _may_be_classes(table, name) and not is_like(name, "time")]
    rest = [name for name in left if name not in fit]
    if fit and not (cure.get("label") or how.label):
        cure["label"] = (fit.pop(),)
    if fit and not how.wide:
        cure["categories"] = {**(how.categories or {}), **dict.fromkeys(fit, ())}
    if rest := [*rest, *fit * how.wide]:
        kept = tuple(name for name in said.columns or () if name not in rest)
        cure |= {"columns": kept} if kept else {"ignore": (*how.ignore, *rest)}
    return cure


def _cure_of_rows(table: Table, wrong: dict[str, np.ndarray]) -> dict[str, Any] | None:
    """Return the cure that leaves out rows of units, names or comments between numbers; None without any.

    Such a row has words without digits where nearly all others have numbers: in two columns, or in the first row.
    """
    odd = np.zeros(len(table.frame), np.intp)
    for name, own in wrong.items():
        if own.sum() <= max(1, len(own) // 20):
            odd += own & [re.search(r"\d", text) is None for text in table.texts(name)]
    odd[0] *= 2
    return table.without(np.flatnonzero(odd > 1)) if (odd > 1).any() else None


def _check_thousands(table: Table, name: str) -> None:
    """Refuse a column whose points may separate thousands: all have three digits behind, and others are below 1000."""
    cells = table.frame[name].str.strip_chars()
    is_pointed = cells.str.contains(".", literal=True)
    pointed, others = cells.filter(is_pointed), cells.filter(~is_pointed & (cells != ""))
    if len(pointed) and pointed.str.contains(GROUPED).all() and others.str.contains(r"^[+-]?\d{1,3}$|\D").all():
        are_groups = others.str.contains(r"^[+-]?\d{1,3}$").any() or pointed.str.contains(r"\..*\.").any()
        texts = [table.frame[other] for other in table.names if other != name and table.is_text(other)]
        dates = (column.str.contains(r"^\d\d?\.\d\d?\.\d{2,4}\b") for column in texts)
        are_groups = are_groups or any(column.all() for column in dates)  # as Germans write them
        due, cure = "numbers with one reading (thousands='.' or decimal='.')", {"decimal": "."}
        raise ColumnsError("thousands", f"{pointed[0]} of {name}", due, {"thousands": "."} if are_groups else cure)


# --- the order of the rows ---


def check_order(table: Table, how: Columns, codes: np.ndarray, times: Times | None) -> None:
    """Refuse rows of a sequence whose times repeat or decrease, counters that restart within one, and rows apart.

    `codes` (n,) are the sequences of the rows. Where another column tells the parts apart the cure is the compound id.
    """
    if times is None:
        restarts = False
        for name in table.names:
            own = _counter(table, how, name)
            row = 0 if own is None else _repeats(codes, own)
            if row and (more := compound_id(table, how, codes, lambda of, own=own: not _repeats(of, own))):
                got = f"{name} begin again within one in {table.locate(row)}"
                raise ColumnsError("id", got, "sequences in which no counter restarts", {"id": more})
            restarts |= bool(row)
        if table.columns.time is None and (name := _unordered_time(table, how, codes)):
            cure = {"time": (name,), "sort": True}
            raise ColumnsError("time", f"{name}, which may be it", "to know what tells the order of the steps", cure)
        if table.columns.time is None and how.id and (row := _again(codes)):
            more = compound_id(table, how, codes, lambda of: not _again(of))
            got = f"those of one apart, again in {table.locate(row)}"
            cure = {"id": more} if more else None if restarts else {"time": ()}
            raise ColumnsError("time", got, "rows of one sequence one after another, or a time", cure)
        return
    values, called = times.values, " ".join(how.time)
    if row := _repeats(codes, values):
        got = f"{times.texts[row]} twice in a sequence, again in {table.locate(row)}"
        cure = _cure_of_repeats(table, how, codes, values) or in_order_of_rows(how, how.time)
        raise ColumnsError("time", got, f"times ({called}) that differ within a sequence", cure)
    falls = _falls(codes, values)
    if falls.size and not how.sort:
        i, cure = falls[0], {"sort": True}
        got = f"{times.texts[i]} after a later one in {table.locate(i)}"
        if more := compound_id(table, how, codes, lambda of: not _falls(of, values).size):
            cure = {"id": more}
        elif times.cyclic or (not times.is_dated and values.min() >= 0 and values.max() < 60 and _wraps(codes, values)):
            cure = in_order_of_rows(how, how.time)
        raise ColumnsError("sort", got, f"times ({called}) that increase within a sequence", cure)


def _cure_of_repeats(table: Table, how: Columns, codes: np.ndarray, values: np.ndarray) -> dict[str, Any] | None:
    """Return the cure for times that repeat: a time of day, a compound id, or without the rows that are there twice."""
    for name in table.names:
        is_clock = name not in (*how.id, *how.time) and (is_like(name, "clock") or _kind(table, name) == "clock")
        if is_clock and not _repeats(codes, factorize([values, table.values(name, plain=True)[0]])[1]):
            return {"time": (*how.time, name)}
    if more := compound_id(table, how, codes, lambda of: not _repeats(of, values)):
        return {"id": more}
    again = np.flatnonzero(~table.frame.to_struct().is_first_distinct())
    rest = np.delete(np.arange(len(codes)), again)
    return table.without(again) if len(again) and not _repeats(codes[rest], values[rest]) else None


def _repeats(codes: np.ndarray, values: np.ndarray) -> int:
    """Return the first row that has the value of a row before in its sequence; 0 if none does."""
    order = np.lexsort((values, codes))
    again = order[1:][(np.diff(codes[order]) == 0) & (np.diff(values[order]) == 0)]
    return int(again.min()) if again.size else 0


def _falls(codes: np.ndarray, values: np.ndarray) -> np.ndarray:
    """Return the rows whose value is below that of the row before in their sequence."""
    inside = np.argsort(codes, kind="stable")
    return inside[1:][(np.diff(values[inside]) < 0) & (np.diff(codes[inside]) == 0)]


def _wraps(codes: np.ndarray, values: np.ndarray) -> bool:
    """Return whether times fall at most once in each sequence, to values below the first: 22, 23, 0, 1."""
    falls = codes[_falls(codes, values)]
    firsts = np.unique(codes, return_index=True)[1]
    lasts = len(codes) - 1 - np.unique(codes[::-1], return_index=True)[1]
    return len(np.unique(falls)) == len(falls) and bool((values[lasts] < values[firsts])[falls].all())


def _again(codes: np.ndarray) -> int:
    """Return the first row whose sequence has rows before, but not the one before; 0 if there is none."""
    begins = np.append(True, np.diff(codes) != 0)
    begins[np.unique(codes, return_index=True)[1]] = False
    return int(begins.argmax())


def _counter(table: Table, how: Columns, name: str) -> np.ndarray | None:
    """Return a column that no option names and that counts up by one from row to row mostly; None for others."""
    if name in (*how.id, *how.label, *how.groups, *(how.categories or ())) or table.is_time(name):
        return None
    values, odd = table.parsed(name)
    if len(values) < 4 or odd.any() or not np.isfinite(values).all() or (values % 1 != 0).any():
        return None
    return values.astype(np.int64) if (np.diff(values) == 1).mean() >= 0.5 else None


def _unordered_time(table: Table, how: Columns, codes: np.ndarray) -> str | None:
    """Return a feature that may be the time of rows in another order, or has dates such as 20240131, or None.

    It is called as times are, or counts the rows of each sequence, and has no value twice in one.
    """
    for name in () if table.columns.columns is not None else how.columns:
        values, odd = table.parsed(name)
        if name in (how.categories or ()) or odd.any() or np.isnan(values).any() or _repeats(codes, values):
            continue
        order = np.lexsort((values, codes))
        steps = np.diff(values[order])[np.diff(codes[order]) == 0]
        counts = _falls(codes, values).size and (is_like(name, "time") or (steps == 1).all())
        if steps.size and (counts or compact_form(values)):
            return name
    return None


def compound_id(
    table: Table, how: Columns, codes: np.ndarray, is_right: Callable[[np.ndarray], bool]
) -> tuple[str, ...] | None:
    """Return the id with one or two more columns by which the sequences are right, or None.

    Words and columns called as ids come first.
    """
    taken = (*how.id, *how.time, *how.label)
    free = [name for name in table.names if name not in taken and not is_like(name, "time")]
    free = [name for name in free if _repeats_values(table, name)]
    free.sort(key=lambda name: (not is_like(name, "id"), not table.is_text(name) or not table.parsed(name)[1].any()))
    own = {name: table.values(name)[0] for name in free[:8]}
    for more in itertools.chain(*(itertools.combinations(own, k) for k in (1, 2))):
        firsts, of = factorize([codes, *(own[name] for name in more)])
        if len(firsts) <= len(codes) / 2 and is_right(of):
            return tuple(name for name in table.names if name in (*how.id, *more))
    return None


def _repeats_values(table: Table, name: str) -> bool:
    """Return whether a column may be part of an id: whole numbers or words that repeat, few of them missing."""
    if table.is_time(name):
        return False
    values, gone = table.values(name)
    if gone.mean() > 0.3 or (values.dtype.kind == "f" and (values % 1).any()):
        return False
    return 1 < len(np.unique(values)) <= len(values) / 2


# --- likely roles, for the command to copy ---


def roles_and_values(table: Table, how: Columns) -> list[str]:
    """Return a line for each column: its name, its role, and three values; of many the first, and main roles."""
    roles = {name: role for role in ROLES for name in getattr(how, role) or ()}
    known = {name: role for role, names in NAMES.items() if getattr(how, role) is None for name in names}
    roles = {name: roles.get(name) or known.get(name.casefold()) or "feature" for name in table.names}
    shown = [name for i, name in enumerate(table.names) if i < SHOWN or roles[name] in NAMES]
    width, lines = min(40, max(map(len, shown))), []
    for name in [name for name in shown if name != table.nested]:
        values = list(dict.fromkeys(filter(None, table.texts(name)[:1000])))[:3]
        words = ", ".join(value[:30] for value in values) or "no values"
        lines.append(f"  {name[:40]:{width}}  {roles[name].replace('columns', 'column'):10}  {words}")
    return lines + [f"  ... {len(roles) - len(shown)} more"] * (len(roles) > len(shown))


def likely_roles(table: Table, how: Columns) -> dict[str, Any]:
    """Return likely columns of the id, the time and the label of a table without an id, or that it is wide.

    Where they are not enough, later refusals add more: a time of day, or the other columns of an id.
    """
    taken = {table.nested, *(name for role in ROLES for name in getattr(how, role) or ())}
    free = [name for name in table.names if name not in taken][:300]  # wide tables have many
    kinds = {name: _kind(table, name) for name in free}
    numbered = [name for name in free if kinds[name] == "number" and re.search(r"\d$", name)]
    labels = [name for name in free if is_like(name, "label") and kinds[name] in ("text", "number")]
    times = [name for name in free if name.casefold() in NAMES["time"] or kinds[name] == "date"]
    times += [name for name in free if kinds[name] != "text" and is_like(name, "time")]
    ids = [name for name in free if name not in (*labels, *times) and (is_like(name, "id") or kinds[name] == "text")]
    ids.sort(key=lambda name: not is_like(name, "id"))
    unique = [name for name in ids if kinds[name] == "text" and len({*table.texts(name)}) == len(table.frame)]
    is_numbered = len(numbered) > max(3, len(kinds) / 2)
    if how.id is None and table.columns.header is not False and (is_numbered or (unique and not times)):
        return {"wide": True} | ({"id": tuple(unique[:1])} if unique else {})
    ids = [name for name in ids if _repeats_values(table, name)]
    cure = {"id": tuple(ids[:1]), "time": tuple(times[:1]), "label": tuple(labels[:1])}
    needed = [role for role, names in cure.items() if getattr(how, role) is None and (names or role == "id")]
    return {role: cure[role] for role in needed if [name.casefold() in NAMES[role] for name in cure[role]] != [True]}


def _kind(table: Table, name: str) -> str:
    """Return what a column has: "number", "date", "clock" or "text"."""
    if table.is_time(name):
        return {"Time": "clock", "Duration": "number"}.get(str(table.frame[name].dtype.base_type()), "date")
    if not table.parsed(name)[1].any():
        return "number"
    texts = np.array([text for text in dict.fromkeys(table.texts(name)) if re.search(r"\d", text)][:SAMPLE], object)
    if not len(texts) or parse_iso(texts) is not None:
        return "date" if len(texts) else "text"
    forms = common_formats(texts)
    return "text" if not forms else "clock" if {*forms} <= {*CLOCKS} else "date"


def is_like(name: str, role: str) -> bool:
    """Return whether a name hints at a role."""
    return re.fullmatch(LIKELY[role], re.sub(r"(?<=[a-z])(?=[A-Z])", "_", name).strip().lower()) is not None


def _may_be_classes(table: Table, name: str) -> bool:
    """Return whether a column has few different words, each in two rows on average, which begin with no digit."""
    values = np.unique(table.values(name, plain=True)[0].astype(str))
    return len(values) <= min(FEW, len(table.frame) // 2) and not all(re.match(r"\W?\d", value) for value in values)
