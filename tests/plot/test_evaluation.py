"""Pictures of fits and predictions: what is drawn is what was counted, into whose axes, and what is refused."""

import sys

import numpy as np
import pytest

import cgru
from cgru import plot, reference

pytest.importorskip("matplotlib", reason="pip install matplotlib")

from matplotlib.colors import to_rgb
from matplotlib.figure import Figure

RNG = np.random.default_rng(0)
LENGTHS = np.array([3, 1, 2])
REAL = reference.mask(LENGTHS, 3)[:, :, 0]


def panels(figure):
    return [panel for panel in figure.axes if panel.get_label() != "<colorbar>"]


def words(panel):
    return [text.get_text() for text in panel.texts]


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


def test_confusion():
    figure = plot.confusion([0, 0, 0, 1, 2], [0, 0, 1, 1, 1], class_names=["a", "$b$", "_c"])
    (panel,) = panels(figure)
    np.testing.assert_allclose(panel.images[0].get_array(), [[2 / 3, 1 / 3, 0], [0, 1, 0], [0, 1, 0]])
    assert words(panel) == ["2", "1", "1", "1"]
    assert [text.get_color() for text in panel.texts] == ["white", "black", "white", "white"]
    assert [text.get_position() for text in panel.texts] == [(0, 0), (1, 0), (1, 1), (1, 2)]
    for labels in (panel.get_xticklabels(), panel.get_yticklabels()):
        assert [label.get_text() for label in labels] == ["a", "$b$", "_c"]
        assert not any(label.get_parse_math() for label in labels)
    assert (panel.get_xlabel(), panel.get_ylabel()) == ("predicted", "true")
    assert panel.images[0].get_clim() == (0, 1)
    assert figure.axes[1].get_ylabel() == "share of the true class"
    shades = [grey(panel.images[0].cmap(x)) for x in np.linspace(0, 1, 9)]
    assert shades == sorted(shades, reverse=True)
    figure.canvas.draw()


def test_classes_of_a_confusion():
    def names(*arguments, **options):
        (panel,) = panels(plot.confusion(*arguments, **options))
        return [label.get_text() for label in panel.get_xticklabels()], np.round(
            panel.images[0].get_array(), 2
        ).tolist()

    assert names([3, 3], [3, 7]) == (["3", "7"], [[0.5, 0.5], [0, 0]])
    assert names(["b", "a"], np.array(["a", "a"])) == (["a", "b"], [[1, 0], [1, 0]])
    assert names(np.array(["b", "a"], object), ["a", "a"])[0] == ["a", "b"]
    assert names(["b", "a"], ["a", "a"], class_names=("z", "b", "a"))[0] == ["z", "b", "a"]
    assert names([True, False], [True, True])[0] == ["False", "True"]
    assert names([1, 0], [1, 1], class_names=["no", "yes", "?"])[1] == [[0, 1, 0], [0, 1, 0], [0, 0, 0]]
    y = np.where(REAL, 1, 5)
    assert names(y, np.where(REAL, 1, -1), LENGTHS) == (["1"], [[1]])
    assert names(np.where(REAL, "a", ""), np.where(REAL, "b", ""), LENGTHS)[0] == ["a", "b"]
    assert names(y, y)[0] == ["1", "5"]


@pytest.mark.parametrize("k", [1, 20, 21, 40])
def test_many_classes(k):
    y = np.arange(k)
    figure = plot.confusion(y, y, class_names=[f"{'long ' * 9}{i}" for i in y])
    (panel,) = panels(figure)
    assert len(panel.texts) == (k if k <= 20 else 0)
    assert max(len(label.get_text()) for label in panel.get_xticklabels()) == 24
    width, height = figure.get_size_inches()
    assert 3 < height < width < 13
    figure.canvas.draw()
    box = panel.get_window_extent()
    assert box.width > figure.dpi * min(0.2 * k, 2)


