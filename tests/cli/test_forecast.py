import csv
import io
import re
import shlex
import sys

import numpy as np
import pytest
from cli_cases import pipe, refused, run

from cgru.forecast import Forecaster, backtest, calendar, load

rng = np.random.default_rng(0)
N = 60
MONTHS = np.datetime64("2000-01", "M") + np.arange(N + 12)
TIMES = MONTHS[:N]
Y = np.round(50 + 10 * np.sin(2 * np.pi * np.arange(N) / 12) + rng.standard_normal(N), 3)
X = np.round(rng.standard_normal(N), 3)
PROMO = (np.random.default_rng(3).random(N + 3) < 0.3).astype(int)
SOLD = np.r_[np.round(Y + 30 * PROMO[:N], 2), [np.nan] * 3]
FEW = ("--horizon", 2, "--origins")


def write(path, **columns):
    with open(path, "w", newline="") as file:
        rows = csv.writer(file)
        rows.writerow(columns)
        rows.writerows(zip(*columns.values(), strict=True))


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("series")
    write(folder / "one.csv", date=TIMES, sales=Y)
    write(folder / "gap.csv", date=TIMES, sales=["" if i in (7, 30) else y for i, y in enumerate(Y)])
    write(folder / "hole.csv", date=np.delete(TIMES, [9, 10]), sales=np.delete(Y, [9, 10]))
    write(folder / "wide.csv", date=TIMES, a=Y, b=Y + X, x=X)
    write(folder / "steps.csv", id=["n"] * N + ["s"] * (N // 3), date=[*TIMES, *TIMES[::3]], y=[*Y, *Y[::3]])
    write(folder / "uneven.csv", id=["n"] * N + ["s"] * (N - 1), date=[*TIMES, *TIMES[:-1]], y=[*Y, *Y[1:]])
    write(folder / "few.csv", id=["n"] * N + ["new"] * 7, date=[*TIMES, *TIMES[-7:]], y=[*Y, *Y[:7]])
    cells = ["" if np.isnan(value) else value for value in SOLD]
    odd = ["" if i == 5 else i for i in range(N + 3)]
    write(folder / "known.csv", date=MONTHS[: N + 3], sales=cells, promo=PROMO, odd=odd)
    return folder


@pytest.fixture
def no_ets(monkeypatch):
    """Leave out exponential smoothing, which takes the most time."""
    monkeypatch.setattr("cgru.forecast.forecaster.why_no_ets", lambda: "left out")


def forecast_in(out):
    """The rows of the forecast that ends what was printed, with their names."""
    lines = out.splitlines()
    start = max(i for i, line in enumerate(lines) if line.startswith(("date,", "series,", "step,")))
    return list(csv.DictReader(io.StringIO("\n".join(lines[start:]))))


def numbers(rows, name):
    return np.array([float(row[name]) for row in rows])


@pytest.mark.slow
def test_one_series(folder):
    out, err = run("forecast", "one.csv", "--horizon", 3, "--origins", 4, "--quantiles", 0.1, 0.9, cwd=folder)
    assert err == ""
    found = backtest(Y, 3, 4, times=TIMES, quantiles=(0.1, 0.9))
    assert found.season == 12
    assert out.startswith("sales: 60 values, ")
    for line in ("season: 12 steps", found.table(), found.verdict()):
        assert f"\n{line}" in out
    rows, model = forecast_in(out), found.deliver(Y)
    assert [row["date"][:7] for row in rows] == ["2005-01", "2005-02", "2005-03"]
    np.testing.assert_allclose(numbers(rows, "sales"), model.predict(Y, times=TIMES), rtol=1e-5)
    bands = model.predict_quantiles(Y, times=TIMES)
    np.testing.assert_allclose(numbers(rows, "sales_0.9"), bands[:, 1], rtol=1e-5)


@pytest.mark.usefixtures("no_ets")
def test_options_reach_the_model(folder):
    options = ("--season", 6, "--width", 9, "--seed", 3, "--threads", 1, "--quantiles", 0.1, 0.5, 0.9, "-q")
    out, _ = run("forecast", "one.csv", *FEW, 2, *options, "--model", "gru", cwd=folder)
    assert "\nseason: 6 steps\n" in out
    options = {"season": 6, "width": 9, "seed": 3, "quantiles": (0.1, 0.5, 0.9)}
    due = Forecaster(2, **options).fit(Y).predict_quantiles(Y)
    for name, values in zip(("_0.1", "_0.5", "_0.9"), due.T, strict=True):
        np.testing.assert_allclose(numbers(forecast_in(out), f"sales{name}"), values, rtol=1e-5)
    assert backtest(Y, 2, 2, times=TIMES, model="GRU", **options).table() in out


@pytest.mark.parametrize("name", ["linear", "naive", "seasonal naive", "climatology", "ETS"])
def test_another_model_makes_the_forecast(folder, name, tmp_path):
    if name == "ETS":
        pytest.importorskip("statsmodels")
    option = name.split()[0].lower()
    common = ("forecast", "one.csv", "--horizon", 2, "--model", option, "--save", tmp_path / "m")
    out, _ = run(*common, "--origins", 0, cwd=folder)
    model = load(tmp_path / "m")
    assert (model.weights, model.season) == ({name: 1.0}, 12)
    np.testing.assert_allclose(numbers(forecast_in(out), "sales"), model.predict(Y, times=TIMES), rtol=1e-5)
    assert "MASE" not in out
    out, _ = run(*common, "--origins", 2, "--quantiles", 0.1, 0.9, cwd=folder)
    assert f"\ndelivered: {name}; " in out
    bands = load(tmp_path / "m").predict_quantiles(Y, times=TIMES)
    np.testing.assert_allclose(numbers(forecast_in(out), "sales_0.1"), bands[:, 0], rtol=1e-5)


@pytest.mark.usefixtures("no_ets")
def test_the_best_model_is_advised_where_another_is_fixed(folder):
    write(folder / "walk.csv", date=TIMES, sales=np.cumsum(np.random.default_rng(1).standard_normal(N)) + 100)
    common = ("forecast", "walk.csv", *FEW, 4, "--model")
    out, _ = run(*common, "seasonal", cwd=folder)
    advice = re.search(r"\ndelivered: seasonal naive; .* higher .*; --model (\S+) forecasts by the best\n", out)
    out, _ = run(*common, advice[1], cwd=folder)
    assert "forecasts by the best" not in out


def test_without_statsmodels_the_table_lacks_it_and_says_so_once(folder, monkeypatch):
    monkeypatch.setitem(sys.modules, "statsmodels.tsa.holtwinters", None)
    out, _ = run("forecast", "one.csv", *FEW, 2, cwd=folder)
    assert out.count("ETS") == out.count("note: ETS: statsmodels is missing: pip install statsmodels\n") == 1
    assert "argument --model: ETS" in refused("forecast", "one.csv", *FEW, 0, "--model", "ets", cwd=folder)


@pytest.mark.usefixtures("no_ets")
def test_seasons(folder):
    write(folder / "years.csv", date=np.arange("1950", "2010", dtype="M8[Y]"), y=np.sin(2 * np.pi * np.arange(N) / 3))
    write(folder / "short.csv", date=TIMES[:30], y=Y[:30])
    write(folder / "plain.csv", y=Y)
    for name, season, origins in (
        ("one", "12 steps; --season sets another", 2),
        ("years", "none; --season sets another", 2),
        ("plain", "none; --season sets another", 0),
        ("short", "none, since two of 12 steps need more values before the first test; --season sets another", 8),
        ("short", "12 steps; --season sets another", 0),
    ):
        out, _ = run("forecast", f"{name}.csv", *FEW, origins, "--model", "naive", cwd=folder)
        assert f"\nseason: {season}\n" in out


def test_missing_values_and_times(folder):
    out, _ = run("forecast", "gap.csv", *FEW, 0, "--missing", "interpolate", cwd=folder)
    assert "sales: 58 values and 2 missing" in out
    y = Y.copy()
    y[[7, 30]] = np.nan
    due = Forecaster(2, season=12, missing="interpolate").fit(y).predict(y)
    np.testing.assert_allclose(numbers(forecast_in(out), "sales"), due, rtol=1e-5)
    options = ("--missing", "interpolate", "--model", "naive")
    assert "58 values and 2 missing" in run("forecast", "hole.csv", *FEW, 0, *options, cwd=folder)[0]


@pytest.mark.usefixtures("no_ets")
@pytest.mark.parametrize("tests", [0, 2])
def test_several_series_and_inputs(folder, tests):
    options = ("--label", "a,b", "--inputs", "x", "--model", "gru")
    out, _ = run("forecast", "wide.csv", *FEW, tests, *options, cwd=folder)
    rows, y, inputs = forecast_in(out), [Y, Y + X], [X[:, None]] * 2
    places = [(row["series"], row["date"][:7]) for row in rows]
    assert places == [(name, time) for name in "ab" for time in ("2005-01", "2005-02")]
    model = Forecaster(2, season=12).fit(y, inputs)
    np.testing.assert_allclose(numbers(rows, "forecast"), np.concatenate(model.predict(y, inputs)), rtol=1e-5)
    if tests:
        assert backtest(y, 2, 2, X=inputs, times=[TIMES] * 2, model="GRU").table() in out


def test_a_table_of_ids(folder):
    out, _ = run("forecast", "uneven.csv", *FEW, 0, "--id", "id", "--model", "naive", cwd=folder)
    due = [("n", "2005-01"), ("n", "2005-02"), ("s", "2004-12"), ("s", "2005-01")]
    assert [(row["series"], row["date"][:7]) for row in forecast_in(out)] == due


@pytest.mark.usefixtures("no_ets")
def test_inputs_that_are_known_in_the_future(folder):
    options = ("--horizon", 3, "--origins", 2, "--label", "sales", "--known", "promo", "--model", "gru")
    out, _ = run("forecast", "known.csv", *options, cwd=folder)
    assert ", 1 known in the future\n" in out
    given = {"known": PROMO[:, None]}
    model = Forecaster(3, season=12).fit(SOLD[:N], **given)
    np.testing.assert_allclose(numbers(forecast_in(out), "sales"), model.predict(SOLD[:N], **given), rtol=1e-5)
    assert backtest(SOLD[:N], 3, 2, times=TIMES, model="GRU", **given).table() in out


def test_the_calendar_is_read_on_request(folder):
    days = np.datetime64("2022-01-01") + np.arange(53)
    write(folder / "daily.csv", date=days[:50], y=np.arange(50) % 9)
    options = ("forecast", "daily.csv", "--horizon", 3, "--origins", 0)
    out, _ = run(*options, "--calendar", cwd=folder)
    given, y = {"known": calendar(days, ["week", "year"])}, np.arange(50) % 9
    due = Forecaster(3, season=7).fit(y, **given).predict(y, **given)
    np.testing.assert_allclose(numbers(forecast_in(out), "y"), due, rtol=1e-5)
    due = Forecaster(3, season=7).fit(y).predict(y)
    np.testing.assert_allclose(numbers(forecast_in(run(*options, cwd=folder)[0]), "y"), due, rtol=1e-5)


@pytest.mark.slow
def test_files(folder, tmp_path, monkeypatch):
    figure = pytest.importorskip("matplotlib.figure")
    drawn, save = [], figure.Figure.savefig
    monkeypatch.setattr(figure.Figure, "savefig", lambda self, *a, **o: drawn.append(self) or save(self, *a, **o))
    files = {"-o": "f.csv", "--plot": "f.png", "--html": "f.html", "--save": "f.npz"}
    options = [each for option, name in files.items() for each in (option, tmp_path / name)]
    out, _ = run("forecast", "one.csv", *FEW, 2, "--quantiles", 0.2, 0.8, *options, cwd=folder)
    assert "date,sales" not in out
    rows, model = forecast_in((tmp_path / "f.csv").read_text()), load(tmp_path / "f.npz")
    points, bands = (getattr(model, name)(Y, times=TIMES) for name in ("predict", "predict_quantiles"))
    np.testing.assert_allclose(numbers(rows, "sales"), points, rtol=1e-11)
    np.testing.assert_allclose(numbers(rows, "sales_0.8"), bands[:, 1], rtol=1e-11)
    assert (tmp_path / "f.png").read_bytes().startswith(b"\x89PNG")
    page = (tmp_path / "f.html").read_text()
    assert f'<p class="score">{re.search("delivered: .*? origins", out)[0]}' in page
    assert all(f"<td>{float(row['sales']):.6g}</td>" in page for row in rows)
    (axis,) = drawn[0].axes
    known, forecast = axis.lines
    np.testing.assert_array_equal(known.get_ydata(), Y)
    assert known.get_xdata()[-1] == forecast.get_xdata()[0] == TIMES[-1]
    np.testing.assert_allclose(forecast.get_ydata()[1:], points, rtol=1e-5)


def test_a_pipe(folder, monkeypatch):
    options = (*FEW, 0, "--model", "naive")
    due, _ = run("forecast", "one.csv", *options, "-o", "there.csv", cwd=folder)
    pipe(folder / "one.csv", monkeypatch)
    out, err = run("forecast", "-", *options, "-o", "-", cwd=folder)
    assert out == (folder / "there.csv").read_text()
    assert err == due.replace("forecast in there.csv\n", "")
    for what, options in (("one", ("--horizon", 50)), ("gap", ("--horizon", 2))):  # too long; a value is missing
        pipe(folder / f"{what}.csv", monkeypatch)
        _, error = run("forecast", "-", *options, cwd=folder, code=2)
        _, due = run("forecast", f"{what}.csv", *options, cwd=folder, code=2)
        assert error == due.replace(f"{what}.csv", "standard input")


@pytest.mark.parametrize(
    ("table", "arguments", "words"),
    [
        ("one", (), "--horizon"),
        ("one", ("--horizon", 0), "argument --horizon"),
        ("one", ("--horizon", 3, "--origins", -1), "argument --origins"),
        ("one", ("--horizon", 3, "--season", 0), "argument --season"),
        ("one", ("--horizon", 3, "--quantiles", 1), "argument --quantiles"),
        ("one", ("--horizon", 3, "--quantiles", 0.9, 0.1), "quantiles: expected levels .* that rise"),
        ("one", ("--horizon", 3, "--model", "naive", "--quantiles", 0.5, "--origins", 0), "argument --quantiles"),
        ("one", ("--horizon", 3, "--model", "arima"), "argument --model"),
        ("one", ("--horizon", 3, "--missing", "drop"), "argument --missing"),
        ("none", ("--horizon", 3), "none.csv: No such file"),
        ("one", ("--horizon", 60), "one.csv: sales: expected at least"),
        ("one", ("--horizon", 3, "--season", 12, "--width", 11), "width: expected at least a season of 12"),
        ("one", ("--horizon", 3, "--season", 40), "one.csv: sales: expected at least"),
        ("one", ("--horizon", 3, "--label", "z"), "label: expected"),
        ("gap", ("--horizon", 3), r"gap.csv: sales: expected .* none at 2000-08.* \(in all at 2\); --missing interpol"),
        ("steps", ("--horizon", 3, "--id", "id", "--origins", 0), "steps.csv: expected series of one step"),
        ("uneven", ("--horizon", 3, "--id", "id"), "--origins 0"),
        ("few", ("--horizon", 3, "--id", "id", "--origins", 1), "few.csv: new: expected at least"),
        ("few", ("--horizon", 3, "--id", "id", "--origins", 0, "--season", 12), "new: expected at least 24 values"),
        ("one", ("--horizon", 3, "--calendar", "--time", ""), "argument --calendar: expected dates"),
        ("known", (*FEW, 0, "--label", "sales", "--known", "promo,odd"), "known inputs: expected .* at 2000-06"),
        (
            "known",
            ("--horizon", 4, "--label", "sales", "--known", "promo"),
            "argument --known: expected promo .* 3;",
        ),
        ("one", ("--horizon", 3, "-o", "one.csv"), "one.csv: this would overwrite"),
        ("one", ("--horizon", 3, "--save", "m", "-o", "m"), "m: this would overwrite"),
        ("one", ("--horizon", 3, "-o", "nowhere/f.csv"), "nowhere/f.csv: the folder .* does not exist"),
        ("one", ("--horizon", 3, "--html", "p.txt"), "argument --html"),
    ],
)
def test_refusals(folder, table, arguments, words):
    before = sorted(folder.iterdir())
    out, err = run("forecast", f"{table}.csv", *arguments, cwd=folder, code=2)
    assert "MASE" not in out
    assert re.search(f"^cgru: error: .*{words}", err), err
    assert sorted(folder.iterdir()) == before


def test_the_printed_command_mends_a_refusal(tmp_path):
    rows = [f"2024-{1 + i // 28:02}-{1 + i % 28:02};{i % 7},5 kW\n" for i in range(60)]
    (tmp_path / "t.csv").write_text("Logger\ndate;load\n" + "".join(rows))
    command = refused("forecast", "t.csv", "--horizon", 2, "--model", "naive", cwd=tmp_path).splitlines()[-1]
    assert "--value-units" in command
    assert run(*shlex.split(command)[1:], "--missing", "interpolate", cwd=tmp_path)[0].endswith("3.5\n")


def test_the_help_describes_a_table(folder):
    out, _ = run("forecast", "--help", cwd=folder)
    assert "SERIES.csv is a table" in out
