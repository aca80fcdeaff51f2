"""Breaks of Cython (.pyx) and C (.h, .c), found by regular expressions, and built as little as one break needs.

Two rules of the house's formatters stand in for a parser: a binary operator has spaces on both sides, and a simple
statement has lines of its own. Comments, strings, docstrings, imports and preprocessor conditions are blanked first, so
that a place in what is left is a place in the source.
"""

from __future__ import annotations

import re
import runpy
import shlex
import shutil
import subprocess
import sys
import sysconfig
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from threading import Lock
from typing import Any
from unittest import mock

from mutation.breaks import Break

__all__ = ["breaks", "concerns", "prepare", "restore", "tests"]

Edit = tuple[int, int, str, str]  # where it begins and ends, what stands there then, its name ("": both texts)

SWAPS = {
    "+": "-", "-": "+", "*": "/", "/": "*", "//": "*", "%": "*", "<": "<=", "<=": "<", ">": ">=", ">=": ">", "==": "!=",
    "!=": "==", "&&": "||", "||": "&&", "&": "|", "|": "&", "<<": ">>", ">>": "<<", "+=": "-=", "-=": "+=", "*=": "+=",
    "and": "or", "or": "and", "is": "is not", "is not": "is", "in": "not in", "not in": "in",
}  # fmt: skip
SYMBOL = re.compile(r"(?<= )(?:[-+*]=|//|[-+*/%]|<<|>>|[<>]=?|[=!]=|&&?|\|\|?)(?=\s)")
WORD = re.compile(r"(?<=[\w)\]] )(?:and|or|is not|is|not in|in)(?= )")
LOOP = re.compile(r"\bfor (?:(?! in )[\w, ()])+\Z")  # before the "in" of a loop
NUMBER = re.compile(r"(?<![\w.:])(?:0x[0-9a-fA-F]+|\d+\.?\d*(?:[eE][-+]?\d+)?)(?=[uUlL]*(?![\w.]))")

# What is left alone; of what has a part `kept` in front, the rest.
C = re.compile(
    r"""
    /\*.*?\*/ | //[^\n]*
    | "(?:\\.|[^"\\\n])*" | '(?:\\.|[^'\\\n])*'
    | ^[ \t]*\#[ ]*(?:define[ ]\w+(?:\([^)\n]*\))? | (?:\\\n|[^\n])*)  # of a macro the name; other directives whole
    | \b(?:PREFETCH(?:_L2)?|KEEP|UNROLL)\([^;\n]*  # which changes no result, whatever it says
    | (?P<kept>^[ \t]*(?:const[ ]|static[ ]|ALIGNED[ ])*(?!return\b|case\b)\w+[ ]\*?\w+)(?:\[[^\]\n]*\])+
    """,
    re.VERBOSE | re.DOTALL | re.MULTILINE,
)
CYTHON = re.compile(
    r"""
    [rbf]*(?:\"\"\".*?\"\"\" | "(?:\\.|[^"\\\n])*" | '(?:\\.|[^'\\\n])*')
    | \#[^\n]* | ^[ \t]*@[^\n]* | ^__all__[^\n]*
    | ^[ \t]*(?:from[ ][^\n]*import\b | c?import\b)(?:[^\n(]*\([^)]*\) | [^\n]*)
    | ^(?P<indent>[ \t]*)cdef[ ]extern[^\n]*\n(?:\n | (?P=indent)[ \t]+[^\n]*(?:\n|$))*
    | \bexcept\??[ ]-?\d+  # which its .pxd has, too
    | (?P<kept>\bcdef[ ]\w+|^[ \t]+(?!return\b|del\b|raise\b)\w+[ ]\**\w+)\[[^\]\n]*\](?=$|[ ])
    """,
    re.VERBOSE | re.DOTALL | re.MULTILINE,
)

# Files without code: declarations, macros for compilers, tables of functions.
DECLARATIONS = re.compile(r"(?:cgru|compiler|thread_pool|body|low_precision_body)\.h|(?:avx|baseline|scalar)\w+\.c")

# A statement that may be missing: no declaration, no header, no return of a value.
STATEMENT_OF_C = re.compile(
    r"""
    (?:^[ \t]+ | (?<=\)[ ]))
    (?!(?:for|if|else|while|switch|do|return[ ]\S|case|default|typedef|enum|const|static|INLINE)\b)
    (?!\w+[ ]\**\w+[ ]?[\[;,=])
    (?P<statement>(?:\w|\*(?=\w))[^;{}]*;)[ \t]*$
    """,
    re.VERBOSE | re.MULTILINE,
)
STATEMENT_OF_CYTHON = re.compile(
    r"""
    (?:^[ \t]+(?![ \t]|cdef\b|return[ ]\S|yield\b|pass\b) | (?<=:[ ])(?=raise\b|return\b|continue\b|break\b))
    (?P<statement>(?:[\w.\[\]]+\( | [^=\n(]*[^=<>!\n(]=[^=] | raise\b | del\b | continue$ | break$ | return$)[^\n]*)$
    """,
    re.VERBOSE | re.MULTILINE,
)
CONDITION_OF_CYTHON = re.compile(r"^[ \t]*(?:el)?(if|while) ([^\n:]+(?:\n[^\n:]+)*):(?=\s)", re.MULTILINE)