def test_confusion_into_axes_of_the_callers():
    axes = Figure().subplots(1, 2)
    assert plot.confusion([0, 1], [1, 1], axes=axes[0]) is axes[0].figure
    assert len(axes[0].images) == 1
    with pytest.raises(ValueError, match=r"^axes: expected 1 axes of matplotlib, one a panel, got 2$"):
        plot.confusion([0, 1], [1, 1], axes=axes)


def test_confusions_refused():
    for due, arguments, options in (
        (r"predicted: expected the shape of y, \(m,\) or \(m, s\), got \(2,\) beside \(3,\)", ([0, 1, 1], [0, 1]), {}),
        (r"predicted: expected the shape of y, .* got \(0,\) beside", ([], []), {}),
        (r"predicted: expected the shape of y, .* got \(\) beside", (1, 1), {}),
        ("y, predicted: expected classes, .* got int64 such as -1; predictions are -1 at", ([0, 1], [0, -1]), {}),
        ("y, predicted: expected classes, .* got float64", ([0.5, 1], [0, 1]), {}),
        ("class_names: expected a name for class 2 too, got 2 names", ([0, 2], [0, 1]), {"class_names": "ab"}),
        ("class_names: expected all names in y and predicted, got none for 'c'", (["c"], ["a"]), {"class_names": "ab"}),
        ("lengths: expected None where there are no outputs at steps", ([0, 1], [0, 1]), {"lengths": [1, 1]}),
        ("lengths: expected", (np.ones((2, 2), int),) * 2, {"lengths": [1, 3]}),
    ):
        with pytest.raises(ValueError, match=f"^{due}"):
            plot.confusion(*arguments, **options)


# --- calibration ---


def test_calibration():
    A = np.array([[0.95], [0.91], [0.15], [0.15]])
    figure = plot.calibration([1, 0, 0, 0], A)
    (panel,) = figure.axes
    assert [bar.get_height() for bar in panel.patches] == [0, 0.5]
    assert [bar.get_x() + bar.get_width() / 2 for bar in panel.patches] == pytest.approx([0.15, 0.95])
    assert [bar.get_width() for bar in panel.patches] == pytest.approx([0.092] * 2)
    assert words(panel) == ["2", "2"]
    assert [text.get_position()[0] for text in panel.texts] == pytest.approx([0.15, 0.95])
    diagonal, found = panel.lines
    assert (list(diagonal.get_xdata()), list(diagonal.get_ydata())) == ([0, 1], [0, 1])
    np.testing.assert_allclose(found.get_xydata(), [[0.15, 0], [0.93, 0.5]])
    assert panel.get_title() == "expected calibration error 0.290"
    assert (panel.get_xlabel(), panel.get_ylabel()) == ("predicted probability", "how often it came true")
    assert (panel.get_xlim(), panel.get_ylim()) == ((0, 1), (0, 1))
    figure.canvas.draw()


def test_calibration_of_several_classes_labels_and_steps():
    def drawn(y, A, lengths=None, **options):
        (panel,) = plot.calibration(y, A, lengths, **options).axes
        return sum(map(int, words(panel))), panel.get_xlabel()

    A = RNG.dirichlet(np.ones(4), 9)
    assert drawn(np.arange(9) % 4, A) == (9, "confidence in the predicted class")
    assert drawn(np.zeros((9, 4), int), A) == (36, "predicted probability")
    assert drawn(np.zeros(9, int), A[:, :2]) == (9, "predicted probability")
    assert drawn(np.zeros(9, bool), A[:, 0]) == (9, "predicted probability")
    steps = np.where(REAL[:, :, None], 0.25, 0)
    assert drawn(np.where(REAL, 3, 0), steps * np.ones(4), LENGTHS) == (6, "confidence in the predicted class")
    assert drawn(np.zeros((3, 3), int), steps * np.ones(4)) == (9, "confidence in the predicted class")
    axes = Figure().subplots()
    assert plot.calibration([0], [[0.5]], axes=axes) is axes.figure


