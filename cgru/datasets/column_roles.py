"""The roles of a table's columns: those that are passed, exact conventional names, and refusals with likely roles.

Names and values hint at roles only where something is refused: `likely_roles` fills the command to copy. What is read
is what the user said.
"""

from __future__ import annotations

import difflib
import itertools
import re
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import numpy as np

from cgru.datasets.columns import ROLES, Columns, ColumnsError
from cgru.datasets.table import GROUPED, Table, factorize
from cgru.datasets.time_columns import CLOCKS, Times, common_formats, compact_form, parse_iso

__all__ = [
    "check_order", "compound_id", "is_like", "likely_roles", "numbers_of", "refuse", "resolve_roles",
    "roles_and_values",
]  # fmt: skip

NAMES = {"id": ("id",), "time": ("time", "timestamp", "date"), "label": ("label", "target", "y", "class")}
LIKELY = {
    "id": r"(.*[ _.-])?(id|nr|no|number|uuid|key)|subject|series|sequence|case|sample|session|patient|participant|"
    r"person|user|unit|trial|record|recording|device|machine|engine|run|track|station|sensor|symbol|ticker|country|store|shop|"
    r"customer|vehicle|animal|plant|site|well|battery|cell|name",
    "time": r"(.*[ _.-])?(t|time|times|timestamp|ts|date|dates|datetime|day|days|hour|hours|minute|minutes|second|"
    r"seconds|month|week|year|quarter|epoch|step|frame|tick|cycle|visit|wave|period|when|elapsed|duration)"
    r"([ _.(\[-].*)?",
    "clock": r"time|hour|hours|hr|hh|minute|clock|time[ _]of[ _]day",
    "label": r"(.*[ _.-])?(label|labels|target|class|outcome|category|status|diagnosis|result|activity|state|failed|"
    r"died|event|response|grade|quality|y)",
}
MOST_JUDGED = 300  # columns, up to which likely roles are looked for
SAMPLE = 200  # different cells by which a column is judged
FEW = 20  # at most so many different words may be classes or categories


def resolve_roles(table: Table, how: Columns, *, targets: bool = True) -> Columns:
    """Return `how` with all roles of the columns of a table, () for none.

    Raise ColumnsError for a column that does not exist, two names for one role, and a table without an id.
    """
    if not targets:
        how = how.changed(label=tuple(name for name in how.label or () if name in table.names) or (how.label and ()))
    if not targets or how.parts:
        how = how.changed(groups=tuple(name for name in how.groups if name in table.names))
    taken = {name for role in ROLES for name in getattr(how, role) or ()}
    for role in ROLES:
        for name in getattr(how, role) or ():
            if name not in table.names:
                raise _no_such_column(table, how, role, name)
    for role, known in NAMES.items():
        if getattr(how, role) is None:
            free = [
                name for name in table.names if name not in taken or name in (how.columns or ()) == (role == "time")
            ]
            found = tuple(name for name in free if name.casefold() in known and name not in taken)
            if role == "time" and how.wide:
                found = ()
            if len(found) > 1 or (
                found and found[0].casefold() == "y" and {"x", "z"} & {*map(str.casefold, table.names)}
            ):
                raise _two_names(table, how, role, found)
            how = how.changed(**{role: found or None})
    if how.id is None and not how.wide and not how.windows and not table.nested:
        due = 'the column that tells sequences apart (id="" if all rows are one)'
        raise refuse(table, "id", f"none called id among {_listed(table.names)}", due)
    own = {"id": how.id if how.id is not None else (table.nested,) if table.nested else ()}
    how = how.changed(**own, time=how.time or (), label=how.label or ())
    if how.columns is None:
        taken = {name for role in ("id", "time", "label", "groups", "ignore") for name in getattr(how, role)}
        columns = tuple(name for name in table.names if name not in {*taken, table.nested})
        if unnamed := [name for name in columns if name in table.nameless and name not in (how.categories or ())]:
            cure = {"ignore": (*how.ignore, *unnamed)}
            raise ColumnsError("ignore", f"none for {unnamed[0]}", "a name for each column", cure)
        how = how.changed(columns=columns)
    return how.changed(categories={name: values or _known_values(table, name) for name, values in
                                   (how.categories or {}).items()} or None)  # fmt: skip


