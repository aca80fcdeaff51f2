"""The picture and the page of `cgru forecast`, of series and forecasts that are made up."""

import re
from types import SimpleNamespace

import numpy as np
import pytest

from cgru.cli.forecast import ON_PAGE, PANELS, Shown, draw, write_page
from cgru.forecast import Backtest, Forecaster

Figure = pytest.importorskip("matplotlib.figure", reason="pip install matplotlib").Figure

N, H = 60, 3
AHEAD = np.array([[61.0, 58, 66], [62, 59, 67], [63, 60, 68]])
DAYS = np.datetime64("2020-01-01") + np.arange(N + 99)


@pytest.fixture
def model():
    made = Forecaster(H, season=12, quantiles=(0.1, 0.9))
    made.windows_ = 31
    return made


def delivered(model, count=1, tests=None, values=AHEAD, made_by="GRU"):
    methods = {"times_at": DAYS.__getitem__, "written": lambda places: DAYS[places].astype(str).tolist()}
    series = [SimpleNamespace(name=f"s{i}", y=np.arange(N) + 100.0 * i, time="day", **methods) for i in range(count)]
    return Shown(series, [values + 100 * i for i in range(count)], model, made_by, tests)


def backtest_of(count):
    """A backtest of two origins and so many series, whose GRU is always better by 1."""
    origins = np.repeat([50, 55], count)
    forecasts = {"GRU": np.arange(2.0 * count)[:, None] + np.zeros(H), "naive": np.full((2 * count, H), 9.0)}
    errors = {
        name: dict.fromkeys(("MAE", "RMSE", "MASE"), np.full(2 * count, i + 1.0)) for i, name in enumerate(forecasts)
    }
    bands = np.stack([np.zeros((2 * count, H)), np.full((2 * count, H), 9.0)], axis=2)
    actual, options = np.ones((2 * count, H)), {"weights": {"GRU": 1.0}}
    return Backtest(origins, 12, actual, forecasts, errors, bands, (0.1, 0.9), "GRU", options)


def page_of(path, *arguments):
    write_page(str(path / "p.html"), *arguments)
    return (path / "p.html").read_text()


def test_the_panels_of_a_picture(model):
    for count in (PANELS, PANELS + 1):
        figure = draw(delivered(model, count))
        assert [axis.get_ylabel() for axis in figure.axes] == [f"s{i}" for i in range(PANELS)]
    known, forecast = figure.axes[1].lines
    assert known.get_ydata().tolist() == (np.arange(N) + 100.0).tolist()  # 5 seasons
    assert known.get_xdata()[0] == DAYS[0]
    assert forecast.get_ydata().tolist() == [159, 161, 162, 163]
    assert [text.get_text() for text in figure.legends[0].get_texts()] == ["known", "quantiles 0.1 to 0.9", "forecast"]


def test_a_page(model, tmp_path):
    text = page_of(tmp_path, delivered(model, 2, backtest_of(2)), "<title>", ["one line", "another"], ["a note"])
    assert "<h1>&lt;title&gt;</h1>" in text
    assert '<p class="score">delivered: GRU; its MASE is 50.0% lower' in text
    assert '<p class="small">one line</p>\n<p class="small">another</p>\n<p class="note">a note</p>' in text
    assert re.findall("<h2>(.*?)</h2>", text) == [
        "Errors at 2 origins", "s0", "Forecast of s0", "s1", "Forecast of s1", "What this is",
    ]  # fmt: skip
    assert "100% of the values were between the quantiles 0.1 and 0.9." in text
    assert '<th scope="row" class="name">2020-03-01</th><td>161</td><td>158</td><td>166</td>' in text
    assert ">GRU</th><td>1 ± 0</td>" in text
    assert "<dt>model</dt><dd>Forecaster(3, season=12" in text


def test_a_page_without_tests(model, tmp_path, monkeypatch):
    text = page_of(tmp_path, delivered(model), "t\ud800", [], [])
    assert '<p class="score">not tested</p>' in text
    assert "Errors" not in text
    assert "quantile 0.9" in text
    model.quantiles, model.weights = (), {"naive": 1.0}
    text = page_of(tmp_path, delivered(model, values=AHEAD[:, :1], made_by="naive"), "t", [], [])
    assert "naive 1)" in text
    monkeypatch.setattr("cgru.plot.forecast", lambda *given, **rest: Figure(figsize=(1, 1)))
    text = page_of(tmp_path, delivered(model, ON_PAGE + 1), "t", [], [])
    assert text.count("<h2>Forecast of") == ON_PAGE
    assert f'<p class="note">{ON_PAGE} of {ON_PAGE + 1} series are on this page</p>' in text
    assert "are on this page" not in page_of(tmp_path, delivered(model, ON_PAGE), "t", [], [])
