"""The tables, in Markdown: while it runs, after it, and for the pages."""

from __future__ import annotations

from collections.abc import Iterator
from math import inf
from statistics import geometric_mean

from benchmarks.shapes import parse

DTYPES = ("float32", "float64")
REGIONS = {"tiny": 3e6, "small": 5e7, "middle": 5e8, "large": inf}  # flop of a forward pass, below
NEAR = 0.97  # of the best rival's time: what a machine's noise can do
FEW, OVER = 16, 1.25  # from so many units on an update should take no longer than that times its layers' steps
WORKS = {"inference": "inference", "training": "training step", "step": "one step of a stream"}


def part(rows: list[dict], name: str) -> list[dict]:
    return [row for row in rows if row["part"] == name]


def best(row: dict) -> tuple[str, float]:
    """The fastest rival of a cell, and its time over ours; raises ValueError where there is none."""
    name = min(row["ratio"], key=row["ratio"].get)
    return name, row["ratio"][name]


def lost(row: dict, bound: float = 1.0) -> bool:
    return bool(row["ratio"]) and best(row)[1] < bound


def bold(value: float, wrong: bool) -> str:
    return f"**{value:.2f}**" if wrong else f"{value:.2f}"


def threads(n: int) -> str:
    return "one thread" if n == 1 else f"{n} threads"


def table(columns: list[str], lines: Iterator[list[str]] | list[list[str]]) -> list[str]:
    return [f"| {' | '.join(cells)} |" for cells in (columns, ["---"] * len(columns), *lines)]


# --- what this is measured on ---


def about(row: dict) -> list[str]:
    lines = [
        f"- machine: {row['machine']}, instruction set {row['instructions']}, {threads(row['threads'])}",
        f"- versions: {', '.join(row['versions'])}; commit {row['commit'] or 'unknown'}, {row['date']}",
    ]
    if row["peak"]["float32"]:
        reached = ", ".join(f"{gflops:.0f} GFLOP/s in {dtype}" for dtype, gflops in row["peak"].items())
        lines.append(f"- FMA peak of one core: {reached} ({row['peak_source']})")
    else:
        lines.append(f"- no share of the peak: {row['peak_source']}")
    lines += [f"- left out, not installed: {name} ({why})" for name, why in row["missing"].items()]
    if "cgru.reference" in row["contenders"]:
        lines.append("- the comparison is with cgru.reference, the layer in plain NumPy, in EpyNN's place")
    return [
        *lines,
        "- medians in ms; ratio: the best rival's time over ours, above 1 where cgru is faster; share: of the FMA peak"
        " in the same rounds",
    ]


# --- the grid ---


def line(row: dict, names: list[str]) -> list[str]:
    cells = [row["shape"], *(f"{row['ms'][name]:.3g}" if name in row["ms"] else "" for name in names)]
    return [*cells, *verdict(row), f"{row['share']:.0%}" if "share" in row else ""]


def verdict(row: dict) -> list[str]:
    """The best rival and the ratio to it; a lost cell is marked."""
    if not row["ratio"]:
        return ["", ""]
    name, ratio = best(row)
    return [name, f"**{ratio:.2f} lost**" if ratio < 1 else f"{ratio:.2f}"]


class Printer:
    """Prints the rows as they come, a heading above each table."""

    def __init__(self) -> None:
        self.heading = ""
        self.contenders: dict[str, dict] = {}

    def __call__(self, row: dict) -> None:
        if row["part"] == "about":
            self.contenders = row["contenders"]
            print(*about(row), sep="\n", flush=True)
            return
        if row["part"] == "updates":
            self.say(f"whole updates, {row['dtype']}, {threads(row['threads'])}", updates([row]), row)
            return
        if row["part"] not in ("grid", "random"):
            print(f"- measured: {row['part']}, {' '.join(str(row[key]) for key in list(row)[1:4])}", flush=True)
            return
        there = {
            name: each["label"]
            for name, each in self.contenders.items()
            if row["dtype"] in each["dtypes"] and row["work"] in each["works"]
        }
        text = table(["m, s, e, u", *there.values(), "best rival", "ratio", "share"], [line(row, list(there))])
        heading = f"{row['dtype']}, {WORKS[row['work']]}, {threads(row['threads'])}"
        self.say(f"random shapes of seed {row['seed']}, {heading}" if "seed" in row else heading, text, row)

    def say(self, heading: str, text: list[str], row: dict) -> None:
        """The table's line for a row, below its heading where that is a new one."""
        if heading != self.heading:
            self.heading = heading
            print(f"\n## {heading}\n", *text[:2], sep="\n")
        print(text[2], flush=True)
        for name, why in row["left_out"].items():
            print(f"<!-- {name} left out here: {why} -->", flush=True)


