"""Reports in words: what stands where, in 80 columns whatever the classes are called."""

import re
import unicodedata

import numpy as np
import pytest

from cgru import losses
from cgru.reports import numbers, tables

pytest.importorskip("sklearn", reason="no scikit-learn")

RNG = np.random.default_rng(0)
NONE = {"samples": 8, "compared": 8, "trained": 0, "validated": 0, "whole": True, "shrunk": False}
COMMON = {
    "samples": 8,
    "count": 8,
    "per_step": False,
    "loss": 0.25,
    "loss_name": "cross_entropy",
    "seen": NONE,
    "outside": [],
}


def classification(names, n=8, **common):
    k = len(names)
    y = RNG.integers(0, k, n)
    A = RNG.random((n, k)) + 1.5 * np.eye(k)[y]
    return (
        numbers.classification(y, A / A.sum(axis=1, keepdims=True), losses.named("cross_entropy"), names)
        | COMMON
        | {"samples": n, "count": n}
        | common
    )


def width(line):
    return sum(1 + (unicodedata.east_asian_width(letter) in "WF") for letter in line)


def test_two_classes():
    A = np.array([[0.1], [0.1], [0.1], [0.9], [0.9], [0.9], [0.9], [0.9]])
    report = (
        numbers.classification(
            np.array([0, 0, 1, 1, 1, 1, 1, 0]), A, losses.named("binary_cross_entropy"), ["no", "yes"]
        )
        | COMMON
    )
    assert tables.text(report) == (
        """\
8 samples, log loss 0.25, accuracy 75.00% (95% interval 40.9% to 92.9%)
always yes, the most frequent class: accuracy 62.50%
none of 8 samples was among the training data

Classes
                  precision  recall     F1  samples  predicted
no                    0.667   0.667  0.667        3          3
yes                   0.800   0.800  0.800        5          5
macro average         0.733   0.733  0.733
weighted average      0.750   0.750  0.750

Confusion matrix: true classes by rows
predicted:  0  1
0 no        2  1
1 yes       1  4

Calibration: expected calibration error 0.150
            confidence   true  samples
0.1 to 0.2       0.100  0.333        3
0.9 to 1.0       0.900  0.800        5
By the probability of yes, its mean, and how often it came true."""
    )


def test_a_class_that_is_not_there():
    report = (
        numbers.classification(
            np.array([0, 0, 1]), np.eye(3)[[0, 0, 2]], losses.named("cross_entropy"), ["a", "b", "c"]
        )
        | COMMON
    )
    lines = tables.text(report).splitlines()
    assert lines[6:9] == [
        "a                     1.000   1.000  1.000        2          2",
        "b                         -   0.000  0.000        1          0",
        "c                     0.000       -  0.000        0          1",
    ]
    note = "- is not defined: there are none of that class, or none is predicted. Averages are over the 2 classes that"
    assert " ".join(lines[11:13]).startswith(note)
    assert "0 a         2  .  ." in lines
    assert "By the probability of the class that is predicted" in tables.text(report)
    one = numbers.classification(np.array([0]), np.eye(3)[:1], losses.named("cross_entropy"), ["a", "b", "c"]) | COMMON
    assert "over the 1 class that" in tables.text(one).replace("\n", " ")


@pytest.mark.parametrize("k", [2, 9, 40])
def test_80_columns(k):
    names = [f"class {i} {'of a very long name' * (i % 3)}" for i in range(k)]
    names[0] = "日本語の音声クラス" * 9
    names[1] = "a\nb\t\x1b[31m"
    shown = tables.text(classification(names, 3000))
    assert max(map(width, shown.splitlines())) <= 80
    assert "a?b??[31m" in shown
    assert shown.isascii() or "日" in shown
    assert ("Confusion matrix" in shown) == (k < 40)
    assert ("Most frequent mistakes" in shown) == (k == 40)
    assert ("..." in shown) == (k != 2) or "日本" in shown


