"""The command: what it prints and writes."""

import csv
import re
import subprocess
import sys

import numpy as np
import pytest
from cli_cases import (
    NUMBER,
    QUICK,
    X,
    Y,
    accuracy_in,
    number_in,
    posix,
    refused,
    rng,
    run,
    start,
)

import cgru
from cgru.datasets import load_japanese_vowels
from cgru.estimators import recipe

# --- fit ---


@pytest.mark.slow
def test_fit_on_the_embedded_data(tmp_path):
    out, err = run("fit", cwd=tmp_path)
    score, effort, place = out.splitlines()
    assert re.fullmatch(rf"test loss {NUMBER}, accuracy \d\d\.\d\d% \(\d+ of 370\)", score)
    told = re.fullmatch(r"trained \d+ epochs in (\d+\.\d) s, (\d+\.\d) s of them to compare (\d+) networks", effort)
    assert float(told[1]) > float(told[2]) > 0
    assert err.count("\ncomparing networks: ") == int(told[3]) > 2
    err = re.sub(r"comparing networks: .*\n", "", err)
    assert place == "model in cgru-model.npz"
    assert accuracy_in(out) >= 95

    first, second, classes, chosen, *lines, after = err.splitlines()
    assert after.startswith("next: cgru predict cgru-model.npz DATA, cgru evaluate ")
    assert first == "Japanese Vowels: 270 samples of 7 to 26 steps of 12 features"
    assert second == "370 to test on of 7 to 29 steps of 12 features"
    assert classes == "classes: " + ", ".join(f"{i} 30" for i in range(9))
    assert re.match(r"chosen: .*: accuracy 0\.9\d* in 2 folds \(", chosen)
    assert 8 <= len(lines) <= 14
    for line in lines:
        assert re.fullmatch(rf"epoch +\d+/\d+: loss {NUMBER} acc \d+\.\d%", line)

    test = load_japanese_vowels().test
    net = cgru.load(tmp_path / "cgru-model.npz")
    assert accuracy_in(out) == pytest.approx(100 * net.evaluate(test.X, test.y)["accuracy"], abs=0.01)
    assert list(tmp_path.iterdir()) == [tmp_path / "cgru-model.npz"]
    again, _ = run("evaluate", "cgru-model.npz", cwd=tmp_path)
    assert again == "test split of Japanese Vowels: " + score.removeprefix("test ") + "\n"


def test_fit_is_repeatable_and_the_seed_counts(toy, tmp_path):
    for name, seed in (("a", 3), ("b", 3), ("c", 4)):
        run("fit", toy / "data.npz", *QUICK, "--epochs", 3, "--seed", seed, "-o", name, cwd=tmp_path)
    a, b, c = (cgru.load(tmp_path / name).predict(X) for name in "abc")
    np.testing.assert_array_equal(a, b)
    assert not np.array_equal(a, c)


def test_fit_does_what_its_options_say(toy, tmp_path, threads):
    options = (*QUICK, "--units", 5, "--layers", 2, "--epochs", 7, "--validation", 0.2, "--float64", "--threads", 1)
    out, err = run("fit", toy / "data.npz", *options, "-o", "model.npz", cwd=tmp_path)
    assert "trained 7 epochs" in out
    assert "\nheld back: 6 of 30 samples\n" in err
    assert re.search(rf"epoch 7/7: loss .* acc .*% val {NUMBER}/\d+\.\d%\n", err)
    net = cgru.load(tmp_path / "model.npz")
    assert [layer.d["u"] for layer in net.layers if "u" in layer.d] == [10, 10, 2]
    assert net.predict(X).dtype == np.float64
    assert cgru.get_num_threads() == 1
    assert tuple(net.class_names) == ("no", "yes")


