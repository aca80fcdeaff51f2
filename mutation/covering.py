"""Which tests run which lines of the package, measured once for each file of tests, and cached."""

from __future__ import annotations

import ast
import functools
import hashlib
import json
from dataclasses import asdict, dataclass
from pathlib import Path

from mutation.child import Outcome

__all__ = ["Covering", "digest", "statement", "test_files"]

LEFT_OUT = (
    "test_contributing.py",
    "test_house.py",
    "test_links.py",
    "test_package.py",
    "test_setup.py",
    "benchmarks",
    "mutation",
    "fuzz",
)


def test_files(root: Path) -> list[str]:
    """Return the files of tests that may notice a break, not those that look at the tree or at the tools."""
    paths = sorted(path.relative_to(root) for path in (root / "tests").rglob("test_*.py"))
    return [path.as_posix() for path in paths if not set(path.parts) & set(LEFT_OUT)]


def digest(path: Path) -> str:
    """Return a short digest of a file."""
    return hashlib.sha256(path.read_bytes()).hexdigest()[:16]


@dataclass
class Covering:
    """What the tests of one file run.

    Attributes:
        file: the digest of the file of tests.
        seconds: of each test that passes.
        modules: the digest of each module that they run.
        lines: `{module: {line: bits}}`, the bits of the tests that run the line, in the order of `seconds`, in hex.
        failed: the first test that failed, if any.
    """

    file: str
    seconds: dict[str, float]
    modules: dict[str, str]
    lines: dict[str, dict[str, str]]
    failed: str = ""

    @classmethod
    def of(cls, root: Path, file: str, outcome: Outcome) -> Covering:
        """Return what an outcome with lines says."""
        places = {name: 1 << n for n, name in enumerate(outcome.seconds)}
        places["setup"] = (1 << len(outcome.seconds)) - 1  # what a fixture does, any test of the file may look at
        lines = {}
        for module, contexts in outcome.lines.items():
            if not (root / module).is_file():  # one that a test has made up
                continue
            found = {}
            for line, names in contexts.items():
                bits = functools.reduce(int.__or__, (places.get(name, 0) for name in names), 0)
                if bits:
                    found[str(line)] = f"{bits:x}"
            if found:
                lines[module] = found
        modules = {module: digest(root / module) for module in lines}
        return cls(digest(root / file), outcome.seconds, modules, lines, outcome.failed)

    @classmethod
    def read(cls, path: Path, file: Path) -> Covering | None:
        """Return what was measured, None where it is not of what the file of tests is now."""
        try:
            found = cls(**json.loads(path.read_text(encoding="utf-8")))
        except FileNotFoundError:
            return None
        return found if found.file == digest(file) else None

    def write(self, path: Path) -> None:
        """Write it where `read` finds it."""
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(asdict(self)), encoding="utf-8")

    def tests(self, root: Path, module: str, lines: range | None) -> dict[str, float]:
        """Return the tests that run one of these lines, with their seconds.

        Those that run any line of the module, where `lines` is None, and where the module has changed since.
        """
        known = self.lines.get(module, {})
        if lines is None or self.modules.get(module) != digest(root / module):
            found = list(known.values())
        else:
            found = [known[str(line)] for line in lines if str(line) in known]
        bits = functools.reduce(int.__or__, (int(each, 16) for each in found), 0)
        return {name: seconds for n, (name, seconds) in enumerate(self.seconds.items()) if bits >> n & 1}


def statement(text: str, line: int) -> range | None:
    """Return the lines of the statement at a line, without its body; None where it runs as the module is imported."""
    found, inside = range(line, line + 1), False
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
            inside = inside or node.body[0].lineno <= line <= node.end_lineno
        if isinstance(node, ast.stmt) and node.lineno <= line:
            last = max(node.lineno, node.body[0].lineno - 1) if hasattr(node, "body") else node.end_lineno
            if line <= last:
                found = range(node.lineno, last + 1)  # the innermost comes last
    return found if inside else None