def blanked(text: str, path: str) -> str:
    """Return the source with spaces in the place of what is left alone, lines and places as they were."""

    def spaces(found: re.Match[str]) -> str:
        kept = found["kept"] or ""
        return kept + re.sub(r"[^\n]", " ", found[0][len(kept) :])

    return (CYTHON if path.endswith(".pyx") else C).sub(spaces, text)


def matching(code: str, opened: int) -> int:
    """Return the place of the bracket that closes the one at `opened`; the end where none does."""
    depth = 0
    for place in range(opened, len(code)):
        depth += (code[place] in "([{") - (code[place] in ")]}")
        if not depth:
            return place
    return len(code)


def is_whole(statement: str) -> bool:
    """Return whether all brackets of a statement are closed, and it opens no block."""
    depths, depth = [], 0
    for character in statement:
        depth += (character in "([{") - (character in ")]}")
        depths.append(depth)
    return not depth and min(depths) == 0 and not statement.endswith((":", ",", "=", "\\"))


def top_level(arguments: str) -> list[str]:
    """Return the arguments of a call, split at the commas that stand in no brackets."""
    parts, depth = [""], 0
    for character in arguments:
        depth += (character in "([{") - (character in ")]}")
        if character == "," and not depth:
            parts.append("")
        else:
            parts[-1] += character
    return parts


def edits_of_tokens(code: str) -> Iterator[Edit]:
    """Yield swapped operators, and numbers that are changed: integers + 1, others times 1.5."""
    for found in [*SYMBOL.finditer(code), *WORD.finditer(code)]:
        if not LOOP.search(code, max(found.start() - 80, 0), found.start()):
            yield *found.span(), SWAPS[found[0]], ""
    for found in NUMBER.finditer(code):
        number = found[0]
        changed = str(int(number, 0) + 1) if re.fullmatch(r"0x\w+|\d+", number) else repr(float(number) * 1.5)
        yield *found.span(), changed, ""


def edits_of_c(code: str) -> Iterator[Edit]:
    """Yield conditions that are constant, bounds of loops one off, and statements that are missing."""
    for found in re.finditer(r"\b(if|for|while) \(", code):
        start, end = found.end(), matching(code, found.end() - 1)
        parts = code[start:end].split(";")
        if found[1] != "for":
            yield start, end, "0", "condition -> false"
            if found[1] == "if":
                yield start, end, "1", "condition -> true"
        elif len(parts) == 3 and parts[1].strip():
            bound = start + len(parts[0]) + 1 + len(parts[1])
            yield bound, bound, " - 1", "bound - 1"
            yield bound, bound, " + 1", "bound + 1"
    for found in re.finditer(r" \? ", code):
        yield found.start(), found.start(), " && 0", "choice -> false"
        yield found.start(), found.start(), " || 1", "choice -> true"
    for found in STATEMENT_OF_C.finditer(code):
        if is_whole(found["statement"]):
            yield *found.span("statement"), ";", "without"


def edits_of_cython(code: str) -> Iterator[Edit]:
    """Yield the same of Cython, and True for False."""
    for found in CONDITION_OF_CYTHON.finditer(code):
        for value in ("True", "False") if found[1] == "if" else ("False",):
            yield *found.span(2), value, f"condition -> {value}"
    for found in re.finditer(r"(?<=\S) if ([^\n:]+?) else ", code):
        for value in ("True", "False"):
            yield *found.span(1), value, f"choice -> {value}"
    for found in re.finditer(r"\bin range\(", code):
        parts = top_level(code[found.end() : matching(code, found.end() - 1)])
        stop = found.end() + sum(len(part) + 1 for part in parts[:2]) - 1
        yield stop, stop, " - 1", "bound - 1"
        yield stop, stop, " + 1", "bound + 1"
    for found in re.finditer(r"\b(?:True|False)\b", code):
        yield *found.span(), str(found[0] == "False"), ""
    for found in STATEMENT_OF_CYTHON.finditer(code):
        statement = found["statement"].rstrip()
        if is_whole(statement):
            start = found.start("statement")
            yield start, start + len(statement), "pass", "without"


