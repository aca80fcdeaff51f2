"""Fits against a training of its own in PyTorch's autograd: pieces, carried states, masks, losses and optimizers.

m samples, s steps, u units. Batches come as the samples stand; all is float64.
"""

from __future__ import annotations

import copy
import math
from dataclasses import replace
from typing import Any

import numpy as np
import torch

import cgru
from fuzz.fit import close
from fuzz.networks import HEADS, Dice, gru, optimizer, randomise, samples

GATES = ("z", "r", "hh")
ACTIVATIONS = {
    "tanh": torch.tanh, "sigmoid": torch.sigmoid, "elu": torch.nn.functional.elu,
    "lrelu": lambda x: torch.nn.functional.leaky_relu(x, 0.3),
}  # fmt: skip
TOLERANCE = 1e-6


def case(seed: int) -> str:
    """Fit a stack of random recurrent layers in both ways, and compare; return how states go from piece to piece."""
    dice = Dice(seed)
    mode, per_step, depth = dice.among("whole", "truncate", "stateful"), dice.chance(), dice.number(1, 3)
    layers = [gru(dice, mode, per_step or i < depth - 1) for i in range(depth)]
    for layer in layers:
        for cell in layer.cells:
            cell.clip_gradients = False
    loss = dice.among(*HEADS)
    activate, outputs = HEADS[loss]
    head = cgru.Dense(dice.number(2, 4) if activate == "softmax" else outputs * dice.number(1, 2), activate)
    net = cgru.Network([*layers, head], loss, optimizer(dice), dice.number(0, 99))
    if isinstance(net.optimizer.schedule, cgru.optimizers.Plateau):
        net.optimizer = replace(net.optimizer, schedule="cosine")
    size, s = dice.number(1, 6), dice.number(1, 9)
    m = size * dice.number(1, 4) + (mode != "stateful" and dice.number(0, 2))
    X, y, beside = samples(dice, net, m, s, dice.number(1, 5), size)
    net.make(X)
    randomise(net, dice)
    options = {
        "epochs": dice.number(1, 3), "batch_size": size, "shuffle": False, "standardize": dice.chance(0.3),
        "average": dice.among(None, 0.6), "penalties": cgru.Penalties(l2=dice.among(0.0, 1e-2)),
        "truncate": dice.number(1, 4) if mode == "truncate" else None,
    }  # fmt: skip
    if dice.chance(0.3):
        options["validation"] = samples(dice, net, n := dice.number(1, 7), s, X.shape[2], n)
    due = Training(net, X, y, beside, options)
    losses, held = due.fit()
    if not max(np.abs([*losses, *held])) < 1e3:  # also NaN; rounding grows, and updates are left out
        return "diverged"
    if "validation" in options:
        HX, Hy, own = options["validation"]
        options["validation"] = (HX, Hy, None, own.get("sample_weight"))
    history = net.fit(X, y, **beside, **options)
    close(np.array(history.loss), np.array(losses), TOLERANCE, "loss")
    if held:
        close(np.array(history.validation_loss), np.array(held), TOLERANCE, "validation loss")
    for key, array in net.parameters().items():
        close(array, due.best[key].numpy(), TOLERANCE, key)
    return mode


