"""The table of alternatives to the defaults of `cgru fit`: a line for each, cross-validated on the training split."""

import numpy as np
import pytest

from cgru.datasets import load_japanese_vowels

QUICK = "--units 4 --epochs 2"


@pytest.fixture(scope="module")
def folds(run, folder):
    """The data files, as they are read from disk."""
    code = "from pathlib import Path; from benchmarks.vowels import folds; folds(Path('.'))"
    done = run("-c", code)
    assert done.returncode == 0, done.stderr
    return [dict(np.load(folder / f"{k}.npz")) for k in range(3)]


def test_each_utterance_is_held_out_once(folds):
    train = load_japanese_vowels().train
    held_out = np.concatenate([fold["test_x"] for fold in folds])
    assert sorted(x.tobytes() for x in held_out) == sorted(x.tobytes() for x in train.X)
    for fold in folds:
        assert np.bincount(fold["train_y"]).tolist() == [20] * 9
        assert np.bincount(fold["test_y"]).tolist() == [10] * 9
        assert not {x.tobytes() for x in fold["train_x"]} & {x.tobytes() for x in fold["test_x"]}


def test_a_line_for_each_alternative(run):
    done = run("-m", "benchmarks.vowels", "--seeds", "2", QUICK, f"{QUICK} --pool mean")
    assert done.returncode == 0, done.stderr
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in done.stdout.splitlines()[2:]]
    assert [name for name, *_ in rows] == [f"`{QUICK}`", f"`{QUICK} --pool mean`"]
    for accuracy, spread, worst, loss, seconds in (map(float, row[1:]) for row in rows):
        assert 0 <= worst <= accuracy + 0.05
        assert accuracy <= 100
        assert spread >= 0
        assert loss > 0
        assert seconds >= 0


def test_wrong_options_end_it(run):
    done = run("-m", "benchmarks.vowels", "--", "--units=0")
    assert done.returncode == 2
    assert done.stderr == "cgru: error: argument --units: expected an integer of at least 1, got '0'\n"
