"""Recurrent policies on one core: TorchRL's GRUModule and `cgru.torch.GRU`, and RecurrentPPO with three policies.

The first part is forward and backward on batches of rollouts in which episodes begin anywhere, once all outputs and
gradients are equal. The second trains on CartPole without velocities, by the policy of examples/gru_policy.py.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from importlib.metadata import version
from statistics import median
from time import perf_counter
from typing import Any

from benchmarks import machine, report
from benchmarks.timing import ratios, round_robin
from benchmarks.workloads import example

B, T, E, U, BEGINS = 64, 32, 32, 128, 0.05  # rollouts, steps, features, units, the chance that an episode begins
OURS, COMPILED = "cgru.torch.GRU", "TorchRL, scan, compiled"
BACKENDS = {  # those of TorchRL: recurrent_backend, recurrent_recompute
    "TorchRL, pad": ("pad", "none"),
    "TorchRL, scan": ("scan", "none"),
    "TorchRL, scan, recomputed": ("scan", "full"),
    COMPILED: ("scan", "none"),
}
NEEDS, INSTALL = ("torchrl", "sb3_contrib"), "pip install torchrl sb3-contrib"
TOLERANCE = 1e-4  # of outputs and gradients, relative to the largest
FRAMES, SECONDS, ROUNDS = {True: 4096, False: 32768}, {True: 1, False: 20}, {True: 1, False: 3}


def ways(compiled: bool) -> dict[str, Callable[[], list[Any]]]:
    """Calls that return the outputs and the gradients of the inputs and the weights."""
    import torch
    from tensordict import TensorDict
    from torchrl.modules import GRUModule, set_recurrent_mode

    import cgru.torch

    torch.manual_seed(0)
    torch.set_num_threads(1)
    x, begins, G = torch.randn(B, T, E), torch.rand(B, T) < BEGINS, torch.randn(B, T, U)
    start = torch.zeros(B, T, 1, U)
    gru = torch.nn.GRU(E, U, batch_first=True)
    with torch.no_grad():
        gru.bias_hh_l0[: 2 * U] = 0
    found: dict[str, Callable[[], list[Any]]] = {}

    def ours() -> list[Any]:
        inputs = x.clone().requires_grad_()
        y, _ = own(inputs, resets=begins)
        return gradients(y, inputs, own)

    def gradients(y: Any, inputs: Any, layer: Any) -> list[Any]:
        layer.zero_grad()
        (y * G).sum().backward()
        return [y.detach(), inputs.grad, *(p.grad for p in layer.parameters())]

    def theirs(module: Any, call: Any) -> list[Any]:
        inputs = x.clone().requires_grad_()
        data = TensorDict({"x": inputs, "h": start, "is_init": begins[:, :, None]}, [B, T])
        with set_recurrent_mode(True):
            return gradients(call(data)["y"], inputs, module.gru)

    own = cgru.torch.GRU(E, U, batch_first=True)
    own.load_state_dict(gru.state_dict())
    found[OURS] = ours
    for name, (backend, again) in BACKENDS.items():
        keys = {"in_keys": ["x", "h"], "out_keys": ["y", ("next", "h")]}
        module = GRUModule(E, U, **keys, recurrent_backend=backend, recurrent_recompute=again)
        module.gru.load_state_dict(gru.state_dict())
        if name != COMPILED:
            found[name] = partial(theirs, module, module)
        elif compiled:
            found[name] = partial(theirs, module, torch.compile(module))
    return found


def policies() -> dict[str, Any]:
    """The policies by name: that of the example, the same with nn.GRU, and RecurrentPPO's own."""
    import torch

    policy = example("gru_policy")

    class Steps(torch.nn.GRU):
        """PyTorch's GRU, stepped where an episode begins within a batch, as RecurrentPPO steps its LSTM."""

        def forward(self, x, h, resets):
            if not resets.any():
                return super().forward(x, h)
            states = []
            for t in range(len(x)):
                y, h = super().forward(x[t : t + 1], h * ~resets[t, None, :, None])
                states.append(y)
            return torch.cat(states), h

    own = type("OwnPolicy", (policy.GRUPolicy,), {"recurrent": Steps})
    return {OURS: policy.GRUPolicy, "nn.GRU": own, "nn.LSTM": "MlpLstmPolicy"}


def trained(kind: Any, frames: int) -> tuple[float, float]:
    """Seconds of a training: of all, and of its updates."""
    model = example("gru_policy").make(kind)
    train, updates = model.train, []

    def timed() -> None:
        began = perf_counter()
        train()
        updates.append(perf_counter() - began)

    model.train = timed
    began = perf_counter()
    model.learn(frames)
    return perf_counter() - began, sum(updates)


def rows(quick: bool) -> Iterator[dict]:
    """What is measured, on what; then a row for each part. RuntimeError: results differ."""
    versions = [f"{name} {version(name)}" for name in ("torch", "torchrl", "sb3-contrib")]
    yield {"part": "about", **machine.here(), "versions": versions, "frames": FRAMES[quick]}
    calls = ways(not quick)
    due = calls[OURS]()
    for name, call in calls.items():
        for ours, other in zip(due, call(), strict=True):
            difference = float((ours - other).abs().max() / ours.abs().max())
            if not difference <= TOLERANCE:
                raise RuntimeError(f"{name}: differs from {OURS} by {difference:.1e}")
    times = round_robin(calls, SECONDS[quick])
    yield {"part": "layer", "ms": {k: median(v) for k, v in times.items()}, "ratio": ratios(times, OURS)}
    found: dict[str, list[tuple[float, float]]] = {}
    for _ in range(ROUNDS[quick]):
        for name, kind in policies().items():
            found.setdefault(name, []).append(trained(kind, FRAMES[quick]))
    for name, each in found.items():
        whole, updates = (median(column) for column in zip(*each, strict=True))
        yield {"part": "training", "name": name, "whole": whole, "updates": updates}


def bars(rows: list[dict]) -> dict[str, float]:
    """What `picture.draw` takes."""
    _, layer, ours, *others = rows
    return layer["ratio"] | {f"RecurrentPPO, {row['name']}": row["whole"] / ours["whole"] for row in others}


def text(rows: list[dict]) -> list[str]:
    about, layer, *trainings = rows
    of = layer["ratio"]
    lines = [[name, f"{ms:.2f}", f"{of[name]:.1f}" if name in of else ""] for name, ms in layer["ms"].items()]
    frames = about["frames"]
    learned = [
        [row["name"], f"{frames / row['whole']:,.0f}", f"{row['updates']:.2f}", f"{row['whole'] - row['updates']:.2f}"]
        for row in trainings
    ]
    return [
        f"One core of {about['machine']}, {about['instructions']}, {about['date']}, commit"
        f" {about['commit'] or 'unknown'}, {', '.join(about['versions'])}; medians.",
        "",
        f"Milliseconds for forward and backward of {B} rollouts of {T} steps, {E} features, {U} units:",
        "",
        *report.table(["way", "ms", f"over {OURS}"], lines),
        "",
        f"RecurrentPPO on {frames:,} steps of CartPole without velocities, {example('gru_policy').UNITS} units:",
        "",
        *report.table(["policy", "steps a second", "seconds of updates", "of playing"], learned),
    ]
