"""`cgru forecast`: forecast series, with a backtest against simpler models, a CSV, a picture and a page."""

from __future__ import annotations

import contextlib
import os
import sys
import warnings
from collections.abc import Iterator, Sequence
from importlib.util import find_spec
from typing import Any, NamedTuple

import numpy as np

from cgru import plot
from cgru.cli.arguments import SERIES, Request, RequestError, as_request_error, given
from cgru.cli.data import opened
from cgru.cli.output import STDOUT, check_output, check_page, check_plot, echo, save_figure, table_writer
from cgru.datasets import Series, read_series
from cgru.files import atomic_write
from cgru.forecast import Backtest, Forecaster, backtest, calendar, season_of
from cgru.forecast.backtest import AUTO, usable_season
from cgru.forecast.calendar_features import cycles_of
from cgru.forecast.forecaster import ETS, GRU, MODELS
from cgru.forecast.rivals import why_no_ets
from cgru.forecast.series_windows import History
from cgru.network.presentation import Table
from cgru.reports.page import document, picture_section, provenance, table_section

__all__ = ["Shown", "draw", "forecast", "write_page"]

PANELS = 6  # series in a plot, at most
ON_PAGE = 20  # series on a page, at most
NAMES = {name.split()[0].lower(): name for name in MODELS}  # of models, as options


