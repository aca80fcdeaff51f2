"""How a network is trained: epochs of batches, an update for each, and the best parameters kept.

m samples, s steps, e elements per step, k outputs. The passes of a batch are held here, one for each layer.
"""

from __future__ import annotations

import copy
import math
import time
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

import numpy as np

from cgru import losses
from cgru.activations import ours, parameter
from cgru.core.checks import callable_, flag, positive
from cgru.network import chain
from cgru.network.history import Epoch, History
from cgru.network.samples import Data
from cgru.passes import Pass

if TYPE_CHECKING:
    from cgru.network.network import Network

__all__ = ["Fit", "check", "scores"]

Arrays = dict[str, np.ndarray]
States = dict[int, np.ndarray]  # of the recurrent layers, by index, (m, u)

_DIVERGED = "{}: training diverged; a lower learning rate or clip_norm may help"


def check(
    net: Network,
    data: Data,
    *,
    epochs: int,
    batch_size: int,
    truncate: int | None,
    standardize: bool,
    shuffle: bool,
    patience: int | None,
    callback: Callable[[Epoch], Any] | None,
) -> None:
    """TypeError or ValueError where the settings of a fit are not what they should be, or fit neither net nor data."""
    positive(epochs, "epochs")
    positive(batch_size, "batch_size")
    flag(standardize, "standardize")
    flag(shuffle, "shuffle")
    if patience is not None:
        positive(patience, "patience")
    if callback is not None:
        callable_(callback, "callback")
    if standardize and data.X.ndim == 2:
        raise ValueError("standardize: expected False for tokens, which have no mean, got True")
    if truncate is not None:
        positive(truncate, "truncate")
        whole = chain.uncarried(net.layers)
        if whole is not None:
            raise ValueError(f"truncate: expected layers that can run piece by piece, got {whole}")
    if not any(layer.trainable for layer in net.layers):
        raise ValueError("layers: expected at least one that is trainable, got none")
    if net.stateful:
        for name, wrong, due in (("shuffle", shuffle, "False"), ("truncate", truncate, "None")):
            if wrong:
                raise ValueError(f"{name}: expected {due} with stateful layers, got {wrong}")


