"""The text of reports: 80 columns whatever the names are, and the numbers of the scores."""

import re

import numpy as np
import pytest

from cgru import losses
from cgru.network.presentation import figure, width_of
from cgru.reports import scores
from cgru.reports.report_text import as_html, baseline, headline, tables, text

pytest.importorskip("sklearn", reason="no scikit-learn")

RNG = np.random.default_rng(0)
COMMON = {"samples": 40, "count": 40, "per_step": False, "loss": 0.5, "loss_name": "cross_entropy", "seen": None}
COMMON["outside"] = []


def of_classes(k, names=None, n=40, **changes):
    A = RNG.dirichlet(np.ones(k), n)
    names = names or [str(i) for i in range(k)]
    y = RNG.integers(0, k, n)
    return scores.classification(y, A, losses.named("cross_entropy"), names) | COMMON | changes


def of_numbers(loss, k, names=("y",), **changes):
    Y = RNG.random((40, len(names))) + 1
    return scores.regression(Y, RNG.random((40, k)), losses.named(loss), names) | COMMON | {"loss_name": loss} | changes


def rows_of(report, title):
    """The cells of the table that begins with this title."""
    return next(table for table in tables(report) if table.title.startswith(title)).rows


@pytest.mark.parametrize(
    "report",
    [
        of_classes(3),
        of_classes(30, [f"class number {i} " + "x" * 40 for i in range(30)], 400),
        of_classes(2, ["\u65e5\u672c\u8a9e" * 30, "tab\tand\nline"]),
        of_classes(5, n=3, per_step=True, count=9),
        of_numbers("mean_squared_error", 1),
        of_numbers("gaussian", 8, ["a" * 60, "b", "c", "d"]),
        of_numbers("quantile(0.1, 0.5, 0.9)", 3),
        of_numbers("poisson", 1),
    ],
)
def test_a_text_has_80_columns(report):
    lines = text(report).splitlines()
    assert max(map(width_of, lines)) <= 80
    assert all(line.isprintable() for line in lines)
    assert "nan" not in text(report)
    html = as_html(report)
    assert html.count("<table>") == len(list(tables(report)))


def test_classes():
    report = of_classes(3, ["a", "b", "c<"])
    for row, each in zip(rows_of(report, "Classes"), report["classes"], strict=False):
        due = [f"{each[kind]:.3f}" for kind in ("precision", "recall", "f1", "roc_auc")]
        assert row == (each["name"], *due, f"{each['support']}", f"{each['predicted']}")
    counts = np.array(report["confusion"])
    found = {(row[0], row[1]): int(row[2]) for row in rows_of(report, "Most frequent mistakes")}
    names = ["a", "b", "c<"]
    assert found == {(names[i], names[j]): counts[i, j] for i in range(3) for j in range(3) if i != j and counts[i, j]}
    sizes = [int(row[2]) for row in rows_of(report, "Most frequent mistakes")]
    assert sizes == sorted(sizes, reverse=True)
    (bins,) = [table for table in tables(report) if table.title.startswith("Calibration")]
    assert sum(int(row[3]) for row in bins.rows) == 40
    assert bins.title.endswith(f" {report['calibration']['error']:.3f}")
    assert "c&lt;" in as_html(report)


def test_many_mistakes_are_counted():
    report = of_classes(12, n=2000)
    kinds = np.count_nonzero(report["confusion"]) - np.count_nonzero(np.diag(report["confusion"]))
    assert len(rows_of(report, "Most frequent mistakes")) == 20
    assert f"of {kinds - 20} other kinds." in text(report).replace("\n", " ")


def test_numbers():
    report = of_numbers("gaussian", 2)
    (each,) = report["outputs"]
    due = [figure(each[kind]) for kind in ("rmse", "mae", "median", "max", "bias")]
    assert rows_of(report, "Errors") == [("y", *due, f"{each['r2']:.3f}")]
    assert [row[2] for row in rows_of(report, "Errors by fifths")] == ["8"] * 5
    found = [row[2:] for row in rows_of(report, "Uncertainty")]
    parts = [(f"{part['promised']:.1%}", f"{part['found']:.1%}") for part in each["intervals"]]
    assert found == [*parts, ("1", f"{each['deviation']:.3f}")]
    assert not [table for table in tables(of_numbers("huber", 1)) if table.title == "Uncertainty"]
    quantiles = of_numbers("quantile(0.1, 0.45, 0.9)", 3)
    assert "Predicted is the quantile 0.45." in text(quantiles).replace("\n", " ")
    assert len(rows_of(quantiles, "Uncertainty")) == 4
    assert len(rows_of(of_numbers("poisson", 1), "Uncertainty")) == 2


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({}, r"40 samples, log loss 0\.5, accuracy [\d.]+% \(95% interval [\d.]+% to [\d.]+%\)"),
        ({"samples": 1, "count": 9, "per_step": True}, r"9 steps of 1 sample, log loss 0\.5, accuracy [\d.]+%"),
    ],
)
def test_headlines(changes, words):
    report = of_classes(3, **changes)
    assert re.fullmatch(words, headline(report))
    assert re.fullmatch(r"always \d, the most frequent class: accuracy [\d.]+%", baseline(report))
    numbers = of_numbers("mean_squared_error", 1)
    due = f"40 samples, mean squared error 0.5, RMSE {figure(numbers['rmse'])}, MAE {figure(numbers['mae'])}"
    assert (headline(numbers), baseline(numbers)) == (due, "")
