"""`Engine`: the compiled training loop, for networks without user-defined parts."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from operator import attrgetter
from typing import Any

import numpy as np

from cgru import losses
from cgru.core.checks import aligned
from cgru.layers.layer import Layer
from cgru.network import chain
from cgru.network.data.training_data import Data
from cgru.network.history import Updates
from cgru.network.model import Model
from cgru.network.training.compiled.batch import Source
from cgru.network.training.compiled.program import Program
from cgru.network.training.updater import Parts, Updater
from cgru.optimizers import scheduled, slowed

__all__ = ["Engine", "compiles"]

SCORED = 1 << 14  # steps that are scored at once, over all samples together
ROWS = 8, 1024  # samples that are scored at once, at least and at most
# What the compiled program reads of a layer, and of a GRU beside its activations and units.
OF_LAYER = attrgetter("stage", "trainable", "clip_gradients", "np_rng")
OF_CELL = attrgetter("variant", "reverse", "stateful", "training", "dropout", "zoneout", "recurrent_dropout", "np_rng")


class Engine(Updater):
    """The compiled training loop of a model, if `compiles(model)`.

    `data` and the held-out samples give dtypes and shapes, by which memory is allocated. The samples to train on are
    arguments of `epoch`. `how` are the arguments of an `Updater`.
    """

    def __init__(self, model: Model, data: Data, *how: Any) -> None:
        """Compile a program for the data; `how` are the other arguments of `Updater`."""
        super().__init__(model, *how)
        X = data.first.X
        self.e = X.shape[2] if X.ndim == 3 else 0
        self.decays = any("decay" in part.first.beside for part in (data, self.held_out) if part is not None)
        self.weights, self.room = None, {"trained": self._trained(data), "scored": self._scored(self.held_out)}
        self._compile()
        self.sources: dict[str, tuple[Data, Source]] = {}  # the last "trained" and "scored" data, converted
        self.kept, self.read = False, None  # what was read, noted when `store_parameters` lets others change it
        self.stateful, self.classifies = model.stateful, losses.classifies(model.loss)
        k = model.head.d["u"]
        self.targets = k, losses.named(model.loss).targets(k)
        self.measured = model.mean, model.scale  # keeps them alive, so that no other arrays get their ids

    def _trained(self, data: Data) -> tuple[int, int, int]:
        """Return the size of one update of `data`: samples, steps that run at once, and steps of a whole sample."""
        m, steps = data.extent
        return min(self.batch_size, m), min(steps, self.truncate or steps), steps

    def _scored(self, data: Data | None) -> tuple[int, int, int]:
        """Return the size of a block of `data` that is scored at once: samples, steps, and again steps."""
        if data is None:
            return 0, 0, 0
        m, steps = data.extent
        least, most = ROWS
        return min(m, max(least, min(most, SCORED // steps))), steps, steps

    def _compile(self) -> None:
        """Compile the program, with memory for each size in `room`: (samples, steps at once, steps of a sample)."""
        (m, s, trained), (rows, _, scored) = self.room["trained"], self.room["scored"]
        self.program = Program(
            self.model, self.e, max(trained, scored), (m, s), (rows, scored), self.truncate is not None, self.decays,
            self.penalties, self.settings, self.weights,
        )  # fmt: skip
        self.weights = self.program.weights

    def _source(self, data: Data, kind: str) -> Source:
        """Return `data`, which is "trained" on or "scored", as a `Source`; it is converted only once."""
        if kind not in self.sources or self.sources[kind][0] is not data:
            piece = self._trained(data) if kind == "trained" else self._scored(data)
            room = self.room[kind] if piece == self.room[kind] else _joint_size(self.room[kind], piece)
            decay = data.beside.get("decay")
            if room != self.room[kind] or (decay is not None and not self.decays):
                self.room[kind], self.decays = room, self.decays or decay is not None
                self._compile()
            model, (k, due) = self.model, self.targets
            given = data.y.shape[-1] if data.y.ndim == 2 + data.per_step else k  # integer classes stand for k targets
            if given != due:
                raise ValueError(f"y: expected {due} targets for {model.loss}, got {given}")
            lengths = data.used if self.truncate and data.steppers else data.lengths
            decay = None if decay is None else aligned(decay, model.dtype)
            times = data.beside.get("times")
            times = None if times is None else aligned(times, np.float64)
            beside = data.weights, times, decay
            source = Source(data.X, data.y, lengths, data.per_step, model.mean, model.scale, *beside)
            self.sources[kind] = data, source
        return self.sources[kind][1]

    def epoch(self, parts: Parts, row: int) -> Updates:
        """Make an update for each batch of the data or, with `truncate`, for each slice of its steps.

        `row` is how many updates in a row were left out just before.
        """
        self._reset_states()
        sums, batches = np.array([0.0, 0.0, 0.0, 0.0, row]), 0
        optimizer = slowed(self.model.optimizer, self.slowed)
        for part, order, fractions in parts:
            if scheduled(optimizer):
                rates = np.array([optimizer.rate(each) for each in fractions])
            else:  # the same for all
                rates = np.array([optimizer.rate(fractions[0])] * len(fractions))
            source, order = self._source(part, "trained"), order.astype(np.intp, copy=False)
            failed = self.program.epoch(source, order, self.batch_size, self.truncate or 0, rates, sums, not batches)
            if failed is not None:
                return Updates(failed[0], None, batches + failed[1])
            batches += -(-len(order) // self.batch_size)
        return Updates(*self._means(sums[:3]), None, *map(int, sums[3:]))

    def scores(self) -> tuple[float, float | None]:
        """Return (loss, accuracy) on the held-out samples; accuracy None for a loss without classes."""
        self._reset_states()
        sums = np.zeros(3)
        for part, _ in self.held_out.parts(self._scored(self.held_out)[0]):
            source = self._source(part, "scored")
            self.program.scores(source, self._scored(part)[0], sums)
        return self._means(sums)

    def _reset_states(self) -> None:
        """Reset the states of all `stateful` layers."""
        if self.stateful:
            self.model.reset_states()

    def _means(self, sums: np.ndarray) -> tuple[float, float | None]:
        """Return (mean loss, accuracy or None) from sums: weights, weighted losses, weights of correct outputs."""
        weight, loss, right = sums.tolist()
        return loss / weight, right / weight if self.classifies else None

    def largest(self) -> float:
        """Return an upper bound on the magnitude of the current parameters; NaN if one is NaN."""
        return self.weights.largest()

    def keep(self) -> None:
        """Save the current parameters and the optimizer's state inside the program, for `restore`."""
        self.weights.keep()
        self.kept = True

    def restore(self) -> None:
        """Copy the saved parameters and optimizer state into the model."""
        if self.kept:
            self.weights.store_parameters(kept=True)
            self.weights.store_optimizer_state(kept=True)

    def store_parameters(self) -> None:
        """Copy the current parameters into the model."""
        self.read = self.read or _settings(self.model)
        self.weights.store_parameters()

    def is_valid(self) -> bool:
        """Return whether the engine still fits the model, which a callback may have changed."""
        return self.read == _settings(self.model) and not self.weights.changed()

    def store_optimizer_state(self) -> None:
        """Copy the optimizer's current state into the model."""
        self.weights.store_optimizer_state()


