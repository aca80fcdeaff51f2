"""What pictures are drawn into: matplotlib's axes, of a new figure or the caller's."""

from __future__ import annotations

from typing import Any

import numpy as np

__all__ = ["given", "made", "needed"]


def needed() -> None:
    """ImportError, with the cure, where matplotlib is not installed."""
    try:
        import matplotlib.figure  # noqa: F401
    except ImportError:
        raise ImportError("cgru.plot: matplotlib is missing: pip install matplotlib") from None


def made(rows: int, columns: int, size: tuple[float, float], **shared: Any) -> np.ndarray:
    """Axes (rows, columns) of a new figure of that size in inches."""
    from matplotlib.figure import Figure

    return Figure(figsize=size, layout="constrained").subplots(rows, columns, squeeze=False, **shared)


def given(axes: Any, rows: int, columns: int) -> np.ndarray:
    """The caller's axes as (rows, columns)."""
    from matplotlib.axes import Axes

    panels = np.asarray(axes, dtype=object)
    due = f"{rows * columns} axes of matplotlib, one a panel"
    for panel in panels.flat:
        if not isinstance(panel, Axes):
            raise TypeError(f"axes: expected {due}, got {type(panel).__name__}")
    if panels.size != rows * columns:
        raise ValueError(f"axes: expected {due}, got {panels.size}")
    return panels.reshape(rows, columns)
