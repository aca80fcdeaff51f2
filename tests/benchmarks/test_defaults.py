"""The tables of the defaults, on data sets that are made up: those of aeon and sktime are not installed here."""

import re

import pytest

pytest.importorskip("sklearn", reason="no scikit-learn")

MADE_UP = """
import sys
import numpy as np
from benchmarks import defaults

def read(name, part):
    rng = np.random.default_rng(part == "TEST")
    up = np.arange(36) % 2
    X = 0.1 * rng.standard_normal((36, 2, 9)) + up[:, None, None]
    if name == "JapaneseVowels":  # of unlike lengths
        X = [x[:, : 5 + i % 5] for i, x in enumerate(X)]
    return X, 7.0 + up if name in defaults.NUMBERS else np.array(["down", "up"])[up]

defaults.read = read
defaults.ALTERNATIVES = {"few": {"units": 3, "epochs": 9}, "fewer": {"units": 2, "epochs": 1}}
own = defaults.ours
defaults.ours = lambda name, seed, **options: own(name, seed, **{"units": 3, "epochs": 9} | options)
sys.argv[1:] = ARGUMENTS
defaults.main()
"""
NAMES = ["JapaneseVowels", "GunPoint", "CardanoSentiment"]


def table(run, *arguments):
    done = run("-c", MADE_UP.replace("ARGUMENTS", repr([*NAMES, *arguments])))
    assert done.returncode == 0, done.stderr
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in done.stdout.splitlines()]


def test_alternatives_are_cross_validated(run):
    head, _, few, fewer = table(run)
    assert head == ["", *NAMES, "seconds"]
    assert (few[0], fewer[0]) == ("few", "fewer")
    assert min(map(float, few[1:3])) > 0.9
    assert float(few[3]) < 0.8 < float(fewer[3])  # times the error of the mean


def test_the_test_splits(run):
    head, _, *rows = table(run, "--test", "--seeds", "2")
    assert [row[0] for row in rows] == NAMES
    for _, ours, spread, seconds, plain, *others in rows:
        assert len(others) == 2
        assert all(re.fullmatch(r"\d+\.\d+", cell) for cell in (ours, spread, seconds, plain, *others))
    assert rows[0][4] == rows[1][4] == "0.5000"  # the most frequent class, and the mean
    assert float(rows[2][4]) == 0.5
    assert head[1] == "cgru"


def test_each_sample_is_held_out_once(run):
    code = """
import numpy as np
from benchmarks.defaults import folds
y = np.array(["a", "b", "b", "c"] * 9)
for name in ("GunPoint", "Covid3Month"):
    held = np.array(list(folds(name, y, 3)))
    assert (held.sum(axis=0) == 1).all()
    assert name == "Covid3Month" or all((y[rows] == "b").sum() == 6 for rows in held)
"""
    done = run("-c", code)
    assert done.returncode == 0, done.stderr
