"""The fits of examples/tiny_rnns.py: `cgru.fit_many`, the usual loop in PyTorch, and JAX, many fits side by side.

All begin with the same weights, and have the same losses in the first epochs. An epoch is an update of one batch of 80
blocks, and a pass over the 10 blocks to validate with; the best weights are kept. All run on one core, in float32.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from functools import partial
from importlib import import_module
from importlib.util import find_spec
from statistics import median
from typing import Any

import numpy as np

import cgru
from benchmarks import machine, report
from benchmarks.processes import rows_from
from benchmarks.timing import ratios, round_robin
from benchmarks.workloads import example as example_of

example = example_of("tiny_rnns")

RATE, DECAY, L1, EPSILON = 0.005, 0.01, 1e-5, 1e-8  # as the example has them
# Quick or not: epochs, rounds, and how many fits a call makes.
MANY = 60  # fits on one core and on two
EPOCHS, ROUNDS, TOGETHER = {True: 10, False: 300}, {True: 3, False: 5}, {True: 10, False: 30}
FIRST, TOLERANCE = 5, 1e-4  # epochs that are compared, and the largest relative difference of a loss
RIVALS = {"PyTorch": "torch", "JAX, vmap": "jax"}
NETS = [("GRU", 1), ("GRU", 2), ("GRU", 3), ("GRU", 4), ("SwitchingGRU", 1), ("SwitchingGRU", 2)]
QUICK = [("GRU", 1), ("SwitchingGRU", 2)]
Net = tuple[str, int]  # kind and units


def samples(kind: str) -> tuple[np.ndarray, np.ndarray, tuple[np.ndarray, np.ndarray]]:
    """X, y, and the rows to train on and to validate with."""
    *data, _ = example.simulate("model-free", np.random.default_rng(0))
    rest, _ = example.folds()[0]
    train, validation = example.inner_folds()[0]
    return *example.sequences(*data, kind), (rest[train], rest[validation])


def ours(net: Net, epochs: int, count: int = 1, **how: Any) -> np.ndarray:
    """The losses (epochs, 2) of training and validation of the first of `count` fits; `how` goes to `fit_many`."""
    X, y, (rows, held_out) = samples(net[0])
    options = example.OPTIONS | {"epochs": epochs, "patience": None, "rows": rows, "validation_rows": held_out}
    jobs = [cgru.Job(partial(example.make, *net, seed), seed, **options) for seed in range(count)]
    history = cgru.fit_many(jobs, X, y, **(how or {"threads": 1}))[0].history
    return np.array([history.loss, history.validation_loss]).T


def gru_in_torch(layer: cgru.GRU) -> tuple[Callable, Any, list, list]:
    """`nn.GRU`, as `switching_in_torch` has it. Its second biases of r and z stay zero: cgru has but one."""
    import torch

    gru, u = cgru.interop.to_torch([layer]), layer.d["u"]
    gru.batch_first = False
    only_hh = (torch.arange(3 * u) >= 2 * u).float()
    gru.bias_hh_l0.register_hook(lambda gradient: gradient * only_hh)
    matrices = [gru.weight_ih_l0, gru.weight_hh_l0]
    return lambda X: gru(X)[0], gru.weight_hh_l0, matrices, [gru.bias_ih_l0, gru.bias_hh_l0]


def switching_in_torch(layer: cgru.SwitchingGRU) -> tuple[Callable, Any, list, list]:
    """A switching GRU as a loop: its pass over tokens (s, m), recurrent weights, matrices and biases.

    The weights of all steps are gathered before the loop, which then has a product of matrices and four other calls.
    """
    import torch

    U, V, b = (torch.tensor(layer.p[name], requires_grad=True) for name in ("U", "V", "b"))
    u = layer.d["u"]

    def states(X: Any) -> Any:
        of_gates, of_hh = U.split([2 * u, u], 1)
        added = torch.cat([of_gates, b], 1)[X][:, :, None].unbind()
        h, found = torch.zeros(X.shape[1], 1, u), []
        for V_t, added_t, x_t in zip(V[X].unbind(), added, of_hh[X][:, :, None].unbind(), strict=True):
            a, c = torch.baddbmm(added_t, h, V_t).split([2 * u, u], 2)
            r, z = a.sigmoid().chunk(2, 2)
            h = torch.lerp(torch.addcmul(x_t, r, c).tanh(), h, z)
            found.append(h)
        return torch.cat(found, 1).transpose(0, 1)

    return states, V, [U, V], [b]


def with_torch(net: Net, epochs: int) -> np.ndarray:
    """The same losses by PyTorch."""
    import torch
    from torch.nn.functional import cross_entropy

    torch.set_num_threads(1)
    kind, units = net
    X, y, rows = samples(kind)
    made = example.make(kind, units, 0)
    made.make(X)
    states, recurrent, matrices, biases = (gru_in_torch if kind == "GRU" else switching_in_torch)(made.body[0])
    head = torch.nn.Linear(units, 2)
    head.load_state_dict({"weight": torch.tensor(made.head.p["W"].T), "bias": torch.tensor(made.head.p["b"][0])})
    train, validation = ((torch.tensor(X[r].swapaxes(0, 1)), torch.tensor(y[r].T)) for r in rows)
    groups = [{"params": [*matrices, head.weight], "weight_decay": DECAY}]
    groups += [{"params": [*biases, head.bias], "weight_decay": 0.0}]
    p = [a for group in groups for a in group["params"]]
    optimizer = torch.optim.AdamW(groups, RATE, eps=EPSILON, fused=True)
    lowest, losses = np.inf, []
    for _ in range(epochs):
        optimizer.zero_grad()
        loss = cross_entropy(head(states(train[0])).flatten(0, 1), train[1].flatten())
        (loss + L1 * recurrent.abs().sum()).backward()
        optimizer.step()
        with torch.no_grad():
            judged = cross_entropy(head(states(validation[0])).flatten(0, 1), validation[1].flatten()).item()
        if judged < lowest:
            lowest, _best = judged, [a.detach().clone() for a in p]
        losses.append((loss.item(), judged))
    return np.array(losses)


def with_jax(net: Net, epochs: int, count: int = 1, compiled: dict | None = None) -> np.ndarray:
    """The same losses by JAX, of the first of `count` fits; `compiled` keeps what is compiled once."""
    import jax

    from benchmarks.fits.jax import GATES, begun, by_rows, epoch

    def first(seed: int) -> tuple:
        made = example.make(*net, seed)
        made.make(X)
        own, head = made.body[0].p, made.head.p
        p = {kind: np.hstack([own[kind + gate] for gate in GATES]) for kind in "UVb"}
        return begun(jax.tree.map(jax.numpy.array, p | {"c": own["chh"], "W": head["W"], "d": head["b"]}))

    X, y, rows = samples(net[0])
    parts = [(X[r].swapaxes(0, 1), y[r].T, np.ones(y[r].T.shape, np.float32)) for r in rows]
    one = partial(epoch, outputs=by_rows, rate=RATE, l1=L1, epsilon=EPSILON, decay=DECAY)
    each = jax.vmap(one, in_axes=(0, None, None))
    scan = jax.jit(lambda state, *parts: jax.lax.scan(lambda s, _: each(s, *parts), state, length=epochs))
    run = scan if compiled is None else compiled.setdefault((net, epochs, count), scan)
    state = jax.tree.map(lambda *leaves: jax.numpy.stack(leaves), *map(first, range(count)))
    return np.asarray(run(state, *parts)[1])[:, 0]


def rows(quick: bool) -> Iterator[dict]:
    """What is measured, on what; then a row for each size, with seconds a fit. RuntimeError: the losses differ."""
    cgru.set_num_threads(1)
    found: dict[str, tuple[Callable[..., np.ndarray], int]] = {"cgru": (ours, TOGETHER[quick])}
    for name, module in RIVALS.items():
        try:
            import_module(module)
        except ImportError:
            continue
        found[name] = (with_torch, 1) if module == "torch" else (partial(with_jax, compiled={}), TOGETHER[quick])
    yield {"part": "about", **machine.here(), "names": [*found], "epochs": EPOCHS[quick]}
    for net in QUICK if quick else NETS:
        due, those = ours(net, FIRST), [name for name in found if net[0] == "GRU" or name != "JAX, vmap"]
        for name in those:
            difference = np.abs(found[name][0](net, FIRST) / due - 1).max()
            if not difference <= TOLERANCE:
                raise RuntimeError(f"{net}: {name} and cgru differ by {difference:.1e} in {FIRST} epochs")
        calls = {
            name: partial(function, net, EPOCHS[quick], *([count] if count > 1 else []))
            for name, (function, count) in found.items()
            if name in those
        }
        times = round_robin(calls, 0, ROUNDS[quick])
        each = {name: [ms / 1e3 / found[name][1] for ms in times[name]] for name in times}
        seconds = {name: median(values) for name, values in each.items()}
        yield {"part": "size", "net": net, "s": seconds, "ratio": ratios(each, "cgru")}
    if not quick:
        yield from rows_from(cores, EPOCHS[quick], threads=2, workers=True)


def cores(epochs: int) -> Iterator[dict]:
    """Seconds of MANY fits of 4 units in one thread and in two, and on one and two workers of Dask."""
    ways: dict[str, dict[str, Any]] = {"one thread": {"threads": 1}, "two threads": {"threads": 2}}
    with ExitStack() as open_until_the_end:
        if find_spec("distributed"):
            from distributed import Client, LocalCluster

            options = {"threads_per_worker": 1, "dashboard_address": None}
            cluster = open_until_the_end.enter_context(LocalCluster(n_workers=2, **options))
            client = open_until_the_end.enter_context(Client(cluster))
            one, _ = client.scheduler_info()["workers"]
            ways["one worker of Dask"] = {"executor": client.get_executor(workers=[one], pure=False)}
            ways["two workers of Dask"] = {"executor": client.get_executor(pure=False)}
        times = round_robin({name: partial(ours, ("GRU", 4), epochs, MANY, **how) for name, how in ways.items()}, 0, 3)
    yield {"part": "cores", "s": {name: median(each) / 1e3 for name, each in times.items()}}


def bars(rows: list[dict]) -> dict[str, float]:
    """What `picture.draw` takes."""
    return {f"{name}, {title(row)}": ratio for row in report.part(rows, "size") for name, ratio in row["ratio"].items()}


def title(row: dict) -> str:
    kind, units = row["net"]
    return f"{kind}, {units} unit{'s' * (units > 1)}"


def text(rows: list[dict]) -> list[str]:
    about, sizes = rows[0], report.part(rows, "size")
    names = about["names"]
    shared = [
        f"{MANY} fits of 4 units: " + ", ".join(f"{name} {s:.1f} s" for name, s in row["s"].items()) + "."
        for row in report.part(rows, "cores")
    ]
    lines = [
        [title(row), *(f"{row['s'][n]:.3g}" if n in row["s"] else "" for n in names)]
        + [f"{row['ratio'][n]:.1f}" if n in row["ratio"] else "" for n in names[1:]]
        for row in sizes
    ]
    return [
        f"Seconds for a fit of {about['epochs']} epochs, and times as long as cgru; medians, one core of"
        f" {about['machine']}, {about['instructions']}, {about['date']}, commit {about['commit'] or 'unknown'}.",
        "",
        *report.table(["net", *names, *(f"{name} / cgru" for name in names[1:])], lines),
        "",
        *shared,
    ]
