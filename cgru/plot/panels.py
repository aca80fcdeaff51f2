"""Make the matplotlib axes that plots draw into, or check those of the caller."""

from __future__ import annotations

from typing import Any

import numpy as np

__all__ = ["DARK", "LIGHT", "panels_of"]

DARK, LIGHT = "#1f4e79", "#d9822b"  # distinct in grey and for the colour-blind


def panels_of(axes: Any, n: int, columns: int, size: tuple[float, float], **shared: Any) -> np.ndarray:
    """Return n axes (n,): those of the caller, or for None those of a new figure with up to `columns` in a row.

    size: of a panel of a new figure, in inches.
    shared: arguments of `Figure.subplots`.

    ImportError with the cure where matplotlib is missing, ValueError for other `axes`.
    """
    try:
        from matplotlib.axes import Axes
        from matplotlib.figure import Figure
    except ImportError:
        raise ImportError("cgru.plot: matplotlib is missing: pip install matplotlib") from None
    if axes is None:
        columns = min(n, columns)
        rows = -(-n // columns)
        figure = Figure(figsize=(size[0] * columns, size[1] * rows), layout="constrained")
        found = figure.subplots(rows, columns, squeeze=False, **shared).ravel()
        for panel in found[n:]:
            panel.remove()
        return found[:n]
    found = np.asarray(axes, dtype=object).ravel()
    if len(found) != n or not all(isinstance(panel, Axes) for panel in found):
        raise ValueError(f"axes: expected {n} axes of matplotlib, one a panel, got {axes!r}")
    return found