def test_inputs_are_chosen_and_said(tmp_path):
    rng, y = np.random.default_rng(0), np.arange(60) % 2
    shapes = np.where(y[:, None] == 1, np.sin(np.arange(12)), np.cos(np.arange(12)))
    x = (shapes + 0.1 * rng.standard_normal((60, 12))) * 10 ** rng.uniform(-3, 3, (60, 1))
    np.savez(tmp_path / "data.npz", x=x[:, :, None], y=y, lengths=12 - np.arange(60) % 3)
    options = ("--units", 4, "--epochs", 90, "-o", "model.npz")
    out, err = run("fit", "data.npz", *options, cwd=tmp_path)
    said = next(line for line in err.splitlines() if line.startswith("chosen: "))
    assert re.match(r"chosen: normalize.*: accuracy [01][.\d]* in 2 folds \(raw: 0\.\d+; ", said)
    assert isinstance(cgru.load(tmp_path / "model.npz").layers[0], cgru.Normalize)
    assert "whether it was trained on these before" not in out
    assert "(60 of 60)" in run("evaluate", "model.npz", "data.npz", cwd=tmp_path)[0]

    _, err = run("fit", "data.npz", *options, "--budget", 0, cwd=tmp_path)
    assert "\nchosen: raw\n" in err
    _, err = run("fit", "data.npz", *options, "--causal", cwd=tmp_path)
    assert "normalize" not in err
    run("export", "model.npz", "-o", "model.c", cwd=tmp_path)
    _, err = run("fit", "data.npz", *options, "--inputs", "difference+frames(3,2)", cwd=tmp_path)
    assert "chosen" not in err
    assert cgru.load(tmp_path / "model.npz").layers[2].hop == 2
    assert "normalize" in refused("fit", "data.npz", "--causal", "--inputs", "normalize", cwd=tmp_path)
    assert 'expected "raw" or some of' in refused("fit", "data.npz", "--inputs", "frames", cwd=tmp_path)


def test_the_optimizer_is_the_one_that_was_asked_for(toy, tmp_path, monkeypatch):
    seen = []
    own = cgru.Adam.rate
    monkeypatch.setattr(cgru.Adam, "rate", lambda adam, *arguments: seen.append(adam) or own(adam, *arguments))
    fit = ("fit", toy / "data.npz", "--epochs", 1, "--units", 2, "--inputs", "raw")
    run(*fit, cwd=tmp_path)
    due = {"weight_decay": recipe.WEIGHT_DECAY, "clip_norm": 1.0, "schedule": recipe.SCHEDULE}
    assert set(seen) == {cgru.Adam(recipe.LEARNING_RATE, **due)}
    seen.clear()
    options = ("--learning-rate", 0.5, "--weight-decay", 0, "--clip-norm", 2)
    run(*fit, *options, cwd=tmp_path)
    assert set(seen) == {cgru.Adam(0.5, clip_norm=2.0, schedule=recipe.SCHEDULE)}


def test_sequences_are_counted_and_described(tmp_path):
    def told(*options, **arrays):
        np.savez(tmp_path / "data.npz", **arrays)
        _, err = run("fit", "data.npz", "--units", 1, "--epochs", 1, *options, cwd=tmp_path)
        return err.splitlines()

    assert told(x=X, y=Y)[:2] == ["data.npz: 40 samples of 5 steps of 3 features", "classes: 0 20, 1 20"]
    for share, held in ((0.001, 1), (0.25, 10), (0.999, 38)):  # a sequence of each class trains
        assert told("--validation", share, x=X, y=Y)[2] == f"held back: {held} of 40 samples"


def test_models_are_single_and_measured_by_default(toy, tmp_path):
    run("fit", toy / "data.npz", *QUICK, "--epochs", 1, cwd=tmp_path)
    net = cgru.load(tmp_path / "cgru-model.npz")
    assert {layer.dtype for layer in net.layers} == {np.dtype(np.float32)}
    np.testing.assert_allclose(net.mean, X[:30].mean(axis=(0, 1)), rtol=1e-5)
    np.testing.assert_allclose(net.scale, X[:30].std(axis=(0, 1)), rtol=1e-5)


