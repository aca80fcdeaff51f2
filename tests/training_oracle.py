"""A training in plain NumPy, an oracle for `Network.fit`: batches, pieces, states, masks, losses and optimizers.

Its own are which states are carried where, what a piece is, what is averaged, clipped and updated. One GRU over one
piece is that of cgru/reference.py, the definition of the layer. Batches come as the samples stand.

m samples, s steps, e features of a step, u units.
"""

import copy
import math

import numpy as np

import cgru
from cgru import reference

MASKS = ("input_mask", "recurrent_masks", "zoneout")  # in the order in which they are drawn


class Cell:
    """One GRU of a network: copies of its parameters and of its generator."""

    def __init__(self, gru, key, generators):
        self.gru, self.key = gru, key
        self.p = {name: array.copy() for name, array in gru.p.items()}
        self.rng = generators.setdefault(id(gru.np_rng), copy.deepcopy(gru.np_rng))
        variant = gru.variant
        names = ("reset_after", "layer_norm", "learn_h0")
        self.options = {name: getattr(variant, name) for name in names} | {"reverse": gru.reverse}
        self.carried = None  # (m, u) after the last run, of all samples of a batch

    def start(self, m):
        """The states (m, u) of samples before which nothing was."""
        return np.zeros((m, self.gru.d["u"])) + self.p.get("h0", 0)

    def draw(self, m, s, e):
        u = self.gru.d["u"]
        shapes = dict(zip(MASKS, ((m, e), (3, m, u), (m, s, u)), strict=True))
        rates = dict(zip(MASKS, (self.gru.dropout, self.gru.recurrent_dropout, self.gru.zoneout), strict=True))
        found = {}
        for name, rate in rates.items():
            if rate:
                hit = self.rng.random(shapes[name]) < rate
                found[name] = hit * 1.0 if name == "zoneout" else ~hit / (1 - rate)
        return found

    def forward(self, A, lengths, h0, begins, decay=None):
        """`begins` (m,): which samples start at the learned state."""
        options = self.options | self.draw(*A.shape)
        if decay is not None:
            options["decay"] = np.where(reference.mask(lengths, A.shape[1]), decay[:, :, None], 1)
        fc = reference.forward(self.p, A, h0, lengths, **options)
        self.cache = fc, lengths, options, begins
        last = fc["h"][:, 0 if self.gru.reverse else -1]
        real = reference.mask(lengths, A.shape[1])
        return (np.where(real, fc["h"], 0) if self.gru.sequences else last), last

    def backward(self, dA):
        fc, lengths, options, begins = self.cache
        dstate = None
        if not self.gru.sequences:
            dA, dstate = np.zeros_like(fc["h"]), dA
        bc = reference.backward(self.p, fc, dA, lengths, dstate=dstate, **options)
        g = reference.gradients(self.p, fc, bc, lengths, begins=begins, **options)
        return bc["dX"], {f"{self.key}.{name}": g["d" + name] for name in self.p}


class Elementwise:
    """A `Scale`, `LayerNorm`, `Clip` or `Activation` of a network; a copy of its parameters.

    What stands at padded steps is zero.
    """

    def __init__(self, layer, key):
        self.layer, self.key = layer, key
        self.p = {name: array.copy() for name, array in layer.p.items()}

    def forward(self, X):
        layer = self.layer
        if isinstance(layer, cgru.LayerNorm):
            self.deviation = np.sqrt(X.var(axis=-1, keepdims=True) + layer.eps)
            X = (X - X.mean(axis=-1, keepdims=True)) / self.deviation
        self.X = X
        if isinstance(layer, cgru.Scale):
            return X * self.p["scale"] + self.p["shift"]
        return np.tanh(X) if isinstance(layer, cgru.Activation) else np.clip(X, layer.low, layer.high)

    def backward(self, dA):
        X, layer = self.X, self.layer
        if isinstance(layer, cgru.Scale):
            sums = tuple(range(dA.ndim - 1))
            g = {"scale": (dA * X).sum(axis=sums), "shift": dA.sum(axis=sums)}
            dX = dA * self.p["scale"]
            if isinstance(layer, cgru.LayerNorm):
                n = X.shape[-1]
                J = np.eye(n) - 1 / n - X[..., :, None] * X[..., None, :] / n  # by the Jacobian of each step
                dX = (J @ dX[..., None])[..., 0] / self.deviation
            return dX, {f"{self.key}.{name}": value for name, value in g.items()}
        if isinstance(layer, cgru.Activation):
            return dA * (1 - np.tanh(X) ** 2), {}
        return dA * ((layer.low <= X) & (layer.high >= X)), {}


