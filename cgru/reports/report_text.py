"""Turn the scores of a report into tables, which the HTML page shows, and into text of 80 columns."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator, Mapping, Sequence
from html import escape
from typing import Any

from cgru.network.presentation import COLUMNS, Table, figure, figures, shorten, table_as_html, table_as_text

__all__ = ["as_html", "baseline", "headline", "tables", "text"]

LISTED = 20  # mistakes that are listed
ERRORS = ("rmse", "mae", "bias")
Numbers = Mapping[str, Any]


def headline(report: Numbers) -> str:
    """Return the main scores in one line, with the number of samples."""
    parts = [_count(report["samples"], "sample")]
    if report["per_step"]:
        parts = [f"{_count(report['count'], 'step')} of {parts[0]}"]
    regression = report["task"] == "regression"
    name = report["loss_name"].replace("_", " ") if regression else "log loss"
    parts.append(f"{name} {figure(report['loss'])}")
    if regression:
        parts += [f"RMSE {figure(report['rmse'])}", f"MAE {figure(report['mae'])}"]
    else:
        parts.append(f"accuracy {report['accuracy']:.2%}")
        if report["task"] == "classes" and not report["per_step"]:  # the steps of a sample are not independent
            least, most = report["accuracy_interval"]
            parts[-1] += f" (95% interval {least:.1%} to {most:.1%})"
    return ", ".join(parts)


def baseline(report: Numbers) -> str:
    """Return the accuracy of always predicting the most frequent class, in words; "" for labels and a regression."""
    if report["task"] != "classes":
        return ""
    name, share = report["most_frequent"].values()
    return f"always {shorten(name, 30)}, the most frequent class: accuracy {share:.2%}"


def tables(report: Numbers) -> Iterator[Table]:
    """Yield all tables."""
    yield from _regression_tables(report["outputs"]) if report["task"] == "regression" else _class_tables(report)


# --- classes ---


def _class_tables(report: Numbers) -> Iterator[Table]:
    """Yield the tables of precision, recall and F1, of the most frequent mistakes, and of the calibration."""
    unit, labels = "steps" if report["per_step"] else "samples", report["task"] == "labels"
    kinds, classes = ("precision", "recall", "f1", "roc_auc"), report["classes"]
    rows = [
        (each["name"], *(_as_score(each[kind]) for kind in kinds), f"{each['support']}", f"{each['predicted']}")
        for each in classes
    ]
    for how, each in report["averages"].items():
        rows.append((f"{how} average", *(_as_score(each[kind]) for kind in kinds[:3]), "", "", ""))
    note = "- is not defined: there are none of that class, or none is predicted."
    if any(not each["support"] for each in classes):
        note += " Averages are over the classes that the data have."
    header = ("", "precision", "recall", "F1", "ROC AUC", unit, "predicted")
    yield Table("Outputs" if labels else "Classes", header, rows, note if any("-" in row for row in rows) else "")
    if not labels:
        yield _mistakes([each["name"] for each in classes], report["confusion"])

    found = report["calibration"]
    of = "yes" if labels else classes[1]["name"] if len(classes) == 2 else "the class that is predicted"
    rows = []
    for each in found["bins"]:
        shares = (f"{each[what]:.3f}" for what in ("confidence", "accuracy"))
        rows.append((f"{each['low']:.1f} to {each['high']:.1f}", *shares, f"{each['count']}"))
    note = f"By the probability of {of}, its mean, and how often it came true."
    title = f"Calibration: expected calibration error {found['error']:.3f}"
    yield Table(title, ("", "confidence", "true", unit), rows, note)


def _mistakes(names: Sequence[str], confusion: Sequence[Sequence[int]]) -> Table:
    """Return the table of the most frequent mistakes: true class, predicted class, count."""
    cells = [(count, i, j) for i, row in enumerate(confusion) for j, count in enumerate(row) if count and i != j]
    cells.sort(key=lambda cell: -cell[0])
    rows = [(names[i], names[j], f"{count}", f"{count / sum(confusion[i]):.1%}") for count, i, j in cells[:LISTED]]
    left = sum(count for count, _, _ in cells[LISTED:])
    note = f"{_count(left, 'more mistake')} of {_count(len(cells[LISTED:]), 'other kind')}." if left else ""
    return Table("Most frequent mistakes", ("true", "predicted", "count", "of these"), rows, note, names=2)


# --- numbers ---


def _regression_tables(outputs: Sequence[Numbers]) -> Iterator[Table]:
    """Yield the tables of errors, of errors by fifths of the target, and of predicted uncertainty."""
    sizes = ("rmse", "mae", "median", "max", "bias")
    rows = [(each["name"], *(figure(each[size]) for size in sizes), _as_score(each["r2"])) for each in outputs]
    note = "Median and max: of the absolute errors. Bias: the mean of what is predicted less what is true. "
    note += "R2: 1 is perfect, 0 no better than the mean."
    if any(each["r2"] is None for each in outputs):
        note += " - is not defined: the target never changes."
    if "quantiles" in outputs[0]:
        judged = min((each["promised"] for each in outputs[0]["quantiles"]), key=lambda level: abs(level - 0.5))
        note += f" Predicted is the quantile {judged:g}."  # as Loss.point has it
    yield Table("Errors", ("", "RMSE", "MAE", "median", "max", "bias", "R2"), rows, note)

    rows = []
    for each in outputs:
        ends = iter(figures([part[end] for part in each["by_target"] for end in ("low", "high")]))
        for i, (part, low, high) in enumerate(zip(each["by_target"], ends, ends, strict=True)):
            between = low if part["low"] == part["high"] else f"{low} to {high}"
            rows.append(("" if i else each["name"], between, f"{part['count']}", *(figure(part[s]) for s in ERRORS)))
    yield Table("Errors by fifths of the target", ("", "true", "count", "RMSE", "MAE", "bias"), rows, names=2)

    rows = [(each["name"], *row) for each in outputs for row in _uncertainty(each)]
    if rows:
        note = "A deviation above 1: the model is too sure. A dispersion above 1: counts vary more than Poisson's."
        numbers = any(key in outputs[0] for key in ("deviation", "dispersion"))
        yield Table("Uncertainty", ("", "", "promised", "found"), rows, note if numbers else "", names=2)


def _uncertainty(each: Numbers) -> Iterator[tuple[str, str, str]]:
    """Yield what the outputs promise about one target, what that is, and what was found."""
    for part in each.get("quantiles", ()):
        yield f"at most the quantile {part['promised']:g}", f"{part['promised']:.1%}", f"{part['found']:.1%}"
    for part in [*each.get("intervals", ()), *filter(None, [each.get("between")])]:
        yield "within the interval", f"{part['promised']:.1%}", f"{part['found']:.1%}"
    if "deviation" in each:
        yield "errors in units of the predicted deviation", "1", _as_score(each["deviation"])
    if "dispersion" in each:
        yield "mean deviance", "", _as_score(each["deviance"])
        yield "dispersion, squared errors over rates", "1", _as_score(each["dispersion"])


def _as_score(value: float | None) -> str:
    """Return a score with three decimals, or a dash for None."""
    if value is None:
        return "-"
    return f"{value:.3f}" if abs(value) < 1e4 else figure(value)


def _count(count: int, what: str) -> str:
    """Return a count with its noun in singular or plural."""
    return f"{count} {what}" if count == 1 else f"{count} {what}s"


# --- the whole report ---


def _lines(report: Numbers) -> list[str]:
    """Return the lines above the tables."""
    lines = [headline(report), baseline(report)]
    return [line for line in lines if line]


def text(report: Numbers) -> str:
    """Return the whole report as text of 80 columns, with long names shortened."""
    above = "\n".join(textwrap.fill(line, COLUMNS) for line in _lines(report))
    return "\n\n".join([above, *map(table_as_text, tables(report))])


def as_html(report: Numbers) -> str:
    """Return the whole report as a piece of HTML, without pictures, scripts or styles of its own."""
    parts = [f"<p>{escape(line)}</p>" for line in _lines(report)]
    parts += [f"<h4>{escape(table.title)}</h4>{table_as_html(table)}" for table in tables(report)]
    return f"<div>{''.join(parts)}</div>"