def _known_values(table: Table, name: str) -> tuple[str, ...]:
    """Return the different values of a column of categories, sorted."""
    words, gone = table.values(name, plain=True)
    return tuple(np.unique(words[~gone].astype(str)).tolist())


def _no_such_column(table: Table, how: Columns, role: str, name: str) -> ColumnsError:
    """Return the error of a column that does not exist; its cure is the only one of nearly the same name."""
    folded = {re.sub(r"\W", "", each.casefold()): each for each in table.names}
    near = difflib.get_close_matches(re.sub(r"\W", "", name.casefold()), folded, 1, 0.8)
    cure = {}
    if near and role != "categories":
        cure = {role: tuple(folded[near[0]] if each == name else each for each in getattr(how, role))}
    return ColumnsError(role, f"none called {name}", f"some of the columns {_listed(table.names)}", cure or None)


def _two_names(table: Table, how: Columns, role: str, found: tuple[str, ...]) -> ColumnsError:
    """Return the error of two columns that are called as one role is."""
    if role == "label" and {"x", "z"} & {*map(str.casefold, table.names)}:  # y may be an axis
        first, *others = [name for name in found if name.casefold() != "y"] or found
        axis = first.casefold() == "y" and _kind(table, first) == "number"
        cure = {role: () if axis else (first,)} | ({"ignore": (*how.ignore, *others)} if others else {})
        return ColumnsError(role, f"{' and '.join(found)} next to x or z", "one column that is the label", cure)
    kinds = {name: _kind(table, name) for name in found}
    dates, clocks = ([name for name in found if kinds[name] == kind] for kind in ("date", "clock"))
    if role == "time" and len(dates) == len(clocks) == 1 and len(found) == 2:
        cure = {"time": (dates[0], clocks[0])}
    else:
        usual = sorted(found, key=lambda name: NAMES[role].index(name.casefold()))
        first = (dates * (role == "time") + usual)[0]
        cure = {role: (first,), "ignore": (*how.ignore, *(name for name in found if name != first))}
    return ColumnsError(role, f"{' and '.join(found)}", f"one column that may be the {role}", cure)


def _listed(names: Sequence[str]) -> str:
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
        if values is not None:
            found[name] = _encoded(table, how, name, values)
            continue
        found[name], odd = table.parsed(name)
        if odd.any():
            wrong[name] = odd
    if wrong:
        name, odd = next(iter(wrong.items()))
        row = int(odd.argmax())
        got = f"{table.texts(name)[row]!r} of {name} in {table.locate(row)}"
        got += "" if len(wrong) == 1 else f" ({len(wrong)} columns have such: {_listed(list(wrong))})"
        if cure := _cure_of_words(table, how, wrong):
            raise ColumnsError(role, got, "numbers, as in its other rows", cure)
        raise refuse(table, role, got, "numbers in each column that no option names", {*wrong})
    if how.decimal is None and how.thousands is None:
        _check_thousands(table, [name for name in names if name not in (how.categories or ())])
    return found


def _encoded(table: Table, how: Columns, name: str, values: Sequence[str]) -> np.ndarray:
    """Return a column of categories as places in `values` from 1 on, NaN where one is missing; refuse another value."""
    words, gone = table.values(name, plain=True)
    places = {value: float(i) for i, value in enumerate(values, 1)}
    codes = np.array([np.nan if lost else places.get(word, 0) for word, lost in zip(words, gone, strict=True)])
    if (codes == 0).any():
        row = int((codes == 0).argmax())
        cure = {"na": (*how.na, *sorted(set(words[codes == 0])))}
        raise ColumnsError("categories", f"{words[row]!r} of {name} in {table.locate(row)}",
                           f"one of the categories {_listed(values)}", cure)  # fmt: skip
    return codes


