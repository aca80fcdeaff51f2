"""The files that the `cgru` command writes: predictions, the learning curve and reports, each whole or not at all."""

from __future__ import annotations

import codecs
import csv
import importlib
import os
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, NamedTuple

import numpy as np

from cgru import plot
from cgru.cli.arguments import RequestError, as_request_error
from cgru.files import atomic_write, check_writable
from cgru.reports.report import Report

__all__ = ["Predictions", "check_output", "name_of", "page_writer", "plotter", "predictions_writer", "require"]

MODULES = {"matplotlib": "matplotlib.figure", "scikit-learn": "sklearn"}  # by which packages are found


def check_output(path: str, *others: str | None) -> None:
    """Refuse a `path` that could not be written in the end, or that is one of the `others`, which are in use.

    Of a folder its arrays are.

    RequestError; OSError, with the path, for what the disk has against it.
    """
    with as_request_error():
        check_writable(path)
    own = os.path.realpath(path)
    used = {own, os.path.dirname(own)} if own.endswith(".npy") else {own}
    for other in others:
        if other is not None and os.path.realpath(other) in used:
            raise RequestError(f"{path}: this would overwrite what the command reads or writes elsewhere")


def name_of(source: str) -> str:
    """The name of a file or folder without the path to it."""
    return os.path.basename(os.path.normpath(source))


def require(option: str, *packages: str) -> None:
    """RequestError, with the cure, where a package that an option needs is not installed."""
    for package in packages:
        try:
            importlib.import_module(MODULES[package])
        except ImportError:
            raise RequestError(f"argument {option}: {package} is not installed; pip install {package}") from None


# --- predictions ---


class Predictions(NamedTuple):
    """What a model says of m samples, and of each of their s steps where it says something of steps.

    Attributes:
        outputs: (m, k) or (m, s, k).
        classes: (m,) or (m, s); None where there are none.
        names: of the outputs, () where there are none.
        real: (m, s) booleans, which steps are no padding; None where outputs are of samples.
        ids: (m,), of a table.
        times: (m, s), of a table, beside what these are called.
    """

    outputs: np.ndarray | None
    classes: np.ndarray | None
    names: Sequence[str] = ()
    real: np.ndarray | None = None
    ids: np.ndarray | None = None
    times: tuple[str, np.ndarray] | None = None


def _write_npz(path: str, found: Predictions) -> None:
    arrays = {} if found.classes is None else {"classes": np.asarray(found.classes).astype(str)}
    if found.ids is not None:
        arrays["ids"] = found.ids if found.ids.dtype.kind in "iuf" else found.ids.astype(str)
    if found.times is not None:
        arrays["times"] = found.times[1].astype(str)
    with atomic_write(path) as file:
        np.savez(file, outputs=found.outputs, **arrays)


def _write_csv(path: str, found: Predictions) -> None:
    outputs, classes, names, real, ids, times = found
    k = outputs.shape[-1]
    header, columns = ([], []) if ids is None else (["id"], [ids])
    if real is not None:
        sequences, steps = np.nonzero(real)
        named = {"step": steps} | ({} if times is None else {times[0]: times[1][real]})  # which may be step, too
        header = ["sequence" if ids is None else "id", *named]
        columns = [sequences if ids is None else ids[sequences], *named.values()]
        outputs, classes = outputs[real], classes if classes is None else classes[real]
    if classes is not None:
        header.append("class")
        columns.append(classes)
    names = names if len(names) == k else [f"output_{i}" for i in range(k)]
    header += [f"predicted_{name}" if name in header else name for name in names]
    with atomic_write(path) as file:
        rows = csv.writer(codecs.getwriter("utf-8")(file))
        rows.writerow(header)
        rows.writerows([*first, *row] for *first, row in zip(*columns, outputs, strict=True))


def _print(found: Predictions) -> None:
    """Print the classes, or the outputs where there are none, one a line, behind the id and a tab where there are ids.

    Of steps print those that are real, each behind its time and a tab where there are times, and an empty line after
    each sequence.
    """
    values = found.outputs if found.classes is None else found.classes
    values = values.reshape(*values.shape[: 1 if found.real is None else 2], -1)
    for i, row in enumerate(values):
        first = "" if found.ids is None else f"{found.ids[i]}\t"
        if found.real is None:
            print(first + " ".join(map(str, row)))
            continue
        for step in np.flatnonzero(found.real[i]):
            time = "" if found.times is None else f"{found.times[1][i, step]}\t"
            print(first + time + " ".join(map(str, row[step])))
        print()


def predictions_writer(path: str | None, *others: str | None) -> Callable[[Predictions], None]:
    """Return what writes predictions into `path`, by its ending, or without one prints them."""
    if path is None:
        return _print
    writers = {".npz": _write_npz, ".csv": _write_csv}
    write = writers.get(os.path.splitext(path)[1].lower())
    if write is None:
        raise RequestError(f"argument -o: expected a name ending in .npz or .csv, got {path!r}")
    check_output(path, *others)
    return partial(write, path)


# --- pictures ---


def plotter(
    path: str, *others: str | None, draw: Callable[[Any, Any, str], None] | None = None
) -> Callable[[Any, str], None]:
    """What draws a history, under a title, into `path`; matplotlib is looked for now, not after the training.

    Or what else `draw` makes of a figure, what is to be shown, and the title.
    """
    require("--plot", "matplotlib")
    from matplotlib.figure import Figure

    check_output(path, *others)
    kinds = Figure().canvas.get_supported_filetypes()
    kind = os.path.splitext(path)[1].lower().lstrip(".")
    if kind not in kinds:
        raise RequestError(f"argument --plot: expected an ending of {', '.join(sorted(kinds))}, got {path!r}")

    def drawn(shown: Any, title: str) -> None:
        if draw is None:
            figure = plot.curve(shown)
            figure.suptitle(title, parse_math=False, wrap=True, fontsize="medium")
        else:
            figure = Figure(figsize=(7, 4.5), layout="constrained")
            draw(figure, shown, title)
        with atomic_write(path) as file:
            figure.savefig(file, format=kind, dpi=150)

    return drawn


def page_writer(path: str, *others: str | None) -> Callable[[Report, str, str, str], None]:
    """Return what writes a report, given it, its model, which part of the data it is of and their source, into `path`.

    RequestError where a package that it needs is not installed.
    """
    require("--html", "matplotlib", "scikit-learn")
    if os.path.splitext(path)[1].lower() not in (".html", ".htm"):
        raise RequestError(f"argument --html: expected a name ending in .html, got {path!r}")
    check_output(path, *others)

    def write(report: Report, model: str, which: str, source: str) -> None:
        title = f"{name_of(model)}: {which} of {name_of(source)}"
        report.save(path, title=title, about={"model": model, "data": f"{which} of {source}"})

    return write
