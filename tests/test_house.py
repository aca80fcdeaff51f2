"""CONTRIBUTING's picture of the house is what the imports do, and no module reads another's private names."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
HOUSE = ROOT / "cgru"
if not (HOUSE / "gru.py").is_file():
    pytest.skip("the source does not lie beside the tests", allow_module_level=True)

SOURCES = sorted(path for path in HOUSE.rglob("*") if path.suffix in (".py", ".pyx", ".pxd"))
LINES = 900
STRINGS_AND_COMMENTS = re.compile(r'"""(?:.|\n)*?"""|"(?:\\.|[^"\\\n])*"|\'(?:\\.|[^\'\\\n])*\'|#.*')
FOR_TYPES = re.compile(r"^if TYPE_CHECKING:\n(?: +.*\n)+", re.MULTILINE)
IMPORT = re.compile(
    r"^[ \t]*(?:from[ \t]+(?P<of>[\w.]+)[ \t]+c?import[ \t]+(?P<names>\([^)]*\)|.*)|c?import[ \t]+(?P<modules>.*))$",
    re.MULTILINE,
)
# A private name that is made here: a function or class, an attribute of one's own, a variable, what cdef declares.
MADE = re.compile(
    r"(?:\b(?:def|class) +|\b(?:self|cls)\.|^ *)(_(?!_)\w+)(?= *[(:=.]|$)|^ *cp?def .*?\b(_(?!_)\w+)", re.MULTILINE
)
# One that is read from another: after a dot, but for what is one's own.
READ = re.compile(r"(?<!\bself)(?<!\bcls)(?<!\bsuper\(\))\.(_(?!_)\w+)")


def without(pattern, code):
    """The code with an empty string, and as many lines, wherever the pattern is found."""
    return pattern.sub(lambda found: "''" + "\n" * found[0].count("\n"), code)


def code_of(path):
    """The source without its strings and comments, and without imports that only a type checker sees."""
    return without(FOR_TYPES, without(STRINGS_AND_COMMENTS, path.read_text(encoding="utf-8")))


def name_of(path):
    """The module that a file is part of, `cgru.core.kernels`; a room is its `__init__.py`."""
    parts = path.relative_to(HOUSE.parent).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


MODULES = {name_of(path) for path in SOURCES}
MAKERS = {path: {name for found in MADE.findall(code_of(path)) for name in found if name} for path in SOURCES}


def imports(code):
    """The pairs (module, name) that code imports; the name is None where it takes the module itself."""
    for found in IMPORT.finditer(code):
        for each in (found["names"] or found["modules"]).strip("()").split(","):
            name = each.partition(" as ")[0].strip()
            if found["of"] and f"{found['of']}.{name}" in MODULES:
                yield f"{found['of']}.{name}", None
            elif name:
                yield (found["of"], name) if found["of"] else (name, None)


def picture():
    """The modules of CONTRIBUTING's picture, each with its height; those of one line lie side by side."""
    text = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    lines = re.search(r"^    cgru/\n((?:    .*\n)+)", text, re.MULTILINE)[1].splitlines()
    heights, room = {}, []
    for height, line in zip(range(len(lines), 0, -1), lines, strict=True):
        indent, names = re.match(r"    ( +)((?:\w+(?:/|\.py|\.pyx|\.pxd)(?: +|$))*)", line).groups()
        for name in names.split():
            room[len(indent) // 2 - 1 :] = [re.match(r"\w+", name)[0]]
            heights[".".join(["cgru", *room]).removesuffix(".__init__")] = height
    return heights


def test_the_picture_shows_every_module_and_no_other():
    assert picture().keys() - {"cgru.core.simd"} == MODULES  # which is C


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: str(path.relative_to(HOUSE)))
def test_imports_run_downward(path):
    heights, name = picture(), name_of(path)
    for module, _ in imports(code_of(path)):
        assert not module.startswith("."), f"{path}: expected the whole name, got from {module}"
        if module != name and {module, name} <= heights.keys():  # that all are there is tested above
            assert heights[module] < heights[name], f"{name} imports {module}, which does not lie below it"


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: str(path.relative_to(HOUSE)))
def test_no_private_name_of_another_module(path):
    """Other packages' private names are their own affair, and so is one that this module alone makes."""
    code = code_of(path)
    assert [name for _, name in imports(code) if name and re.match("_(?!_)", name)] == []
    code = without(IMPORT, code)
    made_by_others = set().union(*(names for other, names in MAKERS.items() if name_of(other) != name_of(path)))
    read = [(code[: found.start()].count("\n") + 1, found[1]) for found in READ.finditer(code)]
    assert [(line, name) for line, name in read if name in made_by_others] == []


def test_a_file_has_one_subject():
    """As far as its length tells."""
    files = [path for path in HOUSE.rglob("*") if path.suffix in (".py", ".pyx", ".pxd", ".pyi", ".c", ".h")]
    lines = {str(path.relative_to(HOUSE)): len(path.read_text(encoding="utf-8").splitlines()) for path in files}
    assert {name: count for name, count in lines.items() if count >= LINES} == {}
