"""The updates of examples/recommender.py, and the same in PyTorch, from the same weights and draws.

All losses are compared first. Both run on one core, in float32.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from statistics import median
from typing import Any

import numpy as np

import cgru
from benchmarks import machine, report
from benchmarks.timing import ratios, round_robin
from benchmarks.workloads import example as example_of

example = example_of("recommender")

ITEMS, EVENTS = 40_000, 500_000
# Batch and units as those who published the method set them for three data sets; then our loss, and what is dropped.
SETTINGS = {
    "rsc15": (32, 100, "sampled", True, 0.0, 0.4),
    "retailrocket": (80, 224, "bpr_max", True, 0.5, 0.05),
    "rees46": (240, 512, "sampled", True, 0.45, 0.0),
}
UPDATES, ROUNDS = {True: (20, 8, 4), False: (200, 60, 20)}, {True: 3, False: 7}
NEEDS, INSTALL = ("torch",), 'pip install "torch<=2.13"'
COMPARED, TOLERANCE = 20, 1e-4  # updates, and the largest relative difference of a loss


class Rival:
    """The model of the example in PyTorch, with its weights. The gradients of rows are summed before a step."""

    def __init__(self, model: Any) -> None:
        import torch

        torch.set_num_threads(1)
        self.torch, self.model = torch, model
        self.cell, u = torch.nn.GRUCell(*[model.h.shape[1]] * 2), model.h.shape[1]
        layer = cgru.interop.to_torch([model.gru])
        for name in ("weight_ih", "weight_hh", "bias_ih", "bias_hh"):
            getattr(self.cell, name).data = getattr(layer, f"{name}_l0").data.clone()
        # Its second biases of r and z stay zero: cgru has but one.
        self.only_n = (torch.arange(3 * u) >= 2 * u).float()
        self.W = torch.tensor(model.head.p["W"])
        self.E = self.W if model.shared else torch.tensor(model.embedding.p["E"])
        self.b, self.h = torch.tensor(model.head.p["b"][:, None]), torch.zeros(model.h.shape)
        self.log_q, self.diagonal = torch.tensor(model.log_q), torch.arange(len(model.h))
        self.state: dict = {}

    def loss(self, scores, chosen):
        """The loss of scores; see `cgru.losses.sampled` and `bpr_max`."""
        F, m = self.torch.nn.functional, len(scores)
        if self.model.loss == "sampled":
            return F.cross_entropy(scores - self.log_q[chosen], self.diagonal)
        o = F.elu(scores)
        s = o.masked_fill(self.torch.eye(m, scores.shape[1], dtype=bool), -self.torch.inf).softmax(dim=1)
        ahead = self.torch.sigmoid(o.diagonal()[:, None] - o)
        return ((s * o * o).sum(dim=1) - ((s * ahead).sum(dim=1)).log()).mean()

    def update(self, x, y, begins, negatives, masks=(None, None)):
        """As `update` of the example."""
        torch = self.torch
        x, chosen = torch.from_numpy(x), torch.from_numpy(np.concatenate([y, negatives]))
        masks = [None if mask is None else torch.from_numpy(mask) for mask in masks]
        self.h[torch.from_numpy(begins)] = 0
        E, W, b = (a.index_select(0, i).requires_grad_() for a, i in ((self.E, x), (self.W, chosen), (self.b, chosen)))
        h = self.cell(E if masks[0] is None else E * masks[0], self.h)
        h = h if masks[1] is None else h * masks[1]
        loss = self.loss(torch.addmm(b.T, h, W.T), chosen)
        loss.backward()
        self.h = h.detach()
        with torch.no_grad():
            self.cell.bias_hh.grad *= self.only_n
            parameters = [*self.cell.parameters()]
            self.step(parameters, [p.grad for p in parameters], "cell")
            for p in parameters:
                p.grad = None
            if self.E is self.W:
                self.step_rows(self.W, torch.cat([chosen, x]), torch.cat([W.grad, E.grad]), "W")
            else:
                self.step_rows(self.W, chosen, W.grad, "W")
                self.step_rows(self.E, x, E.grad, "E")
            self.step_rows(self.b, chosen, b.grad, "b")
        return loss.item()

    def step(self, parameters, gradients, name, rows=None):
        """A step of Adagrad with momentum on arrays, all at once."""
        optimizer, each = self.model.optimizer, self.torch
        if name not in self.state:
            self.state[name] = [[each.zeros_like(p) for p in parameters] for _ in range(2)]
        squares, v = self.state[name]
        each._foreach_addcmul_(squares, gradients, gradients)
        roots = each._foreach_add(squares, optimizer.epsilon)
        each._foreach_sqrt_(roots)
        each._foreach_mul_(v, optimizer.momentum)
        each._foreach_addcdiv_(v, gradients, roots)
        each._foreach_add_(parameters, v, alpha=-optimizer.learning_rate)

    def step_rows(self, p, rows, gradients, name):
        """The same on the rows that have gradients."""
        torch, optimizer = self.torch, self.model.optimizer
        if name not in self.state:
            self.state[name] = [torch.zeros_like(p), torch.zeros_like(p)]
        rows, place = rows.unique(return_inverse=True)
        g = torch.zeros(len(rows), p.shape[1]).index_add_(0, place, gradients)
        squares, v = (a.index_select(0, rows) for a in self.state[name])
        squares.addcmul_(g, g)
        v.mul_(optimizer.momentum).addcdiv_(g, (squares + optimizer.epsilon).sqrt_())
        self.state[name][0].index_copy_(0, rows, squares)
        self.state[name][1].index_copy_(0, rows, v)
        p.index_add_(0, rows, v, alpha=-optimizer.learning_rate)


def prepared(name: str, count: int):
    """The example's model at a setting, and the arguments of `count` updates, which begin anew at the first."""
    batch, units, loss, shared, *rates = SETTINGS[name]
    found, starts = example.simulate(ITEMS, EVENTS)
    counts = np.bincount(found, minlength=ITEMS)
    model = example.Recommender(ITEMS, counts, units, batch, 0.05, 0.2, loss, shared, *rates)
    x, y, begins = example.side_by_side(found, starts, batch)
    return model, [
        (*each, model.masks()) for each in zip(x[:count], y[:count], begins[:count], model.draw(count), strict=True)
    ]


