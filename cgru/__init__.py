"""cgru: a fast GRU layer for the CPU, with every cache and gradient in the open."""

from cgru._version import __version__
from cgru.activations import elu, identity, lrelu, relu, sigmoid, softmax, tanh
from cgru.initializers import orthogonal, xavier
from cgru.layer import GRU

__all__ = [
    "GRU",
    "__version__",
    "elu",
    "identity",
    "lrelu",
    "orthogonal",
    "relu",
    "sigmoid",
    "softmax",
    "tanh",
    "xavier",
]