def test_calibrations_refused():
    A = np.full((3, 2), 0.5)
    for due, error, arguments in (
        ("y: expected classes as integers, got dtype <U1", TypeError, (["a"] * 3, A)),
        (r"y: expected a class for each of the outputs, got \(2,\) beside \(3, 2\)", ValueError, ([0, 1], A)),
        (r"y: expected a class for each of the outputs, got", ValueError, (0, np.float64(0.5))),
        ("A: expected probabilities from 0 to 1", ValueError, ([0, 1, 0], A - 1)),
        ("A: expected probabilities from 0 to 1", ValueError, ([0, 1, 0], A + 1)),
        ("A: expected probabilities from 0 to 1", ValueError, ([0, 1, 0], A * np.nan)),
        ("y: expected classes from 0 to 1, got 0 to 2", ValueError, ([0, 1, 2], A)),
        ("y: expected classes from 0 to 1, got -1 to 1", ValueError, ([0, 1, -1], A)),
        ("y: expected classes from 0 to 1, got 0 to 2", ValueError, ([0, 1, 2], A[:, :1])),
        ("A: expected", TypeError, ([0, 1, 2], [["a"]] * 3)),
    ):
        with pytest.raises(error, match=f"^{due}"):
            plot.calibration(*arguments)


# --- numbers ---


def test_predicted():
    Y = RNG.standard_normal((9, 2)) * [1e-12, 1e12]
    A = np.stack([Y + 1e-13, np.zeros_like(Y)], axis=2).reshape(9, 4)
    figure = plot.predicted(Y, A, loss="gaussian")
    for i, panel in enumerate(figure.axes):
        points, diagonal = panel.lines
        np.testing.assert_array_equal(points.get_xdata(), Y[:, i])
        np.testing.assert_array_equal(points.get_ydata(), A[:, 2 * i])
        assert panel.get_title() == f"y[{i}]"
        ends = panel.get_xlim()
        assert panel.get_ylim() == ends == tuple(diagonal.get_xdata()) == tuple(diagonal.get_ydata())
        assert ends[0] < min(Y[:, i].min(), A[:, 2 * i].min())
        assert ends[1] > max(Y[:, i].max(), A[:, 2 * i].max())
        assert ends[1] - ends[0] == pytest.approx(1.08 * (np.ptp(np.r_[Y[:, i], A[:, 2 * i]])))
        assert panel.get_aspect() == 1
    assert (panel.get_xlabel(), panel.get_ylabel()) == ("true", "predicted")
    figure.canvas.draw()


def test_predicted_of_many_rows():
    y = RNG.standard_normal(2001)
    figure = plot.predicted(y, y)
    (panel,) = panels(figure)
    assert panel.collections[0].get_array().sum() == 2001
    assert len(panel.lines) == 1
    assert panel.get_title() == ""
    assert len(figure.axes) == 2
    assert 0.4 < grey(panel.collections[0].cmap(0.0)) < 0.95
    assert len(plot.predicted(y[:2000], y[:2000]).axes) == 1


@pytest.mark.parametrize(("value", "room"), [(3.0, 0.12), (-3.0, 0.12), (0.0, 1.0)])
def test_predicted_of_a_single_number(value, room):
    (panel,) = plot.predicted([value], [value]).axes
    assert panel.get_xlim() == pytest.approx((value - room, value + room))


def test_rows_of_panels():
    Y = RNG.standard_normal((9, 4))
    figure = plot.predicted(Y, Y)
    assert len(figure.axes) == 4
    assert figure.axes[0].get_gridspec().get_geometry() == (2, 3)
    assert figure.get_size_inches().tolist() == pytest.approx([12.6, 8])
    axes = Figure().subplots(2, 2)
    assert plot.predicted(Y, Y, axes=axes) is axes[0, 0].figure
    assert all(len(panel.lines) == 2 for panel in axes.flat)
    with pytest.raises(ValueError, match=r"^axes: expected 4 axes of matplotlib"):
        plot.residuals(Y, Y, axes=axes[0])


