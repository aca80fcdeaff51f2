"""What `cgru forecast` delivers, beside its best rival, on the series that installed packages bring.

    python -m benchmarks.forecasts              every series
    python -m benchmarks.forecasts NAME ...     the series whose names contain one of these
    python -m benchmarks.forecasts --before     the same without the values of the held-out tests, to choose a rule by

Prints Markdown. Takes the series of statsmodels, vega_datasets and plotly and downloads nothing. From each series'
last five origins, a horizon apart where it is long enough, forecasts are made by all models. Which of them is
delivered, and with which weights, is decided by the ten origins before these. Needs `pip install statsmodels
vega_datasets plotly`.
"""

from __future__ import annotations

import argparse
import importlib
import time
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import numpy as np

LEAST = 50  # values of a series


class Case(NamedTuple):
    """A series (n,), its dates (n,) or None, lags of likely seasons, and the horizon."""

    y: np.ndarray
    times: np.ndarray | None
    likely: tuple[int, ...]
    horizon: int


def monthly(y: Any, start: str) -> Case:
    return dated(y, start, "M", (12,), 12)


def quarterly(y: Any, start: str) -> Case:
    values = np.asarray(y, float)
    times = np.datetime64(start, "M") + 3 * np.arange(len(values))
    return Case(values, times.astype("datetime64[s]"), (4,), 8)


def dated(y: Any, start: str, unit: str, likely: tuple[int, ...], horizon: int, count: int = 1) -> Case:
    values = np.asarray(y, float)
    times = np.datetime64(start, unit) + count * np.arange(len(values))
    return Case(values, times.astype("datetime64[s]"), likely, horizon)


def of_statsmodels() -> Iterator[tuple[str, Case]]:
    def table(name: str) -> Any:
        return importlib.import_module(f"statsmodels.datasets.{name}").load_pandas().data

    weeks = table("co2")["co2"]
    yield "co2", monthly(weeks.resample("MS").mean(), "1958-03")
    yield "co2 weekly", dated(weeks, "1958-03-29", "D", (52,), 26, 7)
    yield "elec_equip", monthly(table("elec_equip").iloc[:, -1], "1995-01")
    yield "elnino", monthly(table("elnino").to_numpy()[:, 1:].ravel(), "1950-01")
    yield "nile", dated(table("nile")["volume"], "1871", "Y", (), 8)
    yield "sunspots", dated(table("sunspots")["SUNACTIVITY"], "1700", "Y", (), 11)
    for name, values in table("macrodata").items():
        if name not in ("year", "quarter"):
            yield f"macrodata {name}", quarterly(values, "1959-01")
    for name, values in table("danish_data").items():
        yield f"danish_data {name}", quarterly(values, "1974-01")
    for name in ("Dp", "R"):
        yield f"interest_inflation {name}", quarterly(table("interest_inflation")[name], "1972-04")


def of_vega_datasets() -> Iterator[tuple[str, Case]]:
    from vega_datasets import local_data

    weather = local_data.seattle_weather()
    for name in ("precipitation", "temp_max", "temp_min", "wind"):
        yield f"seattle_weather {name}", dated(weather[name], "2012-01-01", "D", (7,), 14)
    for name in ("seattle_temps", "sf_temps"):
        yield name, hourly(getattr(local_data, name)())
    for symbol, rows in local_data.stocks().groupby("symbol"):
        yield f"stocks {symbol}", monthly(rows["price"], str(rows["date"].iloc[0])[:7])
    for name, values in local_data.us_employment().items():
        if name != "month":
            yield f"us_employment {name}", monthly(values, "2006-01")
    for name in ("miles", "gas"):
        yield f"driving {name}", dated(local_data.driving()[name], "1956", "Y", (), 5)
    yield "wheat", dated(local_data.wheat()["wheat"], "1565", "Y", (), 5, 5)


def hourly(table: Any) -> Case:
    hours = table["date"].to_numpy().astype("datetime64[h]")
    values = np.full(int((hours[-1] - hours[0]).astype(int)) + 1, np.nan)  # an hour of March is missing
    values[(hours - hours[0]).astype(int)] = table["temp"]
    return dated(values, str(hours[0]), "h", (24, 168), 48)


def of_plotly() -> Iterator[tuple[str, Case]]:
    from plotly import data

    for name, values in data.stocks().items():
        if name != "date":
            yield f"plotly stocks {name}", dated(values, "2018-01-01", "D", (52,), 8, 7)


def shipped() -> Iterator[tuple[str, Case]]:
    """Name the series of at least `LEAST` values in the three packages."""
    for package in (of_statsmodels, of_vega_datasets, of_plotly):
        yield from ((name, case) for name, case in package() if len(case.y) >= LEAST)