class Training:
    """The same fit in PyTorch, on copies of the parameters and of the generators."""

    def __init__(self, net: cgru.Network, X: Any, y: Any, beside: dict[str, Any], options: dict[str, Any]) -> None:
        self.net, self.options, self.state = net, options, {}
        self.p = {key: torch.tensor(array, requires_grad=True) for key, array in net.parameters().items()}
        self.cells = []  # of each layer, (GRU, the beginning of its keys)
        generators: dict[int, Any] = {}
        for i, layer in enumerate(net.layers[:-1]):
            names = ("forward.", "backward.") if isinstance(layer, cgru.Bidirectional) else ("",)
            self.cells.append([(cell, f"{i}.{name}") for cell, name in zip(layer.cells, names, strict=True)])
            for cell in layer.cells:
                generators.setdefault(id(cell.np_rng), copy.deepcopy(cell.np_rng))
        self.generators = generators
        self.data = prepared(net, X, y, beside)
        self.mean, self.scale = 0.0, 1.0
        if options["standardize"]:
            self.mean, self.scale = statistics(*self.data[:4])
        self.updates, self.means = 0, {key: p.detach().clone() for key, p in self.p.items()}

    def fit(self) -> tuple[list[float], list[float]]:
        """Train; return the losses of training and of validation. `best` are the parameters in the end."""
        m, size, epochs = len(self.data[0]), self.options["batch_size"], self.options["epochs"]
        losses, held, batches = [], [], math.ceil(m / size)
        for epoch in range(epochs):
            total = weight = 0.0
            carried: Any = [None] * sum(map(len, self.cells))
            for batch in range(batches):
                rows = np.arange(batch * size, min(m, (batch + 1) * size))
                for done, part in self.batch(rows, carried):
                    loss, w = part
                    total, weight = total + float(loss.detach()) * w, weight + w
                    if w:
                        self.step(loss, (epoch + (batch + done) / batches) / epochs)
            losses.append(total / weight)
            shown = self.means if self.options["average"] else self.p
            if "validation" in self.options:
                with torch.no_grad():
                    kept, self.p = self.p, shown
                    held.append(float(self.score(prepared(self.net, *self.options["validation"]))))
                    self.p = kept
            if not held or held.index(min(held)) == epoch:
                self.best = {key: p.detach().clone() for key, p in shown.items()}
        return losses, held

    def batch(self, rows: np.ndarray, carried: list[Any]) -> Any:
        """Yield (the share of the batch that is done, (loss, weight)) for each update; `carried`: the last states."""
        X, y, lengths, weights, decay = (None if each is None else each[rows] for each in self.data)
        k = self.options["truncate"]
        if k is None:
            stateful = [cell.stateful for layer in self.cells for cell, _ in layer]
            states = [state if own else None for state, own in zip(carried, stateful, strict=True)]
            A, carried[:] = self.run(X, lengths, states, decay)
            yield 0.0, self.loss(A, y, lengths, weights)
            return
        per_step, longest = self.net.per_step, lengths.max()
        ends = lengths if per_step else np.maximum(lengths - k, 0)
        states, at = [None] * len(carried), 0
        while at < ends.max():
            live = np.flatnonzero(ends > at)
            real = np.minimum(ends[live] - at, k)
            here = live, slice(at, at + real.max())
            given = [None if state is None else state[live] for state in states]
            own = None if decay is None else decay[here]
            if per_step:
                A, lasts = self.run(X[here], real, given, own)
                yield at / longest, self.loss(A, y[here], real, weights[here])
            else:
                with torch.no_grad():
                    _, lasts = self.run(X[here], real, given, own)
            states = [joined(state, live, last, len(rows)) for state, last in zip(states, lasts, strict=True)]
            at += k
        if not per_step:  # gradients go back over the last steps of each sample, wherever these stand
            real = lengths - ends
            columns = np.minimum(ends[:, None] + np.arange(real.max()), X.shape[1] - 1)
            here = np.arange(len(rows))[:, None], columns
            starts = [(state, ends == 0) for state in states]
            A, _ = self.run(X[here], real, starts, None if decay is None else decay[here])
            yield 0.0, self.loss(A, y, real, weights)

    def run(self, X: Any, lengths: np.ndarray, states: list[Any], decay: Any, trains: bool = True) -> tuple[Any, list]:
        """Return the outputs of the head before its activation, and the last states, detached."""
        standard = (
            np.where(np.arange(X.shape[1])[None, :, None] < lengths[:, None, None], X, 0) - self.mean
        ) / self.scale
        A, lasts, given = torch.tensor(standard), [], iter(states)
        real = torch.tensor(np.arange(X.shape[1]) < lengths[:, None])[:, :, None]
        for layer, cells in zip(self.net.layers, self.cells, strict=False):
            parts = []
            for cell, key in cells:
                H, last = self.recur(cell, key, A, lengths, next(given), decay, trains)
                parts.append(torch.where(real, H, 0) if cell.sequences else last)
                lasts.append(last.detach())
            A = merged(parts, getattr(layer, "merge", "concat"))
        last = len(self.cells)
        return A @ self.p[f"{last}.W"] + self.p[f"{last}.b"], lasts

    def recur(self, cell: Any, key: str, A: Any, lengths: Any, start: Any, decay: Any, trains: bool) -> tuple[Any, Any]:
        """Return all states (m, s, u) of one GRU, and the last ones.

        `start` are the states before, None, or (the states, which samples begin at the learned one all the same).
        """
        p = {name.removeprefix(key): array for name, array in self.p.items() if name.startswith(key)}
        (m, s, e), u = A.shape, cell.d["u"]
        learned = p["h0"] if "h0" in p else torch.zeros(1, u, dtype=A.dtype)
        if isinstance(start, tuple):
            state, begins = start
            h = learned.expand(m, u)
            if state is not None:
                h = torch.where(torch.tensor(begins)[:, None], h, state)
        else:
            h = learned.expand(m, u) if start is None else start
        masks = {}
        if trains and cell.training:
            rng = self.generators[id(cell.np_rng)]
            for name, shape in (("dropout", (m, e)), ("recurrent_dropout", (3, m, u)), ("zoneout", (m, s, u))):
                if rate := getattr(cell, name):
                    hit = rng.random(shape) < rate
                    masks[name] = torch.tensor(hit * 1.0 if name == "zoneout" else ~hit / (1 - rate))
        elif cell.zoneout:
            masks["zoneout"] = torch.full((m, s, u), cell.zoneout, dtype=A.dtype)
        if "dropout" in masks:
            A = A * masks["dropout"][:, None]
        f, fz, fr = (ACTIVATIONS[cell.activation[name]] for name in ("activate", "activate_update", "activate_reset"))
        normed, after, states = "gU" in p, "chh" in p, [None] * s
        for t in reversed(range(s)) if cell.reverse else range(s):
            hp = h
            if decay is not None:
                g = decay[:, t] if not cell.reverse else np.where(t + 1 < lengths, decay[:, min(t + 1, s - 1)], 1)
                g = torch.tensor(g)[:, None]
                hp = g * h + (1 - g) * learned
            by = dict(zip(("hh", "z", "r"), masks.get("recurrent_dropout", torch.ones(3, 1, 1)) * hp, strict=True))
            a = torch.cat([A[:, t] @ p["U" + gate] for gate in GATES], dim=1)
            b = torch.cat([by[gate] @ p["V" + gate] for gate in GATES], dim=1)
            if normed:
                a, b = p["gU"] * normalised(a), p["gV"] * normalised(b)
            (az, ar, ah), (bz, br, bh) = a.split(u, dim=1), b.split(u, dim=1)
            z, r = fz(az + bz + p["bz"]), fr(ar + br + p["br"])
            inner = r * (bh + p["chh"]) if after else (r * by["hh"]) @ p["Vhh"]
            new = z * hp + (1 - z) * f(ah + p["bhh"] + inner)
            if "zoneout" in masks:
                k = masks["zoneout"][:, t]
                new = k * hp + (1 - k) * new
            states[t] = h = torch.where(torch.tensor(lengths > t)[:, None], new, h)
        return torch.stack(states, dim=1), h

    def loss(
        self, Z: Any, y: np.ndarray, lengths: np.ndarray, weights: np.ndarray, loss: str | None = None
    ) -> tuple[Any, float]:
        """Return the mean of a loss (None: the network's) by the weights, and their sum."""
        if self.net.per_step:
            real = np.arange(Z.shape[1]) < lengths[:, None]
            Z, y, weights = Z[torch.tensor(real)], y[:, : Z.shape[1]][real], weights[:, : Z.shape[1]][real]
        return (torch.tensor(weights) * losses(loss or self.net.loss, Z, y)).sum() / max(
            weights.sum(), 1e-300
        ), weights.sum()

    def score(self, data: tuple[Any, ...]) -> Any:
        """Return the loss of samples in evaluation mode, without smoothing."""
        X, y, lengths, weights, decay = data
        A, _ = self.run(X, lengths, [None] * sum(map(len, self.cells)), decay, trains=False)
        return self.loss(A, y, lengths, weights, self.net.loss.replace("cross_entropy(0.2)", "cross_entropy"))[0]

    def step(self, loss: Any, done: float) -> None:
        """Update the parameters by the gradients of the loss."""
        o = self.net.optimizer
        keys, arrays = list(self.p), list(self.p.values())
        found = torch.autograd.grad(loss, arrays, allow_unused=True)
        g = {key: torch.zeros_like(p) if d is None else d for key, p, d in zip(keys, arrays, found, strict=True)}
        rate = o.learning_rate * (1.0 if o.schedule is None else o.schedule(done))
        with torch.no_grad():
            for key, p in self.p.items():
                if is_matrix(key):
                    g[key] = g[key] + 2 * self.options["penalties"].l2 * p
            norm = math.sqrt(sum(float((d * d).sum()) for d in g.values()))
            factor = 1.0 if o.clip_norm is None or norm <= o.clip_norm else o.clip_norm / norm
            self.updates += 1
            for key, p in self.p.items():
                v, w = self.state.get(key, (torch.zeros_like(p), torch.zeros_like(p)))
                d, n = factor * g[key], self.updates
                if is_matrix(key):
                    p *= 1 - rate * getattr(o, "weight_decay", 0.0)
                if isinstance(o, cgru.SGD):
                    v = o.momentum * v + d
                    p -= rate * (d + o.momentum * v if o.nesterov else v)
                elif isinstance(o, cgru.Adam):
                    v, w = o.beta_1 * v + (1 - o.beta_1) * d, o.beta_2 * w + (1 - o.beta_2) * d * d
                    root = (w / (1 - o.beta_2**n)).sqrt() + o.epsilon
                    p -= rate * v / (1 - o.beta_1**n) / root
                elif isinstance(o, cgru.Adagrad):
                    w = w + d * d
                    v = o.momentum * v + d / (w + o.epsilon).sqrt()
                    p -= rate * v
                else:
                    w = o.rho * w + (1 - o.rho) * d * d
                    v = o.momentum * v + d / (w.sqrt() + o.epsilon)
                    p -= rate * v
                self.state[key] = v, w
                if self.options["average"]:
                    share = min(self.options["average"], n / (n + 9))
                    self.means[key] = share * self.means[key] + (1 - share) * p


