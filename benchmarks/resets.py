"""Episodes that end inside a batch, as agents train: `python -m benchmarks.resets`.

A training step, forward and backward with dL/dx and dL/dh0, of a GRU over environments whose episodes end at random
steps. PyTorch's own ways are to split the sequences there and to pad or to pack the parts, as torchrl and
stable-baselines3 do, and to step a `GRUCell`. All ways take turns in one process, on one thread and on two; first they
are checked for equal results and gradients. With `--cost` also what the factor takes of a training step.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Iterator
from itertools import product
from statistics import median

from benchmarks import THREADS, inside_torch, machine, readme, report
from benchmarks.processes import rows_from
from benchmarks.shapes import Shape
from benchmarks.timing import ratios, round_robin

SECTION = "resets"  # the name of the section in docs/speed.md
SHAPE, EPISODE = Shape(64, 128, 32, 64), 20  # environments, steps; the steps of an episode on average
OURS, LAYER = "cgru.torch.GRU", "cgru.GRU"
PADDED, PACKED, CELL = "nn.GRU, split and padded", "nn.GRU, split and packed", "nn.GRUCell"
RIVALS = (PADDED, PACKED, CELL)
GOAL = 3  # times as fast as the best rival
COSTS, BOUNDS = (Shape(32, 100, 32, 64), Shape(50, 150, 3, 5)), {"resets": 1.06, "decay": 1.15}
LAYERS = {LAYER: {}, f"{LAYER}, reset after": {"reset_after": True}}
SECONDS = 2


def rows(cost: bool, seconds: float) -> Iterator[dict]:
    """Yield what it is measured on, then a row for each dtype; with `cost` also one for each shape and dtype."""
    import torch

    torch.set_num_threads(THREADS)
    lengths = parts(episodes(SHAPE))[2]
    yield {
        "part": "about",
        **machine.here(),
        "versions": [f"PyTorch {torch.__version__}"],
        "parts": len(lengths),
        "longest": int(lengths.max()),
    }
    for dtype in inside_torch.TOLERANCE:
        times = round_robin(ways(dtype), seconds)
        ms = {name: median(each) for name, each in times.items()}
        yield {"part": "resets", "threads": THREADS, "dtype": dtype, "ms": ms, "ratio": ratios(times, OURS)}
    for shape, dtype in product(COSTS if cost else (), inside_torch.TOLERANCE):
        ratio, ms = {}, {}
        for name, calls in costs(shape, dtype).items():
            times = round_robin(calls, seconds)
            ratio[name], ms[name] = ratios(times, ""), median(times[""])
        yield {"part": "cost", "shape": str(shape), "dtype": dtype, "ms": ms, "ratio": ratio}


# --- the ways ---


def episodes(shape: Shape) -> object:
    """Return booleans (s, m): whether an episode begins at this step."""
    import torch

    return torch.rand(shape.s, shape.m, generator=torch.Generator().manual_seed(0)) < 1 / EPISODE


def parts(resets: object) -> tuple[object, object, object]:
    """Return of each step of one environment after the other its part and its place there, and the parts' lengths."""
    import torch

    begins = resets.T.clone()
    begins[:, 0] = True
    begins = begins.flatten()
    part, first = begins.cumsum(0) - 1, begins.nonzero()[:, 0]
    ends = torch.cat([first[1:], torch.tensor([len(begins)])])
    return part, torch.arange(len(begins)) - first[part], ends - first


def split(gru: object, x: object, h0: object, resets: object, packs: bool) -> object:
    """Return the outputs of a `torch.nn.GRU` over the parts of the sequences x (s, m, e), padded or packed."""
    from torch.nn.utils import rnn

    s, m, e = x.shape
    part, place, lengths = parts(resets)
    rows = x.new_zeros(int(lengths.max()), len(lengths), e).index_put((place, part), x.transpose(0, 1).reshape(-1, e))
    first = part.view(m, s)[:, 0]  # which goes on from h0, where it is no new episode
    start = x.new_zeros(1, len(lengths), h0.shape[-1]).index_copy(1, first, h0 * ~resets[0][:, None])
    if packs:
        rows = rnn.pack_padded_sequence(rows, lengths, enforce_sorted=False)
    outputs, _ = gru(rows, start)
    if packs:
        outputs, _ = rnn.pad_packed_sequence(outputs)
    return outputs[place, part].view(m, s, -1).transpose(0, 1)


