"""The command: measure a workload, and print Markdown tables."""

from __future__ import annotations

import argparse
import sys
from importlib import import_module
from pathlib import Path

WORKLOADS = ("agents", "dp", "medaka", "recommender", "tiny_rnns")


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.workloads", description=__doc__)
    parser.add_argument("workload", choices=WORKLOADS)
    parser.add_argument("--quick", action="store_true", help="fewer epochs and rounds: under a minute")
    parser.add_argument("--picture", type=Path, help="also draw how many times as long the others take, into this file")
    given = parser.parse_args(arguments)
    workload = import_module(f"benchmarks.workloads.{given.workload}")
    try:
        rows = list(rows_from(workload.rows, given.quick, workers=True))
        print("\n".join(workload.text(rows)))
        if given.picture:
            draw(workload.bars(rows), given.picture)
    parser.add_argument("--quick", action="store_true", help="less work and fewer rounds: under a minute")
    given = parser.parse_args(arguments)
    workload = import_module(f"benchmarks.workloads.{given.workload}")
    try:
        print("\n".join(workload.text(list(workload.rows(given.quick)))))
    except RuntimeError as error:
        print(error, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
