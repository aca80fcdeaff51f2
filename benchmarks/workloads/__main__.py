"""The command: measure a workload on one core, and print a Markdown table."""

from __future__ import annotations

import argparse
import sys
from importlib import import_module

from benchmarks.processes import rows_from

WORKLOADS = ("agents", "dp", "recommender", "tiny_rnns")


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.workloads", description=__doc__)
    parser.add_argument("workload", choices=WORKLOADS)
    parser.add_argument("--quick", action="store_true", help="fewer epochs and rounds: under a minute")
    given = parser.parse_args(arguments)
    workload = import_module(f"benchmarks.workloads.{given.workload}")
    try:
        print("\n".join(workload.text(list(rows_from(workload.rows, given.quick, workers=True)))))
    except RuntimeError as error:
        print(error, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
