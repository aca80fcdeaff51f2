"""Pictures of fits: what is drawn, into whose axes, and what is refused."""

import sys

import numpy as np
import pytest

import cgru
from cgru import plot

pytest.importorskip("matplotlib", reason="pip install matplotlib")

from matplotlib.colors import to_rgb
from matplotlib.figure import Figure

RNG = np.random.default_rng(0)


def grey(color):
    return float(np.dot(to_rgb(color), (0.299, 0.587, 0.114)))


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


def test_without_matplotlib(monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    with pytest.raises(ImportError, match=r"^cgru\.plot: matplotlib is missing: pip install"):
        plot.curve(epochs(3))
