"""The picture of a forecast: what is drawn, from where to where, and what is refused."""

import sys

import numpy as np
import pytest

from cgru import plot

pytest.importorskip("matplotlib", reason="pip install matplotlib")

from matplotlib.figure import Figure

Y = np.array([1.0, 3, 2, 4, np.nan, 5])
AHEAD = np.array([6.0, 7, 8])


def lines(axis):
    """The points of each line by its label, those without a label under None."""
    found = {}
    for line in axis.lines:
        label = line.get_label()
        found.setdefault(None if label.startswith("_") else label, []).append(
            (line.get_xdata().tolist(), line.get_ydata().tolist())
        )
    return found


def test_a_series_and_its_forecast():
    figure = plot.forecast(Y, AHEAD)
    (axis,) = figure.axes
    found = lines(axis)
    assert found.keys() == {"known", "forecast"}
    assert found["forecast"] == [([5, 6, 7, 8], [5, 6, 7, 8])]
    np.testing.assert_array_equal(found["known"][0][1], Y)
    assert found["known"][0][0] == [0, 1, 2, 3, 4, 5]
    assert axis.lines[1].get_linestyle() == "--"
    assert not axis.collections
    assert [text.get_text() for text in figure.legends[0].get_texts()] == ["known", "forecast"]


def test_all_that_can_be_shown():
    times = np.datetime64("2024-01") + np.arange(9)
    bands = AHEAD[:, None] + [-2, 0, 3]
    past = np.array([2, 5]), np.array([[9.0, 9, 9], [7, 8, 9]])
    axis = Figure().subplots()
    options = {"intervals": bands, "band": "80 %", "actual": [5.5, 6], "past": past, "shown": 3, "times": times}
    assert plot.forecast(Y, AHEAD, axes=axis, **options) is axis.figure
    found = lines(axis)
    assert found["known"][0][0] == times[3:6].tolist()
    assert found["actual"] == [(times[5:8].tolist(), [5, 5.5, 6])]
    assert found["earlier forecasts"] == [(times[5:8].tolist(), [7, 8, 9])]  # the one at 2 lies before what is shown
    (band,) = axis.collections
    assert (band.get_label(), axis.figure.legends) == ("80 %", [])
    heights = band.get_paths()[0].vertices[:, 1]
    assert (heights.min(), heights.max()) == (4, 11)


def test_a_band_without_a_name_is_an_interval():
    (band,) = plot.forecast(Y, AHEAD, intervals=AHEAD[:, None] + [-1, 1]).axes[0].collections
    assert band.get_label() == "interval"


def test_earlier_forecasts_share_one_label_and_end_with_the_times():
    past = [1, 5, 6], np.arange(15.0).reshape(3, 5)
    found = lines(plot.forecast(Y, AHEAD, past=past).axes[0])
    assert [each[0] for each in [*found["earlier forecasts"], *found[None]]] == [
        [1, 2, 3, 4, 5],
        [5, 6, 7, 8],
        [6, 7, 8],
    ]


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"y": [[1.0]]}, r"y: expected numbers \(n,\), at least one, got shape \(1, 1\)"),
        ({"values": []}, r"values: expected numbers"),
        ({"intervals": [[1, 2]]}, r"intervals: expected \(3, q\), a row for each of the values, got \(1, 2\)"),
        ({"intervals": [1, 2, 3]}, r"intervals: expected \(3, q\)"),
        ({"actual": [1, 2, 3, 4]}, "actual: expected at most 3 values, .* got 4"),
        ({"times": np.arange(8)}, r"times: expected \(9,\), of y and the forecast, got \(8,\)"),
        ({"shown": 0}, "shown: expected at least 1, got 0"),
        ({"past": ([1], [1.0])}, r"past: expected origins \(k,\) and forecasts \(k, h\), got \(1,\), \(1,\)"),
        ({"past": ([1, 2], [[1.0]])}, "past: expected origins"),
        ({"past": ([0], [[1.0]])}, "past: expected origins from 1 to 6"),
        ({"past": ([7], [[1.0]])}, "past: expected origins from 1 to 6"),
        ({"past": ([0.5], [[1.0]])}, "past: expected origins from 1 to 6"),
    ],
)
def test_refusals(changes, words):
    axis = Figure().subplots()
    with pytest.raises(ValueError, match=f"^{words}"):
        plot.forecast(**{"y": Y, "values": AHEAD, "axes": axis} | changes)
    assert not axis.lines


def test_without_matplotlib(monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    with pytest.raises(ImportError, match="pip install matplotlib"):
        plot.forecast(Y, AHEAD)