def test_early_stopping(toy, tmp_path):
    options = ("--inputs", "raw", "--epochs", 3000, "--validation", 0.3, "--patience", 2, "--learning-rate", 0.5)
    out, err = run("fit", toy / "data.npz", *options, "--quiet", cwd=tmp_path)
    assert int(re.search(r"trained (\d+) epochs", out)[1]) < 3000
    assert (err, out[:9]) == ("", "test loss")


def test_fit_without_a_split(tmp_path):
    np.savez(tmp_path / "data.npz", x=X, y=Y, class_names=["left", "right"])
    out, _ = run("fit", "data.npz", *QUICK, "--epochs", 20, cwd=tmp_path)
    assert tuple(cgru.load(tmp_path / "cgru-model.npz").class_names) == ("left", "right")
    score = out.splitlines()[0].removeprefix("training ")
    same = f"all of data.npz: {score.partition(';')[0]}\n"
    assert run("evaluate", "cgru-model.npz", "data.npz", cwd=tmp_path)[0] == same
    note = "; no held-out data: the model was trained on these 40 samples"
    assert re.fullmatch(r"loss .*, accuracy .*% \(\d+ of 40\)", score.removesuffix(note))
    assert score.endswith(note)

    out, err = run("fit", "data.npz", *QUICK, "--epochs", 20, "--validation", 0.25, cwd=tmp_path)
    note = "these 10 samples chose the epoch: expect less of new data"
    assert re.match(rf"validation loss .* \(\d+ of 10\); {note}\ntrained", out)
    told = [line for line in err.splitlines() if line.startswith("epoch")]
    best = min(float(re.search(r"val ([^/]+)/", line)[1]) for line in told)
    assert number_in(out, "loss") == pytest.approx(best, rel=1e-2)


@pytest.mark.parametrize("columns", [(), (1,), (2,)])
def test_regression(tmp_path, columns):
    y = (1000 + 50 * X.sum(axis=(1, 2))).reshape(-1, *(1 for _ in columns)) * np.ones(columns)
    np.savez(tmp_path / "data.npz", x=X, y=y)
    fitted, shown = run("fit", "data.npz", *QUICK, "--epochs", 200, "--validation", 0, cwd=tmp_path)
    out, _ = run("evaluate", "cgru-model.npz", "data.npz", cwd=tmp_path)
    assert out == f"all of data.npz: {fitted.partition(';')[0].removeprefix('training ')}\n"
    assert number_in(out, "loss") < 0.1 * y.var()
    assert number_in(out, "RMSE") == pytest.approx(number_in(out, "loss") ** 0.5, rel=1e-3)
    assert number_in(shown.splitlines()[-2], "loss") == pytest.approx(number_in(out, "loss") / y.var(), rel=1)
    out, _ = run("predict", "cgru-model.npz", "data.npz", cwd=tmp_path)
    printed = np.array([line.split() for line in out.splitlines()], float)
    np.testing.assert_allclose(printed, cgru.load(tmp_path / "cgru-model.npz").predict(X), rtol=1e-6)
    assert np.abs(printed - y.reshape(40, -1)).mean() < 0.3 * y.std()


def test_the_units_of_a_validation_loss(toy, tmp_path):
    options = (*QUICK, "--epochs", 3, "--validation", 0.25)
    out, err = run("fit", toy / "numbers.npz", *options, cwd=tmp_path)
    losses = [float(re.search(r"val (\S+)", line)[1]) for line in err.splitlines() if line.startswith("epoch")]
    assert out.startswith("validation loss ")
    assert min(losses) < 10 < number_in(out, "loss")
    assert number_in(out, "RMSE") == pytest.approx(number_in(out, "loss") ** 0.5, rel=1e-3)