def _cure_of_words(table: Table, how: Columns, wrong: dict[str, np.ndarray]) -> dict[str, Any] | None:
    """Return the cure for cells that are no numbers in columns that have some: signs, comments, lines or words.

    None where a column has words alone, which need a role.
    """
    texts = {name: np.array(table.texts(name), object) for name in wrong}
    cells = [cell for name, odd in wrong.items() for cell in texts[name][odd]]
    for decimal, thousands in (
        (",", None),
        (",", "."),
        (None, ","),
        (",", " "),
        (None, " "),
        (None, "'"),
        (None, "\u00a0"),
    ):
        if (how.decimal, how.thousands) == (None, None) and table.is_file_of_text:
            changed = how.changed(decimal=decimal, thousands=thousands)
            again = table._replace(columns=changed)
            if not any(again.parsed(name)[1].any() for name in wrong) and any(
                (thousands or decimal) in cell for cell in cells
            ):
                own = [cell.replace(",", ".") for cell in cells if "," in cell]
                plain = [cell for name in wrong for cell in texts[name] if re.fullmatch(r"\d{4,}", cell)]
                if (decimal, thousands) == (",", None) and all(re.match(GROUPED, cell) for cell in own) and not plain:
                    wholes = [cell for name in wrong for cell in texts[name] if re.fullmatch(r"\d{1,3}", cell)]
                    if wholes:
                        continue  # 985 and 1,029
                return {key: value for key, value in (("decimal", decimal), ("thousands", thousands)) if value}
    if cure := _cure_of_rows(table):
        return cure
    if all(2 * odd.sum() < len(odd) and len(set(texts[name][odd])) <= 3 for name, odd in wrong.items()):
        return {"na": tuple(dict.fromkeys((*how.na, *cells)))}
    return None


