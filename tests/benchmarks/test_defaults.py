"""The tables of the defaults, on data sets that are made up: those of aeon and sktime are not installed here."""

import re

import numpy as np
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


@pytest.mark.slow
def test_alternatives_are_cross_validated(run):
    done = run("-c", MADE_UP.replace("ARGUMENTS", repr(NAMES)))
    head, _, well = rows(done.stdout)
    assert head == ["", *NAMES, "seconds"]
    assert well[0] == "well"
    assert min(map(float, well[1:3])) > 0.9
    assert float(well[3]) < 0.5  # times the error of the mean
    assert "unit_cells: expected at least 1, got 0" in done.stderr  # each is tried with its own options


@pytest.mark.slow
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


@pytest.mark.slow
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


SHIPPED = """
import sys
from functools import partial
sys.path.insert(0, FOLDER)
from benchmarks import defaults
defaults.GRUClassifier = partial(defaults.GRUClassifier, units=2, epochs=2)
defaults.GRURegressor = partial(defaults.GRURegressor, units=2, epochs=2)
sys.argv[1:] = ["--shipped", *NAMES]
defaults.main()
"""


@pytest.mark.slow
def test_all_that_is_shipped(run, tmp_path):
    """Each file once, whatever its format; missing values are refused, and anything else that is raised counts."""
    rng = np.random.default_rng(0)
    for package in ("aeon", "sktime", "pyts", "tslearn"):
        (tmp_path / package).mkdir()
        (tmp_path / package / "__init__.py").touch()
    series = [",".join(map(str, rng.standard_normal(5).round(3))) for _ in range(8)]
    head = "@problemName made\n@timeStamps false\n@univariate true\n"
    classes = (
        head
        + "@classLabel true up down\n@data\n"
        + "".join(f"{x}:{'up' * (i % 2) or 'down'}\n" for i, x in enumerate(series))
    )
    for name, text in {
        "aeon/Even": classes,
        "sktime/Even": classes,
        "aeon/Holes": classes.replace(",", ",?,", 1),
        "aeon/Numbers": head.replace("made", "n")
        + "@targetLabel true\n@data\n"
        + "".join(f"{x}:{i}.5\n" for i, x in enumerate(series)),
        "sktime/Odd": classes.replace("@timeStamps false", "@timeStamps true"),
    }.items():
        for part in ("TRAIN", "TEST"):
            (tmp_path / f"{name}_{part}.ts").write_text(text)
    np.savetxt(tmp_path / "pyts" / "Table_TRAIN.txt", np.column_stack([np.arange(8) % 2, rng.standard_normal((8, 4))]))
    some = rng.standard_normal((8, 6, 1)), np.arange(8) % 3
    np.savez(tmp_path / "tslearn" / "Made.npz", X_train=some[0], y_train=some[1], X_test=some[0], y_test=some[1])
    gaps = np.where(some[0] > 1, np.nan, some[0])
    np.savez(tmp_path / "tslearn" / "Gaps.npz", X_train=gaps, y_train=some[1], X_test=gaps, y_test=some[1])
    np.savez(tmp_path / "tslearn" / "One.npz", X_train=some[0], y_train=0 * some[1], X_test=some[0], y_test=some[1])

    def table(*names):
        code = SHIPPED.replace("FOLDER", repr(str(tmp_path))).replace("NAMES", repr(list(names)))
        done = run("-c", code)
        assert not done.stderr
        return done.returncode, {row[0]: row[1:] for row in rows(done.stdout)[2:]}

    code, found = table()
    assert code == 1
    assert list(found) == [
        *("aeon Even", "aeon Holes", "aeon Numbers", "sktime Odd", "pyts Table"),
        *("tslearn Gaps", "tslearn Made", "tslearn One"),
    ]
    assert found["aeon Even"][:2] == ["8", "5"]
    assert found["aeon Numbers"][2].startswith("RMSE ")
    assert found["pyts Table"][:2] == ["8", "4"]
    assert all(found[name][2].endswith("%") for name in ("aeon Even", "pyts Table", "tslearn Made"))
    assert found["aeon Holes"][-1].startswith("not read: ")
    assert found["aeon Holes"][-1].endswith('missing="forward" fills it')
    assert found["tslearn Gaps"][-1].startswith("refused: ")
    assert "@timestamps: expected false" in found["sktime Odd"][-1].lower()
    assert found["tslearn One"][-1].startswith("ValueError: y: expected at least two classes")
    assert table("aeon", "Made")[0] == 0
