"""Numbers, names and tables as text and as HTML."""

import pytest

from cgru.network.presentation import Table, figures, shorten, table_as_html, table_as_text, width_of

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


@pytest.mark.parametrize(
    ("values", "digits", "texts"),
    [
        ((0.5, 1.25), 4, ["0.5", "1.25"]),
        ((0.12345, 0.12346), 4, ["0.12345", "0.12346"]),
        ((1e9, 1e9 + 1), 4, ["1000000000", "1000000001"]),
        ((1e9 + 0.2, 1e9 + 0.5), 4, ["1000000000.2", "1000000000.5"]),
        ((0.3, 0.1 + 0.2), 4, ["0.3", "0.3"]),  # the same but for rounding
        ((7.0, 7.0), 4, ["7", "7"]),
        ((1e-9, 1.00001e-9), 4, ["1e-09", "1.00001e-09"]),
        ((1.26, 1.24), 2, ["1.3", "1.2"]),
        ((float("nan"), 1.0), 4, ["nan", "1"]),
        ((), 4, []),
    ],
)
def test_values_that_belong_together(values, digits, texts):
    assert figures(values, digits) == texts


def test_four_digits_at_the_least():
    assert figures((1.23456, 2.0)) == ["1.235", "2"]


@pytest.mark.parametrize(
    ("name", "columns", "shown"),
    [("abc", 3, "abc"), ("abcd", 4, "abcd"), ("abcdef", 5, "ab..."), ("a\nb", 9, "a?b"), ("日本語日本", 8, "日本...")],
)
def test_names_are_shortened_to_columns_of_a_terminal(name, columns, shown):
    assert shorten(name, columns) == shown


def test_columns_of_a_terminal():
    assert [width_of(line) for line in ("", "abc", "日本", "e\u0301")] == [0, 3, 4, 1]
