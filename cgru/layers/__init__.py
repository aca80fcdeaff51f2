"""The layers other than the GRU, and `Layer`, the base class of all layers."""

from cgru.layers.activation import Activation
from cgru.layers.clip import Clip
from cgru.layers.conv1d import Conv1D
from cgru.layers.dense import Dense
from cgru.layers.difference import Difference
from cgru.layers.dropout import Dropout
from cgru.layers.embedding import Embedding
from cgru.layers.flip import Flip
from cgru.layers.frames import Frames
from cgru.layers.layer import Layer
from cgru.layers.layer_norm import LayerNorm
from cgru.layers.normalize import Normalize
from cgru.layers.pool import Pool
from cgru.layers.sampled_dense import SampledDense
from cgru.layers.scale import Scale
from cgru.layers.select import Select
from cgru.layers.steps import Steps

__all__ = [
    "KINDS", "Activation", "Clip", "Conv1D", "Dense", "Difference", "Dropout", "Embedding", "Flip", "Frames", "Layer",
    "LayerNorm", "Normalize", "Pool", "SampledDense", "Scale", "Select", "Steps",
]  # fmt: skip

KINDS = (
    Activation, Clip, Conv1D, Dense, Difference, Dropout, Embedding, Flip, Frames, LayerNorm, Normalize, Pool, Scale,
    Select,
)  # fmt: skip
