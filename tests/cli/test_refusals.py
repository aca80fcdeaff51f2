"""What the command refuses, by name, and what it leaves alone."""

import os
import pathlib
import re

import numpy as np
import pytest
from cli_cases import ENDLESS, QUICK, X, Y, ended, posix, refused, run, start

import cgru


@posix
def test_an_output_that_leads_to_what_is_read(toy, tmp_path):
    (tmp_path / "link.npz").symlink_to(toy / "data.npz")
    (tmp_path / "out.csv").symlink_to(toy / "model.npz")
    before = (toy / "data.npz").read_bytes(), (toy / "model.npz").read_bytes()
    for arguments in (
        ("fit", toy / "data.npz", *ENDLESS, "-o", "link.npz"),
        ("fit", "link.npz", *ENDLESS, "-o", toy / "data.npz"),
        ("predict", toy / "model.npz", toy / "data.npz", "-o", "link.npz"),
        ("predict", toy / "model.npz", toy / "data.npz", "-o", "out.csv"),
    ):
        assert "overwrite" in refused(*arguments, cwd=tmp_path)
    assert before == ((toy / "data.npz").read_bytes(), (toy / "model.npz").read_bytes())


def test_an_export_whose_header_is_the_model(tmp_path):
    net = cgru.Network([cgru.GRU(2)], seed=0)
    net.predict(X)
    net.save(tmp_path / "model.h")
    before = (tmp_path / "model.h").read_bytes()
    assert "model.h: this would overwrite" in refused("export", "model.h", "-o", "model.c", cwd=tmp_path)
    assert (tmp_path / "model.h").read_bytes() == before
    assert len(list(tmp_path.iterdir())) == 1


def test_the_curve_is_not_the_model(toy, tmp_path):
    pytest.importorskip("matplotlib")
    options = ("-o", "same.png", "--plot", "same.png")
    assert "overwrite" in refused("fit", toy / "data.npz", *ENDLESS, *options, cwd=tmp_path)


@posix
def test_modes_of_what_is_written(toy, tmp_path):
    pytest.importorskip("matplotlib")
    names = ("m.npz", "c.png", "out.npz", "out.csv")
    for name in names:
        (tmp_path / name).touch(0o600)
    run("fit", toy / "data.npz", *QUICK, "--epochs", 1, "-o", "m.npz", "--plot", "c.png", cwd=tmp_path)
    for name in names[2:]:
        run("predict", "m.npz", toy / "data.npz", "-o", name, cwd=tmp_path)
    for name in names:
        assert (tmp_path / name).stat().st_size
        assert (tmp_path / name).stat().st_mode & 0o777 == 0o600
        (tmp_path / name).chmod(0o400)
    for option, name in (("-o", "m.npz"), ("--plot", "c.png")):
        assert f"{name}: this file is read-only" in refused("fit", *ENDLESS, option, name, cwd=tmp_path)


@pytest.mark.parametrize("value", [{"CGRU_NUM_THREADS": "abc"}, {"CGRU_SIMD": "foo"}])
def test_settings_that_are_none(tmp_path, monkeypatch, value):
    ((name, text),) = value.items()
    monkeypatch.setenv(name, text)
    out, err = ended(start("info", cwd=tmp_path), 2)
    assert out == ""
    assert re.fullmatch(rf"cgru: error: {name}: expected .*, got '{text}'\n", err)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["fit", "--patience", "3"], ["--patience", "--validation"]),
        (["fit", "-o", "."], [".: Is a directory"]),
        (["fit", "-o", os.devnull], [os.devnull, "no regular file"]),
        (["fit", *ENDLESS, "--plot", "n" * 300 + ".png"], ["nnn.png: File name too long"]),
        (["fit", "data.npz", "-o", "data.npz"], ["data.npz", "overwrite"]),
        (["fit", "none.npz"], ["none.npz", "No such file"]),
        (["fit", "."], [".", "expected an array x, or train_x"]),
        (["fit", "text.npz"], ["text.npz", ".npz"]),
        (["fit", "model.npz"], ["model.npz", "expected an array x"]),
        (["predict", "none.npz", "data.npz"], ["none.npz", "No such file"]),
        (["predict", "model.npz", "none.npz"], ["none.npz", "No such file"]),
        (["predict", "text.npz", "data.npz"], ["text.npz", "not a cgru model"]),
        (["predict", "data.npz", "data.npz"], ["data.npz", "not a cgru model"]),
        (["predict", "model.npz", "data.npz", "-o", "model.npz"], ["model.npz", "overwrite"]),
        (["evaluate", "model.npz"], ["Japanese Vowels", "expected 3 features", "model.npz", "got 12"]),
        (["evaluate", "text.npz"], ["text.npz", "not a cgru model"]),
        (["evaluate", "model.npz", "data.npz", "--html", "page.txt"], ["--html", ".html", "page.txt"]),
        (["fit", "data.npz", "--html", "page.txt"], ["--html", ".html", "page.txt"]),
        (["fit", "data.npz", "-o", "page.html", "--html", "page.html"], ["page.html", "overwrite"]),
        (["export", "model.npz", "-o", "model.c"], ["model.npz", "a step at a time", "--causal"]),
    ],
    ids=" ".join,
)
def test_wrong_requests(toy, arguments, words):
    (toy / "text.npz").write_text("no archive\n")
    before = sorted(toy.iterdir())
    error = refused(*arguments, cwd=toy)
    for word in words:
        assert word in error
    assert sorted(toy.iterdir()) == before


