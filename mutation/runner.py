"""Break modules one place after the other in copies of the checkout, and run the tests that cover the place."""

from __future__ import annotations

import compileall
import fcntl
import hashlib
import json
import os
import py_compile
import queue
import re
import shutil
import threading
from collections import Counter
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

from mutation.breaks import Break, maker
from mutation.child import run
from mutation.covering import Covering, statement, test_files

__all__ = ["ROOT", "Result", "Runner", "modules"]

ROOT = Path(__file__).resolve().parent.parent
COPIED = ("cgru", "tests", "benchmarks", "fuzz", "examples", "docs", "pyproject.toml", "setup.py", "README.md")
COPIED += ("CONTRIBUTING.md", "CHANGELOG.md", "LICENSE")
LEFT = shutil.ignore_patterns("__pycache__", "build")
EQUIVALENT = Path(__file__).with_name("equivalent.txt")


@dataclass(frozen=True)
class Result:
    """What became of a break.

    Attributes:
        path, what, code, nth: the module, the change, the line's text, and which of several such places: its name.
        line: its number, when it was tried.
        result: "caught", "survived", "unbuilt", or "listed", where `equivalent.txt` has it.
        by: the test that noticed, or what else showed the break; of a listed one the reason.
        tests: how many tests ran.
    """

    path: str
    what: str
    code: str
    nth: int
    line: int
    result: str
    by: str = ""
    tests: int = 0

    @property
    def key(self) -> tuple[str, str, str, int]:
        """Return what names the break."""
        return self.path, self.what, self.code, self.nth


def modules(root: Path = ROOT, compiled: bool = False) -> list[str]:
    """Return all Python modules of the package; with `compiled` the sources in Cython and C that have breaks."""
    ends = (".pyx", ".h", ".c") if compiled else (".py",)
    paths = sorted(path.relative_to(root).as_posix() for path in (root / "cgru").rglob("*") if path.suffix in ends)
    return [path for path in paths if not compiled or maker(path).breaks(path, (root / path).read_text("utf-8"))]


def equivalent(path: Path = EQUIVALENT) -> dict[tuple[str, str, str], str]:
    """Return the reasons of the breaks that change nothing anybody could notice, by module, line's text and change.

    The file has a line "module: code", and below it, indented, "change  # reason" for each; "*" is any code or change,
    and the code "in name" any line of that function.
    """
    found, place = {}, ("", "")
    for line in path.read_text(encoding="utf-8").splitlines():
        if line.startswith("    "):
            what, _, reason = line.strip().partition("  # ")
            found[(*place, what)] = reason
        elif line and not line.startswith("#"):
            module, _, code = line.partition(": ")
            place = module, code
    return found


def function_of(path: Path, line: int) -> str:
    """Return the name of the function, in Python, Cython or C, that a line of a source stands in; "" of none."""
    for code in reversed(path.read_text(encoding="utf-8").splitlines()[:line]):
        if found := re.match(r"\s*(?:(?:cp?|async )?def|static|INLINE)\b[^(=]*?(\w+)\(", code):
            return found[1]
        if re.match(r"[^\s#/})]", code):
            break
    return ""


