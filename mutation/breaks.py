"""One small break of a source, and the modules that make breaks: one for each kind of file."""

from __future__ import annotations

import importlib
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType

__all__ = ["Break", "maker"]

MAKERS = {".py": "mutation.python"} | dict.fromkeys((".pyx", ".h", ".c"), "mutation.compiled")


@dataclass(frozen=True)
class Break:
    """A source with one thing changed.

    Attributes:
        line: the number of the line, from 1.
        what: the change in a few words, such as "< -> <=".
        text: the whole source, changed.
    """

    line: int
    what: str
    text: str


def maker(path: str | Path) -> ModuleType:
    """Return the module that makes breaks of this file.

    It has `breaks(path, text) -> list[Break]`, all breaks of a source; `path` is relative to the root of the checkout.
    What else it may have:

    - `prepare(tree, path) -> dict[str, str] | None`: build what the changed file is part of, in the copy of the
      checkout at `tree`, before the tests run; return the environment to run them in, None where it cannot be built,
      so that the break does not count.
    - `restore(tree, path)`: put back what `prepare` has built; the file itself has its old text again.
    - `tests(path) -> list[str]`: files of tests in the order to run them, for a file whose lines cannot be followed.
    - `SLOWER`: how many times longer than usual tests may take in what `prepare` builds.
    - `concerns(environment, test) -> bool`: whether a test may notice a break that `prepare` has built.
    """
    return importlib.import_module(MAKERS[Path(path).suffix])
