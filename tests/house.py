"""CONTRIBUTING's layout of the code, for the tests that hold the code to it."""

import re
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
HOUSE = ROOT / "cgru"  # not there where the tests lie outside a checkout


def name_of(path, house=HOUSE):
    """The module that a file is part of, `cgru.core.kernels`; a room is its `__init__.py`."""
    parts = path.relative_to(house.parent).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def picture():
    """The modules of CONTRIBUTING's layout, each with its height; those of one line lie side by side."""
    text = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    lines = re.search(r"^    cgru/\n((?:    .*\n)+)", text, re.MULTILINE)[1].splitlines()
    heights, room = {}, []
    for height, line in zip(range(len(lines), 0, -1), lines, strict=True):
        indent, names = re.match(r"    ( +)((?:\w+(?:/|\.py|\.pyx|\.pxd)(?: +|$))*)", line).groups()
        for name in names.split():
            room[len(indent) // 2 - 1 :] = [re.match(r"\w+", name)[0]]
            heights[".".join(["cgru", *room]).removesuffix(".__init__")] = height
    return heights
