"""The training loop in Python, for networks with a user-defined layer, function, mask or optimizer.

m samples, s steps, k outputs.
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
from cgru.layers.layer import Layer, clipped
from cgru.network import chain
from cgru.network.data.training_data import Data
from cgru.network.history import LEFT_OUT_IN_A_ROW, Updates
from cgru.network.model import Model
from cgru.network.training.penalties import penalty
from cgru.network.training.updater import OF_FIT, Parts, Updater
from cgru.optimizers import slowed
from cgru.passes import Pass

__all__ = ["BatchSlice", "Loop", "Snapshot", "scores", "targets", "trainable"]

Arrays = dict[str, np.ndarray]
States = dict[str, np.ndarray]  # states (m, u) of the recurrent layers, by the layer's key


@dataclass
class Snapshot:
    """A copy of a model's parameters and its optimizer's state."""

    model: Model
    parameters: Arrays
    optimizer_state: dict[str, Any]

    @classmethod
    def of(cls, model: Model) -> Snapshot:
        """Return copies of the current parameters and optimizer's state of `model`."""
        parameters = {key: array.copy() for key, array in model.parameters().items()}
        return cls(model, parameters, copy.deepcopy(model.carried))

    def restore(self) -> None:
        """Copy the saved parameters and optimizer state back into the model."""
        self.model.carried = copy.deepcopy(self.optimizer_state)  # a copy, since updates change it in place
        for key, array in self.model.parameters().items():
            array[...] = self.parameters[key]


@dataclass
class BatchSlice:
    """The steps of a batch from which one update is made; without `truncate`, all steps.

    data: the samples at these steps.
    states: the states of all samples of the batch before these steps; None: each layer has its own.
    rows: which samples of the batch stand in `data`.
    begins: which of the rows begin here, without states from a slice before: all, none, or a mask.
    """

    data: Data
    states: States | None = None
    rows: np.ndarray | None = None
    begins: np.ndarray | bool = False


