"""The picture and the page of `cgru forecast`, of series and forecasts that are made up."""

import re

import numpy as np
import pytest

from cgru.cli.forecast_page import ON_PAGE, PANELS, Shown, draw, write_page
from cgru.datasets.series import Series
from cgru.datasets.time_frequency import Frequency
from cgru.datasets.time_parsing import Times
from cgru.forecast import Backtest, Forecaster

pytest.importorskip("matplotlib", reason="pip install matplotlib")

from matplotlib.figure import Figure

N, H = 60, 3
AHEAD = np.array([[61.0, 58, 66], [62, 59, 67], [63, 60, 68]])


@pytest.fixture
def model():
    made = Forecaster(H, season=12, quantiles=(0.1, 0.9))
    made.season_, made.windows_ = 12, 31
    return made


def delivered(model, count=1, tests=None, values=AHEAD, made_by="GRU"):
    times = Times(np.datetime64("2020-01", "us") + np.arange(N) * np.timedelta64(1, "D"), "day")
    series = [
        Series(f"s{i}", np.arange(N) + 100.0 * i, None, times, Frequency("seconds", 86400.0), "day")
        for i in range(count)
    ]
    return Shown(series, [values + 100 * i for i in range(count)], model, made_by, tests)


def backtest_of(count):
    """A backtest of two origins and so many series, whose GRU is always better by 1."""
    origins = np.repeat([50, 55], count)
    forecasts = {"GRU": np.arange(2.0 * count)[:, None] + np.zeros(H), "naive": np.full((2 * count, H), 9.0)}
    errors = {
        name: dict.fromkeys(("MAE", "RMSE", "MASE"), np.full(2 * count, i + 1.0)) for i, name in enumerate(forecasts)
    }
    bands = np.stack([np.zeros((2 * count, H)), np.full((2 * count, H), 9.0)], axis=2)
    return Backtest(origins, 12, origins, origins, np.ones((2 * count, H)), forecasts, errors, bands, (0.1, 0.9))


def page_of(path, *arguments):
    write_page(str(path / "p.html"), *arguments)
    return (path / "p.html").read_text()


def test_the_panels_of_a_picture(model):
    assert (PANELS, ON_PAGE) == (6, 20)
    figure = Figure()
    draw(figure, delivered(model, PANELS), "title")
    assert figure.get_suptitle() == "title"
    figure = Figure()
    draw(figure, delivered(model, PANELS + 1), "title")
    assert figure.get_suptitle() == f"title, {PANELS} of {PANELS + 1} series"
    assert [axis.get_ylabel() for axis in figure.axes] == [f"s{i}" for i in range(PANELS)]
    known, said = figure.axes[1].lines
    assert known.get_ydata().tolist() == (np.arange(N) + 100.0).tolist()  # 5 seasons
    assert known.get_xdata()[0] == np.datetime64("2020-01-01")
    assert said.get_ydata().tolist() == [159, 161, 162, 163]
    assert not figure.axes[0].yaxis.label.get_parse_math()
    assert figure.legends[0].get_texts()[0].get_fontsize() < 10
    assert [text.get_text() for text in figure.legends[0].get_texts()] == ["known", "quantiles 0.1 to 0.9", "forecast"]


@pytest.mark.parametrize(("season", "h", "shown"), [(2, 2, 24), (1, 7, 28), (11, 2, 55)])
def test_how_much_of_a_series_is_drawn(model, season, h, shown):
    model.season_ = season
    model.quantiles = ()
    figure = Figure()
    draw(figure, delivered(model, values=np.arange(1.0, h + 1)[:, None]), "title")
    assert figure.get_suptitle() == "title"
    assert len(figure.axes[0].lines[0].get_xdata()) == shown
    assert not figure.axes[0].collections


def test_a_page(model, tmp_path):
    text = page_of(tmp_path, delivered(model, 2, backtest_of(2)), "<title>", ["one line", "another"], ["a note"])
    assert "<h1>&lt;title&gt;</h1>" in text
    assert '<p class="score">delivered: GRU; its MASE is 50.0% lower' in text
    assert '<p class="small">one line</p>\n<p class="small">another</p>\n<p class="note">a note</p>' in text
    assert re.findall("<h2>(.*?)</h2>", text) == [
        "Errors at 2 origins in the past", "s0", "Forecast of s0", "s1", "Forecast of s1", "What this is",
    ]  # fmt: skip
    assert "100% of the values lay between the quantiles 0.1 and 0.9." in text
    assert '<th scope="row" class="name">2020-03-01</th><td>161</td><td>158</td><td>166</td>' in text
    assert '<th scope="row" class="name">2020-03-03</th><td>163</td><td>160</td><td>168</td>' in text
    assert ">GRU</th><td>1 ± 0</td>" in text
    assert "<dt>model</dt><dd>GRU 100%; 8 networks of 16 units, learned from 31 windows" in text
    assert "NumPy" in text


def test_earlier_forecasts_of_each_series_are_drawn(model, tmp_path, monkeypatch):
    drawn = []
    monkeypatch.setattr("cgru.plot.forecast", lambda *given, past=None, **rest: drawn.append(past) or Figure())
    page_of(tmp_path, delivered(model, 2, backtest_of(2)), "t", [], [])
    page_of(tmp_path, delivered(model, tests=backtest_of(1), made_by="mean"), "t", [], [])
    (origins, forecasts), second, unknown = drawn
    assert (origins.tolist(), forecasts[:, 0].tolist()) == ([50, 55], [0, 2])
    assert second[1][:, 0].tolist() == [1, 3]
    assert unknown is None


def test_a_page_without_tests(model, tmp_path):
    text = page_of(tmp_path, delivered(model), "t", [], [])
    assert '<p class="score">not tested</p>' in text
    assert "Errors" not in text
    assert "\ud800".encode(errors="replace").decode() in page_of(tmp_path, delivered(model), "\ud800", [], [])
    assert "quantile 0.9" in text
    model.quantiles = ()
    text = page_of(tmp_path, delivered(model, values=AHEAD[:, :1], made_by="naive"), "t", [], [])
    assert "naive 100%" in text
    assert "networks" not in text


def test_a_page_has_so_many_series(model, tmp_path, monkeypatch):
    monkeypatch.setattr("cgru.plot.forecast", lambda *given, **rest: Figure(figsize=(1, 1)))
    text = page_of(tmp_path, delivered(model, ON_PAGE + 1), "t", [], [])
    assert text.count("<h2>Forecast of") == ON_PAGE
    assert f'<p class="note">{ON_PAGE} of {ON_PAGE + 1} series are on this page</p>' in text
    assert "are on this page" not in page_of(tmp_path, delivered(model, ON_PAGE), "t", [], [])