def _joint_size(room: tuple[int, int, int], piece: tuple[int, int, int]) -> tuple[int, int, int]:
    """Return a size that covers both `room` and `piece`, or only `piece` if that would need too much memory.

    That is where one has many samples and the other many steps.
    """
    both = tuple(map(max, room, piece))
    if both == room:
        return room
    most = max(each[0] * each[2] for each in (room, piece))
    return both if both[0] * both[2] <= 2 * most else piece


def _settings(model: Model) -> tuple[Any, ...]:
    """Return all settings in the compiled program that a callback may change, without parameters."""
    within = [layer for _, layer in chain.leaves(model.layers)]
    layers = [OF_LAYER(layer) for layer in within]
    cells = [(cell.codes(), cell.d["u"], *OF_CELL(cell)) for layer in within for cell in layer.cells]
    return model.optimizer, model.loss, id(model.mean), id(model.scale), compiles(model), layers, cells


def compiles(model: Model) -> bool:
    """Return whether compiled code can train a model.

    All must be the package's own: layers, activations, masks and loss, without a replaced method; and of one dtype.
    """
    within = [layer for _, layer in chain.leaves(model.layers)]
    dtypes = {layer.dtype for layer in within if layer.parameter_names}
    own = _all_own(model.layers)
    return own and dtypes <= {model.dtype} and model.loss is not None and losses.named(model.loss).code is not None


def _all_own(layers: Sequence[Layer]) -> bool:
    """Return whether all layers, also in branches, are unmodified layers of this package."""
    own = all(_is_own(each) for layer in layers for each in {layer, *layer.cells})
    return own and all(_all_own(branch) for layer in layers for branch in layer.branches)


def _is_own(layer: Layer) -> bool:
    """Return whether a layer is trainable by compiled code: an unmodified layer of this package."""
    kind = type(layer)
    own = "stage" in vars(kind) and _method_names(kind).isdisjoint(vars(layer))
    return own and layer.stage is not None and not layer.weights


@cache
def _method_names(kind: type) -> frozenset[str]:
    """Return the names of a class's methods; cached, since finding them takes longer than a small epoch."""
    return frozenset(name for name in dir(kind) if callable(getattr(kind, name)))
