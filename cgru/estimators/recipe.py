"""The default architecture and training options of `cgru fit` and `cgru.sklearn`.

benchmarks/README.md shows how they were chosen.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np

from cgru import losses
from cgru.bidirectional import Bidirectional
from cgru.core.checks import flag, positive
from cgru.estimators.input_layers import AUTO, parse
from cgru.gru import GRU
from cgru.grud import GRUD
from cgru.layers.dense import Dense
from cgru.layers.dropout import Dropout
from cgru.layers.layer import Layer
from cgru.layers.pool import HOW, Pool
from cgru.losses import Loss
from cgru.network import Network
from cgru.network.data.samples import Sequences
from cgru.network.options import option, share
from cgru.network.presentation import figures
from cgru.optimizers import Adam, check_number

__all__ = [
    "DECAY", "DROPOUT", "EPOCHS", "HELD_FROM", "LEARNING_RATE", "LOSS", "PATIENCE", "POOL", "RECURRENT_DROPOUT",
    "REFUSE", "SCHEDULE", "UNITS", "UPDATES", "VALIDATION", "WEIGHT_DECAY", "Recipe", "budget", "constant_start",
    "still_falls",
]  # fmt: skip

UNITS, POOL, DROPOUT, RECURRENT_DROPOUT = 48, "last+mean+max", 0.3, 0.2
REFUSE, DECAY = "refuse", "decay"  # of `Recipe.missing`
LEARNING_RATE, SCHEDULE, WEIGHT_DECAY, LOSS = 5e-3, "one_cycle", 0.0, "mean_squared_error"
UPDATES, EPOCHS, BATCHES = 1200, 30, (16, 64)  # least updates, least epochs, least and largest batch size
REGRESSIONS = ", ".join(name for name, kind in losses.LOSSES.items() if not kind.classifies)
VALIDATION, PATIENCE, HELD_FROM = 0.2, 20, 20  # for a regression, from HELD_FROM samples on


def _loss(value: str, name: str) -> str:
    """Check the name of a loss, and return it without abbreviation."""
    try:
        loss = losses.named(value)
    except ValueError:
        loss = None
    if loss is None or (loss.classifies and not loss.takes_class_numbers):
        raise ValueError(f"{name}: expected one of {REGRESSIONS}, or for classes cross_entropy, got {value!r}")
    return losses.SHORT.get(value, value)


def _pool(value: str, name: str) -> str:
    """Check the name of a pooling, or several names joined by +."""
    if set(value.split("+")) - {*HOW}:
        raise ValueError(f"{name}: expected one of {', '.join(HOW)}, or some joined by +, got {value!r}")
    return value


def _inputs(value: str, name: str) -> str:
    """Check the text that describes the input layers."""
    if value != AUTO:
        parse(value, name)
    return value


@dataclass(frozen=True)
class Recipe:
    """The architecture and the optimizer of a network that estimators and `cgru fit` build.

    With `inputs` of AUTO it is open: `model_selection.choose` chooses it by folds, and `layers` and `pool` where they
    are None.

    Attributes:
        loss: the name of the loss, which also decides the head.
        units, layers, bidirectional: of the GRU layers.
        pool: the pooling of their states.
        inputs: the text of the input layers, as `cgru.estimators.input_layers` reads it.
        dropout: the dropout rate between the layers and below the head.
        recurrent_dropout: that of each GRU layer.
        schedule, learning_rate, weight_decay, clip_norm: those of Adam.
        float64: whether the network is of double precision.
        missing: "decay": the first recurrent layer is a `GRUD`, of one direction and without recurrent dropout, which
            reads what was measured and when.
    """

    loss: str = option(
        "", _loss,
        "loss of a regression: {REGRESSIONS}, such as huber(0.5) or quantile(0.1,0.5,0.9); classes: cross_entropy, "
        "or cross_entropy(0.1) with smoothed labels (default: {LOSS}; for classes cross_entropy)",
        parse=str, metavar="LOSS",
    )  # fmt: skip
    units: int = option(UNITS, positive, "units of each GRU layer", parse=int, metavar="N")
    layers: int | None = option(
        None, positive,
        "number of GRU layers (default: with --inputs auto one or two, by cross-validation; else one)",
        parse=int, metavar="N",
    )  # fmt: skip
    bidirectional: bool = option(
        True, flag,
        "run each GRU layer in both directions, with --units in each; models for streams and C need "
        "--no-bidirectional",
        parse=bool,
    )  # fmt: skip
    pool: str | None = option(
        None, _pool,
        "pooling of the states over the steps: last, mean, max or attention (learned weights), or several joined by +; "
        "not with --per-step (default: with --inputs auto by cross-validation; else {POOL}, mean after a convolution)",
        parse=str, metavar="HOW",
    )  # fmt: skip
    inputs: str = option(
        AUTO, _inputs,
        'layers before the first GRU layer: raw for none; or normalize, difference, "frames(length,hop)" and '
        '"convolution(width,stride,channels)", joined by + (default: auto, by cross-validation; raw '
        "with --per-step)",
        parse=str, metavar="LAYERS",
    )  # fmt: skip
    dropout: float = option(
        DROPOUT, share, "dropout rate before the head and between GRU layers", parse=float, metavar="SHARE"
    )
    recurrent_dropout: float = option(
        RECURRENT_DROPOUT, share, "dropout rate of the states from step to step", parse=float, metavar="SHARE"
    )
    schedule: Any = SCHEDULE
    learning_rate: float = option(
        LEARNING_RATE, partial(check_number, above=True),
        "highest learning rate of Adam, reached after a third of the fit; then it falls to 0",
        parse=float, metavar="RATE",
    )  # fmt: skip
    weight_decay: float = option(
        WEIGHT_DECAY, check_number, "decoupled weight decay, as in AdamW", parse=float, metavar="RATE"
    )
    clip_norm: float = option(
        1.0, partial(check_number, above=True), "clip the gradients of an update to this joint L2 norm",
        parse=float, metavar="NORM",
    )  # fmt: skip
    float64: bool = option(False, flag, "train in double precision (default: single)", parse=bool)
    missing: str = REFUSE

    def __str__(self) -> str:
        """Return the chosen settings that are not defaults as a text, such as "frames(8), 2 layers, pool mean"."""
        layers = f"{self.layers} layers" if self.layers not in (None, 1) else ""
        pool = f"pool {self.pool}" if self.pool not in (None, POOL) else ""
        return ", ".join(filter(None, [self.inputs, layers, pool]))

    @property
    def is_open(self) -> bool:
        """Return whether cross-validation is to choose settings of this recipe."""
        return self.inputs == AUTO

    @property
    def decays(self) -> bool:
        """Return whether the first layer is a GRUD, so that values may be missing."""
        return self.missing == DECAY

    @property
    def dtype(self) -> type[np.floating]:
        """Return the dtype of the network: float32 or float64."""
        return np.float64 if self.float64 else np.float32

    def network(
        self,
        outputs: int,
        inputs: Sequence[Layer] = (),
        *,
        seed: int | None,
        names: Sequence[str] | None = None,
        steps: bool = False,
        start: tuple[Sequences, np.ndarray] | None = None,
    ) -> Network:
        """Build a network; settings that are still open become one GRU layer and the default pooling.

        outputs: the number of classes or targets.
        inputs: the input layers.
        names: those of the classes.
        steps: whether there are outputs at all steps; then there is no pool.
        start: what `constant_start` returned.
        """
        rates = {"clip_norm": self.clip_norm, "schedule": self.schedule, "weight_decay": self.weight_decay}
        loss = losses.named(self.loss)
        head = Dense(outputs, "softmax") if loss.classifies else Dense(outputs * loss.outputs, "identity")
        layers = [*inputs, *self._recurrent(steps), *([Dropout(self.dropout)] if self.dropout else []), head]
        net = Network(layers, self.loss, Adam(self.learning_rate, **rates), seed, names, dtype=self.dtype)
        if start is not None:
            X, constant = start
            net.predict(X)  # makes the parameters
            net.head.p["b"][...] = constant
        return net

    def _recurrent(self, steps: bool) -> Iterator[Layer]:
        """Yield the recurrent layers, and the pool over the last one's states."""
        n = 1 if self.layers is None else positive(self.layers, "layers")
        pool = "last" if steps else POOL if self.pool is None else self.pool
        for i in range(n):
            sequences = steps or pool != "last" or i < n - 1
            if i == 0 and self.decays:
                yield GRUD(self.units, sequences=sequences)
                continue
            gru = GRU(self.units, sequences=sequences, recurrent_dropout=self.recurrent_dropout)
            if self.dropout and i:
                yield Dropout(self.dropout)
            yield Bidirectional(gru) if self.bidirectional else gru
        if pool != "last":
            yield Pool(pool)


