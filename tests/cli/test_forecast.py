import csv
import io
import re
import sys

import numpy as np
import pytest
from cli_cases import pipe, refused, run
from helpers import some

from cgru.cli.forecast import MODELS, _decimals
from cgru.forecast import Forecaster, backtest, calendar, guess_season, load

rng = np.random.default_rng(0)
N = 60
TIMES = [f"{2000 + i // 12}-{i % 12 + 1:02}" for i in range(N + 12)]
Y = np.round(50 + 10 * np.sin(2 * np.pi * np.arange(N) / 12) + rng.standard_normal(N), 3)
X = np.round(rng.standard_normal(N), 3)
LIKE = {"times": np.array(TIMES[:N], "datetime64[s]"), "likely": (12,)}  # what the command knows of these times


def write(path, **columns):
    with open(path, "w", newline="") as file:
        rows = csv.writer(file)
        rows.writerow(columns)
        rows.writerows(zip(*columns.values(), strict=True))


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("series")
    write(folder / "one.csv", month=TIMES[:N], sales=Y)
    write(folder / "gap.csv", month=TIMES[:N], sales=["" if i in (7, 30) else y for i, y in enumerate(Y)])
    write(folder / "hole.csv", month=TIMES[:9] + TIMES[11:N], sales=np.delete(Y, [9, 10]))
    write(folder / "wide.csv", month=TIMES[:N], a=Y, b=Y + X, x=X)
    write(folder / "long.csv", shop=["n"] * N + ["s"] * N, month=TIMES[:N] * 2, y=[*Y, *(Y + X)])
    write(folder / "steps.csv", shop=["n"] * N + ["s"] * (N // 3), month=[*TIMES[:N], *TIMES[:N:3]], y=[*Y, *Y[::3]])
    write(folder / "uneven.csv", shop=["n"] * N + ["s"] * (N - 1), month=TIMES[:N] + TIMES[: N - 1], y=[*Y, *Y[1:]])
    return folder


def forecast_in(out):
    """The rows of the forecast that ends what was printed, with their names."""
    lines = out.splitlines()
    start = max(i for i, line in enumerate(lines) if line.startswith(("month,", "series,", "step,")))
    return list(csv.DictReader(io.StringIO("\n".join(lines[start:]))))


def numbers(rows, name):
    return np.array([float(row[name]) for row in rows])


@pytest.mark.slow
def test_one_series(folder):
    out, err = run("forecast", "one.csv", "--horizon", 3, "--origins", 4, cwd=folder)
    assert err == ""
    found = backtest(Y, 3, 4, **LIKE)
    assert out.splitlines()[:3] == [
        "sales: 60 values, monthly, 2000-01 to 2004-12",
        "season: 12 steps, guessed; --season says otherwise",
        "tested at 4 origins from 2004-01 to 2004-10, 3 steps each; mean ± deviation:",
    ]
    assert found.table() in out
    assert found.verdict() in out
    rows = forecast_in(out)
    assert [row["month"] for row in rows] == ["2005-01", "2005-02", "2005-03"]
    due = found.deliver(Y).predict(Y, times=LIKE["times"])
    np.testing.assert_allclose(numbers(rows, "sales"), due, rtol=1e-5)


def test_options_reach_the_model(folder):
    options = ("--season", 6, "--width", 9, "--seed", 3, "--threads", 1, "--quantiles", 0.1, 0.5, 0.9, "-q")
    options += ("--model", "gru")
    out, _ = run("forecast", "one.csv", "--horizon", 3, "--origins", 2, *options, cwd=folder)
    assert "season: 6 steps\n" in out
    rows = forecast_in(out)
    model = Forecaster(3, season=6, width=9, seed=3, quantiles=(0.1, 0.5, 0.9)).fit(Y)
    for name, due in zip(("_0.1", "_0.5", "_0.9"), model.predict_quantiles(Y).T, strict=True):
        np.testing.assert_allclose(numbers(rows, f"sales{name}"), due, rtol=1e-5)
    found = backtest(Y, 3, 2, season=6, width=9, seed=3, quantiles=(0.1, 0.5, 0.9), **LIKE, model="GRU")
    assert found.table() in out
    assert f"{100 * found.coverage:.0f}% of the values lay between the quantiles 0.1 and 0.9" in out


@pytest.mark.parametrize(("name", "model"), [("linear", "linear"), ("seasonal", "seasonal naive"), ("naive", "naive")])
def test_a_simpler_model_makes_the_forecast(folder, name, model):
    out, _ = run("forecast", "one.csv", "--horizon", 3, "--origins", 0, "--model", name, cwd=folder)
    due = Forecaster(3, season=12, epochs=1).fit(Y).baselines(Y)[model]
    np.testing.assert_allclose(numbers(forecast_in(out), "sales"), due, rtol=1e-5)


def test_networks_without_a_share_are_not_fitted(folder, monkeypatch):
    def fit_many(*rest, **options):
        raise RuntimeError("fitted")

    monkeypatch.setattr("cgru.cli.forecast.fit_many", fit_many)
    common = ("forecast", "one.csv", "--horizon", 3, "--origins", 0, "--season", 12, "--model")
    for model in ("linear", "climatology"):
        run(*common, model, cwd=folder)
    for options in (("gru",), ("linear", "--save", "m")):
        _, err = run(*common, *options, cwd=folder, code=2)
        assert "fitted" in err


@pytest.mark.slow
def test_the_best_model_is_named_where_another_is_fixed(folder):
    write(folder / "walk.csv", month=TIMES[:N], sales=np.cumsum(np.random.default_rng(1).standard_normal(N)) + 100)
    common = ("forecast", "walk.csv", "--horizon", 2, "--season", 12, "--origins", 8)
    out, _ = run(*common, "--model", "seasonal", cwd=folder)
    advice = re.search(r"\ndelivered: seasonal naive; .* higher .*; --model (\S+) forecasts by the best\n", out)
    assert advice
    out, _ = run(*common, "--model", advice[1], cwd=folder)
    assert " lower than that of the best other" in out
    assert "--model" not in out


def test_without_statsmodels_the_table_lacks_it_and_says_so_once(folder, monkeypatch):
    monkeypatch.setitem(sys.modules, "statsmodels.tsa.holtwinters", None)
    out, _ = run("forecast", "one.csv", "--horizon", 1, "--origins", 2, "--season", 12, cwd=folder)
    assert out.count("note: ETS: statsmodels is missing: pip install statsmodels\n") == 1
    assert out.count("ETS") == 1
    why = refused("forecast", "one.csv", "--horizon", 1, "--model", "ets", cwd=folder)
    assert "argument --model: ETS: statsmodels is missing: pip install statsmodels" in why


@pytest.mark.parametrize("name", ["ets", "climatology", "two-seasons"])
def test_a_rival_makes_the_forecast(folder, name, tmp_path):
    """With the same interval as the backtest's, and again from its file."""
    if name == "ets":
        pytest.importorskip("statsmodels")
    weeks = Y[:28].repeat(2)[:N] if name != "two-seasons" else np.arange(N) % 4 + 3 * (np.arange(N) % 12 == 5)
    write(folder / f"{name}.csv", month=TIMES[: len(weeks)], sales=weeks)
    common = ("forecast", f"{name}.csv", "--horizon", 2, "--season", 4, "--quantiles", 0.1, 0.9, "--model", name)
    out, _ = run(*common, "--origins", 2, "--save", tmp_path / "m", cwd=folder)
    times = LIKE["times"][: len(weeks)]
    found = backtest(weeks, 2, 2, season=4, quantiles=(0.1, 0.9), times=times, likely=(12,), model=MODELS[name])
    assert found.table() in out
    assert ("second season: 12 steps, guessed\n" in out) == (found.second == 12)
    assert found.delivered == MODELS[name]
    model = load(tmp_path / "m")
    rows = forecast_in(out)
    np.testing.assert_allclose(numbers(rows, "sales"), model.predict(weeks, times=times), atol=1e-4)
    due = found.deliver(weeks).predict_quantiles(weeks, times=times)
    np.testing.assert_allclose(numbers(rows, "sales_0.9"), due[:, 1], atol=1e-4)


def test_no_second_season(folder):
    write(folder / "plain.csv", month=TIMES[:N], sales=np.arange(N) % 12)
    common = ("forecast", "plain.csv", "--horizon", 2, "--season", 12, "--model", "two-seasons")
    for origins in (0, 2):
        why = refused_late(*common, "--origins", origins, cwd=folder)
        assert "plain.csv: model: expected one of GRU, " in why
        assert why.endswith(" without a second season, got 'two seasons'\n")


def test_without_tests(folder):
    out, _ = run("forecast", "one.csv", "--horizon", 2, "--origins", 0, cwd=folder)
    assert "MASE" not in out
    assert "season: 12 steps, guessed" in out
    assert "\ndelivered: GRU, as without tests nothing is compared\n" in out
    assert len(forecast_in(out)) == 2
    out, _ = run("forecast", "one.csv", "--horizon", 2, "--origins", 0, "--model", "naive", cwd=folder)
    assert "delivered" not in out
    out, _ = run("forecast", "one.csv", "--horizon", 2, "--origins", 1, "--season", 1, cwd=folder)
    assert "tested at 1 origins at 2004-11, 2 steps each" in out
    assert "season: none\n" in out


def test_the_forecast_has_the_season_that_the_tests_could_not_know(folder):
    rows = (f"{2000 + i // 12}-{i % 12 + 1:02},{i % 12 + 0.1 * (i % 7)}" for i in range(40))
    (folder / "short.csv").write_text("\n".join(["month,sales", *rows]))
    out, _ = run("forecast", "short.csv", "--horizon", 10, "--origins", 2, cwd=folder)
    assert out.splitlines()[1:3] == [
        "season: 12 steps, guessed; --season says otherwise",
        "season of the tests: none, as what lies before the first of them is too short for one of 12",
    ]
    assert (
        "\ntests: no season, windows of 1 to 11 values, as less lay before them, learned from 10 windows; "
        "the forecast: season of 12, windows of 21 values, from 10\n"
    ) in out
    assert "seasonal naive" not in out
    january = numbers(forecast_in(out), "sales")[8]
    assert january < 3


def check_delivered(out, name, y, horizon, origins, **given):
    """Check that what was tested, as it was said, is the model of the forecast; return its season and width."""
    said = re.search(
        r"tests and forecast: (no season|season of \d+), windows of (\d+) values; tests learned from (.*)\n", out
    )
    season, width = int(re.sub(r"\D", "", said[1]) or 1), int(said[2])
    found = backtest(y, horizon, origins, season=season, width=width, **given)
    assert found.table() in out
    assert said[3].startswith(f"{found.windows[0]} to {found.windows[-1]} windows, the forecast from ")
    assert said[3].endswith(f" {len(y) - width - horizon + 1}")
    due = found.deliver(y).predict(y, times=given.get("times"))
    np.testing.assert_allclose(numbers(forecast_in(out), name), due, rtol=1e-5)
    return season, width


@pytest.mark.slow
@pytest.mark.parametrize(("seed", "season", "whole"), some(1, [(53, 1, "14 steps"), (4, 9, "none"), (0, 1, "")]))
def test_the_model_of_the_forecast_is_the_one_that_was_tested(folder, seed, season, whole):
    y = np.round(1e3 + np.cumsum(np.random.default_rng(seed).standard_normal(100)), 2)
    write(folder / "prices.csv", close=y)
    out, _ = run("forecast", "prices.csv", "--horizon", 2, "--origins", 4, cwd=folder)
    assert check_delivered(out, "close", y, 2, 4)[0] == season
    assert season == guess_season(y[: int(re.search(r"4 origins from (\d+)", out)[1])])
    note = f"\nnote: this was guessed from before the first test; all values suggest {whole}, which --season "
    assert (note in out) == bool(whole)


@pytest.mark.slow
def test_a_season_that_the_tests_could_not_see_is_tested_where_there_are_values_enough(folder):
    y = np.array([i % 12 + 0.1 * (i % 7) for i in range(42)])
    write(folder / "seen.csv", month=TIMES[:42], sales=y)
    out, _ = run("forecast", "seen.csv", "--horizon", 3, "--origins", 9, "--width", 12, cwd=folder)
    assert guess_season(y[:21], (12,)) == 1
    given = {"times": LIKE["times"][:42], "likely": (12,)}
    assert check_delivered(out, "sales", y, 3, 9, **given) == (12, 12)
    assert "note: " not in out


def test_narrower_windows_of_tests_are_told(folder):
    out, _ = run("forecast", "one.csv", "--horizon", 3, "--origins", 10, cwd=folder)
    assert (
        "\ntests: season of 12, windows of 18 to 24 values, as less lay before them, learned from 10 to 31 windows; "
        "the forecast: season of 12, windows of 24 values, from 34\n"
    ) in out


def test_missing_values_and_times(folder):
    common = ("--horizon", 2, "--missing", "interpolate", "--model", "gru")
    out, _ = run("forecast", "gap.csv", "--origins", 2, *common, cwd=folder)
    assert "sales: 58 values and 2 missing, monthly" in out
    y = Y.copy()
    y[[7, 30]] = np.nan
    due = Forecaster(2, season=12, missing="interpolate").fit(y).predict(y)
    np.testing.assert_allclose(numbers(forecast_in(out), "sales"), due, rtol=1e-5)
    out, _ = run("forecast", "hole.csv", "--horizon", 2, "--origins", 0, "--missing", "interpolate", cwd=folder)
    assert "sales: 58 values and 2 missing, monthly, 2000-01 to 2004-12" in out


def test_several_columns_are_one_model(folder):
    out, _ = run(
        "forecast", "wide.csv", "--horizon", 2, "--origins", 2, "--target", "a", "b", "--model", "gru", cwd=folder
    )
    assert "of 2 series each, 2 steps each" in out
    rows = forecast_in(out)
    assert [(row["series"], row["month"]) for row in rows] == [
        (name, time) for name in "ab" for time in ("2005-01", "2005-02")
    ]
    model = Forecaster(2, season=12).fit([Y, Y + X])
    np.testing.assert_allclose(numbers(rows, "forecast"), np.concatenate(model.predict([Y, Y + X])), rtol=1e-5)
    times = [LIKE["times"]] * 2
    assert backtest([Y, Y + X], 2, 2, times=times, likely=(12,), model="GRU").table() in out


def test_inputs_beside_the_target(folder):
    common = ("forecast", "wide.csv", "--horizon", 2, "--target", "a", "--inputs", "x", "--model", "gru")
    out, _ = run(*common, "--origins", 2, cwd=folder)
    assert "a: 60 values, monthly, 2000-01 to 2004-12, 1 inputs" in out
    model = Forecaster(2, season=12).fit(Y, X[:, None])
    np.testing.assert_allclose(numbers(forecast_in(out), "a"), model.predict(Y, X[:, None]), rtol=1e-5)
    assert backtest(Y, 2, 2, X=X[:, None], **LIKE, model="GRU").table() in out


def test_a_long_table(folder):
    out, _ = run("forecast", "long.csv", "--horizon", 2, "--origins", 1, "--id", "shop", cwd=folder)
    assert [row["series"] for row in forecast_in(out)] == ["n", "n", "s", "s"]
    out, _ = run("forecast", "uneven.csv", "--horizon", 2, "--origins", 0, "--id", "shop", cwd=folder)
    assert [row["month"] for row in forecast_in(out)] == ["2005-01", "2005-02", "2004-12", "2005-01"]


@pytest.mark.slow
def test_files(folder, tmp_path):
    pytest.importorskip("matplotlib")
    files = ("-o", tmp_path / "f.csv", "--plot", tmp_path / "f.png", "--save", tmp_path / "f.npz")
    out, _ = run("forecast", "one.csv", "--horizon", 3, "--origins", 0, "--quantiles", 0.2, 0.8, *files, cwd=folder)
    assert "month,sales" not in out
    assert out.endswith(f"model in {tmp_path}/f.npz\nforecast in {tmp_path}/f.csv\n")
    rows = forecast_in((tmp_path / "f.csv").read_text())
    model = load(tmp_path / "f.npz")
    np.testing.assert_allclose(numbers(rows, "sales"), model.predict(Y), rtol=1e-5)
    np.testing.assert_allclose(numbers(rows, "sales_0.8"), model.predict_quantiles(Y)[:, 1], rtol=1e-5)
    assert (tmp_path / "f.png").read_bytes().startswith(b"\x89PNG")


@pytest.mark.slow
def test_a_plot_shows_the_past_and_the_forecast_in_its_band(folder, tmp_path, monkeypatch):
    figure = pytest.importorskip("matplotlib.figure")
    drawn = []
    save = figure.Figure.savefig
    monkeypatch.setattr(figure.Figure, "savefig", lambda self, *a, **o: drawn.append(self) or save(self, *a, **o))
    common = (
        "forecast",
        "wide.csv",
        "--horizon",
        3,
        "--origins",
        0,
        "--target",
        "a",
        "b",
        "--plot",
        tmp_path / "f.svg",
    )
    out, _ = run(*common, "--quantiles", 0.1, 0.9, cwd=folder)
    rows = forecast_in(out)
    assert drawn[0].get_suptitle() == "wide.csv: 3 steps by GRU"
    assert [axis.get_ylabel() for axis in drawn[0].axes] == ["a", "b"]
    known, said = drawn[0].axes[0].lines
    np.testing.assert_array_equal(known.get_ydata(), Y)
    assert known.get_xdata()[-1] == said.get_xdata()[0] == np.datetime64("2004-12")
    assert said.get_xdata()[-1] == np.datetime64("2005-03")
    np.testing.assert_allclose(said.get_ydata(), [Y[-1], *numbers(rows[:3], "forecast")], rtol=1e-5)
    (band,) = drawn[0].axes[0].collections
    heights = band.get_paths()[0].vertices[:, 1]
    due = [numbers(rows[:3], f"forecast_{level}") for level in (0.1, 0.9)]
    assert (heights.min(), heights.max()) == pytest.approx((min(Y[-1], *due[0]), max(Y[-1], *due[1])), rel=1e-5)
    run(*common, cwd=folder)
    assert not drawn[1].axes[0].collections


def test_many_series_are_not_all_drawn(folder, tmp_path, monkeypatch):
    figure = pytest.importorskip("matplotlib.figure")
    drawn = []
    monkeypatch.setattr(figure.Figure, "savefig", lambda self, *a, **o: drawn.append(self))
    write(folder / "eight.csv", month=TIMES[:N], **{f"c{i}": Y + i for i in range(8)})
    columns = [f"c{i}" for i in range(8)]
    run("forecast", "eight.csv", "--horizon", 1, "--origins", 0, "--target", *columns, "--plot", tmp_path / "f.png",
        cwd=folder)  # fmt: skip
    assert drawn[0].get_suptitle() == "eight.csv: 1 steps by GRU, 6 of 8 series"
    assert len(drawn[0].axes) == 6


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("one.csv",), "required: --horizon"),
        (("one.csv", "--horizon", 0), "argument --horizon: expected an integer of at least 1"),
        (("one.csv", "--horizon", 3, "--origins", -1), "argument --origins: expected an integer of at least 0"),
        (("one.csv", "--horizon", 3, "--season", 0), "argument --season"),
        (("one.csv", "--horizon", 3, "--width", 0), "argument --width"),
        (("one.csv", "--horizon", 3, "--threads", 0), "argument --threads"),
        (("one.csv", "--horizon", 3, "--seed", -1), "argument --seed"),
        (("one.csv", "--horizon", 3, "--quantiles", 1), "argument --quantiles: expected a number between 0 and 1"),
        (("one.csv", "--horizon", 3, "--quantiles", 0.9, 0.1), "quantiles: expected levels that rise"),
        (
            ("one.csv", "--horizon", 3, "--model", "naive", "--quantiles", 0.5, "--origins", 0),
            "argument --quantiles: needs --model gru without tests",
        ),
        (("one.csv", "--horizon", 3, "--model", "arima"), "argument --model"),
        (("one.csv", "--horizon", 3, "--missing", "drop"), "argument --missing"),
        (("none.csv", "--horizon", 3), "none.csv: No such file"),
        (("one.csv", "--horizon", 40), "one.csv: sales: expected at least"),
        (("one.csv", "--horizon", 3, "--season", 12, "--width", 11), "width: expected at least a season of 12, got 11"),
        (("wide.csv", "--horizon", 3), "wide.csv: argument --target: expected the column to forecast, one of a, b, x"),
        (("one.csv", "--horizon", 3, "--target", "z"), "argument --target: expected one of the columns sales, got 'z'"),
        (("one.csv", "--horizon", 3, "--time", "z"), "argument --time: expected one of the columns"),
        (("one.csv", "--horizon", 3, "--id", "z"), "argument --id: expected one of the columns"),
        (("one.csv", "--horizon", 3, "--inputs", "z"), "argument --inputs: expected one of the columns"),
        (("one.csv", "--horizon", 3, "--time-format", "%Y"), "month: expected times of the form %Y, got '2000-01'"),
        (("long.csv", "--horizon", 3, "--target", "y"), "month: expected each time once, got 2000-01 twice"),
        (
            ("gap.csv", "--horizon", 3),
            r"gap.csv: sales: expected a value at each step, got none at 2000-08 \(in all at 2\); --missing interpol",
        ),
        (("hole.csv", "--horizon", 3), "got a gap from 2000-09 to 2000-12; --missing interpolate fills it"),
        (
            ("steps.csv", "--horizon", 3, "--id", "shop", "--origins", 0),
            "steps.csv: expected series of one step, as one model has one season, got n, monthly, and s, quarterly",
        ),
        (
            ("uneven.csv", "--horizon", 3, "--id", "shop"),
            "series that end at one time, .* got n until 2004-12 and s until 2004-11; --origins 0 forecasts without",
        ),
        (("one.csv", "--horizon", 3, "-o", "one.csv"), "one.csv: this would overwrite"),
        (("one.csv", "--horizon", 3, "--save", "m", "-o", "m"), "m: this would overwrite"),
        (("one.csv", "--horizon", 3, "--plot", "m.png", "--save", "m.png"), "m.png: this would overwrite"),
        (("one.csv", "--horizon", 3, "-o", "nowhere/f.csv"), "nowhere/f.csv: the folder .* does not exist"),
        (("one.csv", "--horizon", 3, "--plot", "f.xyz"), "argument --plot: expected an ending of"),
    ],
)
def test_refusals(folder, arguments, words):
    if "--plot" in arguments:
        pytest.importorskip("matplotlib")
    before = sorted(folder.iterdir())
    assert re.search(words, refused_late("forecast", *arguments, cwd=folder))
    assert sorted(folder.iterdir()) == before


