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
defaults.ALTERNATIVES = {"well": {"units": 8, "epochs": 60}, "of no units": {"units": 0}}
own = defaults.ours
defaults.ours = lambda name, seed, **options: own(name, seed, **{"units": 3, "epochs": 9} | options)
sys.argv[1:] = ARGUMENTS
defaults.main()
"""
NAMES = ["JapaneseVowels", "GunPoint", "CardanoSentiment"]


def rows(table):
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in table.splitlines()]


def test_alternatives_are_cross_validated(run):
    done = run("-c", MADE_UP.replace("ARGUMENTS", repr(NAMES)))
    head, _, well = rows(done.stdout)
    assert head == ["", *NAMES, "seconds"]
    assert well[0] == "well"
    assert min(map(float, well[1:3])) > 0.9
    assert float(well[3]) < 0.5  # times the error of the mean
    assert "unit_cells: expected at least 1, got 0" in done.stderr  # each is tried with its own options


def test_the_test_splits(run):
    done = run("-c", MADE_UP.replace("ARGUMENTS", repr([*NAMES, "--test", "--seeds", "2"])))
    assert done.returncode == 0, done.stderr
    head, _, *found = rows(done.stdout)
    assert [row[0] for row in found] == NAMES
    for _, ours, spread, seconds, plain, *others in found:
        assert len(others) == 2
        assert all(re.fullmatch(r"\d+\.\d+", cell) for cell in (ours, spread, seconds, plain, *others))
    assert found[0][4] == found[1][4] == "0.5000"  # the most frequent class, and the mean
    assert float(found[2][4]) == 0.5
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
