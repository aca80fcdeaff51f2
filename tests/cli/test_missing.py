"""Words for what is missing, and times in two columns, as options of the command, keys of a plan, and in a model."""

import numpy as np
import pytest
from cli_cases import QUICK, refused, run

import cgru
from cgru.cli.arguments import parser
from cgru.cli.data import as_options
from cgru.datasets import read

rng = np.random.default_rng(0)


def table(first, count):
    """Of so many sequences, easily told apart, with the latest step first, and words where values are missing."""
    lines = ["id;Date;Time;a;b;label\n"]
    for i in range(first, first + count):
        for t in range(8, -1, -1):
            a, b = (f"{value:.2f}".replace(".", ",") for value in rng.normal(4 * (i % 2), 1, 2))
            day, hour = ("31.12.2023", "1.1.2024")[t // 5], 8 + t % 5
            a, b = "-999,0" if t == i % 7 else a, "-" if t == i % 5 else b
            lines.append(f"p{i};{day};{hour}.30;{a};{b};{('no', 'yes')[i % 2]}\n")
    return "".join(lines)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A folder with train.csv and test.csv, with words for what is missing, and model.npz fitted on them."""
    folder = tmp_path_factory.mktemp("missing")
    (folder / "train.csv").write_text(table(0, 20))
    (folder / "test.csv").write_text(table(50, 6))
    given = ("--na", "-999,-", "--missing", "forward", "--test", "test.csv")
    out, err = run("fit", "train.csv", *given, *QUICK, "-o", "model.npz", cwd=folder)
    assert "note: Date with Time is what steps are sorted by (--time Date,Time)\n" in err
    assert "note: filled 40 missing values (forward): a 20, b 20\n" in err
    assert out.startswith("test loss")
    return folder


def test_a_model_knows_the_words_and_the_times_of_its_data(folder):
    net = cgru.load(folder / "model.npz")
    assert (net.reading["na"], net.reading["time"]) == (["-999", "-"], ["Date", "Time"])
    data = cgru.datasets.read(folder / "test.csv", **net.reading)
    assert np.abs(data.train.X).max() < 20
    out, err = run("predict", "model.npz", "test.csv", cwd=folder)
    due = net.predict_classes(data.train.X, data.train.lengths)
    np.testing.assert_array_equal(out.split()[1::2], due)
    told = "--id id, --time Date,Time, --missing forward, --na -999,-"
    assert f"note: read as the model's own data were, {told}\n" in err
    assert run("predict", "model.npz", "test.csv", "--na", "-,-999", "--time", "Date,Time", cwd=folder)[0] == out
    assert "accuracy 100.00%" in run("evaluate", "model.npz", "test.csv", cwd=folder)[0]
    run("quantize", "model.npz", "test.csv", "-o", "small.npz", cwd=folder)
    assert cgru.load(folder / "small.npz").reading == net.reading
    error = refused("predict", "model.npz", "test.csv", "--na", "", cwd=folder)
    assert "b: expected numbers, got '-' in line" in error
    assert "; --na - takes it for missing; --columns ..." in error
    (folder / "plain.csv").write_text((folder / "test.csv").read_text().replace("-999,0", "").replace("-", ""))
    assert run("predict", "model.npz", "plain.csv", cwd=folder)[0] == out


def test_other_files_have_no_such_words(folder):
    np.savez(folder / "x.npz", x=np.ones((3, 4, 2)))
    why = "x.npz: na: expected nothing, since it says nothing of such a file, npz, got some"
    assert why in refused("data", "x.npz", "--na", "-", cwd=folder)
    (folder / "x.ts").write_text("@data\n1,2\n")
    assert "x.ts: na: expected nothing" in refused("data", "x.ts", "--na", "-", cwd=folder)
    assert run("predict", "model.npz", "x.npz", cwd=folder)[0]
    assert "argument --na: needs DATA" in refused("fit", "--na", "-", cwd=folder)


@pytest.mark.parametrize(
    ("given", "words"),
    [
        (["--na", "-999"], ("-999",)),
        (["--na", "-999,-"], ("-999", "-")),
        (["--na", "-"], ("-",)),
        (["--na", "--"], ("--",)),
        (["--na", "-,--,missing"], ("-", "--", "missing")),
        (["--na=-99.9,0"], ("-99.9", "0")),
        (["--na", "-.5,1"], ("-.5", "1")),
        (["--na", "missing,-999", "--wide"], ("missing", "-999")),
        (["--na", "-99, 9"], ("-99", "9")),
        (["--na", '"-99,9",-'], ("-99,9", "-")),
        (["--na", ""], ()),
    ],
    ids=str,
)
def test_words_that_begin_as_options_do(given, words):
    for command in (["data", "x.csv"], ["forecast", "x.csv", "--horizon", "1"]):
        if "--wide" not in given or command[0] == "data":
            assert parser().parse_args([*command, *given]).na == words
            assert parser().parse_args([command[0], *given, *command[1:]]).na == words


@pytest.mark.parametrize(
    ("word", "cure"),
    [
        ("-99,9", "expected -99.9 for one number, or '-99, 9' for two, got '-99,9'"),
        ("-,999,9999", "expected 999.9999 for one number, or '999, 9999' for two, got '-,999,9999'"),
        ("+1,2 ,x", "expected +1.2 for one number, or '+1, 2' for two, got '+1,2 ,x'"),
    ],
)
def test_a_decimal_comma_is_not_taken_for_two_numbers(folder, word, cure):
    assert refused("data", "train.csv", "--na", word, cwd=folder) == f"cgru: error: argument --na: {cure}\n"


def test_an_option_behind_it_is_no_word(folder):
    for option in ("--wide", "-o"):
        assert "--na: expected one argument" in refused("predict", "model.npz", "test.csv", "--na", option, cwd=folder)


def test_a_number_that_looks_like_a_missing_one_is_said(folder):
    lines = "".join(f"{i},{t},{-999 if t == 1 else t}\n" for i in range(3) for t in range(5))
    (folder / "doubt.csv").write_text(f"id,t,heat\n{lines}")
    out, _ = run("data", "doubt.csv", cwd=folder)
    assert out.endswith("note: heat has -999 3 times, far below all others (--na -999 takes it for missing)\n")
    assert "far" not in run("data", "doubt.csv", "--na", "-999", "--missing", "zero", cwd=folder)[0]


def test_advice_with_several_names():
    told = '(time=["Date", "Time (s)"]) or na="-", settles'
    assert as_options(told) == "(--time 'Date,Time (s)') or --na -, settles"


# --- forecast ---


def series(path, missing):
    values = np.round(50 + 10 * np.sin(2 * np.pi * np.arange(96) / 24), 3)
    cells = [missing if i in (7, 30) else value for i, value in enumerate(values)]
    lines = "".join(f"2024-01-{1 + i // 24:02},{i % 24:02}:00,{cell}\n" for i, cell in enumerate(cells))
    path.write_text(f"Date,Time,load\n{lines}")


@pytest.mark.slow
def test_a_forecast_of_hours_some_of_which_are_missing(folder):
    series(folder / "plain.csv", "")
    series(folder / "words.csv", "-999")
    quick = ("--horizon", 2, "--origins", 0, "--missing", "interpolate", "--model", "linear")
    due, _ = run("forecast", "plain.csv", *quick, cwd=folder)
    assert due.splitlines()[:2] == [
        "note: Date with Time is what steps are sorted by (--time Date,Time)",
        "load: 94 values and 2 missing, hourly, 2024-01-01 00:00 to 2024-01-04 23:00",
    ]
    lines = due.splitlines()
    assert lines[-3] == "Date Time,load"
    assert lines[-2].startswith("2024-01-05 00:00,")
    out, _ = run("forecast", "words.csv", *quick, "--na", "-999,-", "--time", "Date,Time", cwd=folder)
    assert out.splitlines() == lines[1:]
    out, _ = run("forecast", "words.csv", *quick, cwd=folder)
    assert "note: load has -999 2 times, far below all others (--na -999 takes it for missing)\n" in out
    error = refused("forecast", "words.csv", "--horizon", 2, "--na", "-999", cwd=folder)
    assert "load: expected a value at each step, got none at 2024-01-01 07:00 (in all at 2)" in error
    error = refused("forecast", "words.csv", *quick, "--time", "Date", cwd=folder)
    assert error.endswith("Date: expected each time once, got 2024-01-01 twice; --time Date,Time joins the two\n")
    error = refused("forecast", "words.csv", *quick, "--time", "Date,Hour", cwd=folder)
    assert "argument --time: expected one of the columns Date, Time, load, got 'Hour'" in error
    out, _ = run("forecast", "words.csv", *quick, "--time", "", cwd=folder)
    assert "load: 96 values, numbered, 0 to 95" in out


def test_what_is_said_of_one_of_several_series(folder):
    lines = "".join(f"2024-{1 + i:02},{i},{-999 if i in (3, 4) else i}\n" for i in range(12))
    (folder / "two.csv").write_text(f"month,a,b\n{lines}")
    quick = ("--horizon", 1, "--origins", 0, "--season", 1, "--width", 1, "--model", "naive")
    out, _ = run("forecast", "two.csv", *quick, "--target", "a", "b", cwd=folder)
    assert out.startswith(
        "note: b has -999 2 times, far below all others (--na -999 takes it for missing)\na: 12 values"
    )


def test_what_decays_is_read_by_a_grud_with_its_times(tmp_path):
    """However irregular; a model reads other data as its own."""
    rng, rows = np.random.default_rng(0), ["id,time,a,b,label"]
    for i in range(16):
        for time in np.cumsum(rng.exponential(3, rng.integers(3, 9))):
            cells = [f"{value:.3f}" * (rng.random() < 0.6) for value in (np.sin(time * (1 + i % 2)), rng.random())]
            rows.append(f"{i},{time:.3f},{cells[0]},{cells[1]},{'xy'[i % 2]}")
    (tmp_path / "data.csv").write_text("\n".join(rows))
    options = ("--units", 3, "--epochs", 2, "--budget", 0, "--validation", 0.25, "-o", "model.npz")
    run("fit", "data.csv", "--missing", "decay", *options, cwd=tmp_path)
    net = cgru.load(tmp_path / "model.npz")
    data = read(tmp_path / "data.csv", missing="decay")
    assert isinstance(net.layers[0], cgru.GRUD)
    assert 2 < net.layers[0].unit < 4
    assert net.reading["missing"] == "decay"
    out, _ = run("predict", "model.npz", "data.csv", cwd=tmp_path)
    due = net.predict_classes(data.train.X, data.train.lengths, **data.train.beside)
    assert [line.split("\t")[1] for line in out.splitlines() if line] == due.tolist()
    out, _ = run("evaluate", "model.npz", "data.csv", "--html", "page.html", cwd=tmp_path)
    assert f"{(due == data.train.y).mean():.2%}" in out
    for wrong, why in (
        (("fit", "data.csv", "--missing", "decay", "--inputs", "difference", *options), "expected raw beside"),
        (("fit", "data.csv", *options), "--missing forward fills"),
    ):
        assert why in refused(*wrong, cwd=tmp_path)