def refused_late(*arguments, cwd):
    """The line that says why not, after the series may have been described."""
    out, err = run(*arguments, cwd=cwd, code=2)
    assert "MASE" not in out
    assert re.fullmatch(r"cgru: error: .+\n", err), err
    return err


def test_times_past_the_year_9999_are_refused_before_anything_is_fitted(folder):
    write(folder / "late.csv", day=[f"9999-12-{day}" for day in range(10, 31)], y=np.arange(21))
    why = refused("forecast", "late.csv", "--horizon", 2, cwd=folder)
    assert "late.csv: argument --horizon: expected times up to the year 9999, got steps beyond after 9999-12-30" in why
    run("forecast", "late.csv", "--horizon", 1, "--origins", 0, "--model", "naive", cwd=folder)


def test_holidays_and_changing_clocks_are_noted(folder):
    days = [day for day in np.busday_offset("2024-01-01", np.arange(60)).astype(str) if day != "2024-03-08"]
    write(folder / "stocks.csv", day=days, y=np.arange(59) % 5)
    out, _ = run("forecast", "stocks.csv", "--horizon", 1, "--origins", 0, "--model", "naive", cwd=folder)
    assert out.startswith("note: 1 weekdays that are not there, the first after 2024-03-07, are taken for holidays")
    assert "--missing interpolate fills them\ny: 59 values, on weekdays, 2024-01-01 to 2024-03-22\n" in out
    assert out.endswith("2024-03-25,3\n")
    times = [f"2024-03-{day} 00:00:00+01:00" for day in range(10, 32)]
    times += [f"2024-04-0{day} 00:00:00+02:00" for day in range(1, 4)]
    write(folder / "local.csv", day=times, y=np.arange(25) % 5)
    out, _ = run("forecast", "local.csv", "--horizon", 2, "--origins", 0, "--model", "naive", cwd=folder)
    assert out.startswith("note: times to come have the offset from UTC of the last, 2024-04-03 00:00:00+02:00: ")
    assert out.endswith("2024-04-04 00:00:00+02:00,4\n2024-04-05 00:00:00+02:00,4\n")