def test_a_regression_holds_a_fifth_back_unless_told_otherwise(toy, tmp_path):
    fit = ("fit", toy / "numbers.npz", *QUICK, "--epochs", 500)
    out, err = run(*fit, cwd=tmp_path)
    assert "held back: 8 of 40 samples" in err
    assert out.startswith("validation loss")
    assert int(re.search(r"trained (\d+) epochs", out)[1]) < 500  # out of patience
    out, err = run(*fit, "--validation", 0, cwd=tmp_path)
    assert "held back" not in err
    assert "trained 500 epochs" in out
    assert "--patience" in refused(*fit, "--validation", 0, "--patience", 3, cwd=tmp_path)


@pytest.mark.parametrize("loss", ["huber(0.5)", "quantile(0.1,0.5,0.9)", "gaussian", "poisson"])
def test_losses_of_numbers(tmp_path, loss):
    y = np.round(np.exp(X[:, :, 0].mean(axis=1)) * 3).astype(float)
    np.savez(tmp_path / "data.npz", x=X, y=y)
    options = (*QUICK, "--epochs", 60, "--loss", loss, "--validation", 0)
    fitted, _ = run("fit", "data.npz", *options, cwd=tmp_path)
    net = cgru.load(tmp_path / "cgru-model.npz")
    assert (net.loss, net.head.d["u"]) == (loss.replace(",", ", "), {"q": 3, "g": 2}.get(loss[0], 1))
    assert number_in(fitted, "RMSE") < 0.5 * y.std()
    out, _ = run("evaluate", "cgru-model.npz", "data.npz", cwd=tmp_path)
    assert number_in(out, "RMSE") == number_in(fitted, "RMSE")


def test_balanced_classes(tmp_path):
    few = np.r_[np.flatnonzero(Y == 0), np.flatnonzero(Y == 1)[:2]]
    x = X[few] - 2 * Y[few, None, None]  # nothing tells them apart
    np.savez(tmp_path / "data.npz", x=x, y=Y[few])
    counts = []
    for options in ((), ("--class-weight", "balanced")):
        run("fit", "data.npz", *QUICK, "--epochs", 5, "--learning-rate", "1e-3", *options, cwd=tmp_path)
        counts.append(cgru.load(tmp_path / "cgru-model.npz").predict(x)[:, 1].mean())
    assert counts[1] > counts[0] + 0.01


def test_it_says_where_nothing_was_learned(toy, tmp_path):
    weak = (*QUICK, "--epochs", 1, "--learning-rate", "1e-9")
    x = np.random.default_rng(0).standard_normal((40, 5, 3))
    for y, words in (
        (np.arange(40) % 5 == 0, "the most frequent class alone is 80.00%"),
        (np.arange(40) % 7 + 0.5, "held-out targets"),
    ):
        np.savez(tmp_path / "data.npz", x=x, y=y)
        _, err = run("fit", "data.npz", *weak, cwd=tmp_path)
        assert f"note: nothing was learned: {words}" in err
        assert "next: " not in err
    for data in ("data.npz", "numbers.npz"):
        _, err = run("fit", toy / data, *QUICK, cwd=tmp_path)
        assert "nothing was learned" not in err


def test_a_note_on_numbers_that_may_be_classes(tmp_path):
    for y, noted in ((Y / 1, True), (Y / 2, False), (np.arange(40.0), False)):
        np.savez(tmp_path / "data.npz", train_x=X, train_y=y)
        _, err = run("fit", "data.npz", *QUICK, "--epochs", 1, cwd=tmp_path)
        assert ("if these are classes" in err) == noted
        assert "\ntargets: numbers" in err


