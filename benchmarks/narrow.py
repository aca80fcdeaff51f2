"""Weights of fewer bytes: `python -m benchmarks.narrow`.

One step from C, and whole batches: ours with int8 and with bfloat16 weights beside float32, Eigen, and what OpenVINO
and PyTorch do in low precision. All take turns in one process, on one core. Beside each time stands how far it is from
the same layer in float64: 10 log10 of the sum of the squares of its states over that of the differences, in dB.
"""

from __future__ import annotations

import argparse
import sys
import warnings
from collections.abc import Callable, Iterator
from statistics import median

import numpy as np

from benchmarks import machine, readme, report
from benchmarks.cases import Case
from benchmarks.processes import rows_from
from benchmarks.rivals import narrow
from benchmarks.rivals.base import Rival
from benchmarks.rivals.eigen import built
from benchmarks.rivals.ours import Cgru
from benchmarks.rivals.steps import FromC
from benchmarks.shapes import Shape
from benchmarks.stream import batch
from benchmarks.timing import ratios, round_robin
from cgru import reference
from cgru.core import kernels
from cgru.quantization import noise

SECTION = "narrow"  # the name of the section in docs/speed.md
AVX2_SECTION = "narrow avx2"
WEIGHTS = ("int8", "bfloat16")
SIZES = ((8, 16), (16, 32), (32, 64), (32, 128), (64, 256), (161, 400))  # e and u, of one step
BATCHES = ((1, 300, 256, 256), (32, 100, 32, 64), (64, 100, 128, 128), (64, 100, 256, 512))  # m, s, e, u
FRAMES = 20
# How many times as fast as the best float32 step a step should be, and a batch as the best rival of any precision.
STEPS = {"int8": {(8, 16): 1, (16, 32): 1, (32, 64): 2.5}, "bfloat16": {(8, 16): 1, (16, 32): 1}}
LEAST = {"int8": 3, "bfloat16": 1.4}
OF_BATCHES = {"int8": 1.5, "bfloat16": 1}


def rivals(avx2: bool) -> tuple[list[type[Rival]], list[type[Rival]], dict[str, str]]:
    """Those that step in float32, those that run batches, and why others cannot; with `avx2` ours alone."""
    steps, batches, missing = [FromC], [Cgru], {}
    if avx2:
        kernels.use_level("avx2", vnni=False)
        return steps, batches, missing
    try:
        steps.append(built(SIZES))
    except RuntimeError as error:
        missing["Eigen"] = str(error)
    for name, load in (("OpenVINO", narrow.openvino), ("PyTorch", narrow.torch)):
        try:
            batches += load()
        except ImportError as error:
            missing[name] = str(error)
    return steps, batches, missing


def rows(seconds: float, avx2: bool) -> Iterator[dict]:
    """What is measured, and on what; then a row for each size, `seconds` for each."""
    warnings.filterwarnings("ignore", category=DeprecationWarning)  # what PyTorch says of its own quantisation
    steps, batches, missing = rivals(avx2)
    steps += map(narrow.of_steps, WEIGHTS)
    batches += map(narrow.of_batches, WEIGHTS)
    versions = [kind.version for kind in (*steps, *batches)]
    yield {"part": "about", **machine.here(), "versions": list(dict.fromkeys(versions)), "missing": missing}
    for e, u in SIZES:
        yield row("step", Case(Shape(1, 1, e, u), "float32"), steps, seconds)
    for sizes in BATCHES:
        yield row("batch", Case(Shape(*sizes), "float32"), batches, seconds)


