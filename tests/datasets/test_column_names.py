"""What is said of an argument that takes one of a few words."""

import pytest

from cgru.datasets.column_names import check_choice, date_and_time
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