class Frames:
    """A `Frames` of a network, sample by sample."""

    def __init__(self, layer):
        self.layer = layer

    def places(self, steps):
        """The steps of each frame of a sample, of which some may be no steps of it."""
        hop, pad, d = self.layer.hop, self.layer.pad, self.layer.dilation
        span = 1 + (self.layer.length - 1) * d
        before, after = (0, 0) if isinstance(pad, bool) else pad
        begins = [*range(-before, steps + after - span + 1, hop)]
        if pad is True:
            begins = [0]
            while begins[-1] + span < steps and begins[-1] + hop < steps:
                begins.append(begins[-1] + hop)
        return [range(b, b + span, d) for b in begins]

    def forward(self, X, real):
        m, s, n = X.shape
        self.shape, self.real = X.shape, real
        A = np.zeros((m, len(self.places(s)), self.layer.length * n))
        for i in range(m):
            for j, steps in enumerate(self.places(real[i])):
                A[i, j] = np.concatenate([X[i, t] if 0 <= t < real[i] else np.zeros(n) for t in steps])
        return A, np.array([len(self.places(each)) for each in real])

    def backward(self, dA):
        dX = np.zeros(self.shape)
        for i, real in enumerate(self.real):
            for j, steps in enumerate(self.places(real)):
                for t, part in zip(steps, np.split(dA[i, j], len(steps)), strict=True):
                    if 0 <= t < real:
                        dX[i, t] += part
        return dX, {}


class Along:
    """A `Normalize` or a `Difference` of a network, sample by sample and feature by feature, by Jacobians."""

    def __init__(self, layer):
        self.layer = layer

    def parts(self, x):
        """What stands side by side for one feature x (s,), and of each its Jacobian (s, s)."""
        s = len(x)
        if isinstance(self.layer, cgru.Difference):
            before = np.eye(s) - np.eye(s, k=-1)
            before[0] = 0
            return [x, before @ x][not self.layer.keep :], [np.eye(s), before][not self.layer.keep :]
        mean, deviation, same = x.mean(), x.std(), np.full((s, s), 1 / s)
        if np.ptp(x) <= 4 * np.finfo(float).eps * np.abs(x).max():
            parts, jacobians = [0 * x, 0 * x, x], [0 * same, 0 * same, same]
        else:
            z = (x - mean) / deviation
            parts = [z, np.full(s, np.log(deviation)), np.full(s, mean)]
            along = np.tile(z, (s, 1)) / s / deviation
            jacobians = [(np.eye(s) - same - np.outer(z, z) / s) / deviation, along, same]
        return parts[: self.layer.parts], jacobians[: self.layer.parts]

    def forward(self, X, real):
        m, s, n = X.shape
        self.shape, A = X.shape, np.zeros((m, s, self.layer.parts * n))
        self.jacobians = {}
        for i, c in np.ndindex(m, n):
            parts, self.jacobians[i, c] = self.parts(X[i, : real[i], c])
            A[i, : real[i], c::n] = np.stack(parts, axis=1)
        return A, real

    def backward(self, dA):
        dX, n = np.zeros(self.shape), self.shape[2]
        for (i, c), jacobians in self.jacobians.items():
            s = len(jacobians[0])
            dX[i, :s, c] = sum(J.T @ d for J, d in zip(jacobians, dA[i, :s, c::n].T, strict=True))
        return dX, {}


