"""Pictures of fits and predictions: what is drawn, compared with scikit-learn, into whose axes, and what is refused."""

import sys

import numpy as np
import pytest

import cgru
from cgru import plot

pytest.importorskip("matplotlib", reason="pip install matplotlib")
pytest.importorskip("sklearn", reason="pip install scikit-learn")

from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from sklearn import metrics

RNG = np.random.default_rng(0)


def panels(figure):
    return [panel for panel in figure.axes if panel.get_label() != "<colorbar>"]


def grey(color):
    return float(np.dot(to_rgb(color), (0.299, 0.587, 0.114)))


# --- the learning curve ---


def epochs(n, accuracy=0.5, validation=None):
    return [cgru.Epoch(i, 9, 2.0 / i, accuracy, validation, validation, 0.1, 1.0) for i in range(1, n + 1)]


def test_curve():
    figure = plot.curve(epochs(20, validation=0.7))
    left, right = figure.axes
    assert [line.get_label() for line in left.lines] == ["training loss", "validation loss"]
    assert [line.get_label() for line in right.lines] == ["training accuracy", "validation accuracy"]
    np.testing.assert_array_equal(left.lines[0].get_ydata(), [2 / i for i in range(1, 21)])
    np.testing.assert_array_equal(right.lines[1].get_ydata(), [0.7] * 20)
    assert list(left.lines[0].get_xdata()) == list(range(1, 21))
    assert [line.get_linestyle() for line in left.lines] == ["-", "--"]
    assert abs(grey(left.lines[0].get_color()) - grey(right.lines[0].get_color())) > 0.25
    assert (left.lines[0].get_marker(), right.lines[0].get_marker()) == ("", "s")
    assert right.lines[0].get_markevery() == 2
    assert plot.curve(epochs(3)).axes[1].lines[0].get_markevery() == 1
    assert (left.get_yscale(), left.get_xlabel(), left.get_ylabel()) == ("log", "epoch", "loss")
    assert (right.get_ylabel(), right.get_ylim()) == ("accuracy", (0, 1.01))
    assert right.yaxis.get_major_formatter()(0.5) == "50%"
    assert len(figure.legends[0].get_texts()) == 4
    assert all(tick == int(tick) for tick in left.get_xticks())
    assert figure.get_size_inches().tolist() == [7, 4.5]


def test_curve_of_a_network_and_into_axes_of_the_callers():
    X, y = RNG.standard_normal((6, 3, 2)), np.arange(6.0)
    net = cgru.Network([cgru.GRU(2), cgru.Dense(1, "identity")], seed=0)
    with pytest.raises(ValueError, match=r"^history: expected"):
        plot.curve(net)
    history = net.fit(X, y, epochs=1)
    net.fit(X, y, epochs=2)
    axes = Figure().subplots(1, 2)
    assert plot.curve(net, axes=axes[1]) is axes[0].figure
    assert [list(line.get_xdata()) for line in axes[1].lines] == [[1, 2, 3]]
    assert len(axes[0].lines) == 0
    assert not axes[0].figure.legends
    assert len(axes[1].get_legend().get_texts()) == 1
    assert plot.curve(history).axes[0].lines[0].get_marker() == "o"
    with pytest.raises(TypeError, match=r"^history: expected"):
        plot.curve([1, 2])


# --- classes ---


