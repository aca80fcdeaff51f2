"""`Columns`, the one declaration of the options of tables, and `ColumnsError`."""

import json
from dataclasses import fields

import pytest

from cgru.datasets import Columns, ColumnsError, as_text

SOME = {
    "id": ("hospital", "patient, old"), "time": ("date", "hour"), "label": ("died",), "columns": ("a", "b", "c"),
    "categories": {"c": ("red", "blue")}, "groups": ("hospital",), "ignore": ("note",), "wide": True, "per_step": True,
    "sort": True, "time_format": "%d.%m.%Y", "time_unit": "ms", "decimal": ",", "thousands": ".",
    "value_units": ("%", "°C"), "na": ("-999", "-"), "sheet": "Data",
    "missing": "forward,a=zero+indicator", "header": False, "skip_lines": "3,9-9", "comment": "#", "separator": ";",
    "time_step": True, "windows": (100, 50), "parts": 3, "task": "regression",
}  # fmt: skip


def test_each_field_survives_json_and_the_text_of_an_option():
    assert SOME.keys() == {each.name for each in fields(Columns)}
    columns = Columns(**SOME)
    assert Columns.from_dict(json.loads(json.dumps(columns.to_dict()))) == columns
    assert Columns().to_dict() == {}
    for each in fields(Columns):
        known = each.metadata
        assert known["help"]
        if not isinstance(SOME[each.name], bool):
            text = as_text(SOME[each.name])
            value = known["check"](known["parse"](text))
            assert value == SOME[each.name] or [*value] == [*SOME[each.name]]  # values of categories are dropped
            assert (known["metavar"] is None) == bool(known["choices"])


@pytest.mark.parametrize(
    ("given", "kept"),
    [
        ({"id": "a,b"}, ("a,b",)), ({"time": ""}, ()), ({"ignore": ["a", "b"]}, ("a", "b")),
        ({"na": [-999.0, "- "]}, ("-999", "-")), ({"missing": {"a": "zero"}}, "a=zero"), ({"skip_lines": 2}, "2"),
        ({"windows": "100"}, (100, 100)), ({"windows": 20}, (20, 20)), ({"categories": "c"}, {"c": ()}),
    ],
)  # fmt: skip
def test_values_are_kept_in_one_form(given, kept):
    (name,) = given
    assert getattr(Columns(**given), name) == kept


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("id", 3), ("id", ["a", "a"]), ("id", "x" * 1001), ("groups", ["a", "b"]), ("wide", "yes"), ("time_unit", "y"),
        ("decimal", ";"), ("missing", "mean"), ("missing", "refuse+indicator"), ("na", [True]),
        ("na", [None]), ("skip_lines", "5-2"), ("skip_lines", "x"),
        ("windows", 0), ("windows", "1,2,3"), ("windows", True), ("parts", 0), ("task", "both"),
        ("comment", ""), ("columns", [1, 2]),
    ],
)  # fmt: skip
def test_wrong_values_are_refused_by_field(name, value):
    with pytest.raises(ColumnsError) as refused:
        Columns(**{name: value})
    assert refused.value.argument == name
    assert repr(value) in refused.value.got


@pytest.mark.parametrize("roles", [("id", "time"), ("time", "label"), ("label", "columns"), ("columns", "ignore")])
def test_a_column_has_one_role(roles):
    with pytest.raises(ColumnsError) as refused:
        Columns(**dict.fromkeys(roles, "a"))
    assert refused.value.argument in roles
    Columns(id="a", label="a")
    Columns(time="a", columns="a")
    Columns(id=["a", "b"], groups="a")


def test_a_dict_of_something_else_is_refused():
    for found in ([], {"id": 3}, {"colour": "red"}, None):
        with pytest.raises(ValueError):  # noqa: PT011
            Columns.from_dict(found)
    with pytest.raises(TypeError):
        Columns().changed(colour="red")


def test_an_error_says_what_to_pass():
    error = ColumnsError("id", "none", "the id", {"id": ("a", "b"), "time": (), "categories": {"c": ()}}, "  a  1, 2")
    error.source = "t.csv"
    assert error.problem == "t.csv: id: expected the id, got none"
    assert str(error) == f"{error.problem}; pass id=('a', 'b'), time='', categories={{'c': ()}}\n  a  1, 2"