def test_a_missing_input_is_told(folder):
    write(folder / "beside.csv", month=TIMES[:N], y=Y, x=["", *X[1:]])
    arguments = ("forecast", "beside.csv", "--horizon", 3, "--target", "y", "--inputs", "x")
    assert "y inputs: expected a value at each step, got none at 2000-01" in refused(*arguments, cwd=folder)


def test_a_text_file_needs_numpy_alone(folder, monkeypatch):
    for name in ("narwhals", "narwhals.stable.v2", "pandas", "polars"):
        monkeypatch.setitem(sys.modules, name, None)
    run("forecast", "one.csv", "--horizon", 1, "--origins", 0, cwd=folder)
    (folder / "one.parquet").write_bytes(b"PAR1")
    assert "pip install narwhals polars" in refused("forecast", "one.parquet", "--horizon", 1, cwd=folder)


def test_a_german_table(folder):
    known = np.array([float(f"{value:.2f}") for value in Y])
    rows = [f"{time};{value:.2f};NA\n".replace(".", ",") for time, value in zip(TIMES, known, strict=False)]
    (folder / "german.csv").write_text("".join(["month;Umsatz;Besucher\n", *rows]))
    common = ("forecast", "german.csv", "--horizon", 2, "--origins", 0, "--season", 12)
    out, _ = run(*common, "--target", "Umsatz", cwd=folder)
    assert out.startswith("note: numbers have a decimal comma\nUmsatz: 60 values, monthly, 2000-01 to 2004-12\n")
    due = Forecaster(2, season=12).fit(known).predict(known)
    np.testing.assert_allclose(numbers(forecast_in(out), "Umsatz"), due, rtol=1e-5)
    said, _ = run(*common, "--target", "Umsatz", "--decimal", ",", cwd=folder)
    assert said == out.split("\n", 1)[1]
    assert "german.csv: Umsatz: expected numbers, got '5" in refused(
        *common, "--target", "Umsatz", "--decimal", ".", cwd=folder
    )
    assert "Besucher: expected at least one value" in refused(*common, "--target", "Besucher", cwd=folder)
    (folder / "two.csv").write_text("month;y\n2024-01;1,234\n2024-02;2,345\n")
    assert "--decimal , says that it is" in refused("forecast", "two.csv", "--horizon", 1, cwd=folder)
    assert "argument --decimal: invalid choice" in refused(*common, "--decimal", ";", cwd=folder)


