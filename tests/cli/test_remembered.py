"""What a model remembers of its training, and what is said of other data by it."""

import csv
import re

import numpy as np
import pytest
from cli_cases import QUICK, X, Y, refused, run

import cgru
from cgru.cli.data import columns_of

SHORT = (*QUICK, "--epochs", 2, "--remember-samples")


def normalised(m, seed):
    """Series (m, 20, 1), each with mean 0 and deviation 1, and classes."""
    rng = np.random.default_rng(seed)
    x = rng.standard_normal((m, 20, 1)).cumsum(axis=1)
    return (x - x.mean(axis=1, keepdims=True)) / x.std(axis=1, keepdims=True), np.arange(m) % 2


def table(path, first, count, names, temperature=lambda t: t):
    """A long table of so many sequences, whose targets have these names."""
    with open(path, "w", newline="") as file:
        rows = csv.writer(file)
        rows.writerow(["id", "time", "temp", "hum", *names])
        for i in range(first, first + count):
            rng = np.random.default_rng(i)
            level = 20 + 8 * rng.standard_normal()
            targets = {"y": 3 * level, "z": 1000 * level, "num": level + 0.5, "num2": -level}
            for t in range(6):
                temp = round(temperature(level + rng.standard_normal()), 4)
                hum = round(50 + 10 * rng.standard_normal(), 3)
                rows.writerow([f"s{i}", t, temp, hum, *(targets[name] for name in names)])


# --- held-out data ---


@pytest.mark.slow
def test_series_that_are_normalised_one_by_one_are_told_apart(tmp_path):
    pytest.importorskip("sklearn")
    pytest.importorskip("matplotlib")
    (x, y), (other, labels) = normalised(40, 0), normalised(30, 1)
    np.savez(tmp_path / "d.npz", train_x=x, train_y=y, test_x=other, test_y=labels)
    out, _ = run("fit", "d.npz", *SHORT, "--html", "p.html", cwd=tmp_path)
    note = "none of 30 samples was among the training data"
    assert out.splitlines()[0].endswith(f"; {note}")
    assert f'<p class="small">{note}</p>' in (tmp_path / "p.html").read_text()
    assert run("evaluate", "cgru-model.npz", "d.npz", cwd=tmp_path)[0].endswith(f"; {note}\n")
    both = {"x": np.concatenate([other, x[:12].astype(np.float32)]), "y": np.concatenate([labels, y[:12]])}
    np.savez(tmp_path / "both.npz", **both)
    out, _ = run("evaluate", "cgru-model.npz", "both.npz", "--report", cwd=tmp_path)
    assert out.splitlines()[0].endswith("; 12 of 42 samples were among the training data")
    assert out.splitlines()[4] == "12 of 42 samples were among the training data"


def test_a_folder_of_arrays(tmp_path):
    x, y = normalised(40, 0)
    (tmp_path / "d").mkdir()
    np.save(tmp_path / "d" / "x.npy", x)
    np.save(tmp_path / "d" / "y.npy", y)
    out, _ = run("fit", "d", *SHORT, "--validation", 0.25, cwd=tmp_path)
    assert out.splitlines()[0].endswith("; these 10 samples chose the epoch: expect less of new data")
    np.savez(tmp_path / "d.npz", x=x.astype(np.float32), y=y)
    out, _ = run("evaluate", "cgru-model.npz", "d.npz", cwd=tmp_path)
    chose = "10 of 40 samples chose the epoch: expect less of new data"
    assert out.endswith(f"; 30 of 40 samples were among the training data; {chose}\n")


