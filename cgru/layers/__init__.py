"""The layers that are no GRU, and `Layer`, which all of them and the GRU are built on."""

from cgru.layers.dense import Dense
from cgru.layers.dropout import Dropout
from cgru.layers.embedding import Embedding
from cgru.layers.flip import Flip
from cgru.layers.layer import Layer
from cgru.layers.pool import Pool

__all__ = ["Dense", "Dropout", "Embedding", "Flip", "Layer", "Pool"]
