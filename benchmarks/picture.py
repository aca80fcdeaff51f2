"""The picture: speed over the work of a call, one line a library."""

from __future__ import annotations

from pathlib import Path

from benchmarks.report import WORKS, part
from benchmarks.shapes import parse

PANELS = [(dtype, work) for work in ("inference", "training") for dtype in ("float32", "float64")]
FEW, MANY = "o", "o-"  # fewer than four samples are points of their own beside the line of the batches
FILL = {FEW: "none", MANY: None}
COLOURS = {"cgru": "black"}  # the others take the cycle's


def draw(rows: list[dict], file: Path) -> None:
    """Write the picture of the cells on one thread and of full length, GFLOP/s against flop."""
    from matplotlib.figure import Figure  # an extra, and only here

    about = part(rows, "about")[0]
    colours = {name: COLOURS.get(name, f"C{i}") for i, name in enumerate(about["contenders"])}
    figure = Figure(figsize=(11, 8), layout="constrained")
    panels = figure.subplots(2, 2, sharex=True, sharey=True)
    for panel, (dtype, work) in zip(panels.flat, PANELS, strict=True):
        cells = [row for row in part(rows, "grid") if (row["threads"], row["dtype"], row["work"]) == (1, dtype, work)]
        cells = [row for row in cells if "ragged" not in row["shape"] and parse(row["shape"]).s > 1]
        cells.sort(key=lambda row: row["flop"])
        for name, each in about["contenders"].items():
            width, there = 2.5 if name == "cgru" else 1.2, {FEW: [], MANY: []}
            for row in (row for row in cells if name in row["ms"]):
                kind = FEW if parse(row["shape"]).m < 4 else MANY
                there[kind].append((row["flop"], row["flop"] / row["ms"][name] / 1e6))
            for style, points in there.items():
                label = each["label"] if style == MANY else None
                x, y = zip(*points, strict=True) if points else ((), ())
                panel.plot(x, y, style, mfc=FILL[style], ms=2 * width, lw=width, color=colours[name], label=label)
        if about["peak"][dtype]:
            panel.axhline(about["peak"][dtype], color="grey", ls="--", lw=1, label="FMA peak")
        panel.set(title=f"{WORKS[work]}, {dtype}", xscale="log", yscale="log")
        panel.grid(alpha=0.3)
    for panel in panels[-1]:
        panel.set_xlabel("work of a call, flop")
    for panel in panels[:, 0]:
        panel.set_ylabel("GFLOP/s, more is better")
    figure.suptitle(f"{about['machine']}, one thread; hollow: fewer than four samples")
    handles = {label: handle for panel in panels.flat for handle, label in zip(*panel.get_legend_handles_labels())}  # noqa: B905
    figure.legend(handles.values(), handles.keys(), loc="outside lower center", ncols=4)
    figure.savefig(file, dpi=110)
