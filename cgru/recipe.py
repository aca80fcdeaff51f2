"""What is built and how it is trained where nobody says: the defaults of `cgru fit` and of `cgru.sklearn`.

How they were chosen stands in benchmarks/README.md.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from cgru import losses, optimizers
from cgru.bidirectional import Bidirectional
from cgru.core.checks import positive
from cgru.core.formatting import figures
from cgru.gru import GRU
from cgru.layers.dense import Dense
from cgru.layers.dropout import Dropout
from cgru.layers.layer import Layer
from cgru.layers.pool import Pool
from cgru.network import Network

__all__ = [
    "DROPOUT", "EPOCHS", "HELD_FROM", "LEARNING_RATE", "LOSS", "PATIENCE", "POOL", "RECURRENT_DROPOUT", "SCHEDULE",
    "UNITS", "UPDATES", "VALIDATION", "WEIGHT_DECAY", "budget", "network", "nothing_learned", "stack",
]  # fmt: skip

UNITS, POOL, DROPOUT, RECURRENT_DROPOUT = 48, "last+mean+max", 0.3, 0.2
LEARNING_RATE, SCHEDULE, WEIGHT_DECAY, LOSS = 5e-3, "one_cycle", 0.0, "mean_squared_error"
UPDATES, EPOCHS, BATCHES = 1200, 30, (16, 64)  # at the least; samples of a batch at the least and at most
VALIDATION, PATIENCE, HELD_FROM = 0.2, 20, 20  # of a regression; of so many samples on


def stack(
    head: Dense,
    *,
    units: int,
    layers: int,
    bidirectional: bool,
    pool: str,
    dropout: float,
    recurrent_dropout: float,
    steps: bool = False,
    **options: Any,
) -> list[Layer]:
    """Recurrent layers, a pool over their states unless outputs are at all `steps`, dropout, and the head.

    `options` are more of what each `GRU` takes.
    """
    pooled = pool != "last" and not steps
    made: list[Layer] = []
    for i in range(layers):
        sequences = steps or pooled or i < layers - 1
        gru = GRU(units, sequences=sequences, recurrent_dropout=recurrent_dropout, **options)
        made.append(Bidirectional(gru) if bidirectional else gru)
        if dropout and i < layers - 1:
            made.append(Dropout(dropout))
    made += [Pool(pool)] if pooled else []
    made += [Dropout(dropout)] if dropout else []
    return [*made, head]


def network(
    head: Dense,
    *,
    seed: int | None,
    names: Sequence[str] | None = None,
    loss: str | None = None,
    optimizer: str = "adam",
    schedule: Any = SCHEDULE,
    learning_rate: float,
    weight_decay: float,
    clip_norm: float = 1.0,
    float64: bool = False,
    pool: str | None = None,
    **layers: Any,
) -> Network:
    """Build a network of a `stack` of `layers`, whose classes have `names`. ValueError for a decay that SGD has not."""
    kind, rates = optimizers.NAMED[optimizer], {"clip_norm": clip_norm, "schedule": schedule}
    if hasattr(kind, "weight_decay"):
        rates["weight_decay"] = weight_decay
    elif weight_decay:
        raise ValueError(f"weight_decay: expected 0 with {optimizer}, which has none, got {weight_decay}")
    made, dtype = stack(head, pool=pool or POOL, **layers), np.float64 if float64 else np.float32
    return Network(made, loss, kind(learning_rate, **rates), seed, names, dtype=dtype)


def budget(m: int, batch_size: int | None = None, epochs: int | None = None) -> tuple[int, int]:
    """The size of a batch of m samples, and how many epochs: 1,200 updates and 30 epochs, or as many more as it takes.

    30 epochs of batches of m / 40 are 1,200 updates; few samples have small batches and more epochs.
    """
    least, most = BATCHES
    for name, value in (("batch_size", batch_size), ("epochs", epochs)):
        if value is not None:
            positive(value, name)
    size = min(m, max(least, min(most, m * EPOCHS // UPDATES))) if batch_size is None else batch_size
    return size, max(EPOCHS, -(-UPDATES // -(-m // size))) if epochs is None else epochs


def nothing_learned(
    net: Network,
    X: np.ndarray,
    y: np.ndarray,
    lengths: np.ndarray | None = None,
    weights: np.ndarray | None = None,
    scale: np.ndarray | float = 1.0,
) -> str:
    """In words, that even the samples it was trained on are told no better than by their most frequent class, or their
    mean; "" where they are. Outputs are for whole samples.

    Of a regression whose y are scaled, the errors in words are in units of y times `scale`, (k,).
    """
    if losses.classifies(net.loss):
        right = net.evaluate(X, y, lengths, sample_weight=weights)["accuracy"]
        share = (counts := np.bincount(y, weights)).max() / counts.sum()
        if right > share:
            return ""
        return f"the most frequent class alone is {share:.2%} of the training data, the model right in {right:.2%}"
    y = y.reshape(len(y), -1)
    squares = np.square(losses.named(net.loss).point(net.predict(X, lengths)) - y, dtype=np.float64)
    errors = np.average(squares, axis=0, weights=weights)
    spreads = np.average(np.square(y - np.average(y, axis=0, weights=weights)), axis=0, weights=weights)
    if np.ptp(y, axis=0).max() == 0 or errors.mean() < 0.98**2 * spreads.mean():  # a little better by chance
        return ""
    both = (np.hypot.reduce(np.sqrt(each) * scale) for each in (spreads, errors))  # no square of which overflows
    mean, model = figures([norm / np.sqrt(y.shape[1]) for norm in both])
    return f"the mean alone has an RMSE of {mean} on the training data, the model {model}"
