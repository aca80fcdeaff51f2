"""The times of a table as they stand in it."""

from __future__ import annotations

from collections.abc import Sequence

from cgru.datasets.clock import clock_of_zone
from cgru.datasets.table import Table
from cgru.datasets.times import Times, times_of

__all__ = ["as_written", "in_zone"]


def as_written(table: Table, names: Sequence[str]) -> list[str]:
    """Return what stands in columns of times, a text for each row, of several with a space between.

    Datetimes of a frame are written by ISO 8601, as the clock of their time zone shows them.
    """
    return [" ".join(row) for row in zip(*(_texts(table, name) for name in names), strict=True)]


def in_zone(table: Table, name: str, times: Times) -> Times:
    """Return the times of a column: where that has a time zone, in UTC and to be written with a time of day."""
    if name not in table.zoned:
        return times
    return times._replace(form=times.form.replace("day", "second"), zone="Z")


def _texts(table: Table, name: str) -> list[str]:
    if table.cells is not None:
        return [cell.strip() for cell in table.cells(name)]
    values = table.read(name)[0]
    if values.dtype.kind != "M":
        return [str(value).strip() for value in values.tolist()]
    times = in_zone(table, name, times_of(values, name))
    clock = clock_of_zone(table.zoned.get(name, "UTC"))
    return times.written(times.values, None if clock is None else clock.offsets_at(times.values))
