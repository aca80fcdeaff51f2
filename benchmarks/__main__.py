"""The command: times cgru and its rivals and prints a Markdown table."""

from __future__ import annotations

import argparse
import json
import platform
import sys
from pathlib import Path

import numpy as np

from benchmarks.rivals import RIVALS, Case, Cgru, Reference, check, installed, rivals_for
from benchmarks.timing import round_robin, summary
from cgru import kernels

SHAPES = [  # m, s, e, u
    (1, 50, 4, 8),
    (1, 100, 16, 32),
    (32, 20, 8, 16),
    (32, 100, 32, 64),
    (64, 100, 128, 128),
    (64, 100, 256, 512),
    (256, 30, 512, 1024),
]
QUICK = SHAPES[:5]
WORK = {"inference": "predict", "training": "train"}


def shape(text: str) -> tuple[int, ...]:
    numbers = text.split(",")
    if len(numbers) != 4 or not all(number.strip().isdecimal() and int(number) for number in numbers):
        raise argparse.ArgumentTypeError(f"expected four positive integers m,s,e,u, got {text!r}")
    return tuple(map(int, numbers))


def options(arguments: list[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description="Time cgru and its rivals, one thread.")
    parser.add_argument("--quick", action="store_true", help="the five smaller shapes, a fifth of the time for each")
    parser.add_argument("--shape", type=shape, action="append", metavar="m,s,e,u", help="this shape; can be repeated")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write every measured number there as well")
    return parser.parse_args(arguments)


def machine() -> str:
    """The processor's name, as the system knows it."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        lines = []
    names = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()


def environment() -> dict[str, str]:
    contenders = [Cgru, *(rival for rival in RIVALS if installed(rival))]
    return {
        "machine": f"{machine()}, {platform.system()} {platform.machine()}, one thread",
        "versions": ", ".join(
            [rival.versions() for rival in contenders]
            + [f"NumPy {np.__version__}", f"Python {platform.python_version()}"]
        ),
        "instructions": kernels.level(),
    }


def measure(dtype: str, sizes: tuple[int, int, int, int], seconds: float) -> list[dict]:
    """One row for each kind of work, every rival checked first."""
    rivals = rivals_for(dtype)
    for rival in rivals:
        check(rival, sizes, dtype)
    case = Case(*sizes, dtype)
    contenders = {contender.name: contender(case) for contender in (Cgru, *rivals)}
    rows = []
    for work, method in WORK.items():
        times = round_robin({name: getattr(each, method) for name, each in contenders.items()}, seconds)
        medians, ratios = summary(times)
        rows.append({"dtype": dtype, "work": work, "shape": str(case), "ms": medians, "ratio": ratios, "times": times})
    return rows


def heading(dtype: str) -> str:
    columns = ["m, s, e, u", "work", "cgru, ms"]
    for rival in rivals_for(dtype):
        label = rival.name if rival.variant == "reset-before" else f"{rival.name} ({rival.variant})"
        columns += [f"{label}, ms", "ratio"]
    return f"\n## {dtype}\n\n| {' | '.join(columns)} |\n|{' --- |' * len(columns)}"


def line(row: dict) -> str:
    ours, *others = row["ms"]
    cells = [row["shape"], row["work"], f"{row['ms'][ours]:.3g}"]
    for name in others:
        cells += [f"{row['ms'][name]:.3g}", f"{row['ratio'][name]:.2f}"]
    return f"| {' | '.join(cells)} |"


def main(arguments: list[str] | None = None) -> int:
    given = options(arguments)
    about = environment()
    for name, text in about.items():
        print(f"- {name}: {text}")
    if Reference in rivals_for("float64"):
        print("- EpyNN is not installed: the comparison is with cgru.reference, the layer in plain NumPy")
    print("- medians; ratio: the rival's time over ours, median over the rounds, above 1 where cgru is faster")
    rows = []
    for dtype in Cgru.dtypes:
        print(heading(dtype), flush=True)
        for sizes in given.shape or (QUICK if given.quick else SHAPES):
            for row in measure(dtype, sizes, 0.4 if given.quick else 3.0):
                print(line(row), flush=True)
                rows.append(row)
    if given.json:
        given.json.write_text(json.dumps({**about, "rows": rows}, indent=1))
    return 0


if __name__ == "__main__":
    sys.exit(main())
