"""Print for the `cgru` command, and write its files, each whole or not at all.

Names from a stranger's file cannot steer the terminal or a spreadsheet.
"""

from __future__ import annotations

import codecs
import contextlib
import csv
import importlib
import os
import re
import sys
from collections.abc import Iterable, Iterator, Sequence
from functools import partial
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from cgru.cli.arguments import RequestError, as_request_error
from cgru.files import atomic_write, check_writable
from cgru.reports.report import Report

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = [
    "STDOUT", "Predictions", "check_output", "check_page", "check_plot", "check_predictions", "echo", "name_of",
    "require", "save_figure", "save_report", "say", "table_writer", "write_predictions",
]  # fmt: skip

STDOUT = "-"
MODULES = {"matplotlib": "matplotlib.figure", "scikit-learn": "sklearn", "shtab": "shtab"}  # to see what is there
# All but tabs and line ends; marks and embeddings that reorder text; separators of lines; lone surrogates; tags.
CONTROLS = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff\ufeff\U000e0000-\U000e007f]"
)
FORMULA = re.compile("[=+@\t\r'\uff1d\uff0b\uff20\uff0d-]")  # what a cell begins with that a spreadsheet runs
REAL = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?")


def echo(*lines: Any, **how: Any) -> None:
    r"""Print as `print` does, with control characters, also of the direction of text, as escapes such as `\x1b`."""
    texts = (CONTROLS.sub(lambda found: found[0].encode("unicode_escape").decode(), str(line)) for line in lines)
    print(*texts, **how)


def say(message: str, code: int = 0) -> int:
    """Print a message to stderr as one line; return `code`, an exit code."""
    echo(" ".join(message.split()), file=sys.stderr)
    return code


def spreadsheet_safe(value: Any) -> Any:
    """Return a cell for a CSV file: a text that a spreadsheet would run as a formula gets a ' in front.

    A text that begins with a ' gets another one, so that the text is what is behind the first ' of such a cell. Numbers
    stay unchanged.
    """
    if isinstance(value, str) and FORMULA.match(value) and not REAL.fullmatch(value):
        return f"'{value}"
    return value


# --- checks before the work ---


def check_output(path: str | None, *others: str | None) -> None:
    """Check that a file can be written at `path`, and is none of the `others` in use; None: no file.

    A folder in use forbids the arrays in it. RequestError for a path in use; OSError, with the path, where the disk
    refuses it.
    """
    if path is None:
        return
    with as_request_error():
        check_writable(path)
    own = os.path.realpath(path)
    used = {own, os.path.dirname(own)} if own.endswith(".npy") else {own}
    for other in others:
        if other is not None and os.path.realpath(other) in used:
            raise RequestError(f"{path}: this would overwrite what the command reads or writes elsewhere")


def require(option: str, *packages: str) -> None:
    """Check that the packages that an option needs are installed; RequestError with the cure otherwise."""
    for package in packages:
        try:
            importlib.import_module(MODULES[package])
        except ImportError:
            raise RequestError(f"argument {option}: {package} is not installed; pip install {package}") from None


def check_plot(path: str | None, *others: str | None) -> None:
    """Check the file of --plot, if there is one, and that matplotlib is installed."""
    if path is not None:
        require("--plot", "matplotlib")
        from matplotlib.figure import Figure

        kinds = [f".{kind}" for kind in sorted(Figure().canvas.get_supported_filetypes())]
        _check_ending("--plot", path, kinds, *others)


def check_page(path: str | None, *others: str | None, packages: Iterable[str] = ("matplotlib", "scikit-learn")) -> None:
    """Check the file of --html, if there is one, and that the packages that it needs are installed."""
    if path is not None:
        require("--html", *packages)
        _check_ending("--html", path, [".html", ".htm"], *others)


def check_predictions(path: str | None, *others: str | None) -> None:
    """Check the file of predictions, if there is one."""
    if path not in (None, STDOUT):
        _check_ending("-o", path, [".npz", ".csv"], *others)


def _check_ending(option: str, path: str, endings: Sequence[str], *others: str | None) -> None:
    """Check a file as `check_output` does; RequestError for a path that ends in none of the `endings`, too."""
    check_output(path, *others)
    if os.path.splitext(path)[1].lower() not in endings:
        raise RequestError(f"argument {option}: expected a name ending in {', '.join(endings)}, got {path!r}")


# --- files ---


def name_of(source: str) -> str:
    """Return the base name of a file or folder."""
    return os.path.basename(os.path.normpath(source))


def save_figure(path: str, figure: Figure, title: str) -> None:
    """Write a figure under a title to the file of --plot."""
    figure.suptitle(title, parse_math=False, wrap=True, fontsize="medium")
    with atomic_write(path) as file:
        figure.savefig(file, format=os.path.splitext(path)[1][1:].lower(), dpi=150)


def save_report(path: str, report: Report, model: str, which: str, source: str, note: str = "") -> None:
    """Write a report on a model and the split `which` of a data set as the HTML page of --html."""
    title = f"{name_of(model)}: {which} of {name_of(source)}"
    report.save(path, title=title, about={"model": model, "data": f"{which} of {source}"}, note=note)
    echo(f"report in {path}")


@contextlib.contextmanager
def table_writer(path: str) -> Iterator[Any]:
    """Yield a function that writes a row of CSV to a file, which appears once complete; `-` is stdout.

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


class Predictions(NamedTuple):
    """The predictions of a model for m samples, or for each of their s steps, to be written.

    Attributes:
        outputs: (m, k) or (m, s, k); None where classes alone are printed.
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


def write_predictions(path: str | None, found: Predictions) -> None:
    """Write predictions to an .npz or .csv, or to stdout as CSV for -; None: print them, with a tab between cells.

    A row is a sample, or a real step: the id, the step, its time, the class, and all outputs but where None prints
    classes.
    """
    if path is not None and path.lower().endswith(".npz"):
        arrays = {} if found.classes is None else {"classes": np.asarray(found.classes).astype(str)}
        if found.ids is not None:
            arrays["ids"] = found.ids if found.ids.dtype.kind in "iuf" else found.ids.astype(str)
        if found.times is not None:
            arrays["times"] = found.times[1].astype(str)
        with atomic_write(path) as file:
            np.savez(file, outputs=found.outputs, **arrays)
        return
    rows, columns = slice(None), [] if found.ids is None else [("id", found.ids)]
    if found.real is not None:
        rows, (sequences, steps) = found.real, np.nonzero(found.real)
        columns = [("sequence", sequences) if found.ids is None else ("id", found.ids[sequences])]
        times = [] if found.times is None else [(found.times[0], found.times[1][rows])]
        columns += times if times and times[0][0] == "step" else [("step", steps), *times]
    if found.classes is not None:
        classes = found.classes[rows]  # of several labels (n, k)
        columns.append(("class", classes if classes.ndim == 1 else [" ".join(map(str, row)) for row in classes]))
    outputs = np.empty((len(columns[-1][1]), 0)) if found.outputs is None else found.outputs[rows]
    outputs = outputs.reshape(len(outputs), -1)
    cells = ([*first, *row] for *first, row in zip(*(column for _, column in columns), outputs, strict=True))
    if path is None:
        for row in cells:
            echo("\t".join(str(cell).replace("\t", r"\t").replace("\n", r"\n") for cell in row))
        return
    k, taken = outputs.shape[1], [name for name, _ in columns]
    names = found.names if len(found.names) == k else [f"output_{i}" for i in range(k)]
    with table_writer(path) as write:
        write([*taken, *(f"predicted_{name}" if name in taken else name for name in names)])
        for row in cells:
            write(row)