def test_a_model_that_does_not_remember(tmp_path):
    net = cgru.Network([cgru.GRU(2), cgru.Dense(2, "softmax")], seed=0)
    net.fit(X, Y, epochs=1, standardize=True)
    net.save(tmp_path / "model.npz")
    np.savez(tmp_path / "d.npz", x=X, y=Y)
    out, _ = run("evaluate", "model.npz", "d.npz", cwd=tmp_path)
    assert re.fullmatch(r"all of d.npz: loss \S+, accuracy \S+ \(\d+ of 40\)\n", out)
    out, _ = run("info", "model.npz", cwd=tmp_path)
    told = {line[:16].strip(): line[17:] for line in out.splitlines()}
    assert told["trained on"] == "samples that it does not remember"
    assert told["features"] == "3"
    assert told["classes"] == "0, 1"
    assert "targets" not in told


def test_a_fit_compares_samples_and_its_model_forgets_them(tmp_path):
    np.savez(tmp_path / "d.npz", train_x=X[:30], train_y=Y[:30], test_x=X[20:], test_y=Y[20:])
    for options, due in (((), None), (("--remember-samples",), 30)):
        out, _ = run("fit", "d.npz", *QUICK, "--epochs", 2, *options, cwd=tmp_path)
        assert out.splitlines()[0].endswith("; 10 of 20 samples were among the training data")
        kept = cgru.load(tmp_path / "cgru-model.npz").remembered
        assert (kept and len(kept.trained.values)) == due