def test_the_matrix_gives_way_at_80_columns():
    def widest(k, n):
        report = classification([f"{i}" for i in range(k)], n)
        return "Confusion matrix" in tables.text(report), max(
            len(line) for line in tables.table_as_text(tables.confusion_matrix(report)).splitlines()
        )

    for k in range(14, 30):
        fits, columns = widest(k, 200)
        assert fits == (columns <= 80)


def test_the_most_frequent_mistakes():
    counts = np.zeros((30, 30), int)
    counts[range(25), range(1, 26)] = range(1, 26)
    counts[24, 24] = 75
    report = {"classes": [{"name": f"c{i}"} for i in range(30)], "confusion": counts.tolist()}
    table = tables.frequent_mistakes(report)
    assert table.header == ("true", "predicted", "count", "of these")
    assert table.rows[0] == ("c24", "c25", "25", "25.0%")
    assert table.rows[1] == ("c23", "c24", "24", "100.0%")
    assert (len(table.rows), table.names) == (20, 2)
    assert table.note == "15 more mistakes of 5 other kinds."
    report["confusion"] = np.diag(range(30)).tolist()
    assert (tables.frequent_mistakes(report).rows, tables.frequent_mistakes(report).note) == ([], "")
    counts[:] = 0
    counts[range(21), range(1, 22)] = 1
    report["confusion"] = counts.tolist()
    assert tables.frequent_mistakes(report).note == "1 more mistake of 1 other kind."


def test_steps_and_labels():
    report = classification(["a", "b", "c"], per_step=True, samples=1, count=8)
    assert tables.headline(report).startswith("8 steps of 1 sample, log loss 0.25, accuracy ")
    assert "F1  steps  predicted" in tables.text(report)
    Y = np.array([[1, 0], [1, 1]])
    report = (
        numbers.classification(Y, np.array([[0.9, 0.2], [0.3, 0.8]]), losses.named("binary_cross_entropy"), ["a", "b"])
        | COMMON
    )
    shown = tables.text(report | {"loss_name": "binary_cross_entropy"})
    assert shown.startswith(
        "8 samples, log loss 0.25, accuracy 75.00%\nnone of 8 samples was among the training data\n\nOutputs\n"
    )
    assert "Confusion" not in shown
    assert "By the probability of yes, its mean" in shown


def test_what_was_trained_on():
    for found, due in (
        (NONE, "none of 8 samples was among the training data"),
        (None, "whether the model was trained on these is not known"),
        (NONE | {"trained": 8}, "no held-out data: the model was trained on these 8 samples"),
    ):
        assert tables.text(classification(["a", "b"], seen=found)).splitlines()[2] == due


# --- numbers ---


def regression(Y, A, loss):
    names = [f"y[{i}]" for i in range(Y.shape[1])]
    return numbers.regression(Y, A, losses.named(loss), names) | COMMON | {"loss_name": loss}


def test_a_regression():
    y = np.arange(1, 11)[:, None] * [1, -1e7]
    shown = tables.text(regression(y, y + np.array([1, -2e6]), "mean_squared_error"))
    assert (
        shown
        == """\
8 samples, mean squared error 0.25, RMSE 1414214, MAE 1000000
none of 8 samples was among the training data

Errors
         RMSE      MAE      bias     R2
y[0]        1        1         1  0.879
y[1]  2000000  2000000  -2000000  0.995
Bias: the mean of what is predicted less what is true. R2: 1 is perfect, 0 no
better than the mean.

Errors are at most so large
of        50%      75%      90%      95%      all
y[0]        1        1        1        1        1
y[1]  2000000  2000000  2000000  2000000  2000000

Errors by fifths of the target
      true                     count     RMSE      MAE      bias
y[0]  1 to 2                       2        1        1         1
      3 to 4                       2        1        1         1
      5 to 6                       2        1        1         1
      7 to 8                       2        1        1         1
      9 to 10                      2        1        1         1
y[1]  -100000000 to -90000000      2  2000000  2000000  -2000000
      -80000000 to -70000000       2  2000000  2000000  -2000000
      -60000000 to -50000000       2  2000000  2000000  -2000000
      -40000000 to -30000000       2  2000000  2000000  -2000000
      -20000000 to -10000000       2  2000000  2000000  -2000000"""
    )