@pytest.mark.parametrize(
    ("y", "predicted", "class_names", "names"),
    [
        ([0, 0, 0, 1, 2], [0, 0, 1, 1, 1], ["a", "$b$", "_c"], ["a", "$b$", "_c"]),
        ([3, 3], [3, 7], None, ["3", "7"]),
        (["b", "a"], np.array(["a", "a"]), None, ["a", "b"]),
        (np.array(["b", "a"], object), ["a", "a"], ("z", "b", "a"), ["z", "b", "a"]),
        ([True, False], [True, True], None, ["False", "True"]),
        ([1, 0], [1, 1], ["no", "yes", "?"], ["no", "yes", "?"]),
        (["a very long name that is cut"], ["b"], None, ["a very long name that...", "b"]),
    ],
)
def test_confusion(y, predicted, class_names, names):
    figure = plot.confusion(y, predicted, class_names=class_names)
    (panel,) = panels(figure)
    known = None if class_names is None else class_names if isinstance(y[0], str) else range(len(names))
    due = metrics.confusion_matrix(y, predicted, labels=known)
    np.testing.assert_array_equal(panel.images[0].get_array(), due)
    assert [text.get_text() for text in panel.texts] == [str(count) for count in due.ravel()]
    for labels in (panel.get_xticklabels(), panel.get_yticklabels()):
        assert [label.get_text() for label in labels] == names
        assert not any(label.get_parse_math() for label in labels)
    figure.canvas.draw()


def refused(picture, argument, *arguments, **options):
    with pytest.raises((TypeError, ValueError), match=f"^{argument}: expected"):
        picture(*arguments, **options)


@pytest.mark.parametrize(
    ("argument", "arguments", "options"),
    [
        ("predicted", ([0, 1], [0]), {}),
        ("predicted", ([], []), {}),
        ("predicted", (np.ones((2, 2), int),) * 2, {}),
        ("class_names", ([0, 1], [0, -1]), {"class_names": "ab"}),
        ("class_names", ([0, 2], [0, 1]), {"class_names": "ab"}),
        ("class_names", (["c"], ["a"]), {"class_names": "ab"}),
    ],
)
def test_classes_that_are_refused(argument, arguments, options):
    refused(plot.confusion, argument, *arguments, **options)


# --- probabilities ---

P = RNG.dirichlet(np.ones(4), 200)
K = np.array([RNG.choice(4, p=p) for p in P])
LABELS = (RNG.random((200, 4)) < P).astype(int)


@pytest.mark.parametrize(
    ("y", "A", "right", "confidence"),
    [
        (K, P, P.argmax(axis=1) == K, P.max(axis=1)),
        (LABELS, P, LABELS.ravel(), P.ravel()),
        (K > 1, P[:, 2:].sum(axis=1), K > 1, P[:, 2:].sum(axis=1)),
        ((K > 1).astype(int), np.c_[P[:, :2].sum(axis=1), P[:, 2:].sum(axis=1)], K > 1, P[:, 2:].sum(axis=1)),
    ],
)
def test_calibration(y, A, right, confidence):
    from sklearn.calibration import calibration_curve

    figure = plot.calibration(y, A)
    true, mean = calibration_curve(right, confidence, n_bins=10)
    np.testing.assert_allclose(figure.axes[0].lines[1].get_xydata(), np.c_[mean, true])
    figure.canvas.draw()
    assert figure.axes[0].get_xlabel().startswith("mean confidence") == (A.shape == P.shape and y.ndim == 1)