def stepped(cell: object, x: object, h0: object, resets: object) -> object:
    """Return the outputs of a `torch.nn.GRUCell`, called at each step."""
    import torch

    h, outputs = h0[0], []
    for step, goes_on in zip(x, ~resets[..., None], strict=True):
        h = cell(step, h * goes_on)
        outputs.append(h)
    return torch.stack(outputs)


def ways(dtype: str) -> dict[str, Callable[[], object]]:
    """Return the calls that are timed; RuntimeError if their outputs or gradients differ."""
    import torch

    import cgru.torch

    torch.manual_seed(0)
    number, resets, (m, s, e, u, _) = getattr(torch, dtype), episodes(SHAPE), SHAPE
    x, h0, dA = torch.randn(s, m, e, dtype=number), torch.randn(1, m, u, dtype=number), torch.randn(s, m, u).to(number)
    gru, cell, ours = torch.nn.GRU(e, u), torch.nn.GRUCell(e, u), cgru.torch.GRU(e, u)
    for module in (gru, cell, ours):
        module.to(number)
    ours.load_state_dict(gru.state_dict())
    cell.load_state_dict({name.removesuffix("_l0"): value for name, value in gru.state_dict().items()})
    runs = {
        PADDED: (gru, lambda x, h0: split(gru, x, h0, resets, packs=False)),
        PACKED: (gru, lambda x, h0: split(gru, x, h0, resets, packs=True)),
        CELL: (cell, lambda x, h0: stepped(cell, x, h0, resets)),
        OURS: (ours, lambda x, h0: ours(x, h0, resets=resets)[0]),
    }
    calls = {name: training(run, module, dA, x, h0) for name, (module, run) in runs.items()}
    calls[LAYER] = of_layer(gru, x, h0, dA, resets)
    due = calls[CELL]()
    for call in calls.values():
        inside_torch.compare(zip(call(), due, strict=True), dtype)
    return calls


def training(run: Callable, module: object, dA: object, *inputs: object) -> Callable[[], list]:
    """Return a training step: outputs, the gradients of the inputs and of the parameters."""
    leaves = [each.clone().requires_grad_() for each in inputs]

    def train() -> list:
        module.zero_grad()
        for leaf in leaves:
            leaf.grad = None
        outputs = run(*leaves)
        outputs.backward(dA)
        return [outputs.detach(), *(leaf.grad for leaf in leaves), *(p.grad for p in module.parameters())]

    return train


def of_layer(gru: object, x: object, h0: object, dA: object, resets: object) -> Callable[[], list]:
    """Return what `training` does, of the `cgru.GRU` with the weights of a `torch.nn.GRU`."""
    import numpy as np
    import torch

    from cgru import interop

    (layer,) = interop.from_torch(gru).layers
    X, above, begins = (np.ascontiguousarray(each.numpy().swapaxes(0, 1)) for each in (x, dA, resets))

    def train() -> list:
        ran = layer.run(X, None, h0[0].numpy(), resets=begins)
        dX = ran.backward(above)
        g = {name: torch.from_numpy(value.T) for name, value in ran.gradients().items()}
        dU, dV, db = (torch.cat([g[f"d{kind}{gate}"] for gate in ("r", "z", "hh")]) for kind in "UVb")
        db_hh = torch.cat([db[: -layer.d["u"]], g["dchh"]])
        own = (ran.A, dX, ran.dh0[None])
        outputs, dx, dh0 = (torch.from_numpy(each) for each in own)
        return [outputs.transpose(0, 1), dx.transpose(0, 1), dh0, dU, dV, db[:, 0], db_hh[:, 0]]

    return train


# --- what the factor takes ---


