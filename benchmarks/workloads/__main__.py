"""The command: measure a workload on one core, and print a Markdown table."""

from __future__ import annotations

import argparse
import sys
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path

from benchmarks.processes import rows_from
from benchmarks.workloads.picture import draw

WORKLOADS = ("agents", "dp", "medaka", "recommender", "tiny_rnns")


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.workloads", description=__doc__)
    parser.add_argument("workload", choices=WORKLOADS)
    parser.add_argument("--quick", action="store_true", help="fewer epochs and rounds: under a minute")
    parser.add_argument("--picture", type=Path, help="also draw how many times as long the others take, into this file")
    given = parser.parse_args(arguments)
    workload = import_module(f"benchmarks.workloads.{given.workload}")
    missing = [name for name in getattr(workload, "NEEDS", ()) if find_spec(name) is None]
    if missing:
        print(f"{given.workload}: expected {', '.join(missing)}, got none: {workload.INSTALL}", file=sys.stderr)
        return 1
    try:
        rows = list(rows_from(workload.rows, given.quick, workers=True))
        print("\n".join(workload.text(rows)))
        if given.picture:
            draw(workload.bars(rows), given.picture)
    except RuntimeError as error:
        print(error, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