def breaks(path: str, text: str) -> list[Break]:
    """Return all breaks of a source in C or Cython, in the order of its lines."""
    if DECLARATIONS.fullmatch(Path(path).name):
        return []
    code, found = blanked(text, path), {}
    own = edits_of_cython if path.endswith(".pyx") else edits_of_c
    for start, end, new, name in [*edits_of_tokens(code), *own(code)]:
        old = " ".join(text[start:end].split())
        what = f"without {old[:50]}" if name == "without" else name or f"{old} -> {new}"
        found[start, end, new] = Break(text.count("\n", 0, start) + 1, what, text[:start] + new + text[end:])
    return [found[key] for key in sorted(found)]


# --- what is built, without optimisation, which takes a third of the time ---

SIMD = "cgru/core/simd"
SLOWER = 10  # times as long may tests of such a build take as they do of an optimised one
LEVELS = ("baseline", "avx512", "avx2", "scalar")
# The tables of kernels in which a header may be broken: the first one that its change reaches.
TABLES = [f"{level}_{dtype}" for dtype in ("float", "double") for level in LEVELS]
EXTENDED = ("baseline", "avx512vnni", "avx2", "avx2vnni", "avx512", "scalar")
LOW_PRECISION = [f"{level}_low_precision" for level in EXTENDED]
LOCK = Lock()  # breaks are built on several threads
SUFFIX = sysconfig.get_config_var("EXT_SUFFIX")  # asked here, since sysconfig is not for several threads at first
OF_LOW_PRECISION = ("low_precision.h", "low_precision_body.h", "quantize_row.h")


@cache
def recipe() -> tuple[dict[str, Any], dict[str, Any]]:
    """Return the modules of setup.py by their .pyx, and the directives for Cython. Nothing is built."""
    with LOCK, mock.patch("setuptools.setup") as setup, mock.patch.object(sys, "argv", ["setup.py", "sdist"]):
        names = runpy.run_path("setup.py")
    return {module.sources[0]: module for module in setup.call_args.kwargs["ext_modules"]}, names["DIRECTIVES"]


def succeeds(tree: Path, *command: str) -> bool:
    """Run a command in a copy of the checkout; return whether it succeeded."""
    return not subprocess.run(command, cwd=tree, capture_output=True, timeout=300).returncode


def compile_c(tree: Path, to: str, *options: str) -> bool:
    """Compile C sources, which are among the options, to a file; by Clang, where it is, in half of GCC's time."""
    compiler = ["clang"] if shutil.which("clang") else shlex.split(sysconfig.get_config_var("CC") or "cc")
    return succeeds(tree, *compiler, "-O0", "-w", "-g0", "-fPIC", "-pthread", *options, "-o", to)


def compile_table(tree: Path, name: str, folder: str) -> bytes:
    """Compile one table of kernels into a folder; return the object, nothing where it does not compile."""
    to = f"{folder}/{name}.o"
    return (tree / to).read_bytes() if compile_c(tree, to, "-c", f"{SIMD}/{name}.c") else b""


def binary_of(source: str) -> str:
    """Return the path of a module's binary, beside its source."""
    return source.removesuffix(".pyx") + SUFFIX


def link(tree: Path, source: str, *objects: str, translated: bool = False) -> bool:
    """Build a module; with `translated` from the C that Cython made of it before."""
    modules, directives = recipe()
    module, c = modules[source], f"build/mutation/{source.replace('/', '.').removesuffix('pyx')}c"
    if not (translated and (tree / c).exists()):
        said = ",".join(f"{name}={value}" for name, value in directives.items())
        if not succeeds(tree, sys.executable, "-m", "cython", "-X", said, source, "-o", c):
            return False
    options = [f"-I{folder}" for folder in (*module.include_dirs, sysconfig.get_path("include"))]
    options += [f"-D{name}={value}" for name, value in module.define_macros]
    return compile_c(tree, binary_of(source), "-shared", *options, c, *module.sources[1:], *objects, "-lm")


def unbroken_objects(tree: Path) -> Path:
    """Return the folder of all tables of kernels as they are in this checkout, compiled once."""
    folder = tree / "build/mutation/unbroken"
    if not folder.exists():
        folder.mkdir(parents=True)
        for source in sorted(Path(SIMD).glob("*.c")):
            if not compile_c(Path(), str((folder / f"{source.stem}.o").resolve()), "-c", str(source)):
                raise RuntimeError(f"{source} does not compile")
    return folder


def module_of(path: str) -> str:
    """Return the module that a source is built into, by its .pyx."""
    if path.endswith(".pyx"):
        return path
    return "cgru/core/kernels.pyx" if path.startswith(SIMD) else "cgru/core/threads.pyx"


