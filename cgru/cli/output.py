"""The files that the `cgru` command writes: predictions and the learning curve, each whole or not at all."""

from __future__ import annotations

import codecs
import csv
import os
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from cgru.cli.arguments import RequestError, as_request_error
from cgru.files import replaceable, replacing
from cgru.network.history import Epoch

__all__ = ["WRITERS", "check_output", "plotter"]


def check_output(path: str, *others: str | None) -> None:
    """Refuse a `path` that could not be written in the end, or that is one of the `others`, which are in use.

    RequestError; OSError, with the path, for what the disk has against it.
    """
    with as_request_error():
        replaceable(path)
    for other in others:
        if other is not None and os.path.realpath(other) == os.path.realpath(path):
            raise RequestError(f"{path}: this would overwrite what the command reads or writes elsewhere")


# --- predictions: all outputs (m, k), and the classes (m,) where there are any; or (m, s, k) and (m, s), of which the
# --- steps `real` (m, s) are no padding; with the `ids` (m,) of a table ---


def _write_npz(
    path: str,
    outputs: np.ndarray,
    classes: np.ndarray | None,
    names: tuple[str, ...],
    real: np.ndarray | None,
    ids: np.ndarray | None = None,
) -> None:
    arrays = {} if classes is None else {"classes": np.asarray(classes).astype(str)}
    if ids is not None:
        arrays["ids"] = ids if ids.dtype.kind in "iuf" else ids.astype(str)
    with replacing(path) as file:
        np.savez(file, outputs=outputs, **arrays)


def _write_csv(
    path: str,
    outputs: np.ndarray,
    classes: np.ndarray | None,
    names: tuple[str, ...],
    real: np.ndarray | None,
    ids: np.ndarray | None = None,
) -> None:
    k = outputs.shape[-1]
    header, columns = ([], []) if ids is None else (["id"], [ids])
    if real is not None:
        sequences, steps = np.nonzero(real)
        header = ["sequence" if ids is None else "id", "step"]
        columns = [sequences if ids is None else ids[sequences], steps]
        outputs, classes = outputs[real], classes if classes is None else classes[real]
    if classes is not None:
        header.append("class")
        columns.append(classes)
    header += names if classes is not None and len(names) == k else [f"output_{i}" for i in range(k)]
    with replacing(path) as file:
        rows = csv.writer(codecs.getwriter("utf-8")(file))
        rows.writerow(header)
        rows.writerows([*first, *row] for *first, row in zip(*columns, outputs, strict=True))


WRITERS = {".npz": _write_npz, ".csv": _write_csv}


# --- the learning curve ---


def plotter(
    path: str, *others: str | None, draw: Callable[[Any, Any, str], None] | None = None
) -> Callable[[Any, str], None]:
    """What draws a history, under a title, into `path`; matplotlib is looked for now, not after the training.

    Or what else `draw` makes of a figure, what is to be shown, and the title.
    """
    try:
        from matplotlib.figure import Figure
    except ImportError:
        raise RequestError("argument --plot: matplotlib is not installed; pip install matplotlib") from None
    check_output(path, *others)
    figure = Figure(figsize=(7, 4.5), layout="constrained")
    kinds = figure.canvas.get_supported_filetypes()
    kind = os.path.splitext(path)[1].lower().lstrip(".")
    if kind not in kinds:
        raise RequestError(f"argument --plot: expected an ending of {', '.join(sorted(kinds))}, got {path!r}")

    def drawn(shown: Any, title: str) -> None:
        (draw or _draw)(figure, shown, title)
        with replacing(path) as file:
            figure.savefig(file, format=kind, dpi=150)

    return drawn


def _draw(figure: Any, history: Sequence[Epoch], title: str) -> None:
    """Loss and, where there is one, accuracy over the epochs, dashed what validation says."""
    figure.suptitle(title, parse_math=False, wrap=True, fontsize="medium")
    left = figure.add_subplot(xlabel="epoch", ylabel="loss")
    left.xaxis.get_major_locator().set_params(integer=True, min_n_ticks=1)
    axes = {"loss": left}
    if history[0].accuracy is not None:
        axes["accuracy"] = left.twinx()
        axes["accuracy"].set(ylabel="accuracy", ylim=(0, 1.01))
        axes["accuracy"].yaxis.set_major_formatter("{x:.0%}")
    numbers = [epoch.epoch for epoch in history]
    marker = "o" if len(history) == 1 else ""  # one point makes no line
    for what, axis in axes.items():
        color = "C0" if what == "loss" else "C1"
        for prefix, style in (("", "-"), ("validation_", "--")):
            values = [getattr(epoch, prefix + what) for epoch in history]
            if values[0] is not None:
                label = f"{prefix[:-1] or 'training'} {what}"
                axis.plot(numbers, values, style, marker=marker, color=color, label=label)
    if all(loss > 0 for line in left.lines for loss in line.get_ydata()):
        left.set_yscale("log")
    figure.legend(loc="outside lower center", ncols=4, fontsize="small")
