"""What is shown on standard error of a measurement while it lasts."""

from __future__ import annotations

import contextlib
import sys
import time
from typing import Any


class Progress:
    """Counts rows: a bar in a terminal where tqdm is installed, else about ten lines."""

    def __init__(self, total: int) -> None:
        self.total, self.done, self.start = total, 0, time.monotonic()
        self.bar: Any = None
        if sys.stderr.isatty():
            with contextlib.suppress(ImportError):
                from tqdm import tqdm

                self.bar = tqdm(total=total, unit="row", dynamic_ncols=True)

    def to(self, done: int) -> None:
        """So many rows are there."""
        before, self.done = self.done, done
        if self.bar is not None:
            self.bar.update(done - before)
        elif 10 * done // self.total > 10 * before // self.total:
            minutes = (time.monotonic() - self.start) / 60
            print(f"{done} of {self.total} rows after {minutes:.1f} minutes", file=sys.stderr, flush=True)

    def aside(self) -> contextlib.AbstractContextManager:
        """While lines are printed the bar is out of their way."""
        return contextlib.nullcontext() if self.bar is None else self.bar.external_write_mode()

    def close(self) -> None:
        if self.bar is not None:
            self.bar.close()
