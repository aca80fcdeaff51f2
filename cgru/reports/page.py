"""Write a report as one HTML file with its plots inside: no script, no external resources, any screen width."""

from __future__ import annotations

import base64
import datetime
import html
import importlib
import io
import platform
import warnings
from collections.abc import Iterable, Iterator, Mapping, Sequence
from string import Template
from typing import TYPE_CHECKING, Any

import numpy as np

from cgru import losses, plot
from cgru._version import __version__
from cgru.network import Network, Sequences
from cgru.network.presentation import Table, shorten, table_as_html
from cgru.plot.panels import DARK, panels_of
from cgru.reports.report_text import baseline, headline, tables
from cgru.reports.scores import BINS, confidences

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["document", "page", "picture_section", "provenance", "table_section"]

Pair = tuple[np.ndarray, Any]  # targets and outputs

MAX_TARGETS = 12  # targets in a plot
MAX_LETTERS = 24  # of a class name in a plot
MAX_COUNTED = 20  # classes; a confusion matrix of more shows no counts
MAX_POINTS = 1000  # points in a plot of numbers, drawn from all
MAX_CURVES = 10  # classes in a plot of ROC curves
PANELS_PER_ROW = 3


def page(
    report: Mapping[str, Any],
    net: Network,
    samples: Sequences,
    rows: Pair,
    title: str,
    about: Mapping[str, str],
    note: str,
) -> str:
    """Return the HTML of a report; `samples` are its inputs, `rows` the scored (targets, outputs).

    Args:
        report: the numbers of the report.
        net: the network.
        samples: the samples.
        rows: targets and outputs, from which the scores were computed.
        title: the title of the page.
        about: facts on model and data that `net` does not have, by name.
        note: a note beside the scores, or "".
    """
    lines = [("score", headline(report)), ("small", baseline(report)), ("note", note)]
    return document(title, lines, _sections(report, net, samples, rows), {**about, **_facts(net, report)})


def document(title: str, lines: Iterable[tuple[str, str]], sections: Iterable[str], facts: Mapping[str, str]) -> str:
    """Return an HTML page of a title, lines, sections and at its end facts by name.

    A line is a class of the page's style ("score", "small", "note") and a text; a line without text is left out.
    """
    known = "".join(f"<dt>{html.escape(name)}</dt><dd>{html.escape(fact)}</dd>" for name, fact in facts.items())
    body = [
        f"<h1>{html.escape(title)}</h1>",
        *(f'<p class="{kind}">{html.escape(text)}</p>' for kind, text in lines if text),
        *sections,
        _section("What this is", f"<dl>{known}</dl>"),
    ]
    return PAGE.substitute(title=html.escape(title), body="\n".join(body))


def _sections(report: Mapping[str, Any], net: Network, samples: Sequences, rows: Pair) -> Iterator[str]:
    """Yield the sections of the page, tables and plots, from top to bottom; for the arguments see `page`."""
    first, *others = tables(report)
    yield table_section(first)
    y, A = rows
    names = [each["name"] for each in report.get("classes", ())]
    if report["task"] == "classes":
        yield picture_section(_confusion(report["confusion"], names), "Confusion matrix")
    if report["task"] == "regression":
        points = losses.named(net.loss).point(A.astype(np.float64))
        left = f", of the first {MAX_TARGETS} targets" if y.shape[1] > MAX_TARGETS else ""
        for kind, title in (("actual", "True against predicted"), ("residual", "True less predicted")):
            yield picture_section(_predicted(y, points, f"{kind}_vs_predicted"), f"{title}{left}")
    else:
        y = y.astype(np.intp)
        yield picture_section(_calibration(y, A), "Reliability diagram")
        if any(each["roc_auc"] is not None for each in report["classes"]):
            yield picture_section(_roc(y, A, names), "ROC curves")
    yield from map(table_section, others)
    if net.history:
        yield picture_section(plot.curve(net), "Learning curve")
    if any(layer.cells and not layer.weights for layer in net.layers):  # quantised layers keep no gates
        yield picture_section(plot.states(net, samples[:1]), "States and gates over the steps of the first sample")


# --- pictures by scikit-learn ---


def _confusion(counts: Sequence[Sequence[int]], names: Sequence[str]) -> Figure:
    """Plot a confusion matrix (k, k): true classes by rows, predicted ones by columns."""
    from sklearn.metrics import ConfusionMatrixDisplay

    k, short = len(names), [shorten(name, MAX_LETTERS) for name in names]
    side = 2 + 0.22 * k + 0.06 * max(map(len, short))
    (panel,) = panels_of(None, 1, 1, (side + 0.6, side))
    shown = {"include_values": k <= MAX_COUNTED, "cmap": "Blues", "xticks_rotation": "vertical"}
    ConfusionMatrixDisplay(np.array(counts), display_labels=short).plot(ax=panel, **shown)
    for label in (*panel.get_xticklabels(), *panel.get_yticklabels()):
        label.set(parse_math=False, fontsize="small" if k <= MAX_COUNTED else "x-small")
    return panel.figure


def _calibration(y: np.ndarray, A: np.ndarray) -> Figure:
    """Plot how often predictions are right, by bins of their confidence, as `confidences` has it."""
    from sklearn.calibration import CalibrationDisplay

    right, confidence = confidences(y, A)
    (panel,) = panels_of(None, 1, 1, (5.0, 4.4))
    CalibrationDisplay.from_predictions(right, confidence, n_bins=BINS, ax=panel, color=DARK, pos_label=True)
    if y.ndim == 1 and A.shape[1] > 2:
        panel.set(xlabel="mean confidence in the predicted class", ylabel="fraction of right predictions")
    return panel.figure


