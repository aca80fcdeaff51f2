"""`Columns`: what each column of a table is and how its cells are read; and `ColumnsError`, a refusal with its cure.

The fields of `Columns` declare each option once: its check, default, help and the text of the command line.
`cgru.datasets.read` takes them as keyword arguments, and the command makes its options from `dataclasses.fields`.
"""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from numbers import Real
from typing import Any

from cgru.datasets.missing_values import MISSING, parse_missing

__all__ = ["Columns", "ColumnsError", "as_text"]

ROLES = ("id", "time", "label", "columns", "categories", "groups", "ignore")
LONGEST = 1000  # characters of a name, a class or a group: an array of strings has for each the room of the longest
TASKS = ("classification", "regression")
EPOCHS = ("d", "h", "min", "s", "ms", "us", "ns")


class ColumnsError(ValueError):
    """A table, or an option for it, that cannot be read without a further option.

    Attributes:
        argument: the option, a field of `Columns`, or "" if the table itself is wrong.
        got: what came.
        expected: what was expected.
        cure: fields of `Columns` and their values. Passed in addition to the options of the call, they mend it. None:
            no option does.
        source: the name of the file, "" for a DataFrame.
        overview: lines about the columns of the table, to print below the error; "" if they do not help.

    Examples:
        >>> error = cgru.datasets.ColumnsError("id", "none", "the column with the id", {"id": ("machine",)})
        >>> print(error)
        id: expected the column with the id, got none; pass id='machine'
        >>> cgru.datasets.Columns(**error.cure).id
        ('machine',)
    """

    def __init__(
        self, argument: str, got: str, expected: str, cure: Mapping[str, Any] | None = None, overview: str = ""
    ) -> None:
        """Make an error; see the class."""
        super().__init__(argument, got, expected, cure, overview)
        self.argument, self.got, self.expected, self.overview = argument, got, expected, overview
        self.cure = None if cure is None else dict(cure)
        self.source = ""

    @property
    def problem(self) -> str:
        """Return the message without the suggested options, which callers may spell in their own way."""
        before = "".join(f"{part}: " for part in (self.source, self.argument) if part)
        return f"{before}expected {self.expected}, got {self.got}"

    def __str__(self) -> str:
        """Return the message, with the suggested options as Python arguments and the overview below."""
        shown = {name: "".join(value) if isinstance(value, tuple) and len(value) < 2 else value
               for name, value in (self.cure or {}).items()}  # fmt: skip
        words = ", ".join(f"{name}={value!r}" for name, value in shown.items())
        return self.problem + (f"; pass {words}" if words else "") + (f"\n{self.overview}" if self.overview else "")


def as_text(value: Any) -> str:
    """Return the value of a field of `Columns` as the command line takes it.

    Args:
        value: the value: names, a dict, windows, a text.

    Returns:
        The text, names with commas between and in quotes where they have some.

    Examples:
        >>> cgru.datasets.as_text(("a", "b, c"))
        'a,"b, c"'
    """
    if not isinstance(value, tuple | list | Mapping):
        return str(value)
    line = io.StringIO()
    csv.writer(line, lineterminator="").writerow([*value] if len(value) != 1 or "," in str(*value) else [])
    return line.getvalue() or "".join(map(str, value))


# --- checks: each returns a value in the form that `Columns` keeps, or raises ValueError with what is expected ---


def _names(value: Any) -> tuple[str, ...]:
    """Check one name or several."""
    names = tuple(filter(None, (value,) if isinstance(value, str) else value))
    if len(set(names)) < len(names) or any(not isinstance(name, str) or len(name) > LONGEST for name in names):
        raise ValueError(f"names of columns, each once, of at most {LONGEST} characters")
    return names


def _one_name(value: Any) -> tuple[str, ...]:
    """Check one name."""
    if len(names := _names(value)) > 1:
        raise ValueError("one name")
    return names


def _categories(value: Any) -> dict[str, tuple[str, ...]]:
    """Check names of categorical columns, or a dict of their values; no values: to be read from the table."""
    known = value if isinstance(value, Mapping) else {}
    return {name: _names(known.get(name, ())) for name in _names(list(value) if known else value)}


