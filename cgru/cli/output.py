"""The files that the `cgru` command writes: predictions, the learning curve and reports, each whole or not at all."""

from __future__ import annotations

import codecs
import csv
import importlib
import os
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from cgru import plot
from cgru.cli.arguments import RequestError, as_request_error
from cgru.files import replaceable, replacing
from cgru.reports.report import Report

__all__ = ["WRITERS", "check_output", "name_of", "page_writer", "plotter", "require"]

MODULES = {"matplotlib": "matplotlib.figure", "scikit-learn": "sklearn"}  # by which packages are found


def check_output(path: str, *others: str | None) -> None:
    """Refuse a `path` that could not be written in the end, or that is one of the `others`, which are in use.

    Of a folder its arrays are.

    RequestError; OSError, with the path, for what the disk has against it.
    """
    with as_request_error():
        replaceable(path)
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


# --- predictions: all outputs (m, k), and the classes (m,) where there are any; or (m, s, k) and (m, s), of which the
# --- steps `real` (m, s) are no padding; with the `ids` (m,) and the `times`, their name and (m, s), of a table ---


def _write_npz(
    path: str,
    outputs: np.ndarray,
    classes: np.ndarray | None,
    names: Sequence[str],
    real: np.ndarray | None,
    ids: np.ndarray | None = None,
    times: tuple[str, np.ndarray] | None = None,
) -> None:
    arrays = {} if classes is None else {"classes": np.asarray(classes).astype(str)}
    if ids is not None:
        arrays["ids"] = ids if ids.dtype.kind in "iuf" else ids.astype(str)
    if times is not None:
        arrays["times"] = times[1].astype(str)
    with replacing(path) as file:
        np.savez(file, outputs=outputs, **arrays)


def _write_csv(
    path: str,
    outputs: np.ndarray,
    classes: np.ndarray | None,
    names: Sequence[str],
    real: np.ndarray | None,
    ids: np.ndarray | None = None,
    times: tuple[str, np.ndarray] | None = None,
) -> None:
    k = outputs.shape[-1]
    header, columns = ([], []) if ids is None else (["id"], [ids])
    if real is not None:
        sequences, steps = np.nonzero(real)
        named = (
            {"step": steps} if times is None else {"step": steps, times[0]: times[1][real]}
        )  # which may be step, too
        header = ["sequence" if ids is None else "id", *named]
        columns = [sequences if ids is None else ids[sequences], *named.values()]
        outputs, classes = outputs[real], classes if classes is None else classes[real]
    if classes is not None:
        header.append("class")
        columns.append(classes)
    names = names if len(names) == k else [f"output_{i}" for i in range(k)]
    header += [f"predicted_{name}" if name in header else name for name in names]
    with replacing(path) as file:
        rows = csv.writer(codecs.getwriter("utf-8")(file))
        rows.writerow(header)
        rows.writerows([*first, *row] for *first, row in zip(*columns, outputs, strict=True))


WRITERS = {".npz": _write_npz, ".csv": _write_csv}


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
        with replacing(path) as file:
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
