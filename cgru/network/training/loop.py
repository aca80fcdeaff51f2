"""The updates of a fit in Python: where a layer, callable, mask or optimizer of the user's own stands in a network.

m samples, s steps, k outputs. The passes of a batch are held here, one for each layer.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np

from cgru import losses
from cgru.layers.layer import Layer
from cgru.network import chain
from cgru.network.data.training_data import Data
from cgru.network.history import LEFT_OUT_IN_A_ROW, Updates
from cgru.network.model import Model
from cgru.network.training.penalties import penalty
from cgru.network.training.updater import OF_FIT, Parts, Updater
from cgru.optimizers import slowed
from cgru.passes import Pass

__all__ = ["Kept", "Loop", "scores"]

Arrays = dict[str, np.ndarray]
States = dict[int, np.ndarray]  # of the recurrent layers, by index, (m, u)


@dataclass
class Kept:
    """What the parameters of a model and the state of its optimizer were at one time."""

    model: Model
    parameters: Arrays
    optimizer_state: dict[str, Any]

    @classmethod
    def of(cls, model: Model) -> Kept:
        """As they are now."""
        parameters = {key: array.copy() for key, array in model.parameters().items()}
        return cls(model, parameters, copy.deepcopy(model.carried))

    def restore(self) -> None:
        """Put them back into the model."""
        self.model.carried = copy.deepcopy(self.optimizer_state)  # which steps change in place
        for key, array in self.model.parameters().items():
            array[...] = self.parameters[key]


@dataclass
class Piece:
    """Some steps of a batch.

    `states` are those of all its samples before these steps, None: each layer knows; these are its `rows`, of which
    those that `begins` says, all, none or by a mask, go on from nothing.
    """

    data: Data
    states: States | None = None
    rows: np.ndarray | None = None
    begins: np.ndarray | bool = False


class Loop(Updater):
    """The updates in Python. They are made in the model's own arrays, and each looks at the model anew."""

    def __init__(self, model: Model, *how: Any) -> None:
        super().__init__(model, *how)
        self.row = 0
        # With `average`, within an epoch: how many updates a parameter had, and its mean, by its key.
        self.means: dict[str, tuple[int, np.ndarray]] = {}
        self.left: dict[str, list[Any]] = {}  # after an epoch: of each its updates, itself and its mean
        self.keep()

    def epoch(self, parts: Parts, row: int = 0) -> Updates:
        """Make an update for each batch of the samples of each part in their order, or each piece of one.

        The last `row` updates before these were left out.
        """
        with self._trained():
            return self._epoch(parts, row)

    @contextmanager
    def _trained(self) -> Iterator[None]:
        """Meanwhile the model has the parameters that are trained, where it shows their mean before and after.

        Numbers that are no longer the mean that was shown begin anew, parameter and mean, as they are.
        """
        model = self.model
        before = model.carried.pop(OF_FIT, self.left)
        if self.settings.average is not None:
            for key, array in _trainable(model).items():
                n, parameter, mean = before.get(key, (0, array, array))
                goes_on = mean.shape == array.shape
                self.means[key] = n if goes_on else 0, array.copy()
                array[...] = np.where(array == mean, parameter, array) if goes_on else array
        try:
            yield
        finally:
            p = model.parameters()
            if self.means:
                self.left = {key: [n, p[key].copy(), mean] for key, (n, mean) in self.means.items()}
                self.leave()
            for key, (_, mean) in self.means.items():
                p[key][...] = mean
            self.means = {}

    def _epoch(self, parts: Parts, row: int) -> Updates:
        model, size, batches = self.model, self.batch_size, 0
        self.skipped, self.row = 0, row
        model.reset_states()
        loss, right, weight = 0.0, 0.0 if losses.classifies(model.loss) else None, 0.0
        for part, order, fractions in parts:
            updates = iter(fractions)
            for start in range(0, len(order), size):
                for piece in self._pieces(part[order[start : start + size]]):
                    value, hits = self._step(piece, next(updates))
                    if not math.isfinite(value) or self.row >= LEFT_OUT_IN_A_ROW:
                        return Updates(value, None, batches)
                    loss, weight = loss + value * piece.data.count, weight + piece.data.count
                    right = None if right is None else right + hits
                batches += 1
        model.reset_states()
        accuracy = None if right is None else right / weight
        return Updates(loss / weight, accuracy, None, self.skipped, self.row)

    def leave(self) -> None:
        """Put what updates carry along, as it is now, into the model."""
        if self.left:
            self.model.carried[OF_FIT] = self.left

    def scores(self) -> tuple[float, float | None]:
        """Return the loss and the accuracy on the samples that were held out."""
        return scores(self.model, self.held_out)[:2]

    def largest(self) -> float:
        """Return the largest magnitude of all parameters, as they are now; NaN where there is one."""
        return float(np.max([np.abs(array).max(initial=0) for array in self.model.parameters().values()]))

    def keep(self) -> None:
        """Keep the parameters and the optimizer's state, as they are now, for `restore`."""
        self.kept = Kept.of(self.model)

    def restore(self) -> None:
        """Put what was kept into the model."""
        self.kept.restore()

    def _pieces(self, batch: Data) -> Iterator[Piece]:
        """What gets an update each."""
        k = self.truncate
        if k is None:
            yield Piece(batch)
            return
        states = {i: _starts(layer, len(batch)) for i, layer in enumerate(self.model.layers) if layer.cells}
        if batch.per_step:
            for at, rows, data in batch.spans(k):
                yield Piece(data, states, rows, at == 0)
            return
        with np.errstate(over="ignore", invalid="ignore"):
            before, last = batch.halves(k)
            for _, rows, data in before.spans(k):
                self._forward(Piece(data, states, rows))
        yield Piece(last, states, np.arange(len(batch)), before.steps == 0)

    def _step(self, piece: Piece, fraction: float) -> tuple[float, float | None]:
        """Update the parameters unless nothing weighs, or loss or gradient are not finite; return loss and hits."""
        model, batch, judge = self.model, piece.data, losses.named(self.model.loss)
        with np.errstate(over="ignore", invalid="ignore"):  # a loss that is not finite says it better
            passes, A, lengths = self._forward(piece)
            if not batch.count:
                return 0.0, 0.0
            passes.append(model.head.run(A, lengths))
            A, Z, Y = batch.rows(passes[-1].A), batch.rows(passes[-1].fc["Z"]), _targets(model, batch)
            loss, dZ, dA = judge.of_head(model.head, Z, A, Y, batch.rows(batch.weights))
            if not math.isfinite(loss):
                return loss, None
            if np.isinf(dA if dZ is None else dZ).any():  # the loss, in double, may be finite for all that
                return math.inf, None
            g = self._backward(passes, batch, batch.unrowed(dZ), batch.unrowed(dA))
            if all(np.isfinite(array).all() for array in g.values()):
                p = model.parameters()
                optimizer = slowed(model.optimizer, self.slowed)
                optimizer.step({key: p[key] for key in g}, g, model.carried, fraction)
                for key, (n, mean) in self.means.items():
                    kept = min(self.settings.average, (n + 1) / (n + 10))
                    mean *= kept
                    mean += (1 - kept) * p[key]
                    self.means[key] = n + 1, mean
                self.row = 0
            else:
                self.skipped, self.row = self.skipped + 1, self.row + 1
        return loss, judge.hits(A, Y, batch.rows(batch.weights))

    def _forward(self, piece: Piece) -> tuple[list[Pass], np.ndarray, np.ndarray | None]:
        """The passes of the layers below the head, what it gets, and its lengths; the piece then has later states."""
        A, lengths, passes = self.model.standardized(piece.data.X), piece.data.lengths, []
        for i, layer in enumerate(self.model.body):
            if layer.cells:
                start = None if piece.states is None else piece.states[i][piece.rows]
                ran = layer.run(A, lengths, start, preactivations=layer.preactivations is True)
                if piece.states is not None:
                    piece.states[i][piece.rows] = ran.state
                    if "h0" in layer.p:
                        ran.begins = piece.begins
            else:
                ran = layer.run(A, lengths)
            passes.append(ran)
            A = ran.A
            lengths = layer.output_lengths(A, lengths)
        return passes, A, lengths

    def _backward(self, passes: list[Pass], batch: Data, dZ: np.ndarray | None, dA: np.ndarray | None) -> Arrays:
        """All gradients, down to the lowest layer that trains, by keys like `0.Uz`."""
        layers, found = self.model.layers, {}
        lowest = next(i for i, layer in enumerate(layers) if layer.trainable)
        for i in range(len(layers) - 1, lowest - 1, -1):
            if layers[i].cells and (self.penalties.activity_l1 or self.penalties.activity_l2):
                dA = dA + self._of_activity(i, passes[i].A, batch)
            dA = passes[i].backward(dA) if dZ is None else passes[i].backward_linear(dZ)
            dZ = None
            if layers[i].trainable:
                g = passes[i].gradients()
                for name, value in layers[i].p.items():
                    factors = self.penalties.of_parameter(f"{i}.{name}")
                    if any(factors):
                        g["d" + name] = g["d" + name] + penalty(value, *factors)[1].reshape(g["d" + name].shape)
                found[i] = layers[i].clipped(g)
        return {f"{i}.{name}": found[i]["d" + name] for i in sorted(found) for name in layers[i].p}

    def _of_activity(self, i: int, A: np.ndarray, batch: Data) -> np.ndarray:
        """What the penalty of recurrent layer i's outputs adds to their gradient; at padded steps they are zero."""
        rows = chain.output_lengths(self.model.layers[:i], batch.steps).sum() if A.ndim == 3 else len(A)
        return penalty(A, self.penalties.activity_l1 / rows, self.penalties.activity_l2 / rows)[1]