def test_the_times_are_named_where_a_guess_fails(folder):
    (folder / "branch.csv").write_text("branch,opened,visitors\nA,01/24,1\nA,02/24,2\n")
    why = refused("forecast", "branch.csv", "--horizon", 1, cwd=folder)
    assert "branch: expected times like" in why
    assert "in line 2" in why
    assert "--time COL names another column, --time '' takes rows as steps" in why
    common = ("forecast", "branch.csv", "--horizon", 1, "--id", "branch", "--time-format", "%m/%y")
    assert "opened of A: expected at least 3 times" in refused(*common, cwd=folder)


def test_rows_that_are_taken_for_steps_are_noted(folder):
    write(folder / "step.csv", n=range(7, 7 + 2 * N, 2), sales=Y)
    out, _ = run("forecast", "step.csv", "--horizon", 1, "--origins", 0, "--target", "sales", cwd=folder)
    assert out.startswith("note: rows are steps, since no column has times (--time COL)\n")


def test_a_series_that_is_too_short_is_named_before_anything_is_learned(folder, monkeypatch):
    write(folder / "few.csv", shop=["n"] * N + ["new"] * 7, month=[*TIMES[:N], *TIMES[N - 7 : N]], y=[*Y, *Y[:7]])
    common = ("forecast", "few.csv", "--horizon", 3, "--id", "shop", "--season", 12)
    assert "few.csv: new: expected at least 27 values for 1 origins" in refused_late(
        *common, "--origins", 1, cwd=folder
    )
    assert "few.csv: new: expected at least" in refused_late(*common[:-2], "--origins", 1, cwd=folder)
    monkeypatch.setattr("cgru.cli.forecast.fit_many", None)
    why = refused_late(*common, "--origins", 0, cwd=folder)
    assert "few.csv: new: expected at least 24 values, a window, got 7; without it, or with a smaller --width" in why


