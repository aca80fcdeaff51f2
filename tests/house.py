"""The files of the package and their imports, for the tests that bound them."""

import re
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
HOUSE = ROOT / "cgru"  # not there where the tests lie outside a checkout
SOURCES = sorted(path for path in HOUSE.rglob("*") if path.suffix in (".py", ".pyx", ".pxd"))
STRINGS_AND_COMMENTS = re.compile(r'"""(?:.|\n)*?"""|"(?:\\.|[^"\\\n])*"|\'(?:\\.|[^\'\\\n])*\'|#.*')
IMPORT = re.compile(
    r"^[ \t]*(?:from[ \t]+(?P<of>[\w.]+)[ \t]+c?import[ \t]+(?P<names>\([^)]*\)|.*)|c?import[ \t]+(?P<modules>.*))$",
    re.MULTILINE,
)


def name_of(path, house=HOUSE):
    """The module that a file is part of, `cgru.core.kernels`; a folder is its `__init__.py`."""
    parts = path.relative_to(house.parent).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


MODULES = {name_of(path) for path in SOURCES}


def without(pattern, code):
    """The code with an empty string, and as many lines, wherever the pattern is found."""
    return pattern.sub(lambda found: "''" + "\n" * found[0].count("\n"), code)


def code_of(path):
    """The source without its strings and comments; imports that only a type checker sees count, too."""
    return without(STRINGS_AND_COMMENTS, path.read_text(encoding="utf-8"))


def imports(code):
    """The pairs (module, name) that code imports; the name is None where it takes the module itself."""
    for found in IMPORT.finditer(code):
        for each in (found["names"] or found["modules"]).strip("()").split(","):
            name = each.partition(" as ")[0].strip()
            if found["of"] and f"{found['of']}.{name}" in MODULES:
                yield f"{found['of']}.{name}", None
            elif name:
                yield (found["of"], name) if found["of"] else (name, None)


def imported():
    """The modules that each module imports, also inside a function; types that only a checker reads count, too."""
    arrows = {}
    for path in SOURCES:
        arrows.setdefault(name_of(path), set()).update(module for module, _ in imports(code_of(path)))
    return {name: others - {name} for name, others in arrows.items()}


def reached(start, arrows):
    """Return all that arrows lead to from `start`, by one step or more."""
    found, ahead = set(), list(arrows.get(start, ()))
    while ahead:
        if (each := ahead.pop()) not in found:
            found.add(each)
            ahead += arrows.get(each, ())
    return found


IMPORTS = imported()