def test_residuals():
    y = np.arange(100.0)
    A = y + np.repeat([1, 2, 3, 4, 5], 20)
    figure = plot.residuals(y, A)
    (panel,) = figure.axes
    assert [text.get_text() for text in panel.get_xticklabels()] == [
        "0\nto 19", "20\nto 39", "40\nto 59", "60\nto 79", "80\nto 99",
    ]  # fmt: skip
    middles = [line.get_ydata()[0] for line in panel.lines if line.get_linewidth() == 2]
    assert middles == [1, 2, 3, 4, 5]
    assert any(list(line.get_ydata()) == [0, 0] and line.get_linestyle() == "--" for line in panel.lines)
    assert (panel.get_xlabel(), panel.get_ylabel()) == (
        "true, from the lowest fifth to the highest",
        "predicted less true",
    )
    figure.canvas.draw()
    (panel,) = plot.residuals([2.0, 2, 2], [[3.0], [1], [2]], loss="poisson").axes
    assert [text.get_text() for text in panel.get_xticklabels()] == ["2"]
    assert [panel.get_title() for panel in plot.residuals(np.c_[y, y], np.c_[y, y]).axes] == ["y[0]", "y[1]"]


def test_whiskers_reach_from_the_5th_to_the_95th_percentile():
    (panel,) = plot.residuals(np.ones(101), 1 + np.arange(101.0)).axes
    ends = {value for line in panel.lines for value in line.get_ydata()}
    assert {0, 5, 25, 50, 75, 95} >= ends - {0}
    assert {5, 95} <= ends
    assert 100 not in ends


def test_numbers_at_steps():
    y = np.where(REAL, 1.0, 9)
    for picture in (plot.predicted, plot.residuals):
        figure = picture(y, y[:, :, None], LENGTHS)
        figure.canvas.draw()
    (panel,) = plot.predicted(y, y[:, :, None], LENGTHS, loss="mse").axes
    assert panel.lines[0].get_xdata().tolist() == [1] * 6
    (panel,) = plot.predicted(y[:, :, None], y[:, :, None]).axes
    assert len(panel.lines[0].get_xdata()) == 9


def test_numbers_refused():
    y = np.arange(4.0)
    for picture in (plot.predicted, plot.residuals):
        for due, arguments, options in (
            (r"A: expected \(m, k\) or \(m, s, k\), 2 outputs of each", (y, y), {"loss": "gaussian"}),
            ("A: expected ", (y, np.zeros((0, 1))), {}),
            ("A: expected ", (y, np.zeros((4, 1, 1, 1))), {}),
            (r"y: expected \(4, 1\), a target for each of the outputs, got \(3,\)", (y[:3], y), {}),
            (r"y: expected \(4, 2\), .* got \(4,\)", (y, np.zeros((4, 2))), {}),
            ("y, A: expected finite numbers", (y * np.nan, y), {}),
            ("y, A: expected finite numbers", (y, y + np.inf), {}),
            ("loss: expected", (y, y), {"loss": "nothing"}),
            ("lengths: expected None", (y, y), {"lengths": [1, 1, 1, 1]}),
        ):
            with pytest.raises(ValueError, match=f"^{due}"):
                picture(*arguments, **options)


def test_without_matplotlib(monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    for picture, arguments in (
        (plot.curve, ([],)),
        (plot.confusion, ([0], [0])),
        (plot.calibration, ([0], [[0.5]])),
        (plot.predicted, ([0.0], [0.0])),
        (plot.residuals, ([0.0], [0.0])),
    ):
        with pytest.raises(ImportError, match=r"^cgru\.plot: matplotlib is missing: pip install matplotlib$"):
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
