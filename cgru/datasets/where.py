"""Helpers that locate a row in a column: the first one with a property, and its description in errors."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

__all__ = ["Locator", "first_true"]

Locator = Callable[[int], str]  # describes row i in errors, such as "line 5"


def first_true(mask: np.ndarray) -> int | None:
    """Return the first index at which `mask` (n,) is True; None if it is True nowhere."""
    return int(np.argmax(mask)) if mask.any() else None