@pytest.mark.parametrize(
    ("y", "A", "curves"),
    [
        (K, P, [(i == K, P[:, i], str(i)) for i in range(4)]),
        (LABELS, P, [(LABELS[:, i], P[:, i], str(i)) for i in range(4)]),
        (K // 2, P[:, 3], [(K // 2, P[:, 3], "1")]),
        (K // 2, np.c_[1 - P[:, 3], P[:, 3]], [(K // 2, P[:, 3], "1")]),
        (np.minimum(K, 1), P[:, :3], [(K == 0, P[:, 0], "0"), (K > 0, P[:, 1], "1")]),  # 2 does not occur
    ],
)
def test_roc(y, A, curves):
    figure = plot.roc(y, A)
    lines = [line for line in figure.axes[0].lines if line.get_label() != "Chance level (AUC = 0.5)"]
    for line, (true, probability, name) in zip(lines, curves, strict=True):
        low, high, _ = metrics.roc_curve(true, probability)
        np.testing.assert_allclose(line.get_xydata(), np.c_[low, high])
        assert line.get_label() == f"{name} (AUC = {metrics.roc_auc_score(true, probability):.2f})"
    assert plot.roc(y, A, class_names="abcd").axes[0].lines[0].get_label()[0] == "abcd"[int(curves[0][2])]


@pytest.mark.parametrize("picture", [plot.calibration, plot.roc])
def test_probabilities_that_are_refused(picture):
    A = np.full((3, 2), 0.5)
    for argument, arguments in (
        ("y", (["a"] * 3, A)),
        ("y", ([0, 1], A)),
        ("y", (0, np.float64(0.5))),
        ("A", ([0, 1, 0], A - 1)),
        ("A", ([0, 1, 0], A + 1)),
        ("A", ([0, 1, 0], A * np.nan)),
        ("y", ([0, 1, 2], A)),
        ("y", ([0, 1, -1], A)),
        ("y", ([0, 1, 2], A[:, :1])),
        ("A", ([0, 1, 2], [["a"]] * 3)),
        ("y", (np.zeros((3, 2), int), np.full((3, 2, 2), 0.5))),
    ):
        refused(picture, argument, *arguments)
    refused(plot.roc, "y", [1, 1], [0.5, 0.6])


# --- numbers ---


@pytest.mark.parametrize("kind", ["actual_vs_predicted", "residual_vs_predicted"])
def test_predicted(kind):
    Y = RNG.standard_normal((9, 4))
    A = np.stack([Y + 1, np.zeros_like(Y)], axis=2).reshape(9, 8)
    figure, axes = plot.predicted(Y, A, loss="gaussian", kind=kind), Figure().subplots(2, 2)
    for i, panel in enumerate(figure.axes):
        due = Y[:, i] if kind[0] == "a" else -1
        np.testing.assert_allclose(
            np.sort(panel.collections[0].get_offsets()), np.sort(np.c_[A[:, 2 * i], due + 0 * Y[:, i]])
        )
        assert panel.get_title() == f"y[{i}]"
    figure.canvas.draw()
    assert figure.axes[0].get_gridspec().get_geometry() == (2, 3)
    assert plot.predicted(Y, A, loss="gaussian", axes=axes) is axes[0, 0].figure
    refused(plot.predicted, "axes", Y, A, loss="gaussian", axes=axes[0])


def test_some_rows_of_many():
    y = RNG.standard_normal(2001)
    (panel,) = plot.predicted(y, y).axes
    assert len(panel.collections[0].get_offsets()) == 1000
    assert panel.get_title() == ""


@pytest.mark.parametrize(
    ("argument", "y", "A", "options"),
    [
        ("A", np.arange(4.0), np.arange(4.0), {"loss": "gaussian"}),
        ("A", np.arange(4.0), np.zeros((0, 1)), {}),
        ("A", np.zeros((4, 3)), np.zeros((4, 3, 1)), {}),
        ("A", np.arange(3.0), np.arange(4.0), {}),
        ("A", np.arange(4.0), np.zeros((4, 2)), {}),
        ("y, A", np.full(4, np.nan), np.arange(4.0), {}),
        ("y, A", np.arange(4.0), np.full(4, np.inf), {}),
        ("loss", np.arange(4.0), np.arange(4.0), {"loss": "nothing"}),
    ],
)
def test_numbers_that_are_refused(argument, y, A, options):
    refused(plot.predicted, argument, y, A, **options)


@pytest.mark.parametrize("module", ["matplotlib.figure", "sklearn"])
def test_without_a_package(monkeypatch, module):
    monkeypatch.setitem(sys.modules, module, None)
    for picture, arguments in (
        (plot.confusion, ([0], [0])),
        (plot.calibration, ([0], [[0.5]])),
        (plot.roc, ([0, 1], [0.5, 0.6])),
        (plot.predicted, ([0.0], [0.0])),
    ):
        with pytest.raises(ImportError, match=r"^cgru\.plot.*: (matplotlib|scikit-learn) is missing: pip install"):
            picture(*arguments)