# --- names of targets ---


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A folder with tables of two targets, and a model of them."""
    folder = tmp_path_factory.mktemp("targets")
    table(folder / "train.csv", 0, 40, ["y", "z"])
    table(folder / "later.csv", 40, 20, ["z", "y"])
    run("fit", "train.csv", "--label", "y,z", *SHORT, "-o", "model.npz", cwd=folder)
    return folder


def test_targets_meet_by_name(folder, tmp_path):
    pytest.importorskip("sklearn")
    due, _ = run("evaluate", "model.npz", "later.csv", cwd=folder)
    for label in ("z,y", "y,z"):
        out, _ = run("evaluate", "model.npz", "later.csv", "--label", label, "--report", cwd=folder)
        assert out.splitlines()[0] + "\n" == due
        assert [line.split()[0] for line in out.splitlines()[7:9]] == ["y", "z"]
    error = refused("evaluate", "model.npz", "later.csv", "--label", "y", "--ignore", "z", cwd=folder)
    assert error == "cgru: error: later.csv: label: expected y, z, got y\n"
    table(tmp_path / "num.csv", 0, 30, ["num", "num2"])
    run("fit", "num.csv", "--label", "num", "--ignore", "num2", *SHORT, cwd=tmp_path)
    error = refused("evaluate", "cgru-model.npz", "num.csv", "--label", "num2", "--ignore", "num", cwd=tmp_path)
    assert error == "cgru: error: num.csv: label: expected num, got num2\n"
    run("fit", folder / "train.csv", "--label", "y,z", "--test", folder / "later.csv", *SHORT, cwd=tmp_path)
    tested = run("evaluate", "cgru-model.npz", folder / "later.csv", cwd=tmp_path)[0]
    fitted = run("fit", folder / "train.csv", "--label", "y,z", "--test", folder / "later.csv", *SHORT, cwd=tmp_path)[0]
    assert tested == fitted.splitlines()[0].replace("test ", "all of later.csv: ", 1) + "\n"


def test_a_test_file_with_another_target_is_refused(folder, tmp_path):
    table(tmp_path / "one.csv", 0, 30, ["num"])
    with open(tmp_path / "one.csv") as file:
        text = file.read()
    (tmp_path / "one.csv").write_text(text.replace(",num", ",target"))
    (tmp_path / "other.csv").write_text(text.replace(",num", ",label"))
    error = refused("fit", "one.csv", "--test", "other.csv", "--task", "regression", *SHORT, cwd=tmp_path)
    assert "other.csv: label: expected some of the columns" in error


def test_predictions_have_the_names_of_targets(folder):
    run("predict", "model.npz", "later.csv", "-o", "p.csv", cwd=folder)
    assert (folder / "p.csv").read_text().splitlines()[0] == "id,y,z"
    options = ("--label", "y", "--ignore", "z", "--loss", "quantile(0.1,0.9)", "-o", "q.npz")
    run("fit", "train.csv", *options, *SHORT, cwd=folder)
    run("predict", "q.npz", "later.csv", "-o", "p.csv", cwd=folder)
    assert (folder / "p.csv").read_text().splitlines()[0] == "id,y_0.1,y_0.9"


def test_a_model_says_what_it_is(folder):
    out, _ = run("info", "model.npz", cwd=folder)
    told = {line[:16].strip(): line[17:] for line in out.splitlines()}
    assert told["targets"] == "y, z"
    assert told["loss"] == "mean_squared_error"
    assert told["reads with"] == "--id id --time time --label y,z --columns temp,hum"
    assert told["trained on"] == "32 different samples, 8 more chose the epoch and the shrinkage"
    net = cgru.load(folder / "model.npz")
    (low, hum), (high, _) = net.remembered.low, net.remembered.high
    assert told["features"].startswith(f"temp {low:.4g} to {high:.4g}, hum {hum:.4g} to ")
    assert told["parameters"] == f"{sum(p.size for p in net.parameters().values())} of float32"
    assert told["layers"].startswith("Bidirectional(GRU(unit_cells=4")
    assert "classes" not in told


# --- units of features ---


@pytest.mark.slow
def test_features_far_outside_are_noted(folder, tmp_path):
    pytest.importorskip("sklearn")
    pytest.importorskip("matplotlib")
    table(tmp_path / "f.csv", 60, 20, ["y", "z"], lambda t: 1.8 * t + 32)
    high = cgru.load(folder / "model.npz").remembered.high[0]
    for command in ("predict", "evaluate"):
        _, err = run(command, folder / "model.npz", "f.csv", cwd=tmp_path)
        (note,) = (line for line in err.splitlines() if "training range" in line)
        assert note.startswith("note: temp: ")
        assert note.endswith(f" to {high:.4g}; is it in the same unit?")
        _, err = run(command, folder / "model.npz", folder / "later.csv", cwd=tmp_path)
        assert "training range" not in err
    out, _ = run("evaluate", folder / "model.npz", "f.csv", "--report", "--html", "p.html", cwd=tmp_path)
    assert "training range" in out
    assert '<p class="note">temp: ' in (tmp_path / "p.html").read_text()


# --- missing values ---


@pytest.mark.parametrize("kind", ["npz", "ts"])
def test_how_missing_values_are_filled_is_remembered(tmp_path, kind):
    rng = np.random.default_rng(0)
    x = rng.standard_normal((30, 8, 1)).round(3)
    x[::3, 2:4] = np.nan
    y = np.arange(30) % 2
    if kind == "npz":
        np.savez(tmp_path / "d.npz", x=x, y=y)
    else:
        words = np.where(np.isnan(x[:, :, 0]), "?", x[:, :, 0].astype(str))
        lines = [f"{','.join(row)}:{c}" for row, c in zip(words, y, strict=True)]
        (tmp_path / "d.ts").write_text("\n".join(["@classLabel true 0 1", "@data", *lines]) + "\n")
    name = f"d.{kind}"
    fitted, _ = run("fit", name, "--missing", "interpolate", *SHORT, cwd=tmp_path)
    assert columns_of(tmp_path / "cgru-model.npz").to_dict() == {"missing": "interpolate"}
    out, err = run("evaluate", "cgru-model.npz", name, cwd=tmp_path)
    assert "note: read as the model's own data were, --missing interpolate\n" in err
    assert out == fitted.splitlines()[0].replace("training ", f"all of {name}: ") + "\n"
    plain, _ = run("predict", "cgru-model.npz", name, cwd=tmp_path)
    asked = run("predict", "cgru-model.npz", name, "--missing", "interpolate", cwd=tmp_path)[0]
    zero = run("predict", "cgru-model.npz", name, "--missing", "zero", "-o", "z.csv", cwd=tmp_path)[1]
    assert plain == asked
    assert "(zero)" in zero
