"""Run the cases of a target in a child process, where a crash or a hang is a finding like a wrong result."""

from __future__ import annotations

import faulthandler
import importlib
import importlib.util
import multiprocessing
import os
import signal
import sys
import tempfile
import time
import traceback
import warnings
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from fuzz.targets import TARGETS

__all__ = ["Finding", "Report", "attempt", "machine", "missing", "run"]

START = 120.0  # seconds that a child may take to import its target
GRACE = 5.0  # seconds that it may take to end
TAIL = 4000  # characters of the child's stderr that a finding shows


class Finding(NamedTuple):
    """A case that went wrong: its target, its seed, and what was seen."""

    target: str
    seed: int
    what: str

    @property
    def command(self) -> str:
        """Return the command that repeats the case."""
        return f"python -m fuzz {self.target} --case {self.seed}"


@dataclass
class Report:
    """What a run has found: how many cases ran, how many of these said which word, and the findings."""

    target: str
    calls: int = 0
    words: Counter[str] = field(default_factory=Counter)
    findings: list[Finding] = field(default_factory=list)

    def __str__(self) -> str:
        words = "".join(f", {count} {word}" for word, count in sorted(self.words.items()))
        lines = [f"{self.target}: {self.calls} cases{words}, {len(self.findings)} findings"]
        return "\n".join(lines + [f"{each.what.rstrip()}\n  {each.command}" for each in self.findings])


def missing(name: str) -> list[str]:
    """Return the modules that the target needs and that are not installed."""
    return [each for each in TARGETS[name].needs if importlib.util.find_spec(each) is None]


def run(
    name: str, seeds: Iterable[int], seconds: float | None = None, bound: float | None = None, module: str | None = None
) -> Report:
    """Run a target's cases for these seeds, for at most so many seconds (None: all of them); return the report.

    `bound` are the seconds after which a case is a hang. `module` is the one with `case`; None: `fuzz.NAME`.
    """
    report, end = Report(name), None if seconds is None else time.monotonic() + seconds
    bound = TARGETS[name].bound if bound is None else bound
    child = Child(module or f"fuzz.{name}")
    try:
        for seed in seeds:
            if end is not None and time.monotonic() >= end:
                break
            word, what = child.attempt(seed, bound)
            report.calls += 1
            if what:
                report.findings.append(Finding(name, seed, what))
            elif word:
                report.words.update([word] if isinstance(word, str) else word)
    finally:
        child.stop()
    return report


class Child:
    """A process that runs cases; another takes its place when it has died or was stopped for being late."""

    def __init__(self, module: str) -> None:
        self.module, self.process = module, None

    def attempt(self, seed: int, bound: float) -> tuple[str | Counter[str], str]:
        """Return what `attempt` does, or ("", a finding) where the process dies or takes longer than `bound`."""
        if self.process is None:
            self._start()
        try:
            self.pipe.send(seed)
            if self.pipe.poll(bound):
                return self.pipe.recv()
            what = f"no answer within {bound:g} seconds\n"
            if hasattr(signal, "SIGABRT"):
                os.kill(self.process.pid, signal.SIGABRT)  # faulthandler writes the stacks
            self.process.join(GRACE)
        except (EOFError, BrokenPipeError, ConnectionResetError):
            self.process.join()
            what = f"the process died: {ended(self.process.exitcode)}\n"
        said = self._said()
        self.stop()
        return "", what + said

    def _start(self) -> None:
        context = multiprocessing.get_context("spawn")
        file, self.stderr = tempfile.mkstemp()
        os.close(file)
        self.pipe, other = context.Pipe()
        self.process = context.Process(target=work, args=(other, self.module, self.stderr))
        self.process.start()
        other.close()
        if not self.pipe.poll(START):
            raise RuntimeError(f"{self.module}: not imported within {START:g} seconds")
        try:
            self.pipe.recv()
        except EOFError:
            raise RuntimeError(f"{self.module}: could not be imported\n{self._said()}") from None

    def _said(self) -> str:
        with open(self.stderr, encoding="utf-8", errors="replace") as file:
            return file.read()[-TAIL:]

    def stop(self) -> None:
        """End the process and all that it has started, by force where it does not end of itself."""
        if self.process is None:
            return
        self.pipe.close()
        self.process.join(GRACE)
        if hasattr(os, "killpg"):
            try:
                os.killpg(self.process.pid, signal.SIGKILL)
            except (ProcessLookupError, PermissionError):
                self.process.kill()
        else:
            self.process.kill()
        self.process.join()
        os.unlink(self.stderr)
        self.process = None


def ended(code: int) -> str:
    """Return an exit code in words."""
    return signal.Signals(-code).name if code < 0 else f"exit code {code}"


def work(pipe: Any, module: str, stderr: str) -> None:
    """Run the cases of a module that `pipe` sends, in a process of its own; what is printed goes to a file."""
    if hasattr(os, "setsid"):
        os.setsid()
    file = os.open(stderr, os.O_WRONLY | os.O_APPEND)
    for number in (1, 2):
        os.dup2(file, number)
    faulthandler.enable()
    case = importlib.import_module(module).case
    pipe.send(None)
    try:
        while True:
            pipe.send(attempt(case, pipe.recv()))
    except EOFError:
        sys.exit()


def attempt(case: Any, seed: int) -> tuple[str | Counter[str], str]:
    """Run one case here; return (its words, "") where all is well, else ("", the traceback). Warnings are errors."""
    with machine(seed) as settings, warnings.catch_warnings():
        warnings.simplefilter("error")
        try:
            return case(seed) or "", ""
        except Exception:
            return "", f"case {seed} ({settings}): {traceback.format_exc()}"


@contextmanager
def machine(seed: int) -> Iterator[str]:
    """Set the level and the number of threads for a case, which take turns; put both back after it."""
    import cgru
    from cgru.core import kernels

    level, threads, levels = kernels.level(), cgru.get_num_threads(), kernels.levels()
    n, number = divmod(seed, len(levels))
    try:
        kernels.use_level(levels[number])
        cgru.set_num_threads(n % 3 + 1)
        yield f"{levels[number]}, {n % 3 + 1} threads"
    finally:
        kernels.use_level(level)
        cgru.set_num_threads(threads)
