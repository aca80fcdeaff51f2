"""What is said of an argument that takes one of a few words."""

import time

import pytest

from cgru.datasets.column_names import check_choice, date_and_time, numbered, time_hint
from cgru.datasets.missing_values import MISSING


def test_one_of_those_that_are_known():
    for how in MISSING:
        check_choice("missing", how, MISSING)
    check_choice("decimal", None, (None, ".", ","))
    with pytest.raises(ValueError, match=r"^missing: expected one of refuse, .*, zero, decay, got 'mean'$"):
        check_choice("missing", "mean", MISSING)
    with pytest.raises(ValueError, match=r"^decimal: expected one of \., ,, got ';'$"):
        check_choice("decimal", ";", (None, ".", ","))
    with pytest.raises(ValueError, match=r"got None$"):
        check_choice("missing", None, MISSING)


@pytest.mark.parametrize(
    ("names", "found"),
    [
        (["x", "Time", "Date"], ("Date", "Time")),
        (["Date", "x"], ()),
        (["Time", "x"], ()),
        (["Date", "Datum"], ()),
        (["Date", "Datum", "Time"], ()),
    ],
)
def test_a_date_and_a_time_of_day_are_one_of_each(names, found):
    assert date_and_time(names) == found


@pytest.mark.parametrize(
    ("name", "found"),
    [
        ("x_12", ("x", 12)),
        ("x1y - 012", ("x1y", 12)),
        ("a1_2", ("a1", 2)),
        ("007", ("", 7)),
        ("_7", ("", 7)),
        ("x", None),
        ("1x", None),
        ("", None),
        ("a\n1", None),
        ("x" + "1" * 18, ("x", int("1" * 18))),
        ("x" + "1" * 19, None),
    ],
)
def test_a_number_at_the_end_of_a_name(name, found):
    assert numbered(name) == found


@pytest.mark.parametrize(
    ("name", "hint"), [("Days", 3), ("TIME0", 3), ("minute", 3), ("age", 2), ("hr", 1), ("min", 1), ("x", 0)]
)
def test_hints_of_times(name, hint):
    assert time_hint(name) == hint


def test_long_names_are_searched_once():
    start = time.process_time()
    assert [numbered("a" + sign * 100_000 + "x") for sign in "_1"] == [None, None]
    assert time.process_time() - start < 5  # from each place it takes a minute