def _cure_of_rows(table: Table) -> dict[str, Any] | None:
    """Return the cure that leaves out rows of units, names or comments between numbers or dates; None without any.

    Such a row has words where nearly all others have numbers or dates: in two columns, or in the first row.
    """
    odd = np.zeros(len(table.frame), np.intp)
    for name in table.names:
        if table.is_text(name):
            wrong = table.parsed(name)[1]
            if wrong.mean() > 0.5:
                wrong = np.array([re.match(r"\D{0,3}\d", text) is None and text != "" for text in table.texts(name)])
            is_rare = 0 < wrong.sum() <= max(1, len(wrong) // 20)
            odd += is_rare * (wrong & [re.search(r"\d", text) is None for text in table.texts(name)])
    first = table.texts(table.names[0])
    comments = [i for i in np.flatnonzero(odd) if re.match(r"[^\w\s.+\"'-]", first[i])]
    if comments and table.is_file_of_text and table.columns.comment is None:
        return {"comment": first[comments[0]][0]}
    odd[0] *= 2
    return table.without(np.flatnonzero(odd > 1)) if (odd > 1).any() else None


def _check_thousands(table: Table, names: Sequence[str]) -> None:
    """Refuse a column whose points may separate thousands: all have three digits behind, and others are below 1000."""
    for name in names:
        if not table.is_text(name):
            continue
        cells = table.frame[name].str.strip_chars()
        pointed = cells.filter(cells.str.contains(".", literal=True))
        others = cells.filter(~cells.str.contains(".", literal=True) & (cells != ""))
        if len(pointed) and pointed.str.contains(GROUPED).all() and others.str.contains(r"^[+-]?\d{1,3}$|\D").all():
            wholes = others.str.contains(r"^[+-]?\d{1,3}$").any()
            cure = {"thousands": "."} if wholes or pointed.str.contains(r"\..*\.").any() else {"decimal": "."}
            due = "numbers with one reading (thousands='.' or decimal='.')"
            raise ColumnsError("thousands", f"{pointed[0]} of {name}", due, cure)


# --- the order of the rows ---


def check_order(table: Table, how: Columns, codes: np.ndarray, times: Times | None) -> None:
    """Refuse rows of a sequence whose times repeat or decrease, and counters that restart within one.

    `codes` (n,) are the sequences of the rows. Where another column tells the parts apart the cure is the compound id.
    """
    if times is None:
        for name in table.names:
            counter = _counter(table, how, name)
            if counter is not None and _repeats(codes, counter) and (more := compound_id(table, how, codes, counter)):
                got = f"{name} begin again within one in {table.locate(_repeats(codes, counter))}"
                raise ColumnsError("id", got, "sequences in which no counter restarts", {"id": more})
        if table.columns.time is None and (name := _unordered_time(table, how, codes)):
            got = f"{name}, which may be it"
            raise ColumnsError(
                "time", got, "to know what tells the order of the steps", {"time": (name,), "sort": True}
            )
        if more := _reused_ids(table, how, codes):
            raise ColumnsError("id", f"the same ids again in each of {more[0]}", "ids that are used once", {"id": more})
        return
    values, called = times.values, " ".join(how.time)
    rest = {"time": (), "ignore": tuple(dict.fromkeys((*how.ignore, *how.time)))}
    if row := _repeats(codes, values):
        got = f"{times.texts[row]} twice in a sequence, again in {table.locate(row)}"
        cure = _cure_of_repeats(table, how, codes, values) or rest
        raise ColumnsError("time", got, f"times ({called}) that differ within a sequence", cure)
    inside = np.argsort(codes, kind="stable")
    falls = np.flatnonzero((np.diff(values[inside]) < 0) & (np.diff(codes[inside]) == 0))
    if falls.size and not how.sort:
        i, j = inside[falls[0]], inside[falls[0] + 1]
        got = f"{times.texts[j]} after {times.texts[i]} in {table.locate(j)}"
        cure = {"sort": True}
        if more := compound_id(table, how, codes, values, rising=True):
            cure = {"id": more}
        elif times.cyclic or (not times.is_dated and values.min() >= 0 and values.max() < 60 and _wraps(codes, values)):
            cure = rest
        raise ColumnsError("sort", got, f"times ({called}) that increase within a sequence", cure)


def _cure_of_repeats(table: Table, how: Columns, codes: np.ndarray, values: np.ndarray) -> dict[str, Any] | None:
    """Return the cure for times that repeat: a time of day, a compound id, or without the rows that are there twice."""
    for name in table.names:
        if name not in (*how.id, *how.time) and (_kind(table, name) == "clock" or is_like(name, "clock")):
            both = factorize([values, table.values(name, plain=True)[0]])[1]
            if not _repeats(codes, both):
                return {"time": (*how.time, name)}
    if more := compound_id(table, how, codes, values):
        return {"id": more}
    same = factorize([np.array(table.texts(name), object) for name in table.names])[1]
    again = np.setdiff1d(np.arange(len(same)), np.unique(same, return_index=True)[1])
    rest = np.delete(np.arange(len(same)), again)
    return table.without(again) if len(again) and not _repeats(codes[rest], values[rest]) else None


def _repeats(codes: np.ndarray, values: np.ndarray) -> int:
    """Return the first row that has the value of a row before in its sequence; 0 if none does."""
    order = np.lexsort((values, codes))
    again = order[1:][(np.diff(codes[order]) == 0) & (np.diff(values[order]) == 0)]
    return int(again.min()) if again.size else 0


def _wraps(codes: np.ndarray, values: np.ndarray) -> bool:
    """Return whether times fall at most once in most sequences, to a value below the first: 22, 23, 0, 1."""
    inside = np.argsort(codes, kind="stable")
    own, of = values[inside], codes[inside]
    falls = np.bincount(of[1:][(np.diff(own) < 0) & (np.diff(of) == 0)], minlength=of[-1] + 1)
    starts = np.flatnonzero(np.diff(of, prepend=-1))
    ends = np.append(starts[1:], len(of)) - 1
    return bool((falls <= 1).all() and (own[ends] < own[starts])[falls == 1].all())


def _counter(table: Table, how: Columns, name: str) -> np.ndarray | None:
    """Return a column that no option names and that counts up by one from row to row mostly; None for others."""
    if name in (*how.id, *how.label, *how.groups, *(how.categories or ())) or table.is_time(name):
        return None
    values, odd = table.parsed(name)
    if odd.any() or np.isnan(values).any() or (values % 1).any() or len(values) < 4:
        return None
    return values.astype(np.int64) if (np.diff(values) == 1).mean() >= 0.5 else None


def _unordered_time(table: Table, how: Columns, codes: np.ndarray) -> str | None:
    """Return a feature that may be the time of rows in another order, or has dates such as 20240131, or None.

    It is called as times are, or counts the rows of each sequence, and has no value twice in one.
    """
    inside = np.argsort(codes, kind="stable")
    for name in () if table.columns.columns is not None else how.columns:
        values, odd = table.parsed(name)
        if name in (how.categories or ()) or odd.any() or np.isnan(values).any() or _repeats(codes, values):
            continue
        order = np.lexsort((values, codes))
        steps, same = np.diff(values[order]), np.diff(codes[order]) == 0
        falls = ((np.diff(values[inside]) < 0) & (np.diff(codes[inside]) == 0)).any()
        if same.any() and compact_form(values):
            return name
        if falls and same.any() and (is_like(name, "time") or (steps[same] == 1).all()):
            return name
    return None


def compound_id(
    table: Table, how: Columns, codes: np.ndarray, values: np.ndarray, rising: bool = False
) -> tuple[str, ...] | None:
    """Return the id with one or two more columns by which the values, such as times, are unique in a sequence, or None.

    Words and columns called as ids come first. With `rising` the values have to increase from row to row, too.
    """
    free = [
        name for name in table.names if name not in (*how.id, *how.time, *how.label) and _may_tell_apart(table, name)
    ]
    free.sort(key=lambda name: (not is_like(name, "id"), not table.is_text(name) or not table.parsed(name)[1].any()))
    own = {name: table.values(name)[0] for name in free[:8]}
    for more in itertools.chain(*(itertools.combinations(own, k) for k in (1, 2))):
        firsts, of = factorize([codes, *(own[name] for name in more)])
        if len(firsts) > len(codes) / 2 or _repeats(of, values):
            continue
        inside = np.argsort(of, kind="stable")
        if rising and ((np.diff(values[inside]) < 0) & (np.diff(of[inside]) == 0)).any():
            continue
        return tuple(name for name in table.names if name in (*how.id, *more))
    return None


def _may_tell_apart(table: Table, name: str) -> bool:
    """Return whether a column may be part of an id: whole numbers or words that repeat, few of them missing."""
    if table.is_time(name):
        return False
    values, gone = table.values(name)
    if gone.mean() > 0.3 or (values.dtype.kind == "f" and (values % 1).any()):
        return False
    return 1 < len(np.unique(values)) <= len(values) / 2


def _reused_ids(table: Table, how: Columns, codes: np.ndarray) -> tuple[str, ...] | None:
    """Return the compound id of a table whose rows are in blocks of a column of words, each with ids of the others."""
    if not how.id:
        return None
    for name in table.names:
        if name in (*how.id, *how.label, *how.ignore) or not _may_tell_apart(table, name):
            continue
        if not (is_like(name, "id") or table.parsed(name)[1].any() or name in how.groups):
            continue
        block = factorize([table.values(name)[0]])[1]
        firsts, both = factorize([block, codes])
        in_blocks = np.count_nonzero(np.diff(block)) == block.max() and np.count_nonzero(np.diff(both)) == both.max()
        if in_blocks and 2 * (codes.max() + 1) <= len(firsts) <= len(codes) / 2:
            return tuple(each for each in table.names if each in (*how.id, name))
    return None


# --- likely roles, for the command to copy ---


def roles_and_values(table: Table, how: Columns) -> list[str]:
    """Return a line for each column: its name, three values, and its role or likely role."""
    likely = likely_roles(table, how)
    roles = {name: role for role in (*ROLES, "na") for name in (*(getattr(how, role) or ()), *(likely.get(role) or ()))}
    known = {name: role for role, names in NAMES.items() for name in table.names if name.casefold() in names}
    lines = []
    names = [name for name in table.names if name != table.nested]
    width = max(len(name) for name in names[:60])
    for name in names[:60]:
        values = list(dict.fromkeys(filter(None, table.texts(name)[:1000])))[:3]
        shown = ", ".join(value[:30] for value in values) or "no values"
        role = roles.get(name) or known.get(name) or "feature"
        lines.append(
            f"  {name[:40]:{min(width, 40)}}  {role.removesuffix('s') if role == 'columns' else role:10}  {shown}"
        )
    return lines + (["  ..."] if len(names) > 60 else [])


def refuse(table: Table, argument: str, got: str, due: str, wrong: Iterable[str] = ()) -> ColumnsError:
    """Return the error of a table whose roles must be passed, with likely ones as the cure and all columns listed.

    Columns that are `wrong` and get no likely role are left out by the cure.
    """
    how = table.columns
    cure = _cure_of_rows(table) or likely_roles(table, how)
    named = {name for role in ROLES for name in (*(getattr(how, role) or ()), *(cure.get(role) or ()))}
    if not cure and (left := [name for name in wrong if name not in named or name in (how.columns or ())]):
        kept = [name for name in how.columns or () if name not in left]
        cure = {"columns": tuple(kept)} if kept else {"ignore": (*how.ignore, *left)}
    return ColumnsError(argument, got, due, cure or None, "\n".join(roles_and_values(table, how)))


def likely_roles(table: Table, how: Columns) -> dict[str, Any]:
    """Return likely options for the columns that have no role, by their names and values; {} if none is needed."""
    taken = {name for role in ROLES for name in getattr(how, role) or ()}
    free = [name for name in table.names if name not in {*taken, table.nested}]
    if len(free) > MOST_JUDGED:
        numbered = sum(re.search(r"\d$", name) is not None for name in free)
        return {"wide": True} if how.id is None and 2 * numbered > len(free) else {}
    kinds = {name: _kind(table, name) for name in free}
    cure: dict[str, Any] = {}
    if how.id is None and _looks_wide(table, free, kinds):
        ids = [name for name in free if is_like(name, "id") and kinds[name] != "number"][:1]
        cure = {"wide": True} | ({"id": tuple(ids)} if ids and ids[0].casefold() != "id" else {})
        labels = [name for name in free if name not in ids and is_like(name, "label")]
        labels += [name for name in free if name not in ids and kinds[name] == "text" and _may_tell_apart(table, name)]
        if how.label is None and labels and labels[0].casefold() not in NAMES["label"]:
            cure["label"] = (labels[0],)
        left = [name for name in free if kinds[name] != "number" and name not in (*ids, *labels)]
        return cure | ({"ignore": (*how.ignore, *left)} if left else {})
    time, id = _likely_time_and_id(table, how, free, kinds)
    if how.time is None and time and not (len(time) == 1 and time[0].casefold() in NAMES["time"]):
        cure["time"] = time
    if how.id is None and not (len(id) == 1 and id[0].casefold() in NAMES["id"]):
        cure["id"] = id
    free = [name for name in free if name not in (*time, *id)]
    conventional = [name for name in free if name.casefold() in NAMES["label"]]
    words = [name for name in free if kinds[name] in ("text", "bool")]
    codes = factorize([table.values(name)[0] for name in id])[1] if id else np.zeros(len(table.frame), np.intp)
    if how.label is None and not conventional:
        still = [name for name in words if _is_still(table, name, codes) and _count(table, name) <= FEW]
        found = [name for name in free if is_like(name, "label") and kinds[name] in ("text", "number", "bool")]
        if likely := ([name for name in found if name in still] or found or still[-1:])[:1]:
            cure["label"] = tuple(likely)
    free = [name for name in free if name not in (*conventional, *cure.get("label", ()))]
    several = [
        name
        for name in free
        if kinds[name] == "text" and not is_like(name, "time") and _count(table, name) <= min(FEW, len(codes) // 2)
    ]
    if several:
        cure["categories"] = {**(how.categories or {}), **dict.fromkeys(several, ())}
    left = [name for name in free if name not in several and
            (kinds[name] not in ("number", "bool", "gaps", "measure") or name in table.nameless)]  # fmt: skip
    if left:
        cure["ignore"] = (*how.ignore, *left)
    words = [cell for name in free if kinds[name] == "gaps" for cell in _odd_words(table, name)]
    return cure | ({"na": tuple(dict.fromkeys((*how.na, *words)))} if words else {})


def _kind(table: Table, name: str) -> str:
    """Return what a column has.

    That is "number", "bool", "date", "clock", "text", "gaps" (numbers and few words), "measure" (numbers that are not
    written plainly) or "empty".
    """
    values, odd = table.parsed(name)
    if table.is_time(name):
        return {"Time": "clock", "Duration": "number"}.get(str(table.frame[name].dtype.base_type()), "date")
    texts = np.array([text for text in dict.fromkeys(table.texts(name)) if text][:SAMPLE], object)
    if not odd.any():
        return (
            "empty" if np.isnan(values).all() else "bool" if {*map(str.lower, texts)} <= {"true", "false"} else "number"
        )
    if parse_iso(texts) is not None:
        return "date"
    if forms := common_formats(texts):
        return "clock" if {*forms} <= {*CLOCKS} else "date"
    if 2 * odd.sum() < len(odd) and len(_odd_words(table, name)) <= 3:
        return "gaps"
    return (
        "measure" if all(re.match(r"[^\w]?\d+([.,' ]\d+)*\s?\W{0,2}[a-zA-Z]{0,3}$", text) for text in texts) else "text"
    )


def _odd_words(table: Table, name: str) -> list[str]:
    """Return the different cells of a column that are no numbers."""
    return sorted(set(np.array(table.texts(name), object)[table.parsed(name)[1]]))


def is_like(name: str, role: str) -> bool:
    """Return whether a name hints at a role."""
    return re.fullmatch(LIKELY[role], re.sub(r"(?<=[a-z])(?=[A-Z])", "_", name).strip().lower()) is not None


def _count(table: Table, name: str) -> int:
    """Return the number of different values in a column."""
    return len(np.unique(table.values(name, plain=True)[0].astype(str)))


def _is_still(table: Table, name: str, codes: np.ndarray) -> bool:
    """Return whether a column has one value in each sequence, and different ones in different sequences."""
    values = factorize([table.values(name, plain=True)[0]])[1]
    starts = np.unique(codes, return_index=True)[1]
    return bool((values == values[starts][codes]).all() and values.any() and len(starts) < len(codes))


def _looks_wide(table: Table, free: Sequence[str], kinds: dict[str, str]) -> bool:
    """Return whether most columns are called by numbers, as the steps of a wide table are, or all words differ."""
    if table.columns.header is False:
        return False
    numbers = [name for name in free if kinds[name] == "number"]
    numbered = [name for name in numbers if re.search(r"\d+$", name)]
    stems = {re.sub(r"\d+(\.\d+)?$", "", name) for name in numbered}
    if len(numbered) > max(3, len(free) / 2) and len(numbered) >= 3 * len(stems):
        return True
    words = [name for name in free if kinds[name] == "text" and not is_like(name, "label")]
    are_different = bool(words) and all(_count(table, name) == len(table.frame) for name in words)
    return are_different and len(numbers) >= 3 and not {"date", "clock"} & {*kinds.values()}


def _likely_time_and_id(
    table: Table, how: Columns, free: Sequence[str], kinds: dict[str, str]
) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Return the likely columns of the time and of the id, () for none: those by which no time is twice."""
    times = [how.time] if how.time is not None else [*_likely_times(free, kinds), ()]
    named = [name for name in free if name.casefold() in NAMES["id"]]
    rows = len(table.frame)
    for time in times:
        singles = [(name,) for name in named] or [
            (name,) for name in free
            if name not in time and kinds[name] in ("text", "number") and _may_tell_apart(table, name)
            and not (is_like(name, "label") or is_like(name, "time"))
        ]  # fmt: skip
        runs = {name: _has_runs(table, name) for (name,) in singles}
        singles.sort(key=lambda names: (not is_like(names[0], "id"), not runs[names[0]], kinds[names[0]] != "text"))
        sure = [names for names in singles if is_like(names[0], "id") or kinds[names[0]] == "text"]
        pairs = itertools.combinations([names[0] for names in singles[:5]], 2)
        values = np.arange(rows)
        if time:
            joined = [" ".join(each) for each in zip(*map(table.texts, time), strict=True)]
            values = np.unique(joined, return_inverse=True)[1].reshape(-1)
        for id in [how.id] if how.id is not None else [*sure, (), *singles, *pairs] if time else sure:
            firsts, codes = factorize([table.values(name)[0] for name in id]) if id else ([0], np.zeros(rows, np.intp))
            if len(firsts) <= rows / 2 and not _repeats(codes, values):
                return time, tuple(name for name in table.names if name in id)
    return (), ()


def _has_runs(table: Table, name: str) -> bool:
    """Return whether equal values of a column are in adjacent rows."""
    codes = factorize([table.values(name)[0]])[1]
    return bool(np.count_nonzero(np.diff(codes)) == codes.max())


def _likely_times(free: Sequence[str], kinds: dict[str, str]) -> Iterator[tuple[str, ...]]:
    """Yield columns that may have the times: conventional ones, dates, these with a time of day, likely numbers."""
    dates, clocks = ([name for name in free if kinds[name] == kind] for kind in ("date", "clock"))
    hours = [name for name in free if kinds[name] == "number" and is_like(name, "clock")]
    yield from ((name,) for name in free if name.casefold() in NAMES["time"])
    yield from ((name,) for name in dates)
    parts = [name for part in ("year", "month", "day") for name in free if name.strip().lower() == part]
    yield from [tuple(parts)] if len(parts) > 1 else []
    yield from itertools.product(dates, clocks + hours)
    yield from ((name,) for name in free if is_like(name, "time") and kinds[name] in ("number", "clock"))
