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


def make(units: int, seed: int = 0) -> cgru.Network:
    return example.make("GRU", units, seed)


def samples() -> tuple[np.ndarray, np.ndarray, tuple[np.ndarray, np.ndarray]]:
    """X, y, and the rows to train on and to validate with."""
    *data, _ = example.simulate("model-free", np.random.default_rng(0))
    rest, _ = example.folds()[0]
    train, validation = example.inner_fold()[0]
    return *example.sequences(*data, "GRU"), (rest[train], rest[validation])


def ours(units: int, epochs: int, count: int = 1, **how: Any) -> np.ndarray:
    """The losses (epochs, 2) of training and validation of the first of `count` fits; `how` goes to `fit_many`."""
    X, y, (rows, held_out) = samples()
    options = example.OPTIONS | {"epochs": epochs, "patience": None, "rows": rows, "validation_rows": held_out}
    jobs = [cgru.Job(partial(make, units, seed), seed, **options) for seed in range(count)]
    history = cgru.fit_many(jobs, X, y, **(how or {"threads": 1}))[0].history
    return np.array([history.loss, history.validation_loss]).T


def with_torch(units: int, epochs: int) -> np.ndarray:
    """The same losses by PyTorch. Its second biases of r and z stay zero: cgru has but one."""
    import torch
    from torch.nn.functional import cross_entropy

    torch.set_num_threads(1)
    X, y, rows = samples()
    net = make(units)
    net.make(X)
    gru, head = cgru.interop.to_torch(net.body), torch.nn.Linear(units, 2)
    gru.batch_first = False
    head.load_state_dict({"weight": torch.tensor(net.head.p["W"].T), "bias": torch.tensor(net.head.p["b"][0])})
    only_hh = (torch.arange(3 * units) >= 2 * units).float()
    gru.bias_hh_l0.register_hook(lambda gradient: gradient * only_hh)
    train, validation = ((torch.tensor(X[r].swapaxes(0, 1)), torch.tensor(y[r].T)) for r in rows)
    p = [*gru.parameters(), *head.parameters()]
    groups = [{"params": [a for a in p if a.ndim == 2], "weight_decay": DECAY}]
    groups += [{"params": [a for a in p if a.ndim == 1], "weight_decay": 0.0}]
    optimizer = torch.optim.AdamW(groups, RATE, eps=EPSILON, fused=True)
    lowest, losses = np.inf, []
    for _ in range(epochs):
        optimizer.zero_grad()
        loss = cross_entropy(head(gru(train[0])[0]).flatten(0, 1), train[1].flatten())
        (loss + L1 * gru.weight_hh_l0.abs().sum()).backward()
        optimizer.step()
        with torch.no_grad():
            judged = cross_entropy(head(gru(validation[0])[0]).flatten(0, 1), validation[1].flatten()).item()
        if judged < lowest:
            lowest, _best = judged, [a.detach().clone() for a in p]
        losses.append((loss.item(), judged))
    return np.array(losses)


def with_jax(units: int, epochs: int, count: int = 1, compiled: dict | None = None) -> np.ndarray:
    """The same losses by JAX, of the first of `count` fits; `compiled` keeps what is compiled once."""
    import jax

    from benchmarks.fits.jax import GATES, begun, by_rows, epoch

    def first(seed: int) -> tuple:
        net = make(units, seed)
        net.make(X)
        own, head = net.body[0].p, net.head.p
        p = {kind: np.hstack([own[kind + gate] for gate in GATES]) for kind in "UVb"}
        return begun(jax.tree.map(jax.numpy.array, p | {"c": own["chh"], "W": head["W"], "d": head["b"]}))

    X, y, rows = samples()
    parts = [(X[r].swapaxes(0, 1), y[r].T, np.ones(y[r].T.shape, np.float32)) for r in rows]
    one = partial(epoch, outputs=by_rows, rate=RATE, l1=L1, epsilon=EPSILON, decay=DECAY)
    each = jax.vmap(one, in_axes=(0, None, None))
    scan = jax.jit(lambda state, *parts: jax.lax.scan(lambda s, _: each(s, *parts), state, length=epochs))
    run = scan if compiled is None else compiled.setdefault((units, epochs, count), scan)
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
    for units in example.NETS["GRU"][:: 3 if quick else 1]:
        due = ours(units, FIRST)
        for name, (function, _) in found.items():
            difference = np.abs(function(units, FIRST) / due - 1).max()
            if not difference <= TOLERANCE:
                raise RuntimeError(f"{units} units: {name} and cgru differ by {difference:.1e} in {FIRST} epochs")
        calls = {
            name: partial(function, units, EPOCHS[quick], *([count] if count > 1 else []))
            for name, (function, count) in found.items()
        }
        times = round_robin(calls, 0, ROUNDS[quick])
        each = {name: [ms / 1e3 / found[name][1] for ms in times[name]] for name in times}
        yield {"part": "size", "u": units, "s": {k: median(v) for k, v in each.items()}, "ratio": ratios(each, "cgru")}
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
            ways["one worker of Dask"] = {"executor": client.get_executor(workers=[one])}
            ways["two workers of Dask"] = {"executor": client.get_executor()}
        times = round_robin({name: partial(ours, 4, epochs, MANY, **how) for name, how in ways.items()}, 0, 3)
    yield {"part": "cores", "s": {name: median(each) / 1e3 for name, each in times.items()}}


def bars(rows: list[dict]) -> dict[str, float]:
    """What `picture.draw` takes."""
    return {
        f"{name}, {row['u']} units": ratio for row in report.part(rows, "size") for name, ratio in row["ratio"].items()
    }


def text(rows: list[dict]) -> list[str]:
    about, sizes = rows[0], report.part(rows, "size")
    names = about["names"]
    shared = [
        f"{MANY} fits of 4 units: " + ", ".join(f"{name} {s:.1f} s" for name, s in row["s"].items()) + "."
        for row in report.part(rows, "cores")
    ]
    lines = [
        [str(row["u"]), *(f"{row['s'][name]:.3g}" for name in names), *(f"{row['ratio'][n]:.1f}" for n in names[1:])]
        for row in sizes
    ]
    return [
        f"Seconds for a fit of {about['epochs']} epochs, and times as long as cgru; medians, one core of"
        f" {about['machine']}, {about['instructions']}, {about['date']}, commit {about['commit'] or 'unknown'}.",
        "",
        *report.table(["units", *names, *(f"{name} / cgru" for name in names[1:])], lines),
        "",
        *shared,
    ]