class Runner:
    """Tries breaks in copies of the checkout, which lie beside the results, as does what is known of the tests."""

    def __init__(
        self, results: Path, jobs: int = 1, seconds: float = 20.0, root: Path = ROOT, patience: float = 5.0
    ) -> None:
        self.results, self.jobs, self.seconds, self.root, self.patience = results, jobs, seconds, root, patience
        self.folder = results.parent
        self.folder.mkdir(parents=True, exist_ok=True)
        self.equivalent = equivalent()
        self.covering: dict[str, Covering] = {}
        self.unsound: set[str] = set()  # tests that fail without a break
        self.lock = threading.Lock()
        self.known: dict[tuple[str, str, str, int], Result] = {}
        if results.exists():
            for line in results.read_text(encoding="utf-8").splitlines():
                result = Result(**json.loads(line))
                self.known[result.key] = result

    def try_all(self, paths: Iterable[str], count: int, seed: int = 0, again: bool = False) -> list[Result]:
        """Try up to `count` breaks of each module; return all their results, those that are known among them.

        `again`: try those that survived once more.
        """
        tasks, found = [], []
        for path in paths:
            for result, each in chosen(self.root, path, count, seed):
                codes = (result.code, f"in {function_of(self.root / path, result.line)}", "*")
                places = ((path, code, what) for code in codes for what in (result.what, "*"))
                reason = next(filter(None, map(self.equivalent.get, places)), "")
                known = self.known.get(result.key)
                if reason:
                    found.append(Result(**asdict(result) | {"result": "listed", "by": reason}))
                elif known and not (again and known.result == "survived"):
                    found.append(known)
                else:
                    tasks.append((result, each))
        if tasks:
            with trees(self.root, self.folder, self.jobs) as free, ThreadPoolExecutor(self.jobs) as pool:
                self.measure(pool, free, {result.path for result, _ in tasks})
                found += pool.map(lambda task: self.try_one(free, *task), tasks)
        return found

    def check(self, results: Iterable[Result]) -> list[str]:
        """Run the tests that caught breaks without one; forget what those caught that fail; return their names."""
        caught: dict[str, dict[str, float]] = {}
        for each in results:
            if each.result == "caught" and "::" in each.by:
                caught.setdefault(each.by.partition("::")[0], {})[each.by] = self.patience

        def failing(file: str) -> list[str]:
            tests, found = caught[file], []
            with taken(free) as tree:
                while tests and (failed := run(tree, [file], tests, patience=self.patience).failed):
                    if tests.pop(failed, None) is None:  # no test, but the file itself, which may be gone
                        return [*found, *tests]
                    found.append(failed)
            return found

        with trees(self.root, self.folder, self.jobs) as free, ThreadPoolExecutor(self.jobs) as pool:
            found = [name for names in pool.map(failing, caught) for name in names]
        self.unsound |= set(found)
        self.known = {key: each for key, each in self.known.items() if each.by not in found}
        lines = (json.dumps(asdict(each)) + "\n" for each in self.known.values())
        self.results.write_text("".join(lines), encoding="utf-8")
        return found

    def measure(self, pool: ThreadPoolExecutor, free: queue.Queue[Path], paths: Iterable[str]) -> None:
        """Find out which tests run which lines of these modules, but for the files of tests of which that is known.

        Of tests for a file whose lines cannot be followed the seconds alone.
        """
        named = [(maker(path).tests(path) if hasattr(maker(path), "tests") else None) for path in paths]
        known = set(test_files(self.root))
        compiled = {file for files in named for file in files or () if file in known}
        followed = test_files(self.root) if None in named else []

        def measured(file: str) -> Covering:
            lines = file in followed
            path = self.folder / ("covering" if lines else "seconds") / f"{file}.json"
            covering = Covering.read(path, self.root / file)
            if covering is None:
                with taken(free) as tree:
                    covering = Covering.of(self.root, file, run(tree, [file], lines=lines))
                covering.write(path)
                if covering.failed:
                    self.say(f"without a break: {covering.failed}: fails")
            return covering

        files = [*followed, *sorted(compiled.difference(followed))]
        self.covering = dict(zip(files, pool.map(measured, files), strict=True))

    def try_one(self, free: queue.Queue[Path], result: Result, each: Break) -> Result:
        """Break a module in one of the free trees, run its tests there, and mend it."""
        made = maker(result.path)
        with taken(free) as tree:
            path = tree / result.path
            source = path.read_text(encoding="utf-8")
            path.write_text(each.text, encoding="utf-8")
            try:
                environment = getattr(made, "prepare", lambda tree, path: {})(tree, result.path)
                found = {"result": "unbuilt"} if environment is None else self.attempt(tree, result, environment)
            finally:
                path.write_text(source, encoding="utf-8")
                getattr(made, "restore", lambda tree, path: None)(tree, result.path)
        result = Result(**asdict(result) | found)
        with self.lock:
            self.known[result.key] = result
            with self.results.open("a", encoding="utf-8") as file:
                file.write(json.dumps(asdict(result)) + "\n")
        if result.result == "survived":
            self.say(f"{result.path}:{result.line}: {result.what}: survived {result.tests} tests    {result.code[:90]}")
        return result

    def attempt(self, tree: Path, result: Result, environment: dict[str, str]) -> dict[str, object]:
        """Run the tests that cover a break, until one fails; return the fields of the result."""
        tried, slower = 0, getattr(maker(result.path), "SLOWER", 1)
        for tests in self.portions(result.path, result.line, environment):
            files = dict.fromkeys(name.partition("::")[0] for name in tests)
            usual = {name: slower * each for name, each in tests.items()}
            outcome = run(tree, list(files), usual, patience=self.patience, environment=environment)
            tried += len(tests)
            if outcome.failed:
                return {"result": "caught", "by": outcome.failed, "tests": tried}
        return {"result": "survived", "tests": tried}

    def portions(self, path: str, line: int, environment: dict[str, str] | None = None) -> Iterator[dict[str, float]]:
        """Yield the tests that cover a line: first those of the nearest file, then of more and more files at once.

        Of each file the quickest come first, with one case of each function before further cases, as many as take
        half of what is left of `seconds`, or one. What runs as the module is imported, such as a constant, is looked
        at by all tests of the files named after it, and by those that run any of its lines.
        """
        made = maker(path)
        if hasattr(made, "tests"):
            order = [file for file in made.tests(path) if file in self.covering]
            covering = {file: self.covering[file].seconds for file in order}
            concerned = {
                file: {name: each for name, each in tests.items() if made.concerns(environment or {}, name)}
                for file, tests in covering.items()
            }
            order, covering = [file for file in order if concerned[file]], concerned
        else:
            lines = statement((self.root / path).read_text(encoding="utf-8"), line)
            covering = {
                file: each.seconds if lines is None and mirrors(path, file) else each.tests(self.root, path, lines)
                for file, each in self.covering.items()
            }
            order = sorted(filter(covering.get, covering), key=lambda file: distance(path, file, covering[file]))
            if not order:  # a module that runs as it is imported, or in other processes
                covering = {file: each.seconds for file, each in self.covering.items() if is_near(path, file)}
                order = sorted(filter(covering.get, covering), key=lambda file: distance(path, file, covering[file]))
        left, size = self.seconds, 1
        while order and left > 0:
            tests: dict[str, float] = {}
            for file in order[:size]:
                sound = {name: each for name, each in covering[file].items() if name not in self.unsound}
                tests |= quickest(sound, left / 2)
                left -= sum(each for name, each in sound.items() if name in tests)
            yield tests
            order, size = order[size:], 2 * size

    def say(self, text: str) -> None:
        """Print a line."""
        with self.lock:
            print(text, flush=True)


