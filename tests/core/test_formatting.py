"""Numbers as text: as many digits as tell them apart."""

import pytest

from cgru.core.formatting import figures, shorten, width_of


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
