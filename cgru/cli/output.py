"""Write the output files of the `cgru` command: predictions, plots and reports, each whole or not at all."""

from __future__ import annotations

import codecs
import contextlib
import csv
import importlib
import os
import sys
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from types import SimpleNamespace
from typing import Any, NamedTuple

import numpy as np

from cgru import plot
from cgru.cli.arguments import RequestError, as_request_error
from cgru.cli.terminal import echo, echo_row, spreadsheet_safe
from cgru.files import atomic_write, check_writable
from cgru.reports.report import Report

__all__ = [
    "STDOUT", "Predictions", "check_output", "check_page", "name_of", "page_writer", "plotter", "predictions_writer",
    "require", "table_writer",
]  # fmt: skip

STDOUT = "-"
MODULES = {"matplotlib": "matplotlib.figure", "scikit-learn": "sklearn", "shtab": "shtab"}  # to see what is there


def check_output(path: str, *others: str | None) -> None:
    """Check, before the work, that a file can be written at `path`, and that it is none of the `others`, in use.

    A folder in use forbids the arrays in it. RequestError for a path in use; OSError, with the path, where the disk
    refuses it.
    """
    with as_request_error():
        check_writable(path)
    own = os.path.realpath(path)
    used = {own, os.path.dirname(own)} if own.endswith(".npy") else {own}
    for other in others:
        if other is not None and os.path.realpath(other) in used:
            raise RequestError(f"{path}: this would overwrite what the command reads or writes elsewhere")


def name_of(source: str) -> str:
    """Return the base name of a file or folder."""
    return os.path.basename(os.path.normpath(source))


def require(option: str, *packages: str) -> None:
    """Check that the packages that an option needs are installed; RequestError with the cure otherwise."""
    for package in packages:
        try:
            importlib.import_module(MODULES[package])
        except ImportError:
            raise RequestError(f"argument {option}: {package} is not installed; pip install {package}") from None


@contextlib.contextmanager
def table_writer(path: str) -> Iterator[Any]:
    """Yield a function that writes a row of CSV to a file, which is there when all are written; `-` is stdout.

    No cell is a formula of a spreadsheet, and no control character reaches a terminal.
    """
    if path == STDOUT:
        target = SimpleNamespace(write=partial(echo, end="")) if sys.stdout.isatty() else sys.stdout
        table = csv.writer(target, lineterminator="\n")
        yield lambda row: table.writerow(map(spreadsheet_safe, row))
    else:
        with atomic_write(path) as file:
            table = csv.writer(codecs.getwriter("utf-8")(file))
            yield lambda row: table.writerow(map(spreadsheet_safe, row))


# --- predictions ---


class Predictions(NamedTuple):
    """The predictions of a model for m samples, or for each of their s steps, to be written.

    Attributes:
        outputs: (m, k) or (m, s, k).
        classes: (m,) or (m, s); None for a regression.
        names: those of the outputs; () where unknown.
        real: (m, s) booleans, the steps that are not padding; None where outputs are not at steps.
        ids: (m,) the ids of the sequences of a table.
        times: the name of the column of times, and the times (m, s), of a table.
    """

    outputs: np.ndarray | None
    classes: np.ndarray | None
    names: Sequence[str] = ()
    real: np.ndarray | None = None
    ids: np.ndarray | None = None
    times: tuple[str, np.ndarray] | None = None


def _write_npz(path: str, found: Predictions) -> None:
    """Write outputs, classes, ids and times as arrays of an .npz."""
    arrays = {} if found.classes is None else {"classes": np.asarray(found.classes).astype(str)}
    if found.ids is not None:
        arrays["ids"] = found.ids if found.ids.dtype.kind in "iuf" else found.ids.astype(str)
    if found.times is not None:
        arrays["times"] = found.times[1].astype(str)
    with atomic_write(path) as file:
        np.savez(file, outputs=found.outputs, **arrays)


