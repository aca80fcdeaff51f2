"""The progress bar of a fit, and the text of an epoch next to it."""

from __future__ import annotations

import os
import sys
from typing import Any

from cgru.network.history import SCORES, Epoch, score_text
from cgru.network.presentation import figure

__all__ = ["Bar", "create_bar", "epoch_text", "tqdm_class"]


def tqdm_class() -> Any:
    """Return tqdm's bar class for a terminal or a notebook; ImportError if tqdm is not installed."""
    try:
        from tqdm.auto import tqdm
    except ImportError:
        raise ImportError("progress: tqdm is missing: pip install tqdm") from None
    return tqdm


def create_bar(total: int, form: str = "{n}/{total} {bar} {remaining}{postfix}") -> Any:
    """Create a tqdm bar of `total` units; ImportError if tqdm is not installed."""
    # Some containers' terminals claim to have no rows and no columns: a bar would not be drawn at all.
    room: dict[str, Any] = {"dynamic_ncols": True}
    if sys.stderr is not None and sys.stderr.isatty() and not all(os.get_terminal_size(sys.stderr.fileno())):
        room = {"ncols": 80, "nrows": 24}
    return tqdm_class()(total=total, bar_format=form, **room)


class Bar:
    """A tqdm progress bar over epochs, in a notebook or on stderr; ImportError if tqdm is not installed."""

    def __init__(self, epochs: int) -> None:
        """Show the bar for this number of epochs."""
        self.bar = create_bar(epochs)

    def __call__(self, epoch: Epoch) -> None:
        """Advance the bar by one epoch and show its scores."""
        columns = getattr(self.bar, "format_dict", {}).get("ncols") or 80  # None where tqdm is told to be silent
        self.bar.set_postfix_str(epoch_text(epoch, columns), refresh=False)
        if not self.bar.n:  # a fit that was resumed begins later, and no time went by for that
            self.bar.n = self.bar.initial = epoch.epoch - 1
        self.bar.update()

    def close(self) -> None:
        """Close the bar, which stays on the screen."""
        self.bar.close()


def epoch_text(epoch: Epoch, columns: int = 80) -> str:
    """Return the scores of an epoch as a text of at most about 60 columns, for the bar."""
    digits = 2 if columns < 70 else 4
    parts = [score_text(epoch, *each, digits) for each in zip(SCORES, ("loss ", " acc ", " val ", "/"), strict=True)]
    parts += [f" {name} {figure(value, digits)}" for name, value in epoch.metrics.items()]
    return "".join(parts) + (f" {epoch.skipped} left out" if epoch.skipped else "")
