"""What the `cgru` command shows of a training while it lasts, on stderr."""

from __future__ import annotations

import contextlib
import math
import sys

from cgru.network.history import Epoch
from cgru.network.progress import Bar, figure

__all__ = ["Progress"]


class Progress:
    """The callback of a fit. It shows a bar in a terminal where tqdm is installed, else about ten lines."""

    def __init__(self, epochs: int, quiet: bool):
        self.epochs, self.quiet = epochs, quiet
        self.bar: Bar | None = None

    def say(self, *lines: str) -> None:
        """Print the lines, unless all is to be quiet."""
        if not self.quiet:
            print(*lines, sep="\n", file=sys.stderr, flush=True)

    def __enter__(self) -> Progress:
        if not self.quiet and sys.stderr is not None and sys.stderr.isatty():
            with contextlib.suppress(ImportError):
                self.bar = Bar(self.epochs)
        return self

    def __exit__(self, *_: object) -> None:
        if self.bar is not None:
            self.bar.close()

    def __call__(self, epoch: Epoch) -> None:
        """Show the epoch, in the bar or, of about ten of them, as a line."""
        if self.bar is not None:
            self.bar(epoch)
        elif epoch.epoch in (1, self.epochs) or epoch.epoch % math.ceil(self.epochs / 10) == 0:
            self.say(f"epoch {epoch.epoch:{len(str(self.epochs))}}/{self.epochs}: {long(epoch)}")


def long(epoch: Epoch) -> str:
    """For a line of its own."""
    state = f"loss {figure(epoch.loss)}"
    if epoch.accuracy is not None:
        state += f", accuracy {epoch.accuracy:.1%}"
    if epoch.validation_loss is not None:
        state += f", validation {figure(epoch.validation_loss)}"
    if epoch.validation_accuracy is not None:
        state += f", {epoch.validation_accuracy:.1%}"
    return state
