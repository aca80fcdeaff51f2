"""How a network is trained: epochs, what is told of each, and the best parameters kept.

The updates of an epoch are one compiled call (compiled/), or a loop in Python (loop.py) where something of the user's
own stands in the network.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np

from cgru import optimizers
from cgru.core.checks import callable_, flag, positive
from cgru.network import chain, loop
from cgru.network.checkpoint import Checkpoint, State
from cgru.network.compiled.engine import Engine, compiles
from cgru.network.history import Epoch, History
from cgru.network.loop import Kept, Loop
from cgru.network.samples import Data

if TYPE_CHECKING:
    from cgru.network.network import Network

__all__ = ["Fit", "check", "scores"]

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
        self.engine: Engine | Loop | None = None  # what makes the updates
        self.epochs, self.batch_size, self.shuffler = epochs, min(batch_size, len(data)), shuffler
        self.truncate = None if truncate is None else min(truncate, data.X.shape[1])
        self.history, self.lowest, self.stale = History(), math.inf, 0  # of validation losses; epochs since then
        self.best: Engine | Loop | Kept | None = None  # what restores the best parameters so far
        self.measured = net.mean, net.scale  # with these

    def __call__(
        self,
        standardize: bool,
        patience: int | None,
        callback: Callable[[Epoch], Any] | None,
        checkpoint: Checkpoint | None,
    ) -> History:
        """Train, and return the history; whatever is raised, the best parameters so far are in place."""
        net = self.net
        for key, array in net.parameters().items():
            if not isinstance(array, np.ndarray) or array.dtype.kind != "f" or not array.flags.writeable:
                raise TypeError(f"parameter {key}: expected a writable array of floats, got {_described(array)}")
        found = None if checkpoint is None else checkpoint.taken(net.parameters())
        try:
            if found is not None:
                self._resume(found)
            elif checkpoint is not None:
                self.best = Kept.of(net)  # what is shown for the first checkpoint is none of a whole epoch
            if standardize and net.mean is None:
                net.mean, net.scale = self.data.statistics()
            self.engine = self._engine()
            self.best = self.best or self.engine
            over = self._over(patience)
            if checkpoint is not None and not over:  # now, so that what is wrong with the file is known
                checkpoint.write(net, self._state())
            while not over:
                epoch = self._epoch(self.engine, len(self.history) + 1)
                self._score(epoch)
                if callback is not None:
                    self.engine.show()
                    callback(epoch)
                    if not self.engine.stands():
                        self.leave()
                        self.engine = self._engine()
                over = self._over(patience)
                if checkpoint is not None and (over or checkpoint.due()):
                    checkpoint.write(net, self._state())
        finally:
            self.engine = None
            net.mean, net.scale = self.measured
            if self.best is not None:
                self.best.restore()
        return self.history

    def leave(self) -> None:
        """Put the optimizer's state, as it is now, into the network."""
        engine, self.engine = self.engine, None
        if engine is not None:
            engine.leave()
            self.engine = engine

    def _over(self, patience: int | None) -> bool:
        return len(self.history) >= self.epochs or self.stale == patience

    def _score(self, epoch: Epoch) -> None:
        """Remember the epoch, and the parameters where they are the best so far."""
        net = self.net
        self.stale += 1
        if self.held_out is None or epoch.validation_loss < self.lowest:
            self.engine.keep()
            self.best, self.measured = self.engine, (net.mean, net.scale)
            self.lowest, self.stale = epoch.validation_loss, 0
        net.history.append(epoch)
        self.history.append(epoch)

    # --- for a checkpoint ---

    def _generators(self) -> list[np.random.BitGenerator]:
        """All that draw, the order of the samples first."""
        layers = [part for layer in self.net.layers for part in (layer, *layer.cells)]
        found = [part.np_rng.bit_generator for part in layers]
        return found if self.shuffler is None else [self.shuffler.bit_generator, *found]

    def _state(self) -> State:
        """What it has come to; the network then shows the training as it is now."""
        net, engine = self.net, self.engine
        engine.show()
        now, measured, best = Kept.of(net), (net.mean, net.scale), None
        if self.stale or self.best is not engine or not isinstance(engine, Engine):  # else nothing has moved since
            self.engine = None  # whose optimizer's state the network would ask for
            try:
                self.best.restore()
                best = _moment(Kept.of(net), self.measured)
            finally:
                now.restore()
                self.engine = engine
        generators = [generator.state for generator in self._generators()]
        return State(self.history, net.history, self.lowest, self.stale, generators, _moment(now, measured), best)

    def _resume(self, found: State) -> None:
        """Go on from there."""
        net = self.net
        for generator, state in zip(self._generators(), found.generators, strict=True):
            generator.state = state
        for moment in (found.best or found.now, found.now):
            net.mean, net.scale = moment["mean"], moment["scale"]
            Kept(net, moment["parameters"], moment["optimizer_state"]).restore()
            if self.best is None:
                self.best, self.measured = Kept.of(net), (net.mean, net.scale)
        self.history, self.lowest, self.stale = found.history, found.lowest, found.stale
        net.history[:] = found.all_history

    # --- an epoch ---

    def _engine(self) -> Engine | Loop:
        """What makes the updates of this network as it is now."""
        own = type(self.net.optimizer) in optimizers.NAMED.values() and compiles(self.net)
        return (Engine if own else Loop)(self.net, self.data, self.held_out, self.batch_size, self.truncate)

    def _epoch(self, engine: Engine | Loop, number: int) -> Epoch:
        start = time.perf_counter()
        net, data = self.net, self.data
        order = np.arange(len(data)) if self.shuffler is None else self.shuffler.permutation(len(data))
        fractions = self._fractions(order, number)
        loss, right, failed = engine.epoch(order, fractions)
        if failed is not None:
            batches = -(-len(data) // self.batch_size)
            when = f"epoch {number}, batch {failed + 1} of {batches}"
            raise RuntimeError(_DIVERGED.format(f"the loss is {loss} at {when}"))
        scored = (None, None) if self.held_out is None else engine.scores()
        if scored[0] is not None and not math.isfinite(scored[0]):
            raise RuntimeError(_DIVERGED.format(f"the validation loss is {scored[0]} after epoch {number}"))
        accuracy = None if right is None else right / data.count
        rate = net.optimizer.rate(fractions[-1])
        return Epoch(number, self.epochs, loss, accuracy, *scored, rate, time.perf_counter() - start)

    def _fractions(self, order: np.ndarray, number: int) -> list[float]:
        """What share of the fit is done before each update of an epoch: of each batch, or of each piece of one."""
        size = self.batch_size
        starts = range(0, len(order), size)
        within = [(0.0,)] * len(starts)
        if self.truncate is not None and self.data.per_step:
            longest = [self.data.steps[order[start : start + size]].max() for start in starts]
            within = [[at / whole for at in range(0, whole, self.truncate)] for whole in longest]
        done = number - 1
        return [(done + (batch + at) / len(within)) / self.epochs for batch, part in enumerate(within) for at in part]


def scores(net: Network, data: Data) -> tuple[float, float | None]:
    """The loss and the accuracy on `data`, from no state and leaving none."""
    return Engine(net, data, data, 0, None).scores() if compiles(net) else loop.scores(net, data)


def _moment(kept: Kept, measured: tuple[np.ndarray | None, np.ndarray | None]) -> dict[str, Any]:
    """As a checkpoint has it."""
    mean, scale = measured
    return {"parameters": kept.parameters, "optimizer_state": kept.optimizer_state, "mean": mean, "scale": scale}


def _described(value: Any) -> str:
    if not isinstance(value, np.ndarray):
        return type(value).__name__
    return f"dtype {value.dtype}" if value.flags.writeable else "a read-only one"
