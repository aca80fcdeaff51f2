"""What the `cgru` command shows of a training, or of many, while it lasts, on stderr."""

from __future__ import annotations

import contextlib
import math
import sys
from collections.abc import Callable
from typing import Any

from cgru.network.history import SCORES, Epoch, score_text
from cgru.network.progress import Bar, create_bar

__all__ = ["Fits", "Progress", "say"]


def say(message: str, code: int = 0) -> int:
    """Print a message as one line; return the exit code of the command that ends with it."""
    print(" ".join(message.split()), file=sys.stderr)
    return code


class _Shown:
    """A bar in a terminal where tqdm is installed, else lines."""

    def __init__(self, total: int, quiet: bool, draw: Callable[[], Any]):
        self.total, self.quiet, self.draw = total, quiet, draw
        self.bar: Any = None

    def say(self, *lines: str) -> None:
        """Print the lines, unless all is to be quiet."""
        if not self.quiet:
            print(*lines, sep="\n", file=sys.stderr, flush=True)

    def is_tenth(self, done: int) -> bool:
        """Whether this is one of about ten to tell of."""
        return done == self.total or done % math.ceil(self.total / 10) == 0

    def __enter__(self) -> _Shown:
        if not self.quiet and sys.stderr is not None and sys.stderr.isatty():
            with contextlib.suppress(ImportError):
                self.bar = self.draw()
        return self

    def __exit__(self, *_: object) -> None:
        if self.bar is not None:
            self.bar.close()


class Progress(_Shown):
    """The callback of a fit of `total` epochs."""

    def __init__(self, total: int, quiet: bool):
        super().__init__(total, quiet, lambda: Bar(total))

    def __call__(self, epoch: Epoch) -> None:
        """Show the epoch, in the bar or, of about ten of them, as a line."""
        if self.bar is not None:
            self.bar(epoch)
        elif epoch.epoch == 1 or self.is_tenth(epoch.epoch):
            self.say(f"epoch {epoch.epoch:{len(str(self.total))}}/{self.total}: {long(epoch)}")


class Fits(_Shown):
    """Of `total` fits, some of which are done already."""

    def __init__(self, total: int, done: int, quiet: bool):
        super().__init__(total, quiet, lambda: create_bar(total, done))
        self.done, self.failed = done, 0

    def __call__(self, failed: bool) -> None:
        """One more is over."""
        self.done, self.failed = self.done + 1, self.failed + failed
        failures = f", {self.failed} failed" if self.failed else ""
        if self.bar is not None:
            self.bar.set_postfix_str(failures.lstrip(", "), refresh=False)
            self.bar.update()
        elif self.is_tenth(self.done):
            self.say(f"fit {self.done:{len(str(self.total))}}/{self.total}{failures}")


def long(epoch: Epoch) -> str:
    """For a line of its own."""
    before = ("loss ", ", accuracy ", ", validation ", ", ")
    state = "".join(score_text(epoch, *each) for each in zip(SCORES, before, strict=True))
    if epoch.skipped:
        state += ", an update left out" if epoch.skipped == 1 else f", {epoch.skipped} updates left out"
    return state