class Loop(Updater):
    """The training loop in Python; it updates the model's own arrays, and reads its settings before each update."""

    def __init__(self, model: Model, *how: Any) -> None:
        """Store the model, which is updated in place; `how` are the other arguments of `Updater`."""
        super().__init__(model, *how)
        self.row = 0
        # With `average`, within an epoch: the number of updates and the running mean of each parameter, by its key.
        self.means: dict[str, tuple[int, np.ndarray]] = {}
        self.left: dict[str, list[Any]] = {}  # after an epoch: [number of updates, parameter, mean], by its key
        self.keep()

    def epoch(self, parts: Parts, row: int) -> Updates:
        """Make an update for each batch of the data or, with `truncate`, for each slice of its steps.

        `row` is how many updates in a row were left out just before.
        """
        with self._parameters_trained():
            return self._epoch(parts, row)

    @contextmanager
    def _parameters_trained(self) -> Iterator[None]:
        """Put the trained parameters into the model within a `with` block, and with `average` their means after it.

        Numbers that a callback changed differ from the mean that was shown: they become parameter and mean.
        """
        model = self.model
        before = model.carried.pop(OF_FIT, self.left)
        if self.settings.average is not None:
            for key, array in trainable(model).items():
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
                self.store_optimizer_state()
            for key, (_, mean) in self.means.items():
                p[key][...] = mean
            self.means = {}

    def _epoch(self, parts: Parts, row: int) -> Updates:
        """Make the updates of an epoch, as `epoch` does, while the model has the trained parameters."""
        model, batches = self.model, 0
        self.skipped, self.row = 0, row
        model.reset_states()
        loss, right, weight = 0.0, 0.0 if losses.classifies(model.loss) else None, 0.0
        for part, order, fractions in parts:
            updates = iter(fractions)
            for batch in self._batches(part, order):
                for batch_slice in self._slices(batch):
                    value, hits = self._step(batch_slice, next(updates))
                    if not math.isfinite(value) or self.row >= LEFT_OUT_IN_A_ROW:
                        return Updates(value, None, batches)
                    loss, weight = loss + value * batch_slice.data.count, weight + batch_slice.data.count
                    right = None if right is None else right + hits
                batches += 1
        model.reset_states()
        if not weight:  # no sample was drawn
            return Updates(*scores(model, part)[:2], None, self.skipped, self.row)
        accuracy = None if right is None else right / weight
        return Updates(loss / weight, accuracy, None, self.skipped, self.row)

    def _batches(self, part: Data, order: np.ndarray) -> Iterator[Data]:
        """Yield the batches of `part` in this order."""
        for start in range(0, len(order), self.batch_size):
            yield part[order[start : start + self.batch_size]]

    def store_optimizer_state(self) -> None:
        """Copy the running means' state into the model, which already has the optimizer's state."""
        if self.left:
            self.model.carried[OF_FIT] = self.left

    def scores(self) -> tuple[float, float | None]:
        """Return (loss, accuracy) on the held-out samples; accuracy None for a loss without classes."""
        return scores(self.model, self.held_out)[:2]

    def largest(self) -> float:
        """Return the largest magnitude of the current parameters; NaN if one is NaN."""
        return float(np.max([np.abs(array).max(initial=0) for array in self.model.parameters().values()]))

    def keep(self) -> None:
        """Save the current parameters and the optimizer's state, for `restore`."""
        self.kept = Snapshot.of(self.model)

    def restore(self) -> None:
        """Copy the saved parameters and optimizer state into the model."""
        self.kept.restore()

    def _slices(self, batch: Data) -> Iterator[BatchSlice]:
        """Cut a batch into the slices of steps from each of which an update is made.

        With one output a sample, that is its last slice; the steps before are run for their states alone.
        """
        k = self.truncate
        if k is None:
            yield BatchSlice(batch)
            return
        recurrent = [(key, layer) for key, layer in chain.leaves(self.model.layers) if layer.cells]
        states = {key: layer.initial_states(len(batch)) for key, layer in recurrent}
        if batch.per_step:
            for at, rows, data in batch.step_slices(k):
                yield BatchSlice(data, states, rows, at == 0)
            return
        with np.errstate(over="ignore", invalid="ignore"):
            before, last = batch.split_last_steps(k)
            for _, rows, data in before.step_slices(k):
                self._forward(BatchSlice(data, states, rows))
        yield BatchSlice(last, states, np.arange(len(batch)), before.steps == 0)

    def _step(self, batch_slice: BatchSlice, fraction: float) -> tuple[float, float | None]:
        """Make the update of a slice; return (its loss, the weight of its correct predictions or None).

        Nothing is changed where all weights are 0, or loss or gradient are not finite.
        """
        model, batch, judge = self.model, batch_slice.data, losses.named(self.model.loss)
        with np.errstate(over="ignore", invalid="ignore"):  # the check of the loss below takes the place of warnings
            trace, A, lengths = self._forward(batch_slice)
            if not batch.count:
                return 0.0, 0.0
            top = model.head.run(A, lengths)
            trace.append((f"{len(model.body)}", top))
            A, Z, Y = batch.rows(top.A), batch.rows(top.fc["Z"]), targets(model, batch)
            loss, dZ, dA = judge.of_head(model.head, Z, A, Y, batch.rows(batch.weights))
            if not math.isfinite(loss):
                return loss, None
            if np.isinf(dA if dZ is None else dZ).any():  # in float32, though the loss, in float64, is finite
                return math.inf, None
            g = self._backward(trace, batch, batch.scatter(dZ), batch.scatter(dA))
            if all(np.isfinite(array).all() for array in g.values()):
                p = model.parameters()
                optimizer = slowed(model.optimizer, self.slowed)
                optimizer.step({key: p[key] for key in g}, g, model.carried, fraction)
                self._average(p)
                self.row = 0
            else:
                self.skipped, self.row = self.skipped + 1, self.row + 1
        return loss, judge.hits(A, Y, batch.rows(batch.weights))

    def _average(self, p: Arrays) -> None:
        """Update the running means of the parameters after an update."""
        for key, (n, mean) in self.means.items():
            kept = min(self.settings.average, (n + 1) / (n + 10))
            mean *= kept
            mean += (1 - kept) * p[key]
            self.means[key] = n + 1, mean

    def _forward(self, batch_slice: BatchSlice) -> tuple[chain.Trace, np.ndarray, np.ndarray | None]:
        """Run the layers before the head; return their trace, the head's input, and its lengths (None: no padding).

        The slice's states become those after its last step.
        """
        batch, states, trace = batch_slice.data, batch_slice.states, []

        def run_layer(key: str, layer: Layer, A: np.ndarray, lengths: np.ndarray | None, **given: np.ndarray) -> Pass:
            """Return the forward pass of one layer."""
            if not layer.cells:
                return layer.run(A, lengths, **given)
            start = None if states is None else states[key][batch_slice.rows]
            ran = layer.run(A, lengths, start, preactivations=layer.preactivations is True, **given)
            if states is not None:
                states[key][batch_slice.rows] = ran.state
                if "h0" in layer.p:
                    ran.begins = batch_slice.begins
            return ran

        A = self.model.standardized(batch.X)
        return trace, *chain.run(self.model.body, A, batch.lengths, batch.beside, run_layer, trace)

    def _backward(self, trace: chain.Trace, batch: Data, dZ: np.ndarray | None, dA: np.ndarray | None) -> Arrays:
        """Return the gradients of all trainable parameters, with penalties and clipping, by keys like `0.Uz`."""
        of, found = dict(chain.leaves(self.model.layers)), {}
        lowest = next(i for i, layer in enumerate(self.model.layers) if layer.trainable)

        def penalised(key: str, ran: Pass, dA: Any) -> Any:
            """Return dL/dA of a layer plus the gradient of its activity penalty."""
            if hasattr(of[key], "sequences") and (self.penalties.activity_l1 or self.penalties.activity_l2):
                return dA + self._of_activity(key, ran.A, batch)
            return dA

        chain.go_back(trace[lowest:], dA, dZ, penalised)
        for key, ran in chain.passes(trace[lowest:]):
            if of[key].trainable:
                g = ran.gradients()
                for name, value in of[key].p.items():
                    factors = [each.get(f"{key}.{name}", 0.0) for each in (self.penalties.l1, self.penalties.l2)]
                    if any(factors):
                        g["d" + name] = g["d" + name] + penalty(value, *factors)[1].reshape(g["d" + name].shape)
                found[key] = clipped(of[key], g)
        return {f"{key}.{name}": found[key]["d" + name] for key in of if key in found for name in of[key].p}

    def _of_activity(self, key: str, A: np.ndarray, batch: Data) -> np.ndarray:
        """Return the gradient of the activity penalty for the outputs A of a recurrent layer."""
        rows = chain.lengths_at(self.model.layers, key, batch.steps).sum() if A.ndim == 3 else len(A)
        return penalty(A, self.penalties.activity_l1 / rows, self.penalties.activity_l2 / rows)[1]


