"""`cgru forecast`: forecast series, with a backtest beside simpler models, a CSV and a plot."""

from __future__ import annotations

import contextlib
import math
import os
import re
import sys
import warnings
from collections.abc import Iterator, Sequence
from importlib.util import find_spec
from typing import Any

import numpy as np

from cgru.cli.arguments import ForecastRequest, RequestError, as_request_error
from cgru.cli.data import as_options, opened
from cgru.cli.forecast_page import PANELS, Shown, draw, write_page
from cgru.cli.output import STDOUT, check_output, check_page, plotter, table_writer
from cgru.cli.terminal import echo
from cgru.datasets.series import Series, read_series
from cgru.forecast import Backtest, Delivery, Forecaster, backtest, calendar
from cgru.forecast.backtest import AUTO, SeasonChoice, choose_cycles, choose_season
from cgru.forecast.calendar_features import cycles_of
from cgru.forecast.delivery import GRU, check_model
from cgru.forecast.rivals import CLIMATOLOGY, ETS, TWO_SEASONS, guess_second, why_no_ets
from cgru.forecast.series import fill_missing
from cgru.many import fit_many

__all__ = ["forecast"]

PLACES = {"day": "hour of day", "week": "day of week", "year": "day of year"}
MODELS = {
    "gru": GRU, "linear": "linear", "ets": ETS, "climatology": CLIMATOLOGY, "two-seasons": TWO_SEASONS,
    "seasonal": "seasonal naive", "naive": "naive",
}  # fmt: skip
_ARGUMENT = re.compile(
    "^(target|time|id|inputs|known|decimal)(?=: expected (?:one of the|the|each|one) column|: .* sign )|^horizon(?=: )"
)
_SERIES = re.compile(r"^y(?:\[(\d+)\])?(?=: )")


def forecast(request: ForecastRequest) -> int:
    """Run `cgru forecast` and return the exit code; errors in the request are raised before a network is fitted."""
    with contextlib.redirect_stdout(sys.stderr if request.output == STDOUT else sys.stdout):
        table = _forecast(request)
    _write_forecast(request, *table)
    return 0