def _roc(y: np.ndarray, A: np.ndarray, names: Sequence[str]) -> Figure:
    """Plot ROC curves: of two classes that of the second, of more or of labels each against the rest."""
    from sklearn.metrics import RocCurveDisplay

    classes = np.arange(A.shape[1])
    if y.ndim == 1:
        if len(classes) < 3:
            classes, A = np.array([1]), A[:, -1:]
        y = y[:, None] == classes
    drawn = [i for i in range(len(classes)) if 0 < y[:, i].mean() < 1][:MAX_CURVES]
    (panel,) = panels_of(None, 1, 1, (5.0, 4.4))
    for i in drawn:
        name = shorten(names[classes[i]], MAX_LETTERS)
        RocCurveDisplay.from_predictions(y[:, i], A[:, i], name=name, plot_chance_level=i == drawn[-1], ax=panel)
    return panel.figure


def _predicted(y: np.ndarray, points: np.ndarray, kind: str) -> Figure:
    """Plot true against predicted numbers (n, k), a panel for each of the first targets."""
    from sklearn.metrics import PredictionErrorDisplay

    some = {"kind": kind, "subsample": min(MAX_POINTS, len(y)), "random_state": 0}
    panels = panels_of(None, min(y.shape[1], MAX_TARGETS), PANELS_PER_ROW, (4.2, 4.0))
    for i, panel in enumerate(panels):
        shown = {"scatter_kwargs": {"color": DARK, "alpha": 0.5}, **some}
        PredictionErrorDisplay.from_predictions(y[:, i], points[:, i], ax=panel, **shown)
        panel.set_title(f"y[{i}]" if len(panels) > 1 else "")
    return panels[0].figure


# --- pieces of HTML ---


def table_section(table: Table) -> str:
    """Return a table as an HTML section."""
    return _section(table.title, table_as_html(table))


def picture_section(figure: Figure, title: str) -> str:
    """Return a plot as an HTML section with an embedded image, in which an SVG can neither run nor load anything."""
    from matplotlib import rc_context

    drawn = io.BytesIO()
    with rc_context({"svg.fonttype": "none"}), warnings.catch_warnings():  # browsers have more glyphs
        warnings.filterwarnings("ignore", "Glyph .* missing from")
        figure.savefig(drawn, format="svg", metadata={"Date": None})
    data = base64.b64encode(drawn.getvalue()).decode()
    width = round(96 * figure.get_size_inches()[0])
    image = f'<img src="data:image/svg+xml;base64,{data}" alt="{html.escape(title)}" width="{width}">'
    return _section(title, f'<div class="scroll">{image}</div>')


def _section(title: str, body: str) -> str:
    """Return an HTML section with a title."""
    return f"<section><h2>{html.escape(title)}</h2>{body}</section>"


def _facts(net: Network, report: Mapping[str, Any]) -> dict[str, str]:
    """Return facts on the network, the data and the versions of packages, by name."""
    counts = f"{report['samples']} samples"
    return {
        "counts": f"{counts}, {report['count']} real steps" if report["per_step"] else counts,
        "layers": ", ".join(map(repr, net.layers)),
        "parameters": f"{net.summary().parameters} of {net.dtype}",
        "loss": report["loss_name"],
        **provenance({"scikit-learn": "sklearn"}),
    }


def provenance(packages: Mapping[str, str] | None = None) -> dict[str, str]:
    """Return the time and the versions that a page was written with, of further `packages` too, modules by name."""
    modules = {"NumPy": "numpy", **(packages or {}), "matplotlib": "matplotlib"}
    versions = {"cgru": __version__, "Python": platform.python_version()}
    versions |= {name: importlib.import_module(module).__version__ for name, module in modules.items()}
    return {
        "written": datetime.datetime.now().astimezone().strftime("%Y-%m-%d %H:%M %z"),
        "versions": ", ".join(f"{name} {version}" for name, version in versions.items()),
    }


PAGE = Template("""<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; img-src data:; style-src 'unsafe-inline'">
<title>$title</title>
<style>
:root { color-scheme: light; }
body { max-width: 58rem; margin: 0 auto; padding: 1.5rem; font: 1rem/1.5 system-ui, sans-serif; color: #1a1a1a;
  background: #fff; overflow-wrap: anywhere; }
h2 { font-size: 1.15rem; margin: 2rem 0 0.5rem; }
.note { border-left: 0.3rem solid #b35900; background: #fff4e5; padding: 0.6rem 0.9rem; margin: 1rem 0; }
.small, dl { font-size: 0.9rem; color: #444; margin: 0.4rem 0; }
.scroll { overflow-x: auto; }
table { width: max-content; border-collapse: collapse; font-variant-numeric: tabular-nums; }
th, td { padding: 0.2rem 0.6rem; border-bottom: 1px solid #ddd; text-align: right; white-space: nowrap; }
th.name { text-align: left; white-space: normal; max-width: 20rem; }
th[scope=row] { font-weight: normal; }
img { max-width: 100%; height: auto; }
dd { margin: 0 0 0.4rem; }
@media print { img, tr { break-inside: avoid; } .scroll { overflow: visible; } }
</style>
</head>
<body>
$body
</body>
</html>
""")
