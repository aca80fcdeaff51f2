"""Compare what `cgru forecast` delivers with its best rival, on the series that installed packages bring.

    python -m benchmarks.forecasts              every series
    python -m benchmarks.forecasts NAME ...     the series whose names contain one of these

Prints Markdown. Takes the series of statsmodels, vega_datasets and plotly that have at least 50 values, and downloads
nothing. Ten origins at the end of a series are held out. A backtest of the values before the first of them decides what
is delivered, as `cgru forecast` would have then. The season is that of the dates. With that, forecasts are made at the
held-out origins by all models. Needs `pip install statsmodels vega_datasets plotly`.
"""

from __future__ import annotations

import argparse
import importlib
import time
from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np

import cgru
from benchmarks import report
from cgru.forecast import Forecaster, backtest
from cgru.forecast.backtest import MEAN
from cgru.forecast.forecaster import GRU
from cgru.forecast.series_windows import History

LEAST, MOST = 50, 1461  # values of a series; of more, the last are taken
ORIGINS = 10


class Case(NamedTuple):
    """A series (n,), its dates (n,), and the horizon."""

    y: np.ndarray
    times: np.ndarray
    horizon: int


def monthly(y: Any, start: str) -> Case:
    return dated(y, start, "M", 12)


def quarterly(y: Any, start: str) -> Case:
    return dated(y, start, "M", 8, 3)


def dated(y: Any, start: str, unit: str, horizon: int, count: int = 1) -> Case:
    values = np.asarray(y, float)
    times = np.datetime64(start, unit) + count * np.arange(len(values))
    return Case(values, times.astype("datetime64[s]"), horizon)


def of_statsmodels() -> Iterator[tuple[str, Case]]:
    def table(name: str) -> Any:
        return importlib.import_module(f"statsmodels.datasets.{name}").load_pandas().data

    weeks = table("co2")["co2"]
    yield "co2", monthly(weeks.resample("MS").mean(), "1958-03")
    yield "co2 weekly", dated(weeks[-520:], "1992-01-18", "D", 26, 7)
    yield "elec_equip", monthly(table("elec_equip").iloc[:, -1], "1995-01")
    yield "elnino", monthly(table("elnino").to_numpy()[:, 1:].ravel(), "1950-01")
    yield "nile", dated(table("nile")["volume"], "1871", "Y", 8)
    yield "sunspots", dated(table("sunspots")["SUNACTIVITY"], "1700", "Y", 11)
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
        yield f"seattle_weather {name}", dated(weather[name], "2012-01-01", "D", 14)
    for name in ("seattle_temps", "sf_temps"):
        yield name, hourly(getattr(local_data, name)())
    for symbol, rows in local_data.stocks().groupby("symbol"):
        yield f"stocks {symbol}", monthly(rows["price"], str(rows["date"].iloc[0])[:7])
    for name, values in local_data.us_employment().items():
        if name != "month":
            yield f"us_employment {name}", monthly(values, "2006-01")
    for name in ("miles", "gas"):
        yield f"driving {name}", dated(local_data.driving()[name], "1956", "Y", 5)
    yield "wheat", dated(local_data.wheat()["wheat"], "1565", "Y", 5, 5)


def hourly(table: Any) -> Case:
    hours = table["date"].to_numpy().astype("datetime64[h]")
    values = np.full(int((hours[-1] - hours[0]).astype(int)) + 1, np.nan)  # an hour of March is missing
    values[(hours - hours[0]).astype(int)] = table["temp"]
    return dated(values, str(hours[0]), "h", 48)


def of_plotly() -> Iterator[tuple[str, Case]]:
    from plotly import data

    for name, values in data.stocks().items():
        if name != "date":
            yield f"plotly stocks {name}", dated(values, "2018-01-01", "D", 8, 7)