def means(rows: list[dict]) -> list[str]:
    """Geometric means of the ratios over the cells of a table: to the best rival of each cell, and to each rival."""
    grid = [row for row in part(rows, "grid") if row["ratio"]]
    names = list(dict.fromkeys(name for row in grid for name in row["ratio"]))
    lines = []
    for key in dict.fromkeys((row["threads"], row["dtype"], row["work"]) for row in grid):
        cells = [row for row in grid if (row["threads"], row["dtype"], row["work"]) == key]
        each = [[row["ratio"][name] for row in cells if name in row["ratio"]] for name in names]
        head = [threads(key[0]), key[1], WORKS[key[2]], f"{sum(map(lost, cells))} of {len(cells)}"]
        over = [geometric_mean(best(row)[1] for row in cells), *(geometric_mean(r) if r else None for r in each)]
        lines.append([*head, *("" if mean is None else f"{mean:.2f}" for mean in over)])
    return table(["threads", "dtype", "work", "cells lost", "best rival", *names], lines) if lines else []


def by_shape(cells: dict[tuple[str, str, str], str]) -> list[str]:
    """A table of texts by (shape, dtype, work): a line for each shape; a stream's step stands under inference."""
    heads = [(dtype, work) for work in ("inference", "training") for dtype in DTYPES]
    found = {(shape, dtype, work.replace("step", "inference")): text for (shape, dtype, work), text in cells.items()}
    lines = [
        [shape, *(found.get((shape, *head), "") for head in heads)]
        for shape in dict.fromkeys(shape for shape, _, _ in found)
    ]
    return table(["m, s, e, u", *(f"{work}, {dtype}" for dtype, work in heads)], lines) if lines else []


def brief(row: dict) -> str:
    """A cell in a few words: our time, how many times as long the best rival takes, our share of the peak."""
    text = f"{row['ms']['cgru']:.3g}"
    if row["ratio"]:
        name, ratio = best(row)
        times = f"{ratio:.2f} x {name}"
        text += f"; **{times}**" if ratio < 1 else f"; {times}"
    return text + (f"; {row['share']:.0%}" if "share" in row else "")


def cells(rows: list[dict], n: int) -> dict[tuple[str, str, str], dict]:
    """The grid's rows on n threads, by (shape, dtype, work)."""
    return {(row["shape"], row["dtype"], row["work"]): row for row in part(rows, "grid") if row["threads"] == n}


def scaling(rows: list[dict], n: int) -> list[str]:
    """Our time on one thread over that on n, where both were measured."""
    one, several = cells(rows, 1), cells(rows, n)
    return by_shape(
        {key: f"{one[key]['ms']['cgru'] / row['ms']['cgru']:.2f}" for key, row in several.items() if key in one}
    )


# --- at a glance ---


def region(row: dict) -> str:
    """Where a cell of the grid or of the random shapes belongs, by the work of its forward pass."""
    shape = parse(row["shape"])
    if shape.m == 1:
        return "one step of a stream" if shape.s == 1 else "one sample"
    return next(name for name, most in REGIONS.items() if shape.flop < most)


def regions(rows: list[dict]) -> list[str]:
    """The geometric mean of the best rivals' times over ours and the worst, by region, dtype and work; one thread."""
    found = [row for row in part(rows, "grid") + part(rows, "random") if row["threads"] == 1 and row["ratio"]]
    heads = [(dtype, work) for work in ("inference", "training") for dtype in DTYPES]
    lines = []
    for name in (*REGIONS, "one sample", "one step of a stream"):
        here = [row for row in found if region(row) == name]
        columns = [
            [row for row in here if (row["dtype"], row["work"].replace("step", "inference")) == head] for head in heads
        ]
        if here:
            what = f", under {REGIONS[name] / 1e6:.0f} Mflop" if REGIONS.get(name, inf) < inf else ""
            lines.append([name + what, f"{len({row['shape'] for row in here})}", *map(mean_and_worst, columns)])
    return table(["", "shapes", *(f"{work}, {dtype}" for dtype, work in heads)], lines) if lines else []