class Shown(NamedTuple):
    """The results of the command: series, forecasts, model, backtest.

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


def forecast(request: Request) -> int:
    """Run `cgru forecast` and return the exit code; errors in the request are raised before a network is fitted."""
    with contextlib.redirect_stdout(sys.stderr if request.output == STDOUT else sys.stdout):
        shown = _forecast(request)
    _write_forecast(request, shown)
    return 0


def _forecast(request: Request) -> Shown:
    """Print the data, season and errors, and write the picture, page and model: return what was forecast."""
    outputs = (request.output, request.plot, request.html, request.save)
    for i, output in enumerate(outputs):
        if output not in (None, STDOUT):
            check_output(output, request.series, *outputs[:i])
    check_plot(request.plot)
    check_page(request.html, packages=["matplotlib"])
    name = NAMES.get(request.model, AUTO)
    if name not in (AUTO, GRU) and request.quantiles and not request.origins:
        why = f"--origins 0 leaves no errors of {request.model} to make them of"
        raise RequestError(f"argument --quantiles: needs --model gru without tests: {why}")
    if name == ETS and (why := why_no_ets()):
        raise RequestError(f"argument --model: {why}")
    series, source = _read_series(request)
    notes = list(dict.fromkeys(note for each in series for note in each.notes))
    echo(*(f"note: {note}\n" for note in notes), sep="", end="")
    lines = [_summary(each) for each in series]
    echo(*lines, sep="\n")
    options = {name: getattr(request, name) for name in ("width", "quantiles", "missing", "seed")}
    shows_bar = not request.quiet and sys.stderr is not None and sys.stderr.isatty() and find_spec("tqdm") is not None
    running = {"threads": request.threads, "progress": shows_bar}
    y = {each.name: each.y for each in series}
    X = None if series[0].X is None else [each.X for each in series]
    known, times = _known(series, request), [each.times[: len(each.y)] for each in series]
    times = times if all(each.dtype.kind == "M" for each in times) else None
    with as_request_error(f"{source}: "), warnings.catch_warnings():
        warnings.filterwarnings("ignore", "fit_many: interrupted", RuntimeWarning)  # `take` raises it
        history = History.of(y, X, known, times, (0, request.horizon))
        season = request.season or usable_season(history, request.horizon, request.origins, width=request.width)
        options["season"] = season
        told = [_season_line(season, request, times)]
        echo(*told)
        if request.origins:
            given = {"X": X, "known": known, "times": times, **options, **running}
            tests = backtest(y, request.horizon, request.origins, model=name, **given)
            made_by = tests.delivered
            told += _backtest_lines(tests, request, series)
            echo(*told[1:], sep="\n")
            model = tests.deliver(y, X, known=known, **running)
        else:
            tests, made_by = None, GRU if name == AUTO else name
            dated = {"weights": {made_by: 1.0}, "dated": times is not None}
            model = Forecaster(request.horizon, **options, **dated).fit(y, X, known=known, **running)
        values = [each[:, None] for each in model.predict(y, X, known=known, times=times).values()]
        if model.quantiles:
            bands = model.predict_quantiles(y, X, known=known, times=times).values()
            values = [np.hstack(pair) for pair in zip(values, bands, strict=True)]
    shown = Shown(series, values, model, made_by, tests)
    if request.save is not None:
        model.save(request.save)
        echo(f"model in {request.save}")
    title = f"{os.path.basename(source)}: {request.horizon} steps by {made_by}"
    if request.plot is not None:
        left_out = f", {PANELS} of {len(series)} series" if len(series) > PANELS else ""
        save_figure(request.plot, draw(shown), title + left_out)
    if request.html is not None:
        write_page(request.html, shown, title, [*lines[:PANELS], told[0]], notes)
        echo(f"report in {request.html}")
    return shown


def _read_series(request: Request) -> tuple[list[Series], str]:
    """Read the series that a request names; return them, and the name of their table for messages.

    RequestError where they cannot be read or forecast.
    """
    more = {"inputs": request.inputs or (), "known": request.known or (), "gaps": request.missing == "interpolate"}
    source = "standard input" if request.series == STDOUT else request.series
    with as_request_error(), opened(request.series) as path:
        series = read_series(path, **more, **given(request, *SERIES))
        for each in series:  # raises where the last forecast is beyond the largest date
            each.written([len(each.y) - 1 + request.horizon])
    for wrong in _problems(series, request):
        raise RequestError(f"{source}: {wrong}")
    return series, source


def _known(series: list[Series], request: Request) -> list[np.ndarray] | None:
    """Return the inputs of each series that are known up to the end of its horizon (n + h, c), or None."""
    found = []
    for each in series:
        n = len(each.y) + request.horizon
        columns = [] if each.known is None else [each.known[:n]]
        columns += [calendar(each.times_at(np.arange(n)))] if request.calendar else []
        found.append(np.hstack(columns) if columns else None)
    return None if found[0] is None else found


def _problems(series: list[Series], request: Request) -> Iterator[str]:
    """Yield errors in the series: missing values that nothing fills, different steps, or ends, if there are tests."""
    for each in series:
        n = len(each.y)
        known = None if each.known is None else each.known[:n]
        for what, values in (("", each.y), (" inputs", each.X), (" known inputs", known)):
            lost = [] if values is None else np.flatnonzero(np.isnan(values.reshape(len(values), -1)).any(axis=1))
            if len(lost) and request.missing == "refuse":
                got = f"none at {each.written([lost[0]])[0]} (in all at {len(lost)})"
                cure = "--missing interpolate fills them"
                yield f"{each.name}{what}: expected a value at each step, got {got}; {cure}"
        ahead = request.horizon if known is None else int((~np.isnan(each.known[n:]).any(axis=1)).cumprod().sum())
        if ahead < request.horizon:
            due = f"{', '.join(request.known)} at each of the {request.horizon} steps after {each.written([n - 1])[0]}"
            cure = f"rows for these steps, with an empty {each.name if not each.columns.id else 'target'}, have them"
            yield f"argument --known: expected {due}, got {ahead}; {cure}"
        if request.calendar and not cycles_of(each.times):
            yield f"argument --calendar: expected dates less than a year apart, got {each.name}, {each.step}"
    ends = {each.written([len(each.y) - 1])[0]: each.name for each in series if request.origins}
    for due, found in (
        ("of one step, as one model has one season", {str(each.step): each.name for each in series}),
        ("that end at one time, so that none is tested on what another learned (--origins 0 tests none)", ends),
    ):
        if len(found) > 1:
            (first, name), (other, different), *_ = found.items()
            yield f"expected series {due}, got {name} ({first}) and {different} ({other})"


# --- lines ---


def _summary(each: Series) -> str:
    """Describe a series in a line: its values, step, first and last time, inputs."""
    first, last = each.written([0, len(each.y) - 1])
    lost = int(np.isnan(each.y).sum())
    values = f"{len(each.y) - lost} values" + (f" and {lost} missing" if lost else "")
    inputs = "" if each.X is None else f", {each.X.shape[1]} inputs"
    inputs += "" if each.known is None else f", {each.known.shape[1]} known in the future"
    return f"{each.name}: {values}, {each.step}, {first} to {last}{inputs}"


def _season_line(season: int, request: Request, times: list[np.ndarray] | None) -> str:
    """Return a line on the season and where it comes from."""
    found = f"{season} steps" if season > 1 else "none"
    if season == 1 and times is not None and not request.season and (more := season_of(times[0])) > 1:
        found += f", since two of {more} steps need more values before the first test"
    return f"season: {found}" + ("" if request.season else "; --season sets another")


def _backtest_lines(found: Backtest, request: Request, series: list[Series]) -> Iterator[str]:
    """Yield the lines on a backtest: its origins, the table of errors, the verdict."""
    places = found.origins[:: len(series)]
    first, last = series[0].written([places[0], places[-1]])
    of = f", of {len(series)} series each" if len(series) > 1 else ""
    yield f"tests from {first} to {last}, {request.horizon} steps each{of}"
    yield from (f"note: {note}" for note in found.notes)
    yield found.table()
    best = next((option for option, name in NAMES.items() if name == found.best), AUTO)
    yield found.verdict() + ("" if request.model in (AUTO, best) else f"; --model {best} forecasts by the best")


def _write_forecast(request: Request, shown: Shown) -> None:
    """Write the forecasts and their quantiles as CSV, a row for each time and series, to the output file or stdout."""
    series, many = shown.series, len(shown.series) > 1 or bool(shown.series[0].columns.id)
    name, digits = "forecast" if many else series[0].name, 8 if request.output is None else 12
    header = [*(["series"] if many else []), series[0].time, name, *(f"{name}_{q}" for q in shown.model.quantiles)]
    rows = [
        [*([each.name] if many else []), time, *(f"{value:.{digits}g}" for value in row)]
        for each, values in zip(series, shown.values, strict=True)
        for time, row in zip(each.written(len(each.y) + np.arange(len(values))), values, strict=True)
    ]
    with table_writer(request.output or STDOUT) as write:
        for row in [header, *rows]:
            write(row)
    if request.output not in (None, STDOUT):
        echo(f"forecast in {request.output}")


# --- the picture and the page ---


def draw(shown: Shown) -> Any:
    """Return a figure of the first series: of each the last values, the forecast (dashed) and its quantiles."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(7, 4.5), layout="constrained")
    axes = figure.subplots(min(PANELS, len(shown.series)), squeeze=False, sharex=True)[:, 0]
    for i, axis in enumerate(axes):
        _plot(shown, i, axes=axis)
        axis.set_ylabel(shown.series[i].name, parse_math=False)
    handles, labels = axes[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=3, fontsize="small")
    return figure


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
    if len(shown.series) > ON_PAGE:
        notes = [*notes, f"{ON_PAGE} of {len(shown.series)} series are on this page"]
    told = [("score", shown.tests.verdict() if shown.tests else "not tested"), *(("small", line) for line in lines)]
    told += [("note", note) for note in notes]
    written = document(title, told, _sections(shown), {"model": repr(shown.model), **provenance()})
    with atomic_write(path) as file:
        file.write(written.encode(errors="replace"))


def _sections(shown: Shown) -> Iterator[str]:
    """Yield the sections of the page: errors of the tests, then of each series its picture and its forecast."""
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
