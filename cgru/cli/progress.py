"""Progress of a fit on stderr, for the `cgru` command: a bar in a terminal, else lines."""

from __future__ import annotations

import contextlib
import math
import sys
from collections.abc import Callable
from typing import Any

from cgru.cli.terminal import echo
from cgru.network.history import SCORES, Epoch, score_text
from cgru.network.progress import Bar

__all__ = ["Progress", "say"]


def say(message: str, code: int = 0) -> int:
    """Print a message to stderr as one line; return `code`, an exit code."""
    echo(" ".join(message.split()), file=sys.stderr)
    return code


class _BarOrLines:
    """Shows progress as a bar in a terminal where tqdm is installed, else as lines.

    total: the number of steps.
    quiet: show nothing.
    draw: makes the bar.
    """

    def __init__(self, total: int, quiet: bool, draw: Callable[[], Any]):
        """Set up progress over `total` steps, shown unless `quiet`; draw() makes the bar."""
        self.total, self.quiet, self.draw = total, quiet, draw
        self.bar: Any = None

    def say(self, *lines: str) -> None:
        """Print the lines to stderr, unless `quiet`."""
        if not self.quiet:
            echo(*lines, sep="\n", file=sys.stderr, flush=True)

    def is_tenth(self, done: int) -> bool:
        """Return whether to print a line after step number `done`, one of about ten."""
        return done == self.total or done % math.ceil(self.total / 10) == 0

    def __enter__(self) -> _BarOrLines:
        if not self.quiet and sys.stderr is not None and sys.stderr.isatty():
            with contextlib.suppress(ImportError):
                self.bar = self.draw()
        return self

    def __exit__(self, *_: object) -> None:
        if self.bar is not None:
            self.bar.close()


class Progress(_BarOrLines):
    """Shows the epochs of a fit, as its callback."""

    def __init__(self, total: int, quiet: bool):
        """Set up progress over `total` epochs, shown unless `quiet`."""
        super().__init__(total, quiet, lambda: Bar(total))

    def __call__(self, epoch: Epoch) -> None:
        """Show the losses of an epoch in the bar, or as one of about ten lines."""
        if self.bar is not None:
            self.bar(epoch)
        elif epoch.epoch == 1 or self.is_tenth(epoch.epoch):
            self.say(f"epoch {epoch.epoch:{len(str(self.total))}}/{self.total}: {epoch_in_words(epoch)}")


def epoch_in_words(epoch: Epoch) -> str:
    """Return the losses and scores of an epoch as the text of a line."""
    before = ("loss ", ", accuracy ", ", validation ", ", ")
    state = "".join(score_text(epoch, *each) for each in zip(SCORES, before, strict=True))
    if epoch.skipped:
        state += ", an update left out" if epoch.skipped == 1 else f", {epoch.skipped} updates left out"
    return state