def scores(model: Model, data: Data, rows: bool = False) -> tuple[float, float | None, np.ndarray | None]:
    """Return (loss, accuracy or None, loss of each row if `rows`) on `data`; `stateful` layers are reset."""
    judge, each, loss, right, weight = losses.named(model.loss).scored, [], 0.0, 0.0, 0.0
    size = max(1, 1024 * 1024 // max(1024, data.extent[1]))  # fewer samples where they are long, to bound memory
    model.reset_states()
    with np.errstate(over="ignore", invalid="ignore"):
        for batch in data.blocks(size):
            ((below, lengths, *_),) = model.head_inputs(batch.X, batch.lengths, size, beside=batch.beside)
            model.reset_states()  # samples do not continue those of the batch before
            top = model.head.run(below, lengths)
            A, Z = batch.rows(top.A), batch.rows(top.fc["Z"])
            Y, weights = targets(model, batch), batch.rows(batch.weights)
            values = judge.of_head(model.head, Z, A, Y, each=True)[0]
            hits = judge.hits(A, Y, weights)
            loss, weight = loss + (values if weights is None else weights * values).sum(), weight + batch.count
            right = None if hits is None else right + hits
            each += [values] if rows else []
    return float(loss / weight), None if right is None else right / weight, np.concatenate(each) if rows else None


def trainable(model: Model) -> Arrays:
    """Return the trainable parameter arrays, without copies, by their keys."""
    layers = chain.leaves(model.layers)
    return {f"{key}.{name}": array for key, layer in layers if layer.trainable for name, array in layer.p.items()}


def targets(model: Model, batch: Data) -> np.ndarray:
    """Return the targets of a batch as rows for the loss, with classes one-hot."""
    return losses.one_hot(batch.rows(batch.y), model.head.d["u"])