def scores(model: Model, data: Data, rows: bool = False) -> tuple[float, float | None, np.ndarray | None]:
    """The loss and the accuracy on `data`, from no state and leaving none; with `rows` the loss of each, too."""
    judge, each, loss, right, weight = losses.named(model.loss).scored, [], 0.0, 0.0, 0.0
    size = max(1, 1024 * 1024 // max(1024, data.extent[1]))  # fewer of long samples, for the memory's sake
    model.reset_states()
    with np.errstate(over="ignore", invalid="ignore"):
        for batch in data.blocks(size):
            ((below, *_),) = model.below(batch.X, batch.lengths, size)
            model.reset_states()  # no sample continues one of the batch before
            top = model.head.run(batch.rows(below))
            A, Y, weights = top.A, _targets(model, batch), batch.rows(batch.weights)
            values = judge.of_head(model.head, top.fc["Z"], A, Y, each=True)[0]
            hits = judge.hits(A, Y, weights)
            loss, weight = loss + (values if weights is None else weights * values).sum(), weight + batch.count
            right = None if hits is None else right + hits
            each += [values] if rows else []
    return float(loss / weight), None if right is None else right / weight, np.concatenate(each) if rows else None


def _trainable(model: Model) -> Arrays:
    """The parameters that train, by their keys: the arrays themselves."""
    layers = enumerate(model.layers)
    return {f"{i}.{name}": array for i, layer in layers if layer.trainable for name, array in layer.p.items()}


def _starts(layer: Layer, m: int) -> np.ndarray:
    """The states (m, u) of a recurrent layer before the first step."""
    states = np.zeros((m, layer.d["u"]), layer.dtype)
    states += layer.p.get("h0", 0)
    return states


def _targets(model: Model, batch: Data) -> np.ndarray:
    """The targets as a loss takes them, one row for each output."""
    return losses.one_hot(batch.rows(batch.y), model.head.d["u"])