def _flag(value: Any) -> bool:
    """Check True or False."""
    if value not in (True, False):
        raise ValueError("True or False")
    return bool(value)


def _text(value: Any) -> str:
    """Check a text of at least one character."""
    if not isinstance(value, str) or not 0 < len(value) <= LONGEST:
        raise ValueError("a text")
    return value


def _missing(value: Any) -> str:
    """Check how missing values are filled; see `missing_values.parse_missing`."""
    methods = parse_missing(value).items()
    return as_text(tuple(f"{name}={method}".removeprefix("=") for name, method in methods))


def _na(value: Any) -> tuple[str, ...]:
    """Check words or numbers that stand for a missing value."""
    words = [value] if isinstance(value, str | Real) else list(value)
    if any(isinstance(word, bool) or not isinstance(word, str | Real) for word in words):
        raise ValueError("words that mean a missing value, strings or numbers")
    texts = [word if isinstance(word, str) else f"{float(word)!r}".removesuffix(".0") for word in words]
    return tuple(filter(None, (text.strip() for text in texts)))


def _lines(value: Any) -> str:
    """Check the lines to skip: 3 for the first three, 2-2 for the second, several separated by commas."""
    found = [re.fullmatch(r"(?:(\d{1,9})-)?(\d{1,9})", part.strip()) for part in str(value).split(",")]
    if isinstance(value, bool) or not all(each and int(each[1] or 1) <= int(each[2]) for each in found):
        raise ValueError("a number of lines, or lines such as 2-2 or 5-7")
    return ",".join(each[0] for each in found)


def _windows(value: Any) -> tuple[int, int]:
    """Check the length and hop of windows: both, the length alone, or either as text."""
    text = ",".join(map(str, value)) if isinstance(value, Sequence) and not isinstance(value, str) else str(value)
    if not (found := re.fullmatch(r" *0*([1-9]\d{0,8})(?: *, *0*([1-9]\d{0,8}))? *", text)):
        raise ValueError("a length and a hop of at least 1, such as 100,50")
    return int(found[1]), int(found[2] or found[1])


def _split(text: str) -> tuple[str, ...]:
    """Split the text of an option at its commas, as CSV does; "" gives no parts."""
    return tuple(part.strip() for part in next(csv.reader([text], skipinitialspace=True), []))


def _count(value: Any) -> int:
    """Check a number of at least 1."""
    return _windows(value)[0]


def _option(
    help: str, check: Callable[[Any], Any], metavar: str | None = None, default: Any = None, choices: Any = None
) -> Any:
    """Declare a field: its help, check, metavar, default and choices; without metavar and choices it is a flag.

    `parse` turns the text of the command line into a value for the check.
    """
    parse = _split if check in (_names, _one_name, _categories, _na) else str
    told = {"help": help, "check": check, "metavar": metavar, "choices": choices, "parse": parse}
    return field(default=default, metadata=told)


