"""The breaks of C and Cython, and what is built of them."""

import sys

import pytest
from house import ROOT

if not (ROOT / "mutation").is_dir():
    pytest.skip("mutation/ does not lie beside the tests", allow_module_level=True)
sys.path.append(str(ROOT))  # at the end, so that no cgru/ there hides the installed package

from mutation import compiled

source = pytest.mark.skipif(not (ROOT / "cgru/gru.py").is_file(), reason="the source does not lie beside the tests")


def changed(path, text):
    """The lines that each break leaves in the place of its own, by the break."""
    lines = text.splitlines()
    found = []
    for each in compiled.breaks(path, text):
        after = each.text.splitlines()
        assert len(after) == len(lines)
        assert next(n for n, pair in enumerate(zip(lines, after, strict=True), 1) if pair[0] != pair[1]) == each.line
        found.append((each.what, after[each.line - 1].strip()))
    return found


C = """\
/* a + b, "c" < 1 */
#if BYTES >= 32 && X86 // if (1 + 2)
#define TWICE(n) ((n) * 2)
#endif
static vec f(const T *p, ptrdiff_t n) {
    T lanes[LANES * 2] = {0};
    for (ptrdiff_t i = 0; i < n; i++) lanes[i] = p[i];
    if (n == 3 && p) store(lanes, 0.5);
    KEEP(n + 1);
    return n ? load(lanes) : ZERO;
}
"""


def test_breaks_of_c():
    found = changed("cgru/core/simd/x.h", C)
    loop, test = "for (ptrdiff_t i = 0; i < n; i++) lanes[i] = p[i];", "if (n == 3 && p) store(lanes, 0.5);"
    assert sorted(found) == sorted(
        [
            ("* -> /", "#define TWICE(n) ((n) / 2)"),
            ("2 -> 3", "#define TWICE(n) ((n) * 3)"),
            ("0 -> 1", "T lanes[LANES * 2] = {1};"),
            ("0 -> 1", loop.replace("0", "1")),
            ("< -> <=", loop.replace("<", "<=")),
            ("bound - 1", loop.replace("n;", "n - 1;")),
            ("bound + 1", loop.replace("n;", "n + 1;")),
            ("without lanes[i] = p[i];", loop.replace("lanes[i] = p[i]", "")),
            ("== -> !=", test.replace("==", "!=")),
            ("3 -> 4", test.replace("3", "4")),
            ("&& -> ||", test.replace("&&", "||")),
            ("condition -> true", test.replace("n == 3 && p", "1")),
            ("condition -> false", test.replace("n == 3 && p", "0")),
            ("without store(lanes, 0.5);", "if (n == 3 && p) ;"),
            ("0.5 -> 0.75", test.replace("0.5", "0.75")),
            ("choice -> false", "return n && 0 ? load(lanes) : ZERO;"),
            ("choice -> true", "return n || 1 ? load(lanes) : ZERO;"),
        ]
    )


CYTHON = '''\
"""1 < 2"""

from a cimport (
    b, c
)

cdef extern from "x.h":
    int f(int x)

cdef double[:, ::1] view
cdef struct Call:
    int a[3]
__all__ = ["f"]

cdef int g(Call *call, int n, bint back=False) except -1:
    """Return n + 1."""
    cdef int i, total = 0 if back else n
    for i in range(0, n, 2):
        total += call.a[i]  # 1 + 1
    for call in [each for each in n if each in call]: pass
    if total < 3 and not back: raise ValueError(f"{n + 1}")
    total = f(total)
    return total
'''


def test_breaks_of_cython():
    test = 'if total < 3 and not back: raise ValueError(f"{n + 1}")'
    assert sorted(changed("cgru/x.pyx", CYTHON)) == sorted(
        [
            ("False -> True", "cdef int g(Call *call, int n, bint back=True) except -1:"),
            ("0 -> 1", "cdef int i, total = 1 if back else n"),
            ("choice -> True", "cdef int i, total = 0 if True else n"),
            ("choice -> False", "cdef int i, total = 0 if False else n"),
            ("0 -> 1", "for i in range(1, n, 2):"),
            ("2 -> 3", "for i in range(0, n, 3):"),
            ("bound - 1", "for i in range(0, n - 1, 2):"),
            ("bound + 1", "for i in range(0, n + 1, 2):"),
            ("+= -> -=", "total -= call.a[i]  # 1 + 1"),
            ("without total += call.a[i]", "pass  # 1 + 1"),
            ("in -> not in", "for call in [each for each in n if each not in call]: pass"),
            ("< -> <=", test.replace("<", "<=")),
            ("3 -> 4", test.replace("3", "4")),
            ("and -> or", test.replace("and", "or")),
            ("condition -> True", 'if True: raise ValueError(f"{n + 1}")'),
            ("condition -> False", 'if False: raise ValueError(f"{n + 1}")'),
            ('without raise ValueError(f"{n + 1}")', test.partition(":")[0] + ": pass"),
            ("without total = f(total)", "pass"),
        ]
    )


@source
def test_every_compiled_source_has_a_module_and_tests():
    modules, directives = compiled.recipe()
    assert directives["cdivision"]
    sources = [path.relative_to(ROOT).as_posix() for end in ("pyx", "h") for path in (ROOT / "cgru").rglob(f"*.{end}")]
    assert {path for path in modules if path.endswith(".pyx")} == {path for path in sources if path.endswith(".pyx")}
    for path in sources:
        text = (ROOT / path).read_text(encoding="utf-8")
        assert len(compiled.blanked(text, path)) == len(text)
        assert compiled.module_of(path) in modules
    assert {"tests/core/test_linear.py", "tests/core/test_kernels.py"} <= set(compiled.tests("cgru/core/linear.pyx"))
    assert all((ROOT / place).exists() for places in (*compiled.TESTS.values(), compiled.WIDE) for place in places)
