"""PyTorch's GRU before and after `cgru.torch.accelerate`, autograd included: `python -m benchmarks.inside_torch`.

Both take turns in one process, on one core; each pair is first checked for equal results and gradients.
"""

from __future__ import annotations

import argparse
import copy
import sys
from collections.abc import Callable, Iterator
from statistics import median

from benchmarks import machine, readme, report, shapes
from benchmarks.processes import rows_from
from benchmarks.shapes import Shape
from benchmarks.timing import ratios, round_robin

SECTION = "inside torch"  # the name of the section in docs/speed.md
RANDOM, SECONDS = 20, 0.3
MIDDLE = [Shape(32, 100, 32, 64), Shape(16, 64, 24, 40)]
STACKS = {
    "two layers": {"num_layers": 2},
    "three layers": {"num_layers": 3},
    "both directions": {"bidirectional": True},
    "two layers, both directions": {"num_layers": 2, "bidirectional": True},
}
WORKS = ("inference", "training")
TOLERANCE = {"float32": 3e-5, "float64": 1e-11}  # of the largest value
OURS, THEIRS, PADDED = "cgru.torch", "torch.nn", "padded"


def cases(random: int, seed: int) -> Iterator[tuple[str, Shape, dict]]:
    """The group, the shape and the options of each pair."""
    for shape in shapes.GRID:
        group = "packed" if shape.ragged else "one step" if "step" in shape.works else "the grid"
        yield group, shape, {}
    for shape in shapes.drawn(random, seed):
        yield "random shapes", shape, {}
    for name, options in STACKS.items():
        for shape in MIDDLE:
            yield name, shape, options
    for shape in (Shape(1, 1, 32, 128), Shape(32, 1, 32, 128), Shape(128, 1, 64, 64), Shape(512, 1, 64, 64)):
        yield "a cell", shape, {}


def rows(random: int, seed: int, seconds: float) -> Iterator[dict]:
    """On what is measured, then a row for each pair, dtype and work, `seconds` for each."""
    import torch

    torch.set_num_threads(1)
    yield {"part": "about", **machine.here(), "versions": [f"PyTorch {torch.__version__}"], "seed": seed}
    for group, shape, options in cases(random, seed):
        for dtype in TOLERANCE:
            for work in WORKS:
                calls = pair(group, shape, dtype, work, options)
                times = round_robin(calls, seconds)
                ratio = ratios(times, OURS)
                yield {
                    "part": "pair",
                    "group": group,
                    "shape": str(shape),
                    "dtype": dtype,
                    "work": work,
                    "ms": {name: median(each) for name, each in times.items()},
                    "ratio": {THEIRS: ratio[THEIRS]},
                    "over padded": 1 / ratio[PADDED] if PADDED in ratio else None,
                }


def pair(group: str, shape: Shape, dtype: str, work: str, options: dict) -> dict[str, Callable[[], object]]:
    """The calls that are timed: of PyTorch's module and of the same one accelerated; beside packed data of padded ones.

    Raises:
        RuntimeError: they differ.
    """
    import torch

    torch.manual_seed(0)
    modules = both(group, shape, getattr(torch, dtype), options)
    x, batch, hx = inputs(group, shape, getattr(torch, dtype))
    calls = {name: call(module, batch, hx, work) for name, module in modules.items()}
    results = [[calls[name](), *(p.grad for p in modules[name].parameters())] for name in (OURS, THEIRS)]
    compare(zip(*results, strict=True), dtype)
    if shape.ragged:
        calls[PADDED] = call(modules[OURS], x, hx, work)
    return calls


def both(group: str, shape: Shape, number: object, options: dict) -> dict[str, object]:
    """PyTorch's own module and a copy of it that runs here."""
    import torch

    import cgru.torch

    theirs = (torch.nn.GRUCell if group == "a cell" else torch.nn.GRU)(shape.e, shape.u, dtype=number, **options)
    ours = copy.deepcopy(theirs)
    cgru.torch.accelerate(ours)
    return {OURS: ours, THEIRS: theirs}