def _forecast(request: ForecastRequest) -> tuple[list[Series], list[np.ndarray], tuple[float, ...]]:
    """Print what there is to say of a forecast, and write all but its table: return (series, values, quantiles)."""
    outputs = (request.output, request.plot, request.html, request.save)
    for i, output in enumerate(outputs):
        if output not in (None, STDOUT):
            check_output(output, request.series, *outputs[:i])
    plotted = None if request.plot is None else plotter(request.plot, request.series, draw=draw)
    if request.html is not None:
        check_page(request.html, "matplotlib")
    if request.model not in (AUTO, "gru") and request.quantiles and not request.origins:
        why = f"--origins 0 leaves no errors of {request.model} to make them of"
        raise RequestError(f"argument --quantiles: needs --model gru without tests: {why}")
    if request.model == "ets" and (why := why_no_ets()):
        raise RequestError(f"argument --model: {why}")
    series, source = _read_series(request)
    notes = [_in_options(note) for note in dict.fromkeys(note for each in series for note in each.notes)]
    echo(*(f"note: {note}\n" for note in notes), sep="", end="")
    echo(*(_summary(each) for each in series), sep="\n")
    options = {name: getattr(request, name) for name in ("width", "quantiles", "missing", "seed")}
    shows_bar = not request.quiet and sys.stderr is not None and sys.stderr.isatty() and find_spec("tqdm") is not None
    running = {"threads": request.threads, "progress": shows_bar}
    y = [each.y for each in series]
    X = None if series[0].X is None else [each.X for each in series]

    def spell(error: str) -> str:
        """Return the text of an error about y or y[2], with the name of the series in its place."""
        return _SERIES.sub(lambda found: series[int(found[1] or 0)].name, error)

    with as_request_error(f"{source}: ", spell), warnings.catch_warnings():
        warnings.filterwarnings("ignore", "fit_many: interrupted", RuntimeWarning)  # `take` raises it
        found, likely = None, series[0].calendar.likely
        times = _dates(series)
        if request.season:
            chosen = SeasonChoice(request.season, request.season, request.season)
        else:
            chosen = choose_season(y, request.horizon, request.origins, likely, request.width)
        cycles = _cycles(series, request)
        beside = {"X": X, "known": _known(series, cycles, request.horizon)}
        lines = [*_season_lines(chosen, guessed=not request.season)]
        if cycles:
            cure = "; --no-calendar does without" if request.calendar is None else ""
            lines.append(f"calendar: {' and '.join(PLACES[cycle] for cycle in cycles)} are read{cure}")
        if request.origins:
            given = {**beside, "times": times, "season": chosen.tested, "likely": likely, **options, **running}
            model = MODELS.get(request.model, AUTO)
            found = backtest(y, request.horizon, request.origins, model=model, **given)
        if found and found.second > 1:
            lines.append(f"second season: {found.second} steps, guessed")
        echo(*lines, sep="\n")
        if found:
            echo(*_backtest_lines(found, request, series), sep="\n")
        model = Forecaster(request.horizon, season=chosen.season, **options)
        jobs = model.jobs(y, **beside)
        for each in series:  # the fits would ignore a short series, and its forecast would fail after them
            if len(each.y) < model.width_:
                cure = "without it, or with a smaller --width, the others are forecast"
                due = f"at least {model.width_} values, a window"
                raise ValueError(f"{each.name}: expected {due}, got {len(each.y)}; {cure}")
        if found:
            lines.append(_test_note(found, model))
            echo(lines[-1])
        delivery = found.delivery(model) if found else _untested(model, request.model, likely, y, times is not None)
        if series[0].clock is None:  # else the calendar is that of local time, which dates alone do not tell
            delivery.cycles = cycles
        if GRU in delivery.weights or delivery.quantiles or request.save is not None:
            model.take(fit_many(jobs, **running))
        values = _forecasts(delivery, y, beside, times)
    if request.save is not None:
        delivery.save(request.save)
        echo(f"model in {request.save}")
    by = found.delivered if found else MODELS.get(request.model, GRU)
    title = f"{os.path.basename(source)}: {request.horizon} steps by {by}"
    shown = Shown(series, values, model, by, found)
    if plotted:
        plotted(shown, title)
    if request.html is not None:
        write_page(request.html, shown, title, [*map(_summary, series[:PANELS]), *lines], notes)
        echo(f"report in {request.html}")
    return series, values, model.quantiles


def _read_series(request: ForecastRequest) -> tuple[list[Series], str]:
    """Read the series that a request names; return them, and the name of their table for messages.

    RequestError where they cannot be read or forecast.
    """
    options = {name: getattr(request, name) for name in ("target", "time", "id")} | vars(request.cells)
    options |= {"inputs": request.inputs or (), "known": request.known or (), "gaps": request.missing == "interpolate"}

    def spell(error: str) -> str:
        return _in_options(_ARGUMENT.sub(r"argument --\g<0>", error.removeprefix(f"{path}: ")))

    with opened(request.series) as (path, source), as_request_error(f"{path}: ", spell):
        series = read_series(path, **options)
        for each in series:  # raises where the last forecast is beyond the largest date
            each.written([len(each.y) - 1 + request.horizon])
    for wrong in _problems(series, request):
        raise RequestError(f"{source}: {wrong}")
    return series, source


def _dates(series: list[Series]) -> list[np.ndarray] | None:
    """Return the times (n,) of each series, None if these are numbers or steps."""
    times = [each.times.values[: len(each.y)] for each in series]
    return times if all(each.dtype.kind == "M" for each in times) else None


