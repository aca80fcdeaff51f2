"""By hand: two settings, two outer folds, two inner ones, two starts."""

import json
import random
import re
import sys

import numpy as np
import pytest

from cgru.many import Grid


def record(u, fold, inner, seed, validation, test, repeat=0, error=None, **setting):
    place = {"u": u, **setting, "repeat": repeat, "fold": fold, "inner": inner, "seed": seed}
    scores = {} if error else {"epoch": 3, "epochs": 5, "loss": 9.0, "validation_loss": validation, "test_loss": test}
    name = f"u={u} repeat={repeat} fold={fold} inner={inner} seed={seed}"
    return {"name": name, "place": place, "scores": scores, "seconds": 1.0, "error": error}


def records():
    return [
        # kept: seed 0 (1, 10), seed 0 (2, 20): validation 1.5, test 15
        record(1, 0, 0, 0, 1.0, 10.0),
        record(1, 0, 0, 1, 3.0, 90.0),
        record(1, 0, 1, 0, 2.0, 20.0),
        record(1, 0, 1, 1, 6.0, 90.0),
        # kept: seed 1 (0.5, 4), seed 0 (1.5, 8): validation 1, test 6
        record(2, 0, 0, 0, 9.0, 1.0),
        record(2, 0, 0, 1, 0.5, 4.0),
        record(2, 0, 1, 0, 1.5, 8.0),
        record(2, 0, 1, 1, 7.0, 1.0),
        # kept: seed 1 (1, 2), seed 1 (3, 4): validation 2, test 3
        record(1, 1, 0, 0, 5.0, 70.0),
        record(1, 1, 0, 1, 1.0, 2.0),
        record(1, 1, 1, 0, 5.0, 70.0),
        record(1, 1, 1, 1, 3.0, 4.0),
        # kept: seed 0 (2, 1), seed 0 (4, 1): validation 3, test 1
        record(2, 1, 0, 0, 2.0, 1.0),
        record(2, 1, 0, 1, 8.0, 0.0),
        record(2, 1, 1, 0, 4.0, 1.0),
        record(2, 1, 1, 1, 8.0, 0.0),
    ]


def test_the_lowest_validation_loss_is_chosen_and_the_test_has_no_say():
    first, second = Grid(records()).chosen()
    assert first == {
        "repeat": 0,
        "fold": 0,
        "u": 2,
        "validation_loss": 1.0,
        "validation_loss_spread": 0.5,
        "test_loss": 6.0,
        "test_loss_spread": 2.0,
        "kept": ["u=2 repeat=0 fold=0 inner=0 seed=1", "u=2 repeat=0 fold=0 inner=1 seed=0"],
        "left_out": [],
        "error": None,
    }
    assert (second["fold"], second["u"], second["validation_loss"], second["test_loss"]) == (1, 1, 2.0, 3.0)


def test_the_score():
    assert Grid(records()).score() == {"test_loss": 4.5, "test_loss_spread": 1.5, "folds": 2}


def test_the_table():
    first, second = Grid(records()).table()
    assert first == {
        "u": 1,
        "fits": 8,
        "failed": 0,
        "folds": 2,
        "validation_loss": 1.75,
        "validation_loss_spread": 0.25,
        "test_loss": 9.0,
        "test_loss_spread": 6.0,
    }
    assert second | {"u": 1} == first | {
        "validation_loss": 2.0,
        "validation_loss_spread": 1.0,
        "test_loss": 3.5,
        "test_loss_spread": 2.5,
    }


def test_from_json_lines_in_any_order():
    lines = [json.dumps(each, sort_keys=True) for each in records()]
    random.Random(1).shuffle(lines)
    read, grid = Grid(map(json.loads, lines)), Grid(records())
    for what in (Grid.table, Grid.chosen, Grid.score, repr):
        assert what(read) == what(grid)


def test_ties_do_not_depend_on_the_order():
    tied = [record(10, 0, 0, 0, 1.0, 5.0), record(2, 0, 0, 0, 1.0, 4.0), record(None, 0, 0, 0, 2.0, 3.0)]
    for each in (tied, tied[::-1]):
        assert Grid(each).chosen()[0]["u"] == 2
        assert [row["u"] for row in Grid(each).table()] == [None, 2, 10]


def test_functions_come_by_their_names():
    def named(name):
        def function():
            pass

        function.__name__ = name
        return function

    names = list("hbgdaecf")
    grid = Grid([record(1, 0, None, None, 1.0, 1.0, f=each) for each in map(named, names)])
    assert [row["f"].__name__ for row in grid.table()] == sorted(names)