class Pool:
    """A `Pool` of the mean and attention of a network, sample by sample; a copy of its parameters."""

    def __init__(self, layer, key):
        self.key = key
        self.p = {name: array.copy() for name, array in layer.p.items()}

    def forward(self, X, real):
        self.shape, self.samples, A = X.shape, [x[:steps] for x, steps in zip(X, real, strict=True)], []
        self.hidden, self.weights = [], []
        for x in self.samples:
            H = np.tanh(x @ self.p["W"] + self.p["b"])
            e = np.exp(H @ self.p["V"])[:, 0]
            self.hidden.append(H)
            self.weights.append(e / e.sum())
            A.append(np.concatenate([x.mean(axis=0), self.weights[-1] @ x]))
        return np.array(A)

    def backward(self, dA):
        dX, g = np.zeros(self.shape), {name: np.zeros(array.shape) for name, array in self.p.items()}
        for i, (x, H, a) in enumerate(zip(self.samples, self.hidden, self.weights, strict=True)):
            mean, d = np.split(dA[i], 2)
            de = (np.diag(a) - np.outer(a, a)) @ (x @ d)  # by the Jacobian of softmax
            dZ = np.outer(de, self.p["V"]) * (1 - H * H)
            dX[i, : len(x)] = mean / len(x) + np.outer(a, d) + dZ @ self.p["W"].T
            g = {"W": g["W"] + x.T @ dZ, "b": g["b"] + dZ.sum(axis=0), "V": g["V"] + H.T @ de[:, None]}
        return dX, {f"{self.key}.{name}": value for name, value in g.items()}


