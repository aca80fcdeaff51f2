"""Tables as text and as HTML."""

import pytest

from cgru.core.tables import Table, table_as_html, table_as_text

TABLE = Table("Title", ("", "what", "n"), [("0", "a<b", "12"), ("1", "c", "3,000")], "a note", names=2)


def test_text():
    assert table_as_text(TABLE).splitlines() == [
        "Title",
        "   what      n",
        "0  a<b      12",
        "1  c     3,000",
        "a note",
    ]


def test_long_names_are_shortened_to_80_columns():
    lines = table_as_text(TABLE._replace(rows=[("0", "x" * 99, "1")])).splitlines()
    assert len(lines[2]) == 80
    assert lines[2].endswith("x...  1")


def test_the_first_column_has_names():
    assert table_as_text(Table("", ("", "n"), [("a", "1"), ("bcd", "20")])).splitlines()[2:] == ["a     1", "bcd  20"]


def test_names_keep_12_columns_however_many_figures_there_are():
    lines = table_as_text(Table("", ("", *"a" * 20), [("name" * 9, *["12345"] * 20)])).splitlines()
    assert lines[2].split("  ")[0] == "namename" + "n..."


@pytest.mark.parametrize("make", [table_as_text, table_as_html])
def test_a_table_of_names_alone(make):
    assert "only" in make(Table("", ("only",), [("a",)]))


def test_a_row_of_another_length_is_refused():
    with pytest.raises(ValueError, match=r"zip\(\)"):
        table_as_text(TABLE._replace(rows=[("0", "x", "1", "2")]))


def test_html():
    assert table_as_html(TABLE) == (
        '<div class="scroll"><table>'
        '<tr><th scope="col" class="name"></th><th scope="col" class="name">what</th>'
        '<th scope="col" class="">n</th></tr>\n'
        '<tr><th scope="row" class="name">0</th><th scope="row" class="name">a&lt;b</th><td>12</td></tr>\n'
        '<tr><th scope="row" class="name">1</th><th scope="row" class="name">c</th><td>3,000</td></tr>'
        '</table></div><p class="small">a note</p>'
    )
    assert table_as_html(TABLE._replace(note="")).endswith("</table></div>")
