"""What is built and how it is trained where nobody says: the defaults of `cgru fit` and of `cgru.sklearn`.

How they were chosen stands in benchmarks/README.md.
"""

from __future__ import annotations

from cgru.bidirectional import Bidirectional
from cgru.gru import GRU
from cgru.layers.dense import Dense
from cgru.layers.dropout import Dropout
from cgru.layers.layer import Layer
from cgru.layers.pool import Pool

__all__ = [
    "BATCH",
    "DROPOUT",
    "EPOCHS",
    "LEARNING_RATE",
    "POOL",
    "SCHEDULE",
    "UNITS",
    "UPDATES",
    "WEIGHT_DECAY",
    "budget",
    "stack",
]

UNITS, POOL, DROPOUT = 48, "last+mean+max", 0.3
LEARNING_RATE, SCHEDULE, WEIGHT_DECAY = 5e-3, "one_cycle", 0.0
BATCH, UPDATES, EPOCHS = 16, 1200, 30  # samples of a batch; at the least


def stack(
    head: Dense, *, units: int, layers: int, bidirectional: bool, pool: str, dropout: float, steps: bool = False
) -> list[Layer]:
    """Recurrent layers, a pool over their states unless outputs are at all `steps`, dropout, and the head."""
    pooled = pool != "last" and not steps
    made: list[Layer] = []
    for i in range(layers):
        gru = GRU(units, sequences=steps or pooled or i < layers - 1)
        made.append(Bidirectional(gru) if bidirectional else gru)
        if dropout and i < layers - 1:
            made.append(Dropout(dropout))
    made += [Pool(pool)] if pooled else []
    made += [Dropout(dropout)] if dropout else []
    return [*made, head]


def budget(m: int, batch_size: int | None = None, epochs: int | None = None) -> tuple[int, int]:
    """The size of a batch of m samples, and how many epochs: of few samples so many that there are enough updates."""
    size = min(BATCH, m) if batch_size is None else batch_size
    return size, max(EPOCHS, -(-UPDATES // -(-m // size))) if epochs is None else epochs