def costs(shape: Shape, dtype: str) -> dict[str, dict[str, Callable[[], object]]]:
    """Return training steps of the layers and of the module without a factor (""), with booleans and with reals."""
    import numpy as np
    import torch

    import cgru
    import cgru.torch

    torch.manual_seed(0)
    number, (m, s, e, u, _) = getattr(torch, dtype), shape
    x, dA = torch.randn(s, m, e, dtype=number), torch.randn(s, m, u, dtype=number)
    given = {"resets": episodes(shape), "decay": torch.rand(s, m, dtype=number)}
    X, above = (np.ascontiguousarray(each.numpy().swapaxes(0, 1)) for each in (x, dA))
    found = {}
    for name, options in LAYERS.items():
        layer = cgru.GRU(u, sequences=True, dtype=X.dtype, rng=0, **options)
        calls = {kind: steps_of(layer, X, above, {kind: value.numpy().T.copy()}) for kind, value in given.items()}
        found[name] = {"": steps_of(layer, X, above, {}), **calls}
    gru = cgru.torch.GRU(e, u, dtype=number)
    found[OURS] = {
        "": training(lambda x: gru(x)[0], gru, dA, x),
        "resets": training(lambda x: gru(x, resets=given["resets"])[0], gru, dA, x),
        "decay": training(lambda x, decay: gru(x, decay=decay)[0], gru, dA, x, given["decay"]),
    }
    return found


def steps_of(layer: object, X: object, dA: object, factor: dict) -> Callable[[], object]:
    """Return a training step of a layer."""

    def train() -> object:
        ran = layer.run(X, **factor)
        ran.backward(dA)
        return ran.gradients()

    return train


# --- what is said of it ---


def about(row: dict) -> str:
    """Return on what it was measured, and of what."""
    m, s, e, u, _ = SHAPE
    return (
        f"{inside_torch.about(row).removesuffix('.').replace('one core', 'one core and two')}. {m} environments, {s}"
        f" steps, {e} features, {u} units: {row['parts']} parts of {m * s / row['parts']:.0f} steps on average, the"
        f" longest of {row['longest']}."
    )


def table(rows: list[dict]) -> list[str]:
    """Return a line for each way: ms, and how many times as long as ours; in bold what the goal misses."""
    found = sorted(report.part(rows, "resets"), key=lambda row: row["threads"])
    heads = ["ms; times as long", *(f"{report.threads(row['threads'])}, {row['dtype']}" for row in found)]
    lines = []
    for name in found[0]["ms"] if found else ():
        cells = [f"{row['ms'][name]:.3g}" for row in found]
        if name != OURS:
            cells = [
                f"{cell}; {report.bold(row['ratio'][name], name in RIVALS and row['ratio'][name] < GOAL)}"
                for cell, row in zip(cells, found, strict=True)
            ]
        lines.append([name, *cells])
    return report.table(heads, lines)


def cost_table(rows: list[dict]) -> list[str]:
    """Return a line for each shape and dtype: the step with booleans and with reals over that without, by layer."""
    found, lines = report.part(rows, "cost"), []
    for row in found:
        cells = [
            ", ".join(report.bold(ratio[kind], ratio[kind] > bound) for kind, bound in BOUNDS.items())
            for ratio in row["ratio"].values()
        ]
        lines.append([f"{row['shape']}, {row['dtype']}", *cells])
    kinds = ", ".join(BOUNDS)
    return report.table(["m, s, e, u", *(f"{name}: {kinds}" for name in found[0]["ratio"])], lines) if found else []


# --- the command ---


def options(arguments: list[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.resets", description="Time the training of a GRU over episodes that end in a batch."
    )
    parser.add_argument("--cost", action="store_true", help="also what resets and decay take of a training step")
    return readme.options(parser, arguments, SECTION, "a table's column or a layer", SECONDS)


def main(arguments: list[str] | None = None) -> int:
    given = options(arguments)
    found = []
    try:
        for threads in (1, 2):
            for each in rows_from(rows, given.cost and threads == 1, given.seconds, threads=threads):
                if each["part"] != "about" or not found:
                    found.append(each)
                    lines = {"about": about, "resets": lambda row: table([row]), "cost": lambda row: cost_table([row])}
                    said = lines[each["part"]](each)
                    print(said if isinstance(said, str) else "\n".join(said), flush=True)
    except RuntimeError as error:
        print(error, file=sys.stderr)
        return 1
    bounds = ", ".join(f"`{kind}` above {bound}" for kind, bound in BOUNDS.items())
    caption = "The time of a training step with `resets`, and with `decay` and its gradient, over that of one without."
    costs = ["", f"{caption} Bold: {bounds}.", ""]
    text = [about(found[0]), "", *table(found), *(costs + cost_table(found) if given.cost else [])]
    print("", *text, sep="\n")
    readme.write(given, found, text, SECTION)
    return 0


if __name__ == "__main__":
    sys.exit(main())