def test_targets_far_from_zero_keep_the_digits_that_tell_them_apart():
    y = 1e9 + np.arange(10.0)[:, None]
    shown = tables.text(regression(y, y + 0.5, "mean_squared_error"))
    assert re.findall(r"(10000000\d+) to (10000000\d+)", shown)[0] == ("1000000000", "1000000001")
    assert "e+09" not in shown


def test_a_target_that_never_changes():
    shown = tables.text(regression(np.ones((4, 1)), np.zeros((4, 1)), "huber"))
    assert "y[0]     1    1    -1   -" in shown.splitlines()
    assert "- is not defined: the target never changes." in shown.replace("\n", " ")
    assert "y[0]  1         4     1    1    -1" in shown.splitlines()


def test_promises():
    y = np.arange(10.0)[:, None]
    shown = tables.text(regression(y, np.tile([1.0, 5, 8], (10, 1)), "quantile(0.1, 0.5, 0.9)"))
    assert (
        "Quantiles: the share of targets that are at most so large\n"
        "      10.0%  50.0%  90.0%\n"
        "y[0]  20.0%  60.0%  90.0%\n"
        "Above what it should be, below what it is.\n\n"
        "Between the outermost quantiles\n"
        "      80.0%\n"
        "y[0]  80.0%" in shown
    )
    assert "than the mean. Predicted is the quantile 0.5.\n" in shown
    outer = tables.text(regression(y, np.tile([1.0, 8], (10, 1)), "quantile(0.1, 0.75)"))
    assert "y[0]  4.528  3.7   3.5  -1.485" in outer.splitlines()  # of the outputs that say 8
    assert "Predicted is the quantile 0.75." in outer
    shown = tables.text(regression(y, np.tile([4.5, 0.0], (10, 1)), "gaussian"))
    assert "quantile" not in shown
    assert "Intervals: the share of targets within them\n      50.0%  80.0%  90.0%  95.0%\n" in shown
    assert "Errors in units of the predicted deviation\n      root mean square\ny[0]             2.872\n" in shown
    shown = tables.text(regression(y, np.full((10, 1), np.log(4.5)), "poisson"))
    assert "Rates\n      mean deviance  dispersion\n" in shown
    assert "  1.833\nDispersion: squared errors over rates" in shown
    far = tables.text(regression(y * 1e6, np.zeros((10, 2)), "gaussian"))
    assert "y[0]           5338539" in far.splitlines()
    assert max(map(len, far.splitlines())) <= 80


# --- HTML ---


def as_text(html):
    """The cells of HTML without scripts, each on its line."""
    assert "<script" not in html
    assert html.startswith("<div><p>")
    return [line for line in re.sub("<[^>]*>", "\n", html).splitlines() if line]


@pytest.mark.parametrize("k", [2, 40])
def test_html_has_what_the_text_has(k):
    report = classification([f"speaker{i}" for i in range(k)], 400)
    found = as_text(tables.as_html(report))
    assert found[:2] == tables.text(report).splitlines()[:2]
    for title in ("Classes", "Confusion matrix: true classes by rows", "Most frequent mistakes"):
        assert (title in found) == (title in tables.text(report).splitlines())
    words = " ".join(found).split()
    assert sorted(words) == sorted(tables.text(report).split())


def test_html_of_a_regression_has_its_tables_and_notes():
    y = RNG.standard_normal((30, 2))
    outside = [{"name": "<wind>", "low": 0.0, "high": 1.0, "above": 1.0, "below": 0.0}]
    report = numbers.regression(y, y + 1, losses.named("mean_squared_error"), ["a&b", "<c>"]) | COMMON
    html = tables.as_html(report | {"loss_name": "mean_squared_error", "outside": outside})
    assert "&lt;c&gt;" in html
    assert "a&amp;b" in html
    assert "&lt;wind&gt;" in html
    assert html.count("<h4>") == html.count("<table>") == 3
