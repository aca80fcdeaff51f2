"""Tables as text and as HTML."""

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
