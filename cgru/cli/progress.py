"""What the `cgru` command shows of a training while it lasts, on stderr."""

from __future__ import annotations

import contextlib
import math
import os
import sys
from typing import Any

from cgru.cli.score import figure
from cgru.network.history import Epoch

__all__ = ["Progress"]


class Progress:
    """The callback of a fit. It shows a bar in a terminal where tqdm is installed, else about ten lines."""

    def __init__(self, epochs: int, quiet: bool):
        self.epochs, self.quiet = epochs, quiet
        self.bar: Any = None

    def say(self, *lines: str) -> None:
        """Print the lines, unless all is to be quiet."""
        if not self.quiet:
            print(*lines, sep="\n", file=sys.stderr, flush=True)

    def __enter__(self) -> Progress:
        if not self.quiet and sys.stderr is not None and sys.stderr.isatty():
            with contextlib.suppress(ImportError):
                from tqdm import tqdm

                # Some containers' terminals claim to have no rows and no columns: a bar would not be drawn at all.
                sized = all(os.get_terminal_size(sys.stderr.fileno()))
                room = {"dynamic_ncols": True} if sized else {"ncols": 80, "nrows": 24}
                self.bar = tqdm(total=self.epochs, bar_format="{n}/{total} {bar} {remaining}{postfix}", **room)
        return self

    def __exit__(self, *_: object) -> None:
        if self.bar is not None:
            self.bar.close()

    def __call__(self, epoch: Epoch) -> None:
        """Show the epoch, in the bar or, of about ten of them, as a line."""
        if self.bar is not None:
            columns = self.bar.format_dict["ncols"] or 80  # None where tqdm is told to be silent
            self.bar.set_postfix_str(short(epoch, columns), refresh=False)
            if not self.bar.n:  # a fit that was resumed begins later, and no time went by for that
                self.bar.n = self.bar.initial = epoch.epoch - 1
            self.bar.update()
        elif epoch.epoch in (1, self.epochs) or epoch.epoch % math.ceil(self.epochs / 10) == 0:
            self.say(f"epoch {epoch.epoch:{len(str(self.epochs))}}/{self.epochs}: {long(epoch)}")


def short(epoch: Epoch, columns: int) -> str:
    """For the bar: with a hundred epochs and validation it fits into 60 columns."""
    digits = 3 if columns < 70 else 4
    state = f"loss {figure(epoch.loss, digits)}"
    if epoch.accuracy is not None:
        state += f" acc {epoch.accuracy:.1%}"
    if epoch.validation_loss is not None:
        state += f" val {figure(epoch.validation_loss, digits)}"
    if epoch.validation_accuracy is not None:
        state += f"/{epoch.validation_accuracy:.1%}"
    return state


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