def nan(x):
    x = x.copy()
    x[2, 1, 0] = np.nan
    return x


@pytest.mark.parametrize(
    ("command", "arrays", "words"),
    [  # a case of each reason: test_task.py has all of targets, test_datasets.py those of arrays
        ("fit", {"x": X}, ["y is missing"]),
        ("fit", {"x": X[:, :, 0], "y": Y}, ["x: ", "(40, 5)"]),
        ("fit", {"x": X, "y": np.where(Y, np.inf, 0)}, ["y: ", "finite numbers"]),
        ("fit", {"x": nan(X), "y": Y}, ["x: ", "--missing"]),
        ("fit", {"train_x": X, "train_y": Y, "test_x": nan(X), "test_y": Y}, ["test_x: ", "NaN"]),
        ("evaluate", {"x": X[:, :, :2], "y": Y}, ["3", "2"]),
        ("evaluate", {"x": X, "y": np.array(["no", "perhaps"])[Y]}, ["no, yes", "perhaps"]),
        ("evaluate", {"x": nan(X), "y": Y, "class_names": ["no", "yes"]}, ["x: "]),
    ],
)
def test_data_that_cannot_be_used(toy, tmp_path, command, arrays, words):
    np.savez(tmp_path / "data.npz", **arrays)
    error = refused(command, *[toy / "model.npz"] * (command == "evaluate"), "data.npz", cwd=tmp_path)
    for word in ("data.npz: ", *words):
        assert word in error
    assert len(list(tmp_path.iterdir())) == 1


@pytest.mark.parametrize("y", [Y.astype(str), np.ones((40, 2))])
def test_numbers_that_cannot_be_evaluated(toy, tmp_path, y):
    run("fit", toy / "numbers.npz", *QUICK, "--epochs", 1, cwd=tmp_path)
    np.savez(tmp_path / "data.npz", x=X, y=y)
    assert "data.npz: " in refused("evaluate", "cgru-model.npz", "data.npz", cwd=tmp_path)
    np.savez(tmp_path / "data.npz", x=X, y=Y)  # integers are numbers where the model predicts some
    whole = run("evaluate", "cgru-model.npz", "data.npz", cwd=tmp_path)
    np.savez(tmp_path / "data.npz", x=X, y=Y.astype(float))
    assert run("evaluate", "cgru-model.npz", "data.npz", cwd=tmp_path)[0] == whole[0]


def test_integers_as_targets_of_a_regression(tmp_path):
    np.savez(tmp_path / "data.npz", x=X, y=np.arange(40) * 10)
    error = refused("fit", "data.npz", "--loss", "huber", cwd=tmp_path)
    assert error.endswith("got huber; leave it out, or --task regression takes integers for numbers\n")
    run("fit", "data.npz", "--task", "regression", "--loss", "huber", *QUICK, "--epochs", 1, cwd=tmp_path)
    assert cgru.load(tmp_path / "cgru-model.npz").loss == "huber"
    np.savez(tmp_path / "data.npz", train_x=X, train_y=np.arange(40) / 4, test_x=X, test_y=np.arange(40))
    error = refused("fit", "data.npz", cwd=tmp_path)
    assert error.endswith("got int64 (40,); --task regression takes integers for numbers\n")


def test_an_unwritable_folder(tmp_path):
    folder = tmp_path / "locked"
    folder.mkdir()
    folder.chmod(0o500)
    if os.access(folder, os.W_OK):
        pytest.skip("this user may write anywhere")
    assert "cannot be written" in refused("fit", *ENDLESS, "-o", "locked/model.npz", cwd=tmp_path)


@pytest.mark.skipif(not pathlib.Path("/dev/full").exists(), reason="no /dev/full")
def test_a_full_disk_under_stdout(toy):
    with open("/dev/full", "w") as full:
        process = start("predict", "model.npz", "data.npz", cwd=toy, stdout=full)
        _, err = process.communicate(timeout=60)
    assert process.returncode == 2
    assert re.search(r"cgru: error: .*space.*\n$", err)


@pytest.mark.parametrize("loss", ["mse", "mean_squared_error", "huber", "poisson", "quantile(0.1,0.9)"])
def test_a_loss_of_numbers_is_refused_beside_classes(toy, tmp_path, loss):
    """The default, too, where it was asked for."""
    error = refused("fit", toy / "data.npz", "--loss", loss, cwd=tmp_path)
    assert "argument --loss: " in error
    assert error.endswith("; leave it out\n")
