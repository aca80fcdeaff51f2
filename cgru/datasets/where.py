"""Where in a column something is first so."""

from __future__ import annotations

import numpy as np

__all__ = ["first_true"]


def first_true(mask: np.ndarray) -> int | None:
    """Return the first place at which `mask` (n,) is True; None where it is so nowhere."""
    return int(np.argmax(mask)) if mask.any() else None