def _untested(model: Forecaster, option: str, likely: Sequence[int], y: list[np.ndarray], dated: bool) -> Delivery:
    """Return the model of an option of --model, without tests, by a fitted forecaster; for auto print the choice.

    Raise ValueError for a model of two seasons of series that have one.
    """
    name = MODELS.get(option, GRU)
    if option == AUTO:
        echo(f"delivered: {name}, as without tests nothing is compared")
    second = 1
    if name == TWO_SEASONS:
        second = guess_second(fill_missing(max(y, key=len), "interpolate", "y"), model.season_, likely)
        check_model(name, model.season_, second)
    return Delivery(model, {name: 1.0}, second=second, dated=dated)


def _cycles(series: list[Series], request: ForecastRequest) -> tuple[str, ...]:
    """Return the cycles of the calendar that the model reads: those asked for, or chosen by the series."""
    if request.calendar is not None:
        return cycles_of(series[0].times.values) if request.calendar else ()
    times = [each.times_at(np.arange(len(each.y))) for each in series]
    return choose_cycles([each.y for each in series], times, request.horizon, request.origins)


def _known(series: list[Series], cycles: tuple[str, ...], horizon: int) -> list[np.ndarray] | None:
    """Return the inputs of each series that are known up to the end of its horizon (n + h, c), or None."""
    known = []
    for each in series:
        n = len(each.y) + horizon
        columns = [] if each.known is None else [each.known[:n]]
        columns += [calendar(each.times_at(np.arange(n)), cycles)] if cycles else []
        known.append(np.hstack(columns) if columns else None)
    return None if known[0] is None else known


def _in_options(text: str) -> str:
    """Spell the arguments that a text advises as options of `cgru forecast`."""
    return as_options(text.replace("gaps=True", "--missing interpolate"), several=("time", "na"))


def _problems(series: list[Series], request: ForecastRequest) -> Iterator[str]:
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
            cure = f"rows for these steps, with an empty {each.name if request.id is None else 'target'}, have them"
            yield f"argument --known: expected {due}, got {ahead}; {cure}"
        if request.calendar and not cycles_of(each.times.values):
            yield f"argument --calendar: expected dates less than a year apart, got {each.name}, {each.calendar}"
    steps = {str(each.calendar): each.name for each in series}
    if len(steps) > 1:
        (first, name), (other, different), *_ = steps.items()
        due = "series of one step, as one model has one season"
        yield f"expected {due}, got {name}, {first}, and {different}, {other}"
    ends = {each.written([len(each.y) - 1])[0]: each.name for each in series}
    if request.origins and len(ends) > 1:
        (first, name), (other, late), *_ = ends.items()
        due = "series that end at one time, so that none is tested on what another was trained on"
        cure = "--origins 0 forecasts without tests"
        yield f"expected {due}, got {name} until {first} and {late} until {other}; {cure}"


def _summary(each: Series) -> str:
    """Describe a series in a line: its values, step, first and last time, inputs."""
    first, last = each.written([0, len(each.y) - 1])
    lost = int(np.isnan(each.y).sum())
    known = f"{len(each.y) - lost} values" + (f" and {lost} missing" if lost else "")
    beside = "" if each.X is None else f", {each.X.shape[1]} inputs"
    beside += "" if each.known is None else f", {each.known.shape[1]} known in the future"
    return f"{each.name}: {known}, {each.calendar}, {first} to {last}{beside}"


def _season_in_words(season: int) -> str:
    """Return a season length in words."""
    return "none" if season == 1 else f"{season} steps"


def _season_lines(chosen: SeasonChoice, guessed: bool) -> Iterator[str]:
    """Yield lines on the season of the forecast and of the tests, and how it was guessed."""
    yield f"season: {_season_in_words(chosen.season)}{', guessed; --season says otherwise' if guessed else ''}"
    if chosen.tested != chosen.season:
        why = f"as what lies before the first of them is too short for one of {chosen.season}"
        yield f"season of the tests: {_season_in_words(chosen.tested)}, {why}"
    elif chosen.whole != chosen.season:
        other = f"{_season_in_words(chosen.whole)}, which --season {chosen.whole} tests and forecasts with"
        yield f"note: this was guessed from before the first test; all values suggest {other}"


