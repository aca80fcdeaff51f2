"""The command: break modules, and name the breaks that no test notices."""

import argparse
import os
import sys
from collections.abc import Sequence
from pathlib import Path

from mutation.child import FORKS, IMPORTED
from mutation.report import summary
from mutation.runner import ROOT, Runner, modules


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; return its exit code, 1 where too few breaks are caught."""
    parser = argparse.ArgumentParser("python -m mutation", description="Without FILE: all Python modules.")
    parser.add_argument("files", nargs="*", metavar="FILE", help="a module, as cgru/gru.py")
    parser.add_argument("--compiled", action="store_true", help="without FILE: all sources in Cython and C instead")
    parser.add_argument("-n", type=int, default=40, help="try so many breaks of each (40)")
    parser.add_argument("--seed", type=int, default=0, help="which ones (0)")
    parser.add_argument("--shard", default="1/1", metavar="I/N", help="of all modules the I-th of N parts")
    parser.add_argument(
        "--results", type=Path, default=ROOT / "build/mutation/results.jsonl", help="go on with this file"
    )
    parser.add_argument("--again", action="store_true", help="try those that survived once more")
    parser.add_argument("--check", action="store_true", help="run the tests that caught breaks without one, too")
    parser.add_argument(
        "--jobs", type=int, default=os.cpu_count(), help="copies in which breaks are tried (one a core)"
    )
    parser.add_argument("--seconds", type=float, default=20, help="run tests that take as long, for each break (20)")
    parser.add_argument("--least", type=float, default=0.9, help="the share that must be caught in each module (0.9)")
    parser.add_argument("--report", type=Path, help="write the table of all modules to this file")
    given = parser.parse_args(arguments)
    part, parts = map(int, given.shard.split("/"))
    files = [Path(file).resolve().relative_to(ROOT).as_posix() for file in given.files]
    files = files or modules(compiled=given.compiled)[part - 1 :: parts]
    FORKS.set_forkserver_preload(IMPORTED)
    runner = Runner(given.results, given.jobs, given.seconds)
    found = runner.try_all(files, given.n, given.seed, given.again)
    while given.check and (wrong := runner.check(found)):
        print("without a break these fail, too; what they caught is tried again:", *wrong, sep="\n  ")
        found = runner.try_all(files, given.n, given.seed)
    text, least = summary(found)
    print(text)
    if given.report:
        given.report.write_text(text, encoding="utf-8")
    return int(least < given.least)


if __name__ == "__main__":
    sys.exit(main())
