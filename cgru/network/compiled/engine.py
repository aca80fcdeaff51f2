"""The updates of a fit, and scores, in compiled code."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from cgru import losses
from cgru.bidirectional import Bidirectional
from cgru.gru import GRU
from cgru.layers.dense import Dense
from cgru.layers.dropout import Dropout
from cgru.layers.embedding import Embedding
from cgru.layers.flip import Flip
from cgru.layers.layer import Layer
from cgru.layers.pool import Pool
from cgru.network.compiled.program import Program
from cgru.network.compiled.samples import Source
from cgru.network.penalties import NONE, Penalties
from cgru.network.samples import Data

if TYPE_CHECKING:
    from cgru.network.network import Network

__all__ = ["Engine", "compiles"]

SCORED = 1 << 14  # steps that are scored at once, of all rows together
ROWS = 8, 1024  # at least and at most

METHODS = {
    kind: frozenset(name for name in dir(kind) if callable(getattr(kind, name)))
    for kind in (GRU, Bidirectional, Dense, Dropout, Embedding, Flip, Pool)
}


class Engine:
    """The updates of one fit of a network that `compiles`, and its scores; `batch_size` 0: it is scored alone.

    The network's own arrays stay as they are until `show` or `restore`.
    """

    def __init__(
        self,
        net: Network,
        data: Data,
        held_out: Data | None,
        batch_size: int,
        truncate: int | None,
        penalties: Penalties = NONE,
    ) -> None:
        self.net, self.batch_size, self.truncate = net, batch_size, truncate or 0
        steps = data.X.shape[1]
        e = data.X.shape[2] if data.X.ndim == 3 else 0
        batch = batch_size, min(steps, truncate or steps)
        scored = (0, 0)
        if held_out is not None:
            longer = held_out.X.shape[1]
            least, most = ROWS
            scored = (min(len(held_out), max(least, min(most, SCORED // longer))), longer)
        self.rows = scored[0]
        self.program = Program(net, e, max(steps, scored[1]), batch, scored, truncate is not None, penalties=penalties)
        self.data = self._source(data) if batch_size else None
        self.held_out = None if held_out is None else self._source(held_out)
        self.kept, self.settings = False, None  # what others may see and change is looked at when it is shown
        self.measured = net.mean, net.scale  # as long as these are held no others have their ids

    def _source(self, data: Data) -> Source:
        net, k = self.net, self.net.head.d["u"]
        given = data.y.shape[-1] if data.y.ndim == 2 + data.per_step else k  # classes are rows of so many
        if given * losses.outputs(net.loss) != k:
            raise ValueError(f"y: expected {k // losses.outputs(net.loss)} targets for {net.loss}, got {given}")
        return Source(data.X, data.y, data.lengths, data.per_step, net.mean, net.scale, data.weights)

    def epoch(self, order: np.ndarray, fractions: list[float]) -> tuple[float, float | None, int | None]:
        """An update for each batch of the samples in `order`, or each piece of one; `fractions` of the fit are done.

        Returns:
            The mean loss and how many outputs were right, or what they weigh, both before each update (None: there are
            no classes), and None; where a loss is not finite that loss, None, and the batch from 0.
        """
        rates = np.array([self.net.optimizer.rate(fraction) for fraction in fractions])
        self.net.reset_states()
        loss, right, failed = self.program.epoch(self.data, order, self.batch_size, self.truncate, rates)
        return loss, right if self.net.loss in losses.CLASSIFYING else None, failed

    def scores(self) -> tuple[float, float | None]:
        """The loss and the accuracy on the samples that were held out."""
        self.net.reset_states()
        loss, accuracy = self.program.scores(self.held_out, self.rows)
        return loss, accuracy if self.net.loss in losses.CLASSIFYING else None

    def keep(self) -> None:
        """What the parameters and the optimizer's state are now is what `restore` brings back."""
        self.program.weights.keep()
        self.kept = True

    def restore(self) -> None:
        """Put what was kept into the network."""
        if self.kept:
            self.program.weights.show(kept=True)
            self.program.weights.show_state(kept=True)

    def show(self) -> None:
        """Put the parameters, as they are now, into the network."""
        self.settings = self.settings or _settings(self.net)
        self.program.weights.show()

    def stands(self) -> bool:
        """Whether it can go on after a callback that may have changed the network."""
        return self.settings == _settings(self.net) and not self.program.weights.changed()

    def leave(self) -> None:
        """Put the optimizer's state, as it is now, into the network, for who goes on in its place."""
        self.program.weights.show_state()


def _settings(net: Network) -> tuple[Any, ...]:
    """What of a network a callback may set and the compiled one has looked at, its parameters apart."""
    layers = [
        (repr(layer), layer.trainable, layer.clip_gradients, [(repr(cell), cell.training) for cell in layer.cells])
        for layer in net.layers
    ]
    return net.optimizer, net.loss, id(net.mean), id(net.scale), compiles(net), layers


def compiles(net: Network) -> bool:
    """Whether all of a network is the package's own: no layer, activation or mask of the user's, no method replaced.

    And its loss none of the user's.
    """
    own = all(_own(layer) and (layer.dtype == net.dtype or not layer.parameter_names) for layer in net.layers)
    return own and isinstance(net.loss, str)


def _own(layer: Layer) -> bool:
    kind = type(layer)
    if kind not in METHODS or not METHODS[kind].isdisjoint(vars(layer)):
        return False
    if kind is Dense:
        return layer.code is not None
    if kind is Dropout:
        return layer.mask is None
    return all(map(_own_cell, layer.cells))


def _own_cell(cell: GRU) -> bool:
    own = type(cell) is GRU and METHODS[GRU].isdisjoint(vars(cell)) and cell.codes() is not None
    return own and cell.masks is None
