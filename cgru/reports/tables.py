"""Turn the numbers of a report into tables, which the HTML page shows, and into text of 80 columns."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from cgru.core.formatting import figure, figures, shorten, width_of
from cgru.core.tables import COLUMNS, Table, table_as_html, table_as_text
from cgru.reports.comparison import outside_in_words, seen_in_words

__all__ = ["as_html", "baseline", "confusion_matrix", "frequent_mistakes", "headline", "scores", "text"]

LISTED = 20  # mistakes that are listed
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


def scores(report: Numbers) -> Iterator[Table]:
    """Yield all tables without the confusion matrix and its mistakes."""
    if report["task"] == "regression":
        yield from _regression_tables(report["outputs"])
    else:
        yield from _class_tables(report)
    if "importance" in report:
        yield from _importance_tables(report["importance"])


# --- classes ---


def _class_tables(report: Numbers) -> Iterator[Table]:
    """Yield the tables of precision, recall and F1, and of the calibration."""

    def row(name: str, each: Numbers, support: Any = "", predicted: Any = "") -> tuple[str, ...]:
        """Return the row of a class, or of an average, as texts."""
        return name, *(_as_score(each[kind]) for kind in ("precision", "recall", "f1")), f"{support}", f"{predicted}"

    unit = "steps" if report["per_step"] else "samples"
    rows = [row(each["name"], each, each["support"], each["predicted"]) for each in report["classes"]]
    rows += [row(f"{how} average", each) for how, each in report["averages"].items()]
    there = sum(each["support"] > 0 for each in report["classes"])
    note = "- is not defined: there are none of that class, or none is predicted."
    if there < len(report["classes"]):
        note += f" Averages are over the {_count(there, 'class')} that the data have."
    undefined = any("-" in row for row in rows)
    title = "Outputs" if report["task"] == "labels" else "Classes"
    yield Table(title, ("", "precision", "recall", "F1", unit, "predicted"), rows, note if undefined else "")

    found = report["calibration"]
    what = f"the probability of {report['classes'][1]['name']}" if len(report["classes"]) == 2 else ""
    if report["task"] == "labels":
        what = "the probability of yes"
    happened = "how often it came true" if what else "how often it was right"
    rows = []
    for each in found["bins"]:
        bounds = f"{each['low']:.1f} to {each['high']:.1f}"
        rows.append((bounds, f"{each['confidence']:.3f}", f"{each['accuracy']:.3f}", f"{each['count']}"))
    note = f"By {what or 'the probability of the class that is predicted'}, its mean, and {happened}."
    title = f"Calibration: expected calibration error {found['error']:.3f}"
    yield Table(title, ("", "confidence", "true" if what else "accuracy", unit), rows, note)


def confusion_matrix(report: Numbers) -> Table:
    """Return the confusion matrix, true classes by rows, predicted ones by columns."""
    names = [each["name"] for each in report["classes"]]
    rows = [
        (name if name == f"{i}" else f"{i} {name}", *(f"{count}" if count else "." for count in counts))
        for i, (name, counts) in enumerate(zip(names, report["confusion"], strict=True))
    ]
    return Table("Confusion matrix: true classes by rows", ("predicted:", *map(str, range(len(names)))), rows)


def frequent_mistakes(report: Numbers) -> Table:
    """Return the table of the most frequent mistakes: true class, predicted class, count."""
    names = [each["name"] for each in report["classes"]]
    totals = list(map(sum, report["confusion"]))
    cells = ((count, i, j) for i, counts in enumerate(report["confusion"]) for j, count in enumerate(counts))
    wrong = sorted((cell for cell in cells if cell[0] and cell[1] != cell[2]), key=lambda cell: -cell[0])
    rows = [(names[i], names[j], f"{count}", f"{count / totals[i]:.1%}") for count, i, j in wrong[:LISTED]]
    left = sum(count for count, _, _ in wrong[LISTED:])
    note = f"{_count(left, 'more mistake')} of {_count(len(wrong[LISTED:]), 'other kind')}." if left else ""
    return Table("Most frequent mistakes", ("true", "predicted", "count", "of these"), rows, note, names=2)


# --- numbers ---


def _regression_tables(outputs: Sequence[Numbers]) -> Iterator[Table]:
    """Yield the tables of errors, their quantiles, and errors by fifths of the target."""
    sizes = ("rmse", "mae", "bias")
    rows = [(each["name"], *(figure(each[size]) for size in sizes), _as_score(each["r2"])) for each in outputs]
    note = "Bias: the mean of what is predicted less what is true. R2: 1 is perfect, 0 no better than the mean."
    if any(each["r2"] is None for each in outputs):
        note += " - is not defined: the target never changes."
    if "quantiles" in outputs[0]:
        judged = min((each["promised"] for each in outputs[0]["quantiles"]), key=lambda level: abs(level - 0.5))
        note += f" Predicted is the quantile {judged:g}."  # as Loss.point has it
    yield Table("Errors", ("", "RMSE", "MAE", "bias", "R2"), rows, note)

    shares = [f"{each['share']:.0%}" if each["share"] < 1 else "all" for each in outputs[0]["errors"]]
    rows = [(each["name"], *(figure(error["size"]) for error in each["errors"])) for each in outputs]
    yield Table("Errors are at most so large", ("of", *shares), rows)

    rows = []
    for each in outputs:
        ends = iter(figures([part[end] for part in each["by_target"] for end in ("low", "high")]))
        for i, (part, low, high) in enumerate(zip(each["by_target"], ends, ends, strict=True)):
            between = low if part["low"] == part["high"] else f"{low} to {high}"
            rows.append(("" if i else each["name"], between, f"{part['count']}", *(figure(part[s]) for s in sizes)))
    yield Table("Errors by fifths of the target", ("", "true", "count", "RMSE", "MAE", "bias"), rows, names=2)
    yield from _certainty_tables(outputs)


def _certainty_tables(outputs: Sequence[Numbers]) -> Iterator[Table]:
    """Yield tables that check predicted uncertainty: coverage of quantiles and intervals, deviation, dispersion."""
    first = outputs[0]
    for key, title in (
        ("quantiles", "Quantiles: the share of targets that are at most so large"),
        ("intervals", "Intervals: the share of targets within them"),
    ):
        if key in first:
            header = ("", *(f"{each['promised']:.1%}" for each in first[key]))
            rows = [(each["name"], *(f"{part['found']:.1%}" for part in each[key])) for each in outputs]
            yield Table(title, header, rows, "Above what it should be, below what it is.")
    if "between" in first:
        rows = [(each["name"], f"{each['between']['found']:.1%}") for each in outputs]
        yield Table("Between the outermost quantiles", ("", f"{first['between']['promised']:.1%}"), rows)
    if "deviation" in first:
        rows = [(each["name"], _as_score(each["deviation"])) for each in outputs]
        note = "1 is right; above 1 the model is too sure."
        yield Table("Errors in units of the predicted deviation", ("", "root mean square"), rows, note)
    if "dispersion" in first:
        rows = [(each["name"], *map(_as_score, (each["deviance"], each["dispersion"]))) for each in outputs]
        note = "Dispersion: squared errors over rates; above 1 counts vary more than Poisson's."
        yield Table("Rates", ("", "mean deviance", "dispersion"), rows, note)


def _importance_tables(found: Numbers) -> Iterator[Table]:
    """Yield the importance of features, the largest first, and of blocks of steps."""

    def rows(each: Sequence[Numbers]) -> list[tuple[str, ...]]:
        """Return names, means and deviations as texts."""
        return [(one["name"], *(_as_score(one[f"importances_{of}"]) for of in ("mean", "std"))) for one in each]

    lost = f"{found['score']} lost when shuffled"
    header = ("", "mean", "deviation")
    note = f"{_count(found['repeats'], 'shuffle')} of the samples, {found['predictions']} predictions of all."
    note += " Features, or steps, that say the same share what they are worth."
    ranked = sorted(found["features"], key=lambda one: -one["importances_mean"])
    if ranked:
        left = len(ranked[LISTED:])
        more = f" {_count(left, 'feature')} more." if left else ""
        yield Table(f"Importance of features: {lost}", header, rows(ranked[:LISTED]), note + more)
    yield Table(f"Importance of steps: {lost}", header, rows(found["steps"]), "" if ranked else note)


def _as_score(value: float | None) -> str:
    """Return a score with three decimals, or a dash for None."""
    if value is None:
        return "-"
    return f"{value:.3f}" if abs(value) < 1e4 else figure(value)


def _count(count: int, what: str) -> str:
    """Return a count with its noun in singular or plural."""
    return f"{count} {what}" if count == 1 else f"{count} {what}{'es' if what.endswith('s') else 's'}"


# --- the whole report ---


def text(report: Numbers) -> str:
    """Return the whole report as text of 80 columns, with long names shortened."""
    lines, tables = _lines_and_tables(report)
    above = "\n".join(textwrap.fill(line, COLUMNS) for line in lines)
    return "\n\n".join([above, *map(table_as_text, tables)])


def as_html(report: Numbers) -> str:
    """Return the whole report as a piece of HTML, without pictures, scripts or styles of its own."""
    from html import escape  # imported here, since it is slow and only notebooks need it

    lines, tables = _lines_and_tables(report)
    parts = [f"<p>{escape(line)}</p>" for line in lines]
    parts += [f"<h4>{escape(table.title)}</h4>{table_as_html(table)}" for table in tables]
    return f"<div>{''.join(parts)}</div>"


def _lines_and_tables(report: Numbers) -> tuple[list[str], list[Table]]:
    """Return the lines above the tables, and the tables.

    Of the confusion matrix and the most frequent mistakes, the matrix is taken if it fits 80 columns.
    """
    tables = list(scores(report))
    if report["task"] == "classes":
        counts = confusion_matrix(report)
        fits = max(map(width_of, table_as_text(counts).splitlines())) <= COLUMNS
        tables.insert(1, counts if fits else frequent_mistakes(report))
    lines = [headline(report), baseline(report), seen_in_words(report["seen"]), *outside_in_words(report["outside"])]
    return [line for line in lines if line], tables
