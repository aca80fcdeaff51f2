"""Run tests in a process forked from one that has imported what they need, but not the package."""

from __future__ import annotations

import gc
import multiprocessing
import os
import signal
import sys
from dataclasses import dataclass, field
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import pytest

__all__ = ["FORKS", "IMPORTED", "Outcome", "run"]

IMPORTED = [  # by the command, once; never a module of the package
    "mutation.child",
    "numpy.testing",
    "hypothesis",
    "matplotlib.figure",
    "sklearn.utils.estimator_checks",
    "pandas",
    "polars",
    "narwhals",
    "torch",
]
FORKS = multiprocessing.get_context("forkserver")
OPTIONS = ["--disable-plugin-autoload", "-o", "addopts=", "--import-mode=importlib", "-p", "no:cacheprovider"]
OPTIONS += ["-m", "not nightly"]
FAILED = "could not be imported"


@dataclass
class Outcome:
    """What a run of tests has shown.

    Attributes:
        failed: the first test that failed, or in a few words what else went wrong; "" where all passed.
        seconds: of each test that passed.
        lines: which tests run a line, `{module: {line: names}}`; see `Watch`.
    """

    failed: str = ""
    seconds: dict[str, float] = field(default_factory=dict)
    lines: dict[str, dict[int, list[str]]] = field(default_factory=dict)


def run(
    tree: Path,
    files: list[str],
    usual: dict[str, float] | None = None,
    lines: bool = False,
    patience: float = 5.0,
    environment: dict[str, str] | None = None,
) -> Outcome:
    """Run the tests of these files in `tree`; return the outcome.

    `usual` names the tests, in order, with the seconds that they usually take, and ends with the first that fails, or
    takes four times as much processor time and `patience` seconds; None: all that are not nightly. With `lines` the
    outcome says which test runs which lines. Variables of `environment` are set for them.
    """
    here, there = FORKS.Pipe(duplex=False)
    process = FORKS.Process(target=work, args=(there, tree, files, Tests(usual, patience), lines, environment or {}))
    process.start()
    there.close()
    try:
        if here.poll(600 if usual is None else 60 + 10 * sum(usual.values())):
            return here.recv()
        return Outcome("no answer in time")
    except EOFError:
        process.join()
        late = process.exitcode == -signal.SIGPROF
        return Outcome("much longer than usual" if late else f"the process died: {process.exitcode}")
    finally:
        try:
            os.killpg(process.pid, signal.SIGKILL)  # and what the tests have started
        except (ProcessLookupError, PermissionError):
            process.kill()
        process.join()


def work(
    pipe: Connection, tree: Path, files: list[str], tests: Tests, lines: bool, environment: dict[str, str]
) -> None:
    """Run the tests in this process, and send the outcome."""
    os.setsid()
    gc.freeze()  # what is imported already stays; else each collection goes through it
    null = os.open(os.devnull, os.O_RDWR)
    for number in (0, 1, 2):
        os.dup2(null, number)
    os.chdir(tree)
    os.environ.update(environment, PYTHONPATH=str(tree))
    sys.path[:] = [str(tree), *(each for each in sys.path if each and not Path(each, "cgru").is_dir())]
    watch = [Watch(tree)] if lines else []  # before anything of the package is imported
    code = pytest.main([*OPTIONS, *(["-x"] if tests.usual is not None else []), *files], [tests, *watch])
    outcome = tests.outcome
    if not outcome.failed and code not in (pytest.ExitCode.OK, pytest.ExitCode.NO_TESTS_COLLECTED):
        outcome.failed = FAILED
    for each in watch:
        outcome.lines = each.lines()
    pipe.send(outcome)
    pipe.close()
    os._exit(0)


class Tests:
    """Runs the tests that are asked for, in their order, none much longer than usual, and keeps the outcome."""

    def __init__(self, usual: dict[str, float] | None, patience: float) -> None:
        self.usual, self.patience, self.outcome = usual, patience, Outcome()

    @pytest.hookimpl(trylast=True)
    def pytest_collection_modifyitems(self, items: list[pytest.Item]) -> None:
        """Leave the tests that were asked for."""
        if self.usual is not None:
            found = {item.nodeid: item for item in items}
            items[:] = [found[name] for name in self.usual if name in found]

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_runtest_protocol(self, item: pytest.Item) -> Any:
        """End the process where the test takes much more processor time than usual: SIGPROF."""
        if self.usual is not None:
            signal.setitimer(signal.ITIMER_PROF, self.patience + 4 * self.usual[item.nodeid])
        result = yield
        signal.setitimer(signal.ITIMER_PROF, 0)
        return result

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Keep the first failure, and the seconds of what passed."""
        if report.failed:
            self.outcome.failed = self.outcome.failed or report.nodeid
            self.outcome.seconds.pop(report.nodeid, None)
        elif report.when == "call" and report.passed:
            self.outcome.seconds[report.nodeid] = report.duration


class Watch:
    """Notes which test runs which lines of the package.

    What runs before the first test is said to be of "import", and what runs in a fixture of "setup".
    """

    def __init__(self, tree: Path) -> None:
        import coverage

        self.tree = tree
        self.coverage = coverage.Coverage(data_file=None, source=[str(tree / "cgru")], config_file=False)
        self.coverage.set_option("run:core", "ctrace")  # another one has no contexts
        self.coverage.start()
        self.coverage.switch_context("import")

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_setup(self) -> Any:
        """Say that fixtures run."""
        self.coverage.switch_context("setup")
        return (yield)

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_runtest_call(self, item: pytest.Item) -> Any:
        """Say that this test runs."""
        self.coverage.switch_context(item.nodeid)
        result = yield
        self.coverage.switch_context("setup")
        return result

    def lines(self) -> dict[str, dict[int, list[str]]]:
        """Return the names of the tests that run each line of each module."""
        self.coverage.stop()
        data = self.coverage.get_data()
        return {
            Path(path).relative_to(self.tree).as_posix(): data.contexts_by_lineno(path)
            for path in data.measured_files()
            if path.endswith(".py")
        }