@pytest.mark.slow
def test_training_that_diverges(tmp_path):
    """It goes back to the best parameters, and on; in the end the file has these, and a note says so."""
    pytest.importorskip("matplotlib")
    np.savez(tmp_path / "data.npz", train_x=X, train_y=Y, test_x=X, test_y=Y)
    options = ("--learning-rate", 3e38, "--clip-norm", 1e30, "-q", "--plot", "curve.png", "--html", "page.html")
    for more in ((), ("--batch-size", 1)):
        out, err = run("fit", "data.npz", *QUICK, *options, *more, cwd=tmp_path)
        assert err.startswith("note: training diverged in epoch")
        assert "; it diverged again and ended with the best parameters, those " in err
        assert "; try a lower learning rate\n" in err
        assert out.startswith("test loss ")
        assert "nan" not in out.lower()
        run("predict", "cgru-model.npz", "data.npz", cwd=tmp_path)


@pytest.mark.slow
def test_training_that_diverges_in_its_first_epoch(toy, tmp_path):
    """There is no curve then, and a note says so."""
    pytest.importorskip("matplotlib")
    options = ("--learning-rate", 1e300, "-q", "--plot", "curve.png", "--html", "page.html")
    out, err = run("fit", toy / "numbers.npz", *QUICK, *options, cwd=tmp_path)
    assert "ended with the best parameters, those at its start" in err
    assert "note: curve.png is not written: training diverged in the first epoch\n" in err
    assert "trained 0 epochs" in out
    assert sorted(path.name for path in tmp_path.iterdir()) == ["cgru-model.npz", "page.html"]


@pytest.mark.slow
def test_the_curve(toy, tmp_path):
    pytest.importorskip("matplotlib")
    for name, magic in (("curve.png", b"\x89PNG"), ("curve.svg", b"<?xml")):
        run("fit", toy / "data.npz", *QUICK, "--epochs", 3, "--validation", 0.2, "--plot", name, cwd=tmp_path)
        assert (tmp_path / name).read_bytes().startswith(magic)
    assert {path.name for path in tmp_path.iterdir()} == {"curve.png", "curve.svg", "cgru-model.npz"}
    assert "<!-- data.npz: test loss " in (tmp_path / "curve.svg").read_text()


def test_extras_are_imported_where_they_are_used(tmp_path):
    program = "import sys, cgru.cli; sys.exit(bool({'tqdm', 'matplotlib'} & set(sys.modules)))"
    subprocess.run([sys.executable, "-c", program], cwd=tmp_path, check=True)


# --- predict, evaluate, info ---


def test_predict_prints_a_class_a_line(toy):
    out, err = run("predict", "model.npz", "data.npz", cwd=toy)
    assert out.split() == list(cgru.load(toy / "model.npz").predict_classes(X[30:]))
    assert "test split" in err
    assert np.mean(np.array(out.split()) == np.array(["no", "yes"])[Y[30:]]) > 0.8


def test_predict_takes_lengths(toy, tmp_path):
    lengths = rng.integers(1, 6, 40)
    frames = X[np.arange(5) < lengths[:, None]]
    np.savez(tmp_path / "x.npz", x=frames, lengths=lengths)
    run("predict", toy / "model.npz", "x.npz", "-o", "out.npz", cwd=tmp_path)
    with np.load(tmp_path / "out.npz") as written:
        expected = cgru.load(toy / "model.npz").predict(X, lengths)
        np.testing.assert_allclose(written["outputs"], expected, rtol=1e-5, atol=1e-7)


def test_predict_writes_files(toy, tmp_path):
    net = cgru.load(toy / "model.npz")
    outputs, classes = net.predict(X[30:]), list(net.predict_classes(X[30:]))
    (tmp_path / "out.csv").write_text("to be replaced")
    for name in ("out.npz", "out.csv"):
        out, _ = run("predict", toy / "model.npz", toy / "data.npz", "-o", name, cwd=tmp_path)
        assert out == ""
    with np.load(tmp_path / "out.npz", allow_pickle=False) as written:
        np.testing.assert_array_equal(written["outputs"], outputs)
        assert written["classes"].tolist() == classes
    with open(tmp_path / "out.csv", newline="", encoding="utf-8") as file:
        header, *rows = csv.reader(file)
    assert header == ["class", "no", "yes"]
    assert [row[0] for row in rows] == classes
    np.testing.assert_allclose(np.array([row[1:] for row in rows], np.float32), outputs, rtol=1e-6)
    assert len(list(tmp_path.iterdir())) == 2