def row(part: str, case: Case, found: list[type[Rival]], seconds: float) -> dict:
    """Times, ratios to ours of each kind of weights, and dB."""
    made = {kind.name: kind(case) for kind in found}
    frames = np.random.default_rng(2).standard_normal((FRAMES, case.shape.e), np.float32)
    calls: dict[str, Callable[[], object]]
    if part == "step":
        close = {name: stepped(rival, case, frames) for name, rival in made.items()}
        calls, each = {name: batch(rival, frames) for name, rival in made.items()}, FRAMES * 100
    else:
        due = {variant: exact(case, case.X, variant == "reset-after") for variant in ("reset-before", "reset-after")}
        close = {name: noise(due[own.variant], own.array(own.predict()))["snr"] for name, own in made.items()}
        calls, each = {name: rival.predict for name, rival in made.items()}, 1
    times = round_robin(calls, seconds)
    ours = {weights: next(name for name in made if name.startswith(f"cgru {weights}")) for weights in WEIGHTS}
    return {
        "part": part,
        "shape": list(case.shape[:4]),
        "ms": {name: median(each_time) / each for name, each_time in times.items()},
        "ratio": {
            weights: {other: value for other, value in ratios(times, name).items() if other not in ours.values()}
            for weights, name in ours.items()
        },
        "dB": close,
    }


def exact(case: Case, X: np.ndarray, reset_after: bool = False) -> np.ndarray:
    """All states in float64, with that cell's equations."""
    p = {name: array.astype(np.float64) for name, array in case.p.items()}
    p["chh"] = np.zeros_like(p["bhh"])
    return reference.forward(p, X.astype(np.float64), reset_after=reset_after)["h"]


def stepped(rival: FromC, case: Case, frames: np.ndarray) -> float:
    """dB of the state after all frames, one after another."""
    rival.h[...] = 0
    rival.through(frames, 1)()
    return noise(exact(case, frames[None])[:, -1], rival.h)["snr"]


# --- what is said of it ---


def about(row: dict) -> list[str]:
    """What was measured, and on what."""
    missing = "".join(f" Left out: {name} ({why})." for name, why in row["missing"].items())
    return [
        f"One core of {row['machine']}, {row['instructions']}, {row['date']}, commit {row['commit'] or 'unknown'}:"
        f" {', '.join(row['versions'])}.{missing} Each time is followed by the signal-to-noise ratio against float64,"
        " in dB."
    ]


def cell(row: dict, name: str, unit: float) -> str:
    """A time, and dB."""
    if name not in row["ms"]:
        return ""
    time = row["ms"][name] * unit
    return f"{time:.{2 if time < 100 else 0}f} ({row['dB'][name]:.0f})"


def tables(rows: list[dict]) -> list[str]:
    """One for steps, one for batches."""
    lines: list[str] = []
    for part, unit, title in (
        ("step", 1e6, "e, u; ns a step from C"),
        ("batch", 1, "m, s, e, u; ms"),
    ):
        found = report.part(rows, part)
        if not found:
            continue
        names = list(found[0]["ms"])
        heads = [title, *names, *(f"best other / {weights}" for weights in WEIGHTS)]
        lines += [*report.table(heads, (line(row, names, unit) for row in found)), ""]
    return lines[:-1]


def line(row: dict, names: list[str], unit: float) -> list[str]:
    shape = tuple(row["shape"][2:] if row["part"] == "step" else row["shape"])
    best = []
    for weights in WEIGHTS:
        least = STEPS[weights].get(shape, LEAST[weights]) if row["part"] == "step" else OF_BATCHES[weights]
        value = min(row["ratio"][weights].values())
        best.append(report.bold(value, value < least))
    return [", ".join(map(str, shape)), *(cell(row, name, unit) for name in names), *best]


# --- the command ---


def options(arguments: list[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.narrow",
        description="Time weights of int8 and bfloat16: ours, and what OpenVINO and PyTorch do in low precision.",
    )
    parser.add_argument(
        "--avx2", dest="section", action="store_const", const=AVX2_SECTION, default=SECTION,
        help="ours alone, as with AVX2 and without VNNI",
    )  # fmt: skip
    return readme.options(parser, arguments, SECTION, "a size", 5.0)


def main(arguments: list[str] | None = None) -> int:
    given = options(arguments)
    found: list[dict] = []
    try:
        for each in rows_from(rows, given.seconds, given.section == AVX2_SECTION):
            found.append(each)
            print(*(about(each) if each["part"] == "about" else tables([each])), "", sep="\n", flush=True)
    except RuntimeError as error:
        print(error, file=sys.stderr)
        return 1
    readme.write(given, found, [*about(found[0]), "", *tables(found)], given.section)
    return int(bool(found[0]["missing"]))


if __name__ == "__main__":
    sys.exit(main())