class Fit:
    """One fit of a network to samples, which `check` has seen."""

    def __init__(
        self,
        net: Network,
        data: Data,
        held_out: Data | None,
        *,
        epochs: int,
        batch_size: int,
        truncate: int | None,
        shuffler: np.random.Generator | None,
    ) -> None:
        if net.stateful and len(data) % batch_size:
            raise ValueError(
                f"batch_size: expected a divisor of the {len(data)} samples with stateful layers, got {batch_size}"
            )
        self.net, self.data, self.held_out = net, data, held_out
        self.epochs, self.batch_size, self.shuffler = epochs, batch_size, shuffler
        self.truncate = None if truncate is None else min(truncate, data.X.shape[1])

    def __call__(self, standardize: bool, patience: int | None, callback: Callable[[Epoch], Any] | None) -> History:
        """Train, and return the history; whatever is raised, the best parameters so far are in place."""
        net = self.net
        for key, array in net.parameters().items():
            if not isinstance(array, np.ndarray) or array.dtype.kind != "f" or not array.flags.writeable:
                raise TypeError(f"parameter {key}: expected a writable array of floats, got {_described(array)}")
        best = _snapshot(net)
        try:
            if standardize and net.mean is None:
                net.mean, net.scale = self.data.statistics()
            history, lowest, stale = History(), math.inf, 0
            for number in range(1, self.epochs + 1):
                epoch = self._epoch(number)
                stale += 1
                if self.held_out is None or epoch.validation_loss < lowest:
                    best, lowest, stale = _snapshot(net), epoch.validation_loss, 0
                net.history.append(epoch)
                history.append(epoch)
                if callback is not None:
                    callback(epoch)
                if stale == patience:
                    break
        finally:
            _restore(net, best)
        return history

    def _epoch(self, number: int) -> Epoch:
        start = time.perf_counter()
        net, data, size, fraction = self.net, self.data, self.batch_size, 0.0
        m, count, batches = len(data), data.count, -(-len(data) // size)
        order = np.arange(m) if self.shuffler is None else self.shuffler.permutation(m)
        net.reset_states()
        loss, right = 0.0, None if net.loss == "mean_squared_error" else 0.0
        for batch in range(batches):
            chosen = data[order[batch * size : (batch + 1) * size]]
            for piece, states, rows, done in self._pieces(chosen):
                fraction = (number - 1 + (batch + done) / batches) / self.epochs
                when = f"epoch {number}, batch {batch + 1} of {batches}"
                value, hits = self._step(piece, states, rows, fraction, when)
                loss += value * piece.count / count
                right = None if right is None else right + hits
        net.reset_states()
        scored = (None, None) if self.held_out is None else scores(net, self.held_out)
        if scored[0] is not None and not math.isfinite(scored[0]):
            raise RuntimeError(_DIVERGED.format(f"the validation loss is {scored[0]} after epoch {number}"))
        accuracy = None if right is None else right / count
        rate = net.optimizer.rate(fraction)
        return Epoch(number, self.epochs, loss, accuracy, *scored, rate, time.perf_counter() - start)

    def _pieces(self, batch: Data) -> Iterator[tuple[Data, States | None, np.ndarray | None, float]]:
        """What gets an update each: the data, the states before it, for which samples, and the share that is done."""
        k = self.truncate
        if k is None:
            yield batch, None, None, 0.0
            return
        layers = enumerate(self.net.layers)
        states = {i: np.zeros((len(batch), layer.d["u"]), layer.dtype) for i, layer in layers if layer.cells}
        if batch.per_step:
            whole = batch.steps.max()
            for start, rows, piece in batch.spans(k):
                yield piece, states, rows, start / whole
            return
        with np.errstate(over="ignore", invalid="ignore"):
            for _, rows, piece in batch.without_last(k).spans(k):
                self._forward(piece, states, rows)
        yield batch.last(k), states, np.arange(len(batch)), 0.0

    def _step(
        self, batch: Data, states: States | None, rows: np.ndarray | None, fraction: float, when: str
    ) -> tuple[float, float | None]:
        """One update of the parameters; the batch's loss and how many of its outputs were right before."""
        net = self.net
        with np.errstate(over="ignore", invalid="ignore"):  # a loss that is not finite says it better
            passes, A, lengths = self._forward(batch, states, rows)
            passes.append(net.head.run(A, lengths))
            A, Z, Y = batch.rows(passes[-1].A), batch.rows(passes[-1].fc["Z"]), _targets(net, batch)
            loss, dZ, dA = criterion(net, Z, A, Y)
            if not math.isfinite(loss):
                raise RuntimeError(_DIVERGED.format(f"the loss is {loss} at {when}"))
            g = self._backward(passes, batch.unrowed(dZ), batch.unrowed(dA))
            p = net.parameters()
            net.optimizer.step({key: p[key] for key in g}, g, net.optimizer_state, fraction)
        return loss, losses.hits(A, Y, net.loss)

    def _forward(
        self, batch: Data, states: States | None, rows: np.ndarray | None
    ) -> tuple[list[Pass], np.ndarray, np.ndarray | None]:
        """The passes of the layers below the head, what it gets, and its lengths.

        `states` are those of the samples `rows` before these steps, and afterwards those after them.
        """
        A, lengths, passes = self.net.standardized(batch.X), batch.lengths, []
        for i, layer in enumerate(self.net.body):
            if layer.cells:
                start = None if states is None else states[i][rows]
                ran = layer.run(A, lengths, start, preactivations=layer.preactivations is True)
                if states is not None:
                    states[i][rows] = ran.state
            else:
                ran = layer.run(A, lengths)
            passes.append(ran)
            A = ran.A
            lengths = lengths if A.ndim == 3 else None
        return passes, A, lengths

    def _backward(self, passes: list[Pass], dZ: np.ndarray | None, dA: np.ndarray | None) -> Arrays:
        """All gradients, down to the lowest layer that trains, by keys like `0.Uz`."""
        layers, found = self.net.layers, {}
        lowest = next(i for i, layer in enumerate(layers) if layer.trainable)
        for i in range(len(layers) - 1, lowest - 1, -1):
            dA = passes[i].backward(dA) if dZ is None else passes[i].backward_linear(dZ)
            dZ = None
            if layers[i].trainable:
                found[i] = layers[i].clipped(passes[i].gradients())
        return {f"{i}.{name}": found[i]["d" + name] for i in sorted(found) for name in layers[i].p}


def scores(net: Network, data: Data) -> tuple[float, float | None]:
    """The loss and the accuracy on `data`, from no state and leaving none."""
    loss, right = 0.0, 0.0
    size = max(1, 1024 * 1024 // max(1024, data.X.shape[1]))  # fewer of long samples, for the memory's sake
    net.reset_states()
    with np.errstate(over="ignore", invalid="ignore"):
        for start in range(0, len(data), size):
            batch = data[start : start + size]
            ((below, *_),) = net.below(batch.X, batch.lengths, size)
            net.reset_states()  # no sample continues one of the batch before
            top = net.head.run(batch.rows(below))
            A, Y = top.A, _targets(net, batch)
            loss += criterion(net, top.fc["Z"], A, Y)[0] * batch.count / data.count
            hits = losses.hits(A, Y, net.loss)
            right = None if hits is None else right + hits
    return loss, None if right is None else right / data.count


def criterion(
    net: Network, Z: np.ndarray, A: np.ndarray, Y: np.ndarray
) -> tuple[float, np.ndarray | None, np.ndarray | None]:
    """The loss and dL/dZ, or dL/dA where loss and activation are no pair that has a dL/dZ of its own."""
    pair = losses.CANONICAL.get((net.loss, ours(net.head.activate)))
    if pair is not None:
        return *pair(Z, Y, A, parameter(net.head.se_hPars, "softmax_temperature")), None
    loss, dA = losses.LOSSES[net.loss](A, Y)
    return loss, None, dA


def _targets(net: Network, batch: Data) -> np.ndarray:
    """The targets as a loss takes them, one row for each output."""
    return losses.spelled_out(batch.rows(batch.y), net.head.d["u"])


Snapshot = tuple[Arrays, dict[str, Any], tuple[np.ndarray | None, np.ndarray | None]]


def _snapshot(net: Network) -> Snapshot:
    parameters = {key: array.copy() for key, array in net.parameters().items()}
    return parameters, copy.deepcopy(net.optimizer_state), (net.mean, net.scale)


def _restore(net: Network, snapshot: Snapshot) -> None:
    parameters, net.optimizer_state, (net.mean, net.scale) = snapshot
    for key, array in net.parameters().items():
        array[...] = parameters[key]


def _described(value: Any) -> str:
    if not isinstance(value, np.ndarray):
        return type(value).__name__
    return f"dtype {value.dtype}" if value.flags.writeable else "a read-only one"