def test_a_forecast_has_the_digits_that_say_something(folder):
    write(folder / "large.csv", month=TIMES[:N], sales=1e9 + Y)
    out, _ = run("forecast", "large.csv", "--horizon", 2, "--origins", 0, "--season", 12, cwd=folder)
    due = Forecaster(2, season=12).fit(1e9 + Y).predict(1e9 + Y)
    np.testing.assert_allclose(numbers(forecast_in(out), "sales") - 1e9, due - 1e9, atol=0.01)
    common = ("forecast", "one.csv", "--horizon", 2, "--origins", 0, "--season", 12, "--model", "linear")
    out, _ = run(*common, "-o", "f.csv", cwd=folder)
    exact = list(csv.DictReader((folder / "f.csv").read_text().splitlines()))
    rows = forecast_in(run(*common, cwd=folder)[0])
    assert [row["sales"] for row in rows] == [f"{float(row['sales']):.4f}".rstrip("0") for row in exact]
    assert max(len(row["sales"]) for row in exact) == 13
    for y, due in ((Y, 4), (1e6 * Y, 0), ([5, 5], 5), ([0, 0], 5), ([np.nan, 1e-3, 2e-3], 8)):
        assert _decimals(np.array(y)) == due


def test_a_column_called_as_an_option_is_not_taken_for_it(folder):
    write(folder / "called.csv", time=[*TIMES[: N - 1], "later"], target=Y)
    why = refused("forecast", "called.csv", "--horizon", 1, cwd=folder)
    assert why.startswith("cgru: error: called.csv: time: expected times like")
    write(folder / "called.csv", time=TIMES[:N], target=[*Y[1:], "many"])
    why = refused("forecast", "called.csv", "--horizon", 1, cwd=folder)
    assert why.startswith("cgru: error: called.csv: target: expected numbers, got 'many' in line 61")
    why = refused("forecast", "called.csv", "--horizon", 1, "--decimal", ",", cwd=folder)
    assert why.startswith("cgru: error: called.csv: argument --decimal: expected another sign than ','")