def inputs(group: str, shape: Shape, number: object) -> tuple[object, object, object]:
    """x with all steps, the same or packed as it is handed over, and the states of a single step, else None."""
    import torch
    from torch.nn.utils.rnn import pack_padded_sequence

    m, s, e, u, ragged = shape
    cell = group == "a cell"
    x = torch.randn((m, e) if cell else (s, m, e), dtype=number)
    hx = torch.randn((m, u) if cell else (1, m, u), dtype=number) if cell or group == "one step" else None
    if not ragged:
        return x, x, hx
    lengths = torch.randint(max(1, s // 2), s + 1, (m,))
    lengths[0] = s
    return x, pack_padded_sequence(x, lengths, enforce_sorted=False), hx


def call(module: object, batch: object, hx: object, work: str) -> Callable[[], object]:
    """What is timed: the outputs of a call, or in training dL/d(the input), with the gradients of all parameters.

    These are new ones, or with the work "added" added to those of the call before.
    """
    import torch
    from torch.nn.utils.rnn import PackedSequence

    packed = isinstance(batch, PackedSequence)

    def infer() -> object:
        with torch.inference_mode():
            return first(module(batch, hx))

    if work == "inference":
        return infer
    leaf = (batch.data if packed else batch).detach().clone().requires_grad_()
    given = PackedSequence(leaf, *batch[1:]) if packed else leaf
    dA = torch.randn(infer().shape, dtype=leaf.dtype, generator=torch.Generator().manual_seed(1))

    def train() -> object:
        if work == "training":
            module.zero_grad()
        leaf.grad = None
        first(module(given, hx)).backward(dA)
        return leaf.grad

    return train


def first(result: object) -> object:
    """The outputs among what a module returns, of packed ones their data."""
    output = result[0] if isinstance(result, tuple) else result
    return getattr(output, "data", output) if isinstance(output, tuple) else output


def compare(pairs: object, dtype: str) -> None:
    """RuntimeError where two tensors, None twice where there are none, are not the same to rounding."""
    for mine, other in pairs:
        if mine is other is None:
            continue
        difference, largest = float((mine - other).abs().max()), float(other.abs().max())
        if not difference <= TOLERANCE[dtype] * largest:
            raise RuntimeError(f"cgru.torch and torch.nn differ by {difference:.1e} of {largest:.1e} in {dtype}")


# --- what is said of it ---


def about(row: dict) -> str:
    """What was measured, and on what."""
    return (
        f"Measured on one core of {row['machine']}, {row['instructions']}, {row['date']}, commit"
        f" {row['commit'] or 'unknown'}: {', '.join(row['versions'])}"
        + (f"; random shapes of seed {row['seed']}." if "seed" in row else ".")
    )


def table(rows: list[dict]) -> list[str]:
    """How many times as long PyTorch's own take, by group: the geometric mean, and after it the worst."""
    found = report.part(rows, "pair")
    heads = [(work, dtype) for work in WORKS for dtype in TOLERANCE]
    lines = []
    for group in dict.fromkeys(row["group"] for row in found):
        here = [row for row in found if row["group"] == group]
        columns = [[row for row in here if (row["work"], row["dtype"]) == head] for head in heads]
        lines.append([group, f"{len({row['shape'] for row in here})}", *map(report.mean_and_worst, columns)])
    return report.table(["", "shapes", *(f"{work}, {dtype}" for work, dtype in heads)], lines)


def padded(rows: list[dict]) -> str:
    """What packed data take beside the batch that is padded with zeros; empty where there are none."""
    found = [row["over padded"] for row in report.part(rows, "pair") if row["over padded"]]
    return f"A packed batch took at most {max(found):.2f} times as long as the padded one." if found else ""


def line(row: dict) -> str:
    """One pair."""
    ms = ", ".join(f"{name} {value:.3g}" for name, value in row["ms"].items())
    return f"{row['group']}: {row['shape']}, {row['dtype']}, {row['work']}: {row['ratio'][THEIRS]:.2f} (ms: {ms})"


# --- the command ---


def options(arguments: list[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.inside_torch",
        description="Time PyTorch's GRU before and after cgru.torch.accelerate, autograd included.",
    )
    add = parser.add_argument
    add("--random", type=int, default=RANDOM, metavar="N", help=f"shapes drawn at random (default: {RANDOM})")
    add("--seed", type=int, default=1, metavar="S", help="of these (default: 1)")
    given = readme.options(parser, arguments, SECTION, "a pair", SECONDS)
    if given.random < 0:
        parser.error(f"--random: expected no negative number, got {given.random}")
    return given


def main(arguments: list[str] | None = None) -> int:
    given = options(arguments)
    found = []
    try:
        for each in rows_from(rows, given.random, given.seed, given.seconds):
            found.append(each)
            print(line(each) if each["part"] == "pair" else about(each), flush=True)
    except RuntimeError as error:
        print(error, file=sys.stderr)
        return 1
    text = [about(found[0]), "", *table(found), "", padded(found)]
    print("", *text, sep="\n")
    readme.write(given, found, text, SECTION)
    return 0


if __name__ == "__main__":
    sys.exit(main())