def mean_and_worst(found: list[dict]) -> str:
    """The geometric mean of the ratios to the best rivals, and the worst; in bold what is lost."""
    if not found:
        return ""
    ratios = [best(row)[1] for row in found]
    mean, worst = geometric_mean(ratios), min(ratios)
    return f"{bold(mean, mean < 1)}; {bold(worst, worst < 1)}"


# --- random shapes ---


def random(rows: list[dict]) -> list[str]:
    """How many cells are lost, by seed and in all; the geometric mean, and the worst ten cells."""
    found = [row for row in part(rows, "random") if row["ratio"]]
    if not found:
        return []
    seeds = {f"{seed}": [row for row in found if row["seed"] == seed] for seed in sorted({r["seed"] for r in found})}
    lines = [
        [seed, f"{len(each)}", *(f"{sum(lost(r, bound) for r in each)}" for bound in (NEAR, 1)), mean_and_worst(each)]
        for seed, each in (seeds | ({"all": found} if len(seeds) > 1 else {})).items()
    ]
    worst = sorted(found, key=lambda row: best(row)[1])[:10]
    ten = [[row["shape"], f"{row['seed']}", row["dtype"], WORKS[row["work"]], *verdict(row)] for row in worst]
    return [
        *table(["seed", "cells", f"below {NEAR}", "below 1", "geometric mean; worst"], lines),
        "",
        "The worst ten:",
        "",
        *table(["m, s, e, u", "seed", "dtype", "work", "best rival", "ratio"], ten),
    ]


# --- updates ---


def updates(rows: list[dict]) -> list[str]:
    """A line for each kind: ms an update, the best rival, and how our update stands beside the layers' steps alone."""
    found = part(rows, "updates")
    names = {name for row in found for name in (*row["ms"], *row["left_out"])}
    names = sorted(names, key=lambda name: (name != "cgru", name))
    lines = [
        [
            row["kind"],
            *(f"{row['ms'][name]:.3g}" if name in row["ms"] else "" for name in names),
            *verdict(row),
            f"{row['layers']:.2f}",
        ]
        for row in found
    ]
    return table(["m, s, e, u, outputs", *names, "best rival", "ratio", "over layers"], lines) if lines else []


def update_groups(rows: list[dict]) -> list[str]:
    """Kinds of updates in a few lines: the best rival's time over ours, and ours over that of the layers alone."""
    found = [row for row in part(rows, "updates") if row["ratio"]]
    groups = {
        f"up to {FEW - 1} units": [row for row in found if row["units"] < FEW],
        f"from {FEW} units on": [row for row in found if row["units"] >= FEW],
    }
    lines = []
    for name, each in groups.items():
        if each:
            over = [row["layers"] for row in each]
            most = bold(max(over), name.startswith("from") and max(over) > OVER)
            lines.append([name, f"{len(each)}", mean_and_worst(each), f"{geometric_mean(over):.2f}; {most}"])
    return table(["", "kinds", "best rival over cgru", "cgru over its layers alone"], lines) if lines else []


# --- growth and memory ---


def growth(rows: list[dict]) -> list[str]:
    """Exponents for every library, and our times."""
    found = part(rows, "growth")
    names = list(dict.fromkeys(name for row in found for name in row["exponent"]))
    lines = [
        [
            f"{row['axis']} = {row['sizes'][0]} ... {row['sizes'][-1]}",
            row["from"],
            WORKS[row["work"]],
            " ".join(f"{at:.3g}" for at in row["ms"]["cgru"]),
            *(f"{row['exponent'][name]:.2f}" if name in row["exponent"] else "" for name in names),
        ]
        for row in found
    ]
    return table(["doubled five times", "from m, s, e, u", "work", "cgru, ms", *names], lines) if lines else []


def memory(rows: list[dict]) -> list[str]:
    """MiB by case and library."""
    found = part(rows, "memory")
    names = list(dict.fromkeys(row["name"] for row in found))
    lines = []
    for key in dict.fromkeys((row["shape"], row["dtype"]) for row in found):
        rises = {row["name"]: row["mib"] for row in found if (row["shape"], row["dtype"]) == key}
        lines.append([*key, *("" if rises.get(name) is None else f"{rises[name]:.0f}" for name in names)])
    return table(["m, s, e, u", "dtype", *names], lines) if lines else []
