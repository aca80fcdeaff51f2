"""Each kind of break, and what is left alone."""

import ast
import sys

import pytest
from house import ROOT

if not (ROOT / "mutation").is_dir():
    pytest.skip("mutation/ does not lie beside the tests", allow_module_level=True)
sys.path.append(str(ROOT))  # at the end, so that no cgru/ there hides the installed package

from mutation.python import breaks


def made(code):
    """The lines that the breaks of a source have in the place of its lines, by what was done."""
    found = breaks("x.py", code)
    for each in found:
        ast.parse(each.text)
        assert each.text != code
    return {each.what: each.text for each in found}


@pytest.mark.parametrize(
    ("code", "what", "text"),
    [
        ("a < b <= c", "Lt -> LtE", "(a <= b <= c)"),
        ("a < b <= c", "LtE -> Lt", "(a < b < c)"),
        ("a - b", "Sub -> Add", "(a + b)"),
        ("a += b", "Add -> Sub", "a -= b"),
        ("a += b", "no a += b", "pass"),
        ("a and b", "And -> Or", "(a or b)"),
        ("a and b", "without a", "(b)"),
        ("a or b or c", "without b", "(a or c)"),
        ("not a", "without Not", "(a)"),
        ("-a", "without USub", "(a)"),
        ("x = 3", "3 -> 4", "x = (4)"),
        ("x = True", "True -> False", "x = (False)"),
        ("x = 0.5", "0.5 -> 0.85", "x = (0.85)"),
        ("x = a if b else c", "condition True", "x = a if True else c"),
        ("if name: b()", "condition True", "if True: b()"),
        ("while a: b()", "condition False", "while False: b()"),
        ("for a in b: continue", "no turn", "for a in (): continue"),
        ("for a in b: continue", "continue -> break", "for a in b: break"),
        ("[a for a in b if c]", "condition True", "[a for a in b if True]"),
        ("f(a, b=1, c=2)", "without b=", "(f(a, c=2))"),
        ("f(a)", "no f(a)", "pass"),
        ("a.b = c", "no a.b = c", "pass"),
        ("del a", "no del a", "pass"),
        ("x = a[1:n]", "slice without lower", "x = (a[:n])"),
        ("x = a[1:n]", "slice without upper", "x = (a[1:])"),
        ("x = a['mean']", "another 'mean'", "x = a['mean_']"),
        ("x = a in ('mean', b)", "another 'mean'", "x = a in ('mean_', b)"),
        ("x = {'a': b}", "another 'a'", "x = {'a_': b}"),
        ("raise ValueError('a')", "no raise ValueError('a')", "pass"),
        ("raise ValueError('a')", "raises RuntimeError", "raise RuntimeError('a')"),
        ("try: a()\nexcept KeyError: b()", "no except KeyError", "try: a()\nexcept (): b()"),
        ("def f(a=1, *, b='sum'): pass", "1 -> 2", "def f(a=(2), *, b='sum'): pass"),
        ("def f(a=1, *, b='sum'): pass", "another 'sum'", "def f(a=1, *, b='sum_'): pass"),
        ("def f(): return a", "returns None", "def f(): return None"),
        ("x = 'é', 1 + y", "Add -> Sub", "x = 'é', (1 - y)"),
    ],
)
def test_each_kind_of_break(code, what, text):
    assert made(code)[what] == text


@pytest.mark.parametrize(
    "code",
    [
        "'''About 1 < 2.'''",
        "def f(a: int | None) -> list[1]:\n    '''About 1 < 2.'''",
        "a: dict['b', 1]",
        "def f(a, name='a'): pass",
        "x = f'{a + 1} and {b:>3}'",
        "__all__ = ['a']",
        "if TYPE_CHECKING:\n    x = 1",
        "if __name__ == '__main__':\n    x = 1",
        "x = 'a sentence'",
        "x = zip(a, b, strict=True)",
        "return None",
    ],
)
def test_what_is_left_alone(code):
    assert made(f"def outer():\n    {code}" if code.startswith("return") else code) == {}
