"""The default architecture and training options of `cgru fit` and `cgru.sklearn`.

benchmarks/README.md shows how they were chosen.
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
from cgru.network.sample_hashes import SampleHashes

__all__ = [
    "DROPOUT", "EPOCHS", "HELD_FROM", "LEARNING_RATE", "LOSS", "PATIENCE", "POOL", "RECURRENT_DROPOUT", "SCHEDULE",
    "UNITS", "UPDATES", "VALIDATION", "WEIGHT_DECAY", "budget", "network", "nothing_learned", "stack",
]  # fmt: skip

UNITS, POOL, DROPOUT, RECURRENT_DROPOUT = 48, "last+mean+max", 0.3, 0.2
LEARNING_RATE, SCHEDULE, WEIGHT_DECAY, LOSS = 5e-3, "one_cycle", 0.0, "mean_squared_error"
UPDATES, EPOCHS, BATCHES = 1200, 30, (16, 64)  # least updates, least epochs, least and largest batch size
VALIDATION, PATIENCE, HELD_FROM = 0.2, 20, 20  # for a regression, from HELD_FROM samples on


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
    inputs: Sequence[Layer] = (),
    **options: Any,
) -> list[Layer]:
    """Return the layers of a network: input layers, recurrent layers, a pool over their states, dropout, and the head.

    steps: whether there are outputs at all steps; then there is no pool.
    options: further arguments of each `GRU`.
    """
    pooled = pool != "last" and not steps
    made = list(inputs)
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
    """Build a network of the layers of `stack`, with its optimizer.

    names: those of the classes.
    layers: the arguments of `stack`.

    ValueError for a weight decay with an optimizer that has none.
    """
    kind, rates = optimizers.NAMED[optimizer], {"clip_norm": clip_norm, "schedule": schedule}
    if hasattr(kind, "weight_decay"):
        rates["weight_decay"] = weight_decay
    elif weight_decay:
        raise ValueError(f"weight_decay: expected 0 with {optimizer}, which has none, got {weight_decay}")
    made, dtype = stack(head, pool=pool or POOL, **layers), np.float64 if float64 else np.float32
    net = Network(made, loss, kind(learning_rate, **rates), seed, names, dtype=dtype)
    if net.parameters():  # those of input layers, measured on the data that it will be trained on
        net.remembered = SampleHashes()
    return net


def budget(m: int, batch_size: int | None = None, epochs: int | None = None) -> tuple[int, int]:
    """Return (batch size, epochs) for m samples, with at least 1,200 updates and 30 epochs; a given one stays.

    30 epochs of batches of m / 40 samples are 1,200 updates. The batch size is limited to BATCHES: small data
    have more epochs.
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
    """Return a note if `net` is no better on its training data than the most frequent class or a constant, else "".

    The constant is the mean, by squared errors, or for a loss that does not learn the mean the best by that loss.

    net: a network with one output a sample, not at steps.
    X, y, lengths, weights: its training data.
    scale: (k,) the factor from the units of y to those of the errors in the note.
    """
    if losses.classifies(net.loss):
        right = net.evaluate(X, y, lengths, sample_weight=weights)["accuracy"]
        share = (counts := np.bincount(y, weights)).max() / counts.sum()
        if right > share:
            return ""
        return f"the most frequent class alone is {share:.2%} of the training data, the model right in {right:.2%}"
    loss, y, A = losses.named(net.loss), y.reshape(len(y), -1), net.predict(X, lengths).astype(np.float64)
    if np.ptp(y, axis=0).max() == 0:
        return ""
    if not loss.predicts_mean:
        constant = np.tile(loss.constant(y, weights), (len(y), 1))
        alone, model = (loss(each, y, weights)[0] for each in (constant, A))
        if model < 0.98 * alone:  # 2 % better may be chance
            return ""
        alone, model = figures([alone, model])
        return f"a constant alone has a {loss} loss of {alone} on the training data, the model {model}"
    squares = np.square(loss.point(A) - y)
    errors = np.average(squares, axis=0, weights=weights)
    spreads = np.average(np.square(y - np.average(y, axis=0, weights=weights)), axis=0, weights=weights)
    if errors.mean() < 0.98**2 * spreads.mean():
        return ""
    both = (np.hypot.reduce(np.sqrt(each) * scale) for each in (spreads, errors))  # hypot: the squares would overflow
    mean, model = figures([norm / np.sqrt(y.shape[1]) for norm in both])
    return f"the mean alone has an RMSE of {mean} on the training data, the model {model}"
