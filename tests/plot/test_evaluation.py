"""Pictures of fits and predictions: what is drawn, compared with scikit-learn, into whose axes, and what is refused."""

import sys

import numpy as np
import pytest

import cgru
from cgru import plot, reference

pytest.importorskip("matplotlib", reason="pip install matplotlib")
pytest.importorskip("sklearn", reason="pip install scikit-learn")

from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from sklearn import metrics

RNG = np.random.default_rng(0)
LENGTHS = np.array([3, 1, 2])
REAL = reference.mask(LENGTHS, 3)[:, :, 0]


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
    with pytest.raises(ValueError, match=r"^history: expected one epoch at least, got none: a model from a file has"):
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
    with pytest.raises(TypeError, match=r"^history: expected a network or the epochs of a fit, got list$"):
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


@pytest.mark.parametrize("k", [1, 20, 21, 40])
def test_many_classes(k):
    figure = plot.confusion(np.arange(k), np.arange(k), axes=None)
    assert len(panels(figure)[0].texts) == (k * k if k <= 20 else 0)
    width, height = figure.get_size_inches()
    assert 2 < height < width < 12


def test_classes_at_steps_and_into_axes_of_the_callers():
    y, axes = np.where(REAL, 1, 5), Figure().subplots()
    assert plot.confusion(y, np.where(REAL, 1, -1), LENGTHS, axes=axes) is axes.figure
    np.testing.assert_array_equal(axes.images[0].get_array(), [[6]])
    assert panels(plot.confusion(y, y))[0].images[0].get_array().sum() == 9


def refused(picture, argument, *arguments, **options):
    with pytest.raises((TypeError, ValueError), match=f"^{argument}: expected"):
        picture(*arguments, **options)


@pytest.mark.parametrize(
    ("argument", "arguments", "options"),
    [
        ("predicted", ([0, 1], [0]), {}),
        ("predicted", ([], []), {}),
        ("y, predicted", ([0, 1], [0, -1]), {}),
        ("y, predicted", ([0.5, 1], [0, 1]), {}),
        ("class_names", ([0, 2], [0, 1]), {"class_names": "ab"}),
        ("class_names", (["c"], ["a"]), {"class_names": "ab"}),
        ("lengths", ([0, 1], [0, 1]), {"lengths": [1, 1]}),
        ("lengths", (np.ones((2, 2), int),) * 2, {"lengths": [1, 4]}),
    ],
)
def test_classes_that_are_refused(argument, arguments, options):
    refused(plot.confusion, argument.replace("lengths", "lengths.*"), *arguments, **options)


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


def test_probabilities_at_steps():
    A = np.where(REAL[:, :, None], 0.25, 0.9) * np.ones(4)
    (panel,) = plot.calibration(np.where(REAL, 3, 0), A, LENGTHS).axes
    assert panel.lines[1].get_xydata().tolist() == [[0.25, 0]]
    y = np.where(REAL, np.arange(3) % 2, 1)
    assert plot.roc(y, RNG.random((3, 3, 2)), LENGTHS).axes[0].lines


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


def test_some_rows_of_many_and_those_that_are_no_padding():
    y = RNG.standard_normal(2001)
    (panel,) = plot.predicted(y, y).axes
    assert len(panel.collections[0].get_offsets()) == 1000
    assert panel.get_title() == ""
    y = np.where(REAL, 1.0, 9)
    (panel,) = plot.predicted(y, y[:, :, None], LENGTHS, loss="mse").axes
    assert panel.collections[0].get_offsets().tolist() == [[1, 1]] * 6


@pytest.mark.parametrize(
    ("argument", "y", "A", "options"),
    [
        ("A", np.arange(4.0), np.arange(4.0), {"loss": "gaussian"}),
        ("A", np.arange(4.0), np.zeros((0, 1)), {}),
        ("A", np.arange(4.0), np.zeros((4, 1, 1, 1)), {}),
        ("y", np.arange(3.0), np.arange(4.0), {}),
        ("y", np.arange(4.0), np.zeros((4, 2)), {}),
        ("y, A", np.full(4, np.nan), np.arange(4.0), {}),
        ("y, A", np.arange(4.0), np.full(4, np.inf), {}),
        ("loss", np.arange(4.0), np.arange(4.0), {"loss": "nothing"}),
        ("lengths", np.arange(4.0), np.arange(4.0), {"lengths": [1, 1, 1, 1]}),
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


# --- importance ---


def test_importance():
    def parts(*means):
        return [
            {"name": f"n{i}", "importances_mean": mean, "importances_std": 0.1 * i, "importances": [mean]}
            for i, mean in enumerate(means)
        ]

    found = {"score": "R2", "features": parts(0.2, 0.5, -0.1), "steps": parts(0.3, 0.4)}
    features, steps = plot.importance({"importance": found}).axes
    assert (features.get_title(), steps.get_title(), steps.get_xlabel()) == ("features", "steps", "R2 lost")
    assert [bar.get_width() for bar in features.patches] == [0.5, 0.2, -0.1]
    assert [label.get_text() for label in features.get_yticklabels()] == ["n1", "n0", "n2"]
    assert [bar.get_width() for bar in steps.patches] == [0.3, 0.4]
    low, high = features.collections[0].get_segments()[0][:, 0]
    assert (low, high) == pytest.approx((0.4, 0.6))
    assert features.get_ylim()[0] > features.get_ylim()[1]  # the first on top
    many = plot.importance({"importance": found | {"features": parts(*range(30))}}).axes[0]
    assert [bar.get_width() for bar in many.patches] == list(range(29, 9, -1))
    own = Figure().subplots()
    assert plot.importance({"importance": found | {"features": []}}, axes=own) is own.figure
    with pytest.raises(
        ValueError, match=r"^report: expected one with importance, as cgru.report\(..., importance=True\)"
    ):
        plot.importance({})
