"""Make or check the matplotlib axes that plots draw into."""

from __future__ import annotations

from typing import Any

import numpy as np

__all__ = ["check_matplotlib", "checked", "new_axes"]


def check_matplotlib() -> None:
    """Check that matplotlib is installed; ImportError with the cure otherwise."""
    try:
        import matplotlib.figure  # noqa: F401
    except ImportError:
        raise ImportError("cgru.plot: matplotlib is missing: pip install matplotlib") from None


def new_axes(rows: int, columns: int, size: tuple[float, float], **shared: Any) -> np.ndarray:
    """Return the axes (rows, columns) of a new figure; `size` is in inches, `shared` is passed to `subplots`."""
    from matplotlib.figure import Figure

    return Figure(figsize=size, layout="constrained").subplots(rows, columns, squeeze=False, **shared)


def checked(axes: Any, rows: int, columns: int) -> np.ndarray:
    """Check that the caller's axes are rows * columns axes of matplotlib; return them as an array (rows, columns)."""
    from matplotlib.axes import Axes

    panels = np.asarray(axes, dtype=object)
    due = f"{rows * columns} axes of matplotlib, one a panel"
    for panel in panels.flat:
        if not isinstance(panel, Axes):
            raise TypeError(f"axes: expected {due}, got {type(panel).__name__}")
    if panels.size != rows * columns:
        raise ValueError(f"axes: expected {due}, got {panels.size}")
    return panels.reshape(rows, columns)