def test_settings_of_any_kind():
    kinds = [{"0.V*": 0.1}, {"0.V*": 0.2}, 0.0, "a", True, None]
    grid = Grid([record(1, 0, None, None, float(i), 1.0, l1=kind) for i, kind in enumerate(kinds)])
    assert len(grid.table()) == 6
    assert grid.chosen()[0]["l1"] == {"0.V*": 0.1}


def test_repeats_are_folds_of_their_own():
    grid = Grid([record(1, 0, 0, 0, 1.0, test, repeat) for repeat, test in enumerate([2.0, 4.0])])
    assert [(each["repeat"], each["test_loss"]) for each in grid.chosen()] == [(0, 2.0), (1, 4.0)]
    assert grid.score() == {"test_loss": 3.0, "test_loss_spread": 1.0, "folds": 2}
    assert grid.table()[0]["folds"] == 2


# --- what failed, and what is missing ---


def failed(i):
    """With a fit that failed in the place of one that well did."""
    some = records()
    some[i] = some[i] | {"scores": {}, "error": "RuntimeError: diverged"}
    return some


@pytest.mark.parametrize("start", [0, 1])
def test_a_setting_with_a_failed_fit_is_not_chosen_there(start):
    """Whether it was the best start or not."""
    grid = Grid(failed(4 + start))
    first, second = grid.chosen()
    assert (first["u"], first["test_loss"], first["left_out"]) == (1, 15.0, [{"u": 2}])
    assert second["left_out"] == []
    assert grid.score()["test_loss"] == 9.0
    row = grid.table()[1]
    assert (row["fits"], row["failed"], row["folds"], row["test_loss"], row["test_loss_spread"]) == (8, 1, 1, 1.0, 0.0)


def test_a_setting_that_lacks_a_fit_is_not_chosen_there():
    some = records()
    del some[5]
    assert Grid(some, missing=1).chosen()[0]["left_out"] == [{"u": 2}]
    row = Grid(some).table()[1]
    assert (row["fits"], row["failed"], row["folds"]) == (7, 0, 1)


def test_a_setting_that_lacks_a_whole_fold():
    some = [each for each in records() if (each["place"]["u"], each["place"]["fold"]) != (2, 0)]
    first, second = Grid(some).chosen()
    assert (first["u"], first["left_out"]) == (1, [{"u": 2}])
    assert second["left_out"] == []


def test_unlike_numbers_of_inner_folds():
    """As a splitter may make them."""
    some = [*records(), *(record(u, 1, 2, seed, 2.0, 3.0) for u in (1, 2) for seed in (0, 1))]
    first, second = Grid(some).chosen()
    assert (len(first["kept"]), len(second["kept"])) == (2, 3)
    assert second["test_loss"] == 3.0


def test_no_setting_is_left():
    some = failed(0)
    some[4] |= {"scores": {}, "error": "RuntimeError: diverged"}
    grid = Grid(some)
    first, second = grid.chosen()
    assert first == {
        "repeat": 0,
        "fold": 0,
        "u": None,
        "validation_loss": None,
        "validation_loss_spread": None,
        "test_loss": None,
        "test_loss_spread": None,
        "kept": None,
        "left_out": [{"u": 1}, {"u": 2}],
        "error": "of each setting a fit failed or is missing: RuntimeError: diverged",
    }
    assert second["error"] is None
    with pytest.raises(ValueError, match="score: repeat 0, fold 0: of each setting a fit failed or is missing"):
        grid.score()
    assert repr(grid) == (
        "Grid(16 fits, 2 failed; score: repeat 0, fold 0: "
        "of each setting a fit failed or is missing: RuntimeError: diverged)"
    )


def test_no_setting_is_whole():
    grid = Grid([record(u, 0, 0, seed, 1.0, 1.0) for u, seed in ((1, 0), (2, 1))])
    assert grid.chosen()[0]["error"] == "of each setting a fit failed or is missing"


def test_all_failed():
    grid = Grid([record(1, 0, 0, 0, 0.0, 0.0, error="ValueError: no")])
    assert grid.table() == [{"u": 1, "fits": 1, "failed": 1, "folds": 0}]
    assert grid.chosen()[0]["error"] is not None
    mixed = Grid([*grid, record(2, 0, 0, 0, 1.0, 2.0)])
    row = {"u": 1, "fits": 1, "failed": 1, "folds": 0}
    row |= dict.fromkeys(("validation_loss", "validation_loss_spread", "test_loss", "test_loss_spread"))
    assert mixed.table()[0] == row