class Oracle:
    """The parameters of `net`, by its keys, in training; see `fit`."""

    def __init__(self, net):
        self.net, generators = net, {}
        self.stages = []  # the cells of each layer below the head
        for i, layer in enumerate(net.layers[:-1]):
            if isinstance(layer, cgru.Frames | cgru.Normalize | cgru.Difference):
                self.stages.append((Frames if isinstance(layer, cgru.Frames) else Along)(layer))
                continue
            if isinstance(layer, cgru.Pool):
                self.stages.append(Pool(layer, f"{i}"))
                continue
            if not layer.cells:
                self.stages.append(Elementwise(layer, f"{i}"))
                continue
            names = ("forward", "backward") if isinstance(layer, cgru.Bidirectional) else ("",)
            keys = [f"{i}.{name}".rstrip(".") for name in names]
            self.stages.append([Cell(gru, key, generators) for gru, key in zip(layer.cells, keys, strict=True)])
        self.head = {name: array.copy() for name, array in net.head.p.items()}
        self.state = {}
        self.average, self.updates = None, 0

    @property
    def cells(self):
        return [cell for stage in self.stages if isinstance(stage, list) for cell in stage]

    def parameters(self):
        others = [stage for stage in self.stages if isinstance(stage, Elementwise | Pool)]
        found = {f"{own.key}.{name}": array for own in (*self.cells, *others) for name, array in own.p.items()}
        return found | {f"{len(self.stages)}.{name}": array for name, array in self.head.items()}

    def shown(self):
        """The parameters that the network has after the fit."""
        return self.parameters() if self.average is None else self.means

    # --- the course of a fit ---

    def fit(self, X, y, lengths, weights, epochs, batch_size, truncate, average=None, decay=None):
        """The mean loss of each epoch, before each update."""
        self.decay = decay
        self.average, self.means = average, {key: array.copy() for key, array in self.parameters().items()}
        batches, losses = math.ceil(len(X) / batch_size), []
        for epoch in range(epochs):
            for cell in self.cells:
                cell.carried = None
            total = weight = 0.0
            for batch in range(batches):
                rows = np.arange(batch * batch_size, min(len(X), (batch + 1) * batch_size))
                longest = (lengths[rows] if truncate is None else self._whole(lengths[rows])).max()
                for own, at, real, starts, begins in self._pieces(rows, lengths, X.shape[1], truncate):
                    done = (epoch + (batch + (at / longest if self.net.per_step else 0)) / batches) / epochs
                    loss, counted = self._update(X, y, weights, own, at, real, starts, begins, done)
                    total, weight = total + loss * counted, weight + counted
            losses.append(total / weight)
        return losses

    def _pieces(self, rows, lengths, s, truncate):
        """What gets an update each: samples, the first step, the real steps, the states before, and which begin."""
        if truncate is None:
            starts = [cell.carried if cell.gru.stateful else None for cell in self.cells]
            begins = [np.full(len(rows), start is None) for start in starts]
            starts = [
                cell.start(len(rows)) if start is None else start
                for cell, start in zip(self.cells, starts, strict=True)
            ]
            lasts = yield from self._run(rows, np.zeros(len(rows), int), lengths[rows], s, starts, begins)
            for cell, last in zip(self.cells, lasts, strict=True):
                cell.carried = last
            return
        states, steps = [cell.start(len(rows)) for cell in self.cells], self._whole(lengths[rows])
        at, ends = 0, steps
        if held := not self.net.per_step:  # some steps are kept for the end, as many whole frames as truncate has
            ends = -(-np.maximum(steps - truncate, 0) // self.stride) * self.stride
        while at < ends.max():
            live = np.flatnonzero(ends > at)
            real = np.minimum(ends[live] - at, truncate)
            given = [state[live] for state in states], [np.full(len(live), at == 0)] * len(states)
            if held:
                here = rows[live], slice(at, at + real.max())
                lasts = self._forward(self.X[here], real, *given, None if self.decay is None else self.decay[here])[1]
            else:
                lasts = yield from self._run(rows[live], np.full(len(live), at), real, real.max(), *given)
            for state, last in zip(states, lasts, strict=True):
                state[live] = last
            at += truncate
        if held:
            real = steps - ends
            yield from self._run(rows, ends, real, real.max(), states, [ends == 0] * len(states))

    @property
    def stride(self):
        """Steps of a sample for one of the outputs, with `truncate`."""
        return math.prod(stage.layer.length for stage in self.stages if isinstance(stage, Frames))

    def _whole(self, lengths):
        """Lengths without the steps that no frame has."""
        frames, used = [stage for stage in self.stages if isinstance(stage, Frames)], []
        for steps in lengths:
            count = steps
            for stage in frames:
                count = len(stage.places(count))
            used.append(min(steps, count * self.stride))
        return np.array(used)

    def _run(self, rows, first, real, s, starts, begins):
        """Hand out a piece, and return what the states after it are."""
        self.lasts = None
        yield rows, int(first[0]) if self.net.per_step else first, (real, s), starts, begins
        return self.lasts

    # --- an update ---

    def _forward(self, A, real, starts, begins, decay=None):
        lasts, given = [], iter(zip(starts, begins, strict=True))
        for stage in self.stages:
            outputs = []
            if isinstance(stage, Elementwise):
                A = stage.forward(A)
                continue
            if isinstance(stage, Frames | Along):
                A, real = stage.forward(A, real)
                continue
            if isinstance(stage, Pool):
                A = stage.forward(A, real)
                continue
            for cell in stage:
                start, begin = next(given)
                out, last = cell.forward(A, real, start, begin, decay)
                outputs.append(out)
                lasts.append(last)
            A = np.concatenate(outputs, axis=-1)
        self.outputs = real
        return A, lasts

    def _update(self, X, y, weights, rows, at, piece, starts, begins, done):
        real, s = piece
        columns = np.minimum(np.reshape(at, (-1, 1)) + np.arange(s), X.shape[1] - 1)
        here = rows[:, None], columns
        A, self.lasts = self._forward(X[here], real, starts, begins, None if self.decay is None else self.decay[here])
        if self.net.per_step:
            there = np.arange(A.shape[1]) < self.outputs[:, None]
            columns = np.minimum(at // self.stride + np.arange(A.shape[1]), y.shape[1] - 1)[None]
            Y, w = y[rows[:, None], columns][there], weights[rows[:, None], columns][there]
        else:
            there, Y, w = slice(None), y[rows], weights[rows]
        if not w.sum():
            return 0.0, 0.0
        Z = A[there] @ self.head["W"] + self.head["b"]
        share = (w / w.sum())[:, None]
        if self.net.loss.startswith("cross_entropy"):
            log = Z - Z.max(axis=1, keepdims=True)
            log = log - np.log(np.exp(log).sum(axis=1, keepdims=True))
            smoothing = float(self.net.loss.partition("(")[2].rstrip(")") or 0)
            hot = np.eye(Z.shape[1])[Y] * (1 - smoothing) + smoothing / Z.shape[1]
            loss, dZ = -(share * hot * log).sum(), share * (np.exp(log) - hot)
        else:
            loss, dZ = (share * np.square(Z - Y)).sum() / Z.shape[1], 2 * share * (Z - Y) / Z.shape[1]
        last = len(self.stages)
        g = {f"{last}.W": A[there].T @ dZ, f"{last}.b": dZ.sum(axis=0, keepdims=True)}
        dA = np.zeros(A.shape)
        dA[there] = dZ @ self.head["W"].T
        for stage in reversed(self.stages):
            if not isinstance(stage, list):
                dA, own = stage.backward(dA)
                g |= own
                continue
            parts = np.split(dA, len(stage), axis=-1)
            dA = 0.0
            for cell, part in zip(stage, parts, strict=True):
                dX, own = cell.backward(part)
                dA, g = dA + dX, g | own
        self._step(g, done)
        self._follow()
        return loss, w.sum()

    def _follow(self):
        """Let the exponential mean follow the parameters."""
        self.updates += 1
        if self.average is not None:
            d = min(self.average, self.updates / (self.updates + 9))
            self.means = {key: d * self.means[key] + (1 - d) * array for key, array in self.parameters().items()}

    def _step(self, g, done):
        """Update all parameters in place."""
        optimizer = self.net.optimizer
        rate = optimizer.learning_rate * (1.0 if optimizer.schedule is None else optimizer.schedule(done))
        norm = math.sqrt(sum(np.square(each).sum() for each in g.values()))
        factor = 1.0 if optimizer.clip_norm is None else min(1.0, optimizer.clip_norm / norm)
        for key, p in self.parameters().items():
            own = self.state.setdefault(key, {"t": 0, "v": np.zeros_like(p), "w": np.zeros_like(p)})
            own["t"] += 1
            d = factor * g[key].reshape(p.shape)
            if key.rpartition(".")[2][0].isupper():
                p *= 1 - rate * getattr(optimizer, "weight_decay", 0.0)
            if isinstance(optimizer, cgru.SGD):
                own["v"] = optimizer.momentum * own["v"] + d
                p -= rate * (d + optimizer.momentum * own["v"] if optimizer.nesterov else own["v"])
            elif isinstance(optimizer, cgru.Adam):
                b, c = optimizer.beta_1, optimizer.beta_2
                own["v"], own["w"] = b * own["v"] + (1 - b) * d, c * own["w"] + (1 - c) * d * d
                mean, square = own["v"] / (1 - b ** own["t"]), own["w"] / (1 - c ** own["t"])
                p -= rate * mean / (np.sqrt(square) + optimizer.epsilon)
            elif isinstance(optimizer, cgru.Adagrad):
                own["w"] = own["w"] + d * d
                own["v"] = optimizer.momentum * own["v"] + d / np.sqrt(own["w"] + optimizer.epsilon)
                p -= rate * own["v"]
            else:
                own["w"] = optimizer.rho * own["w"] + (1 - optimizer.rho) * d * d
                own["v"] = optimizer.momentum * own["v"] + d / (np.sqrt(own["w"]) + optimizer.epsilon)
                p -= rate * own["v"]
