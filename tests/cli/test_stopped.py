"""A fit that is stopped, by Ctrl-C or for good, what it leaves, and how it is resumed."""

import re
import signal
import time

import numpy as np
import pytest
from cli_cases import ENDLESS, QUICK, X, Y, posix, refused, run, start

import cgru
from cgru.cli.fit_command import Progress


def interrupted(process, words, pause=0.05):
    """(stdout, stderr) after SIGINT, sent a while after stderr has shown a line with `words`."""
    seen = ""
    while words not in seen:
        assert process.poll() is None
        seen += process.stderr.readline()
    time.sleep(pause)  # somewhere in the midst of an epoch
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "Traceback" not in err
    return out, seen + err


@posix
@pytest.mark.parametrize("validation", [(), ("--validation", "0.2")])
def test_interrupt_keeps_the_best_model(toy, tmp_path, validation):
    process = start("fit", toy / "data.npz", *ENDLESS, *validation, "-o", "kept.npz", cwd=tmp_path)
    out, err = interrupted(process, "epoch       1/1000000")
    assert out == ""
    assert re.search(r"cgru: interrupted: .*epoch \d+ of 1000000.* kept\.npz\n$", err)
    assert list(tmp_path.iterdir()) == [tmp_path / "kept.npz"]
    assert cgru.load(tmp_path / "kept.npz").predict(X).shape == (40, 2)


@posix
@pytest.mark.slow
def test_interrupt_before_there_is_a_model(tmp_path):
    model = tmp_path / "cgru-model.npz"
    model.write_text("an older model, better than nothing")
    np.savez(tmp_path / "data.npz", x=np.tile(X, (2000, 1, 1)), y=np.tile(Y, 2000))
    process = start("fit", "data.npz", "--inputs", "raw", "--units", 200, "--batch-size", 1, cwd=tmp_path)
    _, err = interrupted(process, "classes: ", pause=1)  # an epoch takes longer
    assert re.search("interrupted$|nothing is saved", err, re.MULTILINE)  # as it had not begun, or had
    assert model.read_text().startswith("an older model")


# --- a checkpoint ---


def bits(path):
    """What a model file holds."""
    with np.load(path) as npz:
        return {name: npz[name].tobytes() for name in npz.files}


@pytest.mark.parametrize("data", ["data.npz", "numbers.npz"])
@pytest.mark.parametrize("options", [(), ("--validation", 0.25, "--dropout", 0.3, "--patience", 100)])
def test_a_fit_that_was_interrupted_is_resumed(toy, tmp_path, monkeypatch, data, options):
    fit = ("fit", toy / data, *QUICK, "--epochs", 6, *options)
    due, _ = run(*fit, "-o", "due.npz", cwd=tmp_path)
    kept = ("--checkpoint", "run.npz", "--checkpoint-seconds", 0, "--resume")
    for stop, code in ((3, 130), (5, 130), (7, 0), (7, 0)):
        own = Progress.__call__

        def interrupt(progress, epoch, own=own, stop=stop):
            own(progress, epoch)
            if epoch.epoch == stop:
                raise KeyboardInterrupt

        monkeypatch.setattr(Progress, "__call__", interrupt)
        out, err = run(*fit, *kept, "-o", "model.npz", cwd=tmp_path, code=code)
        if code:
            assert err.endswith("model.npz; --resume goes on from run.npz\n")
            assert re.search(r"of epoch \d of 6" if options or data == "numbers.npz" else f"of epoch {stop} of 6", err)
        monkeypatch.undo()
    assert "epoch" not in err  # it was over
    assert out.splitlines()[0] == due.splitlines()[0]
    assert "trained 6 epochs in" in out
    assert bits(tmp_path / "model.npz") == bits(tmp_path / "due.npz")


@posix
@pytest.mark.slow
def test_a_fit_that_was_killed_is_resumed(toy, tmp_path):
    fit = ("fit", toy / "data.npz", *QUICK, "--dropout", 0.3, "--epochs", 600)
    kept = ("--checkpoint", "run.npz", "--resume", "-o", "model.npz")
    process = start(*fit, *kept, "--checkpoint-seconds", 0, cwd=tmp_path)
    while not process.stderr.readline().startswith("epoch  60/600"):
        assert process.poll() is None
    process.kill()
    process.communicate(timeout=60)
    assert process.returncode == -signal.SIGKILL
    _, err = run(*fit, *kept, cwd=tmp_path)
    assert "epoch   1/600" not in err
    assert "epoch 600/600" in err
    run(*fit, "-o", "due.npz", cwd=tmp_path)
    assert bits(tmp_path / "model.npz") == bits(tmp_path / "due.npz")


def test_a_checkpoint_of_another_fit_is_refused(toy, tmp_path):
    fit = ("fit", toy / "data.npz", *QUICK, "--checkpoint", "run.npz")
    run(*fit, "--epochs", 3, cwd=tmp_path)
    for changed, words in (
        (("--epochs", 4), "epochs: expected 3, got 4"),
        (("--epochs", 3, "--learning-rate", 0.5), "optimizer.learning_rate: expected 0.02, got 0.5"),
        (("--epochs", 3, "--seed", 7), "seed: expected 0, got 7"),
    ):
        error = refused(*fit, *changed, "-q", "--resume", cwd=tmp_path)
        assert error == f"cgru: error: run.npz is the checkpoint of another fit: {words}\n"
    (tmp_path / "other.npz").write_bytes((toy / "model.npz").read_bytes())
    error = refused(*fit[:-1], "other.npz", "-q", cwd=tmp_path)
    assert error == "cgru: error: other.npz is not a cgru checkpoint: it is a model, which cgru.load reads\n"


def test_checkpoints_that_cannot_be(toy, tmp_path):
    fit = ("fit", toy / "data.npz", *ENDLESS)
    assert "--resume: needs --checkpoint FILE" in refused(*fit, "--resume", cwd=tmp_path)
    for options in (("-o", "same"), ("--plot", "same"), ()):
        path = "same" if options else toy / "data.npz"
        assert "overwrite" in refused(*fit, "--checkpoint", path, *options, cwd=tmp_path)
    assert "missing/run: the folder" in refused(*fit, "--checkpoint", "missing/run", cwd=tmp_path)
    assert list(tmp_path.iterdir()) == []