def _test_note(found: Backtest, model: Forecaster) -> str:
    """Return a line on season and windows of tests and forecast, which differ where less lies before the tests."""
    tests, own = _model_in_words(found.season, found.widths), _model_in_words(model.season_, np.array([model.width_]))
    learned = f"learned from {_range_in_words(found.windows)} windows"
    if tests == own:
        return f"tests and forecast: {own}; tests {learned}, the forecast from {model.windows_}"
    return f"tests: {tests}, as less lay before them, {learned}; the forecast: {own}, from {model.windows_}"


def _model_in_words(season: int, widths: np.ndarray) -> str:
    """Return season and window width of forecasters in words."""
    return f"{'no season' if season == 1 else f'season of {season}'}, windows of {_range_in_words(widths)} values"


def _range_in_words(counts: np.ndarray) -> str:
    """Return "lowest to highest" of some counts, or the one count."""
    return f"{counts.min()} to {counts.max()}" if np.ptp(counts) else f"{counts[0]}"


def _backtest_lines(found: Backtest, request: ForecastRequest, series: list[Series]) -> Iterator[str]:
    """Yield the lines on a backtest: its origins, the table of errors, the verdict, the coverage of intervals."""
    each, many = series[0], len(series)
    places = found.origins[::many]
    first, last = each.written([places[0], places[-1]])
    at = f"from {first} to {last}" if len(places) > 1 else f"at {first}"
    of = f", of {many} series each" if many > 1 else ""
    yield f"tested at {len(places)} origins {at}{of}, {request.horizon} steps each; mean ± deviation:"
    yield from (f"note: {note}" for note in found.notes)
    yield found.table()
    best = next((option for option, name in MODELS.items() if name == found.best), AUTO)
    advises = request.model not in (AUTO, best)
    yield found.verdict() + (f"; --model {best} forecasts by the best" if advises else "")
    if found.coverage is not None:
        low, high = found.quantiles[0], found.quantiles[-1]
        yield f"{100 * found.coverage:.0f}% of the values lay between the quantiles {low} and {high}"


def _forecasts(model: Delivery, y: list[np.ndarray], beside: dict[str, Any], times: Any) -> list[np.ndarray]:
    """Return the forecast of each series, (h, 1 + q): h values, then q quantiles of each."""
    points = [each[:, None] for each in model.predict(y, **beside, times=times)]
    if not model.quantiles:
        return points
    return [np.hstack(pair) for pair in zip(points, model.predict_quantiles(y, **beside, times=times), strict=True)]


def _decimals(y: np.ndarray) -> int:
    """Return the decimals that tell the range of y (n,) to six digits, or of values that are all equal their size."""
    unit = np.nanmax(y) - np.nanmin(y) or np.nanmax(np.abs(y)) or 1.0
    return max(0, 5 - math.floor(math.log10(unit)))


def _write_forecast(
    request: ForecastRequest, series: list[Series], values: list[np.ndarray], quantiles: tuple[float, ...]
) -> None:
    """Write the forecasts and their quantiles as CSV, a row for each time and series, to the output file or stdout.

    The file has 12 digits, stdout has those that say something.
    """

    def rounded(row: np.ndarray, y: np.ndarray) -> np.ndarray:
        """Return a row to be written of the forecast of y."""
        return np.round(row, _decimals(y)) if request.output is None else row

    many = len(series) > 1 or request.id is not None
    named = series[0].name if not many else "forecast"
    header = [*(["series"] if many else []), series[0].time, named, *(f"{named}_{level}" for level in quantiles)]
    rows = [
        [*([each.name] if many else []), time, *(f"{value:.12g}" for value in rounded(row, each.y))]
        for each, predicted in zip(series, values, strict=True)
        for time, row in zip(each.written(len(each.y) + np.arange(len(predicted))), predicted, strict=True)
    ]
    with table_writer(request.output or STDOUT) as table:
        table.writerows([header, *rows])
    if request.output not in (None, STDOUT):
        echo(f"forecast in {request.output}")
