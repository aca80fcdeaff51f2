"""The error of each compiled activation in units in the last place, over every float32: `python -m benchmarks.ulp`.

An error is the distance from the function in float64, in units of the distance of float32 numbers there. Of float64
a sample is drawn, and held to the machine's wider type, where there is one. All that takes minutes; `--every 100` takes
one number out of so many. It fails where an error is above the bound, or where NaN does not stay NaN. Not on Windows.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from multiprocessing import get_context
from pathlib import Path

import numpy as np

import cgru
from benchmarks import machine, readme
from cgru.activations import CODES, FADING, fading
from cgru.core import kernels

SECTION = "ulp"
BOUND = 2.0
BLOCK = 1 << 22  # numbers at a time
SAMPLED = 64  # of so many float32 numbers one has a float64 number beside it
ALPHA = 0.25  # of lrelu and elu
OPTIONS = {"LRELU_alpha": ALPHA, "ELU_alpha": ALPHA}
FUNCTIONS: dict[str, tuple[int, Callable[[np.ndarray], np.ndarray]]] = {
    "sigmoid": (CODES[cgru.sigmoid], cgru.sigmoid),
    "tanh": (CODES[cgru.tanh], cgru.tanh),
    "elu": (CODES[cgru.elu], partial(cgru.elu, se_hPars=OPTIONS)),
    "lrelu": (CODES[cgru.lrelu], partial(cgru.lrelu, se_hPars=OPTIONS)),
    "relu": (CODES[cgru.relu], cgru.relu),
    "fading, of a GRUD": (FADING, fading),
}
WIDER = {"float32": np.float64}
if np.finfo(np.longdouble).nmant > 60:
    WIDER["float64"] = np.longdouble
Errors = dict[str, tuple[float, float, float]]  # at each level, what `errors` returns


def numbers(dtype: str, block: int, every: int) -> np.ndarray:
    """Return the float32 numbers of a block, by their bits in order; of float64 some, each beside one of these."""
    bits = np.arange(block * BLOCK, (block + 1) * BLOCK, every if dtype == "float32" else SAMPLED * every, np.uint32)
    x = bits.view(np.float32)
    if dtype == "float32":
        return x
    with np.errstate(invalid="ignore"):
        return x * (1 + 2.0**-23 * np.random.default_rng(block).random(x.size))


def errors(x: np.ndarray, due: np.ndarray, got: np.ndarray) -> tuple[float, float, float]:
    """Return the largest error of `got`, its x, and the share of numbers that are not the nearest to `due`."""
    nearest = due.astype(x.dtype)
    wrong = np.flatnonzero((got != nearest) & ~(np.isnan(got) & np.isnan(nearest)))
    if not wrong.size:
        return 0.0, 0.0, 0.0
    apart = np.abs(got[wrong].astype(due.dtype) - due[wrong]) / np.spacing(np.abs(nearest[wrong])).astype(due.dtype)
    apart[np.isnan(apart)] = np.inf  # one of the two is NaN or infinite
    worst = apart.argmax()
    return float(apart[worst]), float(x[wrong[worst]]), wrong.size / x.size


def block_errors(function: str, dtype: str, every: int, block: int) -> Errors:
    code, definition = FUNCTIONS[function]
    x = numbers(dtype, block, every)
    found = {}
    with np.errstate(all="ignore"):
        due = definition(x.astype(WIDER[dtype]))
        for level in kernels.levels():
            kernels.use_level(level)
            found[level] = errors(x, due, kernels.activation(code, ALPHA, x))
    return found


def measure(function: str, dtype: str, every: int) -> Errors:
    """Return the errors at each level."""
    with ProcessPoolExecutor(mp_context=get_context("fork")) as pool:
        blocks = list(pool.map(partial(block_errors, function, dtype, every), range((1 << 32) // BLOCK)))
    found = {}
    for level in kernels.levels():
        worst, at = max(block[level][:2] for block in blocks)
        found[level] = worst, at, sum(block[level][2] for block in blocks) / len(blocks)
    return found


def table(rows: dict[tuple[str, str], Errors]) -> Iterator[str]:
    yield f"| activation | dtype | {' | '.join(kernels.levels())} |"
    yield f"| --- | --- |{' --- |' * len(kernels.levels())}"
    for (function, dtype), found in rows.items():
        cells = [f"{worst:.2f} ({missed:.2%})" if missed else "the nearest" for worst, _, missed in found.values()]
        yield f"| {function} | {dtype} | {' | '.join(cells)} |"


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.ulp", description=__doc__.partition("\n")[0])
    parser.add_argument("--every", type=int, default=1, metavar="N", help="one number out of N (default: all)")
    parser.add_argument("--readme", type=Path, metavar="FILE", help="rewrite the table of this page")
    given = parser.parse_args(arguments)
    if given.every < 1:
        parser.error(f"--every: expected at least 1, got {given.every}")
    if given.readme:
        readme.parts(given.readme, SECTION)
    rows = {(function, dtype): measure(function, dtype, given.every) for dtype in WIDER for function in FUNCTIONS}
    text = "\n".join(table(rows))
    print(text)
    if given.readme:
        here = machine.here()
        readme.rewrite(given.readme, f"{here['machine']}, {here['date']}, commit {here['commit']}:\n\n{text}", SECTION)
    above = [
        f"{function}, {dtype}, {level}: {worst:.3g} ulp at {at!r}"
        for (function, dtype), found in rows.items()
        for level, (worst, at, _) in found.items()
        if worst > BOUND
    ]
    print("\n".join(above), file=sys.stderr)
    return int(bool(above))


if __name__ == "__main__":
    sys.exit(main())