def statistics(X: np.ndarray, y: Any, lengths: np.ndarray, weights: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the weighted mean and deviation of each feature over the real steps; 1 for a deviation of nothing."""
    real = np.arange(X.shape[1]) < lengths[:, None]
    w = np.broadcast_to(weights if weights.ndim == 2 else weights[:, None], real.shape)[real]
    mean = np.average(X[real], axis=0, weights=w)
    scale = np.sqrt(np.average((X[real] - mean) ** 2, axis=0, weights=w))
    return mean, np.where(scale > 1e-12, scale, 1)


def is_matrix(key: str) -> bool:
    """Return whether penalties and weight decay are for the parameter of this key."""
    return key.rpartition(".")[2][0].isupper()


def prepared(net: cgru.Network, X: Any, y: Any, beside: dict[str, Any]) -> tuple[Any, ...]:
    """Return X, y, lengths, weights and factors, as arrays where there are none."""
    m, s = X.shape[:2]
    lengths = np.full(m, s) if X.lengths is None else X.lengths
    weights = beside.get("sample_weight")
    weights = np.ones(m) if weights is None else weights
    if net.per_step and weights.ndim == 1:
        weights = np.repeat(weights[:, None], s, axis=1)
    decay = X.decay if X.resets is None else ~X.resets + 0.0
    return X.X, y, lengths, weights, decay


def joined(state: Any, live: np.ndarray, last: Any, m: int) -> Any:
    """Return the states of all m samples, of which those that are `live` have just run."""
    whole = torch.zeros(m, last.shape[1], dtype=last.dtype) if state is None else state.clone()
    whole[live] = last
    return whole


def normalised(a: Any) -> Any:
    """Return rows of mean 0 and variance 1."""
    a = a - a.mean(dim=1, keepdim=True)
    return a / torch.sqrt((a * a).mean(dim=1, keepdim=True) + 1e-5)


def merged(parts: list[Any], merge: str) -> Any:
    """Return the outputs of both directions as one."""
    if len(parts) == 1 or merge == "concat":
        return torch.cat(parts, dim=-1)
    one, other = parts
    return {"sum": one + other, "mean": (one + other) / 2, "mul": one * other}[merge]


def losses(name: str, Z: Any, y: np.ndarray) -> Any:
    """Return the loss of each row of Z (n, k), before the head's activation."""
    kind, _, given = name.partition("(")
    numbers = [float(each) for each in given.rstrip(")").split(",")] if given else []
    if kind == "cross_entropy":
        k, smoothing = Z.shape[1], numbers[0] if numbers else 0.0
        hot = (np.eye(k)[y] if y.ndim == 1 else y) * (1 - smoothing) + smoothing / k
        return -(torch.tensor(hot) * torch.log_softmax(Z, dim=1)).sum(dim=1)
    Y = torch.tensor(np.asarray(y, float))
    f = torch.nn.functional
    if kind == "binary_cross_entropy":
        return f.binary_cross_entropy_with_logits(Z, Y, reduction="none").mean(dim=1)
    if kind == "quantile":
        apart = Y[:, :, None] - Z.reshape(len(Z), -1, len(numbers))
        q = torch.tensor(numbers)
        return torch.maximum(q * apart, (q - 1) * apart).mean(dim=(1, 2))
    if kind == "gaussian":
        return f.gaussian_nll_loss(Z[:, ::2], Y, torch.exp(Z[:, 1::2]), reduction="none", eps=0).mean(dim=1)
    own = {
        "mean_squared_error": lambda: f.mse_loss(Z, Y, reduction="none"),
        "huber": lambda: f.huber_loss(Z, Y, reduction="none", delta=numbers[0]),
        "poisson": lambda: f.poisson_nll_loss(Z, Y, reduction="none"),
    }
    return own[kind]().mean(dim=1)
