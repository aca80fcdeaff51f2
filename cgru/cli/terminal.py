"""Print for the `cgru` command, so that names from a stranger's file cannot steer the terminal or a spreadsheet."""

from __future__ import annotations

import re
from typing import Any

__all__ = ["echo", "echo_row", "spreadsheet_safe"]

# All but tabs and line ends; marks and embeddings that reorder text; separators of lines; lone surrogates; tags.
CONTROLS = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff\ufeff\U000e0000-\U000e007f]"
)
FORMULA = re.compile("[=+@\t\r'\uff1d\uff0b\uff20\uff0d-]")  # what a cell begins with that a spreadsheet runs
NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?")


def echo(*lines: Any, **how: Any) -> None:
    r"""Print as `print` does, with control characters, also of the direction of text, as escapes such as `\x1b`."""
    texts = (CONTROLS.sub(lambda found: found[0].encode("unicode_escape").decode(), str(line)) for line in lines)
    print(*texts, **how)


def echo_row(*cells: Any) -> None:
    """Print cells with a tab between them; tabs and line ends in a cell become escapes."""
    echo("\t".join(str(cell).replace("\t", r"\t").replace("\n", r"\n") for cell in cells))


def spreadsheet_safe(value: Any) -> Any:
    """Return a cell for a CSV file: a text that a spreadsheet would run as a formula gets a ' in front.

    A text that begins with a ' gets another one, so that the text is what is behind the first ' of such a cell. Numbers
    stay unchanged.
    """
    if isinstance(value, str) and FORMULA.match(value) and not NUMBER.fullmatch(value):
        return f"'{value}"
    return value