def chosen(root: Path, path: str, count: int, seed: int) -> Iterator[tuple[Result, Break]]:
    """Yield `count` breaks of a module at random, the same ones after a change of other lines."""
    text = (root / path).read_text(encoding="utf-8")
    lines, seen, found = text.splitlines(), Counter(), []
    for each in maker(path).breaks(path, text):
        code = lines[each.line - 1].strip()
        seen[code, each.what] += 1
        result = Result(path, each.what, code, seen[code, each.what], each.line, "")
        found.append((hashlib.sha256(f"{seed} {result.key}".encode()).digest(), result, each))
    found.sort(key=lambda each: each[0])
    for _, result, each in found[:count]:
        yield result, each


def mirrors(path: str, file: str) -> bool:
    """Return whether a file of tests is named after the module."""
    return Path(file).stem.startswith(f"test_{Path(path).stem}") or Path(file).stem == f"test_{Path(path).parent.name}"


def is_near(path: str, file: str) -> bool:
    """Return whether a file of tests lies in the folder that mirrors the module's."""
    home = Path("tests", *Path(path).parts[1:-1])
    return Path(file).parent in (home, home.with_name(f"{home.name}_gru"))  # tests/torch would hide PyTorch


def distance(path: str, file: str, tests: dict[str, float]) -> tuple[bool, bool, bool, float]:
    """Return what sorts files of tests: the module's own, those of its folder, the others; the quickest first."""
    near = is_near(path, file)
    own = near and Path(file).stem == f"test_{Path(path).stem}"
    return not own, not mirrors(path, file), not near, min(tests.values())


def quickest(tests: dict[str, float], seconds: float) -> dict[str, float]:
    """Return the quickest tests that take so many seconds, one at least; one of each function before the others."""
    order = sorted(tests, key=tests.get)
    first = {name.partition("[")[0]: name for name in reversed(order)}  # of each function the quickest
    found = {}
    for name in sorted(order, key=lambda name: name != first[name.partition("[")[0]]):
        if not found or tests[name] <= seconds:
            found[name] = tests[name]
            seconds -= tests[name]
    return found


# --- copies of the checkout ---


@contextmanager
def trees(root: Path, folder: Path, count: int) -> Iterator[queue.Queue[Path]]:
    """Copy the checkout `count` times, or bring older copies up to date; nobody else takes them meanwhile."""
    free, locks, number = queue.Queue(), [], 0
    while len(locks) < count:
        tree = folder / f"tree{number}"
        tree.mkdir(parents=True, exist_ok=True)
        number += 1
        lock = os.open(tree / ".lock", os.O_CREAT | os.O_RDWR)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(lock)
            continue
        locks.append(lock)
        copy(root, tree)
        free.put(tree.resolve())
    yield free
    for lock in locks:
        os.close(lock)


@contextmanager
def taken(free: queue.Queue[Path]) -> Iterator[Path]:
    """Take one of the free trees."""
    tree = free.get()
    try:
        yield tree
    finally:
        free.put(tree)


def copy(root: Path, tree: Path) -> None:
    """Copy what the tests need of the checkout, without the files that are there already."""

    def newer(source: str, target: str) -> None:
        old, new = Path(target), os.stat(source)
        if not old.exists() or (old.stat().st_mtime_ns, old.stat().st_size) != (new.st_mtime_ns, new.st_size):
            shutil.copy2(source, target)

    for name in COPIED:
        if (root / name).is_dir():
            for path in (tree / name).rglob("*.*"):
                if path.is_file() and path.suffix != ".pyc" and not (root / path.relative_to(tree)).exists():
                    path.unlink()
            shutil.copytree(root / name, tree / name, copy_function=newer, ignore=LEFT, dirs_exist_ok=True)
        elif (root / name).exists():
            newer(str(root / name), str(tree / name))
    mode = py_compile.PycInvalidationMode.CHECKED_HASH  # a broken file may have the time and size of the whole one
    compileall.compile_dir(tree / "cgru", quiet=2, invalidation_mode=mode)
