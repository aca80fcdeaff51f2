"""The command: list the targets, run one, or repeat one case."""

import argparse
import sys
from collections.abc import Sequence
from itertools import count

from fuzz.runner import missing, run
from fuzz.targets import TARGETS


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; return its exit code, 1 with a finding."""
    parser = argparse.ArgumentParser("python -m fuzz", description="Without TARGET: list the targets.")
    parser.add_argument("target", nargs="?", choices=TARGETS, metavar="TARGET", help="one of the list")
    parser.add_argument("--seconds", type=float, default=60, help="begin no case after so many seconds (60)")
    parser.add_argument("--seed", type=int, default=0, help="run the cases SEED, SEED + 1, ... (0)")
    parser.add_argument("--case", type=int, metavar="SEED", help="run this case alone")
    given = parser.parse_args(arguments)
    if given.target is None:
        for name, target in TARGETS.items():
            lacks = "".join(f" (not installed: {each})" for each in missing(name))
            print(f"{name:12} {target.about}{lacks}")
        return 0
    if lacks := missing(given.target):
        print(f"{given.target}: skipped, not installed: {', '.join(lacks)}")
        return 0
    if given.case is None:
        report = run(given.target, count(given.seed), given.seconds)
    else:
        report = run(given.target, [given.case])
    print(report)
    return bool(report.findings)


if __name__ == "__main__":
    sys.exit(main())