def test_help_says_what_a_table_is(folder):
    out, _ = run("forecast", "--help", cwd=folder)
    assert "SERIES.csv is a table" in out
    assert "%d.%m.%Y" in out


# --- inputs that are known in the future, pages ---

PROMO = (np.random.default_rng(3).random(N + 3) < 0.3).astype(int)
SOLD = np.r_[np.round(Y + 30 * PROMO[:N], 2), [np.nan] * 3]
FAST = ("--horizon", 3, "--season", 12, "--origins")


@pytest.fixture(scope="module")
def known(folder):
    cells = ["" if np.isnan(value) else value for value in SOLD]
    odd = ["" if i == 5 else i for i in range(N + 3)]
    write(folder / "known.csv", month=TIMES[: N + 3], sales=cells, promo=PROMO, odd=odd)
    return folder


def test_what_is_known_in_the_future_is_read(known):
    options = ("--target", "sales", "--known", "promo", "--model", "gru")
    out, _ = run("forecast", "known.csv", *FAST, 2, *options, cwd=known)
    assert "sales: 60 values, monthly, 2000-01 to 2004-12, 1 known in the future\n" in out
    given = {"known": PROMO[:, None]}
    model = Forecaster(3, season=12).fit(SOLD[:N], **given)
    np.testing.assert_allclose(numbers(forecast_in(out), "sales"), model.predict(SOLD[:N], **given), rtol=1e-5)
    times = np.array(TIMES[:N], "datetime64[s]")
    assert backtest(SOLD[:N], 3, 2, season=12, times=times, model="GRU", **given).table() in out


