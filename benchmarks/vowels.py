"""How the defaults of `cgru fit` were chosen: `python -m benchmarks.vowels [--seeds N] [-- "OPTIONS OF cgru fit" ...]`.

Prints a Markdown table of alternatives, each cross-validated on the training split of Japanese Vowels alone. Its test
split is never looked at.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import re
import statistics
import tempfile
import time
from pathlib import Path

import numpy as np

from cgru.cli import main as command
from cgru.datasets import load_japanese_vowels

FOLDS = 3
ALTERNATIVES = (
    "",
    "--output-dropout 0",
    "--output-dropout 0.4",
    "--no-bidirectional --units 150",
    "--no-bidirectional --layers 2 --output-dropout 0 --epochs 60",
    "--layers 2 --units 64",
    "--units 150",
    "--pool mean",
    "--pool max",
    "--epochs 60",
    "--batch-size 9",
    "--learning-rate 4e-3",
    "--learning-rate 16e-3",
    "--weight-decay 0.6",
    "--weight-decay 1",
)


def folds(folder: Path) -> list[Path]:
    """Data files for `cgru fit`: in each another third of every speaker's utterances, in a row, is held out.

    In a row, since neighbours may be of one recording session, and the real test split is of other ones.
    """
    train = load_japanese_vowels().train
    place = np.zeros(len(train.y), int)
    for speaker in np.unique(train.y):
        own = np.flatnonzero(train.y == speaker)
        place[own] = np.arange(len(own)) * FOLDS // len(own)
    paths = []
    for k in range(FOLDS):
        arrays = {}
        for prefix, chosen in (("train", place != k), ("test", place == k)):
            arrays |= {f"{prefix}_{name}": array[chosen] for name, array in zip("xy", (train.X, train.y), strict=True)}
            arrays[f"{prefix}_lengths"] = train.lengths[chosen]
        paths.append(folder / f"{k}.npz")
        np.savez(paths[-1], **arrays)
    return paths


def scores(options: str, data: Path, seed: int) -> tuple[float, float]:
    """Accuracy in per cent and loss on the part of `data` that is held out, of `cgru fit` with these options."""
    out = io.StringIO()
    with contextlib.redirect_stdout(out):
        rest = f"{options} --seed {seed} --threads 1 --quiet -o".split()
        code = command(["fit", str(data), *rest, str(data.with_name("model.npz"))])
    found = re.match(r"test loss (\S+), accuracy (\S+)%", out.getvalue())
    if code or not found:
        raise SystemExit(code or f"cgru fit {options}: expected its scores first, got {out.getvalue()!r}")
    return float(found[2]), float(found[1])


def row(options: str, data: list[Path], seeds: int) -> str:
    """The table's line of one alternative."""
    start = time.process_time()
    runs = [[scores(options, path, seed) for path in data] for seed in range(seeds)]
    seconds = (time.process_time() - start) / seeds / len(data)
    means = [statistics.fmean(accuracy for accuracy, _ in run) for run in runs]
    worst = min(statistics.fmean(run[k][0] for run in runs) for k in range(len(data)))
    loss = statistics.fmean(loss for run in runs for _, loss in run)
    spread = statistics.stdev(means) if seeds > 1 else 0.0
    name = f"`{options}`" if options else "the defaults"
    return f"| {name} | {statistics.fmean(means):.2f} | {spread:.2f} | {worst:.1f} | {loss:.3f} | {seconds:.1f} |"


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.vowels", description=__doc__.partition("\n")[0])
    parser.add_argument("alternatives", nargs="*", default=ALTERNATIVES, help="options of `cgru fit`, in quotes")
    parser.add_argument("--seeds", type=int, default=5, help="of each fit, from 0 (default: %(default)s)")
    arguments = parser.parse_args()
    print("| `cgru fit` with | accuracy, % | spread of seeds | worst third | loss | CPU s |")
    print("| --- | --- | --- | --- | --- | --- |")
    with tempfile.TemporaryDirectory() as folder:
        data = folds(Path(folder))
        for options in arguments.alternatives:
            print(row(options, data, arguments.seeds), flush=True)


if __name__ == "__main__":
    main()