def test_no_records():
    grid = Grid()
    assert (grid.table(), grid.chosen(), grid.networks) == ([], [], {})
    with pytest.raises(ValueError, match="score: expected one fold at least, got no records"):
        grid.score()
    assert repr(grid) == "Grid(0 fits; score: expected one fold at least, got no records)"
    assert "<table><tr></tr></table>" in grid._repr_html_()


def test_what_is_missing_might_have_been_chosen():
    grid = Grid(records()[1:], missing=1)
    error = "score: expected all fits, got 1 missing; table and chosen have the others"
    with pytest.raises(ValueError, match=f"^{error}$"):
        grid.score()
    assert repr(grid) == f"Grid(15 fits, 1 missing; {error})"
    assert all(choice["error"] is None for choice in grid.chosen())


def test_a_choice_needs_a_validation_loss():
    several = [record(u, 0, None, 0, 1.0, 2.0) for u in (1, 2)]
    for each in several:
        del each["scores"]["validation_loss"]
    assert Grid(several[:1]).score() == {"test_loss": 2.0, "test_loss_spread": 0.0, "folds": 1}
    with pytest.raises(ValueError, match="records: expected a validation_loss, for a choice, got none for u=1"):
        Grid(several).chosen()


# --- shown ---


def test_repr():
    assert repr(Grid(records())) == "Grid(16 fits; test_loss 4.5 +- 1.5 over 2 folds)"


def test_html():
    html = Grid([record("<b>", 0, 0, 0, 1 / 3, 2.0)])._repr_html_()
    assert "&lt;b&gt;" in html
    assert "0.3333<" in html
    assert re.findall("<th[^>]*>(.*?)</th>", html)[:2] == ["u", "fits"]
    assert "Grid(1 fits; " in html


def test_to_pandas():
    pytest.importorskip("pandas", reason="pandas is not installed: pip install pandas")
    frame = Grid([*records(), record(1, 2, 0, 0, 0, 0, error="ValueError: no")]).to_pandas()
    assert len(frame) == 17
    assert frame.columns[:6].tolist() == ["name", "u", "repeat", "fold", "inner", "seed"]
    assert frame.columns[6:].tolist() == ["epoch", "epochs", "loss", "validation_loss", "test_loss", "seconds", "error"]
    assert frame.test_loss[5] == 4.0
    assert np.isnan(frame.test_loss[16])
    assert frame.error[16] == "ValueError: no"


def test_to_pandas_with_a_setting_that_is_called_as_a_score():
    pytest.importorskip("pandas", reason="pandas is not installed: pip install pandas")
    frame = Grid([record(1, 0, 0, 0, 1.0, 2.0, epochs=50)]).to_pandas()
    assert (frame.epochs[0], frame.score_epochs[0]) == (50, 5)


def test_to_pandas_without_pandas(monkeypatch):
    monkeypatch.setitem(sys.modules, "pandas", None)
    with pytest.raises(ImportError, match="to_pandas: pandas is missing: pip install pandas"):
        Grid(records()).to_pandas()


# --- NaN ---


@pytest.mark.parametrize("first", [True, False])
def test_nan_never_wins(first):
    """Neither among starts nor among settings, wherever it comes."""
    nan = float("nan")
    starts = [record(1, 0, 0, seed, loss, 1.0) for seed, loss in ((0, nan), (1, 2.0), (2, nan))]
    settings = [record(u, 0, 0, 0, loss, 1.0) for u, loss in ((1, nan), (2, 5.0), (3, nan), (4, 3.0))]
    order = slice(None, None, 1 if first else -1)
    (choice,) = Grid(starts[order]).chosen()
    assert (choice["kept"], choice["validation_loss"]) == (["u=1 repeat=0 fold=0 inner=0 seed=1"], 2.0)
    grid = Grid(settings[order])
    (choice,) = grid.chosen()
    assert (choice["u"], choice["validation_loss"], choice["error"]) == (4, 3.0, None)
    assert choice["left_out"] == [{"u": 1}, {"u": 3}]
    assert [row["folds"] for row in grid.table()] == [0, 1, 0, 1]
    assert grid.score()["test_loss"] == 1.0


@pytest.mark.parametrize("settings", [1, 2])
def test_nothing_is_chosen_where_all_are_nan(settings):
    grid = Grid(record(u, 0, 0, 0, float("nan"), 1.0) for u in range(settings))
    (choice,) = grid.chosen()
    due = "of each setting a fit failed or is missing: the validation loss of u=0 repeat=0 fold=0 inner=0 seed=0 is nan"
    assert (choice["error"], choice["kept"], choice["u"]) == (due, None, None)
    with pytest.raises(ValueError, match=r"is nan$"):
        grid.score()