def test_known_inputs_that_end_before_the_horizon(known):
    common = ("forecast", "known.csv", "--target", "sales", "--origins", 0)
    why = refused(*common, "--known", "promo", "--horizon", 4, cwd=known)
    assert "argument --known: expected promo at each of the 4 steps after 2004-12, got 3" in why
    assert "rows for these steps, with an empty sales, have them" in why
    why = refused(*common, "--known", "promo,odd", "--horizon", 3, cwd=known)
    assert "sales known inputs: expected a value at each step, got none at 2000-06" in why
    assert "argument --known: expected one of the columns" in refused(*common, *FAST, 0, "--known", "z", cwd=known)


def test_the_calendar_is_read(folder, monkeypatch):
    days = np.datetime64("2022-01-01") + np.arange(50)
    write(folder / "daily.csv", day=days, y=np.arange(50) % 9)
    options = (*FAST[:2], "--season", 7, "--origins", 0, "--calendar", "--save", "m")
    out, _ = run("forecast", "daily.csv", *options, cwd=folder)
    assert "\ncalendar: day of week and day of year are read\n" in out
    given = {"known": calendar(days[0] + np.arange(53), ["week", "year"])}
    y = np.arange(50) % 9
    due = Forecaster(3, season=7).fit(y, **given).predict(y, **given)
    np.testing.assert_allclose(numbers(forecast_in(out.replace("day,y", "step,y")), "y"), due, rtol=1e-5)
    np.testing.assert_array_equal(load(folder / "m").predict(y, times=days), due)
    write(folder / "zoned.csv", day=[f"{day}T00:00+0{i % 2}:00" for i, day in enumerate(days)], y=y)
    run("forecast", "zoned.csv", *options, cwd=folder)
    assert isinstance(load(folder / "m"), Forecaster)  # to be given the calendar of local time
    out, _ = run("forecast", "daily.csv", *FAST, 0, "--model", "naive", cwd=folder)
    assert "calendar" not in out  # less than two years of days
    monkeypatch.setattr("cgru.cli.forecast.choose_cycles", lambda y, times, *rest: ("day", "week"))
    out, _ = run("forecast", "daily.csv", *FAST, 0, "--model", "naive", cwd=folder)
    assert "\ncalendar: hour of day and day of week are read; --no-calendar does without\n" in out
    out, _ = run("forecast", "daily.csv", *FAST, 0, "--model", "naive", "--no-calendar", cwd=folder)
    assert "calendar" not in out
    write(folder / "years.csv", year=range(1950, 1990), y=np.arange(40))
    why = refused("forecast", "years.csv", *FAST, 0, "--calendar", cwd=folder)
    assert "argument --calendar: expected dates less than a year apart, got y, numbered" in why


