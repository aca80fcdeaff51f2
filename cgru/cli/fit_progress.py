"""Progress of a fit on stderr, for the `cgru` command: bars in a terminal, else lines."""

from __future__ import annotations

import contextlib
import math
import sys
from collections.abc import Callable
from typing import Any

from cgru.cli.output import echo
from cgru.network.history import Epoch
from cgru.network.progress import Bar, create_bar, epoch_text

__all__ = ["Progress"]

COMPARING = "comparing networks: {n} of {total}"


class Progress:
    """Shows the networks that are compared, then the epochs of a fit: as bars in a terminal with tqdm, else as lines.

    total: the number of epochs.
    quiet: show nothing.
    """

    def __init__(self, total: int, quiet: bool):
        """Set up progress over `total` epochs, shown unless `quiet`."""
        self.total, self.quiet = total, quiet
        self.compared, self.bar = 0, None

    def say(self, *lines: str) -> None:
        """Print the lines to stderr, unless `quiet`, below a bar that is over."""
        self.close()
        if not self.quiet:
            echo(*lines, sep="\n", file=sys.stderr, flush=True)

    def compare(self, done: int, total: int) -> None:
        """Show how many of the networks are compared; more may follow."""
        bar = self._drawn(lambda: create_bar(total, COMPARING + " {bar} {remaining}"))
        if bar is not None:
            bar.total = total
            bar.update(done - self.compared)
        elif done > self.compared:
            self.say(COMPARING.format(n=done, total=total))
        self.compared = done

    def __call__(self, epoch: Epoch) -> None:
        """Show the losses of an epoch in the bar, or as one of about ten lines."""
        bar = self._drawn(lambda: Bar(self.total))
        if bar is not None:
            bar(epoch)
        elif epoch.epoch in (1, self.total) or epoch.epoch % math.ceil(self.total / 10) == 0:
            self.say(f"epoch {epoch.epoch:{len(str(self.total))}}/{self.total}: {epoch_text(epoch)}")

    def _drawn(self, draw: Callable[[], Any]) -> Any:
        """Return the bar, at first made by `draw`; None where there is none."""
        if self.bar is None and not self.quiet and sys.stderr is not None and sys.stderr.isatty():
            with contextlib.suppress(ImportError):
                self.bar = draw()
        return self.bar

    def close(self) -> None:
        """Close the bar; it stays on the screen."""
        if self.bar is not None:
            self.bar.close()
            self.bar = None