def test_predict_writes_numbers(toy, tmp_path):
    run("fit", toy / "numbers.npz", *QUICK, "--epochs", 1, cwd=tmp_path)
    for name in ("out.npz", "out.csv"):
        run("predict", "cgru-model.npz", toy / "numbers.npz", "-o", name, cwd=tmp_path)
    with np.load(tmp_path / "out.npz") as written:
        assert written.files == ["outputs"]
        assert written["outputs"].shape == (40, 1)
    assert (tmp_path / "out.csv").read_text().splitlines()[0] == "output_0"


@pytest.mark.parametrize("sequences", [False, True])
def test_a_model_without_a_head(tmp_path, sequences):
    net = cgru.Network([cgru.GRU(2, sequences=sequences)], seed=0)
    due = net.predict(X[:3])
    net.save(tmp_path / "model.npz")
    np.savez(tmp_path / "x.npz", x=X[:3], y=Y[:3])
    out, _ = run("predict", "model.npz", "x.npz", cwd=tmp_path)
    found = np.array([line.split("\t")[-2:] for line in out.splitlines()], float)
    np.testing.assert_allclose(found.reshape(due.shape), due, rtol=1e-6)
    for name in ("out.npz", "out.csv"):
        run("predict", "model.npz", "x.npz", "-o", name, cwd=tmp_path)
    with np.load(tmp_path / "out.npz") as written:
        np.testing.assert_array_equal(written["outputs"], due)
    assert "no loss" in refused("evaluate", "model.npz", "x.npz", cwd=tmp_path)


@posix
def test_predict_into_a_pipe_that_nobody_reads(toy, tmp_path):
    np.savez(tmp_path / "x.npz", x=np.tile(X, (1000, 1, 1)))
    process = start("predict", toy / "model.npz", "x.npz", cwd=tmp_path)
    process.stdout.close()
    assert process.stderr.read() == ""
    process.stderr.close()
    assert process.wait(timeout=60) == 141


def test_evaluate_finds_the_classes_by_name(toy, tmp_path):
    names = np.array(["no", "yes"])
    right, _ = run("evaluate", toy / "model.npz", toy / "data.npz", cwd=tmp_path)
    for y, extra in ((1 - Y, {"class_names": ["yes", "no"]}), (names[Y], {})):
        np.savez(tmp_path / "data.npz", test_x=X[30:], test_y=y[30:], **extra)
        out, _ = run("evaluate", toy / "model.npz", "data.npz", cwd=tmp_path)
        assert out.split("data.npz")[1] == right.split("data.npz")[1]


def test_integer_classes_keep_their_values(tmp_path):
    np.savez(tmp_path / "data.npz", x=X, y=np.where(Y, 10, -3))
    run("fit", "data.npz", *QUICK, "--epochs", 30, cwd=tmp_path)
    out, _ = run("predict", "cgru-model.npz", "data.npz", cwd=tmp_path)
    assert set(out.split()) == {"-3", "10"}
    assert accuracy_in(run("evaluate", "cgru-model.npz", "data.npz", cwd=tmp_path)[0]) > 80


def test_integers_mean_the_classes_of_a_model_that_has_no_names(tmp_path):
    layers = [cgru.GRU(4), cgru.Dense(2, activate=cgru.softmax)]
    net = cgru.Network(layers, seed=0)
    net.fit(X, Y, epochs=1)
    net.save(tmp_path / "model.npz")
    np.savez(tmp_path / "data.npz", x=X, y=Y)
    out, _ = run("evaluate", "model.npz", "data.npz", cwd=tmp_path)
    assert accuracy_in(out) == pytest.approx(100 * net.evaluate(X, Y)["accuracy"], abs=0.01)