def test_a_page(known, tmp_path):
    pytest.importorskip("matplotlib")
    page = tmp_path / "p.html"
    options = ("--target", "sales", "--quantiles", 0.1, 0.9, "--html", page, "--model", "gru")
    out, _ = run("forecast", "known.csv", *FAST, 2, *options, cwd=known)
    assert f"report in {page}\n" in out
    text = page.read_text()
    verdict = re.search(r"delivered: .*? origins", out)[0]
    assert f'<p class="score">{verdict}' in text
    assert "<h2>Errors at 2 origins in the past</h2>" in text
    assert "<h2>Forecast of sales</h2>" in text
    assert text.count('src="data:image/svg+xml;base64,') == 1
    for row in forecast_in(out):
        assert f">{row['month']}</th><td>{float(row['sales']):.6g}</td>" in text
    coverage = re.search(r"\d+% of the values lay between the quantiles 0.1 and 0.9", out)[0]
    assert coverage in text


def test_a_page_is_refused_early(known, tmp_path):
    common = ("forecast", "known.csv", *FAST, 0, "--target", "sales", "--html")
    assert "argument --html: expected a name ending in .html, got 'p.txt'" in refused(*common, "p.txt", cwd=known)
    assert "no/p.html: the folder" in refused(*common, "no/p.html", cwd=known)


def test_a_pipe(folder, monkeypatch):
    options = ("--horizon", 2, "--origins", 0)
    due, _ = run("forecast", "one.csv", *options, "-o", "there.csv", cwd=folder)
    pipe(folder / "one.csv", monkeypatch)
    out, err = run("forecast", "-", *options, "-o", "-", cwd=folder)
    assert out == (folder / "there.csv").read_text()
    assert err == due.replace("forecast in there.csv\n", "")
    (folder / "bad.csv").write_text("month,y\n2000-01,1\n2000-02,?x\n")
    pipe(folder / "bad.csv", monkeypatch)
    assert refused("forecast", "-", *options, cwd=folder).startswith("cgru: error: standard input: ")
    for what, options in (("one", ("--horizon", 50)), ("gap", ("--horizon", 2))):  # too long; a value is missing
        pipe(folder / f"{what}.csv", monkeypatch)
        _, error = run("forecast", "-", *options, cwd=folder, code=2)
        _, due = run("forecast", f"{what}.csv", *options, cwd=folder, code=2)
        assert error == due.replace(f"{what}.csv", "standard input")