def _write_csv(path: str, found: Predictions) -> None:
    """Write a row for each sample, or for each real step, as CSV."""
    outputs, classes, names, real, ids, times = found
    k = outputs.shape[-1]
    header, columns = ([], []) if ids is None else (["id"], [ids])
    if real is not None:
        sequences, steps = np.nonzero(real)
        named = {"step": steps} | ({} if times is None else {times[0]: times[1][real]})  # times may be called step, too
        header = ["sequence" if ids is None else "id", *named]
        columns = [sequences if ids is None else ids[sequences], *named.values()]
        outputs, classes = outputs[real], classes if classes is None else classes[real]
    if classes is not None:
        header.append("class")
        columns.append(classes)
    names = names if len(names) == k else [f"output_{i}" for i in range(k)]
    header += [f"predicted_{name}" if name in header else name for name in names]
    with table_writer(path) as write:
        write(header)
        for *first, row in zip(*columns, outputs, strict=True):
            write([*first, *row])


def _print(found: Predictions) -> None:
    """Print a line for each sample: the id, if any, and a tab; then the class, or the outputs of a regression.

    With outputs at steps print a line for each real step, with id and time, and an empty line after each sequence.
    """
    values = found.outputs if found.classes is None else found.classes
    values = values.reshape(*values.shape[: 1 if found.real is None else 2], -1)
    for i, row in enumerate(values):
        first = [] if found.ids is None else [found.ids[i]]
        if found.real is None:
            echo_row(*first, " ".join(map(str, row)))
            continue
        for step in np.flatnonzero(found.real[i]):
            time = [] if found.times is None else [found.times[1][i, step]]
            echo_row(*first, *time, " ".join(map(str, row[step])))
        echo()


def predictions_writer(path: str | None, *others: str | None) -> Callable[[Predictions], None]:
    """Return a function that writes predictions to `path`, .npz or .csv by its ending; None: one that prints them.

    `-` is standard output, as CSV.
    """
    if path is None:
        return _print
    if path == STDOUT:
        return partial(_write_csv, path)
    writers = {".npz": _write_npz, ".csv": _write_csv}
    write = writers.get(os.path.splitext(path)[1].lower())
    if write is None:
        raise RequestError(f"argument -o: expected a name ending in .npz or .csv, or -, got {path!r}")
    check_output(path, *others)
    return partial(write, path)


# --- plots and reports ---


def plotter(
    path: str, *others: str | None, draw: Callable[[Any, Any, str], None] | None = None
) -> Callable[[Any, str], None]:
    """Return a function (shown, title) that draws a plot and writes it to `path`.

    matplotlib and the path are checked now, not after the training.

    draw: a function (figure, shown, title); None: draw the learning curve of a history.
    """
    require("--plot", "matplotlib")
    from matplotlib.figure import Figure

    check_output(path, *others)
    kinds = Figure().canvas.get_supported_filetypes()
    kind = os.path.splitext(path)[1].lower().lstrip(".")
    if kind not in kinds:
        raise RequestError(f"argument --plot: expected an ending of {', '.join(sorted(kinds))}, got {path!r}")

    def drawn(shown: Any, title: str) -> None:
        """Draw `shown` under a title, and write the figure to the plotter's path."""
        if draw is None:
            figure = plot.curve(shown)
            figure.suptitle(title, parse_math=False, wrap=True, fontsize="medium")
        else:
            figure = Figure(figsize=(7, 4.5), layout="constrained")
            draw(figure, shown, title)
        with atomic_write(path) as file:
            figure.savefig(file, format=kind, dpi=150)

    return drawn


def check_page(path: str, *packages: str) -> None:
    """Check the name of the HTML page of --html, and that the packages that it needs are installed."""
    require("--html", *packages)
    if os.path.splitext(path)[1].lower() not in (".html", ".htm"):
        raise RequestError(f"argument --html: expected a name ending in .html, got {path!r}")


def page_writer(path: str, *others: str | None) -> Callable[[Report, str, str, str], None]:
    """Return a function (report, model, split's name, data's name) that writes a report as an HTML page to `path`.

    RequestError where a package that it needs is not installed.
    """
    check_page(path, "matplotlib", "scikit-learn")
    check_output(path, *others)

    def write(report: Report, model: str, which: str, source: str) -> None:
        """Write a report as an HTML page, its title and notes made of the names of the model, split and data."""
        title = f"{name_of(model)}: {which} of {name_of(source)}"
        report.save(path, title=title, about={"model": model, "data": f"{which} of {source}"})

    return write