def test_info(tmp_path):
    out, err = run("info", cwd=tmp_path)
    assert err == ""
    for words in (cgru.__version__, np.__version__, cgru.core.kernels.level(), "threads", "tqdm"):
        assert words in out


# --- classes at each step, and pools ---


def test_a_class_for_each_step(steps):
    net, lengths = cgru.load(steps / "model.npz"), np.arange(40) % 5 + 1
    due = net.predict_classes(X, lengths)
    out, _ = run("predict", "model.npz", "data.npz", cwd=steps)
    assert out == "".join(f"{i}\t{t}\t{due[i, t]}\n" for i in range(40) for t in range(lengths[i]))
    scores = {run("evaluate", "model.npz", name, cwd=steps)[0].split(": ")[1] for name in ("data.npz", "frames.npz")}
    assert len(scores) == 1
    assert accuracy_in(f"{scores}") > 80
    for name in ("out.npz", "out.csv"):
        run("predict", "model.npz", "frames.npz", "-o", name, cwd=steps)
    with np.load(steps / "out.npz") as written:
        assert written["outputs"].shape == (40, 5, 2)
        assert written["classes"].tolist() == due.tolist()
    with open(steps / "out.csv", newline="", encoding="utf-8") as file:
        header, *rows = csv.reader(file)
    assert header == ["sequence", "step", "class", "high", "low"]
    assert len(rows) == lengths.sum()
    assert [row[:3] for row in rows[:3]] == [["0", "0", due[0, 0]], ["1", "0", due[1, 0]], ["1", "1", due[1, 1]]]


def test_classes_at_steps_are_not_those_of_sequences(steps, toy):
    for folder, other, due in ((steps, toy, "each sequence"), (toy, steps, "each step")):
        assert due in refused("evaluate", other / "model.npz", "data.npz", cwd=folder)
    assert "--pool" in refused("fit", "data.npz", "--pool", "mean", "-o", "other.npz", cwd=steps)


@pytest.mark.parametrize("pool", ["last", "mean", "max", "last+mean+max", "attention", "last+mean+attention"])
def test_pools(toy, tmp_path, pool):
    run("fit", toy / "data.npz", *QUICK, "--layers", 2, "--dropout", 0.2, "--pool", pool, cwd=tmp_path)
    kinds = [type(layer).__name__ for layer in cgru.load(tmp_path / "cgru-model.npz").layers]
    top = ["Bidirectional", "Pool"] if pool != "last" else ["Bidirectional"]
    assert kinds == ["Bidirectional", "Dropout", *top, "Dropout", "Dense"]
    assert accuracy_in(run("evaluate", "cgru-model.npz", toy / "data.npz", cwd=tmp_path)[0]) > 60


def test_several_labels_a_line(toy, tmp_path):
    for name, layers in (("one", [cgru.GRU(2)]), ("steps", [cgru.GRU(2, sequences=True)])):
        net = cgru.Network([*layers, cgru.Dense(3)], seed=0)
        due = net.predict_classes(X)
        net.save(tmp_path / name)
        np.savez(tmp_path / "x.npz", x=X)
        out, _ = run("predict", name, "x.npz", cwd=tmp_path)
        assert [line.split("\t")[-1].split() for line in out.splitlines()] == due.reshape(-1, 3).astype(str).tolist()
        run("predict", name, "x.npz", "-o", f"{name}.npz", cwd=tmp_path)
        with np.load(tmp_path / f"{name}.npz") as written:
            assert written["classes"].tolist() == due.astype(str).tolist()


def test_a_model_of_tokens(toy, tmp_path):
    net = cgru.Network([cgru.Embedding(3, 2), cgru.GRU(2), cgru.Dense(2, cgru.softmax)])
    net.predict([[0, 1]])
    net.save(tmp_path / "tokens.npz")
    assert "takes tokens" in refused("predict", "tokens.npz", toy / "data.npz", cwd=tmp_path)