def constant_start(
    loss: Loss, X: Sequences, y: np.ndarray, weights: np.ndarray | None = None
) -> tuple[Sequences, np.ndarray] | None:
    """Return one sample and the best constant output, with which to start a network; None if none is needed.

    The constant fits the targets y (m, n) best. None where there is none: for classes and standardised targets.
    """
    if loss.classifies or loss.can_standardize:
        return None
    return X[:1], loss.constant(y.reshape(len(y), -1), weights)


def budget(m: int, batch_size: int | None = None, epochs: int | None = None) -> tuple[int, int]:
    """Return (batch size, epochs) for m samples; defaults are at least 1,200 updates and 30 epochs.

    30 epochs of batches of m / 40 samples are 1,200 updates. The batch size is limited to BATCHES: small data
    have more epochs.
    """
    least, most = BATCHES
    for name, value in (("batch_size", batch_size), ("epochs", epochs)):
        if value is not None:
            positive(value, name)
    size = min(m, max(least, min(most, m * EPOCHS // UPDATES))) if batch_size is None else batch_size
    return size, max(EPOCHS, -(-UPDATES // -(-m // size))) if epochs is None else epochs


def still_falls(losses: Sequence[float]) -> str:
    """Return a note if the training loss still falls clearly in the last epochs, else "".

    A fall is clear where the last fifth of the epochs brings more than a twentieth of the first loss.
    """
    if len(losses) < 2:
        return ""
    before, last = losses[-1 - max(1, len(losses) // 5)], losses[-1]
    if not before - last > abs(losses[0]) / 20:
        return ""
    first, last = figures([before, last])
    return f"the training loss still falls at the end, in the last fifth of the epochs from {first} to {last}"
