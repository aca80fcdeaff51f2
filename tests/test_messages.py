"""The form of all errors: the argument, what was expected of it, and what came."""

import ast
import re

import pytest
from house import ROOT

SOURCES = sorted((ROOT / "cgru").rglob("*.py"))
FORM = re.compile(r"[^:]+: .*\b(expected|missing|cannot)\b", re.DOTALL)
OTHERS, SILENT = 95, 60  # of another form; of that form without what came: both may only fall


def messages():
    """Yield the text of each ValueError and TypeError that is raised, with {} in the place of a value."""
    for path in SOURCES:
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Raise) and isinstance(node.exc, ast.Call) and node.exc.args:
                text, name = node.exc.args[0], getattr(node.exc.func, "id", "")
                parts = text.values if isinstance(text, ast.JoinedStr) else [text]
                if name in ("ValueError", "TypeError") and isinstance(parts[0], (ast.Constant, ast.FormattedValue)):
                    yield path, "".join(part.value if isinstance(part, ast.Constant) else "{}" for part in parts)


@pytest.mark.skipif(not SOURCES, reason="the source is not beside the tests")
def test_each_names_its_argument_and_says_what_was_expected_and_what_came():
    found = list(messages())
    assert len(found) > 300
    others = [f"{path.relative_to(ROOT)}: {text}" for path, text in found if not FORM.match(text)]
    silent = [f"{path.relative_to(ROOT)}: {text}" for path, text in found if FORM.match(text) and " got " not in text]
    assert len(others) <= OTHERS, "\n".join(others)
    assert len(silent) <= SILENT, "\n".join(silent)
    assert not [text for _, text in found if text.rstrip().endswith(".")]