def prepare(tree: Path, path: str) -> dict[str, str] | None:
    """Build the module of a changed source in a copy of the checkout.

    A header is broken in one table of kernels, the first whose object it changes. Return the environment in which tests
    run, which says the level of that table; None where the change does not compile, or changes no object.
    """
    module = module_of(path)
    (tree / "build/mutation").mkdir(parents=True, exist_ok=True)
    (tree / binary_of(module)).unlink(missing_ok=True)
    if module != "cgru/core/kernels.pyx":
        return {} if link(tree, module, translated=path != module) else None
    unbroken = unbroken_objects(tree)
    objects = {each.stem: str(each.resolve()) for each in unbroken.glob("*.o")}
    if path == module:
        return {} if link(tree, module, *objects.values()) else None
    tables = LOW_PRECISION if Path(path).name in OF_LOW_PRECISION else TABLES
    names = [Path(path).stem] if path.endswith(".c") else tables
    for name in names:
        broken = compile_table(tree, name, "build/mutation")
        if not broken:
            return None
        if broken != (unbroken / f"{name}.o").read_bytes():
            objects[name] = f"build/mutation/{name}.o"
            return using(name) if link(tree, module, *objects.values(), translated=True) else None
    return None


def using(table: str) -> dict[str, str]:
    """Return the environment in which tests use the level of a table."""
    level = re.sub("vnni|dot", "", table.partition("_")[0])
    return {"CGRU_SIMD": level} if level in LEVELS else {}


def concerns(environment: dict[str, str], test: str) -> bool:
    """Return whether a test is of the level in use, or of none in particular."""
    level = environment.get("CGRU_SIMD")
    return not level or not any(re.search(rf"[\[-]{each}\b", test) for each in LEVELS if each != level)


def restore(tree: Path, path: str) -> None:
    """Put back the module of a source as it was in the checkout."""
    binary = binary_of(module_of(path))
    (tree / binary).unlink(missing_ok=True)
    shutil.copy2(binary, tree / binary)


# --- which tests ---

# The tests that see most breaks of sources whose paths begin so; behind a source's mirror, before those of WIDE.
TESTS = {
    f"{SIMD}/loss.h": ["tests/core/test_criterion.py"],
    f"{SIMD}/norm.h": ["tests/core/test_norm.py"],
    f"{SIMD}/low_precision": ["tests/core/test_low_precision.py"],
    f"{SIMD}/quantize_row.h": ["tests/core/test_low_precision.py"],
    f"{SIMD}/update.h": ["tests/test_optimizers.py"],
    f"{SIMD}/elementwise.h": ["tests/network/training/test_penalties.py", "tests/layers"],
    f"{SIMD}/moments.h": ["tests/layers"],
    f"{SIMD}/pool.h": ["tests/layers"],
    f"{SIMD}/fading.h": ["tests/test_grud.py"],
    SIMD: ["tests/core/test_kernels.py"],
    "cgru/core/blocks.pyx": ["tests/network/training/compiled", "tests/network/data"],
    "cgru/core/fading.pyx": ["tests/test_grud.py"],
    "cgru/core/pair.pyx": ["tests/test_bidirectional.py", "tests/core/test_crew.py"],
    "cgru/core/products.pyx": ["tests/core/test_lying.py"],
    "cgru/core/thread_pool.c": ["tests/core/test_threads.py", "tests/core/test_crew.py"],
    "cgru/core": ["tests/core/test_kernels.py"],
    "cgru/stream.pyx": ["tests/test_grud.py"],
    "cgru/network/training/compiled/fading_stage.pyx": ["tests/test_grud.py"],
    "cgru/network/training/compiled/switching_stage.pyx": ["tests/test_switching_gru.py"],
    "cgru/network/training/compiled/plain.pyx": ["tests/layers"],
    "cgru/network": ["tests/network/training/compiled", "tests/network/training", "tests/layers", "tests/network/data"],
    "cgru/torch": ["tests/torch_gru"],
}
NEXT = ("test_gru.py", "test_variants.py", "test_passes.py", "core", "test_stream.py", "test_bidirectional.py")
WIDE = [f"tests/{name}" for name in (*NEXT, "network/training/compiled")]


def tests(path: str) -> list[str]:
    """Return the files of tests of a source in the order in which they run."""
    found = [str(Path("tests", *Path(path).parts[1:-1], f"test_{Path(path).stem}.py"))]
    for start, places in TESTS.items():
        found += places if path.startswith(start) else []
    files = [Path(place) for place in found + WIDE * (not path.startswith(("cgru/network", "cgru/torch")))]
    return list(dict.fromkeys(str(file) for each in files for file in (sorted(each.rglob("test_*.py")) or [each])))