def shipped() -> Iterator[tuple[str, Case]]:
    """Name the series of at least `LEAST` values in the three packages."""
    for package in (of_statsmodels, of_vega_datasets, of_plotly):
        for name, case in package():
            if len(case.y) >= LEAST:
                y, h = case.y[-MOST:], min(case.horizon, len(case.y) // 10)
                yield name, case._replace(y=y, times=case.times[-MOST:], horizon=h)


class Row(NamedTuple):
    """Mean MASE at the held-out origins: of the delivered forecast, and of each model by name."""

    name: str
    delivered: str
    ours: float
    models: dict[str, float]
    chosen: str  # the best rival at the origins before
    season: int

    @property
    def best(self) -> str:
        return min((model for model in self.models if model != GRU), key=self.models.__getitem__)

    @property
    def ratios(self) -> tuple[float, float]:
        """The delivered MASE over that of the rival that is best there, and over that of the one chosen before."""
        return self.ours / self.models[self.best], self.ours / self.models[self.chosen]


def held_out(name: str, case: Case) -> Row:
    """Choose what to deliver by what lies before the held-out origins, and forecast from these."""
    y, times, h = case
    places = origins(len(y), h)
    known = y[: places[0]]
    options: dict[str, Any] = {"missing": "interpolate"}
    found = backtest(known, h, ORIGINS, times=times[: places[0]], **options)
    rivals = [model for model in found.forecasts if model not in (GRU, MEAN)]
    errors: dict[str, list[float]] = {}
    for i in places:
        forecaster = Forecaster(h, season=found.season, **options).fit(y[:i])
        made, _ = forecaster.forecasts(History.of(y[:i], None, None, times[:i], (h,)), [GRU, *rivals])
        values = {model: each[0] for model, each in made.items()}
        values[MEAN] = sum(share * values[model] for model, share in found.weights.items())
        step = np.abs(y[found.season : i] - y[: i - found.season])
        for model, each in values.items():
            errors.setdefault(model, []).append(np.nanmean(np.abs(each - y[i : i + h])) / np.nanmean(step))
    means = {model: float(np.mean(each)) for model, each in errors.items()}
    chosen = min(rivals, key=lambda model: np.nanmean(found.errors[model]["MAE"]))
    shares = " + ".join(found.weights)
    return Row(name, shares, means.pop(MEAN), means, chosen, found.season)


def origins(n: int, horizon: int) -> list[int]:
    """The held-out origins of a series of n values, a horizon apart, or less in a short one."""
    step = min(horizon, n // 40)
    return [n - horizon - step * i for i in reversed(range(ORIGINS))]


def summary(rows: list[Row]) -> None:
    """Print the geometric means of both ratios and how many exceed 1.1, in bold what falls short."""
    rivals = ("the rival that is best at the held-out origins", "the rival that was best before")
    for what, ratios in zip(rivals, np.array([row.ratios for row in rows]).T, strict=True):
        mean, most, many = np.exp(np.log(ratios).mean()), ratios.max(), int((ratios > 1.1).sum())
        goals = f"{report.bold(mean, mean > 1)} (goal: at most 1.0), largest {report.bold(most, most > 1.1)}"
        print(f"\nOver {what}: geometric mean {goals}, above 1.1: {many} of {len(rows)} (goal: 0)")
    alone = [row.models[GRU] / row.models[row.best] for row in rows]
    print(f"\nThe GRU alone, over the rival that is best there: {np.exp(np.log(alone).mean()):.3g}")


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.forecasts", description=__doc__.partition("\n")[0])
    parser.add_argument("names", nargs="*", help="parts of names of series (default: all)")
    parser.add_argument("--threads", type=int, default=2, help="(default: %(default)s)")
    arguments = parser.parse_args()
    cgru.set_num_threads(arguments.threads)
    heads = ["", "values, season, horizon", "delivered", "its MASE", "GRU"]
    heads += ["best rival", "its MASE", "ratio", "best before", "ratio"]
    print(f"| {' | '.join(heads)} |\n|{' --- |' * len(heads)}")
    rows, start = [], time.perf_counter()
    for name, case in shipped():
        if arguments.names and not any(each in name for each in arguments.names):
            continue
        row = held_out(name, case)
        rows.append(row)
        best, before = (report.bold(ratio, ratio > 1.1) for ratio in row.ratios)
        cells = [
            name,
            f"{len(case.y)}, {row.season}, {case.horizon}",
            row.delivered,
            f"{row.ours:.3f}",
            f"{row.models[GRU]:.3f}",
        ]
        cells += [row.best, f"{row.models[row.best]:.3f}", best, row.chosen, before]
        print(f"| {' | '.join(cells)} |", flush=True)
    if rows:
        summary(rows)
    print(f"\n{len(rows)} series in {time.perf_counter() - start:.0f} s")


if __name__ == "__main__":
    main()
