"""Format numbers, names and tables as text for reports, notebooks and progress bars."""

from __future__ import annotations

import textwrap
import unicodedata
from collections.abc import Sequence
from typing import NamedTuple

__all__ = ["COLUMNS", "Table", "figure", "figures", "shorten", "table_as_html", "table_as_text", "width_of"]

COLUMNS, MIN_NAME = 80, 12  # width of a line; least width of a name that is shortened
MOST = 12  # digits beyond which values count as equal


def figure(value: float, digits: int = 4) -> str:
    """Return a number as text with `digits` significant digits; integer parts below 1e12 are written out.

    With fewer than 4 digits, for a narrow progress bar, integer parts are written out below a million.
    """
    most = 1e12 if digits >= 4 else 1e6
    return f"{value:.0f}" if 10**digits <= abs(value) < most else f"{value:.{digits}g}"


def figures(values: Sequence[float], digits: int = 4) -> list[str]:
    """Return numbers as text with the fewest significant digits (at least `digits`) that distinguish them.

    Values that differ by less than 1e-12 of their size look the same.
    """
    told = len({figure(value, MOST) for value in values})
    for count in range(digits, MOST + 1):
        found = [figure(value, count) for value in values]
        if len(set(found)) == told:
            break
    return found


def shorten(name: str, columns: int) -> str:
    """Return a name on one line, shortened to `columns` columns and ended by ... if it is longer."""
    name = "".join(letter if letter.isprintable() else "?" for letter in name)
    if width_of(name) <= columns:
        return name
    while width_of(name) > columns - 3:
        name = name[:-1]
    return name + "..."


def width_of(line: str) -> int:
    """Return how many columns a line takes in a terminal; East Asian wide letters take two, accents none."""
    return sum(
        0 if unicodedata.combining(letter) else 1 + (unicodedata.east_asian_width(letter) in "WF") for letter in line
    )


class Table(NamedTuple):
    """A table whose cells are texts.

    The first `names` columns have names, all others figures. The note explains them.
    """

    title: str
    header: Sequence[str]
    rows: Sequence[Sequence[str]]
    note: str = ""
    names: int = 1


def table_as_text(table: Table) -> str:
    """Return a table as text, with names aligned left and numbers aligned right."""
    lines = [list(table.header), *map(list, table.rows)]
    widths = [max(width_of(line[i]) for line in lines) for i in range(len(table.header))]
    most, names = max(widths), table.names
    room = COLUMNS - sum(widths[names:]) - 2 * (len(widths) - 1)
    while most > MIN_NAME and sum(min(width, most) for width in widths[:names]) > room:
        most -= 1
    for line in lines:
        line[:names] = [shorten(name, most) for name in line[:names]]
    widths[:names] = [min(width, most) for width in widths[:names]]
    shown = [table.title]
    for line in lines:
        cells = []
        for i, (cell, width) in enumerate(zip(line, widths, strict=True)):
            gap = " " * (width - width_of(cell))
            cells.append(cell + gap if i < names else gap + cell)
        shown.append("  ".join(cells).rstrip())
    return "\n".join([*shown, *textwrap.wrap(table.note, COLUMNS)])


def table_as_html(table: Table) -> str:
    """Return a table as HTML without its title, with the note below it."""
    from html import escape  # imported here, since it is slow and only pages and notebooks need it

    kinds = ["name"] * table.names + [""] * (len(table.header) - table.names)
    head = zip(table.header, kinds, strict=True)
    cells = ["".join(f'<th scope="col" class="{kind}">{escape(name)}</th>' for name, kind in head)]
    for row in table.rows:
        names = "".join(f'<th scope="row" class="name">{escape(name)}</th>' for name in row[: table.names])
        cells.append(names + "".join(f"<td>{escape(cell)}</td>" for cell in row[table.names :]))
    lines = "\n".join(f"<tr>{row}</tr>" for row in cells)
    note = f'<p class="small">{escape(table.note)}</p>' if table.note else ""
    return f'<div class="scroll"><table>{lines}</table></div>{note}'
