"""Where in a column something is first so."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

__all__ = ["Locator", "first_true"]

Locator = Callable[[int], str]  # a row, in words


def first_true(mask: np.ndarray) -> int | None:
    """Return the first place at which `mask` (n,) is True; None where it is so nowhere."""
    return int(np.argmax(mask)) if mask.any() else None
