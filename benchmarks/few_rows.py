"""Training of wide layers on few rows, beside PyTorch's own: `python -m benchmarks.few_rows`.

Three ways: inside PyTorch with new gradients (`zero_grad(set_to_none=True)`) and added to old ones, and `cgru.GRU`
itself beside PyTorch's autograd, all with dL/dX. The pair of a way takes turns in one process, on one core.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Iterator
from itertools import product
from statistics import median

from benchmarks import inside_torch, machine, readme, report
from benchmarks.inside_torch import OURS, THEIRS
from benchmarks.processes import rows_from
from benchmarks.shapes import Shape
from benchmarks.timing import ratios, round_robin

SECTION = "few rows"  # the name of the section in docs/speed.md
UNITS, ROWS, STEPS = (256, 512, 768, 1024, 1536), (1, 4, 16, 64), (1, 5)
WAYS = ("new", "added", "layer")
SECONDS = 0.2


def rows(units: list[int], seconds: float) -> Iterator[dict]:
    """Yield what it is measured on, then a row for each shape and dtype, `seconds` for each way."""
    import torch

    torch.set_num_threads(1)
    yield {"part": "about", **machine.here(), "versions": [f"PyTorch {torch.__version__}"]}
    for u, m, s, dtype in product(units, ROWS, STEPS, inside_torch.TOLERANCE):
        ratio, ms = {}, {}
        for way in WAYS:
            times = round_robin(calls(Shape(m, s, u, u), dtype, way), seconds)
            ratio[way], ms[way] = ratios(times, OURS)[THEIRS], median(times[OURS])
        yield {"part": "few rows", "shape": [u, m, s], "dtype": dtype, "ratio": ratio, "ms": ms}


def calls(shape: Shape, dtype: str, way: str) -> dict[str, Callable[[], object]]:
    """Return the calls that are timed, ours and PyTorch's, checked for equal results; RuntimeError if they differ."""
    import torch

    torch.manual_seed(0)
    number = getattr(torch, dtype)
    modules, (x, _, _) = inside_torch.both("", shape, number, {}), inside_torch.inputs("", shape, number)
    work = "added" if way == "added" else "training"
    found = {name: inside_torch.call(module, x, None, work) for name, module in modules.items()}
    results = [[found[name](), *(p.grad for p in modules[name].parameters())] for name in (OURS, THEIRS)]
    inside_torch.compare(zip(*results, strict=True), dtype)
    return {**found, OURS: of_layer(x.numpy(), shape.u)} if way == "layer" else found


def of_layer(x: object, u: int) -> Callable[[], object]:
    """Return a call of a `cgru.GRU` over the inputs (s, m, e): forward, backward and gradients."""
    import numpy as np

    import cgru

    X = np.ascontiguousarray(x.swapaxes(0, 1))
    gru = cgru.GRU(u, sequences=True, reset_after=True, dtype=X.dtype, rng=0)
    dA = np.random.default_rng(1).standard_normal((*X.shape[:2], u)).astype(X.dtype)

    def train() -> object:
        ran = gru.run(X)
        ran.backward(dA)
        return ran.gradients()

    return train


def table(rows: list[dict]) -> list[str]:
    """Return a line for each number of units: PyTorch's time over ours, by way and dtype, over all rows and steps."""
    found = report.part(rows, "few rows")
    heads = [(way, dtype) for way in WAYS for dtype in inside_torch.TOLERANCE]
    lines = []
    for u in dict.fromkeys(row["shape"][0] for row in found):
        cells = [
            [{"ratio": {THEIRS: row["ratio"][way]}} for row in found if (row["shape"][0], row["dtype"]) == (u, dtype)]
            for way, dtype in heads
        ]
        lines.append([str(u), *map(report.mean_and_worst, cells)])
    return report.table(["units", *(f"{way}, {dtype}" for way, dtype in heads)], lines)


def line(row: dict) -> str:
    """Return the ratios of a shape and dtype by way."""
    ratios_by_way = ", ".join(f"{way} {ratio:.2f}" for way, ratio in row["ratio"].items())
    return f"u, rows, steps {', '.join(map(str, row['shape']))}, {row['dtype']}: {ratios_by_way}"


def options(arguments: list[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.few_rows", description="Time the training of wide layers on few rows inside PyTorch."
    )
    parser.add_argument(
        "--units", type=int, nargs="+", default=UNITS, metavar="U", help=f"default: {' '.join(map(str, UNITS))}"
    )
    given = readme.options(parser, arguments, SECTION, "a way of a shape", SECONDS)
    if min(given.units) < 1:
        parser.error(f"--units: expected positive numbers, got {min(given.units)}")
    return given


def main(arguments: list[str] | None = None) -> int:
    given = options(arguments)
    found = []
    try:
        for each in rows_from(rows, given.units, given.seconds):
            found.append(each)
            print(inside_torch.about(each) if each["part"] == "about" else line(each), flush=True)
    except RuntimeError as error:
        print(error, file=sys.stderr)
        return 1
    text = [inside_torch.about(found[0]), "", *table(found)]
    print("", *text, sep="\n")
    readme.write(given, found, text, SECTION)
    return 0


if __name__ == "__main__":
    sys.exit(main())
