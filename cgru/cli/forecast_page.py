"""The picture and the HTML page of `cgru forecast`."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np

from cgru import plot
from cgru.datasets import Series
from cgru.files import atomic_write
from cgru.forecast import Backtest, Forecaster
from cgru.forecast.forecaster import GRU
from cgru.network.presentation import Table

__all__ = ["Shown", "draw", "write_page"]

PANELS = 6  # series in a plot, at most
ON_PAGE = 20  # series on a page, at most


class Shown(NamedTuple):
    """What the command delivers.

    Attributes:
        series: the series.
        values: the forecast of each (h, 1 + q): h values and their quantiles.
        model: the fitted forecaster.
        made_by: the name, in the backtest, of the model whose forecast this is.
        tests: the backtest, or None.
    """

    series: list[Series]
    values: list[np.ndarray]
    model: Forecaster
    made_by: str
    tests: Backtest | None


def draw(figure: Any, shown: Shown, title: str) -> None:
    """Draw for each series the last values, the forecast (dashed) and its band of quantiles."""
    left_out = f", {PANELS} of {len(shown.series)} series" if len(shown.series) > PANELS else ""
    figure.suptitle(title + left_out, parse_math=False, wrap=True, fontsize="medium")
    axes = figure.subplots(min(PANELS, len(shown.series)), squeeze=False, sharex=True)[:, 0]
    for i, axis in enumerate(axes):
        _plot(shown, i, axes=axis)
        axis.set_ylabel(shown.series[i].name, parse_math=False)
    handles, labels = axes[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=3, fontsize="small")


def _plot(shown: Shown, i: int, **options: Any) -> Any:
    """Plot the last values of series i and its forecast; `options` are those of `plot.forecast`."""
    each, values, model = shown.series[i], shown.values[i], shown.model
    options["times"] = each.times_at(np.arange(len(each.y) + len(values)))
    options["shown"] = max(5 * model.season, 4 * len(values), 24)
    if model.quantiles:
        options |= {"intervals": values[:, 1:], "band": f"quantiles {model.quantiles[0]} to {model.quantiles[-1]}"}
    return plot.forecast(each.y, values[:, 0], **options)


def write_page(path: str, shown: Shown, title: str, lines: Sequence[str], notes: Sequence[str]) -> None:
    """Write the verdict, lines on the data, notes, errors, pictures and forecasts as one HTML page to `path`."""
    from cgru.reports.page import document, provenance

    if len(shown.series) > ON_PAGE:
        notes = [*notes, f"{ON_PAGE} of {len(shown.series)} series are on this page"]
    told = [("score", shown.tests.verdict() if shown.tests else "not tested"), *(("small", line) for line in lines)]
    told += [("note", note) for note in notes]
    written = document(title, told, _sections(shown), {"model": _model_facts(shown.model), **provenance()})
    with atomic_write(path) as file:
        file.write(written.encode(errors="replace"))


def _model_facts(model: Forecaster) -> str:
    """Return the shares of the models that are delivered, and the networks where they or their interval are read."""
    facts = ", ".join(f"{name} {share:.0%}" for name, share in model.weights.items())
    if GRU in model.weights or model.quantiles:
        facts += f"; {model.networks} networks of {model.units} units, learned from {model.windows_} windows"
    return facts


def _sections(shown: Shown) -> Iterator[str]:
    """Yield the sections of the page: errors of the tests, then of each series its picture and its forecast."""
    from cgru.reports.page import picture_section, table_section

    found, many, past = shown.tests, len(shown.series), None
    if found:
        yield table_section(found.as_table())
    for i, (each, values) in enumerate(zip(shown.series[:ON_PAGE], shown.values, strict=False)):
        if found:
            past = found.origins[i::many], found.forecasts[shown.made_by][i::many]
        yield picture_section(_plot(shown, i, past=past), each.name)
        times = each.written(len(each.y) + np.arange(len(values)))
        rows = [(time, *(f"{value:.6g}" for value in row)) for time, row in zip(times, values, strict=True)]
        header = (each.time, "forecast", *(f"quantile {level}" for level in shown.model.quantiles))
        yield table_section(Table(f"Forecast of {each.name}", header, rows))