@dataclass(frozen=True)
class Columns:
    r"""What each column of a table is, and how its cells are read.

    Without options only exact names count, in any case: id; time, timestamp or date; label, target, y or class. All
    other columns are features, which have to be numbers. A `Dataset` keeps the `Columns` by which it was read, with
    which `read` reads another file in the same way.

    Attributes:
        id: the columns that tell sequences apart; () for none; None: the column called id.
        time: the columns that tell the time of a step, several joined with spaces; () for the order of the rows; None:
            the column called time, timestamp or date, if there is one.
        label: the columns with the target; () for none; None: the column called label, target, y or class, if any.
        columns: the features, in this order; None: all columns without another role.
        categories: columns that are encoded one-hot, or a dict of their values. Values a and b of column c become the
            features c_a and c_b.
        groups: the column that says which sequences belong together, such as the subject; of an `.npz` an array (m,).
        ignore: columns that are no features.
        wide: whether a row is a sequence, its columns the steps.
        per_step: whether each step has a target.
        sort: whether rows are sorted by time within their sequence. If not, rows whose time decreases are refused.
        time_format: the format of times, as for strptime, such as "%d.%m.%Y"; None: ISO 8601 or numbers.
        time_unit: the unit of times that are numbers since 1970: "d", "h", "min", "s", "ms", "us" or "ns".
        decimal: the decimal sign of numbers in text; None: a point, and "." says that it is none of thousands.
        thousands: the sign between thousands in text.
        value_units: units of numbers, such as "%" or "°C": a column has one behind, or "€" before, each of its numbers.
        na: more words, or numbers, for a missing value; empty cells, NA, NaN, null and ? always are.
        missing: "refuse" missing values, or fill them from their own sequence: "forward" takes the last value before,
            at the beginning the first one after, "interpolate" the line between the neighbours by the number of steps,
            "zero" 0. "decay" keeps them as NaN, and the times, for a `cgru.GRUD`. With "+indicator" behind a method a
            feature missingindicator_b is added, 1 where b was missing. By feature: "a=interpolate,b=zero", or a dict;
            "forward,b=zero" fills all others, too.
        header: whether the first line of a text file has the names; None: yes, and numbers among them are refused.
        skip_lines: lines of a text file to leave out: "3" for the first three, "2-2" for the second, "3,9-9" for both.
        sheet: the sheet of an Excel file; None: the only one.
        comment: the beginning of lines of a text file to leave out, such as "#".
        separator: the sign between the cells of a text file; None: the tab, semicolon, bar or comma that makes columns.
        time_step: whether the time since the row before is a feature, time_step; in seconds for dates.
        windows: the length and the hop of windows that sequences are cut into, such as (100, 50). The last one ends
            with its sequence, and a shorter sequence is one window.
        parts: the number of parts that an only sequence is cut into before windows, so that some can be held back;
            None: twelve, or as many as hold two windows.
        task: "classification" or "regression", if integers are numbers or reals are classes.

    Raises:
        ColumnsError: a value is not allowed; with the field as `argument`.

    Examples:
        >>> columns = cgru.datasets.Columns(id=["hospital", "patient"], time="day", time_format="%d.%m.%Y")
        >>> columns.id, columns.to_dict()["time_format"]
        (('hospital', 'patient'), '%d.%m.%Y')
        >>> cgru.datasets.Columns.from_dict(columns.to_dict()) == columns
        True
    """

    # fmt: off
    id: tuple[str, ...] | None = _option('columns with the id; "" for one sequence (default: id)', _names, "A,B")
    time: tuple[str, ...] | None = _option(
        'columns with the time; "" for the rows\' order (default: time, timestamp or date)', _names, "A,B")
    label: tuple[str, ...] | None = _option(
        'columns with the target; "" for none (default: label, target, y or class)', _names, "A,B")
    columns: tuple[str, ...] | None = _option("columns with the features (default: all others)", _names, "A,B")
    categories: Mapping[str, tuple[str, ...]] | None = _option(
        "columns to encode one-hot, such as text (default: none)", _categories, "A,B")
    groups: tuple[str, ...] = _option(
        "column, or array of an .npz, with groups that are held back whole (default: none)", _one_name, "A", ())
    ignore: tuple[str, ...] = _option("columns to leave out (default: none)", _names, "A,B", ())
    wide: bool = _option("the table has a row for each sequence (default: no)", _flag, default=False)
    per_step: bool = _option("each step has a target of its own (default: no)", _flag, default=False)
    sort: bool = _option("sort the rows of each sequence by time (default: no)", _flag, default=False)
    time_format: str | None = _option("format of times, as %d.%m.%Y (default: ISO 8601 or numbers)", _text, "FORMAT")
    time_unit: str | None = _option("unit of times that are numbers since 1970", _text, choices=EPOCHS)
    decimal: str | None = _option("decimal sign of a text file (default: .)", _text, choices=(".", ","))
    thousands: str | None = _option("sign between thousands of a text file (default: none)", _text, "SIGN")
    value_units: tuple[str, ...] = _option(
        "units of numbers, such as %,°C, one in all cells of a column (default: none)", _na, "A,B", ())
    na: tuple[str, ...] = _option(
        "more words for a missing value (default: only empty cells, NA, NaN, null and ?)", _na, "A,B", ())
    missing: str = _option(
        "what to do with missing values: refuse, forward, interpolate, zero, or decay, which keeps them for a network "
        "that reads them; zero+indicator marks; A=zero,B=forward, too (default: refuse)", _missing, "HOW", MISSING[0])
    header: bool | None = _option("the first line of a text file has the names (default: if it has no numbers)", _flag)
    skip_lines: str | None = _option("lines to leave out: 3 for three, 2-2 for the second (default: none)", _lines, "N")
    comment: str | None = _option("beginning of lines to leave out, such as # (default: none)", _text, "SIGN")
    sheet: str | None = _option("sheet of an Excel file (default: the only one)", _text, "NAME")
    separator: str | None = _option("sign between the cells (default: tab, ;, | or ,)", _text, "SIGN")
    time_step: bool = _option("add the time since the row before as a feature (default: no)", _flag, default=False)
    windows: tuple[int, int] | None = _option(
        "cut windows, one every HOP steps, with the label of the last step or --per-step (default: no)", _windows,
        "LENGTH,HOP")
    parts: int | None = _option("parts of an only sequence before windows (default: 12 at most)", _count, "N")
    task: str | None = _option("kind of the targets (default: regression for reals)", _text, choices=TASKS)
    # fmt: on

    def __post_init__(self) -> None:
        """Check all fields, and convert them to their final form."""
        for each in fields(self):
            value = getattr(self, each.name)
            if value is None and each.default is None:
                continue
            try:
                object.__setattr__(self, each.name, each.metadata["check"](value))
                if (known := each.metadata["choices"]) and value not in known:
                    raise ValueError(f"one of {', '.join(known)}")
            except (TypeError, ValueError) as error:
                due = "another type" if isinstance(error, TypeError) else str(error)
                raise ColumnsError(each.name, repr(value), due) from None
        taken: dict[str, str] = {}
        for role in ROLES:
            for name in getattr(self, role) or ():
                other = taken.setdefault(name, role)
                if other != role and (other, role) not in SHARED:
                    raise ColumnsError(role, f"{name} in {role} and in {other}", "one role for a column")

    def changed(self, **options: Any) -> Columns:
        """Return a copy with other values of some fields.

        Args:
            **options: fields and their values.

        Returns:
            The new value.

        Raises:
            TypeError: a name is no field.
            ColumnsError: a value is not allowed.

        Examples:
            >>> cgru.datasets.Columns(id="machine").changed(sort=True).to_dict()
            {'id': ['machine'], 'sort': True}
        """
        return replace(self, **options)

    def to_dict(self) -> dict[str, Any]:
        """Return the fields that differ from their defaults, for JSON.

        Returns:
            Lists, dicts, texts, numbers and booleans by field.

        Examples:
            >>> cgru.datasets.Columns(label="died", windows=(100, 50)).to_dict()
            {'label': ['died'], 'windows': [100, 50]}
        """
        found = {each.name: getattr(self, each.name) for each in fields(self)}
        found = {each.name: found[each.name] for each in fields(self) if found[each.name] != each.default}
        if "categories" in found:
            found["categories"] = {name: list(values) for name, values in found["categories"].items()}
        return {name: list(value) if isinstance(value, tuple) else value for name, value in found.items()}

    @classmethod
    def from_dict(cls, found: Any) -> Columns:
        """Return the `Columns` that `to_dict` made a dict of, checked.

        Args:
            found: the dict, as from a file.

        Returns:
            The value.

        Raises:
            ValueError: it is no such dict; as a ColumnsError where a value is wrong.

        Examples:
            >>> cgru.datasets.Columns.from_dict({"id": ["machine"]}).id
            ('machine',)
        """
        known = {each.name for each in fields(cls)}
        if not isinstance(found, Mapping) or {*found} - known:
            raise ValueError(f"columns: expected some of {', '.join(sorted(known))}, got {found!r:.80}")
        return cls(**found)


# Roles that share a column with another: the first and the second, in the order of ROLES.
SHARED = {("id", "label"), ("time", "columns"), ("columns", "categories"), ("id", "groups"), ("groups", "ignore")}
