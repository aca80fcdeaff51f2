"""Private steps, DP-SGD: `cgru.optimizers.DP`, opacus with its DPGRU and over `cgru.torch`; and one without privacy.

A GRU and a Dense layer of 5 classes on the last state; a step is one batch of all m samples, with noise. First all make
the same update without noise, each sample clipped. All run on one core, in float32.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator
from functools import partial
from importlib import import_module
from statistics import median
from time import perf_counter

import numpy as np

import cgru
from benchmarks import machine, report
from benchmarks.memory import forget_peak, status
from benchmarks.processes import rows_from
from benchmarks.timing import ratios, round_robin

MAX_NORM, RATE, CLASSES, TOLERANCE = 0.1, 0.5, 5, 1e-3  # the largest relative difference of an update
SHAPES = {  # quick or not: samples, steps, features, units
    True: [(64, 50, 8, 32)],
    False: [(64, 50, 8, 32), (64, 50, 32, 256), (256, 100, 8, 32), (256, 100, 32, 128), (512, 200, 8, 32)],
}
ROUNDS, STEPS = {True: 2, False: 3}, 10  # steps of a call of cgru
OURS, PLAIN = "cgru, DP", "cgru, not private"
OPACUS = {"opacus, DPGRU": "hooks", "opacus, DPGRU, ghost": "ghost", "opacus, cgru.torch": "hooks"}
Shape = tuple[int, int, int, int]
Steps = Callable[[int], object]  # makes so many steps


def samples(m: int, s: int, e: int, u: int) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    return rng.standard_normal((m, s, e)).astype(np.float32), rng.integers(0, CLASSES, m)


def ours(shape: Shape, noise: float, private: bool = True) -> tuple[cgru.Network, Steps]:
    """A network, and its steps."""
    X, y = samples(*shape)
    optimizer = cgru.optimizers.DP(cgru.SGD(RATE), MAX_NORM, noise) if private else cgru.SGD(RATE)
    layers = [cgru.GRU(shape[3], reset_after=True), cgru.Dense(CLASSES, "softmax")]
    net = cgru.Network(layers, seed=0, dtype=np.float32, optimizer=optimizer)
    net.make(X)
    return net, lambda steps: net.fit(X, y, epochs=steps, batch_size=len(X))


def with_opacus(name: str, shape: Shape, noise: float, single: bool = False) -> tuple[cgru.Network, Steps]:
    """A model from the same weights, and its steps; `single`: with the biases of r and z once, as cgru has them."""
    import opacus
    import torch

    from cgru.torch import accelerate

    warnings.simplefilter("ignore")  # opacus's own
    torch.set_num_threads(1)
    X, y = map(torch.tensor, samples(*shape))
    u, (net, _) = shape[3], ours(shape, 0)
    gru = cgru.interop.to_torch(net.body)
    if "DPGRU" in name:
        plain, gru = gru, opacus.layers.DPGRU(shape[2], u, batch_first=True)
        gru.load_state_dict(plain.state_dict())
    head = torch.nn.Linear(u, CLASSES)
    head.load_state_dict({"weight": torch.tensor(net.head.p["W"].T), "bias": torch.tensor(net.head.p["b"][0])})

    class Classifier(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.gru, self.head = gru, head

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.head(self.gru(x)[0][:, -1])

    model = Classifier()
    if "DPGRU" not in name:
        accelerate(model)
    mode, criterion = OPACUS[name], torch.nn.CrossEntropyLoss()
    loader = torch.utils.data.DataLoader(torch.utils.data.TensorDataset(X, y), batch_size=len(X))
    wrapped, optimizer, *rest = opacus.PrivacyEngine().make_private(
        module=model, optimizer=torch.optim.SGD(model.parameters(), RATE), criterion=criterion, data_loader=loader,
        noise_multiplier=noise, max_grad_norm=MAX_NORM, poisson_sampling=False, grad_sample_mode=mode,
    )[:-1]  # fmt: skip
    loss = rest[0] if rest else criterion
    twice = [p for key, p in model.gru.named_parameters() if "hh" in key and "bias" in key]

    def steps(count: int) -> None:
        for _ in range(count):
            optimizer.zero_grad()
            loss(wrapped(X), y).backward()
            for p in twice if single else ():
                p.grad_sample[:, : 2 * u] = 0
            optimizer.step()

    return model, steps


def updated(name: str, shape: Shape, **how: bool) -> dict[str, np.ndarray]:
    """The weights of the layer after a step without noise."""
    made, steps = made_by(name, shape, 0, **how)
    steps(1)
    gru = cgru.interop.to_torch(made.body) if name == OURS else made.gru
    return {key: p.detach().numpy() for key, p in gru.state_dict().items() if "weight" in key}


def made_by(name: str, shape: Shape, noise: float, **how: bool) -> tuple[object, Steps]:
    if name in OPACUS:
        return with_opacus(name, shape, noise, **how)
    return ours(shape, noise, name == OURS)


def check(name: str, other: str, shape: Shape, **how: bool) -> None:
    """RuntimeError where the updates of two contenders differ."""
    before = cgru.interop.to_torch(ours(shape, 0)[0].body).state_dict()
    one, two = updated(name, shape, **how), updated(other, shape, **(how if other in OPACUS else {}))
    for key, p in one.items():
        difference = np.abs(p - two[key]).max() / np.abs(two[key] - before[key].numpy()).max()
        if not difference <= TOLERANCE:
            raise RuntimeError(f"{name} and {other} differ by {difference:.1e} of the update of {key}")


def peak(name: str, shape: Shape) -> Iterator[dict]:
    """One row: the seconds of the first step and of the third, and the MiB by which memory rises in three steps."""
    cgru.set_num_threads(1)
    _, steps = made_by(name, (2, *shape[1:]), 1.0)
    steps(1)  # imports, and what is compiled
    _, steps = made_by(name, shape, 1.0)
    before = status("VmRSS") if forget_peak() else None
    times = [perf_counter()]
    for _ in range(3):
        steps(1)
        times.append(perf_counter())
    rise = None if before is None else (status("VmHWM") - before) / 1024
    yield {"mib": rise, "first": times[1] - times[0], "third": times[3] - times[2]}


def rows(quick: bool) -> Iterator[dict]:
    """What is measured, on what; then a row for each shape. RuntimeError: the updates differ."""
    cgru.set_num_threads(1)
    names = [OURS, PLAIN]
    try:
        versions = {each: import_module(each).__version__ for each in ("opacus", "torch")}
        names += OPACUS
    except ImportError:
        versions = {}
    yield {"part": "about", **machine.here(), "names": names, "versions": versions}
    for shape in SHAPES[quick]:
        for name in names[2:]:
            if OPACUS[name] == "hooks":
                check(name, OURS, shape, single=True)
            else:
                check(name, "opacus, DPGRU", shape)
        calls = {}
        for name in names:
            _, steps = made_by(name, shape, 1.0)
            calls[name] = partial(steps, 1 if name in OPACUS else STEPS)
        times = round_robin(calls, 0, ROUNDS[quick])
        each = {name: [ms / 1e3 / (1 if name in OPACUS else STEPS) for ms in times[name]] for name in names}
        alone = {name: row for name in names for row in rows_from(peak, name, shape)}
        seconds = {name: median(found) for name, found in each.items()}
        yield {"part": "shape", "shape": shape, "s": seconds, "ratio": ratios(each, OURS), "alone": alone}


def bars(rows: list[dict]) -> dict[str, float]:
    """What `picture.draw` takes."""
    names = [name for name in rows[0]["names"] if name in OPACUS]
    return {
        f"{name}, {' x '.join(map(str, row['shape']))}": row["ratio"][name] for row in rows[1:] for name in names[:1]
    }


def text(rows: list[dict]) -> list[str]:
    about, *shapes = rows
    names = about["names"]
    versions = [f"{name} {version}" for name, version in about["versions"].items()]
    where = [about["machine"], about["instructions"], *versions, about["date"]]
    lines = []
    for row in shapes:
        alone, cells = row["alone"], []
        for name in names:
            rise = alone[name]["mib"]
            cells.append(f"{row['s'][name]:.3g}" + ("" if rise is None else f", {rise:.0f} MiB"))
        ratios = [f"{row['ratio'][name]:.1f}" for name in names[2:3]]
        first = alone[OURS]["first"] / alone[OURS]["third"]
        lines.append([" x ".join(map(str, row["shape"])), *cells, *ratios, f"{first:.1f}"])
    columns = [*names, *(f"{name} / {OURS}" for name in names[2:3]), f"{OURS}: first step / third"]
    return [
        "Seconds a step (medians), and MiB by which memory rises; ratios are of seconds. One core of"
        f" {', '.join(where)}, commit {about['commit'] or 'unknown'}.",
        "",
        *report.table(["samples x steps x features x units", *columns], lines),
    ]
