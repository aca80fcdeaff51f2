"""The tables, in Markdown: while it runs, after it, and for the README."""

from __future__ import annotations

from collections.abc import Iterator
from statistics import geometric_mean

WORKS = {"inference": "inference", "training": "training step", "step": "one step of a stream"}


def part(rows: list[dict], name: str) -> list[dict]:
    return [row for row in rows if row["part"] == name]


def best(row: dict) -> tuple[str, float]:
    """The fastest rival of a cell, and its time over ours; raises ValueError where there is none."""
    name = min(row["ratio"], key=row["ratio"].get)
    return name, row["ratio"][name]


def lost(row: dict) -> bool:
    return bool(row["ratio"]) and best(row)[1] < 1


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
    """Prints the rows of the grid as they come, a heading above each table."""

    def __init__(self) -> None:
        self.heading: tuple | None = None
        self.contenders: dict[str, dict] = {}

    def __call__(self, row: dict) -> None:
        if row["part"] == "about":
            self.contenders = row["contenders"]
            print(*about(row), sep="\n", flush=True)
            return
        if row["part"] != "grid":
            print(f"- measured: {row['part']}, {' '.join(str(row[key]) for key in list(row)[1:4])}", flush=True)
            return
        heading = row["threads"], row["dtype"], row["work"]
        there = {
            name: each["label"]
            for name, each in self.contenders.items()
            if row["dtype"] in each["dtypes"] and row["work"] in each["works"]
        }
        text = table(["m, s, e, u", *there.values(), "best rival", "ratio", "share"], [line(row, list(there))])
        if heading != self.heading:
            self.heading = heading
            print(f"\n## {row['dtype']}, {WORKS[row['work']]}, {threads(row['threads'])}\n")
            print(*text[:2], sep="\n")
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
    heads = [(dtype, work) for work in ("inference", "training") for dtype in ("float32", "float64")]
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