def rows(quick: bool) -> Iterator[dict]:
    """What is measured, on what; then a row for each setting. RuntimeError: the losses differ."""
    cgru.set_num_threads(1)
    yield {"part": "about", **machine.here()}
    for name, count in zip(SETTINGS, UPDATES[quick], strict=True):
        model, updates = prepared(name, max(count, COMPARED))
        rival = Rival(model)
        for each in updates[:COMPARED]:
            ours, theirs = model.update(*each), rival.update(*each)
            if not abs(theirs / ours - 1) <= TOLERANCE:
                raise RuntimeError(f"{name}: the losses of an update differ, {ours} in cgru and {theirs} in PyTorch")

        def run(update, updates=updates[:count]):
            for each in updates:
                update(*each)

        times = round_robin(
            {"cgru": partial(run, model.update), "PyTorch": partial(run, rival.update)}, 1, ROUNDS[quick]
        )
        each = {key: [ms / count for ms in times[key]] for key in times}
        yield {
            "part": "setting", "name": name, "ms": {k: median(v) for k, v in each.items()},
            "ratio": ratios(each, "cgru")["PyTorch"],
        }  # fmt: skip


def bars(rows: list[dict]) -> dict[str, float]:
    """What `picture.draw` takes."""
    return {
        f"PyTorch: batch {SETTINGS[row['name']][0]}, {SETTINGS[row['name']][1]} units": row["ratio"] for row in rows[1:]
    }


def text(rows: list[dict]) -> list[str]:
    about, *settings = rows
    lines = [
        [row["name"], *map(str, SETTINGS[row["name"]][:3]), *(f"{ms:.2f}" for ms in row["ms"].values()),
         f"{row['ratio']:.1f}"] for row in settings
    ]  # fmt: skip
    return [
        f"Milliseconds for an update with {example.NEGATIVES} negatives of {ITEMS:,} items; medians, one core of"
        f" {about['machine']}, {about['instructions']}, {about['date']}, commit {about['commit'] or 'unknown'}.",
        "",
        *report.table(["setting", "batch", "units", "loss", "cgru", "PyTorch", "PyTorch / cgru"], lines),
    ]
