"""The picture of a workload: one bar for each comparison."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path


def draw(bars: Mapping[str, float], file: Path) -> None:
    """Write a picture of how many times as long as cgru each of the others takes, by its name; log scale from 1."""
    from matplotlib.figure import Figure  # an extra, and only here

    figure = Figure(figsize=(8, 0.8 + 0.34 * len(bars)), layout="constrained")
    panel = figure.subplots()
    names = [*bars][::-1]
    drawn = panel.barh(names, [bars[name] for name in names], color="C0")
    panel.bar_label(drawn, [f"{bars[name]:.1f}" for name in names], padding=3)
    panel.axvline(1, color="black", lw=1)
    panel.set(xscale="log", xlabel="times as long as cgru")
    panel.set_xticks(ticks := [1, 2, 5, 10, 20, 50], [*map(str, ticks)], minor=False)
    panel.minorticks_off()
    panel.set_xlim(0.8 * min(1, *bars.values()), 1.5 * max(bars.values()))
    panel.spines[["top", "right"]].set_visible(False)
    figure.savefig(file)
