"""The numbers of a report in words: tables, which a page shows as they are, and laid out as text of 80 columns."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from cgru.core.formatting import figure, figures, shorten, width_of
from cgru.reports.comparison import outside_in_words, seen_in_words

__all__ = ["Table", "confusions", "headline", "least", "matrix", "scores", "text"]

COLUMNS, SHORTEST = 80, 12  # of a line, and of a name in it
MOST = 20  # confusions that are listed
Numbers = Mapping[str, Any]


class Table(NamedTuple):
    """Rows of words under a `header`, all after the first `names` columns figures; a `note` says what they mean."""

    title: str
    header: Sequence[str]
    rows: Sequence[Sequence[str]]
    note: str = ""
    names: int = 1


def headline(report: Numbers) -> str:
    """The scores in one line, beside how many samples they are of."""
    parts = [_counted(report["samples"], "sample")]
    if report["per_step"]:
        parts = [f"{_counted(report['count'], 'step')} of {parts[0]}"]
    regression = report["task"] == "regression"
    name = report["loss_name"].replace("_", " ") if regression else "log loss"
    parts.append(f"{name} {figure(report['loss'])}")
    if regression:
        parts += [f"RMSE {figure(report['rmse'])}", f"MAE {figure(report['mae'])}"]
    else:
        parts.append(f"accuracy {report['accuracy']:.2%}")
    return ", ".join(parts)


def least(report: Numbers) -> str:
    """What is reached without looking at the samples; "" but for classes."""
    if report["task"] != "classes":
        return ""
    name, share = report["most_frequent"].values()
    return f"always {shorten(name, 30)}, the most frequent class: accuracy {share:.2%}"


def scores(report: Numbers) -> Iterator[Table]:
    """All tables but for what was taken for what."""
    if report["task"] == "regression":
        return _of_numbers(report["outputs"])
    return _of_classes(report)


# --- classes ---


def _of_classes(report: Numbers) -> Iterator[Table]:
    def row(name: str, each: Numbers, support: Any = "", predicted: Any = "") -> tuple[str, ...]:
        return name, *(_score(each[kind]) for kind in ("precision", "recall", "f1")), f"{support}", f"{predicted}"

    unit = "steps" if report["per_step"] else "samples"
    rows = [row(each["name"], each, each["support"], each["predicted"]) for each in report["classes"]]
    rows += [row(f"{how} average", each) for how, each in report["averages"].items()]
    there = sum(each["support"] > 0 for each in report["classes"])
    note = "- is not defined: there are none of that class, or none is predicted."
    if there < len(report["classes"]):
        note += f" Averages are over the {_counted(there, 'class')} that the data have."
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


def matrix(report: Numbers) -> Table:
    """How many of each class, by rows, were taken for each, by columns."""
    names = [each["name"] for each in report["classes"]]
    rows = [
        (name if name == f"{i}" else f"{i} {name}", *(f"{count}" if count else "." for count in counts))
        for i, (name, counts) in enumerate(zip(names, report["confusion"], strict=True))
    ]
    return Table("Confusion matrix: true classes by rows", ("predicted:", *map(str, range(len(names)))), rows)


def confusions(report: Numbers) -> Table:
    """The most frequent mistakes."""
    names = [each["name"] for each in report["classes"]]
    totals = list(map(sum, report["confusion"]))
    cells = ((count, i, j) for i, counts in enumerate(report["confusion"]) for j, count in enumerate(counts))
    wrong = sorted((cell for cell in cells if cell[0] and cell[1] != cell[2]), key=lambda cell: -cell[0])
    rows = [(names[i], names[j], f"{count}", f"{count / totals[i]:.1%}") for count, i, j in wrong[:MOST]]
    left = sum(count for count, _, _ in wrong[MOST:])
    note = f"{_counted(left, 'more mistake')} of {_counted(len(wrong[MOST:]), 'other kind')}." if left else ""
    return Table("Most frequent mistakes", ("true", "predicted", "count", "of these"), rows, note, names=2)


# --- numbers ---


def _of_numbers(outputs: Sequence[Numbers]) -> Iterator[Table]:
    sizes = ("rmse", "mae", "bias")
    rows = [(each["name"], *(figure(each[size]) for size in sizes), _score(each["r2"])) for each in outputs]
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
    yield from _of_certainty(outputs)


def _of_certainty(outputs: Sequence[Numbers]) -> Iterator[Table]:
    """What came of what a loss promises."""
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
        rows = [(each["name"], _score(each["deviation"])) for each in outputs]
        note = "1 is right; above 1 the model is too sure."
        yield Table("Errors in units of the predicted deviation", ("", "root mean square"), rows, note)
    if "dispersion" in first:
        rows = [(each["name"], *map(_score, (each["deviance"], each["dispersion"]))) for each in outputs]
        note = "Dispersion: squared errors over rates; above 1 counts vary more than Poisson's."
        yield Table("Rates", ("", "mean deviance", "dispersion"), rows, note)


def _score(value: float | None) -> str:
    """To three digits behind the point, or a dash where there is none."""
    if value is None:
        return "-"
    return f"{value:.3f}" if abs(value) < 1e4 else figure(value)


def _counted(count: int, what: str) -> str:
    return f"{count} {what}" if count == 1 else f"{count} {what}{'es' if what.endswith('s') else 's'}"


# --- as text ---


def text(report: Numbers) -> str:
    """All of it, in 80 columns where names may be shortened: the matrix where it fits, else the mistakes alone."""
    first, *others = map(laid_out, scores(report))
    if report["task"] == "classes":
        counts = laid_out(matrix(report))
        fits = max(map(width_of, counts.splitlines())) <= COLUMNS
        others.insert(0, counts if fits else laid_out(confusions(report)))
    notes = [seen_in_words(report["seen"]), *outside_in_words(report["outside"])]
    above = [headline(report), least(report), *(textwrap.fill(note, COLUMNS) for note in notes)]
    return "\n\n".join(["\n".join(filter(None, above)), first, *others])


def laid_out(table: Table) -> str:
    """A table as lines, its names on the left and its figures on the right of their columns."""
    lines = [list(table.header), *map(list, table.rows)]
    widths = [max(width_of(line[i]) for line in lines) for i in range(len(table.header))]
    most, names = max(widths), table.names
    room = COLUMNS - sum(widths[names:]) - 2 * (len(widths) - 1)
    while most > SHORTEST and sum(min(width, most) for width in widths[:names]) > room:
        most -= 1
    for line in lines:
        line[:names] = [shorten(name, most) for name in line[:names]]
    widths[:names] = [min(width, most) for width in widths[:names]]
    shown = [table.title]
    for line in lines:
        rooms = [" " * (width - width_of(cell)) for cell, width in zip(line, widths, strict=True)]
        cells = [cell + room for cell, room in zip(line[:names], rooms[:names], strict=True)]
        cells += [room + cell for cell, room in zip(line[names:], rooms[names:], strict=True)]
        shown.append("  ".join(cells).rstrip())
    return "\n".join([*shown, *textwrap.wrap(table.note, COLUMNS)])
