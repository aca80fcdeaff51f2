"""Tables of text: as lines of 80 columns and as HTML."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from typing import NamedTuple

from cgru.core.formatting import shorten, width_of

__all__ = ["COLUMNS", "Table", "table_as_html", "table_as_text"]

COLUMNS, MIN_NAME = 80, 12  # width of a line; least width of a name that is shortened


class Table(NamedTuple):
    """A table with its cells as text.

    The first `names` columns have names, all others figures. The note explains them.
    """

    title: str
    header: Sequence[str]
    rows: Sequence[Sequence[str]]
    note: str = ""
    names: int = 1


def table_as_text(table: Table) -> str:
    """Return a table as text: names aligned left, figures aligned right."""
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
    """Return a table as HTML without its title, the note below it."""
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
