"""cgru: a fast GRU layer for the CPU, with every cache and gradient in the open."""

from cgru._version import __version__
from cgru.activations import elu, identity, lrelu, relu, sigmoid, softmax, tanh
from cgru.initializers import orthogonal, xavier
from cgru.layer import GRU
from cgru.threads import get_num_threads, set_num_threads

__all__ = [
    "GRU",
    "__version__",
    "elu",
    "get_num_threads",
    "identity",
    "lrelu",
    "orthogonal",
    "relu",
    "set_num_threads",
    "sigmoid",
    "softmax",
    "tanh",
    "xavier",
]
